"""What the job table tells of earlier calls: how long they took, how large their images were."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from batchgen.errors import StoreError
from batchgen.planning.forecast import Latency
from batchgen.store import migrate
from batchgen.store.history import ENOUGH, RECENT, History, measured


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "batchgen.db"
    migrate.ensure(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO batches VALUES (1, 'b', '/m.yaml', '/out', 0, 0)")
        connection.execute(
            "INSERT INTO jobs (id, batch_id, key, kind, provider, model, task, fingerprint, output, sidecar, tags,"
            " priority, position, state, wanted, delivered, claim, tries, doubts, created_at, updated_at)"
            " VALUES (1, 1, 'k', 'generate', 'p', 'm', '{}', '1:a', 'k', 1, '[]', 0, 0, 'done', 1, 1, 1, 1, 0, 0, 0)"
        )
        connection.commit()
    return path


def answered(path: Path, seconds: list[float | None], *, provider="p", state="delivered") -> None:
    with closing(sqlite3.connect(path)) as connection:
        start = connection.execute("SELECT count(*) FROM attempts").fetchone()[0]
        connection.executemany(
            "INSERT INTO attempts (id, job_id, claim, run_id, provider, model, state, started_at, seconds)"
            " VALUES (?, 1, 1, 'r', ?, 'm', ?, 0, ?)",
            [(f"{start + number:032x}", provider, state, took) for number, took in enumerate(seconds)],
        )
        connection.commit()


def delivered(path: Path, count: int, mime: str, size: int, width: int) -> None:
    answered(path, [None])
    with closing(sqlite3.connect(path)) as connection:
        owner = connection.execute("SELECT max(id) FROM attempts").fetchone()[0]
        connection.executemany(
            "INSERT INTO artifacts (job_id, attempt_id, ordinal, path, sha256, bytes, width, height, mime, created_at)"
            " VALUES (1, ?, 0, 'f', '', ?, ?, 10, ?, 0)",
            [(owner, size, width, mime)] * count,
        )
        connection.commit()


def test_an_empty_table_says_nothing(table):
    assert measured(table) == History()


def test_the_median_and_the_slowest_tenth(table):
    answered(table, [float(number) for number in range(1, 101)])
    answered(table, [9_999.0] * 50, state="missed")  # an error says nothing of how long a render takes
    answered(table, [None] * 50)
    answered(table, [5.0] * (ENOUGH - 1), provider="rare")
    assert measured(table).latencies == {("p", "m"): Latency(median=51, p90=91, measured=True)}


def test_only_the_newest_answers_count(table):
    answered(table, [1000.0] * RECENT)
    answered(table, [1.0] * RECENT)
    assert measured(table).latencies["p", "m"] == Latency(median=1, p90=1, measured=True)


def test_sizes_are_by_format(table):
    delivered(table, ENOUGH, "image/png", 150, 10)
    delivered(table, ENOUGH, "image/png", 50, 10)
    delivered(table, ENOUGH, "image/jpeg", 20, 20)
    delivered(table, ENOUGH - 1, "image/webp", 20, 20)
    assert measured(table).bytes_per_pixel == {"png": 1.0, "jpeg": 0.1}


def test_what_is_no_job_database_is_reported(tmp_path):
    path = tmp_path / "x.db"
    path.write_bytes(b"not a database, but long enough to look at" * 50)
    with pytest.raises(StoreError, match="not a database"):
        measured(path)
