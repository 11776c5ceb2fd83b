"""The JSON beside a delivered file: what was asked, what came, what it cost.  A value made of values; no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import PurePath

from ..job import Attempt
from ..money import show_credits, show_usd
from ..task import Artifact, Charge, Picture, Source, Usage


def describe(
    attempt: Attempt, artifact: Artifact, picture: Picture, usage: Usage, cost: Charge, *, rehearsal: bool = False
) -> bytes:
    """Return the sidecar of one file, as UTF-8 JSON.  It holds enough to rebuild a job table's row from.

    That of a *rehearsal* says so: with ``--out`` it may lie where real images do.
    """
    said = asdict(replace(attempt.task, images=(), mask=None))
    asked = {name: value for name, value in said.items() if value not in (None, (), {})}  # a seed of 0 was said
    if attempt.task.images:
        asked["images"] = [_name(source) for source in attempt.task.images]
    if attempt.task.mask:
        asked["mask"] = _name(attempt.task.mask)
    document: Mapping[str, object] = {
        "schema_version": 1,
        **({"sandbox": True} if rehearsal else {}),
        "batch": attempt.batch,
        "id": attempt.key,
        "attempt": attempt.id,
        "fingerprint": attempt.fingerprint,
        "asked": asked,
        "revised_prompt": picture.revised_prompt,
        "file": {
            "ordinal": artifact.ordinal,
            "sha256": artifact.sha256,
            "bytes": artifact.size_bytes,
            "width": artifact.width,
            "height": artifact.height,
            "mime": artifact.mime,
        },
        "usage": {name: value for name, value in asdict(usage).items() if value is not None},
        "cost": {"usd": show_usd(cost.usd), "credits": show_credits(cost.credits), "basis": cost.basis.value},
    }
    return json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n"


def _name(source: Source) -> str:
    # the bare name: a sidecar travels with its image and should not tell how a disk is laid out
    return source.url or PurePath(source.path or "").name
