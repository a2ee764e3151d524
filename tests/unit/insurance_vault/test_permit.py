"""Allowances by signature: of the share token's own domain, once, in time."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account

from tests.helpers import refused

OWNER = Account.from_key("0x" + "11" * 32)
FIELDS = [
    {"name": "owner", "type": "address"},
    {"name": "spender", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "nonce", "type": "uint256"},
    {"name": "deadline", "type": "uint256"},
]


@pytest.mark.parametrize("nonce", [0, 1])
def test_a_signature_is_an_allowance_once(
    vault: Any, chain: Any, winner: Any, stranger: Any, nonce: int
) -> None:
    deadline = chain.blocks.head.timestamp + 1_000
    signed = Account.sign_typed_data(
        OWNER.key,
        {
            "name": "Breakwater Insurance",
            "version": "1",
            "chainId": chain.chain_id,
            "verifyingContract": vault.address,
        },
        {"Permit": FIELDS},
        {
            "owner": OWNER.address,
            "spender": winner.address,
            "value": 7,
            "nonce": nonce,
            "deadline": deadline,
        },
    )
    signature = (signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big"))
    terms = (OWNER.address, winner, 7, deadline, *signature)
    if nonce == 0:
        vault.permit(*terms, sender=stranger)
        assert vault.allowance(OWNER.address, winner) == 7
        assert vault.nonces(OWNER.address) == 1
    # Used up, or not yet valid.
    with refused("erc20: invalid signature"):
        vault.permit(*terms, sender=stranger)
