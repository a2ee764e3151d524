"""Attempts to take more out than is owed, or to be first at the exit."""

from __future__ import annotations

import itertools

import pytest

from breakwater.engine.base import Reverted
from tests.vectors.bench import VAULT, Bench, MarketSpec


def _loss(dollars: int = 50) -> Bench:
    """A venue with three savers of 100, 200 and 300 and an uninsured loss."""
    bench = Bench(MarketSpec("100"))
    bench.ids.pop("counterparty")
    for name, amount in (("s1", "100.000001"), ("s2", "200.000003"), ("s3", "333.333333")):
        bench.account(name, amount)
    bench.account("bankrupt", 50)
    bench.account("short", "1000")
    bench.account("late", "1000")
    bench.hold("bankrupt", 0, "10", "100", against="short")
    bench.mark({0: "90"})
    bench.trade("short", 0, 1_000, bench.prices[0], against="late")
    bench.liquidate("bankrupt")
    assert bench.uninsured() == dollars * 10**6
    return bench


def test_every_order_of_withdrawals_pays_the_same_ratio() -> None:
    """floor(w * h), whoever is first: payouts in any order differ by at most one micro-USDC per
    earlier withdrawal."""
    payouts: dict[str, set[int]] = {"s1": set(), "s2": set(), "s3": set()}
    bench = _loss()
    for order in itertools.permutations(payouts):
        snap = bench.engine.snapshot()
        for name in order:
            amount = bench.cash(name)
            house = bench.venue.clearinghouse
            held, loss = house.call("held"), house.call("uninsured")
            tx = bench.send("clearinghouse", "withdraw", name, bench.ids[name], amount)
            paid = tx.one("Withdrawn").paid
            assert paid == amount * held // (held + loss) >= amount - loss
            payouts[name].add(paid)
        bench.engine.revert(snap)
    for name, seen in payouts.items():
        assert max(seen) - min(seen) <= 2, (name, seen)


def test_withdrawing_in_crumbs_gains_nothing() -> None:
    bench = _loss()
    amount = bench.cash("s1")
    house = bench.venue.clearinghouse
    whole = amount * house.call("held") // (house.call("held") + house.call("uninsured"))
    bench.checking = False
    total = 0
    part = amount // 50
    for _ in range(50):
        tx = bench.send("clearinghouse", "withdraw", "s1", bench.ids["s1"], part)
        total += tx.one("Withdrawn").paid
    bench.check()
    assert total <= whole


def test_no_deposit_while_a_loss_is_uninsured_and_repaying_opens_again() -> None:
    bench = _loss()
    for account in ("s1", "late"):
        with pytest.raises(Reverted, match="no deposits while a loss is uninsured"):
            bench.deposit(account, 1)
    with pytest.raises(Reverted, match="no deposits while a loss is uninsured"):
        bench.insure(1)
    payer = bench.engine.actor("payer")
    bench.venue.mint(payer, 10**12, bench.venue.clearinghouse)
    house = bench.venue.clearinghouse
    with pytest.raises(Reverted, match="clearinghouse: amount out of range"):
        house.send("repay_uninsured", 50 * 10**6 + 1, sender=payer)
    bench.seen(house.send("repay_uninsured", 50 * 10**6, sender=payer))
    assert bench.uninsured() == 0
    tx = bench.withdraw("s1", "100")
    assert tx.one("Withdrawn").paid == 100 * 10**6
    bench.deposit("s1", 1)


def test_donation_is_nobodys() -> None:
    """Tokens sent to a contract of the venue are credited to no account, and break nothing."""
    bench = Bench(MarketSpec("100"))
    giver = bench.engine.actor("giver")
    bench.venue.usdc.send("mint", giver, 10**9, sender=giver)
    before = bench.check()
    for role in ("clearinghouse", "vault", "deleverager"):
        bench.venue.usdc.send("transfer", bench.venue.contracts[role], 10**8, sender=giver)
    after = bench.check()
    assert after.unaccounted == before.unaccounted + 10**8
    assert after.held == before.held
    assert bench.insurance() == 0


def test_deposit_to_someone_else() -> None:
    bench = Bench(MarketSpec("100"))
    bench.account("poor")
    friend = bench.engine.actor("friend")
    bench.seen(bench.venue.deposit(friend, bench.ids["poor"], 10**6))
    assert bench.cash("poor") == 10**6
    for account in (VAULT, bench.estate(0, True), 0, 99):
        with pytest.raises(Reverted, match="clearinghouse: unknown account"):
            bench.venue.deposit(friend, account, 10**6)


def test_only_the_owner_withdraws() -> None:
    bench = Bench(MarketSpec("100"))
    bench.account("rich", "100")
    house, thief = bench.venue.clearinghouse, bench.engine.actor("thief")
    for account, reason in (
        (bench.ids["rich"], "not your account"), (VAULT, "not your account"),
        (bench.estate(0, True), "not your account"), (99, "unknown account"),
    ):  # fmt: skip
        with pytest.raises(Reverted, match=reason):
            house.send("withdraw", account, 1, sender=thief)


def test_unrealised_profit_cannot_be_drawn_beyond_what_is_held() -> None:
    """A winner whose counterparty is bankrupt and not yet wound up asks for more than the venue
    has: refused in words, and what is there may be had (the bankrupt is settled later)."""
    bench = Bench(MarketSpec("100"))
    bench.account("loser", "100")
    bench.account("winner", "100")
    # Everybody else leaves.
    bench.withdraw("counterparty", "1000000000000")
    bench.hold("winner", 0, "-10", "100", against="loser")
    bench.mark({0: "50"})
    assert bench.equity("winner") == 600 * 10**6
    assert bench.venue.clearinghouse.call("held") == 200 * 10**6
    with pytest.raises(Reverted, match="margin: withdrawal beyond free margin"):
        bench.withdraw("winner", "200.000001")
    bench.withdraw("winner", "200")
    assert bench.venue.clearinghouse.call("held") == 0


def test_eight_markets_and_no_ninth() -> None:
    """An account with the most legs allowed goes bankrupt in all of them at once."""
    bench = Bench(*[MarketSpec("100") for _ in range(9)])
    bench.account("spread", "60")
    for market in range(8):
        bench.trade("spread", market, 100 if market % 2 else -100, bench.prices[market])
    # The counterparty has eight as well: somebody else offers the ninth.
    bench.account("other", "1000")
    bench.ask("other", 8, "1", "100")
    with pytest.raises(Reverted, match="margin: too many positions"):
        bench.bid("spread", 8, "1", "100")
    bench.epoch({m: 900_000 if m % 2 else 1_100_000 for m in range(8)})
    assert bench.equity("spread") == -20 * 10**6
    txs = [bench.liquidate("spread"), *bench.finish()]
    assert len(txs[0].all("LegWoundUp")) == 8
    assert sum(len(tx.all("RoundClosed")) for tx in txs) == 8
    assert sum(f.haircut for tx in txs for f in tx.all("Deleveraged")) == 20 * 10**6
    assert bench.uninsured() == 0
    assert bench.venue.clearinghouse.call("frozen_markets") == 0
    assert bench.cash("spread") == 0
