"""batchgen as a process of its own at a tenth of the cost: forked from a process that has imported it already.

``Popen([FORKED, "run", "m.yaml"], ...)`` is a ``subprocess.Popen`` whose process was forked and enters
``batchgen/__main__.py`` as ``python -m batchgen`` does: own pid, streams, environment, folder, signals and session.
What the interpreter or a library reads from the environment as it starts cannot be changed in a fork: where that
differs, and for every other command, the process is a fresh one.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

#: Stands where a command has its program.
FORKED = "batchgen"
FRESH = (sys.executable, "-m", "batchgen")
#: What every use of batchgen may import on its way; nothing of it reads the environment but what AT_START names.
MODULES = (
    "aiohttp",
    "alembic.command",
    "alembic.config",
    "anyio._backends._asyncio",
    "anyio.to_thread",
    "batchgen.app.check",
    "batchgen.app.run",
    "batchgen.cli.begin",
    "batchgen.cli.closing",
    "batchgen.cli.display",
    "batchgen.cli.look",
    "batchgen.cli.mend",
    "batchgen.cli.prepare",
    "batchgen.cli.providers",
    "batchgen.cli.rehearse",
    "batchgen.cli.table",
    "batchgen.cli.work",
    "batchgen.providers.answers",
    "batchgen.providers.gemini_chat",
    "batchgen.providers.openai_images",
    "certifi",
    "encodings.idna",
    "encodings.unicode_escape",
    "encodings.utf_8_sig",
    "httpx",
    "httpx_aiohttp",
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.PpmImagePlugin",
    "PIL.WebPImagePlugin",
    "sqlalchemy.dialects.sqlite.pysqlite",
)
AT_START = ("AIOHTTP_", "FORCE_COLOR", "FROZENLIST_", "GITHUB_ACTIONS", "LANG", "LC_", "LD_", "MALLOC_", "MULTIDICT_")
AT_START += ("PILLOW_", "PROPCACHE_", "PYDANTIC_", "PYTHON", "PY_COLORS", "SSLKEYLOGFILE", "TERMINAL_WIDTH", "YARL_")


class Popen(subprocess.Popen[Any]):
    """A ``subprocess.Popen`` that knows the program FORKED."""

    _line: socket.socket | None = None  #: to the parent of a forked process

    def _execute_child(self, args: Any, *rest: Any) -> None:
        executable, preexec, _close, pass_fds, cwd, env, _info, _flags, shell = rest[:9]
        env = dict(os.environ if env is None else env)
        if args[0] != FORKED or not _fits(env):
            fresh = [*FRESH, *args[1:]] if args[0] == FORKED else args
            super()._execute_child(fresh, *rest)  # type: ignore[misc]
            return
        assert (executable, preexec, pass_fds, shell) == (None, None, (), False)
        ends, session = rest[9:15], rest[20]
        order = {"argv": args[1:], "cwd": os.fspath(cwd or "."), "env": env, "session": session}
        streams = [own if own >= 0 else ours for own, ours in zip((ends[0], ends[3], ends[5]), (0, 1, 2), strict=True)]
        try:
            self._line, theirs = socket.socketpair()
            with theirs:
                socket.send_fds(_control(), [b"."], [*streams, theirs.fileno()])
            self._line.sendall(json.dumps(order).encode() + b"\n")
            self.pid = self._hear()
            self._child_created = True
        finally:
            self._close_pipe_fds(*ends)  # type: ignore[attr-defined]

    def _hear(self, flags: int = 0) -> int:
        """Return what the parent says next: the pid, and then how it ended."""
        assert self._line is not None
        said = self._line.recv(4, flags)
        assert said, "the process that batchgen is forked from is gone"
        return int(struct.unpack("i", said)[0])

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._line is None:
            return super()._try_wait(wait_flags)  # type: ignore[misc,no-any-return]
        try:
            status = self._hear(socket.MSG_DONTWAIT if wait_flags else 0)
        except BlockingIOError:
            return 0, 0
        self._line.close()
        return self.pid, status

    def _internal_poll(self, *rest: Any, **named: Any) -> int | None:
        if self._line is None:
            return super()._internal_poll(*rest, **named)  # type: ignore[misc,no-any-return]
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._wait(0)  # type: ignore[attr-defined]
        return self.returncode


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environment.items() if name.startswith(AT_START)}


def _fits(environment: Mapping[str, str]) -> bool:
    return _at_start(environment) == _at_start(os.environ)


@functools.cache
def _control() -> socket.socket:
    """Start the process to fork from; return what it takes orders by.  It ends with this process."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, __file__, str(theirs.fileno())]
        zygote = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    atexit.register(lambda: (ours.close(), zygote.wait()))
    return ours


# --- the process to fork from -----------------------------------------------------------------------------------------


def serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork on every order; return it in the fork, and None when the orders end."""
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    lines: dict[int, socket.socket] = {}
    heard, wake = socket.socketpair()
    for end in (heard, wake):
        end.setblocking(False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGCHLD, signal.SIGINT)}
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(wake.fileno())
    while True:
        ready = select.select([control, heard], [], [])[0]
        if control in ready:
            said, descriptors, _, _ = socket.recv_fds(control, 1, 4)
            if not said:
                return None
            *streams, number = descriptors
            line = socket.socket(fileno=number)
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                for other in (control, heard, wake, *lines.values()):
                    other.close()
                return _order(line, streams)
            lines[pid] = line
            line.sendall(struct.pack("i", pid))
            for descriptor in streams:
                os.close(descriptor)
        if heard in ready:
            heard.recv(4096)
            _tell(lines)


def _tell(lines: dict[int, socket.socket]) -> None:
    """Say of every process that ended how it did."""
    while lines:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with lines.pop(pid) as line, contextlib.suppress(OSError):  # nobody need wait for it
            line.sendall(struct.pack("i", status))


def _order(line: socket.socket, streams: list[int]) -> dict[str, Any]:
    """Take the streams, and read what to do with them."""
    for target, descriptor in enumerate(streams):
        os.dup2(descriptor, target)
        os.close(descriptor)
    with line, line.makefile("r") as said:
        order: dict[str, Any] = json.loads(said.readline())
    return order


def become(order: dict[str, Any]) -> None:
    """Be ``python -m batchgen`` from here on."""
    if order["session"]:
        os.setsid()
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        old: io.TextIOWrapper = getattr(sys, name)
        buffering = 1 if number == 2 else -1
        new = open(number, mode, buffering, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, new)
    sys.path[0] = os.getcwd()  # noqa: PTH109 - as the interpreter does
    sys.argv = ["-m", *order["argv"]]
    runpy.run_module("batchgen", run_name="__main__", alter_sys=True)


if __name__ == "__main__" and (given := serve(socket.socket(fileno=int(sys.argv[1])))):
    become(given)
