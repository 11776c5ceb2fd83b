"""What an error repeats of the request is no evidence of anything: it is cut out before words are searched.  Pure.

A prompt about "insufficient funds" that comes back in a 422 must not look like an account without money.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from typing import Any

from ..task import Task

#: Keys under which validators repeat what they were given, or where it stood.
ECHO_KEYS = frozenset(
    (
        "input", "ctx", "loc", "param", "params", "prompt", "negative_prompt", "request", "body", "payload",
        "received",
    )
)  # fmt: skip

#: So many words in a row, in the order of the request, are a repetition.
_RUN = 3
#: Longest text of a request that is looked at (characters).
_TEXT_MAX = 100_000
_WORD = re.compile(r"[A-Za-z0-9_]+|\w")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\([nrt\"'/\\])")


def without_echo(words: str, task: Task | None) -> str:
    """Return *words* without the runs of them that *task* has too, however they were escaped, cut or spaced."""
    if task is None or not words:
        return words
    words = _ESCAPE.sub(_plain, unescape(words))
    spans = [match.span() for match in _WORD.finditer(words)]
    tokens = [words[start:end].casefold() for start, end in spans]
    repeated: set[int] = set()
    for text in texts(task):
        sent = [match[0].casefold() for match in _WORD.finditer(text[:_TEXT_MAX])]
        repeated.update(_runs(tokens, sent))
    return _cut(words, spans, repeated)


def without_echo_keys(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a JSON value without the members in which validators repeat what they were given."""
    if isinstance(value, Mapping):
        return {key: without_echo_keys(part) for key, part in value.items() if str(key).lower() not in ECHO_KEYS}
    if isinstance(value, list):
        return [without_echo_keys(part) for part in value[:100]]
    return value


def texts(task: Task) -> Iterator[str]:
    """Yield all text that a request for *task* takes from the user."""
    yield task.prompt
    yield from (source.url for source in task.images if source.url)
    yield from _strings(task.extra)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)


def _runs(tokens: Sequence[str], sent: Sequence[str]) -> Iterator[int]:
    """Yield the places of *tokens* that are part of a run that *sent* has as well."""
    size = min(_RUN, len(sent))
    if not size:
        return
    known = {tuple(sent[start : start + size]) for start in range(len(sent) - size + 1)}
    for start in range(len(tokens) - size + 1):
        if tuple(tokens[start : start + size]) in known:
            yield from range(start, start + size)


def _cut(words: str, spans: Sequence[tuple[int, int]], repeated: set[int]) -> str:
    pieces: list[str] = []
    end = 0
    for number, (start, stop) in enumerate(spans):
        if number in repeated:
            pieces.append(words[end:start])
            end = stop
    return "".join([*pieces, words[end:]])


def _plain(match: re.Match[str]) -> str:
    if match[1]:
        return chr(int(match[1], 16))
    return {"n": "\n", "r": "\n", "t": " "}.get(match[2], match[2])
