"""Options and arguments that several commands share.

Owns their names, defaults and help texts; what a command does with them is its own business.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from breakwater.artifacts import ROOT

ADDRESSES = ROOT / "out" / "deploy" / "ethereum-local-foundry.json"

SCENARIOS = ROOT / "scenarios"
NETWORKS = {"test": "ethereum:local:test", "foundry": "ethereum:local:foundry"}

_Command = TypeVar("_Command", bound=Callable[..., Any])


def of_a_node(command: _Command) -> _Command:
    """`--rpc` and `--venue`: the node, and the file of the venue's addresses on it."""
    venue = click.option(
        "--venue",
        type=click.Path(path_type=Path),
        default=ADDRESSES,
        metavar="FILE",
        help="Addresses of the venue.  [default: as `ape run deploy` writes them for anvil]",
    )
    rpc = click.option(
        "--rpc",
        default=lambda: os.environ.get("APE_FOUNDRY_HOST", "http://127.0.0.1:8545"),
        show_default="$APE_FOUNDRY_HOST, else http://127.0.0.1:8545",
        help="Address of the node.",
    )
    return rpc(venue(command))


def found_scenario(scenario: str) -> Path:
    """The file of a scenario given by name or path. Raises click.BadParameter with the choice."""
    if scenario.endswith((".yaml", ".yml")) or os.sep in scenario:
        path = Path(scenario)
        if not path.is_file():
            raise click.BadParameter(f"there is no file {scenario}.", param_hint="SCENARIO")
        return path
    path = SCENARIOS / f"{scenario}.yaml"
    if not path.is_file():
        names = sorted(known.stem for known in SCENARIOS.glob("*.yaml"))
        close = difflib.get_close_matches(scenario, names, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise click.BadParameter(
            f"there is no scenario {scenario}.{hint} There are: {', '.join(names) or 'none'}.",
            param_hint="SCENARIO",
        )
    # Errors name the file as one would from here.
    return Path(os.path.relpath(path))


def own_chain(what: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """For a command's `network_callback`: refuses, before anything connects to it, a network that
    `what` cannot have for itself."""

    def chosen(ctx: click.Context, param: click.Parameter, provider: Any) -> Any:
        name = getattr(provider, "name", None)
        if name in NETWORKS and provider.network.name == "local":
            return provider
        found = provider.network_choice if name else "no network"
        raise click.UsageError(
            f"--network {found}: {what} needs a chain of its own, whose prices it makes and whose "
            f"clock it sets. Use {NETWORKS['test']} (the default: in process) or "
            f"{NETWORKS['foundry']} (anvil: one that runs already if APE_FOUNDRY_HOST is its "
            "address). `ape run deploy` puts a venue on a live network."
        )

    return chosen
