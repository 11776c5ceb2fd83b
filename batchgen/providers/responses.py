"""Read a paid answer: first what it used, then its pictures, and only then what may be wrong with it.  Pure.

Whatever format was asked for, every success is searched for pictures in all the places known.  An answer is rejected
only where none is found, so that no sloppy envelope throws away a picture that was paid for.
"""

from __future__ import annotations

import re
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
from .jsonbody import Json, Unreadable, read
from .result_images import FoundImage, SentSources, holds_place, pictures_in, safe_text, texts_in
from .text_links import pictures_in_text
from .usage import read_usage

#: Seconds for which a link in a text is tried, which may lead to no image at all.
_LINK_PATIENCE = 10.0
_ADDRESS = re.compile(r"https?://[^\s<>\"']{1,4096}", re.IGNORECASE)
#: The states in which a provider hands out a task to be asked for later.
_WAITING = {"processing", "pending", "queued", "in_progress", "submitted", "running", "starting", "created"}


@dataclass(kw_only=True, slots=True)
class _Answer:
    """What a success holds."""

    document: Json = None
    found: list[FoundImage] = field(default_factory=list)
    image: bytes | None = None  #: the body, where it is an image itself
    text: str | None = None  #: the words beside the pictures
    unreadable: str | None = None  #: why there is no document


def read_answer(reply: Reply, request: Request, url: str) -> Conversation:
    """Return the pictures of the *reply* to a paid call to *url*, downloading those that came as URLs.

    Where some pictures are bad and some good, the good ones are returned and the note says what is missing.
    Raises ProviderError where no picture can be had, with what the answer states of its cost.
    """
    profile, task = request.profile, request.task
    if not 200 <= reply.status < 300:
        document = _open_error(reply.body)
        raise ProviderError(fault_of(reply, profile, document, task), read_usage(document, reply.headers))
    answer = _open(reply, task)
    collection = _Collection(request, url)
    if answer.image is not None:
        pictures = collection.results([Picture(data=answer.image)])
    else:
        pictures = yield from collection.all(answer.found)
    made = len(pictures) + collection.lost
    usage = read_usage(answer.document, reply.headers, images=made) or Usage(images=made)
    if not pictures:
        raise ProviderError(_rejection(answer, reply, request, collection), usage)
    error = fault_of(reply, profile, answer.document, task) if has_error(answer.document) else None
    notes = [*collection.troubles, *warnings_in(answer.document), *([error.message] if error else [])]
    return Generation(
        pictures=tuple(pictures),
        usage=usage,
        text=answer.text,
        note="; ".join(dict.fromkeys(notes)) or None,
        shortfall=(error or collection.fault) if len(pictures) < task.n else None,
    )


def _open(reply: Reply, task: Task) -> _Answer:
    """Return what is in the body of a success."""
    sent, body = SentSources.by(task), reply.body
    content_type = reply.headers.get("content-type", "").lower()
    bare = body.lstrip(b"\r\n")
    if is_image(bare):
        return _Answer(image=bare)
    if content_type.startswith("image/") and bare[:1] not in (b"{", b"[", b""):
        return _Answer(image=_image_of(body))
    # what is called a stream, or begins with a comment as a stream does, may be one document all the same
    if event_stream.is_stream(body, content_type) and (events := event_stream.documents(body)):
        return _of_stream(events, sent, task.n)
    try:
        document = read(body)
    except Unreadable as error:
        answer = _of_document(error.part, sent, task.n)
        return answer if answer.found else _of_text(body, sent, str(error), broken=reply.broken is not None)
    return _of_document(document, sent, task.n)


def _of_document(document: Json, sent: SentSources, wanted: int) -> _Answer:
    found, texts = pictures_in(document, sent), []
    elsewhere: list[FoundImage] = []
    for text in texts_in(document):
        pictures, rest = pictures_in_text(text, sent)
        elsewhere += pictures
        texts.append(rest)
    # some servers send the same picture twice: as a part of the message, and in its text
    found = found or elsewhere
    found = list(dict.fromkeys(found)) if len(found) > wanted else found
    return _Answer(document=document, found=found, text=safe_text("\n".join(filter(None, texts))))


def _of_stream(documents: Sequence[Json], sent: SentSources, wanted: int) -> _Answer:
    """Return what a stream brought: its last pictures, and the usage of its closing event."""
    answers = [_of_document(document, sent, wanted) for document in documents]
    found: list[FoundImage] = []
    for answer in reversed(answers):
        if answer.found and len(found) < wanted:
            found = list(dict.fromkeys([*answer.found, *found]))
    last = next((answer for answer in reversed(answers) if answer.found), answers[-1] if answers else _Answer())
    document = last.document
    if isinstance(document, dict):
        ends = {key: value for key in ("usage", "error") if (value := event_stream.closing(documents, key))}
        document = {**document, **ends}
    return _Answer(document=document, found=found, text=last.text)


def _of_text(body: bytes, sent: SentSources, why: str, *, broken: bool) -> _Answer:
    """Return what is in a body that is no JSON: base64 of an image, perhaps, or a page with a data URL in it.

    Where the body is *broken* off, an image at its very end is too: it is in doubt, not spoiled.
    """
    text = body.decode("utf-8", "replace")
    if (data := decode(text) if len(text) > 64 else None) and is_image(data):
        return _Answer(image=data)
    found, rest = pictures_in_text(text, sent)
    found = [item for item in found if item.base64]  # the links of a page of text lead anywhere
    if _ADDRESS.fullmatch(text.strip()) and not sent.has(text.strip()):
        found, rest = [FoundImage(url=text.strip())], ""
    if broken:
        found = [item for item in found if not text.rstrip().endswith(item.base64 or item.url or "")]
    return _Answer(found=found, text=safe_text(rest) if found else None, unreadable=why)


def _open_error(body: bytes) -> Json:
    try:
        return read(body)
    except Unreadable:
        return None


# --- the bytes of what was found ----------------------------------------------


class _Collection:
    """Gathers the bytes of the pictures found, and notes what is wrong with the others."""

    def __init__(self, request: Request, url: str) -> None:
        self._profile, self._task, self._url = request.profile, request.task, url
        self._sent = SentSources.by(request.task)
        self.troubles: list[str] = []
        self.lost = 0  #: pictures that were made and cannot be had
        self.final = True  #: every trouble is of a kind that another purchase would meet again

    def all(self, found: Sequence[FoundImage]) -> Generator[Call, Reply, list[Picture]]:
        """Return the pictures, downloading where there is only a URL."""
        pictures: list[Picture] = []
        for item in found:
            if not item.certain and len(pictures) >= self._task.n:
                break
            data = yield from self._bytes(item)
            if data is None:
                self.lost += item.certain
            else:
                pictures += self.results([Picture(data=data, revised_prompt=item.revised_prompt)])
        return pictures

    def results(self, pictures: Sequence[Picture]) -> list[Picture]:
        """Return *pictures* without those that are source images, which the answer repeats."""
        return [picture for picture in pictures if not self._sent.holds(picture.data)]

    def _bytes(self, item: FoundImage) -> Generator[Call, Reply, bytes | None]:
        if item.base64:
            data = decode(item.base64)
            if data and (is_image(data) or not item.url):  # what is no image yields to the address beside it
                return data
            if not item.url:
                self._trouble("an image's base64 is broken")
        if not item.url:
            return None
        url = urljoin(self._url, item.url)
        if not item.certain and not self._profile.may_fetch(url):
            return None
        return (yield from self._download(url, certain=item.certain))

    def _download(self, url: str, *, certain: bool) -> Generator[Call, Reply, bytes | None]:
        # Whether a URL may be followed is for the driver to decide; it throws what stops it in here, where
        # the price of the answer is known.
        try:
            patience = None if certain else _LINK_PATIENCE
            reply = yield Call(method="GET", url=url, billed=False, signed=False, patience=patience)
        except ProviderError as error:
            if certain:
                why = f"a result could not be fetched from {clean(url, 300)}: {error.fault.message}"
                self._trouble(why, final=error.fault.final)
            return None
        data = _image_of(reply.body)
        if 200 <= reply.status < 300 and data and (certain or is_image(data)):
            return data
        if certain:
            what = f"HTTP {reply.status}, {len(reply.body)} bytes"
            self._trouble(f"a result could not be fetched from {clean(url, 300)}: {what}")
        return None

    @property
    def fault(self) -> Fault | None:
        """Why pictures that were made cannot be had; None where all are here."""
        return replace(spoiled_fault("; ".join(self.troubles)), final=self.final) if self.troubles else None

    def _trouble(self, what: str, *, final: bool = False) -> None:
        self.troubles.append(what)
        self.final = self.final and final


def _image_of(body: bytes) -> bytes:
    """Return the image in a download that came as text, in base64; any other body as it is."""
    if is_image(body) or body[:1] in (b"<", b"{"):
        return body
    text = body.decode("ascii", "ignore")
    return (decode(text) or body) if len(text) == len(body) and holds_image(text) else body


# --- why there is no picture --------------------------------------------------


def _rejection(answer: _Answer, reply: Reply, request: Request, collection: _Collection) -> Fault:
    """Return why a success is none after all."""
    profile = request.profile
    if answer.image is not None:
        return empty_fault(None, "the provider sent the source image back", profile)
    if collection.fault:
        return collection.fault
    if answer.unreadable is None and has_error(answer.document):
        return fault_of(reply, profile, answer.document, request.task)
    if reply.status not in (200, 201, 203):
        return fault_of(reply, profile, answer.document, request.task)
    if reply.broken and answer.document is None:
        return _cut_off(reply)
    if answer.unreadable:
        return _unreadable(answer.unreadable, reply)
    if status := _waiting(answer.document):
        hint = "this provider makes images in tasks that are asked for later, which batchgen cannot do"
        return replace(
            empty_fault(answer.document, answer.text, profile),
            message=f"the provider answered with a task ({status}) instead of an image",
            hint=hint,
            final=True,
        )
    fault = empty_fault(answer.document, answer.text, profile)
    known = answer.document in (None, []) or bool(answer.text) or holds_place(answer.document)
    return fault if known or fault.cause is not Cause.EMPTY else replace(fault, final=True)


def _unreadable(why: str, reply: Reply) -> Fault:
    page = reply.body.lstrip()[:1] == b"<"
    hint = "check base_url: this looks like a web page, not an API" if page else ""
    what = f"the answer cannot be read: {why}" if reply.body.strip() else "the answer is empty"
    return spoiled_fault(what, reply.status, hint)


def _cut_off(reply: Reply) -> Fault:
    return Fault(
        cause=Cause.UNKNOWN,
        message=reply.broken or "the answer broke off",
        charged=Charged.MAYBE,
        status=reply.status,
        hint="it may have been carried out and charged; what arrived is kept in the spool",
    )


def _waiting(document: Json) -> str | None:
    """Return the state of a task that the answer hands out instead of a result, or None."""
    for holder in (document, document.get("data") if isinstance(document, dict) else None):
        if isinstance(holder, dict):
            status = holder.get("status") or holder.get("state")
            if isinstance(status, str) and status.lower() in _WAITING:
                return clean(status, 40)
    return None


def declined(message: str, usage: Usage | None = None) -> ProviderError:
    """Return the error of a task that reached a dialect which cannot do it: a bug of the caller, never sent."""
    return ProviderError(Fault(cause=Cause.INVALID, message=message, charged=Charged.NO), usage)
