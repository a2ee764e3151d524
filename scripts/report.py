"""`ape run report RESULT`: draws the report of a run again, from its result.json alone;
`ape run report --gallery`: every scenario's picture for docs/gallery.md.

Owns the command line only; the page and the pictures are `breakwater.report`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from breakwater.artifacts import ROOT


@click.command()
@click.argument("results", nargs=-1, metavar="[RESULT]...")
@click.option(
    "--gallery",
    is_flag=True,
    help="Run the scenarios named (all without a name) in their short form, and draw docs/pictures "
    "and docs/gallery.md.",
)
def cli(results: tuple[str, ...], gallery: bool) -> None:
    """Write report.html and the pictures beside RESULT.

    RESULT is a result.json, or the name of a scenario that was run: ape run report atom_flash
    """
    if gallery:
        _gallery(results)
        return
    if not results:
        raise click.UsageError(
            "a RESULT is needed: a result.json or the name of a run, or --gallery"
        )
    from breakwater.report import files

    for result in results:
        path = Path(result) if result.endswith(".json") else ROOT / "out" / result / "result.json"
        if not path.is_file():
            raise click.ClickException(f"there is no {os.path.relpath(path)}: run the crash first")
        try:
            page = files.write_page(path.parent, json.loads(path.read_text()))
        except (ValueError, KeyError) as error:
            raise click.ClickException(f"{path} is no result of this version: {error}") from None
        click.echo(f"report: {os.path.relpath(page)}")


def _gallery(names: tuple[str, ...]) -> None:
    from breakwater.report import gallery

    known = gallery.names()
    for name in names:
        if name not in known:
            raise click.UsageError(f"there is no scenario {name}. There are: {', '.join(known)}")
    for name in names or known:
        click.echo(os.path.relpath(gallery.draw(name)))
    click.echo(f"page: {os.path.relpath(gallery.write_page())}")
