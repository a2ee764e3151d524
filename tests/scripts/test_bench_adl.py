"""`ape run bench_adl` with small populations: every row is there, and says what it should."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from breakwater.artifacts import ROOT
from breakwater.engine.rpc import ANVIL_MISSING

ROW = {
    "engine", "score", "side", "accounts", "victims", "gas_total", "gas_max_tx", "transactions",
    "fills", "exact", "measured",
}  # fmt: skip


@pytest.fixture(scope="module")
def script() -> Any:
    path = ROOT / "scripts" / "bench_adl.py"
    spec = importlib.util.spec_from_file_location("bench_adl_script", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(shutil.which("anvil") is None, reason=ANVIL_MISSING)
def test_a_small_run(script: Any, tmp_path: Path) -> None:
    out = tmp_path / "bench" / "adl.json"
    options = ["--sizes", "50,100,150", "--victims", "1,10,200", "--scan-up-to", "100"]
    done = CliRunner().invoke(script.cli, [*options, "--side", "short", "--out", str(out)])
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text())
    rows = result["rows"]
    assert all(row.keys() == ROW for row in rows)
    # Nobody has 200 winners; the scan was measured at two sizes of three.
    seen = {(r["engine"], r["score"], r["accounts"], r["victims"]): r for r in rows}
    assert seen.keys() == {
        (engine, score, accounts, victims)
        for engine in ("index", "scan")
        for score in script.SCORES
        for accounts in (50, 100, 150)
        for victims in (1, 10)
    }
    assert len(seen) == len(rows)
    for (engine, _, accounts, victims), row in seen.items():
        assert row["measured"] is (engine == "index" or accounts < 150)
        assert row["exact"] is True and row["fills"] == victims and row["side"] == "short"
        assert 300_000 < row["gas_max_tx"] <= row["gas_total"]
        assert row["gas_max_tx"] < 16_777_216
        assert row["gas_total"] <= row["gas_max_tx"] * row["transactions"]
    for score in script.SCORES:
        at = [seen["scan", score, size, 1]["gas_total"] for size in (50, 100, 150)]
        assert at[2] - at[1] == at[1] - at[0] > 0
    for each in result["ratios"]:
        scan, index = (
            seen[engine, each["score"], each["accounts"], each["victims"]]["gas_total"]
            for engine in ("scan", "index")
        )
        assert each["scan_to_index"] == round(scan / index, 2) > 1
    assert len(result["ratios"]) == 12
    assert [(g["from"], g["to"]) for g in result["growth"]] == [(50, 100), (50, 150)] * 4
    # The goals of filing.
    for filed in result["filing"]:
        assert 2_100 < filed["stayed"]["max"] <= 3_000
        assert 3_000 < filed["changed"]["mean"] <= filed["changed"]["max"] <= 110_000
    assert "scan : index" in done.output and "extrapolated" in done.output


def test_growth_is_told_from_a_thousand(script: Any) -> None:
    row = {"engine": "index", "score": "s", "side": "long", "victims": 1}
    rows = [row | {"accounts": 10**n, "gas_total": 90 + 10 * n} for n in (2, 3, 4, 5)]
    assert [(g["from"], g["to"], g["ratio"]) for g in script.growth(rows)] == [
        (1_000, 10_000, 1.083),
        (1_000, 100_000, 1.167),
    ]
    assert script.ratios(rows) == [] == script.extrapolated(rows, [10**6])
