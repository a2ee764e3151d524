"""The engine on any network that Ape can reach, through Ape's provider and accounts.

Owns no chain: it may be a test chain that others use too, so nothing but the senders is kept here
and the clock is the chain's own. Reads go through the provider's web3, transactions through an
Ape account that signs them.

A transaction is first rehearsed and sent only if that succeeds, so that one that reverts changes
nothing: on a local network in the block to come, elsewhere on the last block. On a network with
other users it may still fail after that; then it costs its sender gas and is reported as `Reverted`
all the same.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any, cast

from web3.exceptions import ContractLogicError as Web3ContractLogicError
from web3.exceptions import Web3RPCError

from breakwater.engine.base import (
    NO_REASON,
    TX_GAS_LIMIT,
    EngineError,
    Log,
    Receipt,
    Reverted,
    Sending,
    checked_batch,
    checksum,
    halt_reason,
    revert_reason,
    seconds_of,
)

_NOBODY = "0x" + "00" * 20
_PREFIX = "execution reverted"
# Verdicts of the EVM as web3, the test chain and Ape name them.
_VERDICTS = (
    "ContractLogicError",
    "ContractPanicError",
    "TransactionFailed",
    "OutOfGasError",
    "OutOfGas",
)
# A generated test account gets this much of the first one's ether, in wei.
_GIFT = 10**21


class ApeEngine:
    """The network that Ape is connected to; see `Engine` for what the methods promise.

    `accounts` says who may send: a mapping from labels to Ape accounts, one account that plays
    every role, or None for Ape's test accounts, handed out in the order in which roles are asked
    for; they exist on local networks only. With a mapping, a label that is not in it is played by
    the account labelled "deployer", if there is one. `first_block` is where `logs` begins to read:
    the next block by default; for a venue deployed earlier, the block it was deployed in.
    Raises EngineError without a connected provider, or without accounts off a local network.
    """

    name = "ape"

    def __init__(
        self, accounts: Any = None, provider: Any = None, first_block: int | None = None
    ) -> None:
        import ape

        self._provider = provider or ape.networks.active_provider
        if self._provider is None:
            raise EngineError("Ape is not connected to a network: use --network")
        self._local = bool(self._provider.network.is_local)
        self._labels: dict[str, Any] = {}
        self._default: Any = None
        self._test_accounts: Any = None
        if accounts is None:
            if not self._local:
                raise EngineError(
                    f"{self._provider.network.name} has no test accounts: give an account to send"
                )
            self._test_accounts = ape.accounts.test_accounts
        elif isinstance(accounts, Mapping):
            self._labels = dict(accounts)
            self._default = self._labels.get("deployer")
        else:
            self._default = accounts
        self._senders = {
            str(account.address): account
            for account in (*self._labels.values(), self._default)
            if account is not None
        }
        self._taken = 0
        self.first_block = self._head() + 1 if first_block is None else first_block

    @property
    def measures_gas(self) -> bool:
        """Whether the network's gas is anvil's: only on Ape's foundry provider."""
        return bool(self._provider.name == "foundry")

    @property
    def timestamp(self) -> int:
        """Timestamp of the chain's last block, in seconds."""
        return int(self._provider.web3.eth.get_block("latest")["timestamp"])

    def actor(self, label: str) -> str:
        """The account that plays this role: see the class for which. Raises EngineError if none."""
        if label not in self._labels:
            if self._test_accounts is not None:
                self._labels[label] = self._next_test_account()
            elif self._default is not None:
                self._labels[label] = self._default
            else:
                raise EngineError(
                    f"no account plays {label!r}: there are {', '.join(sorted(self._labels))}"
                )
        account = self._labels[label]
        address = checksum(str(account.address))
        self._senders[address] = account
        return address

    def deploy(self, bytecode: bytes, sender: str) -> str:
        """Create a contract and return its address; see `Engine`."""
        receipt = self._send(sender, None, bytecode)
        if receipt.contract_address is None:
            raise EngineError("the network's receipt names no contract")
        return receipt.contract_address

    def transact(self, sender: str, to: str, data: bytes) -> Receipt:
        """Sign and send a transaction and await its receipt; see `Engine`."""
        return self._send(sender, to, data)

    def transact_many(self, requests: Sequence[Sending]) -> list[Receipt | Reverted]:
        """One after the other, each in a block of its own: the network decides what shares one."""
        out: list[Receipt | Reverted] = []
        for sender, to, data in checked_batch(requests):
            try:
                out.append(self._send(sender, to, data))
            except Reverted as failure:
                out.append(failure)
        return out

    def call(self, to: str, data: bytes, sender: str | None = None) -> bytes:
        """Run on the last block and discard every effect; see `Engine`."""
        return self._rehearse(sender or _NOBODY, to, data)

    def call_many(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """As `call`, one after the other."""
        return [self.call(to, data) for to, data in requests]

    def wait(self, seconds: int) -> None:
        """Let time pass by mining an empty block; the next one follows it by a second.

        Raises EngineError on a network whose clock cannot be set.
        """
        if not seconds_of(seconds):
            return
        if not self._local:
            raise EngineError(f"the clock of {self._provider.network.name} cannot be set")
        try:
            self._provider.set_timestamp(self.timestamp + seconds)
            self._provider.mine(1)
        except NotImplementedError as error:
            raise EngineError(f"the {self._provider.name} provider cannot set its clock") from error

    def logs(self, addresses: Sequence[str]) -> list[Log]:
        """Every log of these addresses since the engine began, oldest first."""
        head = self._head()
        if not addresses or head < self.first_block:
            return []
        found = self._provider.web3.eth.get_logs(
            {
                "fromBlock": self.first_block,
                "toBlock": head,
                "address": [checksum(address) for address in addresses],
            }
        )
        ordered = sorted(found, key=lambda log: (log["blockNumber"], log["logIndex"]))
        return [_log(raw) for raw in ordered]

    def snapshot(self) -> object:
        """Remember the chain. Raises EngineError on a network that cannot."""
        if not self._local:
            raise EngineError(f"{self._provider.network.name} cannot be turned back")
        return cast(object, self._provider.snapshot())

    def revert(self, snap: object) -> None:
        """Go back to a snapshot; see `Engine`."""
        self._provider.restore(snap)

    def _head(self) -> int:
        return int(self._provider.web3.eth.block_number)

    def _next_test_account(self) -> Any:
        place, self._taken = self._taken, self._taken + 1
        if place < len(self._test_accounts):
            return self._test_accounts[place]
        account = self._test_accounts.generate_test_account()
        self._test_accounts[0].transfer(account, _GIFT)
        return account

    def _payer(self) -> str:
        # And the fee must be affordable, so a read without a sender is made by someone with funds.
        if not self._senders:
            self.actor("reader" if self._test_accounts is None else "deployer")
        return next(iter(self._senders))

    def _rehearse(self, sender: str, to: str | None, data: bytes, block: str = "latest") -> bytes:
        request: dict[str, Any] = {"from": checksum(sender), "data": "0x" + data.hex()}
        if to is not None:
            request["to"] = checksum(to)
        if self._local:
            request["gas"] = TX_GAS_LIMIT
            # The test chain wants a fee offered even here.
            price = int(self._provider.base_fee)
            request["maxFeePerGas"], request["maxPriorityFeePerGas"] = 2 * price, 0
            if sender == _NOBODY:
                request["from"] = self._payer()
        try:
            return bytes(self._provider.web3.eth.call(request, block))
        except Exception as error:
            raise _reverted(error) from None

    def _send(self, sender: str, to: str | None, data: bytes) -> Receipt:
        from ape.exceptions import TransactionError, VirtualMachineError

        account = self._senders.get(checksum(sender))
        if account is None:
            raise EngineError(f"no account of this engine can send as {sender}: use actor(label)")
        # In the time of the block to come where none comes by itself: without traffic, what is too
        # soon for the last block of anvil or of Ape's test chain would be so for ever.
        here = self._local or self.measures_gas
        self._rehearse(sender, to, data, "pending" if here else "latest")
        fields: dict[str, Any] = {"sender": account.address, "data": data}
        if to is not None:
            fields["receiver"] = checksum(to)
        if self._local:
            fields["gas_limit"] = TX_GAS_LIMIT
        transaction = self._provider.network.ecosystem.create_transaction(**fields)
        try:
            receipt = account.call(transaction)
        except (VirtualMachineError, TransactionError) as error:
            raise _reverted(error) from None
        created = getattr(receipt, "contract_address", None) if to is None else None
        return Receipt(
            tuple(_log(raw) for raw in receipt.logs),
            int(receipt.gas_used) if self.measures_gas else None,
            int(receipt.block_number),
            int(receipt.timestamp),
            None,
            checksum(str(created)) if created else None,
        )


def _log(raw: Any) -> Log:
    return Log(
        checksum(str(raw["address"])),
        tuple(_bytes(topic) for topic in raw["topics"]),
        _bytes(raw["data"]),
    )


def _bytes(value: Any) -> bytes:
    """A topic or data field, which Ape's networks give as bytes or as hex."""
    return bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else bytes(value)


def _reverted(error: Exception) -> Reverted:
    """The verdict in an exception of Ape, web3 or the test chain; others are raised as they are."""
    if isinstance(error, Web3ContractLogicError) and isinstance(error.data, str):
        with_output = error.data.startswith("0x")
        if with_output:
            return Reverted(revert_reason(bytes.fromhex(error.data[2:])))
    message = str(getattr(error, "revert_message", None) or (error.args[0] if error.args else ""))
    revert = type(error).__name__ in _VERDICTS
    if isinstance(error, Web3RPCError):
        message = str((error.rpc_response or {}).get("error", {}).get("message", message))
        revert = "EVM error" in message or halt_reason(message) != message
    if not revert:
        raise error
    message = message.removeprefix(_PREFIX).removeprefix(":").strip()
    if message in ("", "b''", "0x", "no data", "Transaction failed."):
        return Reverted(NO_REASON)
    if message.startswith("b'") and message.endswith("'"):
        return Reverted(revert_reason(ast.literal_eval(message)))
    return Reverted(halt_reason(message))
