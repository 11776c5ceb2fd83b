"""Reading ahead: in order, bounded, and ended by the first error."""

from __future__ import annotations

from threading import Lock

import pytest

from batchgen.app.reading import read_ahead
from batchgen.app.report.places import Places
from batchgen.app.report.web_address import web_address
from batchgen.object_url import ObjectUrl


class Reads:
    """Counts values that were read and not taken yet."""

    def __init__(self):
        self.lock, self.ahead, self.most, self.all = Lock(), 0, 0, 0

    def read(self, item):
        with self.lock:
            self.ahead, self.all = self.ahead + 1, self.all + 1
            self.most = max(self.most, self.ahead)
        if item == "broken":
            raise ValueError(item)
        return item * 2


def test_values_come_in_order_and_few_are_held():
    reads, items = Reads(), []
    for item, value in read_ahead(range(200), reads.read, 8):
        with reads.lock:
            reads.ahead -= 1
        items.append((item, value))
    assert items == [(number, number * 2) for number in range(200)]
    assert reads.most <= 8 + 1


def test_error_ends_reading():
    reads = Reads()
    with pytest.raises(ValueError, match="broken"):
        list(read_ahead([1, "broken", *range(500)], reads.read, 4))
    assert reads.all <= 2 + 2 * 4


def test_nothing_to_read_is_nothing():
    assert not list(read_ahead([], str, 4))


# --- addresses that a page has --------------------------------------------------


@pytest.mark.parametrize(
    ("url", "environment", "address"),
    [
        ("s3://b/a b/x.png", {}, "https://b.s3.us-east-1.amazonaws.com/a%20b/x.png"),
        ("s3://b", {"AWS_REGION": "eu-central-1"}, "https://b.s3.eu-central-1.amazonaws.com"),
        ("s3://b/x", {"AWS_ENDPOINT_URL": "https://u:secret@minio.example:9000/s3/"}, "https://minio.example:9000/s3/b/x"),
        ("gs://b/x", {}, "https://storage.googleapis.com/b/x"),
        ("az://b/x", {"AZURE_STORAGE_ACCOUNT_NAME": "shop"}, "https://shop.blob.core.windows.net/b/x"),
    ],
)  # fmt: skip
def test_web_address_shows_no_secret(url, environment, address):
    assert web_address(ObjectUrl.parse(url), environment) == address


def test_places_know_the_buckets_of_earlier_output_folders(tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    output = ObjectUrl.parse("s3://b/shop")
    paths = ["s3://b/shop/cat.png", "s3://b/old/cat.png", "gs://c/cat.png", "output/cat.png", ""]
    google = {"gs://c/": "https://storage.googleapis.com/c/"}
    assert Places(root=tmp_path, output=output, report=output / "report").buckets(paths) == google | {
        "s3://b/": "../../"
    }
    (amazon,) = Places(root=tmp_path, output=output, report=tmp_path / "pages").buckets(paths[:2]).values()
    assert amazon.startswith("https://b.s3.")
    assert amazon.endswith(".com/")
    assert Places(root=tmp_path, output=tmp_path / "out", report=tmp_path / "out" / "report").buckets(paths[3:]) == {}


def test_places_in_one_bucket_are_relative(tmp_path):
    output = ObjectUrl.parse("s3://b/shop/autumn")
    places = Places(root=tmp_path, output=output, report=output / "report")
    assert places.folder == "s3://b/shop/autumn/"
    assert places.folder_url == "../"
    assert places.name("s3://b/shop/autumn/x/cat.png") == "x/cat.png"
    assert places.url(ObjectUrl.parse("s3://b/shop/other.png")) == "../../other.png"
    assert places.root_url == f"{tmp_path.as_uri()}/"
    assert Places(root=tmp_path, output=output, report=tmp_path / "pages").folder_url.startswith("https://b.s3.")
