"""A fifth first: large legs, the cooldown, and what is left by a rule.

The account is long 100 units from $100 with $500: below maintenance (2.5%) under $97.4359, below
two thirds of it under $96.6102, bankrupt at $95. Legs above $5,000 are large.
"""

from __future__ import annotations

from typing import Any

import pytest

from breakwater.contract import Tx
from breakwater.engine.base import Reverted
from tests.vectors.bench import Bench, MarketSpec

LARGE = 5_000 * 10**6
SIZE = 10_000


def bench_with_long(
    above: int = LARGE, cooldown: int = 30, market: MarketSpec | None = None, **config: Any
) -> Bench:
    bench = Bench(market or MarketSpec("100"), **config)
    venue = bench.venue
    venue.liquidator.send("set_partial", above, cooldown, sender=venue.owner)
    bench.account("long", "500")
    bench.account("maker", "100000")
    bench.hold("long", 0, "100", "100")
    return bench


def sold(tx: Tx) -> int:
    return sum(fill.size for fill in tx.all("LiquidationFill"))


def test_a_fifth_is_enough_and_the_rest_is_left_alone() -> None:
    bench = bench_with_long()
    bench.bid("maker", 0, "100", "97")
    bench.mark({0: "97"})
    tx = bench.liquidate("long")
    assert sold(tx) == 2_000
    # $200 left, and 80 units need $194.
    assert (bench.equity("long"), bench.margin("long").maintenance) == (200 * 10**6, 194 * 10**6)
    began = tx.one("CooldownBegan")
    assert (began.account, began.until) == (bench.ids["long"], tx.receipt.timestamp + 30)
    with pytest.raises(Reverted, match="account is healthy"):
        bench.liquidate("long")


@pytest.mark.parametrize(("wait", "second"), [(0, 8_000), (28, 8_000), (29, 1_600), (300, 1_600)])
def test_orders_are_whole_in_the_cooldown_and_a_fifth_after_it(wait: int, second: int) -> None:
    """The next transaction is a second after the last, so the cooldown of 30 s ends at 29 more."""
    bench = bench_with_long()
    bench.bid("maker", 0, "100", "96.5")
    bench.mark({0: "97"})
    assert sold(bench.liquidate("long")) == 2_000
    # $190 left where $194 are needed.
    assert bench.is_liquidatable("long")
    bench.engine.wait(wait)
    assert sold(bench.liquidate("long")) == second


def test_nothing_more_in_the_block_of_the_fifth() -> None:
    bench = bench_with_long()
    bench.bid("maker", 0, "100", "96.5")
    bench.mark({0: "97"})
    bench.liquidate("long")
    # Time stands still: a second transaction of the same block.
    bench.engine._timestamp -= 1
    with pytest.raises(Reverted, match="a fifth was sold in this block"):
        bench.liquidate("long")
    bench.engine._timestamp += 1
    assert sold(bench.liquidate("long")) == 8_000


@pytest.mark.parametrize(("size", "first"), [("100", 2_000), ("100.01", 2_001), ("99.96", 2_000)])
def test_a_fifth_is_rounded_up_to_a_lot(size: str, first: int) -> None:
    bench = Bench(MarketSpec("100"))
    bench.venue.liquidator.send("set_partial", LARGE, 30, sender=bench.venue.owner)
    bench.account("long", "501")
    bench.account("maker", "100000")
    bench.hold("long", 0, size, "100")
    bench.bid("maker", 0, "100", "97")
    bench.mark({0: "97"})
    assert sold(bench.liquidate("long")) == first


@pytest.mark.parametrize(("above", "first"), [(9_700, SIZE), (9_699, 2_000)])
def test_large_is_above_the_threshold_and_not_at_it(above: int, first: int) -> None:
    bench = bench_with_long(above * 10**6)
    bench.bid("maker", 0, "100", "97")
    bench.mark({0: "97"})
    assert sold(bench.liquidate("long")) == first


@pytest.mark.parametrize(("least", "first"), [(776, 200), (777, 1_000)])
def test_no_dust_is_left(least: int, first: int) -> None:
    """8 units are worth $776: less than the least order may not stay behind."""
    bench = Bench(MarketSpec("100", min_notional=least * 10**6))
    bench.venue.liquidator.send("set_partial", 500 * 10**6, 30, sender=bench.venue.owner)
    bench.account("long", "50")
    bench.account("maker", "100000")
    bench.hold("long", 0, "10", "100")
    bench.bid("maker", 0, "10", "97")
    bench.mark({0: "97"})
    assert sold(bench.liquidate("long")) == first


@pytest.mark.parametrize(("mark", "first"), [("96.6102", 2_000), ("96.6101", SIZE)])
def test_below_two_thirds_of_maintenance_orders_are_whole(mark: str, first: int) -> None:
    bench = bench_with_long()
    bench.bid("maker", 0, "100", "97")
    bench.mark({0: mark})
    assert sold(bench.liquidate("long")) == first


def test_steps_that_run_out_begin_no_cooldown() -> None:
    """Else a caller with few steps would spoil the fifth for everybody else."""
    bench = bench_with_long()
    for _ in range(30):
        bench.bid("maker", 0, "5", "96.5")
    bench.mark({0: "97"})
    tx = bench.liquidate("long", 2)
    assert sold(tx) == 1_000 and not tx.all("CooldownBegan")
    assert tx.one("Liquidated").more
    # A fifth of the 90 units that are left.
    tx = bench.liquidate("long")
    assert sold(tx) == 1_800 and tx.all("CooldownBegan")


@pytest.mark.parametrize("trigger", ["underwater", "unfillable"])
def test_what_is_held_back_is_not_wound_up(trigger: str) -> None:
    bench = bench_with_long(trigger=trigger)
    bench.bid("maker", 0, "20", "96.5")
    bench.mark({0: "97"})
    tx = bench.liquidate("long")
    assert sold(tx) == 2_000 and not tx.one("Liquidated").unfillable
    assert not tx.all("WoundUp")
    # The rest finds nothing, which is another matter.
    tx = bench.liquidate("long")
    assert tx.one("Liquidated").unfillable
    assert bool(tx.all("WoundUp")) is (trigger == "unfillable")


def test_without_a_price_within_the_limit_a_fifth_is_as_good_as_all() -> None:
    bench = bench_with_long(trigger="unfillable")
    bench.bid("maker", 0, "100", "94.9999")
    bench.mark({0: "97"})
    tx = bench.liquidate("long")
    assert sold(tx) == 0 and tx.all("WoundUp") and not tx.all("CooldownBegan")


def test_the_legs_of_a_cross_account_go_in_order_of_market_id() -> None:
    """A fifth of each, while the account is weak; none of the third, once it has recovered."""
    bench = Bench(*(MarketSpec("100") for _ in range(3)))
    bench.venue.liquidator.send("set_partial", LARGE, 30, sender=bench.venue.owner)
    bench.account("cross", "1500")
    bench.account("maker", "100000")
    for market in (2, 0, 1):
        bench.hold("cross", market, "100", "100")
        bench.bid("maker", market, "100", "97")
    bench.mark({0: "97.1", 1: "97.1", 2: "97.1"})
    # $630 where $728.25 are needed: a fifth of two is $48.55 each, and costs $2 each.
    tx = bench.liquidate("cross")
    assert [(f.market, f.size) for f in tx.all("LiquidationFill")] == [
        (0, 2_000), (1, 2_000), (2, 2_000)
    ]  # fmt: skip
    assert not bench.is_liquidatable("cross")


def test_a_loss_within_the_fifth_still_has_a_payer() -> None:
    """The limit is the bankruptcy price of all of the leg, however little is ordered."""
    bench = bench_with_long(cooldown=0)
    bench.insure("1000")
    # Strong enough for a fifth; the bid is $0.40 a unit beyond bankruptcy.
    bench.bid("maker", 0, "100", "94.6")
    bench.mark({0: "97"})
    before = bench.equity("long")
    (fill,) = bench.liquidate("long").all("LiquidationFill")
    assert (fill.size, fill.insurance) == (2_000, 8 * 10**6)
    # A fifth of the equity went with a fifth of the leg.
    assert bench.equity("long") == before * 4 // 5


@pytest.mark.parametrize("cooldown", [0, 3_600])
def test_the_owner_sets_it(cooldown: int) -> None:
    bench = Bench(MarketSpec("100"))
    liquidator, owner = bench.venue.liquidator, bench.venue.owner
    tx = liquidator.send("set_partial", 5, cooldown, sender=owner)
    event = tx.one("PartialSet")
    assert (event.partial_above, event.cooldown) == (5, cooldown)
    assert (liquidator.call("partial_above"), liquidator.call("cooldown")) == (5, cooldown)
    with pytest.raises(Reverted, match="cooldown above an hour"):
        liquidator.send("set_partial", 5, 3_601, sender=owner)
    with pytest.raises(Reverted, match="caller is not the owner"):
        liquidator.send("set_partial", 5, 30, sender=bench.keeper)
