"""Golden vectors of the liquidation price and of the bankruptcy price as the book's limit."""

from __future__ import annotations

from fractions import Fraction

import pytest

from breakwater.engine.base import Reverted
from breakwater.model import waterfall
from tests.vectors.bench import Bench, MarketSpec


def test_liquidation_price() -> None:
    """Long 10 at 100, equity 150, maintenance 1/20, required 50 -> 89.473684: weak one tick below,
    healthy one tick above."""
    bench = Bench(MarketSpec("100", leverage=10))
    bench.account("long", "150")
    bench.hold("long", 0, "10", "100")
    assert bench.margin("long").maintenance == 50 * 10**6
    assert bench.equity("long") == 150 * 10**6
    # cash + 10 * (p - 100) = 10 p / 20
    assert round(float(Fraction(850) / Fraction(19, 2)), 6) == 89.473684
    bench.mark({0: "89.4737"})
    assert not bench.is_liquidatable("long")
    with pytest.raises(Reverted, match="liquidator: account is healthy"):
        bench.liquidate("long")
    bench.mark({0: "89.4736"})
    assert bench.is_liquidatable("long")


@pytest.mark.parametrize("size", ["10", "-10"])
def test_equity_at_maintenance_is_healthy(size: str) -> None:
    bench = Bench(MarketSpec("100", leverage=10))
    bench.account("trader", "145" if size == "10" else "155")
    bench.hold("trader", 0, size, "100")
    bench.mark({0: "90" if size == "10" else "110"})
    margin = bench.margin("trader")
    # Long: 145 - 100 = 45 = 900 / 20. Short: 155 - 100 = 55 = 1100 / 20.
    assert margin.equity == margin.maintenance
    assert not bench.is_liquidatable("trader")
    with pytest.raises(Reverted, match="liquidator: account is healthy"):
        bench.liquidate("trader")


@pytest.mark.parametrize(
    ("size", "collateral", "mark", "limit"),
    [("10", "100", "91", 900_000), ("-10", "100", "109", 1_100_000)],
    ids=["long", "short"],
)
def test_book_stops_at_the_bankruptcy_price(
    size: str, collateral: str, mark: str, limit: int
) -> None:
    """10 at 100 with 100: bankrupt at 90 (110). Without insurance an order there trades, one a
    tick beyond does not."""
    bench = Bench(MarketSpec("100", leverage=10))
    bench.account("trader", collateral)
    bench.account("bidder", "1000000")
    bench.hold("trader", 0, size, "100")
    bench.mark({0: mark})
    is_buy = size == "10"
    beyond = limit - 1 if is_buy else limit + 1
    bench.order("bidder", 0, is_buy, 400, limit)
    bench.order("bidder", 0, is_buy, 1_000, beyond)
    tx = bench.liquidate("trader")
    (fill,) = tx.all("LiquidationFill")
    assert (fill.size, fill.price, fill.insurance) == (400, limit, 0)
    assert tx.one("Liquidated").unfillable
    assert abs(bench.position("trader", 0)[0]) == 600
    # What is left has the same bankruptcy price.
    rest = bench.equity("trader") - bench.position("trader", 0)[0] * bench.prices[0]
    left = waterfall.Selling(is_buy, 600, rest, bench.prices[0], 0, 0)
    assert left.bankruptcy_price == limit


def test_better_fills_leave_room_for_worse_ones() -> None:
    """Long 10 with bankruptcy 90: 5 sold at 92 move the limit of the other 5 to 88."""
    bench = Bench(MarketSpec("100", leverage=10))
    bench.account("long", "100")
    bench.account("bidder", "1000000")
    bench.hold("long", 0, "10", "100")
    bench.mark({0: "91"})
    bench.bid("bidder", 0, "5", "92")
    bench.bid("bidder", 0, "5", "88")
    fills = bench.liquidate("long").all("LiquidationFill")
    assert [(f.size, f.price, f.insurance) for f in fills] == [(500, 920_000, 0), (500, 880_000, 0)]
    assert bench.cash("long") == 0


def test_insurance_pays_for_as_much_as_it_has() -> None:
    """Long 10, bankruptcy 90, a bid at 87: 3 a unit are missing, and 12 buy 4 units."""
    bench = Bench(MarketSpec("100", leverage=10))
    bench.account("long", "100")
    bench.account("bidder", "1000000")
    bench.hold("long", 0, "10", "100")
    bench.mark({0: "91"})
    bench.insure("12")
    bench.bid("bidder", 0, "10", "87")
    (fill,) = bench.liquidate("long").all("LiquidationFill")
    assert (fill.size, fill.insurance) == (400, 12 * 10**6)
    assert bench.insurance() == 0
    selling = waterfall.Selling(True, 1_000, -900 * 10**6, 910_000, 12 * 10**6, 50_000)
    assert waterfall.sell_into(selling, [(870_000, 1_000)]) == [
        waterfall.BookFill(400, 870_000, 12 * 10**6)
    ]


@pytest.mark.parametrize(
    ("size", "collateral", "mark", "edge"),
    [("10", "100", "91", 864_500), ("-10", "100", "109", 1_144_500)],
    ids=["long", "short"],
)
def test_insurance_follows_the_book_to_the_maintenance_rate(
    size: str, collateral: str, mark: str, edge: int
) -> None:
    """10x: 5% beyond the mark although the band is set to 10%, to the tick."""
    bench = Bench(MarketSpec("100", leverage=10), insured_band=100_000)
    bench.account("trader", collateral)
    bench.account("bidder", "1000000")
    bench.hold("trader", 0, size, "100")
    bench.mark({0: mark})
    bench.insure("1000")
    is_buy = size == "10"
    bench.order("bidder", 0, is_buy, 500, edge - 1 if is_buy else edge + 1)
    assert bench.liquidate("trader").all("LiquidationFill") == []
    bench.order("bidder", 0, is_buy, 500, edge)
    (fill,) = bench.liquidate("trader").all("LiquidationFill")
    # 3.55 a unit beyond bankruptcy at 90; for the short 4.45 beyond 110.
    beyond = abs(edge - (900_000 if is_buy else 1_100_000))
    assert (fill.size, fill.price, fill.insurance) == (500, edge, 500 * beyond)


def test_insurance_bears_the_unit() -> None:
    """3 lots with a rest of -100 and a bid at 33: a third of a unit is missing a lot; one lot alone
    takes a whole micro-USDC from the vault."""
    bench = Bench(MarketSpec("1", decimals=6), insured_band=1_000_000)
    bench.account("long", "0.000020")
    bench.account("bidder", "1")
    bench.epoch({0: 40})
    bench.trade("long", 0, 3, 40)
    bench.insure("0.000100")
    bench.order("bidder", 0, True, 1, 33)
    bench.order("bidder", 0, True, 2, 33)
    bench.epoch({0: 30})
    fills = bench.liquidate("long").all("LiquidationFill")
    # A third is missing a lot, a whole unit for the first alone; then 66 are owed for two.
    assert [(f.size, f.price, f.insurance) for f in fills] == [(1, 33, 1), (2, 33, 0)]
    assert bench.cash("long") == 0
    assert bench.insurance() == 99
