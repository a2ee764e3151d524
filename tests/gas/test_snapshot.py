"""What the venue costs: the committed figures are those of this code, and the goals are met."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from breakwater import gas
from breakwater.engine.base import TX_GAS_LIMIT
from breakwater.engine.rpc import ANVIL_MISSING

needs_anvil = pytest.mark.skipif(shutil.which("anvil") is None, reason=ANVIL_MISSING)


@pytest.fixture(scope="module")
def found() -> gas.Snapshot:
    return gas.measure()


@pytest.fixture(scope="module")
def committed() -> gas.Snapshot:
    return gas.Snapshot.read()


@needs_anvil
def test_the_committed_figures_are_those_of_this_code(
    committed: gas.Snapshot, found: gas.Snapshot
) -> None:
    differing = "\n".join(str(row) for row in gas.compare(committed, found))
    assert not differing, f"if meant, `ape run gas --write`:\n{differing}"


def test_the_file_is_written_as_the_tool_writes_it(committed: gas.Snapshot) -> None:
    assert gas.SNAPSHOT.read_text() == committed.to_json()
    data = json.loads(gas.SNAPSHOT.read_text())
    assert list(data) == ["compiler", "evm", "anvil", "gas", "size"]
    assert list(data["gas"]) == sorted(data["gas"])


# The goals are asserted of the committed file, so they hold also where there is no anvil.


@pytest.mark.parametrize(("action", "limit"), gas.GOALS.items(), ids=gas.GOALS)
def test_a_goal_is_met_by_every_row_of_its_action(
    committed: gas.Snapshot, action: str, limit: int
) -> None:
    rows = {
        row: used
        for row, used in committed.gas.items()
        if row.startswith(action) and gas.goal(row) == limit
    }
    assert rows
    above = {row: used - limit for row, used in rows.items() if used > limit}
    assert not above, f"above {limit:,} by"


def test_every_action_fits_in_one_transaction(committed: gas.Snapshot) -> None:
    assert max(committed.gas.values()) <= TX_GAS_LIMIT


def test_every_contract_fits_the_code_limit(committed: gas.Snapshot) -> None:
    assert max(committed.size.values()) < gas.CODE_LIMIT


@pytest.mark.parametrize(
    ("few", "many"),
    [
        ("cancel_all: 1 open order", "cancel_all: 100 open orders"),
        (
            "place in a used book: among 10 accounts and levels",
            "place in a used book: among 200 accounts and levels",
        ),
    ],
)
def test_what_is_bounded_does_not_grow(committed: gas.Snapshot, few: str, many: str) -> None:
    assert committed.gas[few] == committed.gas[many]


def test_a_maker_more_costs_no_more_than_the_first(committed: gas.Snapshot) -> None:
    for change in ("opening", "adding to", "reducing", "closing"):
        one, five, twenty = (
            committed.gas[f"fill {count} maker{'s' if count > 1 else ''}: {change} both sides"]
            for count in (1, 5, 20)
        )
        assert five <= 5 * one
        assert twenty <= 20 * one


def test_a_comparison_names_every_row_that_differs(committed: gas.Snapshot) -> None:
    row = "cancel_all: 1 open order"
    other = dataclasses.replace(
        committed,
        anvil="0.0.1",
        gas={**committed.gas, row: committed.gas[row] + 1_000, "a new one": 5},
        size={name: size for name, size in committed.size.items() if name != "Lens"},
    )
    used = committed.gas[row]
    assert [str(found) for found in gas.compare(committed, other)] == [
        f"anvil: {committed.anvil} -> 0.0.1",
        f"gas: {row}: {used:,} -> {used + 1_000:,} (+1,000)",
        f"size: Lens: {committed.size['Lens']} -> nothing",
        "gas: a new one: nothing -> 5",
    ]
    assert gas.compare(committed, committed) == []


def test_what_is_above_a_goal_is_told_with_its_excess(committed: gas.Snapshot) -> None:
    other = dataclasses.replace(
        committed,
        gas={"fill 1 maker: at night": 300_001, "advance": TX_GAS_LIMIT + 2, "deposit": 9},
        size={"Lens": gas.CODE_LIMIT},
    )
    assert gas.missed(other) == [
        "advance: 16,777,218 gas, 2 above 16,777,216",
        "fill 1 maker: at night: 300,001 gas, 1 above 300,000",
        "Lens: 24,576 bytes, not below 24,576",
    ]
