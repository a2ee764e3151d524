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

SCALE = 10**9
"""Units of the funding index per micro-USDC; also rates and premiums are parts of it."""

GTC, IOC, POST_ONLY = 0, 1, 2
VAULT, TRANCHE = 1, 2
MAX_TICK = 2**24 - 1
MAX_SIZE = 2**54
"""Lots: the largest order, position and open interest."""

MAX_UINT = 2**256 - 1
NOBODY = "0x" + "00" * 20
NOT_OWNER = "ownable: caller is not the owner"

# What a fill of the clearinghouse answers.
FILLED, MAKER_REFUSED, SAME_OWNER, MAKER_STALE = range(4)

# Order book: why an order left or a rest did not rest.
BY_OWNER, VOID, SELF_TRADE, MAKER_MARGIN, IMMEDIATE, STEPS = (1 << bit for bit in range(6))
PRICE_BAND, REDUCE_ONLY, STALE_MAKERS = (1 << bit for bit in range(6, 9))

_state: Callable[[], Any] | None = None


def watch(state: Callable[[], Any] | None) -> None:
    """Tells `refused` how to read what must not change; conftest.py does it for each test."""
    global _state
    _state = state


@contextmanager
def unchanged(what: str) -> Iterator[None]:
    """The block changes nothing in the storage of any contract of the venue."""
    assert _state is not None, "unchanged() needs the `venue` fixture"
    before = _state()
    yield
    assert _state() == before, f"{what} changed the venue"


@contextmanager
def refused(reason: str) -> Iterator[None]:
    """The block reverts with exactly this reason, and nothing changed."""
    with unchanged(f"REFUSAL: {reason!r}"), ape.reverts(reason):
        yield


def next_block_at(chain: Any, timestamp: int) -> None:
    """The next block gets this timestamp."""
    head = chain.blocks.head.timestamp
    assert timestamp > head, f"time does not run backward: {timestamp} after {head}"
    # The next second comes by itself, and the test chain breaks if it is asked for.
    if timestamp != head + 1:
        chain.pending_timestamp = timestamp


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
