"""The tranche's money: in up to its share, out as far as its margin allows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import MAX_UINT, NOT_OWNER, TRANCHE, USDC, VAULT, X_PRICE, X, args, refused


@pytest.fixture
def own(
    project: Any, bare: Any, usdc: Any, oracle: Any, score: Any, owner: Any, stranger: Any
) -> Any:
    """A vault of $1,000 in a clearinghouse whose liquidator is an account, with one trader."""
    house = owner.deploy(project.Clearinghouse, usdc, oracle)
    own = owner.deploy(project.InsuranceVault, house, usdc)
    adl = owner.deploy(project.Deleverager, house, oracle, own, score)
    governor = owner.deploy(project.Governor, house)
    house.wire(bare.book, bare.waterfall, adl, own, governor, sender=owner)
    governor.add_market("X", 2, 20, 0, sender=owner)
    house.open_account(sender=stranger)
    usdc.approve(own, MAX_UINT, sender=stranger)
    own.deposit(1_000 * USDC, stranger, sender=stranger)
    return own


@pytest.fixture
def house(own: Any, project: Any) -> Any:
    return project.Clearinghouse.at(own.clearinghouse())


def test_money_moves_and_total_assets_stay(own: Any, house: Any, owner: Any) -> None:
    receipt = own.fund_tranche(150 * USDC, sender=owner)
    assert args(receipt, own.TrancheFunded) == [{"amount": 150 * USDC, "funded": 150 * USDC}]
    assert [house.cash(a) for a in (VAULT, TRANCHE)] == [850 * USDC, 150 * USDC]
    assert own.totalAssets() == 1_000 * USDC
    # Ring-fenced: insurance is paid from the main account alone.
    assert own.available() == 850 * USDC
    receipt = own.defund_tranche(100 * USDC, sender=owner)
    assert args(receipt, own.TrancheDefunded) == [{"amount": 100 * USDC, "funded": 50 * USDC}]
    assert [house.cash(a) for a in (VAULT, TRANCHE)] == [950 * USDC, 50 * USDC]
    assert own.tranche_funded() == 50 * USDC


def test_it_holds_its_share_of_total_assets_in_all(own: Any, owner: Any) -> None:
    own.fund_tranche(150 * USDC, sender=owner)
    with refused("vault: beyond the tranche's share"):
        own.fund_tranche(50 * USDC + 1, sender=owner)
    own.fund_tranche(50 * USDC, sender=owner)
    own.set_parameters(0, 0, 10**6, sender=owner)
    with refused("vault: not enough cash"):
        own.fund_tranche(800 * USDC + 1, sender=owner)
    own.fund_tranche(800 * USDC, sender=owner)
    assert own.available() == 0


def test_its_margin_stays(own: Any, house: Any, owner: Any, bare: Any) -> None:
    own.fund_tranche(200 * USDC, sender=owner)
    # $1,000 of X at 20x: initial margin 50, and 10 to work it off.
    house.exchange(X, TRANCHE, 5, 1_000, 1_000 * X_PRICE, sender=bare.waterfall)
    assert tuple(own.valuation()) == (
        800 * USDC,
        190 * USDC,
        200 * USDC,
        200 * USDC,
        140 * USDC,
        True,
    )
    with refused("vault: tranche needs its margin"):
        own.defund_tranche(140 * USDC + 1, sender=owner)
    own.defund_tranche(140 * USDC, sender=owner)
    assert house.equity(TRANCHE) == 60 * USDC


def test_below_zero_it_counts_for_nothing_and_closes_the_doors(
    own: Any, house: Any, owner: Any, stranger: Any, bare: Any
) -> None:
    own.fund_tranche(200 * USDC, sender=owner)
    own.request_exit(1, sender=stranger)
    house.transfer_cash(TRANCHE, 6, 200 * USDC + 1, sender=bare.waterfall)
    assert own.totalAssets() == own.available() == 800 * USDC
    assert not own.is_open() and own.maxDeposit(stranger) == 0
    for method in (own.fund_tranche, own.defund_tranche):
        with refused("vault: closed while a bankrupt is known"):
            method(1, sender=owner)


def test_only_the_owner_and_something(own: Any, owner: Any, stranger: Any) -> None:
    for method in (own.fund_tranche, own.defund_tranche):
        with refused(NOT_OWNER):
            method(1, sender=stranger)
        with refused("vault: amount is zero"):
            method(0, sender=owner)
