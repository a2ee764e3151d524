"""Golden vectors of the wind-up: which leg carries how much of the deficit, and that nothing is
left of the account."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from breakwater.model import waterfall
from tests.vectors.bench import Bench, MarketSpec


def test_cross_by_unrealised_loss() -> None:
    """Cash 100, long 10 BTC (100 -> 80), long 10 ETH (100 -> 95), equity -150: by unrealised loss
    BTC closes at 92, ETH at 98."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    bench.account("cross", "100")
    bench.hold("cross", 0, "10", "100")
    bench.hold("cross", 1, "10", "100")
    bench.mark({0: "80", 1: "95"})
    assert bench.equity("cross") == -150 * 10**6
    tx = bench.liquidate("cross")
    assert [(e.market, e.quote) for e in tx.all("LegWoundUp")] == [
        (0, 920 * 10**6),
        (1, 980 * 10**6),
    ]
    assert [Fraction(f.quote, f.size) for f in tx.all("Deleveraged")] == [920_000, 980_000]
    assert bench.cash("cross") == 0
    partings, left = waterfall.wind_up(
        -150 * 10**6,
        [waterfall.Leg(0, 1_000, -(10**9), 800_000), waterfall.Leg(1, 1_000, -(10**9), 950_000)],
    )
    assert [p.price for p in partings] == [920_000, 980_000]
    assert left == 0


def test_leg_without_a_loss_moves_at_the_mark() -> None:
    """Long 10 at 100 -> 80, short 10 at 100 -> 99 (in profit), cash 100, equity -90: the short
    moves at 99, all of the deficit goes with the long, at 89."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    bench.account("cross", "100")
    bench.hold("cross", 0, "10", "100")
    bench.hold("cross", 1, "-10", "100")
    bench.mark({0: "80", 1: "99"})
    tx = bench.liquidate("cross")
    assert [(e.market, e.quote) for e in tx.all("LegWoundUp")] == [
        (0, 890 * 10**6),
        (1, 990 * 10**6),
    ]


def test_remainder_goes_to_the_last_leg() -> None:
    """A deficit that does not divide: shares are truncated, the last leg takes the rest."""
    bench = Bench(*[MarketSpec("100", decimals=6) for _ in range(3)])
    bench.account("cross", "0.001")
    for market in range(3):
        # 7 lots of 10^-6 at 100: one tick is a micro-USDC each.
        bench.trade("cross", market, 7, 100)
    bench.epoch({0: 50, 1: 50, 2: 50})
    deficit = bench.equity("cross")
    assert deficit == 1_000 - 3 * 350
    tx = bench.liquidate("cross")
    assert [e.share for e in tx.all("LegWoundUp")] == [-16, -16, -18]
    assert bench.cash("cross") == 0


@pytest.mark.parametrize("seed", range(20))
def test_shares_add_up(seed: int) -> None:
    """Whatever the legs: shares sum to the equity but for what no leg carries, no price is below
    0."""
    draw = random.Random(seed)
    for _ in range(50):
        legs = [
            waterfall.Leg(
                m,
                draw.choice([-1, 1]) * draw.randint(1, 50),
                draw.randint(-9, 9) * 100,
                draw.randint(1, 60),
            )
            for m in range(draw.randint(0, 5))
        ]
        equity = draw.randint(-5_000, 200)
        partings, uncarried = waterfall.wind_up(equity, legs)
        assert all(p.quote >= 0 for p in partings)
        carried = sum(p.share for p in partings)
        assert carried - uncarried == equity or (equity > 0 and carried <= equity)
        if uncarried:
            assert all(p.leg.size < 0 and p.quote == 0 for p in partings)


def test_dydx_bankruptcy() -> None:
    """Long 10, mark 90, quote -1000 -> 100 each, ends at exactly 0."""
    bench = Bench(MarketSpec("106"))
    bench.account("long", "60")
    bench.account("short", "10000")
    # Cash 60 and a quote of -1060 are together -1000.
    bench.hold("long", 0, "10", "106", against="counterparty")
    bench.hold("short", 0, "-10", "106", against="counterparty")
    bench.mark({0: "90"})
    tx = bench.liquidate("long")
    assert tx.one("LegWoundUp").quote == 1_000 * 10**6
    (fill,) = tx.all("Deleveraged")
    assert (fill.size, fill.quote) == (1_000, 1_000 * 10**6)
    assert bench.cash("long") == 0
    house = bench.venue.clearinghouse
    assert house.call("equity", bench.estate(0, True)) == 0


def test_per_unit_prices_would_not_end_at_zero() -> None:
    """3 lots worth 100: fills of one each are 34, 33, 33: recomputed from what is left."""
    bench = Bench(MarketSpec("1", decimals=6))
    for name in ("a", "b", "c"):
        bench.account(name, "1")
        bench.trade(name, 0, -1, 40)
    bench.account("bankrupt", "0.00002")
    bench.epoch({0: 40})
    bench.trade("bankrupt", 0, 3, 40)
    bench.epoch({0: 30})
    tx = bench.liquidate("bankrupt")
    assert sorted(f.quote for f in tx.all("Deleveraged")) == [33, 33, 34]
    assert sum(f.quote for f in tx.all("Deleveraged")) == 100
