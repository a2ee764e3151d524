"""Golden vectors of the allocations: figures that can be recomputed by hand, in the model and by
the contracts over positions opened by real trades."""

from __future__ import annotations

from fractions import Fraction

import pytest

from breakwater.model import adl
from tests.unit.allocations.planning import PLANNERS, Planning
from tests.vectors.bench import MarketSpec


def test_drain_leverage_vector_in_the_model() -> None:
    """q = 10, 20, 30, equity 1000 each, close 15 -> 0, 2.5, 12.5."""
    shares = adl.drain_leverage([10, 20, 30], [1_000] * 3, [10, 20, 30], 15)
    assert shares == [0, Fraction(5, 2), Fraction(25, 2)]


def test_capped_pro_rata_vector_in_the_model() -> None:
    """Weights 100, 100, 800, to share 300, caps 0.2, 1, 1 -> 20, 31.1111, 248.8889."""
    shares = adl.capped_pro_rata([100, 100, 800], [20, 100, 800], 300)
    assert shares == [20, Fraction(280, 9), Fraction(2_240, 9)]


def _one_sided(plan: Planning) -> None:
    """Moves the counterparty's position to an account that entered at the mark: no winner."""
    size, _ = plan.position("counterparty", 0)
    plan.account("sink", "1000000000")
    if size:
        plan.trade("counterparty", 0, -size, plan.prices[0], against="sink")


def test_drain_leverage_vector_on_chain() -> None:
    """The same with shorts from 110, mark 100, closed at the mark, 15 units of 100 lots."""
    plan = Planning(MarketSpec("110"), allocation="drain_leverage", close="mark")
    for name, size in (("a", "10"), ("b", "20"), ("c", "30")):
        plan.account(name, "1000")
        plan.hold(name, 0, f"-{size}", "110")
    plan.account("bankrupt", "100")
    plan.hold("bankrupt", 0, "15", "110")
    plan.mark({0: "100"})
    for name in "abc":
        plan.withdraw_to(name, "1000")
    _one_sided(plan)
    plan.liquidate("bankrupt")
    fills = plan.model()
    assert plan.run() == fills
    assert plan.lots_of(fills) == {"b": 250, "c": 1_250}
    # 17.5 units over 1,000: both end at 1.75, and the one at 1 was left alone.
    assert [plan.position(n, 0)[0] for n in "abc"] == [-1_000, -1_750, -1_750]
    assert [plan.equity(n) for n in "abc"] == [1_000 * 10**6] * 3


def test_capped_pro_rata_vector_on_chain() -> None:
    """Nine times the figures, so that all is whole: sizes 900, 900, 7,200 lots, 2,700 to share, and
    the first can bear 180: each unit costs 40 at the previous mark, and it has 72. -> 180, 280,
    2,240."""
    plan = Planning(
        MarketSpec("150", leverage=50), allocation="capped_pro_rata", close="previous_mark"
    )
    for name, size, cash in (("a", "9", "1000"), ("b", "9", "5000"), ("c", "72", "20000")):
        plan.account(name, cash)
        plan.hold(name, 0, f"-{size}", "150")
    plan.account("bankrupt", "100")
    plan.hold("bankrupt", 0, "27", "150")
    plan.mark({0: "120"})
    plan.mark({0: "80"})
    plan.withdraw_to("a", "72")
    _one_sided(plan)
    plan.liquidate("bankrupt")
    fills = plan.model()
    assert plan.run() == fills
    assert plan.lots_of(fills) == {"a": 180, "b": 280, "c": 2_240}
    assert plan.equity("a") == 0


def test_capped_pro_rata_own_share() -> None:
    """Half of a position at most: 400 of sizes 300, 700, 1,000 by level 0.2; then 1,100 of them,
    where each gives its half and 100 find no taker."""
    for wanted, expected, rest in (
        ("4", {"a": 60, "b": 140, "c": 200}, 0),
        ("11", {"a": 150, "b": 350, "c": 500}, 100),
    ):
        plan = Planning(allocation="capped_pro_rata", share=500_000)
        for name, size in (("a", "3"), ("b", "7"), ("c", "10")):
            plan.account(name, "100000")
            plan.hold(name, 0, f"-{size}", "100")
        plan.account("bankrupt", "60")
        plan.hold("bankrupt", 0, wanted, "100")
        plan.mark({0: "80"})
        _one_sided(plan)
        plan.liquidate("bankrupt")
        assert plan.lots_of(plan.run()) == expected
        assert plan.lot.size == rest


def _three(allocation: adl.Allocation, wanted: str, **config: object) -> Planning:
    """Shorts of 1, 2 and 4 units from 100, 110 and 120, all rich, beside a bankrupt long."""
    plan = Planning(MarketSpec("100"), allocation=allocation, **config)  # type: ignore[arg-type]
    for name, size, entry in (("a", "1", "100"), ("b", "2", "110"), ("c", "4", "120")):
        plan.account(name, "10000")
        plan.hold(name, 0, f"-{size}", entry)
    plan.account("bankrupt", int(wanted) * 7)
    plan.hold("bankrupt", 0, wanted, "100")
    plan.mark({0: "90"})
    _one_sided(plan)
    plan.liquidate("bankrupt")
    return plan


def test_pro_rata_size_with_a_remainder() -> None:
    """100 lots over 100, 200, 400: 14.29, 28.57, 57.14 -> 14, 28, 57; the odd lot goes to the first
    in rank, c: 480 of 10,120 is the highest entry notional over equity."""
    plan = _three("pro_rata_size", "1")
    assert plan.lots_of(plan.run()) == {"a": 14, "b": 28, "c": 58}


def test_pro_rata_pnl_with_a_remainder() -> None:
    """Profits at 90 are 10, 40, 120: 100 lots as 5.88, 23.53, 70.59 -> 5, 23, 70; two odd lots go
    to c and b, the first two in rank."""
    plan = _three("pro_rata_pnl", "1")
    assert plan.lots_of(plan.run()) == {"a": 5, "b": 24, "c": 71}


@pytest.mark.parametrize("allocation", PLANNERS)
def test_all_of_a_side(allocation: adl.Allocation) -> None:
    """More is wanted than all have: everybody is closed, the rest stays with the estate."""
    plan = _three(allocation, "8")
    assert plan.lots_of(plan.run()) == {"a": 100, "b": 200, "c": 400}
    assert plan.lot.size == 100


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param("150", {"poor": 7_500, "b": 3_750, "c": 3_750}, id="nobody-at-a-limit"),
        # Shares of 8,500, 4,250, 4,250: one lot each, then the first in rank all that is left.
        pytest.param("170", {"poor": 8_000, "b": 4_251, "c": 4_749}, id="500-lots-go-on"),
        pytest.param("195", {"poor": 8_000, "b": 5_000, "c": 5_000}, id="nobody-has-any-left"),
    ],
)
def test_what_one_cannot_bear_goes_on_in_rank_order(wanted: str, expected: dict[str, int]) -> None:
    """Pro rata by size, previous mark 95, mark 80: `poor` has 1,200, and at 15 a unit bears 80 of
    its 100. `b` and `c` have 50 each; `c` has less equity and ranks before `b`."""
    plan = Planning(allocation="pro_rata_size", close="previous_mark")
    for name, size, cash in (("poor", "100", "600"), ("b", "50", "9000"), ("c", "50", "8000")):
        plan.account(name, cash)
        plan.hold(name, 0, f"-{size}", "100")
    plan.account("bankrupt", "1200")
    plan.hold("bankrupt", 0, wanted, "100")
    plan.mark({0: "95"})
    plan.mark({0: "80"})
    plan.withdraw_to("poor", "1200")
    _one_sided(plan)
    plan.liquidate("bankrupt")
    fills = plan.model()
    assert plan.run() == fills
    assert plan.lots_of(fills) == expected
    assert plan.lot.size == int(wanted) * 100 - sum(expected.values())
