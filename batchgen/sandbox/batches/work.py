"""The life of a batch: validation, its requests one by one, and its result files."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ..body import raw_prompt
from ..dialects.dialect import Dialect
from ..faults import BATCH, Fault, split_prompt
from ..state import State
from ..values import Json, Reply
from .batch import Batch, Line, Phase, RemoteFile
from .rows import RowResult, carry_out

#: The field in which the padding of huge results is.
PADDING = "padding"


class InvalidBatch(Exception):
    """A batch that fails validation; nothing is carried out."""

    def __init__(self, code: str, message: str, param: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.problem: Json = {"code": code, "message": message, "param": param, "line": line}


class BatchFormat(Protocol):
    """The lines and rows of one provider."""

    apart: bool  #: rows without a picture are in a file of their own
    keeps_part: bool  #: a batch that did not run to its end has the results of what it did

    def file_id(self, batch: Batch) -> str:
        """Return the id of a new file of results."""

    def key(self, document: Json) -> str:
        """Return the key of a line or of a row."""

    def request(self, document: Json) -> Json:
        """Return the body of the request in a line."""

    def row(self, key: str, result: RowResult) -> Json:
        """Return the row of an answer."""

    def unrun_row(self, key: str, phase: Phase) -> Json | None:
        """Return the row of a request that was not carried out; None: there is none."""


def documents(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield the number, the position and the bytes of each line of a file."""
    start = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            yield number, start, raw
            start += len(raw)


def lines_of(batch: Batch, form: BatchFormat) -> list[Line]:
    """Return the lines of a batch that was checked by an earlier server."""
    return [
        Line(number=number, key=form.key(json.loads(raw)), start=start, length=len(raw))
        for number, start, raw in documents(batch.input_file.path)
    ]


def body_at(batch: Batch, line: Line, form: BatchFormat) -> Json:
    """Return the body of a request, read from its file again."""
    with batch.input_file.path.open("rb") as file:
        file.seek(line.start)
        return form.request(json.loads(file.read(line.length)))


def traits_of(state: State, batch: Batch, form: BatchFormat) -> dict[str, float]:
    """Return how a batch misbehaves, by the directives in its prompts; raise InvalidBatch if it is not valid."""
    traits: dict[str, float] = {}
    for line in batch.lines:
        fault = _batch_fault(state, batch, raw_prompt(body_at(batch, line, form)))
        if fault is None:
            continue
        if fault.kind == "batch-invalid":
            raise InvalidBatch("invalid_request", "The request is invalid.", "body", line.number)
        if fault.kind == "batch-full":
            message = f"Enqueued token limit reached for {batch.model} in organization org-sandbox."
            raise InvalidBatch("token_limit_exceeded", message)
        traits[fault.kind] = fault.amount
    return traits


def _batch_fault(state: State, batch: Batch, prompt: str) -> Fault | None:
    try:
        wanted = tuple(fault for fault in split_prompt(prompt)[1] if fault.kind in BATCH)
    except ValueError:
        return None  # the request itself is refused later
    if not wanted:
        return None
    return state.book.pick(serial=0, provider=batch.provider, prompt=prompt, directives=wanted)


class BatchWork:
    """The work on one batch whose lines are checked."""

    def __init__(self, state: State, dialect: Dialect, batch: Batch, form: BatchFormat) -> None:
        self.state, self.dialect, self.batch, self.form = state, dialect, batch, form
        self.done: set[str] = set()  #: requests whose rows an earlier server wrote
        self.output = self._file("output")
        self.errors = self._file("errors") if form.apart else self.output

    async def run(self) -> None:
        """Carry the batch to its end."""
        batch = self.batch
        self.state.busy += 1
        try:
            await asyncio.sleep(max(0.0, batch.created + batch.traits.get("batch-slow", 0.0) - time.time()))
            if self.state.batches.hold:
                await self._pause()
            self._take_up()
            if not self._ending:
                self._enter(Phase.RUNNING)
            end = await self._carry_out()
            if end is Phase.COMPLETED:
                self._enter(Phase.FINALIZING)
            await self._finish(end)
        finally:
            self.state.busy -= 1

    def _enter(self, phase: Phase) -> None:
        self.batch.enter(phase)
        self.state.batches.memory.change(self.batch)

    def _take_up(self) -> None:
        """Note the rows that an earlier server wrote, without one that its end cut off."""
        for file in {self.output.path, self.errors.path}:
            rows = file.read_bytes()
            whole = rows[: rows.rfind(b"\n") + 1]
            if len(whole) < len(rows):
                file.write_bytes(whole)
            for row in whole.splitlines():
                with suppress(ValueError):  # one that a directive cut off
                    self.done.add(self.form.key(json.loads(row)))
        good = sum(b'"response": {' in row for row in self.output.path.read_bytes().splitlines())
        self.batch.completed, self.batch.failed = good, len(self.done) - good

    @property
    def _ending(self) -> bool:
        return self.batch.phase is Phase.CANCELLING or self.batch.expires

    async def _pause(self) -> None:
        """Wait for a cancellation, the end of the window, or a release."""
        while not (self._ending or self.batch.released):
            self.batch.news.clear()
            await self.batch.news.wait()

    async def _carry_out(self) -> Phase:
        """Carry out the requests, and write their rows; return how it ended."""
        batch, traits = self.batch, self.batch.traits
        for number, line in enumerate(batch.lines):
            if line.key in self.done:
                continue
            if traits.get("batch-pause") == number:
                await self._pause()
            batch.expires = batch.expires or number >= traits.get("batch-expire", number + 1)
            if self._ending:
                end = Phase.EXPIRED if batch.expires else Phase.CANCELLED
                for rest in batch.lines[number:]:
                    self._write(self.errors, self.form.unrun_row(rest.key, end))
                return end
            body = body_at(batch, line, self.form)
            self._add(line, await carry_out(self.state, self.dialect, batch, line, body))
        return Phase.COMPLETED

    def _add(self, line: Line, result: RowResult) -> None:
        good = result.reply.status < 300
        self.batch.completed += good
        self.batch.failed += not good
        if result.fault == "row-lost":
            return
        row = self.form.row(line.key, result)
        if result.fault == "row-null":
            row = self.form.row(line.key, RowResult(reply=Reply(status=0, payload={}), fault="", request_id=""))
        file = self.output if good else self.errors
        for _ in range(2 if result.fault == "row-twice" else 1):
            self._write(file, row, cut=result.fault == "row-cut")

    def _write(self, file: RemoteFile, row: Json | None, *, cut: bool = False) -> None:
        if row is None:
            return
        raw = json.dumps(row).encode()
        with file.path.open("ab") as stream:
            stream.write((raw[: len(raw) * 2 // 3] if cut else raw) + b"\n")

    async def _finish(self, end: Phase) -> None:
        """List the files that have rows, and end the batch."""
        batch, traits = self.batch, self.batch.traits
        for file in {self.output.id: self.output, self.errors.id: self.errors}.values():
            if not file.path.stat().st_size or not (end is Phase.COMPLETED or self.form.keeps_part):
                file.path.unlink()
                continue
            if "batch-shuffle" in traits:
                rows = file.path.read_bytes().splitlines(keepends=True)
                random.Random(batch.id).shuffle(rows)  # noqa: S311 - another order, not a secret one
                file.path.write_bytes(b"".join(rows[::-1]))
            file.failures, file.cuts = int(traits.get("batch-503", 0)), int(traits.get("batch-cut", 0))
            if file is self.output:
                file.padding = traits.get("batch-huge", 0.0)
                batch.output = file
            else:
                batch.errors = file
            await self.state.batches.add_file(file)
        batch.is_gone = "batch-forget" in traits
        self._enter(end)

    def _file(self, what: str) -> RemoteFile:
        """Return a file of results, with the rows that an earlier server wrote."""
        return RemoteFile(
            id=self.form.file_id(self.batch),
            provider=self.dialect.name,
            purpose="batch_output",
            name=f"{self.batch.id}_{what}.jsonl",
            mime="application/jsonl",
            path=self.state.batches.memory.new_path(f"{self.batch.id}-{what}"),
        )
