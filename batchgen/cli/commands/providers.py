"""The providers: what there is, whether the keys work, the models, the prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .. import command as shape
from .. import output
from ..options import Session, command, given, shared
from ..options import sandbox as rehearsal

if TYPE_CHECKING:
    from ...providers.profile import Profile


@click.group("providers", cls=shape.Group, invoke_without_command=True)
@shared
@click.pass_context
def providers(ctx: click.Context, /, **options: Any) -> Any:  # noqa: ANN401 - click passes on what a command returns
    """Tell which providers there are, whether your keys work, which models they have and at what price."""
    ctx.obj = given(options, ctx.obj or {})
    return None if ctx.invoked_subcommand else ctx.invoke(list_)


@command("list", "batchgen providers list")
def list_(session: Session) -> int:
    """List the providers: models, limits, where the key comes from."""
    from ...app import plan

    found = plan.providers(session.project())
    if session.as_json:
        output.document(
            {
                "schema_version": 1,
                "providers": [
                    {
                        "name": name,
                        "preset": profile.preset,
                        "base_url": profile.base_url,
                        "key": next((key.source for key in keys.values()), None),
                        "keys": [key.source for key in keys.values()],
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
                    for name, (profile, keys) in found.items()
                ],
            }
        )
        return 0
    rows = []
    for name, (profile, keys) in found.items():
        where = [key.source for key in keys.values()] or [_lacking(profile)]
        for number, (canonical, model) in enumerate(profile.models.items()):
            able = " ".join(kind for kind in ("generate", "edit") if getattr(model, kind) is not None)
            default = "*" if canonical == profile.default_model else ""
            rows.append([name if number == 0 else "", canonical + default, able, where.pop(0) if where else ""])
        rows += [["", "", "", more] for more in where]
    for line in output.table(rows, ("provider", "model (* default)", "does", "key")):
        output.data(line)
    return 0


def _lacking(profile: Profile) -> str:
    return f"missing: {profile.api_key_env[0]}" if profile.api_key_env else "none needed"


@command("check", "batchgen providers check openai")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@rehearsal
def check(session: Session, names: tuple[str, ...], sandbox: bool) -> int:
    """Find out whether keys work, what is left, which models and limits there are.  Spends nothing.

    Without a name: every provider that has a key, or settings in batchgen.yaml.  Only what the provider documents as
    free is asked.  Ends with 5 where a key is missing or refused, 7 where no money is left, 8 where nobody answers.
    """
    from ...app import provider_check as use_case
    from ..render.account import check_document, check_lines

    found = use_case.check(session.project(sandbox=sandbox), names)
    if session.as_json:
        output.document(check_document(found))
    else:
        for line in check_lines(each for each in found if each.exit_code or not session.quiet):
            output.data(line)
    return use_case.exit_code_of([each.exit_code for each in found])


@command("models", "batchgen providers models openai")
@click.argument("name")
@rehearsal
def models(session: Session, name: str, sandbox: bool) -> int:
    """List the models that a provider offers now, as it says itself.  Spends nothing."""
    from ...app import provider_check as use_case
    from ..render.account import known_as, models_document

    listed = use_case.list_provider_models(session.project(sandbox=sandbox), name)
    if session.as_json:
        output.document(models_document(listed))
        return listed.exit_code
    if listed.catalogue is None:
        output.say(f"{name}: {listed.answer.words or 'the answer lists no models'}")
        output.say(f"next      batchgen providers prices {name}    the models that batchgen knows")
        return listed.exit_code
    names = known_as(listed)
    for line in output.table([[model, names.get(model, "")] for model in listed.catalogue.ids], ("model", "known as")):
        output.data(line)
    return 0


@command("prices", "batchgen providers prices openai aimlapi")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def prices(session: Session, names: tuple[str, ...]) -> int:
    """Say what the models cost, as far as batchgen knows, and as of when.  Opens no connection."""
    from ...app import prices as tariffs
    from ..render.account import price_lines, prices_document

    found = tariffs.prices(session.project(), names)
    if session.as_json:
        output.document(prices_document(found))
        return 0
    for line in price_lines(found):
        output.data(line)
    return 0


providers.examples = ("batchgen providers", "batchgen providers check", "batchgen providers prices openai")

for _each in (list_, check, models, prices):
    providers.add_command(_each)
