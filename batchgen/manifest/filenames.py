"""File names that are safe on every system. Pure."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

#: File systems allow 255 bytes a component; the rest is for numbers, ``.json`` and temporary names.
COMPONENT_BYTES = 255 - 64
NAME_BYTES = 1024

#: Variables of templates for file names, and for the folder.
FILE_FIELDS = ("id", "name", "provider", "model", "kind")
FOLDER_FIELDS = ("name",)

#: The usual name; Windows reserves none of five or more characters without a dot.
_SIMPLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{4,40}")
_FORBIDDEN = re.compile(r'[<>:"|?*\\]')
_RESERVED = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3])(?: *\..*| *)", re.IGNORECASE
)
_FILE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".json")
#: The category Cc of Unicode.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: Cc, Cf, Zl and Zp: they change how text around them is shown, or end a line.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
#: Joiners that emoji and several scripts are written with.
_JOINERS = "\u200c\u200d"


def control(text: str, *, allow: str = "") -> str | None:
    """Return the first control character of *text* as U+XXXX, or None; those in *allow* do not count."""
    if text.isprintable():
        return None
    found = (match[0] for match in _CONTROL.finditer(text) if match[0] not in allow)
    return next((f"U+{ord(char):04X}" for char in found), None)


def flaw(name: str) -> str | None:
    """Return why *name* cannot be a file's path inside the output folder on every system, or None."""
    if not name:
        return "is empty"
    if _SIMPLE.fullmatch(name):
        return None
    if len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES:
        return f"is longer than {NAME_BYTES} bytes"
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    parts = name.split("/")
    if any(folder.lower().endswith(_FILE_ENDINGS) for folder in parts[:-1]):
        return "has a folder that is named like a file, which another job may write"
    return next(filter(None, map(_component_flaw, parts)), None)


def _component_flaw(part: str) -> str | None:
    if part in ("", ".", ".."):
        return "has an empty part, . or .. in it"
    if part[0] in ".-~ " or part[-1] in ". ":
        return "has a part that starts with one of . - ~ or a space, or ends with a dot or a space"
    for char in part:
        if not char.isprintable() and char not in _JOINERS and unicodedata.category(char) in _HIDDEN:
            return f"contains the invisible character U+{ord(char):04X}"
    forbidden = _FORBIDDEN.search(part)
    if forbidden:
        return f"contains {forbidden[0]}, which Windows does not allow"
    if _RESERVED.fullmatch(part):
        return f"is a name that Windows reserves ({part})"
    if len(part.encode("utf-8")) > COMPONENT_BYTES:
        return f"has a part longer than {COMPONENT_BYTES} bytes"
    return None


def portable(path: str) -> str:
    """Return *path* with underscores in place of the characters that ``flaw`` refuses; lengths stay."""
    return "/".join(map(_portable_component, path.split("/"))) if flaw(path) else path


def _portable_component(part: str) -> str:
    part = _FORBIDDEN.sub("_", part)
    part = re.sub(r"^[-.~ ]|[. ]$", "_", part)
    return f"{part}_" if _RESERVED.fullmatch(part) else part


def folded(name: str) -> str:
    """Return *name* in the form in which file systems compare names: case and composition of accents do not count."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def slug(text: object, limit: int = 40) -> str:
    """Return *text* as lower-case ASCII words joined by hyphens, at most *limit* characters; maybe empty."""
    ascii_text = unicodedata.normalize("NFKD", str(text)).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:limit].rstrip("-")


def stems(output: str, wanted: int) -> tuple[str, ...]:
    """Return the file stems of a job with this output and *wanted* images, which are numbered by arrival."""
    if wanted == 1:
        return (output,)
    path = PurePosixPath(output)
    return tuple(str(path.with_name(f"{path.name}-{number}")) for number in range(1, wanted + 1))
