"""Best price and depth over the word boundaries of the bitmap tree."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import MAX_TICK, X, Y

# A tick a level of the tree begins or ends with; the notional needs many lots at the low ones.
TICKS = [1, 255, 256, 65_535, 65_536, MAX_TICK - 1, MAX_TICK]
LOTS = 10_000_000


@pytest.mark.parametrize("is_buy", [True, False])
def test_levels_come_best_first_across_words(
    order_book: Any, place: Any, maker: Any, maker_id: int, is_buy: bool
) -> None:
    for i in (3, 0, 6, 2, 5, 1, 4):
        place(maker_id, is_buy, LOTS + i, TICKS[i])
    levels = [(tick, LOTS + i) for i, tick in enumerate(TICKS)]
    if is_buy:
        levels.reverse()
    assert [tuple(level) for level in order_book.depth(X, is_buy, 100)] == levels
    assert [tuple(level) for level in order_book.depth(X, is_buy, 2)] == levels[:2]
    assert order_book.depth(X, is_buy, 0) == order_book.depth(X, not is_buy, 9) == []
    assert order_book.depth(Y, is_buy, 9) == []


@pytest.mark.parametrize("is_buy", [True, False])
@pytest.mark.parametrize(("low", "high"), [(255, 256), (65_535, 65_536), (1, MAX_TICK)])
def test_the_best_moves_to_the_neighbour_word_and_back(
    order_book: Any, place: Any, maker: Any, maker_id: int, low: int, high: int, is_buy: bool
) -> None:
    best, other = (high, low) if is_buy else (low, high)
    place(maker_id, is_buy, LOTS, other)
    assert order_book.best(X, is_buy) == other
    place(maker_id, is_buy, LOTS, best)
    assert order_book.best(X, is_buy) == best
    order_book.cancel(2, sender=maker)
    assert order_book.best(X, is_buy) == other
    order_book.cancel(1, sender=maker)
    assert order_book.best(X, is_buy) == 0


def test_a_level_adds_up_live_orders_only(
    order_book: Any, place: Any, maker: Any, maker_id: int, winner_id: int
) -> None:
    place(maker_id, True, 100)
    place(winner_id, True, 30)
    place(winner_id, True, 12)
    assert order_book.depth(X, True, 9)[0].size == 142
    order_book.cancel_all(maker_id, sender=maker)
    assert order_book.depth(X, True, 9)[0].size == 42
