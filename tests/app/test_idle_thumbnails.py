"""Thumbnails that are made while a run is in progress."""

from __future__ import annotations

import hashlib
import io

import pytest
from PIL import Image

from batchgen.app import idle_thumbnails
from batchgen.app.idle_thumbnails import IdleThumbnails
from batchgen.app.project import Project
from batchgen.files.object_tree import Part, Upload
from batchgen.files.thumbnails import thumbnail_path
from batchgen.job import Attempt, Delivered, Delivery, Settlement
from batchgen.store import migrate
from batchgen.store.records import Batch
from batchgen.task import NOTHING, Artifact, Kind, Task, Usage
from tests.acceptance.kit import wait_for
from tests.store.kit import NOW

FOLDER = "s3://nowhere/shop"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose object store cannot be reached."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    migrate.ensure(tmp_path / "batchgen.db")
    return Project(root=tmp_path, db=tmp_path / "batchgen.db")


def picture(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, "PNG")
    return buffer.getvalue()


def uploaded(data):
    return Upload(None, (Part("a.png", data, {"batchgen-sha256": hashlib.sha256(data).hexdigest()}),))


def delivery(data):
    sha256 = hashlib.sha256(data).hexdigest()
    file = Artifact(
        ordinal=0, path=f"{FOLDER}/a.png", sha256=sha256, size_bytes=len(data), width=40, height=30, mime="image/png"
    )
    task = Task(kind=Kind.GENERATE, prompt="x", provider="p", model="m")
    attempt = Attempt(
        id="a", job_id=1, claim=1, batch="b", key="a", task=task, account=None, fingerprint="2:x", folder=FOLDER,
        output="a", ordinal=0, wanted=1,
    )  # fmt: skip
    event = Delivery(at=NOW, outcome=Delivered(artifacts=(file,), usage=Usage(images=1)))
    return Settlement(attempt=attempt, event=event, charge=NOTHING)


def test_an_upload_is_not_downloaded_again(project):
    batch = Batch(id=1, name="b", manifest="/m.yaml", folder=FOLDER, created_at=NOW, updated_at=NOW)
    data = picture("red")
    report = project.state / "report-b"
    with IdleThumbnails(project, batch, is_wanted=True) as thumbnails:
        thumbnails.keep(uploaded(data))
        thumbnails.record(None, None, delivery(data))
        wait_for(lambda: thumbnail_path(report, hashlib.sha256(data).hexdigest()).exists())


def test_uploads_are_kept_up_to_a_size(project, monkeypatch):
    pictures = [picture(colour) for colour in ("red", "green", "blue")]
    monkeypatch.setattr(idle_thumbnails, "_KEPT_BYTES", len(pictures[1]) + len(pictures[2]))
    batch = Batch(id=1, name="b", manifest="/m.yaml", folder=FOLDER, created_at=NOW, updated_at=NOW)
    thumbnails = IdleThumbnails(project, batch, is_wanted=True)
    for data in pictures:
        thumbnails.keep(uploaded(data))
    assert [*thumbnails._uploaded.values()] == pictures[1:]
