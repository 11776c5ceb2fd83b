"""Needs of a report: failed, unknown and waiting jobs by cause, with what to do about them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...fault import Cause
from ...money import show_usd
from ..advice import NextStep, cause_step
from ..earlier_stops import HELD
from ..project import CommandFlags
from .jobs import ReportJob
from .tiles import visible

#: Ids that one cause names, and prompts that it hands out for editing.
_IDS, _PROMPTS = 200, 5_000


@dataclass(kw_only=True, slots=True)
class Group:
    """The jobs of one state and cause."""

    state: str
    cause: str
    count: int = 0
    usd: int | None = None  #: nano-USD that their calls cost
    at_risk: int = 0
    reserved: int | None = None  #: for what is at a provider
    example: str = ""
    ids: list[str] = field(default_factory=list)
    prompts: list[dict[str, str]] = field(default_factory=list)

    def add(self, job: ReportJob) -> None:
        """Add one job."""
        self.count += 1
        for call in job.calls:
            if call.usd is not None:
                self.usd = (self.usd or 0) + call.usd
            if call.is_at_provider and call.estimate_usd is not None:
                self.reserved = (self.reserved or 0) + call.estimate_usd
            self.at_risk += call.at_risk_usd or 0 if call.is_at_risk else 0
        self.example = self.example or visible(job.row.message or "")
        if len(self.ids) < _IDS:
            self.ids.append(job.row.key)
        if self.cause == Cause.REFUSED and len(self.prompts) < _PROMPTS:
            message = visible(job.row.message or "")
            self.prompts.append({"id": job.row.key, "prompt": visible(job.task.prompt), "message": message})


@dataclass(kw_only=True, slots=True)
class Needs:
    """Collects the jobs that need attention."""

    _groups: dict[tuple[str, str], Group] = field(default_factory=dict)

    def add(self, job: ReportJob) -> None:
        """Add *job* if it needs attention."""
        state, cause = job.state, job.row.cause or ""
        if state == "unknown":
            cause = Cause.UNKNOWN.value
        elif state in ("pending", "running"):
            state, cause = "pending", ""
        elif state == "at_provider":
            cause = ""
        elif state != "failed":
            return
        self._groups.setdefault((state, cause), Group(state=state, cause=cause)).add(job)

    def document(
        self, manifest: str, flags: CommandFlags, waits: Sequence[str] | None, steps: Sequence[NextStep] = ()
    ) -> list[dict[str, Any]]:
        """Return the groups: failed jobs first, those with the most jobs on top.

        *waits* and *steps*: why jobs wait, and what to do about it; *waits* is None while a run sends them.
        """
        order = ("failed", "unknown", "pending", "at_provider")
        groups = sorted(self._groups.values(), key=lambda group: (order.index(group.state), -group.count, group.cause))
        held = [step.what for step in steps if step.what.startswith(HELD)]
        steps = [step for step in steps if step.what not in held]
        documents = []
        for group in groups:
            if group.state == "pending":
                documents.append(_waiting(group, manifest, flags, waits, steps))
            elif group.state == "at_provider":
                documents.append(_remote(group, manifest, flags, held, is_running=waits is None))
            else:
                documents.append(_need(group, manifest, flags))
        return documents


def _waiting(
    group: Group, manifest: str, flags: CommandFlags, waits: Sequence[str] | None, steps: Sequence[NextStep]
) -> dict[str, Any]:
    """Return the need of jobs that wait; the messages of their earlier attempts do not explain it."""
    if waits is None:
        return _document(group, ("Waiting", "the run in progress sends these jobs", "", ""), None) | {"example": ""}
    run = flags.on_manifest("run", manifest)
    # The page shows the run command itself as the command of this need.
    steps = [step for step in steps if step.command is None or not step.command.startswith(run)]
    todo = [step.what if step.command is None else f"{step.command} {step.what}" for step in steps]
    words = ("Waiting", next(iter(waits), "the next run sends these jobs"), "; ".join(todo), run)
    return _document(group, words, None) | {"example": ""}


def _remote(
    group: Group, manifest: str, flags: CommandFlags, held: Sequence[str], *, is_running: bool
) -> dict[str, Any]:
    """Return the need of jobs at a provider; *held*: why the last run could not collect them, and what helps."""
    them, none = ("it", "does not send it") if group.count == 1 else ("them", "sends none")
    run = "the run in progress" if is_running else "the next run"
    meaning = f"{run} {none} again" if held else f"{run} collects {them}, and {none} again"
    command = "" if is_running else flags.on_manifest("run" if held else "collect", manifest)
    return _document(group, ("At the provider", meaning, "; ".join(held), command), None) | {"example": ""}


def _need(group: Group, manifest: str, flags: CommandFlags) -> dict[str, Any]:
    edit = flags.on_manifest("retry", manifest, "--prompts FILE") if group.prompts else None
    return _document(group, _words(group, manifest, flags), edit)


def _document(group: Group, words: tuple[str, str, str, str], edit: str | None) -> dict[str, Any]:
    title, meaning, todo, command = words
    return {
        "state": group.state,
        "cause": group.cause,
        "title": title,
        "count": group.count,
        "meaning": _sentence(meaning),
        "todo": _sentence(todo),
        "example": group.example,
        "usd": show_usd(group.usd),
        "at_risk_usd": show_usd(group.at_risk) if group.at_risk else None,
        "reserved_usd": show_usd(group.reserved),
        "ids": group.ids,
        "command": command,
        "prompts": group.prompts,
        "edit_command": edit,
    }


def _words(group: Group, manifest: str, flags: CommandFlags) -> tuple[str, str, str, str]:
    """Return title, meaning, what to do, and the command of a group."""
    if group.state == "unknown":
        return "Unknown", Cause.UNKNOWN.meaning, Cause.UNKNOWN.cure, flags.on_batch("unknown list")
    if group.cause not in set(Cause):
        return "Failed", "", "", flags.on_manifest("retry", manifest)
    cause, step = Cause(group.cause), cause_step(group.cause, manifest, flags)
    retry = flags.on_manifest("retry", manifest, f"--cause {group.cause}")
    run = flags.on_manifest("run", manifest)
    return cause.capitalize(), cause.meaning, cause.cure, step.command or (retry if group.prompts else run)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", "?")) else ".")
