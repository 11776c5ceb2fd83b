"""Derived copies: an image in another format, size or background. CPU-bound; runs in worker threads.

EXIF rotation is applied. The colour profile is kept; other metadata is not.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Self

from PIL import Image, ImageOps

from ...copies import EXTENSIONS, CopySpec
from .decoding import bytes_per_pixel, decoder_errors, memory, open_image
from .formats import FORMATS, DamagedImageError, refusal, sniff
from .pixels import in_rgb, upright

#: The quality of each format where none is given.
_QUALITY = {"jpeg": 85, "webp": 80, "avif": 65}
_WHITE = (255, 255, 255, 255)
_CLEAR = (0, 0, 0, 0)
#: Bytes of a pixel in all forms of an image that exist at a time.
_WORKING = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class DerivedImage:
    """The content of one copy."""

    data: bytes
    width: int
    height: int
    mime: str


class Original:
    """A decoded image from which copies are made; a context manager that frees its pixels."""

    def __init__(self, data: bytes) -> None:
        mime = sniff(data)
        if mime is None:
            raise refusal(data)
        self.format = next((name for name in EXTENSIONS if f"image/{name}" == mime), None)
        with decoder_errors(), open_image(mime, data) as image, memory.reserve(_size(mime, image)):
            self.image = in_rgb(upright(image.copy()))
        self.profile = self.image.info.get("icc_profile")
        self.image.info = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.image.close()

    def copy(self, spec: CopySpec) -> DerivedImage:
        """Return the content of the copy that *spec* describes.

        Raises DamagedImageError where the format of the image is not one that copies can have.
        """
        form = spec.format or self.format
        if form is None:
            raise DamagedImageError(f"a copy needs a format: {', '.join(EXTENSIONS)}")
        width, height = spec.width or self.image.width, spec.height or self.image.height
        with memory.reserve(_WORKING * max(width * height, self.image.width * self.image.height)):
            image = _on_background(_fitted(self.image, spec, form), spec, form)
            return _encoded(image, form, spec.quality, self.profile)


def _size(mime: str, image: Image.Image) -> int:
    return (bytes_per_pixel(mime, image) + _WORKING) * image.width * image.height


def _fitted(image: Image.Image, spec: CopySpec, form: str) -> Image.Image:
    """Return *image* in the size of the copy."""
    if spec.width is None and spec.height is None:
        return image
    wide = spec.width / image.width if spec.width else None
    high = spec.height / image.height if spec.height else None
    ratios = [ratio for ratio in (wide, high) if ratio is not None]
    most = None if spec.enlarge else 1.0
    match spec.fit:
        case "fill":
            return _resized(image, *(_limited(ratio, most) for ratio in ratios))
        case "cover":
            return _cut(image, spec, _limited(max(ratios), most))
        case _:
            smaller = _resized(image, *[_limited(min(ratios), most)] * 2)
            return _framed(smaller, spec, form) if spec.fit == "contain" else smaller


def _limited(ratio: float, most: float | None) -> float:
    return ratio if most is None else min(ratio, most)


def _resized(image: Image.Image, wide: float, high: float) -> Image.Image:
    size = max(1, round(image.width * wide)), max(1, round(image.height * high))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def _cut(image: Image.Image, spec: CopySpec, ratio: float) -> Image.Image:
    """Return the middle of *image* with the proportions of the copy; an image that is too small gives less."""
    width, height = spec.width or image.width, spec.height or image.height
    room = min(1.0, image.width * ratio / width, image.height * ratio / height)
    size = max(1, round(width * room)), max(1, round(height * room))
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)


def _framed(image: Image.Image, spec: CopySpec, form: str) -> Image.Image:
    """Return *image* in the middle of the background."""
    width, height = spec.width or image.width, spec.height or image.height
    frame = Image.new("RGBA", (width, height), spec.background or _default_background(form))
    at = (width - image.width) // 2, (height - image.height) // 2
    if image.mode == "RGBA":
        frame.alpha_composite(image, at)
    else:
        frame.paste(image, at)
    return frame


def _default_background(form: str) -> tuple[int, int, int, int]:
    return _WHITE if form == "jpeg" else _CLEAR


def _on_background(image: Image.Image, spec: CopySpec, form: str) -> Image.Image:
    """Return *image* on its background, without an alpha channel where nothing is transparent."""
    if image.mode != "RGBA":
        return image
    background = spec.background or _default_background(form)
    if background[3]:
        below = Image.new("RGBA", image.size, background)
        below.alpha_composite(image)
        image = below
    opaque = image.getchannel("A").getextrema() == (255, 255)
    return image.convert("RGB") if opaque or form == "jpeg" else image


def _encoded(image: Image.Image, form: str, quality: int | None, profile: bytes | None) -> DerivedImage:
    known = FORMATS[f"image/{form}"]
    import_module(f"PIL.{known.plugin}")
    options: dict[str, Any] = {} if form == "png" else {"quality": quality or _QUALITY[form]}
    options |= {"optimize": True, "progressive": True} if form == "jpeg" else {}
    options |= {"icc_profile": profile} if profile else {}
    sink = io.BytesIO()
    image.save(sink, known.pillow, **options)
    return DerivedImage(data=sink.getvalue(), width=image.width, height=image.height, mime=f"image/{form}")
