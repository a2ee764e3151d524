"""Every event of a run as one table: events.parquet and events.csv.

Owns the columns, which docs/files.md documents in the same order. Numbers stay in the venue's own
integer units, so that nothing is rounded: micro-USDC, lots and ticks. `fields` holds the whole
event as JSON with integers as text, because a score or an order id may need more than 64 bits.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import polars as pl

from breakwater.contract import Event
from breakwater.files import replace_bytes

# Fields of events that have a column of their own, all whole numbers in the venue's units.
NUMBERS: Final = (
    "size",
    "price",
    "quote",
    "amount",
    "cash",
    "equity",
    "realised",
    "mark",
    "previous_mark",
    "oracle_price",
    "insurance",
    "surplus",
    "residual",
    "uninsured",
    "round",
    "rank",
    "haircut",
    "order_id",
)

COLUMNS: Final = (
    "sequence",
    "step",
    "action",
    "block",
    "timestamp",
    "contract",
    "event",
    "account_id",
    "account",
    "counterparty_id",
    "counterparty",
    "market",
    *NUMBERS,
    "score",
    "fields",
)

_INTEGERS: Final = {"sequence", "step", "block", "timestamp", "account_id", "counterparty_id"}
# Whose event it is, and who else takes part: the first of these fields that the event has.
_ACCOUNT: Final = ("account", "winner", "taker", "source", "bankrupt")
_COUNTERPARTY: Final = ("bankrupt", "maker", "to")
_WHOLE: Final = re.compile("-?[0-9]+")
_INT64: Final = range(-(2**63), 2**63)


class Recorded(Protocol):
    """An event with its place in the run; see `breakwater.crash.Record`."""

    @property
    def step(self) -> int: ...
    @property
    def action(self) -> str: ...
    @property
    def block(self) -> int | None: ...
    @property
    def timestamp(self) -> int | None: ...
    @property
    def event(self) -> Event: ...


def table(
    records: Iterable[Recorded], names: Mapping[int, str], symbols: Sequence[str]
) -> pl.DataFrame:
    """One row per event, in the order of the chain. Names by account id, symbols by market id."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for sequence, record in enumerate(records):
        row = _row(record, names, symbols)
        row["sequence"] = sequence
        for name in COLUMNS:
            columns[name].append(row.get(name))
    schema = {
        name: pl.Int64 if name in _INTEGERS or name in NUMBERS else pl.String for name in COLUMNS
    }
    return pl.DataFrame(columns, schema=schema)


def _row(record: Recorded, names: Mapping[int, str], symbols: Sequence[str]) -> dict[str, Any]:
    event = record.event
    args = event.args
    account = next((args[name] for name in _ACCOUNT if isinstance(args.get(name), int)), None)
    other = next(
        (
            args[name]
            for name in _COUNTERPARTY
            if isinstance(args.get(name), int) and args[name] != account
        ),
        None,
    )
    market = args.get("market")
    row: dict[str, Any] = {
        "step": record.step,
        "action": record.action,
        "block": record.block,
        "timestamp": record.timestamp,
        "contract": event.contract,
        "event": event.name,
        "account_id": account,
        "account": _name(names, account),
        "counterparty_id": other,
        "counterparty": _name(names, other),
        "market": symbols[market] if isinstance(market, int) and market < len(symbols) else None,
        # Some events name a contract where others give a number.
        "score": str(args["score"]) if isinstance(args.get("score"), int) else None,
        "fields": json.dumps(_exact(args), separators=(",", ":")),
    }
    for name in NUMBERS:
        number = args.get(name)
        if isinstance(number, int) and not isinstance(number, bool) and number in _INT64:
            row[name] = number
    return row


def _name(names: Mapping[int, str], account: int | None) -> str | None:
    return None if account is None else names.get(account, f"account {account}")


def _exact(value: Any) -> Any:
    """For JSON: integers as text, bytes as hex, structs and lists in depth."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return {key: _exact(item) for key, item in value.items()}
    if hasattr(value, "_asdict"):
        return _exact(value._asdict())
    return [_exact(item) for item in value]


def read(path: Path) -> list[Event]:
    """The events of an events.csv, as they were logged. Raises ValueError if it is none."""
    csv.field_size_limit(2**24)
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        try:
            return [
                Event(row["contract"], row["event"], _plain(json.loads(row["fields"])), place)
                for place, row in enumerate(rows)
            ]
        except (KeyError, TypeError, csv.Error) as error:
            raise ValueError(f"{path} is no table of events: {error}") from None


def _plain(value: Any, key: str = "") -> Any:
    """Back from JSON: what is written as a whole number is one, except in a symbol."""
    if isinstance(value, dict):
        return {name: _plain(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, key) for item in value]
    if isinstance(value, str) and key != "symbol" and _WHOLE.fullmatch(value):
        return int(value)
    return value


def write(frame: pl.DataFrame, folder: Path) -> list[Path]:
    """events.parquet and events.csv in the folder."""
    parquet, text = folder / "events.parquet", folder / "events.csv"
    replace_bytes(parquet, frame.write_parquet)
    replace_bytes(text, frame.write_csv)
    return [parquet, text]
