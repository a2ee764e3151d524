"""Attempts on the insurance vault: what a sole bidder can take, and where it ends.

Figures in dollars are asserted, so that a change of the bound is a visible change.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.vectors.bench import Bench, MarketSpec


def _self_made_crash(band: int, bid: str, trigger: str = "underwater") -> tuple[Bench, int, int]:
    """The attacker is long $10,000 at 20x in one account and the only bidder in another, on an
    otherwise empty book; the mark falls until the long is just below maintenance. Returns what the
    attacker has gained at the mark and what the vault has paid, micro-USDC."""
    bench = Bench(MarketSpec("100"), insured_band=band, trigger=trigger)
    bench.insure("100000")
    bench.account("long", "500", owner="one")
    bench.account("bidder", "100000", owner="two")
    bench.hold("long", 0, "100", "100")
    # Equity 500 - 100 * (100 - p) below 2.5% of 100 p: p < 97.4359.
    bench.mark({0: "97.43"})
    before = bench.equity("long") + bench.equity("bidder")
    bench.bid("bidder", 0, "100", bid)
    tx = bench.liquidate("long")
    paid = sum(fill.insurance for fill in tx.all("LiquidationFill"))
    return bench, bench.equity("long") + bench.equity("bidder") - before, paid


def test_bid_at_one_tick_gets_nothing() -> None:
    """A bid at one tick is outside of every band below 100%."""
    bench, gain, paid = _self_made_crash(100_000, "0.0001")
    assert (gain, paid) == (0, 0)
    assert bench.position("long", 0)[0] == 10_000


@pytest.mark.parametrize(
    ("band", "edge", "dollars"),
    [
        # Edge of the band; what the vault pays and the attacker gains. Equity left is $243.
        pytest.param(100_000, "87.6870", "731.300000", id="10%"),
        pytest.param(50_000, "92.5585", "244.150000", id="5%"),
        pytest.param(24_900, "95.0040", "0", id="below-the-equity-left"),
    ],
)
def test_sole_bidder_is_bounded_by_the_band(band: int, edge: str, dollars: str) -> None:
    """THE BOUND: of a notional N at the mark the vault loses at most band * N - equity. With a band
    of 10% and 20x leverage (2.5% of equity left) a sole bidder at the edge takes 7.5% of N from
    the vault. The gain is nothing once the band is below the maintenance rate."""
    bench, gain, paid = _self_made_crash(band, edge)
    assert gain == paid == int(Fraction(dollars) * 10**6)
    notional = 10_000 * bench.prices[0]
    assert paid <= Fraction(band, 10**6) * notional


def test_one_tick_beyond_the_band() -> None:
    _, gain, paid = _self_made_crash(100_000, "87.6869")
    assert (gain, paid) == (0, 0)


def test_the_bound_holds_for_repeated_fills() -> None:
    """A hundred small bids at the edge take no more than a large one but for a rounded-up
    micro-USDC each."""
    bench = Bench(MarketSpec("100"), check=False)
    bench.insure("100000")
    bench.account("long", "500")
    bench.account("bidder", "100000")
    bench.hold("long", 0, "100", "100")
    bench.mark({0: "97.43"})
    for _ in range(100):
        bench.bid("bidder", 0, "1", "87.6870")
    bench.liquidate("long", 256)
    paid = 100_000 * 10**6 - bench.insurance()
    assert 731_300_000 <= paid <= 731_300_000 + 100
    bench.check()


def test_vault_cannot_go_below_zero() -> None:
    bench = Bench(MarketSpec("100"))
    bench.insure("100")
    bench.account("long", "500")
    bench.account("bidder", "100000")
    bench.hold("long", 0, "100", "100")
    bench.mark({0: "97.43"})
    bench.bid("bidder", 0, "100", "87.6870")
    (fill,) = bench.liquidate("long").all("LiquidationFill")
    # $7.313 are missing a unit: 100 pay for 13.67 units.
    assert fill.size == 1_367
    assert 0 <= bench.insurance() < 7_313_000


def test_underwater_account_is_paid_deficit_and_band() -> None:
    """Deficit D at the mark and a bid at the edge: the vault pays D + band * N at most."""
    bench = Bench(MarketSpec("100"))
    bench.insure("100000")
    bench.account("long", "500")
    bench.account("bidder", "100000")
    bench.hold("long", 0, "100", "100")
    bench.mark({0: "90"})
    bench.bid("bidder", 0, "100", "81")
    (fill,) = bench.liquidate("long").all("LiquidationFill")
    assert fill.insurance == (500 + 900) * 10**6


def test_wind_up_never_touches_the_vault_while_winners_can_pay() -> None:
    bench = Bench(MarketSpec("100"))
    bench.insure("100000")
    bench.account("long", "500")
    bench.account("short", "10000")
    bench.hold("long", 0, "100", "100")
    bench.hold("short", 0, "-100", "100")
    bench.mark({0: "90"})
    bench.liquidate("long")
    assert bench.insurance() == 100_000 * 10**6


@pytest.mark.parametrize(("leverage", "left"), [(20, 146), (50, 0), (100, -49)])
def test_one_epoch_at_the_step_limit(leverage: int, left: int) -> None:
    """An account at its maintenance margin whose mark falls by the default step of 1% at once.
    From 51x on it jumps over its bankruptcy price: such a market needs a smaller step, or a
    straddle of two own accounts takes money from others. Dollars left of a notional of 10,000,
    rounded toward zero."""
    bench = Bench(MarketSpec("100", leverage=leverage), max_step=10_000)
    bench.account("long", 10_000 // leverage)
    bench.hold("long", 0, "100", "100")
    ticks = bench.prices[0]
    # Down tick by tick while healthy, then one full step.
    while not bench.is_liquidatable("long"):
        ticks -= 100
        bench.epoch({0: ticks})
    bench.epoch({0: ticks + 100})
    assert not bench.is_liquidatable("long")
    bench.epoch({0: 1})
    assert int(bench.equity("long") / 10**6) == left
