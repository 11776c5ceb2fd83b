"""Model lists as they were last read from the providers: a private file in the folder of a project's state.

A plan reads it without asking a provider. It holds nothing that cannot be read again, so that a file which is missing
or damaged is an empty one, and a disk that is full is no error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from decimal import InvalidOperation
from pathlib import Path
from typing import Any

import orjson

from ..errors import StoreError
from ..files.atomic import write_atomic
from ..files.output import make_private
from ..providers.catalogue import Catalogue, SeenCatalogue
from ..providers.profile import Profile

FILE = "models.json"

#: By provider.
SeenCatalogues = Mapping[str, SeenCatalogue]


def recall(state: Path) -> SeenCatalogues:
    """Return the lists that were read last, by provider."""
    seen: dict[str, SeenCatalogue] = {}
    for name, document in _documents(state).items():
        with suppress(KeyError, TypeError, ValueError, AttributeError, InvalidOperation):
            seen[name] = SeenCatalogue(
                at=datetime.fromisoformat(document["at"]),
                base_url=str(document["base_url"]),
                catalogue=Catalogue.of_json(document),
            )
    return seen


def remember(
    state: Path, lists: Iterable[tuple[Profile, Catalogue]], now: datetime, *, any_address: bool = False
) -> None:
    """Store lists that were just read; *any_address*: they are those of simulated providers."""
    fresh = {
        profile.name: {
            "at": now.isoformat(),
            "base_url": "" if any_address else profile.base_url,
            **catalogue.as_json(),
        }
        for profile, catalogue in lists
    }
    if not fresh:
        return
    document = {"schema_version": 1, "providers": {**_documents(state), **fresh}}
    with suppress(OSError, StoreError):
        write_atomic(make_private(state) / FILE, orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _documents(state: Path) -> dict[str, Any]:
    try:
        document = orjson.loads((state / FILE).read_bytes())
        return dict(document["providers"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
