"""Commands that run a batch again: resume, retry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from ..options import Session, command, complete_files, of_manifest, option, selecting, selection
from ..run_options import run_options, terms_of
from .run import carry_out, retry_failed, run_selected

_WHICH = click.argument("which", metavar="[BATCH|MANIFEST]", required=False, shell_complete=complete_files)


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
    """Resume what the last run left unfinished.

    It runs the batch's manifest again, as run does. Failed jobs need retry, or --retry-failed.
    """
    from ...app.queries import manifest_of

    manifest = manifest_of(session.project(), which)
    return run_selected(session, manifest, options)


@command(
    "retry",
    "batchgen retry --cause throttled",
    "batchgen retry jobs/night.yaml --id 'cat-*' --with quality=low",
    "batchgen retry --cause denied --with provider=openai --dry-run",
)
@_WHICH
@option(
    "--with", "amend", multiple=True, metavar="KEY=VALUE", help="Override parameters: quality=low, provider=openai."
)
@run_options
@selecting
def retry(session: Session, which: str | None, amend: tuple[str, ...], **options: Any) -> int:  # noqa: ANN401 - see run_options
    """Requeue failed jobs and run them, also with other parameters.

    Without BATCH or MANIFEST: those of the batch that ran last. What --with sets (provider, model, prompt, size,
    quality and so on) applies to these jobs until their manifest entry changes.
    """
    from ...app.queries import manifest_of
    from ...planning.overrides import parse

    overrides = parse(amend)
    manifest = manifest_of(session.project(), which)
    chosen = of_manifest(selection(options))
    requeue = replace(chosen, states=chosen.states or ("failed",))
    # once requeued they are pending and without a cause, as other jobs may be
    chosen = replace(chosen, states=(), causes=())
    return carry_out(session, manifest, options, terms_of(options, requeue, chosen, overrides))
