"""Constants and small helpers of the Ape tests: what a refusal must leave alone, exact events,
and the ledger's integer rules once more in Python.

Owns no fixture and no chain; whatever acts on the venue is a fixture of conftest.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ape

USDC = 10**6
"""One dollar in micro-USDC."""

X, Y = 0, 1
"""Market ids. X: lots of 0.01 at $100, 20x. Y: lots of 0.0001 at $2,000, 50x. Both from $10."""

X_PRICE = 1_000_000
"""$100 in ticks of X: a lot is worth $1."""

Y_PRICE = 200_000
"""$2,000 in ticks of Y: a lot is worth $0.20."""

GTC, IOC = 0, 1
VAULT = 1
MAX_TICK = 2**24 - 1
MAX_SIZE = 2**63 - 1
MAX_UINT = 2**256 - 1

# Order book: why an order left or a rest did not rest.
BY_OWNER, VOID, SELF_TRADE, MAKER_MARGIN, IMMEDIATE, STEPS = (1 << bit for bit in range(6))

_state: Callable[[], Any] | None = None


def watch(state: Callable[[], Any] | None) -> None:
    """Tells `refused` how to read what must not change; conftest.py does it for each test."""
    global _state
    _state = state


@contextmanager
def refused(reason: str) -> Iterator[None]:
    """The block reverts with exactly this reason, and nothing a user can see changed."""
    assert _state is not None, "refused() needs the `venue` fixture"
    before = _state()
    with ape.reverts(reason):
        yield
    assert _state() == before, f"REFUSAL: {reason!r} changed the venue"


def args(receipt: Any, event: Any) -> list[dict[str, Any]]:
    """The arguments of each event of this kind in a receipt, in order."""
    return [log.event_arguments for log in event.from_receipt(receipt)]


def truncated(amount: int, divisor: int) -> int:
    """amount / divisor, truncated toward zero, as the contracts divide."""
    quotient = abs(amount) // abs(divisor)
    return quotient if (amount < 0) == (divisor < 0) else -quotient


def ceil_div(amount: int, divisor: int) -> int:
    return -(-amount // divisor)


@dataclass
class Mirror:
    """One account in one market by the ledger's rules: opening adds up, closing realises the
    released share of the quote, a flip closes first and opens with the rest."""

    cash: int = 0
    size: int = 0
    quote: int = 0

    def trade(self, size: int, price: int) -> int:
        return self.take(size, -size * price)

    def take(self, size: int, quote: int) -> int:
        """Signed lots and micro-USDC, as the account gets them. Returns the profit realised."""
        released = closing = 0
        if self.size * size < 0:
            if abs(size) < abs(self.size):
                released, closing = truncated(self.quote * abs(size), abs(self.size)), quote
            else:
                released, closing = self.quote, truncated(quote * abs(self.size), abs(size))
        self.size += size
        self.quote += quote - released - closing
        self.cash += released + closing
        return released + closing
