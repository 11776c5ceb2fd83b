"""Publication: the complete images of an answer become files, with their sidecars. Runs in a reader's thread."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..fault import ProviderError
from ..files import output
from ..files.images import DamagedImageError, ImageInfo, UnknownFormatError, examine
from ..files.object_tree import ObjectTree
from ..files.sidecar import describe
from ..files.tree_file import Label
from ..job import Attempt, Delivered
from ..object_url import Folder, parse_folder, stored_path
from ..planning.override_marks import note_of
from ..providers.base import Generation
from ..providers.pricing import charge
from ..providers.validation import as_sent
from ..task import Artifact, Charge, Picture, Usage
from .exchange import Exchange, spoiled_fault


@dataclass(frozen=True, slots=True)
class _CompleteImage:
    """A complete image and what its file states."""

    picture: Picture
    facts: ImageInfo


def publish(exchange: Exchange, generation: Generation, root: Path, *, sandbox: bool) -> Delivered:
    """Publish the images of an answer on disk, or add them to the uploads of *exchange*; return the outcome.

    Raises ProviderError if no image is complete.
    """
    attempt, exchange.usage = exchange.attempt, generation.usage
    cost = charge(generation.usage, attempt.task, exchange.model, attempt.mode)
    images: list[_CompleteImage] = []
    damages: list[DamagedImageError] = []
    for number, picture in enumerate(generation.pictures):
        try:
            images.append(_CompleteImage(picture, examine(picture.data)))
        except DamagedImageError as error:
            damages.append(_keep_beside(exchange, attempt.ordinal + number, picture, error))
    sent = replace(attempt, task=as_sent(attempt.task, exchange.model))
    files = _Files(exchange, sent, generation.usage, cost, images, root, sandbox)
    artifacts = [files.publish(index) for index in range(len(images))]
    if not artifacts:
        raise ProviderError(spoiled_fault(damages), generation.usage)
    return Delivered(
        artifacts=tuple(artifacts),
        usage=generation.usage,
        charge=cost,
        text=generation.text,
        note="; ".join(filter(None, [generation.note, *map(str, damages)])) or None,
        shortfall=generation.shortfall or (spoiled_fault(damages) if damages else None),
        request_id=exchange.request_id,
        limit=exchange.limit,
    )


def _keep_beside(exchange: Exchange, ordinal: int, picture: Picture, error: DamagedImageError) -> DamagedImageError:
    """Keep a picture that cannot be decoded here in the output folder; return *error* with its name."""
    if not isinstance(error, UnknownFormatError):
        return error
    name, folder = exchange.attempt.file_name(ordinal, error.extension), parse_folder(exchange.attempt.folder)
    _put(exchange, folder, name, picture.data, durable=True)
    return UnknownFormatError(f"{error}; it is kept as {folder / name}", error.extension)


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of one answer."""

    exchange: Exchange
    attempt: Attempt  #: with the task as it was sent
    usage: Usage
    cost: Charge
    images: Sequence[_CompleteImage]
    root: Path
    sandbox: bool

    def publish(self, index: int) -> Artifact:
        """Publish one image with its sidecar, and return what the job database keeps of it."""
        attempt = self.attempt
        picture, facts = self.images[index].picture, self.images[index].facts
        ordinal = attempt.ordinal + index
        name, folder = attempt.file_name(ordinal, facts.extension), parse_folder(attempt.folder)
        artifact = Artifact(
            ordinal=ordinal,
            path=stored_path(folder / name, self.root),
            sha256=hashlib.sha256(picture.data).hexdigest(),
            size_bytes=len(picture.data),
            width=facts.width,
            height=facts.height,
            mime=facts.mime,
        )
        sidecar = self._sidecar(artifact, picture, index) if attempt.sidecar else None
        _put(self.exchange, folder, name, picture.data, sidecar, sha256=artifact.sha256)
        return artifact

    def _sidecar(self, artifact: Artifact, picture: Picture, index: int) -> bytes:
        share, note = self.cost.share(len(self.images), index), note_of(self.attempt.fingerprint)
        return describe(
            self.attempt, artifact, picture, self.usage, self.cost, share=share, sandbox=self.sandbox, note=note
        )


def _put(
    exchange: Exchange,
    folder: Folder,
    name: str,
    data: bytes,
    sidecar: bytes | None = None,
    *,
    sha256: str | None = None,
    durable: bool = False,
) -> None:
    """Write a file on disk; one for an object store is only prepared: it is uploaded from the event loop."""
    if exchange.aside:
        name, durable = output.name_aside(name, sha256 or hashlib.sha256(data).hexdigest()), True
    if isinstance(folder, Path):
        output.publish(folder, name, data, sidecar=sidecar, durable=durable)
        return
    label = Label(job=exchange.attempt.key, attempt=exchange.attempt.id)
    exchange.uploads.append(ObjectTree(folder).upload(name, data, sha256=sha256, sidecar=sidecar, label=label))
