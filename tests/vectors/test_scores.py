"""Golden vectors of the scores: the formula, the account on chain, the model.

Figures are dollars; each case can be recomputed by hand from its parameters.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from breakwater.model import adl
from tests.vectors.bench import Bench, MarketSpec, usdc

DOCS: adl.ScoreRule = "hyperliquid_docs"
RETURN: adl.ScoreRule = "return_x_leverage"
CONTRACTS = {DOCS: "HyperliquidDocs", RETURN: "ReturnXLeverage"}

# rule, entry, mark, size, equity -> score; a short each.
CASES = [
    pytest.param(DOCS, "100", "80", "100", "1000", Fraction(10), id="docs-100-80-100-1000"),
    pytest.param(RETURN, "100", "80", "100", "1000", Fraction(8, 5), id="return-100-80-100-1000"),
    pytest.param(DOCS, "100", "99", "100", "900", Fraction(100, 9), id="docs-100-99-100-900"),
    pytest.param(RETURN, "100", "99", "100", "900", Fraction(11, 100), id="return-100-99-100-900"),
    pytest.param(DOCS, "200", "80", "10", "4000", Fraction(1, 2), id="docs-200-80-10-4000"),
    pytest.param(RETURN, "200", "80", "10", "4000", Fraction(3, 25), id="return-200-80-10-4000"),
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


@pytest.mark.parametrize(("rule", "entry", "mark", "size", "equity", "score"), CASES)
def test_formula(
    rule: adl.ScoreRule, entry: str, mark: str, size: str, equity: str, score: Fraction
) -> None:
    bench = Bench(MarketSpec("100"))
    notional = int(size) * int(mark) * 10**6
    entry_notional = int(size) * int(entry) * 10**6
    answer = bench.deploy(CONTRACTS[rule]).call(
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


@pytest.mark.parametrize(("rule", "entry", "mark", "size", "equity", "score"), CASES)
def test_account_on_chain(
    rule: adl.ScoreRule, entry: str, mark: str, size: str, equity: str, score: Fraction
) -> None:
    bench, standing = _short(entry, mark, size, equity)
    bench.score_by(CONTRACTS[rule], "bankruptcy")
    answer = bench.venue.deleverager.call("score", standing.account, 0)
    assert answer == score.numerator * adl.SCORE_ONE // score.denominator
    assert adl.SCORES[rule](standing, bench.prices[0]) == score
    assert adl.written_score(standing, bench.prices[0], rule) == answer


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


def test_return_x_leverage_of_a_long() -> None:
    """BitMEX: long 10 at 100, mark 110, bankruptcy 80: a return of 0.1 at 110 / 30 -> 0.366667."""
    bench = Bench(MarketSpec("100"))
    bench.account("long", "200")
    bench.hold("long", 0, "10", "100")
    bench.mark({0: "110"})
    bench.score_by("ReturnXLeverage", "bankruptcy")
    (standing,) = [s for s in bench.standings(0, True) if s.account == bench.ids["long"]]
    size, equity = standing.size, standing.equity
    assert bench.prices[0] - Fraction(equity, size) == bench.ticks(0, "80")
    assert adl.return_x_leverage(standing, bench.prices[0]) == Fraction(11, 30)
    answer = bench.venue.deleverager.call("score", standing.account, 0)
    assert answer == 11 * adl.SCORE_ONE // 30


def test_binance() -> None:
    """Profit 100, wallet 50, maintenance 11: 100 / 50 * 11 / 150 -> 0.146667. Long 10 at 100, mark
    110, at 50x."""
    bench = Bench(MarketSpec("100", leverage=50))
    bench.account("long", "50")
    bench.hold("long", 0, "10", "100")
    bench.mark({0: "110"})
    bench.score_by("Binance", "bankruptcy")
    (standing,) = [s for s in bench.standings(0, True) if s.account == bench.ids["long"]]
    assert (standing.cash, standing.equity, standing.maintenance) == (
        50 * 10**6, 150 * 10**6, 11 * 10**6,
    )  # fmt: skip
    assert adl.binance(standing, bench.prices[0]) == Fraction(11, 75)
    answer = bench.venue.deleverager.call("score", standing.account, 0)
    assert answer == 11 * adl.SCORE_ONE // 75


@pytest.mark.parametrize("cash", [999_999, 0, -50 * 10**6])
def test_binance_floor_of_the_wallet(cash: int) -> None:
    """Below 1 USDC a wallet counts as 1: 100 / 1 * 11 / 150."""
    rule = Bench(MarketSpec("100")).deploy("Binance")
    standing = adl.Standing(7, 1_000, -(10**9), 150 * 10**6, cash, 11 * 10**6)
    assert adl.binance(standing, 1_100_000) == Fraction(22, 3)
    assert rule.call("score", _struct(standing, 1_100_000)) == 22 * adl.SCORE_ONE // 3


@pytest.mark.parametrize(("equity", "score"), [(-1, 0), (0, 0), (1, 2_200 * 10**6 * 10**18)])
def test_binance_nothing_left_is_not_eligible(equity: int, score: int) -> None:
    rule = Bench(MarketSpec("100")).deploy("Binance")
    standing = adl.Standing(7, 1_000, -(10**9), equity, 50 * 10**6, 1_100 * 10**6)
    assert adl.written_score(standing, 1_100_000, "binance") == score
    assert rule.call("score", _struct(standing, 1_100_000)) == score


@pytest.mark.parametrize(("rule", "closed"), [("HyperliquidDocs", True), ("Binance", False)])
def test_who_has_nothing_left_in_a_round(rule: str, closed: bool) -> None:
    """A short of 10 from 100 that has lost 200 elsewhere: equity -10 at mark 96. The bankrupt long
    parts at 94, below the mark: a close would lift the short to +10. By most rules it is the first
    to be closed; under `binance` it is not eligible, and the lots stay."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"), trigger="unfillable")
    bench.account("short", "150")
    bench.account("bankrupt", "60")
    bench.hold("short", 0, "-10", "100")
    bench.hold("bankrupt", 0, "10", "100")
    bench.hold("short", 1, "10", "100")
    bench.score_by(rule, "bankruptcy")
    bench.mark({0: "96", 1: "80"})
    assert bench.equity("short") == -10 * 10**6
    fills = bench.liquidate("bankrupt").all("Deleveraged")
    assert [f.winner for f in fills] == ([bench.ids["short"]] if closed else [])
    assert bench.equity("short") == (10 if closed else -10) * 10**6


def test_a_profit_at_the_close_price_alone_comes_last() -> None:
    """Short 10 from 95.50, mark 96, closed at 94: out of profit at the mark, so it scores 1, the
    lowest, and is closed after who is in profit there."""
    bench = Bench(MarketSpec("100"), trigger="unfillable")
    bench.score_by("ReturnXLeverage", "bankruptcy")
    for name, entry in (("late", "95.5"), ("early", "100")):
        bench.account(name, "100000")
        bench.hold(name, 0, "-5", entry)
    bench.account("bankrupt", "60")
    bench.hold("bankrupt", 0, "10", "100")
    bench.mark({0: "96"})
    fills = bench.liquidate("bankrupt").all("Deleveraged")
    assert [(f.winner, f.score > 1) for f in fills] == [
        (bench.ids["early"], True),
        (bench.ids["late"], False),
    ]
    assert fills[1].score == 1


def _struct(standing: adl.Standing, mark: int) -> dict[str, object]:
    return {
        "is_long": standing.size > 0,
        "notional": abs(standing.size) * mark,
        "entry_notional": abs(standing.quote),
        "pnl": standing.size * mark + standing.quote,
        "equity": standing.equity,
        "cash": standing.cash,
        "maintenance": standing.maintenance,
    }
