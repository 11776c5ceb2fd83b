"""What a manifest says and nobody can have meant: told before it costs anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

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
    assert all("jobs[0].images: is empty, so there is nothing to edit" in line for line in found)
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
def test_a_column_that_sets_nothing_is_reported(write, kind, rows, warnings):
    found = told(write(f"prompt: 'Photo {{{{ title }}}}', from: l.{kind}", **{f"l_{kind}": rows}))
    assert [" ".join(line.replace("'", " ").split()) for line in found] == [
        f"l.{kind}:{place}: jobs[0]: the column {name} sets nothing: the parameter is {word} "
        f"(write columns: {{{word}: {name}}} under from)"
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
def test_a_gap_in_a_text_is_reported_once(write, prompt, told_of):
    found = told(write(f"id: '{{{{ what }}}}', prompt: '{prompt}', from: l.csv", l_csv="what,how\na,red\nb,\nc\n"))
    assert [line.partition(": it leaves")[0] for line in found] == told_of


# --- choices ----------------------------------------------------------------------------------------------------------


def test_what_matches_no_row_is_reported(write):
    rows = "title,kind\na,Shoe\nb,bag\n"
    found = told(write('prompt: "{{ title }}", from: {path: l.csv, where: {kind: [shoe*, bag, b*]}}', l_csv=rows))
    message = "l.csv: where matches nothing: no 'kind' matches 'shoe*' (upper and lower case count)"
    assert found == [f"m.yaml:3:35: jobs[0].from: {message}"]


def test_what_excludes_nothing_is_reported(write):
    matrix = "{a: [1, 2], b: [x], exclude: [{a: 1}, {a: '2'}]}"
    found = told(write(f'prompt: "{{{{ a }}}} {{{{ b }}}}", matrix: {matrix}'))
    assert [line.partition(": excludes nothing")[0] for line in found] == ["m.yaml:3:79: jobs[0].matrix.exclude[1]"]


@pytest.mark.parametrize(
    ("prompt", "warnings"),
    [("'{% if big %}Big{% endif %}'", 1), ("'{% if true %}A{% endif %}{{ \"\" }}'", 0), ("'a {cat}'", 0)],
    ids=["tags alone", "with braces", "braces alone"],
)
def test_tags_that_stay_as_they_are_are_reported(write, prompt, warnings):
    found = told(write(f"prompt: {prompt}"))
    assert [line.partition(" (")[0] for line in found] == [
        "m.yaml:3:14: jobs[0].prompt: contains {% but no {{ }}, so it is not a template: it is sent as it is"
    ] * warnings


# --- folders ----------------------------------------------------------------------------------------------------------

SIDECAR = '{"schema_version": 1, "batch": "b", "id": "x", "attempt": "1", "fingerprint": "1:x", "file": {}}'


@pytest.fixture
def shelf(tmp_path):
    def make(*names: str) -> None:
        for name in names:
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".png":
                Image.new("RGB", (4, 4)).save(path)
            else:
                path.write_text(SIDECAR if path.suffix == ".json" else "x", encoding="utf-8")

    return make


def test_images_of_other_kinds_are_reported(write, shelf):
    shelf("a.png", "b.HEIC", "deep/c.gif", "notes.txt", ".d.gif")
    path = write("prompt: x, from: photos")
    assert len(load(path).jobs) == 1
    groups = "1 GIF (deep/c.gif): write convert: png; 1 HEIC (b.HEIC): write convert: jpeg; 1 .txt (notes.txt)"
    assert told(path) == [f"m.yaml:3:23: jobs[0].from: photos: left out: {groups}; 1 hidden file (.d.gif)"]


def test_a_folder_of_other_kinds_alone_says_so(write, shelf):
    shelf("b.heic")
    assert (
        "there is no image (png, jpg, webp); left out: 1 HEIC (b.heic): write convert: jpeg"
        in wrong(write("prompt: x, from: photos"))[0]
    )


@pytest.mark.parametrize("source", ["photos", '"photos/**/*.png"'])
def test_results_of_another_batch_never_become_sources(write, shelf, tmp_path, source):
    shelf("a.png", "out/cat.png", "out/cat.png.json", "out/note.png")
    (tmp_path / "photos" / "a.png.json").write_text('{"taken": "in Oslo"}')
    path = write(f"id: '{{{{ path }}}}', prompt: x, from: {source}")
    assert [job.key for job in load(path).jobs] == ["a.png", "out/note.png"]
    assert "left out: 1 result with a sidecar (out/cat.png): to edit results" in told(path)[0]


def test_a_folder_of_results_alone_is_meant(write, shelf):
    shelf("cat.png", "cat.png.json", "deep/dog.png", "deep/dog.png.json")
    path = write("prompt: 'x {{ stem }}', from: photos")
    assert (len(load(path).jobs), told(path)) == (2, [])


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('  - prompt: "A cat\n  - prompt: "B"\n', "m.yaml:3:13: the quote that opens here is closed only in line 4"),
        ("  - {id: a, prompt: 'it's a cat'}\n", "m.yaml:3:25: text follows a closing quote (write '' for"),
        ('  - prompt: "a "red" cat"\n', 'm.yaml:3:17: text follows a closing quote (write \\" for'),
        ("  id: a\n  prompt: B\n", "m.yaml:3:3: jobs: should be a list, is a mapping (start each item with a dash)"),
        ("  - prompt: x {{ TITLE }}\n    from: l.csv\n", "did you mean 'title'? there are: Product_Title, name"),
        ("  - {prompt: x, images: folder}\n", "jobs[0].images: folder is a folder; from: folder edits each"),
    ],
    ids=["quote", "apostrophe", "quotes", "dashes", "variable", "folder"],
)  # fmt: skip
def test_what_newcomers_write_is_explained(tmp_path, text, complaint):
    (tmp_path / "folder").mkdir()
    (tmp_path / "l.csv").write_text("Product Title,title\na,b\n")
    path = tmp_path / "m.yaml"
    path.write_text(f"{HEAD}jobs:\n{text}")
    [found] = wrong(path)
    assert complaint in found


def test_an_include_that_is_not_there_has_a_place(write):
    path = write("prompt: x", top="include: [nope.yaml]\n")
    assert wrong(path) == [f"m.yaml:2:11: include[0]: nope.yaml does not exist in {path.parent}"]


# --- a variable that is a parameter as well ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jobs", "place"),
    [
        ("id: 'hat-{{ n }}', prompt: A hat, matrix: {n: [1, 2, 3]}", "m.yaml:3:52: jobs[0].matrix.n"),
        ("id: 'hat-{{ n }}', prompt: A hat, zip: {n: [1, 2, 3]}", "m.yaml:3:49: jobs[0].zip.n"),
        ("prompt: 'Hat number {{ n }}', matrix: {n: [1, 2, 3]}", "m.yaml:3:48: jobs[0].matrix.n"),
        ("prompt: 'A {{ quality }} hat', matrix: {quality: [low, high]}", "m.yaml:3:55: jobs[0].matrix.quality"),
        ("prompt: 'Hat {{ n }}', from: l.csv", "l.csv:2:3: jobs[0]"),
    ],
    ids=["matrix", "zip", "prompt", "quality", "column"],
)
def test_a_variable_that_sets_a_parameter_as_well_is_reported(write, jobs, place):
    [warning] = [line for line in told(write(jobs, l_csv="id,n\na,2\nb,3\n")) if "two meanings" in line]
    name = "quality" if "quality" in jobs else "n"
    assert warning.startswith(f"{place}: '{name}' has two meanings: a template names {{{{ {name} }}}}")
    assert f"it sets the parameter {name} as well" in warning
    assert f'{name}: "{{{{ {name} }}}}"' in warning


@pytest.mark.parametrize(
    ("jobs", "images"),
    [
        ("id: 'hat-{{ n }}', prompt: A hat, matrix: {n: [1, 2]}, n: '{{ n }}'", 3),
        ("id: 'hat-{{ n }}', prompt: A hat, matrix: {n: [1, 2]}, n: 1", 2),
        ("id: 'hat-{{ size }}', prompt: A hat, matrix: {size: [1024x1024, 1536x1024]}", 2),
        ("id: hat, prompt: A hat, matrix: {n: [1, 2]}", 3),
        ("id: '{{ id }}', prompt: 'Hat {{ n }}', from: {path: l.csv, columns: {n: null}}", 2),
        ("id: '{{ id }}', prompt: 'Hat {{ n }}', from: {path: l.csv, columns: {n: n}}", 5),
    ],
    ids=["both stated", "variable stated", "size in an id", "parameter only", "unset", "mapped"],
)
def test_a_variable_that_is_clearly_meant_is_not_reported(write, jobs, images):
    path = write(jobs, l_csv="id,n\na,2\nb,3\n")
    assert not [line for line in told(path) if "two meanings" in line]
    assert sum(job.task.n for job in load(path).jobs) == images
