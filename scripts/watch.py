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
from breakwater.trader import TradeError, account_names, load


@click.command()
@of_a_node
@click.option(
    "--every", type=click.FloatRange(0.1), default=1.0, help="Seconds between looks.  [default: 1]"
)
@click.option("--once", is_flag=True, help="One view, then end.")
@click.option("--page", is_flag=True, help="In a browser instead of the terminal.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8_400,
    help="Where the page is served, on this machine only; 0: any that is free.  [default: 8400]",
)
def cli(rpc: str, venue: Path, every: float, once: bool, page: bool, port: int) -> None:
    """Watch a venue: book, accounts with health and lights, vault, rounds, news.

    It only reads, from any node, and writes nothing. Ctrl-C ends it. While the node is away it
    waits. Money and prices are in USDC, sizes in units of the asset; health is equity over
    maintenance margin, below 1 anyone may liquidate.

    \b
    Examples:
      ape run watch                        # the venue of `ape run deploy` on anvil
      ape run watch --page                 # the same as a page: http://127.0.0.1:8400/
      ape run watch --venue out/my_crash/venue.json    # a crash that runs on anvil
      ape run watch --rpc http://127.0.0.1:9000 --once
    """
    console = Console(highlight=False)
    try:
        engine = ReadEngine(rpc)
        names = account_names(venue)
        watcher = watch.Watcher(engine, load(engine, venue), names)
        if once:
            console.print(watch.render(watcher.look()))
            return
        with contextlib.suppress(KeyboardInterrupt):
            if page:
                # Here: the page brings the drawing library of the reports with it.
                from breakwater import watch_page

                watcher.levels = watch_page.LEVELS
                with watch_page.PageServer(port) as server:
                    click.echo(f"page: {server.url} (Ctrl-C ends it)")
                    watch_page.run(watcher, server, every)
            else:
                watch.run(watcher, console, every)
    except OSError as error:
        raise click.ClickException(str(error)) from None
    except (EngineError, TradeError, ArtifactError, ContractError, Reverted) as error:
        raise click.ClickException(str(error)) from None
