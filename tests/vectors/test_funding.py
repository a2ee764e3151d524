"""Golden vectors of funding: the rule itself, and what an hour of it moves between accounts."""

from __future__ import annotations

import pytest

from breakwater.ledger import SCALE
from tests.vectors.bench import Bench, MarketSpec

# Premium and rate for 8 hours, parts of 10^9.
CASES = [
    pytest.param(0, 100_000, id="0-to-0.0001"),
    pytest.param(500_000, 100_000, id="0.0005-to-0.0001"),
    pytest.param(10_000_000, 9_500_000, id="0.01-to-0.0095"),
    pytest.param(-3_000_000, -2_500_000, id="-0.003-to--0.0025"),
]


@pytest.fixture(scope="module")
def oracle() -> Bench:
    return Bench(MarketSpec("100"))


@pytest.mark.parametrize(("premium", "rate"), CASES)
def test_rate(oracle: Bench, premium: int, rate: int) -> None:
    assert oracle.venue.oracle.call("rate_per_eight_hours", premium) == rate


def _held(premium: int) -> Bench:
    """Long 10 of long's at 100 against the counterparty, with a book that shows this premium (parts
    of 10^9 of the price): bids and asks of more than the impact notional at one price each."""
    bench = Bench(MarketSpec("100"))
    bench.account("long", "1000")
    bench.account("maker", "1000000000")
    bench.hold("long", 0, "10", "100")
    price = bench.prices[0]
    away = price * abs(premium) // SCALE
    assert away * SCALE == price * abs(premium)
    # One side shows the premium; the other stands where it says nothing.
    bid = price + away if premium > 0 else price - max(away, 1) - 1
    ask = price - away if premium < 0 else price + away + 1
    bench.order("maker", 0, True, 100_000, bid)
    bench.order("maker", 0, False, 100_000, ask)
    bench.sample()
    bench.sample(wait=29)
    return bench


@pytest.mark.parametrize(("premium", "rate"), CASES)
def test_one_hour_on_chain(premium: int, rate: int) -> None:
    """An eighth of the rate, on the oracle price, from long to short: for 0.0001 on $1,000 that is
    $0.0125 an hour."""
    bench = _held(premium)
    assert bench.venue.oracle.call("expected_rate", 0) == rate // 8
    before = bench.equity("long"), bench.equity("counterparty")
    accrued = bench.hour().one("FundingAccrued")
    assert (accrued.premium, accrued.rate) == (premium, rate // 8)
    assert bench.venue.oracle.call("index", 0) == bench.prices[0] * rate // 8
    paid = 1_000 * bench.prices[0] * rate // 8 // SCALE
    assert before[0] - bench.equity("long") == paid
    assert bench.equity("counterparty") - before[1] == paid
    # Settled by a trade it is the same money, out of the pool and back in.
    bench.cancel_all("maker")
    bench.trade("long", 0, -1_000, bench.prices[0])
    assert (bench.equity("long"), bench.equity("counterparty")) == (
        before[0] - paid, before[1] + paid,
    )  # fmt: skip
    assert bench.venue.clearinghouse.call("funding_pool", 0) == 0


@pytest.mark.parametrize("premium", [400_000_000, -400_000_000])
def test_cap(oracle: Bench, premium: int) -> None:
    """40% of premium would be 5% an hour: 4%. On chain a sample says 1% at most, which is
    (1% - 0.05%) / 8 an hour."""
    call = oracle.venue.oracle.call
    assert call("rate_per_hour", premium) == (40_000_000 if premium > 0 else -40_000_000)
    accrued = _held(premium).hour().one("FundingAccrued")
    assert abs(accrued.premium) == 10**7
    assert accrued.rate == (1_187_500 if premium > 0 else -1_187_500)


def test_rounding_stays_in_the_pool() -> None:
    """Three lots of $0.010007 against two accounts, 0.125 micro-USDC due a lot: who pays pays
    rounded up, who receives receives rounded down, the pool keeps what is between, and its dust
    says so to 10^-9."""
    bench = Bench(MarketSpec("1", decimals=6))
    bench.epoch({0: 10_007})
    for name in ("long", "one", "two"):
        bench.account(name, "1")
    bench.trade("long", 0, 1, 10_007, against="one")
    bench.trade("long", 0, 2, 10_007, against="two")
    bench.hour()
    index = bench.venue.oracle.call("index", 0)
    assert index == 10_007 * 12_500
    # A lot owes 0.125 micro-USDC: 3 pay 1, each receiver gets nothing.
    before = {name: bench.equity(name) for name in ("long", "one", "two")}
    assert [10**6 - equity for equity in before.values()] == [1, 0, 0]
    bench.trade("long", 0, -1, 10_007, against="one")
    bench.trade("long", 0, -2, 10_007, against="two")
    house = bench.venue.clearinghouse
    assert house.call("funding_pool", 0) == 1
    assert house.call("funding_dust", 0) == SCALE
    assert {name: bench.equity(name) for name in before} == before


def test_two_hours_at_once_are_one() -> None:
    """A poke that comes late accrues one hour, never two."""
    bench = Bench(MarketSpec("100"), stale_after=86_400)
    bench.engine.wait(3 * 3_600)
    bench.epoch()
    assert bench.venue.oracle.call("index", 0) == bench.prices[0] * 12_500


def test_no_funding_while_nobody_knew_the_price() -> None:
    bench = Bench(MarketSpec("100"), stale_after=60)
    bench.engine.wait(2 * 3_600)
    bench.epoch()
    assert bench.venue.oracle.call("index", 0) == 0
