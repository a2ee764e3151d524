"""docs/adl-order.md quotes a line of code for each step of its argument and a test for each attack:
every one of them is still there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "adl-order.md").read_text()
QUOTE = re.compile(
    r"^> \[`(?P<path>[^`]+)`\]\(\.\./(?P=path)\) `(?P<function>\w+)`: `(?P<line>.+)`$"
)


def body(source: str, function: str) -> list[str]:
    """The lines of one function of a contract, without indentation; nothing if it is not there."""
    found = re.search(rf"^def {function}\(.*?(?=^@|^def |^# ---|\Z)", source, re.M | re.S)
    return [line.strip() for line in found[0].splitlines()] if found else []


def test_every_quoted_line_is_in_the_code() -> None:
    quoted = [line for line in PAGE.splitlines() if line.startswith("> [")]
    assert len(quoted) >= 30
    for text in quoted:
        found = QUOTE.match(text)
        assert found, f"not a quotation: {text}"
        lines = body((ROOT / found["path"]).read_text(), found["function"])
        assert found["line"] in lines, f"{found['path']} {found['function']}: {found['line']}"


def test_every_step_has_its_line() -> None:
    """The steps are numbered without a gap, and each quotes something."""
    steps = re.split(r"^\*\*(\d+)\. ", PAGE, flags=re.M)
    assert [int(number) for number in steps[1::2]] == list(range(1, len(steps) // 2 + 1))
    for number, text in zip(steps[1::2], steps[2::2], strict=True):
        assert "\n> [" in text.split("\n## ")[0], f"step {number} quotes nothing"


def test_every_named_test_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)?::(\w+)`", PAGE)
    assert len(named) >= 25
    path = ""
    for where, test in named:
        path = where or path
        assert f"def {test}(" in (ROOT / path).read_text(), f"{path}::{test}"


def test_a_changed_line_is_noticed() -> None:
    source = "def one(\n    a: uint256,\n):\n    b = 1\n\n\n@view\ndef two():\n    c = 2\n"
    assert "b = 1" in body(source, "one")
    assert "c = 2" not in body(source, "one")
    assert body(source, "three") == []
