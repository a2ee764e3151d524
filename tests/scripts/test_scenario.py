"""`ape run scenario`: new, check, list, show, and the schema that editors complete by."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from breakwater import expect
from breakwater.artifacts import ROOT
from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.scenario import json_schema, load

SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scenario", ROOT / "scripts" / "scenario.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script: ModuleType, *args: object) -> Result:
    return CliRunner().invoke(script.cli, [str(arg) for arg in args])


def test_a_new_scenario_runs_as_it_is(script: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert run(script, "new", path).exit_code == 0
    scenario = load(path)
    assert scenario.name == "mine"
    result = Crash(scenario, RevmEngine()).run()
    assert [c for c in expect.evaluate(scenario.expected, result) if not c.ok] == []
    again = run(script, "new", path)
    assert again.exit_code == 1 and "is there already" in again.output
    assert "no folder" in run(script, "new", tmp_path / "nowhere" / "x.yaml").output


def test_check_names_file_line_and_key(script: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    run(script, "new", path)
    assert run(script, "check", path).exit_code == 0
    path.write_text(path.read_text().replace("max_leverage", "max_levrage"))
    result = run(script, "check", path)
    assert result.exit_code == 1
    line = 1 + path.read_text().splitlines().index(
        '  X: {size_decimals: 2, max_levrage: 20, price: "100"}'
    )
    assert f"{path}:{line}: markets.X.max_levrage: found the unknown key" in result.output
    assert "did you mean max_leverage?" in result.output and "0 of 1 good" in result.output


def test_list_has_every_scenario(script: ModuleType) -> None:
    lines = run(script, "list").output.splitlines()
    assert [line.split()[0] for line in lines] == [path.stem for path in SCENARIOS]
    engines = {line.split()[0]: line.split()[1] for line in lines}
    # Three accounts; 63 in the short form.
    assert (engines["two_winners"], engines["percolator_flash"]) == ("both", "revm+")
    assert set(engines.values()) <= {"both", "both+", "revm", "revm+"}


def test_show_draws_the_path_and_the_accounts(script: ModuleType) -> None:
    result = run(script, "show", "percolator_flash", "--short")
    assert result.exit_code == 0
    assert "BTC, 15 steps" in result.output and "60000 │█" in result.output
    assert "36000 │" in result.output and "retail" in result.output
    # witness: 0.1 at 60,000 with 735 USDC, which is 7,350 for each
    assert re.search(r"witness +735 +BTC +0.1 +60000 +8.2x +52650", result.output)


# ---- the schema


def test_the_committed_schema_is_current(script: ModuleType) -> None:
    committed = (ROOT / "scenarios" / "schema.json").read_text()
    assert json.loads(committed) == json_schema(), "ape run scenario schema --write"
    assert run(script, "schema").output == committed


def accepts(schema: dict[str, Any], part: Any, value: Any) -> bool:
    """What of JSON Schema the format's own uses."""
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return accepts(schema, schema["$defs"][name], value)
    if "anyOf" in part and not any(accepts(schema, option, value) for option in part["anyOf"]):
        return False
    if "oneOf" in part and sum(accepts(schema, o, value) for o in part["oneOf"]) != 1:
        return False
    if "enum" in part and value not in part["enum"]:
        return False
    if "const" in part and value != part["const"]:
        return False
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    kind = part.get("type")
    if kind is not None:
        if not isinstance(value, kinds[kind]):
            return False
        if kind == "integer" and isinstance(value, bool):
            return False
    if isinstance(value, dict):
        known = part.get("properties", {})
        if any(key not in value for key in part.get("required", [])):
            return False
        more = part.get("additionalProperties", True)
        named = part.get("patternProperties", {})
        for key, item in value.items():
            inner = known.get(key, more)
            for pattern, model in named.items():
                inner = model if re.search(pattern, key) else inner
            if inner is False or (inner is not True and not accepts(schema, inner, item)):
                return False
    if isinstance(value, list):
        if not part.get("minItems", 0) <= len(value) <= part.get("maxItems", 10**9):
            return False
        return all(accepts(schema, part.get("items", {}), item) for item in value)
    if isinstance(value, str) and "pattern" in part and not re.search(part["pattern"], value):
        return False
    if isinstance(value, int):
        return part.get("minimum", -(10**30)) <= value <= part.get("maximum", 10**30)
    return True


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_schema_accepts_every_scenario(path: Path) -> None:
    schema = json_schema()
    assert accepts(schema, schema, YAML(typ="safe").load(path.read_text()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max_leverage: 20", 'max_leverage: "20"'),
        ("max_leverage: 20", "max_levrage: 20"),
        ('collateral: "1000"', "collateral: 10.5"),
        ('collateral: "1000"', "collateral: null"),
        ("close: bankruptcy", "close: mark_up"),
        ('{set_price: {X: "85"}', '{set_price: {X: "85"}, wait: 5'),
        ('{set_price: {X: "85"}, note', "{note"),
    ],
)
def test_the_schema_refuses_what_the_format_refuses(
    script: ModuleType, tmp_path: Path, old: str, new: str
) -> None:
    path = tmp_path / "mine.yaml"
    run(script, "new", path)
    text = path.read_text()
    assert text.count(old) == 1
    schema = json_schema()
    assert accepts(schema, schema, YAML(typ="safe").load(text))
    assert not accepts(schema, schema, YAML(typ="safe").load(text.replace(old, new)))
