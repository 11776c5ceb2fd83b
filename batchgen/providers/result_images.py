"""Where the pictures of an answer are, in whatever place and form a gateway puts them.  Pure.

The documented places come first: a list under ``data`` (OpenAI's images), ``message.images`` or the content of a chat
message, the parts of Gemini's candidates.  The others were seen at gateways that speak these formats their own way.
Nothing that the request sent counts as a result, and no partial preview does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from .. import redaction
from ..task import Source, Task
from .base64_images import decode, holds_image, is_data_url
from .jsonbody import Json, Unreadable, read
from .request_echo import strings

# fmt: off
#: What holds pictures, in the order of trust.
_CONTAINERS = (
    "data", "images", "image", "output", "outputs", "result", "results", "artifacts", "choices", "candidates",
    "message", "content", "parts", "multi_mod_content", "image_url", "imageUrl", "inline_data", "inlineData",
    "source", "file", "file_data", "fileData", "predictions", "generations", "generated_images", "generatedImages",
    "response", "item",
)
_BASE64_KEYS = (
    "b64_json", "base64", "image_base64", "imageBase64", "b64", "image_b64", "b64Json", "bytesBase64Encoded",
    "image_bytes",
)
_URL_KEYS = (
    "url", "image_url", "imageUrl", "uri", "image_uri", "file_uri", "fileUri", "download_url", "signed_url",
    "img_url", "imgUrl", "file_url", "fileUrl", "output_url", "outputUrl", "result_url", "resultUrl",
)
#: Lists of addresses.
_URL_LISTS = (
    *_URL_KEYS, "urls", "image_urls", "imageUrls", "img_urls", "imgUrls", "file_urls", "fileUrls", "output_urls",
    "outputUrls", "result_urls", "resultUrls", "uris",
)
# fmt: on
_EMPTY: tuple[Json, ...] = (None, "", [], {})

#: Keys under which a gateway repeats what it was sent, or shows what is no result.
_NOT_RESULTS = re.compile(
    r"request|input|prompt|param|source_|reference|mask|init|original|echo|thumb|preview|partial|logo|avatar|icon"
    r"|example|sample|usage|meta|error|warning|user|model|tool|message_history|docs|help",
    re.IGNORECASE,
)
#: Levels of nesting, and members of one object or list, that are looked through.
_DEPTH, _WIDTH = 8, 200
#: Longest URL (characters).
_URL_MAX = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundImage:
    """Where one picture is: base64 text, a URL, or both.

    ``certain`` False: it may be a link to something else, and counts only if an image comes.
    """

    base64: str | None = None
    url: str | None = None
    revised_prompt: str | None = None
    certain: bool = True


@dataclass(frozen=True, slots=True)
class SentSources:
    """What the request sent, by which an echo is told from a result."""

    urls: frozenset[str]  #: those of the source images, without percent-encoding
    hashes: frozenset[str]  #: SHA-256 of the source images that are local files
    text: str  #: all text in which the user may have named a URL

    @classmethod
    def by(cls, task: Task) -> SentSources:
        """Return what a request for *task* sends."""
        sources: tuple[Source, ...] = (*task.images, *((task.mask,) if task.mask else ()))
        return cls(
            urls=frozenset(unquote(source.url) for source in sources if source.url),
            hashes=frozenset(source.sha256 for source in sources if source.sha256),
            text="\n".join([task.prompt, *strings(task.extra)]),
        )

    def has(self, url: str) -> bool:
        """Return whether the request named *url*."""
        plain = unquote(url)
        return plain in self.urls or ("://" in url and (url in self.text or plain in self.text))

    def holds(self, data: bytes) -> bool:
        """Return whether *data* is a source image."""
        return bool(self.hashes) and hashlib.sha256(data).hexdigest() in self.hashes

    def repeats(self, found: FoundImage) -> bool:
        """Return whether *found* is what the request sent."""
        if found.url and self.has(found.url):
            return True
        return bool(self.hashes and found.base64) and self.holds(decode(found.base64 or "") or b"")


def pictures_in(document: Json, sent: SentSources) -> list[FoundImage]:
    """Return the pictures of *document*, without those that stand in the text of a message."""
    return list(_search(document, "", 0, sent))


def holds_place(document: Json) -> bool:
    """Return whether *document* has one of the places for pictures, and nothing in it: a known shape without one."""
    if isinstance(document, list):
        return any(map(holds_place, document[:_WIDTH]))
    if not isinstance(document, Mapping):
        return False
    places = [document[key] for key in _CONTAINERS if key in document]
    return any(value in _EMPTY or _is_blank(value) or holds_place(value) for value in places)


def texts_in(document: Json) -> list[str]:
    """Return the texts of a chat's messages, or of Gemini's candidates."""
    texts: list[str] = []
    for message in _messages(document):
        content = message.get("content")
        parts = content if isinstance(content, list) else [content]
        more = message.get("parts") if "parts" in message else message.get("multi_mod_content")
        for part in [*parts, *(more if isinstance(more, list) else [])]:
            if isinstance(part, Mapping) and isinstance(part.get("parts"), list):
                texts += [inner["text"] for inner in part["parts"] if _has_text(inner)]
            text = part.get("text") if isinstance(part, Mapping) else part
            if isinstance(text, str) and text.strip():
                texts.append(text)
    whole = document.get("output_text") if isinstance(document, Mapping) and not texts else None
    return [whole] if isinstance(whole, str) and whole.strip() else texts


def _messages(document: Json) -> Iterator[Mapping[str, Any]]:
    if isinstance(document, list):
        for part in document[:_WIDTH]:
            yield from _messages(part)
    if not isinstance(document, Mapping):
        return
    for key, inner in (("choices", "message"), ("candidates", "content"), ("output", ""), ("response", "")):
        value = document.get(key)
        if key == "response" and isinstance(value, Mapping):
            yield from _messages(value)
        for choice in value[:_WIDTH] if isinstance(value, list) else []:
            message = choice.get(inner) if inner and isinstance(choice, Mapping) else choice
            if isinstance(message, Mapping):
                yield message
            elif _has_text(choice):  # a completion without messages
                yield {"content": choice["text"]}


def _has_text(part: Json) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("text"), str)


def _search(value: Json, key: str, depth: int, sent: SentSources) -> Iterator[FoundImage]:
    """Yield the pictures below *value*, which stands under *key*: of the first place in an object that has any.

    A source that the answer repeats is no picture: the place after it may hold the result.
    """
    if depth > _DEPTH:
        return
    if isinstance(value, str):
        found = _located(value, address=key in _URL_LISTS)
        if found and not sent.repeats(found):
            yield found
    elif isinstance(value, list):
        for part in value[:_WIDTH]:
            yield from _search(part, key, depth + 1, sent)
    elif isinstance(value, Mapping) and not _is_preview(value):
        own = _own(value, certain=depth > 0)
        if own is None:
            yield from _inside(value, depth, sent)
        elif not sent.repeats(own):
            yield own


def _inside(value: Mapping[str, Any], depth: int, sent: SentSources) -> Iterator[FoundImage]:
    """Yield the pictures in the first place of an object that has any, and only then look into other members."""
    for key in _CONTAINERS:
        inner = value.get(key)
        if inner in _EMPTY or (isinstance(inner, str) and key in ("content", "message")):
            continue  # the text of a message is read as text
        pictures = list(_search(inner, key, depth + 1, sent))
        if pictures:
            yield from pictures
            return
    for key, inner in list(value.items())[:_WIDTH]:
        if key not in _CONTAINERS and not _NOT_RESULTS.search(key):
            pictures = [*_envelope(inner, depth + 1, sent), *_bare(inner, key, depth + 1, sent)]
            if pictures:
                yield from pictures
                return


def _bare(value: Json, key: str, depth: int, sent: SentSources) -> Iterator[FoundImage]:
    """Yield the pictures that an undocumented member holds as text: base64 of an image, addresses in a list of them.

    Some gateways put the answer of another one into a text, as JSON.
    """
    for text in value[:_WIDTH] if isinstance(value, list) else [value]:
        if not isinstance(text, str) or depth > _DEPTH:
            continue
        found = _located(text, address=False)
        if found and (found.base64 or key in _URL_LISTS):
            if not sent.repeats(found):
                yield found
        elif text.lstrip()[:1] in ("{", "["):
            with suppress(Unreadable):
                yield from _inside_text(read(text.encode("utf-8", "replace")), depth + 1, sent)


def _inside_text(document: Json, depth: int, sent: SentSources) -> Iterator[FoundImage]:
    if isinstance(document, Mapping | list):
        yield from _search(document, "", depth, sent)


def _envelope(value: Json, depth: int, sent: SentSources) -> Iterator[FoundImage]:
    """Yield the pictures in an undocumented envelope: there a bare URL may be anything, so places alone count."""
    for part in value[:_WIDTH] if isinstance(value, list) else [value]:
        if depth <= _DEPTH and isinstance(part, Mapping) and not _is_preview(part):
            base64 = _base64(part)
            if base64 is None:
                yield from _inside(part, depth, sent)
            elif not sent.repeats(base64):
                yield base64


def _own(item: Mapping[str, Any], *, certain: bool) -> FoundImage | None:
    """Return the picture that an item of a list holds itself."""
    revised = safe_text(item.get("revised_prompt") or item.get("revisedPrompt"))
    base64 = _base64(item)
    for key in _URL_KEYS:
        text = item.get(key)
        if isinstance(text, str) and (found := _located(text, address=True)):
            link = found.url if base64 else None
            weak = base64 is None or not holds_image(base64.base64 or "")
            chosen = found if base64 is None or (weak and found.base64) else base64
            known = certain or chosen.base64 is not None
            return FoundImage(base64=chosen.base64, url=link or chosen.url, revised_prompt=revised, certain=known)
    return replace(base64, revised_prompt=revised) if base64 else None


def _base64(item: Mapping[str, Any]) -> FoundImage | None:
    for key in _BASE64_KEYS:
        text = item.get(key)
        if isinstance(text, str) and text.strip():
            return _located(text, address=False) or FoundImage(base64=text)
    data = item.get("data")
    if isinstance(data, str) and (holds_image(data) or (data.strip() and _says_image(item))):
        return FoundImage(base64=data)
    return None


def _says_image(item: Mapping[str, Any]) -> bool:
    kinds = (item.get(key) for key in ("mime_type", "mimeType", "media_type", "type"))
    return any(isinstance(kind, str) and kind.lower().startswith("image") for kind in kinds)


def _located(text: str, *, address: bool) -> FoundImage | None:
    """Return the picture that *text* is or leads to; *address*: it stands where a URL belongs."""
    text = text.strip()
    if is_data_url(text) or (len(text) > 64 and holds_image(text)):
        return FoundImage(base64=text)
    if address and text[:8].lower().strip("<").startswith("http"):
        text = text.strip("<>").replace(" ", "%20")
    if len(text) > _URL_MAX or any(mark.isspace() for mark in text):
        return None
    if text[:8].lower().startswith(("https://", "http://")):
        return FoundImage(url=text)
    relative = text.startswith("/") if not address else bool(text) and ":" not in text.partition("/")[0]
    return FoundImage(url=text) if relative and text != "/" else None


def _is_preview(item: Mapping[str, Any]) -> bool:
    """Return whether *item* is a partial image of a stream, or a draft that the model thought of on its way."""
    kind = item.get("type")
    partial = isinstance(kind, str) and "partial" in kind
    return partial or "partial_image_index" in item or item.get("thought") is True


def _is_blank(value: Json) -> bool:
    """Return whether *value* is a list of nulls and of objects of which no member says anything."""
    items = value if isinstance(value, list) else [value]
    return all(
        item is None or (isinstance(item, Mapping) and all(part in _EMPTY for part in item.values())) for item in items
    )


def safe_text(value: Json) -> str | None:
    """Return *value* if it is text with something in it, fit to be written as UTF-8."""
    if not isinstance(value, str) or not value.strip():
        return None
    # a key may have come in pieces that are one text only now
    return redaction.hidden(value, redaction.known()).encode("utf-8", "replace").decode()
