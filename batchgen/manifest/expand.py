"""A manifest's rows to drafts: defaults merged, short forms written out, images split into requests.  Pure.

Matrix and lists of rows belong here: each turns one row of the manifest into several drafts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..task import Source, Task
from .model import Manifest, Parameters
from .names import slug
from .places import Path

#: Version of the rules below.  A new rule gets a new number beside the old, so that old jobs never look changed.
RULES = "1"

_SENT = ("size", "quality", "resolution", "background", "output_format", "output_compression", "moderation", "seed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """One row of the manifest with the defaults merged in."""

    path: Path  #: where it stands: ("jobs", 3)
    own: frozenset[str]  #: parameters that the row itself sets
    values: Mapping[str, Any]  #: parameters that are set, by the row or by the defaults

    def where(self, field: str) -> Path:
        """Return where *field* of this draft was written: in the row, in the defaults, or nowhere (the row)."""
        if field in self.own:
            return (*self.path, field) if self.path[0] == "jobs" else self.path
        return ("defaults", field) if field in self.values else self.path


def drafts(manifest: Manifest) -> Iterator[Draft]:
    """Yield a draft for each job and each prompt, in the order of the file."""
    defaults = _set(manifest.defaults)
    for number, job in enumerate(manifest.jobs):
        yield _merged(("jobs", number), defaults, _set(job))
    for number, prompt in enumerate(manifest.prompts):
        yield _merged(("prompts", number), defaults, {"prompt": prompt})


def _set(parameters: Parameters) -> dict[str, Any]:
    return {name: getattr(parameters, name) for name in parameters.model_fields_set}


def _merged(path: Path, defaults: Mapping[str, Any], own: Mapping[str, Any]) -> Draft:
    """Lay a row over the defaults: tags add up, ``extra`` is merged, the rest replaces; null takes a default away."""
    values = {**defaults, **own}
    for name in ("tags", "extra"):
        before, after = defaults.get(name), own.get(name)
        if before and after:
            values[name] = [*dict.fromkeys([*before, *after])] if name == "tags" else {**before, **after}
    return Draft(
        path=path,
        own=frozenset(own),
        values={name: value for name, value in values.items() if value is not None},
    )


def portions(n: int, per_request: int | None) -> tuple[int, ...]:
    """Return how many images each request asks for: single ones, or up to *per_request* in one."""
    size = per_request or 1
    full, rest = divmod(n, size)
    return (size,) * full + ((rest,) if rest else ())


def key_of(name: str, first: int) -> str:
    """Return the id of a row's request whose first image is number *first* of the row, counted from 0.

    The first request keeps the row's name, so that raising ``n`` redoes nothing.  Later ones are named after their
    first image, so that ``cat-4`` can never meet the files cat-1, cat-2 and cat-3 of a request for three images.
    """
    return name if first == 0 else f"{name}-{first + 1}"


def invented(task: Task, images: tuple[str, ...]) -> str:
    """Return the id of a job that was given none: a slug of its prompt and a hash of all that is asked.

    *images* are the sources as written.  The hash has 40 bits: with 24, ten thousand prompts that begin alike
    would already meet by chance.
    """
    content = {**_asked(task), "images": images, "mask": task.mask is not None}
    return f"{slug(task.prompt) or 'image'}-{_digest(content)[:10]}"


def fingerprint(task: Task) -> str:
    """Return what decides whether a job is redone: its rules' version and a hash of what is asked for.

    Who is asked is not part of it: a job that moves to another provider is the same job.
    """
    content = _asked(task)
    if task.images:
        content["images"] = [_identity(source) for source in task.images]
    if task.mask is not None:
        content["mask"] = _identity(task.mask)
    if task.n > 1:
        content["n"] = task.n
    return f"{RULES}:{_digest({'rules': RULES, **content})}"


def _asked(task: Task) -> dict[str, Any]:
    content: dict[str, Any] = {"kind": task.kind.value, "model": task.model, "prompt": task.prompt}
    for name in _SENT:
        value = getattr(task, name)
        if value is not None:
            content[name] = value
    if task.extra:
        content["extra"] = task.extra
    return content


def _identity(source: Source) -> str | None:
    return source.sha256 if source.url is None else source.url


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
