"""The ABI of fixed-size words, decoded and encoded without ceremony.

Nearly everything the venue says is numbers, flags and addresses of one 32-byte word each, alone, in
structs, or in one list of these. A general ABI codec takes twenty times as long for them, and a run
of a crash is mostly this. Owns the quick way and nothing else: whatever is not plain, or does not
fit its type, is left to the general codec, which then says what is wrong.

Each codec is a function written out for its types and compiled once, as `namedtuple` does it: a
tree of closures spends most of its time on calling itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

_WORD: Final = 32
_NUMBER = re.compile(r"(u?)int([0-9]+)")
Entry = Mapping[str, Any]


class NotPlain(Exception):
    """A value or an answer for the general codec."""


class _Reader:
    """Lines of code that read the words of some entries, as they are collected."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.words = 0

    def value(self, entry: Entry, word: str) -> str | None:
        """Adds what reads an entry and gives the expression of its value; None if the type is no
        fixed words. `word` is the source of a word's bytes with a place for where it begins."""
        kind: str = entry["type"]
        if kind == "tuple":
            parts = [self.value(component, word) for component in entry["components"]]
            if None in parts:
                return None
            return f"({''.join(f'{part}, ' for part in parts)})"
        raw = word.format(start=self.words * _WORD, end=(self.words + 1) * _WORD)
        name = f"v{self.words}"
        checks = _checks(kind, name)
        if checks is None:
            return None
        self.words += 1
        self.lines += [f"{name} = number({raw}, 'big')", *checks]
        return f"checksum(f'0x{{{name}:040x}}')" if kind == "address" else name


def _checks(kind: str, name: str) -> list[str] | None:
    """What a word must meet to be a value of this type, and what makes it one."""
    refuse = "    raise NotPlain"
    number = _NUMBER.fullmatch(kind)
    if number is not None:
        bits = int(number[2])
        if number[1]:
            return [f"if {name} >> {bits}:", refuse] if bits < 256 else []
        # From the sign bit on a word is negative; what then is too low did not fit.
        top = 1 << (bits - 1)
        least = [f"    if {name} < {-top}:", f"    {refuse}"]
        return [f"if {name} >= {top}:", f"    {name} -= {1 << 256}", *least]
    if kind == "bool":
        return [f"if {name} > 1:", refuse, f"{name} = {name} == 1"]
    if kind == "address":
        return [f"if {name} >> 160:", refuse]
    return None


def _compiled(head: str, lines: Sequence[str], **names: Any) -> Any:
    """The function with this head and body; `names` are what it knows besides."""
    scope: dict[str, Any] = {"number": int.from_bytes, "NotPlain": NotPlain, **names}
    exec("\n    ".join([f"def made({head}):", *lines]), scope)
    return scope["made"]


def _same(text: str) -> str:
    return text


def decoder(entries: Sequence[Entry]) -> Callable[[bytes], tuple[Any, ...]] | None:
    """From raw data to the values of these entries (as the general codec gives them), or None if
    they are not all plain. The decoder raises NotPlain for data that it leaves to that codec."""
    reader = _Reader()
    if len(entries) == 1 and entries[0]["type"].endswith("[]"):
        element = {**entries[0], "type": entries[0]["type"][:-2]}
        value = reader.value(element, "data[at + {start}:at + {end}]")
        if value is None:
            return None
        size = reader.words * _WORD
        lines = [
            "offset, length = number(data[:32], 'big'), number(data[32:64], 'big')",
            f"if offset != 32 or len(data) < 64 or length * {size} > len(data) - 64:",
            "    raise NotPlain",
            "out = []",
            f"for at in range(64, 64 + length * {size}, {size}):",
            *(f"    {line}" for line in reader.lines),
            f"    out.append({value})",
            "return (tuple(out),)",
        ]
        made: Callable[[bytes], tuple[Any, ...]] = _compiled("data", lines, checksum=_same)
        return made
    whole = reader.value({"type": "tuple", "components": entries}, "data[{start}:{end}]")
    if whole is None:
        return None
    lines = [
        f"if len(data) < {reader.words * _WORD}:",
        "    raise NotPlain",
        *reader.lines,
        f"return {whole}",
    ]
    made = _compiled("data", lines, checksum=_same)
    return made


def log_decoder(
    entries: Sequence[Entry], checksum: Callable[[str], str]
) -> Callable[[Sequence[bytes], bytes], dict[str, Any]] | None:
    """From the topics and data of a log to the values of an event's entries by name, or None if
    they are not single words. Raises NotPlain as the others do. Addresses go through `checksum`."""
    lines: list[str] = []
    values: list[str] = []
    places = {True: 1, False: 0}
    for number, entry in enumerate(entries):
        name, kind, indexed = f"v{number}", entry["type"], bool(entry["indexed"])
        checks = _checks(kind, name)
        if checks is None:
            return None
        place = places[indexed]
        places[indexed] += 1
        raw = f"topics[{place}]" if indexed else f"data[{place * _WORD}:{(place + 1) * _WORD}]"
        lines += [f"{name} = number({raw}, 'big')", *checks]
        value = f"checksum(f'0x{{{name}:040x}}')" if kind == "address" else name
        values.append(f"{entry['name']!r}: {value}")
    head = [
        f"if len(topics) != {places[True]} or len(data) < {places[False] * _WORD}:",
        "    raise NotPlain",
    ]
    made: Callable[[Sequence[bytes], bytes], dict[str, Any]] = _compiled(
        "topics, data", [*head, *lines, f"return {{{', '.join(values)}}}"], checksum=checksum
    )
    return made


def encoder(entries: Sequence[Entry]) -> Callable[[Sequence[Any]], bytes] | None:
    """From plain values to call data without the selector, or None if the entries are not single
    words or lists of them. The encoder raises NotPlain for values that it leaves to the general
    codec."""
    lines: list[str] = []
    head: list[str] = []
    tail: list[str] = []
    offset = str(len(entries) * _WORD)
    for place, entry in enumerate(entries):
        kind: str = entry["type"]
        name = f"v{place}"
        lines.append(f"{name} = values[{place}]")
        if not kind.endswith("[]"):
            written = _written(kind, name)
            if written is None:
                return None
            lines += written[0]
            head.append(written[1])
            continue
        written = _written(kind[:-2], "item")
        if written is None:
            return None
        lines += [
            f"if not isinstance({name}, (list, tuple)):",
            "    raise NotPlain",
            f"words{place} = [len({name}).to_bytes(32, 'big')]",
            f"for item in {name}:",
            *(f"    {line}" for line in written[0]),
            f"    words{place}.append({written[1]})",
        ]
        head.append(f"({offset}).to_bytes(32, 'big')")
        tail.append(f"*words{place}")
        offset += f" + len(words{place}) * 32"
    lines.append(f"return b''.join([{', '.join(head + tail)}])")
    made: Callable[[Sequence[Any]], bytes] = _compiled("values", lines, address=_address)
    return made


def _written(kind: str, name: str) -> tuple[list[str], str] | None:
    """What a value of this type must meet, and the expression of its word."""
    number = _NUMBER.fullmatch(kind)
    if number is not None:
        bits, signed = int(number[2]), not number[1]
        low = -(1 << (bits - 1)) if signed else 0
        high = 1 << (bits - 1 if signed else bits)
        checks = [f"if type({name}) is not int or not {low} <= {name} < {high}:"]
        word = f"{name}.to_bytes(32, 'big', signed={signed})"
    elif kind == "bool":
        checks, word = [f"if type({name}) is not bool:"], f"{name}.to_bytes(32, 'big')"
    elif kind == "address":
        checks = [f"if type({name}) is not str or len({name}) != 42 or {name}[:2] != '0x':"]
        word = f"address({name})"
    else:
        return None
    return [*checks, "    raise NotPlain"], word


def _address(text: str) -> bytes:
    try:
        return bytes(12) + bytes.fromhex(text[2:])
    except ValueError:
        raise NotPlain from None
