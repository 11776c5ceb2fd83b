"""Random histories over the real table, compared with a model after every step."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from batchgen.errors import IllegalEvent, StaleClaim
from batchgen.fault import Cause, Charged, Fault
from batchgen.job import (
    Attempt,
    Cancelled,
    Claimed,
    Deferred,
    Delivered,
    Delivery,
    Event,
    Exhausted,
    Job,
    PartialDelivery,
    Released,
    Requeued,
    Revised,
    Settlement,
    State,
    Unknown,
    advance,
)
from batchgen.store import migrate
from batchgen.store.reader import Reader
from batchgen.store.records import Loaded
from batchgen.store.writer import Writer
from batchgen.task import Basis, Charge, Usage

from .kit import NOW, attempt_for, picture, plan

KEYS = ("a", "b", "c")
FAULTS = st.builds(Fault, cause=st.sampled_from(Cause), message=st.just("m"), charged=st.sampled_from(Charged))
CAME = Delivered(artifacts=(picture(),), usage=Usage(images=1))
ENDS = st.one_of(
    st.just(Delivery(at=NOW, outcome=CAME)),
    st.just(PartialDelivery(at=NOW, outcome=CAME)),
    st.builds(Deferred, at=st.just(NOW), fault=FAULTS, not_before=st.just(NOW)),
    st.builds(Released, at=st.just(NOW), fault=FAULTS),
    st.builds(Exhausted, at=st.just(NOW), fault=FAULTS),
    st.builds(Unknown, at=st.just(NOW), fault=FAULTS),
)
ORDERS = st.sampled_from([Cancelled(at=NOW), Requeued(at=NOW), Revised(at=NOW)])


def same_form(job: Job, current: Job) -> bool:
    return all(
        getattr(job, name) == getattr(current, name) for name in ("state", "claim", "fingerprint", "tries", "delivered")
    )


class JobTable(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        path = self.folder / "batchgen.db"
        migrate.ensure(path)
        self.loop = asyncio.new_event_loop()
        self.writer, self.reader = Writer(path), Reader(path)
        self.batch_id = self.loop.run_until_complete(self.writer.open_batch("b", "m", "f", NOW))
        self.prompts = dict.fromkeys(KEYS, 0)
        self.load()
        self.model: dict[str, Job] = {key: self.reader.job(self.batch_id, key) for key in KEYS}
        self.old: list[Job] = list(self.model.values())  #: every form a job ever had
        self.open_attempts: dict[str, Attempt] = {}
        self.ended: dict[str, int | None] = {}  #: attempt -> nano-USD booked
        self.busy: dict[str, bool] = {}  #: jobs that the last load found in flight and changed: are done ones kept?

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            self.writer.close()
            self.reader.close()
            self.loop.close()
            shutil.rmtree(self.folder)

    def load(self, *, keep_changed: bool = False) -> Loaded:
        plans = [plan(key, f"version {version}") for key, version in self.prompts.items()]
        loading = self.writer.load(self.batch_id, plans, NOW, keep_changed=keep_changed)
        return self.loop.run_until_complete(loading)

    def remember(self, job: Job) -> None:
        self.model[job.key] = job
        self.old.append(job)

    def revised(self, job: Job) -> Job:
        """Return a job as the last load wants it."""
        wanted = plan(job.key, f"version {self.prompts[job.key]}")
        if job.fingerprint == wanted.fingerprint:
            return job
        return replace(advance(job, Revised(at=NOW)), task=wanted.task, fingerprint=wanted.fingerprint)

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.old))
        attempt = replace(attempt_for(job), ordinal=job.delivered)
        current = self.model[job.key]
        try:
            after = advance(job, Claimed(at=NOW))
            known = same_form(job, current)
        except IllegalEvent:
            known = False
        try:
            answer = self.loop.run_until_complete(self.writer.claim(job, attempt, "r", 10, None, NOW))
        except (StaleClaim, IllegalEvent):
            assert not known
            return
        assert known
        assert answer == after
        self.remember(answer)
        self.open_attempts[attempt.id] = attempt

    @precondition(lambda self: self.open_attempts)
    @rule(data=st.data(), event=ENDS, usd=st.none() | st.integers(0, 99))
    def settle(self, data: st.DataObject, event: Event, usd: int | None) -> None:
        attempt = self.open_attempts[data.draw(st.sampled_from(list(self.open_attempts)))]
        charge = Charge(usd=usd, credits=None, basis=Basis.REPORTED if usd is not None else Basis.UNKNOWN)
        current = self.model[attempt.key]
        expected = self.settled(current, attempt, event)
        try:
            settlement = Settlement(attempt=attempt, event=event, charge=charge)
            answer = self.loop.run_until_complete(self.writer.settle(settlement, NOW))
        except StaleClaim:
            assert expected is None
        else:
            assert answer == expected
            self.remember(answer)
        del self.open_attempts[attempt.id]
        self.ended[attempt.id] = usd

    def settled(self, current: Job, attempt: Attempt, event: Event) -> Job | None:
        """Return the job after its call; None if that concerns it no longer."""
        if current.claim != attempt.claim:
            return None
        if current.state is State.RUNNING:
            after = advance(current, event)
            is_kept = self.busy.get(attempt.key, False) and after.state is State.DONE
            return self.revised(after) if attempt.key in self.busy and not is_kept else after
        if not isinstance(event, Delivery | PartialDelivery):
            return None
        # It was cancelled in flight, and perhaps requeued since: what arrives counts.
        before = current if current.state is State.CANCELLED else replace(current, state=State.RUNNING)
        return replace(advance(before, event), cause=None, message=None)

    @rule(data=st.data(), event=ORDERS)
    def order(self, data: st.DataObject, event: Cancelled | Requeued | Revised) -> None:
        job = data.draw(st.sampled_from(self.old))
        current = self.model[job.key]
        known = same_form(job, current)
        try:
            answer = self.loop.run_until_complete(self.writer.move(job, event))
        except IllegalEvent:
            return
        except StaleClaim:
            assert not known
            return
        assert known
        self.remember(answer)

    @rule(key=st.sampled_from(KEYS), keep_changed=st.booleans())
    def edit(self, key: str, keep_changed: bool) -> None:
        self.prompts[key] += 1
        loaded = self.load(keep_changed=keep_changed)
        counts = Counter()
        self.busy = {}
        for name, job in self.model.items():
            wanted = plan(name, f"version {self.prompts[name]}")
            if job.fingerprint == wanted.fingerprint:
                counts["kept"] += 1
            elif job.state is State.RUNNING:
                counts["busy"] += 1
                self.busy[name] = keep_changed
            elif keep_changed and job.state is State.DONE:
                counts["held"] += 1
            else:
                counts["changed"] += 1
                self.remember(self.revised(job))
        assert loaded == Loaded(**counts)

    @invariant()
    def the_table_agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        assert {job.key: job for job in self.reader.jobs(self.batch_id)} == self.model
        left = self.reader.open_attempts(self.batch_id)
        assert {record.id for _, record in left} == set(self.open_attempts)
        lines = self.reader.usage(self.batch_id)
        assert sum(line.attempts - line.open for line in lines) == len(self.ended)
        assert self.reader.spent().usd == sum(usd or 0 for usd in self.ended.values())


JobTable.TestCase.settings = settings(
    max_examples=18,
    stateful_step_count=25,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestJobTable = JobTable.TestCase
