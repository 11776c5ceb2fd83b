"""API keys: where each one is found, and the keys of a run. A provider has one, or several as separate accounts."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import KeyMissing
from ...providers.profile import Profile
from . import dotenv

#: The key of every provider in a sandbox run; the sandbox accepts any.
SANDBOX_KEY = "sandbox-rehearsal"
#: Seconds that a command which prints a key may take.
COMMAND_TIMEOUT = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """An API key and its source; the repr hides the key."""

    value: str
    source: str

    def __repr__(self) -> str:
        return f"Key(source={self.source!r})"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKeys:
    """The keys of a run by provider and by variable; the repr hides them."""

    keys: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    without_key: Sequence[str] = ()  #: fallback providers that have no key

    def accounts(self, profile: Profile) -> Sequence[str | None]:
        """Return the names of a provider's accounts; None is the only account of a provider with one key.

        A provider that may have several keys names its account even while only one is set, because calls are booked
        under that name.
        """
        names = tuple(filter(None, self.keys.get(profile.name, ())))
        return names if names and len(profile.api_key_env) > 1 else (None,)

    @property
    def first(self) -> Mapping[str, str]:
        """Return one key for each provider."""
        return {provider: next(iter(keys.values())) for provider, keys in self.keys.items() if keys}


def load_keys(
    profiles: Mapping[str, Profile],
    needed: Iterable[str],
    optional: Iterable[str],
    environment: Mapping[str, str] | None = None,
) -> ApiKeys:
    """Return the keys of the providers *needed*, and those of *optional* that have one.

    *environment* is that of the process by default. Raises KeyMissing naming each variable to set.
    """
    needed = dict.fromkeys(needed)
    keys: dict[str, dict[str, str]] = {}
    missing: list[str] = []
    without_key: list[str] = []
    for name in dict.fromkeys([*needed, *optional]):
        variables = profiles[name].api_key_env
        by_variable = find_keys(variables, os.environ if environment is None else environment)
        if by_variable or not variables:
            keys[name] = {variable: key.value for variable, key in by_variable.items()}
        else:
            (missing if name in needed else without_key).append(name)
    if missing:
        lines = [missing_key(name, profiles[name].api_key_env) for name in missing]
        raise KeyMissing("\n".join([*lines, "Nothing was sent. A sandbox run needs no key: add --sandbox"]))
    return ApiKeys(keys=keys, without_key=tuple(without_key))


def sandbox_keys(profiles: Iterable[str]) -> ApiKeys:
    """Return keys that only the sandbox accepts."""
    return ApiKeys(keys={name: {"": SANDBOX_KEY} for name in profiles})


def find_key(name: str, environment: Mapping[str, str]) -> Key | None:
    """Return the key called *name*, or None.

    Precedence, highest first: the variable NAME, the file in NAME_FILE (which only its owner may read), the output of
    the command in NAME_COMMAND. Raises KeyMissing if what is there cannot be a key.
    """
    environment = _with_project_keys(name, environment)
    if value := environment.get(name, "").strip():
        origin = dotenv.origins.get(name)
        return _checked(value, f"{name} in {origin}" if origin else f"the environment variable {name}")
    if file := environment.get(f"{name}_FILE"):
        return _checked(_from_file(Path(file), name), f"{name}_FILE ({file})")
    if command := environment.get(f"{name}_COMMAND"):
        return _checked(_from_command(command, name), f"{name}_COMMAND")
    return None


def find_keys(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, Key]:
    """Return every key under *names*; a key that two names share counts once. Raises KeyMissing."""
    keys: dict[str, Key] = {}
    for name in names:
        key = find_key(name, environment)
        if key is not None and key.value not in {other.value for other in keys.values()}:
            keys[name] = key
    return keys


def configured_names(names: Iterable[str], environment: Mapping[str, str]) -> list[str]:
    """Return those of *names* that are configured in any way, without reading a key."""
    return [
        name
        for name in names
        if any(_with_project_keys(name, environment).get(f"{name}{suffix}") for suffix in dotenv.SUFFIXES)
    ]


def shell_only(names: Iterable[str], environment: Mapping[str, str]) -> list[str]:
    """Return the variables of these keys that only *environment* has, and no file that every run reads.

    A scheduled run does not see them. None are returned if a file sets any of these keys.
    """
    variables = [f"{name}{suffix}" for name in names for suffix in dotenv.SUFFIXES]
    if any(variable in dotenv.names for variable in variables):
        return []
    return [variable for variable in variables if environment.get(variable) and variable not in dotenv.origins]


def missing_key(provider: str, names: Iterable[str]) -> str:
    """Return a message that names the variables to set for *provider*."""
    first, *others = names
    alternatives = f" (or {', '.join(others)})" if others else ""
    ways = f"in the shell or in .env, or {first}_FILE, or {first}_COMMAND"
    return f"no API key for {provider}: set the environment variable {first}{alternatives}, {ways}"


def _with_project_keys(name: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return *environment* with the key *name* of a project's .env, if it has none itself."""
    if any(f"{name}{suffix}" in environment for suffix in dotenv.SUFFIXES):
        return environment
    own = {full: dotenv.keys[full] for suffix in dotenv.SUFFIXES if (full := f"{name}{suffix}") in dotenv.keys}
    return {**environment, **own} if own else environment


def _checked(value: str, source: str) -> Key:
    # A line break or a typographic quote in a key would only fail in the HTTP client, which prints the key.
    if not re.fullmatch(r"[!-~]{4,4096}", value):
        reason = "it is too short" if len(value) < 4 else "it has characters that no key has (quotes? a line break?)"
        raise KeyMissing(f"{source} does not contain an API key: {reason}")
    return Key(value=value, source=source)


def _from_file(path: Path, name: str) -> str:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyMissing(f"{name}_FILE: {path} can be read by others; run: chmod 600 {shlex.quote(str(path))}")
        # A strict decoding error would contain the key.
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise KeyMissing(f"{name}_FILE: {path}: {error.strerror}") from error


def _from_command(command: str, name: str) -> str:
    try:
        process = subprocess.run(  # noqa: S603 - the user's own command, and no shell
            shlex.split(command),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=COMMAND_TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise KeyMissing(f"{name}_COMMAND cannot be run: {type(error).__name__}") from error
    if process.returncode != 0:
        raise KeyMissing(f"{name}_COMMAND exited with code {process.returncode}")
    return process.stdout.strip()
