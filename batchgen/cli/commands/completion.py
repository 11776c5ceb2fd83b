"""The completion command: scripts for bash, zsh and fish."""

from __future__ import annotations

import click

from .. import output
from ..options import Session, command


@command(
    "completion",
    'eval "$(batchgen completion bash)"                       in ~/.bashrc',
    'eval "$(batchgen completion zsh)"                        in ~/.zshrc',
    "batchgen completion fish > ~/.config/fish/completions/batchgen.fish",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, session: Session, shell: str) -> int:
    """Print the completion script for bash, zsh or fish."""
    from click.shell_completion import get_completion_class

    del session
    completer = get_completion_class(shell)
    assert completer is not None  # noqa: S101 - click has all three
    complete = completer(ctx.find_root().command, {}, "batchgen", "_BATCHGEN_COMPLETE")
    output.raw(complete.source_template % complete.source_vars())
    return 0
