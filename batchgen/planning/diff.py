"""Diff: how the request of a changed job differs from the one in the job database. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..fingerprint import asked
from ..task import Source, Task
from ..wording import canonical_value


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One field of a job, before and after; None is not set."""

    field: str  #: as in a manifest; "extra.style" inside of ``extra``
    before: Any
    after: Any
    note: str = ""  #: explains the difference if before and after read the same

    def as_json(self) -> dict[str, Any]:
        """Return it for ``plan --json``."""
        document = {"field": self.field, "before": self.before, "after": self.after}
        return document | {"note": self.note} if self.note else document


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A job whose request differs from the one in the job database."""

    id: str
    fields: tuple[Difference, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it for ``plan --json``."""
        return {"id": self.id, "fields": [field.as_json() for field in self.fields]}


def differences(before: Task, after: Task, folder: Path) -> tuple[Difference, ...]:
    """Return the differing fields that decide whether a job is redone; file names are relative to *folder*."""
    fields = [*_plain("", asked(before), asked(after))]
    if before.n != after.n:
        fields.append(Difference(field="n", before=before.n, after=after.n))
    fields += _sources(before.images, after.images, folder)
    fields += _mask(before.mask, after.mask, folder)
    return tuple(fields)


def _plain(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if name == "extra" and not prefix:
            yield from _plain("extra.", old or {}, new or {})
        elif canonical_value(old) != canonical_value(new):
            yield Difference(field=f"{prefix}{name}", before=old, after=new)


def _sources(before: Sequence[Source], after: Sequence[Source], folder: Path) -> Iterator[Difference]:
    if [_content(source) for source in before] == [_content(source) for source in after]:
        return
    old, new = ([_name(source, folder) for source in sources] for sources in (before, after))
    if old != new:
        yield Difference(field="images", before=old, after=new)
        return
    for name, source_before, source_after in zip(old, before, after, strict=True):
        if _content(source_before) != _content(source_after):
            note = f"source image {name} has other content"
            if source_before.etag and source_after.etag:
                note = f"source image {name} was written again (its etag is another one)"
            if source_after.job is not None:
                note = f"job {source_after.job} has changed, whose image it is"
            same = source_after.job is None and (source_before.sha256, source_before.etag) == (
                source_after.sha256,
                source_after.etag,
            )
            if same:
                note = f"source image {name} is sent {_form(source_after)}, and was sent {_form(source_before)}"
            yield Difference(field="images", before=name, after=name, note=note)


def _mask(before: Source | None, after: Source | None, folder: Path) -> Iterator[Difference]:
    old, new = (None if mask is None else _name(mask, folder) for mask in (before, after))
    if (before and _content(before)) != (after and _content(after)):
        note = f"mask {new} has other content" if old == new else ""
        yield Difference(field="mask", before=old, after=new, note=note)


def _content(source: Source) -> str | None:
    if source.job is not None:
        return f"{source.name} {source.version}"
    if source.etag is not None:
        return f"{source.url}@{source.etag}+{source.preparation}"
    return source.url or f"{source.sha256}+{source.copy}"


def _form(source: Source) -> str:
    if source.preparation is not None:
        words = (word if word == "upright" else f"as {word}" for word in source.preparation.split("+"))
        return f"{' and '.join(words)} where it needs that"
    if source.copy is None:
        return "as it is"
    return "upright" if source.copy == "upright" else f"as {source.copy}"


def _name(source: Source, folder: Path) -> str:
    if source.path is None or source.job is not None:
        return source.name
    path = Path(source.path)
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
