"""The command line: arguments in, one call of ``app``, text and an exit code out."""

from .main import batchgen, main

__all__ = ["batchgen", "main"]
