"""Source images by their headers: kind, size, and what a provider may misunderstand. No pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageFile

from . import heif
from .containers import require_whole
from .decoding import MAX_PIXELS, decoder_errors, open_image
from .formats import SOURCE_TYPES, DamagedImageError, TooLargeError, UnknownFormatError, sniff

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Photo:
    """The facts in the header of a source image; width and height are those of the stored pixels."""

    mime: str
    width: int
    height: int
    alpha: bool = False
    orientation: int = 1  #: EXIF; 1 is upright
    cmyk: bool = False
    deep: bool = False  #: more than 8 bits per channel
    animated: bool = False

    @property
    def accepted(self) -> bool:
        """Return whether providers accept this kind of image."""
        return self.mime in SOURCE_TYPES

    @property
    def rotated(self) -> bool:
        """Return whether the pixels are stored otherwise than they are to be shown."""
        return self.orientation != 1

    @property
    def upright_size(self) -> tuple[int, int]:
        """Return width and height as the image is to be shown."""
        return (self.height, self.width) if self.orientation in _TURNED else (self.width, self.height)

    def copy_kind(self, *, orient: bool, convert: str | None) -> str | None:
        """Return the kind of copy to send in place of the image: upright, jpeg or png; None if it is sent as it is.

        With *orient*, images that are stored rotated are turned; with *convert*, those that providers do not accept or
        misunderstand become a JPEG or a PNG.
        """
        if convert is not None and (not self.accepted or self.cmyk or self.deep or self.animated):
            return convert
        return "upright" if orient and self.rotated else None


def read_photo(data: bytes) -> Photo:
    """Return the facts of a source image.

    Raises DamagedImageError if a part of it is missing, UnknownFormatError if it is of no kind that can be read.
    """
    mime = sniff(data)
    if mime is None:
        return _read_heif(data)
    require_whole(mime, data)
    with decoder_errors(), open_image(mime, data) as image:
        return Photo(
            mime=mime,
            width=image.width,
            height=image.height,
            alpha=image.has_transparency_data,
            orientation=orientation(image),
            cmyk=image.mode in ("CMYK", "YCCK"),
            deep=_is_deep(mime, data, image),
            animated=mime != "image/jpeg" and getattr(image, "n_frames", 1) > 1,  # a JPEG may hold more views of one
        )


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 where it states none that makes sense."""
    # Image.getexif() decodes a PNG to find what may follow its pixels.
    data = image.info.get("exif")
    if not isinstance(data, bytes):
        return 1
    exif = Image.Exif()
    try:
        exif.load(data)
        value = exif.get(_ORIENTATION)
    except Exception:  # noqa: BLE001 - damaged metadata raises anything, and the pixels may be whole
        return 1
    return value if isinstance(value, int) and 2 <= value <= 8 else 1


def _read_heif(data: bytes) -> Photo:
    if not heif.is_heif(data):
        raise UnknownFormatError("the image has a format that cannot be read here", "bin")
    if not heif.is_installed():
        return Photo(mime=heif.MIME, width=0, height=0)
    try:
        width, height = heif.size_of(data)
    except Exception as error:
        raise DamagedImageError(f"the HEIC image cannot be read: {error}") from error
    if width * height > MAX_PIXELS:
        raise TooLargeError(f"{width}x{height} pixels are more than the {MAX_PIXELS} allowed")
    return Photo(mime=heif.MIME, width=width, height=height)


def _is_deep(mime: str, data: bytes, image: ImageFile.ImageFile) -> bool:
    return data[24:25] == b"\x10" if mime == "image/png" else image.mode.startswith(("I", "F"))
