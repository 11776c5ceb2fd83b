"""Marks of overrides: how a job's fingerprint holds them. Apart from the rest, so that reports need no manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..fingerprint import OVERRIDDEN

#: The key of a note among overrides.
NOTE = "note"
#: Characters of a prompt that messages show.
_SHOWN = 60

Overrides = Mapping[str, Any]


def describe(overrides: Overrides) -> str:
    """Return overrides as typed, without ``--with``; the beginning of long ones, and no note."""
    return " ".join(f"{key}={_shown(str(value))}" for key, value in overrides.items() if key != NOTE)


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def note_of(fingerprint: str) -> str | None:
    """Return the note in a job's fingerprint."""
    note = overrides_of(fingerprint).get(NOTE)
    return None if note is None else str(note)


def overrides_of(fingerprint: str) -> Overrides:
    """Return the overrides in a job's fingerprint."""
    text = fingerprint.partition(OVERRIDDEN)[2]
    overrides: Overrides = json.loads(text) if text else {}
    return overrides


def without_note(fingerprint: str) -> str:
    """Return a job's fingerprint without its note."""
    declared, _, _ = fingerprint.partition(OVERRIDDEN)
    return mark(declared, {key: value for key, value in overrides_of(fingerprint).items() if key != NOTE})


def mark(declared: str, overrides: Overrides) -> str:
    """Return the fingerprint of what the manifest requests, *declared*, with *overrides*."""
    text = json.dumps(overrides, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return f"{declared}{OVERRIDDEN}{text}" if overrides else declared
