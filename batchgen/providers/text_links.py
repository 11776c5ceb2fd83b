"""Images in the text of a chat message: Markdown, HTML, data URLs, bare links, JSON within the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape

from .base64_images import holds_image, images_in, is_strict
from .jsonbody import read_or_none
from .result_images import FoundImage, SentSources, pictures_in

#: Longest text that is searched for links (characters, without base64), and how many links are followed.
_TEXT_MAX, _LINKS_MAX = 200_000, 4

#: A text of at most this many characters is not an image in base64.
_SHORT = 64

# Possessive, so that a hostile answer of megabytes costs no more than one pass.
_DATA = r"data:image/[a-z0-9.+-]{1,40}+(?:;[^,;\s\"')]{1,60}+){0,4}+,\s{0,9}+"
#: The last line may be short.
_LAST = r"(?:\r?\n[A-Za-z0-9+/_%-]++(?==|\s*(?:\Z|[)\"'>\]`])))?"
_BASE64 = r"[A-Za-z0-9+/_%-]++(?:\r?\n[A-Za-z0-9+/_%-]{16,}+)*+" + _LAST + "={0,2}+"
_DATA_URL = re.compile(_DATA + _BASE64, re.IGNORECASE)
_DATA_HEAD = re.compile(_DATA, re.IGNORECASE)
#: What precedes the base64 of a data URL, what may follow it in a text, and the most characters before it.
_MARKER, _ENDS, _HEAD_MAX = "base64,", ")\"'>] ", 300
#: Characters of base64 from which a data URL is large.
_LARGE = 64 * 1024
_TARGET = r"\s{0,9}+<?(https?://[^\s)>\"']++|/[^\s)>\"']++|\ue000\d++\ue000)>?[^)]{0,300}+\)"
_MARKDOWN = re.compile(r"!\[[^\]]{0,300}+\]\(" + _TARGET, re.IGNORECASE)
_LINK = re.compile(r"(?<!!)\[[^\]]{0,300}+\]\(" + _TARGET, re.IGNORECASE)
_HTML = re.compile(
    r"<img\b[^>]{0,600}?\bsrc\s{0,9}+=\s{0,9}+[\"']?(https?://[^\s>\"']++|/[^\s>\"']++|\ue000\d++\ue000)[^>]{0,600}+>",
    re.IGNORECASE,
)
_BARE = re.compile(r"https?://[^\s<>\"'`)\]]++", re.IGNORECASE)
_FENCE = re.compile(r"\s*```[a-z]{0,10}\s*|\s*```\s*\Z", re.IGNORECASE)


def pictures_in_text(text: str, sent: SentSources) -> tuple[list[FoundImage], str]:
    """Return the images of a text, and the text without them."""
    if images := _images_in_json(text, sent):
        return images, ""
    if len(text) > _SHORT and holds_image(text):  # nothing but base64, in lines perhaps
        return [FoundImage(base64=text)], ""
    data_urls: list[str] = []

    def mark(url: str) -> str:
        data_urls.append(url)
        return f"\ue000{len(data_urls) - 1}\ue000"

    pieces = _long_data_urls(text.replace("\ue000", ""))
    short = "".join(mark(piece) if is_url else _cut_data_urls(piece, mark) for is_url, piece in pieces)[:_TEXT_MAX]
    embedded = [url for url in (*_targets(_MARKDOWN, short), *_targets(_HTML, short)) if not sent.has(url)]
    rest = re.sub(r"\ue000\d+\ue000", "", _HTML.sub("", _MARKDOWN.sub("", short))).strip()
    if data_urls:
        return [FoundImage(base64=data) for data in data_urls], rest
    if embedded:
        return [FoundImage(url=url) for url in dict.fromkeys(embedded)], rest
    if base64_images := images_in(text):
        return [FoundImage(base64=data) for data in base64_images], ""
    links = [url.rstrip(".,;:!?*_") for url in (*_targets(_LINK, rest), *_BARE.findall(rest))]
    candidates = [FoundImage(url=url, certain=False) for url in dict.fromkeys(links) if not sent.has(url)]
    return candidates[:_LINKS_MAX], rest


def _cut_data_urls(text: str, mark: Callable[[str], str]) -> str:
    return _DATA_URL.sub(lambda match: mark(match[0]), text)


def _long_data_urls(text: str) -> Iterator[tuple[bool, str]]:
    """Yield the pieces of *text*, and for each whether it is the data URL of a large image in one line.

    They are found by their ends and checked by decoding: 1 ms for an image of 2.6 MB, where a pattern that looks at
    each character takes 30.
    """
    done = start = 0
    while (start := text.find(_MARKER, start)) >= 0:
        start += len(_MARKER)
        ends = [text.find(mark, start) for mark in _ENDS]
        end = min((position for position in ends if position >= 0), default=len(text))
        if end - start < _LARGE:
            continue
        head = text.rfind("data:image/", max(done, start - _HEAD_MAX), start)
        if head >= 0 and _DATA_HEAD.fullmatch(text, head, start) and is_strict(text[start:end]):
            yield False, text[done:head]
            yield True, text[head:end]
            done = start = end
    yield False, text[done:]


def _targets(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for target in pattern.findall(text):
        if "\ue000" not in target:
            yield unescape(target)


def _images_in_json(text: str, sent: SentSources) -> list[FoundImage]:
    """Return the images of a message whose whole text is a JSON document."""
    beginning = _FENCE.sub("", text[:20])
    document = beginning + text[20:] if beginning[:1] in ("{", "[") else ""
    if not document:
        return []
    return pictures_in(read_or_none(document.encode("utf-8", "replace")), sent)
