"""Equity and requirements: sums over markets, each requirement rounded up."""

from __future__ import annotations

from typing import Any

from tests.helpers import USDC, X_PRICE, Y_PRICE, Y, ceil_div


def test_requirements_are_rounded_up_leg_by_leg(
    bare: Any, oracle: Any, reporter: Any, wait: Any
) -> None:
    bare.fill(True, 1, X_PRICE)
    bare.fill(False, 7, Y_PRICE, market=Y)
    wait(3)
    oracle.update([1_000_003, 200_003], sender=reporter)
    margin = bare.house.margin(bare.trader)
    x, y = 1_000_003, 7 * 200_003
    assert margin.equity == 10_000 * USDC + 3 - 7 * 3
    assert margin.notional == x + y
    # 25,000.075 and 14,000.21, each rounded up, and twice that to add risk
    assert margin.maintenance == 25_001 + 14_001 == ceil_div(x, 40) + ceil_div(y, 100)
    assert margin.initial == 2 * margin.maintenance
    assert bare.house.equity(bare.trader) == margin.equity
    assert bare.house.active_markets(bare.trader) == 0b11


def test_freshness_matters_only_with_a_position(bare: Any, wait: Any, chain: Any) -> None:
    bare.fill(True, 1, X_PRICE)
    assert bare.house.margin(bare.trader).is_fresh
    wait(3_700)
    chain.mine()
    assert not bare.house.margin(bare.trader).is_fresh
    assert bare.house.margin(bare.winner).is_fresh


def test_a_flat_account_needs_nothing(clearinghouse: Any, trader_id: int) -> None:
    assert tuple(clearinghouse.margin(trader_id)) == (10_000 * USDC, 0, 0, 0, True)
