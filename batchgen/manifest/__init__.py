"""The manifest: a YAML file to a checked and expanded Batch.

``load`` reads, validates and expands one; its steps are the modules ``yaml_reader``, ``include``, ``validate``,
``expand``, ``render`` and ``builder``.
"""

from .batch import Batch, PlannedJob
from .load import load

__all__ = ["Batch", "PlannedJob", "load"]
