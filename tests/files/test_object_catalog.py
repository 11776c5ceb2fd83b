"""The catalog of objects: how few requests it needs, and what it does when a store refuses."""

from __future__ import annotations

import pytest

from batchgen.errors import StoreError
from batchgen.files.object_catalog import ObjectCatalog, version_of
from batchgen.files.object_errors import OutageError, StoreRefusal
from batchgen.files.object_store import ObjectStore
from batchgen.object_url import ObjectUrl


@pytest.fixture
def photos(bucket, monkeypatch):
    """A prefix in a bucket that this process may use."""
    for name, value in bucket.env.items():
        monkeypatch.setenv(name, value)
    return ObjectUrl.parse(f"{bucket.url}/photos")


@pytest.fixture
def requests(s3_server, bucket):
    """Returns how often the server was asked for one object of the bucket, and how often for a page of names."""
    start = {}

    def count():
        heads = s3_server.requests(f"HEAD /{bucket.name}/")
        pages = s3_server.requests(f"GET /{bucket.name}?")
        return heads - start.get("heads", 0), pages - start.get("pages", 0)

    start["heads"], start["pages"] = count()
    return count


def fill(bucket, number, name="photos/{:04}.png"):
    for each in range(number):
        bucket.write(name.format(each), b"x")


def test_few_objects_are_asked_for_one_by_one(photos, bucket, requests):
    fill(bucket, 3)
    catalog = ObjectCatalog()
    for _ in range(2):
        assert all(catalog.find(photos / f"{number:04}.png") for number in range(3))
        assert catalog.find(photos / "none.png") is None
    assert requests() == (4, 0)  # the bucket is there, or the first would not be found


@pytest.mark.parametrize("name", ["photos/{:04}.png", "photos/{:04}/front.png"])
def test_many_objects_cost_few_requests(photos, bucket, requests, name):
    fill(bucket, 60, name)
    catalog = ObjectCatalog()
    found = [catalog.find(photos.root / name.format(number)) for number in range(60)]
    assert all(found)
    assert catalog.find(photos / "none.png") is None
    heads, pages = requests()
    assert heads <= 11
    assert pages == 1


def test_one_object_and_a_list_agree_about_its_version(photos, bucket):
    bucket.write("photos/a b%#ü.png", b"x")
    listed = next(facts for _, facts in ObjectCatalog().below(photos))
    asked = ObjectCatalog().find(photos / "a b%#ü.png")
    assert version_of(listed) == version_of(asked)
    bucket.write("photos/a b%#ü.png", b"y")
    assert version_of(ObjectCatalog().find(photos / "a b%#ü.png")) != version_of(listed)


def test_a_bucket_that_is_missing_is_asked_for_once(photos, s3_server):
    missing = ObjectUrl.parse("s3://no-such-bucket-here/photos")
    before = s3_server.requests("HEAD", "no-such-bucket-here")
    catalog = ObjectCatalog()
    for number in range(20):
        with pytest.raises(StoreError, match="bucket does not exist"):
            catalog.find(missing / f"{number}.png")
    assert s3_server.requests("HEAD", "no-such-bucket-here") - before == 1


def test_the_error_that_ends_the_questions_is_repeated(photos, monkeypatch):
    errors = [StoreRefusal("one object is forbidden"), OutageError("the store does not answer")]

    def refuse(store, name):
        raise errors.pop(0)

    monkeypatch.setattr(ObjectStore, "head", refuse)
    catalog = ObjectCatalog()
    for reason in ("forbidden", "does not answer", "does not answer", "does not answer"):
        with pytest.raises(StoreError, match=reason):
            catalog.find(photos / "a.png")


def test_a_list_is_fetched_again_only_when_it_has_changed(photos, bucket, s3_server, tmp_path):
    def fetched():
        return s3_server.requests(f"GET /{bucket.name}/photos/list.csv")

    (tmp_path / "state").mkdir()
    url, before = photos / "list.csv", fetched()
    bucket.write("photos/list.csv", b"id,prompt\na,one\n")
    first = [ObjectCatalog(tmp_path / "state" / "lists").fetch(url) for _ in range(2)]
    assert fetched() - before == 1
    bucket.write("photos/list.csv", b"id,prompt\na,two\n")
    second = ObjectCatalog(tmp_path / "state" / "lists").fetch(url)
    assert second.read_bytes() == b"id,prompt\na,two\n"
    assert first[0] == first[1] != second
    assert (tmp_path / "state" / "lists").stat().st_mode & 0o077 == 0


def test_a_list_without_a_state_folder_leaves_nothing(photos, bucket, tmp_path):
    bucket.write("photos/list.csv", b"id\n")
    catalog = ObjectCatalog(tmp_path / "state" / "lists")
    file = catalog.fetch(photos / "list.csv")
    assert file.read_bytes() == b"id\n"
    del catalog
    assert not file.exists()
    assert not (tmp_path / "state").exists()


def test_a_misspelt_name_is_proposed(photos, bucket):
    bucket.write("photos/Cat.PNG", b"x")
    assert ObjectCatalog().similar(photos / "cat.png") == f"{photos}/Cat.PNG"
    assert ObjectCatalog().similar(photos / "elephant.png") is None
