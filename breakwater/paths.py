"""Price paths and order book profiles: a few words in a file become exact integers.

Owns the shapes a price may take between two moments, and the shape of a quoted book. Everything is
a function of the file and its seed: prices are whole ticks, computed in decimal arithmetic of fixed
precision (28 digits, rounded half up at the end), so every machine gets the same path. It knows no
chain and no account.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Final

from numpy.random import Generator
from pydantic import Field, model_validator

from breakwater import units
from breakwater.fields import DecimalText, Move, Part, Share, Text, expected

_MATH: Final = Context(prec=28, rounding=ROUND_HALF_UP)
MOST_POINTS: Final = 20_000
Steps = Annotated[int, Field(ge=1, le=MOST_POINTS)]


class Gap(Part):
    """All at once."""

    by: Move = Field(description='relative move, "-0.4" is a fall of 40%')


class Line(Part):
    """Straight to a price, the same number of USDC every step."""

    to: DecimalText = Field(description="price in USDC at the end")
    steps: Steps = Field(description="prices on the way, the last one included")


class Bleed(Part):
    """The same factor every step: a slow bleed."""

    by: Move = Field(description='relative move in all, "-0.5" halves the price')
    steps: Steps = Field(description="prices on the way, the last one included")


class Staircase(Part):
    """A fall, a pause, another fall."""

    by: Move = Field(description="relative move of one stair")
    stairs: Steps = Field(description="how many")
    hold: Annotated[int, Field(ge=0, le=MOST_POINTS)] = Field(
        default=0, description="prices that stay the same after each stair"
    )


class Wick(Part):
    """Out and back again."""

    by: Move = Field(description="relative move to the tip")
    out: Steps = Field(default=1, description="steps to the tip")
    back: Steps = Field(default=1, description="steps back to where it began")


class Jumps(Part):
    """Jump-diffusion (Merton): a normal step every time, and a jump now and then, from the seed."""

    steps: Steps = Field(description="prices")
    drift: DecimalText = Field(default="0", description="mean log return of one step")
    volatility: DecimalText = Field(description="standard deviation of the log return of one step")
    jump_chance: Share = Field(default="0", description="chance of a jump in one step")
    jump: DecimalText = Field(default="0", description="mean log return of a jump")
    jump_spread: DecimalText = Field(default="0", description="its standard deviation")


class Csv(Part):
    """Prices from a file, in its order."""

    file: Text = Field(description="csv file, beside this one, with a header")
    column: Text = Field(default="price", description="the column with the price in USDC")


class Anchors(Part):
    """Published points with the same factor every step between them."""

    points: list[Annotated[list[DecimalText], Field(min_length=2, max_length=2)]] = Field(
        min_length=1, description="[steps since the point before, price in USDC] pairs"
    )


SHAPES: Final = ("gap", "line", "bleed", "staircase", "wick", "jumps", "csv", "anchors")


class Prices(Part):
    """A stretch of prices of one market: exactly one shape."""

    market: str = Field(description="a market's name")
    gap: Gap | None = Field(default=None, description="all at once")
    line: Line | None = Field(default=None, description="straight to a price")
    bleed: Bleed | None = Field(default=None, description="the same factor every step")
    staircase: Staircase | None = Field(default=None, description="a fall, a pause, a fall")
    wick: Wick | None = Field(default=None, description="out and back again")
    jumps: Jumps | None = Field(default=None, description="jump-diffusion from the seed")
    csv: Csv | None = Field(default=None, description="prices from a file")
    anchors: Anchors | None = Field(default=None, description="published points, joined")
    seconds: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=0, description="seconds that pass before each price, beside the venue's interval"
    )
    short_steps: Steps | None = Field(
        default=None, description="steps of the short form (line, bleed, jumps)"
    )

    @model_validator(mode="after")
    def _one_shape(self) -> Prices:
        given = [shape for shape in SHAPES if getattr(self, shape) is not None]
        if len(given) != 1:
            what = f"{len(given)} ({', '.join(given)})" if given else "none"
            raise expected(f"exactly one shape of {', '.join(SHAPES)}; there is {what}")
        if self.short_steps is not None and given[0] not in ("line", "bleed", "jumps"):
            raise expected("short_steps only with line, bleed or jumps")
        return self

    @property
    def shape(self) -> str:
        """The name of the one shape."""
        return next(shape for shape in SHAPES if getattr(self, shape) is not None)

    def steps(self, short: bool, stated: int) -> int:
        """Steps in this form of the scenario."""
        return self.short_steps if short and self.short_steps is not None else stated


def to_ticks(price: Decimal) -> int:
    """A price in ticks, rounded half up and kept within what a market can quote."""
    if price > units.MAX_TICKS:
        return units.MAX_TICKS
    whole = int(price.quantize(Decimal(1), rounding=ROUND_HALF_UP, context=Context(prec=60)))
    return max(1, whole)


def _geometric(start: Decimal, factor: Decimal, steps: int) -> list[Decimal]:
    """`steps` prices from just after `start` to start * factor, the same factor between any two."""
    log = _MATH.ln(factor)
    return [
        _MATH.multiply(start, _MATH.exp(_MATH.divide(_MATH.multiply(log, Decimal(i)), steps)))
        for i in range(1, steps)
    ] + [_MATH.multiply(start, factor)]


def _linear(start: Decimal, end: Decimal, steps: int) -> list[Decimal]:
    each = _MATH.divide(_MATH.subtract(end, start), steps)
    return [_MATH.add(start, _MATH.multiply(each, Decimal(i))) for i in range(1, steps)] + [end]


def points(
    prices: Prices,
    start: int,
    size_decimals: int,
    draws: Generator,
    folder: Path,
    short: bool = False,
) -> list[int]:
    """The prices in ticks, after `start` (ticks); `draws` are for the shapes of chance.

    Raises UnitError, OSError or ValueError for what is wrong with the values or the file, each with
    a sentence.
    """
    here = Decimal(start)
    out: Sequence[Decimal] = ()
    if prices.gap is not None:
        out = [here * (1 + Decimal(prices.gap.by))]
    elif prices.line is not None:
        end = Decimal(units.ticks(prices.line.to, size_decimals, prices.market))
        out = _linear(here, end, prices.steps(short, prices.line.steps))
    elif prices.bleed is not None:
        factor = 1 + Decimal(prices.bleed.by)
        out = _geometric(here, factor, prices.steps(short, prices.bleed.steps))
    elif prices.staircase is not None:
        stair = prices.staircase
        tops = itertools.accumulate(
            [1 + Decimal(stair.by)] * stair.stairs, _MATH.multiply, initial=here
        )
        out = [top for top in list(tops)[1:] for _ in range(1 + stair.hold)]
    elif prices.wick is not None:
        tip = _MATH.multiply(here, 1 + Decimal(prices.wick.by))
        out = [*_linear(here, tip, prices.wick.out), *_linear(tip, here, prices.wick.back)]
    elif prices.jumps is not None:
        out = _jumps(prices.jumps, here, prices.steps(short, prices.jumps.steps), draws)
    elif prices.csv is not None:
        return _csv(prices.csv, size_decimals, prices.market, folder)
    elif prices.anchors is not None:
        joined: list[Decimal] = []
        for stated, text in prices.anchors.points:
            steps = units.lots(stated, 0)
            if not 1 <= steps <= MOST_POINTS:
                at = f"{stated} steps to the anchor at {text}"
                raise units.UnitError(at, f"a whole number from 1 to {MOST_POINTS}")
            end = Decimal(units.ticks(text, size_decimals, prices.market))
            joined += _geometric(here, _MATH.divide(end, here), steps)
            here = end
        out = joined
    return [to_ticks(price) for price in out]


def _jumps(shape: Jumps, start: Decimal, steps: int, draws: Generator) -> list[Decimal]:
    normal = NormalDist()
    price, out = start, []
    for step, chance, jump in draws.random((steps, 3)).tolist():
        log = Decimal(shape.drift) + Decimal(shape.volatility) * Decimal(_inverse(normal, step))
        if chance < float(shape.jump_chance):
            log += Decimal(shape.jump) + Decimal(shape.jump_spread) * Decimal(
                _inverse(normal, jump)
            )
        price = _MATH.multiply(price, _MATH.exp(log))
        out.append(price)
    return out


def _inverse(normal: NormalDist, uniform: float) -> float:
    return normal.inv_cdf(min(max(uniform, 1e-12), 1 - 1e-12))


def _csv(shape: Csv, size_decimals: int, market: str, folder: Path) -> list[int]:
    if Path(shape.file).is_absolute():
        raise units.UnitError(shape.file, "a path relative to the scenario's folder")
    file = shape.file
    try:
        text = (folder / file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise units.UnitError(f"{file}: not UTF-8 text", "a csv file") from None
    # Comments are left out, and the lines keep their numbers.
    numbered = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    rows = csv.DictReader(line for _, line in numbered)
    names = rows.fieldnames or ()
    if shape.column not in names:
        known = f"a header with that column; it has {', '.join(names)}" if names else "a header"
        raise units.UnitError(f"{file}: no column {shape.column}", known)
    out = []
    for (number, _), row in zip(numbered[1:], rows, strict=False):
        try:
            out.append(units.ticks((row[shape.column] or "").strip(), size_decimals, market))
        except units.UnitError as error:
            raise units.UnitError(f"{file}:{number}: {error}", error.expected) from None
    if not 1 <= len(out) <= MOST_POINTS:
        raise units.UnitError(f"{file}: {len(out)} prices", f"1 to {MOST_POINTS}")
    return out


class Profile(Part):
    """A quoted book around a price: levels that thin out, both sides alike."""

    around: DecimalText | None = Field(
        default=None, description="the middle, USDC; the market's start price"
    )
    spread: Share = Field(default="0.001", description="best ask less best bid, over the middle")
    gap: Share = Field(default="0.001", description="from one level to the next, over the middle")
    levels: Annotated[int, Field(ge=1, le=60)] = Field(default=10, description="levels a side")
    size: DecimalText = Field(description="units on the best level")
    thins: Share = Field(default="1", description="each level's size over the one before")


def quotes(
    profile: Profile, middle: int, lots: int, minimum: int, scale: Decimal = Decimal(1)
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Bids and asks as (ticks, lots), best first. `lots` is the best level's size, `minimum` the
    smallest order in micro-USDC; bids are rounded down, asks up, sizes down."""
    bids: list[tuple[int, int]] = []
    asks: list[tuple[int, int]] = []
    at = Decimal(middle)
    for level in range(profile.levels):
        away = Decimal(profile.spread) / 2 + Decimal(profile.gap) * level
        size = int(lots * scale * Decimal(profile.thins) ** level)
        bid = math.floor(at * (1 - away))
        # Two prices that round to one tick would trade at once.
        best_bid = math.floor(at * (1 - Decimal(profile.spread) / 2))
        ask = max(math.ceil(at * (1 + away)), best_bid + 1)
        if size and bid >= 1 and size * bid >= minimum:
            bids.append((bid, size))
        if size and ask <= units.MAX_TICKS and size * ask >= minimum:
            asks.append((ask, size))
    return bids, asks
