"""The ``deliver`` section: what can be written there, and mistakes at their own places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchgen import manifest
from batchgen.copies import CopySpec
from batchgen.errors import ManifestError, Problem
from batchgen.manifest.batch import Batch

JOBS = 'jobs: [{id: cat, prompt: "A cat", provider: openai}]\n'


def load(folder: Path, text: str, jobs: str = JOBS) -> Batch:
    path = folder / "shop.yaml"
    path.write_text(text + jobs, encoding="utf-8")
    return manifest.load(path)


def problems(folder: Path, text: str, jobs: str = JOBS) -> tuple[Problem, ...]:
    with pytest.raises(ManifestError) as caught:
        load(folder, text, jobs)
    return caught.value.problems


def test_one_copy_and_a_list_of_copies(tmp_path):
    one = load(tmp_path, "deliver: {format: webp, size: 800, quality: 80}\n")
    assert one.copies == (CopySpec(name="copy", format="webp", width=800, height=800, quality=80),)
    several = load(
        tmp_path,
        """
deliver:
  - {name: shop, format: jpg, size: 800x600, fit: contain, background: "#fff"}
  - {name: wide, dir: wide/large, size: 1200x, enlarge: true}
  - {name: tall, size: x99, format: png, background: "rgba(255, 0, 0, 128)"}
""",
    )
    white, half = (255, 255, 255, 255), (255, 0, 0, 128)
    assert several.copies == (
        CopySpec(name="shop", format="jpeg", width=800, height=600, fit="contain", background=white),
        CopySpec(name="wide", folder="wide/large", width=1200, enlarge=True),
        CopySpec(name="tall", format="png", height=99, background=half),
    )
    names = [spec.file_name("a/cat-2.png") for spec in several.copies]
    assert names == ["a/cat-2.shop.jpg", "wide/large/a/cat-2.png", "a/cat-2.tall.png"]


def test_copies_change_no_fingerprint(tmp_path):
    [before] = load(tmp_path, "").jobs
    [after] = load(tmp_path, "deliver: {format: webp}\n").jobs
    assert after == before._replace(recipe=after.recipe)


@pytest.mark.parametrize(
    ("key", "value", "column", "message"),
    [
        ("format", "bmp", 19, "should be 'jpeg', 'jpg', 'png', 'webp' or 'avif'"),
        ("format", "tiff", 19, "should be"),
        ("size", "0", 17, "0 pixels"),
        ("size", "0x800", 17, "0 pixels"),
        ("size", "large", 17, "should be pixels"),
        ("size", "x", 17, "should be pixels"),
        ("size", "-5", 17, "should be pixels"),
        ("size", "99999", 17, "too large"),
        ("size", "16000x16000", 17, "64 megapixels"),
        ("fit", "pad", 16, "'inside', 'contain', 'cover' or 'fill'"),
        ("fit", "cover", 16, "needs a width and a height"),
        ("quality", "0", 20, "at least 1"),
        ("quality", "101", 20, "at most 100"),
        ("background", "whitish", 23, "colour as in CSS"),
        ("dir", "../out", 16, "cannot be a folder inside the output folder"),
        ("dir", "/srv/shop", 16, "absolute path"),
        ("name", "a/b", 17, "letters, digits"),
        ("with", "800", 11, "unknown key 'with'"),
    ],
)
def test_a_mistake_is_reported_at_its_place(tmp_path, key, value, column, message):
    [problem] = problems(tmp_path, f"deliver: {{{key}: {value}}}\n")
    assert message in problem.message
    assert (problem.line, problem.column) == (1, column)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("{format: png, quality: 80}", "deliver.quality", "png is lossless"),
        ("{format: jpg, background: transparent}", "deliver.background", "jpeg cannot be transparent"),
        ("{size: 800x, fit: contain}", "deliver.fit", "needs a width and a height"),
        ("[{size: 800}, {size: 900}]", "deliver[1].name", "the same files"),
        ("[{name: a, dir: shop}, {name: b, dir: Shop}]", "deliver[1].name", "the same files"),
        ("webp", "deliver", "mapping"),
    ],
)
def test_values_that_do_not_fit_together(tmp_path, text, path, message):
    [problem] = problems(tmp_path, f"deliver: {text}\n")
    assert message in problem.message
    assert problem.path == path


@pytest.mark.parametrize(
    ("deliver", "job"),
    [
        ("{name: shop, format: webp}", "cat.Shop"),
        ("{dir: shop, format: webp}", "SHOP/cat"),
        ("{dir: Größe, format: webp}", "GRÖSSE/cat"),
    ],
)
def test_a_job_cannot_take_the_name_of_a_copy(tmp_path, deliver, job):
    [problem] = problems(tmp_path, f"deliver: {deliver}\n", f'jobs: [{{id: "{job}", prompt: Cat, provider: openai}}]\n')
    assert problem.code == "same_file"
    assert "in deliver" in problem.hint
    assert problem.line == 2


def test_editors_know_the_section():
    from batchgen.manifest.schema import schema

    text = json.dumps(schema())
    assert '"deliver"' in text
    assert '"contain"' in text
