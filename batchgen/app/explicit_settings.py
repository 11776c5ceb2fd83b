"""The explicit settings of a project, each with its source: a variable or a file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .config import dotenv, settings
from .project import Project

#: Settings whose values may be secret: variables, and notification addresses in the options of a file.
_SECRET = re.compile(r"BATCHGEN_.*(URL|NOTIFY|SECRET|TOKEN|KEY)|options\..*\.notify")


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One explicit setting and its source."""

    name: str
    value: Any
    source: str
    overridden_by: str | None = None  #: a variable or a file of higher precedence


def list_settings(project: Project, overriding: Callable[[str], Sequence[str]] = lambda name: [name]) -> list[Setting]:
    """Return every explicit setting, highest precedence first; raise SettingsError.

    *overriding* returns the names of settings that override the setting of a file.
    """
    result = [
        Setting(name=name, value=_shown(name, value), source=str(dotenv.origins.get(name, "the environment")))
        for name, value in sorted(os.environ.items())
        if name.startswith("BATCHGEN_")
    ]
    sources = {setting.name: setting.name for setting in result if setting.value}
    for layer in settings.layers(project.root):
        leaves = [(name, name.replace("-", "_"), value) for name, value in _leaves("", layer.values)]
        for name, key, value in leaves:
            by = next((sources[other] for other in overriding(key) if other in sources), None)
            result.append(Setting(name=name, value=_shown(key, value), source=str(layer.file), overridden_by=by))
        sources = {key: str(layer.file) for _, key, _ in leaves} | sources
    return result


def _shown(name: str, value: object) -> object:
    return "(set)" if value and _SECRET.match(name) else value


def _leaves(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value
