"""Matching: best price, then oldest; at the resting price; who may not trade is passed by."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import (
    GTC,
    IMMEDIATE,
    IOC,
    MAKER_MARGIN,
    MAX_SIZE,
    MAX_TICK,
    MAX_UINT,
    SELF_TRADE,
    STEPS,
    USDC,
    VOID,
    X_PRICE,
    Y_PRICE,
    X,
    Y,
    args,
    refused,
)


def fills(receipt: Any, book: Any) -> list[tuple[int, int, int, int]]:
    """Order id, price, size and what remains of it."""
    keys = ("order_id", "price", "size", "remaining")
    return [tuple(e[k] for k in keys) for e in args(receipt, book.Filled)]


def cancelled(receipt: Any, book: Any) -> list[tuple[int, int]]:
    return [(e["order_id"], e["reason"]) for e in args(receipt, book.OrderCancelled)]


# --- Resting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_buy", [True, False])
def test_an_order_that_meets_nothing_rests(
    order_book: Any, place: Any, trader_id: int, is_buy: bool
) -> None:
    receipt = place(trader_id, is_buy, 100, X_PRICE)
    assert args(receipt, order_book.OrderPlaced) == [
        {
            "order_id": 1,
            "account": trader_id,
            "market": X,
            "is_buy": is_buy,
            "price": X_PRICE,
            "size": 100,
            "reduce_only": False,
        }
    ]
    assert order_book.best(X, is_buy) == X_PRICE
    assert order_book.best(X, not is_buy) == order_book.best(Y, is_buy) == 0


# --- Matching ------------------------------------------------------------------------------------


@pytest.mark.parametrize("buys", [True, False])
def test_best_price_first_then_the_oldest_then_a_part(
    order_book: Any,
    place: Any,
    clearinghouse: Any,
    maker_id: int,
    winner_id: int,
    trader_id: int,
    buys: bool,
) -> None:
    better = X_PRICE - 10 if buys else X_PRICE + 10
    place(maker_id, not buys, 100, X_PRICE)
    place(winner_id, not buys, 60, better)
    place(winner_id, not buys, 100, X_PRICE)
    receipt = place(trader_id, buys, 210, X_PRICE)
    # at the resting orders' own prices
    assert args(receipt, order_book.Filled) == [
        {
            "order_id": order,
            "maker": who,
            "taker": trader_id,
            "market": X,
            "taker_buys": buys,
            "price": price,
            "size": size,
            "remaining": left,
        }
        for order, who, price, size, left in [
            (2, winner_id, better, 60, 0),
            (1, maker_id, X_PRICE, 100, 0),
            (3, winner_id, X_PRICE, 50, 50),
        ]
    ]
    assert not args(receipt, order_book.OrderPlaced)
    assert order_book.order(3).size == 50
    sign = 1 if buys else -1
    assert tuple(clearinghouse.position(trader_id, X)) == (
        sign * 210,
        -sign * (60 * better + 150 * X_PRICE),
        0,
        0,
    )
    assert order_book.last_trade(X) == X_PRICE
    # and the half filled order is still the first of its price
    place(maker_id, not buys, 100, X_PRICE)
    assert fills(place(trader_id, buys, 60, X_PRICE), order_book) == [
        (3, X_PRICE, 50, 0),
        (4, X_PRICE, 10, 90),
    ]


def test_the_rest_of_a_crossing_order_rests_at_its_own_price(
    order_book: Any, place: Any, maker_id: int, trader_id: int
) -> None:
    place(maker_id, False, 40, X_PRICE - 5)
    receipt = place(trader_id, True, 100, X_PRICE)
    assert fills(receipt, order_book) == [(1, X_PRICE - 5, 40, 0)]
    (rest,) = args(receipt, order_book.OrderPlaced)
    assert (rest["order_id"], rest["price"], rest["size"]) == (2, X_PRICE, 60)
    assert [order_book.best(X, side) for side in (True, False)] == [X_PRICE, 0]


@pytest.mark.parametrize(("buys", "limit"), [(True, X_PRICE - 1), (False, X_PRICE + 1)])
def test_a_tick_outside_the_limit_is_not_touched(
    order_book: Any, place: Any, maker_id: int, trader_id: int, buys: bool, limit: int
) -> None:
    place(maker_id, not buys, 100, X_PRICE)
    receipt = place(trader_id, buys, 100, limit)
    assert fills(receipt, order_book) == []
    assert [order_book.best(X, side) for side in (buys, not buys)] == [limit, X_PRICE]


def test_immediate_or_cancel_leaves_nothing_behind(
    order_book: Any, place: Any, maker_id: int, trader_id: int
) -> None:
    place(maker_id, False, 40)
    receipt = place(trader_id, True, 100, tif=IOC)
    assert args(receipt, order_book.Unfilled) == [
        {"account": trader_id, "market": X, "size": 60, "reason": IMMEDIATE}
    ]
    assert [order_book.best(X, side) for side in (True, False)] == [0, 0]


def test_markets_do_not_meet(order_book: Any, place: Any, maker_id: int, trader_id: int) -> None:
    place(maker_id, False, 1_000, Y_PRICE, Y)
    assert fills(place(trader_id, True, 100, MAX_TICK, X), order_book) == []


# --- Who may not trade ---------------------------------------------------------------------------


def test_an_owners_own_resting_order_is_cancelled_and_the_next_one_filled(
    order_book: Any, place: Any, open_account: Any, trader: Any, trader_id: int, maker_id: int
) -> None:
    second = open_account(trader)
    place(second, False, 100)
    place(trader_id, False, 100)
    place(maker_id, False, 100)
    receipt = place(trader_id, True, 100)
    assert cancelled(receipt, order_book) == [(1, SELF_TRADE), (2, SELF_TRADE)]
    assert fills(receipt, order_book) == [(3, X_PRICE, 100, 0)]


def test_a_maker_without_margin_is_cancelled_and_the_next_one_filled(
    order_book: Any,
    place: Any,
    open_account: Any,
    clearinghouse: Any,
    loser: Any,
    trader_id: int,
    maker_id: int,
) -> None:
    # $1,000 need $50
    poor = open_account(loser, 50 * USDC - 1)
    place(poor, False, 1_000)
    place(maker_id, False, 1_000)
    receipt = place(trader_id, True, 1_000)
    assert cancelled(receipt, order_book) == [(1, MAKER_MARGIN)]
    assert fills(receipt, order_book) == [(2, X_PRICE, 1_000, 0)]
    assert clearinghouse.position(poor, X).size == 0


def test_a_taker_without_margin_is_refused_whatever_filled_before(
    place: Any, open_account: Any, loser: Any, maker_id: int
) -> None:
    poor = open_account(loser, 50 * USDC)
    place(maker_id, False, 1_000)
    place(maker_id, False, 100)
    with refused("margin: below initial margin"):
        place(poor, True, 1_100)


def test_a_stale_price_refuses_a_taker_who_adds_risk(
    order_book: Any,
    place: Any,
    open_position: Any,
    wait: Any,
    trader_id: int,
    maker_id: int,
    winner_id: int,
) -> None:
    open_position(trader_id, maker_id, 500)
    place(trader_id, False, 100)  # only reduces
    wait(3_700)
    with refused("oracle: stale price"):
        place(winner_id, True, 100)
    # the maker may buy back what it is short
    assert fills(place(maker_id, True, 100), order_book) == [(2, X_PRICE, 100, 0)]


def test_a_stale_price_lets_nobody_sweep_the_book_for_free(
    order_book: Any, place: Any, open_account: Any, wait: Any, loser: Any, maker_id: int
) -> None:
    # The maker would add risk too, but the taker cannot trade at all: it must not cost the
    # maker its order.
    place(maker_id, False, 100)
    wait(3_700)
    penniless = open_account(loser)
    with refused("oracle: stale price"):
        place(penniless, True, 100, tif=IOC)
    assert order_book.best(X, False) == X_PRICE


def test_void_orders_are_passed_and_deleted(
    order_book: Any, place: Any, maker: Any, maker_id: int, winner_id: int, trader_id: int
) -> None:
    place(maker_id, False, 100)
    place(maker_id, False, 100, X_PRICE - 1)
    order_book.cancel_all(maker_id, sender=maker)
    place(winner_id, False, 100)
    receipt = place(trader_id, True, 100)
    assert cancelled(receipt, order_book) == [(2, VOID), (1, VOID)]
    assert fills(receipt, order_book) == [(3, X_PRICE, 100, 0)]


# --- Bounds --------------------------------------------------------------------------------------


@pytest.fixture
def sixty_five(place: Any, maker_id: int) -> None:
    for _ in range(65):
        place(maker_id, False, 10)


def test_one_call_meets_sixty_four_orders_and_says_that_it_stopped(
    order_book: Any, place: Any, sixty_five: None, trader_id: int
) -> None:
    receipt = place(trader_id, True, 650)
    assert [f[0] for f in fills(receipt, order_book)] == list(range(1, 65))
    assert args(receipt, order_book.Unfilled) == [
        {"account": trader_id, "market": X, "size": 10, "reason": STEPS}
    ]
    # it does not rest, since it would cross what is left
    assert [order_book.best(X, side) for side in (True, False)] == [0, X_PRICE]


def test_void_orders_count_as_met(
    order_book: Any, place: Any, sixty_five: None, maker: Any, maker_id: int, trader_id: int
) -> None:
    order_book.cancel_all(maker_id, sender=maker)
    receipt = place(trader_id, True, 10)
    assert cancelled(receipt, order_book) == [(i, VOID) for i in range(1, 65)]
    assert [e["reason"] for e in args(receipt, order_book.Unfilled)] == [STEPS]
    (rest,) = args(place(trader_id, True, 10), order_book.OrderPlaced)
    assert rest["size"] == 10


def test_a_dollar_below_the_minimum_is_refused_except_to_close(
    order_book: Any, place: Any, open_position: Any, trader_id: int, maker_id: int
) -> None:
    reason = "book: below minimum notional"
    with refused(reason):
        place(trader_id, True, 9)  # $9
    with refused(reason):
        place(trader_id, True, 10, X_PRICE - 1)  # $9.999990
    open_position(trader_id, maker_id, 15)
    place(maker_id, True, 10)
    place(trader_id, False, 10, tif=IOC)
    for is_buy, size in [(True, 5), (False, 4), (False, 6)]:
        with refused(reason):
            place(trader_id, is_buy, size)
    place(trader_id, False, 5)  # the 5 that are left, exactly


@pytest.mark.parametrize(
    ("size", "price", "tif", "reason"),
    [
        (0, X_PRICE, GTC, "book: size out of range"),
        (MAX_SIZE + 1, 1, GTC, "book: size out of range"),
        (MAX_UINT, X_PRICE, GTC, "book: size out of range"),
        (100, 0, GTC, "book: price out of range"),
        (100, MAX_TICK + 1, GTC, "book: price out of range"),
        (100, MAX_UINT, GTC, "book: price out of range"),
        (100, X_PRICE, 3, "book: unknown time in force"),
        (100, X_PRICE, MAX_UINT, "book: unknown time in force"),
    ],
)
def test_bad_terms_are_refused(
    place: Any, trader_id: int, size: int, price: int, tif: int, reason: str
) -> None:
    with refused(reason):
        place(trader_id, True, size, price, X, tif)


def test_the_largest_order_rests_and_reads_back(
    order_book: Any, place: Any, trader_id: int
) -> None:
    place(trader_id, False, MAX_SIZE, MAX_TICK)
    order = order_book.order(1)
    assert (order.size, order.price, order.account) == (MAX_SIZE, MAX_TICK, trader_id)
    assert not order.is_buy


@pytest.mark.parametrize(("account", "market"), [(99, X), (0, X), (None, 2), (None, MAX_UINT)])
def test_an_unknown_account_or_market_is_refused(
    order_book: Any, trader: Any, trader_id: int, account: int | None, market: int
) -> None:
    what = "market" if account is None else "account"
    account = trader_id if account is None else account
    with refused(f"clearinghouse: unknown {what}"):
        order_book.place(account, market, True, 100, X_PRICE, GTC, sender=trader)


def test_somebody_elses_account_is_refused(order_book: Any, stranger: Any, trader_id: int) -> None:
    with refused("book: not your account"):
        order_book.place(trader_id, X, True, 100, X_PRICE, GTC, sender=stranger)


@pytest.mark.parametrize("account", [1, 2, 3], ids=["vault", "tranche", "estate"])
def test_the_venues_own_accounts_place_no_orders(order_book: Any, owner: Any, account: int) -> None:
    with refused("clearinghouse: not a trading account"):
        order_book.place(account, X, True, 100, X_PRICE, GTC, sender=owner)
