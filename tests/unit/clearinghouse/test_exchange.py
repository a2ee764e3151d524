"""The exchange primitive, and the ledger's arithmetic against an independent mirror of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import Mirror, X, args, refused

# Signed lots of the buyer and the quote it pays, micro-USDC: off tick, so that proportions of
# them truncate.
STORIES = {
    "open": [(7, 101)],
    "increase": [(7, 101), (5, 99)],
    "close part of a long": [(7, 101), (-3, 50), (-2, 23)],
    "close part of a short": [(-7, 101), (3, 50), (2, 23)],
    "close all of it": [(7, 101), (-7, 100)],
    "close it in three": [(-10, 1_001), (3, 299), (3, 303), (4, 400)],
    "flip a long": [(7, 101), (-11, 160)],
    "flip a short": [(-7, 101), (11, 160), (-20, 333)],
    "flip and flip back": [(3, 10), (-10, 31), (10, 33), (-3, 8)],
    "close at nothing": [(7, 101), (-3, 0), (-4, 0)],
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_positions_and_cash_follow_the_integer_rules(bare: Any, story: Any) -> None:
    one, other = (Mirror(cash=bare.house.cash(a)) for a in (bare.trader, bare.maker))
    for size, quote in story:
        pair = (bare.trader, bare.maker) if size > 0 else (bare.maker, bare.trader)
        receipt = bare.house.exchange(X, *pair, abs(size), quote, sender=bare.waterfall)
        realised = {
            bare.trader: one.take(size, -quote if size > 0 else quote),
            bare.maker: other.take(-size, quote if size > 0 else -quote),
        }
        assert args(receipt, bare.house.Exchanged) == [
            {"market": X, "buyer": pair[0], "seller": pair[1], "size": abs(size), "quote": quote}
        ]
        snapshots = {e.pop("account"): e for e in args(receipt, bare.house.PositionChanged)}
        for account, mirror in ((bare.trader, one), (bare.maker, other)):
            assert tuple(bare.house.position(account, X)) == (mirror.size, mirror.quote, 0, 0)
            assert bare.house.cash(account) == mirror.cash
            assert snapshots[account] == {
                "market": X,
                "size": mirror.size,
                "quote": mirror.quote,
                "cash": mirror.cash,
                "realised": realised[account],
                "funding_index": 0,
                "leverage": 0,
            }


def test_a_partial_close_truncates_toward_zero_on_both_sides(bare: Any) -> None:
    # 3 of 7 lots: 101 * 3 / 7 = 43.28..., so 43 leave both quotes, not 44 one of them
    bare.house.exchange(X, bare.trader, bare.maker, 7, 101, sender=bare.waterfall)
    bare.house.exchange(X, bare.maker, bare.trader, 3, 50, sender=bare.waterfall)
    assert tuple(bare.house.position(bare.trader, X)) == (4, -58, 0, 0)
    assert tuple(bare.house.position(bare.maker, X)) == (-4, 58, 0, 0)


@pytest.mark.parametrize(
    ("same", "size", "reason"),
    [(True, 1, "ledger: exchange with itself"), (False, 0, "ledger: exchange of nothing")],
)
def test_nonsense_is_refused(bare: Any, same: bool, size: int, reason: str) -> None:
    with refused(reason):
        bare.house.exchange(
            X, bare.trader, bare.trader if same else bare.maker, size, 1, sender=bare.waterfall
        )


@pytest.mark.parametrize("role", ["owner", "stranger", "trader"])
def test_nobody_outside_the_waterfall_moves_positions(
    clearinghouse: Any, actors: Any, role: str, trader_id: int, maker_id: int
) -> None:
    with refused("clearinghouse: waterfall only"):
        clearinghouse.exchange(X, trader_id, maker_id, 1, 0, sender=actors[role])


def test_neither_the_book_nor_the_vault_may(bare: Any) -> None:
    for part in (bare.book, bare.insurer):
        with refused("clearinghouse: waterfall only"):
            bare.house.exchange(X, bare.trader, bare.maker, 1, 0, sender=part)
