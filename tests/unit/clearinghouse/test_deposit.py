"""Deposits: anyone, into any trader's account; never into one of the venue's own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import USDC, args, refused


def test_a_deposit_credits_the_account_and_moves_the_token(
    clearinghouse: Any, usdc: Any, trader: Any, trader_id: int
) -> None:
    held, balance = clearinghouse.held(), usdc.balanceOf(trader)
    receipt = clearinghouse.deposit(trader_id, 25 * USDC, sender=trader)
    # $10,000 + $25
    assert args(receipt, clearinghouse.Deposited) == [
        {"account": trader_id, "amount": 25 * USDC, "cash": 10_025 * USDC}
    ]
    assert clearinghouse.cash(trader_id) == 10_025 * USDC
    assert clearinghouse.held() == held + 25 * USDC == usdc.balanceOf(clearinghouse)
    assert usdc.balanceOf(trader) == balance - 25 * USDC


def test_anyone_may_deposit_for_somebody_else(
    clearinghouse: Any, stranger: Any, trader_id: int
) -> None:
    clearinghouse.deposit(trader_id, 1, sender=stranger)
    assert clearinghouse.cash(trader_id) == 10_000 * USDC + 1


def test_a_donation_of_tokens_is_credited_to_nobody(
    clearinghouse: Any, usdc: Any, stranger: Any
) -> None:
    held = clearinghouse.held()
    usdc.transfer(clearinghouse, 7, sender=stranger)
    assert clearinghouse.held() == held == usdc.balanceOf(clearinghouse) - 7


@pytest.mark.parametrize("amount", [0, 2**80 + 1, 2**256 - 1])
def test_an_amount_out_of_range_is_refused(
    clearinghouse: Any, trader: Any, trader_id: int, amount: int
) -> None:
    with refused("clearinghouse: amount out of range"):
        clearinghouse.deposit(trader_id, amount, sender=trader)


@pytest.mark.parametrize(
    "account",
    [0, 1, 2, 3, 6, 99],
    ids=["none", "vault", "tranche", "estate", "estate of Y", "unknown"],
)
def test_only_a_traders_account_takes_deposits(
    clearinghouse: Any, trader: Any, account: int
) -> None:
    with refused("clearinghouse: unknown account"):
        clearinghouse.deposit(account, USDC, sender=trader)


def test_more_than_the_caller_has_or_allows_is_refused(
    clearinghouse: Any, usdc: Any, trader: Any, trader_id: int
) -> None:
    with refused("usdc: balance too low"):
        clearinghouse.deposit(trader_id, usdc.balanceOf(trader) + 1, sender=trader)
    usdc.approve(clearinghouse, USDC, sender=trader)
    with refused("usdc: allowance too low"):
        clearinghouse.deposit(trader_id, USDC + 1, sender=trader)


def test_none_while_a_loss_is_uninsured(bare: Any, trader: Any) -> None:
    bare.house.write_off(bare.maker, 1, sender=bare.waterfall)
    with refused("clearinghouse: no deposits while a loss is uninsured"):
        bare.house.deposit(bare.trader, USDC, sender=trader)


def test_a_round_in_progress_cannot_be_dodged_by_a_deposit(bare: Any, trader: Any) -> None:
    # What raises equity lowers a score, so it would change the order under the round.
    bare.fill(True, 100, 1_000_000)
    bare.house.freeze(0, True, sender=bare.adl)
    with refused("clearinghouse: adl round open"):
        bare.house.deposit(bare.trader, USDC, sender=trader)
