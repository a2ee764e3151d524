"""Attempts on the waterfall and the vault that once paid somebody, and what they pay now.

Each is a way to have insurance, the tranche or other depositors pay for what one person arranged.
Figures in dollars are asserted, so that a change of a bound is a visible change.
"""

from __future__ import annotations

from typing import Any

import pytest

from breakwater.contract import Tx
from breakwater.engine.base import Reverted
from tests.stateful.vault_world import DAY, World
from tests.tranche import fund, tranche
from tests.vectors.bench import Bench, MarketSpec

USDC = 10**6
POOL = 2**256 - 1


def own(bench: Bench, method: str, *args: Any) -> Tx:
    return bench.seen(bench.venue.liquidator.send(method, *args, sender=bench.venue.owner))


def fence(bench: Bench, market: int, share: int) -> None:
    bench.seen(bench.venue.vault.send("set_ring_fence", market, share, sender=bench.venue.owner))


def budget(bench: Bench, market: int) -> int:
    return int(bench.venue.vault.call("available", market))


def equity_of_tranche(bench: Bench) -> int:
    (row,) = bench.venue.rows([tranche(bench.venue)])
    return int(row.equity)


# --- Who is billed for a deficit ----------------------------------------------------------------


@pytest.mark.parametrize("side", ["", "-"])
@pytest.mark.parametrize("fenced", [False, True])
def test_a_lot_of_another_market_does_not_bill_insurance_for_the_deficit(
    fenced: bool, side: str
) -> None:
    """$2,000 lost in market 1, and one lot of market 0, worth $1, that the book takes at the mark.
    It made insurance pay all of the $1,490 there: past the fence, and ahead of the winner."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    bench.insure("100000")
    if fenced:
        fence(bench, 1, 100_000)
    for name, money in (("long", "510"), ("winner", "100000"), ("maker", "100000")):
        bench.account(name, money)
    bench.hold("long", 1, "100", "100", against="winner")
    bench.hold("long", 0, f"{side}0.01", "100")
    bench.mark({1: "80"})
    assert bench.equity("long") == -1_490 * USDC
    bench.order("maker", 0, not side, 100, bench.ticks(0, "100"))
    tx = bench.liquidate("long")
    fill = tx.one("LiquidationFill")
    assert (fill.market, fill.size, fill.insurance) == (0, 1, 0)
    wound = tx.one("WoundUp")
    assert (wound.equity, wound.insurance, wound.uninsured) == (-1_490 * USDC, 0, 0)
    bench.finish()
    assert bench.insurance() == (90_000 if fenced else 100_000) * USDC
    # Closed at $94.90 instead of the mark of $80.
    assert bench.equity("winner") == 100_510 * USDC
    assert bench.position("winner", 1) == (0, 0)


def test_each_leg_bills_its_own_market_for_its_own_part() -> None:
    """The two legs of the wind-up vector, sold at the mark instead: $120 and $30 of a deficit of
    $150, each out of its own market's budget."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    bench.insure("1000")
    fence(bench, 0, 400_000)
    fence(bench, 1, 600_000)
    bench.account("long", "100")
    bench.account("maker", "100000")
    for market in (0, 1):
        bench.hold("long", market, "10", "100")
    bench.mark({0: "80", 1: "95"})
    bench.bid("maker", 0, "10", "80")
    bench.bid("maker", 1, "10", "95")
    tx = bench.liquidate("long")
    paid = [(fill.market, fill.insurance) for fill in tx.all("LiquidationFill")]
    assert paid == [(0, 120 * USDC), (1, 30 * USDC)]
    assert (budget(bench, 0), budget(bench, 1)) == (280 * USDC, 570 * USDC)
    assert (bench.cash("long"), bench.position("long", 0), bench.uninsured()) == (0, (0, 0), 0)


def test_a_leg_without_a_loss_is_sold_for_what_it_is_worth_and_the_other_is_wound_up() -> None:
    """It owes nothing, and what it gets above the mark makes room for as much below it."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    bench.insure("1000")
    bench.account("long", "100")
    bench.account("maker", "100000")
    bench.account("winner", "100000")
    bench.hold("long", 0, "10", "100")
    bench.hold("long", 1, "10", "100", against="winner")
    bench.mark({0: "101", 1: "80"})
    assert bench.equity("long") == -90 * USDC
    bench.bid("maker", 0, "5", "102")
    bench.bid("maker", 0, "5", "100")
    tx = bench.liquidate("long")
    # $5 above the mark leave room for $5 below it.
    assert [fill.insurance for fill in tx.all("LiquidationFill")] == [0, 0]
    assert tx.one("WoundUp").equity == -90 * USDC
    assert bench.insurance() == 1_000 * USDC


@pytest.mark.parametrize("way", ["close_settled", "liquidate"])
def test_a_loss_of_a_settled_market_is_paid_from_its_fence(way: str) -> None:
    """A market of 1% of the insurance settles $30 down: the pool paid the loser's $2,500."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    bench.insure("100000")
    fence(bench, 1, 10_000)
    bench.account("long", "500")
    bench.hold("long", 1, "100", "100")
    bench.govern("halt", 1)
    bench.engine.wait(DAY)
    bench.epoch()
    bench.govern("settle_market", 1, bench.ticks(1, "70"))
    if way == "liquidate":
        tx = bench.liquidate("long")
    else:
        tx = bench.send("liquidator", "close_settled", "long", bench.ids["long"], 1)
    paid = tx.one("Paid")
    assert (paid.market, paid.paid) == (1, 1_000 * USDC)
    assert (budget(bench, 1), budget(bench, 0)) == (0, 99_000 * USDC)
    # $2,500 and, of the day of the halt, funding of the one hour
    # that a price was fresh for: 0.00125% of $10,000.
    assert bench.uninsured() == 1_500 * USDC + 125_000


# --- The tranche --------------------------------------------------------------------------------


def test_many_tiny_accounts_do_not_get_their_margin_back_as_a_reward() -> None:
    """One person's 20 accounts of $386 each: he names himself for the flat reward, which was all of
    their margin, and bought the positions back with the slippage: $38.64 of the tranche's. Now the
    slippage stays with each position, and he has no more than before."""
    bench = Bench(MarketSpec("100"))
    own(bench, "set_fees", 5_000, 10 * USDC, 0)
    own(bench, "set_work_off", 10**6, 0, 1, 5_000)
    own(bench, "set_backstop_limit", 0, 10**6 * USDC)
    fund(bench.venue, 1_000 * USDC)
    bench.account("maker", "100000")
    bench.account("caller", "1")
    tiny = [f"tiny{i}" for i in range(20)]
    for name in tiny:
        bench.account(name, "20")
        bench.hold(name, 0, "4", "100")
    bench.mark({0: "96.6101"})
    names = [*tiny, "maker", "caller"]
    before = sum(bench.equity(name) for name in names)
    for name in tiny:
        tx = bench.send(
            "liquidator", "liquidate", "caller", bench.ids[name], 40, bench.ids["caller"]
        )
        # $6.4404 of margin, of which 0.5% of $386.4404 is not for the caller: worth clearing still.
        assert tx.one("BackstopTaken").margin == 1_932_202
        assert tx.one("LiquidationCharged").reward == 6_440_400 - 1_932_202
    price = -(-bench.prices[0] * 995_000 // 10**6)
    bench.order("maker", 0, True, 8_000, price)
    bench.send("liquidator", "work_off", "maker", 0, 40)
    gain = sum(bench.equity(name) for name in names) - before
    assert gain <= 0
    assert equity_of_tranche(bench) == 1_000 * USDC - gain


@pytest.mark.parametrize("side", [1, -1])
def test_the_tranche_buys_nothing_that_the_oracle_price_makes_bankrupt(side: int) -> None:
    """The oracle price jumps by 10% and the mark walks there in steps of 1%. A straddle of one
    person: the tranche took the loser's side over on the way and had lost $500 of $10,000 when the
    mark arrived; the winner's side kept it. Now the loser goes to ADL like any bankrupt."""
    bench = Bench(MarketSpec("100"), max_step=10_000)
    own(bench, "set_backstop_limit", 0, 10**6 * USDC)
    fund(bench.venue, 1_000 * USDC)
    bench.account("loser", "500", owner="one")
    bench.account("winner", "10000", owner="two")
    bench.trade("loser", 0, side * 10_000, bench.prices[0], against="winner")
    before = bench.equity("loser") + bench.equity("winner")
    bench.prices[0] -= side * 100_000
    ends = []
    for _ in range(12):
        bench.epoch()
        if bench.is_liquidatable("loser"):
            tx = bench.liquidate("loser")
            ends += [e.name for e in tx.events if e.name in ("BackstopTaken", "WoundUp")]
    bench.finish()
    assert ends == ["WoundUp"]
    assert equity_of_tranche(bench) == 1_000 * USDC
    assert bench.equity("loser") + bench.equity("winner") == before


@pytest.mark.parametrize(
    ("oracle", "taken"),
    [
        # The margin is $105.97 at the mark, and nothing at $95.
        pytest.param("96.0597", True, id="the-mark-has-arrived"),
        pytest.param("95", True, id="nothing-left-there"),
        pytest.param("94.9999", False, id="a-cent-less-than-nothing"),
    ],
)
def test_what_is_not_below_zero_at_the_oracle_price_is_taken(oracle: str, taken: bool) -> None:
    bench = Bench(MarketSpec("100"), max_step=10_000)
    own(bench, "set_backstop_limit", 0, 10**6 * USDC)
    fund(bench.venue, 1_000 * USDC)
    bench.account("long", "500")
    bench.hold("long", 0, "100", "100")
    for _ in range(3):
        bench.epoch({0: bench.ticks(0, "97.0299")})
    bench.mark({0: oracle})
    assert bench.venue.oracle.call("mark", 0) == bench.ticks(0, "96.0597")
    assert bool(bench.liquidate("long").all("BackstopTaken")) is taken


# --- Insurance on the book ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("band", "gain"),
    [
        # 1.5% of $9,501, rounded to a tick, less the $1 that the long had left.
        pytest.param(100_000, 141_510_000, id="a-step-less-than-the-rate"),
        pytest.param(5_000, 46_500_000, id="half-a-percent"),
        pytest.param(0, 0, id="none"),
    ],
)
def test_a_long_that_nobody_could_sell_is_a_gift_to_its_only_bidder(band: int, gain: int) -> None:
    """KNOWN LIMIT, and its bound. In a book without bids, and without a tranche that takes it, an
    account falls from maintenance to nothing while nobody can liquidate it; its hedge elsewhere has
    what it lost. Its owner, as the only bidder then, buys from himself as far beyond the mark as
    insurance follows: the vault pays the band on the notional less the equity left, in one call.
    The venue's owner bounds it by `insured_band`; with 0 there is nothing to gain."""
    bench = Bench(MarketSpec("100"), max_step=10_000, insured_band=band)
    bench.insure("100000")
    names = ("long", "bidder", "hedge")
    for name, money in zip(names, ("500", "100000", "10000"), strict=True):
        bench.account(name, money)
    bench.hold("long", 0, "100", "100")
    bench.hold("hedge", 0, "-100", "100")
    bench.prices[0] = mark = bench.ticks(0, "95.01")
    while bench.venue.oracle.call("mark", 0) != mark:
        bench.epoch()
    assert bench.equity("long") == USDC
    allowed = min(band, 25_000 - 10_000)
    edge = -(-mark * (10**6 - allowed) // 10**6)
    bench.order("bidder", 0, True, 10_000, edge)
    before = sum(bench.equity(name) for name in names)
    tx = bench.liquidate("long")
    paid = sum(fill.insurance for fill in tx.all("LiquidationFill"))
    assert sum(bench.equity(name) for name in names) - before == paid == gain
    assert paid == max(10_000 * (mark - edge) - USDC, 0)


# --- The vault's share price --------------------------------------------------------------------


def walking(price: int) -> World:
    """The tranche is 100,000 lots long from 1,000 with $200 of $1,000, the oracle price has jumped
    to `price`, and the mark has gone a step of 1% toward it."""
    world = World()
    world.put("one", 1_000 * USDC)
    world.govern("fund_tranche", 200 * USDC)
    world.hold(0, 100_000)
    world.epoch()
    world.venue.oracle.send("set_parameters", 1, 3_600, 10_000, sender=world.owner)
    world.epoch({0: price})
    return world


def test_who_leaves_bears_the_loss_that_the_mark_is_on_its_way_to() -> None:
    world = walking(900)
    assert world.house.call("mark", 0) == 990
    value = world.call("valuation")
    # $10 down at 900 and 1% of $90 to work it off; at the worse of the two marks it was $2.
    assert (value.low, value.mid, value.high) == (189_100_000, 199 * USDC, 200 * USDC)


def test_who_leaves_early_in_a_walk_leaves_nobody_else_less() -> None:
    """Half of the shares leave at the first step; the mark arrives; the others have no less."""
    world = World()
    world.put("one", 500 * USDC)
    world.put("two", 500 * USDC)
    world.govern("fund_tranche", 200 * USDC)
    world.hold(0, 100_000)
    for who in ("one", "two"):
        world.send(who, "request_exit", world.shares(who))
    world.wait(DAY)
    world.epoch()
    world.venue.oracle.send("set_parameters", 1, 3_600, 10_000, sender=world.owner)
    world.epoch({0: 900})
    shares, one = world.shares("one"), world.engine.actor("one")
    early = world.send("one", "redeem", shares, one, one).one("Withdraw").assets
    for _ in range(12):
        world.epoch()
    assert world.house.call("mark", 0) == 900
    # $90 are what the position is worth then, and 1% of that is what it costs to leave it.
    assert world.call("previewRedeem", world.shares("two")) >= early


def test_who_enters_pays_for_the_gain_that_the_mark_is_on_its_way_to() -> None:
    world = walking(1_100)
    assert world.house.call("mark", 0) == 1_010
    value = world.call("valuation")
    assert (value.low, value.mid, value.high) == (199 * USDC, 201 * USDC, 210 * USDC)
    world.put("two", 1_000 * USDC)
    for _ in range(12):
        world.epoch()
    assert world.house.call("mark", 0) == 1_100
    assert world.call("convertToAssets", world.shares("two")) <= 1_000 * USDC


@pytest.mark.parametrize("share", [10**6, 400_000])
def test_a_deposit_around_a_sweep_of_fees_gains_nothing(share: int) -> None:
    """Half of the vault is somebody's whose shares have matured. In one block he puts in as much
    again, sweeps the fees and takes the matured half out: it had given him two thirds of the fees
    for the half that is his, without a day's wait."""
    world = World()
    if share != 10**6:
        world.seen(
            world.venue.governor.send("set_fee_share", share, world.sink, sender=world.owner)
        )
    world.put("one", 1_000 * USDC)
    world.put("two", 1_000 * USDC)
    matured = world.shares("one")
    world.send("one", "request_exit", matured)
    world.wait(DAY)
    world.epoch()
    world.seen(
        world.venue.governor.send("set_trading_terms", 0, 5_000, 0, 0, 0, 2**54, sender=world.owner)
    )
    sender = world.engine.actor("deep")
    place = world.venue.order_book.send
    world.seen(
        place(
            "place", world.sink, 0, False, 1_000, 1_000, 0, False, sender=world.engine.actor("sink")
        )
    )
    world.seen(place("place", world.deep, 0, True, 1_000, 1_000, 1, False, sender=sender))
    fees = world.house.call("fees")
    due = fees * share // 10**6
    assert fees == 5_000
    one = world.engine.actor("one")
    world.put("one", 1_000 * USDC)
    world.seen(world.house.send("sweep_fees", sender=one))
    out = world.send("one", "redeem", matured, one, one).one("Withdraw").assets
    kept = world.call("convertToAssets", world.shares("one"))
    # He put in 2,000 and has his half of the fees; the other depositor has hers.
    assert out + kept <= 2_000 * USDC + due // 2
    assert world.call("convertToAssets", world.shares("two")) >= 1_000 * USDC + due // 2 - 2


def test_a_matured_holder_may_leave_ahead_of_a_loss_that_nobody_has_proved() -> None:
    """KNOWN LIMIT. A bankrupt is known once a call has wound it up: until then matured shares leave
    at the price of before. Whoever proves it first shuts the door for all."""
    bench = Bench(MarketSpec("100"))
    vault = bench.venue.vault
    for who in ("one", "two"):
        address = bench.engine.actor(who)
        bench.venue.mint(address, 500 * USDC, vault)
        bench.seen(vault.send("deposit", 500 * USDC, address, sender=address))
        bench.seen(vault.send("request_exit", vault.call("balanceOf", address), sender=address))
    bench.engine.wait(DAY)
    bench.epoch()
    bench.account("long", "500")
    bench.hold("long", 0, "100", "100")
    bench.mark({0: "90"})
    assert bench.is_liquidatable("long")
    one, two = bench.engine.actor("one"), bench.engine.actor("two")
    out = bench.seen(vault.send("redeem", vault.call("maxRedeem", one), one, one, sender=one))
    assert out.one("Withdraw").assets == 500 * USDC
    bench.liquidate("long", 1)
    assert bench.busy()
    assert vault.call("maxRedeem", two) == vault.call("maxWithdraw", two) == 0
    with pytest.raises(Reverted, match="beyond what may leave now"):
        vault.send("redeem", 1, two, two, sender=two)
