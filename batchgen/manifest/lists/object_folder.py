"""Prefixes and globs of images in an object store: each image is a row. Only names are listed, not the images."""

from __future__ import annotations

from glob import has_magic

from ...errors import StoreError
from ...files.object_catalog import ObjectCatalog
from ...files.object_store import ObjectStore
from ...object_url import Folder, ObjectUrl
from .folder import ImageFolder, is_sidecar
from .folder_walk import MAX_ENTRIES, MAX_IMAGES
from .globs import ANY, Exclusion, Parts, split
from .image_names import ImageNames
from .kinds import is_system
from .rows import BadList

#: So many JSON files beside images are read to find out whether batchgen wrote them; more are taken to be like these.
_MOST_SIDECARS = 20


class ObjectFolder(ImageFolder):
    """The images below a prefix, or those that a glob matches, in sorted order."""

    def __init__(
        self, url: ObjectUrl, leave_out: Folder | None, exclude: Exclusion, catalog: ObjectCatalog,
        *, convert: bool = False,
    ) -> None:  # fmt: skip
        """List the images of *url*; the parameters are those of ImageFolder. Raise BadList, StoreError."""
        self._url, pattern = _split(url)
        self._top = self._shown_top = str(self._url)
        self._folder = ""
        if leave_out is not None and self._url.is_relative_to(leave_out):
            raise BadList(f"{url} is in the output folder, and results never become sources: name another prefix")
        self._exclude = exclude
        self._sidecars: list[bool] = []  #: of the JSON files beside images that were read, whether batchgen wrote them
        names = ImageNames(pattern, base=str(self._url), exclude=exclude, convert=convert)
        walk = _Walk(self._url, names, leave_out)
        walk.run(catalog)
        self._keep(walk.images, walk.json_files, names.left_out, str(url))

    def _is_result(self, path: str) -> bool:
        if len(self._sidecars) >= _MOST_SIDECARS:
            return sum(self._sidecars) * 2 > len(self._sidecars)
        try:
            content = ObjectStore(self._url).find(f"{path}.json")
        except StoreError:
            return False
        self._sidecars.append(content is not None and is_sidecar(content))
        return self._sidecars[-1]


class _Walk:
    """One listing below a prefix; ``images`` and ``json_files`` are names below it."""

    def __init__(self, top: ObjectUrl, names: ImageNames, leave_out: Folder | None) -> None:
        self.images: list[str] = []
        self.json_files: set[str] = set()
        self._top = top
        self._names = names
        self._leave_out = leave_out
        self._folders: dict[Parts, bool] = {(): True}  #: whether their images are taken

    def run(self, catalog: ObjectCatalog) -> None:
        """List; raise BadList where there are too many objects."""
        for number, (name, facts) in enumerate(catalog.below(self._top), 1):
            parts = tuple(name.split("/"))
            if name.endswith(".json"):
                self.json_files.add(name)
            # Consoles of stores make an empty object for a folder.
            is_marker = not facts.size_bytes and "." not in parts[-1]
            if not is_marker and self._enters(parts[:-1]) and not is_system(parts[-1]) and self._names.takes(parts):
                self.images.append(name)
            if len(self.images) > MAX_IMAGES or number > MAX_ENTRIES:
                raise BadList(f"{self._top}: more than {MAX_IMAGES:,} images or {MAX_ENTRIES:,} objects")

    def _enters(self, folder: Parts) -> bool:
        if folder not in self._folders:
            is_open = self._enters(folder[:-1]) and not is_system(folder[-1])
            is_open = is_open and self._top / "/".join(folder) != self._leave_out
            self._folders[folder] = is_open and self._names.enters(folder)
        return self._folders[folder]


def _split(url: ObjectUrl) -> tuple[ObjectUrl, Parts]:
    """Return the prefix before the first wildcard of *url*, and the pattern below it; ``**`` where it has none."""
    parts = url.path.parts
    first = next((number for number, part in enumerate(parts) if has_magic(part)), len(parts))
    base, pattern = split("/".join(parts), first)
    return url.root / base if base else url.root, pattern or (ANY,)
