"""The help and completion commands."""

from __future__ import annotations

import sys

import click

from ...errors import UsageError, suggest
from .. import output, pager
from ..options import Session, command
from ..render import pages


def _topics_and_commands(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    del parameter
    return [name for name in _known(ctx.find_root()) if name.startswith(incomplete)]


def _known(root: click.Context) -> list[str]:
    assert isinstance(root.command, click.Group)  # noqa: S101
    return [*pages.topics(), *root.command.list_commands(root)]


@command("help", "batchgen help", "batchgen help exit-codes", "batchgen help run")
@click.argument("name", metavar="[TOPIC|COMMAND]", required=False, shell_complete=_topics_and_commands)
@click.pass_context
def help_(ctx: click.Context, session: Session, name: str | None) -> int:
    """Show a help page, or the help of a command.

    Without a name: the commands and the list of help pages. A topic goes before a command of the same name, whose
    help is printed by `batchgen COMMAND --help` too.
    """
    del session
    root = ctx.find_root()
    assert isinstance(root.command, click.Group)  # noqa: S101
    if name is None:
        pager.show("\n".join([root.get_help(), "", *pages.topic_list(), "", "batchgen help TOPIC shows a page."]))
        return 0
    if name in pages.topics():
        _show(pages.page(name))
        return 0
    found = root.command.get_command(root, name)
    if found is None:
        hint = suggest(name, _known(root), "")
        raise UsageError(
            f"No help page or command is named {name!r}.{f' {hint[0].upper()}{hint[1:]}' if hint else ''}\n"
            f"Topics: {', '.join(pages.topics())}; batchgen --help lists the commands"
        )
    pager.show(found.get_help(found.make_context(found.name, [], parent=root, resilient_parsing=True)))
    return 0


def _show(markdown: str) -> None:
    if not sys.stdout.isatty():
        output.data(markdown.rstrip())
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    with console.capture() as capture:
        console.print(Markdown(markdown), width=min(console.width, pages.WIDTH))
    pager.show(capture.get().rstrip("\n"))


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
