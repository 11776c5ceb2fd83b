"""Commands without cost: sandbox, demo."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import BatchgenError, UsageError
from ...money import show_credits, show_usd
from .. import output
from ..options import FILE, Session, command, option
from ..params import LATENCY, PORT, SEED, WAIT
from ..render.format import display_path
from ..render.table import Fit, table

if TYPE_CHECKING:
    from ...app.project import Project
    from ...store.ledger import UsageLine


@command("sandbox", "batchgen sandbox --port 8765", "batchgen sandbox --fault error500=0.02 --throttle openai=60/m")
@option("--port", type=PORT, default=8765, show_default=True, help="Port; 0: any free one.")
@option("--log", type=FILE, help="Charge log. Default: .batchgen/sandbox/charges.jsonl.")
@option(
    "--latency", default="realistic", show_default=True, help="Latency: none, realistic, SECONDS or lognormal:MEDIAN."
)
@option("--seed", type=SEED, default=0, help="Seed of images, latency and faults.")
@option("--fault", multiple=True, metavar="KIND=RATE", help="Random fault, such as error500=0.02.")
@option("--throttle", multiple=True, metavar="PROVIDER=N/m", help="Rate above which a provider answers 429.")
@option("--idle-exit", type=WAIT, help="Exit after this time without a request.")
def sandbox(session: Session, **options: Any) -> int:  # noqa: ANN401 - the options above
    """Serve simulated providers on this machine.

    They speak every dialect, make real pictures and cost nothing. The provider NAME is at http://127.0.0.1:PORT/NAME;
    any key works. Ctrl-C ends it. Faults are injected by --fault, or by [sandbox: KIND] in a prompt: batchgen help
    sandbox-faults.
    """
    _check(options)
    log = options.pop("log") or replace(session, sandbox=True).project().state / "charges.jsonl"
    arguments = ["--log", str(log)]
    for name, value in options.items():
        for item in value if isinstance(value, tuple) else (value,):
            if item is not None:
                arguments += [f"--{name.replace('_', '-')}", str(item)]
    sys.argv = ["batchgen sandbox", *arguments]
    runpy.run_module("batchgen.sandbox", run_name="__main__")
    return 0


def _check(options: Mapping[str, Any]) -> None:
    import time

    from ...sandbox.faults import parse_rate
    from ...sandbox.timing import Latency, Throttle

    reads: tuple[tuple[str, Callable[[str], object]], ...] = (
        ("fault", parse_rate),
        ("throttle", lambda text: Throttle.parse(text.partition("=")[2], time.monotonic)),
        ("latency", Latency.parse),
    )
    for name, read in reads:
        for text in [options[name]] if isinstance(options[name], str) else options[name]:
            try:
                read(text)
            except ValueError as error:
                hint = " (batchgen help sandbox-faults)" if name == "fault" else ""
                raise UsageError(f"--{name} {text}: {error}{hint}") from error


@command("demo", "batchgen demo")
@option("--latency", type=LATENCY, default="realistic", hidden=True)
def demo(session: Session, latency: str) -> int:
    """Run the demonstration batch on simulated providers.

    No key, no network, no cost. Some of its jobs fail on purpose, to show how that looks. Ends with 0 if all went as
    intended.
    """
    from ..run_options import sandbox_defaults, terms_of
    from .run import carry_out

    session = replace(session, sandbox=True)
    options = sandbox_defaults(latency)
    code = carry_out(session, demo_manifest(), options, terms_of(options, None, None))
    if not session.as_json:
        for line in _demo_lines(session.project(), code):
            output.say(line)
    return 0 if session.as_json or code in (0, 3) else code


def _demo_lines(project: Project, code: int) -> Iterator[str]:
    from ...app import queries
    from ...sandbox.log import totals

    log = project.state / "charges.jsonl"
    yield ""
    yield f"The batch ended with exit code {code:d}; 3 means that some jobs failed, here on purpose."
    yield ""
    yield "What batchgen booked, and what the simulated providers charged according to their own log:"
    yield from comparison(queries.status(project, None).usage, totals(log))
    yield ""
    yield f"pictures    {display_path(queries.batch(project, None).folder)}"
    yield f"charge log  {display_path(log)}"
    yield "now try     batchgen report --sandbox --open    every picture, what failed and why"
    yield "            batchgen status --sandbox           progress and cost"
    yield "            batchgen usage --sandbox            the ledger"
    yield "            batchgen list --sandbox --status failed"
    yield "            batchgen demo                       again: nothing is sent; edit a prompt: one job is"


def comparison(usage: Sequence[UsageLine], charged: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a table of the ledger and a charge log, by provider."""
    rows = []
    for provider in sorted({line.provider for line in usage} | set(charged)):
        lines = [line for line in usage if line.provider == provider]
        usd = Decimal(show_usd(sum(line.usd or 0 for line in lines)) or 0)
        credits_ = Decimal(show_credits(sum(line.credits or 0 for line in lines)) or 0)
        log = charged.get(provider, {"usd": Decimal(0), "credits": Decimal(0)})
        verdict = "same" if usd == log["usd"] and credits_ == log["credits"] else "differs"
        amounts = (usd, log["usd"].normalize(), credits_, log["credits"].normalize())
        rows.append([provider, *(f"{amount:f}" for amount in amounts), verdict])
    heads = ("provider", "USD booked", "USD charged", "credits booked", "credits charged", "")
    return table(rows, heads, right=(1, 2, 3, 4), fit=Fit(drop=(3, 4)))


def demo_manifest() -> Path:
    """Return the demonstration's manifest."""
    from ...app.project import DEMO

    for file in DEMO:
        if file.is_file():
            return file
    raise BatchgenError("the demonstration's manifest is missing from this installation; install batchgen again")
