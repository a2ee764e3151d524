# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title CappedProRata
@license AGPL-3.0-only
@notice Every winner gives up the same part of its position, but none more than a cap: the
        largest share of its own position, and what its equity can bear. What the capped do
        not give is spread over the others, again in proportion (water-filling). If all caps
        together are less than the lot, the rest of it finds no taker.
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
def __init__(clearinghouse_: address, max_holders: uint256, largest_share_: uint256):
    """
    @param max_holders Sides with more holders are refused; at most 4,095.
    @param largest_share_ Of its position that one account gives up at most, parts per million.
    """
    allocation_plan.__init__(
        clearinghouse_, max_holders, allocation_plan.CAPPED, largest_share_
    )
