"""The liquidation fee and the caller's reward: paid by the liquidated account, and never so that it
lacks anything for it.

The account is long 100 units from $100 with $500: below maintenance under $97.4359.
"""

from __future__ import annotations

from typing import Any

import pytest

from breakwater.engine.base import Reverted
from tests.tranche import without_code
from tests.vectors.bench import VAULT, Bench, MarketSpec

USDC = 10**6


def bench_with_fees(
    fee: int = 10_000, reward: int = 0, share: int = 0, above: int | None = None, **config: Any
) -> Bench:
    bench = Bench(MarketSpec("100"), **config)
    liquidator, owner = bench.venue.liquidator, bench.venue.owner
    liquidator.send("set_fees", fee, reward, share, sender=owner)
    if above is not None:
        liquidator.send("set_partial", above, 30, sender=owner)
    bench.account("long", "500")
    bench.account("maker", "100000")
    bench.account("caller", "1")
    bench.hold("long", 0, "100", "100")
    return bench


def liquidate(bench: Bench, steps: int = 40, reward_account: str = "caller") -> Any:
    """By the named account's owner, who wants the reward there."""
    return bench.send(
        "liquidator", "liquidate", reward_account, bench.ids["long"], steps,
        bench.ids[reward_account],
    )  # fmt: skip


def test_the_fee_is_of_the_notional_at_the_mark_and_goes_to_the_vault() -> None:
    bench = bench_with_fees()
    bench.bid("maker", 0, "100", "97.1")
    bench.mark({0: "97"})
    tx = bench.liquidate("long")
    # 1% of $9,700, out of $210.
    charged = tx.one("LiquidationCharged")
    assert (charged.account, charged.reward_account) == (bench.ids["long"], 0)
    assert (charged.fee, charged.flat, charged.reward) == (97 * USDC, 0, 0)
    assert (bench.cash("long"), bench.insurance()) == (113 * USDC, 97 * USDC)
    assert tx.one("Liquidated").equity == 113 * USDC


def test_the_fee_is_rounded_up() -> None:
    bench = bench_with_fees(1)
    bench.bid("maker", 0, "100", "97.0001")
    bench.mark({0: "97.0001"})
    # 9,700,010,000 micro-USDC: a millionth is 9,700.01.
    assert bench.liquidate("long").one("LiquidationCharged").fee == 9_701


@pytest.mark.parametrize(("bid", "left", "fee"), [("95.5", 50, 50), ("95", 0, 0), ("96", 100, 97)])
def test_it_takes_no_more_than_there_is(bid: str, left: int, fee: int) -> None:
    bench = bench_with_fees()
    bench.bid("maker", 0, "100", bid)
    bench.mark({0: "97"})
    tx = bench.liquidate("long")
    assert sum(c.fee for c in tx.all("LiquidationCharged")) == fee * USDC
    assert bench.cash("long") == (left - fee) * USDC


def test_who_lacks_money_pays_nothing() -> None:
    bench = bench_with_fees(reward=10 * USDC)
    bench.insure("1000")
    bench.bid("maker", 0, "100", "94.9")
    bench.mark({0: "96"})
    tx = liquidate(bench)
    assert tx.one("LiquidationFill").insurance == 10 * USDC
    assert not tx.all("LiquidationCharged")
    assert (bench.cash("long"), bench.cash("caller")) == (0, USDC)


@pytest.mark.parametrize(
    ("bid", "equity", "fee"),
    [
        # Before: $200 for $242.50 of maintenance. After a fifth $194 are needed, and $160 are as
        # strong as before: the fee of 1% on $1,940 may take what is above.
        ("96.5", "190", "19.4"),
        ("96", "180", "19.4"),
        ("95.5", "170", "10"),
        ("95", "160", "0"),
    ],
)
def test_a_weak_account_is_left_as_strong_as_it_came(bid: str, equity: str, fee: str) -> None:
    bench = bench_with_fees(above=5_000 * USDC)
    bench.bid("maker", 0, "100", bid)
    bench.mark({0: "97"})
    tx = bench.liquidate("long")
    paid = sum(c.fee for c in tx.all("LiquidationCharged"))
    assert paid == int(float(fee) * USDC)
    assert bench.equity("long") == int(equity) * USDC - paid
    margin = bench.margin("long")
    assert margin.equity * 242_500_000 >= margin.maintenance * 200 * USDC


def test_a_recovered_account_is_not_taken_below_maintenance_again() -> None:
    bench = bench_with_fees(above=5_000 * USDC, reward=10 * USDC)
    bench.bid("maker", 0, "100", "97")
    bench.mark({0: "97"})
    # $200 left and $194 needed: of $19.40 and the reward the account can spare $6.
    charged = liquidate(bench).one("LiquidationCharged")
    assert (charged.fee, charged.flat) == (6 * USDC, 0)
    assert bench.equity("long") == bench.margin("long").maintenance == 194 * USDC
    assert not bench.is_liquidatable("long")


def test_the_caller_gets_the_flat_reward_and_its_share_of_the_fee() -> None:
    bench = bench_with_fees(reward=2 * USDC, share=250_000)
    bench.bid("maker", 0, "100", "97")
    bench.mark({0: "97"})
    charged = liquidate(bench).one("LiquidationCharged")
    assert (charged.fee, charged.flat) == (97 * USDC, 2 * USDC)
    assert charged.reward == 24_250_000 + 2 * USDC
    assert bench.cash("caller") == USDC + charged.reward
    assert bench.insurance() == 97 * USDC - 24_250_000
    assert bench.cash("long") == (200 - 99) * USDC


def test_without_a_fee_there_is_no_reward() -> None:
    bench = bench_with_fees(fee=0, reward=2 * USDC, share=250_000)
    bench.bid("maker", 0, "100", "97")
    bench.mark({0: "97"})
    assert not liquidate(bench).all("LiquidationCharged")
    assert (bench.cash("long"), bench.cash("caller")) == (200 * USDC, USDC)


def test_a_tiny_account_is_worth_clearing() -> None:
    """$20 at 20x: 1% of it is 20 cents, and the flat reward comes from what is left."""
    bench = bench_with_fees(reward=USDC // 4)
    bench.account("tiny", "1")
    bench.hold("tiny", 0, "0.2", "100")
    bench.bid("maker", 0, "0.2", "97.4")
    bench.mark({0: "97.4"})
    bench.send("liquidator", "liquidate", "caller", bench.ids["tiny"], 5, bench.ids["caller"])
    assert bench.cash("caller") == USDC + USDC // 4
    assert bench.cash("tiny") == 480_000 - 194_800 - 250_000


def test_the_flat_reward_is_due_once() -> None:
    """In the call that ends the liquidation, however many it is chopped into."""
    bench = bench_with_fees(fee=100, reward=2 * USDC)
    for _ in range(10):
        bench.bid("maker", 0, "10", "95.04")
    bench.mark({0: "97"})
    flats = []
    while bench.is_liquidatable("long"):
        flats += [c.flat for c in liquidate(bench, 2).all("LiquidationCharged")]
    assert flats == [0, 0, 0, 0, 2 * USDC]


def test_chopping_takes_no_more_from_the_account_than_one_call() -> None:
    """But for a rounded-up micro-USDC a call."""
    ends = []
    for steps in (256, 4, 2):
        bench = bench_with_fees(fee=101, reward=2 * USDC)
        for _ in range(10):
            bench.bid("maker", 0, "10", "95.04")
        bench.mark({0: "97.0001"})
        calls = 0
        while bench.is_liquidatable("long"):
            liquidate(bench, steps)
            calls += 1
        ends.append((calls, bench.cash("long")))
    assert [calls for calls, _ in ends] == [1, 3, 5]
    whole = ends[0][1]
    assert all(0 <= whole - cash <= calls for calls, cash in ends), ends


def test_the_fee_repays_uninsured_loss_first() -> None:
    bench = bench_with_fees()
    venue = bench.venue
    with without_code(venue.engine, venue.liquidator.address):
        # A loss of $30 that somebody had, as if it had been written off.
        venue.clearinghouse.send(
            "write_off", bench.ids["maker"], 30 * USDC, sender=venue.liquidator.address
        )
    # Whoever buys may only reduce now.
    bench.bid("counterparty", 0, "100", "97")
    bench.mark({0: "97"})
    tx = bench.liquidate("long")
    assert tx.one("LiquidationCharged").fee == 97 * USDC
    assert tx.one("Recovered").amount == 30 * USDC
    assert (bench.uninsured(), bench.insurance()) == (0, 67 * USDC)


@pytest.mark.parametrize("steps", [2, 3, 4, 40])
@pytest.mark.parametrize("above", [None, 1_000 * USDC])
@pytest.mark.parametrize("bid", ["97.43", "96.5", "95.5", "95.0", "94.9943"])
def test_nobody_gains_by_liquidating_himself(bid: str, above: int | None, steps: int) -> None:
    """One person is the long, the only bidder and the caller with the reward, at the first tick
    below maintenance, with all parameters at their bounds. He ends with no more than he had."""
    bench = bench_with_fees(reward=10 * USDC, share=10**6, above=above, insured_band=10**6)
    bench.insure("100000")
    names = ("long", "maker", "caller")
    bench.mark({0: "97.4358"})
    before = sum(bench.equity(name) for name in names)
    for _ in range(10):
        bench.bid("maker", 0, "10", bid)
    for _ in range(60):
        if not bench.is_liquidatable("long"):
            break
        liquidate(bench, steps)
    assert sum(bench.equity(name) for name in names) <= before
    assert bench.insurance() >= 100_000 * USDC


def test_who_cannot_get_a_reward() -> None:
    bench = bench_with_fees()
    bench.bid("maker", 0, "100", "97")
    bench.mark({0: "97"})
    for account in (bench.ids["long"], VAULT, bench.estate(0, True), 999):
        with pytest.raises(Reverted, match="no account for a reward"):
            bench.venue.liquidator.send(
                "liquidate", bench.ids["long"], 40, account, sender=bench.keeper
            )


def test_an_account_in_an_open_round_gets_no_reward() -> None:
    """More equity would lower its rank."""
    bench = Bench(MarketSpec("100"), MarketSpec("100"))
    owner = bench.venue.owner
    bench.venue.liquidator.send("set_fees", 10_000, USDC, 0, sender=owner)
    for name in ("bankrupt", "long"):
        bench.account(name, "500")
    for name in ("winner", "other"):
        bench.account(name, "10000")
    bench.hold("bankrupt", 1, "100", "100", against="winner")
    bench.hold("counterparty", 1, "-1", "100", against="other")
    bench.hold("long", 0, "100", "100")
    bench.mark({0: "97", 1: "90"})
    bench.liquidate("bankrupt", 1)
    assert bench.busy()
    with pytest.raises(Reverted, match="no account for a reward"):
        bench.venue.liquidator.send(
            "liquidate", bench.ids["long"], 40, bench.ids["winner"], sender=bench.keeper
        )


def test_the_owner_sets_them_within_bounds() -> None:
    bench = Bench(MarketSpec("100"))
    liquidator, owner = bench.venue.liquidator, bench.venue.owner
    event = liquidator.send("set_fees", 10_000, 10**7, 10**6, sender=owner).one("FeesSet")
    assert (event.liquidation_fee, event.reward, event.reward_share) == (10_000, 10**7, 10**6)
    for values, reason in (
        ((10_001, 0, 0), "fee above 1%"),
        ((0, 10**7 + 1, 0), "reward above 10 USDC"),
        ((0, 0, 10**6 + 1), "share above 100%"),
    ):
        with pytest.raises(Reverted, match=reason):
            liquidator.send("set_fees", *values, sender=owner)
    with pytest.raises(Reverted, match="caller is not the owner"):
        liquidator.send("set_fees", 0, 0, 0, sender=bench.keeper)
