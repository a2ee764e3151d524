"""One trader at a deployed venue, in human units: what `ape run trade` and the console use.

Owns the step between decimal text and the venue's integers, and the report of what a transaction
did. Sizes are in units of the market's asset, prices and money in USDC, all as decimal strings. It
decides nothing: what the venue refuses is raised as `Reverted` with the contract's own reason.

It works on any engine whose accounts may send. A venue's money is a test token, so a trader may
mint; a price reporter may report prices; on a local chain anyone may let time pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from breakwater import units
from breakwater.contract import Tx
from breakwater.engine.base import Engine, checksum
from breakwater.venue import SCALE, TIME_IN_FORCE, Venue

HOUR: Final = 3_600

_REASONS: Final = {
    1: "cancelled",
    2: "void",
    4: "own order",
    8: "the maker's margin",
    16: "nothing more at this price",
    32: "64 resting orders were met, place the rest again",
    64: "what is left is beyond the price band",
    128: "nothing to reduce",
    256: "makers whose price is stale stand in the way",
}


class TradeError(Exception):
    """A request that cannot be put to the venue as it is: the message says what to change."""


@dataclass(frozen=True)
class Market:
    """A market's id and units."""

    id: int
    symbol: str
    size_decimals: int
    max_leverage: int

    def lots(self, size: str) -> int:
        """A size above zero, in units, as lots. Raises UnitError off the grid, TradeError at 0."""
        count = units.lots(size, self.size_decimals, self.symbol)
        if count <= 0:
            raise TradeError(f"size {size}: a size is above zero, buy and sell say which way")
        return count

    def ticks(self, price: str) -> int:
        """A price in USDC as ticks. Raises UnitError off the grid."""
        return units.ticks(price, self.size_decimals, self.symbol)

    def size(self, lots: int) -> str:
        """Lots as units."""
        return units.format_lots(lots, self.size_decimals)

    def price(self, ticks: int) -> str:
        """Ticks as USDC; "-" for 0, which is no price."""
        return units.format_ticks(ticks, self.size_decimals) if ticks else "-"


@dataclass(frozen=True)
class Position:
    """A position: `size` with its sign, `entry` the mean price of what is held, `pnl` at the mark
    and `funding` owed and not yet settled (below zero: to be received), in USDC."""

    market: str
    size: str
    entry: str
    mark: str
    pnl: str
    funding: str
    leverage: str

    def __str__(self) -> str:
        owed = f", funding owed {self.funding}" if self.funding != "0" else ""
        limit = f", own leverage {self.leverage}x" if self.leverage != "0" else ""
        return (
            f"{self.market} {self.size} at {self.entry}, mark {self.mark}, "
            f"profit {self.pnl}{owed}{limit}"
        )


@dataclass(frozen=True)
class Order:
    """A resting order."""

    id: int
    market: str
    side: str
    size: str
    price: str
    reduce_only: bool

    def __str__(self) -> str:
        only = ", reduce only" if self.reduce_only else ""
        return f"order {self.id}: {self.side} {self.size} {self.market} at {self.price}{only}"


@dataclass(frozen=True)
class Account:
    """An account's money in USDC, its positions and resting orders."""

    id: int
    cash: str
    equity: str
    initial: str
    maintenance: str
    fresh: bool
    positions: tuple[Position, ...]
    orders: tuple[Order, ...]
    isolated: str | None

    def __str__(self) -> str:
        lines = [
            f"account {self.id}: cash {self.cash}, equity {self.equity}, initial margin "
            f"{self.initial}, maintenance margin {self.maintenance}"
        ]
        if self.isolated:
            lines.append(f"isolated: for {self.isolated} only")
        if not self.fresh:
            lines.append("a price is stale: what adds risk is refused until the next update")
        lines += [str(position) for position in self.positions] or ["no position"]
        lines += [str(order) for order in self.orders] or ["no open order"]
        return "\n".join(lines)


@dataclass(frozen=True)
class Depth:
    """Levels of a book, (price, size) best first, and the mark."""

    market: str
    mark: str
    bids: tuple[tuple[str, str], ...]
    asks: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        lines = [f"{size:>14} at {price}" for price, size in reversed(self.asks)] or ["no asks"]
        lines.append(f"--- {self.market}, mark {self.mark}")
        lines += [f"{size:>14} at {price}" for price, size in self.bids] or ["no bids"]
        return "\n".join(lines)


@dataclass(frozen=True)
class Funding:
    """A market's funding: what an hour will cost at the samples so far, and the index."""

    market: str
    oracle_price: str
    premium: str
    rate: str
    index: str
    seconds: int
    next_in: int
    fresh: bool

    def __str__(self) -> str:
        who = "shorts" if self.rate.startswith("-") else "longs"
        lines = [
            f"{self.market}: oracle price {self.oracle_price}, premium {self.premium} over "
            f"{self.seconds} s of samples",
            f"rate for this hour {self.rate}: {who} pay; next funding in {self.next_in} s",
            f"index {self.index} USDC paid so far by 1 {self.market} long",
        ]
        if not self.fresh:
            lines.append("the price is stale: no funding accrues until the next update")
        return "\n".join(lines)


@dataclass(frozen=True)
class Done:
    """What an order did. `fills` are (size, price, maker's account), `order_id` is None unless
    something rests; `fee` and `funding` were paid (funding below zero: received), in USDC."""

    market: str
    side: str
    fills: tuple[tuple[str, str, int], ...]
    order_id: int | None
    rests: str
    unfilled: str
    why: str
    fee: str
    funding: str
    position: str

    def __str__(self) -> str:
        verb = "bought" if self.side == "buy" else "sold"
        lines = [
            f"{verb} {size} {self.market} at {price} from account {maker}"
            if self.side == "buy"
            else f"{verb} {size} {self.market} at {price} to account {maker}"
            for size, price, maker in self.fills
        ]
        if self.order_id is not None:
            lines.append(f"order {self.order_id} rests: {self.side} {self.rests} {self.market}")
        if self.unfilled != "0":
            lines.append(f"not filled: {self.unfilled} {self.market} ({self.why})")
        if self.funding != "0":
            lines.append(f"funding settled: {self.funding}")
        if self.fills:
            lines.append(f"fee {self.fee}, position now {self.position} {self.market}")
        return "\n".join(lines)


class Trader:
    """Acts for one address at a venue. Wherever an account id is asked for, None stands for the
    address' only account."""

    def __init__(self, venue: Venue, address: str) -> None:
        self.venue = venue
        self.address = checksum(address)

    def __repr__(self) -> str:
        return f"<Trader {self.address}>"

    @classmethod
    def connect(cls, addresses: str | Path, account: Any) -> Trader:
        """A trader on the network that Ape is connected to: `addresses` is the file that
        `ape run deploy` wrote, `account` an Ape account.

        Raises TradeError if the file is none of a venue's, or the venue is not on this network.
        """
        import ape

        from breakwater.engine.ape import ApeEngine

        provider = ape.networks.provider
        theirs, ours = provider.web3.eth.chain_id, provider.chain_id
        if theirs != ours:
            raise TradeError(
                f"the node says chain id {theirs}, but Ape signs for {ours} on "
                f"{provider.network_choice}. For an anvil as it comes: APE_FOUNDRY_HOST=<its "
                "address> and --network ethereum:local:foundry"
            )
        engine = ApeEngine(account, provider)
        trader = cls(load(engine, addresses), engine.actor("trader"))
        if not provider.web3.eth.get_code(trader.venue.clearinghouse.address):
            raise TradeError(
                f"there is no venue at the addresses of {addresses} on {provider.network_choice}: "
                "is it the node that it was deployed to, and still running?"
            )
        return trader

    @property
    def engine(self) -> Engine:
        """The chain."""
        return self.venue.engine

    # --- Accounts and money ----------------------------------------------------------------------

    def accounts(self) -> list[int]:
        """Ids of the address' accounts. Asks for every account of the venue: for a devnet."""
        house = self.venue.clearinghouse
        count = house.call("account_count")
        return [n for n in range(1, count + 1) if house.call("account_owner", n) == self.address]

    def account(self, account: int | None = None) -> int:
        """`account`, or the address' only one. Raises TradeError if there is none, or a choice."""
        if account is not None:
            return account
        own = self.accounts()
        if not own:
            raise TradeError(f"{self.address} has no account here yet: open one")
        if len(own) > 1:
            raise TradeError(f"{self.address} has the accounts {_listed(own)}: say which")
        return own[0]

    def open(self, isolated: str | None = None) -> int:
        """Opens an account, isolated to a market if one is named. Returns its id."""
        if isolated is None:
            tx = self._house("open_account")
        else:
            tx = self._house("open_isolated_account", self.market(isolated).id)
        return int(tx.one("AccountOpened").account)

    def mint(self, amount: str) -> str:
        """Mints test USDC for the address. Returns its balance."""
        self.venue.usdc.send("mint", self.address, _money(amount), sender=self.address)
        return self.balance()

    def balance(self) -> str:
        """USDC of the address outside the venue."""
        return units.format_usdc(self.venue.usdc.call("balanceOf", self.address))

    def deposit(self, amount: str, account: int | None = None) -> str:
        """Pays USDC of the address into an account. Returns the account's cash."""
        micro, number = _money(amount), self.account(account)
        usdc, house = self.venue.usdc, self.venue.clearinghouse
        balance = usdc.call("balanceOf", self.address)
        if balance < micro:
            raise TradeError(
                f"{self.address} has {units.format_usdc(balance)} USDC: mint test USDC first"
            )
        if usdc.call("allowance", self.address, house) < micro:
            usdc.send("approve", house, micro, sender=self.address)
        tx = self._house("deposit", number, micro)
        return units.format_usdc(tx.one("Deposited").cash)

    def withdraw(self, amount: str, account: int | None = None) -> tuple[str, str]:
        """Takes USDC out of an account. Returns what was paid and the cash left; less than asked
        for is paid only while a loss of the venue is uninsured."""
        tx = self._house("withdraw", self.account(account), _money(amount))
        event = tx.one("Withdrawn")
        return units.format_usdc(event.paid), units.format_usdc(event.cash)

    def transfer(self, amount: str, to: int, account: int | None = None) -> tuple[str, str]:
        """Moves USDC between two accounts of the address. Returns the cash of both after it."""
        event = self._house("transfer", self.account(account), to, _money(amount)).one("CashMoved")
        return units.format_usdc(event.source_cash), units.format_usdc(event.to_cash)

    def set_leverage(self, market: str, leverage: int, account: int | None = None) -> int:
        """The account's own limit in one market; 0 for the market's. Returns the limit."""
        number, where = self.account(account), self.market(market)
        tx = self._house("set_leverage", number, where.id, leverage)
        return int(tx.one("PositionChanged").leverage) or where.max_leverage

    # --- Orders ----------------------------------------------------------------------------------

    def buy(self, market: str, size: str, price: str, **options: Any) -> Done:
        """A limit order; see `order`."""
        return self.order(market, True, size, price, **options)

    def sell(self, market: str, size: str, price: str, **options: Any) -> Done:
        """A limit order; see `order`."""
        return self.order(market, False, size, price, **options)

    def order(
        self,
        market: str,
        is_buy: bool,
        size: str,
        price: str,
        tif: str = "gtc",
        reduce_only: bool = False,
        account: int | None = None,
    ) -> Done:
        """A limit order: `tif` is "gtc" (rests), "ioc" (is dropped) or "post-only" (only rests)."""
        if tif not in TIME_IN_FORCE:
            raise TradeError(f"time in force {tif!r}: one of {', '.join(TIME_IN_FORCE)}")
        where, number = self.market(market), self.account(account)
        tx = self.venue.order_book.send(
            "place",
            number,
            where.id,
            is_buy,
            where.lots(size),
            where.ticks(price),
            TIME_IN_FORCE[tif],
            reduce_only,
            sender=self.address,
        )
        return self._done(tx, where, number, is_buy)

    def market_order(
        self,
        market: str,
        is_buy: bool,
        size: str,
        slippage: str = "0.01",
        reduce_only: bool = False,
        account: int | None = None,
    ) -> Done:
        """Trades at once, at most the fraction `slippage` worse than the mark."""
        where, number = self.market(market), self.account(account)
        tx = self.venue.order_book.send(
            "place_market",
            number,
            where.id,
            is_buy,
            where.lots(size),
            units.fraction_ppm(slippage),
            reduce_only,
            sender=self.address,
        )
        return self._done(tx, where, number, is_buy)

    def cancel(self, order_id: int) -> str:
        """Takes one order out of the book. Returns the size that rested."""
        order = self.venue.order_book.call("order", order_id)
        self.venue.order_book.send("cancel", order_id, sender=self.address)
        return self._markets_by_id(order.market).size(order.size)

    def cancel_all(self, account: int | None = None) -> int:
        """Voids every order of an account. Returns how many were open."""
        number, book = self.account(account), self.venue.order_book
        count = len(book.call("open_orders", number))
        book.send("cancel_all", number, sender=self.address)
        return count

    # --- What there is ---------------------------------------------------------------------------

    def markets(self) -> list[Market]:
        """Every market of the venue."""
        return [self._markets_by_id(n) for n in range(self._market_count())]

    def market(self, symbol: str) -> Market:
        """A market by its symbol or id. Raises TradeError with the choice."""
        known = self.markets()
        for market in known:
            if symbol in (market.symbol, str(market.id)):
                return market
        names = ", ".join(market.symbol for market in known) or "none"
        raise TradeError(f"there is no market {symbol}. There are: {names}")

    def show(self, account: int | None = None) -> Account:
        """Money, positions and orders of an account, anyone's if its id is given."""
        number, house = self.account(account), self.venue.clearinghouse
        if int(house.call("account_owner", number), 16) == 0:
            raise TradeError(f"there is no account {number}")
        margin = house.call("margin", number)
        isolated = house.call("isolated_to", number)
        return Account(
            id=number,
            cash=units.format_usdc(house.call("cash", number)),
            equity=units.format_usdc(margin.equity),
            initial=units.format_usdc(margin.initial),
            maintenance=units.format_usdc(margin.maintenance),
            fresh=margin.is_fresh,
            positions=tuple(self._positions(number)),
            orders=tuple(self._orders(number)),
            isolated=self._markets_by_id(isolated - 1).symbol if isolated else None,
        )

    def depth(self, market: str, levels: int = 10) -> Depth:
        """The book of a market, `levels` (at most 100) of each side."""
        where, book = self.market(market), self.venue.order_book

        def side(is_buy: bool) -> tuple[tuple[str, str], ...]:
            found = book.call("depth", where.id, is_buy, levels)
            return tuple((where.price(level.price), where.size(level.size)) for level in found)

        mark = where.price(self.venue.clearinghouse.call("mark", where.id))
        return Depth(where.symbol, mark, side(True), side(False))

    def funding(self, market: str) -> Funding:
        """A market's funding so far and what this hour will cost."""
        where, oracle = self.market(market), self.venue.oracle
        sample = oracle.call("last_sample", where.id)
        price = oracle.call("price", where.id)
        # As the contract: truncated toward zero.
        premium = abs(sample.premium) // sample.seconds if sample.seconds else 0
        per_unit = price.index * 10**where.size_decimals
        return Funding(
            market=where.symbol,
            oracle_price=where.price(price.oracle),
            premium=units.format_scaled(-premium if sample.premium < 0 else premium, 9),
            rate=units.format_scaled(oracle.call("expected_rate", where.id), 9),
            index=units.format_scaled(per_unit, 9 + units.USDC_DECIMALS),
            seconds=sample.seconds,
            next_in=HOUR - self.engine.timestamp % HOUR,
            fresh=oracle.call("is_fresh", where.id),
        )

    # --- A devnet's prices and clock -------------------------------------------------------------

    def sample(self, market: str) -> None:
        """Has the oracle look at a market's book: for the mark and the funding premium. Anyone."""
        self.venue.oracle.send("sample", self.market(market).id, sender=self.address)

    def report(self, prices: dict[str, str]) -> dict[str, str]:
        """Begins an epoch with these prices by symbol, the oracle's last one for the others. The
        address must be a price reporter's. Returns the marks after it."""
        known = self.markets()
        given = {self.market(symbol).id: price for symbol, price in prices.items()}
        oracle = self.venue.oracle
        ticks = [
            where.ticks(given[where.id])
            if where.id in given
            else oracle.call("oracle_price", where.id)
            for where in known
        ]
        oracle.send("update", ticks, sender=self.address)
        return {where.symbol: where.price(oracle.call("mark", where.id)) for where in known}

    def wait(self, seconds: int) -> None:
        """Lets time pass on a local chain. Raises EngineError where the clock cannot be set."""
        self.engine.wait(seconds)

    def wait_for_funding(self) -> int:
        """Lets time pass until the next full hour. The first report after it accrues the hour's
        funding, if the last one is not older than an hour. Returns the seconds."""
        seconds = HOUR - self.engine.timestamp % HOUR
        self.wait(seconds)
        return seconds

    # --- Within ----------------------------------------------------------------------------------

    def _house(self, method: str, *args: object) -> Tx:
        return self.venue.clearinghouse.send(method, *args, sender=self.address)

    def _market_count(self) -> int:
        return int(self.venue.clearinghouse.call("market_count"))

    def _markets_by_id(self, market: int) -> Market:
        found = self.venue.governor.call("market", market)
        return Market(market, found.symbol, found.size_decimals, found.max_leverage)

    def _positions(self, account: int) -> Iterator[Position]:
        house = self.venue.clearinghouse
        active = house.call("active_markets", account)
        for market in range(active.bit_length()):
            if not active >> market & 1:
                continue
            where = self._markets_by_id(market)
            found = house.call("position", account, market)
            mark = house.call("mark", market)
            owed = found.size * (self._index(market) - found.index)
            yield Position(
                market=where.symbol,
                size=where.size(found.size),
                entry=units.format_unit_price(found.quote, found.size, where.size_decimals, 6),
                mark=where.price(mark),
                pnl=units.format_usdc(found.size * mark + found.quote),
                # Rounded up, as it will be settled.
                funding=units.format_usdc(-(-owed // SCALE)),
                leverage=str(found.leverage),
            )

    def _index(self, market: int) -> int:
        house = self.venue.clearinghouse
        if house.call("settlement_account", market):
            return int(house.call("settlement_index", market))
        return int(self.venue.oracle.call("index", market))

    def _orders(self, account: int) -> Iterator[Order]:
        for order in self.venue.order_book.call("open_orders", account):
            where = self._markets_by_id(order.market)
            yield Order(
                id=order.order_id,
                market=where.symbol,
                side="buy" if order.is_buy else "sell",
                size=where.size(order.size),
                price=where.price(order.price),
                reduce_only=order.reduce_only,
            )

    def _done(self, tx: Tx, where: Market, account: int, is_buy: bool) -> Done:
        placed = tx.all("OrderPlaced")
        unfilled = tx.all("Unfilled")
        fees = sum(e.args["amount"] for e in tx.all("FeeCharged") if e.account == account)
        paid = sum(e.args["paid"] for e in tx.all("FundingSettled") if e.account == account)
        held = self.venue.clearinghouse.call("position", account, where.id).size
        return Done(
            market=where.symbol,
            side="buy" if is_buy else "sell",
            fills=tuple(
                (where.size(fill.size), where.price(fill.price), fill.maker)
                for fill in tx.all("Filled")
            ),
            order_id=placed[0].order_id if placed else None,
            rests=where.size(placed[0].size) if placed else "0",
            unfilled=where.size(sum(event.size for event in unfilled)),
            why=_REASONS.get(unfilled[0].reason, "") if unfilled else "",
            fee=units.format_usdc(fees),
            funding=units.format_usdc(paid),
            position=where.size(held),
        )


def load(engine: Engine, addresses: str | Path) -> Venue:
    """The venue whose addresses are in this file. Raises TradeError if it is not such a file."""
    try:
        return Venue.at(engine, json.loads(Path(addresses).read_text()))
    except FileNotFoundError:
        raise TradeError(f"there is no file {addresses}: `ape run deploy` writes it") from None
    except KeyError as error:
        raise TradeError(f"{addresses} names no {error.args[0]}: not of this venue") from None
    except (OSError, ValueError, TypeError) as error:
        raise TradeError(f"{addresses} is not a file of addresses: {error}") from None


def account_names(addresses: str | Path) -> dict[int, str]:
    """Names of accounts by id, where the file has them: a crash writes those of its scenario."""
    try:
        named = json.loads(Path(addresses).read_text()).get("accounts", {})
        return {int(account): str(name) for name, account in named.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        # `load` says what is wrong with it.
        return {}


def _money(amount: str) -> int:
    micro = units.usdc(amount)
    if micro <= 0:
        raise TradeError(f"amount {amount}: an amount is above zero")
    return micro


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)
