"""Attacks on the ranking, in figures: dust in the bucket that straddles the close price, dust in
the best bucket, filing somebody else, splitting, ties, a score that the index does not know.

All on a venue whose book trades for many at a time; every position is a real fill. The dust is 400
accounts a crowd here and 4,000 in the long form (BREAKWATER_LONG=1).
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest

from breakwater.bulk import LAST, USDC, Crowd, Row, events_as_victims
from breakwater.engine.base import Reverted
from breakwater.engine.revm import RevmEngine
from breakwater.engine.rpc import start_anvil
from breakwater.model import ranking

LONG = os.environ.get("BREAKWATER_LONG", "") not in ("", "0")
DUST = 4_000 if LONG else 400
PRICE = 1_000_000
"""Ticks: a lot is worth a dollar."""

MARK = 900_000
X, Y = 0, 1


@pytest.fixture
def crowd() -> Crowd:
    return Crowd(RevmEngine(), [PRICE, PRICE])


def short(size: int, entry: int, cash: int) -> Row:
    return Row(0, X, False, size, entry, cash)


def bankrupt(crowd: Crowd, size: int, margin: int = 50) -> int:
    """A long from $1 that is below zero at the mark of $0.90: its bankruptcy price is $0.98."""
    (account,) = crowd.trade([Row(0, X, True, size, PRICE, size * PRICE // margin)])
    crowd.set_mark(MARK, PRICE)
    return account


def close(
    crowd: Crowd, account: int, engine: str, steps: Any = None, score: str = "hyperliquid_docs"
) -> list[Any]:
    """The receipts of the round under an engine; the chain is as before."""
    snap = crowd.engine.snapshot()
    crowd.configure(engine, score, 0)
    fills = crowd.liquidate(account, steps or itertools.repeat(256))
    crowd.engine.revert(snap)
    return fills


def test_dust_losers_next_to_the_close_price_are_passed_once(crowd: Crowd) -> None:
    # Short from $0.97, close price $0.98: out of profit there, at 50 times leverage next to it.
    crowd.trade([short(10, 979_990 + i % 10, 10 * 979_990 // 60) for i in range(DUST)], page=40)
    winners = crowd.trade([short(100, PRICE, (3 + i) * USDC) for i in range(3)])
    account = bankrupt(crowd, 250)
    for steps in (256, 64):
        fills = close(crowd, account, "index", itertools.repeat(steps))
        assert [(e.winner, e.size, e.exact) for e in fills] == [
            (winners[0], 100, True),
            (winners[1], 100, True),
            (winners[2], 50, True),
        ]
        # A quarter of a step for each loser at most, whatever the number of calls.
        assert len(crowd.txs) <= (DUST // 4 + 50) // steps + 3
        assert crowd.house.call("frozen_markets") == 0 or steps


def test_dust_winners_in_the_best_bucket_are_found_in_exact_order(crowd: Crowd) -> None:
    count = 300
    crowd.index.send("set_limits", 1_000, 0, sender=crowd.venue.owner)
    opened = crowd.trade([short(1, PRICE, 21_000 + i) for i in range(count)], page=40)
    whale = crowd.trade([short(10_000, PRICE, 10_000 * 19_000)])
    account = bankrupt(crowd, 10_040)
    fills = close(crowd, account, "index")
    assert events_as_victims(fills) == events_as_victims(close(crowd, account, "scan"))
    # The least cash, the highest score; the whale has more leverage than any dust.
    assert [e.winner for e in fills] == whale + opened[:40]
    assert all(e.exact for e in fills)


def test_beyond_the_limit_of_opened_accounts_the_slack_counts_and_the_receipt_says_so(
    crowd: Crowd,
) -> None:
    owner = crowd.venue.owner
    count = 3 * 64
    crowd.trade([short(1, PRICE, 21_000 + i) for i in range(count)], page=40)
    account = bankrupt(crowd, 60)
    exact = close(crowd, account, "index")
    assert all(e.exact for e in exact)
    crowd.index.send("set_limits", 64, 10**18 // 4, sender=owner)
    fills = close(crowd, account, "index", itertools.repeat(32))
    assert len(fills) == 60
    assert not any(e.exact for e in fills)
    best = max(e.score for e in exact)
    # Enforced at the pop: none is further below the best than the slack.
    assert all(e.score * 5 >= best * 4 for e in fills)
    # Without slack it goes on until the order is exact, however long that takes.
    crowd.index.send("set_limits", 64, 0, sender=owner)
    fills = close(crowd, account, "index", itertools.repeat(32))
    assert events_as_victims(fills) == events_as_victims(exact)
    assert all(e.exact for e in fills)


def test_more_in_hand_than_is_kept_is_found_again(crowd: Crowd) -> None:
    """Forty steps a call, 160 candidates kept: who was left out is looked for once more."""
    crowd.index.send("set_limits", 10_000, 0, sender=crowd.venue.owner)
    opened = crowd.trade([short(1, PRICE, 21_000 + i) for i in range(300)], page=40)
    account = bankrupt(crowd, 200)
    fills = close(crowd, account, "index", itertools.repeat(40))
    assert [e.winner for e in fills] == opened[:200]
    assert all(e.exact for e in fills)


@pytest.mark.parametrize("score", ["hyperliquid_docs", "return_x_leverage"])
def test_equal_scores_go_by_profit_and_then_by_the_lower_account(crowd: Crowd, score: str) -> None:
    rows = [short(100 * k, PRICE, 5 * k * USDC) for k in (1, 3, 2, 3, 1)]
    one, three, two, other, last = crowd.trade(rows)
    account = bankrupt(crowd, 1_000)
    for engine in ("scan", "index"):
        fills = close(crowd, account, engine, score=score)
        assert len({e.score for e in fills[:5]}) == 1
        assert [e.winner for e in fills] == [three, other, two, one, last]


def test_a_winner_who_splits_is_closed_for_as_much(crowd: Crowd) -> None:
    """One of 1,000 lots or ten of 100: the same lots are closed, a lot for lot."""
    crowd.trade([short(1_000, PRICE, 900 * USDC)])
    snap = crowd.engine.snapshot()
    crowd.trade([short(1_000, PRICE, 30 * USDC)])
    whole = close(crowd, bankrupt(crowd, 700), "index")
    crowd.engine.revert(snap)
    parts = crowd.trade([short(100, PRICE, 3 * USDC) for _ in range(10)])
    split = close(crowd, bankrupt(crowd, 700), "index")
    assert [e.winner for e in split] == parts[:7]
    assert sum(e.size for e in split) == sum(e.size for e in whole) == 700
    assert {e.score for e in split} == {e.score for e in whole}


def test_filing_somebody_else_changes_nothing(crowd: Crowd) -> None:
    engine = crowd.engine
    accounts = crowd.trade([short(100, PRICE, 5 * USDC), short(50, PRICE, 9 * USDC)])
    both = crowd.trade([short(100, PRICE, 5 * USDC), Row(LAST, Y, True, 10, PRICE, 0)])
    account = bankrupt(crowd, 120)
    expected = events_as_victims(close(crowd, account, "scan"))
    filed = [crowd.index.call("bucket_of", a) for a in accounts + both]
    assert filed[0] and filed[1] and not filed[2]
    assert crowd.index.call("apart_count", X, False) == 1
    for who in (*accounts, *both):
        for _ in range(2):
            crowd.index.send("refile", who, sender=engine.actor("stranger"))
    assert [crowd.index.call("bucket_of", a) for a in accounts + both] == filed
    assert crowd.index.call("apart_count", X, False) == 1
    assert events_as_victims(close(crowd, account, "index")) == expected
    # In the middle of a round too.
    crowd.configure("index", "hyperliquid_docs", 0)
    keeper = engine.actor("keeper")
    txs = [crowd.venue.liquidator.send("liquidate", account, 2, sender=keeper)]
    while crowd.venue.deleverager.call("is_busy"):
        for who in (*accounts, *both):
            crowd.index.send("refile", who, sender=engine.actor("stranger"))
        txs.append(crowd.venue.deleverager.send("advance", 1, sender=keeper))
    assert events_as_victims([e for tx in txs for e in tx.all("Deleveraged")]) == expected


def test_estates_and_the_vault_are_not_filed(crowd: Crowd) -> None:
    account = bankrupt(crowd, 120)
    stranger = crowd.engine.actor("stranger")
    for other in (1, crowd.house.call("estate", X, True), 10**6):
        with pytest.raises(Reverted, match="ranking: not a trader's account"):
            crowd.index.send("refile", other, sender=stranger)
    with pytest.raises(Reverted, match="ranking: clearinghouse only"):
        crowd.index.send("touch", account, 1, X, 0, 0, sender=stranger)
    for name in ("index_ranking", "scan_ranking"):
        engine = crowd.venue.contracts[name]
        query = (X, False, MARK, 1, 1, 1, 1, crowd.venue.score.address, False)
        for call in (("begin", query), ("next", 1)):
            with pytest.raises(Reverted, match="ranking: deleverager only"):
                engine.send(*call, sender=stranger)


def test_only_the_owner_sets_limits_and_formulas(crowd: Crowd) -> None:
    stranger, owner = crowd.engine.actor("stranger"), crowd.venue.owner
    for call in (("set_limits", 1, 1), ("set_formula", crowd.venue.score, 0)):
        with pytest.raises(Reverted, match="ownable: caller is not the owner"):
            crowd.index.send(*call, sender=stranger)
    for call, reason in (
        (("set_limits", 1, 10**18 + 1), "slack above one"),
        (("set_limits", 2**32, 1), "limit out of range"),
        (("set_formula", crowd.venue.score, 3), "unknown formula"),
    ):
        with pytest.raises(Reverted, match=f"ranking: {reason}"):
            crowd.index.send(*call, sender=owner)
    with pytest.raises(Reverted, match="clearinghouse: already wired"):
        crowd.house.send("wire_index", crowd.index, sender=owner)
    with pytest.raises(Reverted, match="clearinghouse: deployer only"):
        crowd.house.send("wire_index", crowd.index, sender=stranger)


def test_a_score_that_the_index_does_not_know_is_ranked_right(crowd: Crowd) -> None:
    """It has no bounds for it, so it opens everyone."""
    owner = crowd.venue.owner
    for score in crowd.scores.values():
        crowd.index.send("set_formula", score, 0, sender=owner)
    crowd.trade([short(100, PRICE + 9 * i, (5 + i) * USDC) for i in range(30)])
    account = bankrupt(crowd, 1_000)
    for score in crowd.scores:
        scan = close(crowd, account, "scan", score=score)
        for steps in (256, 7, 1):
            fills = close(crowd, account, "index", itertools.repeat(steps), score=score)
            assert events_as_victims(fills) == events_as_victims(scan)
            assert all(e.exact for e in fills)


def test_the_engine_may_be_changed_in_the_middle_of_a_round(crowd: Crowd) -> None:
    crowd.trade([short(100, PRICE, (5 + i) * USDC) for i in range(12)])
    account = bankrupt(crowd, 1_000)
    expected = events_as_victims(close(crowd, account, "index"))
    keeper, owner = crowd.engine.actor("keeper"), crowd.venue.owner
    names = itertools.cycle(["scan_ranking", "index_ranking"])
    txs = [crowd.venue.liquidator.send("liquidate", account, 20, sender=keeper)]
    while crowd.venue.deleverager.call("is_busy"):
        engine = crowd.venue.contracts[next(names)]
        crowd.venue.deleverager.send("set_engine", engine, engine, sender=owner)
        txs.append(crowd.venue.deleverager.send("advance", 20, sender=keeper))
    assert events_as_victims([e for tx in txs for e in tx.all("Deleveraged")]) == expected


def test_several_markets_are_ranked_by_marks_of_this_moment(crowd: Crowd) -> None:
    """Filed when its other market stood well; since then that one has eaten its equity."""
    single = crowd.trade([short(100, PRICE, 5 * USDC)])
    both = crowd.trade([short(100, PRICE, 50 * USDC), Row(LAST, Y, True, 100, PRICE, 0)])
    (account,) = crowd.trade([Row(0, X, True, 150, PRICE, 150 * PRICE // 50)])
    crowd.set_mark(MARK, PRICE)
    assert [e.winner for e in close(crowd, account, "index")] == single + both
    crowd.set_mark(MARK, 500_000)
    for engine in ("scan", "index"):
        fills = close(crowd, account, engine)
        assert [e.winner for e in fills] == both + single
        assert all(e.exact for e in fills)
    assert crowd.index.call("is_complete", X, False)
    demand = crowd.demand(fills, 0, 0)
    assert ranking.victims(crowd.holders(X, False), demand, "hyperliquid_docs") == (
        events_as_victims(fills)
    )


def test_who_is_in_the_bucket_of_the_close_price_is_looked_at(crowd: Crowd) -> None:
    """A tick beyond it: in profit there, though the bucket begins out of profit."""
    (winner,) = crowd.trade([short(100, 980_001, 10 * USDC)])
    account = bankrupt(crowd, 50)
    for engine in ("scan", "index"):
        assert next(e.winner for e in close(crowd, account, engine)) == winner
    # The maker of the longs, a short from $1 without a limit to its money, comes last.
    assert crowd.index.call("bucket_of", winner) != 0


def test_margin_that_is_lost_or_gained_moves_who_is_filed(crowd: Crowd) -> None:
    first, second = crowd.trade([short(100, PRICE, 5 * USDC), short(100, PRICE, 6 * USDC)])
    account = bankrupt(crowd, 100)
    assert [e.winner for e in close(crowd, account, "index")] == [first]
    filed = crowd.index.call("bucket_of", second)
    # Its cash falls by $5.50: same entry, same size, now the highest leverage.
    crowd.set_mark(PRICE, PRICE)
    crowd.trade([Row(second, X, False, 50, PRICE, 0), Row(second, X, True, 50, PRICE + 110_000, 0)])
    assert crowd.index.call("bucket_of", second) != filed
    crowd.set_mark(MARK, PRICE)
    for engine in ("scan", "index"):
        assert [e.winner for e in close(crowd, account, engine)] == [second]


def test_a_score_that_only_equals_a_bound_is_not_handed_out(crowd: Crowd) -> None:
    """At a close price below the mark, winners out of profit at the mark all score 1, the bound of
    all their buckets too: profit decides between them, so all are opened first."""
    entries = [860_000, 870_000, 880_000, 890_000]
    winners = crowd.trade([short(100, entry, 80 * USDC) for entry in entries])
    (account,) = crowd.trade([Row(0, X, True, 350, PRICE, 350 * PRICE // 50)])
    crowd.set_mark(850_000, PRICE)
    crowd.set_mark(MARK, PRICE)
    seen = []
    for engine in ("scan", "index"):
        snap = crowd.engine.snapshot()
        crowd.configure(engine, "return_x_leverage", 1)
        fills = crowd.liquidate(account, itertools.repeat(256))
        crowd.engine.revert(snap)
        seen.append([(e.winner, e.size, e.score) for e in fills if e.score == 1])
    assert seen[0] == seen[1]
    assert [winner for winner, _, _ in seen[1]] == winners[::-1][: len(seen[1])] != []


@pytest.mark.parametrize("close_rule", [0, 2])
def test_a_call_of_the_dearest_steps_fits_in_one_transaction(close_rule: int) -> None:
    """A fill and the end of its lot in every three steps: lots of one each, of bankrupts that found
    no winner, meet one large winner an epoch later. With the mark as the close price each leaves a
    loss for insurance. Gas as anvil measures it."""
    with start_anvil() as engine:
        crowd = Crowd(engine, [PRICE])
        crowd.venue.insure(10**6 * USDC)
        crowd.configure("index", "hyperliquid_docs", close_rule)
        # With this short from $0.50 the maker is long: nobody is in profit at first.
        crowd.trade([short(10**6, PRICE // 2, 10**6 * PRICE)])
        keeper = engine.actor("keeper")
        # Of 40 owners: with one for all each lot would begin with a cheap look at the others.
        opened = [
            crowd.venue.open_account(engine.actor(f"long{i}"), PRICE // 50) for i in range(40)
        ]
        crowd.trade([Row(account, X, True, 1, PRICE, 0) for account in opened])
        crowd.set_mark(MARK)
        for account in opened:
            tx = crowd.venue.liquidator.send("liquidate", account, 200, sender=keeper)
        assert tx.all("Deleveraged") == [] and not crowd.venue.deleverager.call("is_busy")
        crowd.trade([short(10**6, PRICE, 10**6 * PRICE // 3)])
        crowd.set_mark(PRICE * 88 // 100)
        used = []
        for steps in (3, 90):
            snap = engine.snapshot()
            tx = crowd.venue.deleverager.send("retry", X, True, steps, sender=keeper)
            used.append((tx.receipt.gas_used or 0, len(tx.all("LotSettled"))))
            engine.revert(snap)
        (base, few), (total, many) = used
        assert few >= 1 and many >= 28
        a_step = (total - base) // (3 * (many - few))
        # 220 of them, at most that many in a call, and a fixed part.
        assert base + 222 * a_step < 16_777_216, f"{a_step} a step"


@pytest.mark.parametrize("kind", ["dust", "bands", "apart"])
def test_a_call_of_looks_fits_in_one_transaction(kind: str) -> None:
    """Nobody is closed, all steps are looks: at dust in one bucket, each better than the last, so
    that each climbs past all in hand; at accounts each in a bucket of its own; at accounts apart
    with as many legs as there may be. Gas as anvil measures it."""
    with start_anvil() as engine:
        crowd = Crowd(engine, [PRICE] * (8 if kind == "apart" else 1))
        if kind == "dust":
            # One band of margins.
            rows = [short(1, PRICE, 21_960 - i) for i in range(470)]
        elif kind == "bands":
            # Of one score, about 5/3, whatever they entered at: so nobody is proved for long.
            entries = [PRICE + i * PRICE // 600 for i in range(600)]
            rows = [short(100, entry, 90 * PRICE - 40 * entry) for entry in entries]
        else:
            rows = []
            for i in range(40):
                rows.append(short(100, PRICE, 1_000 * USDC - i))
                rows += [Row(LAST, market, True, 100, PRICE, 0) for market in range(1, 8)]
        crowd.trade(rows, page=16)
        (account,) = crowd.trade([Row(0, X, True, 50, PRICE, 50 * PRICE // 50)])
        crowd.set_mark(MARK, *[PRICE] * (len(crowd.prices) - 1))
        crowd.configure("index", "hyperliquid_docs", 0)
        crowd.index.send("set_limits", 2**32 - 1, 0, sender=crowd.venue.owner)
        # As many in hand, in both, as are written down.
        few, many = (10, 35) if kind == "apart" else (100, 140)
        used = []
        for steps in (few, many):
            snap = engine.snapshot()
            keeper = engine.actor("keeper")
            tx = crowd.venue.liquidator.send("liquidate", account, steps, sender=keeper)
            used.append(tx.receipt.gas_used or 0)
            assert crowd.venue.deleverager.call("is_busy") and not tx.all("Deleveraged")
            engine.revert(snap)
        a_step = (used[1] - used[0]) // (many - few)
        assert 0 < a_step < 75_000, f"{a_step} a step"
        # With the fixed part: as many in hand as are written down.
        assert used[0] + (222 - few) * a_step < 16_777_216, f"{a_step} a step"
