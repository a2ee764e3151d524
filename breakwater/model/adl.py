"""Auto-deleveraging as a rule: score, eligibility, order, size and quote of every close.

Owns the ranking and nothing else. Prices and scores are exact fractions and are rounded only where
money changes hands; no account, ledger or chain is touched.

Units: sizes in signed lots, money in micro-USDC, prices in ticks (micro-USDC a lot).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal

CloseRule = Literal["bankruptcy", "previous_mark"]

SCORE_ONE: Final = 10**18
"""A score of 1 as the venue writes it down, rounded down."""

UNBOUNDED: Final = 2**256 - 1
"""What the venue writes for the score of an account with nothing left."""


@dataclass(frozen=True)
class Standing:
    """One trader's position in the round's market, and the equity of the whole account."""

    account: int
    size: int
    quote: int
    equity: int

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
    """One close. `haircut`: what the winner lost against the mark, negative if it gained."""

    winner: int
    size: int
    quote: int
    rank: int
    score: int
    haircut: int
    lot_size: int
    lot_worth: int


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
    if standing.equity <= 0:
        return None
    notional = Fraction(abs(standing.size) * mark)
    entry_notional = max(abs(standing.quote), 1 if standing.size > 0 else 0)
    ratio = notional / entry_notional if standing.size > 0 else entry_notional / notional
    return ratio * notional / standing.equity


def written_score(standing: Standing, mark: int) -> int:
    """The score as the venue writes it: 10^-18 units, rounded down."""
    score = hyperliquid_docs(standing, mark)
    return UNBOUNDED if score is None else math.floor(score * SCORE_ONE)


def close_price(lot: Lot, rule: CloseRule, previous_mark: int) -> Fraction:
    """The price a lot at which winners are closed, exact."""
    return lot.bankruptcy_price if rule == "bankruptcy" else Fraction(previous_mark)


def bearable(standing: Standing, lot: Lot, mark: int, rule: CloseRule, previous_mark: int) -> int:
    """Lots that a winner can give up to the lot; 0: it is not eligible.

    Eligible is who stands on the other side, is in profit at the close price, and has an equity of
    zero or more after the fill. Who can bear only part is closed in part.
    """
    if standing.size == 0 or (standing.size > 0) == lot.is_long:
        return 0
    price = close_price(lot, rule, previous_mark)
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


def quote_of(lot: Lot, size: int, rule: CloseRule, previous_mark: int) -> int:
    """micro-USDC for `size` lots, rounded against the winner.

    A winner pays (bankrupt long) rounded up, and receives (bankrupt short) rounded down. The last
    fill of a lot takes all that is left.
    """
    exact = close_price(lot, rule, previous_mark) * size
    return math.ceil(exact) if lot.is_long else math.floor(exact)


def ranked(
    standings: Iterable[Standing], lot: Lot, mark: int, rule: CloseRule, previous_mark: int
) -> list[Standing]:
    """The eligible winners: higher score first, then higher profit at the mark, then lower id."""
    eligible = [s for s in standings if bearable(s, lot, mark, rule, previous_mark)]

    def key(standing: Standing) -> tuple[bool, Fraction, Fraction, int]:
        score = hyperliquid_docs(standing, mark)
        return (
            score is not None,
            Fraction(0) if score is None else -score,
            -standing.profit(mark),
            standing.account,
        )

    return sorted(eligible, key=key)


def close_lot(
    lot: Lot,
    standings: Iterable[Standing],
    mark: int,
    rule: CloseRule,
    previous_mark: int,
    page: int | None = None,
) -> tuple[list[Fill], Lot]:
    """Closes a lot against the winners, greedy in rank order. Returns the fills and what is left.

    `page` is how many winners are closed before all are ranked anew, as the venue does with what
    is left of the lot; None: never.
    """
    fills: list[Fill] = []
    current = {standing.account: standing for standing in standings}
    while lot.size:
        queue = ranked(current.values(), lot, mark, rule, previous_mark)
        for standing in queue[:page]:
            if not lot.size:
                break
            size = bearable(standing, lot, mark, rule, previous_mark)
            if not size:
                continue
            fill, lot = close_winner(lot, standing, size, len(fills) + 1, mark, rule, previous_mark)
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
) -> tuple[Fill, Lot]:
    """One close of `size` lots, and the lot after it."""
    quote = quote_of(lot, size, rule, previous_mark)
    at_mark = size * mark
    fill = Fill(
        winner=standing.account,
        size=size,
        quote=quote,
        rank=rank,
        score=written_score(standing, mark),
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
    return Standing(
        account=standing.account,
        size=standing.size - sign * fill.size,
        quote=standing.quote + released if standing.quote < 0 else standing.quote - released,
        equity=standing.equity - fill.haircut,
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
