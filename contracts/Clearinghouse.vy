# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Clearinghouse
@license AGPL-3.0-only
@notice Accounts, positions, margin, funding and fees of the venue, and the only holder of
        traders' money. The money itself moves in `modules/ledger.vy`, by one exchange and one
        transfer primitive; this contract decides who may ask for them and when margin allows it.

            size          signed lots, long > 0; one lot is 10^-size_decimals of the asset
            price, mark   ticks; lots * ticks = micro-USDC, exactly
            equity        cash + sum(size * mark + quote) - funding owed, signed micro-USDC
            maintenance   margin needed to stay: sum over the legs of notional / (2 * leverage) of
                          the tier, less the tier's deduction
            initial       margin needed to add risk: twice maintenance, or notional / the owner's own
                          leverage if that is more
            refusal       why one side of a fill may not happen, as a sentence
            inflow        what came into an account with a position (deposit, transfer, swept fees)
                          in one epoch: in that epoch it lowers no ADL score

        Resting orders reserve no margin: each fill checks both sides against their state at that
        moment, and a maker who cannot meet initial margin then is cancelled instead of filled, so
        nobody can hold more than a margin check allowed. It never looks at an order book and never
        picks whom to liquidate or deleverage.

@custom:kill The guardian halts a market: what adds risk is refused there, reducing, liquidation and
             ADL go on. A day later the owner may settle it at a stated price, and anyone may close
             any position in it (the liquidator does); money goes out again once all are closed.
             Deposits and withdrawals are never halted otherwise.
"""
from ethereum.ercs import IERC20
from .interfaces import IClearinghouse
from .interfaces import IOracle
from .interfaces import IOrderBook
from .interfaces import IRankingIndex
from .modules import bits
from .modules import checks
from .modules import ledger
from .modules import position_codec
from .modules import risk_terms

initializes: ledger
implements: IClearinghouse
exports: (
    ledger.held,
    ledger.uninsured,
    ledger.fees,
    ledger.funding_pool,
    ledger.funding_dust,
    ledger.open_interest,
    ledger.account_count,
    ledger.account_owner,
    ledger.accounts_of,
    ledger.account_kind,
    ledger.cash,
    ledger.active_markets,
    ledger.isolated_to,
    ledger.position,
    ledger.holder_count,
    ledger.holder_at,
)

MAX_MARKETS: constant(uint256) = 64
# Legs of one account, so that a margin check has a bound.
MAX_LEGS: constant(uint256) = 8
MAX_TIERS: constant(uint256) = 5
# One deposit; keeps every sum far below the range of the ledger's integers.
MAX_DEPOSIT: constant(uint256) = 2**80
# In the ledger's word of an account: there is a note of what came in.
INFLOW: constant(uint256) = 1 << 80
PPM: constant(uint256) = 10**6
BEYOND: constant(String[48]) = "margin: withdrawal beyond free margin"
STALE: constant(String[48]) = "oracle: stale price"
HALTED: constant(String[48]) = "clearinghouse: market halted"
REDUCE_ONLY: constant(String[48]) = "clearinghouse: reduce only, a loss is uninsured"

# Outcome of a fill that the order book asked for.
FILLED: constant(uint256) = 0
MAKER_REFUSED: constant(uint256) = 1
SAME_OWNER: constant(uint256) = 2
MAKER_WAITS: constant(uint256) = 3
CAPPED: constant(uint256) = 4


# What a margin check reads of a market.
struct Reading:
    market: uint256
    # Its terms, packed.
    word: uint256
    mark: uint256
    is_fresh: bool
    index: int256


event Wired:
    order_book: address
    liquidator: address
    deleverager: address
    vault: address
    governor: address


event IndexWired:
    ranking_index: address


event IsolatedTo:
    account: indexed(uint256)
    market: indexed(uint256)


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
    uninsured: uint256


event UninsuredRepaid:
    payer: indexed(address)
    amount: uint256
    uninsured: uint256


event FeesSwept:
    repaid: uint256
    to_vault: uint256
    to_treasury: uint256
    vault_cash: int256
    treasury_cash: int256
    uninsured: uint256


# All that came in since the epoch began and is still there, after each change.
event InflowNoted:
    account: indexed(uint256)
    epoch: indexed(uint256)
    amount: uint256


event FrozenChanged:
    market: indexed(uint256)
    frozen: bool


token: public(immutable(IERC20))
oracle: public(immutable(IOracle))
deployer: public(immutable(address))

order_book: public(address)
liquidator: public(address)
deleverager: public(address)
vault: public(address)
vault_account: public(uint256)
tranche_account: public(uint256)
governor: public(address)
# Files traders' accounts for ADL; zero: nobody does.
ranking_index: public(address)

# Share of swept fees that goes to the insurance vault, parts per million; the rest goes to the
# treasury's account (0: to the vault too).
vault_share: public(uint256)
treasury: public(uint256)

market_count: public(uint256)
# Packed as in `modules/risk_terms.vy`.
terms: public(HashMap[uint256, uint256])
tiers: public(HashMap[uint256, uint256])
_estates: HashMap[uint256, HashMap[bool, uint256]]
# Takes the other side when positions of a settled market are closed; flat before and after.
settlement_account: public(HashMap[uint256, uint256])
# Funding index at which a settled market stands still.
settlement_index: public(HashMap[uint256, int256])

# Bit m is set from the settlement of market m until its last position is closed: until then a loser
# may still leave a hole there, and nobody's money goes out.
settling: public(uint256)

# amount 192 | epoch 64
_inflows: HashMap[uint256, uint256]
# The last epoch in which money came into an account with a position.
inflow_epoch: public(uint256)

# Bit m is set while an ADL round works in market m: no trade there, and nobody with a position
# there changes anywhere but by the round.
frozen_markets: public(uint256)
# Funding index 128, signed | mark 24 | market + 1 8 of the frozen market in which this transaction
# has exchanged: there they are pinned, so one reading does. None after any freezing or thawing.
_pinned: transient(uint256)


@deploy
def __init__(token_: address, oracle_: address):
    """
    @notice The deployer wires the venue once and has no right beyond that.
    @param token_ ERC-20 of 6 decimals, the only money of the venue.
    """
    token = IERC20(token_)
    oracle = IOracle(oracle_)
    deployer = msg.sender
    self.vault_share = PPM


# --- Set-up and parameters -----------------------------------------------------------------------


@external
def wire(
    order_book: address, liquidator: address, deleverager: address, vault: address, governor: address
):
    """
    @notice Names the contracts that may move positions and money, and the one that sets parameters,
            and opens the vault's two accounts. Once, by the deployer.
    """
    self._require_deployer(self.vault == empty(address))
    for part: address in [order_book, liquidator, deleverager, vault, governor]:
        checks.require(part != empty(address), "clearinghouse: zero address")
    self.order_book = order_book
    self.liquidator = liquidator
    self.deleverager = deleverager
    self.vault = vault
    self.governor = governor
    self.vault_account = ledger._open_account(vault, ledger.Kind.VAULT)
    self.tranche_account = ledger._open_account(vault, ledger.Kind.TRANCHE)
    log Wired(
        order_book=order_book,
        liquidator=liquidator,
        deleverager=deleverager,
        vault=vault,
        governor=governor,
    )


@external
def wire_index(index: address):
    """
    @notice Names the contract that files traders' accounts for ADL. Once, by the deployer, before
            the first market: so that no position is older than its filing.
    """
    self._require_deployer(self.ranking_index == empty(address) and self.market_count == 0)
    self.ranking_index = index
    log IndexWired(ranking_index=index)


@external
def add_market() -> uint256:
    """
    @notice Governor only: the next market id, whose prices the oracle must have begun already, and
            its two estates: the accounts that hold what was wound up, by side.
    """
    self._require_governor()
    checks.require(self.vault != empty(address), "clearinghouse: not wired")
    market: uint256 = self.market_count
    checks.require(market < MAX_MARKETS, "clearinghouse: too many markets")
    checks.require(
        staticcall oracle.market_count() > market, "clearinghouse: no price for the market"
    )
    self.market_count = market + 1
    for is_long: bool in [True, False]:
        self._estates[market][is_long] = ledger._open_account(
            self.deleverager, ledger.Kind.ESTATE
        )
    return market


@external
def set_terms(market: uint256, word: uint256):
    """
    @notice Governor only: a market's terms in one word (`modules/risk_terms.vy`).
    """
    self._require_governor()
    self.terms[market] = word


@external
def set_tiers(market: uint256, word: uint256):
    """
    @notice Governor only: the margin tiers beyond the first in one word (`modules/risk_terms.vy`).
    """
    self._require_governor()
    self.tiers[market] = word


@external
def set_fee_share(vault_share: uint256, treasury: uint256):
    """
    @notice Governor only: part of swept fees for the insurance vault (parts per million), and the
            trader's account that gets the rest; 0: the vault gets all.
    """
    self._require_governor()
    checks.require(
        treasury == 0 or ledger._is(treasury, ledger.Kind.TRADER), "clearinghouse: unknown account"
    )
    self.vault_share = vault_share
    self.treasury = treasury


@external
def open_settlement(market: uint256) -> uint256:
    """
    @notice Governor only: the account that takes the other side of a settled market's positions.
    """
    self._require_governor()
    self._require_unfrozen(1 << market)
    account: uint256 = ledger._open_account(self.deleverager, ledger.Kind.ESTATE)
    self.settlement_account[market] = account
    if ledger._open_interest(market) != 0:
        self.settling |= 1 << market
    mark: uint256 = 0
    is_fresh: bool = False
    mark, is_fresh, self.settlement_index[market] = staticcall oracle.read(market)
    return account


# --- Accounts ------------------------------------------------------------------------------------


@external
def open_account() -> uint256:
    """
    @notice Opens a cross account for the caller, who may own many. Returns its id.
    """
    return self._open_account()


@external
def open_isolated_account(market: uint256) -> uint256:
    """
    @notice Opens an account that may hold a position in this market only, with its own collateral.
    """
    self._require_market(market)
    account: uint256 = self._open_account()
    ledger._accounts[account] |= (market + 1) << 8
    log IsolatedTo(account=account, market=market)
    return account


@internal
def _open_account() -> uint256:
    checks.require(self.vault != empty(address), "clearinghouse: not wired")
    return ledger._open_account(msg.sender, ledger.Kind.TRADER)


@external
def deposit(account: uint256, amount: uint256):
    """
    @notice Pulls `amount` micro-USDC from the caller and credits `account`, whoever owns it.
    @dev The vault's account takes deposits from the vault only. None are taken while a loss is
         uninsured: the newcomer would share it; nor for an account in the market of an open ADL
         round: more equity would lower its rank. For the same reason an account with a position is
         ranked without it until the next epoch.
    """
    checks.require(
        ledger._is(account, ledger.Kind.TRADER)
        or (ledger._is(account, ledger.Kind.VAULT) and msg.sender == self.vault),
        "clearinghouse: unknown account",
    )
    checks.require(amount != 0 and amount <= MAX_DEPOSIT, "clearinghouse: amount out of range")
    checks.require(ledger.uninsured == 0, "clearinghouse: no deposits while a loss is uninsured")
    self._require_thawed(account)
    ledger._credit(account, amount)
    self._note_flow(account, amount, True)
    log Deposited(account=account, amount=amount, cash=ledger._cash(account))
    self._file_cash(account)
    self._pull(amount)


@external
def withdraw(account: uint256, amount: uint256):
    """
    @notice Takes `amount` micro-USDC out of an account of the caller's, to the caller.
    @dev What must remain as equity: max(initial margin, 10% of notional), each rounded up. While
         a loss is uninsured the account gives up `amount` and is paid
         amount * (claims - uninsured) / claims, rounded down: the same ratio for all, which a
         withdrawal does not change.
    """
    self._require_free(account, amount)
    paid: uint256 = amount
    uninsured: uint256 = ledger.uninsured
    if uninsured != 0:
        claims: int256 = self._claims()
        paid = 0
        if claims > convert(uninsured, int256):
            paid = amount * (convert(claims, uint256) - uninsured) // convert(claims, uint256)
        # Nobody shares in more loss than there is, however few claims are left.
        paid = max(paid, amount - min(amount, uninsured))
    # Profit whose loser is not wound up yet is not there to be taken.
    checks.require(paid <= ledger.held, BEYOND)
    ledger._debit(account, amount, paid)
    self._note_flow(account, amount, False)
    self._file_cash(account)
    log Withdrawn(
        account=account,
        amount=amount,
        paid=paid,
        cash=ledger._cash(account),
        uninsured=ledger.uninsured,
    )
    checks.require(
        extcall token.transfer(msg.sender, paid, default_return_value=True),
        "clearinghouse: token transfer failed",
    )


@external
def transfer(source: uint256, to: uint256, amount: uint256):
    """
    @notice Moves `amount` micro-USDC between two accounts of the caller's. What must remain is as
            for a withdrawal; what receives must be free to take a deposit.
    """
    self._require_owner(to)
    self._require_thawed(to)
    self._require_free(source, amount)
    self._note_flow(source, amount, False)
    self._note_flow(to, amount, True)
    self._transfer_cash(source, to, amount)


@external
def set_leverage(account: uint256, market: uint256, leverage: uint256):
    """
    @notice The owner's own limit on leverage in one market, up to the market's; 0 for the market's.
            Equity must meet the initial margin that follows.
    """
    self._require_owner(account)
    self._require_market(market)
    terms: risk_terms.Terms = risk_terms.unpack(self.terms[market])
    checks.require(leverage <= terms.leverage, "clearinghouse: leverage out of range")
    self._require_thawed(account)
    ledger._set_leverage(market, account, leverage)
    margin: IClearinghouse.Margin = self._margin(account)
    checks.require(
        margin.notional == 0 or margin.equity >= convert(margin.initial, int256), "margin: below initial margin"
    )


@external
def repay_uninsured(amount: uint256):
    """
    @notice Anyone may pay for loss that nobody paid. Up to `uninsured` micro-USDC.
    """
    checks.require(amount != 0 and amount <= ledger.uninsured, "clearinghouse: amount out of range")
    ledger._repay(amount)
    log UninsuredRepaid(payer=msg.sender, amount=amount, uninsured=ledger.uninsured)
    self._pull(amount)


@external
def sweep_fees():
    """
    @notice Hands the fees on: uninsured loss first, then the vault's share (rounded down), the rest
            to the treasury. Anyone.
    """
    repaid: uint256 = min(ledger.fees, ledger.uninsured)
    ledger._spend_fees(repaid)
    left: uint256 = ledger.fees
    treasury: uint256 = self.treasury
    # More equity would lower its rank.
    self._require_thawed(treasury)
    to_vault: uint256 = left if treasury == 0 else left * self.vault_share // PPM
    ledger._pay_out_fees(self.vault_account, to_vault)
    if left != to_vault:
        ledger._pay_out_fees(treasury, left - to_vault)
        self._note_flow(treasury, left - to_vault, True)
        self._file_cash(treasury)
    log FeesSwept(
        repaid=repaid,
        to_vault=to_vault,
        to_treasury=left - to_vault,
        vault_cash=ledger._cash(self.vault_account),
        treasury_cash=ledger._cash(treasury),
        uninsured=ledger.uninsured,
    )


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
    @notice Order book only, and the deleverager for lots of an estate: trades `size` lots at `price`
            ticks if margin allows it, and charges the fees.
    @dev The taker is asked first and reverts if it fails, so that nobody without margin touches
         the book. A maker who fails is not filled (the book cancels it and goes on); one who would
         add risk while the market takes none (stale, halted, a loss uninsured) is passed over. The
         liquidated side is exempt from margin check and fee: what bounds it is the liquidator's
         limit. What both hold elsewhere is read once for both.
    @return FILLED, MAKER_REFUSED, SAME_OWNER or MAKER_WAITS; or CAPPED plus 256 times the lots that
            the open-interest cap leaves these two.
    """
    checks.require(
        msg.sender in [self.order_book, self.deleverager], "clearinghouse: order book only"
    )
    if ledger._owner(taker) == ledger._owner(maker):
        return SAME_OWNER
    leg: Reading = self._look(market)
    terms: risk_terms.Terms = risk_terms.unpack(leg.word)
    open: uint256 = ledger._open_interest(market)
    if open + size > terms.cap:
        # Lots that either closes are handed on; only what both open is new.
        room: uint256 = (
            max(terms.cap, open)
            - open
            + self._closable(taker, market, taker_buys)
            + self._closable(maker, market, not taker_buys)
        )
        if size > room:
            return CAPPED | (room << 8)
    quote: uint256 = size * price
    signed_size: int256 = convert(size, int256) if taker_buys else -convert(size, int256)
    signed_quote: int256 = -convert(quote, int256) if taker_buys else convert(quote, int256)
    taker_margin: IClearinghouse.Margin = empty(IClearinghouse.Margin)
    maker_margin: IClearinghouse.Margin = empty(IClearinghouse.Margin)
    taker_margin, maker_margin = self._margins(
        0 if taker_is_liquidated else taker, maker, market
    )
    refusal: String[48] = ""
    taker_fee: uint256 = 0
    if not taker_is_liquidated:
        taker_fee = self._ceil_div(quote * terms.taker_fee, PPM)
        refusal = self._refusal(
            leg, taker, taker_margin, signed_size, signed_quote - convert(taker_fee, int256)
        )
        assert len(refusal) == 0, refusal
    maker_fee: uint256 = self._ceil_div(quote * terms.maker_fee, PPM)
    refusal = self._refusal(
        leg, maker, maker_margin, -signed_size, -signed_quote - convert(maker_fee, int256)
    )
    if len(refusal) != 0:
        # Passed over while this market takes no risk from anybody; for want of a price elsewhere it is
        # its owner's fault.
        if refusal == HALTED or refusal == REDUCE_ONLY or (refusal == STALE and not leg.is_fresh):
            return MAKER_WAITS
        return MAKER_REFUSED
    ledger._charge_fee(taker, taker_fee)
    ledger._charge_fee(maker, maker_fee)
    if taker_buys:
        self._exchange(market, taker, maker, size, quote)
    else:
        self._exchange(market, maker, taker, size, quote)
    if msg.sender == self.deleverager:
        # The book does not see this trade, and who waits there may have something to close now.
        extcall IOrderBook(self.order_book).rewind(market)
    return FILLED


@internal
def _exchange(
    market: uint256, buyer: uint256, seller: uint256, size: uint256, quote: uint256
) -> bool:
    """
    @dev The ledger's primitive at the market's funding index of this moment.
    @return Whether a round freezes the market.
    """
    mark: uint256 = 0
    index: int256 = 0
    in_round: bool = False
    mark, index, in_round = self._prices(market)
    if not in_round and (self.frozen_markets >> market) & 1 == 1:
        in_round = True
        self._pinned = (
            (convert(convert(index, bytes32), uint256) << 128) | (mark << 8) | (market + 1)
        )
    bought: uint256 = 0
    sold: uint256 = 0
    bought, sold = ledger._exchange(market, index, buyer, seller, size, quote, in_round)
    self._file(buyer, market, bought)
    self._file(seller, market, sold)
    return in_round


@internal
def _transfer_cash(source: uint256, to: uint256, amount: uint256):
    ledger._transfer_cash(source, to, amount)
    self._file_cash(source)
    self._file_cash(to)


@internal
def _file_cash(account: uint256):
    """
    @notice As below, after a change of its cash alone.
    """
    word: uint256 = ledger._accounts[account]
    if ledger._active_of(word) != 0:
        self._file(account, MAX_MARKETS, word)


@internal
def _file(account: uint256, market: uint256, word: uint256):
    """
    @notice Tells the index what a trader's account (its word in the ledger is `word`) holds, after a
            change of its position in `market`, or of its cash alone (MAX_MARKETS).
    """
    if word & 255 != convert(ledger.Kind.TRADER, uint256):
        return
    index: address = self.ranking_index
    if index == empty(address):
        return
    active: uint256 = ledger._active_of(word)
    leg: uint256 = market
    held: uint256 = 0
    if active != 0:
        if active & unsafe_sub(active, 1) == 0:
            leg = bits.lowest(active)
        if leg != MAX_MARKETS:
            held = ledger._positions[account][leg]
    cash: int256 = ledger._cash_of(word)
    if word & INFLOW != 0:
        # Filed by no more cash than it is ranked by, now or in the round that is open.
        since: uint256 = 0
        if active & self.frozen_markets == 0:
            since = staticcall oracle.epoch()
        fresh: uint256 = self._inflow(account, since)
        cash -= convert(fresh, int256)
        if fresh == 0:
            ledger._accounts[account] = word & ~INFLOW
    extcall IRankingIndex(index).touch(account, active, leg, held, cash)


@internal
def _note_flow(account: uint256, amount: uint256, is_inflow: bool):
    """
    @notice Notes what comes into an account with a position, by epoch. What leaves is of what came
            in last: else it would count against who is left with less.
    """
    if ledger._active(account) == 0:
        return
    epoch: uint256 = staticcall oracle.epoch()
    inflow: uint256 = self._inflow(account, epoch)
    if is_inflow:
        inflow += amount
        self.inflow_epoch = epoch
    elif inflow == 0:
        return
    else:
        inflow -= min(inflow, amount)
    self._inflows[account] = (inflow << 64) | epoch
    ledger._accounts[account] |= INFLOW
    log InflowNoted(account=account, epoch=epoch, amount=inflow)


@view
@internal
def _inflow(account: uint256, since: uint256) -> uint256:
    """
    @notice What came in during epoch `since` or later, and is still there, micro-USDC.
    """
    if ledger._accounts[account] & INFLOW == 0:
        return 0
    note: uint256 = self._inflows[account]
    return note >> 64 if note & (2**64 - 1) >= since else 0


@external
def exchange(market: uint256, buyer: uint256, seller: uint256, size: uint256, quote: uint256):
    """
    @notice Liquidator and deleverager only: the exchange primitive, without a margin check.
    """
    self._require_waterfall()
    # No round works in a settled market.
    if not self._exchange(market, buyer, seller, size, quote):
        if self.settling != 0 and ledger._open_interest(market) == 0:
            self.settling &= ~(1 << market)


@external
def transfer_cash(source: uint256, to: uint256, amount: uint256):
    """
    @notice Liquidator, deleverager and vault only: the transfer primitive. Only the vault moves
            the vault's money; the tranche's is moved by all three.
    """
    if ledger._is(source, ledger.Kind.VAULT):
        checks.require(msg.sender == self.vault, "clearinghouse: vault only")
    elif not (ledger._is(source, ledger.Kind.TRANCHE) and msg.sender == self.vault):
        self._require_waterfall()
    self._transfer_cash(source, to, amount)


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
    @notice Liquidator and deleverager only: a gain of an estate repays uninsured loss.
    @dev The reverse of `write_off`; at most what is uninsured.
    """
    self._require_waterfall()
    ledger._recover(account, amount)


@external
def freeze(market: uint256, frozen: bool):
    """
    @notice Deleverager only: stops all but the round in a market, or lets it go on.
    """
    checks.require(msg.sender == self.deleverager, "clearinghouse: deleverager only")
    self._pinned = 0
    if frozen:
        self.frozen_markets |= 1 << market
    else:
        self.frozen_markets &= ~(1 << market)
    log FrozenChanged(market=market, frozen=frozen)


# --- Margin --------------------------------------------------------------------------------------


@view
@internal
def _read(market: uint256, word: uint256) -> (uint256, bool, int256):
    """
    @notice Mark, freshness and funding index; of a settled market the settlement price, for ever
            fresh.
    """
    mark: uint256 = 0
    is_fresh: bool = False
    index: int256 = 0
    mark, is_fresh, index = staticcall oracle.read(market)
    # Bit 25: settled.
    if (word >> 25) & 1 == 1:
        return word & (2**24 - 1), True, self.settlement_index[market]
    return mark, is_fresh, index


@view
@internal
def _look(market: uint256) -> Reading:
    leg: Reading = empty(Reading)
    leg.market = market
    leg.word = self.terms[market]
    leg.mark, leg.is_fresh, leg.index = self._read(market, leg.word)
    return leg


@view
@internal
def _prices(market: uint256) -> (uint256, int256, bool):
    """
    @notice Mark and funding index; in a round what its first exchange has read, which the last one says.
    """
    pinned: uint256 = self._pinned
    if pinned & 255 == unsafe_add(market, 1):
        return (pinned >> 8) & (2**24 - 1), ledger._cash_of(pinned), True
    mark: uint256 = 0
    is_fresh: bool = False
    index: int256 = 0
    mark, is_fresh, index = self._read(market, self.terms[market])
    return mark, index, False


@view
@internal
def _maintenance(market: uint256, word: uint256, notional: uint256) -> uint256:
    """
    @notice notional / (2 * leverage) - deduction of the tier that the notional falls in, rounded up.
    @dev The deduction keeps maintenance continuous at each bound: bound * (1 / 2L - 1 / 2L') more than
         the tier before, rounded down, against the account.
    """
    leverage: uint256 = (word >> 34) & 255
    deduction: uint256 = 0
    # Bits 26 to 33: how many tiers there are. Of one nothing need be read.
    tiers: uint256 = 0
    if (word >> 26) & 255 > 1:
        tiers = self.tiers[market]
    for _: uint256 in range(MAX_TIERS - 1):
        bound: uint256 = (tiers >> 7) & (2**57 - 1)
        if bound == 0 or notional <= bound:
            break
        lower: uint256 = tiers & 127
        deduction += bound * (leverage - lower) // (2 * leverage * lower)
        leverage = lower
        tiers >>= 64
    return self._ceil_div(notional, 2 * leverage) - deduction


@view
@internal
def _initial(maintenance: uint256, notional: uint256, leverage: uint256) -> uint256:
    """
    @notice Twice maintenance, or what the owner's own leverage asks for if that is more.
    """
    if leverage == 0:
        return 2 * maintenance
    return max(2 * maintenance, self._ceil_div(notional, leverage))


@view
@internal
def _margin(account: uint256) -> IClearinghouse.Margin:
    margin: IClearinghouse.Margin = empty(IClearinghouse.Margin)
    nobody: IClearinghouse.Margin = empty(IClearinghouse.Margin)
    margin, nobody = self._margins(account, 0, MAX_MARKETS)
    return margin


@view
@internal
def _margins(
    one: uint256, other: uint256, without: uint256
) -> (IClearinghouse.Margin, IClearinghouse.Margin):
    """
    @notice Margins of two accounts (0: nobody's) over all of their markets but one (MAX_MARKETS:
            over all). Each market is read once.
    """
    first: IClearinghouse.Margin = empty(IClearinghouse.Margin)
    second: IClearinghouse.Margin = empty(IClearinghouse.Margin)
    first.equity = ledger._cash(one)
    second.equity = ledger._cash(other)
    first.is_fresh = True
    second.is_fresh = True
    mine: uint256 = ledger._active(one)
    theirs: uint256 = ledger._active(other)
    legs: uint256 = (mine | theirs) & ~(1 << without)
    for _: uint256 in range(2 * MAX_LEGS):
        if legs == 0:
            break
        leg: Reading = self._look(bits.lowest(legs))
        if (mine >> leg.market) & 1 == 1:
            first = self._with_leg(first, one, leg)
        if (theirs >> leg.market) & 1 == 1:
            second = self._with_leg(second, other, leg)
        legs &= legs - 1
    return first, second


@view
@internal
def _with_leg(
    before: IClearinghouse.Margin, account: uint256, leg: Reading
) -> IClearinghouse.Margin:
    margin: IClearinghouse.Margin = before
    position: position_codec.Packed = position_codec.unpack(
        ledger._positions[account][leg.market]
    )
    notional: uint256 = convert(abs(position.size), uint256) * leg.mark
    maintenance: uint256 = self._maintenance(leg.market, leg.word, notional)
    margin.equity += self._worth(position, leg)
    margin.notional += notional
    margin.maintenance += maintenance
    margin.initial += self._initial(maintenance, notional, position.leverage)
    margin.is_fresh = margin.is_fresh and leg.is_fresh
    return margin


@view
@internal
def _worth(position: position_codec.Packed, leg: Reading) -> int256:
    return (
        position.size * convert(leg.mark, int256)
        + position.quote
        - ledger._funding_owed(position.size, position.index, leg.index)
    )


@view
@internal
def _equity(account: uint256) -> int256:
    """
    @notice What `_margin` says of equity, at half of its gas.
    """
    equity: int256 = ledger._cash(account)
    legs: uint256 = ledger._active(account)
    for _: uint256 in range(MAX_LEGS):
        if legs == 0:
            break
        leg: Reading = empty(Reading)
        leg.market = bits.lowest(legs)
        in_round: bool = False
        leg.mark, leg.index, in_round = self._prices(leg.market)
        equity += self._worth(
            position_codec.unpack(ledger._positions[account][leg.market]), leg
        )
        legs &= legs - 1
    return equity


@view
@internal
def _closable(account: uint256, market: uint256, is_buy: bool) -> uint256:
    """
    @notice Lots that a trade of this side can close of the account's position.
    """
    size: int256 = position_codec.unpack(ledger._positions[account][market]).size
    if (size < 0) != is_buy:
        return 0
    return convert(abs(size), uint256)


@view
@internal
def _refusal(
    leg: Reading, account: uint256, others: IClearinghouse.Margin, size: int256, quote: int256
) -> String[48]:
    """
    @notice Why `account` may not take `size` lots for `quote` micro-USDC (both signed, as its
            position would change, the quote less its fee); empty if it may. `others` is its margin
            without this market.
    @dev Equity after the fill needs no trial run: it moves by size * mark + quote, whatever part
         of it is realised. What adds risk must meet initial margin afterwards, at a fresh mark.
         What only reduces must end solvent and with a margin ratio no worse than before (or
         meet initial margin all the same). A flip adds risk.
    """
    whose: uint256 = ledger._accounts[account]
    if (ledger._active_of(whose) | (1 << leg.market)) & self.frozen_markets != 0:
        return "clearinghouse: adl round open"
    isolated: uint256 = (whose >> 8) & 255
    if isolated != 0 and isolated != leg.market + 1:
        return "margin: account is isolated"
    position: position_codec.Packed = position_codec.unpack(
        ledger._positions[account][leg.market]
    )
    before: int256 = position.size
    # No larger than the open interest, which the cap bounds.
    after: int256 = before + size
    was: int256 = others.equity + self._worth(position, leg)
    equity: int256 = was + size * convert(leg.mark, int256) + quote
    notional: uint256 = convert(abs(after), uint256) * leg.mark
    maintenance: uint256 = self._maintenance(leg.market, leg.word, notional)
    meets_initial: bool = equity >= convert(
        others.initial + self._initial(maintenance, notional, position.leverage), int256
    )
    is_fresh: bool = others.is_fresh and leg.is_fresh
    reduces: bool = abs(after) < abs(before) and (after == 0 or (after > 0) == (before > 0))
    if not reduces:
        # Bit 24: halted.
        if (leg.word >> 24) & 1 == 1:
            return HALTED
        if not is_fresh:
            return STALE
        # Not for lots of an estate: they have an owner with margin again, which is no new risk, and
        # as long as any are left the vault's depositors are kept in.
        if ledger.uninsured != 0 and msg.sender != self.deleverager:
            return REDUCE_ONLY
        if before == 0 and self._legs(account) >= MAX_LEGS:
            return "margin: too many positions"
        return "" if meets_initial else "margin: below initial margin"
    # At a stale mark initial margin proves nothing: then the reduction itself must not do harm.
    if meets_initial and is_fresh:
        return ""
    if equity < 0:
        return "margin: reducing would end below zero"
    needed: uint256 = others.maintenance + self._maintenance(
        leg.market, leg.word, convert(abs(before), uint256) * leg.mark
    )
    # equity / maintenance no worse than before, cross-multiplied.
    if equity * convert(needed, int256) < was * convert(others.maintenance + maintenance, int256):
        return "margin: reducing would worsen the margin"
    return ""


@view
@internal
def _legs(account: uint256) -> uint256:
    legs: uint256 = ledger._active(account)
    count: uint256 = 0
    for _: uint256 in range(MAX_LEGS):
        if legs == 0:
            break
        legs &= legs - 1
        count += 1
    return count


@view
@internal
def _claims() -> int256:
    """
    @notice What all accounts together are owed, uninsured loss included, micro-USDC.
    """
    dust: int256 = 0
    for market: uint256 in range(self.market_count, bound=MAX_MARKETS):
        dust += ledger.funding_dust[market]
    return (
        convert(ledger.held, int256)
        - convert(ledger.fees, int256)
        - dust // 10**9
        + convert(ledger.uninsured, int256)
    )


@view
@internal
def _is_frozen(account: uint256) -> bool:
    return ledger._active(account) & self.frozen_markets != 0


@view
@internal
def _require_thawed(account: uint256):
    self._require_unfrozen(ledger._active(account))


@view
@internal
def _require_unfrozen(markets: uint256):
    checks.require(markets & self.frozen_markets == 0, "clearinghouse: adl round open")


@pure
@internal
def _ceil_div(amount: uint256, divisor: uint256) -> uint256:
    """
    @notice amount / divisor, rounded up: a requirement is never rounded in its debtor's favour.
    """
    return (amount + divisor - 1) // divisor


@view
@internal
def _require_free(account: uint256, amount: uint256):
    self._require_owner(account)
    checks.require(amount != 0, "clearinghouse: amount is zero")
    self._require_thawed(account)
    checks.require(self.settling == 0, "clearinghouse: settlement under way")
    margin: IClearinghouse.Margin = self._margin(account)
    checks.require(margin.is_fresh, STALE)
    remaining: uint256 = max(margin.initial, self._ceil_div(margin.notional, 10))
    checks.require(amount < 2**127 and margin.equity >= convert(amount + remaining, int256), BEYOND)


@view
@internal
def _require_owner(account: uint256):
    owner: address = ledger._owner(account)
    checks.require(owner != empty(address), "clearinghouse: unknown account")
    checks.require(owner == msg.sender, "clearinghouse: not your account")


@view
@internal
def _require_market(market: uint256):
    # Every market has a tier, so its terms are never zero.
    checks.require(self.terms[market] != 0, "clearinghouse: unknown market")


@view
@internal
def _require_deployer(unwired: bool):
    checks.require(msg.sender == deployer, "clearinghouse: deployer only")
    checks.require(unwired, "clearinghouse: already wired")


@view
@internal
def _require_governor():
    checks.require(msg.sender == self.governor, "clearinghouse: governor only")


@view
@internal
def _require_waterfall():
    # A sentence is handed over only where it is needed: a round asks for every fill.
    if msg.sender != self.deleverager and msg.sender != self.liquidator:
        checks.require(False, "clearinghouse: waterfall only")


@internal
def _pull(amount: uint256):
    checks.require(
        extcall token.transferFrom(msg.sender, self, amount, default_return_value=True),
        "clearinghouse: token transfer failed",
    )


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
    @notice cash + sum(size * mark + quote) - funding owed, micro-USDC.
    """
    return self._equity(account)


@view
@external
def mark(market: uint256) -> uint256:
    """
    @notice The mark that margin is computed at, ticks: the oracle's, or the settlement price.
    """
    mark: uint256 = 0
    index: int256 = 0
    in_round: bool = False
    mark, index, in_round = self._prices(market)
    return mark


@view
@external
def is_trader(account: uint256) -> bool:
    """
    @notice Whether this is an account of a trader: not the vault's, not an estate.
    """
    return ledger._is(account, ledger.Kind.TRADER)


@view
@external
def is_frozen(account: uint256) -> bool:
    """
    @notice Whether the account has a position in a market with an open ADL round.
    """
    return self._is_frozen(account)


@view
@external
def inflow(account: uint256, since: uint256) -> uint256:
    """
    @notice Micro-USDC that came into the account, which had a position then, in its latest epoch with
            an inflow, if that is `since` or later; less what has left since.
    """
    return self._inflow(account, since)


@view
@external
def maintenance(market: uint256, notional: uint256) -> uint256:
    """
    @notice Maintenance margin of a position of this notional, micro-USDC, rounded up.
    """
    return self._maintenance(market, self.terms[market], notional)


@view
@external
def estate(market: uint256, is_long: bool) -> uint256:
    """
    @notice The account that holds what was wound up on one side of a market.
    """
    return self._estates[market][is_long]


@view
@external
def stake(account: uint256, market: uint256) -> IClearinghouse.Stake:
    """
    @notice All that a winner of an ADL round is judged by, in one call.
    """
    word: uint256 = ledger._accounts[account]
    packed: uint256 = ledger._positions[account][market]
    # As `position_codec.unpack`, without what no winner is judged by: of a round's 100 fills this is
    # called 250 times.
    stake: IClearinghouse.Stake = IClearinghouse.Stake(
        is_trader=word & 255 == convert(ledger.Kind.TRADER, uint256),
        size=(
            convert(convert(packed << position_codec.SIZE_UP, bytes32), int256)
            >> position_codec.SIZE_DOWN
        ),
        quote=(
            convert(convert(packed << position_codec.QUOTE_UP, bytes32), int256)
            >> position_codec.QUOTE_DOWN
        ),
        cash=ledger._cash_of(word),
        equity=0,
        is_single=ledger._active_of(word) == 1 << market,
    )
    if stake.is_single:
        mark: uint256 = 0
        index: int256 = 0
        in_round: bool = False
        mark, index, in_round = self._prices(market)
        # Terms of less than 2^127 each.
        stake.equity = unsafe_add(
            unsafe_add(stake.cash, stake.quote),
            unsafe_sub(
                unsafe_mul(stake.size, convert(mark, int256)),
                ledger._funding_owed(
                    stake.size,
                    convert(convert(packed << position_codec.INDEX_UP, bytes32), int256)
                    >> position_codec.INDEX_DOWN,
                    index,
                ),
            ),
        )
    else:
        stake.equity = self._equity(account)
    return stake


@view
@external
def seat(account: uint256, market: uint256) -> IClearinghouse.Seat:
    """
    @notice All that the order book must know before it takes an order, in one call. The mark is the
            settlement price of a settled market; an unknown account has no owner, an unknown market
            no terms.
    """
    seat: IClearinghouse.Seat = empty(IClearinghouse.Seat)
    whose: uint256 = ledger._accounts[account]
    seat.owner = ledger._owner(account)
    seat.is_trader = ledger._is(account, ledger.Kind.TRADER)
    seat.is_frozen = (ledger._active_of(whose) | (1 << market)) & self.frozen_markets != 0
    seat.is_insured = ledger.uninsured == 0
    seat.terms = self.terms[market]
    cap: uint256 = risk_terms.unpack(seat.terms).cap
    seat.is_capped = cap != risk_terms.MAX_OPEN_INTEREST and ledger._open_interest(market) >= cap
    index: int256 = 0
    seat.mark, seat.is_fresh, index = self._read(market, seat.terms)
    return seat
