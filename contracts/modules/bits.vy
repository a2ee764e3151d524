# pragma version ~=0.4.3
"""
@title bits
@license AGPL-3.0-only
@notice Positions of the highest and the lowest set bit of a word. Owns no storage.
"""


# floor(log2(n)) of n = 1 .. 15, two bits each.
LOGS: constant(uint256) = 4_294_945_360


@pure
@internal
def highest(word: uint256) -> uint256:
    """
    @notice Index (0..255) of the most significant set bit.
    @dev Binary search by halves without a branch, the last four bits from a table. `word` must not
         be zero.
    """
    index: uint256 = convert(word > 2**128 - 1, uint256) << 7
    index |= convert((word >> index) > 2**64 - 1, uint256) << 6
    index |= convert((word >> index) > 2**32 - 1, uint256) << 5
    index |= convert((word >> index) > 2**16 - 1, uint256) << 4
    index |= convert((word >> index) > 2**8 - 1, uint256) << 3
    index |= convert((word >> index) > 2**4 - 1, uint256) << 2
    return index | ((LOGS >> ((word >> index) << 1)) & 3)


@pure
@internal
def lowest(word: uint256) -> uint256:
    """
    @notice Index (0..255) of the least significant set bit. `word` must not be zero.
    """
    # A word and its two's complement share only their lowest set bit.
    return self.highest(word & unsafe_add(~word, 1))
