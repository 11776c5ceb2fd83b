"""Loading a manifest: from its path to a Batch, or to everything that is wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import ManifestError, Problem
from ..files.object_catalog import ObjectCatalog
from ..files.object_store import EXTRA, is_installed
from ..money import nano_usd
from ..object_url import Folder, is_object_url, typed_folder
from ..providers.catalogue import SeenCatalogue
from ..providers.profile import Profile
from . import budgets, filenames, include
from .batch import Batch
from .builder import Naming
from .deliver import copy_specs
from .expansion import Expansion
from .include import ManifestPart
from .inputs import InputFiles, Inputs, Recall
from .locations import Origin
from .model import PARAMETERS
from .problems import Problems
from .routing import ProviderTable
from .templates import Template, TemplateFault

#: The code of the warning about an output folder that this installation cannot write to.
NEEDS_EXTRA = "needs_extra"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def load(
    path: Path,
    *,
    providers: Mapping[str, Mapping[str, Any]] | None = None,
    today: date | None = None,
    content: bytes | None = None,
    on_jobs: Callable[[int], None] = lambda _jobs: None,
    recall: Recall = lambda _name: None,
    lists: Path | None = None,
    seen: Mapping[str, SeenCatalogue] | None = None,
) -> Batch:
    """Read, validate and expand the manifest at *path*; raise ManifestError with every problem in it.

    *providers* are the settings of ``batchgen.yaml``. Without *today*, there are no warnings of old prices. *content*
    is read in place of the file; *on_jobs* gets the number of jobs so far. Inputs that *recall* knows are not checked.
    *lists* is the folder for copies of lists in an object store, and *seen* are the models that providers listed last.
    """
    problems, warnings = Problems(), Problems()
    parts = include.gather(path, problems, warnings, content)
    _check_parts(parts, problems)
    root, manifest = parts[0], parts[0].checked.manifest
    table = ProviderTable(parts, providers or {}, problems, today, seen)
    warnings.extend(table.placeholder_addresses())
    name = _name(root, path, problems)
    folder = _folder(root, name, problems, warnings)
    naming = _naming(root, name, problems)
    skips, objects = manifest.on_bad_source == "skip", ObjectCatalog(lists)
    jobs = Expansion(parts, table, naming, folder, problems, warnings, today, skips=skips, objects=objects)
    files = InputFiles(name, parts, jobs.entries, providers or {}, today, seen or {}, warnings.listed())
    inputs, reported = _check(jobs, files, table, problems, warnings, recall=recall, on_jobs=on_jobs)
    budget = budgets.batch_limits(manifest.budget, table.names, root.places, problems)
    if problems:
        raise ManifestError(problems.listed(), warnings.listed())
    return Batch(
        name=name, manifest=root.folder / path.name, folder=folder, jobs=jobs, profiles=table.profiles, budget=budget,
        allow_unpriced=manifest.budget.allow_unpriced, retry=manifest.retry, on_unknown=manifest.on_unknown,
        skipped=jobs.skipped, confirm_above=nano_usd(manifest.confirm_above), report=manifest.report,
        copies=naming.copies, warnings=reported, inputs=inputs, chains=jobs.chains,
    )  # fmt: skip


def _check(
    jobs: Expansion,
    files: InputFiles,
    table: ProviderTable,
    problems: Problems,
    warnings: Problems,
    *,
    recall: Recall,
    on_jobs: Callable[[int], None],
) -> tuple[Inputs | None, tuple[Problem, ...]]:
    """Check all jobs, or recall what an earlier check of the same inputs found; return the inputs and the warnings."""
    digest = None if problems else files.digest()
    findings = files.recalled(
        recall,
        digest,
        lambda names: _profiles(ProviderTable(files.parts, files.settings, Problems(), None, files.seen), names),
    )
    if findings is None:
        jobs.check(problems, warnings, on_jobs)
    else:
        jobs.recall(findings.jobs)
        _profiles(table, findings.providers)
    reported = warnings.listed() if findings is None else findings.warnings
    if digest is None or jobs.depends_on_images:
        return None, reported
    is_recalled = findings is not None
    findings = findings or files.findings(len(jobs), reported, table.profiles)
    return Inputs(digest=digest, findings=findings, is_recalled=is_recalled, read_again=files.digest), reported


def _profiles(table: ProviderTable, names: Iterable[str]) -> Mapping[str, Profile]:
    """Return the profiles of a table that jobs of these providers need."""
    for name in names:
        table.profile(name)
    return table.profiles


def _naming(root: ManifestPart, name: str, problems: Problems) -> Naming:
    manifest = root.checked.manifest
    return Naming(
        batch=name,
        copies=copy_specs(manifest.deliver, root.origin("deliver"), problems),
        file=_file(root, problems),
        origin=root.origin("output", "file"),
        sidecar=manifest.output.sidecar,
    )


def _check_parts(parts: list[ManifestPart], problems: Problems) -> None:
    for part in parts:
        _check_vars(part, problems)
    _check_for_jobs(parts, problems)


def _check_for_jobs(parts: list[ManifestPart], problems: Problems) -> None:
    """Report that there are no jobs, unless the jobs themselves were reported."""
    if any(part.checked.manifest.jobs or part.checked.manifest.prompts for part in parts):
        return
    root = parts[0]
    if any(problem.path in ("jobs", "prompts") for part in parts for problem in part.checked.problems):
        return
    where = root.origin("jobs") if "jobs" in root.checked.data else root.origin()
    problems.add(where.problem("no_jobs", "there are no jobs", 'add  jobs: [{prompt: "A red cube"}]'))


def _check_vars(part: ManifestPart, problems: Problems) -> None:
    """Report variables that look like a parameter or like a template."""
    blocks: list[tuple[Origin, Mapping[str, Any]]] = [(part.origin("vars"), part.checked.manifest.vars)]
    for number, job in enumerate(part.checked.manifest.jobs):
        if job.vars:
            blocks.append((part.origin("jobs", number, "vars"), job.vars))
        _check_values(part.origin("jobs", number, "zip"), job.zip, problems)
        if job.matrix is not None:
            _check_values(part.origin("jobs", number, "matrix"), job.matrix.axes, problems)
    for origin, variables in blocks:
        for name, value in variables.items():
            if name in PARAMETERS:
                message = f"{name!r} is a parameter; vars only serve templates"
                problems.add(
                    origin.inside(name).problem(
                        "bad_var", message, "write it next to the prompt, or choose another name"
                    )
                )
            elif isinstance(value, str) and "{{" in value:
                message = "a variable is inserted as it is; {{ }} in it would not be rendered"
                problems.add(origin.inside(name).problem("bad_var", message, "write the text out"))


def _check_values(origin: Origin, axes: Mapping[str, Sequence[Any]], problems: Problems) -> None:
    for name, values in axes.items():
        for number, value in enumerate(values):
            if isinstance(value, str) and "{{" in value:
                message = "a variable is inserted as it is; {{ }} in it would not be rendered"
                problems.add(origin.inside(name, number).problem("bad_var", message, "write the text out"))


def _name(root: ManifestPart, path: Path, problems: Problems) -> str:
    """Return the name of the batch; one that cannot be used is reported."""
    name = root.checked.manifest.name or path.stem
    flaw = "contains a /" if "/" in name else filenames.flaw(name)
    if flaw is not None and root.checked.manifest.name is None:
        message = f"the file's name {name!r} cannot name the batch: it {flaw}"
        problems.add(root.origin().problem("bad_name", message, "add  name:"))
    elif flaw is not None:
        hint = "letters, digits, - and _ are safe everywhere"
        problems.add(root.origin("name").problem("bad_name", f"cannot name a batch: it {flaw}", hint))
    return name


def _folder(root: ManifestPart, name: str, problems: Problems, warnings: Problems) -> Folder:
    """Return the absolute output folder. The author may put it anywhere; the name rendered into it is safe."""
    where = root.origin("output", "dir")
    try:
        text = _restricted(root.checked.manifest.output.dir, filenames.FOLDER_FIELDS).render({"name": name})
    except TemplateFault as fault:
        problems.add(where.problem("template", str(fault)))
        text = "output"
    if filenames.control(text) or not text.strip():
        problems.add(where.problem("bad_name", "is blank or contains a control character"))
    elif text.startswith("~"):
        problems.add(where.problem("bad_name", "~ is not expanded here", "write the whole path"))
    if is_object_url(text):
        if not is_installed():
            warnings.add(where.problem(NEEDS_EXTRA, "an output folder in an object store needs the extra cloud", EXTRA))
        try:
            return typed_folder(text)
        except ValueError as error:
            problems.add(where.problem("bad_url", f"is not a place in an object store: {error}"))
    elif text.lower().startswith("file://"):
        text = _path_of(text, where, problems)
    elif (scheme := _SCHEME.match(text)) is not None:
        hint = "write a folder, or a place in an object store such as s3://bucket/{{ name }} (also gs:// and az://)"
        problems.add(where.problem("bad_url", f"{scheme[0]} is not a scheme of an object store", hint))
    return Path(os.path.abspath(root.folder / text.replace("\0", "")))  # noqa: PTH100 - links are kept as written


def _path_of(url: str, where: Origin, problems: Problems) -> str:
    """Return the path of a file:// address, which is one on this machine."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path:
        problems.add(where.problem("bad_url", "a file address names a folder of this machine", "file:///srv/images"))
    return unquote(parts.path) or "output"


def _file(root: ManifestPart, problems: Problems) -> Template:
    """Return the template of file names; where it is wrong, the default one, so that ids can still be checked."""
    try:
        return _filled_in(root.checked.manifest.output.file)
    except TemplateFault as fault:
        problems.add(root.origin("output", "file").problem("template", str(fault)))
        return Template("{{ id }}")


def _filled_in(source: str) -> Template:
    """Return the template of a path; unlike in a prompt, a brace is never literal there."""
    if "{%" in source or "{#" in source:
        raise TemplateFault("may contain only {{ }} with names and filters, such as {{ id | slug }}")
    return Template(source)


def _restricted(source: str, fields: tuple[str, ...]) -> Template:
    """Return a template that names only *fields*."""
    template = _filled_in(source)
    unknown = sorted((template.names | template.optional) - set(fields))
    if unknown:
        raise TemplateFault(f"names {{{{ {unknown[0]} }}}}, but only {', '.join(fields)} can be used there")
    return template
