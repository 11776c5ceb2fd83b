"""Reader of YAML files: plain data, with the place of every key and value.

The data is built from the events of PyYAML's C parser, so that deep nesting and aliases are refused before they cost
anything, scalars follow YAML 1.2 (``no`` and ``16:9`` are text) and a key given twice is an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml import events

from ..errors import ManifestError, Problem
from ..files.opening import OpenError, open_file, reason
from . import json_text
from .locations import Places, Spot, line_of, spot
from .yaml_errors import explain

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64
MAX_ALIASES = 1_000
MAX_EXPANDED = 100_000  #: the most nodes that aliases may expand to, in all

#: More mistakes than this in the text itself end the reading.
_MAX_PROBLEMS = 1_000

#: A plain scalar that starts with anything else is text.
_NOT_TEXT = frozenset("+-.0123456789~nNtTfF")
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
#: A leading zero makes text: 0123 is a part number, not 123 (and not 83).
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99})")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


Value = dict[str, Any] | list[Any] | str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Document:
    """A file as plain data."""

    data: Any  #: of a manifest: a mapping
    text: str
    places: Places
    problems: tuple[Problem, ...] = ()  #: mistakes that did not keep the rest from being read
    warnings: tuple[Problem, ...] = ()


def read(path: Path, content: bytes | None = None) -> Document:
    """Read a manifest, or its *content*; raise ManifestError where it is not a YAML mapping that is safe to read."""
    content = _content(path) if content is None else content
    if len(content) > MAX_BYTES:
        hint = "keep the rows of a large set in a csv or jsonl file and name it with `from:`"
        raise _whole(str(path), "too_large", "is larger than 64 MB, which is too much for one YAML file", hint)
    return parse(content, str(path))


def parse(content: bytes, file: str) -> Document:
    """Read the bytes of a manifest; *file* is its name in messages."""
    document = parse_any(content, file)
    if not isinstance(document.data, dict):
        kind = {type(None): "empty", list: "a list"}.get(type(document.data), "a single value")
        message = f"a manifest is a mapping (key: value), this is {kind}"
        hint = "write  jobs:  above it" if isinstance(document.data, list) else _MINIMUM
        raise _fatal(document.places.at(0, "not_a_mapping", message, hint))
    return document


def parse_any(content: bytes, file: str) -> Document:
    """Read the bytes of any YAML file by the rules of manifests; raise ManifestError."""
    text = json_text.as_yaml(_decode(content, file))
    builder = _Builder(file, text)
    data, root = builder.run()
    places = Places(file=file, root=root, commented=frozenset(builder.commented))
    warnings = tuple(builder.unused_anchors())
    return Document(data=data, text=text, places=places, problems=tuple(builder.problems), warnings=warnings)


#: Code and hint where a manifest cannot be opened.
_NOT_OPENED = {
    "missing": ("not_found", "give the path of a manifest"),
    "refused": ("not_readable", ""),
    "folder": ("not_a_file", "give the path of a manifest"),
    "device": ("not_a_file", "give the path of a manifest, or - for standard input"),
}
_MINIMUM = 'a minimal manifest is  jobs: [{prompt: "A red cube", provider: aigate}]'


def _fatal(problem: Problem) -> ManifestError:
    return ManifestError((problem,))


def _whole(file: str, code: str, message: str, hint: str = "") -> ManifestError:
    return _fatal(Problem(file=file, line=0, column=0, path="", code=code, message=message, hint=hint))


def _content(path: Path) -> bytes:
    """Return the bytes of a regular file, and of a long one the first that exceed MAX_BYTES."""
    try:
        with open_file(path) as handle:
            return handle.read(MAX_BYTES + 1)
    except OpenError as error:
        code, hint = _NOT_OPENED[error.why]
        raise _whole(str(path), code, str(error), hint) from None
    except OSError as error:
        raise _whole(str(path), "not_readable", reason(error)) from None


def _decode(content: bytes, file: str) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _whole(file, "encoding", "is UTF-16 and should be UTF-8", "save it again as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n"), len(before) - before.rfind(b"\n") - 1
        raise _fatal(
            Places(file=file, root=0).at(
                spot(line, column), "encoding", f"byte 0x{content[error.start]:02x} is not UTF-8",
                "save the file again as UTF-8; the text before this place is fine",
            )
        ) from None  # fmt: skip
    control = _CONTROL.search(text)
    if control:
        start = control.start()
        line, column = text.count("\n", 0, start), start - text.rfind("\n", 0, start) - 1
        message = f"control character U+{ord(control[0]):04X} is not allowed"
        raise _fatal(Places(file=file, root=0).at(spot(line, column), "control_character", message, "remove it"))
    return text


class _Builder:
    """Builds data and spots from the parser's events, in one pass: no node tree of a large file is held."""

    def __init__(self, file: str, text: str) -> None:
        self.problems: list[Problem] = []
        self.commented: set[int] = set()
        self._text = text
        self._places = Places(file=file, root=0)
        self._events = yaml.parse(text, Loader=yaml.CSafeLoader)
        self._last: yaml.Event | None = None
        #: Value, spot and number of nodes by anchor; None while the value is still being built.
        self._anchors: dict[str, tuple[Any, Spot, int] | None] = {}
        #: Place and text of plain texts with an anchor that no alias has used yet.
        self._unused: dict[str, tuple[int, str]] = {}
        self._depth = self._nodes = self._aliases = self._expanded = 0
        self._has_comments = " #" in text or "\t#" in text

    def run(self) -> tuple[Any, Spot]:
        """Return the data of the text and its spot."""
        try:
            self._next()  # the stream
            if isinstance(self._next(), events.StreamEndEvent):
                return None, 0
            document = self._node(self._next())
            self._next()  # the document's end
            after = self._next()
        except yaml.YAMLError as error:
            raise _fatal(explain(error, self._text, self._places, self._last)) from None
        if isinstance(after, events.DocumentStartEvent):
            hint = "remove the line ---, or put what follows into a file of its own"
            raise self._stop(_spot(after), "several_documents", "a second document starts here", hint)
        return document

    def _next(self) -> yaml.Event:
        self._last = next(self._events)
        return self._last

    def _node(self, event: yaml.Event) -> tuple[Any, Spot]:
        place = _spot(event)
        if isinstance(event, events.AliasEvent):
            return self._alias(event, place)
        assert isinstance(event, (events.ScalarEvent, events.CollectionStartEvent))  # noqa: S101
        if event.tag is not None:
            hint = "put text that starts with ! in quotes; numbers and text need no tag"
            self._note(place, "tag", f"tags are not supported: {str(event.tag)[:60]}", hint)
        before = self._nodes
        self._nodes += 1
        value: Value
        where: Spot = place
        if isinstance(event, events.ScalarEvent):
            value = self._scalar(event, place)
        else:
            if event.anchor is not None:
                self._anchors[event.anchor] = None
            if self._depth >= MAX_DEPTH:
                raise self._stop(place, "too_deep", f"nested more than {MAX_DEPTH} levels deep")
            self._depth += 1
            value, spots = self._mapping() if isinstance(event, events.MappingStartEvent) else self._list()
            self._depth -= 1
            where = (place, spots)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, where, self._nodes - before)
            if isinstance(event, events.ScalarEvent) and event.implicit[0] and isinstance(value, str):
                self._unused[event.anchor] = place, value
        return value, where

    def unused_anchors(self) -> Iterator[Problem]:
        """Yield a warning for each plain text that starts with an anchor nothing refers to: a word may be missing."""
        for name, (place, text) in self._unused.items():
            shown = text if len(text) <= 40 else f"{text[:37]}..."
            message = f"&{name} is an anchor of YAML, not a part of the text, which is {shown!r}"
            yield self._places.at(place, "anchor", message, "put the text in quotes if & belongs to it")

    def _list(self) -> tuple[list[Any], list[Spot]]:
        data, spots = [], []
        while not isinstance(event := self._next(), events.SequenceEndEvent):
            value, where = self._node(event)
            data.append(value)
            spots.append(where)
        return data, spots

    def _mapping(self) -> tuple[dict[str, Any], dict[str, tuple[int, Spot]]]:
        data: dict[str, Any] = {}
        spots: dict[str, tuple[int, Spot]] = {}
        while not isinstance(event := self._next(), events.MappingEndEvent):
            place = _spot(event)
            if isinstance(event, events.CollectionStartEvent):
                hint = "put text that contains {{ }} or starts with { or [ in quotes"
                raise self._stop(place, "key_type", "a key must be text, this is a mapping or a list", hint)
            key, _ = self._node(event)
            keep = self._check_key(key, place, spots)
            value, where = self._node(self._next())
            if keep:
                data[key] = value
                spots[key] = (place, where)
        return data, spots

    def _check_key(self, key: Value, place: int, spots: dict[str, tuple[int, Spot]]) -> bool:
        """Return whether a key can be used; what is wrong with it is noted."""
        if isinstance(key, (dict, list)):
            raise self._stop(place, "key_type", "a key must be text, this is a mapping or a list")
        if not isinstance(key, str):
            shown = "empty" if key is None else str(key).lower()
            self._note(place, "key_type", f"a key must be text, this one is {shown}", "put it in quotes")
        elif key == "<<":
            hint = "write the keys out, or put them under `defaults:`"
            self._note(place, "merge_key", "merge keys (<<) are not supported", hint)
        elif key in spots:
            hint = f"remove one of the two; the first is in line {line_of(spots[key][0])}"
            self._note(place, "duplicate_key", f"the key {key[:60]!r} is given twice", hint)
        else:
            return True
        return False

    def _scalar(self, event: events.ScalarEvent, place: int) -> Value:
        text: str = event.value
        if event.tag is not None or not event.implicit[0]:
            return text
        if self._has_comments and self._comment_follows(event):
            self.commented.add(place)
        return self._resolve(text, place) if text[:1] in _NOT_TEXT or not text else text

    def _resolve(self, text: str, place: int) -> Value:
        """Return the value of a plain scalar by the core rules of YAML 1.2."""
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isfinite(number):
                return number
        elif not _NOT_FINITE.fullmatch(text):
            return text
        shown = text if len(text) <= 20 else f"{text[:17]}..."
        self._note(place, "not_finite", f"{shown} is not a finite number", "put it in quotes if text is meant")
        return text

    def _comment_follows(self, event: events.ScalarEvent) -> bool:
        text = self._text
        start = end = event.end_mark.index if event.end_mark else 0
        while end < len(text) and text[end] in " \t":
            end += 1
        return end > start and text[end : end + 1] == "#"

    def _alias(self, event: events.AliasEvent, place: int) -> tuple[Any, Spot]:
        name = event.anchor
        if name not in self._anchors:
            hint = "put text that starts with * in quotes"
            raise self._stop(place, "unknown_alias", f"*{name} refers to nothing named &{name} above it", hint)
        self._unused.pop(name, None)
        target = self._anchors[name]
        if target is None:
            raise self._stop(place, "recursive_alias", f"*{name} refers to the value that contains it")
        data, where, nodes = target
        self._aliases += 1
        self._nodes += nodes
        self._expanded += nodes
        if self._aliases > MAX_ALIASES or self._expanded > MAX_EXPANDED:
            message = "aliases (*name) expand to more than batchgen accepts"
            raise self._stop(place, "too_many_aliases", message, "use `defaults:` for what jobs have in common")
        return data, (place, where[1]) if isinstance(where, tuple) else place

    def _note(self, place: int, code: str, message: str, hint: str = "") -> None:
        self.problems.append(self._places.at(place, code, message, hint))
        if len(self.problems) >= _MAX_PROBLEMS:
            raise ManifestError(tuple(self.problems))

    def _stop(self, place: int, code: str, message: str, hint: str = "") -> ManifestError:
        return ManifestError((*self.problems, self._places.at(place, code, message, hint)))


def _spot(event: yaml.Event) -> int:
    mark = event.start_mark
    return spot(mark.line, mark.column) if mark else 0
