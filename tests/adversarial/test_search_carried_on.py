"""What a search of the index keeps from one lot to the next, and from one call to the next, must
not outlive the state it was taken from: whoever changes in between is ranked by what it is now."""

from __future__ import annotations

import pytest

from breakwater.contract import Tx
from tests.unit.lens.test_adl_lens import VENUES
from tests.vectors.bench import Bench, MarketSpec

ENGINES = pytest.mark.parametrize("engine", VENUES)


def closed(*txs: Tx) -> list[tuple[int, int, int]]:
    return [(f.winner, f.size, f.rank) for tx in txs for f in tx.all("Deleveraged")]


def two_rounds(engine: str) -> Bench:
    """Two bankrupt longs of 2, whose bankruptcy price is $95, and shorts of 2 from $100 in the
    order of their margin, at $93; the last of them has by far the most."""
    bench = Bench(MarketSpec("100"), venue=VENUES[engine])
    for name in ("bankrupt", "next bankrupt"):
        bench.account(name, "10")
        bench.hold(name, 0, "2", "100")
    for i, cash in enumerate((20, 25, 30, 2_000)):
        bench.account(f"short{i}", cash)
        bench.hold(f"short{i}", 0, "-2", "100")
    bench.mark({0: "93"})
    return bench


def lots_waiting(engine: str, sizes: dict[str, int], own: str | None = None) -> Bench:
    """Bankrupt longs of these sizes, in at $100 with $5 each: their lots found no winner at $93
    and wait in the estate; `own` is the owner "both"'s."""
    bench = Bench(MarketSpec("100"), venue=VENUES[engine])
    bench.insure("1000")
    bench.account("sink", "1000000000")
    bench.account("other", "1000000000")
    for name, size in sizes.items():
        bench.account(name, 5 * size, owner="both" if name == own else None)
        bench.hold(name, 0, str(size), "100", against="sink")
    # The other side of them is no winner: in at $50.
    bench.trade("sink", 0, bench.lots(0, str(sum(sizes.values()))), bench.ticks(0, "100"))
    bench.trade("counterparty", 0, bench.lots(0, "100"), bench.ticks(0, "50"), against="other")
    bench.mark({0: "93"})
    for name in sizes:
        assert not closed(bench.liquidate(name, 200), *bench.finish())
    return bench


@ENGINES
@pytest.mark.parametrize("steps", [1, 3, 200])
def test_who_rises_between_two_rounds_of_an_epoch_is_first_in_the_next(
    engine: str, steps: int
) -> None:
    """The first round is over and the market is free; the last in the queue withdraws so much
    that it is the first. The second round is of the same epoch, at the same price and size."""
    bench = two_rounds(engine)
    ids = bench.ids
    txs = [bench.liquidate("bankrupt", steps), *bench.finish(steps)]
    assert closed(*txs) == [(ids["short0"], 200, 1)]
    bench.withdraw_to("short3", "19")
    txs = [bench.liquidate("next bankrupt", steps), *bench.finish(steps)]
    assert closed(*txs) == [(ids["short3"], 200, 1)]


@ENGINES
@pytest.mark.parametrize("steps", [1, 2, 200])
def test_an_own_winner_is_ranked_by_what_is_left_of_it(engine: str, steps: int) -> None:
    """Three lots of one round. The search for the first one has the owner of the second in hand,
    as the next in the queue; that lot closes half of it, outside of the ranking. What is left of
    it has half the leverage and stands behind everybody."""
    bench = lots_waiting(engine, {"first lot": 2, "own lot": 1, "last lot": 2}, own="own lot")
    for name, cash in (("top", "6"), ("own", "6.01"), ("second", "11"), ("third", "16")):
        bench.account(name, cash, owner="both" if name == "own" else None)
        bench.trade(name, 0, -200, bench.ticks(0, "97"))
    bench.mark({0: "90"})
    ids = bench.ids
    txs = [bench.retry(0, True, steps), *bench.finish(steps)]
    assert closed(*txs) == [
        (ids["top"], 200, 1), (ids["own"], 100, 0), (ids["second"], 200, 1),
    ]  # fmt: skip


@ENGINES
@pytest.mark.parametrize("steps", [1, 2, 200])
def test_who_is_left_of_a_lot_waits_behind_those_found_after_it(engine: str, steps: int) -> None:
    """Three lots of one round. The first one ends in the middle of "half", which stands behind the
    three of the second lot then; only there are these looked at. The third lot takes what is left
    of "half"."""
    bench = lots_waiting(engine, {"first lot": 3, "second lot": 3, "third lot": 3})
    for name, cash, size in (
        ("top", "6", 200), ("half", "15", 200), ("a", "10", 100), ("b", "10.01", 100),
        ("c", "10.02", 100),
    ):  # fmt: skip
        bench.account(name, cash)
        bench.trade(name, 0, -size, bench.ticks(0, "97"))
    bench.mark({0: "90"})
    ids = bench.ids
    txs = [bench.retry(0, True, steps), *bench.finish(steps)]
    assert closed(*txs) == [
        (ids["top"], 200, 1), (ids["half"], 100, 2),
        (ids["a"], 100, 1), (ids["b"], 100, 2), (ids["c"], 100, 3),
        (ids["half"], 100, 1),
    ]  # fmt: skip


@ENGINES
def test_what_a_pause_moves_of_who_trades_elsewhere_too(engine: str) -> None:
    """The first in the queue is long another market as well, for 40 times its equity. It may do
    nothing while the round is open; but an epoch that moves the other mark by 1% (the default
    limit) moves its equity by 40%, and its place. It gains what it would lose by the opposite
    move, and only if nobody works on the round in all that epoch."""
    closed_lots = {}
    for move in ("none", "101", "99.5"):
        bench = Bench(MarketSpec("100", leverage=50), MarketSpec("100", 50), venue=VENUES[engine])
        bench.account("bankrupt", "50")
        bench.hold("bankrupt", 0, "10", "100")
        bench.account("third", "9000")
        bench.hold("third", 0, "-1", "100")
        bench.hold("third", 1, "1", "100")
        for name, cash in (("both", "200"), ("next", "220")):
            bench.account(name, cash)
            bench.hold(name, 0, "-10", "100")
        bench.mark({0: "94"})
        bench.trade("both", 1, bench.lots(1, "104"), bench.ticks(1, "100"))
        assert bench.equity("both") == 260 * 10**6
        # The first one of three is looked at.
        txs = [bench.liquidate("bankrupt", 1)]
        assert bench.busy() and not closed(*txs)
        if move != "none":
            bench.mark({1: move})
        txs += bench.finish()
        names = {account: name for name, account in bench.ids.items()}
        closed_lots[move] = [(names[winner], size) for winner, size, _ in closed(*txs)]
        haircut = sum(f.haircut for tx in txs for f in tx.all("Deleveraged"))
        print(f"{engine}: other mark {move}: {closed_lots[move]}, haircut {haircut}")
        assert haircut == 10 * 10**6
    assert closed_lots == {
        "none": [("both", 1_000)], "101": [("next", 1_000)], "99.5": [("both", 1_000)],
    }  # fmt: skip


def test_a_formula_that_changes_in_the_middle_of_a_round_leaves_nobody_out() -> None:
    """The owner takes the formula back while a search waits: now everyone is opened, from the list
    of holders, of which the best winner is the first."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"), venue=VENUES["index"])
    for name, cash in (("best", "100"), ("third", "9000"), ("fourth", "9000")):
        bench.account(name, cash)
        bench.hold(name, 0, "-10", "100")
        if name != "best":
            bench.hold(name, 1, "1", "100")
    bench.account("bankrupt", "50")
    bench.hold("bankrupt", 0, "10", "100")
    bench.mark({0: "94"})
    txs = [bench.liquidate("bankrupt", 1)]
    assert bench.busy() and not closed(*txs)
    index, venue = bench.venue.contracts["index_ranking"], bench.venue
    bench.seen(index.send("set_formula", venue.score, 0, sender=venue.owner))
    assert closed(*txs, *bench.finish()) == [(bench.ids["best"], 1_000, 1)]


@ENGINES
@pytest.mark.parametrize("steps", [1, 200])
def test_who_is_closed_in_part_twice_is_in_hand_once(engine: str, steps: int) -> None:
    """Three lots of one round. What the first leaves of its winner is filed beside a twin, where
    the search has not been: it is looked at there, and in hand already. The second lot takes some
    of that; the third must not take the rest by the score from before, which is the twin's."""
    bench = lots_waiting(engine, {"first lot": 2, "second lot": 1, "last lot": 1})
    for name, size, cash in (("large", "5", "30"), ("twin", "0.3", "3.8"), ("next", "2", "30")):
        bench.account(name, cash)
        bench.trade(name, 0, -bench.lots(0, size), bench.ticks(0, "97"))
    bench.mark({0: "92"})
    txs = [bench.retry(0, True, steps), *bench.finish(steps)]
    ids = bench.ids
    assert closed(*txs) == [
        (ids["large"], 200, 1), (ids["large"], 100, 1), (ids["twin"], 30, 1), (ids["next"], 70, 2),
    ]  # fmt: skip
