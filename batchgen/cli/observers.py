"""Observers of a run besides the display: the log, the metrics file, notices and the finish hook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ..errors import AlreadyRunning, BatchgenError
from . import output
from .options import FILE, Session, option, options
from .params import NOTIFY_URL

if TYPE_CHECKING:
    from ..app.monitoring.metrics import MetricsFile
    from ..app.monitoring.notify import Notifier
    from ..app.project import Project
    from ..app.run_result import RunResult
    from ..app.wiring import Follow
    from ..files.log import LogOptions

following = options(
    option("--on-finish", metavar="CMD", help="Command to run at the end, with the summary on stdin."),
    option(
        "--notify",
        multiple=True,
        type=NOTIFY_URL,
        metavar="URL",
        help="Send a notice to URL at the end, when a budget is reached, and when nothing arrives any more.",
    ),
    option("--metrics-file", type=FILE, metavar="FILE", help="File of Prometheus metrics, updated during the run."),
    option("--log-file", type=FILE, metavar="FILE", help="Log file. Default: .batchgen/logs/batchgen.jsonl."),
    option("--log-format", type=click.Choice(["json", "text"]), default="json", show_default=True, help="Log format."),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Observers:
    """All observers of one run besides the display."""

    session: Session
    batch: str
    log: LogOptions
    notifier: Notifier
    metrics: MetricsFile | None

    @classmethod
    def of(cls, session: Session, project: Project, batch: str, values: Mapping[str, Any]) -> Observers:
        """Return the observers that the options of a run ask for; raise UsageError."""
        from ..app.monitoring.metrics import MetricsFile
        from ..app.monitoring.notify import Notifier
        from ..files.log import LogOptions

        log_file, metrics_file = values.get("log_file"), values.get("metrics_file")
        return cls(
            session=session,
            batch=batch,
            log=LogOptions(
                file=session.file(log_file) if log_file else project.state / "logs" / "batchgen.jsonl",
                as_text=values.get("log_format") == "text",
                verbose=session.verbose,
                show=output.say,
            ),
            notifier=Notifier.of(output.say, values.get("notify") or (), values.get("on_finish")),
            metrics=MetricsFile(file=session.file(metrics_file), show_message=output.say) if metrics_file else None,
        )

    def follow(self, display: Follow) -> Follow:
        """Combine *display* and the observers into one follower of a run."""
        from ..app.monitoring.events import combine, log_events

        metrics = [self.metrics.follow] if self.metrics else []
        return combine(display, log_events, self.notifier.follow, *metrics)

    def say(self, text: str) -> None:
        """Print what happens on its own; with -q it is only logged."""
        if not self.session.quiet:
            output.say(text)

    def on_silence(self, text: str) -> None:
        """Report that no answer arrives any more."""
        output.say(text)
        self.notifier.stalled(text)

    @contextmanager
    def attending(self) -> Iterator[None]:
        """Keep the log while inside, and report the error that ends it."""
        from ..files import log as logs

        with logs.logging_to(self.log, batch=self.batch):
            try:
                yield
            except BatchgenError as error:
                logs.event("exit_error", logs.ERROR, exit_code=error.exit_code, message=str(error))
                if not isinstance(error, AlreadyRunning):  # the run before is still in progress: no news
                    self.notifier.failed(self.batch, error)
                raise
            except Exception as error:
                # main logs the traceback
                logs.event("exit_error", logs.ERROR, exit_code=1, message=f"{type(error).__name__}: {error}")
                self.notifier.failed(self.batch, BatchgenError(f"unexpected error: {type(error).__name__}"))
                raise

    def report_end(self, result: RunResult) -> None:
        """Report the result of the run."""
        if self.metrics is not None:
            self.metrics.finished(result)
        self.notifier.finished(result.as_json())
