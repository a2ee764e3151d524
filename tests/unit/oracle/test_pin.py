"""Pinning: the deleverager's alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import X, refused


@pytest.mark.parametrize("role", ["owner", "reporter", "stranger"])
def test_nobody_but_the_deleverager_pins(oracle: Any, actors: Any, role: str) -> None:
    with refused("oracle: deleverager only"):
        oracle.pin(X, True, sender=actors[role])
    assert not oracle.pinned(X)
