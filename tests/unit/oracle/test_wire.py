"""Wiring: once, by the owner, with the addresses of deleverager and book."""

from __future__ import annotations

from typing import Any

from tests.helpers import NOBODY, NOT_OWNER, refused


def test_a_second_time_is_refused(
    oracle: Any, deleverager: Any, order_book: Any, owner: Any
) -> None:
    assert (oracle.deleverager(), oracle.order_book()) == (deleverager.address, order_book.address)
    with refused("oracle: already wired"):
        oracle.wire(owner, owner, sender=owner)


def test_a_zero_address_and_a_stranger_are_refused(
    project: Any, owner: Any, stranger: Any, venue: Any
) -> None:
    fresh = owner.deploy(project.Oracle, 3, 3_600, 0)
    for parts in [(NOBODY, owner), (owner, NOBODY)]:
        with refused("oracle: zero address"):
            fresh.wire(*parts, sender=owner)
    with refused(NOT_OWNER):
        fresh.wire(stranger, stranger, sender=stranger)
