"""The open-interest cap: at it nobody's position grows, flips, or leaves at too keen a price."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import GTC, IOC, MAX_SIZE, USDC, WAITING_MAKERS, X_PRICE, X, Y, args, refused

INCREASE = "clearinghouse: cap: would increase the position"
FLIP = "clearinghouse: cap: would flip the position"
KEEN = "clearinghouse: cap: price too aggressive"


@pytest.fixture
def capped(set_terms: Any, open_position: Any, trader_id: int, winner_id: int) -> None:
    """The trader is long 100 lots and the winner short 100, which is the cap."""
    set_terms(X, cap=100)
    open_position(trader_id, winner_id, 100)


def test_it_may_be_reached_exactly(
    capped: None, clearinghouse: Any, trader_id: int, winner_id: int
) -> None:
    assert clearinghouse.open_interest(X) == 100


def test_nobodys_position_grows(
    capped: None, place: Any, trader_id: int, winner_id: int, maker_id: int
) -> None:
    for account, is_buy in [
        (trader_id, True),
        (winner_id, False),
        (maker_id, True),
        (maker_id, False),
    ]:
        for tif in (GTC, IOC, 2):
            with refused(INCREASE):
                place(account, is_buy, 10, tif=tif)


def test_nobodys_position_flips(capped: None, place: Any, trader_id: int, winner_id: int) -> None:
    for account, is_buy in [(trader_id, False), (winner_id, True)]:
        with refused(FLIP):
            place(account, is_buy, 101)
        place(account, is_buy, 100, X_PRICE if is_buy else X_PRICE + 5)


@pytest.mark.parametrize(("is_buy", "last"), [(True, 1_010_001), (False, 990_001)])
def test_nobody_leaves_further_than_a_percent_off_the_mark(
    capped: None,
    move_mark: Any,
    place: Any,
    trader_id: int,
    winner_id: int,
    is_buy: bool,
    last: int,
) -> None:
    # 1,000,001 +- 1%: 1,010,001.01 and 990,000.99, rounded toward the mark
    move_mark(X_PRICE + 1)
    account = winner_id if is_buy else trader_id
    with refused(KEEN):
        place(account, is_buy, 50, last + 1 if is_buy else last - 1)
    place(account, is_buy, 50, last)
    place(account, is_buy, 50, X_PRICE * 9 // 10 if is_buy else X_PRICE * 11 // 10)


def test_reducing_goes_on_and_makes_room(
    capped: None,
    clearinghouse: Any,
    order_book: Any,
    place: Any,
    trader_id: int,
    winner_id: int,
    maker_id: int,
) -> None:
    place(winner_id, True, 30)
    place(trader_id, False, 30)
    assert clearinghouse.open_interest(X) == 70
    place(maker_id, True, 30)
    place(trader_id, False, 30)  # handed on: as much as before
    assert clearinghouse.open_interest(X) == 70
    assert clearinghouse.position(maker_id, X).size == 30


def test_a_fill_does_not_pass_it(
    set_terms: Any,
    clearinghouse: Any,
    order_book: Any,
    place: Any,
    trader_id: int,
    winner_id: int,
    maker_id: int,
) -> None:
    # 70 of 100 lots are open; an order placed below the cap would pass it halfway
    set_terms(X, cap=100)
    place(winner_id, False, 70)
    place(trader_id, True, 70)
    place(winner_id, False, 40)
    place(maker_id, False, 20)
    # As much as the cap leaves of the first, nothing of the second, and the rest cannot rest.
    receipt = place(trader_id, True, 40)
    assert [e["size"] for e in args(receipt, order_book.Filled)] == [30]
    assert [(e["size"], e["reason"]) for e in args(receipt, order_book.Unfilled)] == [
        (10, WAITING_MAKERS)
    ]
    assert not args(receipt, order_book.OrderCancelled)
    assert clearinghouse.open_interest(X) == 100
    # the offers that are left may still be taken by who hands nothing new to the market
    assert [tuple(level) for level in order_book.depth(X, False, 9)] == [(X_PRICE, 30)]
    place(winner_id, True, 30, tif=IOC)
    assert clearinghouse.open_interest(X) == 100


def test_an_order_that_rested_before_trades_on_while_the_sum_stays(
    set_terms: Any,
    clearinghouse: Any,
    order_book: Any,
    place: Any,
    open_position: Any,
    trader_id: int,
    winner_id: int,
    maker_id: int,
) -> None:
    place(maker_id, True, 50, X_PRICE - 5)
    open_position(trader_id, winner_id, 100)
    set_terms(X, cap=40)  # below what is open: nobody is forced out
    receipt = place(trader_id, False, 50, X_PRICE - 5)
    assert [e["maker"] for e in args(receipt, order_book.Filled)] == [maker_id]
    assert clearinghouse.open_interest(X) == 100


def test_a_cap_of_nothing_closes_the_market_to_newcomers(
    set_terms: Any, place: Any, trader_id: int
) -> None:
    set_terms(X, cap=0)
    with refused(INCREASE):
        place(trader_id, True, 100)
    place(trader_id, True, 100, 200_000, Y)


def test_without_a_cap_there_is_still_a_largest_sum(
    clearinghouse: Any,
    order_book: Any,
    usdc: Any,
    place: Any,
    maker: Any,
    trader: Any,
    stranger: Any,
    open_account: Any,
    maker_id: int,
    trader_id: int,
    winner_id: int,
) -> None:
    other = open_account(stranger)
    for who, account in ((maker, maker_id), (trader, trader_id), (stranger, other)):
        usdc.mint(who, 2**80, sender=who)
        clearinghouse.deposit(account, 2**80, sender=who)
    place(maker_id, False, MAX_SIZE)
    place(trader_id, True, MAX_SIZE)
    assert clearinghouse.open_interest(X) == MAX_SIZE
    place(winner_id, False, 100)
    for who in (trader_id, other):
        assert not args(place(who, True, 100, tif=IOC), order_book.Filled)
    assert clearinghouse.open_interest(X) == MAX_SIZE


def test_a_liquidation_is_not_held_up_by_it(
    set_terms: Any,
    liquidator: Any,
    clearinghouse: Any,
    place: Any,
    open_account: Any,
    open_position: Any,
    move_mark: Any,
    loser: Any,
    keeper: Any,
    winner_id: int,
    maker_id: int,
) -> None:
    weak = open_account(loser, 60 * USDC)
    place(maker_id, True, 1_000, 955_000)
    open_position(weak, winner_id, 1_000)
    set_terms(X, cap=10)
    move_mark(960_000)
    liquidator.liquidate(weak, 10, sender=keeper)
    assert clearinghouse.cash(weak) == 15 * USDC
    assert clearinghouse.open_interest(X) == 1_000
