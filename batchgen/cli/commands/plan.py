"""Commands before a run: validate, plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ...errors import ManifestError, Problem
from .. import output
from ..options import (
    Session,
    command,
    command_name,
    complete_files,
    keep_changed,
    manifest_argument,
    of_manifest,
    option,
    sandbox,
    selecting,
    selection,
)
from ..params import USD
from ..reading import reading
from ..render.format import count, hanging, warning_line
from ..render.plan import job_document, job_line, key_documents, key_lines, notices, plan_lines

if TYPE_CHECKING:
    from ...manifest import Batch, PlannedJob
    from ...planning.compare import StoredJob


@command("validate", "batchgen validate jobs/autumn.yaml", "batchgen validate jobs/*.yaml --strict")
@click.argument("manifests", metavar="[MANIFEST|FOLDER|BATCH|-]...", nargs=-1, shell_complete=complete_files)
@option("--strict", is_flag=True, help="Treat warnings as errors.")
def validate(session: Session, manifests: tuple[str, ...], strict: bool) -> int:
    """Check manifests: every mistake with file, line and column.

    Nothing is sent or written. Without MANIFEST: all that lie in jobs/ and in this folder.
    """
    from ...app import manifests as candidates
    from ...app import plan as use_case
    from ...providers.key_destinations import Destination, unusual_destinations

    errors: list[Problem] = []
    warnings: list[Problem] = []
    jobs, keys = 0, dict[Destination, None]()
    paths = candidates.find_manifests(session.project(), manifests, command_name())
    for path in paths:
        try:
            with reading(session, path) as on_jobs:
                batch = use_case.read_manifest(session.project(), path, on_jobs=on_jobs, thorough=True)
        except ManifestError as error:
            errors += error.problems
            warnings += error.warnings
        else:
            warnings += batch.warnings
            jobs += len(batch.jobs)
            keys |= dict.fromkeys(unusual_destinations(batch.profiles.values()))
    if strict:
        errors, warnings = [*errors, *warnings], []
    if session.as_json:
        output.document(_document(jobs, errors, warnings) | {"keys": key_documents(list(keys))})
    if errors:
        raise ManifestError(tuple(errors), tuple(warnings))
    if session.as_json:
        return 0
    for line in [*map(warning_line, warnings), *([] if session.quiet else key_lines(list(keys)))]:
        output.say(line)
    if not session.quiet:
        verdict = f"no mistakes, {count(len(warnings), 'warning')}" if warnings else "no mistakes"
        output.data(f"{count(len(paths), 'manifest')}, {count(jobs, 'job')}: {verdict}")
    return 0


def _document(jobs: int, errors: list[Problem], warnings: list[Problem]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "valid": not errors,
        "jobs": jobs,
        "errors": [asdict(problem) for problem in errors],
        "warnings": [asdict(problem) for problem in warnings],
    }


@command(
    "plan",
    "batchgen plan jobs/autumn.yaml",
    "batchgen plan jobs/autumn.yaml --diff            what changed in every changed job",
    "batchgen plan jobs/autumn.yaml --tag draft --full",
)
@manifest_argument
@option("--diff", is_flag=True, help="Show the changes of every changed job, not only of the first ones.")
@option("--full", is_flag=True, help="List every job.")
@option("--budget", type=USD, help="Show how far this budget would go.")
@keep_changed
@selecting
@sandbox
def plan(
    session: Session,
    manifest: str | None,
    *,
    budget: int | None,
    diff: bool,
    full: bool,
    keep_changed: bool,
    **options: Any,  # noqa: ANN401 - the selection
) -> int:
    """Show what a run would do and cost; sends nothing.

    The estimate has a likely figure and a range, from earlier requests or else from price lists. Nothing is written.
    """
    project, chosen, path = session.project(), of_manifest(selection(options)), session.manifest(manifest)
    with reading(session, path) as on_jobs:
        from ...app import plan as use_case
        from ...app.budgets import require_prices

        batch = use_case.read_manifest(project, path, on_jobs=on_jobs)
    items: list[dict[str, Any]] = []

    def show(job: PlannedJob, state: str, row: StoredJob | None) -> None:
        if session.as_json:
            items.append(job_document(job, state, row))
        else:
            output.data(job_line(job, state, row))

    on_job = show if full else None
    result = use_case.plan(
        project, batch, chosen, keep_changed=keep_changed, budget=budget, on_job=on_job, changes_all=diff
    )
    document, lines = notices(project, batch, result)
    if session.as_json:
        output.document(result.as_json() | document | ({"items": items} if full else {}))
    else:
        flags = project.command_flags(batch.name)
        shown = plan_lines(batch.name, result, batch.manifest.parent, flags, batch.manifest)
        lines = [*([""] if full else []), *shown, *lines]
        _print(batch, lines)
    require_prices(batch, result, budget)
    return 0


def _print(batch: Batch, lines: Sequence[str]) -> None:
    for warning in batch.warnings:
        output.say(warning_line(warning))
    for line in hanging(lines, output.columns()):
        output.data(line)
