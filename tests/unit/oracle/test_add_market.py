"""First prices: the owner's, in range, at most 64 markets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import NOT_OWNER, USDC, args, refused


@pytest.mark.parametrize("price", [1, 2**24 - 1])
def test_a_market_starts_with_one_price_for_everything(oracle: Any, owner: Any, price: int) -> None:
    epoch = oracle.epoch()
    receipt = oracle.add_market(price, sender=owner)
    at = receipt.timestamp
    assert tuple(oracle.price(2)) == (price, price, price, at, 0, 3_600, epoch, at // 3_600)
    assert tuple(oracle.read(2)) == (price, True, 0)
    assert oracle.impact_notional(2) == 6_000 * USDC
    # no epoch of its own, and no say in when the next one begins
    assert (oracle.market_count(), oracle.epoch()) == (3, epoch)
    # who reads the logs alone knows as much
    assert args(receipt, oracle.PriceUpdated) == [
        {
            "epoch": epoch,
            "market": 2,
            "oracle_price": price,
            "mark": price,
            "previous_mark": price,
            "fresh": True,
            "funding_index": 0,
        }
    ]
    assert args(receipt, oracle.ImpactNotionalSet) == [{"market": 2, "notional": 6_000 * USDC}]


@pytest.mark.parametrize("price", [0, 2**24])
def test_a_price_off_range_is_refused(oracle: Any, owner: Any, price: int) -> None:
    with refused("oracle: price out of range"):
        oracle.add_market(price, sender=owner)


def test_a_stranger_is_refused(oracle: Any, reporter: Any) -> None:
    with refused(NOT_OWNER):
        oracle.add_market(1, sender=reporter)


def test_none_before_the_oracle_is_wired(project: Any, owner: Any, venue: Any) -> None:
    fresh = owner.deploy(project.Oracle, 3, 3_600, 0)
    with refused("oracle: not wired"):
        fresh.add_market(1, sender=owner)
