"""Reader of paid answers: first the usage, then the images, and only then the errors.

Every success is searched for images in all known places, whatever format was requested. An answer is rejected only if
none is found, so that a sloppy envelope never throws away an image that was paid for.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin

from ..fault import Cause, Charged, Fault, ProviderError
from ..task import Picture, Task, Usage
from . import event_stream
from .base import Call, Conversation, Generation, Reply, Request
from .base64_images import decode, holds_image, is_image
from .error_bodies import clean, has_error, warnings_in
from .error_mapping import empty_fault, fault_of, spoiled_fault
from .jsonbody import Json, Unreadable, read, read_or_none
from .model import Rules
from .profile import Profile
from .result_images import FoundImage, SentSources, has_empty_container, pictures_in, safe_text, texts_in
from .text_links import pictures_in_text
from .usage import read_usage

#: Seconds for which a link in a text is tried, since it may not lead to an image at all.
_LINK_PATIENCE = 10.0
_URL = re.compile(r"https?://[^\s<>\"']{1,4096}", re.IGNORECASE)
#: The states in which a provider returns a task whose result must be requested later.
_PENDING = {"processing", "pending", "queued", "in_progress", "submitted", "running", "starting", "created"}


@dataclass(kw_only=True, slots=True)
class _Answer:
    """The contents of a success."""

    document: Json = None
    images: list[FoundImage] = field(default_factory=list)
    raw_image: bytes | None = None  #: the body, if it is an image itself
    text: str | None = None  #: the text that came with the images
    unreadable: str | None = None  #: why there is no document


def read_answer(reply: Reply, request: Request, url: str) -> Conversation:
    """Return the images in the *reply* to a paid call to *url*, downloading those that came as URLs.

    If some images are bad, the good ones are returned and the note explains what is missing. Raises ProviderError
    if no image can be had, with the cost that the answer states.
    """
    profile, task = request.profile, request.task
    if not 200 <= reply.status < 300:
        document = read_or_none(reply.body)
        raise ProviderError(
            fault_of(reply, profile, document, task), read_usage(document, reply.headers, cost=profile.cost)
        )
    answer = _open(reply, task)
    collector = Collector(request, url)
    if answer.raw_image is not None:
        pictures = collector.without_echoes([Picture(data=answer.raw_image)])
    else:
        pictures = yield from collector.collect(answer.images)
    made = len(pictures) + collector.lost
    usage = read_usage(answer.document, reply.headers, made, profile.cost) or Usage(images=made)
    if not pictures:
        raise ProviderError(_rejection(answer, reply, request, collector), usage)
    error = fault_of(reply, profile, answer.document, task) if has_error(answer.document) else None
    notes = [*collector.problems, *warnings_in(answer.document), *([error.message] if error else [])]
    return Generation(
        pictures=tuple(pictures),
        usage=usage,
        text=answer.text,
        note="; ".join(dict.fromkeys(notes)) or None,
        shortfall=(error or collector.fault or _held_back(answer, profile)) if len(pictures) < task.n else None,
    )


def _open(reply: Reply, task: Task) -> _Answer:
    """Return the contents of the body of a success."""
    sent, body = SentSources.of(task), reply.body
    content_type = reply.headers.get("content-type", "").lower()
    stripped = body.lstrip(b"\r\n")
    if is_image(stripped):
        return _Answer(raw_image=stripped)
    if content_type.startswith("image/") and stripped[:1] not in (b"{", b"[", b""):
        return _Answer(raw_image=_image_of(body))
    # A body that is declared as a stream, or begins with a comment as a stream may, can still be one document.
    if event_stream.is_stream(body, content_type) and (events := event_stream.documents(body)):
        return _answer_of_stream(events, sent, task.n)
    try:
        document = read(body)
    except Unreadable as error:
        answer = _answer_of_document(error.part, sent, task.n)
        return answer if answer.images else _answer_of_text(body, sent, str(error), broken=reply.broken is not None)
    return _answer_of_document(document, sent, task.n)


def _answer_of_document(document: Json, sent: SentSources, wanted: int) -> _Answer:
    images, texts = pictures_in(document, sent), []
    linked: list[FoundImage] = []
    for text in texts_in(document):
        pictures, rest = pictures_in_text(text, sent)
        linked += pictures
        texts.append(rest)
    # Some servers send the same image twice: as a part of the message, and in its text.
    images = images or linked
    images = list(dict.fromkeys(images)) if len(images) > wanted else images
    return _Answer(document=document, images=images, text=safe_text("\n".join(filter(None, texts))))


def _answer_of_stream(documents: Sequence[Json], sent: SentSources, wanted: int) -> _Answer:
    """Return the contents of a stream: its last images, and the usage of its closing event."""
    answers = [_answer_of_document(document, sent, wanted) for document in documents]
    images: list[FoundImage] = []
    for answer in reversed(answers):
        if answer.images and len(images) < wanted:
            images = list(dict.fromkeys([*answer.images, *images]))
    last = next((answer for answer in reversed(answers) if answer.images), answers[-1] if answers else _Answer())
    document = last.document
    if isinstance(document, dict):
        final = {key: value for key in ("usage", "error") if (value := event_stream.last_value(documents, key))}
        document = {**document, **final}
    return _Answer(document=document, images=images, text=last.text)


def _answer_of_text(body: bytes, sent: SentSources, why: str, *, broken: bool) -> _Answer:
    """Return the contents of a body that is not JSON: base64 of an image, perhaps, or a page with a data URL in it.

    If the body is *broken* off, an image at its very end may be too, so its state is unknown rather than spoiled.
    """
    text = body.decode("utf-8", "replace")
    if (data := decode(text) if len(text) > 64 else None) and is_image(data):
        return _Answer(raw_image=data)
    images, rest = pictures_in_text(text, sent)
    images = [image for image in images if image.base64]  # the links of a web page may lead anywhere
    if _URL.fullmatch(text.strip()) and not sent.has(text.strip()):
        images, rest = [FoundImage(url=text.strip())], ""
    if broken:
        images = [image for image in images if not text.rstrip().endswith(image.base64 or image.url or "")]
    return _Answer(images=images, text=safe_text(rest) if images else None, unreadable=why)


# --- the bytes of the images ---------------------------------------------------


class Collector:
    """Collects the bytes of the images found, and notes the problems of the others."""

    def __init__(self, request: Request, url: str) -> None:
        self._profile, self._task, self._url = request.profile, request.task, url
        self._sent = SentSources.of(request.task)
        self.problems: list[str] = []
        self.lost = 0  #: images that were made and cannot be had
        self.final = True  #: every problem so far would occur again in another attempt

    def collect(self, images: Sequence[FoundImage]) -> Generator[Call, Reply, list[Picture]]:
        """Return the pictures, downloading those that came as a URL."""
        pictures: list[Picture] = []
        for image in images:
            if not image.certain and len(pictures) >= self._task.n:
                break
            data = yield from self._bytes(image)
            if data is None:
                self.lost += image.certain
            else:
                pictures += self.without_echoes([Picture(data=data, revised_prompt=image.revised_prompt)])
        return pictures

    def without_echoes(self, pictures: Sequence[Picture]) -> list[Picture]:
        """Return *pictures* without source images that the answer repeats."""
        return [picture for picture in pictures if not self._sent.holds(picture.data)]

    def _bytes(self, image: FoundImage) -> Generator[Call, Reply, bytes | None]:
        if image.base64:
            data = decode(image.base64)
            if data and (is_image(data) or not image.url):  # if the bytes are not an image, the URL may lead to one
                return data
            if not image.url:
                self._note("an image's base64 is broken")
        if not image.url:
            return None
        try:
            url = urljoin(self._url, image.url)
        except ValueError:
            if image.certain:
                self._note(f"the address of a result is not valid: {clean(image.url, 300)}", final=True)
            return None
        if not image.certain and not self._profile.may_fetch(url):
            return None
        return (yield from self._download(url, certain=image.certain))

    def _download(self, url: str, *, certain: bool) -> Generator[Call, Reply, bytes | None]:
        # The driver decides whether a URL may be followed. It throws an error in here if not, because only here the
        # price of the answer is known.
        try:
            patience = None if certain else _LINK_PATIENCE
            reply = yield Call(method="GET", url=url, billed=False, signed=False, patience=patience)
        except ProviderError as error:
            if certain:
                message = f"a result could not be fetched from {clean(url, 300)}: {error.fault.message}"
                self._note(message, final=error.fault.final)
            return None
        data = _image_of(reply.body)
        if 200 <= reply.status < 300 and data and (certain or is_image(data)):
            return data
        if certain:
            facts = f"HTTP {reply.status}, {len(reply.body)} bytes"
            self._note(f"a result could not be fetched from {clean(url, 300)}: {facts}")
        return None

    @property
    def fault(self) -> Fault | None:
        """Why images that were made cannot be had; None if none is missing."""
        return replace(spoiled_fault("; ".join(self.problems)), final=self.final) if self.problems else None

    def _note(self, problem: str, *, final: bool = False) -> None:
        self.problems.append(problem)
        self.final = self.final and final


def _image_of(body: bytes) -> bytes:
    """Return the image in a download that arrived as base64 text; any other body as it is."""
    if is_image(body) or body[:1] in (b"<", b"{"):
        return body
    text = body.decode("ascii", "ignore")
    return (decode(text) or body) if len(text) == len(body) and holds_image(text) else body


# --- why there is no image -----------------------------------------------------


def _rejection(answer: _Answer, reply: Reply, request: Request, collector: Collector) -> Fault:
    """Return the fault of a success without an image."""
    profile = request.profile
    if answer.raw_image is not None:
        return empty_fault(None, "the provider sent the source image back", profile)
    if collector.fault:
        return collector.fault
    if answer.unreadable is None and has_error(answer.document):
        return fault_of(reply, profile, answer.document, request.task)
    if reply.status not in (200, 201, 203):
        return fault_of(reply, profile, answer.document, request.task)
    if reply.broken and answer.document is None:
        return Fault(
            cause=Cause.UNKNOWN,
            message=reply.broken,
            charged=Charged.MAYBE,
            status=reply.status,
            hint="it may have been carried out and charged; what arrived is kept in the spool",
        )
    if answer.unreadable:
        return _unreadable_fault(answer.unreadable, reply)
    fault = empty_fault(answer.document, answer.text, profile)
    if status := _pending_status(answer.document):
        return replace(
            fault,
            message=f"the provider answered with a task ({status}) instead of an image",
            hint="this provider makes images in tasks whose results are fetched later: describe it with the dialect"
            " task (`batchgen providers new NAME` writes the settings)",
            final=True,
        )
    # An unknown format without an image would come again; a known one may hold an image the next time.
    is_known = answer.document in (None, []) or bool(answer.text) or has_empty_container(answer.document)
    return fault if is_known or fault.cause is not Cause.EMPTY else replace(fault, final=True)


def _unreadable_fault(why: str, reply: Reply) -> Fault:
    page = reply.body.lstrip()[:1] == b"<"
    hint = "check base_url: this looks like a web page, not an API" if page else ""
    message = f"the answer cannot be read: {why}" if reply.body.strip() else "the answer is empty"
    return spoiled_fault(message, reply.status, hint)


def _held_back(answer: _Answer, profile: Profile) -> Fault | None:
    """Return why images were held back beside good ones, if the answer marks them as refused."""
    fault = empty_fault(answer.document, None, profile)
    return fault if fault.cause is Cause.REFUSED else None


def _pending_status(document: Json) -> str | None:
    """Return the state of a task that the answer holds instead of a result, or None."""
    for holder in (document, document.get("data") if isinstance(document, dict) else None):
        if isinstance(holder, dict):
            status = holder.get("status") or holder.get("state")
            if isinstance(status, str) and status.lower() in _PENDING:
                return clean(status, 40)
    return None


class SingleCallDialect(ABC):
    """Base of dialects with one paid call, and a download for each image that comes as a URL."""

    def converse(self, request: Request) -> Conversation:
        """Make one attempt; raise ProviderError."""
        rules = request.model.rules(request.task.kind)
        call = self.call(request, rules) if rules else None
        if call is None:  # a bug, since validation rejects such tasks
            message = f"{request.profile.name} cannot {request.task.kind} with {request.task.model}"
            raise ProviderError(Fault(cause=Cause.INVALID, message=message))
        reply = yield call
        return (yield from read_answer(reply, request, call.url))

    @abstractmethod
    def call(self, request: Request, rules: Rules) -> Call | None:
        """Return the paid call; None if the dialect does not support the task."""
