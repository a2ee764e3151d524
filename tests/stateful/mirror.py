"""The whole venue once more in Python: predicts each operation's outcome, refusals included.

Owns a model of orders, epochs, freezes and rounds around `breakwater.model`. It reads nothing from
the chain but the events of ADL rounds, and those only to learn how far a bounded call got: who is
closed, how much, and at which quote is computed here, from the state before.

The backstop and what a liquidation costs are in it. Without trading fees, tiers, first orders for a
fifth, the tranche's limit by owner, samples of the book and funding: its user keeps the clock
within an hour, or passes the hour while prices are stale, when no funding accrues.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from breakwater.contract import Event
from breakwater.model import adl, waterfall
from breakwater.model.ledger import Ledger

VAULT, TRANCHE = 1, 2
PAGE = 16
MAX_OWN = 16
ROUND_STEPS = 16
ROUND_OPEN = 2**9
BOOK_STEPS = 64
MAX_SIZE = 2**54
MAX_LEGS = 8
STALE = "oracle: stale price"
REDUCE_ONLY = "clearinghouse: reduce only, a loss is uninsured"
MAX_STEPS = 256


class Refused(Exception):
    """The operation does not happen; the reason is the contract's own."""


@dataclass
class Order:
    account: int
    market: int
    is_buy: bool
    price: int
    size: int
    nonce: int


@dataclass
class Round:
    id: int
    market: int
    is_long: bool
    mark: int
    previous_mark: int
    end: int
    epoch: int
    index: int = 0
    rank: int = 0
    plan: list[adl.Fill] | None = None
    # Something outside of the round moved a score since the plan was made.
    disturbed: bool = False
    # Lots whose turn is over.
    done: set[int] = field(default_factory=set)
    netted: int = 0
    taken: int = 0
    overshoots: list[int] = field(default_factory=list)
    # The lot at work after netting.
    begun: adl.Lot | None = None


@dataclass(frozen=True)
class Backstop:
    """What the owner has set of it; `limits` by market, micro-USDC at the mark."""

    is_open: bool = True
    limits: dict[int, int] = field(default_factory=dict)
    share: int = 100_000
    notional: int = 10_000 * 10**6
    interval: int = 60
    slippage: int = 5_000


@dataclass(frozen=True)
class Charges:
    """Liquidation fee and the caller's part of it, parts per million; reward in micro-USDC."""

    fee: int = 0
    reward: int = 0
    share: int = 0


@dataclass
class State:
    """All that a refused operation must leave alone."""

    ledger: Ledger
    marks: dict[int, int]
    previous: dict[int, int]
    oracle: dict[int, int]
    epoch: int = 0
    updated_at: int = 0
    orders: dict[int, Order] = field(default_factory=dict)
    last_order: int = 0
    # How far a side was passed while the market took no risk: price and order.
    passed: dict[tuple[int, bool], tuple[int, int]] = field(default_factory=dict)
    nonces: Counter[int] = field(default_factory=Counter)
    # Epoch and amount of what came into an account with a position.
    inflows: dict[int, tuple[int, int]] = field(default_factory=dict)
    frozen: set[int] = field(default_factory=set)
    queue: list[tuple[int, bool]] = field(default_factory=list)
    lots: dict[tuple[int, bool], list[adl.Lot]] = field(default_factory=dict)
    # Lots before it are passed for good.
    first_lot: Counter[tuple[int, bool]] = field(default_factory=Counter)
    tried: dict[tuple[int, bool], int] = field(default_factory=dict)
    # Of a market: when it was frozen; if it is not, when a retry may freeze it again.
    clock: Counter[int] = field(default_factory=Counter)
    # Epoch in which it was frozen: that of its rounds.
    frozen_in: dict[int, int] = field(default_factory=dict)
    round: Round | None = None
    rounds: int = 0
    # Of the tranche's work-off, by market: when the interval began, and the lots left of it.
    windows: dict[int, tuple[int, int]] = field(default_factory=dict)


class Mirror:
    """`owners` maps traders' accounts to whoever owns them; `estates` (market, side) to ids."""

    def __init__(
        self,
        leverages: dict[int, int],
        prices: dict[int, int],
        estates: dict[tuple[int, bool], int],
        close: adl.CloseRule,
        trigger: str,
        band: int,
        max_step: int,
        stale_after: int,
        updated_at: int,
        backstop: Backstop = Backstop(),
        charges: Charges = Charges(),
    ) -> None:
        self.backstop = backstop
        self.charges = charges
        self.leverages = leverages
        self.estates = estates
        self.close: adl.CloseRule = close
        self.trigger = trigger
        self.band = band
        self.max_step = max_step
        self.stale_after = stale_after
        self.owners: dict[int, str] = {}
        self.now = updated_at
        self.state = State(
            Ledger(), dict(prices), dict(prices), dict(prices), updated_at=updated_at
        )
        self.reached: Counter[str] = Counter()
        self.round_ttl = 3_600
        # An order that has met a round: what is left to do of it depends on how far the round got.
        self.pending: tuple[int, int, bool, int, int, bool] | None = None
        self._expired: int | None = None

    def attempt(self, what: str, *args: object) -> str | None:
        """Runs an operation. None, or the reason it is refused, with nothing changed."""
        before = copy.deepcopy(self.state)
        reached = self.reached.copy()
        try:
            getattr(self, what)(*args)
        except Refused as refusal:
            self.state = before
            self.reached = reached
            return str(refusal)
        return None

    # ---------------------------------------------------------------- small questions

    @property
    def ledger(self) -> Ledger:
        return self.state.ledger

    @property
    def fresh(self) -> bool:
        return self.now <= self.state.updated_at + self.stale_after

    def is_frozen(self, account: int) -> bool:
        return any(market in self.state.frozen for market in self.ledger.legs(account))

    def margin(self, account: int) -> waterfall.Margin:
        return waterfall.margin(self.ledger, account, self.state.marks, self.leverages)

    def live(self, order: Order) -> bool:
        return order.nonce == self.state.nonces[order.account]

    def side(self, market: int, is_buy: bool) -> list[tuple[int, Order]]:
        """Orders of one side, best price first, then oldest; void ones too."""
        found = [
            (number, order)
            for number, order in self.state.orders.items()
            if order.market == market and order.is_buy == is_buy
        ]
        return sorted(
            found, key=lambda item: (-item[1].price if is_buy else item[1].price, item[0])
        )

    @property
    def is_busy(self) -> bool:
        return self.state.round is not None or bool(self.state.queue)

    def _is_queued(self, market: int, is_long: bool) -> bool:
        current = self.state.round
        working = current is not None and (current.market, current.is_long) == (market, is_long)
        return working or (market, is_long) in self.state.queue

    def disturb(self) -> None:
        if self.state.round is not None:
            self.state.round.disturbed = True

    # ---------------------------------------------------------------- money

    def deposit(self, account: int, amount: int) -> None:
        if account not in self.owners and account != VAULT:
            raise Refused("clearinghouse: unknown account")
        if not 0 < amount <= 2**80:
            raise Refused("clearinghouse: amount out of range")
        if self.ledger.uninsured:
            raise Refused("clearinghouse: no deposits while a loss is uninsured")
        # It would lower a score while a round ranks it.
        if self.is_frozen(account):
            raise Refused("clearinghouse: adl round open")
        self.ledger.credit(account, amount)
        if self.ledger.legs(account):
            self.state.inflows[account] = (self.state.epoch, self._inflow(account) + amount)

    def _inflow(self, account: int) -> int:
        epoch, amount = self.state.inflows.get(account, (0, 0))
        return amount if epoch == self.state.epoch else 0

    def fund_tranche(self, amount: int) -> None:
        """By the owner, before anything happened: nothing refuses it."""
        self.ledger.transfer(VAULT, TRANCHE, amount)

    def withdraw(self, caller: str, account: int, amount: int) -> None:
        if account not in self.owners:
            raise Refused("clearinghouse: unknown account")
        if self.owners[account] != caller:
            raise Refused("clearinghouse: not your account")
        if amount == 0:
            raise Refused("clearinghouse: amount is zero")
        if self.is_frozen(account):
            raise Refused("clearinghouse: adl round open")
        if not self.fresh and self.ledger.legs(account):
            raise Refused(STALE)
        beyond = "margin: withdrawal beyond free margin"
        if self.margin(account).free < amount:
            raise Refused(beyond)
        paid = self.ledger.debit(account, amount)
        # Profit whose loser is not wound up yet is not there to be taken.
        if self.ledger.held < 0:
            raise Refused(beyond)
        if paid < amount:
            self.reached["reduced withdrawal"] += 1
        if self.ledger.legs(account):
            left = max(0, self._inflow(account) - amount)
            self.state.inflows[account] = (self.state.epoch, left)

    def net(self, caller: str, long: int, short: int, market: int) -> None:
        for account in (long, short):
            if self.owners.get(account) != caller:
                raise Refused("deleverager: not your account")
            if self.is_frozen(account):
                raise Refused("deleverager: round open")
            if self.margin(account).equity < 0:
                raise Refused("deleverager: below zero")
        if not self.fresh:
            raise Refused(STALE)
        size = min(
            self.ledger.position(long, market).size, -self.ledger.position(short, market).size
        )
        if size <= 0:
            raise Refused("deleverager: nothing to net")
        quote = size * self.state.marks[market]
        self.ledger.exchange(market, short, long, size, quote)
        self.disturb()
        self.reached["own positions netted"] += 1

    def take(self, caller: str, account: int, market: int, is_long: bool, size: int) -> None:
        """Lots of an estate, oldest first, at the worse of mark and oracle price; at most 64 in a
        call."""
        key = market, is_long
        if self.owners.get(account) != caller:
            raise Refused("deleverager: not your account")
        lots = self.state.lots.get(key, [])
        if self.state.first_lot[key] == len(lots):
            raise Refused("deleverager: no lots left")
        if self._is_queued(market, is_long):
            raise Refused("deleverager: round open")
        if not self.fresh:
            raise Refused(STALE)
        self._pass_empty(key)
        estate, prices = self.estates[key], (self.state.marks[market], self.state.oracle[market])
        price = max(prices) if is_long else min(prices)
        sign = 1 if is_long else -1
        left = size
        for _ in range(BOOK_STEPS):
            first = self.state.first_lot[key]
            if not left or first == len(lots):
                break
            lot = lots[first]
            taken = min(lot.size, left)
            if taken:
                quote = taken * price
                if self._refusal(market, account, sign * taken, -sign * quote, is_estate=True):
                    raise Refused("deleverager: margin does not allow it")
                buyer, seller = (account, estate) if is_long else (estate, account)
                self.ledger.exchange(market, buyer, seller, taken, quote)
                left -= taken
                lot = dataclasses.replace(
                    lot, size=lot.size - taken, worth=lot.worth + sign * quote
                )
            if not lot.size:
                self.state.first_lot[key] = first + 1
                self._make_whole(estate, lot.worth)
                lot = dataclasses.replace(lot, worth=0)
            lots[first] = lot
        self.disturb()
        self.reached["lots taken"] += 1

    def repay(self, amount: int) -> None:
        if not 0 < amount <= self.ledger.uninsured:
            raise Refused("clearinghouse: amount out of range")
        self.ledger.repay(amount)

    # ---------------------------------------------------------------- prices

    def update(self, prices: dict[int, int]) -> None:
        state = self.state
        state.epoch += 1
        state.updated_at = self.now
        for market, price in prices.items():
            state.oracle[market] = price
            if market in state.frozen:
                continue
            mark = state.previous[market] = state.marks[market]
            step = abs(price - mark)
            if self.max_step:
                step = min(step, max(1, mark * self.max_step // 10**6))
            state.marks[market] = max(1, mark + step if price > mark else mark - step)
        self.disturb()

    # ---------------------------------------------------------------- the book

    def place(
        self, caller: str, account: int, market: int, is_buy: bool, size: int, price: int, ioc: bool
    ) -> None:
        if not 0 < price < 2**24:
            raise Refused("book: price out of range")
        if not 0 < size <= MAX_SIZE:
            raise Refused("book: size out of range")
        if account not in self.owners:
            raise Refused("clearinghouse: unknown account")
        if self.owners[account] != caller:
            raise Refused("book: not your account")
        self.pending = None
        if market in self.state.frozen or self.is_frozen(account):
            self.pending = (account, market, is_buy, size, price, ioc)
            return
        self._place(account, market, is_buy, size, price, ioc)

    def _place(
        self, account: int, market: int, is_buy: bool, size: int, price: int, ioc: bool
    ) -> None:
        held = self.ledger.position(account, market).size
        if size > (abs(held) if held and (held < 0) == is_buy else 0):
            if self.ledger.uninsured:
                raise Refused(REDUCE_ONLY)
            if not self.fresh:
                raise Refused(STALE)
        left = size
        no_risk = self.ledger.uninsured > 0 or not self.fresh
        # Each order is met once: one that is passed over stays where it is.
        key = market, not is_buy
        queue = self.side(*key)
        edge, last = self.state.passed.get(key, (0, 0))
        if no_risk and edge:
            # The book remembers how far a side was passed: behind that order, or at its price.
            queue = [
                (number, maker)
                for number, maker in queue
                if (maker.price < edge if not is_buy else maker.price > edge)
                or (maker.price == edge and (number > last or last not in self.state.orders))
            ]
        for number, maker in queue[:BOOK_STEPS]:
            if not left or (maker.price > price if is_buy else maker.price < price):
                break
            if not self.live(maker):
                del self.state.orders[number]
                continue
            if no_risk and not self._closable(maker):
                self.state.passed[key] = maker.price, number
                reason = REDUCE_ONLY if self.fresh else STALE
                self.reached[f"maker passed over: {reason.split(': ')[1]}"] += 1
                continue
            most = min(left, self._closable(maker)) if no_risk else left
            filled = self._take(number, maker, account, most, False)
            left -= filled
            if filled and not no_risk:
                self._rewind(market)
        if no_risk and left and not ioc:
            # What was passed long ago may be void by now, and then only looks like a price.
            for number, maker in self.side(*key)[:BOOK_STEPS]:
                across = maker.price <= price if is_buy else maker.price >= price
                if not across or self.live(maker):
                    break
                del self.state.orders[number]
        # More than one call meets, or makers passed over: the rest may not rest above them.
        crosses = any(
            (order.price <= price if is_buy else order.price >= price)
            for _, order in self.side(market, not is_buy)
        )
        if left and not ioc and crosses:
            self.reached["rest dropped"] += 1
        elif left and not ioc:
            mine = market, is_buy
            edge, _ = self.state.passed.get(mine, (0, 0))
            if edge not in (0, price) and (price > edge) == is_buy:
                same = [n for n, order in self.side(*mine) if order.price == price]
                self.state.passed[mine] = price, same[-1] if same else 0
            self.state.last_order += 1
            self.state.orders[self.state.last_order] = Order(
                account, market, is_buy, price, left, self.state.nonces[account]
            )

    def _rewind(self, market: int) -> None:
        """A position may have grown: nobody counts as passed any more."""
        for is_buy in (True, False):
            self.state.passed.pop((market, is_buy), None)

    def _closable(self, order: Order) -> int:
        """Lots of its maker's position that an order closes."""
        held = self.ledger.position(order.account, order.market).size
        return abs(held) if held and (held < 0) == order.is_buy else 0

    def cancel(self, caller: str, number: int) -> None:
        order = self.state.orders.get(number)
        if order is None:
            raise Refused("book: unknown order")
        if self.owners[order.account] != caller:
            raise Refused("book: not your account")
        del self.state.orders[number]

    def cancel_all(self, caller: str, account: int) -> None:
        if account not in self.owners:
            raise Refused("clearinghouse: unknown account")
        if self.owners[account] != caller:
            raise Refused("book: not your account")
        self.state.nonces[account] += 1

    def _refusal(
        self, market: int, account: int, size: int, quote: int, is_estate: bool = False
    ) -> str:
        if market in self.state.frozen or self.is_frozen(account):
            return "clearinghouse: adl round open"
        old = self.ledger.position(account, market).size
        if not waterfall.reduces(old, old + size):
            if not self.fresh:
                return STALE
            if self.ledger.uninsured and not is_estate:
                return REDUCE_ONLY
            if not old and len(self.ledger.legs(account)) >= MAX_LEGS:
                return "margin: too many positions"
        return waterfall.may_trade(
            self.ledger, account, market, size, quote, self.state.marks, self.leverages, self.fresh
        )

    def _take(self, number: int, maker: Order, taker: int, wanted: int, liquidated: bool) -> int:
        size = min(wanted, maker.size)
        quote = size * maker.price
        sign = 1 if maker.is_buy else -1
        if self.owners.get(taker) == self.owners[maker.account]:
            del self.state.orders[number]
            self.reached["self-trade cancelled"] += 1
            return 0
        if not liquidated:
            reason = self._refusal(maker.market, taker, -sign * size, sign * quote)
            if reason:
                raise Refused(reason)
        reason = self._refusal(maker.market, maker.account, sign * size, -sign * quote)
        if reason in (STALE, REDUCE_ONLY) and not liquidated:
            self.reached[f"maker passed over: {reason.split(': ')[1]}"] += 1
            return 0
        if reason in (STALE, REDUCE_ONLY) and (closable := self._closable(maker)):
            # A liquidation cannot wait: it takes what closes the maker's position.
            size = closable
            quote = size * maker.price
            reason = self._refusal(maker.market, maker.account, sign * size, -sign * quote)
        if reason:
            del self.state.orders[number]
            self.reached["maker refused"] += 1
            return 0
        buyer, seller = (maker.account, taker) if maker.is_buy else (taker, maker.account)
        self.ledger.exchange(maker.market, buyer, seller, size, quote)
        self.reached["fill"] += 1
        maker.size -= size
        if not maker.size:
            del self.state.orders[number]
        return size

    # ---------------------------------------------------------------- liquidation

    def liquidate(self, account: int, max_steps: int, reward_account: int = 0) -> None:
        if max_steps == 0:
            raise Refused("liquidator: no steps")
        if reward_account and (
            reward_account == account
            or reward_account not in self.owners
            or self.is_frozen(reward_account)
        ):
            raise Refused("liquidator: no account for a reward")
        venues = {VAULT, TRANCHE, *self.estates.values()}
        if account not in venues and account not in self.owners:
            raise Refused("clearinghouse: unknown account")
        if self.is_frozen(account):
            raise Refused("liquidator: adl round open")
        if not self.fresh and self.ledger.legs(account):
            raise Refused(STALE)
        if account not in self.owners:
            raise Refused("liquidator: not a trading account")
        if not self.margin(account).is_weak:
            raise Refused("liquidator: account is healthy")
        self.state.nonces[account] += 1
        before = self.margin(account)
        left = min(max_steps, MAX_STEPS)
        more = stuck = False
        for market in self.ledger.legs(account):
            if not self.margin(account).is_weak:
                break
            used, out, no_price = self._sell(account, market, left)
            left -= used
            more = more or out
            stuck = stuck or no_price
        after = self.margin(account)
        equity = after.equity - self._charge(account, reward_account, before, after)
        if more:
            self.reached["liquidation out of steps"] += 1
            return
        for_backstop = 0 <= 3 * equity < 2 * after.maintenance
        if for_backstop and self._take_over(account, reward_account, equity):
            return
        unfillable = self.trigger == "unfillable" and stuck
        if equity < after.maintenance and (equity < 0 or unfillable):
            self._wind_up(account)

    def _charge(
        self, account: int, reward_account: int, before: waterfall.Margin, after: waterfall.Margin
    ) -> int:
        """Fee and reward of one call, as far as the account can do without. What it paid."""
        if not self.charges.fee or after.equity <= 0 or before.notional == after.notional:
            return 0
        keep = after.maintenance
        if after.is_weak:
            # As strong as it came.
            keep = max(0, math.ceil(Fraction(before.equity * keep, before.maintenance)))
        room = max(0, after.equity - keep)
        closed = (before.notional - after.notional) * self.charges.fee
        fee = min(math.ceil(Fraction(closed, 10**6)), room)
        flat = reward = 0
        if reward_account:
            flat = 0 if after.is_weak else min(self.charges.reward, room - fee)
            reward = fee * self.charges.share // 10**6 + flat
        if fee + flat:
            self._pay_charge(account, reward_account, fee + flat, reward)
            self.reached["liquidation fee"] += 1
        return fee + flat

    def _pay_charge(self, account: int, reward_account: int, whole: int, reward: int) -> None:
        if reward:
            self.ledger.transfer(account, reward_account, reward)
            self.reached["reward"] += 1
            self.disturb()
        recovered = min(whole - reward, self.ledger.uninsured)
        if recovered:
            self.ledger.recover(account, recovered)
        if whole - reward - recovered:
            self.ledger.transfer(account, VAULT, whole - reward - recovered)

    def _take_over(self, account: int, reward_account: int, equity: int) -> bool:
        """The tranche takes every leg at the mark, if it can margin what it would hold then."""
        held = self.margin(TRANCHE)
        if not self.backstop.is_open or self.ledger.uninsured or held.equity < 0:
            return False
        if self.is_frozen(TRANCHE):
            return False
        initial, notional, ahead = held.initial, 0, 0
        sizes = {m: self.ledger.position(account, m).size for m in self.ledger.legs(account)}
        for market, size in sizes.items():
            mark, leverage = self.state.marks[market], self.leverages[market]
            now = abs(self.ledger.position(TRANCHE, market).size)
            then = abs(self.ledger.position(TRANCHE, market).size + size)
            if then > now and (
                then > MAX_SIZE or then * mark > self.backstop.limits.get(market, 0)
            ):
                self.reached["beyond the tranche's limit"] += 1
                return False
            for lots, sign in ((then, 2), (now, -2)):
                initial += sign * math.ceil(Fraction(lots * mark, 2 * leverage))
            notional += abs(size) * mark
            ahead += size * (self.state.oracle[market] - mark)
        spare = equity + min(ahead, 0)
        if spare < 0:
            self.reached["bankrupt at the oracle price"] += 1
            return False
        reward = 0
        if reward_account and self.charges.fee:
            spare -= math.ceil(Fraction(notional * self.backstop.slippage, 10**6))
            reward = min(self.charges.reward, max(spare, 0))
        if held.equity + equity - reward < initial:
            self.reached["beyond the tranche's margin"] += 1
            return False
        for market, size in sizes.items():
            buyer, seller = (TRANCHE, account) if size > 0 else (account, TRANCHE)
            quote = abs(size) * self.state.marks[market]
            self.ledger.exchange(market, buyer, seller, abs(size), quote)
        if reward:
            self._pay_charge(account, reward_account, reward, reward)
        if equity - reward:
            self.ledger.transfer(account, TRANCHE, equity - reward)
        self.reached["takeover"] += 1
        if len(sizes) > 1:
            self.reached["takeover of two legs"] += 1
        return True

    def work_off(self, market: int, max_steps: int) -> None:
        if not max_steps:
            raise Refused("liquidator: no steps")
        size = self.ledger.position(TRANCHE, market).size
        if not size:
            raise Refused("liquidator: nothing to work off")
        if self.is_frozen(TRANCHE):
            raise Refused("liquidator: adl round open")
        if not self.fresh:
            raise Refused(STALE)
        equity = self.margin(TRANCHE).equity
        if equity < 0:
            raise Refused("liquidator: tranche below zero")
        mark, rules = self.state.marks[market], self.backstop
        began, left = self.state.windows.get(market, (0, 0))
        if self.now >= began + rules.interval:
            share = math.ceil(Fraction(abs(size) * rules.share, 10**6))
            began, left = self.now, max(share, rules.notional // mark)
        left = min(left, abs(size))
        if not left:
            raise Refused("liquidator: enough for this interval")
        is_long, sold, steps = size > 0, 0, 0
        limit = min(max_steps, MAX_STEPS)
        while left and steps < limit:
            dropped, more, top = self._peek(market, is_long, limit - steps)
            steps += dropped
            if more or top is None or steps >= limit:
                break
            steps += 1
            number, order = top
            gain = order.price - mark if is_long else mark - order.price
            known = self.state.oracle[market]
            best = max(mark, known) if is_long else min(mark, known)
            short = best - order.price if is_long else order.price - best
            if short * 10**6 > best * rules.slippage:
                self.reached["beyond the slippage"] += 1
                break
            wanted = min(left, order.size)
            if gain < 0:
                wanted = min(wanted, equity // -gain)
                if not wanted:
                    break
            filled = self._take(number, order, TRANCHE, wanted, True)
            equity += gain * filled
            sold += filled
            left -= filled
        if sold:
            self.state.windows[market] = began, left
            self.reached["worked off"] += 1

    def wind_up_tranche(self, max_steps: int) -> None:
        """The round that it begins is learned from its events."""
        if not max_steps:
            raise Refused("liquidator: no steps")
        if self.is_frozen(TRANCHE):
            raise Refused("liquidator: adl round open")
        if not self.fresh and self.ledger.legs(TRANCHE):
            raise Refused(STALE)
        if self.margin(TRANCHE).equity >= 0:
            raise Refused("liquidator: tranche not below zero")
        self._wind_up(TRANCHE)
        self.reached["end of the tranche"] += 1

    def _peek(
        self, market: int, is_buy: bool, budget: int
    ) -> tuple[int, bool, tuple[int, Order] | None]:
        """Void orders deleted (at most 64 in one look, which is a step each), whether that was all
        the look could do, and the first live order."""
        dropped = 0
        while True:
            queue = self.side(market, is_buy)
            if not queue:
                return dropped, False, None
            if self.live(queue[0][1]):
                return dropped, False, queue[0]
            if dropped in (budget, BOOK_STEPS):
                return dropped, True, None
            del self.state.orders[queue[0][0]]
            self.reached["void order deleted"] += 1
            dropped += 1

    def _sell(self, account: int, market: int, steps: int) -> tuple[int, bool, bool]:
        """Steps used, whether they ran out, whether there is no price within the limit."""
        size = self.ledger.position(account, market).size
        mark = self.state.marks[market]
        selling = waterfall.Selling(
            is_long=size > 0,
            size=abs(size),
            rest=waterfall.borne(self.margin(account).equity, self._legs(account), market)
            - size * mark,
            mark=mark,
            insurance=max(0, self.ledger.cash.get(VAULT, 0)),
            band=waterfall.insured_band(self.band, self.leverages[market], self.max_step),
        )
        used = 0
        while selling.size:
            if used >= steps:
                return used, True, False
            dropped, more, top = self._peek(market, selling.is_long, steps - used)
            used += dropped
            if more:
                return used, True, False
            if top is None:
                return used, False, True
            if used >= steps:
                return used, True, False
            used += 1
            number, order = top
            wanted = min(order.size, selling.room(order.price))
            if not wanted:
                return used, False, True
            filled = self._take(number, order, account, wanted, True)
            if filled:
                self._rewind(market)
                fill = selling.fill(filled, order.price)
                self.reached["liquidation fill"] += 1
                if fill.insurance:
                    self.ledger.transfer(VAULT, account, fill.insurance)
                    self.reached["insurance for a fill"] += 1
        return used, False, False

    def _legs(self, account: int) -> list[waterfall.Leg]:
        return [
            waterfall.Leg(market, *self.ledger.position(account, market), self.state.marks[market])
            for market in self.ledger.legs(account)
        ]

    def _wind_up(self, account: int) -> None:
        equity = self.margin(account).equity
        legs = self._legs(account)
        partings, uncarried = waterfall.wind_up(equity, legs)
        self.reached["wind-up"] += 1
        if len(legs) > 1:
            self.reached["wind-up of two legs"] += 1
        if equity >= 0:
            self.reached["wind-up with a surplus"] += 1
        for parting in partings:
            market, is_long = parting.leg.market, parting.leg.size > 0
            estate = self.estates[market, is_long]
            buyer, seller = (estate, account) if is_long else (account, estate)
            self.ledger.exchange(market, buyer, seller, abs(parting.leg.size), parting.quote)
            lot = adl.Lot(account, is_long, abs(parting.leg.size), parting.worth)
            self.state.lots.setdefault((market, is_long), []).append(lot)
            self._enqueue(market, is_long)
        self._pay_or_write_off(account, uncarried)
        assert self.ledger.cash[account] == 0

    def _pay_or_write_off(self, account: int, loss: int) -> None:
        paid = min(loss, max(0, self.ledger.cash.get(VAULT, 0)))
        if paid:
            self.ledger.transfer(VAULT, account, paid)
            self.reached["insurance for a residual"] += 1
        if loss > paid:
            self.ledger.write_off(account, loss - paid)
            self.reached["uninsured loss"] += 1

    def _make_whole(self, estate: int, worth: int) -> None:
        """What a lot was worth: a gain repays uninsured loss, then is the vault's."""
        recovered = min(max(0, worth), self.ledger.uninsured)
        if recovered:
            self.ledger.recover(estate, recovered)
            self.reached["uninsured recovered"] += 1
        if worth > recovered:
            self.ledger.transfer(estate, VAULT, worth - recovered)
            self.reached["surplus to the vault"] += 1
        self._pay_or_write_off(estate, max(0, -worth))

    # ---------------------------------------------------------------- rounds

    def _enqueue(self, market: int, is_long: bool) -> None:
        if not self._is_queued(market, is_long):
            self.state.queue.append((market, is_long))
            if market not in self.state.frozen:
                self.state.clock[market] = self.now
                self.state.frozen_in[market] = self.state.epoch
                self.state.frozen.add(market)

    def _thaw(self, market: int, is_long: bool) -> None:
        state = self.state
        state.tried[market, is_long] = state.epoch
        if not self._is_queued(market, not is_long):
            state.frozen.discard(market)
            state.clock[market] = 2 * self.now - state.clock[market]

    def _has_lots(self, key: tuple[int, bool]) -> bool:
        return self.state.first_lot[key] != len(self.state.lots.get(key, []))

    def retry(self, market: int, is_long: bool, max_steps: int) -> None:
        """It does the first work itself, learned from its events as that of `advance`."""
        key = market, is_long
        if self.state.first_lot[key] == len(self.state.lots.get(key, [])):
            raise Refused("deleverager: no lots left")
        if self._is_queued(market, is_long):
            raise Refused("deleverager: round open")
        if not self.fresh:
            raise Refused(STALE)
        if not max_steps:
            raise Refused("deleverager: no steps")
        if self.state.tried.get((market, is_long), 0) >= self.state.epoch:
            raise Refused("deleverager: tried in this epoch")
        if self.now < self.state.clock[market]:
            raise Refused("deleverager: frozen too lately")
        self._enqueue(market, is_long)

    def advance(self) -> None:
        """What it did is learned from its events, see `follow`. Never refused."""

    def _pass_empty(self, key: tuple[int, bool]) -> None:
        """Lots that ended are passed when a round opens or closes."""
        lots = self.state.lots.get(key, [])
        while self.state.first_lot[key] < len(lots) and not lots[self.state.first_lot[key]].size:
            self.state.first_lot[key] += 1

    def follow(self, events: Iterable[Event]) -> None:
        """Checks and repeats what rounds did in one transaction. Raises AssertionError."""
        events = list(events)
        # What somebody took out of an estate has ended in `take` already.
        by_hand = any(event.name == "LotsTaken" for event in events)
        for event in events:
            if event.name == "RoundOpened":
                self._round_opened(event)
            elif event.name == "Deleveraged":
                self._deleveraged(event)
            elif event.name == "LotsNetted":
                self._lots_netted(event)
            elif event.name == "LotSettled" and not by_hand:
                self._lot_settled(event)
            elif event.name == "RoundExpired":
                self._round_expired(event)
            elif event.name == "RoundClosed":
                self._round_closed(event)
            elif event.name == "FrozenChanged" and not event.frozen:
                self._market_thawed(event.market)
        if self.pending is None:
            return
        account, market, *rest = self.pending
        self.pending = None
        open_still = [e for e in events if e.name == "Unfilled" and e.reason == ROUND_OPEN]
        if market in self.state.frozen or self.is_frozen(account):
            assert len(open_still) == 1, "ROUND: an order in a frozen market"
            self.reached["order met a round"] += 1
            return
        assert not open_still, "ROUND: no order in a free market"
        self.reached["order ended a round"] += 1
        self._place(account, market, *rest)

    def _market_thawed(self, market: int) -> None:
        """Without a round: all that waited there was netted before."""
        if market not in self.state.frozen:
            return
        for key in [key for key in self.state.queue if key[0] == market]:
            assert not self._has_lots(key), "ROUND: left out"
            self.state.queue.remove(key)
            self._thaw(*key)
        assert market not in self.state.frozen, "ROUND: thawed while a round is open"
        self.reached["netted before its round"] += 1

    def _round_expired(self, event: Event) -> None:
        state, market = self.state, event.market
        assert market in state.frozen and event.frozen_at == state.clock[market]
        assert self.now >= state.clock[market] + self.round_ttl, "ROUND: ended before its time"
        sides = [key for key in self.estates if self._is_queued(*key) and key[0] == market]
        self._expired = None
        if state.round is not None and state.round.market == market:
            self._expired = state.round.id
            state.round = None
        state.queue = [key for key in state.queue if key[0] != market]
        for key in sides:
            self._thaw(*key)
        self.reached["round expired"] += 1

    def _round_opened(self, event: Event) -> None:
        state = self.state
        assert state.round is None, "ROUND: two rounds at once"
        market, is_long = state.queue.pop(0)
        while not self._has_lots((market, is_long)):
            self._thaw(market, is_long)
            market, is_long = state.queue.pop(0)
        lots = state.lots[market, is_long]
        self._pass_empty((market, is_long))
        state.rounds += 1
        state.round = Round(
            state.rounds, market, is_long, state.marks[market], state.previous[market], len(lots),
            state.frozen_in[market],
        )  # fmt: skip
        needed = abs(self.ledger.position(self.estates[market, is_long], market).size)
        assert sum(lot.size for lot in lots) == needed
        told = (event.round, event.market, event.is_long, event.mark, event.previous_mark)
        current = state.round
        assert told == (
            current.id, current.market, current.is_long, current.mark, current.previous_mark
        ), f"ROUND: opened elsewhere: {told}, not {current}"  # fmt: skip
        assert event.needed == needed
        self._next()

    def _next(self) -> None:
        """On to the next lot that has anything left, and a plan for it."""
        current = self.state.round
        assert current is not None
        lots = self.state.lots[current.market, current.is_long]
        while current.index < current.end and (
            not lots[current.index].size or current.index in current.done
        ):
            current.index += 1
        current.rank = 0
        self._plan()

    def _plan(self) -> None:
        current = self.state.round
        assert current is not None
        current.plan = current.begun = None
        current.disturbed = False
        if current.index < current.end:
            lot = self.state.lots[current.market, current.is_long][current.index]
            current.begun = lot
            current.plan, _ = adl.close_lot(
                lot, self._standings(current), current.mark, self.close, current.previous_mark,
                PAGE, own=self._own(lot),
            )  # fmt: skip

    def _own(self, lot: adl.Lot) -> list[int]:
        owner = self.owners.get(lot.bankrupt)
        own = [account for account, other in self.owners.items() if other == owner][:MAX_OWN]
        # Where it is the only one, nobody is looked for.
        return own if len(own) > 1 else []

    def _netting(self) -> adl.Netting | None:
        """What the lot at work and the oldest one of the other estate come to."""
        current = self.state.round
        assert current is not None
        other = current.market, not current.is_long
        self._pass_empty(other)
        if current.index >= current.end or not self._has_lots(other):
            return None
        ours = self.state.lots[current.market, current.is_long][current.index]
        theirs = self.state.lots[other][self.state.first_lot[other]]
        long, short = (ours, theirs) if current.is_long else (theirs, ours)
        return adl.net(long, short, current.mark)

    def _lots_netted(self, event: Event) -> None:
        current = self.state.round
        netting = self._netting()
        assert current is not None and netting is not None, "NET: below zero"
        assert (event.size, event.quote) == (netting.size, netting.quote), "NET: price"
        market = current.market
        ours, theirs = (market, current.is_long), (market, not current.is_long)
        index = self.state.first_lot[theirs]
        long_estate, short_estate = self.estates[market, True], self.estates[market, False]
        self.ledger.exchange(market, short_estate, long_estate, netting.size, netting.quote)
        halves = {True: netting.long, False: netting.short}
        self.state.lots[ours][current.index] = halves[current.is_long]
        rest = self.state.lots[theirs][index] = halves[not current.is_long]
        current.netted += netting.size
        self.reached["lots netted"] += 1
        if not rest.size:
            self.state.first_lot[theirs] = index + 1
        # Settled at the next event.
        self._plan()

    def _standings(self, current: Round) -> list[adl.Standing]:
        return [
            self._standing(account, current.market)
            for account in self.owners
            if self.ledger.position(account, current.market).size
        ]

    def _standing(self, account: int, market: int) -> adl.Standing:
        position = self.ledger.position(account, market)
        current = self.state.round
        epoch, inflow = self.state.inflows.get(account, (0, 0))
        if current is None or epoch < current.epoch:
            inflow = 0
        if inflow:
            self.reached["winner with an inflow of the epoch"] += 1
        return adl.Standing(
            account, position.size, position.quote,
            self.ledger.equity(account, self.state.marks), inflow=inflow,
        )  # fmt: skip

    def _deleveraged(self, event: Event) -> None:
        current = self.state.round
        assert current is not None and current.plan is not None
        assert self._netting() is None, "NET: a winner is closed first"
        key = current.market, current.is_long
        lot = self.state.lots[key][current.index]
        standing = self._standing(event.winner, current.market)
        size = adl.bearable(standing, lot, current.mark, self.close, current.previous_mark)
        if event.rank:
            current.rank += 1
        else:
            assert event.winner in self._own(lot) and not current.rank, "ADL: not its own"
            self.reached["own winner first"] += 1
        fill, rest = adl.close_winner(
            lot, standing, size, current.rank, current.mark, self.close, current.previous_mark
        )
        # Its orders were sized for what it no longer holds.
        self.state.nonces[event.winner] += 1
        current.taken += fill.size
        if current.disturbed:
            self.reached["fill after a disturbance"] += 1
        else:
            assert current.plan, f"ADL: {event.winner} is closed and nobody should be"
            planned = current.plan.pop(0)
            assert planned.winner == event.winner, (
                f"ADL_1: {event.winner} is closed and {planned.winner} ranks first"
            )
            assert planned == fill, f"ADL: {planned} was planned, {fill} is live"
            assert event.score == fill.score, "ADL: score"
        assert (event.bankrupt, event.size, event.quote) == (lot.bankrupt, fill.size, fill.quote)
        assert (event.rank, event.haircut) == (fill.rank, fill.haircut)
        assert (event.lot_size, event.lot_worth) == (lot.size, lot.worth)
        if current.is_long:
            buyer, seller = event.winner, self.estates[key]
        else:
            buyer, seller = self.estates[key], event.winner
        self.ledger.exchange(current.market, buyer, seller, fill.size, fill.quote)
        assert self.ledger.equity(event.winner, self.state.marks) >= 0, "ADL: winner below zero"
        self.state.lots[key][current.index] = rest
        self.reached[f"adl fill of a {'long' if current.is_long else 'short'}"] += 1
        self.reached[f"adl fill at {self.close}"] += 1
        if size < min(lot.size, abs(standing.size)):
            self.reached["partial bear"] += 1

    def _lot_settled(self, event: Event) -> None:
        current = self.state.round
        assert current is not None
        if event.round == 0:
            self._other_settled(event, current)
            return
        key = current.market, current.is_long
        lot = self.state.lots[key][current.index]
        assert current.begun is not None
        # Fills at another price than its own may leave a lot that could be netted: that was before.
        assert lot != current.begun or self._netting() is None, "NET: a lot is settled first"
        current.overshoots.append(adl.overshoot(current.begun, lot))
        assert current.disturbed or not current.plan, f"ADL: {current.plan} were left out"
        self._end_lot(event, key, lot, current.mark)
        if lot.size:
            self.reached["lots left in an estate"] += 1
        self.state.lots[key][current.index] = adl.settled(lot, current.mark)
        current.done.add(current.index)
        self._next()

    def _other_settled(self, event: Event, current: Round) -> None:
        """A lot of the other estate that netting has emptied."""
        key = current.market, not current.is_long
        index = self.state.first_lot[key] - 1
        lot = self.state.lots[key][index]
        assert not lot.size, "NET: settled with lots left"
        self._end_lot(event, key, lot, current.mark)
        self.state.lots[key][index] = adl.settled(lot, current.mark)

    def _end_lot(self, event: Event, key: tuple[int, bool], lot: adl.Lot, mark: int) -> None:
        end = adl.settle(lot, mark)
        told = (event.bankrupt, event.unfilled, event.surplus, event.residual)
        assert told == (lot.bankrupt, end.unfilled, end.surplus, end.residual), "ADL: settlement"
        before = self.ledger.uninsured
        self._make_whole(self.estates[key], end.surplus - end.residual)
        assert event.uninsured == self.ledger.uninsured - before if end.residual else True

    def _round_closed(self, event: Event) -> None:
        if event.round == self._expired:
            self._expired = None
            return
        current = self.state.round
        assert current is not None and event.round == current.id
        key = current.market, current.is_long
        assert (event.netted, event.taken) == (current.netted, current.taken)
        assert event.overshoot == sum(current.overshoots)
        assert event.absolute_overshoot == sum(map(abs, current.overshoots))
        assert event.is_complete
        if not self.fresh:
            # Parked: what is left waits, and its market stays frozen.
            self.state.queue.append(key)
            self.state.round = None
            self.reached["round parked"] += 1
            return
        assert current.index == current.end, "ROUND: closed with lots left"
        assert event.unserved == 0
        self._pass_empty(key)
        self.state.round = None
        self._thaw(*key)
        self.reached["round"] += 1
