"""kill -9 of a writing process: the file stays whole and everything acknowledged is there."""

# ruff: noqa: ASYNC220, ASYNC251 - nothing else runs on these loops

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batchgen.store import migrate
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter
from batchgen.store.writer import Writer

from .kit import NOW, claimed, integrity, loaded, plan

ROOT = Path(__file__).parents[2]

#: Claim and settle for ever with 16 tasks; say on stdout what has been acknowledged.
WORK = """
import asyncio, sys
from pathlib import Path
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter
from batchgen.store.writer import Writer
from tests.store.kit import NOW, claimed, delivery

async def main(path):
    with Writer(path) as writer, Reader(path) as reader:
        due = iter(reader.due(1, DueFilter(provider="aigate"), 100_000, NOW))
        async def lane():
            for job in due:
                _, attempt = await claimed(writer, job)
                sys.stdout.write(f"claimed {job.key}\\n")
                sys.stdout.flush()
                await writer.settle(delivery(attempt), NOW)
                sys.stdout.write(f"settled {job.key}\\n")
                sys.stdout.flush()
        await asyncio.gather(*(lane() for _ in range(16)))

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("delay", [0.05, 0.2, 0.45])
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, delay: float) -> None:
    path = tmp_path / "batchgen.db"
    migrate.ensure(path)
    with Writer(path) as writer:
        batch_id = await loaded(writer, [plan(f"j{number}") for number in range(5_000)])
    victim = subprocess.Popen([sys.executable, "-c", WORK, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert victim.stdout is not None
    first = victim.stdout.readline()
    time.sleep(delay)
    victim.send_signal(signal.SIGKILL)
    rest, _ = victim.communicate()
    lines = [line.split() for line in (first + rest).splitlines() if line.endswith(tuple("0123456789"))]
    said = {word: {line[1] for line in lines if line[0] == word} for word in ("claimed", "settled")}
    assert said["claimed"]

    with Reader(path) as reader:
        states = {job.key: job.state.value for job in reader.jobs(batch_id)}
        done = {key for key, state in states.items() if state == "done"}
        running = {key for key, state in states.items() if state == "running"}
        assert said["settled"] <= done
        assert said["claimed"] <= done | running
        left = reader.open_attempts(batch_id)
        assert {job.key for job, _ in left} == running
        assert len(running) <= 16
        [line] = reader.usage(batch_id)
        assert line.attempts - line.open == line.images == len(done)
    assert integrity(path) == "ok"
    with Writer(path) as writer, Reader(path) as reader:  # and the next run goes on
        await claimed(writer, reader.due(batch_id, DueFilter(provider="aigate"), 1, NOW)[0])
