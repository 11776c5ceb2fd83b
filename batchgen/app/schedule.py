"""Schedules for batchgen: a crontab line, systemd units, a launchd property list."""

from __future__ import annotations

import plistlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from importlib.resources import files
from typing import Any

from ..errors import UsageError

#: Exit codes that are not a failure of the unit: some jobs failed, budget reached, stopped early, at the provider.
ACCEPTABLE_CODES = "3 7 8 9"
#: Seconds that a stopped run gets: its calls in flight have 75.
GRACE = 90


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """When a run starts: every few minutes, or once a day."""

    minutes: int | None = None
    at: time = time(22)

    @classmethod
    def of(cls, every: str | None, daily: str | None) -> Schedule:
        """Parse "30m" or "2h", or "22:00"; raise UsageError."""
        if every is not None and daily is not None:
            raise UsageError("use either --every or --daily")
        if every is None:
            clock = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", daily or "22:00")
            if clock is None:
                raise UsageError(f"--daily takes a time of day such as 22:00, not {daily!r}")
            return cls(at=time(int(clock[1]), int(clock[2])))
        interval = re.fullmatch(r"(\d{1,4})(m|h)", every)
        minutes = int(interval[1]) * {"m": 1, "h": 60}[interval[2]] if interval else 0
        if minutes not in {*(n for n in range(1, 31) if 60 % n == 0), *(60 * n for n in range(1, 13) if 24 % n == 0)}:
            raise UsageError(
                f"--every takes an interval that divides an hour or a day, such as 10m, 30m, 1h or 6h, not {every!r}"
            )
        return cls(minutes=minutes)

    @property
    def cron(self) -> str:
        """Return the five fields of a crontab line."""
        if self.minutes is None:
            return f"{self.at.minute} {self.at.hour} * * *"
        if self.minutes < 60:
            return "* * * * *" if self.minutes == 1 else f"*/{self.minutes} * * * *"
        return "0 * * * *" if self.minutes == 60 else f"0 */{self.minutes // 60} * * *"

    @property
    def calendar(self) -> str:
        """Return systemd's OnCalendar value."""
        if self.minutes is None:
            return f"*-*-* {self.at:%H:%M}:00"
        return f"*:0/{self.minutes}" if self.minutes < 60 else f"0/{self.minutes // 60}:00"

    @property
    def launchd(self) -> Mapping[str, Any]:
        """Return the keys of a launchd property list."""
        if self.minutes is not None:
            return {"StartInterval": self.minutes * 60}
        return {"StartCalendarInterval": {"Hour": self.at.hour, "Minute": self.at.minute}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """What is started; all paths are absolute."""

    name: str  #: letters, digits and -
    command: Sequence[str]
    folder: str
    when: Schedule
    notes: Sequence[str] = ()  #: comments


def cron(unit: Unit) -> str:
    """Return a line for ``crontab -e`` with comments; raise UsageError for a path with a line break."""
    line = shlex.join(unit.command)
    if "\n" in line:
        raise UsageError("a crontab cannot contain a path with a line break")
    return _template("crontab").format(
        notes=_comments(unit.notes),
        fields=unit.when.cron,
        line=line.replace("%", "\\%"),  # A bare % is a line break in a crontab.
    )


def systemd(unit: Unit) -> str:
    """Return a service and its timer, each with the name of its file."""
    return _template("systemd").format(
        name=unit.name,
        folder=unit.folder.replace("%", "%%"),
        notes=_comments(unit.notes),
        command=" ".join(map(_systemd_word, unit.command)),
        codes=ACCEPTABLE_CODES,
        grace=GRACE,
        calendar=unit.when.calendar,
    )


def _template(kind: str) -> str:
    return (files(__package__) / f"schedule.{kind}").read_text("utf-8").rstrip("\n")


def _comments(notes: Sequence[str]) -> str:
    return "".join(f"# {note}\n" for note in notes)


def _systemd_word(word: str) -> str:
    word = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w@%+=:,./$-]+", word, re.ASCII):
        return word
    quoted = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{quoted}"'


def launchd(unit: Unit) -> str:
    """Return a property list for ~/Library/LaunchAgents."""
    label = f"batchgen.{unit.name}"
    body = {
        "Label": label,
        "ProgramArguments": list(unit.command),
        "WorkingDirectory": unit.folder,
        "StandardErrorPath": f"{unit.folder}/.batchgen/{label}.log",
        "ExitTimeOut": GRACE,
        **unit.when.launchd,
    }
    text = plistlib.dumps(body, sort_keys=False).decode().rstrip()
    notes = "".join(f"<!-- {note.replace('--', '-')} -->\n" for note in unit.notes)  # XML has no -- in comments
    return f"{text}\n{notes}<!-- ~/Library/LaunchAgents/{label}.plist, then: launchctl load that file -->"
