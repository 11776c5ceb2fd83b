"""Without money: the sandbox, and the demonstration."""

from __future__ import annotations

import runpy
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import BatchgenError, UsageError
from ...money import show_credits, show_usd
from .. import output
from ..options import Session, command

if TYPE_CHECKING:
    from ...store.ledger import UsageLine


@command("sandbox", "batchgen sandbox --port 8765", "batchgen sandbox --fault error500=0.02 --throttle openai=60/m")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes a free one.")
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The charge log.")
@click.option("--latency", default="realistic", show_default=True, help="none, realistic, SECONDS or lognormal:MEDIAN.")
@click.option("--seed", type=int, default=0, help="Of images, latency and chance.")
@click.option("--fault", multiple=True, metavar="KIND=RATE", help="Misbehave at random, such as error500=0.02.")
@click.option("--throttle", multiple=True, metavar="PROVIDER=N/m", help="Answer 429 above a rate.")
@click.option("--idle-exit", type=float, metavar="SECONDS", help="End after so long without a request.")
def sandbox(session: Session, **options: Any) -> int:  # noqa: ANN401 - the options above
    """Serve simulated providers on this machine: every dialect, real pictures, no cost.

    A provider NAME is at http://127.0.0.1:PORT/NAME; any key will do.  Ctrl-C ends it.

    It misbehaves when asked to, by --fault or by [sandbox: KIND] in a prompt: batchgen help sandbox-faults.
    """
    _check(options)
    log = options.pop("log") or session.project(sandbox=True).state / "charges.jsonl"
    arguments = ["--log", str(log)]
    for name, value in options.items():
        for item in value if isinstance(value, tuple) else (value,):
            if item is not None:
                arguments += [f"--{name.replace('_', '-')}", str(item)]
    sys.argv = ["batchgen sandbox", *arguments]
    runpy.run_module("batchgen.sandbox", run_name="__main__")
    return 0


def _check(options: Mapping[str, Any]) -> None:
    """Raise UsageError for what the sandbox would not take."""
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
                more = "  batchgen help sandbox-faults lists them" if name == "fault" else ""
                raise UsageError(f"--{name} {text}: {error}{more}") from error


@command("demo", "batchgen demo")
@click.option("--latency", default="realistic", hidden=True)
def demo(session: Session, latency: str) -> int:
    """Run the demonstration batch on simulated providers: no key, no network, no cost.

    Some of its jobs fail on purpose, to show how that looks.  Ends with 0 when all went as meant.
    """
    from ...app import queries
    from ...sandbox.log import totals
    from ..render.result import display_path
    from ..run_options import rehearsal_options, terms_of
    from .run import carry_out

    options = rehearsal_options(latency)
    code = carry_out(session, demo_manifest(), options, terms_of(options, None, None))
    project = session.project(sandbox=True)
    if session.as_json:
        return code
    log = project.state / "charges.jsonl"
    output.say()
    output.say(f"The batch itself ended with {code}; 3 says that some jobs failed, here on purpose.")
    output.say("")
    output.say("What batchgen booked, and what the simulated providers say they charged (their own log):")
    for line in agreement(queries.status(project, None).usage, totals(log)):
        output.say(line)
    output.say("")
    output.say(f"pictures    {display_path(project.state / 'output')}")
    output.say(f"charge log  {display_path(log)}")
    if shutil.which("batchgen") is None:
        output.say(f"program     {display_path(Path(sys.executable).with_name('batchgen'))}")
    output.say("now try     batchgen status --sandbox       one screen")
    output.say("            batchgen usage --sandbox        the ledger")
    output.say("            batchgen list --sandbox --status failed")
    output.say("            batchgen demo                   again: nothing is sent; change a prompt: one job is")
    return 0 if code in (0, 3) else code


def agreement(usage: Sequence[UsageLine], charged: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a table that sets the ledger beside a charge log, by provider."""
    rows = []
    for provider in sorted({line.provider for line in usage} | set(charged)):
        mine = [line for line in usage if line.provider == provider]
        usd = Decimal(show_usd(sum(line.usd or 0 for line in mine)) or 0)
        credits_ = Decimal(show_credits(sum(line.credits or 0 for line in mine)) or 0)
        log = charged.get(provider, {"usd": Decimal(0), "credits": Decimal(0)})
        same = usd == log["usd"] and credits_ == log["credits"]
        verdict = "same" if same else "differs"
        rows.append([provider, usd, log["usd"].normalize(), credits_, log["credits"].normalize(), verdict])
    heads = ("provider", "USD booked", "USD charged", "credits booked", "credits charged", "")
    return output.table([[*map(_plain, row)] for row in rows], heads, right=(1, 2, 3, 4))


def _plain(cell: object) -> str:
    return f"{cell:f}" if isinstance(cell, Decimal) else str(cell)


def demo_manifest() -> Path:
    """Return the demonstration's manifest: in the source tree, or as packed into the wheel."""
    package = Path(__file__).parents[2]
    for found in (package.parent / "jobs" / "demo.yaml", package / "_jobs" / "demo.yaml"):
        if found.is_file():
            return found
    raise BatchgenError("the demonstration's manifest is missing from this installation; install batchgen again")
