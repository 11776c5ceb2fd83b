"""Pricing: what an answer cost, and what a task may cost before it is sent, in exact integers.

Order of trust: USD in the answer, credits x rate, tokens x table, price per image, the estimate, unknown.
If an answer does not split its tokens, all output counts as image (it nearly is) and all input as text, as in LiteLLM:
one rule that can be checked by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeVar

from ..mode import Mode
from ..money import MILLI, NANO
from ..task import Basis, Charge, Task, Usage
from .model import Model, Tariff, Tokens
from .sizes import SPELLINGS, pixels

Value = TypeVar("Value")

#: The tiers that apply if the user set none.
_QUALITY, _RESOLUTION = "medium", "1K"

#: A source image in input tokens: low, expected, high.  aimlapi's two-image edit shows about 2600 each.
_SOURCE_TOKENS = (300, 1500, 3000)

#: The largest area (pixels) of a resolution: 1024x1024 and the like, 2048x2048 and the like.
_AREAS = {"1k": 1_600_000, "2k": 4_700_000}

#: Megapixels of an image whose size is not known: low, expected, high.  FLUX.2 makes and takes up to four.
_MEGAPIXELS = (1, 1, 4)

#: The area (pixels) to which a table's tokens apply.
_SQUARE = 1024 * 1024

_MILLION = 1_000_000

#: If the provider charges credits, a table of tokens is only an approximation: a twentieth more is reserved.
_CREDIT_MARGIN = 20

#: Fields that affect the price, and that a job may leave to the provider.
_OPTIONAL = ("size", "quality", "resolution")

#: Prices that were read longer ago are stale.
STALE_DAYS = 180


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a task may cost. ``high`` errs on the high side: it is what is reserved before sending."""

    low: Charge
    expected: Charge
    high: Charge


def charge(usage: Usage, task: Task, model: Model, mode: Mode = Mode.STANDARD) -> Charge:
    """Return what an answered attempt cost, and on what basis.

    If the answer contains no images, those that were requested may have been billed. *mode* is how it was bought.
    """
    full = _full_charge(usage, task, model)
    booked = full if full.basis is Basis.REPORTED else _at_factor(full, _factor(usage, model, mode))
    return booked if mode is Mode.STANDARD else replace(booked, standard_usd=_standard_usd(usage, task, model))


def _standard_usd(usage: Usage, task: Task, model: Model) -> int | None:
    """Return the standard price of an answer by the price list; None if that can only be estimated."""
    listed = _full_charge(replace(usage, usd=None, credits=None), task, model)
    return listed.usd if listed.basis is Basis.PRICED else None


def _factor(usage: Usage, model: Model, mode: Mode) -> Decimal | None:
    """Return the factor of the price; None is the standard price.

    The lower price of flex counts only if the answer states that tier: the call may have been carried out in another.
    """
    is_flex = usage.tier == Mode.FLEX
    terms = model.modes.get(Mode.FLEX if is_flex else mode) if is_flex or mode is not Mode.FLEX else None
    return terms.factor if terms else None


def _at_factor(charge: Charge, factor: Decimal | None) -> Charge:
    if factor is None:
        return charge
    usd, used = (None if part is None else _rounded(part * factor) for part in (charge.usd, charge.credits))
    return replace(charge, usd=usd, credits=used)


def _full_charge(usage: Usage, task: Task, model: Model) -> Charge:
    task, tariff = with_assumptions(task, model), model.tariff
    images = usage.images or task.n
    used = usage.credits
    if used is None:
        used = _scaled(_price(tariff.credits_per_image, task), MILLI * images)
    if usage.usd is not None:
        return Charge(usd=usage.usd, credits=used, basis=Basis.REPORTED)
    priced = _credits_usd(used, tariff)
    if priced is None:
        priced = _tokens_usd(usage, tariff.usd_per_million_tokens)
    if priced is None:
        priced = _area_usd(task, tariff, 1, images)
    if priced is None:
        priced = _flat_usd(task, tariff, images)
    if priced is not None:
        return Charge(usd=priced, credits=used, basis=Basis.PRICED)
    guess = estimate(task, model).expected
    return Charge(usd=guess.usd, credits=used, basis=guess.basis)


def reported_charge(usage: Usage, model: Model, mode: Mode = Mode.STANDARD) -> Charge | None:
    """Return the cost that an answer itself states, in USD, credits or tokens; None if it states none.

    For answers that are usually not charged: no price list covers a refusal.
    """
    full = _stated_charge(usage, model)
    return full and (full if full.basis is Basis.REPORTED else _at_factor(full, _factor(usage, model, mode)))


def _stated_charge(usage: Usage, model: Model) -> Charge | None:
    if usage.usd is not None:
        return Charge(usd=usage.usd, credits=usage.credits, basis=Basis.REPORTED)
    priced = _credits_usd(usage.credits, model.tariff)
    if priced is None:
        priced = _tokens_usd(usage, model.tariff.usd_per_million_tokens)
    if priced is None and usage.credits is None:
        return None
    return Charge(usd=priced, credits=usage.credits, basis=Basis.UNKNOWN if priced is None else Basis.PRICED)


def estimate(task: Task, model: Model, mode: Mode = Mode.STANDARD) -> Estimate:
    """Return what *task* may cost at *model*, before it is sent, if it is bought in *mode*."""
    task, terms = with_assumptions(task, model), model.modes.get(mode)
    factor = terms.factor if terms else None
    low, expected, high = (_at_factor(_guess(task, model, level), factor) for level in range(3))
    return Estimate(low=low, expected=expected, high=high)


def highest(task: Task, model: Model, mode: Mode = Mode.STANDARD) -> Charge:
    """Return the high figure of ``estimate``: what is reserved before *task* is sent.

    For flex that is the standard price, which applies if the provider carries the call out in the standard tier.
    """
    terms = model.modes.get(mode) if mode is Mode.BATCH else None
    return _at_factor(_guess(with_assumptions(task, model), model, 2), terms.factor if terms else None)


def with_assumptions(task: Task, model: Model) -> Task:
    """Return *task* as the provider carries it out: unset fields get the value that is sent, or that it documents."""
    rules = model.rules(task.kind)
    defaults: dict[str, Any] = {**model.assumes} | {**(rules.defaults if rules else {})}
    unset = [name for name in _OPTIONAL if name in defaults and getattr(task, name) is None]
    values: dict[str, Any] = {name: str(defaults[name]) for name in unset}
    return replace(task, **values) if values else task


def is_stale(day: str | None, today: date) -> bool:
    """Return whether prices of *day* (YYYY-MM-DD) are old; anything but a date is not."""
    try:
        return day is not None and (today - date.fromisoformat(day)).days > STALE_DAYS
    except ValueError:
        return False


def _guess(task: Task, model: Model, level: int) -> Charge:
    """Return one figure of an estimate; *level* is 0 for low, 1 for expected, 2 for high."""
    tariff = model.tariff
    used = _scaled(_price(tariff.credits_per_image, task, level), MILLI * task.n)
    usd = _credits_usd(used, tariff)
    if usd is None:
        usd = _expected_tokens_usd(task, tariff, level)
    if usd is None:
        usd = _area_usd(task, tariff, level, task.n)
    if usd is None:
        usd = _flat_usd(task, tariff, task.n, level)
    if used is None and usd is not None and tariff.usd_per_credit:
        used = _rounded(Decimal(usd) / NANO / tariff.usd_per_credit * MILLI)
    return Charge(usd=usd, credits=used, basis=Basis.UNKNOWN if usd is None else Basis.ESTIMATED)


def _credits_usd(used: int | None, tariff: Tariff) -> int | None:
    if used is None or tariff.usd_per_credit is None:
        return None
    return _rounded(Decimal(used) * tariff.usd_per_credit * NANO / MILLI)


def _tokens_usd(usage: Usage, table: Tokens | None) -> int | None:
    """Return the price of the tokens in an answer; None if it states none, or if there is no table."""
    tokens_in, tokens_out = usage.input_tokens, usage.output_tokens
    # An answer without an image may have no output; for an answer with one, a 0 is only a default.
    if table is None or tokens_out is None or (not tokens_out and (usage.images or not tokens_in)):
        return None
    text_in, image_in = _split(tokens_in or 0, usage.input_text_tokens, usage.input_image_tokens, rest_is_image=False)
    text_out, image_out = _split(tokens_out, usage.output_text_tokens, usage.output_image_tokens, rest_is_image=True)
    return _table_usd(table, text_in, image_in, text_out, image_out)


def _split(total: int, text: int | None, image: int | None, rest_is_image: bool) -> tuple[int, int]:
    """Return (text, image) tokens; tokens that the answer did not assign count as text, or by *rest_is_image*."""
    if text is None and image is None:
        return (0, total) if rest_is_image else (total, 0)
    if image is None:
        return text or 0, max(0, total - (text or 0))
    return max(text or 0, total - image), image


def _table_usd(table: Tokens, text_in: int, image_in: int, text_out: int, image_out: int) -> int:
    dollars = (
        text_in * table.text_in + image_in * table.image_in + text_out * table.text_out + image_out * table.image_out
    )
    return _rounded(dollars * NANO / _MILLION)


def _expected_tokens_usd(task: Task, tariff: Tariff, level: int) -> int | None:
    table = tariff.usd_per_million_tokens
    output = _output_tokens(task, tariff.output_tokens, level)
    if table is None or output is None:
        return None
    # A token is about four letters of English and, in other scripts, down to one.
    letters = len(task.prompt)
    words = (letters // 6, letters // 4 + 1, letters + 50)[level]
    sources = len(task.images) + (task.mask is not None)
    usd = _table_usd(table, words, sources * _SOURCE_TOKENS[level], 0, output * task.n)
    return usd + usd // _CREDIT_MARGIN if level == 2 and tariff.usd_per_credit else usd


def _area_usd(task: Task, tariff: Tariff, level: int, images: int) -> int | None:
    """Return the price of *images* by their area, and of the source images, whose area is not known here."""
    price = tariff.usd_per_megapixel
    if price is None:
        return None
    area = pixels(task.size)
    megapixels = -(-area // _SQUARE) if area is not None else _MEGAPIXELS[level]
    each = price.first + price.more * max(0, megapixels - 1)
    return _rounded((each * images + price.source * len(task.images) * _MEGAPIXELS[level]) * NANO)


def _output_tokens(task: Task, table: Mapping[str, int], level: int) -> int | None:
    """Return the output tokens of one image: by quality and size if the table has both, or else by area."""
    if not table:
        return None
    quality = _quality(task, level)
    exact = table.get(f"{quality} {(task.size or '').strip().lower()}")
    if exact is not None and level < 2:
        return exact
    base = _lookup(table, task, quality)
    if base is None:
        # A tier that the table lacks (xhigh, max) costs at least as much as its most expensive one.
        base = max(table.values()) * (2 if level == 2 else 1)
    area = pixels(task.size)
    if area is None:
        # "auto", or a ratio: the largest of the standard sizes is half as large again.
        # Tables by resolution have no such spread.
        return base * 3 // 2 if level == 2 and quality in table else base
    # The reservation is never below the square's tokens by area, even if a price list has less for one size.
    return max(exact or 0, _by_area(base, area, level))


def _by_area(base: int, area: int, level: int) -> int:
    """Return *base* scaled to *area*: price lists rise by about an eighth per megapixel; the high level is linear."""
    if level == 2:
        return base * max(area, _SQUARE) // _SQUARE
    if level == 0:
        return base * min(area, _SQUARE * 3 // 4) // _SQUARE
    return base * max(area + 7 * _SQUARE, 8 * _SQUARE) // (8 * _SQUARE)


def _quality(task: Task, level: int) -> str:
    quality = (task.quality or "auto").strip().lower()
    return ("low", _QUALITY, "high")[level] if quality == "auto" else quality


def _price(price: Decimal | Mapping[str, Decimal] | None, task: Task, level: int = 1) -> Decimal | None:
    """Return the price of the requested tier; without a quality the provider uses medium."""
    if price is None or isinstance(price, Decimal):
        return price
    amount = _lookup(price, task, _quality(task, level))
    return max(price.values(), default=None) if amount is None and level == 2 else amount


def _flat_usd(task: Task, tariff: Tariff, images: int, level: int = 1) -> int | None:
    """Return the price of *images* at a price per image, and of the source images if they cost something."""
    usd = _scaled(_price(tariff.usd_per_image, task, level), NANO * images)
    sources = _scaled(tariff.usd_per_source_image, NANO * len(task.images)) or 0
    return None if usd is None else usd + sources


def _lookup(table: Mapping[str, Value], task: Task, quality: str) -> Value | None:
    by_name = {key.lower(): value for key, value in table.items()}
    resolution = _resolution(task)
    names = (f"{quality} {resolution}", resolution, SPELLINGS.get(resolution, resolution), quality)
    return next((by_name[name] for name in names if name in by_name), None)


def _resolution(task: Task) -> str:
    """Return the resolution of a task: the stated one, or that of its size in pixels."""
    area = pixels(task.size)
    if task.resolution or area is None:
        return (task.resolution or _RESOLUTION).strip().lower()
    return next((name for name, most in _AREAS.items() if area <= most), "4k")


def _scaled(amount: Decimal | None, factor: int) -> int | None:
    return None if amount is None else _rounded(amount * factor)


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))
