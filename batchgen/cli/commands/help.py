"""What is no command: help on topics; completion for shells."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import click

from ...errors import UsageError, suggest
from .. import command as shape
from .. import output
from ..options import Session, command

CODES = {
    0: "all done, or all that was selected, or nothing to do",
    1: "unexpected: disk or database; nothing that arrived is lost",
    2: "the command line is wrong",
    3: "ran to the end; some jobs failed or are unknown",
    4: "manifest or settings invalid; nothing sent",
    5: "key missing or refused, or the first jobs were all refused alike",
    6: "spending not confirmed; nothing sent",
    7: "budget reached, or provider out of money; the rest is pending",
    8: "stopped early: --stop-at, --max-time, --max-failures, a provider out of reach, or a pause left in force",
    10: "no such batch, run or job",
    11: "another run holds the lock",
    12: "the job table is newer than this program, or its upgrade failed",
    130: "interrupted, in an orderly way",
    143: "terminated, in an orderly way",
}

_MANIFEST = """version: 1
name: autumn                                # default: the file's name
defaults: {provider: openai, size: 1024x1024, quality: low}
budget: {usd: 40}
jobs:
  - {id: cat, prompt: "A cat on a table"}
  - {id: dog, images: [photos/dog.jpg], prompt: "Remove the background"}      # an edit
  - {id: "{{ sku }}", prompt: "Photo of {{ title }}", from: lists/products.csv}   # a job a row

batchgen init writes one full of comments, batchgen schema prints all that may stand there,
batchgen validate finds every mistake."""

_CRON = """batchgen schedule cron jobs/night.yaml --every 30m -- --budget 40

prints the line.  It has absolute paths, needs nothing of cron's environment, and says something (so
cron mails) only where a person is needed.  Keys go into .env in the folder of -C (chmod 600), or
NAME_FILE there names a file.  A run that is still on is left alone: with -q the next one
ends in silence with code 11.  Running it again is the resume.
--budget 40 holds for each run by itself.  For the whole batch, or for a day, the manifest says it:
budget: {usd: 40, per_day: {usd: 10}}; then the line needs neither --budget nor --yes.
batchgen schedule systemd and launchd print units."""


#: What each cause of failure means, and what batchgen does.
CAUSES = {
    "throttled": "429, 503, overloaded: it goes slower, waits as long as the provider asks, and tries again",
    "unreached": "no connection, nothing was sent: it tries again, free",
    "money": "the account is out of money: the lane closes, jobs stay pending (exit 7) or the next provider takes over",
    "denied": "key, model or path refused: as with money (exit 5); a refused model stops its own jobs only",
    "refused": "the provider's content rules: failed, never sent again by itself; change the prompt",
    "invalid": "the request or a source image is wrong: failed; mend the manifest or the settings",
    "empty": "an answer without an image, or with too few: three tries in all; images that came are kept",
    "spoiled": "a paid answer that cannot be used: booked, kept in .batchgen/spool, one new try",
    "error": "the provider says it failed: tries again within retry.attempts, with pauses that grow",
    "unknown": "sent, and nobody can know what came of it: on_unknown says whether to buy again",
}


def _causes() -> str:
    import textwrap

    lines = [
        textwrap.fill(f"{name:<11}{text}", 100, subsequent_indent=f"{'':<11}", drop_whitespace=True)
        for name, text in CAUSES.items()
    ]
    more = "batchgen list --cause refused lists jobs that ended so, batchgen retry --cause empty sends them again."
    return "\n".join([*lines, "", more])


_FAULTS = """The simulated providers of run --sandbox, demo and sandbox misbehave when asked to: by a prompt, so

  prompt: "A toaster [sandbox: error500 x1]"
  prompt: "A boat [sandbox: throttle x2 retry-after=5 provider=openai] [sandbox: slow=3]"

x2: only the first two times (default: every time); provider=NAME: only there; retry-after=S: the wait
that is stated; KIND=VALUE: a value for the word in capitals in the list below.  Real providers get
these words unchanged.
At random: batchgen sandbox --fault error500=0.02 --fault slow:3=0.1 (KIND[:VALUE]=RATE)."""


def _faults() -> str:
    from ...sandbox import faults
    from ...sandbox.shapes import GROUPS

    groups = {
        "Refused; nothing is made or charged:": faults.REFUSALS,
        "Made and charged, with wrong content:": faults.CONTENT,
        "Made and charged, gone wrong on the way:": faults.DELIVERY,
        "Gone wrong before any work:": faults.EARLY,
    }
    lines = [_FAULTS]
    for head, kinds in groups.items():
        lines += ["", head, *(f"  {kind:<24}{text}" for kind, text in kinds.items())]
    for head, named in GROUPS.items():
        lines += ["", head, *(f"  {kind:<24}{shape.about}" for kind, shape in named.items())]
    also = ", ".join(f"{name} ({kind})" for name, kind in faults.ALIASES.items())
    return "\n".join([*lines, "", *_folded(f"Also by their causes: {also}.")])


def _exit_codes() -> str:
    lines = [f"{code:>4}  {meaning}" for code, meaning in CODES.items()]
    return "\n".join([*lines, "", "If several hold: 130 or 143, 12, 11, 7, 5, 8, 3.  systemd: SuccessExitStatus=3 7 8"])


_ENV_FILE = (
    "The .env of a project folder may set keys, and what batchgen.yaml may hold: no commands, no proxies, no "
    "certificates, no consent to spend.  --env-file and the shell may set anything."
)


def _environment() -> str:
    every = ", ".join(f"{shape.PREFIX}_{name.upper()}" for name in shape.EVERYWHERE)
    runs = ", ".join(f"{shape.PREFIX}_{name.upper()}" for name in shape.SHORT)
    return "\n".join(
        [
            "Every long option has a variable: plan --limit is BATCHGEN_PLAN_LIMIT, run --wait-lock is",
            "BATCHGEN_RUN_WAIT_LOCK.  Switches take 1 or 0; several values stand with blanks between them.",
            "",
            *_folded(f"For every command: {every}"),
            *_folded(f"For run, resume and retry: {runs}"),
            "",
            "Settings files hold options too:  options: {run: {stop_at: 06:30, max_failures: 5%}}",
            "Those of run are also for resume and retry.  What a command is about, and --yes, they may not say;",
            "a budget there limits a run and agrees to none.",
            "",
            "What counts first: option, environment, --env-file, .env, manifest, batchgen.yaml, your own",
            "~/.config/batchgen/config.yaml.  batchgen doctor tells where each value came from.",
            "",
            "Keys: AIGATE_API_KEY, GPTIMAGEAPI_API_KEY, AIMLAPI_API_KEY, GATEWAY_API_KEY, OPENAI_API_KEY,",
            "OPENROUTER_API_KEY, or NAME_FILE (a file that only you may read), or NAME_COMMAND (it prints the key).",
            *_folded(_ENV_FILE),
            "Respected: NO_COLOR, TERM=dumb, COLUMNS, HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR,",
            "XDG_CONFIG_HOME, TZ.",
        ]
    )


def _folded(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 100)


TOPICS: Mapping[str, Callable[[], str]] = {
    "exit-codes": _exit_codes,
    "causes": _causes,
    "environment": _environment,
    "manifest": lambda: _MANIFEST,
    "cron": lambda: _CRON,
    "sandbox-faults": _faults,
}


def _topics_and_commands(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    del parameter
    root = ctx.find_root()
    assert isinstance(root.command, click.Group)  # noqa: S101
    return [name for name in (*TOPICS, *root.command.list_commands(root)) if name.startswith(incomplete)]


@command("help", "batchgen help exit-codes", "batchgen help environment", "batchgen help run")
@click.argument(
    "what",
    metavar="[TOPIC|COMMAND]",
    required=False,
    shell_complete=_topics_and_commands,
)
@click.pass_context
def help_(ctx: click.Context, session: Session, what: str | None) -> int:
    """Help on a command, or on a topic: exit-codes, causes, environment, manifest, cron or sandbox-faults."""
    del session
    root = ctx.find_root()
    if what is not None and what in TOPICS:
        output.data(TOPICS[what]())
        return 0
    if what is None:
        output.data(root.get_help())
        return 0
    assert isinstance(root.command, click.Group)  # noqa: S101
    found = root.command.get_command(root, what)
    if found is None:
        hint = suggest(what, [*TOPICS, *root.command.list_commands(root)], "")
        topics = f"Topics: {', '.join(TOPICS)}; or a command: batchgen --help lists them"
        raise UsageError(f"there is no help on {what!r}{hint and f'; {hint}'}\n{topics}")
    output.data(found.get_help(found.make_context(found.name, [], parent=root, resilient_parsing=True)))
    return 0


@command(
    "completion",
    'eval "$(batchgen completion bash)"                       in ~/.bashrc',
    'eval "$(batchgen completion zsh)"                        in ~/.zshrc',
    "batchgen completion fish > ~/.config/fish/completions/batchgen.fish",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, session: Session, shell: str) -> int:
    """Print what makes a shell complete commands and options."""
    from click.shell_completion import get_completion_class

    del session
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click has all three
    made = found(ctx.find_root().command, {}, "batchgen", "_BATCHGEN_COMPLETE")
    output.raw(made.source_template % made.source_vars())
    return 0
