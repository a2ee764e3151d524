"""What a run records beside its outcome, against figures made by hand and against the chain."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from breakwater.artifacts import ROOT
from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.engine.rpc import start_anvil
from breakwater.report import record
from breakwater.scenario import load

# The figures of two_winners are derived in the comment of its file.


def test_the_series_has_the_mark_and_the_hole_before_anybody_acts(crashed: Any) -> None:
    series = crashed("two_winners")[1]["series"]
    assert series["when"] == ["end", "prices", "end"]
    assert series["step"] == [-1, 0, 0]
    assert series["markets"]["X"] == {
        "oracle": ["100", "85", "85"],
        "mark": ["100", "85", "85"],
        "previous_mark": ["100", "100", "100"],
        # loser's 100 and the maker's 20; the maker's are left.
        "open_interest": ["120", "120", "20"],
    }
    # 1,000 - 100 * 15.
    assert series["below_zero"] == ["0", "500", "0"]
    assert series["uninsured"] == series["vault"] == ["0", "0", "0"]


def test_the_vault_runs_dry_in_the_series(crashed: Any) -> None:
    series = crashed("atom_flash")[1]["series"]
    assert series["vault"] == ["300", "300", "300", "300", "0.000099", "0.000099"]
    # At 1.3: long_late 704 - 4,000 * 0.46 = -1,136 and long_mid 690 - 3,000 * 0.48 = -750.
    assert series["below_zero"] == ["0", "0", "0", "1886", "0", "0"]
    assert series["markets"]["ATOM"]["open_interest"][0] == "8000"


def test_who_was_hit_and_what_it_cost(crashed: Any) -> None:
    adl = crashed("two_winners")[1]["adl"]
    assert adl["hit"] == [
        {
            "account": "daring",
            "markets": ["X"],
            "fills": 1,
            "haircut": "300",
            "equity_before": "1500",
            "profit_before": "900",
            "of_equity": "0.2",
            "of_profit": "0.333333",
        },
        {
            "account": "careful",
            "markets": ["X"],
            "fills": 1,
            "haircut": "200",
            "equity_before": "6900",
            "profit_before": "900",
            "of_equity": "0.028986",
            "of_profit": "0.222222",
        },
    ]
    # (300 - 200) / (2 * 500) over the two winners.
    assert (adl["gini"], adl["winners"]) == ("0.1", 2)


def test_the_queue_before_and_after_the_round(crashed: Any) -> None:
    (queue,) = crashed("two_winners")[1]["adl"]["queues"]
    assert (queue["round"], queue["side"], queue["mark"]) == (1, "short", "85")
    assert (queue["winners_before"], queue["winners_after"]) == (2, 1)
    assert [
        (one["account"], one["rank"], one["light"], one["score"]) for one in queue["before"]
    ] == [("daring", 1, 5, "4"), ("careful", 2, 3, "0.869565217391304347")]
    daring, careful = queue["after"]
    assert (daring["rank"], daring["light"], daring["size"], daring["equity"]) == (
        None,
        0,
        "0",
        "1200",
    )
    # 6,400 in cash and 20 * 15 of profit; 2,000 / 6,700.
    assert (careful["rank"], careful["light"], careful["size"]) == (1, 5, "-20")
    assert (careful["equity"], careful["score"]) == ("6700", "0.298507462686567164")


def test_the_queue_is_the_order_in_which_the_chain_took_them(crashed: Any) -> None:
    adl = crashed("atom_flash")[1]["adl"]
    assert len(adl["queues"]) == len(adl["rounds"]) == 2
    for queue in adl["queues"]:
        fills = [fill for fill in adl["fills"] if fill["round"] == queue["round"]]
        best = queue["before"][: len(fills)]
        assert [(one["account"], one["score"]) for one in best] == [
            (fill["winner"], fill["score"]) for fill in fills
        ]


def test_who_paid(crashed: Any) -> None:
    assert crashed("two_winners")[1]["paid"] == {
        "margin": "1000",
        "insurance": "0",
        "backstop": "0",
        "winners": "500",
        "winners_gained": "0",
        "uninsured": "0",
    }
    # At 1.75 the longs have 130, 600 and 664; long_early keeps 29.36568.
    paid = crashed("atom_flash")[1]["paid"]
    assert paid["margin"] == "1364.63432"
    assert (paid["insurance"], paid["winners"]) == ("299.999901", "1083.529799")


@pytest.mark.parametrize(
    "name", [path.stem for path in sorted((ROOT / "scenarios").glob("*.yaml"))]
)
def test_the_replay_ends_where_the_chain_does(crashed: Any, name: str) -> None:
    crash, result = crashed(name)
    assert result["replay_differences"] == []
    assert crash.recorder.differences() == []


def test_a_replay_that_drifted_says_so() -> None:
    crash = Crash(load(ROOT / "scenarios" / "two_winners.yaml"), RevmEngine())
    crash.run()
    crash.recorder.state.accounts[crash.account_ids["careful"]].cash += 1
    assert crash.recorder.differences() == [
        f"equity of account {crash.account_ids['careful']}: 6700000001, the chain says 6700000000"
    ]


def test_the_start_state_tells_runs_apart(crashed: Any, tmp_path: Any) -> None:
    text = (ROOT / "scenarios" / "two_winners.yaml").read_text()
    path = tmp_path / "two_winners.yaml"
    path.write_text(text.replace('collateral: "6000"', 'collateral: "6000.000001"'))
    other = Crash(load(path, short=True), RevmEngine())
    other.run()
    ours = crashed("two_winners")[0].recorder.start_state
    assert len(ours) == 64
    assert other.recorder.start_state != ours


@pytest.mark.skipif(shutil.which("anvil") is None, reason="anvil is not on PATH")
def test_both_engines_record_the_same(crashed: Any) -> None:
    ours = crashed("two_winners")[1]
    with start_anvil() as devnet:
        theirs = Crash(load(ROOT / "scenarios" / "two_winners.yaml"), devnet).run()
    for part in ("series", "adl", "paid", "start_state", "transactions"):
        assert ours[part] == theirs[part], part
    assert theirs["gas"]["adl_total"] >= 2 * theirs["gas"]["adl_per_fill"] > 0


@pytest.mark.parametrize(
    ("count", "lights"),
    [
        (1, [5]),
        (2, [5, 3]),
        (5, [5, 4, 3, 2, 1]),
        (6, [5, 5, 4, 3, 2, 1]),
        (10, [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]),
    ],
)
def test_lights_go_by_fifths(count: int, lights: list[int]) -> None:
    assert [record.light(rank, count) for rank in range(1, count + 1)] == lights


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 3, "0.333333"),
        (2, 3, "0.666667"),
        (-1, 3, "-0.333333"),
        (-2, 3, "-0.666667"),
        (1, 2_000_000, "0.000001"),
        (1, 2_000_001, "0"),
        (7, 7, "1"),
        (1, 0, None),
        (1, -5, None),
    ],
)
def test_shares_are_rounded_to_six_places(part: int, whole: int, text: str | None) -> None:
    assert record.share(part, whole) == text


def test_a_long_series_is_thinned_but_keeps_ends_and_the_largest_hole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(record, "MAX_POINTS", 4)
    # A slow bleed: the mark falls by 1% in each epoch.
    scenario = load(ROOT / "scenarios" / "two_winners.yaml")
    venue = scenario.venue.model_copy(update={"max_step": "0.01"})
    crash = Crash(scenario.model_copy(update={"venue": venue}), RevmEngine())
    result = crash.run()
    series = result["series"]
    assert series["when"].count("prices") <= 4
    assert series["every"] > 1
    assert (series["when"][0], series["when"][-1]) == ("end", "end")
    assert result["steps"][0]["epochs"] > 10
    columns = [series[key] for key in ("step", "timestamp", "vault", "below_zero", "uninsured")]
    assert {len(column) for column in columns} == {len(series["when"])}


def test_rounds_beyond_the_limit_are_counted_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MAX_QUEUES", 1)
    adl = Crash(load(ROOT / "scenarios" / "atom_flash.yaml"), RevmEngine()).run()["adl"]
    assert len(adl["queues"]) == 1
    assert adl["queues_left_out"] == 1
    assert len(adl["hit"]) == 4
