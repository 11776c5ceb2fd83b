"""Image formats: those that can be read, and guesses at any others."""

from __future__ import annotations

import re
from dataclasses import dataclass


class DamagedImageError(ValueError):
    """The bytes are not a whole image of a format that can be read."""


class TooLargeError(DamagedImageError):
    """The image has more pixels than can be decoded here."""


class UnknownFormatError(DamagedImageError):
    """The bytes may be an image of a format that cannot be decoded here; another attempt would return the same.

    ``extension`` is the best guess for a file name, without a dot.
    """

    def __init__(self, message: str, extension: str) -> None:
        super().__init__(message)
        self.extension = extension


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """One image format: its file extension, and its names in Pillow.

    ``memory`` is the most bytes per pixel that decoding holds at a time, including the image itself.
    """

    extension: str
    pillow: str
    plugin: str
    memory: int = 8
    feature: str | None = None  #: the feature that a build of Pillow may lack


FORMATS = {
    "image/png": Format(extension="png", pillow="PNG", plugin="PngImagePlugin", memory=4),
    "image/jpeg": Format(extension="jpg", pillow="JPEG", plugin="JpegImagePlugin", memory=4),
    "image/webp": Format(extension="webp", pillow="WEBP", plugin="WebPImagePlugin", memory=16, feature="webp"),
    "image/gif": Format(extension="gif", pillow="GIF", plugin="GifImagePlugin"),
    "image/avif": Format(extension="avif", pillow="AVIF", plugin="AvifImagePlugin", memory=16, feature="avif"),
    "image/bmp": Format(extension="bmp", pillow="BMP", plugin="BmpImagePlugin"),
    "image/tiff": Format(extension="tiff", pillow="TIFF", plugin="TiffImagePlugin"),
    "image/jp2": Format(extension="jp2", pillow="JPEG2000", plugin="Jpeg2KImagePlugin", memory=24, feature="jpg_2000"),
    "image/x-icon": Format(extension="ico", pillow="ICO", plugin="IcoImagePlugin"),
    "image/x-portable-anymap": Format(extension="pnm", pillow="PPM", plugin="PpmImagePlugin"),
    "image/qoi": Format(extension="qoi", pillow="QOI", plugin="QoiImagePlugin"),
}
EXTENSIONS = {mime: known.extension for mime, known in FORMATS.items()}
#: The formats that providers accept as source images.
SOURCE_TYPES = ("image/png", "image/jpeg", "image/webp")

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
_STARTS = {
    PNG_MAGIC: "image/png",
    JPEG_MAGIC: "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"II+\0": "image/tiff",  # BigTIFF
    b"MM\0+": "image/tiff",
    b"\0\0\0\x0cjP  \r\n\x87\n": "image/jp2",
    b"\xff\x4f\xff\x51": "image/jp2",
    b"qoif": "image/qoi",
}
_HEAD = 4096
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_NETPBM = re.compile(rb"P[56]\s(?:#[^\n]*\n|\s)*\d")
#: Brands of an ISO base media file, with the file extension.
_BRANDS = {b"heic": "heic", b"heix": "heic", b"heim": "heic", b"heis": "heic", b"hevc": "heic", b"hevx": "heic",
           b"mif1": "heic", b"msf1": "heic", b"crx ": "cr3"}  # fmt: skip
#: Formats that are not decoded here, by their first bytes.
_OTHERS = {
    b"\xff\x0a": "jxl",
    b"\0\0\0\x0cJXL \r\n\x87\n": "jxl",
    b"%PDF-": "pdf",
    b"8BPS": "psd",
    b"v/1\x01": "exr",
    b"DDS ": "dds",
    b"glTF": "glb",
    b"PK\x03\x04": "zip",
    b"\x1a\x45\xdf\xa3": "webm",
}
# Atomic groups: otherwise each of many comments could end at any later one, in every combination.
_SVG = re.compile(rb"(?>\s++|<\?xml[^>]*+>|<!--.*?-->|<!DOCTYPE\s++svg[^>]*+>)*+<(?:\w+:)?svg[\s>]", re.DOTALL)
#: Bytes that do not occur in text, in any 8-bit encoding.
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def sniff(data: bytes) -> str | None:
    """Return the mime type that the first bytes indicate, or None if it is not one of FORMATS."""
    for magic, mime in _STARTS.items():
        if data.startswith(magic):
            return mime
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if _brands(data) & {b"avif", b"avis"}:
        return "image/avif"
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "image/bmp"
    if data[:4] == b"\0\0\x01\0" and data[4:6] != b"\0\0" and data[9:10] == b"\0":
        return "image/x-icon"
    return "image/x-portable-anymap" if _NETPBM.match(data[:_HEAD]) else None


def refusal(data: bytes) -> DamagedImageError:
    """Return the error for *data* in none of FORMATS: it is damaged, or of an unknown format."""
    facts = f"({len(data)} bytes, starting with {repr(data[:16])[1:]})"
    guess = _guess(data)
    if guess is None:
        return DamagedImageError(f"not an image {facts}")
    name = "an unknown format" if guess == "bin" else f"the format {guess.upper()}"
    return UnknownFormatError(f"the image has {name}, which cannot be read here {facts}", guess)


def _guess(data: bytes) -> str | None:
    """Return the extension for bytes that may be an image of another format; None if they cannot be one."""
    # Text is not an image unless it is SVG, which may begin with a byte order mark.
    plain = data.removeprefix(b"\xef\xbb\xbf")
    if _SVG.match(plain[:_HEAD]):
        return "svg"
    for magic, extension in _OTHERS.items():
        if data.startswith(magic):
            return extension
    if brands := _brands(data):
        return next((_BRANDS[brand] for brand in _BRANDS if brand in brands), "mp4")
    known = (*_STARTS, *_OTHERS, b"RIFF")
    if len(data) < 16 or len(set(data)) < 4 or any(magic.startswith(data[:16]) for magic in known):
        return None
    return None if _is_text(data) else "bin"


def _is_text(data: bytes) -> bool:
    head = data[:_HEAD]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head[2:].replace(b"\0", b"")
    return head.lstrip()[:1] in (b"<", b"{", b"[") or not _CONTROL.search(head)


def _brands(data: bytes) -> set[bytes]:
    """Return the brands of an ISO base media file (AVIF, HEIC, MP4); none for anything else."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), len(data), _HEAD)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))} - {b""}
