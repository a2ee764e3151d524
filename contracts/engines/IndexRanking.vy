# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title IndexRanking
@license AGPL-3.0-only
@notice Ranks at a cost that does not depend on the number of accounts: an order book of positions.

            filed      in a bucket of similar entry price and margin (`modules/rank_grid.vy`), first
                       in, first out, whenever the clearinghouse changes the account
            apart      an account with positions in several markets, or off the grid: in a list of
                       its (market, side)
            opened     looked at in this search: its score taken from live state, kept in hand
            bound      no account of an unopened bucket has a higher score
            look       at one account, or at one band of buckets
            step       four looks, or half of one at an account apart, each of whose positions is read
            exact      the account handed out precedes everyone else who is eligible

        A search opens the bucket with the highest bound until the best in hand is strictly above
        all that is unopened; only then that account is handed out. So an order cannot be wrong by
        a filing: a bucket only says in which order to look. If `max_open` eligible accounts were
        opened since the last exact answer, the search goes on with `slack`: the best in hand is handed out if
        its score times 1 + slack reaches every unopened bound, and the answer says it is not
        exact.

        Accounts apart are opened first, all of them (10,000 at most), in every search: those in
        several markets move with marks that are not this market's, so whatever they were filed by
        would be out of date, and a look at each is exact. It costs two steps each, which who trades
        many markets in one account adds to; everyone else costs nothing.

        For scores whose formula is known here the bounds are as tight as a bucket. Any other score
        is ranked right too, but by opening every holder, and so is a search that has become so wide
        that finding back into it would cost too much of a transaction.

        A search lives in transient storage. Before a caller's steps run out the best 160 in hand and
        how far it came are written down, and the next transaction weighs those and goes on; had nothing been written, it would begin again, and be right.

        It owns the filing and the state of one search, moves nothing, and calls nobody back while
        it files.
@custom:kill Nothing to halt: it moves nothing. The Deleverager's owner may choose another engine.
"""
from ..interfaces import IClearinghouse
from ..interfaces import IOracle
from ..interfaces import IRanking
from ..interfaces import IRankingIndex
from ..modules import bits
from ..modules import checks
from ..modules import eligibility
from ..modules import owned
from ..modules import position_codec
from ..modules import rank_grid
from ..modules import scoring

implements: IRanking
implements: IRankingIndex

MAX_MARKETS: constant(uint256) = 64
MAX_LEGS: constant(uint256) = 8
MAX_APART: constant(uint256) = 10_000
# In hand from one transaction to the next, four accounts to a word.
KEPT: constant(uint256) = 160
# Of these apart: to weigh one again is as dear as to open it.
KEPT_APART: constant(uint256) = 16
# Turns of the search in one call; each opens an account or half of a bucket.
MAX_TURNS: constant(uint256) = 8_192
# Cells opened and buckets passed again in one call; beyond, every holder is opened.
MAX_SKIPS: constant(uint256) = 400
# Far more than the steps of one transaction can put into a heap.
MAX_IN_HEAP: constant(uint256) = 2**16
# In a key of the heap of who is in hand.
PLACE: constant(uint256) = MAX_IN_HEAP - 1
# In the header: every holder is opened.
WIDE: constant(uint256) = 2**95
# In the packed state: who was handed out last is weighed again, as it may have something left.
AGAIN: constant(uint256) = 2**5
ONE: constant(uint256) = 10**18
SCALE: constant(int256) = 10**9
ID: constant(uint256) = 2**64 - 1
NOBODY: constant(uint256) = 0
MAX_ACCOUNTS: constant(uint256) = 2**48
# In a word of ticks; its last tick, and where that of an account alone stands.
ALONE: constant(uint256) = 2**255
TICK: constant(uint256) = 127
TICK_AT: constant(uint256) = 64
# In a node.
NODE_ID: constant(uint256) = 2**48 - 1
PREVIOUS_AT: constant(uint256) = 48
PLACE_AT: constant(uint256) = 96
BUCKET_AT: constant(uint256) = 173

# Looks that make a step, so that none takes more than 75,000 gas (a test finds the dearest): at an
# account of one market, and at a band of a cell. What is left of a step is there for the next look.
LOOKS: constant(uint256) = 4

# What waits: bound 192 | 30 | cell, not bucket 1 | 6 | code 25 | way 2. Where bounds are equal the
# coarser comes first, and then the higher code.
CELL: constant(uint256) = 2**33
# Where the next bucket of the band is looked for when this one is opened, at higher or at lower ticks;
# 0: there is none.
UP: constant(uint256) = 1
DOWN: constant(uint256) = 2
WAYS: constant(uint256) = 3
# Cell, band and tick of a bucket.
CODE: constant(uint256) = 2**25 - 1
# Room for the close price.
ENTRIES: constant(uint256) = 2**40 - 1


# All that a search computes with.
struct Search:
    # market * 2 + (1 if the winners are long).
    side: uint256
    # Somebody in a position has had an inflow in the round's epoch, or later.
    inflows: bool
    # Eligible accounts opened before the slack counts.
    most: uint256
    prices: rank_grid.Prices


# How far it came.
struct State:
    # Eligible accounts opened since the last exact answer.
    opened: uint256
    # Handed out last: only this one may have something left.
    handed: uint256
    # The next account of the bucket at work.
    account: uint256
    # Of those who are opened one by one.
    place: uint256
    # How many are in each heap, and how many were taken in hand since the search began.
    hand: uint256
    waiting: uint256
    found: uint256
    # Looks that are paid for.
    credit: uint256
    # Steps for weighing again what was kept, not yet in an answer.
    owed: uint256
    # Every holder is opened, from the clearinghouse's list, and no bucket.
    wide: bool
    # Somebody was left out.
    left: bool
    # Some buckets were opened before.
    resumed: bool
    # A bucket waits aside.
    aside: bool


struct Candidate:
    score: uint256
    # Profit, then the lower account: the higher number precedes.
    tie: uint256


event LimitsSet:
    max_open: uint256
    slack: uint256


event FormulaSet:
    score: indexed(address)
    formula: uint256


clearinghouse: public(immutable(IClearinghouse))
oracle: public(immutable(IOracle))

# Eligible accounts opened since the last exact answer before the search goes on with `slack` (10^-18).
max_open: public(uint256)
slack: public(uint256)
# How a score contract computes: 0 unknown, 1 as HyperliquidDocs, 2 as ReturnXLeverage.
formula: public(HashMap[address, uint256])

# --- Filing. Keys are made of side, cell, band and tick.
_cells: HashMap[uint256, uint256]
_bands: HashMap[uint256, uint256]
# Ticks are 128: which have someone in them, or, while a band of a cell has one account only, ALONE |
# its tick 7 | the account 64.
_ticks: HashMap[uint256, uint256]
# First account 64 | last account 64; nothing of an account that is alone in its band of a cell.
_buckets: HashMap[uint256, uint256]
# Where an account is. In a bucket: bucket + 1 33 | its edges 77 | previous account 48 | next account
# 48. Apart: markets in which it is listed 64 | those of them in which it is long 64. Else 0.
_nodes: uint256[MAX_ACCOUNTS]
_apart_count: HashMap[uint256, uint256]
_apart: HashMap[uint256, HashMap[uint256, uint256]]
# By account and market, plus 1.
_apart_place: HashMap[uint256, HashMap[uint256, uint256]]

# --- The query: score 160 | market 8 | long 1 | mark 24 | epoch 63; numerator 96 | denominator 64 |
# size 64 | number of the search 32.
_query: uint256
_terms: uint256
# The search as written down: 0 header, 1 the last bucket opened, 2 funding index, 3 and 4 the best
# that was left out, 5 .. the accounts in hand. Header: next in the bucket 48 | handed out last 48 |
# opened 32 | apart 32 | wide 1 | candidates 15 | epoch 48 | number of the search 32.
_saved: HashMap[uint256, uint256]

# --- The search at work, in the order in which `_pack` and `_price_in` have it; 0: none is.
_state: transient(uint256)
_packed: transient(uint256)
_index: transient(int256)
# Who has been seen to be the deleverager.
_asker: transient(address)
# The last bucket opened, and that of the transaction before: from there up all were opened then.
_last: transient(uint256)
_passed: transient(uint256)
_left_out: transient(Candidate)
# A heap of what waits, and what is above all of it.
_waiting: transient(uint256[MAX_IN_HEAP])
_aside: transient(uint256)
# What is left to open of a cell (bands), and of a band of a cell (ticks) if that is several.
_bands_left: transient(uint256[512])
_ticks_left: transient(uint256[2**17])
# A heap of who is in hand: score 192, at most INFINITE | place in the list of all who were.
_hand: transient(uint256[MAX_IN_HEAP])
_found: transient(Candidate[MAX_IN_HEAP])


@deploy
def __init__(clearinghouse_: address, oracle_: address):
    """
    @notice Limits to begin with: 600 opened, a slack of a quarter.
    """
    clearinghouse = IClearinghouse(clearinghouse_)
    oracle = IOracle(oracle_)
    self._set_limits(600, ONE // 4)


@external
def set_limits(max_open: uint256, slack: uint256):
    """
    @notice Owner only.
    @param max_open Eligible accounts opened since the last exact answer before `slack` counts.
    @param slack How far the best in hand may be below a bound then, in 10^-18 of its score; at
           most 1.
    """
    owned._check_owner(clearinghouse)
    self._set_limits(max_open, slack)


@internal
def _set_limits(max_open: uint256, slack: uint256):
    checks.require(slack <= ONE, "ranking: slack above one")
    checks.require(max_open < 2**32, "ranking: limit out of range")
    self.max_open = max_open
    self.slack = slack
    log LimitsSet(max_open=max_open, slack=slack)


@external
def set_formula(score: address, formula: uint256):
    """
    @notice Says how a score contract computes: 0 unknown, 1 as HyperliquidDocs, 2 as
            ReturnXLeverage. Owner only.
    @dev A wrong one makes wrong bounds: the order could then be wrong, and receipts would show it.
    """
    owned._check_owner(clearinghouse)
    checks.require(formula <= rank_grid.RETURN_X_LEVERAGE, "ranking: unknown formula")
    self.formula[score] = formula
    # A search that was written down went by the other bounds: it begins again.
    self._saved[0] = 0
    log FormulaSet(score=score, formula=formula)


# --- Filing --------------------------------------------------------------------------------------


@reentrant
@external
def touch(account: uint256, active: uint256, market: uint256, word: uint256, cash: int256):
    """
    @notice Clearinghouse only: what a trader's account holds after a change.
    @dev Most changes leave an account where it is filed, which its node tells by itself: one word
         read, none written. It needs no lock: this contract makes static calls only, so whatever
         comes back while a function of it is at work cannot write; and `touch` calls nobody.
    @param active Bit m is set while it has a position in market m.
    @param market Its only market, or else the one whose position changed (64: none did).
    @param word Its position there, packed.
    """
    if msg.sender != clearinghouse.address:
        checks.require(False, "ranking: clearinghouse only")
    node: uint256 = self._nodes[account]
    if active == 0:
        if self._close(account, node):
            return
    elif rank_grid.stays(node >> PLACE_AT, active, word, cash):
        return
    elif self._stays_apart(node, active, market, word):
        return
    position: position_codec.Packed = position_codec.unpack(word)
    self._file(
        account, active, market, position.size, position.quote, position.index, cash
    )


@external
def refile(account: uint256):
    """
    @notice Files a trader's account anew from live state. Anyone, any account: it changes nothing
            where all is up to date.
    """
    checks.require(staticcall clearinghouse.is_trader(account), "ranking: not a trader's account")
    # By no more cash than it is ranked by.
    cash: int256 = staticcall clearinghouse.cash(account) - convert(
        staticcall clearinghouse.inflow(account, 0), int256
    )
    active: uint256 = staticcall clearinghouse.active_markets(account)
    legs: uint256 = active
    if legs == 0:
        self._file(account, 0, 0, 0, 0, 0, cash)
    for _: uint256 in range(MAX_MARKETS):
        if legs == 0:
            break
        market: uint256 = bits.lowest(legs)
        legs &= unsafe_sub(legs, 1)
        position: IClearinghouse.Position = staticcall clearinghouse.position(account, market)
        self._file(
            account, active, market, position.size, position.quote, position.index, cash
        )


@pure
@internal
def _stays_apart(node: uint256, active: uint256, market: uint256, word: uint256) -> bool:
    """
    @notice Whether an account in several markets is listed apart in just these, and in this one on
            the side that its packed position is on.
    """
    if node >> 64 != active or active & unsafe_sub(active, 1) == 0:
        return False
    return market == MAX_MARKETS or (node >> market) & 1 != (word >> 55) & 1


@internal
def _close(account: uint256, node: uint256) -> bool:
    """
    @notice Whether an account without a position was in a bucket; it is not any more. A short way for the
            winners of a round.
    """
    if self._bucket_in(node) == 0:
        return False
    self._unlink(account, node)
    self._nodes[account] = 0
    return True


@internal
def _file(
    account: uint256,
    active: uint256,
    market: uint256,
    size: int256,
    quote: int256,
    index: int256,
    cash: int256,
):
    """
    @dev In a bucket or apart, never both. Where it stays nothing is written.
    """
    node: uint256 = self._nodes[account]
    side: uint256 = (market << 1) | convert(size > 0, uint256)
    bucket: uint256 = 0
    if active != 0 and active & unsafe_sub(active, 1) == 0:
        code: uint256 = rank_grid.bucket_of(size, quote, index, cash)
        if code != rank_grid.APART:
            bucket = unsafe_add((side << 25) | code, 1)
    was: uint256 = self._bucket_in(node)
    if was != 0:
        if was == bucket:
            return
        self._unlink(account, node)
    else:
        # What is listed apart and does not belong there: all of it if there is a bucket.
        wrong: uint256 = node >> 64
        if bucket == 0:
            wrong &= ~active
        for _: uint256 in range(MAX_MARKETS):
            if wrong == 0:
                break
            self._leave(account, bits.lowest(wrong))
            wrong &= unsafe_sub(wrong, 1)
    if bucket != 0:
        self._link(account, bucket, rank_grid.place_of(bucket))
        return
    if was != 0:
        self._nodes[account] = 0
        was = unsafe_sub(was, 1) >> 25
        if (active >> (was >> 1)) & 1 == 1:
            self._join(account, was)
    if (active >> market) & 1 == 1:
        self._join(account, side)


@internal
def _link(account: uint256, bucket: uint256, place: uint256):
    """
    @notice Last in the bucket's list; `place` is the bucket with its edges.
    """
    key: uint256 = unsafe_sub(bucket, 1)
    word: uint256 = self._ticks[key >> 8]
    if word == 0:
        self._nodes[account] = place << PLACE_AT
        self._ticks[key >> 8] = ALONE | ((key & TICK) << TICK_AT) | account
        key >>= 8
        word = self._bands[key >> 8]
        self._bands[key >> 8] = word | (1 << (key & 255))
        if word == 0:
            key >>= 8
            self._cells[key >> 8] |= 1 << (key & 255)
        return
    if word & ALONE != 0:
        other: uint256 = word & ID
        tick: uint256 = (word >> TICK_AT) & TICK
        self._buckets[(key & ~convert(255, uint256)) | tick] = (other << 64) | other
        word = 1 << tick
    list: uint256 = self._buckets[key]
    last: uint256 = list & ID
    self._nodes[account] = (place << PLACE_AT) | (last << PREVIOUS_AT)
    if list != 0:
        self._nodes[last] |= account
        self._buckets[key] = (list & ~ID) | account
    else:
        self._buckets[key] = (account << 64) | account
    self._ticks[key >> 8] = word | (1 << (key & 255))


@internal
def _unlink(account: uint256, node: uint256):
    """
    @notice Out of its bucket; the caller overwrites the node.
    """
    key: uint256 = unsafe_sub(self._bucket_in(node), 1)
    word: uint256 = self._ticks[key >> 8]
    if word & ALONE == 0:
        previous: uint256 = (node >> PREVIOUS_AT) & NODE_ID
        after: uint256 = self._after(node)
        if previous != NOBODY:
            self._nodes[previous] = (self._nodes[previous] & ~NODE_ID) | after
        if after != NOBODY:
            self._nodes[after] = (self._nodes[after] & ~(NODE_ID << PREVIOUS_AT)) | (
                previous << PREVIOUS_AT
            )
        if previous != NOBODY and after != NOBODY:
            return
        list: uint256 = self._buckets[key]
        if previous == NOBODY:
            list = (after << 64) | (list & ID)
        if after == NOBODY:
            list = (list & (ID << 64)) | previous
        self._buckets[key] = list
        if list != 0:
            return
        word &= ~(1 << (key & 255))
    else:
        word = 0
    self._ticks[key >> 8] = word
    if word != 0:
        return
    key >>= 8
    word = self._bands[key >> 8] & ~(1 << (key & 255))
    self._bands[key >> 8] = word
    if word != 0:
        return
    key >>= 8
    self._cells[key >> 8] &= ~(1 << (key & 255))


@view
@internal
def _first_in(bucket: uint256) -> uint256:
    """
    @notice The first account of a bucket, or nobody.
    """
    word: uint256 = self._ticks[bucket >> 8]
    if word & ALONE == 0:
        return self._buckets[bucket] >> 64
    return word & ID if (word >> TICK_AT) & TICK == bucket & TICK else NOBODY


@internal
def _join(account: uint256, side: uint256):
    """
    @notice Into the list apart of a market's side, and out of that of the other side.
    """
    market: uint256 = side >> 1
    node: uint256 = self._nodes[account]
    if (node >> (64 + market)) & 1 == 1:
        if (node >> market) & 1 == side & 1:
            return
        self._leave(account, market)
        node = self._nodes[account]
    count: uint256 = self._apart_count[side]
    self._apart[side][count] = account
    count = unsafe_add(count, 1)
    self._apart_count[side] = count
    self._apart_place[account][market] = count
    self._nodes[account] = node | (((1 << 64) | (side & 1)) << market)


@internal
def _leave(account: uint256, market: uint256):
    node: uint256 = self._nodes[account]
    side: uint256 = (market << 1) | ((node >> market) & 1)
    place: uint256 = unsafe_sub(self._apart_place[account][market], 1)
    last: uint256 = unsafe_sub(self._apart_count[side], 1)
    moved: uint256 = self._apart[side][last]
    self._apart[side][place] = moved
    self._apart_place[moved][market] = unsafe_add(place, 1)
    self._apart[side][last] = 0
    self._apart_count[side] = last
    self._apart_place[account][market] = 0
    self._nodes[account] = node & ~(((1 << 64) | 1) << market)


# --- Ranking -------------------------------------------------------------------------------------


@view
@external
def is_allowed(market: uint256, winners_long: bool) -> bool:
    """
    @notice Always: no side is too large.
    """
    return True


@external
def begin(query: IRanking.Query):
    """
    @notice Deleverager only: starts over, with this query.
    @dev A query of the same round at a close price no better for the winners goes on where the last
         one was: who was out of profit there is so here, and what was opened stays in hand. So the
         losers next to the mark are passed once a round, not once a lot. Only where nobody has changed
         in between: who was filed anew since may be in a bucket that was passed.
    """
    self._require_deleverager()
    same: uint256 = (
        (convert(query.score, uint256) << 96)
        | (query.market << 88)
        | (convert(query.winners_long, uint256) << 87)
        | (query.mark << 63)
        | (query.epoch & (2**63 - 1))
    )
    terms: uint256 = self._terms
    nonce: uint256 = terms & (2**32 - 1)
    goes_on: bool = False
    if (
        query.undisturbed
        and self._query == same
        and (self._state != 0 or self._saved[0] & (2**32 - 1) == nonce)
    ):
        # Of 96 and 64 bits.
        ours: uint256 = unsafe_mul(query.numerator, (terms >> 96) & ID)
        theirs: uint256 = unsafe_mul(terms >> 160, query.denominator)
        goes_on = ours <= theirs if query.winners_long else ours >= theirs
        # Where winners gain against the mark a larger lot can make one eligible.
        goes_on = goes_on and query.size <= (terms >> 32) & ID
    if not goes_on:
        self._query = same
        nonce = unsafe_add(nonce, 1) & (2**32 - 1)
        self._state = 0
    self._terms = (
        (query.numerator << 160) | (query.denominator << 96) | (query.size << 32) | nonce
    )
    if goes_on:
        if self._state == 0:
            self._resume()
        else:
            # The close price is this lot's.
            limit: uint256 = self._limit_of(
                query.winners_long, query.numerator, query.denominator
            )
            self._packed = (self._packed & ~(ENTRIES << 32)) | (limit << 32)
        # Of those handed out only the last one can have something left.
        self._state |= AGAIN


@reentrant
@external
def next(max_steps: uint256) -> IRanking.Pick:
    """
    @notice Deleverager only: the next account in order, or nobody.
    @dev Without a lock: whatever it calls, it calls statically, so nothing that is called back in
         between can write here.
    """
    self._require_deleverager()
    if self._state == 0:
        self._resume()
    state: uint256 = self._state
    at: State = State(
        opened=state >> 224,
        handed=(state >> 176) & (2**48 - 1),
        account=(state >> 128) & (2**48 - 1),
        place=(state >> 96) & (2**32 - 1),
        hand=(state >> 64) & (2**16 - 1),
        waiting=(state >> 32) & (2**32 - 1),
        found=(state >> 80) & (2**16 - 1),
        credit=(state >> 8) & 255,
        owed=(state >> 16) & (2**16 - 1),
        wide=state & 16 != 0,
        left=state & 8 != 0,
        resumed=state & 4 != 0,
        aside=state & 2 != 0,
    )
    search: Search = self._search()
    if state & AGAIN != 0 and at.handed != NOBODY:
        again: Candidate = self._weigh(search, at.handed)
        if again.tie != 0:
            self._push_hand(again, at.hand, at.found)
            at.hand = unsafe_add(at.hand, 1)
            at.found = unsafe_add(at.found, 1)
            at.opened = unsafe_add(at.opened, 1)
    listed: uint256 = self._apart_count[search.side]
    apart: uint256 = self._outside(search.side, at.wide, listed)
    # The unopened with the highest bound; it may wait aside, above all in the heap.
    top: uint256 = 0
    if at.aside:
        top = self._aside
    elif at.waiting != 0:
        top = self._waiting[0]
    # The bucket at work, and its key plus 1.
    last: uint256 = 0
    bucket: uint256 = 0
    if at.account != NOBODY:
        last = self._last
        bucket = unsafe_add(self._bucket(search.side, last), 1)
    # The best in hand; above all in the heap as long as it is fresh.
    best: Candidate = empty(Candidate)
    is_fresh: bool = False
    if at.hand != 0:
        best = self._found[self._hand[0] & PLACE]
    steps: uint256 = at.owed
    at.owed = 0
    skips: uint256 = 0
    moved: bool = False
    for _: uint256 in range(MAX_TURNS):
        # The bucket at work, and who is apart, are unopened until they are done with. While they
        # are nobody in hand is above their bound, so only the slack could let one go.
        bound: uint256 = top >> 64
        look: bool = best.tie != 0
        if at.place < apart:
            bound = rank_grid.INFINITE
            look = False
        elif at.account != NOBODY:
            bound = last >> 64
            look = look and at.opened >= search.most
        # No exact answer below a bound, so no closer look at what is in hand.
        if look and (bound == 0 or best.score > bound or at.opened >= search.most):
            # 2: exactly, 1: within slack.
            proof: uint256 = self._proof(best, bound, at.left)
            if proof == 2 or (proof == 1 and at.opened >= search.most):
                winner: uint256 = ID - (best.tie & ID)
                if is_fresh:
                    is_fresh = False
                else:
                    at.hand = self._pop_hand(at.hand)
                    # Who was closed in part may be in hand once more, as it was before that.
                    if winner == at.handed or self._bucket_in(self._nodes[winner]) == 0:
                        now: Candidate = self._weigh(search, winner)
                        if now.tie == 0 or self._precedes(best, now):
                            if now.tie != 0:
                                self._push_hand(now, at.hand, at.found)
                                at.hand = unsafe_add(at.hand, 1)
                                at.found = unsafe_add(at.found, 1)
                            best = empty(Candidate)
                            if at.hand != 0:
                                best = self._found[self._hand[0] & PLACE]
                            continue
                        best = now
                exact: bool = proof == 2 and (at.wide or apart == listed)
                if proof == 2:
                    at.opened = 0
                at.handed = winner
                # Closing it takes a step, or three if it is apart: the caller may stop there.
                left: uint256 = max_steps - min(steps, max_steps)
                if left <= 3 and (left <= 1 or self._bucket_in(self._nodes[winner]) == 0):
                    self._save(search, at)
                else:
                    self._state = self._pack(at)
                return IRanking.Pick(
                    account=winner,
                    size=max_value(uint256),
                    score=best.score,
                    pnl=convert(best.tie >> 64, int256) - 2**128,
                    exact=exact,
                    steps=steps,
                    more=False,
                )
        if bound == 0:
            if not at.left:
                self._state = self._pack(at)
                return IRanking.Pick(
                    account=0, size=0, score=0, pnl=0, exact=True, steps=steps, more=False
                )
            # Nothing is unopened, but someone was left out: once more from the beginning.
            at = self._begun(search, at, at.wide)
            top = self._waiting[0] if at.waiting != 0 else 0
            best = empty(Candidate)
            is_fresh = False
            continue
        # Cells that were opened are not written down: a call that came no further goes on.
        if steps >= max_steps and (at.credit == 0 or at.place < apart) and (moved or max_steps == 0):
            break
        who: uint256 = NOBODY
        if at.place < apart:
            # It may have as many positions as there can be: whole steps.
            moved = True
            if at.wide:
                steps = unsafe_add(steps, 1)
                who = staticcall clearinghouse.holder_at(
                    search.side >> 1, search.prices.is_long, at.place
                )
                # Asked of a score contract, too.
                if self._bucket_in(self._nodes[who]) == 0:
                    steps = unsafe_add(steps, 2)
            else:
                steps = unsafe_add(steps, 2)
                who = self._apart[search.side][at.place]
            at.place = unsafe_add(at.place, 1)
        elif at.account == NOBODY and skips == MAX_SKIPS:
            at = self._begun(search, at, True)
            apart = self._outside(search.side, True, listed)
            top = 0
            best = empty(Candidate)
            is_fresh = False
        else:
            if at.account == NOBODY:
                # A bucket has someone in it, whose opening is what counts. Where the search was before
                # costs nothing either: else it might never come further.
                is_new: bool = not at.resumed or top | WAYS < self._passed
                is_bucket: bool = top & CELL == 0
                if is_new and is_bucket:
                    last = top | WAYS
                    self._last = last
                    bucket = self._bucket(search.side, top)
                    at.account = self._first_in(bucket)
                    bucket = unsafe_add(bucket, 1)
                else:
                    skips = unsafe_add(skips, 1)
                    if is_new:
                        if at.credit == 0:
                            steps = unsafe_add(steps, 1)
                            at.credit = LOOKS
                        at.credit = unsafe_sub(at.credit, 1)
                at.waiting, at.aside, top = self._advance(
                    search.prices, search.side, top, is_bucket, at.aside, at.waiting
                )
            # Its first account with it: that its bound is too high to hand anyone out is known.
            if at.account != NOBODY and (at.credit != 0 or steps < max_steps or not moved):
                moved = True
                if at.credit == 0:
                    steps = unsafe_add(steps, 1)
                    at.credit = LOOKS
                at.credit = unsafe_sub(at.credit, 1)
                node: uint256 = self._nodes[at.account]
                if self._bucket_in(node) == bucket:
                    who = at.account
                    at.account = self._after(node)
                else:
                    # It has left since. Its place in the list went with it: from the front again.
                    at.account = self._first_in(unsafe_sub(bucket, 1))
        if who != NOBODY:
            one: Candidate = self._weigh(search, who)
            if one.tie != 0:
                at.opened = unsafe_add(at.opened, 1)
                if best.tie == 0 or self._precedes(one, best):
                    # It stays outside of the heap, and who was there goes in.
                    now: Candidate = best
                    best = one
                    one = now
                    if not is_fresh:
                        is_fresh = True
                        continue
                rank: uint256 = self._push_hand(one, at.hand, at.found)
                at.found = unsafe_add(at.found, 1)
                # Who climbs past most of those in hand costs as much as another look.
                if rank < at.hand >> 3:
                    if at.credit == 0:
                        steps = unsafe_add(steps, 1)
                        at.credit = LOOKS
                    at.credit = unsafe_sub(at.credit, 1)
                at.hand = unsafe_add(at.hand, 1)
    if is_fresh:
        self._push_hand(best, at.hand, at.found)
        at.hand = unsafe_add(at.hand, 1)
    self._save(search, at)
    return IRanking.Pick(
        account=0, size=0, score=0, pnl=0, exact=False, steps=steps, more=True
    )


@view
@internal
def _outside(side: uint256, is_wide: bool, listed: uint256) -> uint256:
    """
    @notice How many accounts are opened one by one, whatever the bounds.
    """
    if is_wide:
        return staticcall clearinghouse.holder_count(side >> 1, side & 1 == 1)
    return min(listed, MAX_APART)


@view
@internal
def _proof(best: Candidate, bound: uint256, some_left: bool) -> uint256:
    """
    @return 2 if nobody unopened or left out can precede `best`, 1 if nobody has a score above
            1 + slack times its own, else 0.
    """
    left_out: Candidate = empty(Candidate)
    if some_left:
        left_out = self._left_out
    if (bound == 0 or (best.score > bound and bound < rank_grid.INFINITE)) and (
        left_out.tie == 0 or self._precedes(best, left_out)
    ):
        return 2
    if bound >= rank_grid.INFINITE:
        return 0
    most: uint256 = max(bound, left_out.score)
    if best.score >= most:
        return 1
    # Below 2^192 here, so the product has room.
    if most < 2**192 and best.score * (ONE + self.slack) >= most * ONE:
        return 1
    return 0


@internal
def _advance(
    prices: rank_grid.Prices,
    side: uint256,
    top: uint256,
    is_bucket: bool,
    is_aside: bool,
    waiting: uint256,
) -> (uint256, bool, uint256):
    """
    @notice Takes out the top of what waits: what is left of a bucket's band, or of a cell, takes its
            place, and the best bucket of the cell's next band comes in.
    @return How many are in the heap, whether a bucket waits aside, and what has the highest bound now.
    """
    count: uint256 = waiting
    place: uint256 = (top >> 10) & (2**17 - 1)
    cell: uint256 = place >> 8
    low: uint256 = 0
    high: uint256 = 0
    rest: uint256 = 0
    other: uint256 = 0
    if is_bucket:
        way: uint256 = top & WAYS
        if way != 0:
            low, high = rank_grid.cell_edges(cell)
            tick: uint256 = self._bucket(side, top) & 255
            within: uint256 = max_value(uint256) << tick
            if way == DOWN:
                within = ~within
            rest = self._take(prices, low, place, within, way)
        if is_aside:
            other = rest
        else:
            count = self._replace_top(rest, count)
    else:
        low, high = rank_grid.cell_edges(cell)
        bands: uint256 = self._bands_left[cell]
        bands &= unsafe_sub(bands, 1)
        self._bands_left[cell] = bands
        if bands != 0:
            rest = self._cell_bound(prices, low, high, cell, bands)
        count = self._replace_top(rest, count)
        # Who is out of profit at the close price is not looked at, but for the bucket that straddles it.
        ticks: uint256 = self._ticks[(side << 17) | place]
        if ticks & ALONE != 0:
            ticks = 1 << ((ticks >> TICK_AT) & TICK)
        if prices.limit < high if prices.is_long else prices.limit > low:
            below: uint256 = rank_grid.ticks_below(
                cell, place & 255, prices.limit, prices.is_long
            )
            if not prices.is_long:
                ticks = (ticks >> below) << below
            else:
                ticks &= ~(max_value(uint256) << below)
        if ticks & unsafe_sub(ticks, 1) == 0:
            # Mostly there is one bucket.
            self._ticks_left[place] = ticks
            other = self._take(prices, low, place, ticks, 0)
        else:
            other, count = self._part(prices, low, place, ticks, count)
    highest: uint256 = self._waiting[0] if count != 0 else 0
    if other > highest:
        # What is above the whole heap is the next to be opened: it need not go into it.
        self._aside = other
        return count, True, other
    return self._push_waiting(other, count), False, highest


@pure
@internal
def _bucket(side: uint256, top: uint256) -> uint256:
    """
    @notice The key of a bucket from what waits. Of equal bounds the higher code is opened first:
            that is the higher tick of longs and, turned round, the lower one of shorts.
    """
    code: uint256 = (side << 25) | ((top >> 2) & CODE)
    if side & 1 == 0:
        return code ^ 255
    return code


@view
@internal
def _cell_bound(
    prices: rank_grid.Prices, low: uint256, high: uint256, cell: uint256, bands: uint256
) -> uint256:
    """
    @notice What is left of a cell (some bands) waits with the bound of its lowest margin; 0: it does
            not.
    """
    band: uint256 = bits.lowest(bands)
    bound: uint256 = rank_grid.upper_bound(
        prices, low, high, rank_grid.margin_of(cell, band)
    )
    if bound == 0:
        return 0
    return (bound << 64) | CELL | (cell << 18) | (band << 10)


@internal
def _part(
    prices: rank_grid.Prices, start: uint256, place: uint256, ticks: uint256, waiting: uint256
) -> (uint256, uint256):
    """
    @notice Parts a band in a cell into runs of buckets, each of which waits with one bucket only: when
            that is opened the next one takes its place.
    @dev Where bounds fall with E (shorts by hyperliquid_docs, most longs by return x leverage) there is
         one run, from the lowest bucket up. Where they fall and then rise two runs, from either end,
         meet. Shorts by return x leverage have a turning point, from which bounds fall upwards and
         downwards; below the mark they are equal, or infinite at the lowest ticks, so there two
         runs meet again. So no bucket is above what waits of its band, and of equal ones the higher
         code waits first: keys are opened in falling order.
    @return The best of these buckets, and how many are in the heap with the others.
    """
    count: uint256 = waiting
    first: uint256 = 0
    falling: uint256 = max_value(uint256)
    margin: int256 = rank_grid.margin_of(place >> 8, place & 255)
    self._ticks_left[place] = ticks
    if prices.is_long:
        if rank_grid.may_rise(prices, margin):
            first = self._take(prices, start, place, falling, DOWN)
    else:
        turn: uint256 = rank_grid.turning_point(prices, margin)
        if turn >= start and turn != 0:
            falling <<= min(
                unsafe_add(
                    unsafe_sub(turn, start) >> rank_grid.width_of(place >> 8, place & 255), 1
                ),
                255,
            )
            if start < prices.mark:
                count = self._push_waiting(
                    self._take(prices, start, place, ~falling, UP), count
                )
            first = self._take(prices, start, place, ~falling, DOWN)
    other: uint256 = self._take(prices, start, place, falling, UP)
    return max(first, other), self._push_waiting(min(first, other), count)


@internal
def _take(
    prices: rank_grid.Prices, start: uint256, place: uint256, within: uint256, way: uint256
) -> uint256:
    """
    @notice The next bucket of a run waits, out of what is left of its band in a cell; 0: there is none.
    @param start E at which the cell begins.
    @param place The cell and the band.
    @param within Ticks at which the run goes on.
    """
    left: uint256 = self._ticks_left[place]
    rest: uint256 = left & within
    width: uint256 = rank_grid.width_of(place >> 8, place & 255)
    margin: int256 = rank_grid.margin_of(place >> 8, place & 255)
    for _: uint256 in range(256):
        if rest == 0:
            break
        tick: uint256 = bits.highest(rest) if way == DOWN else bits.lowest(rest)
        low: uint256 = unsafe_add(start, tick << width)
        bound: uint256 = rank_grid.upper_bound(
            prices, low, unsafe_add(low, 1 << width), margin
        )
        # Else nobody is in profit there at this lot's close price.
        if bound != 0:
            self._ticks_left[place] = left ^ (1 << tick)
            key: uint256 = (bound << 64) | (place << 10) | way
            return key | ((tick if prices.is_long else tick ^ 255) << 2)
        rest ^= 1 << tick
    return 0


@internal
def _resume():
    """
    @notice Fetches what was written down of this search, or begins it.
    """
    query: uint256 = self._query
    nonce: uint256 = self._terms & (2**32 - 1)
    epoch: uint256 = query & (2**63 - 1)
    header: uint256 = self._saved[0]
    begun: bool = header & (2**32 - 1) == nonce
    index: int256 = self._price_in(query)
    search: Search = self._search()
    at: State = empty(State)
    at.wide = search.prices.formula == rank_grid.UNKNOWN or (begun and header & WIDE != 0)
    at.waiting = self._restart(search, at.wide)
    if begun:
        # From here on the list apart may be put in another order by whoever is closed: if this
        # transaction ends without a word, the next one begins again.
        self._saved[0] = 0
        at.opened = (header >> 128) & (2**32 - 1)
        at.handed = (header >> 160) & (2**48 - 1)
        if convert(convert(self._saved[2], bytes32), int256) == index:
            # Other marks have moved since: who is apart is looked at again.
            if (header >> 32) & (2**48 - 1) == staticcall oracle.epoch():
                at.place = (header >> 96) & (2**32 - 1)
            self._last = self._saved[1]
            self._passed = self._last
            at.resumed = True
            at.account = header >> 208
            self._left_out = Candidate(score=self._saved[3], tie=self._saved[4])
            at.left = self._left_out.tie != 0
            count: uint256 = (header >> 80) & (2**15 - 1)
            # Eighths of a step.
            owed: uint256 = 0
            for i: uint256 in range(count, bound=KEPT):
                account: uint256 = (self._saved[5 + (i >> 2)] >> ((i & 3) << 6)) & ID
                owed += 1 if self._bucket_in(self._nodes[account]) != 0 else 16
                kept: Candidate = self._weigh(search, account)
                if kept.tie != 0:
                    self._push_hand(kept, at.hand, at.hand)
                    at.hand = unsafe_add(at.hand, 1)
            at.found = at.hand
            at.owed = owed >> 3
    self._state = self._pack(at)


@internal
def _price_in(query: uint256) -> int256:
    """
    @notice Packs what a search computes with, from the query and the oracle.
    @return The funding index of the market.
    """
    terms: uint256 = self._terms
    is_long: bool = (query >> 87) & 1 == 1
    price: int256 = convert((query >> 63) & (2**24 - 1), int256)
    mark: uint256 = 0
    is_fresh: bool = False
    index: int256 = 0
    mark, is_fresh, index = staticcall oracle.read((query >> 88) & 255)
    # p' is rounded against the winner: down for a long, up for a short. A price is below 2^24, an
    # index below 2^71: nothing here comes near the range.
    exact: int256 = unsafe_sub(unsafe_mul(price, SCALE), index) << 24
    shifted: int256 = unsafe_div(exact, SCALE)
    if is_long:
        if unsafe_mul(shifted, SCALE) > exact:
            shifted = unsafe_sub(shifted, 1)
    elif unsafe_mul(shifted, SCALE) < exact:
        shifted = unsafe_add(shifted, 1)
    inflows: bool = staticcall clearinghouse.inflow_epoch() >= query & (2**63 - 1)
    self._index = index
    self._packed = (
        (convert(unsafe_add(shifted, 2**71), uint256) << 110)
        | (((query >> 87) & 511) << 101)
        | (convert(inflows, uint256) << 100)
        | (self.formula[convert(query >> 96, address)] << 98)
        | (((query >> 63) & (2**24 - 1)) << 72)
        | (self._limit_of(is_long, terms >> 160, (terms >> 96) & ID) << 32)
        | self.max_open
    )
    return index


@view
@internal
def _search() -> Search:
    packed: uint256 = self._packed
    search: Search = empty(Search)
    search.most = packed & (2**32 - 1)
    search.inflows = (packed >> 100) & 1 == 1
    search.side = (packed >> 101) & 511
    search.prices.limit = (packed >> 32) & ENTRIES
    search.prices.mark = ((packed >> 72) & (2**24 - 1)) << 8
    search.prices.formula = (packed >> 98) & 3
    search.prices.is_long = search.side & 1 == 1
    search.prices.equity_mark = unsafe_sub(convert(packed >> 110, int256), 2**71)
    return search


@pure
@internal
def _limit_of(is_long: bool, numerator: uint256, denominator: uint256) -> uint256:
    """
    @notice The close price in 1/256 ticks, rounded outward: nobody in profit there is left out. At
            most 2^32, which no entry reaches.
    """
    # A numerator has 96 bits, and lots are not 0.
    limit: uint256 = unsafe_div(numerator << 8, denominator)
    if is_long and unsafe_mul(limit, denominator) != numerator << 8:
        limit = unsafe_add(limit, 1)
    return min(limit, rank_grid.MAX_ENTRY)


@internal
def _begun(search: Search, before: State, is_wide: bool) -> State:
    """
    @notice A search from the beginning, after one that came as far as `before`.
    """
    at: State = empty(State)
    at.opened = before.opened
    at.handed = before.handed
    at.credit = before.credit
    at.wide = is_wide
    at.waiting = self._restart(search, is_wide)
    return at


@internal
def _restart(search: Search, is_wide: bool) -> uint256:
    """
    @notice Nothing is opened, all cells that anyone in profit can be in wait.
    @return How many they are.
    """
    count: uint256 = 0
    self._last = 0
    if is_wide:
        return 0
    for sign: uint256 in range(2):
        cells: uint256 = self._cells[(search.side << 1) | sign]
        for _: uint256 in range(256):
            if cells == 0:
                break
            cell: uint256 = (sign << 8) | bits.lowest(cells)
            cells &= unsafe_sub(cells, 1)
            low: uint256 = 0
            high: uint256 = 0
            low, high = rank_grid.cell_edges(cell)
            if (
                low >= search.prices.limit
                if search.prices.is_long
                else high <= search.prices.limit
            ):
                continue
            bands: uint256 = self._bands[(search.side << 9) | cell]
            self._bands_left[cell] = bands
            count = self._push_waiting(
                self._cell_bound(search.prices, low, high, cell, bands), count
            )
    return count


@internal
def _save(search: Search, at: State):
    """
    @notice Writes the search down: how far it came, and the best in hand. Who is left out is noted
            by the best of them.
    """
    left_out: Candidate = empty(Candidate)
    if at.left:
        left_out = self._left_out
    in_hand: uint256 = at.hand
    count: uint256 = 0
    apart: uint256 = 0
    word: uint256 = 0
    for _: uint256 in range(KEPT):
        if in_hand == 0:
            break
        account: uint256 = ID - (self._found[self._hand[0] & PLACE].tie & ID)
        if self._bucket_in(self._nodes[account]) == 0:
            if apart == KEPT_APART:
                break
            apart += 1
        in_hand = self._pop_hand(in_hand)
        word |= account << ((count & 3) << 6)
        count += 1
        if count & 3 == 0:
            self._saved[4 + (count >> 2)] = word
            word = 0
    if word != 0:
        self._saved[5 + (count >> 2)] = word
    if in_hand != 0:
        dropped: Candidate = self._found[self._hand[0] & PLACE]
        if left_out.tie == 0 or self._precedes(dropped, left_out):
            left_out = dropped
    passed: uint256 = self._passed if at.resumed else max_value(uint256)
    last: uint256 = self._last
    self._saved[0] = (
        (at.account << 208)
        | (at.handed << 160)
        | (min(at.opened, 2**32 - 1) << 128)
        | (at.place << 96)
        | (count << 80)
        | (WIDE if at.wide else 0)
        | ((staticcall oracle.epoch() & (2**48 - 1)) << 32)
        | (self._terms & (2**32 - 1))
    )
    self._saved[1] = min(last, passed) if last != 0 else passed
    self._saved[2] = convert(convert(self._index, bytes32), uint256)
    self._saved[3] = left_out.score
    self._saved[4] = left_out.tie
    # If the caller goes on in this transaction after all: as another transaction would.
    self._state = 0


@pure
@internal
def _pack(at: State) -> uint256:
    return (
        (at.opened << 224)
        | (at.handed << 176)
        | (at.account << 128)
        | (at.place << 96)
        | (at.hand << 64)
        | (at.found << 80)
        | (at.waiting << 32)
        | (at.owed << 16)
        | (at.credit << 8)
        | (convert(at.wide, uint256) << 4)
        | (convert(at.left, uint256) << 3)
        | (convert(at.resumed, uint256) << 2)
        | (convert(at.aside, uint256) << 1)
        | 1
    )


@view
@internal
def _weigh(search: Search, account: uint256) -> Candidate:
    """
    @notice The account's place in the order, from live state; tie 0 if it is not eligible.
    """
    stake: IClearinghouse.Stake = staticcall clearinghouse.stake(account, search.side >> 1)
    terms: uint256 = self._terms
    mark: uint256 = search.prices.mark >> 8
    if not eligibility.is_eligible(
        stake.size,
        stake.quote,
        stake.equity,
        search.prices.is_long,
        mark,
        terms >> 160,
        (terms >> 96) & ID,
        (terms >> 32) & ID,
    ):
        return empty(Candidate)
    if search.inflows:
        # What came in during the round's epoch lowers no score; what can be borne is real.
        epoch: uint256 = self._query & (2**63 - 1)
        inflow: int256 = convert(staticcall clearinghouse.inflow(account, epoch), int256)
        stake.equity -= inflow
        stake.cash -= inflow
    pnl: int256 = unsafe_add(unsafe_mul(stake.size, convert(mark, int256)), stake.quote)
    score: uint256 = 0
    if search.prices.formula == rank_grid.UNKNOWN:
        margin: IClearinghouse.Margin = staticcall clearinghouse.margin(account)
        score, pnl = scoring.of_position(
            convert(self._query >> 96, address),
            stake.size,
            stake.quote,
            mark,
            stake.equity,
            stake.cash,
            margin.maintenance,
        )
        if score == 0:
            return empty(Candidate)
    else:
        score = self._known_score(
            search.prices.formula, mark, stake.size, stake.quote, stake.equity, pnl
        )
    # |pnl| < 2^80.
    return Candidate(
        score=score,
        tie=(convert(unsafe_add(pnl, 2**128), uint256) << 64) | unsafe_sub(ID, account),
    )


@pure
@internal
def _known_score(
    formula: uint256,
    mark: uint256,
    size: int256,
    quote: int256,
    equity_: int256,
    pnl: int256,
) -> uint256:
    """
    @notice What the score contract answers, without asking it: `scores/HyperliquidDocs.vy` and
            `scores/ReturnXLeverage.vy`, line by line.
    @dev By the ledger's bounds a notional and a profit are below 2^80 and an equity below 2^129: no
         product reaches 2^220.
    """
    if equity_ <= 0:
        return max_value(uint256)
    equity: uint256 = convert(equity_, uint256)
    entry_notional: uint256 = convert(abs(quote), uint256)
    notional: uint256 = unsafe_mul(convert(abs(size), uint256), mark)
    if formula == rank_grid.DOCS:
        if size < 0:
            return max(unsafe_div(unsafe_mul(entry_notional, ONE), equity), 1)
        notional = unsafe_mul(notional, notional)
    elif pnl <= 0:
        return 1
    else:
        notional = unsafe_mul(notional, convert(pnl, uint256))
    weight: uint256 = unsafe_mul(max(entry_notional, 1), equity)
    return max(unsafe_div(unsafe_mul(notional, ONE), weight), 1)


@internal
def _require_deleverager():
    if self._asker != msg.sender:
        checks.require(
            msg.sender == staticcall clearinghouse.deleverager(), "ranking: deleverager only"
        )
        self._asker = msg.sender


# --- Two heaps: who is in hand, and what waits ----------------------------------------------------


@pure
@internal
def _precedes(one: Candidate, other: Candidate) -> bool:
    """
    @notice Exact order: higher score, then higher profit, then lower account id.
    """
    if one.score != other.score:
        return one.score > other.score
    return one.tie > other.tie


@internal
def _push_hand(candidate: Candidate, count: uint256, number: uint256) -> uint256:
    """
    @param count How many are in hand.
    @param number Where it is noted: how many have been taken in hand before.
    @return How far it climbed: its place in the heap.
    """
    self._found[number] = candidate
    key: uint256 = (min(candidate.score, rank_grid.INFINITE) << 64) | number
    place: uint256 = count
    for _: uint256 in range(64):
        if place == 0:
            break
        parent: uint256 = unsafe_sub(place, 1) >> 1
        above: uint256 = self._hand[parent]
        if (key ^ above) >> 64 == 0:
            if not self._precedes(candidate, self._found[above & PLACE]):
                break
        elif key < above:
            break
        self._hand[place] = above
        place = parent
    self._hand[place] = key
    return place


@internal
def _pop_hand(before: uint256) -> uint256:
    """
    @notice Takes the best one out.
    @return How many are left.
    """
    count: uint256 = unsafe_sub(before, 1)
    if count == 0:
        return 0
    key: uint256 = self._hand[count]
    place: uint256 = 0
    for _: uint256 in range(64):
        child: uint256 = unsafe_add(place << 1, 1)
        if child >= count:
            break
        better: uint256 = self._hand[child]
        right: uint256 = unsafe_add(child, 1)
        if right < count:
            other: uint256 = self._hand[right]
            if other > better if (other ^ better) >> 64 != 0 else self._wins_tie(other, better):
                better = other
                child = right
        if key > better if (key ^ better) >> 64 != 0 else self._wins_tie(key, better):
            break
        self._hand[place] = better
        place = child
    self._hand[place] = key
    return count


@view
@internal
def _wins_tie(one: uint256, other: uint256) -> bool:
    """
    @notice Whether one of two in hand with equal bits of the score precedes the other.
    """
    return self._precedes(self._found[one & PLACE], self._found[other & PLACE])


@internal
def _push_waiting(key: uint256, count: uint256) -> uint256:
    """
    @notice Adds a key; none if it is 0.
    @return How many are in the heap now; so below.
    """
    if key == 0:
        return count
    place: uint256 = count
    for _: uint256 in range(64):
        if place == 0:
            break
        parent: uint256 = unsafe_sub(place, 1) >> 1
        above: uint256 = self._waiting[parent]
        if key <= above:
            break
        self._waiting[place] = above
        place = parent
    self._waiting[place] = key
    return unsafe_add(count, 1)


@internal
def _replace_top(by: uint256, before: uint256) -> uint256:
    """
    @notice Takes the key with the highest bound out, and puts `by` in (nothing if it is 0).
    """
    count: uint256 = before
    key: uint256 = by
    if by == 0:
        count = unsafe_sub(count, 1)
        if count == 0:
            return 0
        key = self._waiting[count]
    place: uint256 = 0
    for _: uint256 in range(64):
        child: uint256 = unsafe_add(place << 1, 1)
        if child >= count:
            break
        better: uint256 = self._waiting[child]
        right: uint256 = unsafe_add(child, 1)
        if right < count:
            other: uint256 = self._waiting[right]
            if other > better:
                better = other
                child = right
        if better <= key:
            break
        self._waiting[place] = better
        place = child
    self._waiting[place] = key
    return count


# --- Views ---------------------------------------------------------------------------------------


@view
@external
def is_complete(market: uint256, is_long: bool) -> bool:
    """
    @notice Whether a search of this side leaves nobody out: accounts of one market are always
            filed, and those apart are looked at one by one, 10,000 of them at most.
    """
    return self._apart_count[(market << 1) | convert(is_long, uint256)] <= MAX_APART


@view
@external
def is_queue() -> bool:
    """
    @notice It closes from the top of a ranking.
    """
    return True


@view
@external
def apart_count(market: uint256, is_long: bool) -> uint256:
    """
    @notice Accounts of a side that are looked at one by one in every search.
    """
    return self._apart_count[(market << 1) | convert(is_long, uint256)]


@view
@external
def bucket_of(account: uint256) -> uint256:
    """
    @notice Where an account is filed: (market * 2 + side) * 2^25 + cell * 2^16 + band * 2^8 + tick,
            plus 1; 0: not in a bucket.
    """
    return self._bucket_in(self._nodes[account])


# --- A node --------------------------------------------------------------------------------------


@pure
@internal
def _bucket_in(node: uint256) -> uint256:
    """
    @notice Key of the bucket that a node is in, plus 1; 0: in none.
    """
    return node >> BUCKET_AT


@pure
@internal
def _after(node: uint256) -> uint256:
    """
    @notice The next account in the node's bucket, or nobody.
    """
    return node & NODE_ID
