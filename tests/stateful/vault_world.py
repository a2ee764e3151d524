"""A venue in process whose liquidator is a puppet: a test asks the ledger, the vault and the
deleverager for what a liquidator may, and everything else is the real thing.

Owns one engine and one venue; the identities of the ledger are checked after every transaction.
Used by test_vault.py.
"""

from __future__ import annotations

import functools
from typing import Any

import vyper

from breakwater import artifacts, contract
from breakwater.contract import Contract, EventDecoder, Tx
from breakwater.engine.base import Reverted
from breakwater.engine.revm import RevmEngine
from breakwater.ledger import Ledger
from breakwater.venue import Venue

USDC = 10**6
PPM = 10**6
POOL = 2**256 - 1
"""The market of a loss of no one market."""
VIRTUAL_SHARES, VIRTUAL_ASSETS = 10**6, 1
MAX_DEPOSIT, MAX_SHARES = 2**80, 2**128
DAY = 86_400
PRICES = [1_000, 200]
"""Micro-USDC a lot."""

PUPPET = """
# pragma version ~=0.4.3
@external
def act(target: address, data: Bytes[512]):
    raw_call(target, data)

@view
@external
def is_liquidatable(account: uint256) -> bool:
    return False
"""


@functools.cache
def _puppet() -> dict[str, Any]:
    return vyper.compile_code(PUPPET, output_formats=["abi", "bytecode"])


def ceil_div(amount: int, divisor: int) -> int:
    return -(-amount // divisor)


class World:
    """`world.put("one", 5 * USDC)`, `world.lose(3 * USDC)`, `world.take("one")`."""

    def __init__(self, check: bool = True) -> None:
        self.engine = RevmEngine()
        self.checking = check
        self.venue = self._deploy()
        self.vault, self.house = self.venue.vault, self.venue.clearinghouse
        self.puppet = self.venue.liquidator
        self.prices = list(PRICES)
        for number, price in enumerate(PRICES):
            self.venue.add_market(f"M{number}", 2, 20, 0, price)
        self.ledger = Ledger(self.venue)
        self.ledger.enumerate()
        self.main = int(self.house.call("vault_account"))
        self.tranche = int(self.house.call("tranche_account"))
        self.keeper = self.engine.actor("keeper")
        self.owner = self.venue.owner
        # Takes the other side of everything, and loses what insurance is paid for.
        self.deep = self._account("deep", 10**18)
        self.sink = self._account("sink", USDC)

    def _deploy(self) -> Venue:
        compiled = artifacts.load()
        decoder = EventDecoder()
        owner, reporter = self.engine.actor("owner"), self.engine.actor("reporter")

        def new(role: str, *args: object) -> Contract:
            made = compiled[Venue.NAMES[role]]
            return contract.deploy(
                self.engine, made.name, made.abi, made.bytecode, args, sender=owner, decoder=decoder
            )

        parts = {"usdc": new("usdc"), "oracle": new("oracle", 1, 3_600, 0)}
        house = parts["clearinghouse"] = new("clearinghouse", parts["usdc"], parts["oracle"])
        parts["order_book"] = new("order_book", house)
        vault = parts["vault"] = new("vault", house, parts["usdc"])
        parts["score"] = new("score")
        parts["deleverager"] = new("deleverager", house, parts["oracle"], vault, parts["score"])
        made = _puppet()
        code = bytes.fromhex(made["bytecode"].removeprefix("0x"))
        parts["liquidator"] = contract.deploy(
            self.engine, "Puppet", made["abi"], code, (), sender=owner, decoder=decoder
        )
        parts["governor"] = new("governor", house)
        parts["lens"] = new("lens", house)
        parts["adl_lens"] = new("adl_lens", house)
        wired = ["order_book", "liquidator", "deleverager", "vault", "governor"]
        house.send("wire", *(parts[name] for name in wired), sender=owner)
        parts["oracle"].send("wire", parts["deleverager"], parts["order_book"], house, sender=owner)
        parts["oracle"].send("set_reporter", reporter, True, sender=owner)
        scan = parts["scan_ranking"] = new("scan_ranking", house)
        parts["deleverager"].send("set_engine", scan, scan, sender=owner)
        return Venue(self.engine, parts, owner, reporter)

    def _account(self, label: str, amount: int) -> int:
        address = self.engine.actor(label)
        tx = self.seen(self.house.send("open_account", sender=address))
        account = int(tx.one("AccountOpened").account)
        self.seen(self.venue.deposit(address, account, amount))
        return account

    # ---------------------------------------------------------------- acting

    def seen(self, tx: Tx) -> Tx:
        """Every transaction ends here."""
        self.ledger.observe(tx.events)
        if self.checking:
            self.ledger.check()
        return tx

    def send(self, who: str, method: str, *args: Any) -> Tx:
        """A transaction of an actor's to the vault."""
        return self.seen(self.vault.send(method, *args, sender=self.engine.actor(who)))

    def act(self, role: str, method: str, *args: Any) -> Tx:
        """What the liquidator may ask of one of the contracts."""
        target = self.venue.contracts[role]
        data = target.encode(method, *args)
        return self.seen(self.puppet.send("act", target, data, sender=self.keeper))

    def fund(self, who: str, amount: int = 2**90) -> str:
        """Test money for an actor, and an allowance for the vault."""
        address = self.engine.actor(who)
        self.venue.mint(address, amount, self.vault)
        return address

    def put(self, who: str, amount: int) -> int:
        """A deposit. Returns the shares."""
        address = self.fund(who, amount)
        return int(self.send(who, "deposit", amount, address).one("Deposit").shares)

    def gift(self, amount: int) -> None:
        self.fund("donor", amount)
        self.send("donor", "contribute", amount)

    def take(self, who: str, shares: int | None = None) -> int:
        """Requests, waits for and redeems shares, all of them by default. Returns what was paid."""
        address = self.engine.actor(who)
        if shares is None:
            shares = self.shares(who)
        self.send(who, "request_exit", shares)
        self.wait(self.vault.call("exit_delay"))
        self.epoch()
        return int(self.send(who, "redeem", shares, address, address).one("Withdraw").assets)

    def lose(self, amount: int, market: int = POOL) -> int:
        """A loss that insurance is asked to pay. Returns what it paid."""
        return int(self.act("vault", "pay", market, self.sink, amount).one("Paid").paid)

    def owe(self, amount: int) -> None:
        """A loss that nobody pays: the sink has the money, and no account lacks it."""
        self.act("clearinghouse", "transfer_cash", self.deep, self.sink, amount)
        self.act("clearinghouse", "write_off", self.deep, amount)

    def hold(self, market: int, size: int) -> None:
        """The tranche takes signed lots over at the mark."""
        buyer, seller = (self.tranche, self.deep) if size > 0 else (self.deep, self.tranche)
        quote = abs(size) * self.prices[market]
        self.act("clearinghouse", "exchange", market, buyer, seller, abs(size), quote)

    def bankrupt(self, market: int, size: int, price: int) -> None:
        """An estate takes a bankrupt's long lots over at `price`, against the deep account."""
        estate = self.house.call("estate", market, True)
        self.act("clearinghouse", "exchange", market, estate, self.deep, size, size * price)
        self.act("deleverager", "add_lot", market, True, self.sink, size, -size * price)

    def advance(self, steps: int = 256) -> Tx:
        return self.seen(self.venue.deleverager.send("advance", steps, sender=self.keeper))

    def epoch(self, prices: dict[int, int] | None = None) -> None:
        """One oracle epoch."""
        for market, price in (prices or {}).items():
            self.prices[market] = price
        self.seen(self.venue.set_prices(self.prices))

    def wait(self, seconds: int) -> None:
        """Time without funding: an hour that ends at a stale price pays none."""
        oracle = self.venue.oracle
        interval, stale_after, step = (
            oracle.call(name) for name in ("min_interval", "stale_after", "max_step")
        )
        self.seen(oracle.send("set_parameters", interval, interval + 1, step, sender=self.owner))
        self.engine.wait(seconds)
        self.seen(oracle.send("set_parameters", interval, stale_after, step, sender=self.owner))

    def govern(self, method: str, *args: Any) -> Tx:
        return self.seen(self.vault.send(method, *args, sender=self.owner))

    def settle(self, market: int, price: int) -> None:
        """Halts a market and, a day later, settles it."""
        self.seen(self.venue.governor.send("halt", market, sender=self.owner))
        self.wait(DAY)
        self.epoch()
        self.seen(self.venue.governor.send("settle_market", market, price, sender=self.owner))

    def close_settled(self, market: int, price: int) -> None:
        """As the liquidator does it: the tranche's and the deep account's positions."""
        other = self.house.call("settlement_account", market)
        for account in (self.tranche, self.deep):
            size = self.house.call("position", account, market).size
            buyer, seller = (other, account) if size > 0 else (account, other)
            self.act(
                "clearinghouse", "exchange", market, buyer, seller, abs(size), abs(size) * price
            )

    # ---------------------------------------------------------------- reading

    def call(self, method: str, *args: Any) -> Any:
        return self.vault.call(method, *args)

    def shares(self, who: str) -> int:
        return int(self.call("balanceOf", self.engine.actor(who)))

    def maximum(self, what: str, who: str) -> int:
        return int(self.call(f"max{what}", self.engine.actor(who)))

    def cash(self) -> int:
        return int(self.house.call("cash", self.main))

    def busy(self) -> bool:
        return bool(self.venue.deleverager.call("is_busy"))

    def refusal(self, who: str, method: str, *args: Any) -> str | None:
        """The reason for which the vault refuses a call of an actor's, if it does."""
        try:
            self.vault.call(method, *args, sender=self.engine.actor(who))
        except Reverted as error:
            return error.reason
        return None

    def expected_value(self) -> tuple[int, int, int]:
        """The tranche's worth for exits, at the mark and for entries, from its positions."""
        haircut = self.call("exit_haircut")
        middle = low = high = int(self.house.call("equity", self.tranche))
        for market in range(len(self.prices)):
            position = self.house.call("position", self.tranche, market)
            if not position.size or self.house.call("settlement_account", market):
                continue
            mark = self.house.call("mark", market)
            worths = sorted(position.size * price for price in self._prices(market))
            low += worths[0] - position.size * mark
            high += worths[-1] - position.size * mark
            low -= ceil_div(abs(worths[0]) * haircut, PPM)
        return max(low, 0), max(middle, 0), max(high, 0)

    def _prices(self, market: int) -> list[int]:
        """What a position may come to be worth: mark, previous mark, oracle price."""
        oracle = self.venue.oracle
        return [
            self.house.call("mark", market),
            oracle.call("previous_mark", market),
            oracle.call("oracle_price", market),
        ]

    def fees_due(self) -> int:
        """What a sweep would bring the vault."""
        fees = int(self.house.call("fees"))
        if self.house.call("treasury") == 0:
            return fees
        return fees * int(self.house.call("vault_share")) // PPM

    def estate_gains(self) -> int:
        """What estates have gained since their rounds ended, at the best of the three prices."""
        gained = 0
        for market in range(len(self.prices)):
            for side in (True, False):
                estate = self.house.call("estate", market, side)
                size = self.house.call("position", estate, market).size
                moved = 0
                if not self.house.call("settlement_account", market):
                    mark = self.house.call("mark", market)
                    moved = max(size * (price - mark) for price in self._prices(market))
                gained += max(self.house.call("equity", estate) + max(moved, 0), 0) if size else 0
        return gained
