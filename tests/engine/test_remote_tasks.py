"""Remote tasks in the executor, against the sandbox's fal over real sockets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from batchgen.engine import remote_tasks
from batchgen.engine.executor import Executor
from batchgen.engine.readers import Readers
from batchgen.engine.remote_tasks import RemoteTasks
from batchgen.errors import UnfinishedTask
from batchgen.fault import Cause
from batchgen.files.source_cache import SourceCache
from batchgen.files.spool import Spool
from batchgen.job import Attempt, Delivered, Missed
from batchgen.providers.presets import profile
from batchgen.sandbox.launch import start
from batchgen.sandbox.log import read_log
from batchgen.task import Kind, Task
from batchgen.transport import Transport

from .test_executor_limits import at_once

KEY = "key-of-fal-1234"


def order(folder, number: int, directive: str, images: int = 1) -> Attempt:
    task = Task(
        kind=Kind.GENERATE,
        prompt=f"{folder} {number} [sandbox: {directive}]",
        provider="fal",
        model="gemini-3.1-flash-image",
        n=images,
    )
    return Attempt(
        id=f"{number:032}",
        job_id=number,
        claim=1,
        batch="b",
        key=f"job-{number}",
        task=task,
        fingerprint="1:0",
        folder=str(folder / "output"),
        output=f"job-{number}",
        wanted=images,
        sidecar=False,
    )


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    extra = ("--draw", "small")
    with start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60, extra=extra) as running:
        yield running


class Bench:
    """An executor, and the handles that it has committed."""

    def __init__(self, sandbox, folder, **poll: float) -> None:
        self.handles: list[Mapping[str, Any]] = []
        self.remembered: list[str] = []
        self.folder, self.log = folder, sandbox.log
        rules = {"poll": {"state": "status", "first_wait": 0.05, "max_wait": 0.1, "patience": 30} | poll}
        self.profile = profile("fal", {"base_url": f"{sandbox.url}/fal", "task": rules})
        self.tasks = RemoteTasks(commit=self.commit, remembered=self.remembered.append)

    async def commit(self, attempt_id: str, handle: Mapping[str, Any]) -> None:
        self.handles.append(dict(handle))

    async def run(self, attempt: Attempt) -> Delivered | Missed:
        spool = Spool(self.folder / "spool")
        readers = Readers(1)
        try:
            async with Transport({"fal": self.profile}, {"fal": KEY}) as transport:
                executor = Executor(
                    transport=transport,
                    spool=spool,
                    inputs=SourceCache(self.folder / "inputs", spool, transport),
                    root=self.folder,
                    readers=readers,
                    alarm=self.fail,
                    tasks=self.tasks,
                )
                return await executor.run(attempt, at_once)
        finally:
            readers.close()

    def fail(self, error: Exception) -> None:
        raise error

    def submissions(self, attempt: Attempt) -> int:
        lines = read_log(self.log)
        return sum(line["event"] == "task" and line["prompt"] == attempt.task.prompt for line in lines)


async def test_handle_is_committed_once_and_before_the_first_poll(sandbox, tmp_path):
    bench = Bench(sandbox, tmp_path)
    attempt = order(tmp_path, 1, "task-slow=0.3")
    assert isinstance(await bench.run(attempt), Delivered)
    [handle] = bench.handles
    assert handle["id"] in handle["status"]
    assert (bench.remembered, bench.submissions(attempt)) == ([attempt.id], 1)
    assert KEY not in repr(bench.handles)


async def test_handle_that_cannot_be_committed_ends_the_attempt_before_it_is_polled(sandbox, tmp_path):
    bench = Bench(sandbox, tmp_path)
    bench.tasks = RemoteTasks()
    with pytest.raises(Exception, match="cannot be committed"):
        await bench.run(order(tmp_path, 2, "task-slow=0.1"))


async def test_task_is_left_at_the_provider_once_patience_is_over_and_polled_again(sandbox, tmp_path):
    bench = Bench(sandbox, tmp_path, patience=0.2)
    attempt = order(tmp_path, 3, "task-slow=1.5")
    with pytest.raises(UnfinishedTask):
        await bench.run(attempt)
    # On another machine, where no slot is, and long after the patience: each run polls once at least.
    later = replace(attempt, resumed=True, elsewhere=True, handle=bench.handles[0], age=500.0)
    with pytest.raises(UnfinishedTask):
        await bench.run(later)
    assert isinstance(await Bench(sandbox, tmp_path, patience=600).run(later), Delivered)
    assert bench.submissions(attempt) == 1
    assert len(bench.handles) == 1


async def test_answer_of_an_earlier_run_names_the_task_and_is_not_polled_before_its_lane(sandbox, tmp_path):
    bench = Bench(sandbox, tmp_path, patience=0.2)
    attempt = order(tmp_path, 4, "task-slow=1")
    with pytest.raises(UnfinishedTask):
        await bench.run(attempt)
    earlier = Bench(sandbox, tmp_path)
    with pytest.raises(UnfinishedTask):
        await earlier.run(replace(attempt, resumed=True))
    assert earlier.handles == bench.handles
    assert bench.submissions(attempt) == 1


async def test_task_that_is_lost_is_unknown_for_good(sandbox, tmp_path):
    outcome = await Bench(sandbox, tmp_path, lost_after=0.2).run(order(tmp_path, 5, "task-lose"))
    assert isinstance(outcome, Missed)
    assert (outcome.fault.cause, outcome.fault.final) == (Cause.UNKNOWN, True)


async def test_end_of_a_run_ends_its_waits(sandbox, tmp_path):
    bench = Bench(sandbox, tmp_path, first_wait=300, max_wait=300, patience=600)
    attempt = order(tmp_path, 6, "task-slow=0.1")
    bench.tasks.remembered = lambda _id: bench.tasks.end()
    with pytest.raises(UnfinishedTask):
        await bench.run(attempt)
    assert len(bench.handles) == 1


async def test_result_that_cannot_be_downloaded_is_left_at_the_provider(sandbox, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_tasks, "DOWNLOAD_PAUSE", 0.1)
    bench = Bench(sandbox, tmp_path, patience=0.5)
    bench.profile = bench.profile.model_copy(
        update={"timeout": bench.profile.timeout.model_copy(update={"download": 0.2})}
    )
    attempt = order(tmp_path, 7, "result-expired")
    with pytest.raises(UnfinishedTask):
        await bench.run(attempt)
    aged = replace(attempt, resumed=True, handle=bench.handles[0], age=remote_tasks.RESULT_LIFE + 1)
    for_long = Bench(sandbox, tmp_path)
    rules = bench.profile.task
    long_result = rules.result.model_copy(update={"lifetime": 2 * remote_tasks.RESULT_LIFE})
    for_long.profile = bench.profile.model_copy(update={"task": rules.model_copy(update={"result": long_result})})
    with pytest.raises(UnfinishedTask):
        await for_long.run(aged)
    outcome = await bench.run(aged)
    assert isinstance(outcome, Missed)
    assert (outcome.fault.cause, outcome.fault.final) == (Cause.SPOILED, True)
    assert bench.submissions(attempt) == 1


async def test_result_at_an_unlisted_host_is_left_until_the_settings_allow_it(sandbox, tmp_path):
    bench = Bench(sandbox, tmp_path)
    attempt = order(tmp_path, 8, "url-foreign")
    with pytest.raises(UnfinishedTask, match="url_hosts") as caught:
        await bench.run(attempt)
    # What the message says to type is the whole list: one in settings replaces that of the preset.
    setting = yaml.safe_load(str(caught.value).partition("write  ")[2])["providers"]["fal"]
    assert setting["url_hosts"] == [*bench.profile.url_hosts, "pictures.example.test"]
    later = replace(attempt, resumed=True, handle=bench.handles[0])
    old = replace(later, age=remote_tasks.RESULT_LIFE + 1)
    for each in (later, old):  # The settings hold it back: that says nothing about whether it still exists.
        with pytest.raises(UnfinishedTask, match="url_hosts"):
            await bench.run(each)
    outcome = await bench.run(replace(later, given_up=True))
    assert isinstance(outcome, Missed)
    assert (outcome.fault.cause, outcome.fault.final) == (Cause.SPOILED, True)
    listed = Bench(sandbox, tmp_path)
    listed.profile = profile("fal", {**setting, "base_url": bench.profile.base_url, "timeout": {"download": 0.2}})
    outcome = await listed.run(old)
    assert isinstance(outcome, Missed)
    assert (outcome.fault.cause, outcome.fault.final) == (Cause.SPOILED, True)
    assert bench.submissions(attempt) == 1


async def test_redirect_to_an_unlisted_host_names_that_host(sandbox, tmp_path):
    with pytest.raises(UnfinishedTask, match="cannot be fetched: it was redirected to http://localhost"):
        await Bench(sandbox, tmp_path).run(order(tmp_path, 9, "url-elsewhere"))


async def test_images_that_have_arrived_are_delivered_although_one_of_their_task_is_missing(
    sandbox, tmp_path, monkeypatch
):
    monkeypatch.setattr(remote_tasks, "DOWNLOAD_PAUSE", 0.1)
    bench = Bench(sandbox, tmp_path, patience=0.5)
    bench.profile = bench.profile.model_copy(
        update={"timeout": bench.profile.timeout.model_copy(update={"download": 0.2})}
    )
    outcome = await bench.run(order(tmp_path, 10, "result-part-expired", images=3))
    assert isinstance(outcome, Delivered)
    assert len(outcome.artifacts) == 2
    assert outcome.shortfall is not None
    assert (outcome.shortfall.cause, outcome.shortfall.final) == (Cause.SPOILED, True)
    assert outcome.charge.usd == 3 * 80_000_000


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://queue.fal.run/x/status", True),
        ("https://queue.fal.run:443/x", True),
        ("https://other.fal.ai/x", True),
        ("http://other.fal.ai/x", False),
        ("https://fal.ai.evil.example/x", False),
        ("https://user@queue.fal.run/x", False),
        ("https://queue.fal.run:8443/x", False),
        ("http://queue.fal.run/x", False),
        ("file:///etc/passwd", False),
    ],
)
def test_key_goes_to_the_providers_origin_and_key_hosts_only(url, may):
    assert profile("fal", {"key_hosts": ["*.fal.ai"]}).may_poll(url) is may
