"""Requests about tasks: submissions (arrival, checks, fault, task, answer), polls and cancellations."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import replace
from functools import partial

from aiohttp import web

from .billed import BilledRequest
from .body import fetch_source, raw_prompt, read_form, take_directives
from .compose import package_of
from .deliver import reset
from .dialects.task import Cancel, Progress, Task, TaskDialect, View
from .faults import EARLY, POLLS, REFUSALS, Fault
from .keys import authorise
from .request import free_endpoint_handler
from .state import Entry, State
from .task_memory import TaskRecord
from .task_uploads import upload_handler
from .tasks import TaskStore, read_again, shape_for_task
from .trace import Handler, trace_of
from .values import Form, Order, Package, Refusal, Reply, Trace, invalid


def add_task_routes(router: web.UrlDispatcher, state: State, tasks: TaskStore, dialect: TaskDialect) -> None:
    """Add the addresses of one provider; those of its tasks precede those of submissions, which match more."""
    prefix = f"/{dialect.name}"
    for path, endpoint in dialect.free_endpoints.items():
        router.add_get(prefix + path, free_endpoint_handler(state, dialect, endpoint))
    for path, view in dialect.views.items():
        router.add_route(view.method, prefix + path.partition("?")[0], _view_handler(state, tasks, dialect, path, view))
    for path, cancel in dialect.cancels.items():
        router.add_route(cancel.method, prefix + path, _cancel_handler(state, tasks, dialect, cancel))
    for path, target in dialect.uploads.items():
        router.add_post(prefix + path, upload_handler(state, dialect, target))
    for path in dialect.submit:
        router.add_post(prefix + path, _submission_handler(state, tasks, dialect))


def _response(reply: Reply) -> web.Response:
    return web.json_response(reply.payload, status=reply.status, headers=dict(reply.headers))


def _submission_handler(state: State, tasks: TaskStore, dialect: TaskDialect) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await Submission(state, tasks, dialect, request).run()

    return handler


class Submission(BilledRequest):
    """The handling of one submission of a task."""

    def __init__(self, state: State, tasks: TaskStore, dialect: TaskDialect, request: web.Request) -> None:
        super().__init__(state, dialect, "task", request)
        self.tasks, self.dialect = tasks, dialect

    async def run(self) -> web.StreamResponse:
        """Answer the submission; in any case the log gets its arrival and its answer."""
        fault: Fault | None = None
        early: Package | None = None
        package: Package | None
        try:
            form, directives = await self._admit()
            async with self.tasks.turn(self.key if self.dialect.idempotent else None):
                record = self._repeated(form)
                if record is None:
                    record, fault, early = await self._accept(form, directives)
            if record is None:
                return await self.send(early, fault)
            await self._hold(record)
            package = package_of(self.dialect.accept(record.task, self.entry.trace))
            package = self._spoiled(package, fault)
        except Refusal as refusal:
            package, fault = self.refusal(refusal), None
        return await self.send(package, fault)

    async def _admit(self) -> tuple[Form, tuple[Fault, ...]]:
        form: Form | None = None
        try:
            form = await read_form(self.request)
            form = replace(form, fields=self.dialect.opened(form.fields))
            model = self.request.match_info.get("model") or form.fields.get("model")
            self.entry.model = model if isinstance(model, str) else None
            self.entry.prompt = raw_prompt(form.fields)
        finally:
            self.arrived = self.state.log.write(self.entry.line("arrival"))
        authorise(self.request.headers, self.dialect.key_header)
        self.throttle()
        if form.multipart:
            raise invalid("Unsupported content type: expected application/json.", "unsupported_content_type")
        return take_directives(form)

    def _repeated(self, form: Form) -> TaskRecord | None:
        """Return the task of an earlier submission with the same idempotency key and body."""
        if not self.dialect.idempotent:
            return None
        record = self.tasks.find_by_key(self.dialect.name, self.key)
        if record is None:
            return None
        if json.dumps(record.task.fields, sort_keys=True) != json.dumps(form.fields, sort_keys=True):
            raise Refusal("key-reused")
        self.entry.fault, self.entry.task = "replay", record.task.id
        return record

    async def _accept(
        self, form: Form, directives: tuple[Fault, ...]
    ) -> tuple[TaskRecord | None, Fault | None, Package | None]:
        """Create the task; its line in the log is durable before the answer. The last value replaces the answer."""
        trace, refusal, order = self.entry.trace, None, None
        try:
            order = await self._read(form)
        except Refusal as error:
            if not self.dialect.checks_late or error.cause != "invalid":
                raise
            refusal = error
        self.entry.n = order.n if order else None
        fault = self._answer_fault(directives)
        if fault is not None and fault.kind in EARLY:
            return None, fault, self.early(fault.kind)
        task = Task(
            id=self.dialect.new_id(str(uuid.uuid4())),
            serial=trace.serial,
            url=f"{self.state.url}/{self.dialect.name}",
            model=self.entry.model or "",
            fields=form.fields,
            created=trace.now,
            order=order,
            bill=self.dialect.price(order, order.n) if order else None,
            refusal=refusal,
            faults=self._task_faults(directives, fault),
        )
        self.entry.task = task.id
        record = TaskRecord(
            task=task, entry=self.entry, fault=fault, path=self.request.match_info, headers=self.request.headers
        )
        self.tasks.add(record)
        await asyncio.gather(self.state.log.write(self.entry.line("task")), self.tasks.memory.accept(record))
        self.tasks.start(self.dialect, record)
        deadline = self.dialect.deadline(self.request.headers)
        if deadline != float("inf"):
            asyncio.get_running_loop().call_later(deadline, _expire, record)
        return record, fault, None

    def _answer_fault(self, directives: tuple[Fault, ...]) -> Fault | None:
        """Return the fault of the answer or of the pictures; raise a refusal if it is one."""
        trace = self.entry.trace
        fault = self.state.book.pick(
            serial=trace.serial,
            provider=self.dialect.name,
            prompt=self.entry.prompt or "",
            directives=directives,
        )
        shape_for_task(fault)
        if fault is not None:
            self.entry.fault = fault.kind
            self.entry.trace = replace(trace, retry_after=fault.retry_after)
            if fault.kind in REFUSALS and not self._is_late(fault):
                raise Refusal(fault.kind)
        return fault

    def _is_late(self, fault: Fault | None) -> bool:
        return fault is not None and fault.kind == "refuse" and self.dialect.moderates_late

    def _task_faults(self, directives: tuple[Fault, ...], fault: Fault | None) -> tuple[Fault, ...]:
        faults = self.state.book.pick_for_task(
            serial=self.entry.trace.serial,
            provider=self.dialect.name,
            prompt=self.entry.prompt or "",
            directives=directives,
        )
        return (*faults, Fault(kind="task-refuse")) if self._is_late(fault) else faults

    async def _read(self, form: Form) -> Order:
        def read() -> Order:
            fetch = partial(fetch_source, own_url=self.state.url, results=self.state.results)
            return self.dialect.read(self.request.match_info, form, self.request.headers, fetch)

        return await asyncio.get_running_loop().run_in_executor(self.state.pool, read)

    async def _hold(self, record: TaskRecord) -> None:
        """Keep the connection open until the task is over, for as long as the client asked."""
        seconds = self.dialect.hold(self.request.headers)
        if seconds > 0:
            try:
                await asyncio.wait_for(record.done.wait(), seconds)
            except TimeoutError:
                return

    def _spoiled(self, package: Package, fault: Fault | None) -> Package:
        """Return the answer to a submission as a fault leaves it; the task exists."""
        kind, body = fault.kind if fault else "", package.body
        if (other := self.other_answer(kind)) is not None:
            return other
        if kind == "badjson":
            return replace(package, body=body[: len(body) // 2])
        if kind == "dupkey":
            return replace(package, body=b"{" + body[1 : body.index(b":")] + b": null, " + body[1:])
        return package


def _expire(record: TaskRecord) -> None:
    record.task.late = not record.task.state.over
    record.stop.set()


def _view_handler(state: State, tasks: TaskStore, dialect: TaskDialect, path: str, view: View) -> Handler:
    parameter = path.partition("?")[2]

    async def handler(request: web.Request) -> web.StreamResponse:
        task_id = request.query.get(parameter, "") if parameter else request.match_info["id"]
        trace = trace_of(request, state.next_serial(), time.time())
        entry = Entry(provider=dialect.name, kind="poll", trace=trace, task=task_id)
        reply = _refusal_of_key(dialect, request, trace)
        if reply is None:
            record = tasks.find(dialect.name, task_id)
            if record is not None and record.task.state.over:
                await read_again(state, dialect, record)
            reply = _poll(dialect, view, record, entry)
        await state.log.write(entry.line("poll", status=reply.status if reply else None))
        return _response(reply) if reply else reset(request)

    return handler


def _refusal_of_key(dialect: TaskDialect, request: web.Request, trace: Trace) -> Reply | None:
    """Return the refusal of a request whose key is missing or wrong; an account without money may still poll."""
    try:
        authorise(request.headers, dialect.key_header)
    except Refusal as refusal:
        if refusal.cause != "money":
            return dialect.refuse(refusal, trace, "poll")
    return None


def _poll(dialect: TaskDialect, view: View, record: TaskRecord | None, entry: Entry) -> Reply | None:
    """Return the answer to a poll, and count it; None cuts the connection."""
    if record is None:
        return dialect.lose(entry.task or "", entry.trace)
    task, fault = record.task, _poll_fault(record.task)
    task.polls += 1
    entry.polls, entry.fault = task.polls, fault.kind if fault else None
    trace = replace(entry.trace, retry_after=fault.retry_after if fault else None)
    match entry.fault:
        case "poll-500":
            return dialect.refuse(Refusal("error500"), trace, "poll")
        case "poll-429":
            return dialect.refuse(Refusal("throttle"), trace, "poll")
        case "poll-drop":
            return None
        case "poll-odd" if not task.state.over:
            return view.answer(replace(task, state=Progress.ODD), trace)
    return view.answer(task, trace)


def _poll_fault(task: Task) -> Fault | None:
    """Return the fault of the next poll of a task."""
    for fault in task.faults:
        if fault.kind in POLLS and fault.kind != "poll-elsewhere" and (fault.times is None or task.polls < fault.times):
            return fault
    return None


def _cancel_handler(state: State, tasks: TaskStore, dialect: TaskDialect, cancel: Cancel) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        task_id = request.match_info["id"]
        trace = trace_of(request, state.next_serial(), time.time())
        reply = _refusal_of_key(dialect, request, trace)
        if reply is None:
            record = tasks.find(dialect.name, task_id)
            reply = dialect.lose(task_id, trace) if record is None else await _cancel(cancel, record, trace)
        entry = Entry(provider=dialect.name, kind="cancel", trace=trace, task=task_id)
        await state.log.write(entry.line("cancel", status=reply.status))
        return _response(reply)

    return handler


async def _cancel(cancel: Cancel, record: TaskRecord, trace: Trace) -> Reply:
    before = record.task.state
    if before in cancel.from_states:
        record.stop.set()
        await record.done.wait()
    return cancel.answer(record.task, trace, before)
