"""The manifest as its author writes it: the whole language of the YAML file, typed. Pure values.

Types are strict: text is never guessed from a number, nor a number from text. The description of a field is what
editors and help pages show.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from ..route import FAILOVER_AFTER
from .deliver import DeliverSpec
from .deliver import listed as listed_copies
from .fields import FILLED_IN, Money, Name, Prompt, ShortForm, Strict, Text, Texts, Value
from .list_spec import From, list_sources
from .provider_spec import ON_UNKNOWN, OnUnknown, ProviderSpec, RetrySpec


class OutputSpec(Strict):
    """Where the images go."""

    dir: str = Field(
        "output/{{ name }}", min_length=1, description="Folder, relative to the manifest; {{ name }} works"
    )
    file: str = Field(
        "{{ id }}",
        min_length=1,
        description="File name without extension; {{ }} takes id, name, provider, model, kind; / makes folders",
    )
    sidecar: bool = Field(True, description="Write <file>.json with prompt, cost and hash next to each image")


OnBadSource = Literal["stop", "skip"]
_ON_BAD_SOURCE = "Source image that is missing or damaged: refuse the manifest (stop), or make the other jobs (skip)"


class Amounts(Strict):
    """Amounts that may be spent."""

    usd: Money | None = Field(None, description="Most USD to spend")
    credits: dict[str, Money] = Field({}, description="Most credits to spend, by provider")


#: A plain number in place of amounts: so many USD.
_PLAIN_USD = ShortForm("usd", (int, float), {"type": "number", "minimum": 0, "maximum": 1_000_000})
PeriodBudget = Annotated[Amounts, _PLAIN_USD]


class BudgetSpec(Amounts):
    """Budget of the batch. A stated budget is consent to spend it."""

    per_day: PeriodBudget = Field(Amounts(), description="Budget of one calendar day, in local time")
    per_month: PeriodBudget = Field(Amounts(), description="Budget of one calendar month, in local time")
    per_provider: dict[str, Money] = Field({}, description="Most USD to spend on this batch, by provider")
    allow_unpriced: bool = Field(False, description="Send requests even if their price is unknown")


class SharedBudgetSpec(Strict):
    """Budget of all batches of a job database together, in ``batchgen.yaml``."""

    per_day: PeriodBudget = Field(Amounts(), description="Budget of one calendar day, in local time")
    per_month: PeriodBudget = Field(Amounts(), description="Budget of one calendar month, in local time")


class SharedSettings(Strict):
    """What ``batchgen.yaml`` sets for all batches together."""

    budget: SharedBudgetSpec = Field(SharedBudgetSpec(), description="Budget of all batches together")


Strategy = Literal["failover", "weighted", "cheapest", "fastest"]
_STRATEGY_NAME = ShortForm("strategy", str, {"type": "string", "enum": list(get_args(Strategy))})


class RoutingSpec(Strict):
    """Rules by which one of a job's providers is chosen."""

    strategy: Strategy = Field(
        "failover",
        description="failover: the first that can, and the next while it is out of order; weighted: spread by weights;"
        " cheapest: by expected price; fastest: any with free capacity",
    )
    weights: dict[str, Annotated[float, Field(gt=0, le=1e6)]] = Field(
        {}, description="Shares by provider, for weighted; equal by default"
    )
    failover_after: float = Field(
        FAILOVER_AFTER,
        ge=0,
        le=86_400,
        description="Seconds that a provider may be out of order before the next one is used",
    )

    @model_validator(mode="after")
    def _weighs(self) -> Self:
        if self.weights and self.strategy != "weighted":
            raise ValueError(f"weights are used only with strategy: weighted, not with {self.strategy}")
        return self


class Parameters(Strict):
    """Parameters of a request; ``defaults`` takes all of them."""

    prompt: Prompt | None = Field(None, description="What to draw, or what to change")
    images: Texts | None = Field(
        None,
        description="Source images of an edit: paths, globs, URLs (https, s3, gs, az), or @id: another job's image",
    )
    mask: str | None = Field(
        None, min_length=1, description="PNG whose transparent parts are edited; of the size of the first image"
    )
    orient: bool | None = Field(
        None, description="true: send an upright copy of source images that are stored rotated (EXIF)"
    )
    convert: Literal["jpeg", "png"] | None = Field(
        None,
        description="jpeg or png: send a copy of source images that providers do not accept (HEIC, AVIF, TIFF, BMP, "
        "GIF) or may misread (CMYK, 16-bit, animated)",
    )
    provider: Texts | None = Field(None, description="Provider, or several in order of preference")
    route: Annotated[RoutingSpec, _STRATEGY_NAME] | None = Field(
        None, description="How one of several providers is chosen: a strategy, or rules; default: failover"
    )
    model: Text | None = Field(None, min_length=1, description="Model; default: the provider's")
    size: Text | None = Field(
        None, min_length=1, description='"1024x1024", "16:9" or "auto"; provider and model decide what is allowed'
    )
    quality: Text | None = Field(None, min_length=1, description="low, medium, high or auto")
    resolution: Text | None = Field(None, min_length=1, description="Resolution hint: 1k, 2k or 4k")
    background: Text | None = Field(None, min_length=1, description="transparent, opaque or auto")
    output_format: Text | None = Field(None, min_length=1, description="png, jpeg or webp")
    output_compression: Annotated[int, Field(ge=0, le=100), FILLED_IN] | None = Field(
        None, description="0 to 100; jpeg and webp only"
    )
    moderation: Text | None = Field(None, min_length=1, description="auto or low")
    n: Annotated[int, Field(ge=1, le=1000), FILLED_IN] | None = Field(
        None, description="Images wanted; each is a job of its own"
    )
    per_request: Annotated[int, Field(ge=1, le=100), FILLED_IN] | None = Field(
        None, description="Images to ask for in one request, where the provider can"
    )
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63), FILLED_IN] | None = Field(
        None, description="Seed, where the provider takes one"
    )
    priority: Annotated[int, Field(ge=-1000, le=1000), FILLED_IN] | None = Field(
        None, description="Higher goes first; default 0"
    )
    needs: Texts | None = Field(None, description="Ids of jobs of this batch that must be done before")
    tags: Texts | None = Field(
        None, description="Words to select jobs by; those of a job are added to those of the defaults"
    )
    extra: dict[str, Any] | None = Field(None, description="Sent to the provider as written")


class Matrix(BaseModel):
    """Variables with several values each: every combination becomes a job."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, defer_build=True)
    __pydantic_extra__: dict[Name, Annotated[list[Value], Field(min_length=1)]]

    include: list[dict[Name, Value]] = Field([], description="More combinations, each written out")
    exclude: list[dict[Name, Value]] = Field([], description="Combinations to leave out: those that have these values")

    @property
    def axes(self) -> dict[str, list[Value]]:
        """Return the values of each variable."""
        return self.__pydantic_extra__ or {}


class JobSpec(Parameters):
    """One image to make, or, with ``n``, ``matrix``, ``zip``, ``from`` or ``repeat``, many."""

    model_config = ConfigDict(validate_by_name=False, validate_by_alias=True)

    id: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="Name of the job, unique in the manifest; default: the row's column id, or a slug of the prompt "
        "and a short hash",
    )
    vars: dict[Name, Value] = Field(default_factory=dict, description="Variables for this job's templates")
    matrix: Matrix | None = Field(None, description="Variables with several values: a job for every combination")
    zip: dict[Name, Annotated[list[Value], Field(min_length=1)]] = Field(
        default_factory=dict, description="Variables with lists of the same length, combined item by item"
    )
    rows: Annotated[list[From], BeforeValidator(list_sources)] = Field(
        default_factory=list,
        alias="from",
        description="Lists whose rows become jobs: csv, tsv, xlsx, jsonl, txt, or a folder of images",
    )
    columns: dict[Name, str | None] = Field(
        default_factory=dict, description="Columns of all lists of the job; see columns of a list"
    )
    repeat: int = Field(1, ge=1, le=10_000, description="Make all of it this many times; {{ repeat }} counts from 1")


#: Parameters that no row sets; a column that happens to have such a name stays a variable.
PREPARATION = frozenset({"orient", "convert", "needs"})
#: Parameters that a row, a matrix or a zip sets by a variable of the same name.
PARAMETERS = frozenset(Parameters.model_fields) - PREPARATION | {"id"}


def _prompts(value: object, check: ValidatorFunctionWrapHandler) -> object:
    """Accept the name of a text file in place of a list; not by a union, which would blur the places of errors."""
    if not isinstance(value, str):
        return check(value)
    if value.lower().endswith((".csv", ".tsv", ".xlsx", ".xlsm", ".jsonl", ".ndjson")):
        table, lines = f"jobs: [{{from: {value}}}]", f"jobs: [{{from: {{path: {value}, format: txt}}}}]"
        raise ValueError(f"takes a text file; for a table write  {table}, for one prompt a line  {lines}")
    return From(path=[value], format="txt")


class Manifest(Strict):
    """A batch of image jobs."""

    version: Literal[1] = Field(1, description="Version of the manifest's language")
    name: str | None = Field(
        None, min_length=1, max_length=100, description="Name of the batch; default: the file's name"
    )
    include: Texts = Field(
        [], description="Other manifests (paths or globs), whose jobs, defaults, vars and providers are added"
    )
    output: Annotated[OutputSpec, ShortForm("dir", str, {"type": "string", "minLength": 1})] = Field(
        OutputSpec(), description="Where the images go, or the folder only"
    )
    deliver: Annotated[list[DeliverSpec], BeforeValidator(listed_copies)] = Field(
        [], description="Copies of every image in another format or size, beside the originals: one, or a list"
    )
    providers: dict[str, ProviderSpec] = Field({}, description="Settings that differ from the presets, by provider")
    vars: dict[Name, Value] = Field({}, description="Variables for the templates of all jobs")
    defaults: Parameters = Field(Parameters(), description="Parameters of every job that does not set them itself")
    retry: RetrySpec | None = Field(None, description="Retry policy")
    on_unknown: OnUnknown | None = Field(None, description=ON_UNKNOWN)
    on_bad_source: OnBadSource = Field("stop", description=_ON_BAD_SOURCE)
    budget: Annotated[BudgetSpec, _PLAIN_USD] = Field(BudgetSpec(), description="Budget of the batch, or its USD only")
    confirm_above: Money | None = Field(None, description="USD above which run asks at a terminal; default 1")
    report: bool | None = Field(None, description="Whether each run ends with a report, as batchgen report writes it")
    jobs: list[JobSpec] = Field([], description="The jobs")
    prompts: Annotated[
        list[Prompt],
        WrapValidator(_prompts),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = Field([], description="Short form of jobs with only a prompt: a list, or a text file with one prompt a line")
