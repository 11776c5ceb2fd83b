"""Requests to providers and their results as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from .money import share


class Kind(StrEnum):
    """The kind of a job."""

    GENERATE = "generate"
    EDIT = "edit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A source image of an edit: a local file, the URL of an image on the web or in an object store, or a job's image.

    The image of another job has a path or a URL once that job is done; see ``engine.parents``.
    """

    path: str | None = None  #: absolute path of a local file
    url: str | None = None
    sha256: str | None = None  #: of the file when the plan was made; None for a URL
    etag: str | None = None  #: version of an object in an object store when the plan was made; None for others
    mime: str | None = None  #: of what is sent; by content, not by file name
    size_bytes: int | None = None
    copy: str | None = None  #: what is sent in place of the file: an upright copy, or one as jpeg or png
    #: What is done to an object that turns out to need it: "upright", "jpeg", "png", or "upright" and one of these.
    preparation: str | None = None
    job: str | None = None  #: id of the job of the same batch whose image it is
    number: int | None = None  #: which of that job's images, counted from 1
    version: str | None = None  #: fingerprint of that job when the plan was made

    @property
    def name(self) -> str:
        """Return what to show: ``@job``, the URL or the path."""
        return self.shown(str)

    def shown(self, show_path: Callable[[str], str]) -> str:
        """Return what to show: ``@job``, the URL, or the path as *show_path* writes it."""
        if self.job is None:
            return self.url or show_path(self.path or "")
        return f"@{self.job}#{self.number}" if (self.number or 1) > 1 else f"@{self.job}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One request to one provider. None means that the provider's default applies."""

    kind: Kind
    prompt: str
    provider: str  #: the provider's name in the manifest
    model: str  #: the canonical model name ("gpt-image-2")
    images: tuple[Source, ...] = ()
    mask: Source | None = None
    n: int = 1  #: number of images
    size: str | None = None  #: as the user wrote it: "1024x1024", "16:9", "auto"
    quality: str | None = None
    resolution: str | None = None
    background: str | None = None
    output_format: str | None = None
    output_compression: int | None = None
    moderation: str | None = None
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)  #: sent unchanged

    @property
    def sources(self) -> tuple[Source, ...]:
        """Return all source images, the mask last."""
        return self.images if self.mask is None else (*self.images, self.mask)

    @property
    def weight(self) -> int:
        """Return how many images the request counts as under a limit on images: source images count too."""
        return self.n + len(self.images)


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Usage stated in an answer. None means that the answer does not state it; it never means 0."""

    images: int = 0  #: images that arrived
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_text_tokens: int | None = None  #: part of input_tokens, if the answer splits them
    input_image_tokens: int | None = None
    output_text_tokens: int | None = None
    output_image_tokens: int | None = None
    usd: int | None = None  #: nano-USD stated by the provider
    credits: int | None = None  #: milli-credits stated by the provider
    tier: str | None = None  #: the price tier in which the call was carried out, in lower case: "flex", "standard"

    @property
    def stated(self) -> bool:
        """Return whether the answer states anything from which a price can be computed."""
        return any(figure is not None for figure in (self.usd, self.credits, self.input_tokens, self.output_tokens))


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """The bytes of one image as the provider sent them; ``files.images`` examines them."""

    data: bytes
    revised_prompt: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """A delivered file. ``path`` is relative to the working folder, or absolute if it is outside of it."""

    ordinal: int  #: 0 for a job's first image
    path: str
    sha256: str
    size_bytes: int
    width: int
    height: int
    mime: str


class Basis(StrEnum):
    """The source of a charge's USD figure, most trusted first."""

    REPORTED = "reported"  #: USD as stated in the answer
    PRICED = "priced"  #: credits x rate, tokens x table, or a documented price per image
    ESTIMATED = "estimated"  #: estimated before sending
    UNKNOWN = "unknown"  #: no price is known; this never means 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Charge:
    """The cost of one attempt: nano-USD and milli-credits; None is unknown (or, for credits, not used)."""

    usd: int | None
    credits: int | None
    basis: Basis
    #: What the same answer costs in the standard mode, by the price list; None: it was bought so, or that is not known.
    standard_usd: int | None = None

    def share(self, number: int, index: int) -> Charge:
        """Return the part that the image *index* of *number* bears; the parts add up exactly."""
        amounts = (self.usd, self.credits, self.standard_usd)
        usd, credits_, standard_usd = (share(amount, number, index) for amount in amounts)
        return replace(self, usd=usd, credits=credits_, standard_usd=standard_usd)


#: The cost is not known.
UNPRICED = Charge(usd=None, credits=None, basis=Basis.UNKNOWN)
#: It cost nothing, which is certain.
NOTHING = Charge(usd=0, credits=None, basis=Basis.PRICED)
