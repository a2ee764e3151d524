"""The deleverager's policy and wiring: the owner's, with a real score contract."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import X, args, refused


def test_the_owner_sets_score_and_close_price(deleverager: Any, score: Any, owner: Any) -> None:
    receipt = deleverager.set_policy(score, 1, sender=owner)
    assert args(receipt, deleverager.PolicySet) == [{"score": score.address, "close": 1}]
    assert (deleverager.score_rule(), deleverager.close_rule()) == (score.address, 1)


def test_nonsense_is_refused(deleverager: Any, score: Any, owner: Any) -> None:
    with refused("deleverager: unknown close price"):
        deleverager.set_policy(score, 3, sender=owner)
    with refused("deleverager: score is not a contract"):
        deleverager.set_policy(owner, 0, sender=owner)


def test_a_stranger_is_refused(deleverager: Any, score: Any, stranger: Any) -> None:
    with refused("ownable: caller is not the owner"):
        deleverager.set_policy(score, 0, sender=stranger)


@pytest.mark.parametrize("role", ["owner", "keeper", "stranger"])
def test_only_the_liquidator_adds_lots(deleverager: Any, actors: Any, role: str) -> None:
    with refused("deleverager: liquidator only"):
        deleverager.add_lot(X, True, 6, 1, -1, sender=actors[role])
