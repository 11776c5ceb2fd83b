"""One batch in a folder of its own: what is asked for, how it is run to its end, what was seen on the way."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from tests.axes import Axis

from .check import Found, Terms, arrived, check
from .stand import Ended, Fault, Stand
from .sums import BLOCK

#: The whole of what a user types; running it again is the resume.
RUN = ("run", "m.yaml", "--yes", "--progress", "none")
RETRY = ("retry", "m.yaml", "--status", "unknown", "--yes", "--progress", "none")
COPY = {"format": "webp", "size": 48}
#: A batch that does not come to rest after so many undisturbed runs never will.
MOST_RUNS = 8
PROVIDERS = ("openai", "aimlapi", "gptimageapi", "aigate")

Line = dict[str, Any]


@dataclass(kw_only=True)
class World:
    """The simulated providers, and where they write down what they were paid."""

    url: str
    log: Path
    honours: bool = False  #: answers a repeated idempotency key from memory, uncharged

    def lines(self, tag: str, since: int) -> list[Line]:
        """Return a batch's lines of the charge log, once every request that arrived has been answered."""
        end = time.monotonic() + 20
        while True:
            with self.log.open("rb") as stream:
                stream.seek(since)
                lines = [json.loads(raw) for raw in stream if raw.endswith(b"\n")]
            lines = [line for line in lines if tag in (line["prompt"] or "")]
            open_calls = sum(line["event"] == "arrival" for line in lines)
            open_calls -= sum(line["event"] == "answer" for line in lines)
            if not open_calls or time.monotonic() > end:
                return lines
            time.sleep(0.02)


@dataclass(kw_only=True)
class Trial:
    """A batch that is run, broken and run again."""

    folder: Path
    stand: Stand
    world: World
    count: int = 24
    hold: bool = False
    concurrency: int = 3  #: per provider, of which there are four
    mount: Path | None = None
    edits: bool = True
    copies: bool = False  #: a copy beside each image
    redone: frozenset[str] = frozenset()  #: jobs that were made again on purpose, once
    runs: list[Ended] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)  #: attempts whose whole answer lay on disk when a run died
    problems: list[str] = field(default_factory=list)
    axis: Axis = None  # type: ignore[assignment]  #: the usual, if none is given

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.axis = self.axis or Axis(self.folder)
        self.tag = f"<{self.folder.name}>"
        self.since = self.world.log.stat().st_size if self.world.log.exists() else 0
        Image.new("RGB", (64, 64), "teal").save(self.folder / "source.png")
        document = {
            "name": self.folder.name,
            "retry": {"attempts": 6, "first_wait": 0.02, "max_wait": 0.1},
            "on_unknown": "hold" if self.hold else "retry",
            **({"deliver": COPY} if self.copies else {}),
            **({"report": True} if self.copies else {}),
            "defaults": {"quality": "low"},
            **({"output": output} if (output := self.axis.output({})) else {}),
            "jobs": list(self._jobs()),
        }
        (self.folder / "m.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        # every provider is told the attempt's id, so that the log names who was charged for what
        settings: dict[str, Line] = {}
        for name in PROVIDERS:
            settings[name] = {
                "base_url": f"{self.world.url}/{name}",
                "request_id_header": "X-Client-Request-Id",
                "limits": {"concurrency": self.concurrency},
            }
            if self.world.honours:
                settings[name]["idempotency_header"] = "Idempotency-Key"
        (self.folder / "batchgen.yaml").write_text(yaml.safe_dump({"providers": settings}))

    def _jobs(self) -> Iterator[Line]:
        for number in range(self.count):
            provider = PROVIDERS[number % len(PROVIDERS)]
            job: Line = {"id": f"j{number:02}", "prompt": f"{self.tag} picture {number}", "provider": provider}
            if number % 8 == 0:
                job |= {"n": 3, "per_request": 3, "output_format": "jpeg"}
            if number % 8 == 4 and self.edits:
                job |= {"images": ["source.png"]}
            yield job

    def run(
        self,
        fault: Fault | None = None,
        kill_after: float | None = None,
        *,
        cut: bool = False,
        words: tuple[str, ...] = RUN,
    ) -> Ended:
        """Run once, in the way ordered, and look at what lies in the spool then."""
        mount = self.mount if cut else None
        said = self.folder.parent / "said.txt" if self.mount is None else self.mount.parent / "said.txt"
        ended = self._run(words, said, fault=fault, kill_after=kill_after, mount=mount)
        self._note(ended)
        if not cut:
            self.look()
        return ended

    def near_block(self, rest: int) -> None:
        """Renumber the newest row of the ledger, so that *rest* more fill a block of its totals."""
        with suppress(self.axis.error):
            [row] = self.axis.rows("select max(id) as id from ledger", ())
            newest = row["id"]
            target = ((newest or 1) - 1) // BLOCK * BLOCK + BLOCK - 1 - rest
            if newest and newest < target:  # not the last row of a closed block
                self.axis.rows("update ledger set id = ? where id = ?", (target, newest))

    def look(self) -> None:
        """Note the answers that lie whole on disk: none of them may be bought again."""
        self.kept |= arrived(self.axis.spools())

    def finish(self) -> Found:
        """Run undisturbed until the batch rests, then compare it with the charge log."""
        self._rest(RUN)
        if not self.hold:
            for _ in range(3):
                if self.runs[-1].code != 3:
                    break
                self._rest(RETRY)
        lines = self.lines()
        once = self.hold or self.world.honours
        sent = [ended for ended in self.runs if "nothing to send" not in ended.text]
        terms = Terms(
            hold=self.hold,
            once=once,
            kept=self.kept,
            jobs=self.count,
            redone=self.redone,
            tidied=not sent or not sent[-1].killed,
        )
        found = check(self.axis, lines, terms, copies=self.copies)
        found.problems[:0] = self.problems
        return found

    def arrivals(self) -> int:
        """Return how many requests of this batch have arrived so far."""
        with self.world.log.open("rb") as stream:
            stream.seek(self.since)
            return sum(b'"arrival"' in line and self.tag.encode() in line for line in stream)

    def kill_run(self) -> None:
        """Kill the run that has recorded itself last, unless it has ended."""
        [run] = self.axis.rows("select pid, ended_at from runs order by started_at desc limit 1", ())
        if run["ended_at"] is None:
            with suppress(ProcessLookupError):
                os.kill(run["pid"], signal.SIGKILL)

    def lines(self) -> list[Line]:
        """Return what the providers saw of this batch."""
        return self.world.lines(self.tag, self.since)

    def _rest(self, words: tuple[str, ...]) -> None:
        said = self.folder.parent / "said.txt" if self.mount is None else self.mount.parent / "said.txt"
        for number in range(MOST_RUNS):
            ended = self._run(words if number == 0 else RUN, said)
            self._note(ended)
            if ended.code in (0, 3):
                return
            self.look()
            if ended.code != 8:  # 8: a lane closed after calls in doubt, as it should
                self.problems.append(f"an undisturbed run ended with {ended.code}: {ended.text[-600:]}")
                return
        self.problems.append(f"not at rest after {MOST_RUNS} runs: {self.runs[-1].text[-300:]}")

    def _run(self, words: tuple[str, ...], said: Path, **how: Any) -> Ended:
        self.axis.push()
        return self.stand.run(self.folder, *words, said=said, env=self.axis.env, **how)

    def _note(self, ended: Ended) -> None:
        self.runs.append(ended)
        if ended.late:
            self.problems.append(f"a run hung: {ended.text[-300:]}")
        if "Traceback (most recent call last)" in ended.text:
            self.problems.append(f"a traceback: {ended.text[-1500:]}")
