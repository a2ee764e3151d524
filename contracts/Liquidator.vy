# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Liquidator
@license AGPL-3.0-only
@notice Who is too weak, and where the position goes: to the order book down to the bankruptcy
        price, below it as far as insurance pays in the same call; then, below two thirds of
        maintenance, to the backstop (the vault's tranche account); and what is left of a bankrupt
        to the estates, for the deleverager to close. Anyone may call it. Owns no money, no
        position and no price.

            equity       of the account at the marks, signed micro-USDC
            rest         equity less what the leg at work is worth at the mark: what the account
                         has without that leg; a long of s lots sold at p ends with rest + s * p
            bankruptcy   price p of a leg at which the account would end with exactly nothing:
                         rest + s * p = 0 (a short: rest - s * p = 0)
            whole        an order for all of a leg; not whole: for a fifth of it, rounded up to a lot
            strength     equity / maintenance; liquidation below 1, backstop below 2/3

        A loss without a payer cannot arise on the book: a fill beyond the bankruptcy price happens
        only together with the payment that makes up for it. The tranche takes over only what it
        can margin, and what it loses is its own: nothing here ever pays into it but the accounts
        that it takes over.
@custom:kill Cannot be halted; a stale oracle stops it until the next price. The owner may close the
             backstop alone; book, insurance and wind-up go on without it.
"""
from .interfaces import IClearinghouse
from .interfaces import IDeleverager
from .interfaces import IInsuranceVault
from .interfaces import IOracle
from .interfaces import IOrderBook
from .modules import bits
from .modules import owned
from .modules import risk_terms


MAX_LEGS: constant(uint256) = 8
# Resting orders met in one call.
MAX_STEPS: constant(uint256) = 256
PPM: constant(uint256) = 10**6
# The first order for a large leg is one in so many parts of it.
FIRST_PART: constant(uint256) = 5
MAX_COOLDOWN: constant(uint256) = 3_600
# Parts per million: 1%.
MAX_FEE: constant(uint256) = 10_000
# Micro-USDC: 10 USDC.
MAX_REWARD: constant(uint256) = 10**7
# Lots of one position, as in the clearinghouse.
MAX_SIZE: constant(uint256) = 2**54
MAX_LIMIT: constant(uint256) = 2**100
MAX_INTERVAL: constant(uint256) = 86_400
DAY: constant(uint256) = 86_400

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
    # Its part of a deficit is in proportion to it: unrealised loss at the mark, 0 if in profit; of
    # every leg the notional if none has a loss.
    weight: uint256
    # What the leg takes of the account's equity: below zero a deficit.
    share: int256


# Lots of a market that may still be worked off in the interval that began then.
struct Window:
    began: uint256
    left: uint256


event PolicySet:
    trigger: uint256
    insured_band: uint256


event PartialSet:
    partial_above: uint256
    cooldown: uint256


event FeesSet:
    liquidation_fee: uint256
    reward: uint256
    reward_share: uint256


event BackstopSet:
    is_open: bool
    owner_limit: uint256


event BackstopLimitSet:
    market: indexed(uint256)
    max_notional: uint256


event WorkOffSet:
    share: uint256
    notional: uint256
    interval: uint256
    slippage: uint256


# A fifth of a large leg was sent and filled; orders are whole until then.
event CooldownBegan:
    account: indexed(uint256)
    until: uint256


# What the liquidated account paid: `fee` on what was closed, of which the vault (or uninsured loss,
# first) got what did not go to `reward_account` as its `reward`. `flat` is in the reward alone.
event LiquidationCharged:
    account: indexed(uint256)
    reward_account: indexed(uint256)
    fee: uint256
    flat: uint256
    reward: uint256


# The tranche took a leg over at the mark. `margin` micro-USDC came with the account, stated with its
# last leg (0 with the others); `tranche_size` is what the tranche holds in the market now.
event BackstopTaken:
    account: indexed(uint256)
    market: indexed(uint256)
    is_long: bool
    size: uint256
    mark: uint256
    margin: uint256
    tranche_size: int256


# One fill of the tranche's own order. `left` lots may still go in this interval.
event WorkedOff:
    market: indexed(uint256)
    caller: indexed(address)
    order_id: uint256
    is_long: bool
    size: uint256
    price: uint256
    mark: uint256
    left: uint256


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

# Micro-USDC at the mark above which the first order for a leg is for a fifth; and seconds.
partial_above: public(uint256)
cooldown: public(uint256)
# Time of an account's last order for a fifth.
partial_at: public(HashMap[uint256, uint256])

# Parts per million of the notional closed; micro-USDC; parts per million of the fee.
liquidation_fee: public(uint256)
reward: public(uint256)
reward_share: public(uint256)

is_backstop_open: public(bool)
# Micro-USDC at the mark: what the tranche may hold of a market, and take from one owner in a day.
backstop_limit: public(HashMap[uint256, uint256])
owner_limit: public(uint256)
# day 128 | notional taken over that day 128
_taken_from: HashMap[address, uint256]

# Parts per million of the tranche's position, or micro-USDC if that is more, in each so many seconds,
# no worse than so many parts per million beyond the mark.
work_off_share: public(uint256)
work_off_notional: public(uint256)
work_off_interval: public(uint256)
work_off_slippage: public(uint256)
_windows: HashMap[uint256, Window]


@deploy
def __init__(
    clearinghouse_: address,
    order_book_: address,
    vault_: address,
    deleverager_: address,
):
    """
    @notice To begin with it winds up what is underwater, orders are
            whole, nothing is charged, and the backstop has no limit in any market above 0.
    """
    self._set_policy(UNDERWATER, 100_000)
    self._set_partial(max_value(uint256), 30)
    self._set_backstop(True, max_value(uint256))
    self._set_work_off(100_000, 10_000 * 10**6, 60, 5_000)
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
    owned._check_owner(clearinghouse)
    self._set_policy(trigger, insured_band)


@internal
def _set_policy(trigger: uint256, insured_band: uint256):
    assert trigger <= UNFILLABLE, "liquidator: unknown trigger"
    assert insured_band <= PPM, "liquidator: band above 100%"
    self.trigger = trigger
    self.insured_band = insured_band
    log PolicySet(trigger=trigger, insured_band=insured_band)


@external
def set_partial(partial_above: uint256, cooldown: uint256):
    """
    @notice Owner only.
    @param partial_above Micro-USDC at the mark: the first order for a larger leg is for a fifth.
    @param cooldown Seconds after such an order in which the account's orders are whole; up to an
           hour.
    """
    owned._check_owner(clearinghouse)
    self._set_partial(partial_above, cooldown)


@internal
def _set_partial(partial_above: uint256, cooldown: uint256):
    assert cooldown <= MAX_COOLDOWN, "liquidator: cooldown above an hour"
    self.partial_above = partial_above
    self.cooldown = cooldown
    log PartialSet(partial_above=partial_above, cooldown=cooldown)


@external
def set_fees(liquidation_fee: uint256, reward: uint256, reward_share: uint256):
    """
    @notice Owner only. What a liquidated account pays, and what part of it a caller gets.
    @param liquidation_fee Parts per million of the notional closed, at the mark; up to 1%. 0: no
           fee, and then no reward either.
    @param reward Micro-USDC that the account pays a caller once, in the call that ends its
           liquidation; up to 10 USDC.
    @param reward_share The caller's part of the fee, parts per million.
    """
    owned._check_owner(clearinghouse)
    assert liquidation_fee <= MAX_FEE, "liquidator: fee above 1%"
    assert reward <= MAX_REWARD, "liquidator: reward above 10 USDC"
    assert reward_share <= PPM, "liquidator: share above 100%"
    self.liquidation_fee = liquidation_fee
    self.reward = reward
    self.reward_share = reward_share
    log FeesSet(liquidation_fee=liquidation_fee, reward=reward, reward_share=reward_share)


@external
def set_backstop(is_open: bool, owner_limit: uint256):
    """
    @notice Owner only. Opens or closes the backstop.
    @param owner_limit Micro-USDC at the mark that the tranche takes over from one owner in a UTC day.
           One owner with many accounts must not fill the tranche with one bet of his, as happened
           elsewhere. It slows down who has one address, and no more: addresses are free. What bounds
           the loss is the tranche's own margin and the limit of each market.
    """
    owned._check_owner(clearinghouse)
    self._set_backstop(is_open, owner_limit)


@internal
def _set_backstop(is_open: bool, owner_limit: uint256):
    self.is_backstop_open = is_open
    self.owner_limit = owner_limit
    log BackstopSet(is_open=is_open, owner_limit=owner_limit)


@external
def set_backstop_limit(market: uint256, max_notional: uint256):
    """
    @notice Owner only.
    @param max_notional Micro-USDC at the mark up to which a takeover may carry the tranche's position
           in the market; 0: none. What makes the position smaller is always within it.
    """
    owned._check_owner(clearinghouse)
    assert max_notional <= MAX_LIMIT, "liquidator: limit out of range"
    self.backstop_limit[market] = max_notional
    log BackstopLimitSet(market=market, max_notional=max_notional)


@external
def set_work_off(share: uint256, notional: uint256, interval: uint256, slippage: uint256):
    """
    @notice Owner only. How fast, and how far beyond the mark, the tranche's positions go.
    @dev In one interval at most max(share of the position, notional) * slippage can be lost to
         whoever stands on the other side, and over all the slippage of what was taken over. Somebody
         who lets his own account be taken over to buy it back here pays with the margin that went
         with it: he gains nothing where the slippage is below two thirds of the maintenance rate
         less one step of the mark.
    @param share Parts per million of the position in one interval.
    @param notional Micro-USDC at the mark, for small positions: whichever is more.
    @param interval Seconds, 1 .. a day.
    @param slippage Parts per million of the mark, below 100%.
    """
    owned._check_owner(clearinghouse)
    self._set_work_off(share, notional, interval, slippage)


@internal
def _set_work_off(share: uint256, notional: uint256, interval: uint256, slippage: uint256):
    assert share <= PPM, "liquidator: share above 100%"
    assert notional <= MAX_LIMIT, "liquidator: limit out of range"
    assert interval != 0 and interval <= MAX_INTERVAL, "liquidator: interval out of range"
    assert slippage < PPM, "liquidator: slippage out of range"
    self.work_off_share = share
    self.work_off_notional = notional
    self.work_off_interval = interval
    self.work_off_slippage = slippage
    log WorkOffSet(share=share, notional=notional, interval=interval, slippage=slippage)


@external
def liquidate(account: uint256, max_steps: uint256, reward_account: uint256 = 0) -> bool:
    """
    @notice Takes an account below maintenance down the waterfall: voids its orders, sells its
            legs into the book in order of market id until it has recovered, lets the backstop take
            over what is left below two thirds of maintenance, and winds up what is left if it is
            bankrupt. Anyone.
    @dev Reverts on a healthy account, so a second call in a row cannot do harm. A call that runs
         out of steps keeps its fills and never goes on to the backstop or winds up: void or dust
         orders on top of the book must not force either.

         A leg above `partial_above` is sold by a fifth first. Such an order begins the account's
         cooldown, in which its orders are whole; when that has passed they are for a fifth again.
         In the block of that order there is no second one, so a fifth is really offered first. The
         call that sends it goes no further down the waterfall, unless the book had nothing. Below
         two thirds of maintenance orders are whole at once: what the book would pay for is not
         for the backstop.
    @param max_steps Resting orders to meet at most, at most 256; what is left of them goes into
           the ADL round.
    @param reward_account A trader's account for the reward; 0: none, and the liquidated account
           keeps it.
    @return Whether there is work left here.
    """
    self._require_steps(max_steps)
    if reward_account != 0:
        # More equity would lower the rank of an account in an open round.
        assert (
            reward_account != account
            and staticcall clearinghouse.is_trader(reward_account)
            and not staticcall clearinghouse.is_frozen(reward_account)
        ), "liquidator: no account for a reward"
    assert (
        staticcall clearinghouse.account_owner(account) != empty(address)
    ), "clearinghouse: unknown account"
    margin: IClearinghouse.Margin = self._judged(account)
    assert staticcall clearinghouse.is_trader(account), "liquidator: not a trading account"
    assert self._is_weak(margin), "liquidator: account is healthy"
    extcall order_book.cancel_all(account)
    first: uint256 = self._first_leg(account)
    margin = self._close_settled(account, margin)

    left: uint256 = min(max_steps, MAX_STEPS)
    more: bool = False
    unfillable: bool = False
    before: IClearinghouse.Margin = margin
    whole: bool = self._is_whole(account, margin)
    held_back: bool = False
    legs: uint256 = staticcall clearinghouse.active_markets(account)
    for _: uint256 in range(MAX_LEGS):
        if legs == 0 or not self._is_weak(margin):
            break
        market: uint256 = bits.lowest(legs)
        legs &= legs - 1
        steps: uint256 = 0
        ran_out: bool = False
        stuck: bool = False
        steps, ran_out, stuck = self._sell(
            account, market, self._borne(account, market, margin.equity), left, whole
        )
        left -= steps
        more = more or ran_out
        unfillable = unfillable or stuck
        margin = staticcall clearinghouse.margin(account)
        if not (whole or ran_out or stuck):
            # All that was ordered was sold: what is left was not ordered.
            held_back = held_back or self._holds(account, market)

    margin.equity -= self._charge(account, reward_account, before, margin)
    log Liquidated(
        account=account,
        caller=msg.sender,
        equity=margin.equity,
        maintenance=margin.maintenance,
        more=more,
        unfillable=unfillable,
    )
    if held_back:
        self.partial_at[account] = block.timestamp
        log CooldownBegan(account=account, until=block.timestamp + self.cooldown)
        return more
    if not more and self._is_for_backstop(margin):
        if self._take_over(account, reward_account, margin.equity):
            return False
    if not more and self._is_weak(margin):
        if margin.equity < 0 or (self.trigger == UNFILLABLE and unfillable):
            self._wind_up(account, margin.equity, first)
            if left != 0:
                more = extcall deleverager.advance(left)
    return more


@view
@internal
def _is_whole(account: uint256, margin: IClearinghouse.Margin) -> bool:
    """
    @notice Whether this call's orders are for all of each leg, however large.
    """
    if self.partial_above == max_value(uint256):
        return True
    last: uint256 = self.partial_at[account]
    assert last != block.timestamp, "liquidator: a fifth was sold in this block"
    return block.timestamp < last + self.cooldown or self._is_far_gone(margin)


@view
@internal
def _holds(account: uint256, market: uint256) -> bool:
    return (staticcall clearinghouse.active_markets(account) >> market) & 1 == 1


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
         the rest is written off. It is a loss of the market that was closed last.
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
        self._wind_up(account, equity, market)


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
    account: uint256, market: uint256, equity: int256, max_steps: uint256, whole: bool
) -> (uint256, bool, bool):
    """
    @notice Closes one leg, or the first part of it, into the book, best price first.
    @param equity What the leg has to lose: the account's, or its part of a deficit.
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
    ordered: uint256 = size
    if not whole:
        ordered = self._first_order(market, size, mark)
    steps: uint256 = 0
    for _: uint256 in range(MAX_STEPS):
        if ordered == 0:
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
        wanted: uint256 = min(ordered, top.size)
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
        ordered -= filled
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
def _borne(account: uint256, market: uint256, equity: int256) -> int256:
    """
    @notice What a leg has to lose: all of the equity; of a deficit its part, as in a wind-up, truncated.
    @dev Else one lot of a liquid market would have insurance pay there, for a fill at the mark, what
         was lost in another market: past that one's ring fence, and ahead of its winners.
    """
    if equity >= 0:
        return equity
    ours: uint256 = 0
    weights: uint256 = 0
    legs: DynArray[Leg, MAX_LEGS] = self._legs(account)
    for leg: Leg in legs:
        weights += leg.weight
        if leg.market == market:
            ours = leg.weight
    return equity * convert(ours, int256) // convert(weights, int256)


@view
@internal
def _first_order(market: uint256, size: uint256, mark: uint256) -> uint256:
    """
    @notice Lots of the first order for a leg: a fifth, rounded up, if the leg is large. All of it
            if it is not, or if less than the market's least order would be left.
    """
    if size * mark <= self.partial_above:
        return size
    part: uint256 = (size + FIRST_PART - 1) // FIRST_PART
    least: uint256 = risk_terms.unpack(staticcall clearinghouse.terms(market)).min_notional
    if (size - part) * mark < least:
        return size
    return part


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


# --- Fee and reward ------------------------------------------------------------------------------


@internal
def _charge(
    account: uint256,
    reward_account: uint256,
    before: IClearinghouse.Margin,
    after: IClearinghouse.Margin,
) -> int256:
    """
    @notice The fee on what this call has closed, at the mark, rounded up, and the caller's reward:
            both paid by the liquidated account.
    @dev They take no more than what the account can do without: all of its equity once it is flat;
         down to maintenance if it has recovered; and while it is still weak they leave it as
         strong as it came, so that no later fill needs more of insurance than without a fee, and
         chopping a liquidation into many calls gains nothing. The flat part is due once, in the
         call after which the account is no longer weak. Whoever liquidates an account of his own
         pays all of this himself, so he cannot gain by it.
    @return Micro-USDC that left the account.
    """
    rate: uint256 = self.liquidation_fee
    if rate == 0 or after.equity <= 0 or before.notional == after.notional:
        return 0
    is_weak: bool = self._is_weak(after)
    keep: int256 = convert(after.maintenance, int256)
    if is_weak:
        keep = max(self._ceil_share(before.equity, after.maintenance, before.maintenance), 0)
    room: uint256 = convert(max(after.equity - keep, 0), uint256)
    fee: uint256 = min(((before.notional - after.notional) * rate + PPM - 1) // PPM, room)
    flat: uint256 = 0
    reward: uint256 = 0
    if reward_account != 0:
        if not is_weak:
            flat = min(self.reward, room - fee)
        reward = fee * self.reward_share // PPM + flat
    if fee + flat != 0:
        self._pay_charge(account, reward_account, fee, flat, reward)
    return convert(fee + flat, int256)


@internal
def _pay_charge(
    account: uint256, reward_account: uint256, fee: uint256, flat: uint256, reward: uint256
):
    if reward != 0:
        extcall clearinghouse.transfer_cash(account, reward_account, reward)
    rest: uint256 = fee + flat - reward
    recovered: uint256 = min(rest, staticcall clearinghouse.uninsured())
    if recovered != 0:
        extcall clearinghouse.recover(account, recovered)
    if rest != recovered:
        extcall clearinghouse.transfer_cash(
            account, staticcall clearinghouse.vault_account(), rest - recovered
        )
    log LiquidationCharged(
        account=account, reward_account=reward_account, fee=fee, flat=flat, reward=reward
    )


# --- The backstop --------------------------------------------------------------------------------


@internal
def _take_over(account: uint256, reward_account: uint256, equity: int256) -> bool:
    """
    @notice The tranche takes all legs of an account at the mark, and the equity that is left, if
            that is within its limits; all or nothing. The account ends flat, with cash 0. What is
            below zero at the oracle price it does not take: the mark walks there in steps, and who is
            on the other side would be paid by the tranche for what everybody can see.
    @dev At the mark nobody's equity changes, so the tranche's grows by exactly what comes with the
         account. It must meet its initial margin then. No limit here reverts: what the tranche
         does not take goes on down the waterfall.
    @return Whether it did.
    """
    if not self.is_backstop_open or staticcall clearinghouse.uninsured() != 0:
        return False
    tranche: uint256 = staticcall clearinghouse.tranche_account()
    if staticcall clearinghouse.is_frozen(tranche):
        return False
    held: IClearinghouse.Margin = staticcall clearinghouse.margin(tranche)
    if not held.is_fresh or held.equity < 0:
        return False
    oracle: IOracle = IOracle(staticcall clearinghouse.oracle())

    # What it would hold, before anything moves.
    markets: uint256 = staticcall clearinghouse.active_markets(tranche)
    initial: uint256 = held.initial
    notional: uint256 = 0
    # What it is worth more (or less) at the oracle price, to which the mark is on its way.
    ahead: int256 = 0
    legs: DynArray[Leg, MAX_LEGS] = self._legs(account)
    sizes: DynArray[int256, MAX_LEGS] = []
    for leg: Leg in legs:
        markets |= 1 << leg.market
        mark: uint256 = leg.notional // leg.size
        size: int256 = (staticcall clearinghouse.position(tranche, leg.market)).size
        lots: uint256 = convert(abs(size), uint256)
        change: int256 = convert(leg.size, int256) if leg.is_long else -convert(leg.size, int256)
        ahead += change * convert(staticcall oracle.oracle_price(leg.market), int256)
        ahead -= change * convert(mark, int256)
        size += change
        lots_then: uint256 = convert(abs(size), uint256)
        sizes.append(size)
        if lots_then > lots:
            if lots_then > MAX_SIZE or lots_then * mark > self.backstop_limit[leg.market]:
                return False
            if risk_terms.unpack(staticcall clearinghouse.terms(leg.market)).halted:
                return False
        # The tranche has no leverage of its own: initial margin is twice maintenance.
        initial += 2 * staticcall clearinghouse.maintenance(leg.market, lots_then * mark)
        initial -= 2 * staticcall clearinghouse.maintenance(leg.market, lots * mark)
        notional += leg.notional
    if self._count(markets) > MAX_LEGS:
        return False
    spare: int256 = equity + min(ahead, 0)
    if spare < 0:
        return False
    reward: uint256 = 0
    if reward_account != 0 and self.liquidation_fee != 0:
        # The work-off's slippage must be covered: else the owner of many tiny accounts has all their
        # margin back as a reward, and buys the positions back with the slippage.
        spare -= convert((notional * self.work_off_slippage + PPM - 1) // PPM, int256)
        reward = min(self.reward, convert(max(spare, 0), uint256))
    gained: uint256 = convert(equity, uint256) - reward
    if held.equity + convert(gained, int256) < convert(initial, int256):
        return False
    if not self._count_owner(staticcall clearinghouse.account_owner(account), notional):
        return False

    last: uint256 = len(legs) - 1
    for i: uint256 in range(len(legs), bound=MAX_LEGS):
        leg: Leg = legs[i]
        if leg.is_long:
            extcall clearinghouse.exchange(leg.market, tranche, account, leg.size, leg.notional)
        else:
            extcall clearinghouse.exchange(leg.market, account, tranche, leg.size, leg.notional)
        log BackstopTaken(
            account=account,
            market=leg.market,
            is_long=leg.is_long,
            size=leg.size,
            mark=leg.notional // leg.size,
            margin=gained if i == last else 0,
            tranche_size=sizes[i],
        )
    if reward != 0:
        self._pay_charge(account, reward_account, 0, reward, reward)
    if gained != 0:
        extcall clearinghouse.transfer_cash(account, tranche, gained)
    return True


@internal
def _count_owner(owner: address, notional: uint256) -> bool:
    """
    @notice Counts what is taken over from an owner today; False, and nothing counted, beyond the
            limit.
    """
    limit: uint256 = self.owner_limit
    if limit == max_value(uint256):
        return True
    word: uint256 = self._taken_from[owner]
    today: uint256 = block.timestamp // DAY
    taken: uint256 = notional
    if word >> 128 == today:
        taken += word & (2**128 - 1)
    if taken > limit:
        return False
    self._taken_from[owner] = (today << 128) | taken
    return True


@pure
@internal
def _count(markets: uint256) -> uint256:
    left: uint256 = markets
    count: uint256 = 0
    for _: uint256 in range(2 * MAX_LEGS):
        if left == 0:
            break
        left &= left - 1
        count += 1
    return count


@external
def work_off(market: uint256, max_steps: uint256) -> uint256:
    """
    @notice Sends part of the tranche's position in a market into the book: as much as the interval
            still allows, at prices no worse than the slippage beyond mark and oracle price, and never so that
            the tranche would be below zero. Anyone.
    @dev What a call leaves of the allowance is there for the next one, so that nobody uses up an
         interval with a call of few steps.
    @param max_steps Resting orders to meet at most, at most 256.
    @return Lots sold (or bought back).
    """
    self._require_steps(max_steps)
    tranche: uint256 = staticcall clearinghouse.tranche_account()
    size: int256 = (staticcall clearinghouse.position(tranche, market)).size
    assert size != 0, "liquidator: nothing to work off"
    assert staticcall clearinghouse.settlement_account(market) == 0, "clearinghouse: market settled"
    margin: IClearinghouse.Margin = self._judged(tranche)
    assert margin.equity >= 0, "liquidator: tranche below zero"
    mark: uint256 = staticcall clearinghouse.mark(market)
    window: Window = self._window(market, convert(abs(size), uint256), mark)
    assert window.left != 0, "liquidator: enough for this interval"

    is_long: bool = size > 0
    slippage: uint256 = self.work_off_slippage
    # While the mark walks, nobody trades with the tranche at a price that all know to be gone.
    oracle: IOracle = IOracle(staticcall clearinghouse.oracle())
    oracle_price: uint256 = staticcall oracle.oracle_price(market)
    worst: uint256 = min(mark, oracle_price) * (PPM + slippage) // PPM
    if is_long:
        worst = (max(mark, oracle_price) * (PPM - slippage) + PPM - 1) // PPM
    # What the tranche can still lose against the mark.
    equity: int256 = margin.equity
    limit: uint256 = min(max_steps, MAX_STEPS)
    steps: uint256 = 0
    sold: uint256 = 0
    for _: uint256 in range(MAX_STEPS):
        if window.left == 0 or steps >= limit:
            break
        top: IOrderBook.Top = extcall order_book.peek(market, is_long, limit - steps)
        steps += top.steps
        if top.more or top.order_id == 0 or steps >= limit:
            break
        steps += 1
        if top.price < worst if is_long else top.price > worst:
            break
        wanted: uint256 = min(window.left, top.size)
        gain: int256 = convert(top.price, int256) - convert(mark, int256)
        if not is_long:
            gain = -gain
        if gain < 0:
            wanted = min(wanted, convert(equity // -gain, uint256))
            if wanted == 0:
                break
        filled: uint256 = extcall order_book.take(top.order_id, tranche, wanted)
        if filled == 0:
            continue
        equity += gain * convert(filled, int256)
        sold += filled
        window.left -= filled
        log WorkedOff(
            market=market,
            caller=msg.sender,
            order_id=top.order_id,
            is_long=is_long,
            size=filled,
            price=top.price,
            mark=mark,
            left=window.left,
        )
    if sold != 0:
        self._windows[market] = window
    return sold


@view
@internal
def _window(market: uint256, size: uint256, mark: uint256) -> Window:
    """
    @notice The interval at work, or a new one if that is over; no more lots than the position has.
    """
    window: Window = self._windows[market]
    if block.timestamp >= window.began + self.work_off_interval:
        window.began = block.timestamp
        window.left = max(
            (size * self.work_off_share + PPM - 1) // PPM, self.work_off_notional // mark
        )
    window.left = min(window.left, size)
    return window


@external
def wind_up_tranche(max_steps: uint256) -> bool:
    """
    @notice The end of a tranche that has lost its margin: its legs go to the estates and are
            deleveraged like any bankrupt's. Anyone, once its equity is below zero.
    @param max_steps Of the ADL round.
    @return Whether there is work left in rounds.
    """
    self._require_steps(max_steps)
    tranche: uint256 = staticcall clearinghouse.tranche_account()
    margin: IClearinghouse.Margin = self._judged(tranche)
    assert margin.equity < 0, "liquidator: tranche not below zero"
    first: uint256 = self._first_leg(tranche)
    margin = self._close_settled(tranche, margin)
    self._wind_up(tranche, margin.equity, first)
    return extcall deleverager.advance(max_steps)


# --- The end of an account -----------------------------------------------------------------------


@internal
def _wind_up(account: uint256, equity: int256, market: uint256):
    """
    @param market Whose loss it is if the account has no leg any more.
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
    last: uint256 = 0
    for i: uint256 in range(len(legs), bound=MAX_LEGS):
        weights += legs[i].weight
        if legs[i].weight != 0:
            last = i
    unshared: int256 = equity
    for i: uint256 in range(len(legs), bound=MAX_LEGS):
        share: int256 = unshared
        if i != last:
            share = equity * convert(legs[i].weight, int256) // convert(weights, int256)
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
        payer: uint256 = market
        if len(legs) != 0:
            payer = legs[0].market if len(legs) == 1 else max_value(uint256)
        insurance = extcall vault.pay(payer, account, uncarried)
        if uncarried > insurance:
            extcall clearinghouse.write_off(account, uncarried - insurance)
    log WoundUp(
        account=account,
        equity=equity,
        insurance=insurance,
        uninsured=uncarried - insurance,
    )
    deficit: uint256 = convert(max(-equity, 0), uint256)
    for leg: Leg in legs:
        # As in the exchange above: what the estate paid or received.
        quote: int256 = convert(leg.notional, int256)
        worth: int256 = leg.share - quote if leg.is_long else leg.share + quote
        extcall deleverager.add_lot(leg.market, leg.is_long, account, leg.size, worth, deficit)


@view
@internal
def _legs(account: uint256) -> DynArray[Leg, MAX_LEGS]:
    legs: DynArray[Leg, MAX_LEGS] = []
    losses: uint256 = 0
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
        loss: uint256 = convert(max(-profit, 0), uint256)
        losses += loss
        legs.append(
            Leg(
                market=market,
                is_long=position.size > 0,
                size=size,
                notional=size * mark,
                weight=loss,
                share=0,
            )
        )
    if losses == 0:
        for i: uint256 in range(len(legs), bound=MAX_LEGS):
            legs[i].weight = legs[i].notional
    return legs


@view
@internal
def _first_leg(account: uint256) -> uint256:
    """
    @notice The market of the first leg; 2^256 - 1 without one.
    """
    markets: uint256 = staticcall clearinghouse.active_markets(account)
    return bits.lowest(markets) if markets != 0 else max_value(uint256)


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
def _require_steps(max_steps: uint256):
    assert max_steps != 0, "liquidator: no steps"


@view
@internal
def _judged(account: uint256) -> IClearinghouse.Margin:
    """
    @notice Its margin, unless an open round or a stale price says that this is not the moment.
    """
    assert not staticcall clearinghouse.is_frozen(account), "liquidator: adl round open"
    margin: IClearinghouse.Margin = staticcall clearinghouse.margin(account)
    assert margin.is_fresh, "oracle: stale price"
    return margin


@pure
@internal
def _is_far_gone(margin: IClearinghouse.Margin) -> bool:
    """
    @notice Below two thirds of maintenance.
    """
    return 3 * margin.equity < convert(2 * margin.maintenance, int256)


@pure
@internal
def _is_for_backstop(margin: IClearinghouse.Margin) -> bool:
    return margin.equity >= 0 and self._is_far_gone(margin)


@pure
@internal
def _is_weak(margin: IClearinghouse.Margin) -> bool:
    return margin.equity < convert(margin.maintenance, int256)


# --- Views ---------------------------------------------------------------------------------------


@view
@external
def owner() -> address:
    """
    @notice The venue's owner, as the governor names it.
    """
    return owned._owner(clearinghouse)


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


@view
@external
def work_off_left(market: uint256) -> uint256:
    """
    @notice Lots of the tranche's position that may be worked off now, at fresh prices and without
            an open round; 0 in a settled market.
    """
    size: int256 = (
        staticcall clearinghouse.position(staticcall clearinghouse.tranche_account(), market)
    ).size
    if size == 0 or staticcall clearinghouse.settlement_account(market) != 0:
        return 0
    return self._window(
        market, convert(abs(size), uint256), staticcall clearinghouse.mark(market)
    ).left


@view
@external
def taken_today(owner: address) -> uint256:
    """
    @notice Micro-USDC, at the marks of then, taken over from an owner this UTC day, as far as a limit
            was in force.
    """
    word: uint256 = self._taken_from[owner]
    return word & (2**128 - 1) if word >> 128 == block.timestamp // DAY else 0
