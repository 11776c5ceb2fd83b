"""The clock of one command: ``python -S clocked.py COMMAND ...`` prints seconds, CPU and peak memory as JSON.

A small process of its own, because Linux starts the peak of a process at the size of the one that started it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time


def main(command: list[str]) -> int:
    """Run *command* with its output on standard error; print what it took, with all its children."""
    began = time.perf_counter()
    code = subprocess.call(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    seconds = time.perf_counter() - began
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    print(
        json.dumps(
            {"code": code, "seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * unit}
        )
    )
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
