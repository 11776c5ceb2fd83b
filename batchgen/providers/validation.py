"""Validation: fits a task to a model's rules, and reports what the provider would refuse before money is spent.

``check`` and ``wire_fields`` both use ``fit``, so what is checked is what is sent.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from ..errors import suggest
from ..mode import Mode
from ..task import Kind, Source, Task
from . import dialect_names
from .mode_rules import lacks_every_mode
from .model import Model, Rules
from .profile import Profile, UnknownModel
from .sizes import SPELLINGS, fit_size, pixels

#: Task fields that a model may allow; size and n have rules of their own.
OPTIONAL = ("quality", "resolution", "background", "output_format", "output_compression", "moderation", "seed")

#: Fields that a default may set for providers that do not have them: they are not sent there.
DROPPABLE = frozenset({*OPTIONAL, "size"})

#: Fields that are dropped for a provider that does not take them, because the picture is the same without: how strictly
#: a prompt is moderated, and how large the file is.
HARMLESS = ("moderation", "output_compression")

#: Keys that ``extra`` must not set, and the field to use instead. ``stream`` would change the format of the answer.
_RESERVED = {
    "model": "model",
    "prompt": "prompt",
    "messages": "prompt",
    "n": "n",
    "size": "size",
    "image": "images",
    "images": "images",
    "mask": "mask",
    "stream": "",
    "partial_images": "",
}

_SURROGATE = re.compile("[\ud800-\udfff]")

#: Other spellings of values, which count where the provider does not know the first.
_SYNONYMS = {"output_format": {"jpg": "jpeg"}, "resolution": SPELLINGS}


@dataclass(frozen=True, slots=True)
class UnsupportedRequest:
    """One reason for which the provider would refuse a task."""

    field: str  #: the manifest key, such as "size"
    message: str
    hint: str = ""
    absent: bool = False  #: the provider has no such parameter, so that nothing would be sent


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedTask:
    """The optional fields of one request as they are sent, and what does not fit."""

    fields: dict[str, Any]
    problems: tuple[UnsupportedRequest, ...]


def check(task: Task, profile: Profile) -> tuple[UnsupportedRequest, ...]:
    """Return everything *profile* would refuse about *task*; empty means it may be sent."""
    try:
        name, model = profile.find(task.model)
    except UnknownModel as error:
        if retired := profile.retired.get(task.model.rpartition("/")[2]):
            meant, misfit = retired.successor, _discontinued(profile, task.model, retired.ends, retired.successor)
        else:
            meant = error.suggestion
            hint = f"write model: {meant}" if meant else f"see `batchgen providers prices {profile.name}`"
            misfit = UnsupportedRequest("model", str(error), hint)
        return (misfit, *_certain(task, profile, meant))
    dialect = model.dialect or profile.dialect
    if dialect not in dialect_names():
        message = f"{profile.name}: there is no dialect {dialect!r}"
        return (UnsupportedRequest("provider", message, f"known: {', '.join(dialect_names())}"),)
    rules = model.rules(task.kind)
    if rules is None:
        able = [title for title, other in profile.models.items() if other.rules(task.kind)]
        message = f"{profile.name} cannot {task.kind} with {name}"
        hint = f"use model {able[0]}" if able else f"choose a provider that can {task.kind}"
        return (UnsupportedRequest("images", message, hint),)
    return (
        *_check_modes(profile, name, model),
        *_check_prompt(task, rules),
        *_check_sources(task, rules),
        *_check_urls(task.images, profile, dialect),
        *fit(task, rules, f"{profile.name} ({name})").problems,
    )


def _check_modes(profile: Profile, name: str, model: Model) -> Iterator[UnsupportedRequest]:
    """Report a model that has none of the modes that the provider's settings name."""
    if lacks_every_mode(profile, model):
        modes = [step.mode for step in profile.modes]
        able = [title for title, other in profile.models.items() if set(modes) & set(other.offered)]
        message = f"{profile.name} has {name} in the mode {' or '.join(model.offered)} only, and modes: has {modes[0]}"
        hint = f"add standard to the modes of {profile.name}, or use {' or '.join(able)}"
        yield UnsupportedRequest("model", message, hint)


def as_sent(task: Task, model: Model) -> Task:
    """Return *task* without the fields that the model's rules have no place for, which are not sent."""
    rules = model.rules(task.kind)
    if rules is None:
        return task
    absent: dict[str, Any] = {
        name: None for name in OPTIONAL if name not in rules.fields and getattr(task, name) is not None
    }
    if rules.size.mode == "none" and task.size is not None:
        absent["size"] = None
    return replace(task, **absent) if absent else task


def _certain(task: Task, profile: Profile, meant: str | None) -> Iterator[UnsupportedRequest]:
    """Yield what does not fit whatever model is meant by an unknown one: *meant*, or any if that is None."""
    names = [meant] if meant is not None and meant in profile.models else list(profile.models)
    first, *others = [check(replace(task, model=name), profile) for name in names]
    fields = set[str]({misfit.field for misfit in first}).intersection(*({m.field for m in ms} for ms in others))
    yield from (misfit for misfit in first if misfit.field in fields)


def unforgiven(misfits: Iterable[UnsupportedRequest], fields: Container[str]) -> tuple[UnsupportedRequest, ...]:
    """Return *misfits* except those of *fields* that the provider does not have, which may be left out."""
    return tuple(misfit for misfit in misfits if not (misfit.absent and misfit.field in fields))


def discontinued(task: Task, profile: Profile, today: date) -> tuple[UnsupportedRequest, ...]:
    """Return why *profile* does not offer the model of *task* any more on the day *today*; empty if it does."""
    name, model = profile.find(task.model)
    if model.ends is None or today < date.fromisoformat(model.ends):
        return ()
    return (_discontinued(profile, name, model.ends, model.successor),)


def _discontinued(profile: Profile, model: str, day: str, successor: str | None) -> UnsupportedRequest:
    message = f"{profile.name} has not offered {model} since {day}"
    return UnsupportedRequest("model", message, f"write model: {successor}" if successor else "")


def translate(task: Task, profile: Profile) -> Task:
    """Return *task* in the terms of *profile*: its name for the model, and without harmless fields it does not take.

    Sizes, spellings and formats are fitted when the request is made; ``check`` reports whatever still does not fit.
    """
    try:
        name, model = profile.find(task.model or None)
    except UnknownModel:
        return replace(task, provider=profile.name)
    rules = model.rules(task.kind)
    changes: dict[str, Any] = {
        field: None for field in HARMLESS if rules and getattr(task, field) is not None and field not in rules.fields
    }
    if (task.provider, task.model) != (profile.name, name):
        changes |= {"provider": profile.name, "model": name}
    return replace(task, **changes) if changes else task


def wire_fields(task: Task, model: Model, rules: Rules) -> dict[str, Any]:
    """Return the body's fields except prompt and images, under the provider's names, and then ``extra`` unchanged."""
    fields = {rules.names.get(name, name): value for name, value in fit(task, rules, model.wire).fields.items()}
    return {"model": model.wire, **rules.sends, **fields, **task.extra}


def fit(task: Task, rules: Rules, who: str) -> FittedTask:
    """Return the optional fields of *task* that the user set or the provider requires, in the provider's spelling."""
    fields: dict[str, Any] = {}
    problems = [*_check_count(task, rules, who), *_check_extra(task, rules, who)]
    if task.n > 1 or "n" in rules.defaults:
        fields["n"] = task.n
    size, problem = fit_size(task.size, rules.size, who)
    size = rules.defaults.get("size") if size is None else size
    if size is not None:
        fields["size"] = size
    if problem:
        problems.append(UnsupportedRequest("size", *problem, absent=rules.size.mode == "none"))
    for name in OPTIONAL:
        value, misfit = _fit_value(name, getattr(task, name), rules, who)
        value = rules.defaults.get(name) if value is None else value
        if value is not None:
            fields[name] = value
        if misfit:
            problems.append(misfit)
    problems.extend(_check_combination(fields))
    problems.extend(_check_names(fields, rules, who))
    return FittedTask(fields=fields, problems=tuple(problems))


def _fit_value(name: str, value: object, rules: Rules, who: str) -> tuple[object, UnsupportedRequest | None]:
    """Return the value in the provider's spelling; "auto" is left out if the provider does not know the word."""
    if value is None:
        return None, None
    allowed = rules.values.get(name)
    word = str(value).strip().lower()
    words = (word, _SYNONYMS.get(name, {}).get(word, word))
    if name not in rules.fields:
        if word == "auto":
            return None, None
        return None, UnsupportedRequest(name, f"{who} takes no {name}", f"omit {name} for this provider", absent=True)
    if allowed is None:
        return value, None
    choices = {str(choice).lower(): choice for choice in reversed(allowed)}
    if spelled := next((each for each in words if each in choices), None):
        return choices[spelled], None
    if word == "auto":
        return None, None
    hint = suggest(word, allowed, f"one of: {', '.join(map(str, allowed))}")
    return None, UnsupportedRequest(name, f"{who} does not know {name} {value!r}", hint)


def _check_combination(fields: dict[str, Any]) -> Iterator[UnsupportedRequest]:
    """Check values that depend on each other."""
    file_format = fields.get("output_format")
    if fields.get("background") == "transparent" and file_format == "jpeg":
        yield UnsupportedRequest("background", "JPEG has no transparency", "set output_format to png or webp")
    compression = fields.get("output_compression")
    if compression is None:
        return
    if isinstance(compression, bool) or not isinstance(compression, int) or not 0 <= compression <= 100:
        yield UnsupportedRequest("output_compression", "output_compression must be a whole number from 0 to 100")
    elif compression != 100 and file_format in (None, "png"):
        yield UnsupportedRequest(
            "output_compression", "output_compression has no effect on png", "set output_format to jpeg or webp"
        )


def _check_names(fields: dict[str, Any], rules: Rules, who: str) -> Iterator[UnsupportedRequest]:
    """Check that no two fields are sent under one name."""
    sent: dict[str, str] = {}
    for name in fields:
        other = sent.setdefault(rules.names.get(name, name), name)
        if other != name:
            yield UnsupportedRequest(name, f"{who} takes either {other} or {name}, not both", f"remove {name}")


def _check_count(task: Task, rules: Rules, who: str) -> Iterator[UnsupportedRequest]:
    if task.n < 1:
        yield UnsupportedRequest("n", "n must be at least 1")
    elif task.n > rules.n_max:
        yield UnsupportedRequest(
            "n",
            f"{who} gives at most {rules.n_max} per request, not {task.n}",
            f"set per_request to {rules.n_max}; the images are then spread over more requests",
        )


def _check_extra(task: Task, rules: Rules, who: str) -> Iterator[UnsupportedRequest]:
    for key in task.extra:
        if key in _RESERVED:
            field = _RESERVED[key]
            hint = f"set {field} in the job itself" if field else "remove it"
            yield UnsupportedRequest("extra", f"extra must not set {key!r}", hint)
        elif key in rules.refused:
            yield UnsupportedRequest("extra", f"{who} answers {key!r} with an error", "remove it")
        elif key not in OPTIONAL and key in rules.values and task.extra[key] not in rules.values[key]:
            choices = ", ".join(map(str, rules.values[key]))
            yield UnsupportedRequest("extra", f"{who} does not know {key} {task.extra[key]!r}", f"one of: {choices}")


def _check_prompt(task: Task, rules: Rules) -> Iterator[UnsupportedRequest]:
    if not task.prompt.strip():
        yield UnsupportedRequest("prompt", "the prompt is empty", "describe the image")
    if "\0" in task.prompt:
        yield UnsupportedRequest("prompt", "the prompt contains a NUL character", "check the file it comes from")
    if _SURROGATE.search(task.prompt):
        yield UnsupportedRequest("prompt", "the prompt is not valid Unicode", "save its file as UTF-8")
    if len(task.prompt) > rules.prompt_max:
        yield UnsupportedRequest(
            "prompt",
            f"the prompt has {len(task.prompt)} characters; at most {rules.prompt_max} are accepted",
            "shorten it",
        )


def _check_sources(task: Task, rules: Rules) -> Iterator[UnsupportedRequest]:
    if task.kind is Kind.EDIT and not task.images:
        yield UnsupportedRequest("images", "an edit needs at least one image", "list it under images")
    if len(task.images) > rules.images_max:
        yield UnsupportedRequest(
            "images",
            f"{len(task.images)} images; at most {rules.images_max} are accepted",
            "use fewer images, or combine several into one",
        )
    for source in task.images:
        yield from _check_source("images", source, rules.image_bytes_max, rules.image_types)
    if task.mask is None:
        return
    if task.kind is not Kind.EDIT:
        yield UnsupportedRequest("mask", "a mask needs an image to edit", "list it under images")
    elif not rules.mask:
        yield UnsupportedRequest("mask", "this provider takes no mask", "use aimlapi or openai, or remove the mask")
    else:
        yield from _check_source("mask", task.mask, rules.mask_bytes_max, ("image/png",))


def _check_urls(sources: Iterable[Source], profile: Profile, dialect: str) -> Iterator[UnsupportedRequest]:
    """Yield a problem for each source that is not on the web, if the provider takes nothing else."""
    if dialect != "task" or profile.task is None or profile.task.submit.images != "url":
        return
    for source in sources:
        if source.path is not None or not (source.url or "").startswith(("https://", "http://")):
            yield UnsupportedRequest(
                "images",
                f"{profile.name} fetches source images from the web, and {source.name} is not there",
                "publish it and write its https URL, or use a provider that takes files (fal, bfl, dashscope, openai)",
            )


def _check_source(field: str, source: Source, limit: int, types: tuple[str, ...]) -> Iterator[UnsupportedRequest]:
    name = source.name or field
    if source.size_bytes is not None and source.size_bytes > limit:
        yield UnsupportedRequest(
            field,
            f"{name} has {source.size_bytes / 1e6:.1f} MB; at most {limit / 1e6:.1f} MB are accepted",
            "scale it down",
        )
    if source.mime is not None and source.mime not in types:
        yield UnsupportedRequest(field, f"{name} is {source.mime}", f"convert it to {' or '.join(types)}")


def deadline(task: Task, profile: Profile, mode: Mode = Mode.STANDARD) -> float:
    """Return the seconds that one attempt may take: the provider's setting, or else 360, or 600 for slow renders.

    A mode with slower answers has a time of its own, which the provider's setting may only lengthen.
    """
    if mode is not Mode.STANDARD:
        terms = profile.find(task.model)[1].modes.get(mode)
        if terms is not None and terms.total is not None:
            return max(terms.total, profile.timeout.total or 0.0)
    if profile.timeout.total is not None:
        return profile.timeout.total
    area = pixels(task.size)
    slow = (
        (task.quality or "").lower() in ("high", "xhigh", "max")
        or (task.resolution or "").lower() in ("2k", "4k")
        or (area is not None and area > 2_000_000)
    )
    return 600.0 if slow else 360.0
