"""The contract of a dialect: a conversation, without the telephone.

A dialect yields the calls it wants made and is sent the replies; it returns a Generation or raises a
ProviderError.  It never opens a socket, reads a file, sleeps or asks the time, so a test plays the other
side with plain values.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..fault import Fault
from ..task import Picture, Source, Task, Usage
from .profile import Model, Profile


@dataclass(frozen=True, kw_only=True, slots=True)
class DataUrl:
    """Stands in a JSON body where the data URL of a local image belongs; transport writes it while sending."""

    source: Source


@dataclass(frozen=True, kw_only=True, slots=True)
class FilePart:
    """One file of a multipart body."""

    name: str  #: the field: "image", "image[]", "mask"
    source: Source
    filename: str
    mime: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One HTTP request, as data.  ``json`` may hold DataUrl values; else ``form`` and ``files`` make a multipart."""

    method: str
    url: str  #: absolute
    json: Mapping[str, Any] | None = None
    form: tuple[tuple[str, str], ...] = ()
    files: tuple[FilePart, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    billed: bool = True  #: False: repeating it is free (a download of a result)
    signed: bool = True  #: False: goes without the key, through the bare client
    patience: float | None = None  #: seconds for which a download is tried; None: as long as the profile says


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One HTTP response.  Header names are lower case; the body is whole, or all that came before it broke off."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    broken: str | None = None  #: why it broke off before its end, where it did


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """A provider's answer, read: at least one picture, and what it used."""

    pictures: tuple[Picture, ...]
    usage: Usage
    text: str | None = None  #: words that came beside the picture
    note: str | None = None  #: what went wrong beside the pictures that came
    shortfall: Fault | None = None  #: why the provider made fewer pictures than were asked for, where it says so


Conversation = Generator[Call, Reply, Generation]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """All a dialect needs to speak for one attempt.  The task has passed ``fit.check`` for this model."""

    task: Task
    profile: Profile
    model: Model
    attempt_id: str  #: sent as the client's request id where the profile names a header for it


class Dialect(Protocol):
    """One wire format."""

    def converse(self, request: Request) -> Conversation:
        """Carry one attempt; raise ProviderError with the fault and any usage the answer stated."""
        ...
