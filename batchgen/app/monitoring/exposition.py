"""Figures in the text form that Prometheus reads.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """One metric: what it counts, and its samples by their labels."""

    name: str
    kind: str  #: "counter" only grows within a run, "gauge" goes up and down
    help: str
    samples: Sequence[tuple[Mapping[str, str], int | str]] = field(default_factory=list)  #: labels, a decimal number


def exposition(families: Iterable[Family]) -> str:
    """Return *families* as text; those without samples are left out."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines += [f"# HELP {family.name} {_escaped(family.help)}", f"# TYPE {family.name} {family.kind}"]
            lines += [f"{family.name}{_labels(labels)} {value}" for labels, value in family.samples]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    said = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels.items())
    return f"{{{said}}}" if said else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
