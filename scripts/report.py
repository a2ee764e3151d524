"""`ape run report RESULT`: draws the report of a run or a comparison again, from its figures alone;
`ape run report --gallery`: every scenario's picture for docs/gallery.md.

Owns the command line only; the page and the pictures are `breakwater.report`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import click

from breakwater.artifacts import ROOT


@click.command()
@click.argument("results", nargs=-1, metavar="[RESULT]...")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["png", "svg", "pdf"]),
    help="How to write the pictures; may be given several times.  [default: png]",
)
@click.option(
    "--gallery",
    is_flag=True,
    help="Run the scenarios named (all without a name) in their short form, and draw docs/pictures "
    "and docs/gallery.md.",
)
def cli(results: tuple[str, ...], formats: tuple[str, ...], gallery: bool) -> None:
    """Draw report.html and the pictures beside RESULT again, from its figures alone.

    RESULT is the name of a scenario that was run, compare/<name> for a comparison, or the path of
    a result.json or compare.json. For a paper: svg or pdf, in light colours on white.

    \b
    Examples:
      ape run report atom_flash
      ape run report atom_flash --format pdf
      ape run report compare/atom_flash --format svg --format png
    """
    if gallery:
        _gallery(results)
        return
    if not results:
        raise click.UsageError(
            "a RESULT is needed: the name of a run, or a result.json or compare.json, or --gallery"
        )
    for result in results:
        path = _file(result)
        if not path.is_file():
            first = "compare it" if path.name == "compare.json" else "run the crash"
            raise click.ClickException(f"there is no {os.path.relpath(path)}: {first} first")
        try:
            page = _draw(path, formats or ("png",))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise click.ClickException(f"{path} is no result of this version: {error}") from None
        click.echo(f"report: {os.path.relpath(page)}")


def _file(result: str) -> Path:
    """The result.json or compare.json that is meant."""
    if result.endswith(".json"):
        return Path(result)
    folder = ROOT / "out" / result
    compared = folder.parent.name == "compare" or (folder / "compare.json").is_file()
    return folder / ("compare.json" if compared else "result.json")


def _draw(path: Path, formats: Sequence[str]) -> Path:
    # Here, because drawing takes a second to import and --help does not draw.
    from breakwater.report import files

    found = json.loads(path.read_text())
    if isinstance(found, dict):
        return files.write_page(path.parent, found, formats)
    names = ["-".join(row["policy"].values()) for row in found]
    results = [
        None if row["refused"] else json.loads((path.parent / f"{name}.json").read_text())
        for name, row in zip(names, found, strict=True)
    ]
    return files.write_comparison(path.parent, found, results, formats)


def _gallery(names: tuple[str, ...]) -> None:
    from breakwater.report import gallery

    known = gallery.names()
    for name in names:
        if name not in known:
            raise click.UsageError(f"there is no scenario {name}. There are: {', '.join(known)}")
    for name in names or known:
        click.echo(os.path.relpath(gallery.draw(name)))
    click.echo(f"page: {os.path.relpath(gallery.write_page())}")
