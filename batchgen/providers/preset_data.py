"""Preset data: the facts of the built-in providers, as their YAML files hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml


class PresetData(Mapping[str, Mapping[str, Any]]):
    """The facts by preset: those of ``presets.yaml`` first, then one preset a file.

    A file is read when its preset is looked up, since every command imports this package.
    """

    def __init__(self) -> None:
        folder = files(__package__)
        self._facts: dict[str, Mapping[str, Any]] = _read(folder.joinpath("presets.yaml"))["presets"]
        found = {file.name: file for file in folder.joinpath("preset_files").iterdir() if file.name.endswith(".yaml")}
        self._files = {name.removesuffix(".yaml"): found[name] for name in sorted(found)}
        self._names = (*self._facts, *self._files)

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        """Return the facts of a preset; raise KeyError."""
        if name not in self._facts:
            self._facts[name] = _read(self._files[name])
        return self._facts[name]

    def __contains__(self, name: object) -> bool:
        """Return whether there is a preset of this name."""
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        """Yield the names in their order."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return how many presets there are."""
        return len(self._names)


@cache
def preset_data() -> PresetData:
    """Return the data of this process."""
    return PresetData()


def _read(file: Traversable) -> dict[str, Any]:
    # libyaml's loader, if PyYAML was built with it, takes a tenth of the time.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    facts: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe loader either way
    return facts
