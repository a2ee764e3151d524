"""Lots of the long and of the short estate of one market are exchanged for each other first.

Unless a test says otherwise a long of 10 units was wound up and nobody took it: its lot stands in
the estate at $90, made whole by insurance."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from breakwater.contract import Event, Tx
from breakwater.model import adl
from tests.vectors.bench import Bench, MarketSpec

UNIT = 100  # lots


def waiting(*sizes: int, insured: str = "1000") -> Bench:
    """So many units of long lots, each of a bankrupt of its own, that stand at $90; the only short
    is at a loss there."""
    bench = Bench(MarketSpec("100"))
    bench.account("sink", "1000000")
    bench.insure(insured)
    for i, size in enumerate(sizes or (10,)):
        bench.account(f"long{i}", 5 * size)
        bench.hold(f"long{i}", 0, str(size), "100")
    bench.mark({0: "90"})
    held, _ = bench.position("counterparty", 0)
    bench.trade("counterparty", 0, -held, bench.prices[0], against="sink")
    for i in range(len(sizes or (10,))):
        bench.liquidate(f"long{i}", 256)
    assert not bench.busy() and bench.uninsured() == 0
    return bench


def short(bench: Bench, size: str, entry: str, money: str) -> None:
    """A short that will be wound up, against the sink."""
    bench.account("short", money)
    bench.hold("short", 0, f"-{size}", entry, against="sink")


def nettings(*txs: Tx) -> list[Event]:
    return [event for tx in txs for event in tx.all("LotsNetted")]


def test_the_short_ends_at_zero_and_the_long_keeps_the_rest() -> None:
    """The short's bankruptcy price is 96, the mark 98: they meet at 96, not at the mark, which the
    short could not pay. The long stood at 90, so it brings 6 a unit to the vault; nobody else is
    touched."""
    bench = waiting()
    short(bench, "10", "90", "60")
    before = bench.insurance()
    sink = bench.position("sink", 0)
    bench.mark({0: "98"})
    tx = bench.liquidate("short")
    (event,) = nettings(tx)
    assert (event.long_bankrupt, event.short_bankrupt) == (bench.ids["long0"], bench.ids["short"])
    assert (event.size, event.quote) == (1_000, 960 * 10**6)
    assert (event.long_worth, event.short_worth) == (-900 * 10**6, 960 * 10**6)
    long_end, short_end = tx.all("LotSettled")
    assert (long_end.round, long_end.bankrupt, long_end.surplus) == (
        0,
        bench.ids["long0"],
        60 * 10**6,
    )
    assert (short_end.surplus, short_end.residual, short_end.unfilled) == (0, 0, 0)
    closed = tx.one("RoundClosed")
    assert (closed.needed, closed.taken, closed.netted, closed.overshoot) == (1_000, 0, 1_000, 0)
    assert bench.insurance() == before + 60 * 10**6
    assert bench.position("sink", 0) == sink
    for is_long in (True, False):
        estate = bench.estate(0, is_long)
        house = bench.venue.clearinghouse
        assert (house.call("cash", estate), house.call("position", estate, 0).size) == (0, 0)
    assert not bench.busy() and bench.venue.clearinghouse.call("frozen_markets") == 0
    bench.check()


def test_at_the_mark_where_both_bear_it() -> None:
    """Unfillable accounts bring a surplus: a short bankrupt at 96 at a mark of 95 meets the long
    there."""
    bench = waiting()
    bench.venue.liquidator.send("set_policy", 1, 0, sender=bench.venue.owner)
    short(bench, "10", "90", "60")
    # Nobody offers anything: below maintenance and no price.
    bench.mark({0: "94"})
    tx = bench.liquidate("short")
    (event,) = nettings(tx)
    assert event.quote == 940 * 10**6
    assert [e.surplus for e in tx.all("LotSettled")] == [40 * 10**6, 20 * 10**6]


def test_no_price_that_leaves_neither_below_zero_no_netting() -> None:
    """The long stands at 90, and the short can pay 74: a winner takes it, the long waits on."""
    bench = waiting()
    bench.mark({0: "70"})
    bench.account("friend", "100000")
    bench.hold("friend", 0, "10", "60", against="sink")
    short(bench, "10", "70", "40")
    bench.mark({0: "77"})
    tx = bench.liquidate("short")
    assert nettings(tx) == []
    assert [f.winner for f in tx.all("Deleveraged")] == [bench.ids["friend"]]
    assert bench.venue.deleverager.call("lot", 0, True, 0).size == 1_000


@pytest.mark.parametrize("sides", [(True, False), (False, True)])
def test_a_market_is_free_once_the_rounds_of_both_its_estates_have_ended(
    sides: tuple[bool, bool],
) -> None:
    """Both wait for takers and cannot pay each other. Retried at once they have a round each, one
    after the other, and the market stays frozen in between."""
    bench = waiting()
    bench.mark({0: "70"})
    short(bench, "10", "70", "40")
    bench.mark({0: "77"})
    assert not bench.liquidate("short").all("Deleveraged")
    bench.epoch()
    adl, house = bench.venue.deleverager, bench.venue.clearinghouse
    txs = [bench.retry(0, is_long, 1) for is_long in sides]
    alone = 0
    while True:
        ended = [event.is_long for tx in txs for event in tx.all("RoundClosed")]
        is_over = len(ended) == 2
        assert (house.call("frozen_markets") == 0) == is_over == (not bench.busy())
        assert (adl.call("frozen_until", 0) == 0) == is_over
        if is_over:
            break
        alone += len(ended)
        txs.append(bench.advance(1))
    assert ended == list(sides) and alone
    # The long's round brings its lot to the mark; in a round after it the two pay each other there.
    quotes = [event.quote for event in nettings(*txs)]
    assert quotes == ([770 * 10**6] if sides[0] else [])
    bench.check()


def test_first_in_first_out_and_in_part() -> None:
    """Longs of 3, 4 and 5 units and a short of 8: all of the first, all of the second, one of the
    third. What is left of the third is as it was, a unit."""
    bench = waiting(3, 4, 5)
    short(bench, "8", "90", "48")
    bench.mark({0: "98"})
    tx = bench.liquidate("short")
    assert [(e.long_bankrupt, e.size, e.quote) for e in nettings(tx)] == [
        (bench.ids["long0"], 300, 288 * 10**6),
        (bench.ids["long1"], 400, 384 * 10**6),
        (bench.ids["long2"], 100, 96 * 10**6),
    ]
    left = bench.venue.deleverager.call("lot", 0, True, 2)
    # 450 paid, 96 got for one of the five.
    assert (left.size, left.worth) == (400, -354 * 10**6)
    assert bench.venue.deleverager.call("first_lot", 0, True) == 2


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_small_calls_do_what_a_large_one_does(steps: int) -> None:
    whole, chopped = waiting(3, 4, 5), waiting(3, 4, 5)
    for bench in (whole, chopped):
        short(bench, "8", "90", "48")
        bench.mark({0: "98"})
    seen = []
    for bench, first, more in ((whole, 256, 256), (chopped, 1, steps)):
        txs = [bench.liquidate("short", first), *bench.finish(more)]
        seen.append(
            [
                (event.name, getattr(event, "quote", None), getattr(event, "surplus", None))
                for tx in txs
                for event in tx.events
                if event.name in ("LotsNetted", "LotSettled", "RoundClosed")
            ]
        )
    assert seen[0] == seen[1]
    # Three exchanges of three steps, and the end of the round.
    assert len(txs) == {1: 4, 4: 3, 7: 2}[steps]


def test_what_is_left_after_netting_goes_to_the_winners() -> None:
    bench = waiting(3)
    bench.account("friend", "100000")
    short(bench, "8", "90", "48")
    bench.hold("friend", 0, "8", "90", against="sink")
    bench.mark({0: "98"})
    tx = bench.liquidate("short", 256)
    closed = tx.one("RoundClosed")
    assert (closed.needed, closed.netted, closed.taken) == (800, 300, 500)
    (fill,) = tx.all("Deleveraged")
    assert (fill.winner, fill.size, fill.quote, fill.rank) == (
        bench.ids["friend"], 500, 480 * 10**6, 1,
    )  # fmt: skip
    assert fill.lot_size == 500


def test_one_long_meets_two_shorts_in_turn() -> None:
    """Four of its ten units, then six: the estates are empty and the market is free."""
    bench = waiting(10)
    short(bench, "4", "90", "24")
    bench.account("other", "60")
    bench.hold("other", 0, "-10", "90", against="sink")
    bench.mark({0: "98"})
    first = bench.liquidate("short", 256)
    second = bench.liquidate("other", 256)
    assert [e.size for e in nettings(first, second)] == [400, 600]
    assert bench.venue.deleverager.call("first_lot", 0, True) == 1
    assert bench.venue.clearinghouse.call("frozen_markets") == 0
    bench.check()


def test_a_unit_goes_to_nobody_else() -> None:
    """Random lots, off tick: the sum of both worths does not change, each keeps its part of what it
    stood at or more, and what does not meet has no whole quote between the two prices."""
    draw = random.Random(11)
    met = 0
    for _ in range(5_000):
        mark = draw.randint(1, 1_000)
        long = adl.Lot(
            1, True, draw.randint(1, 50), -draw.randint(0, 50_000) + draw.choice([0, 0, 60_000])
        )
        other = adl.Lot(
            2, False, draw.randint(1, 50), draw.randint(0, 50_000) - draw.choice([0, 0, 60_000])
        )
        netting = adl.net(long, other, mark)
        low, high = -Fraction(long.worth, long.size), Fraction(other.worth, other.size)
        if netting is None:
            # No whole quote between the two.
            size = min(long.size, other.size)
            assert other.worth < 0 or not any(
                max(low, 0) * size <= quote <= high * size
                for quote in range(max(0, int(low * size)), int(max(high, 0) * size) + 2)
            )
            continue
        met += 1
        after_long, after_short = netting.long, netting.short
        assert after_long.worth + after_short.worth == long.worth + other.worth
        # Each has its part of what it stood at, or more.
        assert after_long.worth * long.size >= long.worth * after_long.size or long.worth > 0
        assert after_short.worth * other.size >= other.worth * after_short.size
        assert low * netting.size <= netting.quote <= high * netting.size
    assert met > 500
