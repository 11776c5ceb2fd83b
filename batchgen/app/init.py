"""Creates a project: an example that runs at once, and the JSON Schema for editors."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import StoreError
from ..files.output import make_private
from ..manifest.schema import schema as manifest_schema
from ..providers.presets import home_address, preset_names
from .config import keys
from .config.providers import display_profile
from .project import STATE

_EXAMPLES = files(__package__.partition(".")[0]) / "examples"


@dataclass(frozen=True, kw_only=True, slots=True)
class NewProject:
    """The files of a new project, relative to its folder."""

    folder: Path
    manifest: PurePosixPath
    provider: str  #: of the example
    key_variable: str  #: the variable of its API key
    with_key: tuple[str, ...]  #: the providers whose key is set
    written: tuple[PurePosixPath, ...]
    left: tuple[PurePosixPath, ...]  #: existing files, left unchanged


def schema() -> dict[str, Any]:
    """Return the JSON Schema of manifests."""
    return manifest_schema()


def init(folder: Path, example: str, *, force: bool = False) -> NewProject:
    """Write a project with an example (generate, edit or catalog) into *folder*, which is created if needed.

    Existing files stay unless *force* is set. Raises StoreError if the disk refuses.
    """
    written: list[PurePosixPath] = []
    left: list[PurePosixPath] = []
    try:
        make_private(folder / STATE)
        for name, data in _project(example):
            done = written if _write(folder / name, data, force=force) else left
            done.append(name)
    except OSError as error:
        raise StoreError(f"cannot write {error.filename or folder}: {error.strerror}") from error
    provider = _provider(example)
    return NewProject(
        folder=folder,
        manifest=PurePosixPath(f"jobs/{example}.yaml"),
        provider=provider,
        key_variable=display_profile(provider, {}).api_key_env[0],
        with_key=tuple(name for name in preset_names() if _has_key(name)),
        written=tuple(written),
        left=tuple(left),
    )


def _has_key(provider: str) -> bool:
    """Return whether a provider needs nothing else: its key is set, and its address is known."""
    has_address = bool(home_address(provider)[0])
    return has_address and bool(keys.configured_names(display_profile(provider, {}).api_key_env, os.environ))


def _provider(example: str) -> str:
    """Return the provider that the manifest of an example names."""
    text = (_EXAMPLES / example / f"{example}.yaml").read_text(encoding="utf-8")
    match = re.search(r"(?m)^\s*provider: (\w+)", text)
    assert match is not None  # noqa: S101 - every example names one
    return match[1]


def _project(example: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield name and content of every file of a new project."""
    yield from _under(_EXAMPLES / example, PurePosixPath("jobs"))
    yield PurePosixPath("batchgen.yaml"), (_EXAMPLES / "batchgen.yaml").read_bytes()
    yield PurePosixPath(".gitignore"), (_EXAMPLES / "gitignore").read_bytes()
    text = json.dumps(schema(), ensure_ascii=False, indent=1)
    yield PurePosixPath(STATE, "schema.json"), f"{text}\n".encode()


def _under(folder: Traversable, name: PurePosixPath) -> Iterator[tuple[PurePosixPath, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name)):
        if entry.is_dir():
            yield from _under(entry, name / entry.name)
        else:
            yield name / entry.name, entry.read_bytes()


def _write(path: Path, data: bytes, *, force: bool) -> bool:
    """Write a file; return False if an existing one stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if force and not path.is_symlink():
        path.unlink(missing_ok=True)
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        return False
    return True
