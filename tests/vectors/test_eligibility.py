"""Golden vectors: who is eligible is decided at the close price, not at the mark."""

from __future__ import annotations

import pytest

from breakwater.model import adl
from tests.vectors.bench import Bench, MarketSpec


def _bench(entry: str, collateral: str) -> Bench:
    """A short of 100 with equity 1,200 at mark 80, previous mark 95, beside a bankrupt long."""
    bench = Bench(MarketSpec("100"), close="previous_mark")
    bench.account("short", collateral)
    bench.account("bankrupt", "1200")
    bench.hold("short", 0, "-100", entry)
    bench.hold("bankrupt", 0, "100", "100")
    bench.mark({0: "95"})
    bench.mark({0: "80"})
    bench.withdraw_to("short", "1200")
    # The counterparty of the set-up is a winner too: out of the way with it.
    bench.account("sink", "1000000")
    size, _ = bench.position("counterparty", 0)
    if size:
        bench.trade("counterparty", 0, -size, bench.prices[0], against="sink")
    return bench


def test_in_profit_at_the_mark_but_not_at_the_close_price() -> None:
    """Short 90, mark 80, previous mark 95, 100 lots, equity 1,200: +1,000 at the mark, but a close
    at 95 would leave it at -300. Not touched; nobody takes the lots."""
    bench = _bench("90", "1000")
    before = bench.position("short", 0)
    tx = bench.liquidate("bankrupt")
    assert tx.all("Deleveraged") == []
    assert tx.one("LotSettled").unfilled == 10_000
    assert bench.position("short", 0) == before
    lot = adl.Lot(0, True, 10_000, -88 * 10**8)
    standing = adl.Standing(1, -10_000, 9 * 10**9, 12 * 10**8)
    assert adl.bearable(standing, lot, 800_000, "previous_mark", 950_000) == 0


def test_bears_eighty_of_a_hundred() -> None:
    """Short 100, mark 80, previous mark 95, 100 lots, equity 1,200: eligible; each lot costs it 15
    against the mark, so it can bear 80, which leave it with nothing."""
    bench = _bench("100", "600")
    (fill,) = bench.liquidate("bankrupt").all("Deleveraged")
    assert fill.winner == bench.ids["short"]
    assert fill.size == 8_000
    assert fill.quote == 8_000 * 950_000
    assert fill.haircut == 1_200 * 10**6
    assert bench.equity("short") == 0
    assert bench.position("short", 0)[0] == -2_000


@pytest.mark.parametrize("entry", ["94.99", "95", "95.01"])
def test_border_of_profit(entry: str) -> None:
    """In profit means strictly: a short at exactly the close price is not eligible."""
    bench = Bench(MarketSpec("100"), close="previous_mark")
    bench.account("short", "100000")
    bench.account("bankrupt", "50")
    bench.hold("bankrupt", 0, "10", "100", against="counterparty")
    bench.hold("short", 0, "-10", entry, against="counterparty")
    bench.mark({0: "95"})
    bench.mark({0: "94"})
    assert bench.position("counterparty", 0)[0] == 0
    fills = bench.liquidate("bankrupt").all("Deleveraged")
    assert [f.size for f in fills] == ([1_000] if entry == "95.01" else [])
