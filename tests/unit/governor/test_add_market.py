"""New markets: by the owner, after their first price, with their two estates and one tier."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import MAX_SIZE, NOT_OWNER, USDC, X, args, refused

ESTATE = 8


def test_a_market_comes_with_its_two_estates_and_one_tier(
    governor: Any, clearinghouse: Any, oracle: Any, deleverager: Any, owner: Any
) -> None:
    oracle.add_market(5_000, sender=owner)
    first = clearinghouse.account_count() + 1
    receipt = governor.add_market("ATOM", 3, 10, 7, sender=owner)
    assert args(receipt, governor.MarketAdded) == [
        {"market": 2, "symbol": "ATOM", "size_decimals": 3, "max_leverage": 10, "min_notional": 7}
    ]
    assert args(receipt, governor.TiersSet) == [{"market": 2, "bounds": [0], "leverages": [10]}]
    assert args(receipt, governor.TradingTermsSet) == [
        {
            "market": 2,
            "taker_fee": 0,
            "maker_fee": 0,
            "band": 0,
            "min_notional": 7,
            "open_interest_cap": MAX_SIZE,
        }
    ]
    assert args(receipt, clearinghouse.AccountOpened) == [
        {"account": first + i, "owner": deleverager.address, "kind": ESTATE} for i in range(2)
    ]
    assert [clearinghouse.estate(2, side) for side in (True, False)] == [first, first + 1]
    assert tuple(governor.market(2)) == ("ATOM", 3, 10, 7, 0, 0, 0, MAX_SIZE, False, False, 0)
    assert [tuple(tier) for tier in governor.tiers(2)] == [(0, 10, 0)]
    assert clearinghouse.market_count() == 3


def test_the_parameters_of_a_market_can_be_read(governor: Any) -> None:
    assert tuple(governor.market(X))[:4] == ("X", 2, 20, 10 * USDC)


@pytest.mark.parametrize("market", [2, 2**256 - 1])
def test_an_unknown_market_is_refused(governor: Any, market: int) -> None:
    for view in (governor.market, governor.tiers):
        with refused("clearinghouse: unknown market"):
            view(market)


@pytest.mark.parametrize(
    ("decimals", "leverage", "min_notional", "reason"),
    [
        (7, 10, 0, "governor: size decimals above 6"),
        (2, 0, 0, "governor: leverage out of range"),
        (2, 101, 0, "governor: leverage out of range"),
        (2, 10, 10**9 + 1, "governor: minimum notional out of range"),
    ],
)
def test_a_parameter_out_of_range_is_refused(
    governor: Any,
    oracle: Any,
    owner: Any,
    decimals: int,
    leverage: int,
    min_notional: int,
    reason: str,
) -> None:
    oracle.add_market(5_000, sender=owner)
    with refused(reason):
        governor.add_market("Z", decimals, leverage, min_notional, sender=owner)


@pytest.mark.parametrize(("decimals", "leverage"), [(0, 1), (6, 100)])
def test_the_ends_of_the_ranges_are_allowed(
    governor: Any, oracle: Any, owner: Any, decimals: int, leverage: int
) -> None:
    oracle.add_market(5_000, sender=owner)
    governor.add_market("Z", decimals, leverage, 10**9, sender=owner)
    assert tuple(governor.market(2))[:4] == ("Z", decimals, leverage, 10**9)


def test_a_market_without_a_price_is_refused(governor: Any, owner: Any) -> None:
    with refused("clearinghouse: no price for the market"):
        governor.add_market("Z", 2, 10, 0, sender=owner)


def test_a_stranger_is_refused(governor: Any, clearinghouse: Any, stranger: Any) -> None:
    with refused(NOT_OWNER):
        governor.add_market("Z", 2, 10, 0, sender=stranger)


@pytest.mark.parametrize("role", ["owner", "stranger"])
def test_only_the_governor_asks_the_clearinghouse(
    clearinghouse: Any, actors: Any, role: str
) -> None:
    house, sender = clearinghouse, actors[role]
    for call in (
        lambda: house.add_market(sender=sender),
        lambda: house.set_terms(X, 1, sender=sender),
        lambda: house.set_tiers(X, 1, sender=sender),
        lambda: house.set_fee_share(0, 0, sender=sender),
        lambda: house.open_settlement(X, sender=sender),
    ):
        with refused("clearinghouse: governor only"):
            call()


def test_none_before_the_venue_is_wired(project: Any, owner: Any, usdc: Any, oracle: Any) -> None:
    house = owner.deploy(project.Clearinghouse, usdc, oracle)
    governor = owner.deploy(project.Governor, house)
    with refused("clearinghouse: governor only"):
        governor.add_market("Z", 2, 10, 0, sender=owner)
