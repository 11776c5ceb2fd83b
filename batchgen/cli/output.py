"""Standard output and error: the only module that prints. Nothing that is printed can steer the terminal."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from contextlib import suppress
from typing import Any, TextIO

from .program import as_called

#: Characters in batchgen's own texts, and the nearest that ASCII has.
_ASCII = {"…": "...", "–": "-", "—": "-", "’": "'", "“": '"', "”": '"', "×": "x", "·": "-"}  # noqa: RUF001


def say(text: str = "") -> None:
    """Print a line for people on stderr; a run does not end because stderr has no reader."""
    with suppress(OSError, ValueError):
        print(printable(as_called(text)), file=sys.stderr, flush=True)


def overwrite(text: str) -> None:
    """Replace the last line of the terminal on stderr, where the cursor stays: "" erases it."""
    with suppress(OSError, ValueError):
        width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        sys.stderr.write(f"\r\x1b[K{printable(text)[: width - 1]}")
        sys.stderr.flush()


def data(text: str) -> None:
    """Print the result of a command on stdout."""
    print(printable(as_called(text)))


def raw(text: str) -> None:
    """Print data for machines on stdout as it is: its format escapes what needs escaping."""
    print(text)


def document(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON document on stdout."""
    try:
        print(to_json(value, indent=2), flush=True)
    except BrokenPipeError:
        # The exit code still reports the result, so that a reader that left is no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def error_document(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one line of JSON on stderr."""
    print(to_json(value, sys.stderr), file=sys.stderr)


def raw_unbuffered(text: str) -> None:
    """Print data from a thread, past the buffers: the interpreter would wait at its end to flush an unread one."""
    left = f"{text}\n".encode(sys.stdout.encoding, "batchgen")
    while left:
        left = left[os.write(sys.stdout.fileno(), left) :]


def to_json(value: Any, stream: TextIO | None = None, indent: int | None = None) -> str:  # noqa: ANN401 - any JSON value
    """Return JSON text for *stream* (default: stdout), in ASCII if its encoding is not a Unicode one."""
    only_ascii = "utf" not in ((stream or sys.stdout).encoding or "").lower()
    return escape_json(json.dumps(value, ensure_ascii=only_ascii, indent=indent))


def replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that a stream cannot encode: by the nearest in ASCII, or else by an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    replacements = (_ASCII.get(character) or ascii(character)[1:-1] for character in text)
    return "".join(replacements), error.end


def printable(text: str) -> str:
    """Return *text* with every control, format and bidi character escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c == "\n" or not _steers(c) else c.encode("unicode_escape").decode() for c in text)


def shown(text: str) -> str:
    """Return *text* as stdout shows it: what cannot be printed, or encoded, is an escape."""
    text, encoding = printable(text), _encoding()
    return text if text.isascii() or "utf" in encoding.lower() else text.encode(encoding, "batchgen").decode(encoding)


def _encoding() -> str:
    """Return the encoding of the terminal, also while a live table has taken stdout's place."""
    return (sys.stdout.encoding or (sys.__stdout__ and sys.__stdout__.encoding)) or "utf-8"


def encodes(text: str) -> bool:
    """Return whether stdout can show *text* as it is."""
    try:
        text.encode(_encoding())
    except UnicodeEncodeError:
        return False
    return True


def columns(stream: TextIO | None = None) -> int | None:
    """Return how wide the terminal of *stream* is (default: stdout); None if it is not a terminal."""
    stream = stream or sys.stdout
    try:
        if not stream.isatty():
            return None
        wished = os.environ.get("COLUMNS", "")
        return (
            int(wished) if wished.isdecimal() and int(wished) else os.get_terminal_size(stream.fileno()).columns or None
        )
    except (OSError, ValueError):
        return None


def escape_json(document: str) -> str:
    """Return the same JSON text with every character that would steer a terminal escaped."""
    if document.isprintable():
        return document
    return "".join(
        c if c == "\n" or not _steers(c) else json.dumps(c)[1:-1].replace("\x7f", r"\u007f") for c in document
    )


def _steers(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character != "\u200d"
