# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Liquidator
@license AGPL-3.0-only
@notice Who is too weak, and where the position goes: to the order book down to the bankruptcy
        price, below it as far as insurance pays in the same call, and what is left of a bankrupt
        to the estates, for the deleverager to close. Anyone may call it. Owns no money, no
        position and no price.

            equity       of the account at the marks, signed micro-USDC
            rest         equity less what the leg at work is worth at the mark: what the account
                         has without that leg; a long of s lots sold at p ends with rest + s * p
            bankruptcy   price p of a leg at which the account would end with exactly nothing:
                         rest + s * p = 0 (a short: rest - s * p = 0)

        A loss without a payer cannot arise on the book: a fill beyond the bankruptcy price happens
        only together with the payment that makes up for it.
@custom:kill Cannot be halted; a stale oracle stops it until the next price.
"""
from snekmate.auth import ownable
from .interfaces import IClearinghouse
from .interfaces import IDeleverager
from .interfaces import IInsuranceVault
from .interfaces import IOracle
from .interfaces import IOrderBook
from .modules import bits
from .modules import risk_terms

initializes: ownable
exports: (ownable.owner, ownable.transfer_ownership)

MAX_LEGS: constant(uint256) = 8
# Resting orders met in one call.
MAX_STEPS: constant(uint256) = 256
PPM: constant(uint256) = 10**6

# When the rest of a position is wound up: once equity is below zero at the mark, or also when an
# account below maintenance finds no price within its limit.
UNDERWATER: constant(uint256) = 0
UNFILLABLE: constant(uint256) = 1
# Kind of an estate's account.
ESTATE: constant(uint256) = 8


struct Leg:
    market: uint256
    is_long: bool
    size: uint256
    # At the mark.
    notional: uint256
    # Unrealised loss at the mark, 0 if in profit.
    loss: uint256
    # What the leg takes of the account's equity: below zero a deficit.
    share: int256


event PolicySet:
    trigger: uint256
    insured_band: uint256


# One fill of a liquidation. `insurance` micro-USDC of it made up for a price beyond bankruptcy.
event LiquidationFill:
    account: indexed(uint256)
    market: indexed(uint256)
    order_id: uint256
    is_long: bool
    size: uint256
    price: uint256
    insurance: uint256
    remaining: uint256


# How a call ended. `more`: the steps ran out. `unfillable`: the book has no price within the limit.
event Liquidated:
    account: indexed(uint256)
    caller: indexed(address)
    equity: int256
    maintenance: uint256
    more: bool
    unfillable: bool


# The account leaves with nothing. `equity` micro-USDC went with its legs (below zero: a deficit);
# what no leg could carry was paid by `insurance` or is `uninsured`.
event WoundUp:
    account: indexed(uint256)
    equity: int256
    insurance: uint256
    uninsured: uint256


event LegWoundUp:
    account: indexed(uint256)
    market: indexed(uint256)
    is_long: bool
    size: uint256
    quote: uint256
    share: int256


clearinghouse: public(immutable(IClearinghouse))
order_book: public(immutable(IOrderBook))
vault: public(immutable(IInsuranceVault))
deleverager: public(immutable(IDeleverager))

trigger: public(uint256)
# Insurance pays for no fill further than this beyond the mark, in parts per million of it.
insured_band: public(uint256)


@deploy
def __init__(
    clearinghouse_: address,
    order_book_: address,
    vault_: address,
    deleverager_: address,
):
    """
    @notice The deployer becomes the owner. Winds up what is underwater to begin with.
    """
    ownable.__init__()
    self._set_policy(UNDERWATER, 100_000)
    clearinghouse = IClearinghouse(clearinghouse_)
    order_book = IOrderBook(order_book_)
    vault = IInsuranceVault(vault_)
    deleverager = IDeleverager(deleverager_)


@external
def set_policy(trigger: uint256, insured_band: uint256):
    """
    @notice Owner only.
    @param trigger 0: wind up what is underwater. 1: also what is below maintenance and
           unfillable.
    @param insured_band How far beyond the mark insurance follows a falling book, in parts per
           million of the mark; never further than the market's maintenance rate less one step of
           the mark, whatever is set here. Else somebody who is both the long and its only bidder
           would gain more from the vault than the margin he gives up.
    """
    ownable._check_owner()
    self._set_policy(trigger, insured_band)


@internal
def _set_policy(trigger: uint256, insured_band: uint256):
    assert trigger <= UNFILLABLE, "liquidator: unknown trigger"
    assert insured_band <= PPM, "liquidator: band above 100%"
    self.trigger = trigger
    self.insured_band = insured_band
    log PolicySet(trigger=trigger, insured_band=insured_band)


@external
def liquidate(account: uint256, max_steps: uint256) -> bool:
    """
    @notice Takes an account below maintenance down the waterfall: voids its orders, sells its
            legs into the book in order of market id until it has recovered, and winds up what is
            left if it is bankrupt. Anyone.
    @dev Reverts on a healthy account, so a second call in a row cannot do harm. A call that runs
         out of steps keeps its fills and never winds up: void or dust orders on top of the book
         must not force an ADL.
    @param max_steps Resting orders to meet at most, at most 256; what is left of them goes into
           the ADL round.
    @return Whether there is work left here.
    """
    assert max_steps != 0, "liquidator: no steps"
    assert (
        staticcall clearinghouse.account_owner(account) != empty(address)
    ), "clearinghouse: unknown account"
    assert not staticcall clearinghouse.is_frozen(account), "liquidator: adl round open"
    margin: IClearinghouse.Margin = staticcall clearinghouse.margin(account)
    assert margin.is_fresh, "oracle: stale price"
    assert staticcall clearinghouse.is_trader(account), "liquidator: not a trading account"
    assert self._is_weak(margin), "liquidator: account is healthy"
    extcall order_book.cancel_all(account)
    margin = self._close_settled(account, margin)

    left: uint256 = min(max_steps, MAX_STEPS)
    more: bool = False
    unfillable: bool = False
    legs: uint256 = staticcall clearinghouse.active_markets(account)
    for _: uint256 in range(MAX_LEGS):
        if legs == 0 or not self._is_weak(margin):
            break
        steps: uint256 = 0
        ran_out: bool = False
        stuck: bool = False
        steps, ran_out, stuck = self._sell(account, bits.lowest(legs), margin.equity, left)
        legs &= legs - 1
        left -= steps
        more = more or ran_out
        unfillable = unfillable or stuck
        margin = staticcall clearinghouse.margin(account)

    log Liquidated(
        account=account,
        caller=msg.sender,
        equity=margin.equity,
        maintenance=margin.maintenance,
        more=more,
        unfillable=unfillable,
    )
    if not more and self._is_weak(margin):
        if margin.equity < 0 or (self.trigger == UNFILLABLE and unfillable):
            self._wind_up(account, margin.equity)
            if left != 0:
                more = extcall deleverager.advance(left)
    return more


@internal
def _close_settled(
    account: uint256, margin: IClearinghouse.Margin
) -> IClearinghouse.Margin:
    """
    @notice Closes legs in settled markets first: they have a price and need no taker.
    """
    legs: uint256 = staticcall clearinghouse.active_markets(account)
    closed: bool = False
    for _: uint256 in range(MAX_LEGS):
        if legs == 0:
            break
        market: uint256 = bits.lowest(legs)
        legs &= legs - 1
        if staticcall clearinghouse.settlement_account(market) != 0:
            self._close_at_settlement(account, market)
            closed = True
    if closed:
        return staticcall clearinghouse.margin(account)
    return margin


@external
def close_settled(account: uint256, market: uint256):
    """
    @notice Closes a position in a settled market at the settlement price. Anyone, for any account
            but an estate (whose lots the deleverager closes).
    @dev What a loser lacks once it has no position left is booked in the same call: insurance pays,
         the rest is written off.
    """
    assert (
        staticcall clearinghouse.settlement_account(market) != 0
    ), "clearinghouse: market not settled"
    assert (
        staticcall clearinghouse.account_kind(account) != ESTATE
    ), "clearinghouse: an estate"
    assert not staticcall clearinghouse.is_frozen(account), "clearinghouse: adl round open"
    self._close_at_settlement(account, market)
    equity: int256 = staticcall clearinghouse.cash(account)
    if equity < 0 and staticcall clearinghouse.active_markets(account) == 0:
        self._wind_up(account, equity)


@internal
def _close_at_settlement(account: uint256, market: uint256):
    size: int256 = (staticcall clearinghouse.position(account, market)).size
    assert size != 0, "clearinghouse: no position"
    lots: uint256 = convert(abs(size), uint256)
    quote: uint256 = lots * staticcall clearinghouse.mark(market)
    other: uint256 = staticcall clearinghouse.settlement_account(market)
    if size > 0:
        extcall clearinghouse.exchange(market, other, account, lots, quote)
    else:
        extcall clearinghouse.exchange(market, account, other, lots, quote)


# --- The book ------------------------------------------------------------------------------------


@internal
def _sell(
    account: uint256, market: uint256, equity: int256, max_steps: uint256
) -> (uint256, bool, bool):
    """
    @notice Closes one leg into the book, best price first.
    @dev The limit moves with the fills: a better price than bankruptcy leaves room for a worse one
         later. Beyond the limit a fill takes place only as far as insurance pays, in the same
         call, what keeps the bankruptcy price of the rest where it is.
    @return Steps used; True if they ran out; True if the best price is beyond the limit (or there
            is none) and insurance has no room.
    """
    position: IClearinghouse.Position = staticcall clearinghouse.position(account, market)
    is_long: bool = position.size > 0
    size: uint256 = convert(abs(position.size), uint256)
    mark: uint256 = staticcall clearinghouse.mark(market)
    rest: int256 = equity - position.size * convert(mark, int256)
    worst: uint256 = self._insured_until(market, is_long, mark)
    steps: uint256 = 0
    for _: uint256 in range(MAX_STEPS):
        if size == 0:
            return steps, False, False
        if steps >= max_steps:
            return steps, True, False
        top: IOrderBook.Top = extcall order_book.peek(market, is_long, max_steps - steps)
        steps += top.steps
        if top.more:
            return steps, True, False
        if top.order_id == 0:
            return steps, False, True
        if steps >= max_steps:
            return steps, True, False
        steps += 1
        # What the account would lack if all of the leg went at this price.
        lacking: int256 = -self._after(rest, is_long, size, top.price)
        wanted: uint256 = min(size, top.size)
        if lacking > 0:
            if top.price < worst if is_long else top.price > worst:
                return steps, False, True
            room: uint256 = staticcall vault.available(market) * size // convert(lacking, uint256)
            if room == 0:
                return steps, False, True
            wanted = min(wanted, room)
        filled: uint256 = extcall order_book.take(top.order_id, account, wanted)
        if filled == 0:
            continue
        insurance: uint256 = 0
        after: int256 = self._after(rest, is_long, filled, top.price)
        if lacking > 0:
            # The rest of the leg keeps its bankruptcy price: rest * (size - filled) / size,
            # rounded up, so that insurance bears the unit.
            keep: int256 = self._ceil_share(rest, size - filled, size)
            insurance = convert(keep - after, uint256)
            assert (
                extcall vault.pay(market, account, insurance) == insurance
            ), "liquidator: insurance short"
            after = keep
        rest = after
        size -= filled
        log LiquidationFill(
            account=account,
            market=market,
            order_id=top.order_id,
            is_long=is_long,
            size=filled,
            price=top.price,
            insurance=insurance,
            remaining=size,
        )
    return steps, True, False


@view
@internal
def _insured_until(market: uint256, is_long: bool, mark: uint256) -> uint256:
    """
    @notice The worst price, ticks, at which insurance still pays: rounded toward the mark.
    @dev The band is the maintenance rate less one step of the mark: what somebody who is both the
         long and its only bidder can still have when his account first falls below maintenance.
         Without a step limit (0) the mark may have gone anywhere, and the rate itself is the bound.
    """
    leverage: uint256 = risk_terms.unpack(staticcall clearinghouse.terms(market)).leverage
    rate: uint256 = PPM // (2 * leverage)
    step: uint256 = staticcall IOracle(staticcall clearinghouse.oracle()).max_step()
    band: uint256 = min(self.insured_band, rate - min(step, rate))
    if is_long:
        return (mark * (PPM - band) + PPM - 1) // PPM
    return mark * (PPM + band) // PPM


@pure
@internal
def _after(rest: int256, is_long: bool, size: uint256, price: uint256) -> int256:
    """
    @notice `rest` after `size` lots of the leg closed at `price`.
    """
    quote: int256 = convert(size * price, int256)
    return rest + quote if is_long else rest - quote


@pure
@internal
def _ceil_share(amount: int256, part: uint256, whole: uint256) -> int256:
    """
    @notice amount * part / whole, rounded up (toward plus infinity).
    @dev Division truncates toward zero, which is up for a negative amount.
    """
    product: int256 = amount * convert(part, int256)
    if product <= 0:
        return product // convert(whole, int256)
    return (product + convert(whole, int256) - 1) // convert(whole, int256)


# --- The end of an account -----------------------------------------------------------------------


@internal
def _wind_up(account: uint256, equity: int256):
    """
    @notice Every leg goes to the estate of its side; the account's cash ends at exactly 0.
    @dev `equity` is shared over the legs in proportion to their unrealised loss (to notional if
         none has a loss), each share truncated, the last leg with a weight taking what is left:
         so the caller cannot choose which market pays. A leg moves at its mark less its share,
         never below price 0; what a leg cannot carry goes to the others, then to insurance, then
         it is written off.
    """
    legs: DynArray[Leg, MAX_LEGS] = self._legs(account)
    # Without a leg nothing can carry the deficit.
    carried: int256 = equity if len(legs) == 0 else 0
    weights: uint256 = 0
    for leg: Leg in legs:
        weights += leg.loss
    by_loss: bool = weights != 0
    last: uint256 = 0
    for i: uint256 in range(len(legs), bound=MAX_LEGS):
        if not by_loss:
            weights += legs[i].notional
        if not by_loss or legs[i].loss != 0:
            last = i
    unshared: int256 = equity
    for i: uint256 in range(len(legs), bound=MAX_LEGS):
        weight: uint256 = legs[i].loss if by_loss else legs[i].notional
        share: int256 = unshared
        if i != last:
            share = equity * convert(weight, int256) // convert(weights, int256)
        unshared -= share
        legs[i].share = self._clamp(legs[i], share)
        carried += share - legs[i].share
    for i: uint256 in range(len(legs), bound=MAX_LEGS):
        share: int256 = self._clamp(legs[i], legs[i].share + carried)
        carried -= share - legs[i].share
        legs[i].share = share

    for leg: Leg in legs:
        estate: uint256 = staticcall clearinghouse.estate(leg.market, leg.is_long)
        quote: uint256 = 0
        if leg.is_long:
            quote = convert(convert(leg.notional, int256) - leg.share, uint256)
            extcall clearinghouse.exchange(leg.market, estate, account, leg.size, quote)
        else:
            quote = convert(convert(leg.notional, int256) + leg.share, uint256)
            extcall clearinghouse.exchange(leg.market, account, estate, leg.size, quote)
        log LegWoundUp(
            account=account,
            market=leg.market,
            is_long=leg.is_long,
            size=leg.size,
            quote=quote,
            share=leg.share,
        )
    insurance: uint256 = 0
    uncarried: uint256 = convert(max(-carried, 0), uint256)
    if uncarried != 0:
        # What several legs could not carry is a loss of no one market.
        market: uint256 = legs[0].market if len(legs) == 1 else max_value(uint256)
        insurance = extcall vault.pay(market, account, uncarried)
        if uncarried > insurance:
            extcall clearinghouse.write_off(account, uncarried - insurance)
    log WoundUp(
        account=account,
        equity=equity,
        insurance=insurance,
        uninsured=uncarried - insurance,
    )
    for leg: Leg in legs:
        # As in the exchange above: what the estate paid or received.
        quote: int256 = convert(leg.notional, int256)
        worth: int256 = leg.share - quote if leg.is_long else leg.share + quote
        extcall deleverager.add_lot(leg.market, leg.is_long, account, leg.size, worth)


@view
@internal
def _legs(account: uint256) -> DynArray[Leg, MAX_LEGS]:
    legs: DynArray[Leg, MAX_LEGS] = []
    markets: uint256 = staticcall clearinghouse.active_markets(account)
    for _: uint256 in range(MAX_LEGS):
        if markets == 0:
            break
        market: uint256 = bits.lowest(markets)
        markets &= markets - 1
        position: IClearinghouse.Position = staticcall clearinghouse.position(account, market)
        size: uint256 = convert(abs(position.size), uint256)
        mark: uint256 = staticcall clearinghouse.mark(market)
        profit: int256 = position.size * convert(mark, int256) + position.quote
        legs.append(
            Leg(
                market=market,
                is_long=position.size > 0,
                size=size,
                notional=size * mark,
                loss=convert(max(-profit, 0), uint256),
                share=0,
            )
        )
    return legs


@pure
@internal
def _clamp(leg: Leg, share: int256) -> int256:
    """
    @notice The part of `share` that the leg can carry without a price below 0.
    """
    if leg.is_long:
        return min(share, convert(leg.notional, int256))
    return max(share, -convert(leg.notional, int256))


@pure
@internal
def _is_weak(margin: IClearinghouse.Margin) -> bool:
    return margin.equity < convert(margin.maintenance, int256)


# --- Views ---------------------------------------------------------------------------------------


@view
@external
def is_liquidatable(account: uint256) -> bool:
    """
    @notice Whether `liquidate` would act on this account now.
    """
    margin: IClearinghouse.Margin = staticcall clearinghouse.margin(account)
    return (
        staticcall clearinghouse.is_trader(account)
        and margin.is_fresh
        and self._is_weak(margin)
        and not staticcall clearinghouse.is_frozen(account)
    )
