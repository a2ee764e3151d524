"""What a run records beside its outcome: the series over time, the ADL queues, and who was hit.

Owns a replay of the venue's logs (`breakwater.rebuild`) that goes along with the run, and the
readings taken from it: it sends nothing and asks the chain only for what no log says (maintenance
margins, and scores, which the venue's own score contract computes from what the replay knows).
`differences` compares the replay with the chain, so that a reading that drifted is never shown as
exact.

The words: a *winner* is a trader in profit at the mark on the side opposite to the bankrupts'; its
*rank* is its place by score, then profit, then lower id; its *light* is 5 for the first fifth of
the winners, down to 1 for the last.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, NamedTuple

from breakwater import rebuild, units
from breakwater.contract import Contract, Event, Tx
from breakwater.replay import TRADER, Replay
from breakwater.story import MarketUnits, score_text
from breakwater.venue import TRANCHE_ACCOUNT, VAULT_ACCOUNT, Venue

MAX_POINTS: Final = 1_000
"""Readings within steps that a series keeps; beyond it, every second one is dropped."""

MAX_QUEUES: Final = 50
"""Rounds whose queue is recorded."""

MAX_SCORES: Final = 20_000
"""Scores computed for queues in one run, all told: a round of a large market may be left out."""

QUEUE_SHOWN: Final = 25
"""Places of a queue that are recorded, best first, beside all that were closed in the round."""

LIGHTS: Final = 5


class Standing(NamedTuple):
    """What the score interface is given: see contracts/interfaces/IScore.vyi."""

    is_long: bool
    notional: int
    entry_notional: int
    pnl: int
    equity: int
    cash: int
    maintenance: int


@dataclass(frozen=True)
class Place:
    """One winner's place in a queue; money in micro-USDC, size in signed lots."""

    account: int
    rank: int
    light: int
    score: int
    size: int
    equity: int
    pnl: int


@dataclass
class _Hit:
    """What ADL did to one account; equity and profit are those before its first fill."""

    equity: int
    profit: int
    haircut: int = 0
    fills: int = 0
    markets: dict[int, None] = field(default_factory=dict)


@dataclass
class _Open:
    """The round that is open: accounts' equity and profit when it began, and who was closed."""

    before: list[Place] | None
    worth: dict[int, tuple[int, int]]
    closed: dict[int, None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Point:
    step: int
    when: str
    timestamp: int
    prices: tuple[tuple[int, int, int], ...]
    open_interest: tuple[int, ...]
    vault: int
    below_zero: int
    uninsured: int
    acted: tuple[int, ...]


ACTED: Final = ("liquidated", "backstopped", "insurance_paid", "adl_closed")
"""Columns of what each layer has done so far; at the end they are `waterfall`'s figures."""


def light(rank: int, count: int) -> int:
    """Lights of the `rank`-th of `count` winners: 5 for the first fifth, 1 for the last."""
    return LIGHTS - (rank - 1) * LIGHTS // count


def share(part: int, whole: int, places: int = 6) -> str | None:
    """part / whole as text, rounded half up at `places` decimals; None of nothing."""
    if whole <= 0:
        return None
    scaled = Fraction(part * 10**places, whole)
    return units.format_scaled((2 * scaled + 1).__floor__() // 2, places)


class Recorder(Replay):
    """Listens to one run. Markets in order of id; names by account id."""

    def __init__(
        self, venue: Venue, markets: Sequence[MarketUnits], names: Mapping[int, str]
    ) -> None:
        super().__init__()
        self.venue = venue
        self._markets = markets
        self._names = names
        self._points: list[_Point] = []
        self._stride = 1
        self._skipped = 0
        self._rounds: dict[int, _Open] = {}
        self._queues: list[dict[str, Any]] = []
        self._left_out = 0
        self._scores = 0
        self._hit: dict[int, _Hit] = {}
        self._flows: dict[int, int] = defaultdict(int)
        self._liquidated: dict[int, None] = {}
        self._start: dict[int, int] = {}
        self._acted = dict.fromkeys(ACTED, 0)
        self._winners: dict[int, None] = {}
        self._seen_markets: set[tuple[int, bool]] = set()
        self.start_state = ""

    # ---------------------------------------------------------------- listening

    def begin(self, events: Iterable[Event]) -> None:
        """Plays everything up to the path's start, from the venue's first log on."""
        for event in events:
            self._apply(event)
        self._start = {account: self.equity(account) for account in self.state.accounts}
        self._flows.clear()
        self._acted = dict.fromkeys(ACTED, 0)
        self.start_state = self._digest()

    def _digest(self) -> str:
        """A hash of everything that moves money: equal for two runs that begin alike."""
        state = self.state
        orders = sorted((i, vars(order)) for i, order in state.live_orders.items())
        known = (
            sorted((i, vars(account)) for i, account in state.accounts.items()),
            sorted((key, vars(held)) for key, held in state.positions.items() if held.size),
            # Ids of orders differ by what happened before; their order in the book does not.
            [order for _, order in orders],
            sorted(state.prices.items()),
            sorted(self._index.items()),
            (state.held, state.uninsured, state.fees),
        )
        return hashlib.sha256(repr(known).encode()).hexdigest()

    def saw(self, tx: Tx) -> None:
        """Plays one transaction of the path."""
        for event in tx.events:
            self._apply(event)
            if event.name == "RoundOpened":
                self._round_opened(event)
            elif event.name == "Deleveraged":
                self._closed(event)
            elif event.name == "RoundClosed":
                self._round_closed(event)

    def point(self, step: int, when: str, timestamp: int) -> None:
        """Takes a reading: `when` is "prices" (new marks, nobody has acted yet) or "end" (of the
        step). Step -1 is the path's start."""
        if when == "prices":
            self._skipped += 1
            if self._skipped % self._stride:
                return
        state = self.state
        count = len(self._markets)
        below = sum(min(0, self.equity(account)) for account in state.accounts)
        self._points.append(
            _Point(
                step,
                when,
                timestamp,
                tuple(state.prices[i] for i in range(count)),
                tuple(self._longs[i] for i in range(count)),
                state.accounts[VAULT_ACCOUNT].cash,
                -below,
                state.uninsured,
                tuple(self._acted.values()),
            )
        )
        if sum(point.when == "prices" for point in self._points) > MAX_POINTS:
            self._thin()

    def _thin(self) -> None:
        """Drops every second reading within steps; the largest hole always stays."""
        self._stride *= 2
        deepest = max(self._points, key=lambda point: point.below_zero)
        kept: list[_Point] = []
        odd = False
        for point in self._points:
            if point.when == "prices":
                odd = not odd
                if odd and point is not deepest:
                    continue
            kept.append(point)
        self._points = kept

    def _apply(self, event: Event) -> None:
        self.play(event)
        if event.name == "Deposited":
            self._flows[event.account] += event.amount
        elif event.name == "Withdrawn":
            self._flows[event.account] -= event.amount
        elif event.name in ("LiquidationFill", "WoundUp", "BackstopTaken"):
            self._liquidated[event.account] = None
        self._tally(event)

    def _tally(self, event: Event) -> None:
        acted = self._acted
        if event.name == "LiquidationFill":
            acted["liquidated"] += event.size * event.price
        elif event.name == "BackstopTaken":
            acted["backstopped"] += event.size * event.mark
        elif event.name == "Paid":
            acted["insurance_paid"] += event.paid
        elif event.name == "Deleveraged":
            acted["adl_closed"] += event.quote

    # ---------------------------------------------------------------- readings

    def queue(self, market: int, is_long: bool) -> list[Place]:
        """The winners of one side by rank, scored by the venue's own score contract."""
        rule = Contract(
            self.venue.engine,
            self.venue.deleverager.call("score_rule"),
            self.venue.score.abi,
            "score",
        )
        found = []
        for account, held, pnl in self.holders(market, is_long):
            if pnl <= 0:
                continue
            equity, inflow = self.equity(account), self.state.inflow(account)
            standing = Standing(
                is_long,
                abs(held.size) * self.mark(market),
                abs(held.quote),
                pnl,
                equity - inflow,
                self.state.accounts[account].cash - inflow,
                self._maintenance(account),
            )
            score = int(rule.call("score", standing))
            found.append((-score, -pnl, account, held.size, equity))
        found.sort()
        return [
            Place(account, rank, light(rank, len(found)), -score, size, equity, -pnl)
            for rank, (score, pnl, account, size, equity) in enumerate(found, start=1)
        ]

    def _maintenance(self, account: int) -> int:
        house = self.venue.clearinghouse
        total = 0
        for market in self._legs[account]:
            size = self.state.positions[account, market].size
            total += house.call("maintenance", market, abs(size) * self.mark(market))
        return total

    def differences(self) -> list[str]:
        """Where the replay and the chain disagree now: equities, open interest, what is uninsured
        and the marks. Empty if nowhere."""
        out = []
        house = self.venue.clearinghouse
        for row in self.venue.rows(list(self.state.accounts)):
            ours = self.equity(row.account)
            if ours != row.equity:
                out.append(f"equity of account {row.account}: {ours}, the chain says {row.equity}")
        for market in range(len(self._markets)):
            interest = house.call("open_interest", market)
            if self._longs[market] != interest:
                out.append(f"open interest of market {market}: {self._longs[market]}, {interest}")
            mark = house.call("mark", market)
            if self.mark(market) != mark:
                out.append(f"mark of market {market}: {self.mark(market)}, {mark}")
        if self.state.uninsured != house.call("uninsured"):
            out.append(f"uninsured: {self.state.uninsured}")
        return out

    # ---------------------------------------------------------------- rounds

    def _round_opened(self, event: Event) -> None:
        market, side = event.market, not event.is_long
        holders = self.holders(market, side)
        winners = [holder for holder in holders if holder[2] > 0]
        worth = {account: (self.equity(account), max(0, pnl)) for account, _, pnl in holders}
        if (market, side) not in self._seen_markets:
            self._seen_markets.add((market, side))
            self._winners.update(dict.fromkeys(account for account, _, _ in winners))
        before = None
        wanted = 2 * len(winners)
        if len(self._queues) < MAX_QUEUES and self._scores + wanted <= MAX_SCORES:
            self._scores += wanted
            before = self.queue(market, side)
        else:
            self._left_out += 1
        self._rounds[event.round] = _Open(before, worth)

    def _closed(self, event: Event) -> None:
        current = self._rounds[event.round]
        current.closed[event.winner] = None
        equity, profit = current.worth.get(event.winner, (0, 0))
        hit = self._hit.setdefault(event.winner, _Hit(equity, 0))
        if event.market not in hit.markets:
            hit.markets[event.market] = None
            hit.profit += profit
        hit.haircut += event.haircut
        hit.fills += 1

    def _round_closed(self, event: Event) -> None:
        current = self._rounds.pop(event.round, None)
        if current is None or current.before is None:
            return
        market, side = event.market, not event.is_long
        after = {place.account: place for place in self.queue(market, side)}
        shown = [
            place
            for place in current.before
            if place.rank <= QUEUE_SHOWN or place.account in current.closed
        ]
        self._queues.append(
            {
                "round": event.round,
                "market": self._markets[market].symbol,
                "side": "long" if side else "short",
                "mark": self._markets[market].format_ticks(self.mark(market)),
                "winners_before": len(current.before),
                "winners_after": len(after),
                "before": [self._place(market, place) for place in shown],
                "after": [
                    self._place(market, after[place.account])
                    if place.account in after
                    else self._out(market, place.account)
                    for place in shown
                ],
            }
        )

    def _place(self, market: int, place: Place) -> dict[str, Any]:
        return {
            "account": self._who(place.account),
            "rank": place.rank,
            "light": place.light,
            "score": score_text(place.score),
            "size": self._markets[market].format_lots(place.size),
            "equity": units.format_usdc(place.equity),
            "pnl": units.format_usdc(place.pnl),
        }

    def _out(self, market: int, account: int) -> dict[str, Any]:
        """An account that is no winner any more: closed in full, or out of profit."""
        held = self.state.positions.get((account, market)) or rebuild.Position()
        pnl = held.size * self.mark(market) + held.quote
        return {
            "account": self._who(account),
            "rank": None,
            "light": 0,
            "score": None,
            "size": self._markets[market].format_lots(held.size),
            "equity": units.format_usdc(self.equity(account)),
            "pnl": units.format_usdc(pnl),
        }

    def _who(self, account: int) -> str:
        return self._names.get(account, f"account {account}")

    # ---------------------------------------------------------------- result

    def series(self) -> dict[str, Any]:
        """The readings as columns of equal length, exact text."""
        columns: dict[str, Any] = {
            "step": [point.step for point in self._points],
            "when": [point.when for point in self._points],
            "timestamp": [point.timestamp for point in self._points],
            "every": self._stride,
            "vault": [units.format_usdc(point.vault) for point in self._points],
            "below_zero": [units.format_usdc(point.below_zero) for point in self._points],
            "uninsured": [units.format_usdc(point.uninsured) for point in self._points],
            **{
                name: [units.format_usdc(point.acted[place]) for point in self._points]
                for place, name in enumerate(ACTED)
            },
            "markets": {},
        }
        for i, market in enumerate(self._markets):
            prices = [point.prices[i] for point in self._points]
            columns["markets"][market.symbol] = {
                "oracle": [market.format_ticks(price[0]) for price in prices],
                "mark": [market.format_ticks(price[1]) for price in prices],
                "previous_mark": [market.format_ticks(price[2]) for price in prices],
                "open_interest": [market.format_lots(p.open_interest[i]) for p in self._points],
            }
        return columns

    def queues(self) -> list[dict[str, Any]]:
        """The queue of each recorded round, before it and after."""
        return self._queues

    @property
    def queues_left_out(self) -> int:
        """Rounds whose queue was too large, or one too many, to be recorded."""
        return self._left_out

    def hit(self) -> list[dict[str, Any]]:
        """Who was deleveraged and what it cost, the largest haircut first."""
        out = []
        for account, hit in sorted(self._hit.items(), key=lambda item: (-item[1].haircut, item[0])):
            out.append(
                {
                    "account": self._who(account),
                    "markets": [self._markets[market].symbol for market in hit.markets],
                    "fills": hit.fills,
                    "haircut": units.format_usdc(hit.haircut),
                    "equity_before": units.format_usdc(hit.equity),
                    "profit_before": units.format_usdc(hit.profit),
                    "of_equity": share(hit.haircut, hit.equity),
                    "of_profit": share(hit.haircut, hit.profit),
                }
            )
        return out

    def gini(self) -> str | None:
        """How unevenly ADL took from the winners, 0 (all alike) to 1 (one pays all); None if it
        took nothing. The winners are those of a market when its first round began, with whoever was
        hit later; the amounts are haircuts in USDC, gains as 0."""
        accounts = dict.fromkeys([*self._winners, *self._hit])
        taken = sorted(
            max(0, self._hit[account].haircut) if account in self._hit else 0
            for account in accounts
        )
        count = len(taken)
        weighted = sum(
            (2 * place - count - 1) * amount for place, amount in enumerate(taken, start=1)
        )
        return share(weighted, count * sum(taken))

    @property
    def winners(self) -> int:
        """The accounts that `gini` is taken over."""
        return len(dict.fromkeys([*self._winners, *self._hit]))

    def paid(self, insurance: int) -> dict[str, str]:
        """Who paid for what the liquidated lost, micro-USDC in, text out.

        `margin` is what the liquidated accounts themselves lost from the path's start to now
        (deposits and withdrawals taken out), `backstop` what the tranche lost; `winners` and
        `winners_gained` are ADL haircuts above and below zero.
        """
        margin = lost = gained = 0
        for account in self._liquidated:
            if self.state.accounts[account].kind == TRADER:
                began = self._start.get(account, 0) + self._flows[account]
                margin += max(0, began - self.equity(account))
        for hit in self._hit.values():
            lost += max(0, hit.haircut)
            gained += max(0, -hit.haircut)
        backstop = 0
        if TRANCHE_ACCOUNT in self.state.accounts:
            began = self._start.get(TRANCHE_ACCOUNT, 0)
            backstop = max(0, began - self.equity(TRANCHE_ACCOUNT))
        amounts = {
            "margin": margin,
            "insurance": insurance,
            "backstop": backstop,
            "winners": lost,
            "winners_gained": gained,
            "uninsured": self.state.uninsured,
        }
        return {name: units.format_usdc(amount) for name, amount in amounts.items()}
