"""The integer ledger, bit for bit: accounts, positions and the flows between them.

Owns cash, positions, `held` and `uninsured` of a modelled venue. It knows no order, no margin and
no market parameter, and it never touches a chain. Funding and fees are not modelled here: a venue
with either is `breakwater.model.venue`.

Units: cash and quote in signed micro-USDC, size in signed lots, marks in ticks. Every division
truncates toward zero, through `truncated` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


def truncated(dividend: int, divisor: int) -> int:
    """dividend / divisor, the fraction dropped toward zero whatever the signs.

    Raises ZeroDivisionError.
    """
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


class Position(NamedTuple):
    """`size` in signed lots, `quote` in signed micro-USDC: minus what was paid for it."""

    size: int
    quote: int


FLAT = Position(0, 0)


class LedgerError(AssertionError):
    """A move that the ledger does not make, or an identity that does not hold."""


@dataclass
class Ledger:
    """All money and positions of a venue. Accounts are whatever ids are used.

    `positions` maps (account, market) to a position that is not flat.
    """

    held: int = 0
    uninsured: int = 0
    cash: dict[int, int] = field(default_factory=dict)
    positions: dict[tuple[int, int], Position] = field(default_factory=dict)

    def copy(self) -> Ledger:
        """An independent copy, for a trial run."""
        return Ledger(self.held, self.uninsured, dict(self.cash), dict(self.positions))

    def position(self, account: int, market: int) -> Position:
        """The account's position, (0, 0) without one."""
        return self.positions.get((account, market), FLAT)

    def legs(self, account: int) -> list[int]:
        """The markets in which the account has a position, ascending."""
        return sorted(market for owner, market in self.positions if owner == account)

    def equity(self, account: int, marks: Mapping[int, int]) -> int:
        """cash + sum(size * mark + quote), micro-USDC, `marks` in ticks by market."""
        return self.cash.get(account, 0) + sum(
            position.size * marks[market] + position.quote
            for (owner, market), position in self.positions.items()
            if owner == account
        )

    # ---------------------------------------------------------------- the two primitives

    def exchange(self, market: int, buyer: int, seller: int, size: int, quote: int) -> None:
        """`buyer` takes `size` lots and pays `quote`; `seller` the reverse, the same integers."""
        if buyer == seller or size <= 0 or quote < 0:
            raise LedgerError(f"no exchange of {size} lots for {quote}: {buyer} and {seller}")
        self._trade(market, buyer, size, -quote)
        self._trade(market, seller, -size, quote)

    def transfer(self, source: int, to: int, amount: int) -> None:
        """`source` pays `to` `amount` micro-USDC."""
        if source == to or amount < 0:
            raise LedgerError(f"no transfer of {amount} from {source} to {to}")
        self._pay(source, -amount)
        self._pay(to, amount)

    def _pay(self, account: int, amount: int) -> None:
        self.cash[account] = self.cash.get(account, 0) + amount

    def _trade(self, market: int, account: int, size: int, quote: int) -> None:
        """One side, signed. A flip closes first and opens the rest, `quote` split once."""
        held = self.position(account, market)
        if held.size * size < 0:
            closed = min(abs(size), abs(held.size))
            # What the closed lots had cost, and what of `quote` was for them.
            released = truncated(held.quote * closed, abs(held.size))
            realised = truncated(quote * closed, abs(size))
            self._pay(account, released + realised)
            after = Position(held.size + size, held.quote - released + quote - realised)
        else:
            self._pay(account, 0)
            after = Position(held.size + size, held.quote + quote)
        if after.size:
            self.positions[account, market] = after
            return
        if after.quote:
            raise LedgerError(f"account {account} is flat and keeps a quote of {after.quote}")
        self.positions.pop((account, market), None)

    # ---------------------------------------------------------------- across the edge

    def credit(self, account: int, amount: int) -> None:
        """A deposit of `amount`."""
        self.held += amount
        self._pay(account, amount)

    def debit(self, account: int, amount: int) -> int:
        """A withdrawal: the account gives up `amount`, and what is returned is paid.

        While a loss is uninsured that is floor(amount * held / (held + uninsured)), and never so
        little that the account bears more loss than there is.
        """
        paid = amount
        if self.uninsured:
            paid = amount * self.held // (self.held + self.uninsured)
            paid = max(paid, amount - min(amount, self.uninsured))
        self._pay(account, -amount)
        self.held -= paid
        self.uninsured -= amount - paid
        return paid

    def write_off(self, account: int, amount: int) -> None:
        """The account's loss becomes the venue's."""
        self._pay(account, amount)
        self.uninsured += amount

    def recover(self, account: int, amount: int) -> None:
        """The account's cash pays for uninsured loss."""
        self._pay(account, -amount)
        self.uninsured -= amount

    def repay(self, amount: int) -> None:
        """Money from outside pays for uninsured loss."""
        self.held += amount
        self.uninsured -= amount

    # ---------------------------------------------------------------- identities

    def check(self, marks: Mapping[int, int]) -> None:
        """Raises LedgerError if an identity does not hold, to the micro-USDC."""
        money = sum(self.cash.values()) + sum(p.quote for p in self.positions.values())
        if self.held != money - self.uninsured:
            raise LedgerError(f"I1: held {self.held}, owed {money - self.uninsured}")
        for market in {market for _, market in self.positions}:
            total = sum(p.size for (_, where), p in self.positions.items() if where == market)
            if total:
                raise LedgerError(f"I2: the sizes of market {market} sum to {total}")
        accounts = set(self.cash) | {account for account, _ in self.positions}
        equity = sum(self.equity(account, marks) for account in accounts)
        if self.held + self.uninsured != equity:
            raise LedgerError(f"I4: held + uninsured is {self.held + self.uninsured}, not {equity}")
        if self.held < 0 or self.uninsured < 0:
            raise LedgerError(f"held {self.held} or uninsured {self.uninsured} below zero")
