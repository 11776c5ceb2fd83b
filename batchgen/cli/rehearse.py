"""Without money: the sandbox, and the demonstration."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import click

from ..errors import BatchgenError
from . import words
from .options import Session, command


@command("sandbox")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes a free one.")
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The charge log.  Default: .batchgen/sandbox/charges.jsonl.",
)
@click.option("--latency", default="realistic", show_default=True, help="none, realistic, SECONDS or lognormal:MEDIAN.")
@click.option("--seed", type=int, default=0, help="Of images, latency and chance.")
@click.option("--fault", multiple=True, metavar="KIND=RATE", help="Misbehave at random, such as error500=0.02.")
@click.option("--throttle", multiple=True, metavar="PROVIDER=N/m", help="Answer 429 above a rate.")
@click.option("--idle-exit", type=float, metavar="SECONDS", help="End after so long without a request.")
def sandbox(session: Session, **options: Any) -> int:  # noqa: ANN401 - the options above
    """Serve simulated providers on this machine: every dialect, real pictures, no cost.

    A provider NAME is at http://127.0.0.1:PORT/NAME; any key will do.
    """
    log = options.pop("log") or session.place(sandbox=True).state / "charges.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = ["--log", str(log)]
    for name, value in options.items():
        for item in value if isinstance(value, tuple) else (value,):
            if item is not None:
                arguments += [f"--{name.replace('_', '-')}", str(item)]
    sys.argv = ["batchgen sandbox", *arguments]
    runpy.run_module("batchgen.sandbox", run_name="__main__")
    return 0


@command("demo")
@click.option("--latency", default="realistic", hidden=True)
def demo(session: Session, latency: str) -> int:
    """Run the demonstration batch on simulated providers: no key, no network, no cost.

    Some of its jobs fail on purpose, to show how that looks.  Ends with 0 when all went as meant.
    """
    from ..sandbox.log import totals
    from .work import carry_out

    manifest = demo_manifest()
    options = {
        "sandbox": True,
        "yes": True,
        "budget": None,
        "concurrency": None,
        "wait_lock": 0.0,
        "progress": "auto",
        "latency": latency,
    }
    code = carry_out(session, manifest, options, requeue=None)
    place = session.place(sandbox=True)
    words.say()
    words.say(f"The batch's own exit code is {code}: 3 says that some jobs failed, here on purpose.")
    words.say("Look around:")
    words.say(
        "  batchgen status --sandbox        batchgen usage --sandbox        batchgen list --sandbox --status failed"
    )
    words.say(
        f"  the pictures: {place.state / 'output'}    the providers' own charge log: {place.state / 'charges.jsonl'}"
    )
    words.say("Run it again: nothing is sent.  Change a prompt in the manifest: one job is sent.")
    del totals
    return 0 if code in (0, 3) else code


def demo_manifest() -> Path:
    """Return the demonstration's manifest: in the source tree, or as packed into the wheel."""
    package = Path(__file__).parents[1]
    for found in (package.parent / "jobs" / "demo.yaml", package / "_jobs" / "demo.yaml"):
        if found.is_file():
            return found
    raise BatchgenError("the demonstration's manifest is missing from this installation; install batchgen again")
