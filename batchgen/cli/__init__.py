"""The command line: arguments in, one call of ``app``, text and an exit code out."""

import gc

# Importing makes many objects and no garbage. Python looks for some after every 700 objects, which would take a sixth
# of the start of every command.
gc.set_threshold(200_000)

from .main import batchgen, main  # noqa: E402 - the imports of the program are what takes long

__all__ = ["batchgen", "main"]
