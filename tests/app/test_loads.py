"""Batches whose manifest and lists are those of the last load: planned from the job database, never wrongly."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from batchgen.app import loads
from batchgen.app import plan as planning
from batchgen.app.clock import utc_now
from batchgen.app.plan import read_manifest
from batchgen.app.project import Project, open_reader
from batchgen.app.retry import as_stored
from batchgen.manifest import Batch, inputs
from batchgen.planning.plan import Plan
from batchgen.planning.selection import Selection
from batchgen.store import load_record, migrate
from batchgen.store.connection import driver, writing
from batchgen.store.writer import Writer

ROWS = 24


@pytest.fixture(autouse=True)
def small_lists_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "WORTHWHILE", 0)


class Site:
    """A project with one manifest and one list."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = Project.of(root, None)

    def write(self, job: str, rows: list[dict[str, Any]] | None = None, top: str = "") -> None:
        given = [{"sku": f"s{n:02}", "what": "x" * (n % 3)} for n in range(ROWS)] if rows is None else rows
        (self.root / "list.jsonl").write_bytes(b"\n".join(map(orjson.dumps, given)))
        (self.root / "m.yaml").write_text(
            f"name: big\n{top}\ndefaults: {{provider: openai, quality: low}}\njobs:\n- from: list.jsonl\n  {job}\n"
        )

    def read(self, *, thorough: bool = False) -> Batch:
        return read_manifest(self.project, self.root / "m.yaml", thorough=thorough)

    def load(self, batch: Batch | None = None) -> Batch:
        """Load the jobs as a run does."""
        batch = self.read() if batch is None else batch
        migrate.ensure(self.project.db)
        now = utc_now()

        async def load() -> None:
            batch_id = await writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), now)
            with open_reader(self.project) as reader:
                stored = as_stored(self.project, reader, batch)
                ready = loads.is_loaded(reader, stored)
                await loads.load(
                    writer, batch_id, stored, now, keep_changed=False, plan=Plan(), is_loaded=ready
                )  # fmt: skip

        with Writer(self.project.db) as writer:
            anyio.run(load)
        return batch

    def execute(self, statement: str, *values: object) -> None:
        engine = writing(self.project.db)
        with engine.begin() as connection:
            driver(connection).execute(statement, values)
        engine.dispose()

    @property
    def is_recorded(self) -> bool:
        with open_reader(self.project) as reader:
            return reader.ask(partial(load_record.is_recorded, batch_id=1))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def require_equal(found: Plan, expected: Plan) -> None:
    for field in fields(Plan):
        if field.name == "examples":
            assert [job.as_json() for job in found.examples] == [job.as_json() for job in expected.examples]
            assert [job.fingerprint for job in found.examples] == [job.fingerprint for job in expected.examples]
        elif field.name not in {"budgets", "disk"}:
            assert getattr(found, field.name) == getattr(expected, field.name), field.name
    assert found.disk.bytes == expected.disk.bytes
    assert found.total == expected.total


def compared(site: Site, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Return the plan by a full comparison."""
    with monkeypatch.context() as patch:
        patch.setattr(planning, "loaded_jobs", lambda *_: None)
        return planning.plan(site.project, site.read(thorough=True))


PLAIN = 'id: "{{ sku }}"\n  prompt: "a {{ what }}"'
JOBS = {
    "plain": PLAIN,
    "unnamed": 'prompt: "a {{ sku }} {{ what }}"',
    "several": f"{PLAIN}\n  n: 3",
    "requests": f"{PLAIN}\n  n: 3\n  per_request: 1",
    "repeat": f"{PLAIN}\n  repeat: 2",
    "matrix": 'id: "{{ sku }}-{{ size }}-{{ quality }}"\n  prompt: "a {{ what }}"\n  '
    "matrix: {size: [1024x1024, 1536x1024], quality: [low, high]}",
    "fallback": f"{PLAIN}\n  provider: [openai, aigate]\n  model: gpt-image-2",
    "weighted": f"{PLAIN}\n  provider: [openai, aigate]\n  model: gpt-image-2\n"
    "  route: {strategy: weighted, weights: {openai: 1, aigate: 2}}",
    "columns": PLAIN,
    "urls": f'{PLAIN}\n  images: ["https://example.org/{{{{ sku }}}}.png"]',
    "folders": 'id: "{{ what }}/{{ sku }}"\n  prompt: "a {{ what }}"\n  tags: [a, b]',
}
TOP = "providers: {aigate: {base_url: 'https://gateway.example/v1'}}"
ROW_VALUES = [
    {"priority": [0, 3, -2][n % 3], "tags": ["t"] if n % 5 else [], "quality": ["low", "high"][n % 2]}
    for n in range(ROWS)
]


def rows_of(kind: str) -> list[dict[str, Any]]:
    rows = [{"sku": f"s{n:02}", "what": "é" * (n % 3 + 1)} for n in range(ROWS)]
    return [row | values for row, values in zip(rows, ROW_VALUES, strict=True)] if kind == "columns" else rows


STATES = ["pending", "pending", "running", "done", "failed", "unknown", "cancelled"]


@pytest.mark.parametrize("kind", sorted(JOBS))
def test_plan_from_the_job_database_equals_the_comparison(site, kind):
    site.write(JOBS[kind], rows_of(kind), TOP)
    site.load()
    assert site.is_recorded

    @settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
    @given(states=st.lists(st.sampled_from(STATES), min_size=1, max_size=9), few=st.booleans())
    @example(states=["pending"] * 9, few=False)
    @example(states=["done"] * 9, few=False)
    def check(states: list[str], few: bool) -> None:
        site.execute("UPDATE jobs SET state = 'pending'")
        for number, state in enumerate(states):
            where = "key LIKE ?" if few else "id % 9 = ?"
            site.execute(f"UPDATE jobs SET state = ? WHERE {where}", state, f"%{number}%" if few else number)
        batch = site.read()
        assert batch.inputs.is_recalled
        with pytest.MonkeyPatch.context() as monkeypatch:
            require_equal(planning.plan(site.project, batch), compared(site, monkeypatch))

    check()


@pytest.mark.parametrize("kind", sorted(JOBS))
def test_batch_that_was_recalled_equals_one_that_was_checked(site, kind):
    site.write(JOBS[kind], rows_of(kind), TOP)
    checked = site.load()
    recalled = site.read()
    assert (recalled.inputs.is_recalled, checked.inputs.is_recalled) == (True, False)
    assert replace(recalled, jobs=(), inputs=None) == replace(checked, jobs=(), inputs=None)
    assert [*recalled.profiles] == [*checked.profiles]
    assert len(recalled.jobs) == len(checked.jobs)
    assert [job.as_json() for job in recalled.jobs] == [job.as_json() for job in checked.jobs]


def test_orphaned_jobs_are_counted(site, monkeypatch):
    site.write(PLAIN)
    site.load()
    site.write(PLAIN, [{"sku": "s01", "what": "x"}, {"sku": "s02", "what": "xx"}])
    site.load()
    found = planning.plan(site.project, site.read())
    assert (found.orphaned, found.pending) == (ROWS - 2, 2)
    require_equal(found, compared(site, monkeypatch))


def test_selection_is_compared(site):
    site.write(PLAIN)
    site.load()
    found = planning.plan(site.project, site.read(), Selection(ids=("s0*",), limit=3))
    assert (found.pending, found.requests, found.matched) == (ROWS, 3, 10)


def changed_prompt(site: Site) -> None:
    path = site.root / "list.jsonl"
    facts, text = path.stat(), path.read_bytes()
    path.write_bytes(text.replace(b'"x"', b'"y"'))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def changed_manifest(site: Site) -> None:
    path = site.root / "m.yaml"
    path.write_text(path.read_text().replace("quality: low", "quality: high"))


def changed_settings(site: Site) -> None:
    (site.root / "batchgen.yaml").write_text("providers: {openai: {limits: {concurrency: 3}}}")


def test_order_of_models_in_the_settings_is_an_input(site):
    models = ["one: {aliases: [painter]}", "two: {aliases: [painter]}"]
    file = site.root / "batchgen.yaml"
    site.write(f"{PLAIN}\n  model: painter\n  quality: null")
    file.write_text(f"providers: {{openai: {{models: {{{', '.join(models)}}}}}}}")
    site.load()
    assert site.read().inputs.is_recalled
    file.write_text(f"providers: {{openai: {{models: {{{', '.join(models[::-1])}}}}}}}")
    batch = site.read()
    assert not batch.inputs.is_recalled
    assert planning.plan(site.project, batch).changed == ROWS


@pytest.mark.parametrize("change", [changed_prompt, changed_manifest, changed_settings])
def test_change_of_an_input_is_seen(site, change):
    site.write(PLAIN)
    site.load()
    assert site.read().inputs.is_recalled
    change(site)
    batch = site.read()
    assert not batch.inputs.is_recalled
    assert (planning.plan(site.project, batch).changed > 0) == (change is not changed_settings)


def test_included_manifest_is_an_input(site):
    site.write(PLAIN, top="include: [other.yaml]")
    (site.root / "other.yaml").write_text("vars: {unused: 1}\ndefaults: {size: 1024x1024}\n")
    site.load()
    assert site.read().inputs.is_recalled
    (site.root / "other.yaml").write_text("vars: {unused: 1}\ndefaults: {size: 1536x1024}\n")
    assert planning.plan(site.project, site.read()).changed == ROWS


def test_date_on_which_a_model_ends_is_an_input(site, monkeypatch):
    site.write(PLAIN)
    site.load()
    monkeypatch.setattr(inputs, "is_stale", lambda _day, _today: True)
    assert not site.read().inputs.is_recalled


def test_version_is_an_input(site, monkeypatch):
    site.write(PLAIN)
    site.load()
    monkeypatch.setattr(inputs, "_program", lambda: ["another"])
    assert not site.read().inputs.is_recalled


def test_record_of_a_version_with_other_facts_does_not_count(site):
    site.write(PLAIN)
    site.load()
    site.execute("UPDATE loads SET digest = 'of another version/x', facts = '{}'")
    batch = site.read()
    assert not batch.inputs.is_recalled
    assert planning.plan(site.project, batch).pending == ROWS
    site.load()
    assert site.read().inputs.is_recalled


def test_warnings_name_the_files_as_they_are_typed(site, monkeypatch):
    site.write(PLAIN, [{"sku": "s01", "what": ""}, {"sku": "s02", "what": "b"}])
    site.load()
    assert "is empty in one row" in str(site.read().warnings)
    monkeypatch.chdir(site.root)
    batch = read_manifest(site.project, Path("m.yaml"))
    assert batch.warnings[0].file == "list.jsonl"


def test_load_that_is_interrupted_leaves_no_record(site):
    site.write(PLAIN)
    batch = site.load()

    def jobs():
        yield from list(batch.jobs)[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        site.load(replace(batch, jobs=_Jobs(jobs), inputs=replace(batch.inputs, findings=replace(
            batch.inputs.findings, jobs=1, profiles="other"))))  # fmt: skip
    assert not site.is_recorded


class _Jobs:
    def __init__(self, make: Any) -> None:
        self._make = make

    def __iter__(self) -> Any:
        return self._make()

    def __len__(self) -> int:
        return ROWS


def test_list_that_changes_during_a_load_leaves_no_record(site):
    site.write(PLAIN)
    batch = site.read()
    changed_prompt(site)
    site.load(batch)
    assert not site.is_recorded


@pytest.mark.parametrize(
    "what",
    ['fingerprint = fingerprint || \'+{"quality":"high"}\'', "state = 'running', provider = 'other'"],
)
def test_rows_that_differ_from_the_manifest_leave_no_record(site, what):
    site.write(PLAIN)
    site.load()
    site.execute("DELETE FROM loads")
    site.execute(f"UPDATE jobs SET {what} WHERE id = 3")
    site.load()
    assert not site.is_recorded


def test_source_images_on_disk_leave_no_record(site):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(site.root / "a.png")
    site.write(f"{PLAIN}\n  images: [a.png]")
    site.load()
    assert not site.is_recorded


def test_column_that_may_name_images_leaves_no_record(site):
    rows = [{"sku": f"s{n}", "what": "x"} for n in range(120)]
    site.write(PLAIN, [*rows, {"sku": "last", "what": "x", "photo": "1.png"}])
    assert site.read().inputs is None


def test_ids_from_prompts_beside_orphaned_jobs_leave_no_record(site):
    site.write('prompt: "a {{ sku }}"')
    site.load()
    assert site.is_recorded
    site.write('prompt: "a {{ sku }}"', [{"sku": "s01"}, {"sku": "s02"}])
    site.load()
    assert not site.is_recorded


def test_waits_of_a_run_do_not_matter(site):
    site.write(PLAIN)
    site.load()
    later = int((utc_now() + timedelta(hours=1)).timestamp() * 1_000_000)
    site.execute("UPDATE jobs SET not_before = ?, tries = 2, claim = 4, delivered = 1 WHERE id % 2", later)
    assert planning.plan(site.project, site.read()).pending == ROWS
