"""Reduce only: no further than it closes the position, when it is placed and while it rests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import GTC, IOC, POST_ONLY, REDUCE_ONLY, X_PRICE, X, args, refused


@pytest.fixture
def long(open_position: Any, trader_id: int, winner_id: int) -> int:
    """The trader, long 100 lots."""
    open_position(trader_id, winner_id, 100)
    return trader_id


def fills(receipt: Any, book: Any) -> list[tuple[int, int, int]]:
    return [(e["order_id"], e["size"], e["remaining"]) for e in args(receipt, book.Filled)]


def dropped(receipt: Any, book: Any) -> list[tuple[int, int, int]]:
    events = args(receipt, book.OrderCancelled)
    return [(e["order_id"], e["size"], e["reason"]) for e in events]


@pytest.mark.parametrize("tif", [GTC, IOC, POST_ONLY])
def test_with_nothing_to_reduce_it_is_refused(
    place: Any, long: int, winner_id: int, maker_id: int, tif: int
) -> None:
    for account, is_buy in [(long, True), (winner_id, False), (maker_id, True), (maker_id, False)]:
        with refused("book: nothing to reduce"):
            place(account, is_buy, 50, tif=tif, reduce_only=True)


def test_at_placement_it_is_cut_to_the_position(
    order_book: Any, place: Any, clearinghouse: Any, long: int, maker_id: int
) -> None:
    place(maker_id, True, 300)
    receipt = place(long, False, 250, reduce_only=True)
    assert fills(receipt, order_book) == [(2, 100, 200)]
    assert not args(receipt, order_book.OrderPlaced)
    assert clearinghouse.position(long, X).size == 0


def test_the_cut_order_rests(order_book: Any, place: Any, long: int) -> None:
    receipt = place(long, False, 250, X_PRICE + 5, reduce_only=True)
    (order,) = args(receipt, order_book.OrderPlaced)
    assert (order["size"], order["reduce_only"]) == (100, True)
    stored = order_book.order(order["order_id"])
    assert (stored.size, stored.reduce_only) == (100, True)


@pytest.fixture
def resting(order_book: Any, place: Any, long: int) -> int:
    """An offer of the trader's for all of its 100 lots, that only reduces."""
    place(long, False, 100, X_PRICE + 5, reduce_only=True)
    return order_book.last_order_id()


def test_a_resting_one_fills_as_any_other(
    order_book: Any, place: Any, clearinghouse: Any, resting: int, long: int, maker_id: int
) -> None:
    receipt = place(maker_id, True, 60, X_PRICE + 5)
    assert fills(receipt, order_book) == [(resting, 60, 40)]
    assert clearinghouse.position(long, X).size == 40


def test_a_resting_one_shrinks_with_the_position(
    order_book: Any,
    place: Any,
    clearinghouse: Any,
    resting: int,
    long: int,
    winner_id: int,
    maker_id: int,
) -> None:
    place(maker_id, True, 70)
    place(long, False, 70)  # 30 left
    place(winner_id, False, 100, X_PRICE + 5)
    receipt = place(maker_id, True, 50, X_PRICE + 5)
    # the 30 that close the position; the rest of the taker's order goes on to the next
    assert fills(receipt, order_book) == [(resting, 30, 70), (resting + 2, 20, 80)]
    assert clearinghouse.position(long, X).size == 0
    # what is left of it can close nothing any more
    assert dropped(receipt, order_book) == [(resting, 70, REDUCE_ONLY)]
    assert [o.order_id for o in order_book.open_orders(long)] == []


def test_a_resting_one_that_found_its_position_closed_goes_when_it_is_met(
    order_book: Any, place: Any, resting: int, long: int, winner_id: int, maker_id: int
) -> None:
    place(maker_id, True, 100)
    place(long, False, 100)
    place(winner_id, False, 100, X_PRICE + 5)
    assert order_book.order(resting).size == 100
    receipt = place(maker_id, True, 50, X_PRICE + 5)
    assert dropped(receipt, order_book) == [(resting, 100, REDUCE_ONLY)]
    assert fills(receipt, order_book) == [(resting + 2, 50, 50)]


def test_a_resting_one_never_opens_the_other_side(
    order_book: Any, place: Any, clearinghouse: Any, resting: int, long: int, maker_id: int
) -> None:
    place(maker_id, True, 200)
    place(long, False, 200, tif=IOC)  # short 100 now
    assert clearinghouse.position(long, X).size == -100
    receipt = place(maker_id, True, 100, X_PRICE + 5, tif=IOC)
    assert [e["reason"] for e in args(receipt, order_book.OrderCancelled)] == [REDUCE_ONLY]
    assert clearinghouse.position(long, X).size == -100


def test_an_order_without_the_flag_may_flip(
    order_book: Any, place: Any, clearinghouse: Any, long: int, maker_id: int
) -> None:
    place(maker_id, True, 250)
    place(long, False, 250)
    assert clearinghouse.position(long, X).size == -150


def test_dust_may_always_be_closed(
    order_book: Any, place: Any, clearinghouse: Any, long: int, maker_id: int
) -> None:
    place(maker_id, True, 100)
    place(long, False, 95)
    place(maker_id, True, 10)
    # $5, where $10 is the minimum; asked for more, it is cut to all of the position
    receipt = place(long, False, 9, reduce_only=True)
    assert sum(f[1] for f in fills(receipt, order_book)) == 5
    assert clearinghouse.position(long, X).size == 0
