"""The venue's rules in plain Python, integer for integer: the reference the contracts are tested
against.

Owns a whole venue in memory: oracle, ledger, margin, order book, governor, insurance, and the part
of the liquidator that ends without auto-deleveraging. Reads no chain and sends nothing. Every
operation has the name, the order of arguments and the order of checks of the contract's method,
with the caller put first; `Venue.transact` runs one, and a refused one leaves no trace.

    size      signed lots, long > 0           price, mark   ticks
    money     micro-USDC; lots * ticks = micro-USDC, exactly
    index     funding paid so far by one lot long, 10^-9 micro-USDC
    rates     fees, bands, steps, shares in parts per million; premiums and funding in 10^-9

Division is written out each time: `truncate` toward zero as the EVM does, `ceil_div` against
whoever owes. A bare // is only used where nothing can be negative.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from breakwater.model import waterfall

K = TypeVar("K")
V = TypeVar("V")

PPM: Final = 10**6
SCALE: Final = 10**9
HOUR: Final = 3600
DAY: Final = 86_400
MAX_TICK: Final = 2**24 - 1
MAX_LOTS: Final = 2**54
"""Lots of one order, of one position, and of open interest, at most."""
MAX_DEPOSIT: Final = 2**80
MAX_MARKETS: Final = 64
MAX_LEGS: Final = 8
MAX_TIERS: Final = 5
MAX_STEPS: Final = 64
"""Resting orders that one call meets at most, filled or not."""
MAX_PASSED: Final = 512
"""Waiting orders that one call passes at most, besides."""
MAX_MIN_NOTIONAL: Final = 1_000 * 10**6
MAX_SETTLEMENT_RATIO: Final = 2
TIERS_DELAY: Final = 86_400
MAX_LIQUIDATION_STEPS: Final = 256
FIRST_PART: Final = 5
MAX_LIMIT: Final = 2**100
MAX_LIQUIDATION_FEE: Final = 10_000
MAX_REWARD: Final = 10**7
MAX_OPEN_ORDERS: Final = 128
MAX_REPORTERS: Final = 9
MAX_LEVERAGE: Final = 100
MAX_FEE: Final = 10_000
CAP_BAND: Final = 10_000
MIN_STEP: Final = 100
EMA_ONE: Final = 10**6
EMA_SECONDS: Final = 150
MAX_SAMPLE_SECONDS: Final = 60
MAX_SAMPLE_AGE: Final = 120
MAX_DISTANCE: Final = 10**4
MAX_PREMIUM: Final = 10**7
INTEREST: Final = 10**5
FUNDING_CLAMP: Final = 5 * 10**5
HOURLY_CAP: Final = 4 * 10**7

GOOD_TILL_CANCELLED: Final = 0
IMMEDIATE_OR_CANCEL: Final = 1
POST_ONLY: Final = 2

TRADER: Final = 1
VAULT: Final = 2
TRANCHE: Final = 4
ESTATE: Final = 8

# Why an order left the book without a fill, or why a taker's rest did not rest.
BY_OWNER: Final = 1
VOID: Final = 2
SELF_TRADE: Final = 4
MAKER_MARGIN: Final = 8
IMMEDIATE: Final = 16
STEPS: Final = 32
PRICE_BAND: Final = 64
REDUCE_ONLY: Final = 128
WAITING_MAKERS: Final = 256

STALE: Final = "oracle: stale price"
HALTED: Final = "clearinghouse: market halted"
REDUCE_ONLY_NOW: Final = "clearinghouse: reduce only, a loss is uninsured"
BEYOND: Final = "margin: withdrawal beyond free margin"
UNLIMITED: Final = 2**256 - 1
NOBODY: Final = ""


class Refused(Exception):
    """The venue refuses the operation for `reason`, the contract's own words; nothing changed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotModelledError(Exception):
    """The operation would open an ADL round, which this model does not know; nothing changed."""


def require(holds: bool, reason: str) -> None:
    """Raises Refused(reason) unless `holds`."""
    if not holds:
        raise Refused(reason)


# --- Arithmetic ----------------------------------------------------------------------------------


def truncate(amount: int, divisor: int) -> int:
    """amount / divisor, rounded toward zero: how the EVM divides. `divisor` is above 0."""
    return amount // divisor if amount >= 0 else -(-amount // divisor)


def ceil_div(amount: int, divisor: int) -> int:
    """amount / divisor, rounded up (toward plus infinity). `divisor` is above 0."""
    return -(-amount // divisor)


def median_of_three(a: int, b: int, c: int) -> int:
    """The middle one of three."""
    return sorted((a, b, c))[1]


def median(numbers: Sequence[int]) -> int:
    """The middle one; of an even count the mean of the two in the middle, rounded down."""
    ranked = sorted(numbers)
    half = len(ranked) // 2
    if len(ranked) % 2 == 1:
        return ranked[half]
    return (ranked[half - 1] + ranked[half]) // 2


def funding_per_eight_hours(premium: int) -> int:
    """premium + clamp(0.01% - premium, -0.05%, 0.05%), parts of 10^9; above 0 longs pay."""
    return premium + max(-FUNDING_CLAMP, min(FUNDING_CLAMP, INTEREST - premium))


def funding_per_hour(premium: int) -> int:
    """An eighth of the rate for 8 hours, truncated toward zero, at most 4% either way."""
    return max(-HOURLY_CAP, min(HOURLY_CAP, truncate(funding_per_eight_hours(premium), 8)))


def edge_of_band(mark: int, is_buy: bool, band: int) -> int:
    """The worst price within `band` ppm of the mark, ticks, rounded toward the mark."""
    if is_buy:
        return mark * (PPM + band) // PPM
    return ceil_div(mark * (PPM - band), PPM)


def closable(position: int, is_buy: bool) -> int:
    """Lots that an order of this side can close of a position of signed lots."""
    return abs(position) if position != 0 and (position < 0) == is_buy else 0


# --- State that can be taken back ----------------------------------------------------------------

_ABSENT: Final = object()


class Journal:
    """What was there before each change of the operation at work, so that it can be undone."""

    def __init__(self) -> None:
        self._before: list[tuple[dict[Any, Any], Any, Any]] = []

    def note(self, mapping: dict[Any, Any], key: Any) -> None:
        """Remembers the entry, or its absence, before it changes."""
        self._before.append((mapping, key, mapping.get(key, _ABSENT)))

    def commit(self) -> None:
        """Lets the changes stand."""
        self._before.clear()

    def roll_back(self) -> None:
        """Undoes every change since the last commit, last one first."""
        while self._before:
            mapping, key, value = self._before.pop()
            if value is _ABSENT:
                dict.__delitem__(mapping, key)
            else:
                dict.__setitem__(mapping, key, value)


class Table(dict[K, V], Generic[K, V]):
    """A mapping whose changes are journaled; what was never set reads as `default`.

    Its values are immutable: a change replaces the value.
    """

    def __init__(self, journal: Journal, default: V) -> None:
        super().__init__()
        self._journal = journal
        self._default = default

    def __missing__(self, key: K) -> V:
        return self._default

    def __setitem__(self, key: K, value: V) -> None:
        self._journal.note(self, key)
        super().__setitem__(key, value)

    def __delitem__(self, key: K) -> None:
        self._journal.note(self, key)
        super().__delitem__(key)


class Part:
    """One contract of the venue. Its attributes hold immutable values or tables, all journaled."""

    venue: Venue

    def __init__(self, venue: Venue) -> None:
        self.__dict__["venue"] = venue

    def __setattr__(self, name: str, value: object) -> None:
        self.venue.journal.note(self.__dict__, name)
        self.__dict__[name] = value

    def table(self, default: V) -> Table[Any, V]:
        """A new journaled table."""
        return Table(self.venue.journal, default)

    def log(self, name: str, **values: int) -> None:
        """An event of the contract, its values in the order of the declaration."""
        self.venue.events.append((name, tuple(values.values())))


class Owned(Part):
    """A part with one owner, from the start its deployer."""

    owner: str

    def require_owner(self, sender: str) -> None:
        require(sender == self.owner, "ownable: caller is not the owner")


# --- Records -------------------------------------------------------------------------------------


class Tier(NamedTuple):
    """Margin above `bound` micro-USDC of notional; `deduction` micro-USDC, rounded down."""

    bound: int
    leverage: int
    deduction: int


class Terms(NamedTuple):
    """What a market's fills and margin checks go by."""

    settlement: int = 0
    halted: bool = False
    settled: bool = False
    tiers: tuple[Tier, ...] = ()
    taker_fee: int = 0
    maker_fee: int = 0
    band: int = 0
    min_notional: int = 0
    cap: int = 0

    @property
    def leverage(self) -> int:
        """Maximum leverage: the first tier's."""
        return self.tiers[0].leverage


class Account(NamedTuple):
    """`isolated` is a market + 1, 0 for a cross account; `active` has bit m set while the account
    has a position in market m."""

    owner: str = NOBODY
    kind: int = 0
    isolated: int = 0
    active: int = 0

    @property
    def markets(self) -> list[int]:
        """Ids of the markets with a position, rising."""
        found, left = [], self.active
        while left:
            found.append((left & -left).bit_length() - 1)
            left &= left - 1
        return found


class Position(NamedTuple):
    """Signed lots, signed micro-USDC, index when settled last, the owner's leverage (0: none)."""

    size: int = 0
    quote: int = 0
    settled_at: int = 0
    leverage: int = 0


class Margin(NamedTuple):
    """Of one account at the current marks, micro-USDC; `equity` is signed."""

    equity: int
    initial: int
    maintenance: int
    notional: int
    is_fresh: bool


class Order(NamedTuple):
    """A resting order. It is void once the account's nonce is above `nonce`."""

    account: int
    market: int
    is_buy: bool
    price: int
    size: int
    nonce: int
    slot: int
    reduce_only: bool


class Quotes(NamedTuple):
    """Ticks; 0 where there is none."""

    best_bid: int
    best_ask: int
    last_trade: int
    impact_bid: int
    impact_ask: int


class Price(NamedTuple):
    """Oracle price, mark and previous mark in ticks, time of the quorum-th newest report behind it,
    funding index; staleness in seconds, the epoch that priced it last, the last hour settled."""

    oracle: int
    mark: int
    previous: int
    priced_at: int
    funding: int
    stale_after: int
    epoch: int
    hour: int


class Reading(NamedTuple):
    """What a margin check needs of the oracle."""

    mark: int
    is_fresh: bool
    funding: int


class Sample(NamedTuple):
    """Last sample of a book: its time, middle (ticks; 0: one-sided), EMA of impact mid - oracle
    (10^-6 ticks), premium * seconds and seconds since the last funding."""

    at: int = 0
    middle: int = 0
    ema: int = 0
    premium: int = 0
    seconds: int = 0


# --- Money ---------------------------------------------------------------------------------------


class Token(Part):
    """The venue's money: balances in micro-USDC. Everybody allows everything."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self.balance: Table[str, int] = self.table(0)

    def mint(self, sender: str, to: str, amount: int) -> None:
        """Creates test money."""
        self.balance[to] += amount

    def move(self, source: str, to: str, amount: int) -> None:
        """A transfer. Refused beyond the balance."""
        require(self.balance[source] >= amount, "usdc: balance too low")
        self.balance[source] -= amount
        self.balance[to] += amount


class Ledger(Part):
    """Accounts, positions and money, and the two primitives that move them.

    I1   held == sum(cash + quotes) + fees + sum(pool) - uninsured
    I2   in each market sum(size) == 0, and size == 0 implies quote == 0
    I3   in each market pool * 10^9 == dust - sum(size * (index - index when settled))
    """

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self.held = 0
        self.uninsured = 0
        self.fees = 0
        self.account_count = 0
        self.cash: Table[int, int] = self.table(0)
        self.accounts: Table[int, Account] = self.table(Account())
        self.positions: Table[tuple[int, int], Position] = self.table(Position())
        self.pool: Table[int, int] = self.table(0)
        self.dust: Table[int, int] = self.table(0)
        self.open_interest: Table[int, int] = self.table(0)
        # Traders with a position, by market and side (True: long), in the contract's order.
        self.holders: Table[tuple[int, bool], tuple[int, ...]] = self.table(())

    def exchange(
        self, market: int, index: int, buyer: int, seller: int, size: int, quote: int
    ) -> None:
        """`buyer` gets `size` lots and pays `quote`, `seller` the reverse: the same integers."""
        require(buyer != seller, "ledger: exchange with itself")
        require(size != 0, "ledger: exchange of nothing")
        longs = self._apply(market, index, buyer, size, -quote)
        longs += self._apply(market, index, seller, -size, quote)
        if longs != 0:
            self.open_interest[market] += longs
        self.log("Exchanged", market=market, buyer=buyer, seller=seller, size=size, quote=quote)

    def transfer_cash(self, source: int, to: int, amount: int) -> None:
        """`source` pays `to`."""
        require(source != to, "ledger: transfer to itself")
        self.cash[source] -= amount
        self.cash[to] += amount
        self.log(
            "CashMoved",
            source=source,
            to=to,
            amount=amount,
            source_cash=self.cash[source],
            to_cash=self.cash[to],
        )

    def _apply(self, market: int, index: int, account: int, size: int, quote: int) -> int:
        """One side of an exchange; returns by how many lots the account's long side grew.

        Funding settles first. A partial close releases the quote in proportion to the size, a
        flip closes with its share of `quote` and opens the rest; each truncated once.
        """
        position = self.positions[account, market]
        before, after = position.size, position.size + size
        cash = self.cash[account] - self._settle(market, index, account, position)
        if before == 0 or (before > 0) == (size > 0):
            realised, left = 0, position.quote + quote
        elif abs(size) < abs(before):
            released = truncate(position.quote * abs(size), abs(before))
            realised, left = released + quote, position.quote - released
        else:
            closing = truncate(quote * abs(before), abs(size))
            realised, left = position.quote + closing, quote - closing
        if _sign(before) != _sign(after):
            self._refile(market, account, before, after)
        position = Position(after, left, index if after != 0 else 0, position.leverage)
        self.positions[account, market] = position
        self.cash[account] = cash + realised
        self._log_position(account, market, realised)
        return max(after, 0) - max(before, 0)

    def _settle(self, market: int, index: int, account: int, position: Position) -> int:
        """Moves what the position owes of funding into the pool; returns it (below 0: receives)."""
        if position.size * (index - position.settled_at) == 0:
            return 0
        paid = funding_owed(position, index)
        self.pool[market] += paid
        self.dust[market] += paid * SCALE - position.size * (index - position.settled_at)
        self.log(
            "FundingSettled",
            account=account,
            market=market,
            funding_index=index,
            paid=paid,
            cash=self.cash[account] - paid,
        )
        return paid

    def _refile(self, market: int, account: int, before: int, after: int) -> None:
        """Keeps the account's set of markets and the lists of holders (of traders only)."""
        whose = self.accounts[account]
        if after == 0:
            self.accounts[account] = whose._replace(active=whose.active & ~(1 << market))
        elif before == 0:
            self.accounts[account] = whose._replace(active=whose.active | 1 << market)
        if whose.kind != TRADER:
            return
        if before != 0:
            # The last one moves up into the gap.
            *others, last = self.holders[market, before > 0]
            self.holders[market, before > 0] = tuple(
                last if holder == account else holder for holder in others
            )
        if after != 0:
            self.holders[market, after > 0] += (account,)

    def set_leverage(self, market: int, account: int, leverage: int) -> None:
        """The owner's own limit; moves nothing."""
        position = self.positions[account, market]
        self.positions[account, market] = position._replace(leverage=leverage)
        self._log_position(account, market, 0)

    def _log_position(self, account: int, market: int, realised: int) -> None:
        position = self.positions[account, market]
        self.log(
            "PositionChanged",
            account=account,
            market=market,
            size=position.size,
            quote=position.quote,
            cash=self.cash[account],
            realised=realised,
            funding_index=position.settled_at,
            leverage=position.leverage,
        )

    def charge_fee(self, account: int, amount: int) -> None:
        """A fee waits in `fees` until it is swept."""
        if amount == 0:
            return
        self.cash[account] -= amount
        self.fees += amount
        self.log("FeeCharged", account=account, amount=amount, cash=self.cash[account])

    def pay_out_fees(self, account: int, amount: int) -> None:
        """Swept fees become an account's cash."""
        self.fees -= amount
        self.cash[account] += amount

    def spend_fees(self, amount: int) -> None:
        """Fees repay uninsured loss."""
        self.fees -= amount
        self.uninsured -= amount

    def open_account(self, owner: str, kind: int, isolated: int = 0) -> int:
        """The next account id; ids start at 1."""
        self.account_count += 1
        self.accounts[self.account_count] = Account(owner, kind, isolated)
        return self.account_count

    def credit(self, account: int, amount: int) -> None:
        """Money from outside."""
        self.held += amount
        self.cash[account] += amount

    def debit(self, account: int, amount: int, paid: int) -> None:
        """The account gives up `amount`, `paid` leaves; the rest shrinks the uninsured loss."""
        self.cash[account] -= amount
        self.held -= paid
        self.uninsured -= amount - paid

    def write_off(self, account: int, amount: int) -> None:
        """The account's loss becomes the venue's."""
        self.cash[account] += amount
        self.uninsured += amount
        self.log(
            "WrittenOff",
            account=account,
            amount=amount,
            cash=self.cash[account],
            uninsured=self.uninsured,
        )

    def recover(self, account: int, amount: int) -> None:
        """The reverse of a write-off."""
        self.cash[account] -= amount
        self.uninsured -= amount
        self.log(
            "Recovered",
            account=account,
            amount=amount,
            cash=self.cash[account],
            uninsured=self.uninsured,
        )

    def repay(self, amount: int) -> None:
        """Money from outside that covers uninsured loss."""
        self.held += amount
        self.uninsured -= amount


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def funding_owed(position: Position, index: int) -> int:
    """Micro-USDC that a position owes at `index` (below 0: is owed), rounded up: against payer and
    receiver alike, so that the pool never falls short."""
    return ceil_div(position.size * (index - position.settled_at), SCALE)


# --- Prices --------------------------------------------------------------------------------------


class Oracle(Owned):
    """Reports, epochs, marks, samples of the books and the funding index."""

    def __init__(self, venue: Venue, min_interval: int, stale_after: int, max_step: int) -> None:
        super().__init__(venue)
        self.owner = venue.owner
        self.epoch = 0
        self.updated_at = 0
        self.quorum = 1
        self.reporters: tuple[str, ...] = ()
        self.prices: Table[int, Price] = self.table(Price(*[0] * 8))
        self.samples: Table[int, Sample] = self.table(Sample())
        self.reports: Table[tuple[str, int], tuple[int, int, int]] = self.table((0, 0, 0))
        """Price, time and number of the last epoch before it, by reporter and market."""
        self.market_stale_after: Table[int, int] = self.table(0)
        self.impact_notional: Table[int, int] = self.table(0)
        self._set_parameters(min_interval, stale_after, max_step)

    @property
    def market_count(self) -> int:
        return len(self.prices)

    def set_reporter(self, sender: str, reporter: str, allowed: bool) -> None:
        """Lets an address report, or no longer; at most 9, and at least the quorum or none."""
        self.require_owner(sender)
        kept = tuple(known for known in self.reporters if known != reporter)
        if allowed:
            require(len(kept) < MAX_REPORTERS, "oracle: too many reporters")
            kept += (reporter,)
        else:
            few = "oracle: fewer reporters than the quorum"
            require(not kept or len(kept) >= self.quorum, few)
            for market in range(self.market_count):
                self.reports[reporter, market] = (0, 0, 0)
        self.reporters = kept

    def set_quorum(self, sender: str, quorum: int) -> None:
        """New reports that a price needs, at least 1, as many as there are reporters at most."""
        self.require_owner(sender)
        require(1 <= quorum <= len(self.reporters), "oracle: quorum out of range")
        for market in range(self.market_count):
            self._accrue_now(market)
        self.quorum = quorum

    def set_parameters(
        self, sender: str, min_interval: int, stale_after: int, max_step: int
    ) -> None:
        """Seconds between epochs, seconds until stale, ppm of the mark an epoch, below every
        market's maintenance rate (0: no limit)."""
        self.require_owner(sender)
        self._set_parameters(min_interval, stale_after, max_step)

    def _set_parameters(self, min_interval: int, stale_after: int, max_step: int) -> None:
        require(min_interval != 0, "oracle: no interval between updates")
        require(stale_after > min_interval, "oracle: stale before the next update")
        require(stale_after <= DAY, "oracle: staleness above a day")
        require(max_step <= PPM, "oracle: step above 100%")
        require(max_step == 0 or max_step >= MIN_STEP, "oracle: step below 0.01%")
        self.min_interval = min_interval
        self.stale_after = stale_after
        self.max_step = max_step
        for market in range(self.market_count):
            tiers = self.venue.clearinghouse.terms[market].tiers
            leverage = tiers[0].leverage if tiers else 0
            require(2 * leverage * max_step < PPM, "oracle: step not below maintenance")
            self._restamp(market)

    def set_market_staleness(self, sender: str, market: int, stale_after: int) -> None:
        """Seconds until this market's price is stale; 0 for the general rule."""
        self.require_owner(sender)
        self._require_market(market)
        require(stale_after <= DAY, "oracle: staleness above a day")
        self.market_stale_after[market] = stale_after
        self._restamp(market)

    def set_impact_notional(self, sender: str, market: int, notional: int) -> None:
        """Depth at which impact prices are read, micro-USDC."""
        self.require_owner(sender)
        self._require_market(market)
        require(0 < notional < 2**80, "oracle: impact notional out of range")
        self._accrue_now(market)
        self.impact_notional[market] = notional

    def add_market(self, sender: str, price: int) -> int:
        """Starts the prices of the next market id at `price` ticks."""
        self.require_owner(sender)
        market = self.market_count
        require(market < MAX_MARKETS, "oracle: too many markets")
        require(1 <= price <= MAX_TICK, "oracle: price out of range")
        now = self.venue.now
        self.prices[market] = Price(
            price, price, price, now, 0, self.stale_after, self.epoch, now // HOUR
        )
        self.impact_notional[market] = 6_000 * 10**6
        if market == 0:
            self.updated_at = now
        self._log_price(market, True)
        return market

    def report(self, sender: str, prices: Sequence[int]) -> None:
        """One price in ticks a market; 0: none."""
        require(sender in self.reporters, "oracle: not a reporter")
        require(len(prices) == self.market_count, "oracle: one price per market")
        for market, price in enumerate(prices):
            require(price <= MAX_TICK, "oracle: price out of range")
            self.reports[sender, market] = (price, self.venue.now, self.epoch)

    def poke(self, sender: str) -> None:
        """The next epoch, from what was reported."""
        require(self._poke(), "oracle: no new report")

    def update(self, sender: str, prices: Sequence[int]) -> None:
        """Report, and the next epoch if that completes a quorum."""
        self.report(sender, prices)
        self._poke()

    def _poke(self) -> bool:
        """Whether an epoch began: a market has news."""
        now = self.venue.now
        require(now >= self.updated_at + self.min_interval, "oracle: too soon")
        news = [self._reported(market) for market in range(self.market_count)]
        if not any(price for price, _ in news):
            return False
        self.epoch += 1
        self.updated_at = now
        for market, (price, at) in enumerate(news):
            self._begin_epoch(market, price, at)
        return True

    def _begin_epoch(self, market: int, reported: int, at: int) -> None:
        """Funding of at most one hour by the price before, then price and mark. A market without
        news keeps them; one whose price was stale as the hour ended accrues no funding."""
        price = self._accrue(market, self.prices[market])
        if reported:
            mark = self._stepped(price.mark, self._target(market, reported))
            price = price._replace(oracle=reported, priced_at=at, epoch=self.epoch)
            price = price._replace(previous=price.mark, mark=mark)
        self.prices[market] = price
        self._log_price(market, reported != 0)

    def _log_price(self, market: int, fresh: bool) -> None:
        price = self.prices[market]
        self.log(
            "PriceUpdated",
            epoch=self.epoch,
            market=market,
            oracle_price=price.oracle,
            mark=price.mark,
            previous_mark=price.previous,
            fresh=fresh,
            funding_index=price.funding,
        )

    def _reported(self, market: int) -> tuple[int, int]:
        """Median of the fresh reports, ticks, and the time of the quorum-th newest; zeros if fewer
        than the quorum were made since the market was priced last."""
        fresh, times, news = [], [], 0
        known = self.prices[market]
        for reporter in self.reporters:
            price, at, epoch = self.reports[reporter, market]
            if price != 0 and self.venue.now <= at + known.stale_after:
                fresh.append(price)
                times.append(at)
                news += epoch >= known.epoch
        if news < self.quorum:
            return 0, 0
        return median(fresh), sorted(times, reverse=True)[self.quorum - 1]

    def _target(self, market: int, oracle_price: int) -> int:
        """Where the mark ought to be: the median of three, or the oracle price alone while the
        book was one-sided or unseen for two minutes. Ticks; the EMA is truncated to them."""
        sample = self.samples[market]
        if sample.middle == 0 or self.venue.now > sample.at + MAX_SAMPLE_AGE:
            return oracle_price
        drifted = oracle_price + truncate(sample.ema, EMA_ONE)
        return median_of_three(max(1, min(drifted, MAX_TICK)), sample.middle, oracle_price)

    def _stepped(self, mark: int, target: int) -> int:
        """`target`, or as far toward it as one epoch may go: rounded down, at least a tick."""
        if self.max_step == 0:
            return target
        step = max(1, mark * self.max_step // PPM)
        return min(target, mark + step) if target > mark else max(target, mark - step, 1)

    def with_due(self, market: int) -> Price:
        """As stored, with the funding that is due: if an hour has ended since the last time and the
        price was fresh when the first one did, one hour's per lot long, 10^-9 micro-USDC, oracle
        price * hourly rate."""
        price = self.prices[market]
        hour = self.venue.now // HOUR
        if hour == price.hour:
            return price
        if self._was_fresh(price):
            rate = funding_per_hour(self._mean_premium(market))
            price = price._replace(funding=price.funding + price.oracle * rate)
        return price._replace(hour=hour)

    def _was_fresh(self, price: Price) -> bool:
        """Whether it was fresh when the first hour ended that did not accrue yet."""
        return (price.hour + 1) * HOUR <= price.priced_at + price.stale_after

    def _accrue(self, market: int, price: Price) -> Price:
        """What is due, written down; a new hour of samples begins."""
        accrued = self.with_due(market)
        if accrued.hour == price.hour:
            return price
        if self._was_fresh(price):
            premium = self._mean_premium(market)
            self.log(
                "FundingAccrued",
                market=market,
                premium=premium,
                rate=funding_per_hour(premium),
                funding_index=accrued.funding,
            )
        else:
            self.log("FundingForgone", market=market)
        self.samples[market] = self.samples[market]._replace(premium=0, seconds=0)
        return accrued

    def _accrue_now(self, market: int) -> None:
        """What is due, before something changes that it follows from."""
        self.prices[market] = self._accrue(market, self.prices[market])

    def _restamp(self, market: int) -> None:
        """The staleness that applies, after the funding that is due."""
        stale_after = self.market_stale_after[market] or self.stale_after
        require(stale_after > self.min_interval, "oracle: stale before the next update")
        self._accrue_now(market)
        self.prices[market] = self.prices[market]._replace(stale_after=stale_after)

    def _mean_premium(self, market: int) -> int:
        """Mean over the seconds sampled since the last hour, truncated; 0 if there were none."""
        sample = self.samples[market]
        return truncate(sample.premium, sample.seconds) if sample.seconds else 0

    def expected_rate(self, market: int) -> int:
        """The hourly rate if the hour ended now, parts of 10^9; above 0 longs pay. Samples of an
        hour that has ended say nothing about the next one."""
        if self.with_due(market).hour != self.prices[market].hour:
            return funding_per_hour(0)
        return funding_per_hour(self._mean_premium(market))

    def sample(self, sender: str, market: int) -> None:
        """Reads one book. It stands for the seconds since the last sample, at most 60; the first
        one stands for none. What it says counts up to 1% of the oracle price."""
        self._require_market(market)
        self._accrue_now(market)
        sample, price = self.samples[market], self.prices[market].oracle
        require(self.venue.now > sample.at, "oracle: sampled already")
        quotes = self.venue.order_book.quotes(market, self.impact_notional[market])
        elapsed = min(self.venue.now - sample.at, MAX_SAMPLE_SECONDS) if sample.at else 0
        premium = max(-MAX_PREMIUM, min(impact_premium(quotes, price), MAX_PREMIUM))
        sample = Sample(
            at=self.venue.now,
            middle=book_middle(quotes),
            ema=self._next_ema(sample.ema, quotes, price, elapsed),
            premium=sample.premium + premium * elapsed,
            seconds=sample.seconds + elapsed,
        )
        self.samples[market] = sample
        self.log(
            "Sampled",
            market=market,
            middle=sample.middle,
            impact_bid=quotes.impact_bid,
            impact_ask=quotes.impact_ask,
            premium=premium,
            ema=sample.ema,
            premium_sum=sample.premium,
            seconds=sample.seconds,
            at=sample.at,
        )

    def _next_ema(self, ema: int, quotes: Quotes, price: int, elapsed: int) -> int:
        """Moves by dt / (dt + 150 s) of the way, truncated; stays if the book is not that deep."""
        if not (quotes.impact_bid and quotes.impact_ask):
            return ema
        middle = (quotes.impact_bid + quotes.impact_ask) * EMA_ONE // 2
        limit = price * MAX_DISTANCE
        distance = max(-limit, min(middle - price * EMA_ONE, limit))
        return ema + truncate((distance - ema) * elapsed, elapsed + EMA_SECONDS)

    def read(self, market: int) -> Reading:
        """Mark, freshness and index, with the funding that is due."""
        price = self.with_due(market)
        return Reading(price.mark, self._is_fresh(market), price.funding)

    def is_coarse(self, market: int) -> bool:
        """Whether one tick is more than the step limit of the mark."""
        return self.max_step > 0 and self.read(market).mark * self.max_step < PPM

    def _is_fresh(self, market: int) -> bool:
        price = self.prices[market]
        return self.venue.now <= price.priced_at + price.stale_after

    def _require_market(self, market: int) -> None:
        require(market < self.market_count, "oracle: unknown market")


def impact_premium(quotes: Quotes, price: int) -> int:
    """How far the impact prices lie to one side of the oracle price, parts of 10^9 of it, rounded
    toward zero; 0 if it lies between them."""
    if quotes.impact_bid > price:
        return (quotes.impact_bid - price) * 10**9 // price
    if 0 < quotes.impact_ask < price:
        return -((price - quotes.impact_ask) * 10**9 // price)
    return 0


def book_middle(quotes: Quotes) -> int:
    """Median of best bid, best ask and last trade, ticks; 0 while the book is one-sided."""
    if not (quotes.best_bid and quotes.best_ask):
        return 0
    return median_of_three(quotes.best_bid, quotes.best_ask, quotes.last_trade or quotes.best_bid)


# --- Accounts and margin -------------------------------------------------------------------------


class Clearinghouse(Part):
    """Who may ask the ledger for what, and when margin allows it."""

    FILLED: Final = 0
    MAKER_REFUSED: Final = 1
    SAME_OWNER: Final = 2
    MAKER_WAITS: Final = 3
    CAPPED: Final = 4

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self.terms: Table[int, Terms] = self.table(Terms())
        self.estates: Table[tuple[int, bool], int] = self.table(0)
        self.settlement_account: Table[int, int] = self.table(0)
        self.settlement_index: Table[int, int] = self.table(0)
        # From settlement until the last position is closed; nobody withdraws until then.
        self.settling: Table[int, bool] = self.table(False)
        self.vault_share = PPM
        self.treasury = 0
        self.vault_account = venue.ledger.open_account(venue.vault_address, VAULT)
        self.tranche_account = venue.ledger.open_account(venue.vault_address, TRANCHE)

    @property
    def market_count(self) -> int:
        return len(self.terms)

    # Accounts and money

    def open_account(self, sender: str) -> int:
        """A cross account of the caller's."""
        return self.venue.ledger.open_account(sender, TRADER)

    def open_isolated_account(self, sender: str, market: int) -> int:
        """An account for positions in this market only."""
        self._require_market(market)
        return self.venue.ledger.open_account(sender, TRADER, isolated=market + 1)

    def deposit(self, sender: str, account: int, amount: int) -> None:
        """From the caller's wallet to any trader's account (the vault's own: the vault only)."""
        ledger = self.venue.ledger
        kind = ledger.accounts[account].kind
        require(
            kind == TRADER or (kind == VAULT and sender == self.venue.vault_address),
            "clearinghouse: unknown account",
        )
        require(0 < amount <= MAX_DEPOSIT, "clearinghouse: amount out of range")
        require(ledger.uninsured == 0, "clearinghouse: no deposits while a loss is uninsured")
        ledger.credit(account, amount)
        self.log("Deposited", account=account, amount=amount, cash=ledger.cash[account])
        self._pull(sender, amount)

    def withdraw(self, sender: str, account: int, amount: int) -> None:
        """To the caller. While a loss is uninsured, paid at the ratio of what is left, rounded
        down; the account gives up the whole amount."""
        ledger = self.venue.ledger
        self._require_free(sender, account, amount)
        paid = amount
        if ledger.uninsured != 0:
            claims = self.claims()
            paid = 0
            if claims > ledger.uninsured:
                paid = amount * (claims - ledger.uninsured) // claims
            # Nobody shares in more loss than there is, however few claims are left.
            paid = max(paid, amount - min(amount, ledger.uninsured))
        # Profit whose loser is not wound up yet is not there to be taken.
        require(paid <= ledger.held, BEYOND)
        ledger.debit(account, amount, paid)
        self.log(
            "Withdrawn",
            account=account,
            amount=amount,
            paid=paid,
            cash=ledger.cash[account],
            uninsured=ledger.uninsured,
        )
        self.venue.usdc.move(self.venue.house_address, sender, paid)

    def transfer(self, sender: str, source: int, to: int, amount: int) -> None:
        """Between two accounts of the caller's; what must remain is as for a withdrawal."""
        self._require_owner(sender, to)
        self._require_free(sender, source, amount)
        self.venue.ledger.transfer_cash(source, to, amount)

    def set_leverage(self, sender: str, account: int, market: int, leverage: int) -> None:
        """The owner's own limit, up to the market's; equity must meet the initial margin then."""
        self._require_owner(sender, account)
        self._require_market(market)
        require(leverage <= self.terms[market].leverage, "clearinghouse: leverage out of range")
        self.venue.ledger.set_leverage(market, account, leverage)
        margin = self.margin(account)
        require(
            margin.notional == 0 or margin.equity >= margin.initial, "margin: below initial margin"
        )

    def repay_uninsured(self, sender: str, amount: int) -> None:
        """Anyone may pay for loss that nobody paid."""
        ledger = self.venue.ledger
        require(0 < amount <= ledger.uninsured, "clearinghouse: amount out of range")
        ledger.repay(amount)
        self._pull(sender, amount)

    def sweep_fees(self, sender: str) -> None:
        """Uninsured loss first, then the vault's share (rounded down), the rest to the treasury."""
        ledger = self.venue.ledger
        repaid = min(ledger.fees, ledger.uninsured)
        ledger.spend_fees(repaid)
        left = ledger.fees
        to_vault = left if self.treasury == 0 else left * self.vault_share // PPM
        ledger.pay_out_fees(self.vault_account, to_vault)
        if left != to_vault:
            ledger.pay_out_fees(self.treasury, left - to_vault)
        self.log(
            "FeesSwept",
            repaid=repaid,
            to_vault=to_vault,
            to_treasury=left - to_vault,
            vault_cash=ledger.cash[self.vault_account],
            treasury_cash=ledger.cash[self.treasury],
            uninsured=ledger.uninsured,
        )

    def claims(self) -> int:
        """What all accounts together are owed, uninsured loss included, micro-USDC."""
        ledger = self.venue.ledger
        dust = sum(ledger.dust[market] for market in range(self.market_count))
        return ledger.held - ledger.fees - truncate(dust, SCALE) + ledger.uninsured

    # Fills

    def fill(
        self,
        market: int,
        taker: int,
        maker: int,
        taker_buys: bool,
        size: int,
        price: int,
        taker_is_liquidated: bool,
    ) -> int:
        """Trades if margin allows it. A taker who fails is refused; then a maker who fails is not
        filled. The liquidated side is exempt from margin check and fee. Fees are rounded up. CAPPED
        plus 256 * lots: as many the cap leaves, which both would pass."""
        ledger = self.venue.ledger
        if ledger.accounts[taker].owner == ledger.accounts[maker].owner:
            return self.SAME_OWNER
        terms = self.terms[market]
        already = ledger.open_interest[market]
        if already + size > terms.cap:
            room = max(terms.cap - already, 0)
            room += closable(ledger.positions[taker, market].size, taker_buys)
            room += closable(ledger.positions[maker, market].size, not taker_buys)
            if size > room:
                return self.CAPPED + 256 * room
        quote = size * price
        lots, money = (size, -quote) if taker_buys else (-size, quote)
        taker_fee = 0
        if not taker_is_liquidated:
            taker_fee = ceil_div(quote * terms.taker_fee, PPM)
            refusal = self.refusal(market, taker, lots, money - taker_fee)
            require(not refusal, refusal)
        maker_fee = ceil_div(quote * terms.maker_fee, PPM)
        refusal = self.refusal(market, maker, -lots, -money - maker_fee)
        if refusal:
            stale = refusal == STALE and not self.venue.oracle._is_fresh(market)
            waits = stale or refusal in (HALTED, REDUCE_ONLY_NOW)
            return self.MAKER_WAITS if waits else self.MAKER_REFUSED
        ledger.charge_fee(taker, taker_fee)
        ledger.charge_fee(maker, maker_fee)
        buyer, seller = (taker, maker) if taker_buys else (maker, taker)
        self.exchange(market, buyer, seller, size, quote)
        return self.FILLED

    def exchange(self, market: int, buyer: int, seller: int, size: int, quote: int) -> None:
        """The ledger's primitive at the market's index of this moment."""
        ledger = self.venue.ledger
        ledger.exchange(market, self.read(market).funding, buyer, seller, size, quote)
        if ledger.open_interest[market] == 0:
            self.settling[market] = False

    def refusal(self, market: int, account: int, size: int, quote: int) -> str:
        """Why the account may not take `size` lots for `quote` (both signed, fee included); empty
        if it may.

        What adds risk (a flip does) must meet initial margin afterwards, at a fresh mark. What only
        reduces must end solvent and with a margin ratio no worse than before, or meet initial
        margin all the same.
        """
        ledger = self.venue.ledger
        whose = ledger.accounts[account]
        if whose.isolated not in (0, market + 1):
            return "margin: account is isolated"
        position = ledger.positions[account, market]
        before, after = position.size, position.size + size
        margin = self.margin(account)
        mark, is_fresh, _ = self.read(market)
        equity = margin.equity + size * mark + quote
        initial = margin.initial + self._leg_initial(market, after, mark, position.leverage)
        initial -= self._leg_initial(market, before, mark, position.leverage)
        if not (abs(after) < abs(before) and _sign(after) in (0, _sign(before))):
            if self.terms[market].halted:
                return HALTED
            if not (margin.is_fresh and is_fresh):
                return STALE
            if ledger.uninsured != 0:
                return REDUCE_ONLY_NOW
            if before == 0 and len(whose.markets) >= MAX_LEGS:
                return "margin: too many positions"
            return "" if equity >= initial else "margin: below initial margin"
        if equity >= initial and margin.is_fresh and is_fresh:
            return ""
        if equity < 0:
            return "margin: reducing would end below zero"
        maintenance = margin.maintenance + self.maintenance(market, abs(after) * mark)
        maintenance -= self.maintenance(market, abs(before) * mark)
        # equity / maintenance no worse than before, cross-multiplied.
        if equity * margin.maintenance < margin.equity * maintenance:
            return "margin: reducing would worsen the margin"
        return ""

    # Margin

    def transfer_cash(self, sender: str, source: int, to: int, amount: int) -> None:
        """The vault moves its own money; the waterfall's contracts ask the ledger directly."""
        require(self.venue.ledger.accounts[source].kind == VAULT, "clearinghouse: waterfall only")
        require(sender == self.venue.vault_address, "clearinghouse: vault only")
        self.venue.ledger.transfer_cash(source, to, amount)

    def margin(self, account: int) -> Margin:
        """Equity = cash + sum(size * mark + quote - funding owed); margins summed over the legs."""
        ledger = self.venue.ledger
        equity, is_fresh = ledger.cash[account], True
        initial = maintenance = notional = 0
        for market in ledger.accounts[account].markets:
            position = ledger.positions[account, market]
            mark, leg_is_fresh, index = self.read(market)
            equity += position.size * mark + position.quote - funding_owed(position, index)
            notional += abs(position.size) * mark
            maintenance += self.maintenance(market, abs(position.size) * mark)
            initial += self._leg_initial(market, position.size, mark, position.leverage)
            is_fresh = is_fresh and leg_is_fresh
        return Margin(equity, initial, maintenance, notional, is_fresh)

    def maintenance(self, market: int, notional: int) -> int:
        """notional / (2 * leverage) - deduction of the tier that it falls in, rounded up."""
        tiers = self.terms[market].tiers
        for tier in reversed(tiers[1:]):
            if notional > tier.bound:
                return ceil_div(notional, 2 * tier.leverage) - tier.deduction
        return ceil_div(notional, 2 * tiers[0].leverage)

    def _leg_initial(self, market: int, size: int, mark: int, leverage: int) -> int:
        """Twice maintenance, or notional / the owner's own leverage (rounded up) if more."""
        notional = abs(size) * mark
        twice = 2 * self.maintenance(market, notional)
        return twice if leverage == 0 else max(twice, ceil_div(notional, leverage))

    def read(self, market: int) -> Reading:
        """As the oracle's; a settled market has its settlement price and index, for ever fresh."""
        terms = self.terms[market]
        if terms.settled:
            return Reading(terms.settlement, True, self.settlement_index[market])
        return self.venue.oracle.read(market)

    # Checks

    def _require_free(self, sender: str, account: int, amount: int) -> None:
        """After the amount is gone, equity covers max(initial margin, a tenth of the notional)."""
        self._require_owner(sender, account)
        require(amount != 0, "clearinghouse: amount is zero")
        require(not any(self.settling.values()), "clearinghouse: settlement under way")
        margin = self.margin(account)
        require(margin.is_fresh, STALE)
        remaining = max(margin.initial, ceil_div(margin.notional, 10))
        require(amount < 2**127 and margin.equity >= amount + remaining, BEYOND)

    def _require_owner(self, sender: str, account: int) -> None:
        owner = self.venue.ledger.accounts[account].owner
        require(owner != NOBODY, "clearinghouse: unknown account")
        require(owner == sender, "clearinghouse: not your account")

    def _require_market(self, market: int) -> None:
        require(market < self.market_count, "clearinghouse: unknown market")

    def _pull(self, sender: str, amount: int) -> None:
        self.venue.usdc.move(sender, self.venue.house_address, amount)


# --- The order book ------------------------------------------------------------------------------


class Top(NamedTuple):
    """The first live order of a side (0: none); `more`: the steps ran out before one was found."""

    order_id: int
    steps: int
    more: bool


class OrderBook(Part):
    """Resting orders, best price first and oldest first within a price."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self.last_order_id = 0
        self.last_trade: Table[int, int] = self.table(0)
        self.orders: Table[int, Order] = self.table(Order(0, 0, False, 0, 0, 0, 0, False))
        self.nonces: Table[int, int] = self.table(0)
        # Bit s is set while place s of an account's 128 is taken, and by which order.
        self.taken: Table[int, int] = self.table(0)
        self.places: Table[tuple[int, int], int] = self.table(0)
        # How far a side was passed while the market took no risk: price (0: not at all), last id.
        self.passed: Table[tuple[int, bool], tuple[int, int]] = self.table((0, 0))
        # (market, is_buy) -> price -> ids in the order of time. Void orders count until they are
        # met, for the best price too.
        self._sides: dict[tuple[int, bool], Table[int, tuple[int, ...]]] = {}

    def side(self, market: int, is_buy: bool) -> Table[int, tuple[int, ...]]:
        """The price levels of one side."""
        if (market, is_buy) not in self._sides:
            self._sides[market, is_buy] = self.table(())
        return self._sides[market, is_buy]

    def place(
        self,
        sender: str,
        account: int,
        market: int,
        is_buy: bool,
        size: int,
        price: int,
        tif: int,
        reduce_only: bool = False,
    ) -> tuple[int, int]:
        """A limit order. Returns the id of what rests (0: nothing) and the lots filled."""
        require(1 <= price <= MAX_TICK, "book: price out of range")
        require(tif <= POST_ONLY, "book: unknown time in force")
        return self._place(sender, account, market, is_buy, size, price, tif, reduce_only)

    def place_market(
        self,
        sender: str,
        account: int,
        market: int,
        is_buy: bool,
        size: int,
        max_slippage: int,
        reduce_only: bool = False,
    ) -> int:
        """Immediate or cancel, at most `max_slippage` ppm worse than the mark, rounded toward the
        mark. Returns the lots filled."""
        require(max_slippage <= PPM, "book: slippage above 100%")
        price = edge_of_band(self.venue.clearinghouse.read(market).mark, is_buy, max_slippage)
        price = min(price, MAX_TICK) if is_buy else max(price, 1)
        return self._place(
            sender, account, market, is_buy, size, price, IMMEDIATE_OR_CANCEL, reduce_only
        )[1]

    def _place(
        self,
        sender: str,
        account: int,
        market: int,
        is_buy: bool,
        asked: int,
        price: int,
        tif: int,
        reduce_only: bool,
    ) -> tuple[int, int]:
        require(0 < asked <= MAX_LOTS, "book: size out of range")
        self._admit(sender, account, market)
        ledger, house = self.venue.ledger, self.venue.clearinghouse
        terms, reading = house.terms[market], house.read(market)
        coarse = self.venue.oracle.is_coarse(market)
        room = closable(ledger.positions[account, market].size, is_buy)
        capped = min(asked, room) if reduce_only else asked
        worst_price = self._worst_price(market, reading.mark, room, is_buy, capped, price)
        size = min(asked, room) if reduce_only else asked
        require(size != 0, "book: nothing to reduce")
        if size > room:
            require(not terms.halted, HALTED)
            require(ledger.uninsured == 0, REDUCE_ONLY_NOW)
            require(reading.is_fresh, STALE)
            require(not coarse, "oracle: reduce only, a tick is more than the step")
        # What trades at the market's price is worth the mark; an order that only reduces, or for
        # all of a position, is never too small.
        worth = size * min(price, reading.mark)
        if not is_buy:
            worth = size * (max(price, reading.mark) if tif == IMMEDIATE_OR_CANCEL else price)
        large = reduce_only or size == room or worth >= terms.min_notional
        require(large, "book: below minimum notional")
        limit = min(price, worst_price) if is_buy else max(price, worst_price)
        if tif == POST_ONLY:
            require(limit == price, "book: price beyond the band")
            if self._crosses(market, is_buy, price):
                self._purge(market, not is_buy, MAX_STEPS, unbacked=True)
            require(not self._crosses(market, is_buy, price), "book: post only would trade")
            return self._rest(account, market, is_buy, price, size, reduce_only), 0
        no_risk = terms.halted or ledger.uninsured != 0 or not reading.is_fresh or coarse
        left, ran_out = self._match(account, market, is_buy, size, limit, no_risk)
        filled = size - left
        if left == 0:
            return 0, filled
        if tif == IMMEDIATE_OR_CANCEL:
            return self._unfilled(account, market, left, IMMEDIATE), filled
        if no_risk and limit == price and self._crosses(market, is_buy, price):
            self._purge(market, not is_buy, MAX_STEPS, unbacked=False)
        if limit != price or self._crosses(market, is_buy, price):
            reason = WAITING_MAKERS if limit == price else PRICE_BAND
            if ran_out:
                reason = STEPS
            return self._unfilled(account, market, left, reason), filled
        return self._rest(account, market, is_buy, price, left, reduce_only), filled

    def _admit(self, sender: str, account: int, market: int) -> None:
        """Whether the caller may send orders for the account in the market now."""
        whose = self.venue.ledger.accounts[account]
        house = self.venue.clearinghouse
        require(whose.owner != NOBODY, "clearinghouse: unknown account")
        require(whose.kind == TRADER, "clearinghouse: not a trading account")
        require(market < house.market_count, "clearinghouse: unknown market")
        require(not house.terms[market].settled, "clearinghouse: market settled")
        require(whose.owner == sender, "book: not your account")

    def _worst_price(
        self, market: int, mark: int, room: int, is_buy: bool, size: int, price: int
    ) -> int:
        """Beyond it the order may not trade. At the open-interest cap an order may only reduce, and
        not from further than 1% beyond the mark."""
        terms = self.venue.clearinghouse.terms[market]
        if terms.cap != MAX_LOTS and self.venue.ledger.open_interest[market] >= terms.cap:
            require(room != 0, "clearinghouse: cap: would increase the position")
            require(room >= size, "clearinghouse: cap: would flip the position")
            worst = edge_of_band(mark, is_buy, CAP_BAND)
            require(
                price <= worst if is_buy else price >= worst,
                "clearinghouse: cap: price too aggressive",
            )
        if terms.band == 0:
            return UNLIMITED if is_buy else 0
        return edge_of_band(mark, is_buy, terms.band)

    def _match(
        self, account: int, market: int, is_buy: bool, size: int, limit: int, no_risk: bool
    ) -> tuple[int, bool]:
        """Meets up to 64 resting orders no worse than `limit`, each once, and while the market
        takes no risk passes up to 512 that have nothing to close: the next taker begins behind
        them. Returns lots left, and whether it was stopped by either number."""
        left, steps, passed = size, 0, 0
        maker_id = self._first_not_passed(market, not is_buy, no_risk)
        while left != 0 and steps < MAX_STEPS and passed < MAX_PASSED and maker_id != 0:
            maker = self.orders[maker_id]
            if maker.price > limit if is_buy else maker.price < limit:
                break
            behind = self._behind(maker_id)
            position = self.venue.ledger.positions[maker.account, market].size
            if self._is_void(maker):
                steps += 1
                self._drop(maker_id, VOID)
            elif no_risk and not maker.reduce_only and not closable(position, maker.is_buy):
                passed += 1
                self.passed[market, maker.is_buy] = (maker.price, maker_id)
            else:
                steps += 1
                left -= self.take(maker_id, account, left, False, no_risk)
            maker_id = behind
        return left, steps == MAX_STEPS or passed == MAX_PASSED

    def _first_not_passed(self, market: int, is_buy: bool, no_risk: bool) -> int:
        """Where a taker begins."""
        price, last = self.passed[market, is_buy]
        if not no_risk or price == 0:
            return self._first(market, is_buy)
        if last in self.orders:
            return self._behind(last)
        side = self.side(market, is_buy)
        left = [p for p in side if (p <= price if is_buy else p >= price)]
        return side[max(left) if is_buy else min(left)][0] if left else 0

    def take(
        self, maker_id: int, taker: int, wanted: int, liquidated: bool, no_risk: bool = False
    ) -> int:
        """Trades up to `wanted` lots against a live order; returns the lots. 0: it was dropped, or
        passed over, as it would add risk while the market takes none or pass the open-interest
        cap; a liquidation drops it then too. With `no_risk` only what closes its position."""
        maker = self.orders[maker_id]
        size = min(wanted, maker.size)
        most: int | None = None
        if maker.reduce_only or no_risk:
            position = self.venue.ledger.positions[maker.account, maker.market]
            most = closable(position.size, maker.is_buy)
            size = min(size, most)
            if size == 0:
                return self._drop(maker_id, REDUCE_ONLY)
        house = self.venue.clearinghouse
        outcome = house.fill(
            maker.market, taker, maker.account, not maker.is_buy, size, maker.price, liquidated
        )
        if outcome % 256 == house.CAPPED:
            size = outcome // 256
            if size == 0:
                return 0
            outcome = house.fill(
                maker.market, taker, maker.account, not maker.is_buy, size, maker.price, liquidated
            )
        if outcome == house.MAKER_WAITS:
            if not liquidated:
                return 0
            position = self.venue.ledger.positions[maker.account, maker.market]
            size = closable(position.size, maker.is_buy)
            if size != 0:
                outcome = house.fill(
                    maker.market,
                    taker,
                    maker.account,
                    not maker.is_buy,
                    size,
                    maker.price,
                    liquidated,
                )
        if outcome == house.SAME_OWNER:
            return self._drop(maker_id, SELF_TRADE)
        if outcome != house.FILLED:
            return self._drop(maker_id, MAKER_MARGIN)
        if size == maker.size:
            self._unlink(maker_id)
        else:
            self.orders[maker_id] = maker._replace(size=maker.size - size)
        self.last_trade[maker.market] = maker.price
        if not no_risk:
            # A position may have grown: who was passed may have something to close now.
            for is_buy in (True, False):
                self.passed[maker.market, is_buy] = (0, 0)
        self.log(
            "Filled",
            order_id=maker_id,
            maker=maker.account,
            taker=taker,
            market=maker.market,
            taker_buys=not maker.is_buy,
            price=maker.price,
            size=size,
            remaining=maker.size - size,
        )
        if size != maker.size and maker.reduce_only and size == most:
            self._drop(maker_id, REDUCE_ONLY)
        return size

    def cancel(self, sender: str, order_id: int) -> None:
        """Takes one order out of the book, void or not."""
        require(order_id in self.orders, "book: unknown order")
        account = self.orders[order_id].account
        owner = self.venue.ledger.accounts[account].owner
        require(owner == sender, "book: not your account")
        self._drop(order_id, BY_OWNER)

    def cancel_all(self, sender: str, account: int) -> None:
        """Voids all orders of an account at once."""
        owner = self.venue.ledger.accounts[account].owner
        require(owner != NOBODY, "clearinghouse: unknown account")
        require(sender == owner, "book: not your account")
        self.void_all(account)

    def void_all(self, account: int) -> None:
        """Raises the nonce; all of the account's places are free again."""
        self.nonces[account] += 1
        self.taken[account] = 0
        self.log("NonceRaised", account=account, nonce=self.nonces[account])

    def purge(self, sender: str, market: int, is_buy: bool, max_steps: int) -> int:
        """Anyone deletes void orders, and live ones that could not be filled, from the top of one
        side, at most 64 a call; how many."""
        require(market < 256, "clearinghouse: unknown market")
        return self._purge(market, is_buy, max_steps, unbacked=True)

    def _purge(self, market: int, is_buy: bool, max_steps: int, unbacked: bool) -> int:
        steps = 0
        while steps < min(max_steps, MAX_STEPS):
            order_id = self._first(market, is_buy)
            if order_id == 0:
                break
            order, reason = self.orders[order_id], VOID
            if not self._is_void(order):
                position = self.venue.ledger.positions[order.account, market]
                if not unbacked or closable(position.size, is_buy) != 0:
                    break
                reason = REDUCE_ONLY
                if not order.reduce_only:
                    if self._is_backed(order):
                        break
                    reason = MAKER_MARGIN
            self._drop(order_id, reason)
            steps += 1
        return steps

    def _is_backed(self, order: Order) -> bool:
        """Whether its maker has free margin for the smallest order at its price, or all of it."""
        house = self.venue.clearinghouse
        least = max(house.terms[order.market].min_notional, order.price)
        needed = 2 * house.maintenance(order.market, min(order.size * order.price, least))
        margin = house.margin(order.account)
        return margin.equity >= margin.initial + needed

    def peek(self, market: int, is_buy: bool, max_steps: int) -> Top:
        """The first live order, deleting up to `max_steps` (at most 64) void ones on the way."""
        steps = self._purge(market, is_buy, max_steps, unbacked=False)
        order_id = self._first(market, is_buy)
        if order_id != 0 and self._is_void(self.orders[order_id]):
            return Top(0, steps, True)
        return Top(order_id, steps, False)

    def _first(self, market: int, is_buy: bool) -> int:
        """The oldest order at the best price, void or not; 0: none."""
        side = self.side(market, is_buy)
        return side[max(side) if is_buy else min(side)][0] if side else 0

    def _behind(self, order_id: int) -> int:
        """The next one in the order of priority, void or not; 0: none."""
        order = self.orders[order_id]
        side = self.side(order.market, order.is_buy)
        queue = side[order.price]
        place = queue.index(order_id) + 1
        if place < len(queue):
            return queue[place]
        worse = [p for p in side if (p < order.price if order.is_buy else p > order.price)]
        return side[max(worse) if order.is_buy else min(worse)][0] if worse else 0

    def _crosses(self, market: int, is_buy: bool, price: int) -> bool:
        """Whether the best opposite order, void or not, is within `price`."""
        side = self.side(market, not is_buy)
        if not side:
            return False
        return min(side) <= price if is_buy else max(side) >= price

    def _is_void(self, order: Order) -> bool:
        return order.nonce != self.nonces[order.account]

    def _rest(
        self, account: int, market: int, is_buy: bool, price: int, size: int, reduce_only: bool
    ) -> int:
        """Queues an order behind all others of its price, at the lowest free place. Its id."""
        taken = self.taken[account]
        free = ~taken & (2**MAX_OPEN_ORDERS - 1)
        require(free != 0, "book: too many open orders")
        slot = (free & -free).bit_length() - 1
        self.taken[account] = taken | 1 << slot
        self.last_order_id += 1
        order_id = self.last_order_id
        self.places[account, slot] = order_id
        self.orders[order_id] = Order(
            account, market, is_buy, price, size, self.nonces[account], slot, reduce_only
        )
        queue = self.side(market, is_buy)[price]
        edge = self.passed[market, is_buy][0]
        if edge not in (0, price) and (price > edge) == is_buy:
            self.passed[market, is_buy] = (price, queue[-1] if queue else 0)
        self.side(market, is_buy)[price] = (*queue, order_id)
        self.log(
            "OrderPlaced",
            order_id=order_id,
            account=account,
            market=market,
            is_buy=is_buy,
            price=price,
            size=size,
            reduce_only=reduce_only,
        )
        return order_id

    def _unfilled(self, account: int, market: int, size: int, reason: int) -> int:
        self.log("Unfilled", account=account, market=market, size=size, reason=reason)
        return 0

    def _drop(self, order_id: int, reason: int) -> int:
        """Deletes an order without a fill. Returns 0, the lots filled."""
        order = self.orders[order_id]
        self._unlink(order_id)
        self.log(
            "OrderCancelled",
            order_id=order_id,
            account=order.account,
            size=order.size,
            reason=reason,
        )
        return 0

    def _unlink(self, order_id: int) -> None:
        """Out of its queue; its place is free again unless it was void."""
        order = self.orders[order_id]
        if not self._is_void(order):
            self.taken[order.account] &= ~(1 << order.slot)
        del self.orders[order_id]
        side = self.side(order.market, order.is_buy)
        queue = tuple(other for other in side[order.price] if other != order_id)
        if queue:
            side[order.price] = queue
        else:
            del side[order.price]

    # Views

    def queue(self, market: int, is_buy: bool) -> Iterator[Order]:
        """Every order of a side in the order of priority, void ones too."""
        side = self.side(market, is_buy)
        for price in sorted(side, reverse=is_buy):
            for order_id in side[price]:
                yield self.orders[order_id]

    def depth(self, market: int, is_buy: bool) -> list[tuple[int, int]]:
        """Price and live size of every level that has any, best first."""
        levels: dict[int, int] = {}
        for order in self.queue(market, is_buy):
            if not self._is_void(order):
                levels[order.price] = levels.get(order.price, 0) + order.size
        return list(levels.items())

    def open_orders(self, account: int) -> list[int]:
        """Ids of the account's live orders, by place."""
        taken = self.taken[account]
        return [self.places[account, slot] for slot in range(MAX_OPEN_ORDERS) if taken >> slot & 1]

    def quotes(self, market: int, notional: int) -> Quotes:
        """Best prices, last trade, and the mean prices at which `notional` micro-USDC would sell
        (rounded down) or buy (rounded up), from the first 64 orders of each side. An order counts
        as far as its maker has margin for it that no better order of theirs needs."""
        require(0 < notional < 2**128, "book: notional out of range")
        best_bid, impact_bid = self._impact(market, True, notional)
        best_ask, impact_ask = self._impact(market, False, notional)
        return Quotes(best_bid, best_ask, self.last_trade[market], impact_bid, impact_ask)

    def _impact(self, market: int, is_buy: bool, notional: int) -> tuple[int, int]:
        house = self.venue.clearinghouse
        best = size = quote = 0
        free: dict[int, int] = {}
        for met, order in enumerate(self.queue(market, is_buy)):
            if met == MAX_STEPS:
                require(best != 0, "book: purge it first")
                break
            if self._is_void(order) or order.reduce_only:
                continue
            # The last order only as far as it is needed, rounded up to a lot.
            taken = min(order.size, ceil_div(notional - quote, order.price))
            if order.account not in free:
                margin = house.margin(order.account)
                free[order.account] = max(margin.equity - margin.initial, 0)
            needed = 2 * house.maintenance(market, taken * order.price)
            if needed > free[order.account]:
                continue
            free[order.account] -= needed
            best = best or order.price
            size += taken
            quote += taken * order.price
            if quote >= notional:
                return best, quote // size if is_buy else ceil_div(quote, size)
        return best, 0


# --- Insurance and liquidation -------------------------------------------------------------------


class Insurance(Part):
    """The vault: cash in an account of its own."""

    def contribute(self, sender: str, amount: int) -> None:
        """A gift from the caller's wallet."""
        require(amount != 0, "vault: amount is zero")
        house = self.venue.clearinghouse
        self.venue.usdc.move(sender, self.venue.vault_address, amount)
        house.deposit(self.venue.vault_address, house.vault_account, amount)

    def available(self) -> int:
        """Micro-USDC that can be paid now."""
        return max(self.venue.ledger.cash[self.venue.clearinghouse.vault_account], 0)

    def pay(self, account: int, wanted: int) -> int:
        """Pays up to `wanted`; returns what was paid."""
        paid = min(wanted, self.available())
        if paid != 0:
            self.venue.ledger.transfer_cash(self.venue.clearinghouse.vault_account, account, paid)
        return paid


class Window(NamedTuple):
    """Lots of a market that may still be worked off in the interval that began then."""

    began: int = 0
    left: int = 0


class Liquidator(Owned):
    """Sells what is below maintenance, down to the bankruptcy price and below it as far as
    insurance pays; hands to the tranche what is below two thirds of it. Winding up legs, and with
    it ADL, is not modelled."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self.owner = venue.owner
        self.insured_band = 100_000
        self.partial_above, self.cooldown = UNLIMITED, 30
        self.partial_at: Table[int, int] = self.table(0)
        self.liquidation_fee = self.reward = self.reward_share = 0
        self.is_backstop_open, self.owner_limit = True, UNLIMITED
        self.backstop_limit: Table[int, int] = self.table(0)
        # Owner to day and notional taken over on it.
        self.taken_from: Table[str, tuple[int, int]] = self.table((0, 0))
        self.work_off_share, self.work_off_notional = 100_000, 10_000 * 10**6
        self.work_off_interval, self.work_off_slippage = 60, 5_000
        self.windows: Table[int, Window] = self.table(Window())

    # Parameters

    def set_partial(self, sender: str, partial_above: int, cooldown: int) -> None:
        """Micro-USDC above which a leg goes by a fifth first; seconds of whole orders after it."""
        self.require_owner(sender)
        require(cooldown <= HOUR, "liquidator: cooldown above an hour")
        self.partial_above, self.cooldown = partial_above, cooldown

    def set_fees(self, sender: str, liquidation_fee: int, reward: int, reward_share: int) -> None:
        """Ppm of the notional closed, micro-USDC, ppm of the fee."""
        self.require_owner(sender)
        require(liquidation_fee <= MAX_LIQUIDATION_FEE, "liquidator: fee above 1%")
        require(reward <= MAX_REWARD, "liquidator: reward above 10 USDC")
        require(reward_share <= PPM, "liquidator: share above 100%")
        self.liquidation_fee, self.reward, self.reward_share = liquidation_fee, reward, reward_share

    def set_backstop(self, sender: str, is_open: bool, owner_limit: int) -> None:
        """Whether the tranche takes over, and micro-USDC from one owner a day."""
        self.require_owner(sender)
        self.is_backstop_open, self.owner_limit = is_open, owner_limit

    def set_backstop_limit(self, sender: str, market: int, max_notional: int) -> None:
        """Micro-USDC that a takeover may carry the tranche's position to."""
        self.require_owner(sender)
        require(max_notional <= MAX_LIMIT, "liquidator: limit out of range")
        self.backstop_limit[market] = max_notional

    def set_work_off(
        self, sender: str, share: int, notional: int, interval: int, slippage: int
    ) -> None:
        """Ppm of the position or micro-USDC in so many seconds, so many ppm beyond the mark."""
        self.require_owner(sender)
        require(share <= PPM, "liquidator: share above 100%")
        require(notional <= MAX_LIMIT, "liquidator: limit out of range")
        require(0 < interval <= DAY, "liquidator: interval out of range")
        require(slippage < PPM, "liquidator: slippage out of range")
        self.work_off_share, self.work_off_notional = share, notional
        self.work_off_interval, self.work_off_slippage = interval, slippage

    # Liquidation

    def liquidate(self, sender: str, account: int, max_steps: int, reward_account: int = 0) -> bool:
        """Voids the orders, closes settled legs, sells the others in order of market id until the
        account has recovered, charges it, and hands what is left to the tranche if it may. Returns
        whether there is work left. Raises NotModelledError if the account would be wound up with
        legs."""
        house, ledger = self.venue.clearinghouse, self.venue.ledger
        require(max_steps != 0, "liquidator: no steps")
        kind = ledger.accounts[reward_account].kind
        require(
            reward_account == 0 or (reward_account != account and kind == TRADER),
            "liquidator: no account for a reward",
        )
        whose = ledger.accounts[account]
        require(whose.owner != NOBODY, "clearinghouse: unknown account")
        margin = house.margin(account)
        require(margin.is_fresh, STALE)
        require(whose.kind == TRADER, "liquidator: not a trading account")
        require(is_weak(margin), "liquidator: account is healthy")
        self.venue.order_book.void_all(account)
        for market in whose.markets:
            if house.settlement_account[market]:
                self._close_at_settlement(account, market)
        left, more, held_back = min(max_steps, MAX_LIQUIDATION_STEPS), False, False
        before = margin = house.margin(account)
        whole = self._is_whole(account, margin)
        for market in ledger.accounts[account].markets:
            if not is_weak(margin):
                break
            borne = self._borne(account, market, margin.equity)
            steps, ran_out, stuck = self._sell(account, market, borne, left, whole)
            left -= steps
            more = more or ran_out
            margin = house.margin(account)
            if not (whole or ran_out or stuck) and ledger.positions[account, market].size:
                held_back = True
        margin = margin._replace(
            equity=margin.equity - self._charge(account, reward_account, before, margin)
        )
        if held_back:
            self.partial_at[account] = self.venue.now
            self.log("CooldownBegan", account=account, until=self.venue.now + self.cooldown)
            return more
        taken = (
            not more
            and margin.equity >= 0
            and is_far_gone(margin)
            and self._take_over(account, reward_account, margin.equity)
        )
        if taken:
            return False
        if not more and margin.equity < 0:
            self._wind_up(account, -margin.equity)
        return more

    def close_settled(self, sender: str, account: int, market: int) -> None:
        """Anyone closes a position in a settled market at the settlement price; what a loser
        without another position lacks is paid or written off at once."""
        house, ledger = self.venue.clearinghouse, self.venue.ledger
        require(house.settlement_account[market] != 0, "clearinghouse: market not settled")
        require(ledger.accounts[account].kind != ESTATE, "clearinghouse: an estate")
        self._close_at_settlement(account, market)
        if not ledger.accounts[account].active and ledger.cash[account] < 0:
            self._wind_up(account, -ledger.cash[account])

    def _close_at_settlement(self, account: int, market: int) -> None:
        house = self.venue.clearinghouse
        size = self.venue.ledger.positions[account, market].size
        require(size != 0, "clearinghouse: no position")
        other = house.settlement_account[market]
        buyer, seller = (other, account) if size > 0 else (account, other)
        house.exchange(market, buyer, seller, abs(size), abs(size) * house.read(market).mark)

    def _is_whole(self, account: int, margin: Margin) -> bool:
        """Whether orders are for all of a leg: without a threshold, in the cooldown, or below two
        thirds of maintenance."""
        if self.partial_above == UNLIMITED:
            return True
        last = self.partial_at[account]
        require(last != self.venue.now, "liquidator: a fifth was sold in this block")
        return self.venue.now < last + self.cooldown or is_far_gone(margin)

    def _first_order(self, market: int, size: int, mark: int) -> int:
        """A fifth of a large leg, rounded up, unless it leaves less than the least order."""
        part = ceil_div(size, FIRST_PART)
        least = self.venue.clearinghouse.terms[market].min_notional
        if size * mark <= self.partial_above or (size - part) * mark < least:
            return size
        return part

    def _borne(self, account: int, market: int, equity: int) -> int:
        """What a leg has to lose: all of the equity, or of a deficit its part as in a wind-up."""
        legs = []
        for leg in self.venue.ledger.accounts[account].markets:
            position = self.venue.ledger.positions[account, leg]
            mark = self.venue.clearinghouse.read(leg).mark
            legs.append(waterfall.Leg(leg, position.size, position.quote, mark))
        return waterfall.borne(equity, legs, market)

    def _sell(
        self, account: int, market: int, equity: int, max_steps: int, whole: bool
    ) -> tuple[int, bool, bool]:
        """Closes one leg, or the first part of it, into the book. Returns the steps used, whether
        they ran out, and whether there was no price within the limit."""
        position = self.venue.ledger.positions[account, market].size
        mark = self.venue.clearinghouse.read(market).mark
        is_long, size = position > 0, abs(position)
        rest = equity - position * mark
        worst = self._insured_until(market, is_long, mark)
        ordered = size if whole else self._first_order(market, size, mark)
        steps = 0
        for _ in range(MAX_LIQUIDATION_STEPS):
            if ordered == 0:
                return steps, False, False
            if steps >= max_steps:
                return steps, True, False
            top = self.venue.order_book.peek(market, is_long, max_steps - steps)
            steps += top.steps
            if top.more:
                return steps, True, False
            if top.order_id == 0:
                return steps, False, True
            if steps >= max_steps:
                return steps, True, False
            steps += 1
            order = self.venue.order_book.orders[top.order_id]
            worth = order.price if is_long else -order.price
            # What the account would lack if all of the leg went at this price.
            lacking = -(rest + worth * size)
            wanted = min(ordered, order.size)
            if lacking > 0:
                beyond = order.price < worst if is_long else order.price > worst
                room = self.venue.vault.available() * size // lacking
                if beyond or room == 0:
                    return steps, False, True
                wanted = min(wanted, room)
            filled = self.venue.order_book.take(top.order_id, account, wanted, True)
            if filled == 0:
                continue
            after = rest + worth * filled
            if lacking > 0:
                # The rest keeps its bankruptcy price, rounded up: insurance bears the unit.
                keep = ceil_div(rest * (size - filled), size)
                self.venue.vault.pay(account, keep - after)
                after = keep
            rest = after
            size -= filled
            ordered -= filled
        return steps, True, False

    def _insured_until(self, market: int, is_long: bool, mark: int) -> int:
        """The worst price at which insurance still pays: as far beyond the mark as the insured
        band, and no further than the first tier's maintenance rate less one step of the mark."""
        rate = PPM // (2 * self.venue.clearinghouse.terms[market].leverage)
        band = min(self.insured_band, rate - min(self.venue.oracle.max_step, rate))
        return edge_of_band(mark, not is_long, band)

    def _charge(self, account: int, reward_account: int, before: Margin, after: Margin) -> int:
        """Fee and reward, from what the account can do without: nothing below maintenance once it
        has recovered, and no strength while it is weak. Returns what it paid."""
        closed = before.notional - after.notional
        if self.liquidation_fee == 0 or after.equity <= 0 or closed == 0:
            return 0
        keep = after.maintenance
        if is_weak(after):
            keep = max(ceil_div(before.equity * after.maintenance, before.maintenance), 0)
        room = max(after.equity - keep, 0)
        fee = min(ceil_div(closed * self.liquidation_fee, PPM), room)
        flat = reward = 0
        if reward_account != 0:
            flat = 0 if is_weak(after) else min(self.reward, room - fee)
            reward = fee * self.reward_share // PPM + flat
        if fee + flat != 0:
            self._pay_charge(account, reward_account, fee, flat, reward)
        return fee + flat

    def _pay_charge(
        self, account: int, reward_account: int, fee: int, flat: int, reward: int
    ) -> None:
        """The reward to the caller; the rest repays uninsured loss, then it is the vault's."""
        ledger = self.venue.ledger
        if reward != 0:
            ledger.transfer_cash(account, reward_account, reward)
        rest = fee + flat - reward
        recovered = min(rest, ledger.uninsured)
        if recovered != 0:
            ledger.recover(account, recovered)
        if rest != recovered:
            ledger.transfer_cash(account, self.venue.clearinghouse.vault_account, rest - recovered)
        self.log(
            "LiquidationCharged",
            account=account,
            reward_account=reward_account,
            fee=fee,
            flat=flat,
            reward=reward,
        )

    # The backstop

    def _take_over(self, account: int, reward_account: int, equity: int) -> bool:
        """The tranche takes all legs at the mark and the equity that is left, if its limits allow
        all of it. Returns whether it did."""
        house, ledger = self.venue.clearinghouse, self.venue.ledger
        tranche = house.tranche_account
        held = house.margin(tranche)
        if not self.is_backstop_open or ledger.uninsured or not held.is_fresh or held.equity < 0:
            return False
        initial, notional, ahead = held.initial, 0, 0
        markets = ledger.accounts[account].markets
        for market in markets:
            leg, mark = ledger.positions[account, market].size, house.read(market).mark
            size = ledger.positions[tranche, market].size
            then = size + leg
            if abs(then) > abs(size) and (
                abs(then) > MAX_LOTS
                or abs(then) * mark > self.backstop_limit[market]
                or house.terms[market].halted
            ):
                return False
            initial += 2 * house.maintenance(market, abs(then) * mark)
            initial -= 2 * house.maintenance(market, abs(size) * mark)
            notional += abs(leg) * mark
            ahead += leg * (self.venue.oracle.prices[market].oracle - mark)
        if len(set(markets) | set(ledger.accounts[tranche].markets)) > MAX_LEGS:
            return False
        spare = equity + min(ahead, 0)
        if spare < 0:
            return False
        reward = 0
        if reward_account != 0 and self.liquidation_fee != 0:
            spare -= ceil_div(notional * self.work_off_slippage, PPM)
            reward = min(self.reward, max(spare, 0))
        if held.equity + equity - reward < initial:
            return False
        if not self._count_owner(ledger.accounts[account].owner, notional):
            return False
        for market in markets:
            leg = ledger.positions[account, market].size
            mark, _, index = house.read(market)
            buyer, seller = (tranche, account) if leg > 0 else (account, tranche)
            ledger.exchange(market, index, buyer, seller, abs(leg), abs(leg) * mark)
            self.log(
                "BackstopTaken",
                account=account,
                market=market,
                is_long=leg > 0,
                size=abs(leg),
                mark=mark,
                margin=equity - reward if market == markets[-1] else 0,
                tranche_size=ledger.positions[tranche, market].size,
            )
        if reward != 0:
            self._pay_charge(account, reward_account, 0, reward, reward)
        if equity != reward:
            ledger.transfer_cash(account, tranche, equity - reward)
        return True

    def _count_owner(self, owner: str, notional: int) -> bool:
        """Counts against the owner's limit of the day, if that allows it."""
        if self.owner_limit == UNLIMITED:
            return True
        today = self.venue.now // DAY
        day, taken = self.taken_from[owner]
        taken = notional + (taken if day == today else 0)
        if taken > self.owner_limit:
            return False
        self.taken_from[owner] = (today, taken)
        return True

    def work_off(self, sender: str, market: int, max_steps: int) -> int:
        """Sends what the interval allows of the tranche's position into the book. Returns lots."""
        house, book = self.venue.clearinghouse, self.venue.order_book
        require(max_steps != 0, "liquidator: no steps")
        tranche = house.tranche_account
        size = self.venue.ledger.positions[tranche, market].size
        require(size != 0, "liquidator: nothing to work off")
        require(house.settlement_account[market] == 0, "clearinghouse: market settled")
        margin = house.margin(tranche)
        require(margin.is_fresh, STALE)
        equity = margin.equity
        require(equity >= 0, "liquidator: tranche below zero")
        mark, is_long = house.read(market).mark, size > 0
        began, left = self._window(market, abs(size), mark)
        require(left != 0, "liquidator: enough for this interval")
        ahead = self.venue.oracle.prices[market].oracle
        best = max(mark, ahead) if is_long else min(mark, ahead)
        worst = edge_of_band(best, not is_long, self.work_off_slippage)
        limit, steps, sold = min(max_steps, MAX_LIQUIDATION_STEPS), 0, 0
        while left != 0 and steps < limit:
            top = book.peek(market, is_long, limit - steps)
            steps += top.steps
            if top.more or top.order_id == 0 or steps >= limit:
                break
            steps += 1
            order = book.orders[top.order_id]
            if order.price < worst if is_long else order.price > worst:
                break
            gain = order.price - mark if is_long else mark - order.price
            wanted = min(left, order.size)
            if gain < 0:
                wanted = min(wanted, equity // -gain)
                if wanted == 0:
                    break
            filled = book.take(top.order_id, tranche, wanted, True)
            if filled == 0:
                continue
            equity += gain * filled
            sold += filled
            left -= filled
            self.log(
                "WorkedOff",
                market=market,
                caller=int(sender, 16),
                order_id=top.order_id,
                is_long=is_long,
                size=filled,
                price=order.price,
                mark=mark,
                left=left,
            )
        if sold != 0:
            self.windows[market] = Window(began, left)
        return sold

    def _window(self, market: int, size: int, mark: int) -> Window:
        """The interval at work, or a new one; no more lots than the position has."""
        began, left = self.windows[market]
        if self.venue.now >= began + self.work_off_interval:
            began = self.venue.now
            share = ceil_div(size * self.work_off_share, PPM)
            left = max(share, self.work_off_notional // mark)
        return Window(began, min(left, size))

    def wind_up_tranche(self, sender: str, max_steps: int) -> bool:
        """The end of a tranche below zero. Raises NotModelledError if it has legs."""
        house = self.venue.clearinghouse
        require(max_steps != 0, "liquidator: no steps")
        margin = house.margin(house.tranche_account)
        require(margin.is_fresh, STALE)
        require(margin.equity < 0, "liquidator: tranche not below zero")
        for market in self.venue.ledger.accounts[house.tranche_account].markets:
            if house.settlement_account[market]:
                self._close_at_settlement(house.tranche_account, market)
        self._wind_up(house.tranche_account, -margin.equity)
        return False

    def _wind_up(self, account: int, lacking: int) -> None:
        """An account that lacks money and has no legs: insurance first, the rest is written off."""
        if self.venue.ledger.accounts[account].active:
            raise NotModelledError("a wind-up with legs")
        paid = self.venue.vault.pay(account, lacking)
        if lacking > paid:
            self.venue.ledger.write_off(account, lacking - paid)


def is_weak(margin: Margin) -> bool:
    """Below maintenance."""
    return margin.equity < margin.maintenance


def is_far_gone(margin: Margin) -> bool:
    """Below two thirds of maintenance."""
    return 3 * margin.equity < 2 * margin.maintenance


def leverage_above(tiers: Sequence[Tier], notional: int) -> int:
    """Maximum leverage just above a notional."""
    return [tier.leverage for tier in tiers if notional >= tier.bound][-1]


# --- Parameters ----------------------------------------------------------------------------------


class Governor(Owned):
    """Parameters within bounds, halts and settlement."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self.owner = venue.owner
        self.guardian = venue.owner
        self.halted_at: Table[int, int] = self.table(0)
        # Tiers that were announced, and from when on they may be applied.
        self.announced: Table[int, tuple[tuple[Tier, ...], int]] = self.table(((), 0))

    def add_market(
        self, sender: str, symbol: str, size_decimals: int, max_leverage: int, min_notional: int
    ) -> int:
        """The next market id, with its two estates: one tier, no fees, no band, no cap."""
        self.require_owner(sender)
        require(size_decimals <= 6, "governor: size decimals above 6")
        house, ledger = self.venue.clearinghouse, self.venue.ledger
        market = house.market_count
        require(market < MAX_MARKETS, "clearinghouse: too many markets")
        require(self.venue.oracle.market_count > market, "clearinghouse: no price for the market")
        for is_long in (True, False):
            house.estates[market, is_long] = ledger.open_account(
                self.venue.deleverager_address, ESTATE
            )
        house.terms[market] = Terms()
        self._set_tiers(market, [0], [max_leverage])
        self._set_trading_terms(market, 0, 0, 0, min_notional, MAX_LOTS)
        return market

    def set_tiers(
        self, sender: str, market: int, bounds: Sequence[int], leverages: Sequence[int]
    ) -> None:
        """Maximum leverage by notional: bounds rise from 0, leverages fall. At once if no position
        is open or nowhere less leverage is allowed than now, else announced for a day later."""
        self.require_owner(sender)
        self._require_market(market)
        self._set_tiers(market, bounds, leverages)

    def _set_tiers(self, market: int, bounds: Sequence[int], leverages: Sequence[int]) -> None:
        """Each deduction keeps maintenance continuous at its bound: the tier before's, plus
        bound * (1 / 2L - 1 / 2L'), rounded down, against the account."""
        malformed = "governor: malformed tiers"
        require(len(bounds) != 0 and len(bounds) == len(leverages), malformed)
        require(bounds[0] == 0, malformed)
        tiers: list[Tier] = []
        for bound, leverage in zip(bounds, leverages, strict=True):
            require(1 <= leverage <= MAX_LEVERAGE, "governor: leverage out of range")
            deduction = 0
            if tiers:
                below = tiers[-1]
                require(leverage < below.leverage, malformed)
                require(below.bound < bound < 2**57, malformed)
                gap = bound * (below.leverage - leverage)
                deduction = below.deduction + gap // (2 * leverage * below.leverage)
            tiers.append(Tier(bound, leverage, deduction))
        self._require_above_step(leverages[0])
        old = self.venue.clearinghouse.terms[market].tiers
        if self.venue.ledger.open_interest[market] == 0 or all(
            leverage_above(tiers, tier.bound) >= leverage_above(old, tier.bound)
            for tier in (*tiers, *old)
        ):
            self._apply_tiers(market, tuple(tiers))
            return
        self.announced[market] = (tuple(tiers), self.venue.now + TIERS_DELAY)

    def apply_tiers(self, sender: str, market: int) -> None:
        """Anyone puts announced tiers in force, once they are due."""
        tiers, due = self.announced[market]
        require(due != 0, "governor: no tiers announced")
        require(self.venue.now >= due, "governor: tiers not due")
        self._apply_tiers(market, tiers)

    def _apply_tiers(self, market: int, tiers: tuple[Tier, ...]) -> None:
        self._require_above_step(tiers[0].leverage)
        self.announced[market] = ((), 0)
        self._change(market, tiers=tiers)

    def _require_above_step(self, leverage: int) -> None:
        above = 2 * leverage * self.venue.oracle.max_step < PPM
        require(above, "governor: maintenance not above the oracle's step")

    def set_trading_terms(
        self,
        sender: str,
        market: int,
        taker_fee: int,
        maker_fee: int,
        band: int,
        min_notional: int,
        open_interest_cap: int,
    ) -> None:
        """Fees up to 1%, band below 100% (0: none), micro-USDC, lots."""
        self.require_owner(sender)
        self._require_market(market)
        self._set_trading_terms(market, taker_fee, maker_fee, band, min_notional, open_interest_cap)

    def _set_trading_terms(
        self, market: int, taker_fee: int, maker_fee: int, band: int, min_notional: int, cap: int
    ) -> None:
        require(max(taker_fee, maker_fee) <= MAX_FEE, "governor: fee above 1%")
        require(band < PPM, "governor: band out of range")
        require(min_notional <= MAX_MIN_NOTIONAL, "governor: minimum notional out of range")
        require(cap <= MAX_LOTS, "governor: cap out of range")
        self._change(
            market,
            taker_fee=taker_fee,
            maker_fee=maker_fee,
            band=band,
            min_notional=min_notional,
            cap=cap,
        )

    def set_fee_share(self, sender: str, vault_share: int, treasury: int) -> None:
        """Ppm of swept fees for the vault; a trader's account for the rest (0: the vault)."""
        self.require_owner(sender)
        require(vault_share <= PPM, "governor: share above 100%")
        kind = self.venue.ledger.accounts[treasury].kind
        require(treasury == 0 or kind == TRADER, "clearinghouse: unknown account")
        self.venue.clearinghouse.vault_share = vault_share
        self.venue.clearinghouse.treasury = treasury

    def set_guardian(self, sender: str, guardian: str) -> None:
        """Who may halt a market, beside the owner."""
        self.require_owner(sender)
        self.guardian = guardian

    def halt(self, sender: str, market: int) -> None:
        """Refuses what adds risk."""
        require(sender in (self.guardian, self.owner), "governor: guardian only")
        self._require_market(market)
        require(self.halted_at[market] == 0, "governor: market halted")
        self.halted_at[market] = self.venue.now
        self._change(market, halted=True)

    def resume(self, sender: str, market: int) -> None:
        """Ends a halt."""
        self.require_owner(sender)
        require(self.halted_at[market] != 0, "governor: market not halted")
        require(not self.venue.clearinghouse.terms[market].settled, "governor: market settled")
        self.halted_at[market] = 0
        self._change(market, halted=False)

    def settle_market(self, sender: str, market: int, price: int) -> None:
        """Ends a market, a day after its halt: the mark is `price` from now on."""
        self.require_owner(sender)
        halted_at = self.halted_at[market]
        require(halted_at != 0, "governor: market not halted")
        require(self.venue.now >= halted_at + DAY, "governor: not halted for long enough")
        require(1 <= price <= MAX_TICK, "governor: price out of range")
        last = self.venue.oracle.prices[market]
        require(
            price * MAX_SETTLEMENT_RATIO >= min(last.mark, last.oracle)
            and price <= max(last.mark, last.oracle) * MAX_SETTLEMENT_RATIO,
            "governor: settlement far from the last price",
        )
        house = self.venue.clearinghouse
        require(not house.terms[market].settled, "governor: market settled")
        self._change(market, settled=True, settlement=price)
        house.settlement_account[market] = self.venue.ledger.open_account(
            self.venue.deleverager_address, ESTATE
        )
        house.settlement_index[market] = self.venue.oracle.read(market).funding
        house.settling[market] = self.venue.ledger.open_interest[market] != 0

    def _change(self, market: int, **values: Any) -> None:
        terms = self.venue.clearinghouse.terms
        terms[market] = terms[market]._replace(**values)

    def _require_market(self, market: int) -> None:
        require(market < self.venue.clearinghouse.market_count, "clearinghouse: unknown market")


# --- The whole -----------------------------------------------------------------------------------


class Venue:
    """A venue without markets. `now` is the time of the operation at work, seconds; the caller sets
    it. `addresses` has those of the owner, the clearinghouse, the vault and the deleverager."""

    def __init__(
        self,
        addresses: Mapping[str, str],
        now: int,
        min_interval: int,
        stale_after: int,
        max_step: int,
    ) -> None:
        self.owner = addresses["owner"]
        self.house_address = addresses["clearinghouse"]
        self.vault_address = addresses["vault"]
        self.deleverager_address = addresses["deleverager"]
        self.now = now
        self.journal = Journal()
        self.events: list[tuple[str, tuple[int, ...]]] = []
        self.usdc = Token(self)
        self.ledger = Ledger(self)
        self.oracle = Oracle(self, min_interval, stale_after, max_step)
        self.clearinghouse = Clearinghouse(self)
        self.order_book = OrderBook(self)
        self.vault = Insurance(self)
        self.liquidator = Liquidator(self)
        self.governor = Governor(self)
        self.journal.commit()

    def transact(self, part: str, method: str, sender: str, *args: Any) -> Any:
        """Runs one operation; `events` has what it logged afterwards.

        Raises Refused or NotModelledError; then nothing has changed.
        """
        self.events = []
        try:
            result = getattr(getattr(self, part), method)(sender, *args)
        except BaseException:
            self.events = []
            self.journal.roll_back()
            raise
        self.journal.commit()
        return result
