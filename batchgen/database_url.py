"""Address of a job database on a PostgreSQL server; its text never shows the password. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from .errors import UsageError

#: The scheme that is shown; ``postgresql`` and ``postgres`` are understood too.
SCHEME = "postgresql+psycopg"
_SCHEMES = (SCHEME, "postgresql", "postgres")
_EXAMPLE = f"{SCHEME}://user@host:5432/database"


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """The address of a PostgreSQL database, as libpq reads it."""

    #: Without scheme and password: "user@host:5432/shop?sslmode=require".
    address: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    sandbox: bool = False  #: simulated runs, which have a schema of their own there

    @classmethod
    def parse(cls, text: str) -> DatabaseUrl:
        """Return the address in *text*; raise UsageError."""
        scheme, _, rest = text.partition("://")
        if scheme not in _SCHEMES:
            raise UsageError(f"job database {scheme}://: unknown kind of database. Expected a path or {_EXAMPLE}")
        try:
            parts = urlsplit(f"//{rest}")
        except ValueError as error:
            raise UsageError(f"job database: the address cannot be read ({error}). Expected {_EXAMPLE}") from None
        if "@" in parts.path:
            raise UsageError(f"job database: characters of a password must be encoded, as %2F for /. {_EXAMPLE}")
        user, at, hosts = parts.netloc.rpartition("@")
        user, _, password = user.partition(":")
        options = parse_qsl(parts.query, keep_blank_values=True)
        password = next((value for name, value in options if name == "password"), unquote(password))
        query = urlencode([option for option in options if option[0] != "password"], quote_via=quote)
        if not parts.path.strip("/") and not any(name == "dbname" for name, _ in options):
            raise UsageError(f"job database: the address does not name a database. Expected {_EXAMPLE}")
        return cls(f"{user}{at}{hosts}{parts.path}{'?' if query else ''}{query}", password or None)

    def __str__(self) -> str:
        """Return the address without passwords."""
        return without_passwords(f"{SCHEME}://{self.address}").rstrip("?&")

    @property
    def conninfo(self) -> str:
        """Return the address as libpq takes it, without the password."""
        return f"postgresql://{self.address}"


_ADDRESS = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://\S+")
#: A password in an address: after the name of the user, or as an option; ``sslpassword`` is that of a client's key.
_PASSWORD = re.compile(r"(?<=://)([^\s:/?@]*):[^\s/?]*@|([?&])(?:ssl)?password=[^\s&'\"]*&?")
#: Where a job database is: a SQLite file, or a PostgreSQL server.
Database: TypeAlias = Path | DatabaseUrl


def without_passwords(text: str) -> str:
    """Return a command or message without the passwords of addresses in it."""
    return _ADDRESS.sub(lambda match: _PASSWORD.sub(_without, match[0]), text)


def _without(match: re.Match[str]) -> str:
    return match[2] or f"{match[1]}@"


def database_name(database: Database) -> str:
    """Return the name of a job database within its project: a folder may be moved with its file."""
    return database.name if isinstance(database, Path) else str(database)


def parse_database(text: str) -> Database:
    """Return the database that *text* names: a path, or an address with a scheme; raise UsageError."""
    if "://" in text:
        return DatabaseUrl.parse(text)
    if text.partition(":")[0] in _SCHEMES:  # As a path it would be the name of a folder, with the password in it.
        raise UsageError(f"job database: an address has // after its scheme. Expected {_EXAMPLE}")
    return Path(text)
