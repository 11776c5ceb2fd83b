"""A manifest and the manifests it includes, each read and validated.

The nearest value wins: a job's own parameters, the defaults of its file, those of the files it includes, those of the
file that includes it; the same with ``vars``. A file counts once, however often it is included.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ManifestError
from ..files import naming
from ..object_url import is_object_url
from . import secrets as keys
from .locations import Origin, Places
from .model import PARAMETERS, PREPARATION, Parameters
from .problems import Problems
from .validate import ValidationResult, validate
from .yaml_reader import read

MAX_FILES, MAX_DEPTH = 1_000, 50

#: Keys that count only in the manifest named on the command line.
_OF_THE_WHOLE = ("name", "output", "deliver", "retry", "on_unknown", "budget", "confirm_above", "report")

#: Parameters that are added to the default instead of replacing it.
_ADDED = ("tags", "extra")


@dataclass(frozen=True, slots=True)
class Given:
    """A default or a variable, and where it was written."""

    value: Any
    origin: Origin


@dataclass(kw_only=True, slots=True)
class ManifestPart:
    """One file of a batch: the manifest itself, or one that it includes."""

    file: Path  #: as the user would type it
    folder: Path  #: absolute; its paths are relative to it
    places: Places
    checked: ValidationResult
    digest: str  #: of its text
    includes: list[ManifestPart] = field(default_factory=list)
    defaults: Mapping[str, Given] = field(default_factory=dict)  #: defaults of its jobs
    vars: Mapping[str, Given] = field(default_factory=dict)  #: variables of its templates
    is_incomplete: bool = False  #: a file that it includes cannot be read, which was reported
    unknown_defaults: frozenset[str] = frozenset()  #: parameters that a wrong default or a missing file may set
    lacks_variables: bool = False  #: wrong or missing are files or ``vars`` that may hold more variables

    def origin(self, *path: str | int) -> Origin:
        """Return the place of a value in this file."""
        return Origin(self.places, path)


def gather(path: Path, problems: Problems, warnings: Problems, content: bytes | None = None) -> list[ManifestPart]:
    """Return the manifest at *path*, followed by all that it includes; raise ManifestError where it cannot be read."""
    parts: dict[str, ManifestPart] = {}
    root = _read(path, problems, warnings, content)
    parts[_real(path)] = root
    _include(root, parts, (_real(path),), problems, warnings)
    _inherit(root, set())
    _mark_unknown(parts.values())
    return list(parts.values())


def _read(path: Path, problems: Problems, warnings: Problems, content: bytes | None = None) -> ManifestPart:
    document = read(path, content)
    places = document.places
    checked = validate(document)
    secrets = list(keys.find(document.data, document.text, places))
    spots = {problem.path for problem in secrets}
    problems.extend(document.problems)
    warnings.extend(document.warnings)
    problems.extend(secrets)
    # One message about an API key is enough.
    problems.extend(problem for problem in checked.problems if problem.path not in spots)
    # resolve() would follow links: paths in a linked manifest are relative to the link.
    folder = Path(os.path.abspath(path)).parent  # noqa: PTH100
    digest = hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).hexdigest()
    return ManifestPart(file=path, folder=folder, places=places, checked=checked, digest=digest)


def _include(
    part: ManifestPart, parts: dict[str, ManifestPart], chain: tuple[str, ...], problems: Problems, warnings: Problems
) -> None:
    for number, name in enumerate(part.checked.manifest.include):
        origin = part.origin("include", number)
        paths = [] if is_object_url(name) else _matches(part, name)
        if is_object_url(name):
            part.is_incomplete = True
            message = f"{name} is in an object store; manifests are files on this machine"
            problems.add(origin.problem("not_found", message, "its lists and images may be in a store"))
        elif not paths:
            part.is_incomplete = True
            problems.add(origin.problem("no_match", f"{name} matches no file in {part.folder}"))
        elif not os.path.lexists(paths[0]):
            paths, part.is_incomplete = [], True
            problems.add(origin.problem("not_found", f"{name} does not exist in {part.folder}"))
        for path in paths:
            real = _real(path)
            if real in chain:
                problems.add(origin.problem("include_loop", f"{name} includes itself, directly or through other files"))
            elif real in parts:
                part.includes.append(parts[real])
            elif len(parts) >= MAX_FILES or len(chain) >= MAX_DEPTH:
                message = f"more than {MAX_FILES} files are included, or more than {MAX_DEPTH} levels deep"
                problems.add(origin.problem("too_many_files", message))
                part.is_incomplete = True
            else:
                try:
                    inner = _read(path, problems, warnings)
                except ManifestError as error:
                    problems.extend(error.problems)
                    part.is_incomplete = True
                    continue
                warnings.extend(_not_used(inner))
                parts[real] = inner
                part.includes.append(inner)
                _include(inner, parts, (*chain, real), problems, warnings)
    _collect(part)


def _matches(part: ManifestPart, name: str) -> list[Path]:
    base = part.file.parent
    if not glob.has_magic(name):
        return [base / name]
    return [base / path for path in sorted(itertools.islice(naming.matching(base, name), MAX_FILES + 1))]


def _not_used(part: ManifestPart) -> Iterator[Any]:
    for name in _OF_THE_WHOLE:
        if name in part.checked.data:
            message = f"{name!r} is ignored in an included manifest"
            yield part.origin(name).problem("not_used", message, "put it into the manifest that includes this one")


def _collect(part: ManifestPart) -> None:
    """Give *part* its own defaults and variables and those of the files it includes."""
    for inner in part.includes:
        part.defaults = laid(part.defaults, inner.defaults)
        part.vars = {**part.vars, **inner.vars}
    manifest = part.checked.manifest
    own = {name: Given(value, part.origin("defaults", name)) for name, value in stated_in(manifest.defaults).items()}
    part.defaults = laid(part.defaults, own)
    part.vars = {
        **part.vars,
        **{name: Given(value, part.origin("vars", name)) for name, value in manifest.vars.items()},
    }


def _inherit(part: ManifestPart, done: set[int]) -> None:
    """Give the defaults and variables of *part* to the files that it includes; their own are nearer and win."""
    for inner in part.includes:
        if id(inner) not in done:
            done.add(id(inner))
            inner.defaults = laid(part.defaults, inner.defaults)
            inner.vars = {**part.vars, **inner.vars}
            _inherit(inner, done)


def _mark_unknown(parts: Iterable[ManifestPart]) -> None:
    """Mark in *parts* what is not known because a file or a section is wrong, so that nothing is reported of it."""
    wrong = [part.checked.unknown for part in parts]
    names = frozenset[str]().union(*(unknown.get(("defaults",), frozenset()) for unknown in wrong))
    missing = any(part.is_incomplete or "include" in part.checked.unknown.get((), ()) for part in parts)
    if missing or any(("defaults",) in part.checked.broken for part in parts):
        names = PARAMETERS | PREPARATION
    for part in parts:
        part.unknown_defaults = names
        part.lacks_variables = missing or any("vars" in unknown.get((), ()) for unknown in wrong)


def stated_in(parameters: Parameters) -> dict[str, Any]:
    """Return the parameters that were written, including those written as null."""
    names = parameters.model_fields_set & (PARAMETERS | PREPARATION)
    return {name: getattr(parameters, name) for name in parameters.model_fields_set if name in names}


def laid(under: Mapping[str, Given], over: Mapping[str, Given]) -> dict[str, Given]:
    """Return *under* overridden by *over*: tags add up, ``extra`` is merged, other parameters are replaced."""
    result = {**under, **over}
    for name in _ADDED:
        if name in under and name in over:
            result[name] = Given(added(name, under[name].value, over[name].value), over[name].origin)
    return result


def added(name: str, before: Any, after: Any) -> Any:  # noqa: ANN401 - tags or extra
    """Return *after* added to *before*; null removes the values before."""
    if not before or not after:
        return after
    return {**before, **after} if name == "extra" else [*dict.fromkeys([*before, *after])]


def _real(path: Path) -> str:
    return os.path.realpath(path)


def providers(parts: Iterable[ManifestPart]) -> tuple[dict[str, Any], dict[str, Origin], frozenset[str]]:
    """Return the settings of every provider in the files, their places, and which of them are broken.

    Where files disagree, the manifest itself wins, then the file that was included first.
    """
    settings: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    broken: set[str] = set()
    for part in parts:
        for name, stated in (part.checked.data.get("providers") or {}).items():
            settings[name] = merged(stated or {}, settings[name]) if name in settings else stated or {}
            origins.setdefault(name, part.origin("providers", name))
            if ("providers", name) in part.checked.broken or ("providers",) in part.checked.broken:
                broken.add(name)
    return settings, origins, frozenset(broken)


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return *under* overridden by *over*: mappings are merged, other values are replaced."""
    result = dict(under)
    for key, value in over.items():
        before = result.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            result[key] = merged(before, value)
        else:
            result[key] = value
    return result
