"""A venue in process on which a test states what everybody holds, in plain decimal figures.

Owns one engine, one venue and a deep-pocketed counterparty who takes the other side of every stated
position. After each transaction every identity of the ledger is checked. Used by tests/vectors
and tests/adversarial; it decides nothing about what is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from breakwater import artifacts, contract
from breakwater.contract import Contract, Tx
from breakwater.engine.base import Engine
from breakwater.engine.revm import RevmEngine
from breakwater.ledger import Ledger, Solvency
from breakwater.model import adl
from breakwater.venue import CLOSE_RULES, VAULT_ACCOUNT, Venue, VenueConfig

USDC = 10**6
VAULT = VAULT_ACCOUNT
MAX_SIZE = 2**54
MAX_TICK = 2**24 - 1
HOUR = 3_600
GTC, IOC, POST_ONLY = range(3)


@dataclass(frozen=True)
class MarketSpec:
    """What a test says of a market; `price` in dollars a unit."""

    price: str
    leverage: int = 20
    decimals: int = 2
    min_notional: int = 0


def usdc(amount: str | int) -> int:
    """Dollars to micro-USDC, exact."""
    return _whole(Decimal(amount) * USDC)


def _whole(value: Decimal) -> int:
    assert value == int(value), f"{value} is off the grid"
    return int(value)


class Bench:
    """`bench.account("loser", "100")`, `bench.hold("loser", 0, "10", "100")`, `bench.mark(...)`."""

    def __init__(
        self,
        *markets: MarketSpec,
        engine: Engine | None = None,
        check: bool = True,
        venue: type[Venue] = Venue,
        **config: Any,
    ) -> None:
        self.engine = engine or RevmEngine()
        self.venue = venue.deploy(
            self.engine, VenueConfig(**{"min_interval": 1, "max_step": 0, **config})
        )
        self.specs = list(markets)
        self.checking = check
        self.prices = [self.ticks(m, spec.price) for m, spec in enumerate(markets)]
        for m, spec in enumerate(markets):
            self.venue.add_market(
                f"M{m}", spec.decimals, spec.leverage, spec.min_notional, self.prices[m]
            )
        self.ledger = Ledger(self.venue)
        self.ledger.enumerate()
        self.ids: dict[str, int] = {}
        self.owners: dict[str, str] = {}
        self.keeper = self.engine.actor("keeper")
        self.account("counterparty", "1000000000000")

    # ---------------------------------------------------------------- units

    def ticks(self, market: int, price: str) -> int:
        """Dollars a unit to ticks, exact."""
        return _whole(Decimal(price) * 10 ** (6 - self.specs[market].decimals))

    def lots(self, market: int, size: str) -> int:
        """Units to lots, exact."""
        return _whole(Decimal(size) * 10 ** self.specs[market].decimals)

    def deploy(self, name: str, *args: object) -> Contract:
        """Another contract beside the venue's, the owner's."""
        made = artifacts.load()[name]
        return contract.deploy(
            self.engine, made.name, made.abi, made.bytecode, args,
            sender=self.venue.owner, decoder=self.venue.decoder,
        )  # fmt: skip

    def score_by(self, name: str, close: str) -> Contract:
        """Ranks by another score contract from now on."""
        rule = self.deploy(name)
        self.seen(
            self.venue.deleverager.send(
                "set_policy", rule, CLOSE_RULES[close], sender=self.venue.owner
            )
        )
        return rule

    # ---------------------------------------------------------------- acting

    def seen(self, tx: Tx) -> Tx:
        """Every transaction ends here."""
        self.ledger.observe(tx.events)
        if self.checking:
            self.ledger.check()
        return tx

    def account(self, name: str, collateral: str | int = 0, owner: str | None = None) -> int:
        """Opens an account of an actor's (named like the account unless told otherwise)."""
        address = self.owners[name] = self.engine.actor(owner or name)
        tx = self.seen(self.venue.clearinghouse.send("open_account", sender=address))
        self.ids[name] = int(tx.one("AccountOpened").account)
        if collateral:
            self.deposit(name, collateral)
        return self.ids[name]

    def isolated(self, name: str, market: int, collateral: str | int, owner: str) -> int:
        """An account for one market alone, of an owner who may have others."""
        address = self.owners[name] = self.engine.actor(owner)
        house = self.venue.clearinghouse
        tx = self.seen(house.send("open_isolated_account", market, sender=address))
        self.ids[name] = int(tx.one("AccountOpened").account)
        self.deposit(name, collateral)
        return self.ids[name]

    def deposit(self, name: str, amount: str | int) -> Tx:
        left = usdc(amount)
        while left > 2**80:
            self.seen(self.venue.deposit(self.owners[name], self.ids[name], 2**80))
            left -= 2**80
        return self.seen(self.venue.deposit(self.owners[name], self.ids[name], left))

    def withdraw(self, name: str, amount: str | int) -> Tx:
        return self.send("clearinghouse", "withdraw", name, self.ids[name], usdc(amount))

    def withdraw_to(self, name: str, equity: str | int) -> None:
        """Withdraws so much that this equity is left."""
        more = self.equity(name) - usdc(equity)
        assert more >= 0, f"{name} has less than {equity}"
        if more:
            self.send("clearinghouse", "withdraw", name, self.ids[name], more)

    def insure(self, amount: str | int) -> None:
        self.seen(self.venue.insure(usdc(amount)))

    def send(self, role: str, method: str, name: str, *args: Any) -> Tx:
        """A transaction of the named account's owner."""
        sender = self.owners.get(name) or self.engine.actor(name)
        return self.seen(self.venue.contracts[role].send(method, *args, sender=sender))

    def order(
        self, name: str, market: int, is_buy: bool, size: int, price: int, tif: str = "gtc"
    ) -> Tx:
        """An order in lots and ticks."""
        return self.seen(
            self.venue.place(self.owners[name], self.ids[name], market, is_buy, size, price, tif)
        )

    def place(
        self,
        name: str,
        market: int,
        is_buy: bool,
        size: int,
        price: int,
        tif: int = GTC,
        reduce_only: bool = False,
    ) -> Tx:
        """An order with all that may be said of it."""
        return self.send(
            "order_book", "place", name, self.ids[name], market, is_buy, size, price, tif,
            reduce_only,
        )  # fmt: skip

    def cancel_all(self, name: str) -> Tx:
        return self.send("order_book", "cancel_all", name, self.ids[name])

    def bid(self, name: str, market: int, size: str, price: str) -> Tx:
        return self.order(name, market, True, self.lots(market, size), self.ticks(market, price))

    def ask(self, name: str, market: int, size: str, price: str) -> Tx:
        return self.order(name, market, False, self.lots(market, size), self.ticks(market, price))

    def hold(
        self, name: str, market: int, size: str, entry: str, against: str = "counterparty"
    ) -> None:
        """Opens a stated position by a real trade, with the mark moved to its entry."""
        self.mark({market: entry})
        self.trade(
            name, market, self.lots(market, size), self.ticks(market, entry), against=against
        )

    def trade(
        self, name: str, market: int, size: int, price: int, against: str = "counterparty"
    ) -> None:
        """A trade of signed lots at ticks, whatever the mark is."""
        self.order(against, market, size < 0, abs(size), price)
        tx = self.order(name, market, size > 0, abs(size), price, "ioc")
        assert sum(fill.size for fill in tx.all("Filled")) == abs(size), tx.events

    def mark(self, prices: dict[int, str]) -> None:
        """One oracle epoch with these prices, the other markets as before; nothing if they stand
        there already."""
        wanted = {market: self.ticks(market, price) for market, price in prices.items()}
        if any(self.prices[market] != price for market, price in wanted.items()):
            self.epoch(wanted)

    def epoch(self, ticks: dict[int, int] | None = None) -> None:
        """One oracle epoch, prices in ticks."""
        for market, price in (ticks or {}).items():
            self.prices[market] = price
        self.seen(self.venue.set_prices(self.prices))

    def hour(self) -> Tx:
        """Waits for the next full hour and begins an epoch at it: funding accrues."""
        self.engine.wait(HOUR - self.engine.timestamp % HOUR - 1)
        return self.seen(self.venue.set_prices(self.prices))

    def sample(self, market: int = 0, wait: int = 0) -> Tx:
        """Reads the book `wait` + 1 seconds from now."""
        self.engine.wait(wait)
        return self.seen(self.venue.oracle.send("sample", market, sender=self.keeper))

    def govern(self, method: str, *args: Any) -> Tx:
        """A transaction of the owner's to the governor."""
        return self.seen(self.venue.governor.send(method, *args, sender=self.venue.owner))

    def trading_terms(
        self, market: int = 0, taker: int = 0, maker: int = 0, band: int = 0, cap: int = MAX_SIZE
    ) -> None:
        """Fees and band in parts per million, the open-interest cap in lots."""
        self.govern("set_trading_terms", market, taker, maker, band, 0, cap)

    def liquidate(self, name: str, steps: int = 40) -> Tx:
        return self.seen(
            self.venue.liquidator.send("liquidate", self.ids[name], steps, sender=self.keeper)
        )

    def advance(self, steps: int = 40) -> Tx:
        return self.seen(self.venue.deleverager.send("advance", steps, sender=self.keeper))

    def retry(self, market: int, is_long: bool, steps: int = 40) -> Tx:
        return self.seen(
            self.venue.deleverager.send("retry", market, is_long, steps, sender=self.keeper)
        )

    def finish(self, steps: int = 40) -> list[Tx]:
        """Advances until no round is open."""
        out = []
        while self.busy():
            out.append(self.advance(steps))
        return out

    # ---------------------------------------------------------------- reading

    def busy(self) -> bool:
        return bool(self.venue.deleverager.call("is_busy"))

    def cash(self, name: str) -> int:
        return int(self.venue.clearinghouse.call("cash", self.ids[name]))

    def equity(self, name: str) -> int:
        return int(self.venue.clearinghouse.call("equity", self.ids[name]))

    def position(self, name: str, market: int) -> tuple[int, int]:
        """Size in signed lots, quote in signed micro-USDC."""
        size, quote, *_ = self.venue.clearinghouse.call("position", self.ids[name], market)
        return int(size), int(quote)

    def estate(self, market: int, is_long: bool) -> int:
        return int(self.venue.clearinghouse.call("estate", market, is_long))

    def insurance(self) -> int:
        return int(self.venue.vault.call("available"))

    def uninsured(self) -> int:
        return int(self.venue.clearinghouse.call("uninsured"))

    def is_liquidatable(self, name: str) -> bool:
        return bool(self.venue.liquidator.call("is_liquidatable", self.ids[name]))

    def margin(self, name: str) -> Any:
        return self.venue.clearinghouse.call("margin", self.ids[name])

    def check(self) -> Solvency:
        return self.ledger.check(anew=True)

    def standings(self, market: int, longs: bool) -> list[adl.Standing]:
        """The traders on one side of a market as the model sees them."""
        house = self.venue.clearinghouse
        out = []
        for i in range(house.call("holder_count", market, longs)):
            account = house.call("holder_at", market, longs, i)
            if account == 0:
                continue
            size, quote, *_ = house.call("position", account, market)
            margin = house.call("margin", account)
            out.append(
                adl.Standing(
                    account, size, quote, margin.equity, house.call("cash", account),
                    margin.maintenance,
                    house.call("inflow", account, self.venue.oracle.call("epoch")),
                )
            )  # fmt: skip
        return out


def bench_with_untaken_lots() -> Bench:
    """Lots that found no winner: 10 long from $100 with $50, wound up at $90, where the only short
    stands at its entry. Nothing insures the $50."""
    bench = Bench(MarketSpec("100"))
    bench.account("bankrupt", "50")
    bench.hold("bankrupt", 0, "10", "100")
    bench.mark({0: "90"})
    bench.account("sink", "1000000")
    bench.trade("counterparty", 0, 1_000, bench.prices[0], against="sink")
    bench.liquidate("bankrupt")
    return bench
