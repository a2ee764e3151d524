"""Halts: the guardian refuses what adds risk, and can do nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import (
    FILLED,
    GTC,
    IOC,
    MAKER_WAITS,
    NOT_OWNER,
    POST_ONLY,
    USDC,
    X_PRICE,
    Y_PRICE,
    X,
    Y,
    args,
    refused,
)

HALTED = "clearinghouse: market halted"


@pytest.fixture
def guardian(governor: Any, owner: Any, keeper: Any) -> Any:
    governor.set_guardian(keeper, sender=owner)
    return keeper


def test_the_owner_names_the_guardian(governor: Any, owner: Any, keeper: Any) -> None:
    assert governor.guardian() == governor.owner() == owner
    receipt = governor.set_guardian(keeper, sender=owner)
    assert args(receipt, governor.GuardianSet) == [{"guardian": keeper.address}]
    assert governor.guardian() == keeper


def test_nobody_else_names_the_guardian(governor: Any, guardian: Any, stranger: Any) -> None:
    for other in (guardian, stranger):
        with refused(NOT_OWNER):
            governor.set_guardian(stranger, sender=other)


def test_the_guardian_halts_one_market(governor: Any, guardian: Any) -> None:
    receipt = governor.halt(X, sender=guardian)
    assert args(receipt, governor.HaltChanged) == [
        {"market": X, "halted": True, "by": guardian.address}
    ]
    assert governor.halted_at(X) == receipt.timestamp
    assert [governor.market(m).halted for m in (X, Y)] == [True, False]


def test_the_owner_halts_too_and_ends_it(governor: Any, guardian: Any, owner: Any) -> None:
    before = governor.market(X)
    governor.halt(X, sender=owner)
    receipt = governor.resume(X, sender=owner)
    assert args(receipt, governor.HaltChanged) == [
        {"market": X, "halted": False, "by": owner.address}
    ]
    assert (governor.market(X), governor.halted_at(X)) == (before, 0)


def test_the_guardian_can_only_halt(
    governor: Any, guardian: Any, owner: Any, wait: Any, guardian_calls: Any
) -> None:
    governor.halt(X, sender=guardian)
    wait(86_400)
    for call in guardian_calls:
        with refused(NOT_OWNER):
            call(guardian)


@pytest.fixture
def guardian_calls(governor: Any) -> list[Any]:
    return [
        lambda who: governor.resume(X, sender=who),
        lambda who: governor.settle_market(X, 1, sender=who),
        lambda who: governor.transfer_ownership(who, sender=who),
    ]


@pytest.mark.parametrize("role", ["stranger", "trader"])
def test_a_stranger_does_not_halt(
    governor: Any, guardian: Any, actors: Any, guardian_calls: Any, role: str
) -> None:
    with refused("governor: guardian only"):
        governor.halt(X, sender=actors[role])
    for call in guardian_calls:
        with refused(NOT_OWNER):
            call(actors[role])


def test_what_is_not_so_is_refused(governor: Any, owner: Any) -> None:
    with refused("governor: market not halted"):
        governor.resume(X, sender=owner)
    for market in (2, 2**256 - 1):
        with refused("clearinghouse: unknown market"):
            governor.halt(market, sender=owner)
        with refused("governor: market not halted"):
            governor.resume(market, sender=owner)
    governor.halt(X, sender=owner)
    with refused("governor: market halted"):
        governor.halt(X, sender=owner)


def test_a_halt_refuses_what_adds_risk_and_allows_what_reduces_it(bare: Any, owner: Any) -> None:
    # trader +100, winner +50, maker -150
    bare.fill(True, 100, X_PRICE)
    bare.fill(True, 50, X_PRICE, taker=bare.winner)
    bare.governor.halt(X, sender=owner)
    with refused(HALTED):
        bare.fill(True, 1, X_PRICE, taker=bare.winner, maker=bare.trader)
    with refused(HALTED):  # a flip
        bare.fill(False, 101, X_PRICE)
    assert bare.outcome(False, 1, X_PRICE, maker=bare.winner) == MAKER_WAITS
    assert bare.outcome(False, 100, X_PRICE) == FILLED
    bare.fill(False, 40, X_PRICE)
    assert bare.house.position(bare.trader, X).size == 60
    # other markets go on
    bare.fill(True, 1, Y_PRICE, market=Y)
    bare.governor.resume(X, sender=owner)
    bare.fill(True, 40, X_PRICE)


def test_a_halted_market_still_liquidates(
    governor: Any,
    guardian: Any,
    liquidator: Any,
    clearinghouse: Any,
    open_account: Any,
    open_position: Any,
    place: Any,
    move_mark: Any,
    loser: Any,
    stranger: Any,
    winner_id: int,
) -> None:
    weak = open_account(loser, 60 * USDC)
    open_position(weak, winner_id, 1_000)
    move_mark(960_000)
    place(winner_id, True, 1_000, 955_000)  # buys back what it is short
    governor.halt(X, sender=guardian)
    liquidator.liquidate(weak, 10, sender=stranger)
    assert clearinghouse.position(weak, X).size == 0
    assert clearinghouse.cash(weak) == 15 * USDC


def test_a_halted_market_still_deleverages(
    governor: Any,
    guardian: Any,
    liquidator: Any,
    deleverager: Any,
    clearinghouse: Any,
    open_account: Any,
    open_position: Any,
    move_mark: Any,
    loser: Any,
    stranger: Any,
    winner_id: int,
) -> None:
    weak = open_account(loser, 60 * USDC)
    open_position(weak, winner_id, 1_000)
    governor.halt(X, sender=guardian)
    move_mark(900_000)
    receipt = liquidator.liquidate(weak, 100, sender=stranger)
    assert [e["winner"] for e in args(receipt, deleverager.Deleveraged)] == [winner_id]
    assert clearinghouse.open_interest(X) == 0


def test_a_flat_account_may_always_ask_for_its_money(
    governor: Any, guardian: Any, clearinghouse: Any, trader: Any, trader_id: int
) -> None:
    governor.halt(X, sender=guardian)
    governor.halt(Y, sender=guardian)
    clearinghouse.withdraw(trader_id, 10_000 * USDC, sender=trader)
    assert clearinghouse.cash(trader_id) == 0


def test_resting_orders_may_be_cancelled_and_none_that_adds_risk_is_taken(
    governor: Any, guardian: Any, order_book: Any, place: Any, trader: Any, trader_id: int
) -> None:
    place(trader_id, True)
    governor.halt(X, sender=guardian)
    order_book.cancel(1, sender=trader)
    for tif in (GTC, IOC, POST_ONLY):
        with refused(HALTED):
            place(trader_id, True, tif=tif)
