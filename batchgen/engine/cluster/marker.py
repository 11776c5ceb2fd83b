"""Markers: small files in the output folder, which state that an attempt was delivered and how.

A worker writes the marker after the images. If the worker and its spool are lost before the driver has booked the
outcome, the marker still settles it. So does a run whose spool could not store the answer, because the images may be on
another disk. The marker is removed after the settlement.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ...errors import StoreError
from ...files.output_tree import output_tree
from ...job import Delivered
from ...object_url import parse_folder

if TYPE_CHECKING:
    from pydantic import TypeAdapter

#: The folder of the markers, in the output folder.
FOLDER = ".batchgen/attempts"


def write(folder: str, attempt_id: str, outcome: Delivered) -> None:
    """Write the marker of a delivered attempt; raise StoreError."""
    output_tree(parse_folder(folder)).publish(_name(attempt_id), _adapter().dump_json(outcome))


def read(folder: str, attempt_id: str) -> Delivered | None:
    """Return the outcome in an attempt's marker; None if there is no readable one."""
    try:
        return _adapter().validate_json(output_tree(parse_folder(folder)).file(_name(attempt_id)).read())
    except (OSError, StoreError, ValueError):
        return None


def remove(folder: str, attempt_id: str) -> None:
    """Remove an attempt's marker, if there is one."""
    with suppress(OSError, StoreError):
        output_tree(parse_folder(folder)).remove(_name(attempt_id))


def _name(attempt_id: str) -> str:
    return f"{FOLDER}/{attempt_id}.json"


def _adapter() -> TypeAdapter[Delivered]:
    global _cached  # noqa: PLW0603 - building it takes longer than all its uses
    if _cached is None:
        from pydantic import TypeAdapter

        _cached = TypeAdapter(Delivered)
    return _cached


_cached: TypeAdapter[Delivered] | None = None
