# pragma version ~=0.4.3
"""
@title eligibility
@license AGPL-3.0-only
@notice Who may be deleveraged, and by how much: one rule for the engines that rank and for the
        Deleverager that closes. Owns no storage.

            eligible   holds the winners' side, is in profit at the close price, and ends with an
                       equity of zero or more after the fill
"""


@pure
@internal
def bearable(
    size: int256,
    quote: int256,
    equity: int256,
    winners_long: bool,
    mark: uint256,
    numerator: uint256,
    denominator: uint256,
    lots: uint256,
) -> uint256:
    """
    @notice Lots of a position (`size` signed lots, `quote` and `equity` signed micro-USDC) that its
            holder can give up to a lot of `lots`; 0: not eligible. Rounded down.
    @dev The close price is the fraction numerator / denominator in ticks per lot. In profit and
         bearable are compared cross-multiplied: a bankruptcy price is off tick, and the quote's
         rounding (against the winner) never decides, since equity and marks are whole numbers.

         size < 2^55, quote < 2^79 and equity < 2^129 by the ledger's bounds; numerator < 2^96,
         denominator < 2^64, lots < 2^64 and mark < 2^24 by the round's: no product reaches 2^200.
    """
    if size == 0 or (size > 0) != winners_long:
        return 0
    above: int256 = convert(numerator, int256)
    below: int256 = convert(denominator, int256)
    if unsafe_add(unsafe_mul(size, above), unsafe_mul(quote, below)) <= 0:
        return 0
    wanted: int256 = min(convert(lots, int256), abs(size))
    # What a winner loses per lot against the mark, times the denominator.
    cost: int256 = unsafe_sub(above, unsafe_mul(convert(mark, int256), below))
    if winners_long:
        cost = unsafe_sub(0, cost)
    left: int256 = unsafe_mul(equity, below)
    if cost > 0:
        if left <= 0:
            return 0
        return convert(min(wanted, unsafe_div(left, cost)), uint256)
    if left < unsafe_mul(cost, wanted):
        return 0
    return convert(wanted, uint256)


@pure
@internal
def is_eligible(
    size: int256,
    quote: int256,
    equity: int256,
    winners_long: bool,
    mark: uint256,
    numerator: uint256,
    denominator: uint256,
    lots: uint256,
) -> bool:
    """
    @notice Whether `bearable` of the same is above zero: for who only asks that.
    @dev In the same bounds.
    """
    if size == 0 or (size > 0) != winners_long:
        return False
    above: int256 = convert(numerator, int256)
    below: int256 = convert(denominator, int256)
    if unsafe_add(unsafe_mul(size, above), unsafe_mul(quote, below)) <= 0:
        return False
    cost: int256 = unsafe_sub(above, unsafe_mul(convert(mark, int256), below))
    if winners_long:
        cost = unsafe_sub(0, cost)
    if cost > 0:
        # One lot of it.
        return unsafe_mul(equity, below) >= cost and lots != 0
    wanted: int256 = min(convert(lots, int256), abs(size))
    return unsafe_mul(equity, below) >= unsafe_mul(cost, wanted) and lots != 0
