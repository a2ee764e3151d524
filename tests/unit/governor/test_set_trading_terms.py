"""Fees, band, minimum and cap of a market: the owner's, within bounds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import MAX_SIZE, NOT_OWNER, X, Y, args, refused

NAMES = ["taker_fee", "maker_fee", "band", "min_notional", "open_interest_cap"]


@pytest.mark.parametrize(
    "values", [(450, 150, 100_000, 5, 1_000), (10_000, 10_000, 999_999, 10**9, MAX_SIZE)]
)
def test_they_are_set_and_nothing_else_is(
    governor: Any, owner: Any, values: tuple[int, ...]
) -> None:
    before, other, tiers = governor.market(X), governor.market(Y), governor.tiers(X)
    receipt = governor.set_trading_terms(X, *values, sender=owner)
    named = dict(zip(NAMES, values, strict=True))
    assert args(receipt, governor.TradingTermsSet) == [{"market": X} | named]
    market = governor.market(X)
    assert {name: getattr(market, name) for name in NAMES} == named
    rest = ("symbol", "size_decimals", "max_leverage", "halted", "settled", "settlement")
    assert [getattr(market, n) for n in rest] == [getattr(before, n) for n in rest]
    assert (governor.market(Y), governor.tiers(X)) == (other, tiers)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((10_001, 0, 0, 0, 0), "governor: fee above 1%"),
        ((0, 10_001, 0, 0, 0), "governor: fee above 1%"),
        ((2**256 - 1, 0, 0, 0, 0), "governor: fee above 1%"),
        ((0, 0, 10**6, 0, 0), "governor: band out of range"),
        ((0, 0, 0, 10**9 + 1, 0), "governor: minimum notional out of range"),
        ((0, 0, 0, 0, MAX_SIZE + 1), "governor: cap out of range"),
    ],
)
def test_a_value_out_of_range_is_refused(
    governor: Any, owner: Any, values: tuple[int, ...], reason: str
) -> None:
    with refused(reason):
        governor.set_trading_terms(X, *values, sender=owner)


@pytest.mark.parametrize("market", [2, 2**256 - 1])
def test_an_unknown_market_is_refused(governor: Any, owner: Any, market: int) -> None:
    with refused("clearinghouse: unknown market"):
        governor.set_trading_terms(market, 0, 0, 0, 0, 0, sender=owner)


@pytest.mark.parametrize("role", ["keeper", "stranger"])
def test_only_the_owner_may(governor: Any, owner: Any, actors: Any, role: str) -> None:
    governor.set_guardian(actors["keeper"], sender=owner)
    with refused(NOT_OWNER):
        governor.set_trading_terms(X, 0, 0, 0, 0, 0, sender=actors[role])
