"""Rounds: who is closed, in which order, at which price, and where the money of the lot goes.

Unless a test says otherwise the bankrupt is long 1,000 lots of X from $100 with $60: its bankruptcy
price is $94, and at a mark of $90 it lacks $40.
"""

from __future__ import annotations

from typing import Any

import pytest
from ape.exceptions import ContractLogicError

from tests.helpers import USDC, VAULT, X_PRICE, X, Y, args, ceil_div, refused

SIZE, COLLATERAL = 1_000, 60 * USDC
BANKRUPT, MARK = 940_000, 900_000
ONE = 10**18
PREVIOUS_MARK = 1


@pytest.fixture
def bankrupt(open_account: Any, loser: Any) -> int:
    return open_account(loser, COLLATERAL)


@pytest.fixture
def liquidate(liquidator: Any, keeper: Any) -> Any:
    return lambda account, steps=200: liquidator.liquidate(account, steps, sender=keeper)


@pytest.fixture
def advance(deleverager: Any, keeper: Any) -> Any:
    return lambda steps=1: deleverager.advance(steps, sender=keeper)


@pytest.fixture
def close_at_previous_mark(deleverager: Any, score: Any, owner: Any) -> None:
    deleverager.set_policy(score, PREVIOUS_MARK, sender=owner)


def closed(receipts: Any, deleverager: Any) -> list[tuple[int, int, int]]:
    """Winner, lots and rank of each fill."""
    receipts = receipts if isinstance(receipts, list) else [receipts]
    fills = [e for r in receipts for e in args(r, deleverager.Deleveraged)]
    return [(e["winner"], e["size"], e["rank"]) for e in fills]


def settled(receipt: Any, deleverager: Any) -> dict[str, int]:
    (event,) = args(receipt, deleverager.LotSettled)
    return {k: event[k] for k in ("unfilled", "surplus", "residual", "insurance", "uninsured")}


# --- One fill ------------------------------------------------------------------------------------


def test_a_fill_and_its_round_are_receipted_exactly(
    deleverager: Any,
    liquidate: Any,
    clearinghouse: Any,
    oracle: Any,
    bankrupt: int,
    open_position: Any,
    move_mark: Any,
    winner_id: int,
) -> None:
    open_position(bankrupt, winner_id, SIZE)
    move_mark(MARK)
    # short 1,000 from $100 with $10,000, now $10,100: entry notional / equity
    score = 1_000 * USDC * ONE // (10_100 * USDC)
    assert deleverager.score(winner_id, X) == score
    receipt = liquidate(bankrupt)
    assert args(receipt, deleverager.Deleveraged) == [
        {
            "round": 1,
            "bankrupt": bankrupt,
            "winner": winner_id,
            "market": X,
            "is_long": True,
            "epoch": oracle.epoch(),
            "size": SIZE,
            "quote": 940 * USDC,
            "price": BANKRUPT * 10**6,
            "mark": MARK,
            "previous_mark": X_PRICE,
            "lot_size": SIZE,
            "lot_worth": -940 * USDC,
            "score": score,
            "rank": 1,
            "haircut": 40 * USDC,
            "exact": True,
        }
    ]
    nothing = {"surplus": 0, "residual": 0, "insurance": 0, "uninsured": 0}
    assert args(receipt, deleverager.RoundOpened) == [
        {
            "round": 1,
            "market": X,
            "is_long": True,
            "epoch": oracle.epoch(),
            "mark": MARK,
            "previous_mark": X_PRICE,
            "needed": SIZE,
        }
    ]
    assert settled(receipt, deleverager) == {"unfilled": 0} | nothing
    assert args(receipt, deleverager.RoundClosed) == [
        {"round": 1, "market": X, "is_long": True, "needed": SIZE, "taken": SIZE}
        | nothing
        | {"netted": 0, "overshoot": 0, "absolute_overshoot": 0, "unserved": 0}
        | {"is_complete": True}
    ]
    assert clearinghouse.cash(winner_id) == 10_060 * USDC
    assert (clearinghouse.frozen_markets(), oracle.pinned(X)) == (0, False)
    assert not deleverager.is_busy()


@pytest.mark.parametrize("is_long", [True, False])
def test_the_quote_is_taken_from_what_is_left_and_the_winner_bears_the_unit(
    deleverager: Any,
    liquidate: Any,
    clearinghouse: Any,
    open_account: Any,
    open_position: Any,
    move_mark: Any,
    loser: Any,
    winner_id: int,
    trader_id: int,
    is_long: bool,
) -> None:
    # 37 lots with $2.000001: a lot's bankruptcy price is off tick
    account = open_account(loser, 2_000_001)
    for other, size in ((winner_id, 20), (trader_id, 17)):
        open_position(*((account, other) if is_long else (other, account)), size)
    move_mark(MARK if is_long else 1_100_000)
    worth = 37 * X_PRICE + (-2_000_001 if is_long else 2_000_001)
    first = ceil_div(worth * 20, 37) if is_long else worth * 20 // 37
    fills = args(liquidate(account), deleverager.Deleveraged)
    # the larger position for the same money ranks first, and the last fill ends at exactly 0
    assert [(e["winner"], e["quote"]) for e in fills] == [
        (winner_id, first),
        (trader_id, worth - first),
    ]
    assert worth * 20 % 37 != 0
    estate = clearinghouse.estate(X, is_long)
    assert (clearinghouse.cash(estate), clearinghouse.position(estate, X).size) == (0, 0)


# --- Order ---------------------------------------------------------------------------------------


@pytest.fixture
def queue(
    open_account: Any,
    open_position: Any,
    bankrupt: int,
    actors: Any,
    accounts: Any,
    venue: Any,
    trader_id: int,
) -> list[int]:
    """Shorts from $100 and the bankrupt's 1,000 lots against them: two alike, one of twice their
    size at the same score, one with the highest score, and the trader with the lowest."""
    owners = [actors[role] for role in ("keeper", "reporter", "owner", "stranger")]
    terms = [(200, 100), (200, 100), (400, 200), (100, 20)]
    ids = [
        open_account(owner, dollars * USDC)
        for owner, (_, dollars) in zip(owners, terms, strict=True)
    ]
    # The lists of holders are in another order than the queue.
    for account, (size, _) in zip(ids, terms, strict=True):
        open_position(bankrupt, account, size)
    open_position(bankrupt, trader_id, 100)
    return ids


def test_score_then_profit_then_the_lower_id_decide(
    deleverager: Any,
    liquidate: Any,
    queue: list[int],
    bankrupt: int,
    move_mark: Any,
    trader_id: int,
) -> None:
    one, other, double, highest = queue
    move_mark(MARK)
    scores = [deleverager.score(a, X) for a in (highest, double, one, other, trader_id)]
    assert scores == sorted(scores, reverse=True)
    assert scores[1] == scores[2] == scores[3]
    assert closed(liquidate(bankrupt), deleverager) == [
        (highest, 100, 1),
        (double, 400, 2),
        (one, 200, 3),
        (other, 200, 4),
        (trader_id, 100, 5),
    ]


def test_one_step_at_a_time_closes_the_same(
    deleverager: Any,
    liquidate: Any,
    advance: Any,
    queue: list[int],
    bankrupt: int,
    move_mark: Any,
    chain: Any,
) -> None:
    move_mark(MARK)
    here = chain.snapshot()
    at_once = args(liquidate(bankrupt), deleverager.Deleveraged)
    chain.restore(here)
    receipts = [liquidate(bankrupt, 1)]
    assert deleverager.is_busy()
    while deleverager.is_busy():
        receipts.append(advance(1))
    assert len(receipts) > 10  # 5 holders, 5 fills
    step_by_step = [e for r in receipts for e in args(r, deleverager.Deleveraged)]
    assert step_by_step == at_once


def test_the_last_one_in_the_queue_is_closed_in_part_and_who_is_behind_is_untouched(
    deleverager: Any,
    liquidate: Any,
    clearinghouse: Any,
    open_account: Any,
    open_position: Any,
    move_mark: Any,
    loser: Any,
    winner_id: int,
    trader_id: int,
    maker_id: int,
) -> None:
    account = open_account(loser, 30 * USDC)
    open_position(account, winner_id, 500)
    open_position(maker_id, winner_id, 100)
    open_position(maker_id, trader_id, 300)
    move_mark(MARK)
    assert closed(liquidate(account), deleverager) == [(winner_id, 500, 1)]
    assert clearinghouse.position(winner_id, X).size == -100
    assert clearinghouse.position(trader_id, X).size == -300


def test_more_winners_than_one_scan_keeps_are_all_found_in_order(
    deleverager: Any,
    liquidate: Any,
    open_account: Any,
    place: Any,
    bankrupt: int,
    move_mark: Any,
    actors: Any,
    winner_id: int,
) -> None:
    ids = []
    place(bankrupt, True, SIZE)
    # 17 and the winner: the less money, the higher the score, and the best come last
    for i in range(17):
        ids.append(open_account(actors["stranger"], (100 - i) * USDC))
        place(ids[-1], False, 50)
    place(winner_id, False, 150)
    move_mark(MARK)
    expected = [(account, 50, rank) for rank, account in enumerate(reversed(ids), 1)]
    assert closed(liquidate(bankrupt), deleverager) == [*expected, (winner_id, 150, 18)]


# --- Who is eligible -----------------------------------------------------------------------------


def test_who_is_not_in_profit_at_the_close_price_is_passed_by(
    deleverager: Any,
    liquidate: Any,
    clearinghouse: Any,
    open_position: Any,
    bankrupt: int,
    move_mark: Any,
    winner_id: int,
    trader_id: int,
    maker_id: int,
) -> None:
    # The trader is short from $94: in profit at the mark of $90, not at the close price of $94.
    open_position(bankrupt, winner_id, 400)
    open_position(bankrupt, maker_id, 600)
    move_mark(BANKRUPT)
    open_position(maker_id, trader_id, 600)
    move_mark(MARK)
    receipt = liquidate(bankrupt)
    assert closed(receipt, deleverager) == [(winner_id, 400, 1)]
    assert clearinghouse.position(trader_id, X).size == -600
    # 600 lots stay in the estate; their $0.04 each nobody pays
    assert settled(receipt, deleverager) == {
        "unfilled": 600,
        "surplus": 0,
        "residual": 24 * USDC,
        "insurance": 0,
        "uninsured": 24 * USDC,
    }
    estate = clearinghouse.estate(X, True)
    assert clearinghouse.position(estate, X).size == 600
    assert clearinghouse.equity(estate) == 0
    assert clearinghouse.uninsured() == 24 * USDC


@pytest.mark.parametrize(
    ("loss", "bears"),
    # equity of the winner: $100 + $100 in X - the loss in Y; a lot costs it $0.04
    [(180, 500), (160, SIZE), (190, 250), (200, 0)],
)
def test_a_winner_who_can_bear_only_part_is_closed_in_part(
    deleverager: Any,
    liquidate: Any,
    clearinghouse: Any,
    oracle: Any,
    reporter: Any,
    wait: Any,
    open_account: Any,
    open_position: Any,
    bankrupt: int,
    actors: Any,
    maker_id: int,
    insure: Any,
    loss: int,
    bears: int,
) -> None:
    account = open_account(actors["stranger"], 100 * USDC)
    insure(15 * USDC)
    open_position(bankrupt, account, SIZE)
    open_position(account, maker_id, 10_000, 200_000, Y)  # 1 unit at $2,000
    wait(3)
    oracle.update([MARK, 200_000 - loss * 100], sender=reporter)
    receipt = liquidate(bankrupt)
    assert closed(receipt, deleverager) == ([(account, bears, 1)] if bears else [])
    residual = (SIZE - bears) * 40_000
    insurance = min(residual, 15 * USDC)
    assert clearinghouse.equity(account) == (200 - loss) * USDC - bears * 40_000 >= 0
    assert settled(receipt, deleverager) == {
        "unfilled": SIZE - bears,
        "surplus": 0,
        "residual": residual,
        "insurance": insurance,
        "uninsured": residual - insurance,
    }
    assert clearinghouse.uninsured() == residual - insurance


# --- At the previous mark ------------------------------------------------------------------------


def test_at_the_previous_mark_the_surplus_goes_to_the_vault(
    deleverager: Any,
    liquidate: Any,
    clearinghouse: Any,
    open_position: Any,
    bankrupt: int,
    move_mark: Any,
    winner_id: int,
    close_at_previous_mark: None,
) -> None:
    open_position(bankrupt, winner_id, SIZE)
    move_mark(970_000)  # $30 above zero
    move_mark(MARK)
    receipt = liquidate(bankrupt)
    (fill,) = args(receipt, deleverager.Deleveraged)
    assert (fill["quote"], fill["haircut"]) == (970 * USDC, 70 * USDC)
    assert settled(receipt, deleverager) == {
        "unfilled": 0,
        "surplus": 30 * USDC,
        "residual": 0,
        "insurance": 0,
        "uninsured": 0,
    }
    assert clearinghouse.cash(VAULT) == 30 * USDC
    assert clearinghouse.cash(winner_id) == 10_030 * USDC


@pytest.mark.parametrize("insured", [0, 4 * USDC, 25 * USDC])
def test_who_was_below_zero_at_the_previous_mark_leaves_a_residual(
    deleverager: Any,
    liquidate: Any,
    clearinghouse: Any,
    open_position: Any,
    bankrupt: int,
    move_mark: Any,
    insure: Any,
    winner_id: int,
    close_at_previous_mark: None,
    insured: int,
) -> None:
    if insured:
        insure(insured)
    open_position(bankrupt, winner_id, SIZE)
    move_mark(930_000)  # $10 below zero already
    move_mark(MARK)
    receipt = liquidate(bankrupt)
    paid = min(insured, 10 * USDC)
    assert settled(receipt, deleverager) == {
        "unfilled": 0,
        "surplus": 0,
        "residual": 10 * USDC,
        "insurance": paid,
        "uninsured": 10 * USDC - paid,
    }
    assert clearinghouse.uninsured() == 10 * USDC - paid
    assert clearinghouse.cash(VAULT) == insured - paid
    assert clearinghouse.cash(winner_id) == 10_070 * USDC


def test_a_surplus_repays_uninsured_loss_before_the_vault(
    deleverager: Any,
    liquidate: Any,
    clearinghouse: Any,
    open_account: Any,
    open_position: Any,
    move_mark: Any,
    bankrupt: int,
    actors: Any,
    winner_id: int,
    close_at_previous_mark: None,
) -> None:
    # $10 of loss nobody pays, then a second bankrupt who brings $30
    second = open_account(actors["stranger"], 60 * USDC)
    open_position(bankrupt, winner_id, SIZE)
    move_mark(930_000)
    open_position(second, winner_id, SIZE, 930_000)
    move_mark(MARK)
    first = liquidate(bankrupt)
    assert settled(first, deleverager)["uninsured"] == 10 * USDC
    move_mark(860_000)
    receipt = liquidate(second)  # -$10 at $86; +$30 at the previous mark of $90
    assert settled(receipt, deleverager)["surplus"] == 30 * USDC
    assert args(receipt, clearinghouse.Recovered)[0]["amount"] == 10 * USDC
    assert (clearinghouse.uninsured(), clearinghouse.cash(VAULT)) == (0, 20 * USDC)


def test_eligible_is_judged_at_the_previous_mark(
    deleverager: Any,
    liquidate: Any,
    clearinghouse: Any,
    open_position: Any,
    bankrupt: int,
    move_mark: Any,
    winner_id: int,
    maker_id: int,
    trader_id: int,
    close_at_previous_mark: None,
) -> None:
    # The trader is short from $96: a winner at $90, a loser at $97.
    open_position(bankrupt, maker_id, SIZE)
    move_mark(960_000)
    open_position(maker_id, trader_id, SIZE)
    move_mark(970_000)
    move_mark(MARK)
    receipt = liquidate(bankrupt)
    assert closed(receipt, deleverager) == []
    assert clearinghouse.position(trader_id, X).size == -SIZE
    assert settled(receipt, deleverager)["unfilled"] == SIZE


# --- While a round is open -----------------------------------------------------------------------


@pytest.fixture
def open_round(
    liquidate: Any,
    open_position: Any,
    bankrupt: int,
    move_mark: Any,
    deleverager: Any,
    winner_id: int,
    trader_id: int,
    maker_id: int,
) -> None:
    """One step into the round: 2 winners, and the maker long beside the bankrupt."""
    open_position(bankrupt, winner_id, 600)
    open_position(bankrupt, trader_id, 400)
    # The trader is short 700 and ranks first, but is not the first holder looked at.
    open_position(maker_id, trader_id, 300)
    move_mark(MARK)
    liquidate(bankrupt, 1)
    assert deleverager.is_busy()


def test_its_market_is_frozen_for_everyone_with_a_position(
    open_round: None,
    deleverager: Any,
    order_book: Any,
    clearinghouse: Any,
    liquidator: Any,
    place: Any,
    winner: Any,
    winner_id: int,
    maker: Any,
    maker_id: int,
    keeper: Any,
    open_account: Any,
    stranger: Any,
) -> None:
    assert clearinghouse.frozen_markets() == 0b01
    newcomer = open_account(stranger, USDC)
    place(newcomer, True, 1_000, 200_000, Y)
    assert deleverager.is_busy()
    for owner, account in [(winner, winner_id), (maker, maker_id)]:
        with refused("clearinghouse: adl round open"):
            clearinghouse.withdraw(account, 1, sender=owner)
        with refused("liquidator: adl round open"):
            liquidator.liquidate(account, 1, sender=keeper)
    clearinghouse.withdraw(newcomer, 1, sender=stranger)
    order_book.cancel_all(maker_id, sender=maker)


@pytest.mark.parametrize(("by", "market"), [("maker", X), ("maker", Y), ("stranger", X)])
def test_an_order_that_meets_it_works_on_it(
    open_round: None,
    deleverager: Any,
    order_book: Any,
    clearinghouse: Any,
    place: Any,
    maker_id: int,
    open_account: Any,
    stranger: Any,
    by: str,
    market: int,
) -> None:
    # in its market, or of an account with a position there: it ends within sixteen steps
    account = maker_id if by == "maker" else open_account(stranger, 100 * USDC)
    receipt = place(account, True, 1_000, 190_000 if market == Y else 850_000, market)
    assert len(closed(receipt, deleverager)) == 2
    assert len(args(receipt, deleverager.RoundClosed)) == 1
    assert len(args(receipt, order_book.OrderPlaced)) == 1
    assert not deleverager.is_busy() and clearinghouse.frozen_markets() == 0


def test_its_marks_stand_still_until_it_ends(
    open_round: None, oracle: Any, advance: Any, reporter: Any, wait: Any, deleverager: Any
) -> None:
    wait(3)
    oracle.update([800_000, 190_000], sender=reporter)
    assert (oracle.mark(X), oracle.previous_mark(X), oracle.mark(Y)) == (MARK, X_PRICE, 190_000)
    receipt = advance(100)
    assert {e["mark"] for e in args(receipt, deleverager.Deleveraged)} == {MARK}
    wait(3)
    oracle.update([800_000, 190_000], sender=reporter)
    assert (oracle.mark(X), oracle.previous_mark(X)) == (800_000, MARK)


def test_the_policy_stays_as_it_is(
    open_round: None, deleverager: Any, score: Any, owner: Any, advance: Any
) -> None:
    with refused("deleverager: round open"):
        deleverager.set_policy(score, PREVIOUS_MARK, sender=owner)
    with refused("deleverager: round open"):
        deleverager.retry(X, True, 100, sender=owner)
    advance(100)
    deleverager.set_policy(score, PREVIOUS_MARK, sender=owner)


def test_nobody_leaves_the_queue_by_a_deposit(
    open_round: None,
    deleverager: Any,
    clearinghouse: Any,
    advance: Any,
    winner: Any,
    winner_id: int,
    trader: Any,
    trader_id: int,
    chain: Any,
) -> None:
    here = chain.snapshot()
    before = closed(advance(100), deleverager)
    chain.restore(here)
    # Whoever is first would be last with a million more; refused or without effect are both fine.
    first = before[0][0]
    try:
        clearinghouse.deposit(first, 10**6 * USDC, sender=winner if first == winner_id else trader)
    except ContractLogicError as error:
        assert error.revert_message == "clearinghouse: adl round open"
    assert closed(advance(100), deleverager) == before


def test_a_stale_price_parks_it(
    open_round: None,
    deleverager: Any,
    clearinghouse: Any,
    oracle: Any,
    reporter: Any,
    advance: Any,
    wait: Any,
    owner: Any,
) -> None:
    deleverager.set_limits(86_400, 0, sender=owner)
    wait(3_700)
    receipt = advance(100)
    (closed_,) = args(receipt, deleverager.RoundClosed)
    assert (closed_["needed"], closed_["taken"]) == (SIZE, 0)
    assert (deleverager.round().id, deleverager.is_busy()) == (0, True)
    assert (clearinghouse.frozen_markets(), oracle.pinned(X)) == (1, True)
    assert not advance(100).events
    wait(3)
    oracle.update([MARK, 200_000], sender=reporter)
    receipt = advance(100)
    (opened,) = args(receipt, deleverager.RoundOpened)
    assert (opened["round"], opened["needed"]) == (2, SIZE)
    assert sum(size for _, size, _ in closed(receipt, deleverager)) == SIZE
    assert (clearinghouse.frozen_markets(), deleverager.is_busy()) == (0, False)


def test_without_work_nothing_happens(deleverager: Any, advance: Any) -> None:
    receipt = advance(10)
    assert not receipt.events
    assert not deleverager.is_busy()
    assert deleverager.round().id == 0


def test_no_steps_do_nothing(open_round: None, deleverager: Any, advance: Any) -> None:
    before = deleverager.round()
    assert not advance(0).events
    assert deleverager.round() == before


# --- Lots that nobody took -----------------------------------------------------------------------


def test_lots_left_are_tried_again_in_a_later_epoch(
    deleverager: Any,
    liquidate: Any,
    clearinghouse: Any,
    oracle: Any,
    open_position: Any,
    bankrupt: int,
    move_mark: Any,
    stranger: Any,
    insure: Any,
    vault: Any,
    maker_id: int,
    trader_id: int,
) -> None:
    insure(100 * USDC)
    open_position(bankrupt, maker_id, SIZE)
    move_mark(930_000)
    open_position(maker_id, trader_id, SIZE)  # short from $93: no winner at $94
    move_mark(MARK)
    receipt = liquidate(bankrupt)
    assert vault.available() == 60 * USDC
    assert deleverager.retry_at(X, True) == (receipt.timestamp, oracle.epoch() + 1)
    assert deleverager.retry_at(X, False) == (0, 0)
    with refused("deleverager: tried in this epoch"):
        deleverager.retry(X, True, 100, sender=stranger)
    with refused("deleverager: no steps"):
        deleverager.retry(X, True, 0, sender=stranger)
    # The lots stand at $90 now; $2 a hundred lots more go when they are closed at $90 with a
    # mark of $88: the short from $93 is in profit there.
    move_mark(880_000)
    receipt = deleverager.retry(X, True, 100, sender=stranger)
    assert closed(receipt, deleverager) == [(trader_id, SIZE, 1)]
    (fill,) = args(receipt, deleverager.Deleveraged)
    assert (fill["quote"], fill["bankrupt"]) == (900 * USDC, bankrupt)
    assert settled(receipt, deleverager)["residual"] == 0
    with refused("deleverager: no lots left"):
        deleverager.retry(X, True, 100, sender=stranger)
    assert deleverager.retry_at(X, True) == (0, 0)
    assert clearinghouse.position(clearinghouse.estate(X, True), X).size == 0


@pytest.mark.parametrize(
    ("market", "is_long"), [(X, True), (Y, False), (2, True), (2**256 - 1, True)]
)
def test_there_is_nothing_to_retry_without_lots(
    deleverager: Any, stranger: Any, market: int, is_long: bool
) -> None:
    with refused("deleverager: no lots left"):
        deleverager.retry(market, is_long, 100, sender=stranger)


def test_the_score_of_a_loser_and_of_nobody_is_nothing(
    deleverager: Any, open_position: Any, move_mark: Any, winner_id: int, trader_id: int
) -> None:
    open_position(winner_id, trader_id, 100)
    move_mark(MARK)
    assert deleverager.score(winner_id, X) == deleverager.score(winner_id, Y) == 0
    assert deleverager.score(trader_id, X) > 0
    assert deleverager.score(99, X) == 0
