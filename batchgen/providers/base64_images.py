"""Base64 images, in every variant that gateways send, and how the first bytes of an image look."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_to_bytes

import pybase64

_HEAD = re.compile(r"\s*(?:data:[^,]{0,200};\s*base64\s*,|image/[^,;\s]{1,40};\s*base64,|base64,)", re.IGNORECASE)
#: Line breaks escaped twice: a backslash, then a letter of the base64 alphabet.
_BREAKS = re.compile(r"(?:\\+[rn])+")
_FOREIGN = re.compile(r"[^A-Za-z0-9+/]+")
_RUN = re.compile(r"[A-Za-z0-9+/_-]{64,}+={0,2}+")
#: How often a data URL may be wrapped in another one.
_HEADS_MAX = 4
#: How often percent-encoding may have been applied.
_PERCENTS_MAX = 3

#: The signature of bare JPEG XL has two bytes, which occur in many texts.
_JPEG_XL = b"\xff\x0a"
_SVG = b"<svg"
_SIGNATURES = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"\0\0\0\x0cJXL ",
    b"\0\0\0\x0cjP  ",
    _JPEG_XL,
    _SVG,
)
#: Characters of base64 that cover the signature of an image, including a few blanks.
_BEGINNING = 96
#: Decoded bytes that show whether they are base64 again.
_INNER = 400


def is_image(data: bytes) -> bool:
    """Return whether *data* begins like an image of any format."""
    start = data[:32]
    if start.startswith(_SIGNATURES):
        return True
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return True
    if start[4:8] == b"ftyp":
        return start[8:12] in (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")
    return start[:2] == b"BM" and start[14:18] in (b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0")


def is_data_url(text: str) -> bool:
    """Return whether *text* is a data URL."""
    return text.lstrip()[:5].lower() == "data:"


def holds_image(text: str) -> bool:
    """Return whether *text* begins like base64 of an image; the rest is not decoded."""
    beginning = _unwrap(text[: _BEGINNING + 200])[:_BEGINNING]
    data = decode(beginning) or b"" if beginning else b""
    return is_image(data) and not data.startswith(_JPEG_XL)  # the path /word/... is base64 of those two bytes


def is_strict(text: str) -> bool:
    """Return whether all of *text* is base64 without anything else in it."""
    return _decode_strictly(text) is not None


def images_in(text: str) -> list[str]:
    """Return each run of base64 in *text* that is an image, whatever the syntax around it."""
    return [run for run in dict.fromkeys(_RUN.findall(text)) if holds_image(run)]


def decode(text: str) -> bytes | None:
    """Return the bytes of base64 or of a data URL; None if the text is neither.

    Padding may be missing, blanks and line breaks may be inside; the URL alphabet, percent-encoding and base64 of
    base64 are understood. Whether the image is complete is for ``files.images`` to check.
    """
    text = _unwrap(text)
    data = _decode_plain_url(text) if is_data_url(text) else _decode_base64(text)
    if data and not is_image(data) and holds_image(inner := data[:_INNER].decode("ascii", "replace")):
        return _decode_base64(_unwrap(data.decode("ascii", "replace") if len(data) > _INNER else inner))
    return data


def _decode_plain_url(url: str) -> bytes | None:
    """Return the image in a percent-encoded data URL; an SVG drawing is a placeholder, not a result."""
    data = unquote_to_bytes(url.partition(",")[2])
    return data if is_image(data) and not data.startswith(_SVG) else None


def _decode_base64(text: str) -> bytes | None:
    if (data := _decode_strictly(text)) is not None:
        return data
    # The usual wrapped text is decoded in a tenth of the time that the rest of this function takes.
    if " " not in text and (data := _decode_strictly("".join(text.split()))) is not None:
        return data
    for _ in range(_PERCENTS_MAX):
        text = unquote(text) if "%" in text else text
    text = _BREAKS.sub("", text.strip()).replace("-", "+").replace("_", "/")
    if _has_lost_plus(text):
        text = text.replace(" ", "+")
    # A text that was encoded piece by piece has padding inside.
    pieces = [_decode_piece(_FOREIGN.sub("", piece)) for piece in text.split("=")]
    return None if None in pieces else b"".join(filter(None, pieces)) or None


def _decode_piece(text: str) -> bytes | None:
    if len(text) % 4 == 1:  # the last character does not complete a byte
        text = text[:-1]
    return _decode_strictly(text + "=" * (-len(text) % 4))


def _decode_strictly(text: str) -> bytes | None:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        return None


def _has_lost_plus(text: str) -> bool:
    """Return whether blanks are plus signs that a form decoder replaced: no plus is left, the lines are uneven."""
    lines = text.split(" ")
    return len(lines) > 1 and "+" not in text and len(text) % 4 == 0 and len({*map(len, lines[:-1])}) > 1


def _unwrap(text: str) -> str:
    """Remove the heads of data URLs, quotes and Python's bytes prefix around *text*."""
    text = text.strip().strip("\"'`")
    if text[:2] in ("b'", 'b"'):
        text = text[2:]
    for _ in range(_PERCENTS_MAX):
        if "%" in text[:200] and "," not in text[:200]:
            text = unquote(text[:600]) + text[600:]
    for _ in range(_HEADS_MAX):
        head = _HEAD.match(text)
        if head is None:
            break
        text = text[head.end() :]
    return text
