"""The log: batchgen's events and the messages of its libraries, one line each, in a file that rotates.

All records pass through the standard library's logging. No line contains a key, and none can steer a terminal.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import redaction
from ..errors import StoreError
from .output import make_private

#: Bytes of one log file, and how many older files are kept.
SIZE, OLDER = 10_000_000, 5
#: Seconds, and lines, after which what was logged is written.
GATHER_SECONDS, GATHERED = 0.25, 1_000
#: Characters of one text in a line.
LONGEST = 2_000
#: Characters of the shortest text that may hold something like a key or a signed address.
_SHORTEST = len("http://a?b")

ERROR = logging.ERROR

_LOGGER = logging.getLogger("batchgen")
_LOGGER.addHandler(logging.NullHandler())
_KEY_LIKE = re.compile(r"(?i)(\bbearer\s+|\b(?:x-goog-api-key|x-api-key|api-key|x-key):\s*)[!-~]{8,}|\bsk-[\w-]{16,}")
#: The query of a signed address lets anyone fetch the result.
_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]+")
#: Fields that a terminal line leaves out.
_FILE_ONLY = ("time", "level", "event", "attempt", "logger")


@dataclass(frozen=True, kw_only=True, slots=True)
class LogOptions:
    """Where the log is kept, in which format, and how much of it is shown at once."""

    file: Path
    as_text: bool = False  #: plain lines instead of JSON
    verbose: int = 0  #: 1 shows events on the terminal too, 2 every call
    show: Callable[[str], None] | None = None  #: shows the user a line


def event(name: str, level: int = logging.INFO, **fields: object) -> None:
    """Log an event; fields that are None are omitted."""
    _LOGGER.log(level, name, extra={"fields": {key: value for key, value in fields.items() if value is not None}})


_last: list[LogOptions] = []


def last() -> LogOptions | None:
    """Return the options of this process's last log."""
    return _last[-1] if _last else None


@contextmanager
def logging_to(options: LogOptions, **context: str) -> Iterator[None]:
    """Keep a log while inside; every line contains *context*, such as the batch."""
    _last[:] = [options]
    formatter = TextFormatter(context) if options.as_text else JsonFormatter(context)
    handlers: list[logging.Handler] = [_File(options, formatter)]
    if options.verbose and options.show is not None:
        handlers.append(_Terminal(options.show, logging.INFO if options.verbose == 1 else logging.DEBUG))
    root, levels = logging.getLogger(), (logging.getLogger().level, _LOGGER.level)
    root.setLevel(logging.INFO if options.verbose > 1 else logging.WARNING)
    _LOGGER.setLevel(logging.DEBUG)
    logging.captureWarnings(capture=True)
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        for handler in handlers:
            root.removeHandler(handler)
            with suppress(OSError):  # a full disk
                handler.close()
        root.setLevel(levels[0])
        _LOGGER.setLevel(levels[1])


@contextmanager
def log_context(**context: str) -> Iterator[None]:
    """Add *context*, such as the run, to every line that is logged inside."""
    formatters = [handler.formatter for handler in logging.getLogger().handlers if isinstance(handler, _File)]
    kept = [formatter for formatter in formatters if isinstance(formatter, JsonFormatter)]
    for formatter in kept:
        formatter.context |= context
    try:
        yield
    finally:
        for formatter in kept:
            formatter.context = {key: value for key, value in formatter.context.items() if key not in context}


def redacted(value: object) -> Any:  # noqa: ANN401 - any JSON value
    """Return *value* without keys and signed addresses, its texts cut to a sane length."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    text = redaction.hidden(str(value), redaction.known())
    if len(text) >= _SHORTEST:
        text = _QUERY.sub(r"\1?[...]", _KEY_LIKE.sub(lambda match: f"{match[1] or ''}[hidden]", text))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON in ASCII, without secrets."""

    def __init__(self, context: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.context = dict(context or {})

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return _ascii(self.document(record))

    def document(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return a record as a document: time, level, event, context, then what the event or the library states."""
        when = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
        head = {"time": f"{when.isoformat(timespec='milliseconds')}Z", "level": record.levelname.lower()}
        if record.name == _LOGGER.name:
            fields = getattr(record, "fields", {})
            return head | {"event": record.msg} | self.context | {key: redacted(value) for key, value in fields.items()}
        library = {"logger": record.name, "message": redacted(record.getMessage())}
        if record.exc_info and record.exc_info[1] is not None:
            library["error"] = redacted(f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}")
        return head | {"event": "library"} | self.context | library


class TextFormatter(JsonFormatter):
    """Formats a record as words; every value that is more than one word is quoted, with escapes."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line = self.document(record)
        return f"{line.pop('time')} {line.pop('level'):<7} {line.pop('event')} {_words(line)}".rstrip()


class TerminalFormatter(JsonFormatter):
    """Formats a record for the terminal: the local time, the event and the fields that fit into a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line = self.document(record)
        clock = datetime.fromtimestamp(record.created).astimezone()
        fields = {key: value for key, value in line.items() if key not in _FILE_ONLY}
        return f"{clock:%H:%M:%S} {line['event']} {_words(fields)}".rstrip()


def _words(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={_word(value)}" for key, value in fields.items())


def _word(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if re.fullmatch(r"[\w.:/$@+-]+", text, re.ASCII) else _ascii(value)


def _ascii(value: object) -> str:
    return json.dumps(value).replace("\x7f", "\\u007f")


class _File(logging.Handler):
    """The log file: created with the first line, readable by its owner only; a full disk never ends a run.

    Lines are gathered and written a few times a second, warnings and errors at once with all before them. That saves
    0.1 ms of CPU a job against a write and a look at the size for each line; a process that is killed loses the lines
    of the last quarter of a second.
    """

    def __init__(self, options: LogOptions, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._file, self._show = options.file.absolute(), options.show
        self._lines: list[str] = []
        self._descriptor = -1
        self._size = 0  #: of the file, with the lines that are not written yet
        self._gathers, self._closed = threading.Event(), False
        self._writer = threading.Thread(target=self._write_regularly, name="batchgen-log", daemon=True)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n"
            if self._descriptor < 0:
                self._open()
            if self._size and self._size + len(line) > SIZE:
                self._write_out()
                self._rotate()
            self._lines.append(line)
            self._size += len(line)
            if record.levelno >= logging.WARNING or len(self._lines) >= GATHERED:
                self._write_out()
            elif not self._gathers.is_set():
                self._gathers.set()
        except (OSError, StoreError):  # no room, or the folder cannot be created
            self.handleError(record)

    def flush(self) -> None:
        """Write the lines that have been gathered."""
        with self.lock or nullcontext():
            try:
                self._write_out()
            except OSError:
                self._report()

    def close(self) -> None:
        """Write what is left and close the file."""
        self._closed = True
        self._gathers.set()
        self.flush()
        with self.lock or nullcontext():
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        del record
        self._report()

    def _report(self) -> None:
        if self._show is not None:
            self._show(f"the log {self._file} cannot be written; the run continues")
            self._show = None

    def _open(self) -> None:
        if not self._file.parent.exists():
            make_private(self._file.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._file, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        if not self._writer.is_alive():
            # Where no thread can be started, lines wait for the next warning, for many others, or for the end.
            with suppress(RuntimeError, MemoryError):
                self._writer.start()

    def _write_out(self) -> None:
        data, self._lines = "".join(self._lines).encode("ascii", "backslashreplace"), []
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _rotate(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1
        for number in range(OLDER - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._older(number).replace(self._older(number + 1))
        self._file.replace(self._older(1))
        self._open()

    def _older(self, number: int) -> Path:
        return self._file.with_name(f"{self._file.name}.{number}")

    def _write_regularly(self) -> None:
        while not self._closed:
            self._gathers.wait()
            time.sleep(GATHER_SECONDS)
            self._gathers.clear()
            self.flush()


class _Terminal(logging.Handler):
    """Shows records to the user at once."""

    def __init__(self, show: Callable[[str], None], level: int) -> None:
        super().__init__(level)
        self.setFormatter(TerminalFormatter())
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        self._show(self.format(record))
