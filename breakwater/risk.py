"""How near a trader's positions are to being deleveraged, and what would lower that.

Owns the ten-point score, and the queue as a list; rank, lights and scores are the chain's own
(`AdlLens`, by pages: exact, and a look at every holder of the side). It only reads.

The ten points, two for each that is true: leverage of 15x or more; unrealised profit above 3% of
the notional; extreme funding (at least 0.1% per 8 hours either way, ten times the base rate); a
liquidation spike (5% of the open interest within the hour) or a thin book (less than 5% of the open
interest within 1% of the mark, on the side that bankrupts would sell into); a light above the
middle (4 or 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from breakwater import units
from breakwater.contract import Contract
from breakwater.engine.read import ReadEngine
from breakwater.report.record import LIGHTS, Standing, light
from breakwater.story import score_text
from breakwater.venue import Venue

LEVERAGE: Final = 15
PROFIT_PERCENT: Final = 3
FUNDING_PER_8H: Final = 10**6
"""0.1% in parts of 10^9."""

SPIKE_PERCENT: Final = 5
THIN_PERCENT: Final = 5
NEAR_PERCENT: Final = 1
MIDDLE: Final = 3
POINTS_EACH: Final = 2
HOUR: Final = 3_600
PAGE: Final = 200
"""Holders that one call looks at."""

_LEVELS: Final = 100
_LIMIT: Final = 2**80
"""Micro-USDC: no account has so much."""


class RiskError(Exception):
    """There is nothing to say about this account; the message says why."""


@dataclass(frozen=True)
class Place:
    """One winner in order; money in micro-USDC."""

    account: int
    score: int
    pnl: int


@dataclass(frozen=True)
class Point:
    """One of the five questions: what is found, from where on it counts, and how to get below."""

    what: str
    found: str
    counts_from: str
    counts: bool
    lower: str

    @property
    def points(self) -> int:
        """0 or 2."""
        return POINTS_EACH if self.counts else 0


@dataclass(frozen=True)
class Risk:
    """One position: its place in the queue (rank None: not in profit) and the ten points."""

    account: int
    market: str
    side: str
    size: str
    profit: str
    rank: int | None
    winners: int
    light: int
    score: str | None
    points: tuple[Point, ...]

    @property
    def total(self) -> int:
        """0 to 10."""
        return sum(point.points for point in self.points)


def ranking(venue: Venue, market: int, is_long: bool) -> list[Place]:
    """The winners of one side by score, then profit, then lower id, as ADL would take them now."""
    holders = int(venue.clearinghouse.call("holder_count", market, is_long))
    found = [
        Place(place.account, place.score, place.pnl)
        for start in range(0, holders, PAGE)
        for place in venue.adl_lens.call("adl_page", market, is_long, start, PAGE)
        if place.score
    ]
    return sorted(found, key=lambda one: (-one.score, -one.pnl, one.account))


def place_of(venue: Venue, account: int, market: int) -> tuple[int | None, int]:
    """Rank (None: not a winner) and number of winners, as the chain counts them, page by page."""
    ahead = winners = start = 0
    while True:
        page = venue.adl_lens.call("adl_rank", account, market, start, PAGE)
        ahead, winners, start = ahead + page.ahead, winners + page.winners, page.next
        if not page.ranked:
            return None, 0
        if not start:
            return ahead + 1, winners


def known_accounts(venue: Venue) -> list[int]:
    """Every account of the venue, by its own count."""
    return list(range(1, int(venue.clearinghouse.call("account_count")) + 1))


def of_account(venue: Venue, engine: ReadEngine, account: int) -> list[Risk]:
    """A Risk for each position of the account, at the engine's block. Raises RiskError."""
    house = venue.clearinghouse
    accounts = known_accounts(venue)
    if account not in accounts:
        raise RiskError(f"there is no account {account}: the venue has {len(accounts)}")
    if not house.call("is_trader", account):
        raise RiskError(f"account {account} is the venue's own: it is never deleveraged by rank")
    active = house.call("active_markets", account)
    if not active:
        raise RiskError(f"account {account} has no position: ADL cannot reach it")
    markets = [market for market in range(active.bit_length()) if active >> market & 1]
    return [_of_position(venue, engine, account, market) for market in markets]


def _of_position(venue: Venue, engine: ReadEngine, account: int, market: int) -> Risk:
    house = venue.clearinghouse
    terms = venue.governor.call("market", market)
    held = house.call("position", account, market)
    mark = house.call("mark", market)
    notional, pnl = abs(held.size) * mark, held.size * mark + held.quote
    is_long = held.size > 0
    order = ranking(venue, market, is_long)
    rank, winners = place_of(venue, account, market)
    lights = int(venue.adl_lens.call("adl_lights", rank, winners)) if rank else 0
    return Risk(
        account=account,
        market=terms.symbol,
        side="long" if is_long else "short",
        size=units.format_lots(held.size, terms.size_decimals),
        profit=units.format_usdc(pnl),
        rank=rank,
        winners=len(order),
        light=lights,
        score=score_text(order[rank - 1].score) if rank else None,
        points=(
            _leverage(house.call("margin", account)),
            _profit(pnl, notional),
            _funding(venue, market, is_long),
            _market_stress(venue, engine, market, is_long, mark, terms.size_decimals),
            _light(venue, account, market, order, rank, lights),
        ),
    )


def _leverage(margin: Any) -> Point:
    equity, notional = margin.equity, margin.notional
    high = equity <= 0 or notional >= LEVERAGE * equity
    found = "no equity" if equity <= 0 else f"{_ratio(notional, equity)}x"
    # The least deposit after which notional < 15 * equity.
    missing = notional // LEVERAGE + 1 - equity
    lower = (
        f"deposit {units.format_usdc(missing)} USDC, or close "
        f"{units.format_usdc(notional - LEVERAGE * max(equity, 0) + 1)} USDC of notional"
    )
    return Point("leverage of the account", found, f"{LEVERAGE}x", high, lower if high else "")


def _profit(pnl: int, notional: int) -> Point:
    high = 100 * pnl > PROFIT_PERCENT * notional
    lower = (
        "take the profit: what is closed and opened again has its entry at the mark; "
        f"a profit up to {units.format_usdc(PROFIT_PERCENT * notional // 100)} USDC does not count"
    )
    found = f"{_ratio(100 * pnl, notional)}%"
    return Point(
        "unrealised profit, of notional",
        found,
        f"above {PROFIT_PERCENT}%",
        high,
        lower if high else "",
    )


def _funding(venue: Venue, market: int, is_long: bool) -> Point:
    per_hour = venue.oracle.call("expected_rate", market)
    per_8h = 8 * per_hour
    extreme = abs(per_8h) >= FUNDING_PER_8H
    pays = (per_hour > 0) == is_long
    lower = (
        "the crowd is on your side and pays for it: a smaller position is all that helps"
        if pays
        else "the other side pays and is crowded: it is the one likely to go bankrupt into you"
    )
    return Point(
        "funding per 8 hours",
        f"{units.format_scaled(per_8h, 7)}%",
        "0.1% either way",
        extreme,
        lower if extreme else "",
    )


def _market_stress(
    venue: Venue, engine: ReadEngine, market: int, is_long: bool, mark: int, decimals: int
) -> Point:
    interest = venue.clearinghouse.call("open_interest", market)
    first = _first_block_since(engine, engine.timestamp - HOUR)
    logs = engine.logs_between([venue.liquidator.address], first, engine.block)
    liquidated = sum(
        event.size
        for event in venue.decoder.iterate(logs)
        if event.name == "LiquidationFill" and event.market == market
    )
    # Bankrupts stand on the other side: against a winning short they are longs, who sell to bids.
    levels = venue.order_book.call("depth", market, not is_long, _LEVELS)
    near = sum(level.size for level in levels if 100 * abs(level.price - mark) <= mark)
    spike = bool(interest) and 100 * liquidated >= SPIKE_PERCENT * interest
    thin = 100 * near < THIN_PERCENT * interest
    found = (
        f"{units.format_lots(liquidated, decimals)} liquidated within the hour, "
        f"{units.format_lots(near, decimals)} on the book within {NEAR_PERCENT}%, of an open "
        f"interest of {units.format_lots(interest, decimals)}"
    )
    limit = f"{SPIKE_PERCENT}% liquidated, or less than {THIN_PERCENT}% on the book"
    lower = "nothing of your own but a smaller position; it passes when the book fills up again"
    counts = spike or thin
    return Point("liquidations and book", found, limit, counts, lower if counts else "")


def _light(
    venue: Venue,
    account: int,
    market: int,
    order: Sequence[Place],
    rank: int | None,
    lights: int,
) -> Point:
    high = lights > MIDDLE
    lower = ""
    if high:
        deposit = _deposit_for(venue, account, market, order)
        lower = (
            f"deposit {units.format_usdc(deposit)} USDC for {MIDDLE} lights from the next epoch "
            "on, at these marks"
            if deposit is not None
            else "no deposit changes this score; a smaller position or a smaller profit may"
        )
    found = f"{lights} of {LIGHTS}" if rank else "none: not in profit"
    return Point("ADL light", found, f"{MIDDLE + 1} of {LIGHTS}", high, lower)


def _deposit_for(venue: Venue, account: int, market: int, order: Sequence[Place]) -> int | None:
    """The least deposit, micro-USDC, after which the account has no more than three lights, all
    else as it is; None if none does. The score contract itself is asked."""
    house = venue.clearinghouse
    rule = Contract(
        venue.engine, venue.deleverager.call("score_rule"), venue.score.abi, venue.score.name
    )
    held = house.call("position", account, market)
    margin, cash = house.call("margin", account), house.call("cash", account)
    mark = house.call("mark", market)
    pnl = held.size * mark + held.quote
    others = [one for one in order if one.account != account]

    def is_low(amount: int) -> bool:
        standing = Standing(
            held.size > 0,
            abs(held.size) * mark,
            abs(held.quote),
            pnl,
            margin.equity + amount,
            cash + amount,
            margin.maintenance,
        )
        mine = (-rule.call("score", standing), -pnl, account)
        rank = 1 + sum((-one.score, -one.pnl, one.account) < mine for one in others)
        return light(rank, len(order)) <= MIDDLE

    if not is_low(_LIMIT):
        return None
    low, high = 0, _LIMIT
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_low(middle) else (middle, high)
    return high


def _first_block_since(engine: ReadEngine, timestamp: int) -> int:
    """The first block that is not older than this."""
    low, high = 0, engine.block
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if engine.time_of(middle) >= timestamp else (middle + 1, high)
    return low


def _ratio(part: int, whole: int) -> str:
    """part / whole with two decimals, rounded toward zero: for reading only."""
    hundredths = abs(part) * 100 // max(whole, 1)
    return units.format_scaled(-hundredths if part < 0 else hundredths, 2)


def describe(risks: Iterable[Risk]) -> str:
    """What `ape run adl-risk` prints."""
    lines = []
    for risk in risks:
        lines.append(f"account {risk.account}: {risk.side} {risk.size} {risk.market}")
        if risk.rank is None:
            lines.append(f"  not in the queue: profit {risk.profit} USDC")
        else:
            dots = "●" * risk.light + "○" * (LIGHTS - risk.light)
            lines.append(
                f"  rank {risk.rank} of {risk.winners} winners, lights {dots}, "
                f"score {risk.score}, profit {risk.profit} USDC"
            )
        lines.append(f"  {risk.total} of {POINTS_EACH * len(risk.points)} points:")
        for point in risk.points:
            lines.append(
                f"    +{point.points} {point.what}: {point.found} (counts: {point.counts_from})"
            )
            if point.lower:
                lines.append(f"       lower it: {point.lower}")
    return "\n".join(lines)
