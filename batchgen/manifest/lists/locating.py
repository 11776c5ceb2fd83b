"""The list that a name refers to: literal, in another Unicode form, or with a proposal where it does not exist."""

from __future__ import annotations

import glob
from pathlib import Path

from ...files import naming
from .globs import split
from .rows import BadList


def locate(name: str, folder: Path) -> str:
    """Return *name* as it is on the disk; raise BadList with a proposal where only a similar name exists.

    Of a glob this is about the folder that it begins with. A name that nothing resembles is returned as it is.
    """
    if not name or naming.find(folder, name) == name:
        return name
    is_glob = glob.has_magic(name) and naming.find(folder, name) is None
    base, rest = split(name, naming.fixed_parts(folder, name)) if is_glob else (name, ())
    if base.strip("/") in ("", "."):
        return name
    found = naming.find(folder, base)
    if found is None and (guess := naming.similar(folder, base)) is not None:
        what = "folder" if is_glob else "file"
        raise BadList(
            f"{naming.joined(folder, name)}: there is no such {what}; did you mean {'/'.join((guess, *rest))!r}?"
        )
    return name if found in (None, base) else "/".join((found, *rest))
