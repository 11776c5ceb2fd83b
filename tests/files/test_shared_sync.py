"""One fsync for all threads that waited when it began, and its failure for all of them."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Semaphore

import pytest

from batchgen.errors import StoreError
from batchgen.files import output, shared_sync
from batchgen.files.output import publish
from batchgen.files.shared_sync import sync_shared

from ..timing import patience


class Disk:
    """A disk whose fsyncs last as long as the test wants, and the threads that join one."""

    def __init__(self) -> None:
        self.begun = 0
        self.at_work, self.go, self.joined = Semaphore(0), Semaphore(0), Semaphore(0)
        self.fails: set[int] = set()

    def sync(self, _descriptor: int) -> None:
        self.begun += 1
        number = self.begun
        self.at_work.release()
        assert self.go.acquire(timeout=patience(10))
        if number in self.fails:
            raise OSError(errno.EIO, "Input/output error")

    def group(self, threads: ThreadPoolExecutor, descriptor: int, count: int) -> list[Future[None]]:
        """Begin one sync, and let *count* threads wait for the next."""
        first = threads.submit(sync_shared, descriptor)
        assert self.at_work.acquire(timeout=patience(10))
        later = [threads.submit(sync_shared, descriptor) for _ in range(count)]
        for _ in range(count - 1):  # one of them leads
            assert self.joined.acquire(timeout=patience(10))
        return [first, *later]


@pytest.fixture
def disk(monkeypatch):
    made = Disk()

    class Over(threading.Event().__class__):
        def wait(self, timeout: float | None = None) -> bool:
            made.joined.release()
            return super().wait(timeout)

    monkeypatch.setattr(shared_sync, "sync", made.sync)
    monkeypatch.setattr(shared_sync, "Event", Over)
    return made


@pytest.fixture
def folder(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_threads_that_come_during_a_sync_share_the_next_one(disk, folder):
    with ThreadPoolExecutor(20) as threads:
        waiting = disk.group(threads, folder, 10)
        assert not any(future.done() for future in waiting)
        disk.go.release()
        waiting[0].result(patience(10))
        assert disk.at_work.acquire(timeout=patience(10))
        assert not any(future.done() for future in waiting[1:]), "the sync that was under way covers none of them"
        disk.go.release()
        for future in waiting:
            future.result(patience(10))
    assert disk.begun == 2
    assert not shared_sync._folders


def test_a_failed_sync_fails_for_all_that_shared_it(disk, folder):
    disk.fails = {2}
    with ThreadPoolExecutor(20) as threads:
        waiting = disk.group(threads, folder, 5)
        disk.go.release(2)
        waiting[0].result(patience(10))
        for future in waiting[1:]:
            with pytest.raises(OSError, match="Input/output error") as caught:
                future.result(patience(10))
            assert caught.value.errno == errno.EIO
        disk.go.release()
        sync_shared(folder)
    assert disk.begun == 3, "a failed sync is not repeated"


def test_folders_do_not_wait_for_each_other(disk, folder, tmp_path):
    (tmp_path / "other").mkdir()
    other = os.open(tmp_path / "other", os.O_RDONLY)
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(sync_shared, descriptor) for descriptor in (folder, other)]
        for _ in both:
            assert disk.at_work.acquire(timeout=patience(10))
        disk.go.release(2)
        for future in both:
            future.result(patience(10))
    os.close(other)


def test_many_threads_publish_durably_into_one_folder(tmp_path, monkeypatch):
    """Each file has its name before the sync begins that its thread waits for."""
    real, covered, lock = shared_sync.sync, set[str](), threading.Lock()

    def sync(descriptor: int) -> None:
        names = {path.name for path in tmp_path.iterdir()}
        real(descriptor)
        with lock:
            covered.update(names)

    def put(number: int) -> bool:
        publish(tmp_path, f"{number}.png", b"%d" % number)
        with lock:
            return f"{number}.png" in covered

    monkeypatch.setattr(shared_sync, "sync", sync)
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(put, range(200)))


def test_a_folder_that_cannot_be_synced_is_reported_by_each(tmp_path, monkeypatch):
    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(output, "sync_shared", broken)
    with pytest.raises(StoreError, match="kept in the spool"):
        publish(tmp_path, "a.png", b"a")
