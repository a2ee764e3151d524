"""Entries: `deposit` and `mint`, what they cost, and when nobody may enter."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import MAX_UINT, NOBODY, USDC, VAULT, args, refused

PER_USDC = 10**12
"""Shares for a dollar at the outset."""


@pytest.fixture
def ready(usdc: Any, vault: Any, stranger: Any, winner: Any) -> None:
    for actor in (stranger, winner):
        usdc.approve(vault, MAX_UINT, sender=actor)


def test_the_token_of_shares(vault: Any, usdc: Any) -> None:
    assert (vault.name(), vault.symbol(), vault.decimals()) == (
        "Breakwater Insurance",
        "bwINS",
        12,
    )
    assert vault.asset() == vault.token() == usdc.address
    assert vault.totalSupply() == vault.totalAssets() == 0


def test_the_first_deposit_gets_a_million_shares_a_unit(
    ready: None, vault: Any, clearinghouse: Any, usdc: Any, stranger: Any, winner: Any
) -> None:
    held = clearinghouse.held()
    assert vault.previewDeposit(5 * USDC) == vault.convertToShares(5 * USDC) == 5 * PER_USDC
    receipt = vault.deposit(5 * USDC, winner, sender=stranger)
    assert args(receipt, vault.Deposit) == [
        {
            "sender": stranger.address,
            "owner": winner.address,
            "assets": 5 * USDC,
            "shares": 5 * PER_USDC,
        }
    ]
    assert vault.balanceOf(winner) == vault.totalSupply() == 5 * PER_USDC
    assert vault.balanceOf(stranger) == 0
    assert vault.totalAssets() == clearinghouse.cash(VAULT) == vault.available() == 5 * USDC
    assert clearinghouse.held() == held + 5 * USDC
    assert usdc.balanceOf(vault) == usdc.allowance(vault, clearinghouse) == 0


def test_a_mint_is_rounded_up(ready: None, vault: Any, stranger: Any) -> None:
    vault.deposit(5 * USDC, stranger, sender=stranger)
    assert vault.previewMint(1) == vault.previewMint(10**6) == 1
    assert vault.previewMint(10**6 + 1) == 2
    receipt = vault.mint(10**6 + 1, stranger, sender=stranger)
    assert args(receipt, vault.Deposit) == [
        {
            "sender": stranger.address,
            "owner": stranger.address,
            "assets": 2,
            "shares": 10**6 + 1,
        }
    ]
    assert vault.totalAssets() == 5 * USDC + 2


def test_after_a_gift_a_deposit_is_rounded_down(
    ready: None, vault: Any, insure: Any, stranger: Any, winner: Any
) -> None:
    vault.deposit(USDC, stranger, sender=stranger)
    insure(2 * USDC)
    # 10^12 + 10^6 shares over 3 * 10^6 + 1: the gift lifted the price of a share threefold.
    shares = 100 * (PER_USDC + 10**6) // (3 * USDC + 1)
    assert vault.previewDeposit(100) == shares
    vault.deposit(100, winner, sender=winner)
    assert vault.balanceOf(winner) == shares
    assert vault.convertToAssets(shares) == 99


def test_tokens_sent_to_the_vault_count_for_nothing(
    ready: None, vault: Any, usdc: Any, clearinghouse: Any, stranger: Any
) -> None:
    vault.deposit(USDC, stranger, sender=stranger)
    usdc.transfer(vault, 7 * USDC, sender=stranger)
    usdc.transfer(clearinghouse, 7 * USDC, sender=stranger)
    assert vault.totalAssets() == vault.available() == USDC


def test_an_amount_out_of_range_is_refused(ready: None, vault: Any, stranger: Any) -> None:
    assert vault.maxDeposit(stranger) == 2**80
    assert vault.maxMint(stranger) == 2**80 * 10**6
    for method in (vault.deposit, vault.mint):
        with refused("vault: amount is zero"):
            method(0, stranger, sender=stranger)
    with refused("vault: beyond what may enter now"):
        vault.deposit(2**80 + 1, stranger, sender=stranger)
    with refused("vault: beyond what may enter now"):
        vault.mint(2**80 * 10**6 + 1, stranger, sender=stranger)
    with refused("erc20: mint to the zero address"):
        vault.deposit(1, NOBODY, sender=stranger)


def test_nobody_enters_while_a_loss_is_uninsured(
    ready: None,
    bare: Any,
    project: Any,
    usdc: Any,
    oracle: Any,
    score: Any,
    owner: Any,
    stranger: Any,
) -> None:
    house = owner.deploy(project.Clearinghouse, usdc, oracle)
    own = owner.deploy(project.InsuranceVault, house, usdc)
    adl = owner.deploy(project.Deleverager, house, oracle, own, score)
    house.wire(bare.book, bare.waterfall, adl, own, owner, sender=owner)
    usdc.approve(own, MAX_UINT, sender=stranger)
    own.deposit(5 * USDC, stranger, sender=stranger)
    house.open_account(sender=stranger)
    house.transfer_cash(3, 99, USDC, sender=bare.waterfall)
    house.write_off(3, USDC, sender=bare.waterfall)
    assert own.maxDeposit(stranger) == own.maxMint(stranger) == 0
    for method in (own.deposit, own.mint):
        with refused("vault: beyond what may enter now"):
            method(1, stranger, sender=stranger)
    # A gift would go to the loss's creditors through nobody's decision: it has to be `repay`.
    with refused("clearinghouse: no deposits while a loss is uninsured"):
        own.contribute(1, sender=stranger)
    usdc.approve(house, USDC, sender=stranger)
    house.repay_uninsured(USDC, sender=stranger)
    assert own.maxDeposit(stranger) == 2**80
