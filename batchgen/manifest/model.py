"""The manifest as its author writes it: the whole interface of the YAML file, typed.  Values; no I/O.

Types are strict: text is never guessed from a number, nor a number from text.  What a field is for stands in its
description, which is also what an editor shows.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from ..providers import profile
from . import names

#: Keys of later versions: answered as such, not as unknown.
NOT_YET = frozenset({"matrix", "from", "vars", "include", "exclude", "repeat"})


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _decimal(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return value


def _plain(text: str) -> str:
    found = names.control(text, allow="\t\n\r")
    if found:
        raise ValueError(f"holds the control character {found}, which no provider takes")
    return text


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank")
    return _plain(text)


Text = Annotated[str, Field(max_length=200)]
Prompt = Annotated[str, BeforeValidator(lambda value: _filled(value) if isinstance(value, str) else value)]
#: One text, or a list of them.
Texts = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=4096)]],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Money = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    Field(ge=0, le=1_000_000),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1_000_000}),
]


class Strict(BaseModel):
    """Base of what a manifest holds: an unknown key is an error, and nothing is converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Output(Strict):
    """Where the images go."""

    dir: str = Field(
        "output/{{ name }}", min_length=1, description="Folder, relative to the manifest; {{ name }} works"
    )
    file: str = Field(
        "{{ id }}",
        min_length=1,
        description="File name without extension; {{ }} takes id, name, provider, model, kind; / makes folders",
    )
    sidecar: bool = Field(True, description="Write <file>.json with prompt, cost and hash beside each image")


class Limits(profile.Limits):
    """How fast a provider may be asked."""

    model_config = ConfigDict(strict=True)


class Timeouts(profile.Timeouts):
    """How long to wait for a provider, in seconds."""

    model_config = ConfigDict(strict=True)


class Retry(profile.Retry):
    """How often and how slowly a job is tried again."""

    model_config = ConfigDict(strict=True)


OnUnknown = Literal["retry", "hold"]
_ON_UNKNOWN = "A call whose outcome nobody can know: buy it again once (retry), or leave it to you (hold)"


class Provider(Strict):
    """What differs from a provider's preset."""

    preset: Text | None = Field(None, description="The preset to start from; default: the provider's own name")
    dialect: Text | None = Field(None, description="The wire format, where the provider is no preset")
    base_url: str | None = Field(
        None, min_length=1, description="What stands before the paths; https, or http to loopback"
    )
    api_key_env: str | None = Field(
        None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Name of the environment variable that holds the key"
    )
    paths: dict[str, str] | None = Field(None, description="Paths by operation: generations, edits, chat")
    limits: Limits | None = Field(None, description="How fast the provider may be asked")
    timeout: Timeouts | None = Field(None, description="Seconds to connect, and for a whole attempt")
    retry: Retry | None = Field(None, description="Retry policy of this provider; default: the manifest's")
    url_hosts: list[str] | None = Field(
        None, description="Hosts that result URLs may point to; *.x.com covers subdomains"
    )
    tariff: profile.Tariff | None = Field(None, description="What an image costs you here")
    on_unknown: OnUnknown | None = Field(None, description=_ON_UNKNOWN)
    default_model: Text | None = Field(None, description="Model of jobs that name none")
    request_id_header: Text | None = Field(None, description="Header in which the provider takes the client's own id")
    idempotency_header: Text | None = Field(
        None, description="Header of an idempotency key, only where the provider promises to charge a key once"
    )
    models: dict[str, dict[str, Any]] | None = Field(None, description="What differs from the preset, by model")


class Amounts(Strict):
    """What may be spent."""

    usd: Money | None = Field(None, description="Most USD")
    credits: dict[str, Money] = Field({}, description="Most credits by provider")


class Budget(Amounts):
    """What may be spent in all.  A stated budget is consent to spend it."""

    per_day: Amounts = Field(Amounts(), description="What may be spent in one calendar day, by this machine's clock")
    per_provider: dict[str, Money] = Field({}, description="Most USD for this batch by provider")
    allow_unpriced: bool = Field(False, description="Send requests without a known price all the same")


class Parameters(Strict):
    """What may be asked of a provider; ``defaults`` takes all of it."""

    prompt: Prompt | None = Field(None, description="What to draw, or what to change")
    images: Texts | None = Field(None, description="Source images of an edit: paths, globs or https URLs")
    mask: str | None = Field(
        None, min_length=1, description="PNG whose transparent parts are edited; as large as the first image"
    )
    provider: Texts | None = Field(None, description="Provider, or several in order of preference")
    model: Text | None = Field(None, min_length=1, description="Model; default: the provider's")
    size: Text | None = Field(
        None, min_length=1, description='"1024x1024", "16:9" or "auto"; what is allowed depends on provider and model'
    )
    quality: Text | None = Field(None, min_length=1, description="low, medium, high or auto")
    resolution: Text | None = Field(None, min_length=1, description="Resolution hint: 1k, 2k or 4k")
    background: Text | None = Field(None, min_length=1, description="transparent, opaque or auto")
    output_format: Text | None = Field(None, min_length=1, description="png, jpeg or webp")
    output_compression: int | None = Field(None, ge=0, le=100, description="0 to 100; jpeg and webp only")
    moderation: Text | None = Field(None, min_length=1, description="auto or low")
    n: int | None = Field(None, ge=1, le=1000, description="Images wanted; each is a job of its own")
    per_request: int | None = Field(
        None, ge=1, le=100, description="Images to ask for in one request, where the provider can"
    )
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="Seed, where the provider takes one")
    priority: int | None = Field(None, ge=-1000, le=1000, description="Higher goes first; default 0")
    tags: Texts | None = Field(None, description="Words to select jobs by; a job's are added to those of the defaults")
    extra: dict[str, Any] | None = Field(None, description="Goes to the provider as it is")


class Job(Parameters):
    """One image to make (or n of them)."""

    id: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="Name of the job, unique in the manifest; default: a slug of the prompt and a short hash",
    )


class Manifest(Strict):
    """A batch of image jobs."""

    version: Literal[1] = Field(1, description="Version of the manifest's language")
    name: str | None = Field(
        None, min_length=1, max_length=100, description="Name of the batch; default: the file's name"
    )
    output: Output = Field(Output(), description="Where the images go")
    providers: dict[str, Provider] = Field({}, description="What differs from the presets, by provider")
    defaults: Parameters = Field(Parameters(), description="Parameters of every job that does not set them itself")
    retry: Retry | None = Field(None, description="Retry policy")
    on_unknown: OnUnknown | None = Field(None, description=_ON_UNKNOWN)
    budget: Budget = Field(Budget(), description="What may be spent")
    jobs: list[Job] = Field([], description="The jobs")
    prompts: list[Prompt] = Field([], description="Short form of jobs that have nothing but a prompt")
