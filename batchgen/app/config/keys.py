"""The API keys of a run: one for a provider, or several, each an account of its own."""

from __future__ import annotations

import re
import shlex
import stat
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import KeyMissing
from ...providers.profile import Profile
from . import dotenv, settings

#: What stands for every provider's key in a rehearsal; the sandbox takes any.
SANDBOX_KEY = "sandbox-rehearsal"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKeys:
    """Keys by provider, and by the name of the variable that each came from; they show in no repr."""

    keys: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    without_key: Sequence[str] = ()  #: providers that might take jobs over, had they a key

    def accounts(self, known: Profile) -> Sequence[str | None]:
        """Return the names of a provider's accounts; None stands for the only one that it may have.

        Where it may have several, one has a name also while the keys of the others are away: calls are booked under it.
        """
        names = tuple(filter(None, self.keys.get(known.name, ())))
        return names if names and len(known.api_key_env) > 1 else (None,)

    @property
    def first(self) -> Mapping[str, str]:
        """Return one key for each provider."""
        return {provider: next(iter(found.values())) for provider, found in self.keys.items() if found}


def load_keys(profiles: Mapping[str, Profile], needed: Iterable[str], welcome: Iterable[str]) -> ApiKeys:
    """Return the keys of the providers *needed*; raise KeyMissing naming each variable to set.

    Those of *welcome* are taken along where they are there.
    """
    environment, needed = settings.environment(), dict.fromkeys(needed)
    keys: dict[str, dict[str, str]] = {}
    lacking: list[str] = []
    keyless: list[str] = []
    for name in dict.fromkeys([*needed, *welcome]):
        names = profiles[name].api_key_env
        found = find_keys(names, environment)
        keys[name] = {variable: key.value for variable, key in found.items()}
        if names and not found:
            del keys[name]
            (lacking if name in needed else keyless).append(name)
    if lacking:
        told = [missing_key(name, profiles[name].api_key_env) for name in lacking]
        raise KeyMissing("\n".join([*told, "Nothing was sent.  A rehearsal needs no key: add --sandbox"]))
    return ApiKeys(keys=keys, without_key=tuple(keyless))


def sandbox_keys(profiles: Iterable[str]) -> ApiKeys:
    """Return keys that open nothing but the sandbox."""
    return ApiKeys(keys={name: {"": SANDBOX_KEY} for name in profiles})


#: Seconds that a command which prints a key may take.
COMMAND_TIMEOUT = 30


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


def configured_names(names: Iterable[str], environment: Mapping[str, str]) -> list[str]:
    """Return those of *names* under which a key is said to be; reads none."""
    return [
        name
        for name in names
        if any(_with_keys(name, environment).get(f"{name}{ending}") for ending in dotenv.SUFFIXES)
    ]


def _with_keys(name: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return *environment*; where it lacks the key *name*, with what a project's .env sets for it."""
    if any(f"{name}{ending}" in environment for ending in dotenv.SUFFIXES):
        return environment
    own = {full: dotenv.keys[full] for ending in dotenv.SUFFIXES if (full := f"{name}{ending}") in dotenv.keys}
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


def missing_key(provider: str, names: Iterable[str]) -> str:
    """Return the text that says which variable to set for *provider*."""
    first, *others = names
    also = f" (or {', '.join(others)})" if others else ""
    ways = f"in the shell or in .env, or {first}_FILE, or {first}_COMMAND"
    return f"no API key for {provider}: set the environment variable {first}{also}, {ways}"


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
