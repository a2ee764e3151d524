"""`ape run deploy`: puts a venue on any network that Ape can reach and saves its addresses.

Owns the command line and the file of addresses. What is deployed, and in which order, is
`breakwater.venue`. The venue's money is a test token that anyone may mint.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import ape
import click
from ape.cli import ConnectedProviderCommand
from ape.exceptions import ApeException
from rich import box
from rich.console import Console
from rich.table import Table

from breakwater import units
from breakwater.artifacts import ROOT, ArtifactError
from breakwater.engine import EngineError, Reverted
from breakwater.engine.ape import ApeEngine
from breakwater.files import replace_text
from breakwater.venue import Venue

CODE_LIMIT = 24_576
MIN_NOTIONAL = units.usdc("10")


class _Market(NamedTuple):
    symbol: str
    size_decimals: int
    max_leverage: int
    price: int

    @classmethod
    def parse(cls, text: str) -> _Market:
        """From SYMBOL:decimals:leverage:price. Raises ValueError with what is wrong."""
        parts = text.split(":")
        if len(parts) != 4:
            raise ValueError("write SYMBOL:decimals:leverage:price, such as ATOM:3:20:4.25")
        symbol, decimals, leverage, price = parts
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,15}", symbol):
            raise ValueError(f"the symbol {symbol!r} is not 1 to 16 letters, digits, _ and -")
        if not re.fullmatch("[0-6]", decimals):
            raise ValueError(f"size decimals {decimals!r} are not a whole number from 0 to 6")
        if not re.fullmatch("[0-9]{1,3}", leverage) or not 1 <= int(leverage) <= 100:
            raise ValueError(f"leverage {leverage!r} is not a whole number from 1 to 100")
        ticks = units.ticks(price, int(decimals), symbol)
        return cls(symbol, int(decimals), int(leverage), ticks)


def _markets(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> list[_Market]:
    found: list[_Market] = []
    for text in value:
        try:
            market = _Market.parse(text)
        except ValueError as error:
            raise click.BadParameter(f"{text}: {error}") from None
        if market.symbol in (known.symbol for known in found):
            raise click.BadParameter(f"{market.symbol} is there twice")
        found.append(market)
    return found


def _insurance(ctx: click.Context, param: click.Parameter, value: str) -> int:
    try:
        amount = units.usdc(value)
    except units.UnitError as error:
        raise click.BadParameter(str(error)) from None
    if amount < 0:
        raise click.BadParameter("an amount of USDC, zero or more")
    return amount


def _sender(provider: Any, alias: str | None) -> Any:
    """The account that plays every role; None: test accounts, one for each role."""
    network = provider.network
    if alias is None:
        if network.is_local:
            return None
        if network.is_fork:
            return ape.accounts.test_accounts[0]
        known = ", ".join(sorted(ape.accounts.aliases)) or "none; see `ape accounts import -h`"
        raise click.UsageError(
            f"{provider.network_choice} has no test accounts: name one that has funds there with "
            f"--account. Known here: {known}."
        )
    try:
        account = ape.accounts.load(alias)
    except (ApeException, KeyError, IndexError):
        known = ", ".join(sorted(ape.accounts.aliases)) or "none"
        raise click.BadParameter(
            f"there is no account {alias}. Known here: {known}.", param_hint="--account"
        ) from None
    if hasattr(account, "set_autosign"):
        # A deployment is some twenty transactions: one question, not one for each.
        account.set_autosign(True)
    return account


def _same_chain(provider: Any) -> None:
    """Refuses a node whose chain id is not the one that Ape would sign for."""
    theirs, ours = provider.web3.eth.chain_id, provider.chain_id
    if theirs != ours:
        raise click.UsageError(
            f"the node says chain id {theirs}, but Ape signs for {ours} on "
            f"{provider.network_choice}. Start it with that id (anvil --chain-id {ours}); for an "
            f"anvil as it comes: APE_FOUNDRY_HOST=http://127.0.0.1:8545 ape run deploy --network "
            "ethereum:local:foundry"
        )


def _table(provider: Any, venue: Venue) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("contract", no_wrap=True)
    table.add_column("address", no_wrap=True)
    table.add_column("code, bytes", justify="right", no_wrap=True)
    table.add_column("of the limit", justify="right", no_wrap=True)
    for handle in venue.contracts.values():
        size = len(provider.web3.eth.get_code(handle.address))
        table.add_row(handle.name, handle.address, f"{size:,}", f"{size * 100 // CODE_LIMIT}%")
    return table


@click.command(cls=ConnectedProviderCommand)
@click.option("--account", metavar="ALIAS", help="Who sends; needed off local networks.")
@click.option(
    "--market",
    "markets",
    multiple=True,
    callback=_markets,
    metavar="SYMBOL:DECIMALS:LEVERAGE:PRICE",
    help="A market to add, with its first price in USDC. May be given several times.",
)
@click.option(
    "--insurance",
    default="0",
    callback=_insurance,
    metavar="USDC",
    help="Test USDC for the insurance vault.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the addresses.  [default: out/deploy/<ecosystem>-<network>-<provider>.json]",
)
@click.option("--yes", is_flag=True, help="Yes, deploy this test venue to a public mainnet.")
def cli(
    provider: Any,
    account: str | None,
    markets: list[_Market],
    insurance: int,
    out: Path | None,
    yes: bool,
) -> None:
    """Deploy the whole venue, test USDC included, and save its addresses.

    On a local network test accounts play the roles; elsewhere --account plays them all. What Ape
    starts itself (the default, and foundry without a host) ends with the command; to keep a venue,
    start anvil yourself and name it with APE_FOUNDRY_HOST, or give its address as the provider if
    it runs with --chain-id 1337.

    \b
    Examples:
      ape run deploy --market ATOM:3:20:4.25 --insurance 1000
      ape run deploy --network ethereum:local:foundry
      APE_FOUNDRY_HOST=http://127.0.0.1:8545 ape run deploy --network ethereum:local:foundry
      ape run deploy --network ethereum:sepolia:node --account mine
    """
    network = provider.network
    public = not (network.is_local or network.is_fork)
    if public and not yes and (network.name == "mainnet" or provider.chain_id == 1):
        raise click.UsageError(
            f"{provider.network_choice} is a public mainnet, and this venue's money is a test "
            "token that anyone may mint. Say --yes if you mean it."
        )
    _same_chain(provider)
    sender = _sender(provider, account)
    try:
        engine = ApeEngine(sender, provider)
        venue = Venue.deploy(engine)
        for market in markets:
            venue.add_market(
                market.symbol,
                market.size_decimals,
                market.max_leverage,
                MIN_NOTIONAL,
                market.price,
            )
        if insurance:
            venue.insure(insurance)
    except Reverted as error:
        raise click.ClickException(f"refused by the network: {error.reason}") from None
    except (ArtifactError, EngineError) as error:
        raise click.ClickException(str(error)) from None

    parts = (network.ecosystem.name, network.name, provider.name)
    target = out or ROOT / "out" / "deploy" / f"{'-'.join(parts)}.json"
    # With the first block of its logs, for whoever reads them later.
    saved = venue.addresses() | {"block": str(engine.first_block)}
    replace_text(target, json.dumps(saved, indent=2) + "\n")
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=100)
    console.print(_table(provider, venue))
    for index, market in enumerate(markets):
        price = units.format_ticks(market.price, market.size_decimals)
        click.echo(
            f"market {index}: {market.symbol}, {market.size_decimals} size decimals, "
            f"leverage up to {market.max_leverage}, first price {price}"
        )
    if insurance:
        click.echo(f"insurance: {units.format_usdc(insurance)} USDC")
    click.echo(f"owner {venue.owner}, price reporter {venue.reporter}")
    click.echo(f"addresses: {os.path.relpath(target)}")
    _say_what_next(provider, target, out is None)


def _say_what_next(provider: Any, file: Path, is_usual: bool) -> None:
    """What to do with a venue that stays; that one of Ape's own chains ends with this command."""
    if provider.name == "test" or getattr(provider, "process", None) is not None:
        click.echo(
            "this chain ends now. To keep a venue: run anvil in another terminal, then export "
            "APE_FOUNDRY_HOST=http://127.0.0.1:8545 and deploy --network ethereum:local:foundry"
        )
    elif provider.name == "foundry":
        venue = "" if is_usual else f" --venue {os.path.relpath(file)}"
        click.echo(
            f"next: ape run trade{venue} --account TEST::2 open; ape run watch --page{venue}; "
            "docs/trading.md"
        )
