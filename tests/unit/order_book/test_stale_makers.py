"""Makers who would add risk while the market takes none (stale, halted, a loss uninsured): passed
over, not cancelled, by takers who reduce. New orders that would add risk are refused meanwhile.

Without a price in another of its markets a maker is refused, as for want of margin.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import (
    GTC,
    IMMEDIATE,
    IOC,
    MAKER_MARGIN,
    POST_ONLY,
    USDC,
    WAITING_MAKERS,
    X_PRICE,
    Y_PRICE,
    X,
    Y,
    args,
    refused,
)


@pytest.fixture
def go_stale(oracle: Any, owner: Any, reporter: Any, wait: Any) -> Any:
    """Y alone."""

    def factory(price: int = X_PRICE) -> None:
        oracle.set_market_staleness(Y, 60, sender=owner)
        wait(100)
        oracle.update([price, 0], sender=reporter)
        assert [oracle.is_fresh(m) for m in (X, Y)] == [True, False]

    return factory


@pytest.fixture
def exposed(open_position: Any, maker_id: int, winner_id: int) -> int:
    """The maker, with a position in Y."""
    open_position(maker_id, winner_id, 100, Y_PRICE, Y)
    return maker_id


@pytest.fixture
def long(open_position: Any, trader_id: int, winner_id: int) -> int:
    """The trader, long 100 lots of X against the winner: both may reduce at a stale price."""
    open_position(trader_id, winner_id, 100)
    return trader_id


def fills(receipt: Any, book: Any) -> list[tuple[int, int]]:
    return [(e["order_id"], e["size"]) for e in args(receipt, book.Filled)]


def test_who_reduces_passes_them_over_and_goes_on(
    order_book: Any, place: Any, wait: Any, long: int, maker_id: int, winner_id: int
) -> None:
    place(maker_id, True, 100)
    first = order_book.last_order_id()
    place(winner_id, True, 30)
    place(maker_id, True, 100, X_PRICE - 1)
    place(winner_id, True, 30, X_PRICE - 2)
    wait(3_700)
    receipt = place(long, False, 100, X_PRICE - 2, tif=IOC)
    assert fills(receipt, order_book) == [(first + 1, 30), (first + 3, 30)]
    assert not args(receipt, order_book.OrderCancelled)
    assert [(e["size"], e["reason"]) for e in args(receipt, order_book.Unfilled)] == [
        (40, IMMEDIATE)
    ]
    assert [tuple(level) for level in order_book.depth(X, True, 9)] == [
        (X_PRICE, 100),
        (X_PRICE - 1, 100),
    ]


def test_an_order_that_would_rest_across_them_does_not(
    order_book: Any, place: Any, wait: Any, long: int, maker_id: int
) -> None:
    place(maker_id, True, 100)
    wait(3_700)
    receipt = place(long, False, 100, tif=GTC)
    assert args(receipt, order_book.Unfilled) == [
        {"account": long, "market": X, "size": 100, "reason": WAITING_MAKERS}
    ]
    assert not args(receipt, order_book.OrderPlaced)
    assert order_book.best(X, True) == X_PRICE


def test_they_trade_again_with_the_next_price(
    order_book: Any, oracle: Any, reporter: Any, wait: Any, place: Any, long: int, maker_id: int
) -> None:
    place(maker_id, True, 100)
    wait(3_700)
    assert fills(place(long, False, 100, tif=IOC), order_book) == []
    wait(3)
    oracle.update([X_PRICE, Y_PRICE], sender=reporter)
    assert [size for _, size in fills(place(long, False, 100, tif=IOC), order_book)] == [100]


def test_a_maker_whose_other_market_has_no_price_is_cancelled(
    order_book: Any, place: Any, go_stale: Any, exposed: int, trader_id: int, winner_id: int
) -> None:
    place(exposed, False, 100)
    first = order_book.last_order_id()
    go_stale()
    receipt = place(trader_id, True, 100, tif=IOC)
    assert [(e["order_id"], e["reason"]) for e in args(receipt, order_book.OrderCancelled)] == [
        (first, MAKER_MARGIN)
    ]
    assert fills(receipt, order_book) == []


def test_one_who_only_reduces_is_no_stale_maker(
    order_book: Any,
    place: Any,
    open_position: Any,
    go_stale: Any,
    exposed: int,
    trader_id: int,
) -> None:
    open_position(exposed, trader_id, 50)
    place(exposed, False, 50)
    go_stale()
    assert [size for _, size in fills(place(trader_id, True, 50), order_book)] == [50]


def test_a_taker_with_a_stale_market_is_refused(
    place: Any, go_stale: Any, exposed: int, trader_id: int
) -> None:
    place(trader_id, False, 100)
    go_stale()
    with refused("oracle: stale price"):
        place(exposed, True, 100)


def test_a_liquidation_does_not_wait_for_them(
    order_book: Any,
    liquidator: Any,
    clearinghouse: Any,
    place: Any,
    open_account: Any,
    open_position: Any,
    go_stale: Any,
    exposed: int,
    loser: Any,
    keeper: Any,
    trader_id: int,
) -> None:
    weak = open_account(loser, 60 * USDC)
    open_position(weak, trader_id, 1_000)
    place(exposed, True, 1_000, 956_000)
    stale = order_book.last_order_id()
    place(trader_id, True, 1_000, 955_000)
    go_stale(960_000)
    receipt = liquidator.liquidate(weak, 10, sender=keeper)
    assert [(e["order_id"], e["reason"]) for e in args(receipt, order_book.OrderCancelled)] == [
        (stale, MAKER_MARGIN)
    ]
    assert fills(receipt, order_book) == [(stale + 1, 1_000)]
    assert clearinghouse.cash(weak) == 15 * USDC


@pytest.fixture
def stuffed(place: Any, long: int, maker_id: int, winner_id: int) -> int:
    """A bid that adds risk before one that reduces. The id of the first."""
    place(maker_id, True, 100)
    place(winner_id, True, 40, X_PRICE - 1)
    return maker_id


@pytest.fixture(params=["stale", "halted"])
def closed_to_risk(request: pytest.FixtureRequest, stuffed: int) -> str:
    """A market that takes no risk, and the words with which it says so."""
    reasons = {
        "stale": "oracle: stale price",
        "halted": "clearinghouse: market halted",
    }
    if request.param == "stale":
        request.getfixturevalue("wait")(3_700)
    else:
        owner = request.getfixturevalue("owner")
        request.getfixturevalue("governor").halt(X, sender=owner)
    return reasons[request.param]


def test_nobody_clears_the_book_for_free(
    stuffed: int, closed_to_risk: str, order_book: Any, place: Any, long: int
) -> None:
    for _ in range(3):
        receipt = place(long, False, 10, X_PRICE - 1, tif=IOC)
        assert not args(receipt, order_book.OrderCancelled)
        assert [e["size"] for e in args(receipt, order_book.Filled)] == [10]
    assert [tuple(level) for level in order_book.depth(X, True, 9)] == [
        (X_PRICE, 100),
        (X_PRICE - 1, 10),
    ]


@pytest.mark.parametrize("tif", [GTC, IOC, POST_ONLY])
def test_an_order_that_would_add_risk_is_refused(
    stuffed: int, closed_to_risk: str, place: Any, long: int, winner_id: int, tif: int
) -> None:
    with refused(closed_to_risk):
        place(stuffed, True, 1, X_PRICE - 9, tif=tif)
    with refused(closed_to_risk):  # a flip
        place(long, False, 101, X_PRICE + 9, tif=tif)
    place(long, False, 100, X_PRICE + 9, tif=tif)


def test_where_a_tick_is_more_than_the_step_no_risk_is_added(
    oracle: Any, governor: Any, owner: Any, place: Any, trader_id: int
) -> None:
    # $100 a lot and 50 ticks: one tick is 2% of the mark
    oracle.add_market(50, sender=owner)
    oracle.add_market(112, sender=owner)
    for _ in range(2):
        governor.add_market("CHEAP", 0, 10, 0, sender=owner)
    oracle.set_parameters(3, 3_600, 9_000, sender=owner)
    assert [oracle.is_coarse(m) for m in (X, 2, 3)] == [False, True, False]
    for tif in (GTC, IOC, POST_ONLY):
        with refused("oracle: reduce only, a tick is more than the step"):
            place(trader_id, True, 100, 50, 2, tif)
    place(trader_id, True, 100, 50, 3)
    # A limit that is lifted is no limit to exceed.
    oracle.set_parameters(3, 3_600, 0, sender=owner)
    place(trader_id, True, 100, 50, 2)
