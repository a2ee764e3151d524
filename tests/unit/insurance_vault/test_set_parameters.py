"""Parameters: by the owner, within bounds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import MAX_UINT, NOT_OWNER, args, refused

BOUNDS = (30 * 86_400, 500_000, 10**6)


def read(vault: Any) -> tuple[int, int, int]:
    return vault.exit_delay(), vault.exit_haircut(), vault.tranche_share()


def test_what_they_are_and_what_they_can_be(vault: Any, owner: Any) -> None:
    assert vault.owner() == owner
    assert read(vault) == (86_400, 10_000, 200_000)
    receipt = vault.set_parameters(*BOUNDS, sender=owner)
    assert args(receipt, vault.ParametersSet) == [
        dict(zip(("exit_delay", "exit_haircut", "tranche_share"), BOUNDS, strict=True))
    ]
    assert read(vault) == BOUNDS


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        (0, "vault: delay above 30 days"),
        (1, "vault: haircut above 50%"),
        (2, "vault: share above 100%"),
    ],
)
def test_beyond_the_bounds_is_refused(vault: Any, owner: Any, which: int, reason: str) -> None:
    for amount in (BOUNDS[which] + 1, MAX_UINT):
        values = list(BOUNDS)
        values[which] = amount
        with refused(reason):
            vault.set_parameters(*values, sender=owner)


def test_a_stranger_is_refused(vault: Any, stranger: Any) -> None:
    with refused(NOT_OWNER):
        vault.set_parameters(0, 0, 0, sender=stranger)
