"""The identities of the ledger, read from chain state and checked to the micro-USDC.

Owns the arithmetic of solvency and nothing else: it sends no transaction and trusts no list of
accounts but the `AccountOpened` logs.

    I1   held == sum(cash + position quotes over all accounts) + fees + sum(pool) - uninsured
    I1'  token balance == held + unaccounted, unaccounted >= 0 (donations)
    I2   in each market sum(size) == 0, and size == 0 implies quote == 0
    I3   in each market pool * 10^9 == dust - sum(size * (index - index when settled))
    I4   held + uninsured == sum(equity) + fees + funding remainder; the remainder is what rounding
         against payers and receivers leaves, below one micro-dollar a position and market
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from breakwater.contract import Event, call_many
from breakwater.venue import SCALE, Venue


class InsolvencyError(AssertionError):
    """An identity does not hold; the message says which, and by how much."""


@dataclass(frozen=True)
class Solvency:
    """One reading of the ledger, micro-USDC. `owed` is the right side of I1.

    `remainder` is what would be left in the funding pools if everybody were settled now.
    """

    held: int
    owed: int
    balance: int
    uninsured: int
    equity: int
    fees: int
    remainder: int
    accounts: int

    @property
    def difference(self) -> int:
        """held - owed: I1 says 0."""
        return self.held - self.owed

    @property
    def unaccounted(self) -> int:
        """Tokens that the venue holds and owes nobody: I1' says 0 or more."""
        return self.balance - self.held

    @property
    def i4_difference(self) -> int:
        """held + uninsured - (sum of equities + fees + remainder): I4 says 0."""
        return self.held + self.uninsured - self.equity - self.fees - self.remainder


class Ledger:
    """Checks the identities of one venue and counts the checks."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.checks = 0
        self._accounts: list[int] = []
        # Of the last flagged reading: prices, and each account's state with its equity.
        self._prices: list[Any] = []
        self._worth: dict[int, tuple[Any, int]] = {}

    @property
    def accounts(self) -> list[int]:
        """The account ids seen in the logs so far, in order."""
        return list(self._accounts)

    def observe(self, events: Iterable[Event]) -> None:
        """Learns of accounts from a transaction's events, sparing a look at all logs each time."""
        for event in events:
            if event.name == "AccountOpened":
                self._accounts.append(event.account)

    def enumerate(self) -> list[int]:
        """Every account from the clearinghouse's logs on chain, whatever was observed before."""
        self._accounts = []
        self.observe(self.venue.clearinghouse.events())
        return self.accounts

    def check(self, anew: bool = False, flagged: bool = False) -> Solvency:
        """Reads the state and checks every identity. Raises InsolvencyError.

        `anew` enumerates the accounts from the chain's logs first. `flagged` is for one reading
        after another: positions only where an account says that it has one (with many markets, a
        small part of all), and equities only of those whose cash or positions are others than in
        the flagged reading before, unless a price or funding index is.
        """
        if anew or not self._accounts:
            self.enumerate()
        venue, house = self.venue, self.venue.clearinghouse
        single = ["market_count", "account_count", "held", "uninsured", "fees"]
        markets, count, held, uninsured, fees, balance = call_many(
            [*((house, name, ()) for name in single), (venue.usdc, "balanceOf", (house,))]
        )
        rows = venue.balances(self._accounts)
        states: dict[int, list[Any]] = {
            account: [row.cash] for account, row in zip(self._accounts, rows, strict=True)
        }
        prices: list[Any] = []
        pools = quotes = remainder = 0
        for market in range(markets):
            held_here = self._accounts
            if flagged:
                held_here = [
                    account
                    for account, row in zip(self._accounts, rows, strict=True)
                    if row.active_markets >> market & 1
                ]
            found = venue.positions(market, held_here)
            for account, position in zip(held_here, found, strict=True):
                states[account].append((market, position))
            pool, left, price = self._check_market(market, held_here, found)
            prices.append(price)
            pools += pool
            quotes += sum(position.quote for position in found)
            remainder += left
        reading = Solvency(
            held=held,
            owed=sum(row.cash for row in rows) + quotes + fees + pools - uninsured,
            balance=balance,
            uninsured=uninsured,
            equity=self._equities(states, prices) if flagged else sum(venue.equities(list(states))),
            fees=fees,
            remainder=remainder,
            accounts=len(rows),
        )
        _require(
            len(rows) == count,
            f"LEDGER_0: the logs name {len(rows)} accounts, the clearinghouse counts {count}",
        )
        _require(
            reading.difference == 0,
            f"LEDGER_1: held {reading.held} - owed {reading.owed} = {reading.difference}",
        )
        _require(
            reading.unaccounted >= 0,
            f"LEDGER_1': the token balance is {-reading.unaccounted} below what is held",
        )
        _require(
            reading.i4_difference == 0,
            "LEDGER_4: held + uninsured - (equities + fees + funding remainder) = "
            f"{reading.i4_difference}",
        )
        self.checks += 1
        return reading

    def _equities(self, states: dict[int, list[Any]], prices: list[Any]) -> int:
        """Sum of the equities, each as the clearinghouse has it: it depends on nothing but the
        account's state and the prices, so it is asked for anew where one of them is another."""
        if prices != self._prices:
            self._prices, self._worth = prices, {}
        worth = self._worth
        changed = [a for a, state in states.items() if a not in worth or worth[a][0] != state]
        for account, equity in zip(changed, self.venue.equities(changed), strict=True):
            worth[account] = (states[account], equity)
        return sum(worth[account][1] for account in states)

    def _check_market(
        self, market: int, accounts: list[int], rows: Sequence[Any]
    ) -> tuple[int, int, Any]:
        """I2 and I3 of one market, whose positions these are. Returns its pool, what would be left
        in it if every position were settled now, micro-USDC, and what equity is reckoned with."""
        house = self.venue.clearinghouse
        names = ["funding_pool", "funding_dust", "open_interest", "settlement_account"]
        names += ["settlement_index", "mark"]
        pool, dust, interest, settled, index, mark, running = call_many(
            [*((house, name, (market,)) for name in names), (self.venue.oracle, "index", (market,))]
        )
        if not settled:
            index = running
        sizes = unsettled = longs = rounded = 0
        for account, row in zip(accounts, rows, strict=True):
            _require(
                row.size != 0 or row.quote == 0,
                f"LEDGER_2: account {account} is flat in market {market} and still has a "
                f"quote of {row.quote}",
            )
            sizes += row.size
            longs += max(row.size, 0)
            owed = row.size * (index - row.index)
            unsettled += owed
            rounded += -(-owed // SCALE)
        _require(sizes == 0, f"LEDGER_2: sizes of market {market} sum to {sizes}, not 0")
        _require(
            interest == longs,
            f"LEDGER_2: open interest of market {market} is {interest}, longs hold {longs}",
        )
        _require(
            pool * SCALE == dust - unsettled,
            f"LEDGER_3: the funding pool of market {market} is off by "
            f"{pool * SCALE - dust + unsettled} / 10^9 micro-USDC",
        )
        _require(dust >= 0, f"LEDGER_3: the funding dust of market {market} is {dust}")
        remainder = pool + rounded
        _require(remainder >= 0, f"LEDGER_4: funding remainder of market {market} is {remainder}")
        return pool, remainder, (mark, index)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InsolvencyError(message)
