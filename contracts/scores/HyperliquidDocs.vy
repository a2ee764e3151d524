# pragma version ~=0.4.3
"""
@title HyperliquidDocs
@license AGPL-3.0-only
@notice Profit ratio times leverage, as Hyperliquid documents its queue:

            score = (mark / entry) * (notional / equity)    for a long
            score = (entry / mark) * (notional / equity)    for a short

        With notional = |size| * mark and entry_notional = |size| * entry, the ratio is
        notional / entry_notional, so the short's score is entry_notional / equity.
        Source: Hyperliquid docs, "Auto-deleveraging".
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
    @dev Notionals are below 2^87, so the product stays below 2^234.
    """
    if standing.equity <= 0:
        return max_value(uint256)
    equity: uint256 = convert(standing.equity, uint256)
    if standing.is_long:
        return max(
            standing.notional * standing.notional * ONE
            // (max(standing.entry_notional, 1) * equity),
            1,
        )
    return max(standing.entry_notional * ONE // equity, 1)
