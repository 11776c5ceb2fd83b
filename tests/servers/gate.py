"""A gate in front of an HTTP server: it can be closed for a while, and can hold single requests or their answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

#: Decides about the first bytes of a request: what is held, the "request" or its "answer"; None: nothing.
Rule = Callable[[bytes], str | None]


class Gate:
    """Relays every connection to *target*, a port of this machine, by threads."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.rule: Rule = lambda _head: None
        self.held: list[str] = []  #: the first lines of what was held
        self._listener: socket.socket | None = None
        self._ends: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Accept connections, at the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=200)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept, self._listener)

    def close(self) -> None:
        """Refuse connections, and cut those that are open."""
        for end in (self._listener, *self._ends):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._threads.clear()

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        self.close()
        try:
            yield
        finally:
            self.open()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                try:
                    near = listener.accept()[0]
                except OSError:
                    return
                self._start(self._serve, near)

    def _serve(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self.target)) as far:
            ends = {near, far}
            self._ends |= ends
            silent = threading.Event()
            answers = threading.Thread(target=_copy, args=(far, near, silent), daemon=True)
            answers.start()
            with contextlib.suppress(OSError):
                while chunk := near.recv(1 << 16):
                    held = self.rule(chunk)
                    if held is not None:
                        silent.set()
                        self.held.append(chunk.partition(b"\r\n")[0].decode())
                    if held != "request":
                        far.sendall(chunk)
            with contextlib.suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)
            answers.join(10)
            self._ends -= ends


def _copy(source: socket.socket, target: socket.socket, silent: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(1 << 16):
            if not silent.is_set():
                target.sendall(chunk)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def gate(target: int) -> Iterator[Gate]:
    """Run an open gate to a port."""
    made = Gate(target)
    made.open()
    try:
        yield made
    finally:
        made.close()
