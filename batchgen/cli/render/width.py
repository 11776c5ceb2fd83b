"""Widths of text on a terminal, in cells: wide characters take two, combining ones none."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

_JOINER = "\u200d"
_EMOJI_STYLE = "\ufe0f"
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))


def cells(text: str) -> int:
    """Return how many cells *text* takes."""
    return len(text) if text.isascii() else sum(width for _, width in _clusters(text))


def left_part(text: str, width: int) -> str:
    """Return the longest beginning of *text* that takes at most *width* cells."""
    return text[:width] if text.isascii() else _taken(_clusters(text), width)


def right_part(text: str, width: int) -> str:
    """Return the longest end of *text* that takes at most *width* cells."""
    if text.isascii():
        return text[max(0, len(text) - width) :]
    clusters = list(_clusters(text))
    while sum(each for _, each in clusters) > width:
        del clusters[0]
    return "".join(cluster for cluster, _ in clusters)


def short(text: str, width: int) -> str:
    """Return *text* on one line of at most *width* cells, cut between words where that costs little."""
    line = " ".join(text.split())
    if cells(line) <= width:
        return line
    beginning = left_part(line, width - 1)
    word = beginning.rfind(" ")
    return (beginning[:word] if word >= len(beginning) * 3 // 4 else beginning.rstrip()) + "…"


def short_name(name: str, width: int) -> str:
    """Return a name of at most *width* cells, cut in the middle, because names differ at their ends."""
    if cells(name) <= width:
        return name
    end = (width - 1) // 2
    return f"{left_part(name, width - 1 - end)}…{right_part(name, end)}"


def wrapped(text: str, width: int) -> list[str]:
    """Return *text* in lines of at most *width* cells, broken between words where it has any."""
    lines = [""]
    for word in text.split(" "):
        rest = word
        if cells(f"{lines[-1]} {rest}") > width and lines[-1].strip():
            lines.append("")
        while cells(rest) > width:
            part = left_part(rest, width) or rest[:1]
            lines[-1] = part
            lines.append("")
            rest = rest[len(part) :]
        lines[-1] += f" {rest}" if lines[-1] else rest
    return lines


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return *text* filled with blanks to *width* cells; *right*: aligned to the right."""
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks


def _taken(clusters: Iterator[tuple[str, int]], width: int) -> str:
    taken: list[str] = []
    for cluster, cluster_width in clusters:
        width -= cluster_width
        if width < 0:
            break
        taken.append(cluster)
    return "".join(taken)


def _clusters(text: str) -> Iterator[tuple[str, int]]:
    """Yield what a terminal draws as one character, each with its width."""
    cluster, width, joined = "", 0, False
    for character in text:
        own = _own_width(character)
        if cluster and (joined or own == 0 or character in _SKIN_TONES):
            cluster += character
            width = max(width, 2 if character == _EMOJI_STYLE else own)
        else:
            if cluster:
                yield cluster, width
            cluster, width = character, own
        joined = character == _JOINER
    if cluster:
        yield cluster, width


def _own_width(character: str) -> int:
    if character == _JOINER or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
