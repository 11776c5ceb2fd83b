"""Commands that run a batch again: resume, retry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..options import Session, command, manifest_argument, of_manifest, option, selecting, selection
from ..run_options import run_options, terms_of
from .run import carry_out, retry_failed, run_selected


@command(
    "resume",
    "batchgen resume                      the batch that ran last",
    "batchgen resume autumn --budget 40   a batch by its name",
)
@manifest_argument
@retry_failed
@run_options
@selecting
def resume(session: Session, manifest: str | None, **options: Any) -> int:  # noqa: ANN401 - see run_options
    """Resume what the last run left unfinished.

    It runs the batch's manifest again, as run does. Failed jobs need retry, or --retry-failed.
    """
    return run_selected(session, session.manifest(manifest, last_first=True), options)


@command(
    "retry",
    "batchgen retry --cause throttled",
    "batchgen retry jobs/night.yaml --id 'cat-*' --with quality=low",
    "batchgen retry --cause denied --with provider=openai --dry-run",
)
@manifest_argument
@option(
    "--with", "amend", multiple=True, metavar="KEY=VALUE", help="Override parameters: quality=low, provider=openai."
)
@run_options
@selecting
def retry(session: Session, manifest: str | None, amend: tuple[str, ...], **options: Any) -> int:  # noqa: ANN401 - see run_options
    """Requeue failed jobs and run them, also with other parameters.

    Without MANIFEST: those of the batch that ran last. What --with sets (provider, model, prompt, size,
    quality and so on) applies to these jobs until their manifest entry changes.
    """
    from ...planning.overrides import parse

    overrides = parse(amend)
    path = session.manifest(manifest, last_first=True)
    chosen = of_manifest(selection(options))
    requeue = replace(chosen, states=chosen.states or ("failed",))
    # once requeued they are pending and without a cause, as other jobs may be
    chosen = replace(chosen, states=(), causes=())
    return carry_out(session, path, options, terms_of(options, requeue, chosen, overrides))
