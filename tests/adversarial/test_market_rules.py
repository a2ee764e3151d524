"""Attempts to shut others in, or to get out of what is owed, by the rules of the market itself:
crowds of makers who may not trade, an hour of funding nobody wrote down yet, a vote on margin, a
settlement price, orders that hide a book."""

from __future__ import annotations

import pytest

from breakwater.engine.base import Reverted
from tests.tranche import without_code
from tests.vectors.bench import GTC, IOC, Bench, MarketSpec

PRICE = 1_000_000
DAY = 86_400
OPEN_ORDERS = 128
PASSED = 512
"""Waiting orders that one call passes."""


def _halted(crowd: int, price: int = PRICE) -> Bench:
    """A long and a short of 10, so many bids of others at one price, all with margin; halted."""
    bench = Bench(MarketSpec("100"), check=False)
    for name in ("long", "short"):
        bench.account(name, "10000")
    bench.trade("long", 0, 1_000, PRICE, against="short")
    for i in range(crowd):
        pest = f"pest {i // OPEN_ORDERS}"
        if i % OPEN_ORDERS == 0:
            bench.account(pest, "1000")
        bench.place(pest, 0, True, 100, price)
    bench.govern("halt", 0)
    return bench


def _sell(bench: Bench, size: int, price: int = PRICE) -> list[str]:
    """Who bought what the long sells at once, by name."""
    tx = bench.place("long", 0, False, size, price, IOC)
    assert not tx.all("OrderCancelled"), "a waiting maker was cancelled"
    names = {account: name for name, account in bench.ids.items()}
    return [names[fill.maker] for fill in tx.all("Filled")]


@pytest.mark.parametrize("crowd", [64, 65, 511, 512, 513, 1_000])
def test_a_crowd_that_waits_keeps_no_two_reducers_apart(crowd: int) -> None:
    """512 a call, and the next call begins where the last one ended."""
    bench = _halted(crowd)
    bench.place("short", 0, True, 1_000, PRICE)
    calls = 1
    while not _sell(bench, 400):
        calls += 1
    assert calls == crowd // PASSED + 1
    # From then on at once.
    assert _sell(bench, 600) == ["short"]
    assert bench.position("long", 0) == bench.position("short", 0) == (0, 0)
    bench.check()
    # Nobody lost a place: who was first in line is first when the market takes risk again.
    bench.govern("resume", 0)
    tx = bench.order("counterparty", 0, False, 100, PRICE)
    assert tx.one("Filled").maker == bench.ids["pest 0"]
    assert bench.venue.order_book.call("passed", 0, True) == (0, 0)


def test_who_comes_to_reduce_in_front_of_a_crowd_is_met_first() -> None:
    bench = _halted(100)
    bench.place("short", 0, True, 100, PRICE - 5)
    assert _sell(bench, 100, PRICE - 5) == ["short"]
    first = bench.venue.order_book.call("passed", 0, True)
    assert first[0] == PRICE
    # At a better price than the crowd, at its price behind it, and behind both.
    bench.account("other", "10000")
    for price in (PRICE + 3, PRICE, PRICE - 1):
        bench.place("short", 0, True, 100, price)
    fills = bench.place("long", 0, False, 250, PRICE - 5, IOC).all("Filled")
    assert [(fill.price, fill.size) for fill in fills] == [
        (PRICE + 3, 100),
        (PRICE, 100),
        (PRICE - 1, 50),
    ]


def test_passed_orders_that_leave_hide_nobody() -> None:
    """The last one that was passed is cancelled, or its whole price is empty."""
    bench = _halted(3)
    bench.place("short", 0, True, 100, PRICE)
    assert _sell(bench, 50) == ["short"]
    _, last = bench.venue.order_book.call("passed", 0, True)
    bench.send("order_book", "cancel", "pest 0", last)
    assert _sell(bench, 50) == ["short"]
    for order in bench.venue.order_book.call("open_orders", bench.ids["pest 0"]):
        bench.send("order_book", "cancel", "pest 0", order.order_id)
    bench.place("short", 0, True, 100, PRICE - 1)
    assert _sell(bench, 100, PRICE - 1) == ["short"]


def test_who_has_something_to_close_by_now_is_passed_no_more() -> None:
    """A bid waits; the market takes risk again, its maker goes short, the market is halted again:
    the bid reduces now, and it is the oldest."""
    bench = _halted(1)
    bench.place("short", 0, True, 100, PRICE)
    assert _sell(bench, 100) == ["short"]
    bench.govern("resume", 0)
    # By an ask: a bid in front of the others would end the passing by itself.
    bench.place("pest 0", 0, False, 30, PRICE + 9)
    bench.place("counterparty", 0, True, 30, PRICE + 9, IOC)
    bench.govern("halt", 0)
    bench.place("short", 0, True, 100, PRICE)
    tx = bench.place("long", 0, False, 100, PRICE, IOC)
    # It trades as far as that closes its position, and waits with the rest.
    assert [(f.maker, f.size) for f in tx.all("Filled")] == [
        (bench.ids["pest 0"], 30),
        (bench.ids["short"], 70),
    ]
    assert bench.position("pest 0", 0) == (0, 0)
    assert bench.venue.order_book.call("depth", 0, True, 1)[0].size == 70 + 30
    bench.check()


def test_a_trade_that_the_book_does_not_see_ends_the_passing() -> None:
    """Lots of an estate are taken from the deleverager: who takes them may have something to close
    afterwards."""
    bench = _halted(1)
    bench.place("short", 0, True, 100, PRICE)
    assert _sell(bench, 50) == ["short"]
    book, house = bench.venue.order_book, bench.venue.clearinghouse
    with pytest.raises(Reverted, match="book: clearinghouse only"):
        book.send("rewind", 0, sender=bench.keeper)
    trade = book.call("last_trade", 0)
    with without_code(bench.engine, house.address):
        book.send("rewind", 0, sender=house.address)
    assert book.call("passed", 0, True) == (0, 0)
    assert book.call("last_trade", 0) == trade == PRICE
    assert _sell(bench, 50) == ["short"]


def test_liquidation_waits_for_no_crowd() -> None:
    bench = _halted(3)
    bench.govern("resume", 0)
    bench.account("weak", "60")
    bench.hold("weak", 0, "10", "100.01")
    bench.place("short", 0, True, 100, 965_000)
    bench.govern("halt", 0)
    bench.mark({0: "96"})
    tx = bench.liquidate("weak")
    assert len(tx.all("OrderCancelled")) == 3
    bench.check()


def test_the_cap_cuts_a_fill_and_stops_nobody_who_reduces() -> None:
    """What both would open is cut to the room there is; a maker who would open is passed over by
    who opens, and met by who closes."""
    bench = Bench(MarketSpec("100"))
    for name in ("a", "b", "c", "d"):
        bench.account(name, "10000")
    bench.trading_terms(cap=100)
    bench.trade("a", 0, 70, PRICE, against="b")
    bench.order("c", 0, False, 50, PRICE)
    bench.order("a", 0, False, 40, PRICE)
    # 30 of c's, which fills the cap; then a's, which hand on what a closes.
    tx = bench.order("d", 0, True, 100, PRICE)
    assert [(f.maker, f.size) for f in tx.all("Filled")] == [
        (bench.ids["c"], 30),
        (bench.ids["a"], 40),
    ]
    assert tx.one("Unfilled").size == 30
    assert bench.venue.clearinghouse.call("open_interest", 0) == 100
    # c's offer is still there, for b, who is short.
    tx = bench.order("b", 0, True, 20, PRICE, "ioc")
    assert [(f.maker, f.size) for f in tx.all("Filled")] == [(bench.ids["c"], 20)]
    assert bench.venue.clearinghouse.call("open_interest", 0) == 100


def test_nobody_leaves_between_the_hour_and_its_funding() -> None:
    """Who closes after the hour's end and before anyone wrote it down pays the hour; what is
    written down later is the same number, whatever price and samples come in between."""
    bench = Bench(MarketSpec("100"))
    bench.account("long", "1000")
    bench.hold("long", 0, "10", "100")
    bench.engine.wait(3_600 - bench.engine.timestamp % 3_600 - 30)
    bench.epoch()
    before = bench.equity("long")
    bench.engine.wait(60)
    bench.order("counterparty", 0, True, 1_000, PRICE)
    tx = bench.order("long", 0, False, 1_000, PRICE, "ioc")
    index = PRICE * 12_500
    assert {s.funding_index for s in tx.all("FundingSettled")} == {index}
    assert before - bench.equity("long") == 12_500
    oracle = bench.venue.oracle
    assert oracle.call("price", 0).index == oracle.call("index", 0) == index
    tx = bench.sample()
    assert tx.one("FundingAccrued").funding_index == index
    bench.epoch({0: 2 * PRICE})
    assert oracle.call("index", 0) == index
    bench.check()


def test_due_funding_is_one_hour_of_a_price_that_was_known() -> None:
    """However long nobody comes: the hours behind the first are nobody's, and so is the first if
    the price was stale at its end."""
    bench = Bench(MarketSpec("100"))
    oracle = bench.venue.oracle
    bench.hour()
    one = oracle.call("index", 0)
    for i in range(4):
        assert oracle.call("index", 0) == one + (PRICE * 12_500 if i else 0)
        bench.engine.wait(3_600)
        bench.account(f"passer-by {i}")
    bench.epoch({0: 900_000})
    assert oracle.call("index", 0) == one + PRICE * 12_500
    bench.engine.wait(3_600)
    bench.epoch()
    # Fresh at the end of that one.
    assert oracle.call("index", 0) == one + PRICE * 12_500 + 900_000 * 12_500


def test_nobody_is_liquidated_by_a_vote() -> None:
    """Tiers that ask for more wait for a day; what asks for less applies at once."""
    bench = Bench(MarketSpec("100", leverage=20))
    governor = bench.venue.governor
    bench.account("long", "60")
    bench.hold("long", 0, "10", "100")
    with pytest.raises(Reverted, match="governor: no tiers announced"):
        governor.send("apply_tiers", 0, sender=bench.keeper)
    # Less leverage; the same but above some notional; more first and less above.
    for bounds, leverages in (([0], [5]), ([0, 10**12], [20, 19]), ([0, 10**12], [40, 19])):
        tx = bench.govern("set_tiers", 0, bounds, leverages)
        assert not tx.all("TiersSet")
        due = tx.one("TiersAnnounced").due
        tiers, at = governor.call("announced_tiers", 0)
        assert [t.leverage for t in tiers] == leverages and at == due
    bench.govern("set_tiers", 0, [0], [5])
    assert not bench.is_liquidatable("long")
    bench.engine.wait(DAY - 10)
    with pytest.raises(Reverted, match="governor: tiers not due"):
        governor.send("apply_tiers", 0, sender=bench.keeper)
    bench.engine.wait(10)
    bench.epoch()
    assert not bench.is_liquidatable("long")
    bench.seen(governor.send("apply_tiers", 0, sender=bench.keeper))
    assert bench.is_liquidatable("long")
    with pytest.raises(Reverted, match="governor: no tiers announced"):
        governor.send("apply_tiers", 0, sender=bench.keeper)
    # Back at once, and what was announced is dropped by what is set.
    bench.govern("set_tiers", 0, [0], [2])
    assert bench.govern("set_tiers", 0, [0, 10**12], [50, 20]).all("TiersSet")
    assert governor.call("announced_tiers", 0) == ([], 0)
    assert not bench.is_liquidatable("long")


def test_announced_tiers_meet_the_step_of_the_day_they_apply() -> None:
    bench = Bench(MarketSpec("100", leverage=20), max_step=10_000)
    bench.account("long", "600")
    bench.hold("long", 0, "10", "100")
    bench.govern("set_tiers", 0, [0, 10], [40, 10])
    bench.venue.oracle.send("set_parameters", 1, 3_600, 20_000, sender=bench.venue.owner)
    bench.engine.wait(DAY)
    with pytest.raises(Reverted, match="governor: maintenance not above the oracle's step"):
        bench.venue.governor.send("apply_tiers", 0, sender=bench.keeper)


@pytest.mark.parametrize(
    ("price", "fits"),
    [(449_999, False), (450_000, True), (1_800_000, True), (1_800_001, False), (2**24 - 1, False)],
)
def test_a_settlement_price_is_near_the_last_one(price: int, fits: bool) -> None:
    bench = Bench(MarketSpec("100"))
    bench.epoch({0: 900_000})
    bench.govern("halt", 0)
    bench.engine.wait(DAY)
    if fits:
        bench.govern("settle_market", 0, price)
        return
    with pytest.raises(Reverted, match="governor: settlement far from the last price"):
        bench.govern("settle_market", 0, price)


def test_a_settlement_follows_an_oracle_that_the_mark_has_not_reached() -> None:
    """Between half of the lower and twice the higher one of mark and oracle price."""
    bench = Bench(MarketSpec("100"), max_step=20_000)
    bench.govern("halt", 0)
    bench.engine.wait(DAY)
    bench.epoch({0: 600_000})
    assert bench.venue.oracle.call("mark", 0) == 980_000
    for price in (299_999, 1_960_001):
        with pytest.raises(Reverted, match="governor: settlement far from the last price"):
            bench.govern("settle_market", 0, price)
    bench.govern("settle_market", 0, 300_000)


def test_no_minimum_shuts_anybody_in() -> None:
    """What only reduces is never too small, at rest or at once; what may open is."""
    bench = Bench(MarketSpec("100"))
    bench.account("long", "1000")
    bench.hold("long", 0, "10", "100")
    bench.govern("set_trading_terms", 0, 0, 0, 0, 1_000 * 10**6, 2**54)
    for tif in (GTC, IOC):
        with pytest.raises(Reverted, match="book: below minimum notional"):
            bench.place("long", 0, False, 1, PRICE, tif)
    bench.place("long", 0, False, 1, PRICE + 10, reduce_only=True)
    bench.order("counterparty", 0, True, 1_000, PRICE)
    assert bench.place("long", 0, False, 1, PRICE, IOC, True).one("Filled").size == 1
    assert bench.position("long", 0)[0] == 999


def test_a_book_that_cannot_be_seen_through_is_not_called_empty() -> None:
    """2,001 void orders at prices of their own before a live one."""
    bench = Bench(MarketSpec("100"), check=False)
    book = bench.venue.order_book
    for i in range(2_001):
        pest = f"pest {i // OPEN_ORDERS}"
        if i % OPEN_ORDERS == 0:
            bench.account(pest)
        bench.place(pest, 0, True, 1, PRICE - i)
    for i in range(2_001 // OPEN_ORDERS + 1):
        bench.cancel_all(f"pest {i}")
    bench.order("counterparty", 0, True, 7, 500_000)
    for view in (("best",), ("depth", 10)):
        with pytest.raises(Reverted, match="book: purge it first"):
            book.call(view[0], 0, True, *view[1:])
    # 2,000 are seen through.
    book.send("purge", 0, True, 2, sender=bench.keeper)
    assert book.call("best", 0, True) == 500_000
    assert [tuple(level) for level in book.call("depth", 0, True, 1)] == [(500_000, 7)]
