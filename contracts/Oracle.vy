# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Oracle
@license AGPL-3.0-only
@notice Prices by epoch: one update by a reporter sets every market's oracle price, mark and
        previous mark under one epoch number. Owns prices and nothing else; it holds no money
        and calls nobody.

            price      ticks; one tick is 10^-(6 - size_decimals) USDC, so ticks * lots is an
                       exact integer of micro-USDC
            mark       what margin, liquidation and ranking read; follows the oracle price by at
                       most `max_step` an epoch, and a larger move is walked, not refused
            previous   the mark of the epoch before

@custom:kill Remove every reporter: prices go stale, what adds risk is refused, what reduces it
             still works.
"""
from snekmate.auth import ownable
from .interfaces import IOracle

initializes: ownable
implements: IOracle
exports: (ownable.owner, ownable.transfer_ownership)

MAX_MARKETS: constant(uint256) = 64
MAX_PRICE: constant(uint256) = 2**24 - 1
PPM: constant(uint256) = 10**6


event ReporterSet:
    reporter: indexed(address)
    allowed: bool


event ParametersSet:
    min_interval: uint256
    stale_after: uint256
    max_step: uint256


event PriceUpdated:
    epoch: indexed(uint256)
    market: indexed(uint256)
    oracle_price: uint256
    mark: uint256
    previous_mark: uint256


event PinChanged:
    market: indexed(uint256)
    pinned: bool


epoch: public(uint256)
updated_at: public(uint256)
market_count: public(uint256)
oracle_price: public(HashMap[uint256, uint256])
mark: public(HashMap[uint256, uint256])
previous_mark: public(HashMap[uint256, uint256])
# While an ADL round is open its market's mark and previous mark stand still.
pinned: public(HashMap[uint256, bool])

# Seconds between two updates at least; seconds after which prices are stale; largest move of a
# mark in one epoch in parts per million of it, 0 for no limit.
min_interval: public(uint256)
stale_after: public(uint256)
max_step: public(uint256)

is_reporter: public(HashMap[address, bool])
deleverager: public(address)


@deploy
def __init__(min_interval: uint256, stale_after: uint256, max_step: uint256):
    """
    @notice The deployer becomes the owner. Units as in `set_parameters`.
    """
    ownable.__init__()
    self._set_parameters(min_interval, stale_after, max_step)


@external
def wire(deleverager: address):
    """
    @notice Names the contract that may pin marks. Once, by the owner.
    """
    ownable._check_owner()
    assert self.deleverager == empty(address), "oracle: already wired"
    assert deleverager != empty(address), "oracle: zero address"
    self.deleverager = deleverager


@external
def set_reporter(reporter: address, allowed: bool):
    """
    @notice Lets `reporter` report prices, or no longer. Owner only.
    """
    ownable._check_owner()
    self.is_reporter[reporter] = allowed
    log ReporterSet(reporter=reporter, allowed=allowed)


@external
def set_parameters(min_interval: uint256, stale_after: uint256, max_step: uint256):
    """
    @notice Owner only.
    @param min_interval Seconds between two updates at least, so that two quick ones cannot
           erase the previous mark.
    @param stale_after Seconds after which prices are stale; more than `min_interval`.
    @param max_step Largest move of a mark in one epoch, in parts per million of it; a mark may
           always move by one tick. 0 lifts the limit.
    """
    ownable._check_owner()
    self._set_parameters(min_interval, stale_after, max_step)


@internal
def _set_parameters(min_interval: uint256, stale_after: uint256, max_step: uint256):
    assert stale_after > min_interval, "oracle: stale before the next update"
    assert max_step <= PPM, "oracle: step above 100%"
    self.min_interval = min_interval
    self.stale_after = stale_after
    self.max_step = max_step
    log ParametersSet(min_interval=min_interval, stale_after=stale_after, max_step=max_step)


@external
def add_market(price: uint256) -> uint256:
    """
    @notice Starts the prices of the next market id. Owner only.
    @param price Ticks, 1 .. 2^24 - 1: oracle price, mark and previous mark to begin with.
    """
    ownable._check_owner()
    market: uint256 = self.market_count
    assert market < MAX_MARKETS, "oracle: too many markets"
    self._require_price(price)
    self.market_count = market + 1
    self.oracle_price[market] = price
    self.mark[market] = price
    self.previous_mark[market] = price
    if market == 0:
        self.updated_at = block.timestamp
    self._log(market)
    return market


@external
def update(prices: DynArray[uint256, MAX_MARKETS]):
    """
    @notice Begins the next epoch with one oracle price for each market, in order of market id.
            Reporters only.
    @dev All or nothing: one epoch number stands for one set of marks.
    @param prices Ticks, 1 .. 2^24 - 1.
    """
    assert self.is_reporter[msg.sender], "oracle: not a reporter"
    assert len(prices) == self.market_count, "oracle: one price per market"
    assert block.timestamp >= self.updated_at + self.min_interval, "oracle: too soon"
    self.epoch += 1
    self.updated_at = block.timestamp
    market: uint256 = 0
    for price: uint256 in prices:
        self._require_price(price)
        self.oracle_price[market] = price
        if not self.pinned[market]:
            self.previous_mark[market] = self.mark[market]
            self.mark[market] = self._stepped(self.mark[market], price)
        self._log(market)
        market += 1


@external
def pin(market: uint256, pinned: bool):
    """
    @notice Holds a market's mark and previous mark still, or lets go. Deleverager only.
    """
    assert msg.sender == self.deleverager, "oracle: deleverager only"
    self.pinned[market] = pinned
    log PinChanged(market=market, pinned=pinned)


@view
@internal
def _stepped(mark: uint256, price: uint256) -> uint256:
    """
    @notice `price`, or as far toward it as one epoch may go (rounded down, at least one tick).
    """
    if self.max_step == 0:
        return price
    step: uint256 = max(1, mark * self.max_step // PPM)
    return min(price, mark + step) if price > mark else max(price, mark - min(step, mark - 1))


@pure
@internal
def _require_price(price: uint256):
    assert price != 0 and price <= MAX_PRICE, "oracle: price out of range"


@internal
def _log(market: uint256):
    log PriceUpdated(
        epoch=self.epoch,
        market=market,
        oracle_price=self.oracle_price[market],
        mark=self.mark[market],
        previous_mark=self.previous_mark[market],
    )


@view
@internal
def _is_fresh() -> bool:
    return block.timestamp <= self.updated_at + self.stale_after


@view
@external
def is_fresh() -> bool:
    """
    @notice Whether the last update is at most `stale_after` seconds old.
    """
    return self._is_fresh()


@view
@external
def read(market: uint256) -> (uint256, bool):
    """
    @notice What a margin check needs: the mark in ticks, and whether it is fresh.
    """
    return self.mark[market], self._is_fresh()
