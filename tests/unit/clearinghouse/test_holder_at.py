"""The lists of holders: who has a position, by side, kept dense as accounts come and go, but for
the places that a round leaves empty until somebody joins."""

from __future__ import annotations

import random
from typing import Any

from tests.helpers import X, Y, refused


def holders(house: Any, is_long: bool, market: int = X) -> list[int]:
    count = house.holder_count(market, is_long)
    return [house.holder_at(market, is_long, i) for i in range(count)]


def test_who_leaves_is_replaced_by_the_last_one(bare: Any) -> None:
    house, (a, b, c) = bare.house, (bare.maker, bare.trader, bare.winner)
    house.open_account(sender=bare.book)
    other = house.account_count()

    def trade(buyer: int, seller: int, size: int) -> None:
        house.exchange(X, buyer, seller, size, 100 * size, sender=bare.waterfall)

    for account in (a, b, c):
        trade(account, other, 10)
    assert (holders(house, True), holders(house, False)) == ([a, b, c], [other])
    trade(other, a, 10)
    assert holders(house, True) == [c, b]
    trade(other, b, 5)
    assert holders(house, True) == [c, b]
    trade(other, b, 5)
    assert holders(house, True) == [c]
    trade(a, c, 15)
    # c turned short, a is back
    assert (holders(house, True), holders(house, False)) == ([a], [other, c])
    trade(other, a, 10)
    trade(c, a, 5)
    assert (holders(house, True), holders(house, False)) == ([], [])


def test_a_round_leaves_places_empty_and_who_joins_fills_them(bare: Any) -> None:
    house, (a, b, c) = bare.house, (bare.maker, bare.trader, bare.winner)
    crowd = [a, b, c]
    for _ in range(3):
        house.open_account(sender=bare.book)
        crowd.append(house.account_count())
    house.open_account(sender=bare.book)
    other = house.account_count()

    def trade(buyer: int, seller: int, size: int) -> None:
        house.exchange(X, buyer, seller, size, 100 * size, sender=bare.waterfall)

    for account in crowd:
        trade(account, other, 10)
    d, e, f = crowd[3:]
    house.freeze(X, True, sender=bare.adl)
    trade(other, b, 10)
    trade(other, a, 4)
    trade(other, e, 10)
    # Only the last one takes its place with it.
    assert holders(house, True) == [a, 0, c, d, 0, f]
    trade(other, f, 10)
    assert holders(house, True) == [a, 0, c, d, 0]
    house.freeze(X, False, sender=bare.adl)
    # The last place is empty: who leaves cannot be replaced.
    trade(other, c, 10)
    assert holders(house, True) == [a, 0, 0, d, 0]
    # The place emptied last is filled first; no list grows before all are filled.
    trade(c, other, 10)
    trade(f, other, 10)
    assert holders(house, True) == [a, 0, c, d, f]
    # Now the last one can move, also where it is one that filled a place.
    trade(other, a, 6)
    assert holders(house, True) == [f, 0, c, d]
    trade(b, other, 10)
    trade(e, other, 10)
    assert holders(house, True) == [f, b, c, d, e]
    for account in (b, c, d, e, f):
        trade(other, account, 10)
    assert (holders(house, True), holders(house, False)) == ([], [])


def test_many_empty_places_are_filled_from_the_one_emptied_last(bare: Any) -> None:
    """More than one word notes, the last one a whole one, and in two rounds."""
    house, crowd = bare.house, []
    for _ in range(18):
        house.open_account(sender=bare.book)
        crowd.append(house.account_count())
    *crowd, other = crowd

    def trade(buyer: int, seller: int) -> None:
        house.exchange(X, buyer, seller, 10, 1_000, sender=bare.waterfall)

    for account in crowd:
        trade(account, other)
    left = [*crowd[3:13], crowd[1], crowd[14], crowd[0], crowd[15]]
    for part in (left[:9], left[9:]):
        house.freeze(X, True, sender=bare.adl)
        for account in part:
            trade(other, account)
        house.freeze(X, False, sender=bare.adl)
    there = [0 if account in left else account for account in crowd]
    assert holders(house, True) == there
    # They come back in another order than they left.
    for account in left:
        trade(account, other)
        there[crowd.index(left[-1 - left.index(account)])] = account
        assert holders(house, True) == there
    house.open_account(sender=bare.book)
    trade(house.account_count(), other)
    assert holders(house, True) == [*there, house.account_count()]


def test_whoever_comes_and_goes_the_list_is_who_is_there(bare: Any) -> None:
    """Rounds and ordinary closes in any order, against a list kept by hand."""
    house, crowd, chance = bare.house, [], random.Random(6)
    for _ in range(17):
        house.open_account(sender=bare.book)
        crowd.append(house.account_count())
    *crowd, other = crowd
    places: list[int] = []
    empty: list[int] = []
    most = 0
    for _ in range(12):
        in_round = chance.random() < 0.5
        if in_round:
            house.freeze(X, True, sender=bare.adl)
        for account in chance.sample(crowd, chance.randint(1, 16)):
            if account not in places:
                # A round takes nobody in.
                if in_round:
                    continue
                house.exchange(X, account, other, 10, 1_000, sender=bare.waterfall)
                if empty:
                    places[empty.pop()] = account
                else:
                    places.append(account)
            else:
                house.exchange(X, other, account, 10, 1_000, sender=bare.waterfall)
                place = places.index(account)
                if place == len(places) - 1:
                    places.pop()
                elif in_round or places[-1] == 0:
                    places[place] = 0
                    empty.append(place)
                else:
                    places[place] = places.pop()
        if in_round:
            house.freeze(X, False, sender=bare.adl)
        most = max(most, len(empty))
        assert holders(house, True) == places
    assert most > 7


def test_markets_have_lists_of_their_own(bare: Any) -> None:
    bare.house.exchange(Y, bare.trader, bare.maker, 1, 1, sender=bare.waterfall)
    assert holders(bare.house, True, Y) == [bare.trader]
    assert holders(bare.house, False, Y) == [bare.maker]
    assert holders(bare.house, True, X) == []


def test_the_venues_own_accounts_are_never_listed(bare: Any) -> None:
    estate = bare.house.estate(X, True)
    bare.house.exchange(X, estate, bare.trader, 1, 1, sender=bare.waterfall)
    assert (holders(bare.house, True), holders(bare.house, False)) == ([], [bare.trader])
    assert bare.house.active_markets(estate) == 1


def test_beyond_the_end_is_refused(clearinghouse: Any) -> None:
    with refused("clearinghouse: no such holder"):
        clearinghouse.holder_at(X, True, 0)
