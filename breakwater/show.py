"""Terminal tables of a result.

Owns: how a result and its checks look in a terminal of 100 columns, with colour or without.
May not: compute or change a figure. Numbers are shown exactly as the result has them, but for
thousands separators and padding; only the length of a bar is a rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from rich import box
from rich.table import Table
from rich.text import Text

from breakwater import units
from breakwater.expect import Check

BAR_WIDTH: Final = 34
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"

_LAYERS: Final = (
    ("liquidated", "liquidated on the book", "notional", "cyan"),
    ("backstopped", "backstop", "notional", "blue"),
    ("insurance_paid", "insurance", "paid", "yellow"),
    ("adl_closed", "auto-deleveraged", "notional", "magenta"),
    ("uninsured", "uninsured", "loss", "red"),
)


def plain_table(title: str, caption: str | None = None) -> Table:
    """A table in the house style."""
    return Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        caption_style="dim",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        min_width=max(len(title), len(caption or "")) + 2,  # neither breaks over two lines
    )


def _column(values: Iterable[object]) -> list[str]:
    """The values with separators, padded on the right so that their points stand in line."""
    shown = [units.grouped(str(value)) for value in values]
    tails = [len(s) - s.index(".") if "." in s else 0 for s in shown]
    widest = max(tails, default=0)
    return [s + " " * (widest - tail) for s, tail in zip(shown, tails, strict=True)]


def _bar(amount: Decimal, largest: Decimal) -> str:
    """A bar in eighths of a cell; whatever is not zero shows."""
    if amount <= 0 or largest <= 0:
        return ""
    eighths = max(1, int(amount * BAR_WIDTH * 8 / largest))
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def waterfall_table(result: Mapping[str, Any]) -> Table:
    """What each layer of the waterfall took, in USDC, with bars on one scale."""
    waterfall = result["waterfall"]
    amounts = [str(waterfall[key]) for key, *_ in _LAYERS]
    largest = max(Decimal(amount) for amount in amounts)
    table = plain_table(f"Waterfall of {result['scenario']}, USDC", "bars share one scale")
    table.add_column("layer", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("USDC", justify="right", no_wrap=True)
    table.add_column("", width=BAR_WIDTH, no_wrap=True)
    rows = zip(_LAYERS, amounts, _column(amounts), strict=True)
    for (_, label, what, colour), amount, shown in rows:
        table.add_row(label, what, shown, Text(_bar(Decimal(amount), largest), style=colour))
    return table


def adl_table(result: Mapping[str, Any], limit: int = 30) -> Table:
    """Who was deleveraged, in order: the first ``limit`` fills of all rounds."""
    fills: Sequence[Mapping[str, Any]] = result["adl"]["fills"]
    shown = fills[:limit]
    rounds = len(result["adl"]["rounds"])
    if not fills:
        caption = "no winner was closed"
    else:
        caption = (
            f"{len(fills)} fill{'s' * (len(fills) != 1)} in {rounds} round{'s' * (rounds != 1)}"
        )
        if len(shown) < len(fills):
            caption += f"; {len(fills) - len(shown)} more in result.json"
        caption += ". haircut: USDC lost against the mark, negative if gained"
    table = plain_table("Auto-deleveraging, best rank first", caption)
    several = len({fill["round"] for fill in fills}) > 1
    if several:
        table.add_column("round", justify="right", no_wrap=True)
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("winner", overflow="fold")
    table.add_column("market", no_wrap=True)
    for name in ("size", "price", "score", "haircut"):
        table.add_column(name, justify="right", overflow="fold")
    numbers = [_column(f[k] for f in shown) for k in ("size", "price", "score", "haircut")]
    for index, fill in enumerate(shown):
        row = [str(fill["rank"]), str(fill["winner"]), str(fill["market"])]
        row += [column[index] for column in numbers]
        table.add_row(*([str(fill["round"])] if several else []), *map(Text, row))
    return table


def accounts_table(result: Mapping[str, Any], limit: int = 40) -> Table:
    """What the accounts hold at the end: one line per position, the first ``limit`` accounts."""
    accounts: Mapping[str, Mapping[str, Any]] = result["accounts"]
    names = list(accounts)[:limit]
    more = len(accounts) - len(names)
    table = plain_table("Accounts at the end", f"{more} more in result.json" if more else None)
    table.add_column("account", overflow="fold")
    for name in ("cash", "equity"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("market", no_wrap=True)
    for name in ("size", "entry"):
        table.add_column(name, justify="right", overflow="fold")
    cash = _column(accounts[name]["cash"] for name in names)
    equity = _column(accounts[name]["equity"] for name in names)
    held = [
        (name, symbol, p) for name in names for symbol, p in accounts[name]["positions"].items()
    ]
    sizes = _column(p["size"] for _, _, p in held)
    entries = _column(p["entry"] for _, _, p in held)
    at = 0
    for index, name in enumerate(names):
        style = "red" if str(accounts[name]["equity"]).startswith("-") else ""
        front = [Text(name), Text(cash[index]), Text(equity[index], style=style)]
        count = len(accounts[name]["positions"])
        if not count:
            table.add_row(*front, "", Text("flat"), "")
        for row in range(at, at + count):
            table.add_row(*front, Text(held[row][1]), Text(sizes[row]), Text(entries[row]))
            front = [Text(), Text(), Text()]
        at += count
    return table


def printed_table(result: Mapping[str, Any]) -> Table:
    """The figures that the scenario's source prints, beside the venue's own, and why."""
    rows: Sequence[Mapping[str, str]] = result["printed"]
    table = plain_table("Printed in the source, and here")
    table.add_column("figure", overflow="fold")
    table.add_column("printed", justify="right", no_wrap=True)
    table.add_column("here", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for row in rows:
        cells = (row["what"], units.grouped(row["printed"]), units.grouped(row["ours"]), row["why"])
        table.add_row(*map(Text, cells))
    return table


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def expectations_table(checks: Sequence[Check]) -> Table:
    """The checks of the scenario's expect block; the words pass and FAIL carry the verdict."""
    failed = sum(not check.ok for check in checks)
    verdict = "all hold" if not failed else f"{failed} of {len(checks)} FAILED"
    table = plain_table(f"Expectations: {len(checks)} stated, {verdict}")
    table.add_column("", no_wrap=True)
    for name in ("path", "expected", "found"):
        table.add_column(name, overflow="fold")
    for check in checks:
        mark = Text("pass", style="green") if check.ok else Text("FAIL", style="bold red")
        cells = (check.path, _brief(check.expected), _brief(check.found))
        table.add_row(mark, *map(Text, cells))
    return table


def solvency_line(result: Mapping[str, Any]) -> str:
    """Two lines: identity I1 as ``held - owed = 0``, then the token, I4 and what nobody paid."""
    solvency = result["solvency"]
    return (
        f"held - owed = {solvency['difference']}\n"
        f"token balance - held = {solvency['unaccounted']}, "
        f"I4 difference = {solvency['i4_difference']}, uninsured = {solvency['uninsured']}"
    )
