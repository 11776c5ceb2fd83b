"""Files of environment variables (``.env``): their values apply where the environment sets none."""

from __future__ import annotations

import io
import re
import stat
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Literal

from ...errors import SettingsError

#: Suffixes of a key's variable: the key itself, a file that contains it, a command that prints it.
SUFFIXES = ("", "_FILE", "_COMMAND")
#: The file that set each variable of this process, if a file did.
origins: dict[str, Path] = {}
#: Variables of a project's file that may only serve as API keys, if a provider names them.
#: They stay out of the environment, where libraries and child processes would take them for their own.
keys: dict[str, str] = {}
#: All variables in the files, whether the environment overrides them or not.
names: set[str] = set()
#: Variables of a project's file that are ignored.
ignored: list[str] = []

#: How a variable is used: it enters the environment, it may only serve as a key, or it is ignored.
Use = Literal["set", "key", "ignored"]


def load(
    path: Path, environment: MutableMapping[str, str], use_of: Callable[[str, str], Use] = lambda _name, _value: "set"
) -> bool:
    """Add the variables of *path* to *environment*, unless it has them; return whether other users can read the file.

    A variable also counts as set if NAME_FILE or NAME_COMMAND is. *use_of* decides by name and value.
    Raises SettingsError, which never shows a value.
    """
    variables = read(path)
    readable_by_others = bool(path.stat().st_mode & stat.S_IROTH)
    for name, value in variables.items():
        names.add(name)
        if any(f"{name}{suffix}" in environment for suffix in SUFFIXES):
            continue
        use = use_of(name, value)
        if use == "ignored":
            ignored.append(name)
            continue
        (environment if use == "set" else keys)[name] = value
        origins[name] = path
    return readable_by_others


def read(path: Path) -> Mapping[str, str]:
    """Return the variables of *path*; raise SettingsError, which never shows a value."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {getattr(error, 'strerror', None) or 'is not UTF-8 text'}") from error
    return parse(text, path)


def parse(text: str, path: Path) -> Mapping[str, str]:
    """Return the variables in *text*, one NAME=value a line; raise SettingsError with the line of a mistake."""
    from dotenv.parser import parse_stream

    variables: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text.removeprefix("\ufeff"))):
        original = binding.original.string
        if binding.key is None and not binding.error:
            continue  # a comment or an empty line
        if binding.value is None or not re.fullmatch(r"[A-Za-z_]\w*", binding.key or "", re.ASCII):
            # The parser counts the empty lines before a variable as part of it.
            line = binding.original.line + original[: len(original) - len(original.lstrip())].count("\n")
            raise SettingsError(f"{path}:{line}: expected NAME=value; a quoted value needs its closing quote")
        variables[binding.key or ""] = _unescaped(binding.value, original.partition("=")[2].lstrip())
    return variables


def _unescaped(value: str, source: str) -> str:
    """Return *value* as shells read it: ``KEY=# note`` is empty, and a quoted dollar sign may be escaped."""
    if source.startswith("#"):
        return ""
    return value.replace("\\$", "$") if source.startswith('"') else value
