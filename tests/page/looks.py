"""Page for tests of the full view and the comparison: pictures of all shapes, an edit, an earlier form, a suspect."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from .sample import html
from .sample_document import document

#: Jobs with one picture each, in the order of the page; the filter shows only them.
FILTER = "tag=look"
NAMES = ("edit", "large", "again", "tall", "tiny", "clear", "twin", "gone", "plain")
DAY, NIGHT = (214, 204, 189), (39, 48, 91)  # walls of the scene
MOST_ATTEMPTS = 20


def scene(width: int, height: int, wall: tuple[int, int, int]) -> Image.Image:
    """A lamp before a wall; scenes of one size line up."""
    image = Image.new("RGB", (width, height), wall)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, height * 0.7, width, height), fill=(120, 100, 80))
    pen.polygon([(width * x, height * y) for x, y in ((0.4, 0.2), (0.6, 0.2), (0.68, 0.5), (0.32, 0.5))], fill="gold")
    return image


def looks(folder: Path) -> Path:
    """Write the page; returns its index.html."""
    page = document(60)
    tiles = page["tiles"]
    for name in ("sources", "mask", "suspects", "earlier", "marks"):
        tiles[name] = {}
    rows = dict(zip(NAMES, _single(tiles), strict=False))
    page["words"]["tag"].append("look")
    for name, row in rows.items():
        tiles["tags"][row] = [len(page["words"]["tag"]) - 1]
        tiles["key"][row] = name
        tiles["path"][row] = f"output/sample/{name}.png"
    desk = _Desk(folder, page)
    inputs = [desk.source("room.png", scene(1024, 768, DAY)), desk.source("upright.png", scene(700, 1000, DAY))]
    mask = Image.new("RGBA", (1024, 768), "white")
    ImageDraw.Draw(mask).ellipse((300, 120, 720, 420), fill=(0, 0, 0, 0))
    clear = Image.new("RGBA", (512, 512), (0, 0, 0, 0))
    ImageDraw.Draw(clear).ellipse((100, 100, 400, 400), fill="red")
    desk.picture(rows["edit"], scene(1024, 768, NIGHT))
    desk.picture(rows["large"], scene(4000, 3000, NIGHT))
    desk.picture(rows["again"], scene(1024, 768, NIGHT))
    desk.picture(rows["tall"], scene(640, 1600, DAY))
    desk.picture(rows["tiny"], scene(16, 16, DAY))
    desk.picture(rows["clear"], clear)
    desk.picture(rows["twin"], scene(1024, 768, NIGHT))
    desk.picture(rows["gone"], scene(1024, 768, DAY)).unlink()
    desk.picture(rows["plain"], scene(1024, 768, DAY))
    tiles["alpha"] = [rows["clear"]]
    tiles["gone"] = [rows["gone"]]
    tiles["sources"] = {rows["edit"]: inputs, rows["twin"]: inputs[:1]}
    tiles["mask"] = {rows["edit"]: desk.source("mask.png", mask)}
    tiles["earlier"] = {rows["again"]: [desk.earlier("again-1.png", scene(1024, 768, DAY))]}
    tiles["suspects"] = {rows["twin"]: [[page["words"]["suspect"].index("near-duplicate"), rows["edit"], "1 of 256"]]}
    detail = page["details"][tiles["job"][rows["large"]]]
    detail["attempts"] = detail["attempts"] * MOST_ATTEMPTS
    index = desk.report / "index.html"
    index.write_text(html(page), encoding="utf-8")
    return index


def failed_key() -> str:
    """The key of a job without a picture."""
    tiles = document(60)["tiles"]
    return str(tiles["key"][tiles["state"].index(1)])


def _single(tiles: dict[str, Any]) -> list[int]:
    """Rows of done jobs with one picture."""
    jobs = tiles["job"]
    return [row for row in range(tiles["count"]) if tiles["ordinal"][row] == 0 and jobs.count(jobs[row]) == 1]


class _Desk:
    """Draws pictures, with their thumbnails, and enters them into the document."""

    def __init__(self, folder: Path, page: dict[str, Any]) -> None:
        self.folder, self.page = folder, page
        self.output = folder / "output" / "sample"
        self.report = self.output / "report"
        (self.report / "thumbs").mkdir(parents=True)

    def picture(self, row: int, image: Image.Image) -> Path:
        tiles = self.page["tiles"]
        path = self.folder / tiles["path"][row]
        tiles["sha"][row] = self._save(path, image)
        tiles["width"][row], tiles["height"][row] = image.size
        return path

    def source(self, name: str, image: Image.Image) -> int:
        sources: list[dict[str, Any]] = self.page["words"]["source"]
        sha = self._save(self.output / "photos" / name, image)
        width, height = image.size
        sources.append({"path": f"photos/{name}", "url": f"../photos/{name}", "sha": sha})
        sources[-1] |= {"width": width, "height": height, "alpha": image.mode == "RGBA"}
        return len(sources) - 1

    def earlier(self, name: str, image: Image.Image) -> dict[str, Any]:
        path = f"output/sample/.superseded/{name}"
        sha = self._save(self.folder / path, image)
        width, height = image.size
        return {"sha": sha, "path": path, "width": width, "height": height, "at": 1_764_000_000, "prompt": "Before."}

    def _save(self, path: Path, image: Image.Image) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, compress_level=1)
        sha = hashlib.sha256(str(path.relative_to(self.folder)).encode()).hexdigest()[:16]
        small = image.copy()
        small.thumbnail((384, 384))
        small.save(self.report / "thumbs" / f"{sha}.webp", method=0)
        return sha
