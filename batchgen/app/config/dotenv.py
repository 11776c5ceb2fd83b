"""Files of variables, ``.env``: what they say comes last, after the environment.  A doer: reads files."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Literal

from ...errors import SettingsError

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
    (?: '(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)" | (?P<bare>[^'"\s\#][^\n]*?)? )
    \s*(?:(?<=[\s'"=])\#.*)?""",
    re.VERBOSE,
)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}

#: Endings of a key's name: the key itself, a file that holds it, a command that prints it.
SUFFIXES = ("", "_FILE", "_COMMAND")
#: Which file each variable came from, of those that a file set in this process.
origins: dict[str, Path] = {}
#: What a project's file sets besides settings of batchgen: each may be a key, if a provider names it.
#: None of it enters the environment, where libraries and child processes would take it for theirs.
keys: dict[str, str] = {}
#: Variables that a project's file sets and that are ignored.
ignored: list[str] = []

#: What becomes of a variable: it enters the environment, it may only serve as a key, or it is ignored.
Use = Literal["set", "key", "ignored"]


def load(
    path: Path, environment: MutableMapping[str, str], fate: Callable[[str, str], Use] = lambda _name, _value: "set"
) -> bool:
    """Put what *path* says into *environment*, where it is not there by any other way; tell whether others may read it.

    NAME is there also as NAME_FILE and NAME_COMMAND.  *fate* decides what becomes of a variable, by name and value.
    Raises SettingsError, which never shows a value.
    """
    try:
        text = path.read_text(encoding="utf-8")
        open_to_all = bool(path.stat().st_mode & stat.S_IROTH)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {getattr(error, 'strerror', None) or 'is not UTF-8 text'}") from error
    for name, value in parse(text, path).items():
        if any(f"{name}{ending}" in environment for ending in SUFFIXES):
            continue
        becomes = fate(name, value)
        if becomes == "ignored":
            ignored.append(name)
            continue
        (environment if becomes == "set" else keys)[name] = value
        origins[name] = path
    return open_to_all


def parse(text: str, path: Path) -> Mapping[str, str]:
    """Return the variables that *text* sets: NAME=value, quoted or not, one a line; # begins a comment."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        seen = _LINE.fullmatch(line)
        if seen is None:
            raise SettingsError(f"{path}:{number}: should be NAME=value, with quotes that end on the same line")
        if seen["double"] is not None:
            found[seen["name"]] = re.sub(r"\\(.)", lambda sign: _ESCAPED.get(sign[1], sign[1]), seen["double"])
        else:
            found[seen["name"]] = seen["single"] if seen["single"] is not None else (seen["bare"] or "")
    return found
