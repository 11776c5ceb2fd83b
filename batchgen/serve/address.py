"""The address of a server: its port and token, kept beside the job database so that an open page survives a restart."""

from __future__ import annotations

import html
import json
import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..files.atomic import write_atomic

_TOKEN_BYTES = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """The port and the token of the last server; port 0: any."""

    token: str
    port: int = 0


def load(state: Path) -> Address:
    """Return the address of the last server of the job database in *state*, or a new one.

    A file that others can read has given the token away, so it is not used again.
    """
    file = _file(state)
    with suppress(OSError, ValueError, KeyError, TypeError):
        if file.stat().st_mode & 0o077 == 0:
            values = json.loads(file.read_bytes())
            token, port = str(values["token"]), int(values["port"])
            if len(token) >= _TOKEN_BYTES and 0 <= port < 65536:
                return Address(token=token, port=port)
    return Address(token=secrets.token_urlsafe(_TOKEN_BYTES))


def save(state: Path, address: Address) -> None:
    """Keep *address*; on a disk that cannot be written, the next server has another one."""
    text = json.dumps({"token": address.token, "port": address.port})
    with suppress(OSError):
        write_atomic(_file(state), text.encode(), mode=0o600)


def redirecting_page(state: Path, url: str) -> Path | None:
    """Return a page that leads to *url*, for the command line of a browser, which other users of the machine can read.

    Only this user can read the page. None if the disk cannot be written.
    """
    target = html.escape(url)
    page = f'<!doctype html><meta http-equiv="refresh" content="0; url={target}"><a href="{target}">batchgen</a>\n'
    file = (state / "serve.html").absolute()
    try:
        write_atomic(file, page.encode(), mode=0o600)
    except OSError:
        return None
    return file


def bind(host: str, port: int, last: int) -> socket.socket:
    """Return a listening socket; without a *port*, the *last* one if it is free, or else any. Raises UsageError."""
    for candidate in [port] if port else dict.fromkeys([last, 0]):
        try:
            return _listen(host, candidate)
        except OSError as error:
            failure = error
    hint = "Leave --port out for a free one." if port else "Does that address belong to this machine?"
    raise UsageError(f"cannot listen on {host}:{port}: {failure.strerror or failure}. {hint}")


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        # A server that was killed a moment ago must not keep its successor from the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    os.set_inheritable(listener.fileno(), False)
    return listener


def _file(state: Path) -> Path:
    return state / "serve.json"
