"""Variables that come from files: ``.env`` beside the project, and those that --env-file names."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import SettingsError
from . import command

if TYPE_CHECKING:
    from ..app.config.dotenv import Use

NAME = ".env"
_HEAD = f"{command.PREFIX}_"
#: Endings of options that name a file or a folder.
_PATHS = ("_file", "_dir", "_out", "_log", "log", "metrics", "target")

#: What a project's file must not set: it would change which code runs, whom it trusts, or where it looks for files.
_REACHING = re.compile(
    r"(?i)PYTHON.*|LD_.*|DYLD_.*|SSL_.*|OPENSSL_.*|GIT_.*|XDG_.*|BASH.*|MALLOC_.*|.*_PROXY|.*_CA_BUNDLE|.*_COMMAND"
    r"|PATH|HOME|USER|SHELL|ENV|IFS|TMP|TEMP|TMPDIR|SQLITE_TMPDIR|SSLKEYLOGFILE|NETRC"
)
#: Harmless variables that are documented besides keys and settings.
_PLAIN = frozenset(("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TZ"))

#: Each file with whether it was read as a project's own, which may set less.
_read: set[tuple[Path, bool]] = set()
#: The files that --env-file named, in order.
named: list[Path] = []


def load(folder: Path, files: Sequence[Path]) -> None:
    """Read *files*, and .env in *folder* where there is one, each once; what is said already stays.

    Files that the user named may set anything.  The .env of a folder may have come with the project.
    """
    own = folder / NAME
    for path, projects in (*((path, False) for path in files), *([(own, True)] if own.is_file() else [])):
        project = path.absolute()
        if (project, projects) in _read or (project, False) in _read:
            continue
        _read.add((project, projects))
        from ..app.config import dotenv

        if dotenv.load(project, os.environ, *([fate] if projects else [])):
            from .output import say

            say(f"warning: everybody may read {path}; if keys stand in it: chmod 600 {path}")


def warn_of_ignored(folder: Path) -> None:
    """Warn of what the .env in *folder* may not set, unless the user named that file as well."""
    from ..app.config import dotenv

    left = [name for name in dotenv.ignored if name not in os.environ]
    dotenv.ignored.clear()
    if not left:
        return
    from .output import say

    are, them = ("is", "it") if len(left) == 1 else ("are", "them")
    say(
        f"warning: {folder / NAME}: {', '.join(left)} {are} ignored: the .env of a project may set only keys, and "
        f"settings that batchgen.yaml may hold. Set {them} in the shell, or in a file named with --env-file"
    )


def fate(name: str, value: str) -> Use:
    """Return what becomes of a variable that the .env of a project folder sets."""
    if name.startswith(_HEAD):
        return "set" if _may_set(name.removeprefix(_HEAD).lower(), value) else "ignored"
    if name in _PLAIN:
        return "set"
    return "ignored" if _REACHING.fullmatch(name) else "key"


def _may_set(setting: str, value: str) -> bool:
    """Return whether a project's file may set this: what batchgen.yaml may set, and the secret for signing messages.

    *setting* is an option's long name, alone or after its command's; unknown names are left to ``check``.
    """
    from .settings_file import REFUSED

    if setting in ("notify_secret", "notify_secret_file"):
        return True
    refused = {*REFUSED, "on_finish", "command", "allow_network_state"}
    if any(setting == name or setting.endswith(f"_{name}") for name in refused):
        return False
    path = Path(value)
    leads_out = path.is_absolute() or ".." in path.parts
    return not (leads_out and setting.endswith(_PATHS))


def check(ctx: click.Context) -> None:
    """Raise SettingsError for a misspelled variable, and warn of one that means nothing."""
    if not any(name.startswith("BATCHGEN_") for name in os.environ):
        return
    from .variables import strange

    found = strange(ctx)
    if wrong := [str(one) for one in found if one.near]:
        raise SettingsError("\n".join(wrong))
    if found:
        from .output import say

        for one in found:
            say(f"warning: {one}")


def use_files(ctx: click.Context, parameter: click.Parameter, value: Sequence[Path]) -> Sequence[Path]:
    """Read the files that --env-file names, before other options are looked up in the environment."""
    del ctx, parameter
    named.extend(path for path in value if path not in named)
    load(Path(os.devnull), value)
    return value


def use_config(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """Take the settings that --config names for the user's own."""
    del ctx, parameter
    if value is not None:
        os.environ["BATCHGEN_CONFIG"] = str(value.absolute())
    return value


def folder_said(arguments: Sequence[str] = sys.argv) -> Path | None:
    """Return the folder that -C names, wherever it stands."""
    for number, word in enumerate(arguments):
        if word == "-C" and number + 1 < len(arguments):
            return Path(arguments[number + 1])
        if word.startswith("-C") and len(word) > 2:
            return Path(word[2:])
    return None
