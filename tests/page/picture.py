"""The picture of the page in README and help: ``python -m tests.page.picture`` takes it from the report of the demo."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from batchgen.sandbox import launch

from .browser import chromium

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "batchgen" / "help" / "page.webp"
WIDTH, OVERVIEW, PICTURES, TOP = 1280, 712, 660, 100  # pixels; TOP: above the pictures, left out
LARGEST = 120_000  # bytes: the picture is in the package


def report(folder: Path) -> Path:
    """Run the demo's manifest in a folder of its own and write its report; return the page."""
    shutil.copytree(ROOT / "jobs", folder / "jobs")
    for arguments in (["run", "jobs/demo.yaml", "--sandbox", "--yes"], ["report", "--sandbox", "--json"]):
        command = [sys.executable, "-m", "batchgen", "-C", str(folder), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # the demo has failures
    if running := launch.find(folder / ".batchgen" / "sandbox"):
        running.stop()
    return Path(folder, json.loads(done.stdout)["page"])


def take(page: Path) -> Image.Image:
    """Photograph the overview, and below it the pictures while somebody decides, in light colours."""
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": WIDTH, "height": OVERVIEW}, color_scheme="light")
        tab.goto(page.as_uri())
        tab.wait_for_selector(".tile img")
        overview = tab.screenshot()
        tab.set_viewport_size({"width": WIDTH, "height": PICTURES})
        for key in ("Home", "p", "p", "x", "5", "p", "ArrowRight", "x"):
            tab.keyboard.press(key)
        tab.evaluate("() => document.getElementById('pictures').scrollIntoView()")
        tab.wait_for_function("() => [...document.images].every((image) => image.complete)")
        tab.wait_for_timeout(8_000)  # until the message about the last mark is gone
        pictures = tab.screenshot(clip={"x": 0, "y": TOP, "width": WIDTH, "height": PICTURES - TOP})
    whole = Image.new("RGB", (WIDTH, OVERVIEW + PICTURES - TOP))
    whole.paste(Image.open(io.BytesIO(overview)), (0, 0))
    whole.paste(Image.open(io.BytesIO(pictures)), (0, OVERVIEW))
    return whole


def main() -> None:
    """Write the picture, as good as its size allows."""
    with tempfile.TemporaryDirectory() as folder:
        picture = take(report(Path(folder)))
    for quality in range(90, 30, -5):
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() <= LARGEST:
            break
    TARGET.write_bytes(buffer.getvalue())
    print(f"{TARGET.name}: {buffer.tell()} bytes, quality {quality}")


if __name__ == "__main__":
    main()
