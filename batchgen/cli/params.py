"""Options: their names, sections in --help, environment variables, and the types of their values."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PREFIX = "BATCHGEN"
#: Options of every command.
EVERYWHERE = ("db", "config", "env_file", "json", "quiet", "verbose", "debug")
#: Commands that run a batch, and their options that have a short variable too: BATCHGEN_BUDGET for BATCHGEN_RUN_BUDGET.
RUNS = ("run", "resume", "retry")
SHORT = (
    "budget",
    "yes",
    "no_input",
    "concurrency",
    "out",
    "progress",
    "wait_lock",
    "stop_at",
    "max_time",
    "max_failures",
    "fail_on",
)
#: Options that select jobs.
SELECTION = ("id", "tag", "provider", "model", "kind", "status", "cause", "limit", "sample", "seed", "shard")


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
    if name is None or name in ("help", "version"):
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


class _Type(click.ParamType[Any]):
    """Base class: ``parse`` reads a text, or raises ValueError with what was expected."""

    def parse(self, text: str) -> Any:  # noqa: ANN401 - each type has its own values
        raise NotImplementedError

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """Return the value of a text; a value stays itself."""
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value.strip())
        except ValueError as error:
            self.fail(f"{error}, not {value!r}", param, ctx)


class UsdAmount(_Type):
    """An amount in USD, as nano-USD."""

    name = "usd"

    def parse(self, text: str) -> int:
        """Return nano-USD."""
        from ..money import nano_usd

        amount = nano_usd(text.lstrip("$"))
        if amount is None:
            raise ValueError("expected an amount in USD, such as 40 or 0.50")
        return amount


class TimeOfDay(_Type):
    """A time of day, such as 06:30."""

    name = "time"

    def parse(self, text: str) -> time:
        """Return the time."""
        if not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", text):
            raise ValueError("expected a time of day such as 06:30")
        hour, minute = map(int, text.split(":"))
        return time(hour, minute)


class Duration(_Type):
    """A length of time, such as 90s, 30m or 6h; *units* are those it may have."""

    name = "duration"
    _SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}  # noqa: RUF012

    def __init__(self, units: str, examples: str, default_unit: str = "") -> None:
        self._pattern = re.compile(rf"(\d{{1,9}}(?:\.\d{{1,9}})?)([{units}]{'?' if default_unit else ''})")
        self._examples, self._default_unit = examples, default_unit

    def parse(self, text: str) -> timedelta:
        """Return the length of time."""
        match = self._pattern.fullmatch(text)
        try:
            if match is not None:
                return timedelta(seconds=float(match[1]) * self._SECONDS[match[2] or self._default_unit])
        except OverflowError:
            pass
        raise ValueError(f"expected a duration such as {self._examples}")


class FailureLimit(_Type):
    """A number of failed jobs, or a share of all that ended."""

    name = "failures"

    class Value(NamedTuple):
        """One of the two."""

        jobs: int | None = None
        percent: float | None = None

    def parse(self, text: str) -> Value:
        """Return the limit."""
        if re.fullmatch(r"\d{1,9}", text):
            return self.Value(jobs=int(text))
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?%", text):
            return self.Value(percent=float(text[:-1]))
        raise ValueError("expected a number such as 20, or a share such as 5%")


class Rate(_Type):
    """A limit of one provider: PROVIDER=60/m."""

    name = "rate"
    _LIMITS = {"s": "requests_per_second", "m": "requests_per_minute", "d": "requests_per_day"}  # noqa: RUF012

    class Value(NamedTuple):
        """A provider, the name of its limit, and the number."""

        provider: str
        limit: str
        number: float

    def parse(self, text: str) -> Value:
        """Return the limit."""
        match = re.fullmatch(r"([^=]+)=(\d{1,9}(?:\.\d{1,9})?)/([smd])", text)
        if match is None or not float(match[2]):
            raise ValueError("expected a provider and a rate, such as openai=60/m, 2/s or 5000/d")
        provider, number, unit = match.groups()
        if unit == "d" and not number.isdecimal():
            raise ValueError("expected a whole number of requests per day")
        return self.Value(provider, self._LIMITS[unit], int(number) if unit == "d" else float(number))


class Shard(_Type):
    """One of N equal parts: I/N."""

    name = "shard"

    def parse(self, text: str) -> tuple[int, int]:
        """Return the part and the number of parts."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if match is None:
            raise ValueError("expected a part and the number of parts, such as 1/4")
        part, parts = int(match[1]), int(match[2])
        if not 1 <= part <= parts:
            raise ValueError(f"expected a part from 1/{parts} to {parts}/{parts}")
        return part, parts


class CauseName(_Type):
    """A cause of failure; any other word would silently select no job."""

    name = "cause"

    def parse(self, text: str) -> str:
        """Return the cause."""
        from ..errors import suggest
        from ..fault import Cause

        names = [str(cause) for cause in Cause]
        if text not in names:
            raise click.BadParameter(f"unknown cause {text!r}: {suggest(text, names)}")
        return text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the causes that begin with *incomplete*."""
        from click.shell_completion import CompletionItem

        from ..fault import Cause

        del ctx, param
        return [CompletionItem(cause.value) for cause in Cause if cause.startswith(incomplete)]


class NotifyUrl(_Type):
    """An address that notices can be sent to."""

    name = "url"

    def parse(self, text: str) -> str:
        """Return the address; messages never show it whole, for it may contain a key."""
        from ..app.monitoring.notify import check_urls
        from ..errors import UsageError

        try:
            check_urls([text])
        except UsageError as error:
            raise click.BadParameter(str(error)) from error
        return text


class Moment(_Type):
    """A date, a date and time, or a time span ago; *end*: a date means its end."""

    name = "moment"

    def __init__(self, *, end: bool = False) -> None:
        self._end = end

    def parse(self, text: str) -> datetime:
        """Return the moment."""
        return parse_moment(text, datetime.now().astimezone(), end=self._end)


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
