"""While a loss is uninsured every withdrawal is paid the same ratio, whatever the order.

Random accounts with random money, a random loss that nobody paid, unswept fees and a remainder of
funding. The rule's one tolerance: a payout is what the ratio at the start gives, rounded down, and
at most one micro-USDC more for each withdrawal before it, which is what those left behind.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from breakwater.engine.base import Reverted
from tests.stateful.vault_world import PRICES, USDC, World

EPISODES = 25
ACCOUNTS = 7


@pytest.fixture(scope="module")
def base() -> World:
    world = World(check=False)
    for number in range(ACCOUNTS):
        name = f"trader {number}"
        world._account(name, USDC)
        world.venue.mint(world.engine.actor(name), 2**90, world.house)
    return world


class Episode:
    """One seed: who is owed what, and how much of it nobody paid."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.house = world, world.house
        self.draw = draw = random.Random(seed)
        self.accounts = {
            name: self.account(name) for name in ("deep", *(f"trader {n}" for n in range(ACCOUNTS)))
        }
        if seed % 2:
            self.trade()
        # The deep account has most of the money; how much of it stays decides how bad a loss is.
        amounts = [draw.choice([1, 3, 10**6, 10**9, 10**12]) for _ in range(ACCOUNTS)]
        for name, amount in zip(list(self.accounts)[1:], amounts, strict=True):
            address, account = world.engine.actor(name), self.accounts[name]
            world.seen(self.house.send("deposit", account, draw.randint(1, amount), sender=address))
        keep = draw.randint(1, 10 ** draw.randint(1, 15))
        deep = world.engine.actor("deep")
        rest = self.house.call("cash", world.deep) - keep
        world.seen(self.house.send("withdraw", world.deep, rest, sender=deep))
        # Somebody's gain that has no loser any more.
        self.winner = draw.choice(list(self.accounts))
        loss = draw.randint(1, 10 ** draw.randint(1, 16))
        if self.winner != "deep":
            world.act("clearinghouse", "transfer_cash", world.deep, self.id(self.winner), loss)
            world.act("clearinghouse", "write_off", world.deep, loss)
        else:
            world.owe(loss)
        self.accounts["sink"] = world.sink
        world.ledger.check()
        self.claims = {
            name: self.house.call("cash", number) for name, number in self.accounts.items()
        }
        self.uninsured = self.house.call("uninsured")
        assert self.uninsured == loss

    def account(self, name: str) -> int:
        """Its id: accounts were opened in this order."""
        if name == "deep":
            return self.world.deep
        return self.world.sink + 1 + int(name.split()[1])

    def id(self, name: str) -> int:
        return self.accounts[name]

    def trade(self) -> None:
        """Fees that nobody has swept, and funding that was paid with a fraction left over."""
        world, draw = self.world, self.draw
        world.seen(
            world.venue.governor.send(
                "set_trading_terms", 0, 333, 777, 0, 0, 2**54, sender=world.owner
            )
        )
        world.seen(world.house.send("deposit", self.id("trader 0"), 10**9, sender=self.owner_of(0)))
        book, size = world.venue.order_book, draw.randint(1, 10**6)
        for name, is_buy in (("deep", False), ("trader 0", True)):
            address = world.engine.actor(name)
            args = self.id(name), 0, is_buy, size, PRICES[0], 0
            world.seen(book.send("place", *args, sender=address))
        world.wait(3_600)
        world.epoch()
        for name, is_buy in (("deep", True), ("trader 0", False)):
            address = world.engine.actor(name)
            args = self.id(name), 0, is_buy, size, PRICES[0], 0
            world.seen(book.send("place", *args, sender=address))
        assert world.house.call("fees") and world.house.call("active_markets", world.deep) == 0

    def owner_of(self, number: int) -> str:
        return self.world.engine.actor(f"trader {number}")

    def withdraw(self, name: str, amount: int) -> int:
        """What is really paid."""
        address = self.world.engine.actor(name)
        tx = self.house.send("withdraw", self.accounts[name], amount, sender=address)
        paid = int(tx.one("Withdrawn").paid)
        assert tx.one("Transfer").value == paid if tx.all("Transfer") else not paid
        return paid

    def leave(self, parts: Iterable[tuple[str, int]]) -> dict[str, int]:
        """Everybody's withdrawals in this order, on a copy of the chain. What each was paid."""
        snap = self.world.engine.snapshot()
        paid = dict.fromkeys(self.claims, 0)
        left = dict(self.claims)
        for count, (name, amount) in enumerate(parts):
            got = self.withdraw(name, amount)
            # Never less than by the ratio at the start; a unit more for each one before.
            assert self.fair(amount) <= got <= self.fair(amount) + count, (name, amount, count)
            paid[name] += got
            left[name] -= amount
        assert not any(left.values())
        # The last one out is paid too, and nothing is left but what is named.
        reading = self.world.ledger.check()
        assert reading.uninsured == 0
        assert reading.held == reading.fees + reading.remainder
        self.world.engine.revert(snap)
        return paid

    def fair(self, amount: int) -> int:
        """The ratio at the start, rounded down."""
        claims = sum(self.claims.values())
        return amount * max(0, claims - self.uninsured) // claims

    def split(self, name: str, really: bool = True) -> list[tuple[str, int]]:
        """All of a claim in up to five withdrawals."""
        left, out = self.claims[name], []
        for _ in range(self.draw.randint(0, 4) if really else 0):
            if left > 1:
                out.append(self.draw.randint(1, left - 1))
                left -= out[-1]
        return [(name, amount) for amount in (*out, left)]

    def run(self) -> None:
        names = [name for name, claim in self.claims.items() if claim]
        outcomes = []
        for order in (names, names[::-1], *(self.draw.sample(names, len(names)) for _ in range(3))):
            outcomes.append(self.leave((name, self.claims[name]) for name in order))
        # Being first or last is worth at most a unit for each of the others.
        for name in names:
            paid = [outcome[name] for outcome in outcomes]
            assert max(paid) - min(paid) < len(names), name
        # Splitting one's own withdrawal in a row, at any place, gains nothing.
        for name in self.draw.sample(names, 2):
            order = self.draw.sample(names, len(names))
            whole = self.leave((who, self.claims[who]) for who in order)
            parts = [
                p
                for who in order
                for p in (self.split(who) if who == name else [(who, self.claims[who])])
            ]
            assert self.leave(parts)[name] <= whole[name], name
        # All split theirs and interleave: the same bounds, checked one by one.
        parts = [part for name in names for part in self.split(name)]
        self.draw.shuffle(parts)
        self.leave(parts)


def test_neither_order_nor_splitting_matters_and_the_last_one_is_paid(base: World) -> None:
    for seed in range(EPISODES):
        snap, accounts = base.engine.snapshot(), list(base.ledger._accounts)
        try:
            Episode(base, seed).run()
        except (AssertionError, Reverted) as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        base.engine.revert(snap)
        base.ledger._accounts = accounts
