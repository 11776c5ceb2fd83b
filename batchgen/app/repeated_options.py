"""Options of a run that the next run of the same batch needs as well, from the command line of the run."""

from __future__ import annotations

import shlex

from ..database_url import without_passwords

#: Without these the next run would spend more, send from elsewhere, write elsewhere, or make the jobs of others.
REPEATED = ("--budget", "--out", "--backend", "--address", "--workers", "--shard")


def repeated_options(command: str) -> str:
    """Return these options of a recorded command, as typed; "" for one that is not of a shell."""
    values = typed_options(command)
    return without_passwords("".join(f" {name} {shlex.quote(values[name])}" for name in REPEATED if name in values))


def typed_options(command: str) -> dict[str, str]:
    """Return the values of these options in a command; the last one counts."""
    try:
        words = shlex.split(command)
    except ValueError:  # a call from Python
        return {}
    values = {}
    for word, following in zip(words, [*words[1:], None], strict=True):
        name, equals, value = word.partition("=")
        if name in REPEATED and (equals or following is not None):
            values[name] = value if equals else str(following)
    return values


def shard_of_command(command: str) -> tuple[int, int] | None:
    """Return the shard that a recorded command names."""
    number, _, shards = typed_options(command).get("--shard", "").partition("/")
    return (int(number), int(shards)) if number.isdecimal() and shards.isdecimal() else None
