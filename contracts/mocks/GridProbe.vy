# pragma version ~=0.4.3
"""
@title GridProbe
@license AGPL-3.0-only
@notice Shows `modules/rank_grid.vy`, `modules/bits.vy` and `modules/eligibility.vy` to their tests.
        Owns nothing.
@custom:kill Nothing to halt: it only computes.
"""
from ..modules import bits
from ..modules import eligibility
from ..modules import rank_grid


@pure
@external
def bucket_of(size: int256, quote: int256, index: int256, cash: int256) -> uint256:
    return rank_grid.bucket_of(size, quote, index, cash)


@pure
@external
def edges(code: uint256) -> (uint256, uint256, int256):
    """
    @notice E of a bucket, from and below, and the least m.
    """
    low: uint256 = 0
    high: uint256 = 0
    low, high = self._edges(code >> 16, (code >> 8) & 255, code & 255)
    return low, high, rank_grid.margin_of(code >> 16, (code >> 8) & 255)


@pure
@external
def stays(bucket: uint256, active: uint256, word: uint256, cash: int256) -> bool:
    """
    @notice Whether a packed position stays in a bucket; 0: it is in none.
    """
    return rank_grid.stays(0 if bucket == 0 else rank_grid.place_of(bucket), active, word, cash)


@pure
@external
def bounds(code: uint256, prices: rank_grid.Prices) -> (uint256, uint256):
    """
    @notice The bound of a bucket, and that of its cell at the bucket's margin.
    """
    cell: uint256 = code >> 16
    band: uint256 = (code >> 8) & 255
    margin: int256 = rank_grid.margin_of(cell, band)
    low: uint256 = 0
    high: uint256 = 0
    low, high = self._edges(cell, band, code & 255)
    bucket: uint256 = rank_grid.upper_bound(prices, low, high, margin)
    low, high = rank_grid.cell_edges(cell)
    return bucket, rank_grid.upper_bound(prices, low, high, margin)


@pure
@external
def runs(
    cell: uint256, band: uint256, prices: rank_grid.Prices
) -> (DynArray[uint256, 128], uint256, bool):
    """
    @notice The bounds of all buckets of a band in a cell, how many of them begin at the turning point or
            below it, and whether those of longs may rise.
    """
    margin: int256 = rank_grid.margin_of(cell, band)
    start: uint256 = 0
    end: uint256 = 0
    start, end = rank_grid.cell_edges(cell)
    ticks: uint256 = rank_grid.ticks_below(cell, band, end, True)
    bounds: DynArray[uint256, 128] = []
    for tick: uint256 in range(ticks, bound=128):
        low: uint256 = 0
        high: uint256 = 0
        low, high = self._edges(cell, band, tick)
        bounds.append(rank_grid.upper_bound(prices, low, high, margin))
    turn: uint256 = rank_grid.turning_point(prices, margin)
    below: uint256 = rank_grid.ticks_below(cell, band, turn + 1, True) if turn != 0 else 0
    return bounds, min(below, ticks), rank_grid.may_rise(prices, margin)


@pure
@external
def ends(word: uint256) -> (uint256, uint256):
    """
    @notice Positions of the lowest and the highest set bit.
    """
    return bits.lowest(word), bits.highest(word)


@pure
@external
def eligible(
    size: int256,
    quote: int256,
    equity: int256,
    winners_long: bool,
    mark: uint256,
    numerator: uint256,
    denominator: uint256,
    lots: uint256,
) -> (uint256, bool):
    """
    @notice Lots that a position can give up, and whether these are any by the shorter question.
    """
    return eligibility.bearable(
        size, quote, equity, winners_long, mark, numerator, denominator, lots
    ), eligibility.is_eligible(
        size, quote, equity, winners_long, mark, numerator, denominator, lots
    )


@pure
@internal
def _edges(cell: uint256, band: uint256, tick: uint256) -> (uint256, uint256):
    low: uint256 = 0
    high: uint256 = 0
    low, high = rank_grid.cell_edges(cell)
    width: uint256 = rank_grid.width_of(cell, band)
    low += tick << width
    return low, low + (1 << width)
