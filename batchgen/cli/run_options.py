"""The options of a run, the values that they set, and the observers that they ask for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import click

from ..calendar_period import next_time_of_day
from ..errors import AlreadyRunning, BatchgenError, UsageError
from . import output
from .options import FILE, OUTPUT, Session, as_options, keep_changed, option, options, sandbox
from .params import (
    ATTEMPTS,
    CONCURRENCY,
    FAILURE_LIMIT,
    LATENCY,
    MAX_TIME,
    NOTIFY_URL,
    RATE,
    TIME_OF_DAY,
    USD,
    WAIT,
    WORKERS,
    FailureLimit,
)
from .settings_file import is_from_file

if TYPE_CHECKING:
    from ..app.monitoring.metrics import MetricsFile
    from ..app.monitoring.notify import Notifier
    from ..app.project import Project
    from ..app.run import RunOptions
    from ..app.run_options import ClusterOptions
    from ..app.run_result import RunResult
    from ..app.shutdown import StopConditions
    from ..app.wiring import Follow
    from ..files.log import LogOptions
    from ..manifest.batch import Overlay
    from ..planning.selection import Selection

following = options(
    option("--on-finish", metavar="CMD", help="Command to run at the end, with the summary on stdin."),
    option(
        "--notify",
        multiple=True,
        type=NOTIFY_URL,
        help="Send a notice to URL at the end, when a budget is reached, and when nothing arrives any more.",
    ),
    option("--metrics-file", type=FILE, help="File of Prometheus metrics, updated during the run."),
    option("--log-file", type=FILE, help="Log file. Default: .batchgen/logs/batchgen.jsonl."),
    option("--log-format", type=click.Choice(["json", "text"]), default="json", show_default=True, help="Log format."),
)

run_options = options(
    sandbox,
    option("-y", "--yes", is_flag=True, help="Spend without asking."),
    option("--budget", type=USD, help="Most that this run may spend; this confirms spending."),
    option("--allow-unpriced", is_flag=True, help="Allow requests without a known price under a budget."),
    option("--no-input", is_flag=True, help="Never ask, not even on a terminal."),
    option("-n", "--dry-run", is_flag=True, help="Only show the plan."),
    keep_changed,
    option("-j", "--concurrency", type=CONCURRENCY, help="Requests in flight per provider."),
    option(
        "--rate",
        "rates",
        multiple=True,
        type=RATE,
        help="Request rate in this run: per minute (/m), second (/s) or day (/d).",
    ),
    option(
        "--max-attempts",
        type=ATTEMPTS,
        help="Most paid attempts per job, earlier runs included.",
    ),
    option("--out", type=OUTPUT, metavar="DIR", help="Output folder of this run, or a place in an object store."),
    option("--stop-at", type=TIME_OF_DAY, help="Start nothing new after this time of day."),
    option("--max-time", type=MAX_TIME, help="Start nothing new after this time: 90s, 30m, 6h."),
    option("--max-failures", type=FAILURE_LIMIT, help="Stop when more jobs than this have failed."),
    option(
        "--fail-on",
        type=click.Choice(["any", "all", "never"]),
        default="any",
        show_default=True,
        help="Failed jobs that make the exit code 3; all: only if no job of the batch is done.",
    ),
    option(
        "--no-wait",
        is_flag=True,
        help="Submit and collect batches once, and leave what is at the provider to the next run (exit code 9).",
    ),
    option("--wait-lock", type=WAIT, default=0, help="Wait this long for another run to end."),
    option(
        "--progress",
        type=click.Choice(["auto", "bar", "plain", "json", "none"]),
        default="auto",
        show_default=True,
        help="Progress: a live table, plain lines, or JSON lines on stdout.",
    ),
    option(
        "--backend",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="What sends the requests: this process, or workers on a Ray cluster.",
    ),
    option(
        "--address", metavar="ADDRESS", help="Address of the Ray cluster. Default: RAY_ADDRESS, or Ray on this machine."
    ),
    option("--workers", type=WORKERS, help="Workers on the Ray cluster. Default: 2."),
    option("--latency", type=LATENCY, default="realistic", hidden=True, help="Latency of the sandbox."),
    following,
)


def sandbox_defaults(latency: str) -> dict[str, Any]:
    """Return the options of a run on the sandbox that was not typed: everything else is unset."""
    unset = dict.fromkeys(
        ("budget", "concurrency", "max_attempts", "out", "stop_at", "max_time", "max_failures", "address", "workers")
    )
    off = dict.fromkeys(("allow_unpriced", "keep_changed", "no_input", "dry_run", "no_wait"), False)
    values = {"yes": True, "wait_lock": 0.0, "rates": (), "fail_on": "any"}
    return unset | off | values | {"progress": "auto", "latency": latency, "backend": "local"}


def overlay_of(session: Session, values: Mapping[str, Any]) -> Overlay:
    """Return what the options of a run override in the manifest."""
    from ..manifest.batch import Overlay

    rates: dict[str, dict[str, float]] = {}
    for rate in values["rates"]:
        rates.setdefault(rate.provider, {})[rate.limit] = rate.number
    return Overlay(
        concurrency=values["concurrency"],
        rates=rates,
        attempts=values["max_attempts"],
        folder=session.destination(values["out"]) if values["out"] else None,
    )


def terms_of(
    values: Mapping[str, Any], requeue: Selection | None, chosen: Selection | None, **others: object
) -> RunOptions:
    """Return the options of a run for ``app``; *others* are fields that have no option of their own in ``run``."""
    from ..app.run import RunOptions
    from ..planning.selection import Selection

    now = datetime.now().astimezone()
    return RunOptions(
        budget=values["budget"],
        allow_unpriced=values["allow_unpriced"],
        wait_lock=values["wait_lock"],
        requeue=requeue,
        selection=chosen or Selection(),
        keep_changed=values["keep_changed"],
        stop_conditions=stop_conditions(values["stop_at"], values["max_time"], values["max_failures"], now),
        fail_on=values["fail_on"],
        leaves=values["no_wait"],
        interactive=sys.stdin.isatty() and sys.stderr.isatty(),
        latency=values["latency"],
        cluster=_cluster(values),
        selected_by=as_options(requeue or chosen or Selection()),
        **others,  # type: ignore[arg-type]
    )


def _cluster(values: Mapping[str, Any]) -> ClusterOptions | None:
    """Return the cluster that a run asks for; raise UsageError for its options without it."""
    from ..app.run_options import ClusterOptions

    if values["backend"] == "ray":
        return ClusterOptions(address=values["address"], workers=values["workers"])
    for name in ("address", "workers"):
        if values[name] is not None and not is_from_file(name):
            raise UsageError(f"--{name} needs --backend ray")
    return None


def stop_conditions(
    stop_at: time | None, max_time: timedelta | None, max_failures: FailureLimit | None, now: datetime
) -> StopConditions:
    """Return when a run stops. A time of day that has passed means tomorrow's."""
    from ..app.shutdown import StopConditions

    moment = None if stop_at is None else next_time_of_day(stop_at.hour, stop_at.minute, now)
    failures = max_failures or FailureLimit()
    return StopConditions(
        stop_at=moment, max_time=max_time, max_failures=failures.jobs, max_failures_percent=failures.percent
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Observers:
    """All observers of one run besides the display."""

    session: Session
    project: Project
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
            project=project,
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
        from .render.live import publisher

        metrics = [self.metrics.follow] if self.metrics else []
        return combine(display, publisher(self.project), log_events, self.notifier.follow, *metrics)

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
                if not (isinstance(error, AlreadyRunning) or error.already_reported):  # no news
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
