"""Requests: they lock shares, mature, and can be cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.helpers import MAX_UINT, USDC, args, refused

DAY = 86_400
SHARES = 10 * 10**12


@pytest.fixture
def holder(usdc: Any, vault: Any, stranger: Any) -> Any:
    usdc.approve(vault, MAX_UINT, sender=stranger)
    vault.deposit(10 * USDC, stranger, sender=stranger)
    return stranger


def test_a_request_locks_shares_until_the_delay_is_over(
    vault: Any, holder: Any, chain: Any, wait: Callable[[int], None]
) -> None:
    receipt = vault.request_exit(SHARES // 4, sender=holder)
    matures = chain.blocks.head.timestamp + DAY
    assert args(receipt, vault.ExitRequested) == [
        {
            "owner": holder.address,
            "shares": SHARES // 4,
            "pending": SHARES // 4,
            "matures_at": matures,
        }
    ]
    assert tuple(vault.exit_request(holder)) == (0, SHARES // 4, matures)
    assert vault.balanceOf(holder) == SHARES
    assert vault.maxRedeem(holder) == vault.maxWithdraw(holder) == 0
    with refused("vault: beyond what may leave now"):
        vault.redeem(1, holder, holder, sender=holder)
    wait(DAY)
    vault.approve(holder, 0, sender=holder)
    assert tuple(vault.exit_request(holder)) == (SHARES // 4, 0, matures)
    assert vault.maxRedeem(holder) == SHARES // 4


def test_a_request_restarts_the_clock_of_what_has_not_matured(
    vault: Any, holder: Any, chain: Any, wait: Callable[[int], None]
) -> None:
    vault.request_exit(SHARES // 4, sender=holder)
    wait(DAY - 1)
    vault.request_exit(SHARES // 4, sender=holder)
    matures = chain.blocks.head.timestamp + DAY
    assert tuple(vault.exit_request(holder)) == (0, SHARES // 2, matures)
    wait(DAY)
    # What has matured stays so.
    vault.request_exit(SHARES // 2, sender=holder)
    assert tuple(vault.exit_request(holder))[:2] == (SHARES // 2, SHARES // 2)
    assert vault.maxRedeem(holder) == SHARES // 2


def test_what_is_locked_cannot_be_moved_or_requested_again(
    vault: Any, holder: Any, winner: Any
) -> None:
    vault.request_exit(SHARES - 5, sender=holder)
    vault.approve(winner, MAX_UINT, sender=holder)
    for shares in (6, MAX_UINT):
        with refused("vault: shares locked or not there"):
            vault.transfer(winner, shares, sender=holder)
        with refused("vault: shares locked or not there"):
            vault.transferFrom(holder, winner, shares, sender=winner)
        with refused("vault: shares locked or not there"):
            vault.request_exit(shares, sender=holder)
    vault.transfer(winner, 2, sender=holder)
    vault.transferFrom(holder, winner, 3, sender=winner)
    assert (vault.balanceOf(holder), vault.balanceOf(winner)) == (SHARES - 5, 5)


def test_transfer_needs_an_allowance(vault: Any, holder: Any, winner: Any) -> None:
    vault.approve(winner, 4, sender=holder)
    with refused("erc20: insufficient allowance"):
        vault.transferFrom(holder, winner, 5, sender=winner)
    vault.transferFrom(holder, winner, 4, sender=winner)
    assert (vault.balanceOf(winner), vault.allowance(holder, winner)) == (4, 0)


def test_a_cancelled_request_unlocks_everything(
    vault: Any, holder: Any, winner: Any, wait: Callable[[int], None]
) -> None:
    vault.request_exit(SHARES // 2, sender=holder)
    wait(DAY)
    vault.request_exit(SHARES // 4, sender=holder)
    receipt = vault.cancel_exit(sender=holder)
    assert args(receipt, vault.ExitCancelled) == [
        {"owner": holder.address, "shares": SHARES * 3 // 4}
    ]
    assert tuple(vault.exit_request(holder)) == (0, 0, 0)
    assert vault.maxRedeem(holder) == 0
    vault.transfer(winner, SHARES, sender=holder)
    with refused("vault: no request"):
        vault.cancel_exit(sender=holder)


def test_nothing_is_refused(vault: Any, holder: Any) -> None:
    with refused("vault: amount is zero"):
        vault.request_exit(0, sender=holder)


def test_another_delay_is_for_later_requests(
    vault: Any, holder: Any, owner: Any, chain: Any
) -> None:
    vault.request_exit(SHARES // 2, sender=holder)
    matures = vault.exit_request(holder).matures_at
    vault.set_parameters(30 * DAY, 0, 0, sender=owner)
    assert vault.exit_request(holder).matures_at == matures
    vault.request_exit(1, sender=holder)
    assert vault.exit_request(holder).matures_at == chain.blocks.head.timestamp + 30 * DAY
