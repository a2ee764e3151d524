"""Accounts by the thousand, drawn from a seed.

Owns the distributions, the copula that ties them together, and the way from a draw to an account
that the venue's margin rules can open. The draw is floating point; what leaves this module is not:
collateral in whole cents, sizes in whole lots, entries in whole ticks, each rounded down, and every
rule of margin is checked in integers. What a rule clips is counted, never hidden.

    balance    collateral, or equity where the file says `equity`, USDC
    leverage   notional at the start price over balance
    profit     unrealised profit at the start price over entry notional

The copula is Gaussian with the stated rank correlations (Spearman): normals with the Pearson
correlation 2 sin(pi r / 6), whose quantiles pick from each distribution.
"""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, model_validator

from breakwater.fields import DecimalText, Name, Part, Share, Text, expected
from breakwater.seeds import generator

MOST_ACCOUNTS: Final = 20_000
CENT: Final = 10_000
"""Micro-USDC; drawn collateral is a whole number of these."""

_NORMAL: Final = NormalDist()
Count = Annotated[int, Field(ge=1, le=MOST_ACCOUNTS)]


class Lognormal(Part):
    """A normal logarithm."""

    median: DecimalText = Field(description="half are below")
    spread: DecimalText = Field(description="standard deviation of the natural logarithm")


class Quantiles(Part):
    """Quantiles of a file, joined by straight lines (in the logarithm where both are positive)."""

    file: Text = Field(description='JSON file, beside this one, with {"quantiles": {key: {p: x}}}')
    key: Text = Field(description="which of its distributions")
    scale: DecimalText = Field(default="1", description='what to multiply by ("0.01" for percent)')


def _bare_number(value: object) -> object:
    return value if isinstance(value, dict) else {"fixed": value}


class Distribution(Part):
    """Exactly one of: fixed, uniform, lognormal, quantiles, table."""

    fixed: DecimalText | None = Field(default=None, description="the same for all")
    uniform: Annotated[list[DecimalText], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="[from, to]"
    )
    lognormal: Lognormal | None = Field(default=None, description="median and spread")
    quantiles: Quantiles | None = Field(default=None, description="from a file")
    table: dict[DecimalText, DecimalText] | None = Field(
        default=None, description='quantiles written here: {"0": "1", "0.5": "3", "1": "20"}'
    )

    @model_validator(mode="after")
    def _one(self) -> Distribution:
        given = [key for key in type(self).model_fields if getattr(self, key) is not None]
        if len(given) != 1:
            raise expected(
                f"exactly one of {', '.join(type(self).model_fields)}; "
                f"there is {', '.join(given) or 'none'}"
            )
        if self.table is not None and len(self.table) < 2:
            raise expected("at least two quantiles")
        return self


Spread = Annotated[Distribution, BeforeValidator(_bare_number)]


class Correlation(Part):
    """Rank correlations (Spearman) of two draws each; 0 if not given."""

    balance_leverage: DecimalText = "0"
    balance_profit: DecimalText = "0"
    leverage_profit: DecimalText = "0"

    @model_validator(mode="after")
    def _possible(self) -> Correlation:
        for key in type(self).model_fields:
            if abs(Decimal(getattr(self, key))) > 1:
                raise expected(f"{key} from -1 to 1")
        if _root(self) is None:
            raise expected("correlations that can hold together: a positive definite matrix")
        return self


class Population(Part):
    """Accounts with one position each, drawn from the scenario's seed."""

    name: Name = Field(description="the accounts are called name_1, name_2, ...")
    market: str = Field(description="the market that they trade")
    count: Count = Field(description="how many accounts")
    short_count: Count | None = Field(default=None, description="how many in the short form")
    longs: Share = Field(default="0.5", description="share of the accounts that are long")
    collateral: Spread | None = Field(default=None, description="USDC deposited")
    equity: Spread | None = Field(
        default=None, description="instead: USDC of equity at the start price"
    )
    leverage: Spread = Field(description="notional at the start price over collateral or equity")
    profit: Spread = Field(
        default=Distribution(fixed="0"),
        description="unrealised profit at the start price over entry notional",
    )
    correlation: Correlation = Field(
        default_factory=Correlation, description="rank correlations of the three draws"
    )

    @model_validator(mode="after")
    def _one_balance(self) -> Population:
        if (self.collateral is None) == (self.equity is None):
            raise expected("either collateral or equity")
        return self

    def size(self, short: bool) -> int:
        """Number of accounts in this form of the scenario."""
        return self.short_count if short and self.short_count is not None else self.count

    def names(self, short: bool) -> list[str]:
        """The accounts' names, in order."""
        return [f"{self.name}_{i}" for i in range(1, self.size(short) + 1)]


@dataclass(frozen=True)
class Rules:
    """What a market lets an account open: integers of the venue, and its margin functions of
    (lots, ticks) in micro-USDC."""

    start: int
    size_decimals: int
    most_lots: int
    most_ticks: int
    min_notional: int
    initial: Callable[[int, int], int]
    maintenance: Callable[[int, int], int]


@dataclass(frozen=True)
class Drawn:
    """One account: micro-USDC, signed lots, ticks."""

    name: str
    collateral: int
    lots: int
    entry: int


@dataclass(frozen=True)
class Draw:
    """A population, and how far it is from what was drawn.

    `clipped` had their size, entry or collateral cut by a rule; `empty` hold no position, because
    the one drawn was below a lot or below the smallest order.
    """

    accounts: tuple[Drawn, ...]
    clipped: int
    empty: int


def sampler(distribution: Distribution, folder: Path) -> Callable[[float], float]:
    """The quantile function: from a number in (0, 1) to a value. Raises ValueError or OSError for
    a file that does not have it."""
    if distribution.fixed is not None:
        fixed = float(distribution.fixed)
        return lambda _: fixed
    if distribution.uniform is not None:
        low, high = (float(text) for text in distribution.uniform)
        return lambda p: low + (high - low) * p
    if distribution.lognormal is not None:
        median, spread = float(distribution.lognormal.median), float(distribution.lognormal.spread)
        return lambda p: median * math.exp(spread * _NORMAL.inv_cdf(p))
    scale = 1.0
    if distribution.table is not None:
        pairs = distribution.table.items()
    else:
        assert distribution.quantiles is not None
        pairs = _quantiles(distribution.quantiles, folder).items()
        scale = float(distribution.quantiles.scale)
    knots = sorted((float(p), float(x) * scale) for p, x in pairs)
    return lambda p: _between(knots, p)


def _quantiles(source: Quantiles, folder: Path) -> dict[str, Any]:
    if Path(source.file).is_absolute():
        raise ValueError(f"{source.file}: a path relative to the scenario's folder")
    try:
        data = json.loads((folder / source.file).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{source.file}: not JSON ({error})") from None
    known = data.get("quantiles", {}) if isinstance(data, dict) else {}
    if source.key not in known:
        raise ValueError(f"{source.file}: no quantiles {source.key}; it has {', '.join(known)}")
    found: dict[str, Any] = known[source.key]
    return found


def _between(knots: Sequence[tuple[float, float]], p: float) -> float:
    """Joined quantiles; flat beyond the first and the last: nothing is made up out there."""
    place = bisect.bisect_left(knots, (p, -math.inf))
    if place == 0:
        return knots[0][1]
    if place == len(knots):
        return knots[-1][1]
    (left, low), (right, high) = knots[place - 1], knots[place]
    part = (p - left) / (right - left)
    if low > 0 and high > 0:
        return float(low * (high / low) ** part)
    return low + (high - low) * part


def _root(correlation: Correlation) -> list[list[float]] | None:
    """The Cholesky root of the normals' correlation matrix; None if it has none."""

    def pearson(text: str) -> float:
        return 2 * math.sin(math.pi * float(text) / 6)

    a = pearson(correlation.balance_leverage)
    b = pearson(correlation.balance_profit)
    c = pearson(correlation.leverage_profit)
    matrix = [[1.0, a, b], [a, 1.0, c], [b, c, 1.0]]
    root = [[0.0] * 3 for _ in range(3)]
    for i in range(3):
        for j in range(i + 1):
            rest = matrix[i][j] - sum(root[i][k] * root[j][k] for k in range(j))
            if i == j:
                if rest < -1e-12:
                    return None
                root[i][i] = math.sqrt(max(rest, 0.0))
            else:
                root[i][j] = rest / root[j][j] if root[j][j] else 0.0
    return root


def draw(population: Population, rules: Rules, seed: int, folder: Path, short: bool) -> Draw:
    """Draws the population. The same file and seed give the same accounts; the short form's are the
    first of the long form's, but for which of them are long."""
    names = population.names(short)
    balance_of = sampler(population.equity or population.collateral or Distribution(), folder)
    leverage_of = sampler(population.leverage, folder)
    profit_of = sampler(population.profit, folder)
    root = _root(population.correlation)
    assert root is not None  # the model refuses it
    longs = round(Decimal(population.longs) * len(names))
    out: list[Drawn] = []
    clipped = empty = 0
    rows = generator(seed, f"population {population.name}").random((len(names), 3)).tolist()
    for place, (name, row) in enumerate(zip(names, rows, strict=True)):
        normals = [_NORMAL.inv_cdf(min(max(p, 1e-12), 1 - 1e-12)) for p in row]
        mixed = [sum(root[i][k] * normals[k] for k in range(i + 1)) for i in range(3)]
        uniform = [min(max(_NORMAL.cdf(x), 1e-12), 1 - 1e-12) for x in mixed]
        # Longs spread evenly over the list, so that the short form has its share of them.
        is_long = (place + 1) * longs // len(names) > place * longs // len(names)
        account, was_clipped = _fit(
            name,
            is_long,
            population.equity is not None,
            balance_of(uniform[0]),
            leverage_of(uniform[1]),
            profit_of(uniform[2]),
            rules,
        )
        clipped += was_clipped
        empty += account.lots == 0
        out.append(account)
    return Draw(tuple(out), clipped, empty)


def _fit(
    name: str,
    is_long: bool,
    is_equity: bool,
    balance: float,
    leverage: float,
    profit: float,
    rules: Rules,
) -> tuple[Drawn, bool]:
    """The nearest account that the rules can open, and whether anything had to give."""
    money = max(int(balance * 100), 0) * CENT
    ratio = 1 + profit if is_long else 1 - profit
    entry = math.floor(rules.start / ratio + 0.5) if ratio > 0 else rules.most_ticks + 1
    clipped = not 1 <= entry <= rules.most_ticks
    entry = min(max(entry, 1), rules.most_ticks)
    wanted = int(max(money * leverage, 0) / rules.start)
    lots = min(wanted, rules.most_lots)
    side = 1 if is_long else -1

    def collateral(size: int) -> int:
        if not is_equity:
            return money
        # Down to the cent: what is rounded off is not the account's.
        return (money - side * size * (rules.start - entry)) // CENT * CENT

    def fits(size: int) -> bool:
        deposit = collateral(size)
        equity = deposit + side * size * (rules.start - entry)
        return deposit >= rules.initial(size, entry) and equity >= rules.maintenance(
            size, rules.start
        )

    while lots and not fits(lots):
        lots = lots * 49 // 50
    clipped = clipped or lots != wanted
    if lots and lots * min(entry, rules.start) < rules.min_notional:
        lots, clipped = 0, True
    return Drawn(name, max(collateral(lots), 0), side * lots, entry), clipped
