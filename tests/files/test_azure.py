"""Azure Blob Storage: what differs from S3, seen on the wire by a server of raw bytes."""

from __future__ import annotations

import pytest
from anyio import to_thread

from batchgen.errors import StoreError
from batchgen.files.object_store import ObjectStore
from batchgen.object_url import ObjectUrl
from tests.rawserver import answer, serve

KEY = "QmF0Y2hnZW5DYW5hcnlLZXk5MzQ1Njc4OTAxMjM0NTY="
URL = ObjectUrl.parse("az://shop/out")
FACTS = {"Content-Type": "image/png", "batchgen-job": "cat", "batchgen-sha256": "00"}


@pytest.fixture
def account(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "shop")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    return monkeypatch


async def test_names_of_metadata_have_no_hyphens(account):
    created = answer(b"", status=201, headers={"ETag": '"0x1"', "Last-Modified": "Mon, 30 Nov 2026 08:00:00 GMT"})
    async with serve(created) as server:
        account.setenv("AZURE_STORAGE_ENDPOINT", server.url)
        await to_thread.run_sync(ObjectStore(URL).put, "a.png", b"x", FACTS)
    (request,) = server.requests
    metadata = {name: value for name, value in request.headers.items() if name.startswith("x-ms-meta")}
    assert metadata == {"x-ms-meta-batchgen_job": "cat", "x-ms-meta-batchgen_sha256": "00"}
    assert KEY.encode() not in request.head


async def test_facts_have_the_same_names_as_in_other_stores(account):
    headers = {
        "ETag": '"0x1"',
        "Last-Modified": "Mon, 30 Nov 2026 08:00:00 GMT",
        "Content-Type": "image/png",
        "x-ms-meta-batchgen_job": "cat",
    }
    async with serve(answer(b"x", headers=headers)) as server:
        account.setenv("AZURE_STORAGE_ENDPOINT", server.url)
        found = await to_thread.run_sync(ObjectStore(URL).head, "a.png")
    assert found.facts["batchgen-job"] == "cat"
    assert found.etag == "0x1"


def test_plain_http_is_for_this_machine_only(account):
    account.setenv("AZURE_STORAGE_ENDPOINT", "http://store.example")
    with pytest.raises(StoreError, match="not encrypted"):
        ObjectStore(URL)
