"""Every file in scenarios/, end to end, on both engines.

Owns no scenario: a new file there is tested by being there. Each run checks the identities after
every transaction; here it is what the file expects, that it could have failed, and that the engine
makes no difference.
"""

from __future__ import annotations

import copy
import shutil
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from breakwater import expect, units
from breakwater.artifacts import ROOT
from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.engine.rpc import start_anvil
from breakwater.scenario import load

SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))
every_scenario = pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
ENGINES = [
    "revm",
    pytest.param(
        "anvil",
        marks=pytest.mark.skipif(
            shutil.which("anvil") is None,
            reason="anvil is not on PATH: npm install @foundry-rs/anvil",
        ),
    ),
]


@lru_cache
def run(path: Path, engine: str) -> dict[str, Any]:
    """The result of a scenario; once for each process. Not to be changed."""
    if engine == "revm":
        return Crash(load(path), RevmEngine()).run()
    with start_anvil() as devnet:
        return Crash(load(path), devnet).run()


def test_there_are_scenarios() -> None:
    assert "two_winners" in [path.stem for path in SCENARIOS]


@every_scenario
@pytest.mark.parametrize("engine", ENGINES)
def test_what_the_scenario_expects_holds(path: Path, engine: str) -> None:
    result = run(path, engine)
    stated = load(path, short=True).expected
    failed = [check for check in expect.evaluate(stated, result) if not check.ok]
    assert failed == []
    assert result["scenario"] == path.stem
    assert result["engine"] == engine


@every_scenario
@pytest.mark.parametrize("engine", ENGINES)
def test_everything_held_is_owed_to_somebody(path: Path, engine: str) -> None:
    solvency = run(path, engine)["solvency"]
    assert solvency["difference"] == "0"
    assert solvency["i4_difference"] == "0"
    assert solvency["held"] == solvency["owed"]
    assert solvency["checks"] > 0
    # Every trader, the market maker, the vault, and two estates for each market.
    scenario = load(path)
    assert solvency["accounts"] == len(scenario.accounts) + 2 + 2 * len(scenario.markets)


@every_scenario
@pytest.mark.parametrize("engine", ENGINES[1:])
def test_the_engine_makes_no_difference_but_for_gas(path: Path, engine: str) -> None:
    reference, other = copy.deepcopy(run(path, "revm")), copy.deepcopy(run(path, engine))
    assert (reference.pop("engine"), other.pop("engine")) == ("revm", engine)
    gas, measured = reference.pop("gas"), other.pop("gas")
    assert reference == other
    # revm does not measure gas as a devnet does, and so says nothing.
    assert gas == {"by_action": {}, "adl_per_fill": None, "max_tx": None}
    assert 21_000 < measured["max_tx"] <= 16_777_216


@every_scenario
def test_a_second_run_gives_the_same_result(path: Path) -> None:
    assert Crash(load(path), RevmEngine()).run() == run(path, "revm")


@every_scenario
def test_what_each_step_tells_is_told_in_words(path: Path) -> None:
    steps = run(path, "revm")["steps"]
    assert len(steps) == len(load(path).path)
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


@every_scenario
def test_each_expectation_can_fail(path: Path) -> None:
    result, stated = run(path, "revm"), load(path).expect
    found = {check.path: check.found for check in expect.evaluate(stated, result)}
    for key, value in stated.items():
        for other in wrong(value, found[key]):
            checks = expect.evaluate({**stated, key: other}, result)
            failed = [check.path for check in checks if not check.ok]
            assert failed == [key], f"{key}: {other!r} passes for {found[key]!r}"


@every_scenario
def test_each_expectation_needs_the_run(path: Path) -> None:
    """Nothing that is expected holds of an empty result."""
    assert not any(check.ok for check in expect.evaluate(load(path, short=True).expected, {}))
