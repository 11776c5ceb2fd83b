"""The ``deliver`` section: derived copies of the images, such as WebP for a shop."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from ..copies import LOSSY, CopySpec, Fit
from . import filenames
from .fields import Strict
from .locations import Origin
from .problems import Problems

#: Pixels of one side, and of the whole copy.
_SIDE = 16_384
_PIXELS = 64_000_000
_SIZE = re.compile(r"(\d{0,6})x(\d{0,6})")


class DeliverSpec(Strict):
    """One derived copy of every image."""

    name: str = Field(
        "copy",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        max_length=30,
        description="Name of the copy, and part of its file name: cat.shop.webp",
    )
    dir: str | None = Field(
        None, min_length=1, description="Folder of the copies inside output.dir, in place of the name: shop/cat.webp"
    )
    format: Literal["jpeg", "jpg", "png", "webp", "avif"] | None = Field(
        None, description="jpeg, png, webp or avif; default: as the image"
    )
    size: str | int | None = Field(
        None, description='Pixels: 800 (at most 800x800), "800x600", "800x" or "x600"; default: as the image'
    )
    fit: Fit = Field(
        "inside",
        description="inside: at most so large; contain: exactly, with the background around it; cover: exactly, cut at "
        "the edges; fill: exactly, stretched",
    )
    background: str | None = Field(
        None,
        min_length=1,
        description="CSS colour behind transparent parts and around a contained image, or transparent; default: "
        "transparent, and white for jpeg",
    )
    quality: int | None = Field(None, ge=1, le=100, description="1 to 100, for jpeg, webp and avif")
    enlarge: bool = Field(False, description="Enlarge images that are smaller than size")

    # Each value is checked together with those above it, so that a problem is at its own place.

    @field_validator("dir")
    @classmethod
    def _is_folder(cls, value: str | None) -> str | None:
        if value is not None and (flaw := filenames.flaw(value)):
            raise ValueError(f"cannot be a folder inside the output folder: it {flaw}")
        return value

    @field_validator("format")
    @classmethod
    def _can_be_written(cls, value: str | None) -> str | None:
        if value == "avif":
            from PIL import features

            if not features.check("avif"):
                raise ValueError("avif cannot be written by this build of Pillow; webp is nearly as small")
        return value

    @field_validator("size")
    @classmethod
    def _is_size(cls, value: str | int | None) -> str | int | None:
        _dimensions(value)
        return value

    @field_validator("fit")
    @classmethod
    def _has_size(cls, value: Fit, info: ValidationInfo) -> Fit:
        if value != "inside" and "size" in info.data and None in _dimensions(info.data["size"]):
            raise ValueError(f"{value} needs a width and a height, such as  size: 800x800")
        return value

    @field_validator("background")
    @classmethod
    def _is_colour(cls, value: str | None, info: ValidationInfo) -> str | None:
        if _colour(value) == (0, 0, 0, 0) and _format(info.data.get("format")) == "jpeg":
            raise ValueError("jpeg cannot be transparent: choose a colour, or png, webp or avif")
        return value

    @field_validator("quality")
    @classmethod
    def _is_lossy(cls, value: int | None, info: ValidationInfo) -> int | None:
        form = _format(info.data.get("format"))
        if value is not None and form not in (None, *LOSSY):
            raise ValueError(f"{form} is lossless and has no quality: leave it out, or choose {', '.join(LOSSY)}")
        return value

    def spec(self) -> CopySpec:
        """Return the specification as a value."""
        width, height = _dimensions(self.size)
        return CopySpec(
            name=self.name,
            folder=self.dir,
            format=_format(self.format),
            width=width,
            height=height,
            fit=self.fit,
            background=_colour(self.background),
            quality=self.quality,
            enlarge=self.enlarge,
        )


def listed(value: object) -> object:
    """Return the value of ``deliver`` as a list of mappings."""
    return value if isinstance(value, list) else [value]


def copy_specs(written: Sequence[DeliverSpec], origin: Origin, problems: Problems) -> tuple[CopySpec, ...]:
    """Return the specifications; two copies that would be the same file become *problems*."""
    specs = tuple(each.spec() for each in written)
    for number, spec in enumerate(specs):
        if any(_same_file(spec, earlier) for earlier in specs[:number]):
            message = "would be the same files as an earlier copy"
            hint = 'give each a name of its own, such as  name: "shop"'
            problems.add(origin.inside(number, "name").problem("same_file", message, hint))
    return specs


def _same_file(one: CopySpec, other: CopySpec) -> bool:
    """Return whether copies may have the same name; a format that follows the image may be any."""
    if filenames.folded(one.folder or "") != filenames.folded(other.folder or ""):
        return False
    if one.folder is None and filenames.folded(one.name) != filenames.folded(other.name):
        return False
    return one.format == other.format or one.format is None or other.format is None


def taken_by(specs: Sequence[CopySpec], stem: str) -> Iterator[CopySpec]:
    """Yield the copies whose names the file of a job, *stem* in the form ``filenames.folded``, could have."""
    for spec in specs:
        in_folder = spec.folder is not None and stem.startswith(f"{filenames.folded(spec.folder)}/")
        if in_folder or (spec.folder is None and stem.endswith(f".{filenames.folded(spec.name)}")):
            yield spec


def _format(value: str | None) -> str | None:
    return "jpeg" if value == "jpg" else value


def _dimensions(value: str | int | None) -> tuple[int | None, int | None]:
    """Return width and height of a size; raise ValueError."""
    if value is None:
        return None, None
    text = str(value).strip().lower().replace("\u00d7", "x")
    match = _SIZE.fullmatch(f"{text}x{text}" if text.isdecimal() else text)
    width, height = ((int(side) if side else None) for side in match.groups()) if match else (None, None)
    sides = [side for side in (width, height) if side is not None]
    if isinstance(value, bool) or not sides:
        raise ValueError(f'should be pixels, such as 800, "800x600", "800x" or "x600", is {value!r}')
    if min(sides) < 1:
        raise ValueError("a copy of 0 pixels cannot be made")
    if max(sides) > _SIDE or (width or 1) * (height or 1) > _PIXELS:
        raise ValueError(f"is too large: at most {_SIDE} pixels a side and {_PIXELS // 1_000_000} megapixels in all")
    return width, height


def _colour(value: str | None) -> tuple[int, int, int, int] | None:
    """Return a CSS colour as red, green, blue and alpha; raise ValueError."""
    if value is None:
        return None
    if value.strip().lower() == "transparent":
        return 0, 0, 0, 0
    from PIL import ImageColor

    try:
        red, green, blue, *alpha = ImageColor.getrgb(value.strip())
    except ValueError:
        example = 'white, "#f5f5f5", "rgb(250, 250, 250)" or transparent'
        raise ValueError(f"should be a colour as in CSS ({example}), is {value!r}") from None
    return red, green, blue, alpha[0] if alpha else 255
