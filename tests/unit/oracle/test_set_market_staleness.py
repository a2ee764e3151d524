"""Staleness of one market, where it differs from the general rule."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import NOT_OWNER, X_PRICE, Y_PRICE, X, Y, args, next_block_at, refused


def test_one_market_goes_stale_before_the_other(
    oracle: Any, owner: Any, reporter: Any, wait: Any, chain: Any
) -> None:
    receipt = oracle.set_market_staleness(X, 60, sender=owner)
    assert args(receipt, oracle.StalenessSet) == [{"market": X, "stale_after": 60}]
    assert [oracle.market_stale_after(m) for m in (X, Y)] == [60, 0]
    wait(3)
    at = oracle.update([X_PRICE, Y_PRICE], sender=reporter).timestamp
    for age, fresh in [(60, [True, True]), (61, [False, True]), (3_601, [False, False])]:
        next_block_at(chain, at + age)
        chain.mine()
        assert [oracle.is_fresh(m) for m in (X, Y)] == fresh
        assert [oracle.read(m)[1] for m in (X, Y)] == fresh


def test_the_general_rule_changes_what_has_no_rule_of_its_own(oracle: Any, owner: Any) -> None:
    oracle.set_market_staleness(X, 60, sender=owner)
    oracle.set_parameters(3, 500, 0, sender=owner)
    assert [oracle.price(m).stale_after for m in (X, Y)] == [60, 500]
    oracle.set_market_staleness(X, 0, sender=owner)
    assert [oracle.price(m).stale_after for m in (X, Y)] == [500, 500]
    assert oracle.add_market(5, sender=owner) and oracle.price(2).stale_after == 500


def test_a_price_survives_the_change(oracle: Any, owner: Any) -> None:
    before = oracle.price(X)
    oracle.set_market_staleness(X, 60, sender=owner)
    assert tuple(oracle.price(X))[:5] == tuple(before)[:5]


@pytest.mark.parametrize(
    ("market", "seconds", "reason"),
    [
        (X, 3, "oracle: stale before the next update"),
        (X, 1, "oracle: stale before the next update"),
        (X, 86_401, "oracle: staleness above a day"),
        (X, 2**256 - 1, "oracle: staleness above a day"),
        (2, 60, "oracle: unknown market"),
        (2**256 - 1, 60, "oracle: unknown market"),
    ],
)
def test_nonsense_is_refused(
    oracle: Any, owner: Any, market: int, seconds: int, reason: str
) -> None:
    with refused(reason):
        oracle.set_market_staleness(market, seconds, sender=owner)


def test_the_ends_of_the_range_are_allowed(oracle: Any, owner: Any) -> None:
    for seconds in (4, 86_400):
        oracle.set_market_staleness(X, seconds, sender=owner)
        assert oracle.price(X).stale_after == seconds


def test_a_stranger_is_refused(oracle: Any, stranger: Any) -> None:
    with refused(NOT_OWNER):
        oracle.set_market_staleness(X, 60, sender=stranger)
