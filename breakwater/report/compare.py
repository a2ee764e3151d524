"""The page of a comparison: policies side by side, and who would have paid under each.

Owns the words and the order of the page. Every figure on it stands in compare.json or in the
result of its policy beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Any, Final

from breakwater.report import plots
from breakwater.report.html import marked, page, percent, picture, section, table
from breakwater.units import grouped

ACCOUNTS_SHOWN: Final = 25
COLUMNS_SHOWN: Final = 6
"""Policies that stand side by side; more than that stand below one another."""

ROWS: Final = (
    ("needed", "needed from winners, USDC"),
    ("taken", "taken from winners, USDC"),
    ("overshoot_net", "overshoot, net, USDC"),
    ("overshoot_absolute", "overshoot, absolute, USDC"),
    ("insurance_spent", "insurance spent, USDC"),
    ("residual", "residual of rounds, USDC"),
    ("uninsured", "uninsured, USDC"),
    ("accounts_hit", "accounts hit"),
    ("worst_haircut_of_equity", "worst haircut, of equity"),
    ("worst_haircut_of_profit", "worst haircut, of profit"),
    ("gini", "Gini of haircuts"),
    ("open_interest_kept", "open interest kept"),
    ("gas", "gas of ADL"),
    ("transactions", "transactions"),
)
_SHARES: Final = {"worst_haircut_of_equity", "worst_haircut_of_profit", "open_interest_kept"}


def label(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """What tells this policy from the others: the choices that differ, or all if none does."""
    policy = row["policy"]
    differs = [name for name in policy if len({other["policy"][name] for other in rows}) > 1]
    return ", ".join(policy[name].replace("_", " ") for name in differs or policy)


def drawn(rows: Sequence[Mapping[str, Any]]) -> list[plots.Plot]:
    """The pictures: each policy that ran, by its name and its number in the table."""
    ran = [(place, row) for place, row in enumerate(rows, start=1) if not row["refused"]]
    labels = [f"{place}. {label(row, rows)}" for place, row in ran]
    return plots.of_comparison([row for _, row in ran], labels, [place for place, _ in ran])


def of_rows(
    rows: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any] | None] = ()
) -> str:
    """The page, as text. `results` in the order of the rows, None where the venue refused."""
    ran = [(place, row) for place, row in enumerate(rows) if not row["refused"]]
    labels = [label(row, rows) for row in rows]
    title = f"{rows[0]['scenario']}: policies compared"
    same = {name: value for name, value in rows[0]["policy"].items() if _same(rows, name)}
    fixed = ", ".join(f"{name} {value}" for name, value in same.items())
    parts = [
        '<p class="kind">Breakwater comparison'
        + (f" · the same for all: {escape(fixed)}</p>" if fixed else "</p>"),
        f"<h1>{escape(title)}</h1>",
        f'<p class="story" id="story">{_story(rows, labels)}</p>',
        section("policies", "Side by side", _side_by_side(rows, labels)),
    ]
    if pictures := drawn(rows):
        grid = "".join(picture(plot) for plot in pictures)
        parts.append(section("pictures", "In pictures", f'<div class="grid">{grid}</div>'))
    parts.append(section("who", "Who would have paid", _who(rows, labels, results)))
    parts.append(
        section(
            "fair",
            "Is the comparison fair?",
            "<p>Each policy began in the state that one set-up left. All accounts, positions, "
            "orders, prices and money at the start of the path hash to the same value: "
            f"<code>{escape(str(ran[0][1]['start_state']) if ran else '-')}</code>.</p>",
        )
    )
    return page(title, *parts)


def _same(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return len({row["policy"][name] for row in rows}) == 1


def _story(rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> str:
    ran = [(label, row) for label, row in zip(labels, rows, strict=True) if not row["refused"]]
    if not ran:
        return "The venue refused every one of these policies."
    said = [f"The same crash under {len(ran)} {'policies' if len(ran) > 1 else 'policy'}."]
    fewest, most = (pick(ran, key=lambda one: one[1]["accounts_hit"]) for pick in (min, max))
    if fewest[1]["accounts_hit"] != most[1]["accounts_hit"]:
        said.append(
            f"{escape(_first(most[0]))} touched most accounts ({most[1]['accounts_hit']}), "
            f"{escape(_first(fewest[0]))} fewest ({fewest[1]['accounts_hit']})."
        )
    dearest = max(ran, key=lambda one: Decimal(one[1]["worst_haircut_of_equity"] or 0))
    if Decimal(dearest[1]["worst_haircut_of_equity"] or 0):
        said.append(
            f"The worst cut to one account's equity, "
            f"{percent(dearest[1]['worst_haircut_of_equity'])}, came under {escape(dearest[0])}."
        )
    lost = {row["uninsured"] for _, row in ran}
    if lost == {"0"}:
        said.append("None left a loss that nobody paid.")
    else:
        worst = max(ran, key=lambda one: Decimal(one[1]["uninsured"]))
        said.append(
            f"{escape(_first(worst[0]))} left {grouped(worst[1]['uninsured'])} USDC that nobody "
            "paid."
        )
    return " ".join(said)


def _first(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _side_by_side(rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> str:
    def cell(place: int, key: str) -> str:
        shown = marked(f"[{place}].{key}", rows[place][key])
        if key not in _SHARES:
            return shown
        return f'<span title="{escape(percent(rows[place][key]))}">{shown}</span>'

    names = [f"{place}. {label}" for place, label in enumerate(labels, start=1)]
    refused = [
        f"{name}: {row['refused']}" for name, row in zip(names, rows, strict=True) if row["refused"]
    ]
    note = f"Refused by the venue: {'; '.join(refused)}" if refused else ""
    if len(rows) <= COLUMNS_SHOWN:
        lines = [
            (escape(words), *(cell(place, key) for place in range(len(rows))))
            for key, words in ROWS
        ]
        return table(["", *names], lines, note=note)
    lines = [
        (escape(name), *(cell(place, key) for key, _ in ROWS)) for place, name in enumerate(names)
    ]
    shown = table(["policy", *(words for _, words in ROWS)], lines, note=note)
    return f'<div class="policies">{shown}</div>'


def _who(
    rows: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    results: Sequence[Mapping[str, Any] | None],
) -> str:
    taken: dict[str, dict[int, str]] = {}
    for place, result in enumerate(results):
        for one in result["adl"]["hit"] if result else ():
            taken.setdefault(one["account"], {})[place] = one["haircut"]
    if not taken:
        return "<p>Nobody was deleveraged under any of them.</p>"
    order = sorted(taken, key=lambda name: -max(map(Decimal, taken[name].values())))
    lines = [
        (escape(name), *(grouped(taken[name].get(place, "0")) for place in range(len(rows))))
        for name in order[:ACCOUNTS_SHOWN]
    ]
    left = len(order) - len(lines)
    return table(
        ["account", *labels],
        lines,
        note="Haircut against the mark, USDC; below zero a gain."
        + (f" {left} more accounts in the results." if left else ""),
    )
