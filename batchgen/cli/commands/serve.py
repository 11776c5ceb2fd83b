"""The serve command: the page of a batch as a local web server."""

from __future__ import annotations

import sys
import webbrowser
from functools import partial
from typing import TYPE_CHECKING

from ...errors import UsageError
from .. import output
from ..options import Session, batch, batch_argument, command, option, sandbox
from ..params import PORT

if TYPE_CHECKING:
    from ...serve.server import Serving

_INSTALL = "pip install 'batchgen[serve]'"


@command(
    "serve",
    "batchgen serve                       the batch that ran last",
    "batchgen serve autumn --open",
    "batchgen serve --read-only --port 8080",
)
@option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@option("--port", type=PORT, default=0, help="Port. Default: that of the last time, or any free one.")
@option(
    "--allow-host", "allow_hosts", multiple=True, metavar="NAME", help="Another host name to answer to, as of a proxy."
)
@option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@option("--read-only", is_flag=True, help="Refuse marks, redo and retry from the page.")
@batch_argument
@batch
@sandbox
def serve(
    session: Session,
    *,
    host: str,
    port: int,
    allow_hosts: tuple[str, ...],
    open_page: bool,
    read_only: bool,
    batch: str | None,
) -> int:
    """Show the page of a batch live: pictures, marks, redo and retry.

    The address contains a random token, without which nothing is shown or changed. Marks go to the job database; redo
    and retry show their price before they are started. Ctrl-C ends the server, but no run.
    """
    try:
        from ...serve import server
    except ModuleNotFoundError as error:
        raise UsageError(f"serve needs a web server ({error.name} is missing): {_INSTALL}") from error

    options = server.ServeOptions(host=host, port=port, allow_hosts=allow_hosts, read_only=read_only)
    server.serve(session.project(), batch, options, partial(_announce, session, open_page=open_page))
    return 0


def _announce(session: Session, serving: Serving, *, open_page: bool) -> None:
    """Print the address, before the first request is answered."""
    lines = [f"serve     {serving.url}    {serving.batch}; Ctrl-C ends it"]
    if not serving.is_private:
        output.say(
            "warning: other machines can reach this address, without encryption. Everyone with the link sees the "
            "pictures and can spend money; --read-only prevents the latter"
        )
    session.print({"url": serving.url, "batch": serving.batch}, lines)
    sys.stdout.flush()
    if open_page:
        from ...serve.address import redirecting_page

        page = redirecting_page(session.project().state, serving.url)
        if page is None or not webbrowser.open(page.as_uri()):
            output.say("no browser was found on this machine; open the address above")
