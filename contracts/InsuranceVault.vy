# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title InsuranceVault
@license AGPL-3.0-only
@notice The venue's insurance: money that stands in an account of the clearinghouse like
        everybody's, credited by whoever contributes and debited when the liquidator or the
        deleverager has a loss to cover. It can go to zero and never below. Keeps no token and
        no ledger of its own.
@custom:kill Cannot be halted; with nothing in it, it pays nothing.
"""
from ethereum.ercs import IERC20
from .interfaces import IClearinghouse
from .interfaces import IInsuranceVault

implements: IInsuranceVault


event Contributed:
    contributor: indexed(address)
    amount: uint256


# `paid` of the `wanted` micro-USDC went to `account`.
event Paid:
    account: indexed(uint256)
    wanted: uint256
    paid: uint256
    left: uint256


clearinghouse: public(immutable(IClearinghouse))
token: public(immutable(IERC20))


@deploy
def __init__(clearinghouse_: address, token_: address):
    clearinghouse = IClearinghouse(clearinghouse_)
    token = IERC20(token_)


@external
def contribute(amount: uint256):
    """
    @notice Pulls `amount` micro-USDC from the caller into the vault's account. A gift: no claim
            comes with it.
    """
    assert amount != 0, "vault: amount is zero"
    assert extcall token.transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "vault: token transfer failed"
    assert extcall token.approve(
        clearinghouse.address, amount, default_return_value=True
    ), "vault: token approval failed"
    extcall clearinghouse.deposit(staticcall clearinghouse.vault_account(), amount)
    log Contributed(contributor=msg.sender, amount=amount)


@external
def pay(account: uint256, wanted: uint256) -> uint256:
    """
    @notice Liquidator and deleverager only: pays `account` up to `wanted` micro-USDC.
    @return What was paid: min(wanted, available).
    """
    assert msg.sender in [
        staticcall clearinghouse.liquidator(), staticcall clearinghouse.deleverager()
    ], "vault: waterfall only"
    available: uint256 = self._available()
    paid: uint256 = min(wanted, available)
    if paid != 0:
        extcall clearinghouse.transfer_cash(
            staticcall clearinghouse.vault_account(), account, paid
        )
    log Paid(account=account, wanted=wanted, paid=paid, left=available - paid)
    return paid


@view
@internal
def _available() -> uint256:
    cash: int256 = staticcall clearinghouse.cash(staticcall clearinghouse.vault_account())
    return convert(max(cash, 0), uint256)


@view
@external
def available() -> uint256:
    """
    @notice micro-USDC that can be paid now.
    """
    return self._available()
