"""Money moved around a round: what comes in during an epoch lowers no score before the next, on any
way in, under either engine and under the allocations that share."""

from __future__ import annotations

import dataclasses
import itertools
import random
from typing import Any

import pytest

from breakwater.bulk import Crowd, Row, crowd_rows, events_as_victims
from breakwater.contract import Tx
from breakwater.engine.base import Reverted
from breakwater.engine.revm import RevmEngine
from breakwater.model import adl, ranking
from breakwater.venue import ALLOCATIONS
from tests.unit.lens.test_adl_lens import VENUES
from tests.vectors.bench import Bench, MarketSpec, usdc

ENGINES = pytest.mark.parametrize("engine", VENUES)
MICRO = 10**6


def bench_of(engine: str, **config: Any) -> Bench:
    """Shorts of 10 from $100, in the order first, second, third by their margin, at a mark of $80;
    the bankrupt is a long of 10 whose bankruptcy price is $95."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"), venue=VENUES[engine], **config)
    bench.account("bankrupt", "50")
    bench.hold("bankrupt", 0, "10", "100", against="counterparty")
    for name, cash in (("first", "100"), ("second", "200"), ("third", "400")):
        bench.account(name, cash)
        bench.hold(name, 0, "-10", "100", against="counterparty")
    # The counterparty is short no more: it would be the last of the winners.
    size, _ = bench.position("counterparty", 0)
    assert size == 2_000
    bench.mark({0: "80"})
    return bench


def closed(txs: list[Tx]) -> list[tuple[int, int, int]]:
    return [(f.winner, f.size, f.score) for tx in txs for f in tx.all("Deleveraged")]


def round_of(bench: Bench) -> list[tuple[int, int, int]]:
    return closed([bench.liquidate("bankrupt", 256), *bench.finish()])


def queue(bench: Bench) -> list[str]:
    """The winners in order, as the lens has them."""
    rows = bench.venue.adl_lens.call("adl_page", 0, False, 0, 50)
    names = {account: name for name, account in bench.ids.items()}
    order = sorted((row for row in rows if row.score), key=lambda r: (-r.score, -r.pnl, r.account))
    return [names[row.account] for row in order]


@ENGINES
@pytest.mark.parametrize("score", ["hyperliquid_docs", "return_x_leverage", "binance"])
def test_a_deposit_before_the_round_lowers_no_score(engine: str, score: adl.ScoreRule) -> None:
    """The first in the queue sees the bankrupt come and deposits $1,000,000 just before: it is
    closed as if it had not, for the same score. An epoch later it would have been last."""
    plain, flash = (bench_of(engine, score=score) for _ in range(2))
    expected = round_of(plain)
    assert [(winner, size) for winner, size, _ in expected] == [(plain.ids["first"], 1_000)]
    assert queue(flash) == ["first", "second", "third"]
    flash.deposit("first", "1000000")
    assert queue(flash) == ["first", "second", "third"]
    late = flash.engine.snapshot()
    assert round_of(flash) == expected
    flash.engine.revert(late)
    flash.epoch()
    assert queue(flash) == ["second", "third", "first"]
    ((winner, size, _),) = round_of(flash)
    assert (winner, size) == (flash.ids["second"], 1_000)


@ENGINES
def test_no_other_way_in_lowers_it(engine: str) -> None:
    """From an account of its own, by a friend, in crumbs, by fees that are swept to it."""
    plain = bench_of(engine)
    expected = round_of(plain)
    for way in ("transfer", "friend", "crumbs", "fees"):
        bench = bench_of(engine)
        if way == "transfer":
            bench.account("pocket", "5000", owner="first")
            bench.send(
                "clearinghouse", "transfer", "first",
                bench.ids["pocket"], bench.ids["first"], 5_000 * MICRO,
            )  # fmt: skip
        elif way == "friend":
            friend = bench.engine.actor("friend")
            bench.seen(bench.venue.deposit(friend, bench.ids["first"], 5_000 * MICRO))
        elif way == "crumbs":
            for _ in range(5):
                bench.deposit("first", "1000")
        else:
            bench.trading_terms(1, taker=10_000)
            bench.account("other", "1000000")
            bench.trade("other", 1, 500_000, 1_000_000)
            bench.govern("set_fee_share", 0, bench.ids["first"])
            assert bench.send("clearinghouse", "sweep_fees", "other").one("FeesSwept").to_treasury
        house = bench.venue.clearinghouse
        epoch = bench.venue.oracle.call("epoch")
        assert house.call("inflow", bench.ids["first"], epoch) == 5_000 * MICRO
        assert bench.equity("first") == 5_300 * MICRO
        assert round_of(bench) == expected, way


@ENGINES
def test_the_round_keeps_its_epoch(engine: str) -> None:
    """Deposited in the epoch of the round, which then goes on through three more: still not
    counted; and filing the account anew on the way changes nothing."""
    expected = round_of(bench_of(engine))
    bench = bench_of(engine)
    bench.deposit("first", "1000000")
    txs = [bench.liquidate("bankrupt", 1)]
    index = bench.venue.contracts["index_ranking"]
    for _ in range(3):
        bench.epoch()
        if engine == "index":
            for name in ("first", "second", "third"):
                bench.seen(index.send("refile", bench.ids[name], sender=bench.keeper))
        txs.append(bench.advance(1))
    assert closed([*txs, *bench.finish(1)]) == expected


def test_it_is_filed_by_what_it_is_ranked_by() -> None:
    """The bucket stays while the deposit is fresh, whatever else touches the account; the first
    touch of a later epoch files it by all its cash, and clears the note."""
    bench = bench_of("index")
    index, house = bench.venue.contracts["index_ranking"], bench.venue.clearinghouse
    account = bench.ids["first"]

    def bucket() -> int:
        return int(index.call("bucket_of", account))

    before = bucket()
    bench.deposit("first", "1000000")
    assert bucket() == before
    bench.seen(index.send("refile", account, sender=bench.keeper))
    assert bucket() == before
    # A trade moves it as it would have without the deposit.
    plain = bench_of("index")
    for one in (plain, bench):
        one.account("taker", "10000")
        one.trade("first", 0, 100, 1_000_000, against="taker")
    traded = bucket()
    assert traded == plain.venue.contracts["index_ranking"].call("bucket_of", account) != before
    bench.epoch()
    bench.seen(index.send("refile", account, sender=bench.keeper))
    assert bucket() == traded
    assert house.call("inflow", account, 0) == 1_000_000 * MICRO
    # Selling one lot and buying it back leaves entry and cash as they were.
    for side in (1, -1):
        bench.trade("first", 0, side, 1_000_000, against="taker")
    assert bucket() != traded
    assert house.call("inflow", account, 0) == 0
    assert index.call("bucket_of", account) != 0


def test_what_leaves_again_was_never_in() -> None:
    """In and out in one epoch: the score is that of before, not a higher one; and who has no
    position has no note."""
    bench = bench_of("scan")
    house = bench.venue.clearinghouse
    score = bench.venue.deleverager.call("score", bench.ids["first"], 0)
    account = bench.ids["first"]
    first = bench.deposit("first", "70").one("InflowNoted")
    assert (first.account, first.amount) == (account, 70 * MICRO)
    assert first.epoch == bench.venue.oracle.call("epoch")
    assert bench.withdraw("first", "50").one("InflowNoted").amount == 20 * MICRO
    assert bench.venue.deleverager.call("score", account, 0) == score
    assert bench.deposit("first", "5").one("InflowNoted").amount == 25 * MICRO
    assert bench.withdraw("first", "100").one("InflowNoted").amount == 0
    assert bench.venue.deleverager.call("score", account, 0) > score
    assert bench.withdraw("first", "1").all("InflowNoted") == []
    assert bench.deposit("first", "76").one("InflowNoted").amount == 76 * MICRO
    bench.epoch()
    assert house.call("inflow", account, bench.venue.oracle.call("epoch")) == 0
    assert bench.venue.deleverager.call("score", account, 0) == score
    bench.account("flat")
    assert bench.deposit("flat", "7").all("InflowNoted") == []
    assert house.call("inflow", bench.ids["flat"], 0) == 0


@ENGINES
def test_what_it_can_bear_is_real(engine: str) -> None:
    """A winner whose equity of $90 bears 6 of its 10 at $15 each: with $60 more it bears all 10, in
    the same place. What came in counts where the winner can only lose by it."""
    bench = Bench(MarketSpec("100"), venue=VENUES[engine])
    bench.account("bankrupt", "50")
    bench.hold("bankrupt", 0, "10", "100")
    bench.account("thin", "100")
    bench.hold("thin", 0, "-10", "96")
    bench.account("deep", "5000")
    bench.hold("deep", 0, "-10", "100")
    bench.mark({0: "80"})
    bench.withdraw_to("thin", "90")
    bare = bench.engine.snapshot()
    fills = round_of(bench)
    assert fills[0][:2] == (bench.ids["thin"], 600)
    assert fills[1][:2] == (bench.ids["deep"], 400)
    bench.engine.revert(bare)
    bench.deposit("thin", "60")
    (fill,) = round_of(bench)
    assert fill == (bench.ids["thin"], 1_000, fills[0][2])


@pytest.mark.parametrize("allocation", [name for name, made in ALLOCATIONS.items() if made])
def test_no_share_is_lowered_either(allocation: str) -> None:
    plain, flash = (bench_of("scan", allocation=allocation) for _ in range(2))
    expected = round_of(plain)
    assert len(expected) >= 2
    flash.deposit("first", "1000000")
    assert round_of(flash) == expected


@pytest.mark.parametrize("seed", range(4))
def test_random_deposits_under_both_engines_and_by_the_model(seed: int) -> None:
    """Random crowds, a third of whom deposit in the epoch of the round, some of them around a trade
    in it, and others in an earlier one: scan, index and model close the same accounts."""
    draw = random.Random(seed)
    price = 5_000
    crowd = Crowd(RevmEngine(), [price, price])
    opened = crowd.trade(crowd_rows(draw, 90, 0, price, 1, draw.choice([0.0, 0.15])))
    stranger = crowd.engine.actor("stranger")
    index = crowd.index

    def flows(count: int) -> None:
        for account in draw.sample(opened, count):
            crowd.venue.deposit(stranger, account, draw.choice([1, 50, 5_000, 10**6, 10**9]))
            if draw.random() < 0.3:
                crowd.trade([Row(account, 0, draw.random() < 0.5, 3, price, draw.randint(0, 900))])
            if draw.random() < 0.3:
                index.send("refile", account, sender=stranger)

    flows(30)
    previous = round(price * draw.uniform(0.9, 1.1))
    crowd.set_mark(previous, price)
    flows(20)
    checked = 0
    scores: tuple[ranking.ScoreRule, ...] = ("hyperliquid_docs", "return_x_leverage")
    for is_long, score in itertools.product((True, False), scores):
        snap = crowd.engine.snapshot()
        mark = round(previous * (0.85 if is_long else 1.2))
        lots = draw.choice([50, 5_000, 10**5])
        (bankrupt,) = crowd.trade([Row(0, 0, is_long, lots, previous, lots * previous // 50 + 1)])
        crowd.set_mark(mark, price)
        flows(30)
        seen = {}
        for name in ("scan", "index"):
            inner = crowd.engine.snapshot()
            crowd.configure(name, score, 0)
            holders = crowd.holders(0, not is_long)
            assert any(holder.inflow for holder in holders)
            fills = crowd.liquidate(bankrupt, iter(lambda: draw.randint(1, 60), None))
            seen[name] = events_as_victims(fills)
            if fills:
                demand = crowd.demand(fills, 0, previous)
                assert seen[name] == ranking.victims(holders, demand, score), f"ORDER: {name}"
                assert all(e.exact for e in fills)
                ordinary = [dataclasses.replace(h, inflow=0) for h in holders]
                checked += ranking.victims(ordinary, demand, score) != seen[name]
            crowd.engine.revert(inner)
        assert seen["scan"] == seen["index"]
        crowd.engine.revert(snap)
    # Had they counted, the order would have been another.
    assert checked


def open_elsewhere(bench: Bench) -> None:
    """A round of ten winners in market 1, of which one step is done: others wait behind it."""
    bench.account("elsewhere", "50")
    bench.hold("elsewhere", 1, "10", "100")
    for i in range(20):
        bench.account(f"e{i}", "100")
        bench.hold(f"e{i}", 1, "-1", "100")
    bench.mark({1: "90"})
    bench.liquidate("elsewhere", 1)
    assert bench.busy()


@ENGINES
@pytest.mark.parametrize(("mark", "gain"), [("80", "70.05"), ("87", "0"), ("90", "0")])
def test_what_a_withdrawal_before_the_round_gains(engine: str, mark: str, gain: str) -> None:
    """KNOWN LIMIT, in figures: withdrawals are immediate. Who withdraws after the mark moved and
    before anybody proves the bankrupt is closed earlier, as its score rises; keeps 10% of notional
    (or initial margin); and can lose no more than that.

    - At $80, $15 from the bankruptcy price, 18.75% of the mark: a winner of 10 then bears 5.33 and
      loses $79.95 instead of $150. The next in the queue bears the rest.
    - Up to 10% from it ($87 and above): it bears all 10, and has gained nothing. At the default
      step limit of 1% that is ten epochs in which nobody liquidates.

    The proof is one call by anybody, possible right after the update; then the account is frozen.
    """
    bench = bench_of(engine)
    bench.mark({0: mark})
    again, plain = bench.engine.snapshot(), bench.engine.snapshot()
    (fill,) = bench.liquidate("bankrupt", 256).all("Deleveraged")
    assert (fill.winner, fill.size) == (bench.ids["first"], 1_000)
    bench.engine.revert(plain)
    score = bench.venue.deleverager.call("score", bench.ids["first"], 0)
    bench.withdraw_to("first", 10 * int(mark) // 10)
    assert bench.venue.deleverager.call("score", bench.ids["first"], 0) > score
    fills = bench.liquidate("bankrupt", 256).all("Deleveraged")
    assert fills[0].winner == bench.ids["first"]
    print(
        f"withdrawn to 10% of notional at ${mark}: haircut {fills[0].haircut}, not {fill.haircut}"
    )
    assert fill.haircut - fills[0].haircut == usdc(gain)
    assert sum(f.haircut for f in fills) == fill.haircut
    # And once the bankrupt is proved it cannot leave.
    bench.engine.revert(again)
    open_elsewhere(bench)
    bench.liquidate("bankrupt", 1)
    with pytest.raises(Reverted, match="clearinghouse: adl round open"):
        bench.withdraw("first", "1")


@ENGINES
@pytest.mark.parametrize("waits", ["behind another round", "for a price"])
def test_a_round_that_waits_keeps_the_epoch_of_its_marks(engine: str, waits: str) -> None:
    """Deposited in the epoch in which the bankrupt is proved and the market is frozen; its round
    has its turn in a later epoch, at the marks of that one. Still not counted, nor by the lens:
    else who sees that its market will have to wait would leave the queue by a deposit."""
    expected = round_of(bench_of(engine))
    bench = bench_of(engine)
    open_elsewhere(bench)
    bench.deposit("first", "1000000")
    txs = [bench.liquidate("bankrupt", 1)]
    if waits == "for a price":
        limits = bench.venue.deleverager
        bench.seen(limits.send("set_limits", 86_400, 0, sender=bench.venue.owner))
        bench.engine.wait(3_700)
        txs.append(bench.advance(10))
    bench.epoch()
    assert queue(bench)[0] == "first"
    fills = closed([*txs, *bench.finish(3)])
    assert [fill for fill in fills if fill[0] == expected[0][0]] == expected
