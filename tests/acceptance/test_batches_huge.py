"""A result file of 2 GB: it is streamed to disk and read row by row, by the command as a user runs it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.timing import patience

from .kit import check_books, check_files
from .test_batches import LOW, events

JOBS, MEGABYTES = 250, 2_000


def peak(pid: int) -> int:
    """Return the most memory that a process has had, in kilobytes; 0 if it has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_results_of_two_gigabytes_need_less_than_200_megabytes(project, witness):
    prompts = [f"[sandbox: batch-huge={MEGABYTES}] Cat 0", *(f"Cat {number}" for number in range(1, JOBS))]
    jobs = [{"id": f"j{number}", **LOW, "prompt": prompt} for number, prompt in enumerate(prompts)]
    path = project.manifest(jobs, providers={"openai": {"modes": ["batch"]}})
    log = project.folder / "log.txt"
    command = [sys.executable, "-m", "batchgen", "run", str(path), "--yes"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=project.folder,
            env=project.environment(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
        most, end = 0, time.monotonic() + patience(900)
        try:
            while process.poll() is None:
                most = max(most, peak(process.pid))
                assert time.monotonic() < end
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, log.read_text()
    charges = events(witness, "charge")
    assert len(charges) == JOBS
    check_books(project, charges)
    check_files(project)
    assert len(events(witness, "download")) == 1
    assert most < 200_000, f"{most} kB"
