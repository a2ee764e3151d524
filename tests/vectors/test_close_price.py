"""The three close prices over one crash: who bears the same deficit under each.

A long of 10 from 100 with 60 is bankrupt at 94. At mark 90 it lacks 40; the mark before was 97.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from breakwater.engine.base import Reverted
from breakwater.model import adl
from tests.vectors.bench import Bench, MarketSpec

USDC = 10**6
MARKS = {"bankruptcy": 940_000, "previous_mark": 970_000, "mark": 900_000}


def _crash(close: str, insurance: str = "0", winners: str = "10", **config: object) -> Bench:
    bench = Bench(MarketSpec("100"), close=close, **config)
    bench.account("short", "10000")
    bench.account("bankrupt", "60")
    bench.hold("short", 0, f"-{winners}", "100")
    bench.hold("bankrupt", 0, "10", "100")
    # The counterparty of the set-up is a winner too: out of the way with it.
    bench.account("sink", "1000000")
    bench.mark({0: "97"})
    bench.mark({0: "90"})
    size, _ = bench.position("counterparty", 0)
    if size:
        bench.trade("counterparty", 0, -size, bench.prices[0], against="sink")
    if insurance != "0":
        bench.insure(insurance)
    return bench


@pytest.mark.parametrize(
    ("close", "haircut", "surplus", "residual"),
    [
        pytest.param("bankruptcy", 40, 0, 0, id="bankruptcy-the-winner-pays-the-deficit"),
        pytest.param("previous_mark", 70, 30, 0, id="previous-mark-the-winner-pays-more"),
        pytest.param("mark", 0, 0, 40, id="mark-the-winner-pays-nothing"),
    ],
)
def test_who_pays(close: adl.CloseRule, haircut: int, surplus: int, residual: int) -> None:
    bench = _crash(close)
    (standing,) = [s for s in bench.standings(0, False) if s.account == bench.ids["short"]]
    lot = adl.Lot(bench.ids["bankrupt"], True, 1_000, -940 * USDC)
    tx = bench.liquidate("bankrupt")
    (fill,) = tx.all("Deleveraged")
    assert (fill.size, fill.quote, fill.haircut) == (1_000, 1_000 * MARKS[close], haircut * USDC)
    end = tx.one("LotSettled")
    assert (end.unfilled, end.surplus, end.residual) == (0, surplus * USDC, residual * USDC)
    assert (end.insurance, end.uninsured) == (0, residual * USDC)
    assert bench.uninsured() == residual * USDC
    assert bench.equity("short") == (10_100 - haircut) * USDC
    assert adl.close_price(lot, close, 970_000, 900_000) == MARKS[close]
    (planned,), left = adl.close_lot(lot, [standing], 900_000, close, 970_000)
    assert (planned.size, planned.quote, planned.haircut) == (fill.size, fill.quote, fill.haircut)
    assert adl.settle(left, 900_000) == adl.Settlement(0, surplus * USDC, residual * USDC)


@pytest.mark.parametrize(("insurance", "paid"), [("25", 25), ("39.999999", None)])
def test_at_the_mark_insurance_pays_first_and_the_rest_is_uninsured(
    insurance: str, paid: int | None
) -> None:
    """A gap of 40: insurance pays to its last micro-dollar, in the event that names the rest."""
    bench = _crash("mark", insurance)
    held = bench.insurance()
    assert paid is None or held == paid * USDC
    tx = bench.liquidate("bankrupt")
    end = tx.one("LotSettled")
    assert (end.residual, end.insurance, end.uninsured) == (40 * USDC, held, 40 * USDC - held)
    assert tx.one("RoundClosed").uninsured == 40 * USDC - held
    assert (bench.insurance(), bench.uninsured()) == (0, 40 * USDC - held)


def test_at_the_mark_a_gain_goes_to_the_vault() -> None:
    """Under `unfillable`, mark 96: the long still has 20, its shorts are closed at the mark and
    lose nothing, and the 20 go to insurance."""
    bench = Bench(MarketSpec("100"), close="mark", trigger="unfillable")
    bench.account("short", "10000")
    bench.account("bankrupt", "60")
    bench.hold("short", 0, "-10", "100")
    bench.hold("bankrupt", 0, "10", "100")
    bench.mark({0: "96"})
    tx = bench.liquidate("bankrupt")
    assert [f.haircut for f in tx.all("Deleveraged")] == [0]
    assert tx.one("LotSettled").surplus == 20 * USDC
    assert bench.insurance() == 20 * USDC


def test_at_the_mark_lots_without_takers_stay() -> None:
    """The winner has 4 of the 10: the gap of all is paid at once, so that what stays is worth
    nothing at the mark; a later epoch does the same with the change since."""
    bench = _crash("mark", "1000", winners="4")
    tx = bench.liquidate("bankrupt")
    assert [f.size for f in tx.all("Deleveraged")] == [400]
    end = tx.one("LotSettled")
    assert (end.unfilled, end.residual, end.insurance) == (600, 40 * USDC, 40 * USDC)
    assert bench.venue.clearinghouse.call("equity", bench.estate(0, True)) == 0
    bench.mark({0: "91"})
    assert bench.retry(0, True).one("LotSettled").surplus == 6 * USDC


def test_at_the_mark_nobody_is_passed_over_for_want_of_equity() -> None:
    """Short 90, mark 80, previous mark 95, 100 lots, equity 1,200: not eligible at the previous
    mark, closed in full at the mark. Short 100 likewise: no limit of 80 there."""
    lot = adl.Lot(9, True, 10_000, -88 * 10**8)
    for quote, at_previous in ((9 * 10**9, 0), (10**10, 8_000)):
        standing = adl.Standing(1, -10_000, quote, 12 * 10**8)
        assert adl.bearable(standing, lot, 800_000, "previous_mark", 950_000) == at_previous
        assert adl.bearable(standing, lot, 800_000, "mark", 950_000) == 10_000


def test_profit_at_the_mark_is_strict() -> None:
    """A short that entered at the mark is in no profit at it."""
    bench = Bench(MarketSpec("100"), close="mark")
    bench.account("short", "10000")
    bench.account("bankrupt", "60")
    bench.hold("bankrupt", 0, "10", "100")
    bench.mark({0: "90"})
    bench.account("sink", "1000000")
    bench.trade("counterparty", 0, 1_000, bench.prices[0], against="short")
    assert bench.position("counterparty", 0)[0] == 0
    assert bench.liquidate("bankrupt").all("Deleveraged") == []


def test_an_unknown_close_price_is_refused() -> None:
    bench = Bench(MarketSpec("100"))
    deleverager, score = bench.venue.deleverager, bench.venue.score
    with pytest.raises(Reverted, match="deleverager: unknown close price"):
        deleverager.send("set_policy", score, 3, sender=bench.venue.owner)


def test_the_model_asks_for_the_mark() -> None:
    with pytest.raises(ValueError, match="takes the mark"):
        adl.close_price(adl.Lot(1, True, 1, -1), "mark", 1)
    assert adl.close_price(adl.Lot(1, True, 3, -1), "bankruptcy", 1) == Fraction(1, 3)
