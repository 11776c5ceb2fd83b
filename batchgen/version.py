"""The version of batchgen."""

__version__ = "0.1.0"
