# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Governor
@license AGPL-3.0-only
@notice Parameters of the venue's markets, and the bounds that no owner can step over: leverage,
        tiers, fees, price band, caps, halts, settlement. Owns the rules for changing them; the
        clearinghouse keeps the values where margin checks read them.

            owner      of the whole venue: every contract asks here who it is. Sets parameters, ends
                       halts, settles a market that was halted for a day. Hands over in two steps.
            guardian   halts a market, and nothing else

        Fees and bands are in parts per million (100 are one basis point). No parameter here enters
        funding, so none needs an accrual before it changes; fees and margin apply from the next
        fill on. What enters it is the oracle's, which accrues first.

        What nobody may do to those who hold positions: tiers that ask for more margin wait for a day,
        announced by an event, so that nobody is liquidated by a vote (what asks for less applies at
        once, as does anything where no position is open); a market settles within a factor of two of
        its last price; no order is refused as too small above 1,000 USDC, or if it only reduces.
@custom:kill Halting is what it is for; it cannot be halted itself.
"""
from snekmate.auth import ownable
from snekmate.auth import ownable_2step
from .interfaces import IClearinghouse
from .interfaces import IDeleverager
from .interfaces import IOracle
from .modules import risk_terms

initializes: ownable
initializes: ownable_2step[ownable := ownable]
exports: (
    ownable_2step.owner,
    ownable_2step.pending_owner,
    ownable_2step.transfer_ownership,
    ownable_2step.accept_ownership,
)

MAX_TIERS: constant(uint256) = 5
MAX_LEVERAGE: constant(uint256) = 100
MAX_FEE: constant(uint256) = 10_000
PPM: constant(uint256) = 10**6
SETTLEMENT_DELAY: constant(uint256) = 86_400
# From the announcement of tiers that ask for more margin until they may be applied.
TIERS_DELAY: constant(uint256) = 86_400
# 1,000 USDC: who holds more than that always finds an order that is large enough.
MAX_MIN_NOTIONAL: constant(uint256) = 1_000 * 10**6
# A settlement price may be this many times the last price, or that part of it.
MAX_SETTLEMENT_RATIO: constant(uint256) = 2


struct Market:
    symbol: String[16]
    size_decimals: uint256
    max_leverage: uint256
    min_notional: uint256
    taker_fee: uint256
    maker_fee: uint256
    band: uint256
    open_interest_cap: uint256
    halted: bool
    settled: bool
    settlement: uint256


struct Tier:
    # Notional above which it applies, micro-USDC.
    bound: uint256
    leverage: uint256
    # What keeps the requirement continuous at the bound, micro-USDC, rounded down.
    deduction: uint256


# Tiers that were announced: the first leverage, the others packed (`modules/risk_terms.vy`), and from
# when on they may be applied; 0: none.
struct Announced:
    leverage: uint256
    tiers: uint256
    due: uint256


event MarketAdded:
    market: indexed(uint256)
    symbol: String[16]
    size_decimals: uint256
    max_leverage: uint256
    min_notional: uint256


event TiersSet:
    market: indexed(uint256)
    bounds: DynArray[uint256, MAX_TIERS]
    leverages: DynArray[uint256, MAX_TIERS]


# They apply once somebody calls `apply_tiers` at `due` or later.
event TiersAnnounced:
    market: indexed(uint256)
    bounds: DynArray[uint256, MAX_TIERS]
    leverages: DynArray[uint256, MAX_TIERS]
    due: uint256


event TradingTermsSet:
    market: indexed(uint256)
    taker_fee: uint256
    maker_fee: uint256
    band: uint256
    min_notional: uint256
    open_interest_cap: uint256


event FeeShareSet:
    vault_share: uint256
    treasury: uint256


event GuardianSet:
    guardian: indexed(address)


event HaltChanged:
    market: indexed(uint256)
    halted: bool
    by: indexed(address)


event MarketSettled:
    market: indexed(uint256)
    price: uint256
    account: uint256


clearinghouse: public(immutable(IClearinghouse))
guardian: public(address)
_symbols: HashMap[uint256, String[16]]
_size_decimals: HashMap[uint256, uint256]
# Time of the halt; 0: not halted.
halted_at: public(HashMap[uint256, uint256])
_announced: HashMap[uint256, Announced]


@deploy
def __init__(clearinghouse_: address):
    """
    @notice The deployer becomes owner of the whole venue, and guardian.
    """
    ownable.__init__()
    ownable_2step.__init__()
    clearinghouse = IClearinghouse(clearinghouse_)
    self.guardian = msg.sender
    log GuardianSet(guardian=msg.sender)
    # What the clearinghouse begins with.
    log FeeShareSet(vault_share=PPM, treasury=0)


# --- Parameters ----------------------------------------------------------------------------------


@external
def add_market(
    symbol: String[16], size_decimals: uint256, max_leverage: uint256, min_notional: uint256
) -> uint256:
    """
    @notice Adds the next market id, whose prices the oracle must have begun already. One tier, no
            fees, no band, no cap to begin with. Owner only.
    @param size_decimals A lot is 10^-size_decimals of the asset, 0 .. 6.
    @param max_leverage 1 .. 100, its maintenance rate above the oracle's step.
    @param min_notional micro-USDC below which an order is refused unless it only reduces; at most
           1,000 USDC.
    """
    ownable._check_owner()
    assert size_decimals <= 6, "governor: size decimals above 6"
    market: uint256 = extcall clearinghouse.add_market()
    self._symbols[market] = symbol
    self._size_decimals[market] = size_decimals
    log MarketAdded(
        market=market,
        symbol=symbol,
        size_decimals=size_decimals,
        max_leverage=max_leverage,
        min_notional=min_notional,
    )
    self._set_tiers(market, [0], [max_leverage])
    self._set_trading_terms(market, 0, 0, 0, min_notional, risk_terms.MAX_OPEN_INTEREST)
    return market


@external
def set_tiers(
    market: uint256,
    bounds: DynArray[uint256, MAX_TIERS],
    leverages: DynArray[uint256, MAX_TIERS],
):
    """
    @notice Maximum leverage by notional. Owner only. At once if no position is open, or nowhere less
            leverage is allowed than now; else it is announced, and may be applied a day later. What
            was announced before is dropped.
    @param bounds Notional in micro-USDC above which each tier applies: 0 first, then rising.
    @param leverages 1 .. 100, falling: maintenance is at most 50% and its rate never falls with
           size. The first leaves a maintenance rate above the step of a mark, if that is limited.
    """
    ownable._check_owner()
    self._require_market(market)
    self._set_tiers(market, bounds, leverages)


@external
def apply_tiers(market: uint256):
    """
    @notice Puts announced tiers in force, once they are due. Anyone.
    """
    announced: Announced = self._announced[market]
    assert announced.due != 0, "governor: no tiers announced"
    assert block.timestamp >= announced.due, "governor: tiers not due"
    self._apply_tiers(market, announced.leverage, announced.tiers)


@internal
def _set_tiers(
    market: uint256,
    bounds: DynArray[uint256, MAX_TIERS],
    leverages: DynArray[uint256, MAX_TIERS],
):
    count: uint256 = len(bounds)
    assert count != 0 and count == len(leverages), "governor: malformed tiers"
    assert bounds[0] == 0, "governor: malformed tiers"
    tiers: uint256 = 0
    for i: uint256 in range(count, bound=MAX_TIERS):
        leverage: uint256 = leverages[i]
        assert leverage != 0 and leverage <= MAX_LEVERAGE, "governor: leverage out of range"
        if i != 0:
            assert leverage < leverages[i - 1], "governor: malformed tiers"
            assert bounds[i] > bounds[i - 1] and bounds[i] < 2**57, "governor: malformed tiers"
            tiers |= ((bounds[i] << 7) | leverage) << (64 * (i - 1))
    self._require_above_step(leverages[0])
    if staticcall clearinghouse.open_interest(market) == 0 or self._is_looser(
        market, bounds, leverages[0], tiers
    ):
        self._apply_tiers(market, leverages[0], tiers)
        return
    due: uint256 = block.timestamp + TIERS_DELAY
    self._announced[market] = Announced(leverage=leverages[0], tiers=tiers, due=due)
    log TiersAnnounced(market=market, bounds=bounds, leverages=leverages, due=due)


@view
@internal
def _is_looser(
    market: uint256, bounds: DynArray[uint256, MAX_TIERS], leverage: uint256, tiers: uint256
) -> bool:
    """
    @notice Whether nowhere less leverage is allowed than by the tiers in force: then, but for the
            rounding of deductions, no position needs more margin than before.
    @dev Leverage changes only at a bound, of the old tiers or of the new ones.
    """
    old: uint256 = staticcall clearinghouse.tiers(market)
    first: uint256 = self._terms(market).leverage
    for i: uint256 in range(MAX_TIERS):
        at: uint256 = bounds[i] if i < len(bounds) else 0
        if risk_terms.leverage_above(leverage, tiers, at) < risk_terms.leverage_above(first, old, at):
            return False
        at = risk_terms.bound_of(old, i) if i < MAX_TIERS - 1 else 0
        if risk_terms.leverage_above(leverage, tiers, at) < risk_terms.leverage_above(first, old, at):
            return False
    return True


@internal
def _apply_tiers(market: uint256, leverage: uint256, tiers: uint256):
    # The step may have changed since they were announced.
    self._require_above_step(leverage)
    self._announced[market] = empty(Announced)
    extcall clearinghouse.set_tiers(market, tiers)
    terms: risk_terms.Terms = self._terms(market)
    terms.leverage = leverage
    bounds: DynArray[uint256, MAX_TIERS] = []
    leverages: DynArray[uint256, MAX_TIERS] = []
    unpacked: DynArray[Tier, MAX_TIERS] = self._unpacked(leverage, tiers)
    for tier: Tier in unpacked:
        bounds.append(tier.bound)
        leverages.append(tier.leverage)
    terms.tiers = len(bounds)
    self._store(market, terms)
    log TiersSet(market=market, bounds=bounds, leverages=leverages)


@view
@internal
def _require_above_step(leverage: uint256):
    # Else one epoch could take an account from above maintenance to below zero.
    step: uint256 = staticcall IOracle(staticcall clearinghouse.oracle()).max_step()
    assert 2 * leverage * step < PPM, "governor: maintenance not above the oracle's step"


@pure
@internal
def _unpacked(leverage: uint256, tiers: uint256) -> DynArray[Tier, MAX_TIERS]:
    out: DynArray[Tier, MAX_TIERS] = [Tier(bound=0, leverage=leverage, deduction=0)]
    above: uint256 = leverage
    deduction: uint256 = 0
    for i: uint256 in range(MAX_TIERS - 1):
        bound: uint256 = risk_terms.bound_of(tiers, i)
        if bound == 0:
            break
        lower: uint256 = risk_terms.leverage_of(tiers, i)
        # As the clearinghouse's margin check has it.
        deduction += bound * (above - lower) // (2 * lower * above)
        out.append(Tier(bound=bound, leverage=lower, deduction=deduction))
        above = lower
    return out


@external
def set_trading_terms(
    market: uint256,
    taker_fee: uint256,
    maker_fee: uint256,
    band: uint256,
    min_notional: uint256,
    open_interest_cap: uint256,
):
    """
    @notice Owner only.
    @param taker_fee At most 1% of the notional, as is `maker_fee`; charged rounded up.
    @param band How far from the mark an order may trade; 0 for anywhere.
    @param min_notional Micro-USDC below which an order is refused unless it only reduces; at most
           1,000 USDC.
    @param open_interest_cap Lots; at the cap nobody's position grows or flips.
    """
    ownable._check_owner()
    self._require_market(market)
    self._set_trading_terms(market, taker_fee, maker_fee, band, min_notional, open_interest_cap)


@internal
def _set_trading_terms(
    market: uint256,
    taker_fee: uint256,
    maker_fee: uint256,
    band: uint256,
    min_notional: uint256,
    open_interest_cap: uint256,
):
    assert taker_fee <= MAX_FEE and maker_fee <= MAX_FEE, "governor: fee above 1%"
    assert band < PPM, "governor: band out of range"
    assert min_notional <= MAX_MIN_NOTIONAL, "governor: minimum notional out of range"
    assert open_interest_cap <= risk_terms.MAX_OPEN_INTEREST, "governor: cap out of range"
    terms: risk_terms.Terms = self._terms(market)
    terms.taker_fee = taker_fee
    terms.maker_fee = maker_fee
    terms.band = band
    terms.min_notional = min_notional
    terms.cap = open_interest_cap
    self._store(market, terms)
    log TradingTermsSet(
        market=market,
        taker_fee=taker_fee,
        maker_fee=maker_fee,
        band=band,
        min_notional=min_notional,
        open_interest_cap=open_interest_cap,
    )


@external
def set_fee_share(vault_share: uint256, treasury: uint256):
    """
    @notice Owner only.
    @param vault_share Part of swept fees for the insurance vault, parts per million.
    @param treasury A trader's account that gets the rest; 0: the vault gets all.
    """
    ownable._check_owner()
    assert vault_share <= PPM, "governor: share above 100%"
    extcall clearinghouse.set_fee_share(vault_share, treasury)
    log FeeShareSet(vault_share=vault_share, treasury=treasury)


@external
def set_guardian(guardian: address):
    """
    @notice Names who may halt a market. Owner only.
    """
    ownable._check_owner()
    self.guardian = guardian
    log GuardianSet(guardian=guardian)


# --- Halt and settlement -------------------------------------------------------------------------


@external
def halt(market: uint256):
    """
    @notice Refuses what adds risk in a market. Guardian or owner. Reducing, liquidation and ADL go
            on.
    """
    assert msg.sender in [self.guardian, ownable.owner], "governor: guardian only"
    self._require_market(market)
    assert self.halted_at[market] == 0, "governor: market halted"
    self.halted_at[market] = block.timestamp
    self._set_halted(market, True)


@external
def resume(market: uint256):
    """
    @notice Ends a halt. Owner only.
    """
    ownable._check_owner()
    assert self.halted_at[market] != 0, "governor: market not halted"
    assert not self._terms(market).settled, "governor: market settled"
    self.halted_at[market] = 0
    self._set_halted(market, False)


@internal
def _set_halted(market: uint256, halted: bool):
    terms: risk_terms.Terms = self._terms(market)
    terms.halted = halted
    self._store(market, terms)
    log HaltChanged(market=market, halted=halted, by=msg.sender)


@external
def settle_market(market: uint256, price: uint256):
    """
    @notice Ends a market that has been halted for a day: from now on its mark is `price` ticks, and
            anyone may close any position there at it. Owner only, and for good. An ADL round that is
            open there ends with what it has closed: its lots have a price now.
    @param price At least half and at most twice the market's last mark or oracle price, whichever of
           them allows more: neither a slip of the pen nor a captured owner hands one side all.
    """
    ownable._check_owner()
    halted_at: uint256 = self.halted_at[market]
    assert halted_at != 0, "governor: market not halted"
    assert block.timestamp >= halted_at + SETTLEMENT_DELAY, "governor: not halted for long enough"
    assert price != 0 and price < 2**24, "governor: price out of range"
    oracle: IOracle = IOracle(staticcall clearinghouse.oracle())
    mark: uint256 = staticcall oracle.mark(market)
    last: uint256 = staticcall oracle.oracle_price(market)
    assert (
        price * MAX_SETTLEMENT_RATIO >= min(mark, last)
        and price <= max(mark, last) * MAX_SETTLEMENT_RATIO
    ), "governor: settlement far from the last price"
    terms: risk_terms.Terms = self._terms(market)
    assert not terms.settled, "governor: market settled"
    terms.settled = True
    terms.settlement = price
    self._store(market, terms)
    extcall IDeleverager(staticcall clearinghouse.deleverager()).release(market)
    account: uint256 = extcall clearinghouse.open_settlement(market)
    log MarketSettled(market=market, price=price, account=account)


# --- Within --------------------------------------------------------------------------------------


@view
@internal
def _terms(market: uint256) -> risk_terms.Terms:
    return risk_terms.unpack(staticcall clearinghouse.terms(market))


@internal
def _store(market: uint256, terms: risk_terms.Terms):
    extcall clearinghouse.set_terms(market, risk_terms.pack(terms))


@view
@internal
def _require_market(market: uint256):
    assert market < staticcall clearinghouse.market_count(), "clearinghouse: unknown market"


# --- Views ---------------------------------------------------------------------------------------


@view
@external
def market(market: uint256) -> Market:
    """
    @notice Parameters of a market. Reverts on an unknown one.
    """
    self._require_market(market)
    terms: risk_terms.Terms = self._terms(market)
    return Market(
        symbol=self._symbols[market],
        size_decimals=self._size_decimals[market],
        max_leverage=terms.leverage,
        min_notional=terms.min_notional,
        taker_fee=terms.taker_fee,
        maker_fee=terms.maker_fee,
        band=terms.band,
        open_interest_cap=terms.cap,
        halted=terms.halted,
        settled=terms.settled,
        settlement=terms.settlement,
    )


@view
@external
def tiers(market: uint256) -> DynArray[Tier, MAX_TIERS]:
    """
    @notice Margin tiers in force: bound (micro-USDC), leverage, deduction (micro-USDC).
    """
    self._require_market(market)
    return self._unpacked(self._terms(market).leverage, staticcall clearinghouse.tiers(market))


@view
@external
def announced_tiers(market: uint256) -> (DynArray[Tier, MAX_TIERS], uint256):
    """
    @notice Tiers that wait, and the time from which `apply_tiers` puts them in force; none and 0 if
            none were announced.
    """
    self._require_market(market)
    announced: Announced = self._announced[market]
    if announced.due == 0:
        return [], 0
    return self._unpacked(announced.leverage, announced.tiers), announced.due
