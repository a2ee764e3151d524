"""The price band: nothing trades far beyond the mark, and nothing rests there to be hit."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import IMMEDIATE, IOC, POST_ONLY, PRICE_BAND, USDC, X_PRICE, X, args, refused

MARK = X_PRICE + 1
# 5% of 1,000,001: 1,050,001.05 and 950,000.95, rounded toward the mark
EDGES = {True: (1_050_001, 1_050_002), False: (950_001, 950_000)}


@pytest.fixture
def band(set_terms: Any, move_mark: Any) -> None:
    set_terms(X, band=50_000)
    move_mark(MARK)


@pytest.mark.parametrize("buys", [True, False])
@pytest.mark.parametrize("tif", [0, IOC])
def test_it_stops_what_trades_at_its_edge(
    band: None,
    order_book: Any,
    place: Any,
    maker_id: int,
    trader_id: int,
    buys: bool,
    tif: int,
) -> None:
    last, beyond = EDGES[buys]
    place(maker_id, not buys, 40, last)
    place(maker_id, not buys, 40, beyond)
    receipt = place(trader_id, buys, 100, 1_200_000 if buys else 800_000, tif=tif)
    assert [(e["price"], e["size"]) for e in args(receipt, order_book.Filled)] == [(last, 40)]
    assert args(receipt, order_book.Unfilled) == [
        {
            "account": trader_id,
            "market": X,
            "size": 60,
            "reason": IMMEDIATE if tif == IOC else PRICE_BAND,
        }
    ]
    # it does not rest either: it would cross what it could not take
    assert not args(receipt, order_book.OrderPlaced)
    assert order_book.best(X, not buys) == beyond


@pytest.mark.parametrize(
    ("is_buy", "price"), [(True, 1), (True, 500_000), (False, 2_000_000), (False, 2**24 - 1)]
)
def test_a_passive_order_rests_at_any_distance(
    band: None, order_book: Any, place: Any, trader_id: int, is_buy: bool, price: int
) -> None:
    place(trader_id, is_buy, 10**8, price)
    assert order_book.best(X, is_buy) == price


@pytest.mark.parametrize(
    ("is_buy", "price"), [(False, 1), (False, 500_000), (True, 2_000_000), (True, 2**24 - 1)]
)
def test_an_order_that_gives_away_more_does_not_rest(
    band: None, order_book: Any, place: Any, trader_id: int, is_buy: bool, price: int
) -> None:
    receipt = place(trader_id, is_buy, 10**8, price)
    assert [e["reason"] for e in args(receipt, order_book.Unfilled)] == [PRICE_BAND]
    assert order_book.best(X, is_buy) == 0
    with refused("book: price beyond the band"):
        place(trader_id, is_buy, 10**8, price, tif=POST_ONLY)


def test_nor_does_the_rest_of_one(
    band: None, order_book: Any, place: Any, maker_id: int, trader_id: int
) -> None:
    place(maker_id, False, 40, X_PRICE)
    receipt = place(trader_id, True, 100, 1_200_000)
    assert [e["size"] for e in args(receipt, order_book.Filled)] == [40]
    assert [(e["size"], e["reason"]) for e in args(receipt, order_book.Unfilled)] == [
        (60, PRICE_BAND)
    ]


def test_a_better_price_than_the_band_may_be_taken(
    band: None, order_book: Any, place: Any, set_terms: Any, maker_id: int, trader_id: int
) -> None:
    # it rested before there was a band; a bid far above the mark does its taker no harm
    set_terms(X, band=0)
    place(maker_id, True, 40, 1_200_000)
    set_terms(X, band=100_000)
    receipt = place(trader_id, False, 40, X_PRICE)
    assert [e["price"] for e in args(receipt, order_book.Filled)] == [1_200_000]


def test_it_binds_market_orders_too(
    band: None, order_book: Any, place: Any, trader: Any, maker_id: int, trader_id: int
) -> None:
    for price in EDGES[True]:
        place(maker_id, False, 40, price)
    receipt = order_book.place_market(trader_id, X, True, 100, 10**6, sender=trader)
    assert [e["price"] for e in args(receipt, order_book.Filled)] == [EDGES[True][0]]


def test_it_moves_with_the_mark(
    band: None, order_book: Any, place: Any, move_mark: Any, maker_id: int, trader_id: int
) -> None:
    place(maker_id, False, 40, 1_100_000)
    place(trader_id, True, 40, 1_100_000, tif=IOC)
    assert order_book.best(X, False) == 1_100_000
    move_mark(1_050_000)
    receipt = place(trader_id, True, 40, 1_100_000, tif=IOC)
    assert [e["price"] for e in args(receipt, order_book.Filled)] == [1_100_000]


def test_a_liquidation_obeys_its_own_limit_instead(
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
    set_terms(X, band=1_000)
    weak = open_account(loser, 60 * USDC)
    open_position(weak, winner_id, 1_000)
    move_mark(960_000)
    place(maker_id, True, 1_000, 945_000)
    liquidator.liquidate(weak, 10, sender=keeper)
    assert clearinghouse.cash(weak) == 5 * USDC


def test_without_a_band_anything_goes(
    order_book: Any, place: Any, maker_id: int, trader_id: int
) -> None:
    place(maker_id, False, 40, 10 * X_PRICE)
    receipt = place(trader_id, True, 40, 10 * X_PRICE)
    assert [e["price"] for e in args(receipt, order_book.Filled)] == [10 * X_PRICE]
