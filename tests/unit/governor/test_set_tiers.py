"""Margin tiers: rising bounds, falling leverage, and a requirement that never jumps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import NOT_OWNER, USDC, X_PRICE, X, args, ceil_div, refused

MILLION = 10**6 * USDC


@pytest.fixture
def published(governor: Any, owner: Any) -> None:
    """40x up to $150M, 20x above."""
    governor.set_tiers(X, [0, 150 * MILLION], [40, 20], sender=owner)


def test_tiers_are_set_and_read_back(governor: Any, owner: Any) -> None:
    bounds, leverages = [0, 3, 10 * MILLION, 2**57 - 1], [100, 50, 7, 1]
    receipt = governor.set_tiers(X, bounds, leverages, sender=owner)
    assert args(receipt, governor.TiersSet) == [
        {"market": X, "bounds": bounds, "leverages": leverages}
    ]
    deduction, deductions = 0, []
    for i, bound in enumerate(bounds):
        if i:
            before, after = leverages[i - 1], leverages[i]
            deduction += bound * (before - after) // (2 * before * after)  # rounded down
        deductions.append(deduction)
    assert [tuple(tier) for tier in governor.tiers(X)] == list(
        zip(bounds, leverages, deductions, strict=True)
    )
    assert governor.market(X).max_leverage == 100


def test_fewer_tiers_replace_more(governor: Any, clearinghouse: Any, owner: Any) -> None:
    governor.set_tiers(X, [0, 10, 20, 30, 40], [50, 40, 30, 20, 10], sender=owner)
    governor.set_tiers(X, [0], [50], sender=owner)
    assert [tuple(tier) for tier in governor.tiers(X)] == [(0, 50, 0)]
    assert clearinghouse.maintenance(X, 10_000) == 100


@pytest.mark.parametrize(
    ("notional", "maintenance"),
    [
        (0, 0),
        (1, 1),
        (150 * MILLION, 1_875_000 * USDC),
        (200 * MILLION, 3_125_000 * USDC),
    ],
)
def test_the_published_vectors(
    published: None, clearinghouse: Any, notional: int, maintenance: int
) -> None:
    assert clearinghouse.maintenance(X, notional) == maintenance


def test_the_requirement_is_continuous_at_every_bound(
    governor: Any, clearinghouse: Any, owner: Any
) -> None:
    bounds, leverages = [0, 1_000_003, 7_000_001, 90_000_007, 500_000_009], [50, 31, 17, 6, 1]
    governor.set_tiers(X, bounds, leverages, sender=owner)
    deductions = [tier.deduction for tier in governor.tiers(X)]
    for i in range(1, 5):
        at, above = (clearinghouse.maintenance(X, bounds[i] + more) for more in (0, 1))
        assert at == ceil_div(bounds[i], 2 * leverages[i - 1]) - deductions[i - 1]
        assert above == ceil_div(bounds[i] + 1, 2 * leverages[i]) - deductions[i]
        # rounding may add a micro-USDC a tier, and a unit of notional one more
        assert 0 <= above - at <= 2


def test_initial_margin_is_twice_that_or_what_the_owners_leverage_asks_for(
    bare: Any, owner: Any, trader: Any
) -> None:
    bare.governor.set_tiers(X, [0, 500 * USDC], [40, 20], sender=owner)
    bare.fill(True, 1_000, X_PRICE)
    # $1,000: 1,000 / 40 - 500 * (1/40 - 1/80) = 18.75
    margin = bare.house.margin(bare.trader)
    assert (margin.maintenance, margin.initial) == (18_750_000, 37_500_000)
    for leverage, initial in [(40, 37_500_000), (26, 38_461_539), (20, 50 * USDC), (1, 10**9)]:
        bare.house.set_leverage(bare.trader, X, leverage, sender=trader)
        assert bare.house.margin(bare.trader).initial == initial
        assert bare.house.margin(bare.trader).maintenance == 18_750_000


@pytest.mark.parametrize(("collateral", "fits"), [(37_500_000, True), (37_499_999, False)])
def test_a_fill_into_a_higher_tier_needs_its_margin(
    bare: Any, usdc: Any, owner: Any, loser: Any, collateral: int, fits: bool
) -> None:
    bare.governor.set_tiers(X, [0, 500 * USDC], [40, 20], sender=owner)
    bare.house.open_account(sender=loser)
    account = bare.house.account_count()
    usdc.approve(bare.house, collateral, sender=loser)
    bare.house.deposit(account, collateral, sender=loser)
    bare.fill(True, 500, X_PRICE, taker=account)
    if fits:
        bare.fill(True, 500, X_PRICE, taker=account)
    else:
        with refused("margin: below initial margin"):
            bare.fill(True, 500, X_PRICE, taker=account)


@pytest.mark.parametrize(
    ("bounds", "leverages", "reason"),
    [
        ([], [], "governor: malformed tiers"),
        ([0], [], "governor: malformed tiers"),
        ([0, 5], [20], "governor: malformed tiers"),
        ([1], [20], "governor: malformed tiers"),
        ([0, 0], [20, 10], "governor: malformed tiers"),
        ([0, 5, 5], [20, 10, 5], "governor: malformed tiers"),
        ([0, 6, 5], [20, 10, 5], "governor: malformed tiers"),
        ([0, 2**57], [20, 10], "governor: malformed tiers"),
        ([0, 5], [20, 20], "governor: malformed tiers"),
        ([0, 5], [20, 21], "governor: malformed tiers"),
        ([0], [0], "governor: leverage out of range"),
        ([0], [101], "governor: leverage out of range"),
        ([0, 5], [20, 0], "governor: leverage out of range"),
        ([0], [2**256 - 1], "governor: leverage out of range"),
    ],
)
def test_malformed_tiers_are_refused(
    governor: Any, owner: Any, bounds: list[int], leverages: list[int], reason: str
) -> None:
    with refused(reason):
        governor.set_tiers(X, bounds, leverages, sender=owner)


@pytest.mark.parametrize("market", [2, 2**256 - 1])
def test_an_unknown_market_is_refused(governor: Any, owner: Any, market: int) -> None:
    with refused("clearinghouse: unknown market"):
        governor.set_tiers(market, [0], [20], sender=owner)


@pytest.mark.parametrize("role", ["keeper", "stranger"])
def test_only_the_owner_may(governor: Any, owner: Any, actors: Any, role: str) -> None:
    governor.set_guardian(actors["keeper"], sender=owner)
    with refused(NOT_OWNER):
        governor.set_tiers(X, [0], [20], sender=actors[role])
