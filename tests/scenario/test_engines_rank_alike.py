"""Every scenario that reaches auto-deleveraging, ranked by the scan and by the index: the same
winners close the same lots in the same order, and everybody ends with the same money."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.scenario import Scenario, load
from tests.scenario.test_every_scenario import SMALL

# What a fill says of the order: who, how much, at what, ranked how.
FILL = ("bankrupt", "winner", "market", "size", "price", "quote", "score", "rank", "haircut")


@lru_cache
def reaches_adl(path: Path) -> bool:
    return bool(re.search(r"adl\.(fills|rounds|hit)", path.read_text()))


@pytest.mark.parametrize("path", [p for p in SMALL if reaches_adl(p)], ids=lambda p: p.stem)
def test_scan_and_index_close_the_same_winners(path: Path) -> None:
    scenario = load(path, short=True)
    results = {}
    for engine in ("scan", "index"):
        venue = scenario.venue.model_copy(update={"engine": engine, "allocation": "queue"})
        results[engine] = _run(scenario, venue)
    ours, theirs = results["scan"], results["index"]
    fills = [[{k: f[k] for k in FILL} for f in r["adl"]["fills"]] for r in (ours, theirs)]
    assert fills[0] == fills[1]
    assert ours["accounts"] == theirs["accounts"]
    assert ours["waterfall"] == theirs["waterfall"]


def _run(scenario: Scenario, venue: Any) -> dict[str, Any]:
    return Crash(scenario.model_copy(update={"venue": venue}), RevmEngine()).run()
