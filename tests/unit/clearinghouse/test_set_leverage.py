"""The owner's own limit on leverage in a market."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import USDC, X_PRICE, X, Y, args, refused


def test_it_is_stored_with_the_position_and_announced(
    clearinghouse: Any, open_position: Any, trader: Any, trader_id: int, maker_id: int
) -> None:
    receipt = clearinghouse.set_leverage(trader_id, X, 5, sender=trader)
    assert args(receipt, clearinghouse.PositionChanged) == [
        {
            "account": trader_id,
            "market": X,
            "size": 0,
            "quote": 0,
            "cash": 10_000 * USDC,
            "realised": 0,
            "funding_index": 0,
            "leverage": 5,
        }
    ]
    open_position(trader_id, maker_id, 100)
    assert tuple(clearinghouse.position(trader_id, X)) == (100, -100 * X_PRICE, 0, 5)
    assert clearinghouse.margin(trader_id).initial == 20 * USDC
    assert clearinghouse.margin(trader_id).maintenance == 2_500_000
    clearinghouse.set_leverage(trader_id, X, 0, sender=trader)
    assert clearinghouse.margin(trader_id).initial == 5 * USDC
    open_position(maker_id, trader_id, 100)
    assert tuple(clearinghouse.position(trader_id, X)) == (0, 0, 0, 0)


def test_it_outlives_the_position(
    clearinghouse: Any, open_position: Any, trader: Any, trader_id: int, maker_id: int
) -> None:
    clearinghouse.set_leverage(trader_id, X, 7, sender=trader)
    open_position(trader_id, maker_id, 100)
    open_position(maker_id, trader_id, 250)
    assert clearinghouse.position(trader_id, X).leverage == 7
    open_position(trader_id, maker_id, 150)
    assert tuple(clearinghouse.position(trader_id, X)) == (0, 0, 0, 7)


def test_own_leverage_bounds_what_may_be_opened(
    clearinghouse: Any,
    open_position: Any,
    open_account: Any,
    place: Any,
    loser: Any,
    maker_id: int,
) -> None:
    # $60: 1,200 lots at the market's 20x, 600 at 10x
    poor = open_account(loser, 60 * USDC)
    clearinghouse.set_leverage(poor, X, 10, sender=loser)
    place(maker_id, False, 1_000)
    with refused("margin: below initial margin"):
        place(poor, True, 601)
    place(poor, True, 600)
    with refused("margin: withdrawal beyond free margin"):
        clearinghouse.withdraw(poor, 1, sender=loser)
    # it must be met at once
    with refused("margin: below initial margin"):
        clearinghouse.set_leverage(poor, X, 9, sender=loser)
    clearinghouse.set_leverage(poor, X, 20, sender=loser)
    place(poor, True, 400)
    with refused("margin: below initial margin"):
        clearinghouse.set_leverage(poor, X, 16, sender=loser)
    # 1,000 / 17 = 58.823530, rounded up
    clearinghouse.set_leverage(poor, X, 17, sender=loser)
    assert clearinghouse.margin(poor).initial == 58_823_530


def test_a_flat_account_sets_what_it_likes(
    clearinghouse: Any, open_account: Any, loser: Any
) -> None:
    empty = open_account(loser)
    for leverage in (1, 50, 0):
        clearinghouse.set_leverage(empty, Y, leverage, sender=loser)
        assert clearinghouse.position(empty, Y).leverage == leverage


@pytest.mark.parametrize(("market", "leverage"), [(X, 21), (Y, 51), (X, 2**256 - 1)])
def test_more_than_the_markets_is_refused(
    clearinghouse: Any, trader: Any, trader_id: int, market: int, leverage: int
) -> None:
    with refused("clearinghouse: leverage out of range"):
        clearinghouse.set_leverage(trader_id, market, leverage, sender=trader)


@pytest.mark.parametrize("market", [2, 2**256 - 1])
def test_an_unknown_market_is_refused(
    clearinghouse: Any, trader: Any, trader_id: int, market: int
) -> None:
    with refused("clearinghouse: unknown market"):
        clearinghouse.set_leverage(trader_id, market, 1, sender=trader)


def test_somebody_elses_account_is_refused(
    clearinghouse: Any, stranger: Any, trader_id: int
) -> None:
    with refused("clearinghouse: not your account"):
        clearinghouse.set_leverage(trader_id, X, 1, sender=stranger)
    with refused("clearinghouse: unknown account"):
        clearinghouse.set_leverage(99, X, 1, sender=stranger)


def test_an_open_round_stops_who_has_a_position_there(bare: Any, trader: Any, winner: Any) -> None:
    bare.fill(True, 100, X_PRICE)
    bare.house.freeze(X, True, sender=bare.adl)
    for market in (X, Y):
        with refused("clearinghouse: adl round open"):
            bare.house.set_leverage(bare.trader, market, 5, sender=trader)
    bare.house.set_leverage(bare.winner, X, 5, sender=winner)
