"""Upgrades: the same shape as the tables, backup first, one transaction or not at all."""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC240, ASYNC251 - nothing else runs on these loops

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select

from batchgen.errors import SchemaMismatch, StoreError
from batchgen.store import marks, migrate, submission_table, totals
from batchgen.store.connection import writing
from batchgen.store.reader import Reader
from batchgen.store.tables import ledger_totals, metadata
from batchgen.store.writer import Writer

from .kit import integrity, loaded, plan

ROOT = Path(__file__).parents[2]
ENSURE = "import sys; from pathlib import Path; from batchgen.store import migrate; migrate.ensure(Path(sys.argv[1]))"

#: A second revision that takes its time between two statements.
NEXT = """
import time
import sqlalchemy as sa
from alembic import op
revision = "9999"
down_revision = "0008"
def upgrade():
    with op.batch_alter_table("runs") as table:
        table.add_column(sa.Column("mood", sa.Text))
    print("half", flush=True)
    time.sleep({pause})
    {last}
    op.create_table("moods", sa.Column("id", sa.Integer, primary_key=True))
"""
ENSURE_NEXT = """
import sys
from pathlib import Path
from batchgen.store import migrate
migrate.HEAD = "9999"
migrate.scripts = lambda: Path(sys.argv[2])
migrate.ensure(Path(sys.argv[1]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "batchgen.db"


def newer_scripts(tmp_path: Path, pause: float = 0, last: str = "pass") -> Path:
    scripts = tmp_path / "scripts"
    shutil.copytree(ROOT / "migrations", scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "9999_next.py").write_text(NEXT.format(pause=pause, last=last))
    return scripts


def rows(path: Path) -> list[tuple[str, str, str | None]]:
    with closing(sqlite3.connect(path)) as dbapi:
        return dbapi.execute("SELECT type, name, sql FROM sqlite_master").fetchall()


def shape(path: Path) -> list[str]:
    return sorted(map(str, rows(path)))


def parts(sql: str | None) -> list[str]:
    """Return what a statement declares, in any order: a column that came later stands behind the constraints."""
    return sorted(" ".join(part.split()) for part in re.split(r",\s|\n\)", sql or "") if part.strip())


async def filled(path: Path) -> None:
    migrate.ensure(path)
    with Writer(path) as writer:
        await loaded(writer, [plan("cat")])


def test_an_upgraded_empty_file_is_what_the_tables_say(path: Path) -> None:
    migrate.ensure(path)
    engine = writing(path)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    fresh = path.with_name("fresh.db")
    fresh.touch()
    engine = writing(fresh)
    with engine.begin() as connection:
        metadata.create_all(connection)
    engine.dispose()
    # Also what the comparison above cannot see: index conditions and orders, checks, word for word.
    tidy = [{name: parts(sql) for _, name, sql in rows(each) if "alembic" not in name} for each in (path, fresh)]
    assert tidy[0] == tidy[1]


def test_head_is_the_newest_revision() -> None:
    assert ScriptDirectory(str(migrate.scripts())).get_heads() == [migrate.HEAD]


def test_an_up_to_date_file_never_loads_alembic(path: Path) -> None:
    migrate.ensure(path)
    before = path.read_bytes()
    code = f"{ENSURE}; assert 'alembic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=ROOT)
    assert path.read_bytes() == before
    assert migrate.revision(path) == migrate.HEAD


def test_four_processes_at_once_on_a_new_file(path: Path) -> None:
    many = [subprocess.Popen([sys.executable, "-c", ENSURE, str(path)], cwd=ROOT) for _ in range(4)]
    assert [one.wait() for one in many] == [0, 0, 0, 0]
    assert migrate.revision(path) == migrate.HEAD
    assert integrity(path) == "ok"
    assert not list(path.parent.glob("*.before-*"))


async def test_a_newer_table_is_refused_without_a_write(path: Path) -> None:
    await filled(path)
    with closing(sqlite3.connect(path)) as dbapi:
        dbapi.execute("UPDATE alembic_version SET version_num = 'fffffff'")
        dbapi.commit()
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match="newer batchgen") as caught:
        migrate.ensure(path)
    assert caught.value.exit_code == 12
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir() if not file.name.endswith(("-shm", "-wal"))] == [path.name]


async def test_an_older_table_is_backed_up_and_upgraded(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(path)
    scripts = newer_scripts(tmp_path)
    monkeypatch.setattr(migrate, "HEAD", "9999")
    monkeypatch.setattr(migrate, "scripts", lambda: scripts)
    migrate.ensure(path)
    assert migrate.revision(path) == "9999"
    backup = path.with_name("batchgen.db.before-0008")
    assert migrate.revision(backup) == "0008"
    assert backup.stat().st_mode & 0o777 == 0o600
    for file in (path, backup):
        with Reader(file) as reader:
            assert reader.job(1, "cat").task.prompt == "a cat"


async def test_a_copy_of_a_killed_upgrade_is_removed_and_one_in_progress_is_not(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(path)
    scripts = newer_scripts(tmp_path)
    monkeypatch.setattr(migrate, "HEAD", "9999")
    monkeypatch.setattr(migrate, "scripts", lambda: scripts)
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead, living, other = (
        path.with_name(f"batchgen.db.before-0008.{tag}.part") for tag in (ended.pid, os.getppid(), "mine")
    )
    for part in (dead, living, other):
        part.touch()
    migrate.ensure(path)
    assert [part.exists() for part in (dead, living, other)] == [False, True, True]
    assert migrate.revision(path.with_name("batchgen.db.before-0008")) == "0008"


async def test_a_failed_upgrade_is_undone_and_names_the_backup(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(path)
    before = shape(path)
    scripts = newer_scripts(tmp_path, last="raise RuntimeError('half way')")
    monkeypatch.setattr(migrate, "HEAD", "9999")
    monkeypatch.setattr(migrate, "scripts", lambda: scripts)
    with pytest.raises(SchemaMismatch, match=r"half way.*before-0008"):
        migrate.ensure(path)
    assert shape(path) == before
    assert migrate.revision(path) == "0008"


@pytest.mark.parametrize("pause", [0.0, 0.15])
async def test_kill_9_in_mid_migration_leaves_the_old_or_the_new(path: Path, tmp_path: Path, pause: float) -> None:
    await filled(path)
    old = shape(path)
    scripts = newer_scripts(tmp_path, pause=0.1)
    command = [sys.executable, "-c", ENSURE_NEXT, str(path), str(scripts)]
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "half\n"
    time.sleep(pause)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert integrity(path) == "ok"
    assert migrate.revision(path) in {"0008", "9999"}
    assert (shape(path) == old) == (migrate.revision(path) == "0008")
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    assert migrate.revision(path) == "9999"
    with Reader(path) as reader:
        assert reader.job(1, "cat").key == "cat"


def test_a_foreign_database_and_triggers_are_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as dbapi:
        dbapi.execute("CREATE TABLE recipes (name)")
    with pytest.raises(StoreError, match="another program"):
        migrate.ensure(path)
    path.unlink()
    migrate.ensure(path)
    with closing(sqlite3.connect(path)) as dbapi:
        dbapi.execute("CREATE TRIGGER t AFTER INSERT ON jobs BEGIN DELETE FROM ledger; END")
    with pytest.raises(StoreError, match="triggers"):
        migrate.ensure(path)


def test_a_place_where_nothing_can_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        migrate.ensure(tmp_path / "file" / "batchgen.db")


#: What an older program left of 2,500 calls: of two providers, in two days, with one in a hundred at risk.
OLDER = """
CREATE TEMP TABLE numbers AS
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) SELECT i, i % 100 = 0 AS odd FROM n;
INSERT INTO batches VALUES (1, 'b', '/m.yaml', '/out', 0, 0);
INSERT INTO jobs (id, batch_id, key, kind, provider, model, task, fingerprint, output, sidecar, tags, priority,
  position, state, wanted, delivered, claim, tries, doubts, created_at, updated_at)
  SELECT i, 1, i, 'generate', iif(i % 7, 'openai', 'aigate'), 'm', '{}', 'f', i, 1, '[]', 0, i, 'done', 1, 1, 1, 1, 0,
  0, 0 FROM numbers;
INSERT INTO attempts (id, job_id, claim, run_id, provider, model, state, cause, started_at)
  SELECT i, i, 1, 'r', 'openai', 'm', iif(odd, 'missed', 'delivered'), iif(odd, 'unknown', NULL), i FROM numbers;
INSERT INTO ledger (attempt_id, batch_id, run_id, provider, model, kind, at, usd, basis, charged, at_risk_usd, images)
  SELECT i, 1, 'r', 'openai', 'm', 'generate', i * 60000000, iif(odd, NULL, i), 'priced', iif(odd, 'maybe', 'yes'),
  iif(odd, i, NULL), 1 FROM numbers;
"""


def upgraded_to(path: Path, version: str) -> None:
    path.touch()
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.set_main_option("path_separator", "os")
    engine = writing(path)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()


def test_upgrade_keeps_open_attempts_of_the_version_before(path: Path) -> None:
    upgraded_to(path, "0005")
    with closing(sqlite3.connect(path)) as dbapi:
        dbapi.executescript(OLDER)
        dbapi.execute("UPDATE attempts SET state = 'open', cause = NULL WHERE id IN ('7', '14')")
        task = '{"kind":"generate","prompt":"p","provider":"openai","model":"m"}'
        dbapi.execute("UPDATE jobs SET state = 'running', task = ? WHERE id IN (7, 14)", (task,))
        dbapi.commit()
    migrate.ensure(path)
    with Reader(path) as reader:
        left = [record for _, record in reader.open_attempts(1)]
        assert [(record.id, record.handle, record.mode, record.submission_id) for record in left] == [
            ("7", None, "standard", None),
            ("14", None, "standard", None),
        ]
        assert reader.ask(lambda connection: connection.execute(select(submission_table.submissions)).all()) == []


def test_an_upgrade_adds_up_the_ledger_of_an_older_program(path: Path) -> None:
    upgraded_to(path, "0002")
    with closing(sqlite3.connect(path)) as dbapi:
        dbapi.executescript(OLDER)
    migrate.ensure(path)
    assert len(marks.database_id(path)) == 32
    with Reader(path) as reader:
        assert reader.ask(partial(marks.of_batch, batch_id=1)) == []
        assert reader.ask(lambda connection: connection.scalar(select(func.max(ledger_totals.c.block)))) == 1
        assert reader.ask(totals.differing_blocks) == 0
        [line] = reader.usage(1)
        assert (line.attempts, line.images, line.at_risk) == (2_500, 2_500, 25)
        assert line.usd_by_basis == {"priced": sum(number for number in range(1, 2_501) if number % 100)}
        calls = {(each.home, each.outcome): each.count for each in reader.calls(1)}
    assert (calls["aigate", "delivered"], calls["openai", "unknown"]) == (354, 22)
