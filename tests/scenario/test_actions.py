"""What the driver does for each action of the format that is not an order: exact, and refusable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from breakwater import crash as crash_module
from breakwater.crash import Crash, SetupError
from breakwater.engine.revm import RevmEngine
from breakwater.ledger import InsolvencyError
from breakwater.scenario import ScenarioError, parse
from breakwater.words import NotPlain, decoder, encoder

HEAD = """\
name: t
description: d
source: synthetic
venue: {max_step: none}
markets:
  X: {size_decimals: 2, max_leverage: 20, price: "100"}
accounts:
  - {name: loser, collateral: "1000", positions: {X: {size: "100", entry: "100"}}}
  - {name: short, collateral: "6000", positions: {X: {size: "-100", entry: "100"}}}
"""
TAIL = 'expect: {solvency.difference: "0"}\n'
CROWD = """\
populations:
  - {name: crowd, market: X, count: 4, collateral: "1000", leverage: "2"}
"""
BOOK = """\
book:
  X: {profile: {spread: "0.02", gap: "0.01", levels: 2, size: "10", thins: "0.5"}}
"""


def make(path: str, before: str = "") -> Crash:
    return Crash(parse(HEAD + before + "path:\n" + path + TAIL, "t.yaml"), RevmEngine())


def run(path: str, before: str = "") -> dict[str, Any]:
    return make(path, before).run()


def test_a_keeper_that_acts_every_third_step_is_late_by_that_much() -> None:
    falling = "".join(f'  - {{set_price: {{X: "{p}"}}}}\n' for p in (89, 88, 87, 86, 85))
    # Steps 2 to 6 are the prices; the keeper acts at step 3, at 88: 100 * (90 - 88).
    result = run("  - {keeper_every: 3}\n" + falling)
    assert [b["deficit"] for b in result["bankruptcies"]] == ["200"]
    assert run("  - {keeper_asleep: 4}\n" + falling)["bankruptcies"][0]["deficit"] == "500"
    assert run("  - {keeper_asleep: 5}\n" + falling)["bankruptcies"] == []
    assert run("  - {keeper_every: 1}\n" + falling)["bankruptcies"][0]["deficit"] == "100"


def test_a_distorted_report_ends_with_its_steps() -> None:
    result = run(
        '  - {oracle: {market: X, distort: "0.1", steps: 2}}\n'
        '  - {set_price: {X: "100"}}\n  - {wait: 5}\n  - {set_price: {X: "100"}}\n'
    )
    assert [s["marks"]["X"] for s in result["steps"]] == ["100", "110", "110", "100"]


def test_a_silent_oracle_moves_nothing_and_time_goes_on() -> None:
    result = run('  - {oracle: {market: X, stale: true, steps: 1}}\n  - {set_price: {X: "80"}}\n')
    assert result["steps"][1]["marks"]["X"] == "100" and result["bankruptcies"] == []


def test_quotes_come_back_around_the_mark() -> None:
    crash = make('  - {set_price: {X: "95"}}\n  - {quotes: {market: X, scale: "0.5"}}\n', BOOK)
    result = crash.run()
    assert result["steps"][1]["refused"] is None
    orders = crash.venue.order_book.call("open_orders", crash.account_ids["maker"])
    # 95 -+ 1%, and 1% further: half of 10 and of 5, in ticks of 0.0001.
    found = sorted((o.price, o.size, o.is_buy) for o in orders)
    assert found == [
        (931_000, 250, True), (940_500, 500, True), (959_500, 500, False), (969_000, 250, False)
    ]  # fmt: skip


def test_a_pulled_book_is_empty() -> None:
    crash = make('  - {quotes: {market: X, scale: "0"}}\n', BOOK)
    crash.run()
    assert crash.venue.order_book.call("open_orders", crash.account_ids["maker"]) == []


def test_a_rush_pays_whom_it_can_and_counts_the_rest() -> None:
    # 1,000 USDC with 2,000 of notional: max(100, 10% = 200) must stay, so 800 may go, not 900.
    result = run('  - {rush: {population: crowd, share: "0.8"}}\n', CROWD)
    assert result["steps"][0]["refused"] is None
    assert {result["accounts"][f"crowd_{i}"]["cash"] for i in range(1, 5)} == {"200"}
    # 1,000,000 of the maker, 1,000 and 6,000, and 4 * 200
    assert result["solvency"]["held"] == "1007800"
    refused = run('  - {rush: {population: crowd, share: "0.9"}}\n', CROWD)["steps"][0]["refused"]
    assert refused.startswith("4 of 4 withdrawals; the first: margin")


def test_a_depositor_leaves_in_two_steps_and_in_parts() -> None:
    head = HEAD.replace("max_step: none", 'max_step: none, vault_deposits: {one: "30"}')
    leave = '  - {vault_exit: {depositor: one, action: %s, share: "%s"}}\n'
    path = leave % ("redeem", "1") + leave % ("request", "0.5") + leave % ("redeem", "0.5")
    path += '  - {set_price: {X: "100"}, seconds: 86400}\n' + leave % ("redeem", "0.5")
    result = Crash(parse(head + "path:\n" + path + TAIL, "t.yaml"), RevmEngine()).run()
    locked = "vault: beyond what may leave now"
    assert [step["refused"] for step in result["steps"]] == [locked, None, locked, None, None]
    assert result["vault"] == {
        "assets": "15",
        "depositors": {"one": {"deposited": "30", "paid": "15", "worth": "15"}},
    }


@pytest.mark.parametrize(
    ("rules", "wants"),
    [
        ('reward: "1"', "a liquidation_fee and a keeper_account"),
        ('reward: "11", liquidation_fee: "0.01", keeper_account: short', "at most 10 USDC"),
        ('liquidation_fee: "0.02"', "at most 0.01"),
        ('tranche: "6", vault_deposits: {one: "4"}, tranche_share: "0.5"', "within its tranche"),
        ('keeper_account: nobody, liquidation_fee: "0.01"', "nobody"),
        ('backstop_limits: {Y: "1"}', "Y"),
    ],
)
def test_rules_that_do_not_fit_are_named(rules: str, wants: str) -> None:
    head = HEAD.replace("max_step: none", f"max_step: none, {rules}")
    with pytest.raises(ScenarioError, match=wants):
        parse(head + "path:\n  - {wait: 1}\n" + TAIL, "t.yaml")


def test_only_a_depositor_leaves_the_vault() -> None:
    with pytest.raises(ScenarioError, match="unknown depositor short"):
        run("  - {vault_exit: {depositor: short, action: request}}\n")


def test_fees_band_and_tiers_hold_on_the_path_and_not_in_the_set_up() -> None:
    text = HEAD.replace(
        'price: "100"}', 'price: "100", taker_fee: "0.001", tiers: [["20000", "10"]], band: "0.1"}'
    )
    trade = "{account: short, market: X, side: sell, size: %s, price: %s, tif: ioc}"
    path = f"  - {{trade: {trade % (10, 99)}}}\n  - {{trade: {trade % (10, 80)}}}\n"
    book = 'book:\n  X: {bids: [["99", "10"], ["85", "10"]]}\n'
    scenario = parse(text + book + "path:\n" + path + TAIL, "t.yaml")
    result = Crash(scenario, RevmEngine()).run()
    # 10 at 99 cost 0.99 of fee; the set-up, 100 at 100, cost nothing; 85 is beyond the band.
    assert result["accounts"]["short"]["cash"] == "5999.01"
    assert result["accounts"]["short"]["positions"]["X"]["size"] == "-110"


def test_a_maker_without_margin_is_named() -> None:
    crash = make("  - {wait: 1}\n")
    poor = crash.scenario.market_maker.model_copy(update={"collateral": "10"})
    crash.scenario = crash.scenario.model_copy(update={"market_maker": poor})
    with pytest.raises(SetupError, match="maker lacks the margin"):
        crash.run()


# ---- large runs are followed by their events


def large(monkeypatch: pytest.MonkeyPatch) -> Crash:
    monkeypatch.setattr(crash_module, "FULL_CHECKS", 1)
    return make('  - {set_price: {X: "85"}}\n  - {wait: 5}\n', CROWD)


def test_a_run_checked_from_events_gives_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = make('  - {set_price: {X: "85"}}\n  - {wait: 5}\n', CROWD).run()
    watched = large(monkeypatch).run()
    checks = watched["solvency"].pop("checks"), usual["solvency"].pop("checks")
    events = watched["solvency"].pop("event_checks"), usual["solvency"].pop("event_checks")
    assert watched == usual
    assert events[1] == 0 and events[0] == checks[1] - 1
    # In full at the end of the round and of the run.
    assert 2 <= checks[0] < checks[1]


@pytest.mark.parametrize(
    ("event", "field", "identity"),
    [
        ("Deposited", "cash", "LEDGER_1"),
        ("PositionChanged", "quote", "LEDGER_1"),
        ("PositionChanged", "size", "LEDGER_2"),
    ],
)
def test_events_that_do_not_add_up_are_noticed(
    monkeypatch: pytest.MonkeyPatch, event: str, field: str, identity: str
) -> None:
    crash = large(monkeypatch)
    seen = crash._seen

    def lying(action: str, tx: Any) -> None:
        events = tuple(
            replace(e, args={**e.args, field: e.args[field] + 1}) if e.name == event else e
            for e in tx.events
        )
        seen(action, replace(tx, events=events))

    monkeypatch.setattr(crash, "_seen", lying)
    with pytest.raises(InsolvencyError, match=identity):
        crash.run()


# ---- words


UINT = {"name": "a", "type": "uint8"}
INT = {"name": "b", "type": "int256"}
FLAG = {"name": "c", "type": "bool"}
ADDRESS = {"name": "d", "type": "address"}
STRUCT = {"name": "e", "type": "tuple", "components": [UINT, INT]}


def word(number: int) -> bytes:
    return (number % 2**256).to_bytes(32, "big")


def test_plain_words_are_read_and_written() -> None:
    read = decoder([UINT, INT, FLAG, ADDRESS, STRUCT])
    assert read is not None
    data = word(255) + word(-1) + word(1) + word(0xABC) + word(7) + word(-(2**255))
    assert read(data) == (255, -1, True, f"0x{0xABC:040x}", (7, -(2**255)))
    read = decoder([{"name": "f", "type": "tuple[]", "components": [UINT, INT]}])
    assert read is not None
    assert read(word(32) + word(2) + word(1) + word(-2) + word(3) + word(4)) == (((1, -2), (3, 4)),)
    write = encoder([UINT, {"name": "g", "type": "int256[]"}, FLAG])
    assert write is not None
    assert write([1, [-1, 2], True]) == word(1) + word(96) + word(1) + word(2) + word(-1) + word(2)


@pytest.mark.parametrize(
    ("entries", "data"),
    [
        ([UINT], word(256)),
        ([{"name": "i", "type": "int8"}], word(128)),
        ([FLAG], word(2)),
        ([ADDRESS], word(2**160)),
        ([UINT], b""),
        ([UINT, UINT], word(1) + bytes(31)),
        ([{"name": "l", "type": "uint8[]"}], word(64) + word(0)),
        ([{"name": "l", "type": "uint8[]"}], word(32) + word(2**200)),
        ([{"name": "l", "type": "uint8[]"}], word(32) + word(2) + word(1)),
    ],
)
def test_what_is_odd_is_left_to_the_general_codec(entries: Any, data: bytes) -> None:
    read = decoder(entries)
    assert read is not None
    with pytest.raises(NotPlain):
        read(data)


@pytest.mark.parametrize(
    ("entry", "value"),
    [(UINT, 256), (UINT, -1), (UINT, True), (UINT, "1"), (INT, 2**255), (FLAG, 1),
     (ADDRESS, "0x12"), (ADDRESS, "0x" + "g" * 40), ({"name": "l", "type": "uint8[]"}, 5)],
)  # fmt: skip
def test_values_that_do_not_fit_are_left_to_the_general_codec(entry: Any, value: Any) -> None:
    write = encoder([entry])
    assert write is not None
    with pytest.raises(NotPlain):
        write([value])


def test_text_and_bytes_are_not_plain() -> None:
    for kind in ("string", "bytes", "bytes32", "uint8[][]", "uint8[3]"):
        assert decoder([{"name": "x", "type": kind}]) is None
        assert encoder([{"name": "x", "type": kind}]) is None
