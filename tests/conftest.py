"""The venue of the Ape tests: deployed once a session on Ape's in-process chain, turned back after
each test by Ape's isolation, and solvent after every transaction in between.

Owns the actors, the contracts as Ape sees them, and factories with defaults. Protocol is deployed
by `Venue.deploy` alone. Tests that name none of these fixtures run without a chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ape
import pytest
from ape.api import ReceiptAPI

from breakwater import artifacts
from breakwater.contract import Contract, EventDecoder
from breakwater.engine.ape import ApeEngine
from breakwater.engine.base import Log, Reverted, revert_reason
from breakwater.ledger import Ledger
from breakwater.venue import Venue, VenueConfig
from tests import helpers
from tests.helpers import GTC, IOC, MAX_SIZE, SCALE, USDC, X_PRICE, Y_PRICE, X, Y

ROLES = ["owner", "reporter", "keeper", "maker", "winner", "loser", "trader", "stranger"]
# Roles with an account of $10,000 to begin with. An account more makes each check dearer.
FUNDED = ["maker", "winner", "trader"]
COLLATERAL = 10_000 * USDC
GENESIS = 2_000_000_000
"""Seconds: the first block of the venue; each block follows the one before by a second."""


class Reader(ApeEngine):
    """Reads straight from the state of Ape's in-process EVM: the same answers as `eth_call` in two
    thirds of the time, and a check follows every transaction."""

    def call(self, to: str, data: bytes, sender: str | None = None) -> bytes:
        vm = self._provider.evm_backend.chain.get_vm()
        address, nobody = bytes.fromhex(to[2:]), bytes(20)
        before = vm.state.snapshot()
        outcome = vm.execute_bytecode(
            origin=nobody,
            gas_price=0,
            gas=10**9,
            to=address,
            sender=nobody,
            value=0,
            data=data,
            code=vm.state.get_code(address),
        )
        vm.state.revert(before)
        if outcome.is_error:
            raise Reverted(revert_reason(outcome.output))
        return bytes(outcome.output)

    def storage(self, addresses: list[str]) -> dict[str, bytes]:
        """Root of each contract's storage: equal if and only if every slot is."""
        accounts = self._provider.evm_backend.chain.get_vm().state._account_db
        return {a: accounts._get_account(bytes.fromhex(a[2:])).storage_root for a in addresses}


# --- The venue -----------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Compiles before any worker reads Ape's cache: two at once would write it back stale."""
    if not hasattr(config, "workerinput"):
        artifacts.load()


@pytest.fixture(scope="session")
def actors() -> dict[str, Any]:
    """Ape test accounts by role; the engine deals them out in the same order."""
    return {role: ape.accounts.test_accounts[i] for i, role in enumerate(ROLES)}


# Parts that `bare` is wired to: ordinary accounts, so that a test can act as each of them.
PARTS = ["book", "waterfall", "adl", "insurer"]


@dataclass
class Bare:
    """A clearinghouse of its own whose order book, liquidator, deleverager and vault are Ape
    accounts: what the venue's contracts may ask for, asked directly. Its governor is a real one; it
    shares the oracle."""

    house: Any
    governor: Any
    book: Any
    waterfall: Any
    adl: Any
    insurer: Any
    maker: int
    trader: int
    winner: int
    reading: Contract
    lens: Contract
    pricing: Contract

    def fill(self, taker_buys: bool, size: int, price: int, **other: Any) -> ReceiptAPI:
        return self.house.fill(*self._terms(taker_buys, size, price, **other), sender=self.book)

    def outcome(self, taker_buys: bool, size: int, price: int, **other: Any) -> int:
        """What `fill` would answer: 0 filled, 1 maker refused, 2 the same owner, 3 maker stale."""
        terms = self._terms(taker_buys, size, price, **other)
        return self.house.fill.call(*terms, sender=self.book)

    def _terms(
        self,
        taker_buys: bool,
        size: int,
        price: int,
        taker: int | None = None,
        maker: int | None = None,
        market: int = X,
        liquidated: bool = False,
    ) -> tuple[Any, ...]:
        return (
            market,
            taker or self.trader,
            maker or self.maker,
            taker_buys,
            size,
            price,
            liquidated,
        )

    def check(self) -> None:
        """I1, I2 and I3. The parts are no contracts here, so `Ledger` cannot ask them."""
        call = self.reading.call
        accounts = range(1, call("account_count") + 1)
        owed = call("fees") - call("uninsured") + sum(call("cash", a) for a in accounts)
        for m in range(call("market_count")):
            legs = self.lens.call("positions", m, list(accounts))
            pool, dust = call("funding_pool", m), call("funding_dust", m)
            owed += pool + sum(p.quote for p in legs)
            longs, interest = sum(max(p.size, 0) for p in legs), call("open_interest", m)
            assert sum(p.size for p in legs) == 0, f"LEDGER_2: market {m} (bare)"
            assert longs == interest, f"LEDGER_2: open interest {interest}, longs {longs} (bare)"
            assert all(p.size or not p.quote for p in legs), "LEDGER_2: a quote (bare)"
            settled = call("settlement_account", m)
            index = call("settlement_index", m) if settled else self.pricing.call("index", m)
            unsettled = sum(p.size * (index - p.index) for p in legs)
            assert pool * SCALE == dust - unsettled, f"LEDGER_3: market {m} (bare)"
        held = call("held")
        assert held == owed, f"LEDGER_1: held {held} - owed {owed} = {held - owed} (bare)"


@pytest.fixture(scope="session")
def bare_deployed(deployed: dict[str, Any], project: Any, actors: dict[str, Any]) -> Bare:
    venue: Venue = deployed["venue"]
    owner = actors["owner"]
    parts = dict(zip(PARTS, ape.accounts.test_accounts[len(ROLES) : len(ROLES) + 4], strict=True))
    house = owner.deploy(project.Clearinghouse, venue.usdc.address, venue.oracle.address)
    governor = owner.deploy(project.Governor, house)
    house.wire(*parts.values(), governor, sender=owner)
    governor.add_market("X", 2, 20, 0, sender=owner)
    governor.add_market("Y", 4, 50, 0, sender=owner)
    usdc = project.USDC.at(venue.usdc.address)
    ids = {}
    for role in FUNDED:
        house.open_account(sender=actors[role])
        usdc.approve(house, 2**256 - 1, sender=actors[role])
        ids[role] = house.account_count()
        house.deposit(ids[role], COLLATERAL, sender=actors[role])
    there: Venue = deployed["reading"]

    def handle(instance: Any, name: str) -> Contract:
        return Contract(there.engine, instance.address, artifacts.load()[name].abi, name)

    return Bare(
        house=house,
        governor=governor,
        **parts,
        **ids,
        reading=handle(house, "Clearinghouse"),
        lens=handle(owner.deploy(project.Lens, house), "Lens"),
        pricing=there.oracle,
    )


@pytest.fixture(scope="session")
def deployed(actors: dict[str, Any]) -> dict[str, Any]:
    """The venue with markets X and Y, everyone's test money and three funded accounts."""
    engine = ApeEngine(actors)
    # Ahead of the wall clock, which would otherwise have a say in the time of a block.
    ape.chain.pending_timestamp = GENESIS
    # No limit on the step of a mark: a test makes a gap with one update. test_update.py sets it.
    venue = Venue.deploy(engine, VenueConfig(max_step=0))
    assert venue.add_market("X", 2, 20, 10 * USDC, X_PRICE) == X
    assert venue.add_market("Y", 4, 50, 10 * USDC, Y_PRICE) == Y
    for actor in actors.values():
        venue.mint(actor.address, 10**9 * USDC, venue.clearinghouse)
    ids = {role: venue.open_account(actors[role].address) for role in FUNDED}
    for role, account in ids.items():
        venue.clearinghouse.send("deposit", account, COLLATERAL, sender=actors[role].address)
    ledger = Ledger(venue)
    ledger.check(anew=True)
    reader = Reader(actors, first_block=engine.first_block)
    return {
        "venue": venue,
        "reading": Venue.at(reader, venue.addresses()),
        "storage": reader.storage,
        "ids": ids,
        "accounts": ledger.accounts,
    }


@pytest.fixture(autouse=True)
def solvent(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every identity of the ledger, after every successful transaction of a test that uses the
    venue; at its end once more with the accounts taken from the chain's logs anew, if it opened
    any."""
    if "deployed" not in request.fixturenames:
        yield
        return
    parts = request.getfixturevalue("deployed")
    reading: Venue = parts["reading"]
    ledger = Ledger(reading)
    ledger._accounts = list(parts["accounts"])
    bare: Bare | None = None
    if "bare" in request.fixturenames:
        bare = request.getfixturevalue("bare_deployed")
    provider = ape.networks.provider
    send = provider.send_transaction
    storage = parts["storage"]
    money = [reading.clearinghouse.address, reading.oracle.address, reading.usdc.address]
    seen: list[Any] = [None, None]

    def sent(txn: Any) -> ReceiptAPI:
        receipt = send(txn)
        if not receipt.failed:
            ledger.observe(_opened(reading.decoder, reading.clearinghouse.address, receipt))
            # Nothing else enters the identities, and an order that rests changes none of it.
            now = storage(money), bare and storage([bare.house.address, money[1]])
            if now[0] != seen[0]:
                ledger.check()
            if bare and now[1] != seen[1]:
                bare.check()
            seen[:] = now
        return receipt

    watched = [contract.address for contract in reading.contracts.values()]
    if bare:
        watched += [bare.house.address, bare.governor.address]
    helpers.watch(lambda: storage(watched))
    # The provider is a pydantic model, which takes no foreign attribute the ordinary way.
    object.__setattr__(provider, "send_transaction", sent)
    try:
        yield
    finally:
        object.__delattr__(provider, "send_transaction")
        helpers.watch(None)
    if len(ledger.accounts) != len(parts["accounts"]):
        Ledger(reading).check(anew=True)


def _opened(decoder: EventDecoder, house: str, receipt: ReceiptAPI) -> Iterator[Any]:
    for raw in receipt.logs:
        if str(raw["address"]).lower() == house.lower():
            topics = tuple(
                bytes.fromhex(str(t).removeprefix("0x")) if isinstance(t, str) else bytes(t)
                for t in raw["topics"]
            )
            data = raw["data"]
            data = bytes.fromhex(data.removeprefix("0x")) if isinstance(data, str) else bytes(data)
            yield from decoder.iterate([Log(house, topics, data)])


@pytest.fixture
def venue(deployed: dict[str, Any]) -> Venue:
    return deployed["venue"]


@pytest.fixture
def bare(bare_deployed: Bare, venue: Venue) -> Bare:
    return bare_deployed


def _contract(role: str) -> Any:
    @pytest.fixture(name=role)
    def instance(project: Any, venue: Venue) -> Any:
        return getattr(project, Venue.NAMES[role]).at(venue.contracts[role].address)

    return instance


usdc = _contract("usdc")
oracle = _contract("oracle")
clearinghouse = _contract("clearinghouse")
governor = _contract("governor")
order_book = _contract("order_book")
vault = _contract("vault")
score = _contract("score")
deleverager = _contract("deleverager")
liquidator = _contract("liquidator")
lens = _contract("lens")


def _actor(role: str) -> Any:
    @pytest.fixture(name=role, scope="session")
    def actor(actors: dict[str, Any]) -> Any:
        return actors[role]

    return actor


owner = _actor("owner")
reporter = _actor("reporter")
keeper = _actor("keeper")
maker = _actor("maker")
winner = _actor("winner")
loser = _actor("loser")
trader = _actor("trader")
stranger = _actor("stranger")


@pytest.fixture
def maker_id(deployed: dict[str, Any]) -> int:
    return deployed["ids"]["maker"]


@pytest.fixture
def winner_id(deployed: dict[str, Any]) -> int:
    return deployed["ids"]["winner"]


@pytest.fixture
def trader_id(deployed: dict[str, Any]) -> int:
    return deployed["ids"]["trader"]


# --- Factories -----------------------------------------------------------------------------------


@pytest.fixture
def owners(deployed: dict[str, Any], actors: dict[str, Any]) -> dict[int, Any]:
    """Account id to the Ape account that owns it."""
    return {account: actors[role] for role, account in deployed["ids"].items()}


@pytest.fixture
def open_account(clearinghouse: Any, owners: dict[int, Any]) -> Callable[..., int]:
    """Opens an account for an actor and funds it with `collateral` micro-USDC."""

    def factory(actor: Any, collateral: int = 0) -> int:
        receipt = clearinghouse.open_account(sender=actor)
        (opened,) = helpers.args(receipt, clearinghouse.AccountOpened)
        account = opened["account"]
        owners[account] = actor
        if collateral:
            clearinghouse.deposit(account, collateral, sender=actor)
        return account

    return factory


@pytest.fixture
def place(order_book: Any, owners: dict[int, Any]) -> Callable[..., ReceiptAPI]:
    """Places an order for its account's owner: by default $100 of X at the first mark, resting."""

    def factory(
        account: int,
        is_buy: bool,
        size: int = 100,
        price: int = X_PRICE,
        market: int = X,
        tif: int = GTC,
        reduce_only: bool = False,
    ) -> ReceiptAPI:
        return order_book.place(
            account, market, is_buy, size, price, tif, reduce_only, sender=owners[account]
        )

    return factory


@pytest.fixture
def open_position(place: Callable[..., ReceiptAPI], oracle: Any) -> Callable[..., ReceiptAPI]:
    """A real trade between two accounts, at the mark unless told otherwise."""

    def factory(
        buyer: int, seller: int, size: int, price: int | None = None, market: int = X
    ) -> ReceiptAPI:
        price = price or oracle.mark(market)
        place(seller, False, size, price, market)
        return place(buyer, True, size, price, market, IOC)

    return factory


@pytest.fixture
def wait(chain: Any) -> Callable[[int], None]:
    """Lets seconds pass."""

    def factory(seconds: int) -> None:
        helpers.next_block_at(chain, chain.blocks.head.timestamp + seconds)

    return factory


@pytest.fixture
def move_mark(oracle: Any, reporter: Any, wait: Callable[[int], None]) -> Callable[..., ReceiptAPI]:
    """Moves a market's mark to `price` ticks in as many epochs as the step limit asks for; the
    other market keeps its price."""

    def factory(price: int, market: int = X) -> ReceiptAPI:
        prices = [oracle.oracle_price(m) for m in (X, Y)]
        prices[market] = price
        while True:
            wait(oracle.min_interval())
            receipt = oracle.update(prices, sender=reporter)
            if oracle.mark(market) == price:
                return receipt

    return factory


@pytest.fixture
def accrue(oracle: Any, owner: Any, reporter: Any, chain: Any) -> Callable[..., ReceiptAPI]:
    """Goes to the next full hour and begins an epoch there, at the oracle prices of before. Starts
    a minute into an hour that begins without funding and without samples, all prices fresh."""

    def update(timestamp: int) -> ReceiptAPI:
        helpers.next_block_at(chain, timestamp)
        return oracle.update([oracle.oracle_price(m) for m in (X, Y)], sender=reporter)

    # Stale when the hour ends, so that it accrues nothing.
    usual = oracle.min_interval(), oracle.stale_after(), oracle.max_step()
    oracle.set_parameters(usual[0], 60, usual[2], sender=owner)
    update((chain.blocks.head.timestamp // 3_600 + 3) * 3_600 + 60)
    oracle.set_parameters(*usual, sender=owner)
    assert oracle.index(X) == oracle.index(Y) == 0
    return lambda: update((chain.blocks.head.timestamp // 3_600 + 1) * 3_600)


@pytest.fixture
def set_terms(governor: Any, owner: Any) -> Callable[..., ReceiptAPI]:
    """Trading terms of a market: no fees, no band and no cap unless the test says so."""

    def factory(
        market: int = X,
        taker_fee: int = 0,
        maker_fee: int = 0,
        band: int = 0,
        min_notional: int = 10 * USDC,
        cap: int = MAX_SIZE,
        by: Any = governor,
    ) -> ReceiptAPI:
        return by.set_trading_terms(
            market, taker_fee, maker_fee, band, min_notional, cap, sender=owner
        )

    return factory


@pytest.fixture
def insure(vault: Any, usdc: Any, owner: Any) -> Callable[[int], None]:
    """Puts `amount` micro-USDC into the insurance vault."""

    def factory(amount: int) -> None:
        usdc.approve(vault, amount, sender=owner)
        vault.contribute(amount, sender=owner)

    return factory
