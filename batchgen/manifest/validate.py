"""Validation of a manifest's data against the model. Pure.

Values that are wrong are left out and the others are checked further, so that one pass reports the unknown key of one
job and the size that no provider supports of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ..errors import ManifestError, Problem, nearest
from . import guesses, messages
from .locations import Path
from .model import Manifest
from .yaml_reader import Document

#: Keys that the check of a job depends on; others can be left out.
_VITAL = frozenset(
    {
        "prompt",
        "images",
        "mask",
        "provider",
        "model",
        "from",
        "matrix",
        "zip",
        "vars",
        "repeat",
        "columns",
        "id",
        "include",
    }
)
#: Left-out values may bring further mistakes to light, of keys that are checked together.
_ROUNDS = 5
#: Mistakes that leaving a value out may cause.
_OF_LEFT_OUT = frozenset({"missing", "too_short"})
#: Keys without which a provider cannot be built; others have defaults.
_VITAL_OF_PROVIDER = frozenset({"preset", "dialect", "base_url", "paths", "models", "default_model"})


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """A manifest without its invalid values."""

    manifest: Manifest
    data: dict[str, Any]  #: the data of ``manifest``
    problems: list[Problem]
    broken: frozenset[Path]  #: jobs, prompts and providers that cannot be checked further
    unknown: Mapping[Path, frozenset[str]]  #: keys whose values are wrong, of jobs, ``defaults`` and the file


def validate(document: Document) -> ValidationResult:
    """Check *document* against the model."""
    valid = _ValidData(document.data)
    problems: list[Problem] = []
    for number in range(_ROUNDS):
        try:
            manifest = Manifest.model_validate(valid.data)
        except ValidationError as error:
            ignored = _OF_LEFT_OUT if number else frozenset()
            provider = guesses.provider_of(document.data)
            found = messages.problems(error, document.places, ignored, provider)
            problems += [problem for problem in found if problem not in problems]
            for item in error.errors(include_url=False, include_input=False, include_context=False):
                valid.leave_out(tuple(item["loc"]))
        else:
            unknown = {path: frozenset(keys) for path, keys in valid.unknown.items()}
            return ValidationResult(
                manifest=manifest, data=valid.data, problems=problems, broken=frozenset(valid.broken), unknown=unknown
            )
    raise ManifestError(tuple(problems))


def _vital(key: str | int) -> str | None:
    """Return the key that the check of a job depends on, which may be misspelt; None for another one."""
    return str(key) if key in _VITAL else nearest(str(key), _VITAL, cutoff=0.75)


class _ValidData:
    """A copy of the data without its invalid values. Only the containers that change are copied."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = dict(data)
        self.broken: set[Path] = set()
        self.unknown: dict[Path, set[str]] = {}
        self._copied: set[Path] = {()}

    def leave_out(self, loc: Path) -> None:
        """Remove the value at *loc*, or the list that contains it."""
        section = loc[0]
        if section in ("jobs", "prompts") and isinstance(self.data.get(section), list) and len(loc) >= 2:
            if section == "prompts" or len(loc) == 2:
                self.broken.add(loc[:2])
                self._inside(loc[:1])[loc[1]] = "left out" if section == "prompts" else {}
                return
            self._note(loc[:2], loc[2])
        if len(loc) >= 2 and section == "providers" and (len(loc) == 2 or loc[2] in _VITAL_OF_PROVIDER):
            self.broken.add(loc[:2])
        if section in ("vars", "include"):
            self._note((), section)
        elif section == "defaults":
            if len(loc) == 1:
                self.broken.add(loc)
            else:
                self._note(loc[:1], loc[1])
        elif len(loc) == 1:
            self._note(("defaults",), section)  # a parameter at the top of the file was meant for all jobs
        self._remove(loc)

    def _note(self, path: Path, key: str | int) -> None:
        if (vital := _vital(key)) is not None:
            self.unknown.setdefault(path, set()).add(vital)

    def _remove(self, loc: Path) -> None:
        node: Any = self.data
        last: Path = ()
        for number, step in enumerate(loc):
            if isinstance(node, dict) and step in node:
                last, node = loc[: number + 1], node[step]
            elif isinstance(node, list) and isinstance(step, int) and step < len(node):
                node = node[step]
                if loc[0] != "jobs" or number != 1:
                    break
            else:
                break
        if last:
            self._inside(last[:-1]).pop(last[-1], None)

    def _inside(self, path: Path) -> Any:  # noqa: ANN401 - a mapping or a list
        """Return the container at *path*, copied once, together with those around it."""
        node: Any = self.data
        for number, step in enumerate(path):
            here = path[: number + 1]
            if here not in self._copied:
                node[step] = node[step].copy()
                self._copied.add(here)
            node = node[step]
        return node
