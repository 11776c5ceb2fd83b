"""HEIC images, which only the optional package pillow-heif can read."""

from __future__ import annotations

import io
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

#: How to install it.
INSTALL = "pip install 'batchgen[heif]'"
MIME = "image/heic"
_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


def is_heif(data: bytes) -> bool:
    """Return whether *data* is a HEIC image by its first bytes."""
    return data[4:8] == b"ftyp" and data[8:12] in _BRANDS


def is_installed() -> bool:
    """Return whether pillow-heif is installed."""
    return find_spec("pillow_heif") is not None


def size_of(data: bytes) -> tuple[int, int]:
    """Return width and height of a HEIC image, upright, without decoding it."""
    width, height = _open(data).size
    return width, height


def decode(data: bytes) -> Image.Image:
    """Return the pixels of a HEIC image, upright."""
    image: Image.Image = _open(data).to_pillow()
    return image


def _open(data: bytes) -> Any:  # noqa: ANN401 - the package has no types
    return import_module("pillow_heif").open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
