"""The last lines of a run, and what to type next.  Values in, lines of text out."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import words

if TYPE_CHECKING:
    from ..app.look import Standing
    from ..app.rebuild import TakenIn
    from ..app.run import Ended, LaneEnd

#: What a person does about each cause of failure.
_CURE = {
    "refused": "the provider's rules refuse it: change the prompt, then run again",
    "invalid": "the request or its source image is wrong: mend the manifest, then run again",
}

#: Why a lane closed.
_WHY = {
    "money": "out of money",
    "denied": "key, model or path refused",
    "down": "out of reach",
    "doubt": "it takes calls and does not answer; each may have cost money",
    "budget": "the budget is used up",
}
#: Of these a person hears also where others did the work.
_HEED = ("money", "denied")
#: The same, where the cause says more.
_WHY_MORE = {
    (
        "denied",
        "invalid",
    ): "the first jobs were all refused alike, which looks like a mistake in its settings",
    ("down", "error"): "answered nothing but errors",
}

_CODES = {
    3: "ran to the end, some jobs failed or are unknown",
    5: "key, model or settings refused; the rest is pending",
    7: "budget reached, or provider out of money; the rest is pending",
    8: "stopped early; the rest is pending",
    130: "interrupted; nothing is lost",
    143: "terminated; nothing is lost",
}


def closing(ended: Ended, *, sandbox: bool, chosen: str = "") -> list[str]:
    """Return the last lines of a run: counts, money, files, failures, and the next command.

    *chosen* are the options that selected what it was about.
    """
    found, counts = ended.standing, ended.standing.counts
    if ended.wish.selected and not ended.wish.matched:
        head = f"{found.batch.name}: nothing matched {chosen}; {counts.done} of {words.count(counts.total, 'job')} done"
    elif not ended.sent and ended.stopped is None:
        head = f"{found.batch.name}: nothing to send; {words.count(counts.done, 'job')} of {counts.total} done"
    else:
        pace = f", {ended.images / ended.seconds * 60:.0f} a minute" if ended.images and ended.seconds > 0 else ""
        made = f"{words.count(ended.images, 'image')} in {words.duration(ended.seconds)}{pace}"
        head = f"{found.batch.name}: {counts.done} of {words.count(counts.total, 'job')} done; this run made {made}"
    lines = [*taken_lines(ended.taken_in), head, *_unmade(ended)]
    lines += [f"cancelled {words.count(counts.cancelled, 'job')}"] if counts.cancelled else []
    lines += words.failure_lines(found.failures)
    if counts.unknown:
        lines.append(f"unknown   {words.count(counts.unknown, 'job')} may have been bought, and nobody knows")
    lines += [_lane_line(lane) for lane in ended.lanes if lane.closed in _HEED or (lane.closed and counts.pending)]
    lines += _stand_ins(ended.lanes)
    lines += [f"stopped   {ended.drained}"] if ended.drained else []
    lines += words.money_lines(found.usage)
    lines.append(f"files     {near(found.batch.folder)}")
    lines += advice(found, sandbox=sandbox)
    said = _CODES.get(ended.exit_code, "see the README") if ended.exit_code else _success(ended, chosen)
    lines.append(f"exit code {ended.exit_code}: {said}")
    return lines


def _unmade(ended: Ended) -> Iterator[str]:
    """Yield what became of jobs that changed and were not made again."""
    if held := ended.loaded.held:
        yield f"held      {words.count(held, 'job')} changed, but done: kept as made before (--keep-changed)"
    if left := ended.loaded.left:
        yield f"left      {words.count(left, 'job')} changed, but not selected: as before, until a run selects them"


def _success(ended: Ended, chosen: str) -> str:
    wish, counts, left = ended.wish, ended.standing.counts, ended.loaded.left
    pending = counts.pending + counts.running
    rest = [f"{pending} pending"] if pending else []
    rest += [f"{left} changed and not made again yet"] if left else []
    if wish.selected and not wish.matched:
        done = f"nothing matched {chosen}"
    elif not rest:
        done = f"all done but the {counts.cancelled} cancelled" if counts.cancelled else "all done"
    else:
        done = f"done with the {wish.requests} selected" if wish.requests else "nothing to send of what is selected"
    return "; ".join([done, ", ".join(rest)] if rest else [done])


def advice(found: Standing, *, sandbox: bool) -> list[str]:
    """Return what to type next, as far as there is anything to do."""
    counts = found.counts
    rehearsal = " --sandbox" if sandbox else ""
    manifest = shlex.quote(near(found.batch.manifest))
    said: list[str] = []
    if (counts.pending or counts.running) and found.holder is None:
        said.append(f"batchgen run {manifest}{rehearsal}    goes on with the {counts.pending + counts.running} pending")
    if counts.unknown:
        said.append(f"batchgen unknown list{rehearsal}    lists the {counts.unknown} in doubt, and what can be done")
    for failure in found.failures:
        if cure := _CURE.get(failure.cause):
            said.append(f"{failure.cause}: {cure}")
        else:
            said.append(f"batchgen retry {manifest}{rehearsal} --cause {failure.cause}    tries those again")
    if found.failures:
        said.append(f"batchgen show{rehearsal} {shlex.quote(found.failures[0].key)}    tells every attempt of a job")
    return list(_under("next", said))


def taken_lines(learnt: TakenIn | None) -> list[str]:
    """Return what a job table that was lost or put back learnt from the files around it."""
    if learnt is None:
        return []
    got, said = learnt.intake, []
    said += [f"{words.count(got.files, 'file')} ({words.count(got.done, 'job')} done)"] if got.files else []
    said += [f"{words.count(got.revived, 'answer')} in the spool"] if got.revived else []
    said += [f"{words.count(got.doubtful, 'call')} in doubt"] if got.doubtful else []
    said += [f"{words.count(learnt.settled, 'call')} that it held open"] if learnt.settled else []
    said += [f"{words.usd(got.usd)} of cost"] if got.usd else []
    return [f"taken in  the job table did not know: {', '.join(said) or 'its last run, which left nothing new'}"]


def _stand_ins(lanes: Sequence[LaneEnd]) -> list[str]:
    """Return who did the jobs of others, and why those did not."""
    why = {lane.provider: f" ({_why(lane)})" for lane in lanes if lane.closed is not None}
    done = Counter[tuple[str, str]]()
    for lane in lanes:
        for home, number in lane.stood_in.items():
            done[lane.provider, home] += number
    return [
        f"took over {provider}: {words.count(number, 'job')} of {home}{why.get(home, '')}"
        for (provider, home), number in done.items()
    ]


def _why(lane: LaneEnd) -> str:
    return _WHY_MORE.get((str(lane.closed), str(lane.cause)), _WHY[str(lane.closed)])


def _lane_line(lane: LaneEnd) -> str:
    why, message = _why(lane), words.short(lane.message or "", 160)
    said = message if lane.closed == "budget" and message else f"{why}: {message}" if message else why
    left = f" ({lane.left} pending)" if lane.left else ""
    return f"stopped   {lane.name}: {said}{left}"


def _under(head: str, said: list[str]) -> Iterator[str]:
    for number, line in enumerate(said):
        yield f"{head if number == 0 else '':<10}{line}"


def near(path: str | Path) -> str:
    """Return *path* as a person in the working folder would write it."""
    path, here = Path(path), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
