# pragma version ~=0.4.3
"""
@title funding_rate
@license AGPL-3.0-only
@notice From premium to funding rate. Rates and premiums are parts of 10^9 of the price.

            per 8 h = premium + clamp(0.01% - premium, -0.05%, 0.05%)
            per hour = an eighth of that, at most 4% either way

        Source: Hyperliquid docs, "Funding".
"""

ONE: constant(int256) = 10**9
INTEREST: constant(int256) = 10**5
CLAMP: constant(int256) = 5 * 10**5
HOURLY_CAP: constant(int256) = 4 * 10**7


@pure
@internal
def per_eight_hours(premium: int256) -> int256:
    """
    @notice The rate for 8 hours before the hourly cap; above 0 longs pay.
    """
    return premium + max(-CLAMP, min(CLAMP, INTEREST - premium))


@pure
@internal
def per_hour(premium: int256) -> int256:
    """
    @notice The rate for one hour, truncated toward zero.
    """
    return max(-HOURLY_CAP, min(HOURLY_CAP, self.per_eight_hours(premium) // 8))
