"""`ape run scenario new|check|list|show|schema`: files of crashes, without running one.

Owns the command line. The format is `breakwater.scenario`, the picture `breakwater.sketch`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click
from rich.console import Console

from breakwater import sketch
from breakwater.artifacts import ROOT
from breakwater.files import replace_text
from breakwater.scenario import ScenarioError, json_schema, load

SCENARIOS = ROOT / "scenarios"
SCHEMA = SCENARIOS / "schema.json"

TEMPLATE = """\
# yaml-language-server: $schema={schema}
name: {name}
description: One line that says what happens.
source: synthetic, made to be checked by hand
seed: 0
# The sum, by hand. loser is long 100 at 100 with 1,000 USDC: bankruptcy price 90.
# At 85 it has 1,000 - 1,500 = -500. winner closes 100 at 90 and gives up 5 a unit: 500.
venue: {{close: bankruptcy, max_step: none}}
markets:
  X: {{size_decimals: 2, max_leverage: 20, price: "100"}}
accounts:
  - {{name: loser, collateral: "1000", positions: {{X: {{size: "100", entry: "100"}}}}}}
  - {{name: winner, collateral: "3000", positions: {{X: {{size: "-100", entry: "100"}}}}}}
path:
  - {{set_price: {{X: "85"}}, note: the mark gaps through the bankruptcy price}}
expect:
  bankruptcies[0].deficit: "500"
  adl.fills[0].winner: winner
  adl.fills[0].haircut: "500"
  accounts.winner.cash: "4000"
  solvency.difference: "0"
"""


def _path(name: str) -> Path:
    """The file of a scenario given by name or path."""
    named = name.endswith((".yaml", ".yml")) or os.sep in name
    return Path(name) if named else Path(os.path.relpath(SCENARIOS / f"{name}.yaml"))


@click.group()
def cli() -> None:
    """Make, check, list and look at scenario files.

    \b
    Examples:
      ape run scenario new my_crash      # writes scenarios/my_crash.yaml, which runs as it is
      ape run scenario new my/own.yaml   # or a file anywhere
      ape run scenario check my_crash
      ape run scenario show my_crash
      ape run crash my_crash             # docs/scenarios.md has the format
    """


@cli.command()
@click.argument("name")
def new(name: str) -> None:
    """Write a scenario that runs as it is, to be changed.

    NAME goes to scenarios/NAME.yaml; a path that ends in .yaml is taken as it is. Nothing that
    exists is overwritten.
    """
    path = _path(name)
    if path.exists():
        raise click.ClickException(f"{path} is there already")
    if not path.parent.is_dir():
        raise click.ClickException(f"there is no folder {path.parent}")
    schema = os.path.relpath(SCHEMA, path.parent)
    replace_text(path, TEMPLATE.format(name=path.stem, schema=schema))
    click.echo(f"{path}: change it, then ape run scenario check {name}, ape run crash {name}")


@cli.command()
@click.argument("names", nargs=-1)
def check(names: tuple[str, ...]) -> None:
    """Check NAMES (all, if none is given) and say what is wrong, with file and line.

    Nothing is run or written; the exit status is 1 if a file has a problem.
    """
    paths = [_path(name) for name in names] or sorted(SCENARIOS.glob("*.yaml"))
    bad = 0
    for path in paths:
        try:
            scenario = load(path)
            if scenario.has_short:
                load(path, short=True)
        except ScenarioError as error:
            bad += 1
            click.echo(str(error))
    click.echo(f"{len(paths) - bad} of {len(paths)} good")
    sys.exit(1 if bad else 0)


@cli.command("list")
def list_() -> None:
    """Every scenario in scenarios/: the engines on which the tests run it, its description.

    both: in process and on anvil. revm: in process only, being large. A plus: in a short form; the
    full one is for ape run crash.
    """
    paths = sorted(SCENARIOS.glob("*.yaml"))
    width = max((len(path.stem) for path in paths), default=0)
    for path in paths:
        try:
            found = load(path, short=True)
            engines = ("both" if found.is_small else "revm") + "+" * found.has_short
            about = f"{engines:<5}  {found.description}"
        except ScenarioError as error:
            about = f"({len(error.problems)} problems: ape run scenario check {path.stem})"
        click.echo(f"{path.stem:<{width}}  {about}")


@cli.command()
@click.argument("name")
@click.option("--short", is_flag=True, help="The short form.")
def show(name: str, short: bool) -> None:
    """A picture of a scenario: the path of each market in USDC, and who stands where.

    Nothing is run or written.
    """
    try:
        scenario = load(_path(name), short)
    except ScenarioError as error:
        raise click.ClickException(str(error)) from None
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=100)
    click.echo(f"{scenario.name}: {scenario.description}\n\nsource: {scenario.source}\n")
    for market in scenario.markets:
        click.echo(sketch.chart(scenario, market) + "\n")
    console.print(sketch.accounts_table(scenario))
    if scenario.populations:
        console.print(sketch.populations_table(scenario))


@cli.command()
@click.option("--write", is_flag=True, help="Write scenarios/schema.json instead of printing it.")
def schema(write: bool) -> None:
    """JSON Schema of the format, which editors complete and check by."""
    text = json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"
    if write:
        replace_text(SCHEMA, text)
        click.echo(os.path.relpath(SCHEMA))
    else:
        click.echo(text, nl=False)
