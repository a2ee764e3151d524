"""Random traders on one venue, and its reference model beside it.

`Twin` sends every operation to the contracts and to the model and compares what comes of it.
`Traders` decides what is done: mostly ordinary trading, some mistakes, and now and then an episode
that leads to a state which random trading alone hardly ever reaches. Owns no rule of the venue.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak

from breakwater.engine.base import Receipt, Reverted
from breakwater.engine.revm import RevmEngine
from breakwater.ledger import Ledger
from breakwater.model import venue as model
from breakwater.venue import UNLIMITED, Venue, VenueConfig
from tests.tranche import without_code

USDC = 10**6
MAIN = 3
"""Markets that are traded; the others are there to be too many, or too large."""
SIDE = 6
STRANGER = "stranger"
FULL_EVERY = 100
"""Operations between two comparisons of the whole state."""


class MismatchError(AssertionError):
    """Contracts and model disagree; the message says after what, and about what."""


def _or_reason(read: Callable[[], Any]) -> Any:
    """What a view answers, or why it does not."""
    try:
        return read()
    except (Reverted, model.Refused) as error:
        return error.reason


@dataclass
class Report:
    """What happened, over all worlds."""

    started: float = field(default_factory=time.monotonic)
    succeeded: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    checks: int = 0
    unmodelled: int = 0

    @property
    def operations(self) -> int:
        return self.succeeded.total() + self.refused.total()

    @property
    def success(self) -> float:
        """Share of operations that succeeded."""
        return self.succeeded.total() / max(1, self.operations)

    def table(self) -> str:
        """Everything that was counted, one line each."""
        seconds = time.monotonic() - self.started
        lines = [
            f"{self.operations} operations in {seconds:.0f} s ({self.operations / seconds:.0f} a "
            f"second), {self.success:.1%} succeeded, {self.checks} full comparisons, "
            f"{self.unmodelled} not modelled"
        ]
        for title, counts in (
            ("succeeded", self.succeeded),
            ("happened", self.happened),
            ("refused", self.refused),
        ):
            lines += [f"{count:>9}  {title:<10} {name}" for name, count in counts.most_common()]
        return "\n".join(lines)


# --- Raw words: the ABI codec would take most of the time ----------------------------------------


def _flat(entries: Iterable[dict[str, Any]]) -> list[str]:
    kinds: list[str] = []
    for entry in entries:
        if entry["type"] == "tuple":
            kinds += _flat(entry["components"])
        else:
            kinds.append(entry["type"])
    return kinds


def _canonical(entry: dict[str, Any]) -> str:
    if entry["type"].startswith("tuple"):
        inner = ",".join(_canonical(component) for component in entry["components"])
        return f"({inner}){entry['type'][5:]}"
    return str(entry["type"])


def _is_static(kinds: Iterable[str]) -> bool:
    return not any(kind.endswith("]") or kind in ("string", "bytes") for kind in kinds)


def _words(data: bytes, kinds: Sequence[str]) -> tuple[int, ...]:
    return tuple(
        int.from_bytes(data[32 * i : 32 * i + 32], "big", signed=kind.startswith("int"))
        for i, kind in enumerate(kinds)
    )


def _selector(entry: dict[str, Any]) -> bytes:
    kinds = ",".join(_canonical(item) for item in entry["inputs"])
    return keccak(text=f"{entry['name']}({kinds})")


class Chain:
    """The deployed venue, read and written word by word."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self._views: dict[tuple[str, str], tuple[str, bytes, list[str]]] = {}
        self._events: dict[bytes, tuple[str, list[tuple[bool, int, bool]]]] = {}
        self.fields: dict[str, list[str]] = {}
        for part, handle in venue.contracts.items():
            for entry in handle.abi:
                if entry["type"] == "function" and _is_static(_flat(entry["outputs"])):
                    view = (handle.address, _selector(entry)[:4], _flat(entry["outputs"]))
                    self._views[part, entry["name"]] = view
                elif entry["type"] == "event" and _is_static(_flat(entry["inputs"])):
                    self._add_event(entry)

    def _add_event(self, entry: dict[str, Any]) -> None:
        places = {True: 0, False: 0}
        layout = []
        for item in entry["inputs"]:
            layout.append((item["indexed"], places[item["indexed"]], item["type"][:3] == "int"))
            places[item["indexed"]] += 1
        self._events[_selector(entry)] = (entry["name"], layout)
        self.fields[entry["name"]] = [item["name"] for item in entry["inputs"]]

    def read(self, part: str, view: str, *args: int) -> tuple[int, ...]:
        """The answer of a view as integers."""
        address, selector, kinds = self._views[part, view]
        data = selector + b"".join(arg.to_bytes(32, "big") for arg in args)
        return _words(self.venue.engine.call(address, data), kinds)

    def one(self, part: str, view: str, *args: int) -> int:
        """The answer of a view with a single one."""
        return self.read(part, view, *args)[0]

    def result(self, part: str, method: str, receipt: Receipt) -> tuple[int, ...]:
        """What a transaction returned."""
        return _words(receipt.return_data or b"", self._views[part, method][2])

    def events(self, receipt: Receipt, names: frozenset[str]) -> list[tuple[str, tuple[int, ...]]]:
        """The events with these names, in order, values in the order of the declaration."""
        found = []
        for log in receipt.logs:
            name, layout = self._events.get(log.topics[0], ("", []))
            if name not in names:
                continue
            values = []
            for in_topics, place, signed in layout:
                raw = log.topics[1 + place] if in_topics else log.data[32 * place : 32 * place + 32]
                values.append(int.from_bytes(raw, "big", signed=signed))
            found.append((name, tuple(values)))
        return found


# --- Two venues, one history ---------------------------------------------------------------------

_MODELLED = frozenset(
    (
        "Exchanged",
        "PositionChanged",
        "FundingSettled",
        "FeeCharged",
        "CashMoved",
        "WrittenOff",
        "Recovered",
        "LiquidationCharged",
        "CooldownBegan",
        "BackstopTaken",
        "WorkedOff",
        "Deposited",
        "Withdrawn",
        "FeesSwept",
        "OrderPlaced",
        "OrderCancelled",
        "Unfilled",
        "Filled",
        "NonceRaised",
        "PriceUpdated",
        "FundingAccrued",
        "FundingForgone",
        "Sampled",
    )
)
_ACCOUNTS = frozenset(
    ("account", "maker", "taker", "buyer", "seller", "source", "to", "reward_account")
)
# Where the arguments of a method name accounts and markets.
_ACCOUNT_ARGUMENTS = {
    "place": (0,),
    "place_market": (0,),
    "deposit": (0,),
    "withdraw": (0,),
    "transfer": (0, 1),
    "set_leverage": (0,),
    "close_settled": (0,),
    "liquidate": (0,),
    "cancel_all": (0,),
}
_MARKET_ARGUMENTS = {
    "place": 1,
    "place_market": 1,
    "set_leverage": 1,
    "close_settled": 1,
    "work_off": 0,
}
NOT_NEW_OWNER = "ownable_2step: caller is not the new owner"
_REASONS = {
    model.BY_OWNER: "cancelled by its owner",
    model.VOID: "void order met",
    model.SELF_TRADE: "self-trade prevented",
    model.MAKER_MARGIN: "skipped maker",
    model.IMMEDIATE: "rest of an immediate order dropped",
    model.STEPS: "steps ran out",
    model.PRICE_BAND: "stopped by the price band",
    model.REDUCE_ONLY: "reduce-only order dropped",
    model.WAITING_MAKERS: "stopped by makers who may add no risk now",
}


class Twin:
    """One venue on revm and its model. `do` runs an operation on both and compares."""

    def __init__(self, report: Report, config: VenueConfig) -> None:
        self.report = report
        self.engine = RevmEngine()
        self.venue = Venue.deploy(self.engine, config)
        self.chain = Chain(self.venue)
        self.ledger = Ledger(self.venue)
        addresses = self.venue.addresses()
        self.model = model.Venue(
            addresses,
            self.engine.timestamp,
            config.min_interval,
            config.stale_after,
            config.max_step,
        )
        self.model.transact("oracle", "set_reporter", self.venue.owner, self.venue.reporter, True)
        self.ledger.enumerate()
        self.wallets = [addresses[name] for name in ("clearinghouse", "vault", "owner", "reporter")]
        self.counting = False
        self._pending = 0
        self._since_full = 0
        self._sizes: dict[tuple[int, int], int] = {}

    def wait(self, seconds: int) -> None:
        """The next operation that succeeds takes place so much later."""
        self._pending += seconds
        self.engine.wait(seconds)

    def do(self, part: str, method: str, sender: str, *args: Any) -> Any:
        """Runs one operation on both sides. Returns the result, or None if it was refused (by both,
        for the same reason) or is not modelled. Raises MismatchError."""
        handle = self.venue.contracts[part]
        data = handle.encode(method, *args)
        what = f"{part}.{method}{args!r} by {sender}"
        self.model.now = self.engine.timestamp + 1 + self._pending
        result: Any = None
        expected = actual = ""
        try:
            result = self.model.transact(part, method, sender, *args)
        except model.Refused as refusal:
            expected = refusal.reason
        except model.NotModelledError:
            self.model.now = self.engine.timestamp
            self.report.unmodelled += 1
            return None
        receipt: Receipt | None = None
        try:
            receipt = self.engine.transact(sender, handle.address, data)
            self._pending = 0
        except Reverted as refusal:
            actual = refusal.reason
        self.model.now = self.engine.timestamp
        self._same(what, "the outcome", actual, expected)
        touched = {args[i] for i in _ACCOUNT_ARGUMENTS.get(method, ())}
        markets = {args[_MARKET_ARGUMENTS[method]]} if method in _MARKET_ARGUMENTS else set()
        if receipt is not None:
            self._compare_receipt(what, part, method, receipt, result)
            if method in ("open_account", "open_isolated_account", "settle_market", "add_market"):
                self.ledger.observe(self.venue.decoder.decode(receipt.logs))
        self._compare_touched(what, touched, markets)
        self._count(f"{part}.{method}", expected)
        self._since_full += 1
        if self._since_full >= FULL_EVERY:
            self.compare_all(what)
        return None if expected else result

    def refuse(self, part: str, method: str, sender: str, args: Sequence[Any], why: str) -> None:
        """An operation that is refused whatever the state: the model need not know it."""
        reason = ""
        try:
            self.venue.contracts[part].send(method, *args, sender=sender)
        except Reverted as refusal:
            reason = refusal.reason
        self._same(f"{part}.{method}{tuple(args)!r} by {sender}", "the outcome", reason, why)
        self._count(f"{part}.{method}", why)

    def _count(self, name: str, refusal: str) -> None:
        for event, values in self.model.events:
            self._note(event, values)
        if not self.counting:
            return
        if refusal:
            self.report.refused[refusal] += 1
        else:
            self.report.succeeded[name] += 1

    def _note(self, event: str, values: tuple[int, ...]) -> None:
        name = ""
        if event == "PositionChanged":
            account, market, size = values[:3]
            before = self._sizes.get((account, market), 0)
            self._sizes[account, market] = size
            name = "flip" if before * size < 0 else ""
        elif event == "Filled":
            name = "partial fill" if values[-1] else "order filled to the end"
        elif event in ("OrderCancelled", "Unfilled"):
            name = _REASONS[values[-1]]
        elif event == "FundingSettled":
            name = "funding settlement"
        elif event == "FundingAccrued":
            name = "funding accrual"
        elif event == "FundingForgone":
            name = "funding forgone"
        elif event == "WrittenOff":
            name = "loss written off"
        elif event == "LiquidationCharged":
            name = "reward paid" if values[-1] else "liquidation fee charged"
        elif event == "CooldownBegan":
            name = "fifth sold"
        elif event == "BackstopTaken":
            name = "takeover"
        elif event == "WorkedOff":
            name = "worked off"
        elif event == "Withdrawn":
            name = "withdrawal at a ratio" if values[1] != values[2] else ""
        if name and self.counting:
            self.report.happened[name] += 1

    def _same(self, what: str, which: str, actual: Any, expected: Any) -> None:
        if actual != expected:
            raise MismatchError(
                f"{which} after {what}: the contracts say {actual!r}, the model {expected!r}"
            )

    def _compare_receipt(
        self, what: str, part: str, method: str, receipt: Receipt, result: Any
    ) -> None:
        events = self.chain.events(receipt, _MODELLED)
        self._same(what, "the log", events, self.model.events)
        if result is not None:
            expected = tuple(map(int, result if isinstance(result, tuple) else (result,)))
            self._same(what, "the result", self.chain.result(part, method, receipt), expected)

    def _compare_touched(self, what: str, accounts: set[int], markets: set[int]) -> None:
        """Everything that the operation named, on its way in or in an event."""
        orders = set()
        for name, values in self.model.events:
            for field_name, value in zip(self.chain.fields[name], values, strict=True):
                if field_name in _ACCOUNTS:
                    accounts.add(value)
                elif field_name == "market":
                    markets.add(value)
                elif field_name == "order_id":
                    orders.add(value)
        for account in accounts:
            self._compare_account(what, account, markets)
        for market in markets:
            if market < self.model.oracle.market_count:
                self._compare_market(what, market)
        for order_id in orders:
            self._compare_order(what, order_id)
        self._compare_totals(what)

    def _compare_account(self, what: str, account: int, markets: Iterable[int]) -> None:
        one, ledger = self.chain.one, self.model.ledger
        label = f"account {account}"
        whose = ledger.accounts[account]
        self._same(
            what, f"{label}: cash", one("clearinghouse", "cash", account), ledger.cash[account]
        )
        self._same(
            what,
            f"{label}: markets",
            one("clearinghouse", "active_markets", account),
            whose.active,
        )
        self._same(
            what,
            f"{label}: nonce",
            one("order_book", "nonce", account),
            self.model.order_book.nonces[account],
        )
        for market in markets:
            self._same(
                what,
                f"{label}: position in market {market}",
                self.chain.read("clearinghouse", "position", account, market),
                tuple(ledger.positions[account, market]),
            )

    def _compare_market(self, what: str, market: int) -> None:
        one, ledger = self.chain.one, self.model.ledger
        label = f"market {market}"
        house = "clearinghouse"
        actual = (
            self.chain.read("oracle", "price", market),
            one(house, "funding_pool", market),
            one(house, "funding_dust", market),
            one(house, "open_interest", market),
            one("order_book", "last_trade", market),
            self.chain.read("order_book", "passed", market, 0),
            self.chain.read("order_book", "passed", market, 1),
        )
        expected = (
            tuple(self.model.oracle.with_due(market)),
            ledger.pool[market],
            ledger.dust[market],
            ledger.open_interest[market],
            self.model.order_book.last_trade[market],
            self.model.order_book.passed[market, False],
            self.model.order_book.passed[market, True],
        )
        which = f"{label}: price, pool, dust, open interest, trade, how far it was passed"
        self._same(what, which, actual, expected)

    def _compare_order(self, what: str, order_id: int) -> None:
        order = self.model.order_book.orders.get(order_id)
        actual: tuple[int, ...] | None = None
        try:
            found = self.chain.read("order_book", "order", order_id)
            # Without the neighbours in the queue, which `depth` and the fills show.
            actual = found[:6] + found[8:]
        except Reverted:
            pass
        expected = None if order is None else tuple(map(int, order))
        self._same(what, f"order {order_id}", actual, expected)

    def _compare_totals(self, what: str) -> None:
        one, ledger = self.chain.one, self.model.ledger
        names = ("held", "uninsured", "fees", "account_count")
        actual = [one("clearinghouse", name) for name in names]
        expected = [getattr(ledger, name) for name in names]
        actual += [one("order_book", "last_order_id"), one("oracle", "epoch")]
        expected += [self.model.order_book.last_order_id, self.model.oracle.epoch]
        self._same(what, "held, uninsured, fees, accounts, orders, epoch", actual, expected)

    # The whole state

    def compare_all(self, what: str = "the end") -> None:
        """Every account, order, level, market and wallet; then the identities from the chain."""
        self._since_full = 0
        house = self.model.clearinghouse
        markets = range(house.market_count)
        self._compare_totals(what)
        accounts = list(range(1, self.model.ledger.account_count + 1))
        for account in accounts:
            self._compare_account(what, account, ())
            self._compare_standing(what, account)
        self._compare_margins(what, accounts)
        for market in markets:
            self._compare_market(what, market)
            self._compare_book(what, market)
            self._compare_terms(what, market)
            self._compare_oracle(what, market)
            self._compare_holders(what, market)
            rows = self.venue.lens.call("positions", market, accounts)
            positions = [tuple(self.model.ledger.positions[a, market]) for a in accounts]
            self._same(what, f"positions of market {market}", list(map(tuple, rows)), positions)
        for order_id in self.model.order_book.orders:
            self._compare_order(what, order_id)
        for wallet in self.wallets:
            balance = self.venue.usdc.call("balanceOf", wallet)
            self._same(what, f"balance of {wallet}", balance, self.model.usdc.balance[wallet])
        self.ledger.check()
        self.report.checks += 1

    def _compare_standing(self, what: str, account: int) -> None:
        whose = self.model.ledger.accounts[account]
        call = self.venue.clearinghouse.call
        actual = (
            call("account_owner", account),
            call("account_kind", account),
            call("isolated_to", account),
            [tuple(row) for row in self.venue.order_book.call("open_orders", account)],
        )
        book = self.model.order_book
        orders = [(order_id, book.orders[order_id]) for order_id in book.open_orders(account)]
        expected = (
            whose.owner,
            whose.kind,
            whose.isolated,
            [(i, o.market, o.is_buy, o.price, o.size, o.reduce_only) for i, o in orders],
        )
        self._same(what, f"standing of account {account}", actual, expected)

    def _compare_margins(self, what: str, accounts: list[int]) -> None:
        house, ledger = self.model.clearinghouse, self.model.ledger
        for row in self.venue.lens.call("accounts", accounts):
            whose = ledger.accounts[row.account]
            margin = house.margin(row.account)
            weak = whose.kind == model.TRADER and margin.is_fresh and model.is_weak(margin)
            quotes = sum(ledger.positions[row.account, market].quote for market in whose.markets)
            cash = ledger.cash[row.account]
            expected = (row.account, cash, quotes, *margin[:4], whose.active, weak)
            self._same(what, f"margin of account {row.account}", tuple(row), expected)

    def _compare_book(self, what: str, market: int) -> None:
        book = self.model.order_book
        for is_buy in (True, False):
            depth = book.depth(market, is_buy)
            shown = self.venue.order_book.call("depth", market, is_buy, 100)
            label = f"{'bids' if is_buy else 'asks'} of market {market}"
            self._same(what, label, list(map(tuple, shown)), depth[:100])
            best = self.chain.one("order_book", "best", market, is_buy)
            self._same(what, f"best of the {label}", best, depth[0][0] if depth else 0)
        notional = self.model.oracle.impact_notional[market]
        self._same(
            what,
            f"quotes of market {market}",
            _or_reason(lambda: self.chain.read("order_book", "quotes", market, notional)),
            _or_reason(lambda: tuple(book.quotes(market, notional))),
        )

    def _compare_terms(self, what: str, market: int) -> None:
        house = self.model.clearinghouse
        terms = house.terms[market]
        shown = self.venue.governor.call("market", market)
        expected: list[Any] = [terms.leverage, terms.min_notional, terms.taker_fee]
        expected += [terms.maker_fee, terms.band, terms.cap]
        expected += [terms.halted, terms.settled, terms.settlement]
        self._same(what, f"terms of market {market}", list(shown)[2:], expected)
        tiers = [tuple(tier) for tier in self.venue.governor.call("tiers", market)]
        self._same(what, f"tiers of market {market}", tiers, [tuple(t) for t in terms.tiers])
        announced, due = self.venue.governor.call("announced_tiers", market)
        actual_announced = tuple(tuple(tier) for tier in announced), due
        expected_announced = self.model.governor.announced[market]
        self._same(what, f"tiers to come of market {market}", actual_announced, expected_announced)
        one = self.chain.one
        actual = (
            one("governor", "halted_at", market),
            one("clearinghouse", "settlement_account", market),
            one("clearinghouse", "settlement_index", market),
            one("clearinghouse", "mark", market),
            one("clearinghouse", "estate", market, True),
        )
        expected_standing = (
            self.model.governor.halted_at[market],
            house.settlement_account[market],
            house.settlement_index[market],
            house.read(market).mark,
            house.estates[market, True],
        )
        self._same(what, f"halt and settlement of market {market}", actual, expected_standing)

    def _compare_oracle(self, what: str, market: int) -> None:
        oracle = self.model.oracle
        actual = (
            self.chain.read("oracle", "last_sample", market),
            self.chain.one("oracle", "expected_rate", market),
            tuple(map(int, self.chain.read("oracle", "read", market))),
        )
        expected = (
            tuple(oracle.samples[market]),
            oracle.expected_rate(market),
            tuple(map(int, oracle.read(market))),
        )
        self._same(what, f"sample, rate and reading of market {market}", actual, expected)

    def _compare_holders(self, what: str, market: int) -> None:
        for is_long in (True, False):
            count = self.chain.one("clearinghouse", "holder_count", market, is_long)
            listed = [
                self.chain.one("clearinghouse", "holder_at", market, is_long, i)
                for i in range(count)
            ]
            expected = list(self.model.ledger.holders[market, is_long])
            self._same(what, f"holders of market {market}, long {is_long}", listed, expected)


# --- The traders ---------------------------------------------------------------------------------

_ZERO = "0x" + "00" * 20


class Traders:
    """One world: a venue with its own parameters, and a crowd that trades on it."""

    def __init__(self, seed: int, report: Report) -> None:
        self.rng = random.Random(seed)
        rng = self.rng
        self.stale_after = rng.choice([1_200, 3_600, 7_200])
        self.max_step = rng.choice([0, 2_000, 5_000, 9_999])
        self.twin = Twin(report, VenueConfig(stale_after=self.stale_after, max_step=self.max_step))
        self.model = self.twin.model
        engine = self.twin.engine
        self.owner = self.twin.venue.owner
        self.guardian = engine.actor("guardian")
        self.stranger = engine.actor(STRANGER)
        self.people = [engine.actor(f"trader {i}") for i in range(8)]
        self.maker_owner = engine.actor("market maker")
        self.reporters = [self.twin.venue.reporter, engine.actor("second"), engine.actor("third")]
        self.accounts: list[int] = []
        self.prices: list[float] = []
        self.settled = False
        self._set_up()
        self.twin.counting = True
        self._actions: list[Callable[[], None]]
        self._actions, weights = zip(*self._ordinary(), strict=True)  # type: ignore[assignment]
        self._cumulated = list(itertools.accumulate(weights))
        self._mistakes = self._deck(self._possible_mistakes())
        episodes: list[Callable[[], None]] = [
            self.many_orders,
            self.stale_prices,
            self.halted_market,
            self.capped_market,
            self.narrow_band,
            self.crash,
            self.crash,
            self.backstop,
            self.backstop,
            *[self.in_parts] * 4,
            self.many_positions,
            self.huge_order,
            self.wrong_market,
            self.doors,
            self.tight_leverage,
            self.quick_pokes,
            self.old_sample,
            self.extreme_premium,
            self.tighter_tiers,
        ]
        self._episodes = self._deck(episodes)

    def run(self, operations: int) -> None:
        """So many operations at least; a market is settled towards the end."""
        report = self.twin.report
        end = report.operations + operations
        settle_at = report.operations + operations * 17 // 20
        while report.operations < end:
            self.step()
            if not self.settled and report.operations >= settle_at:
                self.settlement()
        self.twin.compare_all()

    def step(self) -> None:
        """One action, which may be several operations."""
        draw = self.rng.random()
        if draw < 0.02:
            next(self._episodes)()
        elif draw < 0.177:
            next(self._mistakes)()
        else:
            self.rng.choices(self._actions, cum_weights=self._cumulated)[0]()

    # Helpers

    def _deck(self, cards: Sequence[Callable[[], None]]) -> Iterator[Callable[[], None]]:
        """All of them in random order, and then again: none is left out for long."""
        while True:
            yield from self.rng.sample(cards, len(cards))

    def do(self, part: str, method: str, sender: str, *args: Any) -> Any:
        return self.twin.do(part, method, sender, *args)

    def govern(self, method: str, *args: Any) -> Any:
        return self.do("governor", method, self.owner, *args)

    def owner_of(self, account: int) -> str:
        return self.model.ledger.accounts[account].owner

    def mark(self, market: int) -> int:
        return self.model.clearinghouse.read(market).mark

    def size_of(self, account: int, market: int) -> int:
        return self.model.ledger.positions[account, market].size

    def lots(self, market: int, notional: float) -> int:
        """About so many micro-USDC, one lot at least."""
        return max(1, int(notional) // self.mark(market))

    def near(self, market: int, offset: float) -> int:
        """The tick at a relative distance from the mark."""
        return min(model.MAX_TICK, max(1, round(self.mark(market) * (1 + offset))))

    def place(
        self,
        account: int,
        market: int,
        is_buy: bool,
        size: int,
        price: int,
        tif: int = 0,
        reduce_only: bool = False,
    ) -> Any:
        args = (account, market, is_buy, max(1, size), price, tif, reduce_only)
        return self.do("order_book", "place", self.owner_of(account), *args)

    def any_account(self) -> int:
        return self.rng.choice(self.accounts)

    def any_market(self, account: int | None = None) -> int:
        """A traded market, of an isolated account its own."""
        if account is not None:
            isolated = self.model.ledger.accounts[account].isolated
            if isolated and self.rng.random() < 0.95:
                return isolated - 1
        market = self.rng.randrange(MAIN)
        if self.settled and market == MAIN - 1 and self.rng.random() < 0.9:
            return self.rng.randrange(MAIN - 1)
        return market

    def fund(self, sender: str, account: int, amount: int) -> None:
        self.do("clearinghouse", "deposit", sender, account, amount)

    def open(self, sender: str, collateral: int, isolated: int | None = None) -> int:
        if isolated is None:
            account: int | None = self.do("clearinghouse", "open_account", sender)
        else:
            account = self.do("clearinghouse", "open_isolated_account", sender, isolated)
        assert account is not None
        self.fund(sender, account, collateral)
        return account

    # The beginning

    def _set_up(self) -> None:
        rng, twin = self.rng, self.twin
        rich = 2**90
        penniless = self.reporters[0]
        for person in [*self.people, self.maker_owner, self.owner, self.stranger, penniless]:
            if person != penniless:
                twin.do("usdc", "mint", person, person, rich)
            for spender in (twin.venue.clearinghouse, twin.venue.vault):
                twin.venue.usdc.send("approve", spender, UNLIMITED, sender=person)
            if person not in twin.wallets:
                twin.wallets.append(person)
        twin.model.now = twin.engine.timestamp
        for reporter in self.reporters[1:]:
            self.do("oracle", "set_reporter", self.owner, reporter, True)
        self.do("oracle", "set_quorum", self.owner, rng.choice([1, 2, 2, 3]))
        self.govern("set_guardian", self.guardian)
        for market in range(MAIN + SIDE):
            price = rng.choice([700, 5_000, 110_000, 1_000_000]) if market < MAIN else 100_000
            price += rng.randrange(price // 10)
            self.prices.append(float(price))
            leverage = rng.choice([10, 20, 40, 50])
            self.do("oracle", "add_market", self.owner, price)
            self.govern("add_market", f"M{market}", 2, leverage, 0)
            if market < MAIN:
                self._set_terms(market)
                if rng.random() < 0.7:
                    bounds = [0, rng.randrange(1, 50_000) * USDC, 100_000 * USDC]
                    self.govern("set_tiers", market, bounds, [leverage, leverage // 2, 3])
                impact = rng.choice([500, 6_000]) * USDC
                self.do("oracle", "set_impact_notional", self.owner, market, impact)
        self.maker = self.open(self.maker_owner, 10**9 * USDC)
        self.whale = self.open(self.maker_owner, 2**76)
        self.sweeper = self.open(self.owner, 10**9 * USDC)
        for person in self.people:
            for _ in range(rng.randrange(1, 4)):
                isolated = rng.randrange(MAIN) if rng.random() < 0.25 else None
                money = int(10 ** rng.uniform(3, 5)) * USDC + rng.randrange(USDC)
                self.accounts.append(self.open(person, money, isolated))
        self.accounts.append(self.maker)
        self._set_liquidation()
        self.fund_tranche()
        self.govern("set_fee_share", rng.choice([0, 300_000, 10**6]), rng.choice(self.accounts))
        for market in range(MAIN):
            self.quote(market)

    def _set_liquidation(self) -> None:
        """How liquidations go, mostly with all that may happen in one."""
        rng = self.rng
        above = rng.choice([model.UNLIMITED, 0, 100 * USDC, 1_000 * USDC])
        self.own("set_partial", above, rng.choice([0, 2, 30, 3_600]))
        fees = rng.choice([0, 77, 5_000, 10_000]), rng.choice([0, 500_000, 10**7])
        self.own("set_fees", *fees, rng.choice([0, 333_333, 10**6]))
        self.own("set_backstop", rng.random() < 0.9, rng.choice([model.UNLIMITED, 10_000 * USDC]))
        for market in range(MAIN):
            self.own("set_backstop_limit", market, rng.choice([0, 5_000, 10**6, 10**6]) * USDC)
        self.own(
            "set_work_off",
            rng.choice([0, 50_000, 10**6]),
            rng.choice([1, 100, 10**6]) * USDC,
            rng.choice([1, 60, 3_600]),
            rng.choice([0, 5_000, 300_000]),
        )

    def own(self, method: str, *args: Any) -> Any:
        return self.do("liquidator", method, self.owner, *args)

    def _set_terms(self, market: int) -> None:
        """Ordinary trading terms: no cap in reach."""
        rng = self.rng
        self.govern(
            "set_trading_terms",
            market,
            rng.choice([0, 450, 1_000]),
            rng.choice([0, 150, 333]),
            rng.choice([0, 50_000, 100_000]),
            rng.choice([0, 10, 10, 50]) * USDC,
            model.MAX_LOTS,
        )

    # Ordinary trading

    def _ordinary(self) -> list[tuple[Callable[[], None], float]]:
        return [
            (self.passive, 30),
            (self.aggressive, 24),
            (self.flip, 4),
            (self.reduce, 5),
            (self.market_order, 5),
            (self.quote_somewhere, 4),
            (self.cancel, 9),
            (self.cancel_all, 0.7),
            (self.purge, 0.5),
            (self.new_prices, 7),
            (self.sample, 4),
            (self.pass_time, 3),
            (self.deposit, 4),
            (self.withdraw, 3),
            (self.transfer, 2),
            (self.set_leverage, 2),
            (self.sweep, 0.7),
            (self.contribute, 0.5),
            (self.liquidate, 1.5),
            (self.work_off, 0.8),
            (self.fund_tranche, 0.15),
            (self.wind_up_tranche, 0.05),
            (self.new_account, 0.2),
            (self.new_terms, 0.3),
        ]

    def _appetite(self, account: int, market: int, most: float) -> int:
        """A size that the account's equity allows, or nearly."""
        equity = max(self.model.clearinghouse.margin(account).equity, 20 * USDC)
        equity = min(equity, 2_000_000 * USDC)
        return self.lots(market, equity * self.rng.uniform(0.02, most))

    def passive(self) -> None:
        """An order that rests, away from the mark or nearly so."""
        rng, account = self.rng, self.any_account()
        market, is_buy = self.any_market(account), self.rng.random() < 0.5
        offset = rng.uniform(-0.0005, 0.01) * (-1 if is_buy else 1)
        size = self._appetite(account, market, 2)
        tif = model.POST_ONLY if rng.random() < 0.15 else 0
        reduce_only = rng.random() < 0.1 and (self.size_of(account, market) < 0) == is_buy
        self.place(account, market, is_buy, size, self.near(market, offset), tif, reduce_only)

    def aggressive(self) -> None:
        """An order that means to trade at once."""
        rng, account = self.rng, self.any_account()
        market, is_buy = self.any_market(account), self.rng.random() < 0.5
        offset = rng.uniform(-0.001, 0.006) * (1 if is_buy else -1)
        size = self._appetite(account, market, rng.choice([0.5, 1, 3]))
        self.place(account, market, is_buy, size, self.near(market, offset), rng.randrange(2))

    def flip(self) -> None:
        """More than all of a position, the other way."""
        account, market, size = self._somebodys()
        if size:
            lots = int(abs(size) * self.rng.uniform(1.05, 2)) + 1
            offset = 0.006 if size < 0 else -0.006
            self.place(account, market, size < 0, lots, self.near(market, offset), 0)

    def reduce(self) -> None:
        """Part of a position, or all of it."""
        account, market, size = self._somebodys()
        if size:
            share = self.rng.choice([1.0, 1.0, 2.0, self.rng.random()])
            offset = 0.005 if size < 0 else -0.005
            lots = int(abs(size) * share)
            price = self.near(market, offset)
            self.place(account, market, size < 0, lots, price, self.rng.randrange(2), True)

    def _somebodys(self) -> tuple[int, int, int]:
        account = self.any_account()
        markets = [m for m in self.model.ledger.accounts[account].markets if m < MAIN]
        market = self.rng.choice(markets) if markets else 0
        return account, market, self.size_of(account, market)

    def market_order(self) -> None:
        account = self.any_account()
        market = self.any_market(account)
        self.do(
            "order_book",
            "place_market",
            self.owner_of(account),
            account,
            market,
            self.rng.random() < 0.5,
            self._appetite(account, market, 1),
            self.rng.choice([0, 2_000, 10_000, 100_000]),
            False,
        )

    def quote_somewhere(self) -> None:
        self.quote(self.any_market())

    def quote(self, market: int) -> None:
        """The market maker on both sides."""
        for is_buy in (True, False):
            offset = self.rng.uniform(0.0005, 0.003) * (-1 if is_buy else 1)
            lots = self.lots(market, self.rng.uniform(1_000, 60_000) * USDC)
            self.place(self.maker, market, is_buy, lots, self.near(market, offset))

    def cancel(self) -> None:
        """One live order, mostly by its owner."""
        account = self.any_account()
        orders = self.model.order_book.open_orders(account)
        if orders:
            sender = self.stranger if self.rng.random() < 0.02 else self.owner_of(account)
            self.do("order_book", "cancel", sender, self.rng.choice(orders))

    def cancel_all(self) -> None:
        account = self.any_account()
        self.do("order_book", "cancel_all", self.owner_of(account), account)

    def purge(self) -> None:
        side = self.rng.random() < 0.5
        steps = self.rng.choice([0, 1, 5, 100])
        self.do("order_book", "purge", self.stranger, self.any_market(), side, steps)

    def new_prices(self) -> None:
        """A random walk: some reporters report, the last one begins the epoch."""
        for market in range(len(self.prices)):
            move = self.rng.gauss(0, 0.004 if market < MAIN else 0)
            self.prices[market] = min(max(self.prices[market] * (1 + move), 20.0), 1.5e7)
        who = self.rng.sample(self.reporters, self.rng.randrange(1, len(self.reporters) + 1))
        self.report_by(who, noise=0.001, holes=0.01)

    def report_by(self, who: Sequence[str], noise: float = 0.0, holes: float = 0.0) -> None:
        """Reports from all of them, and an epoch after the last."""
        self.twin.wait(self.rng.choice([2, 2, 3, 3, 5, 12]))
        for reporter in who:
            prices = [
                0 if self.rng.random() < holes else max(1, round(p * self.rng.gauss(1, noise)))
                for p in self.prices
            ]
            if reporter != who[-1]:
                self.do("oracle", "report", reporter, prices)
            elif self.rng.random() < 0.2:
                self.do("oracle", "report", reporter, prices)
                self.do("oracle", "poke", self.stranger)
            else:
                self.do("oracle", "update", reporter, prices)

    def refresh(self) -> None:
        """Everybody reports, so prices are fresh whatever the quorum."""
        self.twin.wait(3)
        self.report_by(self.reporters)

    def walk(self) -> None:
        """Epochs until the marks have arrived (at most 60)."""
        for _ in range(60):
            self.refresh()
            away = [
                market
                for market in range(MAIN)
                if abs(self.mark(market) - self.prices[market]) > 0.01 * self.prices[market] + 2
                and not self.model.clearinghouse.terms[market].settled
            ]
            if not away:
                break

    def sample(self) -> None:
        self.do("oracle", "sample", self.stranger, self.any_market())

    def pass_time(self) -> None:
        """Minutes, sometimes most of an hour; a long while is followed by new prices."""
        seconds = self.rng.choice([10, 60, 300, 900])
        self.twin.wait(seconds)
        if seconds >= 300:
            self.refresh()

    def deposit(self) -> None:
        account = self.any_account()
        amount = self.rng.randrange(1, 5_000 * USDC)
        margin = self.model.clearinghouse.margin(account)
        if margin.equity < margin.initial:
            amount += margin.initial - margin.equity
        self.fund(self.rng.choice(self.people), account, amount)

    def _amount(self, account: int) -> int:
        """Part of what is free, now and then more than that."""
        margin = self.model.clearinghouse.margin(account)
        free = margin.equity - max(margin.initial, model.ceil_div(margin.notional, 10))
        draw = self.rng.random()
        if draw < 0.1 or free <= 0:
            return max(free, 0) + 1
        return free if draw < 0.15 else 1 + int(free * self.rng.random() * 0.5)

    def withdraw(self) -> None:
        account = self.any_account()
        amount = self._amount(account)
        self.do("clearinghouse", "withdraw", self.owner_of(account), account, amount)

    def transfer(self) -> None:
        source = self.any_account()
        owner = self.owner_of(source)
        mine = [account for account in self.accounts if self.owner_of(account) == owner]
        self.do(
            "clearinghouse", "transfer", owner, source, self.rng.choice(mine), self._amount(source)
        )

    def set_leverage(self) -> None:
        account = self.any_account()
        market = self.any_market(account)
        most = self.model.clearinghouse.terms[market].leverage
        leverage = self.rng.choice([0, 0, most, self.rng.randrange(most + 1)])
        sender = self.owner_of(account)
        self.do("clearinghouse", "set_leverage", sender, account, market, leverage)

    def sweep(self) -> None:
        self.do("clearinghouse", "sweep_fees", self.stranger)

    def contribute(self) -> None:
        self.do("vault", "contribute", self.stranger, self.rng.randrange(1, 100 * USDC))

    def liquidate(self) -> None:
        account = self.any_account()
        self._liquidate(account, self.rng.choice([1, 10, 256, 1_000]))

    def _liquidate(self, account: int, steps: int, often: float = 0.7) -> None:
        """By anyone, for a reward as often as that."""
        rewarded = self.any_account() if self.rng.random() < often else 0
        self.do("liquidator", "liquidate", self.stranger, account, steps, rewarded)

    def fund_tranche(self) -> None:
        """What is contributed goes to the tranche; only the vault may move it there."""
        house, vault = self.model.clearinghouse, self.model.vault_address
        amount = int(10 ** self.rng.uniform(2, 5)) * USDC
        self.do("vault", "contribute", self.owner, amount)
        amount = min(amount, self.model.vault.available())
        with without_code(self.twin.engine, vault):
            self.do(
                "clearinghouse",
                "transfer_cash",
                vault,
                house.vault_account,
                house.tranche_account,
                amount,
            )

    def work_off(self) -> None:
        held = self.model.ledger.accounts[self.model.clearinghouse.tranche_account].markets
        market = self.rng.choice(held or [0])
        steps = self.rng.choice([1, 2, 10, 256, 1_000])
        self.do("liquidator", "work_off", self.stranger, market, steps)

    def wind_up_tranche(self) -> None:
        self.do("liquidator", "wind_up_tranche", self.stranger, 10)

    def new_account(self) -> None:
        if len(self.accounts) < 40:
            isolated = self.rng.choice([None, self.rng.randrange(MAIN)])
            money = int(10 ** self.rng.uniform(2, 4)) * USDC
            if self.model.ledger.uninsured == 0:
                self.accounts.append(self.open(self.rng.choice(self.people), money, isolated))

    def new_terms(self) -> None:
        self._set_terms(self.rng.randrange(MAIN))

    # Mistakes: each an operation that the venue refuses, most of them in any state

    def _possible_mistakes(self) -> list[Callable[[], None]]:
        many = len(self.prices)
        day = model.DAY

        def by_owner(part: str, method: str, *args: Any) -> Callable[[], None]:
            return lambda: self._discard(self.do(part, method, self.owner, *args))

        def by_stranger(part: str, method: str, *args: Any) -> Callable[[], None]:
            return lambda: self._discard(self.do(part, method, self.stranger, *args))

        def order(**wrong: Any) -> Callable[[], None]:
            def place() -> None:
                account = wrong.get("account", self.accounts[0])
                sender = self.owner_of(account) if "sender" not in wrong else wrong["sender"]
                price, lots = wrong.get("price", self.near(0, -0.5)), self.lots(0, 1_000 * USDC)
                self.do(
                    "order_book",
                    "place",
                    sender or self.stranger,
                    account,
                    wrong.get("market", 0),
                    True,
                    wrong.get("size", lots),
                    price,
                    wrong.get("tif", 0),
                    wrong.get("reduce_only", False),
                )

            return place

        governor: list[Callable[[], None]] = [
            by_owner("governor", "set_trading_terms", 0, *terms)
            for terms in (
                (10_001, 0, 0, 0, model.MAX_LOTS),
                (0, 10_001, 0, 0, model.MAX_LOTS),
                (0, 0, 10**6, 0, model.MAX_LOTS),
                (0, 0, 0, model.MAX_MIN_NOTIONAL + 1, model.MAX_LOTS),
                (0, 0, 0, 0, model.MAX_LOTS + 1),
            )
        ] + [
            by_owner("governor", "set_tiers", 0, *tiers)
            for tiers in (
                ([0], [0]),
                ([0], [101]),
                ([1], [10]),
                ([], []),
                ([0, 5], [10]),
                ([0, 5], [10, 10]),
                ([0, 5, 5], [10, 9, 8]),
                ([0, 2**57], [10, 9]),
            )
        ]
        return [
            *governor,
            by_owner("governor", "set_fee_share", 10**6 + 1, 0),
            by_owner("governor", "set_fee_share", 0, 1),
            by_owner("governor", "add_market", "X", 7, 10, 0),
            by_owner("governor", "add_market", "X", 2, 10, 0),
            by_owner("governor", "resume", 1),
            by_stranger("governor", "apply_tiers", MAIN),
            by_owner("governor", "settle_market", 1, 100),
            by_owner("governor", "halt", many),
            by_owner("governor", "set_tiers", many, [0], [10]),
            by_stranger("governor", "halt", 0),
            by_stranger("governor", "set_guardian", self.stranger),
            by_stranger("governor", "resume", 0),
            by_stranger("oracle", "set_quorum", 1),
            by_stranger("oracle", "report", [1] * many),
            by_stranger("oracle", "update", [1] * many),
            by_stranger("oracle", "sample", many),
            lambda: self._discard(self.do("oracle", "report", self.reporters[0], [1])),
            lambda: self._discard(
                self.do("oracle", "report", self.reporters[0], [0] * (many - 1) + [2**24])
            ),
            by_owner("oracle", "set_quorum", self.rng.choice([0, 4, 10])),
            by_owner("oracle", "set_parameters", 0, 3, 0),
            by_owner("oracle", "set_parameters", 3, 3, 0),
            by_owner("oracle", "set_parameters", 3, day + 1, 0),
            by_owner("oracle", "set_parameters", 3, day, 10**6 + 1),
            # 10x at least: a step of 5% is its maintenance.
            by_owner("oracle", "set_parameters", 3, day, 50_000),
            by_owner("oracle", "set_parameters", 3, day, self.rng.choice([1, 99])),
            self.too_much_leverage,
            self.coarse_tick,
            self.post_beyond_the_band,
            by_owner("oracle", "set_market_staleness", 0, 3),
            by_owner("oracle", "set_market_staleness", 0, day + 1),
            by_owner("oracle", "set_market_staleness", many, 100),
            by_owner("oracle", "set_impact_notional", 0, self.rng.choice([0, 2**80])),
            by_owner("oracle", "set_impact_notional", many, 1),
            by_owner("oracle", "add_market", self.rng.choice([0, 2**24])),
            by_stranger("clearinghouse", "deposit", 999, 5),
            by_stranger("clearinghouse", "deposit", 1, 5),
            by_stranger("clearinghouse", "deposit", self.maker, 0),
            by_stranger("clearinghouse", "deposit", self.maker, 2**80 + 1),
            lambda: self._discard(
                self.do("clearinghouse", "deposit", self.reporters[0], self.maker, 7)
            ),
            by_stranger("clearinghouse", "repay_uninsured", 2**100),
            by_stranger("clearinghouse", "withdraw", self.maker, 5),
            by_stranger("clearinghouse", "withdraw", 999, 5),
            by_stranger("clearinghouse", "set_leverage", self.maker, 0, 1),
            by_stranger("clearinghouse", "open_isolated_account", many),
            by_stranger("liquidator", "close_settled", self.maker, 0),
            lambda: self._money_mistake("withdraw", self.maker, 0),
            lambda: self._money_mistake("set_leverage", self.maker, 0, 101),
            lambda: self._money_mistake("set_leverage", self.maker, many, 1),
            lambda: self._money_mistake("transfer", self.maker, self.maker, 1),
            lambda: self._money_mistake("transfer", self.maker, self.accounts[0], 1),
            lambda: self._money_mistake("transfer", self.maker, self.whale, 0),
            by_stranger("vault", "contribute", 0),
            by_stranger("liquidator", "liquidate", self.maker, 0),
            by_stranger("liquidator", "liquidate", 999, 5),
            by_stranger("liquidator", "liquidate", 1, 5),
            by_stranger("liquidator", "liquidate", self.maker, 5),
            by_stranger("liquidator", "liquidate", self.maker, 5, self.maker),
            by_stranger("liquidator", "work_off", MAIN, 5),
            by_stranger("liquidator", "work_off", 0, 0),
            by_stranger("liquidator", "wind_up_tranche", 0),
            by_stranger("liquidator", "wind_up_tranche", 1),
            by_stranger("liquidator", "set_partial", 0, 0),
            by_owner("liquidator", "set_partial", 0, 3_601),
            by_owner("liquidator", "set_fees", 10_001, 0, 0),
            by_owner("liquidator", "set_fees", 0, 10**7 + 1, 0),
            by_owner("liquidator", "set_fees", 0, 0, 10**6 + 1),
            by_owner("liquidator", "set_backstop_limit", 0, 2**100 + 1),
            by_owner("liquidator", "set_work_off", 10**6 + 1, 0, 1, 0),
            by_owner("liquidator", "set_work_off", 0, 2**100 + 1, 1, 0),
            by_owner("liquidator", "set_work_off", 0, 0, self.rng.choice([0, day + 1]), 0),
            by_owner("liquidator", "set_work_off", 0, 0, 1, 10**6),
            by_stranger("order_book", "cancel", 10**9),
            by_stranger("order_book", "cancel_all", self.maker),
            by_stranger("order_book", "cancel_all", 999),
            order(price=0),
            order(price=2**24),
            order(tif=3),
            order(size=0),
            order(size=2**54 + 1),
            order(account=999),
            order(account=1, sender=""),
            order(market=many),
            order(sender=""),
            self._nothing_to_reduce,
            self._too_small,
            self._post_only_that_trades,
            lambda: self._discard(
                self.do(
                    "order_book",
                    "place_market",
                    self.maker_owner,
                    self.maker,
                    self.rng.choice([0, many]),
                    True,
                    5,
                    self.rng.choice([0, 10**6 + 1]),
                    False,
                )
            ),
        ]

    def _discard(self, result: Any) -> None:
        """An action returns nothing."""

    def _money_mistake(self, method: str, *args: int) -> None:
        self.do("clearinghouse", method, self.maker_owner, *args)

    def _nothing_to_reduce(self) -> None:
        account, market = self.any_account(), self.any_market()
        is_buy = self.size_of(account, market) >= 0
        self.place(account, market, is_buy, 5, self.near(market, 0), 0, True)

    def _too_small(self) -> None:
        self.place(self.any_account(), self.any_market(), True, 1, self.near(0, -0.01))

    def _post_only_that_trades(self) -> None:
        market = self.rng.randrange(MAIN - 1)
        self.place(
            self.any_account(),
            market,
            True,
            self.lots(market, 100 * USDC),
            self.near(market, 0.02),
            model.POST_ONLY,
        )

    # Episodes

    def offer(self, market: int, is_buy: bool, lots: int) -> None:
        """The market maker's order at the mark, on top of the book or nearly."""
        self.place(self.maker, market, is_buy, lots, self.near(market, 0))

    def maker_reduces(self, market: int) -> tuple[bool, int]:
        """The market maker offers part of its position, which it may whatever is forbidden to
        others. Returns the side of a taker that would trade against it, and the lots."""
        size = self.size_of(self.maker, market)
        if size == 0:
            return True, 0
        lots = max(1, abs(size) // 3)
        self.place(self.maker, market, size < 0, lots, self.near(market, 0), 0, True)
        return size > 0, lots

    def ensure_maker_position(self, market: int) -> None:
        """Somebody sells to the market maker, or buys from it, if it is flat."""
        if abs(self.size_of(self.maker, market)) < 20:
            lots = self.lots(market, 20_000 * USDC) + 60
            self.place(self.maker, market, True, lots, self.near(market, 0.001))
            self.place(self.whale, market, False, lots, self.near(market, -0.001), 1)

    def adders(self, market: int, is_buy: bool, count: int) -> list[int]:
        """Accounts whose position such an order would open or increase."""
        able = [
            account
            for account in self.accounts
            if account != self.maker
            and self.model.ledger.accounts[account].isolated in (0, market + 1)
            and (
                self.size_of(account, market) == 0 or (self.size_of(account, market) > 0) == is_buy
            )
            and self.model.clearinghouse.margin(account).equity > 200 * USDC
        ]
        return self.rng.sample(able, min(count, len(able)))

    def holders(self, market: int, count: int) -> list[int]:
        """Some accounts with a position."""
        able = [account for account in self.accounts if self.size_of(account, market)]
        return self.rng.sample(able, min(count, len(able)))

    def forbidden_risk(self, market: int, count: int = 3) -> None:
        """Takers who would add risk against a maker who only reduces."""
        is_buy, lots = self.maker_reduces(market)
        if not lots:
            return
        for account in self.adders(market, is_buy, count):
            size = max(1, min(lots, self.lots(market, 60 * USDC)))
            self.place(
                account, market, is_buy, size, self.near(market, 0.004 if is_buy else -0.004), 1
            )

    def many_orders(self) -> None:
        """All places taken; then a taker against a queue longer than a call, first of live orders
        and then of void ones."""
        market, is_buy = self.any_market(), self.rng.random() < 0.5
        if self.model.clearinghouse.terms[market].settled:
            return
        self.refresh()
        self.do("order_book", "cancel_all", self.maker_owner, self.maker)
        price = self.near(market, 0.0)
        depth = self.model.order_book.depth(market, is_buy)
        ahead = sum(size for p, size in depth if (p >= price if is_buy else p <= price))
        # What rests on the other side would fill the queue's orders as they come.
        self.place(self.sweeper, market, is_buy, self.lots(market, 10**7 * USDC), price, 1)
        lots = self.lots(market, 60 * USDC)
        for _ in range(model.MAX_OPEN_ORDERS + 4):
            self.place(self.maker, market, is_buy, lots, price)
        limit = self.near(market, -0.002 if is_buy else 0.002)
        self.place(self.sweeper, market, not is_buy, ahead + lots * 100, limit, 0)
        self.do("order_book", "cancel_all", self.maker_owner, self.maker)
        # Nothing can be read behind them.
        self.do("oracle", "sample", self.stranger, market)
        if self.rng.random() < 0.3:
            self.place(self.sweeper, market, not is_buy, lots, limit, model.POST_ONLY)
        for _ in range(3):
            self.place(self.maker, market, is_buy, lots, price)
        self.place(self.sweeper, market, not is_buy, lots, limit, 0)
        for _ in range(3):
            self.do("order_book", "purge", self.stranger, market, is_buy, 64)
        self.do("order_book", "cancel_all", self.owner, self.sweeper)
        self.quote(market)

    def stale_prices(self) -> None:
        """Nobody reports for too long: risk is refused, reducing goes on."""
        for market in range(MAIN):
            if not self.model.clearinghouse.terms[market].settled:
                self.ensure_maker_position(market)
        self.twin.wait(self.stale_after + 1)
        # Somebody has to get a transaction through before time has passed.
        self.do("clearinghouse", "sweep_fees", self.stranger)
        self.forbidden_risk(self.rng.randrange(MAIN - 1))
        for account in self.rng.sample(self.accounts, 4):
            self.do("clearinghouse", "withdraw", self.owner_of(account), account, 1)
            self.do("liquidator", "liquidate", self.stranger, account, 10)
        for _ in range(2):
            self.reduce()
        for market in range(MAIN - 1):
            for account in self.holders(market, 3):
                size = self.size_of(account, market)
                price = self.near(market, 0.01 if size < 0 else -0.01)
                self.place(account, market, size < 0, abs(size), price, 0, True)
        self.do("oracle", "update", self.reporters[0], [round(p) for p in self.prices])
        self.refresh()

    def halted_market(self) -> None:
        """A halt and its end; sometimes an impatient settlement."""
        market = self.rng.randrange(MAIN)
        if self.model.clearinghouse.terms[market].settled:
            return
        self.ensure_maker_position(market)
        self.do("governor", "halt", self.rng.choice([self.guardian, self.owner]), market)
        self.do("governor", "halt", self.guardian, market)
        self.forbidden_risk(market)
        self.reduce()
        self.govern("settle_market", market, self.mark(market))
        self.govern("resume", market)

    def capped_market(self) -> None:
        """Open interest at its cap, then a little below it."""
        market = self.rng.randrange(MAIN)
        terms = self.model.clearinghouse.terms[market]
        if terms.settled:
            return
        self.ensure_maker_position(market)
        interest = self.model.ledger.open_interest[market]

        def cap(lots: int) -> None:
            usual = (terms.taker_fee, terms.maker_fee, terms.band, terms.min_notional)
            self.govern("set_trading_terms", market, *usual, lots)

        cap(interest)
        for account in self.holders(market, 3):
            size = self.size_of(account, market)
            is_buy = size < 0
            lots, far = abs(size), 0.02 if is_buy else -0.02
            self.place(account, market, not is_buy, lots, self.near(market, 0), 1)
            self.place(account, market, is_buy, lots + 1, self.near(market, 0), 1)
            self.place(account, market, is_buy, max(1, lots // 2), self.near(market, far), 1)
            self.place(account, market, is_buy, max(1, lots // 2), self.near(market, -far / 8), 1)
            edge = model.edge_of_band(self.mark(market), is_buy, model.CAP_BAND)
            for price in (edge, edge + (1 if is_buy else -1)):
                self.place(account, market, is_buy, 1, price, 1, True)
        interest = self.model.ledger.open_interest[market]
        cap(interest + 1)
        # Both sides add: the market maker on the side it is on.
        is_buy = self.size_of(self.maker, market) >= 0
        lots = self.lots(market, 100 * USDC) + 5
        self.offer(market, is_buy, lots)
        for account in self.adders(market, not is_buy, 2):
            limit = self.near(market, -0.001 if is_buy else 0.001)
            self.place(account, market, not is_buy, lots, limit, 1)
        cap(model.MAX_LOTS)

    def narrow_band(self) -> None:
        """Orders that would cross further than the band allows."""
        market = self.rng.randrange(MAIN - 1)
        terms = self.model.clearinghouse.terms[market]
        usual = (terms.taker_fee, terms.maker_fee)
        self.govern("set_trading_terms", market, *usual, 300, terms.min_notional, terms.cap)
        for _ in range(4):
            account, is_buy = self.any_account(), self.rng.random() < 0.5
            lots = self._appetite(account, market, 4)
            offset = 0.03 if is_buy else -0.03
            self.place(account, market, is_buy, lots, self.near(market, offset), 0)
        self.govern("set_trading_terms", market, *usual, *terms[6:])

    def crash(self) -> None:
        """A jump of the price without a limit; the weak try to reduce, some are liquidated, most
        are rescued."""
        rng, house = self.rng, self.model.clearinghouse
        market = rng.randrange(MAIN)
        terms = house.terms[market]
        if terms.settled:
            return
        usual = (terms.taker_fee, terms.maker_fee)
        self.govern("set_trading_terms", market, *usual, 0, terms.min_notional, terms.cap)
        self.do("oracle", "set_parameters", self.owner, 3, self.stale_after, 0)
        before = self.prices[market]
        self.prices[market] = self._painful_price(market)
        is_buy = self.prices[market] > before
        self.refresh()
        away = 0.04 if is_buy else -0.04
        # Old orders within reach of the new mark would be better prices than any offered below.
        for _ in range(3):
            lots = self.lots(market, 3_000_000 * USDC)
            self.place(self.sweeper, market, is_buy, lots, self.near(market, away), 1)
        weak = [
            account
            for account in self.accounts
            if self.size_of(account, market) * (-1 if is_buy else 1) > 0
            and house.margin(account).equity < house.margin(account).initial
        ]
        rng.shuffle(weak)
        for account in weak[:6]:
            self.do("order_book", "cancel_all", self.owner_of(account), account)
            lots = max(1, abs(self.size_of(account, market)) // rng.choice([2, 10, 25]))
            for share in (1, rng.random()):
                price = self.near(market, away * share)
                self.place(self.sweeper, market, not is_buy, lots, price)
                self.place(account, market, is_buy, lots, price, 1, True)
            if rng.random() < 0.6:
                for _ in range(rng.choice([1, 1, 2, 3])):
                    self._liquidate(account, 64)
                    self.twin.wait(rng.choice([0, 0, 1, 30]))
        if rng.random() < 0.8:
            self.prices[market] = before
        self._after_the_gap(market, usual)

    def _after_the_gap(self, market: int, usual: tuple[int, int]) -> None:
        """The price stays where it is, the limits are back, and most of the weak are rescued."""
        rng, house = self.rng, self.model.clearinghouse
        terms = house.terms[market]
        self.refresh()
        self.do("oracle", "set_parameters", self.owner, 3, self.stale_after, self.max_step)
        self.govern("set_trading_terms", market, *usual, *terms[6:])
        for account in self.accounts:
            margin = house.margin(account)
            if margin.equity < margin.initial and rng.random() < 0.7:
                self.fund(self.owner, account, margin.initial - margin.equity + 500 * USDC)
        self.do("order_book", "cancel_all", self.owner, self.sweeper)
        self.quote(market)

    def backstop(self) -> None:
        """An account that no bid can save goes to the tranche, which works it off; then the tranche
        is below zero for a while."""
        rng, house = self.rng, self.model.clearinghouse
        market, is_long = rng.randrange(MAIN - 1), rng.random() < 0.5
        tranche, terms = house.tranche_account, house.terms[market]
        if self.model.ledger.uninsured or terms.settled:
            return
        self.fund_tranche()
        self.own("set_backstop", True, rng.choice([model.UNLIMITED, 15_000 * USDC]))
        self.own("set_backstop_limit", market, 10**6 * USDC)
        weak = self.open(rng.choice(self.people), 2_000 * USDC, market)
        lots = self.lots(market, rng.choice([7_000, 9_000]) * USDC)
        before, usual = self.prices[market], (terms.taker_fee, terms.maker_fee)
        size = self._weaken(weak, market, is_long, lots, [0, 0.3, 0.6])
        if size == 0:
            return
        for _ in range(3):
            wide = self.lots(market, 3_000_000 * USDC)
            limit = self.near(market, -0.04 if is_long else 0.04)
            self.place(self.sweeper, market, not is_long, wide, limit, 1)
        for _ in range(rng.choice([1, 2])):
            self._liquidate(weak, 64)
        # Some bids are near, some far.
        for offset in (0.002, -0.001, -0.004, -0.1):
            price = self.near(market, offset if is_long else -offset)
            self.place(self.sweeper, market, is_long, max(1, abs(size) // 3), price)
        for _ in range(rng.choice([1, 3])):
            self.do("liquidator", "work_off", self.stranger, market, rng.choice([2, 64]))
            self.twin.wait(rng.choice([0, 0, 60]))
        held, margin = self.size_of(tranche, market), house.margin(tranche)
        if held and margin.equity >= 0 and rng.random() < 0.7:
            price = self.mark(market) - (margin.equity + 1_000 * USDC) / held
            if 0 < price < 3 * self.mark(market):
                self.prices[market] = price
                self.refresh()
                for steps in range(1, 16):
                    self.do("liquidator", "work_off", self.stranger, market, steps)
                self.wind_up_tranche()
        self.prices[market] = before
        self._after_the_gap(market, usual)

    def in_parts(self) -> None:
        """A position a little below maintenance, with bids at the mark: a fifth of it is sold, then
        the rest, for a fee, and a reward if somebody asks for it."""
        rng, house = self.rng, self.model.clearinghouse
        market, is_long = rng.randrange(MAIN - 1), rng.random() < 0.5
        terms = house.terms[market]
        if self.model.ledger.uninsured or terms.settled:
            return
        self.own("set_partial", 100 * USDC, rng.choice([2, 30]))
        self.own("set_fees", 5_000, rng.choice([0, 500_000]), 333_333)
        weak = self.open(rng.choice(self.people), 2_000 * USDC, market)
        lots = self.lots(market, 9_000 * USDC)
        before, usual = self.prices[market], (terms.taker_fee, terms.maker_fee)
        size = self._weaken(weak, market, is_long, lots, [0.8, 0.9])
        if size == 0:
            return
        wide = self.lots(market, 3_000_000 * USDC)
        edge = 0.001 if is_long else -0.001
        self.place(self.sweeper, market, not is_long, wide, self.near(market, edge), 1)
        self.place(self.sweeper, market, is_long, abs(size), self.near(market, edge))
        for _ in range(3):
            self._liquidate(weak, 64, 0.4)
        self.prices[market] = before
        self._after_the_gap(market, usual)

    def _weaken(
        self, account: int, market: int, is_long: bool, lots: int, shares: Sequence[float]
    ) -> int:
        """Opens a position, and moves the price (no band, no step limit) to where one of these
        shares of its maintenance margin is left. Its size, signed lots; 0: nobody traded."""
        house = self.model.clearinghouse
        terms = house.terms[market]
        self.offer(market, not is_long, lots)
        self.place(account, market, is_long, lots, self.near(market, 0.01 if is_long else -0.01), 1)
        size = self.size_of(account, market)
        if size == 0:
            return 0
        usual = (terms.taker_fee, terms.maker_fee)
        self.govern("set_trading_terms", market, *usual, 0, terms.min_notional, terms.cap)
        self.do("oracle", "set_parameters", self.owner, 3, self.stale_after, 0)
        margin = house.margin(account)
        left = self.rng.choice(shares) * margin.maintenance
        self.prices[market] = self.mark(market) + (left - margin.equity) / size
        self.refresh()
        return size

    def _painful_price(self, market: int) -> float:
        """A price at which one of the accounts that are closest to it would be left with part of
        its initial margin, or with a little less than nothing."""
        rng, mark = self.rng, self.mark(market)
        share = rng.choice([0.7, 0.4, 0.4, 0.2, -0.2])
        prices = []
        for account in self.accounts:
            size, margin = self.size_of(account, market), self.model.clearinghouse.margin(account)
            if size and account != self.maker:
                price = mark + (share * margin.initial - margin.equity) / size
                if 0.3 * mark < price < 3 * mark:
                    prices.append(price)
        prices.sort(key=lambda price: abs(price - mark))
        return rng.choice(prices[:5]) if prices else mark * rng.choice([0.8, 1.2])

    def many_positions(self) -> None:
        """One account in eight markets, and no further."""
        account = self.open(self.rng.choice(self.people), 50_000 * USDC)
        refused = 0
        for market in range(MAIN + SIDE):
            if self.model.clearinghouse.terms[market].settled:
                continue
            lots = self.lots(market, 500 * USDC)
            maker = self.maker if market < MAIN else self.whale
            for _ in range(3):
                self.place(maker, market, False, lots, self.near(market, 0))
                self.place(account, market, True, lots, self.near(market, 0.004), 1)
                if self.size_of(account, market) or refused:
                    break
            refused = len(self.model.ledger.accounts[account].markets) == model.MAX_LEGS
        for _ in range(4):
            self.place(account, MAIN + SIDE - 1, True, 1, self.near(MAIN + SIDE - 1, 0.004), 1)
        self.do("order_book", "cancel_all", self.maker_owner, self.whale)
        for market in self.model.ledger.accounts[account].markets:
            if market >= MAIN:
                size = self.size_of(account, market)
                self.place(self.whale, market, True, size, self.near(market, 0))
                self.place(account, market, False, size, self.near(market, 0), 1)

    def huge_order(self) -> None:
        """The largest order there is, on top of a position."""
        market = MAIN + SIDE - 1
        account = self.any_account()
        if self.model.ledger.accounts[account].isolated:
            return
        self.do("order_book", "cancel_all", self.maker_owner, self.whale)
        self.place(self.whale, market, False, 2, self.near(market, 0))
        self.place(account, market, True, 2, self.near(market, 0), 1)
        self.place(self.whale, market, False, model.MAX_LOTS, self.near(market, 0))
        for _ in range(2):
            self.place(account, market, True, model.MAX_LOTS, self.near(market, 0), 1)
        self.do("order_book", "cancel_all", self.maker_owner, self.whale)
        size = self.size_of(account, market)
        if size > 0:
            self.place(self.whale, market, True, size, self.near(market, 0))
            self.place(account, market, False, size, self.near(market, 0), 1)

    def wrong_market(self) -> None:
        """An isolated account elsewhere, as taker and as maker."""
        isolated = [a for a in self.accounts if self.model.ledger.accounts[a].isolated]
        for account in self.rng.sample(isolated, min(3, len(isolated))):
            own = self.model.ledger.accounts[account].isolated - 1
            market = 0 if own else 1
            lots = self.lots(market, 60 * USDC)
            self.offer(market, False, lots)
            self.place(account, market, True, lots, self.near(market, 0.002), 1)

    def tight_leverage(self) -> None:
        """A limit of one's own that the position does not meet."""
        for account in self.rng.sample(self.accounts, 5):
            for market in self.model.ledger.accounts[account].markets[:1]:
                sender = self.owner_of(account)
                self.do("clearinghouse", "set_leverage", sender, account, market, 1)
                if self.rng.random() < 0.5:
                    self.do("clearinghouse", "set_leverage", sender, account, market, 0)

    def quick_pokes(self) -> None:
        """Epochs that come too soon or without news, and too many reporters."""
        self.refresh()
        self.do("oracle", "poke", self.stranger)
        self.twin.wait(5)
        self.do("oracle", "poke", self.stranger)
        self.do("oracle", "update", self.reporters[0], [round(p) for p in self.prices])
        self.do("oracle", "update", self.reporters[1], [round(p) for p in self.prices])
        extra = [self.twin.engine.actor(f"reporter {i}") for i in range(7)]
        for reporter in extra:
            self.do("oracle", "set_reporter", self.owner, reporter, True)
        self.do("oracle", "set_reporter", self.owner, self.reporters[2], True)
        for reporter in extra:
            self.do("oracle", "set_reporter", self.owner, reporter, False)
        quorum = self.model.oracle.quorum
        self.do("oracle", "set_quorum", self.owner, len(self.reporters))
        self.do("oracle", "set_reporter", self.owner, self.reporters[1], False)
        self.do("oracle", "set_quorum", self.owner, quorum)
        self.do("oracle", "set_market_staleness", self.owner, 0, self.rng.choice([0, 900]))
        self.refresh()

    def old_sample(self) -> None:
        """An epoch exactly as long after a sample as the sample counts, or a second later."""
        market = self.rng.randrange(MAIN - 1)
        self.quote(market)
        self.do("oracle", "report", self.reporters[0], [round(p * 1.004) for p in self.prices])
        self.do("oracle", "report", self.reporters[1], [round(p * 1.004) for p in self.prices])
        self.do("oracle", "sample", self.stranger, market)
        self.twin.wait(model.MAX_SAMPLE_AGE - self.rng.randrange(2))
        self.do("oracle", "update", self.reporters[2], [round(p * 1.004) for p in self.prices])
        self.refresh()

    def post_beyond_the_band(self) -> None:
        """A resting order may not give more away than the band allows."""
        for market in range(MAIN):
            terms = self.model.clearinghouse.terms[market]
            if terms.band and not terms.settled:
                for is_buy, far in ((True, 0.3), (False, -0.3)):
                    price = self.near(market, far)
                    lots = self.lots(market, 100 * USDC)
                    self.place(self.whale, market, is_buy, lots, price, model.POST_ONLY)

    def coarse_tick(self) -> None:
        """Under the smallest step a cheap market's tick is more than a step: no new risk there."""
        cheap = [m for m in range(MAIN) if self.mark(m) < 10_000]
        if not cheap or self.settled:
            return
        self.do("oracle", "set_parameters", self.owner, 3, self.stale_after, 100)
        self.refresh()
        market = self.rng.choice(cheap)
        for tif in (0, 1, 2):
            self.place(self.whale, market, True, self.lots(market, 100 * USDC), 1, tif)
        self.do("oracle", "set_parameters", self.owner, 3, self.stale_after, self.max_step)

    def too_much_leverage(self) -> None:
        """Tiers whose maintenance is within the step of a mark."""
        if self.model.oracle.max_step:
            most = model.PPM // (2 * self.model.oracle.max_step) + 1
            for market in range(2):
                self.govern("set_tiers", market, [0], [min(most, model.MAX_LEVERAGE)])

    def tighter_tiers(self) -> None:
        """More margin a day after it was announced, by anyone; and less again at once."""
        market = self.rng.randrange(MAIN - 1)
        old = self.model.clearinghouse.terms[market].tiers
        leverage = old[0].leverage
        below = [0, self.rng.randrange(1, 2_000) * USDC]
        self.govern("set_tiers", market, below, [leverage, 4])
        self.do("governor", "apply_tiers", self.stranger, market)
        if self.rng.random() < 0.5:
            # Prices are stale by then, and fresh again at the next epoch.
            self.twin.wait(model.DAY - self.rng.randrange(3))
            self.do("governor", "apply_tiers", self.stranger, market)
            self.refresh()
            self.walk()
        bounds, leverages = [tier.bound for tier in old], [tier.leverage for tier in old]
        self.govern("set_tiers", market, bounds, leverages)

    def extreme_premium(self) -> None:
        """A book far from the oracle for an hour: funding at the most that samples may say."""
        market, is_buy = self.rng.randrange(MAIN - 1), self.rng.random() < 0.5
        terms = self.model.clearinghouse.terms[market]
        usual = (terms.taker_fee, terms.maker_fee)
        self.govern("set_trading_terms", market, *usual, 0, terms.min_notional, terms.cap)
        self.pass_hour()
        far = self.near(market, 0.6 if is_buy else -0.4)
        lots = self.lots(market, 10**7 * USDC)
        for _ in range(3):
            self.place(self.sweeper, market, is_buy, lots, far, 1)
        self.place(self.sweeper, market, is_buy, lots, far)
        for _ in range(3):
            self.twin.wait(59)
            self.do("oracle", "sample", self.stranger, market)
        self.do("order_book", "cancel_all", self.owner, self.sweeper)
        self.govern("set_trading_terms", market, *usual, *terms[6:])
        self.quote(market)
        self.pass_hour()

    def pass_hour(self) -> None:
        """Until the next hour has begun, with fresh prices on the way."""
        hour = self.twin.engine.timestamp // model.HOUR
        while self.twin.engine.timestamp // model.HOUR == hour:
            self.twin.wait(900)
            self.refresh()

    def doors(self) -> None:
        """Methods that only another contract, or nobody any more, may call."""
        refuse, who, zero = self.twin.refuse, self.stranger, _ZERO
        house = "clearinghouse"
        for method, args, reason in (
            ("fill", (0, 2, 3, True, 1, 1, False), "clearinghouse: order book only"),
            ("exchange", (0, 2, 3, 1, 1), "clearinghouse: waterfall only"),
            ("transfer_cash", (self.maker, self.whale, 1), "clearinghouse: waterfall only"),
            ("transfer_cash", (1, self.whale, 1), "clearinghouse: vault only"),
            ("write_off", (self.maker, 1), "clearinghouse: waterfall only"),
            ("recover", (self.maker, 1), "clearinghouse: waterfall only"),
            ("freeze", (0, True), "clearinghouse: deleverager only"),
            ("add_market", (), "clearinghouse: governor only"),
            ("set_terms", (0, 0), "clearinghouse: governor only"),
            ("set_tiers", (0, 0), "clearinghouse: governor only"),
            ("set_fee_share", (0, 0), "clearinghouse: governor only"),
            ("open_settlement", (0,), "clearinghouse: governor only"),
            ("wire", (who,) * 5, "clearinghouse: deployer only"),
        ):
            refuse(house, method, who, args, reason)
        refuse(house, "wire", self.owner, (who,) * 5, "clearinghouse: already wired")
        refuse("order_book", "peek", who, (0, True, 5), "book: liquidator only")
        refuse("order_book", "take", who, (1, 2, 3), "book: liquidator only")
        refuse("order_book", "rewind", who, (0,), "book: clearinghouse only")
        refuse("order_book", "void_orders", who, (self.whale,), "book: deleverager only")
        refuse("vault", "pay", who, (0, 3, 1), "vault: waterfall only")
        refuse("oracle", "pin", who, (0, True), "oracle: deleverager only")
        refuse("oracle", "wire", self.owner, (who, who, who), "oracle: already wired")
        refuse("liquidator", "set_policy", self.owner, (2, 0), "liquidator: unknown trigger")
        refuse(
            "liquidator", "set_policy", self.owner, (0, 10**6 + 1), "liquidator: band above 100%"
        )
        refuse("oracle", "wire", who, (who, who, who), "oracle: deployer only")
        refuse("governor", "accept_ownership", who, (), NOT_NEW_OWNER)
        refuse("usdc", "transferFrom", who, (self.maker_owner, zero, 1), "usdc: allowance too low")

    def settlement(self) -> None:
        """The last market ends far from its mark; somebody is left with less than nothing, and the
        loss stays uninsured for a while."""
        self.settled = True
        market = MAIN - 1
        self.govern("set_trading_terms", market, 450, 150, 0, 0, model.MAX_LOTS)
        gamblers = [self._gamble(market) for _ in range(3)]
        self.do("governor", "halt", self.guardian, market)
        self.govern("settle_market", market, self.mark(market))
        self.twin.wait(model.DAY)
        self.refresh()
        for price in (0, 2**24, 2**30, self.mark(market) // 3, self.mark(market) * 3):
            self.govern("settle_market", market, price)
        price = min(model.MAX_TICK, self.mark(market) * 2)
        self.govern("settle_market", market, price)
        self.govern("settle_market", market, price)
        self.govern("resume", market)
        self.do("governor", "halt", self.owner, market)
        for account in self.rng.sample(self.accounts, 3):
            self.place(account, market, True, self.lots(market, 500 * USDC), price)
        for account in self.rng.sample(self.accounts, 3):
            self.do("clearinghouse", "withdraw", self.owner_of(account), account, 1)
        everybody = list(range(1, self.model.ledger.account_count + 1))
        self.rng.shuffle(everybody)
        for account in everybody:
            if self.size_of(account, market) or self.rng.random() < 0.3:
                if account in gamblers and self.rng.random() < 0.5:
                    continue
                self.do("liquidator", "close_settled", self.stranger, account, market)
        for account in (
            self.model.clearinghouse.settlement_account[market],
            self.model.clearinghouse.estates[market, True],
        ):
            self.do("liquidator", "close_settled", self.stranger, account, market)
        for account in [*gamblers, *self.accounts]:
            if account in gamblers or self.model.clearinghouse.margin(account).equity < 0:
                self.do("liquidator", "liquidate", self.stranger, account, 64)
        self._uninsured()

    def _gamble(self, market: int) -> int:
        """An isolated short as large as its margin allows, against the market maker."""
        account = self.open(self.rng.choice(self.people), 20_000 * USDC, market)
        lots = self.lots(market, 50_000 * USDC)
        self.place(self.maker, market, True, lots, self.near(market, 0.001))
        self.place(account, market, False, lots, self.near(market, -0.002), 1)
        return account

    def _uninsured(self) -> None:
        """While a loss is uninsured: reduce only, no deposits, withdrawals at a ratio."""
        people, ledger = self.people, self.model.ledger
        self.do("order_book", "cancel_all", self.maker_owner, self.whale)
        for market in range(MAIN - 1):
            self.forbidden_risk(market, 2)
        for account in self.rng.sample(self.accounts, 3):
            self.fund(self.rng.choice(people), account, 100 * USDC)
        self.do("vault", "contribute", self.stranger, 10)
        for _ in range(6):
            account = self.any_account()
            amount = self._amount(account)
            self.do("clearinghouse", "withdraw", self.owner_of(account), account, amount)
        for _ in range(30):
            self.step()
        self.do("clearinghouse", "sweep_fees", self.stranger)
        if ledger.uninsured > 10:
            self.do("clearinghouse", "repay_uninsured", self.stranger, ledger.uninsured // 3)
        self.do("clearinghouse", "repay_uninsured", self.stranger, ledger.uninsured + 1)
        if ledger.uninsured:
            self.do("clearinghouse", "repay_uninsured", self.stranger, ledger.uninsured)
        for account in self.accounts:
            margin = self.model.clearinghouse.margin(account)
            if margin.equity < margin.initial or margin.equity < 100 * USDC:
                amount = max(0, margin.initial - margin.equity) + 1_000 * USDC
                self.fund(self.stranger, account, amount)
        for market in range(MAIN - 1):
            self.quote(market)
