"""Provider profiles: a provider's address, models, limits and prices as data.

A *profile* is a preset from ``presets.yaml`` with the user's overrides merged in.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..errors import nearest, suggest
from ..task import Kind

#: YAML floats reach Decimal through their text, so 0.053 is exactly 0.053.
Amount = Annotated[
    Decimal, BeforeValidator(lambda value: str(value) if isinstance(value, float) else value), Field(ge=0, le=1_000_000)
]

#: Bounds that no account needs more than, and seconds and counts that still fit into calendars and databases.
MOST_REQUESTS, LONGEST = 1_000_000_000, 10_000_000

#: Ports that a URL need not contain.
_DEFAULT_PORTS = {"http": 80, "https": 443}


class UnknownModel(LookupError):
    """This provider has no such model; ``suggestion`` is the closest name that it has, or ""."""

    def __init__(self, name: str, profile: Profile) -> None:
        names = sorted({*profile.models, *(model.wire for model in profile.models.values())})
        self.name = name
        self.suggestion = nearest(name, names, cutoff=0.5) or ""
        near = f"; did you mean {self.suggestion!r}?" if self.suggestion else "."
        super().__init__(f"{profile.name} has no model {name!r}{near} It offers {', '.join(sorted(profile.models))}.")


class Frozen(BaseModel):
    """Base class of all profile values: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


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


class Tokens(Frozen):
    """USD per million tokens."""

    text_in: Amount = Decimal(0)
    image_in: Amount = Decimal(0)
    text_out: Amount = Decimal(0)
    image_out: Amount = Decimal(0)


class Tariff(Frozen):
    """The prices of a model. Any part may be missing; a cost without a price is unknown, never 0."""

    date: str | None = Field(None, description="When these prices were read (YYYY-MM-DD)")
    usd_per_million_tokens: Tokens | None = None
    usd_per_image: Amount | Mapping[str, Amount] | None = Field(None, description="One price, or one per quality")
    credits_per_image: Amount | Mapping[str, Amount] | None = Field(None, description="One number, or one per quality")
    usd_per_credit: Amount | None = Field(None, description="What one credit costs you")
    output_tokens: Mapping[str, int] = Field(
        {},
        description="Expected output tokens of one image, for estimates: by quality or resolution at 1024x1024"
        ' ("medium", "2K"), or by both quality and size ("medium 1536x1024")',
    )


class SizeRule(Frozen):
    """The sizes that a model accepts.

    fixed: one of ``allowed``.  free: any WxH by OpenAI's rule, or one of ``allowed``.  ratio: a ratio of
    ``allowed``; a WxH that reduces to one is converted.  none: the provider takes no size.
    """

    mode: Literal["fixed", "free", "ratio", "none"] = "none"
    allowed: tuple[str, ...] = ()


class Rules(Frozen):
    """What one operation (generate or edit) of one model accepts."""

    path: str  #: a key of Profile.paths
    body: Literal["json", "multipart"] = "json"
    fields: tuple[str, ...] = ()  #: optional Task fields that may be sent: quality, background, ...
    refused: tuple[str, ...] = ()  #: ``extra`` keys that the provider is known to answer with an error
    defaults: Mapping[str, Any] = {}  #: required fields, with the value to send if the user set none
    values: Mapping[str, tuple[Any, ...]] = {}  #: allowed values by field, if the provider documents them
    size: SizeRule = SizeRule()
    n_max: int = 1  #: images one request may ask for
    prompt_max: int = 32_000  #: characters
    image_field: Literal["image", "image[]"] = "image[]"  #: multipart field name where there are several
    images_max: int = 16
    image_bytes_max: int = 50_000_000
    image_types: tuple[str, ...] = ("image/png", "image/jpeg", "image/webp")
    mask: bool = False
    mask_bytes_max: int = 4_000_000
    image_urls: bool = True  #: False: bytes only, so a URL is fetched first


class Model(Frozen):
    """One model as one provider offers it."""

    wire: str  #: the provider's own name for it
    dialect: str | None = None  #: None: the profile's
    generate: Rules | None = None
    edit: Rules | None = None
    tariff: Tariff = Tariff()
    #: The provider's documented defaults. They serve estimates and are never sent.
    assumes: Mapping[Literal["size", "quality", "resolution"], str] = {}
    aliases: tuple[str, ...] = ()  #: older names that are still accepted
    ends: str | None = None  #: the day (YYYY-MM-DD) on which the provider withdraws it, if it announced one
    successor: str | None = None  #: the replacement that the provider recommends

    def rules(self, kind: Kind) -> Rules | None:
        """Return what this model accepts for *kind*; None if it does not support that."""
        return self.generate if kind is Kind.GENERATE else self.edit


class Retired(Frozen):
    """A model that a provider has withdrawn."""

    ends: str  #: the day on which it was withdrawn
    successor: str


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


class Checks(Frozen):
    """Free endpoints of a provider. Every path is documented, and for GET only."""

    balance: BalanceCheck | None = None
    models: ModelsCheck | None = None


class Profile(Frozen):
    """One provider, with everything that a request to it needs."""

    name: str  #: as in the manifest: "studio"
    preset: str  #: "gateway"
    dialect: str
    base_url: str = ""
    paths: Mapping[str, str]
    api_key_env: tuple[str, ...]  #: variables of its keys, one an account; empty if no key is needed
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
    charges_errors: bool | None = None  #: whether an error answer may be billed; None if that is undocumented
    checks: Checks = Checks()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.default_model not in self.models:
            raise ValueError(f"default_model {self.default_model!r} is not among the models")
        for name, model in self.models.items():
            for rules in (model.generate, model.edit):
                if rules is not None and rules.path not in self.paths:
                    raise ValueError(f"model {name!r} uses the path {rules.path!r}, which is not among the paths")
        self._check_groups()
        return self

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

    @property
    def origin(self) -> str:
        """Return scheme, host and (unless it is the default) port of ``base_url``."""
        return origin_of(urlsplit(self.base_url))

    def url(self, path_key: str) -> str:
        """Return the absolute URL of a path, without repeating what ``base_url`` already ends with."""
        return join(self.base_url, self.paths[path_key])

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

    def may_fetch(self, url: str) -> bool:
        """Return whether a result may be fetched from *url*: the origin of ``base_url``, or https on the allow-list."""
        try:
            parts = urlsplit(url)
            if parts.username is not None or parts.password is not None or not parts.hostname:
                return False
            if parts.scheme in ("http", "https") and origin_of(parts) == self.origin:
                return True
            usual_port = parts.port in (None, 443)
        except ValueError:
            return False
        return parts.scheme == "https" and usual_port and _listed(parts.hostname.rstrip("."), self.url_hosts)


def origin_of(parts: SplitResult) -> str:
    """Return scheme://host[:port] in lower case, without a default port; raise ValueError for an invalid port."""
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def join(base_url: str, path: str) -> str:
    """Join *base_url* and *path*, dropping a tail of the base that the path repeats.

    Both ``https://x`` and ``https://x/v1`` give ``https://x/v1/images``; ``https://x/v1`` and
    ``/api/v1/images`` give ``https://x/api/v1/images``.
    """
    base = base_url.rstrip("/")
    scheme, _, rest = base.partition("://")
    host, *tail = rest.split("/")
    steps = path.strip("/").split("/")
    shared = next((size for size in range(min(len(tail), len(steps)), 0, -1) if tail[-size:] == steps[:size]), 0)
    if not shared and tail and tail[-1] == "v1" and "v1" in steps:
        shared = 1
    return f"{scheme}://{'/'.join([host, *tail[: len(tail) - shared], *steps])}"


def _listed(host: str, patterns: tuple[str, ...]) -> bool:
    """Match *host* (lower case); "*" matches any name that contains a dot, but no IP address."""
    named = "." in host and ":" not in host and not host.rpartition(".")[2].isdigit()
    for pattern in map(str.lower, patterns):
        if pattern == host or (pattern == "*" and named):
            return True
        if pattern.startswith("*.") and host.endswith(pattern[1:]):
            return True
    return False
