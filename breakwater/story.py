"""Turns a venue's events into figures and into sentences.

Owns the words and the units in which a run is told. It reads events only: whoever has the logs can
tell the same story. It computes no money; sums of what the events say are all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from breakwater import units
from breakwater.contract import Event

SCORE_DECIMALS: Final = 18
_INFINITE: Final = 2**256 - 1
_CANCELLED: Final = {
    1: "by its owner",
    2: "void",
    4: "own order on the other side",
    8: "its owner lacks the margin",
    128: "it had nothing left to reduce",
}


class MarketUnits(Protocol):
    """What the storyteller must know of a market."""

    @property
    def size_decimals(self) -> int: ...
    @property
    def symbol(self) -> str: ...
    def format_lots(self, lots: int) -> str: ...
    def format_ticks(self, ticks: int) -> str: ...


@dataclass
class Figures:
    """The parts of a result that come from events, as text in USDC and units."""

    liquidations: list[dict[str, Any]] = field(default_factory=list)
    bankruptcies: list[dict[str, Any]] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    fills: list[dict[str, Any]] = field(default_factory=list)
    waterfall: dict[str, str] = field(default_factory=dict)


class Storyteller:
    """Tells events of one venue; markets in order of id, names by account id."""

    def __init__(self, markets: Sequence[MarketUnits], names: dict[int, str]) -> None:
        self._markets = markets
        self._names = names
        self._sentences: dict[str, Callable[[Event], str | None]] = {
            "PriceUpdated": self._price,
            "Filled": self._filled,
            "OrderCancelled": self._cancelled,
            "Liquidated": self._liquidated,
            "BackstopTaken": self._taken_over,
            "WorkedOff": self._worked_off,
            "WoundUp": self._wound_up,
            "Paid": self._paid,
            "WrittenOff": self._written_off,
            "RoundOpened": self._round_opened,
            "Deleveraged": self._deleveraged,
            "RoundClosed": self._round_closed,
            "Deposited": lambda e: f"{self._who(e.account)} deposits {_usdc(e.amount)} USDC",
            "Withdrawn": lambda e: f"{self._who(e.account)} withdraws {_usdc(e.paid)} USDC",
        }

    def tell(self, events: Iterable[Event]) -> list[str]:
        """One sentence for each event that is worth one, in order."""
        lines = []
        for event in events:
            sentence = self._sentences.get(event.name)
            line = sentence(event) if sentence else None
            if line is not None:
                lines.append(line)
        return lines

    def figures(self, events: Iterable[Event]) -> Figures:
        """Liquidation fills, bankruptcies, rounds and ADL fills, and what each layer took."""
        out = Figures()
        liquidated = backstopped = closed = paid = 0
        maker = 0
        # What each account's last change realised: an exchange comes before its receipt.
        realised: dict[int, int] = {}
        legs: list[dict[str, Any]] = []
        for event in events:
            if event.name == "Filled":
                maker = event.maker
            elif event.name == "PositionChanged":
                realised[event.account] = event.realised
            elif event.name == "LiquidationFill":
                market = self._markets[event.market]
                liquidated += event.size * event.price
                out.liquidations.append(
                    {
                        "account": self._who(event.account),
                        "market": market.symbol,
                        "side": _side(event.is_long),
                        "size": market.format_lots(event.size),
                        "price": market.format_ticks(event.price),
                        "maker": self._who(maker),
                        "insurance": _usdc(event.insurance),
                    }
                )
            elif event.name == "LegWoundUp":
                market = self._markets[event.market]
                legs.append(
                    {
                        "market": market.symbol,
                        "side": _side(event.is_long),
                        "size": market.format_lots(event.size),
                        "price": self._unit_price(event.market, event.quote, event.size),
                    }
                )
            elif event.name == "BackstopTaken":
                backstopped += event.size * event.mark
            elif event.name == "WoundUp":
                out.bankruptcies.append(
                    {
                        "account": self._who(event.account),
                        "equity": _usdc(event.equity),
                        "deficit": _usdc(max(0, -event.equity)),
                        "insurance": _usdc(event.insurance),
                        "uninsured": _usdc(event.uninsured),
                        "legs": legs,
                    }
                )
                legs = []
            elif event.name == "RoundClosed":
                market = self._markets[event.market]
                out.rounds.append(
                    {
                        "round": event.round,
                        "market": market.symbol,
                        "side": _side(event.is_long),
                        "needed": market.format_lots(event.needed),
                        "taken": market.format_lots(event.taken),
                        "surplus": _usdc(event.surplus),
                        "residual": _usdc(event.residual),
                        "insurance": _usdc(event.insurance),
                        "uninsured": _usdc(event.uninsured),
                        "netted": market.format_lots(event.netted),
                        "overshoot": _usdc(event.overshoot),
                        "absolute_overshoot": _usdc(event.absolute_overshoot),
                        "complete": event.is_complete and not event.unserved,
                    }
                )
            elif event.name == "Deleveraged":
                market = self._markets[event.market]
                closed += event.quote
                out.fills.append(
                    {
                        "round": event.round,
                        "market": market.symbol,
                        "bankrupt": self._who(event.bankrupt),
                        "winner": self._who(event.winner),
                        "size": market.format_lots(event.size),
                        "price": self._unit_price(event.market, event.quote, event.size),
                        "quote": _usdc(event.quote),
                        "mark": market.format_ticks(event.mark),
                        "previous_mark": market.format_ticks(event.previous_mark),
                        "bankruptcy_price": self._unit_price(
                            event.market, event.lot_worth, event.lot_size
                        ),
                        "score": score_text(event.score),
                        "rank": event.rank,
                        "own": event.rank == 0,
                        "haircut": _usdc(event.haircut),
                        "realised": _usdc(realised[event.winner]),
                    }
                )
            elif event.name == "Paid":
                paid += event.paid
        out.waterfall = {
            "liquidated": _usdc(liquidated),
            "backstopped": _usdc(backstopped),
            "insurance_paid": _usdc(paid),
            "adl_closed": _usdc(closed),
        }
        return out

    # ---------------------------------------------------------------- sentences

    def _who(self, account: int) -> str:
        return self._names.get(account, f"account {account}")

    def _unit_price(self, market: int, quote: int, size: int) -> str:
        return units.format_unit_price(quote, size, self._markets[market].size_decimals)

    def _price(self, event: Event) -> str | None:
        market = self._markets[event.market]
        if event.mark == event.previous_mark == event.oracle_price:
            return None
        words = (
            f"{market.symbol} mark {market.format_ticks(event.previous_mark)} -> "
            f"{market.format_ticks(event.mark)}"
        )
        if event.mark != event.oracle_price:
            words += f" (oracle {market.format_ticks(event.oracle_price)})"
        return words

    def _filled(self, event: Event) -> str:
        market = self._markets[event.market]
        verb = "buys" if event.taker_buys else "sells"
        return (
            f"{self._who(event.taker)} {verb} {market.format_lots(event.size)} {market.symbol} "
            f"at {market.format_ticks(event.price)} (maker {self._who(event.maker)})"
        )

    def _cancelled(self, event: Event) -> str:
        why = _CANCELLED.get(event.reason, "")
        return f"an order of {self._who(event.account)} leaves the book: {why}"

    def _liquidated(self, event: Event) -> str:
        words = f"liquidation of {self._who(event.account)}: equity {_usdc(event.equity)} USDC left"
        if event.more:
            words += ", more to do"
        elif event.unfillable:
            words += ", the book offers nothing within its limit"
        return words

    def _taken_over(self, event: Event) -> str:
        market = self._markets[event.market]
        given = f" with {_usdc(event.margin)} USDC of margin" if event.margin else ""
        return (
            f"the tranche takes {market.format_lots(event.size)} {market.symbol} over from "
            f"{self._who(event.account)} at {market.format_ticks(event.mark)}{given}"
        )

    def _worked_off(self, event: Event) -> str:
        market = self._markets[event.market]
        verb = "sells" if event.is_long else "buys back"
        return (
            f"the tranche {verb} {market.format_lots(event.size)} {market.symbol} at "
            f"{market.format_ticks(event.price)}, mark {market.format_ticks(event.mark)}"
        )

    def _wound_up(self, event: Event) -> str:
        if event.equity >= 0:
            return f"{self._who(event.account)} is wound up with {_usdc(event.equity)} USDC left"
        return (
            f"{self._who(event.account)} is bankrupt: wound up with a deficit of "
            f"{_usdc(-event.equity)} USDC"
        )

    def _paid(self, event: Event) -> str | None:
        if event.paid == event.wanted == 0:
            return None
        return (
            f"insurance pays {_usdc(event.paid)} of {_usdc(event.wanted)} USDC for it, "
            f"{_usdc(event.left)} left"
        )

    def _written_off(self, event: Event) -> str:
        return f"{_usdc(event.amount)} USDC that nobody pays: uninsured {_usdc(event.uninsured)}"

    def _round_opened(self, event: Event) -> str:
        market = self._markets[event.market]
        return (
            f"ADL round {event.round}: {market.format_lots(event.needed)} {market.symbol} of "
            f"bankrupt {_side(event.is_long)}s need takers"
        )

    def _deleveraged(self, event: Event) -> str:
        market = self._markets[event.market]
        lost = event.haircut
        cost = f"gives up {_usdc(lost)}" if lost > 0 else f"gains {_usdc(-lost)}"
        return (
            f"ADL rank {event.rank}: {self._who(event.winner)} closes "
            f"{market.format_lots(event.size)} {market.symbol} at "
            f"{self._unit_price(event.market, event.quote, event.size)}, {cost} USDC "
            f"against the mark (score {score_text(event.score)})"
        )

    def _round_closed(self, event: Event) -> str:
        market = self._markets[event.market]
        return (
            f"ADL round {event.round} closes: {market.format_lots(event.taken)} of "
            f"{market.format_lots(event.needed)} {market.symbol} taken"
        )


def _usdc(micro: int) -> str:
    return units.format_usdc(micro)


def _side(is_long: bool) -> str:
    return "long" if is_long else "short"


def score_text(score: int) -> str:
    """A score as text; the largest number stands for one without a bound."""
    return "infinite" if score == _INFINITE else units.format_scaled(score, SCORE_DECIMALS)
