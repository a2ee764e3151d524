"""`ape run trade`: trades at a deployed venue from the command line.

Owns the command line only. What is sent to the venue, and what it says that happened, is
`breakwater.trader`. Each call is a connection of its own, so the venue must be on a node that goes
on running: an anvil started by hand, or a public network.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ape
import click
from ape.api import AccountAPI
from ape.cli import ConnectedProviderCommand
from ape.exceptions import ApeException
from ape.logging import LogLevel, logger
from click.core import ParameterSource

from breakwater.artifacts import ROOT, ArtifactError
from breakwater.contract import ContractError
from breakwater.engine import EngineError, Reverted
from breakwater.trader import TradeError, Trader
from breakwater.units import UnitError
from breakwater.venue import TIME_IN_FORCE


def _account(name: str | None) -> AccountAPI:
    """An account of Ape's by alias, or TEST::n for its n-th test account."""
    if name is None:
        raise click.UsageError("say who trades: --account TEST::2 on a devnet, else an alias")
    kind, _, number = name.partition("::")
    try:
        if kind == "TEST":
            return ape.accounts.test_accounts[int(number)]
        return ape.accounts.load(name)
    except (ApeException, KeyError, IndexError, ValueError):
        known = ", ".join(sorted(ape.accounts.aliases)) or "none"
        raise click.BadParameter(
            f"there is no account {name}. Known here: TEST::0, TEST::1, ... on local networks; "
            f"aliases: {known}.",
            param_hint="--account",
        ) from None


def _addresses(venue: Path | None, provider: Any) -> Path:
    """The file named, or the one that `ape run deploy` writes for this network."""
    if venue is not None:
        return venue
    parts = (provider.network.ecosystem.name, provider.network.name, provider.name)
    return ROOT / "out" / "deploy" / f"{'-'.join(parts)}.json"


HINTS = {
    "oracle: too soon": " (prices move once in 3 seconds of the chain's time: ape run trade "
    "--account TEST::1 wait 3. If a crash ran on this node, it turned the clock back: then start a "
    "fresh node)",
    "oracle: stale price": " (no price for an hour: the reporter reports one, on a devnet ape run "
    "trade --account TEST::1 report ATOM=4.25)",
    "oracle: not a reporter": " (on a devnet the reporter is --account TEST::1)",
}
"""What to do about refusals that a newcomer meets; the venue's own words stay."""


class _Command(ConnectedProviderCommand):
    """Refusals as one line. Without Ape's own lines, unless --verbosity asks for them."""

    def invoke(self, ctx: click.Context) -> Any:
        # Ape gives its option to the group.
        asked = (ctx.parent or ctx).get_parameter_source("verbosity")
        if asked is not ParameterSource.COMMANDLINE:
            logger.set_level(LogLevel.WARNING)
        try:
            return super().invoke(ctx)
        except Reverted as error:
            hint = HINTS.get(error.reason, "")
            raise click.ClickException(f"refused by the venue: {error.reason}{hint}") from None
        except (TradeError, UnitError, ArtifactError, ContractError, EngineError) as error:
            raise click.ClickException(str(error)) from None


_COMMON = ("--venue", "--account", "--id", "--network")


class _Group(click.Group):
    """Takes the common options before the command as well as after it, and the anvil that
    APE_FOUNDRY_HOST names where no network is given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own: list[str] = []
        common: list[str] = []
        rest = list(args)
        while rest and rest[0].startswith("-"):
            option = rest.pop(0)
            target = common if option.partition("=")[0] in _COMMON else own
            target.append(option)
            if rest and "=" not in option and (target is common or option in ("-v", "--verbosity")):
                target.append(rest.pop(0))
        named = any(text.partition("=")[0] == "--network" for text in args)
        if rest and not named and "APE_FOUNDRY_HOST" in os.environ:
            common += ["--network", "ethereum:local:foundry"]
        return super().parse_args(ctx, [*own, *rest[:1], *common, *rest[1:]])


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Trade at a venue that `ape run deploy` put on a network.

    Sizes are in units of the market's asset, prices and amounts in USDC, all as plain decimals.
    Every command takes --venue, --account, --id and --network, before or after its name.

    \b
    A devnet (in another terminal: anvil), with its test accounts:
      export APE_FOUNDRY_HOST=http://127.0.0.1:8545
      ape run deploy --network ethereum:local:foundry --market ATOM:3:20:4.25
      ape run trade --account TEST::2 open
      ape run trade --account TEST::2 mint 1000
      ape run trade --account TEST::2 deposit 1000
      ape run trade --account TEST::2 buy ATOM 100 4.25    # 100 ATOM at 4.25 USDC or better

    docs/trading.md goes through all of them; `ape run watch --page` shows what they do.
    """


def _trade(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """A command of the group whose function gets a connected trader, the account id (None: the
    only one) and its own parameters."""

    def decorate(act: Callable[..., None]) -> click.Command:
        def run(
            provider: Any, venue: Path | None, account: str | None, id: int | None, **own: Any
        ) -> None:
            trader = Trader.connect(_addresses(venue, provider), _account(account))
            act(trader, id, **own)

        run.__doc__ = act.__doc__
        run.__click_params__ = getattr(act, "__click_params__", [])  # type: ignore[attr-defined]
        for option in (
            click.option(
                "--id",
                type=click.IntRange(1),
                help="Account at the venue.  [default: the only one]",
            ),
            click.option("--account", metavar="ALIAS", help="Who trades: an alias, or TEST::2."),
            click.option(
                "--venue",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Addresses of the venue.  [default: as written by `ape run deploy`]",
            ),
        ):
            run = option(run)
        return cli.command(name, cls=_Command)(run)

    return decorate


# --- Accounts and money --------------------------------------------------------------------------


@_trade("open")
@click.option("--isolated", metavar="MARKET", help="An account for this market only.")
def _open(trader: Trader, id: int | None, isolated: str | None) -> None:
    """Open an account."""
    click.echo(f"account {trader.open(isolated)} opened")


@_trade("mint")
@click.argument("amount")
def _mint(trader: Trader, id: int | None, amount: str) -> None:
    """Mint AMOUNT of test USDC for yourself."""
    click.echo(f"{trader.mint(amount)} USDC outside the venue")


@_trade("deposit")
@click.argument("amount")
def _deposit(trader: Trader, id: int | None, amount: str) -> None:
    """Pay AMOUNT of USDC into an account."""
    number = trader.account(id)
    click.echo(f"deposited {amount}: account {number} has cash {trader.deposit(amount, number)}")


@_trade("withdraw")
@click.argument("amount")
def _withdraw(trader: Trader, id: int | None, amount: str) -> None:
    """Take AMOUNT of USDC out of an account."""
    number = trader.account(id)
    paid, cash = trader.withdraw(amount, number)
    click.echo(f"withdrawn, {paid} paid: account {number} has cash {cash}")


@_trade("transfer")
@click.argument("amount")
@click.argument("to", type=click.IntRange(1))
def _transfer(trader: Trader, id: int | None, amount: str, to: int) -> None:
    """Move AMOUNT of USDC to your account TO."""
    number = trader.account(id)
    left, there = trader.transfer(amount, to, number)
    click.echo(f"moved {amount}: account {number} has cash {left}, account {to} {there}")


@_trade("set-leverage")
@click.argument("market")
@click.argument("leverage", type=click.IntRange(0))
def _set_leverage(trader: Trader, id: int | None, market: str, leverage: int) -> None:
    """Limit your own LEVERAGE in a market; 0 for the market's."""
    number = trader.account(id)
    limit = trader.set_leverage(market, leverage, number)
    click.echo(f"account {number} may use {limit}x in {market}")


# --- Orders --------------------------------------------------------------------------------------


def _limit_order(name: str, is_buy: bool) -> None:
    @click.argument("market")
    @click.argument("size")
    @click.argument("price")
    @click.option("--tif", type=click.Choice(list(TIME_IN_FORCE)), default="gtc", show_default=True)
    @click.option("--reduce-only", is_flag=True, help="Only as far as it closes the position.")
    def act(
        trader: Trader,
        id: int | None,
        market: str,
        size: str,
        price: str,
        tif: str,
        reduce_only: bool,
    ) -> None:
        click.echo(str(trader.order(market, is_buy, size, price, tif, reduce_only, id)))

    act.__doc__ = f"{name.capitalize()} SIZE at PRICE or better; what is left rests (--tif gtc)."
    _trade(name)(act)


def _market_order(name: str, is_buy: bool) -> None:
    @click.argument("market")
    @click.argument("size")
    @click.option("--slippage", default="0.01", show_default=True, help="Fraction of the mark.")
    @click.option("--reduce-only", is_flag=True, help="Only as far as it closes the position.")
    def act(
        trader: Trader, id: int | None, market: str, size: str, slippage: str, reduce_only: bool
    ) -> None:
        click.echo(str(trader.market_order(market, is_buy, size, slippage, reduce_only, id)))

    act.__doc__ = f"{'Buy' if is_buy else 'Sell'} SIZE at once; the rest is dropped."
    _trade(name)(act)


_limit_order("buy", True)
_limit_order("sell", False)
_market_order("market-buy", True)
_market_order("market-sell", False)


@_trade("cancel")
@click.argument("order", type=click.IntRange(1))
def _cancel(trader: Trader, id: int | None, order: int) -> None:
    """Take one ORDER out of the book."""
    click.echo(f"order {order} cancelled: {trader.cancel(order)} had not filled")


@_trade("cancel-all")
def _cancel_all(trader: Trader, id: int | None) -> None:
    """Void every order of an account."""
    count = trader.cancel_all(id)
    click.echo(f"{count} order{'' if count == 1 else 's'} cancelled")


# --- What there is -------------------------------------------------------------------------------


@_trade("show")
def _show(trader: Trader, id: int | None) -> None:
    """Money, positions and orders of an account."""
    click.echo(str(trader.show(id)))
    if id is None:
        click.echo(f"{trader.balance()} USDC outside the venue")


@_trade("depth")
@click.argument("market")
@click.option("--levels", type=click.IntRange(1, 100), default=10, show_default=True)
def _depth(trader: Trader, id: int | None, market: str, levels: int) -> None:
    """The book of a market: size at price."""
    click.echo(str(trader.depth(market, levels)))


@_trade("funding")
@click.argument("market")
def _funding(trader: Trader, id: int | None, market: str) -> None:
    """Premium, rate and funding index of a market."""
    click.echo(str(trader.funding(market)))


# --- A devnet's prices and clock -----------------------------------------------------------------


@_trade("sample")
@click.argument("market")
def _sample(trader: Trader, id: int | None, market: str) -> None:
    """Have the oracle look at a market's book (anyone may)."""
    trader.sample(market)
    click.echo(str(trader.funding(market)))


@_trade("report")
@click.argument("prices", nargs=-1, metavar="[MARKET=PRICE]...")
def _report(trader: Trader, id: int | None, prices: tuple[str, ...]) -> None:
    """Report prices as the price reporter; markets not named keep theirs."""
    pairs = [text.partition("=") for text in prices]
    if not all(separator for _, separator, _ in pairs):
        raise click.BadParameter("write MARKET=PRICE, such as ATOM=4.25", param_hint="PRICES")
    marks = trader.report({symbol: price for symbol, _, price in pairs})
    click.echo(", ".join(f"{symbol} mark {mark}" for symbol, mark in marks.items()))


@_trade("wait")
@click.argument("seconds", required=False, type=click.IntRange(1))
def _wait(trader: Trader, id: int | None, seconds: int | None) -> None:
    """Let SECONDS pass on a devnet; without, all until the next hour of funding."""
    if seconds is None:
        seconds = trader.wait_for_funding()
    else:
        trader.wait(seconds)
    click.echo(f"{seconds} s passed")
