"""Contributions: a gift of tokens to the vault's account, from anyone."""

from __future__ import annotations

from typing import Any

from tests.helpers import USDC, VAULT, args, refused


def test_a_contribution_stands_in_the_vaults_account(
    vault: Any, clearinghouse: Any, usdc: Any, stranger: Any
) -> None:
    usdc.approve(vault, 10 * USDC, sender=stranger)
    held = clearinghouse.held()
    receipt = vault.contribute(10 * USDC, sender=stranger)
    assert args(receipt, vault.Contributed) == [
        {"contributor": stranger.address, "amount": 10 * USDC}
    ]
    assert vault.available() == clearinghouse.cash(VAULT) == 10 * USDC
    assert clearinghouse.held() == held + 10 * USDC
    assert usdc.balanceOf(vault) == usdc.allowance(vault, clearinghouse) == 0


def test_nothing_is_refused(vault: Any, owner: Any) -> None:
    with refused("vault: amount is zero"):
        vault.contribute(0, sender=owner)


def test_more_than_is_allowed_is_refused(vault: Any, usdc: Any, owner: Any) -> None:
    usdc.approve(vault, 1, sender=owner)
    for amount in (2, 2**256 - 1):
        with refused("usdc: allowance too low"):
            vault.contribute(amount, sender=owner)
