"""A live view of a venue on a running node: prices and book, accounts with health and lights,
vault, rounds, receipts, and what just happened.

Owns the reading of one view and how it looks in a terminal; in a browser it looks as
`breakwater.watch_page` says. It only reads, each view at one block,
so what stands beside each other was true at the same time. A node that goes away is waited for; a
chain that was turned back or replaced is noticed and read from its beginning.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from breakwater import units
from breakwater.contract import ContractError, Event
from breakwater.engine.base import EngineError, Reverted
from breakwater.engine.read import NodeAwayError, ReadEngine
from breakwater.report.record import LIGHTS, light
from breakwater.risk import known_accounts, ranking
from breakwater.story import Storyteller, score_text
from breakwater.venue import TRANCHE_ACCOUNT, VAULT_ACCOUNT, Venue

LEVELS: Final = 5
ACCOUNTS_SHOWN: Final = 20
NEWS_SHOWN: Final = 10
RECEIPTS_SHOWN: Final = 10
LIGHTS_UP_TO: Final = 300
"""Accounts up to which lights are worked out in every view: each costs a call of the node."""


@dataclass(frozen=True)
class MarketUnits:
    """Units of one market."""

    symbol: str
    size_decimals: int

    def format_lots(self, lots: int) -> str:
        """Lots as units of the asset."""
        return units.format_lots(lots, self.size_decimals)

    def format_ticks(self, ticks: int) -> str:
        """Ticks as USDC."""
        return units.format_ticks(ticks, self.size_decimals)


@dataclass(frozen=True)
class MarketView:
    """One market: prices in USDC, levels as (price, size) best first."""

    symbol: str
    mark: str
    previous_mark: str
    oracle: str
    fresh: bool
    frozen: bool
    open_interest: str
    bids: tuple[tuple[str, str], ...]
    asks: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class AccountView:
    """One account: money in USDC, `health` equity per maintenance margin (None without a
    position), lights by market."""

    account: int
    name: str
    cash: str
    equity: str
    health: str | None
    weak: bool
    positions: tuple[tuple[str, str], ...]
    lights: Mapping[str, int]


@dataclass(frozen=True)
class RoundView:
    """The open round: lots of whose bankrupts (`side`), how many are taken; units of the asset."""

    number: int
    market: str
    side: str
    taken: str
    needed: str

    def __str__(self) -> str:
        return (
            f"round {self.number}: {self.taken} of {self.needed} {self.market} of bankrupt "
            f"{self.side}s taken"
        )


@dataclass(frozen=True)
class ReceiptView:
    """One ADL fill, as its event says: size in units of the asset, mark and haircut in USDC."""

    round: int
    rank: int
    exact: bool
    winner: str
    bankrupt: str
    market: str
    size: str
    mark: str
    score: str
    haircut: str


@dataclass(frozen=True)
class View:
    """The venue at one block."""

    block: int
    timestamp: int
    epoch: int
    markets: tuple[MarketView, ...]
    accounts: tuple[AccountView, ...]
    more_accounts: int
    held: str
    vault: str
    uninsured: str
    tranche: str
    round: RoundView | None
    waiting: bool
    news: tuple[str, ...]
    receipts: tuple[ReceiptView, ...]


@dataclass
class Watcher:
    """Looks at a venue on the node that its handles read from. `names` are of accounts by id."""

    engine: ReadEngine
    venue: Venue
    names: Mapping[int, str] = field(default_factory=dict)
    levels: int = LEVELS
    news: deque[str] = field(default_factory=lambda: deque(maxlen=NEWS_SHOWN))
    receipts: deque[ReceiptView] = field(default_factory=lambda: deque(maxlen=RECEIPTS_SHOWN))

    def __post_init__(self) -> None:
        self._seen = -1
        self._seen_hash: str | None = None

    def is_new(self) -> bool:
        """Goes to the node's newest block; whether that is another than at the last look. Raises
        NodeAwayError."""
        block = self.engine.refresh()
        return block != self._seen or self.engine.hash_of(block) != self._seen_hash

    def look(self) -> View:
        """The venue now. Raises NodeAwayError, and EngineError if the node has no such venue."""
        block = self.engine.refresh()
        if not self.engine.has_code(self.venue.clearinghouse.address):
            raise EngineError(
                f"there is no venue at {self.venue.clearinghouse.address} on the chain of "
                f"{self.engine.url} (block {block}): was the node started anew?"
            )
        if self._seen > block or (
            self._seen >= 0 and self.engine.hash_of(self._seen) != self._seen_hash
        ):
            self._seen = -1
            self.news.clear()
            self.receipts.clear()
        house = self.venue.clearinghouse
        self._units = [
            MarketUnits(found.symbol, found.size_decimals)
            for found in (
                self.venue.governor.call("market", market)
                for market in range(house.call("market_count"))
            )
        ]
        self._names = self._own_names()
        self._read_news(block)
        accounts, more = self._accounts()
        view = View(
            block=block,
            timestamp=self.engine.timestamp,
            epoch=self.venue.oracle.call("epoch"),
            markets=tuple(self._market(market) for market in range(len(self._units))),
            accounts=accounts,
            more_accounts=more,
            held=units.format_usdc(house.call("held")),
            vault=units.format_usdc(house.call("cash", VAULT_ACCOUNT)),
            uninsured=units.format_usdc(house.call("uninsured")),
            tranche=units.format_usdc(house.call("cash", TRANCHE_ACCOUNT)),
            round=self._round(),
            waiting=self.venue.deleverager.call("is_busy"),
            news=tuple(self.news),
            receipts=tuple(self.receipts),
        )
        # Only now: a node that went away in the middle is asked again from here.
        self._seen, self._seen_hash = block, self.engine.hash_of(block)
        return view

    def _own_names(self) -> dict[int, str]:
        names = {**self.names, VAULT_ACCOUNT: "vault", TRANCHE_ACCOUNT: "tranche"}
        for market, unit in enumerate(self._units):
            for is_long in (True, False):
                estate = self.venue.clearinghouse.call("estate", market, is_long)
                names[estate] = f"estate {unit.symbol} {'long' if is_long else 'short'}"
        return names

    def _read_news(self, block: int) -> None:
        decoder = self.venue.decoder
        logs = self.engine.logs_between(decoder.addresses, self._seen + 1, block)
        told: list[Event] = list(decoder.iterate(logs))
        self.news.extend(Storyteller(self._units, self._names).tell(told))
        self.receipts.extend(self._receipt(event) for event in told if event.name == "Deleveraged")

    def _receipt(self, event: Event) -> ReceiptView:
        unit = self._units[event.market]
        return ReceiptView(
            round=event.round,
            rank=event.rank,
            exact=event.exact,
            winner=self._who(event.winner),
            bankrupt=self._who(event.bankrupt),
            market=unit.symbol,
            size=unit.format_lots(event.size),
            mark=unit.format_ticks(event.mark),
            score=score_text(event.score),
            haircut=units.format_usdc(event.haircut),
        )

    def _who(self, account: int) -> str:
        return f"{account} {self._names.get(account, '')}".strip()

    def _market(self, market: int) -> MarketView:
        unit = self._units[market]
        price = self.venue.oracle.call("price", market)
        house = self.venue.clearinghouse

        def side(is_buy: bool) -> tuple[tuple[str, str], ...]:
            found = self.venue.order_book.call("depth", market, is_buy, self.levels)
            return tuple((unit.format_ticks(x.price), unit.format_lots(x.size)) for x in found)

        return MarketView(
            symbol=unit.symbol,
            mark=unit.format_ticks(house.call("mark", market)),
            previous_mark=unit.format_ticks(price.previous),
            oracle=unit.format_ticks(price.oracle),
            fresh=self.venue.oracle.call("is_fresh", market),
            frozen=bool(house.call("frozen_markets") >> market & 1),
            open_interest=unit.format_lots(house.call("open_interest", market)),
            bids=side(True),
            asks=side(False),
        )

    def _accounts(self) -> tuple[tuple[AccountView, ...], int]:
        known = known_accounts(self.venue)
        rows = [row for row in self.venue.rows(known) if row.cash or row.active_markets]
        lights: dict[int, dict[str, int]] = {}
        if len(known) <= LIGHTS_UP_TO:
            for market, unit in enumerate(self._units):
                for is_long in (True, False):
                    order = ranking(self.venue, market, is_long)
                    for rank, place in enumerate(order, start=1):
                        mine = lights.setdefault(place.account, {})
                        mine[unit.symbol] = light(rank, len(order))
        # The weakest first; who has no position stands last.
        rows.sort(
            key=lambda row: (
                row.maintenance == 0,
                row.equity * 10**6 // max(row.maintenance, 1),
                row.account,
            )
        )
        shown = rows[:ACCOUNTS_SHOWN]
        views = tuple(self._account(row, lights.get(row.account, {})) for row in shown)
        return views, len(rows) - len(shown)

    def _account(self, row: Any, lights: Mapping[str, int]) -> AccountView:
        held = []
        for market, unit in enumerate(self._units):
            if row.active_markets >> market & 1:
                size = self.venue.clearinghouse.call("position", row.account, market).size
                held.append((unit.symbol, unit.format_lots(size)))
        health = None
        if row.maintenance:
            hundredths = abs(row.equity) * 100 // row.maintenance
            health = units.format_scaled(-hundredths if row.equity < 0 else hundredths, 2)
        return AccountView(
            account=row.account,
            name=self._names.get(row.account, ""),
            cash=units.format_usdc(row.cash),
            equity=units.format_usdc(row.equity),
            health=health,
            weak=row.is_liquidatable,
            positions=tuple(held),
            lights=lights,
        )

    def _round(self) -> RoundView | None:
        found = self.venue.deleverager.call("round")
        if not found.id:
            return None
        unit = self._units[found.market]
        return RoundView(
            number=found.id,
            market=unit.symbol,
            side="long" if found.is_long else "short",
            taken=unit.format_lots(found.taken),
            needed=unit.format_lots(found.needed),
        )


def views(
    watcher: Watcher, every: float, go_on: Callable[[], bool] = lambda: True
) -> Iterator[tuple[View | None, str]]:
    """The newest view and a note, every so many seconds. While the node is away the last view
    stays, with a note that says so; None where there is no venue to be seen."""
    view: View | None = None
    while go_on():
        note = ""
        try:
            if watcher.is_new() or view is None:
                view = watcher.look()
        except NodeAwayError as error:
            note = f"{error}; trying again every {every:g} s"
        except (EngineError, ContractError, Reverted) as error:
            # A chain that was replaced, also in the middle of a look.
            note, view = str(error), None
        yield view, note
        time.sleep(every)


# ---------------------------------------------------------------- how it looks


def render(view: View, note: str = "") -> Group:
    """The view for a terminal; `note` stands on top, such as that the node is away."""
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(view.timestamp))
    head = Text(f"block {view.block}, {clock} UTC, epoch {view.epoch}", style="bold")
    money = Text(f"held {units.grouped(view.held)}, vault {units.grouped(view.vault)} USDC, ")
    bad = view.uninsured != "0"
    money.append(f"uninsured {units.grouped(view.uninsured)}", style="bold red" if bad else "")
    parts: list[RenderableType] = [head]
    if note:
        parts.append(Text(note, style="bold yellow"))
    parts += [money, Text(doing(view))]
    parts += [_markets(view), _accounts(view)]
    parts += [Text(f"· {sentence}", style="dim") for sentence in view.news]
    return Group(*parts)


def doing(view: View) -> str:
    """What ADL is about, in a few words."""
    if view.round is not None:
        return str(view.round)
    return "a round waits: anyone may call advance" if view.waiting else "no ADL round"


def _markets(view: View) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("market", "mark", "previous", "oracle", "open interest", "bids", "asks"):
        table.add_column(name, justify="left" if name == "market" else "right", overflow="fold")
    for market in view.markets:
        state = "" if market.fresh else " stale"
        state += " frozen" if market.frozen else ""
        table.add_row(
            Text(market.symbol).append(state, style="yellow"),
            market.mark,
            market.previous_mark,
            market.oracle,
            units.grouped(market.open_interest),
            "\n".join(f"{units.grouped(size)} at {price}" for price, size in market.bids) or "-",
            "\n".join(f"{units.grouped(size)} at {price}" for price, size in market.asks) or "-",
        )
    return table


def _accounts(view: View) -> Table:
    caption = f"{view.more_accounts} more" if view.more_accounts else None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption)
    for name in ("account", "cash", "equity", "health", "positions", "lights"):
        left = name in ("account", "positions", "lights")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for one in view.accounts:
        style = "bold red" if one.weak else ""
        table.add_row(
            Text(f"{one.account} {one.name}".strip(), style=style),
            units.grouped(one.cash),
            units.grouped(one.equity),
            Text(one.health or "-", style=style),
            ", ".join(f"{units.grouped(size)} {symbol}" for symbol, size in one.positions),
            " ".join(
                f"{symbol} {'●' * count}{'○' * (LIGHTS - count)}"
                for symbol, count in one.lights.items()
            ),
        )
    return table


def run(
    watcher: Watcher,
    console: Console,
    every: float,
    go_on: Callable[[], bool] = lambda: True,
) -> None:
    """Shows the venue in the terminal until interrupted."""
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        for view, note in views(watcher, every, go_on):
            live.update(render(view, note) if view is not None else Text(note), refresh=True)
