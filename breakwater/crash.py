"""Runs one scenario on one engine and says what happened.

Owns the order of a run: deploy, set-up by real trades, the path step by step with the keeper after
each, and the solvency check after every transaction. It moves no money of its own: all goes
through the venue's public methods. What it returns is the result format of `result.json`.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any

from breakwater import expect, units
from breakwater.artifacts import Artifact
from breakwater.contract import Event, Send, Tx, call_many, send_all, send_many
from breakwater.engine.base import BATCH, Engine, Reverted
from breakwater.keeper import Keeper
from breakwater.ledger import Ledger, Solvency
from breakwater.paths import quotes, to_ticks
from breakwater.report.record import Recorder
from breakwater.scenario import (
    Market,
    Opening,
    OracleFault,
    Quotes,
    Rush,
    Scenario,
    Step,
    VaultExit,
)
from breakwater.story import Storyteller
from breakwater.venue import (
    TIME_IN_FORCE,
    TRANCHE_ACCOUNT,
    UNLIMITED,
    VAULT_ACCOUNT,
    Venue,
    VenueConfig,
)
from breakwater.watchman import FULL_CHECKS, Watchman

WALK_LIMIT = 10_000
"""Epochs after which a price that is still not reached is given up."""

_ROUND_EVENTS = {"RoundOpened", "Deleveraged", "LotSettled", "RoundClosed"}
HOUR = 3_600

SETUP_INTERVAL = 1
"""Seconds between two epochs of the set-up."""

SETUP_STALE = 86_400
"""Seconds after which a price is stale during the set-up: the longest that the oracle allows."""

BY_BLOCK = 500
"""Accounts above which the set-up, and a rush, send many transactions in one block."""

FULL_EVERY = 100
"""Path steps between two full readings of a run that is otherwise checked from events."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Record:
    """One event with its place in the run. `step` is -1 in the set-up, whose blocks are not told
    apart: block and timestamp are None there. `action` is the driver's word for the transaction."""

    step: int
    action: str
    block: int | None
    timestamp: int | None
    event: Event


class SetupError(Exception):
    """The stated positions or orders could not be opened."""


class Crash:
    """One run. `progress(what, done, of)` hears how far it is; with `own_score` winners are ranked
    by that contract, whatever score the scenario names."""

    def __init__(
        self,
        scenario: Scenario,
        engine: Engine,
        progress: Progress = lambda what, done, of: None,
        own_score: Artifact | None = None,
    ) -> None:
        self._own_score = own_score
        self.scenario = scenario
        self.engine = engine
        self._progress = progress
        self._gas: dict[str, list[int]] = {}
        self._adl_gas = 0
        self._round_gas = 0
        self._events: list[Event] = []
        self._in_setup = True
        self._transactions = 0
        self._actions: dict[str, int] = {}
        self._at = -1
        self.records: list[Record] = []
        self.markets = list(scenario.markets.values())
        self.market_ids = {market.symbol: i for i, market in enumerate(self.markets)}
        self.account_ids: dict[str, int] = {}
        self.traders: dict[str, str] = {}
        self._every = 1
        self._asleep_until = 0
        self._faults: dict[int, tuple[OracleFault, int]] = {}
        self._quoted: dict[str, list[int]] = {}
        self._index = 0
        self._prepared = False
        self._watchman: Watchman | None = None
        self.prices = [market.price_ticks for market in self.markets]
        rules = scenario.venue
        self.config = VenueConfig(
            min_interval=rules.interval,
            stale_after=rules.stale_after,
            max_step=rules.max_step_ppm,
            insured_band=rules.insured_band_ppm,
            score=rules.score,
            allocation=rules.allocation,
            largest_share=rules.largest_share_ppm,
            close=rules.close,
            trigger=rules.trigger,
            engine=rules.engine,
        )

    def run(self) -> dict[str, Any]:
        """The whole run. Raises SetupError, or InsolvencyError the moment an identity breaks."""
        self._set_up()
        setup = {
            "step_limit": "lifted",
            "keeper": "off",
            "form": "short" if self.scenario.is_short else "full",
            "transactions": self._transactions,
            "populations": {
                name: {
                    "accounts": len(draw.accounts),
                    "clipped": draw.clipped,
                    "empty": draw.empty,
                    "collateral": units.format_usdc(sum(a.collateral for a in draw.accounts)),
                }
                for name, draw in self.scenario.draws.items()
            },
            "trades": [
                {
                    "account": opening.account,
                    "counterparty": self.scenario.maker_of(opening.market),
                    "market": opening.market,
                    "size": self.scenario.markets[opening.market].format_lots(opening.lots),
                    "price": self.scenario.markets[opening.market].format_ticks(opening.ticks),
                }
                for opening in self.scenario.openings()
            ],
        }
        self._begin_recording()
        self._in_setup = False
        self._gas.clear()
        self._actions.clear()
        steps = []
        path = self.scenario.steps
        self._keeper_on = True
        for index, step in enumerate(path):
            self._progress("path", index, len(path))
            self._index = index
            steps.append(self._step(index, step))
            if self._watchman is not None and index % FULL_EVERY == FULL_EVERY - 1:
                self.ledger.check()
        self._progress("path", len(path), len(path))
        return self._result(setup, steps, self.ledger.check(anew=True))

    # ---------------------------------------------------------------- set-up

    def _set_up(self) -> None:
        """Everything before the path: what all rules share, then the rules of this run."""
        if not self._prepared:
            self.prepare()
        self._adopt_rules()

    def prepare(self) -> None:
        """The part of the set-up that is the same whatever the score, the allocation, the close
        price and the trigger are: opens every stated position by a real trade with the market
        maker.

        Step limit lifted and keepers off while it lasts; accounts go in order of entry, with the
        mark set to it. Only the ranking engine must be known: accounts are filed for the index from
        the first one on, or not at all.
        """
        scenario = self.scenario
        names = scenario.account_names
        openings = scenario.openings()
        books = [scenario.resolved_book(symbol) for symbol in scenario.markets]
        total = len(names) + len(openings) + sum(len(b.bids) + len(b.asks) for b in books)
        self._ticked = 0

        def tick(count: int = 1) -> None:
            self._ticked += count
            self._progress("set-up", self._ticked, total)

        self._tick = tick
        self.venue = venue = Venue.deploy(
            self.engine,
            VenueConfig(
                min_interval=SETUP_INTERVAL,
                max_step=0,
                stale_after=SETUP_STALE,
                # Accounts are filed from the first one on, or not at all.
                engine=self.config.engine,
            ),
        )
        self.ledger = Ledger(venue)
        self.keeper = Keeper(self.ledger, self.engine.actor("keeper"), self._seen)
        for market in self.markets:
            venue.add_market(
                market.symbol,
                market.size_decimals,
                market.max_leverage,
                market.min_notional_micro,
                market.price_ticks,
            )
            if market.tiers:
                venue.governor.send(
                    "set_tiers",
                    self.market_ids[market.symbol],
                    market.tier_bounds,
                    market.tier_leverages,
                    sender=venue.owner,
                )
        self.ledger.enumerate()
        if len(names) > FULL_CHECKS:
            self._watchman = Watchman(venue)
            self._watchman.observe(venue.clearinghouse.events())
        self._insure()
        collateral = scenario.deposits
        self._by_block = len(names) > BY_BLOCK
        page = BATCH if self._by_block else 1
        for start in range(0, len(names), page):
            self._pass_funding()
            self._open_accounts(names[start : start + page], collateral)
            tick(min(page, len(names) - start))
        if scenario.venue.keeper_account is not None:
            self.keeper.reward_account = self.account_ids[scenario.venue.keeper_account]
        self.story = Storyteller(self.markets, self._names())
        self._open_positions(openings, tick)
        # The path has at least half an hour before it pays funding.
        self._pass_funding(HOUR // 2)
        # Twice, so that the previous mark is where the path begins too.
        for _ in range(2):
            self._update(self.prices)
        self._prepared = True

    def under(self, scenario: Scenario, own_score: Artifact | None = None) -> Crash:
        """A run of the same crash under other rules, from the state that `prepare` left.

        The scenario may differ in score, allocation, close price and trigger. Runs of one `prepare`
        share its chain: take a snapshot before each, and go back to it after.
        """
        if not self._prepared:
            raise ValueError("prepare() comes first")
        if scenario.venue.engine != self.config.engine:
            raise ValueError("another ranking engine needs a set-up of its own")
        twin = Crash(scenario, self.engine, self._progress, own_score)
        here = self.venue
        twin.venue = venue = Venue(self.engine, here.contracts, here.owner, here.reporter)
        # What was learned so far is copied, so that no run sees another's; the chain is one.
        shared = {id(here): venue}
        twin.ledger = copy.deepcopy(self.ledger, dict(shared))
        twin._watchman = copy.deepcopy(self._watchman, dict(shared))
        twin.keeper = Keeper(
            twin.ledger, self.keeper.sender, twin._seen, self.keeper.reward_account
        )
        twin.account_ids = dict(self.account_ids)
        twin.traders = dict(self.traders)
        twin.story = Storyteller(twin.markets, twin._names())
        twin._by_block = self._by_block
        twin._transactions = self._transactions
        twin._ticked, twin._tick = self._ticked, self._tick
        twin._prepared = True
        return twin

    def _adopt_rules(self) -> None:
        """The rules of this run, and the orders that rest under them."""
        scenario, venue = self.scenario, self.venue
        if self._own_score is not None:
            venue.adopt_score(self._own_score)
        venue.configure(self.config)
        for market in self.markets:
            if market.has_terms:
                self._set_terms(market)
        for symbol, market in scenario.markets.items():
            book = scenario.resolved_book(symbol)
            for is_buy, levels in ((True, book.bids), (False, book.asks)):
                for level in levels:
                    try:
                        tx = self._place(book.owner, symbol, is_buy, level.lots, level.ticks)
                    except Reverted as error:
                        raise SetupError(
                            f"book.{symbol}: {book.owner} cannot place "
                            f"{market.format_lots(level.lots)} at "
                            f"{market.format_ticks(level.ticks)}: {error.reason}"
                        ) from error
                    if tx.all("Filled"):
                        raise SetupError(f"book.{symbol}: the book crosses itself")
                    self._quoted.setdefault(symbol, []).append(tx.one("OrderPlaced").order_id)
                    self._tick()
        healthy = {a.name for a in scenario.accounts if not a.allow_unhealthy}
        ids = {self.account_ids[name]: name for name in healthy}
        for account in self.keeper.weakest():
            if account in ids:
                raise SetupError(
                    f"{ids[account]} starts below its maintenance margin: give it more "
                    "collateral, or say allow_unhealthy: true"
                )

    def _insure(self) -> None:
        """The vault's money, its tranche and its fences, and what a liquidation costs."""
        rules, venue = self.scenario.venue, self.venue
        if rules.insurance_micro + rules.tranche_micro:
            money = rules.insurance_micro + rules.tranche_micro
            self._seen("contribute", venue.insure(money))
        for name, amount in rules.deposits_micro.items():
            depositor = self.engine.actor(name)
            venue.mint(depositor, amount, venue.vault)
            tx = venue.vault.send("deposit", amount, depositor, sender=depositor)
            self._seen("vault_deposit", tx)
        # The tranche's part of the vault is the scenario's own business.
        share = int(Decimal(rules.tranche_share) * 10**6)
        venue.vault.send("set_parameters", rules.exit_delay, 10_000, share, sender=venue.owner)
        if rules.tranche_micro:
            tx = venue.vault.send("fund_tranche", rules.tranche_micro, sender=venue.owner)
            self._seen("fund_tranche", tx)
            for symbol, market in self.market_ids.items():
                limit = 2**80
                if symbol in rules.backstop_limits:
                    limit = units.usdc(rules.backstop_limits[symbol])
                venue.liquidator.send("set_backstop_limit", market, limit, sender=venue.owner)
        for symbol, share in rules.fences_ppm.items():
            market = self.market_ids[symbol]
            venue.vault.send("set_ring_fence", market, share, sender=venue.owner)
        if rules.partial_above is not None:
            above = units.usdc(rules.partial_above)
            venue.liquidator.send("set_partial", above, 30, sender=venue.owner)
        if rules.liquidation_fee_ppm:
            fee = rules.liquidation_fee_ppm
            share = int(Decimal(rules.reward_share) * 10**6)
            reward = units.usdc(rules.reward)
            venue.liquidator.send("set_fees", fee, reward, share, sender=venue.owner)

    def _set_terms(self, market: Market) -> None:
        """Fees, band and cap apply from the path on: the set-up is free of them."""
        cap = 2**54
        if market.open_interest_cap is not None:
            cap = market.to_lots(market.open_interest_cap)
        self.venue.governor.send(
            "set_trading_terms",
            self.market_ids[market.symbol],
            int(Decimal(market.taker_fee) * 10**6),
            int(Decimal(market.maker_fee) * 10**6),
            int(Decimal(market.band) * 10**6),
            market.min_notional_micro,
            cap,
            sender=self.venue.owner,
        )

    def _open_accounts(self, names: Sequence[str], collateral: Mapping[str, int]) -> None:
        """An account and its deposit for each name, in order."""
        house, usdc = self.venue.clearinghouse, self.venue.usdc
        self.traders |= {name: self.engine.actor(name) for name in names}
        opened = self._send_all(
            [
                ("open_account", Send(house, "open_account", (), self.traders[name]))
                for name in names
            ]
        )
        sends: list[tuple[str | None, Send]] = []
        for name, tx in zip(names, opened, strict=True):
            trader, amount = self.traders[name], collateral[name]
            account = self.account_ids[name] = tx.one("AccountOpened").account
            sends.append((None, Send(usdc, "mint", (trader, amount), trader)))
            sends.append((None, Send(usdc, "approve", (house, UNLIMITED), trader)))
            if amount:
                sends.append(("deposit", Send(house, "deposit", (account, amount), trader)))
        self._send_all(sends)

    def _send_all(self, sends: Sequence[tuple[str | None, Send]]) -> list[Tx]:
        """Sends what depends on nothing in between, each with its action (None: it is not the
        venue's): one by one, or by the block with a check after it. Raises Reverted."""
        if not self._by_block:
            out: list[Tx] = []
            for action, (contract, method, args, sender) in sends:
                out.append(contract.send(method, *args, sender=sender))
                if action is not None:
                    self._seen(action, out[-1])
            return out
        sent = send_all([send for _, send in sends])
        for (action, _), tx in zip(sends, sent, strict=True):
            if action is not None:
                self._note(action, tx)
        self._check(sent)
        return sent

    def _open_positions(self, openings: Sequence[Opening], tick: Callable[[int], None]) -> None:
        # A block of a new price, and of two orders each.
        page = (BATCH - 1) // 2 if self._by_block else 1
        for (symbol, ticks), group in groupby(openings, lambda o: (o.market, o.ticks)):
            maker, place = self.scenario.maker_of(symbol), self.market_ids[symbol]
            prices = list(self.prices)
            prices[place] = ticks
            alike = list(group)
            for start in range(0, len(alike), page):
                some = alike[start : start + page]
                self._pass_funding()
                updated = self.venue.oracle.call("updated_at")
                old = self.engine.timestamp > updated + SETUP_STALE // 2
                anew: list[int] | None = None
                if old or self.venue.oracle.call("mark", place) != ticks:
                    if self._by_block:
                        anew = prices
                    else:
                        self._update(prices)
                self._open_alike(maker, some, anew)
                tick(len(some))

    def _open_alike(
        self, maker: str, openings: Sequence[Opening], prices: list[int] | None
    ) -> None:
        """Opens positions of one market at one price, each against the market maker; with `prices`
        these become the marks first."""
        sends: list[tuple[str | None, Send]] = []
        if prices is not None:
            venue = self.venue
            sends.append(("update", Send(venue.oracle, "update", (prices,), venue.reporter)))
        for opening in openings:
            size, is_buy = abs(opening.lots), opening.lots > 0
            for name, side, tif in ((maker, not is_buy, "gtc"), (opening.account, is_buy, "ioc")):
                order = (name, opening.market, side, size, opening.ticks, tif)
                sends.append(("place", self._order(*order)))
        try:
            sent = self._send_all(sends)
        except Reverted as error:
            raise SetupError(f"{self._wish(openings)}: {error.reason}") from error
        for opening, tx in zip(openings, sent[len(sent) % 2 + 1 :: 2], strict=True):
            if sum(fill.size for fill in tx.all("Filled")) != abs(opening.lots):
                raise SetupError(
                    f"{self._wish([opening])}: {maker} lacks the margin for the other side"
                )

    def _wish(self, openings: Sequence[Opening]) -> str:
        first = openings[0]
        market = self.scenario.markets[first.market]
        others = f" (or one of the next {len(openings) - 1})" if len(openings) > 1 else ""
        return (
            f"{first.account}{others} cannot open {market.format_lots(first.lots)} "
            f"{first.market} at {market.format_ticks(first.ticks)}"
        )

    def _begin_recording(self) -> None:
        """The recorder learns all that was logged so far, then hears of every transaction."""
        decoder = self.venue.decoder
        events = decoder.decode(self.engine.logs(decoder.addresses))
        self.records = [Record(-1, "set-up", None, None, event) for event in events]
        self.recorder = Recorder(self.venue, self.markets, self._names())
        self.recorder.begin(events)
        self.recorder.point(-1, "end", self.engine.timestamp)

    # ---------------------------------------------------------------- path

    def _step(self, index: int, step: Step) -> dict[str, Any]:
        start = len(self._events)
        self._at = index
        refused: str | None = None
        epochs = 0
        try:
            epochs = self._act(step)
        except Reverted as error:
            # A refusal is part of the story: the scenario may expect it.
            refused = error.reason
        if self._keeper_acts and not epochs:
            self._keep()
        self.recorder.point(index, "end", self.engine.timestamp)
        marks = {
            market.symbol: market.format_ticks(mark)
            for market, mark in zip(self.markets, self._marks(), strict=True)
        }
        return {
            "index": index,
            "action": step.action,
            "note": step.note or "",
            "timestamp": self.engine.timestamp,
            "epochs": epochs,
            "marks": marks,
            "refused": refused,
            "events": self.story.tell(self._events[start:]),
        }

    @property
    def _keeper_acts(self) -> bool:
        """Whether the keeper acts in the step at work."""
        awake = self._keeper_on and self._index >= self._asleep_until
        return awake and (self._index + 1) % self._every == 0

    def _keep(self) -> None:
        """The keeper's turn. A long one outlasts its prices: then they are reported again, as an
        oracle would meanwhile, and it goes on."""
        while self.keeper.run():
            reported = self._reported()
            oracle = self.venue.oracle
            prices = call_many([(oracle, "price", (i,)) for i in range(len(self.markets))])
            # In the next transaction: a second later than a view sees.
            now = self.engine.timestamp + 1
            fresh = all(now <= price.priced_at + price.stale_after for price in prices)
            if fresh or not any(reported):
                break
            self._update(reported)

    def _act(self, step: Step) -> int:
        """Does what the step says. Returns the price epochs it took (the keeper has run then)."""
        if step.set_price is not None:
            self.engine.wait(step.seconds)
            return self._walk(step.set_price)
        if step.wait is not None:
            self.engine.wait(step.wait)
        elif step.keeper is not None:
            self._keeper_on = step.keeper == "on"
        elif step.trade is not None:
            trade = step.trade
            market = self.scenario.markets[trade.market]
            self._place(
                trade.account,
                trade.market,
                trade.side == "buy",
                market.to_lots(trade.size),
                market.to_ticks(trade.price),
                trade.tif,
            )
        elif step.cancel is not None:
            name = step.cancel.account
            book = self.venue.order_book
            tx = book.send("cancel_all", self.account_ids[name], sender=self.traders[name])
            self._seen("cancel_all", tx)
        elif step.deposit is not None:
            name, amount = step.deposit.account, step.deposit.amount_micro
            house, trader = self.venue.clearinghouse, self.traders[name]
            self.venue.usdc.send("mint", trader, amount, sender=trader)
            tx = house.send("deposit", self.account_ids[name], amount, sender=trader)
            self._seen("deposit", tx)
        elif step.withdraw is not None:
            name, amount = step.withdraw.account, step.withdraw.amount_micro
            tx = self.venue.clearinghouse.send(
                "withdraw", self.account_ids[name], amount, sender=self.traders[name]
            )
            self._seen("withdraw", tx)
        elif step.liquidate is not None:
            self.keeper.liquidate(self.account_ids[step.liquidate])
        elif step.keep is not None:
            self._keep()
        elif step.keeper_every is not None:
            self._every = step.keeper_every
        elif step.keeper_asleep is not None:
            self._asleep_until = self._index + 1 + step.keeper_asleep
        elif step.oracle is not None:
            until = self._index + 1 + step.oracle.steps
            self._faults[self.market_ids[step.oracle.market]] = (step.oracle, until)
        elif step.quotes is not None:
            self._quote_anew(step.quotes)
        elif step.sample is not None:
            place = self.market_ids[step.sample]
            tx = self.venue.oracle.send("sample", place, sender=self.venue.reporter)
            self._seen("sample", tx)
        elif step.rush is not None:
            self._rush(step.rush)
        elif step.vault_exit is not None:
            self._leave_vault(step.vault_exit)
        return 0

    def _leave_vault(self, leave: VaultExit) -> None:
        vault, who = self.venue.vault, self.engine.actor(leave.depositor)
        shares = int(vault.call("balanceOf", who) * Decimal(leave.share))
        if leave.action == "request":
            self._seen("request_exit", vault.send("request_exit", shares, sender=who))
        else:
            self._seen("redeem", vault.send("redeem", shares, who, who, sender=who))

    def _quote_anew(self, wanted: Quotes) -> None:
        """The market's quotes leave, and come back around the mark of now."""
        symbol = wanted.market
        market, book = self.scenario.markets[symbol], self.scenario.book[symbol]
        owner = self.scenario.resolved_book(symbol).owner
        trader, order_book = self.traders[owner], self.venue.order_book
        profile = book.profile
        assert profile is not None  # the format refuses it
        for order_id in self._quoted.pop(symbol, []):
            try:
                self._seen("cancel", order_book.send("cancel", order_id, sender=trader))
            except Reverted:
                continue  # Filled, or deleted when it was met.
        mark = self.venue.oracle.call("mark", self.market_ids[symbol])
        sides = quotes(
            profile,
            mark,
            market.to_lots(profile.size),
            market.min_notional_micro,
            Decimal(wanted.scale),
        )
        for is_buy, levels in zip((True, False), sides, strict=True):
            for ticks, lots in levels:
                tx = self._place(owner, symbol, is_buy, lots, ticks, "post-only")
                self._quoted.setdefault(symbol, []).append(tx.one("OrderPlaced").order_id)

    def _rush(self, rush: Rush) -> None:
        """Raises Reverted with the count if somebody was refused; who was paid stays paid."""
        house = self.venue.clearinghouse
        accounts = {
            self.account_ids[d.name]: d.name for d in self.scenario.draws[rush.population].accounts
        }
        sends = [
            Send(house, "withdraw", (row.account, amount), self.traders[accounts[row.account]])
            for row in self.venue.rows(list(accounts))
            if (amount := int(row.cash * Decimal(rush.share))) > 0
        ]
        asked = len(sends)
        refused: list[str] = []
        page = BATCH if self._by_block else 1
        for start in range(0, asked, page):
            some = sends[start : start + page]
            paid: list[Tx] = []
            for made in self._try_all(some):
                if isinstance(made, Reverted):
                    refused.append(made.reason)
                else:
                    paid.append(made)
                    self._note("withdraw", made)
            if paid:
                self._check(paid)
        if refused:
            raise Reverted(f"{len(refused)} of {asked} withdrawals; the first: {refused[0]}")

    def _try_all(self, sends: Sequence[Send]) -> list[Tx | Reverted]:
        if self._by_block:
            return send_many(sends)
        ((contract, method, args, sender),) = sends
        try:
            return [contract.send(method, *args, sender=sender)]
        except Reverted as error:
            return [error]

    def _reported(self) -> list[int]:
        """What the oracle reports of the true prices; 0: nothing."""
        out = list(self.prices)
        for place, (fault, until) in self._faults.items():
            if self._index < until:
                moved = Decimal(out[place]) * (1 + Decimal(fault.distort or "0"))
                out[place] = 0 if fault.stale else to_ticks(moved)
        return out

    def _walk(self, wanted: dict[str, str]) -> int:
        """Reports the new prices, epoch after epoch, until every mark has arrived.

        The step limit may make a large move take many epochs; the keeper acts in each. A mark that
        an open round has pinned stays, and so does the walk.
        """
        for symbol, price in wanted.items():
            place = self.market_ids[symbol]
            self.prices[place] = self.markets[place].to_ticks(price)
        for epoch in range(1, WALK_LIMIT + 1):
            before = self._marks()
            self.engine.wait(self.config.min_interval)
            reported = self._reported()
            if any(reported):
                self._update(reported)
            self.recorder.point(self._at, "prices", self.engine.timestamp)
            if self._keeper_acts:
                self._keep()
            after = self._marks()
            if after in (reported, before):
                return epoch
        raise SetupError(f"the marks did not reach {wanted} in {WALK_LIMIT} epochs")

    def _marks(self) -> list[int]:
        oracle = self.venue.oracle
        return call_many([(oracle, "mark", (i,)) for i in range(len(self.markets))])

    # ---------------------------------------------------------------- transactions

    def _update(self, prices: list[int]) -> None:
        self._seen("update", self.venue.set_prices(prices))

    def _pass_funding(self, least: int = HOUR // 4) -> None:
        """A long set-up takes hours of the chain's time, and funding for them is nobody's plan. An
        hour with less than `least` seconds left ends with a price too old for funding."""
        oracle, owner = self.venue.oracle, self.venue.owner
        if HOUR - self.engine.timestamp % HOUR >= least:
            return
        oracle.send("set_parameters", SETUP_INTERVAL, SETUP_INTERVAL + 1, 0, sender=owner)
        self.engine.wait(HOUR - (self.engine.timestamp + 1) % HOUR)
        # Forgoes the hour, and the price is young again.
        oracle.send("set_parameters", SETUP_INTERVAL, SETUP_STALE, 0, sender=owner)

    def _order(
        self, name: str, symbol: str, is_buy: bool, lots: int, ticks: int, tif: str = "gtc"
    ) -> Send:
        account, market = self.account_ids[name], self.market_ids[symbol]
        args = (account, market, is_buy, lots, ticks, TIME_IN_FORCE[tif])
        return Send(self.venue.order_book, "place", args, self.traders[name])

    def _place(
        self, name: str, symbol: str, is_buy: bool, lots: int, ticks: int, tif: str = "gtc"
    ) -> Tx:
        contract, method, args, sender = self._order(name, symbol, is_buy, lots, ticks, tif)
        tx = contract.send(method, *args, sender=sender)
        self._seen("place", tx)
        return tx

    def _seen(self, action: str, tx: Tx) -> None:
        """Every transaction of the run ends here, or in the two halves of this: what it said and
        cost, and the identities."""
        self._note(action, tx)
        self._check([tx])

    def _note(self, action: str, tx: Tx) -> None:
        self._transactions += 1
        self._actions[action] = self._actions.get(action, 0) + 1
        self.ledger.observe(tx.events)
        if not self._in_setup:
            self._events += tx.events
            self.recorder.saw(tx)
            block, time = tx.receipt.block_number, tx.receipt.timestamp
            self.records += [Record(self._at, action, block, time, e) for e in tx.events]
        if tx.receipt.gas_used is not None:
            self._gas.setdefault(action, []).append(tx.receipt.gas_used)
            if tx.all("Deleveraged"):
                self._adl_gas += tx.receipt.gas_used
            if action == "advance" or any(event.name in _ROUND_EVENTS for event in tx.events):
                self._round_gas += tx.receipt.gas_used
        if self._watchman is not None:
            self._watchman.observe(tx.events)

    def _check(self, sent: Sequence[Tx]) -> None:
        """After these transactions, the last of which has just been mined."""
        if self._watchman is None:
            self.ledger.check()
            return
        self._watchman.check()
        if any(tx.all("RoundClosed") for tx in sent):
            self.ledger.check(flagged=True)

    # ---------------------------------------------------------------- result

    @property
    def names(self) -> dict[int, str]:
        """Account id to name: the scenario's, the vault's and the estates'."""
        return self._names()

    def _names(self) -> dict[int, str]:
        names = {account: name for name, account in self.account_ids.items()}
        names[VAULT_ACCOUNT] = "vault"
        names[TRANCHE_ACCOUNT] = "tranche"
        for symbol, market in self.market_ids.items():
            for is_long in (True, False):
                estate = self.venue.clearinghouse.call("estate", market, is_long)
                names[estate] = f"estate_{symbol}_{'long' if is_long else 'short'}"
        return names

    def _result(
        self, setup: dict[str, Any], steps: list[dict[str, Any]], solvency: Solvency
    ) -> dict[str, Any]:
        told = self.story.figures(self._events)
        scenario = self.scenario
        rules = scenario.venue
        result = {
            "scenario": scenario.name,
            "description": _one_line(scenario.description),
            "source": _one_line(scenario.source),
            "engine": self.engine.name,
            "seed": scenario.seed,
            "policy": {
                "score": rules.score,
                "allocation": rules.allocation,
                "close": rules.close,
                "trigger": rules.trigger,
            },
            "setup": setup,
            "steps": steps,
            "series": self.recorder.series(),
            "accounts": self._accounts(),
            "vault": self._vault(),
            "liquidations": told.liquidations,
            "bankruptcies": told.bankruptcies,
            "adl": {
                "rounds": told.rounds,
                "fills": told.fills,
                "hit": self.recorder.hit(),
                "winners": self.recorder.winners,
                "gini": self.recorder.gini(),
                "queues": self.recorder.queues(),
                "queues_left_out": self.recorder.queues_left_out,
            },
            "waterfall": told.waterfall | {"uninsured": units.format_usdc(solvency.uninsured)},
            "paid": self.recorder.paid(units.usdc(told.waterfall["insurance_paid"])),
            "start_state": self.recorder.start_state,
            "replay_differences": self.recorder.differences(),
            "solvency": {
                "held": units.format_usdc(solvency.held),
                "owed": units.format_usdc(solvency.owed),
                "difference": units.format_usdc(solvency.difference),
                "unaccounted": units.format_usdc(solvency.unaccounted),
                "i4_difference": units.format_usdc(solvency.i4_difference),
                "uninsured": units.format_usdc(solvency.uninsured),
                "accounts": solvency.accounts,
                "checks": self.ledger.checks,
                "event_checks": self._watchman.checks if self._watchman else 0,
            },
            "transactions": {
                "path": sum(self._actions.values()),
                "by_action": dict(sorted(self._actions.items())),
            },
            "gas": self._gas_figures(),
        }
        return result | {"printed": self._printed(result)}

    def _printed(self, result: dict[str, Any]) -> list[dict[str, str]]:
        """The source's figures beside ours."""
        return [
            {
                "what": row.what,
                "printed": row.printed,
                "ours": str(expect.find(row.path, result)),
                "why": row.why,
            }
            for row in self.scenario.printed
        ]

    def _accounts(self) -> dict[str, Any]:
        """What everybody holds; an estate or the tranche only while it holds something."""
        out: dict[str, Any] = {}
        names = self._names()
        ordered = list(dict.fromkeys([*self.account_ids.values(), *names]))
        marks = self._marks()
        rows = self.venue.rows(ordered)
        held: dict[tuple[int, int], Any] = {}
        for i in range(len(self.markets)):
            ids = [row.account for row in rows if row.active_markets >> i & 1]
            found = zip(ids, self.venue.positions(i, ids), strict=True)
            held |= {(account, i): position for account, position in found}
        for row in rows:
            name = names[row.account]
            positions = {}
            for i, market in enumerate(self.markets):
                if (row.account, i) not in held:
                    continue
                size, quote = held[row.account, i].size, held[row.account, i].quote
                entry = units.format_unit_price(abs(quote), abs(size), market.size_decimals)
                positions[market.symbol] = {
                    "size": market.format_lots(size),
                    "entry": entry,
                    "pnl": units.format_usdc(size * marks[i] + quote),
                }
            venues_own = name == "tranche" or name.startswith("estate")
            if venues_own and not positions and not row.cash:
                continue
            out[name] = {
                "cash": units.format_usdc(row.cash),
                "equity": units.format_usdc(row.equity),
                "positions": positions,
            }
        return out

    def _vault(self) -> dict[str, Any]:
        """What the vault is worth, and what its depositors brought, were paid and have in it."""
        vault, depositors = self.venue.vault, {}
        for name, deposited in self.scenario.venue.deposits_micro.items():
            who = self.engine.actor(name)
            left = [e for e in self._events if e.name == "Left" and e.owner == who]
            shares = vault.call("balanceOf", who)
            depositors[name] = {
                "deposited": units.format_usdc(deposited),
                "paid": units.format_usdc(sum(event.paid for event in left)),
                "worth": units.format_usdc(vault.call("convertToAssets", shares)),
            }
        assets = units.format_usdc(vault.call("totalAssets"))
        return {"assets": assets, "depositors": depositors}

    def _gas_figures(self) -> dict[str, Any]:
        """Gas of the path's transactions; nothing where the engine does not measure it."""
        if not self.engine.measures_gas or not self._gas:
            return {"by_action": {}, "adl_per_fill": None, "max_tx": None}
        by_action = {
            action: {"count": len(used), "median": int(statistics.median(used)), "max": max(used)}
            for action, used in sorted(self._gas.items())
        }
        fills = sum(event.name == "Deleveraged" for event in self._events)
        return {
            "by_action": by_action,
            "adl_total": self._round_gas,
            "adl_per_fill": self._adl_gas // fills if fills else None,
            "max_tx": max(gas for used in self._gas.values() for gas in used),
        }


def _one_line(text: str) -> str:
    """Folded YAML text without the marks that its reader leaves where lines were folded."""
    return " ".join(text.replace("\a", "").split())
