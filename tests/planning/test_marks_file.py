"""Files of marks: what the page writes is read, and every mistake is named with its place."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest

from batchgen.cli.render.format import csv_line
from batchgen.errors import UsageError
from batchgen.mark import NO_PICTURE, Mark
from batchgen.planning import marks_file

NOW = datetime(2026, 3, 1, 6, 30, tzinfo=UTC)
DIGEST = "0123456789abcdef"
ENTRY: dict[str, Any] = {
    "id": "cat", "picture": 1, "sha256": DIGEST, "mark": "pick", "stars": 0, "note": "",
    "at": "2026-03-01T06:30:00.000Z",
}  # fmt: skip
MARKS = [
    Mark(key="cat", ordinal=1, sha256=DIGEST * 4, mark="reject", stars=2, note='=1+1, "so"\nit is', at=NOW),
    Mark(key="-dash", ordinal=0, sha256=DIGEST * 4, mark="pick", note="@home", at=NOW),
    Mark(key="lost", ordinal=NO_PICTURE, note="no picture", at=NOW),
]


def whole(*entries: Any, **changes: Any) -> str:
    facts = {"schema_version": 1, "database": "d" * 32, "batch": "autumn", "sandbox": False, "marks": list(entries)}
    return json.dumps(facts | changes)


def test_marks_json_is_read_as_it_was_written():
    text = json.dumps(marks_file.document(MARKS, database="d" * 32, batch="autumn", sandbox=True, now=NOW))
    file = marks_file.read(text, "marks.json", NOW)
    assert (file.database, file.batch, file.sandbox) == ("d" * 32, "autumn", True)
    assert file.marks == MARKS
    assert [mark.at for mark in file.marks] == [NOW] * 3
    assert file.lines == {"cat": 1, "-dash": 2, "lost": 3}


def test_table_is_read_as_it_was_written_and_its_guards_are_taken_off():
    text = "\n".join(map(csv_line, marks_file.rows(MARKS)))
    assert "\n'-dash," in text
    assert "'@home" in text
    file = marks_file.read(text, "marks.csv", NOW)
    assert file.marks == MARKS
    assert (file.database, file.batch, file.sandbox) == (None, None, None)
    assert file.lines == {"cat": 3, "-dash": 4, "lost": 5}  # the note of the first has two lines


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_table_of_a_spreadsheet_is_read(delimiter: str):
    buffer = StringIO()
    header = ("SHA256", "At", "ID", "Picture", "Mark", "who")
    csv.writer(buffer, delimiter=delimiter).writerows([header, (DIGEST, "", " cat ", "1", "Pick", "Ada"), [], [""] * 6])
    file = marks_file.read("\ufeff" + buffer.getvalue(), "marks.csv", NOW)
    assert file.marks == [Mark(key="cat", ordinal=0, sha256=DIGEST, mark="pick", at=NOW)]
    assert file.marks[0].at == NOW


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "the id is missing"),
        ({"picture": -1}, "picture must be its number"),
        ({"picture": "one"}, "picture must be its number"),
        ({"picture": True}, "picture must be its number"),
        ({"sha256": "0123"}, "at least 16 hexadecimal digits"),
        ({"sha256": "1.23457E+15 .... "}, "at least 16 hexadecimal digits"),
        ({"sha256": None}, "at least 16 hexadecimal digits"),
        ({"picture": 0}, "at least 16 hexadecimal digits"),
        ({"mark": "maybe"}, "mark must be pick, reject or null"),
        ({"stars": 6}, "stars must be a whole number from 0 to 5"),
        ({"note": 7}, "note must be a text"),
        ({"note": "x" * 1001}, "at most 1,000 characters"),
        ({"at": "yesterday"}, "at must be a time"),
        ({"at": None}, "at must be a time"),
    ],
)
def test_mistake_in_an_entry_is_named_with_its_place(changes: dict[str, Any], message: str):
    with pytest.raises(UsageError) as caught:
        marks_file.read(whole(ENTRY, ENTRY | changes), "m.json", NOW)
    assert "m.json: entry 2: " in str(caught.value)
    assert message in str(caught.value)
    assert "Nothing was changed" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "is not a file of marks"),
        ('{"jobs": []}', "is not a file of marks"),
        (whole(sandbox=None), "is not a file of marks"),
        (whole(database=7), "is not a file of marks"),
        (whole(schema_version=2), "Upgrade batchgen"),
        ("id,mark\ncat,pick\n", "picture is missing"),
        ("", "id is missing"),
        ('id,picture,sha256\n"cat,1', "m:2: "),
        (f"id,picture,sha256\ncat,1,{DIGEST}\ncat,x,{DIGEST}", "line 3: picture"),
        (whole(7), "entry 1: the id is missing"),
    ],
)
def test_file_of_another_kind_is_refused(text: str, message: str):
    with pytest.raises(UsageError) as caught:
        marks_file.read(text, "m", NOW)
    assert message in str(caught.value)
    assert "Nothing was changed" in str(caught.value)


def test_many_mistakes_are_counted():
    with pytest.raises(UsageError, match="and 15 more"):
        marks_file.read(whole(*[ENTRY | {"mark": "x"}] * 25), "m.json", NOW)


def test_note_loses_what_steers_a_terminal():
    mark = marks_file.parse_entry(ENTRY | {"note": " a\x1b[31mb\n\ud800c \x7f"})
    assert mark.note == "a[31mb\nc"


@pytest.mark.parametrize("at", ["2026-03-01T06:30:00Z", "2026-03-01T07:30:00+01:00", "2026-03-01T06:30:00"])
def test_time_is_read_in_any_zone(at: str):
    assert marks_file.parse_entry(ENTRY | {"at": at}).at == NOW
