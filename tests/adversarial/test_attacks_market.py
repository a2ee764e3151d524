"""Attempts on the market itself: a liquidation while the market takes no risk, walls of orders that
`purge` leaves, prices at the joints of the book's tree, and who is met while others wait."""

from __future__ import annotations

import random

import pytest

from breakwater.contract import Tx
from breakwater.engine.base import Reverted
from tests.vectors.bench import GTC, IOC, USDC, Bench, MarketSpec

PRICE = 1_000_000
IMPACT = 6_000 * USDC
MAKER_MARGIN, REDUCE_ONLY = 1 << 3, 1 << 7


# --- Liquidation in a halted market --------------------------------------------------------------


def _weak_and_halted(bid: int, trigger: str = "underwater") -> Bench:
    """A long of 1,000 lots below maintenance, a short of 300 who bids for `bid`; then the halt."""
    bench = Bench(MarketSpec("100", leverage=10), trigger=trigger)
    bench.account("long", "100")
    bench.account("short", "10000")
    bench.account("other", "10000")
    bench.hold("long", 0, "10", "100", against="other")
    bench.trade("short", 0, -300, PRICE)
    bench.mark({0: "91"})
    bench.place("short", 0, True, bid, 905_000)
    bench.govern("halt", 0)
    return bench


@pytest.mark.parametrize("bid", [299, 300, 301, 1_000, 5_000])
def test_a_liquidation_takes_what_a_bid_may_close_in_a_halted_market(bid: int) -> None:
    """However large the bid is: as an order of the long itself it would have met the same lots."""
    bench = _weak_and_halted(bid)
    tx = bench.liquidate("long")
    closed = min(bid, 300)
    assert [(f.price, f.size) for f in tx.all("LiquidationFill")] == [(905_000, closed)]
    assert bench.position("short", 0)[0] == closed - 300
    # What is left of it would add risk: a liquidation waits for nobody.
    dropped = [(c.size, c.reason) for c in tx.all("OrderCancelled")]
    assert dropped == ([(bid - 300, MAKER_MARGIN)] if bid > 300 else [])
    assert bench.position("long", 0)[0] == 1_000 - closed
    bench.check()


def test_no_adl_of_what_a_bid_may_close_in_a_halted_market() -> None:
    """Under `unfillable` what finds no buyer is wound up: only that."""
    bench = _weak_and_halted(5_000, trigger="unfillable")
    tx = bench.liquidate("long")
    assert tx.one("Filled").size == 300
    assert tx.all("WoundUp")
    assert bench.position("short", 0) == (0, 0)
    assert sum(e.size for e in tx.all("Exchanged")) >= 1_000
    bench.finish()
    bench.check()


def test_a_bid_that_only_opens_is_no_way_out_of_a_halted_market() -> None:
    bench = _weak_and_halted(300)
    bench.cancel_all("short")
    bench.govern("resume", 0)
    bench.place("other", 0, True, 1_000, 905_000)
    bench.place("counterparty", 0, True, 1_000, 905_000)
    # Short 1,000 and flat by now: both are the other side of the long and of the short.
    assert bench.position("other", 0)[0] == -1_000
    assert bench.position("counterparty", 0)[0] == 300
    bench.govern("halt", 0)
    tx = bench.liquidate("long")
    assert [bench.ids["other"]] == [f.maker for f in tx.all("Filled")]
    bench.check()


# --- A market whose tick is more than the step ---------------------------------------------------


def test_an_order_from_finer_days_opens_nothing_where_a_tick_is_more_than_the_step() -> None:
    """Placed at 1,000 ticks, met at 90, where one tick is 1.1% and the step is 1%: it waits, as in
    a halted market, and who reduces trades with who reduces."""
    bench = Bench(MarketSpec("0.1"), max_step=10_000)
    bench.account("long", "1000")
    bench.account("short", "100000")
    bench.account("fresh", "1000")
    bench.trade("long", 0, 1_000, 1_000, against="short")
    bench.place("fresh", 0, True, 1_000, 80)
    bench.place("short", 0, True, 300, 79)
    while bench.venue.oracle.call("mark", 0) != 90:
        bench.epoch({0: 90})
    assert bench.venue.oracle.call("is_coarse", 0)
    tx = bench.place("long", 0, False, 1_000, 79, IOC)
    assert [(f.maker, f.size) for f in tx.all("Filled")] == [(bench.ids["short"], 300)]
    assert bench.position("fresh", 0) == (0, 0)
    # It kept its place, and is first again once the mark is back.
    bench.epoch({0: 101})
    while bench.venue.oracle.call("is_coarse", 0):
        bench.epoch({0: 101})
    tx = bench.place("long", 0, False, 700, 79, IOC)
    assert [(f.maker, f.size) for f in tx.all("Filled")] == [(bench.ids["fresh"], 700)]


# --- Walls ---------------------------------------------------------------------------------------


def _walled(kind: str) -> Bench:
    """An honest and deep book, and on its bids 64 live orders that are no impact price: of a short
    of 10 lots who only reduces, or of who has a dollar."""
    bench = Bench(MarketSpec("100", min_notional=10 * USDC), check=False)
    bench.account("honest", "1000000")
    bench.account("seller", "1000000")
    bench.order("honest", 0, True, 100_000, 999_000)
    bench.order("honest", 0, False, 100_000, 1_001_000)
    for _ in range(30):
        bench.sample(wait=9)
    if kind == "reduces":
        bench.account("pest", "1000")
        bench.trade("pest", 0, -10, 1_000_900)
    else:
        bench.account("pest", "1")
    for i in range(64):
        if kind == "reduces":
            bench.place("pest", 0, True, 1, 999_001 + i, GTC, True)
        else:
            bench.order("pest", 0, True, 6_000, 999_001 + i)
    return bench


@pytest.mark.parametrize("kind", ["reduces", "a dollar"])
def test_a_wall_that_no_purge_clears_falls_to_one_sale(kind: str) -> None:
    """KNOWN LIMIT: such orders are live and could be filled for a few lots, so `purge` leaves them.
    No sample is taken meanwhile, and after two minutes the mark is the oracle's alone. One sale
    by anybody with margin for it takes or cancels all of them."""
    bench = _walled(kind)
    assert not bench.send("order_book", "purge", "passer-by", 0, True, 64).events
    with pytest.raises(Reverted, match="book: purge it first"):
        bench.sample()
    bench.engine.wait(120)
    bench.epoch({0: PRICE + 100})
    assert bench.venue.oracle.call("mark", 0) == PRICE + 100
    tx = bench.order("seller", 0, False, 6_000, 999_001, "ioc")
    gone = len(tx.all("OrderCancelled")) + sum(f.remaining == 0 for f in tx.all("Filled"))
    assert gone >= 64
    told = bench.sample().one("Sampled")
    assert (told.impact_bid, told.impact_ask) == (999_000, 1_001_000)
    bench.check()


@pytest.mark.parametrize("kind", ["live", "void"])
def test_the_best_price_is_known_however_many_orders_stand_there(kind: str) -> None:
    """2,001 orders of 16 accounts of a dollar each at one price. Live, they hide how much stands
    there, but not the price; void, they hide both until somebody purges a few."""
    bench = Bench(MarketSpec("100"), check=False)
    bench.account("honest", "100000")
    bench.order("honest", 0, True, 1_000, 999_000)
    pests = [f"pest {i}" for i in range(16)]
    for name in pests:
        bench.account(name, "1")
    for i in range(2_001):
        bench.order(pests[i // 128], 0, True, 11, 999_001)
    book = bench.venue.order_book
    if kind == "void":
        for name in pests:
            bench.cancel_all(name)
        with pytest.raises(Reverted, match="book: purge it first"):
            book.call("best", 0, True)
        bench.send("order_book", "purge", "passer-by", 0, True, 2)
    assert book.call("best", 0, True) == (999_001 if kind == "live" else 999_000)
    if kind == "live":
        with pytest.raises(Reverted, match="book: purge it first"):
            book.call("depth", 0, True, 1)


# --- The tree ------------------------------------------------------------------------------------

JOINTS = [
    *[1, 5, 6, 7, 1_535, 1_536, 1_541, 1_542, 393_215, 393_216, 393_221, 393_222],
    *[8_388_607, 8_388_608, 2**24 - 6, 2**24 - 5, 2**24 - 4, 2**24 - 2, 2**24 - 1],
]
"""The lowest and the highest price, and both sides of a page's end (6 ticks), of a word's (1,536)
and of a word's of the level above (393,216)."""


@pytest.mark.parametrize("split", [1, 6, 1_536, 393_216, 2**24 - 1])
def test_no_price_is_lost_at_a_joint_of_the_tree(split: int) -> None:
    """Bids at the joints below `split`, asks at it and above: each side is read in full, in order,
    as orders come, and as they go from the middle, the front and the end."""
    bench = Bench(MarketSpec("100"), check=False)
    book = bench.venue.order_book
    bench.account("maker", "1000000")
    live: dict[int, int] = {}

    def see() -> None:
        for is_buy in (True, False):
            side = sorted({p for p in live.values() if (p < split) == is_buy}, reverse=is_buy)
            assert [level.price for level in book.call("depth", 0, is_buy, 100)] == side
            assert book.call("best", 0, is_buy) == (side[0] if side else 0)

    for price in JOINTS[::2] + JOINTS[1::2] + JOINTS[::3]:
        tx = bench.order("maker", 0, price < split, 10, price)
        live[tx.one("OrderPlaced").order_id] = price
        see()
    for order in [*list(live)[1::3], *list(live)[::3], *reversed(list(live)[2::3])]:
        bench.send("order_book", "cancel", "maker", order)
        del live[order]
        see()
    assert not live


def _sweep(bench: Bench, size: int) -> Tx:
    return bench.order("taker", 0, True, size, 2**24 - 1, "ioc")


def test_a_taker_meets_every_joint_in_turn() -> None:
    bench = Bench(MarketSpec("100"), check=False)
    for name in ("maker", "taker"):
        bench.account(name, "10000000")
    for price in JOINTS:
        bench.order("maker", 0, False, 1, price)
    fills = _sweep(bench, len(JOINTS)).all("Filled")
    assert [fill.price for fill in fills] == JOINTS
    assert bench.venue.order_book.call("best", 0, False) == 0
    bench.check()


# --- Who is met in a market without risk ---------------------------------------------------------


class Crowd:
    """Eight rich accounts at random in one market, halted now and then; every order that is
    live, as the events say."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.bench = Bench(MarketSpec("100"), check=False)
        self.names = [f"trader {i}" for i in range(8)]
        for name in self.names:
            self.bench.account(name, "100000000")
        self.by_id = {self.bench.ids[name]: name for name in self.names}
        self.live: dict[int, tuple[bool, int]] = {}
        self.halted = False

    def observe(self, tx: Tx) -> None:
        for event in tx.events:
            if event.name == "OrderPlaced":
                self.live[event.order_id] = (event.is_buy, event.price)
            elif event.name == "OrderCancelled" or (event.name == "Filled" and not event.remaining):
                self.live.pop(event.order_id)

    def queue(self, is_buy: bool) -> list[int]:
        """One side by price, then time. Ids rise with time."""
        side = [(-p if buy else p, i) for i, (buy, p) in self.live.items() if buy == is_buy]
        return [order for _, order in sorted(side)]

    def expected(self, taker: str, is_buy: bool, size: int, price: int) -> list[tuple[int, int]]:
        """Fills of a taker who only reduces, from the whole book: no order is known as passed."""
        held = {name: self.bench.position(name, 0)[0] for name in self.names}
        left = min(size, _closable(held[taker], is_buy))
        fills = []
        for order_id in self.queue(not is_buy):
            order = self.bench.venue.order_book.call("order", order_id)
            maker = self.by_id[order.account]
            if left == 0 or (order.price > price if is_buy else order.price < price):
                break
            lots = min(left, order.size, _closable(held[maker], order.is_buy))
            if lots and maker != taker:
                fills.append((order_id, lots))
                held[maker] += lots if order.is_buy else -lots
                left -= lots
        return fills

    def step(self) -> bool:
        """One operation; whether a taker has reduced in a halted market."""
        rng, bench = self.random, self.bench
        dice = rng.random()
        if dice < 0.06:
            bench.govern("resume" if self.halted else "halt", 0)
            self.halted = not self.halted
            return False
        if dice < 0.16 and self.live:
            order_id = rng.choice(list(self.live))
            account = bench.venue.order_book.call("order", order_id).account
            self.observe(bench.send("order_book", "cancel", self.by_id[account], order_id))
            return False
        name, is_buy, tif = rng.choice(self.names), rng.random() < 0.5, rng.choice([GTC, GTC, IOC])
        price, size = PRICE + rng.randint(-6, 6), rng.randint(1, 40)
        reduce_only = rng.random() < 0.25
        closable = _closable(bench.position(name, 0)[0], is_buy)
        if self.halted and not reduce_only:
            size = min(size, closable)
        if (self.halted or reduce_only) and closable == 0:
            return False
        fills = self.expected(name, is_buy, size, price) if self.halted else []
        tx = bench.place(name, 0, is_buy, size, price, tif, reduce_only)
        if self.halted:
            assert [(fill.order_id, fill.size) for fill in tx.all("Filled")] == fills
        self.observe(tx)
        return bool(fills)


def _closable(size: int, is_buy: bool) -> int:
    return abs(size) if (size < 0) == is_buy else 0


@pytest.mark.parametrize("seed", range(4))
def test_what_was_passed_never_hides_who_could_trade(seed: int) -> None:
    """Halts, resumptions, orders before and behind those that were passed, cancellations of them:
    a taker who reduces meets exactly whom a walk over the whole book would have met, in order."""
    crowd = Crowd(seed)
    assert sum(crowd.step() for _ in range(800)) > 10
    crowd.bench.check()
