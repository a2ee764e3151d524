"""Ring fences: what one market may draw, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import MAX_UINT, NOT_OWNER, USDC, X, Y, args, refused

PPM = 10**6


def test_one_pool_to_begin_with(vault: Any, insure: Any) -> None:
    insure(10 * USDC)
    assert [tuple(vault.ring_fence(m)) for m in (X, Y)] == [(False, PPM)] * 2
    assert [vault.available(m) for m in (X, Y, MAX_UINT)] == [10 * USDC] * 3
    assert vault.available() == 10 * USDC


def test_a_fence_divides_what_is_there(vault: Any, insure: Any, owner: Any) -> None:
    insure(10 * USDC + 1)
    receipt = vault.set_ring_fence(X, 300_000, sender=owner)
    assert args(receipt, vault.RingFenceSet) == [{"market": X, "fenced": True, "share": 300_000}]
    # Rounded down, each of them.
    assert [vault.available(m) for m in (X, Y, MAX_UINT)] == [3 * USDC, 7 * USDC, 7 * USDC]
    assert [tuple(vault.ring_fence(m)) for m in (X, Y)] == [(True, 300_000), (False, 700_000)]
    vault.set_ring_fence(Y, 700_000, sender=owner)
    assert [vault.available(m) for m in (X, Y, MAX_UINT)] == [3 * USDC, 7 * USDC, 0]
    vault.set_ring_fence(X, 0, sender=owner)
    assert [vault.available(m) for m in (X, Y, MAX_UINT)] == [0, 7 * USDC, 3 * USDC]
    assert (vault.fence_count(), vault.fenced_share()) == (2, 700_000)
    receipt = vault.remove_ring_fence(Y, sender=owner)
    assert args(receipt, vault.RingFenceSet) == [{"market": Y, "fenced": False, "share": 0}]
    vault.remove_ring_fence(X, sender=owner)
    assert [vault.available(m) for m in (X, Y, MAX_UINT)] == [10 * USDC + 1] * 3
    assert (vault.fence_count(), vault.fenced_share()) == (0, 0)


@pytest.mark.parametrize(
    ("market", "share", "reason"),
    [
        (X, PPM + 1, "vault: share above 100%"),
        (X, MAX_UINT, "vault: share above 100%"),
        (X, 600_001, "vault: share above 100%"),
        (2, 0, "clearinghouse: unknown market"),
        (MAX_UINT, 0, "clearinghouse: unknown market"),
    ],
)
def test_what_cannot_be_is_refused(
    vault: Any, owner: Any, market: int, share: int, reason: str
) -> None:
    vault.set_ring_fence(Y, 400_000, sender=owner)
    with refused(reason):
        vault.set_ring_fence(market, share, sender=owner)


def test_only_the_owner(vault: Any, stranger: Any, owner: Any) -> None:
    for method, terms in ((vault.set_ring_fence, (X, 1)), (vault.remove_ring_fence, (X,))):
        with refused(NOT_OWNER):
            method(*terms, sender=stranger)
    with refused("vault: market has no fence"):
        vault.remove_ring_fence(X, sender=owner)


def test_a_market_pays_its_own_losses(
    bare: Any, project: Any, usdc: Any, oracle: Any, score: Any, owner: Any, trader: Any
) -> None:
    house = owner.deploy(project.Clearinghouse, usdc, oracle)
    own = owner.deploy(project.InsuranceVault, house, usdc)
    adl = owner.deploy(project.Deleverager, house, oracle, own, score)
    governor = owner.deploy(project.Governor, house)
    house.wire(bare.book, bare.waterfall, adl, own, governor, sender=owner)
    for symbol in ("X", "Y"):
        governor.add_market(symbol, 2, 20, 0, sender=owner)
    house.open_account(sender=trader)
    usdc.approve(own, MAX_UINT, sender=owner)
    own.contribute(10 * USDC, sender=owner)
    own.set_ring_fence(X, 300_000, sender=owner)
    account = house.account_count()
    receipt = own.pay(X, account, 5 * USDC, sender=bare.waterfall)
    assert args(receipt, own.Paid) == [
        {"account": account, "wanted": 5 * USDC, "paid": 3 * USDC, "left": 0, "market": X}
    ]
    assert [own.available(m) for m in (X, Y, MAX_UINT)] == [0, 7 * USDC, 7 * USDC]
    receipt = own.pay(Y, account, 2 * USDC, sender=bare.waterfall)
    assert args(receipt, own.Paid)[0]["left"] == 5 * USDC
    # A gift is for each budget by its share; a new fence begins all of them anew.
    own.contribute(10 * USDC, sender=owner)
    assert [own.available(m) for m in (X, Y, MAX_UINT)] == [3 * USDC, 12 * USDC, 12 * USDC]
    own.set_ring_fence(X, 300_000, sender=owner)
    assert [own.available(m) for m in (X, Y)] == [4_500_000, 10_500_000]
