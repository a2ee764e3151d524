"""The dearest steps of a round, on anvil with cold storage: accounts in eight markets, or in two of
which the round takes one, with funding due, money that came in this epoch, and orders that rest.

What counts is the limit that a transaction must be sent with, refunds not yet taken off: every call
here is sent with the most that mainnet allows, and for the most work that a call does.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from breakwater.bulk import USDC, Crowd, Row
from breakwater.contract import Tx
from breakwater.engine.base import TX_GAS_LIMIT
from breakwater.engine.rpc import ANVIL_MISSING, RpcEngine, start_anvil
from tests.unit.lens.test_adl_lens import VENUES
from tests.vectors.bench import HOUR, Bench, MarketSpec

pytestmark = pytest.mark.skipif(shutil.which("anvil") is None, reason=ANVIL_MISSING)

WORK = 220
"""As much as one call does (Deleverager.MAX_WORK)."""


@pytest.fixture
def engine() -> Iterator[RpcEngine]:
    with start_anvil() as started:
        yield started


def crowd(
    engine: RpcEngine, count: int, legs: int, markets: int, ranking: str, **config: str
) -> Bench:
    """`count` accounts, each short 10 lots of market 0 and of `legs` - 1 others, all with an order
    that rests, funding that is due in every market, and money that came in in this epoch; at
    entries and margins so far apart that no two are ever filed in one bucket. Then a bankrupt
    long for all of market 0, at a mark of $80."""
    bench = Bench(
        *[MarketSpec("100") for _ in range(markets)],
        engine=engine, check=False, venue=VENUES[ranking], stale_after=86_400,
        **config,
    )  # fmt: skip
    house = bench.venue.clearinghouse
    for i in range(markets // 8 + 1):
        bench.account(f"maker{i}", 10**9)
    sender = engine.actor("crowd")
    bench.venue.mint(sender, 10**15, house)
    names = [f"c{i}" for i in range(count)]
    for i, name in enumerate(names):
        bench.account(name, owner="crowd")
        house.send("deposit", bench.ids[name], 10**9 * (1 + i % 7), sender=sender)
    for i, name in enumerate(names):
        others = [1 + (i + k) % (markets - 1) for k in range(legs - 1)]
        for market in (0, *others):
            entry = 1_000_000 if market == 0 else 900_000 + 1_777 * i
            bench.trade(name, market, -10, entry, against=f"maker{market // 8}")
        bench.order(name, market, True, 1, 1_000)
    # A lot is worth a dollar at first.
    bench.account("bankrupt", count)
    bench.trade("bankrupt", 0, 10 * count, bench.prices[0], against="maker0")
    # The premium is 0, so longs pay the least rate: an hour of it.
    bench.hour()
    bench.hour()
    bench.mark({0: "80"})
    for name in names:
        house.send("deposit", bench.ids[name], 1, sender=sender)
    return bench


def report(what: str, tx: Tx) -> int:
    gas = tx.receipt.gas_used
    assert gas is not None
    print(f"{what:<64}{gas:>12,}")
    assert gas < TX_GAS_LIMIT
    return gas


@pytest.mark.parametrize("ranking", VENUES)
def test_everyone_apart_with_eight_legs(engine: RpcEngine, ranking: str) -> None:
    """Each is opened and closed; an hour has ended and nobody has accrued its funding yet."""
    bench = crowd(engine, 80, 8, 9, ranking)
    engine.wait(HOUR)
    txs = [bench.liquidate("bankrupt", 1)]
    while bench.busy():
        txs.append(bench.advance(WORK))
        report(f"{ranking}: {WORK} steps, {len(txs[-1].all('Deleveraged'))} closed", txs[-1])
    assert sum(fill.size for tx in txs for fill in tx.all("Deleveraged")) == 800
    bench.check()


@pytest.mark.parametrize("legs", [1, 8])
def test_a_plan_over_everyone(engine: RpcEngine, legs: int) -> None:
    """Every holder is looked at, and a row kept of it, before the first is closed."""
    count = 160 // legs + 60
    bench = crowd(engine, count, legs, 9, "scan", allocation="drain_leverage")
    engine.wait(HOUR)
    txs = [bench.liquidate("bankrupt", 1)]
    while bench.busy():
        txs.append(bench.advance(WORK))
        report(f"{legs} legs: {WORK} steps, {len(txs[-1].all('Deleveraged'))} closed", txs[-1])
    assert sum(fill.size for tx in txs for fill in tx.all("Deleveraged")) == 10 * count
    bench.check()


@pytest.mark.parametrize("close", [0, 2], ids=["bankruptcy", "mark"])
def test_lots_that_file_their_winner_anew_each_time(engine: RpcEngine, close: int) -> None:
    """Every fill ends a lot and moves the winner into another band of margins, where nobody was
    before. With the mark as the close price each lot leaves a loss for insurance."""
    crowd_ = Crowd(engine, [1_000_000])
    crowd_.venue.insure(10**6 * USDC)
    crowd_.configure("index", "hyperliquid_docs", close)
    # The maker is long with this short from $0.50: nobody is in profit at first.
    crowd_.trade([Row(0, 0, False, 10**6, 500_000, 10**12)])
    keeper, deleverager = engine.actor("keeper"), crowd_.venue.deleverager
    opened = [crowd_.venue.open_account(engine.actor(f"long{i}"), 10 * 20_000) for i in range(115)]
    crowd_.trade([Row(account, 0, True, 10, 1_000_000, 0) for account in opened])
    crowd_.set_mark(900_000)
    for account in opened:
        crowd_.venue.liquidator.send("liquidate", account, 200, sender=keeper)
    assert not deleverager.call("is_busy")
    (winner,) = crowd_.trade([Row(0, 0, False, 1_150, 1_000_000, 1_150 * 100_000)])
    crowd_.set_mark(880_000)
    buckets = []
    deleverager.send("retry", 0, True, 1, sender=keeper)
    snap = engine.snapshot()
    for _ in range(24):
        if deleverager.send("advance", 1, sender=keeper).all("LotSettled"):
            buckets.append(crowd_.index.call("bucket_of", winner))
    assert len(set(buckets)) > 8
    engine.revert(snap)
    tx = deleverager.send("advance", WORK, sender=keeper)
    lots = len(tx.all("LotSettled"))
    assert lots >= WORK // 3 - 5
    report(f"{WORK} steps, {lots} lots", tx)
