"""Opposite positions of one owner's accounts close against each other at the mark."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import USDC, X_PRICE, X, Y, args, refused

NO_POSITION = "deleverager: nothing to net"


@pytest.fixture
def second(open_account: Any, trader: Any) -> int:
    return open_account(trader, 1_000 * USDC)


@pytest.fixture
def straddle(open_position: Any, trader_id: int, maker_id: int, second: int) -> tuple[int, int]:
    """The trader's own: 500 lots long, 200 short, against the maker."""
    open_position(trader_id, maker_id, 500)
    open_position(maker_id, second, 200)
    return trader_id, second


def test_as_far_as_the_smaller_one_goes(
    deleverager: Any, clearinghouse: Any, trader: Any, straddle: tuple[int, int], move_mark: Any
) -> None:
    long, short = straddle
    move_mark(X_PRICE * 98 // 100)
    equities = [clearinghouse.equity(account) for account in straddle]
    interest = clearinghouse.open_interest(X)
    receipt = deleverager.net(long, short, X, sender=trader)
    assert args(receipt, clearinghouse.Exchanged) == [
        {"market": X, "buyer": short, "seller": long, "size": 200, "quote": 200 * 980_000}
    ]
    assert clearinghouse.position(long, X).size == 300
    assert clearinghouse.position(short, X).size == 0
    # At the mark nobody gains; the short's profit is cash now.
    assert [clearinghouse.equity(account) for account in straddle] == equities
    assert clearinghouse.cash(short) == 1_004 * USDC
    assert clearinghouse.open_interest(X) == interest - 200
    with refused(NO_POSITION):
        deleverager.net(long, short, X, sender=trader)


def test_only_ones_own_and_only_opposite(
    deleverager: Any,
    clearinghouse: Any,
    trader: Any,
    maker: Any,
    maker_id: int,
    straddle: tuple[int, int],
) -> None:
    long, short = straddle
    for pair in ((short, long), (long, long), (short, short)):
        with refused(NO_POSITION):
            deleverager.net(*pair, X, sender=trader)
    with refused(NO_POSITION):
        deleverager.net(long, short, Y, sender=trader)
    with refused("oracle: stale price"):
        deleverager.net(long, short, 64, sender=trader)
    for pair in ((long, maker_id), (maker_id, short)):
        for sender in (trader, maker):
            with refused("deleverager: not your account"):
                deleverager.net(*pair, X, sender=sender)
    with refused("deleverager: not your account"):
        deleverager.net(long, 99, X, sender=trader)


def test_not_at_a_stale_price(
    deleverager: Any, clearinghouse: Any, trader: Any, straddle: tuple[int, int], wait: Any
) -> None:
    wait(3_700)
    with refused("oracle: stale price"):
        deleverager.net(*straddle, X, sender=trader)


def test_a_side_below_zero_goes_the_way_of_any_bankrupt(
    deleverager: Any,
    clearinghouse: Any,
    open_account: Any,
    open_position: Any,
    trader: Any,
    maker_id: int,
    second: int,
    move_mark: Any,
) -> None:
    """A loser's hole cannot be left in an account by closing it against one's own winner."""
    long = open_account(trader, 10 * USDC)
    open_position(long, maker_id, 200)
    open_position(maker_id, second, 200)
    move_mark(X_PRICE * 94 // 100)
    assert clearinghouse.equity(long) == -2 * USDC
    with refused("deleverager: below zero"):
        deleverager.net(long, second, X, sender=trader)
