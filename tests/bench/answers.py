"""What one answer of 3.5 MB costs once it is here: read, check, keep."""

from __future__ import annotations

import base64
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import anyio
from PIL import Image

from batchgen.engine.executor import Executor
from batchgen.engine.readers import Readers
from batchgen.files.images import examine
from batchgen.files.output import publish
from batchgen.files.slot import Slot
from batchgen.files.source_cache import SourceCache
from batchgen.files.spool import Spool
from batchgen.job import Attempt, Delivered
from batchgen.providers import dialect
from batchgen.providers.base import Call, Generation, Reply, Request
from batchgen.providers.presets import profile
from batchgen.providers.profile import Profile
from batchgen.ready import Ready
from batchgen.task import Kind, Task
from batchgen.transport import ResponseHead, Transport

from .apart import apart
from .figures import Row, rows
from .meter import Meter
from .pictures import answer
from .settings import Settings

_PIECE = 64 * 1024
_HEADERS = {"content-type": "application/json"}
_TASK = Task(kind=Kind.GENERATE, prompt="a red cube", provider="openai", model="gpt-image-2", size="1024x1024")
_HOW = {
    "naive": "json, base64, write",
    "checked": "the same, and Pillow decodes the image",
    "batchgen": "batchgen: Executor.run",
    "spool": "- of it: spool and seal",
    "reading": "- of it: JSON and base64",
    "examining": "- of it: image check",
    "publishing": "- of it: publish with two syncs",
}


def answers(settings: Settings) -> list[Row]:
    """One answer at a time, by a naive loop and by batchgen, with batchgen's steps."""
    cases = {}
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small.json"), Path(folder, "large.json")
        small.write_bytes(answer(64))
        large.write_bytes(answer(64 if settings.short else 1024))
        for way, how in _HOW.items():
            took = apart(measure, way=way, small=str(small), large=str(large), count=4 if settings.short else 40)
            cases[how] = {
                "speed": (took["per_second"], "answers/s"),
                "cpu": (took["cpu_ms"], "ms/answer"),
                "space": (took["peak_mb"], "MB"),
            }
    return rows("one 3.5 MB answer at a time", cases)


def measure(way: str, small: str, large: str, count: int) -> dict[str, float]:
    """Take *count* answers of the file *large* one after the other; a small one first, so that all is loaded."""
    with tempfile.TemporaryDirectory() as folder:
        warm, pieces = _pieces(small), _pieces(large)
        if way == "batchgen":
            return anyio.run(_batchgen, Path(folder), warm, pieces, count)
        _WAYS[way](Path(folder), warm)(count)
        one = _WAYS[way](Path(folder), pieces)
        with Meter() as meter:
            for number in range(count):
                one(number)
    return meter.took(count)


def _pieces(path: str) -> list[bytes]:
    with Path(path).open("rb") as file:
        return list(iter(lambda: file.read(_PIECE), b""))


def _naive(folder: Path, pieces: list[bytes]) -> Callable[[int], object]:
    def one(number: int) -> bytes:
        document = json.loads(b"".join(pieces))
        data = base64.b64decode(document["data"][0]["b64_json"])
        (folder / f"{number}.png").write_bytes(data)
        return data

    return one


def _checked(folder: Path, pieces: list[bytes]) -> Callable[[int], object]:
    naive = _naive(folder, pieces)
    return lambda number: Image.open(io.BytesIO(cast("bytes", naive(number)))).load()


def _spool(folder: Path, pieces: list[bytes]) -> Callable[[int], object]:
    spool = Spool(folder / "spool")

    def one(number: int) -> None:
        with spool.open(f"{number:032x}", {}, 4_000_000) as slot:
            _arrive(slot, pieces)
            slot.seal()
            slot.sync()
        spool.release(f"{number:032x}", delivered=True)

    return one


def _reading(_: Path, pieces: list[bytes]) -> Callable[[int], object]:
    known = profile("openai")
    request = Request(task=_TASK, profile=known, model=known.find(_TASK.model)[1], attempt_id="0" * 32)
    reply = Reply(status=200, headers=_HEADERS, body=b"".join(pieces))

    def one(_: int) -> Generation:
        conversation = dialect("openai_images").converse(request)
        next(conversation)
        try:
            conversation.send(reply)
        except StopIteration as end:
            return cast("Generation", end.value)
        raise AssertionError("the dialect asks for more")

    return one


def _examining(_: Path, pieces: list[bytes]) -> Callable[[int], object]:
    data = _image(pieces)
    return lambda _: examine(data)


def _publishing(folder: Path, pieces: list[bytes]) -> Callable[[int], object]:
    data = _image(pieces)
    return lambda number: publish(folder, f"{number}.png", data)


def _image(pieces: list[bytes]) -> bytes:
    return base64.b64decode(json.loads(b"".join(pieces))["data"][0]["b64_json"])


_WAYS: dict[str, Callable[[Path, list[bytes]], Callable[[int], object]]] = {
    "naive": _naive,
    "checked": _checked,
    "spool": _spool,
    "reading": _reading,
    "examining": _examining,
    "publishing": _publishing,
}


def _arrive(slot: Slot, pieces: list[bytes]) -> ResponseHead:
    slot.keep_head(200, _HEADERS)
    for piece in pieces:
        slot.write(piece)
    return ResponseHead(status=200, headers=_HEADERS)


@dataclass(frozen=True, slots=True)
class _Canned:
    """A transport and its client: the answer is here at once."""

    profile: Profile
    pieces: list[bytes]

    def client(self, _: str, __: str | None = None, ___: Profile | None = None) -> _Canned:
        return self

    async def send(self, _: Call, slot: Slot, __: float, ready: Ready) -> ResponseHead:
        await ready()
        head = _arrive(slot, self.pieces)
        slot.seal()
        return head


async def _batchgen(folder: Path, warm: list[bytes], pieces: list[bytes], count: int) -> dict[str, float]:
    spool, readers = Spool(folder / "spool"), Readers(2)

    async def one(number: int, coming: list[bytes]) -> None:
        workshop = Executor(
            transport=cast("Transport", _Canned(profile("openai"), coming)),
            spool=spool,
            inputs=SourceCache(folder / "inputs", spool, cast("Any", None)),
            root=folder,
            readers=readers,
            alarm=_refuse,
        )
        outcome = await workshop.run(_attempt(folder, number), _at_once)
        assert isinstance(outcome, Delivered), outcome
        spool.release(f"{number:032x}", delivered=True)

    await one(count, warm)
    with Meter() as meter:
        for number in range(count):
            await one(number, pieces)
    readers.close()
    return meter.took(count)


async def _at_once() -> None:
    """Let a request go."""


def _refuse(error: OSError) -> None:
    raise error


def _attempt(folder: Path, number: int) -> Attempt:
    return Attempt(
        id=f"{number:032x}",
        job_id=number,
        claim=1,
        batch="bench",
        key=f"job-{number}",
        task=_TASK,
        fingerprint="1:0",
        folder=str(folder / "output"),
        output=f"job-{number}",
    )
