"""Errors that end runs, remembered from run to run, so that an unattended run reports each of them once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..errors import BatchgenError, StoreError
from ..files.atomic import write_atomic
from ..files.output import make_private
from .project import Project

#: The file in the state folder.
NAME = "reported.json"


def is_repeated(project: Project, manifest: Path, error: BatchgenError) -> bool:
    """Return whether the last run of *manifest* ended with the same error, and remember this one."""
    digest = hashlib.sha256(f"{error.exit_code:d} {error}".encode(errors="replace")).hexdigest()
    reported = _read(project)
    if reported.get(str(manifest)) == digest:
        return True
    _write(project, {**reported, str(manifest): digest})
    return False


def forget(project: Project, manifest: Path) -> None:
    """Forget the error of *manifest*: a run of it has got further, so that the same error would be news."""
    reported = _read(project)
    if str(manifest) in reported:
        _write(project, {name: digest for name, digest in reported.items() if name != str(manifest)})


def _read(project: Project) -> Mapping[str, str]:
    try:
        document = json.loads((project.state / NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _write(project: Project, reported: Mapping[str, str]) -> None:
    # An error that cannot be remembered is reported again.
    with suppress(OSError, StoreError):
        make_private(project.state)
        write_atomic(project.state / NAME, json.dumps(reported).encode())
