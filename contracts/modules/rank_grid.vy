# pragma version ~=0.4.3
"""
@title rank_grid
@license AGPL-3.0-only
@notice Where a position is filed for ranking, and the highest score that anyone filed there can
        have. Owns no storage.

            E        entry price, |quote| / size, ticks
            m        margin fraction at entry, (cash + size * index / 10^9) / |quote|, signed: the
                     cash as it would be had funding never been settled, so settling moves nothing
            p        mark
            p'       mark less the funding index: equity per lot = m * E + s * (p' - E), s = +1 for
                     a long and -1 for a short
            cell     the first four bits of E (240 of them), and above these 8 bits 1 unless m is
                     negative: so both signs have bands of their own
            band     m from below: 15 by doubling and 128 equal ones of negative m; of others 128
                     equal ones up to 1/16, then 16 for each doubling
            bucket   a cell's share of up to 128 ticks of E, within a band; finer where m is small

        The equal bands are where most winners are: of many holders with the same leverage those with
        a score next to the best one differ in m by less than a hundredth.

        Both are read off the leading bits of a number, so a bucket's edges are exact integers: E in
        1/256 ticks, m in 1/65536.

        Why a bound is never below a score of its bucket. A position is filed with one micro-USDC
        less cash than it has, and equity on chain is rounded down by less than that, so its equity
        per lot is at least e = m E + s (p' - E) at its true E and the lower edge m of its band. A
        score falls as equity rises, so the highest one in the bucket is that of an E at m. e is
        linear in E: above zero at both ends it is so between them, else the bound is infinite.
        Above zero, in E,

            docs, long            p^2 / (E e)          convex: highest at an end
            docs, short           E / e                monotone: highest at an end
            return x lev., long   p (p - E) / (E e)    falls, or falls then rises: at an end
            return x lev., short  p (E - p) / (E e)    rises, then falls from E* on: at an end, or
                                                       at E* = p + sqrt(p (c p - p') / c), c = 1 + m,
                                                       where it is p / (2 c p - p' + 2 sqrt(c p (c p - p')))

        and each is rounded up (one is added to what is rounded down; two at E*, so that the bucket of
        E* is above the one below it). That needs p' > 0, and c > 0 for a short; else the bound is infinite.
"""
from . import bits
from . import position_codec

# Nowhere in the grid: ranked apart, one by one.
APART: constant(uint256) = max_value(uint256)
# No score is known to be above the bucket's.
INFINITE: constant(uint256) = 2**192 - 1

# How a score contract computes; UNKNOWN has no bound.
UNKNOWN: constant(uint256) = 0
DOCS: constant(uint256) = 1
RETURN_X_LEVERAGE: constant(uint256) = 2

SCALE: constant(int256) = 10**9
UNSIGNED_SCALE: constant(uint256) = 10**9
# 10^18 in 2^-16.
ONE_16: constant(uint256) = 10**18 << 16
# Bands of negative m: 15 by doubling from 1 on, 128 equal ones below 1.
NEGATIVE: constant(uint256) = 143
# Least m, -2^15, in 1/65536; the top band's, 31/16, in 1/2048.
MAX_DEBT: constant(int256) = 2**31
UNSIGNED_DEBT: constant(uint256) = 2**31
TOP: constant(uint256) = 31 << 7
# Bands of m below 1/16, each 1/2048; above there are 16 for each doubling.
EQUAL: constant(uint256) = 128
LAST: constant(uint256) = EQUAL + 5 * 16 - 1
# In a cell: m is not negative.
POSITIVE: constant(uint256) = 1 << 8
MAX_ENTRY: constant(uint256) = 2**32
# log2 of a width in 1/65536 beyond any m: at most 2^127 micro-USDC on one.
UNBOUNDED: constant(uint256) = 144


struct Prices:
    formula: uint256
    is_long: bool
    # p in 1/256 ticks; p' in 2^-24 ticks, rounded against the winner.
    mark: uint256
    equity_mark: int256
    # Close price in 1/256 ticks, rounded so that nobody in profit there is left out.
    limit: uint256


@pure
@internal
def bucket_of(size: int256, quote: int256, index: int256, cash: int256) -> uint256:
    """
    @notice cell * 2^16 + band * 2^8 + tick (25 bits) of a position of `size` signed lots, `quote` and `cash`
            in micro-USDC, settled at `index`; APART if it is off the grid.
    @dev The ledger's bounds (size < 2^55, quote < 2^79, index < 2^71, cash < 2^127) keep every
         product below 2^200: nothing here can revert.
    """
    if size == 0 or quote == 0 or (size > 0) == (quote > 0):
        return APART
    spread: int256 = abs(quote)
    entry: uint256 = (convert(spread, uint256) << 8) // convert(abs(size), uint256)
    if entry == 0 or entry >= MAX_ENTRY:
        return APART
    spread = unsafe_mul(spread, SCALE)
    # One micro-USDC less than there is.
    free: int256 = (cash - 1) * SCALE + size * index
    free <<= 16
    margin: int256 = free // spread
    # Down, below zero too.
    if unsafe_mul(margin, spread) > free:
        margin = unsafe_sub(margin, 1)
    if margin < -MAX_DEBT:
        return APART
    band: uint256 = self._band(margin)
    cell: uint256 = 0
    left: uint256 = 0
    cell, left = self._cell(entry)
    if margin >= 0:
        cell |= POSITIVE
    fine: uint256 = min(self._fineness(cell, band), left)
    tick: uint256 = (entry >> unsafe_sub(left, fine)) & ((1 << fine) - 1)
    return (cell << 16) | (band << 8) | tick


@pure
@internal
def place_of(bucket: uint256) -> uint256:
    """
    @notice A bucket (side * 2^25 + `bucket_of`, plus 1) with its edges, so that whether a position
            stays there can be told without computing where it belongs: bucket 33 | E 32 | log2 of its
            width 5 | m 32 | log2 of its width 8. m is told from -2^15 on; the top band of m has no
            end, so its width is more than any m there is.
    """
    cell: uint256 = ((bucket - 1) >> 16) & 511
    band: uint256 = ((bucket - 1) >> 8) & 255
    low: uint256 = 0
    high: uint256 = 0
    low, high = self.cell_edges(cell)
    # Of the cell's width, which is a power of two, what the fineness leaves.
    width: uint256 = bits.highest(high - low)
    width -= min(self._fineness(cell, band), width)
    low += ((bucket - 1) & 255) << width
    # Below zero bands of 1/128, and below -1 as wide as they are far from zero; above, steps of
    # 1/2048, and from 1/16 on as wide as the first five bits leave room for.
    breadth: uint256 = 9
    if cell < POSITIVE:
        if band < 15:
            breadth = 30 - band
    elif band < EQUAL:
        breadth = 5
    else:
        breadth = band >> 4 if band < LAST else UNBOUNDED
    least: uint256 = convert(self.margin_of(cell, band) + MAX_DEBT, uint256)
    return (bucket << 77) | (low << 45) | (width << 40) | (least << 8) | breadth


@pure
@internal
def stays(place: uint256, active: uint256, word: uint256, cash: int256) -> bool:
    """
    @notice Whether an account with positions in the markets `active` (one bit each) belongs where it
            is: the same answer as `bucket_of` gives, without computing it. False if they are not one.
    @param place Where it is, as `place_of` says; 0: nowhere.
    @param word Its position, as `position_codec` packs it.
    @dev E and m are rounded down and edges are whole, so a quotient is at or above an edge if and
         only if what is divided is at or above the edge times what it is divided by. The distance
         from the lower edge is taken as an unsigned number: below it, it is larger than any width.
         A flat position, one for nothing and one with the wrong sign are within no edges of E, which
         begin above zero. By the ledger's bounds (see `bucket_of`) no product reaches 2^254, and no
         m reaches 2^144 of 1/65536, the width of the top band.
    """
    # All ones for a short: with these a number is negated by turning its bits and adding one.
    sign: uint256 = unsafe_sub(0, (word >> 55) & 1)
    # Its side is 2 m + 1 for a long, 2 m for a short, so that of one bit, 2^m, twice the square is
    # two to the long one's; of several or none it is no power of two.
    if (
        unsafe_mul(active, active) << 1
        != 1 << unsafe_sub(unsafe_sub(place >> 77, 1) >> 25, sign)
    ):
        return False
    size: int256 = (
        convert(convert(word << position_codec.SIZE_UP, bytes32), int256) >> position_codec.SIZE_DOWN
    )
    lots: uint256 = unsafe_sub(convert(convert(size, bytes32), uint256) ^ sign, sign)
    notional: uint256 = unsafe_sub(
        sign,
        convert(
            convert(
                convert(convert(word << position_codec.QUOTE_UP, bytes32), int256)
                >> position_codec.QUOTE_DOWN,
                bytes32,
            ),
            uint256,
        )
        ^ sign,
    )
    if (
        unsafe_sub(notional << 8, unsafe_mul((place >> 45) & (2**32 - 1), lots))
        >= lots << ((place >> 40) & 31)
    ):
        return False
    # One micro-USDC less than there is.
    free: int256 = unsafe_add(
        unsafe_mul(unsafe_sub(cash, 1), SCALE),
        unsafe_mul(
            size,
            convert(convert(word << position_codec.INDEX_UP, bytes32), int256)
            >> position_codec.INDEX_DOWN,
        ),
    )
    spread: uint256 = unsafe_mul(notional, UNSIGNED_SCALE)
    return (
        unsafe_sub(
            convert(convert(free, bytes32), uint256) << 16,
            unsafe_mul(unsafe_sub((place >> 8) & (2**32 - 1), UNSIGNED_DEBT), spread),
        )
        < spread << (place & 255)
    )


@pure
@internal
def _band(margin: int256) -> uint256:
    if margin < 0:
        debt: uint256 = unsafe_sub(convert(-margin, uint256), 1)
        if debt < 65_536:
            # Up to 65536 in steps of 512: band 142 down to 15.
            return unsafe_sub(NEGATIVE - 1, debt >> 9)
        # (2^16, 2^17] is band 14, and so on down to 0.
        return unsafe_sub(30, bits.highest(debt))
    amount: uint256 = min(convert(margin, uint256) >> 5, TOP)
    if amount < EQUAL:
        return amount
    shift_: uint256 = unsafe_sub(bits.highest(amount), 4)
    # The first one is 3, and the first five bits begin at 16.
    return unsafe_add(unsafe_add(shift_ << 4, amount >> shift_), EQUAL - 64)


@pure
@internal
def margin_of(cell: uint256, band: uint256) -> int256:
    """
    @notice The least m of a cell's band, in 1/65536.
    @dev A band is below 256, so nothing here leaves 32 bits.
    """
    if cell >= POSITIVE:
        if band < EQUAL:
            return convert(band << 5, int256)
        return convert(((band & 15) | 16) << (band >> 4), int256)
    if band < 15:
        return unsafe_sub(0, convert(1 << unsafe_sub(31, band), int256))
    return unsafe_mul(unsafe_sub(convert(band, int256), convert(NEGATIVE, int256)), 512)


@pure
@internal
def _fineness(cell: uint256, band: uint256) -> uint256:
    """
    @notice Bits of E below the cell's: one for each halving of m from 2 on, so that the error of E
            is in proportion to m; at most 7, as a word of the index has 128 ticks and a flag.
    """
    if cell < POSITIVE:
        return 5
    if band < EQUAL:
        return 7
    return unsafe_sub(14, band >> 4)


@pure
@internal
def _cell(number: uint256) -> (uint256, uint256):
    """
    @notice The first four bits of a number as an index, and how many bits are left.
    """
    if number < 16:
        return number, 0
    shift_: uint256 = bits.highest(number) - 3
    return (shift_ << 3) + (number >> shift_), shift_


@pure
@internal
def cell_edges(cell: uint256) -> (uint256, uint256):
    """
    @notice E of a cell, from and below, in 1/256 ticks.
    @dev A cell is below 512, so that its edges are below 2^34.
    """
    leading: uint256 = cell & (POSITIVE - 1)
    if leading < 16:
        return leading, unsafe_add(leading, 1)
    left: uint256 = unsafe_sub(leading >> 3, 1)
    leading = (leading & 7) | 8
    return leading << left, unsafe_add(leading, 1) << left


@pure
@internal
def width_of(cell: uint256, band: uint256) -> uint256:
    """
    @notice Bits of E within a bucket: bucket `tick` of a band in a cell begins at the cell's lower edge
            plus tick * 2^width, in 1/256 ticks, and is 2^width wide.
    """
    leading: uint256 = cell & (POSITIVE - 1)
    if leading < 16:
        return 0
    left: uint256 = unsafe_sub(leading >> 3, 1)
    fine: uint256 = self._fineness(cell, band)
    return unsafe_sub(left, fine) if left > fine else 0


@pure
@internal
def ticks_below(cell: uint256, band: uint256, entry: uint256, from_below: bool) -> uint256:
    """
    @notice How many ticks of a band in a cell begin below `entry` (1/256 ticks), or (not
            `from_below`) end at or below it.
    """
    low: uint256 = 0
    high: uint256 = 0
    low, high = self.cell_edges(cell)
    if entry <= low:
        return 0
    width: uint256 = self.width_of(cell, band)
    over: uint256 = unsafe_sub(entry, low)
    if from_below:
        # An entry is below 2^104 (a close price of 2^96 ticks in 1/256): no overflow.
        over = unsafe_add(over, (1 << width) - 1)
    return over >> width


@pure
@internal
def may_rise(prices: Prices, margin: int256) -> bool:
    """
    @notice Whether the bound of a long may rise with E anywhere in profit, or stay as it is.
    @dev By return x leverage it falls up to p while c E^2 - 2 c p E + p p' > 0, which has no root unless
         c p >= p'; from p on it is 1, or infinite. Here c = 1 - m and |c| < 2^33.
    """
    return (
        prices.formula == DOCS
        or prices.limit > prices.mark
        or prices.equity_mark <= 0
        or unsafe_mul(unsafe_sub(65_536, margin), convert(prices.mark, int256))
        >= prices.equity_mark
    )


@pure
@internal
def turning_point(prices: Prices, margin: int256) -> uint256:
    """
    @notice E* of a short by return x leverage, 1/256 ticks, rounded down; 0 if there is none.
    """
    if prices.is_long or prices.formula != RETURN_X_LEVERAGE or margin <= -65_536:
        return 0
    c: uint256 = convert(unsafe_add(65_536, margin), uint256)
    over: int256 = unsafe_sub(convert(unsafe_mul(c, prices.mark), int256), prices.equity_mark)
    if over <= 0 or prices.equity_mark <= 0:
        return 0
    return unsafe_add(
        prices.mark,
        isqrt(unsafe_div(unsafe_mul(prices.mark, convert(over, uint256)), c)),
    )


@pure
@internal
def upper_bound(prices: Prices, low: uint256, high: uint256, margin: int256) -> uint256:
    """
    @notice No position with E in [low, high), in profit at the close price and filed at `margin` or
            above, has a higher score. 0: nobody there is in profit at the close price.
    @dev E < 2^34, p < 2^32 and |m| <= 2^31, so |c| < 2^33; |p'| < 2^67, as an index is below 2^71.
         So |c| E < 2^67, e < 2^68 and no product below reaches 2^145: unchecked throughout. E >= 1
         and e >= 1 where one divides by them: an entry of 0 is off the grid.
    """
    a: uint256 = low
    b: uint256 = high
    if prices.is_long:
        if a >= prices.limit:
            return 0
        if b > prices.limit:
            b = prices.limit
    else:
        if b <= prices.limit:
            return 0
        if a < prices.limit:
            a = prices.limit
    if prices.formula == UNKNOWN or prices.equity_mark <= 0:
        return INFINITE
    mark: uint256 = prices.mark
    shifted: uint256 = convert(prices.equity_mark, uint256)
    if prices.is_long:
        # E e at both ends; e = p' - c E in 2^-24 ticks, c = 1 - m.
        at_a: uint256 = 0
        at_b: uint256 = 0
        if margin <= 65_536:
            c: uint256 = convert(unsafe_sub(65_536, margin), uint256)
            at_b = unsafe_mul(c, b)
            # It falls with E.
            if at_b >= shifted:
                return INFINITE
            at_b = unsafe_mul(b, unsafe_sub(shifted, at_b))
            at_a = unsafe_mul(a, unsafe_sub(shifted, unsafe_mul(c, a)))
        else:
            c: uint256 = convert(unsafe_sub(margin, 65_536), uint256)
            at_a = unsafe_mul(a, unsafe_add(shifted, unsafe_mul(c, a)))
            at_b = unsafe_mul(b, unsafe_add(shifted, unsafe_mul(c, b)))
        if prices.formula == DOCS:
            square: uint256 = unsafe_mul(unsafe_mul(mark, mark), ONE_16)
            bound: uint256 = unsafe_add(1, unsafe_div(square, min(at_a, at_b)))
            return min(bound, INFINITE)
        # A score may be rounded up to 1, but not below it.
        if a >= mark:
            return 1
        # As `_gain`: this is the way of most words that a search reads.
        scale: uint256 = unsafe_mul(mark, ONE_16)
        bound: uint256 = unsafe_div(unsafe_mul(scale, unsafe_sub(mark, a)), at_a)
        if b < mark:
            bound = max(bound, unsafe_div(unsafe_mul(scale, unsafe_sub(mark, b)), at_b))
        return min(unsafe_add(bound, 1), INFINITE)
    if margin <= -65_536:
        return INFINITE
    # e = c E - p', c = 1 + m; it rises with E.
    c: uint256 = convert(unsafe_add(65_536, margin), uint256)
    e: uint256 = unsafe_mul(c, a)
    if e <= shifted:
        return INFINITE
    e = unsafe_sub(e, shifted)
    if prices.formula == DOCS:
        # p' > 0: it falls with E.
        bound: uint256 = unsafe_add(1, unsafe_div(unsafe_mul(a, ONE_16), e))
        return min(bound, INFINITE)
    if b <= mark:
        return 1
    # Up to E* it rises, from there on it falls.
    whole: uint256 = unsafe_mul(c, mark)
    if whole > shifted:
        over: uint256 = unsafe_sub(whole, shifted)
        # Of c (E - p)^2 against p (c p - p'), in 2^-32.
        turn: uint256 = unsafe_mul(mark, over)
        reach: uint256 = unsafe_sub(b, mark)
        if unsafe_mul(unsafe_mul(c, reach), reach) <= turn:
            return self._gain(mark, reach, unsafe_mul(b, unsafe_sub(unsafe_mul(c, b), shifted)))
        reach = unsafe_sub(max(a, mark), mark)
        if unsafe_mul(unsafe_mul(c, reach), reach) <= turn:
            # Below 2^67 * 2^67.
            spread: uint256 = unsafe_add(
                unsafe_add(whole, over), isqrt(unsafe_mul(whole, over)) << 1
            )
            # The bucket that ends at E* or next to it may come to the same: this one comes first.
            return unsafe_add(self._gain(1, mark, spread), 1)
    return self._gain(mark, unsafe_sub(a, mark), unsafe_mul(a, e))


@pure
@internal
def _gain(mark: uint256, gain: uint256, weight: uint256) -> uint256:
    """
    @notice Return x leverage at an E where it is p * gain / weight, rounded up; weight = E e > 0.
    """
    return min(
        unsafe_add(1, unsafe_div(unsafe_mul(unsafe_mul(mark, gain), ONE_16), weight)), INFINITE
    )
