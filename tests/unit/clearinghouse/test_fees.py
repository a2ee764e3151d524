"""Fees: on both sides of a fill, rounded up, part of what margin must bear; none for the
liquidated."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import (
    FILLED,
    MAKER_REFUSED,
    USDC,
    X_PRICE,
    X,
    Y,
    args,
    ceil_div,
    refused,
)

TAKER, MAKER = 351, 151
"""Parts per million: 7 lots at 1,000,003 ticks cost 2,457.007371 and 1,057.003171 micro-USDC."""


@pytest.fixture
def fees(bare: Any, set_terms: Any) -> None:
    set_terms(X, taker_fee=TAKER, maker_fee=MAKER, by=bare.governor)


def charged(receipt: Any, house: Any) -> list[tuple[int, int, int]]:
    return [(e["account"], e["amount"], e["cash"]) for e in args(receipt, house.FeeCharged)]


@pytest.mark.parametrize("buys", [True, False])
def test_both_sides_pay_rounded_up(bare: Any, fees: None, buys: bool) -> None:
    receipt = bare.fill(buys, 7, 1_000_003)
    start = 10_000 * USDC
    assert charged(receipt, bare.house) == [
        (bare.trader, 2_458, start - 2_458),
        (bare.maker, 1_058, start - 1_058),
    ]
    assert bare.house.fees() == 2_458 + 1_058
    assert bare.house.cash(bare.trader) == start - 2_458
    assert bare.house.cash(bare.maker) == start - 1_058
    bare.fill(not buys, 3, 1_000_000)
    assert bare.house.fees() == 3_516 + ceil_div(3 * TAKER, 1) + 3 * MAKER


def test_without_a_rate_there_is_no_fee_and_no_event(bare: Any) -> None:
    assert charged(bare.fill(True, 7, 1_000_003), bare.house) == []
    assert bare.house.fees() == 0


def test_the_smallest_fill_costs_a_unit(bare: Any, set_terms: Any) -> None:
    set_terms(X, taker_fee=1, by=bare.governor)
    bare.fill(True, 1, 1)
    assert bare.house.fees() == 1


def test_other_markets_have_their_own(bare: Any, fees: None) -> None:
    bare.fill(True, 7, 200_000, market=Y)
    assert bare.house.fees() == 0


def test_the_liquidated_side_pays_none(bare: Any, fees: None) -> None:
    bare.fill(True, 100, X_PRICE)
    before = bare.house.fees()
    receipt = bare.fill(False, 100, X_PRICE, liquidated=True)
    (paid,) = charged(receipt, bare.house)
    assert paid[:2] == (bare.maker, 15_100)
    assert bare.house.fees() == before + 15_100


@pytest.fixture
def exact(bare: Any, usdc: Any, loser: Any) -> Any:
    """An account with just this much."""

    def factory(collateral: int) -> int:
        bare.house.open_account(sender=loser)
        account = bare.house.account_count()
        usdc.approve(bare.house, collateral, sender=loser)
        bare.house.deposit(account, collateral, sender=loser)
        return account

    return factory


@pytest.mark.parametrize("short", [0, 1], ids=["exactly enough", "a micro-USDC short"])
def test_margin_is_asked_for_after_the_fee(bare: Any, fees: None, exact: Any, short: int) -> None:
    # 1,000 lots: $50 and a fee of $0.351, or as a maker $0.151
    taker, maker = exact(50_351_000 - short), exact(50_151_000 - short)
    outcome = bare.outcome(True, 1_000, X_PRICE, maker=maker)
    assert outcome == (MAKER_REFUSED if short else FILLED)
    if short:
        with refused("margin: below initial margin"):
            bare.fill(True, 1_000, X_PRICE, taker=taker)
    else:
        bare.fill(True, 1_000, X_PRICE, taker=taker)
        assert bare.house.equity(taker) == 50 * USDC


def test_a_fee_may_not_take_an_account_below_zero(
    bare: Any, set_terms: Any, exact: Any, move_mark: Any
) -> None:
    # long 1,000 with $60, mark $94.10: $1 left, and a fee of 1% would be $9.41
    account = exact(60 * USDC)
    bare.fill(True, 1_000, X_PRICE, taker=account)
    move_mark(941_000)
    set_terms(X, taker_fee=10_000, by=bare.governor)
    with refused("margin: reducing would end below zero"):
        bare.fill(False, 1_000, 941_000, taker=account)
    set_terms(X, taker_fee=1_062, by=bare.governor)
    bare.fill(False, 1_000, 941_000, taker=account)
    assert bare.house.cash(account) == USDC - 1_062 * 941
