"""The liquidator's policy: the owner's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import args, refused


def test_the_owner_sets_trigger_and_band(liquidator: Any, owner: Any) -> None:
    receipt = liquidator.set_policy(1, 10**6, sender=owner)
    assert args(receipt, liquidator.PolicySet) == [{"trigger": 1, "insured_band": 10**6}]
    assert (liquidator.trigger(), liquidator.insured_band()) == (1, 10**6)


@pytest.mark.parametrize(
    ("trigger", "band", "reason"),
    [
        (2, 0, "liquidator: unknown trigger"),
        (0, 10**6 + 1, "liquidator: band above 100%"),
    ],
)
def test_nonsense_is_refused(
    liquidator: Any, owner: Any, trigger: int, band: int, reason: str
) -> None:
    with refused(reason):
        liquidator.set_policy(trigger, band, sender=owner)


def test_a_stranger_is_refused(liquidator: Any, stranger: Any) -> None:
    with refused("ownable: caller is not the owner"):
        liquidator.set_policy(0, 0, sender=stranger)
