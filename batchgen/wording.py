"""Wording of prompts: which texts are the same, which are blank, and what of a text is sent. Pure.

Editors, spreadsheets and YAML styles change line ends, blanks at the ends of lines and the composition of accents
without the author noticing. None of it changes what a prompt asks for.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

#: Characters without a glyph and without a meaning in a prompt. Joiners (U+200C, U+200D), variation selectors and
#: tags are not among them: emoji and several scripts are written with them.
INVISIBLE = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)

_REMOVED = dict.fromkeys(map(ord, INVISIBLE))
_LINE_END = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_BLANK = re.compile(r"[^\S\n]")
_BEFORE_LINE_END = re.compile(r" +(?=\n)")
#: Characters that show nothing though they are letters or symbols: fillers of Hangul, the empty Braille cell.
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
#: Categories that show nothing on their own: formats such as joiners and tags, and marks such as variation selectors.
_UNSEEN = frozenset({"Cf", "Mn", "Me"})


def canonical(text: str) -> str:
    """Return *text* in the form in which prompts are compared: two prompts are the same if their forms are equal.

    Line ends, blanks at the ends of lines and of the text, the kind of a blank, invisible characters and the
    composition of accents do not count.
    """
    if text.isprintable() and (text.isascii() or unicodedata.is_normalized("NFC", text)):
        return text.strip(" ")
    plain = _BLANK.sub(" ", _LINE_END.sub("\n", text.translate(_REMOVED)))
    return unicodedata.normalize("NFC", _BEFORE_LINE_END.sub("", plain).strip())


def canonical_value(value: Any) -> Any:  # noqa: ANN401 - what YAML can hold
    """Return *value* with every text in its canonical form; the keys of mappings stay."""
    if isinstance(value, str):
        return canonical(value)
    if isinstance(value, list):
        return [canonical_value(item) for item in value]
    if isinstance(value, dict):
        return {key: canonical_value(item) for key, item in value.items()}
    return value


def is_blank(text: str) -> bool:
    """Return whether nothing of *text* is visible."""
    return not "!" <= text[:1] <= "~" and all(map(_is_unseen, text))


def _is_unseen(char: str) -> bool:
    return char.isspace() or char in _FILLERS or unicodedata.category(char) in _UNSEEN


def tidy(text: str) -> str:
    """Return *text* as it is sent: the author's own, with plain line ends and without white space at its end."""
    return text.rstrip() if "\r" not in text else text.replace("\r\n", "\n").replace("\r", "\n").rstrip()
