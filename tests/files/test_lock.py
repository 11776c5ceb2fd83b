"""One run at a time, whatever happens to the holder or to the lock file."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchgen.errors import AlreadyRunning, StoreError
from batchgen.files.lock import hold, hold_folder, lock_path
from tests.timing import patience

ROOT = Path(__file__).parents[2]

HOLD = """
import sys, os, time
from pathlib import Path
from batchgen.files.lock import hold
with hold(Path(sys.argv[1]), command="run demo.yaml"):
    print("held", flush=True)
    sys.stdin.readline()
"""
HOLD_AND_FORK = """
import sys, os, time
from pathlib import Path
from batchgen.files.lock import hold
with hold(Path(sys.argv[1]), command="run demo.yaml"):
    if os.fork() == 0:
        print(os.getpid(), flush=True)  # it has let go by now: who forked it may not know that yet
        os.close(1)
        time.sleep(30)
        os._exit(0)
    sys.stdin.readline()
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "batchgen.db"


@contextmanager
def holder(table: Path, code: str = HOLD) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", code, str(table)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def free(table: Path, wait: float = 0) -> bool:
    try:
        with hold(table, command="test", wait=wait):
            return True
    except AlreadyRunning:
        return False


def test_the_second_one_learns_who_holds_it(table: Path) -> None:
    with holder(table) as (process, said):
        assert said == "held"
        with pytest.raises(AlreadyRunning) as caught, hold(table, command="second"):
            pass
    text = str(caught.value)
    assert str(process.pid) in text
    assert "run demo.yaml" in text
    assert "since 20" in text
    assert caught.value.exit_code == 11


def test_two_in_one_process_exclude_each_other(table: Path) -> None:
    with hold(table, command="a"):
        assert not free(table)
    assert free(table)


def test_kill_9_frees_it_at_once(table: Path) -> None:
    with holder(table) as (process, _):
        assert not free(table)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert free(table)


def test_waiting_gets_it_when_the_holder_ends(table: Path) -> None:
    with holder(table) as (process, _):
        start = time.monotonic()
        assert not free(table, wait=0.3)
        assert 0.25 < time.monotonic() - start < patience(5)
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert free(table, wait=10)


def test_a_deleted_lock_file_admits_no_run(table: Path) -> None:
    with holder(table) as (process, _):
        lock_path(table).unlink()
        assert not free(table)
        assert not free(table)  # nor by the file that the first refusal left behind
        process.kill()
        process.wait()
        assert free(table)


def test_a_file_swapped_while_it_was_locked_is_not_believed(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, swapped = fcntl.flock, []

    def flock(descriptor: int, operation: int) -> None:
        if not swapped:
            swapped.append(lock_path(table).unlink())
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold(table, command="a"):
        assert lock_path(table).exists()
        assert not free(table)


def test_a_forked_child_does_not_keep_it(table: Path) -> None:
    with holder(table, HOLD_AND_FORK) as (process, child):
        try:
            assert not free(table)
            process.send_signal(signal.SIGKILL)
            process.wait()
            os.kill(int(child), 0)
            assert free(table)
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_a_started_program_does_not_inherit_it(table: Path) -> None:
    with hold(table, command="a"):
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"], close_fds=False)
    try:
        assert free(table, wait=2)  # the kernel wakes us a moment before it closes the child's copies
    finally:
        sleeper.kill()
        sleeper.wait()


def test_the_file_is_private_and_stays(table: Path) -> None:
    before = os.umask(0)
    try:
        with hold(table, command="a"):
            pass
    finally:
        os.umask(before)
    assert lock_path(table).stat().st_mode & 0o777 == 0o600


def test_a_place_without_locks_is_explained(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match="Keep the job database"),
        hold(tmp_path / "nowhere" / "batchgen.db", command="a"),
    ):
        pass


def test_a_symlink_in_its_place_is_not_followed(table: Path, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    lock_path(table).symlink_to(tmp_path / "target")
    with pytest.raises(StoreError), hold(table, command="a"):
        pass
    assert (tmp_path / "target").read_text() == "precious"


def test_an_error_inside_passes_through_and_frees_it(table: Path) -> None:
    with pytest.raises(OSError, match="mine"), hold(table, command="a"):
        raise OSError("mine")
    assert free(table)


# --- an output folder ---------------------------------------------------------

WITH = "hold_folder(Path(sys.argv[1]))"
HOLD_FOLDER, HOLD_FOLDER_AND_FORK = (
    code.replace("import hold", "import hold_folder").replace('hold(Path(sys.argv[1]), command="run demo.yaml")', WITH)
    for code in (HOLD, HOLD_AND_FORK)
)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


def unused(folder: Path, wait: float = 0) -> bool:
    try:
        with hold_folder(folder, wait=wait):
            return True
    except AlreadyRunning:
        return False


def test_a_folder_is_held_by_one_and_nothing_of_ours_lies_in_it(output: Path) -> None:
    with holder(output, HOLD_FOLDER) as (process, said):
        assert said == "held"
        with pytest.raises(AlreadyRunning, match=f"process {process.pid}"), hold_folder(output / ".." / output.name):
            pass
        assert list(output.iterdir()) == []
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert unused(output)


def test_waiting_gets_a_folder_when_its_holder_ends(output: Path) -> None:
    with holder(output, HOLD_FOLDER) as (process, _):
        assert not unused(output, wait=0.3)
        end = threading.Timer(0.3, process.kill)
        end.start()
        assert unused(output, wait=10)
        end.join()


def test_a_folder_is_made_only_when_it_is_asked_for(output: Path) -> None:
    missing = output / "a" / "b"
    with hold_folder(missing) as folder:
        assert not missing.exists()
        assert unused(missing)
        folder.make()
        assert not unused(missing)
    assert unused(missing)


def test_two_that_saw_no_folder_do_not_both_go_on(output: Path) -> None:
    missing = output / "new"
    with hold_folder(missing) as one, hold_folder(missing) as other:
        one.make()
        with pytest.raises(AlreadyRunning):
            other.make()
    with hold_folder(missing) as folder:
        folder.make()  # empty, and was there


def test_agreement_fails_when_another_run_began_meanwhile(output: Path) -> None:
    missing = output / "new"
    with hold_folder(missing) as late:
        with hold_folder(missing) as early:
            early.make()
            (missing / "cat.png").touch()
        with pytest.raises(AlreadyRunning, match="same command again"):
            late.make()


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOLCK, errno.EINVAL, errno.EBADF, errno.ENOSYS])
def test_a_disk_without_such_locks_stops_no_run(output: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with hold_folder(output) as folder:
        folder.make()
        assert unused(output)
        with hold_folder(output / "new") as fresh:
            fresh.make()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_is_no_folder_is_left_to_those_who_write_into_it(output: Path) -> None:
    (output / "file").touch()
    for path in (output / "file", output / "file" / "below"):
        with hold_folder(path) as folder:
            folder.make()


def test_a_started_program_does_not_inherit_a_folder(output: Path) -> None:
    with hold_folder(output):
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"], close_fds=False)
    try:
        assert unused(output, wait=2)
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_forked_child_does_not_keep_a_folder(output: Path) -> None:
    with holder(output, HOLD_FOLDER_AND_FORK) as (process, child):
        try:
            assert not unused(output)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert unused(output)
        finally:
            os.kill(int(child), signal.SIGKILL)
