"""The environment: variables of options, ``.env``, the files of --env-file, and misspelt names."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..database_url import Database, parse_database
from ..errors import SettingsError, nearest
from .params import EVERYWHERE, PREFIX, RUNS, SHORT, variables

if TYPE_CHECKING:
    from ..app.config.dotenv import Use

NAME = ".env"
_HEAD = f"{PREFIX}_"
#: Endings of options that name a file or a folder.
_PATHS = ("_file", "_dir", "_out", "_log", "log", "metrics", "target")

#: What a project's file must not set: it would change which code runs, whom it trusts, or where it looks for files.
_REACHING = re.compile(
    r"(?i)AWS_ENDPOINT.*|AZURE_(STORAGE_)?(ENDPOINT|AUTHORITY_HOST|AUTHORITY_ID)"
    r"|PYTHON.*|LD_.*|DYLD_.*|SSL_.*|OPENSSL_.*|GIT_.*|XDG_.*|BASH.*|MALLOC_.*|.*_PROXY|.*_CA_BUNDLE|.*_COMMAND"
    r"|PATH|HOME|USER|SHELL|ENV|IFS|TMP|TEMP|TMPDIR|SQLITE_TMPDIR|SSLKEYLOGFILE|NETRC"
)
#: What an object store is used with. A project names its bucket, so it may also name the key that fits it; addresses to
#: which signatures and session tokens would be sent are not among them.
_STORE = re.compile(
    r"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|REGION|DEFAULT_REGION)"
    r"|GOOGLE_(APPLICATION_CREDENTIALS|SERVICE_ACCOUNT|SERVICE_ACCOUNT_KEY|SERVICE_ACCOUNT_PATH)"
    r"|AZURE_STORAGE_(ACCOUNT_NAME|ACCOUNT_KEY|ACCESS_KEY|SAS_KEY|SAS_TOKEN)|AZURE_(CLIENT_ID|CLIENT_SECRET|TENANT_ID)"
)
#: Harmless variables that are documented besides keys and settings.
_PLAIN = frozenset(("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TZ"))

#: Variables without an option, and those that a run sets for --on-finish, which may be batchgen again.
_WITHOUT_OPTION = (
    "allow_network_state",
    "color",
    "opener",
    "pager",
    "worker_dir",
    *("notify_secret", "notify_secret_file", "notify_secret_command"),
    *("batch_name", "run_id", "exit_code", "exit_words", "needs_person", "jobs_total", "jobs_done", "jobs_pending"),
    *("jobs_failed", "jobs_unknown", "run_images", "run_usd", "spent_usd", "output_folder"),
)
ALWAYS = frozenset(f"{_HEAD}{name}".upper() for name in (*_WITHOUT_OPTION, *EVERYWHERE, *SHORT))
#: A provider's key may have any name.
_KEYS = ("_KEY", "_KEY_FILE", "_KEY_COMMAND", "_TOKEN", "_TOKEN_FILE", "_TOKEN_COMMAND")

#: The files that were read, each with whether it is a project's own, which may set less.
_read: set[tuple[Path, bool]] = set()
#: The files that --env-file named, in order.
named: list[Path] = []


def load(folder: Path, files: Sequence[Path]) -> None:
    """Read *files*, and .env in *folder* if there is one, each once; variables that are set already stay.

    Files that the user named may set anything. The .env of a folder may have come with the project.
    """
    project_file = folder / NAME
    candidates = [(path, False) for path in files]
    if project_file.is_file():
        candidates.append((project_file, True))
    for path, of_project in candidates:
        absolute = path.absolute()
        if (absolute, of_project) in _read or (absolute, False) in _read:
            continue
        _read.add((absolute, of_project))
        from ..app.config import dotenv

        if dotenv.load(absolute, os.environ, *([fate] if of_project else [])):
            _warn(f"{path} is readable by everyone; if it contains keys: chmod 600 {path}")


def warn_of_ignored(folder: Path) -> None:
    """Warn of variables that the .env in *folder* may not set, unless the user named that file as well."""
    from ..app.config import dotenv

    names = [name for name in dotenv.ignored if name not in os.environ]
    dotenv.ignored.clear()
    if names:
        _warn(
            f"{folder / NAME}: ignored {', '.join(names)}: the .env of a project may set only keys, and settings that "
            "batchgen.yaml may contain. Set the others in the shell, or in a file named with --env-file"
        )


def fate(name: str, value: str) -> Use:
    """Return what becomes of a variable in the .env of a project folder."""
    if name.startswith(_HEAD):
        return "set" if _may_set(name.removeprefix(_HEAD).lower(), value) else "ignored"
    if name in _PLAIN or _STORE.fullmatch(name):
        return "set"
    return "ignored" if _REACHING.fullmatch(name) else "key"


def _may_set(setting: str, value: str) -> bool:
    """Return whether a project's file may set this: what batchgen.yaml may contain, and the secret of webhooks.

    *setting* is an option's long name, alone or after its command's; unknown names are left to ``check``.
    """
    from .settings_file import CHECKER, REFUSED

    if setting in ("notify_secret", "notify_secret_file"):
        return True
    refused = {*REFUSED, "on_finish", "command", "opener", "pager", "allow_network_state", "address", "worker_dir"}
    if setting.startswith(f"{CHECKER}_") or any(setting == name or setting.endswith(f"_{name}") for name in refused):
        return False
    path = Path(value)
    leads_out = path.is_absolute() or ".." in path.parts
    return not (leads_out and setting.endswith(_PATHS))


def names_database(db: Database | None) -> bool:
    """Return whether the variable of all commands names this job database."""
    text = os.environ.get(f"{_HEAD}DB")
    return text is not None and parse_database(text) == db


def typed_database(ctx: click.Context, nearest: Database | None) -> Database | None:
    """Return the job database that is typed, before the command's name or after it, or else the *nearest* one."""
    around: click.Context | None = ctx
    while around is not None:
        if around.get_parameter_source("db") is click.core.ParameterSource.COMMANDLINE:
            typed: Database = around.params["db"]
            return typed
        around = around.parent
    return nearest


def options_of_run() -> str | None:
    """Return the options of the run that was typed, for the commands that it suggests; None for another command."""
    from ..app.project import command_line
    from ..app.repeated_options import repeated_options

    context = click.get_current_context(silent=True)
    name = "" if context is None else context.command_path.partition(" ")[2]
    return repeated_options(command_line()) if name in RUNS else None


@dataclass(frozen=True, kw_only=True, slots=True)
class UnknownVariable:
    """A variable with our prefix that no command reads: a misspelt budget would silently not be applied."""

    name: str
    near: str | None  #: the one that was probably meant

    def __str__(self) -> str:
        from ..app.config import dotenv

        origin = f"{dotenv.origins[self.name]}: " if self.name in dotenv.origins else ""
        hint = f"did you mean {self.near}?" if self.near else "batchgen help environment"
        return f"{origin}{self.name}: unknown variable ({hint})"


def unknown_variables(ctx: click.Context, environment: Mapping[str, str] = os.environ) -> list[UnknownVariable]:
    """Return the variables with our prefix that no command reads."""
    names = {name for name in environment if name.startswith(_HEAD)} - ALWAYS
    if not names:
        return []  # the usual case; below every command is imported
    documented = set(ALWAYS)
    for command in _contexts(ctx.find_root()):
        for parameter in command.command.params:
            documented.update(variables(command, parameter))
            # click also reads the variable by the parameter's name, such as BATCHGEN_LIST_IDS for --id
            names.discard(f"{command.auto_envvar_prefix}_{parameter.name}".upper())
    unknown = [UnknownVariable(name=name, near=_nearest(name, documented)) for name in sorted(names - documented)]
    return [variable for variable in unknown if variable.near or not variable.name.endswith(_KEYS)]


def _contexts(parent: click.Context) -> Iterator[click.Context]:
    if isinstance(parent.command, click.Group):
        for name in parent.command.list_commands(parent):
            command = parent.command.get_command(parent, name)
            assert command is not None  # noqa: S101 - it is in the list
            ctx = click.Context(command, info_name=name, parent=parent)
            yield ctx
            yield from _contexts(ctx)


def _nearest(name: str, documented: Iterable[str]) -> str | None:
    """Return the variable that was probably meant: spelled much alike, or the same without the command."""
    rest = {variable.removeprefix(_HEAD): variable for variable in sorted(documented)}
    word = name.removeprefix(_HEAD)
    if near := nearest(word, rest, cutoff=0.8):
        return rest[near]
    endings = [variable for variable in rest if variable.endswith(f"_{word}")]
    endings.sort(key=lambda variable: not variable.startswith("RUN_"))
    return rest[endings[0]] if endings else None


def check(ctx: click.Context) -> None:
    """Raise SettingsError for a misspelt variable, and warn of an unknown one."""
    unknown = unknown_variables(ctx)
    if mistakes := [str(variable) for variable in unknown if variable.near]:
        raise SettingsError("\n".join(mistakes))
    for variable in unknown:
        _warn(str(variable))


def _warn(text: str) -> None:
    from .output import say

    say(f"warning: {text}")


def use_files(ctx: click.Context, parameter: click.Parameter, value: Sequence[Path]) -> Sequence[Path]:
    """Read the files that --env-file names, before other options are looked up in the environment."""
    del ctx, parameter
    named.extend(path for path in value if path not in named)
    load(Path(os.devnull), value)
    return value


def use_config(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """Use the file that --config names as the user's own settings."""
    del ctx, parameter
    if value is not None:
        os.environ["BATCHGEN_CONFIG"] = str(value.absolute())
    return value


def folder_option() -> Path | None:
    """Return the folder that -C names anywhere on the command line."""
    for number, word in enumerate(sys.argv):
        if word == "-C" and number + 1 < len(sys.argv):
            return Path(sys.argv[number + 1])
        if word.startswith("-C") and len(word) > 2:
            return Path(word[2:])
    return None
