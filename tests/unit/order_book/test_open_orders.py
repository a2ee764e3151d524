"""An account's own open orders: one view, and 128 at most."""

from __future__ import annotations

from typing import Any

import pytest

from breakwater.engine.base import Reverted
from breakwater.engine.revm import RevmEngine
from breakwater.venue import Venue, VenueConfig
from tests.helpers import X_PRICE, Y_PRICE, X, Y

MOST = 128


def listed(book: Any, account: int) -> list[tuple[Any, ...]]:
    return sorted(tuple(order) for order in book.open_orders(account))


def test_every_order_is_listed_until_it_is_gone(
    order_book: Any,
    place: Any,
    open_position: Any,
    maker: Any,
    maker_id: int,
    trader_id: int,
    winner_id: int,
) -> None:
    assert listed(order_book, maker_id) == []
    open_position(maker_id, winner_id, 50)
    first = order_book.last_order_id() + 1
    place(maker_id, True, 100, X_PRICE - 5)
    place(maker_id, False, 50, X_PRICE + 5, reduce_only=True)
    place(maker_id, False, 1_000, Y_PRICE, Y)
    place(trader_id, True, 100, X_PRICE - 6)
    orders = [
        (first, X, True, X_PRICE - 5, 100, False),
        (first + 1, X, False, X_PRICE + 5, 50, True),
        (first + 2, Y, False, Y_PRICE, 1_000, False),
    ]
    assert listed(order_book, maker_id) == orders
    # filled in part, cancelled, filled
    place(trader_id, False, 30, X_PRICE - 5)
    orders[0] = (first, X, True, X_PRICE - 5, 70, False)
    assert listed(order_book, maker_id) == orders
    order_book.cancel(first + 1, sender=maker)
    assert listed(order_book, maker_id) == [orders[0], orders[2]]
    place(trader_id, True, 1_000, Y_PRICE, Y)
    assert listed(order_book, maker_id) == [orders[0]]
    assert [o[0] for o in listed(order_book, trader_id)] == [first + 3]


def test_a_place_that_is_free_again_is_used_again(
    order_book: Any, place: Any, maker: Any, maker_id: int
) -> None:
    for i in range(4):
        place(maker_id, True, 100, X_PRICE - i)
    for order in (1, 3):
        order_book.cancel(order, sender=maker)
    assert [o.order_id for o in order_book.open_orders(maker_id)] == [2, 4]
    place(maker_id, True, 100, X_PRICE - 7)
    place(maker_id, True, 100, X_PRICE - 8)
    assert [o[0] for o in listed(order_book, maker_id)] == [2, 4, 5, 6]
    assert [order_book.order(i).slot for i in (2, 4, 5, 6)] == [1, 3, 0, 2]


def test_cancelling_all_empties_the_list_and_a_void_order_frees_no_place(
    order_book: Any, place: Any, maker: Any, maker_id: int, stranger: Any
) -> None:
    place(maker_id, True, 100, X_PRICE)
    place(maker_id, True, 100, X_PRICE - 1)
    order_book.cancel_all(maker_id, sender=maker)
    assert listed(order_book, maker_id) == []
    assert order_book.call_view_method("nonce", maker_id) == 1
    place(maker_id, True, 100, X_PRICE - 2)
    # deleting order 1, which had the same place in the desk before
    order_book.purge(X, True, 64, sender=stranger)
    assert [o[0] for o in listed(order_book, maker_id)] == [3]
    order_book.cancel(3, sender=maker)
    assert listed(order_book, maker_id) == []


def test_an_unknown_account_has_none(order_book: Any) -> None:
    assert listed(order_book, 99) == listed(order_book, 0) == []


def test_128_orders_and_not_one_more() -> None:
    """In process, where 400 transactions take no time."""
    engine = RevmEngine()
    venue = Venue.deploy(engine, VenueConfig())
    venue.add_market("X", 2, 20, 0, X_PRICE)
    trader = engine.actor("trader")
    account = venue.open_account(trader, 10**9)
    book = venue.order_book

    def place(i: int) -> None:
        venue.place(trader, account, X, True, 1 + i, X_PRICE - i)

    def ids() -> list[int]:
        return sorted(order.order_id for order in book.call("open_orders", account))

    for i in range(MOST):
        place(i)
    assert ids() == list(range(1, MOST + 1))
    rows = {o.order_id: (o.size, o.price) for o in book.call("open_orders", account)}
    assert rows == {1 + i: (1 + i, X_PRICE - i) for i in range(MOST)}
    with pytest.raises(Reverted) as refusal:
        place(MOST)
    assert refusal.value.reason == "book: too many open orders"
    # what trades at once or is dropped needs no place
    venue.place(trader, account, X, True, 5, X_PRICE, "ioc")
    for gone in (1, 2, 3, 64, MOST):
        book.send("cancel", gone, sender=trader)
        place(MOST)
        with pytest.raises(Reverted) as refusal:
            place(MOST)
        assert refusal.value.reason == "book: too many open orders"
    kept = [i for i in range(1, MOST + 1) if i not in (1, 2, 3, 64, MOST)]
    assert ids() == [*kept, *range(MOST + 1, MOST + 6)]
    book.send("cancel_all", account, sender=trader)
    assert ids() == []
    for i in range(MOST):
        place(i)
    assert ids() == list(range(MOST + 6, 2 * MOST + 6))
