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


struct Packed:
    size: int256
    quote: int256
    # Funding index of the market when the position was last settled.
    index: int256
    # The owner's limit on leverage in this market; 0: the market's.
    leverage: uint256
    # Place in the list of holders of its side.
    holder: uint256


MAX_SIZE: constant(int256) = 2**55 - 1
MAX_QUOTE: constant(int256) = 2**79 - 1
MAX_INDEX: constant(int256) = 2**71 - 1


@pure
@internal
def pack(position: Packed) -> uint256:
    assert abs(position.size) <= MAX_SIZE, "ledger: size out of range"
    assert abs(position.quote) <= MAX_QUOTE, "ledger: quote out of range"
    assert abs(position.index) <= MAX_INDEX, "ledger: index out of range"
    return (
        (self._bits(position.size) & (2**56 - 1))
        | ((self._bits(position.quote) & (2**80 - 1)) << 56)
        | ((self._bits(position.index) & (2**72 - 1)) << 136)
        | (position.leverage << 208)
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
        size=self._signed(word << 200) >> 200,
        quote=self._signed(word << 120) >> 176,
        index=self._signed(word << 48) >> 184,
        leverage=(word >> 208) & 255,
        holder=word >> 216,
    )


@pure
@internal
def _bits(number: int256) -> uint256:
    return convert(convert(number, bytes32), uint256)


@pure
@internal
def _signed(word: uint256) -> int256:
    return convert(convert(word, bytes32), int256)
