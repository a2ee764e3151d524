# pragma version ~=0.4.3
"""
@title ledger
@license AGPL-3.0-only
@notice Every account, every position and every micro-USDC of the venue, and the only two ways
        in which they change hands:

            _exchange       buyer takes +size and pays quote, seller takes -size and receives it
            _transfer_cash  one account pays another

        Both hand the same integers to both sides, so sizes sum to zero in each market and money
        is conserved by construction. All else (`_credit`, `_debit`, `_write_off`) is a flow
        across the venue's edge, named and counted.

            held        micro-USDC that the venue owes an explanation for
            cash        of an account, signed micro-USDC
            size        of a position, signed lots, long > 0
            quote       of a position, signed micro-USDC: minus what was paid for it
            uninsured   loss that nobody paid, micro-USDC

            I1   held == sum(cash + quotes over all accounts) - uninsured
            I2   in each market sum(size) == 0, and size == 0 implies quote == 0

@dev It moves what it is told to and keeps the identities. Whether a move is allowed (margin,
     permission, price, halted market) is its caller's business, and no price is known here.
     Bounds: the callers keep |size| < 2^63 and a price < 2^24, so |quote| and |cash| stay far
     below 2^127 and nothing in here can overflow.
"""
from ..interfaces import IClearinghouse


flag Kind:
    TRADER
    VAULT
    TRANCHE
    ESTATE


event AccountOpened:
    account: indexed(uint256)
    owner: indexed(address)
    kind: Kind


# Both sides of one exchange. `quote` micro-USDC go from `buyer` to `seller`.
event Exchanged:
    market: indexed(uint256)
    buyer: indexed(uint256)
    seller: indexed(uint256)
    size: uint256
    quote: uint256


# Snapshot after each change of a position: what the account now holds in that market, and the
# profit (or loss) that the change moved from quote to cash.
event PositionChanged:
    account: indexed(uint256)
    market: indexed(uint256)
    size: int256
    quote: int256
    cash: int256
    realised: int256


event CashMoved:
    source: indexed(uint256)
    to: indexed(uint256)
    amount: uint256
    source_cash: int256
    to_cash: int256


# A loss without a payer leaves `account` and joins the venue's `uninsured`.
event WrittenOff:
    account: indexed(uint256)
    amount: uint256
    uninsured: uint256


event Recovered:
    account: indexed(uint256)
    amount: uint256
    uninsured: uint256


held: public(uint256)
uninsured: public(uint256)
account_count: public(uint256)
account_owner: public(HashMap[uint256, address])
account_kind: public(HashMap[uint256, Kind])
cash: public(HashMap[uint256, int256])
# Bit m is set while the account has a position in market m.
active_markets: public(HashMap[uint256, uint256])
_positions: HashMap[uint256, HashMap[uint256, IClearinghouse.Position]]

# Traders with a position, by market and side (True: long), in no particular order.
holder_count: public(HashMap[uint256, HashMap[bool, uint256]])
_holders: HashMap[uint256, HashMap[bool, HashMap[uint256, uint256]]]
_holder_index: HashMap[uint256, HashMap[uint256, uint256]]


@internal
def _exchange(market: uint256, buyer: uint256, seller: uint256, size: uint256, quote: uint256):
    """
    @notice The exchange primitive: the only way in which a position changes.
    @dev `buyer` gets `size` lots and pays `quote` micro-USDC, `seller` the reverse: the same
         two integers on both sides.
    """
    assert buyer != seller, "ledger: exchange with itself"
    assert size != 0, "ledger: exchange of nothing"
    self._apply(market, buyer, convert(size, int256), -convert(quote, int256))
    self._apply(market, seller, -convert(size, int256), convert(quote, int256))
    log Exchanged(market=market, buyer=buyer, seller=seller, size=size, quote=quote)


@internal
def _transfer_cash(source: uint256, to: uint256, amount: uint256):
    """
    @notice The transfer primitive: `source` pays `to` `amount` micro-USDC.
    """
    assert source != to, "ledger: transfer to itself"
    self.cash[source] -= convert(amount, int256)
    self.cash[to] += convert(amount, int256)
    log CashMoved(
        source=source,
        to=to,
        amount=amount,
        source_cash=self.cash[source],
        to_cash=self.cash[to],
    )


@internal
def _apply(market: uint256, account: uint256, size: int256, quote: int256):
    """
    @notice One side of an exchange: `size` lots and `quote` micro-USDC, signed, for `account`.
    @dev What closes is released from the position in proportion, truncated toward zero, and
         realised into the same account's cash: the rounding stays within the account, so it
         can move money neither in nor out. A flip closes first; the part of `quote` that
         closes is truncated once and the rest opens the other side.
    """
    position: IClearinghouse.Position = self._positions[account][market]
    before: int256 = position.size
    realised: int256 = 0
    if before == 0 or (before > 0) == (size > 0):
        position.quote += quote
    elif abs(size) < abs(before):
        released: int256 = position.quote * abs(size) // abs(before)
        position.quote -= released
        realised = released + quote
    else:
        closing: int256 = quote * abs(before) // abs(size)
        realised = position.quote + closing
        position.quote = quote - closing
    position.size = before + size
    self._positions[account][market] = position
    self.cash[account] += realised
    if (before > 0) != (position.size > 0) or (before < 0) != (position.size < 0):
        self._refile(market, account, before, position.size)
    log PositionChanged(
        account=account,
        market=market,
        size=position.size,
        quote=position.quote,
        cash=self.cash[account],
        realised=realised,
    )


@internal
def _refile(market: uint256, account: uint256, before: int256, after: int256):
    """
    @notice Keeps the lists of holders and the account's set of markets up to date.
    @dev Only traders are listed: the vault, the tranche and estates are never deleveraged as
         winners.
    """
    if after == 0:
        self.active_markets[account] &= ~(1 << market)
    elif before == 0:
        self.active_markets[account] |= 1 << market
    if self.account_kind[account] != Kind.TRADER:
        return
    if before != 0:
        side: bool = before > 0
        last: uint256 = self.holder_count[market][side] - 1
        index: uint256 = self._holder_index[market][account]
        if index != last:
            moved: uint256 = self._holders[market][side][last]
            self._holders[market][side][index] = moved
            self._holder_index[market][moved] = index
        self.holder_count[market][side] = last
    if after != 0:
        side: bool = after > 0
        index: uint256 = self.holder_count[market][side]
        self._holders[market][side][index] = account
        self._holder_index[market][account] = index
        self.holder_count[market][side] = index + 1


@internal
def _open_account(owner: address, kind: Kind) -> uint256:
    account: uint256 = self.account_count + 1
    self.account_count = account
    self.account_owner[account] = owner
    self.account_kind[account] = kind
    log AccountOpened(account=account, owner=owner, kind=kind)
    return account


@internal
def _credit(account: uint256, amount: uint256):
    """
    @notice Money that came in from outside: `held` and the account's cash grow alike.
    """
    self.held += amount
    self.cash[account] += convert(amount, int256)


@internal
def _debit(account: uint256, amount: uint256, paid: uint256):
    """
    @notice Money that leaves: the account gives up `amount`, `paid` of it goes out.
    @dev The difference is the account's share of the uninsured loss, which shrinks by it.
         `paid` is rounded down by the caller: against who leaves, for who stays.
    """
    self.cash[account] -= convert(amount, int256)
    self.held -= paid
    self.uninsured -= amount - paid


@internal
def _write_off(account: uint256, amount: uint256):
    """
    @notice The account's loss of `amount` micro-USDC becomes the venue's.
    """
    self.cash[account] += convert(amount, int256)
    self.uninsured += amount
    log WrittenOff(account=account, amount=amount, uninsured=self.uninsured)


@internal
def _recover(account: uint256, amount: uint256):
    """
    @notice The reverse of a write-off: the account pays for uninsured loss out of its cash.
    """
    self.cash[account] -= convert(amount, int256)
    self.uninsured -= amount
    log Recovered(account=account, amount=amount, uninsured=self.uninsured)


@internal
def _repay(amount: uint256):
    """
    @notice Money from outside that covers uninsured loss.
    """
    self.held += amount
    self.uninsured -= amount


@view
@external
def position(account: uint256, market: uint256) -> IClearinghouse.Position:
    """
    @notice `size` in signed lots and `quote` in signed micro-USDC.
    """
    return self._positions[account][market]


@view
@external
def holder_at(market: uint256, is_long: bool, index: uint256) -> uint256:
    """
    @notice The account at `index` (below `holder_count`) of one side of a market.
    """
    assert index < self.holder_count[market][is_long], "clearinghouse: no such holder"
    return self._holders[market][is_long][index]
