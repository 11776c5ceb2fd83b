"""The user's own command at the end of a run (``--on-finish``)."""

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

#: Environment variable -> path of its value in the summary.
VARIABLES = {
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
    """Return a summary as environment variables; missing values are omitted."""
    environment = {}
    for name, keys in VARIABLES.items():
        value: Any = body
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            text = str(int(value)) if isinstance(value, bool) else str(value)
            environment[name] = text.replace("\0", "")
    return environment


def run_command(command: str, body: Mapping[str, Any]) -> str | None:
    """Run *command* in a shell with the summary *body* on stdin and as variables; return an error message or None.

    Its output goes to stderr. After ``PATIENCE`` seconds it is killed with everything that it started.
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
        return f"cannot start the command: {error.strerror}"
    with process:
        try:
            process.communicate(json.dumps(body).encode() + b"\n", timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return f"the command took longer than {PATIENCE:.0f} s and was killed"
        finally:
            if process.returncode is None:
                with suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
    return None if process.returncode == 0 else f"the command exited with code {process.returncode}"
