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
    @param min_notional micro-USDC below which an order is refused unless it closes a position.
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
    @notice Maximum leverage by notional. Owner only.
    @param bounds Notional in micro-USDC above which each tier applies: 0 first, then rising.
    @param leverages 1 .. 100, falling: maintenance is at most 50% and its rate never falls with
           size. The first leaves a maintenance rate above the step of a mark, if that is limited.
    """
    ownable._check_owner()
    self._require_market(market)
    self._set_tiers(market, bounds, leverages)


@internal
def _set_tiers(
    market: uint256,
    bounds: DynArray[uint256, MAX_TIERS],
    leverages: DynArray[uint256, MAX_TIERS],
):
    count: uint256 = len(bounds)
    assert count != 0 and count == len(leverages), "governor: malformed tiers"
    assert bounds[0] == 0, "governor: malformed tiers"
    deduction: uint256 = 0
    for i: uint256 in range(count, bound=MAX_TIERS):
        leverage: uint256 = leverages[i]
        assert leverage != 0 and leverage <= MAX_LEVERAGE, "governor: leverage out of range"
        if i != 0:
            above: uint256 = leverages[i - 1]
            assert leverage < above, "governor: malformed tiers"
            assert bounds[i] > bounds[i - 1] and bounds[i] < 2**90, "governor: malformed tiers"
            # What keeps maintenance continuous at the bound: bound * (1 / 2L - 1 / 2L') more than
            # the tier before, rounded down, against the account.
            deduction += bounds[i] * (above - leverage) // (2 * leverage * above)
        extcall clearinghouse.set_tier(
            market,
            i,
            risk_terms.pack_tier(
                risk_terms.Tier(bound=bounds[i], leverage=leverage, deduction=deduction)
            ),
        )
    # Else one epoch could take an account from above maintenance to below zero.
    step: uint256 = staticcall IOracle(staticcall clearinghouse.oracle()).max_step()
    assert 2 * leverages[0] * step < PPM, "governor: maintenance not above the oracle's step"
    terms: risk_terms.Terms = self._terms(market)
    terms.tiers = count
    terms.leverage = leverages[0]
    self._store(market, terms)
    log TiersSet(market=market, bounds=bounds, leverages=leverages)


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
    @param min_notional Micro-USDC below which an order is refused unless it closes a position.
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
    assert min_notional < 2**64, "governor: minimum notional out of range"
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
    """
    ownable._check_owner()
    halted_at: uint256 = self.halted_at[market]
    assert halted_at != 0, "governor: market not halted"
    assert block.timestamp >= halted_at + SETTLEMENT_DELAY, "governor: not halted for long enough"
    assert price != 0 and price < 2**24, "governor: price out of range"
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
def tiers(market: uint256) -> DynArray[risk_terms.Tier, MAX_TIERS]:
    """
    @notice Margin tiers: bound (micro-USDC), leverage, deduction (micro-USDC).
    """
    self._require_market(market)
    out: DynArray[risk_terms.Tier, MAX_TIERS] = []
    for i: uint256 in range(self._terms(market).tiers, bound=MAX_TIERS):
        out.append(risk_terms.unpack_tier(staticcall clearinghouse.tier(market, i)))
    return out
