"""Provider profiles: a provider's address, models, limits and prices as data.

A *profile* is a preset from ``presets.yaml`` with the user's overrides merged in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from ..errors import nearest, suggest
from ..mode import ModeStep, read_step
from .addresses import is_listed, join, origin_of, with_query
from .auth import Auth
from .cost import Cost
from .model import Frozen, Model, Retired
from .task_rules import TaskRules, check_body

#: Bounds that no account needs more than, and seconds and counts that still fit into calendars and databases.
MOST_REQUESTS, LONGEST = 1_000_000_000, 10_000_000


class UnknownModel(LookupError):
    """This provider has no such model; ``suggestion`` is the closest name that it has, or ""."""

    def __init__(self, name: str, profile: Profile) -> None:
        names = sorted({*profile.models, *(model.wire for model in profile.models.values())})
        self.name = name
        self.suggestion = nearest(name, names, cutoff=0.5) or ""
        near = f"; did you mean {self.suggestion!r}?" if self.suggestion else "."
        super().__init__(f"{profile.name} has no model {name!r}{near} It offers {', '.join(sorted(profile.models))}.")


class Limits(Frozen):
    """Rate limits of a provider. None means no limit of that kind."""

    requests_per_second: float | None = Field(None, gt=0, le=MOST_REQUESTS, description="Most requests in any second")
    requests_per_minute: float | None = Field(None, gt=0, le=MOST_REQUESTS, description="Most requests in any minute")
    images_per_minute: float | None = Field(
        None, gt=0, le=MOST_REQUESTS, description="Most images in any minute; source images of edits count"
    )
    requests_per_day: int | None = Field(None, gt=0, le=MOST_REQUESTS, description="Most requests in any 24 hours")
    concurrency: int = Field(4, ge=1, le=5000, description="Most requests in flight at once")
    burst: int | None = Field(
        None, ge=1, le=MOST_REQUESTS, description="Requests that may go out at once before pacing sets in"
    )
    spacing: float | None = Field(None, ge=0, le=LONGEST, description="Least seconds between two requests")
    adaptive: bool = Field(True, description="Go slower where the provider throttles, and find out what it takes")


class Group(Limits):
    """Models that a provider counts together, in addition to its overall limits."""

    models: Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)] = (
        Field(min_length=1, description="Names of models, or globs of them")
    )
    concurrency: int | None = Field(None, ge=1, le=5000, description="Most requests in flight at once")  # type: ignore[assignment]


class Timeouts(Frozen):
    """Timeouts in seconds. If ``total`` is None, quality and size decide: renders take 45 to 300 s."""

    connect: float = Field(10, gt=0, le=LONGEST, description="Seconds to open a connection")
    total: float | None = Field(None, gt=0, le=LONGEST, description="Seconds for one whole attempt, answer included")
    download: float = Field(
        150,
        gt=0,
        le=LONGEST,
        description="Seconds for which the download of a finished image is tried before it counts as lost",
    )


class Retry(Frozen):
    """How often a job is tried again, and with which pauses."""

    attempts: int = Field(4, ge=1, le=50, description="Most paid attempts for one job")
    first_wait: float = Field(2.0, ge=0, le=LONGEST, description="Seconds before the first repeat; doubles each time")
    max_wait: float = Field(300.0, ge=0, le=LONGEST, description="Longest pause between two attempts, in seconds")
    patience: float = Field(
        7200.0, ge=0, le=LONGEST, description="Seconds that a provider may be out of order before the run gives it up"
    )


class BatchSettings(Frozen):
    """Size of the files in which calls are sent in the mode ``batch``, below the limits of the provider."""

    max_jobs: int | None = Field(None, ge=1, le=50_000, description="Most requests in one batch")
    max_megabytes: float | None = Field(None, gt=0, le=2_000, description="Largest file of requests, in MB")
    listing_grace: float = Field(
        120,
        ge=0,
        le=LONGEST,
        description="Seconds until a batch that is missing in the provider's list was certainly not created",
    )


def _listed(value: object) -> object:
    return [value] if isinstance(value, (str, Mapping)) else value


Modes = Annotated[tuple[Annotated[ModeStep, BeforeValidator(read_step)], ...], BeforeValidator(_listed)]


class BalanceCheck(Frozen):
    """A free endpoint that returns the balance: its path, and the dotted path (``token.remaining``) of each amount."""

    path: str
    unit: str = "USD"  #: the unit of every amount
    account: str | None = None  #: what the account has left
    key_left: str | None = None  #: what this key may still spend; null means that it has no limit of its own
    unlimited: str | None = None  #: true means that the key has no limit of its own
    used: str | None = None  #: what was spent through this key so far
    withheld: str = ""  #: why the account's balance is missing, if no ordinary key may see it


class ModelsCheck(Frozen):
    """A free endpoint that lists the models."""

    path: str
    public: bool = False  #: it needs no key, so an answer proves nothing about one
    own_names: bool = False  #: models go by names that the user chose, which are not on the list


class Checks(Frozen):
    """Free endpoints of a provider. Every path is documented, and for GET only."""

    balance: BalanceCheck | None = None
    models: ModelsCheck | None = None


class Polling(Frozen):
    """Limits of the polls of remote tasks, for each account; those of paid calls do not count polls."""

    requests_per_minute: float = Field(600.0, gt=0, le=MOST_REQUESTS, description="Most polls in any minute")
    concurrency: int = Field(16, ge=1, le=5000, description="Most polls in flight at once")


class Profile(Frozen):
    """One provider, with everything that a request to it needs."""

    name: str  #: as in the manifest: "studio"
    preset: str  #: "gateway"
    dialect: str
    base_url: str = ""
    paths: Mapping[str, str]
    api_key_env: tuple[str, ...]  #: variables of its keys, one an account; empty if no key is needed
    auth: Auth = Auth()
    key_hosts: tuple[str, ...] = ()  #: other hosts that get the key, over https, when a remote task is polled there
    polling: Polling = Polling()
    query: Mapping[str, str] = {}  #: query parameters of every call to an address of this profile
    default_model: str
    models: Mapping[str, Model]  #: by canonical name
    retired: Mapping[str, Retired] = {}  #: models that it once offered
    limits: Limits = Limits()
    groups: Mapping[str, Group] = {}  #: groups of models with limits of their own
    timeout: Timeouts = Timeouts()
    retry: Retry = Retry()
    on_unknown: Literal["retry", "hold"] = "retry"
    url_hosts: tuple[str, ...] = ()  #: allowed hosts of result URLs; "*.x.com" covers subdomains, "*" any name
    request_id_header: str | None = None  #: the header that carries our attempt id
    idempotency_header: str | None = None  #: set only if the provider is known to honor it
    cost: Cost | None = None  #: where an answer states its cost, if that is a place of its own
    charges_errors: bool | None = None  #: whether an error answer may be billed; None if that is undocumented
    charges_refusals: bool = False  #: whether a refusal with an error status may be billed
    checks: Checks = Checks()
    modes: Modes = ()  #: the modes of its calls, one after another; empty: standard
    batch: BatchSettings = BatchSettings()
    task: TaskRules | None = None  #: how remote tasks work here, for the dialect ``task``

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.default_model not in self.models:
            raise ValueError(f"default_model {self.default_model!r} is not among the models")
        for name, model in self.models.items():
            for rules in (model.generate, model.edit):
                if rules is not None and rules.path not in self.paths:
                    raise ValueError(f"model {name!r} uses the path {rules.path!r}, which is not among the paths")
        self._check_groups()
        self._check_tasks()
        return self

    def _check_tasks(self) -> None:
        for name, model in self.models.items():
            if (model.dialect or self.dialect) != "task":
                continue
            if self.task is None:
                raise ValueError(f"model {name!r} has the dialect task, which needs the setting task (help page tasks)")
            for rules in filter(None, (model.generate, model.edit)):
                check_body(rules.template)
                if not (rules.template or self.task.submit.body):
                    raise ValueError(f"model {name!r} has no body: set task.submit.body, or template in its rules")

    def _check_groups(self) -> None:
        names = sorted({name for title, model in self.models.items() for name in (title, model.wire, *model.aliases)})
        for name, group in self.groups.items():
            for glob in group.models:
                if not any(fnmatchcase(model, glob) for model in names):
                    hint = suggest(glob, names, f"there are: {', '.join(sorted(self.models))}")
                    raise ValueError(f"groups.{name}: no model fits {glob!r}; {hint}")
            if name not in self.grouped:
                raise ValueError(
                    f"groups.{name}: groups before it have all of its models; a model is in the first only"
                )

    def moved_to(self, base_url: str) -> Self:
        """Return this profile for a server at *base_url* that plays the provider; no address leads elsewhere."""
        task = self.task and self.task.below_base_url()
        return self.model_copy(update={"base_url": base_url, "task": task})

    @property
    def origin(self) -> str:
        """Return scheme, host and (unless it is the default) port of ``base_url``."""
        return origin_of(urlsplit(self.base_url))

    def url(self, path_key: str) -> str:
        """Return the absolute URL of an operation, without repeating what ``base_url`` already ends with."""
        return self.url_of(self.paths[path_key])

    def url_of(self, path: str) -> str:
        """Return the absolute URL of *path*, with the query parameters that every call has."""
        return with_query(join(self.base_url, path), self.query)

    @property
    def grouped(self) -> dict[str, frozenset[str]]:
        """Return the canonical models of each group; a model belongs to the first group that names it."""
        grouped: dict[str, set[str]] = {name: set() for name in self.groups}
        for title, model in self.models.items():
            for name, group in self.groups.items():
                names = (title, model.wire, *model.aliases)
                if any(fnmatchcase(alias, glob) for alias in names for glob in group.models):
                    # The job database holds jobs of an older version under the older name.
                    grouped[name] |= {title, *model.aliases}
                    break
        return {name: frozenset(models) for name, models in grouped.items() if models}

    def find(self, name: str | None = None) -> tuple[str, Model]:
        """Return (canonical name, model) for a canonical or wire name; None is the default model.

        A vendor prefix ("openai/gpt-image-2") is optional, so that one name works at every provider.
        Raise UnknownModel if there is no such model.
        """
        wanted = self.default_model if name is None else name
        if wanted in self.models:
            return wanted, self.models[wanted]
        for canonical, model in self.models.items():
            if wanted == model.wire:
                return canonical, model
        bare = wanted.rpartition("/")[2]
        for canonical, model in self.models.items():
            if bare in (canonical, model.wire.rpartition("/")[2], *model.aliases):
                return canonical, model
        raise UnknownModel(wanted, self)

    def may_poll(self, url: str) -> bool:
        """Return whether the key may be sent to *url*: the origin of ``base_url``, or https on ``key_hosts``."""
        return self._is_own_or_listed(url, self.key_hosts)

    def may_fetch(self, url: str) -> bool:
        """Return whether a result may be fetched from *url*: the origin of ``base_url``, or https on ``url_hosts``."""
        return self._is_own_or_listed(url, self.url_hosts)

    def host_to_list(self, url: str) -> str | None:
        """Return the host of *url* if a list of hosts that has it would allow the URL, else None."""
        try:
            host = (urlsplit(url).hostname or "").rstrip(".")
        except ValueError:
            return None
        return host if self._is_own_or_listed(url, (host,)) else None

    def with_host(self, setting: Literal["url_hosts", "key_hosts"], host: str) -> str:
        """Return the setting as it is written with *host* added: a list in settings replaces that of the preset."""
        hosts = ", ".join(json.dumps(name) if "*" in name else name for name in (*getattr(self, setting), host))
        return f"providers: {{{self.name}: {{{setting}: [{hosts}]}}}}"

    def _is_own_or_listed(self, url: str, hosts: tuple[str, ...]) -> bool:
        try:
            parts = urlsplit(url)
            if parts.username is not None or parts.password is not None or not parts.hostname:
                return False
            if parts.scheme in ("http", "https") and origin_of(parts) == self.origin:
                return True
            usual_port = parts.port in (None, 443)
        except ValueError:
            return False
        return parts.scheme == "https" and usual_port and is_listed(parts.hostname.rstrip("."), hosts)
