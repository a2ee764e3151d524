# pragma version ~=0.4.3
"""
@title owned
@license AGPL-3.0-only
@notice The venue has one owner, and the governor knows who: every other contract asks there, so
        that handing the venue over is one step proposed and one accepted, and no part of it is
        left behind. Owns no storage.
"""
from ..interfaces import IClearinghouse
from ..interfaces import IGovernor


@view
@internal
def _owner(clearinghouse: IClearinghouse) -> address:
    """
    @notice The venue's owner. Reverts before the clearinghouse is wired.
    """
    return staticcall IGovernor(staticcall clearinghouse.governor()).owner()


@view
@internal
def _check_owner(clearinghouse: IClearinghouse):
    assert msg.sender == self._owner(clearinghouse), "ownable: caller is not the owner"
