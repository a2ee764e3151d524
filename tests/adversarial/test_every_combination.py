"""Every allowed combination of score, allocation, close price and engine, on random populations:
what the receipts say is what the ledger did, to the micro-USDC, and nobody is harmed whom the rule
may not touch.

The populations have what is awkward: dust, equals, accounts in two markets that lose or gain there,
funding that is due, fresh deposits, winners whose bankruptcy price is negative and such as can bear
almost nothing, own accounts of the bankrupt, and a bankrupt whose other leg wins.
"""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from typing import Any

import pytest

from breakwater.contract import Contract
from breakwater.venue import ALLOCATIONS, CLOSE_RULES, FORMULAS
from tests.unit.allocations.planning import SCORES
from tests.unit.lens.test_adl_lens import VENUES
from tests.vectors.bench import Bench, MarketSpec

SEEDS = range(12) if os.environ.get("BREAKWATER_LONG", "") not in ("", "0") else range(2)
COMBINATIONS = [
    (score, allocation, close, engine)
    for score, allocation, close in itertools.product(SCORES, ALLOCATIONS, CLOSE_RULES)
    # An allocation ranks by an engine only where it refuses a side for its size.
    for engine in (("scan", "index") if allocation == "queue" else ("scan",))
]


def population(draw: random.Random, longs: bool) -> Bench:
    """A crowd on the winners' side around $100, and a bankrupt on the other one."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"), venue=VENUES["index"], check=False)
    sign = 1 if longs else -1
    bench.insure(draw.choice(["1", "100000"]))
    bench.account("sink", "1000000000000")
    bench.account("friend", "1000", owner="friends")
    wanted = draw.randint(13, 30)
    bench.account("bankrupt", wanted * draw.randint(6, 9) + 15, owner="friends")
    bench.trade("bankrupt", 0, -sign * wanted * 100, 1_000_000)
    # A leg that wins a little, or loses.
    bench.trade("bankrupt", 1, draw.choice([-1, 1]) * 100, 1_000_000)
    before = ("1", "100", "50")
    for i in range(draw.randint(6, 16)):
        entry = 1_000_000 - sign * draw.randint(-250_000, 300_000)
        lots = draw.choice([1, 2, draw.randint(3, 900), draw.randint(3, 900)])
        # From next to nothing to more than the position is worth.
        cash = draw.choice(["30", "900", "25000"])
        row = (str(lots), str(entry), cash)
        if draw.random() < 0.25:
            row = before
        before = row
        name = f"w{i}"
        bench.account(name, str(int(row[2]) + int(row[0])))
        bench.trade(name, 0, sign * int(row[0]), int(row[1]))
        if draw.random() < 0.35:
            bench.trade(name, 1, draw.choice([-1, 1]) * draw.randint(1, 40), 1_000_000)
    bench.trade("friend", 0, sign * draw.randint(1, 300), 1_000_000)
    # The other side of all this is no winner.
    size, _ = bench.position("counterparty", 0)
    if size * sign > 0:
        bench.trade("counterparty", 0, -size, 1_000_000, against="sink")
    for _ in range(draw.randint(1, 3)):
        bench.hour()
    step = sign * draw.randint(3, 12)
    bench.mark({0: str(100 + step)})
    bench.mark({0: str(100 + step + sign * draw.randint(9, 14)), 1: draw.choice(["80", "103"])})
    for name in bench.ids:
        if name.startswith("w"):
            margin = bench.margin(name)
            free = margin.equity - max(margin.initial, -(-margin.notional // 10))
            if free > 0 and draw.random() < 0.4:
                bench.send("clearinghouse", "withdraw", name, bench.ids[name], free)
            elif draw.random() < 0.3:
                bench.deposit(name, "77.000001")
    # An hour has ended that nobody has accrued.
    bench.engine.wait(draw.choice([1, 3_500]))
    bench.ledger.check(anew=True)
    return bench


def engines(bench: Bench) -> dict[tuple[str, str], Contract]:
    """By allocation and engine."""
    out = {("queue", name): bench.venue.contracts[f"{name}_ranking"] for name in VENUES}
    for allocation, name in ALLOCATIONS.items():
        if name is not None:
            cap = [300_000] if allocation == "capped_pro_rata" else []
            out[allocation, "scan"] = bench.deploy(name, bench.venue.clearinghouse, 200, *cap)
    return out


def state(bench: Bench) -> dict[int, tuple[tuple[int, int], tuple[int, int], int]]:
    """Size and quote in either market, and the cash, of every trader by account."""
    return {
        account: (bench.position(name, 0), bench.position(name, 1), bench.cash(name))
        for name, account in bench.ids.items()
    }


def holds(bench: Bench, close: str, draw: random.Random) -> int:
    """The rounds of one bankrupt; gives the number of fills in the first market."""
    before, names = state(bench), {account: name for name, account in bench.ids.items()}
    bench.checking = True
    txs = [bench.liquidate("bankrupt", draw.choice([1, 7, 40, 220]))]
    while bench.busy():
        txs.append(bench.advance(draw.choice([1, 5, 220])))
    bench.checking = False
    after = state(bench)
    fills = [fill for tx in txs for fill in tx.all("Deleveraged")]
    lots, money = Counter[tuple[int, int]](), Counter[int]()
    for fill in fills:
        # The winners of a long bankrupt are short: they buy.
        sign = 1 if fill.is_long else -1
        lots[fill.winner, fill.market] += sign * fill.size
        money[fill.winner] -= sign * fill.quote
        assert fill.haircut == sign * (fill.quote - fill.size * fill.mark)
        size, quote = before[fill.winner][fill.market]
        assert size * sign < 0, f"{names[fill.winner]} was on the bankrupt's side, or nowhere"
        price, of = {
            "bankruptcy": (max(-sign * fill.lot_worth, 0), fill.lot_size),
            "previous_mark": (fill.previous_mark, 1),
            "mark": (fill.mark, 1),
        }[close]
        assert size * price + quote * of > 0, f"{names[fill.winner]} was closed out of profit"
    for tx in txs:
        for event in tx.all("FundingSettled"):
            money[event.account] -= event.paid
    winners = {fill.winner for fill in fills}
    for account, name in names.items():
        if name == "bankrupt":
            assert after[account] == ((0, 0), (0, 0), 0)
        elif account not in winners:
            assert after[account] == before[account], f"{name} was touched"
        else:
            for market in (0, 1):
                was, size = before[account][market][0], after[account][market][0]
                assert size == was + lots[account, market], name
                assert size * was >= 0, f"{name} was turned round"
            assert bench.equity(name) >= 0, f"{name} ends below zero"
            moved = worth(after[account]) - worth(before[account])
            assert moved == money[account], f"{name}: receipts and ledger differ"
    for end in (event for tx in txs for event in tx.all("RoundClosed")):
        estate = bench.estate(end.market, end.is_long)
        left = abs(bench.venue.clearinghouse.call("position", estate, end.market)[0])
        assert end.needed == end.taken + end.netted + left
        mine = [fill for fill in fills if fill.market == end.market]
        assert end.taken == sum(fill.size for fill in mine)
        assert end.residual == end.insurance + end.uninsured
    return sum(fill.market == 0 for fill in fills)


def worth(row: tuple[tuple[int, int], tuple[int, int], int]) -> int:
    """Cash and quotes."""
    return row[0][1] + row[1][1] + row[2]


@pytest.mark.parametrize("longs", [True, False], ids=["long winners", "short winners"])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_combination_conserves(seed: int, longs: bool) -> None:
    draw = random.Random(f"{seed} {longs}")
    bench = population(draw, longs)
    owner = bench.venue.owner
    asked = engines(bench)
    scores: dict[str, Any] = {"hyperliquid_docs": bench.venue.score}
    for rule, name in SCORES.items():
        scores.setdefault(rule, None)
        if scores[rule] is None:
            scores[rule] = bench.deploy(name)
            if rule in FORMULAS:
                bench.venue.contracts["index_ranking"].send(
                    "set_formula", scores[rule], FORMULAS[rule], sender=owner
                )
    assert bench.equity("bankrupt") < 0
    base, reached = bench.engine.snapshot(), 0
    for score, allocation, close, engine in COMBINATIONS:
        deleverager = bench.venue.deleverager
        deleverager.send("set_policy", scores[score], CLOSE_RULES[close], sender=owner)
        deleverager.send(
            "set_engine", asked[allocation, engine], asked["queue", "scan"], sender=owner
        )
        try:
            reached += bool(holds(bench, close, draw))
        except AssertionError as wrong:
            raise AssertionError(f"{score} {allocation} {close} {engine}: {wrong}") from wrong
        bench.engine.revert(base)
        base = bench.engine.snapshot()
        bench.ledger.enumerate()
    assert reached == len(COMBINATIONS), "a combination closed nobody"
