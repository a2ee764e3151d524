"""`ape run adl-risk ACCOUNT`: a trader's place in the ADL queue, and what would lower it.

Owns the command line only; the ranking, the lights and the points are `breakwater.risk`. The file
is named with a hyphen because Ape names a command after its file.
"""

from __future__ import annotations

from pathlib import Path

import click

from breakwater import risk
from breakwater.artifacts import ArtifactError
from breakwater.engine import EngineError, Reverted
from breakwater.engine.read import ReadEngine
from breakwater.options import of_a_node
from breakwater.trader import TradeError, load


@click.command()
@click.argument("account", type=click.IntRange(1))
@of_a_node
def cli(account: int, rpc: str, venue: Path) -> None:
    """How near ACCOUNT (its id at the venue) is to being deleveraged, and what would lower that.

    For each position: rank and lights among the winners of its side, and ten points, two for each
    of: leverage of 15x or more, profit above 3% of notional, extreme funding, liquidations or a
    thin book, a light above the middle. It only reads; money is in USDC.

    \b
    Examples:
      ape run adl-risk 7                                     # the venue of `ape run deploy`
      ape run adl-risk 8 --venue out/my_crash/venue.json     # a crash that ran on anvil
    """
    try:
        engine = ReadEngine(rpc)
        engine.refresh()
        found = load(engine, venue)
        if not engine.has_code(found.clearinghouse.address):
            raise click.ClickException(f"there is no venue of {venue} on {rpc}")
        click.echo(risk.describe(risk.of_account(found, engine, account)))
    except Reverted as error:
        raise click.ClickException(f"refused by the venue: {error.reason}") from None
    except (EngineError, TradeError, ArtifactError, risk.RiskError) as error:
        raise click.ClickException(str(error)) from None
