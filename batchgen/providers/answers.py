"""Read a paid answer: first what it used, then its pictures, so that every fault after it carries its price.  Pure."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import pybase64

from ..fault import Cause, Charged, Fault, ProviderError
from ..task import Generation, Picture, Usage
from .base import Call, Reply
from .faults import empty, fault_of, spoiled
from .profile import Profile
from .said import clean, error_in
from .strict import Json, Unreadable, read
from .usage import stated

_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Where one picture of an answer is: base64 text, a URL, or both."""

    base64: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


def opened(reply: Reply, profile: Profile) -> Json:
    """Return the document of a success; raise ProviderError for a status, a body or an envelope that is none."""
    if reply.status not in (200, 201, 203):
        raise ProviderError(fault_of(reply, profile), stated(None, reply.headers))
    try:
        document = read(reply.body)
    except Unreadable as error:
        page = reply.body.lstrip()[:1] == b"<"
        hint = "check base_url: this looks like a web page, not an API" if page else ""
        what = f"the answer cannot be read: {error}" if reply.body.strip() else "the answer is empty"
        raise ProviderError(spoiled(what, reply.status, hint), stated(None, reply.headers) or Usage()) from None
    if error_in(document):
        raise ProviderError(fault_of(reply, profile, document), stated(document, reply.headers))
    return document


def generation(
    document: Json, reply: Reply, profile: Profile, found: Sequence[Found], text: str | None = None
) -> Generator[Call, Reply, Generation]:
    """Turn what was found into pictures, downloading where there is only a URL.

    Where some pictures are bad and some good, the good ones are returned and the text says what is missing.
    """
    usage = stated(document, reply.headers, images=len(found)) or Usage(images=len(found))
    if not found:
        raise ProviderError(empty(document, text, profile), usage)
    pictures: list[Picture] = []
    troubles: list[str] = []
    for item in found:
        data = yield from _bytes(item, troubles)
        if data is not None:
            pictures.append(Picture(data=data, revised_prompt=item.revised_prompt))
    if not pictures:
        raise ProviderError(spoiled("; ".join(troubles)), usage)
    words = "\n".join(filter(None, [text, *troubles])) or None
    return Generation(pictures=tuple(pictures), usage=usage, text=words)


def _bytes(item: Found, troubles: list[str]) -> Generator[Call, Reply, bytes | None]:
    if item.base64:
        data = decoded(item.base64)
        if data:
            return data
        troubles.append("an image's base64 is broken")
    if not item.url:
        return None
    shown = clean(item.url, 300)
    # Whether the URL may be followed is for the driver to decide; it throws what stops it in here, where
    # the price of the answer is known.
    try:
        reply = yield Call(method="GET", url=item.url, billed=False, signed=False)
    except ProviderError as error:
        troubles.append(f"a result could not be fetched from {shown}: {error.fault.message}")
        return None
    if reply.status == 200 and reply.body:
        return reply.body
    troubles.append(f"a result could not be fetched from {shown}: HTTP {reply.status}, {len(reply.body)} bytes")
    return None


def decoded(text: str) -> bytes | None:
    """Return the bytes of base64 or of a data URL; a second try allows blanks and the URL alphabet; None if broken."""
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.lower().endswith(";base64"):
            return None
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        pass
    text = _BLANKS.sub("", text)
    if "-" in text or "_" in text:
        text = text.replace("-", "+").replace("_", "/")
        text += "=" * (-len(text) % 4)
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        return None


# --- where pictures are -------------------------------------------------------


def listed(items: Json) -> tuple[Found, ...]:
    """Return the pictures of a ``data``-like list; "" counts as absent."""
    parts = items if isinstance(items, list) else [items]
    return tuple(found for part in parts if (found := found_in(part)))


def found_in(part: Json) -> Found | None:
    """Return the picture that one list item or message part holds, in any of the known shapes."""
    if isinstance(part, str):
        return _at(part)
    if not isinstance(part, Mapping):
        return None
    base64, url = part.get("b64_json"), part.get("url")
    if isinstance(base64, str) and base64.strip():
        link = url if isinstance(url, str) and url.strip() and url[:5].lower() != "data:" else None
        return Found(base64=base64, url=link, revised_prompt=words(part.get("revised_prompt")))
    if isinstance(url, str) and url.strip():
        return _at(url, part.get("revised_prompt"))
    for key in ("image_url", "inline_data", "inlineData", "image", "result", "source"):
        inner = part.get(key)
        if isinstance(inner, Mapping) and isinstance(inner.get("data"), str) and inner["data"].strip():
            return Found(base64=inner["data"])
        found = found_in(inner) if inner else None
        if found:
            return found
    return None


def _at(text: str, revised: Json = None) -> Found | None:
    text = text.strip()
    if text[:5].lower() == "data:":
        return Found(base64=text, revised_prompt=words(revised))
    if text[:8].lower().startswith(("https://", "http://")):
        return Found(url=text, revised_prompt=words(revised))
    return Found(base64=text, revised_prompt=words(revised)) if len(text) > 64 and " " not in text else None


def words(value: Json) -> str | None:
    """Return *value* if it is text with something in it, fit to be written as UTF-8."""
    if not isinstance(value, str) or not value.strip():
        return None
    return value.encode("utf-8", "replace").decode()


def declined(message: str, usage: Usage | None = None) -> ProviderError:
    """Return the error of a task that reached a dialect which cannot do it: a bug of the caller, never sent."""
    return ProviderError(Fault(cause=Cause.INVALID, message=message, charged=Charged.NO), usage)
