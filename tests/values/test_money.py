"""Amounts: exact, and nothing insane becomes money."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.money import MILLI, NANO, milli_credits, nano_usd, show_credits, show_usd


@pytest.mark.parametrize(
    ("value", "nano"),
    [
        (0, 0),
        (0.0536705, 53_670_500),
        ("0.0536705", 53_670_500),
        (" 1.5 ", 1_500_000_000),
        (Decimal("0.000000001"), 1),
        ("0.0000000005", 1),
        ("0.0000000004", 0),
        (1e-7, 100),
        (json.loads("0.1") + 0, 100_000_000),
        (1_000_000, 1_000_000 * NANO),
    ],
)
def test_an_amount_is_read_through_its_decimal_text(value, nano):
    assert nano_usd(value) == nano


@pytest.mark.parametrize(
    "value",
    [None, True, False, "", "abc", "1,5", "$1", -0.01, "-1", float("nan"), float("inf"), "NaN", "-Infinity", "sNaN",
     1_000_001, "1e400", 10**400, pytest.param(10**5000, id="5000 digits"),
     pytest.param("9" * 100_000, id="100000 digits"), Decimal("1e999999"), Decimal("NaN"), [], {}, b"1", 1j],
)  # fmt: skip
def test_what_is_no_sane_amount_is_unknown_and_never_zero(value):
    assert nano_usd(value) is None


def test_credits_may_be_many_more_than_dollars():
    assert milli_credits(107_341) == 107_341_000
    assert milli_credits("1073410.5") == 1_073_410_500
    assert milli_credits(10**16) is None


@pytest.mark.parametrize(
    ("nano", "text"),
    [(None, None), (0, "0"), (536_705_000, "0.536705"), (1, "0.000000001"), (NANO, "1"), (120 * NANO, "120"),
     (1_500_000_000, "1.5"), (10**17, "100000000"), (-250_000_000, "-0.25")],
)  # fmt: skip
def test_usd_shows_as_a_plain_decimal(nano, text):
    assert show_usd(nano) == text


@pytest.mark.parametrize(
    ("milli", "text"), [(None, None), (0, "0"), (500, "0.5"), (12_000, "12"), (1_073_410_000, "1073410")]
)
def test_credits_show_as_a_plain_decimal(milli, text):
    assert show_credits(milli) == text


@given(st.integers(min_value=0, max_value=1_000_000 * NANO))
def test_usd_survives_its_own_text(nano):
    assert nano_usd(show_usd(nano)) == nano
    assert Decimal(show_usd(nano) or "x") * NANO == nano


@given(st.integers(min_value=0, max_value=10**15))
def test_credits_survive_their_own_text(milli):
    assert milli_credits(show_credits(milli)) == milli
    assert Decimal(show_credits(milli) or "x") * MILLI == milli


@given(st.decimals(min_value=0, max_value=1000, places=9))
def test_text_and_decimal_agree(amount):
    assert nano_usd(str(amount)) == nano_usd(amount) == int(amount * NANO)
