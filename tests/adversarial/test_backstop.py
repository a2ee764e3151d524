"""Attempts on the backstop: what one person can push into the tranche, and who pays for it.

Figures in dollars are asserted, so that a change of a bound is a visible change.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from breakwater.engine.base import Reverted
from tests.tranche import fund, tranche
from tests.vectors.bench import Bench, MarketSpec

USDC = 10**6


def bench_with_tranche(money: int, markets: int = 1, limit: int = 10**6, **config: Any) -> Bench:
    bench = Bench(*(MarketSpec("100") for _ in range(markets)), **config)
    for market in range(markets):
        bench.seen(
            bench.venue.liquidator.send(
                "set_backstop_limit", market, limit * USDC, sender=bench.venue.owner
            )
        )
    fund(bench.venue, money * USDC)
    return bench


def of_tranche(bench: Bench) -> Any:
    (row,) = bench.venue.rows([tranche(bench.venue)])
    return row


def test_a_squeezed_short_costs_the_tranche_and_never_the_vault() -> None:
    """The JELLY case as a synthetic one: a short is left to the tranche and the price is pushed up.
    The tranche loses what it was given, the winners the rest, the vault's main account nothing."""
    bench = bench_with_tranche(1_000)
    bench.insure("50000")
    bench.account("short", "500")
    bench.account("pump", "10000")
    bench.hold("short", 0, "-100", "100", against="pump")
    bench.mark({0: "104"})
    assert bench.liquidate("short").all("BackstopTaken")
    bench.mark({0: "150"})
    assert of_tranche(bench).equity == (1_100 - 4_600) * USDC
    bench.seen(bench.venue.liquidator.send("wind_up_tranche", 40, sender=bench.keeper))
    bench.finish()
    assert (of_tranche(bench).cash, of_tranche(bench).active_markets) == (0, 0)
    assert (bench.insurance(), bench.uninsured()) == (50_000 * USDC, 0)
    # The pump's 100 units went at $115: bankruptcy of the tranche, not the mark of $150.
    assert bench.position("pump", 0) == (0, 0)
    assert bench.equity("pump") == 10_000 * USDC + 1_500 * USDC


@pytest.mark.parametrize(("limit", "taken"), [(50_000, 5), (20_000, 2), (9_999, 1)])
def test_a_market_limit_bounds_what_a_crowd_can_push(limit: int, taken: int) -> None:
    """Ten owners, each within any owner's limit: the market's own limit holds."""
    bench = bench_with_tranche(100_000, limit=limit)
    for i in range(10):
        bench.account(f"a{i}", "500")
        bench.hold(f"a{i}", 0, "100", "100")
    bench.mark({0: "96"})
    seen = [bool(bench.liquidate(f"a{i}").all("BackstopTaken")) for i in range(10)]
    assert sum(seen) == taken
    assert of_tranche(bench).notional == taken * 9_600 * USDC <= limit * USDC


def test_the_margin_of_a_straddle_stays_within() -> None:
    """Long and short of one person, in two accounts: the loser goes to the tranche with its margin,
    and the person has lost it. The winner's profit was the loser's loss."""
    bench = bench_with_tranche(10_000)
    bench.account("long", "500", owner="one")
    bench.account("short", "500", owner="two")
    bench.trade("long", 0, 10_000, bench.ticks(0, "100"), against="short")
    before = bench.equity("long") + bench.equity("short")
    bench.mark({0: "96"})
    assert bench.liquidate("long").all("BackstopTaken")
    # The tranche has the other side of the short now, and $100 for it.
    assert bench.equity("long") + bench.equity("short") == before - 100 * USDC
    assert of_tranche(bench).equity == 10_100 * USDC


def test_no_call_order_makes_two_takeovers_of_one_account() -> None:
    bench = bench_with_tranche(10_000)
    bench.account("long", "500")
    bench.hold("long", 0, "100", "100")
    bench.mark({0: "96"})
    bench.liquidate("long")
    size = of_tranche(bench).notional
    for _ in range(2):
        with pytest.raises(Reverted, match="account is healthy"):
            bench.liquidate("long")
    assert of_tranche(bench).notional == size


def test_an_account_that_cannot_be_taken_holds_up_nobody() -> None:
    """One beyond the limit, one in a market without a limit, one bankrupt, and one that fits."""
    bench = bench_with_tranche(10_000, markets=2, limit=15_000)
    bench.seen(bench.venue.liquidator.send("set_backstop_limit", 1, 0, sender=bench.venue.owner))
    for name, money, market, size in (
        ("large", "1000", 0, "200"),
        ("elsewhere", "500", 1, "100"),
        ("bankrupt", "500", 1, "-100"),
        ("fits", "500", 0, "100"),
    ):
        bench.account(name, money)
        bench.hold(name, market, size, "100")
    bench.mark({0: "96", 1: "96"})
    for name in ("large", "elsewhere"):
        assert not bench.liquidate(name).all("BackstopTaken")
    assert bench.liquidate("fits").all("BackstopTaken")
    bench.mark({1: "106"})
    assert bench.liquidate("bankrupt").all("WoundUp")


SEEDS = 12
WANTED = ("LiquidationFill", "CooldownBegan", "LiquidationCharged", "BackstopTaken", "WorkedOff")


def test_random_crashes_with_a_backstop() -> None:
    """Whatever happens in which order: every identity holds after each transaction, the tranche
    meets its initial margin after each takeover, takeovers pay into it exactly what they state, and
    a tranche below zero ends flat with cash 0."""
    happened: Counter[str] = Counter()
    for seed in range(SEEDS):
        _random_crash(random.Random(seed), happened)
    print(happened)
    rare = [name for name in (*WANTED, "tranche wound up") if not happened[name]]
    assert not rare, f"never happened: {rare}"


def _painful(
    draw: random.Random, bench: Bench, name: str | None, market: int, shares: list[float]
) -> dict[int, int]:
    """A price at which somebody (None: the tranche) has such a part of his maintenance margin; else
    any near the last one."""
    account = bench.ids[name] if name else tranche(bench.venue)
    (row,) = bench.venue.rows([account])
    size, *_ = bench.venue.clearinghouse.call("position", account, market)
    price = bench.prices[market] + draw.randrange(-30_000, 30_000)
    if size:
        left = draw.choice(shares) * row.maintenance
        price = bench.prices[market] + int((left - row.equity) / size)
    return {market: min(2_000_000, max(500_000, price))}


def _random_crash(draw: random.Random, happened: Counter[str]) -> None:
    trigger = draw.choice(["underwater", "unfillable"])
    bench = bench_with_tranche(draw.choice([400, 1_000, 5_000]), markets=2, trigger=trigger)
    liquidator, owner = bench.venue.liquidator, bench.venue.owner
    liquidator.send("set_partial", draw.choice([0, 2_000 * USDC, 2**256 - 1]), 30, sender=owner)
    liquidator.send("set_fees", draw.choice([0, 5_000, 5_000]), USDC, 300_000, sender=owner)
    liquidator.send("set_work_off", 500_000, 0, 1, draw.choice([0, 20_000]), sender=owner)
    if draw.random() < 0.5:
        bench.insure(draw.choice(["50", "5000"]))
    names = [f"a{i}" for i in range(8)]
    for name in names:
        bench.account(name, draw.randrange(300, 600))
        market = draw.randrange(2)
        bench.hold(name, market, draw.choice(["40", "50", "-40", "-50"]), "100")
        if draw.random() < 0.3:
            bench.hold(name, 1 - market, draw.choice(["10", "-10"]), "100")
    bench.account("maker", "1000000")
    kinds = ["mark", "liquidate", "liquidate", "liquidate", "work", "bid", "bid", "end", "advance"]
    for _ in range(60):
        before = of_tranche(bench).equity
        kind = "end" if before < 0 and draw.random() < 0.5 else draw.choice(kinds)
        tx = None
        try:
            if kind == "mark":
                name, market = draw.choice([*names, None]), draw.randrange(2)
                shares = [0.9, 0.8, 0.6, 0.3, 0.1, -0.5]
                bench.epoch(_painful(draw, bench, name, market, shares))
            elif kind == "bid":
                market, is_buy = draw.randrange(2), draw.random() < 0.5
                away = draw.randrange(-3_000, 12_000) * (-1 if is_buy else 1)
                price = bench.prices[market] + away
                bench.order("maker", market, is_buy, draw.randrange(500, 4_000), price)
            elif kind == "liquidate":
                weak = [name for name in names if bench.is_liquidatable(name)]
                if weak:
                    tx = bench.send(
                        "liquidator", "liquidate", "maker", bench.ids[draw.choice(weak)],
                        draw.choice([1, 3, 40]), bench.ids["maker"],
                    )  # fmt: skip
            elif kind == "work":
                tx = bench.send("liquidator", "work_off", "maker", draw.randrange(2), 10)
            elif kind == "end":
                tx = bench.send("liquidator", "wind_up_tranche", "maker", draw.choice([1, 40]))
                row = of_tranche(bench)
                assert before < 0 and (row.cash, row.active_markets) == (0, 0)
                happened["tranche wound up"] += 1
                fund(bench.venue, 500 * USDC)
            elif bench.busy():
                bench.advance(draw.choice([1, 40]))
        except Reverted as refusal:
            assert ": " in refusal.reason, f"not a reason of the venue's: {refusal.reason}"
        if bench.busy() and draw.random() < 0.7:
            bench.finish()
        if tx is None:
            continue
        after = of_tranche(bench)
        taken = tx.all("BackstopTaken")
        if taken:
            assert before >= 0 and after.equity >= after.initial
            assert after.equity == before + sum(event.margin for event in taken)
            bench.check()
            if draw.random() < 0.7:
                bench.epoch(_painful(draw, bench, None, taken[0].market, [-0.2]))
        happened.update(event.name for event in tx.events)
    bench.finish()
    bench.check()
