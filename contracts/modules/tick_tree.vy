# pragma version ~=0.4.3
"""
@title tick_tree
@license AGPL-3.0-only
@notice The set of price ticks at which a side of a book has orders: three levels of 256-bit
        words over ticks 0 .. 2^24 - 1, so the best tick and the next one after it cost at
        most five storage reads, however deep the book is.
@dev A side is named by a key below 2^64 of the caller's choice. Owns the words and nothing
     else: it knows neither orders nor prices.
"""
from . import bits

MAX_TICK: constant(uint256) = 2**24 - 1
NOWHERE: constant(uint256) = max_value(uint256)

# (key, level, index) packed into one word -> 256 flags.
# Level 0: one flag a tick. Level 1: one flag a word of level 0. Level 2: one word.
_words: HashMap[uint256, uint256]


@pure
@internal
def _slot(key: uint256, level: uint256, index: uint256) -> uint256:
    return (key << 32) | (level << 24) | index


@internal
def add(key: uint256, tick: uint256):
    """
    @notice Marks `tick` as occupied. Adding it twice changes nothing.
    """
    index: uint256 = tick
    for level: uint256 in range(3):
        slot: uint256 = self._slot(key, level, index >> 8)
        word: uint256 = self._words[slot]
        self._words[slot] = word | (1 << (index & 255))
        # The levels above already know of a word that was not empty.
        if word != 0:
            break
        index >>= 8


@internal
def remove(key: uint256, tick: uint256):
    """
    @notice Marks `tick` as empty. Removing an empty one changes nothing.
    """
    index: uint256 = tick
    for level: uint256 in range(3):
        slot: uint256 = self._slot(key, level, index >> 8)
        word: uint256 = self._words[slot] & ~(1 << (index & 255))
        self._words[slot] = word
        if word != 0:
            break
        index >>= 8


@view
@internal
def top(key: uint256, highest: bool) -> uint256:
    """
    @notice The highest (or the lowest) occupied tick, `max_value(uint256)` if there is none.
    """
    index: uint256 = 0
    for up: uint256 in range(3):
        word: uint256 = self._words[self._slot(key, 2 - up, index)]
        if word == 0:
            return NOWHERE
        index = (index << 8) | (bits.highest(word) if highest else bits.lowest(word))
    return index


@view
@internal
def beyond(key: uint256, tick: uint256, downward: bool) -> uint256:
    """
    @notice The nearest occupied tick strictly below (or above) `tick`, `max_value(uint256)`
            if there is none.
    """
    index: uint256 = tick
    for level: uint256 in range(3):
        bit: uint256 = index & 255
        word: uint256 = self._words[self._slot(key, level, index >> 8)]
        if downward:
            word &= (1 << bit) - 1
        else:
            # Two shifts: one of 256 places would be needed for bit 255.
            word &= ~(((1 << bit) - 1) | (1 << bit))
        if word != 0:
            found: uint256 = ((index >> 8) << 8) | (
                bits.highest(word) if downward else bits.lowest(word)
            )
            # Down the levels again, always to the near edge.
            for back: uint256 in range(2):
                if back >= level:
                    break
                below: uint256 = self._words[self._slot(key, level - 1 - back, found)]
                found = (found << 8) | (bits.highest(below) if downward else bits.lowest(below))
            return found
        index >>= 8
    return NOWHERE
