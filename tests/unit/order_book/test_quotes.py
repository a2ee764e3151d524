"""Best prices, last trade and impact prices in one view."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import USDC, X_PRICE, X, Y, ceil_div, refused


def quotes(book: Any, notional: int, market: int = X) -> tuple[int, ...]:
    return tuple(book.quotes(market, notional))


def impact(levels: list[tuple[int, int]], notional: int, is_buy: bool) -> int:
    """Walks (price, size) from the best: the last order only as far as it is needed."""
    size = quote = 0
    for price, lots in levels:
        taken = min(lots, ceil_div(notional - quote, price))
        size, quote = size + taken, quote + taken * price
        if quote >= notional:
            return quote // size if is_buy else ceil_div(quote, size)
    return 0


BIDS = [(999_983, 70), (999_900, 31), (980_007, 200)]
ASKS = [(1_000_011, 53), (1_000_019, 90), (1_030_001, 300)]


@pytest.fixture
def quoted(place: Any, maker_id: int) -> None:
    for price, size in BIDS:
        place(maker_id, True, size, price)
    for price, size in ASKS:
        place(maker_id, False, size, price)


@pytest.mark.parametrize(
    "notional",
    [1, USDC, 53 * 1_000_011, 70 * 999_983, 70 * 999_983 + 1, 100 * USDC, 200 * USDC, 296 * USDC],
)
def test_impact_prices_are_means_rounded_against_the_taker(
    order_book: Any, quoted: None, notional: int
) -> None:
    bid, ask = impact(BIDS, notional, True), impact(ASKS, notional, False)
    assert bid and ask
    assert quotes(order_book, notional) == (999_983, 1_000_011, 0, bid, ask)


def test_a_case_by_hand(order_book: Any, quoted: None) -> None:
    # 100: 70 * 999,983 = 69,998,810; 31 of 999,900 come to 30,996,900: 100,995,710 for 101 lots
    # 53 * 1,000,011 = 53,000,583; 47 of 1,000,019 are 47,000,893: 100,001,476 for 100 lots
    assert quotes(order_book, 100 * USDC)[3:] == (999_957, 1_000_015)
    assert (100_995_710 // 101, ceil_div(100_001_476, 100)) == (999_957, 1_000_015)


def test_a_side_that_is_not_that_deep_has_a_best_price_only(order_book: Any, quoted: None) -> None:
    depth = sum(price * size for price, size in BIDS)
    assert quotes(order_book, depth)[3] != 0
    assert quotes(order_book, depth + 1)[0] == 999_983
    assert quotes(order_book, depth + 1)[3] == 0
    assert quotes(order_book, 2**80)[3:] == (0, 0)


def test_an_empty_book_has_none(order_book: Any) -> None:
    assert quotes(order_book, USDC) == (0,) * 5
    assert quotes(order_book, USDC, 200) == (0,) * 5


def test_void_orders_do_not_count(
    order_book: Any, quoted: None, place: Any, maker: Any, maker_id: int, winner_id: int
) -> None:
    order_book.cancel_all(maker_id, sender=maker)
    place(winner_id, True, 100, 990_000)
    assert quotes(order_book, 50 * USDC) == (990_000, 0, 0, 990_000, 0)


def test_the_last_trade_is_kept_apart(
    order_book: Any, place: Any, open_position: Any, maker_id: int, trader_id: int
) -> None:
    assert order_book.last_trade(X) == 0
    open_position(trader_id, maker_id, 11, X_PRICE - 3)
    place(maker_id, False, 100, X_PRICE + 1)
    assert order_book.last_trade(X) == quotes(order_book, USDC)[2] == X_PRICE - 3
    # at the resting order's price, not the taker's
    place(trader_id, True, 10, X_PRICE + 9)
    assert order_book.last_trade(X) == X_PRICE + 1
    assert order_book.last_trade(Y) == 0


def test_a_liquidation_sets_it_too(
    order_book: Any,
    liquidator: Any,
    place: Any,
    open_account: Any,
    open_position: Any,
    move_mark: Any,
    loser: Any,
    keeper: Any,
    winner_id: int,
    maker_id: int,
) -> None:
    weak = open_account(loser, 60 * USDC)
    open_position(weak, winner_id, 1_000)
    place(maker_id, True, 1_000, 955_000)
    move_mark(960_000)
    liquidator.liquidate(weak, 10, sender=keeper)
    assert order_book.last_trade(X) == 955_000


def test_an_order_without_margin_behind_it_is_no_price(
    order_book: Any, open_account: Any, place: Any, quoted: None, loser: Any
) -> None:
    # $5 carry $100 at 20x: not quite 100 lots of this bid
    poor = open_account(loser, 5 * USDC)
    before = quotes(order_book, 50 * USDC)
    place(poor, True, 200, 1_000_001)
    assert quotes(order_book, 50 * USDC)[3] == 1_000_001  # 50 lots of it have margin
    assert quotes(order_book, 150 * USDC) == (
        before[0],
        before[1],
        0,
        impact(BIDS, 150 * USDC, True),
        impact(ASKS, 150 * USDC, False),
    )


def test_two_orders_of_one_maker_share_its_margin(
    order_book: Any, open_account: Any, place: Any, loser: Any, maker_id: int
) -> None:
    poor = open_account(loser, 5 * USDC)
    place(poor, True, 60, 999_999)
    place(poor, True, 60, 999_998)
    place(maker_id, True, 1_000, 990_000)
    # the first takes 60 of the 100 lots that $5 carry at 20x; the second does not fit
    levels = [(999_999, 60), (990_000, 1_000)]
    assert quotes(order_book, 100 * USDC)[3] == impact(levels, 100 * USDC, True)


def test_what_only_reduces_is_no_price(
    order_book: Any, open_position: Any, place: Any, trader_id: int, winner_id: int
) -> None:
    open_position(trader_id, winner_id, 100)
    place(winner_id, True, 100, 999_000, reduce_only=True)
    place(winner_id, True, 100, 998_000)
    assert quotes(order_book, USDC)[0] == 998_000


@pytest.mark.parametrize("notional", [0, 2**128, 2**256 - 1])
def test_a_notional_out_of_range_is_refused(order_book: Any, notional: int) -> None:
    with refused("book: notional out of range"):
        order_book.quotes(X, notional)
