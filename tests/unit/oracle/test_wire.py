"""Wiring: once, by the owner, with an address."""

from __future__ import annotations

from typing import Any

from tests.helpers import refused


def test_a_second_time_is_refused(oracle: Any, deleverager: Any, owner: Any) -> None:
    assert oracle.deleverager() == deleverager.address
    with refused("oracle: already wired"):
        oracle.wire(owner, sender=owner)


def test_a_zero_address_and_a_stranger_are_refused(
    project: Any, owner: Any, stranger: Any, venue: Any
) -> None:
    fresh = owner.deploy(project.Oracle, 3, 3_600, 0)
    with refused("oracle: zero address"):
        fresh.wire("0x" + "00" * 20, sender=owner)
    with refused("ownable: caller is not the owner"):
        fresh.wire(stranger, sender=stranger)
