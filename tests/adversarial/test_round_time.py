"""How long a round may keep a market frozen, who works on it, and what opens none."""

from __future__ import annotations

import pytest

from breakwater.contract import Tx
from breakwater.engine.base import Reverted
from breakwater.model import adl
from tests.vectors.bench import POST_ONLY, Bench, MarketSpec, bench_with_untaken_lots

TTL = 3_600
ROUND_OPEN = 2**9


def crowd(winners: int, **config: object) -> Bench:
    """A long of 100 that gaps to 80 (bankrupt at 95) against so many shorts of one unit each, an
    account elsewhere, and a maker without a position there."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"), check=False, **config)
    bench.account("bankrupt", "500")
    bench.hold("bankrupt", 0, "100", "100")
    for i in range(winners):
        bench.account(f"w{i}", 10 + (i * 7) % 23)
        bench.trade(f"w{i}", 0, -100, bench.prices[0])
    bench.account("sink", "1000000")
    bench.account("newcomer", "1000")
    # Else the lots that nobody takes would be uninsured, and all of the venue on reduce-only.
    bench.insure("2000")
    bench.mark({0: "80"})
    size, _ = bench.position("counterparty", 0)
    bench.trade("counterparty", 0, -size, bench.prices[0], against="sink")
    return bench


def limits(bench: Bench, ttl: int = TTL, min_deficit: int = 0) -> None:
    bench.venue.deleverager.send("set_limits", ttl, min_deficit, sender=bench.venue.owner)


def fills(*txs: Tx) -> list[tuple[int, int, int]]:
    return [(f.winner, f.size, f.quote) for tx in txs for f in tx.all("Deleveraged")]


def lot(bench: Bench, index: int = 0, is_long: bool = True) -> tuple[int, int, int]:
    found = bench.venue.deleverager.call("lot", 0, is_long, index)
    return int(found.bankrupt), int(found.size), int(found.worth)


def test_round_left_alone_for_ten_epochs() -> None:
    """Nobody works on it for ten epochs: prices go on, its market stands still until its time is
    up; then the next order there is free, and the estate keeps what it has for the next round."""
    bench = crowd(40)
    bench.liquidate("bankrupt", 1)
    house, adl_ = bench.venue.clearinghouse, bench.venue.deleverager
    began = bench.engine.timestamp
    assert adl_.call("frozen_until", 0) == began + TTL
    for i in range(10):
        bench.engine.wait(400)
        bench.epoch({0: bench.ticks(0, "80") + i})
    assert bench.busy() and bench.venue.oracle.call("mark", 0) == bench.ticks(0, "80")
    before = lot(bench)
    tx = bench.bid("newcomer", 0, "1", "79")
    names = [event.name for event in tx.events]
    assert names.index("RoundExpired") < names.index("RoundClosed") < names.index("OrderPlaced")
    closed = tx.one("RoundClosed")
    assert (closed.needed, closed.taken, closed.unserved) == (10_000, 0, 1)
    assert tx.one("RoundExpired").frozen_at == began
    assert (house.call("frozen_markets"), adl_.call("frozen_until", 0), bench.busy()) == (
        0,
        0,
        False,
    )
    assert adl_.call("retry_at", 0, True)[0] == 2 * bench.engine.timestamp - began
    bench.epoch()
    assert bench.venue.oracle.call("mark", 0) == bench.ticks(0, "80") + 9
    # The lot stands as it did: its bankruptcy price is the winners', not insurance's.
    assert lot(bench) == before
    # No retry before the market has been open for as long as it was frozen.
    with pytest.raises(Reverted, match="deleverager: frozen too lately"):
        bench.retry(0, True)
    bench.engine.wait(3_000)
    bench.epoch()
    with pytest.raises(Reverted, match="deleverager: frozen too lately"):
        bench.retry(0, True)
    bench.engine.wait(bench.engine.timestamp - began - 3_000)
    bench.epoch()
    served = fills(bench.retry(0, True), *bench.finish(192))
    assert sum(size for _, size, _ in served) == 4_000
    bench.check()


def test_time_cannot_be_run_out_while_anyone_trades() -> None:
    """Each order that meets the round does sixteen steps of it: whoever wants to trade ends it.
    What an order could not end it has still moved on, and says that nothing was placed."""
    bench, other = crowd(40), crowd(40)
    expected = fills(other.liquidate("bankrupt", 1), *other.finish(192))
    done = [bench.liquidate("bankrupt", 1)]
    orders = 0
    while bench.busy():
        tx = bench.bid("newcomer", 0, "1", "79")
        orders += 1
        done.append(tx)
        placed, kept = len(tx.all("OrderPlaced")), [e.reason for e in tx.all("Unfilled")]
        assert (placed, kept) == ((0, [ROUND_OPEN]) if bench.busy() else (1, []))
    assert fills(*done) == expected
    # 40 holders and the sink, three passes of 16 winners at most, 40 closes, the end.
    assert 2 < orders <= (3 * 41 + 41) // 16 + 1
    bench.check()


def test_an_order_that_may_not_be_sent_does_no_work() -> None:
    bench = crowd(3)
    bench.bid("sink", 0, "1", "70")
    bench.liquidate("bankrupt", 3)
    assert bench.busy()
    before = bench.venue.deleverager.call("round")
    book, me = bench.venue.order_book, bench.ids["newcomer"]
    stranger = bench.engine.actor("stranger")
    with pytest.raises(Reverted, match="book: not your account"):
        book.send("place", me, 0, True, 100, 790_000, 0, sender=stranger)
    with pytest.raises(Reverted, match="book: price out of range"):
        book.send("place", me, 0, True, 100, 0, 0, sender=bench.owners["newcomer"])
    # The round would end, and then the order may not rest: all of it is undone.
    with pytest.raises(Reverted, match="book: post only would trade"):
        bench.place("newcomer", 0, False, 100, bench.ticks(0, "70"), POST_ONLY)
    assert bench.venue.deleverager.call("round") == before
    bench.check()


def test_fills_stand_when_time_is_up() -> None:
    bench, whole = crowd(40), crowd(40)
    expected = fills(whole.liquidate("bankrupt", 1), *whole.finish(192))
    first = [bench.liquidate("bankrupt", 1), bench.advance(50)]
    done = fills(*first)
    assert 0 < len(done) < 16 and done == expected[: len(done)]
    worth = lot(bench)
    bench.engine.wait(TTL)
    bench.epoch()
    tx = bench.advance(192)
    # Nothing more in this call: whatever stopped the round must not undo its end.
    assert fills(tx) == []
    closed = tx.one("RoundClosed")
    assert (closed.taken, closed.unserved) == (100 * len(done), 1)
    assert lot(bench) == worth
    # The next bankrupt's lot comes after it, in one round.
    bench.account("next", "60")
    bench.trade("next", 0, 1_000, bench.prices[0], against="sink")
    bench.mark({0: "70"})
    opening = bench.liquidate("next", 192)
    assert opening.one("LotAdded").bankrupt == bench.ids["next"]
    after = [f for t in (opening, *bench.finish(192)) for f in t.all("Deleveraged")]
    # In this order, as their accounts were opened.
    assert [f.bankrupt for f in after] == sorted(f.bankrupt for f in after)
    assert len({f.round for f in after}) == 1
    bench.check()


def test_a_market_behind_another_round_is_free_in_time_too() -> None:
    bench = crowd(40)
    bench.account("second", "60")
    bench.hold("second", 1, "10", "100")
    bench.mark({1: "90"})
    bench.liquidate("bankrupt", 1)
    bench.liquidate("second", 1)
    house = bench.venue.clearinghouse
    assert house.call("frozen_markets") == 3
    bench.engine.wait(TTL - 60)
    bench.epoch()
    # In time: the order works on the round before its market's, and is not placed.
    assert not bench.bid("newcomer", 1, "1", "89").all("OrderPlaced")
    bench.engine.wait(60)
    bench.epoch()
    tx = bench.bid("newcomer", 1, "1", "89")
    assert [(e.market) for e in tx.all("RoundExpired")] == [1]
    assert tx.all("OrderPlaced") and not tx.all("RoundClosed")
    assert house.call("frozen_markets") == 1
    # The other one is still there for whoever comes.
    assert bench.advance(1).one("RoundExpired").market == 0
    assert house.call("frozen_markets") == 0 and not bench.busy()
    bench.check()


def test_an_engine_that_stops_holds_no_market_for_longer() -> None:
    """An engine that refuses every query, set in the middle of a round: nothing can be done with
    it, but its time runs out like any other."""
    bench = crowd(3)
    bench.liquidate("bankrupt", 1)
    broken = bench.deploy("ProRataSize", bench.venue.clearinghouse, 1)
    bench.venue.deleverager.send("set_engine", broken, broken, sender=bench.venue.owner)
    for steps in (1, 40):
        with pytest.raises(Reverted):
            bench.advance(steps)
    with pytest.raises(Reverted):
        bench.bid("newcomer", 0, "1", "79")
    bench.engine.wait(TTL)
    bench.epoch()
    assert bench.bid("newcomer", 0, "1", "79").all("OrderPlaced")
    assert bench.venue.clearinghouse.call("frozen_markets") == 0
    bench.check()


def test_retries_keep_no_market_frozen_for_more_than_half_of_the_time() -> None:
    """Somebody retries lots that nobody takes with one step, whenever it may, and nobody else
    works."""
    bench = bench_with_untaken_lots()
    frozen = free = 0
    for _ in range(50):
        bench.engine.wait(299)
        bench.epoch()
        if bench.venue.clearinghouse.call("frozen_markets"):
            frozen += 300
        else:
            free += 300
        try:
            bench.retry(0, True, 1)
        except Reverted as error:
            assert error.reason in ("deleverager: frozen too lately", "deleverager: round open")
            # Its time is up: only then somebody trades.
            if bench.venue.deleverager.call("frozen_until", 0) not in (0, None) and (
                bench.venue.deleverager.call("frozen_until", 0) <= bench.engine.timestamp
            ):
                bench.venue.deleverager.send("serve", 0, 0, sender=bench.keeper)
    assert frozen and free >= frozen, (frozen, free)
    bench.check()


def test_limits_are_the_owners_within_bounds() -> None:
    bench = Bench(MarketSpec("100"))
    for ttl, deficit, reason in (
        (299, 0, "deleverager: time out of range"),
        (86_401, 0, "deleverager: time out of range"),
        (300, 10**8 + 1, "deleverager: deficit out of range"),
    ):
        with pytest.raises(Reverted, match=reason):
            limits(bench, ttl, deficit)
    with pytest.raises(Reverted, match="ownable: caller is not the owner"):
        bench.venue.deleverager.send("set_limits", 300, 0, sender=bench.engine.actor("stranger"))
    limits(bench, 300, 10**8)
    adl_ = bench.venue.deleverager
    assert (adl_.call("round_ttl"), adl_.call("min_deficit")) == (300, 10**8)


# --- Deficits that open no round -----------------------------------------------------------------


def dust(insured: str = "5", least: int = 10**6) -> Bench:
    """Bankrupt at 90 by $0.50 of deficit, with a deep winner; a deficit below `least` is small."""
    bench = Bench(MarketSpec("100"))
    bench.account("dust", "0.50")
    bench.account("whale", "60")
    bench.account("winner", "1000")
    bench.hold("whale", 0, "10", "100", against="winner")
    bench.hold("dust", 0, "0.1", "100", against="winner")
    if insured != "0":
        bench.insure(insured)
    limits(bench, min_deficit=least)
    bench.mark({0: "90"})
    return bench


def test_a_small_deficit_freezes_nothing() -> None:
    """Insurance pays it, the lots wait at the mark, anyone takes them, and trading goes on."""
    bench = dust()
    tx = bench.liquidate("dust")
    house = bench.venue.clearinghouse
    assert not tx.all("RoundOpened") and not tx.all("FrozenChanged")
    end = tx.one("LotSettled")
    assert (end.round, end.unfilled, end.residual, end.insurance) == (0, 10, 500_000, 500_000)
    assert (house.call("frozen_markets"), bench.uninsured(), bench.busy()) == (0, 0, False)
    assert bench.insurance() == 4_500_000
    assert house.call("equity", bench.estate(0, True)) == 0
    assert lot(bench) == (bench.ids["dust"], 10, -9_000_000)
    # Nor does anybody freeze the market for it by a retry now.
    with pytest.raises(Reverted, match="deleverager: tried in this epoch"):
        bench.retry(0, True, 1)
    bench.bid("winner", 0, "1", "80")
    bench.send("deleverager", "take", "winner", bench.ids["winner"], 0, True, 10)
    assert house.call("position", bench.estate(0, True), 0).size == 0
    bench.check()


def test_a_small_deficit_exempts_no_whale() -> None:
    """The dust lot waits; the whale's bankruptcy opens a round for both, the dust first, and the
    winner pays for the whale all that it would have paid."""
    bench, plain = dust(), dust(least=0)
    bench.liquidate("dust")
    plain.liquidate("dust")
    here, there = bench.liquidate("whale"), plain.liquidate("whale")
    (first, second), (alone,) = here.all("Deleveraged"), there.all("Deleveraged")
    assert (first.bankrupt, first.size, first.haircut) == (bench.ids["dust"], 10, 0)
    assert (second.quote, second.haircut) == (alone.quote, alone.haircut) == (94 * 10**7, 4 * 10**7)
    bench.check()


@pytest.mark.parametrize(("insured", "least"), [("0", 10**6), ("0.499999", 10**6), ("5", 500_000)])
def test_a_deficit_that_nobody_pays_or_that_is_not_small_opens_a_round(
    insured: str, least: int
) -> None:
    """Written off it would put the whole venue on reduce-only; a winner pays it instead."""
    bench = dust(insured, least)
    tx = bench.liquidate("dust")
    (fill,) = tx.all("Deleveraged")
    assert (fill.quote, fill.haircut) == (9_500_000, 500_000)
    assert (bench.uninsured(), tx.one("RoundClosed").taken) == (0, 10)


# --- From the proof on ---------------------------------------------------------------------------


def test_from_the_proof_on_nobody_with_a_position_leaves() -> None:
    """The prices have fallen and nobody has called yet: a winner may still take what is free, which
    makes it no weaker candidate: its score rises. The call that proves the bankrupt, were it of one
    step, shuts every market of the bankrupt's in the same transaction."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"), MarketSpec("100"))
    bench.account("bankrupt", "105")
    for name in ("winner", "elsewhere", "other"):
        bench.account(name, "1000")
    bench.hold("bankrupt", 0, "10", "100", against="winner")
    bench.hold("bankrupt", 1, "10", "100", against="elsewhere")
    bench.hold("other", 2, "1", "100")
    bench.mark({0: "85", 1: "99"})
    score = bench.venue.deleverager.call("score", bench.ids["winner"], 0)
    bench.withdraw("winner", "100")
    assert bench.venue.deleverager.call("score", bench.ids["winner"], 0) > score
    tx = bench.liquidate("bankrupt", 1)
    assert tx.one("WoundUp").equity == -55 * 10**6
    assert bench.venue.clearinghouse.call("frozen_markets") == 0b011
    for name in ("winner", "elsewhere"):
        with pytest.raises(Reverted, match="clearinghouse: adl round open"):
            bench.withdraw(name, "1")
    bench.withdraw("other", "1")
    served = fills(*bench.finish())
    assert {winner for winner, *_ in served} == {bench.ids["winner"], bench.ids["elsewhere"]}
    bench.check()


# --- Orders of who is deleveraged ----------------------------------------------------------------


def test_the_orders_of_who_is_deleveraged_are_gone() -> None:
    """In the same transaction, all of them at once; nobody else's, and nothing is written for an
    account without orders."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    bench.account("bankrupt", "60")
    for name in ("winner", "silent", "behind"):
        bench.account(name, "100000" if name == "behind" else "1000")
    bench.hold("bankrupt", 0, "6", "100", against="winner")
    bench.hold("bankrupt", 0, "4", "100", against="silent")
    bench.trade("behind", 0, -100, bench.prices[0])
    for price in range(70, 80):
        bench.bid("winner", 0, "0.1", str(price))
        bench.bid("winner", 1, "0.1", str(price))
        bench.bid("behind", 0, "0.1", str(price))
    bench.mark({0: "90"})
    book = bench.venue.order_book
    tx = bench.liquidate("bankrupt", 256)
    victims = {f.winner for f in tx.all("Deleveraged")}
    assert victims == {bench.ids["winner"], bench.ids["silent"]}
    raised = {e.account for e in tx.all("NonceRaised")}
    assert raised == {bench.ids["winner"], bench.ids["bankrupt"]}
    assert book.call("open_orders", bench.ids["winner"]) == []
    assert len(book.call("open_orders", bench.ids["behind"])) == 10
    assert book.call("depth", 1, True, 5) == []
    assert len(book.call("depth", 0, True, 20)) == 10
    with pytest.raises(Reverted, match="book: deleverager only"):
        bench.send("order_book", "void_orders", "behind", bench.ids["winner"])


# --- Receipts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("close", ["bankruptcy", "previous_mark", "mark"])
def test_overshoot_is_what_winners_paid_beyond_the_bankruptcy_price(close: adl.CloseRule) -> None:
    """Two bankrupts in a row, at 96 and 93; the previous mark is 95, the mark 90. At the previous
    mark one is paid 1 a unit too little and the other 2 too much, 10 units each; net 10, in all
    30."""
    bench = Bench(MarketSpec("100", leverage=40), close=close)
    for name, money in (("near", "40"), ("far", "70"), ("winner", "10000")):
        bench.account(name, money)
    bench.hold("near", 0, "10", "100", against="winner")
    bench.hold("far", 0, "10", "100", against="winner")
    bench.mark({0: "95"})
    bench.mark({0: "90"})
    txs = [bench.liquidate("near", 1)]
    txs += bench.finish()
    txs += [bench.liquidate("far", 1), *bench.finish()]
    closed = [e for tx in txs for e in tx.all("RoundClosed")]
    told = [(e.overshoot, e.absolute_overshoot, e.is_complete) for e in closed]
    expected = {
        "bankruptcy": [0, 0],
        "previous_mark": [-10, 20],
        "mark": [-60, -30],
    }[close]
    assert told == [(n * 10**6, abs(n) * 10**6, True) for n in expected]
