"""Random populations: the scan, the index and the exact model close the same winners, in the same
order, for the same sizes.

Every position is a real trade of the real clearinghouse, which files it as it happens. Leverage
from 0.1 to 500, dust, realised losses, funding, flips, accounts in two markets, both sides, both
scores, both close prices; the calls of a round have one step or many. BREAKWATER_LONG=1 runs longer
and up to 5,000 accounts.
"""

from __future__ import annotations

import itertools
import os
import random

import pytest

from breakwater.bulk import Crowd, Row, crowd_rows, events_as_victims
from breakwater.engine.revm import RevmEngine
from breakwater.model import ranking

LONG = os.environ.get("BREAKWATER_LONG", "") not in ("", "0")
SEEDS = range(40) if LONG else range(8)
SIZES = (10, 60, 200, 500, 5_000) if LONG else (10, 40, 120, 500)
SCORES: tuple[ranking.ScoreRule, ...] = ("hyperliquid_docs", "return_x_leverage")
X, Y = 0, 1


@pytest.mark.parametrize("seed", SEEDS)
def test_scan_index_and_model_agree(seed: int) -> None:
    draw = random.Random(seed)
    price = draw.choice([40, 5_000, 1_000_000])
    multi = draw.choice([0.0, 0.0, 0.15])
    count = SIZES[seed % len(SIZES)]
    engine = RevmEngine()
    crowd = Crowd(engine, [price, price])
    opened = crowd.trade(crowd_rows(draw, count, X, price, Y, multi))
    if draw.random() < 0.7:
        # Hours of funding; some of them settle it on the way.
        for _ in range(draw.randint(1, 12)):
            engine.wait(3_500)
            crowd.set_mark(price, price)
            crowd.trade(
                Row(draw.choice(opened), X, draw.random() < 0.5, 1, price, 0) for _ in range(3)
            )
    previous = max(1, round(price * draw.uniform(0.85, 1.15)))
    crowd.set_mark(previous, max(1, round(price * draw.uniform(0.9, 1.1))))
    if count > 500:
        # Among so many the default limit would let the slack in: here the order is exact.
        crowd.index.send("set_limits", 2**32 - 1, 0, sender=crowd.venue.owner)
        # A thousand winners in calls of a few steps, a second each, may take more than an hour.
        crowd.venue.deleverager.send("set_limits", 86_400, 0, sender=crowd.venue.owner)
    checked = 0
    for is_long, score, close in itertools.product((True, False), SCORES, (0, 1)):
        before = engine.snapshot()
        mark = max(
            1, round(previous * (draw.uniform(0.7, 0.97) if is_long else draw.uniform(1.03, 1.4)))
        )
        lots = draw.choice([1, 50, 5_000, 10**6])
        (bankrupt,) = crowd.trade([Row(0, X, is_long, lots, previous, lots * previous // 50 + 1)])
        crowd.set_mark(mark, crowd.prices[1])
        seen = {}
        for name in ("scan", "index"):
            snap = engine.snapshot()
            crowd.configure(name, score, close)
            holders = crowd.holders(X, not is_long)
            steps = draw.choice([itertools.repeat(256), iter(lambda: draw.randint(1, 40), None)])
            if name == "scan" and count > 500:
                # A pass over all of them for every 16 winners.
                steps = itertools.repeat(256)
            if name == "index" and count <= 500 and draw.random() < 0.2:
                steps = itertools.repeat(1)
            fills = crowd.liquidate(bankrupt, steps)
            seen[name] = events_as_victims(fills)
            if fills:
                demand = crowd.demand(fills, close, previous)
                expected = ranking.victims(holders, demand, score)
                assert seen[name] == expected, f"ORDER: {name} {score} {is_long=} {close=}"
                assert [e.rank for e in fills] == list(range(1, len(fills) + 1))
                assert all(e.exact for e in fills), f"EXACT: {name}"
                assert crowd.index.call("is_complete", X, not is_long)
                ended = [e for tx in crowd.txs for e in tx.all("RoundClosed")]
                assert ended and all(e.is_complete for e in ended), f"COMPLETE: {name}"
                checked += len(fills)
            engine.revert(snap)
        assert seen["scan"] == seen["index"]
        engine.revert(before)
    assert checked, "nobody was closed"
