"""Shapes of price paths and quoted books: whole ticks, worked out by hand."""

from __future__ import annotations

import itertools
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from breakwater.paths import Prices, Profile, points, quotes
from breakwater.seeds import generator
from breakwater.units import MAX_TICKS, UnitError

START = 100_000
"""100 USDC where a tick is 0.001."""


def path(seed: int = 0, short: bool = False, folder: Path = Path("."), **shape: Any) -> list[int]:
    prices = Prices.model_validate({"market": "X", **shape})
    return points(prices, START, 3, generator(seed, "path[0]"), folder, short)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"gap": {"by": "-0.4"}}, [60_000]),
        ({"line": {"to": "90", "steps": 4}}, [97_500, 95_000, 92_500, 90_000]),
        # 100 * 0.25^(1/2) = 50
        ({"bleed": {"by": "-0.75", "steps": 2}}, [50_000, 25_000]),
        (
            {"staircase": {"by": "-0.1", "stairs": 2, "hold": 1}},
            [90_000, 90_000, 81_000, 81_000],
        ),
        ({"wick": {"by": "-0.5", "out": 2, "back": 1}}, [75_000, 50_000, 100_000]),
        # 64 is reached over 80: the same factor twice
        ({"anchors": {"points": [["2", "64"], ["1", "70.5"]]}}, [80_000, 64_000, 70_500]),
        # half a tick rounds up: 100,000 * 0.000015 = 1.5
        ({"gap": {"by": "-0.999985"}}, [2]),
        # never below a tick, never above the largest
        ({"gap": {"by": "-0.999999"}}, [1]),
        ({"bleed": {"by": "9", "steps": 1}}, [1_000_000]),
    ],
)
def test_a_shape_gives_these_ticks(shape: dict[str, Any], expected: list[int]) -> None:
    assert path(**shape) == expected


def test_the_short_form_has_fewer_steps_and_the_same_end() -> None:
    shape = {"line": {"to": "50", "steps": 500}, "short_steps": 5}
    assert len(path(**shape)) == 500
    assert path(short=True, **shape) == [90_000, 80_000, 70_000, 60_000, 50_000]


def test_jumps_come_from_the_seed_alone() -> None:
    shape = {"jumps": {"steps": 50, "volatility": "0.01", "jump_chance": "0.1", "jump": "-0.2"}}
    assert path(seed=1, **shape) == path(seed=1, **shape)
    assert path(seed=1, **shape) != path(seed=2, **shape)
    prices = [START, *path(seed=1, **shape)]
    falls = [after / before for before, after in itertools.pairwise(prices)]
    assert min(falls) < 0.86 and sum(fall < 0.86 for fall in falls) < 20
    # The stream is pinned: another numpy or another machine must give these very prices.
    assert path(seed=1, jumps={"steps": 3, "volatility": "0.01"}) == PINNED


PINNED = [99_784, 99_152, 98_810]


def test_a_csv_gives_its_column(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("# source\ntime,close\n0,99.5\n1,98\n")
    assert path(folder=tmp_path, csv={"file": "p.csv", "column": "close"}) == [99_500, 98_000]
    with pytest.raises(ValueError, match="no column price"):
        path(folder=tmp_path, csv={"file": "p.csv"})
    (tmp_path / "p.csv").write_text("price\n99.55555\n")
    with pytest.raises(ValueError, match="off tick"):
        path(folder=tmp_path, csv={"file": "p.csv"})


@pytest.mark.parametrize(
    ("content", "words", "wanted"),
    [
        (b"", "p.csv: no column price", "a header"),
        (b"time,close\n", "p.csv: no column price", "it has time, close"),
        (b"price\n", "p.csv: 0 prices", "1 to 20000"),
        (b"# source\nday,price\n1,99\n\n2\n", 'p.csv:5: price "" is not plain', "decimal string"),
        (b"price\n99\n-3\n", "p.csv:3: price -3 is below one tick", "at least 0.001"),
        (b"price\n\xff\n", "p.csv: not UTF-8 text", "a csv file"),
    ],
)
def test_a_csv_error_names_file_and_line(
    content: bytes, words: str, wanted: str, tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(UnitError, match=re.escape(words)) as refused:
        path(folder=tmp_path, csv={"file": "p.csv"})
    assert wanted in refused.value.expected


def test_a_price_out_of_this_world_stays_at_the_last_tick() -> None:
    steep = {"steps": 500, "drift": "5", "volatility": "0"}
    assert path(jumps=steep)[-1] == MAX_TICKS
    assert path(jumps=steep | {"drift": "-5"})[-1] == 1


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"gap": {"by": "-0.1"}, "line": {"to": "1", "steps": 1}},
        {"gap": {"by": "-1"}},
        {"gap": {"by": "11"}},
        {"line": {"to": "50", "steps": 0}},
        {"gap": {"by": "-0.1"}, "short_steps": 3},
    ],
)
def test_what_is_no_shape_is_refused(shape: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        path(**shape)


def test_a_profile_thins_out_around_the_middle() -> None:
    profile = Profile(spread="0.002", gap="0.001", levels=3, size="10", thins="0.5")
    bids, asks = quotes(profile, START, 10_000, 0)
    assert bids == [(99_900, 10_000), (99_800, 5_000), (99_700, 2_500)]
    assert asks == [(100_100, 10_000), (100_200, 5_000), (100_300, 2_500)]
    # Half the size; what is below the smallest order is left out: 2,500 * 99.8 ticks = 0.2495 USDC.
    bids, _ = quotes(profile, START, 10_000, 300_000_000, Decimal("0.5"))
    assert bids == [(99_900, 5_000)]
    assert quotes(profile, START, 10_000, 0, Decimal(0)) == ([], [])


def test_a_narrow_profile_never_crosses_itself() -> None:
    for middle in (1, 2, 3, 7, 1_000):
        bids, asks = quotes(Profile(spread="0", gap="0", levels=2, size="1"), middle, 1, 0)
        assert all(bid < ask for bid, _ in bids for ask, _ in asks)
