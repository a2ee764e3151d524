"""The order in which winners are deleveraged, in exact rational arithmetic.

Owns the rule and nothing else: no buckets, no bounds, no cursor, no chain. What an engine hands out
must be this list.

Units: sizes in signed lots, money in micro-USDC, prices in ticks (micro-USDC a lot), scores as the
venue writes them, in 10^-18, rounded down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal

ScoreRule = Literal["hyperliquid_docs", "return_x_leverage"]

UNIT: Final = 10**18
LARGEST: Final = 2**256 - 1


@dataclass(frozen=True)
class Holder:
    """One position in the round's market, and the equity of the whole account; `inflow` of it came
    in during the round's epoch, and no score counts it."""

    account: int
    size: int
    quote: int
    equity: int
    inflow: int = 0


@dataclass(frozen=True)
class Demand:
    """What is to be closed: `size` lots of a bankrupt long or short at `price`, at this mark.

    `worth`: micro-USDC for which all of it closes, if that decides the price (bankruptcy); whole
    micro-USDC change hands, against the winner, so the price of what is left moves by a trifle.
    """

    is_long: bool
    size: int
    price: Fraction
    mark: int
    worth: int | None = None

    def without(self, size: int) -> Demand:
        """What is left after a close of `size` lots."""
        left = self.size - size
        if self.worth is None or not left:
            return replace(self, size=left)
        exact = Fraction(self.worth * size, self.size)
        worth = self.worth - (math.ceil(exact) if self.is_long else math.floor(exact))
        return replace(self, size=left, worth=worth, price=Fraction(worth, left))


def score(holder: Holder, mark: int, rule: ScoreRule) -> int:
    """Ratio of profit times leverage, whole units of 10^-18."""
    equity = holder.equity - holder.inflow
    if equity <= 0:
        return LARGEST
    lots = abs(holder.size)
    entry = Fraction(abs(holder.quote), lots)
    leverage = Fraction(lots * mark, equity)
    if rule == "hyperliquid_docs":
        ratio = mark / entry if holder.size > 0 else entry / mark
        return math.floor(ratio * leverage * UNIT)
    gain = (mark - entry if holder.size > 0 else entry - mark) / entry
    return max(math.floor(gain * leverage * UNIT), 1)


def bearable(holder: Holder, demand: Demand) -> int:
    """Lots that the holder can give up; 0: it is not eligible.

    Eligible is who is on the other side, in profit at the close price, and not below zero after it.
    """
    if holder.size == 0 or (holder.size > 0) == demand.is_long:
        return 0
    if holder.size * demand.price + holder.quote <= 0:
        return 0
    wanted = min(demand.size, abs(holder.size))
    cost = demand.price - demand.mark if demand.is_long else demand.mark - demand.price
    if holder.equity >= cost * wanted:
        return wanted
    return math.floor(holder.equity / cost) if cost > 0 and holder.equity > 0 else 0


def order(
    holders: Iterable[Holder], demand: Demand, rule: ScoreRule
) -> list[tuple[Holder, int, int]]:
    """Everyone eligible with score and profit at the mark: higher score first, then higher profit,
    then the lower account."""
    ranked = [
        (holder, score(holder, demand.mark, rule), holder.size * demand.mark + holder.quote)
        for holder in holders
        if bearable(holder, demand)
    ]
    return sorted(ranked, key=lambda row: (-row[1], -row[2], row[0].account))


def victims(
    holders: Iterable[Holder], demand: Demand, rule: ScoreRule
) -> list[tuple[int, int, int]]:
    """Account, lots and score of each close, in order, until nobody or nothing is left."""
    left = demand
    out = []
    for holder, rank, _ in order(holders, demand, rule):
        if not left.size:
            break
        size = bearable(holder, left)
        if size:
            out.append((holder.account, size, rank))
            left = left.without(size)
    return out
