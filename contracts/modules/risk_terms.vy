# pragma version ~=0.4.3
"""
@title risk_terms
@license AGPL-3.0-only
@notice What a margin check and a fill must know of a market, in one storage word, and the margin
        tiers. Owns no storage.

            settlement 24 | halted 1 | settled 1 | tiers 8 | leverage 8 | taker_fee 16 | maker_fee 16
            | band 24 | min_notional 64 | cap 64

        The tiers beyond the first are one word, 64 bits each, the second lowest: leverage 7 | bound 57;
        0 where there is none.
"""

# Open interest that no cap exceeds; keeps sums of sizes within the ledger's words.
MAX_OPEN_INTEREST: constant(uint256) = 2**54


struct Terms:
    # Price of a settled market, ticks.
    settlement: uint256
    halted: bool
    settled: bool
    # Number of tiers, and the maximum leverage of the first.
    tiers: uint256
    leverage: uint256
    # Parts per million of the notional.
    taker_fee: uint256
    maker_fee: uint256
    # How far from the mark an order may trade, parts per million; 0: anywhere.
    band: uint256
    # Micro-USDC.
    min_notional: uint256
    # Open interest at which nobody's position grows any more, lots.
    cap: uint256


@pure
@internal
def pack(terms: Terms) -> uint256:
    return (
        terms.settlement
        | ((1 if terms.halted else 0) << 24)
        | ((1 if terms.settled else 0) << 25)
        | (terms.tiers << 26)
        | (terms.leverage << 34)
        | (terms.taker_fee << 42)
        | (terms.maker_fee << 58)
        | (terms.band << 74)
        | (terms.min_notional << 98)
        | (terms.cap << 162)
    )


@pure
@internal
def unpack(word: uint256) -> Terms:
    return Terms(
        settlement=word & (2**24 - 1),
        halted=(word >> 24) & 1 == 1,
        settled=(word >> 25) & 1 == 1,
        tiers=(word >> 26) & 255,
        leverage=(word >> 34) & 255,
        taker_fee=(word >> 42) & (2**16 - 1),
        maker_fee=(word >> 58) & (2**16 - 1),
        band=(word >> 74) & (2**24 - 1),
        min_notional=(word >> 98) & (2**64 - 1),
        cap=(word >> 162) & (2**64 - 1),
    )


@pure
@internal
def leverage_above(first: uint256, tiers: uint256, notional: uint256) -> uint256:
    """
    @notice Maximum leverage just above a notional; `first` is that of the first tier.
    """
    leverage: uint256 = first
    for i: uint256 in range(4):
        bound: uint256 = self.bound_of(tiers, i)
        if bound == 0 or notional < bound:
            break
        leverage = self.leverage_of(tiers, i)
    return leverage


@pure
@internal
def bound_of(tiers: uint256, i: uint256) -> uint256:
    return (tiers >> (64 * i + 7)) & (2**57 - 1)


@pure
@internal
def leverage_of(tiers: uint256, i: uint256) -> uint256:
    return (tiers >> (64 * i)) & 127
