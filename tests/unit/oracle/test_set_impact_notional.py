"""How deep into the book impact prices are read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import NOT_OWNER, USDC, X, Y, args, refused


@pytest.mark.parametrize("notional", [1, 2**80 - 1])
def test_the_owner_sets_it(oracle: Any, owner: Any, notional: int) -> None:
    assert oracle.impact_notional(X) == 6_000 * USDC
    receipt = oracle.set_impact_notional(X, notional, sender=owner)
    assert args(receipt, oracle.ImpactNotionalSet) == [{"market": X, "notional": notional}]
    assert [oracle.impact_notional(m) for m in (X, Y)] == [notional, 6_000 * USDC]


@pytest.mark.parametrize(
    ("market", "notional", "reason"),
    [
        (X, 0, "oracle: impact notional out of range"),
        (X, 2**80, "oracle: impact notional out of range"),
        (2, 1, "oracle: unknown market"),
    ],
)
def test_nonsense_is_refused(
    oracle: Any, owner: Any, market: int, notional: int, reason: str
) -> None:
    with refused(reason):
        oracle.set_impact_notional(market, notional, sender=owner)


def test_a_stranger_is_refused(oracle: Any, stranger: Any) -> None:
    with refused(NOT_OWNER):
        oracle.set_impact_notional(X, 1, sender=stranger)
