"""Random crashes: everything anyone may do, in any order, against a mirror that predicts it.

Each episode is one seed: eight accounts of seven owners over two markets. After every operation the
outcome (or the exact reason of its refusal), every account's cash and positions, `held`,
`uninsured` and every identity of the ledger are compared; ADL rounds fill by fill. No trading fees,
and no funding: an hour ends only while prices are stale, when none accrues. Most venues have a
vault with depositors and a backstop, some a liquidation fee and rewards.

At the end of each episode everybody leaves (`tests/leaving.py`): without any call of the owner's
all close, withdraw and redeem, and what the venue holds then is named to the micro-USDC. There the
mirror no longer goes along; the identities do.

The short form runs by default; BREAKWATER_LONG=1 runs twenty times as many episodes.
"""

from __future__ import annotations

import functools
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
from tests.leaving import Exit, Trader
from tests.stateful.mirror import ROUND_STEPS, TRANCHE, VAULT, Backstop, Charges, Mirror

LONG = os.environ.get("BREAKWATER_LONG") == "1"
EPISODES = 1_600 if LONG else 80
OPERATIONS = 90
STALE_AFTER = 200
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
    "rest dropped", "round parked", "takeover", "takeover of two legs", "worked off",
    "beyond the tranche's limit", "beyond the tranche's margin", "beyond the slippage",
    "end of the tranche", "liquidation fee", "reward", "lots taken", "own positions netted",
    "round expired", "order met a round", "order ended a round", "own winner first", "lots netted",
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

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lens, name)


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
        # The backstop's limits by market, and its work-off: sometimes there is none.
        backstop = Backstop(
            limits={m: draw.choice([0, self.wealth * 10**5, *(2**80,) * 6]) for m in PRICES},
            share=draw.choice([100_000, 500_000]),
            notional=self.wealth * draw.choice([0, 10_000]),
            interval=draw.choice([1, 5, 60]),
            slippage=draw.choice([5_000, 100_000]),
        )
        reward = min(self.wealth * 5, 10**7)
        charges = draw.choice([Charges(), Charges(5_000), Charges(10_000, reward, 500_000)])
        liquidator, owner = venue.liquidator, venue.owner
        liquidator.send(
            "set_work_off", backstop.share, backstop.notional, backstop.interval,
            backstop.slippage, sender=owner,
        )  # fmt: skip
        for market, limit in backstop.limits.items():
            liquidator.send("set_backstop_limit", market, limit, sender=owner)
        liquidator.send("set_fees", charges.fee, charges.reward, charges.share, sender=owner)
        venue.vault.send("set_parameters", 86_400, 10_000, 10**6, sender=owner)
        house = venue.clearinghouse
        estates = {(m, s): int(house.call("estate", m, s)) for m in PRICES for s in (True, False)}
        self.mirror = Mirror(
            LEVERAGES, PRICES, estates, close, trigger, band, self.max_step, STALE_AFTER,
            venue.oracle.call("updated_at"), backstop, charges,
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
        self.depositors: dict[str, str] = {}
        if draw.random() < 0.7:
            self.insure()

    def insure(self) -> None:
        """Depositors, a gift, and the backstop's margin."""
        draw, owner, vault = self.draw, self.venue.owner, self.venue.vault
        for name in ("first", "second"):
            address = self.depositors[name] = self.engine.actor(name)
            amount = self.wealth * draw.randint(1, draw.choice([300, 3_000, 300_000]))
            self.do(
                "vault deposit",
                functools.partial(vault.send, "deposit", amount, address, sender=address),
                "deposit", VAULT, amount,
            )  # fmt: skip
        if draw.random() < 0.5:
            self.deposit(VAULT, self.wealth * draw.randint(1, 3_000))
        amount = self.mirror.ledger.cash[VAULT] * draw.choice([0, 50, 95, 100]) // 100
        if amount:
            self.do(
                "fund_tranche", lambda: vault.send("fund_tranche", amount, sender=owner),
                "fund_tranche", amount,
            )  # fmt: skip

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
        if size <= 2**54:
            # The mirror knows no cap on open interest: what rests may add what is left below 2^54.
            interest = self.venue.clearinghouse.call("open_interest", market)
            size = min(size, max(1, (2**54 - interest) // 4))
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

    def some_retreat(self) -> None:
        """A position is closed at any price while nobody may add risk: makers who would wait."""
        held = [key for key in self.mirror.ledger.positions if key[0] in self.accounts[1:]]
        if not held or not self.mirror.ledger.uninsured:
            return
        account, market = self.draw.choice(held)
        size = self.mirror.ledger.position(account, market).size
        mark = self.mirror.state.marks[market]
        self.place(account, market, size < 0, abs(size), mark * 2 if size < 0 else 1, True)

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
        aimed = self.aim(prices) if draw.random() < 0.4 else None
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
        if aimed == TRANCHE:
            self.some_work_off()
        elif aimed is not None and draw.random() < 0.8:
            self.liquidate(aimed, 40, draw.choice([0, *self.accounts]))

    def aim(self, prices: dict[int, int]) -> int | None:
        """One price such that somebody is left with a third of maintenance, for the backstop, or
        the tranche with less than nothing. Whom it is for."""
        traders = [key for key in self.mirror.ledger.positions if key[0] in self.accounts[1:]]
        tranche = [(TRANCHE, market) for market in self.mirror.ledger.legs(TRANCHE)]
        held = tranche if tranche and self.draw.random() < 0.4 else traders
        if not held:
            return None
        account, market = self.draw.choice(held)
        margin = self.mirror.margin(account)
        left = margin.maintenance // 3 if account != TRANCHE else -margin.maintenance
        size = self.mirror.ledger.position(account, market).size
        price = self.mirror.state.marks[market] + (left - margin.equity) // size
        prices[market] = min(5_000, max(40, price))
        return account

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
        reward_account = draw.choice([0, 0, 0, *self.accounts])
        if draw.random() < 0.02:
            reward_account = draw.choice([TRANCHE, 10**6])
        self.liquidate(account, steps, reward_account)

    def liquidate(self, account: int, steps: int, reward_account: int) -> None:
        self.do(
            "liquidate",
            lambda: self.venue.liquidator.send(
                "liquidate", account, steps, reward_account, sender=self.engine.actor("keeper")
            ),
            "liquidate", account, steps, reward_account,
        )  # fmt: skip

    def some_work_off(self) -> None:
        """Of the tranche's position, or its end."""
        draw, keeper = self.draw, self.engine.actor("keeper")
        held = self.mirror.ledger.legs(TRANCHE)
        if not held and draw.random() < 0.9:
            return
        steps = draw.choice([0, 1, 2, 40, 40, 256])
        below_zero = self.mirror.margin(TRANCHE).equity < 0
        if draw.random() < (0.8 if below_zero else 0.05):
            self.do(
                "wind_up_tranche",
                lambda: self.venue.liquidator.send("wind_up_tranche", steps, sender=keeper),
                "wind_up_tranche", steps,
            )  # fmt: skip
            return
        market = draw.choice(held or list(PRICES))
        size = self.mirror.ledger.position(TRANCHE, market).size
        if size and draw.random() < 0.7:
            # Somebody to sell to, or to buy back from.
            price = int(self.mirror.state.marks[market] * draw.uniform(0.99, 1.01))
            self.place(self.deep, market, size > 0, abs(size), max(1, price), False)
        self.do(
            "work_off",
            lambda: self.venue.liquidator.send("work_off", market, steps, sender=keeper),
            "work_off", market, steps,
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

    def some_take(self) -> None:
        """Lots that no winner took go to somebody, or are asked for."""
        draw = self.draw
        stuck = [k for k, lots in self.mirror.state.lots.items() if any(x.size for x in lots)]
        if not stuck and draw.random() < 0.9:
            return
        market, is_long = draw.choice(stuck or list(self.mirror.estates))
        lots = sum(lot.size for lot in self.mirror.state.lots.get((market, is_long), []))
        account = draw.choice([self.deep, *self.accounts])
        size = draw.choice([0, 1, lots, lots, lots + 1, max(1, lots // 2)])
        caller = self.caller(account)
        self.do(
            "take",
            lambda: self.venue.deleverager.send(
                "take", account, market, is_long, size, sender=caller
            ),
            "take", caller, account, market, is_long, size,
        )  # fmt: skip

    def some_netting(self) -> None:
        """Of one owner's two accounts: a straddle that is opened first, perhaps, and closed."""
        draw, market = self.draw, self.draw.choice(list(PRICES))
        pair = self.accounts[-2:]
        if draw.random() < 0.1:
            pair = draw.sample([*self.accounts, 10**6], 2)
        else:
            mark = self.mirror.state.marks[market]
            for account, is_buy in zip(pair, (True, False), strict=True):
                margin = self.mirror.margin(account)
                room = max(1, (margin.equity - margin.initial) * LEVERAGES[market] // mark // 3)
                self.place(self.deep, market, not is_buy, room, mark, False)
                self.place(account, market, is_buy, room, mark, True)
        long, short = pair
        caller = self.caller(self.accounts[-1])
        self.do(
            "net",
            lambda: self.venue.deleverager.send("net", long, short, market, sender=caller),
            "net", caller, long, short, market,
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
        self.engine.wait(3_600 - self.engine.timestamp % 3_600 + STALE_AFTER)

    def run(self) -> None:
        rules = [
            (self.some_position, 6), (self.some_order, 8), (self.some_prices, 5),
            (self.some_liquidation, 7), (self.some_advance, 3), (self.some_cancel, 2),
            (self.some_deposit, 1), (self.some_withdrawal, 3), (self.some_retry, 1),
            (self.some_repayment, 1), (self.some_work_off, 3), (self.some_retreat, 2),
            (self.some_take, 1), (self.some_netting, 1),
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

    def leave(self) -> None:
        """Everybody, and who is last is paid too."""
        prices = [self.mirror.state.oracle[m] for m in PRICES]
        names = {f"trader {account}": account for account in self.accounts}
        order = list(names)
        self.draw.shuffle(order)
        out = Exit(
            self.ledger,
            {name: Trader(self.mirror.owners[names[name]], names[name]) for name in order},
            self.depositors,
            prices,
            maker=self.engine.actor("market maker"),
            seen=self.left,
        )
        out.everybody_out()
        out.remainder()

    def left(self, action: str, tx: Tx) -> None:
        """A transaction of those who leave."""
        self.told.append(f"leaving: {action}")
        self.reads.known.clear()
        self.ledger.observe(tx.events)
        self.ledger.check()


@pytest.fixture(scope="module")
def chain() -> tuple[RevmEngine, Venue]:
    engine = RevmEngine()
    venue = Venue.deploy(engine, VenueConfig(min_interval=1, max_step=0, stale_after=STALE_AFTER))
    for market, price in PRICES.items():
        venue.add_market(f"M{market}", 3, LEVERAGES[market], 0, price)
    for label in ["owner", "market maker", *(f"trader{i}" for i in range(7))]:
        venue.mint(engine.actor(label), 10**27, venue.clearinghouse)
    for label in ["owner", "first", "second"]:
        venue.mint(engine.actor(label), 10**27, venue.vault)
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
            episode.leave()
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
