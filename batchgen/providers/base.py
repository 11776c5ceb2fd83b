"""The dialect protocol: a wire format as a generator that does no I/O.

A dialect yields steps: a Call is answered with a Reply; Remember and Wait are answered with None. It returns a
Generation or raises a ProviderError. It never opens a socket, reads a file, sleeps or reads the clock, so a test can
drive it with plain values.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..fault import Fault
from ..mode import Mode
from ..task import Picture, Source, Task, Usage
from .model import Model
from .profile import Profile


@dataclass(frozen=True, kw_only=True, slots=True)
class DataUrl:
    """Placeholder for the data URL of a local image in a JSON body; transport fills it in while sending."""

    source: Source
    bare: bool = False  #: only the base64, without "data:image/png;base64,"


@dataclass(frozen=True, kw_only=True, slots=True)
class FilePart:
    """One file of a multipart body."""

    name: str  #: the form field: "image", "image[]", "mask"
    source: Source
    filename: str
    mime: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One HTTP request, as data.

    The body is ``json``, with DataUrl values, or ``form`` and ``files`` as multipart, or the bytes of a file.
    """

    method: str
    url: str  #: absolute
    json: Mapping[str, Any] | None = None
    form: tuple[tuple[str, str], ...] = ()
    files: tuple[FilePart, ...] = ()
    file: Source | None = None  #: a local file that is the body as it is
    headers: Mapping[str, str] = field(default_factory=dict)
    billed: bool = True  #: False: repeating it is free (a poll, or a download of a result)
    signed: bool = True  #: False: sent without the key, to public addresses only; signed and not billed is a poll
    patience: float | None = None  #: seconds for which a download is tried; None: those of the profile


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One HTTP response. Header names are lower case; the body is complete, or as much as came before it broke off."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    broken: str | None = None  #: why it broke off before its end, if it did


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """A successful answer: at least one image, and the usage."""

    pictures: tuple[Picture, ...]
    usage: Usage
    text: str | None = None  #: text that came with the images
    note: str | None = None  #: what went wrong in spite of the images that came
    shortfall: Fault | None = None  #: why there are fewer images than were requested, if the answer explains it


@dataclass(frozen=True, kw_only=True, slots=True)
class Remember:
    """The handle of a remote task; it is committed to the attempt before the next step.

    After it no outcome leads to another purchase by itself: whatever happens to this program, the task is polled.
    """

    handle: Mapping[str, Any]  #: JSON values that later calls need; no key
    patience: float  #: seconds after the submission for which a run polls for the result


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """A pause before the next poll. It holds neither a connection nor a place under a rate limit."""

    seconds: float


Step = Call | Remember | Wait
#: A Call is answered with a Reply, or with an error that is thrown in; Remember and Wait are answered with None.
Conversation = Generator[Step, Any, Generation]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Everything a dialect needs for one attempt. The task has passed ``validation.check`` for this model."""

    task: Task
    profile: Profile
    model: Model
    attempt_id: str  #: sent as the client's request id if the profile has a header for it
    mode: Mode = Mode.STANDARD
    handle: Mapping[str, Any] | None = None  #: of a task that an earlier run submitted: it is polled, not submitted


class Dialect(Protocol):
    """One wire format.

    A dialect that yields Remember has an attribute ``remembers`` that is true, and may have a method ``cancellation``
    (see ``providers.cancellation``). With ``Request.handle`` its first step is Remember all the same, with that handle.
    """

    def converse(self, request: Request) -> Conversation:
        """Make one attempt; raise ProviderError with the fault and any usage that the answer states."""
        ...
