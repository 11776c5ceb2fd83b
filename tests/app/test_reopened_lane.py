"""A lane that the user reopens works again, even while calls from before it closed are in flight."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import anyio

from batchgen import manifest
from batchgen.app.config.keys import ApiKeys
from batchgen.app.project import Project
from batchgen.app.run_options import RunOptions
from batchgen.app.wiring import RunSession
from batchgen.engine.runner import Runner
from batchgen.fault import Cause, Fault
from batchgen.job import Attempt, Missed, Outcome
from batchgen.ready import Ready
from batchgen.store import migrate
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer

MANIFEST = """
providers: {openai: {limits: {concurrency: 2}}}
defaults: {provider: openai}
jobs: [{id: poor, prompt: x}, {id: slow, prompt: x}, {id: last, prompt: x}]
"""


class Provider:
    """The account cannot pay for the first job once; the slow job's answer comes after that of the last job."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.slow_went, self.last_came = anyio.Event(), anyio.Event()

    async def run(self, attempt: Attempt, ready: Ready) -> Outcome:
        await ready()
        self.calls[attempt.key] += 1
        if attempt.key == "slow":
            self.slow_went.set()
            await self.last_came.wait()
        if attempt.key == "last":
            self.last_came.set()
        poor = attempt.key == "poor" and self.calls["poor"] == 1
        if poor:
            await self.slow_went.wait()
        return Missed(fault=Fault(cause=Cause.MONEY if poor else Cause.REFUSED, message="m"))

    async def release(self, attempt: Attempt, *, delivered: bool) -> None:
        del attempt, delivered


async def build(folder: Path, reader: Reader, writer: Writer) -> Runner:
    (folder / "m.yaml").write_text(MANIFEST)
    batch, now = manifest.load(folder / "m.yaml"), datetime.now(UTC)
    session = RunSession(
        project=Project.of(folder, None),
        batch=batch,
        options=RunOptions(),
        keys=ApiKeys(keys={"openai": {"OPENAI_API_KEY": "key"}}),
        reader=reader,
        writer=writer,
    )
    batch_id = await writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), now)
    await writer.load(batch_id, batch.jobs, now)
    await writer.begin_run("run", batch_id, command="", pid=1, host="", now=now)
    return session.build_runner(batch_id, "run", batch.profiles)


async def test_reopened_lane_sends_beside_calls_in_flight(tmp_path):
    project = Project.of(tmp_path, None)
    project.state.mkdir()
    migrate.ensure(project.db)
    with Reader(project.db) as reader, Writer(project.db) as writer:
        runner = await build(tmp_path, reader, writer)
        runner.attempts.backend = provider = Provider()
        lane = runner.lanes[0]
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(runner.run)
                while lane.closed is None:  # noqa: ASYNC110 - a lane that closes has no event
                    await anyio.sleep(0.01)
                assert provider.calls == {"poor": 1, "slow": 1}
                runner.configure("openai", [], 2, paused=False)
        assert provider.calls == {"poor": 2, "slow": 1, "last": 1}
        assert reader.counts(runner.batch_id).failed == 3
