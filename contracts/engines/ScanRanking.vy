# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title ScanRanking
@license AGPL-3.0-only
@notice Ranks by looking at every holder of a side: the reference engine. Right for every score,
        and linear in holders.

        A pass over the side keeps the 16 best, in order, and hands them out; if more were found, the
        next pass begins. Every call is bounded and the next one goes on where it stopped.

            step     one holder looked at
            refused  a side with more than 50,000 holders: a pass over them takes 200 calls, some
                     three quarters of an hour of half-used blocks. Use the index there.

        It owns the state of one search and nothing else, and only the Deleverager may ask.
@custom:kill Nothing to halt: it moves nothing. The Deleverager's owner may choose another engine.
"""
from ..interfaces import IClearinghouse
from ..interfaces import IRanking
from ..modules import eligibility
from ..modules import scoring

implements: IRanking

# Winners that one pass keeps; a lot that needs more is scanned again.
MAX_CANDIDATES: constant(uint256) = 16
# Holders looked at in one call.
MAX_STEPS: constant(uint256) = 256
MAX_HOLDERS: constant(uint256) = 50_000


struct Candidate:
    account: uint256
    score: uint256
    pnl: int256


clearinghouse: public(immutable(IClearinghouse))

_query: IRanking.Query
# Next holder to look at; True once all have been.
_cursor: uint256
_scanned: bool
# More winners were found than the pass keeps.
_overflow: bool
# Next candidate to hand out.
_next: uint256
_candidates: DynArray[Candidate, MAX_CANDIDATES]


@deploy
def __init__(clearinghouse_: address):
    clearinghouse = IClearinghouse(clearinghouse_)


@external
def begin(query: IRanking.Query):
    """
    @notice Deleverager only: starts over, with this query.
    """
    self._require_deleverager()
    assert (
        staticcall clearinghouse.holder_count(query.market, query.winners_long) <= MAX_HOLDERS
    ), "ranking: too many holders for a scan"
    self._query = query
    self._restart()


@external
def next(max_steps: uint256) -> IRanking.Pick:
    """
    @notice Deleverager only: the next account in order, or nobody.
    """
    self._require_deleverager()
    steps: uint256 = 0
    # At most two passes: one that ends here, and the one after it.
    for _: uint256 in range(2):
        if not self._scanned:
            if steps >= max_steps:
                break
            steps += self._scan(max_steps - steps)
        if not self._scanned or (steps != 0 and steps >= max_steps):
            break
        if self._next < len(self._candidates):
            best: Candidate = self._candidates[self._next]
            self._next += 1
            return IRanking.Pick(
                account=best.account,
                size=max_value(uint256),
                score=best.score,
                pnl=best.pnl,
                exact=True,
                steps=steps,
                more=False,
            )
        if not self._overflow:
            return IRanking.Pick(
                account=0, size=0, score=0, pnl=0, exact=True, steps=steps, more=False
            )
        self._restart()
    return IRanking.Pick(account=0, size=0, score=0, pnl=0, exact=False, steps=steps, more=True)


@view
@external
def is_allowed(market: uint256, winners_long: bool) -> bool:
    """
    @notice Whether a side has few enough holders to be scanned.
    """
    return staticcall clearinghouse.holder_count(market, winners_long) <= MAX_HOLDERS


@view
@external
def is_complete(market: uint256, winners_long: bool) -> bool:
    """
    @notice Every holder is looked at.
    """
    return True


@view
@external
def is_queue() -> bool:
    """
    @notice It closes from the top of a ranking.
    """
    return True


@view
@external
def max_scan_holders() -> uint256:
    """
    @notice Holders of a side above which a scan is refused.
    """
    return MAX_HOLDERS


@internal
def _restart():
    self._cursor = 0
    self._scanned = False
    self._overflow = False
    self._next = 0
    self._candidates = []


@internal
def _scan(max_steps: uint256) -> uint256:
    """
    @notice Looks at the next holders and keeps the best winners, in order.
    @return Steps used: one a holder, two where it has positions in other markets too.
    """
    query: IRanking.Query = self._query
    count: uint256 = staticcall clearinghouse.holder_count(query.market, query.winners_long)
    cursor: uint256 = self._cursor
    overflow: bool = self._overflow
    best: DynArray[Candidate, MAX_CANDIDATES] = self._candidates
    steps: uint256 = 0
    for _: uint256 in range(MAX_STEPS):
        if cursor >= count or steps >= max_steps:
            break
        steps += 1
        account: uint256 = staticcall clearinghouse.holder_at(
            query.market, query.winners_long, cursor
        )
        cursor += 1
        candidate: Candidate = empty(Candidate)
        is_single: bool = False
        candidate, is_single = self._weigh(query, account)
        if not is_single:
            steps += 1
        if candidate.account == 0:
            continue
        if len(best) == MAX_CANDIDATES:
            overflow = True
            if not self._precedes(candidate, best[MAX_CANDIDATES - 1]):
                continue
            best.pop()
        # Insertion from the bottom; the list stays sorted.
        best.append(candidate)
        place: uint256 = len(best) - 1
        for __: uint256 in range(MAX_CANDIDATES):
            if place == 0 or not self._precedes(candidate, best[place - 1]):
                break
            best[place] = best[place - 1]
            place -= 1
        best[place] = candidate
    self._cursor = cursor
    self._scanned = cursor >= count
    self._overflow = overflow
    self._candidates = best
    return steps


@pure
@internal
def _precedes(one: Candidate, other: Candidate) -> bool:
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
def _weigh(query: IRanking.Query, account: uint256) -> (Candidate, bool):
    """
    @notice The account's score and profit at the mark; account 0 if it is not eligible. And whether it
            has no other position.
    """
    position: IClearinghouse.Position = staticcall clearinghouse.position(account, query.market)
    margin: IClearinghouse.Margin = staticcall clearinghouse.margin(account)
    is_single: bool = margin.notional == convert(abs(position.size), uint256) * query.mark
    if (
        eligibility.bearable(
            position.size,
            position.quote,
            margin.equity,
            query.winners_long,
            query.mark,
            query.numerator,
            query.denominator,
            query.size,
        )
        == 0
    ):
        return empty(Candidate), is_single
    # What came in during the round's epoch lowers no score; what can be borne is real.
    inflow: int256 = convert(staticcall clearinghouse.inflow(account, query.epoch), int256)
    score: uint256 = 0
    pnl: int256 = 0
    score, pnl = scoring.of_position(
        query.score,
        position.size,
        position.quote,
        query.mark,
        margin.equity - inflow,
        staticcall clearinghouse.cash(account) - inflow,
        margin.maintenance,
    )
    if score == 0:
        return empty(Candidate), is_single
    return Candidate(account=account, score=score, pnl=pnl), is_single


@view
@internal
def _require_deleverager():
    assert msg.sender == staticcall clearinghouse.deleverager(), "ranking: deleverager only"
