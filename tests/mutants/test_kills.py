"""Short stories with exact integers, each of them able to tell a broken venue from a sound one.

Owns the tests that the patches beside it name as theirs; `run.py` shows that they do kill. Every
transaction is followed by a check of the identities. One market X: lots of 0.01, ticks of $0.0001,
so that a lot at $100 is a million ticks and worth $1; leverage 20, no smallest order.
"""

from __future__ import annotations

import pytest

from breakwater.contract import Event, Tx
from breakwater.engine.base import Reverted
from breakwater.engine.revm import RevmEngine
from breakwater.ledger import Ledger
from breakwater.venue import VAULT_ACCOUNT, Venue, VenueConfig

USDC = 10**6
X = 0


def price(dollars: int) -> int:
    """Dollars to ticks."""
    return dollars * 10_000


class Stage:
    """A venue in which each account has an owner of its own. The step limit of marks is lifted."""

    def __init__(self, insurance: int = 0, markets: int = 1, **rules: str) -> None:
        self.engine = RevmEngine()
        self.venue = Venue.deploy(self.engine, VenueConfig(max_step=0, **rules))  # type: ignore[arg-type]
        for market in range(markets):
            self.venue.add_market(f"X{market}", 2, 20, 0, price(100))
        self.ledger = Ledger(self.venue)
        self.owners: dict[int, str] = {}
        if insurance:
            self.venue.insure(insurance)

    def account(self, collateral: int) -> int:
        """A new account with this many micro-USDC; ids rise."""
        owner = self.engine.actor(f"owner {len(self.owners)}")
        account = self.venue.open_account(owner, collateral)
        self.owners[account] = owner
        return account

    def sound(self, tx: Tx) -> Tx:
        self.ledger.check(anew=True)
        return tx

    def place(
        self, account: int, is_buy: bool, size: int, at: int, tif: str = "gtc", market: int = X
    ) -> Tx:
        return self.sound(
            self.venue.place(self.owners[account], account, market, is_buy, size, at, tif)
        )

    def trade(self, buyer: int, seller: int, size: int, at: int, market: int = X) -> None:
        """A fill of exactly this size and price."""
        self.place(seller, False, size, at, market=market)
        tx = self.place(buyer, True, size, at, "ioc", market)
        assert [(e.size, e.price) for e in tx.all("Filled")] == [(size, at)]

    def mark(self, *ticks: int) -> Tx:
        self.engine.wait(3)
        return self.sound(self.venue.set_prices(list(ticks)))

    def liquidate(self, account: int, steps: int = 40) -> Tx:
        keeper = self.engine.actor("keeper")
        return self.sound(self.venue.liquidator.send("liquidate", account, steps, sender=keeper))

    def advance(self, steps: int = 40) -> Tx:
        keeper = self.engine.actor("keeper")
        return self.sound(self.venue.deleverager.send("advance", steps, sender=keeper))

    def withdraw(self, account: int, amount: int) -> Tx:
        house = self.venue.clearinghouse
        return self.sound(house.send("withdraw", account, amount, sender=self.owners[account]))

    def holds(self, account: int) -> tuple[int, int, int]:
        """Cash, size and quote in market X."""
        house = self.venue.clearinghouse
        size, quote, *_ = house.call("position", account, X)
        return house.call("cash", account), size, quote


def closes(tx: Tx) -> list[tuple[int, int, int]]:
    """Winner, size and quote of each ADL fill, in order."""
    return [(e.winner, e.size, e.quote) for e in tx.all("Deleveraged")]


def bankrupt_long(stage: Stage, *shorts: tuple[int, int]) -> tuple[int, list[int]]:
    """A long at $100 with 5% of collateral against shorts of (collateral, lots), then the mark at
    $90: it is bankrupt at $95."""
    size = sum(lots for _, lots in shorts)
    loser = stage.account(size * 50_000)
    winners = [stage.account(collateral) for collateral, _ in shorts]
    for winner, (_, lots) in zip(winners, shorts, strict=True):
        stage.trade(loser, winner, lots, price(100))
    stage.mark(price(90))
    return loser, winners


# --- Auto-deleveraging ---------------------------------------------------------------------------


def test_one_call_of_liquidate_ends_with_the_winners_closed() -> None:
    stage = Stage()
    loser, (winner,) = bankrupt_long(stage, (1_000 * USDC, 100))
    tx = stage.liquidate(loser)
    assert closes(tx) == [(winner, 100, 95 * USDC)]
    assert not stage.venue.deleverager.call("is_busy")
    assert stage.holds(loser) == (0, 0, 0)
    assert stage.holds(winner) == (1_005 * USDC, 0, 0)


def test_every_holder_is_ranked_wherever_it_stands_in_the_list() -> None:
    """Three winners of one third each, weakest first: the first and the last holder count."""
    stage = Stage()
    shorts = [(300 * USDC, 100), (200 * USDC, 100), (100 * USDC, 100)]
    loser, winners = bankrupt_long(stage, *shorts)
    third, second, first = winners
    assert closes(stage.liquidate(loser)) == [
        (first, 100, 95 * USDC),
        (second, 100, 95 * USDC),
        (third, 100, 95 * USDC),
    ]


def test_the_queue_stops_when_the_lot_is_gone() -> None:
    stage = Stage()
    loser = stage.account(5 * USDC)
    low, high = stage.account(300 * USDC), stage.account(100 * USDC)
    maker = stage.account(1_000 * USDC)
    stage.trade(maker, low, 100, price(100))
    stage.trade(loser, high, 60, price(100))
    stage.trade(loser, low, 40, price(100))
    stage.mark(price(90))
    assert closes(stage.liquidate(loser)) == [(high, 60, 57 * USDC), (low, 40, 38 * USDC)]
    assert stage.holds(low) == (302 * USDC, -100, 100 * USDC)


def test_equal_winners_are_closed_in_order_of_their_account() -> None:
    """Opened last to first, so that the list of holders has them the other way round."""
    stage = Stage()
    loser = stage.account(15 * USDC)
    winners = [stage.account(100 * USDC) for _ in range(3)]
    for winner in reversed(winners):
        stage.trade(loser, winner, 100, price(100))
    house = stage.venue.clearinghouse
    assert [house.call("holder_at", X, False, i) for i in range(3)] == winners[::-1]
    stage.mark(price(90))
    first, second, third = stage.liquidate(loser).all("Deleveraged")
    assert first.score == second.score == third.score
    assert [first.winner, second.winner, third.winner] == winners


def test_of_equal_scores_the_higher_profit_goes_first() -> None:
    """The larger winner has twice of everything, and the higher id."""
    stage = Stage()
    loser, (small, large) = bankrupt_long(stage, (100 * USDC, 100), (200 * USDC, 200))
    first, second = stage.liquidate(loser).all("Deleveraged")
    assert first.score == second.score
    assert (first.winner, second.winner) == (large, small)


def test_a_winner_of_a_bankrupt_long_pays_the_unit() -> None:
    stage = Stage()
    loser = stage.account(300_001)
    first, second = stage.account(100_000), stage.account(1 * USDC)
    stage.trade(loser, first, 2, price(100))
    stage.trade(loser, second, 1, price(100))
    stage.mark(price(89))
    # 2,699,999 for 3 lots: 2 cost the ceiling of 1,799,999.33, 1 the rest.
    assert closes(stage.liquidate(loser)) == [(first, 2, 1_800_000), (second, 1, 899_999)]
    assert stage.holds(first) == (100_000 + 200_000, 0, 0)
    assert stage.holds(second) == (1 * USDC + 100_001, 0, 0)


def test_a_winner_of_a_bankrupt_short_receives_the_unit_less() -> None:
    stage = Stage()
    loser = stage.account(300_001)
    first, second = stage.account(200_000), stage.account(1 * USDC)
    stage.trade(first, loser, 2, price(100))
    stage.trade(second, loser, 1, price(100))
    stage.mark(price(111))
    # 3,300,001 for 3 lots: 2 receive the floor of 2,200,000.67, 1 the rest.
    assert closes(stage.liquidate(loser)) == [(first, 2, 2_200_000), (second, 1, 1_100_001)]


def test_the_previous_mark_closes_at_the_mark_of_the_epoch_before() -> None:
    stage = Stage(close="previous_mark")
    loser = stage.account(5 * USDC)
    winner = stage.account(1_000 * USDC)
    stage.trade(loser, winner, 100, price(100))
    stage.mark(price(98))
    stage.mark(price(90))
    assert stage.venue.oracle.call("previous_mark", X) == price(98)
    (fill,) = stage.liquidate(loser).all("Deleveraged")
    assert (fill.quote, fill.mark, fill.previous_mark) == (98 * USDC, price(90), price(98))
    # Better than bankruptcy (95): the surplus of 3 is the vault's.
    assert stage.holds(VAULT_ACCOUNT) == (3 * USDC, 0, 0)


def without_winners(stage: Stage) -> int:
    """A long bankrupt at $95 whose only counterparty went short at $90: nobody is in profit."""
    loser = stage.account(5 * USDC)
    early, late = stage.account(1_000 * USDC), stage.account(1_000 * USDC)
    stage.trade(loser, early, 100, price(100))
    stage.mark(price(90))
    stage.trade(early, late, 100, price(90))
    return loser


def test_a_loss_that_nobody_pays_is_written_down() -> None:
    stage = Stage()
    loser = without_winners(stage)
    tx = stage.liquidate(loser)
    assert closes(tx) == []
    assert tx.one("WrittenOff").amount == 5 * USDC
    assert stage.venue.clearinghouse.call("uninsured") == 5 * USDC
    assert stage.ledger.check(anew=True).uninsured == 5 * USDC


def test_insurance_pays_before_anything_is_written_off() -> None:
    stage = Stage(insurance=3 * USDC)
    tx = stage.liquidate(without_winners(stage))
    assert [(e.wanted, e.paid) for e in tx.all("Paid")] == [(5 * USDC, 3 * USDC)]
    assert stage.venue.clearinghouse.call("uninsured") == 2 * USDC
    assert stage.holds(VAULT_ACCOUNT) == (0, 0, 0)


# --- Liquidation ---------------------------------------------------------------------------------


def fills(tx: Tx) -> list[tuple[int, int, int]]:
    """Size, price in ticks and insurance of each liquidation fill."""
    return [(e.size, e.price, e.insurance) for e in tx.all("LiquidationFill")]


def test_the_book_takes_nothing_below_bankruptcy_without_insurance() -> None:
    stage = Stage()
    loser, (winner,) = bankrupt_long(stage, (1_000 * USDC, 100))
    bidder = stage.account(1_000 * USDC)
    stage.place(bidder, True, 30, price(96))
    stage.place(bidder, True, 100, price(92))
    tx = stage.liquidate(loser)
    assert fills(tx) == [(30, price(96), 0)]
    # 30 went $1 a unit above $95: 70 are left, bankrupt at (95 * 100 - 96 * 30) / 70.
    assert closes(tx) == [(winner, 70, 9_500 * USDC // 100 - 2_880 * USDC // 100)]
    assert stage.holds(bidder)[1] == 30


def test_insurance_pays_for_a_fill_below_bankruptcy_in_the_same_call() -> None:
    stage = Stage(insurance=2 * USDC)
    loser, (winner,) = bankrupt_long(stage, (1_000 * USDC, 100))
    bidder = stage.account(1_000 * USDC)
    stage.place(bidder, True, 100, price(90))
    tx = stage.liquidate(loser)
    # $5 a unit below bankruptcy, 0.05 a lot: 2 USDC pay for 40 lots.
    assert fills(tx) == [(40, price(90), 2 * USDC)]
    assert [(e.account, e.paid) for e in tx.all("Paid")] == [(loser, 2 * USDC)]
    assert closes(tx) == [(winner, 60, 57 * USDC)]
    assert stage.holds(VAULT_ACCOUNT) == (0, 0, 0)
    assert stage.holds(loser) == (0, 0, 0)


def test_a_liquidation_voids_the_orders_of_the_account() -> None:
    stage = Stage()
    loser, _ = bankrupt_long(stage, (1_000 * USDC, 100))
    book = stage.venue.order_book
    stage.mark(price(100))
    stage.place(loser, False, 50, price(101))
    assert book.call("best", X, False) == price(101)
    stage.mark(price(90))
    stage.liquidate(loser)
    assert book.call("best", X, False) == 0


def test_maintenance_is_the_limit_to_the_micro_usdc() -> None:
    """20 times leverage: maintenance is a fortieth of the notional."""
    stage = Stage()
    loser, winner = stage.account(6 * USDC), stage.account(1_000 * USDC)
    stage.trade(loser, winner, 100, price(100))
    stage.mark(price(96))
    # Equity 2, maintenance 2.4.
    stage.venue.deposit(stage.owners[loser], loser, 400_000)
    assert not stage.venue.liquidator.call("is_liquidatable", loser)
    with pytest.raises(Reverted, match="liquidator: account is healthy"):
        stage.liquidate(loser)
    stage.mark(price(96) - 1)
    assert stage.venue.liquidator.call("is_liquidatable", loser)
    stage.liquidate(loser)


# --- While a round is open -----------------------------------------------------------------------


def open_round(stage: Stage, count: int = 3) -> list[int]:
    """A round in market X in which one of the winners has been looked at. Gives the winners."""
    loser, winners = bankrupt_long(stage, *[(100 * USDC, 100)] * count)
    stage.liquidate(loser, steps=1)
    assert stage.venue.deleverager.call("is_busy")
    return winners


def test_nobody_leaves_a_market_by_the_exit_first() -> None:
    stage = Stage()
    winners = open_round(stage)
    with pytest.raises(Reverted, match="clearinghouse: adl round open"):
        stage.withdraw(winners[0], USDC)
    stage.advance()
    stage.withdraw(winners[0], USDC)


def test_no_order_is_taken_in_the_market_of_a_round() -> None:
    stage = Stage()
    bystander = stage.account(100 * USDC)
    winners = open_round(stage, 40)
    for account in (bystander, winners[0]):
        # It does some of the round's work instead, and says so.
        tx = stage.place(account, True, 10, price(50))
        assert not tx.all("OrderPlaced") and len(tx.all("Unfilled")) == 1
    while stage.venue.deleverager.call("is_busy"):
        stage.advance()
    assert stage.place(bystander, True, 10, price(50)).all("OrderPlaced")


def test_a_holder_trades_nowhere_while_the_round_is_open() -> None:
    """Its resting order in another market is dropped when met."""
    stage = Stage(markets=2)
    bystander, holder, loser = (stage.account(c * USDC) for c in (100, 100, 5))
    stage.trade(loser, holder, 100, price(100))
    stage.place(holder, False, 10, price(100), market=1)
    stage.mark(price(90), price(100))
    stage.liquidate(loser, steps=1)
    tx = stage.place(bystander, True, 10, price(100), "ioc", market=1)
    assert tx.all("Filled") == []
    assert [e.account for e in tx.all("OrderCancelled")] == [holder]


# --- Ledger, margin, oracle ----------------------------------------------------------------------


def test_a_partial_close_releases_the_quote_truncated_toward_zero() -> None:
    stage = Stage()
    trader, other = stage.account(100 * USDC), stage.account(100 * USDC)
    stage.trade(trader, other, 1, price(100) + 1)
    stage.trade(trader, other, 2, price(100))
    assert stage.holds(trader) == (100 * USDC, 3, -3_000_001)
    stage.trade(other, trader, 1, price(100))
    # -3,000,001 / 3 is -1,000,000 and a third.
    assert stage.holds(trader) == (100 * USDC, 2, -2_000_001)
    assert stage.holds(other) == (100 * USDC, -2, 2_000_001)
    stage.trade(other, trader, 2, price(101))
    assert stage.holds(trader) == (100 * USDC + 2 * 10_000 - 1, 0, 0)


def test_what_remains_after_a_withdrawal_is_a_tenth_of_the_notional() -> None:
    stage = Stage()
    trader, other = stage.account(100 * USDC), stage.account(1_000 * USDC)
    stage.trade(trader, other, 100, price(100))
    with pytest.raises(Reverted, match="margin: withdrawal beyond free margin"):
        stage.withdraw(trader, 90 * USDC + 1)
    stage.withdraw(trader, 90 * USDC)
    assert stage.holds(trader) == (10 * USDC, 100, -100 * USDC)


def test_two_updates_keep_their_distance() -> None:
    stage = Stage()
    stage.mark(price(99))
    stage.engine.wait(1)
    with pytest.raises(Reverted, match="oracle: too soon"):
        stage.venue.set_prices([price(98)])
    assert stage.venue.oracle.call("previous_mark", X) == price(100)
    stage.engine.wait(1)
    stage.venue.set_prices([price(98)])
    assert stage.venue.oracle.call("previous_mark", X) == price(99)


def test_a_maker_without_margin_is_cancelled_not_filled() -> None:
    stage = Stage()
    maker, taker = stage.account(10 * USDC), stage.account(100 * USDC)
    stage.place(maker, True, 100, price(100))
    # Resting orders reserve nothing.
    stage.withdraw(maker, 6 * USDC)
    tx = stage.place(taker, False, 100, price(100), "ioc")
    assert tx.all("Filled") == []
    cancelled: Event = tx.one("OrderCancelled")
    assert (cancelled.account, cancelled.size) == (maker, 100)
    assert stage.holds(maker) == (4 * USDC, 0, 0)
