"""Sizes as providers accept them: WxH from a list, WxH by rule, or an aspect ratio."""

from __future__ import annotations

import re
from math import gcd, log, sqrt
from typing import assert_never

from .model import SizeRule

_WXH = re.compile(r"(\d{1,6})\s*[xX×]\s*(\d{1,6})")  # noqa: RUF001 - people paste the real multiplication sign
_RATIO = re.compile(r"(\d{1,4})\s*:\s*(\d{1,4})")

#: Suggested sizes are multiples of it, as those that every provider names in its documents.
_STEP = 16

#: Two spellings of the smallest resolution: providers know one of them.
SPELLINGS = {"0.5k": "512", "512": "0.5k"}

#: A message and a hint.
SizeProblem = tuple[str, str]


def pixels(size: str | None) -> int | None:
    """Return the area of a WxH, or None for anything else."""
    edges = _pair(_WXH, size or "")
    return edges[0] * edges[1] if edges else None


def fit_size(size: str | None, rule: SizeRule, who: str) -> tuple[str | None, SizeProblem | None]:
    """Return (the size to send, None), or (None, the problem).

    "auto" lets the provider decide: if it does not know the word, no size is sent.
    """
    text = (size or "").strip().lower()
    if not text or (text == "auto" and "auto" not in rule.allowed):
        return None, None
    if text in rule.allowed:
        return text, None
    edges, ratio = _pair(_WXH, text), _pair(_RATIO, text)
    if rule.mode == "none":
        return None, (f"{who} takes no size", "omit size for this provider")
    if edges is None and ratio is None:
        return None, (f"{size!r} is not a size", f"write {_example(rule)}")
    match rule.mode:
        case "fixed":
            return _fixed(edges, ratio, rule, who)
        case "free":
            return _free(edges, ratio, rule, who)
        case "ratio":
            return _ratio(edges or ratio or (1, 1), rule, who)
        case _:
            assert_never(rule.mode)


def _fixed(
    edges: tuple[int, int] | None, ratio: tuple[int, int] | None, rule: SizeRule, who: str
) -> tuple[str | None, SizeProblem | None]:
    wanted = edges or ratio or (1, 1)
    text = f"{wanted[0]}x{wanted[1]}"
    if edges and text in rule.allowed:
        return text, None
    near = _nearest(wanted, [pair for word in rule.allowed if (pair := _pair(_WXH, word))])
    size = text if edges else f"{wanted[0]}:{wanted[1]}"
    return None, (f"{who} does not make {size}, only {', '.join(rule.allowed)}", f"the nearest is {near[0]}x{near[1]}")


def _free(
    edges: tuple[int, int] | None, ratio: tuple[int, int] | None, rule: SizeRule, who: str
) -> tuple[str | None, SizeProblem | None]:
    if edges is None:
        near = _nearest_free(ratio or (1, 1), rule)
        return None, (f"{who} wants WIDTHxHEIGHT, not a ratio", f"write {near[0]}x{near[1]}")
    broken = _broken_rule(edges, rule)
    if broken is None:
        return f"{edges[0]}x{edges[1]}", None
    near = _nearest_free(edges, rule)
    return None, (f"{who} does not make {edges[0]}x{edges[1]}: {broken}", f"the nearest is {near[0]}x{near[1]}")


def _ratio(pair: tuple[int, int], rule: SizeRule, who: str) -> tuple[str | None, SizeProblem | None]:
    by_value = {_reduce(ratio): word for word in rule.allowed if (ratio := _pair(_RATIO, word))}
    if 0 not in pair and _reduce(pair) in by_value:
        return by_value[_reduce(pair)], None
    near = by_value[_nearest(pair, list(by_value))]
    width, height = _reduce(pair)
    return None, (f"{who} does not make {width}:{height}, only {', '.join(rule.allowed)}", f"the nearest is {near}")


def _broken_rule(edges: tuple[int, int], rule: SizeRule) -> str | None:
    width, height = edges
    if not width or not height:
        return "an edge is 0"
    if max(edges) > rule.shape_max * min(edges):
        return f"its shape is beyond {rule.shape_max}:1"
    if max(edges) > rule.edge_max:
        return f"an edge is longer than {rule.edge_max}"
    if width % rule.step or height % rule.step:
        return f"both edges must be divisible by {rule.step}"
    if width * height < rule.pixels_min:
        return f"it has fewer than {rule.pixels_min} pixels"
    if width * height > rule.pixels_max:
        return f"it has more than {rule.pixels_max} pixels"
    return None


def _nearest_free(pair: tuple[int, int], rule: SizeRule) -> tuple[int, int]:
    """Return an allowed size of about the same shape and, if possible, area; for a ratio about one megapixel."""
    width, height = (max(1, edge) for edge in pair)
    shape = min(max(width / height, 1 / rule.shape_max), rule.shape_max)
    area = width * height if min(width, height) >= 100 else 1024 * 1024
    area = min(max(area, rule.pixels_min), rule.pixels_max)
    exact = sqrt(area * shape), sqrt(area / shape)
    step = max(rule.step, _STEP)
    options = [
        (round(exact[0] / step) * step + across * step, round(exact[1] / step) * step + down * step)
        for across in range(-4, 5)
        for down in range(-4, 5)
    ]
    fitting = [edges for edges in options if _broken_rule(edges, rule) is None]
    return _nearest((round(exact[0]), round(exact[1])), fitting) if fitting else (1024, 1024)


def _nearest(wanted: tuple[int, int], allowed: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the pair of *allowed* with the nearest shape, then area."""
    width, height = (max(1, edge) for edge in wanted)

    def distance(pair: tuple[int, int]) -> tuple[float, float]:
        shape = abs(log(width / height) - log(pair[0] / pair[1]))
        return round(shape, 2), abs(log(width * height) - log(pair[0] * pair[1]))

    return min(allowed, key=distance)


def _pair(pattern: re.Pattern[str], text: str) -> tuple[int, int] | None:
    match = pattern.fullmatch(text.strip())
    return (int(match[1]), int(match[2])) if match else None


def _reduce(pair: tuple[int, int]) -> tuple[int, int]:
    common = gcd(*pair) or 1
    return pair[0] // common, pair[1] // common


def _example(rule: SizeRule) -> str:
    return ", ".join(rule.allowed) if rule.mode != "free" else "WIDTHxHEIGHT, such as 1024x1024"
