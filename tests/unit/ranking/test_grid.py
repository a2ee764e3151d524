"""The grid of the index: nobody's score is above the bound of the bucket in which it is filed.

Random positions of any leverage, dust to 2^40 lots, cash of either sign, funding that was settled
and funding that was not, at random marks and close prices, compared in integers. BREAKWATER_LONG=1
tries fifty times as many.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from fractions import Fraction
from math import ceil, floor

import pytest

from breakwater import artifacts, contract
from breakwater.contract import Contract
from breakwater.engine.revm import RevmEngine
from breakwater.model import ranking

LONG = os.environ.get("BREAKWATER_LONG", "") not in ("", "0")
TRIES = 150_000 if LONG else 3_000
SCALE = 10**9
INFINITE, APART = 2**192 - 1, 2**256 - 1
FORMULA: dict[ranking.ScoreRule, int] = {"hyperliquid_docs": 1, "return_x_leverage": 2}


@pytest.fixture(scope="module")
def grid() -> Contract:
    engine = RevmEngine()
    made = artifacts.load()["GridProbe"]
    sender = engine.actor("owner")
    return contract.deploy(engine, made.name, made.abi, made.bytecode, (), sender=sender)


def prices(
    rule: ranking.ScoreRule, is_long: bool, mark: int, index: int, close: Fraction
) -> tuple[int | bool, ...]:
    """As the engine rounds them: against the winner, and the limit outward."""
    shifted = Fraction(mark * 2**24) - Fraction(index * 2**24, SCALE)
    return (
        FORMULA[rule],
        is_long,
        mark * 256,
        floor(shifted) if is_long else ceil(shifted),
        ceil(close * 256) if is_long else floor(close * 256),
    )


def equity(size: int, quote: int, settled: int, cash: int, mark: int, index: int) -> int:
    """As the clearinghouse counts it: what is owed is rounded up."""
    return cash + size * mark + quote - -(-size * (index - settled) // SCALE)


def test_no_score_is_above_the_bound_of_its_bucket(grid: Contract) -> None:
    draw = random.Random(20251010)
    seen = finite = tight = 0
    for _ in range(TRIES):
        mark = draw.choice(
            [draw.randint(1, 60), draw.randint(1_000, 9_000), draw.randint(1, 2**22)]
        )
        is_long = draw.random() < 0.5
        entry = max(1, round(mark * draw.choice([draw.uniform(0.3, 3), draw.gauss(1, 0.03)])))
        lots = draw.choice([1, draw.randint(1, 20), draw.randint(1, 10**5), draw.randint(1, 2**40)])
        # Off tick, as after adding and closing in part.
        notional = lots * entry + draw.choice([0, draw.randint(0, lots)])
        size, quote = (lots, -notional) if is_long else (-lots, notional)
        settled = round(mark * draw.choice([0, draw.gauss(0, 0.02), draw.gauss(0, 0.5)]) * SCALE)
        index = settled + round(mark * draw.choice([0, draw.gauss(0, 0.01)]) * SCALE)
        # Cash that leaves an equity of a leverage from 1 to 1,000, or just any.
        wanted = max(1, round(lots * mark / 10 ** draw.uniform(-0.5, 3)))
        cash = wanted - equity(size, quote, settled, 0, mark, index) + draw.randint(-1, 1)
        if draw.random() < 0.3:
            cash = round(notional * draw.uniform(-0.9, 2))
        close = mark * Fraction(draw.randint(900_000, 1_100_000), 10**6)
        code = grid.call("bucket_of", size, quote, settled, cash)
        assert code != APART
        low, high, least = grid.call("edges", code)
        assert low * lots <= notional * 256 < high * lots, "GRID: entry outside of its bucket"
        free = Fraction((cash - 1) * SCALE + size * settled, SCALE)
        assert Fraction(least, 65_536) * notional <= free, "GRID: margin below its band"
        holder = ranking.Holder(1, size, quote, equity(size, quote, settled, cash, mark, index))
        if size * close + quote <= 0:
            continue
        for rule in FORMULA:
            asked = prices(rule, is_long, mark, index, close)
            bucket, cell = grid.call("bounds", code, asked)
            score = ranking.score(holder, mark, rule)
            assert bucket == INFINITE or score <= bucket, f"BOUND: {rule} {score} > {bucket}"
            assert bucket <= cell, "BOUND: a bucket above its cell"
            seen += 1
            finite += bucket != INFINITE
            tight += bucket != INFINITE and score * 3 > bucket * 2
    # The bounds say something: most are finite, and close to the score.
    assert seen > TRIES / 2 and finite > seen * 0.6 and tight > finite * 0.5, (seen, finite, tight)


def test_what_waits_of_a_band_is_never_below_what_is_left_of_it(grid: Contract) -> None:
    """A band in a cell is parted into runs, each of which waits with its first bucket only."""
    draw = random.Random(7)
    several, plateau = Counter[int](), 0
    for _ in range(TRIES // 3):
        mark = draw.randint(1_000, 2**20)
        is_long = draw.random() < 0.5
        rule = draw.choice(list(FORMULA))
        # The funding index reaches the mark in no market that anyone trades in.
        index = round(
            mark * draw.choice([0, *(draw.gauss(0, 0.05) for _ in range(3)), 1.2]) * SCALE
        )
        close = mark * Fraction(draw.randint(900_000, 1_100_000), 10**6)
        entry = max(1, round(mark * draw.choice([draw.uniform(0.5, 2), draw.gauss(1, 0.03)])))
        cash = round(1_000 * entry * draw.choice([draw.uniform(0, 0.03), draw.uniform(-0.2, 2)]))
        size, quote = (1_000, -1_000 * entry) if is_long else (-1_000, 1_000 * entry)
        code = grid.call("bucket_of", size, quote, 0, cash)
        asked = prices(rule, is_long, mark, index, close)
        bounds, below, rises = grid.call("runs", code >> 16, (code >> 8) & 255, asked)
        start, _, _ = grid.call("edges", code >> 8 << 8)
        # Who is out of profit is not there, and not every bucket has someone.
        left = [t for t, bound in enumerate(bounds) if bound and draw.random() < 0.7]

        def take(down: bool, within: range, left: list[int] = left) -> int | None:
            found = [tick for tick in left if tick in within]
            if not found:
                return None
            left.remove(found[-1 if down else 0])
            return found[-1 if down else 0]

        # Each run: whether it goes down, and its bucket that waits.
        lower, upper = range(below), range(below, len(bounds))
        runs: list[tuple[bool, int | None]] = []
        if is_long:
            upper = range(len(bounds))
            if rises:
                runs.append((True, take(True, upper)))
        elif below:
            if start < mark * 256:
                runs.append((False, take(False, lower)))
            runs.append((True, take(True, lower)))
        runs.append((False, take(False, upper)))
        several[len(runs)] += 1
        before = (INFINITE + 1, 0)
        while True:
            # Of equal ones the higher tick of longs, the lower one of shorts.
            waiting = {
                (bounds[tick], tick if is_long else -tick): (number, down, tick)
                for number, (down, tick) in enumerate(runs)
                if tick is not None
            }
            if not waiting:
                break
            key = max(waiting)
            number, down, tick = waiting[key]
            assert key < before, f"GRID: opened out of order, {rule} {is_long=}"
            assert not left or key[0] >= max(bounds[t] for t in left), f"GRID: {rule} {is_long=}"
            before = key
            plateau += len(left) > 1 and bounds[left[0]] == bounds[left[1]] == key[0]
            runs[number] = (down, take(down, range(tick) if down else range(tick + 1, 128)))
        assert not left, "GRID: a bucket that no run comes to"
    assert min(several[1], several[2], several[3], plateau) > TRIES / 100, (several, plateau)


def test_of_equal_bounds_at_the_turning_point_none_comes_too_late(grid: Contract) -> None:
    """Shorts by return x leverage without funding: at a margin of 1/8 the turning point is 4/3 of
    the mark, at 9/16 it is 8/5, and so on the edge of a bucket at many marks. A run goes down from
    the bucket that begins there, so that has to be above the one that ends there."""
    edges = 0
    for multiple in range(1, 512):
        for part, whole, margin in ((3, 4, 1 << 13), (5, 8, 9 << 12)):
            mark, entry = part * multiple << 6, whole * multiple << 6
            # A notional of 2^16 lots at the entry, and one micro-USDC more than its margin.
            code = grid.call("bucket_of", -(2**16), entry << 16, 0, margin * entry + 1)
            low, _, least = grid.call("edges", code)
            if low != entry * 256 or code & 255 == 0:
                continue
            assert least == margin
            asked = prices("return_x_leverage", False, mark, 0, Fraction(mark))
            bounds, below, _ = grid.call("runs", code >> 16, (code >> 8) & 255, asked)
            assert below == (code & 255) + 1
            assert bounds[below - 1] == max(bounds), "GRID: the turning point is the top"
            assert bounds[below - 1] > bounds[below - 2], f"GRID: {mark} {margin}"
            edges += 1
    assert edges > 500, edges


def test_where_a_long_has_nothing_but_its_profit_the_bucket_at_the_mark_waits_too(
    grid: Contract,
) -> None:
    """A margin of zero, no funding, a lot that closes at the mark: bounds fall up to there, and the
    last one is infinite."""
    for mark in (1_000, 4_001, 30_011, 999_983):
        code = grid.call("bucket_of", 1_000, -1_000 * (mark - 1), 0, 1)
        asked = prices("return_x_leverage", True, mark, 0, Fraction(mark))
        bounds, _, rises = grid.call("runs", code >> 16, (code >> 8) & 255, asked)
        left = [bound for bound in bounds if bound]
        assert left[-1] == INFINITE > left[0] > left[-2]
        assert rises, "GRID: opened from below, the infinite one comes last"


def test_what_is_off_the_grid_is_apart(grid: Contract) -> None:
    for position in (
        (0, 0, 0, 5),  # flat
        (10, 0, 0, 5),  # for nothing
        (10, 5, 0, 5),  # a long that was paid
        (-10, -5, 0, 5),
        (1_000, -1, 0, 5),  # below 1/256 of a tick
        (1, -(2**24), 0, 5),  # above the largest price
        (1, -1, 0, -(2**40)),  # a debt beyond 2^15 times its notional
        (2**55 - 1, -1, 2**70, 2**126),
    ):
        assert grid.call("bucket_of", *position) == APART, position


def test_the_ends_of_a_word_are_found(grid: Contract) -> None:
    draw = random.Random(11)
    for place in range(256):
        bit = 1 << place
        above = (draw.getrandbits(256) >> place << place | bit) & (2**256 - 1)
        below = draw.getrandbits(256) & (bit - 1) | bit
        assert grid.call("ends", bit) == (place, place)
        assert grid.call("ends", above) == (place, above.bit_length() - 1)
        assert grid.call("ends", below) == ((below & -below).bit_length() - 1, place)


def test_who_can_bear_a_lot_is_eligible_and_nobody_else(grid: Contract) -> None:
    """The index asks only whether, the Deleverager how much: the same rule, at the edges of the
    ledger too."""
    draw = random.Random(12)
    seen = {True: 0, False: 0}
    for _ in range(TRIES):
        mark = draw.choice([1, draw.randint(1, 5_000), 2**24 - 1])
        denominator = draw.choice([1, draw.randint(1, 10**4), 2**54])
        numerator = round(denominator * mark * draw.choice([0, 1, draw.uniform(0.8, 1.2)]))
        size = draw.choice([0, 1, draw.randint(1, 10**6), 2**55 - 1]) * draw.choice([1, -1])
        quote = -round(size * mark * draw.uniform(0.7, 1.3)) + draw.randint(-1, 1)
        winners_long = draw.random() < 0.5
        lots = draw.choice([1, draw.randint(1, 10**6), 2**55 - 1])
        # Next to what one lot and what all of it costs.
        loss = mark * denominator - numerator
        part = draw.choice([1, min(lots, abs(size))])
        equity = draw.choice(
            [
                abs(loss) * part // denominator * draw.choice([1, -1]) + draw.randint(-1, 1),
                draw.randint(-(10**9), 10**9),
                draw.choice([1, -1]) * (2**127 - 1),
            ]
        )
        asked = (size, quote, equity, winners_long, mark, numerator, denominator, lots)
        bearable, eligible = grid.call("eligible", *asked)
        assert eligible == (bearable > 0), asked
        seen[eligible] += 1
    assert min(seen.values()) > TRIES / 20, seen
