# pragma version ~=0.4.3
"""
@title scoring
@license AGPL-3.0-only
@notice Asks a score contract, whoever wrote it, so that no answer of it can stop a round. Owns no
        storage.

            0     not eligible, says the rule
            1     the least that ranks; also what a rule gets that reverts, or needs more than 300,000
                  gas: its account is closed last, never exempted, and the round goes on
"""
from ..interfaces import IScore

# score((bool,uint256,uint256,int256,int256,int256,uint256))
SCORE: constant(Bytes[4]) = x"6f3370c7"
# Of one answer.
GAS: constant(uint256) = 300_000
# What must be left to give that much away: 64 / 63 of it, and the call itself.
NEEDED: constant(uint256) = 320_000


@view
@internal
def of_position(
    rule: address,
    size: int256,
    quote: int256,
    mark: uint256,
    equity: int256,
    cash: int256,
    maintenance: uint256,
) -> (uint256, int256):
    """
    @notice The score of a position (signed lots, signed micro-USDC) at a mark in ticks, and its profit
            there. Equity, cash and maintenance are the account's, micro-USDC.
    """
    pnl: int256 = size * convert(mark, int256) + quote
    return self._score(
        rule,
        IScore.Standing(
            is_long=size > 0,
            notional=convert(abs(size), uint256) * mark,
            entry_notional=convert(abs(quote), uint256),
            pnl=pnl,
            equity=equity,
            cash=cash,
            maintenance=maintenance,
        ),
    ), pnl


@view
@internal
def _score(rule: address, standing: IScore.Standing) -> uint256:
    """
    @notice The score in units of 10^-18.
    @dev A caller cannot make a rule fail by bringing too little gas: then all of it reverts.
    """
    assert msg.gas >= NEEDED, "ranking: too little gas for a score"
    answered: bool = False
    answer: Bytes[32] = b""
    answered, answer = raw_call(
        rule,
        abi_encode(standing, method_id=SCORE),
        max_outsize=32,
        gas=GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not answered or len(answer) != 32:
        return 1
    return convert(answer, uint256)
