"""What decides whether a job is redone: a hash of all that is asked for, by numbered rules.  Pure.

A new rule gets a new number beside the old ones, so that no job of an older table ever looks changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from json.encoder import encode_basestring_ascii
from typing import Any

from .task import Source, Task

_SENT = ("size", "quality", "resolution", "background", "output_format", "output_compression", "moderation", "seed")

#: Models by the name under which they were first hashed: a model that is renamed asks for nothing else.
_FIRST_NAMES = {
    "gemini-3.1-flash-image": "gemini-3.1-flash-image-preview",
    "gemini-3-pro-image": "gemini-3-pro-image-preview",
}

#: In a mark, stands before what was asked for beside the manifest; see ``amend``.
AMENDED = "+"

#: Stands where the prompt will stand.
_GAP = "\0"
_GAP_JSON = encode_basestring_ascii(_GAP).encode()

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def asked(task: Task) -> dict[str, Any]:
    """Return all that *task* asks for but its images.

    Who is asked is not part of it: a job that moves to another provider is the same job.
    """
    model = _FIRST_NAMES.get(task.model, task.model)
    content: dict[str, Any] = {"kind": task.kind.value, "model": model, "prompt": task.prompt}
    for name in _SENT:
        value = getattr(task, name)
        if value is not None:
            content[name] = value
    if task.extra:
        content["extra"] = task.extra
    return content


def _first(task: Task) -> dict[str, Any]:
    """Rule 1: what is asked, with the content of source images, and the number of images where there are several."""
    content = asked(task) | {"rules": "1"}
    if task.images:
        content["images"] = [_identity(source) for source in task.images]
    if task.mask is not None:
        content["mask"] = _identity(task.mask)
    if task.n > 1:
        content["n"] = task.n
    return content


#: What is hashed, by the rule's number.
RULES: Mapping[str, Callable[[Task], Mapping[str, Any]]] = {"1": _first}
#: The rule by which jobs are marked today.
CURRENT = "1"


def fingerprint(task: Task, rule: str = CURRENT) -> str:
    """Return the rule's number and the hash of *task*: ``1:<sha256>``."""
    return f"{rule}:{digest(RULES[rule](task))}"


def unchanged(known: str, task: Task, mark: str) -> bool:
    """Tell whether the job marked *known* in the table asks for what *task* asks, whose mark today is *mark*.

    A job of an older version is compared by the rule of that version.  What was asked for beside the manifest changes
    nothing, as long as the manifest asks for what it asked then.
    """
    known = known if AMENDED in mark else known.partition(AMENDED)[0]
    if known == mark or known == _as_declared(task):
        return True
    rule = known.partition(":")[0]
    return rule != CURRENT and rule in RULES and fingerprint(task, rule) == known


def _as_declared(task: Task) -> str | None:
    """Return the mark of a job whose model its user had declared under the name that it has now; None for others."""
    if task.model not in _FIRST_NAMES:
        return None
    return f"1:{digest({**_first(task), 'model': task.model})}"


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of *content* as canonical JSON, in hex."""
    return hashlib.sha256(_encode(content).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Stamp:
    """Digests of contents that differ in nothing but their prompt, at a tenth of the work for each."""

    content: Mapping[str, Any]
    _head: Any = field(init=False, repr=False, compare=False)
    _tail: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # the last one: ``extra`` stands before it and may hold anything
        head, _, tail = _encode({**self.content, "prompt": _GAP}).encode().rpartition(b'"prompt":' + _GAP_JSON)
        object.__setattr__(self, "_head", hashlib.sha256(head + b'"prompt":'))
        object.__setattr__(self, "_tail", tail)

    @classmethod
    def of(cls, task: Task) -> Stamp:
        """Return what stamps tasks like *task*, whatever their prompt, by the current rule."""
        return cls(RULES[CURRENT](replace(task, prompt=_GAP)))

    def hexdigest(self, prompt: str) -> str:
        """Return what ``digest`` would, of the content with this *prompt*."""
        hashed = self._head.copy()
        hashed.update(encode_basestring_ascii(prompt).encode() + self._tail)
        return str(hashed.hexdigest())


def _identity(source: Source) -> str | None:
    return source.sha256 if source.url is None else source.url
