"""Files of marks: marks.json as the page and ``marks list --json`` write it, and its table as CSV. Pure."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from ..errors import UsageError
from ..manifest.cells import without_guard
from ..manifest.lists.dialect import guess_delimiter
from ..mark import NO_PICTURE, NOTE_LENGTH, PICK, REJECT, STARS, Mark, instant

#: Columns of the table, in this order.
COLUMNS = ("id", "picture", "mark", "stars", "note", "sha256", "at")
#: Columns without which a table is not one of marks.
_NEEDED = ("id", "picture", "sha256")
_VERSION = 1
_MIN_DIGITS = 16
#: Mistakes that one error shows.
_SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class MarksFile:
    """The marks in a file, and where they were made."""

    name: str
    marks: Sequence[Mark]
    lines: Mapping[str, int]  #: the first line or entry of each id
    database: str | None = None  #: id of the job database; None: a table does not name it
    batch: str | None = None
    sandbox: bool | None = None


def document(marks: Iterable[Mark], *, database: str, batch: str, sandbox: bool, now: datetime) -> dict[str, Any]:
    """Return the document of ``marks.json``."""
    return {
        "schema_version": _VERSION,
        "database": database,
        "batch": batch,
        "sandbox": sandbox,
        "exported_at": instant(now),
        "marks": [mark.as_json() for mark in marks],
    }


def rows(marks: Iterable[Mark]) -> Iterator[list[Any]]:
    """Yield the rows of the table, the header first."""
    yield list(COLUMNS)
    for mark in marks:
        entry = mark.as_json()
        yield [entry[name] for name in COLUMNS]


def read(text: str, name: str, now: datetime) -> MarksFile:
    """Return the marks in a file with this *text*; raise UsageError with the place of each mistake.

    A mark in a table without a time is of *now*.
    """
    text = text.removeprefix("\ufeff")
    if text.lstrip()[:1] in ("{", "["):
        return _read_json(text, name)
    return _read_table(text, name, now)


def parse_entry(entry: Any) -> Mark:  # noqa: ANN401 - any JSON value
    """Return the mark in an entry of ``marks.json``; raise ValueError."""
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    key, picture, stars = fields.get("id"), fields.get("picture"), fields.get("stars") or 0
    digest, mark = fields.get("sha256") or "", fields.get("mark")
    if not isinstance(key, str) or not key:
        raise ValueError("the id is missing")
    if not isinstance(picture, int) or not _is_whole(picture, 0, 1_000_000):
        raise ValueError(f"picture must be its number, from 1, or 0 for a job without a picture, not {picture!r}")
    if not _is_digest(digest, needed=picture != 0):
        raise ValueError(f"sha256 must be at least {_MIN_DIGITS} hexadecimal digits, not {digest!r}")
    if mark not in (PICK, REJECT, None):
        raise ValueError(f"mark must be {PICK}, {REJECT} or null, not {mark!r}")
    if not _is_whole(stars, 0, STARS):
        raise ValueError(f"stars must be a whole number from 0 to {STARS}, not {stars!r}")
    return Mark(
        key=key,
        ordinal=picture - 1 if picture else NO_PICTURE,
        sha256=digest.lower() if picture else "",
        mark=mark,
        stars=stars,
        note=_note(fields.get("note")),
        at=_moment(fields.get("at")),
    )


def _is_whole(value: Any, least: int, most: int) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_digest(value: Any, *, needed: bool) -> bool:  # noqa: ANN401 - any JSON value
    if not needed:
        return bool(value == "")
    digits = set("0123456789abcdefABCDEF")
    return isinstance(value, str) and _MIN_DIGITS <= len(value) <= 64 and digits.issuperset(value)


def _note(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > NOTE_LENGTH:
        raise ValueError(f"note must be a text of at most {NOTE_LENGTH:,} characters")
    # Without control characters and halves of characters, which a database or a terminal cannot take.
    printable = (char for char in value if char in "\n\t" or (char >= " " and char != "\x7f"))
    return "".join(printable).encode("utf-8", "ignore").decode().strip()


def _moment(value: Any) -> datetime:  # noqa: ANN401 - any JSON value
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"at must be a time such as 2026-03-01T06:30:00Z, not {value!r}") from None


# --- marks.json ---------------------------------------------------------------


def _read_json(text: str, name: str) -> MarksFile:
    try:
        file = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} cannot be read as JSON: {error}. Nothing was changed") from None
    fields: dict[str, Any] = file if isinstance(file, dict) else {}
    facts = {key: fields.get(key) for key in ("database", "batch", "sandbox")}
    entries = fields.get("marks")
    if not isinstance(entries, list) or tuple(map(type, facts.values())) != (str, str, bool):
        raise UsageError(
            f"{name} is not a file of marks: it lacks database, batch, sandbox or marks. Save it on the page of a "
            "report, or by batchgen marks list --json. Nothing was changed"
        )
    if fields.get("schema_version") != _VERSION:
        raise UsageError(
            f"{name}: schema_version is {fields.get('schema_version')!r}, and this batchgen reads {_VERSION}. "
            "Upgrade batchgen. Nothing was changed"
        )
    places = ((f"entry {number}", number, entry) for number, entry in enumerate(entries, 1))
    marks, lines = _parse_entries(places, name)
    return MarksFile(name=name, marks=marks, lines=lines, **facts)


def _parse_entries(places: Iterable[tuple[str, int, Any]], name: str) -> tuple[list[Mark], dict[str, int]]:
    """Return the marks in entries, each with its place in words and its number; raise UsageError with all mistakes."""
    marks, lines, mistakes = list[Mark](), dict[str, int](), list[str]()
    for place, number, entry in places:
        try:
            mark = parse_entry(entry)
        except ValueError as error:
            mistakes.append(f"{name}: {place}: {error}")
            continue
        marks.append(mark)
        lines.setdefault(mark.key, number)
    if mistakes:
        more = f"\nand {len(mistakes) - _SHOWN:,} more" if len(mistakes) > _SHOWN else ""
        raise UsageError("Nothing was changed.\n" + "\n".join(mistakes[:_SHOWN]) + more)
    return marks, lines


# --- the table ----------------------------------------------------------------


def _read_table(text: str, name: str, now: datetime) -> MarksFile:
    lines = list(StringIO(text, newline=""))
    header = lines[0] if lines else ""
    delimiter = "\t" if "\t" in header else guess_delimiter(header, lines[1:20])
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        columns = [column.strip().casefold() for column in next(reader, [])]
        if absent := [column for column in _NEEDED if column not in columns]:
            raise UsageError(
                f"{name}: a table of marks needs the columns {', '.join(COLUMNS)}; {absent[0]} is missing. "
                "batchgen marks list --csv prints one. Nothing was changed"
            )
        marks, numbers = _parse_entries(_table_entries(reader, columns, now), name)
    except csv.Error as error:
        raise UsageError(f"{name}:{reader.line_num}: {error}. Nothing was changed") from None
    return MarksFile(name=name, marks=marks, lines=numbers)


def _table_entries(
    reader: Any,  # noqa: ANN401 - of the csv module, which has no public name for it
    columns: Sequence[str],
    now: datetime,
) -> Iterator[tuple[str, int, Any]]:
    for row in reader:
        cells = {column: without_guard(cell) for column, cell in zip(columns, row, strict=False)}
        if any(cell.strip() for cell in cells.values()):
            yield f"line {reader.line_num}", reader.line_num, _entry(cells, now)


def _entry(cells: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """Return a row as an entry of ``marks.json``; empty cells are unset."""
    plain = {name: cell.strip() for name, cell in cells.items()}
    return {
        "id": plain["id"],
        "picture": _number(plain["picture"]),
        "sha256": plain["sha256"],
        "mark": plain.get("mark", "").casefold() or None,
        "stars": _number(plain.get("stars", "") or "0"),
        "note": cells.get("note", ""),
        "at": plain.get("at") or now.isoformat(),
    }


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text
