"""Lists of rows that jobs are made from: csv, tsv, jsonl and txt files, and folders of images.

``listing`` is the way in; each kind of list is read in a module of its own.  Rows stream: memory stays flat.
"""

from .errors import BadList, Report
from .filter import Pick
from .rows import aliases
from .source import Listing, listing

__all__ = ["BadList", "Listing", "Pick", "Report", "aliases", "listing"]
