"""`ape run bench`: venue transactions a second, in process and on anvil.

Owns the command line and out/bench/speed.json. What is measured is `breakwater.bench`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys

import click
from ape import networks
from ape.logging import LogLevel, logger

from breakwater.artifacts import ROOT
from breakwater.bench import MIX, Speed, measure
from breakwater.engine import Engine
from breakwater.engine.ape import ApeEngine
from breakwater.engine.revm import RevmEngine
from breakwater.engine.rpc import start_anvil
from breakwater.files import replace_text

TARGET = ROOT / "out" / "bench" / "speed.json"


@click.command()
@click.option("--traders", default=2_000, show_default=True, type=click.IntRange(1, 20_000))
@click.option("--count", default=20_000, show_default=True, type=click.IntRange(100, 10**7))
@click.option("--anvil-count", default=5_000, show_default=True, type=click.IntRange(100, 10**6))
@click.option(
    "--only",
    type=click.Choice(["revm", "ape", "anvil"]),
    multiple=True,
    help="Measure only these engines.",
)
def cli(traders: int, count: int, anvil_count: int, only: tuple[str, ...]) -> None:
    """Time the mix of 50% fills, 25% places, 15% cancels and 10% oracle epochs.

    In process with and without the index's filing and the check from events after each
    transaction, through Ape on its own test chain, and on an anvil of its own: one by one, and with
    all that comes between two epochs in one block. Other work on the machine shows in the figures.
    """
    logger.set_level(LogLevel.WARNING)
    rows: list[Speed] = []

    def note(engine: Engine, traders: int, count: int, **how: bool) -> None:
        with click.progressbar(length=count, label=engine.name, file=sys.stderr) as bar:
            row = measure(engine, traders, count, progress=lambda n: bar.update(n - bar.pos), **how)
        rows.append(row)
        said = [f"{row.transactions:,} transactions of {row.traders:,} traders"]
        said.append(f"{row.events:,} events decoded, filing {'on' if row.filing else 'off'}")
        said += ["checked after each"] if row.checked else []
        said += [f"in {row.blocks:,} blocks"] if row.blocks != row.transactions else []
        click.echo(
            f"{row.engine}: {row.per_second:,.0f} a second ({', '.join(said)}); "
            f"set-up {row.setup_transactions / row.setup_seconds:,.0f} a second"
        )

    wanted = only or ("revm", "ape", "anvil")
    if "revm" in wanted:
        note(RevmEngine(), traders, count)
        note(RevmEngine(), traders, count, filing=False)
        note(RevmEngine(), traders, count, checked=True)
    if "ape" in wanted:
        with networks.ethereum.local.use_provider("test"):
            note(ApeEngine(), 8, 200)
    if "anvil" in wanted and shutil.which("anvil") is None:
        click.echo("anvil: not on PATH, not measured")
    elif "anvil" in wanted:
        with start_anvil() as devnet:
            note(devnet, min(traders, 50), min(anvil_count, 1_000))
        with start_anvil() as devnet:
            note(devnet, min(traders, 50), anvil_count, by_block=True)
    result = {
        "mix_percent": MIX,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}",
        "rows": [row.row() for row in rows],
    }
    replace_text(TARGET, json.dumps(result, indent=2) + "\n")
    click.echo(f"result: {os.path.relpath(TARGET)}")
