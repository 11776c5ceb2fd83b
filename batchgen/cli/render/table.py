"""Tables that fit the terminal: of a narrow one's columns, the most important stay."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..output import columns, shown
from .width import cells, pad, short, short_name, wrapped


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """What a table gives up on a narrow terminal: letters of long columns, then whole columns."""

    least: Mapping[int, int] = field(
        default_factory=dict
    )  #: columns that may be narrower, and how many cells they need
    names: Collection[int] = ()  #: those of them that are cut in the middle
    wrap: Collection[int] = ()  #: those of them that continue on another line instead
    drop: Sequence[int] = ()  #: columns that may be left out, the least important first


_LETTERS_ONLY = Fit()


def table(
    rows: Sequence[Sequence[object]],
    heads: Sequence[str],
    right: Iterable[int] = (),
    fit: Fit = _LETTERS_ONLY,
    width: int | None = None,
) -> list[str]:
    """Return the lines of a table with two spaces between columns; columns in *right* are right-aligned.

    It is at most *width* cells wide, by default as wide as the terminal; without a terminal it has its full width.
    """
    text = [list(map(shown, heads)), *([shown(str(cell).replace("\n", " ")) for cell in row] for row in rows)]
    natural = [max(cells(row[column]) for row in text) for column in range(len(heads))]
    room = columns() if width is None else width
    widths = dict(enumerate(natural)) if room is None else _fitted(natural, text, fit, room)
    right = set(right)

    def lines(row: Sequence[str]) -> Iterator[str]:
        parts = {column: _cell(row[column], column, each, fit) for column, each in widths.items()}
        for number in range(max(map(len, parts.values()))):
            texts = [
                pad(part[number] if number < len(part) else "", widths[column], right=column in right)
                for column, part in parts.items()
            ]
            yield "  ".join(texts).rstrip()

    return [line for row in text for line in lines(row)]


def _cell(text: str, column: int, width: int, fit: Fit) -> list[str]:
    """Return the lines of a cell."""
    if cells(text) <= width:
        return [text]
    if column in fit.wrap:
        return wrapped(text, width)
    return [short_name(text, width) if column in fit.names else short(text, width)]


def _fitted(natural: Sequence[int], text: Sequence[Sequence[str]], fit: Fit, room: int) -> dict[int, int]:
    """Return the columns that stay, each with its width."""
    widths = dict(enumerate(natural))

    def overflow(chosen: Mapping[int, int]) -> int:
        return sum(chosen.values()) + 2 * (len(chosen) - 1) - room

    for column in [column for column in widths if not any(row[column] for row in text[1:])]:
        if overflow(widths) > 0:
            del widths[column]
    for column in [column for column in fit.drop if column in widths]:
        if overflow({each: min(most, fit.least.get(each, most)) for each, most in widths.items()}) <= 0:
            break
        del widths[column]
    while (excess := overflow(widths)) > 0:
        spare = {column: widths[column] - least for column, least in fit.least.items() if column in widths}
        column = max(spare, key=lambda each: widths[each] if spare[each] > 0 else 0, default=-1)
        if column < 0 or spare[column] <= 0:
            break
        others = [widths[each] for each in spare if each != column and spare[each] > 0]
        step = max(1, widths[column] - max(others, default=0))
        widths[column] -= min(excess, spare[column], step)
    return widths
