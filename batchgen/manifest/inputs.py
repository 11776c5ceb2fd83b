"""Inputs of a batch: a digest of everything that decides which jobs a manifest has, and what their check found.

A check of a million rows takes 15 seconds, a digest of their file 0.1. Where the job database was brought up to the
same inputs by its last load, nothing is checked or compared again. A wrong match would leave a changed prompt unmade,
so the digest covers whatever could matter, by content and not by date. Batches whose jobs depend on other files, such
as source images, have no digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import jinja2
import orjson
import pydantic
import yaml

from ..errors import Problem
from ..fingerprint import CURRENT
from ..providers.catalogue import SeenCatalogue
from ..providers.pricing import is_stale
from ..providers.profile import Profile
from .expand import Entry
from .include import ManifestPart
from .lists import BadList

#: Bytes of lists below which a check takes no time.
WORTHWHILE = 64_000

_PACKAGE = Path(__file__).parents[1]
_BEFORE_PROFILES = "/"
_SUFFIXES = (".py", ".yaml", ".json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What the check of a batch found."""

    jobs: int
    warnings: tuple[Problem, ...]
    providers: tuple[str, ...]  #: in the order of first use
    profiles: str  #: digest of these providers' settings, and of what the date makes of them
    files: tuple[str, ...]  #: as the user typed them, which is how warnings name them

    def as_json(self) -> dict[str, Any]:
        """Return the findings as the job database stores them."""
        return asdict(self)

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Findings:
        """Read what ``as_json`` returned."""
        return cls(
            jobs=document["jobs"],
            warnings=tuple(Problem(**problem) for problem in document["warnings"]),
            providers=tuple(document["providers"]),
            profiles=document["profiles"],
            files=tuple(document["files"]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """The inputs of one batch as they were read."""

    digest: str
    findings: Findings
    is_recalled: bool  #: the job database had these inputs, so that the jobs were not checked again
    read_again: Callable[[], str | None]  #: returns the digest of what is on disk now

    @property
    def identity(self) -> str:
        """Return the digest of everything that decides the jobs, providers and date included."""
        return f"{self.digest}{_BEFORE_PROFILES}{self.findings.profiles}"


#: Returns the identity and the facts of the last complete load of a batch, by its name; None if there is none.
Recall = Callable[[str], tuple[str, Mapping[str, Any]] | None]


@dataclass(frozen=True, slots=True)
class InputFiles:
    """The files and settings that a batch is made of."""

    name: str  #: of the batch
    parts: Sequence[ManifestPart]
    entries: Sequence[Entry]
    settings: Mapping[str, Mapping[str, Any]]  #: the providers in ``batchgen.yaml``
    today: date | None
    seen: Mapping[str, SeenCatalogue]  #: the models that providers listed last
    warnings: tuple[Problem, ...]  #: of the manifest itself, without the rows

    def digest(self) -> str | None:
        """Return the digest of all inputs; None where jobs depend on more, or where lists are small."""
        listings = [listing for entry in self.entries for listing in entry.lists]
        try:
            contents = [content for listing in listings if (content := listing.content()) is not None]
        except BadList:  # reported when its rows are read
            return None
        if len(contents) < len(listings) or sum(content.size_bytes for content in contents) < WORTHWHILE:
            return None
        lists = [
            (os.path.abspath(listing.file), content.sha256, _mapping(listing.mapping))  # noqa: PTH100
            for listing, content in zip(listings, contents, strict=True)
        ]
        return _hash(
            {
                "program": _program(),
                "name": self.name,
                "parts": [(str(part.folder / part.file.name), part.digest) for part in self.parts],
                "settings": self.settings,
                "lists": lists,
                "warnings": [asdict(problem) for problem in self.warnings],
            }
        )

    def findings(self, jobs: int, warnings: tuple[Problem, ...], profiles: Mapping[str, Profile]) -> Findings:
        """Return what a check found."""
        settings = self._profiles_digest(profiles.values())
        return Findings(
            jobs=jobs, warnings=warnings, providers=(*profiles,), profiles=settings, files=self._typed_names()
        )

    def recalled(
        self, recall: Recall, digest: str | None, build: Callable[[Iterable[str]], Mapping[str, Profile]]
    ) -> Findings | None:
        """Return the findings of an earlier check of inputs with this *digest*; None if there was none.

        *build* returns the profiles of these providers, as the manifest and the settings configure them now.
        """
        record = None if digest is None else recall(self.name)
        if record is None or record[0].partition(_BEFORE_PROFILES)[0] != digest:
            return None
        findings = Findings.of_json(record[1]["findings"])
        profiles = build(findings.providers)
        is_same = (*profiles,) == findings.providers
        is_same = is_same and self._profiles_digest(profiles.values()) == findings.profiles
        # Warnings name the files as they were typed then.
        is_same = is_same and (not findings.warnings or findings.files == self._typed_names())
        return findings if is_same else None

    def _profiles_digest(self, profiles: Iterable[Profile]) -> str:
        """Return the digest of providers' settings, and of what the date and their lists make of their models."""
        return _hash([(profile.model_dump(mode="json"), list(self._calendar(profile))) for profile in profiles])

    def _calendar(self, profile: Profile) -> Iterator[tuple[object, ...]]:
        """Yield each model, whether it has ended, has old prices, or is missing from the provider's list."""
        if self.today is None:
            return
        seen = self.seen.get(profile.name)
        unlisted = seen.unlisted(profile, self.today) if seen else frozenset[str]()
        for name, model in profile.models.items():
            ended = model.ends is not None and self.today >= date.fromisoformat(model.ends)
            missing = (seen.at.isoformat(),) if seen and name in unlisted else ()
            yield name, ended, is_stale(model.tariff.date, self.today), *missing

    def _typed_names(self) -> tuple[str, ...]:
        lists = dict.fromkeys(listing.file for entry in self.entries for listing in entry.lists)
        return (*(str(part.file) for part in self.parts), *lists)


def _mapping(mapping: Any) -> list[Any]:  # noqa: ANN401 - a ColumnMap
    """Return which column sets what: some are recognised by files that exist."""
    return [sorted(mapping.sources.items()), sorted(mapping.unset), sorted(mapping.guessed)]


@cache
def _program() -> list[Any]:
    """Return what identifies this program: its version and source files, and the libraries that read and render."""
    release = (_PACKAGE / "__init__.py").read_text(encoding="utf-8")  # installers may give all files one date
    files = sorted(_files(str(_PACKAGE)))
    plugins = sorted((point.name, point.value, str(point.dist and point.dist.version)) for point in _plugins())
    libraries = [jinja2.__version__, yaml.__version__, orjson.__version__, pydantic.VERSION, platform.python_version()]
    return [release, CURRENT, files, plugins, libraries, sys.version]


def _plugins() -> Any:  # noqa: ANN401 - entry points
    return entry_points(group="batchgen.dialects")


def _files(folder: str) -> Iterator[tuple[str, int, int]]:
    """Yield the source files below *folder* with their sizes and dates."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            elif entry.name.endswith(_SUFFIXES):
                facts = entry.stat()
                yield entry.path, facts.st_size, facts.st_mtime_ns


def _hash(document: object) -> str:
    # Keys are not sorted: of two models with one alias, the first counts.
    return hashlib.sha256(json.dumps(document, default=repr).encode()).hexdigest()
