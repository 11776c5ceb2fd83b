"""Globs of job keys as regular expressions of PostgreSQL. Pure."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[^\w]", re.ASCII)


def as_regex(pattern: str) -> str:
    """Return the regular expression that matches exactly what ``selection.named`` matches."""
    pattern, parts, place = pattern.replace("[^", "[!"), list[str](), 0
    while place < len(pattern):
        char, place = pattern[place], place + 1
        if char == "*":
            parts.append(".*")
        elif char == "?":
            parts.append(".")
        elif char == "[" and (end := _end_of_set(pattern, place)) >= 0:
            parts.append(_set(pattern[place:end]))
            place = end + 1
        else:
            parts.append(_escaped(char))
    return f"^(?:{''.join(parts)})$"


def _end_of_set(pattern: str, start: int) -> int:
    """Return the place of the bracket that closes a set; -1 if none does."""
    first = start + (pattern[start : start + 1] == "!")
    return pattern.find("]", first + 1)


def _set(content: str) -> str:
    """Return a set of characters; ranges that are the wrong way round match nothing."""
    negated = content.startswith("!")
    rest, alternatives = content[negated:], list[str]()
    while rest:
        if len(rest) > 2 and rest[1] == "-":
            if rest[0] <= rest[2]:
                alternatives.append(f"{_escaped(rest[0])}-{_escaped(rest[2])}")
            rest = rest[3:]
        else:
            alternatives.append(_escaped(rest[0]))
            rest = rest[1:]
    if not alternatives:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{''.join(alternatives)}]"


def _escaped(char: str) -> str:
    return _SPECIAL.sub(lambda match: rf"\{match[0]}" if match[0].isascii() else match[0], char)
