"""Findings of an examination, and the bounds from which on a run would meet trouble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Free bytes below which a run would soon stop, and below which it might.
NO_ROOM, LITTLE_ROOM = 100_000_000, 2_000_000_000
#: Seconds of clock skew that are fine, and beyond which certificates and signatures fail.
FEW_SECONDS, MANY_SECONDS = 5, 300

Verdict = Literal["ok", "note", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. ``note``: worth knowing; ``bad``: a run would end with ``code``."""

    about: str
    says: str
    verdict: Verdict = "ok"
    code: int = 0
