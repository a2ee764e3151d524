"""Random numbers that a seed and a name determine, for ever.

Owns the choice of bit generator: PCG64, whose stream numpy keeps fixed, and uniform draws only (the
top 53 bits of each word over 2^53). Nothing here depends on the order in which parts of a scenario
are drawn: each part has a stream of its own, named after it.
"""

from __future__ import annotations

from zlib import crc32

from numpy.random import PCG64, Generator, SeedSequence


def generator(seed: int, name: str) -> Generator:
    """The stream of uniform numbers that belongs to `name` in a scenario with this seed."""
    return Generator(PCG64(SeedSequence([seed, crc32(name.encode())])))
