"""The pictures of a run, drawn by matplotlib: SVG for pages, PNG for READMEs and papers.

Owns what is drawn and how. It reads a result and computes no figure of it; what it turns into
floats is only the place of a line on paper. An SVG carries CSS variables for colours and the page's
own font, so one drawing serves light, dark and print. The x axis of what changes over time counts
readings, not seconds: a wait of a day would else squash the minute of the crash.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from breakwater.files import replace_bytes, replace_text
from breakwater.units import grouped

WIDTH: Final = 5.0
"""Inches: the width of a phone in hand, so that text is never scaled down there."""

MAX_MARKETS: Final = 6
"""Markets drawn one by one; a run with more shows those that moved most, and says so."""

MAX_BARS: Final = 12

MAX_TICKS: Final = 7

NAMED_BARS: Final = 12
"""Policies of a comparison up to which each bar carries its name."""

# Name, colour in light, colour in dark. In an SVG a colour is a marker, replaced by var(--name).
COLOURS: Final = {
    "ink": ("#1c2126", "#e9edf1"),
    "muted": ("#66707a", "#9aa5b1"),
    "grid": ("#d9dee3", "#353c44"),
    "c1": ("#2563c9", "#7aa7ff"),
    "c2": ("#b4480f", "#ff9f63"),
    "c3": ("#0f766e", "#4fd1c0"),
    "c4": ("#7c3aed", "#b79bff"),
    "c5": ("#be123c", "#ff7a93"),
    "c6": ("#8a6100", "#e3b341"),
}
_LIGHT: Final = {name: light for name, (light, _) in COLOURS.items()}
_MARKERS: Final = {name: f"#0{place}0b0c" for place, name in enumerate(COLOURS)}
_FONT: Final = re.compile(r"font: ([0-9.]+px) [^;\"]*")
_IDS: Final = re.compile(r'(\bid="|href="#|url\(#)')

Palette = Mapping[str, str]


@dataclass(frozen=True)
class Plot:
    """One picture: file name without ending, title, words for who cannot see it, and its maker."""

    name: str
    title: str
    alt: str
    draw: Callable[[Palette], Figure]

    def svg(self) -> str:
        """For a page: no size of its own but a viewBox, ids that no other picture has."""
        buffer = io.StringIO()
        settings: Any = {"svg.fonttype": "none", "svg.hashsalt": self.name}
        with matplotlib.rc_context(settings):
            self.draw(_MARKERS).savefig(
                buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
            )
        text = buffer.getvalue()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
        text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
        for name, marker in _MARKERS.items():
            text = text.replace(marker, f"var(--{name})")
        text = _FONT.sub(r"font-size: \1", text)
        text = _IDS.sub(rf"\g<1>{self.name}-", text)
        label = self.alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
        return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)

    def file_svg(self, folder: Path) -> Path:
        """A file of its own, in light colours on white, the same bytes for the same result: words
        are text, and nothing in it says when it was made. `alt` is its <desc>."""
        path = folder / f"{self.name}.svg"
        buffer = io.StringIO()
        settings: Any = {"svg.fonttype": "none", "svg.hashsalt": self.name}
        with matplotlib.rc_context(settings):
            self.draw(_LIGHT).savefig(
                buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None}
            )
        text = buffer.getvalue()
        text = text[text.index("<svg") :]
        text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = _FONT.sub(r"font: \1 sans-serif", text)
        # Two decimals of a point are enough on any screen.
        text = re.sub(r"(\d+\.\d\d)\d+", r"\1", text)
        words = f"<title>{escape(self.title)}</title>\n <desc>{escape(self.alt)}</desc>"
        text = text.replace(">", f">\n {words}", 1)
        text = re.sub(r"\s*\n\s*", "\n", text)
        replace_text(path, text)
        return path

    def picture(self, folder: Path, form: str = "png") -> Path:
        """A file of its own, `png` or `pdf`, in light colours on white."""
        path = folder / f"{self.name}.{form}"
        figure = self.draw(_LIGHT)
        # Nothing in it says when, or by what, it was made.
        unsaid = {"png": ("Software",), "pdf": ("CreationDate", "Creator", "Producer")}[form]
        look: Any = {"dpi": 200, "facecolor": "white", "metadata": dict.fromkeys(unsaid)}
        with matplotlib.rc_context({"pdf.fonttype": 42}):
            replace_bytes(path, lambda out: figure.savefig(out, format=form, **look))
        return path


def of_run(result: Mapping[str, Any]) -> list[Plot]:
    """The pictures of one run, those that have something to show."""
    symbols = markets_shown(result)
    plots = [_prices(result, symbol) for symbol in symbols]
    plots += [_money(result), _interest(result, symbols), _waterfall(result)]
    if result["adl"]["hit"]:
        plots.append(_hit(result))
    return plots


def markets_shown(result: Mapping[str, Any]) -> list[str]:
    """The markets drawn: those with ADL first, then those whose mark moved most."""
    fills: dict[str, int] = {}
    for fill in result["adl"]["fills"]:
        fills[fill["market"]] = fills.get(fill["market"], 0) + 1

    def importance(symbol: str) -> tuple[int, float]:
        marks = [float(mark) for mark in result["series"]["markets"][symbol]["mark"]]
        return fills.get(symbol, 0), (max(marks) - min(marks)) / marks[0]

    symbols = list(result["series"]["markets"])
    return sorted(symbols, key=importance, reverse=True)[:MAX_MARKETS]


# ---------------------------------------------------------------- all in one

STEPPED_IN: Final = (
    ("liquidated", "book", "c1"),
    ("backstopped", "backstop", "c4"),
    ("insurance_paid", "insurance", "c3"),
    ("adl_closed", "ADL", "c2"),
    ("uninsured", "nobody", "c5"),
)
"""Columns of `series` that grow when a layer acts, words, colour: in the order of LAYERS."""


OVERVIEW_MARKETS: Final = 4


def overview(result: Mapping[str, Any]) -> Plot:
    """A run in one picture: prices, when each layer stepped in, and who paid in the end."""
    series, paid = result["series"], result["paid"]
    symbols = markets_shown(result)

    def draw(palette: Palette) -> Figure:
        figure = Figure(figsize=(8.0, 3.9), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=(1.9, 1), height_ratios=(1.45, 1))
        price = figure.add_subplot(grid[0, 0])
        when = figure.add_subplot(grid[1, 0], sharex=price)
        bars = figure.add_subplot(grid[1, 1], sharey=when)
        facts = figure.add_subplot(grid[0, 1])
        for axes in (price, when, bars):
            _dress(axes, palette)
        _all_marks(price, series, symbols, palette)
        _when_it_acted(when, series, palette)
        _steps(when, series, palette)
        price.tick_params(labelbottom=False)
        _who_paid(bars, paid, palette)
        facts.axis("off")
        for row, (what, figures) in enumerate(_facts(result)):
            at = 1.0 - 0.128 * row
            facts.text(0.0, at, what, va="top", fontsize=9, color=palette["muted"])
            facts.text(1.0, at, figures, va="top", ha="right", fontsize=9, color=palette["ink"])
        return figure

    first = series["markets"][symbols[0]]["mark"]
    told = ", ".join(f"{words} {paid[key]}" for key, words, _ in LAYERS)
    more = f" and {len(series['markets']) - 1} other markets" if len(series["markets"]) > 1 else ""
    return Plot(
        result["scenario"],
        result["scenario"],
        f"{result['scenario']}: {symbols[0]}{more} from {first[0]} to {first[-1]}, lowest "
        f"{min(first, key=Decimal)}, highest {max(first, key=Decimal)}. Who paid, USDC: {told}. "
        + "; ".join(f"{what}: {figures}" for what, figures in _facts(result)),
        draw,
    )


def _facts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A few figures in words."""
    own = ("vault", "tranche")
    traders = [n for n in result["accounts"] if n not in own and not n.startswith("estate_")]
    vault, adl = result["series"]["vault"], result["adl"]
    return [
        ("accounts", f"{len(traders):,}"),
        ("sold in the book, fills", f"{len(result['liquidations']):,}"),
        ("bankrupt", f"{len(result['bankruptcies']):,}"),
        ("deleveraged, fills", f"{len(adl['fills']):,}"),
        ("deleveraged, accounts", f"{len(adl['hit']):,}"),
        ("vault before, USDC", _brief(vault[0])),
        ("vault after, USDC", _brief(vault[-1])),
        ("held - owed, USDC", result["solvency"]["difference"]),
    ]


def _brief(amount: str) -> str:
    """An amount of money to the cent, for a picture; what is less than a cent in full."""
    cents = f"{Decimal(amount):.2f}"
    exact = len(amount.partition(".")[2]) <= 2 or not Decimal(cents)
    return grouped(amount if exact else cents)


def _all_marks(
    axes: Axes, series: Mapping[str, Any], symbols: Sequence[str], palette: Palette
) -> None:
    """One market in USDC with its oracle; several as a share of where they began."""
    x = _places(series)
    if len(series["markets"]) == 1:
        columns = series["markets"][symbols[0]]
        for key, label, colour, width, alpha in (
            ("oracle", "oracle price", "c1", 3.4, 0.4),
            ("mark", "mark", "ink", 1.5, 1.0),
        ):
            look: Any = {"color": palette[colour], "lw": width, "alpha": alpha}
            axes.step(x, _held(columns[key]), where="post", label=label, **look)
        axes.set_ylabel(f"{symbols[0]}, USDC")
        axes.margins(y=0.1)
        floor = axes.get_ylim()[0]
        axes.fill_between(
            x, _held(columns["mark"]), floor, step="post", color=palette["c1"], alpha=0.1, lw=0
        )
        axes.set_ylim(bottom=floor)
    else:
        for place, symbol in enumerate(symbols[:OVERVIEW_MARKETS]):
            marks = _held(series["markets"][symbol]["mark"])
            axes.step(
                x,
                [100 * mark / marks[0] for mark in marks],
                where="post",
                color=palette[f"c{place % 6 + 1}"],
                # Thinner one by one: markets that move alike are all seen.
                lw=1.4 * (min(len(symbols), OVERVIEW_MARKETS) - place),
                label=_short(symbol),
            )
        axes.set_ylabel("mark, % of the start")
        axes.margins(y=0.1)
    for key, _, colour in STEPPED_IN:
        if key in ("adl_closed", "uninsured"):
            # Through to the dot below: at which price others had to pay.
            for at, _ in _grown(series, key):
                axes.axvline(at, color=palette[colour], alpha=0.3, lw=1.2, zorder=0)
    _legend(axes, palette, 6)


def _right(series: Mapping[str, Any]) -> float:
    """The right end of what changes over time: somewhat after the last reading."""
    return 1.05 * max(1, len(series["when"]) - 1)


def _places(series: Mapping[str, Any]) -> list[float]:
    """Where the readings stand, and the right end: the last value has a length too, or a fall in
    the last step could not be seen."""
    return [*range(len(series["when"])), _right(series)]


def _held(texts: Sequence[str]) -> list[float]:
    """The values, the last one to the right end."""
    values = _floats(texts)
    return [*values, values[-1]]


def _grown(series: Mapping[str, Any], key: str) -> list[tuple[int, float]]:
    """The readings at which an amount is more than at the one before, and by how much."""
    amounts = _floats(series[key])
    by = [(x, amounts[x] - amounts[x - 1]) for x in range(1, len(amounts))]
    return [(x, more) for x, more in by if more > 0]


def _when_it_acted(axes: Axes, series: Mapping[str, Any], palette: Palette) -> None:
    """A dot wherever a layer has done more than at the reading before, its area by how much."""
    for row, (key, _, colour) in enumerate(STEPPED_IN):
        if grown := _grown(series, key):
            most = max(by for _, by in grown)
            axes.scatter(
                [x for x, _ in grown],
                [row] * len(grown),
                s=[14 + 60 * by / most for _, by in grown],
                color=palette[colour],
                alpha=0.85,
                lw=0,
                clip_on=False,
                zorder=3,
            )
    axes.set_yticks(range(len(STEPPED_IN)), [words for _, words, _ in STEPPED_IN])
    axes.set_ylim(len(STEPPED_IN) - 0.4, -0.6)
    axes.grid(axis="x", visible=False)


def _steps(axes: Axes, series: Mapping[str, Any], palette: Palette) -> None:
    ends = [place for place, when in enumerate(series["when"]) if when == "end"]
    labels = [series["step"][place] + 1 for place in ends]
    every = -(-len(ends) // 9)
    axes.set_xticks(ends[::every], [str(label) for label in labels[::every]])
    axes.set_xlim(0, _right(series))
    axes.set_xlabel("step of the path; dots: when a layer acted")


def _who_paid(axes: Axes, paid: Mapping[str, str], palette: Palette) -> None:
    """A row for each layer: words, amount, and under them its piece of the whole loss."""
    total = sum(float(paid[key]) for key, *_ in LAYERS) or 1
    start = 0.0
    for row, (key, words, colour) in enumerate(LAYERS):
        part = float(paid[key]) / total
        ink = palette["ink" if part else "muted"]
        axes.barh(row + 0.28, 1, height=0.16, color=palette["grid"], alpha=0.5)
        axes.barh(row + 0.28, part, left=start, height=0.16, color=palette[colour])
        axes.text(0, row - 0.08, words, va="center", fontsize=9, color=ink)
        axes.text(1, row - 0.08, _brief(paid[key]), va="center", ha="right", fontsize=9, color=ink)
        start += part
    axes.set_xlim(0, 1)
    axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("who paid for the losses, USDC")


# ---------------------------------------------------------------- over time


def _prices(result: Mapping[str, Any], symbol: str) -> Plot:
    columns = result["series"]["markets"][symbol]
    marks = columns["mark"]

    def draw(palette: Palette) -> Figure:
        figure, (axes,) = _sheet(palette, 1, 2.6)
        x = _places(result["series"])
        for key, label, style in (
            ("previous_mark", "previous mark", {"color": palette["muted"], "ls": (0, (2, 2))}),
            ("oracle", "oracle price", {"color": palette["c1"], "lw": 3.2, "alpha": 0.45}),
            ("mark", "mark", {"color": palette["ink"], "lw": 1.6}),
        ):
            axes.step(x, _held(columns[key]), where="post", label=label, **style)
        axes.set_ylabel(f"{symbol}, USDC")
        _legend(axes, palette, 3)
        _time(axes, result, palette)
        return figure

    low, high = min(marks, key=Decimal), max(marks, key=Decimal)
    return Plot(
        f"price-{symbol}",
        f"Price of {symbol}",
        f"Mark of {symbol} over time: from {marks[0]} to {marks[-1]}, lowest {low}, highest {high}",
        draw,
    )


def _money(result: Mapping[str, Any]) -> Plot:
    series = result["series"]

    def draw(palette: Palette) -> Figure:
        figure, (top, bottom) = _sheet(palette, 2, 3.9)
        x = _places(series)
        vault = _held(series["vault"])
        top.step(x, vault, where="post", color=palette["c3"])
        top.fill_between(x, vault, step="post", color=palette["c3"], alpha=0.15, lw=0)
        top.set_ylabel("vault, USDC")
        _from_zero(top, vault)
        below = _held(series["below_zero"])
        bottom.fill_between(x, below, step="post", color=palette["c5"], alpha=0.2, lw=0)
        bottom.step(
            x, below, where="post", color=palette["c5"], label="equity below zero, all accounts"
        )
        bottom.step(
            x,
            _held(series["uninsured"]),
            where="post",
            color=palette["ink"],
            ls=(0, (3, 2)),
            label="uninsured",
        )
        bottom.set_ylabel("USDC")
        _from_zero(bottom, [*below, *_floats(series["uninsured"])])
        _legend(bottom, palette, 2)
        _time(bottom, result, palette)
        return figure

    worst = max(series["below_zero"], key=Decimal)
    return Plot(
        "money",
        "Vault, equity below zero, uninsured loss",
        f"Vault from {series['vault'][0]} to {series['vault'][-1]} USDC; equity below zero at most "
        f"{worst} USDC; uninsured at the end {series['uninsured'][-1]} USDC",
        draw,
    )


def _interest(result: Mapping[str, Any], symbols: Sequence[str]) -> Plot:
    markets = result["series"]["markets"]

    def notional(symbol: str) -> list[float]:
        columns = markets[symbol]
        pairs = zip(columns["open_interest"], columns["mark"], strict=True)
        return [float(Decimal(size) * Decimal(mark)) for size, mark in pairs]

    def draw(palette: Palette) -> Figure:
        figure, (axes,) = _sheet(palette, 1, 2.3)
        for place, symbol in enumerate(symbols):
            values = notional(symbol)
            axes.step(
                _places(result["series"]),
                [*values, values[-1]],
                where="post",
                color=palette[f"c{place % 6 + 1}"],
                # Two of the six colours are hard to tell apart: the second half is dashed.
                ls="-" if place < 3 else (0, (4, 1.5)),
                label=_short(symbol),
            )
        _from_zero(axes, [value for symbol in symbols for value in notional(symbol)])
        axes.set_ylabel("open interest, USDC")
        # As many side by side as the sheet is wide: a wider legend would squeeze the drawing.
        _legend(axes, palette, max(1, 56 // (max(len(_short(one)) for one in symbols) + 6)))
        _time(axes, result, palette)
        return figure

    first = markets[symbols[0]]["open_interest"]
    return Plot(
        "open-interest",
        "Open interest at the mark",
        f"Open interest of {symbols[0]} from {first[0]} to {first[-1]} units"
        + (f", and of {len(symbols) - 1} other markets" if len(symbols) > 1 else ""),
        draw,
    )


# ---------------------------------------------------------------- who paid

LAYERS: Final = (
    ("margin", "their own margin", "c1"),
    ("backstop", "backstop", "c4"),
    ("insurance", "insurance", "c3"),
    ("winners", "ADL winners", "c2"),
    ("uninsured", "nobody: uninsured", "c5"),
)
"""Who pays, in the order in which the waterfall asks: key in `paid`, words, colour."""


def _waterfall(result: Mapping[str, Any]) -> Plot:
    paid = result["paid"]

    def draw(palette: Palette) -> Figure:
        figure, (axes,) = _sheet(palette, 1, 2.4)
        start = 0.0
        total = sum(float(paid[key]) for key, *_ in LAYERS)
        for row, (key, _, colour) in enumerate(LAYERS):
            amount = float(paid[key])
            axes.barh(row, amount, left=start, height=0.62, color=palette[colour])
            # What is small or far right is labelled on the left of its bar.
            right = start + amount <= 0.68 * total or not total
            axes.annotate(
                grouped(paid[key]),
                (start + amount if right else start, row),
                xytext=(4 if right else -4, 0),
                textcoords="offset points",
                va="center",
                ha="left" if right else "right",
                color=palette["ink"],
                fontsize=9,
            )
            if row + 1 < len(LAYERS):
                axes.plot([start + amount] * 2, [row, row + 1], color=palette["muted"], lw=0.8)
            start += amount
        axes.set_yticks(range(len(LAYERS)), [words for _, words, _ in LAYERS])
        axes.invert_yaxis()
        axes.set_xlim(0, (total or 1) * 1.02)
        axes.grid(axis="y", visible=False)
        _numbers(axes.xaxis)
        axes.set_xlabel("USDC, one after the other")
        return figure

    told = ", ".join(f"{words} {paid[key]}" for key, words, _ in LAYERS)
    return Plot(
        "waterfall", "The losses, layer by layer", f"Who paid for the losses, USDC: {told}", draw
    )


def _hit(result: Mapping[str, Any]) -> Plot:
    hit = result["adl"]["hit"][:MAX_BARS]

    def draw(palette: Palette) -> Figure:
        figure, (axes,) = _sheet(palette, 1, 0.95 + 0.34 * len(hit))
        for key, words, colour, shift in (
            ("of_equity", "of equity", "c2", -0.19),
            ("of_profit", "of unrealised profit", "c4", 0.19),
        ):
            rows = [row + shift for row in range(len(hit))]
            widths = [100 * float(one[key] or 0) for one in hit]
            axes.barh(rows, widths, height=0.34, color=palette[colour], label=words)
        axes.set_yticks(range(len(hit)), [_short(one["account"]) for one in hit])
        axes.invert_yaxis()
        axes.axvline(0, color=palette["muted"], lw=0.8)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}%"))
        axes.set_xlabel("haircut")
        _legend(axes, palette, 2)
        return figure

    worst = result["adl"]["hit"][0]
    return Plot(
        "haircuts",
        "What ADL cost the winners",
        f"Haircuts of {len(result['adl']['hit'])} accounts; the largest: {worst['account']} with "
        f"{worst['haircut']} USDC",
        draw,
    )


# ---------------------------------------------------------------- comparison


def of_comparison(
    rows: Sequence[Mapping[str, Any]], labels: Sequence[str], numbers: Sequence[int]
) -> list[Plot]:
    """Pictures of compare.json's rows, a label and a number in the table each."""
    out = []
    for key, title, unit in (
        ("accounts_hit", "Accounts hit", ""),
        ("worst_haircut_of_equity", "Worst haircut, share of an account's equity", "%"),
        ("gini", "Gini of haircuts among winners (0: all alike, 1: one pays all)", ""),
        ("overshoot_absolute", "Absolute overshoot, USDC", ""),
        ("uninsured", "Uninsured, USDC", ""),
    ):
        if any(Decimal(str(row[key] or 0)) for row in rows):
            out.append(_bars(rows, labels, numbers, key, title, unit))
    return out


def _bars(
    rows: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    numbers: Sequence[int],
    key: str,
    title: str,
    unit: str,
) -> Plot:
    # A few bars carry their names; many would make a sheet of several pages.
    named = len(rows) <= NAMED_BARS

    def draw(palette: Palette) -> Figure:
        pitch = 0.44 if named else 0.22
        figure, (axes,) = _sheet(palette, 1, 0.6 + pitch * len(rows))
        scale = 100 if unit == "%" else 1
        widths = [scale * float(row[key] or 0) for row in rows]
        places = [place + 0.2 if named else place for place in range(len(rows))]
        axes.barh(places, widths, height=0.42 if named else 0.7, color=palette["c1"])
        largest = max(map(abs, widths)) or 1
        low = min(0, *widths)
        for place, (width, row) in enumerate(zip(widths, rows, strict=True)):
            shown = "-" if row[key] is None else f"{width:g}%" if unit else grouped(str(row[key]))
            axes.annotate(
                shown,
                (max(width, 0), places[place]),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                color=palette["ink"],
                fontsize=9 if named else 8,
            )
            if named:
                axes.text(
                    low,
                    place - 0.22,
                    labels[place],
                    va="center",
                    color=palette["muted"],
                    fontsize=8.5,
                )
        axes.set_xlim(low, 1.3 * largest)
        axes.set_ylim(len(rows) - 0.45, -0.55)
        axes.grid(axis="y", visible=False)
        _numbers(axes.xaxis, whole=key == "accounts_hit")
        if unit:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}%"))
        if named:
            axes.set_yticks([])
        else:
            axes.set_yticks(range(len(rows)), [str(number) for number in numbers])
            axes.tick_params(axis="y", labelsize=8)
            axes.set_ylabel("policy, as numbered in the table")
        return figure

    pairs = zip(labels, rows, strict=True)
    told = "; ".join(f"{label}: {row[key]}" for label, row in pairs)
    return Plot(key.replace("_", "-"), title, f"{title}. {told}", draw)


# ---------------------------------------------------------------- the sheet


def _sheet(palette: Palette, rows: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    found = figure.subplots(rows, 1, sharex=True, squeeze=False)
    panels: list[Axes] = list(found[:, 0])
    for axes in panels:
        _dress(axes, palette)
    return figure, panels


def _dress(axes: Axes, palette: Palette) -> None:
    """Quiet axes: two thin spines, a grid behind, numbers in full."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(palette["grid"])
    axes.set_axisbelow(True)
    axes.grid(color=palette["grid"], lw=0.6)
    axes.tick_params(colors=palette["muted"], labelcolor=palette["muted"], labelsize=9)
    axes.xaxis.label.set_color(palette["muted"])
    axes.yaxis.label.set_color(palette["muted"])
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    _numbers(axes.yaxis)


def _from_zero(axes: Axes, values: Sequence[float]) -> None:
    """The axis begins at zero; where there is nothing else, zero is all it says."""
    axes.set_ylim(bottom=0)
    if not any(values):
        axes.set_ylim(0, 1)
        axes.set_yticks([0])


def _numbers(axis: Any, whole: bool = False) -> None:
    def text(value: float, _: int) -> str:
        return f"{value:,.10g}" if abs(value) < 1e9 else f"{value / 1e9:,.6g}bn"

    axis.set_major_locator(MaxNLocator(nbins=5, integer=whole))
    axis.set_major_formatter(FuncFormatter(text))


def _legend(axes: Axes, palette: Palette, columns: int) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=9,
        labelcolor=palette["ink"],
        borderaxespad=0.2,
        handlelength=1.4,
        columnspacing=1.2,
    )


def _time(axes: Axes, result: Mapping[str, Any], palette: Palette) -> None:
    """Ticks at the ends of steps: number of the step and, below it, time since the path began."""
    series = result["series"]
    ends = [place for place, when in enumerate(series["when"]) if when == "end"]
    # From the right, so that the last step has its tick: those that have room beside each other.
    room, shown = _right(series) / MAX_TICKS, list[int]()
    for place in reversed(ends):
        if not shown or shown[-1] - place >= room:
            shown.append(place)
    first = series["timestamp"][0]
    axes.set_xticks(
        shown,
        [f"{series['step'][at] + 1}\n{_elapsed(series['timestamp'][at] - first)}" for at in shown],
    )
    axes.set_xlim(0, _right(series))
    axes.set_xlabel("step of the path, and time since it began")


def _elapsed(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours}:{minutes:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _floats(texts: Sequence[str]) -> list[float]:
    return [float(text) for text in texts]


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"
