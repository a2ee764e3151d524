"""Freezing a market: the deleverager's alone, one market at a time."""

from __future__ import annotations

from typing import Any

from tests.helpers import MAKER_REFUSED, X_PRICE, Y_PRICE, X, Y, args, refused


def test_a_frozen_market_is_a_bit_and_an_account_there_is_frozen(bare: Any) -> None:
    bare.fill(True, 100, X_PRICE)
    receipt = bare.house.freeze(X, True, sender=bare.adl)
    assert args(receipt, bare.house.FrozenChanged) == [{"market": X, "frozen": True}]
    bare.house.freeze(Y, True, sender=bare.adl)
    assert bare.house.frozen_markets() == 0b11
    assert [bare.house.is_frozen(a) for a in (bare.trader, bare.winner)] == [True, False]
    bare.house.freeze(X, False, sender=bare.adl)
    assert bare.house.frozen_markets() == 0b10
    assert not bare.house.is_frozen(bare.trader)


def test_nobody_else_may(bare: Any, clearinghouse: Any, owner: Any, stranger: Any) -> None:
    for part in (bare.book, bare.waterfall, bare.insurer, owner):
        with refused("clearinghouse: deleverager only"):
            bare.house.freeze(X, True, sender=part)
    with refused("clearinghouse: deleverager only"):
        clearinghouse.freeze(X, True, sender=stranger)


def test_who_has_a_position_in_a_frozen_market_trades_nowhere(bare: Any) -> None:
    bare.fill(True, 100, X_PRICE, maker=bare.winner)
    bare.house.freeze(X, True, sender=bare.adl)
    with refused("clearinghouse: adl round open"):
        bare.fill(True, 100, Y_PRICE, market=Y)
    as_maker = {"taker": bare.maker, "maker": bare.trader}
    assert bare.outcome(True, 100, Y_PRICE, market=Y, **as_maker) == MAKER_REFUSED
    # in the frozen market nobody trades, with a position or without
    here = {"taker": bare.maker, "maker": bare.winner, "liquidated": True}
    assert bare.outcome(True, 100, X_PRICE, **here) == MAKER_REFUSED
    bare.house.freeze(X, False, sender=bare.adl)
    bare.fill(True, 100, Y_PRICE, market=Y)
