"""The keeper: finds accounts below maintenance and takes them down the waterfall.

Owns the order of its calls, `Keeper` what is due at one moment, `Watch` moment after moment on a
node that may go away. It uses only what anyone may call, finds accounts in the logs, and decides
nothing that the contracts do not check again. It keeps no state but what it can read again from
the chain, so it may be killed at any time and started anywhere.

The order: prices first (all else is judged by them), then open ADL rounds, then the weakest account
(lowest equity per maintenance margin, then lower id) with the round that follows from it, then a
tranche that has lost its margin, then the tranche's positions, and last the lots that found no
taker before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush
from typing import Any, Final

from breakwater import units
from breakwater.contract import Event, Tx, call_many
from breakwater.engine.base import EngineError, Reverted
from breakwater.ledger import Ledger
from breakwater.venue import Venue

STEPS = 40
"""Steps per call: well within what one transaction's gas allows."""

HOUR: Final = 3_600

PATIENCE: Final = 30
"""Seconds after which an account that nothing could be done for is tried again."""

BACKOFF: Final = (1, 2, 4, 8, 15, 30)
"""Seconds between attempts to reach a node that does not answer; the last one goes on."""


class Keeper:
    """Acts for `sender` on the accounts that `ledger` knows. `sent` hears of each transaction.

    `reward_account` is the account at the venue for rewards; 0 for none. After `run`, `stuck` has
    the accounts below maintenance for which nothing could be done.
    """

    def __init__(
        self,
        ledger: Ledger,
        sender: str,
        sent: Callable[[str, Tx], None] = lambda action, tx: None,
        reward_account: int = 0,
    ) -> None:
        self.venue = ledger.venue
        self.ledger = ledger
        self.sender = sender
        self.reward_account = reward_account
        self.stuck: set[int] = set()
        self.tranche = int(self.venue.clearinghouse.call("tranche_account"))
        self._sent = sent
        # Of the last full reading: the accounts to act on with their weakness, the same as a heap
        # (with what has been outdated since), what it depends on beside the accounts themselves,
        # and who was named in transactions since.
        self._due: dict[int, tuple[Fraction, int]] = {}
        self._heap: list[tuple[Fraction, int]] = []
        self._moment: tuple[Any, ...] | None = None
        self._touched: set[int] = set()

    def run(self, skip: Iterable[int] = ()) -> int:
        """Does all that is due now, but for the accounts to skip. Returns the number of
        transactions.

        An account that the book cannot take and the rules do not wind up yet is left alone.
        """
        count = self.advance()
        self.stuck = set(skip)
        self._moment = None
        while True:
            due = self._weakest_but(self.stuck)
            if due is None:
                return count + self.tend_tranche()
            try:
                progress, sent = self.liquidate(due)
            except Reverted:
                # Its state changed since the reading; look again, but not for ever.
                progress, sent = False, 0
            count += sent + self.advance()
            if not progress:
                self.stuck.add(due)

    def weakest(self) -> Iterator[int]:
        """Ids of the accounts that `liquidate` would act on now, weakest first."""
        self._moment = self._now()
        self._touched.clear()
        self._due = _due(self.venue.rows(self.ledger.accounts))
        self._heap = sorted(self._due.values())
        return iter(sorted(self._due, key=self._due.__getitem__))

    def _weakest_but(self, passed: set[int]) -> int | None:
        """The first of `weakest` that is not passed over; None if there is none. Who is passed over
        once stays so until the next full reading.

        Reads all accounts once, and then only those that changed: while marks, hour and frozen
        markets stay, nobody becomes due who is in no event, and who is named is read again.
        """
        if self._moment is None or self._now() != self._moment:
            self.weakest()
        elif self._touched:
            again = sorted(self._touched.intersection(self.ledger.accounts))
            self._touched.clear()
            for account in again:
                self._due.pop(account, None)
            for found in _due(self.venue.rows(again)).values():
                self._due[found[1]] = found
                heappush(self._heap, found)
        while self._heap:
            weakest = self._heap[0]
            account = weakest[1]
            if account not in passed and self._due.get(account) == weakest:
                (row,) = self.venue.rows([account])
                if row.is_liquidatable:
                    return account
                # Somebody else was first, or its price has grown old.
                del self._due[account]
            heappop(self._heap)
        return None

    def _now(self) -> tuple[Any, ...]:
        """What every account's margin depends on: marks, the hour of funding, frozen markets."""
        found = call_many(
            [
                (self.venue.oracle, "epoch", ()),
                (self.venue.clearinghouse, "frozen_markets", ()),
            ]
        )
        return (*found, self.venue.engine.timestamp // HOUR)

    def liquidate(self, account: int) -> tuple[bool, int]:
        """One call of `liquidate`: whether anything changed hands, and the transactions sent (1).

        Raises Reverted.
        """
        rewarded = (self.reward_account,) if self.reward_account not in (0, account) else ()
        tx = self.venue.liquidator.send("liquidate", account, STEPS, *rewarded, sender=self.sender)
        self._seen("liquidate", tx)
        (end,) = tx.all("Liquidated")
        acted = {"LiquidationFill", "BackstopTaken", "WoundUp"}
        return bool(end.more) or any(event.name in acted for event in tx.events), 1

    def advance(self) -> int:
        """Works on ADL rounds until none is open, or none can go on: a market whose price is stale
        waits for the next one. Returns the number of transactions."""
        count = 0
        before = None
        while self.venue.deleverager.call("is_busy"):
            tx = self._try("advance", self.venue.deleverager, "advance", STEPS)
            if tx is None:
                break
            count += 1
            # A call that only looked at holders says nothing, but the cursor has moved.
            state = self.venue.deleverager.call("round")
            if not tx.events and state == before:
                break
            before = state
        return count

    def tend_tranche(self) -> int:
        """Winds the tranche up if it is below zero; else works off what may be worked off now.
        Returns the number of transactions."""
        (row,) = self.venue.rows([self.tranche])
        liquidator, count = self.venue.liquidator, 0
        if row.equity < 0:
            if self._try("wind_up_tranche", liquidator, "wind_up_tranche", STEPS) is None:
                return 0
            return 1 + self.advance()
        for market in range(row.active_markets.bit_length()):
            while row.active_markets >> market & 1 and (due := self._tranche_due(market)):
                method, contract, *args = due
                if self._try(method, contract, method, *args) is None:
                    break
                count += 1
        return count

    def retry(self) -> int:
        """A new round for lots that found no taker, in each market where one may begin. Returns the
        number of transactions."""
        count = 0
        adl = self.venue.deleverager
        for market in range(self.venue.clearinghouse.call("market_count")):
            for is_long in (True, False):
                first = adl.call("first_lot", market, is_long)
                if first == adl.call("lot_count", market, is_long):
                    continue
                # Refused where a round is open, in the epoch of the last one, at a stale price.
                if self._try("retry", adl, "retry", market, is_long, STEPS) is not None:
                    count += 1 + self.advance()
        return count

    def _tranche_due(self, market: int) -> tuple[Any, ...] | None:
        """The next call for the tranche's position in a market, as method, contract, arguments: one
        that trades, or, where all its steps would go into void orders, one that deletes those."""
        work_off = ("work_off", self.venue.liquidator, market, STEPS)
        traded = self._would(*work_off)
        if traded != 0:
            return work_off if traded else None
        is_long = self.venue.clearinghouse.call("position", self.tranche, market).size > 0
        purge = ("purge", self.venue.order_book, market, is_long, STEPS)
        return purge if self._would(*purge) else None

    def _would(self, method: str, contract: Any, *args: Any) -> int | None:
        """The number that a call would answer now: lots, or orders; None if it may not be made."""
        try:
            return int(contract.call(method, *args, sender=self.sender))
        except Reverted:
            return None

    def _try(self, action: str, contract: Any, method: str, *args: Any) -> Tx | None:
        try:
            tx: Tx = contract.send(method, *args, sender=self.sender)
        except Reverted:
            # Somebody else was first, or it is not time yet.
            return None
        self._seen(action, tx)
        return tx

    def _seen(self, action: str, tx: Tx) -> None:
        self._touched |= accounts_named(tx.events)
        self._sent(action, tx)


def accounts_named(events: Iterable[Event]) -> set[int]:
    """The accounts whose money or positions these events say have changed."""
    named = (event.args.get(name) for event in events for name in ("account", "source", "to"))
    return {account for account in named if isinstance(account, int)}


def _due(rows: Iterable[Any]) -> dict[int, tuple[Fraction, int]]:
    """The accounts to act on, each with what it is ordered by."""
    return {
        row.account: (Fraction(row.equity, max(row.maintenance, 1)), row.account)
        for row in rows
        if row.is_liquidatable
    }


# --- On a node -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched:
    """One connection: the venue, who pays for the transactions, where rewards go (0: nowhere)."""

    venue: Venue
    sender: str
    reward_account: int = 0


class Watch:
    """Keeps a venue on a node. `connect` makes a new connection, also after the node was away;
    `say` gets every line; `lost` are the exceptions with which a node is gone.

    `sample_every` is seconds between samples of each book; 0: none.
    """

    def __init__(
        self,
        connect: Callable[[], Watched],
        say: Callable[[str], None],
        sample_every: int = 30,
        lost: tuple[type[Exception], ...] = (OSError, EngineError),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connect = connect
        self._say = say
        self._sample_every = sample_every
        self._lost = lost
        self._sleep = sleep
        self._keeper: Keeper | None = None
        self._gas = 0
        self._earned = 0
        self._stale: set[int] = set()
        # Account to the epoch and time in which nothing could be done for it. Only spares gas.
        self._hopeless: dict[int, tuple[int, int]] = {}

    def run(self, every: float, passes: int | None = None) -> None:
        """So many passes (None: for ever), `every` seconds apart. A node that is away is waited
        for."""
        done = attempts = 0
        while passes is None or done < passes:
            try:
                self.step()
            except self._lost as error:
                # A connection may not survive the node; the next attempt makes a new one.
                self._keeper = None
                pause = BACKOFF[min(attempts, len(BACKOFF) - 1)]
                attempts += 1
                self._say(f"no answer from the node ({_short(error)}): again in {pause} s")
                self._sleep(pause)
                continue
            if attempts:
                self._say("the node answers again")
                attempts = 0
            done += 1
            if done != passes:
                self._sleep(every)

    def step(self) -> int:
        """One pass over all that may be due. Returns the number of transactions."""
        keeper = self._keeper or self._begin()
        ledger, house = keeper.ledger, keeper.venue.clearinghouse
        count = self._prices(keeper)
        if house.call("account_count") != len(ledger.accounts):
            ledger.enumerate()
        now, epoch = keeper.venue.engine.timestamp, keeper.venue.oracle.call("epoch")
        skip = [a for a, (e, at) in self._hopeless.items() if e == epoch and now < at + PATIENCE]
        count += keeper.run(skip)
        self._hopeless = {a: self._hopeless[a] for a in skip} | {
            a: (epoch, now) for a in keeper.stuck if a not in skip
        }
        return count + keeper.retry()

    def _begin(self) -> Keeper:
        there = self._connect()
        ledger = Ledger(there.venue)
        ledger.enumerate()
        keeper = Keeper(ledger, there.sender, self._sent, there.reward_account)
        # What was earned before is on the chain, not in a file.
        earned = 0
        if there.reward_account:
            earned = sum(
                event.reward
                for event in there.venue.liquidator.events()
                if event.name == "LiquidationCharged"
                and event.reward_account == there.reward_account
            )
        self._earned = earned
        self._keeper = keeper
        to = f"rewards go to account {there.reward_account}" if there.reward_account else "unpaid"
        self._say(
            f"keeping {len(ledger.accounts)} accounts as {there.sender}, {to}; "
            f"earned so far {units.format_usdc(earned)} USDC"
        )
        return keeper

    def _prices(self, keeper: Keeper) -> int:
        """Begins the next epoch if there is news, and samples the books."""
        oracle, now, count = keeper.venue.oracle, keeper.venue.engine.timestamp, 0
        # Samples first: an epoch uses what was sampled before it.
        markets = range(oracle.call("market_count"))
        for market in markets:
            if self._sample_every:
                at = oracle.call("last_sample", market).at
                if now + 1 >= at + self._sample_every:
                    count += keeper._try("sample", oracle, "sample", market) is not None
            fresh = oracle.call("is_fresh", market)
            if fresh == (market in self._stale):
                self._stale ^= {market}
                state = "is fresh again" if fresh else "is stale: nothing can be liquidated there"
                self._say(f"the price of {self._symbol(market)} {state}")
        if any(oracle.call("has_news", market) for market in markets):
            count += keeper._try("poke", oracle, "poke") is not None
        return count

    # What it says

    def _sent(self, action: str, tx: Tx) -> None:
        gas = tx.receipt.gas_used or 0
        self._gas += gas
        before = self._earned
        said = [text for event in tx.events if (text := self._sentence(event))]
        if action == "sample":
            return
        if self._earned != before:
            said.append(f"earned {units.format_usdc(self._earned - before)} USDC")
        cost = f" ({gas:,} gas)" if gas else ""
        self._say(f"{action}{cost}: {'; '.join(said) or 'done'}")
        if self._earned != before:
            total = f", {self._gas:,} gas spent since the start" if self._gas else ""
            self._say(f"earned in all {units.format_usdc(self._earned)} USDC{total}")

    def _sentence(self, event: Event) -> str | None:
        """What an event means to somebody who watches; None for what is said elsewhere."""
        if event.name == "PriceUpdated":
            mark = units.format_ticks(event.mark, self._decimals(event.market))
            return f"{self._symbol(event.market)} at {mark}"
        if event.name == "LiquidationFill":
            paid = event.insurance
            help_ = f", insurance pays {units.format_usdc(paid)} USDC" if paid else ""
            size, price = self._amount(event.market, event.size, event.price)
            return f"account {event.account}: {size} sold at {price}{help_}"
        if event.name == "LiquidationCharged":
            if self._keeper and event.reward_account == self._keeper.reward_account != 0:
                self._earned += event.reward
            return None
        if event.name == "CooldownBegan":
            return f"account {event.account}: a fifth is sold, the rest is for later"
        if event.name == "BackstopTaken":
            size, price = self._amount(event.market, event.size, event.mark)
            return f"the tranche takes {size} of account {event.account} over at {price}"
        if event.name == "WoundUp":
            equity = units.format_usdc(event.equity)
            return f"account {event.account} is wound up with {equity} USDC"
        if event.name == "Deleveraged":
            size = units.format_lots(event.size, self._decimals(event.market))
            symbol = self._symbol(event.market)
            return f"account {event.winner} is deleveraged by {size} {symbol}"
        if event.name == "WorkedOff":
            size, price = self._amount(event.market, event.size, event.price)
            return f"{size} of the tranche at {price}"
        if event.name == "Liquidated":
            equity = units.format_usdc(event.equity)
            state = ", nothing to be had in the book" if event.unfillable else ""
            return f"account {event.account} is left with {equity} USDC{state}"
        return None

    def _amount(self, market: int, size: int, price: int) -> tuple[str, str]:
        decimals = self._decimals(market)
        lots = units.format_lots(size, decimals)
        return f"{lots} {self._symbol(market)}", units.format_ticks(price, decimals)

    def _symbol(self, market: int) -> str:
        assert self._keeper is not None
        return str(self._keeper.venue.governor.call("market", market).symbol)

    def _decimals(self, market: int) -> int:
        assert self._keeper is not None
        return int(self._keeper.venue.governor.call("market", market).size_decimals)


def _short(error: Exception) -> str:
    """The kind of an error and its first words: a lost connection has long ones."""
    words = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {words[:80]}" if words else type(error).__name__
