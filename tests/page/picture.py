"""The picture of the page in README and help: ``python -m tests.page.picture`` takes it from the report of the demo."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from batchgen.sandbox import launch

from .browser import chromium

TARGET = Path(__file__).parents[2] / "batchgen" / "help" / "page.webp"
SIZE = (1280, 1000)
LARGEST = 120_000  # bytes: the picture is in the package


def batchgen(folder: Path, *arguments: str) -> str:
    """Run batchgen as a user of that folder; return what it prints."""
    command = [sys.executable, "-m", "batchgen", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def report(folder: Path) -> Path:
    """Run the demo and write its report; return the page."""
    batchgen(folder, "demo", "--latency", "realistic")
    if running := launch.find(folder / ".batchgen" / "sandbox"):
        running.stop()
    return Path(folder, json.loads(batchgen(folder, "report", "--sandbox", "--json"))["page"])


def take(page: Path) -> Image.Image:
    """Photograph the top of the page, in light colours."""
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="light")
        tab.goto(page.as_uri())
        tab.wait_for_function("() => [...document.images].every((image) => image.complete)")
        return Image.open(io.BytesIO(tab.screenshot()))


def main() -> None:
    """Write the picture, as good as its size allows."""
    with tempfile.TemporaryDirectory() as folder:
        picture = take(report(Path(folder)))
    for quality in range(90, 30, -5):
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() <= LARGEST:
            break
    TARGET.write_bytes(buffer.getvalue())
    print(f"{TARGET.name}: {buffer.tell()} bytes, quality {quality}")


if __name__ == "__main__":
    main()
