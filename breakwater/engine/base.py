"""The engine interface and the values that cross it.

Owns: `Engine`, `Log`, `Receipt`, `Reverted`, the pinned clock and gas constants, and the one
translation of failed executions into words. It knows no implementation and no contract.

The clock, the same on every engine that pins it: one block per transaction, and the timestamp
of a block is that of the last one plus one second, plus whatever `wait` asked for since then. A
transaction that reverts leaves no trace: no block, no second, no nonce, no log; a pending wait
stays pending. Only `transact_many` puts several into one block, which is mined whatever becomes of
them: there a transaction that reverts has used a nonce, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, cast

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

GENESIS_TIMESTAMP = 1_760_130_000
"""Timestamp of the block before the first transaction: 2025-10-10 21:00:00 UTC, in seconds."""

TX_GAS_LIMIT = 16_777_216
"""Gas given to every transaction: the most that mainnet allows to one (EIP-7825)."""

BLOCK_GAS_LIMIT = 30_000_000

BATCH = 50
"""Transactions that one block of `transact_many` takes: a devnet is fastest with about so many."""

Sending = tuple[str, str, bytes]
"""A transaction to send: sender, contract, call data."""

NO_REASON = "reverted without a reason"

_PANICS = {
    0x01: "assertion failed",
    0x11: "arithmetic overflow",
    0x12: "division by zero",
    0x21: "invalid enum value",
    0x32: "index out of range",
}

# The words in which revm and anvil name a halt, and ours. The first match wins.
_HALTS = (
    ("EIP-3860", "creation code is above 49,152 bytes"),
    ("EIP170", "deployed code is above 24,576 bytes"),
    ("OutOfGas", f"out of gas (limit {TX_GAS_LIMIT})"),
    ("out of gas", f"out of gas (limit {TX_GAS_LIMIT})"),
    ("CreateInitCodeSizeLimit", "creation code is above 49,152 bytes"),
    ("max initcode size", "creation code is above 49,152 bytes"),
    ("initcode size", "creation code is above 49,152 bytes"),
    ("CreateContractSizeLimit", "deployed code is above 24,576 bytes"),
    ("max code size exceeded", "deployed code is above 24,576 bytes"),
    ("CreateCollision", "there is a contract at the new address already"),
    ("InvalidFEOpcode", "invalid opcode (an unreachable statement was reached)"),
    ("invalid opcode", "invalid opcode (an unreachable statement was reached)"),
    ("StateChangeDuringStaticCall", "state change in a static call"),
    ("CallTooDeep", "call depth exceeded"),
)


class EngineError(RuntimeError):
    """The engine itself could not do what was asked: not a verdict of a contract."""


class Reverted(Exception):
    """A transaction, call or deployment failed and changed nothing.

    `reason` is the contract's own string where it gave one, else a readable sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Log:
    """One raw log entry. `address` is checksummed, topics are 32 bytes each."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a successful transaction left behind. A failed one raises `Reverted` instead.

    `gas_used` is in gas units, None where the engine does not measure it as anvil does.
    `return_data` is the raw return value, None where the engine cannot tell it.
    """

    logs: tuple[Log, ...]
    gas_used: int | None
    block_number: int
    timestamp: int
    return_data: bytes | None
    contract_address: str | None = None


class Engine(Protocol):
    """A chain on which to deploy, call and transact. Addresses are checksummed hex strings."""

    @property
    def name(self) -> str:
        """Short name: "revm", "anvil" or "ape"."""

    @property
    def measures_gas(self) -> bool:
        """Whether `Receipt.gas_used` is the gas that a mainnet transaction would have used."""

    @property
    def timestamp(self) -> int:
        """Timestamp of the last block, in seconds. Views see this one."""

    def actor(self, label: str) -> str:
        """A funded address that may send; the same label gives the same address."""

    def deploy(self, bytecode: bytes, sender: str) -> str:
        """Create a contract from creation code with its constructor arguments appended.

        Returns its address. Raises `Reverted`, also for code above the mainnet limits.
        """

    def transact(self, sender: str, to: str, data: bytes) -> Receipt:
        """Mine one block with one transaction. Raises `Reverted`; then nothing has changed."""

    def transact_many(self, requests: Sequence[Sending]) -> list[Receipt | Reverted]:
        """Mine one block with these transactions, at most `BATCH`, in this order.

        Where one fails its `Reverted` stands in its place, and the others go on. For what does not
        depend on an answer in between: on a devnet, many times as fast as one by one.
        """

    def call(self, to: str, data: bytes, sender: str | None = None) -> bytes:
        """Run on the state and at the time of the last block and discard all effects.

        Raises `Reverted`.
        """

    def call_many(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """As `call` for each of these (contract, call data), in one round trip where there is one.

        Raises the first `Reverted`.
        """

    def wait(self, seconds: int) -> None:
        """Move the next block's timestamp on by this many seconds; several waits add up."""

    def logs(self, addresses: Sequence[str]) -> list[Log]:
        """Every log of these addresses since the engine began, oldest first."""

    def snapshot(self) -> object:
        """Remember state, clock and logs. A snapshot can be used once."""

    def revert(self, snap: object) -> None:
        """Go back to a snapshot; it and every later one are used up (ValueError if it was)."""


@lru_cache(maxsize=65_536)
def checksum(address: str) -> str:
    """The checksummed form of a hex address. Raises ValueError if it is none."""
    return cast(str, to_checksum_address(address))


@lru_cache(maxsize=65_536)
def actor_address(label: str) -> str:
    """The address of an unlocked actor: derived from its label alone, with no known key."""
    return checksum("0x" + keccak(text=f"breakwater actor: {label}")[-20:].hex())


def checked_batch(requests: Sequence[Sending]) -> Sequence[Sending]:
    """The requests of one block. Raises ValueError for none or too many."""
    if not 1 <= len(requests) <= BATCH:
        raise ValueError(f"a block takes 1 to {BATCH} transactions, got {len(requests)}")
    return requests


def seconds_of(value: Any) -> int:
    """A duration in whole seconds. Raises ValueError if negative or no integer."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"wait takes a non-negative whole number of seconds, got {value!r}")
    return value


def revert_reason(output: bytes) -> str:
    """The words in a revert's output: the string of Error(string), else a description."""
    if not output:
        return NO_REASON
    if output[:4] == b"\x08\xc3\x79\xa0" and len(output) >= 68:
        size = int.from_bytes(output[36:68], "big")
        return output[68 : 68 + size].decode("utf-8", "replace")
    if output[:4] == b"\x4e\x48\x7b\x71" and len(output) == 36:
        code = int.from_bytes(output[4:], "big")
        return f"panic 0x{code:02x} ({_PANICS.get(code, 'unknown')})"
    return f"reverted with 0x{output.hex()}"


def halt_reason(message: str) -> str:
    """One wording, whichever engine says it, for an execution that stopped without output."""
    for mark, words in _HALTS:
        if mark.lower() in message.lower():
            return words
    return message
