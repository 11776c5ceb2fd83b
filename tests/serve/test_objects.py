"""Pictures that are in an object store (a real S3 server), on the page of the server."""

from __future__ import annotations

import pytest


@pytest.fixture
def stored(project, bucket):
    """A project whose batch has run, with two pictures in the bucket."""
    project.env |= bucket.env
    jobs = [{"id": f"cat-{number}", "prompt": f"Cat {number}", "provider": "openai"} for number in range(2)]
    path = project.manifest(jobs, output={"dir": f"{bucket.url}/shop"})
    assert project.run("run", path, "--yes").code == 0
    return project


def test_pictures_come_from_the_store(stored, bucket, serve):
    server = serve()
    row = server.rows()["cat-0"]
    answer = server.client.get(f"files/{row['sha']}")
    assert answer.content == bucket.read("shop/cat-0.png")
    assert answer.headers["content-type"] == "image/png"
    thumbnail = server.client.get(f"thumbs/{row['sha']}.webp")
    assert (thumbnail.status_code, thumbnail.headers["content-type"]) == (200, "image/webp")
    bucket.delete("shop/cat-1.png")
    assert server.client.get(f"files/{server.rows()['cat-1']['sha']}").status_code == 404
    bucket.write("shop/cat-0.png", b"secret: 1")
    assert server.client.get(f"files/{row['sha']}").status_code == 404


def test_store_that_does_not_answer_is_an_error(stored, serve):
    stored.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    server = serve()
    answer = server.client.get(f"files/{server.rows()['cat-0']['sha']}")
    assert answer.status_code == 500
    assert "the store cannot be reached" in answer.json()["error"]
