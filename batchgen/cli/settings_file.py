"""Options in settings files, ``options: {run: {max_failures: 5%}}``: below the command line and the environment.

A file may set how a command works and what ends it. What the command is about, and that money may be spent, is for
the command line alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..errors import BatchgenError, Problem, SettingsError, suggest
from .params import EVERYWHERE, PREFIX, RUNS, SELECTION, SHORT, long_name

if TYPE_CHECKING:
    from ..app.config.settings import SettingsLayer

SECTION = "options"

_COMMAND_LINE = "it selects what the command is about; use the command line"
_CONSENT = "it has to be confirmed each time, on the command line"
_ALL_COMMANDS = "it applies to every command; set BATCHGEN_{} in the environment or in a file named with --env-file"

#: Options that a file cannot set, and where to set them instead.
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(SELECTION, _COMMAND_LINE),
    **dict.fromkeys(
        (
            "batch",
            "submission",
            "sandbox",
            "dry_run",
            "keep_changed",
            "retry_failed",
            "with",
            "prompts",
            "note",
            "missing",
        ),
        _COMMAND_LINE,
    ),
    **dict.fromkeys(("as_curl", "as_yaml", "csv", "example", "files", "layout", "since", "until"), _COMMAND_LINE),
    **dict.fromkeys(("zip", "contact_sheet", "host", "allow_host"), _COMMAND_LINE),
    **dict.fromkeys(("yes", "all", "force", "requeue", "reset", "not_charged"), _CONSENT),
    **{name: _ALL_COMMANDS.format(name.upper()) for name in (*EVERYWHERE, "color")},
    "allow_unpriced": f"{_CONSENT}, or set the price: providers: NAME: tariff: {{usd_per_image: 0.05}}",
    "concurrency": "set it for a provider: providers: NAME: limits: {concurrency: N}",
    "rate": "set it for a provider: providers: NAME: limits: {requests_per_minute: N}",
    "max_attempts": "set it for a provider: providers: NAME: retry: {attempts: N}",
    "out": "set it in a manifest: output: {dir: FOLDER}",
}
#: The command that must work whatever is in the settings.
CHECKER, _CHECKS = "doctor", "doctor checks the settings themselves"

_OWN = "only your own settings may set it, not a file that a project shares"


def allowed(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command that a file may set, by their names there."""
    if command.name == CHECKER:
        return {}
    return {name: option for name, option in _options(command).items() if name not in REFUSED}


def option_values(ctx: click.Context) -> dict[str, Any]:
    """Return the options of a command in the settings files, by parameter; raise SettingsError."""
    from ..app.config import settings

    command = ctx.command
    options = allowed(command)
    if not options:
        return {}
    sections = (str(command.name), *(RUNS[:1] if command.name in RUNS else ()))
    layers = settings.layers(_start(ctx))
    root = ctx.find_root().command
    _require(problem for layer in layers for problem in _problems(root, layer, sections))
    values: dict[str, Any] = {}
    for layer in layers:
        for section in sections:
            for key, value in _section(layer, section).items():
                option = options.get(_plain(key))
                if option is not None and option.name is not None:  # None: an option of run that this command lacks
                    values.setdefault(option.name, _as_typed(option, value))
    return values


def is_from_file(name: str) -> bool:
    """Return whether the current command has a parameter from a settings file."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP


def check(root: click.Command, layers: Sequence[SettingsLayer]) -> None:
    """Raise SettingsError with every mistake in the options of all commands."""
    _require(problem for layer in layers for problem in _problems(root, layer, None))


def rivals(name: str) -> list[str]:
    """Return what overrides the setting *name*: its variables, then its names in files of higher precedence."""
    head, _, rest = name.partition(".")
    command, _, option = rest.partition(".")
    if head != SECTION or not option:
        return [name]
    names = [f"{PREFIX}_{command}_{option}".upper()]
    if command in RUNS and option in SHORT:
        names.append(f"{PREFIX}_{option}".upper())
    shared = [f"{SECTION}.{RUNS[0]}.{option}"] if command in RUNS else []
    return [*names, *dict.fromkeys([name, *shared])]


def _section(layer: SettingsLayer, name: str) -> Mapping[str, Any]:
    return (layer.values.get(SECTION) or {}).get(name) or {}


def _problems(root: click.Command, layer: SettingsLayer, sections: Sequence[str] | None) -> Iterator[Problem]:
    """Yield the mistakes in *sections* (None: in all), and every section that is not a command."""
    assert isinstance(root, click.Group)  # noqa: S101
    ctx = click.Context(root)
    for name in layer.values.get(SECTION) or {}:
        command = root.get_command(ctx, name)
        where = (SECTION, name)
        if command is None:
            hint = suggest(name, root.list_commands(ctx), "batchgen --help lists the commands")
            yield layer.places.problem(where, "unknown_key", f"unknown command {name!r}", hint, key=True)
        elif command.name != name:
            hint = f"write {command.name!r}"
            yield layer.places.problem(where, "unknown_key", f"unknown command {name!r}", hint, key=True)
        elif sections is None or name in sections:
            yield from _section_problems(layer, name, command)


def _section_problems(layer: SettingsLayer, name: str, command: click.Command) -> Iterator[Problem]:
    options = _options(command)
    seen: set[str] = set()
    for key, value in _section(layer, name).items():
        plain, where = _plain(key), (SECTION, name, key)
        option = options.get(plain)
        if option is None:
            hint = suggest(plain, allowed(command), f"batchgen {name} --help lists the options")
            yield layer.places.problem(where, "unknown_key", f"{name} has no option {key!r}", hint, key=True)
        elif why := _refusal(name, plain) or ("" if layer.is_users else _risk(option, value)):
            yield layer.places.problem(where, "not_allowed", "cannot be set in this file", why, key=True)
        elif plain in seen:
            yield layer.places.problem(where, "duplicate_key", "is given twice", "remove one of the two", key=True)
        elif mistake := _mistake(command, option, value):
            yield layer.places.problem(where, "bad_value", mistake)
        seen.add(plain)


def _refusal(command: str, option: str) -> str:
    """Return why no file can set an option of a command, or ""."""
    return _CHECKS if command == CHECKER else REFUSED.get(option, "")


def _risk(option: click.Option, value: object) -> str:
    """Return why a project's file must not set this, or ""; the project may have come from a stranger."""
    if option.name == "on_finish":
        return f"it runs a command; {_OWN}"
    if option.name == "address":
        return f"requests would go through that cluster; {_OWN}"
    path = Path(str(value))
    if isinstance(option.type, click.Path) and (path.is_absolute() or ".." in path.parts):
        return f"it leads out of the project; {_OWN}"
    return ""


def _mistake(command: click.Command, option: click.Option, value: object) -> str | None:
    items = value if isinstance(value, list) and option.multiple else [value]
    if any(item is None for item in items):
        return "has no value"
    if any(isinstance(item, (dict, list)) for item in items):
        return "should be one value" + (", or a list of them" if option.multiple else "")
    if not option.is_flag and any(isinstance(item, bool) for item in items):
        return "should be text or a number, not a switch"
    try:
        option.type_cast_value(click.Context(command, info_name=command.name), _as_typed(option, value))
    except click.BadParameter as error:
        return error.message
    return None


def _as_typed(option: click.Option, value: Any) -> Any:  # noqa: ANN401 - as YAML gave it
    items = [item if isinstance(item, bool) else str(item) for item in (value if isinstance(value, list) else [value])]
    return items if option.multiple else items[0]


def _start(ctx: click.Context) -> Path:
    """Return where settings are looked for: in the manifest's folder, as for providers, or in the working folder."""
    shared = ctx.obj or {}
    folder = Path(_typed(ctx, "folder") or shared.get("folder") or Path()).absolute()
    if not {"manifest", "manifests"} & ctx.params.keys():
        return folder
    word = _typed(ctx, "manifest") or next(iter(_typed(ctx, "manifests") or ()), None)
    if word is not None and os.path.isfile(folder / str(word)):  # noqa: PTH113 - no error for a long name
        return (folder / str(word)).parent
    from ..app.manifests import find_manifest
    from ..app.project import Project

    project = Project.of(
        folder, _typed(ctx, "db") or shared.get("db"), sandbox=bool(_typed(ctx, "sandbox") or shared.get("sandbox"))
    )
    try:
        return find_manifest(project, word, "", last_first=ctx.command.name in RUNS[1:]).path.parent
    except BatchgenError:  # the command itself reports it
        path = folder / str(word or "")
        return path if os.path.isdir(path) else path.parent  # noqa: PTH112 - no error for a long name


def _typed(ctx: click.Context, name: str) -> Any:  # noqa: ANN401 - of any parameter
    typed = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    return ctx.params.get(name) if ctx.get_parameter_source(name) in typed else None


def _options(command: click.Command) -> dict[str, click.Option]:
    return {
        name: option
        for option in command.params
        if isinstance(option, click.Option)
        and (name := long_name(option)) is not None
        and not option.hidden
        and name not in ("help", "version")
    }


def _plain(key: str) -> str:
    return key.replace("-", "_")


def _require(problems: Iterable[Problem]) -> None:
    if texts := [str(problem) for problem in problems]:
        raise SettingsError("\n".join(texts))
