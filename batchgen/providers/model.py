"""Models: what a provider's model accepts, and what it costs, as data."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ..mode import Mode
from ..task import Kind

#: YAML floats reach Decimal through their text, so 0.053 is exactly 0.053.
Amount = Annotated[
    Decimal, BeforeValidator(lambda value: str(value) if isinstance(value, float) else value), Field(ge=0, le=1_000_000)
]

#: The place of an image in the value of an ImageForm.
IMAGE = "{image}"


class Frozen(BaseModel):
    """Base class of all profile values: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Tokens(Frozen):
    """USD per million tokens."""

    text_in: Amount = Decimal(0)
    image_in: Amount = Decimal(0)
    text_out: Amount = Decimal(0)
    image_out: Amount = Decimal(0)


class Megapixels(Frozen):
    """USD by the megapixel of 1024x1024 pixels, each begun one in full."""

    first: Amount = Field(description="Price of the first megapixel of an image")
    more: Amount = Field(Decimal(0), description="Price of each further megapixel of an image")
    source: Amount = Field(Decimal(0), description="Price of each megapixel of a source image")


class Tariff(Frozen):
    """The prices of a model. Any part may be missing; a cost without a price is unknown, never 0."""

    date: str | None = Field(None, description="When these prices were read (YYYY-MM-DD)")
    usd_per_million_tokens: Tokens | None = None
    usd_per_image: Amount | Mapping[str, Amount] | None = Field(
        None, description='One price, or one per quality ("low"), resolution ("2K"), or both ("low 2K")'
    )
    usd_per_source_image: Amount | None = Field(None, description="Price of each source image of an edit")
    usd_per_megapixel: Megapixels | None = Field(None, description="Price by area: first, more, source")
    credits_per_image: Amount | Mapping[str, Amount] | None = Field(None, description="One number, or one per quality")
    usd_per_credit: Amount | None = Field(None, description="What one credit costs you")
    output_tokens: Mapping[str, int] = Field(
        {},
        description="Expected output tokens of one image, for estimates: by quality or resolution at 1024x1024"
        ' ("medium", "2K"), or by both quality and size ("medium 1536x1024")',
    )


class SizeRule(Frozen):
    """The sizes that a model accepts.

    fixed: one of ``allowed``.  free: any WxH within the bounds below, or one of ``allowed``.  ratio: a ratio of
    ``allowed``; a WxH that reduces to one is converted.  none: the provider takes no size.
    """

    mode: Literal["fixed", "free", "ratio", "none"] = "none"
    allowed: tuple[str, ...] = ()
    #: The bounds of free sizes; the defaults are OpenAI's for gpt-image-2 and later.
    step: int = Field(16, ge=1)  #: both edges are multiples of it
    edge_max: int = 3840
    shape_max: int = Field(3, ge=1)  #: the longer edge is at most so many times the shorter one
    pixels_min: int = 655_360
    pixels_max: int = 8_294_400


class ImageForm(Frozen):
    """How the JSON body of an edit names its source images; the default is OpenAI's."""

    one: str | None = None  #: the field of a single image; None: it is a list too
    many: str = "images"  #: the field of several images, which are a list
    #: The value of one image: {image} is the place of its URL or data URL.
    item: Literal["{image}"] | Mapping[str, str] = {"image_url": IMAGE}


class Rules(Frozen):
    """What one operation (generate or edit) of one model accepts."""

    path: str  #: a key of Profile.paths
    body: Literal["json", "multipart"] = "json"
    fields: tuple[str, ...] = ()  #: optional Task fields that may be sent: quality, background, ...
    refused: tuple[str, ...] = ()  #: ``extra`` keys that the provider is known to answer with an error
    defaults: Mapping[str, Any] = {}  #: required fields, with the value to send if the user set none
    names: Mapping[str, str] = {}  #: the provider's names of Task fields that it calls otherwise
    sends: Mapping[str, Any] = {}  #: further fields of every body; ``extra`` may set them otherwise
    values: Mapping[str, tuple[Any, ...]] = {}  #: allowed values by field, if the provider documents them
    size: SizeRule = SizeRule()
    n_max: int = 1  #: images one request may ask for
    prompt_max: int = 32_000  #: characters
    image_field: Literal["image", "image[]"] = "image[]"  #: multipart field name where there are several
    images: ImageForm = ImageForm()  #: the source images in a JSON body
    images_max: int = 16
    image_bytes_max: int = 50_000_000
    image_types: tuple[str, ...] = ("image/png", "image/jpeg", "image/webp")
    mask: bool = False
    mask_bytes_max: int = 4_000_000
    image_urls: bool = True  #: False: bytes only, so a URL is fetched first
    wire: str | None = None  #: the provider's name for this operation, where it has one besides the model's
    template: Mapping[str, Any] = {}  #: body in the dialect ``task``; empty: that of the profile


class ModeTerms(Frozen):
    """The terms of a mode other than the standard one."""

    factor: Amount  #: the price, as a multiple of the standard one
    total: float | None = Field(None, gt=0, le=86_400)  #: seconds for one whole call; None: as in the standard mode


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
    modes: Mapping[Mode, ModeTerms] = {}  #: in addition to the standard one

    @property
    def offered(self) -> tuple[Mode, ...]:
        """Return the modes in which calls for this model can be bought."""
        return (Mode.STANDARD, *self.modes)

    def rules(self, kind: Kind) -> Rules | None:
        """Return what this model accepts for *kind*; None if it does not support that."""
        return self.generate if kind is Kind.GENERATE else self.edit


class Retired(Frozen):
    """A model that a provider has withdrawn."""

    ends: str  #: the day on which it was withdrawn
    successor: str
