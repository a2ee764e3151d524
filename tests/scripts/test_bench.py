"""`ape run bench`: the mix is what it says, and every transaction of it does its work."""

from __future__ import annotations

from collections import Counter

import pytest

from breakwater.bench import MIX, actions, measure
from breakwater.engine.revm import RevmEngine


def test_every_hundred_transactions_have_the_stated_mix() -> None:
    order = actions(500)
    for start in range(0, 500, 100):
        assert Counter(order[start : start + 100]) == MIX
    assert order == actions(500) and order != actions(500, seed=1)
    assert len(actions(250)) == 250


@pytest.mark.parametrize("checked", [False, True])
def test_a_small_measurement_counts_what_it_did(checked: bool) -> None:
    speed = measure(RevmEngine(), traders=7, count=300, checked=checked)
    row = speed.row()
    assert row["transactions"] == 300 and row["checked"] is checked
    assert row["per_second"] == round(300 / speed.seconds, 1)
    # A fill logs two positions and the fill itself, all others at least one event.
    assert speed.events >= 300 + 2 * 150
