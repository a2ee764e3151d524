"""First prices: the owner's, in range, at most 64 markets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import args, refused


@pytest.mark.parametrize("price", [1, 2**24 - 1])
def test_a_market_starts_with_one_price_for_everything(oracle: Any, owner: Any, price: int) -> None:
    receipt = oracle.add_market(price, sender=owner)
    assert args(receipt, oracle.PriceUpdated) == [
        {
            "epoch": oracle.epoch(),
            "market": 2,
            "oracle_price": price,
            "mark": price,
            "previous_mark": price,
        }
    ]
    assert oracle.market_count() == 3


@pytest.mark.parametrize("price", [0, 2**24])
def test_a_price_off_range_is_refused(oracle: Any, owner: Any, price: int) -> None:
    with refused("oracle: price out of range"):
        oracle.add_market(price, sender=owner)


def test_a_stranger_is_refused(oracle: Any, reporter: Any) -> None:
    with refused("ownable: caller is not the owner"):
        oracle.add_market(1, sender=reporter)
