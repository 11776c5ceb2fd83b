"""Who else follows a run, beside the display: the log, and whoever is told of its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BatchgenError
from . import words
from .options import Function, Session

if TYPE_CHECKING:
    from ..app.notify import Notifier
    from ..app.place import Place

_FILE = click.Path(dir_okay=False, path_type=Path)


def following(function: Function) -> Function:
    """Give a command the options of those who follow a run."""
    for option in reversed(
        (
            click.option(
                "--log-file", type=_FILE, metavar="FILE", help="The log. Default: .batchgen/logs/batchgen.jsonl."
            ),
            click.option("--on-finish", metavar="CMD", help="At the end run CMD, with the summary on stdin."),
            click.option(
                "--notify", multiple=True, metavar="URL", help="Tell URL of the end, a budget reached, a silence."
            ),
            click.option("--log-format", type=click.Choice(["json", "text"]), default="json", show_default=True),
        )
    ):
        function = option(function)
    return function


def notifier(options: Mapping[str, Any]) -> Notifier:
    """Return who is told of a run; raise UsageError where nobody could be."""
    from ..app.notify import Notifier

    return Notifier.of(words.say, options.get("notify") or (), options.get("on_finish"))


@contextmanager
def logged(session: Session, place: Place, batch: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Keep a log of what goes on inside, also of the error that ends it."""
    from .. import logs

    stated = options.get("log_file")
    wanted = logs.Wanted(
        file=session.file(stated) if stated else place.state / "logs" / "batchgen.jsonl",
        as_text=options.get("log_format") == "text",
        verbose=session.verbose,
        tell=words.say,
    )
    with logs.kept(wanted, batch=batch):
        try:
            yield
        except BatchgenError as error:
            if place.state.exists():  # what was refused before it began leaves nothing behind
                logs.event("exit_error", logs.ERROR, exit_code=error.exit_code, message=str(error))
            raise
