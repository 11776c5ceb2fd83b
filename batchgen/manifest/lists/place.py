"""Places of lists: a file or a folder on this machine, or an object or a prefix in a store; and their formats."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from ...errors import StoreError
from ...files.naming import joined, without_scheme
from ...files.object_catalog import ObjectCatalog
from ...object_url import ObjectUrl, is_object_url, require_unsigned
from .kinds import CONVERTIBLE, SUFFIXES
from .locating import locate
from .rows import BadList
from .text import ListFile

_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "txt",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}
_ADVICE = {
    ".json": "write one object on each line and name it .jsonl",
    ".yaml": "`include` takes other manifests",
    ".yml": "`include` takes other manifests",
    ".xls": "save it as .xlsx or CSV UTF-8",
    ".xlsb": "save it as .xlsx or CSV UTF-8",
    ".ods": "save it as .xlsx or CSV in UTF-8",
    ".numbers": "export it as .xlsx or CSV in UTF-8",
    ".gz": "unpack it first",
    ".zip": "unpack it first",
    **dict.fromkeys(SUFFIXES | CONVERTIBLE.keys(), "name a single image under `images`, or its folder here"),
}


class Place(NamedTuple):
    """The place of one list."""

    name: str  #: as the manifest names it, or as it is on the disk
    file: str  #: as the user would type it
    path: str  #: of the file on this machine; empty for a prefix in an object store
    format: str
    url: ObjectUrl | None = None  #: of a list in an object store

    @classmethod
    def of(cls, name: str, folder: Path, format_: str | None, objects: ObjectCatalog) -> Self:
        """Return the place that *name* refers to, relative to *folder*; raise BadList if there is none."""
        if is_object_url(name):
            return cls._in_store(name, format_, objects)
        name = locate(without_scheme(name), folder)
        file = joined(folder, name)
        return cls(name, file, file, format_ or _format(name, file))

    @classmethod
    def _in_store(cls, name: str, format_: str | None, objects: ObjectCatalog) -> Self:
        """Return the place of a list in an object store, which is fetched; raise BadList."""
        try:
            require_unsigned(name)
            url = ObjectUrl.parse(name)
        except ValueError as error:
            raise BadList(f"the address of the list cannot be used: {error}") from None
        with store_errors():
            chosen = format_ or _format_in_store(name, url, objects)
            if chosen == "folder":
                return cls(name, str(url), "", chosen, url)
            path = objects.fetch(url)
            if path is None:
                guess = objects.similar(url)
                hint = f"; did you mean {guess!r}?" if guess else ""
                raise BadList(f"{url}: there is no such object{hint}")
            return cls(name, str(url), str(path), chosen, url)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn an error of an object store into a BadList."""
    try:
        yield
    except StoreError as error:
        raise BadList(str(error)) from error


def _format_in_store(name: str, url: ObjectUrl, objects: ObjectCatalog) -> str:
    """Derive the format of a list in an object store from its name, then from what has that name."""
    suffix = url.suffix.lower()
    if name.endswith("/") or url == url.root:
        return "folder"
    if glob.has_magic(name):
        if suffix in _FORMATS:
            raise BadList(f"{url}: a pattern matches only images; name each {suffix} file")
        return "folder"
    if suffix in _FORMATS:
        return _FORMATS[suffix]
    if objects.find(url) is None:
        return "folder"
    hint = _ADVICE.get(suffix, "set `format: csv` or whatever it is")
    raise BadList(f"{url} is not a csv, tsv, xlsx, jsonl or txt file ({hint})")


def _format(name: str, file: str) -> str:
    """Derive the format from what *name* refers to, then from its suffix."""
    if not name:
        raise BadList("the name of the list is empty")
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if os.path.isdir(file):  # noqa: PTH112
        return "folder"
    exists = os.path.lexists(file)
    if glob.has_magic(name) and not exists:
        if suffix in _FORMATS:
            raise BadList(f"{file}: a pattern matches only images; name each {suffix} file")
        return "folder"
    if suffix in _FORMATS:
        return _FORMATS[suffix]
    if not exists or not os.path.isfile(file):  # noqa: PTH113
        ListFile(file).probe()
    hint = _ADVICE.get(suffix, "set `format: csv` or whatever it is")
    raise BadList(f"{file} is not a csv, tsv, xlsx, jsonl or txt file ({hint})")
