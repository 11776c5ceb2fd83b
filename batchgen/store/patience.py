"""Patience of readers: a query is repeated while the server of the job database is restarted."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from .connection import patiently
from .postgres_errors import UnreachableServer

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

#: Seconds for which a query is repeated.
PATIENCE = 60.0


def patient(reader: C) -> C:
    """Decorate a class whose public methods are queries; those that yield pages ask by ``ask`` or ``_jobs``."""
    for name, method in list(vars(reader).items()):
        is_query = inspect.isfunction(method) and not inspect.isgeneratorfunction(method)
        if is_query and name != "close" and (not name.startswith("_") or name == "_jobs"):
            setattr(reader, name, _patient(method))
    return reader


def _patient(query: Callable[P, R]) -> Callable[P, R]:
    @wraps(query)
    def ask(*values: P.args, **options: P.kwargs) -> R:
        try:
            return query(*values, **options)
        except UnreachableServer:
            return patiently(PATIENCE)(query, *values, **options)

    return ask
