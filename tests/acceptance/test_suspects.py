"""Thumbnails, facts and suspects of real batches; the folder of a report disturbs no other command."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from PIL import Image

from batchgen.sandbox import launch

from .kit import check_books, finish, wait_for

JOBS = [
    {"id": "cat", "provider": "openai", "quality": "low", "prompt": "A cat"},
    {"id": "dog", "provider": "openai", "quality": "low", "prompt": "A dog [sandbox: wrongsize]", "size": "1536x1024"},
    {"id": "fox", "provider": "aimlapi", "quality": "low", "prompt": "A fox"},
]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """Pictures of the size that was asked for: small ones are suspect."""
    with launch.start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=90) as running:
        yield running


@pytest.fixture
def batch(project):
    manifest = project.manifest(JOBS)
    assert project.run("run", manifest, "--yes").code == 0
    return project


def suspects(project) -> list[tuple[str, str]]:
    query = "SELECT jobs.key, suspects.kind FROM suspects JOIN jobs ON jobs.id = job_id ORDER BY suspects.id"
    return [(row["key"], row["kind"]) for row in project.rows(query)]


def test_verify_deep_finds_suspects_and_keeps_its_exit_code(batch):
    assert "suspect" not in batch.run("verify").err
    deep = batch.run("verify", "--deep")
    assert deep.code == 0
    assert suspects(batch) == [("dog", "wrong-size")]
    assert "1 suspect: 1 wrong-size" in deep.err
    assert "batchgen list jobs --suspect wrong-size" in deep.err
    assert batch.run("verify", "--deep", "--json").json["suspects"] == {"wrong-size": 1}
    assert "dog" in batch.run("list", "--suspect", "wrong-size").out


def test_fewer_pixels_are_as_ordered_where_a_provider_takes_proportions_only(project):
    jobs = [
        {"id": "sea", "provider": "gptimageapi", "quality": "low", "prompt": "A sea", "size": "1920x1080"},
        {"id": "dog", "provider": "gptimageapi", "prompt": "A dog [sandbox: wrongsize]", "size": "1920x1080"},
    ]
    assert project.run("run", project.manifest(jobs), "--yes").code == 0
    assert project.run("verify", "--deep").code == 0
    assert suspects(project) == [("dog", "wrong-size")]


def test_pictures_of_a_provider_without_an_address_in_its_preset_are_examined(project):
    tariff = {"gateway": {"tariff": {"usd_per_image": 0.05}}}
    jobs = [{"id": "sea", "provider": "gateway", "prompt": "A sea [sandbox: wrongsize]", "size": "1024x1024"}]
    assert project.run("run", project.manifest(jobs, providers=tariff), "--yes").code == 0
    assert project.run("verify", "--deep").code == 0
    assert suspects(project) == [("sea", "wrong-size")]


def test_a_damaged_file_is_a_problem_and_not_an_error_of_the_examination(batch):
    [path] = [file for file in batch.files() if file.name == "cat.png"]
    path.write_bytes(path.read_bytes()[:-40])
    report = batch.run("verify", "--deep", "--json")
    assert (report.code, report.json["wrong"]) == (3, 1)
    assert suspects(batch) == [("dog", "wrong-size")]


def test_report_and_verify_agree_and_a_second_report_makes_nothing(batch):
    first = batch.run("report", "--json").json
    assert first["thumbnails"] == {"made": 3, "reused": 0}
    assert first["suspects"] == {"wrong-size": 1}
    facts = batch.rows("SELECT * FROM picture_facts ORDER BY sha256")
    assert batch.run("verify", "--deep").code == 0
    assert batch.rows("SELECT * FROM picture_facts ORDER BY sha256") == facts
    second = batch.run("report", "--json").json
    assert (second["thumbnails"], second["files"]) == ({"made": 0, "reused": 3}, [])


def test_a_thumbnail_that_was_deleted_is_made_again(batch):
    assert batch.run("report").code == 0
    thumbs = batch.folder / "output" / "shop" / "report" / "thumbs"
    before = sorted(thumbs.iterdir())
    before[0].unlink()
    assert batch.run("report", "--json").json["thumbnails"] == {"made": 1, "reused": 2}
    assert sorted(thumbs.iterdir()) == before
    for path in before:
        with Image.open(path) as image:
            assert max(image.size) == 384
    shutil.rmtree(thumbs.parent)
    assert batch.run("report", "--json").json["thumbnails"] == {"made": 3, "reused": 0}


def test_a_killed_report_loses_nothing(batch, witness):
    process = batch.start("report")
    thumbs = batch.folder / "output" / "shop" / "report"
    wait_for(thumbs.exists, process)
    process.send_signal(signal.SIGKILL)
    finish(process)
    assert sum(batch.run("report", "--json").json["thumbnails"].values()) == 3
    assert len(list((thumbs / "thumbs").glob("*.webp"))) == 3
    assert suspects(batch) == [("dog", "wrong-size")]
    check_books(batch, witness.charges())


def test_the_folder_of_a_report_is_disturbs_no_other_command(batch, witness):
    """It is not verified, cleaned, adopted, or taken for what a lost database knew."""
    assert batch.run("report").code == 0
    report = batch.folder / "output" / "shop" / "report"
    # As hostile as can be: a file that looks like a sidecar, and an image.
    sidecar = next((batch.folder / "output" / "shop").glob("cat.*.json"))
    shutil.copy(sidecar, report / "thumbs" / "cat.png.json")
    before = sorted(path for path in report.rglob("*") if path.is_file())
    verified = batch.run("verify", "--json").json
    assert (verified["checked"], verified["wrong"]) == (3, 0)
    for path in before:
        os.utime(path, (0, 0))
    assert batch.run("clean", "--yes", "--older-than", "1d").code == 0
    assert sorted(path for path in report.rglob("*") if path.is_file()) == before
    charges = len(witness.charges())
    for path in batch.state.glob("batchgen.db*"):
        path.unlink()
    again = batch.run("run", batch.folder / "m.yaml", "--yes", "--json")
    assert (again.code, again.json["jobs"]["done"]) == (0, 3)
    assert len(witness.charges()) == charges
    paths = [row["path"] for row in batch.rows("SELECT path FROM artifacts WHERE superseded_at IS NULL")]
    assert len(paths) == 3
    assert not any("report" in path for path in paths)
