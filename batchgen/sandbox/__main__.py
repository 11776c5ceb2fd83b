"""``python -m batchgen.sandbox``: the command line of the simulated providers."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from .cdn import MOST_BYTES
from .dialects import DIALECTS, TASK_DIALECTS
from .faults import parse_rate
from .server import require_loopback, serve
from .state import Settings
from .timing import Latency, Throttle

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal or idleness ends it; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        require_loopback(options.host)
    except ValueError as error:
        parser.error(str(error))
    settings = Settings(
        log=options.log,
        host=options.host,
        port=options.port,
        any_port=options.any_port,
        ready_file=options.ready_file,
        latency=options.latency,
        seed=options.seed,
        faults=tuple(options.fault),
        throttles=dict(options.throttle),
        idle_exit=options.idle_exit,
        honour_idempotency=options.honour_idempotency,
        draw=options.draw,
        keep=options.keep,
        clock=options.clock,
        providers=options.providers,
    )
    asyncio.run(serve(settings))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m batchgen.sandbox",
        description="Simulated image providers on loopback: strict, with a charge log, and with failures on demand.",
        epilog="batchgen help sandbox-faults lists the kinds of fault.",
    )
    add = parser.add_argument
    add("--port", type=int, default=0, help="0 takes a free one (default)")
    add("--any-port", action="store_true", help="another port if that one is taken")
    add("--host", default="127.0.0.1", help="a loopback address (default: 127.0.0.1)")
    add("--log", type=Path, default=Path("charges.jsonl"), help="charge log, appended to (default: charges.jsonl)")
    add("--ready-file", type=Path, help="written when listening: {url, pid, log}")
    add(
        "--latency",
        type=_checked(Latency.parse),
        default=Latency(mode="realistic"),
        metavar="none|realistic|SECONDS|lognormal:MEDIAN",
        help="how long answers take (default: realistic, about a second)",
    )
    add("--seed", type=int, default=0, help="for images, latency and chance (default: 0)")
    add("--fault", type=_checked(parse_rate), action="append", default=[], metavar="KIND[:VALUE]=RATE")
    add("--throttle", type=_checked(_throttle), action="append", default=[], metavar="PROVIDER=N/m")
    add("--idle-exit", type=float, metavar="SECONDS", help="end after so long without requests")
    add(
        "--honour-idempotency",
        action="store_true",
        help="answer a repeated Idempotency-Key from memory, without a charge",
    )
    add("--keep", type=int, default=MOST_BYTES, metavar="BYTES", help="of pictures at addresses; older ones expire")
    add("--draw", choices=("full", "small"), default="full", help="small: tiny images, for stress tests")
    add("--clock", type=float, default=0, metavar="SECONDS", help="error of the date in every answer")
    add("--providers", type=Path, metavar="FILE", help="JSON that describes further providers of remote tasks")
    return parser


def _throttle(text: str) -> tuple[str, str]:
    provider, _, limit = text.partition("=")
    names = (*DIALECTS, *TASK_DIALECTS)
    if provider not in names:
        raise ValueError(f"unknown provider {provider!r}; known: {', '.join(names)}")
    Throttle.parse(limit, time.monotonic)
    return provider, limit


def _checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return a parser whose ValueError argparse shows as its message."""

    def checked(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


if __name__ == "__main__":
    raise SystemExit(main())
