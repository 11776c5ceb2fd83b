"""Going on: resume, retry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import NotFound
from ..options import Session, command, files, of_manifest, selecting, selection
from ..run_options import run_options, terms_of
from .run import carry_out, retry_failed, run_selected

if TYPE_CHECKING:
    from ...app.project import Project

_WHICH = click.argument("which", metavar="[BATCH|MANIFEST]", required=False, shell_complete=files)


@command(
    "resume",
    "batchgen resume                      the batch that ran last",
    "batchgen resume autumn --budget 40   a batch by its name",
)
@_WHICH
@retry_failed
@run_options
@selecting
def resume(session: Session, which: str | None, **options: Any) -> int:  # noqa: ANN401 - see run_options
    """Go on with what the last run left: pending and interrupted jobs.

    It runs the batch's manifest again, as run does; failed jobs are for retry, or --retry-failed.
    """
    manifest = manifest_of(session.project(sandbox=options["sandbox"]), which)
    return run_selected(session, manifest, options)


@command(
    "retry",
    "batchgen retry --cause throttled",
    "batchgen retry jobs/night.yaml --id 'cat-*' --with quality=low",
    "batchgen retry --cause denied --with provider=openai --dry-run",
)
@_WHICH
@click.option(
    "--with",
    "amend",
    multiple=True,
    metavar="KEY=VALUE",
    help="Ask otherwise: quality=low, provider=openai.",
)
@run_options
@selecting
def retry(session: Session, which: str | None, amend: tuple[str, ...], **options: Any) -> int:  # noqa: ANN401 - see run_options
    """Put failed jobs back, all or those selected, and run them.

    Without BATCH or MANIFEST: of the batch that ran last.  What --with says (provider, model, prompt, size, quality
    and so on) holds for these jobs until the manifest asks for something else of them.
    """
    from ...planning.overrides import parse

    said = parse(amend)
    manifest = manifest_of(session.project(sandbox=options["sandbox"]), which)
    chosen = of_manifest(selection(options))
    requeue = replace(chosen, states=chosen.states or ("failed",))
    # once put back they are pending and without a cause, as others may be
    chosen = replace(chosen, states=(), causes=())
    return carry_out(session, manifest, options, terms_of(options, requeue, chosen, said))


def manifest_of(project: Project, which: str | None) -> Path:
    """Return the manifest that *which* names: a file, a batch of the job table, or None for the one that ran last."""
    from ...app import queries

    if which is not None and (which.endswith((".yaml", ".yml")) or (project.root / which).is_file()):
        return project.root / which
    found = Path(queries.batch(project, which).manifest)
    if not found.is_file():
        raise NotFound(f"the manifest of this batch is gone: {found}.  If it was moved, name it: batchgen run MANIFEST")
    return found
