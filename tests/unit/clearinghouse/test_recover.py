"""The reverse of a write-off: an account's gain pays for what nobody paid."""

from __future__ import annotations

from typing import Any

from tests.helpers import args, refused


def test_a_gain_repays_uninsured_loss(bare: Any) -> None:
    cash = bare.house.cash(bare.trader)
    bare.house.write_off(bare.maker, 5, sender=bare.adl)
    receipt = bare.house.recover(bare.trader, 3, sender=bare.adl)
    assert args(receipt, bare.house.Recovered) == [
        {"account": bare.trader, "amount": 3, "cash": cash - 3, "uninsured": 2}
    ]
    assert (bare.house.uninsured(), bare.house.cash(bare.trader)) == (2, cash - 3)


def test_strangers_are_refused(clearinghouse: Any, stranger: Any, trader_id: int) -> None:
    with refused("clearinghouse: waterfall only"):
        clearinghouse.recover(trader_id, 1, sender=stranger)
