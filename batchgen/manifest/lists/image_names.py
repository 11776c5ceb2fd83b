"""The names of files in a folder of images: which are taken, and what is left out of it, by the reason. No I/O."""

from __future__ import annotations

import os

from .globs import ANY, Exclusion, Parts, matches, may_contain, parts_of
from .kinds import CONVERTIBLE, SUFFIXES, advice_on, is_hidden, is_picture, kind_of, suffix_of
from .left_out import LeftOut


class ImageNames:
    """Decides by its name whether a file is taken, or a folder is looked into; paths are given part by part."""

    def __init__(self, pattern: Parts, *, base: str, exclude: Exclusion, convert: bool) -> None:
        """Take names that match *pattern* below *base*; with *convert*, also those of images to be converted."""
        self.left_out = LeftOut()
        self._pattern = pattern
        self._base = base
        self._base_parts = parts_of(base)
        self._exclude = exclude
        self._suffixes = SUFFIXES | CONVERTIBLE.keys() if convert else SUFFIXES

    def enters(self, parts: Parts) -> bool:
        """Return whether a folder may contain images that are taken; what is left out with it is noted."""
        path = "/".join(parts)
        if not may_contain(parts, self._pattern):
            if matches(parts, self._pattern):
                self.left_out.add(path, "folder", "folders", f"write {self._below(ANY)}")
            return False
        if is_hidden(parts[-1]):
            self.left_out.add(path, "hidden folder", "hidden folders")
            return False
        return not self._exclude.matches(self._base_parts, parts)  # the user's own word, which needs no reminder

    def takes(self, parts: Parts) -> bool:
        """Return whether a file is taken; one that is left out is noted, unless it needs no mention."""
        if not matches(parts, self._pattern):
            self._note_case(parts)
            return False
        path, suffix = "/".join(parts), suffix_of(parts[-1])
        if is_hidden(parts[-1]):
            if is_picture(suffix):
                self.left_out.add(path, "hidden file", "hidden files")
            return False
        if self._exclude.matches(self._base_parts, parts):
            return False
        if suffix not in self._suffixes:
            if (kind := kind_of(parts[-1])) is not None:
                self.left_out.add(path, kind, kind, advice_on(kind))
            return False
        return True

    def _note_case(self, parts: Parts) -> None:
        """Note an image that a glob misses only because of upper and lower case in its suffix."""
        name, pattern = parts[-1], self._pattern[-1]
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        wanted = os.path.splitext(pattern)[1]  # noqa: PTH122
        if suffix == wanted or suffix.lower() != wanted.lower() or suffix.lower() not in self._suffixes:
            return
        if matches((*parts[:-1], f"{stem}{wanted}"), self._pattern):
            either = "".join(f"[{letter.lower()}{letter.upper()}]" if letter.isalpha() else letter for letter in suffix)
            glob = "/".join((*self._pattern[:-1], f"{pattern.removesuffix(wanted)}{either}"))
            self.left_out.add("/".join(parts), f"in {suffix}", f"in {suffix}", f"write {self._below(glob)}")

    def _below(self, glob: str) -> str:
        return glob if self._base in ("", ".") else f"{self._base.rstrip('/')}/{glob}"
