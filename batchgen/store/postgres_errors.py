"""Errors of PostgreSQL: which of them pass, and what a user can do about the others. Pure."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from ..database_url import DatabaseUrl
from ..errors import StoreError


class UnreachableServer(StoreError):
    """The server of a job database does not answer; a later try may succeed."""


#: SQLSTATE -> what happened, why, what to do.
_FATAL: dict[str, tuple[str, str, str]] = {
    "53100": ("the server's disk is full", "no space is left for its data", "free some space there and run again"),
    "53200": ("the server is out of memory", "too much runs on it", "give it more memory and run again"),
    "53300": (
        "the server has no free connection",
        "max_connections, or the limit of this user or database, is used up",
        "raise it, or end some of the programs in pg_stat_activity, and run again",
    ),
    "25006": (
        "it is read-only",
        "the server is a standby, or default_transaction_read_only is on",
        "use the address of the primary server",
    ),
    "42501": ("access is denied", "this user has no right to it", "GRANT the right, or use another user"),
    "28P01": (
        "the password was refused",
        "PGPASSWORD, ~/.pgpass or --db has another one",
        "export PGPASSWORD=..., and check the user",
    ),
    "no password": (
        "the server asks for a password, and none was given",
        "PGPASSWORD is not set, and ~/.pgpass has no line for this server and user",
        "export PGPASSWORD=..., or write it to ~/.pgpass",
    ),
    "22000": ("the address cannot be used", "an option of it is misspelt", "check --db; psql takes the same options"),
    "28000": ("the login was refused", "pg_hba.conf does not allow it", "check user, host and pg_hba.conf"),
    "3D000": ("there is no such database", "it was not created yet", "create it with createdb, or check its name"),
    "3F000": ("its schema does not exist", "search_path names one that was not created", "CREATE SCHEMA it first"),
    "42P01": ("a table is missing", "its schema was changed by another program", "batchgen db upgrade"),
    "XX001": ("it is damaged", "its disk lost or overwrote pages", "restore the server's backup"),
    "XX002": ("it is damaged", "an index lost or overwrote pages", "REINDEX the database, and check its disk"),
}
#: Texts of errors of a login, which come without a code; "no password" has none.
_LOGIN = {
    "password authentication failed": "28P01",
    "no password supplied": "no password",
    "pg_hba.conf": "28000",
    "too many clients": "53300",
    "too many connections": "53300",
    "remaining connection slots": "53300",
    "connection is bad: invalid": "22000",
    "invalid URI": "22000",
    "invalid connection option": "22000",
}
#: Another transaction was in the way: serialization, deadlock, a lock or a statement that took too long.
_BUSY = frozenset({"40001", "40P01", "55P03", "57014"})
#: The connection has ended: shutdown, crash, start-up, and a transaction that stayed open while this process stopped.
_LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})


def sqlstate(error: BaseException) -> str | None:
    """Return PostgreSQL's code of *error*; None for an error without one, "" for one of another database."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code: str | None = getattr(cause, "sqlstate", "")
    if code is not None:
        return code
    text = str(cause)
    if "does not exist" in text and ("database" in text or "role" in text):
        return "28000" if "role" in text else "3D000"
    return next((state for words, state in _LOGIN.items() if words in text), None)


def is_lost(error: BaseException) -> bool:
    """Return whether the connection broke or could not be made, so that another one may work."""
    if isinstance(error, UnreachableServer):
        return True
    code = sqlstate(error)
    if getattr(error, "connection_invalidated", False):
        return code != ""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return code in _LOST or (code or "").startswith("08") or (code is None and _is_operational(cause))


def is_busy(error: BaseException) -> bool:
    """Return whether another transaction was in the way, so that trying again may work."""
    return sqlstate(error) in _BUSY


def is_fatal(error: BaseException) -> bool:
    """Return whether nothing more can be written."""
    return sqlstate(error) in _FATAL or is_lost(error) or is_busy(error)


def diagnose(error: BaseException) -> tuple[str, str, str]:
    """Return what happened, the probable reason, and what to do about an error."""
    code = sqlstate(error)
    if code in _FATAL:
        return _FATAL[code]
    if is_lost(error):
        todo = "check the address with psql, and run again: nothing that was paid for is lost"
        return "the server cannot be reached", "it is down, or the network is", todo
    if code in _BUSY:
        return "it stayed locked", "another transaction holds it", "end that program and run again"
    return "it failed", "this is a bug", "report it with this text"


def explain_wait(url: DatabaseUrl, connections: int, seconds: int) -> StoreError:
    """Return the message for a thread that has waited *seconds* for one of the *connections* of this process."""
    return UnreachableServer(
        f"Job database {url}: no connection of this process was free for {seconds} s: all {connections} waited for "
        "answers of the server. Probably it has too much to do, or a lock of another program holds them up. "
        "To continue: look at pg_stat_activity, end what blocks it, and run again: nothing that was paid for is lost."
    )


def _is_operational(cause: BaseException | None) -> bool:
    return any(kind.__name__ == "OperationalError" for kind in type(cause).__mro__)
