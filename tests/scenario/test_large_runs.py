"""Runs that take hours of the chain's time: no funding in the set-up, and a keeper that is not cut
short by a price that grew old while it worked."""

from __future__ import annotations

import os
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from breakwater import crash as crash_module
from breakwater import expect
from breakwater import keeper as keeper_module
from breakwater.artifacts import ROOT
from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.keeper import Keeper
from breakwater.ledger import InsolvencyError
from breakwater.paths import SHAPES
from breakwater.scenario import ACTIONS, ScenarioError, load, parse
from breakwater.venue import Venue

LARGE = [
    path for path in sorted((ROOT / "scenarios").glob("*.yaml")) if load(path, short=True).has_short
]

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


@pytest.mark.parametrize("stale_after", ["40", "3600"])
def test_reading_only_who_changed_the_keeper_acts_as_if_it_read_all(
    stale_after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account it picks is the first of a full reading, in every turn of a crash."""
    monkeypatch.setattr(keeper_module, "STEPS", 10)
    text = TEXT.replace("stale_after: 40", f"stale_after: {stale_after}")
    # Two epochs: what was read in one is worth nothing in the next.
    text = text.replace("path:\n", 'path:\n  - {set_price: {X: "88"}}\n')
    crash = Crash(parse(text, "t.yaml"), RevmEngine())
    pick, rows = Keeper._weakest_but, Venue.rows
    read: list[int] = []
    turns: list[tuple[int | None, int]] = []

    def counted(self: Venue, accounts: Any) -> list[Any]:
        read.append(len(accounts))
        return rows(self, accounts)

    def compared(self: Keeper, passed: set[int]) -> int | None:
        read.clear()
        found = pick(self, passed)
        turns.append((found, sum(read)))
        due = [r for r in rows(self.venue, self.ledger.accounts) if r.is_liquidatable]
        due.sort(key=lambda r: (Fraction(r.equity, max(r.maintenance, 1)), r.account))
        assert found == next((r.account for r in due if r.account not in passed), None)
        return found

    monkeypatch.setattr(Venue, "rows", counted)
    monkeypatch.setattr(Keeper, "_weakest_but", compared)
    result = crash.run()
    assert len(result["bankruptcies"]) == 30
    # All are read when a turn begins; after that who was named, and whose turn it is.
    everybody = len(crash.ledger.accounts)
    assert everybody > 60
    assert sum(count >= everybody for _, count in turns) < len(turns) // 4
    assert sorted(count for _, count in turns)[len(turns) // 2] < 10


def test_an_account_that_somebody_else_served_is_passed_over() -> None:
    crash = Crash(parse(TEXT, "t.yaml"), RevmEngine())
    crash._set_up()
    crash.venue.set_prices([850_000])
    keeper, liquidator = crash.keeper, crash.venue.liquidator
    first = keeper._weakest_but(set())
    assert first is not None
    for _ in range(2):
        # Not by this keeper: it hears nothing of it, and no mark moves.
        liquidator.send("liquidate", first, 100, sender=crash.engine.actor("somebody"))
        while crash.venue.deleverager.call("is_busy"):
            crash.venue.deleverager.send("advance", 100, sender=crash.engine.actor("somebody"))
        following = keeper._weakest_but(set())
        assert following not in (None, first)
        first = following


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


@pytest.mark.skipif(
    "BREAKWATER_LARGE" not in os.environ,
    reason="hours of work: BREAKWATER_LARGE=1 runs the full form of what is else run in short",
)
@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_a_large_scenario_ends_as_its_file_says(path: Path) -> None:
    scenario = load(path)
    result = Crash(scenario, RevmEngine()).run()
    assert [c for c in expect.evaluate(scenario.expected, result) if not c.ok] == []
    assert result["solvency"]["difference"] == "0"


def test_what_runs_on_both_engines_is_one_rule() -> None:
    assert load(ROOT / "scenarios" / "two_winners.yaml").is_small
    # 25 accounts with the maker's, 60 steps: the most.
    accounts = "".join(f'  - {{name: a{i}, collateral: "10"}}\n' for i in range(24))
    path = "  - {wait: 1}\n" * 60
    text = TEXT[: TEXT.index("accounts:")] + f"accounts:\n{accounts}path:\n{path}"
    text += 'expect: {solvency.difference: "0"}\n'
    assert parse(text, "t.yaml").is_small
    more = text.replace("accounts:\n", 'accounts:\n  - {name: b, collateral: "1"}\n')
    assert not parse(more, "t.yaml").is_small
    assert not parse(text.replace("path:\n", "path:\n  - {wait: 1}\n"), "t.yaml").is_small
    assert LARGE


def test_by_the_block_a_crash_ends_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT.replace("path:\n", 'path:\n  - {rush: {population: crowd, share: "0.1"}}\n')
    one = Crash(parse(text, "t.yaml"), RevmEngine()).run()
    monkeypatch.setattr(crash_module, "BY_BLOCK", 1)
    many = Crash(parse(text, "t.yaml"), RevmEngine()).run()
    assert many["steps"][0]["timestamp"] < one["steps"][0]["timestamp"]
    for key in ("accounts", "bankruptcies", "waterfall", "paid"):
        assert many[key] == one[key]
    assert many["adl"]["fills"] == one["adl"]["fills"]
    assert many["setup"]["transactions"] == one["setup"]["transactions"]
    assert many["steps"][0]["refused"] == one["steps"][0]["refused"]
    assert many["transactions"] == one["transactions"]


def test_a_flagged_reading_says_what_a_full_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """After every transaction of a crash with epochs, an hour's funding, rounds and withdrawals;
    and it asks the chain for the equity of those who changed only."""
    monkeypatch.setattr(crash_module, "FULL_CHECKS", 1)
    asked: list[int] = []
    equities, check = Venue.equities, Crash._check

    def counted(self: Venue, accounts: Any) -> list[int]:
        asked.append(len(accounts))
        return equities(self, accounts)

    def both(self: Crash, sent: Any) -> None:
        check(self, sent)
        flagged = self.ledger.check(flagged=True)
        assert flagged == self.ledger.check()

    monkeypatch.setattr(Venue, "equities", counted)
    monkeypatch.setattr(Crash, "_check", both)
    steps = '  - {set_price: {X: "99"}, seconds: 3600}\n'
    steps += '  - {rush: {population: crowd, share: "0.1"}}\n  - {set_price: {X: "88"}}\n'
    result = Crash(parse(TEXT.replace("path:\n", "path:\n" + steps), "t.yaml"), RevmEngine()).run()
    assert len(result["bankruptcies"]) == 30
    everybody = result["solvency"]["accounts"]
    # Every second reading is a full one; of the flagged ones most ask for a few.
    flagged = [count for count in asked if count < everybody]
    assert len(asked) > 300 and len(flagged) > len(asked) // 3
    assert sorted(flagged)[len(flagged) // 2] < 8


def test_a_flagged_reading_sees_what_a_wrong_equity_would_hide() -> None:
    crash = Crash(parse(TEXT, "t.yaml"), RevmEngine())
    crash._set_up()
    crash.ledger.check(flagged=True)
    account = crash.account_ids["saver"]
    state, equity = crash.ledger._worth[account]
    crash.ledger._worth[account] = (state, equity + 1)
    with pytest.raises(InsolvencyError, match=r"LEDGER_4: .* = -1$"):
        crash.ledger.check(flagged=True)
    # At another price nothing of it is left.
    crash.engine.wait(60)
    crash.venue.set_prices([999_999])
    assert crash.ledger.check(flagged=True) == crash.ledger.check()


MARKETS = ["M1", "M2", "M3", "M4", "M5", "M6", "M7", "M8", "M9"]


def test_of_more_than_eight_markets_the_maker_has_an_account_for_every_eight() -> None:
    text = "name: t\ndescription: d\nsource: synthetic\nvenue: {max_step: none}\nmarkets:\n"
    text += "".join(
        f'  {m}: {{size_decimals: 2, max_leverage: 20, price: "100"}}\n' for m in MARKETS
    )
    text += "accounts:\n" + "".join(
        f'  - {{name: long_{m}, collateral: "1000", positions: {{{m}: '
        '{size: "10", entry: "100"}}}\n'
        for m in MARKETS
    )
    text += 'book: {M9: {bids: [["90", "1"]]}}\npath:\n  - {set_price: {M9: "99"}}\n'
    text += 'expect: {solvency.difference: "0"}\n'
    scenario = parse(text, "t.yaml")
    assert scenario.makers == ["maker", "maker_2"]
    assert scenario.resolved_book("M9").owner == "maker_2"
    result = Crash(scenario, RevmEngine()).run()
    positions = result["accounts"]["maker"]["positions"]
    assert {m: held["size"] for m, held in positions.items()} == dict.fromkeys(MARKETS[:8], "-10")
    # Short 10 at 100, now at 99.
    assert result["accounts"]["maker_2"]["equity"] == "1000010"
    with pytest.raises(ScenarioError, match="maker_2 again"):
        parse(text.replace("long_M1", "maker_2"), "t.yaml")
