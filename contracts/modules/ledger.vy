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
from . import checks
from . import position_codec

SCALE: constant(int256) = 10**9
MAX_MARKETS: constant(uint256) = 64
# Bits of an account's word below its cash, and of a place in a list.
FLAGS: constant(uint256) = 2**128 - 1
PLACE: constant(uint256) = 2**40 - 1
# A place that stands for empty ones, and how one of the others is written there: 2^32 positions would
# take the chain some years to open.
EMPTY: constant(uint256) = 2**255
EMPTY_PLACE: constant(uint256) = 2**32 - 1
# Accounts of one owner that are listed: those that it opened first.
MAX_LISTED: constant(uint256) = 16


flag Kind:
    TRADER
    VAULT
    TRANCHE
    ESTATE


event AccountOpened:
    account: indexed(uint256)
    owner: indexed(address)
    kind: Kind


# Both sides of one exchange. `quote` micro-USDC go from `buyer` to `seller`. While a round freezes the
# market there is none: `Deleveraged`, `LotsNetted` and `LegWoundUp` name the same two, size and quote.
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
_owners: HashMap[uint256, address]
# cash 128, signed | inflow 1 | active 64 | isolated 8 | kind 8, so that a close writes one word. Bit
# m of `active` is set while the account has a position in market m; `isolated` is a market + 1, 0 for
# a cross account; `inflow` is the clearinghouse's: money may have come in during this epoch.
_accounts: HashMap[uint256, uint256]
_positions: HashMap[uint256, uint256[MAX_MARKETS]]
# The first accounts of a trader, six ids of 40 bits a word; above those of word 0 how many there are.
_listed: HashMap[address, HashMap[uint256, uint256]]

fees: public(uint256)
funding_pool: public(HashMap[uint256, int256])
funding_dust: public(HashMap[uint256, int256])
# Of a market: from the top the empty places long 40 | short 40 | places long 40 | short 40 | lots long,
# which is as many as are short, 64.
_interest: HashMap[uint256, uint256]

# Traders with a position, by market and side (True: long), in no particular order. A place that a
# round has emptied still names who left, or it is the head of up to six that were emptied after it:
# EMPTY | the head before it, as below 40 | six places of 32 each. In the market's word a head is its
# place + 1 37 | how many of its six 3; 0: there is none.
_holders: HashMap[uint256, HashMap[bool, HashMap[uint256, uint256]]]


@internal
def _exchange(
    market: uint256,
    index: int256,
    buyer: uint256,
    seller: uint256,
    size: uint256,
    quote: uint256,
    in_round: bool,
) -> (uint256, uint256):
    """
    @notice The exchange primitive: the only way in which a position changes.
    @dev `buyer` gets `size` lots and pays `quote` micro-USDC, `seller` the reverse: the same
         two integers on both sides. Both settle funding at `index` first.
    @param in_round Whoever is closed leaves an empty place in the list of holders, which costs a
           seventh of a word instead of three, and the next one to join fills it. Nor is there an
           `Exchanged`: the round's receipts, or those of a wind-up, say all that it would.
    @return The words of both accounts, which are stored.
    """
    # A sentence is handed over only where it is needed: a round exchanges for every fill.
    if buyer == seller:
        checks.require(False, "ledger: exchange with itself")
    if size == 0:
        checks.require(False, "ledger: exchange of nothing")
    lots: int256 = convert(size, int256)
    money: int256 = convert(quote, int256)
    interest: uint256 = self._interest[market]
    bought: uint256 = 0
    sold: uint256 = 0
    interest, bought = self._apply(market, index, buyer, lots, -money, in_round, interest)
    interest, sold = self._apply(market, index, seller, -lots, money, in_round, interest)
    self._interest[market] = interest
    if not in_round:
        log Exchanged(market=market, buyer=buyer, seller=seller, size=size, quote=quote)
    return bought, sold


@internal
def _transfer_cash(source: uint256, to: uint256, amount: uint256):
    """
    @notice The transfer primitive: `source` pays `to` `amount` micro-USDC.
    """
    checks.require(source != to, "ledger: transfer to itself")
    log CashMoved(
        source=source,
        to=to,
        amount=amount,
        source_cash=self._pay(source, -convert(amount, int256)),
        to_cash=self._pay(to, convert(amount, int256)),
    )


@internal
def _pay(account: uint256, amount: int256) -> int256:
    """
    @notice Adds to an account's cash. Returns what it has then.
    """
    word: uint256 = self._accounts[account]
    cash: int256 = self._cash_of(word) + amount
    self._accounts[account] = self._with_cash(word, cash)
    return cash


@internal
def _apply(
    market: uint256,
    index: int256,
    account: uint256,
    size: int256,
    quote: int256,
    in_round: bool,
    interest: uint256,
) -> (uint256, uint256):
    """
    @notice One side of an exchange: `size` lots and `quote` micro-USDC, signed, for `account`.
    @dev What closes is released from the position in proportion, truncated toward zero, and
         realised into the same account's cash: the rounding stays within the account, so it
         can move money neither in nor out. A flip closes first; the part of `quote` that
         closes is truncated once and the rest opens the other side.

         Sums need no check of their own: what is stored is far from the range of 256 bits, so a sum
         that left it would be a number that no word of an account or a position has room for.
    @param interest The market's word. The caller stores the one that is returned.
    @return It, and the account's word, which is stored.
    """
    position: position_codec.Packed = position_codec.unpack(self._positions[account][market])
    word: uint256 = self._accounts[account]
    before: int256 = position.size
    after: int256 = unsafe_add(before, size)
    cash: int256 = self._cash_of(word)
    if position.index != index and before != 0:
        cash = unsafe_sub(cash, self._settle(market, index, account, position, cash))
    realised: int256 = 0
    if after == 0:
        realised = unsafe_add(position.quote, quote)
        position.quote = 0
    elif before == 0 or (before > 0) == (size > 0):
        position.quote = unsafe_add(position.quote, quote)
    elif (after > 0) == (before > 0):
        # Below 2^79 times less than 2^55.
        released: int256 = unsafe_div(unsafe_mul(position.quote, abs(size)), abs(before))
        position.quote = unsafe_sub(position.quote, released)
        realised = unsafe_add(released, quote)
    else:
        closing: int256 = quote * abs(before) // abs(size)
        realised = unsafe_add(position.quote, closing)
        position.quote = unsafe_sub(quote, closing)
    position.size = after
    position.index = index if after != 0 else 0
    changed: uint256 = interest
    # The sides are apart: a long one was one and is none, or the reverse.
    if (before > 0) != (after > 0) or (before < 0) != (after < 0):
        if after == 0:
            word &= ~(1 << unsafe_add(16, market))
        else:
            word |= 1 << unsafe_add(16, market)
        # Only traders are listed: the vault, the tranche and estates are never deleveraged as
        # winners.
        if word & 255 == convert(Kind.TRADER, uint256):
            changed, position.holder = self._refile(
                market, account, before, after, position.holder, in_round, interest
            )
    # Lots long are the lowest part of the word, and never below what one account has of them.
    if before > 0:
        changed = unsafe_sub(changed, convert(convert(before, bytes32), uint256))
    if after > 0:
        changed = unsafe_add(changed, convert(convert(after, bytes32), uint256))
    # Of who is closed nothing is left but its limit on leverage: no number that could be out of range.
    held: uint256 = position.leverage << position_codec.LEVERAGE_AT
    if after != 0:
        held = position_codec.pack(position)
    self._positions[account][market] = held
    cash = unsafe_add(cash, realised)
    word = self._with_cash(word, cash)
    self._accounts[account] = word
    log PositionChanged(
        account=account,
        market=market,
        size=after,
        quote=position.quote,
        cash=cash,
        realised=realised,
        funding_index=position.index,
        leverage=position.leverage,
    )
    return changed, word


@internal
def _settle(
    market: uint256,
    index: int256,
    account: uint256,
    position: position_codec.Packed,
    cash: int256,
) -> int256:
    """
    @notice Settles the funding of a position up to `index`, into the market's pool. The caller
            takes what it returns from the account's cash and stores the new index.
    @return Micro-USDC that the account pays; below 0 what it receives.
    """
    owed: int256 = position.size * (index - position.index)
    if owed == 0:
        return 0
    paid: int256 = self._funding_owed(position.size, position.index, index)
    self.funding_pool[market] += paid
    self.funding_dust[market] += paid * SCALE - owed
    log FundingSettled(
        account=account,
        market=market,
        funding_index=index,
        paid=paid,
        cash=cash - paid,
    )
    return paid


@pure
@internal
def _funding_owed(size: int256, since: int256, index: int256) -> int256:
    """
    @notice Micro-USDC that a position of `size`, settled at `since`, owes at `index` (below 0: is
            owed), rounded up: against the payer, and against the receiver too, so that the pool can
            never fall short.
    """
    # Below 2^55 times less than 2^73.
    owed: int256 = unsafe_mul(size, unsafe_sub(index, since))
    if owed <= 0:
        return unsafe_div(owed, SCALE)
    return unsafe_div(unsafe_add(owed, SCALE - 1), SCALE)


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
        cash=self._cash(account),
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
    self.fees += amount
    log FeeCharged(
        account=account, amount=amount, cash=self._pay(account, -convert(amount, int256))
    )


@internal
def _pay_out_fees(account: uint256, amount: uint256):
    """
    @notice Swept fees become an account's cash.
    """
    self.fees -= amount
    self._pay(account, convert(amount, int256))


@internal
def _spend_fees(amount: uint256):
    """
    @notice Fees repay uninsured loss.
    """
    self.fees -= amount
    self.uninsured -= amount


@internal
def _refile(
    market: uint256,
    account: uint256,
    before: int256,
    after: int256,
    holder: uint256,
    in_round: bool,
    interest: uint256,
) -> (uint256, uint256):
    """
    @notice Keeps the lists of holders up to date.
    @dev The last one moves to the place of whoever leaves, except in a round: there the place is
         noted as empty until someone joins, who gets the one that was emptied last. A list grows only
         where no place is empty, so it is never longer than the number of holders once was.

         The last place of a list goes only with who holds it, so no empty one is ever beyond the end.
    @param interest The market's word.
    @return It as it is then, and the account's place in the list of its new side.
    """
    word: uint256 = interest
    if before != 0:
        side: bool = before > 0
        offset: uint256 = self._offset(side)
        last: uint256 = unsafe_sub((word >> offset) & PLACE, 1)
        leaves_empty: bool = in_round
        if holder == last:
            leaves_empty = False
        elif not in_round:
            moved: uint256 = self._holders[market][side][last]
            leaves_empty = not self._holds(moved, market, side, last)
            if not leaves_empty:
                self._holders[market][side][holder] = moved
                self._positions[moved][market] = position_codec.with_holder(
                    self._positions[moved][market], holder
                )
        if leaves_empty:
            shelf: uint256 = unsafe_add(offset, 80)
            head: uint256 = (word >> shelf) & PLACE
            if head == 0 or head & 7 == 6:
                self._holders[market][side][holder] = EMPTY | (head << 192)
                word = (word & ~(PLACE << shelf)) | (unsafe_add(holder, 1) << unsafe_add(shelf, 3))
            else:
                at: uint256 = unsafe_sub(head >> 3, 1)
                bit: uint256 = (head & 7) << 5
                self._holders[market][side][at] = (
                    self._holders[market][side][at] & ~(EMPTY_PLACE << bit)
                ) | (holder << bit)
                word = unsafe_add(word, 1 << shelf)
        else:
            word = unsafe_sub(word, 1 << offset)
    place: uint256 = 0
    if after != 0:
        side: bool = after > 0
        offset: uint256 = self._offset(side)
        shelf: uint256 = unsafe_add(offset, 80)
        head: uint256 = (word >> shelf) & PLACE
        if head != 0:
            place = unsafe_sub(head >> 3, 1)
            places: uint256 = self._holders[market][side][place]
            if head & 7 == 0:
                word = (word & ~(PLACE << shelf)) | (((places >> 192) & PLACE) << shelf)
            else:
                place = (places >> (unsafe_sub(head & 7, 1) << 5)) & EMPTY_PLACE
                word = unsafe_sub(word, 1 << shelf)
        else:
            place = (word >> offset) & PLACE
            word = unsafe_add(word, 1 << offset)
        self._holders[market][side][place] = account
    return word, place


@view
@internal
def _holds(account: uint256, market: uint256, is_long: bool, place: uint256) -> bool:
    """
    @notice Whether a place of a list is this account's, which it names; none is an empty place's.
    """
    if account >= EMPTY:
        return False
    position: position_codec.Packed = position_codec.unpack(self._positions[account][market])
    return position.size != 0 and (position.size > 0) == is_long and position.holder == place


@internal
def _open_account(owner: address, kind: Kind) -> uint256:
    account: uint256 = self.account_count + 1
    self.account_count = account
    self._owners[account] = owner
    self._accounts[account] = convert(kind, uint256)
    listed: uint256 = self._listed[owner][0] >> 240
    if kind == Kind.TRADER and listed < MAX_LISTED:
        self._listed[owner][listed // 6] |= account << (40 * (listed % 6))
        self._listed[owner][0] += 1 << 240
    log AccountOpened(account=account, owner=owner, kind=kind)
    return account


@internal
def _credit(account: uint256, amount: uint256):
    """
    @notice Money that came in from outside: `held` and the account's cash grow alike.
    """
    self.held += amount
    self._pay(account, convert(amount, int256))


@internal
def _debit(account: uint256, amount: uint256, paid: uint256):
    """
    @notice Money that leaves: the account gives up `amount`, `paid` of it goes out.
    @dev The difference is the account's share of the uninsured loss, which shrinks by it.
         `paid` is rounded down by the caller: against who leaves, for who stays.
    """
    self._pay(account, -convert(amount, int256))
    self.held -= paid
    self.uninsured -= amount - paid


@internal
def _write_off(account: uint256, amount: uint256):
    """
    @notice The account's loss of `amount` micro-USDC becomes the venue's.
    """
    cash: int256 = self._pay(account, convert(amount, int256))
    self.uninsured += amount
    log WrittenOff(account=account, amount=amount, cash=cash, uninsured=self.uninsured)


@internal
def _recover(account: uint256, amount: uint256):
    """
    @notice The reverse of a write-off: the account pays for uninsured loss out of its cash.
    """
    cash: int256 = self._pay(account, -convert(amount, int256))
    self.uninsured -= amount
    log Recovered(account=account, amount=amount, cash=cash, uninsured=self.uninsured)


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
    return (self._interest[market] >> self._offset(is_long)) & PLACE


@view
@internal
def _open_interest(market: uint256) -> uint256:
    return self._interest[market] & (2**64 - 1)


@view
@external
def holder_count(market: uint256, is_long: bool) -> uint256:
    """
    @notice Places in the list of traders with a position on one side of a market: one for each of
            them, and those that a round has emptied and nobody has filled yet.
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
    return self._owners[account]


@view
@internal
def _is(account: uint256, kind: Kind) -> bool:
    return self._accounts[account] & 255 == convert(kind, uint256)


@view
@internal
def _active(account: uint256) -> uint256:
    return self._active_of(self._accounts[account])


@view
@internal
def _cash(account: uint256) -> int256:
    return self._cash_of(self._accounts[account])


@pure
@internal
def _active_of(word: uint256) -> uint256:
    return (word >> 16) & (2**64 - 1)


@pure
@internal
def _cash_of(word: uint256) -> int256:
    # The shift copies the sign.
    return convert(convert(word, bytes32), int256) >> 128


@pure
@internal
def _with_cash(word: uint256, cash: int256) -> uint256:
    narrow: int128 = convert(cash, int128)
    return (word & FLAGS) | (convert(convert(narrow, bytes32), uint256) << 128)


@view
@external
def cash(account: uint256) -> int256:
    """
    @notice Signed micro-USDC.
    """
    return self._cash(account)


@view
@external
def account_owner(account: uint256) -> address:
    """
    @notice Whose account it is; zero for an unknown one.
    """
    return self._owner(account)


@view
@external
def accounts_of(owner: address) -> DynArray[uint256, MAX_LISTED]:
    """
    @notice A trader's accounts in the order in which it opened them: the first 16.
    """
    accounts: DynArray[uint256, MAX_LISTED] = []
    for i: uint256 in range(self._listed[owner][0] >> 240, bound=MAX_LISTED):
        accounts.append((self._listed[owner][i // 6] >> (40 * (i % 6))) & (2**40 - 1))
    return accounts


@view
@external
def account_kind(account: uint256) -> uint256:
    """
    @notice 1 a trader's, 2 the vault's, 4 the tranche's, 8 an estate; 0 unknown.
    """
    return self._accounts[account] & 255


@view
@external
def isolated_to(account: uint256) -> uint256:
    """
    @notice Market + 1 of an isolated account; 0 for a cross one.
    """
    return (self._accounts[account] >> 8) & 255


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
    @notice The account at `index` (below `holder_count`) of one side of a market; 0: the place is
            empty.
    """
    checks.require(index < self._holder_count(market, is_long), "clearinghouse: no such holder")
    account: uint256 = self._holders[market][is_long][index]
    return account if self._holds(account, market, is_long, index) else 0
