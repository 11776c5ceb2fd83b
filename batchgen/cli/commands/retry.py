"""Commands that run a batch again: resume, collect, retry, redo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import UsageError
from ...mark import NOTE_LENGTH
from ..options import (
    FILE,
    Session,
    command,
    judging,
    manifest_argument,
    of_manifest,
    option,
    options,
    sandbox,
    selecting,
    selection,
)
from ..run_options import following, run_options, sandbox_defaults, terms_of
from .run import carry_out, retry_failed, run_selected

if TYPE_CHECKING:
    from ...manifest.id_files import PromptEdits
    from ...planning.selection import Selection


@command(
    "resume",
    "batchgen resume                      the batch that ran last",
    "batchgen resume autumn --budget 40   a batch by its name",
)
@manifest_argument
@retry_failed
@run_options
@selecting
def resume(session: Session, manifest: str | None, **values: Any) -> int:  # noqa: ANN401 - see run_options
    """Resume what the last run left unfinished.

    It runs the batch's manifest again, as run does. Failed jobs need retry, or --retry-failed.
    """
    return run_selected(session, session.manifest(manifest, last_first=True), values)


@command(
    "collect",
    "batchgen collect                     the batch that ran last",
    "batchgen collect autumn --quiet      in a crontab, every hour",
)
@manifest_argument
@sandbox
@following
def collect(session: Session, manifest: str | None, **values: Any) -> int:  # noqa: ANN401 - see run_options
    """Collect what providers have finished of batches and remote tasks; sends no new request.

    What is not finished stays at the provider, and the exit code is 9.
    """
    options = sandbox_defaults("realistic") | values
    terms = replace(terms_of(options, None, None), collects_only=True, leaves=True)
    return carry_out(session, session.manifest(manifest, last_first=True), options, terms)


_repeating = options(
    option(
        "--with", "amend", multiple=True, metavar="KEY=VALUE", help="Override parameters: quality=low, provider=openai."
    ),
    option("--prompts", type=FILE, help="Use the prompts of a table with the columns id and prompt, for these jobs."),
    option("--note", metavar="TEXT", help="Keep a note with the new images, in their sidecars."),
)


@command(
    "retry",
    "batchgen retry --cause throttled",
    "batchgen retry jobs/night.yaml --id 'cat-*' --with quality=low",
    "batchgen retry --cause denied --with provider=openai --dry-run",
)
@manifest_argument
@_repeating
@run_options
@selecting
@judging
def retry(session: Session, manifest: str | None, **values: Any) -> int:  # noqa: ANN401 - see run_options
    """Requeue failed jobs and run them, also with other parameters.

    Without MANIFEST: those of the batch that ran last. What --with and --prompts set applies to these jobs
    until their manifest entry changes. Done jobs are made again by redo.
    """
    repeat = _repeat(session, values)
    path = session.manifest(manifest, last_first=True)
    chosen = _listed_in_prompts(of_manifest(selection(values)), repeat)
    requeue = replace(chosen, states=chosen.states or ("failed",))
    return carry_out(session, path, values, terms_of(values, requeue, _requeued(chosen), **_fields(repeat)))


@command(
    "redo",
    "batchgen redo --id cat-7 --note 'the tail is cut off'",
    "batchgen redo jobs/shop.yaml --tag hero --with quality=high",
    "batchgen redo --marked reject --with quality=high",
    "batchgen redo --ids-from weak.txt --dry-run",
    "batchgen redo --prompts edited.csv",
    "batchgen redo --missing                       files that were deleted",
)
@manifest_argument
@_repeating
@option("--missing", is_flag=True, help="Only jobs with a delivered file that is gone.")
@run_options
@selecting
@judging
def redo(session: Session, manifest: str | None, *, missing: bool, **values: Any) -> int:  # noqa: ANN401 - see run_options
    """Make the images of done jobs again: shows the plan, asks, and runs these jobs.

    Without MANIFEST: those of the batch that ran last. The old files move to .superseded/ when the new ones
    are there; until then, and if a job fails, they stay. A redo that was stopped is finished by the same command or by
    run, which buy nothing twice. What --with and --prompts set applies to these jobs until their manifest entry
    changes. Without --note, the note of a rejected picture goes with its job. With --prompts, failed jobs of the file
    are made as well.
    """
    repeat = _repeat(session, values)
    path = session.manifest(manifest, last_first=True)
    chosen = _listed_in_prompts(of_manifest(selection(values)), repeat)
    _require_done(session, chosen, path, missing=missing)
    chosen = replace(chosen, states=())
    terms = terms_of(values, chosen, _requeued(chosen), redo=True, missing_files=missing, **_fields(repeat))
    selected_by = " ".join(filter(None, ["--missing" if missing else "", terms.selected_by]))
    return carry_out(session, path, values, replace(terms, selected_by=selected_by))


def _requeued(chosen: Selection) -> Selection:
    """Return *chosen* for jobs once they are requeued: pending, without a cause, their pictures superseded."""
    return replace(chosen, states=(), causes=(), marks=(), suspects=())


class _Repeat(NamedTuple):
    """What retry and redo set in place of the manifest."""

    overrides: Mapping[str, Any]
    edits: PromptEdits | None
    file: str
    note: str


def _repeat(session: Session, values: dict[str, Any]) -> _Repeat:
    """Take the options of retry and redo out of *values*; raise UsageError."""
    from ...planning.overrides import parse

    overrides, file = parse(values.pop("amend")), values.pop("prompts")
    note = " ".join((values.pop("note") or "").split())
    if len(note) > NOTE_LENGTH:
        raise UsageError(f"--note takes at most {NOTE_LENGTH:,} characters, not {len(note):,}")
    if file is None:
        return _Repeat(overrides, None, "", note)
    if "prompt" in overrides:
        raise UsageError("--with prompt=… and --prompts exclude each other: each sets the prompt")
    from ...manifest.id_files import read_prompts

    return _Repeat(overrides, read_prompts(str(file), session.file(Path())), str(file), note)


def _fields(repeat: _Repeat) -> dict[str, Any]:
    prompts = {} if repeat.edits is None else repeat.edits.prompts
    return {"overrides": repeat.overrides, "prompts": prompts, "note": repeat.note}


def _listed_in_prompts(chosen: Selection, repeat: _Repeat) -> Selection:
    """Return *chosen* without the jobs that a file of prompts does not name."""
    if repeat.edits is None:
        return chosen
    from ...planning.selection import IdList

    ids = IdList(repeat.file, repeat.edits.lines, "--prompts")
    return replace(chosen, listed=ids if chosen.listed is None else ids.among(chosen.listed.lines))


def _require_done(session: Session, chosen: Selection, manifest: Path, *, missing: bool) -> None:
    """Raise UsageError for a redo of all jobs that was not asked for, or of jobs that are not done."""
    flags = session.project().command_flags()
    others = [f"--status {state}" for state in chosen.states if state != "done"]
    others += [f"--cause {cause}" for cause in chosen.causes]
    if others:
        command = flags.on_manifest("retry", manifest, others[0])
        raise UsageError(f"{others[0]}: redo makes the images of done jobs again. For the others: {command}")
    if not missing and replace(chosen, sample=None, limit=None).everything:
        raise UsageError(
            "redo needs a selection, such as --id cat-7, --tag hero, --marked reject, --prompts FILE or --missing. "
            f"To make all images again: {flags.on_manifest('redo', manifest, '--status done')}"
        )
