"""Post only: rests, or is refused if it would trade at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import POST_ONLY, VOID, X_PRICE, X, args, refused


@pytest.mark.parametrize("is_buy", [True, False])
def test_it_rests_a_tick_outside_the_other_side(
    order_book: Any, place: Any, maker_id: int, trader_id: int, is_buy: bool
) -> None:
    place(maker_id, not is_buy, 100, X_PRICE)
    outside = X_PRICE - 1 if is_buy else X_PRICE + 1
    receipt = place(trader_id, is_buy, 100, outside, tif=POST_ONLY)
    (order,) = args(receipt, order_book.OrderPlaced)
    assert (order["price"], order["size"], order["is_buy"]) == (outside, 100, is_buy)
    assert not args(receipt, order_book.Filled)


@pytest.mark.parametrize("is_buy", [True, False])
@pytest.mark.parametrize("beyond", [0, 1, 1_000])
def test_what_would_trade_is_refused(
    place: Any, maker_id: int, trader_id: int, is_buy: bool, beyond: int
) -> None:
    place(maker_id, not is_buy, 100, X_PRICE)
    with refused("book: post only would trade"):
        place(
            trader_id,
            is_buy,
            100,
            X_PRICE + beyond if is_buy else X_PRICE - beyond,
            tif=POST_ONLY,
        )


def test_its_own_side_does_not_matter(order_book: Any, place: Any, trader_id: int) -> None:
    place(trader_id, True, 100, X_PRICE)
    place(trader_id, True, 100, X_PRICE + 5, tif=POST_ONLY)
    assert order_book.best(X, True) == X_PRICE + 5


def test_void_orders_on_top_are_no_price(
    order_book: Any, place: Any, maker: Any, maker_id: int, winner_id: int, trader_id: int
) -> None:
    for price in (X_PRICE - 2, X_PRICE - 1, X_PRICE - 2):
        place(maker_id, False, 100, price)
    order_book.cancel_all(maker_id, sender=maker)
    place(winner_id, False, 100, X_PRICE + 1)
    receipt = place(trader_id, True, 100, X_PRICE, tif=POST_ONLY)
    deleted = args(receipt, order_book.OrderCancelled)
    assert [(e["order_id"], e["reason"]) for e in deleted] == [(1, VOID), (3, VOID), (2, VOID)]
    assert [order_book.best(X, side) for side in (True, False)] == [X_PRICE, X_PRICE + 1]


def test_a_live_order_among_void_ones_is_a_price(
    order_book: Any, place: Any, maker: Any, maker_id: int, winner_id: int, trader_id: int
) -> None:
    place(maker_id, False, 100, X_PRICE - 2)
    place(winner_id, False, 100, X_PRICE - 1)
    order_book.cancel_all(maker_id, sender=maker)
    with refused("book: post only would trade"):
        place(trader_id, True, 100, X_PRICE, tif=POST_ONLY)


def test_void_orders_that_would_not_cross_are_left_alone(
    order_book: Any, place: Any, maker: Any, maker_id: int, trader_id: int
) -> None:
    place(maker_id, False, 100, X_PRICE + 1)
    order_book.cancel_all(maker_id, sender=maker)
    receipt = place(trader_id, True, 100, X_PRICE, tif=POST_ONLY)
    assert not args(receipt, order_book.OrderCancelled)
