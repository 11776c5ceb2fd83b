"""Options of a run that the next run of the same batch needs as well, from the command line of the run."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path

from ..database_url import Database, without_passwords
from ..errors import BatchgenError
from ..store import migrate
from ..store.reader import Reader

#: Without these the next run would spend more, send from elsewhere, write elsewhere, or make the jobs of others.
REPEATED = ("--budget", "--out", "--backend", "--address", "--workers", "--shard")
#: Not for a redo: a budget would confirm what it asks for, and the jobs to make again may be in other shards.
_NOT_OF_REDO = ("--budget", "--shard")


def repeated_options(command: str, without: Collection[str] = ()) -> str:
    """Return these options of a recorded command, as typed; "" for one that is not of a shell."""
    values = typed_options(command)
    names = [name for name in REPEATED if name in values and name not in without]
    return without_passwords("".join(f" {name} {shlex.quote(values[name])}" for name in names))


def options_of_verb(verb: str, options: str) -> str:
    """Return those of the repeated *options* that a command takes from an earlier one."""
    return repeated_options(options, _NOT_OF_REDO) if verb == "redo" else options


def options_of_last_run(db: Database, manifest: str | Path) -> str:
    """Return the repeated options of the latest run of a manifest; "" if there is none, or it cannot be read."""
    try:
        if migrate.revision(db) != migrate.HEAD:
            return ""
        with Reader(db) as reader:
            for batch in reader.batches():
                if batch.manifest == str(manifest):
                    return repeated_options(next((run.command for run in reader.runs(batch.id)), ""))
    except (BatchgenError, OSError):
        pass  # a suggestion is part of a message, which must come even if the job database cannot be read
    return ""


def typed_options(command: str) -> dict[str, str]:
    """Return the values of these options in a command; the last one counts."""
    try:
        words = shlex.split(command)
    except ValueError:  # a call from Python
        return {}
    values = {}
    for word, following in zip(words, [*words, None][1:], strict=True):
        name, equals, value = word.partition("=")
        if name in REPEATED and (equals or following is not None):
            values[name] = value if equals else str(following)
    return values


def shard_of_command(command: str) -> tuple[int, int] | None:
    """Return the shard that a recorded command names."""
    number, _, shards = typed_options(command).get("--shard", "").partition("/")
    return (int(number), int(shards)) if number.isdecimal() and shards.isdecimal() else None
