"""A job database that was lost: the log knows the jobs that had failed, and what they cost."""

from __future__ import annotations

from decimal import Decimal

from batchgen.manifest import load

from .kit import check_books

LOW = {"provider": "openai", "quality": "low", "size": "1024x1024"}
JOBS = [
    LOW | {"id": "good", "prompt": "Good"},
    LOW | {"id": "refused", "prompt": "Bad [sandbox: refuse]"},
    LOW | {"id": "empty", "prompt": "Void [sandbox: empty]"},
]


def spent(project) -> Decimal:
    return Decimal(project.run("status", "--json").json["spend"]["usd"])


def test_lost_database_does_not_buy_failed_jobs_again(project, witness):
    manifest = project.manifest(JOBS)
    assert project.run("run", manifest, "--yes").code == 3
    before, charged = spent(project), len(witness.arrivals())
    project.lose_database()
    again = project.run("run", manifest, "--yes")
    assert again.code == 3
    assert "2 failed jobs by the log (retry sends them again)" in again.err
    assert "1 refused" in again.err
    assert "1 empty" in again.err
    assert len(witness.arrivals()) == charged
    assert spent(project) == before
    assert {key: job["state"] for key, job in project.jobs().items()} == {
        "good": "done", "refused": "failed", "empty": "failed"
    }  # fmt: skip
    retried = project.run("retry", manifest, "--yes")
    assert retried.code == 3
    assert len(witness.arrivals()) > charged
    check_books(project, witness.charges())


def test_lost_database_sends_jobs_that_a_later_run_made(project, witness):
    """A job that failed first and was done later has its file; one that was requeued is as its last event left it."""
    manifest = project.manifest([LOW | {"id": "a", "prompt": "A [sandbox: refuse]"}])
    assert project.run("run", manifest, "--yes").code == 3
    manifest = project.manifest([LOW | {"id": "a", "prompt": "A"}, LOW | {"id": "new", "prompt": "New"}])
    assert project.run("run", manifest, "--yes", "--id", "a").code == 0
    project.lose_database()
    assert project.run("run", manifest, "--yes").code == 0
    assert {key: job["state"] for key, job in project.jobs().items()} == {"a": "done", "new": "done"}
    assert len(witness.charges()) == 2


def test_log_of_another_database_marks_nothing(project, witness):
    manifest = project.manifest(JOBS)
    assert project.run("run", manifest, "--yes").code == 3
    arrived = len(witness.arrivals())
    assert project.run("--db", ".batchgen/other.db", "run", manifest, "--yes").code == 3
    assert len(witness.arrivals()) > arrived


def test_lost_database_keeps_files_whose_ids_an_older_version_made(project, witness):
    """The id of a job without one was the hash of its prompt, trailing line feed included."""
    manifest = project.manifest([LOW | {"prompt": f"Cat {number}"} for number in range(4)])
    assert project.run("run", manifest, "--yes").code == 0
    for job in load(manifest).jobs:
        older, *_ = job.keys_of(f"{job.prompt}\n")
        image = project.folder / next(path for path in project.files() if path.name == f"{job.key}.png")
        sidecar = image.with_name(f"{image.name}.json")
        text = sidecar.read_text().replace(job.key, older).replace(f'"{job.prompt}"', f'"{job.prompt}\\n"')
        image.rename(image.with_name(f"{older}.png"))
        sidecar.unlink()
        image.with_name(f"{older}.png.json").write_text(text)
    project.lose_database()
    again = project.run("run", manifest, "--yes")
    assert again.code == 0
    assert "4 of 4 jobs done" in again.err
    assert len(witness.charges()) == 4
    assert "nothing to send" in project.run("plan", manifest).out


def test_lost_database_is_not_taken_for_a_first_start(project, witness):
    """``status`` names the loss and the commands that repair it, and they work as they are shown."""
    manifest = project.manifest(JOBS[:1])
    assert "nothing has run here yet" in project.run("status").err
    assert project.run("run", manifest, "--yes").code == 0
    project.lose_database()
    lost = project.run("status")
    text = " ".join(lost.err.split())
    assert (lost.code, "nothing has run here yet" in text) == (10, False)
    assert "is missing, although batches have run with it" in text
    assert "batchgen db recover m.yaml (batchgen run m.yaml does so too" in text
    assert "is missing, although batches have run with it" in " ".join(project.run("doctor").out.split())
    assert "next      batchgen run m.yaml" in project.run("db", "recover", "m.yaml").err
    complete = project.run("db", "recover", "m.yaml").err
    assert ("recovered nothing" in complete, "next " in complete) == (True, False)
    assert project.run("status", "--json").json["jobs"]["done"] == 1
    assert len(witness.charges()) == 1
