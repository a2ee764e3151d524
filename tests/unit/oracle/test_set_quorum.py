"""How many fresh reports a price needs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import NOT_OWNER, X, Y, args, next_block_at, refused


@pytest.fixture(autouse=True)
def nine(own: Any, owner: Any, accounts: Any) -> None:
    for account in accounts[:9]:
        own.set_reporter(account, True, sender=owner)


@pytest.mark.parametrize("quorum", [1, 9])
def test_the_owner_sets_it(own: Any, owner: Any, quorum: int) -> None:
    assert own.quorum() == 1
    receipt = own.set_quorum(quorum, sender=owner)
    assert args(receipt, own.QuorumSet) == [{"quorum": quorum}]
    assert own.quorum() == quorum


@pytest.mark.parametrize("quorum", [0, 10, 2**256 - 1])
def test_out_of_range_is_refused(own: Any, owner: Any, quorum: int) -> None:
    with refused("oracle: quorum out of range"):
        own.set_quorum(quorum, sender=owner)


def test_no_more_than_there_are_reporters(own: Any, owner: Any, accounts: Any) -> None:
    own.set_reporter(accounts[0], False, sender=owner)
    with refused("oracle: quorum out of range"):
        own.set_quorum(9, sender=owner)
    own.set_quorum(8, sender=owner)
    with refused("oracle: fewer reporters than the quorum"):
        own.set_reporter(accounts[1], False, sender=owner)
    own.set_reporter(accounts[0], False, sender=owner)  # is none
    own.set_quorum(7, sender=owner)
    own.set_reporter(accounts[1], False, sender=owner)


def test_a_stranger_is_refused(own: Any, stranger: Any) -> None:
    with refused(NOT_OWNER):
        own.set_quorum(1, sender=stranger)


def test_fewer_reports_than_that_are_no_price(own: Any, owner: Any, report: Any, poke: Any) -> None:
    own.set_quorum(2, sender=owner)
    report(0, 1_100, 2_200)
    with refused("oracle: no new report"):
        poke()
    assert [own.mark(m) for m in (X, Y)] == [1_000, 2_000]
    assert [own.oracle_price(m) for m in (X, Y)] == [1_000, 2_000]
    report(1, 1_300, 0)
    poke()
    assert [own.mark(m) for m in (X, Y)] == [1_200, 2_000]


def test_a_report_that_is_too_old_does_not_count(
    own: Any, owner: Any, report: Any, poke: Any, chain: Any
) -> None:
    own.set_quorum(2, sender=owner)
    first = report(0, 1_100, 2_200).timestamp
    next_block_at(chain, first + 3_000)
    second = report(1, 1_300, 2_400).timestamp
    receipt = poke(first + 3_600 - second)
    assert receipt.timestamp == first + 3_600
    assert own.mark(X) == 1_200  # old by an hour: the last second counts
    report(1, 1_500, 0)
    with refused("oracle: no new report"):
        poke(3)
    assert own.mark(X) == 1_200
