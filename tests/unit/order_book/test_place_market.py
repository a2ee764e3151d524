"""Market orders: at once, within a slippage from the mark, rounded toward it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import IMMEDIATE, MAX_UINT, USDC, X_PRICE, X, args, refused

MARK = X_PRICE + 1
# 1% of 1,000,001: 1,010,001.01 and 990,000.99
EDGES = {True: (1_010_001, 1_010_002), False: (990_001, 990_000)}


@pytest.fixture
def at_mark(move_mark: Any) -> None:
    move_mark(MARK)


@pytest.mark.parametrize("is_buy", [True, False])
def test_it_trades_to_its_limit_and_drops_the_rest(
    at_mark: None,
    order_book: Any,
    place: Any,
    trader: Any,
    trader_id: int,
    maker_id: int,
    is_buy: bool,
) -> None:
    last, beyond = EDGES[is_buy]
    for price, size in [(X_PRICE, 30), (last, 40), (beyond, 50)]:
        place(maker_id, not is_buy, size, price)
    order = (trader_id, X, is_buy, 100, 10_000)
    assert order_book.place_market.call(*order, sender=trader) == 70
    receipt = order_book.place_market(*order, sender=trader)
    fills = [(e["price"], e["size"]) for e in args(receipt, order_book.Filled)]
    assert fills == [(X_PRICE, 30), (last, 40)]
    assert args(receipt, order_book.Unfilled) == [
        {"account": trader_id, "market": X, "size": 30, "reason": IMMEDIATE}
    ]
    assert not args(receipt, order_book.OrderPlaced)


@pytest.mark.parametrize("is_buy", [True, False])
def test_no_slippage_means_the_mark_or_better(
    at_mark: None,
    order_book: Any,
    place: Any,
    trader: Any,
    trader_id: int,
    maker_id: int,
    is_buy: bool,
) -> None:
    place(maker_id, not is_buy, 40, MARK)
    place(maker_id, not is_buy, 40, MARK + 1 if is_buy else MARK - 1)
    receipt = order_book.place_market(trader_id, X, is_buy, 100, 0, sender=trader)
    assert [e["price"] for e in args(receipt, order_book.Filled)] == [MARK]


def test_the_whole_price_is_the_widest_limit(
    order_book: Any, place: Any, set_terms: Any, trader: Any, trader_id: int, maker_id: int
) -> None:
    set_terms(X, min_notional=0)
    place(maker_id, True, 10**8, 1)
    receipt = order_book.place_market(trader_id, X, False, 100, 10**6, sender=trader)
    assert [e["price"] for e in args(receipt, order_book.Filled)] == [1]


def test_a_sale_at_any_price_is_worth_the_mark(
    order_book: Any, place: Any, set_terms: Any, trader: Any, trader_id: int, maker_id: int
) -> None:
    set_terms(X, min_notional=10 * USDC)
    place(maker_id, True, 100)
    order_book.place_market(trader_id, X, False, 10, 10**6, sender=trader)
    with refused("book: below minimum notional"):
        order_book.place_market(trader_id, X, False, 9, 10**6, sender=trader)


def test_a_reduce_only_one_stops_when_it_is_flat(
    order_book: Any,
    place: Any,
    clearinghouse: Any,
    open_position: Any,
    trader: Any,
    trader_id: int,
    maker_id: int,
) -> None:
    with refused("book: nothing to reduce"):
        order_book.place_market(trader_id, X, False, 100, 0, True, sender=trader)
    open_position(trader_id, maker_id, 40)
    place(maker_id, True, 100)
    order_book.place_market(trader_id, X, False, 100, 0, True, sender=trader)
    assert clearinghouse.position(trader_id, X).size == 0


def test_an_empty_book_fills_nothing(order_book: Any, trader: Any, trader_id: int) -> None:
    receipt = order_book.place_market(trader_id, X, True, 100, 10**6, sender=trader)
    assert [e["size"] for e in args(receipt, order_book.Unfilled)] == [100]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"slippage": 10**6 + 1}, "book: slippage above 100%"),
        ({"slippage": MAX_UINT}, "book: slippage above 100%"),
        ({"size": 0}, "book: size out of range"),
        ({"size": 2**54 + 1}, "book: size out of range"),
        ({"size": 9}, "book: below minimum notional"),
        ({"market": 2}, "clearinghouse: unknown market"),
        ({"account": 99}, "clearinghouse: unknown account"),
        ({"account": 1}, "clearinghouse: not a trading account"),
    ],
)
def test_bad_terms_are_refused(
    order_book: Any, trader: Any, trader_id: int, values: dict[str, int], reason: str
) -> None:
    terms = {"account": trader_id, "market": X, "size": 100, "slippage": 0} | values
    with refused(reason):
        order_book.place_market(
            terms["account"], terms["market"], True, terms["size"], terms["slippage"], sender=trader
        )


def test_somebody_elses_account_is_refused(order_book: Any, stranger: Any, trader_id: int) -> None:
    with refused("book: not your account"):
        order_book.place_market(trader_id, X, True, 100, 0, sender=stranger)


def test_a_taker_without_margin_is_refused(
    order_book: Any, place: Any, open_account: Any, loser: Any, maker_id: int
) -> None:
    poor = open_account(loser, 1)
    place(maker_id, False, 100)
    with refused("margin: below initial margin"):
        order_book.place_market(poor, X, True, 100, 0, sender=loser)
