"""First prices: the owner's, in range, at most 64 markets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import NOT_OWNER, USDC, refused


@pytest.mark.parametrize("price", [1, 2**24 - 1])
def test_a_market_starts_with_one_price_for_everything(oracle: Any, owner: Any, price: int) -> None:
    epoch = oracle.epoch()
    receipt = oracle.add_market(price, sender=owner)
    assert tuple(oracle.price(2)) == (price, price, price, receipt.timestamp, 0, 3_600)
    assert tuple(oracle.read(2)) == (price, True, 0)
    assert oracle.impact_notional(2) == 6_000 * USDC
    # no epoch of its own, and no say in when the next one begins
    assert (oracle.market_count(), oracle.epoch()) == (3, epoch)


@pytest.mark.parametrize("price", [0, 2**24])
def test_a_price_off_range_is_refused(oracle: Any, owner: Any, price: int) -> None:
    with refused("oracle: price out of range"):
        oracle.add_market(price, sender=owner)


def test_a_stranger_is_refused(oracle: Any, reporter: Any) -> None:
    with refused(NOT_OWNER):
        oracle.add_market(1, sender=reporter)
