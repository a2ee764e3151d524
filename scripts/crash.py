"""`ape run crash SCENARIO`: crashes the venue as a scenario says and shows who paid.

Owns the command line and the folder out/<name>. What happens in the run is `breakwater.crash`,
what it looks like is `breakwater.show` and `breakwater.report`: no figure is made here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from ape.cli import ConnectedProviderCommand
from ape.logging import LogLevel, logger
from click.core import ParameterSource
from rich.console import Console, Group
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from breakwater import expect, show
from breakwater.artifacts import ROOT, ArtifactError
from breakwater.contract import ContractError
from breakwater.crash import Crash, SetupError
from breakwater.engine import Engine, EngineError, Reverted
from breakwater.files import replace_text
from breakwater.ledger import InsolvencyError
from breakwater.options import found_scenario, own_chain
from breakwater.report import clear
from breakwater.scenario import ScenarioError, load

STORY_LINES = 10
"""Fills and payments in a row that are shown without --full."""

REPEATED = (" sells ", " buys ", "insurance pays ")
"""What a sentence about a fill, or about what insurance adds to one, has in it."""


def _run(
    path: Path,
    engine: Engine,
    console: Console,
    short: bool,
    pace: float,
    began: Callable[[Crash], None],
) -> tuple[Crash, dict[str, Any], list[expect.Check]]:
    scenario = load(path, short)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with progress:
        tasks = {what: progress.add_task(what, total=None) for what in ("set-up", "path")}

        def advance(what: str, done: int, of: int) -> None:
            progress.update(tasks[what], completed=done, total=of)
            if what == "path" and done:
                time.sleep(pace)
            elif what == "path":
                began(crash)

        crash = Crash(scenario, engine, advance)
        result = crash.run()
    return crash, result, expect.evaluate(scenario.expected, result)


def _shortened(told: Sequence[str]) -> list[str]:
    """The sentences, with each long run of fills and payments cut to its first few."""
    lines: list[str] = []
    run = 0
    for sentence in [*told, ""]:
        if any(mark in sentence for mark in REPEATED):
            run += 1
            if run <= STORY_LINES:
                lines.append(sentence)
            continue
        if run > STORY_LINES:
            lines.append(f"... and {run - STORY_LINES} more fills and payments (--full shows all)")
        run = 0
        if sentence:
            lines.append(sentence)
    return lines


def _story(result: Mapping[str, Any], full: bool) -> Group:
    """What happened, step by step, in the result's own sentences."""
    lines: list[Any] = []
    for number, step in enumerate(result["steps"], start=1):
        note = f": {step['note']}" if step["note"] else ""
        lines.append(f"[bold]{number}. {step['action']}[/bold]{escape(note)}")
        told = step["events"]
        sentences = [escape(sentence) for sentence in (told if full else _shortened(told))]
        if step["refused"]:
            sentences.append(f"[yellow]refused: {escape(step['refused'])}[/yellow]")
        lines += [Padding(sentence, (0, 0, 0, 3)) for sentence in sentences]
    return Group(*lines)


class _Command(ConnectedProviderCommand):
    """Without Ape's own lines before and after ours, unless --verbosity asks for them."""

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.get_parameter_source("verbosity") is not ParameterSource.COMMANDLINE:
            logger.set_level(LogLevel.WARNING)
        return super().invoke(ctx)


@click.command(cls=_Command, network_callback=own_chain("a crash"))
@click.argument("scenario")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for what the run leaves behind.  [default: out/<name>]",
)
@click.option(
    "--report/--no-report",
    default=True,
    help="Whether to write report.html, the pictures and the table of events too.",
)
@click.option("--full", is_flag=True, help="Every sentence of the story, however many.")
@click.option("--short", is_flag=True, help="The short form: fewer accounts and steps, as in CI.")
@click.option(
    "--pace",
    type=click.FloatRange(0, 3_600),
    default=0.0,
    help="Seconds of real time after each step, for whoever watches.  [default: 0]",
)
@click.option("--quiet", "-q", is_flag=True, help="Only the solvency lines and failures.")
def cli(
    provider: Any,
    scenario: str,
    out: Path | None,
    report: bool,
    full: bool,
    short: bool,
    pace: float,
    quiet: bool,
) -> None:
    """Crash the venue as SCENARIO says, and see who pays.

    SCENARIO is the name of a file in scenarios/ or the path of one. The whole result is written to
    out/<name>/result.json, with report.html, pictures and events.parquet beside it. The exit
    status is 1 if an expectation of the scenario fails, if it cannot be set up, or if the ledger
    does not add up.

    On anvil the addresses of its venue are in out/<name>/venue.json before the path begins, and
    `ape run watch` shows it live. A node named by APE_FOUNDRY_HOST keeps the venue; give the crash
    one of its own, since it sets the node's clock to 2025-10-10.

    \b
    Examples:
      ape run crash two_winners
      ape run crash atom_flash --network ethereum:local:foundry
      ape run crash atom_flash --network ethereum:local:foundry --pace 3    # and watch it
      ape run crash my/own.yaml --out /tmp/own --quiet
    """
    path = found_scenario(scenario)
    target = (out or ROOT / "out" / path.stem) / "result.json"
    # Whatever goes wrong from here, no older result is taken for this run's.
    clear(target.parent)
    try:
        crash, result, checks = _run(
            path,
            _engine(provider),
            Console(stderr=True),
            short,
            pace,
            lambda crash: _tell_watchers(crash, provider, target.with_name("venue.json")),
        )
    except ScenarioError as error:
        count = len(error.problems)
        raise click.ClickException(
            f"{path} has {'a problem' if count == 1 else f'{count} problems'}:\n{error}"
        ) from None
    except SetupError as error:
        raise click.ClickException(f"{path} cannot be set up: {error}") from None
    except InsolvencyError as error:
        raise click.ClickException(f"the ledger does not add up: {error}") from None
    except Reverted as error:
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        raise click.ClickException(f"refused by the venue: {error.reason}{notes}") from None
    except (ArtifactError, ContractError, EngineError) as error:
        raise click.ClickException(str(error)) from None
    replace_text(target, json.dumps(result, indent=2) + "\n")
    if report:
        _report(target.parent, crash, result)

    console = Console(highlight=False)
    if not console.is_terminal:
        # The tables are made for this width, wherever the output goes.
        console = Console(highlight=False, width=100)
    failed = [check for check in checks if not check.ok]
    if not quiet:
        console.print(_story(result, full), "")
        console.print(show.waterfall_table(result))
        console.print(show.adl_table(result))
        console.print(show.accounts_table(result))
        if result["printed"]:
            console.print(show.printed_table(result))
        console.print(show.expectations_table(checks))
    click.echo(show.solvency_line(result))
    if report:
        click.echo(f"report: {os.path.relpath(target.with_name('report.html'))}")
    click.echo(f"result: {os.path.relpath(target)}")
    if failed:
        click.echo(f"Error: {len(failed)} of {len(checks)} expectations failed:", err=True)
        for check in failed:
            click.echo(f"  {check.path}: expected {check.expected}, found {check.found}", err=True)
        sys.exit(1)


def _tell_watchers(crash: Crash, provider: Any, file: Path) -> None:
    """On a node that others can look at: where the venue is, and who its accounts are."""
    if provider.name != "foundry":
        return
    saved = crash.venue.addresses() | {"block": "0"}
    replace_text(file, json.dumps(saved | {"accounts": crash.account_ids}, indent=2) + "\n")
    click.echo(
        f"watch it: ape run watch --rpc {provider.uri} --venue {os.path.relpath(file)}", err=True
    )


def _report(folder: Path, crash: Crash, result: Mapping[str, Any]) -> None:
    # Here, because drawing takes a second to import and not every run draws.
    from breakwater.report import files

    files.write_tables(folder, crash.records, crash.names, list(crash.market_ids))
    files.write_page(folder, result)


def _engine(provider: Any) -> Engine:
    if provider.name == "foundry":
        from breakwater.engine.rpc import RpcEngine

        return RpcEngine(provider.web3)
    from breakwater.engine.revm import RevmEngine

    return RevmEngine()
