"""The venue's logs played one by one, with what follows from them at each moment: equities and who
holds what.

Owns the reading of equity from logs. It makes no call: with the logs alone it says what each
account had between any two of them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from breakwater import rebuild
from breakwater.contract import Event
from breakwater.venue import SCALE

TRADER: Final = 1
"""The kind of an account that a person trades with."""


class Replay:
    """A state that goes along with the logs."""

    def __init__(self) -> None:
        self.state = rebuild.State()
        self._index: dict[int, int] = defaultdict(int)
        self._legs: dict[int, dict[int, None]] = defaultdict(dict)
        self._longs: dict[int, int] = defaultdict(int)

    def play(self, event: Event) -> None:
        """The next log."""
        before = 0
        if event.name == "PositionChanged":
            held = self.state.positions.get((event.account, event.market))
            before = held.size if held else 0
        rebuild.play(self.state, event)
        if event.name == "PositionChanged":
            legs = self._legs[event.account]
            if event.size:
                legs[event.market] = None
            else:
                legs.pop(event.market, None)
            self._longs[event.market] += max(event.size, 0) - max(before, 0)
            if event.size not in (0, before):
                # Traded at the index with the hour that is due.
                self._index[event.market] = event.funding_index
        elif event.name in ("PriceUpdated", "FundingAccrued", "FundingSettled"):
            self._index[event.market] = event.funding_index

    def equity(self, account: int) -> int:
        """cash + sum(size * mark + quote - funding owed), micro-USDC, as the clearinghouse has
        it: what is owed rounds against the account."""
        equity = self.state.accounts[account].cash
        for market in self._legs[account]:
            held = self.state.positions[account, market]
            owed = -(-held.size * (self._index[market] - held.index) // SCALE)
            equity += held.size * self.mark(market) + held.quote - owed
        return equity

    def holders(self, market: int, is_long: bool) -> list[tuple[int, rebuild.Position, int]]:
        """Traders on one side, each with its profit at the mark."""
        out = []
        for (account, where), held in self.state.positions.items():
            if where != market or held.size == 0 or (held.size > 0) != is_long:
                continue
            if self.state.accounts[account].kind == TRADER:
                out.append((account, held, held.size * self.mark(market) + held.quote))
        return out

    def mark(self, market: int) -> int:
        """Ticks."""
        return self.state.prices[market][1]

    def maintenance(self, account: int) -> int:
        """Of all its positions at the marks, micro-USDC, rounded up: by the tiers in the logs."""
        total = 0
        for market in self._legs[account]:
            notional = abs(self.state.positions[account, market].size) * self.mark(market)
            deduction, below, part = 0, 0, 0
            for bound, leverage in self.state.tiers[market]:
                if below:
                    # What keeps it continuous where the tier begins, rounded down.
                    deduction += bound * (below - leverage) // (2 * leverage * below)
                if not below or notional > bound:
                    part = -(-notional // (2 * leverage)) - deduction
                below = leverage
            total += part
        return total
