"""The short form of ``make torture``: kills at random, kills at calls of the C library, disk errors,
redos and settlements; then the count.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.timing import patience

from .remote_suites import SUITES

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kills_lose_no_answer_and_buy_nothing_in_silence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.torture", "--short", "--workers", "2", "--keep", str(tmp_path / "torture")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patience(280), check=False)

    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    rows = {words[0]: words[1:] for words in map(str.split, done.stdout.splitlines()) if len(words) == 11}
    assert int(rows["kills"][0]) >= 20
    # without a compiler there are fewer points: then it says so, and takes what there are
    assert int(rows["syscalls"][0]) >= 22 or "NO C COMPILER" in done.stdout
    assert int(rows["errors"][0]) >= 8
    assert int(rows["redos"][0]) >= 4
    assert int(rows["settlements"][0]) >= 2


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("suite", SUITES)
def test_remote_work_of_ten_runs_killed_at_each_point_is_collected_once(suite: str) -> None:
    command = [sys.executable, "-m", "tests.torture.remote", "--suites", suite, "--times", "10", "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patience(280), check=False)

    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    [all_] = [words for words in map(str.split, done.stdout.splitlines()[-1:]) if words[0] == "all"]
    assert int(all_[1]) == 10 * len(SUITES[suite].points)


@pytest.mark.timeout(300)
def test_runs_that_hang_are_counted_and_the_others_go_on() -> None:
    command = [sys.executable, "-m", "tests.torture.remote", "--suites", "tasks", "--times", "1", "--patience", "0.01"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patience(280), check=False)

    places = re.findall(r"^BROKEN tasks, .*; (/.*)$", done.stdout, re.MULTILINE)
    try:
        assert done.returncode == 1, done.stdout[-6000:] + done.stderr[-2000:]
        points = len(SUITES["tasks"].points)
        assert len(re.findall(r"^HUNG tasks, .*: the run did not end", done.stdout, re.MULTILINE)) == points
        heads, *_, all_ = (row.split() for row in done.stdout[done.stdout.rindex("suite ") :].splitlines())
        assert all_[heads.index("hung") - 1] == str(points)
        assert f"{points} of {points} trials after" in done.stdout
        assert [Path(place).is_dir() for place in places] == [True] * points
    finally:
        for home in {Path(place).parent for place in places}:
            shutil.rmtree(home)
