"""Attempts to stop a liquidation, to force one, or to turn it into an ADL, by what rests on the
book."""

from __future__ import annotations

import pytest

from breakwater.engine.base import Reverted
from tests.vectors.bench import Bench, MarketSpec


def _weak_long(**config: object) -> Bench:
    """A long of 10 at 100 with 100 of collateral (bankrupt at 90), mark 91: below maintenance."""
    bench = Bench(MarketSpec("100", leverage=10), **config)
    bench.account("long", "100")
    bench.account("bidder", "1000000")
    bench.account("pest", "1000000")
    bench.hold("long", 0, "10", "100")
    bench.mark({0: "91"})
    return bench


def _underwater_long(**config: object) -> Bench:
    bench = _weak_long(**config)
    bench.mark({0: "89"})
    return bench


def test_healthy_account() -> None:
    bench = _weak_long()
    bench.mark({0: "96"})
    with pytest.raises(Reverted, match="liquidator: account is healthy"):
        bench.liquidate("long")


def test_twice_in_a_row() -> None:
    """The second call finds a flat and healthy account."""
    bench = _weak_long()
    bench.bid("bidder", 0, "10", "90.5")
    bench.liquidate("long")
    with pytest.raises(Reverted, match="liquidator: account is healthy"):
        bench.liquidate("long")
    assert bench.cash("long") == 5 * 10**6


def test_twice_after_a_wind_up() -> None:
    bench = _underwater_long()
    assert bench.liquidate("long").all("WoundUp")
    with pytest.raises(Reverted, match=r"liquidator: (account is healthy|adl round open)"):
        bench.liquidate("long")


@pytest.mark.parametrize("owner", ["long", "someone else"])
def test_bid_of_the_same_owner(owner: str) -> None:
    """A bid of the bankrupt's own owner is deleted and never filled, however good; a stranger's is
    filled."""
    bench = _weak_long()
    bench.account("twin", "1000000", owner=owner)
    bench.bid("twin", 0, "10", "90.9")
    tx = bench.liquidate("long")
    assert bool(tx.all("LiquidationFill")) is (owner != "long")


def test_self_trade_of_two_accounts_of_one_owner() -> None:
    bench = Bench(MarketSpec("100"))
    bench.account("left", "1000", owner="both")
    bench.account("right", "1000", owner="both")
    bench.ask("left", 0, "1", "100")
    tx = bench.bid("right", 0, "1", "101")
    assert tx.all("Filled") == []
    assert bench.position("right", 0) == (0, 0)
    assert bench.venue.order_book.call("best", 0, False) == 0


@pytest.mark.parametrize("trigger", ["underwater", "unfillable"])
@pytest.mark.parametrize("kind", ["void", "dust", "without margin"])
def test_running_out_of_steps_never_winds_up(kind: str, trigger: str) -> None:
    """300 orders on top of the book, then a bid that takes everything. With 40 steps a call the
    account is sold to it in the end and never wound up. Calls needed: 8."""
    bench = _underwater_long(trigger=trigger)
    bench.checking = False
    bench.insure("1000")
    # An account may have 128 orders open.
    pests = [f"pest{i}" for i in range(3)]
    for name in pests:
        bench.account(name, 0 if kind == "without margin" else "1000000")
    for i in range(300):
        if kind == "dust":
            # One lot each at a price above bankruptcy: each is a real fill.
            bench.order(pests[i % 3], 0, True, 1, 901_000)
        else:
            bench.order(pests[i % 3], 0, True, 1_000, 905_000 + i)
    if kind == "void":
        for name in pests:
            bench.send("order_book", "cancel_all", name, bench.ids[name])
    bench.bid("bidder", 0, "10", "90")
    calls = []
    while bench.position("long", 0)[0]:
        tx = bench.liquidate("long")
        calls.append(tx)
        assert tx.all("WoundUp") == []
        assert len(calls) <= 10
    bench.check()
    assert all(tx.one("Liquidated").more for tx in calls[:-1])
    assert len(calls) == 8
    assert sum(f.size for tx in calls for f in tx.all("LiquidationFill")) == 1_000


@pytest.mark.parametrize("voids", [1, 39, 40, 41, 64, 80])
def test_void_orders_that_use_up_the_budget_exactly(voids: int) -> None:
    """A keeper always sends the same number of steps: whoever leaves just as many void orders on
    top must not make its call revert, which would bring the void orders back each time."""
    bench = _underwater_long()
    bench.checking = False
    for i in range(voids):
        bench.order("pest", 0, True, 1, 905_000 + i)
    bench.send("order_book", "cancel_all", "pest", bench.ids["pest"])
    bench.bid("bidder", 0, "10", "90")
    for _ in range(voids // 40 + 1):
        assert not bench.liquidate("long").all("WoundUp")
    assert bench.position("long", 0)[0] == 0
    bench.check()


def test_more_than_64_void_orders_in_one_call() -> None:
    """The book deletes 64 in one look; a larger budget is told that there is more, and nothing is
    wound up although nothing live rests behind them."""
    bench = _underwater_long()
    bench.checking = False
    for _ in range(65):
        bench.order("pest", 0, True, 1, 905_000)
    bench.send("order_book", "cancel_all", "pest", bench.ids["pest"])
    first = bench.liquidate("long", 256)
    assert first.one("Liquidated").more
    assert first.all("WoundUp") == []
    second = bench.liquidate("long", 256)
    assert second.all("WoundUp")


def test_one_step_a_call_on_two_legs() -> None:
    """Two legs and one step a call: the first leg's stuck bid takes the step of the second, so such
    a caller never gets to the wind-up. It does no harm: the next caller brings more steps."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    bench.account("cross", "100")
    bench.account("bidder", "100000")
    bench.hold("cross", 0, "10", "100")
    bench.hold("cross", 1, "10", "100")
    bench.mark({0: "80", 1: "95"})
    bench.bid("bidder", 0, "1", "1")
    for _ in range(3):
        tx = bench.liquidate("cross", 1)
        assert tx.one("Liquidated").more
        assert not tx.all("WoundUp")
    assert bench.liquidate("cross", 2).all("WoundUp")


def test_empty_book() -> None:
    """Below maintenance and nobody bids: left alone under `underwater`, wound up under
    `unfillable`."""
    for trigger, wound in (("underwater", False), ("unfillable", True)):
        bench = _weak_long(trigger=trigger)
        tx = bench.liquidate("long")
        assert tx.one("Liquidated").unfillable
        assert bool(tx.all("WoundUp")) is wound


def test_orders_of_the_bankrupt_go_first() -> None:
    """Its own resting orders are void before anything else happens."""
    bench = _weak_long()
    bench.ask("long", 0, "10", "99")
    bench.bid("long", 0, "1", "50")
    bench.liquidate("long")
    assert bench.venue.order_book.call("depth", 0, False, 10) == []
    assert bench.venue.order_book.call("depth", 0, True, 10) == []


def test_unmargined_orders_cost_a_taker_its_fill() -> None:
    """KNOWN LIMIT: an order rests without margin behind it. 64 orders of an account without a cent
    in front of the real one use up a taker's 64 steps; its order is dropped, but the orders are
    gone after it."""
    bench = Bench(MarketSpec("100"), check=False)
    bench.account("poor")
    bench.account("maker", "100000")
    bench.account("taker", "100000")
    for _ in range(64):
        bench.order("poor", 0, False, 1_000_000, 990_000)
    bench.order("maker", 0, False, 100, 1_000_000)
    first = bench.order("taker", 0, True, 100, 1_000_000, "gtc")
    assert first.all("Filled") == []
    assert len(first.all("OrderCancelled")) == 64
    assert first.one("Unfilled").size == 100
    assert bench.order("taker", 0, True, 100, 1_000_000).one("Filled").size == 100
    bench.check()
