"""Random populations: the contracts close whom the model says, lot for lot, however the work is cut
into calls; nobody ends below zero, nobody without a position is touched, no money is lost."""

from __future__ import annotations

import os
import random
from fractions import Fraction

import pytest

from breakwater.engine.base import Reverted
from breakwater.model import adl
from tests.unit.allocations.planning import PLANNERS, PPM, SCORES, Planning
from tests.vectors.bench import MarketSpec

SEEDS = 20 if os.environ.get("BREAKWATER_LONG") else 1


def _population(plan: Planning, draw: random.Random, long_winners: bool, count: int) -> None:
    """Winners and losers, dust, equals, some with a second leg that lost, some stripped of all they
    may withdraw; then a bankrupt on the other side, and two steps of the price."""
    sign = 1 if long_winners else -1
    last = ("0.01", "100", "1000")
    for i in range(count):
        size = draw.choice(["0.01", "0.02", str(draw.randint(1, 40)), f"{draw.randint(1, 999)}e-2"])
        entry = str(100 - sign * draw.randint(-25, 30))
        cash = str(draw.choice([600, 2_000, 20_000]) + draw.randint(0, 99))
        if draw.random() < 0.2:
            size, entry, cash = last
        last = size, entry, cash
        plan.account(f"w{i}", cash)
        plan.hold(f"w{i}", 0, size if long_winners else f"-{size}", entry)
        if draw.random() < 0.3:
            plan.hold(f"w{i}", 1, str(draw.randint(1, 9)), "100")
    wanted = draw.randint(1, 30)
    plan.account("bankrupt", wanted * draw.randint(8, 11))
    plan.hold("bankrupt", 0, str(-sign * wanted), "100")
    plan.mark({0: str(100 + sign * draw.randint(3, 14))})
    plan.mark({0: str(100 + sign * draw.randint(12, 30)), 1: str(draw.choice([40, 100, 120]))})
    for i in range(count):
        if draw.random() < 0.5:
            margin = plan.margin(f"w{i}")
            free = margin.equity - max(margin.initial, -(-margin.notional // 10))
            if free > 0:
                plan.send("clearinghouse", "withdraw", f"w{i}", plan.ids[f"w{i}"], free)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("side", ["long winners", "short winners"])
@pytest.mark.parametrize("close", ["bankruptcy", "previous_mark", "mark"])
@pytest.mark.parametrize("allocation", PLANNERS)
def test_as_the_model_has_it(
    allocation: adl.Allocation, close: adl.CloseRule, side: str, seed: int
) -> None:
    draw = random.Random(f"{allocation} {close} {side} {seed}")
    score = draw.choice(list(SCORES))
    plan = Planning(
        MarketSpec("100"),
        MarketSpec("100"),
        allocation=allocation,
        score=score,
        close=close,
        share=draw.choice([1_000_000, 300_000, 999_999]),
        trigger="unfillable",
    )
    plan.checking = False
    long_winners = side == "long winners"
    _population(plan, draw, long_winners, draw.randint(5, 24))
    try:
        plan.liquidate("bankrupt")
    except Reverted as reverted:
        raise AssertionError("the draw has no bankrupt") from reverted
    plan.checking = True
    lot = plan.lot
    assert lot.size
    flat = {n: plan.cash(n) for n in plan.ids if not plan.position(n, 0)[0]}
    before = {n: plan.position(n, 0)[0] for n in plan.ids}
    losers = {
        n for n in plan.ids
        if (before[n] > 0) != long_winners or plan.equity(n) < 0
    }  # fmt: skip
    expected = plan.model()
    share = Fraction(plan.share, PPM) if allocation == "capped_pro_rata" else Fraction(1)
    _, mark, previous = plan.marks()
    parts = adl.claimants(plan.standings(0, long_winners), lot, mark, close, previous, score, share)
    limits = sum(part.limit for part in parts)
    assert sum(size for _, size, *_ in expected) == min(lot.size, limits)
    _fair({account: size for account, size, *_ in expected}, parts, lot.size, mark, allocation)
    snap = plan.engine.snapshot()
    fills = plan.run(steps=200)
    assert fills == expected
    plan.engine.revert(snap)
    assert plan.run(steps=draw.randint(1, 7)) == expected, "cut into other calls"
    assert not losers & set(plan.lots_of(fills))
    assert flat == {n: plan.cash(n) for n in flat}
    plan.check()


def _fair(
    given: dict[int, int],
    parts: list[adl.Claimant],
    wanted: int,
    mark: int,
    allocation: adl.Allocation,
) -> None:
    """What the allocation promises, to within the one lot that rounding may take or give. Said of
    the result alone, not of the way to it."""
    rows = [(p, given.get(p.standing.account, 0)) for p in parts]
    assert all(0 <= x <= p.limit for p, x in rows)
    room = [(p, x) for p, x in rows if x < p.limit]
    if not room or sum(given.values()) < wanted:
        return
    if allocation == "drain_leverage":
        equity = {p.standing.account: max(p.standing.equity, 1) for p in parts}
        # No account with lots to give is left above one that gave some.
        highest = max(Fraction(p.size - x - 1, equity[p.standing.account]) for p, x in room)
        assert all(
            Fraction(p.size - x + 1, equity[p.standing.account]) >= highest for p, x in rows if x
        )
    elif allocation == "capped_pro_rata":
        least = min(Fraction(x + 1, p.size) for p, x in room)
        assert all(Fraction(x - 1, p.size) <= least for p, x in rows)
    else:
        weights = [
            max(int(p.standing.profit(mark)), 0) if allocation == "pro_rata_pnl" else p.size
            for p in parts
        ]
        for (p, x), weight in zip(rows, weights, strict=True):
            share = Fraction(wanted * weight, sum(weights))
            assert x > share - 1 or x == p.limit
