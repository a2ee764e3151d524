"""Settlement: a day after a halt the owner names a price, and anyone may close anybody at it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import GTC, NOT_OWNER, USDC, X_PRICE, Y_PRICE, X, Y, args, next_block_at, refused

DAY = 86_400
PRICE = 900_000
ESTATE = 8


@pytest.fixture
def settle(governor: Any, oracle: Any, owner: Any, wait: Any) -> Any:
    """Halts X and, a day later, settles it; no hour of it ends with a fresh price."""

    def factory(price: int = PRICE) -> Any:
        governor.halt(X, sender=owner)
        oracle.set_parameters(3, 60, 0, sender=owner)
        wait(DAY)
        return governor.settle_market(X, price, sender=owner)

    return factory


@pytest.fixture
def weak(open_account: Any, loser: Any) -> int:
    return open_account(loser, 60 * USDC)


def test_it_is_for_good_and_opens_an_account(
    governor: Any, clearinghouse: Any, deleverager: Any, settle: Any, owner: Any
) -> None:
    account = clearinghouse.account_count() + 1
    receipt = settle()
    assert args(receipt, governor.MarketSettled) == [
        {"market": X, "price": PRICE, "account": account}
    ]
    assert args(receipt, clearinghouse.AccountOpened) == [
        {"account": account, "owner": deleverager.address, "kind": ESTATE}
    ]
    assert clearinghouse.settlement_account(X) == account
    market = governor.market(X)
    assert (market.halted, market.settled, market.settlement) == (True, True, PRICE)
    assert not governor.market(Y).settled
    with refused("governor: market settled"):
        governor.resume(X, sender=owner)
    with refused("governor: market settled"):
        governor.settle_market(X, PRICE + 1, sender=owner)
    with refused("governor: market halted"):
        governor.halt(X, sender=owner)


def test_not_before_a_day_has_passed(governor: Any, owner: Any, wait: Any) -> None:
    halted = governor.halt(X, sender=owner).timestamp
    wait(DAY - 1)
    with refused("governor: not halted for long enough"):
        governor.settle_market(X, PRICE, sender=owner)
    assert governor.settle_market(X, PRICE, sender=owner).timestamp >= halted + DAY


def test_a_market_that_is_not_halted_is_refused(governor: Any, owner: Any) -> None:
    for market in (X, 2, 2**256 - 1):
        with refused("governor: market not halted"):
            governor.settle_market(market, PRICE, sender=owner)


@pytest.mark.parametrize("price", [0, 2**24, 2**256 - 1])
def test_a_price_off_range_is_refused(governor: Any, owner: Any, wait: Any, price: int) -> None:
    governor.halt(X, sender=owner)
    wait(DAY)
    with refused("governor: price out of range"):
        governor.settle_market(X, price, sender=owner)


@pytest.mark.parametrize("role", ["keeper", "stranger"])
def test_only_the_owner_may(governor: Any, owner: Any, actors: Any, wait: Any, role: str) -> None:
    governor.set_guardian(actors["keeper"], sender=owner)
    governor.halt(X, sender=owner)
    wait(DAY)
    with refused(NOT_OWNER):
        governor.settle_market(X, PRICE, sender=actors[role])


def test_a_round_that_is_open_there_ends_with_what_it_has_closed(
    governor: Any,
    liquidator: Any,
    deleverager: Any,
    clearinghouse: Any,
    oracle: Any,
    vault: Any,
    owner: Any,
    keeper: Any,
    weak: int,
    open_position: Any,
    move_mark: Any,
    wait: Any,
    insure: Any,
    winner_id: int,
) -> None:
    insure(100 * USDC)
    open_position(weak, winner_id, 1_000)
    governor.halt(X, sender=owner)
    # Stale when the hour ends, so that no funding is due.
    oracle.set_parameters(3, 60, 0, sender=owner)
    wait(DAY)
    move_mark(PRICE)
    liquidator.liquidate(weak, 1, sender=keeper)
    assert deleverager.is_busy()
    receipt = governor.settle_market(X, PRICE, sender=owner)
    (closed,) = args(receipt, deleverager.RoundClosed)
    assert (closed["market"], closed["needed"], closed["taken"]) == (X, 1_000, 0)
    assert (deleverager.is_busy(), deleverager.round().id) == (False, 0)
    assert (clearinghouse.frozen_markets(), oracle.pinned(X)) == (0, False)
    assert not deleverager.advance(100, sender=keeper).events
    deleverager.close_settled(X, True, 10, sender=keeper)
    liquidator.close_settled(winner_id, X, sender=keeper)
    assert vault.available() == 60 * USDC  # $100 lost of $60
    assert clearinghouse.cash(clearinghouse.settlement_account(X)) == 0
    assert clearinghouse.open_interest(X) == 0


@pytest.mark.parametrize("role", ["owner", "stranger"])
def test_only_the_governor_releases_a_round(deleverager: Any, actors: Any, role: str) -> None:
    with refused("deleverager: governor only"):
        deleverager.release(X, sender=actors[role])


def test_everybody_is_closed_by_anyone_and_the_settlement_account_ends_at_zero(
    clearinghouse: Any,
    liquidator: Any,
    open_position: Any,
    settle: Any,
    stranger: Any,
    maker: Any,
    maker_id: int,
    trader_id: int,
    winner_id: int,
) -> None:
    # trader +10 - 3, winner +5, maker -15 + 3: entries off each other, one of them partly closed
    open_position(trader_id, maker_id, 100)
    open_position(winner_id, maker_id, 50, 1_000_007)
    open_position(maker_id, trader_id, 30, 999_983)
    settle()
    settlement = clearinghouse.settlement_account(X)
    expected = {a: clearinghouse.equity(a) for a in (trader_id, winner_id, maker_id)}
    cash = {a: clearinghouse.cash(a) for a in expected}
    for account, equity in expected.items():
        position = clearinghouse.position(account, X)
        assert equity == cash[account] + position.size * PRICE + position.quote
        receipt = liquidator.close_settled(account, X, sender=stranger)
        buyer, seller = (settlement, account) if position.size > 0 else (account, settlement)
        assert args(receipt, clearinghouse.Exchanged) == [
            {
                "market": X,
                "buyer": buyer,
                "seller": seller,
                "size": abs(position.size),
                "quote": abs(position.size) * PRICE,
            }
        ]
        assert clearinghouse.cash(account) == clearinghouse.equity(account) == equity
        assert tuple(clearinghouse.position(account, X)) == (0, 0, 0, 0)
    assert (clearinghouse.cash(settlement), clearinghouse.open_interest(X)) == (0, 0)
    assert tuple(clearinghouse.position(settlement, X)) == (0, 0, 0, 0)
    clearinghouse.withdraw(maker_id, expected[maker_id], sender=maker)


def test_the_order_of_closing_does_not_matter(
    clearinghouse: Any,
    liquidator: Any,
    open_position: Any,
    settle: Any,
    stranger: Any,
    maker_id: int,
    trader_id: int,
    winner_id: int,
) -> None:
    open_position(trader_id, maker_id, 100)
    open_position(winner_id, maker_id, 50, 1_000_007)
    settle(X_PRICE // 2)
    for account in (maker_id, winner_id, trader_id):
        equity = clearinghouse.equity(account)
        liquidator.close_settled(account, X, sender=stranger)
        assert clearinghouse.cash(account) == equity
    assert clearinghouse.cash(clearinghouse.settlement_account(X)) == 0


def test_what_is_not_to_be_closed_is_refused(
    clearinghouse: Any,
    liquidator: Any,
    open_position: Any,
    settle: Any,
    stranger: Any,
    maker_id: int,
    trader_id: int,
    winner_id: int,
) -> None:
    house = clearinghouse
    open_position(trader_id, maker_id, 100)
    open_position(trader_id, maker_id, 100, Y_PRICE, Y)
    for market in (X, 2, 2**256 - 1):
        with refused("clearinghouse: market not settled"):
            liquidator.close_settled(trader_id, market, sender=stranger)
    settle()
    with refused("clearinghouse: market not settled"):
        liquidator.close_settled(trader_id, Y, sender=stranger)
    for account in (house.estate(X, True), house.settlement_account(X)):
        with refused("clearinghouse: an estate"):
            liquidator.close_settled(account, X, sender=stranger)
    for account in (winner_id, 99, 0):
        with refused("clearinghouse: no position"):
            liquidator.close_settled(account, X, sender=stranger)
    liquidator.close_settled(trader_id, X, sender=stranger)
    with refused("clearinghouse: no position"):
        liquidator.close_settled(trader_id, X, sender=stranger)


def test_no_orders_any_more_but_cancelling(
    order_book: Any, clearinghouse: Any, place: Any, settle: Any, trader: Any, trader_id: int
) -> None:
    place(trader_id, True)
    settle()
    for reduce_only in (True, False):
        with refused("clearinghouse: market settled"):
            order_book.place(trader_id, X, False, 100, PRICE, GTC, reduce_only, sender=trader)
    with refused("clearinghouse: market settled"):
        order_book.place_market(trader_id, X, True, 100, 0, sender=trader)
    order_book.cancel(1, sender=trader)
    assert clearinghouse.mark(X) == PRICE


def test_its_price_is_fresh_for_ever_and_its_funding_stands_still(
    clearinghouse: Any,
    liquidator: Any,
    oracle: Any,
    governor: Any,
    owner: Any,
    accrue: Any,
    chain: Any,
    open_position: Any,
    stranger: Any,
    maker_id: int,
    trader_id: int,
) -> None:
    open_position(trader_id, maker_id, 101, Y_PRICE, Y)
    governor.halt(Y, sender=owner)
    for _ in range(25):
        accrue()
    governor.settle_market(Y, Y_PRICE + 3, sender=owner)
    index = oracle.index(Y)
    assert clearinghouse.settlement_index(Y) == index == 25 * 12_500 * Y_PRICE
    equity = [clearinghouse.equity(a) for a in (trader_id, maker_id)]
    assert equity[0] == 10_000 * USDC + 303 - (101 * index + 10**9 - 1) // 10**9
    accrue()
    accrue()
    assert oracle.index(Y) == index + 2 * 12_500 * Y_PRICE
    assert [clearinghouse.equity(a) for a in (trader_id, maker_id)] == equity
    next_block_at(chain, chain.blocks.head.timestamp + 10 * DAY)
    chain.mine()
    assert not oracle.is_fresh(Y)
    for account, worth in zip((trader_id, maker_id), equity, strict=True):
        assert clearinghouse.margin(account).is_fresh
        receipt = liquidator.close_settled(account, Y, sender=stranger)
        assert [e["funding_index"] for e in args(receipt, clearinghouse.FundingSettled)] == [index]
        assert clearinghouse.cash(account) == worth


@pytest.mark.parametrize("liquidated", [True, False])
def test_a_gap_is_paid_by_insurance_and_the_rest_is_uninsured(
    clearinghouse: Any,
    liquidator: Any,
    vault: Any,
    insure: Any,
    weak: int,
    open_position: Any,
    settle: Any,
    stranger: Any,
    winner: Any,
    winner_id: int,
    liquidated: bool,
) -> None:
    # $60 lose $100 at $90; the vault has $10 of the $40 that are missing
    insure(10 * USDC)
    open_position(weak, winner_id, 1_000)
    settle()
    liquidator.close_settled(winner_id, X, sender=stranger)
    with refused("clearinghouse: settlement under way"):
        clearinghouse.withdraw(winner_id, 1, sender=winner)
    if liquidated:
        receipt = liquidator.liquidate(weak, 10, sender=stranger)
    else:
        receipt = liquidator.close_settled(weak, X, sender=stranger)
    assert args(receipt, liquidator.WoundUp) == [
        {"account": weak, "equity": -40 * USDC, "insurance": 10 * USDC, "uninsured": 30 * USDC}
    ]
    assert (clearinghouse.cash(weak), vault.available()) == (0, 0)
    assert clearinghouse.uninsured() == 30 * USDC
    assert clearinghouse.cash(clearinghouse.settlement_account(X)) == 0
    assert clearinghouse.cash(winner_id) == 10_100 * USDC


def test_a_weak_but_solvent_account_is_closed_at_the_price_by_a_liquidation(
    clearinghouse: Any,
    liquidator: Any,
    weak: int,
    open_position: Any,
    settle: Any,
    stranger: Any,
    winner_id: int,
) -> None:
    open_position(weak, winner_id, 1_000)
    settle(X_PRICE - 50_000)
    receipt = liquidator.liquidate(weak, 10, sender=stranger)
    assert not args(receipt, liquidator.WoundUp)
    assert (clearinghouse.cash(weak), clearinghouse.active_markets(weak)) == (10 * USDC, 0)
