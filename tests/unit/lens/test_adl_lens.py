"""Places, lights and previews: what the chain says of them is what the model says, and what the
round then does."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from breakwater.engine.base import Engine, Reverted
from breakwater.model import adl
from breakwater.report.record import light
from breakwater.venue import Venue, VenueConfig
from tests.vectors.bench import Bench, MarketSpec

CLOSES: tuple[adl.CloseRule, ...] = ("bankruptcy", "previous_mark", "mark")


class ByIndex(Venue):
    """A venue that files its accounts and ranks by the index."""

    @classmethod
    def deploy(cls, engine: Engine, config: VenueConfig | None = None) -> Venue:
        return super().deploy(engine, dataclasses.replace(config or VenueConfig(), engine="index"))


VENUES = {"scan": Venue, "index": ByIndex}


def crowd(ranking: str = "scan", seed: int = 1, count: int = 12, **config: Any) -> Bench:
    """Random shorts around $100, some in a second market too, marked down to $85 by way of $95;
    bankrupt: a long of 10 from $100 with $100."""
    draw = random.Random(seed)
    bench = Bench(
        MarketSpec("100"), MarketSpec("100"), venue=VENUES[ranking], check=False, **config
    )
    bench.account("bankrupt", "100")
    bench.hold("bankrupt", 0, "10", "100")
    for i in range(count):
        bench.account(f"w{i}", draw.randint(60, 900))
        bench.trade(f"w{i}", 0, -draw.randint(1, 400), draw.randint(830_000, 1_050_000))
        if draw.random() < 0.2:
            bench.trade(f"w{i}", 1, draw.choice([-1, 1]) * draw.randint(1, 100), 1_000_000)
    bench.account("sink", "1000000")
    bench.mark({0: "95"})
    size, _ = bench.position("counterparty", 0)
    bench.trade("counterparty", 0, -size, bench.prices[0], against="sink")
    bench.mark({0: "85"})
    return bench


def winners(bench: Bench, score: adl.ScoreRule = "hyperliquid_docs") -> list[adl.Standing]:
    """The shorts in profit at the mark, in order, by the model."""
    mark = bench.prices[0]
    found = [s for s in bench.standings(0, False) if s.profit(mark) > 0]
    return sorted(found, key=lambda s: adl.precedence(s, mark, score))


def ranks(bench: Bench, account: int, page: int) -> tuple[bool, int, int]:
    """Ranked, rank and winners of an account of market 0, summed over pages."""
    ahead = of = start = 0
    while True:
        rank = bench.venue.adl_lens.call("adl_rank", account, 0, start, page)
        ahead, of, start = ahead + rank.ahead, of + rank.winners, rank.next
        if not start:
            return rank.ranked, ahead + 1, of


@pytest.mark.parametrize("score", ["hyperliquid_docs", "return_x_leverage", "binance"])
def test_rank_and_light_are_the_model_s(score: adl.ScoreRule) -> None:
    bench = crowd(score=score)
    bench.deposit("w3", "500")  # counts for nobody's rank before the next epoch
    lens = bench.venue.adl_lens
    order = winners(bench, score)
    assert 5 < len(order) < 14
    for rank, standing in enumerate(order, start=1):
        account = standing.account
        for page in (1, 5, 1_000):
            assert ranks(bench, account, page) == (True, rank, len(order))
        assert lens.call("adl_light", account, 0) == light(rank, len(order))
        assert lens.call("adl_lights", rank, len(order)) == light(rank, len(order))
    places = [place for s in (0, 4) for place in lens.call("adl_page", 0, False, s, 4)]
    for place in places:
        if place.score:
            (standing,) = (s for s in order if s.account == place.account)
            assert place.score == adl.written_score(standing, bench.prices[0], score)
            assert place.pnl == standing.profit(bench.prices[0])
        else:
            assert place.account not in [s.account for s in order]


def test_who_is_no_winner_has_no_light() -> None:
    bench = crowd()
    lens, house = bench.venue.adl_lens, bench.venue.clearinghouse
    for account in (bench.ids["bankrupt"], 1, 2, house.call("estate", 0, False), 0, 10**9):
        assert lens.call("adl_light", account, 0) == 0
        assert not lens.call("adl_rank", account, 0, 0, 100).ranked
    flat = bench.account("flat", "5")
    assert lens.call("adl_light", flat, 0) == 0
    assert lens.call("adl_page", 0, False, 0, 0) == []
    assert lens.call("adl_page", 0, False, 10**9, 5) == []
    assert lens.call("adl_page", 7, False, 0, 5) == []
    for rank, of in ((0, 1), (2, 1), (0, 0)):
        with pytest.raises(Reverted, match="lens: no such rank"):
            lens.call("adl_lights", rank, of)


@pytest.mark.parametrize("ranking", VENUES)
@pytest.mark.parametrize("close", CLOSES)
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_previewed_is_what_the_round_does(ranking: str, close: str, seed: int) -> None:
    """The lot of a real bankrupt, previewed before its liquidation: the same fills, to the
    micro-USDC; and looking changes nothing."""
    bench = crowd(ranking, seed, close=close)
    deleverager, lens = bench.venue.deleverager, bench.venue.adl_lens
    assert bench.equity("bankrupt") == -50 * 10**6
    before = bench.venue.clearinghouse.call("cash", bench.ids["w1"])
    # Its bankruptcy price is $90.
    seen = lens.call("adl_preview_at", 0, True, 1_000, 900 * 10**6)
    assert seen == lens.call("adl_preview_at", 0, True, 1_000, 900 * 10**6)
    assert not bench.busy()
    assert deleverager.call("lot_count", 0, True) == deleverager.call("round_count") == 0
    assert bench.venue.clearinghouse.call("cash", bench.ids["w1"]) == before
    txs = [bench.liquidate("bankrupt", 256), *bench.finish()]
    fills = [e for tx in txs for e in tx.all("Deleveraged")]
    assert len(fills) >= 2
    assert [tuple(f) for f in seen.fills] == [
        (e.winner, e.size, e.quote, e.score, e.rank, e.haircut, e.exact) for e in fills
    ]
    assert seen.done
    assert seen.left == txs[-1].all("LotSettled")[-1].unfilled


@pytest.mark.parametrize("ranking", VENUES)
def test_preview_at_the_mark_is_the_model_s(ranking: str) -> None:
    bench = crowd(ranking)
    mark = bench.prices[0]
    for size in (1, 700, 10**6):
        seen = bench.venue.adl_lens.call("adl_preview", 0, True, size)
        lot = adl.Lot(0, True, size, -size * mark)
        fills, left = adl.close_lot(lot, bench.standings(0, False), mark, "bankruptcy", 0)
        assert [(f.winner, f.size, f.quote, f.score) for f in seen.fills] == [
            (f.winner, f.size, f.quote, f.score) for f in fills
        ]
        assert (seen.left, seen.done) == (left.size, True)
        assert all(f.haircut == 0 for f in seen.fills)


def test_preview_during_a_round_leaves_it_alone() -> None:
    bench, other = crowd("index"), crowd("index")
    for one in (bench, other):
        one.liquidate("bankrupt", 3)
        assert one.busy()
    before = bench.venue.deleverager.call("round")
    assert bench.venue.adl_lens.call("adl_preview", 0, True, 50).done
    assert bench.venue.deleverager.call("round") == before
    # Not even as a transaction.
    bench.seen(bench.venue.adl_lens.send("adl_preview", 0, True, 50, sender=bench.keeper))
    mine, theirs = bench.finish(), other.finish()
    assert [e.args for tx in mine for e in tx.events] == [
        e.args for tx in theirs for e in tx.events
    ]


def test_preview_says_why_not() -> None:
    bench = crowd()
    lens = bench.venue.adl_lens
    for size in (0, 2**55):
        with pytest.raises(Reverted, match="deleverager: lot out of range"):
            lens.call("adl_preview", 0, True, size)
    with pytest.raises(Reverted, match="deleverager: lot out of range"):
        lens.call("adl_preview_at", 0, True, 1, 2**80)
    bench.engine.wait(3_700)
    bench.account("later")
    with pytest.raises(Reverted, match="oracle: stale price"):
        lens.call("adl_preview", 0, True, 10)


def test_nobody_gains_by_calling_the_preview_itself() -> None:
    """It always reverts, whoever calls it."""
    bench = crowd()
    for sender in (bench.keeper, bench.venue.owner):
        with pytest.raises(Reverted):
            bench.venue.deleverager.send("preview", 0, True, 10, -10, sender=sender)
    assert bench.venue.deleverager.call("lot_count", 0, True) == 0
    bench.check()
