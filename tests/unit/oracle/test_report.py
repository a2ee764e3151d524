"""Several reporters: the median of the fresh reports, by a poke of anyone's, if they are enough."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import X, Y, args, refused


@pytest.mark.parametrize(
    ("reports", "median"),
    [
        ([5], 5),
        ([9, 1, 5], 5),
        ([1, 9], 5),
        ([2, 9], 5),  # 5.5, rounded down
        ([10**6, 3, 2, 1], 2),
        ([4, 4, 9, 1, 4, 7, 2, 8, 3], 4),
        ([9, 8, 7, 6, 5, 4, 3, 2, 1], 5),
        ([2**24 - 1] * 2, 2**24 - 1),
    ],
)
def test_the_price_is_the_median(
    own: Any, report: Any, poke: Any, reports: list[int], median: int
) -> None:
    for who, price in enumerate(reports):
        report(who, price, 2_000)
    assert own.oracle_price(X) == 1_000  # means nothing before the poke
    poke()
    assert (own.oracle_price(X), own.mark(X), own.previous_mark(X)) == (median, median, 1_000)


def test_a_report_is_an_event_and_no_epoch(own: Any, report: Any, accounts: Any) -> None:
    receipt = report(0, 1_001, 0)
    assert args(receipt, own.Reported) == [{"reporter": accounts[0].address, "prices": [1_001, 0]}]
    assert not args(receipt, own.PriceUpdated)
    assert (own.epoch(), own.mark(X)) == (0, 1_000)
    assert [own.has_news(m) for m in (X, Y)] == [True, False]
    with refused("oracle: unknown market"):
        own.has_news(2)


def test_a_later_report_replaces_an_earlier_one(own: Any, report: Any, poke: Any) -> None:
    report(0, 10, 10)
    report(0, 30, 0)  # and takes the one for Y back
    poke()
    assert (own.mark(X), own.mark(Y)) == (30, 2_000)


def test_a_market_nobody_reports_keeps_its_marks_and_grows_old(
    own: Any, report: Any, poke: Any
) -> None:
    report(0, 1_100, 2_200)
    poke()
    priced_at = own.price(Y).priced_at
    again = report(0, 1_200, 0).timestamp
    receipt = poke()
    rows = [
        (e["market"], e["mark"], e["previous_mark"], e["fresh"])
        for e in args(receipt, own.PriceUpdated)
    ]
    # the previous mark of Y is not worn away by an epoch that says nothing about it
    assert rows == [(X, 1_200, 1_100, True), (Y, 2_200, 2_000, False)]
    # nor is it any younger by it, and X is as old as the report
    assert own.price(Y).priced_at == priced_at < own.price(X).priced_at == again
    assert (own.price(X).epoch, own.price(Y).epoch, own.epoch()) == (2, 1, 2)
    assert own.updated_at() == again + 3


@pytest.mark.parametrize(("quorum", "place"), [(1, 2), (2, 1), (3, 0)])
def test_a_price_is_as_old_as_the_report_that_completed_its_quorum(
    own: Any, owner: Any, report: Any, poke: Any, wait: Any, chain: Any, quorum: int, place: int
) -> None:
    # A poke an hour late makes nothing young: else a price would be fresh for twice as long.
    times = []
    for who in range(3):
        wait(600)
        times.append(report(who, 1_100, 0).timestamp)
    own.set_quorum(quorum, sender=owner)
    receipt = poke(times[0] + 3_600 - chain.blocks.head.timestamp)
    assert receipt.timestamp == times[0] + 3_600
    assert own.price(X).priced_at == times[place]
    wait(times[place] + 3_600 - receipt.timestamp or 1)
    chain.mine()
    assert own.is_fresh(X) is (place > 0)
    wait(1)
    chain.mine()
    assert not own.is_fresh(X)


def test_the_previous_mark_takes_a_quorum_to_move_on(
    own: Any, owner: Any, report: Any, poke: Any, wait: Any
) -> None:
    """The attacker pokes as often as it may, one reporter lags behind and another repeats itself:
    not before two have spoken since the last epoch is there another one."""
    for who in range(3):
        report(who, 1_000, 2_000)
    own.set_quorum(2, sender=owner)
    poke()
    report(0, 900, 2_000)
    report(1, 900, 2_000)
    poke()
    assert (own.mark(X), own.previous_mark(X)) == (900, 1_000)
    report(2, 900, 2_000)
    for _ in range(2):
        with refused("oracle: no new report"):
            poke()
        report(2, 900, 2_100)
        wait(1)
        report(2, 0, 2_100)
    # News of Y alone leaves X as it is, whatever is said of it in zeros.
    report(1, 0, 2_100)
    receipt = poke()
    assert [e["fresh"] for e in args(receipt, own.PriceUpdated)] == [False, True]
    assert (own.mark(X), own.previous_mark(X)) == (900, 1_000)
    report(0, 880, 0)
    report(1, 890, 0)
    poke()
    assert (own.mark(X), own.previous_mark(X)) == (885, 900)
    assert (own.mark(Y), own.previous_mark(Y)) == (2_100, 2_000)


def test_a_removed_reporter_is_not_heard(own: Any, report: Any, poke: Any, owner: Any) -> None:
    for who, price in enumerate((10, 20, 90)):
        report(who, price, 0)
    own.set_reporter(own.reporters(2), False, sender=owner)
    poke()
    assert own.mark(X) == 15


def test_only_reporters_report_but_anyone_pokes(
    own: Any, report: Any, stranger: Any, owner: Any, wait: Any
) -> None:
    for who in (stranger, owner):
        with refused("oracle: not a reporter"):
            own.report([1, 1], sender=who)
        with refused("oracle: not a reporter"):
            own.update([1, 1], sender=who)
    report(0, 5, 5)
    wait(3)
    assert args(own.poke(sender=stranger), own.PriceUpdated)[0]["epoch"] == 1


@pytest.mark.parametrize("prices", [[], [1], [1, 2, 3]])
def test_a_price_for_each_market(own: Any, report: Any, prices: list[int]) -> None:
    with refused("oracle: one price per market"):
        report(0, *prices)


@pytest.mark.parametrize("price", [2**24, 2**256 - 1])
def test_a_price_off_range_is_refused(own: Any, report: Any, price: int) -> None:
    with refused("oracle: price out of range"):
        report(0, 1, price)


def test_no_epoch_without_a_new_report(own: Any, report: Any, poke: Any) -> None:
    # Else anyone could repeat epochs until the previous mark is the mark.
    with refused("oracle: no new report"):
        poke()
    report(0, 1_100, 2_000)
    poke()
    for after in (3, 100):
        with refused("oracle: no new report"):
            poke(after)
    assert (own.mark(X), own.previous_mark(X), own.epoch()) == (1_100, 1_000, 1)


def test_two_quick_pokes_do_not_erase_the_previous_mark(
    own: Any, report: Any, poke: Any, wait: Any, stranger: Any
) -> None:
    report(0, 1_100, 2_000)
    poke()
    wait(1)
    report(0, 1_100, 2_000)
    wait(1)
    with refused("oracle: too soon"):
        own.poke(sender=stranger)
    assert own.previous_mark(X) == 1_000
