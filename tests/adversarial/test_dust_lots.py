"""Whoever leaves one lot of dust in an estate, hoping that nobody wants it, locks nobody in."""

from __future__ import annotations

import pytest

from breakwater.engine.base import Reverted
from tests.stateful.vault_world import PRICES, USDC, World

ONE = PRICES[0]
"""Micro-USDC that a lot is worth."""


@pytest.fixture
def world() -> World:
    """A depositor who may leave at once, and a passer-by with five cents."""
    world = World()
    world.put("one", 1_000 * USDC)
    world.send("one", "request_exit", world.shares("one"))
    world.passer_by = world._account("passer-by", 50_000)  # type: ignore[attr-defined]
    world.wait(86_400)
    world.epoch()
    return world


def leave_a_lot(world: World, size: int = 1) -> None:
    """A bankrupt long whose lots no winner takes: bought at the mark, so nobody gains by it."""
    world.bankrupt(0, size, ONE)
    while world.busy():
        world.advance()
    assert world.maximum("Redeem", "one") == 0


def take(world: World, size: int = 1) -> None:
    adl, address = world.venue.deleverager, world.engine.actor("passer-by")
    world.seen(
        adl.send("take", world.passer_by, 0, True, size, sender=address)  # type: ignore[attr-defined]
    )


@pytest.mark.parametrize("uninsured", [0, 1, 700 * USDC])
def test_anybody_opens_the_vault_again_for_the_margin_of_a_lot(
    world: World, uninsured: int
) -> None:
    """Also while a loss is uninsured, when nobody else may add risk: it is no new risk."""
    leave_a_lot(world)
    if uninsured:
        world.owe(uninsured)
    for _ in range(3):
        # Epochs do not help: nobody is in profit.
        world.epoch()
        world.seen(world.venue.deleverager.send("retry", 0, True, 256, sender=world.keeper))
        assert world.maximum("Redeem", "one") == 0
    before = world.house.call("equity", world.passer_by)  # type: ignore[attr-defined]
    take(world)
    assert world.maximum("Redeem", "one") == world.shares("one")
    me = world.engine.actor("one")
    world.send("one", "redeem", world.shares("one"), me, me)
    # At the mark it has cost nothing.
    assert world.house.call("equity", world.passer_by) == before  # type: ignore[attr-defined]


def test_who_opened_it_gets_rid_of_the_lot_again(world: World) -> None:
    """Against anybody on the other side, whatever the minimum: an order for all of a position."""
    leave_a_lot(world)
    take(world)
    world.seen(
        world.venue.governor.send(
            "set_trading_terms", 0, 0, 0, 0, 10 * USDC, 2**54, sender=world.owner
        )
    )
    book = world.venue.order_book
    deep, passer_by = world.engine.actor("deep"), world.engine.actor("passer-by")
    size = -world.house.call("position", world.deep, 0).size
    assert size == 1
    world.seen(book.send("place", world.deep, 0, True, size, ONE, 0, sender=deep))
    account = world.passer_by  # type: ignore[attr-defined]
    world.seen(book.send("place", account, 0, False, 1, ONE, 1, sender=passer_by))
    assert world.house.call("active_markets", account) == 0
    assert world.house.call("open_interest", 0) == 0


def test_lots_are_not_for_who_cannot_carry_them(world: World) -> None:
    """Five cents carry a thousand lots of a dollar at 20x, not one more, insured or not."""
    size = 50_000 * 20 // ONE
    leave_a_lot(world, size + 1)
    world.owe(1)
    with pytest.raises(Reverted, match="margin does not allow it"):
        take(world, size + 1)
    take(world, size)
    assert world.house.call("position", world.passer_by, 0).size == size  # type: ignore[attr-defined]
    assert world.maximum("Redeem", "one") == 0


def test_the_book_stays_reduce_only(world: World) -> None:
    """The exception is for estates' lots alone."""
    leave_a_lot(world)
    world.owe(1)
    passer_by = world.engine.actor("passer-by")
    account = world.passer_by  # type: ignore[attr-defined]
    with pytest.raises(Reverted, match="reduce only, a loss is uninsured"):
        world.venue.order_book.send("place", account, 0, True, 1, ONE, 0, sender=passer_by)
