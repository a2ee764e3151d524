"""`ape run gas`: what the venue's transactions cost, and whether that is what was committed.

Owns the command line. What is measured, and how, is `breakwater.gas`.
"""

from __future__ import annotations

import os
import sys

import click
from rich import box
from rich.console import Console
from rich.table import Table

from breakwater import gas
from breakwater.engine import EngineError


@click.command()
@click.option("--check", is_flag=True, help="Compare with the committed figures.")
@click.option("--write", is_flag=True, help="Replace the committed figures.")
def cli(check: bool, write: bool) -> None:
    """Measure gas and code sizes on an anvil of its own.

    Every action is a transaction by itself, so all storage it meets is cold. The committed figures
    are in snapshots/gas.json; anvil is deterministic, so --check asks for equality.
    """
    if check and write:
        raise click.UsageError("--check or --write, not both")
    path = os.path.relpath(gas.SNAPSHOT)
    try:
        found = gas.measure()
        committed = gas.Snapshot.read() if check else None
    except FileNotFoundError:
        raise click.ClickException(f"there is no {path}: make it with --write") from None
    except (EngineError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if committed is not None:
        differing = gas.compare(committed, found)
        for row in differing:
            click.echo(f"  {row}")
        if differing:
            rows = "1 row differs" if len(differing) == 1 else f"{len(differing)} rows differ"
            raise click.ClickException(f"{rows} from {path}; if meant: ape run gas --write")
        click.echo(f"{len(found.gas)} actions and {len(found.size)} contracts: as in {path}")
    else:
        _show(gas.table(found), f"Vyper {found.compiler}, {found.evm}, anvil {found.anvil}")
    if write:
        found.write()
        click.echo(f"written: {path}")
    missed = gas.missed(found)
    for sentence in missed:
        click.echo(f"goal missed: {sentence}", err=True)
    if missed:
        sys.exit(1)


def _show(rows: list[tuple[str, str, str]], title: str) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("action", no_wrap=True)
    table.add_column("gas", justify="right", no_wrap=True)
    table.add_column("at most", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=100)
    console.print(table)
