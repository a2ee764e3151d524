# pragma version ~=0.4.3
"""
@title order_codec
@license AGPL-3.0-only
@notice A resting order in one storage word. A price level needs none of its own: the tree knows the
        first order of its queue (`tick_tree`), and that one the last. Owns no storage.

            order   account 40 | market 8 | is_buy 1 | price 24 | size 63 | nonce 32 | previous 40
                    | next 40 | slot 7 | reduce_only 1
"""


struct Order:
    account: uint256
    market: uint256
    is_buy: bool
    # Ticks.
    price: uint256
    # Lots still open.
    size: uint256
    # The account's nonce when it was placed; the order is void once the account's is higher.
    nonce: uint256
    # Neighbours in the queue of its price level; 0: none. `previous` of the first one is the last one.
    previous: uint256
    next: uint256
    # Place among the account's open orders, 0 .. 127.
    slot: uint256
    # Never fills more than closes the account's position.
    reduce_only: bool


ID: constant(uint256) = 2**40 - 1


@pure
@internal
def pack(order: Order) -> uint256:
    return (
        order.account
        | (order.market << 40)
        | ((1 if order.is_buy else 0) << 48)
        | (order.price << 49)
        | (order.size << 73)
        | (order.nonce << 136)
        | (order.previous << 168)
        | (order.next << 208)
        | (order.slot << 248)
        | ((1 if order.reduce_only else 0) << 255)
    )


@pure
@internal
def unpack(word: uint256) -> Order:
    return Order(
        account=word & ID,
        market=(word >> 40) & 255,
        is_buy=(word >> 48) & 1 == 1,
        price=(word >> 49) & (2**24 - 1),
        size=(word >> 73) & (2**63 - 1),
        nonce=(word >> 136) & (2**32 - 1),
        previous=(word >> 168) & ID,
        next=(word >> 208) & ID,
        slot=(word >> 248) & 127,
        reduce_only=(word >> 255) & 1 == 1,
    )
