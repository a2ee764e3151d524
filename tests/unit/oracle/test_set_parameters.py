"""The oracle's parameters: the owner's, and never so that prices are always stale."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import X, Y, args, refused


def test_the_owner_sets_them(oracle: Any, owner: Any) -> None:
    receipt = oracle.set_parameters(1, 2, 9_999, sender=owner)
    assert args(receipt, oracle.ParametersSet) == [
        {"min_interval": 1, "stale_after": 2, "max_step": 9_999}
    ]
    assert [oracle.min_interval(), oracle.stale_after(), oracle.max_step()] == [1, 2, 9_999]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((0, 5, 0), "oracle: no interval between updates"),
        ((5, 5, 0), "oracle: stale before the next update"),
        ((5, 0, 0), "oracle: stale before the next update"),
        ((5, 6, 10**6 + 1), "oracle: step above 100%"),
        ((5, 6, 99), "oracle: step below 0.01%"),
        ((5, 6, 1), "oracle: step below 0.01%"),
        ((5, 6, 10**6), "oracle: step not below maintenance"),
        ((5, 86_401, 0), "oracle: staleness above a day"),
    ],
)
def test_nonsense_is_refused(
    oracle: Any, owner: Any, values: tuple[int, int, int], reason: str
) -> None:
    with refused(reason):
        oracle.set_parameters(*values, sender=owner)


def test_a_stranger_is_refused(oracle: Any, stranger: Any) -> None:
    with refused("ownable: caller is not the owner"):
        oracle.set_parameters(3, 3_600, 0, sender=stranger)


def test_a_step_is_below_the_maintenance_rate_of_every_market(
    oracle: Any, governor: Any, owner: Any
) -> None:
    # Y has 50x: 1% of maintenance. X has 20x: 2.5%.
    with refused("oracle: step not below maintenance"):
        oracle.set_parameters(3, 3_600, 10_000, sender=owner)
    governor.set_tiers(Y, [0, 5], [49, 1], sender=owner)
    oracle.set_parameters(3, 3_600, 10_000, sender=owner)
    # A market without terms yet binds nothing; the governor asks when it gets them.
    oracle.add_market(7, sender=owner)
    governor.set_tiers(Y, [0], [1], sender=owner)
    with refused("oracle: step not below maintenance"):
        oracle.set_parameters(3, 3_600, 25_000, sender=owner)
    oracle.set_parameters(3, 3_600, 24_999, sender=owner)


def test_the_interval_is_below_the_staleness_of_every_market(oracle: Any, owner: Any) -> None:
    oracle.set_market_staleness(Y, 60, sender=owner)
    with refused("oracle: stale before the next update"):
        oracle.set_parameters(60, 3_600, 0, sender=owner)
    oracle.set_parameters(59, 3_600, 0, sender=owner)


@pytest.mark.parametrize(("step", "mark"), [(9_999, 101), (9_000, 112), (100, 10_000)])
def test_a_market_is_coarse_where_a_tick_is_more_than_the_step(
    oracle: Any, owner: Any, move_mark: Any, step: int, mark: int
) -> None:
    move_mark(mark)
    assert not oracle.is_coarse(X)
    oracle.set_parameters(3, 3_600, step, sender=owner)
    assert not oracle.is_coarse(X)
    oracle.set_parameters(3, 3_600, 0, sender=owner)
    move_mark(mark - 1)
    assert not oracle.is_coarse(X)  # no limit to exceed
    oracle.set_parameters(3, 3_600, step, sender=owner)
    assert [oracle.is_coarse(m) for m in (X, Y)] == [True, False]
    # One tick it moves all the same: of 100 ticks a hundredth, where 0.9999% are allowed.
    move_mark(mark - 2)
    assert oracle.previous_mark(X) == mark - 1
