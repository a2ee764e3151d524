# pragma version ~=0.4.3
"""
@title ReturnXLeverage
@license AGPL-3.0-only
@notice Return on entry times leverage, as BitMEX and OKX rank profitable positions:

            score = (pnl / entry_notional) * (notional / equity)

        Notional is |size| at the mark, equity that of the whole account. Who is out of profit at
        the mark scores 1, the lowest: it may be in profit at the close price all the same.
        Source: BitMEX, "ADL ranking"; OKX, "Auto-deleveraging".
@custom:kill Nothing to halt: it only computes.
"""
from ..interfaces import IScore

implements: IScore

ONE: constant(uint256) = 10**18


@pure
@external
def score(standing: IScore.Standing) -> uint256:
    """
    @notice Units of 10^-18, rounded down, at least 1; the largest number if equity is not above
            zero.
    @dev notional < 2^80 and |pnl| < 2^81, so the product stays below 2^221; entry_notional < 2^80
         and equity < 2^127, so the divisor stays below 2^207.
    """
    if standing.equity <= 0:
        return max_value(uint256)
    if standing.pnl <= 0:
        return 1
    gain: uint256 = standing.notional * convert(standing.pnl, uint256) * ONE
    spread: uint256 = max(standing.entry_notional, 1) * convert(standing.equity, uint256)
    return max(gain // spread, 1)
