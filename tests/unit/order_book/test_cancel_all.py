"""Voiding every order of an account at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import X_PRICE, Y_PRICE, X, Y, args, refused


def test_every_order_is_void_and_later_ones_are_not(
    order_book: Any, place: Any, maker: Any, maker_id: int, winner_id: int
) -> None:
    place(maker_id, True, 100, X_PRICE)
    place(maker_id, False, 1_000, Y_PRICE, Y)
    place(winner_id, True, 100, X_PRICE - 1)
    receipt = order_book.cancel_all(maker_id, sender=maker)
    assert args(receipt, order_book.NonceRaised) == [{"account": maker_id, "nonce": 1}]
    assert [order_book.best(X, True), order_book.best(Y, False)] == [X_PRICE - 1, 0]
    assert order_book.order(1).nonce < order_book.call_view_method("nonce", maker_id) == 1
    place(maker_id, True, 100, X_PRICE)
    assert order_book.best(X, True) == X_PRICE
    assert order_book.depth(X, True, 1)[0].size == 100


@pytest.mark.parametrize("account", [0, 99])
def test_an_unknown_account_is_refused(order_book: Any, maker: Any, account: int) -> None:
    with refused("clearinghouse: unknown account"):
        order_book.cancel_all(account, sender=maker)


def test_somebody_elses_account_is_refused(
    order_book: Any, stranger: Any, owner: Any, maker_id: int
) -> None:
    for other in (stranger, owner):
        with refused("book: not your account"):
            order_book.cancel_all(maker_id, sender=other)
