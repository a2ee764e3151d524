"""Where swept fees go: the vault's share, and the treasury's account for the rest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import NOT_OWNER, args, refused


def test_the_owner_sets_share_and_treasury(
    governor: Any, clearinghouse: Any, owner: Any, winner_id: int
) -> None:
    assert (clearinghouse.vault_share(), clearinghouse.treasury()) == (10**6, 0)
    receipt = governor.set_fee_share(400_000, winner_id, sender=owner)
    assert args(receipt, governor.FeeShareSet) == [{"vault_share": 400_000, "treasury": winner_id}]
    assert (clearinghouse.vault_share(), clearinghouse.treasury()) == (400_000, winner_id)
    governor.set_fee_share(0, 0, sender=owner)
    assert (clearinghouse.vault_share(), clearinghouse.treasury()) == (0, 0)


@pytest.mark.parametrize(
    ("share", "treasury", "reason"),
    [
        (10**6 + 1, 0, "governor: share above 100%"),
        (2**256 - 1, 0, "governor: share above 100%"),
        (0, 1, "clearinghouse: unknown account"),  # the vault's
        (0, 2, "clearinghouse: unknown account"),  # its tranche's
        (0, 3, "clearinghouse: unknown account"),  # an estate
        (0, 99, "clearinghouse: unknown account"),
    ],
)
def test_nonsense_is_refused(
    governor: Any, owner: Any, share: int, treasury: int, reason: str
) -> None:
    with refused(reason):
        governor.set_fee_share(share, treasury, sender=owner)


@pytest.mark.parametrize("role", ["keeper", "stranger"])
def test_only_the_owner_may(governor: Any, owner: Any, actors: Any, role: str) -> None:
    governor.set_guardian(actors["keeper"], sender=owner)
    with refused(NOT_OWNER):
        governor.set_fee_share(0, 0, sender=actors[role])
