"""Presets with the user's overrides merged in: where every Profile comes from.  Pure but for the packaged data file."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError

from ..errors import SettingsError, suggest
from .profile import Limits, Profile

#: What ``profile`` takes as override.
OVERRIDE_KEYS = (
    "preset",
    "dialect",
    "base_url",
    "api_key_env",
    "paths",
    "limits",
    "groups",
    "timeout",
    "retry",
    "url_hosts",
    "tariff",
    "on_unknown",
    "models",
    "default_model",
    "request_id_header",
    "idempotency_header",
)

#: Where a provider without a preset starts, by its dialect.
_FIRST_OF = {"openai_images": "gateway", "gptimageapi": "gptimageapi", "gemini_chat": "openrouter"}

#: What a model that the user declares does not inherit.
_OF_ONE_MODEL = ("tariff", "assumes", "aliases", "ends", "successor")

#: A preset's facts that hold only for that very company, not for another one speaking the same dialect.
_PERSONAL = ("api_key_env", "base_url", "charges_errors", "checks", "request_id_header", "url_hosts")


@cache
def _presets() -> dict[str, dict[str, Any]]:
    text = files(__package__).joinpath("presets.yaml").read_text(encoding="utf-8")
    # libyaml's loader, where PyYAML was built with it: a tenth of the time, and this runs at every start.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    presets: dict[str, dict[str, Any]] = yaml.load(text, Loader=loader)["presets"]  # noqa: S506 - a safe loader either way
    return presets


def preset_names() -> tuple[str, ...]:
    """Return the names of all presets, in the order of the file."""
    return tuple(_presets())


PRESET_NAMES = preset_names()


def preset_limits(preset: str) -> Limits:
    """Return the limits of a preset, before anybody's settings."""
    return Limits.model_validate(_presets()[preset].get("limits") or {})


def home_address(preset: str) -> tuple[str, tuple[str, ...]]:
    """Return the base URL of a preset, "" where its user says it, and the variables of its keys."""
    facts = _presets()[preset]
    return facts["base_url"], tuple(facts["api_key_env"])


def profile(name: str, override: Mapping[str, Any] | None = None) -> Profile:
    """Return the provider *name* (as in the manifest): its preset with *override* merged in.

    Raise SettingsError, naming the provider, for anything that cannot work.
    """
    wish = {key: value for key, value in dict(override or {}).items() if value is not None}
    _known(name, wish, OVERRIDE_KEYS)
    preset, facts = _start(name, wish)
    tariff = wish.pop("tariff", None)
    models = wish.pop("models", {})
    if not isinstance(models, Mapping):
        raise SettingsError(f"provider {name}: models must be a mapping of names to settings")
    facts = _merged(facts, {key: value for key, value in wish.items() if key != "preset"})
    if isinstance(facts["api_key_env"], str):
        facts["api_key_env"] = [facts["api_key_env"]]
    facts["models"] = _models(name, facts, tariff, models)
    facts["base_url"] = checked_url(name, facts["base_url"])
    facts["default_model"] = _default_model(facts)
    if name != preset and facts["base_url"] != _presets()[preset]["base_url"]:
        facts = _undated(facts)
    _check_paths(name, facts["paths"])
    try:
        return Profile.model_validate({**facts, "name": name, "preset": preset})
    except ValidationError as error:
        raise SettingsError(f"provider {name}: {_sentences(error)}") from None


def _start(name: str, wish: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    presets = _presets()
    preset = wish.get("preset", name if name in presets else None)
    if preset is not None:
        if preset not in presets:
            raise SettingsError(f"provider {name}: there is no preset {preset!r}.{_near(str(preset), presets)}")
        return preset, presets[preset]
    if "dialect" not in wish or "base_url" not in wish:
        raise SettingsError(
            f"provider {name}: this is no preset.{_near(name, presets)} A provider of your own needs"
            " preset and base_url, or dialect and base_url."
        )
    # Another company that speaks the same dialect: its prices and its key are its own.
    preset = _FIRST_OF.get(wish["dialect"], "gateway")
    facts = {key: value for key, value in presets[preset].items() if key not in _PERSONAL}
    facts["models"] = {key: {**model, "tariff": {}, "assumes": {}} for key, model in facts["models"].items()}
    variable = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name).upper()
    return preset, {**facts, "api_key_env": [f"{variable}_API_KEY"], "url_hosts": ["*"]}


def _undated(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return *facts* without the ends of models: they bind who announced them, not a gateway to the same models."""
    models = {
        title: {part: value for part, value in model.items() if part not in ("ends", "successor")}
        for title, model in facts["models"].items()
    }
    return {**facts, "models": models, "retired": {}}


def _models(name: str, facts: Mapping[str, Any], tariff: object, models: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: _priced(name, model, tariff) for key, model in facts["models"].items()}
    for key, wish in models.items():
        if not isinstance(wish, Mapping):
            raise SettingsError(f"provider {name}: model {key} must be a mapping")
        base = next((model for title, model in known.items() if _is_named(title, model, key)), None)
        if base is None:
            heir = _heir(facts, known, wish.get("dialect", facts["dialect"]))
            fresh = {part: value for part, value in heir.items() if part not in _OF_ONE_MODEL}
            base = _priced(name, {**fresh, "wire": key}, tariff)
        canonical = next((title for title, model in known.items() if model is base), key)
        rest = {part: value for part, value in wish.items() if part != "tariff"}
        known[canonical] = _priced(name, _merged(base, rest), wish.get("tariff"))
    return known


def _heir(facts: Mapping[str, Any], known: Mapping[str, Any], dialect: str) -> Mapping[str, Any]:
    """Return the model whose rules a model declared by the user inherits: the default one, if it speaks *dialect*."""
    speakers = {key: model for key, model in known.items() if (model.get("dialect") or facts["dialect"]) == dialect}
    first: Mapping[str, Any] = next(iter((speakers or known).values()))
    heir: Mapping[str, Any] = speakers.get(facts["default_model"], first)
    return heir


def _priced(name: str, model: Mapping[str, Any], tariff: object) -> dict[str, Any]:
    """Return *model* with the user's *tariff*; a USD price he states replaces every other USD price of the preset."""
    if tariff is None:
        return dict(model)
    if not isinstance(tariff, Mapping):
        raise SettingsError(f"provider {name}: tariff must be a mapping")
    old = dict(model.get("tariff") or {})
    if "usd_per_million_tokens" in tariff:
        old.pop("usd_per_image", None)
    elif "usd_per_image" in tariff:
        old.pop("usd_per_million_tokens", None)
    for flat in ("usd_per_image", "credits_per_image"):
        if flat in tariff:
            old.pop(flat, None)
    return {**model, "tariff": _merged(old, tariff)}


def _default_model(facts: Mapping[str, Any]) -> str:
    wanted = facts["default_model"]
    named = (key for key, model in facts["models"].items() if _is_named(key, model, wanted))
    return str(next(named, wanted))


def _is_named(title: str, model: Mapping[str, Any], name: str) -> bool:
    aliases = model.get("aliases") or ()
    return name in (title, model.get("wire")) or str(name).rpartition("/")[2] in aliases


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return *old* with *new* laid over it; mappings are merged, everything else replaces."""
    result = dict(old)
    for key, value in new.items():
        before = result.get(key)
        deep = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[key] = _merged(before, value) if deep else value  # type: ignore[arg-type]
    return result


def checked_url(name: str, base_url: object) -> str:
    """Return *base_url* without trailing slashes; raise SettingsError where a key must not be sent there."""
    where = f"provider {name}: base_url"
    if not isinstance(base_url, str) or not base_url.strip():
        raise SettingsError(
            f"{where} is missing; write what stands before /v1 or /api/v1, such as https://gw.example.com"
        )
    text = base_url.strip()
    if any(letter.isspace() or not letter.isprintable() for letter in text):
        raise SettingsError(f"{where} holds blanks or control characters")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(f"{where} is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise SettingsError(f"{where} must start with https:// and name a host, not {text[:80]!r}")
    if parts.username is not None or parts.password is not None:
        raise SettingsError(f"{where} must not hold a name or password; keys come from the environment")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise SettingsError(f"{where} must not hold a query or a fragment")
    if parts.scheme == "http" and not is_loopback(host):
        raise SettingsError(f"{where} is plain http to {host}: the key would travel readable; use https")
    return text.rstrip("/")


def is_loopback(host: str) -> bool:
    """Tell whether *host* is this machine."""
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
            raise SettingsError(f"provider {name}: path {key} must start with one / and hold no query or blank")


def _known(name: str, wish: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in wish:
        if key not in keys:
            raise SettingsError(f"provider {name}: unknown setting {key!r}.{_near(str(key), keys)}")


def _near(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    hint = suggest(word, known)
    return f" {hint[0].upper()}{hint[1:]}{'' if hint.endswith('?') else '.'}"


def _sentences(error: ValidationError) -> str:
    said = []
    for problem in error.errors(include_url=False):
        place = ".".join(str(step) for step in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        said.append(f"{place}: {message}" if place else message)
    return "; ".join(said)
