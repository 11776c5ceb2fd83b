"""What lies beside the images: derived copies, and the files that a redo replaced. Read without batchgen's code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image, ImageStat

Line = dict[str, Any]
#: Grey levels by which the mean of a copy may differ from that of its image, after lossy compression. Two of the
#: sandbox's noisy images differ by more.
MEAN_ERROR = 1.5


def check_copies(folder: Path, artifacts: Iterable[Line], problems: list[str]) -> set[Path]:
    """Note images without a copy, or with the copy of another image; return the files of all copies."""
    copies = set()
    for row in artifacts:
        image = folder / row["path"]
        copy = image.with_name(f"{image.stem}.copy.webp")
        copies.add(copy)
        fault = _copy_fault(image, copy)
        if fault:
            problems.append(f"copy {copy.name}: {fault}")
    return copies


def _copy_fault(image: Path, copy: Path) -> str | None:
    try:
        with Image.open(image) as original, Image.open(copy) as derived:
            if derived.format != "WEBP" or max(derived.size) > 48:
                return f"is {derived.format} of {derived.size}"
            means = [ImageStat.Stat(image.convert("RGB")).mean for image in (original, derived)]
        listed = [entry["sha256"] for entry in json.loads(image.with_name(f"{image.name}.json").read_bytes())["copies"]]
    except (OSError, SyntaxError, ValueError, KeyError) as problem:
        return f"{type(problem).__name__}: {problem}"
    error = max(abs(one - other) for one, other in zip(*means, strict=True))
    if error > MEAN_ERROR:
        return f"shows another image: the mean colour is off by {error:.1f}"
    return None if listed == [hashlib.sha256(copy.read_bytes()).hexdigest()] else "is not the one in the sidecar"


def check_report(folder: Path, artifacts: Iterable[Line], problems: list[str]) -> set[Path]:
    """Note a report that is missing, or lacks the thumbnail of an image; return all thumbnails."""
    pages = list((folder / "output").rglob("report/index.html"))
    if len(pages) != 1:
        problems.append(f"{len(pages)} reports")
        return set()
    thumbs = {path.stem: path for path in (pages[0].parent / "thumbs").glob("*.webp")}
    lacking = [row["path"] for row in artifacts if row["sha256"][:16] not in thumbs]
    if lacking:
        problems.append(f"the report has no thumbnail of {lacking[:5]}")
    return set(thumbs.values())


def check_replaced(folder: Path, replaced: Iterable[Line], problems: list[str]) -> set[Path]:
    """Note replaced images that are lost; return the files of all that are kept, and their copies.

    They stay in place until the new image is there, which it never is where a call in doubt is held.
    """
    files = [path for path in (folder / "output").rglob("*") if path.is_file()]
    by_hash = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in files}
    wanted = {row["sha256"]: row["path"] for row in replaced}
    problems += [f"the replaced image {path} is lost" for sha256, path in wanted.items() if sha256 not in by_hash]
    there = {by_hash[sha256] for sha256 in wanted if sha256 in by_hash}
    return there | {path.with_name(f"{path.stem}.copy.webp") for path in there}
