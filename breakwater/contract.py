"""Typed access to one deployed contract: encode, send or call, decode.

Owns the translation between Python values and the ABI, and the decoding of events. It knows no
contract of the venue by name and keeps no chain state.

Values: integers as int, addresses as checksummed str, bool, str, bytes; arrays as list; a struct
as a NamedTuple with the struct's field names; several return values as a plain tuple.
"""

from __future__ import annotations

import io
import keyword
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NamedTuple, cast

from eth_abi import decoding, encoding
from eth_abi import registry as registries
from eth_abi.exceptions import DecodingError, EncodingError, ParseError
from eth_utils.crypto import keccak

from breakwater import words
from breakwater.engine.base import BATCH, Engine, Log, Receipt, Reverted, checksum

Abi = Sequence[Mapping[str, Any]]
# Untyped in eth_abi.
_Stream: Any = decoding.ContextFramesBytesIO
_TupleDecoder: Any = decoding.TupleDecoder
_TupleEncoder: Any = encoding.TupleEncoder


def _strict_registry() -> Any:
    """eth_abi's codecs as they come: Ape replaces the shared integer codec by a lenient one, which
    reads missing data as zero, so that an empty answer would be a valid 0."""
    module: Any = registries
    own = module.registry.copy()
    own.unregister("uint")
    own.register(
        module.BaseEquals("uint"),
        encoding.UnsignedIntegerEncoder,
        decoding.UnsignedIntegerDecoder,
        label="uint",
    )
    return own


_registry = _strict_registry()
_Shape = Callable[[Any], Any] | None


class ContractError(Exception):
    """A call that cannot be made as written, or an answer that does not fit the ABI."""


@dataclass(frozen=True, slots=True)
class Event:
    """One decoded log: who said it, what, with which values, and its place in the receipt.

    The values are also attributes, except where their names are those of the fields here.
    """

    contract: str
    name: str
    args: dict[str, Any]
    index: int

    def __getattr__(self, name: str) -> Any:
        if name == "args":  # Not set yet: a copy in the making.
            raise AttributeError(name)
        try:
            return self.args[name]
        except KeyError:
            raise AttributeError(f"event {self.contract}.{self.name} has no {name!r}") from None


@dataclass(frozen=True, slots=True)
class Tx:
    """A successful transaction: its receipt and its events in order."""

    receipt: Receipt
    events: tuple[Event, ...]

    def all(self, name: str) -> list[Event]:
        """Every event of this name, in order."""
        return [event for event in self.events if event.name == name]

    def one(self, name: str) -> Event:
        """The only event of this name. Raises ContractError if there is none or several."""
        found = self.all(name)
        if len(found) != 1:
            raise ContractError(
                f"expected one {name} event, found {len(found)} among "
                f"{[event.name for event in self.events]}"
            )
        return found[0]


class EventDecoder:
    """Decodes the logs of several contracts, in order, by their addresses."""

    def __init__(self) -> None:
        self._contracts: dict[str, tuple[str, dict[bytes, _EventCodec]]] = {}

    def add(self, address: str, name: str, abi: Abi) -> None:
        """Know the contract at this address. A later call for the same address replaces it."""
        self._contracts[checksum(address)] = (name, _interface(_Frozen(abi)).events)

    @property
    def addresses(self) -> list[str]:
        """The addresses known so far, in the order they were added."""
        return list(self._contracts)

    def decode(self, logs: Iterable[Log]) -> list[Event]:
        """The events among these logs; `Event.index` is the place of the log among them.

        A log of an unknown contract is left out, so the indices may have gaps. Raises
        ContractError for a log that a known contract's ABI does not describe.
        """
        return list(self.iterate(logs))

    def iterate(self, logs: Iterable[Log]) -> Iterator[Event]:
        """As `decode`, one by one."""
        for index, log in enumerate(logs):
            known = self._contracts.get(log.address)
            if known is None:
                continue
            name, codecs = known
            codec = codecs.get(log.topics[0]) if log.topics else None
            if codec is None:
                raise ContractError(f"{name} at {log.address} logged an event not in its ABI")
            yield Event(name, codec.name, codec.decode(name, log), index)


class Contract:
    """One contract at one address on one engine.

    `decoder` decodes the events of its transactions; contracts that call one another share one, and
    each adds itself to it.
    """

    def __init__(
        self,
        engine: Engine,
        address: str,
        abi: Abi,
        name: str,
        decoder: EventDecoder | None = None,
    ) -> None:
        self.engine = engine
        self.address = checksum(address)
        self.abi = abi
        self.name = name
        self.decoder = decoder if decoder is not None else EventDecoder()
        self.decoder.add(self.address, name, abi)
        self._methods = _interface(_Frozen(abi)).methods

    def __repr__(self) -> str:
        return f"<{self.name} at {self.address} on {self.engine.name}>"

    def call(self, method: str, *args: Any, sender: str | None = None) -> Any:
        """The decoded answer of a method, run without lasting effect on the last block.

        One value comes bare, several as a tuple, none as None. Raises Reverted with the contract's
        reason, and ContractError for an unknown method or unfitting arguments.
        """
        codec = self._method(method, args)
        data = codec.encode(self.name, args)
        try:
            output = self.engine.call(self.address, data, sender)
        except Reverted as error:
            error.add_note(f"in the call {self.name}.{codec.signature}{args!r}")
            raise
        return codec.decode(self.name, self.address, output)

    def send(self, method: str, *args: Any, sender: str) -> Tx:
        """Mine a transaction and decode its events. Errors as `call`; then nothing changed."""
        codec = self._method(method, args)
        if codec.is_view:
            raise ContractError(f"{self.name}.{codec.signature} only reads: use call")
        data = codec.encode(self.name, args)
        try:
            receipt = self.engine.transact(sender, self.address, data)
        except Reverted as error:
            error.add_note(f"in the transaction {self.name}.{codec.signature}{args!r}")
            raise
        return Tx(receipt, tuple(self.decoder.iterate(receipt.logs)))

    def encode(self, method: str, *args: Any) -> bytes:
        """The calldata of a method: for batches and for other contracts' arguments."""
        return self._method(method, args).encode(self.name, args)

    def decode(self, method: str, output: bytes) -> Any:
        """A method's raw return data, decoded as by `call`."""
        variants = self._variants(method)
        return variants[0].decode(self.name, self.address, output)

    def events(self) -> list[Event]:
        """Every event of this contract since the engine began, oldest first."""
        return self.decoder.decode(self.engine.logs([self.address]))

    def _variants(self, method: str) -> list[_MethodCodec]:
        variants = self._methods.get(method)
        if variants is None:
            known = sorted(name for name in self._methods if "(" not in name)
            close = get_close_matches(method, known, 3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(known)}"
            raise ContractError(f"{self.name} has no method {method!r}: {hint}")
        return variants

    def _method(self, method: str, args: tuple[Any, ...]) -> _MethodCodec:
        variants = self._variants(method)
        for codec in variants:
            if len(codec.inputs) == len(args):
                return codec
        takes = " or ".join(codec.takes for codec in variants)
        given = f"{len(args)} {'argument' if len(args) == 1 else 'arguments'}"
        raise ContractError(f"{self.name}.{method} takes {takes}, but {given} were given")


def constructor_arguments(name: str, abi: Abi, args: Sequence[Any]) -> bytes:
    """The encoded constructor arguments, to append to creation code. Raises ContractError."""
    inputs: Sequence[Mapping[str, Any]] = next(
        (entry["inputs"] for entry in abi if entry["type"] == "constructor"), ()
    )
    codec = _MethodCodec("__init__", inputs, (), "nonpayable")
    if len(inputs) != len(args):
        raise ContractError(f"{name}.__init__ takes {codec.takes}, but {len(args)} were given")
    return codec.encode(name, tuple(args))[4:]


def deploy(
    engine: Engine,
    name: str,
    abi: Abi,
    bytecode: bytes,
    args: Sequence[Any] = (),
    *,
    sender: str,
    decoder: EventDecoder | None = None,
) -> Contract:
    """Create a contract with these constructor arguments. Raises ContractError or Reverted."""
    code = bytecode + constructor_arguments(name, abi, args)
    try:
        address = engine.deploy(code, sender)
    except Reverted as error:
        error.add_note(f"in the deployment of {name}")
        raise
    return Contract(engine, address, abi, name, decoder)


class Send(NamedTuple):
    """A transaction that could be `contract.send(method, *args, sender=sender)`."""

    contract: Contract
    method: str
    args: tuple[Any, ...]
    sender: str


def send_many(sends: Sequence[Send]) -> list[Tx | Reverted]:
    """Mines the transactions, many to a block, in order; what failed is in its place.

    They are all for one engine and share a decoder. Raises ContractError for one that cannot be
    made as written; then none was sent.
    """
    requests = [
        (sender, contract.address, contract.encode(method, *args))
        for contract, method, args, sender in sends
    ]
    out: list[Tx | Reverted] = []
    for start in range(0, len(sends), BATCH):
        engine = sends[start].contract.engine
        made = engine.transact_many(requests[start : start + BATCH])
        for (contract, method, args, _), one in zip(
            sends[start : start + BATCH], made, strict=True
        ):
            if isinstance(one, Reverted):
                one.add_note(f"in the transaction {contract.name}.{method}{args!r}")
                out.append(one)
            else:
                out.append(Tx(one, tuple(contract.decoder.iterate(one.logs))))
    return out


def send_all(sends: Sequence[Send]) -> list[Tx]:
    """As `send_many`, of transactions that must all succeed. Raises the first Reverted."""
    out: list[Tx] = []
    for one in send_many(sends):
        if isinstance(one, Reverted):
            raise one
        out.append(one)
    return out


def call_many(calls: Sequence[tuple[Contract, str, tuple[Any, ...]]]) -> list[Any]:
    """The answers that `contract.call(method, *args)` gives for each, in one round trip where the
    engine can. Raises the first Reverted."""
    if not calls:
        return []
    found = [(contract, contract._method(method, args), args) for contract, method, args in calls]
    outputs = calls[0][0].engine.call_many(
        [(contract.address, codec.encode(contract.name, args)) for contract, codec, args in found]
    )
    return [
        codec.decode(contract.name, contract.address, output)
        for (contract, codec, _), output in zip(found, outputs, strict=True)
    ]


class _Frozen:
    """An ABI that hashes by identity, so that its compiled form can be cached."""

    __slots__ = ("abi",)

    def __init__(self, abi: Abi) -> None:
        self.abi = abi

    def __hash__(self) -> int:
        return id(self.abi)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and self.abi is other.abi


class _Interface:
    """The compiled codecs of one ABI. Methods go by name and by full signature."""

    def __init__(self, abi: Abi) -> None:
        self.methods: dict[str, list[_MethodCodec]] = {}
        self.events: dict[bytes, _EventCodec] = {}
        for entry in abi:
            if entry["type"] == "function":
                codec = _MethodCodec(
                    entry["name"], entry["inputs"], entry["outputs"], entry["stateMutability"]
                )
                self.methods.setdefault(codec.name, []).append(codec)
                self.methods[codec.signature] = [codec]
            elif entry["type"] == "event":
                event = _EventCodec(entry)
                self.events[event.topic] = event


@lru_cache(maxsize=256)
def _interface(frozen: _Frozen) -> _Interface:
    return _Interface(frozen.abi)


class _MethodCodec:
    """Selector, encoder and decoder of one method, built once."""

    def __init__(
        self,
        name: str,
        inputs: Sequence[Mapping[str, Any]],
        outputs: Sequence[Mapping[str, Any]],
        mutability: str,
    ) -> None:
        self.name = name
        self.inputs = inputs
        self.is_view = mutability in ("view", "pure")
        types = [_type(entry) for entry in inputs]
        self.signature = f"{name}({','.join(types)})"
        described = ", ".join(
            f"{entry['name']}: {kind}" for entry, kind in zip(inputs, types, strict=True)
        )
        self.takes = f"({described})"
        self._selector = keccak(text=self.signature)[:4]
        self._encoders = [_registry.get_encoder(kind) for kind in types]
        self._encode = _TupleEncoder(encoders=tuple(self._encoders))
        self._prepare = [_preparer(entry) for entry in inputs]
        self._as_is = not any(self._prepare)
        self._outputs = len(outputs)
        self._decode = _tuple_decoder([_type(entry) for entry in outputs])
        self._shapes = [_shaper(entry, entry["name"] or name) for entry in outputs]
        # Most methods take and give nothing but words; see breakwater.words.
        self._quick_encode = words.encoder(inputs)
        self._quick_decode = words.decoder(outputs)

    def encode(self, contract: str, args: tuple[Any, ...]) -> bytes:
        if not args:
            return self._selector
        values: Any = []
        if self._quick_encode is not None:
            try:
                if self._as_is:
                    return self._selector + self._quick_encode(args)
                return self._selector + self._quick_encode(
                    [
                        value if prepare is None else prepare(value)
                        for prepare, value in zip(self._prepare, args, strict=True)
                    ]
                )
            except words.NotPlain:
                pass
        try:
            for prepare, value in zip(self._prepare, args, strict=True):
                values.append(value if prepare is None else prepare(value))
            return self._selector + bytes(self._encode(values))
        except (EncodingError, ParseError, TypeError, ValueError, KeyError) as error:
            raise ContractError(self._explain(contract, args, error)) from None

    def _explain(self, contract: str, args: tuple[Any, ...], error: Exception) -> str:
        # Find the argument at fault: the codec's own message names none.
        for entry, encode, prepare, value in zip(
            self.inputs, self._encoders, self._prepare, args, strict=True
        ):
            try:
                encode(value if prepare is None else prepare(value))
            except (EncodingError, ParseError, TypeError, ValueError, KeyError):
                return (
                    f"{contract}.{self.name} takes {self.takes}: {value!r} does not fit "
                    f"{entry['name']}: {_type(entry)}"
                )
        return f"{contract}.{self.name} takes {self.takes}: {error}"

    def decode(self, contract: str, address: str, output: bytes) -> Any:
        if not self._outputs:
            return None
        try:
            values = self._values(output)
        except (DecodingError, OverflowError) as error:
            if not output:
                raise ContractError(
                    f"{contract}.{self.name} answered nothing: is there a contract at {address}?"
                ) from None
            raise ContractError(
                f"{contract}.{self.name} answered what its ABI does not describe: {error}"
            ) from None
        if self._outputs == 1:
            shape = self._shapes[0]
            return values[0] if shape is None else shape(values[0])
        return tuple(
            value if shape is None else shape(value)
            for shape, value in zip(self._shapes, values, strict=True)
        )

    def _values(self, output: bytes) -> tuple[Any, ...]:
        if self._quick_decode is not None:
            try:
                return self._quick_decode(output)
            except words.NotPlain:
                pass
        return self._decode(_Stream(output))


class _EventCodec:
    """Topic and decoder of one event, built once."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.name: str = entry["name"]
        inputs = entry["inputs"]
        types = [_type(field) for field in inputs]
        self.topic = keccak(text=f"{self.name}({','.join(types)})")
        indexed = [(f, t) for f, t in zip(inputs, types, strict=True) if f["indexed"]]
        plain = [(f, t) for f, t in zip(inputs, types, strict=True) if not f["indexed"]]
        # An indexed value of dynamic size is only there as its hash.
        self._topics = [
            (_tuple_decoder(["bytes32" if _is_dynamic(t) else t]), _shaper(f, f["name"]))
            for f, t in indexed
        ]
        self._data = _tuple_decoder([t for _, t in plain])
        self._quick = words.log_decoder(inputs, checksum)
        self._shapes = [_shaper(f, f["name"]) for f, _ in plain]
        # In the order of the declaration: (from topics?, place there, name).
        places = {True: 0, False: 0}
        self._order: list[tuple[bool, int, str]] = []
        for field in inputs:
            in_topics = bool(field["indexed"])
            self._order.append((in_topics, places[in_topics], field["name"]))
            places[in_topics] += 1

    def decode(self, contract: str, log: Log) -> dict[str, Any]:
        if self._quick is not None:
            try:
                return self._quick(log.topics, log.data)
            except words.NotPlain:
                pass
        try:
            topics = []
            for (decode, shape), raw in zip(self._topics, log.topics[1:], strict=True):
                value = decode(_Stream(raw))[0]
                topics.append(value if shape is None else shape(value))
            values = self._data(_Stream(log.data)) if self._shapes else ()
        except (DecodingError, OverflowError, ValueError) as error:
            raise ContractError(
                f"{contract} logged a {self.name} that its ABI does not describe: {error}"
            ) from None
        return self._named(topics, values)

    def _named(self, topics: Sequence[Any], values: Sequence[Any]) -> dict[str, Any]:
        plain = [
            value if shape is None else shape(value)
            for shape, value in zip(self._shapes, values, strict=True)
        ]
        return {
            name: topics[place] if in_topics else plain[place]
            for in_topics, place, name in self._order
        }


def _type(entry: Mapping[str, Any]) -> str:
    """The canonical type string of an ABI entry; tuples are written out."""
    kind: str = entry["type"]
    if kind.startswith("tuple"):
        inner = ",".join(_type(component) for component in entry["components"])
        return f"({inner}){kind[5:]}"
    return kind


def _is_dynamic(kind: str) -> bool:
    return kind.startswith("(") or kind in ("string", "bytes") or kind.endswith("]")


def _tuple_decoder(types: Sequence[str]) -> Callable[[io.BytesIO], tuple[Any, ...]]:
    if not types:
        return lambda _stream: ()
    decoders = tuple(_registry.get_decoder(kind) for kind in types)
    return cast("Callable[[io.BytesIO], tuple[Any, ...]]", _TupleDecoder(decoders=decoders))


def _element(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of one element of an array entry."""
    kind = entry["type"]
    return {**entry, "type": kind[: kind.rindex("[")]}


@lru_cache(maxsize=1024)
def _record(name: str, fields: tuple[str, ...]) -> Any:
    """The NamedTuple of a struct; one class for each name and set of fields."""
    title = "".join(part.capitalize() for part in name.split("_")) or "Struct"
    if not title.isidentifier() or keyword.iskeyword(title):
        title = "Struct"
    return namedtuple(title, fields, rename=True)


def _shaper(entry: Mapping[str, Any], name: str) -> _Shape:
    """From a decoded value to ours; None where they are the same."""
    kind: str = entry["type"]
    if kind.endswith("]"):
        each = _shaper(_element(entry), name)
        if each is None:
            return list
        return lambda values: [each(value) for value in values]
    if kind == "tuple":
        components = entry["components"]
        record = _record(name, tuple(component["name"] for component in components))
        inner = [_shaper(component, component["name"]) for component in components]
        if not any(inner):
            return cast(_Shape, record._make)
        return lambda values: record._make(
            value if shape is None else shape(value)
            for shape, value in zip(inner, values, strict=True)
        )
    return checksum if kind == "address" else None


def _preparer(entry: Mapping[str, Any]) -> _Shape:
    """From our value to one that the encoder takes: contracts as addresses, structs as dicts."""
    kind: str = entry["type"]
    if kind.endswith("]"):
        each = _preparer(_element(entry))
        if each is None:
            return None
        return lambda values: [each(value) for value in values]
    if kind == "tuple":
        names = [component["name"] for component in entry["components"]]
        inner = [_preparer(component) for component in entry["components"]]

        def prepare(value: Any) -> Any:
            if isinstance(value, Mapping):
                if set(value) != set(names):
                    raise ValueError(f"expected the fields {names}")
                value = [value[name] for name in names]
            return tuple(
                item if step is None else step(item)
                for step, item in zip(inner, value, strict=True)
            )

        return prepare
    if kind == "address":
        return lambda value: value.address if isinstance(value, Contract) else value
    return None
