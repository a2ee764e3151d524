"""Random crashes: everything anyone may do, in any order, against a mirror that predicts it.

Each episode is one seed: eight accounts of seven owners over two markets. After every operation the
outcome (or the exact reason of its refusal), every account's cash and positions, `held`,
`uninsured` and every identity of the ledger are compared; ADL rounds fill by fill. No fees, and
no funding: an hour ends only while prices are stale, when none accrues. The short form runs by
default; BREAKWATER_LONG=1 runs thirty times as many episodes.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from breakwater.contract import Contract, Tx
from breakwater.engine.base import Reverted
from breakwater.engine.revm import RevmEngine
from breakwater.ledger import Ledger
from breakwater.venue import Venue, VenueConfig
from tests.stateful.mirror import ROUND_STEPS, TRANCHE, VAULT, Mirror

LONG = os.environ.get("BREAKWATER_LONG") == "1"
EPISODES = 1_500 if LONG else 50
OPERATIONS = 90
STALE_AFTER = 3_600
LEVERAGES = {0: 20, 1: 50}
PRICES = {0: 1_000, 1: 300}

# What a run must have seen.
WANTED = [
    "liquidation fill", "insurance for a fill", "insurance for a residual", "wind-up",
    "wind-up of two legs", "wind-up with a surplus", "adl fill of a long", "adl fill of a short",
    "adl fill at bankruptcy", "adl fill at previous_mark", "partial bear", "uninsured loss",
    "uninsured recovered", "surplus to the vault", "lots left in an estate", "maker refused",
    "self-trade cancelled", "void order deleted", "liquidation out of steps", "reduced withdrawal",
    "maker passed over: stale price", "maker passed over: reduce only, a loss is uninsured",
    "rest dropped", "round parked", "round expired", "order met a round", "order ended a round",
    "own winner first", "lots netted",
]  # fmt: skip


class Remembered:
    """The lens, each answer decoded once a state: the ledger's check and ours read the same."""

    def __init__(self, lens: Contract) -> None:
        self.lens = lens
        self.known: dict[tuple[Any, ...], Any] = {}

    def call(self, method: str, *args: Any) -> Any:
        key = method, repr(args)
        if key not in self.known:
            self.known[key] = self.lens.call(method, *args)
        return self.known[key]


class Episode:
    """One seed: the venue, its mirror and the operations on both."""

    def __init__(self, engine: RevmEngine, venue: Venue, seed: int) -> None:
        self.draw = random.Random(seed)
        draw = self.draw
        self.engine = engine
        self.venue = venue
        self.reads: Any = venue.lens
        self.told: list[str] = []
        close = ("bankruptcy", "previous_mark")[seed % 2]
        trigger = ("underwater", "unfillable")[seed // 2 % 2]
        band = draw.choice([0, 20_000, 100_000, 1_000_000])
        self.max_step = draw.choice([0, 0, 0, 9_999])
        # Small figures meet the roundings, large ones the ranges.
        self.wealth = draw.choice([1, 1, 1, 10**12])
        venue.configure(
            VenueConfig(
                max_step=self.max_step,
                close=close,
                trigger=trigger,
                insured_band=band,
                stale_after=STALE_AFTER,
                min_interval=1,
            )
        )
        house = venue.clearinghouse
        estates = {(m, s): int(house.call("estate", m, s)) for m in PRICES for s in (True, False)}
        self.mirror = Mirror(
            LEVERAGES, PRICES, estates, close, trigger, band, self.max_step, STALE_AFTER,
            venue.oracle.call("updated_at"),
        )  # fmt: skip
        # A round whose price ages is parked, or its time is up.
        self.mirror.round_ttl = draw.choice([3_600, 86_400])
        venue.deleverager.send("set_limits", self.mirror.round_ttl, 0, sender=venue.owner)
        self.mirror.ledger.cash.update({VAULT: 0, TRANCHE: 0, **dict.fromkeys(estates.values(), 0)})
        self.ledger = Ledger(venue)
        self.ledger.enumerate()
        self.outcomes: Counter[tuple[str, bool]] = Counter()
        # The last two accounts have one owner.
        for i in range(8):
            address = engine.actor(f"trader{min(i, 6)}")
            tx = house.send("open_account", sender=address)
            account = int(tx.one("AccountOpened").account)
            self.ledger.observe(tx.events)
            self.mirror.owners[account] = address
            self.mirror.ledger.cash[account] = 0
        self.accounts = list(self.mirror.owners)
        self.deep = self.accounts[0]
        for account in self.accounts:
            rich = account == self.deep
            self.deposit(account, self.wealth * (10**9 if rich else draw.randint(500, 20_000)))
        if draw.random() < 0.5:
            self.deposit(VAULT, self.wealth * draw.randint(1, 3_000))

    # ---------------------------------------------------------------- both sides

    def do(self, name: str, send: Callable[[], Tx], predict: str, *args: Any) -> None:
        """Sends the transaction, predicts it, compares."""
        self.told.append(f"{name}{args!r}")
        self.mirror.now = self.engine.timestamp + 1 + self.engine._wait
        expected = self.mirror.attempt(predict, *args)
        try:
            tx: Tx | None = send()
            reason = None
        except Reverted as error:
            tx, reason = None, error.reason
        if tx is None and self.mirror.pending is not None:
            # A refusal undoes the work that the order did of a round, and so does not tell it: the
            # same work alone, and then the order must be refused for the same reason.
            self.mirror.pending = None
            self.serve(args[2])
            self.mirror.now = self.engine.timestamp
            expected = self.mirror.attempt(predict, *args)
        assert reason == expected, f"{name}{args}: {reason!r}, and {expected!r} was predicted"
        self.outcomes[name, reason is None] += 1
        if tx is not None:
            self.ledger.observe(tx.events)
            self.mirror.follow(tx.events)
        self.compare()

    def compare(self) -> None:
        self.reads.known.clear()
        self.ledger.check()
        venue, mirror = self.venue, self.mirror
        ids = self.ledger.accounts
        book = mirror.ledger
        for market in PRICES:
            held = venue.lens.call("positions", market, ids)
            for account, position in zip(ids, held, strict=True):
                mirrored = (*book.position(account, market), 0, 0)
                assert tuple(position) == mirrored, (account, market)
            assert venue.oracle.call("index", market) == 0, "FUNDING: accrued"
            longs = sum(max(position.size, 0) for position in held)
            assert venue.clearinghouse.call("open_interest", market) == longs
        for row in venue.lens.call("accounts", ids):
            assert row.cash == book.cash[row.account], f"cash of {row.account}"
            if row.account in mirror.owners:
                margin = mirror.margin(row.account)
                assert (row.equity, row.initial, row.maintenance, row.notional) == (
                    margin.equity, margin.initial, margin.maintenance, margin.notional
                )  # fmt: skip
        house = venue.clearinghouse
        assert (house.call("held"), house.call("uninsured")) == (book.held, book.uninsured)
        assert house.call("frozen_markets") == sum(1 << m for m in mirror.state.frozen)
        assert venue.deleverager.call("is_busy") == mirror.is_busy
        assert venue.order_book.call("last_order_id") == mirror.state.last_order + self.first_order
        book.check(mirror.state.marks)

    first_order = 0

    # ---------------------------------------------------------------- operations

    def deposit(self, account: int, amount: int) -> None:
        house = self.venue.clearinghouse
        if account == VAULT:
            owner = self.venue.owner
            self.do(
                "contribute", lambda: self.venue.vault.send("contribute", amount, sender=owner),
                "deposit", account, amount,
            )  # fmt: skip
            return
        sender = self.mirror.owners.get(account, self.venue.owner)
        self.do(
            "deposit", lambda: house.send("deposit", account, amount, sender=sender),
            "deposit", account, amount,
        )  # fmt: skip

    def caller(self, account: int) -> str:
        """Mostly the owner."""
        if self.draw.random() < 0.04:
            return self.engine.actor("stranger")
        return self.mirror.owners[account]

    def some_deposit(self) -> None:
        account = self.draw.choice([*self.accounts, VAULT])
        amount = self.draw.choice([0, 1, self.wealth * self.draw.randint(1, 5_000)])
        if account == VAULT:
            amount = max(1, amount)
        self.deposit(account, amount)

    def some_withdrawal(self) -> None:
        rich = [a for a in self.accounts[1:] if self.mirror.margin(a).free > 0]
        account = self.draw.choice(rich or self.accounts)
        free = max(0, self.mirror.margin(account).free)
        amount = self.draw.choice([0, free, free, free, free + 1, self.draw.randint(1, 5_000)])
        caller = self.caller(account)
        self.do(
            "withdraw",
            lambda: self.venue.clearinghouse.send("withdraw", account, amount, sender=caller),
            "withdraw", caller, account, amount,
        )  # fmt: skip

    def place(
        self, account: int, market: int, is_buy: bool, size: int, price: int, ioc: bool
    ) -> None:
        caller = self.caller(account)
        self.do(
            "place",
            lambda: self.venue.order_book.send(
                "place", account, market, is_buy, size, price, int(ioc), sender=caller
            ),
            "place", caller, account, market, is_buy, size, price, ioc,
        )  # fmt: skip

    def some_order(self) -> None:
        draw = self.draw
        account = draw.choice(self.accounts)
        market = draw.choice(list(PRICES))
        mark = self.mirror.state.marks[market]
        price = max(1, int(mark * draw.uniform(0.85, 1.15)))
        if draw.random() < 0.02:
            price = draw.choice([0, 2**24])
        size = draw.choice([1, 2, *(self.wealth * draw.randint(1, n) for n in (60, 200))])
        if draw.random() < 0.02:
            size = draw.choice([0, 2**54 + 1])
        self.place(account, market, draw.random() < 0.5, size, price, draw.random() < 0.3)

    def some_position(self) -> None:
        """A trade near the account's limit, at the mark, with the deep account."""
        draw = self.draw
        account = draw.choice(self.accounts[1:])
        market = draw.choice(list(PRICES))
        mark = self.mirror.state.marks[market]
        margin = self.mirror.margin(account)
        room = (margin.equity - margin.initial) * LEVERAGES[market] // mark
        size = max(1, int(room * draw.uniform(0.3, 1.02)))
        is_buy = draw.random() < 0.5
        self.place(self.deep, market, not is_buy, size, mark, False)
        self.place(account, market, is_buy, size, mark, True)

    def some_counterparty(self) -> tuple[int, int] | None:
        """An order that takes the whole of somebody's position at the mark. Whose, and where."""
        held = [key for key in self.mirror.ledger.positions if key[0] in self.accounts[1:]]
        if not held:
            return None
        account, market = self.draw.choice(held)
        size = self.mirror.ledger.position(account, market).size
        maker = self.draw.choice([a for a in self.accounts if a != account])
        self.place(maker, market, size > 0, abs(size), self.mirror.state.marks[market], False)
        return account, market

    def some_reduction(self, who: tuple[int, int] | None) -> None:
        """That position is reduced, perhaps into an order that would add risk now."""
        if who is None:
            return
        account, market = who
        size = self.mirror.ledger.position(account, market).size
        if size:
            mark = self.mirror.state.marks[market]
            self.place(account, market, size < 0, abs(size), mark, self.draw.random() < 0.5)

    def some_cancel(self) -> None:
        draw = self.draw
        if draw.random() < 0.4:
            account = draw.choice(self.accounts)
            caller = self.caller(account)
            self.do(
                "cancel_all",
                lambda: self.venue.order_book.send("cancel_all", account, sender=caller),
                "cancel_all", caller, account,
            )  # fmt: skip
            return
        orders = list(self.mirror.state.orders)
        number = draw.choice([*orders, 10**9])
        order = self.mirror.state.orders.get(number)
        caller = self.caller(order.account) if order else self.engine.actor("stranger")
        self.do(
            "cancel",
            lambda: self.venue.order_book.send(
                "cancel", number + self.first_order, sender=caller
            ),
            "cancel", caller, number,
        )  # fmt: skip

    def some_prices(self) -> None:
        draw = self.draw
        width = draw.choice([0.02, 0.02, 0.08, 0.2])
        prices = {
            m: min(5_000, max(40, int(mark * draw.uniform(1 - width, 1 + width))))
            for m, mark in self.mirror.state.marks.items()
        }
        # More often while a round is open, which is then parked, or its time is up.
        if draw.random() < (0.02 if self.mirror.state.round is None else 0.7):
            who = self.some_counterparty()
            self.let_prices_age()
            self.some_order()
            self.some_reduction(who)
            self.some_withdrawal()
            self.some_liquidation()
            self.some_advance()
            self.some_retry()
        self.reprice(prices)

    def abandoned_round(self) -> None:
        """A bankrupt is proved, and nobody does more of its round while its price ages."""
        self.let_prices_age()
        for _ in range(3):
            self.some_order()
        self.some_advance()
        self.some_order()
        self.reprice(dict(self.mirror.state.marks))

    def reprice(self, prices: dict[int, int]) -> None:
        self.do(
            "update",
            lambda: self.venue.oracle.send(
                "update", list(prices.values()), sender=self.venue.reporter
            ),
            "update", prices,
        )  # fmt: skip

    def some_liquidation(self) -> None:
        draw = self.draw
        weak = [a for a in self.accounts if self.mirror.margin(a).is_weak]
        if not weak and draw.random() < 0.8:
            return
        account = draw.choice(weak or self.accounts)
        if draw.random() < 0.05:
            account = draw.choice(
                [*self.accounts, VAULT, TRANCHE, self.mirror.estates[0, True], 10**6]
            )
        steps = draw.choice([0, 1, 2, 3, 40, 40, 40, 256, 10**9])
        self.do(
            "liquidate",
            lambda: self.venue.liquidator.send(
                "liquidate", account, steps, sender=self.engine.actor("keeper")
            ),
            "liquidate", account, steps,
        )  # fmt: skip
        if self.mirror.is_busy and draw.random() < 0.5:
            self.abandoned_round()

    def some_advance(self) -> None:
        steps = self.draw.choice([1, 1, 2, 5, 40, 256])
        busy = self.mirror.is_busy
        keeper = self.venue.deleverager

        def place() -> tuple[Any, ...]:
            return keeper.call("round"), keeper.call("round_count"), keeper.call("is_busy")

        before = place()
        self.do(
            "advance",
            lambda: self.venue.deleverager.send(
                "advance", steps, sender=self.engine.actor("keeper")
            ),
            "advance",
        )
        if busy and self.mirror.fresh:
            assert place() != before, "ROUND: no progress"

    def serve(self, market: int) -> None:
        self.do(
            "serve",
            lambda: self.venue.deleverager.send(
                "serve", market, ROUND_STEPS, sender=self.engine.actor("keeper")
            ),
            "advance",
        )

    def some_retry(self) -> None:
        market, is_long = self.draw.choice(list(self.mirror.estates))
        stuck = [k for k, lots in self.mirror.state.lots.items() if any(x.size for x in lots)]
        if self.draw.random() < 0.8:
            if not stuck:
                return
            market, is_long = self.draw.choice(stuck)
        steps = self.draw.choice([0, 1, 1, 2, 40])
        self.do(
            "retry",
            lambda: self.venue.deleverager.send(
                "retry", market, is_long, steps, sender=self.engine.actor("keeper")
            ),
            "retry", market, is_long, steps,
        )  # fmt: skip

    def some_repayment(self) -> None:
        loss = self.mirror.ledger.uninsured
        if not loss and self.draw.random() < 0.7:
            return
        amount = self.draw.choice([0, loss, loss + 1, max(1, loss // 2)])
        self.do(
            "repay",
            lambda: self.venue.clearinghouse.send(
                "repay_uninsured", amount, sender=self.venue.owner
            ),
            "repay", amount,
        )  # fmt: skip

    def let_prices_age(self) -> None:
        """Past an hour that ends without a fresh price: no funding, which the mirror knows not."""
        self.engine.wait(2 * STALE_AFTER)

    def run(self) -> None:
        rules = [
            (self.some_position, 6), (self.some_order, 8), (self.some_prices, 5),
            (self.some_liquidation, 7), (self.some_advance, 3), (self.some_cancel, 2),
            (self.some_deposit, 1), (self.some_withdrawal, 3), (self.some_retry, 1),
            (self.some_repayment, 1),
        ]  # fmt: skip
        for _ in self.accounts[1:]:
            self.some_position()
        while len(self.told) < OPERATIONS:
            if self.engine.timestamp % 3_600 > 3_300:
                self.let_prices_age()
                self.reprice(dict(self.mirror.state.marks))
            (rule,) = self.draw.choices([r for r, _ in rules], [w for _, w in rules])
            rule()
            # Rounds do not stay open for long, or little else would happen.
            if self.mirror.is_busy and self.draw.random() < 0.5:
                self.some_advance()


@pytest.fixture(scope="module")
def chain() -> tuple[RevmEngine, Venue]:
    engine = RevmEngine()
    venue = Venue.deploy(engine, VenueConfig(min_interval=1, max_step=0, stale_after=STALE_AFTER))
    for market, price in PRICES.items():
        venue.add_market(f"M{market}", 3, LEVERAGES[market], 0, price)
    for label in ["owner", *(f"trader{i}" for i in range(7))]:
        venue.mint(engine.actor(label), 10**27, venue.clearinghouse)
    venue.mint(venue.owner, 10**27, venue.vault)
    venue.lens = Remembered(venue.lens)  # type: ignore[assignment]
    return engine, venue


def test_random_crashes(chain: tuple[RevmEngine, Venue]) -> None:
    engine, venue = chain
    outcomes: Counter[tuple[str, bool]] = Counter()
    reached: Counter[str] = Counter()
    for seed in range(EPISODES):
        snap = engine.snapshot()
        episode = Episode(engine, venue, seed)
        try:
            episode.run()
        except AssertionError as error:
            story = "\n".join(episode.told)
            raise AssertionError(
                f"seed {seed}, operation {len(episode.told)}: {error}\n{story}"
            ) from error
        outcomes += episode.outcomes
        reached += episode.mirror.reached
        engine.revert(snap)
    print(table(outcomes, reached))
    missing = [what for what in WANTED if not reached[what]]
    assert not missing, f"never reached: {missing}"


def table(outcomes: Counter[tuple[str, bool]], reached: Counter[str]) -> str:
    lines = ["", f"{'operation':<28}{'done':>8}{'refused':>9}"]
    for name in sorted({name for name, _ in outcomes}):
        lines.append(f"{name:<28}{outcomes[name, True]:>8}{outcomes[name, False]:>9}")
    lines += ["", f"{'reached':<28}{'times':>8}"]
    lines += [f"{what:<28}{count:>8}" for what, count in sorted(reached.items())]
    return "\n".join(lines)
