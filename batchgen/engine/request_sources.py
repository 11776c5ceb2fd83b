"""Source images of requests, in the form in which their provider takes them: as files, or uploaded, as addresses."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from anyio import Lock

from ..files.source_cache import SourceCache
from ..providers.base import Call, Reply, Request
from ..providers.model import Rules
from ..providers.source_upload import upload, upload_rules
from ..task import Source, Task
from .parents import require_fitting

#: The part of an address's lifetime in which submissions name it: the provider may fetch the file much later.
USABLE = 0.5
#: It runs on in suspend, as the lifetime does.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


async def with_files(task: Task, rules: Rules | None, provider: str, inputs: SourceCache) -> Task:
    """Return *task* with the images that are sent; raise ProviderError (invalid) if one has changed or does not fit.

    Raises StopWaiting if the run ends first, and StoreError if an object store fails.
    """
    await inputs.require_unchanged(task)
    task = await inputs.with_objects(await inputs.with_copies(task))
    if rules is not None and not rules.image_urls:
        task = await inputs.with_local_files(task)
    require_fitting(task, rules, provider)
    return task


@dataclass(slots=True)
class _File:
    """A file at a provider."""

    address: str = ""
    usable_until: float = float("-inf")
    turn: Lock = field(default_factory=Lock)  #: many calls may need the same file at once


@dataclass(kw_only=True, slots=True)
class SourceUploads:
    """The source images that a run has uploaded: each once for an account, and again before its address expires."""

    clock: Callable[[], float] = lambda: time.clock_gettime(_CLOCK)
    _files: dict[tuple[str, str | None, str], _File] = field(default_factory=dict)

    async def with_addresses(
        self, request: Request, account: str | None, ask: Callable[[Call], Awaitable[Reply]]
    ) -> Request:
        """Return *request* with an address for every local image, if its provider wants these.

        *ask* sends a free call with the key of *account*. Raises ProviderError if an upload fails: nothing was sent.
        """
        rules, task = upload_rules(request), request.task
        if rules is None:
            return request

        async def uploaded(source: Source) -> Source:
            if source.path is None:
                return source
            key = request.profile.name, account, source.sha256 or source.path
            file = self._files.setdefault(key, _File())
            async with file.turn:
                if (now := self.clock()) >= file.usable_until:
                    file.address = await _upload(request, source, ask)
                    file.usable_until = now + rules.lifetime * USABLE
            return replace(source, path=None, url=file.address)

        images = tuple([await uploaded(source) for source in task.images])
        mask = None if task.mask is None else await uploaded(task.mask)
        return replace(request, task=replace(task, images=images, mask=mask))


async def _upload(request: Request, source: Source, ask: Callable[[Call], Awaitable[Reply]]) -> str:
    """Upload a file and return its address."""
    talk = upload(request, source)
    call = next(talk)
    while True:
        reply = await ask(call)
        try:
            call = talk.send(reply)
        except StopIteration as end:
            address: str = end.value
            return address
