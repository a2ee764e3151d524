"""What the order book may ask for: margin after a fill, to the micro-USDC, for both sides."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import (
    FILLED,
    MAKER_REFUSED,
    MAKER_WAITS,
    MAX_SIZE,
    SAME_OWNER,
    USDC,
    X_PRICE,
    Mirror,
    X,
    Y,
    refused,
    unchanged,
)

POOR = 60 * USDC
CAPPED = 4
"""Plus 256 times the lots that the cap leaves."""


@pytest.fixture
def poor(bare: Any, usdc: Any, loser: Any) -> int:
    """An account with $60."""
    bare.house.open_account(sender=loser)
    usdc.approve(bare.house, 2**256 - 1, sender=loser)
    account = bare.house.account_count()
    bare.house.deposit(account, POOR, sender=loser)
    return account


def test_a_fill_trades_at_the_price_on_both_sides(bare: Any) -> None:
    mirror = Mirror(cash=10_000 * USDC)
    for size, price in [(30, X_PRICE), (-13, X_PRICE + 7), (-40, X_PRICE - 3), (23, X_PRICE)]:
        bare.fill(size > 0, abs(size), price)
        mirror.trade(size, price)
        assert tuple(bare.house.position(bare.trader, X)) == (mirror.size, mirror.quote, 0, 0)
        assert bare.house.cash(bare.trader) == mirror.cash
    assert mirror.size == 0


@pytest.mark.parametrize("short", [0, 1], ids=["exactly enough", "a micro-USDC short"])
def test_initial_margin_is_rounded_up(
    bare: Any, usdc: Any, loser: Any, move_mark: Any, short: int
) -> None:
    # 11 lots at $100.0003, 20x: 11 * 1,000,003 / 20 = 550,001.65
    move_mark(X_PRICE + 3)
    bare.house.open_account(sender=loser)
    usdc.approve(bare.house, USDC, sender=loser)
    account = bare.house.account_count()
    bare.house.deposit(account, 550_002 - short, sender=loser)
    if short:
        with refused("margin: below initial margin"):
            bare.fill(True, 11, X_PRICE + 3, taker=account)
        assert bare.outcome(True, 11, X_PRICE + 3, maker=account) == MAKER_REFUSED
    else:
        assert bare.outcome(True, 11, X_PRICE + 3, maker=account) == FILLED
        bare.fill(True, 11, X_PRICE + 3, taker=account)


def test_a_price_off_the_mark_counts_against_who_pays_it(bare: Any, poor: int) -> None:
    # 1,000 lots need $50 of the $60; at one cent over the mark they cost $10 at once
    bare.fill(True, 1_000, X_PRICE + 10_000, taker=poor)
    assert bare.house.equity(poor) == 50 * USDC


def test_a_price_a_tick_further_off_is_refused(bare: Any, poor: int) -> None:
    with refused("margin: below initial margin"):
        bare.fill(True, 1_000, X_PRICE + 10_001, taker=poor)


@pytest.fixture
def weak(bare: Any, poor: int, move_mark: Any) -> int:
    """Long 1,000 lots from $100 with $60, mark $96: equity $20, initial $48, maintenance $24."""
    bare.fill(True, 1_000, X_PRICE, taker=poor)
    move_mark(960_000)
    return poor


@pytest.mark.parametrize(
    ("size", "price", "reason"),
    [
        (500, 930_000, "margin: reducing would worsen the margin"),  # $5 of $12 < $20 of $24
        (500, 919_999, "margin: reducing would end below zero"),  # by $0.0005
        (1_000, 939_999, "margin: reducing would end below zero"),  # bankrupt at $94
        (1_500, 960_000, "margin: below initial margin"),  # a flip: $24 for $20
    ],
)
def test_who_is_weak_may_not_do_harm(
    bare: Any, weak: int, size: int, price: int, reason: str
) -> None:
    with refused(reason):
        bare.fill(False, size, price, taker=weak)


@pytest.mark.parametrize(("size", "price"), [(500, 950_000), (1_000, 960_000), (1_300, 960_000)])
def test_who_is_weak_may_get_better(bare: Any, weak: int, size: int, price: int) -> None:
    # $15 of $12 maintenance; flat with $20; short 300 lots, which need $14.40
    bare.fill(False, size, price, taker=weak)
    assert bare.house.position(weak, X).size == 1_000 - size


def test_the_margin_ratio_may_stay_exactly_as_it_was(bare: Any, weak: int) -> None:
    # 500 lots $0.02 below the mark cost $10: $10 of $12 as $20 of $24
    bare.fill(False, 500, 940_000, taker=weak)
    assert bare.house.margin(weak).equity == 10 * USDC


def test_a_tick_below_that_is_refused(bare: Any, weak: int) -> None:
    with refused("margin: reducing would worsen the margin"):
        bare.fill(False, 500, 939_999, taker=weak)


def test_closing_at_the_bankruptcy_price_ends_at_nothing(bare: Any, weak: int) -> None:
    bare.fill(False, 1_000, 940_000, taker=weak)
    assert (bare.house.cash(weak), bare.house.position(weak, X).size) == (0, 0)


def test_adding_needs_initial_margin(bare: Any, weak: int) -> None:
    with refused("margin: below initial margin"):
        bare.fill(True, 1, 960_000, taker=weak)


def test_the_liquidated_side_is_exempt(bare: Any, weak: int) -> None:
    bare.fill(False, 1_000, 900_000, taker=weak, liquidated=True)
    assert bare.house.cash(weak) == -40 * USDC


def test_a_refused_maker_changes_nothing(bare: Any, poor: int) -> None:
    # $1,201 at 20x need $60.05
    with unchanged("a refused maker"):
        assert bare.outcome(True, 1_201, X_PRICE, maker=poor) == MAKER_REFUSED
        bare.fill(True, 1_201, X_PRICE, maker=poor)


def test_the_taker_is_asked_first(bare: Any, poor: int, stranger: Any) -> None:
    # Neither can: the maker must not lose its order to somebody who may not trade at all.
    bare.house.open_account(sender=stranger)
    with refused("margin: below initial margin"):
        bare.fill(True, 1_201, X_PRICE, taker=poor, maker=bare.house.account_count())


def test_two_accounts_of_one_owner_do_not_trade(bare: Any, trader: Any) -> None:
    bare.house.open_account(sender=trader)
    assert bare.outcome(True, 10, X_PRICE, maker=bare.house.account_count()) == SAME_OWNER


def test_a_stale_price_refuses_what_adds_risk_and_allows_what_reduces_it(
    bare: Any, wait: Any
) -> None:
    # trader +100, winner +50, maker -150
    bare.fill(True, 100, X_PRICE)
    bare.fill(True, 50, X_PRICE, taker=bare.winner)
    wait(3_700)
    with refused("oracle: stale price"):
        bare.fill(True, 1, X_PRICE, taker=bare.winner, maker=bare.trader)
    with refused("oracle: stale price"):  # a flip, against a maker who only reduces
        bare.fill(False, 101, X_PRICE)
    bare.fill(False, 40, X_PRICE)
    assert bare.house.position(bare.trader, X).size == 60


@pytest.mark.parametrize("price", [930_000, 940_012, 940_013])
@pytest.mark.parametrize("stale", [True, False])
def test_at_a_stale_price_meeting_initial_margin_is_not_enough(
    bare: Any, poor: int, wait: Any, price: int, stale: bool
) -> None:
    # $60 of $25; half of it at $93 leaves $25 of $12.50, which is enough to add risk but less than
    # before in proportion; at $94 it is $30, the same but for an hour's funding of $0.0125 by then
    bare.fill(True, 1_000, X_PRICE, taker=poor)
    if stale:
        wait(3_700)
    if stale and price != 940_013:
        with refused("margin: reducing would worsen the margin"):
            bare.fill(False, 500, price, taker=poor)
        return
    bare.fill(False, 500, price, taker=poor)
    assert bare.house.position(poor, X).size == 500


def test_a_maker_who_would_add_risk_at_a_stale_price_is_not_asked_to(
    bare: Any, wait: Any, chain: Any
) -> None:
    bare.fill(True, 100, X_PRICE)
    wait(3_700)
    chain.mine()
    assert bare.outcome(False, 40, X_PRICE, maker=bare.winner) == MAKER_WAITS
    assert bare.outcome(False, 40, X_PRICE) == FILLED


def test_a_maker_who_would_add_risk_while_a_loss_is_uninsured_is_not_asked_to(bare: Any) -> None:
    bare.fill(True, 100, X_PRICE)
    bare.house.write_off(bare.winner, 1, sender=bare.waterfall)
    assert bare.outcome(False, 40, X_PRICE, maker=bare.winner) == MAKER_WAITS
    assert bare.outcome(False, 40, X_PRICE) == FILLED


def test_at_most_eight_markets_an_account(bare: Any, oracle: Any, owner: Any) -> None:
    for _ in range(2, 9):
        oracle.add_market(1_000, sender=owner)
        bare.governor.add_market("Z", 0, 10, 0, sender=owner)
    # Two makers share the legs, so that only the trader has eight.
    for market in range(8):
        other = bare.maker if market < 4 else bare.winner
        bare.fill(True, 1, oracle.mark(market), market=market, maker=other)
    with refused("margin: too many positions"):
        bare.fill(True, 1, 1_000, market=8)
    bare.fill(False, 1, 200_000, market=Y)
    bare.fill(True, 1, 1_000, market=8)


def test_no_position_passes_the_largest(bare: Any, usdc: Any, maker: Any, trader: Any) -> None:
    for owner, account in ((maker, bare.maker), (trader, bare.trader)):
        usdc.mint(owner, 2**80, sender=owner)
        bare.house.deposit(account, 2**80, sender=owner)
    bare.fill(True, MAX_SIZE, X_PRICE)
    # Nobody's position is larger than the open interest, of which nothing is left to both.
    assert bare.outcome(True, 1, X_PRICE) == CAPPED
    assert bare.outcome(True, 1, X_PRICE, maker=bare.winner) == CAPPED
    # Each closes all that it has, and nothing is left to open the other side.
    assert bare.outcome(False, 1, X_PRICE) == FILLED
    assert bare.outcome(False, MAX_SIZE + 1, X_PRICE, maker=bare.winner) == CAPPED + 256 * MAX_SIZE


@pytest.mark.parametrize("role", ["owner", "stranger", "trader"])
def test_only_the_book_may_ask(
    clearinghouse: Any, actors: Any, role: str, trader_id: int, maker_id: int
) -> None:
    with refused("clearinghouse: order book only"):
        clearinghouse.fill(X, trader_id, maker_id, True, 1, 1, False, sender=actors[role])
