# pragma version ~=0.4.3
"""
@title bits
@license AGPL-3.0-only
@notice Positions of the highest and the lowest set bit of a word. Owns no storage.
"""


# floor(log2(n)) of n = 1 .. 15, two bits each.
LOGS: constant(uint256) = 4_294_945_360
# Every five bits in a row of this word (and of five zeros behind it) occur once; and by such five
# bits where they are, a byte each.
SEQUENCE: constant(uint256) = 125_613_361
PLACES: constant(uint256) = (
    4088518913827626597285369242834745541130067489702375943734699084159095931136
)


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
    @dev A word and its two's complement share only their lowest set bit. Three halvings find its 32
         bits; there a product with one bit is a shift of the sequence, whose first five bits name it.
    """
    bit: uint256 = word & unsafe_add(~word, 1)
    index: uint256 = convert(bit > 2**128 - 1, uint256) << 7
    index |= convert((bit >> index) > 2**64 - 1, uint256) << 6
    index |= convert((bit >> index) > 2**32 - 1, uint256) << 5
    # Bits 27 to 31 of the product, times eight.
    place: uint256 = (unsafe_mul(bit >> index, SEQUENCE) >> 24) & 248
    return index | ((PLACES >> place) & 31)
