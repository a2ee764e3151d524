"""The expect block: paths into a result, comparisons, and the tables that show them."""

import copy

import pytest
from rich.console import Console

from breakwater import expect, show
from breakwater.expect import MISSING, Check

RESULT = {
    "scenario": "two_winners",
    "engine": "revm",
    "steps": [
        {"index": 0, "events": ["mark ATOM 1.2", "adl short_a closed 3"]},
        {"index": 1, "events": []},
    ],
    "accounts": {
        "long_a": {"cash": "12.50", "equity": "-1234567.25", "positions": {}},
        "short_a": {
            "cash": "1000",
            "equity": "1012.000001",
            "positions": {
                "ATOM": {"size": "-100", "entry": "1.8"},
                "BTC": {"size": "0.001", "entry": "90000"},
            },
        },
    },
    "adl": {
        "rounds": [{"round": 1, "market": "ATOM"}],
        "fills": [
            {"round": 1, "rank": 1, "winner": "short_a", "market": "ATOM", "size": "60",
             "price": "1.687499999999", "score": "12.5", "haircut": "3.2"},
            {"round": 1, "rank": 2, "winner": "short_b", "market": "ATOM", "size": "1234.5",
             "price": "1.6875", "score": "9", "haircut": "-0.000001"},
        ],
    },
    "waterfall": {
        "liquidated": "14000.123456", "backstopped": "0", "insurance_paid": "1",
        "adl_closed": "2500", "uninsured": "0",
    },
    "solvency": {
        "difference": "0", "unaccounted": "0", "i4_difference": "0", "uninsured": "0", "ok": True
    },
    "gas": {"by_action": {}, "max_tx": None},
}  # fmt: skip

HOLDS = [
    ("accounts.long_a.cash", "12.5"),
    ("accounts.long_a.cash", "12.500000"),
    ("accounts.short_a.cash", 1000),
    ("adl.fills[0].winner", "short_a"),
    ("adl.fills[-1].winner", "short_b"),
    ("adl.fills.length", 2),
    ("adl.fills.length", "2"),
    ("accounts.length", 2),
    ("steps[1].events", []),
    ("steps[1].events.length", 0),
    ("gas.max_tx", None),
    ("gas.by_action.length", 0),
    ("solvency.ok", True),
    ("solvency.difference", "0"),
    ("solvency.difference", "-0.00"),
    ("steps[0].events", ["mark ATOM 1.2", "adl short_a closed 3"]),
    ("adl.rounds", [{"round": "1", "market": "ATOM"}]),
    ("adl.fills[0].score", {"min": "12.5", "max": "12.5"}),
    ("adl.fills[0].score", {"min": 12, "not": "12"}),
    ("adl.fills[0].winner", {"not": "short_b"}),
    ("scenario", {"contains": "two"}),
    ("steps[0].events", {"contains": "adl short_a"}),
    ("adl.fills", {"contains": {"winner": "short_b", "size": "1234.50"}}),
    ("accounts", {"contains": "long_a"}),
]
FAILS = [
    ("accounts.long_a.cash", "12.500001"),
    ("adl.fills[0].winner", "short_b"),
    ("adl.fills.length", 3),
    ("solvency.ok", 1),
    ("solvency.ok", "true"),
    ("gas.max_tx", "0"),
    ("adl.rounds[0].round", True),
    ("adl.rounds", [{"round": 1}]),
    ("adl.rounds", []),
    ("adl.fills[0].score", {"min": "12.500001"}),
    ("adl.fills[0].score", {"max": "12.499999"}),
    ("adl.fills[0].score", {"min": "1", "max": "2"}),
    ("adl.fills[0].score", {"not": "12.50"}),
    ("adl.fills[0].winner", {"min": "0"}),
    ("adl.fills[0].score", {}),
    ("adl.fills[0].score", {"about": "12.5"}),
    ("scenario", {"contains": "three"}),
    ("adl.fills", {"contains": {"winner": "short_b", "size": "60"}}),
    ("adl.fills", {"contains": {"victim": "short_b"}}),
    ("gas.max_tx", {"contains": "x"}),
]
NOWHERE = [
    "account", "accounts.nobody.cash", "adl.fills[2].winner", "adl.fills[-3]", "adl.fills.winner",
    "adl[0]", "engine[0]", "engine.length", "accounts..cash", "accounts.", "", "a b",
    "adl.fills[x]",
]  # fmt: skip


@pytest.mark.parametrize(("path", "expected"), HOLDS)
def test_holds(path, expected):
    (check,) = expect.evaluate({path: expected}, RESULT)
    assert check.ok and check.path == path and check.expected == expected


@pytest.mark.parametrize(("path", "expected"), FAILS)
def test_fails(path, expected):
    (check,) = expect.evaluate({path: expected}, RESULT)
    assert not check.ok and check.found != MISSING


@pytest.mark.parametrize("path", NOWHERE)
@pytest.mark.parametrize("expected", ["0", MISSING, None, {"not": "0"}, {"contains": ""}])
def test_a_path_that_leads_nowhere_fails_and_never_raises(path, expected):
    assert expect.evaluate({path: expected}, RESULT) == [Check(path, expected, MISSING, False)]


def test_a_key_called_length_comes_before_the_count():
    assert expect.evaluate({"a.length": "7"}, {"a": {"length": "7"}})[0].ok


def test_every_key_is_checked_in_order():
    checks = expect.evaluate({"engine": "anvil", "scenario": "two_winners"}, RESULT)
    assert [(c.path, c.found, c.ok) for c in checks] == [
        ("engine", "revm", False),
        ("scenario", "two_winners", True),
    ]


def test_an_empty_block_is_refused():
    with pytest.raises(ValueError, match="expect is empty"):
        expect.evaluate({}, RESULT)


def test_problems_name_what_is_malformed():
    fine = {"adl.fills[0].winner": "1", "accounts.x.cash": {"min": "1", "not": [1]}}
    assert expect.problems(fine | {"paid.length": "6", "steps.length": "2"}) == []
    block = {"a..b": "1", "gas": {"about": "1"}, "seed": {}, "engine": {"max": "lots"}}
    assert [(key, found) for key, found, _ in expect.problems(block)] == [
        ("a..b", 'the path "a..b"'),
        ("gas", "the comparison about"),
        ("seed", "an empty mapping"),
        ("engine", "max: 'lots'"),
    ]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("waterfal.liquidated", "perhaps waterfall"),
        ("adl.fill[0].winner", "perhaps adl.fills"),
        ("solvency.unacounted", "perhaps solvency.unaccounted"),
        ("adl.zzz", "one that begins with adl.rounds, adl.fills"),
        ("zzz[0]", "one that begins with scenario, description"),
    ],
)
def test_a_path_that_is_in_no_result_is_seen_before_the_run(path: str, wanted: str) -> None:
    ((key, found, expected),) = expect.problems({path: "1"})
    assert (key, found) == (path, f'the path "{path}", which is in no result')
    assert expected.startswith(wanted)


# ---- tables


def render(renderable, colour=False):
    console = Console(
        width=100, color_system="truecolor" if colour else None, force_terminal=colour
    )
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_solvency_line_is_exact():
    assert show.solvency_line(RESULT) == (
        "held - owed = 0\ntoken balance - held = 0, I4 difference = 0, uninsured = 0"
    )


def test_waterfall_shows_every_layer_with_its_bar():
    lines = {}
    for line in render(show.waterfall_table(RESULT)).splitlines():
        assert len(line) <= 100
        lines[line.strip().split("  ")[0]] = line
    assert "14,000.123456" in lines["liquidated on the book"]
    assert lines["liquidated on the book"].count("█") == show.BAR_WIDTH
    assert 5 <= lines["auto-deleveraged"].count("█") <= 7
    assert "▏" in lines["insurance"], "a small amount still shows"
    assert "█" not in lines["uninsured"] and "█" not in lines["backstop"]


def test_waterfall_of_nothing():
    quiet = copy.deepcopy(RESULT)
    quiet["waterfall"] = dict.fromkeys(RESULT["waterfall"], "0")
    assert "█" not in render(show.waterfall_table(quiet))


def test_adl_table_has_each_fill_and_says_what_it_leaves_out():
    text = render(show.adl_table(RESULT))
    assert "2 fills in 1 round" in text
    for word in ("short_a", "short_b", "1.687499999999", "1,234.5", "-0.000001"):
        assert word in text
    text = render(show.adl_table(RESULT, limit=1))
    assert "short_b" not in text and "1 more in result.json" in text
    none = {**RESULT, "adl": {"rounds": [], "fills": []}}
    assert "no winner was closed" in render(show.adl_table(none))


def test_accounts_table_has_a_line_for_each_position():
    text = render(show.accounts_table(RESULT))
    for word in ("long_a", "-1,234,567.25", "flat", "short_a", "ATOM", "BTC", "90,000"):
        assert word in text
    assert "1 more in result.json" in render(show.accounts_table(RESULT, limit=1))


def test_expectations_table_says_it_in_words():
    checks = [Check("a", "1", "1", True), Check("b", "1", MISSING, False)]
    text = render(show.expectations_table(checks))
    assert "pass" in text and "FAIL" in text and "1 of 2 FAILED" in text and MISSING in text
    assert "all hold" in render(show.expectations_table(checks[:1]))


@pytest.mark.parametrize("table", [show.waterfall_table, show.adl_table, show.accounts_table])
def test_colour_adds_no_meaning_and_no_width(table):
    assert all(len(line) <= 100 for line in render(table(RESULT)).splitlines())
    assert "\x1b[" in render(table(RESULT), colour=True)
    assert "\x1b[" not in render(table(RESULT))
