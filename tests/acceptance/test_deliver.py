"""Derived copies: beside untouched originals, for free, and never at the cost of an image."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path

import pytest
from PIL import Image

import batchgen
from batchgen.app import deliver
from batchgen.errors import StoreError

from .kit import Workspace, finish, opened, wait_for

SHOP = {"name": "shop", "format": "webp", "size": 30, "quality": 80}
WHITE = {"dir": "white", "format": "jpg", "size": "90x90", "fit": "contain", "background": "white"}


def job(name: str, **more: object) -> dict[str, object]:
    return {"id": name, "provider": "openai", "quality": "low", "prompt": f"A {name}"} | more


def output(project: Workspace) -> Path:
    return project.folder / "output/shop"


def names(project: Workspace) -> set[str]:
    """Return the files in the output folder, without sidecars."""
    folder = output(project)
    return {str(path.relative_to(folder)) for path in project.files() if path.suffix != ".json"}


def buy(project: Workspace, *jobs: dict[str, object], **top: object) -> Path:
    path = project.manifest(list(jobs), **top)
    done = project.run("run", path, "--yes")
    assert done.code == 0, done.err
    return path


def test_copies_lie_beside_untouched_originals(project, witness):
    path = buy(project, job("cat"), job("a/dog", n=2, per_request=2), deliver=[SHOP, WHITE])
    assert names(project) == {
        *("cat.png", "cat.shop.webp", "white/cat.jpg"),
        *(f"a/dog-{n}.{ending}" for n in (1, 2) for ending in ("png", "shop.webp")),
        *(f"white/a/dog-{n}.jpg" for n in (1, 2)),
    }
    for row in project.rows("select * from artifacts"):
        assert hashlib.sha256((project.folder / row["path"]).read_bytes()).hexdigest() == row["sha256"]
    with Image.open(output(project) / "cat.shop.webp") as webp, Image.open(output(project) / "white/cat.jpg") as jpeg:
        assert (webp.format, max(webp.size)) == ("WEBP", 30)
        assert (jpeg.format, jpeg.size) == ("JPEG", (90, 90))
    sidecar = json.loads((output(project) / "cat.png.json").read_bytes())
    assert [(copy["name"], copy["file"]) for copy in sidecar["copies"]] == [
        ("shop", "cat.shop.webp"), ("copy", "white/cat.jpg")
    ]  # fmt: skip
    shown = project.run("show", "cat", "--json").json["copies"]
    assert [copy["path"] for copy in shown] == ["output/shop/cat.shop.webp", "output/shop/white/cat.jpg"]
    assert {copy["of"] for copy in shown} == {"output/shop/cat.png"}
    assert "copy      output/shop/cat.shop.webp" in project.run("show", "cat").out
    exported = [json.loads(line) for line in project.run("export").out.splitlines()]
    assert [len(line["copies"]) for line in exported] == [2, 4]
    again = project.run("run", path, "--yes", "--json").json
    assert again["copies"] == {"written": 0, "failed": [], "unfinished": False}
    assert len(witness.charges()) == 2


def test_copies_asked_for_later_are_made_of_what_exists(project, witness):
    buy(project, job("cat"), job("dog"))
    path = project.manifest([job("cat"), job("dog")], deliver=SHOP)
    plan = project.run("plan", path)
    assert "copies    2 to write" in plan.out
    assert project.run("plan", path, "--json").json["copies"] == 2
    assert project.run("plan", path, "--json").json["requests"] == 0
    done = project.run("run", path)
    assert (done.code, "copies    2 written" in done.err) == (0, True)
    small = (output(project) / "cat.shop.webp").read_bytes()
    project.manifest([job("cat"), job("dog")], deliver=SHOP | {"size": 20})
    assert project.run("run", path, "--json").json["copies"]["written"] == 2
    assert (output(project) / "cat.shop.webp").read_bytes() != small
    assert not (output(project) / ".superseded").exists()
    assert len(witness.charges()) == 2


@pytest.mark.not_on(s3="needs verify --requeue; test_delivered_objects")
def test_a_deleted_copy_is_written_again(project, witness):
    path = buy(project, job("cat"), deliver=SHOP)
    copy = output(project) / "cat.shop.webp"
    before = copy.read_bytes()
    copy.unlink()
    assert project.run("run", path).code == 0
    assert copy.read_bytes() == before
    (project.state / "copies.db").write_bytes(b"not a database")
    copy.unlink()
    assert project.run("run", path).code == 0
    assert copy.read_bytes() == before
    assert len(witness.charges()) == 1


def test_a_replaced_image_replaces_its_copies(project, witness):
    path = buy(project, job("cat", n=2, per_request=2), deliver=[SHOP, WHITE])
    first = (output(project) / "cat-1.shop.webp").read_bytes()
    project.manifest([job("cat", n=2, per_request=2, prompt="Another cat")], deliver=[SHOP, WHITE])
    assert project.run("run", path, "--yes").code == 0
    assert (output(project) / "cat-1.shop.webp").read_bytes() != first
    project.manifest([job("cat", prompt="One cat")], deliver=[SHOP, WHITE])
    assert project.run("run", path, "--yes").code == 0
    assert names(project) == {"cat.png", "cat.shop.webp", "white/cat.jpg"}
    aside = [path.name for path in (output(project) / ".superseded").rglob("*") if path.is_file()]
    assert not [name for name in aside if "shop" in name or name.endswith(".jpg")]
    assert len(witness.charges()) == 3


def test_a_file_of_the_user_is_never_replaced(project, witness):
    own = output(project) / "cat.shop.webp"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    path = project.manifest([job("cat"), job("dog")], deliver=SHOP)
    done = project.run("run", path, "--yes", "--json")
    assert (done.code, done.json["jobs"]["done"], done.json["copies"]["written"]) == (0, 2, 1)
    [failed] = done.json["copies"]["failed"]
    assert failed["path"] == "output/shop/cat.shop.webp"
    assert own.read_bytes() == b"mine"
    edited = output(project) / "dog.shop.webp"
    edited.write_bytes(b"retouched")
    project.manifest([job("cat"), job("dog")], deliver=SHOP | {"size": 20})
    again = project.run("run", path)
    assert again.code == 0
    assert "2 not written, such as output/shop/" in again.err
    assert (own.read_bytes(), edited.read_bytes()) == (b"mine", b"retouched")
    assert len(witness.charges()) == 2


@pytest.mark.not_on(s3="a folder in the way of a file")
def test_copies_that_cannot_be_written_cost_no_image(project, witness):
    (project.folder / "output/shop").mkdir(parents=True)
    (project.folder / "output/shop/white").write_text("in the way")
    path = project.manifest([job("cat")], deliver=WHITE)
    done = project.run("run", path, "--yes")
    assert done.code == 0
    assert "1 not written, such as output/shop/white/cat.jpg: Not a directory" in done.err
    assert "the next run writes what is missing" in done.err
    assert names(project) == {"white", "cat.png"}
    (project.folder / "output/shop/white").unlink()
    assert project.run("run", path).code == 0
    assert names(project) == {"white/cat.jpg", "cat.png"}
    assert len(witness.charges()) == 1


@pytest.mark.not_on(s3="waits for files on the disk")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_ends_among_its_copies_leaves_the_rest_to_the_next(project, witness, number):
    jobs = [job(f"cat-{index}") for index in range(30)]
    path = buy(project, *jobs)
    slow = {"format": "avif", "size": "900x900", "enlarge": True, "fit": "fill", "quality": 95}
    project.manifest(jobs, deliver=slow)
    process = project.start("run", path)
    wait_for(lambda: list(output(project).glob("*.avif")), process)
    process.send_signal(number)
    ended = finish(process)
    made = len(list(output(project).glob("*.avif")))
    assert 0 < made < 30
    if number == signal.SIGINT:
        assert ended.code == 130
        assert "the next run writes what is missing" in ended.err
    project.manifest(jobs, deliver=slow | {"size": "9x9"})
    assert project.run("run", path).code == 0
    assert len(list(output(project).glob("*.avif"))) == 30
    assert {opened(path) for path in output(project).glob("*.avif")} == {(9, 9)}
    assert not list(output(project).glob(".bg-*"))
    assert len(witness.charges()) == 30


def test_a_name_that_a_copy_needs_is_refused_before_anything_is_bought(project, witness):
    path = project.manifest([job("cat"), job("cat.shop")], deliver=SHOP)
    refused = project.run("run", path, "--yes")
    assert refused.code == 4
    assert "cat.shop" in refused.err
    assert witness.arrivals() == []


def test_a_lost_job_database_loses_no_copy(project, witness):
    path = buy(project, job("cat"), deliver=SHOP)
    before = (output(project) / "cat.shop.webp").stat()
    for file in project.state.glob("*.db*"):
        file.unlink()
    assert project.run("run", path).code == 0
    assert (output(project) / "cat.shop.webp").stat().st_mtime_ns == before.st_mtime_ns
    project.manifest([job("cat")], deliver=SHOP | {"size": 20})
    for file in project.state.glob("copies.db*"):
        file.unlink()
    assert project.run("run", path, "--json").json["copies"]["failed"] == []
    assert opened(output(project) / "cat.shop.webp") == (20, 20)
    assert len(witness.charges()) == 1


@pytest.mark.not_on(s3="needs verify --requeue; test_delivered_objects")
def test_verify_knows_copies(project):
    path = buy(project, job("cat"), job("dog"), deliver=SHOP)
    (output(project) / "cat.shop.webp").unlink()
    (output(project) / "dog.shop.webp").write_bytes(b"retouched")
    found = project.run("verify")
    assert found.code == 0
    assert "copy missing" in found.out
    assert "copy changed" in found.out
    assert "all as delivered" in found.err
    assert f"batchgen run {path.name}" in found.err
    assert {flaw["what"] for flaw in project.run("verify", "--json").json["copies"]} == {"missing", "changed"}


def test_records_that_cannot_be_read_stop_nothing(project, witness):
    path = project.manifest([job("cat")], deliver=SHOP)
    project.state.mkdir(mode=0o700)
    (project.state / "copies.db").mkdir()
    done = project.run("run", path, "--yes", "--json")
    assert (done.code, done.json["jobs"]["done"], done.json["copies"]["written"]) == (0, 1, 0)
    assert project.run("list").code == 0
    assert project.run("show", "cat").code == 0
    assert project.run("verify").code == 0
    (project.state / "copies.db").rmdir()
    assert project.run("run", path, "--json").json["copies"]["written"] == 1
    assert len(witness.charges()) == 1


@pytest.mark.not_on(s3="permissions of a folder")
def test_a_sidecar_that_could_not_list_its_copies_lists_them_after_the_next_run(project, witness, monkeypatch):
    path = buy(project, job("cat"))
    path = project.manifest([job("cat")], deliver=SHOP)
    monkeypatch.chdir(project.folder)

    def fail(*_args: object) -> None:
        raise StoreError("the disk is full")

    # As after a kill: the copy is written, the sidecar does not list it.
    with monkeypatch.context() as broken:
        broken.setattr(deliver, "list_in_sidecar", fail)
        assert batchgen.run(path, yes=True).exit_code == 0
    copy, sidecar = output(project) / "cat.shop.webp", output(project) / "cat.png.json"
    assert copy.exists()
    assert "copies" not in json.loads(sidecar.read_bytes())
    assert project.run("plan", path, "--json").json["copies"] == 1
    before = copy.read_bytes()
    assert project.run("run", path).code == 0
    assert [entry["file"] for entry in json.loads(sidecar.read_bytes())["copies"]] == ["cat.shop.webp"]
    assert copy.read_bytes() == before
    assert len(witness.charges()) == 1


def test_a_redo_that_fails_leaves_image_and_copies_in_place(project, witness):
    path = buy(project, job("cat"), deliver=SHOP)
    before = {name: (output(project) / name).read_bytes() for name in names(project)}
    (project.folder / "new.csv").write_text("id,prompt\ncat,Another cat [sandbox: refuse]\n")
    assert project.run("redo", path, "--prompts", "new.csv", "--yes").code == 3
    assert {name: (output(project) / name).read_bytes() for name in names(project)} == before
    (project.folder / "new.csv").write_text("id,prompt\ncat,A third cat\n")
    done = project.run("retry", path, "--prompts", "new.csv", "--yes")
    assert done.code == 0, done.err
    assert names(project) == set(before)
    assert all((output(project) / name).read_bytes() != data for name, data in before.items())
    assert len(witness.charges()) == 2
