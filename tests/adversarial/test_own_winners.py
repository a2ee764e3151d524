"""Under a queue the bankrupt's own owner's winners come before the ranking, and none is exempt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from breakwater.contract import Tx
from breakwater.engine.base import Engine
from breakwater.model import adl
from breakwater.venue import Venue, VenueConfig
from tests.vectors.bench import Bench, MarketSpec


class Indexed(Venue):
    """Ranks by the index."""

    @classmethod
    def deploy(cls, engine: Engine, config: VenueConfig | None = None) -> Venue:
        return super().deploy(engine, replace(config or VenueConfig(), engine="index"))


def closed(*txs: Tx) -> list[tuple[int, int, int]]:
    return [(f.winner, f.size, f.rank) for tx in txs for f in tx.all("Deleveraged")]


def pair(money: str = "100000", **config: object) -> Bench:
    """One owner is long 10 with $60 and short 4 with much money, which ranks last; two others are
    short 6 each with little."""
    bench = Bench(MarketSpec("100"), **config)
    bench.account("long", "60", owner="both")
    bench.account("short", money, owner="both")
    bench.account("one", "100")
    bench.account("two", "150")
    bench.hold("long", 0, "10", "100")
    bench.hold("short", 0, "-4", "100")
    for name in ("one", "two"):
        bench.hold(name, 0, "-6", "100")
    bench.mark({0: "90"})
    return bench


@pytest.mark.parametrize("venue", [Venue, Indexed])
@pytest.mark.parametrize("steps", [256, 1])
def test_who_is_both_sides_pays_first(venue: type[Venue], steps: int) -> None:
    bench = pair(venue=venue)
    ids = bench.ids
    before = bench.standings(0, False)
    txs = [bench.liquidate("long", steps), *bench.finish(steps)]
    assert closed(*txs) == [(ids["short"], 400, 0), (ids["one"], 600, 1)]
    lot = adl.Lot(ids["long"], True, 1_000, -940 * 10**6)
    fills, left = adl.close_lot(
        lot, before, bench.prices[0], "bankruptcy", 0, own=[ids["long"], ids["short"]]
    )
    assert [(f.winner, f.size, f.rank) for f in fills] == closed(*txs)
    assert [f.score for f in fills] == [f.score for tx in txs for f in tx.all("Deleveraged")]
    assert not left.size
    bench.check()


def test_a_dust_bankrupt_buys_no_exemption() -> None:
    """The owner of a large short lets a dust long of his go bankrupt: that closes the short by as
    much, before anybody, and when a stranger's large long follows the short is ranked like any
    other."""
    bench = pair(money="200")
    bench.account("dust", "0.06", owner="both")
    bench.account("stranger", "60")
    bench.mark({0: "100"})
    bench.trade("dust", 0, 1, bench.prices[0])
    bench.hold("stranger", 0, "10", "100")
    bench.mark({0: "90"})
    assert closed(bench.liquidate("dust", 256)) == [(bench.ids["short"], 1, 0)]
    # By score: one (600 / 160), two (600 / 210), the short (399 / 240) if it came to that.
    ranked = closed(bench.liquidate("stranger", 256))
    lot = adl.Lot(bench.ids["stranger"], True, 1_000, -940 * 10**6)
    assert [(winner, rank) for winner, _, rank in ranked] == [
        (bench.ids["one"], 1), (bench.ids["two"], 2),
    ]  # fmt: skip
    assert lot.size == sum(size for _, size, _ in ranked)


def test_only_as_far_as_it_bears() -> None:
    """Of equity $4 it can give up 100 lots at a loss of $0.04 each; the rest goes by rank."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    bench.account("long", "60", owner="both")
    bench.account("short", "100", owner="both")
    bench.account("one", "1000")
    bench.hold("long", 0, "10", "100", against="one")
    bench.mark({0: "100", 1: "100"})
    bench.hold("short", 0, "-4", "100")
    bench.hold("short", 1, "10", "100")
    bench.mark({0: "90", 1: "86.4"})
    assert bench.equity("short") == 4 * 10**6
    txs = [bench.liquidate("long", 256), *bench.finish()]
    assert closed(*txs) == [(bench.ids["short"], 100, 0), (bench.ids["one"], 900, 1)]
    assert bench.equity("short") == 0


def test_who_is_no_winner_is_left_alone() -> None:
    """A long of the same owner, a short at a loss, and a short elsewhere."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    for name, money in (("bankrupt", "60"), ("longer", "5000"), ("late", "5000"), ("away", "5000")):
        bench.account(name, money, owner="both")
    bench.account("winner", "10000")
    bench.hold("bankrupt", 0, "10", "100", against="winner")
    bench.hold("longer", 0, "10", "100")
    bench.hold("away", 1, "-10", "100")
    bench.hold("late", 0, "-10", "93")
    bench.mark({0: "90", 1: "90"})
    held = {name: bench.position(name, 0) for name in ("longer", "late")}
    assert closed(bench.liquidate("bankrupt", 256)) == [(bench.ids["winner"], 1_000, 1)]
    assert {name: bench.position(name, 0) for name in held} == held
    assert bench.position("away", 1)[0] == -1_000


def test_the_first_sixteen_accounts_of_an_owner() -> None:
    """More may be opened. Those are ranked like a stranger's, which is what an account of a second
    address would be: nobody can be made to say that two addresses are one person's."""
    bench = Bench(MarketSpec("100"), check=False)
    bench.account("bankrupt", "60", owner="many")
    for i in range(17):
        bench.account(f"m{i}", 100 + i, owner="many")
    bench.account("one", "10")
    bench.account("sink", "1000000")
    bench.hold("bankrupt", 0, "10", "100", against="sink")
    for i in (3, 14, 15, 16):
        bench.trade(f"m{i}", 0, -100, bench.prices[0])
    bench.trade("one", 0, -100, bench.prices[0])
    listed = bench.venue.clearinghouse.call("accounts_of", bench.owners["bankrupt"])
    assert listed == [bench.ids["bankrupt"], *(bench.ids[f"m{i}"] for i in range(15))]
    bench.mark({0: "90"})
    txs = [bench.liquidate("bankrupt", 256), *bench.finish(192)]
    ids = bench.ids
    assert closed(*txs)[:5] == [
        (ids["m3"], 100, 0), (ids["m14"], 100, 0), (ids["one"], 100, 1), (ids["m15"], 100, 2),
        (ids["m16"], 100, 3),
    ]  # fmt: skip
    bench.check()


def test_allocations_that_share_serve_nobody_first() -> None:
    bench = pair(allocation="pro_rata_size")
    txs = [bench.liquidate("long", 256), *bench.finish(192)]
    assert {rank for _, _, rank in closed(*txs)} == {1, 2, 3}
    assert sorted(size for _, size, _ in closed(*txs)) == [250, 375, 375]
    assert not bench.venue.deleverager.call("own_first")
