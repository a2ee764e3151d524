"""Who is alone in a word of ticks, who gets company there and who is left behind: nobody may be
lost, listed twice or found out of order, in whichever order they come and leave.

The index keeps the only account of a band of a cell in the word of its ticks, and no list for it
until a second one comes. The first test reads the lists off the chain's storage after each of many
random changes, and finds each account once, where it belongs. The others let rounds and previews
search what real trades have filed. The last ones are about equal scores: those in hand are compared
by 192 bits of them first. BREAKWATER_LONG=1 tries more.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from breakwater import artifacts, contract
from breakwater.bulk import USDC, Crowd, Row, events_as_victims
from breakwater.engine.revm import RevmEngine
from breakwater.model import ranking
from tests.tranche import without_code
from tests.unit.ranking.test_filing import packed

LONG = os.environ.get("BREAKWATER_LONG", "") not in ("", "0")
SCALE = 10**9
ALONE, ID, NODE_ID = 2**255, 2**64 - 1, 2**48 - 1
APART = 2**256 - 1
PRICE = 1_000_000
"""Ticks: a lot is worth a dollar."""

X, Y = 0, 1
SCORES: tuple[ranking.ScoreRule, ...] = ("hyperliquid_docs", "return_x_leverage")
SOURCE = Path(__file__).resolve().parents[2] / "contracts" / "engines" / "IndexRanking.vy"


# --- The lists as they are in storage ------------------------------------------------------------


class Filing:
    """An index that is told by this test, and its lists as the chain has them."""

    def __init__(self) -> None:
        self.engine = RevmEngine()
        self.house = self.engine.actor("clearinghouse")
        made = artifacts.load()
        self.index, self.grid = (
            contract.deploy(
                self.engine, name, made[name].abi, made[name].bytecode, args, sender=self.house
            )
            for name, args in (("IndexRanking", (self.house, self.house)), ("GridProbe", ()))
        )
        layout = subprocess.run(
            [sys.executable, "-m", "vyper.cli.vyper_compile", "-f", "layout", str(SOURCE)],
            check=True,
            capture_output=True,
            text=True,
            cwd=SOURCE.parents[2],
        ).stdout
        self.slots = {name: of["slot"] for name, of in json.loads(layout)["storage_layout"].items()}

    def word(self, name: str, key: int) -> int:
        slot = self.slots[name].to_bytes(32, "big") + key.to_bytes(32, "big")
        return self._at(int.from_bytes(keccak(slot), "big"))

    def node(self, account: int) -> int:
        return self._at(self.slots["_nodes"] + account)

    def _at(self, slot: int) -> int:
        return int(self.engine._evm.storage(self.index.address, slot))

    def lists(self, sides: Iterator[int] | list[int]) -> dict[int, list[int]]:
        """Bucket -> its accounts, by the way that a search takes: cells, bands, ticks, lists. What
        is said of a bucket by no list must be nothing."""
        found: dict[int, list[int]] = {}
        for side in sides:
            for sign in (0, 1):
                for cell in bits(self.word("_cells", side << 1 | sign)):
                    cells = side << 9 | sign << 8 | cell
                    bands = self.word("_bands", cells)
                    assert bands, f"EMPTY: cell {cells:x}"
                    for band in bits(bands):
                        found |= self._ticks(cells << 8 | band)
        return found

    def _ticks(self, place: int) -> dict[int, list[int]]:
        word = self.word("_ticks", place)
        assert word, f"EMPTY: band {place:x}"
        if word & ALONE:
            key, account = place << 8 | (word >> 64 & 127), word & ID
            assert word == ALONE | (key & 127) << 64 | account
            assert self.word("_buckets", key) == 0, "ALONE: with a list"
            assert self.node(account) & (2**96 - 1) == 0, "ALONE: with neighbours"
            return {key: [account]}
        return {place << 8 | tick: self._list(place << 8 | tick) for tick in bits(word)}

    def _list(self, key: int) -> list[int]:
        ends = self.word("_buckets", key)
        account, last = ends >> 64, ends & ID
        assert account and last, f"EMPTY: bucket {key:x}"
        found: list[int] = []
        before = 0
        while account:
            assert account not in found, f"LOOP: bucket {key:x}"
            node = self.node(account)
            assert node >> 48 & NODE_ID == before, f"PREVIOUS: {account}"
            found.append(account)
            before, account = account, node & NODE_ID
        assert before == last, f"LAST: bucket {key:x}"
        return found


def bits(word: int) -> list[int]:
    return [i for i in range(word.bit_length()) if word >> i & 1]


def place(draw: random.Random, is_long: bool) -> tuple[int, int, int, int]:
    """A position in one of few words: the same cells and bands over and over, at their edges."""
    lots = 256 * draw.choice([1, 3, 1_000])
    # E in 1/256 ticks: cells of 1, 128 and 2^25 ticks; the first one, the last, some between.
    low, width = draw.choice([(7, 1), (15, 1), (16, 2), (128 << 7, 16 << 7), (8 << 26, 1 << 26)])
    entry = low + draw.choice([0, 0, width // 2, width * 5 // 128, width - 1])
    notional = lots * entry // 256
    # m: at both sides of zero, in the middle, at 1/16, at 2 and above it.
    margin = Fraction(
        draw.choice([-1, 0, 1, 20 * 32, 4_095, 4_096, 4_097, 2**17 - 1, 2**17, 2**20]), 65_536
    )
    index = draw.choice([0, 0, 10**9, -(10**9)])
    size, quote = (lots, -notional) if is_long else (-lots, notional)
    owed = size * index // SCALE
    return size, quote, index, -(-margin.numerator * notional // margin.denominator) - owed + 1


@pytest.mark.parametrize("seed", range(12) if LONG else range(3))
def test_everybody_is_in_one_list_whoever_comes_and_leaves(seed: int) -> None:
    draw = random.Random(seed)
    filing = Filing()
    markets = (0, 63)
    sides = [market << 1 | side for market in markets for side in (0, 1)]
    # First in, first out; as the index ought to have it.
    expected: dict[int, list[int]] = {}
    where: dict[int, int] = {}
    met: dict[str, int] = dict.fromkeys(
        ("alone", "together", "left behind", "moved within its word", "came back"), 0
    )
    accounts = [1, 2, 3, 4, 5, 2**48 - 1, 2**47]
    words: dict[int, set[int]] = {}
    for _ in range(6_000 if LONG else 700):
        account = draw.choice(accounts)
        active, market = 1 << draw.choice(markets), 0
        kind = draw.random()
        # A favourite word fills up; then others.
        if kind < 0.35 and where:
            key = where[draw.choice(list(where))] - 1
            active = 1 << (key >> 26)
            leg = within(filing, draw, key)
        else:
            leg = place(draw, draw.random() < 0.5)
        if kind > 0.85:
            active, leg = 0, (0, 0, 0, 5)
        elif kind > 0.8:
            active |= 1 << 7
        elif kind > 0.78:
            # Off the grid.
            leg = (256, -1, 0, -(2**40))
        market = active.bit_length() - 1 if active else draw.choice(markets)
        if active >> 7 & 1 and active != 1 << 7:
            market = 7
        filing.index.send(
            "touch", account, active, market, packed(leg), leg[3], sender=filing.house
        )
        ours = 0
        if active and active & active - 1 == 0:
            code = filing.grid.call("bucket_of", *leg)
            if code != APART:
                ours = ((2 * market + (leg[0] > 0)) << 25 | code) + 1
        was = where.pop(account, 0)
        if was != ours:
            if was:
                expected[was - 1].remove(account)
                if not expected[was - 1]:
                    del expected[was - 1]
                words[was - 1 >> 8].discard(account)
                met["left behind"] += len(words[was - 1 >> 8]) == 1
            if ours:
                met["came back"] += was != 0 and words.get(ours - 1 >> 8) == set()
                met["moved within its word"] += bool(was) and was - 1 >> 8 == ours - 1 >> 8
                words.setdefault(ours - 1 >> 8, set()).add(account)
                met["alone"] += len(words[ours - 1 >> 8]) == 1
                met["together"] += len(words[ours - 1 >> 8]) > 1
                expected.setdefault(ours - 1, []).append(account)
        if ours:
            where[account] = ours
        assert filing.index.call("bucket_of", account) == ours, f"FILED: {account} {leg}"
        assert filing.lists(sides) == expected, f"LISTS: {account} {was:x} to {ours:x}"
    assert min(met.values()) > 5, met


def within(filing: Filing, draw: random.Random, key: int) -> tuple[int, int, int, int]:
    """A position in the word of a bucket: the same cell and band, any tick."""
    is_long = key >> 25 & 1 == 1
    cell, band = key >> 16 & 511, key >> 8 & 255
    low, _, least = filing.grid.call("edges", cell << 16 | band << 8)
    # An eighth of the power of two that it is in.
    width = 1 << max(0, low.bit_length() - 4)
    entry = low + draw.choice([0, width - 1, draw.randrange(width)])
    lots = 256 * 1_000
    notional = lots * entry // 256
    size, quote = (lots, -notional) if is_long else (-lots, notional)
    return size, quote, 0, -(-least * notional // 65_536) + 1


# --- Searches over what trades have filed --------------------------------------------------------


def crowd_of(is_long: bool) -> Crowd:
    """A venue whose maker is on the other side of these winners, whatever they trade: one of them,
    who is out of profit, has far more than all others."""
    crowd = Crowd(RevmEngine(), [PRICE, PRICE])
    crowd.index.send("set_limits", 2**32 - 1, 0, sender=crowd.venue.owner)
    entry = 2 * PRICE if is_long else PRICE // 2
    crowd.trade([Row(0, X, is_long, 10**7, entry, 10**7 * PRICE * 2)])
    crowd.set_mark(PRICE, PRICE)
    return crowd


def previewed(crowd: Crowd, winners_long: bool, ticks: int, size: int = 10**6) -> list[Any]:
    """What a round would close now of the winners, at `ticks` a lot."""
    seen = crowd.venue.adl_lens.call("adl_preview_at", X, not winners_long, size, size * ticks)
    assert seen.done, "PREVIEW: no end"
    return [(f.winner, f.size, f.score, f.exact) for f in seen.fills]


def modelled(
    crowd: Crowd, winners_long: bool, ticks: int, score: ranking.ScoreRule, size: int = 10**6
) -> list[Any]:
    """The same of the model: all who hold the side, each once, in exact order."""
    demand = ranking.Demand(not winners_long, size, Fraction(ticks), crowd.prices[X], size * ticks)
    holders = crowd.holders(X, winners_long)
    return [(*victim, True) for victim in ranking.victims(holders, demand, score)]


def words_of(crowd: Crowd, accounts: list[int]) -> list[int]:
    """Cell and band of each, with its side; 0: it is in none."""
    filed = [crowd.index.call("bucket_of", account) for account in accounts]
    return [bucket and (bucket - 1 >> 8) + 1 for bucket in filed]


@pytest.mark.parametrize("ticks", [(0, 0, 0), (40_000, 700, 1_400), (40_000, 0, 40_000)])
@pytest.mark.parametrize("is_long", [True, False])
def test_who_is_left_in_a_word_is_found(is_long: bool, ticks: tuple[int, int, int]) -> None:
    """One, two, three in a word, who leave it in every order and come back in every order; before,
    between and after, a search finds all who are there."""
    crowd = crowd_of(is_long)
    entries = [PRICE + tick for tick in ticks]
    rows = [
        Row(0, X, is_long, 1_000, entry, 30 * entry + 100 * i) for i, entry in enumerate(entries)
    ]
    accounts: list[int] = []
    price = PRICE * (108 if is_long else 92) // 100

    def looks(held: set[int]) -> None:
        crowd.set_mark(price, PRICE)
        words = words_of(crowd, accounts)
        assert {a for a, word in zip(accounts, words, strict=True) if word} == held
        assert len(set(words) - {0}) <= 1, "they are to share a word"
        found = previewed(crowd, is_long, price)
        assert found == modelled(crowd, is_long, price, "hyperliquid_docs")
        assert sorted(account for account, *_ in found) == sorted(held)

    for row in rows:
        accounts += crowd.trade([row])
        looks(set(accounts))
    entered = dict(zip(accounts, entries, strict=True))
    orders = list(itertools.permutations(accounts))
    for leaving, coming in zip(orders, orders[1:] + orders[:1], strict=True):
        held = set(accounts)
        for account in leaving:
            crowd.trade([Row(account, X, not is_long, 1_000, entered[account], 0)])
            held.remove(account)
            looks(held)
        for account in coming:
            crowd.trade([Row(account, X, is_long, 1_000, entered[account], 0)])
            held.add(account)
            looks(held)


@pytest.mark.parametrize("seed", range(30) if LONG else range(4))
def test_searches_find_all_whatever_they_trade(seed: int) -> None:
    """Few accounts, few words: they open, add, close in part or in full, turn round, go to another
    market and come back. After each a search of either side is the model's."""
    draw = random.Random(seed)
    is_long = draw.random() < 0.5
    score = SCORES[seed % 2]
    crowd = crowd_of(is_long)
    crowd.configure("index", score, 0)
    accounts = crowd.trade(
        Row(
            0,
            X,
            is_long,
            1_000,
            PRICE + 600 * draw.randint(0, 3),
            draw.choice([30, 31, 70]) * PRICE,
        )
        for _ in range(5)
    )
    lone = shared = found = 0
    for _ in range(120 if LONG else 30):
        account = draw.choice(accounts)
        (position,) = crowd.venue.positions(X, [account])
        entry = PRICE + 600 * draw.randint(0, 3)
        kind = draw.random()
        if position.size == 0:
            row = Row(account, X, is_long ^ (draw.random() < 0.1), 1_000, entry, 0)
        else:
            side, size = position.size < 0, abs(position.size)
            if kind < 0.5:
                # Out at what it came in for: it can come back to where it was.
                row = Row(account, X, side, size, max(1, abs(position.quote) // size), 0)
            elif kind < 0.6:
                row = Row(account, X, side, size + 1_000, entry, 0)
            elif kind < 0.7:
                row = Row(account, X, side, draw.randint(1, size), entry, 0)
            elif kind < 0.85:
                row = Row(account, X, not side, draw.choice([1, 500]), entry, 0)
            elif kind < 0.95:
                row = Row(account, Y, draw.random() < 0.5, 10, PRICE, 0)
            else:
                row = Row(account, X, side, 1, entry, draw.randint(1, 10 * USDC))
        crowd.trade([row])
        (other,) = crowd.venue.positions(Y, [account])
        if other.size and draw.random() < 0.7:
            crowd.trade([Row(account, Y, other.size < 0, abs(other.size), PRICE, 0)])
        words = [word for word in words_of(crowd, accounts) if word]
        lone += sum(words.count(word) == 1 for word in words)
        shared += sum(words.count(word) > 1 for word in words)
        for winners_long in (True, False):
            mark = PRICE * (102 if winners_long else 98) // 100
            crowd.set_mark(mark, PRICE)
            seen = previewed(crowd, winners_long, mark)
            assert seen == modelled(crowd, winners_long, mark, score), f"ORDER: {winners_long=}"
            found += len(seen)
    assert min(lone, shared) > 5 and found > 50, (lone, shared, found)


@pytest.mark.parametrize("seed", range(40) if LONG else range(6))
def test_a_word_that_changes_in_the_middle_of_a_round(seed: int) -> None:
    """Lots of several bankrupts, of which each closes somebody in part: what is left of it goes to
    another word, where somebody may be alone, or leaves one behind, while the search waits from one
    call to the next. The scan, which knows no words, closes the same."""
    draw = random.Random(seed)
    is_long = seed % 2 == 0
    score = SCORES[seed // 2 % 2]
    crowd = crowd_of(is_long)
    engine, venue = crowd.engine, crowd.venue
    venue.insure(10**6 * USDC)
    crowd.configure("index", score, 0)
    keeper = engine.actor("keeper")
    accounts = populate(crowd, draw, is_long, [70, 150, 333, 700, 1_200], 28)
    words = words_of(crowd, accounts)
    alone = {word for word in words if words.count(word) == 1}
    assert alone and len(set(words)) < len(words)
    seen: dict[tuple[str, int], list[tuple[int, int, int]]] = {}
    for name, steps in (
        ("scan", itertools.repeat(200)),
        ("index", itertools.repeat(200)),
        ("index", itertools.repeat(1)),
        ("index", itertools.repeat(3)),
        ("index", (draw.randint(1, 12) for _ in itertools.count())),
    ):
        snap = engine.snapshot()
        crowd.configure(name, score, 0)
        txs = [venue.deleverager.send("retry", X, not is_long, next(steps), sender=keeper)]
        while venue.deleverager.call("is_busy"):
            txs.append(venue.deleverager.send("advance", next(steps), sender=keeper))
            assert len(txs) < 2_000, "STUCK"
        fills = [event for tx in txs for event in tx.all("Deleveraged")]
        assert all(fill.exact for fill in fills)
        seen[name, len(seen)] = events_as_victims(fills)
        if name == "index":
            held = [
                a for a, p in zip(accounts, venue.positions(X, accounts), strict=True) if p.size
            ]
            assert all(words_of(crowd, held))
        engine.revert(snap)
    first, *others = seen.values()
    assert all(other == first for other in others), f"ORDER: {seen}"
    # Somebody was closed in part, in all but one of the forty populations.
    assert (len({winner for winner, _, _ in first}) < len(first)) == (seed != 11)


@pytest.mark.parametrize("most", [0, 2])
@pytest.mark.parametrize("seed", range(30) if LONG else range(4))
def test_what_is_exact_is_first_where_the_slack_counts(seed: int, most: int) -> None:
    """With hardly anyone opened before the slack counts, winners are closed while words are half
    opened, and what is left of them joins whoever waits there. Each receipt has the score that its
    winner really had, within the slack of the best; and where it says exact, nobody preceded it."""
    draw = random.Random(seed)
    is_long = seed % 2 == 0
    score = SCORES[seed // 2 % 2]
    crowd = crowd_of(is_long)
    deleverager = crowd.venue.deleverager
    crowd.index.send("set_limits", most, 10**18, sender=crowd.venue.owner)
    crowd.venue.insure(10**6 * USDC)
    crowd.configure("index", score, 0)
    keeper = crowd.engine.actor("keeper")
    accounts = populate(crowd, draw, is_long, [70, 150, 333, 700], 14)
    assert accounts
    exact: list[bool] = []
    call: tuple[Any, ...] = ("retry", X, not is_long, 1)
    for _ in range(400):
        holders = crowd.holders(X, is_long)
        fills = deleverager.send(*call, sender=keeper).all("Deleveraged")
        for fill in fills[:1]:
            size, worth = fill.lot_size + fill.size, abs(fill.lot_worth) + fill.quote
            price = Fraction(worth, size)
            demand = ranking.Demand(not is_long, size, price, fill.mark, worth)
            order = ranking.order(holders, demand, score)
            assert fill.score == next(s for h, s, _ in order if h.account == fill.winner), "STALE"
            assert fill.score * 2 >= order[0][1], "SLACK"
            assert not fill.exact or fill.winner == order[0][0].account, "ORDER"
            exact.append(fill.exact)
        if not deleverager.call("is_busy"):
            break
        call = ("advance", 1)
    else:
        pytest.fail("STUCK")
    assert len(exact) > 8 and not all(exact)


def populate(
    crowd: Crowd, draw: random.Random, is_long: bool, lots: list[int], count: int
) -> list[int]:
    """Lots of bankrupts that wait in their estate, and then winners, in a few words of wide bands:
    with half of its lots one has about twice the margin."""
    keeper = crowd.engine.actor("keeper")
    bankrupts = crowd.trade(
        Row(0, X, not is_long, size, PRICE, size * PRICE // 50) for size in draw.choices(lots, k=12)
    )
    crowd.set_mark(PRICE * (107 if is_long else 93) // 100, PRICE)
    for account in bankrupts:
        tx = crowd.venue.liquidator.send("liquidate", account, 200, sender=keeper)
        assert not tx.all("Deleveraged") and not crowd.venue.deleverager.call("is_busy")
    margins = [draw.randint(80, 300) for _ in range(3)]
    rows = []
    for _ in range(count):
        size, entry = draw.choice([100, 500, 1_000]), PRICE + draw.choice([0, 600, 30_000, 140_000])
        margin = draw.choice(margins) * draw.choice([1, 2, 3]) + draw.randint(0, 5)
        rows.append(Row(0, X, is_long, size, entry, size * entry * margin // 1_000))
    accounts = crowd.trade(rows)
    crowd.set_mark(PRICE * (113 if is_long else 87) // 100, PRICE)
    return accounts


# --- Equal scores --------------------------------------------------------------------------------


@pytest.mark.parametrize("is_long", [True, False])
@pytest.mark.parametrize("steps", [1, 5, 200])
def test_many_equal_scores_go_by_profit_then_by_account(is_long: bool, steps: int) -> None:
    """Sixty of one score, of five profits, in hand at once."""
    draw = random.Random(3)
    crowd = crowd_of(is_long)
    multiples = [draw.randint(1, 5) for _ in range(60)]
    accounts = crowd.trade(
        Row(0, X, is_long, 10 * k, PRICE, 50 * k * PRICE // 100) for k in multiples
    )
    total = 10 * sum(multiples)
    (bankrupt,) = crowd.trade([Row(0, X, not is_long, total - 35, PRICE, total * PRICE // 50)])
    crowd.set_mark(PRICE * (103 if is_long else 97) // 100, PRICE)
    fills = crowd.liquidate(bankrupt, itertools.repeat(steps))
    assert len({fill.score for fill in fills}) == 1 and all(fill.exact for fill in fills)
    by_profit = sorted(zip(multiples, accounts, strict=True), key=lambda row: (-row[0], row[1]))
    expected = [account for _, account in by_profit]
    assert [fill.winner for fill in fills] == expected[: len(fills)] and len(fills) >= 55


@pytest.mark.parametrize("is_long", [True, False])
def test_who_is_below_zero_is_infinite_and_goes_by_profit(is_long: bool) -> None:
    """Winners closed far beyond the mark are eligible with an equity of zero or less: all of them
    have the largest score there is, and in 192 bits so has the index's bound."""
    draw = random.Random(4)
    crowd = crowd_of(is_long)
    rows = []
    for i in range(40):
        # With what it lost, less or more: an equity of zero, one unit below it, far above it.
        size, entry = draw.choice([100, 100, 200, 300]), PRICE + 100 * (i % 3)
        lost = size * (entry - PRICE // 2 if is_long else PRICE * 3 // 2 - entry)
        cash = lost + draw.choice([-(10**6), -1, 0, 0, 1, 10**7])
        rows.append(Row(0, X, is_long, size, entry, cash))
    accounts = crowd.trade(rows)
    crowd.set_mark(PRICE // 2 if is_long else PRICE * 3 // 2, PRICE)
    far = 2 * PRICE if is_long else 0
    size = sum(row.size for row in rows)
    for score in SCORES:
        crowd.configure("index", score, 0)
        seen = previewed(crowd, is_long, far, size)
        assert seen == modelled(crowd, is_long, far, score, size)
        infinite = [account for account, _, rank, _ in seen if rank == 2**256 - 1]
        assert len(set(infinite) & set(accounts)) > 15
        assert len(seen) > 30


def handed_out(crowd: Crowd, winners_long: bool, ticks: int) -> list[int]:
    """Whom a search for lots that close at `ticks` names, one after the other, all exactly, where
    nobody is closed in between; with one step to a transaction each ends after four looks."""
    index, adl = crowd.index, crowd.venue.deleverager.address
    rule, mark = crowd.venue.deleverager.call("score_rule"), crowd.prices[X]
    found: list[int] = []
    with without_code(crowd.engine, adl):
        query = (X, winners_long, mark, ticks, 1, 1_000, 2**40, rule, False)
        index.send("begin", query, sender=adl)
        for _ in range(500):
            pick = index.call("next", 1, sender=adl)
            index.send("next", 1, sender=adl)
            if pick.account:
                assert pick.exact
                found.append(pick.account)
            elif not pick.more:
                return found
    raise AssertionError("SEARCH: no end")


@pytest.mark.parametrize("seed", range(20) if LONG else range(3))
@pytest.mark.parametrize("is_long", [True, False])
def test_a_search_that_pauses_among_equal_bounds_leaves_nobody_out(
    is_long: bool, seed: int
) -> None:
    """By return x leverage whoever is out of profit at the mark has a score of 1, or an infinite
    one below zero: where a lot closes beyond the mark a search meets words full of equal bounds,
    and its transaction may end in the middle of one."""
    draw = random.Random(seed)
    crowd = crowd_of(is_long)
    rows = []
    for i in range(70):
        entry, margin = PRICE + 700 * i, draw.choice([20, 20, 25, 150])
        rows.append(Row(0, X, is_long, 1_000, entry, entry * margin + draw.randint(0, 9)))
    accounts = crowd.trade(rows)
    k = draw.randint(20, 30)
    mark = PRICE + 700 * (k if is_long else 70 - k)
    crowd.set_mark(mark, PRICE)
    crowd.configure("index", "return_x_leverage", 0)
    far = PRICE * (115 if is_long else 85) // 100
    expected = modelled(crowd, is_long, far, "return_x_leverage")
    scores = [score for _, _, score, _ in expected]
    assert scores.count(1) >= 3 <= scores.count(2**256 - 1) and len(set(scores)) > 10
    assert {account for account, *_ in expected} >= set(accounts)

    assert handed_out(crowd, is_long, far) == [account for account, *_ in expected]


@pytest.mark.parametrize("company", range(1, 6))
def test_a_search_that_pauses_at_the_turning_point_leaves_nobody_out(company: int) -> None:
    """By return x leverage bounds of shorts rise up to a turning point, at 4/3 of the mark for a
    margin of 1/8. Where that is the very edge between two buckets both come to the same: a search
    may pause between them, and must go on with the other one."""
    crowd = crowd_of(False)
    mark, edge = 51 << 14, 68 << 14
    crowd.set_mark(edge, PRICE)
    entries = [edge - 100, *(edge + 100 + i for i in range(company))]
    accounts = crowd.trade(Row(0, X, False, 1_000, entry, 126 * entry) for entry in entries)
    first, *others = (crowd.index.call("bucket_of", account) for account in accounts)
    assert set(others) == {first + 1}, "they are to be in two buckets, next to each other"
    crowd.set_mark(mark, PRICE)
    crowd.configure("index", "return_x_leverage", 0)
    expected = [account for account, *_ in modelled(crowd, False, mark, "return_x_leverage")]
    assert sorted(expected) == sorted(accounts)
    assert handed_out(crowd, False, mark) == expected


@pytest.mark.parametrize("shift", [0, 104, 160, 184, 192, 216])
def test_scores_of_any_size_are_compared_in_full(shift: int) -> None:
    """Somebody else's rule: equity times a power of two, up to the largest number there is. Those
    that do not fit in 192 bits are equal in the heap at first sight."""
    crowd = crowd_of(False)
    draw = random.Random(shift)
    # calldata: a selector, then is_long, notional, entry_notional, pnl, equity ...
    code = bytes([0x60, 0x84, 0x35, 0x60, shift, 0x1B, 0x5F, 0x52, 0x60, 0x20, 0x5F, 0xF3])
    created = bytes([0x60, len(code), 0x60, 0x09, 0x5F, 0x39, 0x60, len(code), 0x5F, 0xF3])
    created = bytes([*created[:3], len(created), *created[4:]])
    rule = crowd.engine.deploy(created + code, crowd.venue.owner)
    crowd.venue.deleverager.send("set_policy", rule, 0, sender=crowd.venue.owner)
    cash = [30 * PRICE + draw.choice([0, 1, 2, 3, 2**20]) for _ in range(40)]
    accounts = crowd.trade(Row(0, X, False, 1_000, PRICE, each) for each in cash)
    (bankrupt,) = crowd.trade([Row(0, X, True, 35_500, PRICE, 35_500 * PRICE // 50)])
    crowd.set_mark(PRICE * 97 // 100, PRICE)
    # 60 million; nothing of it is lost above the top.
    equity = [each + 1_000 * (PRICE * 3 // 100) for each in cash]
    by_score = sorted(zip(equity, accounts, strict=True), key=lambda row: (-row[0], row[1]))
    for steps in (1, 9, 200):
        snap = crowd.engine.snapshot()
        fills = crowd.liquidate(bankrupt, itertools.repeat(steps))
        assert [(f.winner, f.score) for f in fills] == [
            (account, each << shift) for each, account in by_score
        ][: len(fills)]
        assert len(fills) >= 36 and all(f.exact for f in fills)
        crowd.engine.revert(snap)
