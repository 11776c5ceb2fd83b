"""Request echo: removes from an error message whatever repeats the request; a prompt about money is not a bill."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import unescape
from urllib.parse import unquote

from ..task import Task
from .jsonbody import Json

#: Fields of an error that hold what was sent, so that they are not evidence of anything.
ECHOES = frozenset(
    {"input", "ctx", "param", "params", "parameters", "loc", "request", "request_body", "body", "prompt"}
    | {"negative_prompt", "url", "path", "instance", "flagged_input", "original_request", "payload", "messages"}
    | {"contents"}
)
_RUN = 3  #: words in a row that also occur in the request are a repetition
_TEXT_MAX = 200_000  #: characters of the request that are compared
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
    """The words of a request, which are recognized in an answer."""

    def __init__(self, task: Task | None) -> None:
        texts = [_folded(unescape_text(text)) for text in _texts(task)] if task else []
        self._runs = {tuple(text[at : at + _RUN]) for text in texts for at in range(len(text) - _RUN + 1)}
        self._joined = " ".join("".join(text) for text in texts)

    def without(self, words: str) -> str:
        """Return *words*, unescaped, without each run of them that the request holds as well."""
        text = unescape_text(words)
        matches = list(_WORD.finditer(text))
        repeated: set[int] = set()
        for at in range(len(matches) - _RUN + 1):
            if tuple(match[0].casefold() for match in matches[at : at + _RUN]) in self._runs:
                repeated.update(range(at, at + _RUN))
        pieces, start = [], 0
        for at in sorted(repeated):
            pieces.append(text[start : matches[at].start()])
            start = matches[at].end()
        return " ".join([*pieces, text[start:]])

    def search(self, pattern: re.Pattern[str], words: str) -> bool:
        """Return whether *pattern* matches *words* in a place that does not repeat the request."""
        return any(
            not self._joined or "".join(_folded(match[0])) not in self._joined for match in pattern.finditer(words)
        )


def _folded(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def unescape_text(text: str) -> str:
    """Undo the escapes of JSON, HTML and URLs in *text*."""
    text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else " ", text[:_TEXT_MAX])
    return unquote(unescape(unescape(text)))


def _texts(task: Task) -> Iterator[str]:
    yield task.prompt
    yield task.model
    for source in task.sources:
        yield from (text for text in (source.url, source.path) if text)
    yield from strings(task.extra)


def strings(value: object, depth: int = 6) -> Iterator[str]:
    """Yield every text within *value*, up to *depth* levels deep."""
    if isinstance(value, str):
        yield value
    elif depth > 0 and isinstance(value, (Mapping, list, tuple)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from strings(part, depth - 1)
