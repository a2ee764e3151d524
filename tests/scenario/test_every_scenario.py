"""Every file in scenarios/, end to end, on both engines.

Owns no scenario: a new file there is tested by being there, in its short form. Each run checks the
identities after every transaction; here it is what the file expects, that it could have failed, and
that the engine makes no difference. Which run on both is `Scenario.is_small`.
"""

from __future__ import annotations

import re
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from breakwater import expect, units
from breakwater.artifacts import ROOT
from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.engine.rpc import start_anvil
from breakwater.scenario import Scenario, load

SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))
every_scenario = pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)


def run(path: Path, engine: str) -> dict[str, Any]:
    """The result of a scenario in its short form."""
    scenario = load(path, short=True)
    if engine == "revm":
        return Crash(scenario, RevmEngine()).run()
    with start_anvil() as devnet:
        return Crash(scenario, devnet).run()


SMALL = [path for path in SCENARIOS if load(path, short=True).is_small]


@every_scenario
def test_the_scenario_ends_as_its_file_says(path: Path) -> None:
    """All that is asked of every scenario, of one run."""
    result = run(path, "revm")
    scenario = load(path, short=True)
    failed = [check for check in expect.evaluate(scenario.expected, result) if not check.ok]
    assert failed == []
    assert (result["scenario"], result["engine"]) == (path.stem, "revm")
    assert result["gas"] == {"by_action": {}, "adl_per_fill": None, "max_tx": None}
    # What `expect` may name is what there is.
    assert set(result) == set(expect.PARTS)
    for name, parts in expect.PARTS.items():
        assert not parts or set(result[name]) == set(parts), name
    assert expect.MISSING not in [row["ours"] for row in result["printed"]]
    everything_held_is_owed(scenario, result)
    each_step_is_told_in_words(scenario, result)
    each_expectation_can_fail(scenario.expected, result)
    # Nothing that is expected holds of an empty result.
    assert not any(check.ok for check in expect.evaluate(scenario.expected, {}))
    if path in SMALL:
        assert run(path, "revm") == result, "a second run gives another result"


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
@pytest.mark.skipif(
    shutil.which("anvil") is None, reason="anvil is not on PATH: npm install @foundry-rs/anvil"
)
def test_the_engine_makes_no_difference_but_for_gas(path: Path) -> None:
    reference, other = run(path, "revm"), run(path, "anvil")
    assert (reference.pop("engine"), other.pop("engine")) == ("revm", "anvil")
    gas, measured = reference.pop("gas"), other.pop("gas")
    assert reference == other
    # revm does not measure gas as a devnet does, and so says nothing.
    assert gas == {"by_action": {}, "adl_per_fill": None, "max_tx": None}
    assert 21_000 < measured["max_tx"] <= 16_777_216


def test_a_population_is_the_same_every_time() -> None:
    path = ROOT / "scenarios" / "percolator_no_insurance.yaml"
    assert path not in SMALL
    assert run(path, "revm") == run(path, "revm")


def test_the_library_reaches_every_layer() -> None:
    """By what the files expect: figures here would only repeat the runs."""
    stated = {path.stem: load(path, short=True).expected for path in SCENARIOS}
    adl = {n for n, e in stated.items() if any(key.startswith("adl.fills[") for key in e)}
    adl |= {n for n, e in stated.items() if e.get("adl.fills.length") == {"min": 1}}
    spent = {
        n
        for n, e in stated.items()
        if e.get("accounts.vault.cash") == "0" and e.get("waterfall.insurance_paid", "0") != "0"
    }
    unpaid = {n for n, e in stated.items() if e.get("waterfall.uninsured", "0") != "0"}
    assert len(stated) >= 30 and len(adl) >= 15 and len(spent) >= 5 and len(unpaid) >= 3


MONEY = re.compile(
    r"(cash|equity|pnl|deficit|haircut|realised|insurance|insurance_paid|residual|surplus|uninsured"
    r"|backstopped|liquidated|adl_closed|held|winners)$"
)
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
SUM = re.compile(r"[-+*/=]|lack|worth|gives up|give up|realise|:")


def worked_out(path: Path, short: bool) -> list[str]:
    """Exact amounts of money other than 0 that a file expects, and that a comment of it derives or,
    for a crowd, test_crowds.py."""
    comments = [line.partition("#")[2] for line in path.read_text().splitlines()]
    derived = {
        found.replace(",", "")
        for place, line in enumerate(comments)
        # A sum goes over lines, so the neighbours count for the words around a figure.
        for found in NUMBER.findall(line)
        if SUM.search(" ".join(comments[max(0, place - 1) : place + 2]))
    }
    # Beside the figure itself, as in `accounts.x.cash: "120"  # 600 - 40 * 12`.
    beside = {
        line.partition(":")[0].strip()
        for line in path.read_text().splitlines()
        if re.search(r": .*#.*[-+*/]", line)
    }
    out = []
    for key, value in load(path, short).expected.items():
        inner = value.get("contains") if isinstance(value, dict) else None
        pairs = inner.items() if isinstance(inner, dict) else [(key, value)]
        for name, figure in pairs:
            exact = isinstance(figure, str) and units.is_decimal(figure) and Decimal(figure) != 0
            by_hand = exact and (figure.lstrip("-") in derived or key in beside)
            by_rule = path.stem.startswith("percolator_") and key == "solvency.held"
            if MONEY.search(name) and (by_hand or by_rule):
                out.append(key)
    return out


@pytest.mark.parametrize("short", [False, True], ids=["full", "short"])
@every_scenario
def test_a_figure_of_money_is_worked_out_in_the_file(path: Path, short: bool) -> None:
    assert worked_out(path, short), "no exact amount that a comment derives"


def test_every_published_point_has_its_place_on_the_page_of_sources() -> None:
    rows = (ROOT / "docs" / "sources.md").read_text().splitlines()
    found = {}
    for path in SCENARIOS:
        said = re.search(r"anchored at (\d+)\s+published\s+points", load(path).source)
        if said:
            found[path.stem] = int(said[1])
            told = [r for r in rows if f"`{path.stem}`" in r.partition("|")[2].partition("|")[0]]
            assert len(told) == found[path.stem], path.stem
    assert len(found) >= 7, found


@every_scenario
def test_its_source_says_what_is_real(path: Path) -> None:
    scenario = load(path)
    told = [scenario.source, scenario.description, *(one.why for one in scenario.printed)]
    assert all(text.isprintable() for text in told)
    assert len(scenario.source) > 10 and "expect" in path.read_text()
    head = path.read_text().splitlines()[0]
    assert head == "# yaml-language-server: $schema=schema.json"


def everything_held_is_owed(scenario: Scenario, result: dict[str, Any]) -> None:
    solvency = result["solvency"]
    assert solvency["difference"] == "0"
    assert solvency["i4_difference"] == "0"
    assert solvency["held"] == solvency["owed"]
    assert solvency["checks"] > 0
    # Every trader, the market maker, the vault, and two estates for each market.
    names = len(scenario.account_names)
    assert solvency["accounts"] == names + 2 + 2 * len(scenario.markets)


def each_step_is_told_in_words(scenario: Scenario, result: dict[str, Any]) -> None:
    steps = result["steps"]
    assert len(steps) == len(scenario.steps)
    for step in steps:
        assert all(isinstance(line, str) and line for line in step["events"])
    assert any(step["events"] for step in steps)


def wrong(value: Any, found: Any) -> list[Any]:
    """Expectations near to `value` that a result with `found` does not meet, at least one."""
    if isinstance(value, dict):
        out = []
        for name, operand in value.items():
            if name == "contains":
                other = absent(operand)
            elif name == "not":
                other = found
            else:
                step = Decimal("0.000001") if name == "min" else Decimal("-0.000001")
                other = str(Decimal(str(found)) + step)
            out.append(value | {name: other})
        return out
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, str) and units.is_decimal(value):
        return [str(Decimal(value) + 1), str(Decimal(value) + Decimal("0.000000000001"))]
    if isinstance(value, str):
        return [f"{value}_", value[:-1]]
    if isinstance(value, list):
        return [[*value, "one more"], *([value[:-1]] if value else [])]
    return ["something else"]


def absent(operand: Any) -> Any:
    """Something like `operand` that is not in the result."""
    if isinstance(operand, dict):
        return {key: f"{item} but not this" for key, item in operand.items()}
    return f"{operand} but not this"


def each_expectation_can_fail(stated: dict[str, Any], result: dict[str, Any]) -> None:
    found = {check.path: check.found for check in expect.evaluate(stated, result)}
    for key, value in stated.items():
        for other in wrong(value, found[key]):
            (check,) = expect.evaluate({key: other}, result)
            assert not check.ok, f"{key}: {other!r} passes for {found[key]!r}"
