"""A price is fresh up to `stale_after` seconds, that second included."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import X_PRICE, Y_PRICE, X


@pytest.mark.parametrize(("age", "is_fresh"), [(3_600, True), (3_601, False)])
def test_freshness_ends_after_its_last_second(
    oracle: Any, reporter: Any, wait: Any, chain: Any, age: int, is_fresh: bool
) -> None:
    wait(3)
    oracle.update([X_PRICE, Y_PRICE], sender=reporter)
    wait(age)
    chain.mine()
    assert chain.blocks.head.timestamp == oracle.updated_at() + age
    # An hour has ended since, while the price was fresh: an eighth of 0.01% is due.
    assert tuple(oracle.read(X)) == (X_PRICE, is_fresh, X_PRICE * 12_500)
    assert oracle.is_fresh(X) is is_fresh
