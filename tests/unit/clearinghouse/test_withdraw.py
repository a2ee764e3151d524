"""Withdrawals: the owner's free margin, to the owner, and everyone's same share of a loss."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import MAX_UINT, USDC, X_PRICE, X, Y, args, ceil_div, refused

BEYOND = "margin: withdrawal beyond free margin"


def test_a_flat_account_can_take_everything(
    clearinghouse: Any, usdc: Any, trader: Any, trader_id: int
) -> None:
    balance, held = usdc.balanceOf(trader), clearinghouse.held()
    receipt = clearinghouse.withdraw(trader_id, 10_000 * USDC, sender=trader)
    assert args(receipt, clearinghouse.Withdrawn) == [
        {
            "account": trader_id,
            "amount": 10_000 * USDC,
            "paid": 10_000 * USDC,
            "cash": 0,
            "uninsured": 0,
        }
    ]
    assert usdc.balanceOf(trader) == balance + 10_000 * USDC
    assert clearinghouse.held() == held - 10_000 * USDC


def test_ten_percent_of_the_notional_must_remain_rounded_up(
    clearinghouse: Any,
    open_position: Any,
    move_mark: Any,
    trader: Any,
    trader_id: int,
    maker_id: int,
) -> None:
    # 10,001 lots at $100.0001: $10,001.010001 of notional; initial margin is half of what stays
    open_position(trader_id, maker_id, 10_001)
    move_mark(X_PRICE + 1)
    notional = 10_001 * (X_PRICE + 1)
    margin = clearinghouse.margin(trader_id)
    assert (margin.notional, margin.equity) == (notional, 10_000 * USDC + 10_001)
    assert notional % 10 != 0
    free = margin.equity - ceil_div(notional, 10)
    with refused(BEYOND):
        clearinghouse.withdraw(trader_id, free + 1, sender=trader)
    clearinghouse.withdraw(trader_id, free, sender=trader)
    assert clearinghouse.equity(trader_id) == ceil_div(notional, 10)


def test_initial_margin_must_remain_where_it_is_more(
    bare: Any, oracle: Any, owner: Any, trader: Any
) -> None:
    # at 5x, 7 lots at $1.000003: twice the maintenance of 700,002.1 micro-USDC, rounded up
    oracle.add_market(1_000_003, sender=owner)
    bare.governor.add_market("Z", 0, 5, 0, sender=owner)
    bare.fill(True, 7, 1_000_003, market=2)
    free = 10_000 * USDC - 1_400_006
    with refused(BEYOND):
        bare.house.withdraw(bare.trader, free + 1, sender=trader)
    bare.house.withdraw(bare.trader, free, sender=trader)
    assert bare.house.cash(bare.trader) == 7 * 1_000_003 + 1_400_006 - 7 * 1_000_003


def test_unrealised_profit_is_free_margin_too(
    clearinghouse: Any,
    open_position: Any,
    move_mark: Any,
    trader: Any,
    trader_id: int,
    maker_id: int,
) -> None:
    # 1,000 lots gain $50 each: equity $60,000, $15,000 must stay
    open_position(trader_id, maker_id, 1_000)
    move_mark(X_PRICE * 3 // 2)
    clearinghouse.withdraw(trader_id, (10_500 - 150) * USDC, sender=trader)
    assert clearinghouse.cash(trader_id) == -350 * USDC
    assert clearinghouse.equity(trader_id) == 150 * USDC


@pytest.mark.parametrize("amount", [10_000 * USDC + 1, 2**255, MAX_UINT])
def test_more_than_there_is_is_refused(
    clearinghouse: Any, trader: Any, trader_id: int, amount: int
) -> None:
    with refused(BEYOND):
        clearinghouse.withdraw(trader_id, amount, sender=trader)


def test_nothing_is_refused(clearinghouse: Any, trader: Any, trader_id: int) -> None:
    with refused("clearinghouse: amount is zero"):
        clearinghouse.withdraw(trader_id, 0, sender=trader)


@pytest.mark.parametrize("account", [1, 2, 3], ids=["the vault's", "the tranche's", "an estate"])
def test_the_venues_own_accounts_pay_nobody(clearinghouse: Any, owner: Any, account: int) -> None:
    with refused("clearinghouse: not your account"):
        clearinghouse.withdraw(account, 1, sender=owner)


def test_somebody_elses_account_is_refused(
    clearinghouse: Any, stranger: Any, trader_id: int
) -> None:
    with refused("clearinghouse: not your account"):
        clearinghouse.withdraw(trader_id, 1, sender=stranger)


@pytest.mark.parametrize("account", [0, 99])
def test_an_unknown_account_is_refused(clearinghouse: Any, trader: Any, account: int) -> None:
    with refused("clearinghouse: unknown account"):
        clearinghouse.withdraw(account, 1, sender=trader)


def test_a_stale_price_stops_an_account_with_a_position_only(
    clearinghouse: Any,
    open_position: Any,
    wait: Any,
    trader: Any,
    trader_id: int,
    maker_id: int,
    winner: Any,
    winner_id: int,
) -> None:
    open_position(trader_id, maker_id, 100)
    wait(3_700)
    with refused("oracle: stale price"):
        clearinghouse.withdraw(trader_id, 1, sender=trader)
    clearinghouse.withdraw(winner_id, 1, sender=winner)
    assert clearinghouse.cash(winner_id) == 10_000 * USDC - 1


@pytest.mark.parametrize("market", [X, Y])
def test_an_open_round_stops_who_has_a_position_there(
    bare: Any, trader: Any, winner: Any, market: int
) -> None:
    bare.fill(True, 100, 200_000 if market == Y else X_PRICE, market=market)
    bare.house.freeze(market, True, sender=bare.adl)
    with refused("clearinghouse: adl round open"):
        bare.house.withdraw(bare.trader, 1, sender=trader)
    bare.house.withdraw(bare.winner, 1, sender=winner)
    bare.house.freeze(market, False, sender=bare.adl)
    bare.house.withdraw(bare.trader, 1, sender=trader)


def test_while_a_loss_is_uninsured_everyone_is_paid_the_same_ratio(
    bare: Any, usdc: Any, trader: Any, winner: Any
) -> None:
    # The maker owes the trader $500 more than it has; $30,000 stand against $30,500 of claims.
    house = bare.house
    house.transfer_cash(bare.maker, bare.trader, 10_500 * USDC, sender=bare.waterfall)
    house.write_off(bare.maker, 500 * USDC, sender=bare.waterfall)
    held, uninsured = 30_000 * USDC, 500 * USDC
    for owner, account, amount in [(trader, bare.trader, 20_500 * USDC), (winner, bare.winner, 7)]:
        balance = usdc.balanceOf(owner)
        paid = amount * held // (held + uninsured)
        receipt = house.withdraw(account, amount, sender=owner)
        (event,) = args(receipt, house.Withdrawn)
        assert (event["amount"], event["paid"]) == (amount, paid)
        assert event["uninsured"] == uninsured - (amount - paid)
        assert usdc.balanceOf(owner) == balance + paid
        held, uninsured = held - paid, uninsured - (amount - paid)
        assert (house.held(), house.uninsured()) == (held, uninsured)
    # 20,500 * 30,000 / 30,500 = 20,163.934426..., and 7 * 0.98... = 6
    assert (30_000 * USDC - held) == 20_163_934_426 + 6
