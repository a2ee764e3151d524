"""Runs of small crashes that the report tests share. A run is made once for each process."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import Any

import pytest

from breakwater import compare
from breakwater.artifacts import ROOT
from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.scenario import load


@lru_cache
def run(name: str) -> tuple[Crash, dict[str, Any]]:
    """A scenario's run and result, in process. Not to be changed."""
    crash = Crash(load(ROOT / "scenarios" / f"{name}.yaml", short=True), RevmEngine())
    return crash, crash.run()


@pytest.fixture
def crashed() -> Any:
    return run


@lru_cache
def compare_two_winners() -> tuple[list[dict[str, Any]], list[Any]]:
    """two_winners under both close prices: rows and results. Not to be changed."""
    scenario = load(ROOT / "scenarios" / "two_winners.yaml")
    chosen = compare.policies(["hyperliquid_docs"], ["queue"], ["bankruptcy", "previous_mark"])
    done = list(compare.run(scenario, chosen, lambda: contextlib.nullcontext(RevmEngine())))
    return [one.row for one in done], [one.result for one in done]


@pytest.fixture
def compared() -> Any:
    return compare_two_winners()
