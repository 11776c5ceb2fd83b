"""Providers: presets (address, models, limits, prices) and dialects (wire formats). No I/O, no clock."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from ..errors import SettingsError, suggest
from .base import Dialect

if TYPE_CHECKING:
    from .base import Call, Request
    from .batch_base import BatchDialect
    from .model import Model
    from .profile import Profile

#: The entry point group through which a package adds a dialect: a class without arguments, or an instance.
ENTRY_POINTS = "batchgen.dialects"

#: Batches by the dialect of one call; both send the same bodies.
_BATCHES = {"openai_images": ("openai_batch", "OpenAIBatch"), "gemini": ("gemini_batch", "GeminiBatch")}

_BUILT_IN = {
    "openai_images": "OpenAIImages",
    "gptimageapi": "GptImageApi",
    "gemini_chat": "GeminiChat",
    "gemini": "Gemini",
    "openrouter_images": "OpenRouterImages",
    "task": "RemoteTask",
}


@cache
def dialect_names() -> tuple[str, ...]:
    """Return the names of all dialects, the built-in ones first."""
    added = (point.name for point in entry_points(group=ENTRY_POINTS))
    return tuple(dict.fromkeys((*_BUILT_IN, *added)))


@cache
def dialect(name: str) -> Dialect:
    """Return the dialect of that name; raise SettingsError if there is none or it cannot be loaded."""
    if name in _BUILT_IN:
        # Imported on demand, since every command imports this package.
        built_in: Dialect = getattr(import_module(f".{name}", __package__), _BUILT_IN[name])()
        return built_in
    points = tuple(entry_points(group=ENTRY_POINTS, name=name))
    if not points:
        raise SettingsError(f"there is no dialect {name!r}; {suggest(name, dialect_names())}")
    try:
        loaded = points[0].load()
        custom: Dialect = loaded() if isinstance(loaded, type) else loaded
    except Exception as error:  # foreign code may raise anything; the message names the package
        raise SettingsError(f"dialect {name!r} ({points[0].value}) cannot be loaded: {error}") from error
    if not callable(getattr(custom, "converse", None)):
        raise SettingsError(f"dialect {name!r} ({points[0].value}) has no converse()")
    return custom


def batches_of(profile: Profile, model: Model) -> BatchDialect | None:
    """Return how batches of a model are bought; None if the provider has none, or not in a known format."""
    name = model.dialect or profile.dialect
    if name not in _BATCHES or "batches" not in profile.paths:
        return None
    module, title = _BATCHES[name]
    batches: BatchDialect = getattr(import_module(f".{module}", __package__), title)()
    return batches


def starts_tasks(profile: Profile | None, model: str) -> bool:
    """Return whether a call to a model starts a remote task, which is then polled."""
    if profile is None or model not in profile.models:
        return False
    return bool(getattr(dialect(profile.models[model].dialect or profile.dialect), "remembers", False))


def cancellation(request: Request) -> Call | None:
    """Return the call that asks the provider to cancel the task of ``request.handle``; None if it offers none."""
    make = getattr(dialect(request.model.dialect or request.profile.dialect), "cancellation", None)
    return None if make is None else make(request)
