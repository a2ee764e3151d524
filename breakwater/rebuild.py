"""Rebuilds the venue's state from its logs alone.

Owns the meaning of each event for the state. It makes no call: whoever has the logs of the venue's
contracts gets accounts, positions, money, funding pools and the resting orders, to the integer.
`differences` then compares such a state with the chain's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from breakwater.contract import Event
from breakwater.venue import SCALE, VAULT_ACCOUNT, Venue


@dataclass
class Account:
    """Who owns it, what kind it is, what it has (micro-USDC), market + 1 if isolated."""

    owner: str
    kind: int
    cash: int = 0
    isolated_to: int = 0
    nonce: int = 0


@dataclass
class Position:
    """Signed lots, signed micro-USDC, funding index at the last settlement, own leverage."""

    size: int = 0
    quote: int = 0
    index: int = 0
    leverage: int = 0


@dataclass
class Order:
    """One order at rest: ticks and lots."""

    account: int
    market: int
    is_buy: bool
    price: int
    size: int
    reduce_only: bool
    nonce: int


@dataclass
class State:
    """Everything that moves money, as the logs tell it."""

    accounts: dict[int, Account] = field(default_factory=dict)
    positions: dict[tuple[int, int], Position] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    pools: dict[int, int] = field(default_factory=dict)
    dust: dict[int, int] = field(default_factory=dict)
    prices: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    held: int = 0
    uninsured: int = 0
    fees: int = 0
    treasury: int = 0
    epoch: int = 0
    # Epoch and amount of what came into an account with a position.
    inflows: dict[int, tuple[int, int]] = field(default_factory=dict)

    def inflow(self, account: int) -> int:
        """What came into the account in this epoch: no ADL score counts it before the next."""
        epoch, amount = self.inflows.get(account, (0, 0))
        return amount if epoch == self.epoch else 0

    @property
    def live_orders(self) -> dict[int, Order]:
        """Orders that a nonce has not voided."""
        return {
            i: order
            for i, order in self.orders.items()
            if order.nonce == self.accounts[order.account].nonce
        }


def rebuild(events: Iterable[Event]) -> State:
    """Plays the events of all contracts, in order, onto an empty state."""
    state = State()
    for event in events:
        play(state, event)
    return state


def play(state: State, event: Event) -> None:
    """Plays one event onto a state."""
    handler = _HANDLERS.get(event.name)
    if handler is not None:
        handler(state, event)


def _opened(state: State, event: Event) -> None:
    state.accounts[event.account] = Account(event.owner, event.kind)


def _isolated(state: State, event: Event) -> None:
    state.accounts[event.account].isolated_to = event.market + 1


def _cash(state: State, event: Event) -> None:
    state.accounts[event.account].cash = event.cash


def _deposited(state: State, event: Event) -> None:
    _cash(state, event)
    state.held += event.amount


def _inflow(state: State, event: Event) -> None:
    state.inflows[event.account] = (event.epoch, event.amount)


def _withdrawn(state: State, event: Event) -> None:
    _cash(state, event)
    state.held -= event.paid
    state.uninsured = event.uninsured


def _repaid(state: State, event: Event) -> None:
    state.held += event.amount
    state.uninsured = event.uninsured


def _moved(state: State, event: Event) -> None:
    state.accounts[event.source].cash = event.source_cash
    state.accounts[event.to].cash = event.to_cash


def _loss(state: State, event: Event) -> None:
    _cash(state, event)
    state.uninsured = event.uninsured


def _fee(state: State, event: Event) -> None:
    _cash(state, event)
    state.fees += event.amount


def _treasury(state: State, event: Event) -> None:
    state.treasury = event.treasury


def _swept(state: State, event: Event) -> None:
    state.fees -= event.repaid + event.to_vault + event.to_treasury
    state.uninsured = event.uninsured
    state.accounts[VAULT_ACCOUNT].cash = event.vault_cash
    if event.to_treasury:
        state.accounts[state.treasury].cash = event.treasury_cash


def _funding(state: State, event: Event) -> None:
    _cash(state, event)
    position = state.positions[event.account, event.market]
    owed = position.size * (event.funding_index - position.index)
    state.pools[event.market] = state.pools.get(event.market, 0) + event.paid
    left = event.paid * SCALE - owed
    state.dust[event.market] = state.dust.get(event.market, 0) + left


def _position(state: State, event: Event) -> None:
    _cash(state, event)
    state.positions[event.account, event.market] = Position(
        event.size, event.quote, event.funding_index, event.leverage
    )


def _placed(state: State, event: Event) -> None:
    state.orders[event.order_id] = Order(
        event.account,
        event.market,
        event.is_buy,
        event.price,
        event.size,
        event.reduce_only,
        state.accounts[event.account].nonce,
    )


def _filled(state: State, event: Event) -> None:
    if event.remaining:
        state.orders[event.order_id].size = event.remaining
    else:
        del state.orders[event.order_id]


def _cancelled(state: State, event: Event) -> None:
    del state.orders[event.order_id]


def _nonce(state: State, event: Event) -> None:
    state.accounts[event.account].nonce = event.nonce


def _price(state: State, event: Event) -> None:
    state.epoch = event.epoch
    state.prices[event.market] = (event.oracle_price, event.mark, event.previous_mark)


_HANDLERS: dict[str, Callable[[State, Event], None]] = {
    "AccountOpened": _opened,
    "IsolatedTo": _isolated,
    "Deposited": _deposited,
    "InflowNoted": _inflow,
    "Withdrawn": _withdrawn,
    "UninsuredRepaid": _repaid,
    "CashMoved": _moved,
    "WrittenOff": _loss,
    "Recovered": _loss,
    "FeeCharged": _fee,
    "FeeShareSet": _treasury,
    "FeesSwept": _swept,
    "FundingSettled": _funding,
    "PositionChanged": _position,
    "OrderPlaced": _placed,
    "Filled": _filled,
    "OrderCancelled": _cancelled,
    "NonceRaised": _nonce,
    "PriceUpdated": _price,
}


def differences(state: State, venue: Venue) -> list[str]:
    """Where a rebuilt state and the chain disagree, one sentence each; empty if nowhere."""
    house = venue.clearinghouse
    found: list[str] = []

    def same(what: str, ours: Any, theirs: Any) -> None:
        if ours != theirs:
            found.append(f"{what}: the logs say {ours}, the chain says {theirs}")

    same("accounts", len(state.accounts), house.call("account_count"))
    for name in ("held", "uninsured", "fees"):
        same(name, getattr(state, name), house.call(name))
    for account, known in state.accounts.items():
        who = f"account {account}"
        same(f"{who} owner", known.owner, house.call("account_owner", account))
        same(f"{who} kind", known.kind, house.call("account_kind", account))
        same(f"{who} isolation", known.isolated_to, house.call("isolated_to", account))
        same(f"{who} cash", known.cash, house.call("cash", account))
        same(f"{who} nonce", known.nonce, venue.order_book.call("nonce", account))
    for market in range(house.call("market_count")):
        name = f"market {market}"
        longs = 0
        for account in state.accounts:
            ours = state.positions.get((account, market), Position())
            theirs = house.call("position", account, market)
            mine = (ours.size, ours.quote, ours.index, ours.leverage)
            same(f"{name}, account {account}", mine, tuple(theirs))
            longs += max(ours.size, 0)
        same(f"{name} open interest", longs, house.call("open_interest", market))
        same(f"{name} pool", state.pools.get(market, 0), house.call("funding_pool", market))
        same(f"{name} dust", state.dust.get(market, 0), house.call("funding_dust", market))
        price = venue.oracle.call("price", market)
        stated = state.prices.get(market)
        same(f"{name} prices", stated, (price.oracle, price.mark, price.previous))
    same("epoch", state.epoch, venue.oracle.call("epoch"))
    for account in state.accounts:
        resting = {
            order.order_id: (order.market, order.is_buy, order.price, order.size)
            for order in venue.order_book.call("open_orders", account)
        }
        known_orders = {
            i: (order.market, order.is_buy, order.price, order.size)
            for i, order in state.live_orders.items()
            if order.account == account
        }
        same(f"orders of account {account}", known_orders, resting)
    return found
