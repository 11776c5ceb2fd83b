"""Jobs whose objects were written again."""

from __future__ import annotations

import pytest

from batchgen.job import State
from batchgen.manifest.batch import PlannedJob
from batchgen.planning.compare import StoredJob
from batchgen.planning.written_again import JobsWithStoredVersions
from batchgen.task import Kind, Source, Task

URL = "s3://shop/a.png"


class Table:
    """A job database with one job."""

    def __init__(self, job, mark=""):
        self._job, self._mark = job, mark

    def lookup(self, keys):
        return {self._job.key: StoredJob(1, State.DONE, self._job.fingerprint + self._mark)}

    def tasks(self, keys):
        return {self._job.key: self._job.task}


def job(*etags, mask=None, prompt="Add a hat", url=URL):
    images = tuple(Source(url=url, etag=etag) for etag in etags)
    mask = None if mask is None else Source(url=f"{url}-mask", etag=mask)
    return PlannedJob.of("a", Task(kind=Kind.EDIT, prompt=prompt, provider="p", model="m", images=images, mask=mask))


def compared(before, after, answer, mark=""):
    asked = []

    def compare_bytes(pairs):
        asked.extend((old.etag, new.etag) for old, new in pairs)
        return [answer] * len(pairs)

    jobs = JobsWithStoredVersions(jobs=[after], table=Table(before, mark), compare_bytes=compare_bytes)
    (first,) = jobs
    assert list(jobs) == [first]
    return first, asked


@pytest.mark.parametrize("mark", ["", '+{"quality":"low"}'])
def test_the_same_bytes_are_the_same_request(mark):
    before, after = job("1", "2", mask="3"), job("1", "5", mask="6")
    found, asked = compared(before, after, True, mark)
    assert found.fingerprint == before.fingerprint
    assert asked == [("2", "5"), ("3", "6")]


def test_other_bytes_are_another_request():
    after = job("2")
    found, _ = compared(job("1"), after, False)
    assert found == after
    assert not found.is_to_be_kept(job("1").fingerprint)


def test_unknown_bytes_are_kept():
    found, _ = compared(job("1"), job("2"), None)
    assert found.fingerprint == job("2").fingerprint
    assert found.is_to_be_kept(job("1").fingerprint)


@pytest.mark.parametrize(
    "after", [job("2", prompt="Add a coat"), job("2", url="s3://shop/b.png"), job("1"), job("2", "2")]
)
def test_nothing_is_read_for_another_request(after):
    found, asked = compared(job("1"), after, True)
    assert found == after
    assert not asked
