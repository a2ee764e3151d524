"""Batches of accounts and positions: what the clearinghouse says, in one call."""

from __future__ import annotations

from typing import Any

from tests.helpers import USDC, X_PRICE, Y_PRICE, X, Y


def test_rows_agree_with_the_clearinghouse(
    lens: Any,
    clearinghouse: Any,
    open_position: Any,
    open_account: Any,
    move_mark: Any,
    trader_id: int,
    maker_id: int,
    loser: Any,
) -> None:
    weak = open_account(loser, 60 * USDC)
    open_position(trader_id, maker_id, 100)
    open_position(maker_id, trader_id, 500, Y_PRICE, Y)
    open_position(weak, maker_id, 1_000, X_PRICE)
    move_mark(960_000)
    ids = [trader_id, weak, 1, 99]
    rows = lens.accounts(ids)
    assert [row.account for row in rows] == ids
    for row in rows:
        margin = clearinghouse.margin(row.account)
        assert row.cash == clearinghouse.cash(row.account)
        assert row.quotes == sum(clearinghouse.position(row.account, m).quote for m in (X, Y))
        assert [row.equity, row.initial, row.maintenance, row.notional] == list(margin)[:4]
    assert [row.active_markets for row in rows] == [0b11, 0b01, 0, 0]
    # $20 of equity below $24 of maintenance
    assert [row.is_liquidatable for row in rows] == [False, True, False, False]
    assert [tuple(row) for row in lens.balances(ids)] == [
        (row.cash, row.active_markets) for row in rows
    ]
    assert lens.equities(ids) == [row.equity for row in rows]
    assert [tuple(p) for p in lens.positions(X, ids)] == [
        (100, -100 * X_PRICE, 0, 0),
        (1_000, -1_000 * X_PRICE, 0, 0),
        (0, 0, 0, 0),
        (0, 0, 0, 0),
    ]
    assert [p.size for p in lens.positions(Y, ids)] == [-500, 0, 0, 0]


def test_no_accounts_give_no_rows(lens: Any) -> None:
    assert lens.accounts([]) == lens.positions(X, []) == []
    assert lens.balances([]) == lens.equities([]) == []
