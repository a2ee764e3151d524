"""Isolated accounts: one market, collateral of their own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import (
    IOC,
    MAKER_MARGIN,
    MAKER_REFUSED,
    USDC,
    X_PRICE,
    Y_PRICE,
    X,
    Y,
    args,
    refused,
)

TRADER = 1


@pytest.fixture
def isolated(clearinghouse: Any, owners: Any, trader: Any) -> int:
    """One of the trader's, in Y, with $100."""
    clearinghouse.open_isolated_account(Y, sender=trader)
    account = clearinghouse.account_count()
    owners[account] = trader
    clearinghouse.deposit(account, 100 * USDC, sender=trader)
    return account


@pytest.mark.parametrize("market", [X, Y])
def test_it_is_a_traders_account_bound_to_a_market(
    clearinghouse: Any, trader: Any, trader_id: int, market: int
) -> None:
    receipt = clearinghouse.open_isolated_account(market, sender=trader)
    account = clearinghouse.account_count()
    assert args(receipt, clearinghouse.AccountOpened) == [
        {"account": account, "owner": trader.address, "kind": TRADER}
    ]
    assert args(receipt, clearinghouse.IsolatedTo) == [{"account": account, "market": market}]
    assert clearinghouse.isolated_to(account) == market + 1
    assert clearinghouse.account_owner(account) == trader
    assert (clearinghouse.account_kind(account), clearinghouse.is_trader(account)) == (TRADER, True)
    assert clearinghouse.isolated_to(trader_id) == 0


@pytest.mark.parametrize("market", [2, 2**256 - 1])
def test_an_unknown_market_is_refused(clearinghouse: Any, trader: Any, market: int) -> None:
    with refused("clearinghouse: unknown market"):
        clearinghouse.open_isolated_account(market, sender=trader)


def test_it_trades_in_its_market_and_in_no_other(
    clearinghouse: Any,
    order_book: Any,
    place: Any,
    isolated: int,
    maker_id: int,
) -> None:
    place(maker_id, False, 1_000, Y_PRICE, Y)
    place(isolated, True, 1_000, Y_PRICE, Y, IOC)
    assert clearinghouse.position(isolated, Y).size == 1_000
    assert (clearinghouse.isolated_to(isolated), clearinghouse.active_markets(isolated)) == (2, 2)
    place(maker_id, False, 100)
    with refused("margin: account is isolated"):
        place(isolated, True, 100)
    # as a maker it is passed by
    place(isolated, True, 100, X_PRICE - 1)
    receipt = place(maker_id, False, 100, X_PRICE - 1, tif=IOC)
    assert [e["reason"] for e in args(receipt, order_book.OrderCancelled)] == [MAKER_MARGIN]
    # what it has there it may close
    place(maker_id, True, 1_000, Y_PRICE, Y)
    place(isolated, False, 1_000, Y_PRICE, Y, IOC)
    assert (clearinghouse.cash(isolated), clearinghouse.isolated_to(isolated)) == (100 * USDC, 2)


def test_the_clearinghouse_itself_refuses_it_elsewhere(bare: Any, loser: Any, usdc: Any) -> None:
    bare.house.open_isolated_account(Y, sender=loser)
    account = bare.house.account_count()
    usdc.approve(bare.house, USDC, sender=loser)
    bare.house.deposit(account, USDC, sender=loser)
    with refused("margin: account is isolated"):
        bare.fill(True, 1, X_PRICE, taker=account)
    assert bare.outcome(True, 1, X_PRICE, maker=account) == MAKER_REFUSED
    bare.fill(True, 1, Y_PRICE, taker=account, market=Y)


def test_its_loss_stops_at_its_own_collateral(
    clearinghouse: Any,
    liquidator: Any,
    isolated: int,
    open_position: Any,
    move_mark: Any,
    keeper: Any,
    trader_id: int,
    maker_id: int,
) -> None:
    # $4,000 of Y at 50x with $100, while the same owner has $10,000 beside it
    open_position(isolated, maker_id, 20_000, Y_PRICE, Y)
    move_mark(190_000, Y)
    assert clearinghouse.equity(isolated) == -100 * USDC
    assert liquidator.is_liquidatable(isolated) and not liquidator.is_liquidatable(trader_id)
    liquidator.liquidate(isolated, 200, sender=keeper)
    assert clearinghouse.cash(isolated) == 0
    assert clearinghouse.cash(trader_id) == 10_000 * USDC
    assert clearinghouse.cash(maker_id) == 10_100 * USDC  # closed at the bankruptcy price


def test_none_before_the_venue_is_wired(project: Any, owner: Any, usdc: Any, oracle: Any) -> None:
    fresh = owner.deploy(project.Clearinghouse, usdc, oracle)
    with refused("clearinghouse: unknown market"):
        fresh.open_isolated_account(X, sender=owner)
