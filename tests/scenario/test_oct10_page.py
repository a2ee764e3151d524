"""The page about 2025-10-10 prints what its data files and scenarios say, to the cent."""

from __future__ import annotations

import csv
import json
from decimal import Decimal

from breakwater.artifacts import ROOT
from breakwater.scenario import load
from breakwater.units import grouped

SCENARIOS = ROOT / "scenarios"
PAGE = (ROOT / "docs" / "oct10.md").read_text()


def waves(name: str) -> list[dict[str, str]]:
    lines = (SCENARIOS / "data" / name).read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def test_the_papers_totals_are_those_of_the_file() -> None:
    rows = waves("oct10_policies.csv")
    assert len(rows) == 16
    needed = sum(Decimal(row["needed"]) for row in rows)
    taken = list(rows[0])[3:10]
    assert taken[0] == "production" and len(taken) == 7
    for policy in taken:
        total = sum(Decimal(row[policy]) for row in rows)
        assert grouped(str(total)) in PAGE, policy
        if total != needed:
            assert grouped(str(total - needed)) in PAGE, policy
    over = [Decimal(row["production"]) - Decimal(row["needed"]) for row in rows]
    up, down = sum(d for d in over if d > 0), sum(d for d in over if d < 0)
    assert f"+{grouped(str(up))} and {grouped(str(down))}" in PAGE
    assert f"+{grouped(str(up + down))} net" in PAGE


def test_one_account_is_counted_nine_times_in_the_deficits() -> None:
    rows = waves("oct10_policies.csv")
    largest = Decimal("10925707.16")
    assert sum(Decimal(row["largest_loss"]) == largest for row in rows) == 9
    total = sum(Decimal(row["deficit"]) for row in rows)
    assert grouped(str(total)) in PAGE and grouped(str(total - 8 * largest)) in PAGE


def test_the_scenario_needs_what_the_waves_needed() -> None:
    scenario = load(SCENARIOS / "oct10_waves.yaml")
    rows = waves("oct10_waves.csv")
    needed = {f"wave_{row['wave']}": row["needed"] for row in rows}
    held = {a.name: a.positions["X"].size for a in scenario.accounts if a.name in needed}
    assert held == needed
    assert scenario.expected["paid.winners"] == str(sum(map(Decimal, needed.values())))


def test_the_population_is_quoted_as_its_file_has_it() -> None:
    data = json.loads((SCENARIOS / "data" / "oct10_population.json").read_text())
    totals = data["event_totals"]
    for key in ("adl_notional_usd", "fills", "markets", "largest_burst_fills"):
        assert f"{totals[key]:,}" in PAGE, key
    assert f"{data['accounts']:,}" in PAGE
