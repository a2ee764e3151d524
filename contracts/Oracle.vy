# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Oracle
@license AGPL-3.0-only
@notice Prices by epoch. Reporters report; one poke turns what they reported into the oracle
        price, the mark, the previous mark and the funding index of every market, under one epoch
        number. Owns prices and nothing else; it holds no money.

            price      ticks; one tick is 10^-(6 - size_decimals) USDC, so ticks * lots is an
                       exact integer of micro-USDC
            oracle     median of the fresh reports
            mark       what margin, liquidation and ranking read. It follows the median of
                       (oracle + EMA of the impact mid's distance from it, median of best bid, best
                       ask and last trade, oracle) by at most `max_step` an epoch; a larger move is
                       walked, not refused. The oracle alone while the book is one-sided.
            previous   the mark of the epoch before
            sample     what a separate, bounded call read from one book
            index      funding paid so far by one lot long, 10^-9 micro-USDC

        A manipulated last trade is one input of one of three: it moves nothing by itself. A
        manipulated sample moves the EMA and the premium by what 1% of the price does, and by the
        seconds it stands for.

        News: a market is priced again only when a quorum of reporters has spoken of it since it was
        priced last. A reporter who lags behind, repeats itself or speaks of other markets thus
        helps nobody to wear the previous mark away with pokes.

        Funding: an hour is due once it has ended, if the price was fresh then: at most one hour
        between two epochs or samples, and none of an hour at whose end nobody knew the price. Whoever
        reads the index reads it with what is due, so that nobody leaves between the hour and the
        next epoch without paying; it is written down at the next epoch or sample, before anything
        that enters it changes (price, premium, a parameter), hence as the same number. So reporters
        who come a little less often than `stale_after` cost an hour's funding only now and then,
        when an hour ends in the gap between them.
@custom:kill Remove the reporters: prices go stale, what adds risk is refused, what reduces it still
             works.
"""
from .interfaces import IClearinghouse
from .interfaces import IOracle
from .interfaces import IOrderBook
from .modules import funding_rate
from .modules import median
from .modules import owned
from .modules import risk_terms

implements: IOracle

MAX_MARKETS: constant(uint256) = 64
MAX_REPORTERS: constant(uint256) = 9
MAX_PRICE: constant(uint256) = 2**24 - 1
PPM: constant(uint256) = 10**6
HOUR: constant(uint256) = 3600
# The smallest step limit: it bounds the marks at which a tick can be more than a step.
MIN_STEP: constant(uint256) = 100
# Time constant of the EMA, seconds, and its fixed-point scale.
EMA_SECONDS: constant(int256) = 150
EMA_ONE: constant(int256) = 10**6
# One sample stands for at most this many seconds, however long ago the last one was: a book that
# was there for a moment cannot speak for an hour.
MAX_SAMPLE_SECONDS: constant(uint256) = 60
# A sample older than this says nothing about the book.
MAX_SAMPLE_AGE: constant(uint256) = 120
# What one sample may say: 1% of the oracle price, either way. A book shown for one sample that
# stands for a whole minute thus moves the EMA by at most 60 / 210 of 1%, and the hour's premium by
# 1% times its share of the seconds sampled: all of it, which is a funding rate of 0.12% an hour,
# where nobody else samples. In parts per million and in parts of 10^9.
MAX_DISTANCE: constant(int256) = 10**4
MAX_PREMIUM: constant(int256) = 10**7
# 6,000 USDC, what Hyperliquid uses for most coins.
DEFAULT_IMPACT_NOTIONAL: constant(uint256) = 6_000 * 10**6


struct Price:
    oracle: uint256
    mark: uint256
    previous: uint256
    # When the quorum-th newest report behind the oracle price was made: since then a quorum has
    # not spoken, whenever the poke was.
    priced_at: uint256
    index: int256
    # Seconds after which it is stale: kept in the same word, since every margin check asks.
    stale_after: uint256
    # The epoch that priced it last. Reports made since are news.
    epoch: uint256
    # The last hour (time // 3600) whose funding accrued or is forgone.
    hour: uint256


struct Sample:
    at: uint256
    # Ticks; all zero while the book was one-sided.
    middle: uint256
    # EMA of impact mid - oracle, in 10^-6 ticks.
    ema: int256
    # Sum of premium * seconds, and of the seconds, since the last funding.
    premium: int256
    seconds: uint256


struct Parameters:
    min_interval: uint256
    stale_after: uint256
    max_step: uint256


event Wired:
    deleverager: address
    order_book: address
    clearinghouse: address


event ReporterSet:
    reporter: indexed(address)
    allowed: bool


event ParametersSet:
    min_interval: uint256
    stale_after: uint256
    max_step: uint256


event QuorumSet:
    quorum: uint256


event StalenessSet:
    market: indexed(uint256)
    stale_after: uint256


event ImpactNotionalSet:
    market: indexed(uint256)
    notional: uint256


event Reported:
    reporter: indexed(address)
    prices: DynArray[uint256, MAX_MARKETS]


event PriceUpdated:
    epoch: indexed(uint256)
    market: indexed(uint256)
    oracle_price: uint256
    mark: uint256
    previous_mark: uint256
    fresh: bool
    funding_index: int256


event Sampled:
    market: indexed(uint256)
    middle: uint256
    impact_bid: uint256
    impact_ask: uint256
    premium: int256
    ema: int256
    # As in `Sample`, after it.
    premium_sum: int256
    seconds: uint256
    at: uint256


event FundingAccrued:
    market: indexed(uint256)
    premium: int256
    rate: int256
    funding_index: int256


# The hour ended while the price was stale.
event FundingForgone:
    market: indexed(uint256)


event PinChanged:
    market: indexed(uint256)
    pinned: bool


epoch: public(uint256)
updated_at: public(uint256)
market_count: public(uint256)
_prices: HashMap[uint256, uint256]
_samples: HashMap[uint256, Sample]
# While an ADL round is open its market's mark, previous mark and funding index stand still.
pinned: public(HashMap[uint256, bool])

# Seconds between two pokes at least; seconds after which prices are stale; largest move of a
# mark in one epoch in parts per million of it, 0 for no limit.
min_interval: public(uint256)
stale_after: public(uint256)
max_step: public(uint256)
# Of one market, where it differs; 0: `stale_after`.
market_stale_after: public(HashMap[uint256, uint256])
# Fresh reports that a price needs.
quorum: public(uint256)
# Depth at which impact prices are read, micro-USDC.
impact_notional: public(HashMap[uint256, uint256])

reporters: public(DynArray[address, MAX_REPORTERS])
# reporter -> market -> price 24 | time 40 | number of the last epoch before it
_reports: HashMap[address, HashMap[uint256, uint256]]

deployer: public(immutable(address))
deleverager: public(address)
order_book: public(IOrderBook)
clearinghouse: public(IClearinghouse)


@deploy
def __init__(min_interval: uint256, stale_after: uint256, max_step: uint256):
    """
    @notice Units as in `set_parameters`.
    """
    deployer = msg.sender
    self.quorum = 1
    log QuorumSet(quorum=1)
    self._set_parameters(min_interval, stale_after, max_step)


# --- Set-up, by the owner ------------------------------------------------------------------------


@external
def wire(deleverager: address, order_book: address, clearinghouse: address):
    """
    @notice Names the contract that may pin marks, the book that is sampled, and the clearinghouse,
            which knows the leverage of the markets and the owner. Once, by the deployer.
    """
    assert msg.sender == deployer, "oracle: deployer only"
    assert self.deleverager == empty(address), "oracle: already wired"
    assert empty(address) not in [deleverager, order_book, clearinghouse], "oracle: zero address"
    self.deleverager = deleverager
    self.order_book = IOrderBook(order_book)
    self.clearinghouse = IClearinghouse(clearinghouse)
    log Wired(deleverager=deleverager, order_book=order_book, clearinghouse=clearinghouse)


@external
def set_reporter(reporter: address, allowed: bool):
    """
    @notice Lets `reporter` report prices, or no longer; then what it reported is forgotten. At most
            9 at a time, and not fewer than the quorum, but for the last one of all: that is how
            prices are stopped. Owner only.
    """
    owned._check_owner(self.clearinghouse)
    kept: DynArray[address, MAX_REPORTERS] = []
    for known: address in self.reporters:
        if known != reporter:
            kept.append(known)
    if allowed:
        assert len(kept) < MAX_REPORTERS, "oracle: too many reporters"
        kept.append(reporter)
    else:
        assert len(kept) == 0 or len(kept) >= self.quorum, "oracle: fewer reporters than the quorum"
        for market: uint256 in range(self.market_count, bound=MAX_MARKETS):
            self._reports[reporter][market] = 0
    self.reporters = kept
    log ReporterSet(reporter=reporter, allowed=allowed)


@external
def set_quorum(quorum: uint256):
    """
    @notice How many new reports a price needs, at least 1 and no more than there are reporters.
            Funding that is due accrues before. Owner only.
    """
    owned._check_owner(self.clearinghouse)
    assert quorum != 0 and quorum <= len(self.reporters), "oracle: quorum out of range"
    for market: uint256 in range(self.market_count, bound=MAX_MARKETS):
        self._accrue_now(market)
    self.quorum = quorum
    log QuorumSet(quorum=quorum)


@external
def set_parameters(min_interval: uint256, stale_after: uint256, max_step: uint256):
    """
    @notice Owner only. Funding that is due accrues before.
    @param min_interval Seconds between two epochs at least, above 0, so that two quick ones cannot
           erase the previous mark; less than the staleness of every market.
    @param stale_after Seconds after which prices are stale; more than `min_interval`, at most a
           day.
    @param max_step Largest move of a mark in one epoch, in parts per million of it, below the
           maintenance rate of every market: else one epoch takes an account from above maintenance
           to below zero, and whoever is on both sides of it is paid by others. A mark may always
           move by one tick. 0 lifts the limit: a setting for the laboratory, no venue is safe with
           it.
    """
    owned._check_owner(self.clearinghouse)
    self._set_parameters(min_interval, stale_after, max_step)


@internal
def _set_parameters(min_interval: uint256, stale_after: uint256, max_step: uint256):
    assert min_interval != 0, "oracle: no interval between updates"
    assert stale_after > min_interval, "oracle: stale before the next update"
    assert stale_after <= 24 * HOUR, "oracle: staleness above a day"
    assert max_step <= PPM, "oracle: step above 100%"
    assert max_step == 0 or max_step >= MIN_STEP, "oracle: step below 0.01%"
    self.min_interval = min_interval
    self.stale_after = stale_after
    self.max_step = max_step
    for market: uint256 in range(self.market_count, bound=MAX_MARKETS):
        # The first tier's leverage is the highest: maintenance is at least half of its inverse.
        leverage: uint256 = risk_terms.unpack(staticcall self.clearinghouse.terms(market)).leverage
        assert 2 * leverage * max_step < PPM, "oracle: step not below maintenance"
        self._restamp(market)
    log ParametersSet(min_interval=min_interval, stale_after=stale_after, max_step=max_step)


@external
def set_market_staleness(market: uint256, stale_after: uint256):
    """
    @notice Seconds after which this market's price is stale; 0 for the general rule. Funding that
            is due accrues before. Owner only.
    """
    owned._check_owner(self.clearinghouse)
    self._require_market(market)
    assert stale_after <= 24 * HOUR, "oracle: staleness above a day"
    self.market_stale_after[market] = stale_after
    self._restamp(market)
    log StalenessSet(market=market, stale_after=stale_after)


@external
def set_impact_notional(market: uint256, notional: uint256):
    """
    @notice How deep into the book impact prices are read, micro-USDC, above 0. Funding that is due
            accrues before. Owner only.
    """
    owned._check_owner(self.clearinghouse)
    self._require_market(market)
    assert notional != 0 and notional < 2**80, "oracle: impact notional out of range"
    self._accrue_now(market)
    self.impact_notional[market] = notional
    log ImpactNotionalSet(market=market, notional=notional)


@external
def add_market(price: uint256) -> uint256:
    """
    @notice Starts the prices of the next market id, once the oracle is wired. Owner only.
    @param price Ticks, 1 .. 2^24 - 1: oracle price, mark and previous mark to begin with.
    """
    # Else the step could be set without regard to the market's leverage.
    assert self.deleverager != empty(address), "oracle: not wired"
    owned._check_owner(self.clearinghouse)
    market: uint256 = self.market_count
    assert market < MAX_MARKETS, "oracle: too many markets"
    assert price != 0 and price <= MAX_PRICE, "oracle: price out of range"
    self.market_count = market + 1
    self._store(
        market,
        Price(
            oracle=price,
            mark=price,
            previous=price,
            priced_at=block.timestamp,
            index=0,
            stale_after=self.stale_after,
            epoch=self.epoch,
            hour=block.timestamp // HOUR,
        ),
    )
    self.impact_notional[market] = DEFAULT_IMPACT_NOTIONAL
    if market == 0:
        self.updated_at = block.timestamp
    log PriceUpdated(
        epoch=self.epoch,
        market=market,
        oracle_price=price,
        mark=price,
        previous_mark=price,
        fresh=True,
        funding_index=0,
    )
    log ImpactNotionalSet(market=market, notional=DEFAULT_IMPACT_NOTIONAL)
    return market


# --- Reports and epochs --------------------------------------------------------------------------


@external
def report(prices: DynArray[uint256, MAX_MARKETS]):
    """
    @notice Reporters only: one price in ticks per market, in order of market id; 0: none for this
            one. What it means is up to the next poke.
    """
    self._report(prices)


@external
def poke():
    """
    @notice Begins the next epoch from what was reported: every market of which a quorum of
            reporters has spoken since it was priced last. Anyone, at most once in `min_interval`,
            and only if there is such a market.
    """
    # Else anyone could repeat an epoch until the previous mark equals the mark.
    assert self._poke(), "oracle: no new report"


@external
def update(prices: DynArray[uint256, MAX_MARKETS]):
    """
    @notice Report, and the next epoch if that completes a quorum. Reporters only. Refused if it is
            too soon for an epoch: then `report`.
    """
    self._report(prices)
    self._poke()


@internal
def _report(prices: DynArray[uint256, MAX_MARKETS]):
    assert msg.sender in self.reporters, "oracle: not a reporter"
    assert len(prices) == self.market_count, "oracle: one price per market"
    stamp: uint256 = (self.epoch << 64) | (block.timestamp << 24)
    market: uint256 = 0
    for price: uint256 in prices:
        assert price <= MAX_PRICE, "oracle: price out of range"
        self._reports[msg.sender][market] = stamp | price
        market += 1
    log Reported(reporter=msg.sender, prices=prices)


@internal
def _poke() -> bool:
    """
    @notice Whether an epoch began; nothing changed if none did.
    @dev All markets at once: one epoch number stands for one set of marks.
    """
    assert block.timestamp >= self.updated_at + self.min_interval, "oracle: too soon"
    # Price and time of each market's news in one word, 0: none.
    news: DynArray[uint256, MAX_MARKETS] = []
    has_news: bool = False
    for market: uint256 in range(self.market_count, bound=MAX_MARKETS):
        news.append(self._reported(market, self._price(market)))
        has_news = has_news or news[market] != 0
    if not has_news:
        return False
    self.epoch += 1
    self.updated_at = block.timestamp
    for market: uint256 in range(len(news), bound=MAX_MARKETS):
        is_priced: bool = news[market] != 0
        # First, by the price that was known when the hour ended.
        price: Price = self._accrue(market, self._price(market))
        if is_priced:
            price.oracle = news[market] & MAX_PRICE
            price.priced_at = news[market] >> 24
            price.epoch = self.epoch
        # A market that was not priced keeps both: its previous mark is not worn away.
        if is_priced and not self.pinned[market]:
            price.previous = price.mark
            price.mark = self._stepped(price.mark, self._target(market, price))
        self._store(market, price)
        log PriceUpdated(
            epoch=self.epoch,
            market=market,
            oracle_price=price.oracle,
            mark=price.mark,
            previous_mark=price.previous,
            fresh=is_priced,
            funding_index=price.index,
        )
    return True


@view
@internal
def _reported(market: uint256, price: Price) -> uint256:
    """
    @notice Median of the fresh reports in ticks, and from bit 24 on the time of the quorum-th newest
            of them; 0 if fewer than the quorum were made since the market was priced last.
    """
    fresh: DynArray[uint256, MAX_REPORTERS] = []
    times: DynArray[uint256, MAX_REPORTERS] = []
    news: uint256 = 0
    for reporter: address in self.reporters:
        word: uint256 = self._reports[reporter][market]
        reported: uint256 = word & MAX_PRICE
        at: uint256 = (word >> 24) & (2**40 - 1)
        if reported != 0 and block.timestamp <= at + price.stale_after:
            fresh.append(reported)
            times.append(at)
            # By epochs, not by time: a report in the second of a poke may be before or after it.
            if word >> 64 >= price.epoch:
                news += 1
    if news < self.quorum:
        return 0
    return median.of(fresh) | (median.nth(times, len(times) - self.quorum) << 24)


@view
@internal
def _target(market: uint256, price: Price) -> uint256:
    """
    @notice Where the mark ought to be, in ticks.
    """
    sample: Sample = self._samples[market]
    if sample.middle == 0 or block.timestamp > sample.at + MAX_SAMPLE_AGE:
        return price.oracle
    drifted: int256 = convert(price.oracle, int256) + sample.ema // EMA_ONE
    clamped: uint256 = convert(
        max(1, min(drifted, convert(MAX_PRICE, int256))), uint256
    )
    return median.of_three(clamped, sample.middle, price.oracle)


@view
@internal
def _stepped(mark: uint256, target: uint256) -> uint256:
    """
    @notice `target`, or as far toward it as one epoch may go (rounded down, at least one tick).
    """
    if self.max_step == 0:
        return target
    step: uint256 = max(1, mark * self.max_step // PPM)
    return min(target, mark + step) if target > mark else max(target, mark - min(step, mark - 1))


@view
@internal
def _with_due(market: uint256, price: Price) -> Price:
    """
    @notice `price` with the funding that is due: of one hour, if one has ended since and the price
            was fresh then; on its oracle price * rate, 10^-9 micro-USDC per lot long. The premium
            is the mean over the samples since the last time, each standing for the time before it.
            While the market is pinned such an hour waits.
    """
    due: Price = price
    if block.timestamp // HOUR == price.hour:
        return due
    if self._was_fresh(price):
        if self.pinned[market]:
            return due
        rate: int256 = funding_rate.per_hour(self._mean_premium(market))
        due.index += convert(price.oracle, int256) * rate
    due.hour = block.timestamp // HOUR
    return due


@view
@internal
def _was_fresh(price: Price) -> bool:
    """
    @notice Whether the price was fresh when the first hour ended that did not accrue yet.
    """
    return (price.hour + 1) * HOUR <= price.priced_at + price.stale_after


@internal
def _accrue(market: uint256, price: Price) -> Price:
    """
    @notice What `_with_due` says, and a new hour of samples begins.
    """
    accrued: Price = self._with_due(market, price)
    if accrued.hour == price.hour:
        return accrued
    if self._was_fresh(price):
        premium: int256 = self._mean_premium(market)
        log FundingAccrued(
            market=market,
            premium=premium,
            rate=funding_rate.per_hour(premium),
            funding_index=accrued.index,
        )
    else:
        log FundingForgone(market=market)
    self._samples[market].premium = 0
    self._samples[market].seconds = 0
    return accrued


@internal
def _accrue_now(market: uint256):
    """
    @notice Before something changes that funding follows from: what is due accrues by the old one.
    """
    self._store(market, self._accrue(market, self._price(market)))


@view
@internal
def _mean_premium(market: uint256) -> int256:
    sample: Sample = self._samples[market]
    return sample.premium // convert(sample.seconds, int256) if sample.seconds != 0 else 0


# --- Samples -------------------------------------------------------------------------------------


@external
def sample(market: uint256):
    """
    @notice Reads one book: impact prices for the premium and the EMA, best prices and last trade
            for the mark. Anyone, once per second at most; bounded whatever the book holds.
    @dev Only a sample moves the EMA and the premium, and by no more than the seconds it stands
         for (at most 60), so what a book shows for one transaction weighs one second if samples
         are taken often; and its distance from the oracle price counts up to 1% of it.
    """
    self._require_market(market)
    if self._price(market).hour != block.timestamp // HOUR:
        self._accrue_now(market)
    sample: Sample = self._samples[market]
    assert block.timestamp > sample.at, "oracle: sampled already"
    quotes: IOrderBook.Quotes = staticcall self.order_book.quotes(
        market, self.impact_notional[market]
    )
    # The first sample begins the clock and stands for no time.
    elapsed: uint256 = 0
    if sample.at != 0:
        elapsed = min(block.timestamp - sample.at, MAX_SAMPLE_SECONDS)
    price: uint256 = self._price(market).oracle
    premium: int256 = 0
    if quotes.impact_bid > price:
        premium = convert((quotes.impact_bid - price) * 10**9 // price, int256)
    elif quotes.impact_ask != 0 and quotes.impact_ask < price:
        premium = -convert((price - quotes.impact_ask) * 10**9 // price, int256)
    premium = max(-MAX_PREMIUM, min(premium, MAX_PREMIUM))
    sample.premium += premium * convert(elapsed, int256)
    sample.seconds += elapsed
    sample.middle = 0
    if quotes.best_bid != 0 and quotes.best_ask != 0:
        sample.middle = median.of_three(
            quotes.best_bid,
            quotes.best_ask,
            quotes.last_trade if quotes.last_trade != 0 else quotes.best_bid,
        )
    if quotes.impact_bid != 0 and quotes.impact_ask != 0:
        distance: int256 = (
            convert(quotes.impact_bid + quotes.impact_ask, int256) * EMA_ONE // 2
            - convert(price, int256) * EMA_ONE
        )
        # 1% of the price in 10^-6 ticks.
        limit: int256 = convert(price, int256) * MAX_DISTANCE
        distance = max(-limit, min(distance, limit))
        # weight = dt / (dt + 150): the EMA of a signal held since the last sample, to first order.
        seconds: int256 = convert(elapsed, int256)
        sample.ema += (distance - sample.ema) * seconds // (seconds + EMA_SECONDS)
    sample.at = block.timestamp
    self._samples[market] = sample
    log Sampled(
        market=market,
        middle=sample.middle,
        impact_bid=quotes.impact_bid,
        impact_ask=quotes.impact_ask,
        premium=premium,
        ema=sample.ema,
        premium_sum=sample.premium,
        seconds=sample.seconds,
        at=block.timestamp,
    )


# --- The deleverager -----------------------------------------------------------------------------


@external
def pin(market: uint256, pinned: bool):
    """
    @notice Holds a market's mark, previous mark and funding index still, or lets go. Deleverager
            only. Funding that is due accrues before.
    """
    assert msg.sender == self.deleverager, "oracle: deleverager only"
    if pinned:
        self._accrue_now(market)
    self.pinned[market] = pinned
    log PinChanged(market=market, pinned=pinned)


# --- Storage -------------------------------------------------------------------------------------


@internal
def _store(market: uint256, price: Price):
    """
    @dev One word: oracle 24 | mark 24 | previous 24 | priced_at 36 | stale_after 18 | epoch 32 |
         hour 22 | index 76 (signed): enough for 136 years of epochs a second apart, the hours until
         2448, and 6,000 years of funding at its cap on the highest price.
    """
    self._prices[market] = (
        price.oracle
        | (price.mark << 24)
        | (price.previous << 48)
        | (price.priced_at << 72)
        | (price.stale_after << 108)
        | (price.epoch << 126)
        | (price.hour << 158)
        | (convert(convert(price.index, bytes32), uint256) << 180)
    )


@view
@internal
def _price(market: uint256) -> Price:
    word: uint256 = self._prices[market]
    return Price(
        oracle=word & MAX_PRICE,
        mark=(word >> 24) & MAX_PRICE,
        previous=(word >> 48) & MAX_PRICE,
        priced_at=(word >> 72) & (2**36 - 1),
        # From the top bit down: the shift copies the sign.
        index=convert(convert(word, bytes32), int256) >> 180,
        stale_after=(word >> 108) & (2**18 - 1),
        epoch=(word >> 126) & (2**32 - 1),
        hour=(word >> 158) & (2**22 - 1),
    )


@internal
def _restamp(market: uint256):
    """
    @notice Puts the staleness that applies to a market into its price's word, after the funding
            that is due.
    """
    price: Price = self._accrue(market, self._price(market))
    own: uint256 = self.market_stale_after[market]
    price.stale_after = own if own != 0 else self.stale_after
    assert price.stale_after > self.min_interval, "oracle: stale before the next update"
    self._store(market, price)


@view
@internal
def _is_fresh(price: Price) -> bool:
    return block.timestamp <= price.priced_at + price.stale_after


@view
@internal
def _require_market(market: uint256):
    assert market < self.market_count, "oracle: unknown market"


# --- Views ---------------------------------------------------------------------------------------


@view
@external
def owner() -> address:
    """
    @notice The venue's owner, as the governor names it.
    """
    return owned._owner(self.clearinghouse)


# The book asks the clearinghouse for margins, and that asks here, while a sample is read from the
# book. Of what it reads a sample writes nothing.
@reentrant
@view
@external
def read(market: uint256) -> (uint256, bool, int256):
    """
    @notice What a margin check needs: the mark in ticks, whether it is fresh, the funding index
            with what is due.
    """
    # Straight from the word (`_store`), but in the minutes between an hour's end and its accrual.
    word: uint256 = self._prices[market]
    index: int256 = convert(convert(word, bytes32), int256) >> 180
    if (word >> 158) & (2**22 - 1) != block.timestamp // HOUR:
        index = self._with_due(market, self._price(market)).index
    return (
        (word >> 24) & MAX_PRICE,
        block.timestamp <= ((word >> 72) & (2**36 - 1)) + ((word >> 108) & (2**18 - 1)),
        index,
    )


@view
@external
def price(market: uint256) -> Price:
    """
    @notice Oracle price, mark and previous mark (ticks), time of the price, funding index with what
            is due, staleness (seconds), the epoch that priced it last, the last hour settled.
    """
    return self._with_due(market, self._price(market))


@view
@external
def mark(market: uint256) -> uint256:
    """
    @notice The mark, ticks.
    """
    return self._price(market).mark


@view
@external
def previous_mark(market: uint256) -> uint256:
    """
    @notice The mark of the epoch before, ticks.
    """
    return self._price(market).previous


@view
@external
def oracle_price(market: uint256) -> uint256:
    """
    @notice The median of the reporters, ticks.
    """
    return self._price(market).oracle


@view
@external
def index(market: uint256) -> int256:
    """
    @notice Funding that one lot long has paid or owes so far, 10^-9 micro-USDC: what is due counts.
    """
    return self._with_due(market, self._price(market)).index


@view
@external
def is_fresh(market: uint256) -> bool:
    """
    @notice Whether the market's price is young enough to add risk on.
    """
    return self._is_fresh(self._price(market))


@view
@external
def is_coarse(market: uint256) -> bool:
    """
    @notice Whether one tick is more than `max_step` of the mark: then an epoch may move it by more
            than the limit, and only what reduces risk should be allowed.
    """
    return self._price(market).mark * self.max_step < PPM and self.max_step != 0


@view
@external
def has_news(market: uint256) -> bool:
    """
    @notice Whether a quorum has reported since the market was priced last: the next poke prices it.
    """
    self._require_market(market)
    return self._reported(market, self._price(market)) != 0


@view
@external
def last_sample(market: uint256) -> Sample:
    """
    @notice The last sample of the book, with the EMA, and the premium of the hour it was taken in.
    """
    return self._samples[market]


@view
@external
def expected_rate(market: uint256) -> int256:
    """
    @notice The hourly rate if the hour ended now, parts of 10^9; above 0 longs pay.
    """
    # The samples of an hour that has ended say nothing about the next one.
    price: Price = self._price(market)
    if self._with_due(market, price).hour != price.hour:
        return funding_rate.per_hour(0)
    return funding_rate.per_hour(self._mean_premium(market))


@pure
@external
def rate_per_hour(premium: int256) -> int256:
    """
    @notice An eighth of the rate for 8 hours, within the cap of 4%; parts of 10^9. A premium beyond
            the clamp of a sample cannot arise.
    """
    return funding_rate.per_hour(premium)


@pure
@external
def rate_per_eight_hours(premium: int256) -> int256:
    """
    @notice The funding rule itself: premium and rate for 8 hours, parts of 10^9.
    """
    return funding_rate.per_eight_hours(premium)
