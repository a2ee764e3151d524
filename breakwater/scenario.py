"""Reads a scenario file and says exactly what is wrong with it.

Owns: the format (the models), the checks that need no chain, and the integers behind the text.
May not: run a scenario, talk to a chain, or change a file.

``load(path)`` gives a Scenario or raises one ScenarioError holding every problem found, each as
``file:line: key.path: found X, expected Y``. Money, prices and sizes are decimal strings; plain
whole numbers may go without quotes, fractions may not, because YAML would make floats of them.
"""

from __future__ import annotations

import contextlib
import csv
import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from breakwater import expect as expectations
from breakwater import paths, population, units
from breakwater.fields import (
    NAME_PATTERN,
    DecimalText,
    Fraction,
    Level,
    MaxStep,
    Money,
    Move,
    Name,
    Part,
    PositiveMoney,
    Share,
    Symbol,
    Text,
    Unquoted,
    expected,
)
from breakwater.paths import Prices, Profile
from breakwater.population import Population
from breakwater.seeds import generator

# Names the driver and the result use for what the venue itself owns, or that a path into a
# result would misread.
RESERVED_NAMES: Final = frozenset(
    {"vault", "tranche", "insurance", "owner", "deployer", "keeper", "reporter", "venue"}
    | {"oracle", "length"}
)
RESERVED_PREFIX: Final = "estate"
MAKER_MARKETS: Final = 8
"""Markets that one account may hold. For more, the market maker has further accounts."""

Loc = tuple[str | int, ...]
_Model = TypeVar("_Model", bound=BaseModel)


# ---------------------------------------------------------------- errors


@dataclass(frozen=True)
class Problem:
    """One thing wrong: where (file, line from 1, dotted key), what was found, what is expected."""

    file: str
    line: int
    key: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}: found {self.found}, expected {self.expected}"


class ScenarioError(ValueError):
    """Every problem of one scenario file, in the order of its lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(str(problem) for problem in self.problems))


# A new rule of the venue is added here and in breakwater/venue.py.
Score = Literal["hyperliquid_docs", "return_x_leverage", "binance"]
Allocation = Literal["queue", "pro_rata_pnl", "pro_rata_size", "capped_pro_rata", "drain_leverage"]
Close = Literal["bankruptcy", "previous_mark", "mark"]
Trigger = Literal["underwater", "unfillable"]
RankingEngine = Literal["scan", "index"]


# ---------------------------------------------------------------- models


class Venue(Part):
    """The venue's rules. Every key has a default."""

    score: Score = Field(default="hyperliquid_docs", description="what ranks the winners")
    allocation: Allocation = Field(
        default="queue", description="how a round is shared among winners"
    )
    largest_share: Fraction = Field(
        default="0.25",
        description="capped_pro_rata: the largest part of its position that one account gives up",
    )
    close: Close = Field(default="bankruptcy", description="the price at which winners are closed")
    trigger: Trigger = Field(default="underwater", description="when auto-deleveraging begins")
    insurance: Money = Field(default="0", description="USDC contributed to the vault")
    tranche: Money = Field(
        default="0",
        description="USDC of the vault's tranche, beside the insurance; above 0: a backstop",
    )
    ring_fences: dict[str, Fraction] = Field(
        default_factory=dict,
        description="market to the part of insurance that pays for it, and it alone",
    )
    partial_above: Money | None = Field(
        default=None, description="USDC above which a position is liquidated by a fifth first"
    )
    liquidation_fee: Fraction | None = Field(
        default=None, description="of what a liquidation closes, at most 0.01, to the vault"
    )
    reward: Money = Field(
        default="0",
        description="USDC that a liquidated account pays the keeper, at most 10; with a fee only",
    )
    reward_share: Share = Field(default="0", description="the keeper's part of the fee")
    keeper_account: str | None = Field(
        default=None, description="the account that the keeper's rewards go to"
    )
    backstop_limits: dict[str, Money] = Field(
        default_factory=dict,
        description="market to the USDC that the tranche may hold of it; without one: no limit",
    )
    tranche_share: Share = Field(
        default="1", description="the largest part of the vault that the tranche may be"
    )
    vault_deposits: dict[Name, PositiveMoney] = Field(
        default_factory=dict, description="depositor to USDC, beside the insurance, which is a gift"
    )
    exit_delay: Annotated[int, Field(ge=0, le=30 * 86_400)] = Field(
        default=86_400, description="seconds from a depositor's request to the exit"
    )
    max_step: MaxStep = Field(
        default="0.01",
        description="largest move of a mark in one epoch, as a fraction; none lifts the limit",
    )
    insured_band: Fraction = Field(
        default="0.1",
        description="how far from the mark insurance follows a falling book, as a fraction",
    )
    engine: RankingEngine = Field(default="scan", description="ranking engine")
    interval: Annotated[int, Field(ge=1, le=3_600)] = Field(
        default=3, description="seconds between two price epochs at least"
    )
    stale_after: Annotated[int, Field(ge=2, le=86_400)] = Field(
        default=3_600, description="seconds after which a price is stale"
    )

    @model_validator(mode="after")
    def _stale_later(self) -> Venue:
        if self.stale_after <= self.interval:
            raise expected("stale_after above interval")
        if self.liquidation_fee_ppm > 10_000:
            raise expected("a liquidation_fee of at most 0.01")
        if units.usdc(self.reward) > 10**7:
            raise expected("a reward of at most 10 USDC")
        rewarded = units.usdc(self.reward) or Decimal(self.reward_share)
        if rewarded and not (self.liquidation_fee_ppm and self.keeper_account):
            raise expected("a liquidation_fee and a keeper_account beside reward or reward_share")
        whole = self.insurance_micro + self.tranche_micro + sum(self.deposits_micro.values())
        if self.tranche_micro > Decimal(self.tranche_share) * whole:
            raise expected("a tranche within its tranche_share of the vault")
        return self

    @property
    def deposits_micro(self) -> dict[str, int]:
        """Micro-USDC that each depositor of the vault brings."""
        return {name: units.usdc(amount) for name, amount in self.vault_deposits.items()}

    @property
    def insurance_micro(self) -> int:
        """Micro-USDC contributed to the vault."""
        return units.usdc(self.insurance)

    @property
    def tranche_micro(self) -> int:
        """Micro-USDC of the backstop tranche."""
        return units.usdc(self.tranche)

    @property
    def liquidation_fee_ppm(self) -> int:
        """Of the notional that a liquidation closes, parts per million."""
        return units.fraction_ppm(self.liquidation_fee) if self.liquidation_fee else 0

    @property
    def largest_share_ppm(self) -> int:
        """Cap of one account under capped_pro_rata, parts per million of its position."""
        return units.fraction_ppm(self.largest_share)

    @property
    def fences_ppm(self) -> dict[str, int]:
        """Part of insurance for each fenced market, parts per million."""
        return {symbol: units.fraction_ppm(share) for symbol, share in self.ring_fences.items()}

    @property
    def max_step_ppm(self) -> int:
        """Largest move of a mark in one epoch, parts per million; 0 means no limit."""
        return 0 if self.max_step == "none" else units.fraction_ppm(self.max_step)

    @property
    def insured_band_ppm(self) -> int:
        """Distance from the mark up to which insurance pays for a fill, parts per million."""
        return units.fraction_ppm(self.insured_band)


class Market(Part):
    """One market. Its name is its key in ``markets``."""

    size_decimals: int = Field(ge=0, le=6, description="1 lot is 10^-d, 1 tick is 10^-(6-d) USDC")
    max_leverage: int = Field(ge=1, le=100, description="a whole number, such as 20")
    price: DecimalText = Field(description="the mark when the path starts, USDC")
    min_notional: Money = Field(default="10", description="smallest order, USDC")
    tiers: list[Level] = Field(
        default_factory=list,
        max_length=4,
        description="[notional in USDC, leverage] pairs: above that notional, that leverage",
    )
    taker_fee: Share = Field(default="0", description="of the notional, at most 0.01")
    maker_fee: Share = Field(default="0", description="of the notional, at most 0.01")
    band: Share = Field(
        default="0", description="how far from the mark an order may trade, below 1; 0: anywhere"
    )
    open_interest_cap: DecimalText | None = Field(
        default=None, description="units at which nobody's position grows any more"
    )

    _symbol: str = PrivateAttr("")

    @property
    def symbol(self) -> str:
        """The market's name."""
        return self._symbol

    @property
    def price_ticks(self) -> int:
        """The mark when the path starts, in ticks."""
        return self.to_ticks(self.price)

    @property
    def min_notional_micro(self) -> int:
        """Smallest order, micro-USDC."""
        return units.usdc(self.min_notional)

    def to_lots(self, size: str) -> int:
        """Units as text to signed lots; UnitError if off lot."""
        return units.lots(size, self.size_decimals, self._symbol)

    def to_ticks(self, price: str) -> int:
        """USDC as text to ticks; UnitError if off tick or out of range."""
        return units.ticks(price, self.size_decimals, self._symbol)

    def format_lots(self, lots: int) -> str:
        """Lots to units as text."""
        return units.format_lots(lots, self.size_decimals)

    def format_ticks(self, ticks: int) -> str:
        """Ticks to USDC as text."""
        return units.format_ticks(ticks, self.size_decimals)

    @property
    def tier_bounds(self) -> list[int]:
        """Notional in micro-USDC above which each tier applies; 0 first."""
        return [0, *(units.usdc(bound) for bound, _ in self.tiers)]

    @property
    def tier_leverages(self) -> list[int]:
        """Maximum leverage of each tier."""
        return [self.max_leverage, *(units.lots(leverage, 0) for _, leverage in self.tiers)]

    @property
    def has_terms(self) -> bool:
        """Whether fees, band or cap differ from what a new market has."""
        return bool({"taker_fee", "maker_fee", "band", "open_interest_cap"} & self.model_fields_set)

    def _tier(self, notional: int) -> tuple[int, int]:
        """Leverage and deduction (micro-USDC, rounded down) at a notional, as the Governor does."""
        bounds, leverages = self.tier_bounds, self.tier_leverages
        deduction = 0
        leverage = leverages[0]
        for i in range(1, len(bounds)):
            if notional <= bounds[i]:
                break
            above, leverage = leverages[i - 1], leverages[i]
            deduction += bounds[i] * (above - leverage) // (2 * leverage * above)
        return leverage, deduction

    def initial_margin(self, lots: int, ticks: int) -> int:
        """Micro-USDC needed to open this size at this price, rounded up."""
        notional = abs(lots) * ticks
        leverage, deduction = self._tier(notional)
        return -(-notional // leverage) - 2 * deduction

    def maintenance_margin(self, lots: int, ticks: int) -> int:
        """Micro-USDC needed to keep this size at this price, rounded up."""
        notional = abs(lots) * ticks
        leverage, deduction = self._tier(notional)
        return -(-notional // (2 * leverage)) - deduction

    def rules(self) -> population.Rules:
        """What a drawn account must meet here."""
        return population.Rules(
            start=self.price_ticks,
            size_decimals=self.size_decimals,
            most_lots=2**54,
            most_ticks=units.MAX_TICKS,
            min_notional=self.min_notional_micro,
            initial=self.initial_margin,
            maintenance=self.maintenance_margin,
        )


class Position(Part):
    """A position opened before the path starts."""

    size: DecimalText = Field(description="units, negative for a short")
    entry: DecimalText = Field(description="price in USDC, on tick")


class ScenarioAccount(Part):
    """A trader, with what it holds when the path starts."""

    name: Name = Field(description="a name of its own")
    collateral: Money = Field(description="USDC deposited, as a decimal string")
    positions: dict[str, Position] = Field(default_factory=dict, description="by market")
    allow_unhealthy: bool = Field(
        default=False, description="the account may start below its maintenance margin"
    )

    @property
    def collateral_micro(self) -> int:
        """Deposit in micro-USDC."""
        return units.usdc(self.collateral)


class MarketMaker(Part):
    """Takes what does not balance when positions are opened, and owns books by default."""

    name: Name = Field(default="maker", description="a name of its own")
    collateral: Money = Field(default="1000000", description="USDC deposited, as a decimal string")

    @property
    def collateral_micro(self) -> int:
        """Deposit in micro-USDC."""
        return units.usdc(self.collateral)


class Book(Part):
    """Orders that rest in one market when the path starts, in order of arrival."""

    owner: str | None = Field(
        default=None, description="the account whose orders rest; the market maker"
    )
    bids: list[Level] = Field(default_factory=list, description="[price, size] pairs")
    asks: list[Level] = Field(default_factory=list, description="[price, size] pairs")
    csv: Text | None = Field(
        default=None,
        description="file of bids instead, beside this one: columns price..., quantity...",
    )
    profile: Profile | None = Field(
        default=None, description="instead of levels: a quoted book that thins out"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Book:
        for key in ("owner", "csv", "profile"):
            if key in self.model_fields_set and getattr(self, key) is None:
                raise expected(f"a value for {key}, or no such key")
        if self.csv is not None and "bids" in self.model_fields_set:
            raise expected("either bids or csv, not both")
        if self.profile is not None and {"bids", "asks", "csv"} & self.model_fields_set:
            raise expected("either a profile or bids, asks and csv")
        return self


class Trade(Part):
    """An order sent by an account."""

    account: str = Field(description="an account's name")
    market: str = Field(description="a market's name")
    side: Literal["buy", "sell"] = Field(description="buy or sell")
    size: DecimalText = Field(description="units, more than zero")
    price: DecimalText = Field(description="limit in USDC, on tick")
    tif: Literal["gtc", "ioc"] = Field(
        default="gtc", description="gtc rests until cancelled, ioc fills at once or not at all"
    )


class Cancel(Part):
    """Pulls all resting orders of an account."""

    account: str = Field(description="an account's name")


class Transfer(Part):
    """A deposit or a withdrawal."""

    account: str = Field(description="an account's name")
    amount: PositiveMoney = Field(description="USDC, more than zero")

    @property
    def amount_micro(self) -> int:
        """Micro-USDC."""
        return units.usdc(self.amount)


class OracleFault(Part):
    """What the oracle reports wrongly, for the next steps of the path."""

    market: str = Field(description="a market's name")
    stale: Literal[True] | None = Field(default=None, description="true: it reports nothing")
    distort: Move | None = Field(
        default=None, description='it reports this much more, "-0.2" is 20% less'
    )
    steps: Annotated[int, Field(ge=1)] = Field(description="how many of the next steps")

    @model_validator(mode="after")
    def _one_fault(self) -> OracleFault:
        if (self.stale is None) == (self.distort is None):
            raise expected("either stale: true or distort")
        return self


class Quotes(Part):
    """A market's book quoted anew, its profile around the mark of that moment."""

    market: str = Field(description="a market whose book has a profile")
    scale: Share = Field(default="1", description="sizes over those of the file; 0 pulls the book")


class Rush(Part):
    """Everybody in a population wants money out at once, in order; who is refused is counted."""

    population: str = Field(description="a population's name")
    share: Share = Field(description="of each account's cash, rounded down")


class VaultExit(Part):
    """A depositor of the vault wants out: first the request, after `exit_delay` the money."""

    depositor: str = Field(description="a name in vault_deposits")
    action: Literal["request", "redeem"] = Field(description="which of the two steps")
    share: Share = Field(default="1", description="of the depositor's shares, rounded down")


ACTIONS: Final = (
    "set_price", "wait", "keeper", "trade", "cancel", "deposit", "withdraw", "liquidate", "keep",
    "prices", "keeper_every", "keeper_asleep", "oracle", "quotes", "sample", "rush", "vault_exit",
)  # fmt: skip


def _step_schema(schema: dict[str, Any]) -> None:
    """In the editor's schema: exactly one action, and no nulls."""
    for prop in schema["properties"].values():
        for option in prop.pop("anyOf", []):
            if option.get("type") != "null":
                prop.update(option)
        prop.pop("default", None)
    schema["oneOf"] = [{"required": [action]} for action in ACTIONS]


class Step(Part):
    """One step of the path: exactly one action, and a note if one likes."""

    model_config = ConfigDict(json_schema_extra=_step_schema)

    set_price: Annotated[dict[str, DecimalText], Field(min_length=1)] | None = Field(
        default=None, description="new oracle prices by market, USDC"
    )
    wait: Annotated[int, Field(ge=1, le=315_360_000)] | None = Field(
        default=None, description="seconds that pass"
    )
    keeper: Literal["on", "off"] | None = Field(
        default=None,
        description="whether the keeper acts after every step; on when the path starts",
    )
    trade: Trade | None = Field(default=None, description="an order of an account")
    cancel: Cancel | None = Field(default=None, description="pull all resting orders of an account")
    deposit: Transfer | None = Field(default=None, description="USDC into an account")
    withdraw: Transfer | None = Field(default=None, description="USDC out of an account")
    liquidate: str | None = Field(default=None, description="one call for this account")
    keep: Literal[True] | None = Field(default=None, description="true: run the keeper once")
    prices: Prices | None = Field(default=None, description="a stretch of prices of one market")
    keeper_every: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="from now on the keeper acts after every n-th step only"
    )
    keeper_asleep: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="the keeper sleeps for so many of the next steps"
    )
    oracle: OracleFault | None = Field(
        default=None, description="a fault of the oracle, for the next steps"
    )
    quotes: Quotes | None = Field(default=None, description="quote a market's book anew")
    sample: str | None = Field(
        default=None, description="read a market's book for mark and funding"
    )
    rush: Rush | None = Field(default=None, description="a population withdraws")
    vault_exit: VaultExit | None = Field(default=None, description="a run on the vault")
    seconds: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=0, description="with set_price: seconds that pass before the price is reported"
    )
    note: str | None = Field(default=None, description="one line for the reader")

    @model_validator(mode="after")
    def _one_action(self) -> Step:
        given = [action for action in ACTIONS if action in self.model_fields_set]
        if len(given) != 1:
            what = f"{len(given)} ({', '.join(given)})" if given else "none"
            raise expected(f"exactly one action of {', '.join(ACTIONS)}; there is {what}")
        if self.seconds and given[0] != "set_price":
            raise expected("seconds only beside set_price (prices and wait have their own)")
        for key in (given[0], "note"):
            if key in self.model_fields_set and getattr(self, key) is None:
                raise expected(f"a value for {key}")
        return self

    @property
    def action(self) -> str:
        """The name of the one action."""
        return next(action for action in ACTIONS if getattr(self, action) is not None)


@dataclass(frozen=True)
class BookLevel:
    """A resting order: price in ticks, size in lots (positive)."""

    ticks: int
    lots: int


@dataclass(frozen=True)
class ResolvedBook:
    """What rests in a market when the path starts; each side in order of arrival."""

    owner: str
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]


@dataclass(frozen=True)
class Opening:
    """A position to open before the path starts: signed lots at a price in ticks."""

    account: str
    market: str
    lots: int
    ticks: int


class Printed(Part):
    """A figure of the source's, to stand beside the venue's own."""

    what: Text = Field(description="what the figure is")
    printed: DecimalText = Field(description="the figure as the source prints it")
    path: Text = Field(description="where the venue's own is in the result, as in expect")
    why: Text = Field(description="one sentence: the same, or where and why they differ")


SMALL_ACCOUNTS: Final = 25
SMALL_STEPS: Final = 60


def _maker_names(name: str, markets: int) -> list[str]:
    return [name, *(f"{name}_{i}" for i in range(2, -(-markets // MAKER_MARKETS) + 1))]


class Scenario(Part):
    """A whole scenario file."""

    name: Name = Field(description="the name of the file without .yaml")
    description: Text = Field(description="one line")
    source: Text = Field(description="where the figures are from and what is real in them")
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="a whole number")
    venue: Venue = Field(default_factory=Venue, description="the venue's rules")
    markets: dict[Symbol, Market] = Field(
        min_length=1, max_length=64, description="markets by name"
    )
    accounts: list[ScenarioAccount] = Field(
        default_factory=list, description="traders; may be left out where there are populations"
    )
    populations: list[Population] = Field(
        default_factory=list, description="accounts drawn from the seed"
    )
    market_maker: MarketMaker = Field(
        default_factory=MarketMaker, description="takes what does not balance"
    )
    book: dict[str, Book] = Field(default_factory=dict, description="resting orders by market")
    path: list[Step] = Field(min_length=1, description="what happens, step by step")
    printed: list[Printed] = Field(
        default_factory=list, description="the source's figures beside the venue's own"
    )
    expect: dict[str, Any] = Field(
        min_length=1, description="what must hold in the result, by dotted path"
    )

    expect_full: dict[str, Any] = Field(
        default_factory=dict, description="what else must hold in the full form"
    )
    expect_short: dict[str, Any] = Field(
        default_factory=dict, description="what else must hold in the short form"
    )

    _books: dict[str, ResolvedBook] = PrivateAttr(default_factory=dict)
    _steps: tuple[Step, ...] | None = PrivateAttr(None)
    _drawn: tuple[population.Draw, ...] = PrivateAttr(())
    _short: bool = PrivateAttr(False)

    def model_post_init(self, context: Any, /) -> None:
        for symbol, market in self.markets.items():
            market._symbol = symbol

    @property
    def is_short(self) -> bool:
        """Whether this is the short form."""
        return self._short

    @property
    def has_short(self) -> bool:
        """Whether the file has a short form of its own."""
        return any(p.short_count is not None for p in self.populations) or any(
            step.prices is not None and step.prices.short_steps is not None for step in self.path
        )

    @property
    def is_small(self) -> bool:
        """Whether this form is quick on a devnet too, where each reading of an account is a round
        trip: at most 25 accounts and 60 steps. Tests run such forms on both engines, others in
        process only."""
        return len(self.account_names) <= SMALL_ACCOUNTS and len(self.steps) <= SMALL_STEPS

    @property
    def expected(self) -> dict[str, Any]:
        """What must hold in this form: `expect` and the form's own."""
        return {**self.expect, **(self.expect_short if self._short else self.expect_full)}

    @property
    def steps(self) -> tuple[Step, ...]:
        """The path with every stretch of prices written out."""
        return self._steps if self._steps is not None else tuple(self.path)

    @property
    def draws(self) -> dict[str, population.Draw]:
        """The populations as drawn, by name."""
        return {p.name: d for p, d in zip(self.populations, self._drawn, strict=False)}

    @property
    def deposits(self) -> dict[str, int]:
        """Micro-USDC that every account begins with, in the order of `account_names`."""
        out = {account.name: account.collateral_micro for account in self.accounts}
        out |= {drawn.name: drawn.collateral for draw in self._drawn for drawn in draw.accounts}
        return out | dict.fromkeys(self.makers, self.market_maker.collateral_micro)

    @property
    def makers(self) -> list[str]:
        """The market maker's accounts: one for every eight markets, with its collateral each."""
        return _maker_names(self.market_maker.name, len(self.markets))

    def maker_of(self, market: str) -> str:
        """The account of the market maker that trades this market."""
        return self.makers[list(self.markets).index(market) // MAKER_MARKETS]

    @property
    def account_names(self) -> tuple[str, ...]:
        """Every trader in file order, those drawn, then the market maker."""
        return tuple(self.deposits)

    def resolved_book(self, market: str) -> ResolvedBook:
        """What rests in ``market``, csv included; empty if the file says nothing.

        Csv files are read by ``load``; in a Scenario made without it they are not there.
        """
        empty = ResolvedBook(self.maker_of(market), (), ())
        return self._books.get(market, empty)

    def openings(self) -> tuple[Opening, ...]:
        """Every stated position, market by market, each by entry, then in file order."""
        out = [
            Opening(account.name, symbol, market.to_lots(held.size), market.to_ticks(held.entry))
            for symbol, market in self.markets.items()
            for account in self.accounts
            for key, held in account.positions.items()
            if key == symbol
        ]
        out += [
            Opening(drawn.name, crowd.market, drawn.lots, drawn.entry)
            for crowd, draw in zip(self.populations, self._drawn, strict=False)
            for drawn in draw.accounts
            if drawn.lots
        ]
        order = {symbol: index for index, symbol in enumerate(self.markets)}
        return tuple(sorted(out, key=lambda opening: (order[opening.market], opening.ticks)))

    def imbalance(self, market: str) -> int:
        """Sum of the stated sizes in signed lots; the market maker ends with minus that."""
        return sum(opening.lots for opening in self.openings() if opening.market == market)


def json_schema() -> dict[str, Any]:
    """JSON Schema of the format, for editors: what `scenarios/schema.json` holds."""
    schema = Scenario.model_json_schema()
    bare = schema["$defs"]["ScenarioAccount"]["properties"]["collateral"]["anyOf"]
    crowd = schema["$defs"]["Population"]["properties"]
    for key in ("collateral", "equity", "leverage", "profit"):
        # A bare number stands for a distribution of one value.
        about = crowd[key].get("description", "")
        crowd[key] = {"anyOf": [*bare, {"$ref": "#/$defs/Distribution"}], "description": about}
    _without_nulls(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _without_nulls(part: Any) -> None:
    """No key of the format may be null: one that has no value is left out."""
    if isinstance(part, dict):
        options = part.get("anyOf", [])
        if {"type": "null"} in options:
            options.remove({"type": "null"})
            part.pop("default", None)
            if len(options) == 1:
                part.update(part.pop("anyOf")[0])
        for inner in part.values():
            _without_nulls(inner)
    elif isinstance(part, list):
        for inner in part:
            _without_nulls(inner)


# ---------------------------------------------------------------- YAML with lines


_MOST_NODES: Final = 500_000
_PLAIN_INT = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,29})")


class _Document:
    """A YAML file as plain data, and the line of every key in it."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._nodes = 0
        self.root = self._compose(text)
        self.data = self._plain(self.root, (), ())

    def _fail(self, line: int, found: str, expected: str) -> ScenarioError:
        return ScenarioError([Problem(self.file, line, "scenario", found, expected)])

    def _compose(self, text: str) -> Node:
        try:
            root = YAML(typ="rt").compose(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = " ".join(str(error.problem or error.context or "bad syntax").split())
            what = what.removeprefix("found ")
            raise self._fail(mark.line + 1 if mark else 1, what, "valid YAML") from error
        except (YAMLError, ValueError, RecursionError) as error:
            lines = str(error).strip().splitlines()
            what = lines[0] if lines else type(error).__name__
            raise self._fail(1, what, "valid YAML") from error
        if root is None:
            raise self._fail(1, "an empty file", "a mapping with name, markets, accounts, ...")
        if not isinstance(root, MappingNode):
            kind = "a list" if isinstance(root, SequenceNode) else "a single value"
            raise self._fail(
                root.start_mark.line + 1, kind, "a mapping with name, markets, accounts, ..."
            )
        return root

    def _plain(self, node: Node, loc: Loc, above: tuple[int, ...]) -> Any:
        # aliases can repeat a part without end, or a thousand times within a thousand
        self._nodes += 1
        if id(node) in above or len(above) > 40 or self._nodes > _MOST_NODES:
            raise self._fail(node.start_mark.line + 1, "endless nesting", "a file of finite size")
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        above = (*above, id(node))
        if isinstance(node, SequenceNode):
            return [self._plain(item, (*loc, i), above) for i, item in enumerate(node.value)]
        out: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = str(key_node.value) if isinstance(key_node, ScalarNode) else "?"
            here = (*loc, key)
            if key in out:
                self.problems.append(
                    Problem(
                        self.file,
                        line,
                        _dotted(here),
                        f"the key {key} again (first on line {first[key]})",
                        "each key once",
                    )
                )
                continue
            first[key] = line
            out[key] = self._plain(value_node, here, above)
        return out

    @staticmethod
    def _scalar(node: ScalarNode) -> Any:
        # The reader marks with a bell where a folded text (>-) was folded.
        text = str(node.value).replace("\a", "")
        kind = str(node.tag).rpartition(":")[2]
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "int" and _PLAIN_INT.fullmatch(text):
            return int(text)
        return Unquoted(text) if kind in ("int", "float") else text

    def line(self, loc: Loc) -> int:
        """Line, from 1, of the key or item at ``loc``, or of the nearest thing above it."""
        node, line = self.root, self.root.start_mark.line
        for part in loc:
            if isinstance(node, MappingNode):
                pairs = [(k, v) for k, v in node.value if str(k.value) == part]
                if not pairs:
                    break
                line, node = pairs[0][0].start_mark.line, pairs[0][1]
            elif isinstance(node, SequenceNode) and isinstance(part, int):
                if part >= len(node.value):
                    break
                node = node.value[part]
                line = node.start_mark.line
            else:
                break
        return int(line) + 1

    def add(self, loc: Loc, found: str, expected: str) -> None:
        self.problems.append(Problem(self.file, self.line(loc), _dotted(loc), found, expected))


def _dotted(loc: Loc) -> str:
    out = ""
    for part in loc:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            out += f".{part}" if out else part
    return out or "scenario"


def _show(value: object) -> str:
    """What was found, in a few words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Unquoted):
        return f"{value.text} without quotes"
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    text = str(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return f'"{text}"' if isinstance(value, str) else text


def _suggest(word: str, known: Iterable[str]) -> str:
    """The known words, and the one that was probably meant."""
    words = list(known)
    listed = ", ".join(words[:12]) + (", ..." if len(words) > 12 else "")
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"one of {listed}{hint}" if words else "none: there are none"


# ---------------------------------------------------------------- shape


def _model_at(loc: Loc) -> type[BaseModel]:
    """The model whose keys stand at ``loc``."""
    model: type[BaseModel] = Scenario
    for part in loc:
        # Indexes and the names of markets lead from a list or a mapping to its items.
        field = model.model_fields.get(part) if isinstance(part, str) else None
        inner = _model_in(field.annotation) if field is not None else None
        model = inner or model
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The first model that an annotation mentions: of a list's items, a mapping's values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for arg in get_args(annotation) if (m := _model_in(arg)) is not None), None)


_KINDS: Final = {
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "bool_type": "true or false",
}


def _translate(doc: _Document, error: ErrorDetails) -> None:
    """One pydantic error as a problem with file, line, found and expected."""
    loc: Loc = error["loc"]
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if loc and loc[-1] == "[key]":
        loc = loc[:-1]
    found = _show(value)
    if kind == "missing":
        fields = _model_at(loc[:-1]).model_fields
        about = fields[str(loc[-1])].description if str(loc[-1]) in fields else ""
        found, expected = "no such key", f"the key {loc[-1]}" + (f": {about}" if about else "")
    elif kind == "extra_forbidden":
        found = f'the unknown key "{loc[-1]}"'
        expected = _suggest(str(loc[-1]), _model_at(loc[:-1]).model_fields)
    elif kind == "expected":
        expected = context["expected"]
    elif kind == "value_error":
        cause = context["error"]
        expected = str(cause)
        if isinstance(cause, units.UnitError):
            expected = f"{cause.expected} ({cause})"
    elif kind == "literal_error":
        options = context["expected"].replace("'", "").replace("True", "true")
        expected = options if " or " in options else f"{options} (nothing else yet)"
        if options == "true":
            expected = "true"
    elif kind == "string_type":
        text = value.text if isinstance(value, Unquoted) else value
        quotable = isinstance(value, Unquoted | int) and not isinstance(value, bool)
        expected = f'text: quote it, "{text}"' if quotable else "text"
    elif kind == "int_type":
        expected = "a whole number without quotes"
    elif kind == "string_pattern_mismatch":
        expected = "a name of letters, digits, _ and -, that begins with a letter"
        if loc[0] == "markets":
            expected = "a market's name of at most 16 letters, digits, _ and -"
    elif kind == "string_too_short":
        expected = "some text"
    elif kind == "too_short":
        expected = f"at least {context['min_length']}"
    elif kind == "too_long":
        expected = f"at most {context['max_length']}"
    elif kind == "greater_than_equal":
        expected = f"{context['ge']} or more"
    elif kind == "less_than_equal":
        expected = f"{context['le']} or less"
    else:
        expected = _KINDS.get(kind, error["msg"])
    if kind in ("too_short", "too_long", "list_type") and loc[0] == "book" and len(loc) == 4:
        expected = "a pair [price, size]"
    doc.add(loc, found, expected)


# ---------------------------------------------------------------- meaning


class _Meaning:
    """Checks what no type can say, on every part whose shape is right."""

    def __init__(self, doc: _Document, bad: set[Loc], path: Path, short: bool = False) -> None:
        self.doc, self.bad, self.path = doc, bad, path
        data = doc.data
        self.venue = self._good(Venue, data.get("venue", {}), ("venue",))
        self.markets: dict[str, Market] = {}
        for symbol, raw in self._mapping("markets").items():
            market = self._good(Market, raw, ("markets", symbol))
            if market is not None:
                market._symbol = symbol
                self.markets[symbol] = market
        self.maker = self._good(MarketMaker, data.get("market_maker", {}), ("market_maker",))
        self.accounts = [
            (i, account)
            for i, raw in enumerate(self._list("accounts"))
            if (account := self._good(ScenarioAccount, raw, ("accounts", i))) is not None
        ]
        # Names count even where the rest of the account is wrong. Where a name itself is wrong,
        # nothing can be called unknown.
        raws = [*self._list("accounts"), {"name": "maker", **self._mapping("market_maker")}]
        names = [raw.get("name") if isinstance(raw, dict) else None for raw in raws]
        self.names = [n for n in names if isinstance(n, str) and re.match(NAME_PATTERN, n)]
        self.names_are_whole = len(self.names) == len(names)
        self.short = short
        self.crowds = [
            (i, crowd)
            for i, raw in enumerate(self._list("populations"))
            if (crowd := self._good(Population, raw, ("populations", i))) is not None
        ]
        if len(self.crowds) != len(self._list("populations")):
            self.names_are_whole = False
        self.names += [name for _, crowd in self.crowds for name in crowd.names(short)]
        self.books: dict[str, ResolvedBook] = {}
        self.steps: list[Step] = []
        self.drawn: list[population.Draw] = []

    def _mapping(self, key: str) -> dict[str, Any]:
        raw = self.doc.data.get(key)
        return raw if isinstance(raw, dict) else {}

    def _list(self, key: str) -> list[Any]:
        raw = self.doc.data.get(key)
        return raw if isinstance(raw, list) else []

    def _good(self, model: type[_Model], raw: object, loc: Loc) -> _Model | None:
        if any(loc[: len(bad)] == bad for bad in self.bad if bad):
            return None
        return model.model_validate(raw)

    def run(self) -> None:
        self._name()
        self._names()
        for symbol, market in list(self.markets.items()):
            # without its price nothing in a market can be valued
            loc: Loc = ("markets", symbol)
            priced = self._grid((*loc, "price"), market.to_ticks, market.price) is not None
            if not priced or not self._terms(loc, market):
                del self.markets[symbol]
            else:
                self._steps(symbol, market)
        before = len(self.doc.problems)
        if not self._list("accounts") and not self._list("populations"):
            self.doc.add(("accounts",), "nobody", "at least one account, or populations")
        for index, account in self.accounts:
            self._account(index, account)
        for index, crowd in self.crowds:
            self._crowd(("populations", index), crowd)
        self._carry(len(self.doc.problems) > before)
        if self.venue is not None:
            self._fences(self.venue)
        for symbol, raw in self._mapping("book").items():
            self._book(symbol, self._good(Book, raw, ("book", symbol)))
        self.prices = {symbol: market.price_ticks for symbol, market in self.markets.items()}
        for index, raw in enumerate(self._list("path")):
            step = self._good(Step, raw, ("path", index))
            if step is not None:
                self._step(("path", index), step)
                self.steps += self._written_out(("path", index), step)
        for index, raw in enumerate(self._list("printed")):
            row = self._good(Printed, raw, ("printed", index))
            problem = expectations.path_problem(row.path) if row is not None else None
            if problem is not None:
                self.doc.add(("printed", index, "path"), *problem)
        for block in ("expect", "expect_full", "expect_short"):
            self._expect(block)

    def _steps(self, symbol: str, market: Market) -> None:
        """The venue's own rule: one step takes less than maintenance, 1 / (2 * leverage)."""
        step = self.venue.max_step_ppm if self.venue is not None else 0
        if 2 * market.max_leverage * step >= 10**6:
            self.doc.add(
                ("markets", symbol, "max_leverage"),
                f"{market.max_leverage}, whose maintenance rate a step of {step} ppm reaches",
                f"at most {(10**6 - 1) // (2 * step)}, or a smaller venue.max_step, or none, which "
                "lifts the limit",
            )

    def _grid(self, loc: Loc, convert: Callable[[str], int], text: str) -> int | None:
        try:
            return convert(text)
        except units.UnitError as error:
            self.doc.add(loc, _show(text), f"{error.expected} ({error})")
            return None

    def _market(self, loc: Loc, symbol: str) -> Market | None:
        known = self._mapping("markets")
        if symbol not in known:
            self.doc.add(loc, f"the unknown market {symbol}", _suggest(symbol, known))
        return self.markets.get(symbol)

    def _known(self, loc: Loc, name: str) -> None:
        if name not in self.names and self.names_are_whole:
            found = f"the unknown account {name}"
            self.doc.add(loc, found, _suggest(name, sorted(set(self.names))))

    def _name(self) -> None:
        name = self.doc.data.get("name")
        if isinstance(name, str) and ("name",) not in self.bad and name != self.path.stem:
            self.doc.add(("name",), _show(name), f'"{self.path.stem}", the name of the file')

    def _terms(self, loc: Loc, market: Market) -> bool:
        before = len(self.doc.problems)
        for key in ("taker_fee", "maker_fee"):
            fee = getattr(market, key)
            if Decimal(fee) > Decimal("0.01") or Decimal(fee) * 10**6 % 1:
                self.doc.add((*loc, key), _show(fee), "at most 0.01, in steps of 0.000001")
        if Decimal(market.band) >= 1 or Decimal(market.band) * 10**6 % 1:
            self.doc.add((*loc, "band"), _show(market.band), "below 1, in steps of 0.000001")
        if market.open_interest_cap is not None:
            self._grid((*loc, "open_interest_cap"), market.to_lots, market.open_interest_cap)
        bound, leverage = 0, market.max_leverage
        for i, (text, rate) in enumerate(market.tiers):
            above = self._grid((*loc, "tiers", i, 0), units.usdc, text)
            lower = self._grid((*loc, "tiers", i, 1), lambda t: units.lots(t, 0), rate)
            if above is None or lower is None:
                continue
            if above <= bound or not 1 <= lower < leverage:
                self.doc.add(
                    (*loc, "tiers", i),
                    f"leverage {lower} above {units.format_usdc(above)} USDC",
                    f"rising notionals and falling leverages, from {leverage} above "
                    f"{units.format_usdc(bound)} USDC",
                )
            bound, leverage = above, lower
        return len(self.doc.problems) == before

    def _names(self) -> None:
        seen: dict[str, str] = {}
        stated: list[tuple[Loc, str]] = []
        for index, raw in enumerate(self._list("accounts")):
            if isinstance(raw, dict) and isinstance(raw.get("name"), str):
                stated.append((("accounts", index, "name"), raw["name"]))
        for index, crowd in self.crowds:
            stated += [(("populations", index, "name"), name) for name in crowd.names(self.short)]
            stated.append((("populations", index, "name"), crowd.name))
        if self.maker is not None:
            makers = _maker_names(self.maker.name, len(self._mapping("markets")))
            stated += [(("market_maker", "name"), name) for name in makers]
        for loc, name in stated:
            if name.lower() in RESERVED_NAMES or name.lower().startswith(RESERVED_PREFIX):
                self.doc.add(loc, f"the reserved name {name}", "a name the venue does not use")
            elif name in seen:
                found = f"the account name {name} again (it is {seen[name]})"
                self.doc.add(loc, found, "a name of its own for each account")
            else:
                seen[name] = _dotted(loc[:-1])

    def _account(self, index: int, account: ScenarioAccount) -> None:
        base: Loc = ("accounts", index, "positions")
        initial = maintenance = 0
        equity = collateral = account.collateral_micro
        whole = True
        parts: list[str] = []
        for symbol, held in account.positions.items():
            loc = (*base, symbol)
            market = self._market(loc, symbol)
            if market is None:
                whole = False
                continue
            lots = self._grid((*loc, "size"), market.to_lots, held.size)
            ticks = self._grid((*loc, "entry"), market.to_ticks, held.entry)
            if lots == 0:
                self.doc.add((*loc, "size"), _show(held.size), "a size other than zero")
            if not lots or ticks is None:
                whole = False
                continue
            self._notional((*loc, "size"), market, lots, ticks)
            needed = market.initial_margin(lots, ticks)
            parts.append(f"{symbol} {units.format_usdc(needed)}")
            initial += needed
            maintenance += market.maintenance_margin(lots, market.price_ticks)
            equity += lots * (market.price_ticks - ticks)
        if not whole or not account.positions:
            return
        if collateral < initial:
            self.doc.add(
                ("accounts", index, "collateral"),
                f"{_show(account.collateral)}, too little to open the positions of {account.name}",
                f"at least {units.format_usdc(initial)} USDC, "
                f"the initial margin at entry ({', '.join(parts)})",
            )
        if equity < maintenance and not account.allow_unhealthy:
            self.doc.add(
                ("accounts", index),
                f"{account.name} with equity {units.format_usdc(equity)} USDC at the start prices",
                f"at least its maintenance margin {units.format_usdc(maintenance)} USDC, "
                "or allow_unhealthy: true",
            )

    def _notional(self, loc: Loc, market: Market, lots: int, ticks: int) -> None:
        notional = abs(lots) * ticks
        if notional < market.min_notional_micro:
            self.doc.add(
                loc,
                f"an order of {units.format_usdc(notional)} USDC",
                f"at least {market.min_notional} USDC, the min_notional of {market.symbol}",
            )

    def _crowd(self, loc: Loc, crowd: Population) -> None:
        """Draws a population."""
        market = self._market((*loc, "market"), crowd.market)
        if market is None:
            return
        seed = self.doc.data.get("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            return
        try:
            self.drawn.append(
                population.draw(crowd, market.rules(), seed, self.path.parent, self.short)
            )
        except OSError as error:
            self.doc.add(loc, f"no readable file ({error})", "a file beside the scenario")
        except (ValueError, OverflowError) as error:
            self.doc.add(loc, str(error), "distributions with finite values")

    def _carry(self, doubtful: bool) -> None:
        """Whether the market maker has the margin for the other side, as positions are opened
        by entry, market after market, and when the marks then stand at the start prices."""
        stated = len(self._list("accounts"))
        if self.maker is None or doubtful or len(self.accounts) != stated:
            return
        if len(self.markets) != len(self._mapping("markets")):
            return
        if len(self.drawn) != len(self._list("populations")):
            return
        net: dict[str, dict[int, int]] = {symbol: {} for symbol in self.markets}
        for _, account in self.accounts:
            for symbol, held in account.positions.items():
                market = self.markets[symbol]
                at, lots = market.to_ticks(held.entry), market.to_lots(held.size)
                net[symbol][at] = net[symbol].get(at, 0) - lots
        for (_, crowd), draw in zip(self.crowds, self.drawn, strict=True):
            for drawn in draw.accounts:
                at = drawn.entry
                net[crowd.market][at] = net[crowd.market].get(at, 0) - drawn.lots
        size = dict.fromkeys(self.markets, 0)
        mark = dict.fromkeys(self.markets, 0)
        equity_base = self.maker.collateral_micro
        worst: tuple[int, int, int, str] | None = None

        def look(where: str, grows: bool = True) -> None:
            nonlocal worst
            equity = equity_base + sum(size[s] * mark[s] for s in size)
            # Who only reduces must not be below zero.
            needed = 0
            if grows:
                needed = sum(m.initial_margin(size[s], mark[s]) for s, m in self.markets.items())
            if equity < needed and (worst is None or needed - equity > worst[0]):
                worst = (needed - equity, needed, equity, where)

        for symbol, market in self.markets.items():
            for at in sorted(net[symbol]):
                lots = net[symbol][at]
                grows = abs(size[symbol] + lots) > abs(size[symbol])
                size[symbol] += lots
                equity_base -= lots * at
                mark[symbol] = at
                look(f"when the {symbol} positions at {market.format_ticks(at)} are opened", grows)
        for symbol, market in self.markets.items():
            mark[symbol] = market.price_ticks
        look("at the start prices")
        if worst is not None:
            _, needed, equity, where = worst
            self.doc.add(
                ("market_maker", "collateral"),
                f'"{self.maker.collateral}", too little to take the other side: equity '
                f"{units.format_usdc(equity)} USDC {where}",
                f"at least its initial margin there, {units.format_usdc(needed)} USDC",
            )

    def _fences(self, venue: Venue) -> None:
        for symbol in venue.ring_fences:
            self._market(("venue", "ring_fences", symbol), symbol)
        for symbol in venue.backstop_limits:
            self._market(("venue", "backstop_limits", symbol), symbol)
        if venue.keeper_account is not None:
            self._known(("venue", "keeper_account"), venue.keeper_account)
        if (total := sum(venue.fences_ppm.values())) > 10**6:
            self.doc.add(("venue", "ring_fences"), f"{total / 10**6} in all", "at most 1 in all")

    def _book(self, symbol: str, book: Book | None) -> None:
        loc: Loc = ("book", symbol)
        market = self._market(loc, symbol)
        if book is None:
            return
        if book.owner is not None:
            self._known((*loc, "owner"), book.owner)
        if market is None:
            return
        sides: dict[str, list[BookLevel]] = {"bids": [], "asks": []}
        for side, levels in (("bids", book.bids), ("asks", book.asks)):
            for index, (price, size) in enumerate(levels):
                level = self._level((*loc, side, index), market, price, size)
                if level is not None:
                    sides[side].append(level)
        if book.csv is not None:
            sides["bids"] = self._csv((*loc, "csv"), market, book.csv)
        if book.profile is not None:
            at = (*loc, "profile")
            middle: int | None = market.price_ticks
            if book.profile.around is not None:
                middle = self._grid((*at, "around"), market.to_ticks, book.profile.around)
            lots = self._grid((*at, "size"), market.to_lots, book.profile.size)
            if middle is None or lots is None:
                return
            quoted = paths.quotes(book.profile, middle, lots, market.min_notional_micro)
            sides["bids"] = [BookLevel(*level) for level in quoted[0]]
            sides["asks"] = [BookLevel(*level) for level in quoted[1]]
            if not sides["bids"] and not sides["asks"]:
                self.doc.add(at, "a profile without one order", "levels above min_notional")
        bids, asks = sides["bids"], sides["asks"]
        if bids and asks:
            high, low = max(x.ticks for x in bids), min(x.ticks for x in asks)
            if high >= low:
                self.doc.add(
                    loc,
                    f"a bid at {market.format_ticks(high)} "
                    f"and an ask at {market.format_ticks(low)}",
                    "bids below asks: these would trade at once",
                )
        owner = book.owner or ""
        if self.maker and not owner:
            markets = list(self._mapping("markets"))
            owner = _maker_names(self.maker.name, len(markets))[
                markets.index(symbol) // MAKER_MARKETS
            ]
        self.books[symbol] = ResolvedBook(owner, tuple(bids), tuple(asks))

    def _level(self, loc: Loc, market: Market, price: str, size: str) -> BookLevel | None:
        ticks = self._grid((*loc, 0), market.to_ticks, price)
        lots = self._grid((*loc, 1), market.to_lots, size)
        if ticks is None or lots is None:
            return None
        if lots <= 0:
            self.doc.add((*loc, 1), _show(size), "a size above zero")
            return None
        self._notional((*loc, 1), market, lots, ticks)
        return BookLevel(ticks, lots)

    def _csv(self, loc: Loc, market: Market, name: str) -> list[BookLevel]:
        if Path(name).is_absolute():
            self.doc.add(loc, _show(name), "a path relative to the scenario's folder")
            return []
        try:
            text = (self.path.parent / name).read_text(encoding="utf-8-sig")
        except OSError as error:
            why = error.strerror or "unreadable"
            self.doc.add(loc, f"{name}: {why}", "a csv file, relative to the scenario's folder")
            return []
        except UnicodeDecodeError:
            self.doc.add(loc, f"{name}: not UTF-8 text", "a csv file")
            return []
        rows = [
            (number, next(csv.reader([line]), []))
            for number, line in enumerate(text.splitlines(), start=1)
            if line.strip() and not line.startswith("#")
        ]
        header = [cell.strip() for cell in rows[0][1]] if rows else []
        wanted = "two columns, price... and quantity..., such as price_usdt,quantity_atom"
        if len(header) != 2 or not (
            header[0].startswith("price") and header[1].startswith("quantity")
        ):
            at = rows[0][0] if rows else 1
            head = _show(",".join(header)) if header else "an empty file"
            self.doc.add(loc, f"{name}:{at}: {head}", wanted)
            return []
        if len(rows) == 1:
            self.doc.add(loc, f"{name}: no rows", "at least one level")
        out: list[BookLevel] = []
        for number, row in rows[1:]:
            if len(row) != 2:
                self.doc.add(loc, f"{name}:{number}: {len(row)} columns", wanted)
                continue
            try:
                level = BookLevel(market.to_ticks(row[0].strip()), market.to_lots(row[1].strip()))
            except units.UnitError as error:
                self.doc.add(loc, f"{name}:{number}: {error}", error.expected)
                continue
            if level.lots <= 0:
                self.doc.add(loc, f"{name}:{number}: size {row[1].strip()}", "a size above zero")
                continue
            if level.lots * level.ticks < market.min_notional_micro:
                self.doc.add(
                    loc,
                    f"{name}:{number}: an order of "
                    f"{units.format_usdc(level.lots * level.ticks)} USDC",
                    f"at least {market.min_notional} USDC, the min_notional of {market.symbol}",
                )
            out.append(level)
        return out

    def _step(self, loc: Loc, step: Step) -> None:
        loc = (*loc, step.action)
        for symbol, price in (step.set_price or {}).items():
            market = self._market((*loc, symbol), symbol)
            if market is not None:
                self._grid((*loc, symbol), market.to_ticks, price)
        if step.trade is not None:
            market = self._market((*loc, "market"), step.trade.market)
            if market is not None:
                self._grid((*loc, "price"), market.to_ticks, step.trade.price)
                lots = self._grid((*loc, "size"), market.to_lots, step.trade.size)
                if lots is not None and lots <= 0:
                    self.doc.add((*loc, "size"), _show(step.trade.size), "a size above zero")
        for named in (step.oracle, step.quotes):
            if named is not None:
                self._market((*loc, "market"), named.market)
        if step.sample is not None:
            self._market(loc, step.sample)
        if step.quotes is not None:
            book = self._mapping("book").get(step.quotes.market)
            if not isinstance(book, dict) or "profile" not in book:
                found = f"{step.quotes.market} without a profile"
                self.doc.add((*loc, "market"), found, "a market whose book has a profile")
        if step.rush is not None:
            crowds = [crowd.name for _, crowd in self.crowds]
            if step.rush.population not in crowds and self.names_are_whole:
                found = f"the unknown population {step.rush.population}"
                self.doc.add((*loc, "population"), found, _suggest(step.rush.population, crowds))
        if step.vault_exit is not None:
            depositors = list(self._mapping("venue").get("vault_deposits") or {})
            name = step.vault_exit.depositor
            if name not in depositors:
                found = f"the unknown depositor {name}"
                self.doc.add((*loc, "depositor"), found, _suggest(name, depositors))
        for part in (step.trade, step.cancel, step.deposit, step.withdraw):
            if part is not None:
                self._known((*loc, "account"), part.account)
        if step.liquidate is not None:
            self._known(loc, step.liquidate)

    def _written_out(self, loc: Loc, step: Step) -> list[Step]:
        """The step, or the single prices of a stretch; remembers where each price stands."""
        for symbol, price in (step.set_price or {}).items():
            market = self.markets.get(symbol)
            if market is not None and units.is_decimal(price):
                with contextlib.suppress(units.UnitError):
                    self.prices[symbol] = market.to_ticks(price)
        stretch = step.prices
        if stretch is None:
            return [step]
        market = self._market((*loc, "prices", "market"), stretch.market)
        if market is None:
            return []
        try:
            seed = int(self.doc.data.get("seed", 0))
            ticks = paths.points(
                stretch,
                self.prices[stretch.market],
                market.size_decimals,
                generator(seed, f"path[{loc[1]}]"),
                self.path.parent,
                self.short,
            )
        except OSError as error:
            found = f"{error.filename or 'file'}: {error.strerror or 'unreadable'}"
            self.doc.add((*loc, "prices", stretch.shape), found, "a file beside the scenario")
            return []
        except ArithmeticError:
            found = "a price beyond all bounds"
            self.doc.add((*loc, "prices", stretch.shape), found, "smaller moves")
            return []
        except (ValueError, TypeError) as error:
            wanted = error.expected if isinstance(error, units.UnitError) else "other values"
            self.doc.add((*loc, "prices", stretch.shape), str(error), wanted)
            return []
        self.prices[stretch.market] = ticks[-1]
        first: dict[str, Any] = {"note": step.note} if step.note else {}
        return [
            Step(
                set_price={stretch.market: market.format_ticks(price)},
                seconds=stretch.seconds,
                **(first if place == 0 else {}),
            )
            for place, price in enumerate(ticks)
        ]

    def _expect(self, name: str) -> None:
        block = self._mapping(name)
        for key, value in block.items():
            numbers = _unquoted(value)
            for _, found, wanted in [] if numbers else expectations.problems({key: value}):
                self.doc.add((name, key), found, wanted)
            for number in numbers:
                self.doc.add(
                    (name, key), _show(number), f'a decimal string: quote it, "{number.text}"'
                )


def _unquoted(value: object) -> list[Unquoted]:
    if isinstance(value, Unquoted):
        return [value]
    items: Sequence[object] = []
    if isinstance(value, Mapping):
        items = list(value.values())
    elif isinstance(value, list):
        items = value
    return [number for item in items for number in _unquoted(item)]


# ---------------------------------------------------------------- loading


LISTED: Final = ("markets", "accounts", "populations", "book", "path")
"""Sections whose entries are checked one by one."""


def parse(text: str, path: str | Path, short: bool = False) -> Scenario:
    """A scenario from its text, as if read from ``path`` (for its name, csv files and errors).

    ``short`` gives the short form, with the counts and steps that the file names for it.

    Raises ScenarioError with every problem found.
    """
    path = Path(path)
    doc = _Document(text, str(path))
    bad: set[Loc] = set()
    scenario: Scenario | None = None
    try:
        scenario = Scenario.model_validate(doc.data)
    except ValidationError as error:
        for detail in error.errors():
            loc: Loc = detail["loc"]
            listed = bool(loc) and loc[0] in LISTED
            bad.add(loc[:2] if listed else loc[:1])
            _translate(doc, detail)
    meaning = _Meaning(doc, bad, path, short)
    meaning.run()
    if scenario is None or doc.problems:
        raise ScenarioError(doc.problems)
    scenario._books.update(meaning.books)
    scenario._steps = tuple(meaning.steps)
    scenario._drawn = tuple(meaning.drawn)
    scenario._short = short
    return scenario


def load(path: str | Path, short: bool = False) -> Scenario:
    """Reads a scenario file, in its short form if `short`.

    Raises ScenarioError with every problem found.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        found = f"no readable file ({error.strerror})"
        raise ScenarioError(
            [Problem(str(path), 1, "scenario", found, "a scenario file")]
        ) from error
    except UnicodeDecodeError as error:
        raise ScenarioError(
            [Problem(str(path), 1, "scenario", "bytes that are not UTF-8", "a YAML text file")]
        ) from error
    return parse(text, path, short)
