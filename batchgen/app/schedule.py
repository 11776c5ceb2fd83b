"""Units that start batchgen by the clock: cron, systemd, launchd.  Pure: texts of a few values."""

from __future__ import annotations

import plistlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any

from ..errors import UsageError

#: Exit codes that are no fault of the machine: some jobs failed, budget reached, stopped early.
ACCEPTABLE_CODES = "3 7 8"
#: Seconds that a stopped run gets: it lets calls under way end for 75.
GRACE = 90


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """When it starts: every so many minutes, or else once a day."""

    minutes: int | None = None
    at: time = time(22)

    @classmethod
    def of(cls, every: str | None, daily: str | None) -> Schedule:
        """Read "30m" or "2h", and "22:00"; raise UsageError."""
        if every is not None and daily is not None:
            raise UsageError("say --every or --daily, not both")
        if every is None:
            found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", daily or "22:00")
            if found is None:
                raise UsageError(f"--daily takes a time of day such as 22:00, not {daily!r}")
            return cls(at=time(int(found[1]), int(found[2])))
        seen = re.fullmatch(r"(\d{1,4})(m|h)", every)
        minutes = int(seen[1]) * {"m": 1, "h": 60}[seen[2]] if seen else 0
        if minutes not in {*(n for n in range(1, 31) if 60 % n == 0), *(60 * n for n in range(1, 13) if 24 % n == 0)}:
            raise UsageError(f"--every takes a part of an hour or of a day, such as 10m, 30m, 1h or 6h, not {every!r}")
        return cls(minutes=minutes)

    @property
    def cron(self) -> str:
        """Return the five fields of a crontab."""
        if self.minutes is None:
            return f"{self.at.minute} {self.at.hour} * * *"
        if self.minutes < 60:
            return "* * * * *" if self.minutes == 1 else f"*/{self.minutes} * * * *"
        return "0 * * * *" if self.minutes == 60 else f"0 */{self.minutes // 60} * * *"

    @property
    def calendar(self) -> str:
        """Return it as systemd's OnCalendar."""
        if self.minutes is None:
            return f"*-*-* {self.at:%H:%M}:00"
        return f"*:0/{self.minutes}" if self.minutes < 60 else f"0/{self.minutes // 60}:00"

    @property
    def launchd(self) -> Mapping[str, Any]:
        """Return the keys of a property list."""
        if self.minutes is not None:
            return {"StartInterval": self.minutes * 60}
        return {"StartCalendarInterval": {"Hour": self.at.hour, "Minute": self.at.minute}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """What is started: absolute paths throughout."""

    name: str  #: of the unit: letters, digits and -
    command: Sequence[str]
    folder: str
    when: Schedule
    notes: Sequence[str] = ()  #: comments


def cron(start: Unit) -> str:
    """Return a line for ``crontab -e``, with what to know before it.  Raises UsageError for a path that cron cannot."""
    line = shlex.join(start.command)
    if "\n" in line:
        raise UsageError("a path with a line break in it cannot stand in a crontab")
    return "\n".join(
        [
            "# batchgen: add this with crontab -e.  It says something, so cron mails, only where a person is needed.",
            "# Keys: in .env in the folder of -C, readable by you only.",
            *(f"# {note}" for note in start.notes),
            f"{start.when.cron} " + line.replace("%", "\\%"),  # a bare % is a line break to cron
        ]
    )


def systemd(start: Unit) -> str:
    """Return a service and its timer, each under the name of its file."""
    unit, project = f"batchgen-{start.name}", "~/.config/systemd/user"
    service = [
        f"# {project}/{unit}.service",
        "[Unit]",
        f"Description=batchgen {start.name}",
        "",
        "[Service]",
        "Type=oneshot",
        f"WorkingDirectory={start.folder.replace('%', '%%')}",
        "# reads .env in this folder by itself",
        *(f"# {note}" for note in start.notes),
        f"ExecStart={' '.join(map(_systemd_word, start.command))}",
        f"SuccessExitStatus={ACCEPTABLE_CODES}",
        f"TimeoutStopSec={GRACE}",
    ]
    timer = [
        f"# {project}/{unit}.timer",
        "[Unit]",
        f"Description=batchgen {start.name}, by the clock",
        "",
        "[Timer]",
        f"OnCalendar={start.when.calendar}",
        "Persistent=true",
        "",
        "[Install]",
        "WantedBy=timers.target",
        "",
        f"# then: systemctl --user daemon-reload && systemctl --user enable --now {unit}.timer",
    ]
    return "\n".join([*service, "", *timer])


def _systemd_word(word: str) -> str:
    word = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w@%+=:,./$-]+", word, re.ASCII):
        return word
    quoted = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{quoted}"'


def launchd(start: Unit) -> str:
    """Return a property list for ~/Library/LaunchAgents."""
    label = f"batchgen.{start.name}"
    body = {
        "Label": label,
        "ProgramArguments": list(start.command),
        "WorkingDirectory": start.folder,
        "StandardErrorPath": f"{start.folder}/.batchgen/{label}.log",
        "ExitTimeOut": GRACE,
        **start.when.launchd,
    }
    text = plistlib.dumps(body, sort_keys=False).decode().rstrip()
    notes = "".join(f"<!-- {note.replace('--', '-')} -->\n" for note in start.notes)  # XML has no -- in comments
    return f"{text}\n{notes}<!-- ~/Library/LaunchAgents/{label}.plist, then: launchctl load that file -->"
