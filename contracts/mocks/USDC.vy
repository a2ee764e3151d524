# pragma version ~=0.4.3
"""
@title USDC
@license AGPL-3.0-only
@notice Test money: an ERC-20 of 6 decimals that anyone may mint. Never deploy it with anything
        of value behind it.
@custom:kill Cannot be halted: it is a test token.
"""
from ethereum.ercs import IERC20

implements: IERC20

name: public(constant(String[8])) = "USD Coin"
symbol: public(constant(String[4])) = "USDC"
decimals: public(constant(uint8)) = 6

totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])


@external
def mint(to: address, amount: uint256):
    """
    @notice Creates `amount` micro-USDC for `to`.
    """
    self.totalSupply += amount
    self.balanceOf[to] += amount
    log IERC20.Transfer(sender=empty(address), receiver=to, value=amount)


@external
def transfer(to: address, amount: uint256) -> bool:
    self._move(msg.sender, to, amount)
    return True


@external
def transferFrom(source: address, to: address, amount: uint256) -> bool:
    allowed: uint256 = self.allowance[source][msg.sender]
    assert allowed >= amount, "usdc: allowance too low"
    if allowed != max_value(uint256):
        self.allowance[source][msg.sender] = allowed - amount
    self._move(source, to, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    log IERC20.Approval(owner=msg.sender, spender=spender, value=amount)
    return True


@internal
def _move(source: address, to: address, amount: uint256):
    assert self.balanceOf[source] >= amount, "usdc: balance too low"
    self.balanceOf[source] -= amount
    self.balanceOf[to] += amount
    log IERC20.Transfer(sender=source, receiver=to, value=amount)
