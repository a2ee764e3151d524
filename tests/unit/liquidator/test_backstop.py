"""The backstop: below two thirds of maintenance the vault's tranche takes legs and margin over, at
the mark, within its limits or not at all.

The account is long 100 units from $100 with $500 at 20x. At $96 it has $100 left, where $240 are
maintenance and $160 two thirds of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from breakwater.contract import Tx
from breakwater.engine.base import Reverted
from tests.tranche import fund, move, tranche, without_code
from tests.vectors.bench import HOUR, Bench, MarketSpec

USDC = 10**6
LIMIT = 1_000_000 * USDC


def bench_with_tranche(
    money: int = 1_000 * USDC, limit: int = LIMIT, markets: int = 1, **config: Any
) -> Bench:
    bench = Bench(*(MarketSpec("100") for _ in range(markets)), **config)
    for market in range(markets):
        own(bench, "set_backstop_limit", market, limit)
    if money:
        fund(bench.venue, money)
    bench.account("long", "500")
    bench.account("maker", "100000")
    bench.hold("long", 0, "100", "100")
    return bench


def own(bench: Bench, method: str, *args: Any) -> Tx:
    return bench.seen(bench.venue.liquidator.send(method, *args, sender=bench.venue.owner))


def of_tranche(bench: Bench, market: int = 0) -> tuple[int, int, int]:
    """Its cash, and size and quote in a market."""
    house, account = bench.venue.clearinghouse, tranche(bench.venue)
    size, quote, *_ = house.call("position", account, market)
    return house.call("cash", account), size, quote


def margin_of_tranche(bench: Bench) -> Any:
    return bench.venue.clearinghouse.call("margin", tranche(bench.venue))


def test_it_takes_the_position_at_the_mark_and_the_margin_that_is_left() -> None:
    bench = bench_with_tranche()
    bench.mark({0: "96"})
    tx = bench.liquidate("long")
    taken = tx.one("BackstopTaken")
    assert (taken.account, taken.market, taken.is_long) == (bench.ids["long"], 0, True)
    assert (taken.size, taken.mark, taken.margin) == (10_000, 960_000, 100 * USDC)
    assert taken.tranche_size == 10_000
    assert of_tranche(bench) == (1_100 * USDC, 10_000, -9_600 * USDC)
    assert (bench.cash("long"), bench.position("long", 0)) == (0, (0, 0))
    assert not tx.all("WoundUp") and not bench.busy()
    with pytest.raises(Reverted, match="account is healthy"):
        bench.liquidate("long")


def test_a_short_too() -> None:
    bench = bench_with_tranche()
    bench.account("short", "500")
    bench.hold("short", 0, "-100", "100")
    bench.mark({0: "104"})
    taken = bench.liquidate("short").one("BackstopTaken")
    assert (taken.is_long, taken.tranche_size, taken.margin) == (False, -10_000, 100 * USDC)
    assert of_tranche(bench) == (1_100 * USDC, -10_000, 10_400 * USDC)


@pytest.mark.parametrize(("mark", "takes"), [("96", False), ("95.9999", True)])
def test_from_two_thirds_of_maintenance_down(mark: str, takes: bool) -> None:
    """At $96 the account has two thirds of its maintenance margin exactly."""
    bench = bench_with_tranche()
    bench.deposit("long", 60)
    bench.mark({0: mark})
    assert bool(bench.liquidate("long").all("BackstopTaken")) is takes


@pytest.mark.parametrize(("mark", "takes"), [("95", True), ("94.9999", False)])
def test_down_to_zero(mark: str, takes: bool) -> None:
    bench = bench_with_tranche()
    bench.mark({0: mark})
    tx = bench.liquidate("long")
    assert bool(tx.all("BackstopTaken")) is takes
    assert bool(tx.all("WoundUp")) is not takes
    if takes:
        assert tx.one("BackstopTaken").margin == 0


def test_the_book_is_asked_first() -> None:
    bench = bench_with_tranche()
    bench.bid("maker", 0, "60", "95.2")
    bench.mark({0: "96"})
    tx = bench.liquidate("long")
    assert tx.one("LiquidationFill").size == 6_000
    taken = tx.one("BackstopTaken")
    # 60 units went $0.80 below the mark.
    assert (taken.size, taken.margin) == (4_000, 52 * USDC)


def test_out_of_steps_is_no_reason() -> None:
    bench = bench_with_tranche()
    for _ in range(3):
        bench.bid("maker", 0, "1", "95.5")
    bench.mark({0: "96"})
    tx = bench.liquidate("long", 2)
    assert tx.one("Liquidated").more and not tx.all("BackstopTaken")


def test_funding_owed_is_part_of_what_is_left() -> None:
    bench = bench_with_tranche()
    # A book above the oracle price: longs pay.
    bench.hour()
    bench.bid("maker", 0, "100", "99.99")
    bench.ask("maker", 0, "100", "104")
    bench.sample()
    bench.sample(wait=50)
    bench.cancel_all("maker")
    bench.hour()
    assert bench.venue.oracle.call("index", 0) != 0
    bench.mark({0: "96"})
    left = bench.equity("long")
    assert left != 100 * USDC
    before = margin_of_tranche(bench).equity
    assert bench.liquidate("long").one("BackstopTaken").margin == left
    assert (bench.cash("long"), margin_of_tranche(bench).equity) == (0, before + left)


def test_a_cross_account_goes_as_a_whole_and_its_margin_is_stated_once() -> None:
    bench = bench_with_tranche(markets=2)
    bench.deposit("long", 300)
    bench.hold("long", 1, "-50", "100")
    bench.mark({0: "94", 1: "100"})
    tx = bench.liquidate("long")
    # $200 left, maintenance $235 and $125.
    rows = [(t.market, t.is_long, t.size, t.margin) for t in tx.all("BackstopTaken")]
    assert rows == [(0, True, 10_000, 0), (1, False, 5_000, 200 * USDC)]
    assert margin_of_tranche(bench).equity == 1_200 * USDC
    assert bench.cash("long") == 0


@pytest.mark.parametrize("limited", [0, 1])
def test_a_limit_in_one_market_is_one_for_all(limited: int) -> None:
    bench = bench_with_tranche(markets=2)
    own(bench, "set_backstop_limit", limited, 0)
    bench.deposit("long", 300)
    bench.hold("long", 1, "-50", "100")
    bench.mark({0: "94", 1: "100"})
    assert not bench.liquidate("long").all("BackstopTaken")
    assert bench.position("long", 0)[0] == 10_000


# --- Limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("missing", "takes"), [(0, True), (1, False)])
def test_it_must_meet_its_initial_margin_then(missing: int, takes: bool) -> None:
    """$9,600 at 20x: $480, of which $100 come with the account."""
    bench = bench_with_tranche(380 * USDC - missing)
    bench.mark({0: "96"})
    assert bool(bench.liquidate("long").all("BackstopTaken")) is takes
    margin = margin_of_tranche(bench)
    assert margin.equity == (480 * USDC if takes else 380 * USDC - 1)
    assert margin.initial == (480 * USDC if takes else 0)


def test_what_it_holds_already_needs_margin_too() -> None:
    bench = bench_with_tranche(860 * USDC, markets=2)
    bench.account("other", "500")
    bench.hold("other", 1, "100", "100")
    bench.account("third", "500")
    bench.hold("third", 0, "-100", "100")
    bench.mark({0: "96", 1: "96"})
    assert bench.liquidate("long").all("BackstopTaken")
    # 960 + 100 for twice 480: enough, to the last of it.
    assert bench.liquidate("other").all("BackstopTaken")
    assert margin_of_tranche(bench).equity == 1_060 * USDC
    assert margin_of_tranche(bench).initial == 960 * USDC


@pytest.mark.parametrize(("limit", "takes"), [(9_600, True), (9_599, False), (0, False)])
def test_a_market_has_its_limit_at_the_mark(limit: int, takes: bool) -> None:
    bench = bench_with_tranche(limit=limit * USDC)
    bench.mark({0: "96"})
    assert bool(bench.liquidate("long").all("BackstopTaken")) is takes


def test_what_makes_its_position_smaller_is_within_any_limit() -> None:
    bench = bench_with_tranche()
    bench.account("short", "500")
    bench.mark({0: "96"})
    bench.liquidate("long")
    bench.hold("short", 0, "-100", "96")
    own(bench, "set_backstop_limit", 0, 0)
    # 9,600 + 500 - 100 p, and 5/3 of p.
    bench.mark({0: "100"})
    assert bench.liquidate("short").one("BackstopTaken").tranche_size == 0
    assert of_tranche(bench)[1:] == (0, 0)


@pytest.mark.parametrize(("limit", "takes"), [(19_200, 2), (19_199, 1), (9_600, 1), (9_599, 0)])
def test_one_owner_has_a_limit_a_day(limit: int, takes: int) -> None:
    """However many accounts he has; somebody else has his own."""
    bench = bench_with_tranche(5_000 * USDC)
    own(bench, "set_backstop", True, limit * USDC)
    bench.account("again", "500", owner="long")
    bench.hold("again", 0, "100", "100")
    bench.account("other", "500")
    bench.hold("other", 0, "100", "100")
    bench.mark({0: "96"})
    taken = [bool(bench.liquidate(name).all("BackstopTaken")) for name in ("long", "again")]
    assert sum(taken) == takes
    owner = bench.owners["long"]
    assert bench.venue.liquidator.call("taken_today", owner) == takes * 9_600 * USDC
    assert bool(bench.liquidate("other").all("BackstopTaken")) is (takes != 0)
    # Tomorrow is another day.
    bench.engine.wait(24 * HOUR)
    bench.epoch()
    assert bench.venue.liquidator.call("taken_today", owner) == 0
    if takes == 1:
        assert bench.liquidate("again").all("BackstopTaken")


def test_a_closed_backstop_takes_nothing() -> None:
    bench = bench_with_tranche()
    own(bench, "set_backstop", False, 2**256 - 1)
    bench.mark({0: "96"})
    tx = bench.liquidate("long")
    assert not tx.all("BackstopTaken") and bench.position("long", 0)[0] == 10_000
    own(bench, "set_backstop", True, 2**256 - 1)
    assert bench.liquidate("long").all("BackstopTaken")


def test_an_empty_tranche_takes_nothing() -> None:
    bench = bench_with_tranche(0)
    bench.mark({0: "96"})
    assert not bench.liquidate("long").all("BackstopTaken")


def test_no_more_risk_in_a_halted_market() -> None:
    bench = bench_with_tranche()
    bench.mark({0: "96"})
    bench.govern("halt", 0)
    assert not bench.liquidate("long").all("BackstopTaken")
    bench.govern("resume", 0)
    assert bench.liquidate("long").all("BackstopTaken")


def test_no_more_risk_while_a_loss_is_uninsured() -> None:
    bench = bench_with_tranche()
    bench.mark({0: "96"})
    bench.account("lost", "10")
    house, waterfall = bench.venue.clearinghouse, bench.venue.liquidator.address
    with without_code(bench.engine, waterfall):
        house.send("write_off", bench.ids["lost"], 5 * USDC, sender=waterfall)
    assert bench.uninsured() == 5 * USDC
    assert not bench.liquidate("long").all("BackstopTaken")


def test_no_more_than_eight_legs() -> None:
    """A margin check looks at eight."""
    bench = bench_with_tranche(100_000 * USDC, markets=9)
    for market in range(9):
        name = f"trader{market}"
        bench.account(name, "500")
        bench.hold(name, market, "100", "100", "maker" if market == 8 else "counterparty")
    bench.mark(dict.fromkeys(range(9), "96"))
    taken = [bool(bench.liquidate(f"trader{m}").all("BackstopTaken")) for m in range(9)]
    assert taken == [True] * 8 + [False]
    assert margin_of_tranche(bench).initial == 8 * 480 * USDC


def test_a_market_without_a_price_stops_it_and_no_more() -> None:
    """The tranche holds market 1, which nobody prices: it cannot say what it has."""
    bench = bench_with_tranche(5_000 * USDC, markets=2)
    bench.account("other", "500")
    bench.hold("other", 1, "100", "100")
    bench.mark({1: "96"})
    assert bench.liquidate("other").all("BackstopTaken")
    bench.engine.wait(2 * HOUR)
    bench.prices[1] = 0
    bench.epoch({0: bench.ticks(0, "96")})
    tx = bench.liquidate("long")
    assert not tx.all("BackstopTaken") and tx.all("Liquidated")


def test_an_open_round_in_a_market_of_its_stops_it_and_no_more() -> None:
    bench = bench_with_tranche(5_000 * USDC, markets=2)
    bench.account("other", "500")
    bench.hold("other", 1, "100", "100")
    bench.account("bankrupt", "500")
    bench.hold("bankrupt", 1, "100", "100")
    bench.mark({1: "96"})
    assert bench.liquidate("other").all("BackstopTaken")
    bench.mark({0: "96", 1: "90"})
    bench.liquidate("bankrupt", 1)
    assert bench.busy()
    assert not bench.liquidate("long").all("BackstopTaken")
    bench.finish()
    assert bench.liquidate("long").all("BackstopTaken")


def test_the_caller_of_a_takeover_has_his_reward_from_the_margin() -> None:
    bench = bench_with_tranche()
    own(bench, "set_fees", 1, 7 * USDC, 0)
    bench.account("caller", "1")
    bench.mark({0: "96"})
    tx = bench.send("liquidator", "liquidate", "caller", bench.ids["long"], 40, bench.ids["caller"])
    assert tx.one("BackstopTaken").margin == 93 * USDC
    assert (bench.cash("caller"), bench.cash("long")) == (8 * USDC, 0)
    assert margin_of_tranche(bench).equity == 1_093 * USDC


@pytest.mark.parametrize(
    ("mark", "reward"),
    # 0.5% of the notional stays with the position: $47.76 of a margin of $52; all of $5.
    [("95.52", 4_240_000), ("95.05", 0)],
)
def test_a_reward_leaves_what_the_work_off_may_cost(mark: str, reward: int) -> None:
    bench = bench_with_tranche()
    own(bench, "set_fees", 1, 7 * USDC, 0)
    bench.account("caller", "1")
    bench.mark({0: mark})
    margin = bench.equity("long")
    tx = bench.send("liquidator", "liquidate", "caller", bench.ids["long"], 40, bench.ids["caller"])
    assert tx.one("BackstopTaken").margin == margin - reward
    assert bench.cash("caller") == USDC + reward
    assert margin_of_tranche(bench).equity == 1_000 * USDC + margin - reward


# --- The end of the tranche ----------------------------------------------------------------------


def taken_and_down(mark: str, money: int = 1_000 * USDC, **config: Any) -> Bench:
    """The tranche holds the 100 units from $96 with $1,100, and now the mark is lower."""
    bench = bench_with_tranche(money, **config)
    bench.account("weak", "100000")
    bench.mark({0: "96"})
    bench.liquidate("long")
    bench.mark({0: mark})
    return bench


def wind_up(bench: Bench, steps: int = 40) -> Tx:
    return bench.seen(bench.venue.liquidator.send("wind_up_tranche", steps, sender=bench.keeper))


@pytest.mark.parametrize(("mark", "below"), [("85", False), ("84.9999", True)])
def test_a_tranche_below_zero_is_deleveraged_like_anyone(mark: str, below: bool) -> None:
    bench = taken_and_down(mark)
    if not below:
        with pytest.raises(Reverted, match="tranche not below zero"):
            wind_up(bench)
        return
    insurance = bench.insurance()
    tx = wind_up(bench)
    assert tx.one("WoundUp").account == tranche(bench.venue)
    (fill,) = tx.all("Deleveraged")
    # $0.01 short on 100 units: closed at $85, against the winner, not the vault.
    assert (fill.size, fill.quote, fill.haircut) == (10_000, 8_500 * USDC, 10_000)
    assert fill.bankrupt == tranche(bench.venue)
    assert of_tranche(bench) == (0, 0, 0)
    assert (bench.insurance(), bench.uninsured()) == (insurance, 0)
    with pytest.raises(Reverted, match="tranche not below zero"):
        wind_up(bench)


def test_below_zero_it_takes_nothing_over_and_works_nothing_off() -> None:
    bench = taken_and_down("90")
    bench.account("next", "500")
    bench.hold("next", 0, "10", "90", against="counterparty")
    bench.withdraw_to("next", 90)
    bench.mark({0: "82"})
    assert bench.equity("next") == 10 * USDC
    assert margin_of_tranche(bench).equity < 0
    tx = bench.liquidate("next")
    assert tx.all("Liquidated") and not tx.all("BackstopTaken")
    with pytest.raises(Reverted, match="tranche below zero"):
        bench.venue.liquidator.send("work_off", 0, 10, sender=bench.keeper)


def test_an_exhausted_tranche_takes_nothing_until_it_is_funded() -> None:
    bench = taken_and_down("84")
    wind_up(bench)
    bench.finish()
    bench.account("next", "500")
    bench.hold("next", 0, "50", "84")
    bench.withdraw_to("next", 420)
    bench.mark({0: "76"})
    assert 0 <= bench.equity("next") < 50 * 76 * USDC // 60
    assert not bench.liquidate("next").all("BackstopTaken")
    fund(bench.venue, 1_000 * USDC)
    assert bench.liquidate("next").all("BackstopTaken")


def test_liquidate_is_not_for_the_tranche() -> None:
    bench = taken_and_down("84")
    with pytest.raises(Reverted, match="not a trading account"):
        bench.venue.liquidator.send("liquidate", tranche(bench.venue), 40, sender=bench.keeper)
    assert not bench.venue.liquidator.call("is_liquidatable", tranche(bench.venue))


def test_a_wind_up_waits_for_the_round_in_its_market() -> None:
    bench = taken_and_down("90")
    bench.account("bankrupt", "500")
    bench.hold("bankrupt", 0, "100", "90")
    bench.mark({0: "84"})
    bench.liquidate("bankrupt", 1)
    with pytest.raises(Reverted, match="adl round open"):
        wind_up(bench)
    bench.finish()
    assert wind_up(bench).all("WoundUp")


def test_a_wind_up_needs_fresh_prices_and_steps() -> None:
    bench = taken_and_down("84")
    with pytest.raises(Reverted, match="no steps"):
        wind_up(bench, 0)
    bench.engine.wait(2 * HOUR)
    with pytest.raises(Reverted, match="stale price"):
        wind_up(bench)


def test_what_a_settlement_left_below_zero_is_paid_by_insurance() -> None:
    """Without legs nobody can be deleveraged for it."""
    bench = taken_and_down("90")
    bench.insure("100")
    bench.govern("halt", 0)
    bench.engine.wait(24 * HOUR)
    bench.epoch()
    bench.govern("settle_market", 0, bench.ticks(0, "84"))
    tx = wind_up(bench)
    # $100, and funding of the one hour that a price was fresh for: 0.00125% of $9,000.
    assert tx.one("WoundUp").equity == -100 * USDC - 112_500
    assert (of_tranche(bench), bench.insurance()) == ((0, 0, 0), 0)
    assert bench.uninsured() == 112_500


def test_money_leaves_the_tranche_by_the_vault_or_the_waterfall_alone() -> None:
    bench = bench_with_tranche()
    house = bench.venue.clearinghouse
    for sender in (bench.keeper, bench.venue.owner):
        with pytest.raises(Reverted, match="clearinghouse: waterfall only"):
            house.send("transfer_cash", tranche(bench.venue), 1, 1, sender=sender)
    assert move(bench.venue, 1, tranche(bench.venue), 0)


def test_the_owner_sets_limits() -> None:
    bench = Bench(MarketSpec("100"))
    event = own(bench, "set_backstop", False, 5).one("BackstopSet")
    assert (event.is_open, event.owner_limit) == (False, 5)
    limit = own(bench, "set_backstop_limit", 0, 2**100).one("BackstopLimitSet")
    assert (limit.market, limit.max_notional) == (0, 2**100)
    liquidator = bench.venue.liquidator
    with pytest.raises(Reverted, match="limit out of range"):
        own(bench, "set_backstop_limit", 0, 2**100 + 1)
    for method, values in (("set_backstop", (True, 0)), ("set_backstop_limit", (0, 1))):
        with pytest.raises(Reverted, match="caller is not the owner"):
            liquidator.send(method, *values, sender=bench.keeper)
