"""A relay in front of a server that loses the answer to a commit: the server has committed, and nothing shows it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.timing import patience


class Relay:
    """Passes bytes between a client and a PostgreSQL; armed, it breaks the connection after the next commit."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.armed = False
        self.lost = 0  #: answers
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target), timeout=patience(20))
                server.settimeout(None)
                committing = threading.Event()
                for work in (self._send, self._answer):
                    threading.Thread(target=work, args=(client, server, committing), daemon=True).start()

    def _send(self, client: socket.socket, server: socket.socket, committing: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                if self.armed and b"COMMIT" in data:
                    self.armed = False
                    committing.set()
                server.sendall(data)
        _end(client, server)

    def _answer(self, client: socket.socket, server: socket.socket, committing: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if committing.is_set():
                    self.lost += 1
                    break
                client.sendall(data)
        _end(client, server)


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)  # wakes the thread of the other direction
        each.close()


@contextmanager
def relay(port: int) -> Iterator[Relay]:
    """Run a relay to the server on *port*."""
    own = Relay(port)
    try:
        yield own
    finally:
        own.close()
