"""Options: their names, sections in --help, environment variables, and the types of their values."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ..database_url import DatabaseUrl
from ..errors import UsageError, suggest
from ..object_url import is_object_url

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PREFIX = "BATCHGEN"
#: Options of every command.
EVERYWHERE = ("db", "config", "env_file", "json", "quiet", "verbose", "debug")
#: Commands that run a batch, and their options that have a short variable too: BATCHGEN_BUDGET for BATCHGEN_RUN_BUDGET.
RUNS = ("run", "resume", "retry", "redo")
SHORT = (
    "budget", "yes", "no_input", "concurrency", "out", "progress", "wait_lock", "stop_at", "max_time", "max_failures",
    "fail_on"
)  # fmt: skip
#: Options that select jobs.
SELECTION = (
    "id",
    "ids_from",
    "tag",
    "provider",
    "model",
    "kind",
    "status",
    "cause",
    "marked",
    "suspect",
    "limit",
    "sample",
    "seed",
    "shard",
)


class Option(click.Option):
    """An option with a section in --help."""

    def __init__(self, declarations: Sequence[str], section: str = "Options", **attributes: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(declarations, **attributes)
        self.section = section


def long_name(parameter: click.Parameter) -> str | None:
    """Return the long name of an option as variables and settings spell it, such as ``wait_lock``, or None."""
    names = [name for name in parameter.opts if name.startswith("--")]
    return names[0][2:].replace("-", "_") if names and isinstance(parameter, click.Option) else None


def variables(ctx: click.Context, parameter: click.Parameter) -> list[str]:
    """Return the environment variables of an option; the first one that is set counts."""
    name = long_name(parameter)
    if name is None or name in ("help", "version") or (name == "sandbox" and isinstance(ctx.command, click.Group)):
        return []
    names = [f"{ctx.auto_envvar_prefix}_{name}"]
    if name in EVERYWHERE or (name in SHORT and ctx.command.name in RUNS):
        names.append(f"{PREFIX}_{name}")
    return [variable.upper() for variable in dict.fromkeys(names)]


def is_on(switch: str) -> bool:
    """Return whether a switch is given anywhere on the command line, or by its variable.

    For what is printed when the command line could not be read.
    """
    short = {"--quiet": "-q"}.get(switch, switch)
    value = os.environ.get(f"{PREFIX}_{switch.lstrip('-').upper()}", "").lower()
    return bool({switch, short} & set(sys.argv)) or value in ("1", "true", "t", "yes", "y", "on")


class LocalPath(click.Path):
    """The path of a file or folder on this machine; an address in an object store is refused."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Return the path; raise click's error for an address."""
        if isinstance(value, str) and is_object_url(value):
            self.fail(f"{value} is in an object store; this option takes a path on this machine", param, ctx)
        return super().convert(value, param, ctx)


class DatabaseType(click.Path):
    """The path of a SQLite file, or the address of a PostgreSQL database."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return both forms."""
        del param, ctx
        return "FILE|URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        """Return a Path or a DatabaseUrl; raise UsageError."""
        if isinstance(value, str) and "://" in value:
            return DatabaseUrl.parse(value)
        return super().convert(value, param, ctx)


class Parsed(click.ParamType[Any]):
    """A value with a form of its own; *parse* raises ValueError with what it expected."""

    def __init__(self, name: str, parse: Callable[[str], Any], choices: Callable[[], Iterable[str]] = tuple) -> None:
        self.name = name
        self.parse = parse
        self._choices = choices

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the name as it is: click would put it in capitals."""
        del param, ctx
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """Return the value of a text; a value stays itself."""
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value.strip())
        except ValueError as error:
            # What follows a ? or # may be the signature of a link.
            shown = re.split("[?#]", value)[0] if is_object_url(value) else value
            self.fail(f"{error}, not {shown!r}", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the choices that begin with *incomplete*."""
        from click.shell_completion import CompletionItem

        del ctx, param
        return [CompletionItem(choice) for choice in self._choices() if choice.startswith(incomplete)]


def _usd(text: str) -> int:
    from ..money import nano_usd

    amount = nano_usd(text.lstrip("$"))
    if amount is None:
        raise ValueError("expected an amount in USD, such as 40 or 0.50")
    return amount


def _credits(text: str) -> int:
    from ..money import milli_credits

    amount = milli_credits(text)
    if amount is None:
        raise ValueError("expected a number of credits, such as 12 or 0.5")
    return amount


def _time_of_day(text: str) -> time:
    if not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", text):
        raise ValueError("expected a time of day such as 06:30")
    hour, minute = map(int, text.split(":"))
    return time(hour, minute)


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
#: The longest duration: the calendar reaches this far from today, but not as far as a timedelta.
_MAX_DURATION = timedelta(days=36_500)


def duration(units: str, examples: str, default_unit: str = "") -> Parsed:
    """Return the type of a length of time in some *units*; without *default_unit* a unit has to be given."""
    pattern = re.compile(rf"(\d{{1,9}}(?:\.\d{{1,9}})?)([{units}]{'?' if default_unit else ''})")

    def parse(text: str) -> timedelta:
        match = pattern.fullmatch(text)
        seconds = float(match[1]) * _SECONDS[match[2] or default_unit] if match else -1
        if not 0 <= seconds <= _MAX_DURATION.total_seconds():
            raise ValueError(f"expected a duration such as {examples}")
        return timedelta(seconds=seconds)

    return Parsed(examples.partition(",")[0], parse)


def seconds(examples: str, lowest: float = 0.0) -> Parsed:
    """Return the type of a length of time in seconds, or with a unit, as a number of seconds."""
    length = duration("smhd", examples, default_unit="s")

    def parse(text: str) -> float:
        value = length.parse(text).total_seconds()
        if value < lowest:
            raise ValueError(f"expected at least {lowest:g} seconds, such as {examples}")
        return float(value)

    return Parsed("SECONDS", parse)


def whole(lowest: int, highest: int, example: int) -> Parsed:
    """Return the type of a whole number in a range."""

    def parse(text: str) -> int:
        # Nothing counts further, and Python reads no integer of thousands of digits.
        number = int(text) if re.fullmatch(r"-?[0-9]{1,20}", text) else None
        if number is None or not lowest <= number <= highest:
            raise ValueError(f"expected a whole number from {lowest} to {highest}, such as {example}")
        return number

    return Parsed("N", parse)


class FailureLimit(NamedTuple):
    """A number of failed jobs, or a share of all that ended."""

    jobs: int | None = None
    percent: float | None = None


def _failure_limit(text: str) -> FailureLimit:
    if re.fullmatch(r"\d{1,9}", text):
        return FailureLimit(jobs=int(text))
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?%", text):
        return FailureLimit(percent=float(text[:-1]))
    raise ValueError("expected a number such as 20, or a share such as 5%")


class Rate(NamedTuple):
    """A limit of one provider."""

    provider: str
    limit: str  #: as settings name it
    number: float


_RATES = {"s": "requests_per_second", "m": "requests_per_minute", "d": "requests_per_day"}


def _rate(text: str) -> Rate:
    match = re.fullmatch(r"([^=]+)=(\d{1,9}(?:\.\d{1,9})?)/([smd])", text)
    if match is None or not float(match[2]):
        raise ValueError("expected a provider and a rate, such as openai=60/m, 2/s or 5000/d")
    provider, number, unit = match.groups()
    if unit == "d" and not number.isdecimal():
        raise ValueError("expected a whole number of requests per day")
    return Rate(provider, _RATES[unit], int(number) if unit == "d" else float(number))


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None:
        raise ValueError("expected a part and the number of parts, such as 1/4")
    part, parts = int(match[1]), int(match[2])
    if not 1 <= part <= parts:
        raise ValueError(f"expected a part from 1/{parts} to {parts}/{parts}")
    return part, parts


def _causes() -> list[str]:
    from ..fault import Cause

    return [str(cause) for cause in Cause]


def _cause(text: str) -> str:
    # Any other word would silently select no job.
    if text not in _causes():
        raise click.BadParameter(f"unknown cause {text!r}: {suggest(text, _causes())}")
    return text


def _notify_url(text: str) -> str:
    from ..app.monitoring.notify import check_urls

    try:
        check_urls([text])
    except UsageError as error:
        # its message does not show the address, which may contain a key
        raise click.BadParameter(str(error).removeprefix("--notify ")) from error
    return text


def parse_moment(text: str, now: datetime, *, end: bool = False) -> datetime:
    """Return a moment, in this machine's time zone where *text* names none; raise ValueError."""
    span = re.fullmatch(r"([0-9]{1,6})([mhdw])", text.strip())
    date = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})([T ].+)?", text.strip())
    try:
        if span is not None:
            minutes = {"m": 1, "h": 60, "d": 24 * 60, "w": 7 * 24 * 60}[span[2]]
            return (now - timedelta(minutes=int(span[1]) * minutes)).astimezone()
        if date is not None:
            days = timedelta(days=end and date[2] is None)
            # By way of the timestamp: astimezone alone is an hour early for a midnight that a clock change skips.
            return datetime.fromtimestamp((datetime.fromisoformat(date[0]) + days).timestamp(), UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        pass  # a thirteenth month, or a year that the calendar does not reach
    raise ValueError(
        "expected a date such as 2026-11-20, a date and time such as 2026-11-20T18:30, or a span ago such as 24h or 7d"
    )


def _since_run(text: str) -> datetime | str:
    """Return a moment, or the id of a run as it is."""
    if re.fullmatch(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}", text):
        return text
    return parse_moment(text, datetime.now().astimezone())


def _latency(text: str) -> str:
    # The sandbox reads it; its own parser would load the drawing of images.
    if not re.fullmatch(r"none|realistic|(lognormal:)?[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise ValueError("expected none, realistic, seconds such as 0.5, or lognormal:MEDIAN")
    return text


LOCAL_FILE = LocalPath(dir_okay=False, path_type=Path)
LOCAL_FOLDER = LocalPath(file_okay=False, path_type=Path)
USD = Parsed("USD", _usd)
COUNT = whole(1, 1_000_000_000, 10)
SEED = whole(-(2**63), 2**63 - 1, 7)
CONCURRENCY = whole(1, 5000, 8)
WORKERS = whole(1, 1000, 4)
ATTEMPTS = whole(1, 50, 3)
PORT = whole(0, 65_535, 8765)
WAIT = seconds("600, 10m or 1h")
INTERVAL = seconds("2, 0.5 or 1m", lowest=0.05)
LATENCY = Parsed("LATENCY", _latency)
CREDITS = Parsed("N", _credits)
TIME_OF_DAY = Parsed("HH:MM", _time_of_day)
MAX_TIME = duration("smh", "6h, 30m or 90s", default_unit="s")
AGE = duration("hdw", "30d, 12h or 8w")
FAILURE_LIMIT = Parsed("N|P%", _failure_limit)
RATE = Parsed("PROVIDER=60/m", _rate)
SHARD = Parsed("I/N", _shard)
CAUSE = Parsed("CAUSE", _cause, _causes)
NOTIFY_URL = Parsed("URL", _notify_url)
SINCE = Parsed("WHEN", lambda text: parse_moment(text, datetime.now().astimezone()))
SINCE_RUN = Parsed("WHEN|RUN", _since_run)
UNTIL = Parsed("WHEN", lambda text: parse_moment(text, datetime.now().astimezone(), end=True))
