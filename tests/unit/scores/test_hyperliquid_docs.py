"""The documented Hyperliquid score: profit ratio times leverage, 18 digits, rounded down."""

from __future__ import annotations

from typing import Any

import pytest

ONE = 10**18


def standing(is_long: bool, entry: int, mark: int, size: int, equity: int) -> tuple[Any, ...]:
    pnl = size * (mark - entry) * (1 if is_long else -1)
    return (is_long, size * mark, size * entry, pnl, equity, equity - pnl, 0)


@pytest.mark.parametrize(
    ("entry", "mark", "size", "equity", "expected"),
    [
        (100, 80, 100, 1_000, 10 * ONE),
        (100, 99, 100, 900, 11_111_111_111_111_111_111),
        (200, 80, 10, 4_000, ONE // 2),
        (70, 80, 100, 500, 14 * ONE),  # a loser: the rule itself does not ask who is eligible
        (1, 1, 1, 3, 333_333_333_333_333_333),
    ],
)
def test_shorts_by_the_published_formula(
    score: Any, entry: int, mark: int, size: int, equity: int, expected: int
) -> None:
    assert score.score(standing(False, entry, mark, size, equity)) == expected


@pytest.mark.parametrize(
    ("entry", "mark", "size", "equity", "expected"),
    [
        (100, 110, 10, 1_100, 1_100 * 1_100 * ONE // (1_000 * 1_100)),  # 1.1 * 1 = 1.1
        (3, 10, 1, 7, 4_761_904_761_904_761_904),  # 10/3 * 10/7
        (0, 10, 1, 10, 10 * ONE),  # an entry of nothing counts as one micro-USDC
    ],
)
def test_longs_multiply_by_mark_over_entry(
    score: Any, entry: int, mark: int, size: int, equity: int, expected: int
) -> None:
    assert score.score(standing(True, entry, mark, size, equity)) == expected


@pytest.mark.parametrize("equity", [0, -1])
@pytest.mark.parametrize("is_long", [True, False])
def test_without_equity_the_score_is_the_largest(score: Any, is_long: bool, equity: int) -> None:
    assert score.score(standing(is_long, 100, 110, 1, equity)) == 2**256 - 1


def test_the_largest_standing_does_not_overflow(score: Any) -> None:
    huge = 2**87 - 1
    assert score.score((True, huge, 1, huge, 1, 0, 0)) == huge * huge * ONE
