"""Loss without a payer, and its recovery: the waterfall's business only."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import args, refused


def test_a_written_off_loss_joins_what_is_uninsured(bare: Any) -> None:
    cash = bare.house.cash(bare.trader)
    bare.house.write_off(bare.trader, 5, sender=bare.waterfall)
    receipt = bare.house.write_off(bare.trader, 7, sender=bare.adl)
    assert args(receipt, bare.house.WrittenOff) == [
        {"account": bare.trader, "amount": 7, "cash": cash + 12, "uninsured": 12}
    ]
    assert (bare.house.uninsured(), bare.house.cash(bare.trader)) == (12, cash + 12)


@pytest.mark.parametrize("role", ["owner", "stranger"])
def test_strangers_are_refused(clearinghouse: Any, actors: Any, role: str, trader_id: int) -> None:
    with refused("clearinghouse: waterfall only"):
        clearinghouse.write_off(trader_id, 1, sender=actors[role])


def test_neither_the_book_nor_the_vault_may(bare: Any) -> None:
    for part in (bare.book, bare.insurer):
        with refused("clearinghouse: waterfall only"):
            bare.house.write_off(bare.trader, 1, sender=part)
