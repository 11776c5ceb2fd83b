"""The API keys of a run: one for a provider, or several, each an account of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import KeyMissing
from ...providers.profile import Profile
from . import settings

#: What stands for every provider's key in a rehearsal; the sandbox takes any.
SANDBOX_KEY = "sandbox-rehearsal"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKeys:
    """Keys by provider, and by the name of the variable that each came from; they show in no repr."""

    keys: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    keyless: Sequence[str] = ()  #: providers that might take jobs over, had they a key

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


def keyring(profiles: Mapping[str, Profile], needed: Iterable[str], welcome: Iterable[str]) -> ApiKeys:
    """Return the keys of the providers *needed*; raise KeyMissing naming each variable to set.

    Those of *welcome* are taken along where they are there.
    """
    environment, needed = settings.environment(), dict.fromkeys(needed)
    keys: dict[str, dict[str, str]] = {}
    lacking: list[str] = []
    keyless: list[str] = []
    for name in dict.fromkeys([*needed, *welcome]):
        names = profiles[name].api_key_env
        found = settings.find_keys(names, environment)
        keys[name] = {variable: key.value for variable, key in found.items()}
        if names and not found:
            del keys[name]
            (lacking if name in needed else keyless).append(name)
    if lacking:
        told = [settings.missing(name, profiles[name].api_key_env) for name in lacking]
        raise KeyMissing("\n".join([*told, "Nothing was sent.  A rehearsal needs no key: add --sandbox"]))
    return ApiKeys(keys=keys, keyless=tuple(keyless))


def rehearsal(profiles: Iterable[str]) -> ApiKeys:
    """Return keys that open nothing but the sandbox."""
    return ApiKeys(keys={name: {"": SANDBOX_KEY} for name in profiles})
