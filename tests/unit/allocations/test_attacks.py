"""Planners against strangers, crowds, dust, ties, and plans that are begun again."""

from __future__ import annotations

from decimal import Decimal

import pytest

from breakwater import artifacts
from breakwater.engine.base import Reverted
from breakwater.model import adl
from tests.unit.allocations.planning import PLANNERS, Planning
from tests.vectors.bench import MarketSpec

PPM = 10**6


def _crowd(plan: Planning, sizes: list[str], wanted: str = "1", cash: str = "10000") -> None:
    """Shorts from 100, a bankrupt long, mark 90."""
    for i, size in enumerate(sizes):
        plan.account(f"w{i}", cash)
        plan.hold(f"w{i}", 0, f"-{size}", "100")
    plan.account("bankrupt", str(Decimal(wanted) * 7))
    plan.hold("bankrupt", 0, wanted, "100")
    plan.mark({0: "90"})
    plan.account("sink", "1000000000")
    size, _ = plan.position("counterparty", 0)
    if size:
        plan.trade("counterparty", 0, -size, plan.prices[0], against="sink")
    plan.liquidate("bankrupt")


@pytest.mark.parametrize("allocation", PLANNERS)
def test_a_stranger_is_refused(allocation: adl.Allocation) -> None:
    plan = Planning(allocation=allocation)
    query = {
        "market": 0, "winners_long": False, "mark": 1, "numerator": 1, "denominator": 1,
        "size": 1, "epoch": 0, "score": plan.venue.score, "undisturbed": False,
    }  # fmt: skip
    for sender in (plan.keeper, plan.venue.owner):
        with pytest.raises(Reverted, match="allocation: deleverager only"):
            plan.planner.send("begin", query, sender=sender)
        with pytest.raises(Reverted, match="allocation: deleverager only"):
            plan.planner.send("next", 10, sender=sender)


def test_a_plan_for_nothing_is_refused() -> None:
    plan = Planning()
    with pytest.raises(Reverted, match="allocation: nothing to plan"):
        plan.begin()


@pytest.mark.parametrize(
    ("name", "args", "reason"),
    [
        ("ProRataSize", (0,), "allocation: holders out of range"),
        ("DrainLeverage", (4_096,), "allocation: holders out of range"),
        ("CappedProRata", (100, 0), "allocation: share out of range"),
        ("CappedProRata", (100, PPM + 1), "allocation: share out of range"),
    ],
)
def test_parameters_are_bounded(name: str, args: tuple[int, ...], reason: str) -> None:
    plan = Planning()
    with pytest.raises(Reverted, match=reason):
        plan.deploy(name, plan.venue.clearinghouse, *args)


def test_a_crowd_is_refused_and_can_be_seen_coming() -> None:
    """3 holders at most: the sink of the set-up makes three shorts one too many of the other side
    once a fourth is there."""
    plan = Planning(max_holders=3)
    _crowd(plan, ["1", "1", "1"])
    assert plan.venue.clearinghouse.call("holder_count", 0, False) == 3
    assert plan.planner.call("is_allowed", 0, False)
    plan.account("dust", "10")
    plan.trade("dust", 0, -1, plan.prices[0], against="sink")
    assert not plan.planner.call("is_allowed", 0, False)
    with pytest.raises(Reverted, match="allocation: too many holders"):
        plan.begin()


def test_nobody_is_there_before_the_first_plan_and_after_the_last() -> None:
    plan = Planning()
    for _ in range(2):
        worked, picked = plan.work(10)
        assert (worked.account, worked.more, worked.steps, picked) == (0, False, 1, [])
    _crowd(plan, ["1"])
    assert plan.lots_of(plan.run()) == {"w0": 100}
    worked, _ = plan.work(10)
    assert (worked.account, worked.more) == (0, False)


@pytest.mark.parametrize("allocation", PLANNERS)
def test_a_side_without_winners(allocation: adl.Allocation) -> None:
    """The only short entered at the mark."""
    plan = Planning(allocation=allocation)
    _crowd(plan, [])
    assert plan.run(steps=1) == []
    assert plan.lot.size == 100


def test_no_steps_no_work() -> None:
    plan = Planning()
    _crowd(plan, ["1", "1"])
    plan.begin()
    worked, picked = plan.work(0)
    assert (worked.steps, worked.more, picked) == (0, True, [])
    assert plan.planner.call("row_count") == 0


@pytest.mark.parametrize("allocation", PLANNERS)
def test_ties_go_to_the_lower_account(allocation: adl.Allocation) -> None:
    """Five equals, 103 lots: 20 each, and the three odd ones to the three oldest accounts."""
    plan = Planning(allocation=allocation)
    _crowd(plan, ["1"] * 5, wanted="1.03")
    fills = plan.model()
    assert plan.run(steps=3) == fills
    assert plan.lots_of(fills) == {"w0": 21, "w1": 21, "w2": 21, "w3": 20, "w4": 20}


@pytest.mark.parametrize("allocation", PLANNERS)
def test_dust_beside_a_whale(allocation: adl.Allocation) -> None:
    """60 accounts of one lot, poor enough to rank first, and a whale of 4,000 lots; 50 to share.
    Whole passes over all of them at 7 steps a call, ranking in pages of 16, no account twice."""
    plan = Planning(MarketSpec("100"), allocation=allocation, close="mark")
    plan.checking = False
    _crowd(plan, ["40"] + ["0.01"] * 60, wanted="0.5", cash="5000")
    for i in range(1, 61):
        plan.withdraw_to(f"w{i}", "1")
    plan.checking = True
    fills = plan.model()
    assert plan.run(steps=7) == fills
    assert sum(size for _, size, *_ in fills) == 50
    assert len({account for account, *_ in fills}) == len(fills)
    if allocation != "drain_leverage":
        # Dust cannot shield the whale: its part but for one lot an account.
        whale = plan.lots_of(fills).get("w0", 0)
        assert whale >= 50 * 4_000 // 4_060 - 1


def test_a_plan_begun_again_knows_nothing_of_the_one_before() -> None:
    """Three of five are closed, then another plan begins for what is left: as the model has it from
    there, without a bonus or a row of the first."""
    plan = Planning(allocation="pro_rata_size")
    _crowd(plan, ["1", "1.37", "0.71", "3", "0.13"], wanted="1.03")
    plan.begin()
    closed = []
    while len(closed) < 3:
        _, picked = plan.work(2)
        closed += [(p.account, p.size) for p in picked]
    fills = plan.model()
    assert plan.run(steps=2) == fills
    assert plan.lot.size == 0


@pytest.mark.parametrize(("allocation", "passes"), [("capped_pro_rata", 8), ("drain_leverage", 27)])
def test_the_level_is_found_in_few_passes_whatever_the_side(
    allocation: adl.Allocation, passes: int
) -> None:
    """24 accounts whose limits and leverages lie a factor apart, so that one by one they cross
    the level. Draining begins anew with who reached a limit, at most 8 times, three passes each."""
    plan = Planning(MarketSpec("150", leverage=50), allocation=allocation, close="previous_mark")
    plan.checking = False
    count = 24
    for i in range(count):
        plan.account(f"w{i}", "10000")
        plan.hold(f"w{i}", 0, "-9", "150")
    plan.account("bankrupt", "100")
    plan.hold("bankrupt", 0, "27", "150")
    plan.mark({0: "120"})
    plan.mark({0: "80"})
    for i in range(count):
        # From a tenth of the notional up by 8% each: they bear from 180 to 900 lots.
        plan.withdraw_to(f"w{i}", f"{72 * 1.08**i:.6f}")
    plan.account("sink", "1000000000")
    size, _ = plan.position("counterparty", 0)
    plan.trade("counterparty", 0, -size, plan.prices[0], against="sink")
    plan.checking = True
    plan.liquidate("bankrupt")
    fills = plan.model()
    plan.begin()
    steps = 0
    closed = []
    while True:
        worked, picked = plan.work(50)
        steps += worked.steps
        closed += [(p.account, p.size, p.quote, p.score) for p in picked]
        if not worked.account and not worked.more:
            break
    assert closed == fills
    # Gather, count, hand out and two ranking passes are five.
    assert steps <= (5 + passes) * (count + 1)


def test_who_is_below_zero_takes_no_part() -> None:
    """A short of 10 with equity -10, which a close of all of it at 94 (mark 96) would lift to +10:
    a share of half would not. The queue closes it; a plan leaves it alone."""
    plan = Planning(
        MarketSpec("100"), MarketSpec("100"), allocation="pro_rata_size", trigger="unfillable"
    )
    plan.account("weak", "150")
    plan.account("short", "10000")
    plan.account("bankrupt", "60")
    for name in ("weak", "short"):
        plan.hold(name, 0, "-10", "100")
    plan.hold("bankrupt", 0, "10", "100")
    plan.hold("weak", 1, "10", "100")
    plan.mark({0: "96", 1: "80"})
    assert plan.equity("weak") == -10 * 10**6
    plan.account("sink", "1000000000")
    size, _ = plan.position("counterparty", 0)
    plan.trade("counterparty", 0, -size, plan.prices[0], against="sink")
    plan.liquidate("bankrupt")
    assert plan.lots_of(plan.run()) == {"short": 1_000}


@pytest.mark.parametrize("allocation", PLANNERS)
def test_largest_figures(allocation: adl.Allocation) -> None:
    """All the open interest that there may be, at the highest tick, over two accounts and dust."""
    plan = Planning(MarketSpec("1", leverage=100, decimals=6), allocation=allocation, close="mark")
    plan.checking = False
    top = 2**24 - 1
    plan.epoch({0: top})
    for name in ("half", "rest", "bankrupt"):
        plan.account(name, (2**88) // 10**6)
    whole = 2**54
    plan.trade("half", 0, -(whole // 2), top, against="bankrupt")
    plan.trade("rest", 0, -(whole // 4), top, against="bankrupt")
    house = plan.venue.clearinghouse
    margin = plan.margin("bankrupt")
    spare = margin.equity - max(margin.initial, -(-margin.notional // 10))
    house.send("withdraw", plan.ids["bankrupt"], spare, sender=plan.owners["bankrupt"])
    plan.epoch({0: top // 2})
    plan.epoch({0: 1})
    plan.liquidate("bankrupt")
    assert plan.lot.size == 3 * whole // 4
    fills = plan.model()
    assert plan.run() == fills
    assert plan.lots_of(fills) == {"half": whole // 2, "rest": whole // 4}
    plan.check()


@pytest.mark.parametrize("name", [*PLANNERS.values(), "Deleverager"])
def test_the_deployed_code_is_within_the_limit(name: str) -> None:
    size = artifacts.load()[name].runtime_size
    assert size is not None and 0 < size < 24_576
