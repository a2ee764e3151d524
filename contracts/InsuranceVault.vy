# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title InsuranceVault
@license AGPL-3.0-only
@notice The venue's insurance, an ERC-4626 vault: depositors' money pays losses that nobody else
        does, and earns what the waterfall leaves. The money stands in two accounts of the
        clearinghouse; here are only shares and who may take how much.

            main       the account that insurance is paid from: cash, never a position
            tranche    the backstop's margin account, ring-fenced from main: takes positions over,
                       and loses at most what it was funded with
            assets     micro-USDC: main's cash plus the tranche's equity where positive, read from
                       the ledger, never from a token balance
            shares     10^-12 of a USDC at the outset; burnt and minted rounded in the vault's favour
            value      of a position of the tranche. Entries take the best of mark, previous mark and
                       oracle price; exits the worst, less `exit_haircut` for working it off.
                       Entries also pay for what estates have gained, which may become the vault's,
                       and for its part of the fees that anyone may sweep to it

        Inflation defence: 10^6 shares and 1 micro-USDC more than there are enter every conversion
        (`VIRTUAL_SHARES`, `VIRTUAL_ASSETS`), so whoever lifts the price of a share by a gift loses
        at least 10^6 times as much to them as rounding can take from a later depositor. They own
        what is left when all depositors have gone.

        Leaving takes two steps: `request_exit` locks shares, which go on bearing losses, and after
        `exit_delay` they can be redeemed at any time, except while a bankrupt is known: a round is
        open, lots of an estate are left, or the tranche is below zero (or cannot be valued, its
        price being stale). While a loss is uninsured they leave at the clearinghouse's ratio like
        every withdrawal: the ratio is the same in any order, so nobody has to be held back.
@custom:kill Cannot be halted; with nothing in it, it pays nothing. Depositors can leave as long as
             the clearinghouse pays.
"""
from ethereum.ercs import IERC20
from ethereum.ercs import IERC4626
from snekmate.auth import ownable
from snekmate.tokens import erc20
from .interfaces import IClearinghouse
from .interfaces import IDeleverager
from .interfaces import IInsuranceVault
from .interfaces import IOracle
from .modules import bits
from .modules import owned

initializes: ownable
initializes: erc20[ownable := ownable]
implements: IERC20
implements: IERC4626
implements: IInsuranceVault
exports: (
    erc20.name,
    erc20.symbol,
    erc20.decimals,
    erc20.totalSupply,
    erc20.balanceOf,
    erc20.allowance,
    erc20.approve,
    erc20.permit,
    erc20.nonces,
    erc20.DOMAIN_SEPARATOR,
    erc20.eip712Domain,
)

PPM: constant(uint256) = 10**6
MAX_MARKETS: constant(uint256) = 64
VIRTUAL_SHARES: constant(uint256) = 10**6
VIRTUAL_ASSETS: constant(uint256) = 1
# What the clearinghouse takes in one deposit.
MAX_DEPOSIT: constant(uint256) = 2**80
# No entry takes the supply beyond: a product of shares and assets stays within a word, also after
# losses that left next to nothing.
MAX_SHARES: constant(uint256) = 2**128
MAX_EXIT_DELAY: constant(uint256) = 30 * 86_400
MAX_EXIT_HAIRCUT: constant(uint256) = 500_000
# A loss of no one market, and the budget that all markets without a fence share.
POOL: constant(uint256) = max_value(uint256)
SCALE: constant(uint256) = 10**27
MIN_SCALE: constant(uint256) = 10**9


struct Request:
    # Shares whose delay is over, and those that wait until `matures_at` (seconds).
    matured: uint256
    pending: uint256
    matures_at: uint256


# micro-USDC. The tranche's equity by each valuation is floored at 0.
struct Value:
    cash: uint256
    low: uint256
    mid: uint256
    high: uint256
    # What may leave the tranche.
    free: uint256
    # Whether the tranche's price is fresh and its equity at the mark not below 0.
    sound: bool


struct Entry:
    assets: uint256
    shares: uint256
    # Shares that may be minted now.
    room: uint256


struct Exit:
    assets: uint256
    shares: uint256
    # micro-USDC that main and tranche can give up now, before the ratio; False `open`: nothing may.
    liquid: uint256
    open: bool
    # Of the clearinghouse's ratio; both 0 while no loss is uninsured.
    claims: int256
    uninsured: uint256


event Contributed:
    contributor: indexed(address)
    amount: uint256


# `paid` of the `wanted` micro-USDC went to `account`, for a loss in `market` (2^256 - 1: of no one
# market); `left` is what that market's budget still holds.
event Paid:
    account: indexed(uint256)
    wanted: uint256
    paid: uint256
    left: uint256
    market: uint256


event ExitRequested:
    owner: indexed(address)
    shares: uint256
    pending: uint256
    matures_at: uint256


event ExitCancelled:
    owner: indexed(address)
    shares: uint256


# Beside ERC-4626's Withdraw: the part of the assets that the vault gave up, of which `assets` of
# Withdraw were paid. They differ only while a loss is uninsured.
event Left:
    owner: indexed(address)
    given_up: uint256
    paid: uint256
    shares: uint256


event TrancheFunded:
    amount: uint256
    funded: uint256


event TrancheDefunded:
    amount: uint256
    funded: uint256


event ParametersSet:
    exit_delay: uint256
    exit_haircut: uint256
    tranche_share: uint256


event RingFenceSet:
    market: indexed(uint256)
    fenced: bool
    share: uint256


clearinghouse: public(immutable(IClearinghouse))
token: public(immutable(IERC20))

# Seconds from a request to its exit.
exit_delay: public(uint256)
# Cost of working off the tranche's positions, parts per million of their notional.
exit_haircut: public(uint256)
# The most of total assets that may stand in the tranche when it is funded, parts per million.
tranche_share: public(uint256)
# micro-USDC that went into the tranche less what came back.
tranche_funded: public(uint256)
_requests: HashMap[address, Request]

# A fenced market's share of the insurance, parts per million, plus 1; 0: not fenced.
_fences: HashMap[uint256, uint256]
fence_count: public(uint256)
# Sum of the fenced shares, parts per million.
fenced_share: public(uint256)
# What each budget, and all together, have paid since the fences last changed: micro-USDC times
# SCALE / `_scale`. The scale falls with main's cash when money leaves otherwise than by a payment,
# so that what every budget has left shrinks by the same part.
_era: uint256
_scale: uint256
_spent: HashMap[uint256, HashMap[uint256, uint256]]
_spent_in_all: HashMap[uint256, uint256]


@deploy
def __init__(clearinghouse_: address, token_: address):
    """
    @notice One pool for all markets, a delay of a day, a haircut of
            1%, and up to 20% for the tranche, to begin with.
    """
    ownable.__init__()
    # The token module wants an owner; this token has nothing for one to do.
    ownable._transfer_ownership(empty(address))
    erc20.__init__("Breakwater Insurance", "bwINS", 12, "Breakwater Insurance", "1")
    clearinghouse = IClearinghouse(clearinghouse_)
    token = IERC20(token_)
    self._scale = SCALE
    self._set_parameters(86_400, 10_000, 200_000)


# --- Parameters ----------------------------------------------------------------------------------


@external
def set_parameters(exit_delay: uint256, exit_haircut: uint256, tranche_share: uint256):
    """
    @notice Owner only. Requests already made keep their date.
    @param exit_delay Seconds, at most 30 days.
    @param exit_haircut Parts per million of the tranche's notional, at most 50%.
    @param tranche_share Parts per million of total assets.
    """
    owned._check_owner(clearinghouse)
    self._set_parameters(exit_delay, exit_haircut, tranche_share)


@internal
def _set_parameters(exit_delay: uint256, exit_haircut: uint256, tranche_share: uint256):
    assert exit_delay <= MAX_EXIT_DELAY, "vault: delay above 30 days"
    assert exit_haircut <= MAX_EXIT_HAIRCUT, "vault: haircut above 50%"
    assert tranche_share <= PPM, "vault: share above 100%"
    self.exit_delay = exit_delay
    self.exit_haircut = exit_haircut
    self.tranche_share = tranche_share
    log ParametersSet(
        exit_delay=exit_delay, exit_haircut=exit_haircut, tranche_share=tranche_share
    )


@external
def set_ring_fence(market: uint256, share: uint256):
    """
    @notice Sets the part of the insurance that losses in one market may draw and no other market
            may touch. Owner only, and not while a round is open. All budgets start anew.
    @param share Parts per million, 0 for no insurance; all fences together at most 100%.
    """
    self._begin_fences(market)
    assert share <= PPM, "vault: share above 100%"
    fence: uint256 = self._fences[market]
    if fence == 0:
        self.fence_count += 1
    else:
        self.fenced_share -= fence - 1
    self._fences[market] = share + 1
    self.fenced_share += share
    assert self.fenced_share <= PPM, "vault: share above 100%"
    log RingFenceSet(market=market, fenced=True, share=share)


@external
def remove_ring_fence(market: uint256):
    """
    @notice Returns a market to the common pool. As `set_ring_fence` otherwise.
    """
    self._begin_fences(market)
    fence: uint256 = self._fences[market]
    assert fence != 0, "vault: market has no fence"
    self.fence_count -= 1
    self.fenced_share -= fence - 1
    self._fences[market] = 0
    log RingFenceSet(market=market, fenced=False, share=0)


@internal
def _begin_fences(market: uint256):
    owned._check_owner(clearinghouse)
    assert market < staticcall clearinghouse.market_count(), "clearinghouse: unknown market"
    assert not self._is_busy(), "vault: adl round open"
    self._reset_budgets()


@internal
def _reset_budgets():
    self._era += 1
    self._scale = SCALE


# --- Insurance -----------------------------------------------------------------------------------


@external
def contribute(amount: uint256):
    """
    @notice Pulls `amount` micro-USDC from the caller into the vault's account. A gift: no share
            comes with it, and those that exist are worth more.
    """
    assert amount != 0, "vault: amount is zero"
    self._pull(amount)
    log Contributed(contributor=msg.sender, amount=amount)


@external
def pay(market: uint256, account: uint256, wanted: uint256) -> uint256:
    """
    @notice Liquidator and deleverager only: pays `account` up to `wanted` micro-USDC.
    @param market Where the loss was made; 2^256 - 1 for a loss of no one market.
    @return What was paid: min(wanted, available(market)).
    """
    assert msg.sender in [
        staticcall clearinghouse.liquidator(), staticcall clearinghouse.deleverager()
    ], "vault: waterfall only"
    available: uint256 = self._available(market)
    paid: uint256 = min(wanted, available)
    if paid != 0:
        extcall clearinghouse.transfer_cash(
            staticcall clearinghouse.vault_account(), account, paid
        )
        if self.fence_count != 0:
            scaled: uint256 = self._ceil_div(paid * SCALE, self._scale)
            self._spent[self._era][self._budget_of(market)] += scaled
            self._spent_in_all[self._era] += scaled
    log Paid(account=account, wanted=wanted, paid=paid, left=available - paid, market=market)
    return paid


@view
@internal
def _available(market: uint256) -> uint256:
    """
    @dev A budget is its share of main's cash plus all that was paid, less what it has paid itself.
         A payment changes neither that sum nor another budget, so the order does not matter. What
         was spent is rounded up and what all spent down, so that budgets together never exceed the
         cash; once money has left since the fences changed, a budget may be off by a micro-USDC.
    """
    cash: uint256 = self._cash()
    if self.fence_count == 0:
        return cash
    fence: uint256 = self._fences[market]
    share: uint256 = fence - 1 if fence != 0 else PPM - self.fenced_share
    spent: uint256 = self._ceil_div(
        self._spent[self._era][self._budget_of(market)] * self._scale, SCALE
    )
    spent_in_all: uint256 = self._spent_in_all[self._era] * self._scale // SCALE
    budget: uint256 = share * (cash + spent_in_all) // PPM
    return min(cash, budget - min(budget, spent))


@view
@internal
def _budget_of(market: uint256) -> uint256:
    return POOL if self._fences[market] == 0 else market


@internal
def _shrink_budgets(amount: uint256, cash: uint256):
    """
    @notice `amount` of main's `cash` leaves otherwise than by a payment.
    """
    if self.fence_count == 0 or amount == 0:
        return
    self._scale = self._scale * (cash - amount) // cash
    # So little is left that the figures are worth nothing any more.
    if self._scale < MIN_SCALE:
        self._reset_budgets()


# --- The tranche ---------------------------------------------------------------------------------


@external
def fund_tranche(amount: uint256):
    """
    @notice Moves `amount` micro-USDC from the main account into the tranche. Owner only, while no
            bankrupt is known. The tranche, at its higher value, may then hold `tranche_share` of
            total assets at their lower one.
    """
    owned._check_owner(clearinghouse)
    assert amount != 0, "vault: amount is zero"
    held: Value = self._value()
    assert self._is_open(held), "vault: closed while a bankrupt is known"
    assert amount <= held.cash, "vault: not enough cash"
    assert (held.high + amount) * PPM <= self.tranche_share * (
        held.cash + held.low
    ), "vault: beyond the tranche's share"
    self._shrink_budgets(amount, held.cash)
    self.tranche_funded += amount
    extcall clearinghouse.transfer_cash(
        staticcall clearinghouse.vault_account(),
        staticcall clearinghouse.tranche_account(),
        amount,
    )
    log TrancheFunded(amount=amount, funded=self.tranche_funded)


@external
def defund_tranche(amount: uint256):
    """
    @notice Moves `amount` micro-USDC back. Owner only, while no bankrupt is known, and only what
            leaves the tranche its initial margin at the lower valuation.
    """
    owned._check_owner(clearinghouse)
    assert amount != 0, "vault: amount is zero"
    held: Value = self._value()
    assert self._is_open(held), "vault: closed while a bankrupt is known"
    assert amount <= held.free, "vault: tranche needs its margin"
    self._defund(amount)


@internal
def _defund(amount: uint256):
    self.tranche_funded -= min(self.tranche_funded, amount)
    extcall clearinghouse.transfer_cash(
        staticcall clearinghouse.tranche_account(),
        staticcall clearinghouse.vault_account(),
        amount,
    )
    log TrancheDefunded(amount=amount, funded=self.tranche_funded)


# --- Entry ---------------------------------------------------------------------------------------


@external
def deposit(assets: uint256, receiver: address) -> uint256:
    """
    @notice Pulls `assets` micro-USDC from the caller and mints shares, rounded down, to `receiver`.
            Refused while a round is open, a loss is uninsured, the tranche is below zero or its
            price stale, or the assets are zero and the shares are not.
    @return Shares minted.
    """
    entry: Entry = self._entry()
    assert assets != 0, "vault: amount is zero"
    assert assets <= self._max_deposit(entry), "vault: beyond what may enter now"
    shares: uint256 = self._to_shares(assets, entry.assets, entry.shares)
    assert shares != 0, "vault: too little for a share"
    self._enter(receiver, assets, shares)
    return shares


@external
def mint(shares: uint256, receiver: address) -> uint256:
    """
    @notice As `deposit`, for a number of shares.
    @return micro-USDC pulled from the caller, rounded up.
    """
    entry: Entry = self._entry()
    assert shares != 0, "vault: amount is zero"
    assert shares <= self._max_mint(entry), "vault: beyond what may enter now"
    assets: uint256 = self._to_assets_up(shares, entry.assets, entry.shares)
    self._enter(receiver, assets, shares)
    return assets


@internal
def _enter(receiver: address, assets: uint256, shares: uint256):
    self._pull(assets)
    erc20._mint(receiver, shares)
    log IERC4626.Deposit(sender=msg.sender, owner=receiver, assets=assets, shares=shares)


@internal
def _pull(amount: uint256):
    assert extcall token.transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "vault: token transfer failed"
    assert extcall token.approve(
        clearinghouse.address, amount, default_return_value=True
    ), "vault: token approval failed"
    extcall clearinghouse.deposit(staticcall clearinghouse.vault_account(), amount)


@view
@internal
def _entry() -> Entry:
    held: Value = self._value()
    supply: uint256 = erc20.totalSupply
    lots_left: bool = False
    gained: uint256 = 0
    lots_left, gained = self._estates()
    # Anyone may sweep them at any time; they are no assets for who leaves.
    fees: uint256 = staticcall clearinghouse.fees()
    if staticcall clearinghouse.treasury() != 0:
        fees = fees * staticcall clearinghouse.vault_share() // PPM
    entry: Entry = Entry(assets=held.cash + held.high + gained + fees, shares=supply, room=0)
    if (
        held.sound
        and (supply == 0 or held.cash + held.mid != 0)
        and staticcall clearinghouse.uninsured() == 0
        and not self._is_busy()
    ):
        entry.room = MAX_SHARES - supply
    return entry


@pure
@internal
def _max_deposit(entry: Entry) -> uint256:
    # The most whose shares, rounded down, still find room.
    if entry.room == 0:
        return 0
    return min(
        MAX_DEPOSIT,
        ((entry.room + 1) * (entry.assets + VIRTUAL_ASSETS) - 1)
        // (entry.shares + VIRTUAL_SHARES),
    )


@pure
@internal
def _max_mint(entry: Entry) -> uint256:
    return min(entry.room, self._to_shares(MAX_DEPOSIT, entry.assets, entry.shares))


# --- Exit ----------------------------------------------------------------------------------------


@external
def request_exit(shares: uint256):
    """
    @notice Locks shares of the caller's: after `exit_delay` they can be redeemed. Until then and
            afterwards they bear losses like all others and cannot be transferred. A request starts
            the clock anew for all that has not matured, and leaves alone what has.
    """
    assert shares != 0, "vault: amount is zero"
    self._require_unlocked(msg.sender, shares)
    request: Request = self._request(msg.sender)
    request.pending += shares
    request.matures_at = block.timestamp + self.exit_delay
    self._requests[msg.sender] = request
    log ExitRequested(
        owner=msg.sender,
        shares=shares,
        pending=request.pending,
        matures_at=request.matures_at,
    )


@external
def cancel_exit():
    """
    @notice Unlocks all of the caller's shares, matured or not.
    """
    request: Request = self._requests[msg.sender]
    shares: uint256 = request.matured + request.pending
    assert shares != 0, "vault: no request"
    self._requests[msg.sender] = empty(Request)
    log ExitCancelled(owner=msg.sender, shares=shares)


@external
def redeem(shares: uint256, receiver: address, owner: address) -> uint256:
    """
    @notice Burns matured shares of `owner` and pays what they are worth at the lower valuation,
            rounded down, to `receiver`. The caller needs an allowance for another's shares.
    @dev While a loss is uninsured the clearinghouse pays its ratio of it. What the main account
         lacks comes from the tranche's free margin.
    @return micro-USDC paid.
    """
    exit: Exit = self._exit()
    assert shares != 0, "vault: amount is zero"
    assert shares <= self._max_redeem(exit, owner), "vault: beyond what may leave now"
    return self._leave(
        receiver, owner, self._to_assets(shares, exit.assets, exit.shares), shares
    )


@external
def withdraw(assets: uint256, receiver: address, owner: address) -> uint256:
    """
    @notice As `redeem`, for `assets` micro-USDC that are really paid.
    @return Shares burnt, rounded up.
    """
    exit: Exit = self._exit()
    assert assets != 0, "vault: amount is zero"
    assert assets <= self._max_withdraw(exit, owner), "vault: beyond what may leave now"
    given_up: uint256 = self._before_ratio(exit, assets)
    shares: uint256 = self._to_shares_up(given_up, exit.assets, exit.shares)
    self._leave(receiver, owner, given_up, shares)
    return shares


@internal
def _leave(receiver: address, owner: address, given_up: uint256, shares: uint256) -> uint256:
    if msg.sender != owner:
        erc20._spend_allowance(owner, msg.sender, shares)
    request: Request = self._request(owner)
    request.matured -= shares
    self._requests[owner] = request
    erc20._burn(owner, shares)
    paid: uint256 = 0
    if given_up != 0:
        cash: uint256 = self._cash()
        self._shrink_budgets(min(given_up, cash), cash)
        if given_up > cash:
            self._defund(given_up - cash)
        before: uint256 = staticcall token.balanceOf(self)
        extcall clearinghouse.withdraw(staticcall clearinghouse.vault_account(), given_up)
        paid = staticcall token.balanceOf(self) - before
        assert extcall token.transfer(
            receiver, paid, default_return_value=True
        ), "vault: token transfer failed"
    log IERC4626.Withdraw(
        sender=msg.sender, receiver=receiver, owner=owner, assets=paid, shares=shares
    )
    log Left(owner=owner, given_up=given_up, paid=paid, shares=shares)
    return paid


@view
@internal
def _request(owner: address) -> Request:
    """
    @notice The request as of now: what has come of age counts as matured.
    """
    request: Request = self._requests[owner]
    if request.pending != 0 and block.timestamp >= request.matures_at:
        request.matured += request.pending
        request.pending = 0
    return request


@view
@internal
def _exit() -> Exit:
    held: Value = self._value()
    exit: Exit = Exit(
        assets=held.cash + held.low,
        shares=erc20.totalSupply,
        liquid=held.cash + held.free,
        open=self._is_open(held),
        claims=0,
        uninsured=staticcall clearinghouse.uninsured(),
    )
    if exit.uninsured != 0:
        exit.claims = self._claims(exit.uninsured)
    # Others' profit whose loser is not wound up yet may have been paid out of the same tokens.
    tokens: uint256 = staticcall clearinghouse.held()
    if self._after_ratio(exit, exit.liquid) > tokens:
        exit.liquid = tokens
    return exit


@view
@internal
def _max_redeem(exit: Exit, owner: address) -> uint256:
    if not exit.open:
        return 0
    # The most whose worth, rounded down, is still there.
    return min(
        self._request(owner).matured,
        ((exit.liquid + 1) * (exit.shares + VIRTUAL_SHARES) - 1)
        // (exit.assets + VIRTUAL_ASSETS),
    )


@view
@internal
def _max_withdraw(exit: Exit, owner: address) -> uint256:
    shares: uint256 = self._max_redeem(exit, owner)
    return self._after_ratio(exit, self._to_assets(shares, exit.assets, exit.shares))


@view
@internal
def _claims(uninsured: uint256) -> int256:
    """
    @notice As the clearinghouse computes it: what all accounts together are owed.
    """
    dust: int256 = 0
    for market: uint256 in range(staticcall clearinghouse.market_count(), bound=MAX_MARKETS):
        dust += staticcall clearinghouse.funding_dust(market)
    return (
        convert(staticcall clearinghouse.held(), int256)
        - convert(staticcall clearinghouse.fees(), int256)
        - dust // 10**9
        + convert(uninsured, int256)
    )


@pure
@internal
def _after_ratio(exit: Exit, given_up: uint256) -> uint256:
    """
    @notice What the clearinghouse pays for `given_up` micro-USDC, rounded down.
    """
    if exit.uninsured == 0:
        return given_up
    paid: uint256 = 0
    if exit.claims > convert(exit.uninsured, int256):
        claims: uint256 = convert(exit.claims, uint256)
        paid = given_up * (claims - exit.uninsured) // claims
    return max(paid, given_up - min(given_up, exit.uninsured))


@pure
@internal
def _before_ratio(exit: Exit, paid: uint256) -> uint256:
    """
    @notice The least that must be given up to be paid `paid`: `_after_ratio` the other way.
    """
    if exit.uninsured == 0:
        return paid
    given_up: uint256 = paid + exit.uninsured
    if exit.claims > convert(exit.uninsured, int256):
        claims: uint256 = convert(exit.claims, uint256)
        given_up = min(given_up, self._ceil_div(paid * claims, claims - exit.uninsured))
    return given_up


# --- Shares --------------------------------------------------------------------------------------


@external
def transfer(to: address, amount: uint256) -> bool:
    """
    @notice Moves shares that are not locked by a request.
    """
    self._require_unlocked(msg.sender, amount)
    erc20._transfer(msg.sender, to, amount)
    return True


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    """
    @notice Moves shares that are not locked by a request, out of an allowance.
    """
    self._require_unlocked(owner, amount)
    erc20._spend_allowance(owner, msg.sender, amount)
    erc20._transfer(owner, to, amount)
    return True


@view
@internal
def _require_unlocked(owner: address, shares: uint256):
    request: Request = self._requests[owner]
    assert shares <= erc20.balanceOf[owner] - (
        request.matured + request.pending
    ), "vault: shares locked or not there"


@pure
@internal
def _to_shares(amount: uint256, assets: uint256, shares: uint256) -> uint256:
    return amount * (shares + VIRTUAL_SHARES) // (assets + VIRTUAL_ASSETS)


@pure
@internal
def _to_shares_up(amount: uint256, assets: uint256, shares: uint256) -> uint256:
    return self._ceil_div(amount * (shares + VIRTUAL_SHARES), assets + VIRTUAL_ASSETS)


@pure
@internal
def _to_assets(amount: uint256, assets: uint256, shares: uint256) -> uint256:
    return amount * (assets + VIRTUAL_ASSETS) // (shares + VIRTUAL_SHARES)


@pure
@internal
def _to_assets_up(amount: uint256, assets: uint256, shares: uint256) -> uint256:
    return self._ceil_div(amount * (assets + VIRTUAL_ASSETS), shares + VIRTUAL_SHARES)


@pure
@internal
def _ceil_div(amount: uint256, divisor: uint256) -> uint256:
    return (amount + divisor - 1) // divisor


# --- Valuation -----------------------------------------------------------------------------------


@view
@internal
def _cash() -> uint256:
    cash: int256 = staticcall clearinghouse.cash(staticcall clearinghouse.vault_account())
    return convert(max(cash, 0), uint256)


@view
@internal
def _value() -> Value:
    """
    @dev Leg by leg the best and the worst of mark, previous mark and oracle price (to which the mark
         walks in steps), so that a price known to be on its way can neither be entered at nor left
         at. A settled market has one price and costs nothing to leave.
    """
    tranche: uint256 = staticcall clearinghouse.tranche_account()
    margin: IClearinghouse.Margin = staticcall clearinghouse.margin(tranche)
    low: int256 = margin.equity
    high: int256 = margin.equity
    legs: uint256 = staticcall clearinghouse.active_markets(tranche)
    for _: uint256 in range(MAX_MARKETS):
        if legs == 0:
            break
        market: uint256 = bits.lowest(legs)
        legs &= legs - 1
        if staticcall clearinghouse.settlement_account(market) != 0:
            continue
        position: IClearinghouse.Position = staticcall clearinghouse.position(tranche, market)
        lower: int256 = 0
        higher: int256 = 0
        lower, higher = self._moved(market, position.size)
        low += lower
        high += higher
        # Signed: of a short it is the more, the worse the price.
        worst: int256 = (
            position.size * convert(staticcall clearinghouse.mark(market), int256) + lower
        )
        cost: uint256 = self._ceil_div(
            convert(abs(worst), uint256) * self.exit_haircut, PPM
        )
        low -= convert(cost, int256)
    return Value(
        cash=self._cash(),
        low=convert(max(low, 0), uint256),
        mid=convert(max(margin.equity, 0), uint256),
        high=convert(max(high, 0), uint256),
        free=convert(max(low - convert(margin.initial, int256), 0), uint256),
        sound=margin.is_fresh and margin.equity >= 0,
    )


@view
@internal
def _is_busy() -> bool:
    """
    @notice Whether a loss may yet come to light: an ADL round is open, or positions of a settled market
            are not all closed.
    """
    return (
        staticcall IDeleverager(staticcall clearinghouse.deleverager()).is_busy()
        or staticcall clearinghouse.settling() != 0
    )


@view
@internal
def _is_open(held: Value) -> bool:
    """
    @notice Whether money may leave: no bankrupt is known whose loss the vault may yet have to pay.
    """
    if not held.sound or self._is_busy():
        return False
    lots_left: bool = False
    gained: uint256 = 0
    lots_left, gained = self._estates()
    return not lots_left


@view
@internal
def _estates() -> (bool, uint256):
    """
    @notice Whether lots are left in any estate (it holds a position as long as one is), and what
            estates have gained since their rounds ended, at the best of mark, previous mark and
            oracle price: the vault gets what their next round does not close against winners.
    """
    lots_left: bool = False
    gained: int256 = 0
    for market: uint256 in range(staticcall clearinghouse.market_count(), bound=MAX_MARKETS):
        for is_long: bool in [True, False]:
            estate: uint256 = staticcall clearinghouse.estate(market, is_long)
            if staticcall clearinghouse.active_markets(estate) == 0:
                continue
            lots_left = True
            position: IClearinghouse.Position = staticcall clearinghouse.position(estate, market)
            lower: int256 = 0
            higher: int256 = 0
            lower, higher = self._moved(market, position.size)
            gained += max(staticcall clearinghouse.equity(estate) + higher, 0)
    return lots_left, convert(gained, uint256)


@view
@internal
def _moved(market: uint256, size: int256) -> (int256, int256):
    """
    @notice By how much `size` signed lots are worth less (never above 0) and more (never below) at the
            previous mark or the oracle price than at the mark; a settled market has one price.
    """
    lower: int256 = 0
    higher: int256 = 0
    if staticcall clearinghouse.settlement_account(market) == 0:
        oracle: IOracle = IOracle(staticcall clearinghouse.oracle())
        mark: int256 = convert(staticcall clearinghouse.mark(market), int256)
        for price: uint256 in [
            staticcall oracle.previous_mark(market), staticcall oracle.oracle_price(market)
        ]:
            moved: int256 = size * (convert(price, int256) - mark)
            lower = min(lower, moved)
            higher = max(higher, moved)
    return lower, higher


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
def available(market: uint256 = POOL) -> uint256:
    """
    @notice micro-USDC that can be paid now for losses in a market; without one, or with 2^256 - 1:
            for a loss of no one market.
    """
    return self._available(market)


@view
@external
def ring_fence(market: uint256) -> (bool, uint256):
    """
    @notice Whether a market is fenced, and the share that it may draw on, parts per million: its
            own, or what is not fenced.
    """
    fence: uint256 = self._fences[market]
    if fence == 0:
        return False, PPM - self.fenced_share
    return True, fence - 1


@view
@external
def exit_request(owner: address) -> Request:
    """
    @notice Shares of `owner` that are locked: matured, and pending until `matures_at` (seconds).
    """
    return self._request(owner)


@view
@external
def valuation() -> Value:
    """
    @notice Cash of the main account, the tranche's worth for exits (low), at the mark (mid) and for
            entries (high), and what may leave it, micro-USDC; `sound`: its price is fresh and its
            equity not below zero.
    """
    return self._value()


@view
@external
def is_open() -> bool:
    """
    @notice Whether matured shares can be redeemed now.
    """
    return self._is_open(self._value())


@view
@external
def asset() -> address:
    return token.address


@view
@external
def totalAssets() -> uint256:
    """
    @notice Cash of the main account plus the tranche's equity at the mark where positive.
    """
    held: Value = self._value()
    return held.cash + held.mid


@view
@external
def convertToShares(assets: uint256) -> uint256:
    held: Value = self._value()
    return self._to_shares(assets, held.cash + held.mid, erc20.totalSupply)


@view
@external
def convertToAssets(shares: uint256) -> uint256:
    held: Value = self._value()
    return self._to_assets(shares, held.cash + held.mid, erc20.totalSupply)


@view
@external
def maxDeposit(receiver: address) -> uint256:
    return self._max_deposit(self._entry())


@view
@external
def maxMint(receiver: address) -> uint256:
    return self._max_mint(self._entry())


@view
@external
def maxWithdraw(owner: address) -> uint256:
    return self._max_withdraw(self._exit(), owner)


@view
@external
def maxRedeem(owner: address) -> uint256:
    return self._max_redeem(self._exit(), owner)


@view
@external
def previewDeposit(assets: uint256) -> uint256:
    entry: Entry = self._entry()
    return self._to_shares(assets, entry.assets, entry.shares)


@view
@external
def previewMint(shares: uint256) -> uint256:
    entry: Entry = self._entry()
    return self._to_assets_up(shares, entry.assets, entry.shares)


@view
@external
def previewWithdraw(assets: uint256) -> uint256:
    exit: Exit = self._exit()
    return self._to_shares_up(self._before_ratio(exit, assets), exit.assets, exit.shares)


@view
@external
def previewRedeem(shares: uint256) -> uint256:
    exit: Exit = self._exit()
    return self._after_ratio(exit, self._to_assets(shares, exit.assets, exit.shares))
