"""The oracle's parameters: the owner's, and never so that prices are always stale."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import args, refused


def test_the_owner_sets_them(oracle: Any, owner: Any) -> None:
    receipt = oracle.set_parameters(5, 6, 10**6, sender=owner)
    assert args(receipt, oracle.ParametersSet) == [
        {"min_interval": 5, "stale_after": 6, "max_step": 10**6}
    ]
    assert [oracle.min_interval(), oracle.stale_after(), oracle.max_step()] == [5, 6, 10**6]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((5, 5, 0), "oracle: stale before the next update"),
        ((5, 0, 0), "oracle: stale before the next update"),
        ((5, 6, 10**6 + 1), "oracle: step above 100%"),
        ((5, 86_401, 0), "oracle: staleness above a day"),
    ],
)
def test_nonsense_is_refused(
    oracle: Any, owner: Any, values: tuple[int, int, int], reason: str
) -> None:
    with refused(reason):
        oracle.set_parameters(*values, sender=owner)


def test_a_stranger_is_refused(oracle: Any, stranger: Any) -> None:
    with refused("ownable: caller is not the owner"):
        oracle.set_parameters(3, 3_600, 0, sender=stranger)
