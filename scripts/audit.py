"""`ape run audit`: a verdict on every ADL receipt, from logs alone.

Owns the command line and the words; the verdict is `breakwater.audit`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich import box
from rich.console import Console
from rich.table import Table

from breakwater import audit, rebuild, units
from breakwater.artifacts import ROOT, ArtifactError
from breakwater.contract import ContractError, Event
from breakwater.engine import EngineError, Reverted
from breakwater.engine.read import ReadEngine
from breakwater.model.adl import SCORES
from breakwater.options import of_a_node
from breakwater.story import score_text
from breakwater.trader import TradeError, account_names, load

PLACES_SHOWN = 25
"""Places of a queue that are printed, beside the account asked for."""


class _Logs(NamedTuple):
    """All events of a venue, who its accounts are, which ranking engines share by weight, what the
    run says it ranked by, and whether the logs add up to the chain (None: there is no chain)."""

    events: Sequence[Event]
    names: Mapping[int, str]
    planners: Sequence[str]
    score: str
    differences: Sequence[str] | None


@click.command()
@click.argument("run", required=False, metavar="[RUN]")
@click.option(
    "--account",
    type=click.IntRange(1),
    metavar="ID",
    help="Only this account's fills, each with the whole queue as it stood just before.",
)
@click.option(
    "--score",
    type=click.Choice([*SCORES]),
    help="The rule to judge by.  [default: the run's; on a node hyperliquid_docs]",
)
@of_a_node
def cli(run: str | None, account: int | None, score: str | None, rpc: str, venue: Path) -> None:
    """Judge every ADL fill from the logs alone: the right account, rank, score, size and price?

    RUN is the name of a crash that was run, or an events.csv; no chain is needed then. Without it
    the logs are read from a node. The logs are played up to just before each fill, everybody on
    the other side is scored in exact fractions, by none of the venue's code, and the receipt is
    compared. It writes nothing. The exit status is 1 if anything in a receipt is wrong.

    \b
    Examples:
      ape run audit atom_flash                 # out/atom_flash/events.csv
      ape run audit atom_flash --account 8     # was 8 the right one?
      ape run audit                            # the venue of `ape run deploy` on anvil
      ape run audit --venue out/atom_flash/venue.json --rpc http://127.0.0.1:8545
    """
    try:
        found = _of_run(run) if run is not None else _of_node(rpc, venue)
    except Reverted as error:
        raise click.ClickException(f"refused by the venue: {error.reason}") from None
    except (EngineError, TradeError, ArtifactError, ContractError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    rule = score or found.score
    if rule not in SCORES:
        raise click.ClickException(
            f"the run ranked by {rule}, whose formula is in its own contract and not in the logs. "
            f"To compare it with a known one: --score {' or '.join(SCORES)}"
        )
    try:
        verdicts = audit.judge(found.events, rule, found.planners)  # type: ignore[arg-type]
    except audit.AuditError as error:
        raise click.ClickException(str(error)) from None
    shown = [one for one in verdicts if account in (None, one.receipt.winner)]
    if account is not None and not shown:
        raise click.ClickException(
            f"account {account} was never deleveraged: there are {len(verdicts)} fills, of "
            f"accounts {', '.join(map(str, sorted({x.receipt.winner for x in verdicts}))) or '-'}"
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    lots = _symbols(found.events)
    if verdicts:
        console.print(_table(shown, found.names, lots))
    if account is not None:
        for one in shown:
            console.print(_queue(one, found.names, lots))
    wrong = [one for one in shown if not one.is_right]
    for one in shown:
        for said in (*one.faults, *one.doubts):
            console.print(f"round {one.receipt.round}, rank {one.receipt.rank}: {said}")
    _sum_up(found, shown, wrong, rule)
    sys.exit(1 if wrong or found.differences else 0)


def _sum_up(
    found: _Logs, shown: Sequence[audit.Verdict], wrong: Sequence[audit.Verdict], rule: str
) -> None:
    fills = f"{len(shown)} fill{'' if len(shown) == 1 else 's'}"
    logs = f"{len(found.events):,} logs"
    if not shown:
        click.echo(f"nobody was deleveraged, say {logs}")
    elif wrong:
        click.echo(f"Error: {len(wrong)} of {fills} wrong by {rule}, from {logs}", err=True)
    else:
        click.echo(
            f"{fills}, all right by {rule}, from {logs} alone: who, rank, score, size, price, "
            "haircut"
        )
    if found.differences is not None:
        for difference in found.differences:
            click.echo(f"Error: the logs do not add up to the chain: {difference}", err=True)
        if not found.differences:
            click.echo("the logs add up to the chain's state: accounts, positions, orders, money")


def _of_run(run: str) -> _Logs:
    from breakwater.report import events

    path = Path(run) if run.endswith(".csv") else ROOT / "out" / run / "events.csv"
    if not path.is_file():
        raise click.ClickException(
            f"there is no {os.path.relpath(path)}: ape run crash writes it, unless --no-report is "
            "given"
        )
    read = events.read(path)
    try:
        policy = json.loads(path.with_name("result.json").read_text())["policy"]
    except (OSError, ValueError, KeyError, TypeError):
        policy = {"score": "hyperliquid_docs", "allocation": "queue"}
    shared = policy["allocation"] != "queue"
    return _Logs(read, _named(path), _engines(read) if shared else (), policy["score"], None)


def _named(path: Path) -> dict[int, str]:
    """Names by id: the table has both."""
    import csv

    with path.open(newline="") as file:
        return {
            int(row["account_id"]): row["account"]
            for row in csv.DictReader(file)
            if row["account_id"]
        }


def _of_node(rpc: str, venue: Path) -> _Logs:
    engine = ReadEngine(rpc)
    engine.refresh()
    there = load(engine, venue)
    if not engine.has_code(there.clearinghouse.address):
        raise click.ClickException(f"there is no venue of {venue} on {rpc}")
    decoder = there.decoder
    read = list(decoder.iterate(engine.logs(decoder.addresses)))
    queues = {there.contracts[role].address for role in ("scan_ranking", "index_ranking")}
    planners = [address for address in _engines(read) if address not in queues]
    differences = rebuild.differences(rebuild.rebuild(read), there)
    return _Logs(read, account_names(venue), planners, "hyperliquid_docs", differences)


def _engines(events: Sequence[Event]) -> list[str]:
    return sorted({str(event.engine) for event in events if event.name == "EngineSet"})


def _symbols(events: Sequence[Event]) -> dict[int, tuple[str, int]]:
    return {
        event.market: (event.symbol, event.size_decimals)
        for event in events
        if event.name == "MarketAdded"
    }


def _who(account: int, names: Mapping[int, str]) -> str:
    return f"{account} {names.get(account, '')}".strip()


def _table(
    verdicts: Sequence[audit.Verdict],
    names: Mapping[int, str],
    markets: Mapping[int, tuple[str, int]],
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("round", "rank", "winner", "bankrupt", "closed", "score", "haircut", "verdict"):
        left = title in ("winner", "bankrupt", "verdict")
        table.add_column(title, justify="left" if left else "right", overflow="fold")
    for one in verdicts:
        receipt = one.receipt
        symbol, decimals = markets[receipt.market]
        table.add_row(
            str(receipt.round),
            str(receipt.rank),
            _who(receipt.winner, names),
            _who(receipt.bankrupt, names),
            f"{units.grouped(units.format_lots(receipt.size, decimals))} {symbol}",
            score_text(receipt.score),
            units.grouped(units.format_usdc(receipt.haircut)),
            ("not judged in full" if one.doubts else "right") if one.is_right else "WRONG",
        )
    return table


def _queue(
    one: audit.Verdict, names: Mapping[int, str], markets: Mapping[int, tuple[str, int]]
) -> Table:
    """The queue just before the fill; who was served in this turn already has no arrow."""
    receipt = one.receipt
    symbol, decimals = markets[receipt.market]
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=f"Round {receipt.round}, just before rank {receipt.rank}: who was eligible, in order",
        title_justify="left",
        caption=f"marks {_price(receipt.mark, decimals)}, before "
        f"{_price(receipt.previous_mark, decimals)}; closed at: {one.close.replace('_', ' ')}",
        caption_justify="left",
    )
    for title in ("", "account", "score", "profit", "equity", f"size, {symbol}", "could bear"):
        left = title in ("", "account")
        table.add_column(title, justify="left" if left else "right", overflow="fold")
    for place, row in enumerate(one.queue):
        mine = row.account == receipt.winner
        if place >= PLACES_SHOWN and not mine:
            continue
        mark: Any = "->" if mine else "served" if row.account in one.served else ""
        table.add_row(
            mark,
            _who(row.account, names),
            score_text(row.score),
            units.grouped(units.format_usdc(row.profit)),
            units.grouped(units.format_usdc(row.equity)),
            units.grouped(units.format_lots(row.size, decimals)),
            units.grouped(units.format_lots(row.bearable, decimals)),
        )
    return table


def _price(ticks: int, decimals: int) -> str:
    return units.format_ticks(ticks, decimals)
