# pragma version ~=0.4.3
"""
@title tick_tree
@license AGPL-3.0-only
@notice A number for each price tick at which a side of a book has orders, sorted by tick, so that
        the best tick and the next one after it cost at most seven storage reads, however deep the
        book is:

            page    6 neighbouring ticks: the number of each, 40 bits, 0 for none
            tree    over the pages that are not empty: two levels of 256-bit words and a root of 43
                    bits over ticks 0 .. 2^24 - 1

        So the first order of a price creates a page unless a neighbour is there already, one word
        more in a span of 1,536 ticks without any, and another one in a span of 393,216.
@dev A side is named by a key of the caller's choice; keys 2k and 2k + 1 share the word of their
     roots, whose upper 170 bits are the caller's to use (`_roots`). Owns the words and nothing else:
     it knows neither orders nor prices.
"""
from . import bits

MAX_TICK: constant(uint256) = 2**24 - 1
NOWHERE: constant(uint256) = max_value(uint256)

PAGE: constant(uint256) = 6
WIDTH: constant(uint256) = 40
NUMBER: constant(uint256) = 2**40 - 1
# Bits of a root: 2^24 ticks are 2,796,203 pages, one bit for each 65,536 of them.
ROOT: constant(uint256) = 43
# What lies above both roots is the caller's.
SPARE: constant(uint256) = 86

_roots: HashMap[uint256, uint256]
# (key, level, index) packed into one word -> 256 flags. Level 0: one a page. Level 1: one a word of
# level 0.
_words: HashMap[uint256, uint256]
# (key, page) packed into one word -> six numbers
_pages: HashMap[uint256, uint256]


@pure
@internal
def _slot(key: uint256, level: uint256, index: uint256) -> uint256:
    return (key << 32) | (level << 24) | index


@view
@internal
def _root(key: uint256) -> uint256:
    return (self._roots[key >> 1] >> (ROOT * (key & 1))) & (2**ROOT - 1)


@view
@internal
def at(key: uint256, tick: uint256) -> uint256:
    """
    @notice The number of a tick; 0 if it is not occupied.
    """
    return (self._pages[(key << 32) | (tick // PAGE)] >> (WIDTH * (tick % PAGE))) & NUMBER


@internal
def put(key: uint256, tick: uint256, number: uint256):
    """
    @notice Gives a tick its number, below 2^40; with 0 it is no longer occupied.
    """
    index: uint256 = tick // PAGE
    page: uint256 = (key << 32) | index
    lane: uint256 = WIDTH * (tick % PAGE)
    before: uint256 = self._pages[page]
    after: uint256 = (before & ~(NUMBER << lane)) | (number << lane)
    self._pages[page] = after
    if (before == 0) == (after == 0):
        return
    # The page appears or disappears, and with it perhaps a word of each level.
    appears: bool = before == 0
    for level: uint256 in range(2):
        slot: uint256 = self._slot(key, level, index >> 8)
        word: uint256 = self._words[slot]
        flag: uint256 = 1 << (index & 255)
        left: uint256 = word | flag if appears else word & ~flag
        self._words[slot] = left
        # The levels above know of a word that has others.
        if (word if appears else left) != 0:
            return
        index >>= 8
    flag: uint256 = 1 << (ROOT * (key & 1) + index)
    roots: uint256 = self._roots[key >> 1]
    self._roots[key >> 1] = roots | flag if appears else roots & ~flag


@pure
@internal
def _far(word: uint256, highest: bool) -> uint256:
    return bits.highest(word) if highest else bits.lowest(word)


@view
@internal
def top(key: uint256, highest: bool) -> uint256:
    """
    @notice The highest (or the lowest) occupied tick, `max_value(uint256)` if there is none.
    """
    root: uint256 = self._root(key)
    if root == 0:
        return NOWHERE
    return self._down(key, self._far(root, highest), 2, highest)


@view
@internal
def _down(key: uint256, start: uint256, levels: uint256, highest: bool) -> uint256:
    """
    @notice From an index at some height down to its highest (or lowest) tick.
    """
    index: uint256 = start
    for down: uint256 in range(1, 3):
        if down > levels:
            break
        word: uint256 = self._words[self._slot(key, levels - down, index)]
        index = (index << 8) | self._far(word, highest)
    return index * PAGE + self._far(self._pages[(key << 32) | index], highest) // WIDTH


@view
@internal
def reaches(key: uint256, tick: uint256, highest: bool) -> bool:
    """
    @notice Whether the highest occupied tick is at `tick` or above (or the lowest at it or below).
    @dev Ends at the first level that tells: far from the top that is one read or two.
    """
    root: uint256 = self._root(key)
    if root == 0:
        return False
    page: uint256 = tick // PAGE
    index: uint256 = self._far(root, highest)
    for up: uint256 in range(2):
        aim: uint256 = page >> (16 - 8 * up)
        if index != aim:
            return (index > aim) == highest
        word: uint256 = self._words[self._slot(key, 1 - up, index)]
        index = (index << 8) | self._far(word, highest)
    if index != page:
        return (index > page) == highest
    best: uint256 = self._far(self._pages[(key << 32) | index], highest) // WIDTH
    return best == tick % PAGE or (best > tick % PAGE) == highest


@view
@internal
def beyond(key: uint256, tick: uint256, downward: bool) -> uint256:
    """
    @notice The nearest occupied tick strictly below (or above) `tick`, `max_value(uint256)`
            if there is none.
    """
    index: uint256 = tick // PAGE
    word: uint256 = self._cut(
        self._pages[(key << 32) | index], WIDTH * (tick % PAGE), WIDTH, downward
    )
    if word != 0:
        return index * PAGE + self._far(word, downward) // WIDTH
    for level: uint256 in range(3):
        if level == 2:
            word = self._root(key)
        else:
            word = self._words[self._slot(key, level, index >> 8)]
        word = self._cut(word, index & 255, 1, downward)
        if word != 0:
            found: uint256 = ((index >> 8) << 8) | self._far(word, downward)
            # Down the levels again, always to the near edge.
            return self._down(key, found, level, downward)
        index >>= 8
    return NOWHERE


@pure
@internal
def _cut(word: uint256, lane: uint256, width: uint256, downward: bool) -> uint256:
    """
    @notice What of a word lies strictly below (or above) the `width` bits from `lane` on.
    """
    below: uint256 = (1 << lane) - 1
    if downward:
        return word & below
    # Two shifts: one of 256 places would be needed for the last flag.
    return word & ~(below | (((1 << width) - 1) << lane))
