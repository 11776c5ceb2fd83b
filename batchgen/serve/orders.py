"""Orders of the page: a plan of redo or retry with its price, and the run that its confirmation starts.

Plans and runs are processes of the command line: what the page shows is what the terminal would show, and a run neither
knows nor needs the server. A plan is confirmed once; whatever repeats the confirmation gets the same run.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from ..app.project import Project
from ..database_url import DatabaseUrl
from ..errors import BatchgenError, ExitCode
from ..files.atomic import write_atomic
from ..files.output import make_private
from ..store import run_lock
from ..store.changes import state_of_jobs
from ..store.reader import Reader
from ..store.records import Batch
from .requests import Order

#: Plans that wait for their confirmation.
MOST_PLANS = 50
#: Seconds in which a run that cannot start has ended: a lock, a missing key.
_FIRST_MOMENTS = 2.5
#: Exit codes of a run that has sent nothing.
_NOT_STARTED = frozenset(
    {
        *(ExitCode.USAGE, ExitCode.INVALID, ExitCode.DENIED, ExitCode.NOT_CONFIRMED),
        *(ExitCode.NOT_FOUND, ExitCode.LOCKED, ExitCode.SCHEMA),
    }
)
_NEW_LOG = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
#: Our own program; a module in the project's folder must not come in place of one that it imports.
_PROGRAM = (sys.executable, "-P", "-m", "batchgen")
_TAIL = 5  #: lines of a run's output that the page shows


class Refusal(BatchgenError):
    """The page asks for something that is not possible now."""

    status = 422


class Busy(Refusal):
    """Another run is in progress."""

    status = 409


class NoSuchPlan(Refusal):
    """The plan is unknown: the server has restarted since, or it has too many."""

    status = 410


@dataclass(slots=True)
class Plan:
    """A plan that waits for its confirmation, or that was confirmed."""

    token: str
    arguments: list[str]
    ids: Sequence[str]
    state: str  #: of these jobs when the plan was made
    document: dict[str, Any]
    run: dict[str, Any] | None = None  #: that it has started


@dataclass(slots=True)
class Orders:
    """Plans and starts runs of one batch; its methods block, one at a time."""

    project: Project
    reader: Reader
    batch: Batch
    announce: Callable[[Mapping[str, Any]], None]  #: gets each run that ends, in a thread
    _plans: dict[str, Plan] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def plan(self, order: Order) -> dict[str, Any]:
        """Return the plan of *order* with its price; sends nothing. Raises Refusal."""
        with self._lock:
            token = secrets.token_urlsafe(12)
            file = self._write_ids(token, order.ids)
            arguments, state = self._arguments(order, file), self._state(order.ids)
            try:
                plan = Plan(token, arguments, order.ids, state, self._dry_run(arguments))
            except Refusal:
                file.unlink(missing_ok=True)
                raise
            self._plans[token] = plan
            while len(self._plans) > MOST_PLANS:
                self._forget(next(iter(self._plans)))
            return self._shown(plan, order)

    def start(self, token: str) -> dict[str, Any]:
        """Start the run of a plan that the user has confirmed, once; raise Refusal.

        A plan that has become dearer since is not started, nor one whose jobs have changed, such as pictures that
        another run has replaced: it needs another confirmation.
        """
        with self._lock:
            plan = self._plans.get(token)
            if plan is None:
                raise NoSuchPlan("This plan is not known any more; nothing was started. Look at the price again.")
            if plan.run is not None:
                return plan.run
            self._require_idle()
            state, document = self._state(plan.ids), self._dry_run(plan.arguments)
            if state != plan.state or _is_dearer(document, plan.document):
                plan.state, plan.document = state, document
                return {"changed": True, "plan": self._shown(plan)}
            if reason := _obstacle(document):
                raise Refusal(reason)
            return self._start(plan)

    def _start(self, plan: Plan) -> dict[str, Any]:
        # A run that waited for another one would find other jobs than those of the plan.
        command = [*plan.arguments, *_spending(plan.document), "--wait-lock", "0", "--progress", "plain"]
        log = self._folder() / f"{plan.token}.log"
        with os.fdopen(os.open(log, _NEW_LOG, 0o600), "wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own program, and no shell
                [*_PROGRAM, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.project.root,
                env=os.environ | self._password(),
                start_new_session=True,  # the run survives the server and its terminal
            )
        plan.run = {"plan": plan.token, "pid": process.pid, "command": _typed(command), "log": str(log)}
        code = _wait(process, _FIRST_MOMENTS)
        if code in _NOT_STARTED:
            plan.run = None
            raise Refusal(f"The run did not start.\n{tail(log)}")
        if code is None:
            Thread(target=self._await_end, args=(process, plan, log), daemon=True).start()
        else:
            self._await_end(process, plan, log)
        return plan.run

    def _await_end(self, process: subprocess.Popen[bytes], plan: Plan, log: Path) -> None:
        code = process.wait()
        meanings = {int(each): each.meaning for each in ExitCode}
        plan.run = {**(plan.run or {}), "exit_code": code, "meaning": meanings.get(code, ""), "lines": tail(log)}
        self.announce(plan.run)

    def _password(self) -> dict[str, str]:
        """Return the variable for the password of the job database, which must not be an argument."""
        password = self.project.db.password if isinstance(self.project.db, DatabaseUrl) else None
        return {} if password is None else {"PGPASSWORD": password}

    def _arguments(self, order: Order, ids: Path) -> list[str]:
        flags = ["-C", str(self.project.root), "--db", str(self.project.db)]
        flags += ["--sandbox"] if self.project.sandbox else []
        changes = [f"--with={change}" for change in order.changes]
        note = [f"--note={order.note}"] if order.note.strip() else []
        return [order.action, self.batch.manifest, *flags, "--ids-from", str(ids), *changes, *note]

    def _dry_run(self, arguments: Sequence[str]) -> dict[str, Any]:
        command = [*_PROGRAM, *arguments, "--dry-run", "--json"]
        done = subprocess.run(  # noqa: S603 - our own program, and no shell
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=self.project.root,
            env=os.environ | self._password(),
            check=False,
        )
        if done.returncode:
            raise Refusal(_error_of(done.stderr.decode("utf-8", "replace")))
        document: dict[str, Any] = json.loads(done.stdout)
        if document["batch"] != self.batch.name:
            raise Refusal(
                f"{self.batch.manifest} is the manifest of batch {document['batch']} now, and this page shows "
                f"{self.batch.name}; nothing was started. Give the manifest its old name again"
            )
        return document

    def _state(self, ids: Sequence[str]) -> str:
        return self.reader.ask(partial(state_of_jobs, batch_id=self.batch.id, keys=ids))

    def _require_idle(self) -> None:
        holder = run_lock.holder(self.project.db, self.batch.name)
        if holder is not None:
            raise Busy(
                f"A run is in progress (process {holder.pid}: {holder.command}); nothing was started. "
                "Confirm again when it has ended, or stop it with Ctrl-C in its terminal."
            )

    def _shown(self, plan: Plan, order: Order | None = None) -> dict[str, Any]:
        document = plan.document
        return {
            "plan": plan.token,
            "jobs": document["requests"],
            "images": document["images"],
            "usd": document["usd"],
            "credits": document["credits"],
            "unpriced": document["unpriced"],
            "seconds": document["seconds"],
            "notices": document["notices"],
            "obstacle": _obstacle(document),
            "budget": _budget(document),
            "command": _typed(plan.arguments),
            "asked": None if order is None else len(order.ids),
        }

    def _write_ids(self, token: str, ids: Sequence[str]) -> Path:
        if broken := next((each for each in ids if not each.strip() or "\n" in each or "\r" in each), None):
            raise Refusal(f"{broken!r} is not an id of a job")
        file = self._folder() / f"{token}.ids"
        write_atomic(file, b"id\n" + "".join(f"{each}\n" for each in dict.fromkeys(ids)).encode())
        return file

    def _folder(self) -> Path:
        folder = self.project.state / "serve"
        make_private(folder)
        return folder

    def _forget(self, token: str) -> None:
        plan = self._plans.pop(token)
        if plan.run is None:
            (self._folder() / f"{token}.ids").unlink(missing_ok=True)


def tail(log: Path) -> str:
    """Return the last lines of a run's output."""
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(lines[-_TAIL:])


def _spending(document: Mapping[str, Any]) -> list[str]:
    """Return the options that confirm a plan, and limit the run to its price."""
    budget = _budget(document)
    limit = [] if budget is None else ["--budget", budget]
    # Calls that are paid in credits have no price in USD; the plan has shown their number and their credits.
    return ["--yes", *limit, *(["--allow-unpriced"] if document["unpriced"] else [])]


def _budget(document: Mapping[str, Any]) -> str | None:
    """Return the most that the run may spend in USD: the upper end of its estimate; None without a price in USD."""
    high = document["usd"]["high"]
    return high if high is not None and Decimal(high) > 0 else None


def _obstacle(document: Mapping[str, Any]) -> str:
    """Return why a plan cannot be started from the page; "" if it can."""
    if not document["requests"]:
        return " ".join(["Nothing to send.", *document["notices"]])
    if any(lane["unpriced"] and lane["credits"] is None for lane in document["lanes"]):
        return "The price of some of these calls is not known, so only the command line can start them."
    return ""


def _is_dearer(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Return whether a plan sends more or may cost more than the one that was confirmed."""
    if any(now[name] > before[name] for name in ("requests", "images", "unpriced")):
        return True
    pairs = [(now["usd"]["high"], before["usd"]["high"])]
    pairs += [(amount["high"], before["credits"].get(name, {}).get("high")) for name, amount in now["credits"].items()]
    return any(Decimal(new or 0) > Decimal(old or 0) for new, old in pairs)


def _error_of(text: str) -> str:
    """Return the message in the JSON that a failed command prints last on stderr."""
    last = text.strip().rpartition("\n")[2]
    try:
        return str(json.loads(last)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip() or "The plan could not be made."


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        code = process.poll()
        if code is not None:
            return code
        time.sleep(0.05)
    return None


def _typed(arguments: Sequence[str]) -> str:
    return shlex.join(["batchgen", *arguments])
