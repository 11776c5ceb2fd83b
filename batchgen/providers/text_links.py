"""Images in the text of a chat message: Markdown, HTML, data URLs, bare links, JSON within the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

from .base64_images import holds_image, images_in
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

    def cut(match: re.Match[str]) -> str:
        data_urls.append(match[0])
        return f"\ue000{len(data_urls) - 1}\ue000"

    short = _DATA_URL.sub(cut, text.replace("\ue000", ""))[:_TEXT_MAX]
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


def _targets(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for target in pattern.findall(text):
        if "\ue000" not in target:
            yield unescape(target)


def _images_in_json(text: str, sent: SentSources) -> list[FoundImage]:
    """Return the images of a message whose whole text is a JSON document."""
    document = _FENCE.sub("", text[:20]) + text[20:]
    if document[:1] not in ("{", "["):
        return []
    return pictures_in(read_or_none(document.encode("utf-8", "replace")), sent)
