"""YAML text to plain data, with the place of every key and value.  A doer: it reads one file.

The event stream of PyYAML's C parser is built into data here, in one pass, so that hostile input is refused
before it costs anything (nesting, aliases), scalars follow YAML 1.2 (``no`` and ``16:9`` are text) and a key
given twice is an error.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml import events

from ..errors import ManifestError, Problem
from ..files.opening import OpenError, open_file, reason
from .locations import Places, Spot, spot
from .yaml_syntax import explain

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64
MAX_ALIASES = 1_000
MAX_EXPANDED = 100_000  #: nodes that aliases may stand for, in all

#: More mistakes than this in the text itself: reading on helps nobody.
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


Container = dict[str, Any] | list[Any]
Value = Container | str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Document:
    """A file as plain data."""

    data: Any  #: of a manifest: a mapping
    text: str
    places: Places
    problems: tuple[Problem, ...] = ()  #: mistakes that did not keep the rest from being read


def read(path: Path) -> Document:
    """Read a manifest; raise ManifestError where it is no YAML mapping that can be read safely."""
    return parse(_content(path), str(path))


def parse(content: bytes, file: str) -> Document:
    """Read the bytes of a manifest; *file* is its name in messages."""
    found = parse_any(content, file)
    if not isinstance(found.data, dict):
        what = "empty" if found.data is None else "a list" if isinstance(found.data, list) else "a single value"
        message = f"a manifest is a mapping (key: value), this is {what}"
        raise _fatal(found.places.at(0, "not_a_mapping", message, _START))
    return found


def parse_any(content: bytes, file: str) -> Document:
    """Read the bytes of a YAML file by a manifest's rules, whatever it holds; raise ManifestError."""
    text = _decode(content, file)
    builder = _Builder(file, text)
    data, root = builder.run()
    places = Places(file=file, root=root, commented=frozenset(builder.commented))
    return Document(data=data, text=text, places=places, problems=tuple(builder.problems))


#: Code and hint of a manifest that is not opened.
_NOT_OPENED = {
    "missing": ("not_found", "give the path of a manifest"),
    "refused": ("not_readable", ""),
    "folder": ("not_a_file", "give the path of a manifest"),
    "device": ("not_a_file", "give the path of a manifest"),
}
_START = 'the least of one is  jobs: [{prompt: "A red cube", provider: aigate}]'


def _fatal(problem: Problem) -> ManifestError:
    return ManifestError((problem,))


def _whole(file: str, code: str, message: str, hint: str = "") -> ManifestError:
    return _fatal(Problem(file=file, line=0, column=0, path="", code=code, message=message, hint=hint))


def _content(path: Path) -> bytes:
    """Return the bytes of a regular file of at most MAX_BYTES."""
    try:
        with open_file(path) as handle:
            too_large = os.fstat(handle.fileno()).st_size > MAX_BYTES
            content = None if too_large else handle.read(MAX_BYTES + 1)
    except OpenError as error:
        code, hint = _NOT_OPENED[error.why]
        raise _whole(str(path), code, str(error), hint) from None
    except OSError as error:
        raise _whole(str(path), "not_readable", reason(error)) from None
    if content is None or len(content) > MAX_BYTES:
        hint = "keep the rows of a large set in a csv or jsonl file and name it with `from:`"
        raise _whole(str(path), "too_large", "is larger than 64 MB, which is too much for one YAML file", hint)
    return content


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
    found = _CONTROL.search(text)
    if found:
        line, column = text.count("\n", 0, found.start()), found.start() - text.rfind("\n", 0, found.start()) - 1
        message = f"control character U+{ord(found[0]):04X} is not allowed"
        raise _fatal(Places(file=file, root=0).at(spot(line, column), "control_character", message, "remove it"))
    return text


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is still open."""

    data: Any
    spots: Any
    place: int
    anchor: str | None
    nodes: int  #: how many nodes had been read when it began
    key: Any = None  #: the mapping's key that waits for its value
    key_spot: int = -1  #: -1: the next node is a key
    drop: bool = False  #: the value belongs to a key given twice


class _Builder:
    """Build data and spots from the events of one text."""

    def __init__(self, file: str, text: str) -> None:
        self.problems: list[Problem] = []
        self.commented: set[int] = set()
        self._text = text
        self._places = Places(file=file, root=0)
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, Any, int] | None] = {}
        self._nodes = self._aliases = self._expanded = self._documents = 0
        self._has_comments = " #" in text or "\t#" in text
        self._done: tuple[Any, Any] = (None, 0)

    def run(self) -> tuple[Any, Any]:
        """Return the data of the text and its spot."""
        event = None
        try:
            for event in yaml.parse(self._text, Loader=yaml.CSafeLoader):
                self._take(event)
        except yaml.YAMLError as error:
            raise _fatal(explain(error, self._text, self._places, event)) from None
        return self._done

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, events.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, events.MappingStartEvent):
            self._open(event, {}, {})
        elif isinstance(event, events.SequenceStartEvent):
            self._open(event, [], [])
        elif isinstance(event, events.CollectionEndEvent):
            self._close()
        elif isinstance(event, events.AliasEvent):
            self._alias(event)
        elif isinstance(event, events.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                hint = "remove the line ---, or put what follows into a file of its own"
                raise self._stop(_spot(event), "several_documents", "a second document starts here", hint)

    def _scalar(self, event: events.ScalarEvent) -> None:
        place = _spot(event)
        value: Value = event.value
        text = event.value
        self._nodes += 1
        if event.tag is not None:
            self._tag(event, place)
        elif event.implicit[0]:
            if text[:1] in _NOT_TEXT or not text:
                value = self._resolve(text, place)
            if self._has_comments and self._comment_follows(event):
                self.commented.add(place)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, place, 1)
        self._put(value, place)

    def _resolve(self, value: str, place: int) -> Value:
        """Return the value of a plain scalar by the core rules of YAML 1.2; what is no number is text."""
        if value in _WORDS:
            return _WORDS[value]
        if _INT.fullmatch(value):
            return int(value)
        if _FLOAT.fullmatch(value):
            number = float(value)
            if math.isfinite(number):
                return number
        elif not _NOT_FINITE.fullmatch(value):
            return value
        shown = value if len(value) <= 20 else f"{value[:17]}..."
        self._note(place, "not_finite", f"{shown} is not a finite number", "put it in quotes if text is meant")
        return value

    def _comment_follows(self, event: events.ScalarEvent) -> bool:
        text = self._text
        start = end = event.end_mark.index if event.end_mark else 0
        while end < len(text) and text[end] in " \t":
            end += 1
        return end > start and text[end : end + 1] == "#"

    def _open(self, event: events.CollectionStartEvent, data: Container, spots: Container) -> None:
        place = _spot(event)
        if event.tag is not None:
            self._tag(event, place)
        if len(self._stack) >= MAX_DEPTH:
            raise self._stop(place, "too_deep", f"nested more than {MAX_DEPTH} levels deep")
        if self._stack and isinstance(self._stack[-1].data, dict) and self._stack[-1].key_spot < 0:
            hint = "text that holds {{ }} or starts with { or [ must stand in quotes"
            raise self._stop(place, "key_type", "a key must be text, this is a mapping or a list", hint)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._stack.append(_Frame(data=data, spots=spots, place=place, anchor=event.anchor, nodes=self._nodes))
        self._nodes += 1

    def _close(self) -> None:
        frame = self._stack.pop()
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (frame.data, (frame.place, frame.spots), self._nodes - frame.nodes)
        self._put(frame.data, (frame.place, frame.spots))

    def _alias(self, event: events.AliasEvent) -> None:
        place, name = _spot(event), event.anchor
        if name not in self._anchors:
            hint = "text that starts with * must stand in quotes"
            raise self._stop(place, "unknown_alias", f"*{name} refers to nothing named &{name} above it", hint)
        target = self._anchors[name]
        if target is None:
            raise self._stop(place, "recursive_alias", f"*{name} refers to the value it stands in")
        data, spots, nodes = target
        self._aliases += 1
        self._nodes += nodes
        self._expanded += nodes
        if self._aliases > MAX_ALIASES or self._expanded > MAX_EXPANDED:
            hint = "use `defaults:` for what jobs have in common"
            raise self._stop(
                place, "too_many_aliases", "aliases (*name) stand for more than this program expands", hint
            )
        self._put(data, (place, spots[1]) if isinstance(spots, tuple) else place)

    def _put(self, value: Value, where: Spot) -> None:
        """Hand a finished node to what it stands in."""
        if not self._stack:
            self._done = (value, where)
            return
        frame = self._stack[-1]
        if isinstance(frame.data, list):
            frame.data.append(value)
            frame.spots.append(where)
        elif frame.key_spot < 0:
            self._key(frame, value, where[0] if isinstance(where, tuple) else where)
        else:
            if not frame.drop:
                frame.data[frame.key] = value
                frame.spots[frame.key] = (frame.key_spot, where)
            frame.key_spot, frame.drop = -1, False

    def _key(self, frame: _Frame, value: Value, place: int) -> None:
        if isinstance(value, (dict, list)):
            raise self._stop(place, "key_type", "a key must be text, this is a mapping or a list")
        if not isinstance(value, str):
            shown = "empty" if value is None else str(value).lower()
            self._note(place, "key_type", f"a key must be text, this one is {shown}", "put it in quotes")
            frame.drop = True
        elif value == "<<":
            hint = "write the keys out, or put them under `defaults:`"
            self._note(place, "merge_key", "merge keys (<<) are not supported", hint)
            frame.drop = True
        elif value in frame.spots:
            first = (frame.spots[value][0] >> 20) + 1
            hint = f"remove one of the two; the first stands in line {first}"
            self._note(place, "duplicate_key", f"the key {value[:60]!r} is given twice", hint)
            frame.drop = True
        frame.key, frame.key_spot = value, place

    def _tag(self, event: events.ScalarEvent | events.CollectionStartEvent, place: int) -> None:
        hint = "put text that starts with ! in quotes; numbers and text need no tag"
        self._note(place, "tag", f"tags are not supported: {str(event.tag)[:60]}", hint)

    def _note(self, place: int, code: str, message: str, hint: str = "") -> None:
        self.problems.append(self._places.at(place, code, message, hint))
        if len(self.problems) >= _MAX_PROBLEMS:
            raise ManifestError(tuple(self.problems))

    def _stop(self, place: int, code: str, message: str, hint: str = "") -> ManifestError:
        return ManifestError((*self.problems, self._places.at(place, code, message, hint)))


def _spot(event: yaml.Event) -> int:
    mark = event.start_mark
    return spot(mark.line, mark.column) if mark else 0
