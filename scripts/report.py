"""`ape run report RESULT`: draws the report of a run again, from its result.json alone.

Owns the command line only; the page and the pictures are `breakwater.report`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from breakwater.artifacts import ROOT


@click.command()
@click.argument("result")
def cli(result: str) -> None:
    """Write report.html and the pictures beside RESULT.

    RESULT is a result.json, or the name of a scenario that was run: ape run report atom_flash
    """
    path = Path(result) if result.endswith(".json") else ROOT / "out" / result / "result.json"
    if not path.is_file():
        raise click.ClickException(f"there is no {os.path.relpath(path)}: run the crash first")
    from breakwater.report import files

    try:
        page = files.write_page(path.parent, json.loads(path.read_text()))
    except (ValueError, KeyError) as error:
        raise click.ClickException(f"{path} is no result of this version: {error}") from None
    click.echo(f"report: {os.path.relpath(page)}")
