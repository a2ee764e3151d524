# pragma version ~=0.4.3
# pragma optimize codesize
# pragma nonreentrancy on
"""
@title Deleverager
@license AGPL-3.0-only
@notice Auto-deleveraging (ADL): closes what was wound up against the winners of the other side,
        in the order of a score that an engine on chain computes from live state, never from a
        list that somebody hands in.

            estate     the account of a (market, side) that took over bankrupt positions
            lot        one bankrupt's part of an estate: size in lots, and worth in micro-USDC,
                       what the estate paid (-) or received (+) for it
            round      works through the lots of one estate, oldest first
            winner     a trader with the opposite position, in profit at the close price, whose
                       equity stays at zero or above after the fill
            own        a winner among the first 16 accounts of the bankrupt's owner: rank 0
            netted     lots of the two estates of a market, exchanged for each other
            overshoot  micro-USDC that winners paid more than the bankruptcy price asks for;
                       negative: less
            rank       1, 2, 3 ... in the order of score, then profit, then lower account id
            haircut    what a winner lost against the mark, micro-USDC; negative: it gained

        For each lot, in this order: it is netted against the oldest lots of the other estate; then
        the bankrupt's own winners are closed, where the engine is a queue; then the engine
        (`interfaces/IRanking.vyi`) names the winners one by one. Each is judged again here before it
        is closed, until the lot is gone. Every call is bounded and the next one goes on where it
        stopped. While a round is open its market is frozen and its mark pinned, so the order cannot
        change underneath.

        A market is frozen for `round_ttl` at most: then the next call, an order there for one, ends
        what is open or waits. What was closed stands, and the lots come first in the estate's next
        round. Anyone may work on a round, so it runs out only if nobody does for all that time.

        It owns lots and rounds. Positions and money are the clearinghouse's; who is wound up is
        the liquidator's business, the order the engine's.
@custom:kill Cannot be halted: a bankrupt position must always find its end.
"""
from .interfaces import IClearinghouse
from .interfaces import IDeleverager
from .interfaces import IInsuranceVault
from .interfaces import IOracle
from .interfaces import IOrderBook
from .interfaces import IRanking
from .interfaces import IScore
from .modules import checks
from .modules import eligibility
from .modules import owned
from .modules import scoring

implements: IDeleverager

# Steps of the engine, fills and lots finished in one call, all told: at 75,000 gas each at most they
# fit in one transaction (a test finds the dearest), and so do 100 winners of one bankrupt.
MAX_WORK: constant(uint256) = 220
# Lots in one call.
MAX_STEPS: constant(uint256) = 256
MICRO: constant(uint256) = 10**6
# Two for each market: an estate waits at most once.
MAX_ESTATES: constant(uint256) = 128
# Of a preview, and steps of it between two looks at the gas that is left: the most of one stretch,
# and what it takes to hand the plan out.
MAX_PLAN: constant(uint256) = 200
STRETCH: constant(uint256) = 16
STRETCH_GAS: constant(uint256) = 4_000_000

CLOSE_AT_BANKRUPTCY: constant(uint256) = 0
CLOSE_AT_PREVIOUS_MARK: constant(uint256) = 1
CLOSE_AT_MARK: constant(uint256) = 2

# What is done with a lot, in order.
NETTING: constant(uint256) = 0
OWN: constant(uint256) = 1
RANKING: constant(uint256) = 2

# Accounts of one owner that are looked at.
MAX_OWN: constant(uint256) = 16
# Seconds.
MIN_TTL: constant(uint256) = 300
MAX_TTL: constant(uint256) = 86_400
# Micro-USDC: 100 USDC.
MAX_MIN_DEFICIT: constant(uint256) = 10**8

# In the word of an estate: one lot more; in that of the queue: its head.
COUNTED: constant(uint256) = 2**192
HEAD: constant(uint256) = 2**128
# In the clock of a market: a number of it; its estates, of which either waits or has a round.
CLOCK: constant(uint256) = 2**48 - 1
EPOCH_AT: constant(uint256) = 48
ESTATES_AT: constant(uint256) = 96
LONG_ESTATE_AT: constant(uint256) = ESTATES_AT + 64
SHORT_QUEUED: constant(uint256) = 2 ** (ESTATES_AT + 48)
LONG_QUEUED: constant(uint256) = 2 ** (LONG_ESTATE_AT + 48)
QUEUED: constant(uint256) = SHORT_QUEUED | LONG_QUEUED


struct Lot:
    bankrupt: uint256
    size: uint256
    worth: int256


struct Round:
    # 0 while none is open.
    id: uint256
    market: uint256
    # Side of the bankrupt positions; winners are on the other one.
    is_long: bool
    epoch: uint256
    mark: uint256
    previous_mark: uint256
    # Lot at work, and the first one that belongs to a later round.
    lot: uint256
    end: uint256
    # The engine has begun on the lot; fills of it so far.
    ranking: bool
    # By the fallback, as the side is too large for the engine.
    by_fallback: bool
    rank: uint256
    # Of work so far: every call that finds some moves it.
    steps: uint256
    needed: uint256
    taken: uint256
    surplus: uint256
    residual: uint256
    insurance: uint256
    uninsured: uint256
    # The last lot for which no winner was left; size 0: none yet.
    dry_size: uint256
    dry_whole: uint256
    # Of the lot at work: NETTING, OWN or RANKING; the next of the owner's accounts to look at; and
    # what it was before winners were closed.
    stage: uint256
    own: uint256
    lot_size: uint256
    lot_worth: int256
    netted: uint256
    overshoot: int256
    absolute_overshoot: uint256
    # An engine may have left somebody out.
    incomplete: bool
    # Since the engine was last asked in this round nobody was closed but whom it named.
    undisturbed: bool


# What closing winners needs of the lot at work and of its round, looked up once a call. Nothing else can
# ask in between, so what changes with each fill is written when the call or the lot's turn ends.
struct Turn:
    lot: Lot
    # What the lot was worth when the turn was looked up.
    worth: int256
    round: uint256
    market: uint256
    is_long: bool
    epoch: uint256
    mark: uint256
    previous_mark: uint256
    # The close price, ticks, unless it is the lot's own: its bankruptcy price.
    price: uint256
    by_lot: bool
    estate: uint256
    book: address
    # 1 if its winners have a rank, else 0; and the last one's.
    ranked: uint256
    rank: uint256
    # Lots.
    taken: uint256
    # Used in this call.
    steps: uint256
    previews: bool


event PolicySet:
    score: indexed(address)
    close: uint256


event EngineSet:
    engine: indexed(address)
    fallback: indexed(address)


event LimitsSet:
    round_ttl: uint256
    min_deficit: uint256


event LotAdded:
    market: indexed(uint256)
    is_long: indexed(bool)
    bankrupt: indexed(uint256)
    size: uint256
    worth: int256


event RoundOpened:
    round: indexed(uint256)
    market: indexed(uint256)
    is_long: bool
    epoch: uint256
    mark: uint256
    previous_mark: uint256
    needed: uint256


# The receipt of one fill. `quote` is what was paid for `size` lots; `price` the same per lot, in
# 10^-6 ticks, rounded down. `lot_size` and `lot_worth` are the bankrupt's before the fill: their
# ratio is its bankruptcy price. `rank` 0: the bankrupt's own owner's, served before the ranking.
# `exact`: the engine has proved that nobody eligible precedes the winner; if not, nobody precedes it by
# more than the engine's epsilon.
event Deleveraged:
    round: indexed(uint256)
    bankrupt: indexed(uint256)
    winner: indexed(uint256)
    market: uint256
    is_long: bool
    epoch: uint256
    size: uint256
    quote: uint256
    price: uint256
    mark: uint256
    previous_mark: uint256
    lot_size: uint256
    lot_worth: int256
    score: uint256
    rank: uint256
    haircut: int256
    exact: bool


# `size` lots of a long and of a short estate were exchanged for `quote`. Sizes and worths are the two
# lots' before.
event LotsNetted:
    round: indexed(uint256)
    long_bankrupt: indexed(uint256)
    short_bankrupt: indexed(uint256)
    market: uint256
    size: uint256
    quote: uint256
    mark: uint256
    long_size: uint256
    long_worth: int256
    short_size: uint256
    short_worth: int256


# Where the money of a lot ended: `surplus` went to uninsured loss, then to the vault; `residual`
# was paid by insurance, the rest written off. `unfilled` lots found no taker and stay.
event LotSettled:
    round: indexed(uint256)
    bankrupt: indexed(uint256)
    unfilled: uint256
    surplus: uint256
    residual: uint256
    insurance: uint256
    uninsured: uint256


# Lots of an estate that an account took at `price`, ticks: this mark, or the oracle price if that was
# worse for it.
event LotsTaken:
    account: indexed(uint256)
    market: indexed(uint256)
    is_long: bool
    size: uint256
    price: uint256
    mark: uint256


# Of lots, `needed` were there, `taken` by winners, `netted` against the other estate. `overshoot` is
# the sum over the bankrupts whose turn ended, `absolute_overshoot` of its absolute values. `unserved`
# lots of bankrupts did not have their turn: the price was lost or time is up. `is_complete`: no engine
# left anybody out.
event RoundClosed:
    round: indexed(uint256)
    market: indexed(uint256)
    is_long: bool
    needed: uint256
    taken: uint256
    surplus: uint256
    residual: uint256
    insurance: uint256
    uninsured: uint256
    netted: uint256
    overshoot: int256
    absolute_overshoot: uint256
    unserved: uint256
    is_complete: bool


# The market was frozen for `round_ttl`: what was open or waited there has ended.
event RoundExpired:
    market: indexed(uint256)
    frozen_at: uint256


clearinghouse: public(immutable(IClearinghouse))
oracle: public(immutable(IOracle))
vault: public(immutable(IInsuranceVault))

score_rule: public(IScore)
close_rule: public(uint256)
engine: public(IRanking)
# Ranks a side that the engine refuses for its size.
fallback: public(IRanking)
# The engine is a queue: a bankrupt's own owner is served before it.
own_first: public(bool)
# Seconds for which a market is frozen at most; deficits below so many micro-USDC open no round.
round_ttl: public(uint256)
min_deficit: public(uint256)

round_count: public(uint256)
# The open round while a transaction works on it, and between transactions: a round that ends in the
# transaction that opened it is never written to storage.
_round: transient(Round)
_loaded: transient(bool)
# The order book, which is wired once.
_book: transient(address)
_stored: Round
# Fills of a preview, and whether this is one.
_previews: transient(bool)
_plan: transient(DynArray[IDeleverager.Fill, MAX_PLAN])

# By estate (market * 2 + (1 if long)) << 64 | index: bankrupt 64 | size 64 | worth 128, signed.
_lots: HashMap[uint256, uint256]
# By estate: how many lots it had 64 | the first one that is left 64 | sum of the worth of its lots, what
# its cash and quote come to but for funding 128, signed.
_estates: HashMap[uint256, uint256]

# Estates that wait for a round, first in, first out: from the head 128 to before the tail 128.
_queue: HashMap[uint256, uint256]
_queue_ends: uint256
# Of a market: when it was frozen, or if it is not, when a retry may freeze it again 48 | in which epoch
# it was frozen; 0: it is not 48 | of its short estate, then of its long one: epoch in which it was
# last worked through, as lots without takers wait for the next one 48 | whether it waits for a round or
# has one 1.
_clock: HashMap[uint256, uint256]


@deploy
def __init__(clearinghouse_: address, oracle_: address, vault_: address, score: address):
    """
    @notice Closes at the bankruptcy price to begin with, in rounds of an hour, for any deficit.
    """
    clearinghouse = IClearinghouse(clearinghouse_)
    oracle = IOracle(oracle_)
    vault = IInsuranceVault(vault_)
    self._set_policy(score, CLOSE_AT_BANKRUPTCY)
    self._set_limits(3_600, 0)


@external
def set_limits(round_ttl: uint256, min_deficit: uint256):
    """
    @notice Owner only; also while a round is open.
    @param round_ttl Seconds for which a market is frozen at most, 5 minutes to a day. Long enough for
           the work: at 220 steps a call and a call every 12 seconds, a scan of 50,000 holders takes
           46 minutes.
    @param min_deficit Micro-USDC, up to 100 USDC: a bankrupt that lacks less opens no round if
           insurance pays all of it; its lots wait in the estate.
    """
    owned._check_owner(clearinghouse)
    self._set_limits(round_ttl, min_deficit)


@internal
def _set_limits(round_ttl: uint256, min_deficit: uint256):
    checks.require(round_ttl >= MIN_TTL and round_ttl <= MAX_TTL, "deleverager: time out of range")
    checks.require(min_deficit <= MAX_MIN_DEFICIT, "deleverager: deficit out of range")
    self.round_ttl = round_ttl
    self.min_deficit = min_deficit
    log LimitsSet(round_ttl=round_ttl, min_deficit=min_deficit)


@external
def set_policy(score: address, close: uint256):
    """
    @notice Chooses the score contract and the close price: 0 the bankruptcy price, 1 the
            previous mark, 2 the mark (winners lose nothing against it; the gap is the lot's
            residual). Owner only, and not while a round is open.
    """
    owned._check_owner(clearinghouse)
    checks.require(not self._is_busy(), "deleverager: round open")
    self._set_policy(score, close)


@external
def set_engine(engine: address, fallback: address):
    """
    @notice Chooses the contract that ranks or shares out, and the one that ranks where that one
            refuses a side for its size. Owner only.
    @dev Also while a round is open: the lot at work is ranked anew, by the same score. So an engine
         that refuses (a side too large for a scan) can be replaced and no market stays frozen.
    """
    owned._check_owner(clearinghouse)
    checks.require(
        engine.is_contract and fallback.is_contract, "deleverager: engine is not a contract"
    )
    self._load()
    self.engine = IRanking(engine)
    self.fallback = IRanking(fallback)
    self.own_first = staticcall IRanking(engine).is_queue()
    self._round.ranking = False
    self._round.undisturbed = False
    self._save()
    log EngineSet(engine=engine, fallback=fallback)


@internal
def _set_policy(score: address, close: uint256):
    checks.require(score.is_contract, "deleverager: score is not a contract")
    checks.require(close <= CLOSE_AT_MARK, "deleverager: unknown close price")
    self.score_rule = IScore(score)
    self.close_rule = close
    log PolicySet(score=score, close=close)


# --- Work ----------------------------------------------------------------------------------------


@external
def add_lot(
    market: uint256,
    is_long: bool,
    bankrupt: uint256,
    size: uint256,
    worth: int256,
    deficit: uint256 = 0,
):
    """
    @notice Liquidator only: a bankrupt position that the estate has just taken over. Freezes the
            market until a round has dealt with it, unless the deficit is small and insured.
    @dev A small deficit that insurance does not cover does open a round: written off it would put the
         whole venue on reduce-only, which is worse than one market frozen for a round.
    @param deficit What the account lacked in all, micro-USDC; 0: nothing, it was unfillable.
    """
    checks.require(
        msg.sender == staticcall clearinghouse.liquidator(), "deleverager: liquidator only"
    )
    log LotAdded(market=market, is_long=is_long, bankrupt=bankrupt, size=size, worth=worth)
    lot: Lot = Lot(bankrupt=bankrupt, size=size, worth=worth)
    if deficit != 0 and deficit < self.min_deficit:
        equity: int256 = self._at_mark(lot, is_long, staticcall oracle.mark(market))
        missing: uint256 = convert(max(-equity, 0), uint256)
        if missing == 0 or missing <= staticcall vault.available(market):
            lot.worth -= equity
            self._append(market, is_long, lot)
            self._end_lot(market, staticcall clearinghouse.estate(market, is_long), lot, equity)
            # Nor does a retry freeze the market for it in this epoch.
            self._clock[market] = self._tried(market, is_long)
            return
    self._append(market, is_long, lot)
    self._enqueue(market, is_long)


@internal
def _append(market: uint256, is_long: bool, lot: Lot):
    side: uint256 = self._side(market, is_long)
    estate: uint256 = self._estates[side]
    self._keep(market, is_long, estate >> 192, lot)
    self._estates[side] = unsafe_add(estate, COUNTED)
    self._add_worth(market, is_long, lot.worth)


@external
def retry(market: uint256, is_long: bool, max_steps: uint256) -> bool:
    """
    @notice Opens a new round for lots that found no taker, in a later epoch than the last one
            ended in, and does the first `max_steps` of its work. Anyone.
    @dev The market must have been open for as long as it was frozen last, so nobody holds it frozen by
         retries more than half of the time, even if no one else works on the rounds.
    @return Whether there is work left.
    """
    self._require_idle(market, is_long)
    checks.require(max_steps != 0, "deleverager: no steps")
    checks.require(
        self._tried_in(market, is_long) < staticcall oracle.epoch(), "deleverager: tried in this epoch"
    )
    checks.require(block.timestamp >= self._time_of(market), "deleverager: frozen too lately")
    self._enqueue(market, is_long)
    return self._advance(max_steps)


@external
def advance(max_steps: uint256) -> bool:
    """
    @notice Works on the open round, or opens the next one: looks at holders, closes winners,
            settles lots, `max_steps` of these all told (at most 220 a call). Anyone.
    @return Whether there is work left.
    """
    return self._advance(max_steps)


@external
def serve(market: uint256, max_steps: uint256):
    """
    @notice For who wants to trade in a market: ends what is open or waits there if its time is up, or
            else advances. Anyone; an order that meets a round does it.
    """
    self._load()
    if self._is_expired(market):
        self._expire(market)
        self._save()
    else:
        self._advance(max_steps)


@internal
def _advance(max_steps: uint256) -> bool:
    self._load()
    if self._round.id != 0:
        if self._is_expired(self._round.market):
            # And no more in this call: whatever stopped the round must not undo its end.
            self._expire(self._round.market)
            self._save()
            return self._is_busy()
        if not staticcall oracle.is_fresh(self._round.market):
            self._park_round()
    most: uint256 = min(max_steps, MAX_WORK)
    steps: uint256 = 0
    for _: uint256 in range(4 * MAX_WORK):
        if steps >= most:
            break
        if self._round.id == 0:
            if not self._open_round():
                break
        if self._round.lot == self._round.end:
            self._close_round()
            continue
        lot: Lot = self._lot(self._round.market, self._round.is_long, self._round.lot)
        if lot.size == 0:
            self._next_lot()
        elif self._round.stage == NETTING:
            steps += self._net(lot)
        elif not self._round.ranking and self._is_dry(lot):
            steps += 1
            self._settle(lot)
        elif self._round.stage == OWN:
            steps += self._close_own(lot, most - steps)
        else:
            steps += self._rank(lot, most - steps)
    self._round.steps += steps
    self._save()
    return self._is_busy()


@internal
def _load():
    """
    @notice Fetches the open round, once a transaction.
    """
    if not self._loaded:
        self._loaded = True
        # All of it is zero where none is open: 26 words need no look.
        if self._stored.id != 0:
            self._round = self._stored


@internal
def _save():
    """
    @notice Keeps the round for the next transaction, if it is still open.
    """
    if self._round.id != 0:
        self._stored = self._round
    elif self._stored.id != 0:
        self._stored = empty(Round)


@internal
def _enqueue(market: uint256, is_long: bool):
    if self._is_queued(market, is_long):
        return
    clock: uint256 = self._clock[market]
    if clock & QUEUED == 0:
        clock = self._timed(clock, block.timestamp | (staticcall oracle.epoch() << EPOCH_AT))
        extcall clearinghouse.freeze(market, True)
        extcall oracle.pin(market, True)
    self._clock[market] = clock | self._queued_bit(is_long)
    self._push_back(self._side(market, is_long))


@internal
def _push_back(estate: uint256):
    ends: uint256 = self._queue_ends
    self._queue[ends & (2**128 - 1)] = estate
    self._queue_ends = unsafe_add(ends, 1)


@internal
def _open_round() -> bool:
    """
    @notice Opens the round of the estate that has waited longest in a market with a fresh price.
    @return False if there is none. A market that nobody prices goes to the end of the queue: it
            must not hold up the others.
    """
    ends: uint256 = self._queue_ends
    waiting: uint256 = (ends % HEAD) - ends // HEAD
    market: uint256 = 0
    is_long: bool = False
    found: bool = False
    for _: uint256 in range(waiting, bound=MAX_ESTATES):
        ends = self._queue_ends
        head: uint256 = ends // HEAD
        if head == ends % HEAD:
            break
        entry: uint256 = self._queue[head]
        market = entry // 2
        is_long = entry % 2 == 1
        if self._is_expired(market):
            self._expire(market)
            continue
        # Given back to the chain, which pays for it.
        self._queue[head] = 0
        self._queue_ends = unsafe_add(ends, HEAD)
        if not self._lots_left(market, is_long):
            # All of it was netted in the round of the other side.
            self._thaw(market, is_long)
            continue
        if staticcall oracle.is_fresh(market):
            found = True
            break
        self._push_back(entry)
    if not found:
        return False
    if self._lots_left(market, not is_long):
        self._absorb(market, not is_long)
    needed: uint256 = self._absorb(market, is_long)
    self.round_count += 1
    self._begin(market, is_long, self.round_count, self._first(market, is_long))
    self._round.end = self._count(market, is_long)
    self._round.needed = needed
    log RoundOpened(
        round=self._round.id,
        market=market,
        is_long=is_long,
        epoch=self._round.epoch,
        mark=self._round.mark,
        previous_mark=self._round.previous_mark,
        needed=needed,
    )
    return True


@internal
def _begin(market: uint256, is_long: bool, id: uint256, lot: uint256):
    """
    @notice The round at work is a new one, at the prices of this moment.
    @dev Its epoch is that of its marks, which are pinned while the market is frozen: what came in then
         lowers no score however long the market has waited.
    """
    self._round = empty(Round)
    self._round.id = id
    self._round.market = market
    self._round.is_long = is_long
    self._round.epoch = self._epoch_of(market)
    self._round.mark = staticcall oracle.mark(market)
    self._round.previous_mark = staticcall oracle.previous_mark(market)
    self._round.lot = lot


@internal
def _close_round():
    market: uint256 = self._round.market
    is_long: bool = self._round.is_long
    self._pass_empty(market, is_long)
    self._log_closed()
    self._round = empty(Round)
    self._thaw(market, is_long)


@internal
def _thaw(market: uint256, is_long: bool):
    """
    @notice One side of a market has no round any more; with the other one the market is free.
    """
    # The epoch in which it ends, not began: a long round must not be repeated at once.
    clock: uint256 = self._tried(market, is_long) & ~self._queued_bit(is_long)
    if clock & QUEUED == 0:
        extcall oracle.pin(market, False)
        extcall clearinghouse.freeze(market, False)
        clock = self._timed(clock, 2 * block.timestamp - (clock & CLOCK))
    self._clock[market] = clock


@view
@internal
def _is_expired(market: uint256) -> bool:
    clock: uint256 = self._clock[market]
    return clock & QUEUED != 0 and block.timestamp >= (clock & CLOCK) + self.round_ttl


@view
@internal
def _epoch_of(market: uint256) -> uint256:
    frozen_in: uint256 = (self._clock[market] >> EPOCH_AT) & CLOCK
    return frozen_in if frozen_in != 0 else staticcall oracle.epoch()


@view
@internal
def _time_of(market: uint256) -> uint256:
    return self._clock[market] & CLOCK


@internal
def _expire(market: uint256):
    log RoundExpired(market=market, frozen_at=self._time_of(market))
    self._end_all(market)


@internal
def _end_all(market: uint256):
    """
    @notice Ends the open round, if it is this market's, and whatever waits there; the lots stay.
    """
    if self._round.id != 0 and self._round.market == market:
        self._log_closed()
        self._round = empty(Round)
    head: uint256 = self._queue_ends // HEAD
    tail: uint256 = head
    for i: uint256 in range(head, self._queue_ends % HEAD, bound=MAX_ESTATES):
        entry: uint256 = self._queue[i]
        if entry // 2 != market:
            self._queue[tail] = entry
            tail += 1
    self._queue_ends = head * HEAD + tail
    for is_long: bool in [True, False]:
        if self._is_queued(market, is_long):
            self._thaw(market, is_long)


@internal
def _log_closed():
    log RoundClosed(
        round=self._round.id,
        market=self._round.market,
        is_long=self._round.is_long,
        needed=self._round.needed,
        taken=self._round.taken,
        surplus=self._round.surplus,
        residual=self._round.residual,
        insurance=self._round.insurance,
        uninsured=self._round.uninsured,
        netted=self._round.netted,
        overshoot=self._round.overshoot,
        absolute_overshoot=self._round.absolute_overshoot,
        unserved=self._round.end - self._round.lot,
        is_complete=not self._round.incomplete,
    )


@internal
def _park_round():
    """
    @notice The market of the open round has lost its price: what was closed stands, the lots left
            wait at the end of the queue, and the other markets go on.
    """
    self._push_back(self._side(self._round.market, self._round.is_long))
    self._log_closed()
    self._round = empty(Round)


@external
def release(market: uint256):
    """
    @notice Governor only, on settlement: whatever round is open or waits in the market ends.
    """
    checks.require(msg.sender == staticcall clearinghouse.governor(), "deleverager: governor only")
    self._load()
    self._end_all(market)
    self._save()


@internal
def _pass_empty(market: uint256, is_long: bool):
    """
    @notice Lots that ended are passed for good; the first one left begins the next round.
    """
    first: uint256 = self._first(market, is_long)
    end: uint256 = self._count(market, is_long)
    passed: uint256 = 0
    for _: uint256 in range(MAX_STEPS):
        lot: uint256 = first + passed
        if lot == end or self._lot(market, is_long, lot).size != 0:
            break
        passed += 1
    self._pass(market, is_long, passed)


@internal
def _absorb(market: uint256, is_long: bool) -> uint256:
    """
    @notice Funding that an estate paid or received while its lots waited becomes part of the oldest
            lot's worth.
    @return Lots of the estate's position.
    """
    self._pass_empty(market, is_long)
    estate: uint256 = staticcall clearinghouse.estate(market, is_long)
    position: IClearinghouse.Position = staticcall clearinghouse.position(estate, market)
    at_mark: int256 = position.size * convert(staticcall clearinghouse.mark(market), int256)
    funding: int256 = (
        staticcall clearinghouse.equity(estate) - at_mark - self._worth_of(market, is_long)
    )
    if funding != 0:
        first: uint256 = self._first(market, is_long)
        oldest: Lot = self._lot(market, is_long, first)
        oldest.worth += funding
        self._keep(market, is_long, first, oldest)
        self._add_worth(market, is_long, funding)
    return convert(abs(position.size), uint256)


@internal
def _next_lot():
    self._round.lot += 1
    self._round.rank = 0
    self._round.ranking = False
    self._round.stage = NETTING
    self._round.own = 0


# --- Before the ranking --------------------------------------------------------------------------


@internal
def _net(lot: Lot) -> uint256:
    """
    @notice Exchanges the lot at work for the oldest one of the market's other estate, if there is a
            price that leaves neither below zero: at least the long's bankruptcy price, at most the
            short's.
    @dev At the mark, so that neither gains at the other's cost; where the mark is outside of these two,
         at the nearer one: what one lot lacks the other pays, and not a winner. Whole micro-USDC: the
         long's end is rounded up, the short's down, so whoever is at its end bears no unit. Only the
         oldest one is tried: with all of them the work would be the product of two counts.
    @return Steps used: 3 if lots were exchanged, and two of them may have ended; else 0.
    """
    market: uint256 = self._round.market
    is_long: bool = self._round.is_long
    self._pass_empty(market, not is_long)
    index: uint256 = self._first(market, not is_long)
    other: Lot = self._lot(market, not is_long, index)
    long: Lot = lot if is_long else other
    short: Lot = other if is_long else lot
    size: uint256 = min(long.size, short.size)
    least: uint256 = 0
    most: uint256 = 0
    if size != 0:
        least = self._ceil_div(convert(max(-long.worth, 0), uint256) * size, long.size)
        most = convert(max(short.worth, 0), uint256) * size // short.size
    if size == 0 or short.worth < 0 or least > most:
        self._round.stage = OWN if self.own_first else RANKING
        self._round.lot_size = lot.size
        self._round.lot_worth = lot.worth
        return 0
    quote: uint256 = min(max(size * self._round.mark, least), most)
    estate: uint256 = staticcall clearinghouse.estate(market, is_long)
    other_estate: uint256 = staticcall clearinghouse.estate(market, not is_long)
    log LotsNetted(
        round=self._round.id,
        long_bankrupt=long.bankrupt,
        short_bankrupt=short.bankrupt,
        market=market,
        size=size,
        quote=quote,
        mark=self._round.mark,
        long_size=long.size,
        long_worth=long.worth,
        short_size=short.size,
        short_worth=short.worth,
    )
    ours: Lot = lot
    paid: int256 = convert(quote, int256)
    if is_long:
        extcall clearinghouse.exchange(market, other_estate, estate, size, quote)
    else:
        extcall clearinghouse.exchange(market, estate, other_estate, size, quote)
        paid = -paid
    ours.size -= size
    ours.worth += paid
    other.size -= size
    other.worth -= paid
    self._add_worth(market, is_long, paid)
    self._add_worth(market, not is_long, -paid)
    self._round.netted += size
    if other.size == 0:
        self._add_worth(market, not is_long, -other.worth)
        self._end_lot(market, other_estate, other, other.worth)
        other.worth = 0
        self._pass(market, not is_long, 1)
    self._keep(market, not is_long, index, other)
    self._keep(market, is_long, self._round.lot, ours)
    if ours.size == 0:
        self._round.lot_size = 0
        self._settle(ours)
    return 3


@internal
def _close_own(lot: Lot, max_steps: uint256) -> uint256:
    """
    @notice Closes winners of the bankrupt's own owner, in the order in which it opened its accounts: who
            is both sides of a position pays for it first. Outside of the ranking and never exempted: an
            exemption could be bought with a dust account.
    @return Steps used: one for each close, one for having looked at them all.
    """
    market: uint256 = self._round.market
    is_long: bool = self._round.is_long
    accounts: DynArray[uint256, MAX_OWN] = staticcall clearinghouse.accounts_of(
        staticcall clearinghouse.account_owner(lot.bankrupt)
    )
    # The bankrupt's is the only one.
    if len(accounts) <= 1:
        self._round.stage = RANKING
        return 0
    turn: Turn = self._turn(lot)
    own: uint256 = self._round.own
    # Once more than there can be accounts.
    for _: uint256 in range(MAX_OWN + 1):
        if turn.steps >= max_steps or turn.lot.size == 0:
            break
        if own >= len(accounts):
            self._round.stage = RANKING
            turn.steps += 1
            break
        account: uint256 = accounts[own]
        own += 1
        size: int256 = (staticcall clearinghouse.position(account, market)).size
        if size == 0 or (size > 0) == is_long:
            continue
        score: uint256 = 0
        pnl: int256 = 0
        score, pnl = self._score(account, market)
        # 0: the rule lets nobody close it.
        if score == 0:
            turn.steps += 1
            continue
        turn = self._close_winner(
            turn,
            IRanking.Pick(
                account=account,
                size=max_value(uint256),
                score=score,
                pnl=pnl,
                exact=True,
                steps=0,
                more=False,
            ),
        )
        # What is left of it has another score.
        self._round.undisturbed = False
    self._round.own = own
    self._end_turn(turn)
    return turn.steps


# --- Ranking -------------------------------------------------------------------------------------


@internal
def _rank(lot: Lot, max_steps: uint256) -> uint256:
    """
    @notice Asks the engine for one winner after the other and closes them, until the lot is gone, nobody
            is left, or the steps are used.
    @return Steps used: the engine's, those of the winners, and two for the end of the lot.
    """
    turn: Turn = self._turn(lot)
    begins: bool = not self._round.ranking
    if begins:
        # Else dust accounts that make a side too large would keep a market frozen.
        self._round.by_fallback = not staticcall self.engine.is_allowed(
            turn.market, not turn.is_long
        )
    ranking: IRanking = self.fallback if self._round.by_fallback else self.engine
    if begins:
        numerator: uint256 = 0
        denominator: uint256 = 0
        numerator, denominator = self._close_price(
            lot, turn.is_long, turn.by_lot, turn.price
        )
        extcall ranking.begin(
            IRanking.Query(
                market=turn.market,
                winners_long=not turn.is_long,
                mark=turn.mark,
                numerator=numerator,
                denominator=denominator,
                size=lot.size,
                epoch=turn.epoch,
                score=self.score_rule.address,
                undisturbed=self._round.undisturbed,
            )
        )
        self._round.ranking = True
        self._round.undisturbed = True
        if not staticcall ranking.is_complete(turn.market, not turn.is_long):
            self._round.incomplete = True
    is_over: bool = False
    for _: uint256 in range(MAX_WORK):
        if is_over or turn.steps >= max_steps:
            break
        pick: IRanking.Pick = extcall ranking.next(unsafe_sub(max_steps, turn.steps))
        if pick.more:
            turn.steps = unsafe_add(turn.steps, max(pick.steps, 1))
            continue
        turn.steps = unsafe_add(turn.steps, pick.steps)
        if pick.account == 0:
            is_over = True
            turn.steps += 1
        else:
            turn = self._close_winner(turn, pick)
            # The end of a lot is two of its own: insurance may have to pay.
            if turn.lot.size == 0:
                is_over = True
                turn.steps += 2
    self._end_turn(turn)
    # What nobody takes.
    if is_over and turn.lot.size != 0:
        self._settle(turn.lot)
    return turn.steps


@internal
def _turn(lot: Lot) -> Turn:
    """
    @notice The lot at work, and what is needed of its round.
    """
    if self._book == empty(address):
        self._book = staticcall clearinghouse.order_book()
    market: uint256 = self._round.market
    is_long: bool = self._round.is_long
    mark: uint256 = self._round.mark
    previous_mark: uint256 = self._round.previous_mark
    rule: uint256 = self.close_rule
    return Turn(
        lot=lot,
        worth=lot.worth,
        round=self._round.id,
        market=market,
        is_long=is_long,
        epoch=self._round.epoch,
        mark=mark,
        previous_mark=previous_mark,
        price=mark if rule == CLOSE_AT_MARK else previous_mark,
        by_lot=rule == CLOSE_AT_BANKRUPTCY,
        estate=staticcall clearinghouse.estate(market, is_long),
        book=self._book,
        ranked=1 if self._round.stage == RANKING else 0,
        rank=self._round.rank,
        taken=0,
        steps=0,
        previews=self._previews,
    )


@internal
def _end_turn(turn: Turn):
    """
    @notice Writes down what the turn's fills have changed, and settles the lot if they took all of it.
    """
    if turn.taken == 0:
        return
    self._add_worth(turn.market, turn.is_long, turn.lot.worth - turn.worth)
    self._round.rank = turn.rank
    self._round.taken += turn.taken
    if turn.lot.size == 0:
        self._settle(turn.lot)
    else:
        self._keep(turn.market, turn.is_long, self._round.lot, turn.lot)


@pure
@internal
def _close_price(lot: Lot, is_long: bool, by_lot: bool, price: uint256) -> (uint256, uint256):
    """
    @notice Ticks per lot at which winners are closed, as a fraction.
    """
    if by_lot:
        return self._whole(lot, is_long), lot.size
    return price, 1


@view
@internal
def _is_dry(lot: Lot) -> bool:
    """
    @notice Whether an earlier lot of this round found no winner at a close price as good for
            winners as this one's: then nobody is eligible here either, and no scan is needed.
    @dev Being in profit and bearing a loss are both monotone in the price. Only where winners gain
         against the mark does the size matter too (it lifts an equity below zero).
    """
    if self._round.dry_size == 0:
        return False
    if self.close_rule != CLOSE_AT_BANKRUPTCY:
        return lot.size <= self._round.dry_size
    here: uint256 = self._whole(lot, self._round.is_long)
    at_mark: uint256 = lot.size * self._round.mark
    ours: uint256 = here * self._round.dry_size
    theirs: uint256 = self._round.dry_whole * lot.size
    if self._round.is_long:
        return ours >= theirs and (here >= at_mark or lot.size <= self._round.dry_size)
    return ours <= theirs and (here <= at_mark or lot.size <= self._round.dry_size)


# --- Closing -------------------------------------------------------------------------------------


@internal
def _close_winner(turn: Turn, pick: IRanking.Pick) -> Turn:
    """
    @notice Closes a winner against the lot, as far as both go. Whether it is eligible is judged
            here, from live state, whatever the engine says.
    @dev At the bankruptcy price the quote is computed from what is left of the lot, so the last fill
         takes the lot's worth to exactly 0; until then the winner bears the unit: it pays
         rounded up for a bankrupt long and receives rounded down for a bankrupt short.

         Sizes are below 2^64, prices below 2^24 and worths below 2^127, so nothing here can overflow.
    @return The turn as it is then. A winner takes three steps if it has positions in other markets
            too, each of which is read, else one.
    """
    market: uint256 = turn.market
    is_long: bool = turn.is_long
    mark: uint256 = turn.mark
    stake: IClearinghouse.Stake = staticcall clearinghouse.stake(pick.account, market)
    after: Turn = turn
    after.steps = unsafe_add(turn.steps, 1 if stake.is_single else 3)
    if not stake.is_trader:
        return after
    numerator: uint256 = 0
    denominator: uint256 = 0
    numerator, denominator = self._close_price(turn.lot, is_long, turn.by_lot, turn.price)
    size: uint256 = min(
        pick.size,
        eligibility.bearable(
            stake.size,
            stake.quote,
            stake.equity,
            not is_long,
            mark,
            numerator,
            denominator,
            turn.lot.size,
        ),
    )
    if size == 0:
        return after
    after.lot.size = unsafe_sub(turn.lot.size, size)
    after.taken = unsafe_add(turn.taken, size)
    after.rank = unsafe_add(turn.rank, turn.ranked)
    quote: uint256 = unsafe_mul(numerator, size)
    haircut: int256 = 0
    if is_long:
        quote = unsafe_div(unsafe_add(quote, unsafe_sub(denominator, 1)), denominator)
        paid: int256 = convert(quote, int256)
        haircut = unsafe_sub(paid, convert(unsafe_mul(size, mark), int256))
        after.lot.worth = unsafe_add(turn.lot.worth, paid)
        extcall clearinghouse.exchange(market, pick.account, turn.estate, size, quote)
    else:
        quote = unsafe_div(quote, denominator)
        paid: int256 = convert(quote, int256)
        haircut = unsafe_sub(convert(unsafe_mul(size, mark), int256), paid)
        after.lot.worth = unsafe_sub(turn.lot.worth, paid)
        extcall clearinghouse.exchange(market, turn.estate, pick.account, size, quote)
    extcall IOrderBook(turn.book).void_orders(pick.account)
    if turn.previews:
        self._plan.append(
            IDeleverager.Fill(
                winner=pick.account,
                size=size,
                quote=quote,
                score=pick.score,
                rank=after.rank,
                haircut=haircut,
                exact=pick.exact,
            )
        )
    log Deleveraged(
        round=turn.round,
        bankrupt=turn.lot.bankrupt,
        winner=pick.account,
        market=market,
        is_long=is_long,
        epoch=turn.epoch,
        size=size,
        quote=quote,
        price=unsafe_div(unsafe_mul(quote, MICRO), size),
        mark=mark,
        previous_mark=turn.previous_mark,
        lot_size=turn.lot.size,
        lot_worth=turn.lot.worth,
        score=pick.score,
        rank=after.rank,
        haircut=haircut,
        exact=pick.exact,
    )
    return after


@pure
@internal
def _ceil_div(amount: uint256, divisor: uint256) -> uint256:
    return (amount + divisor - 1) // divisor


@pure
@internal
def _at_mark(lot: Lot, is_long: bool, mark: uint256) -> int256:
    """
    @notice What the lot is worth at the mark, micro-USDC; below 0 its estate lacks as much.
    """
    at_mark: int256 = convert(lot.size * mark, int256)
    return lot.worth + (at_mark if is_long else -at_mark)


@pure
@internal
def _whole(lot: Lot, is_long: bool) -> uint256:
    """
    @notice micro-USDC for which all of the lot closes at its bankruptcy price; never below 0.
    """
    return convert(max(-lot.worth if is_long else lot.worth, 0), uint256)


@internal
def _make_whole(market: uint256, estate: uint256, equity: int256) -> (uint256, uint256, uint256):
    """
    @notice Takes what a lot is worth out of its estate: a gain repays uninsured loss, then goes to
            the vault; a loss is paid by insurance, then written off.
    @return Surplus, residual, and the part of the residual that insurance paid; micro-USDC.
    """
    if equity >= 0:
        surplus: uint256 = convert(equity, uint256)
        recovered: uint256 = min(surplus, staticcall clearinghouse.uninsured())
        if recovered != 0:
            extcall clearinghouse.recover(estate, recovered)
        if surplus > recovered:
            extcall clearinghouse.transfer_cash(
                estate, staticcall clearinghouse.vault_account(), surplus - recovered
            )
        return surplus, 0, 0
    residual: uint256 = convert(-equity, uint256)
    insurance: uint256 = extcall vault.pay(market, estate, residual)
    if residual > insurance:
        extcall clearinghouse.write_off(estate, residual - insurance)
    return 0, residual, insurance


@internal
def _end_lot(market: uint256, estate: uint256, lot: Lot, equity: int256):
    """
    @notice Books what a lot was worth that ends outside of a round of its estate; `lot.size` lots stay.
    """
    surplus: uint256 = 0
    residual: uint256 = 0
    insurance: uint256 = 0
    surplus, residual, insurance = self._make_whole(market, estate, equity)
    log LotSettled(
        round=0,
        bankrupt=lot.bankrupt,
        unfilled=lot.size,
        surplus=surplus,
        residual=residual,
        insurance=insurance,
        uninsured=residual - insurance,
    )


@external
def close_settled(market: uint256, is_long: bool, max_lots: uint256):
    """
    @notice Closes up to `max_lots` (at most 256) lots of a settled market at the settlement price.
            Anyone.
    """
    other: uint256 = staticcall clearinghouse.settlement_account(market)
    checks.require(other != 0, "clearinghouse: market not settled")
    price: uint256 = staticcall clearinghouse.mark(market)
    estate: uint256 = staticcall clearinghouse.estate(market, is_long)
    self._absorb(market, is_long)
    for _: uint256 in range(min(max_lots, MAX_STEPS), bound=MAX_STEPS):
        first: uint256 = self._first(market, is_long)
        if first == self._count(market, is_long):
            break
        self._pass(market, is_long, 1)
        lot: Lot = self._lot(market, is_long, first)
        if lot.size == 0:
            continue
        quote: int256 = convert(lot.size * price, int256)
        if is_long:
            extcall clearinghouse.exchange(market, other, estate, lot.size, lot.size * price)
        else:
            extcall clearinghouse.exchange(market, estate, other, lot.size, lot.size * price)
            quote = -quote
        self._add_worth(market, is_long, -lot.worth)
        ended: Lot = Lot(bankrupt=lot.bankrupt, size=0, worth=0)
        self._keep(market, is_long, first, ended)
        self._end_lot(market, estate, ended, lot.worth + quote)


@external
def take(account: uint256, market: uint256, is_long: bool, size: uint256) -> uint256:
    """
    @notice Lots of an estate that found no winner go to whoever wants them, oldest first, at the mark,
            or at the oracle price while that is worse for who takes: as a fill for `account`, by its
            owner, with its margin check and maker fee. At most 64 lots' bankrupts a call. Reverts while
            a round is open or waits there, or the price is stale.
    @dev The insurance vault answers for the lots: a mark that walks to a price which all know already
         would be a present from it. What a lot is worth beyond its price once it is empty goes the
         way of any lot's.
    @param is_long Side of the estate: a long one sells.
    @return Lots taken: `size`, or what there is.
    """
    self._require_owner(account)
    self._require_idle(market, is_long)
    self._absorb(market, is_long)
    estate: uint256 = staticcall clearinghouse.estate(market, is_long)
    price: uint256 = staticcall oracle.oracle_price(market)
    mark: uint256 = staticcall clearinghouse.mark(market)
    price = max(price, mark) if is_long else min(price, mark)
    taken: uint256 = 0
    for _: uint256 in range(64):
        first: uint256 = self._first(market, is_long)
        if taken == size or first == self._count(market, is_long):
            break
        lot: Lot = self._lot(market, is_long, first)
        lots: uint256 = min(lot.size, size - taken)
        if lots != 0:
            outcome: uint256 = extcall clearinghouse.fill(
                market, estate, account, not is_long, lots, price, True
            )
            checks.require(outcome == 0, "deleverager: margin does not allow it")
        paid: int256 = convert(lots * price, int256)
        if not is_long:
            paid = -paid
        taken += lots
        lot.size -= lots
        lot.worth += paid
        self._add_worth(market, is_long, paid)
        if lot.size == 0:
            self._pass(market, is_long, 1)
            self._add_worth(market, is_long, -lot.worth)
            self._end_lot(market, estate, lot, lot.worth)
            lot.worth = 0
        self._keep(market, is_long, first, lot)
    log LotsTaken(
        account=account, market=market, is_long=is_long, size=taken, price=price, mark=mark
    )
    return taken


@external
def net(long: uint256, short: uint256, market: uint256) -> uint256:
    """
    @notice Closes opposite positions of two accounts of the caller's against each other, as far as the
            smaller one goes, at the mark and without a fee: nobody else takes part. The book prevents
            self-trade, and while nobody may add risk there is no third to stand between them.
    @dev At the mark no equity moves, so a margin ratio only rises; but no hole may stay behind in a
         flat account.
    @return Lots closed.
    """
    for account: uint256 in [long, short]:
        self._require_owner(account)
        checks.require(not staticcall clearinghouse.is_frozen(account), "deleverager: round open")
        checks.require(staticcall clearinghouse.equity(account) >= 0, "deleverager: below zero")
    self._require_unsettled(market)
    self._require_fresh(market)
    size: int256 = min(
        (staticcall clearinghouse.position(long, market)).size,
        -(staticcall clearinghouse.position(short, market)).size,
    )
    checks.require(size > 0, "deleverager: nothing to net")
    lots: uint256 = convert(size, uint256)
    extcall clearinghouse.exchange(
        market, short, long, lots, lots * staticcall clearinghouse.mark(market)
    )
    return lots


@internal
def _settle(lot: Lot):
    """
    @notice Ends the lot's turn: what it is worth at the mark goes to where it belongs, so that
            the estate's equity for it is 0, filled or not.
    @dev With nothing unfilled the mark plays no part.
    """
    market: uint256 = self._round.market
    is_long: bool = self._round.is_long
    estate: uint256 = staticcall clearinghouse.estate(market, is_long)
    equity: int256 = self._at_mark(lot, is_long, self._round.mark)
    self._count_overshoot(lot)
    surplus: uint256 = 0
    residual: uint256 = 0
    insurance: uint256 = 0
    surplus, residual, insurance = self._make_whole(market, estate, equity)
    left: Lot = lot
    left.worth -= equity
    self._add_worth(market, is_long, -equity)
    self._keep(market, is_long, self._round.lot, left)
    if lot.size != 0:
        self._round.dry_size = lot.size
        self._round.dry_whole = self._whole(lot, is_long)
    self._round.surplus += surplus
    self._round.residual += residual
    self._round.insurance += insurance
    self._round.uninsured += residual - insurance
    log LotSettled(
        round=self._round.id,
        bankrupt=lot.bankrupt,
        unfilled=lot.size,
        surplus=surplus,
        residual=residual,
        insurance=insurance,
        uninsured=residual - insurance,
    )
    self._next_lot()


@internal
def _count_overshoot(lot: Lot):
    """
    @notice What the winners of this lot paid, less the part of its bankruptcy value that they took.
    """
    taken: uint256 = self._round.lot_size - lot.size
    if taken == 0:
        return
    # `worth` grows by what a long is closed for, and shrinks by what a short is.
    over: int256 = lot.worth - self._round.lot_worth
    if self._round.is_long:
        whole: uint256 = convert(max(-self._round.lot_worth, 0), uint256)
        over -= convert(self._ceil_div(whole * taken, self._round.lot_size), int256)
    else:
        whole: uint256 = convert(max(self._round.lot_worth, 0), uint256)
        over += convert(whole * taken // self._round.lot_size, int256)
    self._round.overshoot += over
    self._round.absolute_overshoot += convert(abs(over), uint256)


# --- Preview -------------------------------------------------------------------------------------


@external
def preview(market: uint256, is_long: bool, size: uint256, worth: int256):
    """
    @notice Always reverts. What it reverts with is the plan of a round that begins now, at a fresh
            price, with one lot of `size` lots and `worth` (what the estate paid, -, or received, +):
            the ABI encoding of its fills, the lots left without a taker, and whether it came to its end
            (not if 200 fills or the gas of the call were too few). `AdlLens` reads it.
    @dev The same code as a round, on the same state, down to each transfer of money; only that all of
         it is undone. So it needs nobody's permission.
    """
    checks.require(
        0 < size and size < 2**55 and abs(worth) < 2**80, "deleverager: lot out of range"
    )
    self._require_unsettled(market)
    self._require_fresh(market)
    place: uint256 = self._count(market, is_long)
    self._keep(market, is_long, place, Lot(bankrupt=0, size=size, worth=worth))
    self._loaded = True
    self._previews = True
    self._begin(market, is_long, self.round_count + 1, place)
    self._round.end = place + 1
    self._round.stage = RANKING
    self._round.lot_size = size
    self._round.lot_worth = worth
    left: Lot = Lot(bankrupt=0, size=size, worth=worth)
    for _: uint256 in range(2**20):
        if self._round.lot != place or len(self._plan) == MAX_PLAN or msg.gas < STRETCH_GAS:
            break
        # At most one fill a step.
        self._rank(left, min(STRETCH, MAX_PLAN - len(self._plan)))
        left = self._lot(market, is_long, place)
    raw_revert(abi_encode(self._plan, left.size, self._round.lot != place))


# --- Views ---------------------------------------------------------------------------------------


@view
@external
def owner() -> address:
    """
    @notice The venue's owner, as the governor names it.
    """
    return owned._owner(clearinghouse)


@view
@internal
def _require_idle(market: uint256, is_long: bool):
    """
    @notice Lots are left of an estate, and no round has them.
    """
    checks.require(self._lots_left(market, is_long), "deleverager: no lots left")
    self._require_unsettled(market)
    checks.require(not self._is_queued(market, is_long), "deleverager: round open")
    self._require_fresh(market)


@view
@internal
def _require_unsettled(market: uint256):
    checks.require(
        staticcall clearinghouse.settlement_account(market) == 0, "deleverager: market settled"
    )


@view
@internal
def _require_fresh(market: uint256):
    checks.require(staticcall oracle.is_fresh(market), "oracle: stale price")


@view
@internal
def _require_owner(account: uint256):
    checks.require(
        staticcall clearinghouse.account_owner(account) == msg.sender,
        "deleverager: not your account",
    )


@view
@internal
def _is_busy() -> bool:
    # What is stored is up to date outside of `_advance`, which saves before it asks.
    ends: uint256 = self._queue_ends
    return self._stored.id != 0 or ends // HEAD != ends % HEAD


@view
@internal
def _lots_left(market: uint256, is_long: bool) -> bool:
    return self._first(market, is_long) != self._count(market, is_long)


# --- Packed words --------------------------------------------------------------------------------


@pure
@internal
def _side(market: uint256, is_long: bool) -> uint256:
    return (market << 1) | convert(is_long, uint256)


@view
@internal
def _lot(market: uint256, is_long: bool, index: uint256) -> Lot:
    word: uint256 = self._lots[(self._side(market, is_long) << 64) | index]
    # Up to the top bit, then down again: the second shift copies the sign.
    worth: int256 = convert(convert(word << 128, bytes32), int256) >> 128
    return Lot(bankrupt=word >> 192, size=(word >> 128) & (2**64 - 1), worth=worth)


@internal
def _keep(market: uint256, is_long: bool, index: uint256, lot: Lot):
    # Nothing is kept of a lot that ended.
    word: uint256 = 0
    if lot.size != 0 or lot.worth != 0:
        word = convert(convert(lot.worth, bytes32), uint256) & (2**128 - 1)
        word |= (lot.bankrupt << 192) | (lot.size << 128)
    self._lots[(self._side(market, is_long) << 64) | index] = word


@view
@internal
def _first(market: uint256, is_long: bool) -> uint256:
    return (self._estates[self._side(market, is_long)] >> 128) & (2**64 - 1)


@view
@internal
def _count(market: uint256, is_long: bool) -> uint256:
    return self._estates[self._side(market, is_long)] >> 192


@internal
def _pass(market: uint256, is_long: bool, lots: uint256):
    side: uint256 = self._side(market, is_long)
    self._estates[side] = unsafe_add(self._estates[side], lots << 128)


@view
@internal
def _worth_of(market: uint256, is_long: bool) -> int256:
    word: uint256 = self._estates[self._side(market, is_long)]
    return convert(convert(word << 128, bytes32), int256) >> 128


@internal
def _add_worth(market: uint256, is_long: bool, amount: int256):
    side: uint256 = self._side(market, is_long)
    word: uint256 = self._estates[side]
    sum: uint256 = unsafe_add(word, convert(convert(amount, bytes32), uint256))
    self._estates[side] = word ^ ((word ^ sum) & (2**128 - 1))


@pure
@internal
def _tried_at(is_long: bool) -> uint256:
    return LONG_ESTATE_AT if is_long else ESTATES_AT


@pure
@internal
def _queued_bit(is_long: bool) -> uint256:
    return LONG_QUEUED if is_long else SHORT_QUEUED


@view
@internal
def _is_queued(market: uint256, is_long: bool) -> bool:
    return self._clock[market] & self._queued_bit(is_long) != 0


@view
@internal
def _tried_in(market: uint256, is_long: bool) -> uint256:
    return (self._clock[market] >> self._tried_at(is_long)) & CLOCK


@view
@internal
def _tried(market: uint256, is_long: bool) -> uint256:
    """
    @notice A market's clock, one of its estates worked through in this epoch.
    """
    at: uint256 = self._tried_at(is_long)
    return (self._clock[market] & ~(CLOCK << at)) | (staticcall oracle.epoch() << at)


@pure
@internal
def _timed(clock: uint256, time: uint256) -> uint256:
    """
    @notice A clock with another time, and the epoch that goes with it.
    """
    return ((clock >> ESTATES_AT) << ESTATES_AT) | time


# --- Views ---------------------------------------------------------------------------------------


@view
@external
def first_lot(market: uint256, is_long: bool) -> uint256:
    """
    @notice Index of the first lot of an estate that has not ended.
    """
    return self._first(market, is_long)


@view
@external
def lot_count(market: uint256, is_long: bool) -> uint256:
    """
    @notice How many lots an estate has had.
    """
    return self._count(market, is_long)


@view
@external
def is_busy() -> bool:
    """
    @notice Whether a round is open or waits to be opened.
    """
    return self._is_busy()


@view
@external
def round() -> Round:
    """
    @notice The open round; id 0 if there is none.
    """
    return self._stored


@view
@external
def lot(market: uint256, is_long: bool, index: uint256) -> Lot:
    """
    @notice One lot of an estate, `index` from `first_lot` below `lot_count`.
    """
    return self._lot(market, is_long, index)


@view
@external
def frozen_until(market: uint256) -> uint256:
    """
    @notice Timestamp from which the next call ends what is open or waits in a market; 0: nothing does.
    """
    if self._clock[market] & QUEUED == 0:
        return 0
    return self._time_of(market) + self.round_ttl


@view
@external
def epoch_of(market: uint256) -> uint256:
    """
    @notice The epoch of a round in a market: in which it was frozen, or of one that begins now.
    """
    return self._epoch_of(market)


@view
@external
def retry_at(market: uint256, is_long: bool) -> (uint256, uint256):
    """
    @notice Timestamp and epoch from which `retry` may open a round for an estate's lots, once both have
            come and the price is fresh. Both 0: there are none to retry, or a round has them.
    """
    if (
        not self._lots_left(market, is_long)
        or self._is_queued(market, is_long)
        or staticcall clearinghouse.settlement_account(market) != 0
    ):
        return 0, 0
    return self._time_of(market), self._tried_in(market, is_long) + 1


@view
@external
def score(account: uint256, market: uint256) -> uint256:
    """
    @notice The account's score now, in units of 10^-18, for its position in a market: 0 without
            one, or out of profit at the mark. As in a round that begins now.
    """
    score: uint256 = 0
    pnl: int256 = 0
    score, pnl = self._score(account, market)
    return score if pnl > 0 else 0


@view
@internal
def _score(account: uint256, market: uint256) -> (uint256, int256):
    """
    @notice Score and profit at the mark, as an engine sees them.
    """
    position: IClearinghouse.Position = staticcall clearinghouse.position(account, market)
    margin: IClearinghouse.Margin = staticcall clearinghouse.margin(account)
    # What came in during the round's epoch lowers no score before the next.
    inflow: int256 = convert(
        staticcall clearinghouse.inflow(account, self._epoch_of(market)), int256
    )
    return scoring.of_position(
        self.score_rule.address,
        position.size,
        position.quote,
        staticcall clearinghouse.mark(market),
        margin.equity - inflow,
        staticcall clearinghouse.cash(account) - inflow,
        margin.maintenance,
    )
