"""What is asked of a provider and what comes back: plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a job does."""

    GENERATE = "generate"
    EDIT = "edit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """An image that an edit starts from: a local file or an https URL, exactly one of the two."""

    path: str | None = None  #: absolute path of a local file
    url: str | None = None
    sha256: str | None = None  #: of the file's bytes when the plan was made; None for a URL
    mime: str | None = None  #: by content, not by name
    size_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One request to one provider.  None means: the user said nothing, the provider's default applies."""

    kind: Kind
    prompt: str
    provider: str  #: the provider's name in the manifest
    model: str  #: the canonical model name ("gpt-image-2")
    images: tuple[Source, ...] = ()
    mask: Source | None = None
    n: int = 1  #: images wanted from this request
    size: str | None = None  #: as the user wrote it: "1024x1024", "16:9", "auto"
    quality: str | None = None
    resolution: str | None = None
    background: str | None = None
    output_format: str | None = None
    output_compression: int | None = None
    moderation: str | None = None
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)  #: goes to the wire as it is


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What an answer says it used.  None means the answer did not say; it never means 0."""

    images: int = 0  #: images that came
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_text_tokens: int | None = None  #: part of input_tokens, where the answer splits them
    input_image_tokens: int | None = None
    output_text_tokens: int | None = None
    output_image_tokens: int | None = None
    usd: int | None = None  #: nano-USD stated by the provider
    credits: int | None = None  #: milli-credits stated by the provider

    @property
    def stated(self) -> bool:
        """Return whether the answer said anything that a price can be made from."""
        return any(known is not None for known in (self.usd, self.credits, self.input_tokens, self.output_tokens))


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """The bytes of one image as the provider sent them; what they are is for ``images`` to find out."""

    data: bytes
    revised_prompt: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """A delivered file.  ``path`` is relative to the working folder, or absolute where it lies outside of it."""

    ordinal: int  #: 0 for a job's first image
    path: str
    sha256: str
    size_bytes: int
    width: int
    height: int
    mime: str


class Basis(StrEnum):
    """Where a charge's USD figure comes from, most trusted first."""

    REPORTED = "reported"  #: USD stated in the answer
    PRICED = "priced"  #: credits x rate, tokens x table, or a documented price per image
    ESTIMATED = "estimated"  #: the estimate made before sending
    UNKNOWN = "unknown"  #: no price is known; never 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Charge:
    """What one attempt cost: nano-USD and milli-credits; None is unknown (or, for credits, not used)."""

    usd: int | None
    credits: int | None
    basis: Basis


#: Nobody knows what it cost.
UNPRICED = Charge(usd=None, credits=None, basis=Basis.UNKNOWN)
#: It is known to have cost nothing.
NOTHING = Charge(usd=0, credits=None, basis=Basis.PRICED)
