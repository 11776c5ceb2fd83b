"""What the image check costs beside Pillow's own decoding."""

from __future__ import annotations

import io
from collections.abc import Callable
from statistics import median
from time import process_time

from PIL import Image

from batchgen.files.images import decode, examine

from .apart import apart
from .figures import Row, rows
from .pictures import picture
from .settings import Settings


def images(settings: Settings) -> list[Row]:
    """Take 1024 x 1024 pixels as PNG, JPEG and WebP; the median of many, in turn."""
    found: list[Row] = []
    for kind in ("PNG", "JPEG", "WEBP"):
        took = apart(measure, kind=kind, side=64 if settings.short else 1024, count=3 if settings.short else 15)
        cases = {
            "Pillow load()": {"cpu": (took["load"], "ms/image")},
            "batchgen: examine()": {"cpu": (took["examine"], "ms/image")},
            "batchgen: decode()": {"cpu": (took["decode"], "ms/image")},
        }
        found += rows(f"image check: 1024 x 1024 {kind}, {took['megabytes']:.1f} MB", cases)
    return found


def measure(kind: str, side: int, count: int) -> dict[str, float]:
    """Return the median CPU milliseconds of each."""
    data = picture(kind, side)

    def load() -> None:
        with Image.open(io.BytesIO(data)) as image:
            image.load()

    times: dict[str, list[float]] = {"load": [], "examine": [], "decode": []}
    for _ in range(count):
        times["load"].append(_cpu_ms(load))
        times["examine"].append(_cpu_ms(lambda: examine(data)))
        times["decode"].append(_cpu_ms(lambda: decode(data)))
    return {name: median(found) for name, found in times.items()} | {"megabytes": len(data) / 1e6}


def _cpu_ms(work: Callable[[], object]) -> float:
    began = process_time()
    work()
    return 1000 * (process_time() - began)
