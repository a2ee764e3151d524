"""The real ATOM ladder against a walk in exact fractions that knows nothing of the venue's code."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.scenario import load

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


@dataclass
class Sale:
    """What is left of a long after its walk down the ladder, and what insurance paid for it."""

    money: Fraction
    size: Fraction
    insurance: Fraction
    fills: list[tuple[Fraction, Fraction]]


def ladder() -> list[list[Fraction]]:
    lines = (SCENARIOS / "data" / "atom_flash_2025-10-10.csv").read_text().splitlines()
    rows = list(csv.reader(line for line in lines if not line.startswith("#")))[1:]
    return sorted(([Fraction(p), Fraction(q)] for p, q in rows), key=lambda level: -level[0])


def sell(bids: list[list[Fraction]], money: Fraction, size: Fraction, purse: Fraction) -> Sale:
    """Sells a long whose other money is `money`: above bankruptcy freely, below it only while the
    purse makes up the difference. Lots of 0.001, micro-dollars rounded against the purse."""
    micro, lot = Fraction(1, 10**6), Fraction(1, 1000)
    sale = Sale(money, size, Fraction(0), [])
    while sale.size and bids:
        price, resting = bids[0]
        quantity = min(sale.size, resting)
        bankruptcy = -sale.money / sale.size
        if price < bankruptcy:
            affordable = (purse - sale.insurance) / (bankruptcy - price)
            quantity = min(quantity, affordable // lot * lot)
            if not quantity:
                break
            keep = -(bankruptcy * (sale.size - quantity) // micro * micro)
            sale.insurance += keep - (sale.money + quantity * price)
            sale.money = keep
        else:
            sale.money += quantity * price
        sale.size -= quantity
        sale.fills.append((price, quantity))
        bids[0][1] -= quantity
        if not bids[0][1]:
            bids.pop(0)
    return sale


def test_the_venue_walks_the_real_ladder_as_exact_arithmetic_does() -> None:
    bids, purse = ladder(), Fraction(300)
    early = sell(bids, Fraction(180 - 1800), Fraction(1000), purse)
    late = sell(bids, Fraction(704 - 7040), Fraction(4000), purse)
    middle = sell(bids, Fraction(690 - 5340), Fraction(3000), purse - late.insurance)

    result = Crash(load(SCENARIOS / "atom_flash.yaml"), RevmEngine()).run()

    fills = [(Fraction(f["price"]), Fraction(f["size"])) for f in result["liquidations"]]
    assert fills == early.fills + late.fills + middle.fills
    assert early.size == 0 and Fraction(result["accounts"]["long_early"]["cash"]) == early.money
    deficits = [Fraction(b["deficit"]) for b in result["bankruptcies"]]
    mark = Fraction("1.3")
    assert deficits == [-(left.money + left.size * mark) for left in (late, middle)]
    assert Fraction(result["waterfall"]["insurance_paid"]) == late.insurance + middle.insurance
    needed = [Fraction(r["needed"]) for r in result["adl"]["rounds"]]
    assert needed == [late.size, middle.size]
    # ADL at the bankruptcy price: winners bear exactly the deficits, no more and no less.
    assert sum(Fraction(f["haircut"]) for f in result["adl"]["fills"]) == sum(deficits)
