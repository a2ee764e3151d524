"""A wick in the last price liquidates nobody: the real ATOM ladder is sold to its last bid."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from breakwater import units
from breakwater.engine.revm import RevmEngine
from breakwater.keeper import Keeper
from breakwater.ledger import Ledger
from breakwater.venue import Venue, VenueConfig

LADDER = Path(__file__).resolve().parents[2] / "scenarios/data/atom_flash_2025-10-10.csv"
DECIMALS = 3
PRICE = units.ticks("1.69", DECIMALS)


def ladder() -> list[tuple[int, int]]:
    lines = [line for line in LADDER.read_text().splitlines() if not line.startswith("#")]
    return [
        (units.ticks(price, DECIMALS), units.lots(size, DECIMALS))
        for price, size in list(csv.reader(lines))[1:]
    ]


@pytest.mark.parametrize("sampled", [False, True])
def test_a_market_sell_through_the_whole_real_ladder_moves_no_mark(sampled: bool) -> None:
    engine = RevmEngine()
    venue = Venue.deploy(engine, VenueConfig())
    atom = venue.add_market("ATOM", DECIMALS, 20, 0, PRICE)
    ledger = Ledger(venue)
    ids = {}
    money_of = {"bidders": "50000", "seller": "50000", "asker": "50000", "long": "100"}
    for name, money in money_of.items():
        ids[name] = venue.open_account(engine.actor(name), units.usdc(money))

    def order(name: str, is_buy: bool, size: int, price: int) -> None:
        venue.place(engine.actor(name), ids[name], atom, is_buy, size, price)

    # A long at 20x, as weak as a position may begin: 1,000 ATOM at 1.69 on 100 USDC of collateral.
    order("asker", False, units.lots("1000", DECIMALS), PRICE)
    order("long", True, units.lots("1000", DECIMALS), PRICE)
    order("asker", False, units.lots("5000", DECIMALS), PRICE)
    for price, size in ladder():
        order("bidders", True, size, price)
    order("bidders", True, units.lots("1", DECIMALS), 1)

    total = sum(size for _, size in ladder())
    while total:  # 64 resting orders a call
        filled = venue.place(engine.actor("seller"), ids["seller"], atom, False, total, 1, "ioc")
        total -= sum(fill.size for fill in filled.all("Filled"))
    assert venue.order_book.call("last_trade", atom) == 1  # 0.001 USDC: a wick of 99.9%

    for _ in range(20):
        engine.wait(10)
        if sampled:
            venue.oracle.send("sample", atom, sender=engine.actor("keeper"))
        venue.set_prices([PRICE])
        assert venue.oracle.call("mark", atom) == PRICE
        ledger.check(anew=True)
    if sampled:
        # The book's own median did follow the wick: it is one voice of three.
        assert venue.oracle.call("last_sample", atom).middle == 1
    assert list(Keeper(ledger, engine.actor("keeper")).weakest()) == []
