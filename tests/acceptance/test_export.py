"""What was made is handed over: copies under names of one's own, whole, and nothing bought for it."""

from __future__ import annotations

import csv
import json

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


@pytest.mark.parametrize(("folder", "layout"), [("output/shop", "{{ tag }}"), ("output", "shop/sub/{{ id }}")])
def test_no_copy_goes_among_what_runs_deliver(shop, folder, layout):
    done = shop.run("export", "--files", folder, "--layout", layout, "--id", "sun")
    assert (done.code, done.out) == (2, "")
    assert "choose another folder" in done.err
    assert shop.run("verify").code == 0
