"""One manifest run from two folders, so with two job tables: nothing is bought twice, whoever comes first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.timing import patience

from .kit import finish, wait_for

pytestmark = pytest.mark.not_on(s3="a place there belongs to one job database; test_object_store")

JOBS = [
    {"id": f"j{n}", "provider": "openai", "quality": "low", "prompt": f"P{n} [sandbox: slow=0.4]"} for n in range(12)
]


@pytest.fixture
def two(project):
    """Return two folders of one user, beside the manifest that both run."""
    folders = []
    for name in ("here", "there"):
        folder = project.folder / name
        folder.mkdir()
        folders.append(replace(project, folder=folder))
    return folders


def manifest_of(project):
    """The first job takes long, so that a run which starts at the same time, or a little later, finds this one."""
    jobs = [JOBS[0] | {"prompt": f"P0 [sandbox: slow={patience(1):g}]"}, *JOBS[1:]]
    return project.manifest(jobs, providers={"openai": {"limits": {"concurrency": 4}}})


@pytest.mark.not_on(s3="job databases at one place of an object store are refused: test_object_store.py")
def test_two_that_start_at_once_buy_everything_once(project, two, witness):
    manifest = manifest_of(project)
    ends = [finish(process) for process in [one.start("run", manifest, "--yes") for one in two]]
    assert sorted(end.code for end in ends) == [0, 11], [end.err for end in ends]
    assert len(witness.charges()) == len(JOBS)
    # what the other made is taken in by the next one
    for one in two:
        again = one.run("run", manifest, "--yes", "--json")
        assert (again.code, again.json["jobs"]["done"]) == (0, len(JOBS))
    assert len(witness.charges()) == len(JOBS)


@pytest.mark.not_on(s3="job databases at one place of an object store are refused: test_object_store.py")
@pytest.mark.not_on(postgres="both folders use one job database there")
def test_by_turns_each_takes_in_what_the_other_made(project, two, witness):
    manifest = manifest_of(project)
    for number, one in enumerate([*two, *two, *two], 1):
        done = one.run("run", manifest, "--yes", "--limit", "2")
        assert (done.code, len(witness.charges())) == (0, 2 * number), done.err
    assert "recovered " in done.err


@pytest.mark.not_on(s3="job databases at one place of an object store are refused: test_object_store.py")
@pytest.mark.not_on(postgres="both folders use one job database there")
def test_who_comes_second_learns_what_is_in_the_way_and_may_wait(project, two, witness):
    manifest = manifest_of(project)
    here, there = two
    assert there.run("run", manifest, "--yes", "--limit", "1").code == 0  # its table knows a run, and one job
    first = here.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= 3, first)
    second = there.run("run", manifest, "--yes")
    assert (second.code, second.out) == (11, "")
    for said in (str(project.folder / "output" / "shop"), f"process {first.pid}", "--db", "-C", "--wait-lock"):
        assert said in second.err
    assert there.run("clean", "--yes").code == 11  # it would take what the other is writing
    assert there.run("db", "recover", manifest).code == 11
    third = there.run("run", manifest, "--yes", "--wait-lock", "120")
    assert (finish(first).code, third.code) == (0, 0), third.err
    assert len(witness.charges()) == len(JOBS)


def test_a_run_that_is_refused_leaves_no_folder(project, two, witness):
    assert two[0].run("run", manifest_of(project)).code == 6
    assert not (project.folder / "output").exists()
