"""Folders of images: what is taken, what is left out and shown, and how messages name a photo."""

from __future__ import annotations

from pathlib import Path
from unicodedata import normalize

import pytest
from PIL import Image

from batchgen.errors import ManifestError
from batchgen.manifest import load
from batchgen.manifest.lists import BadList, Exclusion, Pick, listing
from batchgen.manifest.lists.globs import matches, parts_of

TOP = "version: 1\ndefaults: {provider: aigate, model: openai/gpt-image-2, size: 1024x1024, quality: low}\njobs:\n"


@pytest.fixture
def shelf(tmp_path: Path):
    """Return a function that makes files; those named like images hold a JPEG each with a color of its own."""

    def make(*names: str) -> Path:
        for number, name in enumerate(names):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 6), (number * 7 % 256, 3, 5)).save(path, "JPEG")
        return tmp_path

    return make


def paths(folder: Path, name: str = "ph", **options) -> list[str]:
    return [row["path"] for _, row in listing(name, folder, **options).rows(lambda *_: None)]


def remarks(folder: Path, name: str = "ph", **options) -> list[str]:
    return [message for _, message, _ in listing(name, folder, **options).remarks]


def manifest(folder: Path, job: str) -> Path:
    path = folder / "m.yaml"
    path.write_text(f"{TOP}  - {{{job}}}\n", encoding="utf-8")
    return path


def warnings(path: Path) -> list[str]:
    return [str(problem).replace(f"{path.parent}/", "") for problem in load(path).warnings]


def problems(path: Path) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        load(path)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


# --- kinds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "suffix", ["jpg", "JPG", "jpeg", "jpe", "jfif", "JFIF", "jif", "jfi", "pjpeg", "pjp", "jpg_large", "mpo"]
)
def test_jpegs_of_every_name_are_taken(shelf, suffix):
    folder = shelf(f"ph/a.{suffix}")
    [job] = load(manifest(folder, "from: ph, prompt: x")).jobs
    assert (job.key, job.task.images[0].mime) == ("a", "image/jpeg")


def test_files_left_out_are_shown_in_one_line_by_kind(shelf):
    names = ["d.heic", "a.HEIC", "b.heif", "c.heic", "x.cr2", "y.nef", "n.txt", "v.mov", "k.svg", "no-suffix", ".h.jpg"]
    folder = shelf("ph/ok.jpg", *(f"ph/{name}" for name in names), "ph/.private/x.jpg")
    [remark] = remarks(folder)
    assert remark == (
        "left out: 4 HEIC (a.HEIC, b.heif, c.heic, ...): write convert: jpeg; "
        "2 RAW (x.cr2, y.nef): export them as jpg or png; 1 SVG (k.svg): export them as jpg or png; "
        "1 .mov (v.mov); 1 .txt (n.txt); 1 hidden file (.h.jpg); 1 hidden folder (.private); "
        "1 without suffix (no-suffix)"
    )
    [warning] = warnings(manifest(folder, "from: ph, prompt: x"))
    assert warning.startswith("m.yaml:4:12: jobs[0].from: ph: left out: 4 HEIC (")


def test_many_kinds_of_files_are_summed_up(shelf):
    kinds = [f"ph/x{number:02}.k{number:02}" for number in range(30)]
    folder = shelf("ph/ok.jpg", "ph/a.heic", *kinds)
    [remark] = remarks(folder)
    assert remark.startswith("left out: 1 HEIC (a.heic): write convert: jpeg; 1 .k00 (x00.k00); ")
    assert remark.endswith("; 1 .k08 (x08.k08); 21 others (x09.k09, x10.k10, x11.k11, ...)")


def test_files_of_the_system_are_not_mentioned(shelf):
    system = [
        ".DS_Store",
        "Thumbs.db",
        "desktop.ini",
        "._ok.jpg",
        "@eaDir/t.jpg",
        ".git/x.jpg",
        "__MACOSX/._ok.jpg",
        "sandbox-output/x.jpg",
    ]
    beside = ["ok.json", "ok.jpg.json", "ok.xmp", "ok.aae", "settings.yaml"]
    folder = shelf("ph/ok.jpg", *(f"ph/{name}" for name in (*system, *beside)))
    assert paths(folder) == ["ok.jpg"]
    assert remarks(folder) == []


def test_convert_takes_the_kinds_that_it_can_convert(shelf):
    folder = shelf("ph/a.heic", "ph/b.avif", "ph/c.TIF", "ph/d.bmp", "ph/e.gif", "ph/f.cr2", "ph/g.jpg")
    assert paths(folder, convert=True) == ["a.heic", "b.avif", "c.TIF", "d.bmp", "e.gif", "g.jpg"]
    assert remarks(folder, convert=True) == ["left out: 1 RAW (f.cr2): export them as jpg or png"]


def test_a_folder_of_other_kinds_alone_names_them(shelf):
    folder = shelf("ph/a.heic", "ph/b.heic")
    with pytest.raises(BadList, match=r"there is no image .* 2 HEIC .a.heic, b.heic.: write convert: jpeg"):
        listing("ph", folder)


# --- globs and exclude ------------------------------------------------------------------------------------------------


def test_a_glob_shows_folders_and_suffixes_that_it_misses(shelf):
    folder = shelf("ph/a.jpg", "ph/B.JPG", "ph/C.JPG", "ph/album/d.jpg", "ph/e.png")
    assert paths(folder, "ph/*.jpg") == ["a.jpg"]
    assert remarks(folder, "ph/*.jpg") == ["left out: 2 in .JPG (B.JPG, C.JPG): write ph/*.[jJ][pP][gG]"]
    assert paths(folder, "ph/*.[jJ][pP][gG]") == ["B.JPG", "C.JPG", "a.jpg"]
    assert remarks(folder, "ph/*") == ["left out: 1 folder (album): write ph/**"]
    assert remarks(folder, "ph/**") == []


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (["*.bak.jpg"], ["a.jpg", "raw/c.jpg", "raw/d.jpg"]),
        (["raw"], ["a.bak.jpg", "a.jpg"]),
        (["raw/"], ["a.bak.jpg", "a.jpg"]),
        (["raw/c*"], ["a.bak.jpg", "a.jpg", "raw/d.jpg"]),
        (["ph/raw/*"], ["a.bak.jpg", "a.jpg"]),
        (["**/c.jpg", "a.*"], ["raw/d.jpg"]),
    ],
)
def test_exclude_leaves_files_and_folders_out(shelf, exclude, left):
    folder = shelf("ph/a.jpg", "ph/a.bak.jpg", "ph/raw/c.jpg", "ph/raw/d.jpg")
    assert paths(folder, exclude=Exclusion(exclude)) == left
    assert remarks(folder, exclude=Exclusion(exclude)) == []


def test_exclude_in_a_manifest(shelf):
    folder = shelf("ph/a.jpg", "ph/b.jpg", "ph/c.jpg")
    path = manifest(folder, "from: {path: ph, exclude: b.*}, prompt: x")
    assert [job.key for job in load(path).jobs] == ["a", "c"]
    path = manifest(folder, "from: {path: ph, exclude: [b.*, nothing*]}, prompt: x")
    assert "exclude matches nothing: no file or folder matches 'nothing*'" in warnings(path)[0]
    (folder / "l.csv").write_text("prompt\nx\n", encoding="utf-8")
    path = manifest(folder, "from: {path: [ph, more], exclude: b.*}, id: '{{ images }}', prompt: x")
    (folder / "more").mkdir()
    (folder / "ph" / "c.jpg").rename(folder / "more" / "c.jpg")
    assert ([job.key for job in load(path).jobs], warnings(path)) == (["ph/a.jpg", "more/c.jpg"], [])
    path = manifest(folder, "from: {path: l.csv, exclude: b.*}")
    assert "exclude leaves images of a folder out; rows of a list are chosen with where" in problems(path)[0]


def test_exclude_comes_before_limit_and_numbers(shelf):
    folder = shelf("ph/a.jpg", "ph/b.jpg", "ph/c.jpg")
    assert paths(folder, exclude=Exclusion(["a.jpg"]), pick=Pick(limit=1)) == ["b.jpg"]


def test_many_stars_in_a_glob_take_no_time():
    many = ("x",) * 40
    assert not matches(many, parts_of("**/x/" * 20 + "y"))
    assert matches((*many, "y"), parts_of("**/x/" * 20 + "y"))


# --- links ------------------------------------------------------------------------------------------------------------


def test_a_linked_folder_is_followed_once(shelf):
    folder = shelf("ph/a.jpg", "album/b.jpg", "album/deep/c.jpg", "ph/own/d.jpg")
    (folder / "ph" / "more").symlink_to(folder / "album")
    (folder / "ph" / "again").symlink_to("../album")
    (folder / "ph" / "aaa").symlink_to("own")  # by its own path a folder has the better name
    assert paths(folder) == ["a.jpg", "again/b.jpg", "again/deep/c.jpg", "own/d.jpg"]
    assert remarks(folder) == []


def test_links_that_lead_back_are_no_loop(shelf):
    folder = shelf("ph/a.jpg", "ph/deep/b.jpg", "other/c.jpg")
    (folder / "ph" / "deep" / "up").symlink_to("../..")
    (folder / "ph" / "self").symlink_to(".")
    (folder / "other" / "there").symlink_to(folder / "ph")
    (folder / "ph" / "side").symlink_to(folder / "other")
    (folder / "ph" / "gone.jpg").symlink_to("nowhere.jpg")
    assert paths(folder) == ["a.jpg", "deep/b.jpg", "side/c.jpg"]
    assert remarks(folder) == ["left out: 3 links that lead back (deep/up, self, side/there); 1 broken link (gone.jpg)"]


def test_a_link_to_the_output_folder_yields_no_results(shelf):
    folder = shelf("ph/a.jpg", "output/m/b.jpg")
    (folder / "ph" / "made").symlink_to(folder / "output" / "m")
    (folder / "ph" / "all").symlink_to(folder / "output")
    assert paths(folder, leave_out=folder / "output" / "m") == ["a.jpg"]


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Füße", "Füße/*", "Füße/**/*.jpg", "./Füße"])
@pytest.mark.parametrize(("typed", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_folder_is_found_in_either_unicode_form(shelf, name, typed, on_disk):
    folder = shelf(normalize(on_disk, "Füße/a.jpg"))
    [(_, row)] = listing(normalize(typed, name), folder).rows(lambda *_: None)
    assert (folder / row["images"]).is_file()


@pytest.mark.parametrize(
    ("name", "meant"),
    [("photos", "Photos"), ("Photo/*.jpg", "Photos/*.jpg"), ("List.csv", "list.csv"), ("Photos\\deep", "Photos/deep")],
)
def test_a_similar_name_is_offered_for_a_list(shelf, name, meant):
    folder = shelf("Photos/deep/a.jpg")
    (folder / "list.csv").write_text("prompt\nx\n", encoding="utf-8")
    with pytest.raises(BadList, match="there is no such") as caught:
        listing(name, folder)
    assert str(caught.value).endswith(f"; did you mean {meant!r}?")


# --- messages ---------------------------------------------------------------------------------------------------------


def test_messages_name_the_photo(shelf):
    folder = shelf("ph/a.jpg", "ph/a.jpe", "ph/deep/b.jpg")
    (folder / "ph" / "deep" / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    damaged, taken = problems(manifest(folder, "from: ph, prompt: x"))
    assert taken.startswith("ph/a.jpg: jobs[0].id: the id 'a' is already taken (ph/a.jpe) (")
    assert 'id: "{{ path }}"' in taken
    assert damaged.startswith("ph/deep/b.jpg: jobs[0].images: ph/deep/b.jpg is damaged: ")
    assert damaged.endswith("(fix the image, or make the other jobs with  on_bad_source: skip)")
    assert len(load(manifest(folder, 'from: "ph/*", id: "{{ path }}", prompt: x')).jobs) == 2


def test_the_same_request_twice_names_both_photos(shelf):
    folder = shelf("ph/a.jpg")
    (folder / "ph" / "b.jpg").write_bytes((folder / "ph" / "a.jpg").read_bytes())
    [warning] = warnings(manifest(folder, "from: ph, prompt: x"))
    assert warning.startswith("ph/b.jpg: jobs[0]: asks for exactly the same image as the job at ph/a.jpg (")


# --- brackets, links and Unicode forms in names -----------------------------------------------------------------------


def made(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (len(name), 0, 0)).save(folder / name)


def jobs_of(folder, job):
    (folder / "m.yaml").write_text(
        f"defaults: {{provider: aigate, prompt: go}}\njobs:\n  - {{{job}}}\n", encoding="utf-8"
    )
    return list(load(folder / "m.yaml").jobs)


@pytest.mark.parametrize(
    "pattern", ["[2024] Summer/*.png", "[2024] Summer/[[]x]/*.png", "[2024] Summer", "[2024] S*/*.png"]
)
def test_brackets_in_the_name_of_a_folder_are_literal(tmp_path, pattern):
    made(tmp_path, "[2024] Summer/a.png", "[2024] Summer/[x]/a.png")
    expected = {"[2024] S*/*.png": 0, "[2024] Summer": 2}.get(pattern, 1)
    try:
        found = jobs_of(tmp_path, f'from: "{pattern}"')
    except ManifestError:
        found = []
    assert len(found) == expected
    if pattern.endswith("Summer/*.png"):
        [edit] = jobs_of(tmp_path, f'id: x, images: "{pattern}"')
        assert edit.task.images[0].path == str(tmp_path / "[2024] Summer/a.png")


@pytest.mark.parametrize("glob", ["[1].png", "\u00e9*.png", "b/[1].png"])
def test_exclude_takes_names_literally_and_in_either_unicode_form(tmp_path, glob):
    made(tmp_path, "ph/[1].png", "ph/b/[1].png", normalize("NFD", "ph/été.png"), "ph/keep.png")
    left = {"[1].png": 2, "\u00e9*.png": 3, "b/[1].png": 3}[glob]
    assert len(jobs_of(tmp_path, f'id: "{{{{ row }}}}", from: {{path: ph, exclude: "{glob}"}}')) == left


def test_link_to_nothing_is_named_as_a_link(tmp_path):
    (tmp_path / "gone.png").symlink_to("away.png")
    with pytest.raises(ManifestError) as caught:
        jobs_of(tmp_path, "id: x, images: gone.png")
    [problem] = caught.value.problems
    assert problem.message == "gone.png: is a link to away.png, which does not exist"


# --- ids of photos with odd names -------------------------------------------------------------------------------------


def test_photos_with_names_that_no_output_file_may_have_are_taken(shelf):
    names = [" lead", "trail ", "-dash", "dots..", "what?", "a:b", "CON", "~tmp"]
    folder = shelf(*(f"ph/{name}.jpg" for name in names), "ph/lead.jpg")
    jobs = jobs_of(folder, "from: ph, prompt: White background")
    ids = sorted(job.key for job in jobs)
    assert ids == sorted(["_lead", "trail_", "_dash", "dots._", "what_", "a_b", "CON_", "_tmp", "lead"])
    assert len({job.task.images[0].path for job in jobs}) == 9
