# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title OrderBook
@license AGPL-3.0-only
@notice Resting orders and price-time matching. Owns orders and order nonces; it holds no money
        and no position: each fill is asked of the clearinghouse, which may refuse it.

            price   ticks, 1 .. 2^24 - 1        size   lots, 1 .. 2^54
            id      of an order, from 1         nonce  of an account; raising it voids its orders
            desk    an account's nonce and which of its 128 places for open orders are taken

        The best price of a side is the top of a bitmap tree, and orders of one price queue first
        in, first out. A void order is deleted when somebody meets it.

        While a market takes no risk (price stale, halted, a loss uninsured, a tick above the step)
        resting orders that have nothing to close wait: who reduces passes them, and the book remembers
        how far. What was passed then has nothing to close until the market takes risk again: no
        position grows.
@custom:kill Cannot be halted on its own. An open ADL round stops its market: an order does some of the
             round's work then, and goes on if that ends it. Cancelling always works.
"""
from .interfaces import IClearinghouse
from .interfaces import IDeleverager
from .interfaces import IOracle
from .interfaces import IOrderBook
from .modules import bits
from .modules import order_codec
from .modules import risk_terms
from .modules import tick_tree

initializes: tick_tree
implements: IOrderBook

GOOD_TILL_CANCELLED: constant(uint256) = 0
IMMEDIATE_OR_CANCEL: constant(uint256) = 1
POST_ONLY: constant(uint256) = 2

MAX_SIZE: constant(uint256) = 2**54
# Resting orders that one call meets at most, filled or not.
MAX_STEPS: constant(uint256) = 64
# Waiting orders that one call passes at most, besides.
MAX_PASSED: constant(uint256) = 512
# Of an open ADL round, that an order does first.
ROUND_STEPS: constant(uint256) = 16
MAX_DEPTH: constant(uint256) = 100
# Orders that a view of the depth looks at.
MAX_SEEN: constant(uint256) = 2000
# Open orders of one account.
MAX_OPEN: constant(uint256) = 128
PPM: constant(uint256) = 10**6
# At the open-interest cap an order may be no further than this beyond the mark.
CAP_BAND: constant(uint256) = 10_000
# No mark of this many ticks or more can be coarse (`Oracle.is_coarse`): its smallest step is 100 ppm.
COARSE: constant(uint256) = 10_000
# Of a fill that the clearinghouse did not make.
SAME_OWNER: constant(uint256) = 2
MAKER_WAITS: constant(uint256) = 3
# In the low bits; above them the lots that the open-interest cap leaves.
CAPPED: constant(uint256) = 4
# A market's word, above the roots of its two sides: price of the last fill 24 | how far the asks were
# passed, price 24 and order id 40 | the bids, the same. Everything at a better price was passed, and at
# this price everything up to that order.
TRADE: constant(uint256) = tick_tree.SPARE
PASSED: constant(uint256) = TRADE + 24
PLACE: constant(uint256) = 2**64 - 1

struct OpenOrder:
    order_id: uint256
    market: uint256
    is_buy: bool
    price: uint256
    size: uint256
    reduce_only: bool


# Why an order left the book without a fill, or why a taker's rest did not rest.
flag Reason:
    BY_OWNER
    VOID
    SELF_TRADE
    MAKER_MARGIN
    IMMEDIATE
    STEPS
    PRICE_BAND
    REDUCE_ONLY
    WAITING_MAKERS
    ROUND_OPEN


event OrderPlaced:
    order_id: indexed(uint256)
    account: indexed(uint256)
    market: indexed(uint256)
    is_buy: bool
    price: uint256
    size: uint256
    reduce_only: bool


event OrderCancelled:
    order_id: indexed(uint256)
    account: indexed(uint256)
    size: uint256
    reason: Reason


# The rest of a taker's order that neither filled nor rests.
event Unfilled:
    account: indexed(uint256)
    market: indexed(uint256)
    size: uint256
    reason: Reason


event Filled:
    order_id: indexed(uint256)
    maker: indexed(uint256)
    taker: indexed(uint256)
    market: uint256
    taker_buys: bool
    price: uint256
    size: uint256
    remaining: uint256


event NonceRaised:
    account: indexed(uint256)
    nonce: uint256


clearinghouse: public(immutable(IClearinghouse))

last_order_id: public(uint256)
# account -> nonce 32 | places taken 128 | order id of place 0, 40 | of place 1, 40
_desks: HashMap[uint256, uint256]
# account -> six order ids a word, from place 2 on
_open: HashMap[uint256, HashMap[uint256, uint256]]
_orders: HashMap[uint256, uint256]


@deploy
def __init__(clearinghouse_: address):
    clearinghouse = IClearinghouse(clearinghouse_)


# --- Traders -------------------------------------------------------------------------------------


@external
def place(
    account: uint256,
    market: uint256,
    is_buy: bool,
    size: uint256,
    price: uint256,
    tif: uint256,
    reduce_only: bool = False,
) -> (uint256, uint256):
    """
    @notice Trades against resting orders at `price` ticks or better, best price first, then
            oldest first, at the resting order's price. What is left rests (`tif` 0, good till
            cancelled) or is dropped (`tif` 1, immediate or cancel); `tif` 2, post only, reverts
            if it would trade at once.
    @dev An order that meets an open ADL round does the next 16 steps of it first. If that ends it the
         order goes on; else nothing is placed, the work stays done, and `Unfilled` says so.
         Meets at most 64 resting orders, and none beyond the market's price band; if more would
         cross, the rest is dropped and `Unfilled` says why. Makers whose margin no longer allows
         the fill, and resting orders of the same owner, are cancelled and skipped.
    @param reduce_only Only as far as it closes the account's position, now and while it rests.
    @return The id of the order that rests now (0: none) and the lots filled.
    """
    assert price != 0 and price <= tick_tree.MAX_TICK, "book: price out of range"
    assert tif <= POST_ONLY, "book: unknown time in force"
    return self._place(account, market, is_buy, size, price, tif, reduce_only)


@external
def place_market(
    account: uint256,
    market: uint256,
    is_buy: bool,
    size: uint256,
    max_slippage: uint256,
    reduce_only: bool = False,
) -> uint256:
    """
    @notice Trades at once, at most `max_slippage` parts per million worse than the mark; the rest
            is dropped.
    @return The lots filled.
    """
    assert max_slippage <= PPM, "book: slippage above 100%"
    mark: uint256 = staticcall clearinghouse.mark(market)
    price: uint256 = min(mark * (PPM + max_slippage) // PPM, tick_tree.MAX_TICK)
    if not is_buy:
        price = max((mark * (PPM - max_slippage) + PPM - 1) // PPM, 1)
    order_id: uint256 = 0
    filled: uint256 = 0
    order_id, filled = self._place(
        account, market, is_buy, size, price, IMMEDIATE_OR_CANCEL, reduce_only
    )
    return filled


@internal
def _place(
    account: uint256,
    market: uint256,
    is_buy: bool,
    asked: uint256,
    price: uint256,
    tif: uint256,
    reduce_only: bool,
) -> (uint256, uint256):
    assert asked != 0 and asked <= MAX_SIZE, "book: size out of range"
    seat: IClearinghouse.Seat = staticcall clearinghouse.seat(account, market)
    terms: risk_terms.Terms = self._admit(seat)
    if seat.is_frozen:
        # Not refused: that would undo the work. Nothing of the book has been read yet.
        extcall IDeleverager(staticcall clearinghouse.deleverager()).serve(market, ROUND_STEPS)
        seat = staticcall clearinghouse.seat(account, market)
        if seat.is_frozen:
            log Unfilled(account=account, market=market, size=asked, reason=Reason.ROUND_OPEN)
            return 0, 0
    size: uint256 = asked
    worst_price: uint256 = max_value(uint256) if is_buy else 0
    if terms.band != 0:
        worst_price = self._edge(seat.mark, is_buy, terms.band)
    # Where the mark may move by more than its limit in one epoch, a tick at a time.
    is_coarse: bool = seat.mark < COARSE and staticcall IOracle(
        staticcall clearinghouse.oracle()
    ).is_coarse(market)
    no_risk: bool = terms.halted or not seat.is_insured or not seat.is_fresh or is_coarse
    # Most orders need not know the position: its word is read only where it matters.
    if reduce_only or no_risk or seat.is_capped:
        closable: uint256 = self._closable(account, market, is_buy)
        if seat.is_capped:
            capped: uint256 = min(asked, closable) if reduce_only else asked
            self._require_below_cap(seat.mark, closable, is_buy, capped, price)
        if reduce_only:
            size = min(asked, closable)
            assert size != 0, "book: nothing to reduce"
        if size > closable:
            # It would add risk, now or when it is hit.
            assert not terms.halted, "clearinghouse: market halted"
            assert seat.is_insured, "clearinghouse: reduce only, a loss is uninsured"
            assert seat.is_fresh, "oracle: stale price"
            assert not is_coarse, "oracle: reduce only, a tick is more than the step"
    # What trades at the market's price, whatever its limit, is worth the mark.
    worth: uint256 = size * min(price, seat.mark)
    if not is_buy:
        worth = size * (max(price, seat.mark) if tif == IMMEDIATE_OR_CANCEL else price)
    if worth < terms.min_notional and not reduce_only:
        # An order that only reduces is never too small, nor one for all of a position: dust must find
        # its way out.
        assert size == self._closable(account, market, is_buy), "book: below minimum notional"
    # Passive orders may rest at any distance from the mark; what trades now may not, nor what would
    # rest where it gives more away than the band allows.
    limit: uint256 = min(price, worst_price) if is_buy else max(price, worst_price)
    if tif == POST_ONLY:
        assert limit == price, "book: price beyond the band"
        if self._crosses(market, is_buy, price):
            # Void orders on top only look like a price.
            self._purge(market, not is_buy, MAX_STEPS, True)
            assert not self._crosses(market, is_buy, price), "book: post only would trade"
        return self._rest(account, market, is_buy, price, size, reduce_only), 0

    left: uint256 = size
    steps: uint256 = 0
    passed: uint256 = 0
    maker_id: uint256 = 0
    if self._crosses(market, is_buy, limit):
        if no_risk:
            maker_id = self._first_not_passed(market, not is_buy)
        else:
            maker_id = self._best_order(market, not is_buy)
    # Of the last order that was passed.
    place: uint256 = 0
    for _: uint256 in range(MAX_STEPS + MAX_PASSED):
        if left == 0 or maker_id == 0 or steps == MAX_STEPS or passed == MAX_PASSED:
            break
        maker: order_codec.Order = order_codec.unpack(self._orders[maker_id])
        if (maker.price > limit) if is_buy else (maker.price < limit):
            break
        if maker.nonce != self._nonce(maker.account):
            steps += 1
            self._drop(maker_id, maker, Reason.VOID)
        elif (
            no_risk
            and not maker.reduce_only
            and self._closable(maker.account, market, maker.is_buy) == 0
        ):
            # Left alone: a taker who only reduces must not sweep the book for free.
            passed += 1
            place = (maker.price << 40) | maker_id
        else:
            steps += 1
            left -= self._take(maker_id, maker, account, left, False, no_risk)
        # Not the best order again: one that was passed over is still there.
        if left != 0:
            maker_id = self._following(maker)
    if place != 0:
        self._set_passed(market, not is_buy, place)
    if left == 0:
        return 0, size
    if tif == IMMEDIATE_OR_CANCEL:
        log Unfilled(account=account, market=market, size=left, reason=Reason.IMMEDIATE)
        return 0, size - left
    if no_risk and limit == price and self._crosses(market, is_buy, price):
        # Among those that were passed, before or now, void orders only look like a price.
        self._purge(market, not is_buy, MAX_STEPS, False)
    if limit != price or self._crosses(market, is_buy, price):
        # More to meet than one call may, orders beyond the band, or makers who may add no risk now.
        reason: Reason = Reason.PRICE_BAND
        if steps == MAX_STEPS or passed == MAX_PASSED:
            reason = Reason.STEPS
        elif limit == price:
            reason = Reason.WAITING_MAKERS
        log Unfilled(account=account, market=market, size=left, reason=reason)
        return 0, size - left
    return self._rest(account, market, is_buy, price, left, reduce_only), size - left


@view
@internal
def _closable(account: uint256, market: uint256, is_buy: bool) -> uint256:
    """
    @notice Lots that an order of this side can close of the account's position.
    """
    size: int256 = (staticcall clearinghouse.position(account, market)).size
    if size == 0 or (size < 0) != is_buy:
        return 0
    return convert(abs(size), uint256)


@view
@internal
def _admit(seat: IClearinghouse.Seat) -> risk_terms.Terms:
    """
    @notice Reverts unless the caller may send orders for this account in this market now.
    @return The market's terms.
    """
    assert seat.owner != empty(address), "clearinghouse: unknown account"
    assert seat.is_trader, "clearinghouse: not a trading account"
    assert seat.terms != 0, "clearinghouse: unknown market"
    terms: risk_terms.Terms = risk_terms.unpack(seat.terms)
    assert not terms.settled, "clearinghouse: market settled"
    assert seat.owner == msg.sender, "book: not your account"
    return terms


@pure
@internal
def _require_below_cap(
    mark: uint256, closable: uint256, is_buy: bool, size: uint256, price: uint256
):
    """
    @notice At the open-interest cap an order may only reduce, and not from far beyond the mark.
    """
    assert closable != 0, "clearinghouse: cap: would increase the position"
    assert closable >= size, "clearinghouse: cap: would flip the position"
    worst: uint256 = self._edge(mark, is_buy, CAP_BAND)
    assert (
        price == worst or (price < worst) == is_buy
    ), "clearinghouse: cap: price too aggressive"


@pure
@internal
def _edge(mark: uint256, is_buy: bool, band: uint256) -> uint256:
    """
    @notice The far end of a band around the mark, ticks, rounded toward the mark.
    """
    if is_buy:
        return mark * (PPM + band) // PPM
    return (mark * (PPM - band) + PPM - 1) // PPM


@external
def cancel(order_id: uint256):
    """
    @notice Takes one resting order out of the book. Its account's owner only.
    """
    word: uint256 = self._orders[order_id]
    assert word != 0, "book: unknown order"
    order: order_codec.Order = order_codec.unpack(word)
    assert staticcall clearinghouse.account_owner(
        order.account
    ) == msg.sender, "book: not your account"
    self._drop(order_id, order, Reason.BY_OWNER)


@external
def cancel_all(account: uint256):
    """
    @notice Voids every resting order of an account at once, however many there are. Its owner,
            or the liquidator on the account's way out.
    """
    owner: address = staticcall clearinghouse.account_owner(account)
    assert owner != empty(address), "clearinghouse: unknown account"
    if msg.sender != owner:
        assert (
            msg.sender == staticcall clearinghouse.liquidator()
        ), "book: not your account"
    self._void_orders(account)


@internal
def _void_orders(account: uint256):
    nonce: uint256 = self._nonce(account) + 1
    # All places are free again.
    self._desks[account] = nonce
    log NonceRaised(account=account, nonce=nonce)


@external
@reentrant
def void_orders(account: uint256):
    """
    @notice Deleverager only: voids every resting order of an account that was deleveraged, in all
            markets: they were sized for what it no longer holds.
    @dev Also in the middle of `place`, whose order does some work of a round first: before anything of
         the book is read, so the lock guards nothing then.
    """
    assert msg.sender == staticcall clearinghouse.deleverager(), "book: deleverager only"
    if (self._desks[account] >> 32) & (2**MAX_OPEN - 1) != 0:
        self._void_orders(account)


@external
def purge(market: uint256, is_buy: bool, max_steps: uint256) -> uint256:
    """
    @notice Deletes void orders from the top of one side, and live ones that could not be filled: of
            an account without margin for the smallest order, or with nothing to reduce. At most 64
            a call. Anyone.
    @return How many were deleted.
    """
    return self._purge(market, is_buy, max_steps, True)


@internal
def _purge(market: uint256, is_buy: bool, max_steps: uint256, unbacked: bool) -> uint256:
    steps: uint256 = 0
    for _: uint256 in range(MAX_STEPS):
        order_id: uint256 = self._best_order(market, is_buy)
        if order_id == 0 or steps == max_steps:
            break
        order: order_codec.Order = order_codec.unpack(self._orders[order_id])
        reason: Reason = Reason.VOID
        if order.nonce == self._nonce(order.account):
            if not unbacked or self._closable(order.account, market, is_buy) != 0:
                break
            reason = Reason.REDUCE_ONLY
            if not order.reduce_only:
                if self._is_backed(order):
                    break
                reason = Reason.MAKER_MARGIN
        self._drop(order_id, order, reason)
        steps += 1
    return steps


@view
@internal
def _is_backed(order: order_codec.Order) -> bool:
    """
    @notice Whether its maker has free margin for the smallest order at its price, or for all of it.
    """
    least: uint256 = risk_terms.unpack(staticcall clearinghouse.terms(order.market)).min_notional
    margin: IClearinghouse.Margin = staticcall clearinghouse.margin(order.account)
    needed: uint256 = 2 * staticcall clearinghouse.maintenance(
        order.market, min(order.size * order.price, max(least, order.price))
    )
    return margin.equity >= convert(margin.initial + needed, int256)


# --- The liquidator ------------------------------------------------------------------------------


@external
def peek(market: uint256, is_buy: bool, max_steps: uint256) -> IOrderBook.Top:
    """
    @notice Liquidator only: the first live order of one side, deleting up to `max_steps` void
            ones on the way.
    @return order_id 0 and `more` False: the side is empty; order_id 0 and `more` True: the
            steps ran out first, which says nothing about the side.
    """
    self._require_liquidator()
    top: IOrderBook.Top = empty(IOrderBook.Top)
    top.steps = self._purge(market, is_buy, max_steps, False)
    order_id: uint256 = self._best_order(market, is_buy)
    if order_id == 0:
        return top
    order: order_codec.Order = order_codec.unpack(self._orders[order_id])
    if order.nonce != self._nonce(order.account):
        top.more = True
        return top
    top.order_id = order_id
    top.price = order.price
    top.size = order.size
    return top


@external
def take(order_id: uint256, account: uint256, size: uint256) -> uint256:
    """
    @notice Liquidator only: trades up to `size` lots of a live order against the account that is
            liquidated, at the order's price, without a margin check for that account.
    @return Lots filled; 0: the maker was refused and is no longer in the book.
    """
    self._require_liquidator()
    order: order_codec.Order = order_codec.unpack(self._orders[order_id])
    return self._take(order_id, order, account, size, True, False)


@external
def rewind(market: uint256):
    """
    @notice Clearinghouse only: a trade that this book did not see. Nobody counts as passed any more.
    """
    assert msg.sender == clearinghouse.address, "book: clearinghouse only"
    tick_tree._roots[market] &= 2**PASSED - 1


# --- Matching ------------------------------------------------------------------------------------


@internal
def _take(
    maker_id: uint256,
    maker: order_codec.Order,
    taker: uint256,
    wanted: uint256,
    liquidated: bool,
    no_risk: bool,
) -> uint256:
    """
    @param no_risk The market takes none now: the maker trades as far as that closes its position.
    """
    size: uint256 = min(wanted, maker.size)
    closable: uint256 = max_value(uint256)
    if maker.reduce_only or no_risk:
        closable = self._closable(maker.account, maker.market, maker.is_buy)
        size = min(size, closable)
        if size == 0:
            self._drop(maker_id, maker, Reason.REDUCE_ONLY)
            return 0
    outcome: uint256 = extcall clearinghouse.fill(
        maker.market, taker, maker.account, not maker.is_buy, size, maker.price, liquidated
    )
    if outcome & 255 == CAPPED:
        # What both would open, or more than the cap leaves: as much as it leaves.
        size = outcome >> 8
        if size == 0:
            return 0
        outcome = extcall clearinghouse.fill(
            maker.market, taker, maker.account, not maker.is_buy, size, maker.price, liquidated
        )
    if outcome == MAKER_WAITS:
        if not liquidated:
            return 0
        # A liquidation cannot wait until the market takes risk again: what closes the maker's position
        # it takes now, and who has nothing to close, or nothing any more, is cancelled.
        size = self._closable(maker.account, maker.market, maker.is_buy)
        if size != 0:
            outcome = extcall clearinghouse.fill(
                maker.market, taker, maker.account, not maker.is_buy, size, maker.price, liquidated
            )
    if outcome != 0:
        self._drop(
            maker_id, maker, Reason.SELF_TRADE if outcome == SAME_OWNER else Reason.MAKER_MARGIN
        )
        return 0
    remaining: uint256 = maker.size - size
    if remaining == 0:
        self._unlink(maker_id, maker)
    else:
        maker.size = remaining
        self._orders[maker_id] = order_codec.pack(maker)
    roots: uint256 = tick_tree._roots[maker.market] & ~((2**24 - 1) << TRADE)
    if not no_risk:
        # A position may have grown: who was passed before may have something to close now.
        roots &= 2**PASSED - 1
    tick_tree._roots[maker.market] = roots | (maker.price << TRADE)
    log Filled(
        order_id=maker_id,
        maker=maker.account,
        taker=taker,
        market=maker.market,
        taker_buys=not maker.is_buy,
        price=maker.price,
        size=size,
        remaining=remaining,
    )
    if remaining != 0 and maker.reduce_only and size == closable:
        # Its position is closed: what is left of the order would only stand in the way.
        self._drop(maker_id, maker, Reason.REDUCE_ONLY)
    return size


@view
@internal
def _following(order: order_codec.Order) -> uint256:
    """
    @notice The order behind this one in its queue, else the oldest at the next price; 0 if none.
    """
    if order.next != 0:
        return order.next
    key: uint256 = self._side(order.market, order.is_buy)
    price: uint256 = tick_tree.beyond(key, order.price, order.is_buy)
    if price == max_value(uint256):
        return 0
    return tick_tree.at(key, price)


@view
@internal
def _best_order(market: uint256, is_buy: bool) -> uint256:
    """
    @notice The oldest order at the best price of a side, void or not; 0 if there is none.
    """
    key: uint256 = self._side(market, is_buy)
    price: uint256 = tick_tree.top(key, is_buy)
    if price == max_value(uint256):
        return 0
    return tick_tree.at(key, price)


@view
@internal
def _passed(market: uint256, is_buy: bool) -> (uint256, uint256):
    """
    @notice Price and order up to which a side was passed; price 0: not at all.
    """
    place: uint256 = tick_tree._roots[market] >> (PASSED + (64 if is_buy else 0))
    return (place >> 40) & (2**24 - 1), place & order_codec.ID


@internal
def _set_passed(market: uint256, is_buy: bool, place: uint256):
    offset: uint256 = PASSED + (64 if is_buy else 0)
    tick_tree._roots[market] = (tick_tree._roots[market] & ~(PLACE << offset)) | (place << offset)


@view
@internal
def _first_not_passed(market: uint256, is_buy: bool) -> uint256:
    """
    @notice The best order of a side that nobody has passed yet in a market without risk.
    """
    price: uint256 = 0
    last: uint256 = 0
    price, last = self._passed(market, is_buy)
    if price == 0:
        return self._best_order(market, is_buy)
    # Ids are never used twice: if it is still there, it is where it was.
    word: uint256 = self._orders[last]
    if word != 0:
        return self._following(order_codec.unpack(word))
    key: uint256 = self._side(market, is_buy)
    head: uint256 = tick_tree.at(key, price)
    if head == 0:
        price = tick_tree.beyond(key, price, is_buy)
        if price != max_value(uint256):
            head = tick_tree.at(key, price)
    return head


@view
@internal
def _crosses(market: uint256, is_buy: bool, price: uint256) -> bool:
    return tick_tree.reaches(self._side(market, not is_buy), price, not is_buy)


@pure
@internal
def _side(market: uint256, is_buy: bool) -> uint256:
    assert market < 256, "clearinghouse: unknown market"
    return (market << 1) | (1 if is_buy else 0)


@internal
def _rest(
    account: uint256, market: uint256, is_buy: bool, price: uint256, size: uint256, reduce_only: bool
) -> uint256:
    desk: uint256 = self._desks[account]
    free: uint256 = ~(desk >> 32) & (2**MAX_OPEN - 1)
    assert free != 0, "book: too many open orders"
    slot: uint256 = bits.lowest(free)
    order_id: uint256 = self.last_order_id + 1
    self.last_order_id = order_id
    desk |= 1 << (32 + slot)
    if slot < 2:
        # Most accounts never need a second word.
        desk = self._with_id(desk, 160 + 40 * slot, order_id)
    else:
        place: uint256 = slot - 2
        self._open[account][place // 6] = self._with_id(
            self._open[account][place // 6], 40 * (place % 6), order_id
        )
    self._desks[account] = desk

    key: uint256 = self._side(market, is_buy)
    head: uint256 = tick_tree.at(key, price)
    tail: uint256 = 0
    if head == 0:
        tick_tree.put(key, price, order_id)
    else:
        word: uint256 = self._orders[head]
        tail = (word >> 168) & order_codec.ID
        if tail == 0:
            tail = head
            word |= order_id << 208
        else:
            self._orders[tail] |= order_id << 208
        self._orders[head] = (word & ~(order_codec.ID << 168)) | (order_id << 168)
    self._orders[order_id] = order_codec.pack(
        order_codec.Order(
            account=account,
            market=market,
            is_buy=is_buy,
            price=price,
            size=size,
            nonce=desk & (2**32 - 1),
            previous=tail,
            next=0,
            slot=slot,
            reduce_only=reduce_only,
        )
    )
    edge: uint256 = 0
    last: uint256 = 0
    edge, last = self._passed(market, is_buy)
    if edge != 0 and edge != price and (price > edge) == is_buy:
        # In front of orders that were passed: it was not.
        self._set_passed(market, is_buy, (price << 40) | tail)
    log OrderPlaced(
        order_id=order_id,
        account=account,
        market=market,
        is_buy=is_buy,
        price=price,
        size=size,
        reduce_only=reduce_only,
    )
    return order_id


@pure
@internal
def _with_id(word: uint256, offset: uint256, order_id: uint256) -> uint256:
    return (word & ~(order_codec.ID << offset)) | (order_id << offset)


@view
@internal
def _nonce(account: uint256) -> uint256:
    return self._desks[account] & (2**32 - 1)


@internal
def _drop(order_id: uint256, order: order_codec.Order, reason: Reason):
    self._unlink(order_id, order)
    log OrderCancelled(
        order_id=order_id, account=order.account, size=order.size, reason=reason
    )


@internal
def _unlink(order_id: uint256, order: order_codec.Order):
    """
    @notice Takes an order out of its queue, and its price out of the tree if the queue is empty.
    """
    key: uint256 = self._side(order.market, order.is_buy)
    head: uint256 = tick_tree.at(key, order.price)
    self._orders[order_id] = 0
    if order_id == head:
        tick_tree.put(key, order.price, order.next)
        if order.next != 0:
            # The new head names the last one, unless that is itself.
            last: uint256 = order.previous if order.previous != order.next else 0
            self._set_previous(order.next, last)
    else:
        before: uint256 = self._orders[order.previous]
        self._orders[order.previous] = (before & ~(order_codec.ID << 208)) | (order.next << 208)
        if order.next != 0:
            self._set_previous(order.next, order.previous)
        else:
            self._set_previous(head, order.previous if order.previous != head else 0)
    desk: uint256 = self._desks[order.account]
    if order.nonce == desk & (2**32 - 1):
        self._desks[order.account] = desk & ~(1 << (32 + order.slot))


@internal
def _set_previous(order_id: uint256, previous: uint256):
    word: uint256 = self._orders[order_id]
    self._orders[order_id] = (word & ~(order_codec.ID << 168)) | (previous << 168)


@view
@internal
def _require_liquidator():
    assert msg.sender == staticcall clearinghouse.liquidator(), "book: liquidator only"


# --- Views ---------------------------------------------------------------------------------------


@view
@external
def best(market: uint256, is_buy: bool) -> uint256:
    """
    @notice The best price of a side in ticks, 0 if it is empty. Void orders are passed over.
    @dev Of void orders it looks at 2,000, and reverts rather than to call a side empty that it could
         not see to the end of: `purge` lets anyone clear them away. Live ones, however many, do not
         keep it from the answer.
    """
    order_id: uint256 = self._best_order(market, is_buy)
    for _: uint256 in range(MAX_SEEN):
        if order_id == 0:
            return 0
        order: order_codec.Order = order_codec.unpack(self._orders[order_id])
        if order.nonce == self._nonce(order.account):
            return order.price
        order_id = self._following(order)
    assert order_id == 0, "book: purge it first"
    return 0


@view
@external
def depth(
    market: uint256, is_buy: bool, max_levels: uint256
) -> DynArray[IOrderBook.Level, MAX_DEPTH]:
    """
    @notice Price (ticks) and live size (lots) of up to `max_levels` (at most 100) levels, best
            first.
    @dev Looks at 2,000 orders at most, void ones too. Reverts if they do not suffice: `purge` lets
         anyone clear void ones away, and fewer levels ask for less. Of a first level of more live
         orders than that nothing but the price can be had (`best`).
    """
    levels: DynArray[IOrderBook.Level, MAX_DEPTH] = []
    order_id: uint256 = self._best_order(market, is_buy)
    size: uint256 = 0
    for _: uint256 in range(MAX_SEEN):
        if order_id == 0 or len(levels) >= min(max_levels, MAX_DEPTH):
            return levels
        order: order_codec.Order = order_codec.unpack(self._orders[order_id])
        if order.nonce == self._nonce(order.account):
            size += order.size
        if order.next == 0:
            if size != 0:
                levels.append(IOrderBook.Level(price=order.price, size=size))
            size = 0
        order_id = self._following(order)
    # Nobody may take for the end what is only the end of the looking.
    assert order_id == 0 or len(levels) >= min(max_levels, MAX_DEPTH), "book: purge it first"
    return levels


@view
@external
def last_trade(market: uint256) -> uint256:
    """
    @notice Price of the last fill, ticks; 0 before the first.
    """
    return self._last_trade(market)


@view
@internal
def _last_trade(market: uint256) -> uint256:
    return (tick_tree._roots[market] >> TRADE) & (2**24 - 1)


@view
@external
def passed(market: uint256, is_buy: bool) -> (uint256, uint256):
    """
    @notice How far the waiting orders of a side were passed while the market takes no risk: price
            (0: not at all) and the last order there (0: none of this price). The next taker begins
            behind it.
    """
    return self._passed(market, is_buy)


@view
@external
def quotes(market: uint256, notional: uint256) -> IOrderBook.Quotes:
    """
    @notice Best prices, the last trade, and impact prices: the mean price at which `notional`
            micro-USDC would sell into the bids (rounded down) or buy from the asks (rounded up).
            Ticks; 0 where the side is empty or not that deep.
    @dev Looks at 64 orders of a side at most, so that void ones on top cannot make it dear. An order
         counts if its maker has margin for what is needed of it, besides that of better orders, and
         never if it only reduces: a price that nobody can be held to is no price. Reverts if none of
         the first 64 counts and there are more. `purge` lets anyone clear away those that could not
         be filled at all; those that could be, for a few lots, fall to one sale (or purchase).
    """
    assert notional != 0 and notional < 2**128, "book: notional out of range"
    best_bid: uint256 = 0
    impact_bid: uint256 = 0
    best_bid, impact_bid = self._impact(market, True, notional)
    best_ask: uint256 = 0
    impact_ask: uint256 = 0
    best_ask, impact_ask = self._impact(market, False, notional)
    return IOrderBook.Quotes(
        best_bid=best_bid,
        best_ask=best_ask,
        last_trade=self._last_trade(market),
        impact_bid=impact_bid,
        impact_ask=impact_ask,
    )


@view
@internal
def _impact(market: uint256, is_buy: bool, notional: uint256) -> (uint256, uint256):
    best: uint256 = 0
    size: uint256 = 0
    quote: uint256 = 0
    order_id: uint256 = self._best_order(market, is_buy)
    makers: DynArray[uint256, MAX_STEPS] = []
    # Of each maker: margin that no order counted so far needs, micro-USDC.
    free: DynArray[uint256, MAX_STEPS] = []
    for _: uint256 in range(MAX_STEPS):
        if order_id == 0:
            break
        order: order_codec.Order = order_codec.unpack(self._orders[order_id])
        price: uint256 = order.price
        if order.nonce == self._nonce(order.account) and not order.reduce_only:
            # The last order only as far as it is needed, rounded up to a lot.
            taken: uint256 = min(order.size, (notional - quote + price - 1) // price)
            place: uint256 = len(makers)
            for i: uint256 in range(len(makers), bound=MAX_STEPS):
                if makers[i] == order.account:
                    place = i
                    break
            if place == len(makers):
                margin: IClearinghouse.Margin = staticcall clearinghouse.margin(order.account)
                makers.append(order.account)
                free.append(
                    convert(max(margin.equity - convert(margin.initial, int256), 0), uint256)
                )
            needed: uint256 = 2 * staticcall clearinghouse.maintenance(market, taken * price)
            if free[place] >= needed:
                free[place] -= needed
                if best == 0:
                    best = order.price
                size += taken
                quote += taken * price
                if quote >= notional:
                    return best, quote // size if is_buy else (quote + size - 1) // size
        order_id = self._following(order)
    # Not an empty side: one that void orders, or orders without margin, keep from being read.
    assert best != 0 or order_id == 0, "book: purge it first"
    return best, 0


@view
@external
def nonce(account: uint256) -> uint256:
    """
    @notice The account's nonce: its orders with a lower one are void.
    """
    return self._nonce(account)


@view
@external
def open_orders(account: uint256) -> DynArray[OpenOrder, MAX_OPEN]:
    """
    @notice Every live order of an account.
    """
    orders: DynArray[OpenOrder, MAX_OPEN] = []
    desk: uint256 = self._desks[account]
    taken: uint256 = (desk >> 32) & (2**MAX_OPEN - 1)
    for _: uint256 in range(MAX_OPEN):
        if taken == 0:
            break
        slot: uint256 = bits.lowest(taken)
        order_id: uint256 = (desk >> (160 + 40 * min(slot, 1))) & order_codec.ID
        if slot >= 2:
            order_id = (
                self._open[account][(slot - 2) // 6] >> (40 * ((slot - 2) % 6))
            ) & order_codec.ID
        taken &= taken - 1
        order: order_codec.Order = order_codec.unpack(self._orders[order_id])
        orders.append(
            OpenOrder(
                order_id=order_id,
                market=order.market,
                is_buy=order.is_buy,
                price=order.price,
                size=order.size,
                reduce_only=order.reduce_only,
            )
        )
    return orders


@view
@external
def order(order_id: uint256) -> order_codec.Order:
    """
    @notice A resting order. Reverts if it has been filled or deleted; one that is void but not
            deleted yet shows a `nonce` below its account's. `previous` of the first in a queue is
            the last, 0 if it is alone.
    """
    word: uint256 = self._orders[order_id]
    assert word != 0, "book: unknown order"
    return order_codec.unpack(word)
