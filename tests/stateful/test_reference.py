"""Random traders against the reference model: after every operation both venues are the same.

The short form runs with every test run; BREAKWATER_LONG=1 is the long one, 200,000 operations and
more, and BREAKWATER_SEED adds a seed of one's own. Each prints what happened (`pytest -s`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from breakwater.model import venue as model
from tests.stateful.traders import NOT_NEW_OWNER, Report, Traders

LONG = os.environ.get("BREAKWATER_LONG", "") not in ("", "0")
OPERATIONS = 250_000 if LONG else 40_000
WORLD = 2_500
"""Operations on one venue before the next one, with other parameters, begins."""
LEAST = 100 if LONG else 1
"""How often each thing must have happened."""
SEEDS = [20251010]
if "BREAKWATER_SEED" in os.environ:
    SEEDS.append(int(os.environ["BREAKWATER_SEED"]))

EVENTS = (
    "flip",
    "partial fill",
    "skipped maker",
    "funding settlement",
    "self-trade prevented",
    "void order met",
    "reduce-only order dropped",
    "steps ran out",
    "stopped by the price band",
    "stopped by makers who may add no risk now",
    "loss written off",
    "fifth sold",
    "liquidation fee charged",
    "reward paid",
    "takeover",
    "worked off",
    "withdrawal at a ratio",
)

CONTRACTS = Path(__file__).parents[2] / "contracts"
SOURCES = (
    "Clearinghouse.vy",
    "OrderBook.vy",
    "Oracle.vy",
    "Governor.vy",
    "InsuranceVault.vy",
    "Liquidator.vy",
    "modules/ledger.vy",
    "modules/position_codec.vy",
    "mocks/USDC.vy",
)
OUT_OF_REACH = {
    "clearinghouse: adl round open": "the model knows no ADL round",
    "liquidator: adl round open": "the model knows no ADL round",
    "liquidator: a fifth was sold in this block": "each transaction is a second after the last one",
    "clearinghouse: not wired": "the venue is wired before there are traders",
    "clearinghouse: zero address": "as above",
    "oracle: zero address": "as above",
    "oracle: not wired": "as above",
    "clearinghouse: too many markets": "64 of them would slow every step",
    "oracle: too many markets": "as above",
    "clearinghouse: no such holder": "of a view",
    "book: notional out of range": "of a view",
    "clearinghouse: token transfer failed": "the test token reverts instead",
    "vault: token transfer failed": "as above",
    "vault: token approval failed": "as above",
    "ledger: exchange of nothing": "no caller asks for it",
    "ledger: exchange with itself": "no caller asks for it",
    "ledger: index out of range": "bounded by the callers",
    "ledger: quote out of range": "bounded by the callers",
    "ledger: size out of range": "bounded by the callers",
    "vault: share above 100%": "shares, tranche and fences: tests/stateful/test_vault.py",
    "vault: delay above 30 days": "as above",
    "vault: haircut above 50%": "as above",
    "vault: market has no fence": "as above",
    "vault: adl round open": "as above",
    "vault: too little for a share": "as above",
    "vault: closed while a bankrupt is known": "as above",
    "vault: not enough cash": "as above",
    "vault: beyond the tranche's share": "as above",
    "vault: tranche needs its margin": "as above",
    "vault: beyond what may enter now": "as above",
    "vault: beyond what may leave now": "as above",
    "vault: no request": "as above",
    "vault: shares locked or not there": "as above",
    "liquidator: insurance short": "the vault pays what it said is available",
    "oracle: sampled already": "each transaction is a second after the last one",
}


def stated_refusals() -> set[str]:
    """Every reason that these contracts can give, from their sources."""
    found = {"ownable: caller is not the owner", NOT_NEW_OWNER}
    for source in SOURCES:
        found |= set(re.findall(r'"([a-z]+: [^"]+)"', (CONTRACTS / source).read_text()))
    return found


def test_what_is_out_of_reach_exists() -> None:
    """A reason that no contract states any more must leave the list of exceptions."""
    assert set(OUT_OF_REACH) <= stated_refusals()


def test_division_rounds_toward_zero_as_the_machine_does() -> None:
    """The one helper behind every signed division of the model."""
    assert [model.truncate(n, 4) for n in (-9, -8, -1, 0, 1, 8, 9)] == [-2, -2, 0, 0, 0, 2, 2]


@pytest.mark.parametrize("seed", SEEDS)
def test_contracts_and_model_agree_after_every_operation(seed: int) -> None:
    """Balances, positions, orders, indices, logs, results and refusals, to the last integer."""
    report = Report()
    while report.operations < OPERATIONS:
        Traders(seed, report).run(min(WORLD, OPERATIONS - report.operations))
        seed += 1
    print()
    print(report.table())
    assert report.success >= 0.6, f"only {report.success:.1%} of the operations succeeded"
    rare = {name: report.happened[name] for name in EVENTS if report.happened[name] < LEAST}
    assert not rare, f"happened less than {LEAST} times: {rare}"
    expected = stated_refusals() - set(OUT_OF_REACH)
    rare = {name: report.refused[name] for name in expected if report.refused[name] < LEAST}
    assert not rare, f"refused less than {LEAST} times: {rare}"
    unknown = set(report.refused) - expected
    assert not unknown, f"reasons that no source states: {unknown}"
