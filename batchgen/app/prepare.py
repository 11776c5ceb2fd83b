"""Before a run: the manifest, the plan, the providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .. import manifest, settings
from ..job import State
from ..manifest import Batch
from ..plan import Plan, compare
from ..providers.presets import preset_names, profile
from ..providers.profile import Profile
from ..store.reader import Reader
from .place import Place, opened


def read_manifest(place: Place, path: Path) -> Batch:
    """Return the manifest at *path*, checked and expanded; raise ManifestError with everything that is wrong."""
    providers = settings.project_settings(path.absolute().parent).get("providers", {})
    batch = manifest.load(path, providers=providers)
    if not place.sandbox:
        return batch
    return replace(batch, folder=place.state / "output" / batch.name)


def plan(place: Place, batch: Batch) -> Plan:
    """Compare *batch* with the job table, if there is one yet; opens no connection and writes nothing."""
    if not place.db.exists():
        return compare(batch, {})
    with opened(place) as reader:
        return compare(batch, rows(reader, batch))


def rows(reader: Reader, batch: Batch) -> Mapping[str, tuple[State, str]]:
    """Return what the job table knows of *batch*'s jobs, by key: state and fingerprint."""
    known = {found.name: found.id for found in reader.batches()}
    return reader.standing(known[batch.name]) if batch.name in known else {}


def providers(place: Place) -> Mapping[str, tuple[Profile, settings.Key | None]]:
    """Return every preset and configured provider, with its key where there is one."""
    configured = settings.project_settings(place.root).get("providers", {})
    found = {}
    for name in dict.fromkeys([*preset_names(), *configured]):
        override = dict(configured.get(name, {}))
        if name == "gateway" and "base_url" not in override:
            override["base_url"] = "https://gateway.invalid"
        known = profile(name, override)
        found[name] = (known, settings.find_key(known.api_key_env, settings.environment()))
    return found
