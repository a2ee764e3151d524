"""The gallery: every scenario's picture in docs/pictures, and the page that shows them.

Owns docs/pictures and docs/gallery.md. A picture is drawn from a run of the short form in process,
so that all of them are made in a minute or two; its <desc> holds the figures in it, exact, and a
test compares them with a run, so no picture can grow stale. The page is made from the scenario
files and those words alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, unescape

from breakwater.artifacts import ROOT
from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.files import replace_text
from breakwater.report import plots
from breakwater.scenario import load

SCENARIOS: Final = ROOT / "scenarios"
PICTURES: Final = ROOT / "docs" / "pictures"
PAGE: Final = ROOT / "docs" / "gallery.md"

HEAD: Final = """\
# Gallery

One picture for each crash in [`scenarios/`](../scenarios), by the last layer that had to pay. This
page and all pictures are made by

    ape run report --gallery            # all of them; names after it: only those

from the short form of each crash (`ape run crash NAME --short`); a crash without a short form of
its own is run as it is. The tests compare the figures in each picture with a run.

How to read one: above, the mark, and the oracle's price where there is one market. Below, a dot
wherever a layer acted: the *book* took a liquidation, the *backstop* took a position over,
*insurance* paid, *ADL* closed winners, or *nobody* paid and a loss became uninsured; larger dots
are larger amounts of the same layer. On the right who paid in the end: each bar is a piece of the
whole loss.
"""

GROUPS: Final = (
    ("nobody: uninsured", "A loss that nobody paid"),
    ("ADL winners", "Winners are deleveraged"),
    ("insurance", "Insurance is enough"),
    ("backstop", "The backstop is enough"),
    ("their own margin", "Margin is enough"),
)
"""Who paid last, as the pictures have it, and the heading of those crashes."""

OTHERS: Final = "Nobody loses"


def names() -> list[str]:
    """Every scenario, by name."""
    return sorted(path.stem for path in SCENARIOS.glob("*.yaml"))


def picture(name: str) -> Path:
    """Where a scenario's picture is."""
    return PICTURES / f"{name}.svg"


def draw(name: str) -> Path:
    """Runs a scenario's short form and draws its picture."""
    crash = Crash(load(SCENARIOS / f"{name}.yaml", short=True), RevmEngine())
    return plots.overview(crash.run()).file_svg(PICTURES)


def words(name: str) -> str:
    """The figures in a picture that is there, as words."""
    found = re.search(r"<desc>(.*?)</desc>", picture(name).read_text(), re.DOTALL)
    assert found is not None, f"{picture(name)} was not made here"
    return unescape(found[1])


def page(of: Iterable[str]) -> str:
    """docs/gallery.md, from the files and pictures of these scenarios."""
    sections: dict[str, list[str]] = {heading: [] for heading in [*dict(GROUPS).values(), OTHERS]}
    for name in of:
        told = words(name)
        last = next((head for key, head in GROUPS if not re.search(rf"{key} 0[,.] ", told)), OTHERS)
        scenario = load(SCENARIOS / f"{name}.yaml", short=True)
        alt = escape(told).replace("[", "(").replace("]", ")")
        sections[last].append(
            f"### {name}\n\n{scenario.description}\n\n![{alt}](pictures/{name}.svg)\n\n"
            f"    ape run report --gallery {name}    # scenarios/{name}.yaml\n"
        )
    shown = [f"## {heading}\n\n" + "\n".join(part) for heading, part in sections.items() if part]
    return "\n".join([HEAD, *shown])


def write_page() -> Path:
    """Writes the page anew, and removes pictures without a scenario. Returns its path."""
    for path in PICTURES.glob("*.svg"):
        if path.stem not in names():
            path.unlink()
    replace_text(PAGE, page(name for name in names() if picture(name).is_file()))
    return PAGE
