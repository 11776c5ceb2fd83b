"""The providers of a sandbox run: where each is simulated, and descriptions of those that only their user knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from shlex import quote as quoted
from typing import Any
from urllib.parse import quote

from ..errors import BatchgenError
from ..files.output import make_private
from ..manifest import Batch
from ..providers.model import Tariff
from ..providers.preset_data import preset_data
from ..providers.profile import Profile
from ..sandbox import launch
from .project import Project

#: Begins the names of described providers: no preset has such a one, and no path of a provider begins with it.
_OWN = "own-"


class SandboxFailed(BatchgenError):
    """The sandbox did not start."""


def start_sandbox(
    project: Project, profiles: Mapping[str, Profile] | None = None, latency: str = "realistic"
) -> launch.Sandbox:
    """Return the running sandbox of a project; raise SandboxFailed. *profiles* are those that it has to know."""
    described = None
    if profiles is not None:
        described = {_simulated_as(each): _description(each) for each in profiles.values() if _is_described(each)}
    make_private(project.state)
    try:
        return launch.start(project.state, latency=latency, providers=described)
    except launch.LaunchError as error:
        output = project.state / launch.OUTPUT
        raise SandboxFailed(
            f"{error}\nNothing was sent. Run the same command again; if that does not help: cat {quoted(str(output))}"
        ) from error


def at_sandbox(profile: Profile, sandbox: launch.Sandbox) -> Profile:
    """Return *profile* with the sandbox's address in place of the provider's."""
    return profile.moved_to(sandbox.base_url(_simulated_as(profile)))


@contextmanager
def addresses(project: Project) -> Iterator[Callable[[Profile], Profile]]:
    """Yield a function that sets a profile's address: in a sandbox run that of the sandbox, which runs inside."""
    if not project.sandbox:
        yield lambda profile: profile
        return
    with ExitStack() as resources:
        sandbox = start_sandbox(project)
        if not sandbox.reused:  # A run in progress may use it too.
            resources.callback(sandbox.stop)
        yield lambda profile: at_sandbox(profile, sandbox)


def batch_at_sandbox(batch: Batch, sandbox: launch.Sandbox) -> Mapping[str, Profile]:
    """Return the profiles of *batch* with the sandbox's address in place of every provider's."""
    return {name: at_sandbox(profile, sandbox) for name, profile in batch.profiles.items()}


def _is_described(profile: Profile) -> bool:
    """Return whether a provider is known by the rules of its user only."""
    return profile.dialect == "task" and preset_data()[profile.preset]["dialect"] != "task"


def _simulated_as(profile: Profile) -> str:
    return f"{_OWN}{quote(profile.name, safe='').replace('%', '-')}" if _is_described(profile) else profile.preset


def _description(profile: Profile) -> dict[str, Any]:
    assert profile.task is not None  # noqa: S101 - the dialect task has rules
    task = profile.task.below_base_url().model_dump(mode="json")
    operations = [rules for model in profile.models.values() for rules in (model.generate, model.edit) if rules]
    bodies = [task["submit"]["body"], *(dict(rules.template) for rules in operations if rules.template)]
    return {
        "paths": list(dict.fromkeys(profile.paths[rules.path] for rules in operations)),
        "bodies": [body for body in bodies if body],
        "task": task,
        "tariffs": {
            name: _prices(model.tariff)
            for model in profile.models.values()
            for name in (model.wire, *(rules.wire for rules in (model.generate, model.edit) if rules and rules.wire))
        },
        "auth": profile.auth.model_dump() if profile.api_key_env else None,
    }


def _prices(tariff: Tariff) -> dict[str, str]:
    """Return what an image costs, at the highest of several prices."""
    area = tariff.usd_per_megapixel
    prices = {
        "usd": _highest(tariff.usd_per_image) if area is None else area.first,
        "credits": _highest(tariff.credits_per_image),
        "usd_per_credit": tariff.usd_per_credit,
    }
    return {name: str(price) for name, price in prices.items() if price is not None}


def _highest(price: Decimal | Mapping[str, Decimal] | None) -> Decimal | None:
    return max(price.values(), default=None) if isinstance(price, Mapping) else price
