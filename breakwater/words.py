"""The ABI of fixed-size words, decoded and encoded without ceremony.

Nearly everything the venue says is numbers, flags and addresses of one 32-byte word each, alone, in
structs, or in one list of these. A general ABI codec takes twenty times as long for them, and a run
of a crash is mostly this. Owns the quick way and nothing else: whatever is not plain, or does not
fit its type, is left to the general codec, which then says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

_WORD: Final = 32
_NUMBER = re.compile(r"(u?)int([0-9]+)")
_Reader = Callable[[Sequence[int], int], Any]


class NotPlain(Exception):
    """A value or an answer for the general codec."""


def _reader(entry: Mapping[str, Any]) -> tuple[int, _Reader] | None:
    """Number of words, and from (words, place) to the value; None if the type is no fixed words."""
    kind: str = entry["type"]
    if kind == "tuple":
        parts = [_reader(component) for component in entry["components"]]
        known = [part for part in parts if part is not None]
        if len(known) != len(parts):
            return None
        places, total = [], 0
        for count, read in known:
            places.append((total, read))
            total += count
        return total, lambda words, at: tuple([read(words, at + place) for place, read in places])
    number = _NUMBER.fullmatch(kind)
    if number is not None:
        bits = int(number[2])
        if number[1]:
            return 1, lambda words, at: _unsigned(words[at], bits)
        return 1, lambda words, at: _signed(words[at], bits)
    if kind == "bool":
        return 1, lambda words, at: bool(_unsigned(words[at], 1))
    if kind == "address":
        return 1, lambda words, at: f"0x{_unsigned(words[at], 160):040x}"
    return None


def _unsigned(word: int, bits: int) -> int:
    if word >> bits:
        raise NotPlain
    return word


def _signed(word: int, bits: int) -> int:
    value = word - (1 << 256) if word >> 255 else word
    if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        raise NotPlain
    return value


def _words(data: bytes, count: int, start: int = 0) -> list[int]:
    if len(data) < start + count * _WORD:
        raise NotPlain
    convert = int.from_bytes
    return [
        convert(data[at : at + _WORD], "big") for at in range(start, start + count * _WORD, _WORD)
    ]


def decoder(entries: Sequence[Mapping[str, Any]]) -> Callable[[bytes], tuple[Any, ...]] | None:
    """From raw data to the values of these entries (as the general codec gives them), or None if
    they are not all plain. The decoder raises NotPlain for data that it leaves to that codec."""
    if len(entries) == 1 and entries[0]["type"].endswith("[]"):
        element = _reader({**entries[0], "type": entries[0]["type"][:-2]})
        if element is None:
            return None
        count, read = element

        def read_list(data: bytes) -> tuple[Any, ...]:
            offset, length = _words(data, 2)
            if offset != _WORD or length > len(data) // _WORD:
                raise NotPlain
            words = _words(data, length * count, 2 * _WORD)
            return (tuple(read(words, at) for at in range(0, length * count, count)),)

        return read_list
    whole = _reader({"type": "tuple", "components": entries})
    if whole is None:
        return None
    total, read_all = whole
    return lambda data: cast("tuple[Any, ...]", read_all(_words(data, total), 0))


def encoder(entries: Sequence[Mapping[str, Any]]) -> Callable[[Sequence[Any]], bytes] | None:
    """From plain values to call data without the selector, or None if the entries are not single
    words or lists of them. The encoder raises NotPlain for values that it leaves to the general
    codec."""
    kinds = [entry["type"] for entry in entries]
    writers = [_writer(kind.removesuffix("[]")) for kind in kinds]
    if any(writer is None for writer in writers):
        return None
    plan = [
        (writer, kind.endswith("[]"))
        for writer, kind in zip(writers, kinds, strict=True)
        if writer is not None
    ]

    def encode(values: Sequence[Any]) -> bytes:
        head: list[bytes] = []
        tail: list[bytes] = []
        offset = len(plan) * _WORD
        for (write, is_list), value in zip(plan, values, strict=True):
            if not is_list:
                head.append(write(value))
                continue
            if not isinstance(value, list | tuple):
                raise NotPlain
            head.append(offset.to_bytes(_WORD, "big"))
            tail.append(len(value).to_bytes(_WORD, "big"))
            tail += [write(item) for item in value]
            offset += (1 + len(value)) * _WORD
        return b"".join(head + tail)

    return encode


def _writer(kind: str) -> Callable[[Any], bytes] | None:
    number = _NUMBER.fullmatch(kind)
    if number is not None:
        bits, is_signed = int(number[2]), not number[1]
        low = -(1 << (bits - 1)) if is_signed else 0
        high = 1 << (bits - 1 if is_signed else bits)

        def write(value: Any) -> bytes:
            if type(value) is not int or not low <= value < high:
                raise NotPlain
            return value.to_bytes(_WORD, "big", signed=is_signed)

        return write
    if kind == "bool":

        def write_flag(value: Any) -> bytes:
            if type(value) is not bool:
                raise NotPlain
            return int(value).to_bytes(_WORD, "big")

        return write_flag
    if kind == "address":

        def write_address(value: Any) -> bytes:
            if not isinstance(value, str) or len(value) != 42 or value[:2] != "0x":
                raise NotPlain
            try:
                return bytes(12) + bytes.fromhex(value[2:])
            except ValueError:
                raise NotPlain from None

        return write_address
    return None
