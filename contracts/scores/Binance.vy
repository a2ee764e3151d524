# pragma version ~=0.4.3
"""
@title Binance
@license AGPL-3.0-only
@notice Profit over the wallet times the margin ratio, as Binance ranks its users:

            score = max(0, pnl) / max(1 USDC, wallet) * maintenance / (wallet + unrealised)

        The wallet is the account's cash, `wallet + unrealised` its equity; maintenance, as the
        margin ratio it is part of, is that of the whole account. Whose `wallet + unrealised` is not
        above zero is not eligible under this rule: score 0, which every engine passes over. Anybody
        else scores at least 1, also out of profit at the mark.
        Source: Binance, "What Is Auto-Deleveraging (ADL) and How Does It Work", LeveragePnL.
@custom:kill Nothing to halt: it only computes.
"""
from ..interfaces import IScore

implements: IScore

ONE: constant(uint256) = 10**18
# 1 USDC: below it a wallet counts as this much.
FLOOR: constant(int256) = 10**6


@pure
@external
def score(standing: IScore.Standing) -> uint256:
    """
    @notice Units of 10^-18, rounded down, at least 1; 0, not eligible, if equity is not above zero.
    @dev |pnl| < 2^81 and maintenance < 2^83, so the product stays below 2^224; cash and equity
         are below 2^127 each, so the divisor stays below 2^254.
    """
    if standing.equity <= 0:
        return 0
    wallet: uint256 = convert(max(standing.cash, FLOOR), uint256)
    gain: uint256 = convert(max(standing.pnl, 0), uint256) * standing.maintenance * ONE
    return max(gain // (wallet * convert(standing.equity, uint256)), 1)
