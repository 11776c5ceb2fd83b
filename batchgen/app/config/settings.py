"""What comes from outside the manifest: API keys, ``batchgen.yaml``, the user's own file.  A doer: reads all three."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import KeyMissing, ManifestError, Problem, SettingsError, suggest
from . import dotenv

if TYPE_CHECKING:
    from ...manifest.locations import Places

#: Seconds that a command which prints a key may take.
COMMAND_TIMEOUT = 30
PROJECT_FILE = "batchgen.yaml"
USER_FILE = "config.yaml"
#: What may stand in them, and what it should be.
SECTIONS = {
    "providers": "should map the name of a provider to its settings",
    "confirm_above": "should be an amount in USD, such as 5",
    "options": "should map the name of a command to its options",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """An API key and where it came from; it never shows in a repr."""

    value: str
    source: str

    def __repr__(self) -> str:
        return f"Key(source={self.source!r})"


def find_key(name: str, environment: Mapping[str, str]) -> Key | None:
    """Return the key found under *name*, or None.

    It is, in this order: the variable NAME, the file that NAME_FILE names (readable by its owner only), the output of
    the command in NAME_COMMAND.  Raises KeyMissing where something is there but cannot be a key.
    """
    environment = _with_keys(name, environment)
    if value := environment.get(name, "").strip():
        origin = dotenv.origins.get(name)
        return _checked(value, f"{name} in {origin}" if origin else f"the environment variable {name}")
    if file := environment.get(f"{name}_FILE"):
        return _checked(_from_file(Path(file), name), f"{name}_FILE ({file})")
    if command := environment.get(f"{name}_COMMAND"):
        return _checked(_from_command(command, name), f"{name}_COMMAND")
    return None


def stated(names: Iterable[str], environment: Mapping[str, str]) -> list[str]:
    """Return those of *names* under which a key is said to be; reads none."""
    return [
        name for name in names if any(_with_keys(name, environment).get(f"{name}{ending}") for ending in dotenv.WAYS)
    ]


def _with_keys(name: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return *environment*; where it lacks the key *name*, with what a project's .env sets for it."""
    if any(f"{name}{ending}" in environment for ending in dotenv.WAYS):
        return environment
    own = {full: dotenv.keys[full] for ending in dotenv.WAYS if (full := f"{name}{ending}") in dotenv.keys}
    return {**environment, **own} if own else environment


def find_keys(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, Key]:
    """Return every key found under *names*, by name; one that stands under two names counts once.

    Looks where ``find_key`` does, and raises what it raises.
    """
    found: dict[str, Key] = {}
    for name in names:
        key = find_key(name, environment)
        if key is not None and key.value not in {known.value for known in found.values()}:
            found[name] = key
    return found


def missing(provider: str, names: Iterable[str]) -> str:
    """Return the text that says which variable to set for *provider*."""
    first, *others = names
    also = f" (or {', '.join(others)})" if others else ""
    ways = f"in the shell or in .env, or {first}_FILE, or {first}_COMMAND"
    return f"no API key for {provider}: set the environment variable {first}{also}, {ways}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingsLayer:
    """One file of settings and what it says."""

    file: Path
    said: Mapping[str, Any]
    places: Places
    own: bool = False  #: the user's, not one that a project shares


def project_settings(start: Path) -> Mapping[str, Any]:
    """Return what ``batchgen.yaml`` says, and beneath it the user's own settings; raise SettingsError."""
    found: Mapping[str, Any] = {}
    for layer in reversed(layers(start)):
        found = _over(found, layer.said)
    return found


def layers(start: Path) -> list[SettingsLayer]:
    """Return the files of settings that there are with what each says, the one that goes first first.

    Raises SettingsError.
    """
    files = {project_file(start): False, user_file(environment()): True}
    return [_read(file, own=own) for file, own in files.items() if file is not None]


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


def _read(file: Path, *, own: bool) -> SettingsLayer:
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
    return SettingsLayer(file=file, said=said, places=places, own=own)


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


def _checked(value: str, source: str) -> Key:
    # a key with a line break or a typographic quote would only fail in the HTTP client, which prints it
    if not re.fullmatch(r"[!-~]{4,4096}", value):
        why = "it is too short" if len(value) < 4 else "it has characters that no key has (quotes? a line break?)"
        raise KeyMissing(f"{source} does not hold an API key: {why}")
    return Key(value=value, source=source)


def _from_file(path: Path, name: str) -> str:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyMissing(f"{name}_FILE: {path} can be read by others; run: chmod 600 {shlex.quote(str(path))}")
        # never decoded strictly: that error would hold the key
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise KeyMissing(f"{name}_FILE: {path}: {error.strerror}") from error


def _from_command(command: str, name: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, and no shell
            shlex.split(command),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=COMMAND_TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise KeyMissing(f"{name}_COMMAND could not be run: {type(error).__name__}") from error
    if done.returncode != 0:
        raise KeyMissing(f"{name}_COMMAND ended with code {done.returncode}")
    return done.stdout.strip()


def environment() -> Mapping[str, str]:
    """Return this process's environment."""
    return os.environ
