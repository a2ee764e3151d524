# pragma version ~=0.4.3
"""
@title ledger
@license AGPL-3.0-only
@notice Every account, every position and every micro-USDC of the venue, and the only two ways
        in which they change hands:

            _exchange       buyer takes +size and pays quote, seller takes -size and receives it
            _transfer_cash  one account pays another

        Both hand the same integers to both sides, so sizes sum to zero in each market and money
        is conserved by construction. All else (deposits and withdrawals, fees, funding, losses
        written off) is a flow of its own below, named and counted.

            held        micro-USDC that the venue owes an explanation for
            cash        of an account, signed micro-USDC
            size        of a position, signed lots, long > 0
            quote       of a position, signed micro-USDC: minus what was paid for it
            index       of a market: funding paid so far per lot long, 10^-9 micro-USDC, signed
            pool        of a market: funding collected and not yet handed on, signed micro-USDC
            dust        of a market: what rounding left in the pool, 10^-9 micro-USDC
            fees        taken and not yet swept, micro-USDC
            uninsured   loss that nobody paid, micro-USDC

            I1   held == sum(cash + quotes over all accounts) + fees + sum(pool) - uninsured
            I2   in each market sum(size) == 0, and size == 0 implies quote == 0
            I3   in each market pool * 10^9 == dust - sum(size * (index - index when settled))

@dev It moves what it is told to and keeps the identities. Whether a move is allowed (margin,
     permission, price, halted market) is its caller's business, and no price is known here.
     Bounds: the callers keep |size| < 2^63 and a price < 2^24, so |quote| and |cash| stay far
     below 2^127 and nothing in here can overflow.
"""
from ..interfaces import IClearinghouse
from . import position_codec

SCALE: constant(int256) = 10**9


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
    funding_index: int256
    leverage: uint256


# Funding that a position paid (or received, below 0) when it was settled at `index`.
event FundingSettled:
    account: indexed(uint256)
    market: indexed(uint256)
    funding_index: int256
    paid: int256
    cash: int256


event FeeCharged:
    account: indexed(uint256)
    amount: uint256
    cash: int256


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
    cash: int256
    uninsured: uint256


event Recovered:
    account: indexed(uint256)
    amount: uint256
    cash: int256
    uninsured: uint256


held: public(uint256)
uninsured: public(uint256)
account_count: public(uint256)
cash: public(HashMap[uint256, int256])
# owner 160 | kind 8 | isolated 8 | active 64 | inflow 1. `isolated` is a market + 1, 0 for a cross
# account; bit m of `active` is set while the account has a position in market m; `inflow` is the
# clearinghouse's: money may have come in during this epoch.
_accounts: HashMap[uint256, uint256]
_positions: HashMap[uint256, HashMap[uint256, uint256]]

fees: public(uint256)
funding_pool: public(HashMap[uint256, int256])
funding_dust: public(HashMap[uint256, int256])
# Of a market: lots long, which is as many as are short, 64 | holders short 40 | holders long 40.
_interest: HashMap[uint256, uint256]

# Traders with a position, by market and side (True: long), in no particular order.
_holders: HashMap[uint256, HashMap[bool, HashMap[uint256, uint256]]]


@internal
def _exchange(
    market: uint256, index: int256, buyer: uint256, seller: uint256, size: uint256, quote: uint256
):
    """
    @notice The exchange primitive: the only way in which a position changes.
    @dev `buyer` gets `size` lots and pays `quote` micro-USDC, `seller` the reverse: the same
         two integers on both sides. Both settle funding at `index` first.
    """
    assert buyer != seller, "ledger: exchange with itself"
    assert size != 0, "ledger: exchange of nothing"
    longs: int256 = self._apply(
        market, index, buyer, convert(size, int256), -convert(quote, int256)
    )
    longs += self._apply(market, index, seller, -convert(size, int256), convert(quote, int256))
    if longs != 0:
        self._interest[market] = convert(
            convert(self._interest[market], int256) + longs, uint256
        )
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
def _apply(
    market: uint256, index: int256, account: uint256, size: int256, quote: int256
) -> int256:
    """
    @notice One side of an exchange: `size` lots and `quote` micro-USDC, signed, for `account`.
    @dev What closes is released from the position in proportion, truncated toward zero, and
         realised into the same account's cash: the rounding stays within the account, so it
         can move money neither in nor out. A flip closes first; the part of `quote` that
         closes is truncated once and the rest opens the other side.
    @return By how many lots the account's long side grew.
    """
    position: position_codec.Packed = position_codec.unpack(self._positions[account][market])
    before: int256 = position.size
    cash: int256 = self.cash[account] - self._settle(market, index, account, position)
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
    position.index = index if position.size != 0 else 0
    if (before > 0) != (position.size > 0) or (before < 0) != (position.size < 0):
        position.holder = self._refile(market, account, before, position.size, position.holder)
    self._positions[account][market] = position_codec.pack(position)
    cash += realised
    self.cash[account] = cash
    log PositionChanged(
        account=account,
        market=market,
        size=position.size,
        quote=position.quote,
        cash=cash,
        realised=realised,
        funding_index=position.index,
        leverage=position.leverage,
    )
    return max(position.size, 0) - max(before, 0)


@internal
def _settle(
    market: uint256, index: int256, account: uint256, position: position_codec.Packed
) -> int256:
    """
    @notice Settles the funding of a position up to `index`, into the market's pool. The caller
            takes what it returns from the account's cash and stores the new index.
    @return Micro-USDC that the account pays; below 0 what it receives.
    """
    owed: int256 = position.size * (index - position.index)
    if owed == 0:
        return 0
    paid: int256 = self._funding_owed(position, index)
    self.funding_pool[market] += paid
    self.funding_dust[market] += paid * SCALE - owed
    log FundingSettled(
        account=account,
        market=market,
        funding_index=index,
        paid=paid,
        cash=self.cash[account] - paid,
    )
    return paid


@pure
@internal
def _funding_owed(position: position_codec.Packed, index: int256) -> int256:
    """
    @notice Micro-USDC that a position owes at `index` (below 0: is owed), rounded up: against
            the payer, and against the receiver too, so that the pool can never fall short.
    """
    owed: int256 = position.size * (index - position.index)
    if owed <= 0:
        return owed // SCALE
    return (owed + SCALE - 1) // SCALE


@internal
def _set_leverage(market: uint256, account: uint256, leverage: uint256):
    position: position_codec.Packed = position_codec.unpack(self._positions[account][market])
    position.leverage = leverage
    self._positions[account][market] = position_codec.pack(position)
    log PositionChanged(
        account=account,
        market=market,
        size=position.size,
        quote=position.quote,
        cash=self.cash[account],
        realised=0,
        funding_index=position.index,
        leverage=leverage,
    )


@internal
def _charge_fee(account: uint256, amount: uint256):
    """
    @notice A fee leaves the account and waits in `fees` until it is swept.
    """
    if amount == 0:
        return
    self.cash[account] -= convert(amount, int256)
    self.fees += amount
    log FeeCharged(account=account, amount=amount, cash=self.cash[account])


@internal
def _pay_out_fees(account: uint256, amount: uint256):
    """
    @notice Swept fees become an account's cash.
    """
    self.fees -= amount
    self.cash[account] += convert(amount, int256)


@internal
def _spend_fees(amount: uint256):
    """
    @notice Fees repay uninsured loss.
    """
    self.fees -= amount
    self.uninsured -= amount


@internal
def _refile(
    market: uint256, account: uint256, before: int256, after: int256, holder: uint256
) -> uint256:
    """
    @notice Keeps the lists of holders and the account's set of markets up to date.
    @dev Only traders are listed: the vault, the tranche and estates are never deleveraged as
         winners.
    @return The account's place in the list of its new side.
    """
    word: uint256 = self._accounts[account]
    if after == 0:
        self._accounts[account] = word & ~(1 << (176 + market))
    elif before == 0:
        self._accounts[account] = word | (1 << (176 + market))
    if (word >> 160) & 255 != convert(Kind.TRADER, uint256):
        return 0
    if before != 0:
        side: bool = before > 0
        last: uint256 = self._holder_count(market, side) - 1
        if holder != last:
            moved: uint256 = self._holders[market][side][last]
            self._holders[market][side][holder] = moved
            other: position_codec.Packed = position_codec.unpack(self._positions[moved][market])
            other.holder = holder
            self._positions[moved][market] = position_codec.pack(other)
        self._interest[market] -= 1 << self._offset(side)
    if after == 0:
        return 0
    side: bool = after > 0
    place: uint256 = self._holder_count(market, side)
    self._holders[market][side][place] = account
    self._interest[market] += 1 << self._offset(side)
    return place


@internal
def _open_account(owner: address, kind: Kind) -> uint256:
    account: uint256 = self.account_count + 1
    self.account_count = account
    self._accounts[account] = convert(owner, uint256) | (convert(kind, uint256) << 160)
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
    log WrittenOff(
        account=account, amount=amount, cash=self.cash[account], uninsured=self.uninsured
    )


@internal
def _recover(account: uint256, amount: uint256):
    """
    @notice The reverse of a write-off: the account pays for uninsured loss out of its cash.
    """
    self.cash[account] -= convert(amount, int256)
    self.uninsured -= amount
    log Recovered(
        account=account, amount=amount, cash=self.cash[account], uninsured=self.uninsured
    )


@internal
def _repay(amount: uint256):
    """
    @notice Money from outside that covers uninsured loss.
    """
    self.held += amount
    self.uninsured -= amount


@pure
@internal
def _offset(is_long: bool) -> uint256:
    return 104 if is_long else 64


@view
@internal
def _holder_count(market: uint256, is_long: bool) -> uint256:
    return (self._interest[market] >> self._offset(is_long)) & (2**40 - 1)


@view
@internal
def _open_interest(market: uint256) -> uint256:
    return self._interest[market] & (2**64 - 1)


@view
@external
def holder_count(market: uint256, is_long: bool) -> uint256:
    """
    @notice Traders with a position on one side of a market.
    """
    return self._holder_count(market, is_long)


@view
@external
def open_interest(market: uint256) -> uint256:
    """
    @notice Lots long in a market, which is as many as are short.
    """
    return self._open_interest(market)


@view
@internal
def _owner(account: uint256) -> address:
    return convert(self._accounts[account] & (2**160 - 1), address)


@view
@internal
def _is(account: uint256, kind: Kind) -> bool:
    return (self._accounts[account] >> 160) & 255 == convert(kind, uint256)


@view
@internal
def _active(account: uint256) -> uint256:
    return (self._accounts[account] >> 176) & (2**64 - 1)


@view
@external
def account_owner(account: uint256) -> address:
    """
    @notice Whose account it is; zero for an unknown one.
    """
    return self._owner(account)


@view
@external
def account_kind(account: uint256) -> uint256:
    """
    @notice 1 a trader's, 2 the vault's, 4 the tranche's, 8 an estate; 0 unknown.
    """
    return (self._accounts[account] >> 160) & 255


@view
@external
def isolated_to(account: uint256) -> uint256:
    """
    @notice Market + 1 of an isolated account; 0 for a cross one.
    """
    return (self._accounts[account] >> 168) & 255


@view
@external
def active_markets(account: uint256) -> uint256:
    """
    @notice Bit m is set while the account has a position in market m.
    """
    return self._active(account)


@view
@external
def position(account: uint256, market: uint256) -> IClearinghouse.Position:
    """
    @notice `size` in signed lots, `quote` in signed micro-USDC, `index` when it was last settled
            (10^-9 micro-USDC per lot), `leverage` the owner's own limit (0: the market's).
    """
    position: position_codec.Packed = position_codec.unpack(self._positions[account][market])
    return IClearinghouse.Position(
        size=position.size,
        quote=position.quote,
        index=position.index,
        leverage=position.leverage,
    )


@view
@external
def holder_at(market: uint256, is_long: bool, index: uint256) -> uint256:
    """
    @notice The account at `index` (below `holder_count`) of one side of a market.
    """
    assert index < self._holder_count(market, is_long), "clearinghouse: no such holder"
    return self._holders[market][is_long][index]
