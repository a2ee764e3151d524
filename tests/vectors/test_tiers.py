"""Golden vectors of margin tiers: 40x up to 150M of notional, then 20x, without a step."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from breakwater.engine.base import Reverted
from tests.vectors.bench import USDC, Bench, MarketSpec

M = 10**6 * USDC


def _tiered() -> Bench:
    bench = Bench(MarketSpec("100", leverage=40))
    bench.govern("set_tiers", 0, [0, 150 * M], [40, 20])
    return bench


@pytest.fixture(scope="module")
def tiered() -> Bench:
    return _tiered()


@pytest.mark.parametrize(
    ("millions", "dollars"),
    [
        pytest.param(150, 1_875_000, id="150M"),
        pytest.param(200, 3_125_000, id="200M"),
        pytest.param(1, 12_500, id="1M"),
    ],
)
def test_maintenance(tiered: Bench, millions: int, dollars: int) -> None:
    notional = millions * M
    assert tiered.venue.clearinghouse.call("maintenance", 0, notional) == dollars * USDC


def test_continuous_at_the_bound(tiered: Bench) -> None:
    """One micro-USDC more of notional asks for at most one more of margin."""
    at = [tiered.venue.clearinghouse.call("maintenance", 0, 150 * M + i) for i in (-1, 0, 1, 40)]
    assert at == [1_875_000 * USDC, 1_875_000 * USDC, 1_875_000 * USDC + 1, 1_875_000 * USDC + 1]


def test_account_in_the_second_tier() -> None:
    """Long 2,000,000 at 100: maintenance 3,125,000, initial 6,250,000, which is what it takes."""
    bench = _tiered()
    bench.account("long", "6249999.999999")
    with pytest.raises(Reverted, match="margin: below initial margin"):
        bench.hold("long", 0, "2000000", "100")
    bench.venue.order_book.send(
        "cancel_all", bench.ids["counterparty"], sender=bench.owners["counterparty"]
    )
    bench.deposit("long", "0.000001")
    bench.hold("long", 0, "2000000", "100")
    margin = bench.margin("long")
    assert (margin.maintenance, margin.initial) == (3_125_000 * USDC, 6_250_000 * USDC)
    # Down 3.125M and what maintenance falls by: at 98.397... the notional is 196.79M.
    # 6.25M - 2M * (100 - p) = 2M * p / 40 - 1.875M  =>  p = 191.875 / 1.95
    price = Fraction(191_875, 1_950)
    ticks = int(price * 10_000)
    bench.epoch({0: ticks + 1})
    assert not bench.is_liquidatable("long")
    bench.epoch({0: ticks})
    assert bench.is_liquidatable("long")


def test_no_tiers_ask_for_more_than_half() -> None:
    """Whatever tiers the governor takes: maintenance is at most half of the notional (rounded up),
    never falls as the notional grows, and grows by no more than half a unit for a unit."""
    bench = Bench(MarketSpec("100"))
    draw = random.Random(5)
    taken = 0
    for _ in range(150):
        count = draw.randint(1, 5)
        bounds = [0, *sorted(draw.randint(1, 10 ** draw.randint(1, 17)) for _ in range(count - 1))]
        leverages = [draw.randint(0, 105) for _ in range(count)]
        if draw.random() < 0.8:
            leverages.sort(reverse=True)
        valid = (
            all(1 <= leverage <= 100 for leverage in leverages)
            and sorted(set(leverages), reverse=True) == leverages
            and sorted(set(bounds)) == bounds
        )
        snap = bench.engine.snapshot()
        try:
            bench.govern("set_tiers", 0, bounds, leverages)
        except Reverted as error:
            assert error.reason in ("governor: malformed tiers", "governor: leverage out of range")
            assert not valid
            continue
        assert valid
        taken += 1
        points = sorted(
            {0, 1, 2, *(max(0, b + i) for b in bounds for i in (-1, 0, 1, 2)), 2**78, 2**78 + 1}
            | {draw.randint(0, 2**78) for _ in range(5)}
        )
        asked = [bench.venue.clearinghouse.call("maintenance", 0, n) for n in points]
        for n, m in zip(points, asked, strict=True):
            assert m <= -(-n // 2)
        for i in range(1, len(points)):
            assert 0 <= asked[i] - asked[i - 1] <= -(-(points[i] - points[i - 1]) // 2) + 1
        bench.engine.revert(snap)
    assert taken > 30
