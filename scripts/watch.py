"""`ape run watch`: a live view of a venue on a running node.

Owns the command line only; what is read and how it looks is `breakwater.watch`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import click
from rich.console import Console

from breakwater import watch
from breakwater.artifacts import ArtifactError
from breakwater.contract import ContractError
from breakwater.engine import EngineError, Reverted
from breakwater.engine.read import ReadEngine
from breakwater.options import of_a_node
from breakwater.trader import TradeError, load


@click.command()
@of_a_node
@click.option("--every", type=click.FloatRange(0.1), default=1.0, help="Seconds.  [default: 1]")
@click.option("--once", is_flag=True, help="One view, then end.")
def cli(rpc: str, venue: Path, every: float, once: bool) -> None:
    """Watch a venue: book, accounts with health and lights, vault, rounds, news.

    It only reads, from any node. Ctrl-C ends it. While the node is away it waits.
    """
    console = Console(highlight=False)
    try:
        engine = ReadEngine(rpc)
        watcher = watch.Watcher(engine, load(engine, venue))
        if once:
            console.print(watch.render(watcher.look()))
            return
        with contextlib.suppress(KeyboardInterrupt):
            watch.run(watcher, console, every)
    except (EngineError, TradeError, ArtifactError, ContractError, Reverted) as error:
        raise click.ClickException(str(error)) from None
