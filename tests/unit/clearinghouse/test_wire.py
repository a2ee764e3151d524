"""Wiring: by the deployer, once, with real addresses; it opens accounts 1 and 2."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import NOBODY, TRANCHE, VAULT, args, refused

VAULT_KIND, TRANCHE_KIND = 2, 4


@pytest.fixture
def fresh(project: Any, owner: Any, usdc: Any, oracle: Any) -> Any:
    return owner.deploy(project.Clearinghouse, usdc, oracle)


def test_wiring_names_the_parts_and_opens_the_vaults_accounts(
    fresh: Any, owner: Any, accounts: Any
) -> None:
    parts = [accounts[i].address for i in range(5)]
    receipt = fresh.wire(*parts, sender=owner)
    names = ["order_book", "liquidator", "deleverager", "vault", "governor"]
    assert args(receipt, fresh.Wired) == [dict(zip(names, parts, strict=True))]
    assert args(receipt, fresh.AccountOpened) == [
        {"account": VAULT, "owner": parts[3], "kind": VAULT_KIND},
        {"account": TRANCHE, "owner": parts[3], "kind": TRANCHE_KIND},
    ]
    assert (fresh.vault_account(), fresh.tranche_account()) == (VAULT, TRANCHE)
    assert fresh.deployer() == owner
    assert [getattr(fresh, name)() for name in names] == parts


def test_a_second_time_is_refused(clearinghouse: Any, owner: Any) -> None:
    with refused("clearinghouse: already wired"):
        clearinghouse.wire(*[owner] * 5, sender=owner)


def test_a_stranger_is_refused(fresh: Any, stranger: Any) -> None:
    with refused("clearinghouse: deployer only"):
        fresh.wire(*[stranger] * 5, sender=stranger)


@pytest.mark.parametrize("missing", range(5))
def test_a_zero_address_is_refused(fresh: Any, owner: Any, missing: int) -> None:
    parts = [owner.address] * 5
    parts[missing] = NOBODY
    with refused("clearinghouse: zero address"):
        fresh.wire(*parts, sender=owner)
