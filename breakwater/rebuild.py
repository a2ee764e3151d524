"""Rebuilds the venue's state from its logs alone.

Owns the meaning of each event for the state. It makes no call: whoever has the logs of the venue's
contracts gets accounts, positions, money, funding, the book with its queues, prices, samples, the
vault's shares and every parameter, to the integer. `differences` then compares such a state with
the chain's own.

Not in it: times that are the blocks' own (of prices, reports, halts and requests), the lots of open
rounds (their receipts are in the logs), and what is derived (the index of positions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from breakwater.contract import Contract, Event
from breakwater.engine.base import Reverted
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
class Sample:
    """The last reading of a book, and the premium since the last funding (contracts/Oracle.vy)."""

    at: int = 0
    middle: int = 0
    ema: int = 0
    premium: int = 0
    seconds: int = 0


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
    indices: dict[int, int] = field(default_factory=dict)
    samples: dict[int, Sample] = field(default_factory=dict)
    last_trades: dict[int, int] = field(default_factory=dict)
    symbols: dict[int, tuple[str, int]] = field(default_factory=dict)
    tiers: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    terms: dict[int, dict[str, int]] = field(default_factory=dict)
    halted: dict[int, bool] = field(default_factory=dict)
    # Market to price, account and funding index of its settlement.
    settled: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    settling: set[int] = field(default_factory=set)
    frozen: set[int] = field(default_factory=set)
    pinned: set[int] = field(default_factory=set)
    fences: dict[int, int] = field(default_factory=dict)
    reporters: list[str] = field(default_factory=list)
    # (role, getter) or (role, getter, market) to what it must answer.
    parameters: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    shares: dict[str, int] = field(default_factory=dict)
    locked: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    last_order_id: int = 0
    partial_at: dict[int, int] = field(default_factory=dict)
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

    def longs(self, market: int) -> int:
        """Open interest, lots."""
        return sum(max(p.size, 0) for (_, m), p in self.positions.items() if m == market)

    @property
    def queues(self) -> dict[tuple[int, bool, int], list[int]]:
        """Order ids by (market, side, price), oldest first, void ones too: no order ever moves in
        its queue."""
        out: dict[tuple[int, bool, int], list[int]] = {}
        for order_id, order in sorted(self.orders.items()):
            out.setdefault((order.market, order.is_buy, order.price), []).append(order_id)
        return out

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
    handler = _HANDLERS.get(event.name) or _HANDLERS.get(f"{event.contract}.{event.name}")
    if handler is not None:
        handler(state, event)
    for parameter, value in _parameters(event):
        state.parameters[parameter] = value


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


def _parameters(event: Event) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """What of an event is a parameter that a getter of the same value shows."""
    for name, getter in _PARAMETERS.get((event.contract, event.name), {}).items():
        where = (event.market,) if "market" in event.args else ()
        yield (*getter, *where), event.args[name]


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
    if event.market in state.settling and not state.longs(event.market):
        state.settling.discard(event.market)


def _placed(state: State, event: Event) -> None:
    state.last_order_id = event.order_id
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
    state.last_trades[event.market] = event.price
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
    state.indices[event.market] = event.funding_index


def _accrued(state: State, event: Event) -> None:
    state.indices[event.market] = event.funding_index
    _forgone(state, event)


def _forgone(state: State, event: Event) -> None:
    sample = state.samples.setdefault(event.market, Sample())
    sample.premium = sample.seconds = 0


def _sampled(state: State, event: Event) -> None:
    state.samples[event.market] = Sample(
        event.at, event.middle, event.ema, event.premium_sum, event.seconds
    )


def _reporter(state: State, event: Event) -> None:
    state.reporters = [known for known in state.reporters if known != event.reporter]
    if event.allowed:
        state.reporters.append(event.reporter)


def _market(state: State, event: Event) -> None:
    state.symbols[event.market] = event.symbol, event.size_decimals


def _tiers(state: State, event: Event) -> None:
    state.tiers[event.market] = [
        (int(bound), int(leverage))
        for bound, leverage in zip(event.bounds, event.leverages, strict=True)
    ]


def _terms(state: State, event: Event) -> None:
    state.terms[event.market] = {key: event.args[key] for key in _TERMS}


def _halt(state: State, event: Event) -> None:
    state.halted[event.market] = event.halted


def _settled(state: State, event: Event) -> None:
    market = event.market
    state.settled[market] = event.price, event.account, state.indices[market]
    if state.longs(market):
        state.settling.add(market)


def _flag(members: set[int], market: int, is_set: bool) -> None:
    members.add(market) if is_set else members.discard(market)


def _fence(state: State, event: Event) -> None:
    if event.fenced:
        state.fences[event.market] = event.share
    else:
        state.fences.pop(event.market, None)


def _owner(state: State, event: Event) -> None:
    state.parameters["governor", "owner"] = event.new_owner
    state.parameters["governor", "pending_owner"] = _NOBODY


def _tranche(state: State, event: Event) -> None:
    state.parameters["vault", "tranche_funded"] = event.funded


def _cooldown(state: State, event: Event) -> None:
    cooldown = state.parameters["liquidator", "cooldown"]
    state.partial_at[event.account] = event.until - cooldown


def _moved_tokens(amounts: dict[str, int], event: Event) -> None:
    source, to, amount = (event.args[key] for key in ("sender", "receiver", "value"))
    amounts[source] = amounts.get(source, 0) - amount
    amounts[to] = amounts.get(to, 0) + amount


def _requested(state: State, event: Event) -> None:
    state.locked[event.owner] = state.locked.get(event.owner, 0) + event.shares


def _unlocked(state: State, event: Event) -> None:
    state.locked[event.owner] -= event.shares


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
    "FundingAccrued": _accrued,
    "FundingForgone": _forgone,
    "Sampled": _sampled,
    "ReporterSet": _reporter,
    "MarketAdded": _market,
    "TiersSet": _tiers,
    "TradingTermsSet": _terms,
    "HaltChanged": _halt,
    "MarketSettled": _settled,
    "FrozenChanged": lambda state, event: _flag(state.frozen, event.market, event.frozen),
    "PinChanged": lambda state, event: _flag(state.pinned, event.market, event.pinned),
    "RingFenceSet": _fence,
    "TrancheFunded": _tranche,
    "TrancheDefunded": _tranche,
    "CooldownBegan": _cooldown,
    "Governor.OwnershipTransferred": _owner,
    "ExitRequested": _requested,
    "ExitCancelled": _unlocked,
    "Left": _unlocked,
    "InsuranceVault.Transfer": lambda state, event: _moved_tokens(state.shares, event),
    "USDC.Transfer": lambda state, event: _moved_tokens(state.tokens, event),
}

_NOBODY: Final = "0x" + "00" * 20
_TERMS: Final = ("taker_fee", "maker_fee", "band", "min_notional", "open_interest_cap")


def _as(role: str, *names: str, **renamed: str) -> dict[str, tuple[str, str]]:
    """Fields of an event to the getters of a contract that show them."""
    return {name: (role, name) for name in names} | {k: (role, v) for k, v in renamed.items()}


_PARTS: Final = ("order_book", "liquidator", "deleverager", "vault", "governor")
_PARAMETERS: Final[dict[tuple[str, str], dict[str, tuple[str, str]]]] = {
    ("Clearinghouse", "Wired"): _as("clearinghouse", *_PARTS),
    ("Clearinghouse", "IndexWired"): _as("clearinghouse", "ranking_index"),
    ("Governor", "FeeShareSet"): _as("clearinghouse", "vault_share", "treasury"),
    ("Governor", "GuardianSet"): _as("governor", "guardian"),
    ("Governor", "OwnershipTransferStarted"): _as("governor", new_owner="pending_owner"),
    ("Oracle", "Wired"): _as("oracle", "deleverager", "order_book", "clearinghouse"),
    ("Oracle", "ParametersSet"): _as("oracle", "min_interval", "stale_after", "max_step"),
    ("Oracle", "QuorumSet"): _as("oracle", "quorum"),
    ("Oracle", "StalenessSet"): _as("oracle", stale_after="market_stale_after"),
    ("Oracle", "ImpactNotionalSet"): _as("oracle", notional="impact_notional"),
    ("Liquidator", "PolicySet"): _as("liquidator", "trigger", "insured_band"),
    ("Liquidator", "PartialSet"): _as("liquidator", "partial_above", "cooldown"),
    ("Liquidator", "FeesSet"): _as("liquidator", "liquidation_fee", "reward", "reward_share"),
    ("Liquidator", "BackstopSet"): _as("liquidator", "owner_limit", is_open="is_backstop_open"),
    ("Liquidator", "BackstopLimitSet"): _as("liquidator", max_notional="backstop_limit"),
    ("Liquidator", "WorkOffSet"): _as(
        "liquidator",
        share="work_off_share",
        notional="work_off_notional",
        interval="work_off_interval",
        slippage="work_off_slippage",
    ),
    ("Deleverager", "PolicySet"): _as("deleverager", score="score_rule", close="close_rule"),
    ("Deleverager", "EngineSet"): _as("deleverager", "engine", "fallback"),
    ("InsuranceVault", "ParametersSet"): _as(
        "vault", "exit_delay", "exit_haircut", "tranche_share"
    ),
}
"""(contract, event) to which getter of which role shows each field. With a field `market` the
getter is asked for that market."""


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
        same(f"{name} funding index", state.indices.get(market), price.index)
        sample = state.samples.get(market, Sample())
        mine_sampled = (sample.at, sample.middle, sample.ema, sample.premium, sample.seconds)
        same(f"{name} sample", mine_sampled, tuple(venue.oracle.call("last_sample", market)))
        same(f"{name} pinned", market in state.pinned, venue.oracle.call("pinned", market))
        last = venue.order_book.call("last_trade", market)
        same(f"{name} last trade", state.last_trades.get(market, 0), last)
        _compare_terms(state, venue, market, same)
    for what, markets in (("frozen_markets", state.frozen), ("settling", state.settling)):
        same(what, sum(1 << market for market in markets), house.call(what))
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
        same(
            f"last fifth of account {account}",
            state.partial_at.get(account, 0),
            venue.liquidator.call("partial_at", account),
        )
    for queue in state.queues.values():
        # Linked both ways, the first one to the last if it is not that itself: the order in which
        # they are filled.
        last = queue[-1] if len(queue) > 1 else 0
        links = zip([last, *queue], queue, [*queue[1:], 0], strict=False)
        for previous, order_id, following in links:
            ours_queued = state.orders[order_id]
            theirs_queued = venue.order_book.call("order", order_id)._asdict()
            theirs_queued.pop("slot")
            mine_queued = vars(ours_queued) | {"previous": previous, "next": following}
            same(f"order {order_id}", mine_queued, theirs_queued)
    same("last order", state.last_order_id, venue.order_book.call("last_order_id"))
    same("reporters", state.reporters, _list(venue.oracle, "reporters"))
    for (role, getter, *where), value in state.parameters.items():
        same(f"{role}.{getter}{tuple(where)}", value, venue.contracts[role].call(getter, *where))
    _compare_vault(state, venue, same)
    return found


_Same = Callable[[str, Any, Any], None]


def _compare_terms(state: State, venue: Venue, market: int, same: _Same) -> None:
    """Everything that the governor keeps of a market, and its settlement."""
    house, name = venue.clearinghouse, f"market {market}"
    symbol, decimals = state.symbols[market]
    price, account, index = state.settled.get(market, (0, 0, 0))
    ours = {
        "symbol": symbol,
        "size_decimals": decimals,
        "max_leverage": state.tiers[market][0][1],
        **state.terms[market],
        "halted": state.halted.get(market, False),
        "settled": market in state.settled,
        "settlement": price,
    }
    same(f"{name} terms", ours, venue.governor.call("market", market)._asdict())
    tiers = [(tier.bound, tier.leverage) for tier in venue.governor.call("tiers", market)]
    same(f"{name} tiers", state.tiers[market], tiers)
    same(f"{name} settlement account", account, house.call("settlement_account", market))
    same(f"{name} settlement index", index, house.call("settlement_index", market))
    fence = venue.vault.call("ring_fence", market)
    free = 10**6 - sum(state.fences.values())
    expected = (True, state.fences[market]) if market in state.fences else (False, free)
    same(f"{name} fence", expected, tuple(fence))


def _compare_vault(state: State, venue: Venue, same: _Same) -> None:
    """Shares, what is locked of them, and the token's own balances."""
    supply = 0
    for owner, shares in state.shares.items():
        if int(owner, 16):
            supply += shares
            same(f"shares of {owner}", shares, venue.vault.call("balanceOf", owner))
    same("supply of shares", supply, venue.vault.call("totalSupply"))
    for owner, locked in state.locked.items():
        request = venue.vault.call("exit_request", owner)
        same(f"locked shares of {owner}", locked, request.matured + request.pending)
    for owner, amount in state.tokens.items():
        if int(owner, 16):
            same(f"tokens of {owner}", amount, venue.usdc.call("balanceOf", owner))


def _list(contract: Contract, getter: str) -> list[Any]:
    """A public list has a getter by place, which reverts beyond its end."""
    out: list[Any] = []
    with suppress(Reverted):
        while True:
            out.append(contract.call(getter, len(out)))
    return out
