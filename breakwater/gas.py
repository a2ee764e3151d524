"""What the venue's transactions cost, and how large its contracts are.

Owns the list of measured actions, the way each is brought about, and the file
snapshots/gas.json. It measures on an anvil of its own, from the node's receipts: each action is a
transaction by itself, so all storage it meets is cold, as it would be on a live chain. Nothing else
is measured: an in-process EVM keeps storage warm between calls and would answer too low.

anvil is deterministic and so are the addresses, the clock and the order of what is done here, so
snapshots are compared for equality: any difference is a change of the contracts, the compiler or
anvil.

Where a row can be had cheaper or dearer, the dearer case is taken unless its name says otherwise:
an order that fills is filled whole and leaves an empty level, the makers of a fill stand at one
level each, every order of a sampled book is another account's, and who places is new to the book.

Filing for ADL is part of every row that opens or closes a position. For now it is the list of a
market's holders by side, which is always on; there is no row with it off.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from breakwater.artifacts import ROOT
from breakwater.contract import Tx
from breakwater.engine.base import TX_GAS_LIMIT
from breakwater.engine.rpc import ANVIL_MISSING, RpcEngine, start_anvil
from breakwater.files import replace_text
from breakwater.venue import VAULT_ACCOUNT, Venue, VenueConfig

SNAPSHOT: Final = ROOT / "snapshots" / "gas.json"
EVM: Final = "prague"
CODE_LIMIT: Final = 24_576
"""Bytes of deployed code that mainnet allows (EIP-170); a contract stays below."""

GOALS: Final = {
    # Opening on both sides beside seven other positions of each; docs/trading.md counts why.
    "fill 1 maker: opening, fees, 5 tiers, 8 positions": 400_000,
    "fill 1 maker: adding, fees, 5 tiers, 8 positions, highest tier": 310_000,
    "fill 1 maker": 300_000,
    "place in a used book": 150_000,
    # The first order ever in a span of 1,536 ticks, and of an account: four new words.
    "place in a new price region": 165_000,
    "place in an empty book": 210_000,
    "liquidate 1 position, 1 maker": 400_000,
    "liquidate 1 position, takeover": 350_000,
    "liquidate 2 positions, takeover": 700_000,
}
"""Most gas of every row whose name begins with the key."""

_FIELDS: Final = ("compiler", "evm", "anvil")


@dataclass(frozen=True)
class Snapshot:
    """Gas by action and code size in bytes by contract, with what they depend on."""

    compiler: str
    evm: str
    anvil: str
    gas: dict[str, int]
    size: dict[str, int]

    def to_json(self) -> str:
        """The text of the committed file: rows sorted by name."""
        data: dict[str, Any] = {field: getattr(self, field) for field in _FIELDS}
        data["gas"] = dict(sorted(self.gas.items()))
        data["size"] = dict(sorted(self.size.items()))
        return json.dumps(data, indent=2) + "\n"

    @classmethod
    def read(cls, path: Path = SNAPSHOT) -> Snapshot:
        """The committed snapshot. Raises FileNotFoundError, and ValueError for another format."""
        data = json.loads(path.read_text())
        try:
            return cls(**{field: data[field] for field in (*_FIELDS, "gas", "size")})
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a gas snapshot: {error} is missing") from None

    def write(self, path: Path = SNAPSHOT) -> None:
        """Replaces the committed snapshot, in one step."""
        replace_text(path, self.to_json())


@dataclass(frozen=True)
class Difference:
    """One row that two snapshots do not share. None: the row is not there."""

    row: str
    committed: int | str | None
    found: int | str | None

    def __str__(self) -> str:
        if isinstance(self.committed, int) and isinstance(self.found, int):
            step = self.found - self.committed
            return f"{self.row}: {self.committed:,} -> {self.found:,} ({step:+,})"
        return f"{self.row}: {self.committed or 'nothing'} -> {self.found or 'nothing'}"


def compare(committed: Snapshot, found: Snapshot) -> list[Difference]:
    """Every row in which they differ, what the figures depend on first."""

    def rows(snapshot: Snapshot) -> dict[str, int | str]:
        flat: dict[str, int | str] = {field: getattr(snapshot, field) for field in _FIELDS}
        flat |= {f"gas: {row}": used for row, used in sorted(snapshot.gas.items())}
        return flat | {f"size: {row}": used for row, used in sorted(snapshot.size.items())}

    old, new = rows(committed), rows(found)
    names = list(old) + [name for name in new if name not in old]
    return [
        Difference(name, old.get(name), new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    ]


def goal(row: str) -> int | None:
    """The most gas that this action may use, if there is a goal for it."""
    return next((limit for prefix, limit in GOALS.items() if row.startswith(prefix)), None)


def missed(snapshot: Snapshot) -> list[str]:
    """Every row above its goal, above one transaction's gas, or too large a contract: sentences."""
    found = []
    for row, used in sorted(snapshot.gas.items()):
        limit = min(goal(row) or TX_GAS_LIMIT, TX_GAS_LIMIT)
        if used > limit:
            found.append(f"{row}: {used:,} gas, {used - limit:,} above {limit:,}")
    for name, size in sorted(snapshot.size.items()):
        if size >= CODE_LIMIT:
            found.append(f"{name}: {size:,} bytes, not below {CODE_LIMIT:,}")
    return found


def measure() -> Snapshot:
    """Measures everything, in some 15 seconds. Raises EngineError without anvil."""
    gas: dict[str, int] = {}
    with start_anvil() as engine:
        base = _Bench(engine)
        size = _sizes(engine, base.venue)
        for section in _SECTIONS:
            snap = engine.snapshot()
            for row, used in section(_Bench(engine, base.venue)):
                if row in gas:
                    raise ValueError(f"two rows are called {row!r}")
                gas[row] = used
            engine.revert(snap)
    return Snapshot(metadata.version("vyper"), EVM, anvil_version(), gas, size)


def anvil_version() -> str:
    """The version of the anvil on PATH, such as "1.7.1". Raises FileNotFoundError without it."""
    binary = shutil.which("anvil")
    if binary is None:
        raise FileNotFoundError(ANVIL_MISSING)
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"[0-9]+\.[0-9]+\.[0-9]+\S*", said)
    return found.group() if found else said.split("\n", 1)[0]


def _sizes(engine: RpcEngine, venue: Venue) -> dict[str, int]:
    """Bytes of code as deployed. The compiler's figure leaves out the immutables behind it."""
    # A contract that answers with the code size of the address it is given:
    #   PUSH0 CALLDATALOAD EXTCODESIZE PUSH0 MSTORE PUSH1 32 PUSH0 RETURN, behind its creation code.
    probe = engine.deploy(bytes.fromhex("685f353b5f5260205ff35f5260096017f3"), venue.owner)
    return {
        handle.name: int.from_bytes(
            engine.call(probe, bytes.fromhex(handle.address[2:]).rjust(32, b"\0")), "big"
        )
        for handle in venue.contracts.values()
    }


# --- The bench -----------------------------------------------------------------------------------

MICRO: Final = 10**6
PRICE: Final = 1_000_000
"""First price of every market, ticks: 100 USDC at two size decimals."""
LOTS: Final = 100
"""One unit, 100 USDC at the first price."""
RICH: Final = 1_000_000 * MICRO

_Rows = Iterator[tuple[str, int]]


class _Bench:
    """A venue with one market and no limit on the step of a mark, and short words for acting."""

    def __init__(self, engine: RpcEngine, venue: Venue | None = None) -> None:
        self.engine = engine
        self.venue = venue or Venue.deploy(engine, VenueConfig(min_interval=1, max_step=0))
        self.markets = 1
        self.owners: dict[int, str] = {}
        if venue is None:
            self.markets = 0
            self.add_markets(1)

    def add_markets(self, count: int) -> None:
        for _ in range(count):
            self.venue.add_market(f"M{self.markets}", 2, 20, 10 * MICRO, PRICE)
            self.markets += 1

    def trader(self, collateral: int = RICH) -> int:
        """An account of an owner of its own."""
        owner = self.engine.actor(f"trader {len(self.owners)}")
        account = self.venue.open_account(owner, collateral)
        self.owners[account] = owner
        return account

    def traders(self, count: int, collateral: int = RICH) -> list[int]:
        return [self.trader(collateral) for _ in range(count)]

    def house(self, account: int, method: str, *args: object) -> int:
        """Gas of a call of the clearinghouse by an account's owner."""
        return _gas(self.venue.clearinghouse.send(method, *args, sender=self.owners[account]))

    def place(
        self,
        account: int,
        is_buy: bool,
        size: int = LOTS,
        price: int = PRICE,
        tif: int = 0,
        market: int = 0,
    ) -> Tx:
        return self.venue.order_book.send(
            "place", account, market, is_buy, size, price, tif, sender=self.owners[account]
        )

    def fill(
        self, taker: int, makers: Sequence[int], taker_buys: bool, size: int = LOTS, market: int = 0
    ) -> int:
        """Gas of one order that takes `size` lots of each maker, each at a level of its own."""
        step = 1 if taker_buys else -1
        for i, maker in enumerate(makers):
            self.place(maker, not taker_buys, size, PRICE + step * i, market=market)
        limit = PRICE + step * len(makers)
        tx = self.place(taker, taker_buys, size * len(makers), limit, 1, market)
        assert [event.maker for event in tx.all("Filled")] == list(makers), "a maker was skipped"
        assert not tx.all("Unfilled"), "something was left"
        return _gas(tx)

    def update(self, price: int = PRICE) -> int:
        """Gas of an epoch in which every market has this price."""
        return _gas(self.venue.set_prices([price] * self.markets))

    def wait_for_hour(self) -> None:
        """The next block begins an hour of funding; prices are fresh until then."""
        self.engine.wait(3_600 - self.engine.timestamp % 3_600 - 1)

    def govern(self, method: str, *args: object) -> None:
        self.venue.governor.send(method, *args, sender=self.venue.owner)

    def liquidate(self, account: int, max_steps: int = 40) -> Tx:
        keeper = self.engine.actor("keeper")
        return self.venue.liquidator.send("liquidate", account, max_steps, sender=keeper)

    def trial(self, act: Callable[[], Tx]) -> int:
        """Gas of something that is then undone."""
        snap = self.engine.snapshot()
        used = _gas(act())
        self.engine.revert(snap)
        return used


def _gas(tx: Tx) -> int:
    used = tx.receipt.gas_used
    assert used is not None, "anvil measures gas"
    return used


# --- Rows ----------------------------------------------------------------------------------------


def _places(bench: _Bench) -> _Rows:
    one, two, three, four, five, six = bench.traders(6)
    yield "place in an empty book", _gas(bench.place(one, True, LOTS, 900_000))
    # From here on both sides have orders. Each account is new to the book but for the last row.
    bench.place(bench.trader(), False, LOTS, 1_100_000)
    yield "place in a used book: occupied level", _gas(bench.place(two, True, LOTS, 900_000))
    yield "place in a used book: new level", _gas(bench.place(three, True, LOTS, 900_001))
    # A price shares a word of the tree with 255 neighbours, and that one a word with 255 others.
    yield (
        "place in a new price region: 1,000 ticks away",
        _gas(bench.place(six, True, LOTS, 899_000)),
    )
    yield (
        "place in a new price region: 100,000 ticks away",
        _gas(bench.place(four, True, LOTS, 800_000)),
    )
    yield "place in a used book: post only", _gas(bench.place(five, True, LOTS, 900_002, 2))
    again = bench.place(one, True, LOTS, 900_003)
    yield "place in a used book: second order of the account", _gas(again)
    again = bench.place(one, True, LOTS, 898_000)
    yield "place in a new price region: third order of the account", _gas(again)


def _crowded_places(bench: _Bench) -> _Rows:
    """The same order among ever more accounts and levels."""
    placer = bench.trader()
    count = 0
    for crowd in (10, 200):
        for i in range(count, crowd):
            # No collateral: a resting order needs none. Far apart: many words of the tree.
            price = 1_100_000 + 100 * i if i % 2 else 900_000 - 100 * i
            bench.place(bench.trader(0), i % 2 == 0, LOTS, price)
        count = crowd
        used = bench.trial(lambda: bench.place(placer, True, LOTS, 900_001))
        yield f"place in a used book: among {crowd} accounts and levels", used


def _fills(count: int) -> Callable[[_Bench], _Rows]:
    makers_are = f"{count} maker{'s' if count > 1 else ''}"

    def section(bench: _Bench) -> _Rows:
        taker, *makers = bench.traders(count + 1)
        if count == 1:
            first = bench.trial(lambda: _partial(bench, taker, makers[0]))
            yield "fill 1 maker: opening both, first trade of the market", first
        # Somebody holds a position already, as in any market in use.
        bench.fill(bench.trader(), [bench.trader()], True)
        if count == 1:
            part = bench.trial(lambda: _partial(bench, taker, makers[0]))
            yield "fill 1 maker: opening both, a part of its order", part
        yield f"fill {makers_are}: opening both sides", bench.fill(taker, makers, True)
        yield f"fill {makers_are}: adding to both sides", bench.fill(taker, makers, True)
        yield f"fill {makers_are}: reducing both sides", bench.fill(taker, makers, False)
        yield f"fill {makers_are}: closing both sides", bench.fill(taker, makers, False)
        if count == 1:
            bench.fill(taker, makers, True)
            yield "fill 1 maker: flipping both sides", bench.fill(taker, makers, False, 2 * LOTS)

    return section


def _partial(bench: _Bench, taker: int, maker: int) -> Tx:
    bench.place(maker, False, 2 * LOTS)
    return bench.place(taker, True, LOTS, PRICE, 1)


def _most_makers(bench: _Bench) -> _Rows:
    taker, *makers = bench.traders(65)
    yield (
        "fill 64 makers, the most of one call: opening both sides",
        bench.fill(taker, makers, True),
    )


def _filing(bench: _Bench) -> _Rows:
    """The rows that filing for the index adds to, on a venue that files. Elsewhere it is off."""
    config = VenueConfig(min_interval=1, max_step=0, engine="index")
    filed = _Bench(bench.engine, Venue.deploy(bench.engine, config))
    filed.markets = 0
    filed.add_markets(1)
    filed.fill(filed.trader(), [filed.trader()], True)
    taker, maker = filed.traders(2)
    second = filed.trader()
    for what, is_buy in (
        ("opening both sides", True),
        ("adding to both sides", True),
        ("reducing both sides", False),
        ("closing both sides", False),
    ):
        yield f"filing on: fill 1 maker: {what}", filed.fill(taker, [maker], is_buy)
    filed.fill(taker, [maker], True)
    yield "filing on: flipping both sides", filed.fill(taker, [maker], False, 2 * LOTS)
    yield "filing on: withdraw: 1 position", filed.house(taker, "withdraw", taker, MICRO)
    yield "filing on: withdraw: flat", filed.house(second, "withdraw", second, MICRO)


def _fills_with_funding(bench: _Bench) -> _Rows:
    taker, maker = bench.traders(2)
    # Odd, so that rounding leaves dust: one storage word more.
    bench.fill(taker, [maker], True, LOTS + 1)
    for which in ("first", "later"):
        bench.update(PRICE - 1)
        bench.wait_for_hour()
        bench.update(PRICE - 1)
        used = bench.fill(taker, [maker], True, LOTS + 1)
        yield f"fill 1 maker: adding, funding to settle, {which} time", used


def _fills_with_fees(bench: _Bench) -> _Rows:
    taker, maker, other, another = bench.traders(4)
    # A small position passes every tier on its way to the first.
    bounds = [notional * 10**6 * MICRO for notional in range(5)]
    bench.govern("set_tiers", 0, bounds, [20, 15, 10, 5, 2])
    bench.govern("set_trading_terms", 0, 450, 150, 100_000, 10 * MICRO, 10**9)
    first = bench.fill(taker, [maker], True)
    yield "fill 1 maker: opening both, fees, 5 tiers, first fee of the venue", first
    yield "fill 1 maker: opening both, fees, 5 tiers", bench.fill(other, [another], True)
    yield "fill 1 maker: adding, fees, 5 tiers", bench.fill(other, [another], True)
    bench.update(PRICE - 1)
    bench.wait_for_hour()
    bench.update(PRICE - 1)
    yield "fill 1 maker: adding, fees, 5 tiers, funding", bench.fill(taker, [maker], True)


def _fills_with_legs(count: int, tier: str) -> Callable[[_Bench], _Rows]:
    """Both sides hold so many positions, small ones or in the highest of five tiers everywhere."""

    def section(bench: _Bench) -> _Rows:
        bench.add_markets(count - bench.markets)
        unit = {"first tier": 10**6 * MICRO, "highest tier": MICRO}[tier]
        for market in range(count):
            bounds = [step * unit for step in range(5)]
            bench.govern("set_tiers", market, bounds, [20, 15, 10, 5, 2])
            bench.govern("set_trading_terms", market, 450, 150, 100_000, 10 * MICRO, 10**9)
        # Somebody traded there before, and paid a fee.
        bench.fill(bench.trader(), [bench.trader()], True)
        taker, maker = bench.traders(2)
        for market in range(1, count):
            bench.fill(taker, [maker], True, market=market)
        held = f"fees, 5 tiers, {count} positions, {tier}"
        yield f"fill 1 maker: opening, {held}", bench.fill(taker, [maker], True)
        yield f"fill 1 maker: adding, {held}", bench.fill(taker, [maker], True)

    return section


def _waiting(bench: _Bench) -> _Rows:
    """A taker who reduces in a halted market, before a crowd of makers who may not trade."""
    long, short = bench.traders(2)
    bench.fill(long, [short], True)
    # Each another account's and far from the others, so that every read is cold.
    for i in range(513):
        bench.place(bench.trader(0), True, LOTS, PRICE - 300 * i)
    bench.place(short, True, LOTS, PRICE - 300 * 513)
    bench.govern("halt", 0)
    for name in ("512 waiting makers passed, the most of one call", "one more, and a fill"):
        tx = bench.place(long, False, LOTS, PRICE - 300 * 513, 1)
        assert len(tx.all("Filled")) == (name != "512 waiting makers passed, the most of one call")
        yield f"halted market: {name}", _gas(tx)


def _sweeps(bench: _Bench) -> _Rows:
    treasury, taker, maker = bench.traders(3)
    bench.govern("set_trading_terms", 0, 450, 150, 0, 10 * MICRO, 10**9)
    for name, share, account in (
        ("all to the vault", MICRO, 0),
        ("half to the treasury", MICRO // 2, treasury),
    ):
        bench.govern("set_fee_share", share, account)
        bench.fill(taker, [maker], True)
        swept = bench.venue.clearinghouse.send("sweep_fees", sender=bench.venue.owner)
        assert swept.one("FeesSwept").to_vault, "nothing to sweep"
        yield f"sweep_fees: {name}", _gas(swept)


def _eight_legs(bench: _Bench) -> _Rows:
    bench.add_markets(7)
    taker, maker = bench.traders(2)
    for market in range(8):
        bench.fill(taker, [maker], True, market=market)
    yield "fill 1 maker of 8 positions each: adding to both sides", bench.fill(taker, [maker], True)
    yield "withdraw: 8 positions", bench.house(taker, "withdraw", taker, MICRO)


def _cancels(bench: _Bench) -> _Rows:
    book = bench.venue.order_book
    one, two, three = bench.traders(3, 0)

    def order(account: int, price: int = 900_000) -> int:
        return int(bench.place(account, True, LOTS, price).one("OrderPlaced").order_id)

    orders = [order(account) for account in (one, two, three)]
    yield (
        "cancel: from the middle of a level",
        _gas(book.send("cancel", orders[1], sender=bench.owners[two])),
    )
    alone = order(two, 800_000)
    yield "cancel: alone at its level", _gas(book.send("cancel", alone, sender=bench.owners[two]))
    # Its desk has been in use, so that the rows differ by nothing but the orders.
    for count in (1, 100):
        book.send("cancel_all", two, sender=bench.owners[two])
        for i in range(count):
            bench.place(two, True, LOTS, 700_000 + i)
        assert len(book.call("open_orders", two)) == count
        yield (
            f"cancel_all: {count} open order{'s' if count > 1 else ''}",
            bench.trial(lambda: book.send("cancel_all", two, sender=bench.owners[two])),
        )


def _purge(bench: _Bench) -> _Rows:
    book = bench.venue.order_book
    # Each another account's and far from the others, so that every read is cold.
    for i in range(64):
        account = bench.trader(0)
        bench.place(account, True, LOTS, 900_000 - 300 * i)
        book.send("cancel_all", account, sender=bench.owners[account])
    tx = book.send("purge", 0, True, 64, sender=bench.engine.actor("keeper"))
    assert len(tx.all("OrderCancelled")) == 64
    yield "purge: 64 void orders, the most of one call", _gas(tx)


def _money(bench: _Bench) -> _Rows:
    house = bench.venue.clearinghouse
    # Its owner holds test money left over, as people do.
    one, other = bench.traders(2)
    bench.venue.mint(bench.owners[one], RICH, house)
    second = int(house.send("open_account", sender=bench.owners[one]).one("AccountOpened").account)
    bench.owners[second] = bench.owners[one]
    yield "open_account", bench.house(one, "open_account")
    yield "open_isolated_account", bench.house(one, "open_isolated_account", 0)
    yield "deposit: first of an account", bench.house(one, "deposit", second, 10 * MICRO)
    yield "deposit", bench.house(one, "deposit", second, 10 * MICRO)
    yield "withdraw: flat", bench.house(one, "withdraw", one, MICRO)
    yield "transfer: flat", bench.house(one, "transfer", one, second, MICRO)
    yield "set_leverage: flat", bench.house(one, "set_leverage", one, 0, 10)
    bench.fill(one, [other], True)
    yield "withdraw: 1 position", bench.house(one, "withdraw", one, MICRO)
    yield "transfer: 1 position", bench.house(one, "transfer", one, second, MICRO)
    yield "set_leverage: 1 position", bench.house(one, "set_leverage", one, 0, 5)


def _updates(bench: _Bench) -> _Rows:
    for count in (1, 3, 10):
        bench.add_markets(count - bench.markets)
        bench.update(PRICE + 1)
        name = f"{count} market{'s' if count > 1 else ''}"
        yield f"oracle update: {name}", bench.update(PRICE + 2)
        bench.wait_for_hour()
        yield f"oracle update: {name}, an hour's funding", bench.update(PRICE + 3)


def _samples(bench: _Bench) -> _Rows:
    def sample() -> int:
        return _gas(bench.venue.oracle.send("sample", 0, sender=bench.engine.actor("keeper")))

    yield "sample: empty book, first", sample()
    yield "sample: empty book", sample()
    # Deep enough for impact prices: 6,000 USDC a side.
    one, two = bench.traders(2)
    bench.place(one, True, 100 * LOTS, PRICE - 1_000)
    bench.place(two, False, 100 * LOTS, PRICE + 1_000)
    sample()
    yield "sample: 1 level a side", sample()


def _deep_sample(bench: _Bench) -> _Rows:
    # 64 orders of a side are the most that are looked at; these do not reach the impact depth.
    # Far apart and each another account's, with margin for it: all of its reads are cold.
    for i in range(64):
        for is_buy, price in ((True, PRICE - 1_000 - 300 * i), (False, PRICE + 1_000 + 300 * i)):
            bench.place(bench.trader(20 * MICRO), is_buy, LOTS // 2, price)
    for _ in range(2):
        tx = bench.venue.oracle.send("sample", 0, sender=bench.engine.actor("keeper"))
    sampled = tx.one("Sampled")
    assert sampled.middle and not sampled.impact_bid and not sampled.impact_ask, "too shallow"
    yield "sample: 64 orders a side", _gas(tx)


def _liquidation(bench: _Bench) -> _Rows:
    rich, maker = bench.traders(2)
    weak = bench.trader(600 * MICRO)
    size = 100 * LOTS
    # 10,000 USDC at 100, 600 of margin: bankrupt at 94, maintenance 240 at 96.
    bench.fill(weak, [rich], True, size)
    bench.update(960_000)
    for name, account in (("who opens", maker), ("who closes", rich)):
        snap = bench.engine.snapshot()
        bench.place(account, True, size, 960_000)
        tx = bench.liquidate(weak)
        assert tx.one("LiquidationFill").remaining == 0, "not all was sold"
        yield f"liquidate 1 position, 1 maker {name}", _gas(tx)
        bench.engine.revert(snap)


def _takeover(positions: int) -> Callable[[_Bench], _Rows]:
    def section(bench: _Bench) -> _Rows:
        venue, size = bench.venue, 100 * LOTS
        bench.add_markets(positions - bench.markets)
        # The book of every market has been used, and offers nothing.
        rich = bench.trader()
        weak = bench.trader(600 * positions * MICRO)
        for market in range(positions):
            bench.fill(weak, [rich], True, size, market)
            venue.liquidator.send("set_backstop_limit", market, 10**6 * MICRO, sender=venue.owner)
        # Its limits are all in force.
        venue.liquidator.send("set_backstop", True, 10**6 * MICRO, sender=venue.owner)
        venue.insure(10_000 * MICRO)
        tranche = venue.clearinghouse.call("tranche_account")
        # The node lets the vault speak for itself.
        venue.clearinghouse.send(
            "transfer_cash", VAULT_ACCOUNT, tranche, 5_000 * MICRO, sender=venue.vault.address
        )
        bench.update(950_000)
        tx = bench.liquidate(weak)
        assert len(tx.all("BackstopTaken")) == positions, "not all was taken over"
        name = f"{positions} position{'s' if positions > 1 else ''}"
        yield f"liquidate {name}, takeover by an empty tranche", _gas(tx)

    return section


def _deleveraging(winners: int) -> Callable[[_Bench], _Rows]:
    def section(bench: _Bench) -> _Rows:
        rich = bench.trader()
        weak = bench.trader(60 * MICRO * winners)
        holders = bench.traders(10)
        size = 10 * LOTS
        # 1,000 USDC at 100 from each winner, 60 of margin for each: bankrupt at 94.
        bench.fill(weak, holders[:winners], True, size)
        if holders[winners:]:
            bench.fill(rich, holders[winners:], True, size)
        bench.update(900_000)
        tx = bench.liquidate(weak)
        assert len(tx.all("Deleveraged")) == winners and tx.all("RoundClosed"), "not one round"
        name = f"{winners} winner{'s' if winners > 1 else ''} of 10 holders"
        yield f"liquidate 1 position, wind-up and ADL of {name}", _gas(tx)

    return section


def _scans(dearest: bool) -> Callable[[_Bench], _Rows]:
    """What each holder more costs in a scan, either never kept or always the best so far."""

    def section(bench: _Bench) -> _Rows:
        weak = bench.trader(60 * MICRO)
        maker = bench.trader()
        size = 10 * LOTS
        bench.fill(weak, [maker], True, size)
        for i in range(60):
            # Less collateral makes a higher score.
            holder = bench.trader((10_000 - i) * MICRO if dearest else 10_000 * MICRO)
            bench.fill(maker, [holder], True, size)
        bench.update(900_000)
        # One step: it opens the round and looks at the first holder.
        bench.liquidate(weak, 1)
        deleverager, keeper = bench.venue.deleverager, bench.engine.actor("keeper")

        def advance(steps: int) -> int:
            return bench.trial(lambda: deleverager.send("advance", steps, sender=keeper))

        name = "each the best so far" if dearest else "none kept"
        yield f"advance: a holder more, {name}", (advance(50) - advance(20)) // 30
        if dearest:
            yield "advance: 50 holders, each the best so far", advance(50)

    return section


def _settlement(bench: _Bench) -> _Rows:
    long, short = bench.traders(2)
    bench.fill(long, [short], True)
    bench.govern("halt", 0)
    bench.engine.wait(86_400)
    bench.govern("settle_market", 0, PRICE + 5)
    keeper = bench.engine.actor("keeper")
    for name, account in (("first of the market", long), ("last of the market", short)):
        tx = bench.venue.liquidator.send("close_settled", account, 0, sender=keeper)
        yield f"close_settled: {name}", _gas(tx)


_SECTIONS: Final[Sequence[Callable[[_Bench], _Rows]]] = (
    _places,
    _crowded_places,
    *(_fills(count) for count in (1, 5, 20)),
    _most_makers,
    _filing,
    _fills_with_funding,
    _fills_with_fees,
    *(_fills_with_legs(n, tier) for n in (3, 8) for tier in ("first tier", "highest tier")),
    _waiting,
    _sweeps,
    _eight_legs,
    _cancels,
    _purge,
    _money,
    _updates,
    _samples,
    _deep_sample,
    _liquidation,
    *(_takeover(positions) for positions in (1, 2)),
    *(_deleveraging(winners) for winners in (1, 5)),
    *(_scans(dearest) for dearest in (False, True)),
    _settlement,
)


def table(snapshot: Snapshot) -> list[tuple[str, str, str]]:
    """Rows for people: name, figure, and the goal where there is one."""
    rows = []
    for name, used in sorted(snapshot.gas.items()):
        limit = goal(name)
        rows.append((name, f"{used:,}", f"{limit:,}" if limit else ""))
    for name, size in sorted(snapshot.size.items()):
        rows.append((f"{name}, bytes", f"{size:,}", f"{CODE_LIMIT - 1:,}"))
    return rows
