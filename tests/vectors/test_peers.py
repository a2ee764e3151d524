"""Cases restated from other venues' tests: figures only, fed to this venue.

Each case names repository, commit and test it comes from; inputs and expected figures are theirs.
`quote` of a peer is cash and position quote together, so the stated entry is free: it is chosen so
that margin allows it. Peers that split a deficit by maintenance margin agree with this venue where
no leg has a loss (then it splits by notional).
"""

from __future__ import annotations

import pytest

from breakwater.engine.base import Reverted
from breakwater.model import adl
from breakwater.model.ledger import Ledger
from tests.vectors.bench import Bench, MarketSpec

BTC = MarketSpec("50000", leverage=5, decimals=4)
ETH = MarketSpec("3000", leverage=5, decimals=3)


def _quote(bench: Bench, name: str) -> int:
    """What the peers call quote: cash and position quotes, micro-USDC."""
    return bench.cash(name) + sum(
        bench.position(name, market)[1] for market in range(len(bench.specs))
    )


# dydxprotocol/v4-chain 84d4664b, protocol/x/clob/keeper/liquidations_test.go,
# TestGetBankruptcyPriceInQuoteQuantums: quote, BTC size -> quote at the bankruptcy price.
@pytest.mark.parametrize(
    ("size", "entry", "collateral", "quote", "expected"),
    [
        pytest.param("0.1", "60000", "1499", "-4501", 4_501, id="dydx4-bp-long-mm"),
        pytest.param("0.1", "65000", "1400", "-5100", 5_100, id="dydx4-bp-long-neg"),
        pytest.param("-0.1", "40000", "1499", "5499", 5_499, id="dydx4-bp-short-mm"),
    ],
)
def test_bankruptcy_price(
    size: str, entry: str, collateral: str, quote: str, expected: int
) -> None:
    bench = Bench(BTC, trigger="unfillable")
    bench.account("trader", collateral)
    bench.hold("trader", 0, size, entry)
    bench.mark({0: "50000"})
    assert _quote(bench, "trader") == int(quote) * 10**6
    tx = bench.liquidate("trader")
    assert tx.one("LegWoundUp").quote == expected * 10**6
    assert _quote(bench, "trader") == 0


@pytest.mark.parametrize(
    ("btc", "quote"),
    [
        pytest.param("0.004", 110, id="dydx4-bp-long-short"),
        pytest.param("-0.004", 510, id="dydx4-bp-multi-short"),
    ],
)
def test_bankruptcy_price_cross(btc: str, quote: int) -> None:
    """Same source: equity 10 over BTC 200 and ETH 300 of notional; the ETH short goes for 306."""
    bench = Bench(
        MarketSpec("50000", decimals=4), MarketSpec("3000", decimals=3), MarketSpec("100"),
        trigger="unfillable",
    )  # fmt: skip
    bench.account("trader", "30")
    bench.hold("trader", 0, btc, "50000")
    bench.hold("trader", 1, "-0.1", "3000")
    # A third market takes 20 away, so that neither leg has a loss of its own.
    bench.hold("trader", 2, "1", "100")
    bench.mark({2: "80"})
    bench.trade("trader", 2, -100, bench.prices[2])
    assert _quote(bench, "trader") == quote * 10**6
    tx = bench.liquidate("trader")
    eth = next(e for e in tx.all("LegWoundUp") if e.market == 1)
    assert eth.quote == 306 * 10**6
    assert _quote(bench, "trader") == 0


# Same repository and file, TestIsLiquidatable and keeper/deleveraging_test.go,
# TestCanDeleverageSubaccount: the borders of both triggers.
@pytest.mark.parametrize(
    ("entry", "collateral", "quote"),
    [
        pytest.param("55000", "1500", -4_000, id="dydx4-liquidatable-4000"),
        pytest.param("60000", "1500", -4_500, id="dydx4-liquidatable-4500"),
    ],
)
def test_not_liquidatable(entry: str, collateral: str, quote: int) -> None:
    bench = Bench(BTC)
    bench.account("trader", collateral)
    bench.hold("trader", 0, "0.1", entry)
    bench.mark({0: "50000"})
    assert _quote(bench, "trader") == quote * 10**6
    assert not bench.is_liquidatable("trader")


@pytest.mark.parametrize(
    ("mark", "wound_up"),
    [
        pytest.param("50000", False, id="dydx4-candeleverage-50000"),
        pytest.param("54999", False, id="dydx4-candeleverage-54999"),
        pytest.param("54999.01", True, id="one-tick-further"),
    ],
)
def test_zero_equity_is_not_enough_for_adl(mark: str, wound_up: bool) -> None:
    """Short 1 BTC, quote 54,999: strictly negative equity is required."""
    bench = Bench(BTC)
    bench.account("trader", "14999")
    bench.hold("trader", 0, "-1", "40000")
    bench.mark({0: mark})
    assert _quote(bench, "trader") == 54_999 * 10**6
    assert bool(bench.liquidate("trader").all("WoundUp")) is wound_up


# dydxprotocol/v4-chain 84d4664b, protocol/x/clob/keeper/deleveraging_test.go,
# TestProcessDeleveraging: BTC at 50,000; (entry, collateral) of each side, and what the winner has
# in the end. The loser ends with nothing.
@pytest.mark.parametrize(
    ("loser", "loser_entry", "loser_cash", "winner_entry", "winner_cash", "expected"),
    [
        pytest.param(
            "1", "70000", "15001", "60000", "40000", 45_001, id="dydx4-delev-long-vs-short"
        ),
        pytest.param(
            "-1", "40000", "9999", "40000", "90000", 99_999, id="dydx4-delev-short-neg-vs-healthy"
        ),
        pytest.param(
            "-1", "45000", "9999", "40000", "90000", 104_999,
            id="dydx4-delev-short-pos-tnc-vs-healthy",
        ),
        pytest.param(
            "-1", "45000", "9999", "54000", "10800", 11_799, id="closes-above-the-mark"
        ),
    ],
)  # fmt: skip
def test_deleveraging(
    loser: str,
    loser_entry: str,
    loser_cash: str,
    winner_entry: str,
    winner_cash: str,
    expected: int,
) -> None:
    bench = Bench(BTC, trigger="unfillable")
    bench.account("loser", loser_cash)
    bench.account("winner", winner_cash)
    bench.hold("loser", 0, loser, loser_entry)
    bench.hold("winner", 0, "-1" if loser == "1" else "1", winner_entry)
    bench.mark({0: "50000"})
    fills = bench.liquidate("loser").all("Deleveraged")
    taken = [fill for fill in fills if fill.winner == bench.ids["winner"]]
    assert sum(fill.size for fill in taken) == 10_000
    assert bench.cash("winner") == expected * 10**6
    assert bench.position("winner", 0) == (0, 0)
    assert _quote(bench, "loser") == 0


def test_two_victims() -> None:
    """dydx4-delev-two-victims: a short with 54,999 over two longs of 0.5 with 50,000 each: both end
    with 77,499.5, and 154,999 are 154,999."""
    bench = Bench(BTC, trigger="unfillable")
    bench.account("loser", "9999")
    bench.hold("loser", 0, "-1", "45000")
    for name in ("one", "two"):
        bench.account(name, "70000")
        bench.hold(name, 0, "0.5", "40000")
    bench.mark({0: "50000"})
    bench.liquidate("loser")
    assert [bench.cash(name) for name in ("one", "two")] == [77_499_500_000] * 2


def test_multi_position() -> None:
    """dydx4-delev-multi-position: quote 80,800, short 1 BTC and 10 ETH, equity 800: BTC closes at
    50,500, and 30,300 are left for the ETH."""
    bench = Bench(BTC, ETH, MarketSpec("100", leverage=5), trigger="unfillable")
    bench.account("loser", "36800")
    bench.hold("loser", 0, "-1", "50000")
    bench.hold("loser", 1, "-10", "3000")
    # 36,000 lost elsewhere, so that neither leg has a loss of its own.
    bench.hold("loser", 2, "600", "100")
    bench.mark({2: "40"})
    bench.trade("loser", 2, -60_000, bench.prices[2])
    assert _quote(bench, "loser") == 80_800 * 10**6
    legs = bench.liquidate("loser").all("LegWoundUp")
    assert [leg.quote for leg in legs] == [50_500 * 10**6, 30_300 * 10**6]


def test_nobody_can_take_it() -> None:
    """dydx4-delev-none-left: no long can take it (here: each entered at the mark): no fill, the
    whole size stays. Unlike there the estate's loss is then settled."""
    bench = Bench(BTC)
    bench.account("loser", "9000")
    bench.hold("loser", 0, "-1", "40000")
    bench.mark({0: "50000"})
    _clear(bench, 0)
    tx = bench.liquidate("loser")
    assert tx.all("Deleveraged") == []
    assert tx.one("LotSettled").unfilled == 10_000


def _clear(bench: Bench, market: int) -> None:
    """Moves the counterparty's position to an account that entered at the mark: no winner."""
    size, _ = bench.position("counterparty", market)
    bench.account("sink", "1000000000")
    if size:
        bench.trade("counterparty", market, -size, bench.prices[market], against="sink")


# dydxprotocol/perpetual (v1) 87f2263, test/p1Deleveraging.test.ts: (margin, position) of maker and
# taker, closed at the maker's bankruptcy price; a request beyond the other's size is clipped.
# Prices of 49.999999 and 150.000001 are moved to the nearest tick that leaves the maker bankrupt.
@pytest.mark.parametrize(
    ("size", "margin", "other_size", "other_margin", "mark", "ends"),
    [
        pytest.param(10, -500, 10, 1_500, "49.99", (0, 1_000, 0), id="dydx1-delev-long-full"),
        pytest.param(-10, 1_500, 10, -500, "150.01", (0, 1_000, 0), id="dydx1-delev-short-full"),
        pytest.param(-9, 1_350, 10, -500, "150.2", (0, 850, 1), id="dydx1-delev-over-maker"),
        pytest.param(-10, 1_500, 9, -350, "150.01", (-1, 1_000, 0), id="dydx1-delev-over-taker"),
    ],
)
def test_perpetual_v1(
    size: int,
    margin: int,
    other_size: int,
    other_margin: int,
    mark: str,
    ends: tuple[int, int, int],
) -> None:
    bench = Bench(MarketSpec("100", decimals=2))
    sign = 1 if size > 0 else -1
    # Entry 60 (140): the deposit makes the rest of the margin.
    entry = 60 if size > 0 else 140
    winner_entry = 100
    bench.account("maker", margin + size * entry)
    bench.account("taker", other_margin - sign * other_size * winner_entry)
    bench.hold("maker", 0, str(size), str(entry))
    bench.hold("taker", 0, str(-sign * other_size), str(winner_entry))
    bench.mark({0: mark})
    _clear(bench, 0)
    assert _quote(bench, "maker") == margin * 10**6
    assert _quote(bench, "taker") == other_margin * 10**6
    tx = bench.liquidate("maker")
    assert len(tx.all("Deleveraged")) == 1
    assert _quote(bench, "taker") == ends[1] * 10**6
    assert bench.position("taker", 0)[0] == -sign * ends[2] * 100
    # What found no taker stays with the estate; the maker has nothing in either case.
    assert tx.all("Deleveraged")[0].lot_size - tx.all("Deleveraged")[0].size == abs(ends[0]) * 100
    assert _quote(bench, "maker") == 0
    assert bench.cash("maker") == 0


def test_perpetual_v1_border() -> None:
    """dydx1-delev-err-short-border: equity exactly zero is not underwater."""
    bench = Bench(MarketSpec("100"))
    bench.account("maker", "100")
    bench.hold("maker", 0, "-10", "140")
    bench.mark({0: "150"})
    assert bench.equity("maker") == 0
    assert bench.liquidate("maker").all("WoundUp") == []


# dydxprotocol/v4-chain 84d4664b, liquidations_test.go, TestGetLiquidationInsuranceFundDelta, with
# no liquidation fee: what the fund pays for a fill beyond the bankruptcy price.
@pytest.mark.parametrize(
    ("size", "entry", "collateral", "mark", "price", "paid"),
    [
        pytest.param("0.1", "60000", "900", "50490", "50490", 51, id="dydx4-ifdelta-long-loss"),
        pytest.param("-0.1", "45000", "400", "49490", "49490", 49, id="dydx4-ifdelta-short-loss"),
        pytest.param("-0.1", "45000", "400", "49000", "49000", 0, id="dydx4-ifdelta-short-exact"),
    ],
)
def test_insurance_fund_delta(
    size: str, entry: str, collateral: str, mark: str, price: str, paid: int
) -> None:
    bench = Bench(MarketSpec("50000", leverage=20, decimals=4))
    bench.account("trader", collateral)
    bench.account("bidder", "1000000")
    bench.hold("trader", 0, size, entry)
    bench.mark({0: mark})
    bench.insure("10000")
    bench.order("bidder", 0, size == "0.1", 1_000, bench.ticks(0, price))
    (fill,) = bench.liquidate("trader").all("LiquidationFill")
    assert fill.insurance == paid * 10**6
    assert bench.equity("trader") == 0


@pytest.mark.parametrize(
    ("fund", "uninsured"),
    [
        pytest.param("10000", 0, id="dydx4-ifdelta-valid-exact"),
        pytest.param("9999.999999", 1, id="dydx4-ifdelta-valid-one-over"),
        pytest.param("0", 10_000 * 10**6, id="dydx4-ifdelta-valid-empty"),
        pytest.param("1000", 9_000 * 10**6, id="derive-sm-cap"),
    ],
)
def test_insurance_may_go_to_exactly_zero(fund: str, uninsured: int) -> None:
    """Also derivexyz/v2-core 77369003, SecurityModule.t.sol, requestPayout: limited to the
    balance. A deficit of 10,000 without winners: what the fund lacks is uninsured."""
    bench = Bench(MarketSpec("100"))
    bench.account("loser", "5000")
    bench.hold("loser", 0, "1000", "100")
    bench.mark({0: "85"})
    _clear(bench, 0)
    if fund != "0":
        bench.insure(fund)
    bench.liquidate("loser")
    assert bench.insurance() == 0
    assert bench.uninsured() == uninsured


# idexio/idex-contracts-ikon, test/deleveraging.ts: short 10 at 2,000 with 1,980 (deposit 2,000 less
# a fee of 20), index 2,150: closing all of it costs exactly 21,980, a tenth 2,198.
@pytest.mark.parametrize(
    ("first", "quote"),
    [
        pytest.param("10", 21_980, id="idex-adl-full"),
        pytest.param("1", 2_198, id="idex-adl-tenth"),
    ],
)
def test_idex(first: str, quote: int) -> None:
    bench = Bench(MarketSpec("2000", leverage=15, decimals=3), trigger="unfillable")
    bench.account("short", "1980")
    bench.account("winner", "100000")
    bench.hold("short", 0, "-10", "2000")
    bench.hold("winner", 0, first, "1900")
    bench.mark({0: "2150"})
    assert bench.equity("short") == 480 * 10**6
    fills = bench.liquidate("short").all("Deleveraged")
    (fill,) = [f for f in fills if f.winner == bench.ids["winner"]]
    assert fill.quote == quote * 10**6


def test_dydx4_bankruptcy_quote_is_rounded_up() -> None:
    """dydx4-bp-round-long: quote -13, 0.00021347 of 1 BTC -> 0.002776, rounded up from 0.00277511.
    Finer than the venue's lots, so by the model alone."""
    lot = adl.Lot(1, True, 10**8, -13_000_000)
    assert adl.quote_of(lot, 21_347, "bankruptcy", 0) == 2_776


def test_dydx4_long_with_cash_is_never_bankrupt() -> None:
    """dydx4-bp-neg-price: quote +1 on a long: the bankruptcy price is below 0; nothing is due."""
    bench = Bench(BTC, trigger="unfillable")
    bench.account("long", "10000")
    bench.hold("long", 0, "1", "50000")
    bench.mark({0: "100000"})
    bench.deposit("long", "40001")
    bench.mark({0: "0.01"})
    assert _quote(bench, "long") == 10**6
    assert not bench.is_liquidatable("long")
    with pytest.raises(Reverted, match="liquidator: account is healthy"):
        bench.liquidate("long")


# vegaprotocol, core/collateral/engine_test.go, TestMTMLossSocializationUnderflow: the dust trap.
# Not copied: here a claim is paid floor(claim * h), never more than the claim.
def test_vega_dust_is_not_overpaid() -> None:
    """vega-unit-dust: 2 collected, three claims of 1; theirs pays 0, 0, 2. Here none gets 2."""
    ledger = Ledger()
    for account in (1, 2, 3):
        ledger.credit(account, 1)
    ledger.held -= 1
    ledger.uninsured += 1
    paid = [ledger.debit(account, 1) for account in (1, 2, 3)]
    assert max(paid) <= 1
    assert ledger.uninsured >= 0
    assert ledger.held >= 0
