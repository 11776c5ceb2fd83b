"""Kinds of files in folders of images, by their names. Pure."""

from __future__ import annotations

import os

#: Images that providers accept. Many names are in use for a JPEG; the content decides what is sent.
SUFFIXES = frozenset({".png", ".apng", ".webp", ".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjp",
                      ".mpo", ".jpg_large", ".jpg_medium", ".jpg_small", ".jpg_orig", ".png_large"})  # fmt: skip
#: Images that ``convert`` turns into accepted ones, with the name of their kind.
CONVERTIBLE = {
    ".heic": "HEIC", ".heif": "HEIC", ".hif": "HEIC", ".heics": "HEIC", ".avif": "AVIF", ".avifs": "AVIF",
    ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".gif": "GIF", ".jp2": "JPEG 2000",
    ".j2k": "JPEG 2000", ".jpx": "JPEG 2000", ".jpf": "JPEG 2000",
}  # fmt: skip
_RAW = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw"})
#: Images that have to be exported as another kind first.
_FOREIGN = {".jxl": "JPEG XL", ".psd": "PSD", ".svg": "SVG", ".ico": "ICO", ".exr": "EXR"}
#: The folder in which sandbox runs leave their images: they would become sources of paid edits.
_SANDBOX_OUTPUT = "sandbox-output"
#: Files that describe an image or a batch; their presence in a folder means nothing.
_BESIDE = frozenset({".json", ".yaml", ".yml", ".xmp", ".aae", ".thm"})
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "picasa.ini"})
_SYSTEM_FOLDERS = frozenset({
    "@eadir", "__macosx", "$recycle.bin", "system volume information", ".batchgen", ".git", ".hg", ".svn", ".venv",
    ".cache", ".idea", ".vscode", ".trash", ".trashes", ".thumbnails", ".spotlight-v100", ".fseventsd",
    ".temporaryitems", ".documentrevisions-v100", ".picasaoriginals",
})  # fmt: skip


def suffix_of(name: str) -> str:
    """Return the suffix of a file name in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def is_system(name: str) -> bool:
    """Return whether an operating system or a program, batchgen too, keeps its own data under this name."""
    lower = name.lower()
    return name.startswith("._") or name == _SANDBOX_OUTPUT or lower in _SYSTEM_FILES or lower in _SYSTEM_FOLDERS


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden by its name."""
    return name.startswith(".")


def is_picture(suffix: str) -> bool:
    """Return whether files with this suffix are images of any kind."""
    return suffix in SUFFIXES or suffix in CONVERTIBLE or suffix in _RAW or suffix in _FOREIGN


def kind_of(name: str) -> str | None:
    """Return the kind of a file that is left out, such as HEIC or .txt; None for one that needs no mention."""
    suffix = suffix_of(name)
    if suffix in _BESIDE:
        return None
    return CONVERTIBLE.get(suffix) or _FOREIGN.get(suffix) or ("RAW" if suffix in _RAW else suffix or "without suffix")


def advice_on(kind: str) -> str:
    """Return what to write so that images of this kind are taken; empty where nothing helps."""
    if kind == "GIF":
        return "write convert: png"  # may be transparent, which a JPEG is not
    if kind in CONVERTIBLE.values():
        return "write convert: jpeg"
    return "export them as jpg or png" if kind == "RAW" or kind in _FOREIGN.values() else ""
