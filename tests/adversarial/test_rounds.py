"""Attempts on ADL rounds: stopping them, dodging them, chopping them up, starving them."""

from __future__ import annotations

import pytest

from breakwater.contract import Tx
from breakwater.engine.base import Reverted
from breakwater.model import adl
from tests.vectors.bench import Bench, MarketSpec, bench_with_untaken_lots


def _crowd(winners: int, **config: object) -> Bench:
    """A long of 100 that gaps to 80 (bankrupt at 95), against shorts of 1 with differing margin."""
    bench = Bench(MarketSpec("100"), check=False, **config)
    bench.account("bankrupt", "500")
    bench.hold("bankrupt", 0, "100", "100")
    for i in range(winners):
        # Round figures, some alike, so that ties are met too.
        bench.account(f"w{i}", 10 + (i * 7) % 23)
        bench.trade(f"w{i}", 0, -100 - i, bench.prices[0])
    # The counterparty leaves: it would be the deepest winner.
    size, _ = bench.position("counterparty", 0)
    bench.account("sink", "1000000")
    bench.mark({0: "80"})
    if size:
        bench.trade("counterparty", 0, -size, bench.prices[0], against="sink")
    return bench


def _limits(bench: Bench, ttl: int = 3_600, min_deficit: int = 0) -> None:
    bench.venue.deleverager.send("set_limits", ttl, min_deficit, sender=bench.venue.owner)


def _fills(txs: list[Tx]) -> list[tuple[int, int, int, int, int]]:
    return [
        (f.winner, f.size, f.quote, f.score, f.rank) for tx in txs for f in tx.all("Deleveraged")
    ]


@pytest.mark.parametrize("winners", [3, 16, 17, 40, 90])
def test_order_of_many_winners(winners: int) -> None:
    """More winners than one scan keeps: the order is the model's, to the last fill."""
    bench = _crowd(winners)
    before = bench.standings(0, False)
    txs = [bench.liquidate("bankrupt", 256), *bench.finish(256)]
    lot = adl.Lot(bench.ids["bankrupt"], True, 10_000, -95 * 10**8)
    fills, left = adl.close_lot(lot, before, bench.prices[0], "bankruptcy", 0, page=16)
    assert _fills(txs) == [(f.winner, f.size, f.quote, f.score, f.rank) for f in fills]
    shorts = sum(100 + i for i in range(winners))
    assert left.size == max(0, 10_000 - shorts)
    # One ranking of all gives the same: ranking again after 16 changes nothing.
    assert adl.close_lot(lot, before, bench.prices[0], "bankruptcy", 0)[0] == fills
    bench.check()


@pytest.mark.parametrize("steps", [1, 2, 7, 255])
def test_small_calls_do_what_a_large_one_does(steps: int) -> None:
    whole, chopped = _crowd(20), _crowd(20)
    one = [whole.liquidate("bankrupt", 256), *whole.finish(256)]
    many = [chopped.liquidate("bankrupt", 1), *chopped.finish(steps)]
    assert _fills(one) == _fills(many)
    assert len(_fills(one)) == 20
    chopped.check()


def test_advance_by_nothing() -> None:
    bench = _crowd(3)
    bench.liquidate("bankrupt", 1)
    before = bench.venue.deleverager.call("round")
    bench.advance(0)
    assert bench.venue.deleverager.call("round") == before
    assert bench.busy()


def test_withdrawal_while_frozen() -> None:
    """Once a bankrupt is proved no winner leaves; an account elsewhere does."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    for name, size, market in (("bankrupt", "10", 0), ("winner", "-10", 0), ("other", "1", 1)):
        bench.account(name, "60" if name == "bankrupt" else "1000")
        bench.hold(name, market, size, "100")
    bench.mark({0: "90"})
    bench.liquidate("bankrupt", 1)
    assert bench.busy()
    with pytest.raises(Reverted, match="clearinghouse: adl round open"):
        bench.withdraw("winner", "1")
    with pytest.raises(Reverted, match="liquidator: adl round open"):
        bench.liquidate("winner")
    bench.withdraw("other", "1")
    assert not bench.bid("other", 1, "1", "90").all("Deleveraged")
    assert bench.busy()
    # An order of its own, elsewhere, only helps the round to its end.
    tx = bench.bid("winner", 1, "1", "90")
    assert [event.name for event in tx.events if event.name in ("Deleveraged", "OrderPlaced")] == [
        "Deleveraged", "OrderPlaced",
    ]  # fmt: skip
    assert bench.position("winner", 0) == (0, 0)
    bench.withdraw("winner", "1")


def test_resting_orders_of_a_frozen_account_are_cancelled_when_hit() -> None:
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    for name, size in (("bankrupt", "10"), ("winner", "-10")):
        bench.account(name, "60" if size == "10" else "1000")
        bench.hold(name, 0, size, "100")
    bench.account("other", "1000")
    bench.bid("winner", 1, "1", "100")
    bench.mark({0: "90"})
    bench.liquidate("bankrupt", 1)
    tx = bench.ask("other", 1, "1", "100")
    assert tx.all("Filled") == []
    assert len(tx.all("OrderCancelled")) == 1


def test_deposit_while_a_round_is_open_dodges_nothing() -> None:
    """The first calls prove the bankrupt and look at two holders. A winner that tops up its account
    before the next call must not move down the queue by it: the deposit is refused."""
    plain, dodging = _crowd(6), _crowd(6)
    for bench in (plain, dodging):
        bench.liquidate("bankrupt", 1)
        bench.advance(1)
    house = plain.venue.clearinghouse
    seen = {house.call("holder_at", 0, False, i) for i in range(2)}
    expected = [winner for winner, *_ in _fills(plain.finish())]
    target = next(winner for winner in expected if winner not in seen)
    name = next(name for name, account in dodging.ids.items() if account == target)
    with pytest.raises(Reverted, match="clearinghouse: adl round open"):
        dodging.deposit(name, "100000")
    assert [winner for winner, *_ in _fills(dodging.finish())] == expected


def test_lots_without_a_winner_wait_for_the_next_epoch() -> None:
    """Nobody is in profit at the bankruptcy price: the lots stay in the estate, its loss at the
    mark is written off, and in a later epoch a retry finds a taker."""
    bench = Bench(MarketSpec("100"))
    bench.account("bankrupt", "50")
    bench.account("late", "10000")
    bench.hold("bankrupt", 0, "10", "100", against="counterparty")
    bench.mark({0: "90"})
    bench.account("sink", "1000000")
    bench.trade("counterparty", 0, 1_000, bench.prices[0], against="sink")
    tx = bench.liquidate("bankrupt")
    settled = tx.one("LotSettled")
    assert (settled.unfilled, settled.residual, settled.uninsured) == (
        1_000,
        50 * 10**6,
        50 * 10**6,
    )
    assert bench.uninsured() == 50 * 10**6
    estate = bench.estate(0, True)
    house = bench.venue.clearinghouse
    assert house.call("position", estate, 0).size == 1_000
    assert house.call("equity", estate) == 0
    with pytest.raises(Reverted, match="deleverager: tried in this epoch"):
        bench.retry(0, True)
    with pytest.raises(Reverted, match="deleverager: no lots left"):
        bench.retry(0, False)
    # The mark goes on to 85: the estate has lost another 50, and the sink's short is in profit at
    # the estate's price of 90.
    bench.mark({0: "85"})
    assert house.call("equity", estate) == -50 * 10**6
    with pytest.raises(Reverted, match="deleverager: no steps"):
        bench.retry(0, True, 0)
    opened = bench.retry(0, True, 1)
    with pytest.raises(Reverted, match="deleverager: round open"):
        bench.retry(0, True)
    fills = [f for tx in (opened, *bench.finish()) for f in tx.all("Deleveraged")]
    # In profit means strictly above zero, and the sink sold at exactly 90.
    assert fills == []
    assert bench.uninsured() == 100 * 10**6
    # Estate at 85 now; at 80 the sink is in profit at 85.
    bench.mark({0: "80"})
    (fill,) = bench.retry(0, True).all("Deleveraged")
    assert not bench.busy()
    assert (fill.winner, fill.size, fill.quote) == (bench.ids["sink"], 1_000, 850 * 10**6)
    assert house.call("position", estate, 0).size == 0
    assert house.call("equity", estate) == 0
    with pytest.raises(Reverted, match="deleverager: no lots left"):
        bench.retry(0, True)


def test_gain_of_an_estate_repays_uninsured_loss() -> None:
    bench = bench_with_untaken_lots()
    assert bench.uninsured() == 50 * 10**6
    bench.mark({0: "98"})
    bench.retry(0, True)
    assert not bench.busy()
    # 80 gained: 50 repay, 30 are the vault's.
    assert bench.uninsured() == 0
    assert bench.insurance() == 30 * 10**6


def test_retry_cannot_hold_a_market_within_an_epoch() -> None:
    """Who opens a round by `retry` does the first of its work. With one step it stays open until
    somebody's next bounded call, an order for one; it cannot be repeated in the same epoch."""
    bench = bench_with_untaken_lots()
    bench.epoch()
    bench.retry(0, True, 1)
    assert bench.busy()
    assert bench.bid("sink", 0, "1", "80").all("OrderPlaced")
    assert not bench.busy()
    for steps in (1, 40):
        with pytest.raises(Reverted, match="deleverager: tried in this epoch"):
            bench.retry(0, True, steps)
    # In the next epoch with enough steps: open and closed in one call.
    bench.epoch()
    assert bench.retry(0, True).one("RoundClosed").taken == 0
    assert not bench.busy()


def test_retry_needs_a_fresh_price() -> None:
    """Nobody freezes a market whose round could not go on."""
    bench = bench_with_untaken_lots()
    bench.epoch()
    bench.engine.wait(3_700)
    with pytest.raises(Reverted, match="oracle: stale price"):
        bench.retry(0, True)
    bench.bid("sink", 0, "1", "80")


def test_round_that_outlives_its_epoch_cannot_be_repeated_at_once() -> None:
    """A round opened in epoch n and closed in epoch n + 1 has been tried in n + 1 as well: else a
    market could be held frozen without a pause."""
    bench = bench_with_untaken_lots()
    bench.epoch()
    bench.retry(0, True, 1)
    assert bench.busy()
    bench.epoch()
    bench.finish()
    with pytest.raises(Reverted, match="deleverager: tried in this epoch"):
        bench.retry(0, True)


def test_several_bankrupts_in_one_epoch() -> None:
    """Three longs of one market in one epoch: one round each, and each receipt names its own."""
    bench = Bench(MarketSpec("100"))
    for i in range(3):
        bench.account(f"long{i}", 50 + i)
        bench.hold(f"long{i}", 0, "10", "100")
    bench.mark({0: "90"})
    names = []
    for i in range(3):
        tx = bench.liquidate(f"long{i}")
        names += [(f.bankrupt, f.quote) for f in tx.all("Deleveraged")]
    assert names == [(bench.ids[f"long{i}"], (950 - i) * 10**6) for i in range(3)]
    assert bench.uninsured() == 0


def test_estates_on_both_sides_of_two_markets() -> None:
    """One is long 0 and short 1, the other short 0 and long 1, and both go bankrupt in one epoch
    against different counterparties: four lots, four rounds, nothing left."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    bench.account("a", "105")
    bench.account("b", "105")
    bench.hold("a", 0, "10", "100")
    bench.hold("a", 1, "-10", "100")
    bench.mark({0: "80", 1: "100"})
    bench.hold("b", 0, "-10", "80")
    bench.hold("b", 1, "10", "100")
    first = bench.liquidate("a")
    rounds = [first, *bench.finish()]
    bench.mark({0: "100", 1: "99"})
    second = bench.liquidate("b")
    rounds += [second, *bench.finish()]
    sides = [(e.market, e.is_long) for tx in rounds for e in tx.all("RoundClosed")]
    assert sorted(sides) == [(0, False), (0, True), (1, False), (1, True)]
    assert bench.cash("a") == bench.cash("b") == 0
    assert not bench.busy()
    assert bench.venue.clearinghouse.call("frozen_markets") == 0


def test_bankrupt_elsewhere_waits_for_the_round() -> None:
    """An account with a leg in the frozen market and one elsewhere cannot be liquidated until the
    round ends, and can at once after it."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    for name in ("one", "two"):
        bench.account(name, "105")
        bench.hold(name, 0, "10", "100")
    bench.hold("two", 1, "10", "100")
    bench.mark({0: "85", 1: "99"})
    bench.liquidate("one", 1)
    with pytest.raises(Reverted, match="liquidator: adl round open"):
        bench.liquidate("two")
    bench.finish()
    assert bench.liquidate("two").all("WoundUp")


def test_a_round_at_a_stale_price_is_parked_and_taken_up_again() -> None:
    bench = _crowd(3)
    _limits(bench, 86_400)
    bench.liquidate("bankrupt", 1)
    bench.engine.wait(3_700)
    parked = bench.venue.deleverager.send("advance", 40, sender=bench.keeper)
    assert [event.name for event in parked.events] == ["RoundClosed"]
    assert bench.venue.deleverager.call("is_busy")  # it waits; its market stays frozen
    assert bench.venue.clearinghouse.call("frozen_markets") == 1
    bench.epoch()
    bench.finish()
    bench.check()


def test_a_stale_market_holds_up_no_other_liquidation() -> None:
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    for name, market in (("x", 0), ("y", 1)):
        bench.account(name, "105")
        bench.hold(name, market, "10", "100")
    bench.mark({0: "85", 1: "99"})
    _limits(bench, 86_400)
    bench.liquidate("x", 1)  # its round is open
    bench.engine.wait(3_700)
    fresh = [0, bench.ticks(1, "85")]
    bench.seen(bench.venue.oracle.send("update", fresh, sender=bench.venue.reporter))
    tx = bench.liquidate("y", 40)  # bankrupt in a market with a price
    assert len(tx.all("Deleveraged")) == 1
    bench.check()


def test_lots_that_nobody_can_take_are_not_scanned_one_by_one() -> None:
    """Leftover lots of one close price cost one step each in the next round, not one a holder."""
    bench = Bench(MarketSpec("100"))
    for i in range(5):
        bench.account(f"bankrupt{i}", "10")
        bench.hold(f"bankrupt{i}", 0, "1", "100")
        bench.account(f"holder{i}", "1000")
        bench.hold(f"holder{i}", 0, "-1", "70")
    bench.mark({0: "80"})  # the shorts are under water at any bankruptcy price: no winner
    for i in range(5):
        bench.liquidate(f"bankrupt{i}", 40)
    bench.finish()
    bench.epoch()
    bench.engine.wait(3)
    bench.epoch()
    steps = 1
    more = bench.venue.deleverager.send("retry", 0, True, 1, sender=bench.keeper)
    while bench.venue.deleverager.call("is_busy") and steps < 100:
        more = bench.venue.deleverager.send("advance", 1, sender=bench.keeper)
        steps += 1
    assert more.one("RoundClosed")
    holders = bench.venue.clearinghouse.call("holder_count", 0, False)
    assert steps <= holders + 5 + 2
    bench.check()


def test_policy_cannot_change_under_a_round() -> None:
    bench = _crowd(3)
    bench.liquidate("bankrupt", 1)
    with pytest.raises(Reverted, match="deleverager: round open"):
        bench.venue.deleverager.send("set_policy", bench.venue.score, 1, sender=bench.venue.owner)


def test_mark_is_pinned_and_free_again() -> None:
    bench = _crowd(3)
    bench.liquidate("bankrupt", 1)
    bench.epoch({0: 500_000})
    assert bench.venue.oracle.call("mark", 0) == 800_000
    bench.finish()
    bench.epoch({0: 500_000})
    assert bench.venue.oracle.call("mark", 0) == 500_000
    assert bench.venue.oracle.call("previous_mark", 0) == 800_000


@pytest.mark.parametrize(
    "role",
    [
        "add_lot", "freeze", "pin", "exchange", "transfer_cash", "write_off", "recover", "pay",
        "peek", "take", "fill",
    ],
)  # fmt: skip
def test_strangers_cannot_reach_behind_the_counter(role: str) -> None:
    """Every method that moves positions or money, called by an outsider."""
    bench = Bench(MarketSpec("100"))
    bench.account("stranger", "10")
    venue, me = bench.venue, bench.ids["stranger"]
    calls = {
        "add_lot": (venue.deleverager, (0, True, me, 1, 0), "deleverager: liquidator only"),
        "freeze": (venue.clearinghouse, (0, True), "clearinghouse: deleverager only"),
        "pin": (venue.oracle, (0, True), "oracle: deleverager only"),
        "exchange": (venue.clearinghouse, (0, me, 2, 1, 1), "clearinghouse: waterfall only"),
        "transfer_cash": (venue.clearinghouse, (1, me, 1), "clearinghouse: vault only"),
        "write_off": (venue.clearinghouse, (me, 1), "clearinghouse: waterfall only"),
        "recover": (venue.clearinghouse, (me, 1), "clearinghouse: waterfall only"),
        "pay": (venue.vault, (0, me, 1), "vault: waterfall only"),
        "peek": (venue.order_book, (0, True, 1), "book: liquidator only"),
        "take": (venue.order_book, (1, me, 1), "book: liquidator only"),
        "fill": (
            venue.clearinghouse, (0, me, 2, True, 1, 1, False), "clearinghouse: order book only"
        ),
    }  # fmt: skip
    contract, args, reason = calls[role]
    with pytest.raises(Reverted, match=reason):
        contract.send(role, *args, sender=bench.owners["stranger"])
