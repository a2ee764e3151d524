"""Writes what a run leaves behind: pages, pictures and tables, beside its result.json.

The names of the files are in docs/files.md. The page is written last, so that one that is there is
complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from breakwater.files import replace_text
from breakwater.report import events, page, plots


def write_tables(
    folder: Path,
    records: Iterable[events.Recorded],
    names: Mapping[int, str],
    symbols: Sequence[str],
) -> None:
    """events.parquet and events.csv."""
    events.write(events.table(records, names, symbols), folder)


def write_page(folder: Path, result: Mapping[str, Any]) -> Path:
    """The pictures as PNG, and report.html. Returns its path."""
    for plot in plots.of_run(result):
        plot.png(folder)
    path = folder / "report.html"
    replace_text(path, page.of_run(result))
    return path
