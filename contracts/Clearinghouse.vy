# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Clearinghouse
@license AGPL-3.0-only
@notice Accounts, positions and margin of the venue, and the only holder of traders' money. The
        money itself moves in `modules/ledger.vy`, by one exchange and one transfer primitive;
        this contract decides who may ask for them and when margin allows it.

            size          signed lots, long > 0; one lot is 10^-size_decimals of the asset
            price, mark   ticks; lots * ticks = micro-USDC, exactly
            equity        cash + sum(size * mark + quote), signed micro-USDC
            initial       margin needed to add risk: sum(|size| * mark / max_leverage)
            maintenance   margin needed to stay: half of the initial margin
            refusal       why one side of a fill may not happen, as a sentence

        It never looks at an order book and never picks whom to liquidate or deleverage.

@custom:kill Nothing here halts deposits or withdrawals. A stale oracle stops what adds risk, an
             open ADL round stops its market; a flat account can always withdraw.
"""
from ethereum.ercs import IERC20
from snekmate.auth import ownable
from .interfaces import IClearinghouse
from .interfaces import IOracle
from .modules import bits
from .modules import ledger

initializes: ownable
initializes: ledger
implements: IClearinghouse
exports: (ownable.owner, ownable.transfer_ownership)
exports: (
    ledger.held,
    ledger.uninsured,
    ledger.account_count,
    ledger.account_owner,
    ledger.account_kind,
    ledger.cash,
    ledger.active_markets,
    ledger.position,
    ledger.holder_count,
    ledger.holder_at,
)

MAX_MARKETS: constant(uint256) = 64
# Legs of one account, so that a margin check has a bound.
MAX_LEGS: constant(uint256) = 8
MAX_LEVERAGE: constant(uint256) = 100
MAX_SIZE: constant(uint256) = 2**63 - 1
# One deposit; keeps every sum far below the range of the ledger's integers.
MAX_DEPOSIT: constant(uint256) = 2**80

# Outcome of a fill that the order book asked for.
FILLED: constant(uint256) = 0
MAKER_REFUSED: constant(uint256) = 1
SAME_OWNER: constant(uint256) = 2


event MarketAdded:
    market: indexed(uint256)
    symbol: String[16]
    size_decimals: uint256
    max_leverage: uint256
    min_notional: uint256


event Wired:
    order_book: address
    liquidator: address
    deleverager: address
    vault: address


event Deposited:
    account: indexed(uint256)
    amount: uint256
    cash: int256


# The account gives up `amount`; `paid` leaves. They differ only while loss is uninsured.
event Withdrawn:
    account: indexed(uint256)
    amount: uint256
    paid: uint256
    cash: int256


event UninsuredRepaid:
    payer: indexed(address)
    amount: uint256
    uninsured: uint256


event FrozenChanged:
    market: indexed(uint256)
    frozen: bool


token: public(immutable(IERC20))
oracle: public(immutable(IOracle))

order_book: public(address)
liquidator: public(address)
deleverager: public(address)
vault: public(address)
vault_account: public(uint256)

market_count: public(uint256)
_markets: HashMap[uint256, IClearinghouse.Market]
_estates: HashMap[uint256, HashMap[bool, uint256]]

# Bit m is set while an ADL round works in market m: no trade there, and nobody with a position
# there changes anywhere but by the round.
frozen_markets: public(uint256)


@deploy
def __init__(token_: address, oracle_: address):
    """
    @notice The deployer becomes the owner.
    @param token_ ERC-20 of 6 decimals, the only money of the venue.
    """
    ownable.__init__()
    token = IERC20(token_)
    oracle = IOracle(oracle_)


# --- Set-up, by the owner ------------------------------------------------------------------------


@external
def wire(order_book: address, liquidator: address, deleverager: address, vault: address):
    """
    @notice Names the contracts that may move positions and money, and opens the vault's
            account. Once.
    """
    ownable._check_owner()
    assert self.vault == empty(address), "clearinghouse: already wired"
    for part: address in [order_book, liquidator, deleverager, vault]:
        assert part != empty(address), "clearinghouse: zero address"
    self.order_book = order_book
    self.liquidator = liquidator
    self.deleverager = deleverager
    self.vault = vault
    self.vault_account = ledger._open_account(vault, ledger.Kind.VAULT)
    log Wired(
        order_book=order_book, liquidator=liquidator, deleverager=deleverager, vault=vault
    )


@external
def add_market(
    symbol: String[16], size_decimals: uint256, max_leverage: uint256, min_notional: uint256
) -> uint256:
    """
    @notice Adds the next market id, whose prices the oracle must have begun already, and opens
            its two estates: the accounts that hold what was wound up, by side.
    @param size_decimals A lot is 10^-size_decimals of the asset, 0 .. 6.
    @param max_leverage 1 .. 100. Initial margin is notional / max_leverage, maintenance half.
    @param min_notional micro-USDC below which an order is refused unless it closes a position.
    """
    ownable._check_owner()
    assert self.vault != empty(address), "clearinghouse: not wired"
    market: uint256 = self.market_count
    assert market < MAX_MARKETS, "clearinghouse: too many markets"
    assert size_decimals <= 6, "clearinghouse: size decimals above 6"
    assert max_leverage != 0 and max_leverage <= MAX_LEVERAGE, "clearinghouse: leverage out of range"
    assert staticcall oracle.market_count() > market, "clearinghouse: no price for the market"
    self.market_count = market + 1
    self._markets[market] = IClearinghouse.Market(
        symbol=symbol,
        size_decimals=size_decimals,
        max_leverage=max_leverage,
        min_notional=min_notional,
    )
    log MarketAdded(
        market=market,
        symbol=symbol,
        size_decimals=size_decimals,
        max_leverage=max_leverage,
        min_notional=min_notional,
    )
    for is_long: bool in [True, False]:
        self._estates[market][is_long] = ledger._open_account(
            self.deleverager, ledger.Kind.ESTATE
        )
    return market


# --- Accounts ------------------------------------------------------------------------------------


@external
def open_account() -> uint256:
    """
    @notice Opens an account for the caller, who may own many. Returns its id.
    """
    assert self.vault != empty(address), "clearinghouse: not wired"
    return ledger._open_account(msg.sender, ledger.Kind.TRADER)


@external
def deposit(account: uint256, amount: uint256):
    """
    @notice Pulls `amount` micro-USDC from the caller and credits `account`, whoever owns it.
    @dev The vault's account takes deposits from the vault only. None are taken while a loss is
         uninsured: the newcomer would share it.
    """
    kind: ledger.Kind = ledger.account_kind[account]
    assert kind == ledger.Kind.TRADER or (
        kind == ledger.Kind.VAULT and msg.sender == self.vault
    ), "clearinghouse: unknown account"
    assert amount != 0 and amount <= MAX_DEPOSIT, "clearinghouse: amount out of range"
    assert ledger.uninsured == 0, "clearinghouse: no deposits while a loss is uninsured"
    ledger._credit(account, amount)
    log Deposited(account=account, amount=amount, cash=ledger.cash[account])
    self._pull(amount)


@external
def withdraw(account: uint256, amount: uint256):
    """
    @notice Takes `amount` micro-USDC out of an account of the caller's, to the caller.
    @dev What must remain as equity: max(initial margin, 10% of notional), each rounded up. While
         a loss is uninsured the account gives up `amount` and is paid
         amount * held / (held + uninsured), rounded down: the same ratio for all, which a
         withdrawal does not change.
    """
    self._require_owner(account)
    assert amount != 0, "clearinghouse: amount is zero"
    assert not self._is_frozen(account), "clearinghouse: adl round open"
    margin: IClearinghouse.Margin = self._margin(account)
    assert margin.is_fresh, "oracle: stale price"
    remaining: uint256 = max(margin.initial, self._ceil_div(margin.notional, 10))
    assert margin.equity >= convert(amount, int256) + convert(
        remaining, int256
    ), "margin: withdrawal beyond free margin"
    paid: uint256 = amount
    if ledger.uninsured != 0:
        paid = amount * ledger.held // (ledger.held + ledger.uninsured)
    ledger._debit(account, amount, paid)
    log Withdrawn(account=account, amount=amount, paid=paid, cash=ledger.cash[account])
    assert extcall token.transfer(
        msg.sender, paid, default_return_value=True
    ), "clearinghouse: token transfer failed"


@external
def repay_uninsured(amount: uint256):
    """
    @notice Anyone may pay for loss that nobody paid. Up to `uninsured` micro-USDC.
    """
    assert amount != 0 and amount <= ledger.uninsured, "clearinghouse: amount out of range"
    ledger._repay(amount)
    log UninsuredRepaid(payer=msg.sender, amount=amount, uninsured=ledger.uninsured)
    self._pull(amount)


# --- What the venue's other contracts may ask for ------------------------------------------------


@external
def fill(
    market: uint256,
    taker: uint256,
    maker: uint256,
    taker_buys: bool,
    size: uint256,
    price: uint256,
    taker_is_liquidated: bool,
) -> uint256:
    """
    @notice Order book only: trades `size` lots at `price` ticks if margin allows it.
    @dev A maker who fails is not filled (the book cancels it and goes on); a taker who fails
         reverts. The liquidated side is exempt: what bounds it is the liquidator's limit.
    @return FILLED, MAKER_REFUSED or SAME_OWNER.
    """
    assert msg.sender == self.order_book, "clearinghouse: order book only"
    if ledger.account_owner[taker] == ledger.account_owner[maker]:
        return SAME_OWNER
    quote: uint256 = size * price
    signed_size: int256 = convert(size, int256) if taker_buys else -convert(size, int256)
    signed_quote: int256 = -convert(quote, int256) if taker_buys else convert(quote, int256)
    if len(self._refusal(market, maker, -signed_size, -signed_quote)) != 0:
        return MAKER_REFUSED
    if not taker_is_liquidated:
        refusal: String[48] = self._refusal(market, taker, signed_size, signed_quote)
        assert len(refusal) == 0, refusal
    if taker_buys:
        ledger._exchange(market, taker, maker, size, quote)
    else:
        ledger._exchange(market, maker, taker, size, quote)
    return FILLED


@external
def exchange(market: uint256, buyer: uint256, seller: uint256, size: uint256, quote: uint256):
    """
    @notice Liquidator and deleverager only: the exchange primitive, without a margin check.
    """
    self._require_waterfall()
    ledger._exchange(market, buyer, seller, size, quote)


@external
def transfer_cash(source: uint256, to: uint256, amount: uint256):
    """
    @notice Liquidator, deleverager and vault only: the transfer primitive. Only the vault moves
            the vault's money.
    """
    if ledger.account_kind[source] == ledger.Kind.VAULT:
        assert msg.sender == self.vault, "clearinghouse: vault only"
    else:
        self._require_waterfall()
    ledger._transfer_cash(source, to, amount)


@external
def write_off(account: uint256, amount: uint256):
    """
    @notice Liquidator and deleverager only: what nobody pays becomes `uninsured`.
    """
    self._require_waterfall()
    ledger._write_off(account, amount)


@external
def recover(account: uint256, amount: uint256):
    """
    @notice Deleverager only: a gain of an estate repays uninsured loss.
    @dev The reverse of `write_off`; at most what is uninsured.
    """
    self._require_waterfall()
    ledger._recover(account, amount)


@external
def freeze(market: uint256, frozen: bool):
    """
    @notice Deleverager only: stops all but the round in a market, or lets it go on.
    """
    assert msg.sender == self.deleverager, "clearinghouse: deleverager only"
    if frozen:
        self.frozen_markets |= 1 << market
    else:
        self.frozen_markets &= ~(1 << market)
    log FrozenChanged(market=market, frozen=frozen)


# --- Margin --------------------------------------------------------------------------------------


@view
@internal
def _margin(account: uint256) -> IClearinghouse.Margin:
    margin: IClearinghouse.Margin = empty(IClearinghouse.Margin)
    margin.equity = ledger.cash[account]
    margin.is_fresh = True
    legs: uint256 = ledger.active_markets[account]
    for _: uint256 in range(MAX_LEGS):
        if legs == 0:
            break
        market: uint256 = bits.lowest(legs)
        legs &= legs - 1
        position: IClearinghouse.Position = ledger._positions[account][market]
        mark: uint256 = 0
        is_fresh: bool = False
        mark, is_fresh = staticcall oracle.read(market)
        margin.equity += position.size * convert(mark, int256) + position.quote
        notional: uint256 = convert(abs(position.size), uint256) * mark
        leverage: uint256 = self._markets[market].max_leverage
        margin.notional += notional
        margin.initial += self._ceil_div(notional, leverage)
        margin.maintenance += self._ceil_div(notional, 2 * leverage)
        margin.is_fresh = margin.is_fresh and is_fresh
    return margin


@view
@internal
def _refusal(market: uint256, account: uint256, size: int256, quote: int256) -> String[48]:
    """
    @notice Why `account` may not take `size` lots for `quote` micro-USDC (both signed, as its
            position would change); empty if it may.
    @dev Equity after the fill needs no trial run: it moves by size * mark + quote, whatever part
         of it is realised. What adds risk must meet initial margin afterwards, at a fresh mark.
         What only reduces must end solvent and with a margin ratio no worse than before (or
         meet initial margin all the same). A flip adds risk.
    """
    if (ledger.active_markets[account] | (1 << market)) & self.frozen_markets != 0:
        return "clearinghouse: adl round open"
    before: int256 = ledger._positions[account][market].size
    after: int256 = before + size
    if convert(abs(after), uint256) > MAX_SIZE:
        return "margin: position too large"
    margin: IClearinghouse.Margin = self._margin(account)
    mark: uint256 = 0
    is_fresh: bool = False
    mark, is_fresh = staticcall oracle.read(market)
    leverage: uint256 = self._markets[market].max_leverage
    notional_before: uint256 = convert(abs(before), uint256) * mark
    notional_after: uint256 = convert(abs(after), uint256) * mark
    equity: int256 = margin.equity + size * convert(mark, int256) + quote
    initial: uint256 = (
        margin.initial
        + self._ceil_div(notional_after, leverage)
        - self._ceil_div(notional_before, leverage)
    )
    meets_initial: bool = equity >= convert(initial, int256)
    reduces: bool = abs(after) < abs(before) and (after == 0 or (after > 0) == (before > 0))
    if not reduces:
        if not (margin.is_fresh and is_fresh):
            return "oracle: stale price"
        if before == 0 and self._legs(account) >= MAX_LEGS:
            return "margin: too many positions"
        return "" if meets_initial else "margin: below initial margin"
    if meets_initial:
        return ""
    if equity < 0:
        return "margin: reducing would end below zero"
    maintenance: uint256 = (
        margin.maintenance
        + self._ceil_div(notional_after, 2 * leverage)
        - self._ceil_div(notional_before, 2 * leverage)
    )
    # equity / maintenance no worse than before, cross-multiplied.
    if equity * convert(margin.maintenance, int256) < margin.equity * convert(maintenance, int256):
        return "margin: reducing would worsen the margin"
    return ""


@view
@internal
def _legs(account: uint256) -> uint256:
    legs: uint256 = ledger.active_markets[account]
    count: uint256 = 0
    for _: uint256 in range(MAX_LEGS):
        if legs == 0:
            break
        legs &= legs - 1
        count += 1
    return count


@view
@internal
def _is_frozen(account: uint256) -> bool:
    return ledger.active_markets[account] & self.frozen_markets != 0


@pure
@internal
def _ceil_div(amount: uint256, divisor: uint256) -> uint256:
    """
    @notice amount / divisor, rounded up: a requirement is never rounded in its debtor's favour.
    """
    return (amount + divisor - 1) // divisor


@view
@internal
def _require_owner(account: uint256):
    owner: address = ledger.account_owner[account]
    assert owner != empty(address), "clearinghouse: unknown account"
    assert owner == msg.sender, "clearinghouse: not your account"


@view
@internal
def _require_waterfall():
    assert msg.sender == self.liquidator or msg.sender == self.deleverager, "clearinghouse: waterfall only"


@internal
def _pull(amount: uint256):
    assert extcall token.transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "clearinghouse: token transfer failed"


# --- Views ---------------------------------------------------------------------------------------


@view
@external
def margin(account: uint256) -> IClearinghouse.Margin:
    """
    @notice Equity (signed), initial margin, maintenance margin and notional in micro-USDC at the
            current marks, and whether they are fresh (True for a flat account).
    """
    return self._margin(account)


@view
@external
def equity(account: uint256) -> int256:
    """
    @notice cash + sum(size * mark + quote), micro-USDC.
    """
    return self._margin(account).equity


@view
@external
def is_trader(account: uint256) -> bool:
    """
    @notice Whether this is an account of a trader: not the vault's, not an estate.
    """
    return ledger.account_kind[account] == ledger.Kind.TRADER


@view
@external
def is_frozen(account: uint256) -> bool:
    """
    @notice Whether the account has a position in a market with an open ADL round.
    """
    return self._is_frozen(account)


@view
@external
def market(market: uint256) -> IClearinghouse.Market:
    """
    @notice Parameters of a market. Reverts on an unknown one.
    """
    assert market < self.market_count, "clearinghouse: unknown market"
    return self._markets[market]


@view
@external
def estate(market: uint256, is_long: bool) -> uint256:
    """
    @notice The account that holds what was wound up on one side of a market.
    """
    return self._estates[market][is_long]


@view
@external
def order_terms(account: uint256, market: uint256) -> IClearinghouse.OrderTerms:
    """
    @notice What the order book must know before it takes an order. Reverts on an unknown
            account or market.
    """
    owner: address = ledger.account_owner[account]
    assert owner != empty(address), "clearinghouse: unknown account"
    assert market < self.market_count, "clearinghouse: unknown market"
    return IClearinghouse.OrderTerms(
        owner=owner,
        is_trader=ledger.account_kind[account] == ledger.Kind.TRADER,
        min_notional=self._markets[market].min_notional,
        size=ledger._positions[account][market].size,
        is_frozen=(ledger.active_markets[account] | (1 << market)) & self.frozen_markets != 0,
    )
