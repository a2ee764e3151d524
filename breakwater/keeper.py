"""The keeper: finds accounts below maintenance and takes them down the waterfall.

Owns the order of its calls: open ADL rounds first, then the weakest account (lowest equity per
maintenance margin, then lower id). It uses only what anyone may call, finds accounts in the logs,
and decides nothing that the contracts do not check again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

from breakwater.contract import Tx
from breakwater.engine.base import Reverted
from breakwater.ledger import Ledger

STEPS = 40
"""Steps per call: well within what one transaction's gas allows."""


class Keeper:
    """Acts for `sender` on the accounts that `ledger` knows. `sent` hears of each transaction."""

    def __init__(
        self,
        ledger: Ledger,
        sender: str,
        sent: Callable[[str, Tx], None] = lambda action, tx: None,
    ) -> None:
        self.venue = ledger.venue
        self.ledger = ledger
        self.sender = sender
        self._sent = sent

    def run(self) -> int:
        """Does all that is due now. Returns the number of transactions.

        An account that the book cannot take and the rules do not wind up yet is left alone.
        """
        count = self.advance()
        stuck: set[int] = set()
        while True:
            due = next((a for a in self.weakest() if a not in stuck), None)
            if due is None:
                return count
            try:
                progress, sent = self.liquidate(due)
            except Reverted:
                # Its state changed since the reading; look again, but not for ever.
                progress, sent = False, 0
            count += sent + self.advance()
            if not progress:
                stuck.add(due)

    def weakest(self) -> Iterator[int]:
        """Ids of the accounts that `liquidate` would act on now, weakest first."""
        due = [row for row in self.venue.rows(self.ledger.accounts) if row.is_liquidatable]
        due.sort(key=lambda row: (Fraction(row.equity, max(row.maintenance, 1)), row.account))
        return (row.account for row in due)

    def liquidate(self, account: int) -> tuple[bool, int]:
        """One call of `liquidate`: whether anything changed hands, and the transactions sent (1).

        Raises Reverted.
        """
        tx = self.venue.liquidator.send("liquidate", account, STEPS, sender=self.sender)
        self._sent("liquidate", tx)
        (end,) = tx.all("Liquidated")
        acted = {"LiquidationFill", "WoundUp"}
        return bool(end.more) or any(event.name in acted for event in tx.events), 1

    def advance(self) -> int:
        """Works on ADL rounds until none is open, or none can go on: a market whose price is stale
        waits for the next one. Returns the number of transactions."""
        count = 0
        before = None
        while self.venue.deleverager.call("is_busy"):
            try:
                tx = self.venue.deleverager.send("advance", STEPS, sender=self.sender)
            except Reverted:
                break
            self._sent("advance", tx)
            count += 1
            # A call that only looked at holders says nothing, but the cursor has moved.
            state = self.venue.deleverager.call("round")
            if not tx.events and state == before:
                break
            before = state
        return count
