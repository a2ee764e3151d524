"""What is left of a run to look at: recording, event tables, plots, pages.

`record` listens while the driver runs; `events` makes tables of what it heard; `plots` draws;
`page` and `compare` make one HTML file each that opens without a network; `files` puts it all on
disk. No figure is made in a picture or on a page: each shows what stands in result.json or
compare.json. Drawing is heavy to import, so this module does not: ask for the ones you need.
"""

from __future__ import annotations

from pathlib import Path

FILES = ("result.json", "report.html", "events.parquet", "events.csv", "venue.json", "compare.json")
PICTURES = ("money", "open-interest", "waterfall", "haircuts", "price-*")
COMPARED = ("accounts-hit", "worst-haircut-of-equity", "gini", "overshoot-absolute", "uninsured")


def clear(folder: Path) -> None:
    """Removes what an earlier run or comparison of the same name left, so that nothing of it is
    taken for this one's. What has another name stays."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    for name in (*PICTURES, *COMPARED):
        for form in ("png", "svg", "pdf"):
            for picture in folder.glob(f"{name}.{form}"):
                picture.unlink()
