"""One owner of the whole venue, named by the governor, handed over in two steps."""

from __future__ import annotations

from typing import Any

from tests.helpers import NOT_OWNER, refused


def test_every_contract_names_the_same_owner_before_and_after(
    governor: Any, oracle: Any, liquidator: Any, deleverager: Any, vault: Any, score: Any,
    owner: Any, stranger: Any,
) -> None:  # fmt: skip
    parts = (governor, oracle, liquidator, deleverager, vault)
    assert {part.owner() for part in parts} == {owner.address}
    governor.transfer_ownership(stranger, sender=owner)
    assert governor.pending_owner() == stranger
    assert {part.owner() for part in parts} == {owner.address}
    governor.accept_ownership(sender=stranger)
    assert {part.owner() for part in parts} == {stranger.address}
    for call in (
        lambda who: oracle.set_quorum(1, sender=who),
        lambda who: liquidator.set_policy(0, 0, sender=who),
        lambda who: vault.set_parameters(0, 0, 0, sender=who),
        lambda who: governor.set_guardian(who, sender=who),
    ):
        with refused(NOT_OWNER):
            call(owner)
        call(stranger)


def test_only_who_was_named_accepts(governor: Any, owner: Any, stranger: Any, keeper: Any) -> None:
    governor.transfer_ownership(stranger, sender=owner)
    for other in (owner, keeper):
        with refused("ownable_2step: caller is not the new owner"):
            governor.accept_ownership(sender=other)
    # Taken back before it was accepted.
    governor.transfer_ownership(owner, sender=owner)
    with refused("ownable_2step: caller is not the new owner"):
        governor.accept_ownership(sender=stranger)
    assert governor.owner() == owner
