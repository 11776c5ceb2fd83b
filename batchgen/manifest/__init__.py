"""The manifest: a YAML file to a checked and expanded Batch.

``load`` is the way in; ``read`` to ``assemble`` are its steps, each in a module of its own.
"""

from .batch import Batch, PlannedJob
from .load import load

__all__ = ["Batch", "PlannedJob", "load"]
