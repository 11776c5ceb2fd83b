"""Arguments of the Python interface, and what they mean for a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypedDict, cast, get_args

from ..app.config import dotenv
from ..app.project import Project
from ..app.run_options import ClusterOptions, FailOn, RunOptions
from ..app.shutdown import StopConditions
from ..database_url import parse_database
from ..errors import UsageError, suggest
from ..manifest import Batch
from ..manifest.batch import Overlay
from ..money import nano_usd
from ..object_url import Folder, ObjectUrl, is_object_url, typed_folder
from ..planning.selection import Selection
from .values import Progress

#: Most workers of a run.
MOST = 1000


class Where(TypedDict, total=False):
    """Where a project is, and whether its providers are simulated."""

    folder: str | os.PathLike[str]  #: working folder; default: the current one
    db: (
        str | os.PathLike[str] | None
    )  #: job database, a file or an address; default: ``.batchgen/batchgen.db`` in the folder
    sandbox: bool  #: simulated providers; nothing is bought and no key is needed


class Chosen(Where, total=False):
    """Which jobs a call is about; all of them by default."""

    ids: str | Iterable[str]  #: globs
    tags: str | Iterable[str]
    providers: str | Iterable[str]
    models: str | Iterable[str]
    limit: int | None
    sample: int | None
    seed: int


class Run(Chosen, total=False):
    """How a run spends, stops and reports."""

    budget: Decimal | float | str | None  #: most USD that this run may spend; this confirms spending
    yes: bool  #: spend without a budget
    allow_unpriced: bool  #: send requests without a known price under a budget
    keys: Mapping[str, str] | None  #: API keys by variable or provider; default: the environment and ``.env``
    output: str | os.PathLike[str] | None  #: folder of the images of this run
    concurrency: int | None  #: requests in flight per provider
    max_time: float | timedelta | None  #: seconds after which nothing new is started
    max_failures: int | None  #: failed jobs after which the run stops
    fail_on: FailOn
    wait_lock: float  #: seconds to wait for another run to end
    retry_failed: bool  #: requeue failed jobs first
    keep_changed: bool  #: keep the images of done jobs whose manifest entry has changed
    backend: Literal["local", "ray"]  #: what sends the requests: this process, or workers on a Ray cluster
    address: str | None  #: of the Ray cluster; default: ``RAY_ADDRESS``, or else Ray on this machine
    workers: int | None  #: on the Ray cluster
    latency: str  #: of the sandbox
    on_progress: Callable[[Progress], object] | None  #: called when a request has ended; False stops the run
    on_message: Callable[[str], object] | None  #: called with each notice about the run as a whole


def require_known(arguments: Mapping[str, object], known: type) -> None:
    """Raise TypeError for an argument that the function does not have."""
    names = _names(known)
    for name in arguments:
        if name not in names:
            raise TypeError(f"unknown argument {name!r}: {suggest(name, sorted(names))}")


def _names(known: type) -> set[str]:
    return {name for base in (known, *getattr(known, "__orig_bases__", ())) for name in base.__annotations__}


def project_of(arguments: Where) -> Project:
    """Return the project that the arguments name."""
    db = arguments.get("db")
    folder, sandbox = Path(arguments.get("folder", ".")), arguments.get("sandbox", False)
    return replace(
        Project.of(folder, None if db is None else parse_database(os.fspath(db)), sandbox=sandbox), in_python=True
    )


def selection_of(arguments: Chosen) -> Selection:
    """Return the selection that the arguments name."""
    for name in ("limit", "sample"):
        number = arguments.get(name)
        if number is not None and (not isinstance(number, int) or number < 1):
            raise UsageError(f"{name} takes a whole number from 1, not {number!r}")
    return Selection(
        ids=_texts(arguments.get("ids", ())),
        tags=_texts(arguments.get("tags", ())),
        providers=_texts(arguments.get("providers", ())),
        models=_texts(arguments.get("models", ())),
        limit=arguments.get("limit"),
        sample=arguments.get("sample"),
        seed=arguments.get("seed", 0),
    )


def overlay_of(arguments: Run) -> Overlay:
    """Return what the arguments override in the manifest."""
    output = arguments.get("output")
    folder: Folder | None = None
    if output is not None:
        home = Path(arguments.get("folder", ".")).absolute()
        folder = _store_url(str(output)) if is_object_url(str(output)) else home / output
    return Overlay(concurrency=arguments.get("concurrency"), folder=folder)


def _store_url(text: str) -> ObjectUrl:
    try:
        return typed_folder(text)
    except ValueError as error:
        raise UsageError(f"output: {error}") from error


def options_of(arguments: Run, batch: Batch, command: str) -> RunOptions:
    """Return the options of a run of *batch*; raise UsageError for a value that cannot be."""
    chosen = selection_of(arguments)
    retry = arguments.get("retry_failed", False)
    return RunOptions(
        budget=_nano_usd(arguments.get("budget")),
        allow_unpriced=arguments.get("allow_unpriced", False),
        wait_lock=arguments.get("wait_lock", 0.0),
        requeue=replace(chosen, states=("failed",)) if retry else None,
        only_requeued=False,
        selection=chosen,
        keep_changed=arguments.get("keep_changed", False),
        stop_conditions=StopConditions(
            max_time=_span(arguments.get("max_time")), max_failures=_failures(arguments.get("max_failures"))
        ),
        fail_on=_fail_on(arguments.get("fail_on", "any")),
        interactive=False,
        latency=arguments.get("latency", "realistic"),
        cluster=_cluster(arguments),
        environment=environment_of(batch, Path(arguments.get("folder", ".")), arguments.get("keys")),
        command=command,
    )


def environment_of(batch: Batch, folder: Path, keys: Mapping[str, str] | None) -> dict[str, str]:
    """Return the environment with the project's keys: those of ``.env``, which it outranks, and *keys*.

    The environment of this process stays as it is. Raises UsageError for a key that no provider has.
    """
    variables = {name: profile.api_key_env for name, profile in batch.profiles.items()}
    known = {variable for names in variables.values() for variable in names}
    environment = dict(os.environ)
    file = folder / ".env"
    if file.is_file():
        for name, value in dotenv.read(file).items():
            variable = name.removesuffix("_FILE")
            if {name, variable} & known and not any(f"{variable}{suffix}" in environment for suffix in dotenv.SUFFIXES):
                environment[name] = value
    for name, value in (keys or {}).items():
        if name not in known and not variables.get(name):
            raise UsageError(f"keys: {name!r} is neither a provider nor its variable; {suggest(name, sorted(known))}")
        environment[name if name in known else variables[name][0]] = value
    return environment


def _cluster(arguments: Run) -> ClusterOptions | None:
    backend, address, workers = arguments.get("backend", "local"), arguments.get("address"), arguments.get("workers")
    if backend not in ("local", "ray"):
        raise UsageError(f"backend takes 'local' or 'ray', not {backend!r}")
    if address is not None and not isinstance(address, str):
        raise UsageError(f"address takes HOST:PORT, not {address!r}")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= MOST):
        raise UsageError(f"workers takes a whole number from 1 to {MOST:,}, not {workers!r}")
    if backend == "ray":
        return ClusterOptions(address=address, workers=workers)
    if address is not None or workers is not None:
        raise UsageError(f"{'workers' if address is None else 'address'} needs backend='ray'")
    return None


def _texts(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _nano_usd(budget: Decimal | float | str | None) -> int | None:
    amount = nano_usd(budget)
    if budget is not None and amount is None:
        raise UsageError(f"budget takes an amount in USD, such as 40 or Decimal('0.50'), not {budget!r}")
    return amount


def _span(value: object) -> timedelta | None:
    if value is None or isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < timedelta.max.total_seconds():
        raise UsageError(f"max_time takes seconds or a timedelta, not {value!r}")
    return timedelta(seconds=value)


def _failures(value: object) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise UsageError(f"max_failures takes a whole number from 0, not {value!r}")
    return value


def _fail_on(value: object) -> FailOn:
    if value not in get_args(FailOn):
        raise UsageError(f"fail_on takes {', '.join(map(repr, get_args(FailOn)))}, not {value!r}")
    return cast("FailOn", value)
