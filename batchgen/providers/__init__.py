"""Providers: what each one takes (presets), and how it is spoken to (dialects)."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from ..errors import SettingsError, suggest
from .base import Dialect

#: Entry point group by which a package adds a dialect: a class without arguments, or an instance.
ENTRY_POINTS = "batchgen.dialects"

_BUILT_IN = ("openai_images", "gptimageapi", "gemini_chat")


@cache
def dialect_names() -> tuple[str, ...]:
    """Return the names of all dialects, the built-in ones first."""
    added = (point.name for point in entry_points(group=ENTRY_POINTS))
    return tuple(dict.fromkeys((*_BUILT_IN, *added)))


@cache
def dialect(name: str) -> Dialect:
    """Return the dialect of that name; raise SettingsError where there is none or it cannot be loaded."""
    if name in _BUILT_IN:
        return _built_in(name)
    points = tuple(entry_points(group=ENTRY_POINTS, name=name))
    if not points:
        raise SettingsError(f"there is no dialect {name!r}; {suggest(name, dialect_names())}")
    try:
        loaded = points[0].load()
        speaker: Dialect = loaded() if isinstance(loaded, type) else loaded
    except Exception as error:  # foreign code may raise anything; the user must learn whose it is
        raise SettingsError(f"dialect {name!r} ({points[0].value}) cannot be loaded: {error}") from error
    if not callable(getattr(speaker, "converse", None)):
        raise SettingsError(f"dialect {name!r} ({points[0].value}) has no converse()")
    return speaker


def _built_in(name: str) -> Dialect:
    if name == "gptimageapi":
        from .gptimageapi import GptImageApi

        return GptImageApi()
    if name == "gemini_chat":
        from .gemini_chat import GeminiChat

        return GeminiChat()
    from .openai_images import OpenAIImages

    return OpenAIImages()
