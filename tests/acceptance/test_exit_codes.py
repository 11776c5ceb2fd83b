"""The table of exit codes, by those that no other module meets."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from .kit import Workspace

ONE = [{"id": "one", "provider": "openai", "quality": "low", "prompt": "One"}]


@pytest.mark.parametrize(
    "arguments",
    [
        ["staus"], ["run"], ["run", "m.yaml", "--nonsense"], ["run", "m.yaml", "-j", "0"], ["status", "--db"],
        ["-C", "nowhere", "status"], ["list", "--status", "dnoe"], ["export", "--format", "xml"], ["show"],
    ],
)  # fmt: skip
def test_wrong_use_is_2(tmp_path, arguments):
    done = Workspace(folder=tmp_path).run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err
    assert list(tmp_path.iterdir()) == []


def test_help_and_version_are_0(tmp_path):
    project = Workspace(folder=tmp_path)
    assert "run" in project.run("--help").out
    assert "MANIFEST" in project.run("run", "--help").out
    assert project.run("--version").out.startswith("batchgen")
    assert list(tmp_path.iterdir()) == []


def test_nothing_there_is_10(project):
    nothing = project.run("status")
    assert (nothing.code, nothing.out) == (10, "")
    assert "batchgen run" in nothing.err
    assert not project.state.exists()
    assert project.run("run", project.manifest(ONE), "--yes").code == 0
    for arguments in (["show", "nobody"], ["status", "--batch", "nothing"], ["usage", "--batch", "nothing"]):
        done = project.run(*arguments)
        assert (done.code, done.out) == (10, ""), arguments
        assert arguments[-1] in done.err


@pytest.mark.not_on(postgres="compares the file of SQLite")
def test_a_newer_job_table_is_12_and_is_left_alone(project, witness):
    manifest = project.manifest(ONE)
    assert project.run("run", manifest, "--yes").code == 0
    table = project.state / "batchgen.db"
    with closing(sqlite3.connect(table)) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
        connection.execute("update jobs set state = 'pending'")
        connection.commit()
        connection.execute("pragma wal_checkpoint(truncate)")
    before = table.read_bytes()
    sent = len(witness.arrivals())
    for command in (["run", manifest, "--yes"], ["status"], ["plan", manifest]):
        done = project.run(*command)
        assert (done.code, done.out) == (12, ""), command
        assert "newer" in done.err
    assert table.read_bytes() == before
    assert len(witness.arrivals()) == sent


@pytest.mark.not_on(postgres="damages the file of SQLite")
def test_a_damaged_job_table_is_1_without_a_traceback(project, witness):
    project.state.mkdir()
    (project.state / "batchgen.db").write_bytes(b"no database at all" * 500)
    done = project.run("run", project.manifest(ONE), "--yes")
    assert (done.code, done.out) == (1, "")
    assert "batchgen.db" in done.err
    assert witness.arrivals() == []


def test_a_provider_out_of_reach_is_8(project, witness):
    down = {"openai": {"base_url": "http://127.0.0.1:9", "retry": {"first_wait": 0.001, "max_wait": 0.01}}}
    done = project.run("run", project.manifest(ONE, providers=down), "--yes")
    assert (done.code, done.out) == (8, "")
    assert "openai" in done.err
    assert project.jobs()["one"]["state"] == "pending"
    assert {row["charged"] for row in project.ledger().values()} == {"no"}
    assert project.run("run", project.manifest(ONE), "--yes").code == 0
    assert len(witness.charges()) == 1
