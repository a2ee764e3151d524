# pragma version ~=0.4.3
"""
@title Template
@license AGPL-3.0-only
@notice Copy this file and change the last line: it ranks winners by profit alone.
@custom:kill Nothing to halt: it only computes.
"""
from ..interfaces import IScore

implements: IScore


@pure
@external
def score(standing: IScore.Standing) -> uint256:
    """
    @notice Unrealised profit in USDC, units of 10^-18. The highest is closed first.
    @dev It must not revert for any position of the ledger. 0 would exempt the account: at least 1.
    """
    return convert(max(standing.pnl, 1), uint256) * 10**12
