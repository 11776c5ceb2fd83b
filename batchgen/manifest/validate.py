"""Validation of a manifest's data against the model. Pure.

Values that are wrong are left out and the others are checked further, so that one pass reports the unknown key of one
job and the size that no provider supports of another.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from ..errors import ManifestError, Problem, nearest
from ..lazy_dataclass import dataclass
from . import messages
from .locations import Path
from .model import Manifest
from .yaml_reader import Document

#: Keys without which a job cannot be checked further; others can be left out.
_VITAL = frozenset({"prompt", "images", "mask", "provider", "model", "from", "matrix", "zip", "vars", "repeat"})
#: Keys without which a provider cannot be built; others have defaults.
_VITAL_OF_PROVIDER = frozenset({"preset", "dialect", "base_url", "paths", "models", "default_model"})


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """A manifest without its invalid values."""

    manifest: Manifest
    data: dict[str, Any]  #: the data of ``manifest``
    problems: list[Problem]
    broken: frozenset[Path]  #: jobs, prompts and providers that cannot be checked further


def validate(document: Document) -> ValidationResult:
    """Check *document* against the model."""
    data = document.data
    try:
        return ValidationResult(manifest=Manifest.model_validate(data), data=data, problems=[], broken=frozenset())
    except ValidationError as error:
        problems = messages.problems(error, document.places)
        valid = _ValidData(data)
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            valid.leave_out(tuple(item["loc"]))
    try:
        manifest = Manifest.model_validate(valid.data)
    except ValidationError:
        raise ManifestError(tuple(problems)) from None
    return ValidationResult(manifest=manifest, data=valid.data, problems=problems, broken=frozenset(valid.broken))


def _is_vital(key: str | int) -> bool:
    """Return whether a job cannot be checked without this key, which may be misspelt."""
    return key in _VITAL or nearest(str(key), _VITAL, cutoff=0.75) is not None


class _ValidData:
    """A copy of the data without its invalid values. Only the containers that change are copied."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = dict(data)
        self.broken: set[Path] = set()
        self._copied: set[Path] = {()}

    def leave_out(self, loc: Path) -> None:
        """Remove the value at *loc*, or the list that contains it."""
        section = loc[0]
        if len(loc) >= 2 and section in ("jobs", "prompts") and isinstance(self.data.get(section), list):
            if section == "prompts" or len(loc) == 2 or _is_vital(loc[2]):
                self.broken.add(loc[:2])
            if section == "prompts" or len(loc) == 2:
                self._inside(loc[:1])[loc[1]] = "left out" if section == "prompts" else {}
                return
        if len(loc) >= 2 and section == "providers" and (len(loc) == 2 or loc[2] in _VITAL_OF_PROVIDER):
            self.broken.add(loc[:2])
        if section == "defaults" and (len(loc) == 1 or loc[1] in _VITAL):
            self.broken.add(("defaults",))
        self._remove(loc)

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
