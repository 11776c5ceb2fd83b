"""Runs whose output folder is in an object store (a real S3 server)."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.servers.s3 import SECRET

from .kit import check_books

JOBS = [{"id": f"cat-{number}", "prompt": f"cat {number}", "provider": "openai"} for number in range(6)]


@pytest.fixture
def in_store(project, bucket):
    """A project whose images go to the bucket."""
    project.env |= bucket.env
    return project


def test_run_publishes_images_and_sidecars(in_store, bucket, witness):
    manifest = in_store.manifest(JOBS, output={"dir": f"{bucket.url}/shop/{{{{ name }}}}"})
    done = in_store.run("run", manifest, "--yes")
    assert done.code == 0, done
    names = {name for name in bucket.names() if ".batchgen" not in name}
    assert names == {f"shop/shop/cat-{n}.png{end}" for n in range(6) for end in ("", ".json")}
    for row in in_store.rows("select path, sha256, bytes, attempt_id from artifacts"):
        assert row["path"].startswith(f"{bucket.url}/shop/shop/cat-")
        name = row["path"].removeprefix(f"{bucket.url}/")
        data = bucket.read(name)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (row["bytes"], row["sha256"])
        facts = bucket.facts(name)
        assert facts["Content-Type"] == "image/png"
        assert facts["batchgen-attempt"] == row["attempt_id"]
        assert facts["batchgen-sha256"] == row["sha256"]
        assert facts["batchgen-job"] in name
        assert json.loads(bucket.read(f"{name}.json"))["attempt"] == row["attempt_id"]
    check_books(in_store, witness.charges())
    again = in_store.run("run", manifest, "--yes")
    assert again.code == 0
    assert len(witness.charges()) == 6
    everything = (
        done.out + done.err + "".join(p.read_text(errors="replace") for p in in_store.state.rglob("*") if p.is_file())
    )
    assert SECRET not in everything
