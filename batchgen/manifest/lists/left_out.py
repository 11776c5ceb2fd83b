"""Files and folders that a folder of images leaves out, by the reason. Pure."""

from __future__ import annotations

#: So many names are shown of each group.
_SHOWN = 3
#: So many groups are shown; a folder of many other kinds of files would fill the screen.
_MOST_GROUPS = 10


class LeftOut:
    """Groups of names that were left out; of each group only the first names are kept."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], tuple[int, list[str]]] = {}

    def __bool__(self) -> bool:
        return bool(self._groups)

    def add(self, path: str, one: str, many: str, advice: str = "") -> None:
        """Add *path* to the group that one of is called *one*, and several *many*; *advice* is what to write."""
        count, names = self._groups.get((one, many, advice), (0, []))
        # The order of a disk is accidental, so the first names by the alphabet are kept.
        self._groups[one, many, advice] = count + 1, sorted([*names, path])[:_SHOWN]

    def __str__(self) -> str:
        """Return one sentence of all groups: first those that something can be done about, then the largest."""
        groups = sorted(self._groups.items(), key=lambda group: (not group[0][2], -group[1][0], group[0]))
        shown = [_text(*key, *value) for key, value in groups[:_MOST_GROUPS]]
        if rest := groups[_MOST_GROUPS:]:
            names = [names[0] for _, (_, names) in rest][:_SHOWN]
            shown.append(_text("other", "others", "", sum(count for _, (count, _) in rest), names))
        return f"left out: {'; '.join(shown)}"


def _text(one: str, many: str, advice: str, count: int, names: list[str]) -> str:
    shown = ", ".join(name if name.isprintable() else ascii(name) for name in names)
    more = ", ..." if count > len(names) else ""
    text = f"{count:,} {one if count == 1 else many} ({shown}{more})"
    return f"{text}: {advice}" if advice else text
