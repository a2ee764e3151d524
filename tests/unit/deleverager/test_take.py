"""Lots that found no winner: whoever has the margin takes them at the mark."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import USDC, X, args, refused
from tests.unit.deleverager.test_close_settled import SIZE, lots

__all__ = ["lots"]


def test_they_go_at_the_mark_oldest_first(
    deleverager: Any, clearinghouse: Any, lots: list[int], maker: Any, maker_id: int
) -> None:
    # each lot was made whole at $90 when its round ended, so at $90 there is nothing left over
    estate = clearinghouse.estate(X, True)
    before = clearinghouse.position(maker_id, X).size
    equity = clearinghouse.equity(maker_id)
    receipt = deleverager.take(maker_id, X, True, 800, sender=maker)
    assert args(receipt, deleverager.LotsTaken) == [
        {
            "account": maker_id,
            "market": X,
            "is_long": True,
            "size": 800,
            "price": 900_000,
            "mark": 900_000,
        }
    ]
    settled = args(receipt, deleverager.LotSettled)
    assert [(e["bankrupt"], e["surplus"], e["residual"]) for e in settled] == [(lots[0], 0, 0)]
    assert clearinghouse.position(maker_id, X).size == before + 800
    assert clearinghouse.equity(maker_id) == equity
    assert clearinghouse.position(estate, X).size == SIZE - 800
    (taken,) = args(deleverager.take(maker_id, X, True, 10**6, sender=maker), deleverager.LotsTaken)
    assert taken["size"] == 200
    assert (clearinghouse.position(estate, X).size, clearinghouse.cash(estate)) == (0, 0)
    with refused("deleverager: no lots left"):
        deleverager.take(maker_id, X, True, 1, sender=maker)


@pytest.mark.parametrize(("mark", "surplus", "residual"), [(930_000, 30, 0), (880_000, 0, 20)])
def test_what_the_mark_has_done_since_is_booked_when_a_lot_is_empty(
    deleverager: Any,
    clearinghouse: Any,
    lots: list[int],
    move_mark: Any,
    maker: Any,
    maker_id: int,
    mark: int,
    surplus: int,
    residual: int,
) -> None:
    move_mark(mark)
    vault = clearinghouse.cash(1)
    receipt = deleverager.take(maker_id, X, True, SIZE, sender=maker)
    settled = args(receipt, deleverager.LotSettled)
    assert sum(e["surplus"] for e in settled) == surplus * USDC
    assert sum(e["residual"] for e in settled) == residual * USDC
    assert clearinghouse.cash(1) == vault + (surplus - residual) * USDC
    assert clearinghouse.cash(clearinghouse.estate(X, True)) == 0


def test_not_beyond_margin_not_for_others_not_at_a_stale_price(
    deleverager: Any,
    clearinghouse: Any,
    open_account: Any,
    lots: list[int],
    wait: Any,
    loser: Any,
    stranger: Any,
    maker_id: int,
) -> None:
    poor = open_account(loser, USDC)
    with refused("deleverager: margin does not allow it"):
        deleverager.take(poor, X, True, SIZE, sender=loser)
    for account in (maker_id, 99, clearinghouse.estate(X, True)):
        with refused("deleverager: not your account"):
            deleverager.take(account, X, True, 1, sender=stranger)
    with refused("deleverager: no lots left"):
        deleverager.take(poor, X, False, 1, sender=loser)
    wait(3_700)
    with refused("oracle: stale price"):
        deleverager.take(poor, X, True, 1, sender=loser)
