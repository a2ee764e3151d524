"""Everybody's way out of a venue, by what users and passers-by may call and nothing else.

No call here is the owner's. Prices are still reported, the keeper works on, traders close at the
mark against each other (one of them, with margin for it, takes what nobody else can), lots of
estates are taken, all withdraw, and the vault's depositors redeem. `remainder` then names, to the
micro-USDC, what the venue still holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from breakwater.contract import Tx
from breakwater.engine.base import Reverted
from breakwater.keeper import Keeper
from breakwater.ledger import Ledger
from breakwater.venue import TRANCHE_ACCOUNT, VAULT_ACCOUNT, Venue

DAY: Final = 86_400
ROUNDS: Final = 600
"""Intervals after which a tranche that still has a position is called stuck."""
WALK: Final = 2_000
"""Epochs after which a mark that has not reached its price is called stuck."""
MAKER: Final = "market maker"
DEEP: Final = 10**22
"""What the market maker brings, micro-USDC."""


class Trader(NamedTuple):
    """One account and the address that owns it."""

    address: str
    account: int


@dataclass(frozen=True)
class Remainder:
    """What the venue still holds once everybody has left, micro-USDC, by whose it is."""

    vault: int
    tranche: int
    funding: int
    uninsured: int
    donated: int

    @property
    def balance(self) -> int:
        """What the venue's token balance must be."""
        return self.vault + self.tranche + self.funding - self.uninsured + self.donated


class Exit:
    """`traders` and `depositors` (addresses) by name, in the order in which they leave.

    `prices` go on being reported. `maker` is the address of a market maker, with money, who comes
    and takes what nobody else can; `seen` hears of every transaction.
    """

    def __init__(
        self,
        ledger: Ledger,
        traders: Mapping[str, Trader],
        depositors: Mapping[str, str],
        prices: Sequence[int],
        maker: str | None = None,
        seen: Callable[[str, Tx], None] | None = None,
    ) -> None:
        self.ledger = ledger
        self.venue: Venue = ledger.venue
        self.engine: Any = self.venue.engine
        self.house = self.venue.clearinghouse
        self.traders, self.depositors = dict(traders), dict(depositors)
        self.names = list(traders)
        self.prices = list(prices)
        self.maker = maker
        self.markets = range(len(self.prices))
        self.paid: dict[str, int] = {}
        self._heard = seen or self._observe
        self.keeper = Keeper(ledger, self.engine.actor("keeper"), self._heard)

    def _observe(self, action: str, tx: Tx) -> None:
        self.ledger.observe(tx.events)
        self.ledger.check()

    # ---------------------------------------------------------------- reading

    def cash(self, account: int) -> int:
        return int(self.house.call("cash", account))

    def size(self, account: int, market: int) -> int:
        return int(self.house.call("position", account, market).size)

    def sizes(self, market: int) -> dict[str, int]:
        """Open positions of traders by name, signed lots."""
        held = {name: self.size(who.account, market) for name, who in self.traders.items()}
        return {name: size for name, size in held.items() if size}

    def lots(self, market: int, is_long: bool) -> int:
        """Lots that an estate holds."""
        return abs(self.size(self.house.call("estate", market, is_long), market))

    # ---------------------------------------------------------------- acting

    def send(self, role: str, method: str, address: str, *args: Any) -> Tx:
        tx: Tx = self.venue.contracts[role].send(method, *args, sender=address)
        self._heard(method, tx)
        return tx

    def by(self, name: str, role: str, method: str, *args: Any) -> Tx:
        """A trader's call for his account."""
        who = self.traders[name]
        return self.send(role, method, who.address, who.account, *args)

    def reported(self) -> None:
        """The oracle goes on with the prices of the end; the keeper does what is due."""
        self.engine.wait(60)
        self._heard("update", self.venue.set_prices(self.prices))
        self.keeper.run()
        self.keeper.retry()

    def arrived(self) -> None:
        """Until marks and previous marks are where the prices are, and no round is open."""
        for _ in range(WALK):
            self.reported()
            read = [self.venue.oracle.call("price", market) for market in self.markets]
            there = all(
                (price.mark, price.previous) == (wanted, wanted)
                for price, wanted in zip(read, self.prices, strict=True)
            )
            if there and not self.venue.deleverager.call("is_busy"):
                return
        raise AssertionError("LEAVE: the marks do not arrive, or a round does not end")

    def everybody_out(self) -> None:
        """All that is needed for nobody to have anything left."""
        self.arrived()
        for name in self.names:
            self.by(name, "order_book", "cancel_all")
        for market in self.markets:
            self.close(market)
        # What the last positions owed for funding may have left somebody a unit short.
        self.reported()
        for name in self.names:
            self.withdraw(name)
        self.send("clearinghouse", "sweep_fees", self.engine.actor("passer-by"))
        self.redeem()

    def close(self, market: int) -> None:
        """Longs and shorts meet at the mark, each reducing only; lots of estates go to whoever is
        on the other side; the tranche's position by its work-off. What is left then, the maker
        takes and closes."""
        for _ in range(ROUNDS + 4 * len(self.names)):
            held = self.sizes(market)
            tranche = self.size(TRANCHE_ACCOUNT, market)
            lots = {side: self.lots(market, side) for side in (True, False)}
            if not held and not tranche and not any(lots.values()):
                return
            if self._pair(market, held) or self._taken(market, held, lots):
                continue
            if not self._work_off(market, held, tranche):
                self._help(market, held, lots)
        raise AssertionError(f"LEAVE: market {market}: still {self.sizes(market)}")

    def _order(self, name: str, market: int, is_buy: bool, size: int, tif: int, only: bool) -> None:
        mark = self.venue.oracle.call("mark", market)
        self.by(name, "order_book", "place", market, is_buy, size, mark, tif, only)

    def _meet(self, market: int, long: str, short: str, held: Mapping[str, int]) -> None:
        """A long sells to a short, as much as both have."""
        self._order(long, market, False, held[long], 0, True)
        self._order(short, market, True, -held[short], 1, True)
        self.by(long, "order_book", "cancel_all")

    def _pair(self, market: int, held: Mapping[str, int]) -> bool:
        """Two traders of different owners close against each other."""
        for long in (name for name, size in held.items() if size > 0):
            for short in (name for name, size in held.items() if size < 0):
                if self.traders[long].address != self.traders[short].address:
                    self._meet(market, long, short, held)
                    return True
        return False

    def _taken(self, market: int, held: Mapping[str, int], lots: Mapping[bool, int]) -> bool:
        """A trader closes against an estate of the other side."""
        for name, size in held.items():
            wanted = min(abs(size), lots[size < 0])
            if wanted:
                self.by(name, "deleverager", "take", market, size < 0, wanted)
                return True
        return False

    def _work_off(self, market: int, held: Mapping[str, int], tranche: int) -> bool:
        """The tranche's own order meets a trader on the other side."""
        name = next((n for n, size in held.items() if size * tranche < 0), None)
        if name is None:
            return False
        self.reported()
        self._order(name, market, tranche > 0, min(abs(tranche), abs(held[name])), 0, True)
        # Before anybody liquidates the trader for nothing, if it is weak: that voids its orders.
        self.keeper.tend_tranche()
        self.by(name, "order_book", "cancel_all")
        return True

    def _help(self, market: int, held: Mapping[str, int], lots: Mapping[bool, int]) -> None:
        """The maker takes an estate's lots; an owner closes two accounts of his against each
        other."""
        for side in (True, False):
            if lots[side]:
                name, size = self._helper(), lots[side]
                # As much as its margin allows; the other estate's lots give it room again.
                while not self._may_take(name, market, side, size):
                    size //= 2
                    assert size, f"LEAVE: {name} has no margin for the estates' {lots}"
                self.by(name, "deleverager", "take", market, side, size)
                return
        # No pair of different owners: all are one owner's.
        long = max(held, key=lambda name: held[name])
        short = min(held, key=lambda name: held[name])
        owner = self.traders[long].address
        ids = [self.traders[name].account for name in (long, short)]
        self.send("deleverager", "net", owner, *ids, market)

    def _helper(self) -> str:
        """Who takes what nobody else can: the market maker, or the richest trader while no money
        may come in."""
        if MAKER not in self.traders and self.maker and not self.house.call("uninsured"):
            tx = self.send("clearinghouse", "open_account", self.maker)
            account = int(tx.one("AccountOpened").account)
            self.traders[MAKER] = Trader(self.maker, account)
            self.names.append(MAKER)
            self.by(MAKER, "clearinghouse", "deposit", DEEP)
        return max(self.traders, key=lambda name: self._equity(name))

    def _equity(self, name: str) -> int:
        return int(self.house.call("equity", self.traders[name].account))

    def _may_take(self, name: str, market: int, side: bool, size: int) -> bool:
        who, adl = self.traders[name], self.venue.deleverager
        try:
            adl.call("take", who.account, market, side, size, sender=who.address)
        except Reverted as error:
            assert error.reason == "deleverager: margin does not allow it"
            return False
        return True

    def withdraw(self, name: str) -> None:
        """All of its cash."""
        who = self.traders[name]
        before = self.venue.usdc.call("balanceOf", who.address)
        if cash := self.cash(who.account):
            assert cash > 0, f"LEAVE: {name} has {cash}"
            self.by(name, "clearinghouse", "withdraw", cash)
        self.paid[name] = self.venue.usdc.call("balanceOf", who.address) - before

    def redeem(self) -> None:
        """Depositors ask, wait for the lock-up, and are paid for every share at once."""
        vault = self.venue.vault
        for address in self.depositors.values():
            locked = vault.call("exit_request", address)
            free = vault.call("balanceOf", address) - locked.matured - locked.pending
            if free:
                self.send("vault", "request_exit", address, free)
        self.engine.wait(DAY)
        self._heard("update", self.venue.set_prices(self.prices))
        for name, address in self.depositors.items():
            shares = vault.call("balanceOf", address)
            assert vault.call("maxRedeem", address) == shares, f"LEAVE: {name} must wait"
            before = self.venue.usdc.call("balanceOf", address)
            if shares and vault.call("previewRedeem", shares):
                self.send("vault", "redeem", address, shares, address, address)
                assert vault.call("balanceOf", address) == 0
            self.paid[name] = self.venue.usdc.call("balanceOf", address) - before

    # ---------------------------------------------------------------- what is left

    def remainder(self) -> Remainder:
        """Checks that every account but the vault's has nothing, and that the token balance is the
        sum of what is named. Raises AssertionError."""
        reading = self.ledger.check(anew=True)
        for account in self.ledger.accounts:
            assert self.house.call("active_markets", account) == 0, f"LEAVE: account {account}"
            if account not in (VAULT_ACCOUNT, TRANCHE_ACCOUNT):
                assert self.cash(account) == 0, f"LEAVE: account {account}"
        pools = 0
        for market in self.markets:
            assert self.house.call("open_interest", market) == 0
            pools += self.house.call("funding_pool", market)
        assert pools == reading.remainder, "LEAVE: somebody's funding is not settled"
        assert reading.fees == 0
        rest = Remainder(
            vault=self.cash(VAULT_ACCOUNT),
            tranche=self.cash(TRANCHE_ACCOUNT),
            funding=pools,
            uninsured=reading.uninsured,
            donated=reading.unaccounted,
        )
        assert rest.vault >= 0 and rest.tranche >= 0
        assert reading.balance == rest.balance
        return rest
