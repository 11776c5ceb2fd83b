"""Settings files: a project's ``batchgen.yaml`` over the user's own ``config.yaml``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ManifestError, Problem, SettingsError, suggest

if TYPE_CHECKING:
    from ...budget import BudgetLimit
    from ...calendar_period import CalendarPeriod
    from ...manifest.locations import Origin, Places

PROJECT_FILE = "batchgen.yaml"
USER_FILE = "config.yaml"
#: The sections of a settings file, and what each should be.
SECTIONS = {
    "providers": "should map the name of a provider to its settings",
    "confirm_above": "should be an amount in USD, such as 5",
    "report": "should be true or false",
    "budget": "should have per_day, per_month or both, such as {per_day: {usd: 20}}",
    "options": "should map the name of a command to its options",
}


def _is_amount(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1_000_000


#: Sections that are single values, and the check of each.
_PLAIN: Mapping[str, Callable[[object], bool]] = {
    "confirm_above": _is_amount,
    "report": lambda value: isinstance(value, bool),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingsLayer:
    """One settings file and its values."""

    file: Path
    values: Mapping[str, Any]
    places: Places
    is_users: bool = False  #: the user's own file, not a shared one of a project


def project_settings(start: Path) -> Mapping[str, Any]:
    """Return the settings of ``batchgen.yaml``, over the user's own; raise SettingsError."""
    merged: Mapping[str, Any] = {}
    for layer in reversed(layers(start)):
        merged = _merge(merged, layer.values)
    return merged


def shared_budget(start: Path) -> tuple[BudgetLimit, ...]:
    """Return the limits of all batches together, of the file of highest precedence for each; raise SettingsError."""
    limits: dict[CalendarPeriod | None, BudgetLimit] = {}
    for layer in layers(start):
        if layer.values.get("budget"):
            from ...manifest.budgets import shared_limits

            for limit in shared_limits(layer.values["budget"], layer.places):
                limits.setdefault(limit.period, limit)
    return tuple(limits.values())


def layers(start: Path) -> list[SettingsLayer]:
    """Return the existing settings files, highest precedence first; raise SettingsError."""
    files = {project_file(start): False, user_file(os.environ): True}
    return [_read(file, is_users=own) for file, own in files.items() if file is not None]


def user_file(environment: Mapping[str, str]) -> Path | None:
    """Return the user's own settings file: $BATCHGEN_CONFIG, or config.yaml in the configuration folder."""
    if named := environment.get("BATCHGEN_CONFIG"):
        return Path(named)
    folder = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    file = Path(folder, "batchgen", USER_FILE)
    return file if file.is_file() else None


def _merge(base: Mapping[str, Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *base* updated with *values*, mapping by mapping."""
    updates = {
        name: _merge(base[name], value) if isinstance(base.get(name), dict) and isinstance(value, dict) else value
        for name, value in values.items()
    }
    return {**base, **updates}


def project_file(start: Path) -> Path | None:
    """Return the nearest ``batchgen.yaml`` in *start* or above, up to the repository's or the home folder."""
    for folder in (start, *start.parents):
        file = folder / PROJECT_FILE
        if file.is_file():
            return file
        if (folder / ".git").exists() or folder == Path.home():
            break
    return None


def _read(file: Path, *, is_users: bool) -> SettingsLayer:
    # The reader loads much, and most commands run without a settings file.
    from ...manifest.yaml_reader import parse_any

    try:
        document = parse_any(file.read_bytes(), str(file))
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error
    except ManifestError as error:
        raise SettingsError(str(error)) from error
    places = document.places
    values = {} if document.data is None else document.data
    if problems := [*document.problems, *_misplaced(values, places)]:
        of_providers = _provider_flaws(values.get("providers"), [places]) if isinstance(values, dict) else ()
        problems = sorted([*problems, *of_providers], key=lambda problem: (problem.line, problem.column))
        raise SettingsError("\n".join(map(str, problems)))
    return SettingsLayer(file=file, values=values, places=places, is_users=is_users)


def origin(start: Path, path: tuple[str, ...]) -> Origin | None:
    """Return the place of a setting, in the file of highest precedence that has it."""
    places = next((layer.places for layer in layers(start) if layer.places.holds(path)), None)
    if places is None:
        return None
    from ...manifest.locations import Origin

    return Origin(places, path)


def check_providers(start: Path) -> None:
    """Raise SettingsError with every setting of a provider that is wrong, at its place in its file."""
    files = layers(start)
    problems = list(_provider_flaws(project_settings(start).get("providers"), [layer.places for layer in files]))
    if problems:
        problems.sort(key=lambda problem: (problem.file, problem.line, problem.column))
        raise SettingsError("\n".join(map(str, problems)))


def _provider_flaws(providers: object, files: Sequence[Places]) -> Iterator[Problem]:
    """Yield what is wrong in settings of providers; what is missing there, a manifest may state."""
    if not isinstance(providers, dict) or not providers:
        return
    from ...providers.presets import flaws

    for name, stated in providers.items():
        for path, message in flaws(name, stated).items() if isinstance(stated, dict) else ():
            place = ("providers", name, *path)
            file = next((places for places in files if path and places.holds(place)), None)
            if file is not None:
                yield file.problem(place, "provider", message)


def _misplaced(values: object, places: Places) -> Iterator[Problem]:
    """Yield the problems of the sections; providers and commands check their own settings."""
    if not isinstance(values, dict):
        yield places.problem((), "not_a_mapping", f"settings are {', '.join(SECTIONS)}, as key: value")
        return
    for name, value in values.items():
        if name not in SECTIONS:
            hint = suggest(name, SECTIONS)
            yield places.problem((name,), "unknown_key", f"unknown key {name!r}", hint, key=True)
        elif name in _PLAIN:
            if not _PLAIN[name](value):
                yield places.problem((name,), "wrong_type", SECTIONS[name])
        elif name == "budget":
            # The model loads much, and few settings files have a budget.
            from ...manifest.budgets import shared_problems

            yield from shared_problems(value, places)
        elif value is not None and not isinstance(value, dict):
            yield places.problem((name,), "wrong_type", SECTIONS[name])
        else:
            for key, inner in (value or {}).items():
                if not isinstance(inner, dict) and (inner is not None or name == "providers"):
                    yield places.problem((name, key), "wrong_type", "should be a mapping (key: value)")
