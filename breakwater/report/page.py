"""report.html of one run: who lost, who paid, in which order, and that nothing is missing.

Owns the words and the order of the page. Every figure on it stands in result.json and is marked
with its path there; where a list is too long for a page its head is shown, and how many are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Any, Final

from breakwater import expect
from breakwater.report import plots
from breakwater.report.html import (
    figure,
    folded,
    lights,
    marked,
    page,
    percent,
    picture,
    section,
    table,
)
from breakwater.units import grouped

FILLS_SHOWN: Final = 200
ROUNDS_SHOWN: Final = 20
ACCOUNTS_SHOWN: Final = 100
SENTENCES_SHOWN: Final = 30
LONG: Final = 13
"""Characters of an amount above which its tile is set smaller."""

_Result = Mapping[str, Any]


def of_run(result: _Result) -> str:
    """The page, as text."""
    drawn = {plot.name: plot for plot in plots.of_run(result)}
    policy = result["policy"]
    rules = ", ".join(f"{name} {value}" for name, value in policy.items())
    parts = [
        f'<p class="kind">Breakwater crash report · engine {escape(result["engine"])} · '
        f"seed {result['seed']} · {escape(rules)}</p>",
        f"<h1>{escape(result['scenario'])}</h1>",
        f"<p>{escape(result.get('description', ''))}</p>",
        f'<p class="story" id="story">{story(result)}</p>',
        _tiles(result),
        section("time", "What happened over time", _pictures(result, drawn)),
        section("paid", "Who paid", _paid(result, drawn)),
        section("adl", "Auto-deleveraging", _adl(result, drawn)),
        section("solvency", "Is every micro-dollar there?", _solvency(result)),
        section("gas", "Gas and transactions", _gas(result)),
        section("accounts", "Accounts at the end", _accounts(result)),
        section("steps", "Step by step", _steps(result)),
        section("source", "What this is", _about(result)),
    ]
    return page(f"{result['scenario']}: crash report", *parts)


# ---------------------------------------------------------------- the story


def story(result: _Result) -> str:
    """The run in one paragraph. Every number in it is a marked figure."""

    def at(path: str) -> str:
        return figure(result, path)

    said = [_fall(result)]
    sold, broke = result["liquidations"], result["bankruptcies"]
    weak = {one["account"] for one in [*sold, *broke]}
    if weak:
        words = f"{_count(len(weak), 'account')} fell below maintenance"
        if sold:
            words += f", and {at('waterfall.liquidated')} USDC of positions went into the book"
        said.append(words)
    if Decimal(result["waterfall"]["insurance_paid"]):
        said.append(
            f"the insurance vault paid {at('waterfall.insurance_paid')} of "
            f"{at('series.vault[0]')} USDC"
        )
    if broke:
        names = [escape(one["account"]) for one in broke]
        listed = f" ({_listed(names)})" if len(names) <= 4 else ""
        said.append(f"{_count(len(broke), 'account')} went bankrupt{listed}")
    hit = result["adl"]["hit"]
    if hit:
        said.append(
            f"ADL closed {_count(len(hit), 'winner')} in "
            f"{_count(len(result['adl']['rounds']), 'round')} for {at('waterfall.adl_closed')} "
            f"USDC; hardest hit was {escape(hit[0]['account'])}, who gave up "
            f"{at('adl.hit[0].haircut')} USDC, {percent(hit[0]['of_equity'])} of its equity"
        )
    elif not broke:
        said.append("nobody was deleveraged")
    lost = result["waterfall"]["uninsured"]
    if Decimal(lost):
        said.append(f"{at('waterfall.uninsured')} USDC are left that nobody paid")
    else:
        said.append("no loss is left unpaid")
    said.append(
        f"what the venue holds less what it owes is {at('solvency.difference')} USDC, checked "
        f"{at('solvency.checks')} times"
    )
    return " ".join(f"{one[0].upper()}{one[1:]}." for one in said)


def _fall(result: _Result) -> str:
    symbol = plots.markets_shown(result)[0]
    path = f"series.markets.{symbol}.mark"
    marks = result["series"]["markets"][symbol]["mark"]
    first, last = Decimal(marks[0]), Decimal(marks[-1])
    low, high = min(map(Decimal, marks)), max(map(Decimal, marks))
    words = (
        f"the mark of {escape(symbol)} went from {figure(result, path + '[0]')} to "
        f"{figure(result, path + '[-1]')} USDC ({(last - first) / first:+.1%})"
    )
    if low < min(first, last):
        words += f", with a low of {marked(f'{path}[{marks.index(_text(marks, low))}]', low)}"
    if high > max(first, last):
        words += f", with a high of {marked(f'{path}[{marks.index(_text(marks, high))}]', high)}"
    others = len(result["series"]["markets"]) - 1
    return words + (f", beside {_count(others, 'other market')}" if others else "")


def _text(texts: Sequence[str], number: Decimal) -> str:
    return next(text for text in texts if Decimal(text) == number)


def _tiles(result: _Result) -> str:
    def tile(path: str, words: str, kind: str = "") -> str:
        # What has many digits is set smaller: a number that breaks is easily misread.
        kind += " long" * (len(grouped(str(expect.find(path, result)))) > LONG)
        return f'<li class="{kind}"><b>{figure(result, path)}</b><span>{words}</span></li>'

    balanced = not Decimal(result["solvency"]["difference"])
    unpaid = bool(Decimal(result["waterfall"]["uninsured"]))
    tiles = [
        tile("solvency.difference", "held &minus; owed, USDC", "good" if balanced else "bad"),
        tile("waterfall.liquidated", "sold on the book, USDC"),
        tile("waterfall.backstopped", "taken by the backstop, USDC"),
        tile("waterfall.insurance_paid", "paid by insurance, USDC"),
        tile("waterfall.adl_closed", "closed by ADL, USDC"),
        tile("waterfall.uninsured", "paid by nobody, USDC", "bad" if unpaid else ""),
    ]
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


# ---------------------------------------------------------------- pictures and layers


def _pictures(result: _Result, drawn: Mapping[str, plots.Plot]) -> str:
    names = [name for name in drawn if name.startswith("price-")]
    body = "".join(picture(drawn[name]) for name in [*names, "money", "open-interest"])
    series = result["series"]
    notes = []
    more = len(series["markets"]) - len(names)
    if more > 0:
        notes.append(f"{_count(more, 'market')} that moved less are in result.json only.")
    if series["every"] > 1:
        notes.append(f"Within steps, one price epoch in {series['every']} is shown.")
    note = f'<p class="note">{" ".join(notes)}</p>' if notes else ""
    return f'<div class="grid">{body}</div>{note}'


def _paid(result: _Result, drawn: Mapping[str, plots.Plot]) -> str:
    rows = [
        (escape(words), figure(result, f"paid.{key}"), why)
        for (key, words, _), why in zip(plots.LAYERS, _WHY, strict=True)
    ]
    note = ""
    if Decimal(result["paid"]["winners_gained"]):
        note = (
            f"<p>Winners closed better than the mark gained "
            f"{figure(result, 'paid.winners_gained')} USDC against it.</p>"
        )
    words = table(["who", "USDC", "what it is"], rows, (0, 2))
    return f'<div class="grid">{picture(drawn["waterfall"])}<div>{words}{note}</div></div>'


_WHY: Final = (
    "what the liquidated accounts lost of their equity at the start of the path",
    "margin of the backstop tranche",
    "payments of the vault",
    "haircuts against the mark",
    "written off",
)


# ---------------------------------------------------------------- ADL


def _adl(result: _Result, drawn: Mapping[str, plots.Plot]) -> str:
    adl = result["adl"]
    if not adl["fills"]:
        return "<p>No winner was closed.</p>" + _bankrupts(result)
    body = picture(drawn["haircuts"], "A share above 100% of profit means margin was lost too.")
    return (
        _bankrupts(result)
        + f'<h3>Who was hit</h3><div class="grid">{body}<div>{_hit(result)}</div></div>'
        + "<h3>The queue, round by round</h3>"
        + "".join(_queue(place, one) for place, one in enumerate(adl["queues"][:ROUNDS_SHOWN]))
        + _queues_left(result)
        + "<h3>Rounds</h3>"
        + _rounds(result)
        + "<h3>Receipts: every fill</h3>"
        + _fills(result)
    )


def _bankrupts(result: _Result) -> str:
    broke = result["bankruptcies"]
    if not broke:
        return "<p>Nobody went bankrupt.</p>"
    rows = []
    for i, one in enumerate(broke[:ACCOUNTS_SHOWN]):
        legs = "; ".join(
            f"{leg['side']} {grouped(leg['size'])} {leg['market']} at {grouped(leg['price'])}"
            for leg in one["legs"]
        )
        path = f"bankruptcies[{i}]"
        row = (escape(one["account"]), marked(f"{path}.deficit", one["deficit"]), escape(legs))
        rows.append(row)
    left = len(broke) - len(rows)
    head = ["bankrupt", "deficit, USDC", "wound up: side, size, price it needed to end at zero"]
    return table(head, rows, (0, 2), f"{left} more in result.json" if left else "")


def _hit(result: _Result) -> str:
    hit = result["adl"]["hit"]
    rows = []
    for i, one in enumerate(hit[:ACCOUNTS_SHOWN]):
        path = f"adl.hit[{i}]"
        rows.append(
            (
                escape(one["account"]),
                marked(f"{path}.haircut", one["haircut"]),
                marked(f"{path}.equity_before", one["equity_before"]),
                percent(one["of_equity"]),
                marked(f"{path}.profit_before", one["profit_before"]),
                percent(one["of_profit"]),
            )
        )
    left = len(hit) - len(rows)
    return table(
        ["winner", "haircut", "equity before", "of equity", "profit before", "of profit"],
        rows,
        note="USDC; a haircut is what the close cost against the mark, below zero a gain."
        + (f" {left} more in result.json." if left else ""),
    )


def _queue(place: int, queue: Mapping[str, Any]) -> str:
    rows = []
    for i, (before, after) in enumerate(zip(queue["before"], queue["after"], strict=True)):
        path = f"adl.queues[{place}]"
        rows.append(
            (
                marked(f"{path}.before[{i}].rank", before["rank"]),
                lights(before["light"]),
                escape(before["account"]),
                marked(f"{path}.before[{i}].score", before["score"]),
                marked(f"{path}.before[{i}].size", before["size"]),
                marked(f"{path}.before[{i}].equity", before["equity"]),
                marked(f"{path}.after[{i}].rank", after["rank"]),
                lights(after["light"]),
                marked(f"{path}.after[{i}].size", after["size"]),
                marked(f"{path}.after[{i}].equity", after["equity"]),
            )
        )
    head = ["rank", "light", "account", "score", "size", "equity"]
    head += ["rank after", "light after", "size after", "equity after"]
    left = queue["winners_before"] - len(rows)
    title = (
        f"Round {queue['round']}: {_count(queue['winners_before'], 'winning ' + queue['side'])} of "
        f"{queue['market']} at a mark of {grouped(queue['mark'])}"
    )
    note = "A dash: no winner any more." + (f" {left} more further back." if left else "")
    shown = table(head, rows, (1, 2, 7), note)
    return folded(title, shown) if place > 1 else f"<p><b>{escape(title)}</b></p>{shown}"


def _queues_left(result: _Result) -> str:
    adl = result["adl"]
    out = []
    more = len(adl["queues"]) - ROUNDS_SHOWN
    if more > 0:
        out.append(f"The queues of {_count(more, 'further round')} are in result.json.")
    if adl["queues_left_out"]:
        out.append(f"{_count(adl['queues_left_out'], 'round')} had no queue recorded.")
    if result["replay_differences"]:
        out.append("The replay behind the queues differs from the chain: take them with care.")
    return f'<p class="note">{" ".join(out)}</p>' if out else ""


def _rounds(result: _Result) -> str:
    keys = ("needed", "taken", "surplus", "residual", "insurance", "uninsured")
    rounds = result["adl"]["rounds"]
    rows = []
    for i, one in enumerate(rounds[:FILLS_SHOWN]):
        path = f"adl.rounds[{i}]"
        rows.append(
            (
                marked(f"{path}.round", one["round"]),
                escape(f"{one['side']}s of {one['market']}"),
                *(marked(f"{path}.{key}", one[key]) for key in keys),
            )
        )
    left = len(rounds) - len(rows)
    note = "needed and taken in units of the market, the rest in USDC"
    note += f"; {left} more in result.json" if left else ""
    return table(["round", "bankrupt", *keys], rows, (1,), note)


_WHO: Final = ("rank", "winner", "market", "bankrupt", "size", "price", "quote", "mark")
_HOW: Final = ("previous_mark", "bankruptcy_price", "score", "haircut", "realised")


def _fills(result: _Result) -> str:
    fills = result["adl"]["fills"]
    keys = [*_WHO, *_HOW]
    words = {"winner", "market", "bankrupt"}
    rows = []
    for i, fill in enumerate(fills[:FILLS_SHOWN]):
        cells = [
            escape(str(fill[key])) if key in words else marked(f"adl.fills[{i}].{key}", fill[key])
            for key in keys
        ]
        rows.append([marked(f"adl.fills[{i}].round", fill["round"]), *cells])
    left = len(fills) - len(rows)
    head = ["round", *(key.replace("_", " ") for key in keys)]
    note = f"{left} more in result.json and events.csv" if left else ""
    return table(head, rows, (2, 3, 4), note)


# ---------------------------------------------------------------- proof and cost


def _solvency(result: _Result) -> str:
    def at(key: str) -> str:
        return figure(result, f"solvency.{key}")

    return (
        f'<p class="story"><b>held &minus; owed = {at("held")} &minus; {at("owed")} = '
        f"{at('difference')} USDC</b>, exact to 0.000001, over {at('accounts')} accounts found in "
        f"the logs; checked {at('checks')} times.</p>"
        f"<p>Tokens beyond what is held: {at('unaccounted')}. Held plus uninsured less equities, "
        f"fees and funding not yet paid out: {at('i4_difference')}. Uninsured: {at('uninsured')}."
        "</p>"
    )


def _gas(result: _Result) -> str:
    gas, sent = result["gas"], result["transactions"]
    rows = []
    for action, count in sent["by_action"].items():
        used = gas["by_action"].get(action)
        path = f"gas.by_action.{action}"
        rows.append(
            (
                escape(action),
                marked(f"transactions.by_action.{action}", count),
                marked(f"{path}.median", used["median"]) if used else "&ndash;",
                marked(f"{path}.max", used["max"]) if used else "&ndash;",
            )
        )
    words = (
        f"<p>{figure(result, 'gas.adl_per_fill')} gas per ADL fill; the largest transaction used "
        f"{figure(result, 'gas.max_tx')}.</p>"
        if gas["by_action"]
        else "<p>This engine does not measure gas as a network would; run it on anvil for gas.</p>"
    )
    sentence = f"<p>{figure(result, 'transactions.path')} transactions on the path.</p>"
    return sentence + table(["action", "sent", "median gas", "largest"], rows) + words


def _accounts(result: _Result) -> str:
    accounts = result["accounts"]
    rows = []
    for name, one in list(accounts.items())[:ACCOUNTS_SHOWN]:
        held = "; ".join(
            f"{grouped(position['size'])} {symbol} at {grouped(position['entry'])}"
            for symbol, position in one["positions"].items()
        )
        path = f"accounts.{name}"
        rows.append(
            (
                escape(name),
                marked(f"{path}.cash", one["cash"]),
                marked(f"{path}.equity", one["equity"]),
                escape(held) or "flat",
            )
        )
    left = len(accounts) - len(rows)
    note = f"{left} more in result.json" if left else ""
    return table(["account", "cash", "equity", "positions"], rows, (0, 3), note)


def _steps(result: _Result) -> str:
    items = []
    for step in result["steps"]:
        told = [escape(one) for one in step["events"][:SENTENCES_SHOWN]]
        if len(step["events"]) > len(told):
            told.append(f"… and {len(step['events']) - len(told)} more")
        if step["refused"]:
            told.append(f"refused: {escape(step['refused'])}")
        note = f": {escape(step['note'])}" if step["note"] else ""
        body = "".join(f"<li>{one}</li>" for one in told)
        items.append(
            f"<li><b>{escape(step['action'].replace('_', ' '))}</b>{note}<ul>{body}</ul></li>"
        )
    shown = f'<ol class="steps">{"".join(items)}</ol>'
    return folded("The whole story in sentences", shown)


def _about(result: _Result) -> str:
    parts = []
    if result.get("source"):
        parts.append(f"<p>{escape(result['source'])}</p>")
    rows = [
        (
            escape(row["what"]),
            escape(grouped(row["printed"])),
            marked(f"printed[{i}].ours", row["ours"]),
            escape(row["why"]),
        )
        for i, row in enumerate(result["printed"])
    ]
    if rows:
        parts.append("<h3>Printed in the source, and here</h3>")
        parts.append(table(["figure", "printed", "here", "why"], rows, (0, 3)))
    parts.append(
        "<p class='note'>Beside this page: result.json (every figure, exact), events.parquet and "
        "events.csv (every event), and the pictures as PNG. docs/files.md explains them.</p>"
    )
    return "".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
