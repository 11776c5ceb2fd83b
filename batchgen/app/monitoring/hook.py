"""The user's own command at the end of a run.  A doer: one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

#: Seconds that the command may take.
PATIENCE = 60.0

#: Variable -> where its value stands in a summary.
NAMES = {
    "BATCHGEN_BATCH_NAME": ("batch",),
    "BATCHGEN_RUN_ID": ("run", "id"),
    "BATCHGEN_EXIT_CODE": ("exit_code",),
    "BATCHGEN_EXIT_WORDS": ("exit_words",),
    "BATCHGEN_NEEDS_PERSON": ("needs_person",),
    "BATCHGEN_JOBS_TOTAL": ("jobs", "total"),
    "BATCHGEN_JOBS_DONE": ("jobs", "done"),
    "BATCHGEN_JOBS_PENDING": ("jobs", "pending"),
    "BATCHGEN_JOBS_FAILED": ("jobs", "failed"),
    "BATCHGEN_JOBS_UNKNOWN": ("jobs", "unknown"),
    "BATCHGEN_RUN_IMAGES": ("run", "images"),
    "BATCHGEN_RUN_USD": ("run", "usd"),
    "BATCHGEN_SPENT_USD": ("spend", "usd"),
    "BATCHGEN_OUTPUT_FOLDER": ("run", "folder"),
}


def hook_environment(body: Mapping[str, Any]) -> dict[str, str]:
    """Return a summary as environment variables; what it does not say is left out."""
    found = {}
    for name, keys in NAMES.items():
        value: Any = body
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            text = str(int(value)) if isinstance(value, bool) else str(value)
            found[name] = text.replace("\0", "")
    return found


def run_command(command: str, body: Mapping[str, Any]) -> str | None:
    """Run *command* by the shell with *body* on stdin and as variables; return what went wrong, in words, or None.

    What it prints goes to stderr.  After ``PATIENCE`` seconds it is ended, with everything that it started.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BATCHGEN_NOTIFY_SECRET")}
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=2,
            env=environment | hook_environment(body),
            start_new_session=True,
        )
    except OSError as error:
        return f"the command could not be started: {error.strerror}"
    with process:
        try:
            process.communicate(json.dumps(body).encode() + b"\n", timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return f"the command took longer than {PATIENCE:.0f} s and was ended"
        finally:
            if process.returncode is None:
                with suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
    return None if process.returncode == 0 else f"the command ended with code {process.returncode}"
