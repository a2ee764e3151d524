"""Exact conversion between decimal text and the integers the venue counts in.

Owns: the grids (micro-USDC, lots, ticks) and every step between text and integers.
May not: use floats, round on the way in, or know about scenarios, results or chains.

A market with ``size_decimals`` d has lots of 10^-d units and ticks of 10^-(6-d) USDC, so
``lots * ticks`` is an exact integer of micro-USDC.
"""

from __future__ import annotations

import re
from typing import Final

USDC_DECIMALS: Final = 6
MAX_SIZE_DECIMALS: Final = 6
MAX_TICKS: Final = 2**24 - 1
MAX_LOTS: Final = 2**63 - 1
MAX_MICRO: Final = 2**63 - 1

_DECIMAL = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?")
_LONGEST = 60


class UnitError(ValueError):
    """Text that is not an amount on the grid.

    ``expected`` says in a few words which grid was expected; the message says all of it.
    """

    def __init__(self, message: str, expected: str) -> None:
        super().__init__(message)
        self.expected = expected


def is_decimal(value: object) -> bool:
    """True if ``value`` is plain decimal text: digits, one sign, one point, no exponent."""
    return isinstance(value, str) and _DECIMAL.fullmatch(value) is not None


def _scaled(value: object, decimals: int, noun: str, off: str, expected: str, grid: str) -> int:
    """``value * 10**decimals`` as an integer, or UnitError if that is not a whole number."""
    wanted = f'a decimal string such as "{"1.5" if decimals else "2"}"'
    if not isinstance(value, str):
        raise UnitError(
            f"{noun} {value!r} is a {type(value).__name__}, not a string: write it as {wanted}",
            wanted,
        )
    shown = value if len(value) <= _LONGEST else value[:_LONGEST] + "..."
    match = _DECIMAL.fullmatch(value)
    if match is None:
        raise UnitError(
            f'{noun} "{shown}" is not plain decimal text (digits and one point, '
            f"no exponent, no NaN): {grid}",
            wanted,
        )
    if len(value) > _LONGEST:
        raise UnitError(
            f"{noun} {shown} is too long: at most {_LONGEST} characters; {grid}",
            f"at most {_LONGEST} characters",
        )
    sign, whole, fraction = match.group(1), match.group(2), (match.group(3) or "").rstrip("0")
    if len(fraction) > decimals:
        raise UnitError(f"{noun} {shown} is {off}: {grid}", expected)
    number = int(whole + fraction.ljust(decimals, "0"))
    return -number if sign == "-" else number


def _check_size_decimals(size_decimals: int) -> None:
    if type(size_decimals) is not int or not 0 <= size_decimals <= MAX_SIZE_DECIMALS:
        raise UnitError(
            f"size decimals {size_decimals!r} is out of range: "
            f"a whole number from 0 to {MAX_SIZE_DECIMALS}",
            f"a whole number from 0 to {MAX_SIZE_DECIMALS}",
        )


def usdc(amount: str) -> int:
    """USDC as text to signed micro-USDC: ``usdc("12.5") == 12_500_000``.

    Raises UnitError (a ValueError) for anything but plain decimal text on the grid of 0.000001.
    """
    step = format_scaled(1, USDC_DECIMALS)
    grid = f"USDC is counted in {step}"
    micro = _scaled(amount, USDC_DECIMALS, "amount", "off grid", f"a multiple of {step}", grid)
    if abs(micro) > MAX_MICRO:
        limit = format_usdc(MAX_MICRO)
        raise UnitError(f"amount {amount} is too large: at most {limit} USDC", f"at most {limit}")
    return micro


def lots(size: str, size_decimals: int, market: str = "") -> int:
    """Size in units as text to signed lots of 10^-size_decimals units.

    ``market`` only names the market in errors. Raises UnitError if the size is off lot.
    """
    _check_size_decimals(size_decimals)
    step = format_scaled(1, size_decimals)
    grid = f"{market} lots are {step}".strip()
    count = _scaled(size, size_decimals, "size", "off lot", f"a multiple of {step}", grid)
    if abs(count) > MAX_LOTS:
        limit = format_lots(MAX_LOTS, size_decimals)
        raise UnitError(f"size {size} is too large: at most {limit} ({grid})", f"at most {limit}")
    return count


def ticks(price: str, size_decimals: int, market: str = "") -> int:
    """Price in USDC as text to ticks of 10^-(6 - size_decimals) USDC, 1 to 2^24 - 1.

    ``market`` only names the market in errors. Raises UnitError if the price is off tick, below
    one tick or above the largest.
    """
    _check_size_decimals(size_decimals)
    decimals = USDC_DECIMALS - size_decimals
    step = format_scaled(1, decimals)
    grid = f"{market} ticks are {step}".strip()
    count = _scaled(price, decimals, "price", "off tick", f"a multiple of {step}", grid)
    if count < 1:
        raise UnitError(f"price {price} is below one tick: {grid}", f"at least {step}")
    if count > MAX_TICKS:
        limit = format_ticks(MAX_TICKS, size_decimals)
        raise UnitError(f"price {price} is too large: at most {limit} ({grid})", f"at most {limit}")
    return count


def fraction_ppm(fraction: str) -> int:
    """A fraction as text to parts per million: ``fraction_ppm("0.01") == 10_000``.

    Raises UnitError off the grid of 0.000001 or outside 0 < fraction <= 1.
    """
    grid = "fractions are counted in 0.000001"
    ppm = _scaled(fraction, 6, "fraction", "off grid", "a multiple of 0.000001", grid)
    if not 0 < ppm <= 1_000_000:
        raise UnitError(
            f"fraction {fraction} is out of range: above 0 and at most 1", "above 0 and at most 1"
        )
    return ppm


def format_scaled(number: int, decimals: int) -> str:
    """``number / 10**decimals`` as the shortest exact decimal text, never ``-0``."""
    sign = "-" if number < 0 else ""
    digits = str(abs(number)).rjust(decimals + 1, "0")
    whole, fraction = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    fraction = fraction.rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def format_usdc(micro: int) -> str:
    """Micro-USDC to USDC as exact text: ``format_usdc(12_500_000) == "12.5"``."""
    return format_scaled(micro, USDC_DECIMALS)


def grouped(text: str) -> str:
    """Decimal text with thousands separators; any other text as it is."""
    if not is_decimal(text):
        return text
    sign = "-" if text.startswith("-") else ""
    whole, point, fraction = text.lstrip("+-").partition(".")
    return f"{sign}{int(whole):,}{point}{fraction}"


def format_lots(count: int, size_decimals: int) -> str:
    """Lots to units as exact text."""
    _check_size_decimals(size_decimals)
    return format_scaled(count, size_decimals)


def format_ticks(count: int, size_decimals: int) -> str:
    """Ticks to USDC as exact text."""
    _check_size_decimals(size_decimals)
    return format_scaled(count, USDC_DECIMALS - size_decimals)


def format_unit_price(quote_micro: int, count: int, size_decimals: int, places: int = 12) -> str:
    """Price per unit of ``count`` lots for ``quote_micro``, both without regard to their sign.

    For results only: an average or a bankruptcy price may lie off tick, so it is rounded half up
    at ``places`` decimals; at a tick price it is exact. Raises ValueError for a count of zero.
    """
    _check_size_decimals(size_decimals)
    if count == 0:
        raise ValueError("no price per unit: the size is zero")
    # quote / 10^6 over count / 10^d, scaled by 10^places
    numerator = abs(quote_micro) * 10 ** (size_decimals + places)
    denominator = abs(count) * 10**USDC_DECIMALS
    return format_scaled((2 * numerator + denominator) // (2 * denominator), places)
