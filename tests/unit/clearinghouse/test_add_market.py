"""New markets: by the owner, after their first price, with their two estates."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import USDC, X, args, refused

ESTATE = 8


def test_a_market_comes_with_its_two_estates(
    clearinghouse: Any, oracle: Any, deleverager: Any, owner: Any
) -> None:
    oracle.add_market(5_000, sender=owner)
    first = clearinghouse.account_count() + 1
    receipt = clearinghouse.add_market("ATOM", 3, 10, 0, sender=owner)
    assert args(receipt, clearinghouse.MarketAdded) == [
        {"market": 2, "symbol": "ATOM", "size_decimals": 3, "max_leverage": 10, "min_notional": 0}
    ]
    assert args(receipt, clearinghouse.AccountOpened) == [
        {"account": first + i, "owner": deleverager.address, "kind": ESTATE} for i in range(2)
    ]
    assert [clearinghouse.estate(2, side) for side in (True, False)] == [first, first + 1]
    assert tuple(clearinghouse.market(2)) == ("ATOM", 3, 10, 0)
    assert clearinghouse.market_count() == 3


def test_the_parameters_of_a_market_can_be_read(clearinghouse: Any) -> None:
    assert tuple(clearinghouse.market(X)) == ("X", 2, 20, 10 * USDC)


@pytest.mark.parametrize("market", [2, 2**256 - 1])
def test_an_unknown_market_is_refused(clearinghouse: Any, market: int) -> None:
    with refused("clearinghouse: unknown market"):
        clearinghouse.market(market)


@pytest.mark.parametrize(
    ("decimals", "leverage", "reason"),
    [
        (7, 10, "clearinghouse: size decimals above 6"),
        (2, 0, "clearinghouse: leverage out of range"),
        (2, 101, "clearinghouse: leverage out of range"),
    ],
)
def test_a_parameter_out_of_range_is_refused(
    clearinghouse: Any, oracle: Any, owner: Any, decimals: int, leverage: int, reason: str
) -> None:
    oracle.add_market(5_000, sender=owner)
    with refused(reason):
        clearinghouse.add_market("Z", decimals, leverage, 0, sender=owner)


def test_a_market_without_a_price_is_refused(clearinghouse: Any, owner: Any) -> None:
    with refused("clearinghouse: no price for the market"):
        clearinghouse.add_market("Z", 2, 10, 0, sender=owner)


def test_a_stranger_is_refused(clearinghouse: Any, stranger: Any) -> None:
    with refused("ownable: caller is not the owner"):
        clearinghouse.add_market("Z", 2, 10, 0, sender=stranger)


def test_none_before_the_venue_is_wired(project: Any, owner: Any, usdc: Any, oracle: Any) -> None:
    fresh = owner.deploy(project.Clearinghouse, usdc, oracle)
    with refused("clearinghouse: not wired"):
        fresh.add_market("Z", 2, 10, 0, sender=owner)
