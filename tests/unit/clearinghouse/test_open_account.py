"""Opening accounts: anyone, as many as they like; ids count up from the venue's own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import args, refused

TRADER = 1


def test_an_account_belongs_to_who_opened_it_and_starts_empty(
    clearinghouse: Any, stranger: Any
) -> None:
    count = clearinghouse.account_count()
    receipt = clearinghouse.open_account(sender=stranger)
    assert args(receipt, clearinghouse.AccountOpened) == [
        {"account": count + 1, "owner": stranger.address, "kind": TRADER}
    ]
    assert clearinghouse.account_owner(count + 1) == stranger
    assert clearinghouse.account_kind(count + 1) == TRADER
    assert clearinghouse.cash(count + 1) == 0
    assert clearinghouse.is_trader(count + 1)


def test_one_owner_may_have_many_accounts(
    open_account: Any, clearinghouse: Any, maker: Any
) -> None:
    first, second = open_account(maker), open_account(maker)
    assert second == first + 1 == clearinghouse.account_count()


def test_the_venues_own_accounts_are_no_traders(clearinghouse: Any, venue: Any) -> None:
    # 1 the vault; 2 its tranche; 3, 4 estates of X; 5, 6 of Y
    assert [clearinghouse.is_trader(account) for account in range(8)] == [False] * 7 + [True]


def test_none_before_the_venue_is_wired(project: Any, owner: Any, usdc: Any, oracle: Any) -> None:
    bare = owner.deploy(project.Clearinghouse, usdc, oracle)
    with refused("clearinghouse: not wired"):
        bare.open_account(sender=owner)


@pytest.mark.parametrize("account", [0, 10**6, 2**256 - 1])
def test_an_unknown_account_has_no_owner_and_no_money(clearinghouse: Any, account: int) -> None:
    assert int(clearinghouse.account_owner(account), 16) == 0
    assert clearinghouse.equity(account) == 0


def test_the_first_sixteen_of_an_owner_are_listed_in_order(
    clearinghouse: Any, open_account: Any, stranger: Any, loser: Any
) -> None:
    assert clearinghouse.accounts_of(stranger) == []
    ids = []
    for _ in range(9):
        ids.append(open_account(stranger))
        open_account(loser)
    assert clearinghouse.accounts_of(stranger) == ids
    ids += [open_account(stranger) for _ in range(9)]
    assert clearinghouse.accounts_of(stranger) == ids[:16]
    # Nobody's accounts but a trader's.
    assert clearinghouse.accounts_of(clearinghouse.vault()) == []
    assert clearinghouse.accounts_of(clearinghouse.deleverager()) == []
