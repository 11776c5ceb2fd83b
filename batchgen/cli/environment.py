"""Variables that come from files: ``.env`` beside the project, and those that --env-file names."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import SettingsError

NAME = ".env"

_read: set[Path] = set()
#: The files that --env-file named, in order.
named: list[Path] = []


def load(folder: Path, files: Sequence[Path]) -> None:
    """Read *files*, and .env in *folder* where there is one, each once; what is said already stays."""
    own = folder / NAME
    for path in (*files, *([own] if own.is_file() else [])):
        place = path.absolute()
        if place in _read:
            continue
        _read.add(place)
        from ..dotenv import load as read

        if read(place, os.environ):
            from .words import say

            say(f"warning: everybody may read {path}; if keys stand in it: chmod 600 {path}")


def check(ctx: click.Context) -> None:
    """Raise SettingsError for a misspelled variable, and warn of one that means nothing."""
    if not any(name.startswith("BATCHGEN_") for name in os.environ):
        return
    from .variables import strange

    found = strange(ctx)
    if wrong := [str(one) for one in found if one.near]:
        raise SettingsError("\n".join(wrong))
    if found:
        from .words import say

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
