"""Batch dialects over the real transport, against the sandbox: from the file of requests to pictures."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anyio import sleep

from batchgen.fault import Cause, ProviderError
from batchgen.files.result_rows import ResultRows
from batchgen.providers import batches_of
from batchgen.providers.base import Call, Generation, Reply, Request
from batchgen.providers.batch_base import BatchDialect, BatchOrder, BatchState, RemoteBatch, Row, Talk
from batchgen.providers.batch_rules import Fate, fate_of, fault_of_line
from batchgen.providers.presets import profile
from batchgen.providers.profile import Profile
from batchgen.providers.responses import read_answer
from batchgen.sandbox.launch import Sandbox, start
from batchgen.sandbox.log import read_log
from batchgen.task import Kind, Source, Task
from batchgen.transport import Transport
from batchgen.transport.payload import pack
from batchgen.transport.response import MAX_BODY, BufferSink
from tests.sandbox.test_process import png
from tests.timing import patience

pytestmark = pytest.mark.usefixtures("no_proxies")
KEY = "sk-canary-batch-4711"
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60, extra=("--draw", "small")) as running:
        yield running


@dataclass
class Side:
    """Our side of the batches of one provider."""

    transport: Transport
    profile: Profile
    batches: BatchDialect
    folder: Path
    sandbox: Sandbox

    async def carry(self, talk: Talk[Any]) -> Any:
        """Carry out a conversation over the wire."""
        client = self.transport.client(self.profile.name)
        try:
            call = next(talk)
            while True:
                sink = BufferSink()
                head = await client.send(call, sink, 20.0)
                call = talk.send(Reply(status=head.status, headers=head.headers, body=sink.body(), broken=head.broken))
        except StopIteration as end:
            return end.value

    async def submit(self, tasks: list[Task]) -> tuple[BatchOrder, list[Request]]:
        """Write and upload the file of requests, without creating the batch."""
        requests = [
            Request(task=task, profile=self.profile, model=self.profile.find(task.model)[1], attempt_id=f"{number:032}")
            for number, task in zip(_NUMBERS, tasks, strict=False)
        ]
        path = self.folder / "requests.jsonl"
        with path.open("wb") as file:
            for request in requests:
                ids = {}
                for source in self.batches.sources(request):
                    ids[source.path or ""] = await self.carry(self.batches.upload_source(self.profile, source))
                line = self.batches.line(request, request.attempt_id, ids)
                payload = pack(Call(method="POST", url="", json=line))
                assert payload is not None
                file.write(b"".join([chunk async for chunk in payload]) + b"\n")
        upload = Source(path=str(path), size_bytes=path.stat().st_size)
        name = f"{next(_NUMBERS):032}"
        input_file = await self.carry(self.batches.upload(self.profile, upload, name))
        wire = requests[0].model.wire
        return BatchOrder(submission_id=name, kind=tasks[0].kind, model=wire, input_file=input_file), requests

    async def end_of(self, batch: RemoteBatch) -> RemoteBatch:
        """Poll until the batch has ended."""
        deadline = time.monotonic() + patience(30)
        while not batch.state.is_final:
            assert time.monotonic() < deadline, batch
            await sleep(0.02)
            batch = await self.carry(self.batches.poll(self.profile, batch.id))
        return batch

    async def rows(self, batch: RemoteBatch) -> ResultRows[Row]:
        """Download and read the result files."""
        paths = []
        for file in self.batches.results(self.profile, batch):
            sink = BufferSink()
            client = self.transport.client(self.profile.name)
            head = await client.send(file.call, sink, 20.0)
            assert (head.status, head.broken) == (200, None)
            assert len(sink.body()) < MAX_BODY
            paths.append(self.folder / file.name)
            paths[-1].write_bytes(sink.body())
        rows = ResultRows(self.batches.read_row)
        rows.scan(paths)
        return rows


@pytest.fixture(params=["openai", "gemini"])
async def side(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Side]:
    name = request.param
    own = profile(name, {"base_url": f"{sandbox.url}/{name}"})
    batches = batches_of(own, own.models[own.default_model])
    assert batches is not None
    async with Transport({name: own}, {name: KEY}) as transport:
        yield Side(transport, own, batches, tmp_path, sandbox)


def task(side: Side, prompt: str, **fields: Any) -> Task:
    return Task(
        kind=Kind.GENERATE, prompt=prompt, provider=side.profile.name, model=side.profile.default_model, **fields
    )


def generation(request: Request, row: Row | None) -> Generation:
    """Read the answer in a row as that of a single call."""
    assert row is not None
    assert row.reply is not None
    conversation = read_answer(row.reply, request, request.profile.base_url)
    try:
        raise AssertionError(next(conversation))
    except StopIteration as end:
        result: Generation = end.value
        return result


async def test_batch_makes_pictures(side: Side) -> None:
    order, requests = await side.submit([task(side, "A cat"), task(side, "A dog"), task(side, "A [sandbox: refuse]")])
    batch = await side.end_of(await side.carry(side.batches.create(side.profile, order)))
    assert batch.state is BatchState.DONE
    rows = await side.rows(batch)
    for number, request in enumerate(requests[:2], start=1):
        row = rows.row(request.attempt_id)
        assert fate_of(batch, number, row) is Fate.ANSWERED
        made = generation(request, row)
        assert len(made.pictures) == 1
        assert made.usage.stated
    with pytest.raises(ProviderError) as refused:
        generation(requests[2], rows.row(requests[2].attempt_id))
    assert refused.value.fault.cause is Cause.REFUSED
    charges = [line["attempt"] for line in read_log(side.sandbox.log) if line["event"] == "charge"]
    assert [charges.count(request.attempt_id) for request in requests] == [1, 1, 0]


async def test_batch_of_edits_takes_local_images(side: Side, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(png((200, 30, 30)))
    source = Source(path=str(image), mime="image/png", size_bytes=image.stat().st_size)
    edit = Task(kind=Kind.EDIT, prompt="Add a hat", provider="x", model=side.profile.default_model, images=(source,))
    order, requests = await side.submit([edit])
    batch = await side.end_of(await side.carry(side.batches.create(side.profile, order)))
    rows = await side.rows(batch)
    assert len(generation(requests[0], rows.row(requests[0].attempt_id)).pictures) == 1


async def test_batch_whose_creation_was_cut_is_found(side: Side) -> None:
    order, _ = await side.submit([task(side, f"A {next(_NUMBERS)} [sandbox: batch-drop x1]")])
    assert (await side.carry(side.batches.find(side.profile, order))).batches == ()
    with pytest.raises(ProviderError) as lost:
        await side.carry(side.batches.create(side.profile, order))
    assert lost.value.fault.cause is Cause.UNKNOWN
    listing = await side.carry(side.batches.find(side.profile, order))
    assert listing.complete
    assert [batch.submission_id for batch in listing.batches] == [order.submission_id]
    assert (await side.end_of(listing.batches[0])).state is BatchState.DONE


async def test_batch_that_is_refused_is_free(side: Side) -> None:
    order, _ = await side.submit([task(side, "A cat"), task(side, "A [sandbox: batch-invalid]")])
    create = side.batches.create(side.profile, order)
    if side.profile.name == "gemini":  # it refuses the creation
        with pytest.raises(ProviderError) as refused:
            await side.carry(create)
        assert refused.value.fault.cause is Cause.INVALID
        return
    batch = await side.end_of(await side.carry(create))
    assert [fate_of(batch, line, None) for line in (1, 2)] == [Fate.FREE, Fate.AT_FAULT]
    assert fault_of_line(batch, 2).cause is Cause.INVALID


async def test_cancelled_batch_ends(side: Side) -> None:
    order, requests = await side.submit([task(side, "A cat"), task(side, "A [sandbox: batch-pause=1]")])
    batch = await side.carry(side.batches.create(side.profile, order))
    await side.carry(side.batches.cancel(side.profile, batch.id))
    batch = await side.end_of(batch)
    assert batch.state is BatchState.CANCELLED
    row = (await side.rows(batch)).row(requests[1].attempt_id)
    # OpenAI states that it was not carried out; nothing else is a proof.
    assert fate_of(batch, 2, row) is (Fate.FREE if row is not None else Fate.UNKNOWN)
    await side.carry(side.batches.cancel(side.profile, batch.id))


async def test_forgotten_batch_is_unknown(side: Side) -> None:
    order, _ = await side.submit([task(side, "A [sandbox: batch-forget]")])
    batch = await side.carry(side.batches.create(side.profile, order))
    with pytest.raises(ProviderError) as gone:
        await side.end_of(batch)
    assert (gone.value.fault.cause, gone.value.fault.final) == (Cause.UNKNOWN, True)


async def test_key_is_in_no_log(side: Side) -> None:
    order, _ = await side.submit([task(side, "A cat")])
    await side.end_of(await side.carry(side.batches.create(side.profile, order)))
    assert KEY not in side.sandbox.log.read_text()
