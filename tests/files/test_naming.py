"""Names of files as people type them: literal, in another Unicode form, or nearly right."""

from __future__ import annotations

from unicodedata import normalize

import pytest

from batchgen.files.naming import find, joined, similar


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_a_name_is_found_in_either_unicode_form(tmp_path, typed, on_disk):
    name = normalize(on_disk, "Füße/Señor é.png")
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).touch()
    assert find(tmp_path, normalize(typed, "Füße/Señor é.png")) == name
    assert find(tmp_path, str(tmp_path / normalize(typed, "Füße/Señor é.png"))) == str(tmp_path / name)
    assert find(tmp_path, "Füße/other é.png") is None


def test_parts_and_letters_of_a_name_may_differ_in_form(tmp_path):
    folder, file = normalize("NFD", "Füße"), normalize("NFC", "é") + normalize("NFD", "ü") + ".png"
    (tmp_path / folder).mkdir()
    (tmp_path / folder / file).touch()
    assert find(tmp_path, normalize("NFC", "Füße/éü.png")) == f"{folder}/{file}"


@pytest.mark.parametrize("name", [" lead.png", "trail.png ", "x;y.png", "[1].png", "a*.png", "what?.png", "{b}.png"])
def test_a_name_is_literal(tmp_path, name):
    (tmp_path / name).touch()
    assert find(tmp_path, name) == name
    assert find(tmp_path, f"{name}x") is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Cat.PNG", "cat.png"), (" cat.png", "cat.png"), ("cat.jpg", "cat.png"), ("caat.png", "cat.png"),
        ("deep\\dog.png", "deep/dog.png"), ("deep/DOG.png", "deep/dog.png"), ("horse.webp", None), ("no/cat.png", None),
    ],
)  # fmt: skip
def test_a_similar_name_is_offered(tmp_path, name, meant):
    (tmp_path / "deep").mkdir()
    (tmp_path / "cat.png").touch()
    (tmp_path / "deep" / "dog.png").touch()
    assert similar(tmp_path, name) == meant


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mugs/red.jpg", "../photos/mugs/red.jpg"), ("photos/mugs/red.jpg", "../photos/mugs/red.jpg"),
        ("list.csv", "../list.csv"), ("vase.jpg", "raw/vase.jpg"), ("secret.jpg", None), ("/list.csv", None),
        ("rad.jpg", None),
    ],
)  # fmt: skip
def test_the_same_name_is_found_in_a_folder_nearby(tmp_path, name, meant):
    for file in ("photos/mugs/red.jpg", "list.csv", "jobs/raw/vase.jpg", ".hidden/secret.jpg", "batchgen.yaml"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert similar(tmp_path / "jobs", name) == meant


def test_folders_that_are_not_of_the_project_are_not_searched(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "cat.png").touch()
    (tmp_path / "jobs").mkdir()
    assert similar(tmp_path / "jobs", "cat.png") is None
    monkeypatch.chdir(tmp_path)
    assert similar(tmp_path / "jobs", "cat.png") == "../other/cat.png"


def test_a_path_is_shown_without_dots_unless_a_link_gives_them_their_meaning(tmp_path):
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "link").symlink_to("far/deep")
    assert joined(tmp_path / "jobs", "../lists/a.csv") == str(tmp_path / "lists" / "a.csv")
    assert joined(tmp_path / "link", "../a.csv") == str(tmp_path / "link" / ".." / "a.csv")


def test_a_similar_folder_is_offered_where_it_has_the_file(tmp_path):
    (tmp_path / "Fotos/chairs").mkdir(parents=True)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "Fotos/chairs/oak.jpg").touch()
    assert similar(tmp_path / "jobs", "../Foto/chair/oak.jpg") == "../Fotos/chairs/oak.jpg"
    assert similar(tmp_path / "jobs", "../Foto/chair/elm.jpg") is None
    assert similar(tmp_path, str(tmp_path / "Foto/chairs/oak.jpg")) == str(tmp_path / "Fotos/chairs/oak.jpg")
