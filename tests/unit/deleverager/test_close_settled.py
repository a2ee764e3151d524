"""Lots that nobody took in a market that was settled: they leave at the settlement price too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import USDC, X, Y, args, refused

DAY = 86_400
SIZE = 1_000


@pytest.fixture
def lots(
    liquidator: Any,
    deleverager: Any,
    clearinghouse: Any,
    open_account: Any,
    open_position: Any,
    move_mark: Any,
    insure: Any,
    loser: Any,
    stranger: Any,
    keeper: Any,
    maker_id: int,
    trader_id: int,
) -> list[int]:
    """Two bankrupts whose 700 and 300 lots found no winner: they stand at $90 in the estate. The
    trader is short 1,000 from $89, and the vault has $60 left of $100."""
    insure(100 * USDC)
    ids = [open_account(loser, 42 * USDC), open_account(stranger, 18 * USDC)]
    for account, size in zip(ids, (700, 300), strict=True):
        open_position(account, maker_id, size)
    move_mark(930_000)
    open_position(maker_id, trader_id, SIZE, 890_000)
    move_mark(900_000)
    for account in ids:
        liquidator.liquidate(account, 200, sender=keeper)
    assert not deleverager.is_busy()
    assert clearinghouse.position(clearinghouse.estate(X, True), X).size == SIZE
    assert clearinghouse.cash(1) == 60 * USDC
    return ids


@pytest.fixture
def settle(governor: Any, oracle: Any, owner: Any, wait: Any) -> Any:
    def factory(price: int) -> None:
        governor.halt(X, sender=owner)
        # Stale when an hour ends, so that no funding is due.
        oracle.set_parameters(3, 60, 0, sender=owner)
        wait(DAY)
        governor.settle_market(X, price, sender=owner)

    return factory


@pytest.mark.parametrize(
    ("price", "insured", "uninsured"),
    [(930_000, 90, 0), (900_000, 60, 0), (850_000, 10, 0), (820_000, 0, 20)],
)
def test_they_close_at_the_price_and_somebody_bears_the_change(
    deleverager: Any,
    clearinghouse: Any,
    liquidator: Any,
    lots: list[int],
    settle: Any,
    stranger: Any,
    trader_id: int,
    price: int,
    insured: int,
    uninsured: int,
) -> None:
    settle(price)
    change = (price - 900_000) * 1_000
    first = deleverager.close_settled(X, True, 1, sender=stranger)
    second = deleverager.close_settled(X, True, 256, sender=stranger)
    events = args(first, deleverager.LotSettled) + args(second, deleverager.LotSettled)
    assert [(e["round"], e["bankrupt"], e["unfilled"]) for e in events] == [
        (0, account, 0) for account in lots
    ]
    assert [e["surplus"] - e["residual"] for e in events] == [
        change * 700 // 1_000,
        change * 300 // 1_000,
    ]
    assert all(e["residual"] == e["insurance"] + e["uninsured"] for e in events)
    assert clearinghouse.cash(1) == insured * USDC
    assert clearinghouse.uninsured() == uninsured * USDC
    estate = clearinghouse.estate(X, True)
    assert (clearinghouse.cash(estate), clearinghouse.equity(estate)) == (0, 0)
    liquidator.close_settled(trader_id, X, sender=stranger)
    settlement = clearinghouse.settlement_account(X)
    assert (clearinghouse.cash(settlement), clearinghouse.open_interest(X)) == (0, 0)


def test_a_market_that_goes_on_is_refused(deleverager: Any, lots: list[int], stranger: Any) -> None:
    for market in (X, Y, 2, 2**256 - 1):
        with refused("clearinghouse: market not settled"):
            deleverager.close_settled(market, True, 10, sender=stranger)


def test_no_round_is_opened_for_them_any_more(
    deleverager: Any, lots: list[int], settle: Any, stranger: Any
) -> None:
    settle(900_000)
    with refused("deleverager: market settled"):
        deleverager.retry(X, True, 10, sender=stranger)


def test_without_lots_or_steps_nothing_happens(
    deleverager: Any, lots: list[int], settle: Any, stranger: Any
) -> None:
    settle(900_000)
    assert not deleverager.close_settled(X, False, 10, sender=stranger).events
    assert not deleverager.close_settled(X, True, 0, sender=stranger).events
    assert (
        len(args(deleverager.close_settled(X, True, 2, sender=stranger), deleverager.LotSettled))
        == 2
    )
    assert not deleverager.close_settled(X, True, 10, sender=stranger).events
