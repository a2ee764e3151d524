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
real block). If it fails, its output is read from its trace and `anvil_rollback` (for a first block,
a snapshot) removes its block: clock, nonce and number are as before, and snapshots stay valid.

Speed. anvil computes the state's root for each block anew, from every slot there is: half of its
work on a small venue, and more with each order. A node that forks another one leaves the root out,
so `start_anvil` starts two: one with nothing in it, and one on top of it, which is the engine's.
What a contract made there holds is never asked of the lower node. For the rest, many transactions
in one block are faster than one each (`transact_many`): they travel in one JSON-RPC batch, are
mined on demand, and come back as the block's receipts. The node handles the entries of a batch at
once, in any order; each therefore offers one wei less for its gas than the one before, because a
node mines by what is offered. Failures keep their place: the reason is read from the trace, for
them alone. A node whose provider knows no batches, or which orders blocks otherwise, is served one
by one, and says so in `batches`. A node on this machine is spoken to over one connection of the
engine's own: what a provider does around each request costs more than the request.
"""

from __future__ import annotations

import contextlib
import json
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from web3 import HTTPProvider, Web3

from breakwater.engine.base import (
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

ANVIL_MISSING = (
    "anvil was not found on PATH. Install it with `npm install @foundry-rs/anvil` and put the "
    "folder of its binary on PATH, or install Foundry (https://getfoundry.sh)."
)

_GAS = hex(TX_GAS_LIMIT)
_NOBODY = "0x" + "00" * 20
# Enough for the node's own default gas price in any number of transactions.
_FUNDS = hex(10**30)
_START_SECONDS = 15.0
# Gas of a block that takes any batch, and the gas price that the first of a batch offers, in wei.
_ROOM = hex(10**12)
_BEST_OFFER = 10**12


_HERE = ("127.0.0.1", "localhost", "::1")
_ANSWER_SECONDS = 120.0


class _RpcError(EngineError):
    """The node answered a request with an error."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        self.message = str(error.get("message", error))
        data = error.get("data")
        self.output = data if isinstance(data, str) and data.startswith("0x") else None
        super().__init__(f"{method}: {self.message}")


class _Line:
    """One connection to a node on this machine, kept open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self._path = parts.path or "/"
        self._connection = HTTPConnection(
            parts.hostname or "", parts.port or 80, timeout=_ANSWER_SECONDS
        )

    @staticmethod
    def to(web3: Web3) -> _Line | None:
        """A line of its own to the node that a provider of plain HTTP names, if it is here."""
        url = getattr(web3.provider, "endpoint_uri", None)
        if not isinstance(web3.provider, HTTPProvider) or not isinstance(url, str):
            return None
        parts = urlsplit(url)
        plain = parts.scheme == "http" and parts.username is None and not parts.query
        return _Line(url) if plain and parts.hostname in _HERE else None

    def ask(self, question: Any) -> Any:
        """The node's answer to a JSON-RPC request or batch. Raises EngineError if there is none."""
        body = json.dumps(question, separators=(",", ":")).encode()
        line = self._connection
        # Nothing is to be heard before a question, unless the node has closed a line left idle.
        if line.sock is not None and select.select([line.sock], [], [], 0)[0]:
            line.close()
        try:
            line.request("POST", self._path, body, {"Content-Type": "application/json"})
            return json.loads(line.getresponse().read())
        except (OSError, HTTPException, ValueError) as error:
            line.close()
            raise EngineError(f"the node at {self.url} does not answer: {error}") from None


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
        self._line = _Line.to(web3)
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
        # Whether each transaction is mined as it comes, as `transact` needs it.
        self._automine = True
        self._roomy = False
        # Transactions sent, of the senders for which it matters; a batch states them.
        self._nonces: dict[str, int] = {}
        self.batches = self._line is not None or hasattr(web3.provider, "make_batch_request")

    @property
    def timestamp(self) -> int:
        """Timestamp of the last block, in seconds."""
        return self._timestamp

    @property
    def block_number(self) -> int:
        """Number of the last block."""
        return self._block_number

    def actor(self, label: str) -> str:
        """An address derived from the label, funded when it sends; the same on `RevmEngine`."""
        return actor_address(label)

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
        try:
            output = self._rpc("eth_call", *self._question(to, data, sender))
        except _RpcError as error:
            raise _reverted(error) from None
        return bytes.fromhex(output[2:])

    def transact_many(self, requests: Sequence[Sending]) -> list[Receipt | Reverted]:
        """Mine one block with these transactions; see `Engine`."""
        wanted = [(checksum(sender), to, data) for sender, to, data in checked_batch(requests)]
        self._unlock(*dict.fromkeys(sender for sender, _, _ in wanted))
        if self._automine:
            self._rpc("evm_setAutomine", False)
            self._automine = False
        if not self._roomy:
            self._rpc("evm_setBlockGasLimit", _ROOM)
            self._roomy = True
        expected = self._timestamp + 1 + self._wait
        found = self._mine(wanted, expected)
        if found is None:
            # Its blocks are made in the order of arrival, so let them arrive in order.
            self._rpc("anvil_rollback", 1)
            self._rpc("anvil_dropAllTransactions")
            self.batches = self._roomy = False
            found = self._mine(wanted, expected)
            if found is None:
                raise EngineError("the node did not mine these transactions in one block, in order")
        receipts, block = found
        number, timestamp = _int(block["number"]), _int(block["timestamp"])
        self._check_block(number, timestamp, expected)
        self._block_number, self._timestamp, self._wait = number, timestamp, 0
        for sender, _, _ in wanted:
            self._nonces[sender] += 1
        return [
            _receipt(raw, timestamp)
            if _int(raw["status"]) == 1
            else self._failure(raw["transactionHash"])
            for raw in receipts
        ]

    def _mine(
        self, wanted: Sequence[Sending], expected: int
    ) -> tuple[list[dict[str, Any]], dict[str, Any]] | None:
        """Mines one block of the transactions. Its receipts and header; None if these are not what
        is in it, in this order."""
        if self._wait:
            self._rpc("evm_setNextBlockTimestamp", expected)
        unknown = list(
            dict.fromkeys(sender for sender, _, _ in wanted if sender not in self._nonces)
        )
        counts = self._rpc_many([("eth_getTransactionCount", [one, "latest"]) for one in unknown])
        self._nonces.update(zip(unknown, map(_int, counts), strict=True))
        nonces = dict(self._nonces)
        calls = []
        for place, (sender, to, data) in enumerate(wanted):
            request = {
                "from": sender,
                "to": to,
                "data": "0x" + data.hex(),
                "gas": _GAS,
                "gasPrice": hex(_BEST_OFFER - place),
                "nonce": hex(nonces[sender]),
            }
            calls.append(("eth_sendTransaction", [request]))
            nonces[sender] += 1
        try:
            hashes = self._rpc_many(calls)
        except _RpcError:
            self._rpc("anvil_dropAllTransactions")
            raise
        self._rpc("evm_mine")
        receipts, block = self._rpc_many(
            [("eth_getBlockReceipts", ["latest"]), ("eth_getBlockByNumber", ["latest", False])]
        )
        mined = [raw["transactionHash"] for raw in receipts]
        return (receipts, block) if mined == hashes else None

    def call_many(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """As `call`, in one round trip."""
        calls = [("eth_call", self._question(to, data)) for to, data in requests]
        try:
            return [bytes.fromhex(output[2:]) for output in self._rpc_many(calls)]
        except _RpcError as error:
            raise _reverted(error) from None

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
        # What is taken back would be mined once more if the pool still had it.
        self._await_empty_pool()
        if self._rpc("evm_revert", snap.id) is not True:
            raise EngineError(f"the node no longer knows snapshot {snap.id}")
        del self._snapshots[self._snapshots.index(snap) :]
        self._timestamp = snap.timestamp
        self._wait = snap.wait
        self._block_number = snap.block_number
        self._funded = snap.funded
        self._roomy = False
        self._nonces.clear()
        # A node that was turned back before its first block takes its own block 0's time.
        self._rpc("anvil_setTime", self._timestamp)

    def _rpc(self, method: str, *params: Any) -> Any:
        # Web3's own formatting costs more than the node's work.
        answer: Any
        if self._line is not None:
            answer = self._line.ask(_request(0, method, list(params)))
        else:
            answer = self._web3.provider.make_request(method, list(params))  # type: ignore[arg-type]
        if "error" in answer:
            raise _RpcError(method, answer["error"])
        return answer["result"]

    def _rpc_many(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """The answers to several requests, in their order. Raises the first error."""
        provider: Any = self._web3.provider
        if not self.batches or len(calls) < 2:
            return [self._rpc(method, *params) for method, params in calls]
        if self._line is not None:
            answers = self._line.ask(
                [_request(place, method, params) for place, (method, params) in enumerate(calls)]
            )
            if isinstance(answers, list):
                answers.sort(key=lambda answer: answer["id"])
        else:
            answers = provider.make_batch_request(list(calls))
        if not isinstance(answers, list):
            raise _RpcError("batch", answers.get("error", {}))
        for (method, _), answer in zip(calls, answers, strict=True):
            if "error" in answer:
                raise _RpcError(method, answer["error"])
        return [answer["result"] for answer in answers]

    def _question(self, to: str, data: bytes, sender: str | None = None) -> list[Any]:
        """The parameters of an eth_call on the last block."""
        request = {
            "from": sender or _NOBODY,
            "to": to,
            "data": "0x" + data.hex(),
            "gas": _GAS,
            "gasPrice": "0x0",
        }
        # Stated, because the node's own block 0 may carry another time than ours.
        overrides = {"time": hex(self._timestamp), "number": hex(self._block_number)}
        return [request, "latest", {}, overrides]

    def _unlock(self, *addresses: str) -> None:
        new = [address for address in addresses if address not in self._funded]
        calls: list[tuple[str, list[Any]]] = []
        for address in new:
            calls.append(("anvil_impersonateAccount", [address]))
            calls.append(("anvil_setBalance", [address, _FUNDS]))
        if calls:
            self._rpc_many(calls)
            self._funded.update(new)

    def _check_block(self, number: int, timestamp: int, expected: int) -> None:
        if number != self._block_number + 1 or timestamp != expected:
            raise EngineError(
                f"block {number} at {timestamp} came where {self._block_number + 1} at {expected} "
                "was due: someone else is using this node"
            )

    def _send(self, sender: str, request: dict[str, str]) -> Receipt:
        self._unlock(sender)
        # A node that forks another one cannot go back to the block it forked by a rollback.
        first = self._block_number < self._first_block
        mark = self._rpc("evm_snapshot") if first else None
        if not self._automine:
            self._rpc("evm_setAutomine", True)
            self._automine = True
        expected = self._timestamp + 1 + self._wait
        if self._wait:
            self._rpc("evm_setNextBlockTimestamp", expected)
        try:
            raw = self._rpc("eth_sendTransactionSync", {**request, "from": sender, "gas": _GAS})
        except _RpcError as error:
            # Refused before it reached a block.
            raise _reverted(error) from None
        number, timestamp = _int(raw["blockNumber"]), _int(raw["blockTimestamp"])
        self._check_block(number, timestamp, expected)
        if _int(raw["status"]) != 1:
            failure = self._failure(raw["transactionHash"])
            self._await_empty_pool()
            if mark is None:
                self._rpc("anvil_rollback", 1)
            else:
                self._rpc("evm_revert", mark)
                self._rpc("anvil_setTime", self._timestamp)
            self._roomy = False
            raise failure
        self._block_number, self._timestamp, self._wait = number, timestamp, 0
        if sender in self._nonces:
            self._nonces[sender] += 1
        return _receipt(raw, timestamp)

    def _await_empty_pool(self) -> None:
        """A mined transaction leaves the node's pool a moment after its receipt is out, and would
        take the sender's next one with it if that had the same nonce."""
        deadline = time.monotonic() + _START_SECONDS
        while _int(self._rpc("txpool_status")["pending"]):
            if time.monotonic() > deadline:
                raise EngineError("the node keeps a transaction that it has mined in its pool")
            time.sleep(0.001)

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
def start_anvil(
    genesis_timestamp: int = GENESIS_TIMESTAMP, flags: Sequence[str] | None = None
) -> Iterator[RpcEngine]:
    """An engine on an anvil of its own, on a free local port, ended with the context.

    `flags` are given to it in place of those that suit the engine; then it is one node that forks
    no other.
    Raises EngineError if there is no `anvil` on PATH or it does not come up in 15 seconds.
    """
    # The rules that Ape's anvil is configured with; later ones price some things otherwise.
    rules = ["--block-base-fee-per-gas", "0", "--gas-price", "0", "--hardfork", "prague"]
    with contextlib.ExitStack() as nodes:
        if flags is None:
            ground = nodes.enter_context(
                _node([*rules, "--timestamp", str(genesis_timestamp), "--accounts", "0"])
            )
            below = ["--fork-url", ground, "--no-rate-limit", "--no-storage-caching"]
            # A copy of the state is kept for each block, and a rollback needs only the last one.
            flags = [*rules, *below, "--prune-history", "2"]
        url = nodes.enter_context(_node(flags))
        provider = HTTPProvider(url, request_kwargs={"timeout": _ANSWER_SECONDS})
        yield RpcEngine(Web3(provider), genesis_timestamp)


@contextlib.contextmanager
def _node(flags: Sequence[str]) -> Iterator[str]:
    """The address of an anvil on a free local port, ended with the context."""
    binary = shutil.which("anvil")
    if binary is None:
        raise EngineError(ANVIL_MISSING)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [binary, "--quiet", "--port", str(port), *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        web3 = Web3(HTTPProvider(url))
        deadline = time.monotonic() + _START_SECONDS
        while not web3.is_connected():
            if process.poll() is not None:
                said = process.stderr.read().decode(errors="replace") if process.stderr else ""
                raise EngineError(f"anvil ended with code {process.returncode}: {said.strip()}")
            if time.monotonic() > deadline:
                raise EngineError(f"anvil did not answer on port {port} in {_START_SECONDS:.0f} s")
            time.sleep(0.02)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr:
            process.stderr.close()


def _request(id_: int, method: str, params: list[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


def _int(value: Any) -> int:
    """anvil writes a receipt's quantities as hex strings, some of them as numbers."""
    return int(value, 16) if isinstance(value, str) else int(value)


def _receipt(raw: dict[str, Any], timestamp: int) -> Receipt:
    created = raw.get("contractAddress")
    return Receipt(
        tuple(_log(entry) for entry in raw["logs"]),
        _int(raw["gasUsed"]),
        _int(raw["blockNumber"]),
        timestamp,
        None,
        checksum(created) if created else None,
    )


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
