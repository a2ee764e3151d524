# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title OrderBook
@license AGPL-3.0-only
@notice Resting orders and price-time matching. Owns orders and order nonces; it holds no money
        and no position: each fill is asked of the clearinghouse, which may refuse it.

            price   ticks, 1 .. 2^24 - 1        size   lots, 1 .. 2^63 - 1
            id      of an order, from 1         nonce  of an account; raising it voids its orders

        The best price of a side is the top of a bitmap tree, and orders of one price queue first
        in, first out. A void order is deleted when somebody meets it.
@custom:kill Cannot be halted on its own. An open ADL round stops its market; cancelling always
             works.
"""
from .interfaces import IClearinghouse
from .interfaces import IOrderBook
from .modules import order_codec
from .modules import tick_tree

initializes: tick_tree
implements: IOrderBook

GOOD_TILL_CANCELLED: constant(uint256) = 0
IMMEDIATE_OR_CANCEL: constant(uint256) = 1

MAX_SIZE: constant(uint256) = 2**63 - 1
# Resting orders that one call meets at most, filled or not.
MAX_STEPS: constant(uint256) = 64
MAX_DEPTH: constant(uint256) = 100
MAX_QUEUE: constant(uint256) = 1000

# Why an order left the book without a fill, or why a taker's rest did not rest.
flag Reason:
    BY_OWNER
    VOID
    SELF_TRADE
    MAKER_MARGIN
    IMMEDIATE
    STEPS


event OrderPlaced:
    order_id: indexed(uint256)
    account: indexed(uint256)
    market: indexed(uint256)
    is_buy: bool
    price: uint256
    size: uint256


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
nonce: public(HashMap[uint256, uint256])
_orders: HashMap[uint256, uint256]
# level key -> head and tail of its queue
_levels: HashMap[uint256, uint256]


@deploy
def __init__(clearinghouse_: address):
    clearinghouse = IClearinghouse(clearinghouse_)


# --- Traders -------------------------------------------------------------------------------------


@external
def place(
    account: uint256, market: uint256, is_buy: bool, size: uint256, price: uint256, tif: uint256
) -> (uint256, uint256):
    """
    @notice Trades against resting orders at `price` ticks or better, best price first, then
            oldest first, at the resting order's price. What is left rests (`tif` 0, good till
            cancelled) or is dropped (`tif` 1, immediate or cancel).
    @dev Meets at most 64 resting orders; if that was not enough the rest is dropped, since it
         would cross the book, and `Unfilled` says so. Makers whose margin no longer allows the
         fill, and resting orders of the same owner, are cancelled and skipped.
    @return The id of the order that rests now (0: none) and the lots filled.
    """
    terms: IClearinghouse.OrderTerms = staticcall clearinghouse.order_terms(account, market)
    assert terms.owner == msg.sender, "book: not your account"
    assert terms.is_trader, "book: not a trading account"
    assert size != 0 and size <= MAX_SIZE, "book: size out of range"
    assert price != 0 and price <= tick_tree.MAX_TICK, "book: price out of range"
    assert tif <= IMMEDIATE_OR_CANCEL, "book: unknown time in force"
    assert not terms.is_frozen, "book: adl round open"
    closes: bool = terms.size != 0 and (terms.size < 0) == is_buy and convert(
        abs(terms.size), uint256
    ) == size
    assert closes or size * price >= terms.min_notional, "book: below minimum notional"

    left: uint256 = size
    steps: uint256 = 0
    for _: uint256 in range(MAX_STEPS):
        if left == 0:
            break
        maker_id: uint256 = self._best_order(market, not is_buy)
        if maker_id == 0:
            break
        maker: order_codec.Order = order_codec.unpack(self._orders[maker_id])
        if (maker.price > price) if is_buy else (maker.price < price):
            break
        steps += 1
        if maker.nonce != self.nonce[maker.account]:
            self._drop(maker_id, maker, Reason.VOID)
            continue
        left -= self._take(maker_id, maker, account, left, False)
    if left == 0:
        return 0, size
    if tif == IMMEDIATE_OR_CANCEL:
        log Unfilled(account=account, market=market, size=left, reason=Reason.IMMEDIATE)
        return 0, size - left
    if steps == MAX_STEPS and self._crosses(market, is_buy, price):
        log Unfilled(account=account, market=market, size=left, reason=Reason.STEPS)
        return 0, size - left
    return self._rest(account, market, is_buy, price, left), size - left


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
    self.nonce[account] += 1
    log NonceRaised(account=account, nonce=self.nonce[account])


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
    for _: uint256 in range(MAX_STEPS):
        order_id: uint256 = self._best_order(market, is_buy)
        if order_id == 0:
            return top
        order: order_codec.Order = order_codec.unpack(self._orders[order_id])
        if order.nonce == self.nonce[order.account]:
            top.order_id = order_id
            top.price = order.price
            top.size = order.size
            return top
        if top.steps == max_steps:
            break
        self._drop(order_id, order, Reason.VOID)
        top.steps += 1
    top.more = True
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
    return self._take(order_id, order, account, size, True)


# --- Matching ------------------------------------------------------------------------------------


@internal
def _take(
    maker_id: uint256, maker: order_codec.Order, taker: uint256, wanted: uint256, liquidated: bool
) -> uint256:
    size: uint256 = min(wanted, maker.size)
    outcome: uint256 = extcall clearinghouse.fill(
        maker.market, taker, maker.account, not maker.is_buy, size, maker.price, liquidated
    )
    if outcome != 0:
        self._drop(
            maker_id, maker, Reason.MAKER_MARGIN if outcome == 1 else Reason.SELF_TRADE
        )
        return 0
    if size == maker.size:
        self._unlink(maker_id, maker)
    else:
        maker.size -= size
        self._orders[maker_id] = order_codec.pack(maker)
    log Filled(
        order_id=maker_id,
        maker=maker.account,
        taker=taker,
        market=maker.market,
        taker_buys=not maker.is_buy,
        price=maker.price,
        size=size,
        remaining=0 if size == maker.size else maker.size,
    )
    return size


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
    return self._levels[(key << 24) | price] & order_codec.ID


@view
@internal
def _crosses(market: uint256, is_buy: bool, price: uint256) -> bool:
    best: uint256 = tick_tree.top(self._side(market, not is_buy), not is_buy)
    if best == max_value(uint256):
        return False
    return best <= price if is_buy else best >= price


@pure
@internal
def _side(market: uint256, is_buy: bool) -> uint256:
    return (market << 1) | (1 if is_buy else 0)


@internal
def _rest(
    account: uint256, market: uint256, is_buy: bool, price: uint256, size: uint256
) -> uint256:
    order_id: uint256 = self.last_order_id + 1
    self.last_order_id = order_id
    key: uint256 = self._side(market, is_buy)
    level: uint256 = (key << 24) | price
    queue: uint256 = self._levels[level]
    tail: uint256 = queue >> 40
    self._orders[order_id] = order_codec.pack(
        order_codec.Order(
            account=account,
            market=market,
            is_buy=is_buy,
            price=price,
            size=size,
            nonce=self.nonce[account],
            previous=tail,
            next=0,
        )
    )
    if tail == 0:
        self._levels[level] = order_id | (order_id << 40)
        tick_tree.add(key, price)
    else:
        self._levels[level] = (queue & order_codec.ID) | (order_id << 40)
        self._orders[tail] |= order_id << 208
    log OrderPlaced(
        order_id=order_id, account=account, market=market, is_buy=is_buy, price=price, size=size
    )
    return order_id


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
    level: uint256 = (key << 24) | order.price
    queue: uint256 = self._levels[level]
    head: uint256 = queue & order_codec.ID
    tail: uint256 = queue >> 40
    if order.previous == 0:
        head = order.next
    else:
        before: uint256 = self._orders[order.previous]
        self._orders[order.previous] = (before & ((1 << 208) - 1)) | (order.next << 208)
    if order.next == 0:
        tail = order.previous
    else:
        behind: uint256 = self._orders[order.next]
        self._orders[order.next] = (behind & ~(order_codec.ID << 168)) | (order.previous << 168)
    self._orders[order_id] = 0
    self._levels[level] = head | (tail << 40)
    if head == 0:
        tick_tree.remove(key, order.price)


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
    """
    levels: DynArray[IOrderBook.Level, MAX_DEPTH] = self._depth(market, is_buy, 1)
    return levels[0].price if len(levels) != 0 else 0


@view
@external
def depth(
    market: uint256, is_buy: bool, max_levels: uint256
) -> DynArray[IOrderBook.Level, MAX_DEPTH]:
    """
    @notice Price (ticks) and live size (lots) of up to `max_levels` (at most 100) levels, best
            first.
    """
    return self._depth(market, is_buy, max_levels)


@view
@internal
def _depth(
    market: uint256, is_buy: bool, max_levels: uint256
) -> DynArray[IOrderBook.Level, MAX_DEPTH]:
    levels: DynArray[IOrderBook.Level, MAX_DEPTH] = []
    key: uint256 = self._side(market, is_buy)
    price: uint256 = tick_tree.top(key, is_buy)
    for _: uint256 in range(MAX_QUEUE):
        if price == max_value(uint256) or len(levels) >= min(max_levels, MAX_DEPTH):
            break
        size: uint256 = 0
        order_id: uint256 = self._levels[(key << 24) | price] & order_codec.ID
        for __: uint256 in range(MAX_QUEUE):
            if order_id == 0:
                break
            order: order_codec.Order = order_codec.unpack(self._orders[order_id])
            if order.nonce == self.nonce[order.account]:
                size += order.size
            order_id = order.next
        if size != 0:
            levels.append(IOrderBook.Level(price=price, size=size))
        price = tick_tree.beyond(key, price, is_buy)
    return levels


@view
@external
def order(order_id: uint256) -> order_codec.Order:
    """
    @notice A resting order. Reverts if it has been filled or deleted; one that is void but not
            deleted yet shows a `nonce` below its account's.
    """
    word: uint256 = self._orders[order_id]
    assert word != 0, "book: unknown order"
    return order_codec.unpack(word)
