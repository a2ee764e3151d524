"""What docs/own-score.md tells a reader to type works, and gives the table that it prints."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from breakwater import compare, expect
from breakwater.artifacts import ROOT
from breakwater.engine.revm import RevmEngine
from breakwater.scenario import parse

PAGE = (ROOT / "docs" / "own-score.md").read_text()


def block(start: str) -> str:
    """The block of code on the page that begins like this."""
    return next(code for code in re.findall(r"```\w+\n(.*?)```", PAGE, re.DOTALL) if start in code)


def test_the_score_and_the_crash_of_the_page_give_its_table(tmp_path: Path) -> None:
    own = tmp_path / "LargestFirst.vy"
    own.write_text(block("# pragma version"))
    assert len(own.read_text().splitlines()) < 30
    scenario = parse(block("name: two_sizes"), "my/two_sizes.yaml")
    chosen = compare.policies(
        ["hyperliquid_docs", str(own)], ["queue", "pro_rata_size"], ["bankruptcy"], ["scan"]
    )
    done = list(compare.run(scenario, chosen, lambda: contextlib.nullcontext(RevmEngine())))
    first = done[0].result
    assert first is not None
    assert [c for c in expect.evaluate(scenario.expected, first) if not c.ok] == []
    printed = re.findall(
        r"^ \S.*?(\d[\d,]*) +(\d+) +(\S+) +(\d+) +(\d+) +(\d+) +(\S+) +(\S+) +-$",
        PAGE,
        re.MULTILINE,
    )
    keys = (
        "needed",
        "taken",
        "overshoot_absolute",
        "insurance_spent",
        "uninsured",
        "accounts_hit",
        "worst_haircut_of_equity",
        "gini",
    )
    found = [tuple(str(one.row[key]) for key in keys) for one in done]
    assert found == printed and len(found) == 4
