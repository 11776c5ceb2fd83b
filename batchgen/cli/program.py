"""How batchgen was called: hints show commands as they have to be typed on this machine."""

from __future__ import annotations

import os
import re
import shlex
import sys
from functools import cache

from .entries import ALIASES, COMMANDS

#: The name of the program, as every text spells it.
NAME = "batchgen"


def as_called(text: str) -> str:
    """Return *text* with every command in it as it has to be typed here: ``batchgen`` may not be on the search path."""
    if "batchgen " not in text:
        return text
    program = _program()
    return text if program == NAME else _commands().sub(lambda match: f"{program} {match[1]}", text)


@cache
def _commands() -> re.Pattern[str]:
    return re.compile(rf"(?<![\w./-]){NAME} ((?:{'|'.join([*COMMANDS, *ALIASES])})\b|-|\[|FILE)")


@cache
def _program() -> str:
    """Return how this program was called, for the shell; its name if that finds this very installation."""
    called, beside = sys.argv[0], os.path.join(os.path.dirname(sys.executable), NAME)  # noqa: PTH118, PTH120
    if os.path.basename(called) == "__main__.py":  # noqa: PTH119 - python -m batchgen
        program = beside if os.access(beside, os.X_OK) else ""
    elif os.path.basename(called) == NAME and os.access(called, os.X_OK):  # noqa: PTH119
        program = called
    else:
        return NAME
    for folder in os.get_exec_path():
        found = os.path.join(folder, NAME)  # noqa: PTH118
        if os.access(found, os.X_OK):
            if program and os.path.samefile(found, program):  # noqa: PTH121
                return NAME
            break
    if not program:
        return shlex.join([sys.executable, "-m", NAME])
    here = os.getcwd() + os.sep  # noqa: PTH109
    return shlex.quote(program.removeprefix(here))
