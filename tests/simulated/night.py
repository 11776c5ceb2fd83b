"""One batch on simulated providers: put together as ``app.run`` does it, played in one life or several.

What differs from a real run: the backend, the clock, chance (seeded), and that there is no spool to let go of.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from batchgen.app import run
from batchgen.app.config.keys import ApiKeys
from batchgen.app.project import Project
from batchgen.app.supervisor import ShowMessage, Supervisor
from batchgen.engine.runner import Runner
from batchgen.manifest import Batch
from batchgen.planning.plan import Plan
from batchgen.providers.presets import profile
from batchgen.providers.profile import Profile
from batchgen.route import Route
from batchgen.store import migrate
from batchgen.store.ledger import Counts
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer
from batchgen.task import Kind, Task
from tests.store.kit import plan

from .backend import Simulated
from .clock import Clock, VirtualLoop, live
from .server import Call, Nature, Server


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """One job of a simulated batch."""

    key: str
    provider: str
    images: int = 1
    priority: int = 0
    others: tuple[str, ...] = ()  #: providers that may do it where the first cannot
    any_order: bool = False  #: or by any provider with free capacity
    model: str = "gpt-image-2"

    def planned(self) -> Any:
        """Return the job as a manifest asks for it."""
        route = Route(others=self.others, any_order=self.any_order) if self.others else None
        task = Task(kind=Kind.GENERATE, prompt=self.key, provider=self.provider, model=self.model, n=self.images)
        return plan(
            self.key, self.key, self.provider, task=task, wanted=self.images, priority=self.priority, route=route
        )


def wishes(count: int, provider: str, *, images: int = 1) -> list[Wish]:
    """Return *count* jobs for one provider, in order."""
    return [Wish(key=f"job-{number:06}", provider=provider, images=images) for number in range(count)]


@dataclass(kw_only=True)
class Night:
    """A batch, its providers and the clock they share."""

    folder: Path
    wishes: Sequence[Wish]
    natures: Mapping[str, Nature]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  #: by provider, as in a manifest
    keys: ApiKeys = field(default_factory=ApiKeys)
    terms: run.RunOptions = field(default_factory=run.RunOptions)
    seed: int = 1
    clock: Clock = field(default_factory=Clock)
    lives: list[Runner] = field(default_factory=list)  #: the runner of every life so far
    servers: dict[str, Server] = field(init=False)
    profiles: dict[str, Profile] = field(init=False)
    place: Project = field(init=False)
    spread: random.Random = field(init=False)

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        self.servers = {
            name: Server(name=name, nature=nature, clock=self.clock, chance=random.Random(chance.random()))
            for name, nature in self.natures.items()
        }
        self.spread = random.Random(chance.random())
        self.place = Project.of(self.folder, None)
        named = {name: {"api_key_env": list(found)} for name, found in self.keys.keys.items()}
        wishes = {name: {**named.get(name, {}), **self.settings.get(name, {})} for name in self.natures}
        self.profiles = {name: profile(name, wish) for name, wish in wishes.items()}
        migrate.ensure(self.place.db)

    def play(self, *, killed_at: float | None = None, say: ShowMessage | None = None) -> Runner:
        """Run until nothing is left to do, or until a kill at that virtual second; return what ran."""
        with Reader(self.place.db) as reader, Writer(self.place.db) as writer:
            live(self.clock, partial(self._life, reader, writer, killed_at, say))
        if killed_at is not None:
            self._restore()
        return self.lives[-1]

    def log(self, provider: str | None = None) -> list[Call]:
        """Return the calls that one provider saw (or the only one there is)."""
        return self.servers[provider or next(iter(self.servers))].log

    def counts(self) -> Counts:
        """Return where the jobs stand, by the job table."""
        with Reader(self.place.db) as reader:
            return reader.counts(reader.batch("night").id)

    async def _life(self, reader: Reader, writer: Writer, killed_at: float | None, say: ShowMessage | None) -> None:
        batch = self._batch()
        now = self.clock.now()
        batch_id = await writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), now)
        await writer.load(batch_id, batch.jobs, now)
        run_id = f"life-{len(self.lives) + 1}"
        await writer.begin_run(run_id, batch_id, command="simulated", pid=1, host="simulated", now=now)
        runner = self._runner(batch, batch_id, run_id, reader, writer)
        self.lives.append(runner)
        if killed_at is None and say is None:
            await runner.run()
            return
        if say is not None:  # whoever listens gets all that goes on beside a run; it looks at the table every second
            attendance = Supervisor(project=self.place, batch=batch, runner=runner, writer=writer, show_message=say)
            async with attendance.around(nullcontext()):
                await runner.run()
            return
        assert killed_at is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            await anyio.sleep(killed_at - self.clock.seconds)
            self._kill()
            tasks.cancel_scope.cancel()

    def _batch(self) -> Batch:
        jobs = [wish.planned() for wish in self.wishes]
        manifest = self.folder / "night.yaml"
        return Batch(name="night", manifest=manifest, folder=self.folder, jobs=jobs, profiles=self.profiles)

    def _runner(self, batch: Batch, batch_id: int, run_id: str, reader: Reader, writer: Writer) -> Runner:
        # the wiring of a real run, so that whatever is added there is simulated too; only the far side is set in
        engagement = run.RunSession(
            project=self.place,
            batch=batch,
            options=self.terms,
            keys=self.keys,
            reader=reader,
            writer=writer,
            plan=Plan(alternates=tuple({name for wish in self.wishes for name in wish.others})),
        )
        needed = engagement.needed(batch_id)
        profiles = {name: known for name, known in self.profiles.items() if name in needed}
        backend = Simulated(servers=self.servers, profiles=self.profiles)
        runner = engagement.build_runner(batch_id, run_id, profiles, now=self.clock.now, spread=self.spread.random)
        runner.attempts.backend = backend
        return runner

    def _kill(self) -> None:
        """Put aside the job table as a kill at this moment leaves it; what the dying loop still writes is not kept."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert not loop.at_work, "a commit is under way: kill at another moment"
        for name in ("", "-wal"):
            shutil.copyfile(f"{self.place.db}{name}", f"{self.place.db}{name}.killed")

    def _restore(self) -> None:
        for name in ("", "-wal"):
            Path(f"{self.place.db}{name}.killed").replace(f"{self.place.db}{name}")
        Path(f"{self.place.db}-shm").unlink(missing_ok=True)
