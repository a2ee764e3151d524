"""The rules of ERC-4626 and the vault's own: random deposits, exits, gifts, losses and prices.

Round trips never profit, previews bound results, limits hold to the unit, nobody's entry or exit
costs the others, and the order of a run does not matter. BREAKWATER_LONG=1 is the long form.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest

from breakwater.engine.base import Reverted
from tests.stateful.vault_world import (
    DAY,
    MAX_DEPOSIT,
    MAX_SHARES,
    POOL,
    PPM,
    PRICES,
    USDC,
    VIRTUAL_ASSETS,
    VIRTUAL_SHARES,
    World,
    ceil_div,
)  # fmt: skip
from tests.vectors.bench import Bench, MarketSpec

LONG = os.environ.get("BREAKWATER_LONG", "") not in ("", "0")
EPISODES = 200 if LONG else 18
OPERATIONS = 100
PEOPLE = ["one", "two", "three", "four"]
WANTED = (
    "deposit", "mint", "request", "cancel", "redeem", "withdraw", "shares moved", "contribute",
    "pay", "paid in part", "loss nobody pays", "repaid", "tranche funded", "tranche defunded",
    "tranche takes over", "price moved", "stale", "round opened", "round worked on", "lots left",
    "entry closed", "exit closed", "assets at zero", "entry without assets", "tranche below zero",
    "redeemed at a ratio", "withdrawn at a ratio", "tranche pays an exit", "fence", "fence removed",
    "run", "run at a ratio", "payments in two orders", "round trip",
)  # fmt: skip
HIGH, MIDDLE, LOW = 2, 1, 0


@pytest.fixture(scope="module")
def base() -> World:
    world = World()
    for who in PEOPLE:
        world.fund(who, 10**30)
    world.fund("donor", 10**30)
    world.venue.mint(world.owner, 10**30, world.house)
    return world


class Episode:
    """One random story; every operation is followed by all the rules."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.draw = random.Random(seed)
        self.reached: Counter[str] = Counter()
        self.told: list[str] = []
        # Some vaults are of a few micro-USDC, where rounding is all there is.
        self.size = self.draw.choice([10, 10**6, 10**9, 10**15])
        # Each of these closes a door; some stories do without.
        self.rounds = self.draw.random() < 0.4
        self.debts = self.draw.random() < 0.5

    # ---------------------------------------------------------------- reading

    def assets(self, which: int) -> int:
        gains = self.world.estate_gains() + self.world.fees_due() if which == HIGH else 0
        return max(self.world.cash(), 0) + self.world.expected_value()[which] + gains

    def supply(self) -> int:
        return int(self.world.call("totalSupply"))

    def address(self, who: str) -> str:
        return self.world.engine.actor(who)

    def amount(self) -> int:
        return self.draw.choice([1, 2, self.size, self.draw.randint(1, self.size)])

    # ---------------------------------------------------------------- operations

    def deposit(self) -> None:
        who, amount = self.draw.choice(PEOPLE), self.amount()
        if not 0 < amount <= self.world.maximum("Deposit", who):
            self.refused(who, "deposit", amount, self.address(who))
            return
        shares = self.world.call("previewDeposit", amount)
        assert shares == amount * (self.supply() + VIRTUAL_SHARES) // (
            self.assets(HIGH) + VIRTUAL_ASSETS
        )
        if shares == 0:
            self.reached["too little for a share"] += 1
            self.refused(who, "deposit", amount, self.address(who))
            return
        rate = self.rate(HIGH)
        event = self.world.send(who, "deposit", amount, self.address(who)).one("Deposit")
        assert (event.assets, event.shares) == (amount, shares), "PREVIEW: deposit"
        assert self.rate(HIGH) >= rate, "DILUTED: by a deposit"
        self.reached["deposit"] += 1

    def mint(self) -> None:
        who = self.draw.choice(PEOPLE)
        shares = max(1, self.world.call("convertToShares", self.amount()) + self.draw.randint(0, 3))
        if shares > self.world.maximum("Mint", who):
            self.refused(who, "mint", shares, self.address(who))
            return
        amount, rate = self.world.call("previewMint", shares), self.rate(HIGH)
        event = self.world.send(who, "mint", shares, self.address(who)).one("Deposit")
        assert (event.assets, event.shares) == (amount, shares), "PREVIEW: mint"
        assert self.rate(HIGH) >= rate, "DILUTED: by a mint"
        self.reached["mint"] += 1

    def request(self) -> None:
        who = self.draw.choice(PEOPLE)
        held = self.world.call("exit_request", self.address(who))
        free = self.world.shares(who) - held.matured - held.pending
        if not free:
            self.refused(who, "request_exit", 1)
            return
        shares = self.draw.choice([free, self.draw.randint(1, free)])
        self.refused(who, "request_exit", free + 1)
        self.world.send(who, "request_exit", shares)
        after = self.world.call("exit_request", self.address(who))
        pending = held.pending + shares
        if self.world.call("exit_delay"):
            assert (after.matured, after.pending) == (held.matured, pending)
        else:
            assert (after.matured, after.pending) == (held.matured + pending, 0)
        self.reached["request"] += 1

    def cancel(self) -> None:
        who = self.draw.choice(PEOPLE)
        held = self.world.call("exit_request", self.address(who))
        if not held.matured + held.pending:
            self.refused(who, "cancel_exit")
            return
        if self.draw.random() < 0.7:
            self.world.send(who, "cancel_exit")
            self.reached["cancel"] += 1

    def leave(self) -> None:
        """A redemption or withdrawal of some or all of what may leave."""
        world = self.world
        able = [who for who in PEOPLE if world.maximum("Redeem", who)]
        who = self.draw.choice(able if able and self.draw.random() < 0.8 else PEOPLE)
        me = self.address(who)
        by_shares = self.draw.random() < 0.5
        most = world.maximum("Redeem" if by_shares else "Withdraw", who)
        method = "redeem" if by_shares else "withdraw"
        self.refused(who, method, most + 1, me, me)
        if not most:
            return
        given = self.draw.choice([most, most, self.draw.randint(1, most)])
        preview = world.call("previewRedeem" if by_shares else "previewWithdraw", given)
        rate, owed, cash = self.rate(LOW), world.house.call("uninsured"), world.cash()
        before = world.venue.usdc.call("balanceOf", me)
        tx = world.send(who, method, given, me, me)
        event, left = tx.one("Withdraw"), tx.one("Left")
        shares, paid = (given, preview) if by_shares else (preview, given)
        assert (event.shares, event.assets) == (shares, paid), f"PREVIEW: {method}"
        assert world.venue.usdc.call("balanceOf", me) == before + paid
        assert left.given_up == paid or owed, "RATIO: without a loss"
        assert self.rate(LOW) >= rate, f"DILUTED: by a {method}"
        if owed and paid:
            self.reached["redeemed at a ratio" if by_shares else "withdrawn at a ratio"] += 1
        if left.given_up > cash:
            self.reached["tranche pays an exit"] += 1
        self.reached[method] += 1

    def move_shares(self) -> None:
        source, to = self.draw.sample(PEOPLE, 2)
        held = self.world.call("exit_request", self.address(source))
        free = self.world.shares(source) - held.matured - held.pending
        self.refused(source, "transfer", self.address(to), free + 1)
        if free:
            self.world.send(source, "transfer", self.address(to), self.draw.randint(1, free))
            self.reached["shares moved"] += 1

    def contribute(self) -> None:
        amount = self.amount()
        if self.world.house.call("uninsured"):
            self.refused("donor", "contribute", amount)
            return
        self.world.send("donor", "contribute", amount)
        self.reached["contribute"] += 1

    def pay(self) -> None:
        world = self.world
        market = self.draw.choice([0, 1, POOL])
        cash = world.cash()
        wanted = self.draw.choice([0, self.amount(), cash // 2, cash // 10])
        if self.draw.random() < 0.1:
            wanted = cash + self.draw.randint(0, 1)
        room = world.call("available", market)
        paid = world.lose(wanted, market)
        assert paid == min(wanted, room) and world.cash() == cash - paid >= 0
        self.reached["pay"] += 1
        if paid < wanted:
            self.reached["paid in part"] += 1

    def owe(self) -> None:
        world = self.world
        owed = world.house.call("uninsured")
        if owed and self.draw.random() < 0.7:
            house, amount = world.house, self.draw.choice([owed, ceil_div(owed, 2)])
            world.seen(house.send("repay_uninsured", amount, sender=world.owner))
            self.reached["repaid"] += 1
        elif self.debts and self.draw.random() < 0.5:
            # Large against all claims, so that the ratio is far from 1.
            world.owe(self.draw.choice([1, self.size, 10**17, 6 * 10**17]))
            self.reached["loss nobody pays"] += 1

    def fund_or_defund(self) -> None:
        world = self.world
        held = world.call("valuation")
        lacking = -world.house.call("equity", world.tranche)
        if lacking > 0:
            # What ADL at its bankruptcy price would come to.
            world.act("clearinghouse", "transfer_cash", world.deep, world.tranche, lacking)
            return
        if self.draw.random() < 0.6:
            share = world.call("tranche_share")
            most = min(held.cash, share * (held.cash + held.low) // PPM - held.high)
            method, name = "fund_tranche", "tranche funded"
        else:
            most, method, name = held.free, "defund_tranche", "tranche defunded"
        most = max(most, 0) if world.call("is_open") else 0
        self.refused("owner", method, most + 1)
        if most:
            world.govern(method, self.draw.choice([most, self.draw.randint(1, most)]))
            self.reached[name] += 1

    def take_over(self) -> None:
        world, market = self.world, self.draw.choice([0, 1])
        equity = world.house.call("equity", world.tranche)
        if world.busy() or equity <= 0:
            return
        # A position has 56 bits.
        room = 2**54 - abs(world.house.call("position", world.tranche, market).size)
        lots = min(equity * self.draw.randint(1, 30) // world.prices[market], room)
        if lots > 0:
            world.hold(market, self.draw.choice([lots, -lots]))
            self.reached["tranche takes over"] += 1

    def prices(self) -> None:
        draw = self.draw
        width = draw.choice([0.01, 0.05, 0.2])
        self.world.epoch(
            {
                market: max(20, int(price * draw.uniform(1 - width, 1 + width)))
                for market, price in enumerate(self.world.prices)
            }
        )
        self.reached["price moved"] += 1

    def pass_time(self) -> None:
        """Prices go stale, or are told anew afterwards."""
        self.world.wait(self.draw.choice([DAY // 2, DAY, 2 * DAY]))
        # The time passes with the next transaction.
        self.world.send("donor", "approve", self.address("one"), 1)
        if self.draw.random() < 0.7:
            self.world.epoch()

    def round(self) -> None:
        world, draw = self.world, self.draw
        if world.busy():
            world.advance(draw.choice([1, 1, 256]))
            self.reached["round worked on"] += 1
        elif self._lots_left():
            # A fall puts the deep account's short into profit at the estate's price.
            world.epoch({0: max(20, world.prices[0] * 9 // 10)})
            try:
                world.seen(world.venue.deleverager.send("retry", 0, True, 256, sender=world.keeper))
            except Reverted as error:
                # The market must first have been open for as long as it was frozen.
                assert error.reason == "deleverager: frozen too lately"
        elif self.rounds:
            price = world.prices[0]
            lots = max(1, self.size // draw.choice([2, 10, 100]) // price)
            world.bankrupt(0, lots, price + max(1, price * draw.randint(1, 20) // 100))
            self.reached["round opened"] += 1

    def fences(self) -> None:
        world, market = self.world, self.draw.choice([0, 1])
        fenced, share = world.call("ring_fence", market)
        if world.busy():
            self.refused("owner", "set_ring_fence", market, 0)
            return
        if fenced and self.draw.random() < 0.5:
            world.govern("remove_ring_fence", market)
            self.reached["fence removed"] += 1
            return
        room = PPM - world.call("fenced_share") + (share if fenced else 0)
        self.refused("owner", "set_ring_fence", market, room + 1)
        world.govern("set_ring_fence", market, self.draw.choice([0, room, room // 2]))
        self.reached["fence"] += 1

    # ---------------------------------------------------------------- rules

    def refused(self, who: str, method: str, *args: Any) -> None:
        assert self.world.refusal(who, method, *args), (
            f"LIMIT: {method}{args} by {who} goes through"
        )

    def rate(self, which: int) -> Fraction:
        """What a share is worth."""
        return Fraction(self.assets(which) + VIRTUAL_ASSETS, self.supply() + VIRTUAL_SHARES)

    def rules(self) -> None:
        world, call = self.world, self.world.call
        low, middle, high = world.expected_value()
        cash, supply = world.cash(), self.supply()
        held = call("valuation")
        assert cash >= 0, "ZERO: the vault is below zero"
        assert (held.cash, held.low, held.mid, held.high) == (cash, low, middle, high)
        assert call("totalAssets") == cash + middle
        assert sum(world.shares(who) for who in PEOPLE) == supply, "SHARES: lost or made"
        owed, busy = world.house.call("uninsured"), world.busy()
        margin = world.house.call("margin", world.tranche)
        closed_in = busy or owed or not held.sound or (supply and cash + middle == 0)
        lots = self._lots_left()
        open_out = held.sound and not busy and not lots
        assert held.sound == (margin.is_fresh and margin.equity >= 0)
        assert call("is_open") == open_out
        for who in PEOPLE:
            request = call("exit_request", self.address(who))
            assert request.matured + request.pending <= world.shares(who), "LOCK: too many"
            assert (world.maximum("Deposit", who) == 0) == bool(closed_in)
            assert (world.maximum("Mint", who) == 0) == bool(closed_in)
            most = world.maximum("Redeem", who)
            assert most <= (request.matured if open_out else 0), "LIMIT: of a redemption"
            assert most == request.matured or not open_out or not self._liquid(), "LIMIT: too low"
            assert world.maximum("Withdraw", who) == call("previewRedeem", most)
        for amount in (1, self.amount(), self.size):
            shares = call("convertToShares", amount)
            assert call("previewDeposit", amount) <= shares <= call("previewWithdraw", amount)
            assert call("previewMint", shares) >= call("convertToAssets", shares)
            assert call("convertToAssets", shares) >= call("previewRedeem", shares)
            assert call("convertToAssets", shares) <= amount
            # Round trips, in previews.
            assert call("previewRedeem", call("previewDeposit", amount)) <= amount
            assert call("previewMint", call("previewWithdraw", amount)) >= amount
            assert call("previewWithdraw", call("previewMint", shares)) >= shares
        # Markets without a fence share the pool's budget.
        fenced = [market for market in (0, 1) if call("ring_fence", market)[0]]
        budgets = [call("available", market) for market in (*fenced, POOL)]
        assert all(call("available", m) == budgets[-1] for m in (0, 1) if m not in fenced)
        assert sum(budgets) <= cash, "FENCE: promised twice"
        assert all(budget <= cash for budget in budgets)
        for what, holds in (
            ("entry closed", closed_in),
            ("exit closed", not open_out),
            ("assets at zero", cash + middle == 0 and supply),
            ("entry without assets", cash + middle == 0 and supply and not (busy or owed)),
            ("tranche below zero", margin.equity < 0),
            ("stale", not margin.is_fresh),
            ("lots left", lots and not busy),
        ):
            self.reached[what] += bool(holds)

    def _lots_left(self) -> bool:
        house = self.world.house
        return any(
            house.call("active_markets", house.call("estate", m, s))
            for m in (0, 1) for s in (True, False)
        )  # fmt: skip

    def _liquid(self) -> bool:
        """Whether cash and the tranche's free margin pay for all the shares there are."""
        held = self.world.call("valuation")
        tokens = self.world.house.call("held")
        return bool(held.cash + held.free >= held.cash + held.low and tokens >= self.assets(LOW))

    def trials(self) -> None:
        """What is tried and taken back: limits, round trips, a run, payments in two orders."""
        for trial in (self._limits, self._round_trip, self._run, self._two_orders):
            snap = self.world.engine.snapshot()
            accounts = list(self.world.ledger._accounts)
            trial()
            self.world.engine.revert(snap)
            self.world.ledger._accounts = accounts

    def _limits(self) -> None:
        """Each maximum goes through, a unit more does not."""
        world, who = self.world, self.draw.choice(PEOPLE)
        me = self.address(who)
        world.fund(who)
        for what in ("Deposit", "Mint"):
            most = world.maximum(what, who)
            self.refused(who, what.lower(), most + 1, me)
            if most and (what == "Mint" or world.call("previewDeposit", most)):
                assert world.refusal(who, what.lower(), most, me) is None, (
                    f"LIMIT: {what} at {most}"
                )
        for what in ("Redeem", "Withdraw"):
            most = world.maximum(what, who)
            self.refused(who, what.lower(), most + 1, me, me)
            if most:
                assert world.refusal(who, what.lower(), most, me, me) is None, f"LIMIT: {what}"

    def _no_delay(self) -> None:
        call = self.world.call
        self.world.govern("set_parameters", 0, call("exit_haircut"), call("tranche_share"))

    def _round_trip(self) -> None:
        """In and out at once, by any of the two ways, pays no more than it took."""
        world, who, amount = self.world, "four", self.amount()
        me = self.address(who)
        self._no_delay()
        if amount > world.maximum("Deposit", who) or not world.call("previewDeposit", amount):
            return
        before = world.shares(who)
        if self.draw.random() < 0.5:
            event = world.send(who, "deposit", amount, me).one("Deposit")
        else:
            shares = world.call("previewDeposit", amount)
            event = world.send(who, "mint", shares, me).one("Deposit")
        if world.call("exit_request", me).matured + world.call("exit_request", me).pending:
            world.send(who, "cancel_exit")
        world.send(who, "request_exit", event.shares)
        most = world.maximum("Redeem", who)
        if most == 0:
            return
        assert most <= event.shares
        if self.draw.random() < 0.5:
            out = world.send(who, "redeem", most, me, me).one("Withdraw")
        elif world.maximum("Withdraw", who):
            out = world.send(who, "withdraw", world.maximum("Withdraw", who), me, me).one(
                "Withdraw"
            )
        else:
            return
        assert out.assets <= event.assets, "ROUND TRIP: profits"
        assert world.shares(who) >= before
        self.reached["round trip"] += 1

    def _run(self) -> None:
        """All leave at once: each is paid the same rate, up to a micro-USDC for each one before,
        whatever the order."""
        world, owed = self.world, self.world.house.call("uninsured")
        if not world.call("is_open") or not self._liquid():
            return
        self._no_delay()
        leaving = [who for who in PEOPLE if world.shares(who)]
        rate = self.rate(LOW)
        ratio = Fraction(1)
        if owed:
            event = world.house.call("held") - world.house.call("fees")
            ratio = max(Fraction(0), Fraction(event, event + owed))
        for who in leaving:
            held = world.call("exit_request", self.address(who))
            free = world.shares(who) - held.matured - held.pending
            if free:
                world.send(who, "request_exit", free)
        self.draw.shuffle(leaving)
        for before, who in enumerate(leaving):
            me = self.address(who)
            shares = world.shares(who)
            if world.maximum("Redeem", who) < shares:
                # The tokens ran out for now: others' profit has left with them.
                return
            paid = world.send(who, "redeem", shares, me, me).one("Withdraw").assets
            exact = shares * rate
            if not owed:
                assert int(exact) <= paid <= exact + before, f"RUN: {who} gets {paid} of {exact}"
            elif owed < world.house.call("held"):
                # Rounded twice: into assets, and at the ratio.
                least = (exact - 1) * ratio - 1
                assert least <= paid <= exact * ratio + 2 * before + 1, f"RUN: {who} at a ratio"
        if leaving:
            self.reached["run at a ratio" if owed else "run"] += 1
            assert self.supply() == 0

    def _two_orders(self) -> None:
        """Two losses in different markets are paid the same in either order."""
        world = self.world
        markets = self.draw.sample([0, 1, POOL], 2)
        if not all(world.call("ring_fence", market)[0] for market in markets if market != POOL):
            return
        wanted = {m: self.draw.choice([self.amount(), world.cash()]) for m in markets}
        paid: list[dict[int, int]] = []
        for order in (markets, markets[::-1]):
            snap = world.engine.snapshot()
            paid.append({m: world.lose(wanted[m], m) for m in order})
            world.engine.revert(snap)
        for market in markets:
            # A micro-USDC once money has left since the fences changed; see `_available`.
            assert abs(paid[0][market] - paid[1][market]) <= 1, f"ORDER: {paid}"
        self.reached["payments in two orders"] += 1

    # ---------------------------------------------------------------- the story

    def run(self) -> None:
        haircut = self.draw.choice([0, 10_000, 500_000])
        delay = self.draw.choice([0, 3_600, DAY])
        self.world.govern("set_parameters", delay, haircut, 500_000)
        chances = [
            (self.deposit, 8), (self.mint, 4), (self.request, 7), (self.cancel, 1), (self.leave, 9),
            (self.move_shares, 1), (self.contribute, 1), (self.pay, 3), (self.owe, 3),
            (self.fund_or_defund, 3), (self.take_over, 2), (self.prices, 3), (self.pass_time, 4),
            (self.round, 3), (self.fences, 2),
        ]  # fmt: skip
        for step in range(OPERATIONS):
            rule = self.draw.choices([r for r, _ in chances], [w for _, w in chances])[0]
            if self.world.busy() or self._lots_left():
                rule = self.draw.choice([rule, self.round])
            elif self.world.house.call("uninsured"):
                rule = self.draw.choice([rule, self.leave, self.owe])
            elif self.assets(MIDDLE) == 0:
                rule = self.draw.choice([rule, self.contribute])
            elif not self.world.call("valuation").sound:
                rule = self.draw.choice([rule, self.prices, self.fund_or_defund])
            self.told.append(rule.__name__)
            rule()
            self.rules()
            if step % 8 == 0:
                self.trials()


def test_random_vaults(base: World) -> None:
    reached: Counter[str] = Counter()
    for seed in range(EPISODES):
        snap, accounts = base.engine.snapshot(), list(base.ledger._accounts)
        base.prices = list(PRICES)
        episode = Episode(base, seed)
        try:
            episode.run()
        except AssertionError as error:
            story = "\n".join(episode.told)
            raise AssertionError(f"seed {seed}, after\n{story}\n{error}") from error
        reached += episode.reached
        base.engine.revert(snap)
        base.ledger._accounts = accounts
    print()
    print("\n".join(f"{what:<28}{reached[what]:>8}" for what in sorted(WANTED)))
    missing = [what for what in WANTED if not reached[what]]
    assert not missing, f"never reached: {missing}"


# --- Stories -------------------------------------------------------------------------------------


def leave_in(order: list[str], world: World) -> dict[str, int]:
    """All request, wait for the delay together and redeem everything in this order."""
    for who in order:
        world.send(who, "request_exit", world.shares(who))
    world.wait(DAY)
    world.epoch()
    paid = {}
    for who in order:
        me = world.engine.actor(who)
        paid[who] = int(world.send(who, "redeem", world.shares(who), me, me).one("Withdraw").assets)
    return paid


DEPOSITS = {"one": 7_000 * USDC, "two": 1_000 * USDC + 1, "three": 333_333_333, "four": 2 * USDC}


@pytest.mark.parametrize("uninsured", [0, 10**9 + 7], ids=["paid", "uninsured"])
def test_a_run_pays_all_the_same_rate_in_any_order(uninsured: int) -> None:
    """To the micro-USDC, or to one for each withdrawal before while a loss is uninsured."""
    world = World()
    for who, amount in DEPOSITS.items():
        world.put(who, amount)
    assert world.lose(2_777_777_777) == 2_777_777_777
    if uninsured:
        # The deep account has as much as the loss again: all are paid about half.
        address = world.engine.actor("deep")
        world.seen(world.house.send("withdraw", world.deep, 10**18 - 2 * 10**9, sender=address))
        world.owe(uninsured)
    left = sum(DEPOSITS.values()) - 2_777_777_777
    outcomes = []
    for order in (list(DEPOSITS), list(DEPOSITS)[::-1], ["three", "one", "four", "two"]):
        snap = world.engine.snapshot()
        outcomes.append(leave_in(order, world))
        world.engine.revert(snap)
    print(
        f"\nuninsured {uninsured}: {left} micro-USDC left of {sum(DEPOSITS.values())}: {outcomes}"
    )
    for who, amount in DEPOSITS.items():
        paid = [outcome[who] for outcome in outcomes]
        assert max(paid) - min(paid) <= (3 if uninsured else 1), who
        if not uninsured:
            # The virtual shares bear their part, less than a micro-USDC.
            assert abs(paid[0] - Fraction(amount * left, sum(DEPOSITS.values()))) <= 1


def test_a_run_after_a_real_liquidation() -> None:
    """A gap; the book takes a bankrupt's position below its bankruptcy price, and the depositors
    bear the difference alike."""
    outcomes = []
    for order in (["one", "two", "three"], ["three", "two", "one"]):
        bench = Bench(MarketSpec("100"))
        vault = bench.venue.vault
        deposits = {"one": 600 * USDC, "two": 250 * USDC, "three": 150 * USDC}
        for who, amount in deposits.items():
            address = bench.owners[who] = bench.engine.actor(who)
            bench.venue.mint(address, amount, vault)
            bench.send("vault", "deposit", who, amount, address)
            bench.send("vault", "request_exit", who, vault.call("balanceOf", address))
        bench.account("long", "500")
        bench.account("bidder", "100000")
        bench.hold("long", 0, "100", "100")
        bench.mark({0: "90"})
        bench.bid("bidder", 0, "100", "87.75")
        (fill,) = bench.liquidate("long").all("LiquidationFill")
        assert fill.insurance == 725 * USDC
        bench.engine.wait(DAY)
        bench.epoch()
        paid = {}
        for who in order:
            address = bench.owners[who]
            shares = vault.call("maxRedeem", address)
            assert shares == vault.call("balanceOf", address)
            tx = bench.send("vault", "redeem", who, shares, address, address)
            paid[who] = tx.one("Withdraw").assets
        outcomes.append(paid)
        # What is left is the virtual shares' part.
        assert vault.call("totalSupply") == 0 and bench.insurance() <= 2
        # 275 left of 1,000.
        assert all(abs(paid[who] - deposits[who] * 275 // 1_000) <= 1 for who in order)
    assert all(abs(outcomes[0][who] - outcomes[1][who]) <= 1 for who in outcomes[0])


@pytest.mark.parametrize("victim", [USDC, 1_000 * USDC, 10**6 * USDC])
@pytest.mark.parametrize("gift", [USDC, 10**6 * USDC, 10**9 * USDC, 10**12 * USDC])
def test_an_inflation_attack_costs_more_than_it_takes(gift: int, victim: int) -> None:
    """The first depositor of one micro-USDC lifts the price of a share by a gift, so that the next
    deposit is rounded down by as much as it can be."""
    world = World(check=False)
    world.put("attacker", 1)
    world.gift(gift)
    # The largest deposit up to `victim` that is rounded down the most: a unit short of a share.
    shares = world.call("convertToShares", victim)
    amount = max(1, world.call("previewMint", shares + 1) - 1)
    world.fund("victim", amount)
    address = world.engine.actor("victim")
    if shares == 0:
        reason = world.refusal("victim", "deposit", amount, address)
        assert reason == "vault: too little for a share"
        lost = 0
    else:
        world.send("victim", "deposit", amount, address)
        lost = amount - world.call("previewRedeem", world.shares("victim"))
    back = world.take("attacker")
    cost = 1 + gift - back
    print(
        f"\ngift {gift}, victim {amount}: the victim loses {lost}, the attacker {cost} micro-USDC"
    )
    # Half of the gift went to the virtual shares. Any deposit may lose a micro-USDC to rounding.
    assert 2 * (cost + lost) >= gift
    assert (lost - 1) * 999_999 <= cost, "ATTACK: it takes more than a millionth of its cost"


def test_it_goes_to_exactly_zero_and_is_revived_by_a_gift() -> None:
    world = World()
    world.put("one", 5 * USDC)
    world.send("one", "request_exit", world.shares("one") // 2)
    assert world.lose(5 * USDC + 1) == 5 * USDC
    assert world.cash() == world.call("totalAssets") == world.call("available") == 0
    assert world.lose(1) == 0
    two = world.fund("two")
    assert world.maximum("Deposit", "two") == world.maximum("Mint", "two") == 0
    for method in ("deposit", "mint"):
        assert world.refusal("two", method, USDC, two) == "vault: beyond what may enter now"
    # Who wants to leave with nothing may.
    world.wait(DAY)
    world.epoch()
    one = world.engine.actor("one")
    half = world.maximum("Redeem", "one")
    assert half == 5 * USDC * 10**6 // 2
    assert world.send("one", "redeem", half, one, one).one("Withdraw").assets == 0
    world.gift(3 * USDC)
    # The gift is the old depositor's.
    assert world.call("previewRedeem", half) == 3 * USDC - 1
    assert world.put("two", 6 * USDC) == 6 * USDC * (half + 10**6) // (3 * USDC + 1)
    assert world.call("previewRedeem", world.shares("two")) <= 6 * USDC


def test_a_price_on_its_way_can_neither_be_entered_nor_left_at() -> None:
    """100,000 lots long at 1,000: worth 100 USDC, of which 1% is the way out."""
    world = World()
    world.put("one", 1_000 * USDC)
    world.govern("fund_tranche", 200 * USDC)
    world.hold(0, 100_000)
    # Both marks are the same; leaving costs 1 USDC.
    value = world.call("valuation")
    assert (value.cash, value.low, value.mid, value.high) == tuple(
        USDC * n for n in (800, 199, 200, 200)
    )
    world.epoch({0: 1_100})
    # 10 USDC up: an entry pays for the gain, an exit does not have it yet.
    value = world.call("valuation")
    assert (value.low, value.mid, value.high) == (199 * USDC, 210 * USDC, 210 * USDC)
    shares = world.shares("one") + VIRTUAL_SHARES
    assert world.call("previewRedeem", shares) == 999 * USDC + 1
    assert world.call("convertToAssets", shares) == 1_010 * USDC + 1
    assert world.call("previewMint", shares) == 1_010 * USDC + 1
    world.epoch()
    assert world.call("valuation").low == 210 * USDC - 1_100_000
    world.epoch({0: 1_000})
    # 10 USDC down: an exit bears the loss, an entry does not profit from it.
    value = world.call("valuation")
    assert (value.low, value.mid, value.high) == (199 * USDC, 200 * USDC, 210 * USDC)
    assert world.call("previewRedeem", shares) == 999 * USDC + 1
    assert world.call("convertToAssets", shares) == 1_000 * USDC + 1
    assert world.call("previewMint", shares) == 1_010 * USDC + 1
    world.hold(0, -200_000)
    world.epoch({0: 900})
    # Short now: the worse price for it is the higher one.
    value = world.call("valuation")
    assert (value.low, value.mid, value.high) == (199 * USDC, 210 * USDC, 210 * USDC)


def test_what_an_estate_has_gained_is_paid_for_by_who_enters() -> None:
    """Lots that nobody takes gain with the mark, and the vault gets it in the next round: entering
    just before it must not take a part. Leaving waits until the lots are gone."""
    world = World()
    world.put("one", 1_000 * USDC)
    world.send("one", "request_exit", world.shares("one"))
    # A bankrupt's 100,000 lots at 1,100: the vault pays the 10 USDC down to the mark.
    world.bankrupt(0, 100_000, 1_100)
    # The only short is a loser: from 900.
    world.act("clearinghouse", "exchange", 0, world.deep, world.sink, 100_000, 90 * USDC)
    assert world.maximum("Deposit", "two") == 0
    (settled,) = world.advance().all("LotSettled")
    assert (settled.unfilled, settled.insurance, world.cash()) == (
        100_000,
        10 * USDC,
        990 * USDC,
    )
    world.wait(DAY)
    world.epoch({0: 1_050})
    assert world.refusal("one", "redeem", 1, *[world.engine.actor("one")] * 2) == (
        "vault: beyond what may leave now"
    )
    # 5 USDC gained.
    assert world.call("totalAssets") == 990 * USDC
    world.put("two", 995 * USDC)
    world.epoch()
    retried = world.venue.deleverager.send("retry", 0, True, 256, sender=world.keeper)
    assert sum(e.surplus for e in world.seen(retried).all("LotSettled")) == 5 * USDC
    assert world.cash() == 1_990 * USDC
    worth = [world.call("convertToAssets", world.shares(who)) for who in ("one", "two")]
    # Each as good as before, but for rounding.
    assert worth == [995 * USDC, 995 * USDC - 1]


def test_everybody_can_leave_and_the_rest_is_named() -> None:
    """The tranche holds money and a position: who leaves first is paid from cash, then from its
    free margin; the last from what its position came to. No owner's call."""
    world = World()
    world.put("one", 600 * USDC)
    world.put("two", 400 * USDC)
    world.govern("fund_tranche", 200 * USDC)
    world.hold(0, 1_000_000)
    for who in ("one", "two"):
        world.send(who, "request_exit", world.shares(who))
    world.settle(0, 1_000)
    one, two = world.engine.actor("one"), world.engine.actor("two")
    # Settled, but not closed: somebody may still leave a hole.
    assert world.call("valuation").free == 150 * USDC
    assert [world.maximum("Redeem", who) for who in ("one", "two")] == [0, 0]
    assert world.maximum("Deposit", "one") == 0
    world.close_settled(0, 1_000)
    assert world.send("one", "redeem", world.shares("one"), one, one).one("Withdraw").assets == (
        600 * USDC
    )
    tx = world.send("two", "redeem", world.shares("two"), two, two)
    assert tx.one("Withdraw").assets == 400 * USDC
    assert tx.one("TrancheDefunded").amount == 200 * USDC
    assert world.call("totalSupply") == world.call("totalAssets") == 0


def test_budgets_do_not_depend_on_the_order_of_losses() -> None:
    """JELLY with and without a fence: market 1 may draw 10%, market 0 a half, the rest 40%."""
    world = World()
    world.put("one", 1_000 * USDC)
    snap = world.engine.snapshot()
    assert world.lose(5_000 * USDC, 1) == 1_000 * USDC, "the pool is there for any market"
    world.engine.revert(snap)
    world.govern("set_ring_fence", 1, 100_000)
    world.govern("set_ring_fence", 0, 500_000)
    assert [world.call("available", m) for m in (0, 1, POOL)] == [
        500 * USDC,
        100 * USDC,
        400 * USDC,
    ]
    losses = [(1, 5_000), (0, 200), (POOL, 90), (0, 400), (POOL, 350), (1, 1)]
    outcomes = []
    for seed in range(8):
        order = losses[:]
        random.Random(seed).shuffle(order)
        snap = world.engine.snapshot()
        paid: Counter[int] = Counter()
        for market, amount in order:
            paid[market] += world.lose(amount * USDC, market)
        outcomes.append(paid)
        assert world.cash() == 0
        world.engine.revert(snap)
    assert outcomes == [Counter({0: 500 * USDC, POOL: 400 * USDC, 1: 100 * USDC})] * 8


def test_who_leaves_takes_the_same_part_of_every_budget() -> None:
    world = World()
    world.put("one", 500 * USDC)
    world.put("two", 500 * USDC)
    world.govern("set_ring_fence", 1, 400_000)
    world.govern("set_ring_fence", 0, 300_000)
    assert world.lose(500 * USDC, 1) == 400 * USDC
    assert [world.call("available", m) for m in (0, 1, POOL)] == [300 * USDC, 0, 300 * USDC]
    assert world.take("one") == 300 * USDC
    # Half of the cash has gone: with a budget that only counts payments, 0 and the rest would each
    # hold 210 of the 300 that are left, and whoever came first would have it.
    assert [world.call("available", m) for m in (0, 1, POOL)] == [150 * USDC, 0, 150 * USDC]
    # New money is everybody's again, by share.
    world.put("two", 100 * USDC)
    assert [world.call("available", m) for m in (0, 1, POOL)] == [180 * USDC, 40 * USDC, 180 * USDC]


def test_a_supply_blown_up_by_losses_keeps_within_its_bound() -> None:
    """Loss after loss leaves a micro-USDC: shares become countless, and the bound refuses the entry
    beyond which sums would overflow. Who is in can leave."""
    world = World(check=False)
    for _ in range(6):
        most = world.maximum("Deposit", "one")
        if not most:
            break
        world.put("one", min(most, 10**15))
        world.lose(world.cash() - 1)
    assert 2**100 < world.call("totalSupply") <= MAX_SHARES
    assert world.maximum("Mint", "one") == MAX_SHARES - world.call("totalSupply")
    assert world.maximum("Deposit", "one") < MAX_DEPOSIT
    assert world.take("one") == 1
