"""Deleting void orders from the top of a side: anyone, bounded, never a live one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import VOID, X_PRICE, X, args


@pytest.fixture
def void(order_book: Any, place: Any, maker: Any, maker_id: int, winner_id: int) -> None:
    """Three void bids above a live one, and a void one below it."""
    for price in (X_PRICE, X_PRICE, X_PRICE - 1, X_PRICE - 9):
        place(maker_id, True, 100, price)
    order_book.cancel_all(maker_id, sender=maker)
    place(winner_id, True, 100, X_PRICE - 5)


@pytest.mark.parametrize(
    ("steps", "deleted"),
    [(0, []), (1, [1]), (3, [1, 2, 3]), (64, [1, 2, 3]), (2**256 - 1, [1, 2, 3])],
)
def test_it_deletes_up_to_the_first_live_one(
    order_book: Any, void: None, stranger: Any, steps: int, deleted: list[int]
) -> None:
    assert order_book.purge.call(X, True, steps, sender=stranger) == len(deleted)
    receipt = order_book.purge(X, True, steps, sender=stranger)
    assert [(e["order_id"], e["reason"]) for e in args(receipt, order_book.OrderCancelled)] == [
        (order, VOID) for order in deleted
    ]
    assert order_book.best(X, True) == X_PRICE - 5
    assert order_book.order(4).size == order_book.order(5).size == 100


def test_the_other_side_and_other_markets_are_left_alone(
    order_book: Any, void: None, stranger: Any
) -> None:
    for market, is_buy in [(X, False), (1, True), (255, True)]:
        assert not order_book.purge(market, is_buy, 64, sender=stranger).events


def test_a_live_book_is_left_alone(
    order_book: Any, place: Any, maker_id: int, stranger: Any
) -> None:
    place(maker_id, True)
    assert not order_book.purge(X, True, 64, sender=stranger).events
    assert order_book.best(X, True) == X_PRICE
