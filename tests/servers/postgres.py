"""A real PostgreSQL for tests: initialised in a temporary folder, on loopback, with a new database for each test."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.needs import missing

from .process import SETPRIV, Server, free_port, remove

USER = "batchgen"
#: Found nowhere by chance: a test that finds it in an output has found a leak.
PASSWORD = "pw-canary-Rk7sN2vX8qM4tB9w"
#: Small and quick; messages in English whatever the machine speaks.
SETTINGS = ("max_connections=200", "shared_buffers=32MB", "unix_socket_directories=", "listen_addresses=127.0.0.1",
            "lc_messages=C", "log_line_prefix=%m [%p] %q%a ")  # fmt: skip
UNSAFE = ("fsync=off", "full_page_writes=off")


@dataclass(frozen=True, kw_only=True)
class Database:
    """An empty database of the server."""

    name: str
    port: int

    @property
    def url(self) -> str:
        """The address as a user of batchgen writes it, with the password."""
        return f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{self.name}"

    @property
    def bare_url(self) -> str:
        """The address without the password, which PGPASSWORD has then."""
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{self.name}"

    def connect(self, **options: Any) -> Any:
        """Open a connection of psycopg, without batchgen."""
        import psycopg

        own = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD, "dbname": self.name}
        return psycopg.connect(**(own | {"autocommit": True} | options))

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Query the database without batchgen; placeholders are ``?``, as in SQLite."""
        from psycopg.rows import dict_row

        with contextlib.closing(self.connect(row_factory=dict_row)) as connection:
            cursor = connection.execute(query.replace("%", "%%").replace("?", "%s"), values or None)
            return list(cursor.fetchall()) if cursor.description else []

    def clear(self) -> None:
        """Remove all that is in it."""
        self.rows("drop schema public cascade")
        self.rows("create schema public")


class PostgresServer(Server):
    """A PostgreSQL server with its databases; *safe*: with fsync, as it runs where money is at stake."""

    end_signal = signal.SIGINT  # "fast": it ends its sessions
    orphan_signal = "QUIT"  # "immediate"

    def __init__(self, folder: Path, *, safe: bool = False) -> None:
        self.folder = folder
        user = _user()
        if user:
            shutil.chown(folder, user, None)
        port = free_port()
        _initialise(folder, user)
        settings = (*SETTINGS, *(() if safe else UNSAFE), f"port={port}")
        options = [word for setting in settings for word in ("-c", setting)]
        command = [str(programs() / "postgres"), "-D", str(folder / "data"), *options]
        super().__init__(command, folder / "server.log", port=port, user=user)
        self._numbers = itertools.count()

    def answers(self) -> bool:
        """Return whether it takes queries; while it recovers from a crash it does not."""
        import psycopg

        try:
            self.postgres.connect(connect_timeout=2).close()
        except psycopg.Error:
            return False
        return True

    @property
    def postgres(self) -> Database:
        """The database for work on the server itself."""
        return Database(name="postgres", port=self.port)

    @contextlib.contextmanager
    def database(self, name: str | None = None) -> Iterator[Database]:
        """Make an empty database; at the end end its sessions and drop it."""
        name = name or f"test_{next(self._numbers)}"
        self.postgres.rows(f'create database "{name}" template template0')
        try:
            yield Database(name=name, port=self.port)
        finally:
            self.postgres.rows(f'drop database if exists "{name}" with (force)')

    def end_sessions(self, name: str) -> int:
        """End the sessions of a database by force of the administrator; return how many there were."""
        query = "select pg_terminate_backend(pid) from pg_stat_activity where datname = ? and pid <> pg_backend_pid()"
        return len(self.postgres.rows(query, name))

    def backends(self, name: str) -> list[int]:
        """Return the processes that serve a database."""
        return [row["pid"] for row in self.postgres.rows("select pid from pg_stat_activity where datname = ?", name)]


@contextlib.contextmanager
def running(*, safe: bool = False) -> Iterator[PostgresServer]:
    """Run a server; the test skips where PostgreSQL is not installed."""
    programs()
    # Below the usual temporary folder of pytest another user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="batchgen-postgres-"))
    try:
        server = PostgresServer(folder, safe=safe)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        remove(folder)


def programs() -> Path:
    """Return the folder of the programs of the newest PostgreSQL here."""
    if importlib.util.find_spec("psycopg") is None:
        missing("psycopg is not installed (pip install 'batchgen[postgres]')")
    places = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if places:
        return max(places, key=lambda place: float(place.parent.name))
    path = shutil.which("initdb") or missing("PostgreSQL is not installed (Debian, Ubuntu: apt install postgresql)")
    return Path(path).resolve().parent


def _user() -> str | None:
    """Return the user that PostgreSQL runs as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    if shutil.which(SETPRIV) is None:
        missing(f"{SETPRIV} is not installed")
    return "nobody"


def _initialise(folder: Path, user: str | None) -> None:
    secret = folder / "password"
    secret.write_text(PASSWORD)
    if user:
        shutil.chown(secret, user, None)
    words = ["--username", USER, "--pwfile", str(secret), "--auth", "scram-sha-256", "--encoding", "UTF8"]
    subprocess.run(
        [str(programs() / "initdb"), "-D", str(folder / "data"), *words, "--no-locale", "--no-sync"],
        user=user,
        extra_groups=[] if user else None,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    secret.unlink()
