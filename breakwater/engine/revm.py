"""The in-process engine: the venue's bytecode on revm, through pyrevm.

Owns the chain it creates and nothing outside the process. It does not report gas: pyrevm keeps
storage slots warm from one transaction to the next, so its gas is far below the real one. For the
same reason the gas limit bites later here than on a node. State, logs and results are exact.

pyrevm does not count a sender's transactions, so this engine does, and catches the nonce up before
a deployment: contracts get the addresses that a node would give them.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any

from pyrevm import EVM, BlockEnv

from breakwater.engine.base import (
    BLOCK_GAS_LIMIT,
    GENESIS_TIMESTAMP,
    TX_GAS_LIMIT,
    EngineError,
    Log,
    Receipt,
    Reverted,
    Sending,
    actor_address,
    checked_batch,
    checksum,
    halt_reason,
    revert_reason,
    seconds_of,
)

_NOBODY = "0x" + "00" * 20
_FUNDS = 10**24
_OUTPUT = re.compile(r"output: 0x([0-9a-fA-F]*)")
_HALT = re.compile(r"Halt \{ reason: ([^,]+),")
# PUSH0 PUSH0 REVERT: a creation that fails, which moves the nonce and leaves no account.
_FAILING_CREATION = bytes.fromhex("5f5ffd")
# Each open snapshot takes a level of the machine's call depth (1024), so they are bounded.
_MAX_SNAPSHOTS = 512


class _Snapshot:
    """A checkpoint of pyrevm with the engine's own counters beside it."""

    __slots__ = (
        "block_number",
        "checkpoint",
        "funded",
        "log_count",
        "nonces",
        "timestamp",
        "wait",
    )

    def __init__(
        self,
        checkpoint: Any,
        timestamp: int,
        wait: int,
        block_number: int,
        log_count: int,
        nonces: dict[str, int],
        funded: set[str],
    ) -> None:
        self.checkpoint = checkpoint
        self.timestamp = timestamp
        self.wait = wait
        self.block_number = block_number
        self.log_count = log_count
        self.nonces = nonces
        self.funded = funded


class RevmEngine:
    """A fresh private chain in this process; see `Engine` for what the methods promise.

    Blocks begin at 0 with `genesis_timestamp` seconds. Code size limits are mainnet's.
    """

    name = "revm"
    measures_gas = False

    def __init__(self, genesis_timestamp: int = GENESIS_TIMESTAMP) -> None:
        self._evm: Any = EVM(spec_id="CANCUN", gas_limit=TX_GAS_LIMIT)
        self._timestamp = genesis_timestamp
        self._block_number = 0
        self._wait = 0
        self._logs: list[Log] = []
        self._nonces: dict[str, int] = {}
        self._funded: set[str] = set()
        self._snapshots: list[_Snapshot] = []
        self._set_block(self._block_number, self._timestamp)

    @property
    def timestamp(self) -> int:
        """Timestamp of the last block, in seconds."""
        return self._timestamp

    @property
    def block_number(self) -> int:
        """Number of the last block: how many transactions and deployments succeeded."""
        return self._block_number

    def actor(self, label: str) -> str:
        """A funded address derived from the label; the same on `RpcEngine`."""
        address = actor_address(label)
        if address not in self._funded:
            self._evm.set_balance(address, _FUNDS)
            self._funded.add(address)
        return address

    def deploy(self, bytecode: bytes, sender: str) -> str:
        """Create a contract in a block of its own and return its address; see `Engine`."""
        sender = checksum(sender)
        evm = self._evm
        checkpoint = evm.snapshot()
        done = False
        self._next_block()
        try:
            for _ in range(evm.basic(sender).nonce, self._nonces.get(sender, 0)):
                with contextlib.suppress(RuntimeError):
                    evm.deploy(sender, _FAILING_CREATION, gas=TX_GAS_LIMIT)
            try:
                address = checksum(evm.deploy(sender, bytecode, gas=TX_GAS_LIMIT))
            except RuntimeError as error:
                raise _reverted(error) from None
            done = True
        finally:
            if not done:
                evm.revert(checkpoint)
                self._set_block(self._block_number, self._timestamp)
        # What pyrevm calls commit only closes the checkpoint: the state stays revertible.
        evm.commit()
        self._nonces[sender] = evm.basic(sender).nonce
        self._finish_block()
        return address

    def transact(self, sender: str, to: str, data: bytes) -> Receipt:
        """Run one transaction in a block of its own; see `Engine`."""
        sender = checksum(sender)
        evm = self._evm
        self._next_block()
        try:
            output = bytes(evm.message_call(sender, to, data, gas=TX_GAS_LIMIT))
        except RuntimeError as error:
            self._set_block(self._block_number, self._timestamp)
            raise _reverted(error) from None
        self._nonces[sender] = self._nonces.get(sender, 0) + 1
        return Receipt(self._finish_block(), None, self._block_number, self._timestamp, output)

    def transact_many(self, requests: Sequence[Sending]) -> list[Receipt | Reverted]:
        """Run the transactions in one block; see `Engine`."""
        requests = [(checksum(sender), to, data) for sender, to, data in checked_batch(requests)]
        evm = self._evm
        self._next_block()
        number, timestamp = self._block_number + 1, self._timestamp + 1 + self._wait
        out: list[Receipt | Reverted] = []
        for sender, to, data in requests:
            evm.reset_transient_storage()
            self._nonces[sender] = self._nonces.get(sender, 0) + 1
            try:
                output = bytes(evm.message_call(sender, to, data, gas=TX_GAS_LIMIT))
            except RuntimeError as error:
                out.append(_reverted(error))
            else:
                logs = self._said()
                self._logs += logs
                out.append(Receipt(logs, None, number, timestamp, output))
        self._block_number, self._timestamp, self._wait = number, timestamp, 0
        return out

    def call(self, to: str, data: bytes, sender: str | None = None) -> bytes:
        """Run on the last block's state and time, then discard every effect; see `Engine`."""
        evm = self._evm
        checkpoint = evm.snapshot()
        evm.reset_transient_storage()
        try:
            return bytes(evm.message_call(sender or _NOBODY, to, data, gas=TX_GAS_LIMIT))
        except RuntimeError as error:
            raise _reverted(error) from None
        finally:
            evm.revert(checkpoint)

    def call_many(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """As `call`, one after the other."""
        return [self.call(to, data) for to, data in requests]

    def wait(self, seconds: int) -> None:
        """Move the next block's timestamp on; see `Engine`."""
        self._wait += seconds_of(seconds)

    def logs(self, addresses: Sequence[str]) -> list[Log]:
        """Every log of these addresses, oldest first."""
        wanted = {checksum(address) for address in addresses}
        return [log for log in self._logs if log.address in wanted]

    def snapshot(self) -> object:
        """Remember everything. At most 512 may be open at once (EngineError)."""
        if len(self._snapshots) >= _MAX_SNAPSHOTS:
            raise EngineError(f"{_MAX_SNAPSHOTS} snapshots are open: revert some of them first")
        snap = _Snapshot(
            self._evm.snapshot(),
            self._timestamp,
            self._wait,
            self._block_number,
            len(self._logs),
            dict(self._nonces),
            set(self._funded),
        )
        self._snapshots.append(snap)
        return snap

    def revert(self, snap: object) -> None:
        """Go back to `snap`; it and every later one are used up (ValueError if it was)."""
        if not isinstance(snap, _Snapshot) or snap not in self._snapshots:
            raise ValueError("this snapshot is not open: it was used already, or is not ours")
        # Innermost first, one by one: pyrevm counts a level of depth for each.
        while True:
            top = self._snapshots.pop()
            self._evm.revert(top.checkpoint)
            if top is snap:
                break
        self._timestamp = snap.timestamp
        self._wait = snap.wait
        self._block_number = snap.block_number
        self._nonces = snap.nonces
        self._funded = snap.funded
        del self._logs[snap.log_count :]
        self._set_block(self._block_number, self._timestamp)

    def _set_block(self, number: int, timestamp: int) -> None:
        self._evm.set_block_env(
            BlockEnv(number=number, timestamp=timestamp, gas_limit=BLOCK_GAS_LIMIT, basefee=0)
        )

    def _next_block(self) -> None:
        # Transient storage ends with its transaction; pyrevm keeps it until told.
        self._evm.reset_transient_storage()
        self._set_block(self._block_number + 1, self._timestamp + 1 + self._wait)

    def _finish_block(self) -> tuple[Log, ...]:
        self._block_number += 1
        self._timestamp += 1 + self._wait
        self._wait = 0
        logs = self._said()
        self._logs += logs
        return logs

    def _said(self) -> tuple[Log, ...]:
        """The logs of the last call."""
        return tuple(
            [
                Log(checksum(raw.address), tuple(topics), data)
                for raw in self._evm.result.logs
                for topics, data in (raw.data,)
            ]
        )


def _reverted(error: RuntimeError) -> Reverted:
    """The exception for what pyrevm says in its message."""
    message = str(error)
    if found := _OUTPUT.search(message):
        return Reverted(revert_reason(bytes.fromhex(found[1])))
    if found := _HALT.search(message):
        return Reverted(halt_reason(found[1]))
    return Reverted(halt_reason(message))
