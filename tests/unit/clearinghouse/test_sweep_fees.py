"""Sweeping: uninsured loss first, then the vault's share rounded down, the rest to the treasury."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import USDC, VAULT, X_PRICE, X, args


@pytest.fixture
def earned(bare: Any, set_terms: Any) -> int:
    """$100.001 traded at 1% and 0.5%: 1,000,010 and 500,005 micro-USDC."""
    set_terms(X, taker_fee=10_000, maker_fee=5_000, by=bare.governor)
    bare.fill(True, 100, X_PRICE + 10)
    assert bare.house.fees() == 1_500_015
    return 1_500_015


def test_the_vault_gets_all_of_it_to_begin_with(bare: Any, earned: int, stranger: Any) -> None:
    receipt = bare.house.sweep_fees(sender=stranger)
    assert args(receipt, bare.house.FeesSwept) == [
        {
            "repaid": 0,
            "to_vault": earned,
            "to_treasury": 0,
            "vault_cash": earned,
            "treasury_cash": 0,
            "uninsured": 0,
        }
    ]
    assert (bare.house.fees(), bare.house.cash(VAULT)) == (0, earned)


@pytest.mark.parametrize("share", [0, 1, 333_333, 999_999, 10**6])
def test_the_vaults_share_is_rounded_down(
    bare: Any, earned: int, owner: Any, stranger: Any, share: int
) -> None:
    bare.governor.set_fee_share(share, bare.winner, sender=owner)
    before = bare.house.cash(bare.winner)
    (event,) = args(bare.house.sweep_fees(sender=stranger), bare.house.FeesSwept)
    vault = earned * share // 10**6
    assert (event["to_vault"], event["to_treasury"]) == (vault, earned - vault)
    assert event["treasury_cash"] == bare.house.cash(bare.winner) == before + earned - vault
    assert (bare.house.cash(VAULT), bare.house.fees()) == (vault, 0)


def test_without_a_treasury_a_smaller_share_changes_nothing(
    bare: Any, earned: int, owner: Any, stranger: Any
) -> None:
    bare.governor.set_fee_share(333_333, 0, sender=owner)
    bare.house.sweep_fees(sender=stranger)
    assert bare.house.cash(VAULT) == earned


@pytest.mark.parametrize("loss", [USDC, 1_500_015, 2 * USDC])
def test_uninsured_loss_comes_first(
    bare: Any, earned: int, owner: Any, stranger: Any, loss: int
) -> None:
    bare.governor.set_fee_share(400_000, bare.winner, sender=owner)
    bare.house.write_off(bare.maker, loss, sender=bare.waterfall)
    held, before = bare.house.held(), bare.house.cash(bare.winner)
    (event,) = args(bare.house.sweep_fees(sender=stranger), bare.house.FeesSwept)
    repaid = min(loss, earned)
    vault = (earned - repaid) * 400_000 // 10**6
    assert event == {
        "repaid": repaid,
        "to_vault": vault,
        "to_treasury": earned - repaid - vault,
        "vault_cash": vault,
        "treasury_cash": before + earned - repaid - vault,
        "uninsured": loss - repaid,
    }
    assert (bare.house.uninsured(), bare.house.held()) == (loss - repaid, held)


def test_nothing_to_sweep_is_no_error(clearinghouse: Any, stranger: Any) -> None:
    (event,) = args(clearinghouse.sweep_fees(sender=stranger), clearinghouse.FeesSwept)
    assert set(event.values()) == {0}
