"""The scenario format: what a good file resolves to, and what is said about every bad one."""

import json

import pytest

from breakwater import scenario as fmt
from breakwater.scenario import BookLevel, Opening, Scenario, ScenarioError

GOOD = """\
name: two_winners
description: the smallest case in which rank decides
source: made up
venue:
  insurance: "12.5"
markets:
  ATOM: {size_decimals: 3, max_leverage: 20, price: "1.688", min_notional: "0"}
  BTC: {size_decimals: 5, max_leverage: 40, price: 90000}
accounts:
  - {name: long_a, collateral: "20", positions: {ATOM: {size: "100", entry: "1.8"}}}
  - name: short_a
    collateral: 2000
    positions:
      ATOM: {size: "-40", entry: "1.7"}
      BTC: {size: "0.5", entry: "90000"}
market_maker: {name: maker, collateral: "1000000"}
book:
  ATOM:
    bids: [["1.688", "78.85"], ["1.673", "152.42"]]
    asks: [["1.7", "5"]]
path:
  - {set_price: {ATOM: "1.2"}, note: the mark gaps down}
  - {wait: 60}
  - {keeper: off}
  - {trade: {account: short_a, market: ATOM, side: buy, size: "1", price: "1.5", tif: ioc}}
  - {cancel: {account: maker}}
  - {deposit: {account: long_a, amount: "5"}}
  - {withdraw: {account: short_a, amount: "5.25"}}
  - {liquidate: long_a}
  - {keep: true}
expect:
  solvency.difference: "0"
  adl.fills.length: {min: 1}
"""
FILE = "scenarios/two_winners.yaml"


def problems(text, path=FILE):
    with pytest.raises(ScenarioError) as caught:
        fmt.parse(text, path)
    assert str(caught.value).splitlines() == [str(p) for p in caught.value.problems]
    return caught.value.problems


def edited(old, new):
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


# ---- a good file


def test_a_good_file_resolves_to_integers():
    s = fmt.parse(GOOD, FILE)
    assert s.venue.insurance_micro == 12_500_000 and s.venue.tranche_micro == 0
    assert s.venue.max_step_ppm == 10_000
    atom, btc = s.markets["ATOM"], s.markets["BTC"]
    assert (atom.symbol, atom.price_ticks, atom.min_notional_micro) == ("ATOM", 1_688, 0)
    assert (btc.price_ticks, btc.min_notional_micro) == (900_000, 10_000_000)
    assert atom.to_lots("-100") == -100_000 and atom.to_ticks("1.2") == 1_200
    assert atom.format_lots(-100_000) == "-100" and atom.format_ticks(1_200) == "1.2"
    assert [a.collateral_micro for a in s.accounts] == [20_000_000, 2_000_000_000]
    assert s.market_maker.collateral_micro == 10**12
    assert s.account_names == ("long_a", "short_a", "maker")
    assert s.openings() == (
        Opening("short_a", "ATOM", -40_000, 1_700),
        Opening("long_a", "ATOM", 100_000, 1_800),
        Opening("short_a", "BTC", 50_000, 900_000),
    )
    assert s.imbalance("ATOM") == 60_000 and s.imbalance("BTC") == 50_000
    book = s.resolved_book("ATOM")
    assert book.owner == "maker" and book.asks == (BookLevel(1_700, 5_000),)
    assert book.bids == (BookLevel(1_688, 78_850), BookLevel(1_673, 152_420))
    assert s.resolved_book("BTC").bids == ()
    assert [step.action for step in s.path] == list(fmt.ACTIONS[:9])
    assert s.path[2].keeper == "off" and s.path[6].withdraw.amount_micro == 5_250_000
    assert s.path[0].note == "the mark gaps down"
    assert s.expect == {"solvency.difference": "0", "adl.fills.length": {"min": 1}}


def test_defaults():
    text = edited('venue:\n  insurance: "12.5"\n', "")
    text = text.replace('market_maker: {name: maker, collateral: "1000000"}\n', "")
    s = fmt.parse(text, FILE)
    v = s.venue
    assert (v.score, v.allocation, v.close, v.trigger, v.engine) == (
        "hyperliquid_docs", "queue", "bankruptcy", "underwater", "scan"
    )  # fmt: skip
    assert (v.insurance, v.tranche, v.max_step, s.seed) == ("0", "0", "0.01", 0)
    assert (s.market_maker.name, s.market_maker.collateral) == ("maker", "1000000")
    assert s.path[3].trade.tif == "ioc" and not s.accounts[0].allow_unhealthy


def test_margins_round_up():
    atom = fmt.parse(GOOD, FILE).markets["ATOM"]
    assert atom.initial_margin(-100_000, 1_800) == 9_000_000
    assert atom.initial_margin(1, 1) == 1 and atom.initial_margin(0, 1) == 0
    assert atom.maintenance_margin(-7, 3) == 1 and atom.maintenance_margin(41, 1) == 2


def test_none_lifts_the_step_limit():
    s = fmt.parse(edited('insurance: "12.5"', "max_step: none"), FILE)
    assert s.venue.max_step_ppm == 0
    s = fmt.parse(edited('insurance: "12.5"', 'max_step: "0.0124"'), FILE)
    assert s.venue.max_step_ppm == 12_400


def test_the_start_may_be_below_maintenance_if_the_file_says_so():
    unhealthy = edited('"1.8"}}}', '"1.8"}}, allow_unhealthy: true}').replace('"20"', '"9"')
    assert fmt.parse(unhealthy, FILE).accounts[0].allow_unhealthy


def test_margin_limits_are_exact():
    # initial margin of 100 at 1.8 and 20x: 9. At 1.688 the equity is collateral - 11.2, the
    # maintenance margin 100 * 1.688 / 40 = 4.22: healthy from 15.42 on.
    assert fmt.parse(edited('"20"', '"15.42"'), FILE)
    (p,) = problems(edited('"20"', '"15.419999"'))
    assert "equity 4.219999 USDC" in p.found and "maintenance margin 4.22 USDC" in p.expected
    opens = edited('"1.8"}}}', '"1.8"}}, allow_unhealthy: true}')
    assert fmt.parse(opens.replace('"20"', '"9"'), FILE)
    (p,) = problems(opens.replace('"20"', '"8.999999"'))
    assert "at least 9 USDC" in p.expected


def test_load_reads_a_file_and_its_csv(tmp_path):
    file = tmp_path / "two_winners.yaml"
    bids = 'bids: [["1.688", "78.85"], ["1.673", "152.42"]]\n    asks: [["1.7", "5"]]'
    file.write_text(edited(bids, "csv: data/ladder.csv\n    owner: long_a"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ladder.csv").write_text(
        "# where it is from\nprice_usdt,quantity_atom\n1.688,78.85\n0.001,2483.658\n"
    )
    book = fmt.load(file).resolved_book("ATOM")
    assert book == fmt.ResolvedBook(
        "long_a", (BookLevel(1_688, 78_850), BookLevel(1, 2_483_658)), ()
    )


def test_yaml_aliases_work():
    text = edited(
        "\n  BTC: {", "\n  X: &x {size_decimals: 3, max_leverage: 5, price: 2}\n  Y: *x\n  BTC: {"
    )
    assert fmt.parse(text, FILE).markets["Y"].symbol == "Y"


def test_a_policy_can_be_swapped_and_keeps_the_book():
    s = fmt.parse(GOOD, FILE)
    other = s.model_copy(update={"venue": s.venue.model_copy(update={"close": "previous_mark"})})
    assert other.venue.close == "previous_mark" and other.resolved_book("ATOM").bids


# ---- one thing wrong: (what to replace, by what with #! on the line to be named, key, words)

ATOM_A = '{ATOM: {size: "100", entry: "1.8"}}'
BIDS = 'bids: [["1.688", "78.85"], ["1.673", "152.42"]]'
WRONG = [
    # keys
    (
        "  insurance:",
        "  insurence:",
        "venue.insurence",
        'unknown key "insurence"',
        "did you mean insurance?",
    ),
    ("venue:\n", "sed: 1\nvenue:\n", "sed", 'unknown key "sed"', "did you mean seed?"),
    (
        "max_leverage: 20",
        "leverage: 20, max_leverage: 20",
        "markets.ATOM.leverage",
        "did you mean max_leverage?",
    ),
    (
        "name: long_a",
        "name: long_a, colateral: 1",
        "accounts[0].colateral",
        "did you mean collateral?",
    ),
    (
        'size: "100"',
        'sise: "1", size: "100"',
        "accounts[0].positions.ATOM.sise",
        "did you mean size?",
    ),
    ("{set_price:", "{set_prise:", "path[0].set_prise", "did you mean set_price?"),
    ("side: buy,", "side: buy, tiff: gtc,", "path[3].trade.tiff", "did you mean tif?"),
    (
        "cancel: {account: maker}",
        "cancel: {account: maker, acount: x}",
        "path[4].cancel.acount",
        "did you mean account?",
    ),
    ("deposit: {", "deposit: {amout: 1, ", "path[5].deposit.amout", "did you mean amount?"),
    ("    asks:", "    ask: []\n    asks:", "book.ATOM.ask", "did you mean asks?"),
    ("name: maker,", "nam: maker, name: maker,", "market_maker.nam", "did you mean name?"),
    # missing
    (
        'collateral: "20", ',
        "",
        "accounts[0].collateral",
        "no such key",
        "USDC deposited, as a decimal string",
    ),
    ("size_decimals: 3, ", "", "markets.ATOM.size_decimals", "no such key", "1 lot is 10^-d"),
    ('size: "100", ', "", "accounts[0].positions.ATOM.size", "no such key"),
    ("side: buy, ", "", "path[3].trade.side", "no such key", "the key side: buy or sell"),
    # types
    (
        "{wait: 60}",
        "{wait: 1.5}",
        "path[1].wait",
        "1.5 without quotes",
        "a whole number without quotes",
    ),
    ("{wait: 60}", '{wait: "60"}', "path[1].wait", '"60"', "a whole number without quotes"),
    ("{wait: 60}", "{wait: 0}", "path[1].wait", "found 0", "1 or more"),
    ("{wait: 60}", "{wait: }", "path[1]", "a value for wait"),
    (
        "{wait: 60}",
        "{wait: 60, keep: true}",
        "path[1]",
        "exactly one action",
        "there is 2 (wait, keep)",
    ),
    ("{wait: 60}", "{note: hm}", "path[1]", "exactly one action", "there is none"),
    ("{wait: 60}", "wait", "path[1]", '"wait"', "expected a mapping"),
    ("{keeper: off}", "{keeper: of}", "path[2].keeper", '"of"', "on or off"),
    ("{keep: true}", "{keep: false}", "path[8].keep", "found false", "expected true"),
    ("side: buy", "side: long", "path[3].trade.side", '"long"', "buy or sell"),
    ("tif: ioc", "tif: fok", "path[3].trade.tif", '"fok"', "gtc or ioc"),
    (
        "max_leverage: 20",
        'max_leverage: "20"',
        "markets.ATOM.max_leverage",
        "a whole number without quotes",
    ),
    ("max_leverage: 20", "max_leverage: 0", "markets.ATOM.max_leverage", "1 or more"),
    ("size_decimals: 3", "size_decimals: 7", "markets.ATOM.size_decimals", "found 7", "6 or less"),
    ("size_decimals: 3", "size_decimals: true", "markets.ATOM.size_decimals", "found true"),
    (
        "{name: long_a,",
        "{allow_unhealthy: 1, name: long_a,",
        "accounts[0].allow_unhealthy",
        "true or false",
    ),
    (ATOM_A, "[ATOM]", "accounts[0].positions", "a list of 1", "a mapping"),
    ("name: long_a", "name: 5", "accounts[0].name", "found 5", 'quote it, "5"'),
    (
        "name: long_a, coll",
        "name: a.b, coll",
        "accounts[0].name",
        '"a.b"',
        "a name of letters, digits",
    ),
    ("note: the mark gaps down", "note: ", "path[0]", "a value for note"),
    (BIDS, "bids: 5", "book.ATOM.bids", "found 5", "a list"),
    (
        '["1.673", "152.42"]',
        '["1.673"]',
        "book.ATOM.bids[1]",
        "a list of 1",
        "a pair [price, size]",
    ),
    ('["1.673", "152.42"]', "1.673", "book.ATOM.bids[1]", "a pair [price, size]"),
    # numbers
    (
        'insurance: "12.5"',
        "insurance: 12.5",
        "venue.insurance",
        "12.5 without quotes",
        'quote it, "12.5"',
    ),
    (
        'collateral: "20"',
        "collateral: 20.50",
        "accounts[0].collateral",
        "20.50 without quotes",
        'quote it, "20.50"',
    ),
    ('"78.85"', "78.85", "book.ATOM.bids[0][1]", 'quote it, "78.85"'),
    ('price: "1.688"', "price: 1.688", "markets.ATOM.price", 'quote it, "1.688"'),
    ('ATOM: "1.2"', "ATOM: 1.2", "path[0].set_price.ATOM", 'quote it, "1.2"'),
    (
        'collateral: "20"',
        "collateral: 1_000",
        "accounts[0].collateral",
        "1_000 without quotes",
        "quote it",
    ),
    ('collateral: "20"', "collateral: 0x10", "accounts[0].collateral", "0x10 without quotes"),
    ('collateral: "20"', 'collateral: "1e3"', "accounts[0].collateral", '"1e3"', "no exponent"),
    ('collateral: "20"', 'collateral: "NaN"', "accounts[0].collateral", '"NaN"', "no NaN"),
    (
        'collateral: "20"',
        "collateral: true",
        "accounts[0].collateral",
        "found true",
        "a decimal string",
    ),
    (
        'collateral: "20"',
        "collateral: ",
        "accounts[0].collateral",
        "found nothing",
        "a decimal string",
    ),
    ('collateral: "20"', 'collateral: "-20"', "accounts[0].collateral", '"-20"', "zero or more"),
    (
        'collateral: "20"',
        'collateral: "20.0000001"',
        "accounts[0].collateral",
        "a multiple of 0.000001",
        "off grid",
    ),
    ('collateral: "20"', 'collateral: "99999999999999"', "accounts[0].collateral", "too large"),
    ('amount: "5"}', 'amount: "0"}', "path[5].deposit.amount", "more than zero"),
    ('insurance: "12.5"', 'tranche: "-5"', "venue.tranche", '"-5"', "zero or more"),
    ('insurance: "12.5"', 'ring_fences: {NOPE: "0.5"}', "venue.ring_fences.NOPE", "NOPE"),
    ('insurance: "12.5"', 'max_step: "0"', "venue.max_step", "above 0 and at most 1"),
    ('insurance: "12.5"', "max_step: ", "venue.max_step", "found nothing", "none (no limit)"),
    ('insurance: "12.5"', "max_step: 0.01", "venue.max_step", 'quote it, "0.01"'),
    (
        "size_decimals: 3, max_leverage: 20",
        "size_decimals: 3, max_leverage: 50",
        "markets.ATOM.max_leverage",
        "a step of 10000 ppm reaches",
        "at most 49, or a smaller venue.max_step",
    ),
    (
        'insurance: "12.5"',
        "score: luck",
        "venue.score",
        '"luck"',
        "hyperliquid_docs, return_x_leverage or binance",
    ),
    ('insurance: "12.5"', "close: luck", "venue.close", "bankruptcy, previous_mark or mark"),
    ('insurance: "12.5"', "trigger: x", "venue.trigger", "underwater or unfillable"),
    # grids
    (
        'price: "1.688"',
        'price: "1.6885"',
        "markets.ATOM.price",
        "a multiple of 0.001",
        "price 1.6885 is off tick: ATOM ticks are 0.001",
    ),
    (
        'entry: "1.8"',
        'entry: "1.80001"',
        "accounts[0].positions.ATOM.entry",
        "off tick: ATOM ticks are 0.001",
    ),
    (
        'size: "100"',
        'size: "100.0001"',
        "accounts[0].positions.ATOM.size",
        "size 100.0001 is off lot: ATOM lots are 0.001",
    ),
    (
        'size: "100"',
        'size: "0"',
        "accounts[0].positions.ATOM.size",
        '"0"',
        "a size other than zero",
    ),
    ('["1.673",', '["1.67355",', "book.ATOM.bids[1][0]", "off tick"),
    ('"78.85"', '"78.8555"', "book.ATOM.bids[0][1]", "off lot"),
    ('"78.85"', '"-78.85"', "book.ATOM.bids[0][1]", "a size above zero"),
    ('ATOM: "1.2"', 'ATOM: "1.23456"', "path[0].set_price.ATOM", "off tick"),
    ('ATOM: "1.2"', 'ATOM: "0"', "path[0].set_price.ATOM", "below one tick"),
    ('price: "1.5"', 'price: "1.5001"', "path[3].trade.price", "off tick"),
    ('size: "1",', 'size: "1.0001",', "path[3].trade.size", "off lot"),
    ('size: "1",', 'size: "0",', "path[3].trade.size", "a size above zero"),
    # names
    (
        ATOM_A,
        ATOM_A.replace("ATOM", "ATMO"),
        "accounts[0].positions.ATMO",
        "unknown market ATMO",
        "did you mean ATOM?",
    ),
    (
        "book:\n  ATOM:",
        "book:\n  ATOMS:",
        "book.ATOMS",
        "unknown market ATOMS",
        "did you mean ATOM?",
    ),
    (
        'ATOM: "1.2"',
        'ETH: "1.2"',
        "path[0].set_price.ETH",
        "unknown market ETH",
        "one of ATOM, BTC",
    ),
    ("market: ATOM", "market: ATM", "path[3].trade.market", "did you mean ATOM?"),
    (
        "account: short_a, market",
        "account: short_b, market",
        "path[3].trade.account",
        "unknown account short_b",
        "did you mean short_a?",
    ),
    (
        "cancel: {account: maker}",
        "cancel: {account: taker}",
        "path[4].cancel.account",
        "unknown account taker",
    ),
    (
        "deposit: {account: long_a",
        "deposit: {account: long",
        "path[5].deposit.account",
        "did you mean long_a?",
    ),
    (
        "withdraw: {account: short_a",
        "withdraw: {account: vault",
        "path[6].withdraw.account",
        "unknown account vault",
    ),
    (
        "liquidate: long_a",
        "liquidate: nobody",
        "path[7].liquidate",
        "one of long_a, maker, short_a",
    ),
    ("    asks:", "    owner: nobody\n    asks:", "book.ATOM.owner", "unknown account nobody"),
    (
        "  - name: short_a",
        "  - {name: long_a, collateral: 1}\n  - name: short_a",
        "accounts[1].name",
        "long_a again (it is accounts[0])",
    ),
    (
        "  - name: short_a",
        "  - {name: maker, collateral: 1}\n  - name: short_a",
        ("market_maker.name", 17),
        "maker again (it is accounts[1])",
    ),
    (
        "  - name: short_a",
        "  - {name: Vault, collateral: 1}\n  - name: short_a",
        "accounts[1].name",
        "the reserved name Vault",
    ),
    (
        "  - name: short_a",
        "  - {name: estate_1, collateral: 1}\n  - name: short_a",
        "accounts[1].name",
        "the reserved name",
    ),
    (
        "name: two_winners",
        "name: two_losers",
        "name",
        '"two_losers"',
        '"two_winners", the name of the file',
    ),
    # what cannot be
    (
        'collateral: "20"',
        'allow_unhealthy: true, collateral: "8"',
        "accounts[0].collateral",
        "too little to open",
        "at least 9 USDC",
        "ATOM 9",
    ),
    (
        'collateral: "20"',
        'collateral: "12"',
        "accounts[0]",
        "equity 0.8 USDC at the start prices",
        "maintenance margin 4.22 USDC",
        "allow_unhealthy: true",
    ),
    (
        "    collateral: 2000\n",
        "    collateral: 1000\n",
        "accounts[1].collateral",
        "at least 1128.4 USDC",
        "ATOM 3.4, BTC 1125",
    ),
    (
        '{name: maker, collateral: "1000000"}',
        '{name: maker, collateral: "500"}',
        "market_maker.collateral",
        "too little to take the other side",
        "equity 504 USDC",
        "1130.4",
    ),
    (
        BIDS,
        'bids: [["1.7", "5"]]',
        ("book.ATOM", 18),
        "a bid at 1.7 and an ask at 1.7",
        "bids below asks",
    ),
    (
        'size: "0.5"',
        'size: "0.0001"',
        "accounts[1].positions.BTC.size",
        "an order of 9 USDC",
        "at least 10 USDC, the min_notional of BTC",
    ),
    # expect
    (
        "solvency.difference:",
        "solvency..difference:",
        "expect.solvency..difference",
        "a path such as",
    ),
    ('difference: "0"', "difference: 0.0", "expect.solvency.difference", 'quote it, "0.0"'),
    (
        "{min: 1}",
        "{mim: 1}",
        "expect.adl.fills.length",
        "the comparison mim",
        "one of min, max, not, contains",
    ),
    ("{min: 1}", "{min: 1.5}", "expect.adl.fills.length", 'quote it, "1.5"'),
    # duplicates
    (
        "  insurance:",
        "  insurance: 1\n  insurance:",
        ("venue.insurance", 6),
        "again (first on line 5)",
        "each key once",
    ),
]


@pytest.mark.parametrize("case", WRONG, ids=[f"{i}-{case[2]}" for i, case in enumerate(WRONG)])
def test_one_thing_wrong_gives_one_exact_line(case):
    old, new, key, *words = case
    text = edited(old, new)
    # the first line that differs is the one to be named, unless the case says otherwise
    pairs = zip(GOOD.splitlines(), text.splitlines(), strict=False)
    line = next(n for n, (a, b) in enumerate(pairs, start=1) if a != b)
    if isinstance(key, tuple):
        key, line = key
    (problem,) = problems(text)
    assert str(problem).startswith(f"{FILE}:{line}: {key}: found ")
    for word in words:
        assert word in str(problem)


@pytest.mark.parametrize(
    ("key", "first"),
    [
        ("name", "name: two_winners\n"),
        ("description", "description: the smallest case in which rank decides\n"),
        ("source", "source: made up\n"),
    ],
)
def test_a_missing_key_of_the_file_is_named(key, first):
    (p,) = problems(edited(first, ""))
    assert str(p).startswith(f"{FILE}:1: {key}: found no such key, expected the key {key}: ")


def test_somebody_must_be_there_but_a_crowd_is_enough():
    found = [str(p) for p in problems(edited("\naccounts:\n", "\nseed: 0\nxaccounts:\n"))]
    words = f"{FILE}:1: accounts: found nobody, expected at least one account, or populations"
    assert words in found
    crowd = """\
name: two_winners
description: Nobody is stated by name.
source: made up
markets: {X: {size_decimals: 2, max_leverage: 20, price: "100"}}
populations: [{name: few, market: X, count: 3, collateral: "1000", leverage: "2"}]
path: [{set_price: {X: "99"}}]
expect: {solvency.difference: "0"}
"""
    assert fmt.parse(crowd, FILE).account_names == ("few_1", "few_2", "few_3", "maker")


@pytest.mark.parametrize("key", ["markets", "path", "expect"])
def test_a_missing_section_is_named(key):
    found = [str(p) for p in problems(edited(f"\n{key}:\n", f"\nseed: 0\nx{key}:\n"))]
    assert any(f":1: {key}: found no such key, expected the key {key}: " in p for p in found)
    assert any(f": x{key}: found the unknown key" in p for p in found)


def test_a_printed_figure_leads_somewhere():
    rows = """
printed:
  - {what: the close, printed: "1", path: "adl.fills[0].price", why: the same}
  - {what: the loss, printed: "2", path: "adl.fils[0].haircut", why: the same}
  - {what: the rest, printed: "3", path: "adl..fills", why: the same}

expect:
"""
    found = [str(p) for p in problems(edited("\nexpect:\n", rows))]
    assert len(found) == 2
    line = GOOD[: GOOD.index("\nexpect:\n")].count("\n") + 4
    assert found[0] == (
        f'{FILE}:{line}: printed[1].path: found the path "adl.fils[0].haircut", which is in no '
        "result, expected perhaps adl.fills"
    )
    assert found[1].startswith(f'{FILE}:{line + 1}: printed[2].path: found the path "adl..fills", ')


# ---- files that are no scenario at all


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "found an empty file, expected a mapping with name"),
        ("# only a comment\n", 1, "found an empty file"),
        ("\n- a\n- b\n", 2, "found a list, expected a mapping"),
        ("hello\n", 1, "found a single value, expected a mapping"),
        ("name: x\nvenue: [1, 2\n", 3, "expected valid YAML"),
        ("name: x\n\tvenue: 1\n", 2, "expected valid YAML"),
        ("name: x\n b: 1\n", 2, "expected valid YAML"),
        ("name: *nobody\n", 1, "expected valid YAML"),
        ("name: a\n---\nname: b\n", 2, "expected valid YAML"),
        ("name: \x00\n", 1, "expected valid YAML"),
        ("name: x\nvenue: &v {a: *v}\n", 2, "found endless nesting"),
        ("a: " + "[" * 100 + "]" * 100, 1, "found endless nesting"),
        ("a: " + "[" * 500, 1, "expected"),
    ],
)
def test_no_scenario_at_all(text, line, words):
    (problem,) = problems(text)
    assert str(problem).startswith(f"{FILE}:{line}: scenario: found ")
    assert words in str(problem)


def test_aliases_that_multiply_are_stopped():
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (problem,) = problems("\n".join(rows))
    assert "found endless nesting" in str(problem)


def test_load_says_when_there_is_no_file(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ScenarioError) as caught:
            fmt.load(path)
        assert f"{path}:1: scenario: found no readable file (" in str(caught.value)
    binary = tmp_path / "two_winners.yaml"
    binary.write_bytes(b"name: \xff\xfe")
    with pytest.raises(ScenarioError, match="found bytes that are not UTF-8"):
        fmt.load(binary)


# ---- csv


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "found ladder.csv: No such file or directory"),
        ("", "found ladder.csv:1: an empty file, expected two columns"),
        ("size,price\n1,2\n", 'found ladder.csv:1: "size,price", expected two columns'),
        ("price_usdt\n1\n", "expected two columns, price... and quantity..."),
        ("price_usdt,quantity_atom\n", "found ladder.csv: no rows"),
        ("price_usdt,quantity_atom\n1.6,5\n1.5\n", "found ladder.csv:3: 1 columns"),
        ("price_usdt,quantity_atom\n1.6005,5\n", "found ladder.csv:2: price 1.6005 is off tick"),
        ("price_usdt,quantity_atom\n1.6,x\n", 'found ladder.csv:2: size "x" is not plain'),
        ("price_usdt,quantity_atom\n1.6,0\n", "found ladder.csv:2: size 0, expected a size above"),
        ("price_usdt,quantity_atom\n1.6,\xff\n", "found ladder.csv: not UTF-8 text"),
    ],
)
def test_csv_missing_or_malformed(tmp_path, content, words):
    file = tmp_path / "two_winners.yaml"
    file.write_text(edited(BIDS, "csv: ladder.csv"))
    if content is not None:
        (tmp_path / "ladder.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(ScenarioError) as caught:
        fmt.load(file)
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{file}:19: book.ATOM.csv: found ")
    assert words in str(problem)


def test_csv_rows_below_the_smallest_order(tmp_path):
    file = tmp_path / "two_winners.yaml"
    text = edited(BIDS, "csv: ladder.csv").replace('min_notional: "0"', 'min_notional: "10"')
    file.write_text(text.replace('["1.7", "5"]', '["1.7", "50"]'))
    (tmp_path / "ladder.csv").write_text("price_usdt,quantity_atom\n1.6,5\n1.5,6\n")
    with pytest.raises(ScenarioError) as caught:
        fmt.load(file)
    assert [p.found for p in caught.value.problems] == [
        "ladder.csv:2: an order of 8 USDC",
        "ladder.csv:3: an order of 9 USDC",
    ]


def test_csv_is_relative_and_alone():
    (p,) = problems(edited(BIDS, "csv: /data/ladder.csv"))
    assert "expected a path relative to the scenario's folder" in str(p)
    (p,) = problems(edited(BIDS, BIDS + "\n    csv: ladder.csv"))
    assert str(p).startswith(f"{FILE}:18: book.ATOM: ")
    assert "either bids or csv, not both" in str(p)


# ---- many things wrong


def test_an_empty_expect_is_refused():
    text = GOOD[: GOOD.index("expect:")] + "expect: {}\n"
    assert [str(p) for p in problems(text)] == [
        f"{FILE}:31: expect: found an empty mapping, expected at least 1"
    ]


def test_positions_that_can_neither_be_opened_nor_kept_say_both():
    keys = [p.key for p in problems(edited('collateral: "20"', 'collateral: "8"'))]
    assert keys == ["accounts[0].collateral", "accounts[0]"]


def test_every_problem_is_given_in_the_order_of_lines():
    text = GOOD.replace("  insurance:", "  insurence:").replace(
        'collateral: "20"', "collateral: 1.5"
    )
    text = text.replace('["1.673",', '["1.67355",').replace("market: ATOM", "market: ATM")
    text = text.replace("liquidate: long_a", "liquidate: long_b").replace("{min: 1}", "{mim: 1}")
    assert [(p.line, p.key) for p in problems(text)] == [
        (5, "venue.insurence"),
        (10, "accounts[0].collateral"),
        (19, "book.ATOM.bids[1][0]"),
        (25, "path[3].trade.market"),
        (29, "path[7].liquidate"),
        (33, "expect.adl.fills.length"),
    ]


def test_a_broken_account_is_not_also_called_unknown():
    assert [p.key for p in problems(edited('collateral: "20"', "collateral: []"))] == [
        "accounts[0].collateral"
    ]


@pytest.mark.parametrize("section", ["venue", "markets", "accounts", "market_maker", "book"])
@pytest.mark.parametrize("value", ["5", "text", "[1]", "{a: 1}", "[]", "", "[[]]", "{a: {b: 1}}"])
def test_a_section_of_any_shape_gives_an_error_and_not_a_crash(section, value):
    data = {"path": "[{wait: 1}]", "expect": "{a: 1}", "markets": "{}", "accounts": "[]"}
    data[section] = value
    text = "\n".join(f"{key}: {given}" for key, given in data.items())
    assert problems(text)


# ---- for editors


def test_json_schema_knows_the_format():
    schema = fmt.json_schema()
    json.dumps(schema)
    assert set(schema["properties"]) == set(Scenario.model_fields)
    step = schema["$defs"]["Step"]
    assert step["additionalProperties"] is False
    assert {"required": ["wait"]} in step["oneOf"]
    assert step["properties"]["wait"]["type"] == "integer"
    assert "null" not in json.dumps(step)
    money = schema["$defs"]["ScenarioAccount"]["properties"]["collateral"]
    assert {option["type"] for option in money["anyOf"]} == {"string", "integer"}
