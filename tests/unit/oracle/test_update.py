"""Prices by epoch: all markets at once, a step at most, not too often, pinned in a round."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import X_PRICE, Y_PRICE, X, Y, args, refused

PPM = 10**6


@pytest.fixture
def update(oracle: Any, reporter: Any, wait: Any) -> Any:
    def factory(*prices: int, after: int = 3) -> Any:
        wait(after)
        return oracle.update(list(prices), sender=reporter)

    return factory


def test_one_update_sets_every_market_under_one_epoch(
    oracle: Any, reporter: Any, update: Any, chain: Any
) -> None:
    epoch = oracle.epoch()
    receipt = update(X_PRICE + 5, Y_PRICE - 5)
    names = ["market", "oracle_price", "mark", "previous_mark"]
    rest = {"epoch": epoch + 1, "fresh": True, "funding_index": 0}
    assert args(receipt, oracle.Reported) == [
        {"reporter": reporter.address, "prices": [X_PRICE + 5, Y_PRICE - 5]}
    ]
    assert args(receipt, oracle.PriceUpdated) == [
        dict(zip(names, (X, X_PRICE + 5, X_PRICE + 5, X_PRICE), strict=True)) | rest,
        dict(zip(names, (Y, Y_PRICE - 5, Y_PRICE - 5, Y_PRICE), strict=True)) | rest,
    ]
    assert oracle.epoch() == epoch + 1
    assert oracle.updated_at() == chain.blocks.head.timestamp
    assert (oracle.mark(Y), oracle.previous_mark(Y)) == (Y_PRICE - 5, Y_PRICE)


def test_the_previous_mark_is_that_of_the_epoch_before(oracle: Any, update: Any) -> None:
    update(X_PRICE + 5, Y_PRICE)
    update(X_PRICE + 9, Y_PRICE)
    assert (oracle.mark(X), oracle.previous_mark(X)) == (X_PRICE + 9, X_PRICE + 5)
    assert (oracle.mark(Y), oracle.previous_mark(Y)) == (Y_PRICE, Y_PRICE)


@pytest.mark.parametrize(
    ("start", "target", "steps"),
    [
        (1_000_000, 1_025_000, [1_010_000, 1_020_100, 1_025_000]),  # a step rounded down: 10,100
        (1_000_000, 975_000, [990_000, 980_100, 975_000]),
        (150, 152, [151, 152]),  # 1% of 150 ticks is 1.5: one tick
        (3, 1, [2, 1]),  # 1% is nothing: still one tick
        (1, 3, [2, 3]),
        (2, 1, [1, 1]),  # never below one tick
    ],
)
def test_a_large_move_is_walked_at_one_percent_an_epoch(
    oracle: Any,
    governor: Any,
    owner: Any,
    update: Any,
    start: int,
    target: int,
    steps: list[int],
) -> None:
    update(start, Y_PRICE)
    governor.set_tiers(Y, [0], [49], sender=owner)
    oracle.set_parameters(3, 3_600, 10_000, sender=owner)
    before = start
    for mark in steps:
        update(target, Y_PRICE)
        assert oracle.oracle_price(X) == target
        assert (oracle.mark(X), oracle.previous_mark(X)) == (mark, before)
        before = mark


def test_too_soon_is_refused_and_the_interval_itself_is_enough(
    oracle: Any, reporter: Any, update: Any, wait: Any
) -> None:
    update(X_PRICE, Y_PRICE)
    last = oracle.updated_at()
    wait(2)
    with refused("oracle: too soon"):
        oracle.update([X_PRICE + 1, Y_PRICE], sender=reporter)
    oracle.update([X_PRICE + 1, Y_PRICE], sender=reporter)
    assert oracle.updated_at() == last + 3


def test_without_a_price_it_begins_no_epoch(oracle: Any, update: Any) -> None:
    epoch = oracle.epoch()
    receipt = update(0, 0)
    assert (len(args(receipt, oracle.Reported)), args(receipt, oracle.PriceUpdated)) == (1, [])
    assert oracle.epoch() == epoch


@pytest.mark.parametrize("prices", [[], [X_PRICE], [X_PRICE, Y_PRICE, 1]])
def test_a_price_for_each_market_and_no_more(
    oracle: Any, reporter: Any, wait: Any, prices: list[int]
) -> None:
    wait(3)
    with refused("oracle: one price per market"):
        oracle.update(prices, sender=reporter)


@pytest.mark.parametrize("price", [2**24, 2**256 - 1])
def test_a_price_off_range_refuses_the_whole_update(
    oracle: Any, reporter: Any, wait: Any, price: int
) -> None:
    wait(3)
    with refused("oracle: price out of range"):
        oracle.update([X_PRICE + 1, price], sender=reporter)
    assert oracle.mark(X) == X_PRICE


@pytest.mark.parametrize("price", [1, 2**24 - 1])
def test_the_ends_of_the_range_are_prices(oracle: Any, update: Any, price: int) -> None:
    update(price, Y_PRICE)
    assert oracle.mark(X) == price


@pytest.mark.parametrize("role", ["owner", "stranger", "trader"])
def test_only_reporters_report(oracle: Any, actors: Any, wait: Any, role: str) -> None:
    wait(3)
    with refused("oracle: not a reporter"):
        oracle.update([X_PRICE, Y_PRICE], sender=actors[role])


def test_a_pinned_market_stands_still_while_the_others_go_on(
    project: Any,
    owner: Any,
    keeper: Any,
    reporter: Any,
    order_book: Any,
    clearinghouse: Any,
    wait: Any,
) -> None:
    own = owner.deploy(project.Oracle, 3, 3_600, 0)
    own.wire(keeper, order_book, clearinghouse, sender=owner)
    own.set_reporter(reporter, True, sender=owner)
    for price in (100, 200):
        own.add_market(price, sender=owner)
    receipt = own.pin(X, True, sender=keeper)
    assert args(receipt, own.PinChanged) == [{"market": X, "pinned": True}]
    wait(3)
    own.update([150, 250], sender=reporter)
    assert [own.mark(X), own.previous_mark(X), own.oracle_price(X)] == [100, 100, 150]
    assert [own.mark(Y), own.previous_mark(Y)] == [250, 200]
    own.pin(X, False, sender=keeper)
    wait(3)
    own.update([150, 250], sender=reporter)
    assert [own.mark(X), own.previous_mark(X)] == [150, 100]
