"""Payments: only the liquidator and the deleverager ask for them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import MAX_UINT, USDC, VAULT, X, args, refused

POOL = MAX_UINT
"""The market of a loss of no one market."""


@pytest.mark.parametrize("role", ["owner", "stranger", "trader"])
def test_nobody_else_is_paid(
    vault: Any, insure: Any, actors: Any, trader_id: int, role: str
) -> None:
    insure(USDC)
    with refused("vault: waterfall only"):
        vault.pay(X, trader_id, 1, sender=actors[role])


@pytest.mark.parametrize(
    ("wanted", "paid"), [(0, 0), (3, 3), (5 * USDC, 5 * USDC), (5 * USDC + 1, 5 * USDC)]
)
@pytest.mark.parametrize("part", ["waterfall", "adl"])
def test_it_pays_what_it_has_and_no_more(
    project: Any,
    usdc: Any,
    oracle: Any,
    owner: Any,
    trader: Any,
    bare: Any,
    part: str,
    wanted: int,
    paid: int,
) -> None:
    house = owner.deploy(project.Clearinghouse, usdc, oracle)
    own = owner.deploy(project.InsuranceVault, house, usdc)
    house.wire(bare.book, bare.waterfall, bare.adl, own, owner, sender=owner)
    house.open_account(sender=trader)
    usdc.approve(own, 5 * USDC, sender=owner)
    own.contribute(5 * USDC, sender=owner)
    receipt = own.pay(POOL, 3, wanted, sender=getattr(bare, part))
    assert args(receipt, own.Paid) == [
        {
            "account": 3,
            "wanted": wanted,
            "paid": paid,
            "left": 5 * USDC - paid,
            "market": POOL,
        }
    ]
    assert (house.cash(3), house.cash(VAULT)) == (paid, 5 * USDC - paid)
    assert own.available() == 5 * USDC - paid
