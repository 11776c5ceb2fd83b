"""Lists of rows that jobs are made from: csv, tsv, jsonl and txt files, and folders of images.

``listing`` opens one; each format has a module of its own. Rows are streamed, so memory stays flat.
"""

from .filter import Pick
from .globs import Exclusion
from .mapping import ColumnMap
from .rows import BadList, Report, aliases
from .source import Listing, listing

__all__ = ["BadList", "ColumnMap", "Exclusion", "Listing", "Pick", "Report", "aliases", "listing"]
