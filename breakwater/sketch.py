"""A scenario as a picture in the terminal, before anything is run.

Owns how a file looks: the path of each market, who holds what, and how close to the edge. Figures
come from the file and its draws; nothing is simulated, and only the picture rounds.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from rich.table import Table

from breakwater import units
from breakwater.scenario import Scenario
from breakwater.show import plain_table

WIDTH: Final = 72
HEIGHT: Final = 10
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"


def series(scenario: Scenario, market: str) -> list[int]:
    """The true price of a market in ticks: before the path, and after each of its steps."""
    terms = scenario.markets[market]
    out = [terms.price_ticks]
    for step in scenario.steps:
        price = (step.set_price or {}).get(market)
        out.append(out[-1] if price is None else terms.to_ticks(price))
    return out


def chart(scenario: Scenario, market: str) -> str:
    """The path of one market, as lines of text with the price on the left."""
    terms = scenario.markets[market]
    ticks = series(scenario, market)
    # Each column shows the lowest price of the steps that it stands for: a wick must not hide.
    columns = [min(part) for part in _parts(ticks, WIDTH)]
    low, high = min(columns), max(columns)
    span = max(high - low, 1)
    labels = {HEIGHT - 1: terms.format_ticks(high), 0: terms.format_ticks(low)}
    margin = max(len(label) for label in labels.values())
    lines = []
    for row in range(HEIGHT - 1, -1, -1):
        cells = ""
        for value in columns:
            eighths = (value - low) * (HEIGHT * 8 - 1) // span + 1 - row * 8
            cells += _BLOCKS[max(0, min(8, eighths))]
        lines.append(f"{labels.get(row, ''):>{margin}} │{cells}".rstrip())
    steps = len(ticks) - 1
    lines.append(f"{'':>{margin}} └{'─' * len(columns)}")
    lines.append(f"{'':>{margin}}  {market}, {steps} step{'s' * (steps != 1)}")
    return "\n".join(lines)


def _parts(values: Sequence[int], most: int) -> list[Sequence[int]]:
    """The values in order, in at most so many parts of nearly the same length."""
    count = min(most, len(values))
    edges = [i * len(values) // count for i in range(count + 1)]
    return [values[a:b] for a, b in itertools.pairwise(edges)]


def accounts_table(scenario: Scenario, limit: int = 40) -> Table:
    """Stated positions: leverage at entry, and the bankruptcy price of accounts in one market."""
    table = plain_table(f"Accounts of {scenario.name}")
    for title, align in (
        ("account", "left"), ("collateral", "right"), ("market", "left"), ("size", "right"),
        ("entry", "right"), ("leverage", "right"), ("bankrupt at", "right"),
    ):  # fmt: skip
        table.add_column(title, justify="right" if align == "right" else "left", no_wrap=True)
    for account in scenario.accounts[:limit]:
        if not account.positions:
            table.add_row(account.name, account.collateral, "", "", "", "", "")
        for symbol, held in account.positions.items():
            market = scenario.markets[symbol]
            lots, entry = market.to_lots(held.size), market.to_ticks(held.entry)
            notional, money = abs(lots) * entry, account.collateral_micro
            leverage = f"{Decimal(notional) / money:.1f}x" if money else "-"
            edge = entry - Decimal(money) / lots
            bankrupt = "-"
            if len(account.positions) == 1 and edge > 0:
                bankrupt = f"{edge / 10 ** (6 - market.size_decimals):f}"[:12]
            table.add_row(
                account.name, account.collateral, symbol, held.size, held.entry, leverage, bankrupt
            )
    left = len(scenario.accounts) - limit
    if left > 0:
        table.caption = f"and {left} more"
    return table


def populations_table(scenario: Scenario) -> Table:
    """What was drawn: how many, how much, and what the rules clipped."""
    table = plain_table("Populations")
    for title in ("population", "market", "accounts", "long", "collateral", "clipped", "empty"):
        table.add_column(title, justify="left" if title in ("population", "market") else "right")
    for crowd, draw in zip(scenario.populations, scenario.draws.values(), strict=True):
        table.add_row(
            crowd.name,
            crowd.market,
            str(len(draw.accounts)),
            str(sum(a.lots > 0 for a in draw.accounts)),
            units.format_usdc(sum(a.collateral for a in draw.accounts)),
            str(draw.clipped),
            str(draw.empty),
        )
    return table
