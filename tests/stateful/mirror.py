"""The whole venue once more in Python: predicts each operation's outcome, refusals included.

Owns a model of orders, epochs, freezes and rounds around `breakwater.model`. It reads nothing from
the chain but the events of ADL rounds, and those only to learn how far a bounded call got: who is
closed, how much, and at which quote is computed here, from the state before.

Without fees, tiers, samples of the book and funding: its user keeps the clock within an hour, or
passes the hour while prices are stale, when no funding accrues.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from breakwater.contract import Event
from breakwater.model import adl, waterfall
from breakwater.model.ledger import Ledger

VAULT, TRANCHE = 1, 2
PAGE = 16
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
    nonces: Counter[int] = field(default_factory=Counter)
    # Epoch and amount of what came into an account with a position.
    inflows: dict[int, tuple[int, int]] = field(default_factory=dict)
    frozen: set[int] = field(default_factory=set)
    queue: list[tuple[int, bool]] = field(default_factory=list)
    lots: dict[tuple[int, bool], list[adl.Lot]] = field(default_factory=dict)
    # Lots before it are passed for good.
    first_lot: Counter[tuple[int, bool]] = field(default_factory=Counter)
    tried: dict[tuple[int, bool], int] = field(default_factory=dict)
    round: Round | None = None
    rounds: int = 0


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
    ) -> None:
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
        if market in self.state.frozen or self.is_frozen(account):
            raise Refused("clearinghouse: adl round open")
        if self.owners[account] != caller:
            raise Refused("book: not your account")
        held = self.ledger.position(account, market).size
        if size > (abs(held) if held and (held < 0) == is_buy else 0):
            if self.ledger.uninsured:
                raise Refused(REDUCE_ONLY)
            if not self.fresh:
                raise Refused(STALE)
        left = size
        # Each order is met once: one that is passed over stays where it is.
        for number, maker in self.side(market, not is_buy)[:BOOK_STEPS]:
            if not left or (maker.price > price if is_buy else maker.price < price):
                break
            if not self.live(maker):
                del self.state.orders[number]
                continue
            left -= self._take(number, maker, account, left, False)
        # More than one call meets, or makers passed over: the rest may not rest above them.
        crosses = any(
            (order.price <= price if is_buy else order.price >= price)
            for _, order in self.side(market, not is_buy)
        )
        if left and not ioc and crosses:
            self.reached["rest dropped"] += 1
        elif left and not ioc:
            self.state.last_order += 1
            self.state.orders[self.state.last_order] = Order(
                account, market, is_buy, price, left, self.state.nonces[account]
            )

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

    def _refusal(self, market: int, account: int, size: int, quote: int) -> str:
        if market in self.state.frozen or self.is_frozen(account):
            return "clearinghouse: adl round open"
        old = self.ledger.position(account, market).size
        if abs(old + size) > MAX_SIZE:
            return "margin: position too large"
        if not waterfall.reduces(old, old + size):
            if not self.fresh:
                return STALE
            if self.ledger.uninsured:
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
        if self.owners[taker] == self.owners[maker.account]:
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

    def liquidate(self, account: int, max_steps: int) -> None:
        if max_steps == 0:
            raise Refused("liquidator: no steps")
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
        left = min(max_steps, MAX_STEPS)
        more = stuck = False
        for market in self.ledger.legs(account):
            if not self.margin(account).is_weak:
                break
            used, out, no_price = self._sell(account, market, left)
            left -= used
            more = more or out
            stuck = stuck or no_price
        margin = self.margin(account)
        if more:
            self.reached["liquidation out of steps"] += 1
        elif margin.is_weak and (margin.equity < 0 or (self.trigger == "unfillable" and stuck)):
            self._wind_up(account)

    def _sell(self, account: int, market: int, steps: int) -> tuple[int, bool, bool]:
        """Steps used, whether they ran out, whether there is no price within the limit."""
        size = self.ledger.position(account, market).size
        mark = self.state.marks[market]
        selling = waterfall.Selling(
            is_long=size > 0,
            size=abs(size),
            rest=self.margin(account).equity - size * mark,
            mark=mark,
            insurance=max(0, self.ledger.cash.get(VAULT, 0)),
            band=waterfall.insured_band(self.band, self.leverages[market], self.max_step),
        )
        used = 0
        while selling.size:
            if used >= steps:
                return used, True, False
            # Void orders on the way, at most 64 in one look.
            dropped = 0
            while True:
                queue = self.side(market, selling.is_long)
                if not queue or self.live(queue[0][1]):
                    break
                if dropped in (steps - used, BOOK_STEPS):
                    return used + dropped, True, False
                del self.state.orders[queue[0][0]]
                self.reached["void order deleted"] += 1
                dropped += 1
            used += dropped
            if not queue:
                return used, False, True
            if used >= steps:
                return used, True, False
            used += 1
            number, order = queue[0]
            wanted = min(order.size, selling.room(order.price))
            if not wanted:
                return used, False, True
            filled = self._take(number, order, account, wanted, True)
            if filled:
                fill = selling.fill(filled, order.price)
                self.reached["liquidation fill"] += 1
                if fill.insurance:
                    self.ledger.transfer(VAULT, account, fill.insurance)
                    self.reached["insurance for a fill"] += 1
        return used, False, False

    def _wind_up(self, account: int) -> None:
        equity = self.margin(account).equity
        legs = [
            waterfall.Leg(market, *self.ledger.position(account, market), self.state.marks[market])
            for market in self.ledger.legs(account)
        ]
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

    # ---------------------------------------------------------------- rounds

    def _enqueue(self, market: int, is_long: bool) -> None:
        if not self._is_queued(market, is_long):
            self.state.queue.append((market, is_long))
            self.state.frozen.add(market)

    def retry(self, market: int, is_long: bool, max_steps: int) -> None:
        """It does the first work itself, learned from its events as that of `advance`."""
        key = market, is_long
        if self.state.first_lot[key] == len(self.state.lots.get(key, [])):
            raise Refused("deleverager: no lots left")
        if self._is_queued(market, is_long):
            raise Refused("deleverager: round open")
        if not max_steps:
            raise Refused("deleverager: no steps")
        if not self.fresh:
            raise Refused(STALE)
        if self.state.tried.get((market, is_long), 0) >= self.state.epoch:
            raise Refused("deleverager: tried in this epoch")
        self._enqueue(market, is_long)

    def advance(self) -> None:
        """What it did is learned from its events, see `follow`. Never refused."""

    def _pass_empty(self, key: tuple[int, bool]) -> None:
        """Lots that ended are passed when a round opens or closes."""
        lots = self.state.lots[key]
        while self.state.first_lot[key] < len(lots) and not lots[self.state.first_lot[key]].size:
            self.state.first_lot[key] += 1

    def follow(self, events: Iterable[Event]) -> None:
        """Checks and repeats what rounds did in one transaction. Raises AssertionError."""
        for event in events:
            if event.name == "RoundOpened":
                self._round_opened(event)
            elif event.name == "Deleveraged":
                self._deleveraged(event)
            elif event.name == "LotSettled":
                self._lot_settled(event)
            elif event.name == "RoundClosed":
                self._round_closed(event)

    def _round_opened(self, event: Event) -> None:
        state = self.state
        assert state.round is None, "ROUND: two rounds at once"
        market, is_long = state.queue.pop(0)
        lots = state.lots[market, is_long]
        self._pass_empty((market, is_long))
        state.rounds += 1
        state.round = Round(
            state.rounds, market, is_long, state.marks[market], state.previous[market], len(lots),
            state.epoch,
        )  # fmt: skip
        needed = abs(self.ledger.position(self.estates[market, is_long], market).size)
        assert sum(lot.size for lot in lots) == needed
        told = (event.round, event.market, event.is_long, event.mark, event.previous_mark)
        current = state.round
        assert told == (
            current.id, current.market, current.is_long, current.mark, current.previous_mark
        ), "ROUND: opened elsewhere"  # fmt: skip
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
        current.plan = None
        current.disturbed = False
        if current.index < current.end:
            current.plan, _ = adl.close_lot(
                lots[current.index], self._standings(current), current.mark, self.close,
                current.previous_mark, PAGE,
            )  # fmt: skip

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
        key = current.market, current.is_long
        lot = self.state.lots[key][current.index]
        standing = self._standing(event.winner, current.market)
        size = adl.bearable(standing, lot, current.mark, self.close, current.previous_mark)
        current.rank += 1
        fill, rest = adl.close_winner(
            lot, standing, size, current.rank, current.mark, self.close, current.previous_mark
        )
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
        key = current.market, current.is_long
        lot = self.state.lots[key][current.index]
        assert current.disturbed or not current.plan, f"ADL: {current.plan} were left out"
        end = adl.settle(lot, current.mark)
        told = (event.bankrupt, event.unfilled, event.surplus, event.residual)
        assert told == (lot.bankrupt, end.unfilled, end.surplus, end.residual), "ADL: settlement"
        estate = self.estates[key]
        if end.surplus:
            recovered = min(end.surplus, self.ledger.uninsured)
            if recovered:
                self.ledger.recover(estate, recovered)
                self.reached["uninsured recovered"] += 1
            if end.surplus > recovered:
                self.ledger.transfer(estate, VAULT, end.surplus - recovered)
                self.reached["surplus to the vault"] += 1
        before = self.ledger.uninsured
        self._pay_or_write_off(estate, end.residual)
        assert event.uninsured == self.ledger.uninsured - before if end.residual else True
        if end.unfilled:
            self.reached["lots left in an estate"] += 1
        self.state.lots[key][current.index] = adl.settled(lot, current.mark)
        current.done.add(current.index)
        self._next()

    def _round_closed(self, event: Event) -> None:
        current = self.state.round
        assert current is not None and event.round == current.id
        key = current.market, current.is_long
        if not self.fresh:
            # Parked: what is left waits, and its market stays frozen.
            self.state.queue.append(key)
            self.state.round = None
            self.reached["round parked"] += 1
            return
        assert current.index == current.end, "ROUND: closed with lots left"
        self._pass_empty(key)
        self.state.tried[key] = self.state.epoch
        self.state.round = None
        if not self._is_queued(current.market, not current.is_long):
            self.state.frozen.discard(current.market)
        self.reached["round"] += 1
