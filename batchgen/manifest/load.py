"""A manifest's file to a Batch, or every problem in it.  A doer: it reads the manifest and the images it names."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ManifestError, Problem
from . import budgets, keys, names
from .assemble import Assembly
from .batch import Batch
from .expand import drafts
from .model import Manifest
from .offers import Offers, Override
from .places import Places, orderly
from .reader import read
from .sources import Sources
from .validate import Checked, validate


def load(
    path: Path, *, providers: Mapping[str, Mapping[str, Any]] | None = None, override: Override | None = None
) -> Batch:
    """Read, check and expand the manifest at *path*; raise ManifestError with every problem in it.

    *providers* are settings that stand under the manifest's own (``batchgen.yaml``).  *override* is called with a
    provider's name and its merged settings and returns what counts (the sandbox's base URL).
    """
    with _no_collector():
        return _load(path, providers or {}, override)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Switch the garbage collector off: it would walk a growing heap again and again, for twice the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _load(path: Path, providers: Mapping[str, Mapping[str, Any]], override: Override | None) -> Batch:
    document = read(path)
    places = document.places
    checked = validate(document)
    problems = [*document.problems, *_without_keys(checked, keys.find(document.data, document.text, places))]
    offers = Offers(checked, places, providers, override)
    name = checked.manifest.name or path.stem
    problems += _name_problems(checked.manifest, name, places)
    folder = _folder(checked.manifest, name, path, places, problems)
    assembly = Assembly(
        places, offers, Sources(_folder_of(path)), name=name, file=_file(checked.manifest, places, problems),
        sidecar=checked.manifest.output.sidecar,
    )  # fmt: skip
    assembly.add(draft for draft in drafts(checked.manifest) if _whole(draft.path, checked))
    budget = budgets.caps(checked.manifest.budget, offers.known, places, problems)
    problems += [*offers.problems, *assembly.problems, *_nothing_to_do(checked, places)]
    if problems:
        raise ManifestError(orderly(problems))
    manifest = checked.manifest
    return Batch(
        name=name,
        manifest=_folder_of(path) / path.name,
        folder=folder,
        jobs=tuple(assembly.jobs),
        profiles=offers.profiles,
        budget=budget,
        retry=manifest.retry,
        on_unknown=manifest.on_unknown,
        warnings=orderly(assembly.warnings),
    )


def _folder_of(path: Path) -> Path:
    return Path(os.path.abspath(path)).parent  # noqa: PTH100 - a linked manifest stands where its link stands


def _whole(path: tuple[str | int, ...], checked: Checked) -> bool:
    """Tell whether a row can be checked further; where the defaults are broken, no row can."""
    return path not in checked.broken and ("defaults",) not in checked.broken


def _without_keys(checked: Checked, found: Iterable[Problem]) -> list[Problem]:
    """Return the model's problems and those of API keys; what is a key needs no second complaint."""
    secrets = list(found)
    spots = {problem.path for problem in secrets}
    return [*secrets, *(problem for problem in checked.problems if problem.path not in spots)]


def _nothing_to_do(checked: Checked, places: Places) -> list[Problem]:
    manifest = checked.manifest
    if manifest.jobs or manifest.prompts or any(problem.path in ("jobs", "prompts") for problem in checked.problems):
        return []
    where = ("jobs",) if "jobs" in checked.data else ()
    return [places.problem(where, "no_jobs", "there are no jobs", 'add  jobs: [{prompt: "A red cube"}]')]


def _name_problems(manifest: Manifest, name: str, places: Places) -> list[Problem]:
    flaw = "holds a /" if "/" in name else names.flaw(name)
    if flaw is None:
        return []
    hint = "letters, digits, - and _ are safe everywhere"
    if manifest.name is None:
        return [
            places.problem((), "bad_name", f"the file's name {name!r} cannot name the batch: it {flaw}", "add  name:")
        ]
    return [places.problem(("name",), "bad_name", f"cannot name a batch: it {flaw}", hint)]


def _folder(manifest: Manifest, name: str, path: Path, places: Places, problems: list[Problem]) -> Path:
    """Return the absolute output folder.  The author may put it anywhere; what is filled in is a safe name."""
    where = ("output", "dir")
    source = manifest.output.dir
    try:
        text = names.Template(source, names.FOLDER_FIELDS).render({"name": name})
    except names.TemplateFault as fault:
        problems.append(places.problem(where, "template", str(fault)))
        text = "output"
    if names.control(text) or not text.strip():
        problems.append(places.problem(where, "bad_name", "is blank or holds a control character"))
    elif text.startswith("~"):
        problems.append(places.problem(where, "bad_name", "~ is not understood here", "write the whole path"))
    return Path(os.path.abspath(_folder_of(path) / text.replace("\0", "")))  # noqa: PTH100 - links are kept as written


def _file(manifest: Manifest, places: Places, problems: list[Problem]) -> names.Template:
    """Return the template of file names; where it is wrong, the default one, so that ids are checked all the same."""
    try:
        return names.Template(manifest.output.file, names.FILE_FIELDS)
    except names.TemplateFault as fault:
        problems.append(places.problem(("output", "file"), "template", str(fault)))
        return names.Template("{{ id }}", names.FILE_FIELDS)
