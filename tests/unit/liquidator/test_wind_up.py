"""The end of a bankrupt account: every leg to the estate of its side, its cash at exactly 0."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import USDC, X, Y, args, truncated

SIZE, COLLATERAL = 1_000, 60 * USDC


@pytest.fixture
def liquidate(liquidator: Any, keeper: Any) -> Any:
    return lambda account, steps=20: liquidator.liquidate(account, steps, sender=keeper)


@pytest.mark.parametrize("is_long", [True, False])
def test_a_leg_moves_at_its_bankruptcy_price(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    deleverager: Any,
    open_account: Any,
    open_position: Any,
    move_mark: Any,
    loser: Any,
    winner_id: int,
    is_long: bool,
) -> None:
    account = open_account(loser, COLLATERAL)
    open_position(*((account, winner_id) if is_long else (winner_id, account)), SIZE)
    move_mark(930_000 if is_long else 1_070_000)  # $10 below zero
    receipt = liquidate(account)
    quote = (940_000 if is_long else 1_060_000) * SIZE
    assert args(receipt, liquidator.LegWoundUp) == [
        {
            "account": account,
            "market": X,
            "is_long": is_long,
            "size": SIZE,
            "quote": quote,
            "share": -10 * USDC,
        }
    ]
    assert args(receipt, liquidator.WoundUp) == [
        {"account": account, "equity": -10 * USDC, "insurance": 0, "uninsured": 0}
    ]
    assert args(receipt, deleverager.LotAdded) == [
        {
            "market": X,
            "is_long": is_long,
            "bankrupt": account,
            "size": SIZE,
            "worth": -quote if is_long else quote,
        }
    ]
    assert (clearinghouse.cash(account), clearinghouse.active_markets(account)) == (0, 0)
    # the winner took the other side over at that price: its whole profit is $60
    assert clearinghouse.cash(winner_id) == 10_060 * USDC
    assert clearinghouse.uninsured() == 0


def test_a_deficit_is_shared_by_unrealised_loss(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    oracle: Any,
    reporter: Any,
    wait: Any,
    open_account: Any,
    open_position: Any,
    move_mark: Any,
    loser: Any,
    winner_id: int,
) -> None:
    # $100; long 10 at $100 twice, marks $80 and $95: -$150, so X closes at $92 and Y at $98
    move_mark(10_000, Y)
    account = open_account(loser, 100 * USDC)
    open_position(account, winner_id, 1_000)
    open_position(account, winner_id, 100_000, 10_000, Y)
    wait(3)
    oracle.update([800_000, 9_500], sender=reporter)
    receipt = liquidate(account)
    legs = args(receipt, liquidator.LegWoundUp)
    assert [(e["market"], e["quote"], e["share"]) for e in legs] == [
        (X, 920 * USDC, -120 * USDC),
        (Y, 980 * USDC, -30 * USDC),
    ]
    assert clearinghouse.cash(account) == 0
    assert clearinghouse.frozen_markets() == 0


def test_a_leg_in_profit_moves_at_the_mark_and_the_last_loser_takes_the_remainder(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    oracle: Any,
    reporter: Any,
    wait: Any,
    owner: Any,
    venue: Any,
    open_account: Any,
    open_position: Any,
    loser: Any,
    winner_id: int,
) -> None:
    account = open_account(loser, 100 * USDC)
    open_position(account, winner_id, 997)
    open_position(winner_id, account, 1_009, 200_000, Y)  # short: gains as Y falls
    wait(3)
    oracle.update([850_001, 199_999], sender=reporter)
    equity = clearinghouse.equity(account)
    assert equity == 100 * USDC - 997 * 149_999 + 1_009
    legs = args(liquidate(account), liquidator.LegWoundUp)
    assert [(e["market"], e["share"]) for e in legs] == [(X, equity), (Y, 0)]
    assert [e["quote"] for e in legs] == [997 * 850_001 - equity, 1_009 * 199_999]
    assert clearinghouse.cash(account) == 0


def test_two_losses_split_truncated_and_the_last_takes_what_is_left(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    oracle: Any,
    reporter: Any,
    wait: Any,
    open_account: Any,
    open_position: Any,
    loser: Any,
    winner_id: int,
) -> None:
    account = open_account(loser, 100 * USDC)
    open_position(account, winner_id, 997)
    open_position(account, winner_id, 1_009, 200_000, Y)
    wait(3)
    oracle.update([850_001, 180_007], sender=reporter)
    losses = [997 * 149_999, 1_009 * 19_993]
    equity = 100 * USDC - sum(losses)
    first = truncated(equity * losses[0], sum(losses))
    legs = args(liquidate(account), liquidator.LegWoundUp)
    assert [e["share"] for e in legs] == [first, equity - first]
    assert clearinghouse.cash(account) == 0


@pytest.mark.parametrize("trigger", [0, 1])
def test_an_unfillable_account_is_wound_up_with_its_surplus_if_the_trigger_says_so(
    liquidator: Any,
    liquidate: Any,
    clearinghouse: Any,
    deleverager: Any,
    owner: Any,
    open_account: Any,
    open_position: Any,
    move_mark: Any,
    loser: Any,
    winner_id: int,
    trigger: int,
) -> None:
    liquidator.set_policy(trigger, 100_000, sender=owner)
    account = open_account(loser, COLLATERAL)
    open_position(account, winner_id, SIZE)
    move_mark(960_000)  # $20 left, $24 needed, and no bid at all
    receipt = liquidate(account)
    (event,) = args(receipt, liquidator.Liquidated)
    assert event["unfillable"]
    if trigger == 0:
        assert clearinghouse.position(account, X).size == SIZE
        assert not args(receipt, liquidator.WoundUp)
        return
    assert [e["equity"] for e in args(receipt, liquidator.WoundUp)] == [20 * USDC]
    (fill,) = args(receipt, deleverager.Deleveraged)
    # at $94, below the mark: the winner gains $20 against it
    assert (fill["quote"], fill["haircut"]) == (940 * USDC, -20 * USDC)


def test_an_account_without_legs_leaves_its_debt_to_insurance_and_then_to_nobody(
    project: Any,
    bare: Any,
    usdc: Any,
    oracle: Any,
    score: Any,
    owner: Any,
    trader: Any,
    keeper: Any,
) -> None:
    # A venue of its own whose deleverager is an account, which takes $5 more than the trader has.
    house = owner.deploy(project.Clearinghouse, usdc, oracle)
    book = owner.deploy(project.OrderBook, house)
    own = owner.deploy(project.InsuranceVault, house, usdc)
    adl = owner.deploy(project.Deleverager, house, oracle, own, score)
    liq = owner.deploy(project.Liquidator, house, book, own, adl)
    house.wire(book, liq, bare.adl, own, owner, sender=owner)
    house.open_account(sender=trader)
    house.open_account(sender=trader)
    usdc.approve(own, 2 * USDC, sender=owner)
    own.contribute(2 * USDC, sender=owner)
    house.transfer_cash(3, 4, 5 * USDC, sender=bare.adl)
    receipt = liq.liquidate(3, 10, sender=keeper)
    assert args(receipt, liq.WoundUp) == [
        {"account": 3, "equity": -5 * USDC, "insurance": 2 * USDC, "uninsured": 3 * USDC}
    ]
    assert (house.cash(3), own.available(), house.uninsured()) == (0, 0, 3 * USDC)
