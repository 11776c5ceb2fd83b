"""Fingerprints: hashes of what jobs request; a job whose fingerprint changes is redone. Pure.

A fingerprint starts with the number of its rule. Old rules are kept, so that no job of an older database looks
changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from json.encoder import encode_basestring_ascii
from typing import Any

from .task import Source, Task
from .wording import canonical, canonical_value

_SENT = ("size", "quality", "resolution", "background", "output_format", "output_compression", "moderation", "seed")

#: The names under which renamed models were first hashed: a new name does not change the request.
_FIRST_NAMES = {
    "gemini-3.1-flash-image": "gemini-3.1-flash-image-preview",
    "gemini-3-pro-image": "gemini-3-pro-image-preview",
}

#: Separates a fingerprint from overrides; see ``planning.overrides``.
OVERRIDDEN = "+"

#: Placeholder for the prompt.
_GAP = "\0"
_GAP_JSON = encode_basestring_ascii(_GAP).encode()

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def asked(task: Task) -> dict[str, Any]:
    """Return everything that *task* requests except for images.

    The provider is not part of it: a job that moves to another provider is the same job.
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
    """Rule 1: the request, the content of its source images, and the number of images if there are several."""
    content = asked(task) | {"rules": "1"}
    if task.images:
        content["images"] = [_identity(source) for source in task.images]
    if task.mask is not None:
        content["mask"] = _identity(task.mask)
    if task.n > 1:
        content["n"] = task.n
    return content


def _second(task: Task) -> dict[str, Any]:
    """Rule 2: as rule 1, of the canonical form of all texts, so that line ends and trailing blanks do not count."""
    task = replace(task, prompt=canonical(task.prompt), extra=canonical_value(dict(task.extra)))
    return _first(task) | {"rules": "2"}


#: What each rule hashes, by its number.
RULES: Mapping[str, Callable[[Task], Mapping[str, Any]]] = {"1": _first, "2": _second}
#: The rule of new fingerprints.
CURRENT = "2"


def fingerprint(task: Task, rule: str = CURRENT) -> str:
    """Return the rule's number and the hash of *task*: ``2:<sha256>``."""
    return f"{rule}:{digest(RULES[rule](task))}"


def older_rule(stored: str) -> str | None:
    """Return the rule of *stored* if that is the fingerprint of an older version."""
    rule = stored.partition(":")[0]
    return rule if rule != CURRENT and rule in RULES else None


def unchanged(stored: str, task: Task, current: str, before: Task | None = None) -> bool:
    """Return whether a job with the fingerprint *stored* requests the same as *task*, whose fingerprint is *current*.

    A job of an older version is compared by the rule of that version; *before* is its task as it was stored, whose
    texts may differ from those of *task* in white space. Overrides are ignored unless *current* has some.
    """
    stored = stored if OVERRIDDEN in current else stored.partition(OVERRIDDEN)[0]
    if stored == current:
        return True
    rule = older_rule(stored)
    if rule is None:
        return False
    return any(stored in (fingerprint(same, rule), _as_declared(same)) for same in _wordings(task, before))


def _wordings(task: Task, before: Task | None) -> Iterator[Task]:
    """Yield *task* in the wordings that an older rule may have hashed, which are equal by the present rule."""
    yield task
    if before is not None:
        same_extra = canonical_value(dict(before.extra)) == canonical_value(dict(task.extra))
        extra = before.extra if same_extra else task.extra
        same_prompt = canonical(before.prompt) == canonical(task.prompt)
        words = {name: (getattr(before, name), getattr(task, name)) for name in _SENT}
        same = {name: old for name, (old, new) in words.items() if canonical_value(old) == canonical_value(new)}
        yield replace(task, prompt=before.prompt if same_prompt else task.prompt, extra=extra, **same)
    yield replace(task, prompt=f"{task.prompt}\n")
    if "\n" in task.prompt:
        yield replace(task, prompt=task.prompt.replace("\n", "\r\n"))


def _as_declared(task: Task) -> str | None:
    """Return the fingerprint if the user had declared the model under its present name; None for other models."""
    if task.model not in _FIRST_NAMES:
        return None
    return f"1:{digest({**_first(task), 'model': task.model})}"


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of *content* as canonical JSON, in hex."""
    return hashlib.sha256(_encode(content).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Stamp:
    """Computes digests of contents that differ only in the prompt, at a tenth of the cost."""

    content: Mapping[str, Any]
    _head: Any = field(init=False, repr=False, compare=False)
    _tail: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # The last match is the prompt: ``extra`` precedes it and may contain anything.
        head, _, tail = _encode({**self.content, "prompt": _GAP}).encode().rpartition(b'"prompt":' + _GAP_JSON)
        object.__setattr__(self, "_head", hashlib.sha256(head + b'"prompt":'))
        object.__setattr__(self, "_tail", tail)

    @classmethod
    def of(cls, task: Task, rule: str = CURRENT) -> Stamp:
        """Return the stamp of tasks like *task*, whatever their prompt."""
        return cls(RULES[rule](replace(task, prompt=_GAP)))

    def hexdigest(self, prompt: str) -> str:
        """Return the digest of the content with exactly this *prompt*."""
        hashed = self._head.copy()
        hashed.update(encode_basestring_ascii(prompt).encode() + self._tail)
        return str(hashed.hexdigest())


def _identity(source: Source) -> str | None:
    if source.job is not None:
        # A job that is changed redoes the jobs that use its image; another id of it changes nothing.
        return f"@{source.version or source.job}#{source.number or 1}"
    if source.etag is not None:
        version = f"{source.url}@{source.etag}"
        return version if source.preparation is None else f"{version}+{source.preparation}"
    if source.url is not None:
        return source.url
    return source.sha256 if source.copy is None else f"{source.sha256}+{source.copy}"
