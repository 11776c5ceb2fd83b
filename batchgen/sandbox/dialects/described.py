"""A provider of remote tasks that the sandbox knows only from a description: the user's own rules for it, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from PIL import Image

from ..keys import KeyHeader
from ..paths import put
from ..sources import from_address
from ..templates import placeholder_values
from ..values import Bill, Fetch, Form, Json, Order, Refusal, Reply, Trace, invalid
from .errors import OPENAI_ERRORS, error_for, retry_headers
from .task import Cancel, Progress, Task, TaskDialect, UploadedFile, UploadTarget, View
from .task_order import RATIOS

#: What a picture costs where the description states no price.
_USD = "0.04"
_EDGES = re.compile(r"(\d{2,4})\s*[x*]\s*(\d{2,4})")
_FORMATS = {"jpg": "jpeg", "jpeg": "jpeg", "png": "png", "webp": "webp"}
_MEANINGS = {
    Progress.QUEUED: "pending",
    Progress.RUNNING: "pending",
    Progress.DONE: "done",
    Progress.FAILED: "failed",
    Progress.REFUSED: "refused",
    Progress.CANCELLED: "cancelled",
    Progress.ABORTED: "cancelled",
}
_CANCELLABLE = frozenset({Progress.QUEUED, Progress.RUNNING})


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """A provider as its user describes it: ``task`` has the rules of the dialect with that name."""

    name: str
    paths: Sequence[str]
    bodies: Sequence[Json]  #: templates of submissions
    task: Json
    tariffs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  #: usd, credits, usd_per_credit by model
    auth: Mapping[str, str] | None = None  #: None: no key is needed

    def dialect(self) -> TaskDialect:
        """Return the dialect of a provider that keeps to the description."""
        handle, stem = self.task["handle"], "/_tasks/{id}"
        ways = {"status": stem, "result": f"{stem}/result", "cancel": f"{stem}/cancel"}
        places = {way: _route(handle[way]) or own for way, own in ways.items() if handle.get(way)}
        return TaskDialect(
            name=self.name,
            submit=tuple(path.replace("{model}", "{model:.+}") for path in self.paths),
            read=self._read,
            price=self._price,
            accept=self._answer,
            refuse=self._refuse,
            lose=self._lose,
            views={path: View(answer=self._answer) for way, path in places.items() if way != "cancel"},
            cancels={
                path: Cancel(answer=self._cancelled, method=handle["cancel_method"], from_states=_CANCELLABLE)
                for way, path in places.items()
                if way == "cancel"
            },
            uploads=self._uploads(),
            key_header=_key_header(self.auth),
            opened=self._opened,
        )

    def _uploads(self) -> Mapping[str, UploadTarget]:
        rules = self.task.get("upload")
        if not rules:
            return {}

        def answer(file: UploadedFile, _trace: Trace) -> Reply:
            document: Json = {}
            put(document, rules["address"], [file.url])
            return Reply(status=200, payload=document)

        required, path = frozenset(rules["form"]), urlsplit(rules["url"]).path
        return {path: UploadTarget(answer=answer, field=rules["field"], required=required, lifetime=rules["lifetime"])}

    def _opened(self, fields: Json) -> Json:
        """Return what the body has in the places of the placeholders: of the template that fits best."""
        return max((placeholder_values(body, fields) for body in self.bodies), key=len)

    def _read(self, path: Mapping[str, str], form: Form, _headers: Mapping[str, str], fetch: Fetch) -> Order:
        values = form.fields
        prompt = values.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            raise invalid("The prompt is missing.", "missing_required_parameter", "prompt")
        width, height = _edges(values)
        sources = _sources(values, fetch)
        return Order(
            kind="edit" if sources else "generation",
            model=path.get("model") or str(values.get("model") or ""),
            prompt=prompt,
            width=width,
            height=height,
            n=max(1, min(10, int(values.get("n") or 1))),
            size=f"{width}x{height}",
            output_format=_FORMATS.get(str(values.get("output_format")).lower(), "png"),
            as_url=True,
            sources=sources,
        )

    def _price(self, order: Order, images: int) -> Bill:
        tariff = self.tariffs.get(order.model) or next(iter(self.tariffs.values()), {})
        if "credits" not in tariff:
            return Bill(images=images, usd=Decimal(tariff.get("usd", _USD)) * images)
        points = Decimal(tariff["credits"]) * images
        rate = tariff.get("usd_per_credit")
        return Bill(images=images, usd=None if rate is None else points * Decimal(rate), credits=points)

    def _answer(self, task: Task, _trace: Trace) -> Reply:
        rules, handle = self.task, self.task["handle"]
        document: Json = {}
        put(document, handle["id"], [task.id])
        for way, end in (("status", ""), ("result", "/result"), ("cancel", "/cancel")):
            if handle.get(way) and _route(handle[way]) is None:
                put(document, handle[way], [f"{task.place}/_tasks/{task.id}{end}"])
        put(document, rules["poll"]["state"], [self._word(task.state)])
        if task.state is Progress.DONE:
            put(document, rules["result"]["images"][0], [picture.url for picture in task.pictures])
        elif task.state in {Progress.FAILED, Progress.REFUSED}:
            refusal = task.refusal or Refusal("error500")
            self._put_error(document, *self._error_of(refusal, _trace))
        if rules.get("cost") and task.bill is not None:
            amount = task.bill.usd if rules["cost"]["unit"] == "usd" else task.bill.credits
            put(document, rules["cost"]["path"], [None if amount is None else float(amount)])
        return Reply(status=200, payload=document)

    def _word(self, state: Progress) -> str:
        words = self.task["states"]
        meaning = _MEANINGS.get(state, "")
        stated = words.get(meaning) or words["failed"] if meaning in {"refused", "cancelled"} else words.get(meaning)
        return str(stated[0]) if stated else state.value

    def _refuse(self, refusal: Refusal, trace: Trace, _kind: str) -> Reply:
        document: Json = {}
        self._put_error(document, *self._error_of(refusal, trace))
        status = error_for(OPENAI_ERRORS, refusal, trace).status
        if self.task["errors"].get("status"):
            put(document, self.task["errors"]["status"], [status])
        return Reply(status=status, payload=document, headers=retry_headers(trace))

    def _lose(self, task_id: str, _trace: Trace) -> Reply:
        document: Json = {}
        self._put_error(document, "not_found", f"There is no task {task_id}.")
        return Reply(status=404, payload=document)

    def _cancelled(self, task: Task, trace: Trace, _before: Progress) -> Reply:
        return self._answer(task, trace)

    def _error_of(self, refusal: Refusal, trace: Trace) -> tuple[str, str]:
        """Return code and message of an error, with the word by which the description knows its cause."""
        text = error_for(OPENAI_ERRORS, refusal, trace)
        words = self.task["errors"].get({"refuse": "refused", "quota429": "money"}.get(refusal.cause, refusal.cause))
        return text.code or text.type, f"{text.message} ({words[0]})" if words else text.message

    def _put_error(self, document: Json, code: str, message: str) -> None:
        errors = self.task["errors"]
        for paths, text in ((errors["code"], code), (errors["message"], message)):
            put(document, paths[0] if paths else "error", [text])


def from_description(name: str, description: Mapping[str, Any]) -> TaskDialect:
    """Return the dialect of a provider called *name*."""
    return Description(name=name, **description).dialect()


def _route(address: str) -> str | None:
    """Return the path of an address, with the name of the query parameter that has the id; None for a path in JSON."""
    if not address.startswith(("/", "https://")):
        return None
    parts = urlsplit(address)
    parameter = next((name for name, value in parse_qsl(parts.query) if value == "{id}"), "")
    return f"{parts.path}?{parameter}" if parameter else parts.path


def _key_header(auth: Mapping[str, str] | None) -> KeyHeader:
    if auth is None:
        return KeyHeader(needed=False)
    before = auth["value"].partition("{key}")[0]
    return KeyHeader(auth["header"], before.strip() if before.endswith(" ") else "")


def _edges(values: Json) -> tuple[int, int]:
    size = str(values.get("size") or "")
    if match := _EDGES.fullmatch(size):
        return int(match[1]), int(match[2])
    if values.get("width") and values.get("height"):
        return min(4096, int(values["width"])), min(4096, int(values["height"]))
    return RATIOS.get(size, RATIOS["1:1"])


def _sources(values: Json, fetch: Fetch) -> tuple[Image.Image, ...]:
    numbered = [values[name] for name in sorted(values) if name == "image" or name.startswith("image_")]
    found = values.get("images") or numbered
    addresses = found if isinstance(found, list) else [found]
    return tuple(from_address(_address(item), fetch, "images") for item in addresses)


def _address(item: object) -> object:
    """Return *item*, or the data URL of base64."""
    return item if not isinstance(item, str) or ":" in item[:10] else f"data:image/png;base64,{item}"
