"""Earlier ids: jobs without an id that an older version stored under the hash of another wording."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import pytest

from batchgen.app.plan import plan
from batchgen.app.project import Project
from batchgen.app.retry import as_stored
from batchgen.fingerprint import fingerprint
from batchgen.manifest import Batch, load
from batchgen.store import migrate
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer
from batchgen.wording import tidy
from tests.store.kit import NOW

HEAD = "defaults: {provider: aigate, size: 1024x1024}\n"
WORDINGS = ["x", "x\n", " x", "x  ", "x\r\n\r\n", "\ufeffx"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.of(tmp_path, None)


def manifest(folder: Path, *prompts: str, rest: str = "") -> Batch:
    lines = "".join(f"  - {{prompt: {quoted(prompt)}{rest}}}\n" for prompt in prompts)
    (folder / "m.yaml").write_text(f"{HEAD}jobs:\n{lines}", encoding="utf-8")
    return load(folder / "m.yaml")


def quoted(prompt: str) -> str:
    return '"' + prompt.replace("\r", "\\r").replace("\n", "\\n").replace("\ufeff", "\\ufeff") + '"'


def store_as_older_version(project: Project, batch: Batch, prompt: str) -> list[str]:
    """Add the jobs of *batch* as an older version did, with ids and fingerprints of *prompt* as written; return ids."""
    jobs = []
    for job in batch.jobs:
        task = replace(job.task, prompt=prompt)
        key, *_ = job.keys_of(prompt)
        jobs.append(job._replace(key=key, prompt=prompt, fingerprint=fingerprint(task, "1"), output=key))
    migrate.ensure(project.db)
    with Writer(project.db) as writer:

        async def add() -> None:
            batch_id = await writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), NOW)
            await writer.load(batch_id, jobs, NOW)

        asyncio.run(add())
    with closing(sqlite3.connect(project.db)) as connection, connection:
        connection.execute("UPDATE jobs SET state = 'done', delivered = wanted")
    return [job.key for job in jobs]


CASES = [(before, after, "") for before in WORDINGS for after in WORDINGS]
CASES += [("x\n", "x", ", n: 2"), ("x\n", "x", ", repeat: 2")]


@pytest.mark.parametrize(("before", "after", "rest"), CASES)
def test_a_job_without_id_keeps_the_id_of_its_first_wording(
    project: Project, before: str, after: str, rest: str
) -> None:
    keys = store_as_older_version(project, manifest(project.root, before, rest=rest), before)
    batch = manifest(project.root, after, rest=rest)
    result = plan(project, batch)
    assert (result.done, result.new, result.changed, result.orphaned) == (len(keys), 0, 0, 0)
    with Reader(project.db) as reader:
        stored = as_stored(project, reader, batch)
        prompt = tidy(after) if before == "x" else before
        assert [(job.key, job.output, job.prompt) for job in stored.jobs] == [(key, key, prompt) for key in keys]
    # The names stay known for later passes, when the database is closed.
    assert [job.key for job in stored.jobs] == keys


def test_ids_do_not_depend_on_the_wording(tmp_path: Path) -> None:
    assert len({job.key for prompt in WORDINGS for job in manifest(tmp_path, prompt).jobs}) == 1


@pytest.mark.parametrize("other", ["xy", "x y", "X"])
def test_a_job_with_another_prompt_gets_its_own_id(project: Project, other: str) -> None:
    store_as_older_version(project, manifest(project.root, "x\n"), "x\n")
    result = plan(project, manifest(project.root, other))
    assert (result.done, result.new, result.orphaned) == (0, 1, 1)


def test_a_job_that_asks_for_something_else_gets_its_own_id(project: Project) -> None:
    store_as_older_version(project, manifest(project.root, "x\n"), "x\n")
    result = plan(project, manifest(project.root, "x", rest=", quality: low"))
    assert (result.done, result.new, result.orphaned) == (0, 1, 1)


@pytest.mark.parametrize("text", [*"abcdefgh"])  # the hashes sort differently
def test_a_recovered_job_is_found_though_its_present_id_was_added(project: Project, text: str) -> None:
    keys = store_as_older_version(project, manifest(project.root, f"{text}\n"), f"{text}\n")
    batch = manifest(project.root, text)
    with Writer(project.db) as writer:

        async def add() -> None:
            batch_id = await writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), NOW)
            await writer.load(batch_id, batch.jobs, NOW)

        asyncio.run(add())
    result = plan(project, batch)
    assert (result.done, result.new, result.pending, result.orphaned) == (1, 0, 0, 1)
    with Reader(project.db) as reader:
        assert [job.key for job in as_stored(project, reader, batch).jobs] == keys


# --- ids with accents -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_an_id_whose_accents_are_composed_otherwise_is_the_same_job(project: Project, forms: tuple[str, str]) -> None:
    before, after = (normalize(form, "café/crème") for form in forms)
    store_named(project, before)
    batch = manifest(project.root, "x", rest=f', id: "{after}"')
    result = plan(project, batch)
    assert (result.done, result.new, result.changed, result.orphaned) == (1, 0, 0, 0)
    with Reader(project.db) as reader:
        assert [(job.key, job.output) for job in as_stored(project, reader, batch).jobs] == [(before, before)]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_recovered_id_with_accents_is_found_though_the_present_one_was_added(
    project: Project, forms: tuple[str, str]
) -> None:
    before, after = (normalize(form, "café") for form in forms)
    store_named(project, before)
    batch = manifest(project.root, "x", rest=f', id: "{after}"')
    with Writer(project.db) as writer:

        async def add() -> None:
            batch_id = await writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), NOW)
            await writer.load(batch_id, batch.jobs, NOW)

        asyncio.run(add())
    result = plan(project, batch)
    assert (result.done, result.new, result.pending, result.orphaned) == (1, 0, 0, 1)


def test_another_id_with_accents_is_another_job(project: Project) -> None:
    store_named(project, "café")
    result = plan(project, manifest(project.root, "x", rest=', id: "cafè"'))
    assert (result.done, result.new, result.orphaned) == (0, 1, 1)


def store_named(project: Project, key: str) -> None:
    batch = manifest(project.root, "x", rest=f', id: "{key}"')
    migrate.ensure(project.db)
    with Writer(project.db) as writer:

        async def add() -> None:
            batch_id = await writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), NOW)
            await writer.load(batch_id, batch.jobs, NOW)

        asyncio.run(add())
    with closing(sqlite3.connect(project.db)) as connection, connection:
        connection.execute("UPDATE jobs SET state = 'done', delivered = wanted")


# --- parameters of one word -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [', quality: "low "', ', size: "\\u00a01536x1024\\ufeff", quality: low'])
def test_blanks_around_a_parameter_change_nothing_of_what_is_done(project: Project, rest: str) -> None:
    batch = manifest(project.root, "x", rest=rest)
    [job] = batch.jobs
    assert (job.task.quality, job.task.size) == ("low", "1536x1024" if "1536" in rest else "1024x1024")
    as_written = replace(job.task, quality="low ", size=f"\u00a0{job.task.size}\ufeff")
    planned = job._replace(fingerprint=fingerprint(as_written, "1"), recipe=replace(job.recipe, task=as_written))
    migrate.ensure(project.db)
    with Writer(project.db) as writer:

        async def add() -> None:
            batch_id = await writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), NOW)
            await writer.load(batch_id, [planned._replace(prompt="x")], NOW)

        asyncio.run(add())
    with closing(sqlite3.connect(project.db)) as connection, connection:
        connection.execute("UPDATE jobs SET state = 'done', delivered = wanted")
    result = plan(project, batch)
    assert (result.done, result.new, result.changed) == (1, 0, 0)
