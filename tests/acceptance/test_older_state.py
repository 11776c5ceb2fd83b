"""State that an older program left goes on, and nothing is bought again.

``tests/acceptance/state`` holds what d34161a left when it was killed, made with that program itself (``make.py``).
"""

from __future__ import annotations

import hashlib
import sqlite3
import tarfile
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from batchgen.sandbox import launch
from tests.acceptance.state.make import JOBS, manifest

from .kit import CANARY, PROVIDERS, Witness, Workspace, opened

STATE = Path(__file__).parent / "state"
OLDER = ["d34161a"]
DONE = {"done-image", "done-chat", "done-address"}
SEALED = {"sealed-image", "sealed-chat"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with launch.start(
        tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60, extra=["--draw", "small"]
    ) as own:
        yield own


@pytest.fixture(params=OLDER)
def project(request, tmp_path, sandbox):
    with tarfile.open(STATE / f"{request.param}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    keys = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
    own = Workspace(folder=tmp_path / "project", url=sandbox.url, env=keys)
    moved(own.state / "batchgen.db", own.folder)
    yield own
    own.end()


def moved(table: Path, folder: Path) -> None:
    """Let the job table name the folder in which it lies now."""
    with closing(sqlite3.connect(table)) as connection, connection:
        [(old,)] = connection.execute("select folder from batches").fetchall()
        before = str(old).removesuffix("/output/shop")
        assert before != old
        for column in ("folder", "manifest"):
            connection.execute(f"update batches set {column} = replace({column}, ?, ?)", (before, str(folder)))


def run(project: Workspace, names: tuple[str, ...] = tuple(JOBS), on_unknown: str = "hold"):
    (project.folder / "m.yaml").write_text(manifest(project.url, names, on_unknown), encoding="utf-8")
    return project.run("run", "m.yaml", "--yes")


def states(project: Workspace) -> dict[str, str]:
    return {key: job["state"] for key, job in project.jobs().items()}


def bought(witness: Witness) -> Counter[str]:
    named = {prompt: name for name, (_, prompt) in JOBS.items()}
    return Counter(named[line["prompt"]] for line in witness.charges())


def table(project: Workspace) -> dict[str, tuple[object, ...]]:
    return {row["attempt_id"]: (row["usd"], row["credits"], row["basis"]) for row in project.ledger().values()}


def check_delivered(project: Workspace, names: set[str]) -> None:
    rows = project.rows("select key, a.* from artifacts a join jobs j on j.id = a.job_id where superseded_at is null")
    assert {row["key"] for row in rows} == names
    for row in rows:
        file = project.folder / row["path"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == row["sha256"]
        assert opened(file) == (48, 48)
        assert file.with_name(f"{file.name}.json").exists()


def test_the_state_is_what_it_says_it_is(project):
    """Two sealed answers, one half answer, two kept ones; a job done, failed, in doubt, and three open attempts."""
    slots = [path.read_bytes() for path in (project.state / "spool").glob("*.slot")]
    assert Counter(b"\nsealed " in slot for slot in slots) == {True: 2, False: 1}
    assert all(b'"status"' in slot[:8000] for slot in slots)
    assert len(list((project.state / "spool").glob("*.kept"))) == 2
    found = states(project)
    assert {name for name in found if found[name] == "done"} == DONE
    assert (found["refused"], found["spoiled"], found["in-doubt"]) == ("failed", "failed", "unknown")
    assert project.rows("select count(*) as n from attempts where state = 'open'") == [{"n": 3}]


def test_what_was_sealed_is_delivered_and_nothing_else_is_bought(project, sandbox):
    witness, before = Witness(sandbox.log), table(project)
    kept = {path.name for path in (project.state / "spool").glob("*.kept")}
    done = run(project)
    assert done.code == 3, done.err
    assert bought(witness) == {"fresh": 1}, done.err
    assert len(witness.arrivals()) == 1
    found = states(project)
    assert {name for name in found if found[name] == "done"} == DONE | SEALED | {"fresh"}
    assert {name: found[name] for name in ("refused", "spoiled", "in-doubt", "half")} == {
        "refused": "failed", "spoiled": "failed", "in-doubt": "unknown", "half": "unknown",
    }  # fmt: skip
    check_delivered(project, DONE | SEALED | {"fresh"})
    assert before.items() <= table(project).items()
    left = {path.name for path in (project.state / "spool").iterdir()}
    assert kept <= left
    assert not {name for name in left - kept if name.endswith(".slot") and sealed(project, name)}
    assert run(project).code == 3
    assert bought(witness) == {"fresh": 1}


def sealed(project: Workspace, name: str) -> bool:
    return b"\nsealed " in (project.state / "spool" / name).read_bytes()


def test_a_half_answer_is_bought_again_where_the_policy_is_to_retry(project, sandbox):
    witness = Witness(sandbox.log)
    done = run(project, on_unknown="retry")
    assert done.code == 3, done.err
    assert bought(witness) == {"fresh": 1, "half": 1}
    assert states(project)["half"] == "done"


@pytest.mark.parametrize("gone", ["provider", "job"])
def test_a_sealed_answer_survives_a_manifest_that_does_not_know_it(project, sandbox, gone):
    """A provider renamed, a job removed meanwhile: the answer is delivered or stays, and is never bought again."""
    witness = Witness(sandbox.log)
    text = manifest(project.url)
    if gone == "provider":
        text = text.replace("provider: openrouter", "provider: other").replace(
            f"  openrouter:\n    base_url: {project.url}/openrouter",
            f"  other:\n    preset: openrouter\n    base_url: {project.url}/openrouter",
        )
        assert "preset: openrouter" in text
    else:
        text = manifest(project.url, tuple(name for name in JOBS if name != "sealed-chat"))
    (project.folder / "m.yaml").write_text(text, encoding="utf-8")
    project.run("run", "m.yaml", "--yes")
    assert "sealed-chat" not in bought(witness)
    held = [path for path in (project.state / "spool").glob("*.slot") if sealed(project, path.name)]
    assert held or states(project)["sealed-chat"] == "done"
    run(project)
    assert "sealed-chat" not in bought(witness)
    assert states(project)["sealed-chat"] == "done"


def test_report_shows_what_an_older_program_delivered(project):
    done = project.run("report", "--json")
    assert done.code == 0, done.err
    assert done.json["pictures"] >= len(DONE)
    assert done.json["jobs"]["done"] == len(DONE)
    assert (project.folder / "output/shop/report/index.html").is_file()
