# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title DrainLeverage
@license AGPL-3.0-only
@notice The most leveraged winners give up lots first, down to a common level: the highest
        leverage that is left is as low as it can be.
        How it is worked out, who is eligible and how lots are rounded: modules/allocation_plan.vy.
        Amounts are whole lots; only the Deleverager may ask.
@custom:kill Cannot be halted; the Deleverager's owner may choose another one between rounds.
"""
from ..interfaces import IRanking
from ..modules import allocation_plan

initializes: allocation_plan
implements: IRanking
exports: (
    allocation_plan.begin,
    allocation_plan.next,
    allocation_plan.is_allowed,
    allocation_plan.is_complete,
    allocation_plan.is_queue,
    allocation_plan.clearinghouse,
    allocation_plan.largest_share,
    allocation_plan.max_scan_holders,
    allocation_plan.row_count,
)


@deploy
def __init__(clearinghouse_: address, max_holders: uint256):
    """
    @param max_holders Sides with more holders are refused; at most 4,095.
    """
    allocation_plan.__init__(
        clearinghouse_, max_holders, allocation_plan.BY_LEVERAGE, allocation_plan.PPM
    )
