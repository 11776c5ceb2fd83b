"""What an answer cost, and what a task may cost before it is sent.  Decisions; exact integers; no I/O.

Order of trust: USD in the answer, credits x rate, tokens x table, price per image, the estimate, unknown.
Where an answer does not split its tokens, all output counts as image (it nearly is) and all input as text, as
LiteLLM does it (``wire.md`` 2.3): one rule that anybody can check by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeVar

from ..money import MILLI, NANO
from ..task import Basis, Charge, Task, Usage
from .profile import Model, Tariff, Tokens
from .sizes import pixels

Value = TypeVar("Value")

#: What a tier is called where the user said nothing.
_QUALITY, _RESOLUTION = "medium", "1K"

#: A source image in input tokens: low, expected, high.  aimlapi's two-image edit shows about 2600 each.
_SOURCE_TOKENS = (300, 1500, 3000)

#: The area (pixels) that a table's tokens are for.
_SQUARE = 1024 * 1024

_MILLION = 1_000_000

#: Where credits are what is charged, a table of tokens comes near it only: what is reserved is a twentieth more.
_NEAR = 20

#: What a price depends on, and a job may leave to the provider.
_LEFT_OPEN = ("size", "quality", "resolution")

#: Prices that were read longer ago are called old.
STALE_DAYS = 180


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a task may cost.  ``high`` errs high: it is what is reserved before sending."""

    low: Charge
    expected: Charge
    high: Charge


def charge(usage: Usage, task: Task, model: Model) -> Charge:
    """Return what an answered attempt cost, and how well that is known.

    Where an answer counted no images, those asked for are what may have been billed.
    """
    task, tariff = with_assumptions(task, model), model.tariff
    images = usage.images or task.n
    used = (
        usage.credits if usage.credits is not None else _scaled(_tier(tariff.credits_per_image, task), MILLI * images)
    )
    if usage.usd is not None:
        return Charge(usd=usage.usd, credits=used, basis=Basis.REPORTED)
    priced = _credits_usd(used, tariff)
    if priced is None:
        priced = _tokens_usd(usage, tariff.usd_per_million_tokens)
    if priced is None:
        priced = _scaled(_tier(tariff.usd_per_image, task), NANO * images)
    if priced is not None:
        return Charge(usd=priced, credits=used, basis=Basis.PRICED)
    guess = estimate(task, model).expected
    return Charge(usd=guess.usd, credits=used, basis=guess.basis)


def reported_charge(usage: Usage, model: Model) -> Charge | None:
    """Return what an answer itself says it cost, in USD, credits or tokens; None where it says nothing of it.

    For answers that are not charged as a rule: no price list says what a refusal costs.
    """
    if usage.usd is not None:
        return Charge(usd=usage.usd, credits=usage.credits, basis=Basis.REPORTED)
    priced = _credits_usd(usage.credits, model.tariff)
    if priced is None:
        priced = _tokens_usd(usage, model.tariff.usd_per_million_tokens)
    if priced is None and usage.credits is None:
        return None
    return Charge(usd=priced, credits=usage.credits, basis=Basis.UNKNOWN if priced is None else Basis.PRICED)


def estimate(task: Task, model: Model) -> Estimate:
    """Return what *task* may cost at *model*, before it is sent."""
    task = with_assumptions(task, model)
    return Estimate(low=_guess(task, model, 0), expected=_guess(task, model, 1), high=_guess(task, model, 2))


def with_assumptions(task: Task, model: Model) -> Task:
    """Return *task* as the provider carries it out: with what is sent, or documented, for what the job leaves open."""
    rules = model.rules(task.kind)
    known: dict[str, Any] = {**model.assumes} | {**(rules.defaults if rules else {})}
    open_ = [name for name in _LEFT_OPEN if name in known and getattr(task, name) is None]
    taken: dict[str, Any] = {name: str(known[name]) for name in open_}
    return replace(task, **taken) if taken else task


def is_stale(said: str | None, today: date) -> bool:
    """Tell whether prices of the day *said* (YYYY-MM-DD) are old; what is no date is not."""
    try:
        return said is not None and (today - date.fromisoformat(said)).days > STALE_DAYS
    except ValueError:
        return False


def _guess(task: Task, model: Model, level: int) -> Charge:
    """Return one figure of an estimate; *level* is 0 for low, 1 for expected, 2 for high."""
    tariff = model.tariff
    used = _scaled(_at_level(tariff.credits_per_image, task, level), MILLI * task.n)
    usd = _credits_usd(used, tariff)
    if usd is None:
        usd = _expected_tokens_usd(task, tariff, level)
    if usd is None:
        usd = _scaled(_at_level(tariff.usd_per_image, task, level), NANO * task.n)
    if used is None and usd is not None and tariff.usd_per_credit:
        used = _rounded(Decimal(usd) / NANO / tariff.usd_per_credit * MILLI)
    return Charge(usd=usd, credits=used, basis=Basis.UNKNOWN if usd is None else Basis.ESTIMATED)


def _credits_usd(used: int | None, tariff: Tariff) -> int | None:
    if used is None or tariff.usd_per_credit is None:
        return None
    return _rounded(Decimal(used) * tariff.usd_per_credit * NANO / MILLI)


def _tokens_usd(usage: Usage, table: Tokens | None) -> int | None:
    """Return the price of the tokens an answer stated; None where it stated none, or no table is known."""
    came, went = usage.input_tokens, usage.output_tokens
    # an answer without a picture may well have no output; beside a picture a 0 says nothing
    if table is None or went is None or (not went and (usage.images or not came)):
        return None
    text_in, image_in = _split(came or 0, usage.input_text_tokens, usage.input_image_tokens, rest_is_image=False)
    text_out, image_out = _split(went, usage.output_text_tokens, usage.output_image_tokens, rest_is_image=True)
    return _table_usd(table, text_in, image_in, text_out, image_out)


def _split(total: int, text: int | None, image: int | None, rest_is_image: bool) -> tuple[int, int]:
    """Return (text, image) tokens; of what the answer did not assign, text tokens are whatever is not image."""
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
    return usd + usd // _NEAR if level == 2 and tariff.usd_per_credit else usd


def _output_tokens(task: Task, table: Mapping[str, int], level: int) -> int | None:
    """Return the output tokens of one image: by quality and size where the table has both, else by area."""
    if not table:
        return None
    quality = _quality(task, level)
    exact = table.get(f"{quality} {(task.size or '').strip().lower()}")
    if exact is not None and level < 2:
        return exact
    base = _lookup(table, task, quality)
    if base is None:
        # A tier the table lacks (xhigh, max) costs at least its dearest one.
        base = max(table.values()) * (2 if level == 2 else 1)
    area = pixels(task.size)
    if area is None:
        # "auto", or a ratio: the largest of the standard sizes is half as large again.
        # Tables by resolution have no such spread.
        open_size = level == 2 and quality in table
        return base * 3 // 2 if open_size else base
    # what is reserved is never less than the square's tokens by area, whatever a price list says of one size
    return max(exact or 0, _by_area(base, area, level))


def _by_area(base: int, area: int, level: int) -> int:
    """Return *base* scaled to *area*: price lists rise by about an eighth per megapixel; high takes it as linear."""
    if level == 2:
        return base * max(area, _SQUARE) // _SQUARE
    if level == 0:
        return base * min(area, _SQUARE * 3 // 4) // _SQUARE
    return base * max(area + 7 * _SQUARE, 8 * _SQUARE) // (8 * _SQUARE)


def _quality(task: Task, level: int) -> str:
    said = (task.quality or "auto").strip().lower()
    return ("low", _QUALITY, "high")[level] if said == "auto" else said


def _tier(price: Decimal | Mapping[str, Decimal] | None, task: Task) -> Decimal | None:
    """Return the price for what was asked; a provider that is told no quality takes medium."""
    if price is None or isinstance(price, Decimal):
        return price
    return _lookup(price, task, _quality(task, 1))


def _at_level(price: Decimal | Mapping[str, Decimal] | None, task: Task, level: int) -> Decimal | None:
    if price is None or isinstance(price, Decimal):
        return price
    found = _lookup(price, task, _quality(task, level))
    if found is None and level == 2:
        found = max(price.values(), default=None)
    return found


def _lookup(table: Mapping[str, Value], task: Task, quality: str) -> Value | None:
    by_name = {key.lower(): value for key, value in table.items()}
    resolution = (task.resolution or _RESOLUTION).strip().lower()
    return by_name.get(resolution, by_name.get(quality))


def _scaled(amount: Decimal | None, factor: int) -> int | None:
    return None if amount is None else _rounded(amount * factor)


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))
