"""Files that select jobs by id: lists of ids, and prompts that were edited outside of the manifest."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..files.object_catalog import ObjectCatalog
from ..object_url import is_object_url
from ..wording import INVISIBLE, is_blank, tidy
from .cells import without_guard
from .filenames import control
from .lists import BadList, Listing, listing
from .lists.place import Place
from .lists.text import ListFile

ID, PROMPT = "id", "prompt"
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".xlsx", ".xlsm")
#: Tables whose cells have a quote before what a spreadsheet would run, if batchgen or the page of a report wrote them.
_GUARDED = (".csv", ".tsv")
#: Characters around an id that are not part of it.
_SURROUNDING = " \t\r\n\xa0" + INVISIBLE
#: Mistakes that one error shows.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class PromptEdits:
    """New prompts by job id, and the line of each."""

    prompts: Mapping[str, str]
    lines: Mapping[str, int]


def read_ids(name: str, folder: Path) -> Mapping[str, int]:
    """Return the ids in the file *name* with their lines; raise UsageError.

    A table (csv, tsv, jsonl, xlsx) needs a column ``id``; any other file has one id on each line.
    """
    problems = _Problems(name)
    try:
        columns = _id_columns(name, folder) if Path(name).suffix.lower() in _TABLES else None
        if columns is not None:
            return _ids(_table_ids(*columns, problems), problems)
        objects = ObjectCatalog()
        return parse_ids((text for _, text in _file(name, folder, objects).lines()), name)
    except BadList as error:
        raise UsageError(f"--ids-from: {error}") from error


def parse_ids(lines: Iterable[str], name: str) -> Mapping[str, int]:
    """Return the ids in *lines* with their numbers; blank lines and a heading ``id`` are skipped. Raise UsageError."""
    problems = _Problems(name)

    def ids() -> Iterator[tuple[int, str]]:
        for number, line in enumerate(lines, 1):
            text = line.strip(_SURROUNDING)
            if text and (number, text.casefold()) != (1, ID):
                yield number, text

    return _ids(ids(), problems)


def _file(name: str, folder: Path, objects: ObjectCatalog) -> ListFile:
    """Return the file *name*, or the copy of an object with that URL, which *objects* keeps."""
    if not is_object_url(name):
        return ListFile(str(folder / name))
    place = Place.of(name, folder, "txt", objects)
    return ListFile(place.file, place.path)


def _ids(pairs: Iterable[tuple[int, str]], problems: _Problems) -> Mapping[str, int]:
    """Return the lines of ids, of a repeated one the first; raise UsageError if there are none."""
    lines: dict[str, int] = {}
    for number, key in pairs:
        lines.setdefault(key, number)
    problems.raise_if_any("--ids-from")
    if not lines:
        raise UsageError(f"--ids-from: {problems.file} contains no id. Put one id on each line. Nothing was sent")
    return lines


def _id_columns(name: str, folder: Path) -> tuple[Listing, str] | None:
    """Return a table and the name of its column of ids; None for a file that is only a column without a heading."""
    rows = listing(name, folder)
    if rows.columns is None:
        return rows, ID
    column = _column(rows.columns, ID)
    if column is None and len(rows.columns) > 1:
        raise BadList(f"{rows.file} has no column {ID!r}; its columns: {', '.join(rows.columns)}")
    return None if column is None else (rows, column)


def _table_ids(rows: Listing, column: str, problems: _Problems) -> Iterator[tuple[int, str]]:
    for line, row in rows.rows(problems.report):
        key = _text(row.get(column)).strip(_SURROUNDING)
        key = without_guard(key) if rows.file.lower().endswith(_GUARDED) else key
        if key:
            yield line, key
        else:
            problems.report(line, 1, "no_id", "the row has no id", "")


def read_prompts(name: str, folder: Path) -> PromptEdits:
    """Return the prompts in the file *name*, a table with the columns id and prompt, by id; raise UsageError.

    A csv or tsv file with two columns needs no header. Prompts are taken literally: they are not templates.
    """
    problems, prompts, lines = _Problems(name), dict[str, str](), dict[str, int]()
    try:
        for line, key, prompt in _prompt_rows(name, folder, problems.report):
            if not key:
                problems.report(line, 1, "no_id", "the row has no id", "")
            elif key in lines:
                problems.report(line, 1, "duplicate_id", f"the id {key} is in line {lines[key]} already", "remove one")
            elif is_blank(prompt):
                problems.report(line, 1, "empty_prompt", f"the prompt of {key} is empty", "")
            elif char := control(prompt, allow="\t\n"):
                problems.report(line, 1, "control_character", f"the prompt of {key} contains {char}", "remove it")
            else:
                prompts[key] = prompt
            lines.setdefault(key, line)
    except (BadList, csv.Error) as error:
        raise UsageError(f"--prompts: {error}. Nothing was sent") from error
    problems.raise_if_any("--prompts")
    if not prompts:
        raise UsageError(f"--prompts: {name} contains no prompt. Nothing was sent")
    return PromptEdits(prompts=prompts, lines=lines)


def _prompt_rows(name: str, folder: Path, report: Callable[..., None]) -> Iterator[tuple[int, str, str]]:
    if Path(name).suffix.lower() not in _TABLES:
        raise BadList(f"{name} is not a table: use a .csv file with the columns {ID} and {PROMPT}")
    rows = listing(name, folder)
    columns = (ID, PROMPT) if rows.columns is None else rows.columns
    key, prompt = _column(columns, ID), _column(columns, PROMPT)
    if key is None and prompt is None and len(columns) == 2 and name.lower().endswith(("csv", "tsv")):
        yield from _without_header(name, folder)
        return
    if key is None or prompt is None:
        raise BadList(f"{rows.file} needs the columns {ID} and {PROMPT}; its columns: {', '.join(columns)}")
    for line, row in rows.rows(report):
        texts = (_text(row.get(key)), _text(row.get(prompt)))
        job, text = map(without_guard, texts) if name.lower().endswith(_GUARDED) else texts
        yield line, job.strip(_SURROUNDING), tidy(text)


def _without_header(name: str, folder: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the rows of a file with ids and prompts but no header."""
    objects = ObjectCatalog()
    lines = [text for _, text in _file(name, folder, objects).lines()]
    first = next((line for line in lines if line.strip()), "")
    delimiter = "\t" if name.lower().endswith("tsv") else ";" if ";" in first and "," not in first else ","
    reader, line = csv.reader(lines, delimiter=delimiter, strict=True), 1
    for row in reader:
        if len(row) > 2:
            raise BadList(f"{name}:{line}:1: the row has {len(row)} cells, not two; put a prompt with commas in quotes")
        if any(cell.strip(_SURROUNDING) for cell in row):
            prompt = row[1] if len(row) > 1 else ""
            yield line, without_guard(row[0].strip(_SURROUNDING)), tidy(without_guard(prompt))
        line = reader.line_num + 1


def _column(columns: Iterable[str], name: str) -> str | None:
    return next((column for column in columns if column.strip(_SURROUNDING).casefold() == name), None)


def _text(value: Any) -> str:  # noqa: ANN401 - a cell of a JSON row may be anything
    return "" if value is None else str(value)


class _Problems:
    """The mistakes found in one file, as ``file:line:column: message``."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._texts: list[str] = []

    def report(self, line: int, column: int, code: str, message: str, hint: str) -> None:
        """Add one mistake."""
        del code
        self._texts.append(f"{self.file}:{line}:{column}: {message}" + (f" ({hint})" if hint else ""))

    def raise_if_any(self, option: str) -> None:
        """Raise UsageError with all mistakes, or with the first ones and their number."""
        if not self._texts:
            return
        more = f"\nand {len(self._texts) - _SHOWN} more" if len(self._texts) > _SHOWN else ""
        raise UsageError(f"{option}: nothing was sent\n" + "\n".join(self._texts[:_SHOWN]) + more)
