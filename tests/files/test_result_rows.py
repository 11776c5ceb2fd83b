"""Rows of result files: found, compared and read one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.files import result_rows
from batchgen.files.result_rows import ResultRows
from batchgen.providers.openai_batch import OpenAIBatch

OK = b'{"custom_id": "%s", "response": {"status_code": 200, "body": {"n": %d}}, "error": null}\n'
BAD = b'{"custom_id": "%s", "response": {"status_code": 400, "body": {"n": %d}}, "error": null}\n'
FREE = b'{"custom_id": "%s", "response": null, "error": {"code": "batch_expired"}}\n'


def read(*files: Path) -> ResultRows:  # type: ignore[type-arg]
    rows = ResultRows(OpenAIBatch().read_row)
    rows.scan(files)
    return rows


def body(rows: ResultRows, key: str) -> bytes:  # type: ignore[type-arg]
    row = rows.row(key)
    assert row is not None
    assert row.reply is not None
    return bytes(row.reply.body)


def test_rows_are_found_in_any_order(tmp_path: Path) -> None:
    file = tmp_path / "output"
    file.write_bytes(OK % (b"c", 3) + b"\n  \n" + OK % (b"a", 1) + OK.rstrip(b"\n") % (b"b", 2))
    rows = read(file)
    assert [body(rows, key) for key in "abc"] == [b'{"n": 1}', b'{"n": 2}', b'{"n": 3}']
    assert rows.row("d") is None


def test_rows_of_one_request_the_better_one_counts(tmp_path: Path) -> None:
    output, errors = tmp_path / "output", tmp_path / "errors"
    output.write_bytes(OK % (b"a", 1) + OK % (b"a", 2) + BAD % (b"b", 3))
    errors.write_bytes(BAD % (b"a", 4) + FREE % b"a" + FREE % b"b" + FREE % b"c" + BAD % (b"c", 5))
    rows = read(output, errors)
    assert [body(rows, key) for key in "abc"] == [b'{"n": 1}', b'{"n": 3}', b'{"n": 5}']
    assert rows.repeats == 5


def test_rows_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "output"
    file.write_bytes(b"<html>\n" + OK % (b"a", 1) + b'{"id": "x"}\n')
    rows = read(file)
    assert (set(rows.places), rows.unreadable) == ({"a"}, 2)


@pytest.mark.parametrize("excess", [0, 1, 300])
def test_rows_that_are_too_long_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, excess: int) -> None:
    monkeypatch.setattr(result_rows, "MAX_ROW", 100)
    monkeypatch.setattr(result_rows, "_BUFFER", 64)
    file = tmp_path / "output"
    file.write_bytes(OK % (b"a", 1) + b"x" * (100 + excess) + b"\n" + OK % (b"b", 2) + b"y" * 150)
    rows = read(file)
    assert (set(rows.places), rows.unreadable) == ({"a", "b"}, 2)
    assert body(rows, "b") == b'{"n": 2}'


def test_rows_of_a_file_that_changed_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "output"
    file.write_bytes(OK % (b"a", 1))
    rows = read(file)
    file.write_bytes(OK % (b"a", 2))
    with pytest.raises(OSError, match="changed"):
        rows.row("a")
