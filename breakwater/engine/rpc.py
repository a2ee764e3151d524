"""The devnet engine: anvil over JSON-RPC.

Owns the dialogue with one anvil node, and the node itself when `start_anvil` started it. The node
may also be handed in as a `Web3`, as Ape's foundry provider does: `networks.provider.web3`. Nobody
else may send transactions to the node while the engine lives.

The clock. A node started without `--timestamp` begins at the wall clock, far after the pinned
genesis. `evm_setNextBlockTimestamp` refuses to go back, but `anvil_setTime` does so, also on a node
that has mined already; with `anvil_setBlockTimestampInterval` of one second each block then
follows the last by one second, and only a wait needs a call of its own. Each receipt's timestamp is
compared with the expected one.

Failures. A transaction is sent without a rehearsal (one round trip, and the verdict is that of the
real block). If it fails, its output is read from its trace and `anvil_rollback` removes its block:
clock, nonce and number are as before, and snapshots stay valid.

Speed. anvil mines more slowly as its chain grows: some 550 transactions a second at first, about
200 after 2,000 blocks. So a fresh node for each run is the fast way.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

from web3 import HTTPProvider, Web3

from breakwater.engine.base import (
    GENESIS_TIMESTAMP,
    TX_GAS_LIMIT,
    EngineError,
    Log,
    Receipt,
    Reverted,
    actor_address,
    checksum,
    halt_reason,
    revert_reason,
    seconds_of,
)

ANVIL_MISSING = (
    "anvil was not found on PATH. Install it with `npm install @foundry-rs/anvil` and put the "
    "folder of its binary on PATH, or install Foundry (https://getfoundry.sh)."
)

_GAS = hex(TX_GAS_LIMIT)
_NOBODY = "0x" + "00" * 20
# Enough for the node's own default gas price in any number of transactions.
_FUNDS = hex(10**30)
_START_SECONDS = 15.0


class _RpcError(EngineError):
    """The node answered a request with an error."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        self.message = str(error.get("message", error))
        data = error.get("data")
        self.output = data if isinstance(data, str) and data.startswith("0x") else None
        super().__init__(f"{method}: {self.message}")


class _Snapshot:
    """A node's snapshot id with the engine's own counters beside it."""

    __slots__ = ("block_number", "funded", "id", "timestamp", "wait")

    def __init__(
        self, id_: str, timestamp: int, wait: int, block_number: int, funded: set[str]
    ) -> None:
        self.id = id_
        self.timestamp = timestamp
        self.wait = wait
        self.block_number = block_number
        self.funded = funded


class RpcEngine:
    """An anvil node that is this engine's alone; see `Engine` for what the methods promise.

    `genesis_timestamp`, in seconds, is the time that the first block follows by one second,
    whatever the node's clock says. Raises EngineError if the node is not anvil.
    """

    name = "anvil"
    measures_gas = True

    def __init__(self, web3: Web3, genesis_timestamp: int = GENESIS_TIMESTAMP) -> None:
        self._web3 = web3
        version = str(self._rpc("web3_clientVersion"))
        if "anvil" not in version.lower():
            raise EngineError(f"this engine drives anvil, but the node is {version}")
        self._rpc("anvil_setAutomine", True)
        self._rpc("anvil_setTime", genesis_timestamp)
        self._rpc("anvil_setBlockTimestampInterval", 1)
        self._timestamp = genesis_timestamp
        self._block_number = int(self._rpc("eth_blockNumber"), 16)
        self._first_block = self._block_number + 1
        self._wait = 0
        self._funded: set[str] = set()
        self._snapshots: list[_Snapshot] = []

    @property
    def timestamp(self) -> int:
        """Timestamp of the last block, in seconds."""
        return self._timestamp

    @property
    def block_number(self) -> int:
        """Number of the last block."""
        return self._block_number

    def actor(self, label: str) -> str:
        """A funded, impersonated address derived from the label; the same on `RevmEngine`."""
        address = actor_address(label)
        self._unlock(address)
        return address

    def deploy(self, bytecode: bytes, sender: str) -> str:
        """Create a contract in a block of its own and return its address; see `Engine`."""
        receipt = self._send(checksum(sender), {"data": "0x" + bytecode.hex()})
        if receipt.contract_address is None:
            raise EngineError("the node's receipt names no contract")
        return receipt.contract_address

    def transact(self, sender: str, to: str, data: bytes) -> Receipt:
        """Mine one transaction in a block of its own; see `Engine`. No return data is known."""
        return self._send(checksum(sender), {"to": to, "data": "0x" + data.hex()})

    def call(self, to: str, data: bytes, sender: str | None = None) -> bytes:
        """Run on the last block's state and time, then discard every effect; see `Engine`."""
        request = {
            "from": sender or _NOBODY,
            "to": to,
            "data": "0x" + data.hex(),
            "gas": _GAS,
            "gasPrice": "0x0",
        }
        try:
            # Stated, because the node's own block 0 may carry another time than ours.
            overrides = {"time": hex(self._timestamp), "number": hex(self._block_number)}
            output = self._rpc("eth_call", request, "latest", {}, overrides)
        except _RpcError as error:
            raise _reverted(error) from None
        return bytes.fromhex(output[2:])

    def wait(self, seconds: int) -> None:
        """Move the next block's timestamp on; see `Engine`."""
        self._wait += seconds_of(seconds)

    def logs(self, addresses: Sequence[str]) -> list[Log]:
        """Every log of these addresses since the engine began, oldest first (eth_getLogs)."""
        if not addresses or self._block_number < self._first_block:
            return []
        wanted = [checksum(address) for address in addresses]
        found = self._rpc(
            "eth_getLogs",
            {"fromBlock": hex(self._first_block), "toBlock": "latest", "address": wanted},
        )
        return [_log(raw) for raw in found]

    def snapshot(self) -> object:
        """Remember everything; see `Engine`."""
        snap = _Snapshot(
            self._rpc("evm_snapshot"),
            self._timestamp,
            self._wait,
            self._block_number,
            set(self._funded),
        )
        self._snapshots.append(snap)
        return snap

    def revert(self, snap: object) -> None:
        """Go back to `snap`; it and every later one are used up (ValueError if it was)."""
        if not isinstance(snap, _Snapshot) or snap not in self._snapshots:
            raise ValueError("this snapshot is not open: it was used already, or is not ours")
        if self._rpc("evm_revert", snap.id) is not True:
            raise EngineError(f"the node no longer knows snapshot {snap.id}")
        del self._snapshots[self._snapshots.index(snap) :]
        self._timestamp = snap.timestamp
        self._wait = snap.wait
        self._block_number = snap.block_number
        self._funded = snap.funded
        # A node that was turned back before its first block takes its own block 0's time.
        self._rpc("anvil_setTime", self._timestamp)

    def _rpc(self, method: str, *params: Any) -> Any:
        # Through the provider: web3's own formatting costs more than the node's work.
        answer: Any = self._web3.provider.make_request(method, list(params))  # type: ignore[arg-type]
        if "error" in answer:
            raise _RpcError(method, answer["error"])
        return answer["result"]

    def _unlock(self, address: str) -> None:
        if address not in self._funded:
            self._rpc("anvil_impersonateAccount", address)
            self._rpc("anvil_setBalance", address, _FUNDS)
            self._funded.add(address)

    def _send(self, sender: str, request: dict[str, str]) -> Receipt:
        self._unlock(sender)
        expected = self._timestamp + 1 + self._wait
        if self._wait:
            self._rpc("evm_setNextBlockTimestamp", expected)
        try:
            raw = self._rpc("eth_sendTransactionSync", {**request, "from": sender, "gas": _GAS})
        except _RpcError as error:
            # Refused before it reached a block.
            raise _reverted(error) from None
        number, timestamp = _int(raw["blockNumber"]), _int(raw["blockTimestamp"])
        if number != self._block_number + 1 or timestamp != expected:
            raise EngineError(
                f"block {number} at {timestamp} came where {self._block_number + 1} at {expected} "
                "was due: someone else is using this node"
            )
        if _int(raw["status"]) != 1:
            failure = self._failure(raw["transactionHash"])
            self._rpc("anvil_rollback", 1)
            raise failure
        self._block_number, self._timestamp, self._wait = number, timestamp, 0
        created = raw.get("contractAddress")
        return Receipt(
            tuple(_log(entry) for entry in raw["logs"]),
            _int(raw["gasUsed"]),
            number,
            timestamp,
            None,
            checksum(created) if created else None,
        )

    def _failure(self, transaction_hash: str) -> Reverted:
        trace = self._rpc(
            "debug_traceTransaction",
            transaction_hash,
            {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}},
        )
        message = str(trace.get("error", ""))
        if "revert" in message:
            return Reverted(revert_reason(bytes.fromhex(trace.get("output", "0x")[2:])))
        return Reverted(halt_reason(message))


@contextlib.contextmanager
def start_anvil(genesis_timestamp: int = GENESIS_TIMESTAMP) -> Iterator[RpcEngine]:
    """An engine on an anvil of its own, on a free local port, ended with the context.

    Raises EngineError if there is no `anvil` on PATH or it does not come up in 15 seconds.
    """
    binary = shutil.which("anvil")
    if binary is None:
        raise EngineError(ANVIL_MISSING)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fees = ["--block-base-fee-per-gas", "0", "--gas-price", "0"]
    # The rules that Ape's anvil is configured with; later ones price some things otherwise.
    rules = ["--hardfork", "prague", "--timestamp", str(genesis_timestamp)]
    # Old states would go to disk, block by block; a rollback needs only the last one.
    history = ["--prune-history", "64"]
    process = subprocess.Popen(
        [binary, "--quiet", "--port", str(port), *fees, *rules, *history],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        web3 = Web3(HTTPProvider(f"http://127.0.0.1:{port}", request_kwargs={"timeout": 120}))
        deadline = time.monotonic() + _START_SECONDS
        while not web3.is_connected():
            if process.poll() is not None:
                said = process.stderr.read().decode(errors="replace") if process.stderr else ""
                raise EngineError(f"anvil ended with code {process.returncode}: {said.strip()}")
            if time.monotonic() > deadline:
                raise EngineError(f"anvil did not answer on port {port} in {_START_SECONDS:.0f} s")
            time.sleep(0.02)
        yield RpcEngine(web3, genesis_timestamp)
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr:
            process.stderr.close()


def _int(value: Any) -> int:
    """anvil writes a receipt's quantities as hex strings, some of them as numbers."""
    return int(value, 16) if isinstance(value, str) else int(value)


def _log(raw: dict[str, Any]) -> Log:
    return Log(
        checksum(raw["address"]),
        tuple(bytes.fromhex(topic[2:]) for topic in raw["topics"]),
        bytes.fromhex(raw["data"][2:]),
    )


def _reverted(error: _RpcError) -> Reverted:
    """The verdict in an error; an error that is no verdict of the EVM is raised as it is."""
    if "revert" in error.message:
        return Reverted(revert_reason(bytes.fromhex((error.output or "0x")[2:])))
    words = halt_reason(error.message)
    if words == error.message and "EVM error" not in error.message:
        raise error
    return Reverted(words)
