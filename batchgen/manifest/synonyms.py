"""Names that people give to columns in place of a parameter's own. Pure."""

from __future__ import annotations

import re

from ..errors import nearest
from .image_columns import folded

#: Likeness from which a name counts as a misspelt parameter.
_LIKE = 0.8
#: Folded names by parameter. ``prompt`` and ``images`` are absent: their columns are looked for.
_NAMES = {
    "mask": {"maskimage", "maskfile", "maskpath", "maskurl", "maske", "masque"},
    "model": {"modelname", "modelid", "modele", "modelo", "modello", "engine"},
    "provider": {"anbieter", "providername", "gateway", "vendor"},
    "size": {
        *("imagesize", "dimensions", "dimension", "aspectratio", "ratio", "ar", "grosse", "bildgrosse", "groesse"),
        *("bildgroesse", "taille", "format", "seitenverhaltnis"),
    },
    "quality": {"imagequality", "qualitat", "qualitaet", "qualite", "calidad"},
    "background": {"bg", "backgroundcolor", "backgroundcolour", "hintergrund"},
    "output_format": {"outputformat", "imageformat", "filetype", "fileformat", "format", "dateiformat"},
    "n": {"count", "num", "numimages", "numberofimages", "numoutputs", "anzahl", "variations"},
    "tags": {"tag", "labels", "keywords", "schlagworte", "stichworte", "etiquettes"},
    "seed": {"randomseed"},
}
#: What the cells look like where a name also means other things.
_CELLS = {
    "size": re.compile(r"\s*(?:\d+\s*[x\u00d7:*/]\s*\d+|auto)\s*", re.IGNORECASE),
    "output_format": re.compile(r"\s*\.?(?:png|jpe?g|webp)\s*", re.IGNORECASE),
    "background": re.compile(r"\s*(?:transparent|opaque|auto)\s*", re.IGNORECASE),
    "n": re.compile(r"\s*\d\s*"),
}
_SIDES = frozenset({"width", "height", "breite", "hohe", "imagewidth", "imageheight"})


def parameter_of(column: str, cells: list[str], free: set[str]) -> str | None:
    """Return which of the *free* parameters a column was probably meant to set; None if it is a variable."""
    plain = folded(column)
    match = next((name for name in free if folded(name) == plain), None)
    if match is None:
        match = next((name for name in sorted(free & _NAMES.keys()) if _is_synonym(name, plain, cells)), None)
    if match is None and len(plain) > 3:
        match = nearest(plain, sorted(free), _LIKE)
    return match


def is_side(column: str, cells: list[str]) -> bool:
    """Return whether a column holds one side of a size in pixels."""
    return folded(column) in _SIDES and bool(cells) and all(re.fullmatch(r"\s*\d{3,4}\s*", cell) for cell in cells)


def _is_synonym(parameter: str, plain: str, cells: list[str]) -> bool:
    pattern = _CELLS.get(parameter)
    return plain in _NAMES[parameter] and (
        pattern is None or (bool(cells) and all(pattern.fullmatch(cell) for cell in cells))
    )
