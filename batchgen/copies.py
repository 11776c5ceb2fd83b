"""Derived copies of delivered images: what they look like and what they are called. Pure values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

#: Formats by name, with their file extensions.
EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp", "avif": "avif"}
#: Formats that have a quality; the others are lossless.
LOSSY = ("jpeg", "webp", "avif")

#: How a copy fits its size, as in CSS: ``inside`` is at most so large; ``contain`` is exactly so large, with the
#: background around the image; ``cover`` is exactly so large and cut at the edges; ``fill`` is stretched.
Fit = Literal["inside", "contain", "cover", "fill"]

#: Counts up when the same specification gives other pixels.
_RULE = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class CopySpec:
    """The specification of one derived copy of every image."""

    name: str  #: "shop"; part of the file name, unless the copy has a folder of its own
    folder: str | None = None  #: relative to the output folder
    format: str | None = None  #: jpeg, png, webp or avif; None: as the image
    width: int | None = None  #: pixels; None: follows from the height
    height: int | None = None
    fit: Fit = "inside"
    background: tuple[int, int, int, int] | None = None  #: red, green, blue, alpha; None: transparent, or white
    quality: int | None = None  #: 1 to 100; None: the usual one of the format
    enlarge: bool = False  #: a smaller image is enlarged

    @property
    def recipe(self) -> str:
        """Return what decides about the content of a copy, as JSON; where it changes, the copy is written again."""
        return json.dumps(
            [_RULE, self.format, self.width, self.height, self.fit, self.background, self.quality, self.enlarge]
        )

    def file_name(self, image: str) -> str:
        """Return the name of the copy of *image*; both are relative to the output folder."""
        path = PurePosixPath(image)
        extension = path.suffix if self.format is None else f".{EXTENSIONS[self.format]}"
        if self.folder is None:
            return str(path.with_name(f"{path.stem}.{self.name}{extension}"))
        return str(PurePosixPath(self.folder) / path.with_name(f"{path.stem}{extension}"))
