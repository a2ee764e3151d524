"""Cancelling one order: its owner's right, and the queue closes behind it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import BY_OWNER, X_PRICE, X, args, refused


@pytest.mark.parametrize("gone", [1, 2, 3], ids=["first", "middle", "last"])
def test_the_queue_closes_behind_a_cancelled_order(
    order_book: Any, place: Any, maker: Any, maker_id: int, trader_id: int, gone: int
) -> None:
    for size in (100, 110, 120):
        place(maker_id, False, size)
    receipt = order_book.cancel(gone, sender=maker)
    assert args(receipt, order_book.OrderCancelled) == [
        {"order_id": gone, "account": maker_id, "size": 90 + 10 * gone, "reason": BY_OWNER}
    ]
    assert order_book.depth(X, False, 5)[0].size == 330 - (90 + 10 * gone)
    place(maker_id, False, 130)  # joins at the end
    filled = args(place(trader_id, True, 1_000), order_book.Filled)
    assert [e["order_id"] for e in filled] == [i for i in (1, 2, 3, 4) if i != gone]


def test_the_last_order_of_a_price_takes_the_price_along(
    order_book: Any, place: Any, maker: Any, maker_id: int
) -> None:
    place(maker_id, True, 100, X_PRICE)
    place(maker_id, True, 100, X_PRICE - 7)
    order_book.cancel(1, sender=maker)
    assert order_book.best(X, True) == X_PRICE - 7
    order_book.cancel(2, sender=maker)
    assert order_book.best(X, True) == 0


def test_an_order_that_is_gone_is_unknown(
    order_book: Any, place: Any, maker: Any, maker_id: int
) -> None:
    place(maker_id, True)
    order_book.cancel(1, sender=maker)
    for order in (0, 1, 2, 2**256 - 1):
        with refused("book: unknown order"):
            order_book.cancel(order, sender=maker)
    with refused("book: unknown order"):
        order_book.order(1)


def test_somebody_elses_order_is_refused(
    order_book: Any, place: Any, stranger: Any, maker_id: int
) -> None:
    place(maker_id, True)
    with refused("book: not your account"):
        order_book.cancel(1, sender=stranger)
