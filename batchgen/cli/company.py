"""Who else follows a run: the log, beside the display."""

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
    from ..app.place import Place

_FILE = click.Path(dir_okay=False, path_type=Path)


def following(function: Function) -> Function:
    """Give a command the options of those who follow a run."""
    for option in reversed(
        (
            click.option(
                "--log-file", type=_FILE, metavar="FILE", help="The log. Default: .batchgen/logs/batchgen.jsonl."
            ),
            click.option("--log-format", type=click.Choice(["json", "text"]), default="json", show_default=True),
        )
    ):
        function = option(function)
    return function


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
