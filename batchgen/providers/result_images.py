"""Image search: finds the images of an answer, in any place and form in which a gateway may put them.

The documented places come first: a list under ``data`` (OpenAI's images), ``message.images`` or the content of a chat
message, the parts of Gemini's candidates. The others were seen at gateways that vary these formats.
An image that the request sent does not count as a result, and neither does a partial preview.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from .. import redaction
from ..task import Task
from .base64_images import decode, holds_image, is_data_url
from .jsonbody import Json, read_or_none
from .request_echo import strings

# fmt: off
#: Fields that hold images, the most trusted first.
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
#: Fields that hold lists of URLs.
_URL_LISTS = (
    *_URL_KEYS, "urls", "image_urls", "imageUrls", "img_urls", "imgUrls", "file_urls", "fileUrls", "output_urls",
    "outputUrls", "result_urls", "resultUrls", "uris",
)
# fmt: on
_EMPTY: tuple[Json, ...] = (None, "", [], {})

#: Fields in which a gateway repeats the request, or shows something other than a result.
_NOT_RESULTS = re.compile(
    r"request|input|prompt|param|source_|reference|mask|init|original|echo|thumb|preview|partial|logo|avatar|icon"
    r"|example|sample|usage|meta|error|warning|user|model|tool|message_history|docs|help",
    re.IGNORECASE,
)
#: Levels of nesting, and members of one object or list, that are searched.
_DEPTH, _WIDTH = 8, 200
#: Longest URL (characters).
_URL_MAX = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundImage:
    """One image in an answer: base64 text, a URL, or both.

    If it is not ``certain``, the URL may lead to something else, and counts only if an image comes from there.
    """

    base64: str | None = None
    url: str | None = None
    revised_prompt: str | None = None
    certain: bool = True


@dataclass(frozen=True, slots=True)
class SentSources:
    """The source images and texts of a request, by which an echo is distinguished from a result."""

    urls: frozenset[str]  #: URLs of the source images, without percent-encoding
    hashes: frozenset[str]  #: SHA-256 of the source images that are local files
    sizes: frozenset[int | None]  #: of the same images, in bytes; only what has such a size needs to be hashed
    text: str  #: all text in which the user may have written a URL

    @classmethod
    def of(cls, task: Task, addresses: Iterable[str] = ()) -> SentSources:
        """Return what a request for *task* sends; source images that were uploaded have *addresses*."""
        sources = task.sources
        return cls(
            urls=frozenset(unquote(url) for url in (*(source.url for source in sources), *addresses) if url),
            hashes=frozenset(source.sha256 for source in sources if source.sha256),
            sizes=frozenset(source.size_bytes for source in sources if source.sha256),
            text="\n".join([task.prompt, *strings(task.extra)]),
        )

    def has(self, url: str) -> bool:
        """Return whether the request contains *url*."""
        plain = unquote(url)
        return plain in self.urls or ("://" in url and (url in self.text or plain in self.text))

    def holds(self, data: bytes) -> bool:
        """Return whether *data* is a source image."""
        possible = len(data) in self.sizes or None in self.sizes
        return possible and hashlib.sha256(data).hexdigest() in self.hashes

    def is_echo(self, image: FoundImage) -> bool:
        """Return whether *image* is one that the request sent."""
        if image.url and self.has(image.url):
            return True
        return bool(self.hashes and image.base64) and self.holds(decode(image.base64 or "") or b"")


def pictures_in(document: Json, sent: SentSources) -> list[FoundImage]:
    """Return the images of *document*, except those in the text of a message."""
    return list(_search(document, "", 0, sent))


def has_empty_container(document: Json) -> bool:
    """Return whether *document* has a field for images with nothing in it: a known format without an image."""
    if isinstance(document, list):
        return any(map(has_empty_container, document[:_WIDTH]))
    if not isinstance(document, Mapping):
        return False
    values = [document[key] for key in _CONTAINERS if key in document]
    return any(value in _EMPTY or _is_blank(value) or has_empty_container(value) for value in values)


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
    """Yield the images below *value*, the value of *key*: of an object, those of the first field that has any.

    An echo of a source image does not count: the next field may hold the result.
    """
    if depth > _DEPTH:
        return
    if isinstance(value, str):
        image = _image_in(value, is_url=key in _URL_LISTS)
        if image and not sent.is_echo(image):
            yield image
    elif isinstance(value, list):
        for part in value[:_WIDTH]:
            yield from _search(part, key, depth + 1, sent)
    elif isinstance(value, Mapping) and not _is_preview(value):
        image = _item_image(value, certain=depth > 0)
        if image is None:
            yield from _search_fields(value, depth, sent)
        elif not sent.is_echo(image):
            yield image


def _search_fields(value: Mapping[str, Any], depth: int, sent: SentSources) -> Iterator[FoundImage]:
    """Yield the images in the first field of an object that has any; undocumented fields come last."""
    for key in _CONTAINERS:
        inner = value.get(key)
        if inner in _EMPTY or (isinstance(inner, str) and key in ("content", "message")):
            continue  # The text of a message is searched by text_links.
        images = list(_search(inner, key, depth + 1, sent))
        if images:
            yield from images
            return
    for key, inner in list(value.items())[:_WIDTH]:
        if key not in _CONTAINERS and not _NOT_RESULTS.search(key):
            images = [*_search_envelope(inner, depth + 1, sent), *_search_text(inner, key, depth + 1, sent)]
            if images:
                yield from images
                return


def _search_text(value: Json, key: str, depth: int, sent: SentSources) -> Iterator[FoundImage]:
    """Yield the images that an undocumented field holds as text: base64, or URLs in a list of them.

    Some gateways put the answer of another provider into a text, as JSON.
    """
    for text in value[:_WIDTH] if isinstance(value, list) else [value]:
        if not isinstance(text, str) or depth > _DEPTH:
            continue
        image = _image_in(text, is_url=False)
        if image and (image.base64 or key in _URL_LISTS):
            if not sent.is_echo(image):
                yield image
        elif text.lstrip()[:1] in ("{", "["):
            document = read_or_none(text.encode("utf-8", "replace"))
            if isinstance(document, Mapping | list):
                yield from _search(document, "", depth + 1, sent)


def _search_envelope(value: Json, depth: int, sent: SentSources) -> Iterator[FoundImage]:
    """Yield the images in an undocumented envelope. A bare URL may be anything there, so only known fields count."""
    for part in value[:_WIDTH] if isinstance(value, list) else [value]:
        if depth <= _DEPTH and isinstance(part, Mapping) and not _is_preview(part):
            image = _base64_image(part)
            if image is None:
                yield from _search_fields(part, depth, sent)
            elif not sent.is_echo(image):
                yield image


def _item_image(item: Mapping[str, Any], *, certain: bool) -> FoundImage | None:
    """Return the image that an item of a list holds itself."""
    revised = safe_text(item.get("revised_prompt") or item.get("revisedPrompt"))
    base64 = _base64_image(item)
    for key in _URL_KEYS:
        text = item.get(key)
        if isinstance(text, str) and (linked := _image_in(text, is_url=True)):
            doubtful = base64 is None or not holds_image(base64.base64 or "")
            chosen = linked if base64 is None or (doubtful and linked.base64) else base64
            url = (linked.url if base64 else None) or chosen.url
            sure = certain or chosen.base64 is not None
            return FoundImage(base64=chosen.base64, url=url, revised_prompt=revised, certain=sure)
    return replace(base64, revised_prompt=revised) if base64 else None


def _base64_image(item: Mapping[str, Any]) -> FoundImage | None:
    for key in _BASE64_KEYS:
        text = item.get(key)
        if isinstance(text, str) and text.strip():
            return _image_in(text, is_url=False) or FoundImage(base64=text)
    data = item.get("data")
    if isinstance(data, str) and (holds_image(data) or (data.strip() and _has_image_type(item))):
        return FoundImage(base64=data)
    return None


def _has_image_type(item: Mapping[str, Any]) -> bool:
    kinds = (item.get(key) for key in ("mime_type", "mimeType", "media_type", "type"))
    return any(isinstance(kind, str) and kind.lower().startswith("image") for kind in kinds)


def _image_in(text: str, *, is_url: bool) -> FoundImage | None:
    """Return the image that *text* holds or links to; *is_url*: the text comes from a field for URLs."""
    text = text.strip()
    if is_data_url(text) or (len(text) > 64 and holds_image(text)):
        return FoundImage(base64=text)
    if is_url and text[:8].lower().strip("<").startswith("http"):
        text = text.strip("<>").replace(" ", "%20")
    if len(text) > _URL_MAX or any(mark.isspace() for mark in text):
        return None
    if text[:8].lower().startswith(("https://", "http://")):
        return FoundImage(url=text)
    relative = bool(text) and ":" not in text.partition("/")[0] if is_url else text.startswith("/")
    return FoundImage(url=text) if relative and text != "/" else None


def _is_preview(item: Mapping[str, Any]) -> bool:
    """Return whether *item* is a partial image of a stream, or a draft from the model's reasoning."""
    kind = item.get("type")
    partial = isinstance(kind, str) and "partial" in kind
    return partial or "partial_image_index" in item or item.get("thought") is True


def _is_blank(value: Json) -> bool:
    """Return whether *value* consists only of nulls and of objects without content."""
    items = value if isinstance(value, list) else [value]
    return all(
        item is None or (isinstance(item, Mapping) and all(part in _EMPTY for part in item.values())) for item in items
    )


def safe_text(value: Json) -> str | None:
    """Return *value* if it is non-empty text, without keys and fit to be written as UTF-8."""
    if not isinstance(value, str) or not value.strip():
        return None
    # A key may have arrived in pieces that form one text only now.
    return redaction.hidden(value, redaction.known()).encode("utf-8", "replace").decode()
