# pragma version ~=0.4.3
"""
@title AllocationHarness
@license AGPL-3.0-only
@notice Stands in the Deleverager's place in a test venue: takes lots over from the real liquidator
        and closes them against whom a planner names, on the real clearinghouse. It decides
        nothing and checks nothing, so what a planner answers is seen as it is. Also the shortest
        example of how a planner is used. Never wire it into anything of value.
@custom:kill Cannot be halted: it is a test contract.
"""
from ..interfaces import IClearinghouse
from ..interfaces import IOracle
from ..interfaces import IRanking


struct Lot:
    market: uint256
    is_long: bool
    bankrupt: uint256
    size: uint256
    worth: int256


# One `next`: what it answered besides an account.
event Worked:
    account: uint256
    steps: uint256
    exact: bool
    more: bool


event Picked:
    account: indexed(uint256)
    size: uint256
    quote: uint256
    score: uint256
    pnl: int256


clearinghouse: immutable(IClearinghouse)
oracle: immutable(IOracle)

score_rule: public(address)
close_rule: public(uint256)
lot: public(Lot)


@deploy
def __init__(clearinghouse_: address, oracle_: address, vault_: address, score: address):
    clearinghouse = IClearinghouse(clearinghouse_)
    oracle = IOracle(oracle_)


@external
def set_engine(engine: address, fallback: address):
    """
    @notice As the deleverager's; the harness is told which planner to ask with each query.
    """
    assert engine != empty(address) and fallback != empty(address), "harness: no engine"


@external
def set_policy(score: address, close: uint256):
    self.score_rule = score
    self.close_rule = close


@external
def add_lot(
    market: uint256,
    is_long: bool,
    bankrupt: uint256,
    size: uint256,
    worth: int256,
    deficit: uint256,
):
    self.lot = Lot(market=market, is_long=is_long, bankrupt=bankrupt, size=size, worth=worth)


@external
def advance(max_steps: uint256) -> bool:
    return False


@view
@external
def is_busy() -> bool:
    return False


@internal
def _whole() -> uint256:
    return convert(max(-self.lot.worth if self.lot.is_long else self.lot.worth, 0), uint256)


@external
def begin(planner: IRanking):
    """
    @notice Begins the plan for the lot, at the close price of the policy: 0 bankruptcy, 1 previous
            mark, 2 mark.
    """
    query: IRanking.Query = IRanking.Query(
        market=self.lot.market,
        winners_long=not self.lot.is_long,
        mark=staticcall oracle.mark(self.lot.market),
        numerator=self._whole(),
        denominator=self.lot.size,
        size=self.lot.size,
        epoch=staticcall oracle.epoch(),
        score=self.score_rule,
        undisturbed=False,
    )
    if self.close_rule != 0:
        query.denominator = 1
        query.numerator = query.mark
        if self.close_rule == 1:
            query.numerator = staticcall oracle.previous_mark(self.lot.market)
    extcall planner.begin(query)


@external
def work(planner: IRanking, max_steps: uint256):
    """
    @notice One `next`, and the close of whom it names.
    """
    pick: IRanking.Pick = extcall planner.next(max_steps)
    # A holder of three steps may be begun with one left.
    assert pick.steps <= max(max_steps, 1) + 2, "harness: more steps than allowed"
    log Worked(account=pick.account, steps=pick.steps, exact=pick.exact, more=pick.more)
    if pick.account == 0:
        return
    lot: Lot = self.lot
    quote: uint256 = pick.size
    if self.close_rule == 2:
        quote *= staticcall oracle.mark(lot.market)
    elif self.close_rule == 1:
        quote *= staticcall oracle.previous_mark(lot.market)
    elif lot.is_long:
        quote = (self._whole() * pick.size + lot.size - 1) // lot.size
    else:
        quote = self._whole() * pick.size // lot.size
    estate: uint256 = staticcall clearinghouse.estate(lot.market, lot.is_long)
    if lot.is_long:
        lot.worth += convert(quote, int256)
        extcall clearinghouse.exchange(lot.market, pick.account, estate, pick.size, quote)
    else:
        lot.worth -= convert(quote, int256)
        extcall clearinghouse.exchange(lot.market, estate, pick.account, pick.size, quote)
    lot.size -= pick.size
    self.lot = lot
    log Picked(
        account=pick.account, size=pick.size, quote=quote, score=pick.score, pnl=pick.pnl
    )
