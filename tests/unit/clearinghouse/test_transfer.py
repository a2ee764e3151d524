"""Transfers between one's own accounts: as far as a withdrawal could go."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import MAX_UINT, USDC, X_PRICE, X, args, refused

BEYOND = "margin: withdrawal beyond free margin"


@pytest.fixture
def second(open_account: Any, trader: Any) -> int:
    return open_account(trader)


def test_money_moves_between_ones_own_accounts(
    clearinghouse: Any, trader: Any, trader_id: int, second: int
) -> None:
    held = clearinghouse.held()
    receipt = clearinghouse.transfer(trader_id, second, 7, sender=trader)
    assert args(receipt, clearinghouse.CashMoved) == [
        {
            "source": trader_id,
            "to": second,
            "amount": 7,
            "source_cash": 10_000 * USDC - 7,
            "to_cash": 7,
        }
    ]
    clearinghouse.transfer(second, trader_id, 7, sender=trader)
    assert [clearinghouse.cash(a) for a in (trader_id, second)] == [10_000 * USDC, 0]
    assert clearinghouse.held() == held


def test_to_and_from_an_isolated_account(clearinghouse: Any, trader: Any, trader_id: int) -> None:
    clearinghouse.open_isolated_account(X, sender=trader)
    account = clearinghouse.account_count()
    clearinghouse.transfer(trader_id, account, 5, sender=trader)
    clearinghouse.transfer(account, trader_id, 2, sender=trader)
    assert clearinghouse.cash(account) == 3


def test_what_must_remain_is_as_for_a_withdrawal(
    clearinghouse: Any,
    open_position: Any,
    trader: Any,
    trader_id: int,
    maker_id: int,
    second: int,
) -> None:
    open_position(trader_id, maker_id, 1_000)  # 10% of $1,000
    with refused(BEYOND):
        clearinghouse.transfer(trader_id, second, 9_900 * USDC + 1, sender=trader)
    clearinghouse.transfer(trader_id, second, 9_900 * USDC, sender=trader)
    assert clearinghouse.equity(trader_id) == 100 * USDC


@pytest.mark.parametrize("amount", [10_000 * USDC + 1, 2**127, 2**255, MAX_UINT])
def test_more_than_there_is_is_refused(
    clearinghouse: Any, trader: Any, trader_id: int, second: int, amount: int
) -> None:
    with refused(BEYOND):
        clearinghouse.transfer(trader_id, second, amount, sender=trader)


def test_nothing_and_to_itself_are_refused(
    clearinghouse: Any, trader: Any, trader_id: int, second: int
) -> None:
    with refused("clearinghouse: amount is zero"):
        clearinghouse.transfer(trader_id, second, 0, sender=trader)
    with refused("ledger: transfer to itself"):
        clearinghouse.transfer(trader_id, trader_id, 1, sender=trader)


def test_both_accounts_must_be_the_callers(
    clearinghouse: Any,
    trader: Any,
    stranger: Any,
    trader_id: int,
    maker_id: int,
    second: int,
) -> None:
    for source, to, who in [
        (trader_id, maker_id, trader),
        (maker_id, trader_id, trader),
        (trader_id, second, stranger),
        (trader_id, 1, trader),
        (1, trader_id, trader),
    ]:
        with refused("clearinghouse: not your account"):
            clearinghouse.transfer(source, to, 1, sender=who)
    for source, to in [(trader_id, 99), (99, trader_id), (0, trader_id)]:
        with refused("clearinghouse: unknown account"):
            clearinghouse.transfer(source, to, 1, sender=trader)


def test_a_stale_price_stops_an_account_with_a_position(
    clearinghouse: Any,
    open_position: Any,
    wait: Any,
    trader: Any,
    trader_id: int,
    maker_id: int,
    second: int,
) -> None:
    clearinghouse.transfer(trader_id, second, 5, sender=trader)
    open_position(trader_id, maker_id, 100)
    wait(3_700)
    with refused("oracle: stale price"):
        clearinghouse.transfer(trader_id, second, 1, sender=trader)
    clearinghouse.transfer(second, trader_id, 5, sender=trader)  # into it is fine


def test_nothing_moves_out_of_or_into_an_account_in_a_round(bare: Any, trader: Any) -> None:
    bare.house.open_account(sender=trader)
    second = bare.house.account_count()
    bare.house.transfer(bare.trader, second, 5, sender=trader)
    bare.fill(True, 100, X_PRICE)
    bare.house.freeze(X, True, sender=bare.adl)
    for source, to in [(bare.trader, second), (second, bare.trader)]:
        with refused("clearinghouse: adl round open"):
            bare.house.transfer(source, to, 1, sender=trader)
    bare.house.freeze(X, False, sender=bare.adl)
    bare.house.transfer(second, bare.trader, 1, sender=trader)
