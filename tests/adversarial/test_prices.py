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
    """A book at 149 and 151 for one sample, 3 seconds after an honest one: it counts as a book 1%
    above the oracle, the EMA moves by 3 / 153 of that, the premium by 3 of the hour's seconds. The
    mark gets no further than the EMA, and the next honest sample takes it back."""
    bench = _ask_gone()
    before = bench.venue.oracle.call("last_sample", 0)
    bench.sample()
    bench.order("liar", 0, True, 100_000, 1_490_000)
    bench.order("liar", 0, False, 100_000, 1_510_000)
    told = bench.sample().one("Sampled")
    bench.cancel_all("liar")
    assert (told.impact_bid, told.impact_ask, told.premium) == (1_490_000, 1_510_000, 10**7)
    shift = (10_000 * 10**6 - before.ema) * 3 // (3 + EMA) + before.ema
    assert told.ema == shift
    after = bench.venue.oracle.call("last_sample", 0)
    assert after.premium - before.premium == 10**7 * 3
    bench.epoch()
    assert _mark(bench) == PRICE + shift // 10**6 == 1_000_196
    # One-sided again: the oracle alone.
    bench.sample()
    bench.epoch()
    assert _mark(bench) == PRICE
    # Over the hour: 3 seconds of 1% in some 320 sampled so far, none of it from the honest.
    total = bench.venue.oracle.call("last_sample", 0)
    assert total.premium == 10**7 * 3
    assert bench.venue.oracle.call("expected_rate", 0) == 12_500


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
    """One side is empty and nobody samples for a minute; somebody without a cent shows both sides
    at five times the price. Nothing moves: its orders count for nothing."""
    bench = _ask_gone(max_step=10_000)
    bench.order("poor", 0, True, 100_000, 4_990_000)
    bench.order("poor", 0, False, 100_000, 5_010_000)
    told = bench.sample(wait=200).one("Sampled")
    assert (told.middle, told.impact_bid, told.impact_ask, told.ema) == (0, 999_000, 0, 0)
    for _ in range(3):
        bench.epoch()
        assert _mark(bench) == PRICE


def test_empty_side_and_no_sampler() -> None:
    """Where one side is empty and nobody samples for a minute, a liar shows both sides at
    five times the price for one sample, which stands for 60 seconds. It counts as 1%, so
    the mark moves by 60 / 210 of that, 0.29%, and for two minutes at most; anyone's sample of the
    true book ends it at once. Twenty such samples in a row, with nobody else there, get to 1%."""
    bench = _ask_gone(max_step=10_000)
    bench.order("liar", 0, True, 100_000, 4_990_000)
    bench.order("liar", 0, False, 100_000, 5_010_000)
    before = bench.venue.oracle.call("last_sample", 0)
    told = bench.sample(wait=200).one("Sampled")
    assert told.ema == before.ema + (10_000 * 10**6 - before.ema) * 60 // (60 + EMA)
    bench.epoch()
    shown = bench.engine.snapshot()
    for _ in range(20):
        told = bench.sample(wait=60).one("Sampled")
    assert 9_980 * 10**6 < told.ema < 10_000 * 10**6
    bench.epoch()
    assert 1_009_980 <= _mark(bench) < 1_010_000
    bench.engine.revert(shown)
    bench.cancel_all("liar")
    for _ in range(3):
        bench.epoch()
        assert _mark(bench) == 1_002_857
    ended = bench.engine.snapshot()
    bench.sample()
    bench.epoch()
    assert _mark(bench) == PRICE
    bench.engine.revert(ended)
    # Without any sample: over when it is two minutes old.
    bench.engine.wait(120)
    bench.epoch()
    assert _mark(bench) == PRICE


def test_an_hour_in_which_only_the_liar_samples() -> None:
    """Its premium is the whole of what is known: 1%, which costs a long (1% - 0.05%) / 8 of the
    notional for the hour; five times the price once cost 4%."""
    bench = _ask_gone()
    bench.account("long", "1000")
    bench.hold("long", 0, "10", "100")
    bench.hour()
    bench.order("liar", 0, True, 100_000, 4_990_000)
    for _ in range(3):
        bench.sample(wait=30)
    bench.cancel_all("liar")
    before = bench.equity("long")
    accrued = bench.hour().one("FundingAccrued")
    assert (accrued.premium, accrued.rate) == (10**7, 1_187_500)
    assert before - bench.equity("long") == 1_187_500  # micro-USDC of 1,000 USDC


# --- The step and the margin ---------------------------------------------------------------------


@pytest.mark.parametrize("is_long", [True, False])
@pytest.mark.parametrize(("leverage", "step"), [(49, 10_000), (20, 24_999), (50, 9_999)])
def test_one_epoch_takes_no_account_from_maintenance_to_below_zero(
    leverage: int, step: int, is_long: bool
) -> None:
    """Both sides of one trade are the attacker's, at the highest leverage and with no more than
    maintenance left; then the price halves or doubles. What one epoch takes is less than
    maintenance, so the loser is liquidated with something left and the winner's profit is its own
    money. Lifted, the loser is below zero in one epoch and others pay."""
    bench = Bench(MarketSpec("100", leverage=leverage), max_step=step)
    notional = 1_000 * PRICE
    bench.account("loser", "100")
    bench.account("winner", "1000")
    # The loser's side is the one that the price goes against.
    bench.trade("loser", 0, 1_000 if is_long else -1_000, PRICE, against="winner")
    house = bench.venue.clearinghouse
    maintenance = house.call("margin", bench.ids["loser"]).maintenance
    assert maintenance == -(-notional // (2 * leverage))
    # Withdrawals leave initial margin; what is between goes the way a loss goes.
    before = bench.engine.snapshot()
    bench.epoch({0: PRICE // 2 if is_long else 2 * PRICE})
    moved = _mark(bench) - PRICE
    assert moved == (-1 if is_long else 1) * PRICE * step // 10**6
    lost = 100 * 10**6 - bench.equity("loser")
    assert lost == 1_000 * abs(moved) < maintenance
    bench.engine.revert(before)
    bench.venue.oracle.send("set_parameters", 1, 3_600, 0, sender=bench.venue.owner)
    bench.epoch({0: PRICE // 2 if is_long else 2 * PRICE})
    assert 100 * 10**6 - bench.equity("loser") > 30 * maintenance / 2
    assert bench.equity("loser") < 0


@pytest.mark.parametrize(("leverage", "step"), [(50, 10_000), (80, 6_250), (20, 25_000)])
def test_a_step_as_large_as_maintenance_cannot_be_had(leverage: int, step: int) -> None:
    """Neither by the market nor by the step, whichever comes first."""
    with pytest.raises(Reverted, match="governor: maintenance not above the oracle's step"):
        Bench(MarketSpec("100", leverage=leverage), max_step=step)
    bench = Bench(MarketSpec("100", leverage=leverage), max_step=step - 1)
    with pytest.raises(Reverted, match="oracle: step not below maintenance"):
        bench.venue.oracle.send("set_parameters", 1, 3_600, step, sender=bench.venue.owner)
    with pytest.raises(Reverted, match="governor: maintenance not above the oracle's step"):
        bench.govern("set_tiers", 0, [0], [leverage + 1])


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


@pytest.mark.parametrize("void", [True, False])
def test_a_wall_of_nothing_hides_the_book_until_anyone_purges_it(void: bool) -> None:
    """64 orders on top of a side that nobody can be held to, void or of an account without a cent:
    the book says that it cannot be read, no sample is taken, and what was sampled last stands.
    `purge` deletes them, for anyone."""
    bench = _book()
    for i in range(64):
        bench.order("poor", 0, True, 1, 999_001 + i)
    if void:
        bench.cancel_all("poor")
    for _ in range(2):
        with pytest.raises(Reverted, match="book: purge it first"):
            bench.venue.order_book.call("quotes", 0, 6_000 * 10**6)
    before = bench.venue.oracle.call("last_sample", 0)
    with pytest.raises(Reverted, match="book: purge it first"):
        bench.sample()
    assert bench.venue.oracle.call("last_sample", 0) == before
    purged = bench.send("order_book", "purge", "passer-by", 0, True, 64)
    assert len(purged.all("OrderCancelled")) == 64
    quotes = bench.venue.order_book.call("quotes", 0, 6_000 * 10**6)
    assert (quotes.best_bid, quotes.impact_bid) == (999_000, 999_000)
    # Of live orders with margin it takes none.
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


NO_NEWS = "oracle: no new report"


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
        if quorum == 2:
            assert _poke(bench)[0] == expected
        else:
            with pytest.raises(Reverted, match=NO_NEWS):
                _poke(bench)
        assert bench.venue.oracle.call("oracle_price", 0) == expected
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
        with pytest.raises(Reverted, match=NO_NEWS):
            _poke(bench)
    # Nor by one that was removed, even if it comes back.
    _report(bench, "r2", "50", "100")
    for allowed in (False, True):
        bench.venue.oracle.send(
            "set_reporter", bench.engine.actor("r2"), allowed, sender=bench.venue.owner
        )
        with pytest.raises(Reverted, match=NO_NEWS):
            _poke(bench)
    assert bench.venue.oracle.call("oracle_price", 0) == PRICE


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


def test_a_report_of_another_market_does_not_repeat_this_one() -> None:
    """A report that is still fresh does not count again in an epoch that news of other markets
    begins, and a zero is no news."""
    bench = _reporters(1)
    _report(bench, "r1", "95", "100")
    _poke(bench)
    for _ in range(3):
        bench.send("oracle", "report", "r2", [0, PRICE])
        assert _poke(bench) == (950_000, PRICE)
    bench.send("oracle", "report", "r2", [0, 0])
    with pytest.raises(Reverted, match=NO_NEWS):
        _poke(bench)


def test_a_lagging_reporter_does_not_erase_the_previous_mark() -> None:
    """A crash from 100 to 90: two of three say so and it is an epoch. The third comes late, and
    says it again and again; whoever pokes gets no epoch of it, so 100 stays the previous mark until
    two have spoken since."""
    bench = _reporters(2, stale_after=600)
    for name in ("r1", "r2", "r3"):
        _report(bench, name, "100", "100")
    _poke(bench)
    _report(bench, "r1", "90", "100")
    _report(bench, "r2", "90", "100")
    assert _poke(bench) == (900_000, PRICE)
    for _ in range(5):
        _report(bench, "r3", "90", "100")
        with pytest.raises(Reverted, match=NO_NEWS):
            _poke(bench)
        # Nor does its own update, which keeps the report.
        bench.send("oracle", "update", "r3", [900_000, PRICE])
    assert bench.venue.oracle.call("previous_mark", 0) == PRICE
    epoch = bench.venue.oracle.call("epoch")
    tx = bench.send("oracle", "update", "r1", [890_000, PRICE])
    assert len(tx.all("PriceUpdated")) == 2
    assert bench.venue.oracle.call("previous_mark", 0) == 900_000
    assert bench.venue.oracle.call("epoch") == epoch + 1


def test_a_late_poke_makes_no_price_young() -> None:
    """Reports of a quorum 599 seconds old, poked in their last second: the price is stale two
    seconds later, not after another 600, and adding risk on it is refused."""
    bench = _reporters(2, stale_after=600)
    bench.account("buyer", "1000")
    bench.ask("counterparty", 0, "1", "100")
    _report(bench, "r1", "100", "100")
    bench.engine.wait(300)
    _report(bench, "r2", "100", "100")
    oldest = bench.engine.timestamp - 301
    bench.engine.wait(oldest + 600 - bench.engine.timestamp - 1)
    assert _poke(bench)[0] == PRICE
    assert bench.engine.timestamp == oldest + 600
    assert bench.venue.oracle.call("price", 0).priced_at == oldest
    bench.engine.wait(1)
    with pytest.raises(Reverted, match="oracle: stale price"):
        bench.bid("buyer", 0, "1", "100")


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
    # Of what would step over the cap as much is filled as it leaves.
    bench.ask("counterparty", 0, "1", "100")
    assert bench.order("late", 0, True, 6, PRICE, "ioc").one("Filled").size == 5
    assert bench.venue.clearinghouse.call("open_interest", 0) == 1_000


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
