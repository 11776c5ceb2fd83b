"""The report at the end of a run, where the manifest or the settings ask for one (``report: true``)."""

from __future__ import annotations

import logging
import signal
from dataclasses import replace

from ..files import log
from .project import Project
from .run_options import ShowMessage
from .run_result import RunResult

#: Thumbnails for which the user reads that they are being made.
_MANY = 100


def with_report(project: Project, result: RunResult, show_message: ShowMessage) -> RunResult:
    """Return *result* with the report that was written; whatever goes wrong with it is shown and costs nothing.

    The run has ended and its locks are free. A run that was interrupted gets its report too, unless it was interrupted
    twice or by a service manager, which does not wait.
    """
    command = project.command_flags(result.status.batch.name).on_batch("report")
    if result.cut_off or result.signal == signal.SIGTERM:
        return result
    from .report.write import write  # Imported here: most runs write no report.

    def on_files(done: int, total: int) -> None:
        if done == 1 and total > _MANY:
            show_message(f"report    {total:,} thumbnails are still to be made; Ctrl-C leaves them to: {command}")

    try:
        written = write(project, result.status.batch.name, on_files=on_files)
    except KeyboardInterrupt:
        show_message(f"report    not written: interrupted. To write it: {command}")
    except Exception as error:  # noqa: BLE001 - the images are delivered and booked, whatever happens here
        log.event("report_failed", logging.WARNING, error=repr(error))
        show_message(f"report    not written: {error}. To write it: {command}")
    else:
        return replace(result, report=written.page)
    return result
