"""Fault points in Python, for machines without a C compiler: fewer than the shim's, and none inside SQLite."""

from __future__ import annotations

import itertools
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Letter of faultio.c -> what is wrapped.
OS = {"p": "pwrite", "d": "fdatasync", "f": "fsync", "t": "ftruncate", "a": "posix_fallocate", "l": "link",
      "r": "rename", "u": "unlink", "m": "mkdir"}  # fmt: skip


def arm(text: str) -> None:
    """Wrap the calls that ``text`` (see faultio.c) names; paths are not looked at."""
    action, wanted, code, lasting, ops, trace, part, _ = text.split(":", 7)
    if part:
        return  # one file's calls cannot be told apart here
    number = itertools.count(1)

    def strikes(op: str) -> bool:
        if ops != "*" and op not in ops:
            return False
        now = next(number)
        if trace:
            with Path(trace).open("a") as log:
                log.write(f"{now} {op} python\n")
        if action == "kill" and now == int(wanted):
            os.kill(os.getpid(), signal.SIGKILL)
        return action == "fail" and (now == int(wanted) or (lasting == "1" and now > int(wanted)))

    def wrap(op: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:
            if strikes(op):
                raise OSError(int(code), os.strerror(int(code)))
            return call(*given, **named)

        return wrapped

    for op, name in OS.items():
        setattr(os, name, wrap(op, getattr(os, name)))
    for op, name in (("s", "send"), ("s", "sendmsg"), ("v", "recv"), ("v", "recv_into")):
        setattr(socket.socket, name, wrap(op, getattr(socket.socket, name)))
