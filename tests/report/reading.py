"""Reads the figures of a page and compares them with a result.

Owns no expectation and no run; works on the text of a file or of a browser's document alike.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from breakwater import expect, units


class Figures(HTMLParser):
    """Every <data> element of a page as (path, value, shown), ids, addresses, and tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.figures: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: dict[str, int] = {}
        self._open: list[str] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if "id" in given:
            self.ids.append(given["id"])
        self.addresses += [
            given[name] for name in ("src", "href", "xlink:href", "data") if name in given
        ]
        self.addresses += re.findall(r"url\(([^)]*)\)", given.get("style", ""))
        if tag == "data":
            self._open = [given["data-path"], given["value"], ""]

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._open[2] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "data" and self._open is not None:
            path, value, shown = self._open
            self.figures.append((path, value, shown))
            self._open = None


def wrong(figures: list[tuple[str, str, str]], result: Any) -> list[str]:
    """Figures of a page that are not what the result has at their path, one sentence each."""
    found = []
    for path, value, shown in figures:
        true = expect.find(path, result)
        text = "" if true is None else str(true)
        if value != text:
            found.append(f"{path}: the page has {value!r}, the result {true!r}")
        if shown != (units.grouped(text) or "\u2013"):
            found.append(f"{path}: the page shows {shown!r} for {value!r}")
    return found


MAIN = (
    "solvency.difference",
    "solvency.held",
    "solvency.owed",
    "solvency.checks",
    "waterfall.liquidated",
    "waterfall.backstopped",
    "waterfall.insurance_paid",
    "waterfall.adl_closed",
    "waterfall.uninsured",
    "paid.margin",
    "paid.insurance",
    "paid.winners",
    "paid.uninsured",
    "transactions.path",
)
"""Paths that must stand on every page of a run."""
