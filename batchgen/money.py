"""Money as integers: nano-USD (1e-9 USD) and milli-credits (1e-3 credits).

Floats never carry money. A JSON number is read through its decimal text, so aimlapi's
``0.0536705`` is exactly 53_670_500 nano-USD.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

NANO = 1_000_000_000
MILLI = 1_000

#: A larger USD amount in one answer is a provider's mistake or an attack, not a price.
MAX_AMOUNT = Decimal(1_000_000)

#: Characters; no plausible amount needs more.
_MAX_LENGTH = 64
#: No plausible integer is larger, and Python refuses to print integers of thousands of digits.
_MAX_INTEGER = 10**_MAX_LENGTH


def parse_amount(value: object, scale: int) -> int | None:
    """Return *value* (a number or numeric text) times *scale*, rounded half up; None if it is not plausible."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    if (isinstance(value, int) and abs(value) > _MAX_INTEGER) or (isinstance(value, str) and len(value) > _MAX_LENGTH):
        return None
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not number.is_finite() or number < 0 or number > MAX_AMOUNT * (1 if scale == NANO else NANO):
        return None
    return int((number * scale).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def nano_usd(value: object) -> int | None:
    """Return an amount of USD as nano-USD; None if *value* is not a plausible amount."""
    return parse_amount(value, NANO)


def milli_credits(value: object) -> int | None:
    """Return credits as milli-credits; None if *value* is not a plausible amount."""
    return parse_amount(value, MILLI)


def share(amount: int | None, number: int, index: int) -> int | None:
    """Return the part of an amount that the image *index* of *number* bears; the parts add up to it exactly."""
    return None if amount is None else amount // number + (index < amount % number)


def show_usd(nano: int | None) -> str | None:
    """Return nano-USD as a decimal string without trailing zeros ("0.536705"); None stays None."""
    return None if nano is None else _plain(Decimal(nano) / NANO)


def show_credits(milli: int | None) -> str | None:
    """Return milli-credits as a decimal string ("12", "0.5"); None stays None."""
    return None if milli is None else _plain(Decimal(milli) / MILLI)


def format_usd(nano: int | None) -> str:
    """Return an amount of USD for display: in cents, or with up to four digits below one dollar."""
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
