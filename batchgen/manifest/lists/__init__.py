"""Lists of rows that jobs are made from: csv, tsv, jsonl and txt files, and folders of images.

``listing`` is the way in; each kind of list is read in a module of its own.  Rows stream: memory stays flat.
"""

from .columns import aliases
from .complain import BadList, Report
from .listing import Listing, listing
from .pick import Pick

__all__ = ["BadList", "Listing", "Pick", "Report", "aliases", "listing"]
