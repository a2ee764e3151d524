"""report.html as a file: complete, self-contained, and every figure equal to result.json.

Read by an HTML parser, so that this is tested where there is no browser too.
"""

from __future__ import annotations

import copy
import importlib.util
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from breakwater.artifacts import ROOT
from breakwater.report import clear, files, page, plots
from tests.report.reading import MAIN, Figures, wrong

NAMES = [path.stem for path in sorted((ROOT / "scenarios").glob("*.yaml"))]


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_on_the_page_is_the_results(crashed: Any, name: str) -> None:
    result = crashed(name)[1]
    text = page.of_run(result)
    read = Figures(text)
    assert wrong(read.figures, result) == []
    assert {*MAIN} <= {path for path, _, _ in read.figures}
    assert len(text) < 5_000_000


def test_a_wrong_figure_would_be_found(crashed: Any) -> None:
    result = crashed("two_winners")[1]
    other = copy.deepcopy(result)
    other["adl"]["fills"][0]["haircut"] = "300.000001"
    found = wrong(Figures(page.of_run(result)).figures, other)
    assert found == [
        "adl.fills[0].haircut: the page has '300', the result '300.000001'",
        "adl.fills[0].haircut: the page shows '300' for '300'",
    ]


def test_all_receipts_places_and_accounts_are_there(crashed: Any) -> None:
    result = crashed("atom_flash")[1]
    paths = {path for path, _, _ in Figures(page.of_run(result)).figures}
    for i in range(len(result["adl"]["fills"])):
        for key in ("rank", "size", "price", "quote", "score", "haircut", "bankruptcy_price"):
            assert f"adl.fills[{i}].{key}" in paths
    for i, queue in enumerate(result["adl"]["queues"]):
        for j in range(len(queue["before"])):
            for key in ("rank", "score", "size", "equity"):
                assert f"adl.queues[{i}].before[{j}].{key}" in paths
            for key in ("rank", "size", "equity"):
                assert f"adl.queues[{i}].after[{j}].{key}" in paths
    for name in result["accounts"]:
        assert f"accounts.{name}.equity" in paths


def test_the_page_needs_nothing_from_outside(crashed: Any) -> None:
    text = page.of_run(crashed("atom_flash")[1])
    read = Figures(text)
    # Within the page, or the empty icon: nothing is fetched.
    assert [a for a in read.addresses if not a.startswith(("#", "data:,"))] == []
    assert not {"script", "iframe", "img", "object", "embed"} & set(read.tags)
    assert "@import" not in text and "url(http" not in text
    assert len(read.ids) == len(set(read.ids))
    assert "var(--ink)" in text and "prefers-color-scheme:dark" in text and "@media print" in text
    # No colour of a drawing is fixed: each follows the scheme.
    assert not any(marker in text for marker in plots._MARKERS.values())


def test_the_story_in_one_paragraph(crashed: Any) -> None:
    assert page.story(crashed("two_winners")[1]).count("<data") == 6
    words = _words(page.story(crashed("atom_flash")[1]))
    assert words == (
        "The mark of ATOM went from 1.75 to 1.3 USDC (-25.7%). 3 accounts fell below maintenance, "
        "and 5,825.03148 USDC of positions went into the book. The insurance vault paid "
        "299.999901 of 300 USDC. 2 accounts went bankrupt (long_late and long_mid). ADL closed 4 "
        "winners in 2 rounds for 6,510.334299 USDC; hardest hit was short_a, who gave up "
        "333.529799 USDC, 32.699% of its equity. No loss is left unpaid. What the venue holds less "
        "what it owes is 0 USDC, checked 120 times."
    )


def _words(text: str) -> str:
    return re.sub(r"<[^>]*>", "", text)


def test_pictures_say_in_words_what_they_show(crashed: Any) -> None:
    drawn = {plot.name: plot for plot in plots.of_run(crashed("atom_flash")[1])}
    assert list(drawn) == ["price-ATOM", "money", "open-interest", "waterfall", "haircuts"]
    assert drawn["waterfall"].alt == (
        "Who paid for the losses, USDC: their own margin 1364.63432, backstop 0, insurance "
        "299.999901, ADL winners 1083.529799, nobody: uninsured 0"
    )
    svg = drawn["waterfall"].svg()
    assert 'role="img"' in svg and "1,083.529799" in svg
    assert svg == drawn["waterfall"].svg()


def test_a_hostile_scenario_cannot_write_markup(crashed: Any) -> None:
    result = copy.deepcopy(crashed("two_winners")[1])
    evil = "<script>alert(1)</script>&\"'"
    result["scenario"] = result["description"] = result["source"] = evil
    result["steps"][0]["note"] = result["steps"][0]["refused"] = evil
    result["adl"]["hit"][0]["account"] = result["adl"]["fills"][0]["winner"] = evil
    result["adl"]["queues"][0]["before"][0]["account"] = evil
    result["bankruptcies"][0]["account"] = evil
    result["accounts"][evil] = result["accounts"].pop("careful")
    text = page.of_run(result)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "script" not in Figures(text).tags


def test_long_lists_are_cut_and_say_so(crashed: Any) -> None:
    result = copy.deepcopy(crashed("two_winners")[1])
    result["adl"]["fills"] *= 600
    result["adl"]["queues"] *= 60
    result["accounts"] |= {f"extra{i}": result["accounts"]["loser"] for i in range(2_000)}
    result["adl"]["queues_left_out"] = 7
    text = page.of_run(result)
    read = Figures(text)
    assert wrong(read.figures, result) == []
    assert "1000 more in result.json and events.csv" in text
    assert "The queues of 40 further rounds are in result.json." in text
    assert "7 rounds had no queue recorded." in text
    assert len(text) < 1_000_000


def test_an_unpaid_loss_and_a_broken_ledger_stand_out(crashed: Any) -> None:
    result = copy.deepcopy(crashed("two_winners")[1])
    assert 'class="bad"' not in page.of_run(result)
    result["waterfall"]["uninsured"] = "12.5"
    text = page.of_run(result)
    assert text.count('class="bad"') == 1
    assert '<data value="12.5" data-path="waterfall.uninsured">12.5</data> USDC are left' in text
    result["solvency"]["difference"] = "-0.000001"
    assert page.of_run(result).count('class="bad"') == 2


def test_a_run_in_which_nothing_happens_has_a_page(crashed: Any) -> None:
    result = copy.deepcopy(crashed("two_winners")[1])
    result["adl"] |= {"fills": [], "rounds": [], "hit": [], "queues": []}
    result["bankruptcies"] = result["liquidations"] = []
    for key in result["paid"]:
        result["paid"][key] = "0"
    text = page.of_run(result)
    assert "No winner was closed." in text and "Nobody went bankrupt." in text
    assert wrong(Figures(text).figures, result) == []


def test_files_are_written_and_cleared(crashed: Any, tmp_path: Path) -> None:
    crash, result = crashed("two_winners")
    files.write_page(tmp_path, result)
    files.write_tables(tmp_path, crash.records, crash.names, ["X"])
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    names = {path.name for path in tmp_path.iterdir()}
    assert {"report.html", "events.csv", "events.parquet", "price-X.png", "money.png"} <= names
    for picture in tmp_path.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG\r\n")
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_report_is_drawn_again_from_the_result_alone(crashed: Any, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("report_script", ROOT / "scripts" / "report.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    target = tmp_path / "result.json"
    target.write_text(json.dumps(crashed("two_winners")[1]))
    done = CliRunner().invoke(script.cli, [str(target)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "report.html").read_text() == page.of_run(crashed("two_winners")[1])
    # For a paper: drawings that scale, with nothing in them that another run would not have.
    drawn = []
    for _ in range(2):
        asked = [str(target), "--format", "svg", "--format", "pdf"]
        done = CliRunner().invoke(script.cli, asked)
        assert done.exit_code == 0, done.output
        drawn.append([(tmp_path / f"waterfall.{form}").read_bytes() for form in ("svg", "pdf")])
    assert drawn[0] == drawn[1]
    assert drawn[0][0].startswith(b"<svg") and drawn[0][1].startswith(b"%PDF")
    target.write_text("{}")
    done = CliRunner().invoke(script.cli, [str(target)])
    assert done.exit_code == 1 and "is no result of this version" in done.output
    done = CliRunner().invoke(script.cli, ["no_such_run"])
    assert done.exit_code == 1 and "run the crash first" in done.output
    done = CliRunner().invoke(script.cli, ["compare/no_such_run"])
    assert done.exit_code == 1 and "compare it first" in done.output


def test_readings_close_to_each_other_do_not_share_a_place(crashed: Any) -> None:
    result = json.loads(json.dumps(crashed("atom_flash")[1]))
    series = result["series"]
    # A path of many steps: no more ticks than there is room for, and the last has its own.
    ends = [at for at, when in enumerate(series["when"]) if when == "end"]
    last = ends[-1]
    for _ in range(60):
        for column in ("step", "when", "timestamp", "vault", "below_zero", "uninsured"):
            series[column].append(series[column][last])
        for market in series["markets"].values():
            for column in market.values():
                column.append(column[last])
    svg = next(plot for plot in plots.of_run(result) if plot.name == "money").draw(plots._LIGHT)
    axes = svg.axes[-1]
    ticks = sorted(axes.get_xticks())
    assert ticks[-1] == len(series["when"]) - 1
    room = plots._right(series) / plots.MAX_TICKS
    assert all(b - a >= room for a, b in itertools.pairwise(ticks))
