"""The process that runs under test are forked from: batchgen is imported once, so a thousand kills take minutes.

Reads orders as JSON lines, answers each with how the run ended. With ``exec`` the run is a fresh interpreter instead.
Nothing is armed here: every fault is armed in the child, just before it enters batchgen's ``main``.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import struct
import sys
import time
from typing import Any

from tests.forkserver import prepare, to_the_end

#: A run with fault points in Python, where there is no shim.
ARMED = "import sys; from tests.torture.points import arm; arm(sys.argv.pop(1)); from batchgen.cli import main; main()"
#: EXT4_IOC_SHUTDOWN, and the flag that drops the journal that was not written yet.
SHUTDOWN, NOLOGFLUSH = 0x8004587D, 2


def main() -> None:
    prepare()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while line := sys.stdin.readline():
        order = json.loads(line)
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            become(order)
        answer = watch(pid, order) | {"seconds": time.monotonic() - began}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def become(order: dict[str, Any]) -> None:
    """Turn this fork into a run of batchgen; does not return."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["env"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    fault = order["fault"]
    if order["exec"]:
        if fault:
            os.environ["TORTURE_FAULT"] = fault
        if order["shim"]:
            os.environ["LD_PRELOAD"] = order["shim"]
        start = ["-m", "batchgen"]
        if fault and not order["shim"]:
            start = ["-c", ARMED, fault]
        os.execve(sys.executable, [sys.executable, *start, *order["argv"]], os.environ)
    sys.argv = ["batchgen", *order["argv"]]
    if fault and order["shim"]:
        ctypes.CDLL(order["shim"]).torture_arm(fault.encode())
    elif fault:
        from .points import arm

        arm(fault)
    from batchgen.cli import main as batchgen

    to_the_end(batchgen)


def watch(pid: int, order: dict[str, Any]) -> dict[str, Any]:
    """Wait for a run, killing it when its time has come; return how it ended, and whether it took too long."""
    handle = os.pidfd_open(pid)
    cut = False
    try:
        moment = order["kill_after"]
        if moment is not None and not select.select([handle], [], [], moment)[0]:
            if order["mount"]:
                cut_power(handle, order["mount"])
                cut = True
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        late = not select.select([handle], [], [], order["seconds"])[0]
        if late:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return {"code": code, "late": late, "cut": cut}
    finally:
        os.close(handle)


def cut_power(handle: int, mount: str) -> None:
    """Stop the run where it stands and take its file system away: what was not synced is gone."""
    signal.pidfd_send_signal(handle, signal.SIGSTOP)
    time.sleep(0.01)
    folder = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", NOLOGFLUSH))
    finally:
        os.close(folder)


if __name__ == "__main__":
    main()
