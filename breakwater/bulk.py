"""A real venue with very many accounts: its book is `BulkBook`, which trades for many at a time.

Owns the deployment and the population; the tests and the benchmark drive the same one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, ClassVar, Final, NamedTuple

from eth_utils.crypto import keccak

from breakwater import artifacts, contract
from breakwater.contract import Contract, Event
from breakwater.engine.base import BATCH, Engine, Reverted
from breakwater.model import ranking
from breakwater.venue import FORMULAS, Venue, VenueConfig

USDC: Final = 10**6
TOUCH: Final = keccak(text="touch(uint256,uint256,uint256,uint256,int256)")[:4].hex()
LAST: Final = 2**256 - 1
"""In a row: the account opened last."""

LARGE_PAGE: Final = 64
"""Rows which fit into one transaction if each opens an account and trades once: some 13 million gas
of 16.7."""


class Row(NamedTuple):
    """One trade against the maker; account 0 opens one with `cash` first."""

    account: int
    market: int
    is_buy: bool
    size: int
    price: int
    cash: int


class BulkVenue(Venue):
    """The venue with a book that is only there to populate it."""

    NAMES: ClassVar[dict[str, str]] = Venue.NAMES | {"order_book": "BulkBook"}


class Crowd:
    """A venue with markets of the given first prices, a maker with boundless money, and whoever
    `trade` puts there."""

    def __init__(
        self, engine: Engine, prices: Sequence[int], config: VenueConfig | None = None
    ) -> None:
        self.engine = engine
        self.venue = BulkVenue.deploy(
            engine,
            config or VenueConfig(min_interval=1, max_step=0, stale_after=86_400, engine="index"),
        )
        self.book = self.venue.order_book
        self.house = self.venue.clearinghouse
        self.index = self.venue.contracts["index_ranking"]
        self.prices = list(prices)
        for i, price in enumerate(prices):
            self.venue.add_market(f"M{i}", 2, 50, 0, price)
        self.maker = self.venue.open_account(engine.actor("maker"), 2**70)
        self.venue.usdc.send("mint", self.book, 2**79, sender=engine.actor("maker"))
        self.book.send("fund", self.venue.usdc, 2**78, sender=engine.actor("maker"))
        self.scores = {"hyperliquid_docs": self.venue.score}
        self.scores["return_x_leverage"] = self._deploy("ReturnXLeverage")
        self.index.send(
            "set_formula",
            self.scores["return_x_leverage"],
            FORMULAS["return_x_leverage"],
            sender=self.venue.owner,
        )

    def _deploy(self, name: str, *args: object) -> Contract:
        made = artifacts.load()[name]
        return contract.deploy(
            self.engine,
            made.name,
            made.abi,
            made.bytecode,
            args,
            sender=self.venue.owner,
            decoder=self.venue.decoder,
        )

    def trade(
        self,
        rows: Iterable[Row],
        page: int = 20,
        progress: Callable[[int], object] = lambda done: None,
    ) -> list[int]:
        """Trades the rows, a page to a transaction, and gives the accounts that were opened, in
        order. `progress` hears of every so many rows that are done."""
        rows = list(rows)
        first = self.house.call("account_count") + 1
        for start in range(0, len(rows), page * BATCH):
            part = rows[start : start + page * BATCH]
            # Nobody reads what it logs: a population's events are millions.
            for one in self.engine.transact_many(
                [
                    (
                        self.venue.owner,
                        self.book.address,
                        self.book.encode("trade", self.maker, part[i : i + page]),
                    )
                    for i in range(0, len(part), page)
                ]
            ):
                if isinstance(one, Reverted):
                    raise one
            progress(len(part))
        return list(range(first, self.house.call("account_count") + 1))

    def set_mark(self, *prices: int) -> None:
        self.prices = list(prices)
        self.venue.set_prices(self.prices)

    def configure(self, engine: str, score: str, close: int) -> None:
        """Ranking engine, score and close rule, by the owner."""
        owner = self.venue.owner
        self.venue.deleverager.send("set_policy", self.scores[score], close, sender=owner)
        ranking = self.venue.contracts[f"{engine}_ranking"]
        self.venue.deleverager.send("set_engine", ranking, ranking, sender=owner)

    def holders(self, market: int, is_long: bool) -> list[ranking.Holder]:
        """Everyone on a side, from chain state."""
        epoch = self.venue.oracle.call("epoch")
        count = self.house.call("holder_count", market, is_long)
        places = (self.house.call("holder_at", market, is_long, i) for i in range(count))
        # A round leaves empty places.
        ids = [account for account in places if account]
        return [
            ranking.Holder(
                row.account,
                position.size,
                position.quote,
                row.equity,
                self.house.call("inflow", row.account, epoch),
            )
            for row, position in zip(
                self.venue.rows(ids), self.venue.positions(market, ids), strict=True
            )
        ]

    def liquidate(self, account: int, steps: Iterable[int]) -> list[Event]:
        """Liquidates an account, then advances the round until it ends; `steps` for each call.
        Returns the receipts of all fills, and the number of calls in `calls`."""
        steps = iter(steps)
        keeper = self.engine.actor("keeper")
        txs = [self.venue.liquidator.send("liquidate", account, next(steps), sender=keeper)]
        while self.venue.deleverager.call("is_busy"):
            txs.append(self.venue.deleverager.send("advance", next(steps), sender=keeper))
            assert len(txs) < 20_000, f"no end: {self.venue.deleverager.call('round')}"
        self.txs = txs
        return [event for tx in txs for event in tx.all("Deleveraged")]

    def filing_gas(self, account: int) -> int:
        """Gas of the index's own part in the last transaction when it was told of the account, from
        the trace of an anvil; the first access to its address is not in it."""
        engine: Any = self.engine
        block = engine._rpc("eth_getBlockByNumber", hex(engine.block_number), False)
        trace = engine._rpc(
            "debug_traceTransaction", block["transactions"][-1], {"tracer": "callTracer"}
        )
        found = []
        stack = [trace]
        while stack:
            call = stack.pop()
            stack += call.get("calls", [])
            data = call.get("input", "")[2:]
            if data[:8] == TOUCH and int(data[8:72], 16) == account:
                found.append(int(call["gasUsed"], 16))
        return found[-1]

    def demand(self, fills: Sequence[Event], close: int, previous: int) -> ranking.Demand:
        """What the first lot of these receipts asked for."""
        first = fills[0]
        if close != 0:
            return ranking.Demand(first.is_long, first.lot_size, Fraction(previous), first.mark)
        worth = abs(first.lot_worth)
        price = Fraction(worth, first.lot_size)
        return ranking.Demand(first.is_long, first.lot_size, price, first.mark, worth)


def crowd_rows(
    draw: random.Random, count: int, market: int, price: int, other: int, multi: float
) -> list[Row]:
    """Random positions around a price: of all leverages and sizes, with profit taken or losses
    realised, on both sides, some in `other` (a market and its price) too."""
    rows = []
    for _ in range(count):
        entry = max(1, round(price * draw.choice([draw.uniform(0.4, 2.2), draw.gauss(1, 0.05)])))
        size = draw.choice([1, draw.randint(1, 50), draw.randint(1, 5_000)])
        is_buy = draw.random() < 0.5
        leverage = draw.choice([draw.uniform(1, 50), draw.uniform(0.1, 3), draw.uniform(20, 500)])
        cash = max(1, round(size * entry / leverage))
        rows.append(Row(0, market, is_buy, size, entry, cash))
        kind = draw.random()
        if kind < 0.15 and size > 1:
            # A part of it closed again, at a loss or a profit: cash of either sign.
            part = draw.randint(1, size - 1)
            rows.append(
                Row(LAST, market, not is_buy, part, round(entry * draw.uniform(0.7, 1.4)), 0)
            )
        elif kind < 0.2:
            # Added to off tick.
            rows.append(
                Row(LAST, market, is_buy, draw.randint(1, 9), entry + draw.randint(0, 9), 0)
            )
        elif kind < 0.25:
            rows.append(Row(LAST, market, not is_buy, size + draw.randint(1, 99), entry, 0))
        if draw.random() < multi:
            rows.append(
                Row(LAST, other, draw.random() < 0.5, draw.randint(1, 500), price + 7, cash)
            )
            if draw.random() < 0.3:
                # And out of it again, or out of the first.
                rows.append(Row(LAST, other, rows[-1].is_buy ^ True, rows[-1].size, price, 0))
    return rows


def events_as_victims(fills: Sequence[Any]) -> list[tuple[int, int, int]]:
    """Account, lots and score of each receipt."""
    return [(e.winner, e.size, e.score) for e in fills]
