"""Where an account is filed: that it stays is told by the edges in its node, and always truly."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Iterator

import pytest

from breakwater import artifacts, contract
from breakwater.bulk import LAST, Crowd, Row
from breakwater.contract import Contract
from breakwater.engine.revm import RevmEngine
from breakwater.engine.rpc import ANVIL_MISSING, start_anvil

LONG = os.environ.get("BREAKWATER_LONG", "") not in ("", "0")
TRIES = 40_000 if LONG else 1_500
SCALE = 10**9
APART = 2**256 - 1
MOST_SIZE, MOST_QUOTE, MOST_INDEX, MOST_CASH = 2**55 - 1, 2**79 - 1, 2**71 - 1, 2**127 - 1
Position = tuple[int, int, int, int]
"""Size, quote, index, cash."""


def deployed(name: str, *args: object) -> tuple[Contract, str]:
    """A contract of its own chain, and its only caller."""
    engine = RevmEngine()
    made = artifacts.load()[name]
    sender = engine.actor("clearinghouse")
    args = tuple(sender for _ in args)
    return contract.deploy(engine, name, made.abi, made.bytecode, args, sender=sender), sender


@pytest.fixture(scope="module")
def grid() -> Contract:
    return deployed("GridProbe")[0]


def packed(position: Position) -> int:
    size, quote, index, _ = position
    return size % 2**56 | quote % 2**80 << 56 | index % 2**72 << 136 | 7 << 208 | 99 << 216


def positions(draw: random.Random) -> Iterator[Position]:
    """Of every kind, and each with others beside it: a little or an edge away."""
    while True:
        lots = draw.choice([1, draw.randint(2, 20), draw.randint(1, 10**5), draw.randint(1, 2**55)])
        lots = min(lots, MOST_SIZE)
        # In 1/256 ticks.
        entry = draw.choice(
            [draw.randint(1, 300), draw.randint(1, 2**33), 1 << draw.randint(0, 32)]
        )
        notional = min(max(1, lots * entry // 256 + draw.randint(-1, 1)), MOST_QUOTE)
        size, quote = (lots, -notional) if draw.random() < 0.5 else (-lots, notional)
        index = draw.choice([0, draw.randint(-(2**30), 2**30), draw.randint(-(2**71), MOST_INDEX)])
        owed = size * index // SCALE
        cash = draw.choice(
            [
                round(notional * draw.uniform(-1.5, 3)) - owed,
                draw.randint(-100, 100),
                round(notional * 2.0 ** draw.uniform(-12, 15)) * draw.choice([1, -1]) - owed,
                draw.randint(-MOST_CASH, MOST_CASH),
            ]
        )
        cash = max(-MOST_CASH, min(MOST_CASH, cash))
        yield size, quote, index, cash
        yield size, quote, index, max(-MOST_CASH, cash - 1)
        yield size, quote - 1 if abs(quote - 1) <= MOST_QUOTE else quote, index, cash
        yield size, quote, index, min(MOST_CASH, cash + abs(quote) // 100)
        yield size, quote + quote // 50 if abs(quote) < 2**78 else quote, index, cash
        # At the edges of its margin's band, and of the next ones.
        step = draw.choice([512, 2**5, 2**11, 2**16])
        at = (cash * 65_536 // notional // step + draw.randint(0, 1)) * step
        for away in (-1, 0, 1, 2):
            edge = -(-at * notional // 65_536) - owed + away
            if abs(edge) <= MOST_CASH:
                yield size, quote, index, edge
        yield draw.choice([(0, 0, 0, cash), (size, 0, 0, cash), (size, -quote, index, cash)])


EXTREMES: list[Position] = [
    (s * MOST_SIZE, -s * q, i, c)
    for s in (1, -1)
    for q in (1, MOST_SIZE // 256, MOST_QUOTE)
    for i in (0, MOST_INDEX, -MOST_INDEX)
    for c in (0, MOST_CASH, -MOST_CASH)
] + [
    (s, -s * q, i, c)
    for s in (1, -1)
    for q in (1, 2**24 - 1, 2**24, MOST_QUOTE)
    for i in (0, MOST_INDEX, -MOST_INDEX)
    for c in (0, 1, 2, -(2**15), MOST_CASH, -MOST_CASH)
]


def test_edges_give_the_answer_of_computing_the_bucket(grid: Contract) -> None:
    draw = random.Random(20251010)
    source = positions(draw)
    tried = EXTREMES + [next(source) for _ in range(TRIES)]
    stays = leaves = 0
    before: list[int] = [0]
    for position in tried:
        code = grid.call("bucket_of", *position)
        market = draw.choice([0, 1, 63])
        ours = 0 if code == APART else ((2 * market + (position[0] > 0)) << 25 | code) + 1
        told = packed(position), position[3]
        for bucket in (ours, *before):
            answer = grid.call("stays", bucket, 1 << market, *told)
            assert answer == (bucket == ours != 0), f"STAYS: {position} in {bucket:x}, not {ours:x}"
            stays += answer
            leaves += not answer
        if ours:
            # Elsewhere, on the other side, in several markets or in none it does not.
            for active in (1 << (market ^ 1), 1 << 32, 1 << market | 1 << 7, 0):
                assert not grid.call("stays", ours, active, *told), f"STAYS: {active:x}"
            assert not grid.call("stays", ((ours - 1) ^ 1 << 25) + 1, 1 << market, *told)
            before = [*before[-3:], ours]
    assert stays > len(tried) // 3 and leaves > len(tried)


def test_whatever_is_touched_is_filed_where_it_belongs(grid: Contract) -> None:
    """The engine itself, told of random changes: one market, several, none, off the grid."""
    draw = random.Random(5)
    index, house = deployed("IndexRanking", "clearinghouse", "oracle")
    markets = (0, 1, 63)
    source = positions(draw)
    held: dict[int, dict[int, Position]] = {account: {} for account in range(1, 13)}
    most = 0
    for _ in range(TRIES // 2):
        account = draw.choice(list(held))
        legs = held[account]
        market = draw.choice(markets)
        leg = next(source)
        if market in legs and draw.random() < 0.3:
            del legs[market]
        elif leg[0] != 0:
            legs[market] = leg
        if len(legs) == 1:
            # What is told is then its only market, whichever has changed.
            (market,) = legs
        active = sum(1 << m for m in legs)
        leg = legs.get(market, (0, 0, 0, leg[3]))
        index.send("touch", account, active, market, packed(leg), leg[3], sender=house)
        if len(legs) > 1 and draw.random() < 0.3:
            # And its cash alone.
            index.send("touch", account, active, 64, 0, leg[3] // 2, sender=house)
        assert index.call("bucket_of", account) == filed(grid, legs), f"FILED: {account} {legs}"
        apart = [
            (m, leg[0] > 0)
            for other in held.values()
            if not filed(grid, other)
            for m, leg in other.items()
        ]
        for m, is_long in itertools.product(markets, (True, False)):
            count = index.call("apart_count", m, is_long)
            assert count == apart.count((m, is_long)), f"APART: {m} {is_long=}"
        most = max(most, len(apart))
    assert most > 12


def filed(grid: Contract, legs: dict[int, Position]) -> int:
    """The bucket of an account with these positions, as the engine numbers it; 0: none."""
    if len(legs) != 1:
        return 0
    ((market, leg),) = legs.items()
    code = grid.call("bucket_of", *leg)
    return 0 if code == APART else ((2 * market + (leg[0] > 0)) << 25 | code) + 1


@pytest.mark.skipif(shutil.which("anvil") is None, reason=ANVIL_MISSING)
def test_what_filing_costs() -> None:
    """Cold, by the node's own trace. Where an account stays it is one word read."""
    price = 1_000_000
    dearest = {110_000: 0, 170_000: 0}
    with start_anvil() as engine:
        crowd = Crowd(engine, [price, price])
        rows = [Row(0, 0, is_buy, 1_000, price, 100 * price) for is_buy in (True, False)]
        singles = crowd.trade(rows)
        # In both markets: apart, on both sides.
        rows = [each for row in rows for each in (row, Row(LAST, 1, not row.is_buy, 9, price, 0))]
        both = crowd.trade(rows)
        crowd.set_mark(price, price)
        for account in (*singles, *both):
            is_buy = account in (singles[0], both[0])
            before = crowd.index.call("bucket_of", account)
            assert (before != 0) == (account in singles)
            crowd.trade([Row(account, 0, is_buy, 1, price, 0)])
            assert crowd.index.call("bucket_of", account) == before
            assert 2_100 < crowd.filing_gas(account) <= 3_000, f"STAYS: {account}"
            # To another bucket; into a second market and out of it, or the other way round.
            for row in (
                Row(account, 0, is_buy, 1_000, price * 2, 0),
                Row(account, 1, is_buy, 9, price, 0),
                Row(account, 1, not is_buy, 9, price, 0),
            ):
                was = crowd.index.call("bucket_of", account)
                crowd.trade([row])
                # Apart in two markets it is in two lists, with a place in each.
                most = 110_000 if was and crowd.index.call("bucket_of", account) else 170_000
                used = crowd.filing_gas(account)
                dearest[most] = max(dearest[most], used)
                assert used <= most, f"MOVES: {account} {row}"
            assert crowd.index.call("bucket_of", account) != before or before == 0
    between, apart = dearest.values()
    print(f"\nfiling: {between:,} at most between buckets, {apart:,} into or out of two lists")
    assert between and apart
