"""Before a run: validate, plan, providers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ManifestError, Problem, UsageError
from . import words
from .options import Session, command
from .options import sandbox as rehearsal

if TYPE_CHECKING:
    from ..plan import Plan

_MANIFEST = click.Path(dir_okay=False, path_type=Path)


@command("validate")
@click.argument("manifests", nargs=-1, required=True, type=_MANIFEST)
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
def validate(session: Session, manifests: tuple[Path, ...], strict: bool) -> int:
    """Check manifests: every mistake at once, with file, line and column.  Nothing is sent or written."""
    from ..app import prepare

    problems: list[Problem] = []
    warnings: list[Problem] = []
    jobs = 0
    for path in manifests:
        try:
            batch = prepare.read_manifest(session.place(), session.file(path))
        except ManifestError as error:
            problems += error.problems
        else:
            warnings += batch.warnings
            jobs += len(batch.jobs)
    if problems:
        raise ManifestError((*problems, *warnings))
    if warnings and strict:
        raise ManifestError(tuple(warnings))
    if session.as_json:
        words.document({"schema_version": 1, "valid": True, "jobs": jobs, "warnings": [str(w) for w in warnings]})
        return 0
    for warning in warnings:
        words.say(f"warning: {warning}")
    if not session.quiet:
        words.data(f"{words.count(len(manifests), 'manifest')}, {words.count(jobs, 'job')}: no mistakes")
    return 0


@command("plan")
@click.argument("manifest", type=_MANIFEST)
@rehearsal
def plan(session: Session, manifest: Path, sandbox: bool) -> int:
    """Say what a run would do, what it would cost and how long it would take.  Sends and writes nothing."""
    return show_plan(session, manifest, sandbox=sandbox)


def show_plan(session: Session, manifest: Path, *, sandbox: bool) -> int:
    """Print the plan of a manifest; return the exit code."""
    from ..app import prepare

    place = session.place(sandbox=sandbox)
    batch = prepare.read_manifest(place, session.file(manifest))
    wish = prepare.plan(place, batch)
    if session.as_json:
        words.document(wish.as_json())
        return 0
    for warning in batch.warnings:
        words.say(f"warning: {warning}")
    for line in plan_lines(batch.name, wish):
        words.data(line)
    return 0


def plan_lines(name: str, wish: Plan) -> list[str]:
    """Return a plan in words."""
    names = ("new", "changed", "pending", "failed", "unknown", "done", "cancelled", "orphaned")
    standing = [f"{len(found)} {name}" for name in names if (found := getattr(wish, name))]
    lines = [f"{name}: {words.count(wish.total, 'job')}: {', '.join(standing) or 'none'}"]
    if not wish.lanes:
        return [*lines, "nothing to send"]
    rows = [
        [
            lane.provider,
            lane.requests,
            lane.images,
            words.span(lane.usd, words.usd) if lane.usd.expected is not None else "no price in USD",
            words.span(lane.credits, words.credits_) if lane.credits.expected is not None else "",
            words.duration(lane.seconds),
        ]
        for lane in wish.lanes
    ]
    heads = ("provider", "requests", "images", "USD", "credits", "time at most")
    lines += ["", *words.table(rows, heads, right=(1, 2)), ""]
    lines.append(f"to send   {words.count(wish.images, 'image')}, about {words.duration(wish.seconds)}")
    lines.append(f"cost      {words.span(wish.usd, words.usd)}, most likely {words.usd(wish.usd.expected)}")
    if wish.unpriced:
        lines.append(f"          and {words.count(wish.unpriced, 'request')} without a price in USD (see tariff)")
    return lines


@command("providers")
@click.argument("action", type=click.Choice(["list"]), default="list")
def providers(session: Session, action: str) -> int:
    """List the providers: models, limits, where the key comes from."""
    from ..app import prepare

    if action != "list":
        raise UsageError(f"providers {action} is not known")
    found = prepare.providers(session.place())
    if session.as_json:
        words.document(
            {
                "schema_version": 1,
                "providers": [
                    {
                        "name": name,
                        "preset": profile.preset,
                        "base_url": profile.base_url,
                        "key": key.source if key else None,
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
                    for name, (profile, key) in found.items()
                ],
            }
        )
        return 0
    rows = []
    for name, (profile, key) in found.items():
        for number, (canonical, model) in enumerate(profile.models.items()):
            able = " ".join(kind for kind in ("generate", "edit") if getattr(model, kind) is not None)
            default = "*" if canonical == profile.default_model else ""
            where = (
                (key.source if key else f"missing: {profile.api_key_env[0]}") if profile.api_key_env else "none needed"
            )
            rows.append([name if number == 0 else "", canonical + default, able, where if number == 0 else ""])
    for line in words.table(rows, ("provider", "model (* default)", "does", "key")):
        words.data(line)
    return 0
