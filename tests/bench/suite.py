"""The benchmarks by name, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import real
from .answers import answers
from .clients import clients
from .cluster import cluster
from .documents import documents
from .figures import Row
from .flight import burst, flight
from .images import images
from .limits import limits
from .live import live
from .million import million
from .page import page
from .peers import peers
from .plots import plots
from .settings import Settings
from .start import start
from .table import table
from .thumbnails import thumbnails
from .uploads import uploads

BENCHMARKS: Mapping[str, Callable[[Settings], list[Row]]] = {
    "large": real.large,
    "url": real.linked,
    "small": real.small,
    "syncs": real.syncs,
    "burst": burst,
    "flight": flight,
    "limits": limits,
    "million": million,
    "plots": plots,
    "peers": peers,
    "clients": clients,
    "answers": answers,
    "images": images,
    "thumbnails": thumbnails,
    "documents": documents,
    "store": uploads,
    "serve": live,
    "table": table,
    "start": start,
    "page": page,
    "cluster": cluster,
}
#: Left out where no names are given: long, and not figures of batchgen alone.
ON_REQUEST = frozenset({"plots", "peers", "cluster"})
