"""What only the liquidator may do with the book."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import X, refused


@pytest.mark.parametrize("role", ["owner", "stranger", "trader"])
def test_nobody_else_peeks_or_takes(
    order_book: Any, place: Any, actors: Any, maker_id: int, trader_id: int, role: str
) -> None:
    place(maker_id, True)
    with refused("book: liquidator only"):
        order_book.take(1, trader_id, 10, sender=actors[role])
    with refused("book: liquidator only"):
        order_book.peek(X, True, 10, sender=actors[role])
