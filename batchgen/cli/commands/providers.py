"""The providers command: presets and settings, keys and balances, models, prices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import output
from ..options import FILE, Session, command, group, option, sandbox
from ..render.table import Fit, table

if TYPE_CHECKING:
    from ...app.config.keys import Key
    from ...providers.profile import Profile


_FIT = Fit(least={0: 10, 1: 16, 3: 12}, names=(1,), wrap=(3,), drop=(2,))


@command("list", "batchgen providers list")
def list_(session: Session) -> int:
    """List the providers with their models, limits and keys."""
    from ...app import plan

    providers = plan.providers(session.project())
    documents = [_document(name, profile, keys) for name, (profile, keys) in providers.items()]
    rows = [row for name, (profile, keys) in providers.items() for row in _rows(name, profile, keys)]
    session.print({"providers": documents}, table(rows, ("provider", "model (* default)", "does", "key"), fit=_FIT))
    return 0


def _document(name: str, profile: Profile, keys: Mapping[str, Key]) -> dict[str, Any]:
    sources = [key.source for key in keys.values()]
    return {
        "name": name,
        "preset": profile.preset,
        "base_url": profile.base_url,
        "key": sources[0] if sources else None,
        "keys": sources,
        "api_key_env": list(profile.api_key_env),
        "default_model": profile.default_model,
        "models": {
            canonical: {
                "wire": model.wire,
                "generate": model.generate is not None,
                "edit": model.edit is not None,
            }
            for canonical, model in profile.models.items()
        },
        "limits": profile.limits.model_dump(),
    }


def _rows(name: str, profile: Profile, keys: Mapping[str, Key]) -> list[list[str]]:
    """Return a row for each model; the keys fill the last column, and rows of their own if there are more."""
    missing = f"missing: {profile.api_key_env[0]}" if profile.api_key_env else "none needed"
    sources = [key.source for key in keys.values()] or [missing]
    rows: list[list[str]] = []
    for canonical, model in profile.models.items():
        kinds = " ".join(kind for kind in ("generate", "edit") if getattr(model, kind) is not None)
        default = "*" if canonical == profile.default_model else ""
        rows.append(["" if rows else name, canonical + default, kinds, sources.pop(0) if sources else ""])
    return rows + [["", "", "", source] for source in sources]


@command("check", "batchgen providers check openai", "batchgen providers check --models")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@option("--models", "only_models", is_flag=True, help="Compare batchgen's models and prices with the provider's list.")
@sandbox
def check(session: Session, names: tuple[str, ...], *, only_models: bool) -> int:
    """Check keys and show balances, models and limits; spends nothing.

    Without a name: every provider that has a key, or settings in batchgen.yaml. Only requests that the provider
    documents as free are made. Ends with 5 if a key is missing or refused, 7 if an account is out of money, 8 if a
    provider does not answer.

    --models shows which models are no longer listed, end, have other prices or are new, and ends with 4 if a default
    model is affected. What was listed is remembered: plan, validate and doctor warn of models that are missing.
    """
    from ...app import provider_check as use_case
    from ..render.account import check_document, check_lines

    if only_models:
        return _check_models(session, names)
    checks = use_case.check(session.project(), names)
    session.print(check_document(checks), check_lines(each for each in checks if each.exit_code or not session.quiet))
    return use_case.exit_code_of([each.exit_code for each in checks])


def _check_models(session: Session, names: tuple[str, ...]) -> int:
    from ...app import provider_check as use_case
    from ...app.clock import utc_now
    from ..render import model_check

    listings, today = use_case.check_models(session.project(), names), utc_now().astimezone().date()
    codes = [model_check.exit_code_of(listing, today) for listing in listings]
    shown = [each for each, code in zip(listings, codes, strict=True) if code or not session.quiet]
    session.print(model_check.models_check_document(listings, today), list(model_check.model_lines(shown, today)))
    return use_case.exit_code_of(codes)


@command("models", "batchgen providers models openai")
@click.argument("name")
@sandbox
def models(session: Session, name: str) -> int:
    """List the models that a provider offers now; spends nothing."""
    from ...app import provider_check as use_case
    from ..render.account import known_as, models_document

    listing = use_case.list_provider_models(session.project(), name)
    if listing.catalogue is None and not session.as_json:
        output.say(f"{name}: {listing.answer.words or 'the response lists no models'}")
        output.say(f"next      batchgen providers prices {name}    lists the models that batchgen knows")
        return listing.exit_code
    names, fit = known_as(listing), Fit(least={0: 20, 1: 12}, names=(0, 1))
    rows = [[model, names.get(model, "")] for model in (listing.catalogue.ids if listing.catalogue else ())]
    session.print(models_document(listing), table(rows, ("model", "name in batchgen"), fit=fit))
    return listing.exit_code


@command("prices", "batchgen providers prices openai aimlapi")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def prices(session: Session, names: tuple[str, ...]) -> int:
    """Show the list prices of models; opens no connection."""
    from ...app import prices as use_case
    from ..render.account import price_lines, prices_document

    rows = list(use_case.prices(session.project(), names))
    session.print(prices_document(rows), price_lines(rows))
    return 0


@command("new", "batchgen providers new studio", "batchgen providers new studio -o studio.yaml")
@click.argument("name")
@option("-o", "--out", "target", type=FILE, metavar="FILE", help="Write the settings to this file; it must not exist.")
def new(session: Session, name: str, target: Path | None) -> int:
    """Print commented settings for a provider that has no preset; sends nothing.

    They describe a provider of remote tasks: submit, poll, fetch the result. Correct them by the provider's documents
    and copy them into batchgen.yaml or a manifest: batchgen help tasks
    """
    from ...app import new_provider as use_case

    settings = use_case.new_provider(name)
    if target is None:
        if session.as_json:
            output.document({"schema_version": 1, "name": name, "settings": settings})
        else:  # as it is: a line that is wrapped would be another setting, and a file names no path of this machine
            output.raw(settings.rstrip("\n"))
        return 0
    path = session.file(target)
    use_case.write_new(path, settings)
    session.print({"name": name, "file": str(path)}, [] if session.quiet else _next_lines(name, target), output.say)
    return 0


def _next_lines(name: str, target: Path) -> list[str]:
    """Return what to type after the settings were written: a manifest, and the command that tries it."""
    include = [] if target.name == "batchgen.yaml" else [f"include: {json.dumps(str(target))}"]
    manifest = ["version: 1", *include, f"defaults: {{provider: {name}}}", 'jobs: [{prompt: "A red apple"}]']
    return [
        f"wrote     {target}",
        "next      write a manifest such as night.yaml:",
        *(f"            {line}" for line in manifest),
        "then      batchgen run night.yaml --sandbox    tries it on simulated providers; spends nothing",
        f"          correct {target} by the provider's documents before a real run",
    ]


@group(
    "providers", "batchgen providers", "batchgen providers check", "batchgen providers prices openai", default="list"
)
def providers() -> None:
    """Show the providers: list, check keys and balances, models, prices."""


for subcommand in (list_, check, models, prices, new):
    providers.add_command(subcommand)
