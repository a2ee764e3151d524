"""Auto-deleveraging as a rule: score, eligibility, order or shares, size and quote of a close.

A lot is netted against the other estate, then closed against its own owner's winners, then against
the ranking.

Owns the rule and nothing else. Prices, scores and shares are exact fractions, rounded where the
venue writes them down: a score to 10^-18 (what is ranked is the written score), a share to whole
lots, money to micro-USDC. No account, ledger or chain is touched.

Units: sizes in signed lots, money in micro-USDC, prices in ticks (micro-USDC a lot).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal

CloseRule = Literal["bankruptcy", "previous_mark", "mark"]
ScoreRule = Literal["hyperliquid_docs", "return_x_leverage", "binance", "profit"]
Allocation = Literal["queue", "pro_rata_pnl", "pro_rata_size", "capped_pro_rata", "drain_leverage"]

SCORE_ONE: Final = 10**18
"""A score of 1 as the venue writes it down, rounded down."""

UNBOUNDED: Final = 2**256 - 1
"""What the venue writes for the score of an account with nothing left."""

WALLET_FLOOR: Final = 10**6
"""`binance`: a wallet below 1 USDC counts as this much."""


@dataclass(frozen=True)
class Standing:
    """One trader's position in the round's market; equity, cash and maintenance of its account.

    The last two matter to the score `binance` alone. `inflow` came in during the round's epoch: it
    is in equity and cash, and no score or share counts it.
    """

    account: int
    size: int
    quote: int
    equity: int
    cash: int = 0
    maintenance: int = 0
    inflow: int = 0

    @property
    def weighed(self) -> int:
        """The equity that a score or a share is computed from."""
        return self.equity - self.inflow

    def profit(self, price: Fraction | int) -> Fraction:
        """Unrealised profit of the position at a price."""
        return self.size * Fraction(price) + self.quote


@dataclass(frozen=True)
class Lot:
    """What is left of one bankrupt: `worth` is what the estate paid (-) or received (+)."""

    bankrupt: int
    is_long: bool
    size: int
    worth: int

    @property
    def bankruptcy_price(self) -> Fraction:
        """The price a lot at which it ends with nothing."""
        return Fraction(abs(self.worth), self.size)


@dataclass(frozen=True)
class Fill:
    """One close. `haircut`: what the winner lost against the mark, negative if it gained. `rank` 0:
    it is the bankrupt's own owner's."""

    winner: int
    size: int
    quote: int
    rank: int
    score: int
    haircut: int
    lot_size: int
    lot_worth: int


@dataclass(frozen=True)
class Netting:
    """`size` lots of a long and of a short estate exchanged for `quote`; the lots after it."""

    size: int
    quote: int
    long: Lot
    short: Lot


@dataclass(frozen=True)
class Settlement:
    """The end of a lot's turn: its value at the mark, which goes out of it, gain or loss."""

    unfilled: int
    surplus: int
    residual: int


def hyperliquid_docs(standing: Standing, mark: int) -> Fraction | None:
    """Profit ratio times leverage: mark/entry for a long, entry/mark for a short, times N/AV.

    None stands for no bound: an account whose equity is not above zero.
    """
    if standing.weighed <= 0:
        return None
    notional = Fraction(abs(standing.size) * mark)
    entry_notional = max(abs(standing.quote), 1 if standing.size > 0 else 0)
    ratio = notional / entry_notional if standing.size > 0 else entry_notional / notional
    return ratio * notional / standing.weighed


def return_x_leverage(standing: Standing, mark: int) -> Fraction | None:
    """Profit over entry notional, times N/AV; 0 for who is out of profit at the mark."""
    if standing.weighed <= 0:
        return None
    profit = max(standing.profit(mark), Fraction(0))
    return profit / max(abs(standing.quote), 1) * abs(standing.size) * mark / standing.weighed


def binance(standing: Standing, mark: int) -> Fraction | None:
    """max(0, profit) / max(1 USDC, cash) * maintenance / equity; below 0: not eligible."""
    if standing.weighed <= 0:
        return Fraction(-1)
    profit = max(standing.profit(mark), Fraction(0))
    wallet = max(standing.cash - standing.inflow, WALLET_FLOOR)
    return profit / wallet * standing.maintenance / standing.weighed


def profit(standing: Standing, mark: int) -> Fraction | None:
    """Unrealised profit at the mark in USDC: the template for a rule of one's own."""
    return max(standing.profit(mark), Fraction(0)) / 10**6


SCORES: Final[Mapping[ScoreRule, Callable[[Standing, int], Fraction | None]]] = {
    "hyperliquid_docs": hyperliquid_docs,
    "return_x_leverage": return_x_leverage,
    "binance": binance,
    "profit": profit,
}
"""Each answers None for no bound, and below 0 for an account that it does not let be closed."""


def written_score(standing: Standing, mark: int, score: ScoreRule = "hyperliquid_docs") -> int:
    """The score as the venue writes it: 10^-18 units, rounded down, at least 1; 0: not eligible."""
    exact = SCORES[score](standing, mark)
    if exact is None:
        return UNBOUNDED
    if exact < 0:
        return 0
    # The template has its floor at one micro-USDC of profit.
    least = 10**12 if score == "profit" else 1
    return max(math.floor(exact * SCORE_ONE), least)


def close_price(lot: Lot, rule: CloseRule, previous_mark: int, mark: int | None = None) -> Fraction:
    """The price a lot at which winners are closed, exact.

    At the mark a winner loses nothing against it: what the lot lacks is its residual, which
    insurance pays up to its limit and the rest of which is uninsured (`settle`).
    """
    if rule == "bankruptcy":
        return lot.bankruptcy_price
    if rule == "previous_mark":
        return Fraction(previous_mark)
    if mark is None:
        raise ValueError("to close at the mark takes the mark")
    return Fraction(mark)


def bearable(standing: Standing, lot: Lot, mark: int, rule: CloseRule, previous_mark: int) -> int:
    """Lots that a winner can give up to the lot; 0: it is not eligible.

    Eligible is who stands on the other side, is in profit at the close price, and has an equity of
    zero or more after the fill. Who can bear only part is closed in part.
    """
    if standing.size == 0 or (standing.size > 0) == lot.is_long:
        return 0
    price = close_price(lot, rule, previous_mark, mark)
    if standing.profit(price) <= 0:
        return 0
    wanted = min(lot.size, abs(standing.size))
    # Against the mark: a short that must buy above it loses, a long that must sell below it.
    loss_a_lot = price - mark if lot.is_long else mark - price
    if standing.equity - loss_a_lot * wanted >= 0:
        return wanted
    if loss_a_lot <= 0 or standing.equity <= 0:
        return 0
    return math.floor(standing.equity / loss_a_lot)


def quote_of(
    lot: Lot, size: int, rule: CloseRule, previous_mark: int, mark: int | None = None
) -> int:
    """micro-USDC for `size` lots, rounded against the winner.

    A winner pays (bankrupt long) rounded up, and receives (bankrupt short) rounded down. The last
    fill of a lot takes all that is left.
    """
    exact = close_price(lot, rule, previous_mark, mark) * size
    return math.ceil(exact) if lot.is_long else math.floor(exact)


def ranked(
    standings: Iterable[Standing],
    lot: Lot,
    mark: int,
    rule: CloseRule,
    previous_mark: int,
    score: ScoreRule = "hyperliquid_docs",
) -> list[Standing]:
    """The eligible winners: higher score first, then higher profit at the mark, then lower id.

    Scores are compared as the venue writes them, so two that differ by less than 10^-18 are equal.
    """
    eligible = [
        s
        for s in standings
        if bearable(s, lot, mark, rule, previous_mark) and written_score(s, mark, score)
    ]
    return sorted(eligible, key=lambda s: precedence(s, mark, score))


def precedence(standing: Standing, mark: int, score: ScoreRule) -> tuple[int, Fraction, int]:
    """Sorts the first one to be closed to the front."""
    return (
        -written_score(standing, mark, score),
        -standing.profit(mark),
        standing.account,
    )


def net(long: Lot, short: Lot, mark: int) -> Netting | None:
    """Exchanges two lots as far as both go, if that leaves neither below zero; None if it would.

    At the mark, or at the nearer one of the two bankruptcy prices. Whole micro-USDC: the least that
    the long must get is rounded up, the most that the short may pay down.
    """
    size = min(long.size, short.size)
    if not size or short.worth < 0:
        return None
    least = math.ceil(Fraction(max(-long.worth, 0), long.size) * size)
    most = math.floor(Fraction(short.worth, short.size) * size)
    if least > most:
        return None
    quote = min(max(size * mark, least), most)
    return Netting(
        size,
        quote,
        replace(long, size=long.size - size, worth=long.worth + quote),
        replace(short, size=short.size - size, worth=short.worth - quote),
    )


def overshoot(before: Lot, after: Lot) -> int:
    """What winners paid for a lot beyond the part of its bankruptcy value that they took."""
    taken = before.size - after.size
    if not taken:
        return 0
    if before.is_long:
        part = math.ceil(Fraction(max(-before.worth, 0) * taken, before.size))
        return after.worth - before.worth - part
    part = math.floor(Fraction(max(before.worth, 0) * taken, before.size))
    return part - (before.worth - after.worth)


def close_lot(
    lot: Lot,
    standings: Iterable[Standing],
    mark: int,
    rule: CloseRule,
    previous_mark: int,
    page: int | None = None,
    score: ScoreRule = "hyperliquid_docs",
    allocation: Allocation = "queue",
    largest_share: Fraction = Fraction(1),
    own: Sequence[int] = (),
) -> tuple[list[Fill], Lot]:
    """Closes a lot against the winners. Returns the fills and what is left.

    Under `queue` greedy in rank order, after the accounts `own`, in that order; `page` is how many
    winners are closed before all are ranked anew, as the venue does with what is left of the lot;
    None: never. Under any other allocation each winner gives up its part at once, in the order of
    `standings`.
    """
    fills: list[Fill] = []
    if allocation != "queue":
        parts = plan(standings, lot, mark, rule, previous_mark, score, allocation, largest_share)
        for standing, size in parts:
            fill, lot = close_winner(
                lot, standing, size, len(fills) + 1, mark, rule, previous_mark, score
            )
            fills.append(fill)
        return fills, lot
    current = {standing.account: standing for standing in standings}
    for account in own:
        mine = current.get(account)
        if not lot.size or mine is None or not written_score(mine, mark, score):
            continue
        size = bearable(mine, lot, mark, rule, previous_mark)
        if size:
            fill, lot = close_winner(lot, mine, size, 0, mark, rule, previous_mark, score)
            fills.append(fill)
            current[account] = after_close(mine, fill, mark)
    served = len(fills)
    while lot.size:
        queue = ranked(current.values(), lot, mark, rule, previous_mark, score)
        for standing in queue[:page]:
            if not lot.size:
                break
            size = bearable(standing, lot, mark, rule, previous_mark)
            if not size:
                continue
            fill, lot = close_winner(
                lot, standing, size, len(fills) - served + 1, mark, rule, previous_mark, score
            )
            fills.append(fill)
            current[standing.account] = after_close(standing, fill, mark)
        if page is None or len(queue) <= page:
            break
    return fills, lot


def close_winner(
    lot: Lot,
    standing: Standing,
    size: int,
    rank: int,
    mark: int,
    rule: CloseRule,
    previous_mark: int,
    score: ScoreRule = "hyperliquid_docs",
) -> tuple[Fill, Lot]:
    """One close of `size` lots, and the lot after it."""
    quote = quote_of(lot, size, rule, previous_mark, mark)
    at_mark = size * mark
    fill = Fill(
        winner=standing.account,
        size=size,
        quote=quote,
        rank=rank,
        score=written_score(standing, mark, score),
        haircut=quote - at_mark if lot.is_long else at_mark - quote,
        lot_size=lot.size,
        lot_worth=lot.worth,
    )
    worth = lot.worth + quote if lot.is_long else lot.worth - quote
    return fill, replace(lot, size=lot.size - size, worth=worth)


def after_close(standing: Standing, fill: Fill, mark: int) -> Standing:
    """The winner after its fill. The quote keeps its share of what is left, toward zero."""
    released = abs(standing.quote) * fill.size // abs(standing.size)
    sign = 1 if standing.size > 0 else -1
    quote = standing.quote + released if standing.quote < 0 else standing.quote - released
    size = standing.size - sign * fill.size
    equity = standing.equity - fill.haircut
    return replace(
        standing,
        size=size,
        quote=quote,
        equity=equity,
        # What the position does not hold any more is cash.
        cash=standing.cash
        + (equity - standing.equity)
        - (size * mark + quote)
        + (standing.size * mark + standing.quote),
    )


def settle(lot: Lot, mark: int) -> Settlement:
    """What the lot is worth at the mark, filled or not, as a surplus or a residual loss."""
    equity = (lot.size if lot.is_long else -lot.size) * mark + lot.worth
    return Settlement(unfilled=lot.size, surplus=max(equity, 0), residual=max(-equity, 0))


def settled(lot: Lot, mark: int) -> Lot:
    """The lot after its settlement: nothing at the mark."""
    return replace(lot, worth=-lot.size * mark if lot.is_long else lot.size * mark)


def share_out(fills: Sequence[Fill]) -> dict[int, int]:
    """Haircut by winner, micro-USDC."""
    out: dict[int, int] = {}
    for fill in fills:
        out[fill.winner] = out.get(fill.winner, 0) + fill.haircut
    return out


# ---------------------------------------------------------------- allocations other than the queue


@dataclass(frozen=True)
class Claimant:
    """A winner that a plan may close: lots that it can give at most, and all it has."""

    standing: Standing
    limit: int

    @property
    def size(self) -> int:
        """Lots held."""
        return abs(self.standing.size)


def claimants(
    standings: Iterable[Standing],
    lot: Lot,
    mark: int,
    rule: CloseRule,
    previous_mark: int,
    score: ScoreRule = "hyperliquid_docs",
    largest_share: Fraction = Fraction(1),
) -> list[Claimant]:
    """Who takes part in a plan: as for the queue, but with an equity that is not below zero.

    An equity below zero could be lifted above it by a whole close only, and shares are parts.
    """
    out = []
    for standing in standings:
        if standing.equity < 0 or not written_score(standing, mark, score):
            continue
        limit = min(
            bearable(standing, lot, mark, rule, previous_mark),
            math.floor(abs(standing.size) * largest_share),
        )
        if limit:
            out.append(Claimant(standing, limit))
    return out


def pro_rata(weights: Sequence[int], wanted: int) -> list[Fraction]:
    """Shares in proportion to the weights, exact."""
    total = sum(weights)
    return [Fraction(wanted * weight, total) if total else Fraction(0) for weight in weights]


def capped_pro_rata(
    weights: Sequence[int], caps: Sequence[Fraction | int], wanted: int
) -> list[Fraction]:
    """min(cap, level * weight), with the level at which the shares add up; the caps if they
    cannot."""
    if sum(caps) <= wanted:
        return [Fraction(cap) for cap in caps]
    shares = [Fraction(0)] * len(weights)
    left, total = Fraction(wanted), sum(weights)
    # The first to reach its cap is the one with the least cap a unit of weight.
    for i in sorted(range(len(weights)), key=lambda i: Fraction(caps[i]) / weights[i]):
        level = left / total
        shares[i] = min(Fraction(caps[i]), level * weights[i])
        left -= shares[i]
        total -= weights[i]
    return shares


def drain_leverage(
    sizes: Sequence[int], equities: Sequence[int], limits: Sequence[int], wanted: int
) -> list[Fraction]:
    """min(limit, max(0, size - level * equity)), with the level at which the shares add up."""
    if sum(limits) <= wanted:
        return [Fraction(limit) for limit in limits]
    rows = [(q, max(e, 1), limit) for q, e, limit in zip(sizes, equities, limits, strict=True)]

    def at(level: Fraction) -> list[Fraction]:
        return [min(Fraction(m), max(Fraction(0), q - level * e)) for q, e, m in rows]

    # The sum is linear between the levels at which somebody begins or reaches its limit.
    corners = sorted({Fraction(0)} | {Fraction(x, e) for q, e, m in rows for x in (q, q - m)})
    low = max(corner for corner in corners if sum(at(corner)) >= wanted)
    high = min(corner for corner in corners if sum(at(corner)) <= wanted)
    here, there = sum(at(low)), sum(at(high))
    # A corner, or a stretch on which everybody's share is the same.
    if here == wanted:
        return at(low)
    return at(low + (high - low) * (here - wanted) / (here - there))


def exact_shares(
    parts: Sequence[Claimant], wanted: int, mark: int, allocation: Allocation
) -> list[Fraction]:
    """What each would give up if lots could be divided; above a limit where the rule has none."""
    if allocation == "pro_rata_pnl":
        return pro_rata([max(int(c.standing.profit(mark)), 0) for c in parts], wanted)
    if allocation == "pro_rata_size":
        return pro_rata([c.size for c in parts], wanted)
    limits = [c.limit for c in parts]
    if allocation == "capped_pro_rata":
        return capped_pro_rata([c.size for c in parts], limits, wanted)
    return drain_leverage(
        [c.size for c in parts], [c.standing.weighed for c in parts], limits, wanted
    )


def whole_lots(
    shares: Sequence[Fraction],
    limits: Sequence[int],
    order: Sequence[int],
    wanted: int,
    above_zero: bool = False,
) -> list[int]:
    """Shares in whole lots: rounded down and cut at the limits; what is left over goes in rank
    order (`order`: places in `shares`), one lot each to who has room, then as much as each has.

    `above_zero`: one lot each only to those that have a share.
    """
    out = [min(math.floor(share), limit) for share, limit in zip(shares, limits, strict=True)]
    takers = [i for i in order if out[i] < limits[i] and (shares[i] > 0 or not above_zero)]
    for i in takers[: max(0, wanted - sum(out))]:
        out[i] += 1
    for i in order:
        out[i] += min(limits[i] - out[i], max(0, wanted - sum(out)))
    return out


def plan(
    standings: Iterable[Standing],
    lot: Lot,
    mark: int,
    rule: CloseRule,
    previous_mark: int,
    score: ScoreRule,
    allocation: Allocation,
    largest_share: Fraction = Fraction(1),
) -> list[tuple[Standing, int]]:
    """Who gives up how many lots, in the order of `standings`; nobody with none."""
    # Only one allocation has a cap of its own.
    share = largest_share if allocation == "capped_pro_rata" else Fraction(1)
    parts = claimants(standings, lot, mark, rule, previous_mark, score, share)
    order = sorted(range(len(parts)), key=lambda i: precedence(parts[i].standing, mark, score))
    limits = [c.limit for c in parts]
    if sum(limits) <= lot.size:
        sizes = limits
    else:
        shares = exact_shares(parts, lot.size, mark, allocation)
        sizes = whole_lots(shares, limits, order, lot.size, allocation == "drain_leverage")
    return [(c.standing, size) for c, size in zip(parts, sizes, strict=True) if size]
