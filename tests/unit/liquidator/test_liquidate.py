"""Liquidation into the book: down to the bankruptcy price, and below it only with a payer.

The weak account is long 1,000 lots of X from $100 with $60: bankrupt at $94, below maintenance
($0.024 a lot) under $96.41.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import SELF_TRADE, USDC, X_PRICE, X, Y, args, ceil_div, refused

SIZE, COLLATERAL = 1_000, 60 * USDC
BANKRUPT = 940_000


@pytest.fixture
def weak(open_account: Any, open_position: Any, loser: Any, winner_id: int) -> int:
    account = open_account(loser, COLLATERAL)
    open_position(account, winner_id, SIZE)
    return account


@pytest.fixture
def liquidate(liquidator: Any, keeper: Any) -> Any:
    return lambda account, steps=10: liquidator.liquidate(account, steps, sender=keeper)


def fills(receipt: Any, liquidator: Any) -> list[tuple[int, int, int, int]]:
    """Size, price, insurance and what remains."""
    keys = ("size", "price", "insurance", "remaining")
    return [tuple(e[k] for k in keys) for e in args(receipt, liquidator.LiquidationFill)]


def end(receipt: Any, liquidator: Any) -> dict[str, Any]:
    (event,) = args(receipt, liquidator.Liquidated)
    return event


def test_what_is_left_after_better_fills_stays_with_the_trader(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    weak: int,
    place: Any,
    move_mark: Any,
    maker_id: int,
    keeper: Any,
) -> None:
    place(maker_id, True, 600, 950_000)
    place(maker_id, True, 400, 955_000)
    move_mark(960_000)
    receipt = liquidate(weak)
    # $60 - 400 * $0.045 - 600 * $0.05
    terms = {"account": weak, "market": X, "is_long": True, "insurance": 0}
    assert args(receipt, liquidator.LiquidationFill) == [
        terms | {"order_id": 3, "size": 400, "price": 955_000, "remaining": 600},
        terms | {"order_id": 2, "size": 600, "price": 950_000, "remaining": 0},
    ]
    assert args(receipt, liquidator.Liquidated) == [
        {
            "account": weak,
            "caller": keeper.address,
            "equity": 12 * USDC,
            "maintenance": 0,
            "more": False,
            "unfillable": False,
        }
    ]
    assert clearinghouse.cash(weak) == 12 * USDC
    assert clearinghouse.position(maker_id, X).size == SIZE


def test_exactly_at_the_bankruptcy_price_nothing_is_left_and_nobody_pays(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    weak: int,
    place: Any,
    move_mark: Any,
    insure: Any,
    vault: Any,
    maker_id: int,
) -> None:
    insure(USDC)
    place(maker_id, True, SIZE, BANKRUPT)
    move_mark(960_000)
    assert fills(liquidate(weak), liquidator) == [(SIZE, BANKRUPT, 0, 0)]
    assert (clearinghouse.cash(weak), vault.available()) == (0, USDC)


def test_a_tick_below_bankruptcy_without_insurance_nothing_is_sold(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    weak: int,
    place: Any,
    move_mark: Any,
    maker_id: int,
) -> None:
    place(maker_id, True, SIZE, BANKRUPT - 1)
    move_mark(960_000)
    receipt = liquidate(weak)
    assert fills(receipt, liquidator) == []
    assert end(receipt, liquidator)["unfillable"]
    assert clearinghouse.position(weak, X).size == SIZE


def test_a_better_fill_leaves_room_for_a_worse_one(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    weak: int,
    place: Any,
    move_mark: Any,
    maker_id: int,
) -> None:
    # $94 on average, though the second half goes at $93
    place(maker_id, True, 500, 950_000)
    place(maker_id, True, 500, 930_000)
    move_mark(960_000)
    assert fills(liquidate(weak), liquidator) == [(500, 950_000, 0, 500), (500, 930_000, 0, 0)]
    assert clearinghouse.cash(weak) == 0


@pytest.mark.parametrize(
    ("insured", "sold"),
    # at $93 a lot lacks $0.01: what the vault has decides how many lots go
    [(0, 0), (9_999, 0), (10_000, 1), (4 * USDC, 400), (4 * USDC + 9_999, 400), (99 * USDC, SIZE)],
)
def test_below_bankruptcy_it_sells_as_far_as_insurance_pays(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    weak: int,
    place: Any,
    move_mark: Any,
    insure: Any,
    vault: Any,
    maker_id: int,
    insured: int,
    sold: int,
) -> None:
    if insured:
        insure(insured)
    place(maker_id, True, SIZE, 930_000)
    move_mark(950_000)
    receipt = liquidate(weak)
    paid = sold * 10_000
    assert fills(receipt, liquidator) == ([(sold, 930_000, paid, SIZE - sold)] if sold else [])
    assert vault.available() == insured - paid
    assert bool(end(receipt, liquidator)["unfillable"]) is (sold < SIZE)
    assert clearinghouse.position(weak, X).size == SIZE - sold
    # the rest keeps its bankruptcy price: $10 a thousand lots below the mark
    assert clearinghouse.equity(weak) == (SIZE - sold) * 10_000
    assert clearinghouse.uninsured() == 0


def test_insurance_bears_the_unit(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    open_account: Any,
    open_position: Any,
    place: Any,
    move_mark: Any,
    insure: Any,
    vault: Any,
    loser: Any,
    winner_id: int,
    maker_id: int,
) -> None:
    # 30 lots with $1.800001: the part of 7 does not divide
    account = open_account(loser, 1_800_001)
    open_position(account, winner_id, 30)
    insure(USDC)
    place(maker_id, True, 23, 935_000)
    move_mark(950_000)
    rest = 1_800_001 - 30 * X_PRICE
    keep = -(-rest * 7 // 30)  # rounded toward zero, up
    paid = keep - (rest + 23 * 935_000)
    receipt = liquidate(account)
    assert fills(receipt, liquidator) == [(23, 935_000, paid, 7)]
    assert paid == ceil_div(-(rest + 30 * 935_000) * 23, 30)
    assert vault.available() == USDC - paid
    assert clearinghouse.equity(account) == keep + 7 * 950_000


@pytest.mark.parametrize(
    ("band", "max_step", "price", "sold"),
    [
        # 10% asked for, but the maintenance rate at 20x is 2.5%: 926,250.975
        (100_000, 0, 926_251, True),
        (100_000, 0, 926_250, False),
        # less a step of 1%: 935,750.985
        (100_000, 10_000, 935_751, True),
        (100_000, 10_000, 935_750, False),
        # a step of nearly the rate: nothing beyond the mark
        (100_000, 24_999, 939_999, False),
        # 2%: 931,000.98
        (20_000, 0, 931_001, True),
        (20_000, 0, 931_000, False),
    ],
)
def test_insurance_follows_the_book_no_further_than_its_band(
    liquidator: Any,
    liquidate: Any,
    weak: int,
    place: Any,
    move_mark: Any,
    insure: Any,
    maker_id: int,
    oracle: Any,
    governor: Any,
    owner: Any,
    band: int,
    max_step: int,
    price: int,
    sold: bool,
) -> None:
    liquidator.set_policy(0, band, sender=owner)
    insure(1_000 * USDC)
    place(maker_id, True, SIZE, price)
    move_mark(950_001)
    governor.set_tiers(Y, [0], [20], sender=owner)  # whose step must be as small
    oracle.set_parameters(3, 3_600, max_step, sender=owner)
    assert bool(fills(liquidate(weak), liquidator)) is sold


def test_a_short_is_bought_back_up_to_its_bankruptcy_price(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    open_account: Any,
    open_position: Any,
    place: Any,
    move_mark: Any,
    insure: Any,
    vault: Any,
    loser: Any,
    winner_id: int,
    maker_id: int,
) -> None:
    account = open_account(loser, COLLATERAL)
    open_position(winner_id, account, SIZE)
    insure(4 * USDC)
    place(maker_id, False, 300, 1_050_000)  # $0.01 a lot better than $106
    place(maker_id, False, 700, 1_080_000)
    move_mark(1_055_000)
    # 300 lots leave $3 for 700: bankrupt at $106.428571..., $0.015714... short of $108 a lot
    lacking = 700 * 1_080_000 - (1_060_000 * 1_000 - 300 * 1_050_000)
    lots = 4 * USDC * 700 // lacking
    receipt = liquidate(account)
    assert fills(receipt, liquidator) == [
        (300, 1_050_000, 0, 700),
        (lots, 1_080_000, ceil_div(lacking * lots, 700), 700 - lots),
    ]
    assert vault.available() == 4 * USDC - ceil_div(lacking * lots, 700)
    assert clearinghouse.position(account, X).size == -(700 - lots)


def test_running_out_of_steps_keeps_the_fills_and_never_winds_up(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    weak: int,
    place: Any,
    move_mark: Any,
    maker_id: int,
    insure: Any,
) -> None:
    insure(100 * USDC)
    for _ in range(3):
        place(maker_id, True, 100, 930_000)
    move_mark(930_000)  # $10 below zero
    receipt = liquidate(weak, 2)
    assert [f[0] for f in fills(receipt, liquidator)] == [100, 100]
    ended = end(receipt, liquidator)
    assert (ended["more"], ended["unfillable"]) == (True, False)
    assert not args(receipt, liquidator.WoundUp)
    assert clearinghouse.position(weak, X).size == 800


def test_void_orders_on_top_use_up_steps_and_force_nothing(
    liquidator: Any,
    liquidate: Any,
    order_book: Any,
    weak: int,
    place: Any,
    move_mark: Any,
    maker: Any,
    maker_id: int,
) -> None:
    for i in range(2):
        place(maker_id, True, 100, 950_000 + i)
    order_book.cancel_all(maker_id, sender=maker)
    place(maker_id, True, SIZE, BANKRUPT)
    move_mark(930_000)
    receipt = liquidate(weak, 2)
    assert end(receipt, liquidator)["more"] and not args(receipt, liquidator.WoundUp)
    assert fills(liquidate(weak, 1), liquidator) == [(SIZE, BANKRUPT, 0, 0)]


def test_the_accounts_own_orders_are_voided_first(
    order_book: Any, liquidate: Any, weak: int, place: Any, move_mark: Any
) -> None:
    place(weak, False, SIZE, 1_100_000)
    move_mark(960_000)
    receipt = liquidate(weak)
    assert args(receipt, order_book.NonceRaised) == [{"account": weak, "nonce": 1}]
    assert order_book.best(X, False) == 0


def test_it_does_not_trade_with_another_account_of_the_same_owner(
    order_book: Any,
    liquidator: Any,
    liquidate: Any,
    weak: int,
    open_account: Any,
    place: Any,
    move_mark: Any,
    loser: Any,
) -> None:
    place(open_account(loser, 1_000 * USDC), True, SIZE, 950_000)
    move_mark(960_000)
    receipt = liquidate(weak)
    assert [e["reason"] for e in args(receipt, order_book.OrderCancelled)] == [SELF_TRADE]
    assert fills(receipt, liquidator) == []


def test_a_leg_is_left_alone_once_the_account_has_recovered(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    open_position: Any,
    weak: int,
    place: Any,
    move_mark: Any,
    maker_id: int,
    winner_id: int,
) -> None:
    open_position(weak, winner_id, 500, 200_000, Y)  # $100 of Y
    place(maker_id, True, SIZE, 950_000)
    place(maker_id, True, 500, 200_000, Y)
    move_mark(960_000)
    receipt = liquidate(weak)
    assert [e["market"] for e in args(receipt, liquidator.LiquidationFill)] == [X]
    assert clearinghouse.position(weak, Y).size == 500
    assert not end(receipt, liquidator)["unfillable"]


@pytest.mark.parametrize(("mark", "is_weak"), [(964_103, False), (964_102, True)])
def test_weak_is_below_maintenance_and_not_at_it(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    weak: int,
    move_mark: Any,
    mark: int,
    is_weak: bool,
) -> None:
    # equity 1,000 * mark - $940; maintenance 25 * mark: equal at 964,102.56 ticks
    move_mark(mark)
    margin = clearinghouse.margin(weak)
    assert (margin.equity < margin.maintenance) is is_weak
    assert liquidator.is_liquidatable(weak) is is_weak
    if not is_weak:
        with refused("liquidator: account is healthy"):
            liquidate(weak)


def test_equity_equal_to_maintenance_is_healthy(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    open_account: Any,
    open_position: Any,
    move_mark: Any,
    loser: Any,
    winner_id: int,
) -> None:
    account = open_account(loser, 64 * USDC)
    open_position(account, winner_id, SIZE)
    move_mark(960_000)  # $24 of equity, $24 of maintenance
    assert clearinghouse.equity(account) == clearinghouse.margin(account).maintenance
    with refused("liquidator: account is healthy"):
        liquidate(account)


def test_the_venues_own_accounts_are_refused(liquidate: Any) -> None:
    for account in (1, 2):
        with refused("liquidator: not a trading account"):
            liquidate(account)


def test_bad_calls_are_refused(liquidate: Any, weak: int, wait: Any, move_mark: Any) -> None:
    with refused("liquidator: no steps"):
        liquidate(weak, 0)
    for account in (0, 99):
        with refused("clearinghouse: unknown account"):
            liquidate(account)
    move_mark(960_000)
    wait(3_700)
    with refused("oracle: stale price"):
        liquidate(weak)
