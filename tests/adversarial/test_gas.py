"""The dearest calls, measured on anvil: each stays within one transaction of mainnet (16,777,216
gas), for the step counts that the keeper uses and for the most that the contracts take."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from breakwater.engine.base import TX_GAS_LIMIT, Reverted
from breakwater.engine.rpc import ANVIL_MISSING, RpcEngine, start_anvil
from breakwater.keeper import STEPS
from tests.vectors.bench import Bench, MarketSpec

pytestmark = pytest.mark.skipif(shutil.which("anvil") is None, reason=ANVIL_MISSING)


@pytest.fixture
def engine() -> Iterator[RpcEngine]:
    with start_anvil() as started:
        yield started


def _crowd(engine: RpcEngine, count: int, legs: int, size: int) -> Bench:
    """`count` accounts, each short `size` lots in `legs` markets, and a long "bankrupt" in as many
    that takes all of market 0. All accounts of the crowd are one owner's."""
    bench = Bench(*[MarketSpec("100") for _ in range(legs)], engine=engine, check=False)
    owner = engine.actor("crowd")
    bench.venue.mint(owner, 10**15, bench.venue.clearinghouse)
    house = bench.venue.clearinghouse
    for i in range(count):
        bench.account(f"c{i}", owner="crowd")
        house.send("deposit", bench.ids[f"c{i}"], 10**9 + i, sender=owner)
    for market in range(legs):
        bench.order("counterparty", market, True, count * size, bench.prices[market])
        for i in range(count):
            bench.order(f"c{i}", market, False, size, bench.prices[market], "ioc")
    return bench


def _report(what: str, gas: int | None) -> int:
    assert gas is not None
    print(f"{what:<64}{gas:>12,}")
    return gas


def test_advance_with_256_holders(engine: RpcEngine) -> None:
    """One scan of 256 holders with one leg each, the winners closed after it."""
    bench = _crowd(engine, 256, 1, 10)
    bench.account("bankrupt", "200")
    bench.trade("bankrupt", 0, 2_560, bench.prices[0])
    bench.mark({0: "80"})
    bench.liquidate("bankrupt", 1)
    for steps in (256, STEPS):
        gas = _report(
            f"advance({steps}), 256 holders of one leg", bench.advance(steps).receipt.gas_used
        )
        assert gas < TX_GAS_LIMIT
    assert bench.busy()
    while bench.busy():
        tx = bench.advance(256)
        assert _report("advance(256), on", tx.receipt.gas_used) < TX_GAS_LIMIT
    bench.check()


def test_advance_with_holders_of_eight_legs(engine: RpcEngine) -> None:
    """The keeper's step count fits also where every holder has the most legs allowed."""
    bench = _crowd(engine, 60, 8, 10)
    bench.account("bankrupt", "200")
    bench.trade("bankrupt", 0, 600, bench.prices[0])
    bench.mark({0: "60"})
    bench.liquidate("bankrupt", 1)
    gas = _report(f"advance({STEPS}), holders of eight legs", bench.advance(STEPS).receipt.gas_used)
    assert gas < TX_GAS_LIMIT
    while bench.busy():
        tx = bench.advance(STEPS)
        assert _report(f"advance({STEPS}), on", tx.receipt.gas_used) < TX_GAS_LIMIT
    bench.check()


@pytest.mark.parametrize("legs", [1, 8])
def test_place_meeting_64_makers(engine: RpcEngine, legs: int) -> None:
    bench = _crowd(engine, 64, legs, 10)
    bench.account("taker", "100000")
    for market in range(legs):
        bench.order("counterparty", market, False, 10, bench.prices[market])
        bench.order("taker", market, True, 10, bench.prices[market], "ioc")
    for i in range(64):
        bench.order(f"c{i}", 0, False, 10, 1_000_100 + i)
    tx = bench.order("taker", 0, True, 640, 1_010_000)
    assert len(tx.all("Filled")) == 64
    gas = _report(f"place meeting 64 makers of {legs} legs", tx.receipt.gas_used)
    assert gas < TX_GAS_LIMIT
    bench.check()


@pytest.mark.parametrize("legs", [1, 8])
@pytest.mark.parametrize("fills", [20, STEPS])
def test_liquidate(engine: RpcEngine, legs: int, fills: int) -> None:
    """`fills` insured fills against as many makers, the rest of the budget in the ADL round."""
    bench = _crowd(engine, STEPS, legs, 10)
    bench.insure("10000")
    bench.account("bankrupt", 100 * legs)
    for market in range(legs):
        bench.trade("bankrupt", market, 1_000, bench.prices[market])
    bench.mark({m: "85" for m in range(legs)})
    for i in range(fills):
        bench.order(f"c{i}", 0, True, 1, 849_000 - i)
    tx = bench.liquidate("bankrupt", STEPS)
    assert len(tx.all("LiquidationFill")) == fills
    assert bool(tx.all("Deleveraged") or tx.all("WoundUp")) is (fills < STEPS)
    what = f"liquidate({STEPS}), {legs} legs, {fills} fills, {len(tx.all('Deleveraged'))} closes"
    assert _report(what, tx.receipt.gas_used) < TX_GAS_LIMIT
    while True:
        try:
            tx = bench.liquidate("bankrupt", STEPS)
        except Reverted:
            break
        assert _report("liquidate, on", tx.receipt.gas_used) < TX_GAS_LIMIT
    for tx in bench.finish(STEPS):
        assert _report(f"advance({STEPS})", tx.receipt.gas_used) < TX_GAS_LIMIT
    bench.check()
