"""Runs that take hours of the chain's time: no funding in the set-up, and a keeper that is not cut
short by a price that grew old while it worked."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from breakwater import expect
from breakwater import keeper as keeper_module
from breakwater.artifacts import ROOT
from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.paths import SHAPES
from breakwater.scenario import ACTIONS, parse

TEXT = """\
name: t
description: d
source: synthetic
venue: {max_step: none, stale_after: 40}
markets:
  X: {size_decimals: 2, max_leverage: 20, price: "100"}
accounts:
  - {name: saver, collateral: "1000", positions: {X: {size: "10", entry: "100"}}}
populations:
  - {name: crowd, market: X, count: 60, collateral: "10", leverage: "10"}
path:
  - {set_price: {X: "85"}, note: the thirty longs lack 5 each}
expect: {solvency.difference: "0"}
"""


class Slow(RevmEngine):
    """A chain on which every transaction of the set-up takes three minutes."""

    hurry = False

    def transact(self, sender: str, to: str, data: bytes) -> Any:
        if not self.hurry:
            self.wait(180)
        return super().transact(sender, to, data)


def test_a_set_up_of_many_hours_costs_nobody_funding() -> None:
    engine = Slow()
    crash = Crash(parse(TEXT, "t.yaml"), engine)
    crash._set_up()
    began = engine.timestamp
    assert crash.venue.oracle.call("index", 0) == 0
    assert began % 3_600 < 1_800, "the path begins early in an hour"
    # The set-up alone took longer than a price may last: 300 transactions of three minutes.
    assert began - 1_760_130_000 > 300 * 180
    rows = {row.account: row for row in crash.venue.rows(crash.ledger.accounts)}
    assert rows[crash.account_ids["saver"]].equity == 1_000 * 10**6


def test_a_keeper_finishes_although_its_price_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten holders a call: thirty rounds over thirty holders outlast by far a price of 40 seconds.
    monkeypatch.setattr(keeper_module, "STEPS", 10)
    result = Crash(parse(TEXT, "t.yaml"), RevmEngine()).run()
    assert len(result["bankruptcies"]) == 30
    assert {b["deficit"] for b in result["bankruptcies"]} == {"5"}
    assert sum(Decimal(fill["haircut"]) for fill in result["adl"]["fills"]) == 150
    assert result["steps"][0]["marks"] == {"X": "85"}
    assert result["accounts"]["saver"]["equity"] == "850"


def test_the_page_about_the_format_teaches_a_file_that_runs() -> None:
    page = (ROOT / "docs" / "scenarios.md").read_text()
    found = re.search(r"```yaml\n(# yaml-language-server.*?)```", page, re.DOTALL)
    assert found is not None
    scenario = parse(found[1], "my_crash.yaml")
    result = Crash(scenario, RevmEngine()).run()
    assert [c for c in expect.evaluate(scenario.expected, result) if not c.ok] == []


def test_the_page_about_the_format_names_every_action_shape_and_scenario() -> None:
    page = (ROOT / "docs" / "scenarios.md").read_text()
    names = [path.stem for path in (ROOT / "scenarios").glob("*.yaml")]
    wanted = [*ACTIONS, *SHAPES, *(n for n in names if not n.startswith("percolator_"))]
    assert [name for name in wanted if name not in page] == []
