"""Options in settings files, ``options: {run: {max_failures: 5%}}``: beneath the command line and the environment.

A file may say how a command works and what ends it.  What it is about, and that money may be spent, a person says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import NotFound, Problem, SettingsError, UsageError, suggest
from . import command as shape

if TYPE_CHECKING:
    from ..app.config.settings import SettingsLayer

SECTION = "options"

_CHOSEN = "it says what the command is about; say it on the command line"
_AGREED = "nobody agrees to that once and for all; say it on the command line"
_EVERYWHERE = "it is for every command; the environment, or a file that --env-file names, sets it: BATCHGEN_{}"

#: Options that may not stand in a file, and where they are said instead.  New ones of a run belong here at need.
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(shape.SELECTION, _CHOSEN),
    **dict.fromkeys(("batch", "sandbox", "dry_run", "keep_changed", "retry_failed", "with"), _CHOSEN),
    **dict.fromkeys(("as_curl", "as_yaml", "csv", "example", "files", "layout", "since", "until"), _CHOSEN),
    **dict.fromkeys(("yes", "all", "force", "requeue", "reset", "not_charged"), _AGREED),
    **{name: _EVERYWHERE.format(name.upper()) for name in (*shape.EVERYWHERE, "color")},
    "allow_unpriced": f"{_AGREED}, or state the price: providers: NAME: tariff: {{usd_per_image: 0.05}}",
    "concurrency": "a provider has its own: providers: NAME: limits: {concurrency: N}",
    "rate": "a provider has its own: providers: NAME: limits: {requests_per_minute: N}",
    "max_attempts": "a provider has its own: providers: NAME: retry: {attempts: N}",
    "out": "a manifest has its own: output: {dir: FOLDER}",
    "offline": "doctor looks at the settings themselves",
}

_OWN = "your own settings may hold it, no file that a project shares"


class FromFiles(Mapping[str, Any]):
    """What the settings files say of a command's options, for click: read when it is first asked for one of them.

    By then the command line has been read, so that a manifest, -C and --config are known.  Help and completion do not
    ask.
    """

    def __init__(self, ctx: click.Context) -> None:
        self._ctx = ctx
        self._names = {option.name for option in allowed(ctx.command).values()}

    @cached_property
    def _said(self) -> Mapping[str, Any]:
        return said(self._ctx)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - whatever a file holds
        if self._ctx.resilient_parsing or name not in self._names:
            raise KeyError(name)
        return self._said[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._said)

    def __len__(self) -> int:
        return len(self._said)

    def require(self) -> None:
        """Raise SettingsError where a file says what cannot be, also of options that were given otherwise."""
        if self._names and not self._ctx.resilient_parsing:
            len(self)


def allowed(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command that may stand in a file, by their names there."""
    return {name: option for name, option in _options(command).items() if name not in REFUSED}


def said(ctx: click.Context) -> dict[str, Any]:
    """Return what the settings files say of a command's options, by parameter; raise SettingsError."""
    from ..app.config import settings

    command = ctx.command
    sections = (str(command.name), *(shape.RUNS[:1] if command.name in shape.RUNS else ()))
    layers = settings.layers(_start(ctx))
    _require(problem for layer in layers for problem in problems(layer, sections))
    options = allowed(command)
    found: dict[str, Any] = {}
    for layer in layers:
        stated = layer.values.get(SECTION) or {}
        for key, value in ((key, value) for one in sections for key, value in (stated.get(one) or {}).items()):
            option = options.get(_plain(key))
            if option is not None and option.name is not None:  # None: an option of run that this one lacks
                found.setdefault(option.name, _typed(option, value))
    return found


def from_a_file(name: str) -> bool:
    """Tell whether the command that is carried out has the value of a parameter from a settings file."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and ctx.get_parameter_source(name) is click.core.ParameterSource.DEFAULT_MAP


def check(layers: Sequence[SettingsLayer]) -> None:
    """Raise SettingsError with everything that is wrong with the options in *layers*."""
    _require(problem for layer in layers for problem in problems(layer, None))


def rivals(name: str) -> list[str]:
    """Return what goes before the setting *name*: variables, then names under which a file that counts more has it."""
    head, _, rest = name.partition(".")
    command, _, option = rest.partition(".")
    if head != SECTION or not option:
        return [name]
    found = [f"{shape.PREFIX}_{command}_{option}".upper()]
    if command in shape.RUNS and option in shape.SHORT:
        found.append(f"{shape.PREFIX}_{option}".upper())
    shared = [f"{SECTION}.{shape.RUNS[0]}.{option}"] if command in shape.RUNS else []
    return [*found, *dict.fromkeys([name, *shared])]


def problems(layer: SettingsLayer, sections: Sequence[str] | None) -> Iterator[Problem]:
    """Yield what is wrong with the options of *sections* (None: of all), and every section of no command."""
    from . import batchgen as root

    for name, stated in (layer.values.get(SECTION) or {}).items():
        if name not in root.table:
            known = root.other_names.get(name)
            hint = f"say it of {known!r}" if known else suggest(name, root.table, "batchgen --help lists the commands")
            yield layer.places.problem((SECTION, name), "unknown_key", f"unknown command {name!r}", hint, key=True)
        elif sections is None or name in sections:
            command = root.get_command(click.Context(root), name)
            assert command is not None  # noqa: S101 - it is in the table
            yield from _of_command(layer, name, command, stated or {})


def _of_command(
    layer: SettingsLayer, name: str, command: click.Command, stated: Mapping[str, Any]
) -> Iterator[Problem]:
    options = _options(command)
    seen: set[str] = set()
    for key, value in stated.items():
        plain, where = _plain(key), (SECTION, name, key)
        why = REFUSED.get(plain) or (
            None if layer.is_users or plain not in options else _reaching_out(options[plain], value)
        )
        if plain not in options:
            hint = suggest(plain, allowed(command), f"batchgen {name} --help lists the options")
            yield layer.places.problem(where, "unknown_key", f"{name} has no option {key!r}", hint, key=True)
        elif why is not None:
            yield layer.places.problem(where, "not_allowed", "may not stand in this file", why, key=True)
        elif plain in seen:
            yield layer.places.problem(where, "duplicate_key", "is given twice", "remove one of the two", key=True)
        elif wrong := _wrong(command, options[plain], value):
            yield layer.places.problem(where, "bad_value", wrong)
        seen.add(plain)


def _reaching_out(option: click.Option, value: object) -> str | None:
    """Return why a project that came from somewhere must not say this by a file, or None."""
    if option.name == "on_finish":
        return f"it runs a command; {_OWN}"
    path = Path(str(value))
    if isinstance(option.type, click.Path) and (path.is_absolute() or ".." in path.parts):
        return f"it leads out of the project; {_OWN}"
    return None


def _wrong(command: click.Command, option: click.Option, value: object) -> str | None:
    """Return why *value* cannot be that of an option, or None."""
    items = value if isinstance(value, list) and option.multiple else [value]
    if any(item is None for item in items):
        return "has no value"
    if any(isinstance(item, (dict, list)) for item in items):
        return "should be one value" + (", or a list of them" if option.multiple else "")
    if not option.is_flag and any(isinstance(item, bool) for item in items):
        return "should be text or a number, no switch"
    try:
        option.type_cast_value(click.Context(command, info_name=command.name), _typed(option, value))
        look = _LOOKS.get(str(shape.long_name(option)))
        if look is not None:
            look([str(item) for item in items])
    except click.BadParameter as error:
        return error.message
    except UsageError as error:
        return str(error)
    return None


def _typed(option: click.Option, value: Any) -> Any:  # noqa: ANN401 - as YAML gave it
    """Return *value* as the command line would give it."""
    items = [item if isinstance(item, bool) else str(item) for item in (value if isinstance(value, list) else [value])]
    return items if option.multiple else items[0]


def _bounds(name: str) -> Callable[[list[str]], object]:
    def look(values: list[str]) -> None:
        from datetime import datetime

        from .run_options import bounds

        unset = dict.fromkeys(("stop_at", "max_time", "max_failures"))
        bounds(**{**unset, name: values[0]}, now=datetime.now().astimezone())

    return look


def _budget(values: list[str]) -> None:
    from .run_options import amount

    amount(values[0])


def _notify(values: list[str]) -> None:
    from ..app.monitoring.notify import check_urls

    check_urls(values)


#: What a run itself would find wrong only later; each raises UsageError.
_LOOKS: Mapping[str, Callable[[list[str]], object]] = {
    **{name: _bounds(name) for name in ("stop_at", "max_time", "max_failures")},
    "budget": _budget,
    "notify": _notify,
}


def _start(ctx: click.Context) -> Path:
    """Return where settings are looked for: from the manifest on, as its providers are, or from the working folder."""
    before = ctx.obj or {}
    folder = Path(_given(ctx, "folder") or before.get("folder") or Path()).absolute()
    manifest = _given(ctx, "manifest") or next(iter(_given(ctx, "manifests") or ()), None)
    if "which" in ctx.params:
        from ..app.project import Project
        from .commands.retry import manifest_of

        project = Project.of(folder, _given(ctx, "db") or before.get("db"), sandbox=bool(_given(ctx, "sandbox")))
        try:
            manifest = manifest_of(project, _given(ctx, "which"))
        except NotFound:
            return folder  # the command itself will say so
    return (folder / manifest).parent if manifest else folder


def _given(ctx: click.Context, name: str) -> Any:  # noqa: ANN401 - of any parameter
    """Return what a person said of a parameter that has been read, else None."""
    said_so = (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)
    return ctx.params.get(name) if ctx.get_parameter_source(name) in said_so else None


def _options(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command by their long names."""
    named = ((shape.long_name(parameter), parameter) for parameter in command.params)
    return {
        name: option
        for name, option in named
        if name and isinstance(option, click.Option) and not option.hidden and name not in ("help", "version")
    }


def _plain(key: str) -> str:
    return key.replace("-", "_")


def _require(found: Iterable[Problem]) -> None:
    if wrong := list(found):
        raise SettingsError("\n".join(map(str, wrong)))
