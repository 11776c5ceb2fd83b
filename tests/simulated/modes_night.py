"""A night in several modes: a manifest, the real run down to the HTTP client, and a provider in virtual time."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from batchgen.app import run
from batchgen.app.config.keys import ApiKeys
from batchgen.app.project import Project
from batchgen.engine.runner import Runner
from batchgen.manifest import Batch, load
from batchgen.providers.profile import Profile
from batchgen.store import migrate
from batchgen.store.ledger import Counts, Spent
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer
from batchgen.transport import Transport

from .clock import Clock, live
from .gemini import KEY, Gemini


class _Transport(Transport):
    """The real clients, whose requests go to a simulated provider."""

    def __init__(self, wire: httpx.AsyncBaseTransport, profiles: Mapping[str, Profile], keys: ApiKeys) -> None:
        super().__init__(profiles, keys.first, keys.keys)
        self._wire = wire

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        for name, client in self._clients.items():
            self._clients[name] = replace(client, http=self._wire, public_http=self._wire)
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class _Session(run.RunSession):
    """A run whose HTTP client reaches a simulated provider."""

    wire: httpx.AsyncBaseTransport

    def _transport(self, profiles: Mapping[str, Profile]) -> Transport:
        return _Transport(self.wire, profiles, self.keys)


@dataclass(kw_only=True)
class ModesNight:
    """One batch of one provider, bought in the modes of its manifest, in one run or several."""

    folder: Path
    provider: Gemini
    jobs: int
    settings: Mapping[str, Any]  #: of the provider, as in a manifest
    top: Mapping[str, Any] = field(default_factory=dict)  #: other keys of the manifest
    options: run.RunOptions = field(default_factory=run.RunOptions)
    messages: list[tuple[datetime, str]] = field(default_factory=list)
    lives: int = 0
    project: Project = field(init=False)
    manifest: Path = field(init=False)

    def __post_init__(self) -> None:
        self.project = Project.of(self.folder, None)
        self.manifest = self.folder / "night.yaml"
        document = {
            "name": "night",
            "defaults": {"provider": "gemini", "model": "gemini-3-pro-image"},
            "providers": {"gemini": dict(self.settings)},
            "jobs": [{"id": f"j{number:04}", "prompt": f"Cat {number:04}"} for number in range(self.jobs)],
            **self.top,
        }
        self.manifest.write_text(yaml.safe_dump(document))
        migrate.ensure(self.project.db)

    @property
    def clock(self) -> Clock:
        """Return the clock of the night."""
        return self.provider.clock

    def play(self) -> Runner:
        """Run until nothing is left to do, and return what ran."""
        with Reader(self.project.db) as reader, Writer(self.project.db) as writer:
            return live(self.clock, partial(self._life, reader, writer))

    def counts(self) -> Counts:
        """Return where the jobs stand, by the job database."""
        with Reader(self.project.db) as reader:
            return reader.counts(reader.batch("night").id)

    def spent(self) -> Spent:
        """Return what the ledger has."""
        with Reader(self.project.db) as reader:
            return reader.spent()

    def pictures(self) -> Sequence[Path]:
        """Return the delivered files."""
        return sorted(self.folder.glob("output/**/*.png"))

    def _show(self, text: str) -> None:
        self.messages.append((self.clock.now(), text))

    async def _life(self, reader: Reader, writer: Writer) -> Runner:
        batch = load(self.manifest)
        self.lives += 1
        run_id, now = f"life-{self.lives}", self.clock.now()
        batch_id = await writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), now)
        await writer.load(batch_id, batch.jobs, now)
        await writer.begin_run(run_id, batch_id, command="simulated", pid=1, host="simulated", now=now)
        session = self._session(batch, reader, writer)
        profiles = {name: batch.profiles[name] for name in session.needed(batch_id)}
        spread = random.Random(self.lives)
        runner = session.build_runner(batch_id, run_id, profiles, now=self.clock.now, spread=spread.random)
        runner.attempts.show_message = self._show
        async with session._backend(profiles, session._open_spool(), runner, lambda _upload: None):
            await runner.run()
        await writer.end_run(run_id, 0, self.clock.now())
        return runner

    def _session(self, batch: Batch, reader: Reader, writer: Writer) -> _Session:
        return _Session(
            project=self.project,
            batch=batch,
            options=self.options,
            keys=ApiKeys(keys={"gemini": {"GEMINI_API_KEY": KEY}}),
            reader=reader,
            writer=writer,
            show_message=self._show,
            wire=self.provider,
        )
