"""The identities of a large run, followed event by event.

A full reading of the ledger costs as much as there are accounts. Above `FULL_CHECKS` accounts every
transaction is checked against running sums instead: what the logs say changed, and what the chain
itself says it holds. The full reading then comes at stated moments (`Ledger`).

Owns the running sums. What an event means for the state is `breakwater.rebuild`'s business.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from breakwater.contract import Event, call_many
from breakwater.ledger import InsolvencyError
from breakwater.rebuild import State, play
from breakwater.venue import Venue

FULL_CHECKS: Final = 500
"""Accounts up to which every transaction is followed by a full reading."""


class Watchman:
    """Running sums of one venue, fed with every event from its first block on."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.state = State()
        self.checks = 0
        self._money: dict[int, int] = {}
        self._total = 0
        self._sizes: dict[int, int] = defaultdict(int)
        self._held: dict[tuple[int, int], tuple[int, int]] = {}
        self._quotes: dict[int, int] = defaultdict(int)

    def observe(self, events: Iterable[Event]) -> None:
        """Plays the events of one transaction."""
        touched: set[int] = set()
        for event in events:
            play(self.state, event)
            if event.name == "PositionChanged":
                key = (event.account, event.market)
                size, quote = self._held.get(key, (0, 0))
                self._held[key] = (event.size, event.quote)
                self._sizes[event.market] += event.size - size
                self._quotes[event.account] += event.quote - quote
                if event.size == 0 and event.quote != 0:
                    raise InsolvencyError(
                        f"LEDGER_2: account {event.account} is flat in market {event.market} and "
                        f"still has a quote of {event.quote}"
                    )
            for name in ("account", "source", "to"):
                if isinstance(event.args.get(name), int):
                    touched.add(event.args[name])
            if event.name == "FeesSwept":
                touched |= {account for account in self.state.accounts if account in self._money}
        for account in touched & self.state.accounts.keys():
            money = self.state.accounts[account].cash + self._quotes[account]
            self._total += money - self._money.get(account, 0)
            self._money[account] = money

    def check(self) -> None:
        """I1, I1' and the sizes of I2 against what the chain holds. Raises InsolvencyError."""
        house = self.venue.clearinghouse
        held, uninsured, fees, balance = call_many(
            [
                *((house, name, ()) for name in ("held", "uninsured", "fees")),
                (self.venue.usdc, "balanceOf", (house,)),
            ]
        )
        pools = sum(self.state.pools.values())
        difference = held - (self._total + fees + pools - uninsured)
        if difference:
            raise InsolvencyError(f"LEDGER_1: by the logs, held - owed = {difference}")
        if balance < held:
            raise InsolvencyError("LEDGER_1': the token balance is below what is held")
        for market, total in self._sizes.items():
            if total:
                raise InsolvencyError(f"LEDGER_2: sizes of market {market} sum to {total}, not 0")
        self.checks += 1
