"""Evaluates a scenario's ``expect`` block against a result.

Owns: the paths into a result, the comparisons, and what counts as well formed.
May not: run anything, change the result, or use floats.

A key is a dotted path with list indexes and ``length``: ``adl.fills[0].winner``,
``adl.fills.length``; ``[-1]`` is the last. A value is what must stand there, or a mapping of
comparisons of which all must hold:

    min, max    decimal, inclusive        not    anything but this
    contains    part of a text; an item of a list (a mapping matches an item that has at least
                these keys with these values, a text matches a text with it inside); a key of a
                mapping

Decimal strings and whole numbers compare as exact decimals ("12.50" is "12.5" is 12); everything
else compares as it is, lists as a whole.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from breakwater import units

MISSING: Final = "<missing>"
PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "scenario": (),
    "description": (),
    "source": (),
    "engine": (),
    "seed": (),
    "policy": ("score", "allocation", "close", "trigger"),
    "setup": (),
    "steps": (),
    "series": (),
    "accounts": (),
    "vault": ("assets", "depositors"),
    "liquidations": (),
    "bankruptcies": (),
    "adl": ("rounds", "fills", "hit", "winners", "gini", "queues", "queues_left_out"),
    "waterfall": (
        "liquidated",
        "backstopped",
        "insurance_paid",
        "adl_closed",
        "uninsured",
    ),
    "paid": ("margin", "insurance", "backstop", "winners", "winners_gained", "uninsured"),
    "start_state": (),
    "replay_differences": (),
    "solvency": (
        "held",
        "owed",
        "difference",
        "unaccounted",
        "i4_difference",
        "uninsured",
        "accounts",
        "checks",
        "event_checks",
    ),
    "transactions": ("path", "by_action"),
    "gas": (),
    "printed": (),
}
"""What a result consists of, and of what those of its parts that are the same in each."""
COMPARISONS: Final = ("min", "max", "not", "contains")

_SEGMENT = r"[A-Za-z0-9_-]+(?:\[-?[0-9]{1,9}\])*"
_PATH = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT})*")
_PART = re.compile(r"([A-Za-z0-9_-]+)|\[(-?[0-9]+)\]")


@dataclass(frozen=True)
class Check:
    """One expectation: its path, what was expected, what was found, and whether they agree."""

    path: str
    expected: Any
    found: Any
    ok: bool


def evaluate(expect: Mapping[str, Any], result: Mapping[str, Any]) -> list[Check]:
    """One Check per key of ``expect``, in order.

    A path that leads nowhere is a failed check with found = "<missing>", never an error. Raises
    ValueError for an empty block: a scenario that expects nothing proves nothing.
    """
    if not expect:
        raise ValueError("expect is empty: state at least one thing that must hold")
    return [_check(path, expected, result) for path, expected in expect.items()]


def problems(expect: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What is malformed in the block, as (key, what was found, what was expected)."""
    out: list[tuple[str, str, str]] = []
    for path, expected in expect.items():
        if (problem := path_problem(path)) is not None:
            out.append((str(path), *problem))
        if isinstance(expected, Mapping):
            if not expected:
                out.append((path, "an empty mapping", f"some of {', '.join(COMPARISONS)}"))
            for name, operand in expected.items():
                if name not in COMPARISONS:
                    out.append((path, f"the comparison {name}", f"one of {', '.join(COMPARISONS)}"))
                elif name in ("min", "max") and _decimal(operand) is None:
                    out.append((path, f"{name}: {operand!r}", f"a decimal string as {name}"))
    return out


def path_problem(path: object) -> tuple[str, str] | None:
    """What was found, and what was expected, where a path can be in no result; else None."""
    if not isinstance(path, str) or _PATH.fullmatch(path) is None:
        return f'the path "{path}"', "a path such as adl.fills[0].winner"
    wanted = _unknown(path)
    return None if wanted is None else (f'the path "{path}", which is in no result', wanted)


def _unknown(path: str) -> str | None:
    """What was expected of a path that leads nowhere in every result, else None.

    Only the first two names are known without a run: below them are accounts, markets, fills.
    """
    first, *others = (name for name, _ in _PART.findall(path) if name)
    known: Sequence[str] = tuple(PARTS)
    name, at = first, ""
    if first in PARTS:
        known = PARTS[first]
        if not known or not others or others[0] in (*known, "length"):
            return None
        name, at = others[0], f"{first}."
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f"perhaps {at}{near[0]}"
    return f"one that begins with {', '.join(at + one for one in known)}"


def find(path: str, result: Mapping[str, Any]) -> Any:
    """The value at ``path``, or ``MISSING`` if the path leads nowhere."""
    there, found = _lookup(path, result)
    return found if there else MISSING


def _check(path: str, expected: Any, result: Mapping[str, Any]) -> Check:
    there, found = _lookup(path, result)
    if not there:
        return Check(path, expected, MISSING, False)
    if isinstance(expected, Mapping):
        ok = bool(expected) and all(_compare(k, v, found) for k, v in expected.items())
    else:
        ok = _equal(expected, found)
    return Check(path, expected, found, ok)


def _lookup(path: object, result: Any) -> tuple[bool, Any]:
    """(True, the value at ``path``) or (False, None)."""
    if not isinstance(path, str) or _PATH.fullmatch(path) is None:
        return False, None
    here = result
    for name, index in _PART.findall(path):
        if index:
            position = int(index)
            if not _is_list(here) or not -len(here) <= position < len(here):
                return False, None
            here = here[position]
        elif isinstance(here, Mapping) and name in here:
            here = here[name]
        elif name == "length" and (isinstance(here, Mapping) or _is_list(here)):
            here = len(here)
        else:
            return False, None
    return True, here


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _decimal(value: object) -> Decimal | None:
    """``value`` as an exact decimal if it is decimal text or a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and units.is_decimal(value):
        return Decimal(value)
    return None


def _equal(expected: Any, found: Any) -> bool:
    left, right = _decimal(expected), _decimal(found)
    if left is not None and right is not None:
        return left == right
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return expected.keys() == found.keys() and all(
            _equal(expected[key], found[key]) for key in expected
        )
    if _is_list(expected) and _is_list(found):
        return len(expected) == len(found) and all(
            _equal(a, b) for a, b in zip(expected, found, strict=True)
        )
    # bool is an int to Python: without the types, true would equal 1
    return isinstance(expected, bool) == isinstance(found, bool) and bool(expected == found)


def _compare(name: str, operand: Any, found: Any) -> bool:
    if name == "not":
        return not _equal(operand, found)
    if name == "contains":
        return _contains(operand, found)
    bound, value = _decimal(operand), _decimal(found)
    if bound is None or value is None:
        return False
    if name == "min":
        return value >= bound
    return name == "max" and value <= bound


def _contains(operand: Any, found: Any) -> bool:
    if isinstance(found, str):
        return isinstance(operand, str) and operand in found
    if isinstance(found, Mapping):
        return isinstance(operand, str) and operand in found
    return _is_list(found) and any(_matches(operand, item) for item in found)


def _matches(operand: Any, item: Any) -> bool:
    if isinstance(operand, Mapping) and isinstance(item, Mapping):
        return all(key in item and _equal(want, item[key]) for key, want in operand.items())
    if _equal(operand, item):
        return True
    return isinstance(operand, str) and isinstance(item, str) and operand in item
