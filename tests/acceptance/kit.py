"""Kit for running batchgen as its users do, and for reading the independent witness: the sandbox's charge log.

Of batchgen only the witness is imported, and the job database is read without it. Processes are forked (see
``tests/forkserver.py``) unless a project's ``program`` is FRESH.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import yaml
from PIL import Image

from batchgen.sandbox.log import read_log
from tests.axes import Axis
from tests.forkserver import FORKED, Popen
from tests.timing import patience

ROOT = Path(__file__).parents[2]
PROVIDERS = ("aigate", "gptimageapi", "aimlapi", "gateway", "openai", "openrouter")
#: Found nowhere by chance, and the last four characters, which the sandbox logs, say nothing.
CANARY = "sk-canary-Zq8vT3xW9pL5mK2rB7nD4hJ6-0000"
SECRET = CANARY[:-4]
#: Short pauses: a test waits for every one of them.
RETRY = {"attempts": 3, "first_wait": 0.05, "max_wait": 0.2}
IMAGES = {".png", ".jpg", ".webp"}

Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Done:
    """A process that ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def __post_init__(self) -> None:
        assert "Traceback (most recent call last)" not in self.err + self.out, self.err


class Witness:
    """What the simulated providers saw since this object was made."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._seen = len(read_log(log))

    def lines(self) -> list[Line]:
        """Return what happened, once every request that arrived has been answered."""
        wait_for(self._quiet)
        return self.now()

    def now(self) -> list[Line]:
        """Return the lines of the requests that arrived since; not those of what an earlier test left under way."""
        lines = read_log(self.log)[self._seen :]
        arrived = {line["serial"] for line in lines if line["event"] == "arrival"}
        return [line for line in lines if line["serial"] in arrived]

    def arrivals(self) -> list[Line]:
        return [line for line in self.lines() if line["event"] == "arrival"]

    def uploads(self) -> list[Line]:
        """Return the uploads of source images, which are free and no requests for images."""
        return [line for line in read_log(self.log)[self._seen :] if line["kind"] == "upload"]

    def charges(self) -> list[Line]:
        return [line for line in self.lines() if line["event"] == "charge"]

    @property
    def arrived(self) -> int:
        """Return how many requests have arrived by now."""
        return sum(line["event"] == "arrival" for line in self.now())

    def prompts(self) -> list[str]:
        return sorted(line["prompt"] for line in self.arrivals())

    def _quiet(self) -> bool:
        events = Counter(line["event"] for line in self.now())
        return events["arrival"] == events["answer"]


def sums(charges: Iterable[Line], unit: str) -> dict[str, Decimal]:
    """Return the exact sum of *unit* ("usd" or "credits") by provider; providers without an amount are left out."""
    total: dict[str, Decimal] = {}
    for line in charges:
        if line[unit]:
            total[line["provider"]] = total.get(line["provider"], Decimal(0)) + Decimal(line[unit])
    return total


def claimed(usage: Line, unit: str) -> dict[str, Decimal]:
    """Return what ``usage --json`` says was spent of *unit*, by provider."""
    total: dict[str, Decimal] = {}
    for line in usage["by"]:
        if line[unit] is not None and Decimal(line[unit]):
            total[line["provider"]] = total.get(line["provider"], Decimal(0)) + Decimal(line[unit])
    return total


@dataclass(kw_only=True)
class Workspace:
    """A user's folder."""

    folder: Path
    url: str = ""  #: of the sandbox
    env: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = (FORKED,)
    started: list[Popen] = field(default_factory=list)
    axis: Axis = None  # type: ignore[assignment]  #: what differs from the usual: see axes.py

    def __post_init__(self) -> None:
        self.axis = self.axis or Axis(self.folder)

    def move_to(self, folder: Path) -> None:
        """Work in another folder from now on."""
        self.folder = self.axis.folder = folder

    def environment(self) -> dict[str, str]:
        """Return an environment with the project's keys and without the developer's own."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if "API_KEY" not in name and not name.startswith(("BATCHGEN_", "PYTEST_"))
        }
        # As in an activated environment: otherwise hints show the path of the program.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"NO_COLOR": "1", "COLUMNS": "160", "XDG_CONFIG_HOME": str(self.folder / ".config"), "PATH": path}
        return kept | own | self.axis.env | self.env

    def run(self, *arguments: object, cwd: Path | None = None, seconds: float = 45, **env: str) -> Done:
        """Run batchgen to its end; without a terminal."""
        self.axis.push()
        began = time.monotonic()
        process = Popen(
            [*self.program, *map(str, arguments)],
            cwd=cwd or self.folder,
            env=self.environment() | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            out, err = process.communicate(timeout=patience(seconds))
        finally:
            process.kill()
            process.wait()
        return self.ended(process, out, err, began)

    def start(self, *arguments: object, stdout: int | IO[bytes] = subprocess.PIPE) -> Popen:
        """Start batchgen; ``finish`` waits for it."""
        self.axis.push()
        process = Popen(
            [*self.program, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.started.append(process)
        process.project = self
        return process

    def ended(self, process: Popen, out: bytes, err: bytes, began: float) -> Done:
        """Return what an ended process printed."""
        seconds = time.monotonic() - began
        self.axis.pull()
        out_text, err_text = (self.axis.text((stream or b"").decode()) for stream in (out, err))
        return Done(code=process.returncode, out=out_text, err=err_text, seconds=seconds)

    def end(self) -> None:
        """Kill what a failed test left running."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def manifest(self, jobs: list[Line], name: str = "m.yaml", **top: Any) -> Path:
        """Write a manifest whose providers are all simulated ones."""
        providers = {provider: {"base_url": f"{self.url}/{provider}"} for provider in PROVIDERS}
        for provider, settings in top.pop("providers", {}).items():
            providers[provider] = providers.get(provider, {}) | settings
        body = {"name": "shop", "retry": RETRY, "providers": providers} | top | {"jobs": jobs}
        if output := self.axis.output(top.get("output", {})):
            body["output"] = output
        path = self.folder / name
        path.write_text(yaml.safe_dump(body, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return path

    @property
    def state(self) -> Path:
        return self.folder / ".batchgen"

    def lose_database(self) -> None:
        """Lose the job database, whatever it is."""
        self.axis.lose()

    def rows(self, query: str, *values: object) -> list[Line]:
        """Query the job database without batchgen."""
        return self.axis.rows(query, values)

    def jobs(self) -> dict[str, Line]:
        """Return every job with its attempts, in order."""
        found = {row["key"]: row | {"attempts": []} for row in self.rows("select * from jobs")}
        query = "select j.key, a.* from attempts a join jobs j on j.id = a.job_id order by a.started_at"
        for row in self.rows(query):
            found[row["key"]]["attempts"].append(row)
        return found

    def ledger(self) -> dict[str, Line]:
        """Return the ledger by attempt."""
        return {row["attempt_id"]: row for row in self.rows("select * from ledger")}

    def spool(self) -> list[Path]:
        """Return the files of the spool; runners that share a job database have folders of their own in it."""
        found = (self.state / "spool").rglob("*")
        return sorted(path for path in found if path.is_file() and path.name != "id")

    def images(self) -> list[Path]:
        return [path for path in self.files() if path.suffix in IMAGES]

    def files(self) -> list[Path]:
        """Return what lies in the output folder; what was superseded lies apart."""
        self.axis.pull()
        found = sorted(path for path in (self.folder / "output").rglob("*") if path.is_file())
        return [path for path in found if ".superseded" not in path.parts]


def is_withdrawn(attempt: Line) -> bool:
    """Tell whether the lane closed or paused while the request waited for its turn on the wire: nothing was sent."""
    return attempt["cause"] == "unreached" and attempt["message"].startswith("nothing was sent: ")


def finish(process: Popen, seconds: float = 30) -> Done:
    """Wait for a process of ``Workspace.start``."""
    began = time.monotonic()
    out, err = process.communicate(timeout=patience(seconds))
    return process.project.ended(process, out, err, began)


def wait_for(condition: Callable[[], object], process: Popen | None = None, *, seconds: float = 20) -> None:
    """Wait until *condition* holds; fail at once where *process* ended before."""
    end = time.monotonic() + patience(seconds)
    while not condition():
        assert process is None or process.poll() is None, finish(process)
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.005)


def check_files(project: Workspace) -> None:
    """Assert that every delivered file is whole, and that no other file exists."""
    rows = project.rows("select * from artifacts where superseded_at is null")
    paths = {project.folder / row["path"]: row for row in rows}
    assert len(paths) == len(rows)
    assert sorted(paths) == project.images()
    for path, row in paths.items():
        data = path.read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (row["bytes"], row["sha256"])
        assert opened(path) == (row["width"], row["height"])
    beside = {path.with_name(f"{path.name}.json") for path in paths}
    assert set(project.files()) == set(paths) | beside
    # a kill between commit and clean-up may leave the answer of a settled attempt; that of an open one is work to do
    left = {path.stem for path in project.spool() if path.suffix != ".kept"}
    assert left <= {row["id"] for row in project.rows("select id from attempts where state != 'open'")}


def opened(path: Path) -> tuple[int, int]:
    """Decode a whole image; return its size."""
    with Image.open(path) as image:
        image.load()
        return image.size


def check_books(project: Workspace, charges: list[Line]) -> None:
    """Assert that every charge with an attempt's id is in the ledger, exactly or by an estimate that covers it."""
    book = project.ledger()
    ids = [line["attempt"] for line in charges if line["attempt"]]
    assert len(ids) == len(set(ids)), "an attempt was charged twice"
    assert set(ids) <= set(book)
    for line in charges:
        if not line["attempt"]:
            continue
        row = book[line["attempt"]]
        assert row["charged"] != "no", line
        exact = int(Decimal(line["usd"] or 0) * 10**9)
        known = row["usd"] if row["usd"] is not None else row["at_risk_usd"]
        assert known is not None, line
        sure = row["charged"] == "yes" and row["basis"] in ("reported", "priced")
        assert known == exact if sure else known >= exact, (line, row)
