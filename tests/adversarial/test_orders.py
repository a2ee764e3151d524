"""Attempts by orders and margin: reduce-only that adds, post-only that is kept out, leverage and
transfers that dodge margin, isolated accounts that reach for more, fees that push below margin."""

from __future__ import annotations

import pytest

from breakwater.engine.base import Reverted
from tests.vectors.bench import IOC, POST_ONLY, Bench, MarketSpec

PRICE = 1_000_000


def _bench(markets: int = 1, **config: object) -> Bench:
    bench = Bench(*[MarketSpec("100") for _ in range(markets)], **config)
    for name in ("maker", "taker", "other"):
        bench.account(name, "10000")
    return bench


# --- Reduce only ---------------------------------------------------------------------------------


def test_reduce_only_that_rests_after_the_position_is_closed() -> None:
    """It is dropped when met, and opens nothing."""
    bench = _bench()
    bench.trade("maker", 0, 100, PRICE)
    bench.place("maker", 0, False, 100, 1_010_000, reduce_only=True)
    bench.trade("maker", 0, -100, PRICE)
    tx = bench.order("taker", 0, True, 100, 1_010_000, "ioc")
    assert tx.all("Filled") == []
    assert tx.one("OrderCancelled").account == bench.ids["maker"]
    assert bench.position("maker", 0) == (0, 0)


def test_reduce_only_that_rests_after_the_position_is_flipped() -> None:
    bench = _bench()
    bench.trade("maker", 0, 100, PRICE)
    bench.place("maker", 0, False, 100, 1_010_000, reduce_only=True)
    bench.trade("maker", 0, -250, PRICE)
    assert bench.order("taker", 0, True, 100, 1_010_000, "ioc").all("Filled") == []
    assert bench.position("maker", 0)[0] == -150


def test_reduce_only_orders_of_more_than_the_position() -> None:
    """Two that would each close all, and one whose position shrank: together they close what there
    is. KNOWN LIMIT: until it is met, what is too much of them still shows as depth."""
    bench = _bench()
    bench.trade("maker", 0, 100, PRICE)
    for _ in range(2):
        bench.place("maker", 0, False, 100, 1_010_000, reduce_only=True)
    bench.trade("maker", 0, -40, PRICE)
    assert [tuple(x) for x in bench.venue.order_book.call("depth", 0, False, 5)] == [
        (1_010_000, 200)
    ]
    tx = bench.order("taker", 0, True, 200, 1_010_000, "ioc")
    assert [fill.size for fill in tx.all("Filled")] == [60]
    assert bench.position("maker", 0) == (0, 0)
    # The rest of the first is still there, dropped by the next who meets it.
    tx = bench.order("taker", 0, True, 200, 1_010_000, "ioc")
    assert tx.all("Filled") == []
    assert bench.venue.order_book.call("depth", 0, False, 5) == []


def test_reduce_only_taker_stops_at_flat() -> None:
    bench = _bench()
    bench.trade("taker", 0, 100, PRICE)
    bench.order("maker", 0, True, 1_000, PRICE)
    tx = bench.place("taker", 0, False, 1_000, PRICE, IOC, reduce_only=True)
    assert tx.one("Filled").size == 100
    with pytest.raises(Reverted, match="book: nothing to reduce"):
        bench.place("taker", 0, False, 1, PRICE, IOC, reduce_only=True)
    for is_buy in (True, False):
        with pytest.raises(Reverted, match="book: nothing to reduce"):
            bench.place("other", 0, is_buy, 1, PRICE, reduce_only=True)


# --- Post only -----------------------------------------------------------------------------------


def test_post_only_is_kept_out_by_live_orders_alone() -> None:
    """64 void orders in its way are deleted on the way in; behind 65 it has to be called for by
    `purge`, since a refusal brings them all back."""
    bench = _bench()
    bench.checking = False
    for voids in (64, 65):
        for i in range(voids):
            bench.order("other", 0, True, 1, PRICE + i)
        bench.cancel_all("other")
        if voids == 65:
            with pytest.raises(Reverted, match="book: post only would trade"):
                bench.place("maker", 0, False, 10, PRICE, POST_ONLY)
            bench.send("order_book", "purge", "passer-by", 0, True, 64)
        assert bench.place("maker", 0, False, 10, PRICE, POST_ONLY).one("OrderPlaced").size == 10
        bench.cancel_all("maker")
    bench.order("other", 0, True, 1, PRICE)
    with pytest.raises(Reverted, match="book: post only would trade"):
        bench.place("maker", 0, False, 10, PRICE, POST_ONLY)
    bench.place("maker", 0, False, 10, PRICE + 1, POST_ONLY)
    bench.check()


def test_post_only_clears_a_bid_without_margin_away() -> None:
    """A live order without a cent behind it is no price, and keeps nobody out."""
    bench = _bench()
    bench.account("poor")
    bench.order("poor", 0, True, 1, PRICE)
    tx = bench.place("maker", 0, False, 10, PRICE, POST_ONLY)
    assert tx.one("OrderCancelled").account == bench.ids["poor"]
    assert tx.all("Filled") == []
    assert tx.one("OrderPlaced").size == 10


# --- Margin --------------------------------------------------------------------------------------


def test_own_leverage_does_not_dodge_margin() -> None:
    """It raises the initial margin and never lowers it, and maintenance stays what the market
    asks."""
    bench = _bench()
    bench.account("trader", "100")
    house = ("clearinghouse", "set_leverage", "trader", bench.ids["trader"], 0)
    with pytest.raises(Reverted, match="clearinghouse: leverage out of range"):
        bench.send(*house, 21)
    bench.send(*house, 10)
    with pytest.raises(Reverted, match="margin: below initial margin"):
        bench.trade("trader", 0, 1_001, PRICE)
    bench.cancel_all("counterparty")
    bench.trade("trader", 0, 1_000, PRICE)
    assert (bench.margin("trader").initial, bench.margin("trader").maintenance) == (
        100 * 10**6, 25 * 10**6,
    )  # fmt: skip
    with pytest.raises(Reverted, match="margin: below initial margin"):
        bench.send(*house, 9)
    # Up to the market's own, and no further, whatever is asked for.
    for leverage in (20, 0):
        bench.send(*house, leverage)
        assert bench.margin("trader").initial == 50 * 10**6
    # Half of the margin cannot leave: a tenth of the notional stays.
    with pytest.raises(Reverted, match="margin: withdrawal beyond free margin"):
        bench.withdraw("trader", "0.000001")
    # Below initial margin no change is taken, in either direction.
    bench.mark({0: "94.7"})
    with pytest.raises(Reverted, match="margin: below initial margin"):
        bench.send(*house, 20)
    with pytest.raises(Reverted, match="clearinghouse: not your account"):
        bench.send(*house[:2], "other", *house[3:], 5)


def _round() -> Bench:
    """A round in market 0 is open; the winner has 900 in an account of its own elsewhere."""
    bench = _bench(2)
    for name, size in (("bankrupt", "10"), ("winner", "-10")):
        bench.account(name, "60" if size == "10" else "100")
        bench.hold(name, 0, size, "100")
    bench.account("savings", "900", owner="winner")
    bench.mark({0: "90"})
    bench.liquidate("bankrupt", 1)
    assert bench.busy()
    return bench


def _transfer(bench: Bench, source: str, to: str, dollars: int) -> None:
    ids = bench.ids
    bench.send("clearinghouse", "transfer", source, ids[source], ids[to], dollars * 10**6)


def test_nothing_moves_out_of_a_frozen_account() -> None:
    bench = _round()
    with pytest.raises(Reverted, match="clearinghouse: adl round open"):
        _transfer(bench, "winner", "savings", 1)
    with pytest.raises(Reverted, match="clearinghouse: adl round open"):
        bench.send("clearinghouse", "set_leverage", "winner", bench.ids["winner"], 0, 1)
    bench.finish()
    _transfer(bench, "winner", "savings", 1)


def test_nothing_moves_into_a_frozen_account() -> None:
    """As for a deposit: more equity would lower its rank once the round has begun."""
    bench = _round()
    with pytest.raises(Reverted, match="clearinghouse: adl round open"):
        bench.deposit("winner", "1")
    with pytest.raises(Reverted, match="clearinghouse: adl round open"):
        _transfer(bench, "savings", "winner", 900)
    bench.finish()
    _transfer(bench, "savings", "winner", 900)


def test_transfers_stay_with_the_owner_and_within_margin() -> None:
    bench = _bench()
    bench.account("spare", owner="taker")
    for source, to in (("taker", "other"), ("other", "spare")):
        with pytest.raises(Reverted, match="clearinghouse: not your account"):
            bench.send("clearinghouse", "transfer", "taker", bench.ids[source], bench.ids[to], 1)
    bench.hold("taker", 0, "1000", "100")
    with pytest.raises(Reverted, match="margin: withdrawal beyond free margin"):
        _transfer(bench, "taker", "spare", 1)
    with pytest.raises(Reverted, match="ledger: transfer to itself"):
        bench.hold("taker", 0, "-1000", "100")
        _transfer(bench, "taker", "taker", 1)


def test_isolated_account_does_not_touch_the_cross_account() -> None:
    """Its position goes bankrupt by three times its collateral: the owner's cross account has what
    it had, to the micro-USDC, and no order of the isolated one trades in another market."""
    bench = _bench(2)
    bench.account("cross", "5000", owner="one")
    bench.isolated("isolated", 0, "50", owner="one")
    bench.hold("isolated", 0, "10", "100")
    bench.ask("maker", 1, "1", "100")
    with pytest.raises(Reverted, match="margin: account is isolated"):
        bench.bid("isolated", 1, "1", "100")
    bench.cancel_all("maker")
    # As a maker it is cancelled.
    bench.bid("isolated", 1, "1", "99")
    tx = bench.ask("maker", 1, "1", "99")
    assert tx.all("Filled") == []
    assert tx.one("OrderCancelled").account == bench.ids["isolated"]
    bench.mark({0: "80"})
    assert bench.equity("isolated") == -150 * 10**6
    assert bench.liquidate("isolated").all("WoundUp")
    bench.finish()
    assert bench.cash("isolated") == 0
    assert bench.cash("cross") == 5_000 * 10**6
    with pytest.raises(Reverted, match="liquidator: account is healthy"):
        bench.liquidate("cross")


# --- Fees ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fee", [1, 450, 10_000])
def test_fees_do_not_push_a_taker_below_initial_margin(fee: int) -> None:
    """At 20x, 1,000 lots of $1 need $50 and the fee on $1,000: a micro-USDC less is refused."""
    bench = _bench()
    bench.trading_terms(taker=fee)
    bench.account("short_of_it", "50")
    bench.deposit("short_of_it", f"{(1_000 * fee - 1) / 10**6:.6f}")
    bench.ask("maker", 0, "10", "100")
    with pytest.raises(Reverted, match="margin: below initial margin"):
        bench.bid("short_of_it", 0, "10", "100")
    bench.deposit("short_of_it", "0.000001")
    assert bench.bid("short_of_it", 0, "10", "100").one("FeeCharged").amount == 1_000 * fee
    margin = bench.margin("short_of_it")
    assert margin.equity == margin.initial == 50 * 10**6
    assert bench.venue.clearinghouse.call("fees") == 1_000 * fee


def test_fees_do_not_push_a_maker_below_initial_margin() -> None:
    bench = _bench()
    bench.trading_terms(maker=200)
    for name, collateral in (("thin", "50.199999"), ("enough", "50.2")):
        bench.account(name, collateral)
        bench.bid(name, 0, "10", "100")
        tx = bench.ask("taker", 0, "10", "100")
        bench.cancel_all("taker")
        assert bool(tx.all("Filled")) is (name == "enough")
    assert bench.margin("enough").equity == bench.margin("enough").initial
    assert bench.venue.clearinghouse.call("fees") == 200_000


def test_fee_is_rounded_up_and_dust_is_not_free() -> None:
    bench = _bench()
    bench.trading_terms(taker=1, maker=1)
    bench.order("maker", 0, False, 1, 1)
    tx = bench.order("taker", 0, True, 1, 1)
    assert [e.amount for e in tx.all("FeeCharged")] == [1, 1]


def test_liquidated_account_pays_no_fee_and_its_maker_does() -> None:
    bench = _bench()
    bench.account("long", "50")
    bench.hold("long", 0, "10", "100")
    bench.trading_terms(taker=450, maker=150)
    bench.bid("other", 0, "10", "96")
    bench.mark({0: "97"})
    charged = bench.liquidate("long").all("FeeCharged")
    assert [(e.account, e.amount) for e in charged] == [(bench.ids["other"], 960 * 150)]
    assert bench.cash("long") == 10 * 10**6
