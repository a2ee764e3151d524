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
            step       one account opened, or one cell of buckets; two for an account apart, each of whose
                       positions is read
            exact      the account handed out precedes everyone else who is eligible

        A search opens the bucket with the highest bound until the best in hand is strictly above
        all that is unopened; only then that account is handed out. So an order cannot be wrong by
        a filing: a bucket only says in which order to look. If `max_open` eligible accounts were
        opened since the last exact answer, the search goes on with `slack`: the best in hand is handed out if
        its score times 1 + slack reaches every unopened bound, and the answer says it is not
        exact.

        Accounts apart are opened first, all of them (10,000 at most), in every search: those in
        several markets move with marks that are not this market's, so whatever they were filed by
        would be out of date, and a look at each is exact. It costs a step each, which who trades
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
# In the header: every holder is opened.
WIDE: constant(uint256) = 2**95
ONE: constant(uint256) = 10**18
SCALE: constant(int256) = 10**9
ID: constant(uint256) = 2**64 - 1
NOBODY: constant(uint256) = 0

# Kinds of what waits to be opened; the coarser first where bounds are equal.
BUCKET: constant(uint256) = 0
CELL: constant(uint256) = 1
# Sets the keys of cells apart from those of bands.
CELLS: constant(uint256) = 2**32
# Cell, band and tick of a bucket.
CODE: constant(uint256) = 2**25 - 1


# All that a search computes with.
struct Search:
    # market * 2 + (1 if the winners are long).
    side: uint256
    market: uint256
    mark: uint256
    numerator: uint256
    denominator: uint256
    size: uint256
    score: address
    nonce: uint256
    index: int256
    # Of the round: what came in since then lowers no score.
    epoch: uint256
    inflows: bool
    prices: rank_grid.Prices


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
_ticks: HashMap[uint256, uint256]
# First account 64 | last account 64.
_buckets: HashMap[uint256, uint256]
# Bucket + 1 128 | previous account 64 | next account 64; 0: not in a bucket.
_nodes: HashMap[uint256, uint256]
_apart_count: HashMap[uint256, uint256]
_apart: HashMap[uint256, HashMap[uint256, uint256]]
# Markets in which an account is listed apart; by market its (place * 2 + side) + 1.
_apart_markets: HashMap[uint256, uint256]
_apart_place: HashMap[uint256, HashMap[uint256, uint256]]

# --- The query: score 160 | market 8 | long 1 | mark 24 | epoch 63; numerator 96 | denominator 64 |
# size 64 | number of the search 32.
_query: uint256
_terms: uint256
# The search as written down: 0 header, 1 the last bucket opened, 2 funding index, 3 and 4 the best
# that was left out, 5 .. the accounts in hand. Header: next in the bucket 48 | handed out last 48 |
# opened 32 | apart 32 | wide 1 | candidates 15 | epoch 48 | number of the search 32.
_saved: HashMap[uint256, uint256]

# --- The search at work.
_live: transient(uint256)
# Who has been seen to be the deleverager.
_asker: transient(address)
# Formula, limit and p' of the search.
_formula: transient(uint256)
_limit: transient(uint256)
_equity_mark: transient(int256)
_opened: transient(uint256)
# True if every holder is opened, from the clearinghouse's list, and no bucket.
_wide: transient(bool)
_apart_next: transient(uint256)
# Bucket at work, its bound * 2^64 + code, and its next account.
_last: transient(uint256)
_next: transient(uint256)
# Buckets from here up were opened before.
_passed: transient(uint256)
# Steps for weighing again what was kept, not yet in an answer.
_owed: transient(uint256)
# Handed out last: only this one may have something left.
_handed: transient(uint256)
_index: transient(int256)
# Somebody in a position has had an inflow in the round's epoch.
_inflows: transient(bool)
_left_out: transient(Candidate)
_wait_count: transient(uint256)
_waiting: transient(uint256[MAX_IN_HEAP])
# What is left to open of a cell (bands), and of a band of a cell (ticks).
_rest: transient(HashMap[uint256, uint256])
_hand_count: transient(uint256)
_hand: transient(Candidate[MAX_IN_HEAP])


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
    assert slack <= ONE, "ranking: slack above one"
    assert max_open < 2**32, "ranking: limit out of range"
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
    assert formula <= rank_grid.RETURN_X_LEVERAGE, "ranking: unknown formula"
    self.formula[score] = formula
    # A search that was written down went by the other bounds: it begins again.
    self._saved[0] = 0
    log FormulaSet(score=score, formula=formula)


# --- Filing --------------------------------------------------------------------------------------


@external
def touch(account: uint256, active: uint256, market: uint256, word: uint256, cash: int256):
    """
    @notice Clearinghouse only: what a trader's account holds after a change.
    @param active Bit m is set while it has a position in market m.
    @param market Its only market, or else the one whose position changed.
    @param word Its position there, packed.
    """
    assert msg.sender == clearinghouse.address, "ranking: clearinghouse only"
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
    assert staticcall clearinghouse.is_trader(account), "ranking: not a trader's account"
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
        legs &= legs - 1
        position: IClearinghouse.Position = staticcall clearinghouse.position(account, market)
        self._file(
            account, active, market, position.size, position.quote, position.index, cash
        )


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
    @dev In a bucket or apart, never both. Where the bucket stays nothing is written.
    """
    node: uint256 = self._nodes[account]
    is_single: bool = active != 0 and active & (active - 1) == 0
    side: uint256 = 2 * market + (1 if size > 0 else 0)
    bucket: uint256 = 0
    if is_single:
        code: uint256 = rank_grid.bucket_of(size, quote, index, cash)
        if code != rank_grid.APART:
            bucket = ((side << 25) | code) + 1
            if node >> 128 == bucket:
                return
    if node != 0:
        self._unlink(account, node)
    elif active != 0 or self._apart_markets[account] != 0:
        # What is listed apart and does not belong there: all of it if there is a bucket.
        wrong: uint256 = self._apart_markets[account]
        if bucket == 0:
            wrong &= ~active
        for _: uint256 in range(MAX_MARKETS):
            if wrong == 0:
                break
            self._leave(account, bits.lowest(wrong))
            wrong &= wrong - 1
    if bucket != 0:
        self._link(account, bucket)
        return
    if node != 0:
        self._nodes[account] = 0
        was: uint256 = ((node >> 128) - 1) >> 25
        if (active >> (was >> 1)) & 1 == 1:
            self._join(account, was)
    if (active >> market) & 1 == 1:
        self._join(account, side)


@internal
def _link(account: uint256, bucket: uint256):
    """
    @notice Last in the bucket's list.
    """
    key: uint256 = bucket - 1
    list: uint256 = self._buckets[key]
    last: uint256 = list & ID
    self._nodes[account] = (bucket << 128) | (last << 64)
    if list != 0:
        self._nodes[last] |= account
        self._buckets[key] = (list & ~ID) | account
        return
    self._buckets[key] = (account << 64) | account
    word: uint256 = self._ticks[key >> 8]
    self._ticks[key >> 8] = word | (1 << (key & 255))
    if word != 0:
        return
    key >>= 8
    word = self._bands[key >> 8]
    self._bands[key >> 8] = word | (1 << (key & 255))
    if word != 0:
        return
    key >>= 8
    self._cells[key >> 8] |= 1 << (key & 255)


@internal
def _unlink(account: uint256, node: uint256):
    """
    @notice Out of its bucket; the caller overwrites the node.
    """
    key: uint256 = (node >> 128) - 1
    previous: uint256 = (node >> 64) & ID
    after: uint256 = node & ID
    if previous != NOBODY:
        self._nodes[previous] = (self._nodes[previous] & ~ID) | after
    if after != NOBODY:
        self._nodes[after] = (self._nodes[after] & ~(ID << 64)) | (previous << 64)
    if previous != NOBODY and after != NOBODY:
        return
    list: uint256 = self._buckets[key]
    if previous == NOBODY:
        list = (after << 64) | (list & ID)
    if after == NOBODY:
        list = (list & (ID << 64)) | previous
    if previous != NOBODY or after != NOBODY:
        self._buckets[key] = list
        return
    self._buckets[key] = 0
    word: uint256 = self._ticks[key >> 8] & ~(1 << (key & 255))
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


@internal
def _join(account: uint256, side: uint256):
    """
    @notice Into the list apart of a market's side, and out of that of the other side.
    """
    market: uint256 = side >> 1
    place: uint256 = self._apart_place[account][market]
    if place != 0:
        if (place - 1) & 1 == side & 1:
            return
        self._leave(account, market)
    count: uint256 = self._apart_count[side]
    self._apart[side][count] = account
    self._apart_count[side] = count + 1
    self._apart_place[account][market] = (count << 1 | (side & 1)) + 1
    self._apart_markets[account] |= 1 << market


@internal
def _leave(account: uint256, market: uint256):
    place: uint256 = self._apart_place[account][market] - 1
    side: uint256 = 2 * market + (place & 1)
    last: uint256 = self._apart_count[side] - 1
    moved: uint256 = self._apart[side][last]
    self._apart[side][place >> 1] = moved
    self._apart_place[moved][market] = place + 1
    self._apart[side][last] = 0
    self._apart_count[side] = last
    self._apart_place[account][market] = 0
    self._apart_markets[account] &= ~(1 << market)


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
    if query.undisturbed and self._query == same and (
        self._live == nonce or self._saved[0] & (2**32 - 1) == nonce
    ):
        ours: uint256 = query.numerator * ((terms >> 96) & ID)
        theirs: uint256 = (terms >> 160) * query.denominator
        goes_on = ours <= theirs if query.winners_long else ours >= theirs
        # Where winners gain against the mark a larger lot can make one eligible.
        goes_on = goes_on and query.size <= (terms >> 32) & ID
    if not goes_on:
        self._query = same
        nonce = (nonce + 1) & (2**32 - 1)
    self._terms = (
        (query.numerator << 160) | (query.denominator << 96) | (query.size << 32) | nonce
    )
    if goes_on:
        search: Search = self._search()
        if self._live == nonce:
            # The close price is this lot's.
            search.prices.limit = self._limit_of(search)
            self._limit = search.prices.limit
        else:
            self._resume(search)
        # Of those handed out only the last one can have something left.
        if self._handed != NOBODY:
            self._open(search, self._handed)


@external
def next(max_steps: uint256) -> IRanking.Pick:
    """
    @notice Deleverager only: the next account in order, or nobody.
    """
    self._require_deleverager()
    search: Search = self._search()
    if self._live != search.nonce:
        self._resume(search)
    steps: uint256 = self._owed
    self._owed = 0
    apart: uint256 = self._outside(search)
    skips: uint256 = 0
    moved: bool = False
    limit: uint256 = self.max_open
    for _: uint256 in range(MAX_TURNS):
        # The bucket at work, and who is apart, are unopened until they are done with. While they
        # are nobody in hand is above their bound, so only the slack could let one go.
        place: uint256 = 0
        if apart != 0:
            place = self._apart_next
        account: uint256 = self._next
        bound: uint256 = 0
        top: uint256 = 0
        look: bool = False
        if place < apart:
            bound = rank_grid.INFINITE
        elif account != NOBODY:
            bound = self._last >> 64
            look = self._opened >= limit
        else:
            if self._wait_count != 0:
                top = self._waiting[0]
                bound = top >> 64
            look = True
        score: uint256 = 0
        if look and self._hand_count != 0:
            score = self._hand[0].score
        # No exact answer below a bound, so no closer look at what is in hand.
        if score != 0 and (bound == 0 or score > bound or self._opened >= limit):
            best: Candidate = self._hand[0]
            # 2: exactly, 1: within slack.
            proof: uint256 = self._proof(best, bound)
            if proof == 2 or (proof == 1 and self._opened >= limit):
                winner: uint256 = ID - (best.tie & ID)
                self._pop_hand()
                if self._nodes[winner] == 0:
                    now: Candidate = self._weigh(search, winner)
                    if now.tie == 0:
                        continue
                    if self._precedes(best, now):
                        self._push_hand(now)
                        continue
                    best = now
                exact: bool = proof == 2 and (
                    self._wide or apart == self._apart_count[search.side]
                )
                if proof == 2:
                    self._opened = 0
                self._handed = winner
                if max_steps - min(steps, max_steps) <= 1:
                    self._save(search)
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
            if self._left_out.tie == 0:
                return IRanking.Pick(
                    account=0, size=0, score=0, pnl=0, exact=True, steps=steps, more=False
                )
            # Nothing is unopened, but someone was left out: once more from the beginning.
            self._restart(search)
            continue
        # Cells that were opened are not written down: a call that came no further goes on.
        if steps >= max_steps and (moved or max_steps == 0):
            break
        if place < apart:
            moved = True
            steps += 1
            self._apart_next = place + 1
            if self._wide:
                account = staticcall clearinghouse.holder_at(
                    search.market, search.prices.is_long, place
                )
                # Asked of a score contract, too.
                if self._nodes[account] == 0:
                    steps += 2
                self._open(search, account)
            else:
                steps += 1
                self._open(search, self._apart[search.side][place])
        elif account != NOBODY:
            moved = True
            steps += 1
            self._open_next(search, account)
        elif skips == MAX_SKIPS:
            self._wide = True
            self._restart(search)
            apart = self._outside(search)
        else:
            # A bucket has someone in it, whose opening is the step. Where the search was before costs
            # none either: else it might never come further.
            passed: uint256 = self._passed
            if (top & ID) >> 32 == BUCKET and top < passed:
                moved = True
            else:
                skips += 1
                if top < passed:
                    steps += 1
            self._advance(search, top, passed)
            # Its first account with it: that its bound is too high to hand anyone out is known.
            account = self._next
            if account != NOBODY and steps < max_steps:
                moved = True
                steps += 1
                self._open_next(search, account)
    self._save(search)
    return IRanking.Pick(
        account=0, size=0, score=0, pnl=0, exact=False, steps=steps, more=True
    )


@view
@internal
def _outside(search: Search) -> uint256:
    """
    @notice How many accounts are opened one by one, whatever the bounds.
    """
    if self._wide:
        return staticcall clearinghouse.holder_count(search.market, search.prices.is_long)
    return min(self._apart_count[search.side], MAX_APART)


@view
@internal
def _proof(best: Candidate, bound: uint256) -> uint256:
    """
    @return 2 if nobody unopened or left out can precede `best`, 1 if nobody has a score above
            1 + slack times its own, else 0.
    """
    left_out: Candidate = self._left_out
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
def _open_next(search: Search, account: uint256):
    """
    @notice Opens the next account of the bucket at work.
    """
    node: uint256 = self._nodes[account]
    bucket: uint256 = self._bucket(search, self._last) + 1
    if node >> 128 != bucket:
        # It has left since. Its place in the list went with it: from the front again.
        self._next = self._buckets[bucket - 1] >> 64
        return
    self._next = node & ID
    self._open(search, account)


@internal
def _open(search: Search, account: uint256):
    candidate: Candidate = self._weigh(search, account)
    if candidate.tie != 0:
        self._opened += 1
        self._push_hand(candidate)


@internal
def _advance(search: Search, top: uint256, passed: uint256):
    """
    @notice Takes the top of what waits: a bucket becomes the one at work, a cell gives its next
            band. Its place is taken by what is left of it.
    """
    code: uint256 = top & ID
    cell: uint256 = (code >> 16) & 511
    if code >> 32 == BUCKET:
        key: uint256 = self._bucket(search, code)
        ticks: uint256 = self._rest[key >> 8] & ~(1 << (key & 255))
        self._replace_top(self._best_bucket(search, cell, (code >> 8) & 255, ticks))
        if top < passed:
            self._last = top
            self._next = self._buckets[key] >> 64
        return
    bands: uint256 = self._rest[cell | CELLS]
    band: uint256 = bits.lowest(bands)
    bands &= bands - 1
    self._rest[cell | CELLS] = bands
    self._replace_top(self._cell_bound(search, cell, bands))
    # Who is out of profit at the close price is not looked at, but for the bucket that straddles it.
    count: uint256 = rank_grid.ticks_below(
        cell, band, search.prices.limit, search.prices.is_long
    )
    below: uint256 = max_value(uint256) if count >= 256 else (1 << count) - 1
    self._push_waiting(
        self._best_bucket(
            search,
            cell,
            band,
            self._ticks[(search.side << 17) | (cell << 8) | band]
            & (below if search.prices.is_long else ~below),
        )
    )


@pure
@internal
def _bucket(search: Search, code: uint256) -> uint256:
    """
    @notice The key of a bucket from what waits. Of equal bounds the higher code is opened first:
            that is the higher tick of longs and, turned round, the lower one of shorts.
    """
    return (search.side << 25) | ((code & CODE) ^ (0 if search.prices.is_long else 255))


@view
@internal
def _cell_bound(search: Search, cell: uint256, bands: uint256) -> uint256:
    """
    @notice What is left of a cell waits with the bound of its lowest margin; 0: it does not.
    """
    if bands == 0:
        return 0
    low: uint256 = 0
    high: uint256 = 0
    low, high = rank_grid.cell_edges(cell)
    bound: uint256 = rank_grid.upper_bound(
        search.prices, low, high, rank_grid.margin_of(cell, bits.lowest(bands))
    )
    if bound == 0:
        return 0
    return (bound << 64) | (CELL << 32) | (cell << 16)


@internal
def _best_bucket(search: Search, cell: uint256, band: uint256, ticks: uint256) -> uint256:
    """
    @notice Of what is left of a band in a cell the bucket with the highest bound waits; 0: nothing
            is left.
    @dev With E the bounds of longs fall, or fall and rise: it is the first or the last one. Those
         of shorts fall; by return x leverage they may rise up to a turning point first (and be
         infinite before): it is the first one, or one next to that point.
    """
    rest: uint256 = ticks
    margin: int256 = rank_grid.margin_of(cell, band)
    turn: uint256 = rank_grid.turning_point(search.prices, margin)
    top: uint256 = 0
    for _: uint256 in range(256):
        if rest == 0:
            break
        chosen: uint256 = rest & (~rest + 1)
        if search.prices.is_long:
            chosen |= 1 << bits.highest(rest)
        elif turn != 0:
            count: uint256 = rank_grid.ticks_below(cell, band, turn + 1, True)
            below: uint256 = max_value(uint256) if count >= 256 else (1 << count) - 1
            if rest & below != 0:
                chosen |= 1 << bits.highest(rest & below)
            if rest & ~below != 0:
                chosen |= 1 << bits.lowest(rest & ~below)
        before: uint256 = rest
        top = 0
        for __: uint256 in range(3):
            if chosen == 0:
                break
            tick: uint256 = bits.lowest(chosen)
            chosen &= chosen - 1
            low: uint256 = 0
            high: uint256 = 0
            low, high = rank_grid.bucket_edges(cell, band, tick)
            bound: uint256 = rank_grid.upper_bound(search.prices, low, high, margin)
            if bound == 0:
                rest &= ~(1 << tick)
            else:
                code: uint256 = self._bucket(search, (cell << 16) | (band << 8) | tick)
                top = max(top, (bound << 64) | (code & CODE))
        if rest == before:
            break
    self._rest[(search.side << 17) | (cell << 8) | band] = rest
    return top if rest != 0 else 0


@internal
def _resume(search: Search):
    """
    @notice Fetches what was written down of this search, or begins it.
    """
    header: uint256 = self._saved[0]
    begun: bool = header & (2**32 - 1) == search.nonce
    self._wide = search.prices.formula == rank_grid.UNKNOWN or (begun and header & WIDE != 0)
    self._restart(search)
    self._live = search.nonce
    self._formula = search.prices.formula
    self._limit = search.prices.limit
    self._equity_mark = search.prices.equity_mark
    self._opened = 0
    self._handed = NOBODY
    if not begun:
        return
    opened: uint256 = (header >> 128) & (2**32 - 1)
    self._opened = opened
    self._handed = (header >> 160) & (2**48 - 1)
    if convert(convert(self._saved[2], bytes32), int256) != search.index:
        return
    # Other marks have moved since: who is apart is looked at again.
    if (header >> 32) & (2**48 - 1) == staticcall oracle.epoch():
        self._apart_next = (header >> 96) & (2**32 - 1)
    self._last = self._saved[1]
    self._passed = self._last
    self._next = header >> 208
    self._left_out = Candidate(score=self._saved[3], tie=self._saved[4])
    count: uint256 = (header >> 80) & (2**15 - 1)
    # Eighths of a step.
    owed: uint256 = 0
    for i: uint256 in range(count, bound=KEPT):
        account: uint256 = (self._saved[5 + (i >> 2)] >> ((i & 3) << 6)) & ID
        owed += 1 if self._nodes[account] != 0 else 16
        self._open(search, account)
    self._opened = opened
    self._owed = owed >> 3


@internal
def _restart(search: Search):
    """
    @notice Nothing is opened, all cells that anyone in profit can be in wait.
    """
    self._index = search.index
    self._inflows = search.inflows
    self._apart_next = 0
    self._last = 0
    self._next = NOBODY
    self._passed = max_value(uint256)
    self._left_out = empty(Candidate)
    self._wait_count = 0
    self._hand_count = 0
    if self._wide:
        return
    for sign: uint256 in range(2):
        cells: uint256 = self._cells[(search.side << 1) | sign]
        for _: uint256 in range(256):
            if cells == 0:
                break
            cell: uint256 = (sign << 8) | bits.lowest(cells)
            cells &= cells - 1
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
            self._rest[cell | CELLS] = bands
            self._push_waiting(self._cell_bound(search, cell, bands))


@internal
def _save(search: Search):
    """
    @notice Writes the search down: how far it came, and the best in hand. Who is left out is noted
            by the best of them.
    """
    count: uint256 = 0
    apart: uint256 = 0
    word: uint256 = 0
    for _: uint256 in range(KEPT):
        if self._hand_count == 0:
            break
        account: uint256 = ID - (self._hand[0].tie & ID)
        if self._nodes[account] == 0:
            if apart == KEPT_APART:
                break
            apart += 1
        self._pop_hand()
        word |= account << ((count & 3) << 6)
        count += 1
        if count & 3 == 0:
            self._saved[4 + (count >> 2)] = word
            word = 0
    if word != 0:
        self._saved[5 + (count >> 2)] = word
    if self._hand_count != 0:
        dropped: Candidate = self._hand[0]
        if self._left_out.tie == 0 or self._precedes(dropped, self._left_out):
            self._left_out = dropped
    self._saved[0] = (
        (self._next << 208)
        | (self._handed << 160)
        | (min(self._opened, 2**32 - 1) << 128)
        | (self._apart_next << 96)
        | (count << 80)
        | (WIDE if self._wide else 0)
        | ((staticcall oracle.epoch() & (2**48 - 1)) << 32)
        | search.nonce
    )
    self._saved[1] = min(self._last, self._passed) if self._last != 0 else self._passed
    self._saved[2] = convert(convert(search.index, bytes32), uint256)
    self._saved[3] = self._left_out.score
    self._saved[4] = self._left_out.tie
    # If the caller goes on in this transaction after all: as another transaction would.
    self._live = 0


@view
@internal
def _search() -> Search:
    query: uint256 = self._query
    terms: uint256 = self._terms
    search: Search = empty(Search)
    search.market = (query >> 88) & 255
    search.side = (query >> 87) & 511
    search.prices.is_long = (query >> 87) & 1 == 1
    search.mark = (query >> 63) & (2**24 - 1)
    search.score = convert(query >> 96, address)
    search.numerator = terms >> 160
    search.denominator = (terms >> 96) & ID
    search.size = (terms >> 32) & ID
    search.nonce = terms & (2**32 - 1)
    search.prices.mark = search.mark << 8
    search.epoch = query & (2**63 - 1)
    if self._live == search.nonce:
        search.index = self._index
        search.inflows = self._inflows
        search.prices.formula = self._formula
        search.prices.limit = self._limit
        search.prices.equity_mark = self._equity_mark
        return search
    search.inflows = staticcall clearinghouse.inflow_epoch() >= search.epoch
    mark: uint256 = 0
    is_fresh: bool = False
    mark, is_fresh, search.index = staticcall oracle.read(search.market)
    search.prices.formula = self.formula[search.score]
    search.prices.limit = self._limit_of(search)
    # p' is rounded against the winner: down for a long, up for a short.
    exact: int256 = convert(search.mark, int256) * 2**24 * SCALE - search.index * 2**24
    search.prices.equity_mark = exact // SCALE
    if search.prices.is_long:
        if search.prices.equity_mark * SCALE > exact:
            search.prices.equity_mark -= 1
    elif search.prices.equity_mark * SCALE < exact:
        search.prices.equity_mark += 1
    return search


@pure
@internal
def _limit_of(search: Search) -> uint256:
    """
    @notice The close price in 1/256 ticks, rounded outward: nobody in profit there is left out.
    """
    if search.prices.is_long:
        return (search.numerator * 256 + search.denominator - 1) // search.denominator
    return search.numerator * 256 // search.denominator


@view
@internal
def _weigh(search: Search, account: uint256) -> Candidate:
    """
    @notice The account's place in the order, from live state; tie 0 if it is not eligible.
    """
    stake: IClearinghouse.Stake = staticcall clearinghouse.stake(account, search.market)
    if (
        eligibility.bearable(
            stake.size,
            stake.quote,
            stake.equity,
            search.prices.is_long,
            search.mark,
            search.numerator,
            search.denominator,
            search.size,
        )
        == 0
    ):
        return empty(Candidate)
    if search.inflows:
        # What came in during the round's epoch lowers no score; what can be borne is real.
        inflow: int256 = convert(staticcall clearinghouse.inflow(account, search.epoch), int256)
        stake.equity -= inflow
        stake.cash -= inflow
    pnl: int256 = stake.size * convert(search.mark, int256) + stake.quote
    score: uint256 = 0
    if search.prices.formula == rank_grid.UNKNOWN:
        margin: IClearinghouse.Margin = staticcall clearinghouse.margin(account)
        score, pnl = scoring.of_position(
            search.score,
            stake.size,
            stake.quote,
            search.mark,
            stake.equity,
            stake.cash,
            margin.maintenance,
        )
        if score == 0:
            return empty(Candidate)
    else:
        score = self._known_score(search, stake, pnl)
    return Candidate(
        score=score, tie=(convert(pnl + 2**128, uint256) << 64) | (ID - account)
    )


@pure
@internal
def _known_score(search: Search, stake: IClearinghouse.Stake, pnl: int256) -> uint256:
    """
    @notice What the score contract answers, without asking it: `scores/HyperliquidDocs.vy` and
            `scores/ReturnXLeverage.vy`, line by line.
    """
    if stake.equity <= 0:
        return max_value(uint256)
    equity: uint256 = convert(stake.equity, uint256)
    entry_notional: uint256 = convert(abs(stake.quote), uint256)
    notional: uint256 = convert(abs(stake.size), uint256) * search.mark
    if search.prices.formula == rank_grid.DOCS:
        if stake.size < 0:
            return max(entry_notional * ONE // equity, 1)
        return max(notional * notional * ONE // (max(entry_notional, 1) * equity), 1)
    if pnl <= 0:
        return 1
    gain: uint256 = notional * convert(pnl, uint256) * ONE
    return max(gain // (max(entry_notional, 1) * equity), 1)


@internal
def _require_deleverager():
    if self._asker != msg.sender:
        assert msg.sender == staticcall clearinghouse.deleverager(), "ranking: deleverager only"
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
def _push_hand(candidate: Candidate):
    place: uint256 = self._hand_count
    self._hand_count = place + 1
    for _: uint256 in range(64):
        if place == 0:
            break
        parent: uint256 = unsafe_sub(place, 1) >> 1
        above: Candidate = self._hand[parent]
        if not self._precedes(candidate, above):
            break
        self._hand[place] = above
        place = parent
    self._hand[place] = candidate


@internal
def _pop_hand():
    """
    @notice Takes the best one out.
    """
    count: uint256 = self._hand_count - 1
    self._hand_count = count
    if count == 0:
        return
    candidate: Candidate = self._hand[count]
    place: uint256 = 0
    for _: uint256 in range(64):
        child: uint256 = unsafe_add(place << 1, 1)
        if child >= count:
            break
        better: Candidate = self._hand[child]
        if unsafe_add(child, 1) < count:
            other: Candidate = self._hand[unsafe_add(child, 1)]
            if self._precedes(other, better):
                better = other
                child = unsafe_add(child, 1)
        if not self._precedes(better, candidate):
            break
        self._hand[place] = better
        place = child
    self._hand[place] = candidate


@internal
def _push_waiting(key: uint256):
    """
    @notice Adds a key; none if it is 0.
    """
    if key == 0:
        return
    place: uint256 = self._wait_count
    self._wait_count = place + 1
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


@internal
def _replace_top(by: uint256):
    """
    @notice Takes the key with the highest bound out, and puts `by` in (nothing if it is 0).
    """
    count: uint256 = self._wait_count
    key: uint256 = by
    if by == 0:
        count -= 1
        self._wait_count = count
        key = self._waiting[count]
    place: uint256 = 0
    for _: uint256 in range(64):
        child: uint256 = unsafe_add(place << 1, 1)
        if child >= count:
            break
        better: uint256 = self._waiting[child]
        if unsafe_add(child, 1) < count:
            other: uint256 = self._waiting[unsafe_add(child, 1)]
            if other > better:
                better = other
                child = unsafe_add(child, 1)
        if better <= key:
            break
        self._waiting[place] = better
        place = child
    self._waiting[place] = key


# --- Views ---------------------------------------------------------------------------------------


@view
@external
def is_complete(market: uint256, is_long: bool) -> bool:
    """
    @notice Whether a search of this side leaves nobody out: accounts of one market are always
            filed, and those apart are looked at one by one, 10,000 of them at most.
    """
    return self._apart_count[2 * market + (1 if is_long else 0)] <= MAX_APART


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
    return self._apart_count[2 * market + (1 if is_long else 0)]


@view
@external
def bucket_of(account: uint256) -> uint256:
    """
    @notice Where an account is filed: (market * 2 + side) * 2^25 + cell * 2^16 + band * 2^8 + tick,
            plus 1; 0: not in a bucket.
    """
    return self._nodes[account] >> 128
