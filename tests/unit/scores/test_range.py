"""Every score over the whole range of the ledger: never a revert, and the figure of the model."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from breakwater.contract import Contract
from breakwater.model import adl
from tests.vectors.bench import Bench, MarketSpec

SCORES: dict[adl.ScoreRule, str] = {
    "hyperliquid_docs": "HyperliquidDocs",
    "return_x_leverage": "ReturnXLeverage",
    "binance": "Binance",
    "profit": "Template",
}
# As far as the ledger's words go (modules/position_codec.vy, modules/ledger.vy).
SIZES = (1, 2**55 - 1)
MARKS = (1, 2**24 - 1)
QUOTES = (0, 1, 2**79 - 1)
MONEY = (-(2**127) + 1, -1, 0, 1, 10**6 - 1, 10**6, 2**127 - 1)
MAINTENANCE = (0, 1, 8 * 2**79)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(MarketSpec("100"))


def _ask(rule: Contract, standing: adl.Standing, mark: int) -> int:
    answer: int = rule.call("score", _on_chain(standing, mark))
    return answer


def _on_chain(standing: adl.Standing, mark: int) -> dict[str, Any]:
    return {
        "is_long": standing.size > 0,
        "notional": abs(standing.size) * mark,
        "entry_notional": abs(standing.quote),
        "pnl": int(standing.profit(mark)),
        "equity": standing.equity,
        "cash": standing.cash,
        "maintenance": standing.maintenance,
    }


@pytest.mark.parametrize("score", SCORES)
def test_ends_of_the_range(bench: Bench, score: adl.ScoreRule) -> None:
    rule = bench.deploy(SCORES[score])
    for sign, size, mark, quote in itertools.product((1, -1), SIZES, MARKS, QUOTES):
        for equity, cash, maintenance in itertools.product(MONEY, MONEY, MAINTENANCE):
            if score != "binance" and (cash != MONEY[0] or maintenance):
                continue
            standing = adl.Standing(7, sign * size, -sign * quote, equity, cash, maintenance)
            expected = adl.written_score(standing, mark, score)
            assert _ask(rule, standing, mark) == expected, standing


@pytest.mark.parametrize("score", SCORES)
def test_ordinary_figures(bench: Bench, score: adl.ScoreRule) -> None:
    rule = bench.deploy(SCORES[score])
    draw = random.Random(score)
    seen = set()
    for _ in range(300):
        size = draw.choice((1, -1)) * draw.randint(1, 10**6)
        mark = draw.randint(1, 10**6)
        standing = adl.Standing(
            7,
            size,
            -size * draw.randint(max(1, mark - 9_999), mark + 9_999),
            draw.randint(-(10**9), 10**12),
            draw.randint(-(10**9), 10**12),
            draw.randint(0, 10**10),
        )
        answer = _ask(rule, standing, mark)
        assert answer == adl.written_score(standing, mark, score), standing
        seen.add(answer)
    assert len(seen) > 100


@pytest.mark.parametrize("score", SCORES)
def test_nobody_is_exempted_by_rounding(bench: Bench, score: adl.ScoreRule) -> None:
    """One lot at one tick in an account of 2^127 micro-USDC scores next to nothing, but not 0."""
    rule = bench.deploy(SCORES[score])
    standing = adl.Standing(7, -1, 2, 2**127 - 1, 2**127 - 1, 1)
    assert _ask(rule, standing, 1) == (10**12 if score == "profit" else 1)


def test_the_template_is_short() -> None:
    from breakwater.artifacts import ROOT

    text = (ROOT / "contracts" / "scores" / "Template.vy").read_text()
    assert len(text.splitlines()) < 30
