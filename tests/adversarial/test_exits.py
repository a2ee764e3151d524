"""Nobody is trapped: whatever is halted, stale or settled, and whoever governs, everybody gets out,
and what is left is exactly what rounding is known to leave."""

from __future__ import annotations

import pytest

from breakwater.engine.base import Reverted
from breakwater.ledger import SCALE
from tests.vectors.bench import Bench, MarketSpec

DAY = 86_400


def _everybody_leaves(bench: Bench) -> None:
    """Each trader withdraws all of its cash, in order of opening. Else it fails."""
    for name in bench.ids:
        if cash := bench.cash(name):
            bench.send("clearinghouse", "withdraw", name, bench.ids[name], cash)
        assert bench.cash(name) == 0, name


def _halted_for_a_day(bench: Bench, *prices: int) -> None:
    """Settles the markets at these ticks."""
    for market in range(len(prices)):
        bench.govern("halt", market)
    bench.engine.wait(DAY)
    for market, price in enumerate(prices):
        bench.govern("settle_market", market, price)


def _without_funding(bench: Bench) -> None:
    """The price is stale from now on when an hour ends, which then accrues nothing."""
    bench.venue.oracle.send("set_parameters", 1, 2, 0, sender=bench.venue.owner)


def _close(bench: Bench, name: str, market: int) -> None:
    """Anyone may."""
    bench.send("liquidator", "close_settled", "passer-by", bench.ids[name], market)


def test_halt_leaves_the_way_out_open() -> None:
    bench = Bench(MarketSpec("100"))
    for name in ("long", "maker"):
        bench.account(name, "1000")
    bench.hold("long", 0, "10", "100")
    bench.bid("maker", 0, "1", "100")
    bench.govern("halt", 0)
    for name in ("long", "maker"):
        with pytest.raises(Reverted, match="clearinghouse: market halted"):
            bench.bid(name, 0, "1", "100")
    with pytest.raises(Reverted, match="clearinghouse: market halted"):
        bench.ask("counterparty", 0, "1", "100")
    for name in ("long", "counterparty"):
        with pytest.raises(Reverted, match="clearinghouse: market halted"):
            bench.place(name, 0, name != "long", 1_001, 1_000_000)
    # A maker who would add risk is passed over.
    bench.bid("counterparty", 0, "10", "100")
    # Both sides of it only reduce.
    assert bench.ask("long", 0, "10", "100").one("Filled").size == 1_000
    bench.withdraw("long", "1000")
    bench.deposit("maker", "1")
    # And a market is not settled on a whim.
    with pytest.raises(Reverted, match="governor: not halted for long enough"):
        bench.govern("settle_market", 0, 1)
    with pytest.raises(Reverted, match="governor: guardian only"):
        bench.venue.governor.send("halt", 0, sender=bench.owners["long"])


def test_everybody_leaves_settled_markets() -> None:
    """Two markets, odd positions, fees and five hours of funding, an isolated account, no fresh
    price since: all close, all withdraw, and what is left is fees and the rounding of funding."""
    bench = Bench(MarketSpec("1", decimals=6), MarketSpec("100"))
    bench.trading_terms(0, taker=450, maker=150)
    bench.trading_terms(1, taker=450, maker=150)
    bench.epoch({0: 10_007, 1: 1_000_003})
    names = ["a", "b", "c", "d"]
    for name in names:
        bench.account(name, "1000")
    bench.isolated("apart", 1, "333.333333", owner="a")
    for i, name in enumerate(names):
        bench.trade(name, 0, 101 + 2 * i if i % 2 else -77 - i, 10_007)
        bench.hour()
        bench.trade(name, 1, -13 * (i + 1) if i < 2 else 7, 1_000_003)
    bench.trade("apart", 1, 17, 1_000_003)
    bench.hour()
    _halted_for_a_day(bench, 9_001, 964_321)
    # Nobody reports any more.
    bench.venue.oracle.send("set_reporter", bench.venue.reporter, False, sender=bench.venue.owner)
    assert not bench.venue.oracle.call("is_fresh", 0)
    with pytest.raises(Reverted, match="clearinghouse: market settled"):
        bench.order("a", 0, True, 1, 10_007)
    for market in (0, 1):
        for name in bench.ids:
            if bench.position(name, market)[0]:
                equity = bench.equity(name)
                _close(bench, name, market)
                assert bench.equity(name) == equity, "closing at the mark moves no equity"
            with pytest.raises(Reverted, match="clearinghouse: no position"):
                _close(bench, name, market)
    house = bench.venue.clearinghouse
    for market in (0, 1):
        taker = house.call("settlement_account", market)
        assert house.call("position", taker, market).size == 0
        assert house.call("open_interest", market) == 0
        assert house.call("cash", taker) == 0
    _everybody_leaves(bench)
    pools = [house.call("funding_pool", market) for market in (0, 1)]
    for market in (0, 1):
        assert pools[market] * SCALE == house.call("funding_dust", market)
    fees = house.call("fees")
    assert house.call("held") == fees + sum(pools)
    # A micro-USDC a settlement of a position at the most.
    assert 0 < sum(pools) <= 60
    print(f"left after everybody left: {fees} of fees, pools {pools} micro-USDC")
    bench.send("clearinghouse", "sweep_fees", "passer-by")
    assert (house.call("fees"), bench.insurance()) == (0, fees)
    assert bench.check().uninsured == 0


def _settled_with_a_loss(insurance: int = 0) -> Bench:
    """A settlement price that leaves one of four at -$100, and that one closed and wound up."""
    bench = Bench(MarketSpec("100"))
    if insurance:
        bench.insure(insurance)
    for name in ("a", "b"):
        bench.account(name, "1000")
    bench.account("loser", "100")
    bench.withdraw("counterparty", "999999999000")
    bench.hold("loser", 0, "10", "100", against="a")
    bench.trade("b", 0, -300, bench.prices[0], against="counterparty")
    _without_funding(bench)
    _halted_for_a_day(bench, 800_000)
    assert bench.equity("loser") == -100 * 10**6
    bench.liquidate("loser")
    assert bench.cash("loser") == 0
    loss = max(0, 100 - insurance) * 10**6
    assert bench.uninsured() == loss
    for name in ("a", "b", "counterparty"):
        _close(bench, name, 0)
    return bench


@pytest.mark.parametrize("insurance", [0, 120])
def test_everybody_leaves_after_a_bankrupt_settlement(insurance: int) -> None:
    """Insurance pays first, and all are paid the same ratio, to the last, whose claim may be more
    than is held: at most that is asked for at a time."""
    bench = _settled_with_a_loss(insurance)
    house = bench.venue.clearinghouse
    loss = bench.uninsured()
    owed = sum(bench.cash(name) for name in bench.ids)
    paid = dict.fromkeys(("a", "b", "counterparty"), 0)
    for name in paid:
        cash = bench.cash(name)
        while part := min(bench.cash(name), house.call("held")):
            tx = bench.send("clearinghouse", "withdraw", name, bench.ids[name], part)
            paid[name] += tx.one("Withdrawn").paid
        assert abs(paid[name] - cash * (owed - loss) // owed) <= 10
    assert sum(bench.cash(name) for name in paid) == bench.uninsured() <= 1
    assert house.call("held") == max(0, insurance - 100) * 10**6
    assert sum(paid.values()) == owed - loss


def test_the_last_one_out_needs_one_withdrawal() -> None:
    """While a loss is uninsured the last claim is more than is held: it is paid what is held."""
    bench = _settled_with_a_loss()
    house = bench.venue.clearinghouse
    for name in ("a", "b", "counterparty"):
        held = house.call("held")
        tx = bench.send("clearinghouse", "withdraw", name, bench.ids[name], bench.cash(name))
    assert tx.one("Withdrawn").paid == held
    assert (house.call("held"), bench.uninsured()) == (0, 0)


def test_lots_of_an_estate_do_not_hold_up_a_settlement() -> None:
    """An estate that found no taker is closed like the others, and its gain repays the loss."""
    bench = Bench(MarketSpec("100"))
    bench.account("bankrupt", "50")
    bench.account("sink", "1000000")
    bench.hold("bankrupt", 0, "10", "100")
    bench.mark({0: "90"})
    bench.trade("counterparty", 0, 1_000, bench.prices[0], against="sink")
    bench.liquidate("bankrupt")
    assert bench.uninsured() == 50 * 10**6
    _without_funding(bench)
    _halted_for_a_day(bench, 970_000)
    with pytest.raises(Reverted, match="clearinghouse: an estate"):
        bench.send("liquidator", "close_settled", "passer-by", bench.estate(0, True), 0)
    with pytest.raises(Reverted, match="deleverager: market settled"):
        bench.retry(0, True)
    bench.send("deleverager", "close_settled", "passer-by", 0, True, 10)
    # 70 gained from 90 to 97: 50 repay, 20 are the vault's.
    assert (bench.uninsured(), bench.insurance()) == (0, 20 * 10**6)
    _close(bench, "sink", 0)
    _everybody_leaves(bench)
    assert bench.venue.clearinghouse.call("held") == 20 * 10**6


def test_an_open_round_holds_up_no_settlement() -> None:
    bench = Bench(MarketSpec("100"), stale_after=86_400)
    bench.account("bankrupt", "50")
    bench.account("winner", "1000")
    bench.hold("bankrupt", 0, "10", "100")
    bench.hold("winner", 0, "-10", "100")
    bench.govern("halt", 0)
    bench.engine.wait(DAY - 100)
    bench.epoch({0: 900_000})
    bench.liquidate("bankrupt", 1)
    bench.engine.wait(200)
    assert bench.venue.deleverager.call("round").id != 0
    bench.govern("settle_market", 0, 900_000)
    bench.check()
    # The lots close at the settlement price like everybody's; nothing is frozen any more.
    bench.venue.deleverager.send("close_settled", 0, True, 10, sender=bench.keeper)
    bench.finish()
    bench.check()
    assert bench.venue.deleverager.call("is_busy") is False
    assert bench.venue.clearinghouse.call("frozen_markets") == 0


@pytest.mark.parametrize(
    ("method", "args", "reason"),
    [
        ("set_tiers", (0, [0], [0]), "leverage out of range"),
        ("set_tiers", (0, [0], [101]), "leverage out of range"),
        ("set_tiers", (0, [], []), "malformed tiers"),
        ("set_tiers", (0, [1], [1]), "malformed tiers"),
        ("set_tiers", (0, [0, 10], [10, 10]), "malformed tiers"),
        ("set_tiers", (0, [0, 10], [10, 20]), "malformed tiers"),
        ("set_tiers", (0, [0, 10, 10], [10, 5, 2]), "malformed tiers"),
        ("set_tiers", (0, [0, 2**57], [10, 5]), "malformed tiers"),
        ("set_trading_terms", (0, 10_001, 0, 0, 0, 1), "fee above 1%"),
        ("set_trading_terms", (0, 0, 10_001, 0, 0, 1), "fee above 1%"),
        ("set_trading_terms", (0, 0, 0, 10**6, 0, 1), "band out of range"),
        ("set_trading_terms", (0, 0, 0, 0, 10**9 + 1, 1), "minimum notional out of range"),
        ("set_trading_terms", (0, 0, 0, 0, 0, 2**54 + 1), "cap out of range"),
        ("set_fee_share", (10**6 + 1, 0), "share above 100%"),
        ("set_tiers", (1, [0], [1]), "unknown market"),
    ],
)
def test_the_owner_cannot_step_over_the_bounds(
    method: str, args: tuple[object, ...], reason: str
) -> None:
    """Maintenance above 100% cannot be said: leverage 1 is the least, and asks for half."""
    bench = Bench(MarketSpec("100"))
    before = bench.venue.clearinghouse.call("terms", 0)
    with pytest.raises(Reverted, match=reason):
        bench.govern(method, *args)
    assert bench.venue.clearinghouse.call("terms", 0) == before
    bench.govern("set_tiers", 0, [0], [1])
    assert bench.venue.clearinghouse.call("maintenance", 0, 10**9) == 5 * 10**8
    with pytest.raises(Reverted, match="ownable: caller is not the owner"):
        bench.venue.governor.send(method, *args, sender=bench.engine.actor("stranger"))


@pytest.mark.parametrize("method", ["set_terms", "set_tiers", "add_market", "open_settlement"])
def test_only_the_governor_writes_terms(method: str) -> None:
    bench = Bench(MarketSpec("100"))
    args = {"set_terms": (0, 0), "set_tiers": (0, 0), "add_market": (), "open_settlement": (0,)}
    with pytest.raises(Reverted, match="clearinghouse: governor only"):
        bench.venue.clearinghouse.send(method, *args[method], sender=bench.venue.owner)
