"""The engine that only looks: any node over JSON-RPC, at a stated block, without touching it.

Owns no chain and sends nothing. It needs no Ape, no account and no devnet methods, so it may be
pointed at a node that others are using. A node that does not answer is `NodeAwayError`, apart from
every verdict of a contract, so that whoever watches can wait for it to come back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from breakwater.engine.base import (
    EngineError,
    Log,
    Receipt,
    Reverted,
    Sending,
    checksum,
    halt_reason,
    revert_reason,
)

_NOBODY = "0x" + "00" * 20


class NodeAwayError(EngineError):
    """The node does not answer, or not sensibly: it may come back."""


class ReadEngine:
    """A node at `url`. All reads are of block `block` (the newest when made, or at `refresh`)."""

    name = "read"
    measures_gas = False

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        self.url = url
        self._timeout = timeout
        # A node is spoken to directly: a proxy of the environment does not know it.
        self._open = build_opener(ProxyHandler({})).open
        self.block = 0
        self._timestamp = 0

    def refresh(self) -> int:
        """Goes to the newest block and returns its number. Raises NodeAwayError."""
        newest = self._rpc("eth_getBlockByNumber", "latest", False)
        self.block, self._timestamp = int(newest["number"], 16), int(newest["timestamp"], 16)
        return self.block

    @property
    def timestamp(self) -> int:
        """Of the block that is read, seconds."""
        return self._timestamp

    def time_of(self, block: int) -> int:
        """Timestamp of a block, seconds."""
        found = self._rpc("eth_getBlockByNumber", hex(block), False)
        if found is None:
            raise NodeAwayError(f"the node at {self.url} has no block {block}")
        return int(found["timestamp"], 16)

    def hash_of(self, block: int) -> str | None:
        """Hash of a block; None if the chain has none of this number."""
        found = self._rpc("eth_getBlockByNumber", hex(block), False)
        return str(found["hash"]) if found else None

    def has_code(self, address: str) -> bool:
        """Whether there is a contract at the address."""
        return len(self._rpc("eth_getCode", address, hex(self.block))) > 2

    def call(self, to: str, data: bytes, sender: str | None = None) -> bytes:
        """As `Engine.call`, on the block that is read."""
        request = {"from": sender or _NOBODY, "to": to, "data": "0x" + data.hex()}
        return bytes.fromhex(self._rpc("eth_call", request, hex(self.block))[2:])

    def logs(self, addresses: Sequence[str]) -> list[Log]:
        """Every log of these addresses up to the block that is read, oldest first."""
        return self.logs_between(addresses, 0, self.block)

    def logs_between(self, addresses: Sequence[str], first: int, last: int) -> list[Log]:
        """Their logs of the blocks `first` to `last`, both included."""
        if not addresses or first > last:
            return []
        wanted = [checksum(address) for address in addresses]
        span = {"fromBlock": hex(first), "toBlock": hex(last), "address": wanted}
        return [
            Log(
                checksum(raw["address"]),
                tuple(bytes.fromhex(topic[2:]) for topic in raw["topics"]),
                bytes.fromhex(raw["data"][2:]),
            )
            for raw in self._rpc("eth_getLogs", span)
        ]

    def actor(self, label: str) -> str:
        """Nobody acts here."""
        self._refuse()

    def deploy(self, bytecode: bytes, sender: str) -> str:
        """Refused."""
        self._refuse()

    def transact(self, sender: str, to: str, data: bytes) -> Receipt:
        """Refused."""
        self._refuse()

    def transact_many(self, requests: Sequence[Sending]) -> list[Receipt | Reverted]:
        """Refused."""
        self._refuse()

    def call_many(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """As `call`, one after the other."""
        return [self.call(to, data) for to, data in requests]

    def wait(self, seconds: int) -> None:
        """Refused."""
        self._refuse()

    def snapshot(self) -> object:
        """Refused."""
        self._refuse()

    def revert(self, snap: object) -> None:
        """Refused."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise EngineError("this engine only reads")

    def _rpc(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        request = Request(self.url, body.encode(), {"Content-Type": "application/json"})
        try:
            with self._open(request, timeout=self._timeout) as response:
                answer = json.loads(response.read())
        except (HTTPError, URLError, OSError, ValueError) as error:
            why = getattr(error, "reason", error)
            raise NodeAwayError(f"the node at {self.url} does not answer: {why}") from None
        if not isinstance(answer, dict):
            raise NodeAwayError(f"the node at {self.url} does not speak JSON-RPC")
        if "error" in answer:
            raise _verdict(self.url, answer["error"])
        return answer.get("result")


def _verdict(url: str, error: dict[str, Any]) -> Exception:
    message, data = str(error.get("message", error)), error.get("data")
    if "revert" in message:
        output = data if isinstance(data, str) and data.startswith("0x") else "0x"
        return Reverted(revert_reason(bytes.fromhex(output[2:])))
    words = halt_reason(message)
    return Reverted(words) if words != message else NodeAwayError(f"the node at {url}: {message}")
