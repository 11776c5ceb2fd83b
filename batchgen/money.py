"""Money as integers: nano-USD (1e-9 USD) and milli-credits (1e-3 credits).  Values; no I/O.

Floats never carry money.  A JSON number is read through its decimal text, so aimlapi's
``0.0536705`` is 53_670_500 nano-USD exactly.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

NANO = 1_000_000_000
MILLI = 1_000

#: Larger sums in one answer are a provider's mistake or an attack, not a price.
ABSURD = Decimal(1_000_000)

#: No honest amount takes more characters.
_LONGEST = 64
#: No honest whole amount is larger; Python refuses to write out numbers of thousands of digits.
_WHOLE = 10**_LONGEST


def scaled(value: object, scale: int) -> int | None:
    """Return *value* (a number or numeric text) times *scale*, rounded half up; None if it is no sane amount."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    if (isinstance(value, int) and abs(value) > _WHOLE) or (isinstance(value, str) and len(value) > _LONGEST):
        return None
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not number.is_finite() or number < 0 or number > ABSURD * (1 if scale == NANO else NANO):
        return None
    return int((number * scale).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def nano_usd(value: object) -> int | None:
    """Return USD as nano-USD, or None where *value* is no sane amount."""
    return scaled(value, NANO)


def milli_credits(value: object) -> int | None:
    """Return credits as milli-credits, or None where *value* is no sane amount."""
    return scaled(value, MILLI)


def show_usd(nano: int | None) -> str | None:
    """Return nano-USD as a plain decimal string without trailing zeros ("0.536705"); None stays None."""
    return None if nano is None else _plain(Decimal(nano) / NANO)


def show_credits(milli: int | None) -> str | None:
    """Return milli-credits as a plain decimal string ("12", "0.5"); None stays None."""
    return None if milli is None else _plain(Decimal(milli) / MILLI)


def in_words(nano: int | None) -> str:
    """Return an amount of USD for people: cents, and below a dollar up to four digits."""
    if nano is None:
        return "unknown"
    if nano >= NANO or nano == 0:
        return f"${nano / NANO:,.2f}"
    if nano < 50_000:
        return "under $0.0001"
    digits = f"{nano / NANO:.4f}"
    return f"${digits.removesuffix('00') if digits.endswith('00') else digits}"


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
