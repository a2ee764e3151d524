"""Loss that nobody paid may be paid by anyone, up to what there is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import USDC, args, refused


def test_a_repayment_lowers_the_loss_and_reopens_deposits(
    bare: Any, usdc: Any, trader: Any
) -> None:
    bare.house.write_off(bare.maker, 3 * USDC, sender=bare.waterfall)
    held = bare.house.held()
    receipt = bare.house.repay_uninsured(2 * USDC, sender=trader)
    assert args(receipt, bare.house.UninsuredRepaid) == [
        {"payer": trader.address, "amount": 2 * USDC, "uninsured": USDC}
    ]
    assert (bare.house.held(), bare.house.uninsured()) == (held + 2 * USDC, USDC)
    bare.house.repay_uninsured(USDC, sender=trader)
    bare.house.deposit(bare.trader, 1, sender=trader)
    assert usdc.balanceOf(bare.house) == bare.house.held() == held + 3 * USDC + 1


@pytest.mark.parametrize("amount", [0, USDC + 1, 2**256 - 1])
def test_nothing_and_too_much_are_refused(bare: Any, trader: Any, amount: int) -> None:
    bare.house.write_off(bare.maker, USDC, sender=bare.waterfall)
    with refused("clearinghouse: amount out of range"):
        bare.house.repay_uninsured(amount, sender=trader)


def test_without_a_loss_there_is_nothing_to_repay(clearinghouse: Any, trader: Any) -> None:
    with refused("clearinghouse: amount out of range"):
        clearinghouse.repay_uninsured(1, sender=trader)
