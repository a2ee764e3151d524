"""Options that commands which read a running node share.

Owns their names, defaults and help texts; what a command does with them is its own business.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from breakwater.artifacts import ROOT

ADDRESSES = ROOT / "out" / "deploy" / "ethereum-local-foundry.json"

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
