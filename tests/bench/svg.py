"""Line charts as SVG: panels side by side, logarithmic axes, colours for light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_WIDTH, _HEIGHT = 460, 330  #: of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 20, 72, 48
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #333 } .title { font-size: 14px; font-weight: 600 }
.page { fill: #fff } .grid { stroke: #ddd; stroke-width: 1 } path { fill: none; stroke-width: 2 }
.a { stroke: #1864ab; fill: #1864ab } .b { stroke: #c2410c; fill: #c2410c } .c { stroke: #2b8a3e; fill: #2b8a3e }
.d { stroke: #7048e8; fill: #7048e8 } path.a, path.b, path.c, path.d { fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd } .page { fill: #15181c } .grid { stroke: #3a3f45 }
  .a { stroke: #74b3f0; fill: #74b3f0 } .b { stroke: #ff9a5c; fill: #ff9a5c } .c { stroke: #69db7c; fill: #69db7c }
  .d { stroke: #b197fc; fill: #b197fc } path.a, path.b, path.c, path.d { fill: none }
}
"""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart. Both axes are logarithmic; *across* and *up* name them, with their units."""

    title: str
    across: str
    up: str
    lines: Mapping[str, Points]


def write(path: Path, panels: Sequence[Panel]) -> None:
    """Write *panels* side by side."""
    width = _WIDTH * len(panels)
    charts = [f'<g transform="translate({_WIDTH * place})">{_panel(panel)}</g>' for place, panel in enumerate(panels)]
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}">'
        f'<style>{_STYLE}</style><rect class="page" width="100%" height="100%"/>{"".join(charts)}</svg>\n',
        encoding="utf-8",
    )


def _panel(panel: Panel) -> str:
    points = [point for line in panel.lines.values() for point in line]
    across = _Axis.around((x for x, _ in points), _LEFT, _WIDTH - _RIGHT)
    up = _Axis.around((y for _, y in points), _HEIGHT - _BOTTOM, _TOP)
    parts = [_text(_LEFT, 20, panel.title, "title"), _text(_LEFT, _TOP - 10, f"{panel.up}; both axes are logarithmic")]
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, panel.across, anchor="middle"))
    for value in across.ticks():
        x = across.place(value)
        parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
        parts.append(_text(x, _HEIGHT - _BOTTOM + 18, _label(value), anchor="middle"))
    for value in up.ticks():
        y = up.place(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 8, y + 4, _label(value), anchor="end"))
    begin = float(_LEFT)
    for colour, (name, line) in zip("abcd", panel.lines.items(), strict=False):
        places = [(across.place(x), up.place(y)) for x, y in line]
        parts.append(f'<path class="{colour}" d="M' + "L".join(f"{x:.1f} {y:.1f}" for x, y in places) + '"/>')
        parts += [f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
        parts.append(f'<circle class="{colour}" cx="{begin + 4:.1f}" cy="38" r="4"/>' + _text(begin + 13, 42, name))
        begin += 32 + 7 * len(name)
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    begin: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], begin: float, end: float) -> _Axis:
        found = [value for value in values if value > 0]
        low, high = min(found), max(found)
        return cls(low / 1.2, high * 1.2, begin, end)

    def place(self, value: float) -> float:
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Return round numbers in the range: powers of ten, and between them 2 and 5 where there is room."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = (1, 2, 5) if self.high / self.low < 1000 else (1,)
        return [step * 10.0**power for power in powers for step in steps if self.low <= step * 10.0**power <= self.high]


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _label(value: float) -> str:
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
