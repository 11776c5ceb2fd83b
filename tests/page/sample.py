"""Sample of a page: a PageDocument of any size, drawn without a batch, for browser tests and the bench.

python -m tests.page.sample --count 50000 DIR
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from .sample_document import CHUNK, DRAWN, detail, document, sha, shape
from .sample_figures import first_rows

BUILT = Path(__file__).parents[2] / "batchgen" / "page" / "built"


def picture(number: int, width: int, height: int) -> Image.Image:
    """A drawn picture; every sixth is transparent around its shape."""
    rng = random.Random(number)
    clear = number % 6 == 4
    ground = (0, 0, 0, 0) if clear else (*(rng.randrange(140, 250) for _ in range(3)), 255)
    image = Image.new("RGBA", (width, height), ground)
    pen = ImageDraw.Draw(image)
    for _ in range(4):
        x, y, r = rng.randrange(width), rng.randrange(height), rng.randrange(4, max(6, min(width, height) // 2))
        pen.ellipse((x - r, y - r, x + r, y + r), fill=(*(rng.randrange(30, 220) for _ in range(3)), 255))
    pen.text((width // 20, height // 20), str(number), fill=(0, 0, 0, 255))
    return image


def write(folder: Path, page: dict[str, Any], *, inline: bool = False) -> Path:
    """Write the page as `report` lays it out: DIR/output/sample/report/index.html, thumbnails and originals."""
    tiles = page["tiles"]
    report = folder / "output" / "sample" / "report"
    thumbs = report / "thumbs"
    thumbs.mkdir(parents=True, exist_ok=True)
    for number in range(DRAWN):
        image = picture(number, *shape(number))
        image.thumbnail((384, 384))
        image.save(thumbs / f"{sha(number)}.webp", quality=80)
    for number, source in enumerate(page["words"]["source"]):
        path = report.parent / source["path"]
        path.parent.mkdir(exist_ok=True)
        picture(number, source["width"], source["height"]).save(path)
    for row in range(min(tiles["count"], 200)):
        if tiles["path"][row] and (row % 50 or row == 0):  # some originals are missing, as after a clean-up
            path = folder / tiles["path"][row]
            path.parent.mkdir(parents=True, exist_ok=True)
            number = (tiles["job"][row] * 5 + tiles["ordinal"][row]) % DRAWN
            picture(number, tiles["width"][row], tiles["height"][row]).save(path)
    if inline:
        page["inline"] = {sha(number): data_url(thumbs / f"{sha(number)}.webp") for number in range(DRAWN)}
    if "chunk" in page:
        write_chunks(report, page)
    index = report / "index.html"
    index.write_text(html(page), encoding="utf-8")
    return index


def data_url(path: Path) -> str:
    return "data:image/webp;base64," + base64.b64encode(path.read_bytes()).decode()


def write_chunks(report: Path, page: dict[str, Any]) -> None:
    rows = first_rows(page["tiles"])
    (report / "data").mkdir(exist_ok=True)
    for number in range(0, len(rows), CHUNK):
        details = [detail(page, row) for row in rows[number : number + CHUNK]]
        text = f"batchgenDetails({number // CHUNK}, {as_json(details)});\n"
        (report / "data" / f"{number // CHUNK:04}.js").write_text(text, encoding="utf-8")


def as_json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def html(page: dict[str, Any]) -> str:
    script, style = ((BUILT / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))

    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    scripts = digest(script) + (" 'self' file:" if "chunk" in page else "")
    policy = (
        f"default-src 'none'; img-src 'self' data: blob: file:; style-src {digest(style)}; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>sample</title>\n'
        f'<style>{style}</style>\n</head>\n<body>\n<script type="application/json" id="data">{as_json(page)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--single-file", action="store_true")
    options = parser.parse_args()
    print(write(options.folder, document(options.count), inline=options.single_file))


if __name__ == "__main__":
    main()
