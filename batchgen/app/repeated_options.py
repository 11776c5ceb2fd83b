"""Options of a run that the next run of the same batch needs as well, from the command line of the run."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path

from ..database_url import Database, without_passwords
from ..errors import BatchgenError
from ..store import migrate
from ..store.reader import Reader

#: Without these the next run would spend more, send from elsewhere, write elsewhere, or make the jobs of others.
REPEATED = ("--budget", "--out", "--backend", "--address", "--workers", "--shard")
#: How a run that a program started is recorded, and the arguments of the same meaning.
_CALL = "batchgen.run("
_ARGUMENTS = {
    "budget": "--budget", "output": "--out", "backend": "--backend", "address": "--address", "workers": "--workers"
}  # fmt: skip
#: Not for a redo: a budget would confirm what it asks for, and the jobs to make again may be in other shards.
_NOT_OF_REDO = ("--budget", "--shard")


def repeated_options(command: str, without: Collection[str] = ()) -> str:
    """Return these options of a recorded command, as they are typed in a shell."""
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
    if command.startswith(_CALL):
        return _options_of_call(command)
    try:
        words = shlex.split(command)
    except ValueError:
        return {}
    values = {}
    for word, following in zip(words, [*words, None][1:], strict=True):
        name, equals, value = word.partition("=")
        if name in REPEATED and (equals or following is not None):
            values[name] = value if equals else str(following)
    return values


def command_of_call(manifest: str | Path, arguments: Mapping[str, object]) -> str:
    """Return what is recorded as the command of a run that a program started."""
    values = {name: arguments.get(name) for name in _ARGUMENTS}
    given = [repr(str(manifest)), *(f"{name}={str(value)!r}" for name, value in values.items() if value is not None)]
    return f"{_CALL}{', '.join(given)})"


def _options_of_call(command: str) -> dict[str, str]:
    """Return the same of a call from Python."""
    try:
        call = ast.parse(command, mode="eval").body
    except SyntaxError:
        return {}
    given = call.keywords if isinstance(call, ast.Call) else []
    values = {each.arg: str(each.value.value) for each in given if each.arg and isinstance(each.value, ast.Constant)}
    return {option: values[name] for name, option in _ARGUMENTS.items() if name in values}


def shard_of_command(command: str) -> tuple[int, int] | None:
    """Return the shard that a recorded command names."""
    number, _, shards = typed_options(command).get("--shard", "").partition("/")
    return (int(number), int(shards)) if number.isdecimal() and shards.isdecimal() else None
