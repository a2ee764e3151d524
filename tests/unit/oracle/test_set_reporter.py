"""Who may report prices: the owner says."""

from __future__ import annotations

from typing import Any

from tests.helpers import X_PRICE, Y_PRICE, args, refused


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
