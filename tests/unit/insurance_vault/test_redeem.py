"""Exits: `redeem` and `withdraw` of what has matured, and when nobody may leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.helpers import MAX_UINT, USDC, VAULT, X_PRICE, X, args, refused

DAY = 86_400
SHARES = 10 * 10**12


@pytest.fixture
def holder(usdc: Any, vault: Any, stranger: Any, wait: Callable[[int], None]) -> Any:
    """Has $10 in the vault, all of it matured."""
    usdc.approve(vault, MAX_UINT, sender=stranger)
    vault.deposit(10 * USDC, stranger, sender=stranger)
    vault.request_exit(SHARES, sender=stranger)
    wait(DAY)
    vault.approve(stranger, 0, sender=stranger)
    return stranger


def test_a_redemption_pays_and_burns(
    vault: Any, clearinghouse: Any, usdc: Any, holder: Any, winner: Any
) -> None:
    held, had = clearinghouse.held(), usdc.balanceOf(winner)
    assert vault.previewRedeem(SHARES // 4) == 2_500_000
    receipt = vault.redeem(SHARES // 4, winner, holder, sender=holder)
    assert args(receipt, vault.Withdraw) == [
        {
            "sender": holder.address,
            "receiver": winner.address,
            "owner": holder.address,
            "assets": 2_500_000,
            "shares": SHARES // 4,
        }
    ]
    assert args(receipt, vault.Left) == [
        {
            "owner": holder.address,
            "given_up": 2_500_000,
            "paid": 2_500_000,
            "shares": SHARES // 4,
        }
    ]
    assert usdc.balanceOf(winner) == had + 2_500_000
    assert vault.balanceOf(holder) == vault.totalSupply() == SHARES * 3 // 4
    assert vault.maxRedeem(holder) == SHARES * 3 // 4
    assert clearinghouse.held() == held - 2_500_000
    assert clearinghouse.cash(VAULT) == vault.totalAssets() == 7_500_000
    assert usdc.balanceOf(vault) == 0


def test_a_withdrawal_burns_rounded_up(vault: Any, insure: Any, usdc: Any, holder: Any) -> None:
    insure(20 * USDC)
    most = vault.maxWithdraw(holder)
    # The virtual shares own a micro-USDC of 30 dollars and three units more.
    assert most == SHARES * (30 * USDC + 1) // (SHARES + 10**6) == 30 * USDC - 2
    shares = -(-7 * (SHARES + 10**6) // (30 * USDC + 1))
    assert vault.previewWithdraw(7) == shares
    had = usdc.balanceOf(holder)
    vault.withdraw(7, holder, holder, sender=holder)
    assert usdc.balanceOf(holder) == had + 7
    assert vault.balanceOf(holder) == SHARES - shares


def test_everything_can_leave(vault: Any, clearinghouse: Any, holder: Any) -> None:
    vault.redeem(SHARES, holder, holder, sender=holder)
    assert vault.totalSupply() == vault.totalAssets() == clearinghouse.cash(VAULT) == 0
    assert tuple(vault.exit_request(holder))[:2] == (0, 0)


def test_somebody_else_needs_an_allowance(vault: Any, usdc: Any, holder: Any, winner: Any) -> None:
    with refused("erc20: insufficient allowance"):
        vault.redeem(1, winner, holder, sender=winner)
    vault.approve(winner, SHARES // 2, sender=holder)
    had = usdc.balanceOf(winner)
    vault.redeem(SHARES // 4, winner, holder, sender=winner)
    vault.withdraw(2_500_000, winner, holder, sender=winner)
    assert usdc.balanceOf(winner) == had + 5 * USDC
    assert vault.allowance(holder, winner) == 0
    with refused("erc20: insufficient allowance"):
        vault.withdraw(1, winner, holder, sender=winner)


def test_more_than_has_matured_is_refused(vault: Any, holder: Any, winner: Any) -> None:
    for method, most in ((vault.redeem, SHARES), (vault.withdraw, 10 * USDC)):
        with refused("vault: amount is zero"):
            method(0, holder, holder, sender=holder)
        with refused("vault: beyond what may leave now"):
            method(most + 1, holder, holder, sender=holder)
        with refused("vault: beyond what may leave now"):
            method(1, winner, winner, sender=winner)


def test_locked_shares_bear_losses(
    bare: Any, project: Any, usdc: Any, oracle: Any, score: Any, owner: Any, stranger: Any
) -> None:
    house = owner.deploy(project.Clearinghouse, usdc, oracle)
    own = owner.deploy(project.InsuranceVault, house, usdc)
    adl = owner.deploy(project.Deleverager, house, oracle, own, score)
    governor = owner.deploy(project.Governor, house)
    house.wire(bare.book, bare.waterfall, adl, own, governor, sender=owner)
    house.open_account(sender=stranger)
    own.set_parameters(0, 0, 0, sender=owner)
    usdc.approve(own, MAX_UINT, sender=stranger)
    own.deposit(10 * USDC, stranger, sender=stranger)
    own.request_exit(SHARES, sender=stranger)
    own.pay(X, 3, 4 * USDC, sender=bare.waterfall)
    receipt = own.redeem(SHARES, stranger, stranger, sender=stranger)
    assert [e["assets"] for e in args(receipt, own.Withdraw)] == [6 * USDC]


def test_nobody_leaves_while_a_round_is_open_or_lots_are_left(
    vault: Any,
    holder: Any,
    clearinghouse: Any,
    deleverager: Any,
    liquidator: Any,
    open_account: Any,
    open_position: Any,
    move_mark: Any,
    place: Any,
    loser: Any,
    keeper: Any,
    maker: Any,
    winner_id: int,
    maker_id: int,
) -> None:
    move_mark(X_PRICE)
    weak = open_account(loser, 60 * USDC)
    open_position(weak, winner_id, 1_000)
    # The winner takes its profit at $91, so that the maker's short stands at a loss at $94, where
    # the long is bankrupt.
    move_mark(910_000)
    place(maker_id, False, 1_000, 910_000)
    place(winner_id, True, 1_000, 910_000)
    # $30 are lacking and nobody on the other side is in profit: 10 from the vault, 20 from no one.
    receipt = liquidator.liquidate(weak, 1, sender=keeper)
    assert not vault.is_open() and vault.maxRedeem(holder) == vault.maxWithdraw(holder) == 0
    assert deleverager.is_busy(), args(receipt, liquidator.Liquidated)
    with refused("vault: beyond what may leave now"):
        vault.redeem(1, holder, holder, sender=holder)
    while deleverager.is_busy():
        deleverager.advance(10, sender=keeper)
    estate = clearinghouse.estate(X, True)
    assert clearinghouse.position(estate, X).size == 1_000
    assert clearinghouse.uninsured() == 20 * USDC
    assert not vault.is_open() and vault.maxRedeem(holder) == 0
    with refused("vault: beyond what may leave now"):
        vault.withdraw(1, holder, holder, sender=holder)
