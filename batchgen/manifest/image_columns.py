"""Columns that hold source images, by their names and by their cells."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files.naming import find
from .cells import image_names

#: Names without blanks, hyphens and underscores.
_NAMES = frozenset(
    [
        "image",
        "images",
        "img",
        "imgs",
        "imagepath",
        "imagepaths",
        "imagefile",
        "imagefiles",
        "imagefilename",
        "imagename",
        "imageurl",
        "imagesrc",
        "imagelink",
        "imgpath",
        "imgfile",
        "imgurl",
        "inputimage",
        "inputimages",
        "inputfile",
        "input",
        "sourceimage",
        "sourceimages",
        "sourcefile",
        "source",
        "src",
        "file",
        "filename",
        "filepath",
        "path",
        "photo",
        "photos",
        "photopath",
        "photofile",
        "photourl",
        "picture",
        "pictures",
        "picturepath",
        "pictureurl",
        "pic",
        "foto",
        "fotos",
        "bild",
        "bilder",
        "bildpfad",
        "bilddatei",
        "bildurl",
        "produktbild",
        "productimage",
        "productphoto",
        "dateiname",
        "datei",
        "fichier",
        "imagesource",
        "imagen",
        "immagine",
        "reference",
        "referenceimage",
        "initimage",
        "baseimage",
        "originalimage",
        "mainimage",
    ]
)
#: Parts of names that mean nothing but images: their cells may be URLs without a suffix.
_CERTAIN = re.compile(r"image|img|photo|foto|picture|bild")
_FILE = re.compile(r"[^\n]{1,400}\.(?:png|jpe?g|jpe|jfif|webp|heic|heif|avif|gif|bmp|tiff?)", re.IGNORECASE)


def folded(name: str) -> str:
    """Return a name as it is compared: in lower case, without accents, blanks, hyphens and underscores."""
    text = unicodedata.normalize("NFKD", name).casefold()
    return "".join(char for char in text if char.isalnum())


def is_image_name(column: str) -> bool:
    """Return whether a column is named like ``images``; several may be numbered."""
    return folded(column).rstrip("0123456789") in _NAMES


def texts(rows: Sequence[Mapping[str, Any]], column: str) -> Iterator[str]:
    """Yield the texts in a column that are not blank; those of a list one by one."""
    for row in rows:
        value = row.get(column)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and item.strip():
                yield item


def hold_images(values: Sequence[str], column: str) -> bool:
    """Return whether the cells of a column name images: at least half of them, since some rows may have none."""
    any_url = _CERTAIN.search(folded(column)) is not None
    return bool(values) and sum(_names_image(value, any_url=any_url) for value in values) * 2 >= len(values)


def exist(values: Sequence[str], folder: Path) -> bool:
    """Return whether one of the cells names a file in *folder*."""
    names = (name for value in values for name in image_names(value, folder))
    return any("://" not in name[:20] and "\0" not in name and find(folder, name) is not None for name in names)


def are_urls(values: Sequence[str], column: str) -> bool:
    """Return whether the cells of a column whose name means nothing but images are URLs."""
    return _CERTAIN.search(folded(column)) is not None and any("://" in value[:20] for value in values)


def _names_image(value: str, *, any_url: bool) -> bool:
    name = value.strip()
    if name.startswith("data:image/"):
        return True
    if "://" in name[:20]:
        return any_url or _FILE.fullmatch(re.split(r"[?#]", name, maxsplit=1)[0]) is not None
    return _FILE.fullmatch(name.rstrip(']" ;')) is not None
