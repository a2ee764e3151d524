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
    assert (position.size << 200) >> 200 == position.size, "ledger: size out of range"
    assert (position.quote << 176) >> 176 == position.quote, "ledger: quote out of range"
    assert (position.index << 184) >> 184 == position.index, "ledger: index out of range"
    # Up to the top bit, then down again, without the sign: what is above a number's bits is gone.
    return (
        ((convert(convert(position.size, bytes32), uint256) << 200) >> 200)
        | ((convert(convert(position.quote, bytes32), uint256) << 176) >> 120)
        | ((convert(convert(position.index, bytes32), uint256) << 184) >> 48)
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
    # Up to the top bit, then down again: the second shift copies the sign.
    return Packed(
        size=convert(convert(word << 200, bytes32), int256) >> 200,
        quote=convert(convert(word << 120, bytes32), int256) >> 176,
        index=convert(convert(word << 48, bytes32), int256) >> 184,
        leverage=(word >> LEVERAGE_AT) & 255,
        holder=word >> 216,
    )
