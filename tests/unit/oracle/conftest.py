"""An oracle of its own, with several reporters, that samples the venue's book."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.helpers import next_block_at


@pytest.fixture
def own(project: Any, owner: Any, keeper: Any, order_book: Any, clearinghouse: Any) -> Any:
    """Markets at 1,000 and 2,000 ticks, no limit on a step, no reporter yet; the keeper may pin."""
    oracle = owner.deploy(project.Oracle, 3, 3_600, 0)
    oracle.wire(keeper, order_book, clearinghouse, sender=owner)
    for price in (1_000, 2_000):
        oracle.add_market(price, sender=owner)
    return oracle


@pytest.fixture
def report(own: Any, owner: Any, accounts: Any) -> Callable[..., Any]:
    """Reporter number `who`, named at its first report, reports."""
    known: set[int] = set()

    def factory(who: int, *prices: int) -> Any:
        if who not in known:
            own.set_reporter(accounts[who], True, sender=owner)
            known.add(who)
        return own.report(list(prices), sender=accounts[who])

    return factory


@pytest.fixture
def poke(own: Any, stranger: Any, wait: Any) -> Callable[..., Any]:
    def factory(after: int = 3) -> Any:
        wait(after)
        return own.poke(sender=stranger)

    return factory


@pytest.fixture
def sample(oracle: Any, stranger: Any, chain: Any) -> Callable[..., Any]:
    """Samples X of the venue's oracle, `after` seconds after its last sample if there is one."""

    def factory(after: int = 1) -> Any:
        last = oracle.last_sample(0).at or chain.blocks.head.timestamp
        next_block_at(chain, last + after)
        return oracle.sample(0, sender=stranger)

    return factory
