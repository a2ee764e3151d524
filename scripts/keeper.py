"""`ape run keeper`: keeps a deployed venue, until it is stopped.

Owns the command line and the connection. What a keeper does, and in which order, is
`breakwater.keeper`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ape
import click
from ape.cli import ConnectedProviderCommand
from ape.exceptions import ApeException
from ape.logging import LogLevel, logger
from click.core import ParameterSource
from web3.exceptions import Web3Exception

from breakwater.artifacts import ROOT, ArtifactError
from breakwater.contract import ContractError
from breakwater.engine import EngineError
from breakwater.engine.ape import ApeEngine
from breakwater.keeper import Watch, Watched
from breakwater.trader import TradeError, load


class _Command(ConnectedProviderCommand):
    """Without Ape's own lines, unless --verbosity asks for them."""

    def invoke(self, ctx: click.Context) -> Any:
        asked = ctx.get_parameter_source("verbosity")
        if asked is not ParameterSource.COMMANDLINE:
            logger.set_level(LogLevel.ERROR)
        return super().invoke(ctx)


def _account(name: str) -> Any:
    """An account of Ape's by alias, or TEST::n for its n-th test account."""
    kind, _, number = name.partition("::")
    try:
        if kind == "TEST":
            return ape.accounts.test_accounts[int(number)]
        account = ape.accounts.load(name)
        # It signs by itself, or the keeper would wait for somebody at the keyboard.
        account.set_autosign(True)
        return account
    except (ApeException, KeyError, IndexError, ValueError) as error:
        raise click.BadParameter(f"no account {name}: {error}", param_hint="--account") from None


@click.command(cls=_Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--account", required=True, metavar="ALIAS", help="Who pays: an alias, or TEST::5.")
@click.option(
    "--venue",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Addresses of the venue.  [default: as written by `ape run deploy`]",
)
@click.option(
    "--reward-account",
    type=click.IntRange(1),
    help="Account at the venue for rewards; without one, none are asked for.",
)
@click.option(
    "--every",
    type=click.FloatRange(0.05),
    default=3.0,
    help="Seconds between passes.  [default: 3]",
)
@click.option(
    "--sample-every",
    type=click.IntRange(0),
    default=30,
    help="Seconds between samples; 0: none.  [default: 30]",
)
@click.option("--passes", type=click.IntRange(1), help="Stop after so many.")
def cli(
    provider: Any,
    account: str,
    venue: Path | None,
    reward_account: int | None,
    every: float,
    sample_every: int,
    passes: int | None,
) -> None:
    """Keep a venue: begin price epochs, sample books, liquidate, hand over to the backstop, work
    its positions off, and move ADL rounds on, all in that order and by what anyone may call.

    It may be stopped and started at any time: what it knows it reads from the chain. While the node
    is away it tries again, ever more slowly.

    \b
    Example, on the anvil of docs/trading.md:
      ape run keeper --network ethereum:local:foundry --account TEST::5
    """
    payer = _account(account)
    parts = (provider.network.ecosystem.name, provider.network.name, provider.name)
    path = venue or ROOT / "out" / "deploy" / f"{'-'.join(parts)}.json"
    try:
        first_block = int(json.loads(path.read_text()).get("block", 0))
    except (OSError, ValueError, AttributeError):
        # `load` says what is wrong with it.
        first_block = 0

    def connect() -> Watched:
        engine = ApeEngine(payer, provider, first_block=first_block)
        there = load(engine, path)
        if not provider.web3.eth.get_code(there.clearinghouse.address):
            raise EngineError(f"there is no venue on this node at the addresses of {path}")
        return Watched(there, engine.actor("keeper"), reward_account or 0)

    def say(line: str) -> None:
        click.echo(line)

    lost = (OSError, EngineError, Web3Exception, ApeException)
    try:
        Watch(connect, say, sample_every, lost).run(every, passes)
    except KeyboardInterrupt:
        click.echo("stopped")
    except (TradeError, ArtifactError, ContractError) as error:
        raise click.ClickException(str(error)) from None
