# pragma version ~=0.4.3
"""
@title position_codec
@license AGPL-3.0-only
@notice A position in one storage word, so that opening one writes one slot. Owns no storage.

            size 56 | quote 80 | index 72 | leverage 8 | holder 40        (the first three signed)

        The callers keep |size| < 2^55 lots and a price below 2^24 ticks, so |quote| < 2^79; the
        funding index moves by less than 2^50 an hour and by 2^40 in a bad one, so 72 bits last for
        centuries.
"""
# A signed number is read by a shift up to the top bit, and down again, which copies the sign.
SIZE_UP: constant(uint256) = 200
SIZE_DOWN: constant(uint256) = 200
QUOTE_UP: constant(uint256) = 120
QUOTE_DOWN: constant(uint256) = 176
INDEX_UP: constant(uint256) = 48
INDEX_DOWN: constant(uint256) = 184
# A position that is closed keeps nothing but what stands from here on.
LEVERAGE_AT: constant(uint256) = 208


struct Packed:
    size: int256
    quote: int256
    # Funding index of the market when the position was last settled.
    index: int256
    # The owner's limit on leverage in this market; 0: the market's.
    leverage: uint256
    # Place in the list of holders of its side.
    holder: uint256


@pure
@internal
def pack(position: Packed) -> uint256:
    """
    @dev A number that does not come back from its bits as it was has no room in them.
    """
    assert (position.size << SIZE_DOWN) >> SIZE_DOWN == position.size, "ledger: size out of range"
    assert (position.quote << QUOTE_DOWN) >> QUOTE_DOWN == position.quote, "ledger: quote out of range"
    assert (position.index << INDEX_DOWN) >> INDEX_DOWN == position.index, "ledger: index out of range"
    # Up to the top bit, then down again, without the sign: what is above a number's bits is gone.
    return (
        ((convert(convert(position.size, bytes32), uint256) << SIZE_DOWN) >> SIZE_UP)
        | ((convert(convert(position.quote, bytes32), uint256) << QUOTE_DOWN) >> QUOTE_UP)
        | ((convert(convert(position.index, bytes32), uint256) << INDEX_DOWN) >> INDEX_UP)
        | (position.leverage << LEVERAGE_AT)
        | (position.holder << 216)
    )


@pure
@internal
def with_holder(word: uint256, holder: uint256) -> uint256:
    """
    @notice A packed position with another place.
    """
    return (word & (2**216 - 1)) | (holder << 216)


@pure
@internal
def unpack(word: uint256) -> Packed:
    return Packed(
        size=convert(convert(word << SIZE_UP, bytes32), int256) >> SIZE_DOWN,
        quote=convert(convert(word << QUOTE_UP, bytes32), int256) >> QUOTE_DOWN,
        index=convert(convert(word << INDEX_UP, bytes32), int256) >> INDEX_DOWN,
        leverage=(word >> LEVERAGE_AT) & 255,
        holder=word >> 216,
    )
