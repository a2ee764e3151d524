"""Who may report prices: the owner says."""

from __future__ import annotations

from typing import Any

from tests.helpers import X_PRICE, Y_PRICE, X, args, refused


def test_a_reporter_comes_and_goes(oracle: Any, owner: Any, keeper: Any, wait: Any) -> None:
    receipt = oracle.set_reporter(keeper, True, sender=owner)
    assert args(receipt, oracle.ReporterSet) == [{"reporter": keeper.address, "allowed": True}]
    wait(3)
    oracle.update([X_PRICE, Y_PRICE], sender=keeper)
    oracle.set_reporter(keeper, False, sender=owner)
    wait(3)
    with refused("oracle: not a reporter"):
        oracle.update([X_PRICE, Y_PRICE], sender=keeper)


def test_a_stranger_is_refused(oracle: Any, stranger: Any) -> None:
    with refused("ownable: caller is not the owner"):
        oracle.set_reporter(stranger, True, sender=stranger)


def test_nine_at_a_time_and_nobody_twice(own: Any, owner: Any, accounts: Any) -> None:
    for i in range(9):
        own.set_reporter(accounts[i], True, sender=owner)
    own.set_reporter(accounts[4], True, sender=owner)  # is one already
    with refused("oracle: too many reporters"):
        own.set_reporter(accounts[9], True, sender=owner)
    own.set_reporter(accounts[9], False, sender=owner)  # is none
    own.set_reporter(accounts[0], False, sender=owner)
    own.set_reporter(accounts[9], True, sender=owner)
    listed = [own.reporters(i) for i in range(9)]
    assert listed == [accounts[i].address for i in (1, 2, 3, 5, 6, 7, 8, 4, 9)]


def test_the_last_one_may_go_which_stops_all_prices(own: Any, owner: Any, report: Any) -> None:
    report(0, 1_100, 2_000)
    report(1, 1_100, 2_000)
    own.set_quorum(2, sender=owner)
    for who in (0, 1):
        with refused("oracle: fewer reporters than the quorum"):
            own.set_reporter(own.reporters(who), False, sender=owner)
    own.set_quorum(1, sender=owner)
    for _ in range(2):
        own.set_reporter(own.reporters(0), False, sender=owner)
    assert not own.has_news(X)
    with refused("oracle: quorum out of range"):
        own.set_quorum(1, sender=owner)


def test_who_comes_back_has_said_nothing(
    own: Any, owner: Any, accounts: Any, report: Any, poke: Any
) -> None:
    report(0, 5, 5)
    report(1, 1_100, 2_000)
    own.set_reporter(accounts[0], False, sender=owner)
    own.set_reporter(accounts[0], True, sender=owner)
    poke()
    assert own.mark(X) == 1_100
