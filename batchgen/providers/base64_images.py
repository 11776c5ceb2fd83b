"""Image bytes written as text: base64 as gateways send it, and what the first bytes of an image look like.  Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_to_bytes

import pybase64

_HEAD = re.compile(r"\s*(?:data:[^,]{0,200};\s*base64\s*,|image/[^,;\s]{1,40};\s*base64,|base64,)", re.IGNORECASE)
#: Line breaks as an escape that was escaped once more: a backslash and a letter of the base64 alphabet.
_BREAKS = re.compile(r"(?:\\+[rn])+")
_FOREIGN = re.compile(r"[^A-Za-z0-9+/]+")
_RUN = re.compile(r"[A-Za-z0-9+/_-]{64,}+={0,2}+")
#: A data URL may have been wrapped so often.
_HEADS_MAX = 4
#: Percent-encoding may have been applied so often.
_PERCENTS_MAX = 3

#: The signature of bare JPEG XL: two bytes, which many a text has.
_TOO_SHORT = b"\xff\x0a"
_DRAWING = b"<svg"
_SIGNATURES = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"\0\0\0\x0cJXL ",
    b"\0\0\0\x0cjP  ",
    _TOO_SHORT,
    _DRAWING,
)
#: Letters of base64 that hold the bytes by which an image is known, a few blanks among them.
_BEGINNING = 96
#: Bytes of what was decoded that show whether it is base64 once more.
_INNER = 400


def is_image(data: bytes) -> bool:
    """Return whether the first bytes are those of an image, in whatever format."""
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
    """Return whether *text* is base64 of an image, by its beginning; nothing long is decoded."""
    beginning = _unwrapped(text[: _BEGINNING + 200])[:_BEGINNING]
    data = decode(beginning) or b"" if beginning else b""
    return is_image(data) and not data.startswith(_TOO_SHORT)  # a path such as /word/... begins with those


def images_in(text: str) -> list[str]:
    """Return the base64 of images that stands between other marks in *text*, whatever syntax that has."""
    return [run for run in dict.fromkeys(_RUN.findall(text)) if holds_image(run)]


def decode(text: str) -> bytes | None:
    """Return the bytes of base64 or of a data URL, however it is written; None where there are none.

    Padding may be missing, blanks and line breaks may be inside, the URL alphabet and percent-encoding are read, and
    base64 of base64.  Whether all of an image is there is for ``images`` to find out.
    """
    text = _unwrapped(text)
    data = _of_plain_url(text) if is_data_url(text) else _decoded(text)
    if data and not is_image(data) and holds_image(inner := data[:_INNER].decode("ascii", "replace")):
        return _decoded(_unwrapped(data.decode("ascii", "replace") if len(data) > _INNER else inner))
    return data


def _of_plain_url(url: str) -> bytes | None:
    """Return the image in a data URL whose bytes are percent-encoded; a drawing in SVG is a placeholder, no result."""
    data = unquote_to_bytes(url.partition(",")[2])
    return data if is_image(data) and not data.startswith(_DRAWING) else None


def _decoded(text: str) -> bytes | None:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        pass
    for _ in range(_PERCENTS_MAX):
        text = unquote(text) if "%" in text else text
    text = _BREAKS.sub("", text.strip()).replace("-", "+").replace("_", "/")
    if _has_lost_plus(text):
        text = text.replace(" ", "+")
    # texts that were encoded piece by piece have padding inside
    pieces = [_of_piece(_FOREIGN.sub("", piece)) for piece in text.split("=")]
    return None if None in pieces else b"".join(filter(None, pieces)) or None


def _of_piece(text: str) -> bytes | None:
    if len(text) % 4 == 1:  # no whole byte is in the last letter
        text = text[:-1]
    try:
        return pybase64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None


def _has_lost_plus(text: str) -> bool:
    """Return whether blanks stand for plus signs, as after decoding a form: no plus is left, the lines are uneven."""
    lines = text.split(" ")
    return len(lines) > 1 and "+" not in text and len(text) % 4 == 0 and len({*map(len, lines[:-1])}) > 1


def _unwrapped(text: str) -> str:
    """Return *text* without heads of data URLs, quotes and Python's mark of bytes around it."""
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
