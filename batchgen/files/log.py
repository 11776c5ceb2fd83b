"""The log: own events and those of the libraries, a line each, in a file that rotates.  A doer: files.

Everything goes through the standard library's logging, so whatever a library says arrives here as well.  No line holds
a key, and none can steer a terminal.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

from .. import redaction
from ..errors import StoreError
from .output import make_private

#: Bytes of one log file, and how many older ones are kept.
SIZE, OLDER = 10_000_000, 5
#: Characters of one text in a line.
LONGEST = 2_000

ERROR = logging.ERROR

_OWN = logging.getLogger("batchgen")
_OWN.addHandler(logging.NullHandler())
_KEY_LIKE = re.compile(r"(?i)(\bbearer\s+)[!-~]{8,}|\bsk-[\w-]{16,}")
#: What stands behind the ? of a result's address lets anybody fetch it.
_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class LogOptions:
    """Which log is kept: where, in what form, and how much of it a person sees at once."""

    file: Path
    as_text: bool = False  #: plain lines in place of JSON
    verbose: int = 0  #: 1: what happens is told on the terminal too, 2: every call
    tell: Callable[[str], None] | None = None  #: tells a person a line


def event(name: str, level: int = logging.INFO, **log_context: object) -> None:
    """Log that something happened; what is None is left out."""
    _OWN.log(level, name, extra={"about": {key: value for key, value in log_context.items() if value is not None}})


def hide_secrets(secrets: Iterable[str]) -> None:
    """Never write any of *secrets*, whoever says it."""
    redaction.register(secrets)


_last: list[LogOptions] = []


def last() -> LogOptions | None:
    """Return the log that this process kept last."""
    return _last[-1] if _last else None


@contextmanager
def logging_to(wanted: LogOptions, **log_context: str) -> Iterator[None]:
    """Keep a log while inside; every line says *about* (the batch, say) what it is."""
    _last[:] = [wanted]
    lines: list[logging.Handler] = [_File(wanted, log_context)]
    if wanted.verbose and wanted.tell is not None:
        lines.append(_Terminal(wanted.tell, logging.INFO if wanted.verbose == 1 else logging.DEBUG))
    root, before = logging.getLogger(), (logging.getLogger().level, _OWN.level)
    root.setLevel(logging.INFO if wanted.verbose > 1 else logging.WARNING)
    _OWN.setLevel(logging.DEBUG)
    logging.captureWarnings(capture=True)
    for handler in lines:
        root.addHandler(handler)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        for handler in lines:
            root.removeHandler(handler)
            with suppress(OSError):  # a full disk
                handler.close()
        root.setLevel(before[0])
        _OWN.setLevel(before[1])


@contextmanager
def log_context(**said: str) -> Iterator[None]:
    """Let every line written inside say what it is about: the run, say."""
    files = [handler for handler in logging.getLogger().handlers if isinstance(handler, _File)]
    for handler in files:
        handler.about |= said
    try:
        yield
    finally:
        for handler in files:
            handler.about = {key: value for key, value in handler.about.items() if key not in said}


def redacted(value: object) -> Any:  # noqa: ANN401 - any JSON value
    """Return *value* as it may be written: without keys and signed addresses, texts cut to a sane length."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): redacted(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(one) for one in value]
    text = str(value)
    text = redaction.hidden(text, redaction.known())
    text = _QUERY.sub(r"\1?[...]", _KEY_LIKE.sub(lambda found: f"{found[1] or ''}[hidden]", text))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def entry(record: logging.LogRecord, log_context: Mapping[str, str]) -> dict[str, Any]:
    """Return a line as a document: time, level, event, what it is about, and what the event says."""
    when = datetime.fromtimestamp(record.created, UTC)
    line: dict[str, Any] = {
        "time": f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03}Z",
        "level": record.levelname.lower(),
    }
    own = getattr(record, "about", None)
    if own is not None:
        return line | {"event": record.msg} | dict(log_context) | {key: redacted(value) for key, value in own.items()}
    said = {"logger": record.name, "message": redacted(record.getMessage())}
    if record.exc_info and record.exc_info[1] is not None:
        said["error"] = redacted(f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}")
    return line | {"event": "library"} | dict(log_context) | said


def as_json(line: Mapping[str, Any]) -> str:
    """Return a line as JSON in ASCII: every other character is escaped."""
    return _ascii(line)


def _ascii(value: object) -> str:
    return json.dumps(value).replace("\x7f", "\\u007f")


def as_text(line: Mapping[str, Any]) -> str:
    """Return a line as words; every value that is more than one word is quoted, with escapes."""
    head = f"{line['time']} {line['level']:<7} {line['event']}"
    rest = {key: value for key, value in line.items() if key not in ("time", "level", "event")}
    return " ".join([head, *(f"{key}={_word(value)}" for key, value in rest.items())])


def _word(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if re.fullmatch(r"[\w.:/$@+-]+", text, re.ASCII) else _ascii(value)


class _File(RotatingFileHandler):
    """The file: made when there is something to write, its owner's alone; a disk that is full ends no run."""

    def __init__(self, wanted: LogOptions, log_context: Mapping[str, str]) -> None:
        super().__init__(wanted.file, maxBytes=SIZE, backupCount=OLDER, encoding="ascii", errors="backslashreplace",
                         delay=True)  # fmt: skip
        self.about = dict(log_context)
        self._form = as_text if wanted.as_text else as_json
        self._tell = wanted.tell

    def format(self, record: logging.LogRecord) -> str:
        return self._form(entry(record, self.about))

    def _open(self) -> TextIO:  # type: ignore[override]
        file = Path(self.baseFilename)
        if not file.parent.exists():
            make_private(file.parent)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "a", encoding="ascii", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except (OSError, StoreError):  # the folder cannot be made
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        del record
        if self._tell is not None:
            self._tell(f"the log {self.baseFilename} cannot be written; the run goes on")
            self._tell = None


class _Terminal(logging.Handler):
    """What a person sees at once, short."""

    def __init__(self, tell: Callable[[str], None], level: int) -> None:
        super().__init__(level)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        line = entry(record, {})
        clock = datetime.fromtimestamp(record.created).astimezone()
        rest = {key: value for key, value in line.items() if key not in ("time", "level", "event", "attempt", "logger")}
        said = " ".join(f"{key}={_word(value)}" for key, value in rest.items())
        self._tell(f"{clock:%H:%M:%S} {line['event']} {said}".rstrip())
