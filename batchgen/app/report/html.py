"""The page of a report as HTML: one file with script, style and data, under a strict content policy. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import orjson

#: Four pictures, one of them still to come; its colours show on light and dark tabs.
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 20 20'%3E"
    "%3Cpath fill='%233a57cf' d='M3 1h4a2 2 0 0 1 2 2v4a2 2 0 0 1-2 2H3a2 2 0 0 1-2-2V3a2 2 0 0 1 2-2Z'/%3E"
    "%3Cpath fill='%238799e6' d='M13 1h4a2 2 0 0 1 2 2v4a2 2 0 0 1-2 2h-4a2 2 0 0 1-2-2V3a2 2 0 0 1 2-2ZM3 11h4"
    "a2 2 0 0 1 2 2v4a2 2 0 0 1-2 2H3a2 2 0 0 1-2-2v-4a2 2 0 0 1 2-2Z'/%3E"
    "%3Crect x='12' y='12' width='6' height='6' rx='1.5' fill='none' stroke='%233a57cf' stroke-width='2'/%3E%3C/svg%3E"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>{title}</title>
<link rel="icon" href="{icon}">
<style>{style}</style>
</head>
<body>
<noscript>This page needs JavaScript. batchgen list shows the same jobs.</noscript>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def render(document: Mapping[str, Any], *, live: Mapping[str, Any] | None = None) -> str:
    """Return the page of *document*; *live*: URLs of the server that keeps it up to date."""
    script, style = _read_built("page.js"), _read_built("page.css")
    loads_chunks = "chunk" in document
    policy = {
        "default-src": "'none'",
        "img-src": "'self' data: blob: file:" + _origins(document),
        "style-src": _source_hash(style),
        "script-src": _source_hash(script) + (" 'self' file:" if loads_chunks else ""),
        **({"connect-src": "'self'"} if live is not None else {}),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    content = dict(document) if live is None else {**document, "live": dict(live)}
    return _PAGE.format(
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        title=escape(f"{document['batch']} · batchgen"),
        icon=_ICON,
        style=style,
        script=script,
        data=embed(content),
    )


def chunk(number: int, details: Iterable[Mapping[str, Any]]) -> str:
    """Return the script that hands details of jobs to the page."""
    return f"batchgenDetails({number},{embed(list(details))});\n"


def embed(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return *value* as JSON that can end neither a script element nor, in a script, a line."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except (orjson.JSONEncodeError, UnicodeError):  # half of a surrogate pair, which UTF-8 does not have
        text = json.dumps(value, separators=(",", ":"))
    for sign, code in (("<", "\\u003c"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        text = text.replace(sign, code)
    return text


@cache
def _read_built(name: str) -> str:
    text = (files("batchgen.page") / "built" / name).read_text(encoding="utf-8")
    end = "</script" if name.endswith(".js") else "</style"
    if end in text.lower() or "<!--" in text:
        raise ValueError(f"built/{name} would end its own element")
    return text


def _origins(document: Mapping[str, Any]) -> str:
    """Return the origins of pictures that are elsewhere, in object stores, each after a blank."""
    urls = [document.get("folder_url", ""), *document.get("buckets", {}).values()]
    addresses = [address for address in map(urlsplit, urls) if address.scheme in ("http", "https")]
    return "".join(dict.fromkeys(f" {address.scheme}://{address.netloc}" for address in addresses))


@cache
def _source_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
