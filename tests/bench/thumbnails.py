"""What thumbnails cost: one picture, a folder of them on every core, and the search for near duplicates."""

from __future__ import annotations

import hashlib
import random
import resource
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from batchgen.files.images.thumbnail import make_thumbnail
from batchgen.files.thumbnail_pool import examine_all
from batchgen.files.thumbnails import PictureFile
from batchgen.planning.resemblance import Look, pairs
from batchgen.planning.suspects import NEAR

from .apart import apart
from .figures import Row, rows
from .pictures import picture
from .settings import Settings


def thumbnails(settings: Settings) -> list[Row]:
    """Take 1024 x 1024 pixels as PNG, JPEG and WebP, then many PNGs, then looks of pictures that share most bands."""
    found: list[Row] = []
    side, count = (64, 3) if settings.short else (1024, 15)
    for kind in ("PNG", "JPEG", "WEBP"):
        took = apart(one, kind=kind, side=side, count=count)
        what = f"thumbnail: 1024 x 1024 {kind}, {took['megabytes']:.1f} MB"
        found += rows(what, {"batchgen": {"cpu": (took["cpu"], "ms/image")}})
    many = 20 if settings.short else 400
    took = apart(folder, side=side, count=many)
    measures = {"speed": (took["speed"], "images/s"), "cpu": (took["cpu"], "ms/image")}
    found += rows(f"thumbnails: {many} PNG on every core", {"batchgen": measures})
    many = 1_000 if settings.short else 50_000
    took = apart(near, count=many)
    return found + rows(f"near duplicates among {many:,}", {"batchgen": {"cpu": (took["cpu"], "s")}})


def one(kind: str, side: int, count: int) -> dict[str, float]:
    """Return the median CPU milliseconds of one thumbnail with its facts."""
    data = picture(kind, side)
    times = [1000 * _cpu(lambda: make_thumbnail(data, "0" * 64)) for _ in range(count)]
    return {"cpu": median(times), "megabytes": len(data) / 1e6}


def folder(side: int, count: int) -> dict[str, float]:
    """Return images a second, and the CPU of all processes, their start included."""
    with TemporaryDirectory() as name:
        root = Path(name)
        (root / "thumbs").mkdir()
        data = picture("PNG", side)
        files = []
        for number in range(count):
            content = data + number.to_bytes(4, "big")  # after the end of the PNG, so that every hash is another
            (root / f"{number}.png").write_bytes(content)
            files.append(PictureFile(path=root / f"{number}.png", sha256=hashlib.sha256(content).hexdigest()))
        before, began = _children(), perf_counter()
        own = process_time()
        assert len(list(examine_all(files, root))) == count
        cpu = _children() - before + process_time() - own
        return {"speed": count / (perf_counter() - began), "cpu": 1000 * cpu / count}


def near(count: int) -> dict[str, float]:
    """Return the CPU seconds of the search among objects on a white ground."""
    dice = random.Random(1)
    looks = [_on_white(dice) for _ in range(count)]
    return {"cpu": _cpu(lambda: list(pairs(looks, NEAR)))}


def _on_white(dice: random.Random) -> Look:
    bits = sum(dice.getrandbits(1) << row * 16 + column for row in range(5, 11) for column in range(5, 11))
    cells = bytearray([250] * 48)
    for place in (5, 6, 9, 10):
        cells[place * 3 : place * 3 + 3] = bytes(dice.randrange(60, 250) for _ in range(3))
    return Look(bits, bytes(cells), 1.0)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu(work: Callable[[], object]) -> float:
    began = process_time()
    work()
    return process_time() - began
