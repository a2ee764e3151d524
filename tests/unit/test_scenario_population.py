"""Drawn accounts: the same for ever, whole numbers, and nothing that the venue would refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from breakwater.artifacts import ROOT
from breakwater.population import CENT, Draw, Population, draw, sampler
from breakwater.scenario import Market, ScenarioError, parse

MARKET = Market(size_decimals=2, max_leverage=20, price="100")
DATA = ROOT / "scenarios"


def crowd(**changes: Any) -> Population:
    base: dict[str, Any] = {
        "name": "crowd", "market": "X", "count": 200, "collateral": "1000", "leverage": "2",
    }  # fmt: skip
    return Population.model_validate({**base, **changes})


def drawn(population: Population, seed: int = 7, short: bool = False) -> Draw:
    return draw(population, MARKET.rules(), seed, DATA, short)


def test_fixed_values_are_exact() -> None:
    accounts = drawn(crowd(count=4)).accounts
    # 2x of 1,000 at 100: 20 units, every second one long.
    assert [a.lots for a in accounts] == [-2_000, 2_000, -2_000, 2_000]
    assert {a.collateral for a in accounts} == {1_000_000_000} and {a.entry for a in accounts} == {
        1_000_000
    }
    assert [a.name for a in accounts] == ["crowd_1", "crowd_2", "crowd_3", "crowd_4"]


def test_a_profit_moves_the_entry_and_equity_is_what_was_asked() -> None:
    population = crowd(count=2, collateral=None, equity="1000", profit="0.25", longs="0.5")
    short, long = drawn(population).accounts
    # long: 100 / 1.25 = 80, profit 20 * 20 = 400; short: 100 / 0.75 = 133.3333, profit 666.666,
    # and what is left of 1,000 is rounded down to a cent.
    assert (long.entry, long.lots, long.collateral) == (800_000, 2_000, 600_000_000)
    assert (short.entry, short.lots, short.collateral) == (1_333_333, -2_000, 333_330_000)


@pytest.mark.parametrize(("longs", "count"), [("0", 0), ("0.1", 20), ("0.9", 180), ("1", 200)])
def test_the_share_of_longs_is_exact(longs: str, count: int) -> None:
    assert sum(a.lots > 0 for a in drawn(crowd(longs=longs)).accounts) == count


def test_the_seed_and_the_name_decide() -> None:
    population = crowd(collateral={"lognormal": {"median": "1000", "spread": "1"}})
    assert drawn(population, 1) == drawn(population, 1)
    assert drawn(population, 1) != drawn(population, 2)
    assert (
        drawn(population, 1).accounts[0]
        != drawn(
            crowd(**{**population.model_dump(exclude_none=True), "name": "other"}), 1
        ).accounts[0]
    )


def test_the_short_form_is_the_beginning_of_the_long_one() -> None:
    population = crowd(
        short_count=10, longs="1", leverage={"uniform": ["1", "9"]}, collateral={"fixed": "500"}
    )
    assert drawn(population, short=True).accounts == drawn(population).accounts[:10]


def test_what_margin_refuses_is_clipped_and_counted() -> None:
    # 50x in a market of 20x: every account is cut to what 1,000 USDC can open.
    result = drawn(crowd(leverage="50"))
    assert result.clipped == 200 and result.empty == 0
    for account in result.accounts:
        assert MARKET.initial_margin(account.lots, account.entry) <= account.collateral
        assert abs(account.lots) * 1_000_000 > 18 * account.collateral
    # A leverage of nearly nothing leaves less than the smallest order: no position at all.
    assert drawn(crowd(leverage="0.001")).empty == 200


def test_every_account_of_the_real_quantiles_can_be_opened() -> None:
    file = "data/oct10_population.json"
    population = crowd(
        count=3000,
        collateral=None,
        equity={"quantiles": {"file": file, "key": "account_value_usd"}},
        leverage={"quantiles": {"file": file, "key": "effective_leverage"}},
        profit={"quantiles": {"file": file, "key": "return_percent", "scale": "0.01"}},
        correlation={
            "balance_leverage": "-0.397", "balance_profit": "0.252", "leverage_profit": "-0.675"
        },
    )  # fmt: skip
    result = drawn(population)
    for a in result.accounts:
        assert a.collateral >= 0 and a.collateral % CENT == 0
        assert a.collateral >= MARKET.initial_margin(a.lots, a.entry)
        equity = a.collateral + a.lots * (1_000_000 - a.entry)
        assert equity >= MARKET.maintenance_margin(a.lots, 1_000_000)
    assert 0 < result.clipped < 3000


def test_the_quantiles_of_the_file_come_out_again() -> None:
    known = json.loads((DATA / "data" / "oct10_population.json").read_text())["quantiles"]
    read = sampler(
        crowd(
            leverage={
                "quantiles": {"file": "data/oct10_population.json", "key": "effective_leverage"}
            }
        ).leverage,
        DATA,
    )
    for p, value in known["effective_leverage"].items():
        assert read(float(p)) == pytest.approx(value)
    assert read(0.0000001) == known["effective_leverage"]["0.001"], "nothing is made up beyond"


def test_the_copula_has_the_rank_correlation_it_was_given() -> None:
    population = crowd(
        count=4000,
        collateral={"uniform": ["1000", "100000"]},
        leverage={"uniform": ["1", "10"]},
        correlation={"balance_leverage": "-0.6"},
    )
    accounts = drawn(population).accounts
    order = sorted(range(4000), key=lambda i: accounts[i].collateral)
    rank = {i: place for place, i in enumerate(order)}
    by_leverage = sorted(range(4000), key=lambda i: abs(accounts[i].lots) / accounts[i].collateral)
    distance = sum((rank[i] - place) ** 2 for place, i in enumerate(by_leverage))
    assert 1 - 6 * distance / (4000 * (4000**2 - 1)) == pytest.approx(-0.6, abs=0.03)


@pytest.mark.parametrize(
    "changes",
    [
        {"equity": "5"},
        {"collateral": None},
        {"leverage": {"fixed": "1", "uniform": ["1", "2"]}},
        {"leverage": {}},
        {"longs": "1.1"},
        {"count": 0},
        {"correlation": {"balance_leverage": "2"}},
        # Each alone is possible, all three are not.
        {"correlation": {"balance_leverage": "0.9", "balance_profit": "0.9",
                         "leverage_profit": "-0.9"}},
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        crowd(**changes)


FILE = """\
name: crowd
description: d
source: synthetic
markets:
  X: {size_decimals: 2, max_leverage: 20, price: "100"}
accounts:
  - {name: one, collateral: "5"}
populations:
  - {name: many, market: X, count: 50, short_count: 3, collateral: "100", leverage: "5"}
book:
  X: {profile: {levels: 2, size: "1"}}
path:
  - {prices: {market: X, line: {to: "90", steps: 10}, short_steps: 2, seconds: 60}, note: down}
  - {oracle: {market: X, stale: true, steps: 2}}
  - {quotes: {market: X, scale: "0.5"}}
  - {rush: {population: many, share: "0.5"}}
  - {withdraw: {account: many_1, amount: "1"}}
expect: {solvency.difference: "0"}
expect_full: {accounts.length: 53}
expect_short: {accounts.length: 6}
"""


def test_a_file_with_a_population_resolves() -> None:
    full, short = parse(FILE, "crowd.yaml"), parse(FILE, "crowd.yaml", short=True)
    assert len(full.account_names) == 52 and len(short.account_names) == 5
    assert full.has_short and short.is_short and not full.is_short
    assert [s.action for s in short.steps] == [
        "set_price", "set_price", "oracle", "quotes", "rush", "withdraw"
    ]  # fmt: skip
    assert [s.set_price for s in short.steps[:2]] == [{"X": "95"}, {"X": "90"}]
    assert [s.note for s in short.steps[:2]] == ["down", None] and short.steps[0].seconds == 60
    assert short.expected == {"solvency.difference": "0", "accounts.length": 6}
    assert full.expected == {"solvency.difference": "0", "accounts.length": 53}
    assert len(full.openings()) == 50 and full.deposits["many_7"] == 100_000_000


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("market: X, count", "market: Y, count", 9, ["populations[0].market", "unknown market Y"]),
        ("count: 50", "count: many", 9, ["populations[0].count", '"many"', "a whole number"]),
        (
            "population: many",
            "population: may",
            16,
            ["path[3].rush.population", "did you mean many"],
        ),
        ("account: many_1", "account: many_99", 17, ["unknown account many_99"]),
        ('to: "90"', 'to: "90.00001"', 13, ["path[0].prices.line", "off tick"]),
        ('to: "90"', "to: 90.5", 13, ["path[0].prices.line.to", 'quote it, "90.5"']),
        ('line: {to: "90", steps: 10}', "wick: {by: 1}, gap: {by: 1}", 13, ["exactly one shape"]),
        ("line:", "lines:", 13, ["path[0].prices.lines", "did you mean line?"]),
        ("stale: true", 'stale: true, distort: "0.1"', 14, ["either stale: true or distort"]),
        ('scale: "0.5"', 'scale: "5"', 15, ["path[2].quotes.scale", "a share from 0 to 1"]),
        ("profile: {levels: 2, size", "profile: {level: 2, size", 11, ["book.X.profile.level"]),
        ("{name: one,", "{name: many_2,", 9, ["the account name many_2 again"]),
        ('leverage: "5"', 'leverage: {table: {"0": "1", "1": "x"}}', 9, ["leverage.table"]),
        ('leverage: "5"', "leverage: {quantiles: {file: no.json, key: k}}", 9, ["no.json"]),
        ('price: "100"', 'price: "100", taker_fee: "0.02"', 5, ["taker_fee", "at most 0.01"]),
        ('price: "100"', 'price: "100", tiers: [["5", "30"]]', 5, ["tiers[0]", "falling"]),
        ("expect_short: {acc", "expect_short: {ac c", 20, ["expect_short"]),
    ],
)
def test_a_mistake_is_named_with_its_line(old: str, new: str, line: int, words: list[str]) -> None:
    assert FILE.count(old) == 1, old
    with pytest.raises(ScenarioError) as caught:
        parse(FILE.replace(old, new), "crowd.yaml")
    said = [str(problem) for problem in caught.value.problems]
    assert any(all(word in line_ for word in words) for line_ in said), said
    assert line in [problem.line for problem in caught.value.problems], said


def test_tiers_are_those_of_the_venue() -> None:
    # The golden vector: 40x to 150M, then 20x. 150M -> 1,875,000; 200M -> 3,125,000.
    market = Market(size_decimals=0, max_leverage=40, price="10", tiers=[["150000000", "20"]])
    lots = 10 * 10**6  # 1 lot at 10 USDC in ticks of a micro-dollar
    assert market.maintenance_margin(15 * 10**6, lots) == 1_875_000 * 10**6
    assert market.maintenance_margin(20 * 10**6, lots) == 3_125_000 * 10**6
    assert market.initial_margin(20 * 10**6, lots) == 6_250_000 * 10**6
