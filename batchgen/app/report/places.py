"""Places of a report: its folder, and the URLs of a project's files as a page in that folder sees them.

Pure, but for the endpoint of an object store, which the environment names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ...object_url import Folder, ObjectUrl, is_object_url, stored_path
from .web_address import web_address


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """The folders that a page refers to, all absolute."""

    root: Path  #: the working folder
    output: Folder  #: the output folder of the batch
    report: Folder  #: the folder of the page

    @property
    def folder(self) -> str:
        """Return how the stored paths of files in the output folder begin; "" if it is the working folder itself."""
        if self.output == self.root:
            return ""
        return f"{stored_path(self.output, self.root)}/"

    @property
    def folder_url(self) -> str:
        """Return the URL of the output folder."""
        return self.url(self.output)

    @property
    def root_url(self) -> str:
        """Return the URL of the working folder."""
        return self.url(self.root)

    def buckets(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the URLs of the buckets of those stored *paths* that are in an object store, but not in the output.

        They are of an earlier output folder.
        """
        elsewhere = {ObjectUrl.parse(path).root for path in paths if is_object_url(path) and self.name(path) is None}
        return {f"{bucket}/": f"{self.url(bucket).rstrip('/')}/" for bucket in sorted(elsewhere, key=str)}

    def name(self, path: str) -> str | None:
        """Return the name of a file, whose stored *path* is given, in the output folder; None if it is elsewhere."""
        if not path.startswith(self.folder) or (not self.folder and path.startswith("/")):
            return None
        return path.removeprefix(self.folder)

    def url(self, path: Folder) -> str:
        """Return the URL of *path*, relative to the page where both are on the disk or in one bucket.

        That of a folder ends with a slash.
        """
        slash = "/" * (path in (self.root, self.output))
        if isinstance(path, Path) and isinstance(self.report, ObjectUrl):
            return f"{path.as_uri()}{slash}"
        if isinstance(path, ObjectUrl) and (isinstance(self.report, Path) or path.root != self.report.root):
            return f"{web_address(path, os.environ)}{slash}"
        relative = os.path.relpath(_in_bucket(path), _in_bucket(self.report))
        return quote("./" if relative == "." else relative + slash)


def _in_bucket(place: Folder) -> str:
    return str(place) if isinstance(place, Path) else f"/{place.path}"
