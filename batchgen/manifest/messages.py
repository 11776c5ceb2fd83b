"""Validation errors in words that a newcomer can act on. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..errors import Problem, suggest
from ..providers.cost import Cost
from ..providers.model import Tariff, Tokens
from . import deliver, guesses, list_spec, model, provider_spec, secrets
from .locations import Path, Places

#: The model of the value of a key, for suggestions.
_MODELS: Mapping[str, type[BaseModel]] = {
    "output": model.OutputSpec,
    "deliver": deliver.DeliverSpec,
    "route": model.RoutingSpec,
    "defaults": model.Parameters,
    "retry": provider_spec.RetrySpec,
    "budget": model.BudgetSpec,
    "per_day": model.Amounts,
    "per_month": model.Amounts,
    "limits": provider_spec.LimitsSpec,
    "timeout": provider_spec.TimeoutsSpec,
    "batch": provider_spec.BatchSpec,
    "auth": provider_spec.AuthSpec,
    "cost": Cost,
    "polling": provider_spec.PollingSpec,
    "tariff": Tariff,
    "usd_per_million_tokens": Tokens,
}

_JOB_MODELS: Mapping[str, type[BaseModel]] = {"from": list_spec.From, "route": model.RoutingSpec}

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping (key: value)",
    "mapping_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "decimal_type": "an amount, such as 0.05",
    "decimal_parsing": "an amount, such as 0.05",
    "is_instance_of": "an amount, such as 0.05",
}

_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


#: Keys that only a job (or ``defaults``) has.
_JOB_KEYS = frozenset(field.alias or name for name, field in model.JobSpec.model_fields.items()) - {"vars"}


def problems(
    error: ValidationError, places: Places, ignored: Container[str] = (), provider: str | None = None
) -> list[Problem]:
    """Return a Problem for each mistake that pydantic found, except those of the kinds *ignored*.

    *provider* is the name that hints use.
    """
    problems_by_path: dict[Path, Problem] = {}
    for item in error.errors(include_url=False):
        if item["type"] in ignored:
            continue
        path = _real(tuple(item["loc"]), places)
        # A union reports each of its members; one message about a value is enough.
        problem = _worded(path, item, places)
        problem = replace(problem, hint=guesses.with_provider(problem.hint, provider))
        problems_by_path.setdefault(path, problem)
    return list(problems_by_path.values())


def _real(loc: Path, places: Places) -> Path:
    """Return *loc* without the steps that are not keys of the file, such as a member of a union."""
    node = places.root
    real: Path = ()
    for step in loc:
        inside = node[1] if isinstance(node, tuple) else None
        if isinstance(inside, dict) and step in inside:
            node = inside[step][1]
        elif isinstance(inside, list) and isinstance(step, int) and step < len(inside):
            node = inside[step]
        else:
            continue
        real = (*real, step)
    return real


def _worded(path: Path, item: ErrorDetails, places: Places) -> Problem:
    if item["type"] == "extra_forbidden":
        return _unknown_key(path, item["input"], places)
    code, message, hint = words(item)
    return places.problem(path, code, message, guesses.value_hint(path, item["input"]) or hint)


def words(item: ErrorDetails) -> tuple[str, str, str]:
    """Return code, message and hint for a wrong value."""
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "string_type":
        return _not_text(value)
    if kind in _WANTED:
        hint = "start each item with a dash" if kind == "list_type" and isinstance(value, dict) else ""
        return "wrong_type", f"should be {_WANTED[kind]}, is {shown(value)}", hint
    if kind in _BOUNDS:
        how, key = _BOUNDS[kind]
        return "out_of_range", f"should be {how} {context[key]}, is {short(str(value))}", ""
    if kind == "literal_error":
        hint = suggest(str(value), _quoted(str(context["expected"])), "")
        return "not_allowed", f"should be {context['expected']}, is {shown(value).removeprefix('the number ')}", hint
    return (*_rest(item), "")


def _rest(item: ErrorDetails) -> tuple[str, str]:
    """Return code and message of less frequent mistakes."""
    value, context = shown(item["input"]), item.get("ctx", {})
    match item["type"]:
        case "string_too_short" | "too_short":
            return "empty", "is empty"
        case "string_too_long" | "too_long":
            return "too_long", f"is longer than {context['max_length']} characters"
        case "string_pattern_mismatch":
            return "not_allowed", f"should be a name of letters, digits and _, is {value}"
        case "value_error":
            return "bad_value", str(context["error"])
        case "missing":
            return "missing", f"{item['loc'][-1]!r} is missing here"
        case _:
            return "bad_value", f"{item['msg'][:1].lower()}{item['msg'][1:]}, is {value}"


def _not_text(value: object) -> tuple[str, str, str]:
    hint = "put it in quotes"
    message = f"should be text, is {shown(value)}"
    if isinstance(value, dict):
        message = "should be text, but is a mapping: YAML reads {...} and 'a: b' as one"
    elif isinstance(value, list):
        message = "should be text, but is a list: YAML reads [...] as one"
    elif value is None:
        hint = ""
    return "wrong_type", message, hint


def _unknown_key(path: Path, value: object, places: Places) -> Problem:
    key, around = str(path[-1]), path[:-1]
    fields = [field.alias or name for name, field in _model_at(around).model_fields.items()]
    hint = guesses.key_hint(path, value)
    if not hint and around and around[0] in ("defaults", "jobs") and key in model.Manifest.model_fields:
        hint = f"it belongs at the top of the manifest, outside {around[0]}:"
    hint = hint or suggest(key, fields, "")
    if not around and key in _JOB_KEYS:
        hint = guesses.top_level_hint(key, value)
    elif not hint and around and around[0] == "jobs" and key in ("include", "exclude"):
        hint = "it belongs under matrix:"
    elif not hint and key in ("api_key", "key", "token"):
        hint = "API keys are read from the environment; api_key_env names the variable"
    elif not hint:
        hint = f"there are: {', '.join(fields)}"
    return places.problem(path, "unknown_key", f"unknown key {short(key)!r}", hint, key=True)


def _model_at(path: Path) -> type[BaseModel]:
    names = [step for step in path if isinstance(step, str)]
    if not names:
        return model.Manifest
    if names[0] == "jobs":
        return _JOB_MODELS.get(names[-1], model.JobSpec)
    if names[0] == "providers" and len(names) == 2:
        return provider_spec.ProviderSpec
    if names[0] == "providers" and names[2:3] == ["groups"]:
        return provider_spec.GroupSpec
    return _MODELS.get(names[-1], model.Manifest)


def shown(value: object) -> str:
    """Return a wrong value for a message: short, on one line, never an API key."""
    if isinstance(value, str):
        return "what looks like an API key" if secrets.is_key(value) else repr(short(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"the number {short(str(value))}"
    names = {dict: "a mapping", list: "a list", type(None): "empty"}
    return names.get(type(value), type(value).__name__)


def short(text: str) -> str:
    """Return *text* for a message, at most 40 characters."""
    return text if len(text) <= 40 else f"{text[:37]}..."


def _quoted(expected: str) -> list[str]:
    return [word.strip(" '") for word in expected.replace(" or ", ",").split(",")]
