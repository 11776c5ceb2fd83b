"""Rules of the dialect ``task``: how a provider takes, reports and delivers remote tasks, as data.

A *path* leads into an answer: ``data.urls.get``, with ``[]`` for every item of a list and ``[0]`` for one. Where it
meets a text that holds JSON, it leads on into that. An *address* is a path to a URL in the answer to the submission,
or a URL with ``{id}``, which begins with ``/`` (after ``base_url``) or ``https://``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ..errors import suggest
from ..fault import Charged
from .model import Frozen

#: Most source images that have a placeholder of their own.
NUMBERED_IMAGES = 16
#: Names of placeholders, which a body has in braces.
PLACEHOLDERS = frozenset(
    [
        "attempt_id",
        "background",
        "height",
        "image",
        "images",
        "mask",
        "model",
        "moderation",
        "n",
        "output_compression",
        "output_format",
        "prompt",
        "quality",
        "resolution",
        "seed",
        "size",
        "width",
    ]
) | {f"image_{number}" for number in range(1, NUMBERED_IMAGES + 1)}
PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")

_STEP = r"(?:[A-Za-z0-9_-]+(?:\[\d{0,4}\])?|\[\d{0,4}\])"
_PATH = re.compile(rf"{_STEP}(?:\.{_STEP})*")
_HOST = re.compile(r"https://[^/]*")
_ADDRESS = re.compile(r"(?:https://[^\s{}]+|/)[^\s{}]*(?:\{id\}[^\s{}]*)*")


def _path(text: str) -> str:
    if _PATH.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a path into an answer; write one such as data.urls.get or images[].url")
    return text


def _address(text: str) -> str:
    if text.startswith(("/", "http")):
        if _ADDRESS.fullmatch(text) is None:
            raise ValueError(f"{text!r} is not an address; it begins with / or https:// and may contain {{id}}")
        return text
    return _path(text)


def is_template(address: str) -> bool:
    """Return whether *address* is a URL with a placeholder, not a path into the answer."""
    return address.startswith(("/", "https://"))


def _answer(value: object) -> object:
    # YAML 1.1 reads no and yes as booleans.
    return {False: "no", True: "yes"}.get(value, value) if isinstance(value, bool) else value


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def check_body(body: Mapping[str, Any]) -> None:
    """Raise ValueError for a placeholder that does not exist."""
    for name in names_in(body):
        if name not in PLACEHOLDERS:
            raise ValueError(f"there is no placeholder {{{name}}}; {suggest(name, sorted(PLACEHOLDERS))}")


def names_in(body: object) -> Iterator[str]:
    """Yield the names of all placeholders in *body*."""
    if isinstance(body, str):
        yield from PLACEHOLDER.findall(body)
    elif isinstance(body, Mapping):
        for value in body.values():
            yield from names_in(value)
    elif isinstance(body, list | tuple):
        for value in body:
            yield from names_in(value)


PathText = Annotated[str, AfterValidator(_path)]
PathList = Annotated[tuple[PathText, ...], BeforeValidator(_one_or_more)]
Address = Annotated[str, AfterValidator(_address)]
Words = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]
Answer = Annotated[Charged, BeforeValidator(_answer)]


class Submission(Frozen):
    """The paid call."""

    body: Mapping[str, Any] = Field({}, description="JSON body with placeholders; one without a value is left out")
    extra: PathText | None = Field(
        None, description="Object of the body that takes a job's extra and the fields without a placeholder"
    )
    images: Literal["data_url", "base64", "url", "upload"] = Field(
        "data_url", description="Form of local source images; url: only images on the web; upload: see upload"
    )
    headers: Mapping[str, str] = Field({}, description="Headers of the call, besides the one with the key")

    @model_validator(mode="after")
    def _known(self) -> Self:
        check_body(self.body)
        return self


class UploadRules(Frozen):
    """Where local source images are uploaded, which is free; the submission holds their addresses."""

    url: Address = Field(description="Where a file is posted to, as multipart: begins with / or https://")
    field: str = Field("file", description="Form field of the file")
    form: Mapping[str, str] = Field({}, description="Other form fields")
    address: PathText = Field(description="The address of the file in the answer")
    lifetime: float = Field(3600, gt=0, description="Seconds for which the address works")

    @model_validator(mode="after")
    def _absolute(self) -> Self:
        if not is_template(self.url) or "{id}" in self.url:
            raise ValueError(f"url {self.url!r} must begin with / or https://, without {{id}}")
        return self


class HandleRules(Frozen):
    """What is kept of the answer to the submission."""

    id: PathText = Field(description="Id of the task")
    status: Address = Field(description="Where its state is asked for")
    result: Address | None = Field(None, description="Where its result is, if the state does not come with it")
    cancel: Address | None = Field(None, description="Where it is cancelled")
    cancel_method: Literal["POST", "PUT"] = Field("POST", description="Method of the cancellation")


class PollRules(Frozen):
    """How the state of a task is asked for."""

    state: PathText = Field(description="The state in the answer")
    first_wait: float = Field(
        2, ge=0, le=3600, description="Seconds before the first poll; each wait is half as long again"
    )
    max_wait: float = Field(15, gt=0, le=3600, description="Longest wait between two polls, in seconds")
    patience: float = Field(
        1200, gt=0, le=604_800, description="Seconds after the submission for which a run waits for the result"
    )
    lost_after: float = Field(
        120, ge=0, le=86_400, description="Seconds for which polls must not find the task before it counts as lost"
    )


class StateWords(Frozen):
    """The provider's words for the states of a task, in any case; an unlisted one counts as pending."""

    pending: Words = Field((), description="It waits or runs")
    done: Words = Field(min_length=1, description="Its result is there")
    failed: Words = Field((), description="It failed")
    refused: Words = Field((), description="Content rules refused it")
    cancelled: Words = Field((), description="It was cancelled")
    lost: Words = Field((), description="The provider no longer knows it")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        meanings: dict[str, str] = {}
        for meaning in type(self).model_fields:
            for word in getattr(self, meaning):
                if meanings.setdefault(word.lower(), meaning) != meaning:
                    raise ValueError(f"{word!r} is in both {meanings[word.lower()]} and {meaning}")
        return self

    def meaning(self, word: str) -> str | None:
        """Return the name of the field that has *word*; None if no field has it."""
        names = type(self).model_fields
        return next((name for name in names if word.lower() in map(str.lower, getattr(self, name))), None)


class ResultRules(Frozen):
    """Where the images of a task are."""

    images: PathList = Field(description="URLs, data URLs or base64 of the images; of several paths, all")
    lifetime: float | None = Field(None, gt=0, description="Seconds for which the provider keeps a result")


class CostRules(Frozen):
    """Where an answer states the cost."""

    path: PathText = Field(description="The amount")
    unit: Literal["usd", "credits"] = Field("usd", description="Its unit; credits are priced by the tariff")
    answer: Literal["submission", "status", "result"] = Field("status", description="The answer that states it")


class ErrorRules(Frozen):
    """Where an answer states why a task failed, and what its words mean."""

    status: PathText | None = Field(None, description="HTTP status in the body, for errors that come with HTTP 200")
    code: PathList = Field((), description="Code of the error; of several paths, the first with a value")
    message: PathList = Field((), description="Message of the error; of several paths, the first with a value")
    refused: Words = Field((), description="Words in code or message of a refusal by content rules")
    invalid: Words = Field((), description="Words in code or message of a wrong request")
    money: Words = Field((), description="Words in code or message of an account without money")
    lost: Words = Field((), description="Words in code or message of a poll for a task that is not there")
    free: Words = Field((), description="Words in code or message of a failure that is never charged")


class ChargedWhen(Frozen):
    """Whether a task without a result is charged: no, yes or maybe."""

    failed: Answer = Field(Charged.MAYBE, description="A failed task")
    refused: Answer = Field(Charged.MAYBE, description="A refused task")
    cancelled: Answer = Field(Charged.MAYBE, description="A cancelled task")


class TaskRules(Frozen):
    """Everything that the dialect ``task`` needs to know about a provider."""

    submit: Submission = Field(default_factory=Submission, description="The paid call")
    upload: UploadRules | None = Field(None, description="Where source images are uploaded, for submit.images: upload")
    handle: HandleRules = Field(description="What is kept of its answer")
    poll: PollRules = Field(description="How the state is asked for")
    states: StateWords = Field(description="The provider's words for states")
    result: ResultRules = Field(description="Where the images are")
    cost: CostRules | None = Field(None, description="Where the cost is stated")
    errors: ErrorRules = Field(default_factory=ErrorRules, description="Where the reason of a failure is stated")
    charged_when: ChargedWhen = Field(
        default_factory=ChargedWhen, description="Whether a task without a result is charged"
    )

    @model_validator(mode="after")
    def _uploads(self) -> Self:
        if (self.submit.images == "upload") != (self.upload is not None):
            raise ValueError("submit.images: upload and the setting upload go together")
        return self

    def below_base_url(self) -> Self:
        """Return these rules with every address below ``base_url``, for a server that plays the provider."""
        handle = self.handle.model_copy(update=_paths(self.handle, "status", "result", "cancel"))
        upload = self.upload and self.upload.model_copy(update=_paths(self.upload, "url"))
        return self.model_copy(update={"handle": handle, "upload": upload})


def _paths(rules: Frozen, *names: str) -> dict[str, str]:
    """Return the path of each address *names* of *rules* that has a host."""
    addresses = {name: getattr(rules, name) or "" for name in names}
    return {name: _HOST.sub("", text) or "/" for name, text in addresses.items() if text.startswith("https://")}
