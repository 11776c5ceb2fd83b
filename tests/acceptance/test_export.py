"""What was made is handed over: copies under names of one's own, whole, and nothing bought for it."""

from __future__ import annotations

import csv
import json
from decimal import Decimal

import pytest

LOW = {"provider": "openai", "quality": "low", "size": "1024x1024"}


@pytest.fixture
def shop(project):
    jobs = [
        LOW | {"id": "cat", "prompt": "Cat", "tags": ["pets", "small"]},
        LOW | {"id": "dog", "prompt": "Dog", "tags": ["pets"], "n": 2, "per_request": 2},
        LOW | {"id": "sun", "prompt": "Sun"},
        LOW | {"id": "bad", "prompt": "Bad [sandbox: refuse]"},
    ]
    assert project.run("run", project.manifest(jobs), "--yes").code == 3
    return project


def copied(project, folder="over"):
    paths = (path for path in (project.folder / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(project.folder / folder)): path.read_bytes() for path in paths}


def test_files_are_copied_under_names_of_ones_own(shop, witness):
    bought = len(witness.arrivals())
    done = shop.run("export", "--files", "over", "--layout", "{{ tag }}/{{ provider }}-{{ id }}")
    assert done.code == 0, done.err
    found = copied(shop)
    assert set(found) == {
        "pets/openai-cat.png",
        "pets/openai-dog-1.png",
        "pets/openai-dog-2.png",
        "untagged/openai-sun.png",
    }
    made = {path.name: path.read_bytes() for path in shop.images()}
    assert found["pets/openai-dog-2.png"] == made["dog-2.png"]
    assert "4 files in " in done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["id"] for line in lines] == ["cat", "dog", "sun", "bad"]
    assert [file["copy"] for file in lines[1]["files"]] == ["over/pets/openai-dog-1.png", "over/pets/openai-dog-2.png"]
    assert all((shop.folder / file["copy"]).is_file() for line in lines for file in line["files"])
    again = shop.run("export", "--files", "over", "--layout", "{{ tag }}/{{ provider }}-{{ id }}", "--tag", "pets")
    assert (again.code, copied(shop)) == (0, found)
    assert len(witness.arrivals()) == bought


def test_without_a_layout_they_keep_their_names(shop):
    done = shop.run("export", "--files", shop.folder / "over", "--id", "dog", "--format", "csv")
    assert done.code == 0
    rows = list(csv.DictReader(done.out.splitlines()))
    assert [row["copy"] for row in rows] == [str(shop.folder / "over" / f"dog-{number}.png") for number in (1, 2)]
    assert "copy" not in shop.run("export", "--format", "csv").out.splitlines()[0]
    assert set(copied(shop)) == {"dog-1.png", "dog-2.png"}


@pytest.mark.parametrize(
    ("layout", "why"),
    [
        ("{{ kind }}", "jobs cat and sun would both be generate.png"),
        ("../{{ id }}", "which has an empty part, . or .. in it"),
        ("{{ prompt }}", "there is no {{ prompt }}, only id, batch"),
        ("{{ id", "--layout {{ id"),
    ],
)
def test_a_layout_that_makes_no_names_copies_nothing(shop, layout, why):
    done = shop.run("export", "--files", "over", "--layout", layout)
    assert (done.code, done.out) == (2, "")
    assert why in done.err
    assert copied(shop) == {}


def test_what_is_gone_or_damaged_is_left_out_and_told(shop):
    pictures = {path.name: path for path in shop.images()}
    pictures["cat.png"].unlink()
    data = bytearray(pictures["sun.png"].read_bytes())
    data[-9] ^= 1
    pictures["sun.png"].write_bytes(data)
    done = shop.run("export", "--files", "over")
    assert done.code == 3
    assert set(copied(shop)) == {"dog-1.png", "dog-2.png"}
    assert "cat: output/shop/cat.png is missing or damaged" in done.err
    assert "2 files in " in done.err
    files = [file for line in map(json.loads, done.out.splitlines()) for file in line["files"]]
    assert [file["copy"] for file in files] == [None, "over/dog-1.png", "over/dog-2.png", None]


def test_nothing_that_is_there_is_written_over(shop):
    (shop.folder / "over").mkdir()
    (shop.folder / "over" / "sun.png").write_bytes(b"mine")
    assert shop.run("export", "--files", "over").code == 0
    assert b"mine" in copied(shop).values()
    assert shop.run("export", "--layout", "{{ id }}").code == 2


@pytest.mark.not_on(s3="copies go to this machine")
@pytest.mark.parametrize(("folder", "layout"), [("output/shop", "{{ tag }}"), ("output", "shop/sub/{{ id }}")])
def test_no_copy_goes_among_what_runs_deliver(shop, folder, layout):
    done = shop.run("export", "--files", folder, "--layout", layout, "--id", "sun")
    assert (done.code, done.out) == (2, "")
    assert "choose another folder" in done.err
    assert shop.run("verify").code == 0


def test_a_format_typed_as_an_option_is_recognized(bare):
    refused = bare.run("export", "--csv")
    assert (refused.code, refused.out) == (2, "")
    assert "No such option: --csv; did you mean: --format csv" in refused.err


def test_a_folder_that_a_run_had_nothing_to_write_to_is_not_shown_as_that_of_the_files(shop):
    done = shop.run("run", "--yes", "--out", "elsewhere", "--id", "sun")
    assert "files     elsewhere    nothing was written there; batchgen export names every file" in done.err
    assert "files     elsewhere    nothing was written there" in shop.run("status").out
    assert not (shop.folder / "elsewhere").exists()


def test_sources_are_in_the_export(project):
    from PIL import Image

    (project.folder / "photos").mkdir()
    for name in ("table; big.png", "lamp.png"):
        Image.new("RGBA", (64, 64), "red").save(project.folder / "photos" / name)
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(project.folder / "mask.png")
    images = ["photos/table; big.png", "photos/lamp.png"]
    edit = LOW | {"id": "edit", "prompt": "A lamp", "images": images, "mask": "mask.png"}
    assert project.run("run", project.manifest([edit, LOW | {"id": "sun", "prompt": "Sun"}]), "--yes").code == 0
    lines = [json.loads(line) for line in project.run("export").out.splitlines()]
    assert [(source["role"], source["path"], source["url"]) for source in lines[0]["sources"]] == [
        ("image", "photos/table; big.png", None),
        ("image", "photos/lamp.png", None),
        ("mask", "mask.png", None),
    ]
    assert all(len(source["sha256"]) == 64 for source in lines[0]["sources"])
    assert lines[1]["sources"] == []
    rows = list(csv.DictReader(project.run("export", "--format", "csv").out.splitlines()))
    assert json.loads(rows[0]["sources"]) == [*images, "mask.png"]
    assert rows[1]["sources"] == ""


def test_shares_of_the_cost_can_be_added_up(shop):
    rows = list(csv.DictReader(shop.run("export", "--format", "csv").out.splitlines()))
    jobs = {row["id"]: Decimal(row["usd"]) for row in rows if row["usd"]}
    assert len(rows) > len(jobs)
    assert sum(Decimal(row["usd_share"]) for row in rows if row["usd_share"]) == sum(jobs.values())
    sidecars = [json.loads(path.read_bytes()) for path in shop.files() if path.suffix == ".json"]
    shares = sum(Decimal(sidecar["cost_share"]["usd"]) for sidecar in sidecars)
    calls = {sidecar["attempt"]: Decimal(sidecar["cost"]["usd"]) for sidecar in sidecars}
    assert shares == sum(calls.values())


def test_each_line_states_the_version_of_its_fields(shop):
    assert {json.loads(line)["schema_version"] for line in shop.run("export").out.splitlines()} == {1}
    assert {job["schema_version"] for job in shop.run("list", "--json").json} == {1}
    assert {run["schema_version"] for run in shop.run("list", "runs", "--json").json} == {1}


def test_show_names_the_kept_answer(project):
    bad = LOW | {"id": "bad", "prompt": "Bad [sandbox: truncated]"}
    assert project.run("run", project.manifest([bad]), "--yes").code == 3
    shown = project.run("show", "bad", "--json").json
    answers = [attempt["answer"] for attempt in shown["attempt_log"]]
    assert all((project.folder / answer).is_file() for answer in answers)
    assert answers[0].startswith(".batchgen/spool/")
    assert f"its answer is kept: {answers[0]}" in project.run("show", "bad").out
