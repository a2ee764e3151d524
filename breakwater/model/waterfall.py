"""What happens to a weak account: margin, the book with insurance behind it, the wind-up.

Owns the rules between "equity below maintenance" and "the estate holds it". Pure functions: no
ledger is written and no chain is touched. Prices are exact fractions until money is rounded.

Units: sizes in lots, prices in ticks (micro-USDC a lot), money in micro-USDC; rates are one over
the maximum leverage, the insured band is in parts per million of the mark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from breakwater.model.ledger import Ledger, truncated

PPM = 10**6


# ---------------------------------------------------------------- margin


@dataclass(frozen=True)
class Margin:
    """Of one account at the marks, micro-USDC. Requirements are rounded up market by market."""

    equity: int
    initial: int
    maintenance: int
    notional: int

    @property
    def is_weak(self) -> bool:
        """Below maintenance: to be liquidated."""
        return self.equity < self.maintenance

    @property
    def free(self) -> int:
        """What may be withdrawn: equity above max(initial margin, a tenth of the notional)."""
        return self.equity - max(self.initial, math.ceil(Fraction(self.notional, 10)))


def margin(
    ledger: Ledger, account: int, marks: Mapping[int, int], leverages: Mapping[int, int]
) -> Margin:
    """The account's margin; `leverages` is the maximum leverage by market, of a single tier."""
    notionals = {m: abs(ledger.position(account, m).size) * marks[m] for m in ledger.legs(account)}
    maintenance = sum(math.ceil(Fraction(n, 2 * leverages[m])) for m, n in notionals.items())
    return Margin(
        equity=ledger.equity(account, marks),
        # Twice what is rounded up already.
        initial=2 * maintenance,
        maintenance=maintenance,
        notional=sum(notionals.values()),
    )


def may_trade(
    ledger: Ledger,
    account: int,
    market: int,
    size: int,
    quote: int,
    marks: Mapping[int, int],
    leverages: Mapping[int, int],
    fresh: bool = True,
) -> str:
    """Why one side of a fill (signed lots, signed micro-USDC) breaks the margin rules; "" if not.

    What adds risk must meet initial margin afterwards. What only reduces must do so too (at a fresh
    price), or end with equity >= 0 and a margin ratio no worse than before.
    """
    before = margin(ledger, account, marks, leverages)
    trial = ledger.copy()
    # The account against nobody: only its own side matters here.
    trial._trade(market, account, size, quote)
    after = margin(trial, account, marks, leverages)
    old, new = ledger.position(account, market).size, trial.position(account, market).size
    if after.equity >= after.initial and (fresh or not reduces(old, new)):
        return ""
    if not reduces(old, new):
        return "margin: below initial margin"
    if after.equity < 0:
        return "margin: reducing would end below zero"
    if after.maintenance and Fraction(after.equity, after.maintenance) < Fraction(
        before.equity, before.maintenance
    ):
        return "margin: reducing would worsen the margin"
    return ""


def reduces(before: int, after: int) -> bool:
    """Whether a position only shrinks: a flip adds risk."""
    return abs(after) < abs(before) and before * after >= 0


# ---------------------------------------------------------------- the book


def insured_band(band: int, leverage: int, step: int) -> int:
    """How far beyond the mark insurance follows the book, parts per million: what the owner set,
    and no further than the maintenance rate 1 / (2 * leverage), rounded down, less one step of the
    mark (0: no limit of steps, and nothing less)."""
    return min(band, max(0, PPM // (2 * leverage) - step))


@dataclass(frozen=True)
class BookFill:
    """One fill of a liquidation; `insurance` made up for a price beyond bankruptcy."""

    size: int
    price: int
    insurance: int


@dataclass
class Selling:
    """One leg on its way into the book.

    `rest` is what the account has without the leg: equity less the leg's value at the mark.
    `insurance` is what the vault has left, `band` how far from the mark it pays.
    """

    is_long: bool
    size: int
    rest: int
    mark: int
    insurance: int
    band: int

    @property
    def bankruptcy_price(self) -> Fraction:
        """The price at which the account would end with exactly nothing; may be below zero."""
        return Fraction(-self.rest if self.is_long else self.rest, self.size)

    def room(self, price: int) -> int:
        """Lots that may go at this price: all if it is no worse than bankruptcy, else as many as
        insurance pays for, none beyond its band."""
        lacking = self.bankruptcy_price - price
        if not self.is_long:
            lacking = -lacking
        if lacking <= 0:
            return self.size
        away = self.mark - price if self.is_long else price - self.mark
        if Fraction(away, self.mark) > Fraction(self.band, PPM):
            return 0
        return min(self.size, math.floor(self.insurance / lacking))

    def fill(self, size: int, price: int) -> BookFill:
        """Sells `size` lots, at most `room(price)`. Insurance rounds up: it bears the unit."""
        lacking = self.bankruptcy_price - price
        if not self.is_long:
            lacking = -lacking
        insurance = math.ceil(max(lacking, Fraction(0)) * size)
        self.rest += (size * price if self.is_long else -size * price) + insurance
        self.insurance -= insurance
        self.size -= size
        return BookFill(size, price, insurance)


def sell_into(selling: Selling, ladder: Sequence[tuple[int, int]]) -> list[BookFill]:
    """Sells a leg into (price, size) levels, best first, as far as limit and insurance allow."""
    fills: list[BookFill] = []
    for price, size in ladder:
        left = size
        while left and selling.size:
            wanted = min(left, selling.room(price))
            if not wanted:
                return fills
            fills.append(selling.fill(wanted, price))
            left -= wanted
    return fills


# ---------------------------------------------------------------- the wind-up


@dataclass(frozen=True)
class Leg:
    """One position at the mark: signed lots, signed quote."""

    market: int
    size: int
    quote: int
    mark: int

    @property
    def notional(self) -> int:
        """|size| at the mark."""
        return abs(self.size) * self.mark

    @property
    def loss(self) -> int:
        """Unrealised loss, 0 in profit."""
        return max(0, -(self.size * self.mark + self.quote))

    def carries(self, share: int) -> int:
        """The part of a share that leaves the leg's price at 0 or above."""
        if self.size > 0:
            return min(share, self.notional)
        return max(share, -self.notional)


@dataclass(frozen=True)
class Parting:
    """How one leg goes to its estate: `share` of the account's equity, for `quote` in all."""

    leg: Leg
    share: int
    quote: int

    @property
    def price(self) -> Fraction:
        """Ticks a lot."""
        return Fraction(self.quote, abs(self.leg.size))

    @property
    def worth(self) -> int:
        """What the estate has paid (-) or received (+)."""
        return -self.quote if self.leg.size > 0 else self.quote


def borne(equity: int, legs: Sequence[Leg], market: int) -> int:
    """What one leg has to lose: all of the equity, or of a deficit its part as in a wind-up."""
    if equity >= 0:
        return equity
    weights = _weights(legs)
    ours = sum(w for leg, w in zip(legs, weights, strict=True) if leg.market == market)
    return truncated(equity * ours, sum(weights))


def _weights(legs: Sequence[Leg]) -> list[int]:
    """What each leg's share is in proportion to: its unrealised loss, or its notional if none has
    one."""
    losses = [leg.loss for leg in legs]
    return losses if any(losses) else [leg.notional for leg in legs]


def wind_up(equity: int, legs: Sequence[Leg]) -> tuple[list[Parting], int]:
    """Shares the equity over the legs. Returns how each parts, and the loss that no leg carries.

    By unrealised loss, by notional if there is none; each share truncated toward zero, the last
    leg with a weight taking the remainder. What a leg cannot carry goes to the others in order.
    """
    weights = _weights(legs)
    total = sum(weights)
    shares = [truncated(equity * weight, total) for weight in weights] if total else []
    if shares:
        last = max(i for i, weight in enumerate(weights) if weight)
        shares[last] += equity - sum(shares)
    carried = [leg.carries(share) for leg, share in zip(legs, shares, strict=True)]
    excess = equity - sum(carried)
    for i, leg in enumerate(legs):
        takes = leg.carries(carried[i] + excess)
        excess -= takes - carried[i]
        carried[i] = takes
    partings = [
        Parting(leg, share, leg.notional - share if leg.size > 0 else leg.notional + share)
        for leg, share in zip(legs, carried, strict=True)
    ]
    return partings, max(0, -excess)
