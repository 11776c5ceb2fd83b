"""Who else follows a run, beside the display: the log, the figures, and whoever is told of its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import AlreadyRunning, BatchgenError
from . import output
from .options import Function, Session

if TYPE_CHECKING:
    from ..app.monitoring.metrics import MetricsFile
    from ..app.monitoring.notify import Notifier
    from ..app.project import Project
    from ..app.run_result import RunResult
    from ..app.wiring import Follow
    from ..files.log import LogOptions

_FILE = click.Path(dir_okay=False, path_type=Path)


def following(function: Function) -> Function:
    """Give a command the options of those who follow a run."""
    for option in reversed(
        (
            click.option("--on-finish", metavar="CMD", help="At the end run CMD, with the summary on stdin."),
            click.option(
                "--notify", multiple=True, metavar="URL", help="Tell URL of the end, a budget reached, a silence."
            ),
            click.option("--metrics-file", type=_FILE, metavar="FILE", help="Keep figures for Prometheus in FILE."),
            click.option(
                "--log-file", type=_FILE, metavar="FILE", help="The log. Default: .batchgen/logs/batchgen.jsonl."
            ),
            click.option(
                "--log-format",
                type=click.Choice(["json", "text"]),
                default="json",
                show_default=True,
                help="Of the log.",
            ),
        )
    ):
        function = option(function)
    return function


@dataclass(frozen=True, kw_only=True, slots=True)
class Observers:
    """All that follow one run beside the display."""

    session: Session
    batch: str
    log: LogOptions
    notifier: Notifier
    meter: MetricsFile | None

    @classmethod
    def of(cls, session: Session, project: Project, batch: str, options: Mapping[str, Any]) -> Observers:
        """Return who follows a run by its *options*; raise UsageError where one could not."""
        from ..app.monitoring.metrics import MetricsFile
        from ..app.monitoring.notify import Notifier
        from ..files.log import LogOptions

        log, figures = options.get("log_file"), options.get("metrics_file")
        return cls(
            session=session,
            batch=batch,
            log=LogOptions(
                file=session.file(log) if log else project.state / "logs" / "batchgen.jsonl",
                as_text=options.get("log_format") == "text",
                verbose=session.verbose,
                show=output.say,
            ),
            notifier=Notifier.of(output.say, options.get("notify") or (), options.get("on_finish")),
            meter=MetricsFile(file=session.file(figures), show_message=output.say) if figures else None,
        )

    def follow(self, display: Follow) -> Follow:
        """Return what follows a run, *display* included."""
        from ..app.monitoring.events import combine, log_events

        return combine(display, log_events, self.notifier.follow, *([self.meter.follow] if self.meter else []))

    def say(self, text: str) -> None:
        """Tell a person something; with -q the log alone hears what goes on by itself."""
        if not self.session.quiet:
            output.say(text)

    def on_silence(self, text: str) -> None:
        """Tell whoever is to know that nothing comes back."""
        output.say(text)
        self.notifier.stalled(text)

    @contextmanager
    def attending(self) -> Iterator[None]:
        """Keep a log of what goes on inside; tell of the error that ends it."""
        from ..files import log as logs

        with logs.logging_to(self.log, batch=self.batch):
            try:
                yield
            except BatchgenError as error:
                logs.event("exit_error", logs.ERROR, exit_code=error.exit_code, message=str(error))
                if not isinstance(error, AlreadyRunning):  # the run before still works: nobody need know
                    self.notifier.failed(self.batch, error)
                raise
            except Exception as error:
                # its traceback is written where the command ends
                logs.event("exit_error", logs.ERROR, exit_code=1, message=f"{type(error).__name__}: {error}")
                self.notifier.failed(self.batch, BatchgenError(f"unexpected error: {type(error).__name__}"))
                raise

    def finished(self, ended: RunResult) -> None:
        """Tell whoever is to know how the run ended."""
        if self.meter is not None:
            self.meter.finished(ended)
        self.notifier.finished(ended.as_json())
