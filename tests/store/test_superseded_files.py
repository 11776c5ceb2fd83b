"""Files of an earlier form of a job go aside when its new ones come: never lost, never left beside them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from batchgen.app import verify
from batchgen.app.project import Project
from batchgen.errors import StoreError
from batchgen.files.output import SUPERSEDED, publish, withdraw
from batchgen.planning.selection import Selection
from tests.faults.kit import Site, by_prompt, drawing, in_order, shows, site
from tests.files.test_output import killed_at

JPEG, PNG, WEBP = drawing("JPEG"), drawing("PNG"), drawing("WEBP")
#: Three pictures that differ.
THREE = [drawing("JPEG", shade=shade) for shade in (10, 60, 110)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    with site(tmp_path, monkeypatch) as made:
        yield made


def beside(place: Site) -> set[str]:
    """Return the names in the output folder that are not aside."""
    folder = place.folder / "output" / "batch"
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] != SUPERSEDED}


def aside(place: Site) -> dict[str, bytes]:
    folder = place.folder / "output" / "batch" / SUPERSEDED
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]


def sound(place: Site) -> bool:
    found = verify.verify(Project.of(place.folder, None), None, Selection(), depth="deep")
    assert found.checked
    return found.problems == []


STAGE = {"one": shows(JPEG), "two": shows(PNG), "three": shows(*THREE), "four": shows(WEBP)}


def test_a_changed_job_in_another_format_leaves_nothing_beside(place):
    stage = place.serve(by_prompt(**STAGE))
    place.run_all(stage, {"id": "cat", "prompt": "one"}, {"id": "cat-1", "prompt": "one"})
    old = (place.folder / "output/batch/cat.jpg.json").read_bytes()
    assert beside(place) == {"cat.jpg", "cat.jpg.json", "cat-1.jpg", "cat-1.jpg.json"}

    place.run_all(stage, {"id": "cat", "prompt": "two"}, {"id": "cat-1", "prompt": "one"})
    assert beside(place) == {"cat.png", "cat.png.json", "cat-1.jpg", "cat-1.jpg.json"}
    assert aside(place) == {f"cat.{tag(JPEG)}.jpg": JPEG, f"cat.{tag(JPEG)}.jpg.json": old}
    assert sound(place)

    place.run_all(stage, {"id": "cat", "prompt": "four"}, {"id": "cat-1", "prompt": "one"})
    assert beside(place) == {"cat.webp", "cat.webp.json", "cat-1.jpg", "cat-1.jpg.json"}
    assert {name for name in aside(place) if not name.endswith("json")} == {
        f"cat.{tag(JPEG)}.jpg", f"cat.{tag(PNG)}.png"
    }  # fmt: skip
    assert sound(place)
    assert len(stage.posts) == 4


def test_replaced_images_and_their_sidecars_share_a_stem_however_often(place):
    """The same image, delivered by two attempts, has two sidecars: neither replaces the other."""
    stage = place.serve(by_prompt(**STAGE))
    attempts = []
    for prompt in ("one", "two", "one", "two", "four"):
        place.run_all(stage, {"id": "a/cat", "prompt": prompt})
        [file] = (place.folder / "output/batch/a").glob("*.json")
        attempts.append(json.loads(file.read_bytes())["attempt"])
    names = aside(place)
    images = {f"a/cat.{tag(JPEG)}.jpg": JPEG, f"a/cat.{tag(PNG)}.png": PNG}
    assert {name: data for name, data in names.items() if not name.endswith(".json")} == images
    sidecars = {name: json.loads(data) for name, data in names.items() if name.endswith(".json")}
    assert {each["attempt"] for each in sidecars.values()} == set(attempts[:-1])
    assert all(f"{image}.json" in sidecars for image in images)
    for name, each in sidecars.items():
        [image] = [image for image in images if name.startswith(image.rpartition(".")[0])]
        assert each["file"]["sha256"] == hashlib.sha256(images[image]).hexdigest()


@pytest.mark.parametrize("sidecar", [True, False])
def test_numbered_files_go_when_one_is_wanted(place, sidecar):
    stage = place.serve(by_prompt(**STAGE))
    top = {"output": {"dir": "output/batch", "sidecar": sidecar}}
    place.run_all(stage, {"id": "cat", "prompt": "three", "n": 3, "per_request": 3}, top=top, preset="openai")
    assert {name for name in beside(place) if not name.endswith("json")} == {f"cat-{n}.jpg" for n in (1, 2, 3)}

    place.run_all(stage, {"id": "cat", "prompt": "two"}, top=top)
    assert beside(place) == ({"cat.png", "cat.png.json"} if sidecar else {"cat.png"})
    assert {name for name in aside(place) if not name.endswith("json")} == {
        f"cat-{number}.{tag(data)}.jpg" for number, data in enumerate(THREE, 1)
    }
    assert len(aside(place)) == (6 if sidecar else 3)
    assert sound(place)


@pytest.mark.parametrize("sidecar", [True, False])
def test_a_file_that_another_job_counts_on_now_stays(place, sidecar):
    """The new job cat-1 has the very bytes, under the very name, that cat had as its first of three."""
    stage = place.serve(by_prompt(in_order(shows(THREE[0])), **STAGE))
    top = {"output": {"dir": "output/batch", "sidecar": sidecar}}
    place.run_all(stage, {"id": "cat", "prompt": "three", "n": 3, "per_request": 3}, top=top, preset="openai")
    place.run_all(stage, {"id": "cat-1", "prompt": "other"}, top=top)
    place.run_all(stage, {"id": "cat-1", "prompt": "other"}, {"id": "cat", "prompt": "two"}, top=top)
    images = {name for name in beside(place) if not name.endswith("json")}
    assert images == {"cat.png", "cat-1.jpg"}
    assert (place.folder / "output/batch/cat-1.jpg").read_bytes() == THREE[0]
    assert sound(place)


def test_old_names_go_when_the_template_of_names_changed_too(place):
    stage = place.serve(by_prompt(**STAGE))
    place.run_all(stage, {"id": "cat", "prompt": "one"}, top={"output": {"dir": "output/batch", "file": "a/{{ id }}"}})
    top = {"output": {"dir": "output/batch", "file": "b/{{ id }}"}}
    place.run_all(stage, {"id": "cat", "prompt": "one"}, top=top)
    assert beside(place) == {"a/cat.jpg", "a/cat.jpg.json"}  # the same job: nothing is redone, nothing moves
    place.run_all(stage, {"id": "cat", "prompt": "two"}, top=top)
    assert beside(place) == {"b/cat.png", "b/cat.png.json"}
    assert f"a/cat.{tag(JPEG)}.jpg" in aside(place)
    assert sound(place)


@pytest.mark.parametrize("change", ["edited", "replaced", "gone", "moved"])
def test_what_the_user_did_with_an_old_file_is_left_alone(place, change):
    stage = place.serve(by_prompt(**STAGE))
    place.run_all(stage, {"id": "cat", "prompt": "one"})
    old = place.folder / "output/batch/cat.jpg"
    if change == "edited":
        old.write_bytes(JPEG + b"a person's")
    elif change == "replaced":
        old.with_name("cat.jpg.json").write_text('{"mine": true}')
    else:
        for path in (old, old.with_name("cat.jpg.json")):
            path.unlink()
    if change == "moved":
        (place.folder / "elsewhere").mkdir()
        old.symlink_to(place.folder / "elsewhere")
    before = {path: path.read_bytes() for path in old.parent.glob("cat.jpg*") if path.is_file()}
    place.run_all(stage, {"id": "cat", "prompt": "two"})
    assert {path: path.read_bytes() for path in old.parent.glob("cat.jpg*") if path.is_file()} == before
    assert old.is_symlink() == (change == "moved")
    assert aside(place) == {}
    assert sound(place)


def test_a_run_cut_off_between_new_and_old_is_fixed_by_the_next(place, monkeypatch):
    stage = place.serve(by_prompt(**STAGE))
    place.run_all(stage, {"id": "cat", "prompt": "one"})

    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr("batchgen.files.output.withdraw", full)
    with pytest.raises(StoreError, match="disk is full"):
        place.run_all(stage, {"id": "cat", "prompt": "two"})
    assert {"cat.jpg", "cat.png"} <= beside(place)
    assert place.job("cat")["state"] == "running"

    monkeypatch.setattr("batchgen.files.output.withdraw", withdraw)
    place.run_all(stage, {"id": "cat", "prompt": "two"})
    assert beside(place) == {"cat.png", "cat.png.json"}
    assert place.job("cat")["state"] == "done"
    assert len(stage.posts) == 2  # nothing was bought for it
    assert sound(place)


# --- one file ---------------------------------------------------------------------------------------------------------

MINE = "0123456789abcdef" * 2
SAID = f'{{"attempt": "{MINE}"}}'.encode()


def put_aside(root: Path, name: str = "a/cat.jpg", data: bytes = b"old", *, bare: bool = False) -> None:
    withdraw(root, name, hashlib.sha256(data).hexdigest(), MINE, bare=lambda: bare)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_withdrawing_twice_is_as_once(tmp_path):
    publish(tmp_path, "a/cat.jpg", b"old", sidecar=SAID)
    for _ in range(2):
        put_aside(tmp_path)
        assert tree(tmp_path) == {
            f"{SUPERSEDED}/a/cat.{tag(b'old')}.jpg": b"old",
            f"{SUPERSEDED}/a/cat.jpg.{tag(SAID)}.json": SAID,
        }


@pytest.mark.parametrize("bare", [True, False])
def test_without_a_sidecar_the_caller_decides(tmp_path, bare):
    publish(tmp_path, "a/cat.jpg", b"old")
    put_aside(tmp_path, bare=bare)
    assert ("a/cat.jpg" in tree(tmp_path)) != bare
    assert list(tree(tmp_path).values()) == [b"old"]


def test_a_folder_that_is_gone_is_not_made_again(tmp_path):
    put_aside(tmp_path / "nowhere")
    put_aside(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_of_the_file_system_is_reported(tmp_path):
    publish(tmp_path, "a/cat.jpg", b"old", sidecar=SAID)
    (tmp_path / SUPERSEDED).write_text("in the way")
    with pytest.raises(StoreError, match="nothing is lost"):
        put_aside(tmp_path)
    assert (tmp_path / "a/cat.jpg").read_bytes() == b"old"


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("call", ["mkdir", "link", "unlink", "fsync"])
def test_a_kill_at_any_step_loses_nothing_and_is_completed(tmp_path, call, nth):
    publish(tmp_path, "a/cat.jpg", b"old", sidecar=SAID)
    code = """
        import sys
        from pathlib import Path
        from batchgen.files.output import withdraw
        withdraw(Path(sys.argv[1]), "a/cat.jpg", sys.argv[2], sys.argv[3], bare=lambda: True)
        """
    killed_at(call, nth, code, tmp_path, hashlib.sha256(b"old").hexdigest(), MINE)
    assert set(tree(tmp_path).values()) == {b"old", SAID}
    put_aside(tmp_path, bare=True)
    assert tree(tmp_path) == {
        f"{SUPERSEDED}/a/cat.{tag(b'old')}.jpg": b"old",
        f"{SUPERSEDED}/a/cat.jpg.{tag(SAID)}.json": SAID,
    }
