"""Axes: the same tests with PostgreSQL, an object store or Ray in place of the usual.

``pytest --axis NAME tests/acceptance`` runs the tests of MODULES, except those that are marked ``not_on``, and
``python -m tests.torture --axis NAME`` breaks runs as without. Tests see
one world: what they read and write below ``output`` is a mirror of the bucket, addresses of the bucket are cut from
what batchgen prints, and queries go to the job database where it is.
"""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.servers.postgres import Database
    from tests.servers.ray_workers import Pool
    from tests.servers.s3 import Bucket

Line = dict[str, Any]
NAMES = ("postgres", "s3", "ray")
#: The modules about running batches; the others are about the command line, manifests or this machine.
_BATCHES = {
    "at_risk", "budget", "control", "faults", "files", "interrupted_answers", "kill", "redo", "resume", "routes",
    "stop_conditions", "usage",
}  # fmt: skip
_RECORDS = {"exit_codes", "marks", "next_command", "schedule", "summary", "two_folders", "verify"}
_LOST = {"batch_troubles", "lost_database", "lost_sidecars"}
_FILES = {"clean", "deliver", "export", "run_report"}
MODULES = {
    "postgres": _BATCHES | _RECORDS | _LOST | {"chains", "output", "run_options"},
    "s3": _BATCHES | _RECORDS | _FILES | {"chains", "run_options"},
    "ray": {"files", "kill", "usage"},  # a run on a cluster takes seconds to start
}


class Axis:
    """The usual: a job database in SQLite, files in folders, calls from this process."""

    #: What ``rows`` raises where there is no job database yet.
    error: type[Exception] = sqlite3.Error
    #: What must be in no file and no message.
    secrets: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder  #: of the user
        self.env: dict[str, str] = {}

    def output(self, settings: Line) -> Line:
        """Return the manifest's settings of the output."""
        return settings

    def rows(self, query: str, values: tuple[object, ...]) -> list[Line]:
        """Query the job database without batchgen."""
        with closing(sqlite3.connect(self.folder / ".batchgen" / "batchgen.db", timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            with connection:
                return [dict(row) for row in connection.execute(query, values)]

    def dump(self) -> bytes:
        """Return all that is in the job database."""
        return (self.folder / ".batchgen" / "batchgen.db").read_bytes()

    def lose(self) -> None:
        """Lose the job database."""
        for path in (self.folder / ".batchgen").glob("batchgen.db*"):
            path.unlink()

    def damage(self) -> list[str]:
        """Return what is wrong with the job database itself."""
        [whole] = self.rows("pragma integrity_check", ())
        broken = self.rows("pragma foreign_key_check", ())
        return [f"{whole}, {len(broken)} broken references"] if broken or set(whole.values()) != {"ok"} else []

    def push(self) -> None:
        """Carry what the test did to delivered files to where batchgen finds them."""

    def pull(self) -> None:
        """Carry what batchgen delivered to where the test finds it."""

    def spools(self) -> list[Path]:
        """Return the folders in which answers wait for a batch that is named as the user's folder."""
        return [self.folder / ".batchgen" / "spool"]

    def text(self, text: str) -> str:
        """Return what batchgen printed, as it is without the axis."""
        return text


class PostgresAxis(Axis):
    """The job database in PostgreSQL."""

    def __init__(self, folder: Path, database: Database) -> None:
        super().__init__(folder)
        import psycopg

        from tests.servers.postgres import PASSWORD

        self.error = psycopg.Error
        self.secrets = (PASSWORD,)
        self._database = database
        self.env = {"BATCHGEN_DB": database.bare_url, "PGPASSWORD": PASSWORD}

    def rows(self, query: str, values: tuple[object, ...]) -> list[Line]:
        return self._database.rows(query, *values)

    def dump(self) -> bytes:
        tables = self._database.rows("select tablename from pg_tables where schemaname = current_schema()")
        rows = {row["tablename"]: self._database.rows(f'select * from "{row["tablename"]}"') for row in tables}
        return repr(rows).encode()

    def lose(self) -> None:
        self._database.clear()

    def damage(self) -> list[str]:
        return []  # PostgreSQL refuses broken references, and checks its pages itself

    def text(self, text: str) -> str:
        assert self.secrets[0] not in text, "the password of the job database was printed"
        return text.replace(f" --db {self._database.bare_url}", "")


class S3Axis(Axis):
    """The output folder in an object store, with a mirror of it where the folder is without the axis."""

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        super().__init__(folder)
        from tests.servers.s3 import SECRET

        self.secrets = (SECRET,)
        self._bucket = bucket
        self._objects: dict[str, object] = {}  #: name -> version of what the mirror has
        self._files: dict[str, tuple[int, int]] = {}  #: name -> time and size of its file
        self.env = dict(bucket.env)

    def output(self, settings: Line) -> Line:
        folder = settings.get("dir", "output/{{ name }}")
        return settings | {"dir": f"{self._bucket.url}/{folder}"}

    def rows(self, query: str, values: tuple[object, ...]) -> list[Line]:
        rows = super().rows(query, values)
        for row in rows:
            if "path" in row:
                row["path"] = row["path"].removeprefix(f"{self._bucket.url}/")
        return rows

    def push(self) -> None:
        files = {}
        for path in (self.folder / "output").rglob("*"):
            if path.is_file():
                files[str(path.relative_to(self.folder))] = _look(path)
        for name, look in files.items():
            if self._files.get(name) != look:
                self._bucket.write(name, (self.folder / name).read_bytes())
        gone = self._files.keys() - files.keys()
        self._bucket.delete(*gone)
        if gone or files != self._files:
            self._note(files)

    def pull(self) -> None:
        objects = self._bucket.versions("output")
        for name, version in objects.items():
            if _is_own(name) or self._objects.get(name) == version:
                continue
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # it may be gone since it was listed
                path.write_bytes(self._bucket.read(name))
                self._files[name] = _look(path)
        for name in self._objects.keys() - objects.keys():
            (self.folder / name).unlink(missing_ok=True)
            self._files.pop(name, None)
            self._prune((self.folder / name).parent)
        self._objects = {name: version for name, version in objects.items() if not _is_own(name)}

    def text(self, text: str) -> str:
        assert self.secrets[0] not in text, "the secret of the object store was printed"
        return text.replace(f"{self._bucket.url}/", "")

    def _note(self, files: dict[str, tuple[int, int]]) -> None:
        self._files = files
        self._objects = {name: version for name, version in self._bucket.versions("output").items() if name in files}

    def _prune(self, folder: Path) -> None:
        """Remove folders without files, which an object store does not have."""
        while folder != self.folder and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent


class RayAxis(Axis):
    """Calls from the workers of a Ray cluster."""

    def __init__(self, folder: Path, pool: Pool) -> None:
        super().__init__(folder)
        self.env = pool.environment()
        self.secrets = (pool.cluster.token,)
        self._pool = pool
        self._options = "".join(f" --{name} {value}" for name, value in pool.options().items())

    def spools(self) -> list[Path]:
        return [*super().spools(), *self._pool.spools.glob(f"{self.folder.name}-{'?' * 12}")]

    def text(self, text: str) -> str:
        return text.replace(self._options, "")


def _look(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _is_own(name: str) -> bool:
    """Return whether an object is one that batchgen keeps for itself, as the lock file of a folder is."""
    return any(part.startswith(".batchgen") for part in name.split("/"))
