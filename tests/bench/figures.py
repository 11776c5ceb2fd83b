"""What a benchmark yields: rows of figures, each with its unit and its ratio to the row it is set against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

#: A value, or one for each repetition, and its unit.
Measure = tuple[float | Sequence[float], str]

_COLUMNS = ("speed", "cpu", "space")
_HEADS = ("what", "how", "speed", "CPU", "memory, syncs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One measured number: the median of its samples. ``ratio`` is the median of those to the row it is set against."""

    value: float
    unit: str
    ratio: float | None
    samples: tuple[float, ...] = ()

    @property
    def plain(self) -> str:
        """The number with its spread and unit, without the ratio."""
        spread = f" [{_short(min(self.samples))} to {_short(max(self.samples))}]" if len(self.samples) > 1 else ""
        return f"{_short(self.value)}{spread} {self.unit}"

    def __str__(self) -> str:
        return self.plain if self.ratio is None else f"{self.plain} ({_short(self.ratio)}x)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One way of doing one thing."""

    what: str
    how: str
    against: str  #: the ``how`` that ratios refer to
    speed: Figure | None = None
    cpu: Figure | None = None
    space: Figure | None = None

    @property
    def figures(self) -> list[Figure]:
        return [figure for name in _COLUMNS if (figure := getattr(self, name)) is not None]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Row:
        figures = {
            name: Figure(**document[name] | {"samples": tuple(document[name]["samples"])})
            for name in _COLUMNS
            if document[name]
        }
        return cls(**{name: document[name] for name in ("what", "how", "against")}, **figures)


def rows(what: str, cases: Mapping[str, Mapping[str, Measure]], against: str | None = None) -> list[Row]:
    """Return a row a case; ratios refer to the case *against*, the first one by default."""
    against = against or next(iter(cases))
    base = cases[against] if len(cases) > 1 else {}
    return [
        Row(
            what=what,
            how=how,
            against=against,
            **{name: _figure(measure, base.get(name)) for name, measure in measures.items()},
        )
        for how, measures in cases.items()
    ]


def _figure(measure: Measure, base: Measure | None) -> Figure:
    samples, unit = _samples(measure), measure[1]
    ratio = None
    if base is not None and base[1] == unit and all(reference := _samples(base)):
        ratio = median(sample / other for sample, other in zip(samples, reference, strict=True))
    return Figure(value=median(samples), unit=unit, ratio=ratio, samples=samples)


def _samples(measure: Measure) -> tuple[float, ...]:
    value = measure[0]
    return (value,) if isinstance(value, int | float) else tuple(value)


def table(found: Iterable[Row]) -> str:
    """Return *found* as a Markdown table that also reads well as plain text."""
    lines, last = [list(_HEADS)], ""
    for row in found:
        cells = [str(figure) if (figure := getattr(row, name)) else "" for name in _COLUMNS]
        lines.append([row.what if row.what != last else "", row.how, *cells])
        last = row.what
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADS))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _short(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"
