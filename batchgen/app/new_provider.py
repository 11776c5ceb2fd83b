"""Commented settings for a provider that has no preset, to be completed from its documents."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from ..errors import StoreError, UsageError
from ..providers.presets import preset_names

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def new_provider(name: str) -> str:
    """Return the settings of a provider of remote tasks called *name*; raise UsageError for a name that is taken."""
    if name in preset_names():
        raise UsageError(f"{name} is a preset; set what differs from it, or choose another name")
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} cannot be the name of a provider; use small letters, digits, - and _, such as studio"
        )
    text = files(__package__).joinpath("new_provider.yaml").read_text(encoding="utf-8")
    variable = f"{name.upper().replace('-', '_')}_API_KEY"
    return text.replace("@NAME@", name).replace("@VARIABLE@", variable)


def write_new(path: Path, text: str) -> None:
    """Write *text* to a new file; raise StoreError if there is one, or if the disk refuses."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise StoreError(f"{path} exists and stays as it is; choose another name, or remove it") from None
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
