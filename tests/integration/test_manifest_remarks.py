"""What a manifest says and nobody can have meant: told before it costs anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.errors import ManifestError
from batchgen.manifest import load

HEAD = "defaults: {provider: aigate}\n"


@pytest.fixture
def write(tmp_path):
    def make(jobs: str, *, top: str = "", **files: str) -> Path:
        for name, content in files.items():
            (tmp_path / name.replace("_", ".")).write_text(content, encoding="utf-8")
        path = tmp_path / "m.yaml"
        path.write_text(f"{HEAD}{top}jobs:\n  - {{{jobs}}}\n", encoding="utf-8")
        return path

    return make


def told(path: Path) -> list[str]:
    """Return the warnings of a manifest, without its folder."""
    return [str(problem).replace(f"{path.parent}/", "") for problem in load(path).warnings]


def wrong(path: Path) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        load(path)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


# --- cells ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "rows", "places"),
    [
        ("csv", "id,images,size\na,,1024x1024\nb,  ,\nc\n", ["l.csv:2:3", "l.csv:3:3", "l.csv:4:1"]),
        ("jsonl", '{"id": "a", "images": ""}\n{"images": null, "id": "b"}\n', ["l.jsonl:1:23", "l.jsonl:2:12"]),
    ],
    ids=["csv", "jsonl"],
)
def test_an_edit_without_an_image_is_no_generation(write, kind, rows, places):
    found = wrong(write(f"prompt: Remove the background, from: l.{kind}", **{f"l_{kind}": rows}))
    assert [line.split(": ")[0] for line in found] == places
    assert all("jobs[0].images: is empty, so that there is nothing to edit" in line for line in found)
    assert 'where: {images: "?*"}' in found[0]


def test_a_row_that_says_nothing_of_images_is_a_generation(write):
    assert len(load(write("prompt: A cat, from: l.jsonl", l_jsonl='{"id": "a"}\n')).jobs) == 1


@pytest.mark.parametrize(
    ("kind", "rows", "warnings"),
    [
        ("csv", "ID,Size,Prompt,title\na,big,p,x\n", ["1:1 ID id", "1:4 Size size"]),
        ("csv", "ID,id,title\na,b,x\n", []),
        ("jsonl", '{"title": "x", "Size": "big"}\n', ["1:24 Size size"]),
    ],
    ids=["csv", "no other", "jsonl"],
)
def test_a_column_that_sets_nothing_is_told(write, kind, rows, warnings):
    found = told(write(f"prompt: 'Photo {{{{ title }}}}', from: l.{kind}", **{f"l_{kind}": rows}))
    assert [" ".join(line.replace("'", " ").split()) for line in found] == [
        f"l.{kind}:{place}: jobs[0]: the column {name} sets nothing: parameters are written small "
        f"(did you mean column {word} ?)"
        for place, name, word in map(str.split, warnings)
    ]


@pytest.mark.parametrize(
    ("prompt", "told_of"),
    [
        ("Photo of {{ what }}, {{ how | upper }}", ["l.csv:3:3: jobs[0]: 'how' is empty in 2 rows, first here"]),
        ("{{ what ~ how }}", ["l.csv:3:3: jobs[0]: 'how' is empty in 2 rows, first here"]),
        ("{{ what }}{% if how %} in {{ how }}{% endif %}", []),
        ('{{ what }} {{ how | default("plain") }}', []),
        ('{{ what }} {{ how if how else "plain" }}', []),
        ("{% if what %}{{ what }}, {{ how }}{% endif %}", ["l.csv:3:3: jobs[0]: 'how' is empty in 2 rows, first here"]),
    ],
    ids=["written", "together", "tested", "default", "else", "another tested"],
)
def test_a_gap_in_a_text_is_told_once(write, prompt, told_of):
    found = told(write(f"id: '{{{{ what }}}}', prompt: '{prompt}', from: l.csv", l_csv="what,how\na,red\nb,\nc\n"))
    assert [line.partition(": it leaves")[0] for line in found] == told_of
