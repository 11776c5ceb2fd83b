"""Listing of files on a disk and in a real object store, and files that are found by it."""

from __future__ import annotations

import hashlib

import pytest

from batchgen.files.listing import FileSizes, list_files, remove_files
from batchgen.files.superseded import SupersededFiles
from batchgen.object_url import ObjectUrl, name_in, place_of


@pytest.fixture
def folder(bucket, monkeypatch):
    for name, value in bucket.env.items():
        monkeypatch.setenv(name, value)
    return ObjectUrl.parse(f"{bucket.url}/a b/ünï#%")


def test_sizes_ask_a_store_once(folder, bucket, s3_server):
    for number in range(1_050):
        bucket.write(f"{folder.path}/{number:04}.png", b"x" * (number % 7))
    sizes, before = FileSizes(folder), s3_server.requests("GET", "list-type=2")
    assert [sizes.size(folder / f"{number:04}.png") for number in range(1_050)] == [n % 7 for n in range(1_050)]
    assert sizes.size(folder / "none.png") is None
    assert s3_server.requests("GET", "list-type=2") - before == 2
    assert sizes.size(ObjectUrl.parse(f"{bucket.url}/elsewhere.png")) is None


def test_files_of_other_prefixes_are_not_listed(folder, bucket):
    for name in (f"{folder.path}/in.png", f"{folder.path}/.superseded/old.png", f"{folder.path}2/out.png", "out.png"):
        bucket.write(name, b"1")
    assert {name_in(folder, file.place) for file in list_files(folder)} == {"in.png", ".superseded/old.png"}
    remove_files([folder / "in.png", folder / "missing.png"])
    assert [file.place.name for file in list_files(folder)] == ["old.png"]


@pytest.mark.parametrize("kind", ["disk", pytest.param("store", marks=pytest.mark.slow)])
def test_superseded_file_is_found_by_its_hash(kind, tmp_path, request):
    if kind == "disk":
        folder, write = tmp_path, lambda name, data: put(tmp_path / name, data)
    else:
        folder, bucket = request.getfixturevalue("folder"), request.getfixturevalue("bucket")

        def write(name, data):
            bucket.write(f"{folder.path}/{name}", data)

    aside, here = (hashlib.sha256(data).hexdigest() for data in (b"aside", b"here"))
    write(f".superseded/x/cat.{aside[:16]}.png", b"aside")
    write("x/cat.png", b"here")
    files = SupersededFiles(folder)
    assert files.find("x/cat.png", aside, 5) == folder / f".superseded/x/cat.{aside[:16]}.png"
    assert files.find("x/cat.png", here, 4) == folder / "x/cat.png"
    assert files.find("x/cat.png", "0" * 64, 4) is None
    assert files.find("x/dog.png", aside, 5) is None


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_stored_paths_mean_places(tmp_path):
    assert place_of("output/a.png", tmp_path) == tmp_path / "output" / "a.png"
    assert place_of("/elsewhere/a.png", tmp_path).as_posix() == "/elsewhere/a.png"
    url = place_of("gs://bucket/x/a b.png", tmp_path)
    assert url == ObjectUrl.parse("gs://bucket/x/a b.png")
    assert name_in(ObjectUrl.parse("gs://bucket/x"), url) == "a b.png"
    assert name_in(ObjectUrl.parse("gs://bucket/y"), url) is None
    assert name_in(tmp_path, url) is None
    assert name_in(ObjectUrl.parse("gs://bucket"), tmp_path) is None
