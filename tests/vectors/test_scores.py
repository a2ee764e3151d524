"""Golden vectors of the score `hyperliquid_docs`: the formula, the account on chain, the model.

Figures are dollars; each case can be recomputed by hand from its parameters.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from breakwater.model import adl
from tests.vectors.bench import Bench, MarketSpec, usdc

# entry, mark, size, equity -> score; a short each.
CASES = [
    pytest.param("100", "80", "100", "1000", Fraction(10), id="100-80-100-1000"),
    pytest.param("100", "99", "100", "900", Fraction(100, 9), id="100-99-100-900"),
    pytest.param("200", "80", "10", "4000", Fraction(1, 2), id="200-80-10-4000"),
]


def _short(entry: str, mark: str, size: str, equity: str) -> tuple[Bench, adl.Standing]:
    """A short with exactly this equity at the mark; what was too much has been withdrawn."""
    bench = Bench(MarketSpec(entry))
    cash = int(equity) - int(size) * (int(entry) - int(mark))
    bench.account("short", cash if 20 * cash >= int(size) * int(entry) else 5000)
    bench.hold("short", 0, f"-{size}", entry)
    bench.mark({0: mark})
    bench.withdraw_to("short", equity)
    lots, quote = bench.position("short", 0)
    return bench, adl.Standing(bench.ids["short"], lots, quote, bench.equity("short"))


@pytest.mark.parametrize(("entry", "mark", "size", "equity", "score"), CASES)
def test_formula(entry: str, mark: str, size: str, equity: str, score: Fraction) -> None:
    bench = Bench(MarketSpec("100"))
    notional = int(size) * int(mark) * 10**6
    entry_notional = int(size) * int(entry) * 10**6
    answer = bench.venue.score.call(
        "score",
        {
            "is_long": False,
            "notional": notional,
            "entry_notional": entry_notional,
            "pnl": entry_notional - notional,
            "equity": usdc(equity),
            "cash": usdc(equity) - entry_notional + notional,
            "maintenance": 0,
        },
    )
    assert answer == score.numerator * adl.SCORE_ONE // score.denominator


@pytest.mark.parametrize(("entry", "mark", "size", "equity", "score"), CASES)
def test_account_on_chain(entry: str, mark: str, size: str, equity: str, score: Fraction) -> None:
    bench, standing = _short(entry, mark, size, equity)
    answer = bench.venue.deleverager.call("score", standing.account, 0)
    assert answer == score.numerator * adl.SCORE_ONE // score.denominator
    assert adl.hyperliquid_docs(standing, bench.prices[0]) == score
    assert adl.written_score(standing, bench.prices[0]) == answer


@pytest.mark.parametrize("close", ["bankruptcy", "previous_mark"])
def test_loser_is_not_eligible(close: str) -> None:
    """Short 70, mark 80, 100 lots, equity 500: 14.0 by the bare formula, and yet no victim."""
    bench, standing = _short("70", "80", "100", "500")
    assert adl.hyperliquid_docs(standing, bench.prices[0]) == 14
    assert bench.venue.deleverager.call("score", standing.account, 0) == 0
    for price in (bench.prices[0], bench.prices[0] - 1):
        lot = adl.Lot(99, True, 10, -10 * price)
        assert adl.bearable(standing, lot, bench.prices[0], close, price) == 0


def test_loser_is_passed_over_in_a_round() -> None:
    """The same loser beside a winner of score 0.0...: the round takes the winner."""
    bench = Bench(MarketSpec("70"), close="bankruptcy")
    bench.account("loser_short", "5000")
    bench.hold("loser_short", 0, "-100", "70")
    bench.account("bankrupt", "50")
    bench.account("winner", "100000")
    bench.hold("bankrupt", 0, "10", "90")
    bench.hold("winner", 0, "-10", "90")
    bench.mark({0: "80"})
    bench.withdraw_to("loser_short", "800")
    tx = bench.liquidate("bankrupt")
    assert [fill.winner for fill in tx.all("Deleveraged")] == [bench.ids["winner"]]
    assert bench.position("loser_short", 0)[0] == -10_000


def test_long_score() -> None:
    """Long 10 at 100, mark 120, equity 400: 1.2 * 1200 / 400 = 3.6."""
    bench = Bench(MarketSpec("100"))
    bench.account("long", "500")
    bench.hold("long", 0, "10", "100")
    bench.mark({0: "120"})
    bench.withdraw_to("long", "400")
    assert bench.venue.deleverager.call("score", bench.ids["long"], 0) == 36 * adl.SCORE_ONE // 10


def test_no_equity_ranks_first() -> None:
    standing = {
        "is_long": True, "notional": 1, "entry_notional": 1, "pnl": 1,
        "equity": 0, "cash": -1, "maintenance": 0,
    }  # fmt: skip
    assert Bench(MarketSpec("100")).venue.score.call("score", standing) == adl.UNBOUNDED
