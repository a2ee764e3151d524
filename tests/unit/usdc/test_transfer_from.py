"""The test token: 6 decimals, open mint, and the balances and allowances of an ERC-20."""

from __future__ import annotations

from typing import Any

from tests.helpers import args, refused


def test_anyone_may_mint(usdc: Any, stranger: Any, keeper: Any) -> None:
    supply, balance = usdc.totalSupply(), usdc.balanceOf(keeper)
    receipt = usdc.mint(keeper, 7, sender=stranger)
    (event,) = args(receipt, usdc.Transfer)
    assert (int(event["sender"], 16), event["receiver"], event["value"]) == (0, keeper, 7)
    assert (usdc.totalSupply(), usdc.balanceOf(keeper)) == (supply + 7, balance + 7)
    assert usdc.decimals() == 6


def test_a_transfer_moves_a_balance(usdc: Any, stranger: Any, keeper: Any) -> None:
    mine, theirs = usdc.balanceOf(stranger), usdc.balanceOf(keeper)
    usdc.transfer(keeper, 5, sender=stranger)
    assert (usdc.balanceOf(stranger), usdc.balanceOf(keeper)) == (mine - 5, theirs + 5)
    with refused("usdc: balance too low"):
        usdc.transfer(keeper, mine, sender=stranger)


def test_an_allowance_is_used_up(usdc: Any, stranger: Any, keeper: Any, maker: Any) -> None:
    usdc.approve(keeper, 5, sender=stranger)
    usdc.transferFrom(stranger, maker, 3, sender=keeper)
    assert usdc.allowance(stranger, keeper) == 2
    with refused("usdc: allowance too low"):
        usdc.transferFrom(stranger, maker, 3, sender=keeper)


def test_an_unlimited_allowance_stays(usdc: Any, stranger: Any, keeper: Any, maker: Any) -> None:
    usdc.approve(keeper, 2**256 - 1, sender=stranger)
    usdc.transferFrom(stranger, maker, 3, sender=keeper)
    assert usdc.allowance(stranger, keeper) == 2**256 - 1
