"""Money for the backstop's tranche account, as only the vault may move it.

Owns one trick: on the in-process engine a contract's address may not begin a transaction, so the
vault's code is out of the way while its address does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyrevm import AccountInfo

from breakwater.contract import Tx
from breakwater.engine.base import Engine
from breakwater.engine.revm import RevmEngine
from breakwater.venue import VAULT_ACCOUNT, Venue


@contextmanager
def without_code(engine: Engine, address: str) -> Iterator[None]:
    """The address is an ordinary account in between. A node impersonates it by itself."""
    if not isinstance(engine, RevmEngine):
        yield
        return
    machine = engine._evm
    before = machine.basic(address)
    machine.insert_account_info(
        address, AccountInfo(nonce=before.nonce, balance=before.balance, code=b"")
    )
    try:
        yield
    finally:
        after = machine.basic(address)
        machine.insert_account_info(
            address, AccountInfo(nonce=before.nonce, balance=after.balance, code=before.code)
        )


def move(venue: Venue, source: int, to: int, amount: int) -> Tx:
    """The transfer primitive, asked for by the vault."""
    vault = venue.vault.address
    with without_code(venue.engine, vault):
        return venue.clearinghouse.send("transfer_cash", source, to, amount, sender=vault)


def fund(venue: Venue, amount: int) -> Tx:
    """New money for the vault, and from there to the tranche: `amount` micro-USDC."""
    venue.insure(amount)
    return move(venue, VAULT_ACCOUNT, tranche(venue), amount)


def tranche(venue: Venue) -> int:
    """The tranche's account id."""
    return int(venue.clearinghouse.call("tranche_account"))
