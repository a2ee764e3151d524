"""The transfer primitive: the waterfall moves margin, and only the vault the vault's money."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import TRANCHE, USDC, VAULT, args, refused


def test_one_account_pays_another_and_may_go_below_zero(bare: Any) -> None:
    receipt = bare.house.transfer_cash(bare.trader, bare.maker, 10_001 * USDC, sender=bare.adl)
    assert args(receipt, bare.house.CashMoved) == [
        {
            "source": bare.trader,
            "to": bare.maker,
            "amount": 10_001 * USDC,
            "source_cash": -USDC,
            "to_cash": 20_001 * USDC,
        }
    ]
    assert [bare.house.cash(a) for a in (bare.trader, bare.maker)] == [-USDC, 20_001 * USDC]


def test_the_vault_moves_its_own_money_and_no_one_elses(bare: Any, usdc: Any) -> None:
    bare.house.transfer_cash(bare.trader, VAULT, 5, sender=bare.waterfall)
    bare.house.transfer_cash(VAULT, bare.maker, 3, sender=bare.insurer)
    assert bare.house.cash(VAULT) == 2
    with refused("clearinghouse: waterfall only"):
        bare.house.transfer_cash(bare.trader, VAULT, 1, sender=bare.insurer)
    for part in (bare.waterfall, bare.adl, bare.book):
        with refused("clearinghouse: vault only"):
            bare.house.transfer_cash(VAULT, bare.maker, 1, sender=part)


def test_the_tranches_money_is_moved_by_the_vault_and_the_waterfall(bare: Any) -> None:
    movers = (bare.insurer, bare.waterfall, bare.adl)
    for mover in movers:
        bare.house.transfer_cash(bare.trader, TRANCHE, 5, sender=bare.waterfall)
        bare.house.transfer_cash(TRANCHE, VAULT, 5, sender=mover)
    assert (bare.house.cash(TRANCHE), bare.house.cash(VAULT)) == (0, 5 * len(movers))
    with refused("clearinghouse: waterfall only"):
        bare.house.transfer_cash(TRANCHE, VAULT, 1, sender=bare.book)


def test_a_transfer_to_itself_is_refused(bare: Any) -> None:
    with refused("ledger: transfer to itself"):
        bare.house.transfer_cash(bare.trader, bare.trader, 1, sender=bare.waterfall)


@pytest.mark.parametrize("role", ["owner", "stranger", "trader"])
def test_strangers_are_refused(
    clearinghouse: Any, actors: Any, role: str, trader_id: int, maker_id: int
) -> None:
    with refused("clearinghouse: waterfall only"):
        clearinghouse.transfer_cash(maker_id, trader_id, 1, sender=actors[role])
    with refused("clearinghouse: vault only"):
        clearinghouse.transfer_cash(VAULT, trader_id, 1, sender=actors[role])
