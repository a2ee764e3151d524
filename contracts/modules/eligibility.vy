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
    """
    if size == 0 or (size > 0) != winners_long:
        return 0
    above: int256 = convert(numerator, int256)
    below: int256 = convert(denominator, int256)
    if size * above + quote * below <= 0:
        return 0
    wanted: uint256 = min(lots, convert(abs(size), uint256))
    # What a winner loses per lot against the mark, times the denominator.
    cost: int256 = above - convert(mark, int256) * below
    if winners_long:
        cost = -cost
    if cost > 0:
        if equity <= 0:
            return 0
        return min(wanted, convert(equity * below // cost, uint256))
    if equity * below < cost * convert(wanted, int256):
        return 0
    return wanted
