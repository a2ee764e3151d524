"""The values a scenario file is made of: decimal text, names, and what is said of a bad one.

Owns: the types that the models of the format share. May not: know a model, a file or a chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from breakwater import units


class Part(BaseModel):
    """A part of a scenario file: no unknown key, no conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True)
class Unquoted:
    """A YAML number that is not a plain whole number: kept as its text, never made a float."""

    text: str


def expected(text: str) -> PydanticCustomError:
    """The error of a value that is not what the format wants, with what it does want."""
    return PydanticCustomError("expected", "expected {expected}", {"expected": text})


def decimal_text(value: object) -> object:
    """Decimal text as it came; whole numbers become text, floats are refused."""
    if isinstance(value, Unquoted | float):
        text = value.text if isinstance(value, Unquoted) else repr(value)
        raise expected(f'a decimal string: quote it, "{text}"')
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise expected('a decimal string such as "1.5"')
    if not units.is_decimal(value):
        raise expected('plain decimal text such as "1.5" (no exponent, no NaN, no separators)')
    return value


def _money(text: str) -> str:
    if units.usdc(text) < 0:
        raise expected("USDC, zero or more")
    return text


def _positive_money(text: str) -> str:
    if units.usdc(text) <= 0:
        raise expected("USDC, more than zero")
    return text


def _max_step(value: object) -> object:
    if value is None:
        raise expected('none (no limit) or a fraction such as "0.01"')
    return value if value == "none" else decimal_text(value)


def _max_step_grid(text: str) -> str:
    if text != "none":
        units.fraction_ppm(text)
    return text


def _fraction_grid(text: str) -> str:
    units.fraction_ppm(text)
    return text


_DECIMAL_SCHEMA: Final = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string", "pattern": r"^[+-]?[0-9]+(\.[0-9]+)?$"},
            {"type": "integer"},
        ]
    }
)
DecimalText = Annotated[str, BeforeValidator(decimal_text), _DECIMAL_SCHEMA]
Money = Annotated[DecimalText, AfterValidator(_money)]
PositiveMoney = Annotated[DecimalText, AfterValidator(_positive_money)]
MaxStep = Annotated[
    str,
    BeforeValidator(_max_step),
    AfterValidator(_max_step_grid),
    WithJsonSchema({"type": "string", "pattern": r"^(none|[0-9]+(\.[0-9]+)?)$"}),
]
Fraction = Annotated[DecimalText, AfterValidator(_fraction_grid)]


def _signed_fraction(text: str) -> str:
    if not -1 < Decimal(text) <= 10:
        raise expected('a fraction above -1 and at most 10, such as "-0.4" for a fall of 40%')
    return text


def _share(text: str) -> str:
    if not 0 <= Decimal(text) <= 1:
        raise expected("a share from 0 to 1")
    return text


Move = Annotated[DecimalText, AfterValidator(_signed_fraction)]
"""A relative move: "-0.4" is a fall of 40%."""
Share = Annotated[DecimalText, AfterValidator(_share)]
NAME_PATTERN: Final = "^[A-Za-z][A-Za-z0-9_-]{0,47}$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Symbol = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,15}$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Level = Annotated[list[DecimalText], Field(min_length=2, max_length=2)]
