"""Samples of the book: impact prices, their EMA and the premium, in exact integers.

Quotes: 600 lots bid at 999,000 and asked at 1,002,000 around an oracle price of 1,000,000 ticks, an
impact notional of $500. The impact mid is 500 ticks above the oracle.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import USDC, X_PRICE, Y_PRICE, X, Y, args, refused, truncated

BID, ASK = 999_000, 1_002_000
DISTANCE = 500 * 10**6
"""Impact mid less oracle, 10^-6 ticks."""


@pytest.fixture
def small(oracle: Any, owner: Any) -> None:
    oracle.set_impact_notional(X, 500 * USDC, sender=owner)


@pytest.fixture
def quoted(small: None, place: Any, maker_id: int) -> None:
    place(maker_id, True, 600, BID)
    place(maker_id, False, 600, ASK)


@pytest.fixture
def update(oracle: Any, reporter: Any, wait: Any) -> Any:
    def factory(price: int, after: int = 3) -> Any:
        wait(after)
        return oracle.update([price, Y_PRICE], sender=reporter)

    return factory


def average(ema: int, distance: int, seconds: int) -> int:
    return ema + truncated((distance - ema) * seconds, seconds + 150)


# --- What is read --------------------------------------------------------------------------------


def test_an_empty_book_says_nothing(oracle: Any, sample: Any) -> None:
    receipt = sample()
    assert args(receipt, oracle.Sampled) == [
        {"market": X, "middle": 0, "impact_bid": 0, "impact_ask": 0, "premium": 0, "ema": 0}
        | {"premium_sum": 0, "seconds": 0, "at": receipt.timestamp}
    ]
    assert tuple(oracle.last_sample(X)) == (receipt.timestamp, 0, 0, 0, 0)


@pytest.mark.parametrize("is_buy", [True, False])
def test_one_side_gives_no_mid(
    oracle: Any, small: None, place: Any, sample: Any, maker_id: int, is_buy: bool
) -> None:
    place(maker_id, is_buy, 600, BID if is_buy else ASK)
    sample()
    (event,) = args(sample(30), oracle.Sampled)
    assert (event["middle"], event["ema"], event["premium"]) == (0, 0, 0)
    assert (event["impact_bid"], event["impact_ask"]) == ((BID, 0) if is_buy else (0, ASK))


def test_a_side_that_is_not_deep_enough_has_a_middle_but_no_average(
    oracle: Any, small: None, place: Any, sample: Any, maker_id: int
) -> None:
    place(maker_id, True, 600, BID)
    place(maker_id, False, 400, ASK)
    sample()
    (event,) = args(sample(30), oracle.Sampled)
    assert (event["impact_ask"], event["ema"], event["middle"]) == (0, 0, BID)


def test_the_average_has_a_weight_of_dt_over_dt_plus_150(
    oracle: Any, quoted: None, sample: Any
) -> None:
    (event,) = args(sample(), oracle.Sampled)
    # the first one begins the clock and stands for no time
    assert event == {
        "market": X,
        "middle": BID,  # no trade yet: the best bid counts twice
        "impact_bid": BID,
        "impact_ask": ASK,
        "premium": 0,
        "ema": 0,
        "premium_sum": 0,
        "seconds": 0,
        "at": oracle.last_sample(X).at,
    }
    ema = 0
    for seconds in (50, 1, 7, 60, 13):
        ema = average(ema, DISTANCE, seconds)
        (event,) = args(sample(seconds), oracle.Sampled)
        assert event["ema"] == oracle.last_sample(X).ema == ema
    assert average(0, DISTANCE, 50) == 125 * 10**6
    assert oracle.last_sample(X).seconds == 131


def test_it_falls_truncated_toward_zero(
    oracle: Any, quoted: None, sample: Any, order_book: Any, place: Any, maker: Any, maker_id: int
) -> None:
    sample()
    sample(50)
    order_book.cancel_all(maker_id, sender=maker)
    place(maker_id, True, 600, 997_001)
    place(maker_id, False, 600, 1_000_000)
    distance = (997_001 + 1_000_000) * 10**6 // 2 - 10**12
    ema = average(125 * 10**6, distance, 37)
    sample(37)
    assert oracle.last_sample(X).ema == ema < 0
    assert (distance - 125 * 10**6) * 37 % 187 != 0


@pytest.mark.parametrize("after", [60, 61, 10_000])
def test_one_sample_stands_for_a_minute_at_most(
    oracle: Any, quoted: None, sample: Any, after: int
) -> None:
    sample()
    sample(after)
    assert oracle.last_sample(X).ema == average(0, DISTANCE, 60) == 142_857_142
    assert oracle.last_sample(X).seconds == 60


def test_not_twice_in_a_second(oracle: Any, sample: Any) -> None:
    sample()
    # A call runs in the block that is mined already.
    with refused("oracle: sampled already"):
        oracle.sample.call(X)
    sample(1)


@pytest.mark.parametrize("market", [2, 2**256 - 1])
def test_an_unknown_market_is_refused(oracle: Any, stranger: Any, market: int) -> None:
    with refused("oracle: unknown market"):
        oracle.sample(market, sender=stranger)


def test_markets_are_sampled_apart(oracle: Any, quoted: None, sample: Any) -> None:
    sample()
    sample(50)
    assert tuple(oracle.last_sample(Y)) == (0, 0, 0, 0, 0)


# --- Premium -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bid", "ask", "premium"),
    [
        (BID, ASK, 0),  # the oracle price lies between them
        (X_PRICE, X_PRICE + 1, 0),
        (1_010_000, None, 10**7),
        (1_000_500, 1_000_600, 500_000),
        (None, 997_000, -3 * 10**6),
        (990_000, 999_999, -1_000),
        (None, None, 0),
    ],
)
def test_the_premium_is_how_far_an_impact_price_is_past_the_oracle(
    oracle: Any,
    small: None,
    place: Any,
    sample: Any,
    maker_id: int,
    bid: int | None,
    ask: int | None,
    premium: int,
) -> None:
    if bid:
        place(maker_id, True, 600, bid)
    if ask:
        place(maker_id, False, 600, ask)
    assert args(sample(), oracle.Sampled)[0]["premium"] == premium
    sample(10)
    assert tuple(oracle.last_sample(X))[3:] == (10 * premium, 10)


def test_a_premium_is_truncated_toward_zero(
    oracle: Any, small: None, place: Any, sample: Any, update: Any, maker_id: int
) -> None:
    place(maker_id, True, 600, 1_000_000)
    update(999_999)
    assert args(sample(), oracle.Sampled)[0]["premium"] == 10**9 // 999_999 == 1_000
    update(999_991)
    assert args(sample(10), oracle.Sampled)[0]["premium"] == 9 * 10**9 // 999_991 == 9_000


def test_each_sample_stands_for_the_time_before_it(
    oracle: Any,
    small: None,
    place: Any,
    sample: Any,
    order_book: Any,
    maker: Any,
    maker_id: int,
) -> None:
    place(maker_id, True, 600, 1_010_000)
    sample()
    sample(30)
    order_book.cancel_all(maker_id, sender=maker)
    place(maker_id, True, 600, 1_000_001)
    sample(11)
    total = 30 * 10**7 + 11 * 1_000
    assert tuple(oracle.last_sample(X))[3:] == (total, 41)
    mean = total // 41
    assert oracle.expected_rate(X) == (mean - 500_000) // 8


# --- Mark ----------------------------------------------------------------------------------------


@pytest.fixture
def trade(open_position: Any, winner_id: int, trader_id: int) -> Any:
    """A trade between two others, which sets the last price."""
    return lambda price: open_position(trader_id, winner_id, 10, price)


@pytest.mark.parametrize(
    ("last", "price", "mark"),
    [
        # (oracle + 125, median(bid, ask, last), oracle)
        (1_001_000, 1_000_000, 1_000_125),
        (1_000_100, 1_000_000, 1_000_100),
        (None, 1_000_000, 1_000_000),  # bid 999,000 twice
        (1_000_600, 1_000_500, 1_000_600),
        (1_000_600, 1_000_600, 1_000_600),
        (1_000_600, 990_000, 990_125),
    ],
)
def test_the_mark_is_the_median_of_three(
    oracle: Any,
    quoted: None,
    trade: Any,
    sample: Any,
    update: Any,
    last: int | None,
    price: int,
    mark: int,
) -> None:
    if last:
        trade(last)
    sample()
    sample(50)
    assert oracle.last_sample(X).ema == 125 * 10**6
    assert oracle.last_sample(X).middle == (last or BID)
    update(price)
    assert (oracle.mark(X), oracle.oracle_price(X)) == (mark, price)


def test_the_average_is_truncated_to_ticks(
    oracle: Any, quoted: None, trade: Any, sample: Any, update: Any
) -> None:
    trade(1_001_000)
    sample()
    sample(60)  # 142.857142 ticks
    update(X_PRICE)
    assert oracle.mark(X) == X_PRICE + 142


def test_a_negative_average_is_truncated_toward_zero(
    oracle: Any, small: None, place: Any, sample: Any, update: Any, maker_id: int
) -> None:
    place(maker_id, True, 600, 998_000)
    place(maker_id, False, 600, 1_001_000)
    sample()
    sample(60)
    assert oracle.last_sample(X).ema == -142_857_142
    update(X_PRICE)  # (999,858, 998,000, 1,000,000)
    assert oracle.mark(X) == X_PRICE - 142


@pytest.mark.parametrize(("age", "mark"), [(120, X_PRICE + 125), (121, X_PRICE)])
def test_an_old_sample_says_nothing(
    oracle: Any, quoted: None, trade: Any, sample: Any, update: Any, age: int, mark: int
) -> None:
    trade(1_001_000)
    sample()
    sample(50)
    receipt = update(X_PRICE, after=age)
    assert receipt.timestamp == oracle.last_sample(X).at + age
    assert oracle.mark(X) == mark


def test_a_one_sided_book_leaves_the_oracle_alone(
    oracle: Any,
    quoted: None,
    trade: Any,
    sample: Any,
    update: Any,
    order_book: Any,
    maker: Any,
) -> None:
    trade(1_001_000)
    sample()
    sample(50)
    order_book.cancel(2, sender=maker)
    sample(20)
    assert oracle.last_sample(X).ema == 125 * 10**6  # stays as it was
    update(1_000_007)
    assert oracle.mark(X) == 1_000_007


def test_a_last_price_far_off_moves_nothing(
    oracle: Any, quoted: None, place: Any, sample: Any, update: Any, order_book: Any, trade: Any
) -> None:
    # Through the bids to the bottom: 600 lots at 999,000 and 10 at 1 tick.
    trade(ASK - 1)
    sample()
    order = order_book.last_order_id()
    assert order_book.last_trade(X) == ASK - 1
    sample(1)
    update(X_PRICE)
    # median(999,000, 1,002,000, 1,001,999) and an average of 3 ticks
    assert oracle.last_sample(X).middle == ASK - 1
    assert oracle.mark(X) == X_PRICE + DISTANCE // 151 // 10**6
    assert order_book.last_order_id() == order


def test_the_mark_never_leaves_the_range(
    oracle: Any, small: None, place: Any, sample: Any, update: Any, maker_id: int
) -> None:
    place(maker_id, True, 10**9, 1)
    place(maker_id, False, 1_200, X_PRICE // 2)
    sample()
    for _ in range(5):
        sample(60)
    assert oracle.last_sample(X).ema < -5_000 * 10**6
    update(1)  # (1, 1, 1): oracle less some thousands, held at one tick
    assert oracle.mark(X) == 1


# --- A book that lies ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bid", "ask", "counted"),
    [
        (1_009_999, 1_010_001, 10_000),
        (1_009_000, 1_010_999, 9_999),  # 9,999.5 in fact
        (1_009_000, 1_011_001, 10_000),
        (4_990_000, 5_010_000, 10_000),
        (980_000, 999_999, -10_000),
        (1, 3, -10_000),
    ],
)
def test_a_sample_is_one_percent_off_at_most(
    oracle: Any,
    owner: Any,
    open_account: Any,
    place: Any,
    sample: Any,
    loser: Any,
    bid: int,
    ask: int,
    counted: int,
) -> None:
    """What is shown for one sample that stands for a whole minute moves the average by 60 / 210 of
    1%: 0.29% of the price, where five times the price once moved it by 114%."""
    oracle.set_impact_notional(X, 1, sender=owner)
    rich = open_account(loser, 10**8 * USDC)
    lots = 10**7 if bid < 100 else 600
    place(rich, True, lots, bid)
    place(rich, False, lots, ask)
    sample()
    (event,) = args(sample(10_000), oracle.Sampled)
    assert (event["impact_bid"], event["impact_ask"]) == (bid, ask)
    distance = (bid + ask) * 10**6 // 2 - 10**12
    if abs(distance) > 10_000 * 10**6:
        distance = counted * 10**6
    assert event["ema"] == average(0, distance, 60)
    assert abs(event["ema"]) <= 2_857_142_857
    assert -(10**7) <= event["premium"] <= 10**7
    # Bid and ask themselves are told as they are: one voice of three.
    assert event["middle"] == bid
