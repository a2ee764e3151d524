"""Wiring: once, by the owner, with the addresses of deleverager, book and clearinghouse."""

from __future__ import annotations

from typing import Any

from tests.helpers import NOBODY, args, refused


def test_a_second_time_is_refused(
    oracle: Any, deleverager: Any, order_book: Any, clearinghouse: Any, owner: Any
) -> None:
    assert (oracle.deleverager(), oracle.order_book()) == (deleverager.address, order_book.address)
    assert oracle.clearinghouse() == clearinghouse.address
    with refused("oracle: already wired"):
        oracle.wire(owner, owner, owner, sender=owner)


def test_a_zero_address_and_a_stranger_are_refused(
    project: Any, owner: Any, stranger: Any, venue: Any
) -> None:
    fresh = owner.deploy(project.Oracle, 3, 3_600, 0)
    for parts in [(NOBODY, owner, owner), (owner, NOBODY, owner), (owner, owner, NOBODY)]:
        with refused("oracle: zero address"):
            fresh.wire(*parts, sender=owner)
    with refused("oracle: deployer only"):
        fresh.wire(stranger, stranger, stranger, sender=stranger)
    receipt = fresh.wire(owner, stranger, venue.clearinghouse.address, sender=owner)
    assert args(receipt, fresh.Wired) == [
        {
            "deleverager": owner.address,
            "order_book": stranger.address,
            "clearinghouse": venue.clearinghouse.address,
        }
    ]
