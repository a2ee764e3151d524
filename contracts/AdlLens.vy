# pragma version ~=0.4.3
"""
@title AdlLens
@license AGPL-3.0-only
@notice Who would be deleveraged, read from the chain: the place of an account in its queue, its five
        lights, the queue by pages, and the fills that a round would make now.

            winner    a trader's account in profit at the mark, with a score above 0
            rank      1, 2, 3 ... among the winners of one side, in the order of rounds: by score, then
                      profit at the mark, then lower account id. What came in during this epoch, or
                      that of a round which waits, lowers no score (`Clearinghouse.inflow`), here as in a
                      round
            lights    5 for the first fifth of the winners, down to 1 for the last; 0: not in profit
            preview   a round of one lot, run by the Deleverager and its engine as any other and then
                      undone (`Deleverager.preview`); no second implementation

        A rank counts everyone who precedes an account, so it costs a look at each holder, some 30,000
        gas: by pages it is exact however many there are. The index has no cheaper bound to offer: its
        buckets are lists without a length, since to keep one would cost each filing.

        It owns nothing, changes nothing, and nothing on chain relies on it.
@custom:kill Nothing to halt: it only reads.
"""
from .interfaces import IClearinghouse
from .interfaces import IDeleverager
from .modules import scoring

# Holders in one page.
MAX_PAGE: constant(uint256) = 200
# As many as there may ever be.
MAX_HOLDERS: constant(uint256) = 2**40
# Gas that one more holder may need, a slow score contract included.
RESERVE: constant(uint256) = 800_000
MAX_FILLS: constant(uint256) = 200
# The answer of a preview: each fill 7 words, and 4 words around them.
MAX_ANSWER: constant(uint256) = 200 * 7 * 32 + 4 * 32


# One holder of a side; score 0: not a winner. Profit at the mark, signed micro-USDC.
struct Place:
    account: uint256
    score: uint256
    pnl: int256


# What one page adds to the rank of an account: its rank is 1 + the sum of `ahead`.
struct Rank:
    # False: the account is no winner, and nobody is ahead of it.
    ranked: bool
    ahead: uint256
    winners: uint256
    # Where the next page begins; 0 after the last one.
    next: uint256


struct Preview:
    fills: DynArray[IDeleverager.Fill, MAX_FILLS]
    # Lots for which there was no winner, or no time.
    left: uint256
    # Whether the lot came to its end: False if the gas of the call or 200 fills were too few.
    done: bool


interface Rules:
    def score_rule() -> address: view
    def epoch_of(market: uint256) -> uint256: view


clearinghouse: public(immutable(IClearinghouse))


@deploy
def __init__(clearinghouse_: address):
    clearinghouse = IClearinghouse(clearinghouse_)


# --- Places --------------------------------------------------------------------------------------


@view
@external
def adl_page(
    market: uint256, is_long: bool, start: uint256, count: uint256
) -> DynArray[Place, MAX_PAGE]:
    """
    @notice Up to `count` holders (at most 200) of a side from place `start` of its list on, in no
            order, each with score and profit.
    """
    rule: address = self._rule()
    page: DynArray[Place, MAX_PAGE] = []
    holders: uint256 = staticcall clearinghouse.holder_count(market, is_long)
    for i: uint256 in range(min(count, MAX_PAGE), bound=MAX_PAGE):
        if start + i >= holders:
            break
        page.append(self._place(rule, self._holder(market, is_long, start + i), market))
    return page


@view
@external
def adl_rank(account: uint256, market: uint256, start: uint256, count: uint256) -> Rank:
    """
    @notice How many of the next `count` holders of the account's side, from place `start` of their
            list on, are winners, and how many of these precede it. Summed over all pages of one block:
            its exact rank.
    """
    return self._rank(account, market, start, count)


@view
@external
def adl_light(account: uint256, market: uint256) -> uint256:
    """
    @notice The lights of an account, 0 to 5, if the gas of one call is enough for all holders of its
            side; else ask `adl_rank` by pages, and then `adl_lights`.
    """
    rank: Rank = self._rank(account, market, 0, MAX_HOLDERS)
    if not rank.ranked:
        return 0
    return self._lights(rank.ahead + 1, rank.winners)


@pure
@external
def adl_lights(rank: uint256, winners: uint256) -> uint256:
    """
    @notice The lights of the `rank`-th of so many winners.
    """
    assert 0 < rank and rank <= winners, "lens: no such rank"
    return self._lights(rank, winners)


@pure
@internal
def _lights(rank: uint256, winners: uint256) -> uint256:
    return 5 - (rank - 1) * 5 // winners


@view
@internal
def _rank(account: uint256, market: uint256, start: uint256, count: uint256) -> Rank:
    rank: Rank = empty(Rank)
    if not staticcall clearinghouse.is_trader(account):
        return rank
    rule: address = self._rule()
    own: Place = self._place(rule, account, market)
    rank.ranked = own.score != 0
    if not rank.ranked:
        return rank
    is_long: bool = (staticcall clearinghouse.position(account, market)).size > 0
    holders: uint256 = staticcall clearinghouse.holder_count(market, is_long)
    place: uint256 = start
    for _: uint256 in range(min(count, MAX_HOLDERS), bound=MAX_HOLDERS):
        if place >= holders:
            break
        assert msg.gas >= RESERVE, "lens: too many holders for one call, ask by pages"
        other: Place = self._place(rule, self._holder(market, is_long, place), market)
        place += 1
        if other.score == 0:
            continue
        rank.winners += 1
        if self._precedes(other, own):
            rank.ahead += 1
    if place < holders:
        rank.next = place
    return rank


@pure
@internal
def _precedes(one: Place, other: Place) -> bool:
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
def _place(rule: address, account: uint256, market: uint256) -> Place:
    """
    @notice Score and profit of an account as a round that begins now would have them.
    """
    place: Place = Place(account=account, score=0, pnl=0)
    position: IClearinghouse.Position = staticcall clearinghouse.position(account, market)
    mark: uint256 = staticcall clearinghouse.mark(market)
    place.pnl = position.size * convert(mark, int256) + position.quote
    if place.pnl <= 0:
        return place
    epoch: uint256 = staticcall Rules(staticcall clearinghouse.deleverager()).epoch_of(market)
    inflow: int256 = convert(staticcall clearinghouse.inflow(account, epoch), int256)
    margin: IClearinghouse.Margin = staticcall clearinghouse.margin(account)
    place.score, place.pnl = scoring.of_position(
        rule,
        position.size,
        position.quote,
        mark,
        margin.equity - inflow,
        staticcall clearinghouse.cash(account) - inflow,
        margin.maintenance,
    )
    return place


@view
@internal
def _holder(market: uint256, is_long: bool, place: uint256) -> uint256:
    return staticcall clearinghouse.holder_at(market, is_long, place)


@view
@internal
def _rule() -> address:
    return staticcall Rules(staticcall clearinghouse.deleverager()).score_rule()


# --- Preview -------------------------------------------------------------------------------------


@external
def adl_preview(market: uint256, is_long: bool, size: uint256) -> Preview:
    """
    @notice The fills that a round would make now for a bankrupt `size` lots on this side whose
            bankruptcy price is the mark. For a call, not a transaction, which would change nothing.
    """
    return self._preview(market, is_long, size, size * staticcall clearinghouse.mark(market))


@external
def adl_preview_at(market: uint256, is_long: bool, size: uint256, worth: uint256) -> Preview:
    """
    @notice The same for lots that the bankrupt gave up for `worth` micro-USDC in all: what winners
            close at under the close price `bankruptcy` (0 to price * size); its estate's gain or loss
            under the others.
    """
    return self._preview(market, is_long, size, worth)


@internal
def _preview(market: uint256, is_long: bool, size: uint256, worth: uint256) -> Preview:
    signed: int256 = convert(worth, int256)
    if is_long:
        signed = -signed
    answered: bool = False
    answer: Bytes[MAX_ANSWER] = b""
    answered, answer = raw_call(
        staticcall clearinghouse.deleverager(),
        abi_encode(
            market, is_long, size, signed, method_id=method_id("preview(uint256,bool,uint256,int256)")
        ),
        max_outsize=MAX_ANSWER,
        revert_on_failure=False,
    )
    # It always reverts: with the plan, which begins with an offset, or with a reason.
    assert not answered and len(answer) != 0, "lens: too little gas for a preview"
    if convert(slice(answer, 0, 4), bytes4) != empty(bytes4):
        raw_revert(answer)
    preview: Preview = empty(Preview)
    preview.fills, preview.left, preview.done = abi_decode(
        answer, (DynArray[IDeleverager.Fill, MAX_FILLS], uint256, bool)
    )
    return preview
