"""The three worked examples of the guides that the project started from.

Their printed figures stand beside what the venue does. Both examples of a long are run with the
trigger `unfillable`: the book stops at the bankruptcy price and the unfilled part is deleveraged
there. What is printed and does not hold is asserted as the venue has it, with the reason.
"""

from __future__ import annotations

from breakwater.model import waterfall
from tests.vectors.bench import Bench, MarketSpec


def test_partial_adl() -> None:
    """Short 10 ETH at 2,000, mark 1,800, +2,000; 4 closed -> short 6, +1,200 left."""
    bench = Bench(MarketSpec("2000", decimals=3), trigger="unfillable")
    bench.account("short", "5000")
    bench.account("long", "378")
    bench.hold("short", 0, "-10", "2000")
    bench.hold("long", 0, "4", "1890", against="counterparty")
    bench.mark({0: "1800"})
    size, quote = bench.position("short", 0)
    assert size * bench.prices[0] + quote == 2_000 * 10**6
    (fill,) = bench.liquidate("long").all("Deleveraged")
    assert fill.winner == bench.ids["short"]
    assert fill.size == 4_000
    size, quote = bench.position("short", 0)
    assert size == -6_000
    assert size * bench.prices[0] + quote == 1_200 * 10**6
    # 378 of collateral make the long bankrupt at 1,795.5: below the mark, a gain of 4.5 a unit.
    assert fill.quote == 4 * 1_795_500_000
    assert fill.haircut == -18 * 10**6


def _example_1(**config: object) -> Bench:
    """Long 1 BTC at 90,000, 50x (bankruptcy 88,200); short 2 BTC at 90,500, 25x; mark 88,500."""
    bench = Bench(MarketSpec("90500", leverage=50, decimals=4), **config)
    bench.account("short", "7240")
    bench.account("long", "1800")
    bench.account("bidder", "1000000")
    bench.hold("short", 0, "-2", "90500")
    bench.hold("long", 0, "1", "90000")
    bench.mark({0: "88500"})
    return bench


def test_example_1_unfilled_part_is_closed_at_bankruptcy() -> None:
    """0.30 BTC closed at 88,200 realises +690 for the short, as printed."""
    bench = _example_1(trigger="unfillable")
    bench.bid("bidder", 0, "0.7", "88200")
    tx = bench.liquidate("long")
    (sold,) = tx.all("LiquidationFill")
    assert (sold.size, sold.price, sold.insurance) == (7_000, 8_820_000, 0)
    (fill,) = tx.all("Deleveraged")
    assert fill.winner == bench.ids["short"]
    assert (fill.size, fill.quote) == (3_000, 3_000 * 8_820_000)
    assert bench.cash("short") == (7_240 + 690) * 10**6
    # Closed below the mark the short gains 90 against it: it pays for none of the deficit.
    assert fill.haircut == -90 * 10**6
    assert bench.equity("long") == 0
    assert bench.uninsured() == 0


def _deficit(bankruptcy: int, mark: int, price: int, band: int) -> int:
    """What insurance pays for one unit at `price` by the model, dollars."""
    selling = waterfall.Selling(True, 1, -bankruptcy, mark, 10**6, band)
    return sum(fill.insurance for fill in waterfall.sell_into(selling, [(price, 1)]))


def test_example_1_printed_deficit() -> None:
    """A fill at 87,700 leaves 500, not the printed 600 (600 needs 87,600), and once the long has
    been sold there is nothing to deleverage: insurance pays. At 50x it follows the book 1% beyond
    the mark, to 87,615: at 87,600 it does not pay, and the long, worth 300 at the mark, stays."""
    bench = _example_1()
    bench.insure("1000")
    assert bench.equity("long") == 300 * 10**6
    bench.bid("bidder", 0, "1", "87700")
    tx = bench.liquidate("long")
    (sold,) = tx.all("LiquidationFill")
    assert sold.insurance == 500 * 10**6
    assert tx.all("Deleveraged") == []
    assert bench.insurance() == 500 * 10**6
    assert bench.equity("long") == 0

    bench = _example_1()
    bench.insure("1000")
    bench.bid("bidder", 0, "1", "87600")
    tx = bench.liquidate("long")
    assert tx.all("LiquidationFill") == tx.all("WoundUp") == []
    assert bench.insurance() == 1_000 * 10**6
    # The printed figures as they are, with a band that is wide enough.
    assert [_deficit(88_200, 88_500, p, 100_000) for p in (87_700, 87_600)] == [500, 600]


def _example_2(**config: object) -> Bench:
    """Long 100 ETH at 3,200, 20x (bankruptcy 3,040); short 200 at 3,150, 10x; mark 3,060."""
    bench = Bench(MarketSpec("3150", decimals=3), **config)
    bench.account("short", "63000")
    bench.account("long", "16000")
    bench.account("bidder", "1000000")
    bench.hold("short", 0, "-200", "3150")
    bench.hold("long", 0, "100", "3200")
    bench.mark({0: "3060"})
    return bench


def test_example_2_unfilled_part_is_closed_at_bankruptcy() -> None:
    """55 ETH closed at 3,040 realise +6,050 for the short, as printed."""
    bench = _example_2(trigger="unfillable")
    bench.bid("bidder", 0, "45", "3040")
    tx = bench.liquidate("long")
    (fill,) = tx.all("Deleveraged")
    assert fill.winner == bench.ids["short"]
    assert (fill.size, fill.quote) == (55_000, 55_000 * 3_040_000)
    assert bench.cash("short") == (63_000 + 6_050) * 10**6
    assert fill.haircut == -1_100 * 10**6
    assert bench.equity("long") == 0


def test_example_2_printed_deficit() -> None:
    """A fill at 2,980 leaves 6,000 as printed. The long was still worth 2,000 at the mark, and at
    20x insurance follows the book 2.5% beyond it, to 2,983.5: there it pays 5,650, at 2,980
    nothing."""
    assert 100 * _deficit(3_040, 3_060, 2_980, 100_000) == 6_000
    bench = _example_2()
    bench.insure("6000")
    assert bench.equity("long") == 2_000 * 10**6
    bench.bid("bidder", 0, "100", "2980")
    tx = bench.liquidate("long")
    assert tx.all("LiquidationFill") == tx.all("WoundUp") == []
    bench.bid("bidder", 0, "100", "2983.5")
    tx = bench.liquidate("long")
    assert [f.insurance for f in tx.all("LiquidationFill")] == [5_650 * 10**6]
    assert bench.insurance() == 350 * 10**6
    assert tx.all("Deleveraged") == []
    assert bench.equity("long") == 0
