"""The auditor: it finds every receipt of a real run right, and whatever is changed in one wrong."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from breakwater import audit
from breakwater.artifacts import ROOT, compile_file
from breakwater.contract import Event
from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.replay import Replay
from breakwater.report import events as tables
from breakwater.scenario import load
from tests.report.test_watch import Market, Node, node

__all__ = ["node"]

OTHER_RULE = """\
# pragma version ~=0.4.3
from ..interfaces import IScore

implements: IScore


@pure
@external
def score(standing: IScore.Standing) -> uint256:
    return convert(max(standing.equity, 1), uint256) * 10**12
"""


def logged(crash: Crash) -> list[Event]:
    decoder = crash.venue.decoder
    return list(decoder.iterate(crash.venue.engine.logs(decoder.addresses)))


@pytest.mark.parametrize(
    "name",
    # Both sides, two close prices, several markets and lots, both engines, funding.
    [
        *("atom_flash", "previous_mark", "winner_in_part", "short_squeeze", "cross_windup"),
        *("dust", "jelly_shared", "funding_day", "percolator_cascade"),
    ],
)
def test_what_the_venue_did_is_right(crashed: Any, name: str) -> None:
    crash, result = crashed(name)
    verdicts = audit.judge(logged(crash), result["policy"]["score"])
    assert len(verdicts) == len(result["adl"]["fills"]) > 0
    assert [(one.faults, one.doubts) for one in verdicts] == [((), ())] * len(verdicts)
    assert all(one.is_right for one in verdicts)


def test_the_queue_before_a_fill_by_hand(crashed: Any) -> None:
    crash, _ = crashed("two_winners")
    first = audit.judge(logged(crash))[0]
    names = {number: name for name, number in crash.account_ids.items()}
    assert names[first.receipt.winner] == "daring"
    order = [names[place.account] for place in first.queue]
    assert order[:2] == ["daring", "careful"]
    assert [place.score for place in first.queue] == sorted(
        (place.score for place in first.queue), reverse=True
    )


def varied(folder: Path, **rules: str) -> Crash:
    """two_winners under other rules, run."""
    text = (ROOT / "scenarios" / "two_winners.yaml").read_text().split("expect:")[0]
    old = "{close: bankruptcy, trigger: underwater, max_step: none}"
    assert old in text
    new = {"close": "bankruptcy", "max_step": "none"} | rules
    words = ", ".join(f"{key}: {rule}" for key, rule in new.items())
    path = folder / "two_winners.yaml"
    path.write_text(text.replace(old, f"{{{words}}}") + "expect: {solvency.difference: '0'}\n")
    crash = Crash(load(path), RevmEngine())
    crash.run()
    return crash


def test_scores_of_binance_need_the_maintenance_margin_and_get_it(tmp_path: Path) -> None:
    crash = varied(tmp_path, score="binance")
    verdicts = audit.judge(logged(crash), "binance")
    assert verdicts and all(one.is_right for one in verdicts)
    assert not any(one.is_right for one in audit.judge(logged(crash)))


def test_closed_at_the_mark_nobody_loses_and_it_is_right(tmp_path: Path) -> None:
    verdicts = audit.judge(logged(varied(tmp_path, close="mark")))
    assert verdicts and all(one.is_right for one in verdicts)
    assert {one.receipt.haircut for one in verdicts} == {0}
    assert {one.close for one in verdicts} == {"mark"}


def test_maintenance_from_the_logs_is_the_chains(crashed: Any) -> None:
    crash, _ = crashed("whale_tiers")
    replay = Replay()
    for event in logged(crash):
        replay.play(event)
    house = crash.venue.clearinghouse
    held = [a for a in crash.account_ids.values() if house.call("active_markets", a)]
    assert held
    for account in held:
        margin = house.call("margin", account)
        assert replay.maintenance(account) == margin.maintenance
        assert replay.equity(account) == margin.equity


def _swap_winners(events: list[Event], at: int) -> None:
    """Rank 1 and rank 2 of one round change places: every log of the two fills, consistently."""
    two = [i for i, e in enumerate(events) if e.name == "Deleveraged" and e.round == 2][:2]
    first, second = (events[i].winner for i in two)
    other = {first: second, second: first}
    for i in range(two[0] - 3, two[1] + 1):
        args = dict(events[i].args)
        for key in ("account", "buyer", "seller", "winner"):
            if args.get(key) in other:
                args[key] = other[args[key]]
        events[i] = replace(events[i], args=args)


def _set(**changes: Callable[[Any], Any]) -> Callable[[list[Event], int], None]:
    def change(events: list[Event], at: int) -> None:
        args = events[at].args
        new = {key: how(args[key]) for key, how in changes.items()}
        events[at] = replace(events[at], args={**args, **new})

    return change


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (_set(rank=lambda rank: rank + 1), "the rank is 4, it was number 3"),
        (_set(score=lambda score: score - 1), "by hyperliquid_docs it is"),
        (_set(quote=lambda quote: quote + 1, haircut=lambda cut: cut + 1), "at the close price"),
        (_set(haircut=lambda cut: cut - 1), "against the mark it is"),
        (_set(size=lambda lots: lots - 1), "it could bear"),
        (_set(rank=lambda _: 0), "not the bankrupt's own owner's"),
        (_set(mark=lambda mark: mark - 1), "marks 1299, 1660 were 1300, 1660"),
        (_swap_winners, "stood before it"),
    ],
)
def test_a_forged_receipt_is_found(
    crashed: Any, forge: Callable[[list[Event], int], None], words: str
) -> None:
    events = logged(crashed("atom_flash")[0])
    forge(events, max(i for i, e in enumerate(events) if e.name == "Deleveraged"))
    said = [fault for one in audit.judge(events) for fault in one.faults]
    assert any(words in fault for fault in said), said


def test_what_the_receipt_calls_unproved_is_a_doubt_and_no_fault(crashed: Any) -> None:
    events = logged(crashed("atom_flash")[0])
    _swap_winners(events, 0)
    for at, event in enumerate(events):
        if event.name == "Deleveraged":
            events[at] = replace(event, args={**event.args, "exact": False})
    judged = audit.judge(events)
    assert any("not proved" in doubt for one in judged for doubt in one.doubts)
    assert not any("stood before it" in fault for one in judged for fault in one.faults)


def test_a_log_that_is_kept_back_is_missed(crashed: Any) -> None:
    crash, _ = crashed("atom_flash")
    events = logged(crash)
    winner = audit.judge(events)[-1].receipt.winner
    opened = next(e for e in events if e.name == "PositionChanged" and e.account == winner)
    judged = audit.judge([event for event in events if event is not opened])
    assert f"account {winner} was not eligible" in judged[-1].faults


@pytest.mark.parametrize("name", ["AccountOpened", "PolicySet"])
def test_logs_that_make_no_sense_are_said_not_to_be_whole(crashed: Any, name: str) -> None:
    events = [event for event in logged(crashed("atom_flash")[0]) if event.name != name]
    with pytest.raises(audit.AuditError, match="the logs are not whole: number"):
        audit.judge(events)


def test_a_receipt_without_its_exchange_gets_no_verdict(crashed: Any) -> None:
    events = logged(crashed("atom_flash")[0])
    last = max(i for i, e in enumerate(events) if e.name == "Deleveraged")
    winner = events[last].winner
    kept = [e for e in events if not (e.name == "PositionChanged" and e.account == winner)]
    with pytest.raises(audit.AuditError, match="not whole"):
        audit.judge(kept)


def test_a_venue_that_ranks_by_another_rule_is_found_out(tmp_path: Path) -> None:
    score = tmp_path / "ByEquity.vy"
    score.write_text(OTHER_RULE)
    scenario = load(ROOT / "scenarios" / "two_winners.yaml")
    crash = Crash(scenario, RevmEngine(), own_score=compile_file(score))
    crash.run()
    faults = [fault for one in audit.judge(logged(crash)) for fault in one.faults]
    assert any("stood before it" in fault for fault in faults)
    assert any("by hyperliquid_docs it is" in fault for fault in faults)


def test_shares_are_not_called_out_of_order(tmp_path: Path) -> None:
    events = logged(varied(tmp_path, allocation="pro_rata_size"))
    planners = [event.engine for event in events if event.name == "EngineSet"]
    judged = audit.judge(events, planners=planners)
    assert len(judged) > 1 and all(one.is_right and one.doubts for one in judged)


# ---------------------------------------------------------------- the command


@pytest.fixture
def command() -> Any:
    spec = importlib.util.spec_from_file_location("audit_script", ROOT / "scripts" / "audit.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return lambda *args: CliRunner().invoke(script.cli, [str(arg) for arg in args])


@pytest.fixture
def table(crashed: Any, tmp_path: Path) -> Path:
    crash, result = crashed("atom_flash")
    symbols = [market.symbol for market in crash.markets]
    tables.write(tables.table(crash.records, crash.names, symbols), tmp_path)
    (tmp_path / "result.json").write_text(json.dumps(result))
    return tmp_path / "events.csv"


def test_a_table_of_events_is_read_back_as_it_was_logged(crashed: Any, table: Path) -> None:
    crash, _ = crashed("atom_flash")
    read, events = tables.read(table), logged(crash)
    assert [(e.contract, e.name) for e in read] == [(e.contract, e.name) for e in events]
    plain = [tables._plain(tables._exact(event.args)) for event in events]
    assert [event.args for event in read] == plain
    assert audit.judge(read) and all(one.is_right for one in audit.judge(read))


def test_the_command_proves_one_account_from_a_file(command: Any, table: Path) -> None:
    done = command(table)
    assert done.exit_code == 0, done.output
    assert "4 fills, all right by hyperliquid_docs" in done.output
    done = command(table, "--account", "10")
    assert done.exit_code == 0 and "->   10 short_c" in done.output
    assert "Round 2, just before rank 2" in done.output and "9 short_b" not in done.output
    done = command(table, "--account", "5")
    assert done.exit_code == 1 and "never deleveraged" in done.output
    done = command(table, "--score", "binance")
    assert done.exit_code == 1 and "4 of 4 fills wrong by binance" in done.output
    text = table.read_text()
    assert '""rank"":""3""' in text
    table.write_text(text.replace('""rank"":""3""', '""rank"":""2""'))
    done = command(table)
    assert done.exit_code == 1 and "the rank is 2, it was number 3" in done.output


def test_the_page_shows_what_the_command_prints(command: Any, table: Path) -> None:
    text = (ROOT / "docs" / "audit.md").read_text()
    blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    printed = [command(table).output, command(table, "--account", "10").output]
    assert len(blocks) == len(printed)
    for block, output in zip(blocks, printed, strict=True):
        there = {line.rstrip() for line in output.splitlines()}
        assert [line for line in block.splitlines() if line.rstrip() not in there] == []
    said = command(table, "--score", "binance").output
    assert "4 of 4 fills wrong by binance, from 502 logs" in said
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    out = StringIO()
    with contextlib.redirect_stdout(out):
        exec(program.replace("out/atom_flash/events.csv", str(table)), {})
    assert len(out.getvalue().splitlines()) == 4 and "False" not in out.getvalue()


def test_the_command_says_what_it_needs(command: Any, table: Path, tmp_path: Path) -> None:
    done = command("no_such_run")
    assert done.exit_code == 1 and "ape run crash writes it" in done.output
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    done = command(other)
    assert done.exit_code == 1 and "is no table of events" in done.output
    result = json.loads((tmp_path / "result.json").read_text())
    result["policy"]["score"] = "MyScore"
    (tmp_path / "result.json").write_text(json.dumps(result))
    done = command(table)
    assert done.exit_code == 1 and "ranked by MyScore" in done.output
    done = command("--rpc", "http://127.0.0.1:9")
    assert done.exit_code == 1 and "does not answer" in done.output


@pytest.mark.skipif(shutil.which("anvil") is None, reason="anvil is not on PATH")
def test_the_command_reads_a_node_and_compares_its_state(
    command: Any, node: Node, tmp_path: Path
) -> None:
    market = Market(node.start())
    venue = tmp_path / "venue.json"
    saved = market.venue.addresses() | {"block": "0"}
    venue.write_text(json.dumps({**saved, "accounts": market.ids}))
    where = ("--rpc", node.url, "--venue", venue)
    done = command(*where)
    assert done.exit_code == 0 and "nobody was deleveraged" in done.output
    market.prices("88")
    market.keeper().run()
    done = command(*where)
    assert done.exit_code == 0, done.output
    assert "all right by hyperliquid_docs" in done.output and "loser" in done.output
    assert "the logs add up to the chain's state" in done.output
