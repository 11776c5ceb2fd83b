"""txt: a prompt on each line.  A doer: it reads one file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..filenames import control
from .errors import Report
from .text import ListFile


class Prompts:
    """Rows of one column, ``prompt``; empty lines are none."""

    columns: tuple[str, ...] | None = ("prompt",)

    def __init__(self, source: ListFile) -> None:
        source.probe()
        self._source = source

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number of each line that is not blank, and its text without the blanks around it."""
        for first, block in self._source.blocks(report):
            for line, text in enumerate(block.split("\n"), first):
                prompt = text.strip()
                stray = control(prompt, allow="\t")
                if stray:
                    report(line, 1, "control_character", f"control character {stray} is not allowed", "remove it")
                elif prompt:
                    yield line, {"prompt": prompt}

    def place(self, line: int, column: str | None) -> tuple[int, int]:  # noqa: ARG002 - there is but one
        """Return the line and its first column."""
        return line, 1
