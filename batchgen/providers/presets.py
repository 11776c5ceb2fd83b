"""Presets: the built-in providers, with the user's overrides merged into Profiles."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from ..errors import SettingsError, suggest
from ..mode import Mode
from .preset_data import preset_data
from .profile import Profile

#: Facts about a provider that are no settings.
_FACTS = ("name", "preset", "retired", "charges_errors", "charges_refusals", "checks")

#: The keys of an override.
OVERRIDE_KEYS = (
    "preset",
    "tariff",
    *(key for key in Profile.model_fields if key not in _FACTS),
)

#: The preset that a provider without one is based on, by its dialect.
_BASE_PRESETS = {
    "openai_images": "gateway",
    "gptimageapi": "gptimageapi",
    "gemini_chat": "openrouter",
    "gemini": "gemini",
    "openrouter_images": "openrouter",
}

#: Facts that a model declared by the user does not inherit.
_MODEL_FACTS = ("tariff", "assumes", "aliases", "ends", "successor", "modes")

#: A preset's facts that apply to that company only, not to another one with the same dialect.
_COMPANY_FACTS = frozenset(
    [
        "api_key_env",
        "auth",
        "base_url",
        "charges_errors",
        "charges_refusals",
        "checks",
        "cost",
        "query",
        "request_id_header",
        "url_hosts",
    ]
)


#: The ways to state USD, of which a user's own replaces all others.
_USD_PRICES = ("usd_per_million_tokens", "usd_per_megapixel", "usd_per_image")

#: So many rounds of mistakes are looked for in the settings of one provider.
_ROUNDS = 20
Path = tuple[str | int, ...]


class BadProvider(SettingsError):
    """The settings of a provider are wrong; ``flaws`` has messages by the path of the setting."""

    def __init__(self, name: str, flaws: Mapping[Path, str]) -> None:
        super().__init__(f"provider {name}: {'; '.join(flaws.values())}")
        self.flaws = flaws


def preset_names() -> tuple[str, ...]:
    """Return the names of all presets, in the order of the file."""
    return tuple(preset_data())


PRESET_NAMES = preset_names()


def home_address(preset: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return a preset's base URL ("" if the user supplies it), the variables of its keys, and other hosts for them."""
    facts = preset_data()[preset]
    return facts["base_url"], tuple(facts["api_key_env"]), tuple(facts.get("key_hosts", ()))


def profile(name: str, override: Mapping[str, Any] | None = None) -> Profile:
    """Return the provider *name* (as in the manifest): its preset with *override* merged in.

    Raise SettingsError, naming the provider, for settings that cannot work.
    """
    settings = {key: value for key, value in dict(override or {}).items() if value is not None}
    for key in settings:
        if key not in OVERRIDE_KEYS:
            message = f"unknown setting {key!r}.{_suggestion(str(key), OVERRIDE_KEYS)}"
            raise BadProvider(name, {(key,): message})
    preset, facts = _base(name, settings)
    tariff = settings.pop("tariff", None)
    models = settings.pop("models", {})
    if not isinstance(models, Mapping):
        raise BadProvider(name, {("models",): "models must be a mapping of names to settings"})
    facts = _merge(facts, {key: value for key, value in settings.items() if key != "preset"})
    if isinstance(facts["api_key_env"], str):
        facts["api_key_env"] = [facts["api_key_env"]]
    facts["models"] = _models(name, facts, tariff, models)
    example = facts.pop("example", "https://gw.example.com")
    try:
        facts["base_url"] = checked_url(name, facts["base_url"], example)
    except SettingsError as error:
        raise BadProvider(name, {("base_url",): str(error).removeprefix(f"provider {name}: ")}) from None
    facts["default_model"] = _default_model(facts)
    if name != preset and facts["base_url"] != (preset_data()[preset]["base_url"] or facts["base_url"]):
        facts = _without_end_dates(facts)
    _check_paths(name, facts["paths"])
    try:
        complete = Profile.model_validate({**facts, "name": name, "preset": preset})
    except ValidationError as error:
        raise BadProvider(name, _sentences(error)) from None
    _check_modes(complete)
    return complete


def _base(name: str, settings: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the facts of the preset that a provider is based on."""
    presets = preset_data()
    preset = settings.get("preset", name if name in presets else None)
    if preset is not None:
        if preset not in presets:
            message = f"there is no preset {preset!r}.{_suggestion(str(preset), presets)}"
            raise BadProvider(name, {("preset",): message})
        return preset, presets[preset]
    if "dialect" not in settings or "base_url" not in settings:
        raise SettingsError(
            f"provider {name}: there is no preset of this name.{_suggestion(name, presets)} A provider of your own"
            " needs preset and base_url, or dialect and base_url."
        )
    # Another company with the same dialect has prices and a key of its own.
    preset = _BASE_PRESETS.get(settings["dialect"], "gateway")
    facts = {key: value for key, value in presets[preset].items() if key not in _COMPANY_FACTS}
    if settings["dialect"] == "task":  # nothing but its own settings is known about such a provider
        if not settings.get("models"):
            raise BadProvider(
                name, {("models",): "models is missing; name at least one, with its rules (help page tasks)"}
            )
        facts |= {"models": {}, "paths": {}, "default_model": next(iter(settings["models"]))}
    facts["models"] = {
        key: {**model, "tariff": {}, "assumes": {}, "modes": {}} for key, model in facts["models"].items()
    }
    variable = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name).upper()
    return preset, {**facts, "api_key_env": [f"{variable}_API_KEY"], "url_hosts": ["*"]}


def _without_end_dates(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return *facts* without the end dates of models, which do not apply to a gateway to the same models."""
    models = {
        title: {part: value for part, value in model.items() if part not in ("ends", "successor")}
        for title, model in facts["models"].items()
    }
    return {**facts, "models": models, "retired": {}}


def _models(name: str, facts: Mapping[str, Any], tariff: object, models: Mapping[str, Any]) -> dict[str, Any]:
    result = {key: _with_tariff(name, model, tariff) for key, model in facts["models"].items()}
    for key, settings in models.items():
        if not isinstance(settings, Mapping):
            raise BadProvider(name, {("models", key): f"model {key} must be a mapping"})
        title = next((title for title, model in result.items() if _is_named(title, model, key)), None)
        if title is None:
            parent = _parent(facts, result, settings.get("dialect", facts["dialect"]))
            inherited = {part: value for part, value in parent.items() if part not in _MODEL_FACTS}
            title = key
            result[title] = _with_tariff(name, {**inherited, "wire": key}, tariff)
        rest = {part: value for part, value in settings.items() if part != "tariff"}
        result[title] = _with_tariff(name, _merge(result[title], rest), settings.get("tariff"))
    return result


def _parent(facts: Mapping[str, Any], models: Mapping[str, Any], dialect: str) -> Mapping[str, Any]:
    """Return the model whose rules a new model inherits: the default one if it has *dialect*, or else the first."""
    candidates = {key: model for key, model in models.items() if (model.get("dialect") or facts["dialect"]) == dialect}
    first: Mapping[str, Any] = next(iter((candidates or models).values()), {})
    parent: Mapping[str, Any] = candidates.get(facts["default_model"], first)
    return parent


def _with_tariff(name: str, model: Mapping[str, Any], tariff: object) -> dict[str, Any]:
    """Return *model* with the user's *tariff*, whose USD price replaces every other USD price of the preset."""
    if tariff is None:
        return dict(model)
    if not isinstance(tariff, Mapping):
        raise BadProvider(name, {("tariff",): "tariff must be a mapping"})
    old = dict(model.get("tariff") or {})
    if stated := [name for name in _USD_PRICES if name in tariff]:
        old = {name: price for name, price in old.items() if name not in _USD_PRICES or name in stated}
    for flat in ("usd_per_image", "credits_per_image"):
        if flat in tariff:
            old.pop(flat, None)
    return {**model, "tariff": _merge(old, tariff)}


def _default_model(facts: Mapping[str, Any]) -> str:
    name = facts["default_model"]
    titles = (title for title, model in facts["models"].items() if _is_named(title, model, name))
    return str(next(titles, name))


def _is_named(title: str, model: Mapping[str, Any], name: str) -> bool:
    aliases = model.get("aliases") or ()
    return name in (title, model.get("wire")) or str(name).rpartition("/")[2] in aliases


def _merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return *old* updated by *new*; mappings are merged, bodies of requests and other values are replaced."""
    result = dict(old)
    for key, value in new.items():
        before = result.get(key)
        deep = isinstance(before, Mapping) and isinstance(value, Mapping) and key not in ("body", "template")
        result[key] = _merge(before, value) if deep else value  # type: ignore[arg-type]
    return result


def checked_url(name: str, base_url: object, example: str) -> str:
    """Return *base_url* without trailing slashes; raise SettingsError if a key must not be sent there.

    *example* is the address that a message gives as an example.
    """
    where = f"provider {name}: base_url"
    if not isinstance(base_url, str) or not base_url.strip():
        raise SettingsError(f"{where} is missing; write the part before /v1 or /api/v1, such as {example}")
    text = base_url.strip()
    if any(letter.isspace() or not letter.isprintable() for letter in text):
        raise SettingsError(f"{where} contains blanks or control characters")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(f"{where} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise SettingsError(f"{where} must start with https:// and a host, not {text[:80]!r}")
    if parts.username is not None or parts.password is not None:
        raise SettingsError(f"{where} must not contain a name or password; keys come from the environment")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise SettingsError(f"{where} must not contain a query or a fragment")
    if parts.scheme == "http" and not is_loopback(host):
        raise SettingsError(f"{where} is plain http to {host}: the key would be sent unencrypted; use https")
    return text.rstrip("/")


def is_loopback(host: str) -> bool:
    """Return whether *host* is this machine."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_paths(name: str, paths: Mapping[str, Any]) -> None:
    for key, path in paths.items():
        clean = isinstance(path, str) and path.startswith("/") and not path.startswith("//")
        if not clean or any(mark in path for mark in "?# \t\r\n\\"):
            message = f"path {key} must start with a single / and contain no query or blank"
            raise BadProvider(name, {("paths", key): message})


def _check_modes(profile: Profile) -> None:
    """Raise BadProvider for modes in an order that cannot work, or for one that no model of the provider has."""
    offered = dict.fromkeys(mode for model in profile.models.values() for mode in model.offered)
    modes = [step.mode for step in profile.modes]
    for number, mode in enumerate(modes):
        if mode in modes[:number]:
            raise BadProvider(profile.name, {("modes", number): f"modes: {mode} is named twice"})
        if number and mode is Mode.BATCH:
            message = "modes: batch comes first: a batch may take a day, so no other mode is of use before it"
            raise BadProvider(profile.name, {("modes", number): message})
        if mode not in offered:
            message = f"modes: {profile.name} has no mode {mode}: none of its models can be bought that way. "
            raise BadProvider(profile.name, {("modes", number): f"{message}It has: {', '.join(offered)}"})


def _suggestion(word: str, words: Iterable[str]) -> str:
    hint = suggest(word, words)
    return f" {hint[0].upper()}{hint[1:]}{'' if hint.endswith('?') else '.'}"


def _sentences(error: ValidationError) -> dict[Path, str]:
    """Return what is wrong, by the path of the setting."""
    sentences: dict[Path, str] = {}
    for problem in error.errors(include_url=False):
        location = ".".join(str(step) for step in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        sentences[problem["loc"]] = f"{location}: {message}" if location else message
    return sentences


def flaws(name: str, override: Mapping[str, Any]) -> dict[Path, str]:
    """Return all that is wrong in the settings of a provider: what is wrong is left out, and the rest is checked."""
    found: dict[Path, str] = {}
    settings: dict[str, Any] = deepcopy(dict(override))
    for _ in range(_ROUNDS):
        try:
            profile(name, settings)
        except BadProvider as error:
            # Without its preset or its dialect, nothing else of a provider can be checked.
            removed = [_remove(settings, path) for path in error.flaws]
            # What is missing only because a wrong setting was left out is not wrong.
            found |= {path: flaw for path, flaw in error.flaws.items() if not _holds(path, found)}
            if not any(removed) or ("preset",) in error.flaws:
                break
        except SettingsError as error:
            if not found:
                found[()] = str(error).removeprefix(f"provider {name}: ")
            break
        else:
            break
    return found


def _holds(path: Path, paths: Iterable[Path]) -> bool:
    """Return whether one of *paths* is *path* or below it."""
    return any(other[: len(path)] == path for other in paths)


def _remove(settings: dict[str, Any], path: Path) -> bool:
    """Remove the setting at *path*, or the part of it that there is; return whether there was one."""
    node: Any = settings
    last: tuple[Any, str | int] | None = None
    for step in path:
        if not isinstance(node, dict) or step not in node:
            break
        last, node = (node, step), node[step]
    if last is not None:
        del last[0][last[1]]
    return last is not None
