"""`ape run crash`: what it prints, writes and returns, as a user meets it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from breakwater.artifacts import ROOT
from breakwater.ledger import InsolvencyError

needs_anvil = pytest.mark.skipif(
    shutil.which("anvil") is None, reason="anvil is not on PATH: npm install @foundry-rs/anvil"
)
SOURCE = (ROOT / "scenarios" / "two_winners.yaml").read_text()


def ape_run(*args: str) -> subprocess.CompletedProcess[str]:
    ape = Path(sys.executable).with_name("ape")
    environment = {**os.environ, "PATH": f"{ape.parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        [str(ape), "run", *args],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("crash_script", ROOT / "scripts" / "crash.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def crash(script: ModuleType) -> Any:
    return lambda *args: CliRunner().invoke(script.cli, [str(arg) for arg in args])


def scenario(folder: Path, old: str = "", new: str = "", name: str = "mine") -> Path:
    """two_winners with one thing changed."""
    text = SOURCE.replace("name: two_winners", f"name: {name}", 1)
    assert old in text
    path = folder / f"{name}.yaml"
    path.write_text(text.replace(old, new, 1) if old else text)
    return path


LAST_LINES = [
    "held - owed = 0",
    "token balance - held = 0, I4 difference = 0, uninsured = 0",
]


@pytest.mark.parametrize(
    ("network", "engine"),
    [
        ("ethereum:local:test", "revm"),
        pytest.param("ethereum:local:foundry", "anvil", marks=needs_anvil),
    ],
)
def test_the_command_tells_the_story_and_ends_with_the_solvency_lines(
    tmp_path: Path, network: str, engine: str
) -> None:
    done = ape_run("crash", "two_winners", "--network", network, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("1. set_price: the mark gaps down")
    assert lines[-4:-2] == LAST_LINES
    assert lines[-2] == f"report: {os.path.relpath(tmp_path / 'report.html', ROOT)}"
    assert lines[-1] == f"result: {os.path.relpath(tmp_path / 'result.json', ROOT)}"
    for words in ("ADL rank 1: daring closes 60 X at 90", "Waterfall of", "all hold"):
        assert words in done.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["scenario"], result["engine"]) == ("two_winners", engine)
    assert result["solvency"]["difference"] == "0"
    # Nothing is drawn over where nobody looks.
    assert "\x1b" not in done.stdout + done.stderr
    written = {"result.json", "report.html", "events.parquet", "events.csv", "waterfall.png"}
    assert written < set(os.listdir(tmp_path))
    # On a node that others can look at it says where; test_watch_page.py looks.
    if engine == "anvil":
        assert "watch it: ape run watch --rpc http://" in done.stderr
        venue = json.loads((tmp_path / "venue.json").read_text())
        assert venue["clearinghouse"].startswith("0x")
        assert set(venue["accounts"]) == {*result["accounts"]} - {"vault"}
    else:
        assert not (tmp_path / "venue.json").exists()


def test_quiet_leaves_the_solvency_lines(crash: Any, tmp_path: Path) -> None:
    done = crash("two_winners", "--quiet", "--out", tmp_path)
    assert done.exit_code == 0
    assert done.output.splitlines()[:-2] == LAST_LINES


def test_without_a_report_there_is_only_the_result(crash: Any, tmp_path: Path) -> None:
    done = crash("two_winners", "--quiet", "--no-report", "--out", tmp_path)
    assert done.output.splitlines()[:-1] == LAST_LINES
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_path_names_a_scenario_too(crash: Any, tmp_path: Path) -> None:
    done = crash(scenario(tmp_path), "--quiet", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out" / "result.json").read_text())["scenario"] == "mine"


def test_a_failed_expectation_is_named_and_the_result_is_there(crash: Any, tmp_path: Path) -> None:
    path = scenario(tmp_path, 'adl.fills[0].haircut: "300"', 'adl.fills[0].haircut: "301"')
    done = crash(path, "--out", tmp_path)
    assert done.exit_code == 1
    assert "1 of 19 FAILED" in done.output
    assert "Error: 1 of 19 expectations failed:" in done.output
    assert "  adl.fills[0].haircut: expected 301, found 300" in done.output
    assert json.loads((tmp_path / "result.json").read_text())["solvency"]["difference"] == "0"


BAD = {
    "unknown key": ("seed: 0", "sead: 0", "mine.yaml:5: sead: found the unknown key"),
    "wrong type": ("max_leverage: 20", 'max_leverage: "20"', "a whole number without quotes"),
    "unknown market": ("set_price: {X:", "set_price: {Y:", "the unknown market Y"),
    "off tick": ('price: "100"', 'price: "100.00001"', "off tick"),
    "too large": ('collateral: "1000"', 'collateral: "100"', "too little to open the positions"),
    "no expectations": ("expect:", "expect: {}\nsource:", "expect"),
}


@pytest.mark.parametrize(("old", "new", "words"), BAD.values(), ids=BAD)
def test_a_bad_scenario_gets_one_clear_error_and_no_result(
    crash: Any, tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = scenario(tmp_path, old, new)
    out = tmp_path / "out"
    out.mkdir()
    for name in ("result.json", "report.html", "events.csv", "events.parquet", "money.png"):
        (out / name).write_text("an older one")
    done = crash(path, "--out", out)
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: {path} has ")
    assert words in done.output
    assert "Traceback" not in done.output
    assert os.listdir(out) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("SetupError", "cannot be set up: loser cannot open"),
        ("InsolvencyError", "the ledger does not add up: LEDGER_1: held 3 - owed 2 = 1"),
        ("Reverted", "refused by the venue: oracle: too soon (in update)"),
    ],
)
def test_a_run_that_breaks_off_says_why_and_writes_nothing(
    script: ModuleType,
    crash: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: str,
    words: str,
) -> None:
    reverted = script.Reverted("oracle: too soon")
    reverted.add_note("in update")
    raised = {
        "SetupError": script.SetupError("loser cannot open 100 X"),
        "InsolvencyError": InsolvencyError("LEDGER_1: held 3 - owed 2 = 1"),
        "Reverted": reverted,
    }[error]

    def run(self: Any) -> None:
        raise raised

    monkeypatch.setattr(script.Crash, "run", run)
    done = crash("two_winners", "--out", tmp_path)
    assert done.exit_code == 1
    assert done.output.startswith("Error: ") and words in done.output
    assert os.listdir(tmp_path) == []


def test_an_unknown_scenario_gets_the_list_and_a_guess(crash: Any) -> None:
    done = crash("two_winer")
    assert done.exit_code == 2
    assert "there is no scenario two_winer. Did you mean two_winners? There are: " in done.output
    done = crash("no/such.yaml")
    assert done.exit_code == 2
    assert "there is no file no/such.yaml" in done.output


@pytest.mark.parametrize("network", ["ethereum:mainnet:node", "ethereum:local:node", "none"])
def test_only_a_chain_of_its_own_is_crashed(crash: Any, tmp_path: Path, network: str) -> None:
    done = crash("two_winners", "--network", network, "--out", tmp_path)
    assert done.exit_code == 2
    assert "a crash needs a chain of its own" in done.output
    assert "ethereum:local:foundry" in done.output
    assert os.listdir(tmp_path) == []


def test_help_shows_how(crash: Any) -> None:
    done = crash("--help")
    assert done.exit_code == 0
    assert "ape run crash atom_flash --network ethereum:local:foundry" in done.output
