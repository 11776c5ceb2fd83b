"""The benchmarks by name, in the order of the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .answers import answers
from .clients import clients
from .figures import Row
from .flight import flight
from .images import images
from .memory import memory
from .start import start
from .table import table
from .whole import whole


class Benchmark(Protocol):
    """Measures one thing; *short* only shows that it can."""

    def __call__(self, *, short: bool) -> list[Row]: ...


BENCHMARKS: Mapping[str, Benchmark] = {
    "clients": clients,
    "answers": answers,
    "images": images,
    "table": table,
    "whole": whole,
    "memory": memory,
    "flight": flight,
    "start": start,
}
