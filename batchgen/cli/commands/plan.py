"""Before a run: validate, plan."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import ManifestError, Problem
from .. import output
from ..options import Session, command, keep_changed, of_manifest, selecting, selection
from ..options import sandbox as rehearsal
from ..render.plan import job_document, job_line, key_documents, key_lines, many, notices, plan_lines
from ..run_options import amount

if TYPE_CHECKING:
    from ...manifest import PlannedJob
    from ...planning.compare import StoredJob

_MANIFEST = click.Path(dir_okay=False, path_type=Path)


@command("validate", "batchgen validate jobs/autumn.yaml", "batchgen validate jobs/*.yaml --strict")
@click.argument("manifests", nargs=-1, required=True, type=_MANIFEST)
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
def validate(session: Session, manifests: tuple[Path, ...], strict: bool) -> int:
    """Check manifests: every mistake at once, with file, line and column.  Nothing is sent or written."""
    from ...app import plan as prepare
    from ...providers.key_destinations import Destination, unusual_destinations

    errors: list[Problem] = []
    warnings: list[Problem] = []
    jobs, keys = 0, dict[Destination, None]()
    for path in manifests:
        try:
            batch = prepare.read_manifest(session.project(), session.file(path))
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
        output.document(_verdict(jobs, errors, warnings) | {"keys": key_documents(list(keys))})
    if errors:
        raise ManifestError(tuple(errors), tuple(warnings))
    if session.as_json:
        return 0
    lines = [f"warning: {output.nearer(warning)}" for warning in warnings]
    for line in [*lines, *([] if session.quiet else key_lines(list(keys)))]:
        output.say(line)
    if not session.quiet:
        verdict = f"no mistakes, {output.count(len(warnings), 'warning')}" if warnings else "no mistakes"
        output.data(f"{output.count(len(manifests), 'manifest')}, {many(jobs, 'job')}: {verdict}")
    return 0


def _verdict(jobs: int, errors: list[Problem], warnings: list[Problem]) -> dict[str, Any]:
    """Return what ``validate --json`` prints."""
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
@click.argument("manifest", type=_MANIFEST)
@click.option("--diff", is_flag=True, help="Tell of every changed job what changed, not only of the first ones.")
@click.option("--full", is_flag=True, help="List every job as well.")
@click.option("--budget", metavar="USD", help="Say how far so much would go.")
@keep_changed
@selecting
@rehearsal
def plan(
    session: Session,
    manifest: Path,
    *,
    budget: str | None,
    diff: bool,
    full: bool,
    keep_changed: bool,
    sandbox: bool,
    **options: Any,  # noqa: ANN401 - the selection
) -> int:
    """Say what a run would do, what it would cost and how long it would take.  Sends and writes nothing."""
    from ...app import plan as prepare

    project, chosen = session.project(sandbox=sandbox), of_manifest(selection(options))
    batch = prepare.read_manifest(project, session.file(manifest))
    items: list[dict[str, Any]] = []

    def tell(job: PlannedJob, standing: str, row: StoredJob | None) -> None:
        if session.as_json:
            items.append(job_document(job, standing, row))
        else:
            output.data(job_line(job, standing, row))

    wish = prepare.plan(
        project,
        batch,
        chosen,
        keep_changed=keep_changed,
        budget=amount(budget),
        tell=tell if full else None,
        changes_all=diff,
    )
    document, lines = notices(project, batch, wish)
    if session.as_json:
        output.document(wish.as_json() | document | ({"items": items} if full else {}))
        return 0
    for warning in batch.warnings:
        output.say(f"warning: {output.nearer(warning)}")
    for line in [*([""] if full else []), *plan_lines(batch.name, wish, batch.manifest.parent), *lines]:
        output.data(line)
    return 0
