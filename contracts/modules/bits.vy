# pragma version ~=0.4.3
"""
@title bits
@license AGPL-3.0-only
@notice Positions of the highest and the lowest set bit of a word. Owns no storage.
"""


@pure
@internal
def highest(word: uint256) -> uint256:
    """
    @notice Index (0..255) of the most significant set bit.
    @dev Binary search by halves: eight comparisons. `word` must not be zero.
    """
    rest: uint256 = word
    index: uint256 = 0
    if rest >> 128 != 0:
        rest >>= 128
        index += 128
    if rest >> 64 != 0:
        rest >>= 64
        index += 64
    if rest >> 32 != 0:
        rest >>= 32
        index += 32
    if rest >> 16 != 0:
        rest >>= 16
        index += 16
    if rest >> 8 != 0:
        rest >>= 8
        index += 8
    if rest >> 4 != 0:
        rest >>= 4
        index += 4
    if rest >> 2 != 0:
        rest >>= 2
        index += 2
    if rest >> 1 != 0:
        index += 1
    return index


@pure
@internal
def lowest(word: uint256) -> uint256:
    """
    @notice Index (0..255) of the least significant set bit. `word` must not be zero.
    """
    # A word and its two's complement share only their lowest set bit.
    return self.highest(word & unsafe_add(~word, 1))
