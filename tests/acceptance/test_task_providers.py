"""Providers of remote tasks as users have them: each preset, one of their own, balances, and unlisted states."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
import yaml

from batchgen.providers.presets import preset_names, profile
from batchgen.sandbox.log import read_log

from .kit import CANARY, IMAGES, SECRET, sums

NAMES = [name for name in preset_names() if profile(name, {"base_url": "https://x.example"}).dialect == "task"]
QUICK = {"first_wait": 0.05, "max_wait": 0.2}


@pytest.fixture
def project(project):
    project.env |= {variable: CANARY for name in NAMES for variable in profile(name).api_key_env}
    return project


def settings(project, name, **poll):
    return {
        name: {
            "base_url": f"{project.url}/{name}",
            "limits": {"concurrency": 4},
            "task": {"poll": QUICK | poll},
        }
    }


def assert_unseen(project, *done):
    """The key is in no output and in no file of the project."""
    assert not any(SECRET in each.out + each.err for each in done)
    for path in project.folder.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("name", NAMES)
def test_preset_makes_an_image_and_books_it(project, witness, name):
    own = settings(project, name)
    own[name]["tariff"] = {"usd_per_image": 0.5}
    manifest = project.manifest([{"id": "apple", "prompt": "a red apple", "provider": name}], providers=own)
    done = project.run("run", manifest, "--yes")
    assert done.code == 0, done.err
    (image,) = [path for path in project.files() if path.suffix in IMAGES]
    assert image.stem == "apple"
    (charge,) = witness.charges()
    assert charge["provider"] == name
    (row,) = project.ledger().values()
    if name == "bfl":  # its answer states what it took
        assert Decimal(row["usd"]) / 10**9 == sums([charge], "usd")[name]
    (attempt,) = project.jobs()["apple"]["attempts"]
    assert attempt["handle"]
    assert project.spool() == []
    assert_unseen(project, done)


def test_provider_of_the_user_works_from_the_commented_settings(project, witness):
    assert project.run("providers", "new", "studio", "-o", "batchgen.yaml").code == 0
    file = project.folder / "batchgen.yaml"
    file.write_text(
        file.read_text()
        .replace("https://api.example.com", f"{project.url}/replicate")
        .replace("first_wait: 2", "first_wait: 0.1")
    )
    manifest = project.folder / "m.yaml"
    manifest.write_text(
        yaml.safe_dump({"version": 1, "jobs": [{"id": "a", "prompt": "a red apple", "provider": "studio"}]})
    )
    done = project.run("run", manifest, "--yes", STUDIO_API_KEY=CANARY)
    assert done.code == 0, done.err
    assert len(witness.charges()) == 1
    assert_unseen(project, done)


def test_check_shows_the_balance_of_task_providers(project, witness):
    names = ("bfl", "kie", "wavespeed")
    own = {name: {"base_url": f"{project.url}/{name}"} for name in names}
    (project.folder / "batchgen.yaml").write_text(yaml.safe_dump({"providers": own}))
    done = project.run("providers", "check", *names, "--json")
    assert done.code == 0, done.err
    found = {each["name"]: each for each in done.json["providers"]}
    assert {name: each["verdict"] for name, each in found.items()} == dict.fromkeys(names, "accepted")
    assert all(Decimal(each["balance"]["account"]) > 0 for each in found.values())
    assert witness.charges() == []


def test_state_that_is_not_listed_is_stored_and_bought_once(project, witness):
    jobs = [{"id": "odd", "prompt": "a red apple [sandbox: task-stuck] [sandbox: poll-odd]", "provider": "fal"}]
    manifest = project.manifest(jobs, providers=settings(project, "fal", patience=1))
    first = project.run("run", manifest, "--yes")
    assert first.code == 9, first.err
    (attempt,) = project.jobs()["odd"]["attempts"]
    stored = json.loads(attempt["handle"])
    assert stored["state"] not in ("IN_QUEUE", "IN_PROGRESS", "COMPLETED")
    again = project.run("run", manifest, "--yes")
    assert again.code == 9, again.err
    assert len([line for line in witness.lines() if line["event"] == "task"]) == 1


def photo(project):
    from PIL import Image

    Image.effect_noise((400, 400), 60).convert("RGB").save(project.folder / "table.png")
    return "table.png"


#: The address of uploads is on the provider's real host unless it is below base_url.
UPLOADS = {
    "kie": {"url": "/api/file-stream-upload"},
    "wavespeed": {},
    "replicate": {},
}


@pytest.mark.parametrize("name", UPLOADS)
def test_local_image_is_uploaded_once_where_a_provider_takes_addresses(project, witness, name):
    own = settings(project, name)
    own[name]["tariff"] = {"usd_per_image": 0.5}
    own[name]["task"]["upload"] = UPLOADS[name]
    jobs = [
        {"id": f"a{number}", "prompt": f"make the table red {number}", "provider": name, "images": [photo(project)]}
        for number in range(8)
    ]
    manifest = project.manifest(jobs, providers=own)
    done = project.run("run", manifest, "--yes")
    assert done.code == 0, done.err
    assert len(witness.charges()) == 8
    assert [line["status"] for line in witness.uploads()] == [201 if name == "replicate" else 200]
    shown = project.run("show", "a1", "--as-curl")
    assert shown.code == 0, shown.err
    assert "ADDRESS-1" in shown.out
    assert_unseen(project, done, shown)


def test_upload_that_the_provider_refuses_sends_and_charges_nothing(project, witness):
    own = settings(project, "wavespeed")
    jobs = [{"id": "a", "prompt": "make it red", "provider": "wavespeed", "images": [photo(project)]}]
    manifest = project.manifest(jobs, providers=own)
    done = project.run("run", manifest, "--yes", "--allow-unpriced", WAVESPEED_API_KEY=f"bad{CANARY}")
    assert done.code == 5, done.err
    assert [line["status"] for line in witness.uploads()] == [401]
    assert witness.arrivals() == witness.charges() == []
    assert "a source image could not be uploaded" in project.run("show", "a").out
    repaired = project.run("run", manifest, "--yes", "--allow-unpriced")
    assert repaired.code == 0, repaired.err
    assert len(witness.charges()) == 1


def test_sandbox_run_uploads_to_the_sandbox(project):
    jobs = [{"id": "a", "prompt": "make it red", "provider": "kie", "images": [photo(project)]}]
    done = project.run("run", project.manifest(jobs), "--yes", "--sandbox")
    assert done.code == 0, done.err
    log = read_log(project.state / "sandbox/charges.jsonl")
    assert [(line["path"], line["status"]) for line in log if line["kind"] == "upload"] == [
        ("/kie/api/file-stream-upload", 200)
    ]
    assert len([line for line in log if line["event"] == "charge"]) == 1


def test_local_image_for_a_provider_that_takes_urls_only_is_refused_before_a_run(project, witness):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(project.folder / "table.png")
    job = {"id": "a", "prompt": "a red apple", "images": ["table.png"]}
    jobs = [job | {"provider": "higgsfield", "model": "qwen-image-3"}]
    checked = project.run("validate", project.manifest(jobs, providers=settings(project, "higgsfield")))
    assert checked.code == 4
    assert "fetches source images from the web" in checked.err
    assert witness.arrivals() == []
