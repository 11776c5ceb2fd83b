"""Source images in an object store: found and dated before anything is sent, and fetched when a call needs them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from glob import has_magic
from os.path import splitext

from ..errors import StoreError
from ..files.object_catalog import ObjectCatalog, version_of
from ..files.object_store import StoredObject
from ..object_url import ObjectUrl, require_unsigned
from ..task import Source
from .bad_source import BadSource, MissingSource, StoreTrouble
from .lists.globs import Parts, matches, split
from .lists.kinds import CONVERTIBLE

MAX_BYTES = 200_000_000
#: A pattern that matches more is a mistake: no provider accepts so many for one image.
MAX_MATCHES = 100
#: For so many missing objects a similar name is looked for; more of them have one cause.
_MAX_GUESSES = 5


class ObjectSources:
    """The source images in object stores that a manifest names."""

    def __init__(self, catalog: ObjectCatalog) -> None:
        self._catalog = catalog
        self._matches: dict[ObjectUrl, tuple[ObjectUrl, ...]] = {}
        self._guesses = 0

    def sources(self, name: str, *, orient: bool, convert: str | None) -> Iterator[Source]:
        """Yield the sources that the URL *name* refers to, several if it is a pattern; raise BadSource."""
        try:
            require_unsigned(name)
            url = ObjectUrl.parse(name)
        except ValueError as error:
            raise BadSource(f"the address of the image cannot be used: {error}") from None
        preparation = "+".join(filter(None, ("upright" if orient else None, convert))) or None
        try:
            for each in self._urls(url):
                facts = self._catalog.find(each)
                if facts is None:
                    raise self._missing(each)
                _check(each, facts, convert)
                yield Source(
                    url=str(each), etag=version_of(facts), size_bytes=facts.size_bytes, preparation=preparation
                )
        except StoreError as error:
            raise StoreTrouble(str(error)) from error

    def mask(self, name: str, *, orient: bool) -> Source:
        """Return the mask that the URL *name* refers to; raise BadSource."""
        mask = next(self.sources(name, orient=orient, convert=None))
        if not name.lower().endswith(".png"):
            raise BadSource(f"the mask {name} is not a PNG, by its name")
        return mask

    def _urls(self, url: ObjectUrl) -> tuple[ObjectUrl, ...]:
        """Return the objects that a URL or a pattern names, sorted."""
        parts = url.path.parts
        first = next((number for number, part in enumerate(parts) if has_magic(part)), None)
        if first is None:
            return (url,)
        if url not in self._matches:
            self._matches[url] = tuple(self._matching(url, *split("/".join(parts), first)))
        return self._matches[url]

    def _matching(self, url: ObjectUrl, base: str, pattern: Parts) -> Iterator[ObjectUrl]:
        folder = url.root / base if base else url.root
        if not any("*" in part or "?" in part for part in pattern) and self._catalog.find(url) is not None:
            yield url  # Brackets may be part of a name.
            return
        names = (name for name, _ in self._catalog.below(folder) if matches(tuple(name.split("/")), pattern))
        found = sorted(itertools.islice(names, MAX_MATCHES + 1))
        if not found:
            raise BadSource(f"the pattern {url} matches no object")
        if len(found) > MAX_MATCHES:
            raise BadSource(
                f"the pattern {url} matches more than {MAX_MATCHES} objects; all of them would go into one edit"
            )
        yield from (folder / name for name in found)

    def _missing(self, url: ObjectUrl) -> BadSource:
        if not url.suffix and next(self._catalog.below(url), None) is not None:
            return BadSource(f"{url} is a prefix; from: {url}/ edits each image in it, images: {url}/*.jpg all at once")
        self._guesses += 1
        guess = self._catalog.similar(url) if self._guesses <= _MAX_GUESSES else None
        return MissingSource(f"{url}: there is no such object", str(url), guess)


def _check(url: ObjectUrl, facts: StoredObject, convert: str | None) -> None:
    """Raise BadSource for an object that cannot be used, as far as its name and its size show."""
    if facts.size_bytes == 0:
        raise BadSource(f"{url} is empty")
    if facts.size_bytes > MAX_BYTES:
        raise BadSource(f"{url} has {facts.size_bytes / 1e6:.0f} MB; the limit is {MAX_BYTES / 1e6:.0f} MB")
    kind = CONVERTIBLE.get(splitext(url.name)[1].lower())  # noqa: PTH122
    if kind is not None and convert is None:
        raise BadSource(
            f"{url} is {kind} by its name, and providers accept PNG, JPEG and WebP: write convert: jpeg (or png) to "
            "send a converted copy"
        )
