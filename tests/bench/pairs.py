"""Pairs: ways of doing one thing, each in turn and several times over, so that a busy minute hits all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .figures import Row, rows

#: One measurement: value and unit by column.
Sample = Mapping[str, tuple[float, str]]


def pairs(what: str, ways: Mapping[str, Callable[[], Sample]], times: int) -> list[Row]:
    """Measure *ways* in turn, *times* over; ratios are of the same turn, to the first way."""
    samples: dict[str, list[Sample]] = {how: [] for how in ways}
    for turn in range(times):
        order = list(ways) if turn % 2 == 0 else list(reversed(ways))
        for how in order:
            samples[how].append(ways[how]())
    return rows(
        what,
        {
            how: {column: ([sample[column][0] for sample in taken], unit) for column, (_, unit) in taken[0].items()}
            for how, taken in samples.items()
        },
    )
