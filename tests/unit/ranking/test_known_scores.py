"""The index computes the scores that it knows in place: each is what the score contract answers.

Random standings of all leverages, with profit taken, funding aside, in one market and in two; every
winner of a round is compared with the answer of the contract itself, asked through the deleverager
before the round began.
"""

from __future__ import annotations

import itertools
import random

import pytest

from breakwater.bulk import Crowd, Row, crowd_rows
from breakwater.engine.revm import RevmEngine

PRICE = 1_000_000
MARK = 2  # close rule: everyone in profit at the mark is closed, and at no loss


@pytest.mark.parametrize("rule", ["hyperliquid_docs", "return_x_leverage"])
@pytest.mark.parametrize("winners_long", [False, True])
def test_a_known_score_is_the_contracts(rule: str, winners_long: bool) -> None:
    crowd = Crowd(RevmEngine(), [PRICE, PRICE])
    crowd.configure("index", rule, MARK)
    draw = random.Random(20261122 + winners_long)
    crowd.trade(crowd_rows(draw, 160, 0, PRICE, 1, 0.15))
    lots = 10**6
    account = crowd.venue.open_account(crowd.engine.actor("bankrupt"), lots * PRICE // 50)
    crowd.trade([Row(account, 0, not winners_long, lots, PRICE, 0)])
    gap = draw.randint(60_000, 200_000)
    crowd.set_mark(PRICE + gap if winners_long else PRICE - gap, PRICE + draw.randint(-9, 9))
    asked = {
        holder.account: crowd.venue.deleverager.call("score", holder.account, 0)
        for holder in crowd.holders(0, winners_long)
    }
    fills = crowd.liquidate(account, itertools.repeat(200))
    scores = {fill.winner: fill.score for fill in fills}
    assert len(scores) >= 30 and all(fill.rank > 0 for fill in fills)
    assert scores == {winner: asked[winner] for winner in scores}
    # No constant would do.
    assert len(set(scores.values())) > len(scores) // 2
