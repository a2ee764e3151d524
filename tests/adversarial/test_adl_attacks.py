"""Attacks on who is deleveraged, and in which order: each fails with a reason, or is harmless in
figures that the test states (and prints, with `-s`). Under both engines where the engine matters.

docs/adl-order.md lists every attack with its test; more of them are in test_adl_flash.py,
test_rounds.py, test_book_tricks.py, test_prices.py and tests/unit/ranking/test_attacks.py.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from breakwater.bulk import LAST, USDC, Crowd, Row, events_as_victims
from breakwater.contract import Event
from breakwater.engine.base import Reverted
from breakwater.engine.revm import RevmEngine
from breakwater.model import adl
from tests.unit.lens.test_adl_lens import VENUES
from tests.vectors.bench import Bench, MarketSpec, usdc

ENGINES = pytest.mark.parametrize("engine", VENUES)
DUST = 4_000
STEPS = 192
"""Of the largest call."""

PRICE = 1_000_000
"""Ticks: a lot is worth a dollar."""


def bench_of(engine: str, *accounts: tuple[str, str, str], **config: Any) -> Bench:
    """A market at $100 with stated accounts (name, margin, size), all from $100."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"), venue=VENUES[engine], **config)
    for name, cash, size in accounts:
        bench.account(name, cash)
        bench.hold(name, 0, size, "100")
    size, _ = bench.position("counterparty", 0)
    if size < 0:
        # A short of the counterparty's would be a winner too.
        bench.account("sink", "1000000000000")
        bench.trade("counterparty", 0, -size, 1_100_000, against="sink")
        bench.account("other", "1000000000000")
        bench.trade("sink", 0, -bench.position("sink", 0)[0], 500_000, against="other")
    return bench


def fills_of(bench: Bench, name: str, steps: int = 256) -> list[Event]:
    txs = [bench.liquidate(name, steps), *bench.finish(steps)]
    return [fill for tx in txs for fill in tx.all("Deleveraged")]


def haircuts(bench: Bench, fills: list[Event]) -> dict[str, int]:
    """What each lost against the mark, micro-USDC."""
    names = {account: name for name, account in bench.ids.items()}
    out: dict[str, int] = {}
    for fill in fills:
        out[names[fill.winner]] = out.get(names[fill.winner], 0) + fill.haircut
    return out


# --- Dust ----------------------------------------------------------------------------------------


@pytest.fixture
def crowd() -> Crowd:
    return Crowd(RevmEngine(), [PRICE, PRICE])


def short(size: int, entry: int, cash: int) -> Row:
    return Row(0, 0, False, size, entry, cash)


def bankrupt(crowd: Crowd, size: int) -> int:
    """A long from $1 that is below zero at $0.90: its bankruptcy price is $0.98."""
    (account,) = crowd.trade([Row(0, 0, True, size, PRICE, size * PRICE // 50)])
    crowd.set_mark(900_000, PRICE)
    return account


def under(crowd: Crowd, engine: str, account: int) -> list[Event]:
    """The receipts of the round; the chain is as before."""
    snap = crowd.engine.snapshot()
    crowd.configure(engine, "hyperliquid_docs", 0)
    fills = crowd.liquidate(account, itertools.repeat(STEPS))
    crowd.engine.revert(snap)
    return fills


def test_4000_dust_losers_next_to_the_close_price(crowd: Crowd) -> None:
    """Shorts from just below the close price, at 60 times leverage: all in the bucket that
    straddles it, each out of profit there. The index passes each once a round, four a step."""
    crowd.trade([short(10, 979_990 + i % 10, 10 * 979_990 // 60) for i in range(DUST)], page=40)
    winners = crowd.trade([short(100, PRICE, (3 + i) * USDC) for i in range(3)])
    account = bankrupt(crowd, 250)
    expected = [(winners[0], 100), (winners[1], 100), (winners[2], 50)]
    for engine in VENUES:
        fills = under(crowd, engine, account)
        assert [(e.winner, e.size) for e in fills] == expected
        assert all(e.exact for e in fills)
        print(f"{engine}: {len(crowd.txs)} calls of {STEPS} steps past {DUST} losers")
        assert len(crowd.txs) <= (DUST + 50) // STEPS + 3
    # One call of the lens is too small for so many; by pages the answer is exact.
    lens = crowd.venue.adl_lens
    with pytest.raises(Reverted, match="lens: too many holders for one call, ask by pages"):
        lens.call("adl_light", winners[1], 0)
    ahead = of = start = 0
    while True:
        page = lens.call("adl_rank", winners[1], 0, start, 500)
        ahead, of, start = ahead + page.ahead, of + page.winners, page.next
        if not start:
            break
    # At the mark the losers are winners: of the queue of a close there.
    assert of == DUST + 3
    assert ahead == DUST + 1


def test_4000_dust_winners_in_the_best_bucket(crowd: Crowd) -> None:
    """Equals of one lot each, ahead of everybody. They bear what they stand in front of, a lot a
    fill; the index opens 300 of them, then goes on within its slack, and the receipts say so."""
    crowd.trade([short(1, PRICE, 21_000) for _ in range(DUST)], page=40)
    (whale,) = crowd.trade([short(1_000, PRICE, 100 * USDC)])
    account = bankrupt(crowd, 40)
    by_scan = under(crowd, "scan", account)
    fills = under(crowd, "index", account)
    print(f"index: {len(crowd.txs)} calls of {STEPS} steps for 40 of {DUST} equals")
    assert len(crowd.txs) <= 3 * DUST // STEPS
    for seen in (by_scan, fills):
        assert [e.size for e in seen] == [1] * 40
        assert whale not in [e.winner for e in seen]
        assert {e.score for e in seen} == {by_scan[0].score}
        assert {e.haircut for e in seen} == {80_000}
    # Without slack the order is the scan's, to the last of them.
    crowd.index.send("set_limits", 2**32 - 1, 0, sender=crowd.venue.owner)
    fills = under(crowd, "index", account)
    assert events_as_victims(fills) == events_as_victims(by_scan)
    assert all(e.exact for e in fills)


def test_a_winner_in_k_accounts_bears_as_much(crowd: Crowd) -> None:
    """One of 1,000 lots, or 40 of 25: the same lots at the same haircut, and nobody else's."""
    crowd.trade([short(1_000, PRICE, 900 * USDC)])
    seen = {}
    for engine, k in itertools.product(VENUES, (1, 40)):
        snap = crowd.engine.snapshot()
        parts = crowd.trade([short(1_000 // k, PRICE, 30 * USDC // k) for _ in range(k)])
        fills = under(crowd, engine, bankrupt(crowd, 700))
        assert {e.winner for e in fills} <= set(parts)
        seen[engine, k] = (sum(e.size for e in fills), sum(e.haircut for e in fills))
        crowd.engine.revert(snap)
    print(f"lots and haircut, whole or in 40 parts: {set(seen.values())}")
    assert set(seen.values()) == {(700, 56 * USDC)}


@ENGINES
def test_a_dust_bankrupt_exempts_no_whale(engine: str) -> None:
    """The whale is first in the queue. A bankrupt of one lot of its own, wound up first, closes one
    lot of it and leaves it first in the queue for the real one: no exemption is to be had."""
    rows = (("big", "50", "10"), ("whale", "100", "-10"), ("next", "300", "-10"))
    bench = bench_of(engine, *rows)
    bench.account("dust", "0.05", owner="whale")
    bench.trade("dust", 0, 1, 1_000_000)
    bench.mark({0: "80"})
    first = fills_of(bench, "dust")
    assert haircuts(bench, first) == {"whale": 150_000}
    fills = fills_of(bench, "big")
    assert [(f.winner, f.size) for f in fills] == [
        (bench.ids["whale"], 999), (bench.ids["next"], 1),
    ]  # fmt: skip
    assert sum(haircuts(bench, fills).values()) == usdc("150")


# --- Money and trades ----------------------------------------------------------------------------


@ENGINES
def test_margin_moved_between_own_accounts(engine: str) -> None:
    """From one own winner to the other: this epoch the receiver stays first; in the next the giver
    is. The owner bears the same $150 each time."""
    rows = (("bankrupt", "50", "10"), ("left", "100", "-10"), ("honest", "200", "-10"))
    found = {}
    for when in ("never", "at once", "an epoch before"):
        bench = bench_of(engine, *rows)
        bench.account("right", "400", owner="left")
        bench.hold("right", 0, "-10", "100")
        bench.mark({0: "80"})
        if when != "never":
            bench.send(
                "clearinghouse", "transfer", "left",
                bench.ids["right"], bench.ids["left"], usdc("300"),
            )  # fmt: skip
        if when == "an epoch before":
            bench.epoch()
        found[when] = haircuts(bench, fills_of(bench, "bankrupt"))
    print(engine, found)
    assert found == {
        "never": {"left": usdc("150")},
        "at once": {"left": usdc("150")},
        "an epoch before": {"right": usdc("150")},
    }


TAKER, MAKER = 450, 150
"""Fees in parts per million: 0.045% and 0.015%."""


@ENGINES
@pytest.mark.parametrize(
    ("mark", "avoided", "cost"), [("94", "10", "1.128"), ("80", "150", "0.96")]
)
def test_wash_trade_resets_the_entry(engine: str, mark: str, avoided: str, cost: str) -> None:
    """A winner closes against a friend at the mark and opens again there: its entry is the mark, it
    is out of profit at the close price, and the next in the queue bears the haircut.

    It costs two fees on each of two trades, and it is no more than anybody may do who takes a
    profit: who left the market before a bankrupt was proved is not in it. What bounds the gain is
    the step limit, under which a haircut is at most what one step leaves (here $10 at $94, from a
    bankruptcy price of $95); a gap to $80 needs that limit lifted. Once proved, it is too late.
    """
    rows = (("bankrupt", "50", "10"), ("washer", "100", "-10"), ("next", "300", "-10"))
    bench = bench_of(engine, *rows)
    bench.account("friend", "10000")
    bench.trading_terms(0, TAKER, MAKER)
    bench.mark({0: mark})
    snap = bench.engine.snapshot()
    honest = haircuts(bench, fills_of(bench, "bankrupt"))
    assert honest == {"washer": usdc(avoided)}
    bench.engine.revert(snap)
    snap = bench.engine.snapshot()
    fees = bench.venue.clearinghouse.call("fees")
    for side in (1, -1):
        bench.trade("washer", 0, side * 1_000, bench.prices[0], against="friend")
    paid = bench.venue.clearinghouse.call("fees") - fees
    print(f"{engine} at ${mark}: {paid} micro-USDC of fees against {honest['washer']} avoided")
    assert paid == usdc(cost)
    assert bench.position("washer", 0) == (-1_000, 1_000 * bench.prices[0])
    assert haircuts(bench, fills_of(bench, "bankrupt")) == {"next": usdc(avoided)}
    bench.engine.revert(snap)
    txs = [bench.liquidate("bankrupt", 1)]
    # Its order to leave does the round's work first, and the washer is closed by it.
    txs.append(bench.order("washer", 0, True, 1_000, bench.prices[0]))
    fills = [fill for tx in txs for fill in tx.all("Deleveraged")]
    assert haircuts(bench, fills) == {"washer": usdc(avoided)}
    assert bench.position("washer", 0) == (0, 0)


@ENGINES
def test_a_gift_by_trade_is_bounded_by_band_and_fees(engine: str) -> None:
    """KNOWN LIMIT, in figures. Equity can also come in by a trade with a friend in another market,
    at a price off the mark, and that counts at once. The band bounds it: at 5%, $500 takes $10,000
    of notional, the margin of both, and $6.30 of fees, and as much to undo it."""
    rows = (("bankrupt", "50", "10"), ("first", "600", "-10"), ("next", "650", "-10"))
    bench = bench_of(engine, *rows)
    bench.account("friend", "10000")
    bench.trading_terms(1, TAKER, MAKER, band=50_000)
    bench.mark({0: "80"})
    snap = bench.engine.snapshot()
    assert haircuts(bench, fills_of(bench, "bankrupt")) == {"first": usdc("150")}
    bench.engine.revert(snap)
    fees = bench.venue.clearinghouse.call("fees")
    before = bench.equity("first")
    bench.trade("first", 1, -10_000, 1_050_000, against="friend")
    paid = bench.venue.clearinghouse.call("fees") - fees
    gift = bench.equity("first") - before
    print(f"{engine}: {paid} micro-USDC of fees for a gift of {gift}")
    assert (paid, gift) == (usdc("6.3"), usdc("500") - usdc("4.725"))
    assert haircuts(bench, fills_of(bench, "bankrupt")) == {"next": usdc("150")}


@ENGINES
def test_straddle_over_a_price_step(engine: str) -> None:
    """Two accounts of one mind, long with little and short with much margin, and an honest short
    whose leverage makes it first in the queue. Over a gap of 20% the long leaves its deficit to the
    honest one, and the short keeps its profit: $150. Under the step limit of 1% the long is
    bankrupt by a part of a step when it is proved: the same costs the honest one $8.517."""
    gained = {}
    for max_step in (0, 10_000):
        bench = bench_of(
            engine, ("long", "50", "10"), ("honest", "60", "-10"), ("short", "1000", "-10"),
            max_step=max_step,
        )  # fmt: skip
        before = bench.equity("long") + bench.equity("short")
        fills: list[Event] = []
        for _ in range(25):
            bench.epoch({0: 800_000})
            if bench.position("long", 0)[0] and bench.is_liquidatable("long"):
                fills += fills_of(bench, "long")
            if fills:
                break
        assert set(haircuts(bench, fills)) == {"honest"}
        # The mark at which it is measured is that of the round.
        gained[max_step] = bench.equity("long") + bench.equity("short") - before
        assert gained[max_step] == haircuts(bench, fills)["honest"]
    print(f"{engine}: gained by a straddle without and with the step limit: {gained}")
    assert gained == {0: usdc("150"), 10_000: 8_517_000}


# --- Bankrupts and winners at the edges ----------------------------------------------------------


@ENGINES
def test_bankrupt_in_three_markets_with_a_winning_leg(engine: str) -> None:
    """Cash 150; long 10 (100 -> 80), long 10 (100 -> 90), short 10 (100 -> 95): equity -100. The
    losing legs bear 66.67 and 33.33 of it, the winning one goes at its mark: nobody chooses."""
    bench = Bench(*[MarketSpec("100")] * 3, venue=VENUES[engine])
    bench.account("bankrupt", "150")
    for market, size in enumerate(("10", "10", "-10")):
        bench.hold("bankrupt", market, size, "100")
    for market, (size, entry) in enumerate((("-10", "100"), ("-10", "100"), ("10", "92"))):
        bench.account(f"w{market}", "300")
        bench.hold(f"w{market}", market, size, entry)
    bench.mark({0: "80", 1: "90", 2: "95"})
    assert bench.equity("bankrupt") == -usdc("100")
    fills = fills_of(bench, "bankrupt")
    assert haircuts(bench, fills) == {"w0": 66_666_666, "w1": 33_333_334, "w2": 0}
    assert bench.cash("bankrupt") == 0
    assert bench.uninsured() == 0
    assert not bench.busy()


@ENGINES
def test_negative_bankruptcy_price_of_a_winner(engine: str) -> None:
    """A long with more margin than notional could not be bankrupt at any price; it is filed and
    ranked like anyone, last, and bears the rest."""
    bench = Bench(MarketSpec("100"), venue=VENUES[engine])
    bench.account("bankrupt", "50")
    bench.hold("bankrupt", 0, "-10", "100")
    for name, cash in (("geared", "60"), ("unlevered", "4000")):
        bench.account(name, cash)
        bench.hold(name, 0, "6", "100")
    bench.account("sink", "1000000")
    bench.trade("counterparty", 0, -bench.position("counterparty", 0)[0], 1_000_000, against="sink")
    bench.mark({0: "120"})
    lot = adl.Lot(bench.ids["bankrupt"], False, 1_000, usdc("1050"))
    expected, _ = adl.close_lot(lot, bench.standings(0, True), 1_200_000, "bankruptcy", 0)
    fills = fills_of(bench, "bankrupt")
    assert [(f.winner, f.size, f.quote, f.score) for f in fills] == [
        (f.winner, f.size, f.quote, f.score) for f in expected
    ]
    assert haircuts(bench, fills) == {"geared": usdc("90"), "unlevered": usdc("60")}


@ENGINES
def test_no_eligible_winner(engine: str) -> None:
    """Nobody is in profit at the bankruptcy price: nobody is touched. Insurance pays what it has,
    the rest is uninsured, the lots wait, and a later mark finds a taker."""
    bench = bench_of(engine, ("bankrupt", "50", "10"))
    bench.insure("20")
    bench.account("late", "10000")
    bench.hold("late", 0, "-20", "92")
    bench.mark({0: "90"})
    assert fills_of(bench, "bankrupt") == []
    assert (bench.uninsured(), bench.insurance()) == (usdc("30"), 0)
    bench.mark({0: "80"})
    fills = [f for tx in (bench.retry(0, True), *bench.finish()) for f in tx.all("Deleveraged")]
    assert haircuts(bench, fills) == {"late": usdc("100")}
    assert bench.uninsured() == usdc("30")


@ENGINES
def test_a_round_left_alone_for_ten_epochs(engine: str) -> None:
    """Begun with one step, then nobody calls while the price goes to $50 and back to $70: the fills
    are those of a round that was not left alone, and the market goes on from the new price."""
    rows = (("bankrupt", "50", "10"), ("first", "100", "-4"), ("second", "200", "-10"))
    whole, left = (bench_of(engine, *rows) for _ in range(2))
    for bench in (whole, left):
        bench.mark({0: "80"})
    expected = fills_of(whole, "bankrupt")
    txs = [left.liquidate("bankrupt", 1)]
    for dollars in (75, 70, 60, 50, 55, 60, 65, 66, 68, 70):
        left.epoch({0: dollars * 10_000})
        assert left.venue.oracle.call("mark", 0) == 800_000
    txs += left.finish(1)
    fills = [f for tx in txs for f in tx.all("Deleveraged")]
    assert [f.args for f in fills] == [f.args for f in expected]
    left.epoch()
    assert left.venue.oracle.call("mark", 0) == 700_000
    left.check()


@ENGINES
def test_orders_stuffed_into_the_bankrupt(engine: str) -> None:
    """128 orders, as many as an account may have: one number voids them all before anything is
    sold; what is void costs the seller a step each, once, and is never filled."""
    bench = bench_of(engine, ("bankrupt", "50", "10"), ("winner", "300", "-10"))
    for i in range(128):
        bench.order("bankrupt", i % 2, True, 1, 500_000 + i)
    bench.mark({0: "80"})
    bench.account("taker", "1000")
    txs = []
    while bench.position("bankrupt", 0)[0]:
        txs.append(bench.liquidate("bankrupt", 40))
        assert txs[-1].all("LiquidationFill") == []
        # In between they are void already.
        assert bench.place("taker", 1, False, 100, 500_000, tif=1).all("Filled") == []
    print(f"{engine}: {len(txs)} calls of 40 steps past 128 orders")
    assert len(txs) <= 64 // 40 + 2
    txs += bench.finish()
    fills = [f for tx in txs for f in tx.all("Deleveraged")]
    assert haircuts(bench, fills) == {"winner": usdc("150")}
    assert bench.cash("bankrupt") == 0
    for market in (0, 1):
        tx = bench.place("taker", market, False, 100, 500_000, tif=1)
        assert tx.all("Filled") == []


@ENGINES
def test_a_holder_who_trades_elsewhere_during_the_round(engine: str) -> None:
    """It may not: not in the market of the round nor in another, not by orders that rest there. Who
    has no position in the market goes on."""
    rows = (("bankrupt", "100", "20"), ("first", "100", "-10"), ("second", "200", "-10"))
    plain, tricky = (bench_of(engine, *rows) for _ in range(2))
    for bench in (plain, tricky):
        bench.account("free", "1000")
        bench.bid("first", 1, "1", "100")
        bench.mark({0: "80"})
    expected = fills_of(plain, "bankrupt")
    txs = [tricky.liquidate("bankrupt", 1)]
    hit = tricky.ask("free", 1, "1", "100")
    assert hit.all("Filled") == []
    assert hit.one("OrderCancelled").account == tricky.ids["first"]
    # Its own orders do the round's work first, in whichever market, and go on only if that ends it.
    for market in (0, 1):
        was_busy = tricky.busy()
        tx = tricky.bid("first", market, "1", "80")
        txs.append(tx)
        assert bool(tx.all("Unfilled")) == tricky.busy()
        assert bool(tx.all("Deleveraged")) == was_busy
    txs += tricky.finish(1)
    assert [f.args for tx in txs for f in tx.all("Deleveraged")] == [f.args for f in expected]


@ENGINES
def test_accounts_of_several_markets_are_never_out_of_date(engine: str) -> None:
    """Filed when its other market stood well, which has since eaten its equity: it is first now,
    and nobody had to refile it."""
    crowd = Crowd(RevmEngine(), [PRICE, PRICE])
    single = crowd.trade([short(100, PRICE, 5 * USDC)])
    both = crowd.trade([short(100, PRICE, 50 * USDC), Row(LAST, 1, True, 100, PRICE, 0)])
    (account,) = crowd.trade([Row(0, 0, True, 150, PRICE, 150 * PRICE // 50)])
    crowd.set_mark(900_000, PRICE)
    assert [e.winner for e in under(crowd, engine, account)] == single + both
    crowd.set_mark(900_000, 500_000)
    assert [e.winner for e in under(crowd, engine, account)] == both + single
