# pragma version ~=0.4.3
"""
@title Lens
@license AGPL-3.0-only
@notice Reads many accounts in one call, for keepers, tests and reports. Owns nothing, changes
        nothing, and nothing on chain relies on it.
@custom:kill Nothing to halt: it only reads.
"""
from .interfaces import IClearinghouse

MAX_ACCOUNTS: constant(uint256) = 200


struct Row:
    account: uint256
    cash: int256
    # Sum of the quotes of all positions.
    quotes: int256
    # cash + sum(size * mark + quote) - funding owed.
    equity: int256
    initial: uint256
    maintenance: uint256
    notional: uint256
    active_markets: uint256
    is_liquidatable: bool


struct Balance:
    cash: int256
    active_markets: uint256


interface ILiquidator:
    def is_liquidatable(account: uint256) -> bool: view


clearinghouse: public(immutable(IClearinghouse))


@deploy
def __init__(clearinghouse_: address):
    clearinghouse = IClearinghouse(clearinghouse_)


@view
@external
def accounts(ids: DynArray[uint256, MAX_ACCOUNTS]) -> DynArray[Row, MAX_ACCOUNTS]:
    """
    @notice Money and margin of up to 200 accounts, micro-USDC, at the current marks.
    """
    rows: DynArray[Row, MAX_ACCOUNTS] = []
    liquidator: ILiquidator = ILiquidator(staticcall clearinghouse.liquidator())
    for account: uint256 in ids:
        margin: IClearinghouse.Margin = staticcall clearinghouse.margin(account)
        active: uint256 = staticcall clearinghouse.active_markets(account)
        quotes: int256 = 0
        for market: uint256 in range(64):
            if active >> market == 0:
                break
            if (active >> market) & 1 == 1:
                quotes += (staticcall clearinghouse.position(account, market)).quote
        rows.append(
            Row(
                account=account,
                cash=staticcall clearinghouse.cash(account),
                quotes=quotes,
                equity=margin.equity,
                initial=margin.initial,
                maintenance=margin.maintenance,
                notional=margin.notional,
                active_markets=active,
                is_liquidatable=staticcall liquidator.is_liquidatable(account),
            )
        )
    return rows


@view
@external
def balances(ids: DynArray[uint256, MAX_ACCOUNTS]) -> DynArray[Balance, MAX_ACCOUNTS]:
    """
    @notice Cash and markets of up to 200 accounts: what `accounts` says of them at a tenth of its
            cost.
    """
    rows: DynArray[Balance, MAX_ACCOUNTS] = []
    for account: uint256 in ids:
        rows.append(
            Balance(
                cash=staticcall clearinghouse.cash(account),
                active_markets=staticcall clearinghouse.active_markets(account),
            )
        )
    return rows


@view
@external
def equities(ids: DynArray[uint256, MAX_ACCOUNTS]) -> DynArray[int256, MAX_ACCOUNTS]:
    """
    @notice Equity of up to 200 accounts, signed micro-USDC, at the current marks.
    """
    rows: DynArray[int256, MAX_ACCOUNTS] = []
    for account: uint256 in ids:
        rows.append(staticcall clearinghouse.equity(account))
    return rows


@view
@external
def positions(
    market: uint256, ids: DynArray[uint256, MAX_ACCOUNTS]
) -> DynArray[IClearinghouse.Position, MAX_ACCOUNTS]:
    """
    @notice Positions of up to 200 accounts in one market: signed lots, signed micro-USDC.
    """
    rows: DynArray[IClearinghouse.Position, MAX_ACCOUNTS] = []
    for account: uint256 in ids:
        rows.append(staticcall clearinghouse.position(account, market))
    return rows
