"""What comes from outside the manifest: API keys, ``batchgen.yaml``, the user's own file.  A doer: reads all three."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ManifestError, Problem, SettingsError, suggest

if TYPE_CHECKING:
    from ...manifest.locations import Places

PROJECT_FILE = "batchgen.yaml"
USER_FILE = "config.yaml"
#: What may stand in them, and what it should be.
SECTIONS = {
    "providers": "should map the name of a provider to its settings",
    "confirm_above": "should be an amount in USD, such as 5",
    "options": "should map the name of a command to its options",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingsLayer:
    """One file of settings and what it says."""

    file: Path
    values: Mapping[str, Any]
    places: Places
    is_users: bool = False  #: the user's, not one that a project shares


def project_settings(start: Path) -> Mapping[str, Any]:
    """Return what ``batchgen.yaml`` says, and beneath it the user's own settings; raise SettingsError."""
    found: Mapping[str, Any] = {}
    for layer in reversed(layers(start)):
        found = _over(found, layer.values)
    return found


def layers(start: Path) -> list[SettingsLayer]:
    """Return the files of settings that there are with what each says, the one that goes first first.

    Raises SettingsError.
    """
    files = {project_file(start): False, user_file(environment()): True}
    return [_read(file, is_users=own) for file, own in files.items() if file is not None]


def user_file(environment: Mapping[str, str]) -> Path | None:
    """Return the user's own settings: what BATCHGEN_CONFIG names, or config.yaml in the configuration folder."""
    if named := environment.get("BATCHGEN_CONFIG"):
        return Path(named)
    folder = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    file = Path(folder, "batchgen", USER_FILE)
    return file if file.is_file() else None


def _over(under: Mapping[str, Any], over: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *under* with what *over* says put over it, mapping by mapping."""
    both = {
        name: _over(under[name], value) if isinstance(under.get(name), dict) and isinstance(value, dict) else value
        for name, value in over.items()
    }
    return {**under, **both}


def project_file(start: Path) -> Path | None:
    """Return the ``batchgen.yaml`` of *start*: looked for there and upward as far as the project goes."""
    for folder in (start, *start.parents):
        file = folder / PROJECT_FILE
        if file.is_file():
            return file
        if (folder / ".git").exists() or folder == Path.home():
            break
    return None


def _read(file: Path, *, is_users: bool) -> SettingsLayer:
    # it loads much; where there are no settings, nothing needs it
    from ...manifest.yaml_reader import parse_any

    try:
        document = parse_any(file.read_bytes(), str(file))
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error
    except ManifestError as error:
        raise SettingsError(str(error)) from error
    places = document.places
    said = {} if document.data is None else document.data
    if problems := [*document.problems, *_misplaced(said, places)]:
        raise SettingsError("\n".join(map(str, problems)))
    return SettingsLayer(file=file, values=said, places=places, is_users=is_users)


def _misplaced(said: object, places: Places) -> Iterator[Problem]:
    """Yield what cannot be meant; what providers and commands make of their settings is for them to say."""
    if not isinstance(said, dict):
        yield places.problem((), "not_a_mapping", f"settings are {', '.join(SECTIONS)}, as key: value")
        return
    for name, value in said.items():
        if name not in SECTIONS:
            hint = suggest(name, SECTIONS)
            yield places.problem((name,), "unknown_key", f"unknown key {name!r}", hint, key=True)
        elif name == "confirm_above":
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1_000_000:
                yield places.problem((name,), "wrong_type", SECTIONS[name])
        elif value is not None and not isinstance(value, dict):
            yield places.problem((name,), "wrong_type", SECTIONS[name])
        else:
            for one, inside in (value or {}).items():
                if not isinstance(inside, dict) and (inside is not None or name == "providers"):
                    yield places.problem((name, one), "wrong_type", "should be a mapping (key: value)")


def environment() -> Mapping[str, str]:
    """Return this process's environment."""
    return os.environ
