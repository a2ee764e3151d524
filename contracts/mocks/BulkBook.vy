# pragma version ~=0.4.3
"""
@title BulkBook
@license AGPL-3.0-only
@notice An order book without orders, which opens many accounts and positions in one transaction: to
        populate a venue for tests and benchmarks. Wired in place of the real book; every trade is a
        real fill of the real clearinghouse, filed as any other. Owns the accounts that it opens.
@custom:kill Not for a venue with money in it.
"""
from ethereum.ercs import IERC20
from ..interfaces import IClearinghouse
from ..interfaces import IOrderBook

MAX_ROWS: constant(uint256) = 400


# One trade against the maker. `account` 0 opens one with `cash` first; the largest number is the one
# opened last.
struct Row:
    account: uint256
    market: uint256
    is_buy: bool
    size: uint256
    price: uint256
    cash: uint256


interface House:
    def open_account() -> uint256: nonpayable
    def deposit(account: uint256, amount: uint256): nonpayable
    def transfer(source: uint256, to: uint256, amount: uint256): nonpayable
    def fill(
        market: uint256,
        taker: uint256,
        maker: uint256,
        taker_buys: bool,
        size: uint256,
        price: uint256,
        taker_is_liquidated: bool,
    ) -> uint256: nonpayable


house: public(immutable(House))
bank: public(uint256)
last: public(uint256)


@deploy
def __init__(house_: address):
    house = House(house_)


@external
def fund(token: IERC20, amount: uint256):
    """
    @notice Opens the account that all others are funded from; the token was sent here before.
    """
    extcall token.approve(house.address, amount)
    if self.bank == 0:
        self.bank = extcall house.open_account()
        # With these its list of accounts is full: the crowd counts as strangers to each other, not as
        # one owner's who would be closed first.
        for _: uint256 in range(15):
            extcall house.open_account()
    extcall house.deposit(self.bank, amount)


@external
def trade(maker: uint256, rows: DynArray[Row, MAX_ROWS]):
    """
    @notice Fills each row against `maker`, whom somebody else owns. The row's side is exempt from
            margin.
    """
    for row: Row in rows:
        account: uint256 = row.account
        if account == 0:
            account = extcall house.open_account()
            self.last = account
        elif account == max_value(uint256):
            account = self.last
        if row.cash != 0:
            extcall house.transfer(self.bank, account, row.cash)
        if row.size != 0:
            assert (
                extcall house.fill(
                    row.market, account, maker, row.is_buy, row.size, row.price, True
                )
                == 0
            ), "bulk: refused"


@external
def cancel_all(account: uint256):
    pass


@external
def rewind(market: uint256):
    pass


@external
def void_orders(account: uint256):
    pass


@external
def peek(market: uint256, is_buy: bool, max_steps: uint256) -> IOrderBook.Top:
    return empty(IOrderBook.Top)


@view
@external
def quotes(market: uint256, notional: uint256) -> IOrderBook.Quotes:
    return empty(IOrderBook.Quotes)
