"""events.parquet and events.csv: complete, exact, and documented column by column."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from breakwater import rebuild
from breakwater.artifacts import ROOT
from breakwater.contract import Event
from breakwater.crash import Record
from breakwater.report import events


@pytest.fixture
def frame(crashed: Any) -> pl.DataFrame:
    crash = crashed("atom_flash")[0]
    return events.table(crash.records, crash.names, list(crash.market_ids))


def test_the_documented_columns_are_the_columns(frame: pl.DataFrame) -> None:
    text = (ROOT / "docs" / "files.md").read_text()
    part = text[text.index("## events.parquet") : text.index("## out/compare")]
    rows = re.findall(r"^\| `(\w+)` \| (integer|text) \|", part, re.MULTILINE)
    assert [name for name, _ in rows] == list(events.COLUMNS) == frame.columns
    kinds = {"integer": pl.Int64, "text": pl.String}
    assert [kinds[kind] for _, kind in rows] == frame.dtypes


def test_every_log_of_the_chain_is_there_once(crashed: Any, frame: pl.DataFrame) -> None:
    venue = crashed("atom_flash")[0].venue
    logged = venue.decoder.decode(venue.engine.logs(venue.decoder.addresses))
    assert frame.height == len(logged)
    assert frame["event"].to_list() == [event.name for event in logged]
    assert frame["contract"].to_list() == [event.contract for event in logged]
    assert frame["sequence"].to_list() == list(range(len(logged)))


def test_the_state_can_be_rebuilt_from_the_table(crashed: Any, frame: pl.DataFrame) -> None:
    def value(text: Any) -> Any:
        return int(text) if isinstance(text, str) and re.fullmatch(r"-?[0-9]+", text) else text

    played = []
    for row in frame.iter_rows(named=True):
        fields = {key: value(item) for key, item in json.loads(row["fields"]).items()}
        played.append(Event(row["contract"], row["event"], fields, 0))
    venue = crashed("atom_flash")[0].venue
    assert rebuild.differences(rebuild.rebuild(played), venue) == []


def test_the_receipts_are_exact(crashed: Any, frame: pl.DataFrame) -> None:
    fills = frame.filter(event="Deleveraged")
    assert fills["account"].to_list() == ["short_a", "short_b", "short_c", "short_d"]
    assert fills["counterparty"].to_list() == ["long_late", *["long_mid"] * 3]
    assert fills["haircut"].to_list() == [333_529_799, 300_000_000, 250_000_000, 200_000_000]
    assert fills["rank"].to_list() == [1, 1, 2, 3]
    assert fills["score"][0] == "2647058823529411764"
    assert fills["market"].to_list() == ["ATOM"] * 4
    assert fills["step"].to_list() == [1] * 4
    assert set(fills["action"]) == {"liquidate"}
    assert fills["timestamp"].null_count() == 0
    assert frame.filter(step=-1)["block"].null_count() == frame.filter(step=-1).height > 100


def test_both_files_hold_the_same(frame: pl.DataFrame, tmp_path: Path) -> None:
    parquet, text = events.write(frame, tmp_path)
    assert pl.read_parquet(parquet).equals(frame)
    assert pl.read_csv(text, schema=frame.schema).equals(frame)


def test_what_needs_more_than_64_bits_is_kept_as_text() -> None:
    odd = {
        "account": 7,
        "size": 2**63,
        "cash": -(2**63),
        "quote": True,
        "score": 2**256 - 1,
        "prices": [1, 2**200],
        "market": 9,
        "raw": b"\x01",
    }
    record = Record(0, "odd", 1, 2, Event("C", "E", odd, 0))
    (row,) = events.table([record], {}, ["X"]).iter_rows(named=True)
    assert (row["account"], row["account_id"]) == ("account 7", 7)
    assert row["size"] is None and row["quote"] is None and row["market"] is None
    assert row["cash"] == -(2**63)
    assert row["score"] == str(2**256 - 1)
    assert json.loads(row["fields"]) == {
        "account": "7",
        "size": str(2**63),
        "cash": str(-(2**63)),
        "quote": True,
        "score": str(2**256 - 1),
        "prices": ["1", str(2**200)],
        "market": "9",
        "raw": "0x01",
    }
