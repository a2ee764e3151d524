# pragma version ~=0.4.3
"""
@title checks
@license AGPL-3.0-only
@notice One place in a contract that reverts with a sentence: written out, each costs some hundred bytes
        of code, and the large contracts are near the limit of 24,576. Owns no storage.
"""


@pure
@internal
def require(holds: bool, reason: String[64]):
    """
    @notice Reverts with `reason` unless it holds.
    """
    assert holds, reason
