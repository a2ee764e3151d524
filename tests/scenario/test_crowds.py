"""What a crowd's crash must cost, by reference rules that know nothing of the venue's code.

In an empty book nobody can be sold: whoever is below zero at a price at which the keeper acts is
wound up there, and lacks minus collateral - size * (price - entry). While everybody entered at the
start price and the price stays on one side of it, winners never lose, so who they are does not
matter, and closed at the bankruptcy price they give up exactly what the bankrupt lacked. So the
figures in the files come from the draw and the prices alone; this is the walk that finds them, in
integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from breakwater import units
from breakwater.artifacts import ROOT
from breakwater.scenario import Scenario, load

SCENARIOS = ROOT / "scenarios"
CROWDS = sorted(SCENARIOS.glob("percolator_*.yaml"))
SOLD_IN_A_BOOK_OR_FUNDED = {"percolator_thin_book", "percolator_funding"}
"""Where a deficit depends on more than the draw and the prices."""


@dataclass(frozen=True)
class Bankrupt:
    account: str
    deficit: int


def held(scenario: Scenario) -> int:
    """What everybody brought and nobody took out, micro-USDC."""
    rules = scenario.venue
    return sum(scenario.deposits.values()) + rules.insurance_micro + rules.tranche_micro


def walk(scenario: Scenario) -> list[Bankrupt]:
    """Who is wound up on the path and with what deficit, in micro-USDC."""
    (symbol,) = scenario.markets
    market = scenario.markets[symbol]
    lots: dict[str, int] = {}
    maker = scenario.market_maker.name
    for opening in scenario.openings():
        assert opening.ticks == market.price_ticks, "all enter at the start price"
        lots[opening.account] = opening.lots
    lots[maker] = -sum(lots.values())
    equity = scenario.deposits
    out: list[Bankrupt] = []
    every, distorted, distortion, price = 1, 0, 0, market.price_ticks
    for place, step in enumerate(scenario.steps):
        if step.keeper_every is not None:
            every = step.keeper_every
        if step.oracle is not None:
            assert step.oracle.distort is not None
            distortion, distorted = int(float(step.oracle.distort) * 100), place + step.oracle.steps
        if step.set_price is not None:
            price = market.to_ticks(step.set_price[symbol])
        heard = price * (100 + distortion) // 100 if place <= distorted else price
        if (place + 1) % every:
            continue
        for account, size in list(lots.items()):
            worth = equity[account] + size * (heard - market.price_ticks)
            if worth < 0:
                out.append(Bankrupt(account, -worth))
                del lots[account]
    return out


@pytest.mark.parametrize("short", [False, True], ids=["full", "short"])
@pytest.mark.parametrize("path", CROWDS, ids=lambda path: path.stem)
def test_a_file_says_what_the_draw_and_the_prices_cost(path: Path, short: bool) -> None:
    scenario = load(path, short)
    stated = scenario.expected
    assert stated["solvency.held"] == units.format_usdc(held(scenario))
    if path.stem in SOLD_IN_A_BOOK_OR_FUNDED:
        return
    bankrupts = walk(scenario)
    for name in ("witness", "whale"):
        told = stated.get("bankruptcies", {}).get("contains", {})
        if told.get("account") == name:
            assert Bankrupt(name, units.usdc(told["deficit"])) in bankrupts
    if short:
        # The full form takes long enough for hours of funding to pass.
        assert stated["bankruptcies.length"] == len(bankrupts)
        total = sum(bankrupt.deficit for bankrupt in bankrupts)
        assert stated["paid.winners"] == units.format_usdc(total)
