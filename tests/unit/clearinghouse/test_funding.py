"""Settlement of funding: rounded against payer and receiver, what is left stays in the pool.

The trader is long 3 lots of X against one lot short each of maker, winner and loser.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import SCALE, USDC, X_PRICE, X, Y, args, next_block_at

START = 10_000 * USDC
HOURLY = 12_500 * X_PRICE
"""Index of an hour without a premium: 12.5 micro-USDC a lot long."""


@pytest.fixture
def shorts(bare: Any, usdc: Any, loser: Any) -> list[int]:
    bare.house.open_account(sender=loser)
    account = bare.house.account_count()
    usdc.approve(bare.house, START, sender=loser)
    bare.house.deposit(account, START, sender=loser)
    ids = [bare.maker, bare.winner, account]
    for short in ids:
        bare.house.exchange(X, bare.trader, short, 1, X_PRICE, sender=bare.waterfall)
    return ids


@pytest.fixture
def discount(oracle: Any, owner: Any, place: Any, maker_id: int, chain: Any, stranger: Any) -> Any:
    """Asks 0.3% below the oracle for ten seconds: -0.25% for 8 hours, shorts pay."""

    def factory() -> None:
        oracle.set_impact_notional(X, 500 * USDC, sender=owner)
        place(maker_id, False, 600, 997_000)
        for _ in range(2):
            next_block_at(chain, chain.blocks.head.timestamp + 10)
            oracle.sample(X, sender=stranger)

    return factory


def settled(receipt: Any, house: Any) -> list[tuple[int, ...]]:
    names = ("account", "funding_index", "paid", "cash")
    return [tuple(e[n] for n in names) for e in args(receipt, house.FundingSettled)]


def test_longs_pay_rounded_up_and_shorts_receive_rounded_down(
    bare: Any, shorts: list[int], accrue: Any
) -> None:
    accrue()
    house = bare.house
    # 37.5 owed; 12.5 due to each, before anything is settled as after
    assert [house.equity(a) for a in (bare.trader, *shorts)] == [START - 38, *[START + 12] * 3]
    assert [house.cash(a) for a in (bare.trader, *shorts)] == [START] * 4
    assert (house.funding_pool(X), house.funding_dust(X)) == (0, 0)

    receipt = house.exchange(X, shorts[0], bare.trader, 1, X_PRICE, sender=bare.waterfall)
    assert settled(receipt, house) == [
        (shorts[0], HOURLY, -12, START + 12),
        (bare.trader, HOURLY, 38, START - 38),
    ]
    assert house.funding_pool(X) == 38 - 12
    # a half from each
    assert house.funding_dust(X) == SCALE
    assert house.position(bare.trader, X).index == HOURLY
    assert tuple(house.position(shorts[0], X)) == (0, 0, 0, 0)

    for short in shorts[1:]:
        house.exchange(X, short, bare.trader, 1, X_PRICE, sender=bare.waterfall)
    assert [house.cash(a) for a in (bare.trader, *shorts)] == [START - 38, *[START + 12] * 3]
    # everybody is flat: the pool is dust and nothing else
    assert (house.funding_pool(X), house.funding_dust(X)) == (2, 2 * SCALE)
    assert (house.funding_pool(Y), house.funding_dust(Y)) == (0, 0)


def test_shorts_pay_rounded_up_and_longs_receive_rounded_down(
    bare: Any, shorts: list[int], accrue: Any, discount: Any, oracle: Any
) -> None:
    discount()
    accrue()
    assert oracle.index(X) == -312_500 * X_PRICE
    house = bare.house
    # 937.5 due; 312.5 owed by each
    assert [house.equity(a) for a in (bare.trader, *shorts)] == [START + 937, *[START - 313] * 3]
    for i, short in enumerate(shorts):
        receipt = house.exchange(X, short, bare.trader, 1, X_PRICE, sender=bare.waterfall)
        assert settled(receipt, house)[0][2] == 313
        assert [row[2] for row in settled(receipt, house)[1:]] == ([-937] if i == 0 else [])
    assert (house.funding_pool(X), house.funding_dust(X)) == (2, 2 * SCALE)


def test_settling_often_costs_the_payer_a_unit_each_time(
    bare: Any, shorts: list[int], accrue: Any
) -> None:
    house = bare.house
    paid = received = 0
    for size in (3, 4, 5):
        accrue()
        paid += -(-size * HOURLY // SCALE)
        received += (size - 2) * HOURLY // SCALE
        house.exchange(X, bare.trader, shorts[0], 1, X_PRICE, sender=bare.waterfall)
    assert house.cash(bare.trader) == START - paid == START - (38 + 50 + 63)
    assert house.cash(shorts[0]) == START + received == START + (12 + 25 + 37)
    unsettled = 2 * -1 * 3 * HOURLY  # the other two, three hours each
    assert house.funding_pool(X) * SCALE == house.funding_dust(X) - unsettled
    # 37.5, 50 and 62.5 owed, 12.5, 25 and 37.5 due: a half three times for the trader and twice
    # for the maker, less the halves that came out even
    assert house.funding_dust(X) == 2 * SCALE


def test_opening_later_owes_nothing_for_before(bare: Any, accrue: Any, oracle: Any) -> None:
    accrue()
    receipt = bare.fill(True, 7, X_PRICE)
    assert settled(receipt, bare.house) == []
    assert bare.house.position(bare.trader, X).index == oracle.index(X) == HOURLY
    assert bare.house.equity(bare.trader) == START


def test_margin_and_refusals_count_funding_owed(
    bare: Any, shorts: list[int], accrue: Any, trader: Any
) -> None:
    accrue()
    margin = bare.house.margin(bare.trader)
    assert margin.equity == START - 38
    with_leg = 3 * X_PRICE // 10
    bare.house.withdraw(bare.trader, START - 38 - with_leg, sender=trader)
    assert bare.house.equity(bare.trader) == with_leg


def test_neither_dust_nor_fees_are_anybodys_claim(
    bare: Any, shorts: list[int], accrue: Any, set_terms: Any, trader: Any, usdc: Any
) -> None:
    house = bare.house
    accrue()
    for short in shorts:
        house.exchange(X, short, bare.trader, 1, X_PRICE, sender=bare.waterfall)
    set_terms(X, taker_fee=10_000, by=bare.governor)
    bare.fill(True, 5, X_PRICE, taker=bare.winner)
    assert (house.fees(), house.funding_dust(X)) == (50_000, 2 * SCALE)
    house.write_off(bare.maker, 10**9, sender=bare.waterfall)
    claims = house.held() - 50_000 - 2 + 10**9
    before, amount = usdc.balanceOf(trader), 777_777_777
    house.withdraw(bare.trader, amount, sender=trader)
    assert usdc.balanceOf(trader) - before == amount * (claims - 10**9) // claims
