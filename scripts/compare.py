"""`ape run compare SCENARIO`: one crash under several policies, side by side.

Owns the command line, the table in the terminal and the folder out/compare/<name>. The runs and
the columns are `breakwater.compare`, the page is `breakwater.report.compare`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import click
from ape.cli import ConnectedProviderCommand
from ape.logging import LogLevel, logger
from click.core import ParameterSource
from rich import box
from rich.console import Console
from rich.table import Table

from breakwater import compare, units
from breakwater.artifacts import ROOT, ArtifactError
from breakwater.contract import ContractError
from breakwater.crash import SetupError
from breakwater.engine import Engine, EngineError
from breakwater.files import replace_text
from breakwater.ledger import InsolvencyError
from breakwater.options import found_scenario, own_chain
from breakwater.report import clear
from breakwater.scenario import ScenarioError, load

SHOWN = (
    ("needed", "needed"),
    ("taken", "taken"),
    ("overshoot_absolute", "overshoot"),
    ("insurance_spent", "insurance"),
    ("uninsured", "uninsured"),
    ("accounts_hit", "hit"),
    ("worst_haircut_of_equity", "worst cut"),
    ("gini", "gini"),
    ("gas", "gas"),
)
"""Columns of compare.json that fit a terminal, and their headings there."""


class _Command(ConnectedProviderCommand):
    """Without Ape's own lines before and after ours, unless --verbosity asks for them."""

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.get_parameter_source("verbosity") is not ParameterSource.COMMANDLINE:
            logger.set_level(LogLevel.WARNING)
        return super().invoke(ctx)


def _chain(provider: Any) -> Callable[[], AbstractContextManager[Engine]]:
    """A fresh chain for each set-up: a new one in process, or the devnet turned back after it."""

    @contextmanager
    def in_process() -> Iterator[Engine]:
        from breakwater.engine.revm import RevmEngine

        yield RevmEngine()

    @contextmanager
    def devnet() -> Iterator[Engine]:
        from breakwater.engine.rpc import RpcEngine

        engine = RpcEngine(provider.web3)
        before = engine.snapshot()
        try:
            yield engine
        finally:
            engine.revert(before)

    return devnet if provider.name == "foundry" else in_process


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    from breakwater.report.compare import label

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption="USDC; shares as fractions")
    table.add_column("policy", overflow="fold", min_width=24)
    for _, words in SHOWN:
        table.add_column(words, justify="right", overflow="fold")
    for row in rows:
        if row["refused"]:
            table.add_row(label(row, rows), f"refused: {row['refused']}")
            continue
        cells = ["-" if row[key] is None else units.grouped(str(row[key])) for key, _ in SHOWN]
        table.add_row(label(row, rows), *cells)
    return table


@click.command(cls=_Command, network_callback=own_chain("a comparison"))
@click.argument("scenario")
@click.option("--score", "scores", multiple=True, metavar="NAME|FILE.vy", help="What ranks.")
@click.option("--allocation", "allocations", multiple=True, metavar="NAME", help="Who shares.")
@click.option("--close", "closes", multiple=True, metavar="NAME", help="At which price.")
@click.option("--engine", "engines", multiple=True, metavar="NAME", help="Ranking engine.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder to write to.")
def cli(
    provider: Any,
    scenario: str,
    scores: tuple[str, ...],
    allocations: tuple[str, ...],
    closes: tuple[str, ...],
    engines: tuple[str, ...],
    out: Path | None,
) -> None:
    """Run SCENARIO once under every combination of the rules named, and compare who pays.

    Options may be given several times; without one, every rule that the venue has takes part (of
    ranking engines the first). A score may be a contract of your own: give its file. The crash is
    set up once, and each run starts from a snapshot of that chain, which is checked. Writes
    compare.json, report.html and the result of each policy to out/compare/<name>.

    \b
    Examples:
      ape run compare atom_flash
      ape run compare atom_flash --close bankruptcy --close previous_mark --score my/Score.vy
    """
    chain = _chain(provider)
    path = found_scenario(scenario)
    folder = out or ROOT / "out" / "compare" / path.stem
    clear(folder)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=140)
    try:
        chosen = compare.policies(scores, allocations, closes, engines)
        done = []
        for outcome in compare.run(
            load(path), chosen, chain, lambda one: click.echo(f"running {one.label}", err=True)
        ):
            done.append(outcome)
            if outcome.result is not None:
                target = folder / "-".join(outcome.row["policy"].values())
                replace_text(target.with_suffix(".json"), _json(outcome.result))
    except (compare.CompareError, ArtifactError, ScenarioError, SetupError) as error:
        raise click.ClickException(str(error)) from None
    except InsolvencyError as error:
        raise click.ClickException(f"the ledger does not add up: {error}") from None
    except (ContractError, EngineError) as error:
        raise click.ClickException(str(error)) from None
    rows = [outcome.row for outcome in done]
    from breakwater.report import files

    replace_text(folder / "compare.json", _json(rows))
    files.write_comparison(folder, rows, [outcome.result for outcome in done])
    console.print(_table(rows))
    click.echo(f"report: {os.path.relpath(folder / 'report.html')}")
    click.echo(f"rows: {os.path.relpath(folder / 'compare.json')}")


def _json(content: Any) -> str:
    return json.dumps(content, indent=2) + "\n"
