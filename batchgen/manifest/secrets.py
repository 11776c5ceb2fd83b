"""API keys in a manifest. Pure. No message ever repeats one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..errors import Problem
from .locations import Path, Places

#: Unmistakable keys: of OpenAI and similar APIs, Google, AWS, GitHub; a bearer header.
_KEY = re.compile(
    r"\b(?:sk|pk|rk)-(?:[A-Za-z0-9]+-)*[A-Za-z0-9_]{16,}|\bAIza[0-9A-Za-z_-]{30,}|\bAKIA[0-9A-Z]{16}\b|"
    r"\bgh[pousr]_[A-Za-z0-9]{30,}|\b[Bb]earer\s+[A-Za-z0-9._~+/-]{16,}"
)
#: Names whose value, if it is one long word, is a key.
_NAME = re.compile(
    r"(?:api|secret|access|private)[-_]?key$|^key$|token$|secret$|password$|^authorization$", re.IGNORECASE
)
_WORD = re.compile(r"[!-~]{16,}")
_HEX = re.compile(r"[0-9a-fA-F]{32,}")


def is_key(text: str) -> bool:
    """Return whether *text* contains something that looks like an API key."""
    return _KEY.search(text) is not None


def find(data: dict[str, Any], text: str, places: Places) -> Iterator[Problem]:
    """Yield a Problem for each API key in the document *data*, which was read from *text*."""
    if not any(mark in text for mark in _MARKS):
        return
    hint = f"keys belong in the environment: export {_variable(data)}=..., or name another variable with api_key_env"
    stack: list[tuple[Path, Any]] = [((), data)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, dict):
            stack.extend(((*path, key), value) for key, value in node.items())
        elif isinstance(node, list):
            stack.extend(((*path, number), value) for number, value in enumerate(node))
        elif isinstance(node, str) and _suspicious(path, node):
            yield places.problem(path, "api_key", "this looks like an API key; a manifest must not contain keys", hint)


def _variable(data: dict[str, Any]) -> str:
    """Return the usual environment variable of the key of the first provider that *data* names."""
    defaults, providers = data.get("defaults"), data.get("providers")
    named = defaults.get("provider") if isinstance(defaults, dict) else None
    names = named if isinstance(named, list) else [named, *(providers if isinstance(providers, dict) else ())]
    name = next((name for name in names if isinstance(name, str) and not is_key(name)), "aigate")
    return f"{re.sub(r'[^A-Za-z0-9]', '_', name).upper()[:40]}_API_KEY"


#: Every key contains one of these, or its name does: a text without them needs no closer look.
_MARKS = (
    *("sk-", "pk-", "rk-", "AIza", "AKIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "earer"),
    *(word for name in ("key", "token", "secret", "password", "authorization")
      for word in (name, name.capitalize(), name.upper())),
)  # fmt: skip


def _suspicious(path: Path, text: str) -> bool:
    if _KEY.search(text):
        return True
    name = str(path[-1]) if path else ""
    if "api_key_env" in path[-2:]:
        return _HEX.fullmatch(text) is not None
    return _NAME.search(name) is not None and (_WORD.fullmatch(text) is not None)
