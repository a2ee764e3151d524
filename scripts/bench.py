"""`ape run bench`: venue transactions a second, in process and on anvil.

Owns the command line and out/bench/speed.json. What is measured is `breakwater.bench`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil

import click
from ape import networks
from ape.logging import LogLevel, logger

from breakwater.artifacts import ROOT
from breakwater.bench import MIX, Speed, measure
from breakwater.engine.ape import ApeEngine
from breakwater.engine.revm import RevmEngine
from breakwater.engine.rpc import start_anvil
from breakwater.files import replace_text

TARGET = ROOT / "out" / "bench" / "speed.json"


@click.command()
@click.option("--traders", default=2_000, show_default=True, type=click.IntRange(1, 20_000))
@click.option("--count", default=20_000, show_default=True, type=click.IntRange(100, 10**7))
@click.option("--anvil-count", default=1_000, show_default=True, type=click.IntRange(100, 10**6))
def cli(traders: int, count: int, anvil_count: int) -> None:
    """Time the mix of 50% fills, 25% places, 15% cancels and 10% oracle epochs.

    In process with and without the check from events after each transaction, through Ape on its own
    test chain, and on an anvil of its own, one transaction after another. Other work on the machine
    shows in the figures.
    """
    logger.set_level(LogLevel.WARNING)
    rows: list[Speed] = []

    def note(row: Speed) -> None:
        rows.append(row)
        checked = ", checked after each" if row.checked else ""
        set_up = row.setup_transactions / row.setup_seconds
        click.echo(
            f"{row.engine}: {row.per_second:,.0f} a second ({row.transactions:,} transactions of "
            f"{row.traders:,} traders, {row.events:,} events decoded{checked}); "
            f"set-up {set_up:,.0f} a second"
        )

    note(measure(RevmEngine(), traders, count))
    note(measure(RevmEngine(), traders, count, checked=True))
    with networks.ethereum.local.use_provider("test"):
        note(measure(ApeEngine(), 8, 200))
    if shutil.which("anvil") is None:
        click.echo("anvil: not on PATH, not measured")
    else:
        with start_anvil() as devnet:
            note(measure(devnet, min(traders, 50), anvil_count))
    result = {
        "mix_percent": MIX,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}",
        "filing": "off: this venue has no index yet",
        "rows": [row.row() for row in rows],
    }
    replace_text(TARGET, json.dumps(result, indent=2) + "\n")
    click.echo(f"result: {os.path.relpath(TARGET)}")
