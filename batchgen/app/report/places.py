"""Places of a report: its folder, and the URLs of a project's files as a page in that folder sees them. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """The folders that a page refers to, all absolute."""

    root: Path  #: the working folder
    output: Path  #: the output folder of the batch
    report: Path  #: the folder of the page

    @property
    def folder(self) -> str:
        """Return how the stored paths of files in the output folder begin; "" if it is the working folder itself."""
        if self.output == self.root:
            return ""
        return f"{stored(self.output, self.root)}/"

    @property
    def folder_url(self) -> str:
        """Return the URL of the output folder."""
        return self.url(self.output)

    @property
    def root_url(self) -> str:
        """Return the URL of the working folder."""
        return self.url(self.root)

    def name(self, path: str) -> str | None:
        """Return the name of a file, whose stored *path* is given, in the output folder; None if it is elsewhere."""
        if not path.startswith(self.folder) or (not self.folder and path.startswith("/")):
            return None
        return path.removeprefix(self.folder)

    def url(self, path: Path) -> str:
        """Return the URL of *path* relative to the page; that of a folder ends with a slash."""
        relative = os.path.relpath(path, self.report)
        folder = path in (self.root, self.output)
        return quote("./" if relative == "." else relative + "/" * folder)


def stored(path: Path, root: Path) -> str:
    """Return *path* as the job database stores it: relative to the working folder if it is inside."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
