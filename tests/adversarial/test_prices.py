"""Attempts to move a mark: by what the book shows for a moment, by trades with oneself, by lying or
silent reporters, by epochs in quick succession."""

from __future__ import annotations

import pytest

from breakwater.engine.base import Reverted
from tests.vectors.bench import MAX_SIZE, Bench, MarketSpec

EMA = 150
PRICE = 1_000_000


def _book(**config: object) -> Bench:
    """At 100, an honest and deep book at 99.9 and 100.1 that is sampled every ten seconds."""
    bench = Bench(MarketSpec("100"), check=False, **config)
    for name in ("honest", "liar", "friend"):
        bench.account(name, "1000000")
    bench.account("poor")
    bench.order("honest", 0, True, 100_000, 999_000)
    bench.order("honest", 0, False, 100_000, 1_001_000)
    for _ in range(30):
        bench.sample(wait=9)
    return bench


def _ask_gone(**config: object) -> Bench:
    """The same with nobody left who asks, so that a bid may be shown at any price."""
    bench = _book(**config)
    order = bench.venue.order_book.call("open_orders", bench.ids["honest"])[1]
    bench.send("order_book", "cancel", "honest", order.order_id)
    bench.sample(wait=9)
    bench.epoch()
    return bench


def _mark(bench: Bench) -> int:
    return int(bench.venue.oracle.call("mark", 0))


def test_book_that_nobody_sampled_moves_nothing() -> None:
    """A poke reads no book: orders shown for the time of a poke are as if they were not there."""
    bench = _ask_gone()
    bench.order("liar", 0, True, 100_000, 1_490_000)
    bench.order("liar", 0, False, 100_000, 1_500_000)
    bench.epoch()
    bench.cancel_all("liar")
    assert _mark(bench) == PRICE


def test_fake_book_of_one_sample_weighs_its_seconds() -> None:
    """A book at 149 and 151 for one sample, 3 seconds after an honest one: the EMA moves by 3 / 153
    of the distance, the premium by 3 of the hour's seconds. The mark gets no further than the EMA,
    and the next honest sample takes it back."""
    bench = _ask_gone()
    before = bench.venue.oracle.call("last_sample", 0)
    bench.sample()
    bench.order("liar", 0, True, 100_000, 1_490_000)
    bench.order("liar", 0, False, 100_000, 1_510_000)
    told = bench.sample().one("Sampled")
    bench.cancel_all("liar")
    assert (told.impact_bid, told.impact_ask, told.premium) == (1_490_000, 1_510_000, 490_000_000)
    shift = (500_000 * 10**6 - before.ema) * 3 // (3 + EMA) + before.ema
    assert told.ema == shift
    after = bench.venue.oracle.call("last_sample", 0)
    assert after.premium - before.premium == 490_000_000 * 3
    bench.epoch()
    assert _mark(bench) == PRICE + shift // 10**6 == 1_009_803
    # One-sided again: the oracle alone.
    bench.sample()
    bench.epoch()
    assert _mark(bench) == PRICE
    # Over the hour: 3 seconds of 49% in some 320 sampled so far, none of it from the honest.
    total = bench.venue.oracle.call("last_sample", 0)
    assert total.premium == 490_000_000 * 3
    assert bench.venue.oracle.call("expected_rate", 0) < 490_000_000 * 3 // 300 // 8


def test_fake_book_within_an_honest_one_is_bounded_by_its_spread() -> None:
    """An order that would cross trades: who shows a bid above the asks buys them first, and without
    margin not even that. Inside of the spread the mark is the oracle's."""
    bench = _book()
    with pytest.raises(Reverted, match="margin: below initial margin"):
        bench.order("poor", 0, True, 100_000, 1_490_000)
    bench.order("poor", 0, True, 100_000, 1_000_999)
    bench.order("poor", 0, False, 100_000, 1_001_000)
    told = bench.sample(wait=59).one("Sampled")
    assert told.ema < 1_000 * 10**6
    bench.epoch()
    assert abs(_mark(bench) - PRICE) < 1_000


def test_orders_without_margin_are_no_book() -> None:
    """One side is empty and nobody samples for a minute; an account without a cent shows both sides
    at five times the price. Nothing moves: an order counts as far as its maker has margin for it."""
    bench = _ask_gone(max_step=10_000)
    bench.order("poor", 0, True, 100_000, 4_990_000)
    bench.order("poor", 0, False, 100_000, 5_010_000)
    told = bench.sample(wait=200).one("Sampled")
    assert (told.middle, told.impact_bid, told.impact_ask, told.ema) == (0, 999_000, 0, 0)
    for _ in range(3):
        bench.epoch()
        assert _mark(bench) == PRICE


@pytest.mark.parametrize("price", ["0.01", "1677"])
def test_wash_trade_pushes_the_last_trade_alone(price: str) -> None:
    """Two accounts of the attacker trade at any price while the book is away: the last trade is one
    voice of three of one voice of three."""
    bench = _book()
    bench.cancel_all("honest")
    ticks = bench.ticks(0, price)
    bench.order("liar", 0, True, 1, ticks)
    bench.order("friend", 0, False, 1, ticks)
    assert bench.venue.order_book.call("last_trade", 0) == ticks
    bench.order("honest", 0, True, 100_000, 999_000)
    bench.order("honest", 0, False, 100_000, 1_001_000)
    bench.sample()
    middle = bench.venue.oracle.call("last_sample", 0).middle
    assert middle == (999_000 if ticks < PRICE else 1_001_000)
    bench.epoch()
    assert _mark(bench) == PRICE


def test_a_band_refuses_wash_trades_far_from_the_mark() -> None:
    bench = _book()
    bench.trading_terms(band=50_000)
    bench.cancel_all("honest")
    bench.order("liar", 0, True, 100, 949_999)
    for _ in range(2):
        tx = bench.order("friend", 0, False, 100, 949_999)
        assert tx.all("Filled") == []
        assert tx.one("Unfilled").size == 100
    bench.order("liar", 0, True, 100, 950_000)
    assert bench.order("friend", 0, False, 100, 949_999).one("Filled").price == 950_000


def test_void_orders_hide_the_book_until_they_are_purged() -> None:
    """64 void orders on top of a side, and quotes see nothing behind them: the premium is 0 and the
    mark is the oracle's. `purge` deletes them, for anyone."""
    bench = _book()
    for i in range(64):
        bench.order("poor", 0, True, 1, 999_001 + i)
    bench.cancel_all("poor")
    quotes = bench.venue.order_book.call("quotes", 0, 6_000 * 10**6)
    assert (quotes.best_bid, quotes.impact_bid) == (0, 0)
    assert bench.venue.order_book.call("best", 0, True) == 999_000
    bench.sample()
    assert bench.venue.oracle.call("last_sample", 0).middle == 0
    bench.epoch()
    assert _mark(bench) == PRICE
    purged = bench.send("order_book", "purge", "passer-by", 0, True, 64)
    assert len(purged.all("OrderCancelled")) == 64
    quotes = bench.venue.order_book.call("quotes", 0, 6_000 * 10**6)
    assert (quotes.best_bid, quotes.impact_bid) == (999_000, 999_000)
    # Of live orders it takes none.
    assert bench.send("order_book", "purge", "passer-by", 0, True, 64).events == ()


def test_sampling_twice_a_second_is_refused() -> None:
    bench = _book()
    bench.sample()
    at = bench.venue.oracle.call("last_sample", 0).at
    assert at == bench.engine.timestamp
    # Each block of this engine is a second later: the rule is asked with the block of the sample.
    with pytest.raises(Reverted, match="oracle: sampled already"):
        bench.venue.oracle.call("sample", 0)


# --- Reporters -----------------------------------------------------------------------------------


def _reporters(quorum: int, **config: object) -> Bench:
    bench = Bench(MarketSpec("100"), MarketSpec("100"), **config)
    oracle, owner = bench.venue.oracle, bench.venue.owner
    oracle.send("set_reporter", bench.venue.reporter, False, sender=owner)
    for name in ("r1", "r2", "r3"):
        oracle.send("set_reporter", bench.engine.actor(name), True, sender=owner)
    oracle.send("set_quorum", quorum, sender=owner)
    return bench


def _report(bench: Bench, name: str, *dollars: str) -> None:
    prices = [bench.ticks(0, price) for price in dollars]
    bench.send("oracle", "report", name, prices)


def _poke(bench: Bench) -> tuple[int, int]:
    bench.send("oracle", "poke", "passer-by")
    oracle = bench.venue.oracle
    return oracle.call("oracle_price", 0), oracle.call("previous_mark", 0)


@pytest.mark.parametrize("lies", [("1", "1600"), ("1600", "1", "99.9999", "1600"), ("1",)])
def test_equivocation_of_one_reporter(lies: tuple[str, ...]) -> None:
    """One of three says one thing, then another: its last word counts, and the median is within
    what the two others said."""
    bench = _reporters(2)
    _report(bench, "r1", "100.1", "100")
    _report(bench, "r2", "100.2", "100")
    for lie in lies:
        _report(bench, "r3", lie, "100")
    price, _ = _poke(bench)
    assert price in (1_001_000, 1_002_000)


def test_one_stale_reporter_among_three() -> None:
    """What it said once is not counted for ever: the price is the mean of the two fresh ones. With
    a quorum of three nothing is priced, and what adds risk is refused in the end."""
    for quorum, expected in ((2, 910_000), (3, 1_200_000)):
        bench = _reporters(quorum, stale_after=100)
        for name in ("r1", "r2", "r3"):
            _report(bench, name, "120", "100")
        assert _poke(bench)[0] == 1_200_000
        bench.engine.wait(101)
        _report(bench, "r1", "90", "100")
        _report(bench, "r2", "92", "100")
        assert _poke(bench)[0] == expected
        assert bench.venue.oracle.call("is_fresh", 0) is (quorum == 2)
        bench.account("buyer", "1000")
        if quorum == 2:
            bench.ask("counterparty", 0, "1", "90")
            assert bench.bid("buyer", 0, "1", "90").all("Filled")
        else:
            for name in ("counterparty", "buyer"):
                with pytest.raises(Reverted, match="oracle: stale price"):
                    bench.bid(name, 0, "1", "90")


def test_a_liar_among_two_fresh_reporters() -> None:
    """KNOWN LIMIT: a quorum of two takes the mean of two, so one liar moves the price half the way;
    the mark follows by one step an epoch."""
    bench = _reporters(2, max_step=10_000)
    _report(bench, "r1", "100", "100")
    _report(bench, "r2", "200", "100")
    assert _poke(bench)[0] == 1_500_000
    assert bench.venue.oracle.call("mark", 0) == 1_010_000


def test_quorum_is_not_met_by_one_reporter_twice() -> None:
    bench = _reporters(2)
    for _ in range(2):
        _report(bench, "r1", "50", "100")
    assert _poke(bench)[0] == PRICE
    # Nor by one that was removed.
    _report(bench, "r2", "50", "100")
    bench.venue.oracle.send(
        "set_reporter", bench.engine.actor("r2"), False, sender=bench.venue.owner
    )
    assert _poke(bench)[0] == PRICE


def test_two_pokes_do_not_erase_the_previous_mark() -> None:
    """A second epoch needs its time and a new report; a market that nobody reported keeps both of
    its marks."""
    bench = _reporters(1, min_interval=3)
    bench.engine.wait(3)
    _report(bench, "r1", "95", "100")
    assert _poke(bench) == (950_000, PRICE)
    with pytest.raises(Reverted, match="oracle: too soon"):
        _poke(bench)
    bench.engine.wait(3)
    with pytest.raises(Reverted, match="oracle: no new report"):
        _poke(bench)
    assert bench.venue.oracle.call("previous_mark", 0) == PRICE
    # News of the other market alone, once what was said of this one has gone stale.
    bench.engine.wait(3_600)
    bench.send("oracle", "report", "r1", [0, PRICE])
    assert _poke(bench) == (950_000, PRICE)
    with pytest.raises(Reverted, match="oracle: not a reporter"):
        _report(bench, "passer-by", "95", "100")


def test_a_report_of_another_market_repeats_this_one() -> None:
    """KNOWN LIMIT: a report that is still fresh counts again in each epoch that other news begins,
    so a reporter who leaves a market out levels its previous mark."""
    bench = _reporters(1)
    _report(bench, "r1", "95", "100")
    _poke(bench)
    bench.send("oracle", "report", "r2", [0, PRICE])
    assert _poke(bench) == (950_000, 950_000)


# --- Open-interest cap ---------------------------------------------------------------------------


def _capped() -> Bench:
    """A cap of 1,000 lots. The attacker fills 990 of them with two accounts, 10 are someone's long
    who is about to go down."""
    bench = Bench(MarketSpec("100"))
    for name in ("left", "right", "other", "late"):
        bench.account(name, "100000")
    bench.account("weak", "0.6")
    bench.trading_terms(cap=1_000)
    bench.trade("weak", 0, 10, PRICE, against="other")
    bench.trade("left", 0, 990, PRICE, against="right")
    assert bench.venue.clearinghouse.call("open_interest", 0) == 1_000
    return bench


def test_cap_has_three_refusals() -> None:
    bench = _capped()
    with pytest.raises(Reverted, match="clearinghouse: cap: would increase the position"):
        bench.order("late", 0, True, 1, PRICE)
    with pytest.raises(Reverted, match="clearinghouse: cap: would increase the position"):
        bench.order("other", 0, False, 1, PRICE)
    with pytest.raises(Reverted, match="clearinghouse: cap: would flip the position"):
        bench.order("other", 0, True, 11, PRICE)
    with pytest.raises(Reverted, match="clearinghouse: cap: price too aggressive"):
        bench.order("other", 0, True, 10, 1_010_001)
    bench.order("other", 0, True, 10, 1_010_000)


def test_who_fills_the_cap_traps_nobody() -> None:
    """Everybody else reduces and leaves, and there is room again as soon as somebody did."""
    bench = _capped()
    bench.order("weak", 0, False, 10, PRICE)
    assert bench.order("other", 0, True, 10, PRICE).one("Filled").size == 10
    assert bench.venue.clearinghouse.call("open_interest", 0) == 990
    bench.ask("counterparty", 0, "0.05", "100")
    assert bench.order("late", 0, True, 5, PRICE).all("Filled")
    # What would step over the cap is refused as a whole.
    bench.ask("counterparty", 0, "1", "100")
    with pytest.raises(Reverted, match="clearinghouse: open interest cap"):
        bench.order("late", 0, True, 6, PRICE, "ioc")
    assert bench.order("late", 0, True, 5, PRICE, "ioc").one("Filled").size == 5


def test_liquidation_at_the_cap() -> None:
    """A position is handed on at the cap, to orders that rested before. KNOWN LIMIT: new bids of
    who has no short are refused there, and what finds none goes to ADL."""
    for early in (True, False):
        bench = _capped()
        if early:
            bench = Bench(MarketSpec("100"))
            for name in ("left", "right", "other", "late"):
                bench.account(name, "100000")
            bench.account("weak", "0.6")
            bench.trading_terms(cap=1_000)
            bench.trade("weak", 0, 10, PRICE, against="other")
            bench.order("late", 0, True, 10, 945_000)
            bench.trade("left", 0, 990, PRICE, against="right")
        bench.mark({0: "93.9"})
        if not early:
            with pytest.raises(Reverted, match="clearinghouse: cap: would increase"):
                bench.order("late", 0, True, 10, 945_000)
        tx = bench.liquidate("weak")
        assert sum(f.size for f in tx.all("LiquidationFill")) == (10 if early else 0)
        assert sum(f.size for f in tx.all("Deleveraged")) == (0 if early else 10)
        interest = bench.venue.clearinghouse.call("open_interest", 0)
        assert interest == (1_000 if early else 990) <= MAX_SIZE
