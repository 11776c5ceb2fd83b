"""Cut out of a provider's words what only repeats the request: a prompt about money is no bill.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import unescape
from urllib.parse import unquote

from ..task import Task
from .jsonbody import Json

#: Fields of an error that hold what was sent, so that nothing in them is evidence.
ECHOES = frozenset(
    {"input", "ctx", "param", "params", "parameters", "loc", "request", "request_body", "body", "prompt"}
    | {"negative_prompt", "url", "path", "instance", "flagged_input", "original_request", "payload", "messages"}
    | {"contents"}
)
_RUN = 3  #: as many words in a row as in the request are a repetition
_TEXT_MAX = 200_000  #: characters of the request compared
_WORD = re.compile(r"[^\W_]+")
_ESCAPE = re.compile(r"(?<!\\)\\++(?:u([0-9a-fA-F]{4})|([nrtbf/\"']))")


def without_echoes(value: Json, depth: int = 8) -> Json:
    """Return *value* without the fields that repeat the request."""
    if depth <= 0:
        return None
    if isinstance(value, Mapping):
        return {key: without_echoes(part, depth - 1) for key, part in value.items() if str(key).lower() not in ECHOES}
    return [without_echoes(part, depth - 1) for part in value[:50]] if isinstance(value, list) else value


class RequestEcho:
    """What a request sent, for finding it again in an answer."""

    def __init__(self, task: Task | None) -> None:
        texts = [_folded(unescape_text(text)) for text in _texts(task)] if task else []
        self._runs = {tuple(text[at : at + _RUN]) for text in texts for at in range(len(text) - _RUN + 1)}
        self._joined = " ".join("".join(text) for text in texts)

    def without(self, words: str) -> str:
        """Return *words*, unescaped, without each run of them that the request holds as well."""
        text = unescape_text(words)
        found = list(_WORD.finditer(text))
        cut: set[int] = set()
        for at in range(len(found) - _RUN + 1):
            if tuple(match[0].casefold() for match in found[at : at + _RUN]) in self._runs:
                cut.update(range(at, at + _RUN))
        kept, start = [], 0
        for at in sorted(cut):
            kept.append(text[start : found[at].start()])
            start = found[at].end()
        return " ".join([*kept, text[start:]])

    def search(self, pattern: re.Pattern[str], words: str) -> bool:
        """Tell whether *pattern* is found in *words* in a place that does not repeat the request."""
        return any(
            not self._joined or "".join(_folded(match[0])) not in self._joined for match in pattern.finditer(words)
        )


def _folded(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def unescape_text(text: str) -> str:
    """Return *text* without the escapes of JSON, HTML and URLs."""
    text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else " ", text[:_TEXT_MAX])
    return unquote(unescape(unescape(text)))


def _texts(task: Task) -> Iterator[str]:
    yield task.prompt
    yield task.model
    for source in (*task.images, *((task.mask,) if task.mask else ())):
        yield from (text for text in (source.url, source.path) if text)
    yield from strings(task.extra)


def strings(value: object, depth: int = 6) -> Iterator[str]:
    """Yield every text within *value*, so many levels deep."""
    if isinstance(value, str):
        yield value
    elif depth > 0 and isinstance(value, (Mapping, list, tuple)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from strings(part, depth - 1)
