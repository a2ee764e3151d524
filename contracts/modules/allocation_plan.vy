# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title allocation_plan
@license AGPL-3.0-only
@notice Shares a lot out over all eligible winners of a side, in whole lots. It is planned in full
        before the first account is handed out, in passes that page:

            gather   looks at every holder once and keeps a row of who is eligible
            level    finds the exact level at which the shares add up (water-filling only)
            count    adds up the shares, rounded down
            rank     gives what rounding and limits left over to the first in rank order
            hand     answers one row a call, in the order of the holders' list

            wanted   size of the lot, lots
            limit    of a row: lots that it can give at most, by its position, its equity and its cap
            share    of a row: its part by the rule, rounded down, never above its limit
            level    a fraction above / below; what it measures depends on the rule:

                BY_PROFIT    share = wanted * profit at the mark / sum of profits
                BY_SIZE      share = wanted * size / sum of sizes
                CAPPED       share = level * size, where level makes the shares, none above its
                             limit, add up to the lot
                BY_LEVERAGE  share = size - level * equity: the leverage left is at most level *
                             mark, the lowest possible

        What the floors leave over goes in rank order, one lot each (BY_LEVERAGE: among those above
        the level). What those could not bear who reached their limit goes on in rank order, as much
        as each can bear. If all limits together do not exceed the lot, everyone gives up its limit.

        Eligible: in profit at the close price, equity at the mark not below zero (an equity below
        it could be lifted by a whole close only, and shares are parts), a score above 0, and able to
        bear at least one lot. A row is priced once; the market is frozen meanwhile, and the
        Deleverager looks again before each close.

        Leverage is size * mark / equity of the whole account before the closes: exact for the close
        price `mark`, elsewhere the haircut itself is not counted.

@dev Products stay in 256 bits: sizes < 2^55, a side's sum of them < 2^56, profits < 2^81, equity
     is clipped to 2^127, a side has < 2^12 rows.
"""
from ..interfaces import IClearinghouse
from ..interfaces import IRanking
from . import eligibility
from . import scoring

BY_PROFIT: constant(uint256) = 0
BY_SIZE: constant(uint256) = 1
CAPPED: constant(uint256) = 2
BY_LEVERAGE: constant(uint256) = 3

# Of a call.
MAX_STEPS: constant(uint256) = 256
# Rows ranked in one pass; their numbers fit into one word.
PAGE: constant(uint256) = 16
MAX_ROWS: constant(uint256) = 2**12 - 1
MAX_EQUITY: constant(int256) = 2**127
# Times that the level is looked for anew because somebody reached a limit.
MAX_LEVELS: constant(uint256) = 8
PPM: constant(uint256) = 10**6

GATHER: constant(uint256) = 1
LEVEL: constant(uint256) = 2
COUNT: constant(uint256) = 3
RANK: constant(uint256) = 4
HAND: constant(uint256) = 5


struct Row:
    account: uint256
    limit: uint256
    size: uint256
    # At the mark, micro-USDC.
    pnl: int256
    # Of the account, at least 1 micro-USDC.
    equity: uint256
    # Lots given in rank order, beyond the share.
    bonus: uint256


struct Ranked:
    row: uint256
    account: uint256
    score: uint256
    pnl: int256


clearinghouse: public(immutable(IClearinghouse))
# Sides with more holders are refused, so that all passes fit into a round.
max_scan_holders: public(immutable(uint256))
# Of its position that one account gives up at most, parts per million.
largest_share: public(immutable(uint256))
_rule: immutable(uint256)

_query: IRanking.Query
_phase: uint256
# Next holder or row of the pass at work.
_cursor: uint256

row_count: public(uint256)
# account 40 | limit 56 | size 56 | pnl 88, signed
_rows: HashMap[uint256, uint256]
_scores: HashMap[uint256, uint256]
# equity 128 | bonus 56
_extras: HashMap[uint256, uint256]
_sum_limits: uint256
_sum_weights: uint256

# Everyone gives up its limit.
_whole: bool
_above: uint256
_below: uint256
# The level found last (BY_LEVERAGE): who is at its limit there has a fixed share.
_fixed_above: uint256
_fixed_below: uint256
_levels: uint256
# Sums of the pass at work.
_first: uint256
_second: uint256
_third: uint256

# Lots still to be given in rank order.
_left: uint256
# 1 if everybody that takes part in the remainder gets one lot before the rest goes in rank order.
_each: uint256
# Rows of the ranking pass at work, best first, 16 bits each from the top, and how many.
_best: uint256
_best_count: uint256
# Row + 1 that the last ranking pass ended with.
_last: uint256


@deploy
def __init__(clearinghouse_: address, max_holders: uint256, rule: uint256, largest_share_: uint256):
    assert max_holders != 0 and max_holders <= MAX_ROWS, "allocation: holders out of range"
    assert largest_share_ != 0 and largest_share_ <= PPM, "allocation: share out of range"
    clearinghouse = IClearinghouse(clearinghouse_)
    max_scan_holders = max_holders
    largest_share = largest_share_
    _rule = rule


@view
@external
def is_allowed(market: uint256, winners_long: bool) -> bool:
    """
    @notice Whether a side has few enough holders to be planned.
    """
    return staticcall clearinghouse.holder_count(market, winners_long) <= max_scan_holders


@view
@external
def is_complete(market: uint256, winners_long: bool) -> bool:
    """
    @notice Every holder has a row.
    """
    return True


@view
@external
def is_queue() -> bool:
    """
    @notice It shares out: nobody is served before the others.
    """
    return False


@external
def begin(query: IRanking.Query):
    """
    @notice Deleverager only: forgets the plan there was, begins another. Refused for a side of more
            than `max_scan_holders`.
    """
    self._only_deleverager()
    assert query.size != 0 and query.denominator != 0, "allocation: nothing to plan"
    assert (
        staticcall clearinghouse.holder_count(query.market, query.winners_long) <= max_scan_holders
    ), "allocation: too many holders"
    self._query = query
    self._phase = GATHER
    self._cursor = 0
    self.row_count = 0
    self._sum_limits = 0
    self._sum_weights = 0
    self._whole = False
    self._above = 0
    self._below = 1
    self._fixed_above = 0
    self._fixed_below = 0
    self._levels = 0
    self._first = 0
    self._second = 0
    self._third = 0
    self._left = 0
    self._each = 0
    self._best = 0
    self._best_count = 0
    self._last = 0


@external
def next(max_steps: uint256) -> IRanking.Pick:
    """
    @notice Deleverager only: works on the plan, then answers its accounts one a call, each with the
            lots it gives up; account 0 after the last. A row looked at is a step, a holder
            one to three (`_gather`); at most 256 a call and two more.
    """
    self._only_deleverager()
    most: uint256 = min(max_steps, MAX_STEPS)
    steps: uint256 = 0
    for _: uint256 in range(MAX_STEPS):
        if steps >= most:
            break
        if self._phase == GATHER:
            steps += self._gather(most - steps)
        elif self._phase == LEVEL:
            steps += self._find_level(most - steps)
        elif self._phase == COUNT:
            steps += self._count(most - steps)
        elif self._phase == RANK:
            steps += self._rank(most - steps)
        elif self._phase == HAND:
            pick: IRanking.Pick = self._hand(most - steps)
            pick.steps += steps
            if pick.account != 0:
                return pick
            steps = pick.steps
        else:
            return IRanking.Pick(
                account=0, size=0, score=0, pnl=0, exact=True, steps=max(steps, 1), more=False
            )
    return IRanking.Pick(
        account=0, size=0, score=0, pnl=0, exact=True, steps=steps, more=self._phase != 0
    )


@view
@internal
def _only_deleverager():
    assert msg.sender == staticcall clearinghouse.deleverager(), "allocation: deleverager only"


# --- Passes --------------------------------------------------------------------------------------


@internal
def _gather(max_steps: uint256) -> uint256:
    """
    @return Steps used, at least one: so does every pass. Here two for a row that is kept, and one more
            for a holder with positions in other markets too.
    """
    query: IRanking.Query = self._query
    holders: uint256 = staticcall clearinghouse.holder_count(query.market, query.winners_long)
    cursor: uint256 = self._cursor
    rows: uint256 = self.row_count
    limits: uint256 = self._sum_limits
    weights: uint256 = self._sum_weights
    steps: uint256 = 0
    for _: uint256 in range(MAX_STEPS):
        if cursor == holders or steps >= max_steps:
            break
        steps += 1
        account: uint256 = staticcall clearinghouse.holder_at(
            query.market, query.winners_long, cursor
        )
        cursor += 1
        row: Row = empty(Row)
        score: uint256 = 0
        is_single: bool = False
        row, score, is_single = self._weigh(query, account)
        if not is_single:
            steps += 1
        if row.limit == 0:
            continue
        steps += 1
        self._rows[rows] = (
            row.account
            | (row.limit << 40)
            | (row.size << 96)
            | ((convert(convert(row.pnl, bytes32), uint256) & (2**88 - 1)) << 152)
        )
        self._scores[rows] = score
        self._extras[rows] = row.equity
        rows += 1
        limits += row.limit
        weights += self._weight(row)
    self.row_count = rows
    self._sum_limits = limits
    self._sum_weights = weights
    self._cursor = cursor
    if cursor == holders:
        self._cursor = 0
        self._whole = limits <= query.size
        if self._whole:
            self._phase = HAND
        else:
            self._phase = COUNT if _rule <= BY_SIZE else LEVEL
            if _rule != BY_LEVERAGE:
                self._above = query.size
                self._below = weights
    return max(steps, 1)


@view
@internal
def _weigh(query: IRanking.Query, account: uint256) -> (Row, uint256, bool):
    """
    @notice The row of an account, its score, and whether it has no other position; limit 0 if it is
            not eligible.
    """
    row: Row = empty(Row)
    position: IClearinghouse.Position = staticcall clearinghouse.position(account, query.market)
    margin: IClearinghouse.Margin = staticcall clearinghouse.margin(account)
    # An equity below zero could be lifted by a whole close only, and shares are parts.
    limit: uint256 = 0
    if margin.equity >= 0:
        limit = eligibility.bearable(
            position.size,
            position.quote,
            margin.equity,
            query.winners_long,
            query.mark,
            query.numerator,
            query.denominator,
            query.size,
        )
    row.size = convert(abs(position.size), uint256)
    limit = min(limit, row.size * largest_share // PPM)
    is_single: bool = margin.notional == row.size * query.mark
    if limit == 0:
        return row, 0, is_single
    row.account = account
    # What came in during the round's epoch lowers no score and no share; what can be borne is real.
    inflow: int256 = convert(staticcall clearinghouse.inflow(account, query.epoch), int256)
    equity: int256 = margin.equity - inflow
    row.equity = convert(min(max(equity, 1), MAX_EQUITY), uint256)
    score: uint256 = 0
    score, row.pnl = scoring.of_position(
        query.score,
        position.size,
        position.quote,
        query.mark,
        equity,
        staticcall clearinghouse.cash(account) - inflow,
        margin.maintenance,
    )
    if score != 0:
        row.limit = limit
    return row, score, is_single


@internal
def _find_level(max_steps: uint256) -> uint256:
    """
    @notice One pass: who is capped, or above the level, at the level in hand gives the next one.
    @dev Newton's method on a function of one variable that is piecewise linear and bends one way
         only, from the side where it never steps over the solution. So it ends exactly at it, in
         integers: when a pass changes nothing. Each pass but the last moves somebody across, and
         gap times slope falls to a quarter or less, from below 2^110 (CAPPED) or 2^195, to no
         less than 2^-139: fewer passes than rows, and fewer than 168 whatever the side, three or
         four as a rule. Limits of BY_LEVERAGE bend it the other way: who is beyond its limit at the
         solution is fixed there, and the search begins again with the rest, at most 8 times.
    """
    above: uint256 = self._above
    below: uint256 = self._below
    wanted: uint256 = self._query.size
    rows: uint256 = self.row_count
    cursor: uint256 = self._cursor
    # CAPPED: limits of the capped, weights of the others. BY_LEVERAGE: fixed shares and sizes
    # above the level, equities of these, and how many of these are beyond their limit.
    first: uint256 = self._first
    second: uint256 = self._second
    third: uint256 = self._third
    steps: uint256 = 0
    for _: uint256 in range(MAX_STEPS):
        if cursor == rows or steps == max_steps:
            break
        steps += 1
        row: Row = self._row(cursor)
        cursor += 1
        if _rule == CAPPED:
            if row.limit * below < above * row.size:
                first += row.limit
            else:
                second += row.size
        elif self._is_beyond(row, self._fixed_above, self._fixed_below):
            first += row.limit
        elif row.size * below > above * row.equity:
            first += row.size
            second += row.equity
            if self._is_beyond(row, above, below):
                third += 1
    self._cursor = cursor
    self._first = first
    self._second = second
    self._third = third
    if cursor != rows:
        return max(steps, 1)
    self._cursor = 0
    self._first = 0
    self._second = 0
    self._third = 0
    # Never 0 as long as the limits exceed the lot; a plan must not end in a revert all the same.
    next_above: uint256 = max(first, wanted) - min(first, wanted)
    if second != 0 and next_above * below != above * second:
        self._above = next_above
        self._below = second
    elif third != 0 and self._levels < MAX_LEVELS:
        self._levels += 1
        self._fixed_above = above
        self._fixed_below = below
        self._above = 0
        self._below = 1
    else:
        self._phase = COUNT
    return max(steps, 1)


@internal
def _count(max_steps: uint256) -> uint256:
    """
    @notice Adds up the shares (`_first`) and who takes part in the remainder (`_second`).
    """
    rows: uint256 = self.row_count
    cursor: uint256 = self._cursor
    given: uint256 = self._first
    takers: uint256 = self._second
    steps: uint256 = 0
    for _: uint256 in range(MAX_STEPS):
        if cursor == rows or steps == max_steps:
            break
        steps += 1
        row: Row = self._row(cursor)
        cursor += 1
        share: uint256 = 0
        takes: uint256 = 0
        share, takes = self._share(row)
        given += share
        takers += takes
    self._cursor = cursor
    self._first = given
    self._second = takers
    if cursor == rows:
        self._cursor = 0
        left: uint256 = self._query.size - given
        if left >= takers:
            self._each = 1
            left -= takers
        self._left = left
        self._phase = HAND if left == 0 else RANK
    return max(steps, 1)


@internal
def _rank(max_steps: uint256) -> uint256:
    """
    @notice One pass: the best 16 after those of the pass before get what is left over, by rank.
    """
    rows: uint256 = self.row_count
    cursor: uint256 = self._cursor
    last: Ranked = empty(Ranked)
    if self._last != 0:
        last = self._ranked(self._last - 1)
    best: DynArray[Ranked, PAGE] = []
    packed: uint256 = self._best
    for i: uint256 in range(self._best_count, bound=PAGE):
        best.append(self._ranked((packed >> (240 - 16 * i)) & 65535))
    steps: uint256 = 0
    for _: uint256 in range(MAX_STEPS):
        if cursor == rows or steps == max_steps:
            break
        steps += 1
        here: uint256 = cursor
        cursor += 1
        if self._room(self._row(here)) == 0:
            continue
        candidate: Ranked = self._ranked(here)
        if last.account != 0 and not self._precedes(last, candidate):
            continue
        if len(best) == PAGE:
            if not self._precedes(candidate, best[PAGE - 1]):
                continue
            best.pop()
        best.append(candidate)
        place: uint256 = len(best) - 1
        for __: uint256 in range(PAGE):
            if place == 0 or not self._precedes(candidate, best[place - 1]):
                break
            best[place] = best[place - 1]
            place -= 1
        best[place] = candidate
    self._cursor = cursor
    if cursor != rows:
        packed = 0
        for i: uint256 in range(len(best), bound=PAGE):
            packed |= best[i].row << (240 - 16 * i)
        self._best = packed
        self._best_count = len(best)
        return max(steps, 1)
    self._cursor = 0
    self._best = 0
    self._best_count = 0
    left: uint256 = self._left
    for winner: Ranked in best:
        if left == 0:
            break
        bonus: uint256 = 1
        if self._each == 1:
            bonus = min(self._room(self._row(winner.row)), left)
        left -= bonus
        self._extras[winner.row] |= bonus << 128
        self._last = winner.row + 1
    self._left = left
    if left == 0 or len(best) < PAGE:
        self._phase = HAND
    return max(steps, 1)


@internal
def _hand(max_steps: uint256) -> IRanking.Pick:
    """
    @notice The next row that gives up anything; account 0 if the steps or the rows run out.
    """
    pick: IRanking.Pick = empty(IRanking.Pick)
    pick.exact = True
    rows: uint256 = self.row_count
    cursor: uint256 = self._cursor
    for _: uint256 in range(MAX_STEPS):
        if cursor == rows or pick.steps == max_steps:
            break
        pick.steps += 1
        row: Row = self._row(cursor)
        cursor += 1
        share: uint256 = 0
        takes: uint256 = 0
        share, takes = self._share(row)
        pick.size = share + takes * self._each + row.bonus
        if pick.size != 0:
            pick.account = row.account
            pick.score = self._scores[cursor - 1]
            pick.pnl = row.pnl
            break
    self._cursor = cursor
    if pick.account == 0 and cursor == rows:
        self._phase = 0
    pick.steps = max(pick.steps, 1)
    return pick


# --- Rows ----------------------------------------------------------------------------------------


@view
@internal
def _row(i: uint256) -> Row:
    word: uint256 = self._rows[i]
    extra: uint256 = self._extras[i]
    return Row(
        account=word & (2**40 - 1),
        limit=(word >> 40) & (2**56 - 1),
        size=(word >> 96) & (2**56 - 1),
        # Up to the top bit, then down again: the second shift copies the sign.
        pnl=convert(convert((word >> 152) << 168, bytes32), int256) >> 168,
        equity=extra & (2**128 - 1),
        bonus=extra >> 128,
    )


@view
@internal
def _ranked(i: uint256) -> Ranked:
    row: Row = self._row(i)
    return Ranked(row=i, account=row.account, score=self._scores[i], pnl=row.pnl)


@pure
@internal
def _precedes(one: Ranked, other: Ranked) -> bool:
    """
    @notice Exact order: higher score, then higher profit, then lower account id.
    """
    if one.score != other.score:
        return one.score > other.score
    if one.pnl != other.pnl:
        return one.pnl > other.pnl
    return one.account < other.account


@view
@internal
def _weight(row: Row) -> uint256:
    if _rule == BY_PROFIT:
        return convert(max(row.pnl, 0), uint256)
    return row.size


@pure
@internal
def _is_beyond(row: Row, above: uint256, below: uint256) -> bool:
    """
    @notice Whether a share down to this level of leverage would exceed the row's limit.
    """
    return (row.size - row.limit) * below > above * row.equity


@view
@internal
def _share(row: Row) -> (uint256, uint256):
    """
    @return The row's share, rounded down, and 1 if it takes part in the remainder: it has room,
            and under BY_LEVERAGE is above the level.
    """
    if self._whole:
        return row.limit, 0
    above: uint256 = self._above
    below: uint256 = self._below
    share: uint256 = 0
    takes: bool = True
    if _rule == BY_LEVERAGE:
        takes = row.size * below > above * row.equity
        if takes:
            share = (row.size * below - above * row.equity) // below
    elif below != 0:
        share = above * self._weight(row) // below
    if share >= row.limit:
        return row.limit, 0
    return share, 1 if takes else 0


@view
@internal
def _room(row: Row) -> uint256:
    """
    @notice Lots that the row may get in rank order.
    """
    share: uint256 = 0
    takes: uint256 = 0
    share, takes = self._share(row)
    if self._each == 1:
        return row.limit - share - takes
    return takes
