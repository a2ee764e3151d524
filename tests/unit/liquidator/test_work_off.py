"""The tranche's positions go back to the book: by anyone, a little at a time, near the mark.

The tranche is long 100 units taken over at $96, with $1,100. An interval of 60 s allows a tenth
of the position, or $500 if that is more; 0.5% beyond the mark.
"""

from __future__ import annotations

from typing import Any

import pytest

from breakwater.contract import Tx
from breakwater.engine.base import Reverted
from tests.tranche import fund, tranche
from tests.unit.liquidator.test_backstop import margin_of_tranche, of_tranche, own
from tests.vectors.bench import HOUR, Bench, MarketSpec

USDC = 10**6


def bench_at_work(
    is_long: bool = True,
    share: int = 100_000,
    notional: int = 500 * USDC,
    slippage: int = 5_000,
    money: int = 1_000 * USDC,
) -> Bench:
    bench = Bench(MarketSpec("100"))
    own(bench, "set_work_off", share, notional, 60, slippage)
    own(bench, "set_backstop_limit", 0, 10**6 * USDC)
    fund(bench.venue, money)
    bench.account("weak", "500")
    bench.account("maker", "1000000")
    bench.hold("weak", 0, "100" if is_long else "-100", "100")
    bench.mark({0: "96" if is_long else "104"})
    assert bench.liquidate("weak").all("BackstopTaken")
    return bench


def work_off(bench: Bench, steps: int = 40, market: int = 0) -> Tx:
    sent = bench.venue.liquidator.send("work_off", market, steps, sender=bench.keeper)
    return bench.seen(sent)


def fills(tx: Tx) -> list[tuple[int, int, int]]:
    return [(e.size, e.price, e.left) for e in tx.all("WorkedOff")]


def test_a_tenth_in_an_interval() -> None:
    bench = bench_at_work()
    bench.bid("maker", 0, "100", "96.2")
    assert bench.venue.liquidator.call("work_off_left", 0) == 1_000
    tx = work_off(bench)
    (event,) = tx.all("WorkedOff")
    assert (event.market, event.caller, event.is_long, event.mark) == (
        0,
        bench.keeper,
        True,
        960_000,
    )
    assert fills(tx) == [(1_000, 962_000, 0)]
    # Sold $0.20 above the mark, of which the vault has the profit.
    assert margin_of_tranche(bench).equity == 1_102 * USDC
    with pytest.raises(Reverted, match="enough for this interval"):
        work_off(bench)
    bench.engine.wait(58)
    with pytest.raises(Reverted, match="enough for this interval"):
        work_off(bench)
    bench.engine.wait(59)
    assert fills(work_off(bench)) == [(900, 962_000, 0)]


def test_a_short_is_bought_back() -> None:
    bench = bench_at_work(is_long=False)
    bench.ask("maker", 0, "3", "104.5")
    bench.ask("maker", 0, "100", "104.52")
    # 0.5% above $104.
    bench.ask("maker", 0, "100", "104.5201")
    assert fills(work_off(bench)) == [(300, 1_045_000, 700), (700, 1_045_200, 0)]
    assert of_tranche(bench)[1] == -9_000


@pytest.mark.parametrize(("bid", "sold"), [("95.52", 1_000), ("95.5199", 0)])
def test_no_worse_than_the_slippage_beyond_the_mark(bid: str, sold: int) -> None:
    bench = bench_at_work()
    bench.bid("maker", 0, "100", bid)
    assert sum(size for size, _, _ in fills(work_off(bench))) == sold
    assert bench.venue.liquidator.call("work_off_left", 0) == 1_000 - sold


def test_small_positions_go_by_notional() -> None:
    """$500 at $96 are 5.20 units: less than a tenth of 100, more than one of 40."""
    bench = bench_at_work(notional=9_600 * USDC)
    bench.bid("maker", 0, "100", "96")
    assert fills(work_off(bench)) == [(10_000, 960_000, 0)]
    assert of_tranche(bench)[1] == 0
    with pytest.raises(Reverted, match="nothing to work off"):
        work_off(bench)


def test_few_steps_use_up_no_interval() -> None:
    bench = bench_at_work()
    for _ in range(20):
        bench.bid("maker", 0, "1", "96")
    seen = [fills(work_off(bench, 2)) for _ in range(5)]
    assert [len(rows) for rows in seen] == [2] * 5
    assert seen[-1] == [(100, 960_000, 100), (100, 960_000, 0)]
    with pytest.raises(Reverted, match="enough for this interval"):
        work_off(bench, 2)


def test_nothing_sold_begins_no_interval() -> None:
    bench = bench_at_work()
    assert fills(work_off(bench)) == []
    bench.engine.wait(40)
    bench.bid("maker", 0, "100", "96")
    work_off(bench)
    bench.engine.wait(30)
    with pytest.raises(Reverted, match="enough for this interval"):
        work_off(bench)


@pytest.mark.parametrize(("down", "sold"), [("85.0002", 2), ("85", 0)])
def test_never_below_zero(down: str, sold: int) -> None:
    """$0.02 are left at $85.0002, and a lot goes $0.01 below the mark."""
    bench = bench_at_work(share=10**6, slippage=500_000)
    bench.mark({0: down})
    price = bench.prices[0] - 10_000
    bench.order("maker", 0, True, 10_000, price)
    assert sum(size for size, _, _ in fills(work_off(bench))) == sold
    assert margin_of_tranche(bench).equity == 0


def test_void_and_refused_makers_are_passed() -> None:
    bench = bench_at_work()
    bench.account("poor", "1")
    bench.bid("poor", 0, "10", "96.1")
    bench.bid("maker", 0, "10", "96.2")
    bench.cancel_all("maker")
    bench.bid("maker", 0, "10", "96")
    assert fills(work_off(bench)) == [(1_000, 960_000, 0)]


def test_when_it_is_refused() -> None:
    bench = bench_at_work()
    with pytest.raises(Reverted, match="no steps"):
        work_off(bench, 0)
    with pytest.raises(Reverted, match="nothing to work off"):
        work_off(bench, market=7)
    bench.account("bankrupt", "500")
    bench.hold("bankrupt", 0, "50", "96")
    bench.mark({0: "85.5"})
    bench.liquidate("bankrupt", 1)
    assert bench.busy()
    with pytest.raises(Reverted, match="adl round open"):
        work_off(bench)
    bench.finish()
    bench.bid("maker", 0, "1", "85.5")
    assert fills(work_off(bench)) == [(100, 855_000, 900)]
    bench.engine.wait(2 * HOUR)
    with pytest.raises(Reverted, match="stale price"):
        work_off(bench)


def test_a_settled_market_needs_no_taker() -> None:
    bench = bench_at_work()
    bench.bid("maker", 0, "100", "96")
    bench.govern("halt", 0)
    bench.engine.wait(24 * HOUR)
    bench.epoch()
    bench.govern("settle_market", 0, bench.ticks(0, "96"))
    with pytest.raises(Reverted, match="market settled"):
        work_off(bench)
    assert bench.venue.liquidator.call("work_off_left", 0) == 0
    bench.send("liquidator", "close_settled", "maker", tranche(bench.venue), 0)
    # Less funding of the one hour that a price was fresh for: 0.00125% of $9,600.
    assert of_tranche(bench)[:2] == (1_100 * USDC - 120_000, 0)


@pytest.mark.parametrize(("intervals", "gain"), [(1, 4_800_000), (3, 13_008_000)])
def test_what_a_sole_bidder_can_take(intervals: int, gain: int) -> None:
    """THE BOUND: in one interval the slippage on what it allows, here 0.5% of a tenth of $9,600;
    a tenth of what is left in the next one."""
    bench = bench_at_work()
    before = bench.equity("maker")
    bench.bid("maker", 0, "100", "95.52")
    for _ in range(intervals):
        for _ in range(5):
            try:
                work_off(bench)
            except Reverted:
                break
        bench.engine.wait(60)
    assert bench.equity("maker") - before == gain
    assert margin_of_tranche(bench).equity == 1_100 * USDC - gain
    assert gain <= 48 * USDC


@pytest.mark.parametrize(
    ("step", "slippage", "profit"),
    [
        # Just below two thirds of 2.5%, $159.99 of the person's own went with the position.
        (0, 16_000, False),
        # A full step of 1% later $64.63 are left: safe below 0.667% ...
        (1, 6_000, False),
        # ... and not above it.
        (1, 16_000, True),
    ],
)
def test_buying_back_ones_own_position(step: int, slippage: int, profit: bool) -> None:
    """One person lets his long be taken over and buys it back from the tranche with the slippage.
    The margin that went with it is his price: he gains nothing where the slippage is below two
    thirds of the maintenance rate less one step. A slippage above it is the owner's mistake."""
    bench = Bench(MarketSpec("100"))
    own(bench, "set_work_off", 10**6, 0, 1, slippage)
    own(bench, "set_backstop_limit", 0, 10**6 * USDC)
    fund(bench.venue, 1_000 * USDC)
    bench.account("weak", "500")
    bench.account("maker", "1000000")
    bench.hold("weak", 0, "100", "100")
    bench.mark({0: "95.6441" if step else "96.6101"})
    before = bench.equity("weak") + bench.equity("maker")
    assert bench.liquidate("weak").all("BackstopTaken")
    price = -(-bench.prices[0] * (10**6 - slippage) // 10**6)
    bench.order("maker", 0, True, 10_000, price)
    work_off(bench)
    assert of_tranche(bench)[1] == 0
    gain = bench.equity("weak") + bench.equity("maker") - before
    assert (gain > 0) is profit, gain


def test_the_owner_sets_it_within_bounds() -> None:
    bench = Bench(MarketSpec("100"))
    event = own(bench, "set_work_off", 10**6, 2**100, 86_400, 999_999).one("WorkOffSet")
    assert (event.share, event.notional, event.interval, event.slippage) == (
        10**6, 2**100, 86_400, 999_999
    )  # fmt: skip
    bad: list[tuple[tuple[Any, ...], str]] = [
        ((10**6 + 1, 0, 1, 0), "share above 100%"),
        ((0, 2**100 + 1, 1, 0), "limit out of range"),
        ((0, 0, 0, 0), "interval out of range"),
        ((0, 0, 86_401, 0), "interval out of range"),
        ((0, 0, 1, 10**6), "slippage out of range"),
    ]
    for values, reason in bad:
        with pytest.raises(Reverted, match=reason):
            own(bench, "set_work_off", *values)
    with pytest.raises(Reverted, match="caller is not the owner"):
        bench.venue.liquidator.send("set_work_off", 0, 0, 1, 0, sender=bench.keeper)
