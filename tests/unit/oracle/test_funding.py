"""The funding index: an eighth of the 8-hour rate at each full hour, on the oracle price."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import USDC, X_PRICE, Y_PRICE, X, Y, args, next_block_at

HOUR = 3_600
BASE = 12_500
"""An hour without a premium: 0.01% / 8, parts of 10^9."""

# Premium and rate for 8 hours, parts of 10^9.
VECTORS = [
    (0, 100_000),
    (500_000, 100_000),
    (10_000_000, 9_500_000),
    (-3_000_000, -2_500_000),
    (600_000, 100_000),
    (600_001, 100_001),
    (-400_000, 100_000),
    (-400_001, 99_999),
    (-500_000, 0),
]


@pytest.mark.parametrize(("premium", "rate"), VECTORS)
def test_the_rule_for_eight_hours(oracle: Any, premium: int, rate: int) -> None:
    assert oracle.rate_per_eight_hours(premium) == rate


@pytest.fixture
def book(oracle: Any, owner: Any, place: Any, maker_id: int) -> Any:
    """Puts up the side that gives X this premium."""
    oracle.set_impact_notional(X, 500 * USDC, sender=owner)

    def factory(premium: int) -> None:
        if premium:
            place(maker_id, premium > 0, 2_000, X_PRICE + premium // 1_000)

    return factory


@pytest.mark.parametrize(
    ("premium", "hourly"),
    [
        (0, 12_500),
        (500_000, 12_500),
        (10_000_000, 1_187_500),
        (-3_000_000, -312_500),
        (601_000, 12_625),
        (-501_000, -125),
        (-10_000_000, -1_187_500),
    ],
)
def test_an_hour_costs_an_eighth_of_it(
    oracle: Any, accrue: Any, book: Any, sample: Any, premium: int, hourly: int
) -> None:
    book(premium)
    sample()
    sample(10)
    assert oracle.expected_rate(X) == hourly
    receipt = accrue()
    step = X_PRICE * hourly
    assert args(receipt, oracle.FundingAccrued) == [
        {"market": X, "premium": premium, "rate": hourly, "funding_index": step},
        {"market": Y, "premium": 0, "rate": BASE, "funding_index": Y_PRICE * BASE},
    ]
    assert [e["funding_index"] for e in args(receipt, oracle.PriceUpdated)] == [
        step,
        Y_PRICE * BASE,
    ]
    assert oracle.index(X) == oracle.price(X).index == oracle.read(X)[2] == step
    # the next hour begins without samples
    assert tuple(oracle.last_sample(X))[3:] == (0, 0)
    assert oracle.expected_rate(X) == BASE


@pytest.mark.parametrize("premium", [10_001_000, 400_000_000, -10_001_000, -400_000_000])
def test_a_sample_says_no_more_than_one_percent(
    oracle: Any, accrue: Any, book: Any, sample: Any, premium: int
) -> None:
    book(premium)
    sample()
    (told,) = args(sample(10), oracle.Sampled)
    clamped = 10**7 if premium > 0 else -(10**7)
    assert told["premium"] == clamped
    assert tuple(oracle.last_sample(X))[3:] == (10 * clamped, 10)
    (event, _) = args(accrue(), oracle.FundingAccrued)
    assert (event["premium"], event["rate"]) == (clamped, 1_187_500 if premium > 0 else -1_187_500)


@pytest.mark.parametrize(
    ("premium", "hourly"),
    [
        (320_500_007, 40_000_000),  # 0.32 / 8, and nothing above it
        (320_499_999, 39_999_999),
        (400_000_000, 40_000_000),
        (-320_499_999, -39_999_999),
        (-400_000_000, -40_000_000),
        (0, 12_500),
    ],
)
def test_the_rule_has_a_cap_of_its_own(oracle: Any, premium: int, hourly: int) -> None:
    assert oracle.rate_per_hour(premium) == hourly


def test_the_premium_is_the_mean_over_time_and_all_is_truncated_toward_zero(
    oracle: Any, accrue: Any, book: Any, sample: Any, order_book: Any, maker: Any, maker_id: int
) -> None:
    book(-900_000)
    sample()
    sample(20)
    order_book.cancel_all(maker_id, sender=maker)
    sample(11)
    mean = -(900_000 * 20 // 31)
    hourly = -((-mean - 500_000) // 8)
    (event, _) = args(accrue(), oracle.FundingAccrued)
    assert (event["premium"], event["rate"]) == (mean, hourly) == (-580_645, -10_080)


def test_it_accrues_at_the_boundary_and_not_before_or_after(
    oracle: Any, accrue: Any, reporter: Any, chain: Any
) -> None:
    boundary = (oracle.updated_at() // HOUR + 1) * HOUR
    prices = [X_PRICE, Y_PRICE]
    for second, index in [(-4, 0), (-1, 0), (2, BASE), (5, BASE), (HOUR - 1, BASE), (HOUR + 2, 2)]:
        next_block_at(chain, boundary + second)
        oracle.update(prices, sender=reporter)
        assert oracle.index(X) == (2 * BASE if index == 2 else index) * X_PRICE


def test_it_is_on_the_oracle_price_that_was_known_when_the_hour_ended(
    oracle: Any, accrue: Any, reporter: Any, chain: Any
) -> None:
    next_block_at(chain, (oracle.updated_at() // HOUR + 1) * HOUR)
    chain.mine()
    # Read before it is written, and the same number afterwards.
    assert oracle.index(X) == oracle.price(X).index == oracle.read(X)[2] == X_PRICE * BASE
    receipt = oracle.update([777_777, Y_PRICE], sender=reporter)
    assert args(receipt, oracle.FundingAccrued)[0]["funding_index"] == X_PRICE * BASE
    assert oracle.index(X) == X_PRICE * BASE


def test_one_hour_at_most_is_accrued_at_once(
    oracle: Any, accrue: Any, owner: Any, reporter: Any, chain: Any
) -> None:
    oracle.set_parameters(3, 24 * HOUR, 0, sender=owner)
    next_block_at(chain, oracle.updated_at() + 10 * HOUR)
    receipt = oracle.update([X_PRICE, Y_PRICE], sender=reporter)
    assert len(args(receipt, oracle.FundingAccrued)) == 2
    assert oracle.index(X) == BASE * X_PRICE


@pytest.mark.parametrize(("after", "accrues"), [(3_540, True), (3_539, False)])
def test_nothing_accrues_of_an_hour_that_ended_while_the_price_was_stale(
    oracle: Any,
    owner: Any,
    accrue: Any,
    book: Any,
    sample: Any,
    reporter: Any,
    chain: Any,
    after: int,
    accrues: bool,
) -> None:
    # priced a minute into the hour
    oracle.set_market_staleness(X, after, sender=owner)
    book(10_000_000)
    sample()
    sample(10)
    next_block_at(chain, (oracle.updated_at() // HOUR + 1) * HOUR + 1)
    receipt = oracle.update([X_PRICE, Y_PRICE], sender=reporter)
    assert [e["market"] for e in args(receipt, oracle.FundingAccrued)] == [X, Y][not accrues :]
    assert args(receipt, oracle.FundingForgone) == ([] if accrues else [{"market": X}])
    assert oracle.index(X) == (1_187_500 * X_PRICE if accrues else 0)
    # what was sampled meanwhile is forgotten either way
    assert tuple(oracle.last_sample(X))[3:] == (0, 0)


def test_reports_a_little_more_than_an_hour_apart_accrue_every_hour(
    oracle: Any, accrue: Any, reporter: Any, chain: Any
) -> None:
    # Stale for the last five seconds of each round, which the hour's end falls into now and then.
    start = oracle.updated_at()
    for i in range(1, 5):
        next_block_at(chain, start + i * (HOUR + 5))
        oracle.update([X_PRICE, Y_PRICE], sender=reporter)
        assert oracle.index(X) == i * BASE * X_PRICE


def test_a_market_that_nobody_reported_accrues_on_its_last_price_while_that_is_fresh(
    oracle: Any, owner: Any, accrue: Any, reporter: Any, chain: Any
) -> None:
    hour = oracle.updated_at() // HOUR
    for i, index in ((1, 1), (2, 1)):
        next_block_at(chain, (hour + i) * HOUR)
        receipt = oracle.update([X_PRICE + i, 0], sender=reporter)
        told = [e["market"] for e in args(receipt, oracle.FundingAccrued)]
        assert told == ([X, Y] if i == 1 else [X])
        assert oracle.index(Y) == index * BASE * Y_PRICE
    assert oracle.index(X) == BASE * (2 * X_PRICE + 1)


@pytest.mark.parametrize("change", ["parameters", "staleness", "quorum", "impact"])
@pytest.mark.parametrize("age", ["due", "late", "not due"])
def test_what_is_due_accrues_before_a_parameter_changes(
    oracle: Any,
    owner: Any,
    accrue: Any,
    book: Any,
    sample: Any,
    reporter: Any,
    chain: Any,
    change: str,
    age: str,
) -> None:
    book(10_000_000)
    sample()
    sample(10)
    start = oracle.updated_at()
    # Late: two hours ended, and the price was fresh at the end of the first only.
    wait = {"due": 3_541, "late": 3_540 + HOUR, "not due": 3_539}[age]
    next_block_at(chain, start + wait)
    receipt = {
        "parameters": lambda: oracle.set_parameters(3, 7_300, 0, sender=owner),
        "staleness": lambda: oracle.set_market_staleness(X, 7_300, sender=owner),
        "quorum": lambda: oracle.set_quorum(1, sender=owner),
        "impact": lambda: oracle.set_impact_notional(X, 1, sender=owner),
    }[change]()
    index = 1_187_500 * X_PRICE if age != "not due" else 0
    told = args(receipt, oracle.FundingAccrued)
    assert [(e["market"], e["funding_index"]) for e in told][:1] == (
        [(X, index)] if age != "not due" else []
    )
    assert not args(receipt, oracle.FundingForgone)
    assert oracle.index(X) == index
    # The same hour does not accrue again.
    next_block_at(chain, start + wait + 3)
    oracle.update([X_PRICE, Y_PRICE], sender=reporter)
    assert oracle.index(X) == (index if age != "not due" else 1_187_500 * X_PRICE)


def test_a_pinned_market_accrues_nothing(
    own: Any, owner: Any, report: Any, poke: Any, keeper: Any, chain: Any
) -> None:
    report(0, 1_000, 2_000)
    poke()
    own.pin(X, True, sender=keeper)
    index = own.index(X), own.index(Y)

    def next_hour() -> None:
        hour = (own.updated_at() // HOUR + 1) * HOUR
        next_block_at(chain, hour - 10)
        # Known when the hour ends.
        for after in (3, 7):
            report(0, 1_000, 2_000)
            poke(after)
        assert own.updated_at() >= hour

    next_hour()
    assert (own.index(X), own.index(Y)) == (index[0], index[1] + 2_000 * BASE)
    own.set_quorum(1, sender=owner)
    assert own.index(X) == index[0]
    own.pin(X, False, sender=keeper)
    # The hour that waited is due at once.
    assert own.index(X) == index[0] + 1_000 * BASE
    next_hour()
    assert (own.index(X), own.index(Y)) == (index[0] + 2_000 * BASE, index[1] + 2 * 2_000 * BASE)
