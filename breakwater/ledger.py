"""The identities of the ledger, read from chain state and checked to the micro-USDC.

Owns the arithmetic of solvency and nothing else: it sends no transaction and trusts no list of
accounts but the `AccountOpened` logs.

    I1   held == sum(cash + position quotes over all accounts) - uninsured
    I1'  token balance == held + unaccounted, unaccounted >= 0 (donations)
    I2   in each market sum(size) == 0, and size == 0 implies quote == 0
    I4   held + uninsured == sum(equity)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from breakwater.contract import Event
from breakwater.venue import Venue

_PAGE = 200


class InsolvencyError(AssertionError):
    """An identity does not hold; the message says which, and by how much."""


@dataclass(frozen=True)
class Solvency:
    """One reading of the ledger, micro-USDC. `owed` is the right side of I1."""

    held: int
    owed: int
    balance: int
    uninsured: int
    equity: int
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
        """held + uninsured - sum of equities: I4 says 0."""
        return self.held + self.uninsured - self.equity


class Ledger:
    """Checks the identities of one venue and counts the checks."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.checks = 0
        self._accounts: list[int] = []

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

    def check(self, anew: bool = False) -> Solvency:
        """Reads the state and checks every identity. Raises InsolvencyError.

        `anew` enumerates the accounts from the chain's logs first.
        """
        if anew or not self._accounts:
            self.enumerate()
        house = self.venue.clearinghouse
        rows = []
        sizes: dict[int, int] = {}
        markets = range(house.call("market_count"))
        for start in range(0, len(self._accounts), _PAGE):
            ids = self._accounts[start : start + _PAGE]
            rows += self.venue.lens.call("accounts", ids)
            for market in markets:
                for account, (size, quote) in zip(
                    ids, self.venue.lens.call("positions", market, ids), strict=True
                ):
                    sizes[market] = sizes.get(market, 0) + size
                    _require(size != 0 or quote == 0, f"LEDGER_2: account {account} is flat in "
                             f"market {market} and still has a quote of {quote}")
        for market, total in sizes.items():
            _require(total == 0, f"LEDGER_2: sizes of market {market} sum to {total}, not 0")
        uninsured = house.call("uninsured")
        reading = Solvency(
            held=house.call("held"),
            owed=sum(row.cash + row.quotes for row in rows) - uninsured,
            balance=self.venue.usdc.call("balanceOf", house),
            uninsured=uninsured,
            equity=sum(row.equity for row in rows),
            accounts=len(rows),
        )
        _require(
            len(rows) == house.call("account_count"),
            f"LEDGER_0: the logs name {len(rows)} accounts, the clearinghouse counts "
            f"{house.call('account_count')}",
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
            f"LEDGER_4: held + uninsured - sum of equities = {reading.i4_difference}",
        )
        self.checks += 1
        return reading


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InsolvencyError(message)
