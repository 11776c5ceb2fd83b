"""Fork server: batchgen as a process of its own at a tenth of the cost, forked after its imports.

``Popen([FORKED, "run", "m.yaml"], ...)`` is a ``subprocess.Popen`` whose process is a fork that enters batchgen as
``python -m batchgen`` does: with its own pid, streams, environment, folder, signals and session. A fork cannot change
what an interpreter reads from the environment at its start: where that differs, the process is a fresh one.
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
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pydantic

#: In place of a command's program.
FORKED = "batchgen"
FRESH = (sys.executable, "-m", "batchgen")
#: Modules to import before forking; of the environment they read only what AT_START names.
MODULES = (
    "alembic.command", "anyio._backends._asyncio", "anyio.to_thread", "certifi", "encodings.idna",
    "encodings.utf_8_sig", "encodings.unicode_escape", "sqlalchemy.dialects.sqlite.pysqlite",
    "batchgen.app.provider_check", "batchgen.app.monitoring.events", "batchgen.app.monitoring.metrics",
    "batchgen.app.monitoring.notify", "batchgen.app.run", "batchgen.cli.commands.init", "batchgen.cli.render.result",
    "batchgen.cli.render.live", "batchgen.cli.commands.status", "batchgen.cli.commands.unknown",
    "batchgen.cli.commands.plan", "batchgen.cli.commands.providers", "batchgen.cli.commands.sandbox",
    "batchgen.cli.commands.database", "batchgen.cli.commands.run", "batchgen.providers.responses",
    "batchgen.providers.gemini_chat", "batchgen.providers.openai_images", "PIL.BmpImagePlugin", "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "PIL.PpmImagePlugin", "PIL.WebPImagePlugin",
    "batchgen.cli.commands.retry", "batchgen.engine.batches.lane", "batchgen.engine.executor",
    "batchgen.providers.task", "batchgen.providers.openai_batch", "batchgen.app.reported_errors",
    "batchgen.cli.render.stream", "batchgen.sandbox.faults", "batchgen.cli.pager", "batchgen.store.lookup",
    "alembic.config", "pydantic.dataclasses", "pydantic.type_adapter", "tenacity",
)  # fmt: skip
AT_START = ("AIOHTTP_", "FORCE_COLOR", "FROZENLIST_", "GITHUB_ACTIONS", "LANG", "LC_", "LD_", "MALLOC_", "MULTIDICT_")
AT_START += ("PILLOW_", "PROPCACHE_", "PYDANTIC_", "PYTHON", "PY_COLORS", "SSLKEYLOGFILE", "TERMINAL_WIDTH", "YARL_")


class Popen(subprocess.Popen[Any]):
    """``subprocess.Popen`` that also knows the program FORKED."""

    _line: socket.socket | None = None  #: to a forked process and its parent
    project: Any = None  #: the user's folder in which it was started

    def _execute_child(self, args: Any, *rest: Any) -> None:
        executable, preexec, _close, pass_fds, cwd, env, _info, _flags, shell = rest[:9]
        env = dict(os.environ if env is None else env)
        if args[0] != FORKED or not _fits(env):
            fresh = [*FRESH, *args[1:]] if args[0] == FORKED else args
            super()._execute_child(fresh, *rest)
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
            self.pid = self._receive()
            self._child_created = True
        finally:
            self._close_pipe_fds(*ends)

    def _receive(self, flags: int = 0) -> int:
        """Return the next message: first the pid, then the exit status."""
        assert self._line is not None
        said = self._line.recv(4, flags)
        assert said, "the fork server is gone"
        return int(struct.unpack("i", said)[0])

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._line is None:
            return super()._try_wait(wait_flags)
        try:
            status = self._receive(socket.MSG_DONTWAIT if wait_flags else 0)
        except BlockingIOError:
            return 0, 0
        self._line.close()
        return self.pid, status

    def _internal_poll(self, *rest: Any, **named: Any) -> int | None:
        if self._line is None:
            return super()._internal_poll(*rest, **named)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._wait(0)
        return self.returncode


def _fits(environment: Mapping[str, str]) -> bool:
    names = {name for name in {**environment, **os.environ} if name.startswith(AT_START)}
    return all(environment.get(name) == os.environ.get(name) for name in names)


@functools.cache
def _control() -> socket.socket:
    """Start the fork server, which ends with this process; return the socket for its orders."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, __file__, str(theirs.fileno())]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    atexit.register(lambda: (ours.close(), server.wait()))
    return ours


# --- the fork server -----------------------------------------------------------------------------------------


def prepare() -> None:
    """Do once what every fork would do first: import, and build the schemas that pydantic puts off."""
    for name in MODULES:
        importlib.import_module(name)
    models = pydantic.BaseModel.__subclasses__()
    for model in models:
        models += model.__subclasses__()
        model.model_rebuild()
    gc.collect()
    gc.freeze()


def serve(control: socket.socket) -> list[int]:
    """Fork on every order; return its descriptors in the fork, and none when the orders end."""
    prepare()
    lines: dict[int, socket.socket] = {}
    heard, wake = socket.socketpair()
    wake.setblocking(False)
    changed = ((signal.SIGCHLD, lambda *_: None), (signal.SIGINT, signal.SIG_IGN))
    handlers = {number: signal.signal(number, handler) for number, handler in changed}
    signal.set_wakeup_fd(wake.fileno())
    while True:
        ready = select.select([control, heard], [], [])[0]
        if control in ready:
            said, descriptors, _, _ = socket.recv_fds(control, 1, 4)
            if said and (pid := os.fork()):
                lines[pid] = socket.socket(fileno=descriptors.pop())
                for descriptor in descriptors:
                    os.close(descriptor)
                continue
            signal.set_wakeup_fd(-1)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for other in (control, heard, wake, *lines.values()):
                other.close()
            return descriptors
        if heard in ready:
            heard.recv(4096)
            _report_ends(lines)


def _report_ends(lines: dict[int, socket.socket]) -> None:
    """Send the exit status of every process that ended."""
    while lines:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with lines.pop(pid) as line, contextlib.suppress(OSError):  # its parent may be gone
            line.sendall(struct.pack("i", status))


def become(streams: Sequence[int], number: int) -> None:
    """Become ``python -m batchgen`` with these streams and the order that comes from the descriptor *number*."""
    for target, descriptor in enumerate(streams):
        os.dup2(descriptor, target)
        os.close(descriptor)
    with socket.socket(fileno=number) as line, line.makefile("r") as said:
        order: dict[str, Any] = json.loads(said.readline())
        if order["session"]:
            os.setsid()
        line.sendall(struct.pack("i", os.getpid()))  # from here on it takes signals as any other
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old: io.TextIOWrapper = getattr(sys, name)
        raw = open(number, "wb" if number else "rb", 0 if number and old.write_through else -1, closefd=False)  # noqa: SIM115
        terms = {"line_buffering": number == 2 or raw.isatty(), "write_through": old.write_through}
        setattr(sys, name, io.TextIOWrapper(raw, old.encoding, old.errors, **terms))
    sys.path[0] = os.getcwd()  # noqa: PTH109 - as the interpreter does
    sys.argv = ["-m", *order["argv"]]
    to_the_end(lambda: runpy.run_module("batchgen", run_name="__main__", alter_sys=True))


def to_the_end(program: Callable[[], object]) -> None:
    """Run *program* and exit as the interpreter does, except for freeing memory, which a fork would copy first."""
    code = None
    try:
        program()
    except SystemExit as leave:
        code = leave.code
    threading._shutdown()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):  # the reader is gone: let the interpreter handle it
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(int(code or 0))
    sys.exit(code)


if __name__ == "__main__" and (given := serve(socket.socket(fileno=int(sys.argv[1])))):
    become(given[:3], given[3])
