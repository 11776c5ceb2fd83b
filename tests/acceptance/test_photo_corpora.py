"""Real photos and the hardest images there are: those that packages ship with, through validate, plan and the sandbox.

A package that is not installed is skipped. ``BATCHGEN_TEST_IMAGES`` names a folder of more, such as ``Tests/images`` of
Pillow's source package (``pip download --no-deps --no-binary :all: pillow``): 782 files of every kind, many damaged.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from .kit import opened

#: Folders of images, by the package that they belong to.
CORPORA = {
    "skimage": "data",
    "sklearn": "datasets/images",
    "matplotlib": "mpl-data/sample_data",
    "PIL": os.environ.get("BATCHGEN_TEST_IMAGES", "Tests/images"),
}


def corpus(package: str) -> Path:
    """Return the folder of images of *package*; skip the test where there is none."""
    spec = find_spec(package)
    folder = Path(spec.origin or "").parent / CORPORA[package] if spec is not None else None
    if folder is None or not folder.is_dir():
        pytest.skip(f"{package} is not installed, or has no images")
    return folder


@pytest.mark.parametrize("package", CORPORA)
def test_real_images_go_through_validate_plan_and_the_sandbox(bare, package):
    folder = corpus(package)
    defaults = "{provider: openai, size: 1024x1024, quality: low, orient: true, convert: jpeg}"
    job = f'{{from: "{folder}", id: "{{{{ path }}}}", prompt: "On white, {{{{ row }}}}"}}'
    path = bare.folder / "m.yaml"
    path.write_text(f"on_bad_source: skip\ndefaults: {defaults}\njobs:\n  - {job}\n", encoding="utf-8")
    checked = bare.run("validate", path, seconds=120)
    assert checked.code == 0, checked.err
    assert len(checked.err.splitlines()) < 80
    plan = bare.run("plan", path, "--json", seconds=120).json
    images = [file for file in folder.rglob("*") if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")]
    assert plan["jobs"]["total"] + plan["skipped"]["jobs"] >= len(images)
    assert plan["skipped"]["jobs"] <= plan["jobs"]["total"] / 10
    done = bare.run("run", path, "--sandbox", "--yes", "--sample", "8", "--latency", "none", seconds=120)
    assert done.code in (0, 3), done.err  # 3: only a decoder finds what is wrong with some
    for text in (checked.err, done.err):
        assert not any(word in text for word in ("Warning:", "libtiff", "TIFFRead", "Traceback"))
    made = [file for file in bare.folder.rglob("sandbox-output/**/*") if file.suffix in (".png", ".jpg", ".webp")]
    failed = bare.run("list", "--sandbox", "--status", "failed", "--json").json
    assert len(made) + len(failed) == min(8, plan["jobs"]["total"])
    assert {job["cause"] for job in failed} <= {"invalid"}
    assert all(opened(file) == (1024, 1024) for file in made)
