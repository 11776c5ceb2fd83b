"""Addresses of object stores in manifests, as far as no store is needed to judge them."""

from __future__ import annotations

import sys

import pytest

from batchgen.errors import ManifestError
from batchgen.fingerprint import fingerprint
from batchgen.manifest import load
from batchgen.planning.diff import differences
from batchgen.store.rows import decode_task, encode_task
from batchgen.task import Kind, Source, Task

URL = "s3://shop/photos/a.png"


@pytest.fixture
def refused(tmp_path):
    def make(job):
        path = tmp_path / "m.yaml"
        path.write_text(f"jobs:\n  - {{prompt: x, provider: openai, {job}}}\n", encoding="utf-8")
        with pytest.raises(ManifestError) as caught:
            load(path)
        return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return make


def edit(*images):
    return Task(kind=Kind.EDIT, prompt="x", provider="openai", model="gpt-image-2", images=images)


@pytest.mark.parametrize("key", ["from", "images"])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3:///photos/a.png", "it names no bucket"),
        ("az://", "it names no container"),
        ("gs://shop/../a.png", "it has . or .. in it"),
        ("s3://shop/./a.png", "it has . or .. in it"),
        ("s3://AKCANARY:canary-secret@shop/a.png", "credentials and ports do not belong in the address"),
        ("s3://shop:9000/a.png", "credentials and ports do not belong in the address"),
        ("s3://shop/a\\u0007.png", "control character"),
    ],
)
def test_an_address_that_cannot_be_used_is_named_by_its_place(refused, key, url, reason):
    (problem,) = refused(f'{key}: "{url}"')
    assert problem.startswith("m.yaml:2:")
    assert reason in problem
    assert "canary-secret" not in problem
    assert "\a" not in problem


@pytest.mark.parametrize("job", [f"images: {URL}", "from: s3://shop/list.csv", "from: s3://shop/photos/"])
def test_a_missing_extra_is_named_with_what_to_type(refused, monkeypatch, job):
    monkeypatch.setitem(sys.modules, "obstore", None)
    (problem,) = refused(job)
    assert problem.startswith("m.yaml:2:")
    assert "pip install 'batchgen[cloud]'" in problem


def test_a_missing_extra_is_one_mistake_however_many_images_there_are(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    problems = refused(f"images: [{', '.join(f's3://shop/{number}.png' for number in range(60))}]")
    assert len(problems) <= 4


def test_plain_http_to_another_machine_is_refused(refused, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.example:9000")
    (problem,) = refused(f"images: {URL}")
    assert "not encrypted" in problem


@pytest.mark.parametrize("name", ["file:///nowhere/a.png", "file://localhost/nowhere/a.png"])
def test_a_file_address_is_a_path(refused, name):
    (problem,) = refused(f"images: {name}")
    assert "/nowhere/a.png: there is no such file" in problem


def test_another_scheme_is_refused_with_those_there_are(refused):
    (problem,) = refused("images: ftp://shop/a.png")
    assert "s3://, gs://, az://" in problem


def test_fingerprints_follow_the_version_of_an_object():
    def mark(**facts):
        return fingerprint(edit(Source(url=URL, **facts)))

    marks = [mark(etag="1"), mark(etag="2"), mark(etag="1", preparation="jpeg"), mark()]
    assert len({*marks}) == 4
    assert mark(etag="1") == mark(etag="1", size_bytes=7)


def test_a_source_in_a_store_survives_the_job_database():
    task = edit(Source(url=URL, etag="1", size_bytes=7, preparation="upright+jpeg"))
    assert decode_task(encode_task(task)) == task


def test_a_plan_names_an_object_that_was_written_again(tmp_path):
    before, after = edit(Source(url=URL, etag="1")), edit(Source(url=URL, etag="2"))
    (difference,) = differences(before, after, tmp_path)
    assert (difference.field, difference.before, difference.after) == ("images", URL, URL)
    assert "was written again" in difference.note
    prepared = edit(Source(url=URL, etag="1", preparation="jpeg"))
    (difference,) = differences(before, prepared, tmp_path)
    assert difference.note.endswith("is sent as jpeg where it needs that, and was sent as it is")
