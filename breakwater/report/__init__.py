"""What is left of a run to look at: recording, event tables, plots, pages.

`record` listens while the driver runs; `events` makes tables of what it heard; `plots` draws;
`page` and `compare` make one HTML file each that opens without a network; `files` puts it all on
disk. No figure is made in a picture or on a page: each shows what stands in result.json or
compare.json. Drawing is heavy to import, so this module does not: ask for the ones you need.
"""

from __future__ import annotations

from pathlib import Path


def clear(folder: Path) -> None:
    """Removes what an earlier run of the same name left, so that nothing of it is taken for this
    one's."""
    for name in ("result.json", "report.html", "events.parquet", "events.csv", "venue.json"):
        (folder / name).unlink(missing_ok=True)
    for name in ("money", "open-interest", "waterfall", "haircuts", "price-*"):
        for picture in folder.glob(f"{name}.png"):
            picture.unlink()
