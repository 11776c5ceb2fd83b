"""The address of a place in an object store, such as ``s3://bucket/prefix``; it reads like a path. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

#: The schemes of object stores, each with the kind of store that it means.
SCHEMES = {"s3": "Amazon S3 or a compatible store", "gs": "Google Cloud Storage", "az": "Azure Blob Storage"}

_MARK = "://"
_QUERY = re.compile(r"\?[\w.-]+=")
#: The path of a whole bucket.
_WHOLE = PurePosixPath()


@dataclass(frozen=True, slots=True)
class ObjectUrl:
    """The address of an object, or of all objects below a prefix."""

    scheme: str
    bucket: str  #: the container, in Azure's words
    path: PurePosixPath = _WHOLE  #: name of the object, or prefix; relative

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address that *text* states; raise ValueError with a reason for anything else."""
        scheme, mark, rest = text.partition(_MARK)
        if not mark or scheme not in SCHEMES:
            raise ValueError(f"an object store's address starts with one of {', '.join(f'{s}://' for s in SCHEMES)}")
        bucket, _, path = rest.partition("/")
        if "@" in bucket or ":" in bucket:
            raise ValueError("credentials and ports do not belong in the address; they come from the environment")
        if not bucket or bucket != bucket.strip():
            raise ValueError(f"it names no {'container' if scheme == 'az' else 'bucket'}: {scheme}://NAME/prefix")
        if not text.isprintable():
            raise ValueError("it contains a control character")
        parts = path.split("/")
        if ".." in parts or "." in parts:
            raise ValueError("it has . or .. in it")
        return cls(scheme, bucket, PurePosixPath(*parts))

    def __str__(self) -> str:
        tail = "" if self.path == _WHOLE else f"/{self.path}"
        return f"{self.scheme}{_MARK}{self.bucket}{tail}"

    def __truediv__(self, name: str | PurePosixPath) -> ObjectUrl:
        return ObjectUrl(self.scheme, self.bucket, self.path / str(name))

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.name

    @property
    def stem(self) -> str:
        """Return the last part of the path without its suffix."""
        return self.path.stem

    @property
    def suffix(self) -> str:
        """Return the suffix of the last part, with its dot."""
        return self.path.suffix

    @property
    def parent(self) -> ObjectUrl:
        """Return the address one level up."""
        return ObjectUrl(self.scheme, self.bucket, self.path.parent)

    @property
    def root(self) -> ObjectUrl:
        """Return the address of the bucket."""
        return ObjectUrl(self.scheme, self.bucket)

    def with_name(self, name: str) -> ObjectUrl:
        """Return the address with another last part."""
        return ObjectUrl(self.scheme, self.bucket, self.path.with_name(name))

    def is_relative_to(self, other: object) -> bool:
        """Return whether this address is *other* or below it."""
        if not isinstance(other, ObjectUrl) or (self.scheme, self.bucket) != (other.scheme, other.bucket):
            return False
        return self.path.is_relative_to(other.path)

    def relative_to(self, other: ObjectUrl) -> PurePosixPath:
        """Return the name below *other*; raise ValueError if this address is not below it."""
        if not self.is_relative_to(other):
            raise ValueError(f"{self} is not below {other}")
        return self.path.relative_to(other.path)


#: Where a batch delivers its files.
Folder = Path | ObjectUrl


def is_object_url(text: str) -> bool:
    """Return whether *text* is the address of a place in an object store, right or wrong."""
    return text.partition(_MARK)[0] in SCHEMES and _MARK in text


def typed_folder(text: str) -> ObjectUrl:
    """Return the output folder in an object store that a user states; raise ValueError with a reason.

    Stores allow ``?`` and ``#`` in names, but in an address that was typed a secret may follow them: the reason shows
    nothing of that.
    """
    if "?" in text or "#" in text:
        raise ValueError(
            "in a link, a ? begins its signature; credentials come from the environment. "
            "Expected the address of an output folder without ? and #"
        )
    return ObjectUrl.parse(text)


def require_unsigned(text: str) -> None:
    """Raise ValueError if the address of an object has a query, as signed links do; a lone ``?`` may be a pattern."""
    if _QUERY.search(text):
        raise ValueError(
            "it has a query, as signed links do. Leave out everything from the ? on, because credentials come from the "
            "environment"
        )


def parse_folder(text: str) -> Folder:
    """Return the folder that the job database, a sidecar or an option names."""
    return ObjectUrl.parse(text) if is_object_url(text) else Path(text)


def stored_path(file: Folder, root: Path) -> str:
    """Return the path of a file as the job database has it: relative to *root* where it is below that."""
    return str(file.relative_to(root) if isinstance(file, Path) and file.is_relative_to(root) else file)


def place_of(path: str, root: Path) -> Folder:
    """Return the place that a path of the job database means; see ``stored_path``."""
    place = parse_folder(path)
    return root / place if isinstance(place, Path) else place


def name_in(folder: Folder, place: Folder) -> str | None:
    """Return the name of *place* below an output folder; None if it is elsewhere."""
    if isinstance(folder, ObjectUrl):
        return str(place.relative_to(folder)) if isinstance(place, ObjectUrl) and place.is_relative_to(folder) else None
    return str(place.relative_to(folder)) if isinstance(place, Path) and place.is_relative_to(folder) else None
