"""Twins: a project that uses the record of its last load, and one that never has one, do the same and stay equal."""

from __future__ import annotations

import random
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from batchgen.app import plan as planning
from batchgen.app.clock import utc_now
from batchgen.app.project import Project
from batchgen.app.run import RunSession, prepare_run, preview
from batchgen.app.run_options import RunOptions
from batchgen.errors import BatchgenError
from batchgen.files.output import make_private
from batchgen.manifest import inputs
from batchgen.planning.selection import Selection
from batchgen.store import writer as writers
from batchgen.store.connection import driver, writing

KEYS = {"OPENAI_API_KEY": "sk-test-0123456789", "AIGATE_API_KEY": "sk-test-9876543210"}
COLUMNS = (
    "key, state, delivered, tries, doubts, cause, position, provider, fingerprint, task, output, sidecar, tags, "
    "priority, route, wanted, orphaned_at IS NOT NULL"
)
#: What a manifest may ask for; each is a way to make ids and requests of rows.
JOBS = {
    "named": 'id: "{{ sku }}"\n  prompt: "a {{ what }}"',
    "unnamed": 'prompt: "a {{ sku }} {{ what }}"',
    "accents": 'id: "{{ sku }}é"\n  prompt: "a {{ what }}"',
    "several": 'id: "{{ sku }}"\n  prompt: "a {{ what }}"\n  n: 3\n  per_request: 1',
    "routed": 'id: "{{ sku }}"\n  prompt: "a {{ what }}"\n  provider: [openai, aigate]\n  model: gpt-image-2',
}
STATES = ["pending", "running", "done", "failed", "unknown", "cancelled"]


class Stop(Exception):
    pass


class Twin:
    """One of two projects that do the same."""

    def __init__(self, root: Path, *, forgets: bool) -> None:
        root.mkdir()
        self.root, self.forgets = root, forgets
        self.project = Project.of(root, None)
        make_private(self.project.state)
        self.recorded = 0  #: commands that found a record of the inputs

    def write(self, job: str, quality: str, rows: list[dict[str, Any]]) -> None:
        (self.root / "list.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
        top = "providers: {aigate: {base_url: 'https://gateway.example/v1'}}"
        head = f"name: big\n{top}\ndefaults: {{provider: openai, quality: {quality}}}\n"
        (self.root / "m.yaml").write_text(f"{head}jobs:\n- from: list.jsonl\n  {JOBS[job]}\n")

    def run(self, options: RunOptions, stop_after: int | None = None) -> str:
        """Do what a run does before it sends; return its plan, or why it was refused."""
        self._forget()
        batch = planning.read_manifest(self.project, self.root / "m.yaml")
        self.recorded += bool(batch.inputs and batch.inputs.is_recalled)
        try:
            with ExitStack() as resources:
                session = prepare_run(
                    self.project, batch, options, lambda *_: None, report=lambda _: None, resources=resources
                )
                self._forget()
                shown = show(session.plan)
                with suppress(Stop):
                    anyio.run(load, session, stop_after)
        except BatchgenError as error:
            return str(error).replace(str(self.root), "")
        return shown

    def plan(self, options: RunOptions) -> str:
        self._forget()
        batch = planning.read_manifest(self.project, self.root / "m.yaml")
        try:
            return show(preview(self.project, batch, options))
        except BatchgenError as error:
            return str(error).replace(str(self.root), "")

    def execute(self, statement: str, *values: object) -> None:
        engine = writing(self.project.db)
        with engine.begin() as connection:
            driver(connection).execute(statement, values)
        engine.dispose()

    def rows(self) -> list[tuple[Any, ...]]:
        engine = writing(self.project.db)
        with engine.begin() as connection:
            found = driver(connection).execute(f"SELECT {COLUMNS} FROM jobs ORDER BY key").fetchall()
        engine.dispose()
        return found

    def _forget(self) -> None:
        if self.forgets and self.project.db.exists():
            self.execute("DELETE FROM loads")


async def load(session: RunSession, stop_after: int | None) -> None:
    now, batch = utc_now(), session.batch
    batch_id = await session.writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), now)
    if stop_after is not None:
        merge, chunks = writers.Loading.merge, iter(range(stop_after))

        def merge_some(*args: Any, **named: Any) -> Any:
            if next(chunks, None) is None:
                raise Stop
            return merge(*args, **named)

        writers.Loading.merge = merge_some
    try:
        await session._load(batch_id, now)
    finally:
        if stop_after is not None:
            writers.Loading.merge = merge


def show(plan: Any) -> str:
    document = {name: getattr(plan, name) for name in plan.__dataclass_fields__ if name not in ("budgets", "disk")}
    document["examples"] = [job.as_json() | {"print": job.fingerprint} for job in plan.examples]
    document["disk"] = plan.disk.bytes
    return "\n".join(f"{name} = {value!r}" for name, value in document.items())


def rows_of(rng: random.Random) -> list[dict[str, Any]]:
    rows = [{"sku": f"s{n:02}", "what": rng.choice("xyz")} for n in range(20) if rng.random() < 0.8]
    if rng.random() < 0.3:
        rng.shuffle(rows)
    return rows or [{"sku": "s00", "what": "x"}]


def options_of(rng: random.Random) -> RunOptions:
    requeue = Selection(
        ids=rng.choice([(), ("s0*",), ("s1*",)]), states=("done",) if (redo := rng.random() < 0.4) else ("failed",)
    )
    match rng.choice(["run", "run", "run", "keep", "some", "again", "with", "note", "first"]):
        case "keep":
            return RunOptions(keep_changed=True, environment=KEYS)
        case "some":
            return RunOptions(selection=Selection(ids=("s0*",)), environment=KEYS)
        case "again":
            return RunOptions(requeue=requeue, redo=redo, environment=KEYS)
        case "with":
            overrides = {"quality": rng.choice(["low", "high", "medium"])}
            return RunOptions(requeue=requeue, redo=redo, overrides=overrides, environment=KEYS)
        case "note":
            return RunOptions(requeue=requeue, redo=True, note="too dark", environment=KEYS)
        case "first":
            return RunOptions(requeue=Selection(states=("failed",)), only_requeued=False, environment=KEYS)
    return RunOptions(environment=KEYS)


def require_equal_twins(folder: Path, seed: int, steps: int = 18) -> int:
    rng = random.Random(seed)
    first, second = twins = Twin(folder / "a", forgets=False), Twin(folder / "b", forgets=True)
    job, quality, rows = rng.choice(sorted(JOBS)), "low", rows_of(rng)
    for twin in twins:
        twin.write(job, quality, rows)
    history = []
    for _ in range(steps):
        step = rng.choice(["list", "quality", "job", "states", "run", "run", "run", "run", "plan", "stop"])
        match step:
            case "list":
                rows = rows_of(rng)
            case "quality":
                quality = rng.choice(["low", "high"])
            case "job" if rng.random() < 0.3:
                job = rng.choice(sorted(JOBS))
        if step in {"list", "quality", "job"}:
            history.append((step, job, quality))
            for twin in twins:
                twin.write(job, quality, rows)
        elif step == "states" and first.project.db.exists():
            state, number = rng.choice(STATES), rng.randrange(3)
            history.append((step, state, number))
            for twin in twins:
                done = int(state == "done")
                twin.execute(
                    f"UPDATE jobs SET state = ?, delivered = wanted * {done} WHERE instr(key, ?)", state, f"{number}"
                )
        elif step in {"run", "stop", "plan"}:
            options, after = options_of(rng), rng.randrange(4) if step == "stop" else None
            history.append((step, options, after))
            shown = [twin.plan(options) if step == "plan" else twin.run(options, after) for twin in twins]
            assert shown[0] == shown[1], (seed, history)
        if first.project.db.exists():
            assert first.rows() == second.rows(), (seed, history)
    return first.recorded


@pytest.mark.parametrize("seed", range(2))
def test_project_with_a_record_equals_one_without(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(inputs, "WORTHWHILE", 0)
    monkeypatch.setattr(writers, "CHUNK", 5)
    require_equal_twins(tmp_path, seed)


def test_orphaned_job_returns_with_its_overrides(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "WORTHWHILE", 0)
    rows = [{"sku": f"s{n:02}", "what": "x"} for n in range(9)]
    site, every = Twin(tmp_path / "a", forgets=False), RunOptions(environment=KEYS)
    site.write("named", "low", rows)
    site.run(every)
    site.execute("UPDATE jobs SET state = 'failed' WHERE key = 's04'")
    site.run(RunOptions(requeue=Selection(states=("failed",)), overrides={"quality": "high"}, environment=KEYS))
    [before] = [row for row in site.rows() if row[0] == "s04"]
    site.write("named", "low", [row for row in rows if row["sku"] != "s04"])
    site.run(every)
    site.write("named", "low", rows)
    site.run(every)
    [after] = [row for row in site.rows() if row[0] == "s04"]
    assert '"quality":"high"' in after[COLUMNS.split(", ").index("task")]
    assert after == before
