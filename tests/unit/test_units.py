"""Conversions between decimal text and the venue's integers: exact there and back, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater import units


def test_values_on_the_grid():
    assert units.usdc("12.5") == 12_500_000
    assert units.usdc("-0.000001") == -1
    assert units.usdc("12.500000000") == 12_500_000
    assert units.usdc("-0") == 0
    assert units.lots("78.85", 3) == 78_850
    assert units.lots("-1", 0) == -1
    assert units.ticks("1.688", 3) == 1_688
    assert units.ticks("90000", 5) == 900_000
    assert units.ticks("16777215", 6) == 2**24 - 1
    assert units.fraction_ppm("0.01") == 10_000
    assert units.fraction_ppm("1") == 1_000_000


def test_lots_times_ticks_is_micro_usdc():
    for decimals in range(7):
        assert units.lots("3", decimals) * units.ticks("7", decimals) == units.usdc("21")


def test_formats_have_no_noise():
    assert units.format_usdc(12_500_000) == "12.5"
    assert units.format_usdc(0) == "0"
    assert units.format_usdc(-1) == "-0.000001"
    assert units.format_lots(-100_000, 3) == "-100"
    assert units.format_lots(7, 0) == "7"
    assert units.format_ticks(1_688, 3) == "1.688"
    assert units.format_ticks(5, 6) == "5"


def test_unit_price_is_exact_on_tick_and_rounded_off_it():
    assert units.format_unit_price(-168_800_000, 100_000, 3) == "1.688"
    assert units.format_unit_price(882_000_000, -1_000, 5) == "88200"
    assert units.format_unit_price(1, 3, 0, places=6) == "0"
    assert units.format_unit_price(2_000_000, 3, 0, places=6) == "0.666667"
    with pytest.raises(ValueError, match="size is zero"):
        units.format_unit_price(1, 0, 3)


REFUSED = [
    (lambda: units.ticks("1.6885", 3, "ATOM"), "price 1.6885 is off tick: ATOM ticks are 0.001"),
    (lambda: units.ticks("1.6885", 3), "price 1.6885 is off tick: ticks are 0.001"),
    (lambda: units.lots("1.0005", 3, "ATOM"), "size 1.0005 is off lot: ATOM lots are 0.001"),
    (lambda: units.lots("0.5", 0, "BIG"), "size 0.5 is off lot: BIG lots are 1"),
    (lambda: units.usdc("0.0000001"), "amount 0.0000001 is off grid: USDC is counted in 0.000001"),
    (lambda: units.fraction_ppm("0.0000001"), "fraction 0.0000001 is off grid"),
    (lambda: units.fraction_ppm("1.1"), "fraction 1.1 is out of range: above 0 and at most 1"),
    (lambda: units.fraction_ppm("0"), "out of range"),
    (lambda: units.ticks("0", 3, "ATOM"), "price 0 is below one tick: ATOM ticks are 0.001"),
    (lambda: units.ticks("-1", 3), "price -1 is below one tick"),
    (lambda: units.ticks("16777.216", 3), "price 16777.216 is too large: at most 16777.215"),
    (lambda: units.usdc("9223372036854.775808"), "too large: at most 9223372036854.775807 USDC"),
    (lambda: units.lots("9223372036854775.808", 3), "too large: at most 9223372036854775.807"),
    (lambda: units.usdc("1" * 5000), "too long"),
    (lambda: units.lots("1", 7), "size decimals 7 is out of range"),
    (lambda: units.format_lots(1, -1), "size decimals -1 is out of range"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_refused_with_what_was_given_and_the_grid(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", " ", "NaN", "nan", "inf", "1e5", "1E-2", "1_000", "1,5", "0x10", ".5", "5.", "--1",
             " 1", "1\n", "٣", "1.2.3"]
)  # fmt: skip
@pytest.mark.parametrize(
    "convert", [units.usdc, lambda t: units.lots(t, 3), lambda t: units.ticks(t, 3)]
)
def test_not_plain_decimal_text(convert, text):
    with pytest.raises(units.UnitError, match="is not plain decimal text"):
        convert(text)
    assert not units.is_decimal(text)


@pytest.mark.parametrize("value", [1.5, 1, True, None, b"1"])
def test_not_a_string(value):
    with pytest.raises(units.UnitError, match=f"is a {type(value).__name__}, not a string"):
        units.usdc(value)


@given(st.integers(-units.MAX_MICRO, units.MAX_MICRO))
def test_usdc_there_and_back(micro):
    assert units.usdc(units.format_usdc(micro)) == micro


@given(st.integers(0, 6), st.integers(-units.MAX_LOTS, units.MAX_LOTS), st.integers(1, 2**24 - 1))
def test_lots_and_ticks_there_and_back(decimals, lots, ticks):
    assert units.lots(units.format_lots(lots, decimals), decimals) == lots
    price = units.format_ticks(ticks, decimals)
    assert units.ticks(price, decimals) == ticks
    if lots:
        assert units.format_unit_price(lots * ticks, lots, decimals) == price
