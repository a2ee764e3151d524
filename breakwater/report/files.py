"""Writes what a run leaves behind: pages, pictures and tables, beside its result.json.

The names of the files are in docs/files.md. The page is written last, so that one that is there is
complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from breakwater.files import replace_text
from breakwater.report import compare, events, page, plots

FORMATS = ("png", "svg", "pdf")
"""What pictures can be written as; a page has its own inside."""


def write_tables(
    folder: Path,
    records: Iterable[events.Recorded],
    names: Mapping[int, str],
    symbols: Sequence[str],
) -> None:
    """events.parquet and events.csv."""
    events.write(events.table(records, names, symbols), folder)


def write_page(folder: Path, result: Mapping[str, Any], formats: Sequence[str] = ("png",)) -> Path:
    """The pictures, as PNG if nothing is said, and report.html. Returns its path."""
    for plot in plots.of_run(result):
        _write(plot, folder, formats)
    path = folder / "report.html"
    replace_text(path, page.of_run(result))
    return path


def write_comparison(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any] | None],
    formats: Sequence[str] = ("png",),
) -> Path:
    """The pictures and the page of a comparison; results as `compare.of_rows` takes them."""
    for plot in compare.drawn(rows):
        _write(plot, folder, formats)
    path = folder / "report.html"
    replace_text(path, compare.of_rows(rows, results))
    return path


def _write(plot: plots.Plot, folder: Path, formats: Sequence[str]) -> None:
    for made in formats:
        if made == "svg":
            plot.file_svg(folder)
        else:
            plot.picture(folder, made)
